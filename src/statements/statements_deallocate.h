/*
 * src/statements/statements_deallocate.h - SQL that deallocates statements.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/* Rows of relay/features.c. SENT: m->instead is to be sent (Query); another Parse was sent (Parse). */
enum feature_step statements_deallocate_query(struct exchange *x, struct request *m);
enum feature_step statements_deallocate_parse(struct exchange *x, struct request *m);
/* The same for a Bind of one that was parsed earlier. */
enum feature_step statements_deallocate_bind(struct exchange *x, struct request *m);
enum feature_step statements_note_drop(struct exchange *x, struct request *m); /* this Query is about to run */
void statements_deallocated(struct exchange *x); /* CommandComplete of a DEALLOCATE */
void statements_request_done(struct exchange *x); /* ReadyForQuery */
void statements_deallocated_all(struct exchange *x); /* of DEALLOCATE ALL or DISCARD ALL */
