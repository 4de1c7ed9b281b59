/*
 * src/policy/policy_refuse.c - refuses clients in the queue.
 *
 * A full pool (53300) and a PostgreSQL that can't be reached (08xxx, from the attempt) have different errors, each with
 * a hint. A borrower that is refused may borrow again from within on_refuse: then it counts as a newcomer, and is not
 * refused again here.
 */
#include "policy/policy_queue.h"

#include <stdio.h>

static void
refuse(struct policy *p, struct policy_waiter *t, const struct fail *why, enum request_failure kind)
{
	policy_leave_queue(p, t);
	p->outage.refused += kind == RF_BACKEND_UNREACHABLE && p->outage.since_us > 0;
	p->orders.worker->waiter_ops->on_refuse(why, kind, t);
}

void
policy_refuse_queue(struct policy *p, const struct fail *why, enum request_failure kind)
{
	struct fail copy = *why; /* borrowers may overwrite *why if it is p->last_fail */
	uint32_t last = p->last_number;
	struct policy_waiter *t;

	/* Numbers may wrap around, but a queue is never that long. */
	while ((t = TAILQ_FIRST(&p->queue)) != NULL && (int32_t)(t->number - last) <= 0)
		refuse(p, t, &copy, kind);
}

void
policy_refuse_impatient(struct policy *p, const struct fail *why)
{
	struct fail copy = *why;
	uint32_t last = p->last_number;
	struct policy_waiter *t = TAILQ_FIRST(&p->queue);

	while (t != NULL && p->failed_count > 0 && (int32_t)(t->number - last) <= 0) {
		if (policy_is_patient(p, t)) {
			t = TAILQ_NEXT(t, link);
			continue;
		}
		refuse(p, t, &copy, RF_BACKEND_UNREACHABLE);
		t = TAILQ_FIRST(&p->queue); /* on_refuse may have changed the queue */
	}
}

void
policy_refuse_all(struct policy *p, const struct fail *why, enum request_failure kind, uint64_t now_us)
{
	policy_refuse_queue(p, why, kind);
	policy_replenish(p, now_us);
}

/* --- Clients that have waited too long, and clients for which there is no hope. --- */

/* Sets *why, for a request that has waited in vain through an outage, to the reason why the outage persists. */
static void
explain_held(const struct policy *p, const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	*why = p->last_fail;
	fail_detail(why, "The request waited for %s; no connection could be opened for %s (%s).",
		    duration_format(now_us - t->since_us).text, duration_format(now_us - p->outage.since_us).text,
		    p->settings.on_outage == OUTAGE_HOLD ? "outage_hold" : "pool_timeout");
}

/* Returns true if the host has answered another pool since the last failure here, but no attempt is under way here. */
static bool
is_back_unnoticed(const struct policy *p)
{
	return p->outage.since_us > 0 && p->count[PC_OPENING] + p->count[PC_PINGING] == 0 && policy_host_is_back(p);
}

/* Deadlines are in the order of the queue, so the late waiters are at the front. */
void
policy_refuse_late(struct policy *p, uint64_t now_us)
{
	struct policy_waiter *t = TAILQ_FIRST(&p->queue);

	if (t != NULL && now_us >= policy_deadline(p, t) && is_back_unnoticed(p)) {
		policy_forget_failures(p);
		policy_end_outage(p, now_us);
	}
	while ((t = TAILQ_FIRST(&p->queue)) != NULL && now_us >= policy_deadline(p, t)) {
		struct fail why;

		t->connect_us = policy_waited_to_connect_us(p, t, now_us);
		if (p->outage.since_us > 0 && p->settings.on_outage != OUTAGE_WAIT && !p->is_paused) {
			explain_held(p, t, now_us, &why);
			refuse(p, t, &why, RF_BACKEND_UNREACHABLE);
			continue;
		}
		policy_explain_wait(p, t, now_us, &why);
		snprintf(why.text, sizeof(why.text), "no server connection became free within %s",
			 duration_format(p->settings.timeout_us).text);
		fail_pgbouncer_text(&why, "query_wait_timeout");
		p->counters->pool_timeouts++;
		refuse(p, t, &why, RF_POOL_TIMEOUT);
	}
}

void
policy_refuse_by_last_fail(struct policy *p, uint64_t now_us)
{
	struct fail why = p->last_fail;

	if (why.detail[0] == '\0' && now_us >= p->last_fail_us) {
		struct duration ago = duration_format(now_us - p->last_fail_us);

		if (now_us < p->backoff_until_us)
			fail_detail(&why, "The last attempt was %s ago, the next one is in %s.", ago.text,
				    duration_format(p->backoff_until_us - now_us).text);
		else
			fail_detail(&why, "The last attempt failed %s ago, and no answer has come since.", ago.text);
	}
	if (now_us > p->last_fail_us) {
		const char *cached = why.pgbouncer_text[0] != '\0' ? p->last_fail.pgbouncer_text : p->last_fail.text;

		fail_pgbouncer_text(&why, "server login has been failing, cached error: %.160s (server_login_retry)",
				    cached);
	}
	policy_refuse_impatient(p, &why);
}
