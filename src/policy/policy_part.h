/*
 * src/policy/policy_part.h - one worker's part of a pool, and what it and the other parts write for each other to see.
 * Only src/policy/ includes it. See policy_whole.h.
 *
 * Places, rounds and what is on its way change under the lock of the commons, when a connection is opened, closing or
 * gone, and when one is transferred; anybody may read them. The row (bits, since_us, signs) is written by each part for
 * itself, without the lock, and only when something changed.
 *
 * Always: used >= live >= verified; a part whose first idle connection or next waiter comes has told so before it looks
 *         at the others.
 *
 * A part that gets its first idle connection, and one in which one more begins to wait, must not miss each other. Each
 * writes its own, then there is a fence, and then it looks at the other's: so one of them sees both. Further idle ones
 * need none, as who waits sees the bit of the first, and asks.
 */
#pragma once

#include "policy/policy_budget.h"
#include "policy/policy_whole.h"

#include <stdatomic.h>

#define WHOLE_LATE_US 1000u /* nobody is overtaken by one who came more than this later */
#define WHOLE_ASK_US (5 * 1000u) /* a part that was asked for idle connections has this long to answer */
#define WHOLE_STARVED_US                                                                                               \
	(100 * 1000u) /* for one who waits longer by this a place is made, if none can be transferred */
#define WHOLE_MADE_US (100 * 1000u) /* a place that was made is left to others for so long, and then to those here */
#define ROUND_NONE UINT64_MAX /* of a connection that is never transferred */

#define IDLE_BIT(number) (UINT64_C(1) << (32 + (number)))
#define WAITING_BIT(number) (UINT64_C(1) << (number))

/* On a line of the cache of its own: written at each loan, and read seldom. */
struct part_sign {
	_Alignas(64) _Atomic uint32_t idle;
	_Atomic uint32_t waiting;
	_Atomic uint32_t served; /* connections that come free in that part in a moment; 0 if nobody waits there */
};

struct policy_whole {
	struct policy_named named;
	struct policy_commons *commons;

	/* Changed under the lock. */
	struct policy_orders *parts[WHOLE_PARTS_MAX]; /* by the number of their rooms; NULL: none is there */
	_Atomic uint32_t part_count;
	_Atomic uint32_t used; /* places: connections in any state, and those that are transferred */
	_Atomic uint32_t live; /* those of them that are neither CLOSING nor SCOUTING */
	_Atomic uint32_t verified; /* those of them that are not OPENING either */
	_Atomic uint32_t coming[WHOLE_PARTS_MAX]; /* on their way to that part */
	_Atomic uint32_t lowered_limit; /* PostgreSQL refused with "too many": no more than this ... */
	_Atomic uint64_t lowered_until_us; /* ... until then */
	_Atomic uint64_t
	    round; /* whose connections alone are transferred: policy_close_all and policy_pause begin another */
	_Atomic uint32_t in_use; /* a bit for each part whose is_in_use is set */
	uint32_t out; /* a bit for each part that is in an outage */
	_Atomic uint64_t out_since_us; /* of the outage that was told; 0: there is none */
	_Atomic uint64_t lost_us; /* when a lent connection of any part was last lost; written without the lock */
	uint32_t held, refused; /* in it, by parts that are in it no longer */
	struct budget_group caps[POLICY_CAPS]; /* its places under each */
	bool is_orphan; /* put by its last user; freed when nothing of it is transferred any more */

	_Alignas(64) _Atomic uint64_t bits; /* IDLE_BIT and WAITING_BIT of each part */
	_Alignas(64) _Atomic uint64_t since_us[WHOLE_PARTS_MAX]; /* of the first in the queue */
	struct part_sign signs[WHOLE_PARTS_MAX];
};

/* In struct policy; all but whole is unused if that is NULL. */
struct policy_part {
	struct policy_whole *whole;
	struct policy_orders *orders; /* the pool's */
	uint32_t number; /* its room's */
	uint64_t asked_us; /* when others were asked for idle ones, for those who wait here; 0: they were not */
	uint32_t live_asked; /* the part's connections when it looked last whether to ask */
	uint32_t asked_of; /* a bit for each that was asked, and has not said that it has none */
	uint64_t doubted_us; /* when a connection was last not trusted any more */
	const struct policy_room *given_to; /* the last that was transferred from here; NULL: none did */
	uint32_t own_turns, its_turns; /* of the two rooms, when it left */
	uint64_t made_us; /* when a place was last made for who waits in another part */
	bool is_to_ask; /* more wait here than others know of */
	bool is_full; /* no place was left when it looked last */
	bool has_freed; /* a place, for which others may wait */
	struct part_sign *calm; /* its own, while it says that one is idle and nobody waits; else NULL */
	struct part_sign *in_need; /* its own, while it says that somebody waits and none is idle; else NULL */
	/* As others see it. */
	uint32_t waiting;
	uint64_t since_us, bits;
	bool is_in_use;
};

/* Returns the number of the first of these bits, which must not be 0. */
static inline unsigned
part_first_of(uint32_t bits)
{
	return (unsigned)__builtin_ctz(bits);
}

static inline uint64_t
part_round(const struct policy_part *m)
{
	return m->whole == NULL ? ROUND_NONE : atomic_load_explicit(&m->whole->round, memory_order_relaxed);
}

/* Returns a bit for each other part in which somebody waits. */
static inline uint32_t
part_others_wait(const struct policy_part *m)
{
	return (uint32_t)(atomic_load_explicit(&m->whole->bits, memory_order_relaxed) & ~WAITING_BIT(m->number));
}

/* The same, where nobody waits in this part, and it has told so. */
static inline bool
part_anybody_waits(const struct policy_part *m)
{
	return (uint32_t)atomic_load_explicit(&m->whole->bits, memory_order_relaxed) != 0;
}

/* Returns true if no part has an idle one, and that no place is left was seen when others were last asked. */
static inline bool
part_is_drained(const struct policy_part *m)
{
	return m->is_full && atomic_load_explicit(&m->whole->bits, memory_order_relaxed) >> 32 == 0;
}

/* Returns true if an outage was told that is not over. */
static inline bool
part_is_out(const struct policy_part *m)
{
	return m->whole != NULL && atomic_load_explicit(&m->whole->out_since_us, memory_order_relaxed) != 0;
}

/* Returns how many of these that may be opened at once are this part's. */
static inline uint32_t
part_share_of_pace(const struct policy_part *m, uint32_t of)
{
	uint32_t parts = m->whole == NULL ? 1 : atomic_load_explicit(&m->whole->part_count, memory_order_relaxed);

	return of > parts ? of / parts : 1;
}

/* Returns until when a place is left to the other parts that was made for them; 0: there is none. */
static inline uint64_t
part_left_until_us(const struct policy_part *m)
{
	return m->made_us != 0 && part_others_wait(m) != 0 ? m->made_us + WHOLE_MADE_US : 0;
}

/* Returns how many are on their way to this part. */
static inline uint32_t
part_coming(const struct policy_part *m)
{
	return m->whole == NULL ? 0 : atomic_load_explicit(&m->whole->coming[m->number], memory_order_relaxed);
}

/* --- policy_whole.c. m->whole may be NULL, and then nothing happens, where no other word is said. --- */

/* total, live, verified: the part's connections. */
void part_join(struct policy_part *m, struct policy_whole *w, uint32_t total, uint32_t live, uint32_t verified);
void part_leave(struct policy_part *m, uint32_t total, uint32_t live, uint32_t verified, uint64_t now_us);
/* Under the lock. Returns true if there is a place. */
bool part_has_place(const struct policy_part *m, uint32_t limit);
/* Under the lock: takes the place of one to be opened, which will be in that state. */
void part_take(struct policy_part *m, enum policy_conn_state state);
/* A connection that has a place moves to CLOSING or NONE, or is OPENING or SCOUTING no longer. */
void part_moved(struct policy_part *m, enum policy_conn_state from, enum policy_conn_state to);
/* Tells the others. m->whole is not NULL. */
void part_tell(struct policy_part *m, uint32_t idle, uint32_t waiting, uint32_t served, uint64_t since_us);
/* The same where no bit changes, as nearly always. Returns false if one may, or m->whole is NULL. */
static inline bool
part_tell_idle(struct policy_part *m, uint32_t idle)
{
	if (idle == 0 || m->calm == NULL)
		return false;
	atomic_store_explicit(&m->calm->idle, idle, memory_order_relaxed);
	return true;
}

/* The same of a line, where somebody waited before and none was idle. Returns false if it is another change. */
static inline bool
part_tell_line(struct policy_part *m, uint32_t waiting, uint32_t served, uint64_t since_us)
{
	if (m->in_need == NULL || waiting == 0)
		return false;
	atomic_store_explicit(&m->whole->since_us[m->number], since_us, memory_order_relaxed);
	atomic_store_explicit(&m->in_need->waiting, waiting, memory_order_relaxed);
	atomic_store_explicit(&m->in_need->served, served, memory_order_relaxed);
	if (waiting > m->waiting)
		atomic_thread_fence(memory_order_seq_cst); /* as part_tell() */
	m->since_us = since_us;
	m->waiting = waiting;
	return true;
}

void part_report_change(struct policy_part *m, bool is_in_use, uint64_t now_us); /* m->whole is not NULL */
/* After each change: a place that was freed is told to those who wait, is_in_use to all. */
static inline void
part_report(struct policy_part *m, bool is_in_use, uint64_t now_us)
{
	if (m->whole != NULL && (m->has_freed || is_in_use != m->is_in_use))
		part_report_change(m, is_in_use, now_us);
}

/* Notes that one is transferred to that room. */
static inline void
part_has_given(struct policy_part *m, const struct policy_room *to)
{
	m->given_to = to;
	m->its_turns = atomic_load_explicit(&to->turns, memory_order_relaxed);
	m->own_turns = atomic_load_explicit(&m->orders->room->turns, memory_order_relaxed);
}

/*
 * Returns true if the first in the queue of that part came more than WHOLE_LATE_US before one who waits here since
 * own_us (UINT64_MAX: nobody waits here, and whoever waits there is ahead), and what was given there last has had its
 * effect: both loops have gone round since. If each return was given to a loop that was not running for a while, whose
 * line is older by that, as many would come back.
 */
static inline bool
part_is_ahead(const struct policy_part *m, unsigned number, uint64_t own_us)
{
	const struct policy_room *to = m->given_to;
	uint64_t late_us = own_us < WHOLE_LATE_US ? own_us : WHOLE_LATE_US;

	if (atomic_load_explicit(&m->whole->since_us[number], memory_order_relaxed) >= own_us - late_us)
		return false;
	return own_us == UINT64_MAX || to == NULL || to->number != number ||
	       (atomic_load_explicit(&to->turns, memory_order_relaxed) != m->its_turns &&
		atomic_load_explicit(&m->orders->room->turns, memory_order_relaxed) != m->own_turns);
}

/* Returns false if part_choose() would find none, since nobody elsewhere is ahead. m->whole is not NULL. */
static inline bool
part_may_choose(const struct policy_part *m, uint64_t own_us)
{
	uint32_t parts = part_others_wait(m);

	while (parts != 0 && !part_is_ahead(m, part_first_of(parts), own_us))
		parts &= parts - 1;
	return parts != 0;
}

/* Returns the part to which a connection is to go that may be lent here to one who waits since own_us (UINT64_MAX:
 * nobody waits); -1: it stays. m->whole is not NULL. */
int part_choose(const struct policy_part *m, uint64_t own_us);
struct part_sum {
	uint32_t idle, waiting;
};
/* Returns the sums of all parts. m->whole is not NULL. */
struct part_sum part_sum(const struct policy_part *m);
/* Returns true if somebody waits in another part for whom no connection is on its way. m->whole is not NULL. */
bool part_others_lack(const struct policy_part *m);
/* Estimates how many wait in other parts since before since_us. */
uint32_t part_ahead(const struct policy_part *m, uint64_t since_us, uint64_t now_us);
/* Returns true if somebody in that part waits for so long that a place is made for him. */
bool part_is_starved(const struct policy_part *m, int number, uint64_t own_us);
/* conn will go to that part: returns its room, or NULL: it can't, or need not. part_stays: it can't after all. */
struct policy_room *part_begin_transfer(struct policy_part *m, struct policy_conn *conn, int number);
void part_stays(struct policy_part *m, struct policy_conn *conn);
/* Returns false if conn was not sent to this part. *is_of_round: it is as good as when it left. */
bool part_arrived(struct policy_part *m, struct policy_conn *conn, bool *is_of_round);
void part_next_round(struct policy_part *m); /* none of today's connections is transferred any more */
/* Asks others for their idle connections. m->whole is not NULL. */
void part_ask(struct policy_part *m, uint64_t now_us);
/* Returns how many may come of that. */
uint32_t part_count_expected(const struct policy_part *m); /* m->asked_us is not 0 */
/* Says that it has none idle, or not any more. m->whole is not NULL. */
void part_answer(struct policy_part *m, uint64_t now_us);
/* An outage has begun here. Returns true if the pool's begins with it: no part was in one. Without a whole: true. */
bool part_outage_begins(struct policy_part *m, uint64_t since_us);
/* *o, an outage here, is over, or (is_over is false) the part leaves in the middle of it. Returns true if the pool's is
 * over, as no other part is in one: *o is the pool's then; else the others look. Without a whole: true. */
bool part_outage_ends(struct policy_part *m, struct policy_outage *o, bool is_over, uint64_t now_us);
/* A lent connection is lost; call it before part_moved(). */
void part_lost(struct policy_part *m, uint64_t now_us);
/* Returns true if who waits here since since_us was in the queue when one was last lost. */
bool part_was_in_line(const struct policy_part *m, uint64_t since_us);
/* Returns true if no other part has a lower number, or there is no whole: it tells what all have together. */
bool part_is_first(const struct policy_part *m);
/* Returns the part's share of what is kept by all together; without a whole, all of it. */
uint32_t part_share(const struct policy_part *m, uint32_t of);
/* PostgreSQL refused another connection: there will be no more than there are until then. */
void part_lower_limit(struct policy_part *m, uint32_t limit, uint64_t until_us);

static inline uint32_t
part_expected(const struct policy_part *m, uint64_t now_us)
{
	return m->asked_us == 0 || now_us >= m->asked_us + WHOLE_ASK_US ? 0 : part_count_expected(m);
}
