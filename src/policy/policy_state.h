/*
 * src/policy/policy_state.h - shared by the files of the pool policy; no other file includes it.
 *
 *   policy.c           borrow, return, cancel, and the owner's reports about connections
 *   policy_supply.c    supplies connections to the queue: pings idle connections, opens new ones
 *   policy_upkeep.c    time limits (in the queue, idle, age); settings, pause, close
 *   policy_shard.c     gives connections to other shards of the pool, and asks them for connections
 *   policy_shared.c    the state that these shards share
 *   policy_outage.c    decides which clients keep waiting while no connection can be opened, and for how long
 *   policy_refuse.c    refuses clients in the queue
 *   policy_ahead.c     requests that are sent ahead of their turn
 *   policy_obstacle.c  reasons not to open another connection: how many may be opened, when, and the words for errors
 *   policy_budget.c    a cap over several pools, with fair shares
 *   policy_keeper.c    a cap whose places a keeper gets from PostgreSQL (policy_keeper.h)
 *   policy_caps.c      several caps over one pool
 *   policy_commons.c   the state that pools of several threads share, and the lock over it
 *   policy_circuit.c   one trial at a time, for all pools of an upstream that can't be reached
 *
 * Borrows: connections and waiters, while they are on the policy's lists; the owner; counters, budgets and the circuit.
 * Always:  every connection that is not LENT is on the list of its state; only policy.c changes these lists.
 *
 * Only policy_serve and policy_refuse_*, of all functions declared here and in policy_queue.h, call borrowers back. A
 * borrower may do anything with the pool, so values that were read before the call may be wrong after it. The other
 * functions may be called anywhere, because ops call no borrower. Functions of policy.h that make a connection free
 * (policy_return, policy_conn_opened and others) call borrowers back, too, as the last thing they do.
 */
#pragma once

#include "base/clock.h"
#include "policy/policy_caps.h"
#include "policy/policy_circuit.h"
#include "policy/policy_shard.h"

#include <assert.h>

#define NEVER_US UINT64_MAX
#define SECOND_US 1000000u
#define RAMP_MOST 16
#define POLICY_LAST_SLOTS 64u /* a power of two */

TAILQ_HEAD(policy_conns, policy_conn);
TAILQ_HEAD(policy_queue, policy_waiter);

enum policy_opening_purpose { OPENS_ANY, OPENS_TRIAL /* for a trial of the circuit */, OPENS_HEALTH_CHECK };

struct policy {
	struct policy_settings settings;
	struct policy_ops ops;
	void *owner;
	struct pool_counters *counters;
	struct policy_orders orders; /* orders of other pools and threads */
	struct policy_caps caps;
	struct circuit_member circuit;
	struct policy_shard shard;
	uint64_t random;

	struct policy_conns all;
	/* the connection that has just logged in, until policy_conn_opened() returns (orders of other threads may come
	 * in between); else NULL */
	const struct policy_conn *arriving;
	/* in[PC_IDLE] begins with the connection that was returned last, in[PC_PINGING] with the one that was pinged
	 * first; in[PC_LENT] is unused */
	struct policy_conns in[PC_COUNT];
	uint32_t count[PC_COUNT];
	uint32_t total, limit; /* connections in any state; pool_size + max_overflow */
	uint32_t washing; /* how many of the LENT connections are being cleaned (is_being_washed) */
	/* slot id % POLICY_LAST_SLOTS: the connection that borrower `id` had last, if its borrower_id is id */
	struct policy_conn *last_by_borrower[POLICY_LAST_SLOTS];
	struct policy_queue queue; /* the longest waiter is first */
	uint32_t waiting; /* waiters in the queue */
	uint32_t sent_ahead; /* how many of these are WAITS_AHEAD */
	uint32_t last_number; /* the number of the waiter that came last */

	bool is_paused;
	bool keeps_min_idle; /* set by a client's first use and policy_warm(), cleared by policy_close_all() unless for
				a reload */
	bool is_observed; /* true if watched caps or other shards must be told of each change */
	bool cap_has_room; /* true if a cap may have a place for the pool, so policy_tick is due */
	enum policy_opening_purpose opening_purpose; /* while ops->open runs: why the connection is opened */
	enum recycle_reason close_reason; /* the reason for which connections with is_recycle_due are closed */

	uint64_t epoch; /* a connection that was verified in an older epoch is pinged before it is lent */
	/* A new connection is preferred to a ping on a connection that was last verified before this epoch. */
	uint64_t distrust_epoch;

	uint32_t failed_count; /* how often opening has failed in a row; attempts that ran together count once */
	uint64_t backed_off_us, backoff_until_us; /* when the last back-off began, and when it ends; 0 if none */
	uint32_t lowered_limit; /* the most connections in all, since PostgreSQL refused with "too many" */
	uint64_t lowered_until_us; /* when lowered_limit ends */
	struct fail last_fail; /* the last failure to open; its sqlstate is empty if there was none */
	uint64_t last_fail_us, fail_began_us; /* when the last failure came, and when its attempt began */
	uint64_t heard_us; /* the later of two times: the last login, and the last byte of a connection that has gone */
	enum connect_failure last_fail_kind;
	bool is_fail_fatal; /* true if PostgreSQL will refuse each further attempt, until something changes */
	enum circuit_outlook outlook;
	uint64_t asked_us; /* when a client last asked for a connection and did not get one at once */

	struct policy_outage outage;
	/* when the last PAUSE, SUSPEND or outage in which borrowers were held ended; 0 if there was none. Waiting
	 * before that does not count for time limits. */
	uint64_t limits_from_us;
	uint32_t patient_to; /* waiters up to this number keep waiting in an outage, if has_patient */
	bool has_patient; /* true if patient_to is valid */
	uint32_t ramp; /* after an outage: how many connections may be OPENING at a time; 0 if not limited */

	/* when all idle connections were last swept (checked), and when they will be next */
	uint64_t swept_us, sweep_us;
	uint64_t due_us; /* when the owner will call policy_tick */
	bool is_granting; /* true while an on_grant is running */
	uint64_t query_asked_us; /* while policy_return_after_query() runs: its argument asked_us; else 0 */
	struct policy_conn *returned; /* the connection that was returned while an on_grant was running; else NULL */
	bool is_replenish_held; /* true while policy_replenish runs, or while a function runs that ends with it */
};

/* Call this when caps.is_watched or shard.shared has changed. */
static inline void
policy_update_observed(struct policy *p)
{
	p->is_observed = p->caps.is_watched || p->shard.shared != NULL;
}

static inline uint64_t
policy_add_us(uint64_t t_us, uint64_t by_us)
{
	return t_us > NEVER_US - by_us ? NEVER_US : t_us + by_us;
}

static inline uint64_t
later_of(uint64_t a_us, uint64_t b_us)
{
	return a_us > b_us ? a_us : b_us;
}

/* --- Connections of this shard, and of the whole pool, which differ only if the pool lives on several workers. --- */

static inline uint32_t
policy_count_own_live(const struct policy *p)
{
	return p->total - p->count[PC_CLOSING] - p->count[PC_CHECKING];
}

/* Returns how many connections will soon be free in this shard, without those in transfer. */
static inline uint32_t
policy_count_own_coming(const struct policy *p)
{
	return p->count[PC_OPENING] + p->count[PC_PINGING] + p->washing + (p->returned != NULL);
}

static inline uint32_t
policy_count_own_verified(const struct policy *p)
{
	return p->count[PC_IDLE] + p->count[PC_PINGING] + p->count[PC_LENT];
}

static inline uint32_t
policy_read_atomic(const _Atomic uint32_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

/* Returns the number of connections in any state. */
static inline uint32_t
policy_total(const struct policy *p)
{
	return p->shard.shared == NULL ? p->total : policy_read_atomic(&p->shard.shared->used);
}

/* Returns the number of connections except CLOSING and CHECKING ones. */
static inline uint32_t
policy_count_live(const struct policy *p)
{
	return p->shard.shared == NULL ? policy_count_own_live(p) : policy_read_atomic(&p->shard.shared->live);
}

static inline uint64_t
policy_lowered_until_us(const struct policy *p)
{
	const struct policy_shared *w = p->shard.shared;

	return w == NULL ? p->lowered_until_us : atomic_load_explicit(&w->lowered_until_us, memory_order_relaxed);
}

/* Returns how many connections the pool may have now. */
static inline uint32_t
policy_limit_now(const struct policy *p, uint64_t now_us)
{
	uint32_t lowered;

	if (now_us >= policy_lowered_until_us(p))
		return p->limit;
	lowered = p->shard.shared == NULL ? p->lowered_limit : policy_read_atomic(&p->shard.shared->lowered_limit);
	return lowered < p->limit ? lowered : p->limit;
}

/* Returns true if the pool has a connection that has logged in, and is not being closed. */
static inline bool
policy_has_verified(const struct policy *p)
{
	return (p->shard.shared == NULL ? policy_count_own_verified(p)
					: policy_read_atomic(&p->shard.shared->verified)) > 0;
}

/* policy.c */
void policy_move(struct policy *p, struct policy_conn *conn, enum policy_conn_state to);
void policy_close_conn(struct policy *p, struct policy_conn *conn, enum recycle_reason reason);
void policy_leave_queue(struct policy *p, struct policy_waiter *t);
/* Returns true if conn is to be closed for its age. */
bool policy_is_aged(const struct policy *p, const struct policy_conn *conn, uint64_t now_us);
void policy_ping_failed(struct policy *p, struct policy_conn *conn, uint64_t now_us);
void policy_serve(struct policy *p, uint64_t now_us);
void policy_wake(struct policy *p, uint64_t now_us); /* call when a cap may have a place: makes policy_tick due now */

/* policy_shard.c */
/* Gives conn to another shard if a client there comes before t, the waiter that would get conn here (NULL if none
 * waits). Returns true if conn was given away, or was closed to make a place for a client of another shard that has
 * waited too long. There must be a shared policy. */
bool policy_give_away(struct policy *p, struct policy_conn *conn, const struct policy_waiter *t, uint64_t now_us);
/* If no client waits here, gives idle connections to shards with waiters, or closes one that can't be given. */
void policy_give_idle(struct policy *p, uint64_t now_us);
void policy_publish_row(struct policy *p); /* publishes this shard's row: call after a change to it */
/* Asks other shards for idle connections, for the queue here. There must be a shared policy. */
void policy_ask_shards(struct policy *p, uint64_t now_us);
/* Call after each change. Gives connections to shards that wait, and reports the change. Needs a shared policy. */
void policy_share_with_shards(struct policy *p, uint64_t now_us);
void policy_obey_shards(struct policy *p, const struct policy_orders *o, uint64_t now_us);

/* policy_supply.c */
/* Call this after each change: pings and opens connections for the whole queue. */
void policy_replenish(struct policy *p, uint64_t now_us);
void policy_start_ping(struct policy *p, struct policy_conn *conn, uint64_t now_us);
void policy_forget_failures(struct policy *p);
void policy_note_demand(struct policy *p, uint64_t now_us); /* shortens a long back-off; call when a client has come */
/* Ends the circuit's trial. Does nothing if conn is not a trial. */
void policy_end_trial(struct policy *p, struct policy_conn *conn, uint64_t now_us);
uint32_t policy_min_idle(const struct policy *p); /* returns how many idle connections to keep ready */
uint64_t policy_supply_due_us(const struct policy *p, uint64_t now_us);

/* policy_upkeep.c */
/* Makes t, whose request was sent ahead, wait like any other waiter. */
static inline void
policy_unmark_sent_ahead(struct policy *p, struct policy_waiter *t)
{
	assert(t->waits == WAITS_AHEAD && p->sent_ahead > 0);
	t->waits = WAITS_IN_QUEUE;
	p->sent_ahead--;
}

/* Makes policy_tick due at at_us, at the latest. */
static inline void
policy_arm(struct policy *p, uint64_t at_us)
{
	if (at_us >= p->due_us)
		return;
	p->due_us = at_us;
	if (p->ops.wake != NULL)
		p->ops.wake(p->owner, at_us);
}

void policy_trim(struct policy *p, uint64_t now_us); /* closes connections that were idle for too long */
void policy_set_recycle_time(struct policy *p, struct policy_conn *conn);
/* Returns when a sweep must ping or close conn, which is idle; NEVER_US if never. */
static inline uint64_t
policy_sweep_wanted_at(const struct policy *p, const struct policy_conn *conn)
{
	uint64_t at_us = NEVER_US;

	if (conn->is_recycle_due || conn->epoch != p->epoch)
		return 0;
	if (p->settings.ping_interval_us > 0)
		at_us = policy_add_us(conn->heard_us, p->settings.ping_interval_us);
	return conn->recycle_at_us != 0 ? clock_lesser_us(at_us, conn->recycle_at_us) : at_us;
}

/* Call when conn has become idle. Returns true if conn may make policy_idle_due_us() earlier. (This is rare, because
 * connections that have been idle longer reach the same deadlines first.) Does not check if the pool is larger than
 * pool_size. */
static inline bool
policy_note_idle_deadlines(struct policy *p, const struct policy_conn *conn)
{
	uint64_t sweep_us = p->sweep_us;

	p->sweep_us = clock_lesser_us(sweep_us, policy_sweep_wanted_at(p, conn));
	return p->sweep_us != sweep_us || TAILQ_NEXT(conn, link) == NULL ||
	       (p->settings.idle_timeout_us > 0 && p->count[PC_IDLE] - 1 <= p->settings.min_idle);
}

uint64_t policy_next_due_us(const struct policy *p, uint64_t now_us);
/* Returns the part of policy_next_due_us() that concerns idle connections. */
uint64_t policy_idle_due_us(const struct policy *p, uint64_t now_us);
