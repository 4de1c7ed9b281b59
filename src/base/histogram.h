/*
 * src/base/histogram.h - a latency histogram with fixed buckets. A histogram has a count and a sum for each bucket, but
 * not the buckets' bounds, which callers pass to the functions that need the bounds.
 *
 * Only the thread of an event loop writes a histogram. Other threads read copies, which the loop's thread makes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS_MAX 20

/* Upper bounds of the buckets in microseconds, ascending. A bucket includes its upper bound, as Prometheus' le does.
 * The last bucket, whose bound is HISTOGRAM_REST (+Inf), has all larger values. */
#define HISTOGRAM_REST UINT64_MAX
struct histogram_bounds {
	size_t count; /* number of bounds, without HISTOGRAM_REST */
	uint64_t le_us[HISTOGRAM_BUCKETS_MAX];
};
extern const struct histogram_bounds histogram_bounds_query; /* .0005 ... 30 s: queries, transactions, servers */
extern const struct histogram_bounds histogram_bounds_wait; /* .0001 ... 30 s: pool wait, login, connect, TLS */
extern const struct histogram_bounds histogram_bounds_ping; /* .001 ... 5 s */
extern const struct histogram_bounds histogram_bounds_proxy; /* .00001 ... 1 s: proxy, lag, scrape, halt, transfer */

struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS_MAX]; /* how many values each bucket has; not cumulative */
	uint64_t sums_us[HISTOGRAM_BUCKETS_MAX]; /* the sum of the values in each bucket */
};

/* Returns the index of a value's bucket. A linear search is the fastest, as most values are in the first buckets. */
static inline size_t
histogram_bucket(const struct histogram_bounds *bounds, uint64_t us)
{
	size_t i = 0;

	while (us > bounds->le_us[i])
		i++;
	return i;
}

/* Counts the value us `times` times. */
static inline void
histogram_observe_many_us(struct histogram *h, const struct histogram_bounds *bounds, uint64_t us, uint64_t times)
{
	size_t i = histogram_bucket(bounds, us);

	h->buckets[i] += times;
	h->sums_us[i] += us * times;
}

static inline void
histogram_observe_us(struct histogram *h, const struct histogram_bounds *bounds, uint64_t us)
{
	histogram_observe_many_us(h, bounds, us, 1);
}

/* Returns how many values were counted. */
uint64_t histogram_count(const struct histogram *h);
uint64_t histogram_sum_us(const struct histogram *h);
void histogram_add(struct histogram *to, const struct histogram *from);
/* Returns the q-quantile (0..1) in microseconds, or 0 if h is empty. Interpolates linearly, as Prometheus does. In the
 * highest bucket that has values, the result is at most the mean of these values. max_us: the largest value in h, or 0
 * if not known. If max_us is 0, a quantile in the bucket HISTOGRAM_REST is INFINITY. */
double histogram_quantile_us(const struct histogram *h, const struct histogram_bounds *bounds, double q,
			     uint64_t max_us);
