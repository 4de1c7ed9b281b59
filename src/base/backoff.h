/*
 * src/base/backoff.h - how long to wait after failed attempts, and the random numbers that spread the attempts. Pure.
 *
 * Each time varies by a fifth, so that all who wait for the same thing don't come back at the same moment.
 */
#pragma once

#include <stdint.h>

/* Returns the next number of a sequence that the seed determines (splitmix64, S. Vigna). For jitter and sampling; it is
 * not secret. */
static inline uint64_t
random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Returns first_us doubled once for each of these earlier failures, at most most_us, and varied. */
static inline uint64_t
backoff_us(uint32_t failures, uint64_t first_us, uint64_t most_us, uint64_t *random)
{
	uint64_t us = first_us;

	while (failures-- > 0 && us < most_us)
		us *= 2;
	if (us > most_us)
		us = most_us;
	return us / 100 * (80 + random_next(random) % 41);
}
