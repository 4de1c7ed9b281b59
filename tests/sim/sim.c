/*
 * tests/sim/sim.c - see sim.h.
 *
 *   sim [--seed S] [--seeds N] [--steps K] [--trace]
 *
 * Runs N seeds (1), from S (1) on, of K steps each. Prints what was done and a hash
 * of all that has happened: the same seeds give the same hash. At the first thing that does not hold it prints the last
 * events and the seed, and aborts. --trace prints all events; SESSION_LOG=1 pgweir's log besides.
 */
#include "sim.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEPS 3000

/* It is called once for each signal; then that ends the process. */
static void
on_abort(int signal)
{
	(void)signal;
	sim_trace_dump();
}

/* A sanitizer reports a crash by itself. */
static void
expect_the_worst(void)
{
	const struct sigaction dump = { .sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND };
	struct sigaction now;

	sigaction(SIGABRT, &dump, NULL);
	if (sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		sigaction(SIGSEGV, &dump, NULL);
}

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text) {
		fprintf(stderr, "sim: %s is not a number\n", text);
		exit(2);
	}
	return n;
}

/* clock_gettime() tells the simulation's time. */
static double
real_seconds(void)
{
	struct timespec t;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "seed", required_argument, NULL, 's' },
						 { "seeds", required_argument, NULL, 'n' },
						 { "steps", required_argument, NULL, 'k' },
						 { "trace", no_argument, NULL, 't' },
						 { NULL, 0, NULL, 0 } };
	uint64_t seed = 1, seeds = 1, steps = STEPS, hash = 0, done = 0;
	uint64_t requests = 0, answers = 0, cancels = 0, departures = 0, losses = 0;
	bool is_loud = false;
	double begun, took;
	struct sim *s = calloc(1, sizeof(*s));
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			seed = number(optarg);
		else if (option == 'n')
			seeds = number(optarg);
		else if (option == 'k')
			steps = number(optarg);
		else if (option == 't')
			is_loud = true;
		else
			return 2;
	}
	must(s != NULL);
	expect_the_worst();
	begun = real_seconds();
	for (uint64_t i = 0; i < seeds; i++) {
		sim_trace_begin(s, is_loud);
		s->seed = seed + i;
		sim_run(s, seed + i, steps);
		hash = hash * 31 + sim_trace_hash();
		done += s->step;
		requests += s->requests;
		answers += s->answers;
		cancels += s->cancels;
		departures += s->departures;
		losses += s->losses;
	}
	took = real_seconds() - begun;
	printf("%" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " requests, %" PRIu64 " answered, %" PRIu64
	       " cancels, %" PRIu64 " departures, %" PRIu64 " servers lost; trace %016" PRIx64 "\n",
	       seeds, done, requests, answers, cancels, departures, losses, hash);
	fprintf(stderr, "%.2f s, %.2f million steps per minute\n", took, took > 0 ? (double)done * 60 / took / 1e6 : 0);
	free(s);
	return 0;
}
