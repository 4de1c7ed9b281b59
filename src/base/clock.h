/*
 * src/base/clock.h - the monotonic clock and the wall clock, in microseconds; durations and counts as text; back-off
 * times. Callbacks of an event loop read the clock into the loop's now_us, from which most other code gets the time.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define US_PER_MS 1000ull
#define US_PER_S 1000000ull

/* Returns the time of the monotonic clock. Never returns 0, so callers can use 0 for "not yet". */
static inline uint64_t
clock_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000 + 1;
}

/* Returns the time since the Unix epoch, for log lines and the like. */
static inline uint64_t
clock_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

/* Returns us as a struct timespec, for pthread_cond_timedwait(). */
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

/* --- duration.c: durations and counts as text for people. Pure. --- */
struct duration {
	char text[40];
};

/* Returns text such as "250 ms", "1.5 s", "30 s", "12 min 5 s", "3 h 20 min", "2 d 4 h". */
struct duration duration_format(uint64_t us);

struct counted {
	char text[64];
};

/* Returns the count and a blank, followed by if_one if the count is 1, or else by else_: "1 client waits", "0 clients
 * wait". A text that is too long is truncated. */
struct counted base_format_count(uint64_t count, const char *if_one, const char *else_);

/* --- back-off times, and random numbers for their jitter. Pure. --- */

/* Returns the next number of a pseudo-random sequence (splitmix64, S. Vigna), for jitter and sampling. *state is the
 * seed before the first call. The numbers can be predicted, so they must not be used for secrets. */
static inline uint64_t
random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Returns how long to wait before a retry: min_us doubled `failures` times, but at most max_us, and then changed at
 * random by up to 20 % up or down, to spread out retries that began together. *random is random_next()'s state. */
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
