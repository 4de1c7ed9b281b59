/*
 * src/policy/policy_supply.c - keeps as many connections coming as there are waiters in the queue, and no more.
 *
 * For each waiter one connection is on its way: one that is being cleaned, transferred or pinged, or else a new one
 * that is being opened. The longest waiter gets the first connection that is ready. The limits on opening are listed in
 * policy_obstacle.c. After a failure, a single connection is tried first. Others follow when the first one succeeds; or
 * one by one, while the first one has no answer and all clients in the queue keep waiting. Connections that fail
 * together count as one failure.
 */
#include "policy/policy_queue.h"

#define BACKOFF_MIN_US (50 * 1000u)
#define BACKOFF_MAX_US (15 * SECOND_US)
#define BACKOFF_ASKED_US (400 * 1000u) /* the longest back-off while clients ask */
#define LOWERED_FOR_US (30 * SECOND_US)
#define MIN_IDLE_RETRY_US SECOND_US

/* --- Results of attempts. --- */

void
policy_forget_failures(struct policy *p)
{
	p->failed_count = 0;
	p->backoff_until_us = 0;
	p->outlook = HOST_ANSWERS;
	circuit_end_backoff(&p->circuit);
}

void
policy_note_demand(struct policy *p, uint64_t now_us)
{
	p->asked_us = now_us;
	p->backoff_until_us = clock_lesser_us(p->backoff_until_us, policy_add_us(now_us, BACKOFF_ASKED_US));
}

void
policy_end_trial(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	if (!conn->is_trial)
		return;
	assert(p->circuit.circuit != NULL);
	conn->is_trial = false;
	circuit_note_trial_end(&p->circuit, now_us);
}

/* Takes over the result of another pool's attempt on this upstream; a failure only if clients wait here. */
static void
apply_circuit(struct policy *p, uint64_t now_us)
{
	struct circuit_news news;

	if (!circuit_get_news(&p->circuit, p->waiting > 0, &news))
		return;
	p->circuit.round = news.round;
	if (news.failed_count == 0) {
		if (p->circuit.backs_off_for_others)
			p->backoff_until_us = 0;
		p->circuit.backs_off_for_others = false;
		p->outlook = HOST_ANSWERS;
		/* If clients wait in an outage, the connections that are opened for them will show if the outage is
		 * over. */
		if (p->outage.since_us > 0 ? p->waiting == 0
					   : circuit_is_failure_of_host(p->last_fail_kind, &p->last_fail)) {
			p->failed_count = 0;
			p->backoff_until_us = 0;
			if (p->outage.since_us > 0)
				policy_end_outage(p, now_us);
		}
		return;
	}
	p->last_fail = news.why;
	p->last_fail_us = p->fail_began_us = p->backed_off_us = news.failed_us;
	p->last_fail_kind = news.kind;
	p->outlook = news.outlook;
	p->is_fail_fatal = false;
	p->failed_count++;
	p->backoff_until_us = news.backoff_until_us;
	p->circuit.backs_off_for_others = true;
}

/* Records a failed attempt. An attempt that began (started_us) before the last back-off does not lengthen the back-off,
 * because that attempt has failed for the same reason. */
static void
note_failure(struct policy *p, enum connect_failure kind, bool is_fatal, uint64_t started_us, const struct fail *why,
	     uint64_t now_us)
{
	bool is_asked = p->waiting > 0 || p->asked_us > p->backed_off_us;

	p->last_fail = *why;
	p->last_fail_us = now_us;
	p->fail_began_us = started_us;
	p->last_fail_kind = kind;
	p->is_fail_fatal = is_fatal;
	p->outlook = circuit_outlook_of(kind, started_us, now_us);
	if (is_fatal)
		policy_end_outage(p, now_us); /* PostgreSQL has answered */
	if (kind == CF_TOO_MANY) {
		p->lowered_limit = policy_count_live(p) > 0 ? policy_count_live(p) : 1;
		p->lowered_until_us = policy_add_us(now_us, LOWERED_FOR_US);
		shard_lower_pool_limit(&p->shard, p->lowered_limit, p->lowered_until_us);
		if (policy_count_live(p) > 0)
			return;
	}
	if (p->failed_count == 0 || started_us > p->backed_off_us || started_us >= p->backoff_until_us) {
		uint64_t max_us = is_asked ? BACKOFF_ASKED_US : BACKOFF_MAX_US;

		p->backoff_until_us =
		    policy_add_us(now_us, backoff_us(p->failed_count++, BACKOFF_MIN_US, max_us, &p->random));
		p->backed_off_us = now_us;
	}
}

void
policy_conn_failed(struct policy *p, struct policy_conn *conn, enum connect_failure kind, bool is_fatal,
		   const struct fail *why, uint64_t now_us)
{
	if (!policy_is_being_opened(
		conn->state)) { /* the policy has closed conn meanwhile, so its failure means nothing */
		policy_conn_gone(p, conn, false, now_us);
		return;
	}
	policy_move(p, conn, PC_NONE);
	policy_end_trial(p, conn, now_us);
	note_failure(p, kind, is_fatal, conn->opened_us, why, now_us);
	p->circuit.backs_off_for_others =
	    false; /* this back-off is the pool's own, even if the circuit ignores the failure */
	if (!circuit_note_failure(&p->circuit, kind, is_fatal, why, conn->opened_us, now_us))
		policy_forget_failures(p);
	if (is_fatal && !p->is_paused) {
		policy_refuse_all(p, why, RF_BACKEND_UNREACHABLE, now_us);
		return;
	}
	policy_replenish(p, now_us);
	if (policy_is_hopeless(p, now_us))
		policy_refuse_impatient(p, why);
}

/* --- For clients in the queue. --- */

enum open_for { FOR_WAITER, FOR_STOCK, FOR_HEALTH_CHECK };

static enum policy_conn_state
state_of(enum open_for what_for)
{
	return what_for == FOR_HEALTH_CHECK ? PC_CHECKING : PC_OPENING;
}

static void
give_place_back(struct policy *p, enum open_for what_for)
{
	caps_state_changed(&p->caps, state_of(what_for), PC_NONE);
	shard_note_state(&p->shard, state_of(what_for), PC_NONE);
}

/* Takes a place in the shared policy and under each cap, and returns true; or takes none and returns false. */
static bool
take_places(struct policy *p, enum open_for what_for, uint64_t now_us)
{
	struct policy_worker *worker = p->orders.worker;
	bool is_taken;

	policy_worker_lock(worker);
	is_taken = shard_pool_has_place(&p->shard, policy_limit_now(p, now_us)) &&
		   caps_take_places(&p->caps, what_for == FOR_WAITER, now_us);
	if (is_taken)
		shard_take_place(&p->shard, state_of(what_for));
	policy_worker_tell_others(worker);
	policy_worker_unlock(worker);
	return is_taken;
}

/* Takes the places for a connection; they are given back when the connection is gone. Returns false if there is no
 * place, or if the circuit allows no attempt now; the caller must then call caps_review() or caps_report(). */
static bool
begin_open(struct policy *p, enum open_for what_for, uint64_t now_us)
{
	bool is_trial = false;

	if (!take_places(p, what_for, now_us))
		return false;
	if (what_for == FOR_HEALTH_CHECK || circuit_begin_attempt(&p->circuit, &is_trial, now_us)) {
		p->opening_purpose = what_for == FOR_HEALTH_CHECK ? OPENS_HEALTH_CHECK
				     : is_trial			  ? OPENS_TRIAL
								  : OPENS_ANY;
		return true;
	}
	give_place_back(p, what_for);
	return false;
}

static bool
open_one(struct policy *p, enum open_for what_for, uint64_t now_us)
{
	uint32_t before = p->total;
	struct fail why;

	if (!begin_open(p, what_for, now_us))
		return false;
	if (p->ops.open(p->owner, now_us, &why) < 0) {
		assert(p->total == before); /* else a connection would have the places that are given back */
		give_place_back(p, what_for);
		if (p->opening_purpose == OPENS_TRIAL)
			circuit_note_trial_end(&p->circuit, now_us);
		p->opening_purpose = OPENS_ANY;
		note_failure(p, CF_OTHER, false, now_us, &why, now_us);
		return false;
	}
	return p->total > before;
}

static void
open_without_waiter(struct policy *p, enum open_for what_for, uint64_t now_us)
{
	if (open_one(p, what_for, now_us))
		return;
	caps_review(&p->caps, now_us); /* other pools may have looked for the place that this pool had taken */
	shard_report(&p->shard, p->shard.is_in_use, now_us);
}

void
policy_health_check(struct policy *p, uint64_t now_us)
{
	if (p->is_paused || policy_total(p) >= policy_limit_now(p, now_us))
		return;
	open_without_waiter(p, FOR_HEALTH_CHECK, now_us);
	policy_arm(p, policy_next_due_us(p, now_us));
}

void
policy_health_check_failed(struct policy *p, const struct policy_conn *conn, enum connect_failure kind, bool is_fatal,
			   const struct fail *why, uint64_t now_us)
{
	if (p->outage.since_us == 0 || p->failed_count == 0)
		return;
	if (is_fatal || kind == CF_TOO_MANY) {
		p->outlook = HOST_ANSWERS; /* the next client that comes will get the answer */
		return;
	}
	p->outlook = circuit_outlook_of(kind, conn->opened_us, now_us);
	p->last_fail = *why;
	p->last_fail_us = now_us;
	p->last_fail_kind = kind;
}

/* conn may have been freed when this returns. */
void
policy_start_ping(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	assert(conn->state == PC_IDLE);
	conn->pinged_us = now_us;
	conn->ping_more_us = 0;
	policy_move(p, conn, PC_PINGING);
	p->ops.ping(p->owner, conn);
}

/* Returns the warmest idle connection, which is the likeliest to be alive; NULL if none is idle. Without is_any,
 * considers only connections that were verified in distrust_epoch or later. While clients wait, a connection is idle
 * only because it must be pinged before it may be lent. */
static struct policy_conn *
find_to_ping(struct policy *p, bool is_any)
{
	struct policy_conn *conn;

	TAILQ_FOREACH(conn, &p->in[PC_IDLE], link) {
		if (is_any || conn->epoch >= p->distrust_epoch)
			return conn;
	}
	return NULL;
}

static void
help_waiters(struct policy *p, uint64_t now_us)
{
	while (policy_count_unserved(p) > 0) {
		struct policy_conn *conn = find_to_ping(p, false);

		/* A connection that was last verified before another connection's ping failed may hang as long as that
		 * ping, so a new connection is better. */
		if (conn == NULL && policy_count_openable(p, now_us, NULL) > 0 && open_one(p, FOR_WAITER, now_us))
			continue;
		if (conn == NULL)
			conn = find_to_ping(p, true);
		if (conn == NULL)
			return;
		policy_start_ping(p, conn, now_us);
	}
}

/* --- Connections that no client waits for. --- */

void
policy_stock_up(struct policy *p, uint64_t now_us)
{
	struct policy_conn *idle = find_to_ping(p, true);

	if (p->is_replenish_held || policy_count_own_coming(p) > 0)
		return;
	apply_circuit(p, now_us);
	if (idle != NULL)
		policy_start_ping(p, idle, now_us);
	else if (policy_total(p) < p->settings.pool_size && policy_count_openable(p, now_us, NULL) > 0)
		open_without_waiter(p, FOR_STOCK, now_us);
	policy_arm(p, policy_next_due_us(p, now_us));
}

uint32_t
policy_min_idle(const struct policy *p)
{
	const struct policy_settings *s = &p->settings;

	if (s->min_idle == 0 || !p->keeps_min_idle || p->is_paused)
		return 0;
	return shard_part_of(&p->shard, s->min_idle < s->pool_size ? s->min_idle : s->pool_size);
}

static bool
is_short_of_idle(const struct policy *p)
{
	uint32_t coming = p->count[PC_IDLE] + p->count[PC_PINGING] + p->count[PC_OPENING] + (p->returned != NULL);

	return coming < policy_min_idle(p) + p->waiting && policy_count_live(p) < p->settings.pool_size;
}

/* Asserts that each connection is counted once, in its state, and that the lists agree with the counts. */
static void
check_counts(const struct policy *p)
{
	uint32_t total = 0;

	for (int state = PC_NONE + 1; state < PC_COUNT; state++) {
		total += p->count[state];
		assert(state == PC_LENT || TAILQ_EMPTY(&p->in[state]) == (p->count[state] == 0));
	}
	assert(total == p->total && TAILQ_EMPTY(&p->queue) == (p->waiting == 0) && p->sent_ahead <= p->waiting);
	assert(p->washing <= p->count[PC_LENT]);
}

void
policy_replenish(struct policy *p, uint64_t now_us)
{
	uint32_t unserved, openable;

	check_counts(p);
	if (p->is_replenish_held)
		return;
	p->is_replenish_held = true;
	p->cap_has_room = false;
	policy_forget_outdated_failure(p, now_us);
	apply_circuit(p, now_us);
	if (p->shard.shared != NULL)
		policy_ask_shards(p, now_us);
	help_waiters(p, now_us);
	/* For min_idle, a place is taken only if a place is left for each client that waits in another shard, because
	 * places may have been freed for these clients. */
	while (policy_min_idle(p) > 0 && is_short_of_idle(p) &&
	       policy_total(p) + policy_queue_length(p) - p->waiting < p->settings.pool_size &&
	       policy_count_openable(p, now_us, NULL) > 0 && open_one(p, FOR_STOCK, now_us))
		continue;
	if (p->shard.shared != NULL)
		policy_share_with_shards(p, now_us);
	unserved = policy_count_unserved(p);
	openable = policy_count_openable(p, now_us, NULL);
	/* this many connections could be opened but for the caps */
	caps_report(&p->caps, unserved < openable ? unserved : openable, now_us);
	if (p->shard.shared != NULL && caps_is_short(&p->caps) && !p->shard.has_no_place)
		policy_ask_shards(p, now_us); /* the other shards can see now that a cap is full */
	policy_update_outage(p, now_us);
	p->is_replenish_held = false;
	policy_arm(p, policy_next_due_us(p, now_us));
}

/* Returns when something that can't be done now can be tried again, if no report comes before. */
uint64_t
policy_supply_due_us(const struct policy *p, uint64_t now_us)
{
	uint64_t due_us = p->cap_has_room ? now_us : policy_give_up_at_us(p, now_us);

	if (!p->is_paused && policy_count_unserved(p) > 0)
		policy_count_openable(p, now_us, &due_us);
	if (policy_min_idle(p) > 0 && is_short_of_idle(p))
		due_us =
		    clock_lesser_us(due_us, later_of(policy_add_us(now_us, MIN_IDLE_RETRY_US), p->backoff_until_us));
	return due_us;
}
