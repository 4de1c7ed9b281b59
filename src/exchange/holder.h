/*
 * src/exchange/holder.h - which client keeps a server connection, and how to get that connection back, in the same
 * words for errors, the log, the console and the status page. pool_use_of() finds out what the client does with it.
 */
#pragma once

#include "exchange/exchange.h"

/* Returns "running", "waiting for the client", "idle in transaction" or "pinned"; "idle in session" in place of
 * "pinned" in session mode. */
const char *holder_word(enum server_use use, bool is_session);
/* Returns the next lent server after `before`, or the first one if `before` is NULL. Visits the pools of this worker
 * that hold places for which the waiters of `pool` wait (policy_waits_for()). */
const struct server *holder_next(const struct pool *pool, const struct server *before);
/* Returns true if the next message has been due from srv's client since before_us, or since an earlier time, so clients
 * that wait for a connection wait for this client. Sets *since_us to the time since when the message is due. Always
 * returns false in session mode, where clients keep their servers anyway. */
bool holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us);
/* Writes how to get back srv, for which others wait: "end client 7's transaction, idle for 3 s (KILL_CLIENT 7 ..." */
void holder_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap);
#define HOLDER_REMEDY_MAX 240
/* Writes how to end a process that has a lock and is no client's here; pid is 0 for a prepared transaction. */
void holder_remedy_outside(uint32_t pid, char *out, size_t cap);
/* If clients of the servers that the queue of `pool` waits for are blocked, as PostgreSQL has answered since their
 * requests began (dedicated/blocking.h), writes how to end the process at the root: the one that most of them wait for.
 * Writes "" if that is not known, or not true any more. Returns out. */
const char *holder_root_remedy(const struct pool *pool, uint64_t now_us, char out[FAIL_TEXT_MAX]);
/* Finds out if an application blocks itself: x waits or has just waited, clients with its application_name and address
 * hold two or more connections, and no client with a connection has sent anything since before_us. Writes an
 * explanation to out, or "" if the application does not block itself. Returns out. */
const char *holder_self_deadlock(const struct exchange *x, uint64_t before_us, char out[FAIL_TEXT_MAX]);
