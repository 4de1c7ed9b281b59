/* tests/sim/fleet_sim.c - see fleet_sim.h: one budget (runner.h). */
#include "fleet_sim.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct fleet_sim *sim;
static uint64_t steps, answers, granted, kills, ends, full;

/* libevent warns that only one of several loops gets signals; none gets any here. */
static void
say_nothing(int severity, const char *text)
{
	(void)severity;
	(void)text;
}

static void
run(uint64_t seed, uint64_t most)
{
	(void)most;
	fleet_run(sim, seed);
	steps += sim->step;
	answers += sim->answers;
	granted += sim->pg.granted;
	kills += sim->kills;
	ends += sim->ends;
	full += sim->peak >= sim->profile.budget - 2;
}

static void
dump(void)
{
	oracle_tell(sim);
	trace_dump();
}

static double
now_ms(void)
{
	return (double)(clock_now_us() - 1000 * US_PER_S) / 1e3;
}

int
main(int argc, char **argv)
{
	struct simulation s = { "fleet_sim", 0, NULL, run, trace_begin, trace_hash, dump, now_ms };
	uint64_t seeds, hash;

	sim = calloc(1, sizeof(*sim));
	if (sim == NULL)
		return 2;
	s.step = &sim->step;
	event_set_log_callback(say_nothing);
	hash = simulate(&s, argc, argv, &seeds);
	printf("%" PRIu64 " seeds (%" PRIu64 " with a budget that was used up), %" PRIu64 " steps, %" PRIu64
	       " requests answered, %" PRIu64 " places granted, %" PRIu64 " processes killed, %" PRIu64
	       " stewards ended; trace %016" PRIx64 "\n",
	       seeds, full, steps, answers, granted, kills, ends, hash);
	free(sim);
	return 0;
}
