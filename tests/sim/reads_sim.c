/* tests/sim/reads_sim.c - see reads_sim.h: reads on standbys (runner.h). */
#include "reads_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORM_STEPS 1200
#define CALM_STEPS 3000

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
		sim_fail("not all are served");
}

/* --- all of them --- */

static struct reads_sim *sim;
static uint64_t sums[11];

static void
run_one(uint64_t seed, uint64_t steps)
{
	(void)steps;
	run(sim, seed);
	const unsigned of_run[11] = { sim->writes, sim->reads,	      sim->standby_reads, sim->settled,
				      sim->told,   sim->false_alarms, sim->excused,	  sim->given_up,
				      sim->taken,  sim->awaited,      sim->late };
	for (unsigned j = 0; j < 11; j++)
		sums[j] += of_run[j];
}

static double
now(void)
{
	return (double)sim->step;
}

int
main(int argc, char **argv)
{
	struct simulation s = { "reads_sim", 0, NULL, run_one, trace_begin, trace_hash, trace_dump, now };
	uint64_t seeds, hash;

	sim = calloc(1, sizeof(*sim));
	if (sim == NULL)
		return 2;
	s.step = &sim->step;
	hash = simulate(&s, argc, argv, &seeds);
	printf("%" PRIu64 " seeds: %" PRIu64 " writes, %" PRIu64 " reads on primaries, %" PRIu64
	       " on standbys, settled %" PRIu64 " times, told of %" PRIu64 " losses (%" PRIu64
	       " had lost nothing), %" PRIu64 " excused, %" PRIu64 " given up, %" PRIu64 " positions taken, %" PRIu64
	       " awaited there, %" PRIu64 " in vain; trace %016" PRIx64 "\n",
	       seeds, sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7], sums[8], sums[9],
	       sums[10], hash);
	free(sim);
	return 0;
}
