/*
 * src/policy/policy_ahead.h - requests of those in the queue that are sent ahead of their turn, behind what runs on a
 * connection that is lent: policy_ahead.c.
 *
 * Who has sent one stays in the queue. When its connection is returned, it gets that one, whoever is before it in the
 * queue: what it asked for has begun there. If it gets another one before, or waits no more, what was sent is nobody's.
 */
#pragma once

#include "policy/policy.h"

/*
 * Returns the one in the queue whose request may be sent ahead: the first whose was not yet, or the first of all if
 * where it was sent takes too long to come to it. NULL: there is none, or there may be another connection for it.
 */
struct policy_waiter *policy_next_ahead(const struct policy *p, uint64_t now_us); /* policy_obstacle.c */
/* Notes that this, with its t, was sent to conn, which is LENT. If it was sent elsewhere before, it is nobody's there
 * now. wait_us: how long it may take to come to the first one there. */
void policy_go_ahead(struct policy *p, struct policy_conn *conn, const struct policy_ahead *what, uint64_t wait_us,
		     uint64_t now_us);
bool policy_is_ahead(const struct policy_conn *conn, const struct policy_waiter *t); /* to conn */
/* Removes the first one: t was granted conn, and that is its request now. */
void policy_ahead_came(struct policy_conn *conn, uint64_t now_us);
/* Returns how many in the queue were sent ahead. Looks at each connection. */
uint32_t policy_count_ahead(const struct policy *p);
/* Returns true if the first one there is nobody's. */
static inline bool
policy_next_is_nobodys(const struct policy_conn *conn)
{
	return conn->ahead_count > 0 && (conn->ahead[0].t == NULL || conn->ahead[0].t->waits == WAITS_NOT);
}
/* Forgets all: they are nobody's, and those in the queue are sent again. Fine if there are none. */
void policy_forget_ahead(struct policy_conn *conn);

/* --- For policy/ alone. --- */
struct policy_waiter *policy_first_behind(const struct policy *p, uint64_t now_us);
/* Returns who gets the next connection that is free. NULL: nobody waits, or only those whose requests were sent ahead
 * and come soon: it becomes idle. On several workers the first of these gets it. */
struct policy_waiter *policy_next(const struct policy *p, uint64_t now_us);
/* Returns when the first in the queue, whose request was sent ahead, gets another connection: one is idle, or may be
 * opened. */
uint64_t policy_stuck_at(const struct policy *p, uint64_t now_us);
void policy_leave_ahead(struct policy *p, struct policy_waiter *t); /* what was sent ahead for t is nobody's */
