/* tests/sim/sim.c - see sim.h: pgweir whole (runner.h). */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* --- which settings have met --- */

#define ENOUGH 1500 /* seeds, in which any two values of two settings meet */

/* Words of session_world.c, each a value of a setting with few; the empty one, or the number of workers, is what is
 * left. */
static const struct {
	const char *word;
	unsigned setting;
} values[] = {
	{ "session", 0 },  { "statement", 0 }, { "", 0 },	    { "pin", 1 },	{ "warn", 1 },
	{ "error", 1 },	   { "allow", 1 },     { "isolate", 1 },    { "", 1 },		{ "sent", 2 },
	{ "deferred", 2 }, { "sharing", 3 },   { "deeply", 3 },	    { "", 3 },		{ "keeping", 4 },
	{ "", 4 },	   { "checked", 5 },   { "", 5 },	    { "hold", 6 },	{ "wait", 6 },
	{ "", 6 },	   { "marked", 7 },    { "preferring", 7 }, { "", 7 },		{ "bouncer", 8 },
	{ "earlier", 8 },  { "", 8 },	       { "lru", 9 },	    { "", 9 },		{ "ping", 10 },
	{ "", 10 },	   { "fifo", 11 },     { "", 11 },	    { "comments", 12 }, { "", 12 },
	{ "several", 13 }, { "", 13 },
};

#define VALUES (sizeof(values) / sizeof(values[0]))

static bool have_met[VALUES][VALUES];

static bool
is_taken(size_t value)
{
	const char *word = values[value].word, *at = sim->profile.options;
	size_t len = strlen(word);

	if (strcmp(word, "several") == 0)
		return sim->profile.workers > 1;
	while (len > 0 && (at = strstr(at, word)) != NULL) {
		if (at[-1] == ' ' && (at[len] == ' ' || at[len] == '\0'))
			return true;
		at += len;
	}
	for (size_t i = value; len == 0 && i > 0 && values[i - 1].setting == values[value].setting; i--)
		if (is_taken(i - 1))
			return false;
	return len == 0;
}

static void
note_values(void)
{
	for (size_t i = 0; i < VALUES; i++)
		for (size_t k = 0; k < i && is_taken(i); k++)
			have_met[i][k] |= is_taken(k);
}

/* Returns how many have not. */
static int
tell_strangers(void)
{
	int count = 0;

	for (size_t i = 0; i < VALUES; i++)
		for (size_t k = 0; k < i; k++)
			if (values[i].setting != values[k].setting && !have_met[i][k]) {
				fprintf(stderr, "setting %u %s and setting %u %s meet in no run\n", values[k].setting,
					values[k].word, values[i].setting, values[i].word);
				count++;
			}
	return count;
}

static uint64_t done, requests, answers, cancels, departures, losses;

static void
run(uint64_t seed, uint64_t steps)
{
	sim->seed = seed;
	sim_run(sim, seed, steps);
	note_values();
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
	return seeds >= ENOUGH && tell_strangers() > 0 ? 1 : 0;
}
