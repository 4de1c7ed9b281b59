/*
 * src/policy/policy_ahead.h - sends requests of clients in the queue ahead of their turn, to a lent connection, after
 * the request that runs there: policy_ahead.c.
 *
 * A client whose request was sent ahead stays in the queue. When that connection is returned, the client gets it,
 * whatever its place in the queue: its request has begun there. If the client gets another connection before, or stops
 * waiting, the request that was sent ahead has no owner.
 */
#pragma once

#include "policy/policy.h"

/*
 * Returns the waiter whose request may be sent ahead: the first one whose request was not yet sent; or the first of
 * all, if the connection it was sent to takes too long. Returns NULL if there is none, or if another connection may
 * come for it.
 */
struct policy_waiter *policy_next_ahead(const struct policy *p, uint64_t now_us); /* policy_obstacle.c */
/* Records that the request `what`, with its t, was sent to conn, which is LENT. If it was sent elsewhere before,
 * that copy has no owner now. wait_us: how long the first request there may have to wait. */
void policy_go_ahead(struct policy *p, struct policy_conn *conn, const struct policy_ahead *what, uint64_t wait_us,
		     uint64_t now_us);
/* Returns true if t's request was sent to conn. */
bool policy_is_ahead(const struct policy_conn *conn, const struct policy_waiter *t);
/* Removes the first request that was sent ahead: its t was granted conn, and the request runs now. */
void policy_ahead_came(struct policy_conn *conn, uint64_t now_us);
/* Returns how many waiters' requests were sent ahead. Looks at each connection. */
uint32_t policy_count_ahead(const struct policy *p);
/* Returns true if the first request that was sent ahead to conn has no owner. */
static inline bool
policy_next_is_nobodys(const struct policy_conn *conn)
{
	return conn->ahead_count > 0 && (conn->ahead[0].t == NULL || conn->ahead[0].t->waits == WAITS_NOT);
}
/* Forgets all requests that were sent ahead to conn: they have no owner, and are sent again for clients that still
 * wait. Does nothing if there are none. */
void policy_forget_ahead(struct policy_conn *conn);

/* --- For policy/ alone. --- */
struct policy_waiter *policy_first_behind(const struct policy *p, uint64_t now_us);
/* Returns the waiter that gets the next free connection. Returns NULL if no client waits, or only clients whose
 * requests were sent ahead and will be answered soon: then the connection becomes idle. On several workers the first
 * of these gets it. */
struct policy_waiter *policy_next(const struct policy *p, uint64_t now_us);
/* Returns when the first in the queue, whose request was sent ahead, is to get another connection that is idle or
 * may be opened. */
uint64_t policy_stuck_at(const struct policy *p, uint64_t now_us);
void policy_leave_ahead(struct policy *p, struct policy_waiter *t); /* what was sent ahead for t has no owner now */
