/*
 * src/state/ask.h - the answer of a server that was asked what is left in the session.
 */
#ifndef PGWEIR_STATE_ASK_H
#define PGWEIR_STATE_ASK_H

#include "exchange/exchange.h"

void session_probe_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole);
void session_probe_failed(struct exchange *x);
void session_probe_done(struct server *srv);

#endif
