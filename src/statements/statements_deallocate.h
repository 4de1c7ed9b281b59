/*
 * src/statements/statements_deallocate.h - SQL that deallocates statements.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

/*
 * A Query of a client, with a server or without one. SENT: it was answered, from the table of names; HOLD: it may be,
 * when all before it is answered; FORWARD: it needs the server.
 */
enum feature_step statements_deallocate_here(struct exchange *x, const struct request *m);
/* Rows of relay/features.c: FORWARD, HOLD, FAILED. */
enum feature_step statements_deallocate_query(struct exchange *x, struct request *m);
enum feature_step statements_deallocate_bind(struct exchange *x, struct request *m);
enum feature_step statements_note_drop(struct exchange *x, struct request *m); /* this Query is about to run */
void statements_deallocated(struct exchange *x); /* CommandComplete of a DEALLOCATE */
void statements_request_done(struct exchange *x); /* ReadyForQuery */
void statements_deallocated_all(struct exchange *x); /* of DEALLOCATE ALL or DISCARD ALL */
