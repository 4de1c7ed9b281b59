#include "base/histogram.h"

#include <math.h>

/* 100 ms is a bound of its own, so that "p95 below 100 ms" can be read off exactly. */
const struct histogram_bounds histogram_bounds_query = {
	.count = 17,
	.le_us = { 500, 1000, 2500, 5000, 10000, 25000, 50000, 75000, 100000, 150000, 250000, 500000, 1000000, 2500000,
		   5000000, 10000000, 30000000, HISTOGRAM_REST },
};
const struct histogram_bounds histogram_bounds_wait = {
	.count = 16,
	.le_us = { 100, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000,
		   10000000, 30000000, HISTOGRAM_REST },
};
const struct histogram_bounds histogram_bounds_ping = {
	.count = 6,
	.le_us = { 1000, 10000, 100000, 500000, 1000000, 5000000, HISTOGRAM_REST },
};
const struct histogram_bounds histogram_bounds_proxy = {
	.count = 15,
	.le_us = { 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000, 100000, 250000, 500000, 1000000,
		   HISTOGRAM_REST },
};

uint64_t
histogram_count(const struct histogram *h)
{
	uint64_t count = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS_MAX; i++)
		count += h->buckets[i];
	return count;
}

void
histogram_add(struct histogram *to, const struct histogram *from)
{
	for (size_t i = 0; i < HISTOGRAM_BUCKETS_MAX; i++)
		to->buckets[i] += from->buckets[i];
	to->sum_us += from->sum_us;
}

double
histogram_quantile_us(const struct histogram *h, const struct histogram_bounds *bounds, double q, uint64_t max_us)
{
	uint64_t count = histogram_count(h);
	double rank = q * (double)count, below = 0;

	if (count == 0)
		return 0;
	for (size_t i = 0; i <= bounds->count; i++) {
		double in = (double)h->buckets[i];
		double low = i == 0 ? 0 : (double)bounds->le_us[i - 1];
		double high = i < bounds->count ? (double)bounds->le_us[i] : max_us > 0 ? (double)max_us : INFINITY;

		if (h->buckets[i] > 0 && below + in >= rank)
			return isinf(high) ? high : low + (high - low) * (rank > below ? (rank - below) / in : 0);
		below += in;
	}
	return INFINITY;
}
