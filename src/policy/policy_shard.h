/*
 * src/policy/policy_shard.h - one worker's shard of a pool, and the state that all shards of a pool write and read. See
 * policy_shared.h. Included by src/policy/ only.
 *
 * Some fields change only under the lock of the commons (such as the numbers of places and of connections in transfer,
 * and the round); all threads may read them. Besides, each shard has a *row*: its bits in presence_bits, and its
 * entries in since_us and counts. The shard writes its row without the lock, after a change.
 *
 * Always: used >= live >= verified; a shard that gets its first idle connection, or one more waiter, writes its row
 *         before it reads the rows of others.
 *
 * A shard that gets its first idle connection, and a shard that gets one more waiter, must not miss each other. Each
 * writes its own row, runs a fence, and reads the other's row, so at least one of them sees both rows. Further idle
 * connections need no fence, because a shard with waiters sees the bit that the first one has set, and asks for more.
 */
#pragma once

#include "policy/policy_budget.h"
#include "policy/policy_shared.h"

#include <stdatomic.h>

#define SHARD_LATE_US 1000u /* a client may be overtaken by clients that came at most this much later */
#define SHARD_ASK_US (5 * 1000u) /* a shard that was asked for idle connections has this long to answer */
/* If no connection can be transferred, a shard closes a connection to make a place for a client of another shard, if
 * that client has waited this much longer than the clients of this shard. */
#define SHARD_STARVED_US (100 * 1000u)
/* a shard that has closed a connection to make a place for others leaves the place to them for this long */
#define SHARD_PLACE_KEPT_US (100 * 1000u)
#define ROUND_NONE UINT64_MAX /* the round of a connection that is never transferred */

#define IDLE_BIT(number) (UINT64_C(1) << (32 + (number)))
#define WAITING_BIT(number) (UINT64_C(1) << (number))

/* The counts of one shard, on a cache line of their own, because they are written at each loan, and seldom read. */
struct shard_counts {
	_Alignas(64) _Atomic uint32_t idle;
	_Atomic uint32_t waiting;
	_Atomic uint32_t free_soon; /* how many connections will soon be free for waiters here; 0 without waiters */
};

struct policy_shared {
	struct policy_named named;
	struct policy_commons *commons;

	/* Changed under the lock: */
	/* orders_of[n]: the orders to the shard of policy worker n; NULL if that worker has no shard of the pool */
	struct policy_orders *orders_of[SHARDS_MAX];
	_Atomic uint32_t shard_count;
	_Atomic uint32_t used; /* places: connections in any state, and connections in transfer */
	_Atomic uint32_t live; /* connections that are neither CLOSING nor CHECKING */
	_Atomic uint32_t verified; /* live connections that are not OPENING */
	_Atomic uint32_t coming[SHARDS_MAX]; /* coming[n]: connections in transfer to the shard of policy worker n */
	/* the limit on the connections of all shards, set when PostgreSQL refused a connection as one too many */
	_Atomic uint32_t lowered_limit;
	_Atomic uint64_t lowered_until_us; /* when lowered_limit ends */
	/* The number of the present round. A connection is transferred only if it was opened in the present round.
	 * policy_close_all and policy_pause begin a new round. */
	_Atomic uint64_t round;
	_Atomic uint32_t in_use_bits; /* a bit for each shard whose policy_shard.is_in_use is true */
	uint32_t outage_bits; /* a bit for each shard in an outage */
	_Atomic uint64_t pool_outage_since_us; /* when the outage of the whole pool began; 0 if there is none */
	_Atomic uint64_t lost_us; /* when a lent connection of any shard was last lost; written without the lock */
	uint32_t held, refused; /* the counts of struct policy_outage, summed over shards that have left the outage */
	struct budget_group cap_groups[POLICY_CAPS]; /* the pool's places under each cap */
	bool is_orphan; /* true after the last policy_shared_put(); then freed once no connection is in transfer */

	_Alignas(64) _Atomic uint64_t presence_bits; /* IDLE_BIT and WAITING_BIT of each shard */
	_Alignas(64) _Atomic uint64_t since_us[SHARDS_MAX]; /* since_us of each shard's first waiter, or UINT64_MAX */
	struct shard_counts counts[SHARDS_MAX];
};

/* Embedded in struct policy. If shared is NULL, only `orders` has a meaning. */
struct policy_shard {
	struct policy_shared *shared;
	struct policy_orders *orders; /* the pool's orders */
	uint32_t number; /* the number of the shard's policy worker */
	uint64_t asked_us; /* when other shards were asked for connections for the waiters here; 0 if not asked */
	uint32_t live_when_asked; /* how many live connections the shard had when it last considered asking */
	uint32_t asked_of; /* a bit for each shard that was asked, and has not answered "none idle" */
	uint64_t epoch_raised_us; /* when policy.epoch was last raised */
	const struct policy_worker *given_to; /* the receiver of the last transferred connection, or NULL */
	/* policy_worker.turns of this worker, and of given_to, at that transfer */
	uint32_t own_turns, given_to_turns;
	uint64_t place_made_us; /* when a place was last made for a client in another shard */
	bool is_to_ask; /* true if other shards are to be asked, for instance for one more waiter here */
	bool has_no_place; /* true if the pool or a cap had no place left when the shard last looked for one */
	bool has_unreported_place; /* true if the shard has freed a place, and has not told the others yet */
	/* shared->counts of this shard while it has idle connections and no waiter; or NULL */
	struct shard_counts *counts_if_idle;
	/* shared->counts of this shard while it has waiters and no idle connection; or NULL */
	struct shard_counts *counts_if_waiting;
	/* The next four fields are what this shard has last published. */
	uint32_t waiting;
	uint64_t since_us, presence_bits;
	bool is_in_use;
};

/* Returns the number of the lowest bit that is set; bits must not be 0. */
static inline unsigned
shard_first_of(uint32_t bits)
{
	return (unsigned)__builtin_ctz(bits);
}

static inline uint64_t
shard_pool_round(const struct policy_shard *m)
{
	return m->shared == NULL ? ROUND_NONE : atomic_load_explicit(&m->shared->round, memory_order_relaxed);
}

/* Returns a bit for each other shard with waiters. */
static inline uint32_t
shard_waiting_bits_of_others(const struct policy_shard *m)
{
	return (uint32_t)(atomic_load_explicit(&m->shared->presence_bits, memory_order_relaxed) &
			  ~WAITING_BIT(m->number));
}

/* Returns true if clients wait in another shard. Call only if this shard has published that it has no waiters. */
static inline bool
shard_has_waiters_elsewhere(const struct policy_shard *m)
{
	return (uint32_t)atomic_load_explicit(&m->shared->presence_bits, memory_order_relaxed) != 0;
}

/* Returns true if no shard has an idle connection, and m->has_no_place. */
static inline bool
shard_pool_is_exhausted(const struct policy_shard *m)
{
	return m->has_no_place && atomic_load_explicit(&m->shared->presence_bits, memory_order_relaxed) >> 32 == 0;
}

/* Returns true during an outage of the whole pool. */
static inline bool
shard_pool_is_out(const struct policy_shard *m)
{
	return m->shared != NULL && atomic_load_explicit(&m->shared->pool_outage_since_us, memory_order_relaxed) != 0;
}

/* Returns how many connections this shard may open at once if all shards together may open `total` at once. */
static inline uint32_t
shard_share_of_pace(const struct policy_shard *m, uint32_t total)
{
	uint32_t shards = m->shared == NULL ? 1 : atomic_load_explicit(&m->shared->shard_count, memory_order_relaxed);

	return total > shards ? total / shards : 1;
}

/* If this shard has made a place for clients of other shards that still wait, returns the time until which it leaves
 * the place to them; else 0. */
static inline uint64_t
shard_place_left_until_us(const struct policy_shard *m)
{
	return m->place_made_us != 0 && shard_waiting_bits_of_others(m) != 0 ? m->place_made_us + SHARD_PLACE_KEPT_US
									     : 0;
}

/* Returns how many connections are in transfer to this shard. */
static inline uint32_t
shard_count_coming(const struct policy_shard *m)
{
	return m->shared == NULL ? 0 : atomic_load_explicit(&m->shared->coming[m->number], memory_order_relaxed);
}

/* --- policy_shared.c. Unless a comment says otherwise, m->shared may be NULL, and then nothing happens. --- */

/* Makes m a shard of w. total, live, verified: how many connections the shard has in all, and of these kinds (see
 * struct policy_shared). */
void shard_join(struct policy_shard *m, struct policy_shared *w, uint32_t total, uint32_t live, uint32_t verified);
void shard_leave(struct policy_shard *m, uint32_t total, uint32_t live, uint32_t verified, uint64_t now_us);
/* Call this under the lock. Returns true if the pool has a place left. limit: policy_limit_now(). */
bool shard_pool_has_place(const struct policy_shard *m, uint32_t limit);
/* Call this under the lock. Takes a place for a connection that will be opened. state: PC_OPENING or PC_CHECKING. */
void shard_take_place(struct policy_shard *m, enum policy_conn_state state);
/* Call when a connection that has a place becomes PC_CLOSING or PC_NONE (it is gone), or has logged in. */
void shard_note_state(struct policy_shard *m, enum policy_conn_state from, enum policy_conn_state to);
/* Writes the shard's row, for the others to read. m->shared is not NULL. */
void shard_publish(struct policy_shard *m, uint32_t idle, uint32_t waiting, uint32_t free_soon, uint64_t since_us);
/* Publishes a new number of idle connections, and returns true. If a bit of the row may have changed, which is rare, or
 * if m->shared is NULL, does nothing and returns false; then call shard_publish(). */
static inline bool
shard_publish_idle(struct policy_shard *m, uint32_t idle)
{
	if (idle == 0 || m->counts_if_idle == NULL)
		return false;
	atomic_store_explicit(&m->counts_if_idle->idle, idle, memory_order_relaxed);
	return true;
}

/* Publishes a change of the queue, and returns true. If a bit of the row may have changed, because the queue was or is
 * empty or a connection was idle, does nothing and returns false; then call shard_publish(). */
static inline bool
shard_publish_queue(struct policy_shard *m, uint32_t waiting, uint32_t free_soon, uint64_t since_us)
{
	if (m->counts_if_waiting == NULL || waiting == 0)
		return false;
	atomic_store_explicit(&m->shared->since_us[m->number], since_us, memory_order_relaxed);
	atomic_store_explicit(&m->counts_if_waiting->waiting, waiting, memory_order_relaxed);
	atomic_store_explicit(&m->counts_if_waiting->free_soon, free_soon, memory_order_relaxed);
	if (waiting > m->waiting)
		atomic_thread_fence(memory_order_seq_cst); /* the same fence as in shard_publish() */
	m->since_us = since_us;
	m->waiting = waiting;
	return true;
}

void shard_report_change(struct policy_shard *m, bool is_in_use, uint64_t now_us); /* only for shard_report() */
/* Call after each change. If this shard has freed a place, tells the shards with waiters; if is_in_use has changed,
 * tells the other shards in use. */
static inline void
shard_report(struct policy_shard *m, bool is_in_use, uint64_t now_us)
{
	if (m->shared != NULL && (m->has_unreported_place || is_in_use != m->is_in_use))
		shard_report_change(m, is_in_use, now_us);
}

/* Records that a connection was transferred to the policy worker `to`. */
static inline void
shard_note_given(struct policy_shard *m, const struct policy_worker *to)
{
	m->given_to = to;
	m->given_to_turns = atomic_load_explicit(&to->turns, memory_order_relaxed);
	m->own_turns = atomic_load_explicit(&m->orders->worker->turns, memory_order_relaxed);
}

/*
 * Returns true if a client in shard `number` should be served before the clients here. own_us: since_us of the first
 * waiter here; UINT64_MAX if no client waits here, and then any waiter there comes first. Otherwise the first waiter
 * there must have come more than SHARD_LATE_US before own_us. And if this shard's last transfer went there, both
 * workers' loops must have made a turn since; otherwise a loop that stands still, and so has an old queue, would get
 * each returned connection, and give all back.
 */
static inline bool
shard_is_ahead(const struct policy_shard *m, unsigned number, uint64_t own_us)
{
	const struct policy_worker *to = m->given_to;
	uint64_t late_us = own_us < SHARD_LATE_US ? own_us : SHARD_LATE_US;

	if (atomic_load_explicit(&m->shared->since_us[number], memory_order_relaxed) >= own_us - late_us)
		return false;
	return own_us == UINT64_MAX || to == NULL || to->number != number ||
	       (atomic_load_explicit(&to->turns, memory_order_relaxed) != m->given_to_turns &&
		atomic_load_explicit(&m->orders->worker->turns, memory_order_relaxed) != m->own_turns);
}

/* Returns true if a client in another shard is ahead; else shard_choose() would return -1. m->shared is not NULL. */
static inline bool
shard_may_choose(const struct policy_shard *m, uint64_t own_us)
{
	uint32_t shards = shard_waiting_bits_of_others(m);

	while (shards != 0 && !shard_is_ahead(m, shard_first_of(shards), own_us))
		shards &= shards - 1;
	return shards != 0;
}

/* Returns the number of the shard to which a connection should be transferred; -1 if it should stay. own_us: since_us
 * of the waiter that would get the connection here; UINT64_MAX if none waits. m->shared is not NULL. */
int shard_choose(const struct policy_shard *m, uint64_t own_us);
struct shard_sums {
	uint32_t idle, waiting;
};
/* Returns the sums of idle connections and waiting clients over all shards. m->shared is not NULL. */
struct shard_sums shard_sum_pool(const struct policy_shard *m);
/* Returns true if a client waits in another shard, and no connection is coming for it. m->shared is not NULL. */
bool shard_has_unserved_others(const struct policy_shard *m);
/* Returns an estimate of how many clients in other shards began to wait before since_us. */
uint32_t shard_count_ahead(const struct policy_shard *m, uint64_t since_us, uint64_t now_us);
/* Returns true if the first waiter of shard `number` came so long before own_us that a connection must be closed here
 * to make a place for that waiter. */
bool shard_is_starved(const struct policy_shard *m, int number, uint64_t own_us);
/* Prepares to transfer conn to shard `number`. Returns its policy worker; NULL if conn can't or need not go. */
struct policy_worker *shard_begin_transfer(struct policy_shard *m, struct policy_conn *conn, int number);
void shard_cancel_transfer(struct policy_shard *m, struct policy_conn *conn); /* undoes shard_begin_transfer() */
/* Ends the transfer of conn to this shard. Returns false if conn was sent to another shard. *is_of_round becomes false
 * if a new round has begun while conn was in transfer, so conn must be closed. */
bool shard_end_transfer(struct policy_shard *m, struct policy_conn *conn, bool *is_of_round);
void shard_begin_pool_round(struct policy_shard *m); /* from now on, no connection that exists now is transferred */
/* Asks all other shards that have idle connections for connections. m->shared is not NULL. */
void shard_ask(struct policy_shard *m, uint64_t now_us);
/* Returns how many idle connections the shards that were asked may still give. m->asked_us is not 0. */
uint32_t shard_count_expected(const struct policy_shard *m);
/* Tells shards with waiters that this shard gives no more idle connections. m->shared is not NULL. */
void shard_answer_none_idle(struct policy_shard *m, uint64_t now_us);
/* Call when an outage has begun in this shard. Returns true if no other shard was in an outage, so the outage of the
 * whole pool begins; always true without a shared policy. */
bool shard_begin_outage(struct policy_shard *m, uint64_t since_us);
/* Call when the outage *o of this shard is over (is_over), or when the shard leaves the pool in an outage. Returns true
 * if is_over and no other shard is in an outage; then *o is the outage of the whole pool. Otherwise returns false; with
 * is_over, shards in an outage then get ORDER_WAKE. Without a shared policy, returns true. */
bool shard_end_outage(struct policy_shard *m, struct policy_outage *o, bool is_over, uint64_t now_us);
/* Call when a lent connection is lost, before shard_note_state(). */
void shard_note_lost(struct policy_shard *m, uint64_t now_us);
/* Returns true if since_us, when a client began to wait, is before the last shard_note_lost() of any shard. */
bool shard_waited_before_loss(const struct policy_shard *m, uint64_t since_us);
/* Returns true if this shard has the lowest number, and so reports all sums, or if there is no shared policy. */
bool shard_is_first(const struct policy_shard *m);
/* Returns this shard's part of the number `total` that all shards keep in sum; without a shared policy, all of it. */
uint32_t shard_part_of(const struct policy_shard *m, uint32_t total);
/* Limits the pool to `limit` connections until until_us, after PostgreSQL has refused one. Both are 0 to end this. */
void shard_lower_pool_limit(struct policy_shard *m, uint32_t limit, uint64_t until_us);

static inline uint32_t
shard_count_expected_now(const struct policy_shard *m, uint64_t now_us)
{
	return m->asked_us == 0 || now_us >= m->asked_us + SHARD_ASK_US ? 0 : shard_count_expected(m);
}
