/*
 * src/policy/policy_outage.c - while no connection can be opened: decides which clients keep waiting, and for how long.
 * All other clients are refused within a second, so their applications learn of the outage. The comment of
 * policy_conn_failed() in policy.h lists the waiters that are kept, and why.
 */
#include "policy/policy_queue.h"

#include <string.h>

static bool
server_lacks_memory(const struct policy *p)
{
	return strcmp(p->last_fail.sqlstate, "53200") == 0;
}

bool
policy_host_is_back(const struct policy *p)
{
	return circuit_is_closed(&p->circuit) && circuit_is_failure_of_host(p->last_fail_kind, &p->last_fail);
}

bool
policy_is_patient(const struct policy *p, const struct policy_waiter *t)
{
	if (p->is_fail_fatal)
		return false;
	return p->settings.on_outage != OUTAGE_FAIL || p->last_fail_kind == CF_TOO_MANY ||
	       strcmp(p->last_fail.sqlstate, "57P01") == 0 || server_lacks_memory(p) ||
	       (p->has_patient && (int32_t)(t->number - p->patient_to) <= 0) ||
	       shard_waited_before_loss(&p->shard, t->since_us);
}

/* Returns when the first waiter of the queue is given up: 0 if now, NEVER_US if not at all. If the last attempt got no
 * answer, this is now, because an attempt in progress may hang as long. If the host has answered since (another pool,
 * or a health check), the waiter is not given up. Otherwise the next attempt, of any shard or pool, has half a second;
 * but a client waits for a second at most, because one attempt may hang while others keep failing. */
static uint64_t
give_up_at_us(const struct policy *p)
{
	uint64_t from_us = later_of(TAILQ_FIRST(&p->queue)->since_us, p->outage.since_us);

	if (p->outage.since_us == 0 || p->outlook == HOST_ANSWERS || policy_has_verified(p))
		return NEVER_US;
	return p->outlook == HOST_SILENT
		   ? 0
		   : clock_lesser_us(policy_add_us(later_of(p->backoff_until_us, from_us), TRIAL_EVERY_US),
				     policy_add_us(from_us, 2 * TRIAL_EVERY_US));
}

uint64_t
policy_give_up_at_us(const struct policy *p, uint64_t now_us)
{
	const struct policy_waiter *last = TAILQ_LAST(&p->queue, policy_queue);
	uint64_t at_us;

	if (last == NULL || p->is_paused)
		return NEVER_US;
	at_us = now_us < p->backoff_until_us && policy_count_live(p) == 0 ? now_us : give_up_at_us(p);
	if (at_us == NEVER_US || policy_is_patient(p, last)) /* patient waiters are at the front */
		return NEVER_US;
	return later_of(at_us, now_us);
}

bool
policy_is_hopeless(const struct policy *p, uint64_t now_us)
{
	return policy_give_up_at_us(p, now_us) <= now_us;
}

uint64_t
policy_deadline(const struct policy *p, const struct policy_waiter *t)
{
	const struct policy_settings *s = &p->settings;
	bool is_held = s->on_outage == OUTAGE_HOLD && p->outage.since_us > 0 && !p->is_paused;
	uint64_t limit_us = is_held ? s->hold_us : s->timeout_us;
	uint64_t from_us = is_held ? later_of(p->outage.since_us, p->limits_from_us) : p->limits_from_us;

	return limit_us == 0 ? NEVER_US : policy_add_us(t->since_us > from_us ? t->since_us : from_us, limit_us);
}

void
policy_forget_outdated_failure(struct policy *p, uint64_t now_us)
{
	if (p->failed_count == 0 || p->heard_us <= p->fail_began_us || p->is_fail_fatal || p->outage.since_us > 0 ||
	    policy_has_verified(p) || !circuit_is_failure_of_host(p->last_fail_kind, &p->last_fail))
		return;
	circuit_note_heard(&p->circuit, p->heard_us, now_us);
	policy_forget_failures(p);
	policy_arm(p, now_us);
}

void
policy_update_outage(struct policy *p, uint64_t now_us)
{
	const struct policy_waiter *t;

	policy_forget_outdated_failure(p, now_us);
	/* If another shard has a connection, but no client waits here, no attempt here would show its end. */
	if (p->outage.since_us > 0 && p->waiting == 0 && policy_has_verified(p)) {
		policy_forget_failures(p);
		policy_end_outage(p, now_us);
	}
	if (p->failed_count == 0 || p->settings.lends_idle_only || p->outage.since_us > 0 || policy_has_verified(p) ||
	    p->is_fail_fatal || p->last_fail_kind == CF_TOO_MANY || server_lacks_memory(p))
		return;
	p->outage = (struct policy_outage){ .since_us = now_us };
	TAILQ_FOREACH(t, &p->queue, link)
		p->outage.held += policy_is_patient(p, t);
	p->counters->held += p->outage.held;
	if (!shard_begin_outage(&p->shard, now_us))
		return;
	p->counters->outages++;
	if (p->ops.outage != NULL)
		p->ops.outage(p->owner, &p->outage, &p->last_fail, now_us);
}

void
policy_end_outage(struct policy *p, uint64_t now_us)
{
	struct policy_outage ended = p->outage;

	p->has_patient = false;
	if (ended.since_us == 0 && !shard_pool_is_out(&p->shard))
		return;
	if (ended.since_us != 0) {
		p->outage = (struct policy_outage){ 0 };
		if (p->settings.on_outage == OUTAGE_HOLD)
			p->limits_from_us = now_us;
		p->ramp = 1;
	}
	if (!shard_end_outage(&p->shard, &ended, true, now_us))
		return;
	ended.since_us = clock_lesser_us(ended.since_us, now_us); /* another worker's clock may be ahead */
	p->counters->outage_us += now_us - ended.since_us;
	if (p->ops.outage != NULL)
		p->ops.outage(p->owner, &ended, NULL, now_us);
}

/* After an outage many clients come at once to a PostgreSQL with cold caches, so connections are opened step by
 * step. */
void
policy_raise_ramp(struct policy *p)
{
	if (p->ramp == 0)
		return;
	p->ramp++;
	if (p->waiting == 0 || p->ramp >= RAMP_MOST)
		p->ramp = 0;
}
