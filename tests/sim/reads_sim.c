/*
 * tests/sim/reads_sim.c - see reads_sim.h.
 *
 *   reads_sim [--seed S] [--seeds N] [--trace]
 *
 * Runs N seeds (1), from S (1) on. Prints what was done and a hash of all that has happened: the same seeds give the
 * same hash. At the first thing that does not hold it prints the last events and the seed, and aborts. --trace prints
 * all events.
 */
#include "reads_sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORM_STEPS 1200
#define CALM_STEPS 3000

uint32_t
reads_draw(struct reads_sim *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (uint32_t)(s->random >> 29);
}

bool
reads_chance(struct reads_sim *s, unsigned of_4096)
{
	return of_4096 > 0 && (reads_draw(s) & 4095) < of_4096;
}

uint32_t
reads_below(struct reads_sim *s, uint32_t limit)
{
	return limit == 0 ? 0 : reads_draw(s) % limit;
}

/* --- one seed --- */

static void
choose_profile(struct reads_sim *s)
{
	struct profile *f = &s->profile;

	f->commits = 100 + reads_below(s, 300);
	f->lag = 600u << reads_below(s, 3);
	f->slow = 800u << reads_below(s, 3);
	for (unsigned i = 0; i < HOSTS; i++)
		f->asking[i] = 25u << reads_below(s, 8);
	f->noticing = 20u << reads_below(s, 6);
	f->meeting = 200u << reads_below(s, 5);
	f->proving = 400u << reads_below(s, 4);
	f->down = 2u << reads_below(s, 6);
	f->reply_late = 4u << reads_below(s, 5);
	f->crashing = reads_chance(s, 2048) ? 4 + reads_below(s, 30) : 0;
	f->restarting = reads_chance(s, 1024) ? 2 + reads_below(s, 10) : 0;
	f->promoting = reads_chance(s, 1500) ? 2 + reads_below(s, 10) : 0;
	f->pausing = reads_chance(s, 1500) ? 4 + reads_below(s, 40) : 0;
	f->away = reads_chance(s, 1024) ? 4 + reads_below(s, 20) : 0;
	f->visible_late = 4u << reads_below(s, 6);
	f->has_async = reads_chance(s, 1024);
	f->has_unknown_ends = reads_chance(s, 1024);
}

/* What few seeds would come to by themselves: standbys that are back at once, and behind; forks that are noticed late.
 */
static void
choose_focus(struct reads_sim *s)
{
	struct profile *f = &s->profile;
	bool is_lives = reads_chance(s, 2048);

	if (!reads_chance(s, 800))
		return;
	f->reply_late = is_lives ? 16u << reads_below(s, 5) : 64;
	f->visible_late = 128;
	f->crashing = is_lives ? 120 : 0;
	f->promoting = is_lives ? 0 : 12;
	f->noticing = is_lives ? 4096 : 20;
	f->meeting = f->proving = 4096;
	f->down = 1;
	for (unsigned i = 0; i < HOSTS; i++)
		f->asking[i] = i == 0 && is_lives ? 20 : 1600;
}

static void
step(struct reads_sim *s)
{
	s->step++;
	model_step(s);
	watch_step(s);
	sessions_step(s);
}

static void
run(struct reads_sim *s, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	s->random = (seed + 1) * 0x9e3779b97f4a7c15u;
	for (unsigned i = 0; i < 4; i++)
		reads_draw(s);
	choose_profile(s);
	choose_focus(s);
	for (unsigned i = 0; i < SESSIONS; i++)
		s->sessions[i] = (struct session){ .number = i, .change = CHANGES };
	model_begin(s);
	watch_begin(s);
	while (s->step < STORM_STEPS)
		step(s);
	s->is_calm = true;
	model_calm(s);
	sessions_calm(s);
	while (s->step < STORM_STEPS + CALM_STEPS && !sessions_are_served(s))
		step(s);
	if (!sessions_are_served(s))
		reads_fail("not all are served");
}

/* --- */

static void
on_abort(int signal)
{
	(void)signal;
	reads_trace_dump();
}

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (*end != '\0' || end == text) {
		fprintf(stderr, "reads_sim: %s is not a number\n", text);
		exit(2);
	}
	return n;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "seed", required_argument, NULL, 's' },
						 { "seeds", required_argument, NULL, 'n' },
						 { "trace", no_argument, NULL, 't' },
						 { NULL, 0, NULL, 0 } };
	uint64_t seed = 1, seeds = 1, hash = 0, sums[9] = { 0 };
	struct reads_sim *s = calloc(1, sizeof(*s));
	bool is_loud = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			seed = number(optarg);
		else if (option == 'n')
			seeds = number(optarg);
		else if (option == 't')
			is_loud = true;
		else
			return 2;
	}
	if (s == NULL)
		return 2;
	sigaction(SIGABRT, &(struct sigaction){ .sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND }, NULL);
	for (uint64_t i = 0; i < seeds; i++) {
		reads_trace_begin(s, is_loud);
		run(s, seed + i);
		hash = hash * 31 + reads_trace_hash();
		const unsigned of_run[9] = { s->writes,	      s->reads,	  s->standby_reads, s->settled, s->told,
					     s->false_alarms, s->excused, s->given_up,	    s->taken };
		for (unsigned j = 0; j < 9; j++)
			sums[j] += of_run[j];
	}
	printf("%" PRIu64 " seeds: %" PRIu64 " writes, %" PRIu64 " reads on primaries, %" PRIu64
	       " on standbys, settled %" PRIu64 " times, told of %" PRIu64 " losses (%" PRIu64
	       " had lost nothing), %" PRIu64 " excused, %" PRIu64 " given up, %" PRIu64
	       " positions taken; trace %016" PRIx64 "\n",
	       seeds, sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7], sums[8], hash);
	free(s);
	return 0;
}
