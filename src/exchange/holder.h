/*
 * src/exchange/holder.h - which client holds a server connection, and how to get that connection back, in the same
 * words for errors, the log, the console and the status page. pool_use_of() finds out what the client does with the
 * connection.
 */
#pragma once

#include "exchange/exchange.h"

/* Returns "running", "waiting for the client", "idle in transaction" or "pinned"; "idle in session" in place of
 * "pinned" in session mode. */
const char *holder_word(enum server_use use, bool is_session);
/* Returns the next lent server after `before`, or the first one if `before` is NULL. Visits the pools of this worker
 * that hold places for which the waiters of `pool` wait (policy_waits_for()). */
const struct server *holder_next(const struct pool *pool, const struct server *before);
/* Returns true if srv's client has owed its next message since before_us or earlier, so clients that wait for a
 * connection wait for this client. Sets *since_us to the time since when the message has been due. Always returns false
 * in session mode, where clients keep their servers anyway. */
bool holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us);
/* Writes how to get back srv, for which others wait: "end client 7's transaction, idle for 3 s (KILL_CLIENT 7 ..." */
void holder_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap);
#define HOLDER_REMEDY_MAX 240
/* Writes how to end a process that has a lock and is no client's here; pid is 0 for a prepared transaction. */
void holder_remedy_outside(uint32_t pid, char *out, size_t cap);
/* Clients that hold the servers for which the queue of `pool` waits may be blocked by locks (dedicated/blocking.h). If
 * PostgreSQL has said so since their requests began, writes how to end the process for which most of these clients
 * wait. Writes "" if that is not known, or not true any more. Returns out. */
const char *holder_root_remedy(const struct pool *pool, uint64_t now_us, char out[FAIL_TEXT_MAX]);
/* Finds out if an application blocks itself: x waits or has just waited, clients with its application_name and address
 * hold two or more connections, and no client with a connection has sent anything since before_us. Writes an
 * explanation to out, or "" if the application does not block itself. Returns out. */
const char *holder_self_deadlock(const struct exchange *x, uint64_t before_us, char out[FAIL_TEXT_MAX]);
