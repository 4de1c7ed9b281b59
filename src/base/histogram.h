/*
 * src/base/histogram.h - a latency histogram with fixed buckets. It has only the counts; whoever shows it knows the
 * bounds.
 *
 * One writer (the loop). Readers get a copy made on the loop's thread.
 */
#ifndef PGWEIR_BASE_HISTOGRAM_H
#define PGWEIR_BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS_MAX 20

/* Upper bounds in nanoseconds, ascending; a value equal to a bound is in that bucket (Prometheus' le). */
struct histogram_bounds {
	size_t count; /* at most HISTOGRAM_BUCKETS_MAX - 1; one more bucket holds the rest (+Inf) */
	uint64_t le_ns[HISTOGRAM_BUCKETS_MAX - 1];
};
extern const struct histogram_bounds histogram_bounds_query; /* .0005 ... 30 s: queries, transactions, server */
extern const struct histogram_bounds histogram_bounds_wait; /* .0001 ... 30 s: pool wait, login, connect, ping */
extern const struct histogram_bounds histogram_bounds_proxy; /* .00001 ... 1 s: proxy time, loop lag, scrape */

struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS_MAX]; /* not cumulative */
	uint64_t sum_us;
	uint64_t count;
};

/* The number of the bucket that a value falls into. */
size_t histogram_bucket(const struct histogram_bounds *bounds, uint64_t us);
void histogram_observe_us(struct histogram *h, const struct histogram_bounds *bounds, uint64_t us);
/* The same value so many times. */
void histogram_observe_many_us(struct histogram *h, const struct histogram_bounds *bounds, uint64_t us, uint64_t times);
void histogram_add(struct histogram *to, const struct histogram *from);
/* Returns the q-quantile (0..1) in microseconds, interpolated linearly as Prometheus does; 0 if h is empty. */
double histogram_quantile_us(const struct histogram *h, const struct histogram_bounds *bounds, double q);

#endif
