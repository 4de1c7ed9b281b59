/*
 * src/policy/policy_shard.h - one worker's shard of a pool, and the state that the shards of a pool write for each
 * other to read. Only src/policy/ includes it. See policy_shared.h.
 *
 * Places, rounds and the numbers of connections in transfer change under the lock of the commons, when a connection is
 * opened, closing, gone or transferred; all threads may read them. Each shard writes its own row (presence_bits,
 * since_us, counts), without the lock, and only when something has changed.
 *
 * Always: used >= live >= verified; a shard that gets its first idle connection or its next waiter has published that
 *         before it looks at the others.
 *
 * A shard that gets its first idle connection, and a shard that gets one more waiter, must not miss each other. Each
 * writes its own row, runs a fence, and reads the other's row, so at least one of them sees both rows. Further idle
 * connections need no fence, because a shard with waiters sees the bit of the first one, and asks.
 */
#pragma once

#include "policy/policy_budget.h"
#include "policy/policy_shared.h"

#include <stdatomic.h>

#define SHARD_LATE_US 1000u /* a client may be overtaken by clients that came at most this much later */
#define SHARD_ASK_US (5 * 1000u) /* a shard that was asked for idle connections has this long to answer */
/* if no connection can be transferred, a place is made for another shard's client that has waited this much longer */
#define SHARD_STARVED_US (100 * 1000u)
#define SHARD_MADE_US (100 * 1000u) /* a place that was made is left to other shards this long, then to this one */
#define ROUND_NONE UINT64_MAX /* the round of a connection that is never transferred */

#define IDLE_BIT(number) (UINT64_C(1) << (32 + (number)))
#define WAITING_BIT(number) (UINT64_C(1) << (number))

/* On a cache line of its own: written at each loan, and seldom read. */
struct shard_counts {
	_Alignas(64) _Atomic uint32_t idle;
	_Atomic uint32_t waiting;
	_Atomic uint32_t served; /* connections that come free soon in the shard; 0 if no client waits there */
};

struct policy_shared {
	struct policy_named named;
	struct policy_commons *commons;

	/* Changed under the lock: */
	struct policy_orders *shards[SHARDS_MAX]; /* by the number of their workers; NULL if there is none */
	_Atomic uint32_t shard_count;
	_Atomic uint32_t used; /* places: connections in any state, and connections in transfer */
	_Atomic uint32_t live; /* connections that are neither CLOSING nor CHECKING */
	_Atomic uint32_t verified; /* live connections that are not OPENING */
	_Atomic uint32_t coming[SHARDS_MAX]; /* connections in transfer to that shard */
	_Atomic uint32_t lowered_limit; /* the most connections in all, since PostgreSQL refused with "too many" */
	_Atomic uint64_t lowered_until_us; /* when lowered_limit ends */
	/* A connection is transferred only if it was opened in this round. policy_close_all and policy_pause begin a
	 * new round. */
	_Atomic uint64_t round;
	_Atomic uint32_t in_use; /* a bit for each shard with is_in_use */
	uint32_t outage_bits; /* a bit for each shard in an outage */
	_Atomic uint64_t out_since_us; /* the beginning of the outage that was reported; 0 if there is no outage */
	_Atomic uint64_t lost_us; /* when a lent connection of any shard was last lost; written without the lock */
	uint32_t held, refused; /* the counts of struct policy_outage, summed over shards that have left the outage */
	struct budget_group caps[POLICY_CAPS]; /* the pool's places under each cap */
	bool is_orphan; /* its last user has released it; it is freed when no connection is in transfer any more */

	_Alignas(64) _Atomic uint64_t presence_bits; /* IDLE_BIT and WAITING_BIT of each shard */
	_Alignas(64) _Atomic uint64_t since_us[SHARDS_MAX]; /* since_us of the first in each queue */
	struct shard_counts counts[SHARDS_MAX];
};

/* Embedded in struct policy. If shared is NULL, all other fields are unused. */
struct policy_shard {
	struct policy_shared *shared;
	struct policy_orders *orders; /* the pool's orders */
	uint32_t number; /* the number of its policy worker */
	uint64_t asked_us; /* when other shards were asked for idle connections, for waiters here; 0 if not */
	uint32_t live_asked; /* the shard's live connections when it last considered asking */
	uint32_t asked_of; /* a bit for each shard that was asked, and has not answered that it has none */
	uint64_t epoch_raised_us; /* when the epoch was last raised */
	const struct policy_worker *given_to; /* the receiver of the last transferred connection, or NULL */
	uint32_t own_turns,
	    its_turns; /* the turns of this worker, and of given_to, when the last connection was given */
	uint64_t place_made_us; /* when a place was last made for a client in another shard */
	bool is_to_ask; /* more clients wait here than when the other shards were last asked */
	bool is_full; /* no place was left when the shard last looked */
	bool has_freed; /* the shard has freed a place that others may wait for */
	/* this shard's counts in `shared` while it has an idle connection and no waiter; else NULL */
	struct shard_counts *idle_counts;
	/* this shard's counts in `shared` while it has waiters and no idle connection; else NULL */
	struct shard_counts *waiting_counts;
	/* Copies of what this shard has last published to the others. */
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
shard_round(const struct policy_shard *m)
{
	return m->shared == NULL ? ROUND_NONE : atomic_load_explicit(&m->shared->round, memory_order_relaxed);
}

/* Returns a bit for each other shard with waiters. */
static inline uint32_t
shard_others_wait(const struct policy_shard *m)
{
	return (uint32_t)(atomic_load_explicit(&m->shared->presence_bits, memory_order_relaxed) &
			  ~WAITING_BIT(m->number));
}

/* Returns true if clients wait in another shard. Valid only if no client waits in this one, and that was published. */
static inline bool
shard_anybody_waits(const struct policy_shard *m)
{
	return (uint32_t)atomic_load_explicit(&m->shared->presence_bits, memory_order_relaxed) != 0;
}

/* Returns true if no shard has an idle connection, and no place was left when this shard last looked. */
static inline bool
shard_is_drained(const struct policy_shard *m)
{
	return m->is_full && atomic_load_explicit(&m->shared->presence_bits, memory_order_relaxed) >> 32 == 0;
}

/* Returns true while a reported outage of the pool lasts. */
static inline bool
shard_is_out(const struct policy_shard *m)
{
	return m->shared != NULL && atomic_load_explicit(&m->shared->out_since_us, memory_order_relaxed) != 0;
}

/* Returns how many connections this shard may open at once if all shards together may open `of`. */
static inline uint32_t
shard_share_of_pace(const struct policy_shard *m, uint32_t of)
{
	uint32_t shards = m->shared == NULL ? 1 : atomic_load_explicit(&m->shared->shard_count, memory_order_relaxed);

	return of > shards ? of / shards : 1;
}

/* Returns until when a place that was made for clients of other shards is left to these clients; 0 if there is no such
 * place. */
static inline uint64_t
shard_left_until_us(const struct policy_shard *m)
{
	return m->place_made_us != 0 && shard_others_wait(m) != 0 ? m->place_made_us + SHARD_MADE_US : 0;
}

/* Returns how many connections are in transfer to this shard. */
static inline uint32_t
shard_coming(const struct policy_shard *m)
{
	return m->shared == NULL ? 0 : atomic_load_explicit(&m->shared->coming[m->number], memory_order_relaxed);
}

/* --- policy_shared.c. Unless a comment says otherwise, m->shared may be NULL, and then nothing happens. --- */

/* total, live, verified: how many connections of each kind the shard has. */
void shard_join(struct policy_shard *m, struct policy_shared *w, uint32_t total, uint32_t live, uint32_t verified);
void shard_leave(struct policy_shard *m, uint32_t total, uint32_t live, uint32_t verified, uint64_t now_us);
/* Call this under the lock. Returns true if there is a place. */
bool shard_has_place(const struct policy_shard *m, uint32_t limit);
/* Call this under the lock. Takes the place of a connection to be opened, which will be in that state. */
void shard_take(struct policy_shard *m, enum policy_conn_state state);
/* A connection that has a place moves to CLOSING or NONE, or is no longer OPENING or CHECKING. */
void shard_moved(struct policy_shard *m, enum policy_conn_state from, enum policy_conn_state to);
/* Publishes the shard's row to the others. m->shared is not NULL. */
void shard_publish(struct policy_shard *m, uint32_t idle, uint32_t waiting, uint32_t served, uint64_t since_us);
/* Does shard_publish() if only the number of idle connections has changed, and no bit, as nearly always. Returns false,
 * and does nothing, if a bit may have changed, or if m->shared is NULL. */
static inline bool
shard_publish_idle(struct policy_shard *m, uint32_t idle)
{
	if (idle == 0 || m->idle_counts == NULL)
		return false;
	atomic_store_explicit(&m->idle_counts->idle, idle, memory_order_relaxed);
	return true;
}

/* Does shard_publish() if clients waited before and still wait, and no connection was idle; else only returns false. */
static inline bool
shard_publish_queue(struct policy_shard *m, uint32_t waiting, uint32_t served, uint64_t since_us)
{
	if (m->waiting_counts == NULL || waiting == 0)
		return false;
	atomic_store_explicit(&m->shared->since_us[m->number], since_us, memory_order_relaxed);
	atomic_store_explicit(&m->waiting_counts->waiting, waiting, memory_order_relaxed);
	atomic_store_explicit(&m->waiting_counts->served, served, memory_order_relaxed);
	if (waiting > m->waiting)
		atomic_thread_fence(memory_order_seq_cst); /* the same fence as in shard_publish() */
	m->since_us = since_us;
	m->waiting = waiting;
	return true;
}

void shard_report_change(struct policy_shard *m, bool is_in_use, uint64_t now_us); /* m->shared is not NULL */
/* Call this after each change. Tells shards with waiters of a freed place, and all shards of a change of is_in_use. */
static inline void
shard_report(struct policy_shard *m, bool is_in_use, uint64_t now_us)
{
	if (m->shared != NULL && (m->has_freed || is_in_use != m->is_in_use))
		shard_report_change(m, is_in_use, now_us);
}

/* Records that a connection was transferred to that policy worker. */
static inline void
shard_has_given(struct policy_shard *m, const struct policy_worker *to)
{
	m->given_to = to;
	m->its_turns = atomic_load_explicit(&to->turns, memory_order_relaxed);
	m->own_turns = atomic_load_explicit(&m->orders->worker->turns, memory_order_relaxed);
}

/*
 * Returns true if the first in the queue of shard `number` came more than SHARD_LATE_US before own_us, the since_us of
 * the waiter here (UINT64_MAX if no client waits here: then any waiter there is ahead). In addition, the loops of both
 * workers must have made a turn since a connection was last given to that shard, so the queues show the effect of that
 * connection. Otherwise a loop that has stood still for a while, and has an old queue only for that reason, would be
 * given each returned connection, and would send as many back.
 */
static inline bool
shard_is_ahead(const struct policy_shard *m, unsigned number, uint64_t own_us)
{
	const struct policy_worker *to = m->given_to;
	uint64_t late_us = own_us < SHARD_LATE_US ? own_us : SHARD_LATE_US;

	if (atomic_load_explicit(&m->shared->since_us[number], memory_order_relaxed) >= own_us - late_us)
		return false;
	return own_us == UINT64_MAX || to == NULL || to->number != number ||
	       (atomic_load_explicit(&to->turns, memory_order_relaxed) != m->its_turns &&
		atomic_load_explicit(&m->orders->worker->turns, memory_order_relaxed) != m->own_turns);
}

/* Returns false if shard_choose() would return -1, because no client in another shard is ahead. m->shared is not
 * NULL. */
static inline bool
shard_may_choose(const struct policy_shard *m, uint64_t own_us)
{
	uint32_t shards = shard_others_wait(m);

	while (shards != 0 && !shard_is_ahead(m, shard_first_of(shards), own_us))
		shards &= shards - 1;
	return shards != 0;
}

/* Returns the shard to which to transfer a connection; -1 if the connection stays. own_us: since_us of the waiter to
 * which it could be lent here; UINT64_MAX if no client waits here. m->shared is not NULL. */
int shard_choose(const struct policy_shard *m, uint64_t own_us);
struct shard_sum {
	uint32_t idle, waiting;
};
/* Returns the sums over all shards. m->shared is not NULL. */
struct shard_sum shard_sum(const struct policy_shard *m);
/* Returns true if there is a client in another shard for which no connection is coming. m->shared is not NULL. */
bool shard_others_lack(const struct policy_shard *m);
/* Returns an estimate of how many clients in other shards began to wait before since_us. */
uint32_t shard_count_ahead(const struct policy_shard *m, uint64_t since_us, uint64_t now_us);
/* Returns true if the first in that shard's queue came so long before own_us that a place is made for it. */
bool shard_is_starved(const struct policy_shard *m, int number, uint64_t own_us);
/* Prepares the transfer of conn to that shard. Returns its policy worker, or NULL if conn can't, or need not, go
 * there. */
struct policy_worker *shard_begin_transfer(struct policy_shard *m, struct policy_conn *conn, int number);
void shard_stays(struct policy_shard *m, struct policy_conn *conn); /* undoes shard_begin_transfer() */
/* Returns false if conn was not sent to this shard. *is_of_round becomes false if a new round has begun while conn was
 * in transfer, so conn must be closed. */
bool shard_arrived(struct policy_shard *m, struct policy_conn *conn, bool *is_of_round);
void shard_next_round(struct policy_shard *m); /* no connection that exists now is transferred any more */
/* Asks others for their idle connections. m->shared is not NULL. */
void shard_ask(struct policy_shard *m, uint64_t now_us);
/* Returns how many connections may come because shards were asked. m->asked_us is not 0. */
uint32_t shard_count_expected(const struct policy_shard *m);
/* Tells shards with waiters that this shard has no idle connection (any more). m->shared is not NULL. */
void shard_answer(struct policy_shard *m, uint64_t now_us);
/* Call when an outage has begun in this shard. Returns true if no other shard was in an outage, so the outage of the
 * whole pool begins; always true without a shared policy. */
bool shard_outage_begins(struct policy_shard *m, uint64_t since_us);
/* Call when the outage *o of this shard is over (is_over), or when the shard leaves the pool in an outage. Returns
 * true, with *o set to the outage of the whole pool, if is_over and no other shard is in an outage. Otherwise orders
 * the shards in an outage to look again. Always returns true without a shared policy. */
bool shard_outage_ends(struct policy_shard *m, struct policy_outage *o, bool is_over, uint64_t now_us);
/* Call when a lent connection is lost, before shard_moved(). */
void shard_lost(struct policy_shard *m, uint64_t now_us);
/* Returns true if a client that waits here since since_us was in the queue when a connection was last lost. */
bool shard_was_in_line(const struct policy_shard *m, uint64_t since_us);
/* Returns true if this shard has the lowest number, so it reports the sums over all; always true without a shared
 * policy. */
bool shard_is_first(const struct policy_shard *m);
/* Returns this shard's share of `of`, a number that all shards keep together; `of` without a shared policy. */
uint32_t shard_share(const struct policy_shard *m, uint32_t of);
/* Call when PostgreSQL has refused another connection: until until_us the pool has `limit` connections at most. */
void shard_lower_limit(struct policy_shard *m, uint32_t limit, uint64_t until_us);

static inline uint32_t
shard_expected(const struct policy_shard *m, uint64_t now_us)
{
	return m->asked_us == 0 || now_us >= m->asked_us + SHARD_ASK_US ? 0 : shard_count_expected(m);
}
