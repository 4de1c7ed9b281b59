/*
 * src/policy/policy.c - the pool's public functions: see policy.h, and policy_state.h for how the policy is cut into
 * files.
 *
 * The usual path is short: a borrower takes the *warmest* idle connection, which was returned last (without
 * settings.lifo: the *coldest*, which has been idle longest). When a connection is returned, the client that has waited
 * longest gets the connection; if no client waits, the connection becomes the warmest idle one. While clients wait, a
 * newcomer gets an idle connection only if all their requests were sent ahead (policy_ahead.h).
 */
#include "policy/policy_queue.h"
#include "policy/policy_ahead.h"

#include <stdlib.h>

#define SOON_US (10 * 1000u)
#define LOOK_FOR_GUCS 8 /* how many idle connections are searched for one that needs no replay of settings */

static void
policy_publish(struct policy *p)
{
	const struct policy_waiter *first = TAILQ_FIRST(&p->queue);
	const struct budget_view view = { .idle = p->count[PC_IDLE],
					  .has_demand = p->waiting > 0 || p->count[PC_LENT] > 0,
					  .since_us = first != NULL ? first->since_us : UINT64_MAX,
					  .idle_grace_end_us = p->caps.idle_grace_end_us,
					  .turn_end_us = p->caps.turn_end_us };

	caps_publish(&p->caps, &view);
	policy_update_observed(p);
}

__attribute__((noinline)) static void
publish_now(struct policy *p)
{
	policy_worker_lock(p->orders.worker);
	policy_publish(p);
	policy_worker_unlock(p->orders.worker);
}

/* Returns a connection whose login has not ended, or NULL. */
static struct policy_conn *
find_login(const struct policy *p)
{
	struct policy_conn *conn;

	for (enum policy_conn_state state = PC_OPENING; state <= PC_CHECKING; state++)
		TAILQ_FOREACH(conn, &p->in[state], link)
			if (conn != p->arriving)
				return conn;
	return NULL;
}

static void
abandon_logins(struct policy *p, uint64_t now_us)
{
	struct policy_conn *conn;

	while ((conn = find_login(p)) != NULL)
		policy_close_conn(p, conn, RR_EVICTED);
	policy_replenish(p, now_us);
}

static void
obey(struct policy *p, const struct policy_orders *o, uint64_t now_us)
{
	if ((o->what & ORDER_PUBLISH) != 0) {
		publish_now(p);
		caps_review(&p->caps, now_us);
	}
	if ((o->what & ORDER_GIVE_UP) != 0) {
		while (caps_begin_giving_up(&p->caps)) {
			if (!policy_give_up_idle(p, now_us))
				caps_note_none_idle(&p->caps);
		}
		caps_review(&p->caps, now_us); /* not yet done if policy_replenish() is running already */
	}
	if ((o->what & ORDER_ABANDON) != 0)
		abandon_logins(p, now_us);
	policy_obey_shards(p, o, now_us);
	if ((o->what & ORDER_WAKE) != 0 || ((o->what & ORDER_WAKE_IF_WAITING) != 0 && p->waiting > 0))
		policy_wake(p, now_us);
	policy_arm(p, later_of(o->arm_at_us, now_us));
}

static const struct policy_order_ops order_ops = { policy_publish, obey };

struct policy *
policy_new(const struct policy_settings *settings, const struct policy_ops *ops, void *owner,
	   struct policy_worker *worker, struct pool_counters *counters, uint64_t random_seed, uint64_t now_us)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->ops = *ops;
	p->owner = owner;
	p->counters = counters;
	p->random = random_seed;
	p->sweep_us = p->due_us = NEVER_US;
	p->close_reason = RR_RELOAD;
	for (int state = 0; state < PC_COUNT; state++)
		TAILQ_INIT(&p->in[state]);
	TAILQ_INIT(&p->all);
	TAILQ_INIT(&p->queue);
	p->orders = (struct policy_orders){ .ops = &order_ops, .pool = p, .worker = worker, .arm_at_us = NEVER_US };
	p->caps.orders = p->shard.orders = &p->orders;
	caps_set(&p->caps, CAP_ALL, worker->commons->total, p->count, now_us);
	policy_reconfigure(p, settings, now_us); /* other pools that share the budget may be woken */
	return p;
}

void
policy_free(struct policy *p)
{
	struct fail why;

	if (p == NULL)
		return;
	assert(p->total == 0 && TAILQ_EMPTY(&p->all) && p->washing == 0);
	assert(p->returned == NULL && p->arriving == NULL);
	fail_set(&why, "57P01", "the pool is closed");
	policy_refuse_queue(p, &why, RF_SHUTDOWN);
	assert(p->waiting == 0);
	caps_leave(&p->caps);
	circuit_leave(&p->circuit);
	shard_end_outage(&p->shard, &p->outage, false, 0); /* another shard reports the end of the outage */
	shard_leave(&p->shard, 0, 0, 0, 0);
	policy_worker_forget(&p->orders);
	free(p);
}

/* --- Lists. --- */

/* Keeps the list sorted, the warmest connection first. A connection that was just returned goes to the top; a
 * connection that was pinged goes back to its old position. */
static void
insert_idle(struct policy *p, struct policy_conn *conn)
{
	struct policy_conn *colder = TAILQ_FIRST(&p->in[PC_IDLE]);

	while (colder != NULL && colder->idle_since_us > conn->idle_since_us)
		colder = TAILQ_NEXT(colder, link);
	if (colder != NULL)
		TAILQ_INSERT_BEFORE(colder, conn, link);
	else
		TAILQ_INSERT_TAIL(&p->in[PC_IDLE], conn, link);
}

void
policy_set_cap(struct policy *p, enum policy_cap which, struct policy_budget *b, uint64_t now_us)
{
	if (p->caps.by_kind[which].budget == b)
		return;
	caps_set(&p->caps, which, b, p->count, now_us);
	policy_replenish(p, now_us);
}

void
policy_set_circuit(struct policy *p, struct policy_circuit *c, uint64_t now_us)
{
	struct policy_conn *conn;

	if (p->circuit.circuit == c)
		return;
	TAILQ_FOREACH(conn, &p->in[PC_OPENING], link)
		policy_end_trial(p, conn, now_us);
	TAILQ_FOREACH(conn, &p->in[PC_CLOSING], link)
		policy_end_trial(p, conn, now_us);
	circuit_leave(&p->circuit);
	circuit_join(c, &p->circuit, &p->orders);
	policy_replenish(p, now_us);
}

bool
policy_has_waiters(const struct policy *p)
{
	return p->waiting > 0;
}

static void
end_washing(struct policy *p, struct policy_conn *conn)
{
	p->washing -= conn->is_being_washed;
	conn->is_being_washed = false;
}

/* Call when conn is gone: removes conn from p->last_by_borrower. */
__attribute__((noinline)) static void
forget_last(struct policy *p, const struct policy_conn *conn)
{
	for (unsigned i = 0; i < POLICY_LAST_SLOTS; i++)
		if (p->last_by_borrower[i] == conn)
			p->last_by_borrower[i] = NULL;
}

static bool
has_list(enum policy_conn_state state)
{
	return state != PC_NONE && state != PC_LENT;
}

__attribute__((noinline)) static void
tell_now(struct policy *p)
{
	policy_publish_row(p);
	if (p->caps.is_watched)
		publish_now(p);
}

/* Call this after a change of the queue. Tells the caps and the other shards; in most pools no cap is tight, and there
 * are no other shards. */
static inline void
tell_queue(struct policy *p)
{
	const struct policy_waiter *first = TAILQ_FIRST(&p->queue);

	if (!p->is_observed)
		return;
	if (p->caps.is_watched || first == NULL ||
	    !shard_publish_queue(&p->shard, p->waiting, policy_count_own_coming(p), first->since_us))
		tell_now(p);
}

/* Tells the shared policy and the caps that conn has moved. A connection in transfer between shards still counts as
 * before, so its moves are not told. */
static void
note_move(struct policy *p, const struct policy_conn *conn, enum policy_conn_state from, enum policy_conn_state to)
{
	p->heard_us = later_of(p->heard_us, conn->heard_us);
	if (conn->shared != NULL)
		return;
	shard_note_state(&p->shard, from, to);
	if (to == PC_NONE || to == PC_CLOSING || (policy_is_being_opened(from) && caps_counts_logins(&p->caps)))
		caps_state_changed(&p->caps, from, to);
}

/* Inline, so the two moves of each loan (idle to lent, and back) are compiled for constant states. Calls note_move()
 * when a login ends, and when conn closes or is gone. The caller must call tell_moved() after each move. */
__attribute__((always_inline)) static inline void
move_conn(struct policy *p, struct policy_conn *conn, enum policy_conn_state from, enum policy_conn_state to)
{
	if (p->returned == conn)
		p->returned = NULL; /* conn was closed instead */
	end_washing(p, conn);
	if (from == PC_NONE) {
		TAILQ_INSERT_TAIL(&p->all, conn, all);
		p->total++;
	} else
		p->count[from]--;
	if (has_list(from))
		TAILQ_REMOVE(&p->in[from], conn, link);
	conn->state = to;
	if (to == PC_NONE) {
		assert(p->total > 0);
		TAILQ_REMOVE(&p->all, conn, all);
		p->total--;
		forget_last(p, conn);
	} else
		p->count[to]++;
	if (to == PC_IDLE)
		insert_idle(p, conn);
	else if (has_list(to))
		TAILQ_INSERT_TAIL(&p->in[to], conn, link);
	if (to == PC_NONE || to == PC_CLOSING || policy_is_being_opened(from))
		note_move(p, conn, from, to);
}

/* Call this after move_conn(). Nearly always only the number of idle connections has changed, and shard_publish_idle()
 * suffices; else this does tell_now(). */
static inline void
tell_moved(struct policy *p)
{
	if (p->is_observed && (p->caps.is_watched || !shard_publish_idle(&p->shard, p->count[PC_IDLE])))
		tell_now(p);
}

void
policy_move(struct policy *p, struct policy_conn *conn, enum policy_conn_state to)
{
	assert(conn->state != to && (conn->state != PC_CLOSING || to == PC_NONE));
	assert(conn->state == PC_NONE || p->count[conn->state] > 0);
	move_conn(p, conn, conn->state, to);
	tell_moved(p);
}

static void
join_queue(struct policy *p, struct policy_waiter *t, uint64_t now_us)
{
	assert(t->waits == WAITS_NOT);
	t->waits = WAITS_IN_QUEUE;
	t->since_us = now_us;
	t->connect_us = 0;
	t->is_notice_sent = false;
	t->number = ++p->last_number;
	TAILQ_INSERT_TAIL(&p->queue, t, link);
	p->waiting++;
	p->counters->waits++;
	p->shard.is_to_ask = true;
	policy_note_demand(p, now_us);
	if (p->outage.since_us > 0 && p->settings.on_outage == OUTAGE_HOLD) {
		p->outage.held++;
		p->counters->held++;
	}
	if (p->is_observed)
		tell_queue(p);
}

void
policy_leave_queue(struct policy *p, struct policy_waiter *t)
{
	assert(t->waits != WAITS_NOT && p->waiting > 0);
	if (t->waits == WAITS_AHEAD)
		policy_orphan_ahead(p, t);
	TAILQ_REMOVE(&p->queue, t, link);
	t->waits = WAITS_NOT;
	p->waiting--;
	tell_queue(p);
}

/* Call this when t is about to be granted a connection: if t's request was sent ahead to another connection, the copy
 * there has no owner now. */
static void
leave_queue_served(struct policy *p, struct policy_waiter *t)
{
	p->counters->pipelined[PL_SECOND] += t->waits == WAITS_AHEAD;
	policy_leave_queue(p, t);
}

/* conn may have been freed when this returns. */
void
policy_close_conn(struct policy *p, struct policy_conn *conn, enum recycle_reason reason)
{
	p->counters->recycles[reason]++;
	policy_forget_ahead(conn);
	policy_move(p, conn, PC_CLOSING);
	p->ops.close(p->owner, conn, reason);
}

/* --- Lending. --- */

static bool
policy_needs_ping(const struct policy *p, const struct policy_conn *conn, uint64_t now_us)
{
	const struct policy_settings *s = &p->settings;

	return conn->epoch != p->epoch || (s->pre_ping && now_us >= policy_add_us(conn->heard_us, s->pre_ping_idle_us));
}

static struct policy_conn *
choose_in_order(const struct policy *p, const struct policy_waiter *t, uint64_t now_us)
{
	const struct policy_conns *idle = &p->in[PC_IDLE];
	struct policy_conn *conn = p->settings.lifo ? TAILQ_FIRST(idle) : TAILQ_LAST(idle, policy_conns);
	struct policy_conn *first = NULL;

	if (p->settings.pre_ping && p->settings.pre_ping_idle_us == 0)
		return NULL; /* each connection must be pinged first */
	for (int looked = 0; conn != NULL;
	     conn = p->settings.lifo ? TAILQ_NEXT(conn, link) : TAILQ_PREV(conn, policy_conns, link), looked++) {
		if (first != NULL && looked >= LOOK_FOR_GUCS)
			break;
		if (policy_needs_ping(p, conn, now_us))
			continue;
		if (t->gucs == NULL || conn->gucs == t->gucs)
			return conn;
		if (first == NULL)
			first = conn;
	}
	return first;
}

/* Returns a connection that may be lent as it is: with settings.lifo, the waiter's last connection, if it has the
 * waiter's GUC set and was returned less than SOON_US ago; else one of the first few with this GUC set; else the first.
 * A waiter that comes back later gets the warmest connection, so the other connections cool down and can be closed. */
static inline struct policy_conn *
choose_idle(const struct policy *p, const struct policy_waiter *t, uint64_t now_us)
{
	struct policy_conn *own = p->last_by_borrower[t->id % POLICY_LAST_SLOTS];

	if (own != NULL && own->borrower_id == t->id && p->settings.lifo && now_us - own->idle_since_us < SOON_US &&
	    (t->gucs == NULL || own->gucs == t->gucs) && own->state == PC_IDLE && !policy_needs_ping(p, own, now_us))
		return own;
	return choose_in_order(p, t, now_us);
}

static inline void
lend(struct policy *p, struct policy_conn *conn, const struct policy_waiter *t)
{
	if (conn->borrower_id != t->id) {
		conn->borrower_id = t->id;
		p->last_by_borrower[t->id % POLICY_LAST_SLOTS] = conn;
	}
	p->counters->checkouts[conn->source]++;
	conn->source = CS_IDLE;
	if (conn->state == PC_IDLE) {
		move_conn(p, conn, PC_IDLE, PC_LENT);
		tell_moved(p);
	} else if (conn->state != PC_LENT)
		policy_move(p, conn, PC_LENT);
}

/* Returns true if policy_replenish() would do nothing for one more waiter: that function has run for the previous
 * waiters, the pool is full, all connections of this shard are lent, and no shard has an idle connection. */
static inline bool
needs_no_replenish(const struct policy *p)
{
	return p->waiting > 1 && p->count[PC_LENT] == p->total && policy_total(p) >= p->limit && p->failed_count == 0 &&
	       !p->caps.is_watched && (p->shard.shared == NULL || shard_pool_is_exhausted(&p->shard));
}

struct policy_conn *
policy_borrow(struct policy *p, struct policy_waiter *t, uint64_t now_us)
{
	struct policy_conn *conn = NULL;

	p->keeps_min_idle = true;
	if (p->waiting == p->sent_ahead && p->count[PC_IDLE] > 0)
		conn = choose_idle(p, t, now_us);
	if (conn == NULL) {
		join_queue(p, t, now_us);
		if (!needs_no_replenish(p))
			policy_replenish(p, now_us);
		return NULL;
	}
	lend(p, conn, t);
	if (p->count[PC_IDLE] < p->settings.min_idle)
		policy_arm(p, policy_next_due_us(p, now_us));
	return conn;
}

struct policy_conn *
policy_borrow_idle(struct policy *p, struct policy_waiter *t, uint64_t now_us)
{
	struct policy_conn *conn =
	    p->waiting == p->sent_ahead && p->count[PC_IDLE] > 0 ? choose_idle(p, t, now_us) : NULL;

	if (conn == NULL) {
		/* after a fatal failure only a client in the queue may shorten the back-off, and the queue is empty */
		if (!p->is_fail_fatal)
			policy_note_demand(p, now_us);
		policy_stock_up(p, now_us);
	} else
		lend(p, conn, t);
	return conn;
}

void
policy_cancel(struct policy *p, struct policy_waiter *t, uint64_t now_us)
{
	if (t->waits == WAITS_NOT)
		return;
	t->connect_us = policy_waited_to_connect_us(p, t, now_us);
	policy_leave_queue(p, t);
	policy_replenish(p, now_us);
}

static inline void take_back(struct policy *p, struct policy_conn *conn, uint64_t now_us);

/* The borrower may return the connection from within on_grant. The next waiter gets the connection when that on_grant
 * is over; otherwise a long queue of such clients would need a stack as deep as the queue is long. */
static inline void
grant(struct policy *p, struct policy_conn *conn, struct policy_waiter *t, uint64_t now_us)
{
	bool is_within = p->is_granting;

	assert(conn->state == PC_LENT && t->waits == WAITS_NOT);
	p->is_granting = true;
	p->orders.worker->waiter_ops->on_grant(conn, t);
	if (is_within)
		return;
	while ((conn = p->returned) != NULL) {
		p->returned = NULL;
		if (policy_first_ahead_is_orphaned(
			conn)) { /* the waiter whose request is next there has left meanwhile */
			policy_close_conn(p, conn, RR_DIRTY);
			policy_replenish(p, now_us);
		} else
			take_back(p, conn, now_us);
	}
	p->is_granting = false;
}

/* Lends idle connections to waiters. Needed only if idle connections become lendable while clients wait. */
void
policy_serve(struct policy *p, uint64_t now_us)
{
	struct policy_waiter *t;
	struct policy_conn *conn;

	while ((t = policy_next_waiter(p, now_us)) != NULL && (conn = choose_idle(p, t, now_us)) != NULL) {
		leave_queue_served(p, t);
		lend(p, conn, t);
		grant(p, conn, t, now_us);
	}
	policy_give_idle(p, now_us);
}

/* --- Connections that come free: returned, opened, pinged. --- */

/* As long as new connections can't be opened, old ones are not closed for their age. */
bool
policy_is_aged(const struct policy *p, const struct policy_conn *conn, uint64_t now_us)
{
	return conn->recycle_at_us != 0 && now_us >= conn->recycle_at_us && p->failed_count == 0;
}

/* Returns true if conn is to be closed for its age. A new connection serves at least one waiter, however short
 * pool_recycle is. */
static inline bool
is_spent(const struct policy *p, const struct policy_conn *conn, uint64_t now_us)
{
	return conn->source == CS_IDLE && policy_is_aged(p, conn, now_us);
}

static bool
is_to_close(const struct policy *p, const struct policy_conn *conn, uint64_t now_us, enum recycle_reason *reason)
{
	if (p->is_paused)
		*reason = RR_KILL;
	else if (conn->is_recycle_due)
		*reason = p->close_reason;
	else if (policy_count_live(p) > p->limit)
		*reason = RR_OVERFLOW;
	else if (is_spent(p, conn, now_us))
		*reason = RR_AGE;
	else
		return false;
	return true;
}

__attribute__((noinline)) static void
arm_for_idle(struct policy *p, uint64_t now_us)
{
	policy_arm(p, clock_lesser_us(policy_idle_due_us(p, now_us), policy_stuck_at(p, now_us)));
}

static void
go_idle(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	bool is_crowded = policy_count_live(p) > p->settings.pool_size, is_due_sooner;

	policy_move(p, conn, PC_IDLE);
	is_due_sooner = policy_note_idle_deadlines(p, conn) || is_crowded; /* conn may be freed by the calls below */
	is_due_sooner |= p->sent_ahead > 0;
	if (is_crowded)
		policy_trim(p, now_us);
	caps_review(&p->caps, now_us);
	policy_give_idle(p, now_us);
	if (is_due_sooner)
		arm_for_idle(p, now_us);
}

/* Returns true if a client of another shard may be served before t, the next waiter here: because that client has
 * waited longer by more than SHARD_LATE_US, or because t is NULL. This is rare. */
static inline bool
may_give(const struct policy *p, const struct policy_waiter *t)
{
	return p->shard.shared != NULL && shard_may_choose(&p->shard, t != NULL ? t->since_us : NEVER_US);
}

/* Closes conn; or passes conn on to the waiter whose request is next on conn, if requests were sent ahead there, else
 * to the next waiter here or in another shard; or makes conn idle if no client waits. */
__attribute__((noinline)) static void
pass_on(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	uint32_t ahead = conn->ahead_count;
	struct policy_waiter *t = ahead > 0 ? conn->ahead[0].t : policy_next_waiter(p, now_us);
	bool is_asked_back = caps_claim_returned(&p->caps, conn->opened_us, now_us);
	bool is_orphaned = ahead > 0 && t == NULL;
	enum recycle_reason reason = is_orphaned ? RR_DIRTY : RR_EVICTED;
	uint64_t asked_us = p->query_asked_us;

	p->query_asked_us = 0;
	end_washing(p, conn);
	if (is_to_close(p, conn, now_us, &reason) || is_asked_back || is_orphaned) {
		policy_close_conn(p, conn, reason);
		policy_replenish(p, now_us);
	} else if (ahead == 0 && may_give(p, t) && policy_give_away(p, conn, t, now_us)) {
		return;
	} else if (t == NULL) {
		go_idle(p, conn, now_us);
	} else {
		if (asked_us != 0)
			t->connect_us = now_us - later_of(asked_us, t->since_us);
		if (ahead > 0)
			policy_unmark_sent_ahead(p, t);
		leave_queue_served(p, t);
		lend(p, conn, t);
		if (caps_is_short(&p->caps))
			policy_replenish(p, now_us);
		if (p->shard.shared != NULL)
			policy_give_idle(p, now_us);
		grant(p, conn, t, now_us);
	}
}

/* Returns true if all of the pool's connections may stay, and no client in another pool or shard waits for one. */
static inline bool
may_all_stay(const struct policy *p, bool is_observed)
{
	if (!is_observed)
		return policy_count_own_live(p) <= p->settings.pool_size;
	return !p->caps.is_watched && p->shard.shared != NULL && !shard_has_waiters_elsewhere(&p->shard) &&
	       policy_read_atomic(&p->shard.shared->live) <= p->settings.pool_size;
}

/* Tells the other shards of the idle connection, and serves clients that have begun to wait there meanwhile. */
__attribute__((noinline)) static void
tell_idle(struct policy *p, bool is_due_sooner, uint64_t now_us)
{
	tell_now(p);
	if (shard_waiting_bits_of_others(&p->shard) != 0)
		policy_give_idle(p, now_us);
	if (is_due_sooner)
		arm_for_idle(p, now_us);
}

/* Inline, because this is compiled twice: with is_observed and without. Nearly always no client waits. */
__attribute__((always_inline)) static inline void
place_returned(struct policy *p, struct policy_conn *conn, bool is_observed, uint64_t now_us)
{
	bool is_due_sooner;

	if (p->waiting > 0 || p->is_paused || conn->is_recycle_due || is_spent(p, conn, now_us) ||
	    !may_all_stay(p, is_observed)) {
		pass_on(p, conn, now_us);
		return;
	}
	move_conn(p, conn, PC_LENT, PC_IDLE);
	is_due_sooner = policy_note_idle_deadlines(p, conn);
	if (is_observed && !shard_publish_idle(&p->shard, p->count[PC_IDLE]))
		tell_idle(p, is_due_sooner, now_us); /* conn may be freed */
	else if (is_due_sooner)
		arm_for_idle(p, now_us);
}

__attribute__((noinline)) static void
settle_observed(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	place_returned(p, conn, true, now_us);
}

static inline void
take_back(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	assert(conn->state == PC_LENT);
	conn->heard_us = conn->idle_since_us = now_us;
	conn->epoch = p->epoch;
	caps_note_returned(&p->caps, conn->opened_us, now_us);
	if (p->is_observed)
		settle_observed(p, conn, now_us);
	else
		place_returned(p, conn, false, now_us);
}

void
policy_return(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	if (p->is_granting && p->returned == NULL && p->waiting > 0) {
		assert(conn->state == PC_LENT);
		end_washing(p, conn);
		p->returned = conn;
	} else
		take_back(p, conn, now_us);
}

void
policy_return_after_query(struct policy *p, struct policy_conn *conn, uint64_t asked_us, uint64_t now_us)
{
	p->query_asked_us = asked_us;
	policy_return(p, conn, now_us);
	p->query_asked_us = 0;
}

/* Call when conn was opened or pinged; asked_us: when the login or ping began. The longest waiter gets conn, even if
 * conn was opened for another waiter. A conn that is to be closed serves one waiter first if it was OPENING, unless the
 * pool is above its limit. */
static void
deliver(struct policy *p, struct policy_conn *conn, uint64_t asked_us, uint64_t now_us)
{
	struct policy_waiter *t = policy_next_waiter(p, now_us);
	enum recycle_reason reason;
	bool is_to_end = is_to_close(p, conn, now_us, &reason);

	assert(policy_is_being_opened(conn->state) || conn->state == PC_PINGING);
	conn->heard_us = now_us;
	conn->epoch = p->epoch;
	if (is_to_end && (t == NULL || conn->state != PC_OPENING || reason == RR_OVERFLOW)) {
		policy_close_conn(p, conn, reason);
		t = NULL;
	} else if (t == NULL) {
		go_idle(p, conn, now_us);
	} else if (!is_to_end && may_give(p, t) && policy_give_away(p, conn, t, now_us)) {
		t = NULL;
	} else {
		t->connect_us += now_us - later_of(asked_us, t->since_us);
		leave_queue_served(p, t);
		lend(p, conn, t);
	}
	policy_replenish(p, now_us);
	if (t != NULL)
		grant(p, conn, t, now_us);
}

/* Call when PostgreSQL has answered. */
static void
recover(struct policy *p, uint64_t now_us)
{
	policy_forget_failures(p);
	policy_end_outage(p, now_us);
}

bool
policy_arrive(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	struct policy_waiter *t = policy_next_waiter(p, now_us);
	enum recycle_reason reason = p->close_reason;
	bool is_current, is_trusted;

	assert(conn->state == PC_NONE);
	if (!shard_end_transfer(&p->shard, conn, &is_current))
		return false;
	caps_note_transferred(&p->caps, false);
	conn->borrower_id = 0; /* conn's last borrower is not known here */
	/* If an attempt has failed, or the epoch was raised, since conn was last heard from, a ping must come first. */
	is_trusted = conn->epoch != 0 && conn->heard_us > p->shard.epoch_raised_us &&
		     (p->failed_count == 0 || conn->heard_us >= p->last_fail_us);
	conn->epoch = is_trusted ? p->epoch : p->epoch - 1;
	if (is_trusted && (p->failed_count > 0 || p->outage.since_us > 0))
		recover(p, now_us);
	if (is_to_close(p, conn, now_us, &reason) || !is_current) {
		policy_close_conn(p, conn, reason);
		t = NULL;
	} else if (t == NULL || policy_needs_ping(p, conn, now_us)) {
		go_idle(p, conn, now_us);
		t = NULL;
	} else {
		leave_queue_served(p, t);
		lend(p, conn, t);
	}
	p->shard.is_to_ask |= t == NULL;
	policy_replenish(p, now_us);
	if (t != NULL)
		grant(p, conn, t, now_us);
	return true;
}

/* --- The owner's reports. They may still concern a connection that the owner was asked to close. --- */

void
policy_conn_opening(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	assert(conn->state == PC_NONE && conn->shared == NULL && !conn->is_being_washed);
	assert(p->shard.shared != NULL || p->total < p->limit);
	conn->opened_us = now_us;
	conn->source =
	    (p->shard.shared == NULL ? p->total : policy_total(p) - 1) >= p->settings.pool_size ? CS_OVERFLOW : CS_NEW;
	conn->round = shard_pool_round(&p->shard);
	policy_move(p, conn, p->opening_purpose == OPENS_HEALTH_CHECK ? PC_CHECKING : PC_OPENING);
	conn->is_trial = p->opening_purpose == OPENS_TRIAL;
	p->opening_purpose = OPENS_ANY;
}

void
policy_conn_opened(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	uint64_t asked_us = conn->opened_us;

	if (!policy_is_being_opened(conn->state))
		return;
	p->arriving = conn;
	circuit_note_answer(&p->circuit, now_us);
	policy_end_trial(p, conn, now_us);
	recover(p, now_us);
	policy_raise_ramp(p);
	conn->opened_us = conn->idle_since_us = now_us;
	policy_set_recycle_time(p, conn);
	deliver(p, conn, asked_us, now_us);
	p->arriving = NULL;
}

static void
policy_raise_epoch(struct policy *p, uint64_t now_us)
{
	p->epoch++;
	p->shard.epoch_raised_us = now_us;
	p->sweep_us = clock_lesser_us(p->sweep_us, now_us);
}

void
policy_distrust(struct policy *p, uint64_t now_us)
{
	policy_raise_epoch(p, now_us);
	policy_arm(p, policy_next_due_us(p, now_us));
}

void
policy_ping_failed(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	assert(conn->state == PC_PINGING);
	p->counters->pings_failed++;
	policy_raise_epoch(p, now_us);
	p->distrust_epoch = p->epoch;
	policy_close_conn(p, conn, RR_FAILED_PING);
}

void
policy_ping_done(struct policy *p, struct policy_conn *conn, bool ok, uint64_t now_us)
{
	if (conn->state != PC_PINGING)
		return;
	if (ok) {
		p->counters->pings_ok++;
		if (p->outage.since_us > 0)
			recover(p, now_us); /* the connection came from another shard during the outage */
		deliver(p, conn, conn->pinged_us, now_us);
	} else {
		policy_ping_failed(p, conn, now_us);
		policy_replenish(p, now_us);
	}
}

void
policy_conn_gone(struct policy *p, struct policy_conn *conn, bool upstream_may_be_down, uint64_t now_us)
{
	enum policy_conn_state was = conn->state;

	if (was == PC_NONE)
		return;
	if (was == PC_LENT)
		shard_note_lost(&p->shard, now_us);
	policy_forget_ahead(conn);
	policy_move(p, conn, PC_NONE);
	policy_end_trial(p, conn, now_us);
	if (was == PC_PINGING)
		p->counters->pings_failed++;
	if (was == PC_LENT && p->waiting > 0 && !policy_has_verified(p)) {
		p->patient_to = p->last_number; /* waiters in the queue keep waiting: policy_outage.c */
		p->has_patient = true;
	}
	if (upstream_may_be_down && (was == PC_IDLE || was == PC_PINGING || was == PC_LENT))
		policy_raise_epoch(p, now_us);
	policy_replenish(p, now_us);
}

void
policy_note_washing(struct policy *p, struct policy_conn *conn)
{
	assert(conn->state == PC_LENT && conn != p->returned);
	p->washing += !conn->is_being_washed;
	conn->is_being_washed = true;
	assert(p->washing <= p->count[PC_LENT]);
	if (p->waiting > 0)
		policy_publish_row(p);
}

void
policy_note_washing_delayed(struct policy *p, struct policy_conn *conn, uint64_t asked_us, uint64_t now_us)
{
	struct policy_waiter *t;

	if (!conn->is_being_washed)
		return;
	TAILQ_FOREACH(t, &p->queue, link)
		if (asked_us != 0)
			t->connect_us += now_us - later_of(asked_us, t->since_us);
	assert(p->washing > 0);
	end_washing(p, conn);
	policy_publish_row(p);
	policy_replenish(p, now_us);
}

void
policy_wake(struct policy *p, uint64_t now_us)
{
	p->cap_has_room = true;
	policy_arm(p, now_us);
}

bool
policy_give_up_idle(struct policy *p, uint64_t now_us)
{
	struct policy_conn *coldest = TAILQ_LAST(&p->in[PC_IDLE], policy_conns);

	if (coldest == NULL)
		return false;
	policy_close_conn(p, coldest, RR_EVICTED);
	policy_replenish(p, now_us);
	return true;
}

/* --- The owner's other calls. --- */

bool
policy_has_unserved_waiters(const struct policy *p)
{
	return policy_count_unserved(p) > 0 || caps_is_contended(&p->caps) ||
	       (p->shard.shared != NULL && shard_has_unserved_others(&p->shard));
}

uint64_t
policy_keep_us(const struct policy *p, const struct policy_conn *conn, uint64_t now_us)
{
	enum recycle_reason reason;

	if (is_to_close(p, conn, now_us, &reason))
		return 0;
	if (policy_count_live(p) > p->settings.pool_size)
		return p->settings.overflow_linger_us;
	return p->settings.idle_timeout_us > 0 ? p->settings.idle_timeout_us : NEVER_US;
}

void
policy_warm(struct policy *p, uint64_t now_us)
{
	p->keeps_min_idle = true;
	policy_replenish(p, now_us);
}

void
policy_get_counts(const struct policy *p, struct policy_counts *out)
{
	*out = (struct policy_counts){ .backoff_until_us = p->backoff_until_us, .outage = p->outage };
	policy_add_counts(p, out);
}

void
policy_add_counts(const struct policy *p, struct policy_counts *to)
{
	const struct policy_waiter *first = TAILQ_FIRST(&p->queue);
	uint32_t live = shard_is_first(&p->shard) ? policy_count_live(p) : 0, size = p->settings.pool_size;

	to->is_paused |= p->is_paused;
	to->opening += p->count[PC_OPENING] + p->count[PC_CHECKING];
	to->idle += p->count[PC_IDLE];
	to->pinging += p->count[PC_PINGING];
	to->washing += p->washing;
	to->in_transfer += shard_count_coming(&p->shard);
	to->lent += p->count[PC_LENT];
	to->closing += p->count[PC_CLOSING];
	to->waiting += p->waiting;
	to->overflow += live > size ? live - size : 0; /* the first shard counts the overflow of the whole pool */
	if (first != NULL && (to->oldest_waiter_us == 0 || first->since_us < to->oldest_waiter_us))
		to->oldest_waiter_us = first->since_us;
}
