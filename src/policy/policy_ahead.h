/*
 * src/policy/policy_ahead.h - records requests that were sent ahead of their turn: to a lent connection where another
 * request runs, while their clients are in the queue. See policy_ahead.c.
 *
 * A client whose request was sent ahead stays in the queue. When the connection to which the request was sent is
 * returned, the client gets it, whatever its position in the queue, because its request has begun there. If the client
 * gets another connection before that, or stops waiting, the request that was sent ahead has no owner.
 */
#pragma once

#include "policy/policy.h"

/*
 * Returns the waiter whose request may be sent ahead: the first waiter whose request was not yet sent; or the first in
 * the queue, if the connection to which its request was sent takes too long. Returns NULL if there is no such waiter,
 * if the waiter may get another connection, or if a client of another shard has waited much longer.
 */
struct policy_waiter *policy_next_ahead(const struct policy *p, uint64_t now_us); /* policy_obstacle.c */
/* Records that the request *what, of the waiter what->t, was sent to conn, which is LENT. If the request was sent to
 * another connection before, the earlier copy has no owner now. wait_us: for conn->ahead_wait_us. */
void policy_note_sent_ahead(struct policy *p, struct policy_conn *conn, const struct policy_ahead *what,
			    uint64_t wait_us, uint64_t now_us);
/* Returns true if t's request was sent to conn. */
bool policy_is_ahead(const struct policy_conn *conn, const struct policy_waiter *t);
/* Call when conn was granted to the waiter of the first request that was sent ahead to conn, so the request runs now.
 * Removes the request from conn->ahead. */
void policy_begin_first_ahead(struct policy_conn *conn, uint64_t now_us);
/* Returns how many requests that were sent ahead have an owner. Visits all connections. */
uint32_t policy_count_ahead(const struct policy *p);
/* Returns true if the first request that was sent ahead to conn has no owner. */
static inline bool
policy_first_ahead_is_orphaned(const struct policy_conn *conn)
{
	return conn->ahead_count > 0 && (conn->ahead[0].t == NULL || conn->ahead[0].t->waits == WAITS_NOT);
}
/* Forgets all requests, if any, that were sent ahead to conn. Requests of clients that still wait are sent again. */
void policy_forget_ahead(struct policy_conn *conn);

/* --- For policy/ alone. --- */
/* Does what policy_next_ahead() does, even if the waiter may get another connection. */
struct policy_waiter *policy_first_to_serve(const struct policy *p, uint64_t now_us);
/* Returns the waiter that gets the next free connection; NULL if the connection becomes idle, because no client waits.
 * If the requests of all waiters were sent ahead and will be answered soon, returns the first waiter if the pool is
 * split into shards, else NULL. */
struct policy_waiter *policy_next_waiter(const struct policy *p, uint64_t now_us);
/* Returns when the first waiter's request, which was sent ahead, will have waited too long for its turn; the waiter
 * then gets another connection. Returns NEVER_US if there is no such request, or no other connection. */
uint64_t policy_stuck_at(const struct policy *p, uint64_t now_us);
/* Records that t's request, which was sent ahead, has no owner any more. */
void policy_orphan_ahead(struct policy *p, struct policy_waiter *t);
