/*
 * src/base/clock.h - the two clocks, in microseconds; durations and counts as text for people; and back-off times. Only
 * loops, main and helper threads read the clocks; all other code takes now_us as an argument.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define US_PER_MS 1000ull
#define US_PER_S 1000000ull

/* The monotonic clock. It never returns 0, so 0 can mean "not yet". */
static inline uint64_t
clock_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000 + 1;
}

/* The time since the Unix epoch, for people to read. */
static inline uint64_t
clock_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

/* Returns a time in the form that pthread_cond_timedwait() takes. */
static inline struct timespec
clock_timespec(uint64_t us)
{
	return (struct timespec){ (time_t)(us / US_PER_S), (long)(us % US_PER_S) * 1000 };
}

/* Returns the shorter of two lengths of time, or the earlier of two times. */
static inline uint64_t
clock_lesser_us(uint64_t a_us, uint64_t b_us)
{
	return a_us < b_us ? a_us : b_us;
}

/* --- duration.c: for people to read. Pure. */
struct duration {
	char text[40];
};

/* Returns text such as "250 ms", "1.5 s", "30 s", "12 min 5 s", "3 h 20 min", "2 d 4 h". */
struct duration duration_of(uint64_t us);

struct counted {
	char text[64];
};

/* Returns text such as "1 client waits" (if_one) or "2 clients wait" (else_, also for 0), truncated if too long. */
struct counted counted(uint64_t count, const char *if_one, const char *else_);

/* --- back-off times, and random numbers for their jitter; pure --- */

/* Returns the next number of a sequence that the seed determines (splitmix64, S. Vigna). For jitter and sampling; the
 * numbers are not secret. */
static inline uint64_t
random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Returns min_us, doubled for each earlier failure, but at most max_us, with a jitter of up to a fifth, so that clients
 * that wait for the same thing don't retry at the same moment. */
static inline uint64_t
backoff_us(uint32_t failures, uint64_t min_us, uint64_t max_us, uint64_t *random)
{
	uint64_t us = min_us;

	while (failures-- > 0 && us < max_us)
		us *= 2;
	if (us > max_us)
		us = max_us;
	return us / 100 * (80 + random_next(random) % 41);
}
