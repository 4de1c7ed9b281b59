/* src/policy/policy_shard.c - one shard of a pool that lives on several workers: gives connections to other shards, and
 * asks them for idle ones. See policy_shared.h. */
#include "policy/policy_state.h"

#define LOOK_AT_IDLE 8 /* how many idle connections are searched for one that can be transferred */

void
policy_set_shared(struct policy *p, struct policy_shared *w, uint64_t now_us)
{
	struct policy_conn *conn;

	if (p->shard.shared == w)
		return;
	shard_end_outage(&p->shard, &p->outage, false, now_us);
	shard_leave(&p->shard, p->total, policy_count_own_live(p), policy_count_own_verified(p), now_us);
	if (w != NULL)
		shard_join(&p->shard, w, p->total, policy_count_own_live(p), policy_count_own_verified(p));
	caps_set_groups(&p->caps, w == NULL ? NULL : w->cap_groups, p->count, now_us);
	if (w != NULL && p->outage.since_us > 0)
		shard_begin_outage(&p->shard,
				   p->outage.since_us); /* the beginning of the outage was reported already */
	TAILQ_FOREACH(conn, &p->all, all)
		conn->round = ROUND_NONE; /* the other shards may have closed their connections since conn was opened */
	policy_update_observed(p);
	policy_publish_row(p);
	policy_replenish(p, now_us);
}

void
policy_publish_row(struct policy *p)
{
	const struct policy_waiter *first = TAILQ_FIRST(&p->queue);

	if (p->shard.shared == NULL)
		return;
	if (p->is_paused)
		shard_publish(&p->shard, 0, 0, 0, NEVER_US);
	else
		shard_publish(&p->shard, p->count[PC_IDLE], p->waiting, p->waiting > 0 ? policy_count_own_coming(p) : 0,
			      first != NULL ? first->since_us : NEVER_US);
}

uint32_t
policy_queue_length(const struct policy *p)
{
	return p->shard.shared == NULL || p->is_paused ? p->waiting : shard_sum_pool(&p->shard).waiting;
}

uint32_t
policy_count_busy(const struct policy *p)
{
	uint32_t verified, idle;

	if (p->shard.shared == NULL)
		return p->count[PC_LENT];
	verified = policy_read_atomic(&p->shard.shared->verified);
	idle = shard_sum_pool(&p->shard).idle;
	return verified > idle ? verified - idle : 0;
}

uint32_t
policy_queue_position(const struct policy *p, const struct policy_waiter *t, uint64_t now_us)
{
	const struct policy_waiter *ahead;
	uint32_t position = 1;

	TAILQ_FOREACH(ahead, &p->queue, link) {
		if (ahead == t)
			break;
		position++;
	}
	return position + shard_count_ahead(&p->shard, t->since_us, now_us);
}

bool
policy_is_shard(const struct policy *p)
{
	return p->shard.shared != NULL;
}

/* --- Giving. --- */

static bool
can_be_transferred(const struct policy *p, const struct policy_conn *conn, uint64_t now_us)
{
	return p->ops.give != NULL && !conn->is_recycle_due && !policy_is_aged(p, conn, now_us);
}

/* Sends conn to shard `number`. Until conn has arrived, conn->epoch is 1 if conn is known to work, else 0. */
static bool
transfer(struct policy *p, struct policy_conn *conn, int number, uint64_t now_us)
{
	enum policy_conn_state from = conn->state;
	struct policy_worker *to =
	    can_be_transferred(p, conn, now_us) ? shard_begin_transfer(&p->shard, conn, number) : NULL;

	assert(from == PC_IDLE || from == PC_LENT);
	if (to == NULL)
		return false;
	policy_move(p, conn, PC_NONE);
	conn->epoch = conn->epoch == p->epoch;
	caps_note_transferred(&p->caps, true); /* first, because conn may arrive at once */
	if (p->ops.give(p->owner, conn, to)) {
		shard_note_given(&p->shard, to);
		return true;
	}
	caps_note_transferred(&p->caps, false);
	conn->epoch = conn->epoch != 0 ? p->epoch : p->epoch - 1;
	policy_move(p, conn, from);
	shard_cancel_transfer(&p->shard, conn);
	return false;
}

static bool
is_full(const struct policy *p, uint64_t now_us)
{
	return policy_count_live(p) >= policy_limit_now(p, now_us);
}

/* Returns true if no other connection can be opened for waiters in another shard. */
static bool
has_no_place_left(const struct policy *p, uint64_t now_us)
{
	return is_full(p, now_us) || caps_lacks_places(&p->caps);
}

bool
policy_give_away(struct policy *p, struct policy_conn *conn, const struct policy_waiter *t, uint64_t now_us)
{
	uint64_t own_us = t != NULL ? t->since_us : NEVER_US;
	int number = shard_choose(&p->shard, own_us);

	if (number < 0)
		return false;
	if (conn->state != PC_LENT)
		policy_move(p, conn, PC_LENT); /* conn was OPENING, CHECKING or PINGING */
	if (!transfer(p, conn, number, now_us)) {
		if (t == NULL || now_us < policy_add_us(p->shard.place_made_us, 2 * SHARD_PLACE_KEPT_US) ||
		    !shard_is_starved(&p->shard, number, own_us) || !has_no_place_left(p, now_us))
			return false;
		p->shard.place_made_us = now_us;
		policy_close_conn(p, conn, RR_EVICTED);
	}
	policy_replenish(p, now_us);
	return true;
}

static bool
give_one(struct policy *p, int number, uint64_t now_us)
{
	struct policy_conn *conn, *colder;
	int looked = 0;

	for (conn = TAILQ_FIRST(&p->in[PC_IDLE]); conn != NULL && looked < LOOK_AT_IDLE; conn = colder, looked++) {
		colder = TAILQ_NEXT(conn, link);
		if (transfer(p, conn, number, now_us))
			return true;
	}
	return false;
}

/* Transfers idle connections to shards with waiters. If none can be transferred, and no connection can be opened for
 * the other shard either, closes the coldest one. */
void
policy_give_idle(struct policy *p, uint64_t now_us)
{
	struct policy_conn *coldest;
	int number;

	if (p->shard.shared == NULL || p->waiting > 0)
		return;
	while ((coldest = TAILQ_LAST(&p->in[PC_IDLE], policy_conns)) != NULL &&
	       (number = shard_choose(&p->shard, NEVER_US)) >= 0) {
		if (give_one(p, number, now_us))
			continue;
		if (has_no_place_left(p, now_us))
			policy_close_conn(p, coldest, RR_EVICTED);
		return;
	}
}

/* --- Asking. --- */

/* Asks once for each new waiter, and once more when no place is left, because the other shards then close idle
 * connections that they can't transfer. */
void
policy_ask_shards(struct policy *p, uint64_t now_us)
{
	struct policy_shard *m = &p->shard;
	bool had_no_place = m->has_no_place;

	m->has_no_place = is_full(p, now_us) || caps_is_short(&p->caps);
	m->live_when_asked = policy_count_own_live(p);
	if (p->waiting <= shard_count_coming(m))
		m->asked_us = 0;
	else if (m->is_to_ask || (m->has_no_place && !had_no_place))
		shard_ask(m, now_us);
}

void
policy_share_with_shards(struct policy *p, uint64_t now_us)
{
	if (p->shard.is_to_ask || p->shard.live_when_asked != policy_count_own_live(p))
		policy_ask_shards(p, now_us); /* once more, because a new connection may have filled the pool */
	policy_give_idle(p, now_us);
	shard_report(&p->shard, p->keeps_min_idle && !p->is_paused, now_us);
}

void
policy_obey_shards(struct policy *p, const struct policy_orders *o, uint64_t now_us)
{
	uint32_t before = p->total;
	bool was_held = p->is_replenish_held;

	if (p->shard.shared == NULL)
		return;
	if ((o->what & ORDER_GIVE_IDLE) != 0) {
		/* The shard may be within shard_report(), so only connections are given away here; what else is due
		 * waits for the next tick. */
		p->is_replenish_held = true;
		policy_give_idle(p, now_us);
		p->is_replenish_held = was_held;
		if (p->total != before)
			policy_arm(p, now_us);
		shard_answer_none_idle(&p->shard, now_us);
	}
	p->shard.is_to_ask |= (o->what & ORDER_WAKE_IF_WAITING) != 0;
	p->shard.asked_of &= ~o->answered_by;
	if ((o->what & ORDER_ANSWERED) != 0 && p->waiting > 0)
		policy_wake(p, now_us);
}
