/*
 * src/modules/status_page/status_page.c - the status page, and the JSON that it is made of: see http/http_module.h.
 *
 * The last five minutes are kept second by second, so the charts are full when the page is opened. With thousands of
 * pools, samples are further apart while the page is not open. A sample has the sums of one snapshot over all databases
 * and pools. The charts show the differences between samples; if a counter has become smaller (a database was removed
 * from the configuration), the difference is 0.
 */
#include "base/clock.h"
#include "build.h"
#include "config/config.h"
#include "http/http_module.h"
#include "status_page_files.h" /* made of status.{html,js,css} */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS 300
#define SAMPLES (SECONDS + 1) /* the page shows the time between two samples as one second */
#define POOLS_PER_SECOND 2000 /* with more pools, samples are further apart, as each sample visits all pools */

/* Sums over all databases since the start; refused and lag are of the process. */
struct counts {
	uint64_t requests, failed, errors, slow, refused, bytes, phase_us[PHASE_COUNT];
	struct histogram query, wait, lag;
};

/* Sums over all pools now; clients are those of the process, and oldest_waiter_us is the longest wait. */
struct totals {
	uint64_t servers, lent, waiting, overflow, limit; /* limit: pool_size + max_overflow */
	uint64_t oldest_waiter_us, clients;
};

struct history {
	struct sample {
		uint64_t wall_us, taken_us;
		struct counts n;
		struct totals now;
	} samples[SAMPLES]; /* a ring */
	size_t count; /* the number of samples ever taken */
	uint64_t due_us; /* when the next snapshot is wanted, unless a request asks for one earlier */
};

static void
sum_databases(struct counts *n, const struct snapshot *s)
{
	memset(n, 0, sizeof(*n));
	for (size_t i = 0; i < s->database_count; i++) {
		const struct database_counters *c = &s->databases[i].counters;

		n->requests += c->requests;
		n->slow += c->slow_queries;
		for (size_t k = 0; k < RF_CLIENT_FIRST; k++)
			n->failed += c->requests_failed[k];
		for (size_t k = 0; k < EO_COUNT * ERROR_CLASSES_MAX; k++)
			n->errors += c->errors[k / ERROR_CLASSES_MAX][k % ERROR_CLASSES_MAX];
		for (size_t k = 0; k < PHASE_COUNT; k++)
			n->phase_us[k] += c->phase_us[k];
		n->bytes += c->bytes_in[NS_CLIENT] + c->bytes_out[NS_CLIENT];
		histogram_add(&n->query, &c->query_duration);
		counters_add_waits(&n->wait, c);
	}
	n->lag = s->process.loop_lag;
	for (size_t k = 0; k < LR_COUNT * LM_COUNT; k++)
		n->refused += k / LM_COUNT != LR_OK ? s->process.logins[k / LM_COUNT][k % LM_COUNT] : 0;
}

static struct totals
sum_pools(const struct snapshot *s)
{
	struct totals t = { .clients = s->clients_total_now };

	for (size_t i = 0; i < s->pool_count; i++) {
		const struct snapshot_pool *p = &s->pools[i];

		for (size_t k = 0; k < SERVERS_STATES; k++)
			t.servers += p->servers[k];
		t.lent += p->servers[SERVERS_ACTIVE];
		t.waiting += p->waiting;
		t.overflow += p->overflow;
		t.limit += p->pool_size + p->max_overflow;
		if (p->oldest_waiter_us > t.oldest_waiter_us)
			t.oldest_waiter_us = p->oldest_waiter_us;
	}
	return t;
}

static const char *const states[PROCESS_STATES] = { "running", "paused", "draining", "stopping" };

/* Fills the JSON for the head of the page. */
static void
fill_status(const struct http_request_info *info, struct buf *to, struct http_reply *r)
{
	const struct snapshot *s = info->snapshot;

	buf_printf(to, "{\"version\":\"" PGWEIR_VERSION "\",\"alive\":%s", info->is_alive ? "true" : "false");
	if (s != NULL) {
		struct totals t = sum_pools(s);
		struct counts n;

		sum_databases(&n, s);
		buf_printf(to,
			   ",\"state\":\"%s\",\"start_time\":%" PRIu64 ",\"now\":%" PRIu64
			   ",\"last_reload_ok\":%s,\"last_reload_time\":%" PRIu64 ",\"not_ready\":[",
			   states[s->state], s->start_wall_us / 1000, clock_wall_us() / 1000,
			   s->last_reload_ok ? "true" : "false", s->last_reload_wall_us / 1000);
		http_put_reasons(s, info->is_alive, to);
		buf_printf(to, "],");
		buf_printf(to,
			   "\"pools\":%zu,\"servers\":%" PRIu64 ",\"servers_lent\":%" PRIu64
			   ",\"servers_limit\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"oldest_wait_ms\":%.1f,",
			   s->pool_count, t.servers, t.lent, t.limit, t.waiting, (double)t.oldest_waiter_us / 1000);
		buf_printf(to,
			   "\"requests_total\":%" PRIu64 ",\"requests_failed_total\":%" PRIu64
			   ",\"slow_queries_total\":%" PRIu64 ",\"clients\":%" PRIu64 ",\"clients_limit\":%" PRIu64,
			   n.requests, n.failed, n.slow, t.clients, s->clients_limit);
	}
	buf_printf(to, "}\n");
	http_reply_json(r, 200, to);
}

/* Adds a sample if the last sample is old enough. Returns when the next snapshot is wanted. */
static uint64_t
add_sample(void *state, const struct snapshot *s)
{
	struct history *h = state;
	struct sample *to = &h->samples[h->count % SAMPLES];

	if (h->count > 0 && s->taken_us - h->samples[(h->count - 1) % SAMPLES].taken_us < HTTP_EVERY_US * 9 / 10)
		return h->due_us;
	*to = (struct sample){ .wall_us = clock_wall_us(), .taken_us = s->taken_us, .now = sum_pools(s) };
	sum_databases(&to->n, s);
	h->count++;
	h->due_us = s->taken_us + HTTP_EVERY_US * (1 + (s->pool_count + s->pools_aggregated) / POOLS_PER_SECOND);
	return h->due_us;
}

/* Counts are subtracted as arrays, because they consist of uint64_t only, histograms included. */
_Static_assert(sizeof(struct counts) % sizeof(uint64_t) == 0, "only uint64_t");

static void
subtract(struct counts *from, const struct counts *before)
{
	uint64_t *n = (uint64_t *)from;
	const uint64_t *b = (const uint64_t *)before;

	for (size_t i = 0; i < sizeof(*from) / sizeof(uint64_t); i++)
		n[i] = n[i] > b[i] ? n[i] - b[i] : 0;
}

static double
quantile_ms(const struct histogram *h, const struct histogram_bounds *bounds, double q)
{
	/* A value beyond the last bound becomes that bound, which the page shows as "> bound". */
	return histogram_quantile_us(h, bounds, q, bounds->le_us[bounds->count - 1]) / 1000;
}

/* Appends a JSON object for the time between a sample and the previous one: rates per second, times in ms. */
static void
put_interval(const struct sample *s, const struct sample *before, struct buf *to)
{
	const struct histogram_bounds *query = &histogram_bounds_query, *wait = &histogram_bounds_wait;
	double seconds = (double)(s->taken_us - before->taken_us) / 1e6;
	struct counts n = s->n;

	subtract(&n, &before->n);
	buf_printf(to,
		   "{\"t\":%" PRIu64 ",\"qps\":%.1f,\"failed\":%.2f,\"errors\":%.2f,\"slow\":%.2f,\"refused\":%.2f,"
		   "\"bytes\":%.0f,",
		   s->wall_us / 1000, (double)n.requests / seconds, (double)n.failed / seconds,
		   (double)n.errors / seconds, (double)n.slow / seconds, (double)n.refused / seconds,
		   (double)n.bytes / seconds);
	buf_printf(to, "\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"wait_p95\":%.3f,\"lag_p99\":%.3f,\"phases\":{",
		   quantile_ms(&n.query, query, 0.5), quantile_ms(&n.query, query, 0.95),
		   quantile_ms(&n.query, query, 0.99), quantile_ms(&n.wait, wait, 0.95),
		   quantile_ms(&n.lag, &histogram_bounds_proxy, 0.99));
	for (size_t k = 0; k < PHASE_COUNT; k++)
		buf_printf(to, "%s\"%s\":%.3f", k > 0 ? "," : "", phase_names[k],
			   (double)n.phase_us[k] / seconds / 1000);
	buf_printf(to,
		   "},\"clients\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"servers\":%" PRIu64 ",\"lent\":%" PRIu64
		   ",\"overflow\":%" PRIu64 ",\"limit\":%" PRIu64 ",\"oldest_wait\":%.1f}",
		   s->now.clients, s->now.waiting, s->now.servers, s->now.lent, s->now.overflow, s->now.limit,
		   (double)s->now.oldest_waiter_us / 1000);
}

/* Fills a JSON array with an object for each of the last intervals between samples, the oldest first. */
static void
fill_history(const struct http_request_info *info, struct buf *to, struct http_reply *r)
{
	const struct history *h = info->state;
	size_t seconds = SECONDS, available = h->count > 0 ? h->count - 1 : 0;

	if (strncmp(info->query, "seconds=", 8) == 0)
		seconds = strtoul(info->query + 8, NULL, 10);
	seconds = seconds < SECONDS ? seconds : SECONDS;
	seconds = seconds < available ? seconds : available;
	buf_put_u8(to, '[');
	for (size_t i = h->count - seconds; i < h->count; i++) {
		buf_printf(to, "%s", i > h->count - seconds ? ",\n" : "");
		put_interval(&h->samples[i % SAMPLES], &h->samples[(i - 1) % SAMPLES], to);
	}
	buf_put_u8(to, ']');
	http_reply_json(r, 200, to);
}

/* The page's filter searches only rows that were sent, so rows_max is as many rows as the page can show. */
const struct http_page http_module_status_page[] = {
	{ "/", .file_type = "text/html; charset=utf-8", .file = status_html, .file_len = sizeof(status_html) },
	{ "/status.js", .file_type = "text/javascript; charset=utf-8", .file = status_js,
	  .file_len = sizeof(status_js) },
	{ "/status.css", .file_type = "text/css; charset=utf-8", .file = status_css, .file_len = sizeof(status_css) },
	{ "/api/v1/status", .needs_snapshot = true, .fill = fill_status },
	{ "/api/v1/history", .fill = fill_history, .state_len = sizeof(struct history), .on_snapshot = add_sample },
	{ "/api/v1/pools", .command = "SHOW POOLS_EXTENDED", .rows_max = 1000 },
	{ "/api/v1/backends", .command = "SHOW BACKENDS", .rows_max = 100 },
	{ "/api/v1/holders", .command = "SHOW HOLDERS", .rows_max = 100 },
	{ "/api/v1/waits", .command = "EXPLAIN POOL", .rows_max = 20 },
	{ "/api/v1/queries", .command = "SHOW QUERIES PER statement", .rows_max = 100 },
	{ "/api/v1/slow", .command = "SHOW SLOW", .rows_max = 100 },
	{ "/api/v1/events", .command = "SHOW EVENTS", .rows_max = 100 },
	{ "/api/v1/workers", .command = "SHOW WORKERS", .rows_max = CONFIG_WORKERS_MAX },
	{ "/api/v1/budget", .command = "SHOW BUDGET", .rows_max = 100 },
	{ .path = NULL },
};
