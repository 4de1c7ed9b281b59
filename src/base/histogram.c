#include "base/histogram.h"

#include <math.h>

/* 100 ms is one of the bounds, so that an objective such as "p95 below 100 ms" can be checked exactly. */
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

static uint64_t
sum_of(const uint64_t values[static HISTOGRAM_BUCKETS_MAX])
{
	uint64_t sum = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS_MAX; i++)
		sum += values[i];
	return sum;
}

uint64_t
histogram_count(const struct histogram *h)
{
	return sum_of(h->buckets);
}

uint64_t
histogram_sum_us(const struct histogram *h)
{
	return sum_of(h->sums_us);
}

void
histogram_add(struct histogram *to, const struct histogram *from)
{
	for (size_t i = 0; i < HISTOGRAM_BUCKETS_MAX; i++) {
		to->buckets[i] += from->buckets[i];
		to->sums_us[i] += from->sums_us[i];
	}
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

		if (h->buckets[i] > 0 && below + in >= rank) {
			double us = isinf(high) ? high : low + (high - low) * (rank > below ? (rank - below) / in : 0);
			double mean_us = (double)h->sums_us[i] / in;

			return below + in < (double)count || isinf(high) || us < mean_us ? us : mean_us;
		}
		below += in;
	}
	return INFINITY;
}
