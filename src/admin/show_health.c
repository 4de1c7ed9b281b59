/*
 * src/admin/show_health.c - SHOW LATENCY, ERRORS and BACKENDS tell whether a problem is in the pool, the database, or
 * the network.
 */
#include "admin/show.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIGURE_MAX 24

/* In the names of columns, query_ stands for the whole time that the client sees, wait_ for the time until a server is
 * free, and server_ for PostgreSQL's time until its first reply. The figures are texts, because a time beyond a
 * histogram's last bound has no number. */
SHOW_ROW(latency, (TEXT, database) (INT8, requests) (TEXT, query_p50_ms) (TEXT, query_p95_ms) (TEXT, query_p99_ms)
	(TEXT, wait_p50_ms) (TEXT, wait_p95_ms) (TEXT, wait_p99_ms) (TEXT, server_p50_ms) (TEXT, server_p95_ms)
	(TEXT, server_p99_ms));

/* Returns a quantile in milliseconds, rounded to three decimals; NaN if h is empty, infinity beyond the last bound. */
static double
quantile_ms(const struct histogram *h, const struct histogram_bounds *bounds, double q)
{
	double us = histogram_quantile_us(h, bounds, q, 0);

	return histogram_count(h) == 0 ? (double)NAN : isinf(us) ? us : (double)(uint64_t)(us + 0.5) / 1000;
}

/* Sets three figures, which are NULL if h is empty. */
static void
put_figures(const struct histogram *h, const struct histogram_bounds *bounds, char texts[3][FIGURE_MAX],
	    const char **p50, const char **p95, const char **p99)
{
	const char **const figures[] = { p50, p95, p99 };
	static const double quantiles[] = { 0.5, 0.95, 0.99 };

	for (size_t i = 0; i < 3; i++) {
		double ms = quantile_ms(h, bounds, quantiles[i]);

		*figures[i] = isnan(ms) ? NULL : texts[i];
		if (isinf(ms))
			snprintf(texts[i], FIGURE_MAX, ">%" PRIu64, bounds->le_us[bounds->count - 1] / 1000);
		else
			snprintf(texts[i], FIGURE_MAX, "%.15g", ms);
	}
}

SHOW(show_latency, latency_columns, OF_ALL)
{
	struct database_sum *sums = show_database_sums(env, rows);

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++) {
		const struct database_counters *c = &d->counters;
		struct latency_row row = { .database = d->name, .requests = c->requests };
		struct histogram waits = { 0 };
		char texts[3][3][FIGURE_MAX];

		put_figures(&c->query_duration, &histogram_bounds_query, texts[0], &row.query_p50_ms, &row.query_p95_ms,
			    &row.query_p99_ms);
		counters_add_waits(&waits, c);
		put_figures(&waits, &histogram_bounds_wait, texts[1], &row.wait_p50_ms, &row.wait_p95_ms,
			    &row.wait_p99_ms);
		put_figures(&c->server_response, &histogram_bounds_query, texts[2], &row.server_p50_ms,
			    &row.server_p95_ms, &row.server_p99_ms);
		rows_add(rows, &row);
	}
	free(sums);
}

SHOW_ROW(error, (TEXT, database) (TEXT, origin) (TEXT, sqlstate_class) (INT8, count));

SHOW(show_errors, error_columns, OF_ALL)
{
	struct database_sum *sums = show_database_sums(env, rows);

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++)
		for (size_t origin = 0; origin < EO_COUNT; origin++)
			for (size_t i = 0; i < ERROR_CLASSES_MAX && error_classes[i] != NULL; i++) {
				struct error_row row = { d->name, error_origin_names[origin], error_classes[i],
							 d->counters.errors[origin][i] };

				if (row.count > 0)
					rows_add(rows, &row);
			}
	for (size_t result = LR_OK + 1; result < LR_COUNT; result++) {
		struct error_row row = { NULL, login_result_names[result], NULL, 0 };

		for (struct client_env *const *of = env->host->client_envs; *of != NULL; of++)
			for (size_t method = 0; method < LM_COUNT; method++)
				row.count += (*of)->x.counters->logins[result][method];
		if (row.count > 0)
			rows_add(rows, &row);
	}
	free(sums);
}

SHOW_ROW(backend, (TEXT, backend) (TEXT, role) (TEXT, state) (INT8, connects) (INT8, failures) (INT8, failed_dns)
	(INT8, failed_refused) (INT8, failed_timeout) (INT8, failed_tls) (INT8, failed_auth) (INT8, failed_too_many)
	(INT8, failed_other) (TIME, last_failure) (FLOAT8, connect_p50_ms) (FLOAT8, connect_p95_ms)
	(FLOAT8, connect_p99_ms));

static void
add_backend(const struct snapshot_backend *b, struct rows *rows)
{
	const struct backend_counters *c = &b->counters;
	const uint64_t *failed = c->connect_failures;
	struct backend_row row = { .backend = b->name, .role = b->role, .connects = c->connects };

	memcpy((char *)&row + offsetof(struct backend_row, failed_dns), failed, sizeof(c->connect_failures));
	row.state = c->up_state > 0 ? "up" : c->up_state == 0 ? "down" : "unknown";
	for (size_t i = 0; i < CF_COUNT; i++)
		row.failures += failed[i];
	row.last_failure = c->last_failure_wall_us;
	row.connect_p50_ms = quantile_ms(&c->connect_duration, &histogram_bounds_wait, 0.5);
	row.connect_p95_ms = quantile_ms(&c->connect_duration, &histogram_bounds_wait, 0.95);
	row.connect_p99_ms = quantile_ms(&c->connect_duration, &histogram_bounds_wait, 0.99);
	rows_add(rows, &row);
}

/* Each worker has backends of its own; a snapshot adds them up by name. */
SHOW(show_backends, backend_columns, OF_ALL)
{
	struct snapshot *s = env->host->snapshot(env->host->w);

	for (size_t i = 0; s != NULL && i < s->backend_count; i++)
		add_backend(&s->backends[i], rows);
	snapshot_free(s);
}
