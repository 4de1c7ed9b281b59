#include "http/http_state.h"

#include <inttypes.h>
#include <string.h>

static void
count(struct history_counts *n, const struct snapshot *s)
{
	struct snapshot_requests r = snapshot_requests(s);

	memset(n, 0, sizeof(*n));
	n->requests = r.all;
	n->failed = r.failed;
	n->slow = r.slow;
	for (size_t i = 0; i < s->database_count; i++) {
		const struct database_counters *c = &s->databases[i].counters;

		for (size_t k = 0; k < EO_COUNT * ERROR_CLASSES_MAX; k++)
			n->errors += c->errors[k / ERROR_CLASSES_MAX][k % ERROR_CLASSES_MAX];
		for (size_t k = 0; k < PHASE_COUNT; k++)
			n->phase_us[k] += c->phase_us[k];
		n->bytes += c->bytes_in[NS_CLIENT] + c->bytes_out[NS_CLIENT];
		histogram_add(&n->query, &c->query_duration);
		histogram_add(&n->wait, &c->pool_wait);
	}
	n->lag = s->process.loop_lag;
}

/* As they are nothing but uint64_t, histograms included, they are subtracted as arrays. */
_Static_assert(sizeof(struct history_counts) % sizeof(uint64_t) == 0, "only uint64_t");

static void
subtract(struct history_counts *to, const struct history_counts *now, const struct history_counts *before)
{
	const uint64_t *n = (const uint64_t *)now, *b = (const uint64_t *)before;

	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		((uint64_t *)to)[i] = n[i] > b[i] ? n[i] - b[i] : 0;
}

void
history_add(struct history *h, const struct snapshot *s, uint64_t wall_us)
{
	struct history_counts now;
	struct history_sample *to = &h->samples[h->next];

	if (h->before_us != 0 && s->taken_us - h->before_us < HISTORY_EVERY_US * 9 / 10)
		return;
	count(&now, s);
	if (h->before_us != 0) {
		*to = (struct history_sample){ .wall_us = wall_us,
					       .span_us = s->taken_us - h->before_us,
					       .clients = s->clients_total_now,
					       .now = snapshot_totals(s) };
		subtract(&to->n, &now, &h->before);
		h->next = (h->next + 1) % HISTORY_SAMPLES;
		h->count += h->count < HISTORY_SAMPLES;
	}
	h->before = now;
	h->before_us = s->taken_us;
	h->due_us = s->taken_us + HISTORY_EVERY_US * (1 + (s->pool_count + s->pools_aggregated) / HISTORY_POOLS);
}

static double
rate(uint64_t n, const struct history_sample *s)
{
	return (double)n * 1e6 / (double)s->span_us;
}

static double
quantile_ms(const struct histogram *h, const struct histogram_bounds *bounds, double q)
{
	/* The page says of what is beyond the last bound that it is more. */
	return histogram_quantile_us(h, bounds, q, bounds->le_us[bounds->count - 1]) / 1000;
}

void
history_put(const struct history *h, unsigned seconds, struct buf *to)
{
	const struct histogram_bounds *query = &histogram_bounds_query, *wait = &histogram_bounds_wait;
	size_t n = seconds < h->count ? seconds : h->count;

	buf_put_u8(to, '[');
	for (size_t i = 0; i < n; i++) {
		const struct history_sample *s = &h->samples[(h->next + HISTORY_SAMPLES - n + i) % HISTORY_SAMPLES];

		buf_printf(to,
			   "%s{\"t\":%" PRIu64
			   ",\"qps\":%.1f,\"failed\":%.2f,\"errors\":%.2f,\"slow\":%.2f,\"bytes\":%.0f,",
			   i > 0 ? ",\n" : "", s->wall_us / 1000, rate(s->n.requests, s), rate(s->n.failed, s),
			   rate(s->n.errors, s), rate(s->n.slow, s), rate(s->n.bytes, s));
		buf_printf(to, "\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"wait_p95\":%.3f,\"lag_p99\":%.3f,\"phases\":{",
			   quantile_ms(&s->n.query, query, 0.5), quantile_ms(&s->n.query, query, 0.95),
			   quantile_ms(&s->n.query, query, 0.99), quantile_ms(&s->n.wait, wait, 0.95),
			   quantile_ms(&s->n.lag, &histogram_bounds_proxy, 0.99));
		for (size_t k = 0; k < PHASE_COUNT; k++)
			buf_printf(to, "%s\"%s\":%.3f", k > 0 ? "," : "", phase_names[k],
				   rate(s->n.phase_us[k], s) / 1000);
		buf_printf(to,
			   "},\"clients\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"servers\":%" PRIu64 ",\"lent\":%" PRIu64
			   ",\"overflow\":%" PRIu64 ",\"limit\":%" PRIu64 ",\"oldest_wait\":%.1f}",
			   s->clients, s->now.waiting, s->now.servers, s->now.lent, s->now.overflow, s->now.limit,
			   (double)s->now.oldest_waiter_us / 1000);
	}
	buf_put_u8(to, ']');
}
