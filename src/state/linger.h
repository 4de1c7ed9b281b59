/*
 * src/state/linger.h - a client that uses sequences *lingers*: the client keeps its server for a moment between
 * transactions, because its next request may call currval(); see linger.c.
 */
#pragma once

#include "exchange/exchange.h"

/* Call when a client waits for a server. Makes clients that have lingered for long enough return their servers soon. */
void linger_return_servers_soon(struct exchange_env *env);
void state_linger_init(struct exchange_env *env); /* call after env->base is set */
void state_linger_fini(struct exchange_env *env);
void state_linger_tick(struct exchange_env *env); /* takes the servers of clients that have lingered long enough */
void state_stop_lingering(struct exchange *x); /* x no longer counts as lingering; x keeps its server */
/* Returns true if a DISCARD SEQUENCES makes SQL with these flags wait until all owed replies have come. */
bool state_waits_for_sequences(const struct exchange *x, uint32_t flags);
/* Returns true if the transaction has failed, and SQL with these flags may end it and then read sequence values that
 * other clients have left. */
bool state_must_not_read_sequences(const struct exchange *x, uint32_t flags);
/* If currval() or lastval() has raised the error e because the server has no values of the client's, sends the client e
 * with a hint, and returns true. message: the whole message with its head, of len bytes. */
bool state_send_with_hint(struct exchange *x, const struct error_fields *e, const uint8_t *message, size_t len);
/* call when pgweir's DISCARD SEQUENCES was answered, has failed or was skipped */
void state_discard_settled(struct server *srv, enum owed_end how);
