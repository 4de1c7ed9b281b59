/* tests/sim/sim.c - see sim.h: pgweir whole (runner.h). */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEPS 3000

/* clock_gettime() tells the simulation's time. */
static double
real_seconds(void)
{
	struct timespec t;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sim *sim;
static uint64_t done, requests, answers, cancels, departures, losses;

static void
run(uint64_t seed, uint64_t steps)
{
	sim->seed = seed;
	sim_run(sim, seed, steps);
	done += sim->step;
	requests += sim->requests;
	answers += sim->answers;
	cancels += sim->cancels;
	departures += sim->departures;
	losses += sim->losses;
}

int
main(int argc, char **argv)
{
	struct simulation s = { "sim", STEPS, NULL, run, sim_trace_begin, sim_trace_hash, sim_trace_dump, NULL };
	uint64_t seeds, hash;
	double begun = real_seconds(), took;

	sim = calloc(1, sizeof(*sim));
	must(sim != NULL);
	s.step = &sim->step;
	sim_trace_of(sim);
	hash = simulate(&s, argc, argv, &seeds);
	took = real_seconds() - begun;
	printf("%" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " requests, %" PRIu64 " answered, %" PRIu64
	       " cancels, %" PRIu64 " departures, %" PRIu64 " servers lost; trace %016" PRIx64 "\n",
	       seeds, done, requests, answers, cancels, departures, losses, hash);
	fprintf(stderr, "%.2f s, %.2f million steps per minute\n", took, took > 0 ? (double)done * 60 / took / 1e6 : 0);
	free(sim);
	return 0;
}
