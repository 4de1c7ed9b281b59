/*
 * src/state/reset.h - RESET, DISCARD ALL and rollbacks: the client's startup values; and the end of a request.
 */
#pragma once

#include "exchange/exchange.h"

void state_discarded(struct exchange *x); /* CommandComplete of DISCARD ALL */
void state_request_failed(struct exchange *x); /* an error that is the client's */
void state_request_done(struct exchange *x);
bool state_hides_parameter(const struct exchange *x, const char *name);
/* A transaction was rolled back that has changed reported settings: they are as before (NULL: it has not) again. */
void state_undo_reports(struct exchange *x, const struct image *before);
