/*
 * src/state/ask.h - the answer of a server that was asked what is left in the session.
 */
#pragma once

#include "exchange/exchange.h"

void state_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void state_probe_failed(struct exchange *x);
void state_probe_done(struct server *srv);
/* Returns true if a probe of the client's session is under way, and was not cancelled. */
bool state_may_cancel_probe(const struct exchange *x);
void state_probe_cancelled(struct exchange *x); /* what it was to tell pins the client to its server */
