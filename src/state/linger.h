/*
 * src/state/linger.h - a client that uses sequences keeps its server for a moment; see linger.c.
 */
#pragma once

#include "exchange/exchange.h"

/* Call when a client waits for a server: makes clients that linger give their servers back in the loop's next turn. */
void state_yield(struct exchange_env *env);
void state_linger_init(struct exchange_env *env); /* call after env->base is set */
void state_linger_fini(struct exchange_env *env);
void state_linger_tick(struct exchange_env *env);
void state_stop_lingering(struct exchange *x);
/* Returns true if SQL with these flags needs a DISCARD SEQUENCES first, and so waits for earlier messages' replies. */
bool state_waits_for_sequences(const struct exchange *x, uint32_t flags);
/* Returns true if SQL with these flags, in a failed transaction, may end the transaction and then read sequence values
 * that other clients have left. */
bool state_must_not_read_sequences(const struct exchange *x, uint32_t flags);
/* If e, the client's error, was raised by currval() or lastval() because the client got another server, sends the
 * client e with a hint, and returns true. */
bool state_hint_at_returning(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len);
/* call when pgweir's DISCARD SEQUENCES was answered or skipped */
void state_discard_settled(struct server *srv, enum owed_end how);
