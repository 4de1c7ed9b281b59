/*
 * src/policy/policy_upkeep.c - limits on time (in the queue, idle, age), and the operator's commands: new settings,
 * pause, close.
 *
 * This file has no timer. policy_next_due_us derives the next deadline from the ends of ordered lists: the first
 * waiter, the connection that was pinged first, the coldest idle connection. No list has the order of the deadlines for
 * age and background pings; for these, all idle connections are checked, at most once per second and not before a
 * connection is due.
 */
#include "policy/policy_upkeep.h"
#include "policy/policy_ahead.h"
#include "policy/policy_queue.h"

#define SWEEP_AT_MOST_EVERY_US SECOND_US

/* --- Deadlines. --- */

/* Returns when the coldest idle connection will have been idle for too long, and sets *reason to the reason. */
static uint64_t
too_cold_at_us(const struct policy *p, const struct policy_conn *coldest, enum recycle_reason *reason)
{
	const struct policy_settings *s = &p->settings;
	uint64_t linger_us = policy_count_live(p) > s->pool_size ? s->overflow_linger_us : NEVER_US;
	uint64_t timeout_us = NEVER_US;

	if (s->idle_timeout_us > 0 && p->count[PC_IDLE] > policy_min_idle(p))
		timeout_us = s->idle_timeout_us;
	*reason = linger_us <= timeout_us ? RR_OVERFLOW : RR_IDLE;
	return policy_add_us(coldest->idle_since_us, clock_lesser_us(linger_us, timeout_us));
}

static uint64_t
sweep_due_us(const struct policy *p)
{
	uint64_t not_before_us = p->swept_us > 0 ? policy_add_us(p->swept_us, SWEEP_AT_MOST_EVERY_US) : 0;

	return p->sweep_us > not_before_us ? p->sweep_us : not_before_us;
}

uint64_t
policy_idle_due_us(const struct policy *p, uint64_t now_us)
{
	const struct policy_conn *coldest = TAILQ_LAST(&p->in[PC_IDLE], policy_conns);
	enum recycle_reason reason;
	uint64_t due_us =
	    coldest == NULL ? NEVER_US : clock_lesser_us(too_cold_at_us(p, coldest, &reason), sweep_due_us(p));

	return due_us > now_us ? due_us : now_us;
}

/* Returns when the ping of conn will have failed if no answer comes. Pings are checked in the order in which they were
 * begun, so a later ping never fails before an earlier ping. */
static uint64_t
ping_deadline_us(const struct policy *p, const struct policy_conn *conn)
{
	return policy_add_us(conn->pinged_us, p->settings.ping_timeout_us + conn->ping_more_us);
}

uint64_t
policy_next_due_us(const struct policy *p, uint64_t now_us)
{
	const struct policy_waiter *first = TAILQ_FIRST(&p->queue);
	const struct policy_conn *pinging = TAILQ_FIRST(&p->in[PC_PINGING]);
	uint64_t due_us = policy_supply_due_us(p, now_us);

	if (first != NULL)
		due_us = clock_lesser_us(due_us, policy_deadline(p, first));
	if (pinging != NULL && p->settings.ping_timeout_us > 0)
		due_us = clock_lesser_us(due_us, ping_deadline_us(p, pinging));
	due_us = clock_lesser_us(due_us, clock_lesser_us(policy_idle_due_us(p, now_us), policy_stuck_at(p, now_us)));
	return due_us > now_us ? due_us : now_us;
}

/* --- Work at a deadline. --- */

void
policy_trim(struct policy *p, uint64_t now_us)
{
	struct policy_conn *coldest;
	enum recycle_reason reason;

	while ((coldest = TAILQ_LAST(&p->in[PC_IDLE], policy_conns)) != NULL &&
	       now_us >= too_cold_at_us(p, coldest, &reason))
		policy_close_conn(p, coldest, reason);
	policy_forget_outdated_failure(p, now_us);
}

/* Returns false if there was nothing to do. *pings: how many connections that could be lent may still be pinged now. */
static bool
sweep_one(struct policy *p, struct policy_conn *conn, uint32_t *pings, uint64_t now_us)
{
	uint64_t interval_us = p->settings.ping_interval_us;

	if (conn->is_recycle_due) {
		policy_close_conn(p, conn, p->close_reason);
	} else if (policy_is_aged(p, conn, now_us)) {
		policy_close_conn(p, conn, RR_AGE);
	} else if (conn->epoch != p->epoch) {
		policy_start_ping(p, conn, now_us);
	} else if (interval_us > 0 && now_us >= policy_add_us(conn->heard_us, interval_us) && *pings > 0) {
		(*pings)--;
		policy_start_ping(p, conn, now_us);
	} else {
		return false;
	}
	return true;
}

/* A connection can't be lent while it is pinged, so a sweep pings at most half of the idle connections that could be
 * lent, the coldest first. */
static void
sweep(struct policy *p, uint64_t now_us)
{
	uint32_t pings = (p->count[PC_IDLE] + 1) / 2;
	struct policy_conn *conn, *warmer;

	if (p->count[PC_IDLE] == 0 || now_us < sweep_due_us(p))
		return;
	p->swept_us = now_us;
	p->sweep_us = NEVER_US;
	for (conn = TAILQ_LAST(&p->in[PC_IDLE], policy_conns); conn != NULL; conn = warmer) {
		warmer = TAILQ_PREV(conn, policy_conns, link);
		if (!sweep_one(p, conn, &pings, now_us))
			p->sweep_us = clock_lesser_us(p->sweep_us, policy_sweep_wanted_at(p, conn));
	}
}

bool
policy_ping_idle(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	if (conn == NULL && (conn = TAILQ_LAST(&p->in[PC_IDLE], policy_conns)) == NULL)
		return false;
	policy_start_ping(p, conn, now_us);
	policy_arm(p, policy_next_due_us(p, now_us));
	return true;
}

uint64_t
policy_tick(struct policy *p, uint64_t now_us)
{
	struct policy_conn *pinging;

	p->due_us = 0; /* policy_arm() must not call ops->wake: the new deadline is returned */
	caps_regroup(&p->caps, p->count, now_us);
	policy_refuse_late(p, now_us);
	if (policy_is_hopeless(p, now_us))
		policy_refuse_by_last_fail(p, now_us);
	p->is_replenish_held = true;
	while ((pinging = TAILQ_FIRST(&p->in[PC_PINGING])) != NULL && p->settings.ping_timeout_us > 0 &&
	       now_us >= ping_deadline_us(p, pinging))
		policy_ping_failed(p, pinging, now_us);
	policy_trim(p, now_us);
	sweep(p, now_us);
	p->is_replenish_held = false;
	while (now_us >= policy_stuck_at(p, now_us)) {
		p->counters->pipelined[PL_SECOND]++;
		policy_orphan_ahead(p, TAILQ_FIRST(&p->queue));
	}
	if (p->waiting > p->sent_ahead && p->count[PC_IDLE] > 0)
		policy_serve(p, now_us);
	policy_replenish(p, now_us);
	p->due_us = policy_next_due_us(p, now_us);
	return p->due_us == NEVER_US ? 0 : p->due_us;
}

/* --- Settings. --- */

/* The jitter of +-10 % keeps connections that were opened together from ending together. */
void
policy_set_recycle_time(struct policy *p, struct policy_conn *conn)
{
	uint64_t us = p->settings.recycle_us;

	conn->recycle_at_us =
	    us == 0 ? 0 : policy_add_us(conn->opened_us, us / 100 * (90 + random_next(&p->random) % 21));
}

void
policy_retire_conn(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	conn->recycle_at_us = now_us;
	policy_forget_failures(p); /* with the new settings an attempt may succeed */
	if (conn->state == PC_IDLE)
		policy_close_conn(p, conn, RR_AGE);
	policy_replenish(p, now_us);
}

static void
apply_settings(struct policy *p, const struct policy_settings *settings)
{
	p->settings = *settings;
	if (p->settings.pool_size == 0)
		p->settings.pool_size = 1;
	p->limit = p->settings.pool_size + p->settings.max_overflow;
	if (p->limit < p->settings.pool_size)
		p->limit = UINT32_MAX;
}

void
policy_reconfigure(struct policy *p, const struct policy_settings *settings, uint64_t now_us)
{
	struct policy_settings old = p->settings;
	struct policy_conn *conn;
	uint32_t allowed;

	apply_settings(p, settings);
	caps_set_claim(&p->caps, p->settings.share_weight, p->settings.share_min);
	TAILQ_FOREACH(conn, &p->all, all)
		if (old.recycle_us != settings->recycle_us && !policy_is_being_opened(conn->state) &&
		    conn->state != PC_CLOSING &&
		    (conn->recycle_at_us == 0 ||
		     conn->recycle_at_us >
			 now_us)) /* else conn is to be closed already, as after policy_retire_conn() */
			policy_set_recycle_time(p, conn);
	p->sweep_us = now_us;
	p->lowered_until_us = 0;
	shard_lower_pool_limit(&p->shard, 0, 0);
	/* The next attempt begins at once. Meanwhile, newcomers are still refused if the host gives no answer. */
	p->backoff_until_us = clock_lesser_us(p->backoff_until_us, now_us);
	circuit_end_backoff(&p->circuit);
	p->is_replenish_held = true;
	allowed = p->settings.pool_size < old.pool_size ? p->settings.pool_size : p->limit;
	while (policy_count_live(p) > allowed && (conn = TAILQ_LAST(&p->in[PC_IDLE], policy_conns)) != NULL)
		policy_close_conn(p, conn, RR_OVERFLOW);
	p->is_replenish_held = false;
	policy_replenish(p, now_us);
	policy_serve(p, now_us);
}

/* --- Pause and close. --- */

/* Returns true if clients wait for logins that are likely to succeed. The caller lets such logins end: otherwise no
 * client would be served if the pool is closed again and again within the time of a login. */
static bool
waits_for_hopeful_logins(const struct policy *p)
{
	return p->waiting > 0 && p->failed_count == 0;
}

/* Closes all connections that are not lent; with spares_logins, all of these but OPENING ones. */
static void
close_unlent(struct policy *p, bool spares_logins, enum recycle_reason reason)
{
	static const enum policy_conn_state closable[] = { PC_IDLE, PC_PINGING, PC_CHECKING, PC_OPENING };
	size_t states = sizeof(closable) / sizeof(closable[0]) - spares_logins;
	struct policy_conn *conn;

	p->is_replenish_held = true;
	for (size_t i = 0; i < states; i++) {
		while ((conn = TAILQ_FIRST(&p->in[closable[i]])) != NULL)
			policy_close_conn(p, conn, reason);
	}
	p->is_replenish_held = false;
}

void
policy_pause(struct policy *p, uint64_t now_us)
{
	p->is_paused = true;
	shard_begin_pool_round(&p->shard);
	policy_publish_row(p);
	close_unlent(p, waits_for_hopeful_logins(p), RR_KILL);
	policy_replenish(p, now_us);
}

void
policy_resume(struct policy *p, uint64_t now_us)
{
	p->is_paused = false;
	p->limits_from_us = now_us;
	p->shard.is_to_ask = true;
	policy_publish_row(p);
	policy_forget_failures(p);
	policy_replenish(p, now_us);
}

static void
close_all(struct policy *p, bool spares_logins, enum recycle_reason why, uint64_t now_us)
{
	struct policy_conn *conn;

	p->close_reason = why;
	shard_begin_pool_round(&p->shard);
	TAILQ_FOREACH(conn, &p->all, all)
		conn->is_recycle_due |= conn->state == PC_LENT || conn->state == PC_OPENING;
	if (why == RR_RELOAD)
		policy_forget_failures(p); /* another PostgreSQL may be there now */
	else
		p->keeps_min_idle = false; /* min_idle is not kept */
	close_unlent(p, spares_logins, why);
	policy_replenish(p, now_us);
}

void
policy_close_all(struct policy *p, enum recycle_reason why, uint64_t now_us)
{
	close_all(p, false, why, now_us);
}

void
policy_reconnect(struct policy *p, uint64_t now_us)
{
	close_all(p, waits_for_hopeful_logins(p), RR_RELOAD, now_us);
}
