/* src/policy/policy_ahead.c - see policy_ahead.h. */
#include "policy/policy_ahead.h"
#include "policy/policy_state.h"

/* Returns the entry of the request that was sent ahead for t, and sets *at to its connection; NULL if there is none. */
static struct policy_ahead *
find_ahead(const struct policy *p, const struct policy_waiter *t, struct policy_conn **at)
{
	struct policy_conn *conn;

	TAILQ_FOREACH(conn, &p->all, all)
		for (uint32_t i = 0; i < conn->ahead_count; i++)
			if (conn->ahead[i].t == t) {
				*at = conn;
				return &conn->ahead[i];
			}
	return NULL;
}

/* Returns the time from which t's request, which was sent ahead, has waited too long for its turn. */
static uint64_t
stuck_at(const struct policy *p, const struct policy_waiter *t)
{
	struct policy_conn *conn;

	if (find_ahead(p, t, &conn) == NULL)
		return NEVER_US;
	return policy_add_us(policy_add_us(conn->ahead_since_us, conn->ahead_wait_us), 1);
}

struct policy_waiter *
policy_first_to_serve(const struct policy *p, uint64_t now_us)
{
	struct policy_waiter *t = TAILQ_FIRST(&p->queue);

	if (t != NULL && t->waits == WAITS_AHEAD && now_us >= stuck_at(p, t))
		return t;
	while (t != NULL && t->waits == WAITS_AHEAD)
		t = TAILQ_NEXT(t, link);
	return t;
}

struct policy_waiter *
policy_next_waiter(const struct policy *p, uint64_t now_us)
{
	struct policy_waiter *t = policy_first_to_serve(p, now_us);

	return t == NULL && p->shard.shared != NULL ? TAILQ_FIRST(&p->queue) : t;
}

uint64_t
policy_stuck_at(const struct policy *p, uint64_t now_us)
{
	const struct policy_waiter *first = TAILQ_FIRST(&p->queue);

	if (p->sent_ahead == 0 || first->waits != WAITS_AHEAD ||
	    (p->count[PC_IDLE] == 0 && policy_total(p) >= policy_limit_now(p, now_us)))
		return NEVER_US;
	return stuck_at(p, first);
}

bool
policy_is_ahead(const struct policy_conn *conn, const struct policy_waiter *t)
{
	for (uint32_t i = 0; i < conn->ahead_count; i++)
		if (conn->ahead[i].t == t)
			return true;
	return false;
}

void
policy_orphan_ahead(struct policy *p, struct policy_waiter *t)
{
	struct policy_conn *conn;
	struct policy_ahead *a = find_ahead(p, t, &conn);

	assert(a != NULL && t->waits == WAITS_AHEAD);
	a->t = NULL;
	policy_unmark_sent_ahead(p, t);
}

void
policy_note_sent_ahead(struct policy *p, struct policy_conn *conn, const struct policy_ahead *what, uint64_t wait_us,
		       uint64_t now_us)
{
	struct policy_waiter *t = what->t;

	assert(conn->state == PC_LENT && t->waits != WAITS_NOT && conn->ahead_count < POLICY_AHEAD_MAX);
	if (t->waits == WAITS_AHEAD)
		policy_orphan_ahead(p, t);
	if (conn->ahead_count == 0)
		conn->ahead_since_us = now_us;
	conn->ahead[conn->ahead_count++] = *what;
	conn->ahead_policy = p;
	conn->ahead_wait_us = wait_us;
	t->waits = WAITS_AHEAD;
	p->sent_ahead++;
}

uint32_t
policy_count_ahead(const struct policy *p)
{
	const struct policy_conn *conn;
	uint32_t count = 0;

	TAILQ_FOREACH(conn, &p->all, all)
		for (uint32_t i = 0; i < conn->ahead_count; i++)
			count += conn->ahead[i].t != NULL;
	return count;
}

void
policy_begin_first_ahead(struct policy_conn *conn, uint64_t now_us)
{
	assert(conn->ahead_count > 0);
	conn->ahead_policy->counters->pipelined[PL_FIRST]++;
	conn->ahead_count--;
	for (uint32_t i = 0; i < conn->ahead_count; i++)
		conn->ahead[i] = conn->ahead[i + 1];
	conn->ahead_since_us = now_us;
}

void
policy_forget_ahead(struct policy_conn *conn)
{
	for (uint32_t i = 0; i < conn->ahead_count; i++) {
		struct policy_waiter *t = conn->ahead[i].t;

		if (t == NULL)
			continue;
		conn->ahead_policy->counters->pipelined[PL_AGAIN]++;
		if (t->waits == WAITS_AHEAD) /* false for the waiter that was just granted conn */
			policy_unmark_sent_ahead(conn->ahead_policy, t);
		if (conn->ahead_policy->count[PC_IDLE] > 0)
			policy_arm(conn->ahead_policy, conn->ahead_since_us); /* an idle connection may serve t now */
	}
	conn->ahead_count = 0;
}
