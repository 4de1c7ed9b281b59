/*
 * src/exchange/holder.h - which client keeps a server connection, and what would end that, in the same words for
 * errors, the log, the console and the status page. pool_use_of() does the counting.
 */
#pragma once

#include "exchange/exchange.h"

/* Returns "running", "waiting for the client", "idle in transaction" or "pinned"; "idle in session" in place of
 * "pinned" in session mode. */
const char *holder_word(enum server_use use, bool is_session);
/* Returns the lent server after `before` (the first one if that is NULL) among the servers whose places the queue of
 * pool waits for (policy_waits_for()), in all pools of its worker. */
const struct server *holder_next(const struct pool *pool, const struct server *before);
/* Returns true if the client that has srv has owed the next move since before_us or longer, and is not known to keep
 * srv that long (session mode does): clients that wait for a connection then wait for that client. Writes to *since_us
 * when its turn began. */
bool holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us);
/* Writes how srv, which others wait for, is got back: "end client 7's transaction, idle for 3 s (KILL_CLIENT 7 ..." */
void holder_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap);
#define HOLDER_REMEDY_MAX 240
/* Writes to out that x, which waits or has just waited, waits for its own application: clients with the same
 * application_name and address hold two connections or more, and no client with a connection has moved since before_us.
 * Returns out, which is "" if that is not so. */
const char *holder_lock(const struct exchange *x, uint64_t before_us, char out[FAIL_TEXT_MAX]);
