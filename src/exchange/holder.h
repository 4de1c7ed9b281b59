/*
 * src/exchange/holder.h - tells which client holds a server connection, and how to get it back, in the same words for
 * errors, the log, the console and the status page. pool_use_of() tells what the client does with it.
 */
#pragma once

#include "exchange/exchange.h"

/* Returns "running", "waiting for the client", "idle in transaction" or "pinned"; "idle in session" in place of
 * "pinned" in session mode. */
const char *holder_word(enum server_use use, bool is_session);
/* Returns the lent server after `before`, or the first if `before` is NULL; NULL after the last. Visits those pools of
 * this worker that have connections for whose places the waiters of `pool` wait (policy_waits_for()). */
const struct server *holder_next(const struct pool *pool, const struct server *before);
/* Returns true if srv has waited for its client's next message since before_us or earlier, so clients that wait for a
 * connection wait for this client. Sets *since_us to the time at which the client's message became due. Always returns
 * false in session mode, where clients keep their servers anyway. */
bool holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us);
/* Writes to out how to get back srv, for which clients wait: "end client 7's transaction, idle for 3 s (KILL_..." */
void holder_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap);
#define HOLDER_REMEDY_MAX 240
/* Writes to out how to end a process that has a lock and is not pgweir's; pid is 0 for a prepared transaction. */
void holder_remedy_outside(uint32_t pid, char *out, size_t cap);
/* The clients that hold the servers for which the queue of `pool` waits may themselves be blocked by locks
 * (dedicated/blocking.h). If PostgreSQL has reported that since their requests began, writes to out how to end the
 * process for which most of these clients wait. Writes "" if no such process is known, or if it does not block any
 * more. Returns out. */
const char *holder_root_remedy(const struct pool *pool, uint64_t now_us, char out[FAIL_TEXT_MAX]);
/* Finds out if the application of x, a client that waits or has just waited, blocks itself: clients with its
 * application_name and address hold two or more connections, at least as many requests wait, and no client with a
 * connection has sent anything since before_us. Writes an explanation to out, or "" if the application does not block
 * itself. Returns out. */
const char *holder_self_deadlock(const struct exchange *x, uint64_t before_us, char out[FAIL_TEXT_MAX]);
