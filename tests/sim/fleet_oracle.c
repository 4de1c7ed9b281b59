/*
 * tests/sim/fleet_oracle.c - see fleet_sim.h. Never more than the budget less the two places that nobody is granted is
 * listed, but for
 *
 * - fleet connections that have come since places were last granted: two of them are in the budget still, and so is
 * each that comes again within MISSED_US, where whoever grants had seen it;
 * - strangers that came when nothing was left, or while somebody had counted and not taken yet;
 * - connections that were logging in when their process or its fleet connection ended, which PostgreSQL has no mark for
 * any more: until the process has run for UNMARKED_US, in which it must have noticed, and closed them.
 */
#include "fleet_sim.h"

#include <limits.h>
#include <string.h>

#define UNMARKED_US (150 * US_PER_MS)
#define MISSED_US (300 * US_PER_MS) /* a fleet connection that has ended is surely expected back ... */
#define FORGOTTEN_US (800 * US_PER_MS) /* ... and is not */
#define ALONE_US (200 * US_PER_MS) /* nobody may wait longer while there is a place, alone ... */
#define WAIT_US (1 * US_PER_S) /* ... or together with others */
#define KEPT_US (200 * US_PER_MS) /* a place that is not wanted */
#define RESERVED 2 /* dedicated/fleet_state.h */

static bool
is_excused(const struct fleet_sim *s, const struct backend *b)
{
	bool is_unmarked = b->is_unmarked && b->process > 0;

	return b->is_beyond || (is_unmarked && (b->is_lost || s->processes[b->process - 1].unmarked_us > 0));
}

void
oracle_check_list(struct fleet_sim *s)
{
	unsigned most = s->profile.budget - RESERVED + s->pg.newcomers, listed = 0, excused = 0;
	const struct backend *b;

	TAILQ_FOREACH(b, &s->pg.backends, link) {
		listed += b->is_listed;
		excused += b->is_listed && is_excused(s, b);
	}
	s->peak = listed - excused > s->peak ? listed - excused : s->peak;
	if (listed - excused > most)
		sim_fail("%u connections are listed, not %u, and %u that are excused", listed - excused, most, excused);
}

/* Returns how many fleet connections `by` must have missed, less those that have come meanwhile. */
static unsigned
missing(const struct fleet_sim *s, const struct backend *by)
{
	unsigned gone = 0, come = 0;

	for (unsigned i = 0; i < PROCESSES; i++) {
		const struct fleet_process *p = &s->processes[i];

		gone += p->marked_us < by->seen_us && by->seen_us < p->missing_since_us &&
			p->missing_since_us < by->read_us && clock_now_us() < p->missing_since_us + MISSED_US;
		come += p->marked_us >= by->seen_us;
	}
	return gone > come ? gone - come : 0;
}

void
oracle_granted(struct fleet_sim *s, const struct backend *by)
{
	unsigned taken = postgres_listed(&s->pg) + postgres_marks(&s->pg), kept = RESERVED + missing(s, by);

	if (taken + kept > s->profile.budget && !by->reads_marks_late)
		sim_fail("%u are listed or granted of %u, and %u are kept", taken, s->profile.budget, kept);
	s->pg.newcomers = 0;
}

void
oracle_unmarked(struct fleet_sim *s, unsigned process)
{
	struct backend *b;

	s->processes[process - 1].unmarked_us = UNMARKED_US;
	TAILQ_FOREACH(b, &s->pg.backends, link)
		if (b->process == process)
			b->is_unmarked = b->state == BE_STARTING || b->state == BE_LISTED;
}

/* --- nobody waits while there is a place --- */

static unsigned
running_for(const struct fleet_sim *s, unsigned process)
{
	const struct backend *b;
	unsigned count = 0;

	TAILQ_FOREACH(b, &s->pg.backends, link)
		count += b->process == process && b->state == BE_RUNNING && b->is_load;
	return count;
}

/* Sets *since_us to the time since which it is so, 0 if it is not. */
static void
note_since(uint64_t *since_us, bool is_so)
{
	*since_us = !is_so ? 0 : *since_us > 0 ? *since_us : clock_now_us();
}

static bool
is_longer(uint64_t since_us, uint64_t than_us)
{
	return since_us > 0 && clock_now_us() > since_us + than_us;
}

/* Who waits together with others may be held at its share for a while, though there is enough for all. */
static void
watch_waits(struct fleet_sim *s)
{
	bool is_short[PROCESSES];
	unsigned short_count = 0, taken = postgres_listed(&s->pg) + postgres_marks(&s->pg) + RESERVED;

	for (unsigned i = 0; i < PROCESSES; i++) {
		uint64_t gone_us = s->processes[i].missing_since_us;

		taken += gone_us > 0 && clock_now_us() < gone_us + FORGOTTEN_US;
	}
	note_since(&s->free_since_us, taken < s->profile.budget);
	for (unsigned i = 0; i < PROCESSES; i++) {
		is_short[i] = load_asking(&s->processes[i]) > running_for(s, i + 1);
		short_count += is_short[i];
	}
	for (unsigned i = 0; i < PROCESSES; i++) {
		struct fleet_process *p = &s->processes[i];

		note_since(&p->short_since_us, is_short[i]);
		note_since(&p->alone_since_us, is_short[i] && short_count == 1);
		if (s->watches_waits &&
		    ((is_longer(s->free_since_us, ALONE_US) && is_longer(p->alone_since_us, ALONE_US)) ||
		     (is_longer(s->free_since_us, WAIT_US) && is_longer(p->short_since_us, WAIT_US))))
			sim_fail("a client of process %u waits while %u of %u are listed", p->number,
				 postgres_listed(&s->pg), s->profile.budget);
	}
}

/* A place that is neither used nor wanted is given back soon. */
static void
watch_places(struct fleet_sim *s)
{
	for (unsigned i = 0; i < PROCESSES; i++) {
		struct fleet_process *p = &s->processes[i];
		const struct backend *fleet_conn = postgres_fleet_conn(s, p->number), *b;
		bool is_kept = fleet_conn != NULL && backend_marks(fleet_conn) > 0 && p->short_since_us == 0;

		TAILQ_FOREACH(b, &s->pg.backends, link)
			is_kept &= b->process != p->number || (b->state != BE_STARTING && b->state != BE_LISTED);
		note_since(&p->kept_since_us, is_kept);
		if (s->watches_waits && is_longer(p->kept_since_us, KEPT_US))
			sim_fail("process %u keeps a place for nobody", p->number);
	}
}

void
oracle_step(struct fleet_sim *s, uint64_t passed_us)
{
	for (unsigned i = 0; i < PROCESSES; i++) {
		struct fleet_process *p = &s->processes[i];
		bool is_counting = p->weir == NULL || process_is_running(p);

		if (is_counting)
			p->unmarked_us -= p->unmarked_us < passed_us ? p->unmarked_us : passed_us;
	}
	oracle_check_list(s);
	watch_waits(s);
	watch_places(s);
}

/* --- the end --- */

bool
oracle_is_recovered(const struct fleet_sim *s)
{
	for (unsigned i = 0; i < PROCESSES; i++) {
		const struct fleet_budget *b = process_budget(&s->processes[i]);

		if (b == NULL || b->state != FLEET_JOINED || load_connected(&s->processes[i]) < CLIENTS)
			return false;
	}
	return true;
}

static unsigned
held_by(const struct fleet_sim *s, unsigned process)
{
	const struct backend *b;
	unsigned count = 0;

	TAILQ_FOREACH(b, &s->pg.backends, link)
		count += b->process == process && b->is_listed && !b->is_fleet_conn;
	return count;
}

void
oracle_tell(const struct fleet_sim *s)
{
	trace_line("budget %u, %u listed, marks of %u, %u stewards have come", s->profile.budget,
		   postgres_listed(&s->pg), postgres_marks(&s->pg), s->pg.newcomers);
	for (unsigned i = 0; i < PROCESSES; i++) {
		const struct fleet_process *p = &s->processes[i];
		const struct fleet_budget *b = process_budget(p);

		trace_line("process %u: %u listed, %u clients, %u ask, for %u something runs", p->number,
			   held_by(s, p->number), load_connected(p), load_asking(p), running_for(s, p->number));
		if (b != NULL)
			trace_line(
			    "  state %d, limit %u, used %u, granted %u, waiting %u, share %d, others %u, members %u",
			    (int)b->state, b->limit, b->used, b->granted, b->short_count, (int)b->share, b->others,
			    b->member_count);
	}
}

/* All places are used, and those who want more have the same, but for one. */
bool
oracle_is_fair(const struct fleet_sim *s)
{
	unsigned least = UINT_MAX, most = 0, sum = 0, left = s->profile.budget - RESERVED - PROCESSES;

	for (unsigned i = 0; i < PROCESSES; i++) {
		unsigned held = held_by(s, i + 1);

		if (s->processes[i].wanted == 0)
			continue;
		least = held < least ? held : least;
		most = held > most ? held : most;
		sum += held;
	}
	return most - least <= 1 && sum == left;
}

/* Nothing flies, nothing is marked, and PostgreSQL has what the processes think. */
bool
oracle_is_quiet(const struct fleet_sim *s)
{
	for (unsigned i = 0; i < PROCESSES; i++) {
		const struct fleet_budget *b = process_budget(&s->processes[i]);

		if (b == NULL || b->granted > 0 || b->used != held_by(s, i + 1))
			return false;
	}
	return postgres_marks(&s->pg) == 0;
}
