/*
 * tests/sim/fleet_sim.c - see fleet_sim.h.
 *
 *   fleet_sim [--seed S] [--seeds N] [--trace]
 *
 * Runs N seeds (1), from S (1) on. Prints what was done and a hash of all that has happened: the same seeds give the
 * same hash. At the first thing that does not hold it prints the last events and the seed, and aborts. --trace prints
 * all events; SESSION_LOG=1 pgweir's log besides.
 */
#include "fleet_sim.h"

#include <event2/event.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void
on_abort(int signal)
{
	(void)signal;
	fleet_trace_dump();
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

/* libevent warns that only one of several loops gets signals; none gets any here. */
static void
say_nothing(int severity, const char *text)
{
	(void)severity;
	(void)text;
}

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (*end != '\0' || end == text) {
		fprintf(stderr, "fleet_sim: %s is not a number\n", text);
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
	uint64_t seed = 1, seeds = 1, hash = 0, steps = 0, answers = 0, granted = 0, kills = 0, ends = 0, full = 0;
	struct fleet_sim *s = calloc(1, sizeof(*s));
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
	expect_the_worst();
	event_set_log_callback(say_nothing);
	for (uint64_t i = 0; i < seeds; i++) {
		fleet_trace_begin(s, is_loud);
		fleet_run(s, seed + i);
		hash = hash * 31 + fleet_trace_hash();
		steps += s->step;
		answers += s->answers;
		granted += s->pg.granted;
		kills += s->kills;
		ends += s->ends;
		full += s->peak >= s->profile.budget - 2;
	}
	printf("%" PRIu64 " seeds (%" PRIu64 " with a budget that was used up), %" PRIu64 " steps, %" PRIu64
	       " requests answered, %" PRIu64 " places granted, %" PRIu64 " processes killed, %" PRIu64
	       " stewards ended; trace %016" PRIx64 "\n",
	       seeds, full, steps, answers, granted, kills, ends, hash);
	free(s);
	return 0;
}
