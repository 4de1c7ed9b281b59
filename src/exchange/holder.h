/*
 * src/exchange/holder.h - which client keeps a server connection, and how to get that connection back, in the same
 * words for errors, the log, the console and the status page. The use is told by pool_use_of().
 */
#pragma once

#include "exchange/exchange.h"

/* Returns "running", "waiting for the client", "idle in transaction" or "pinned"; "idle in session" in place of
 * "pinned" in session mode. */
const char *holder_word(enum server_use use, bool is_session);
/* Returns the next lent server after `before` (the first one if `before` is NULL) in those pools of this worker whose
 * places the queue of `pool` waits for (policy_waits_for()). */
const struct server *holder_next(const struct pool *pool, const struct server *before);
/* Returns true if srv's client has owed the next message since before_us or longer, so clients that wait for a
 * connection wait for this client; always false in session mode, where clients keep servers anyway. Sets *since_us to
 * when the client began to owe it. */
bool holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us);
/* Writes how to get back srv, for which others wait: "end client 7's transaction, idle for 3 s (KILL_CLIENT 7 ..." */
void holder_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap);
#define HOLDER_REMEDY_MAX 240
/* Writes to out that x, which waits or has just waited, waits for its own application: clients with the same
 * application_name and address hold two or more connections, and no client with a connection has sent anything since
 * before_us. Writes "" if this is not so. Returns out. */
const char *holder_self_deadlock(const struct exchange *x, uint64_t before_us, char out[FAIL_TEXT_MAX]);
