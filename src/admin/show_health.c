/* src/admin/show_health.c - SHOW LATENCY, ERRORS and BACKENDS: is it the pool, the database, or the network? */
#include "admin/show.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FIGURES 9
#define FIGURE_MAX 24

/* As text: what is beyond a histogram's last bound is no number. */
struct latency_row {
	const char *database, *figures[FIGURES];
	uint64_t requests;
};

#define FIGURE(name, i) COLUMN_NAMED(TEXT, struct latency_row, name, figures[i])

/* Query is all of it, as the client sees it; wait is for a server; server is PostgreSQL's time to its first reply. */
#define COLUMNS_OF struct latency_row
COLUMNS(latency, TEXT(database), INT8(requests), FIGURE("query_p50_ms", 0), FIGURE("query_p95_ms", 1),
	FIGURE("query_p99_ms", 2), FIGURE("wait_p50_ms", 3), FIGURE("wait_p95_ms", 4), FIGURE("wait_p99_ms", 5),
	FIGURE("server_p50_ms", 6), FIGURE("server_p95_ms", 7), FIGURE("server_p99_ms", 8));

/* To three digits behind the point; a histogram tells no more. */
static double
quantile_ms(const struct histogram *h, const struct histogram_bounds *bounds, double q)
{
	double us = histogram_quantile_us(h, bounds, q, 0);

	return histogram_count(h) == 0 ? (double)NAN : isinf(us) ? us : (double)(uint64_t)(us + 0.5) / 1000;
}

/* Fills three figures; NULL: there were no requests. */
static void
put_figures(const struct histogram *h, const struct histogram_bounds *bounds, char texts[][FIGURE_MAX],
	    const char *figures[])
{
	static const double quantiles[] = { 0.5, 0.95, 0.99 };

	for (size_t i = 0; i < 3; i++) {
		double ms = quantile_ms(h, bounds, quantiles[i]);

		figures[i] = isnan(ms) ? NULL : texts[i];
		if (isinf(ms))
			snprintf(texts[i], FIGURE_MAX, ">%" PRIu64, bounds->le_us[bounds->count - 1] / 1000);
		else
			snprintf(texts[i], FIGURE_MAX, "%.15g", ms);
	}
}

static void
fill_latency(const struct show_env *env, struct rows *rows)
{
	struct database_sum *sums = show_database_sums(env, rows);

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++) {
		const struct database_counters *c = &d->counters;
		struct latency_row row = { .database = d->name, .requests = c->requests };
		char texts[FIGURES][FIGURE_MAX];

		put_figures(&c->query_duration, &histogram_bounds_query, texts, row.figures);
		put_figures(&c->pool_wait, &histogram_bounds_wait, texts + 3, row.figures + 3);
		put_figures(&c->server_response, &histogram_bounds_query, texts + 6, row.figures + 6);
		rows_add(rows, &row);
	}
	free(sums);
}

const struct show show_latency = { SHOW_COLUMNS(latency_columns), fill_latency, OF_ALL };

struct error_row {
	const char *database, *origin, *sqlstate_class;
	uint64_t count;
};

#undef COLUMNS_OF
#define COLUMNS_OF struct error_row
COLUMNS(errors, TEXT(database), TEXT(origin), TEXT(sqlstate_class), INT8(count));

static void
fill_errors(const struct show_env *env, struct rows *rows)
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
	free(sums);
}

const struct show show_errors = { SHOW_COLUMNS(errors_columns), fill_errors, OF_ALL };

struct backend_row {
	const char *backend, *role, *state, *last_failure;
	uint64_t connects, failures;
	uint64_t failed[CF_COUNT];
	double connect_p50_ms, connect_p95_ms, connect_p99_ms;
};

#undef COLUMNS_OF
#define COLUMNS_OF struct backend_row
COLUMNS(backends, TEXT(backend), TEXT(role), TEXT(state), INT8(connects), INT8(failures),
	COLUMN_NAMED(INT8, struct backend_row, "failed_dns", failed[CF_DNS]),
	COLUMN_NAMED(INT8, struct backend_row, "failed_refused", failed[CF_REFUSED]),
	COLUMN_NAMED(INT8, struct backend_row, "failed_timeout", failed[CF_TIMEOUT]),
	COLUMN_NAMED(INT8, struct backend_row, "failed_tls", failed[CF_TLS]),
	COLUMN_NAMED(INT8, struct backend_row, "failed_auth", failed[CF_AUTH]),
	COLUMN_NAMED(INT8, struct backend_row, "failed_too_many", failed[CF_TOO_MANY]),
	COLUMN_NAMED(INT8, struct backend_row, "failed_other", failed[CF_OTHER]), TEXT(last_failure),
	FLOAT8(connect_p50_ms), FLOAT8(connect_p95_ms), FLOAT8(connect_p99_ms));

static void
add_backend(const char *name, const char *role, const struct backend_counters *c, void *arg)
{
	struct backend_row row = { .backend = name, .role = role, .connects = c->connects };
	char last_failure[SHOW_TIME_MAX];

	row.state = c->is_up > 0 ? "up" : c->is_up == 0 ? "down" : "unknown";
	for (size_t i = 0; i < CF_COUNT; i++) {
		row.failed[i] = c->connect_failures[i];
		row.failures += row.failed[i];
	}
	if (c->last_failure_wall_us > 0) {
		show_time(c->last_failure_wall_us, last_failure);
		row.last_failure = last_failure;
	}
	row.connect_p50_ms = quantile_ms(&c->connect_duration, &histogram_bounds_wait, 0.5);
	row.connect_p95_ms = quantile_ms(&c->connect_duration, &histogram_bounds_wait, 0.95);
	row.connect_p99_ms = quantile_ms(&c->connect_duration, &histogram_bounds_wait, 0.99);
	rows_add(arg, &row);
}

/* Workers have backends of their own, which a snapshot adds up by name. */
static void
fill_backends(const struct show_env *env, struct rows *rows)
{
	env->host->backends_each(env->host->w, add_backend, rows);
}

const struct show show_backends = { SHOW_COLUMNS(backends_columns), fill_backends, OF_ALL };
