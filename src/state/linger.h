/*
 * src/state/linger.h - a client that uses sequences keeps its server for a moment; see linger.c.
 */
#pragma once

#include "exchange/exchange.h"

/* A client waits for a server: those that linger release theirs, from the loop and not from within this call. */
void state_yield(struct exchange_env *env);
void state_linger_init(struct exchange_env *env); /* after env->base is set */
void state_linger_fini(struct exchange_env *env);
void state_linger_tick(struct exchange_env *env);
void state_stop_lingering(struct exchange *x);
/* SQL with these flags must not be sent before what was sent earlier is answered. */
bool state_waits_for_sequences(const struct exchange *x, uint32_t flags);
/* In a failed transaction: if this SQL leaves it, what it does next may read what other clients have left. */
bool state_must_not_read_sequences(const struct exchange *x, uint32_t flags);
/* An error is due to the client: if it is that of such a question, adds a hint, and returns true. */
bool state_hint_at_returning(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len);
void state_discard_settled(struct server *srv, enum owed_end how);
