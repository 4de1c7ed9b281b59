/*
 * src/exchange/holder.h - tells which client holds a server, and how to get the server back, in the same words for
 * errors, the log, the console and the status page. pool_use_of() tells what the client does with the server.
 */
#pragma once

#include "exchange/exchange.h"

/* Returns a word for `use`: "running", "waiting for the client", "idle in transaction", "pinned", or, in session mode,
 * "idle in session" for "pinned". */
const char *holder_word(enum server_use use, bool is_session);
/* Returns the lent server after `before`, or the first if `before` is NULL; NULL after the last. Visits this worker's
 * pools whose connections the waiters of `pool` wait for (policy_may_get_place_of()). */
const struct server *holder_next(const struct pool *pool, const struct server *before);
/* Returns true if srv has waited for its client, or has been pinned and idle, since before_us or earlier. So clients
 * that wait for a connection wait for this client. Sets *since_us to the time at which that state of srv began. Returns
 * false between the transactions of a client in session mode, which keeps its server anyway. */
bool holder_is_stuck(const struct server *srv, uint64_t before_us, uint64_t *since_us);
/* Writes to out how an operator gets srv back: "end client 7's transaction, idle for 3 s (KILL_CLIENT 7 ..." */
void holder_write_remedy(const struct server *srv, uint64_t now_us, char *out, size_t cap);
#define HOLDER_REMEDY_MAX 240
/* Writes to out how to end the process `pid`, which has a lock and is not a server of this worker's. A prepared
 * transaction has the pid 0. */
void holder_write_remedy_outside(uint32_t pid, char *out, size_t cap);
/* The clients that hold the servers for which the queue of `pool` waits may themselves wait for locks
 * (dedicated/blocking.h). If PostgreSQL has reported this since their requests began, writes to out how to end the
 * process for which most of these clients wait, or "" if none is known, or it no longer blocks a client. Returns
 * out. */
const char *holder_write_root_remedy(const struct pool *pool, uint64_t now_us, char out[FAIL_TEXT_MAX]);
/* Finds out if an application blocks itself. x is a client of the application, and waits or has just waited. The
 * application blocks itself if its clients (by application_name and address) hold two or more connections, at least as
 * many requests wait in the queue (or waited since a connection last moved), and each connection that holder_next()
 * visits has waited for its client since before_us or earlier. Writes an explanation to out, or "". Returns out. */
const char *holder_explain_self_deadlock(const struct exchange *x, uint64_t before_us, char out[FAIL_TEXT_MAX]);
