/*
 * tests/sim/runner.h - what the simulations share: options, seeds, and what has happened.
 *
 *   NAME [--seed S] [--seeds N] [--steps K] [--trace]
 *
 * Runs N seeds (1), from S (1) on, of K steps each where that is asked for. The same seeds give the same hash of all
 * that has happened. At the first thing that does not hold, the last events and the seed are printed, and the process
 * aborts.
 * --trace prints all events; SESSION_LOG=1 pgweir's log besides.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct simulation {
	const char *name; /* of its program */
	uint64_t steps; /* unless --steps is given */
	const uint64_t *step; /* how far the run is */
	void (*run)(uint64_t seed, uint64_t steps);
	/* What is traced: the three below, or a simulation's own ways. */
	void (*begin)(bool is_loud); /* forgets all events */
	uint64_t (*hash)(void); /* of all events of the run */
	void (*dump)(void); /* prints the last events, unless all were */
	double (*now)(void); /* trace_line()'s lines begin with it */
};

/* Returns a hash of those of all seeds; *seeds is how many there were. Ends the process if the options are wrong. */
uint64_t simulate(const struct simulation *s, int argc, char **argv, uint64_t *seeds);
__attribute__((format(printf, 1, 2))) void trace_line(const char *fmt, ...);
void trace_begin(bool is_loud);
uint64_t trace_hash(void);
void trace_dump(void);
/* Ends the process: what must hold does not. */
__attribute__((noreturn, format(printf, 1, 2))) void sim_fail(const char *fmt, ...);

/* --- What is drawn from a seed; random: not 0. --- */

uint32_t draw_number(uint64_t *random);
uint32_t draw_below(uint64_t *random, uint32_t limit); /* 0, without a draw, if that is the limit */
bool draw_chance(uint64_t *random, unsigned parts, unsigned of); /* of: a power of two */
