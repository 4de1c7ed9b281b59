/*
 * src/policy/policy_shard.h - one worker's shard of a pool, and what it and the other shards write for each other to
 * see. Only src/policy/ includes it. See policy_shared.h.
 *
 * Places, rounds and what is on its way change under the lock of the commons, when a connection is opened, closing or
 * gone, and when one is transferred; anybody may read them. The row (bits, since_us, signs) is written by each shard
 * for itself, without the lock, and only when something changed.
 *
 * Always: used >= live >= verified; a shard whose first idle connection or next waiter comes has told so before it
 * looks at the others.
 *
 * A shard that gets its first idle connection, and one in which one more begins to wait, must not miss each other. Each
 * writes its own, then there is a fence, and then it looks at the other's: so one of them sees both. Further idle ones
 * need none, as who waits sees the bit of the first, and asks.
 */
#pragma once

#include "policy/policy_budget.h"
#include "policy/policy_shared.h"

#include <stdatomic.h>

#define SHARD_LATE_US 1000u /* nobody is overtaken by one who came more than this later */
#define SHARD_ASK_US (5 * 1000u) /* a shard that was asked for idle connections has this long to answer */
#define SHARD_STARVED_US                                                                                               \
	(100 * 1000u) /* for one who waits longer by this a place is made, if none can be transferred */
#define SHARD_MADE_US (100 * 1000u) /* a place that was made is left to others for so long, and then to those here */
#define ROUND_NONE UINT64_MAX /* of a connection that is never transferred */

#define IDLE_BIT(number) (UINT64_C(1) << (32 + (number)))
#define WAITING_BIT(number) (UINT64_C(1) << (number))

/* On a line of the cache of its own: written at each loan, and read seldom. */
struct shard_sign {
	_Alignas(64) _Atomic uint32_t idle;
	_Atomic uint32_t waiting;
	_Atomic uint32_t served; /* connections that come free in that shard in a moment; 0 if nobody waits there */
};

struct policy_shared {
	struct policy_named named;
	struct policy_commons *commons;

	/* Changed under the lock. */
	struct policy_orders *shards[SHARDS_MAX]; /* by the number of their workers; NULL: none is there */
	_Atomic uint32_t shard_count;
	_Atomic uint32_t used; /* places: connections in any state, and those that are transferred */
	_Atomic uint32_t live; /* those of them that are neither CLOSING nor CHECKING */
	_Atomic uint32_t verified; /* those of them that are not OPENING either */
	_Atomic uint32_t coming[SHARDS_MAX]; /* on their way to that shard */
	_Atomic uint32_t lowered_limit; /* PostgreSQL refused with "too many": no more than this ... */
	_Atomic uint64_t lowered_until_us; /* ... until then */
	_Atomic uint64_t
	    round; /* whose connections alone are transferred: policy_close_all and policy_pause begin another */
	_Atomic uint32_t in_use; /* a bit for each shard whose is_in_use is set */
	uint32_t out; /* a bit for each shard that is in an outage */
	_Atomic uint64_t out_since_us; /* of the outage that was told; 0: there is none */
	_Atomic uint64_t lost_us; /* when a lent connection of any shard was last lost; written without the lock */
	uint32_t held, refused; /* in it, by shards that are in it no longer */
	struct budget_group caps[POLICY_CAPS]; /* its places under each */
	bool is_orphan; /* put by its last user; freed when nothing of it is transferred any more */

	_Alignas(64) _Atomic uint64_t bits; /* IDLE_BIT and WAITING_BIT of each shard */
	_Alignas(64) _Atomic uint64_t since_us[SHARDS_MAX]; /* of the first in the queue */
	struct shard_sign signs[SHARDS_MAX];
};

/* In struct policy; all but shared is unused if that is NULL. */
struct policy_shard {
	struct policy_shared *shared;
	struct policy_orders *orders; /* the pool's */
	uint32_t number; /* its policy worker's */
	uint64_t asked_us; /* when others were asked for idle ones, for those who wait here; 0: they were not */
	uint32_t live_asked; /* the shard's connections when it looked last whether to ask */
	uint32_t asked_of; /* a bit for each that was asked, and has not said that it has none */
	uint64_t doubted_us; /* when a connection was last not trusted any more */
	const struct policy_worker *given_to; /* the last that was transferred from here; NULL: none did */
	uint32_t own_turns, its_turns; /* of the two workers, when it left */
	uint64_t made_us; /* when a place was last made for who waits in another shard */
	bool is_to_ask; /* more wait here than others know of */
	bool is_full; /* no place was left when it looked last */
	bool has_freed; /* a place, for which others may wait */
	struct shard_sign *calm; /* its own, while it says that one is idle and nobody waits; else NULL */
	struct shard_sign *in_need; /* its own, while it says that somebody waits and none is idle; else NULL */
	/* As others see it. */
	uint32_t waiting;
	uint64_t since_us, bits;
	bool is_in_use;
};

/* Returns the number of the first of these bits, which must not be 0. */
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

/* Returns a bit for each other shard in which somebody waits. */
static inline uint32_t
shard_others_wait(const struct policy_shard *m)
{
	return (uint32_t)(atomic_load_explicit(&m->shared->bits, memory_order_relaxed) & ~WAITING_BIT(m->number));
}

/* The same, where nobody waits in this shard, and it has told so. */
static inline bool
shard_anybody_waits(const struct policy_shard *m)
{
	return (uint32_t)atomic_load_explicit(&m->shared->bits, memory_order_relaxed) != 0;
}

/* Returns true if no shard has an idle one, and that no place is left was seen when others were last asked. */
static inline bool
shard_is_drained(const struct policy_shard *m)
{
	return m->is_full && atomic_load_explicit(&m->shared->bits, memory_order_relaxed) >> 32 == 0;
}

/* Returns true if an outage was told that is not over. */
static inline bool
shard_is_out(const struct policy_shard *m)
{
	return m->shared != NULL && atomic_load_explicit(&m->shared->out_since_us, memory_order_relaxed) != 0;
}

/* Returns how many of these that may be opened at once are this shard's. */
static inline uint32_t
shard_share_of_pace(const struct policy_shard *m, uint32_t of)
{
	uint32_t shards = m->shared == NULL ? 1 : atomic_load_explicit(&m->shared->shard_count, memory_order_relaxed);

	return of > shards ? of / shards : 1;
}

/* Returns until when a place is left to the other shards that was made for them; 0: there is none. */
static inline uint64_t
shard_left_until_us(const struct policy_shard *m)
{
	return m->made_us != 0 && shard_others_wait(m) != 0 ? m->made_us + SHARD_MADE_US : 0;
}

/* Returns how many are on their way to this shard. */
static inline uint32_t
shard_coming(const struct policy_shard *m)
{
	return m->shared == NULL ? 0 : atomic_load_explicit(&m->shared->coming[m->number], memory_order_relaxed);
}

/* --- policy_shared.c. m->shared may be NULL, and then nothing happens, where no other word is said. --- */

/* total, live, verified: the shard's connections. */
void shard_join(struct policy_shard *m, struct policy_shared *w, uint32_t total, uint32_t live, uint32_t verified);
void shard_leave(struct policy_shard *m, uint32_t total, uint32_t live, uint32_t verified, uint64_t now_us);
/* Under the lock. Returns true if there is a place. */
bool shard_has_place(const struct policy_shard *m, uint32_t limit);
/* Under the lock: takes the place of one to be opened, which will be in that state. */
void shard_take(struct policy_shard *m, enum policy_conn_state state);
/* A connection that has a place moves to CLOSING or NONE, or is OPENING or CHECKING no longer. */
void shard_moved(struct policy_shard *m, enum policy_conn_state from, enum policy_conn_state to);
/* Tells the others. m->shared is not NULL. */
void shard_tell(struct policy_shard *m, uint32_t idle, uint32_t waiting, uint32_t served, uint64_t since_us);
/* The same where no bit changes, as nearly always. Returns false if one may, or m->shared is NULL. */
static inline bool
shard_tell_idle(struct policy_shard *m, uint32_t idle)
{
	if (idle == 0 || m->calm == NULL)
		return false;
	atomic_store_explicit(&m->calm->idle, idle, memory_order_relaxed);
	return true;
}

/* The same of a line, where somebody waited before and none was idle. Returns false if it is another change. */
static inline bool
shard_tell_line(struct policy_shard *m, uint32_t waiting, uint32_t served, uint64_t since_us)
{
	if (m->in_need == NULL || waiting == 0)
		return false;
	atomic_store_explicit(&m->shared->since_us[m->number], since_us, memory_order_relaxed);
	atomic_store_explicit(&m->in_need->waiting, waiting, memory_order_relaxed);
	atomic_store_explicit(&m->in_need->served, served, memory_order_relaxed);
	if (waiting > m->waiting)
		atomic_thread_fence(memory_order_seq_cst); /* as shard_tell() */
	m->since_us = since_us;
	m->waiting = waiting;
	return true;
}

void shard_report_change(struct policy_shard *m, bool is_in_use, uint64_t now_us); /* m->shared is not NULL */
/* After each change: a place that was freed is told to those who wait, is_in_use to all. */
static inline void
shard_report(struct policy_shard *m, bool is_in_use, uint64_t now_us)
{
	if (m->shared != NULL && (m->has_freed || is_in_use != m->is_in_use))
		shard_report_change(m, is_in_use, now_us);
}

/* Notes that one is transferred to that policy worker. */
static inline void
shard_has_given(struct policy_shard *m, const struct policy_worker *to)
{
	m->given_to = to;
	m->its_turns = atomic_load_explicit(&to->turns, memory_order_relaxed);
	m->own_turns = atomic_load_explicit(&m->orders->worker->turns, memory_order_relaxed);
}

/*
 * Returns true if the first in the queue of that shard came more than SHARD_LATE_US before one who waits here since
 * own_us (UINT64_MAX: nobody waits here, and whoever waits there is ahead), and what was given there last has had its
 * effect: both loops have gone round since. If each return was given to a loop that was not running for a while, whose
 * line is older by that, as many would come back.
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

/* Returns false if shard_choose() would find none, since nobody elsewhere is ahead. m->shared is not NULL. */
static inline bool
shard_may_choose(const struct policy_shard *m, uint64_t own_us)
{
	uint32_t shards = shard_others_wait(m);

	while (shards != 0 && !shard_is_ahead(m, shard_first_of(shards), own_us))
		shards &= shards - 1;
	return shards != 0;
}

/* Returns the shard to which a connection is to go that may be lent here to one who waits since own_us (UINT64_MAX:
 * nobody waits); -1: it stays. m->shared is not NULL. */
int shard_choose(const struct policy_shard *m, uint64_t own_us);
struct shard_sum {
	uint32_t idle, waiting;
};
/* Returns the sums of all shards. m->shared is not NULL. */
struct shard_sum shard_sum(const struct policy_shard *m);
/* Returns true if somebody waits in another shard for whom no connection is on its way. m->shared is not NULL. */
bool shard_others_lack(const struct policy_shard *m);
/* Estimates how many wait in other shards since before since_us. */
uint32_t shard_ahead(const struct policy_shard *m, uint64_t since_us, uint64_t now_us);
/* Returns true if somebody in that shard waits for so long that a place is made for him. */
bool shard_is_starved(const struct policy_shard *m, int number, uint64_t own_us);
/* conn will go to that shard: returns its policy worker, or NULL: it can't, or need not. shard_stays: it can't after
 * all. */
struct policy_worker *shard_begin_transfer(struct policy_shard *m, struct policy_conn *conn, int number);
void shard_stays(struct policy_shard *m, struct policy_conn *conn);
/* Returns false if conn was not sent to this shard. *is_of_round: it is as good as when it left. */
bool shard_arrived(struct policy_shard *m, struct policy_conn *conn, bool *is_of_round);
void shard_next_round(struct policy_shard *m); /* none of today's connections is transferred any more */
/* Asks others for their idle connections. m->shared is not NULL. */
void shard_ask(struct policy_shard *m, uint64_t now_us);
/* Returns how many may come of that. */
uint32_t shard_count_expected(const struct policy_shard *m); /* m->asked_us is not 0 */
/* Says that it has none idle, or not any more. m->shared is not NULL. */
void shard_answer(struct policy_shard *m, uint64_t now_us);
/* An outage has begun here. Returns true if the pool's begins with it: no shard was in one. Without a shared policy:
 * true. */
bool shard_outage_begins(struct policy_shard *m, uint64_t since_us);
/* *o, an outage here, is over, or (is_over is false) the shard leaves in the middle of it. Returns true if the pool's
 * is over, as no other shard is in one: *o is the pool's then; else the others look. Without a shared policy: true. */
bool shard_outage_ends(struct policy_shard *m, struct policy_outage *o, bool is_over, uint64_t now_us);
/* A lent connection is lost; call it before shard_moved(). */
void shard_lost(struct policy_shard *m, uint64_t now_us);
/* Returns true if who waits here since since_us was in the queue when one was last lost. */
bool shard_was_in_line(const struct policy_shard *m, uint64_t since_us);
/* Returns true if no other shard has a lower number, or there is no shared policy: it tells what all have together. */
bool shard_is_first(const struct policy_shard *m);
/* Returns the shard's share of what is kept by all together; without a shared policy, all of it. */
uint32_t shard_share(const struct policy_shard *m, uint32_t of);
/* PostgreSQL refused another connection: there will be no more than there are until then. */
void shard_lower_limit(struct policy_shard *m, uint32_t limit, uint64_t until_us);

static inline uint32_t
shard_expected(const struct policy_shard *m, uint64_t now_us)
{
	return m->asked_us == 0 || now_us >= m->asked_us + SHARD_ASK_US ? 0 : shard_count_expected(m);
}
