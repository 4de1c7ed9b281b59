/*
 * src/admin/show_queries.c - SHOW QUERIES [count] [BY column] [LIKE application]: which statements cost the most;
 * SHOW READS: where they went; SHOW EVENTS: the last lines of the log.
 */
#include "admin/show.h"
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

SHOW_ROW(queries, (TEXT, fingerprint) (TEXT, database) (TEXT, user) (TEXT, application_name) (INT8, calls)
	(INT8, errors) (FLOAT8, total_ms) (FLOAT8, mean_ms) (FLOAT8, p95_ms) (FLOAT8, max_ms) (FLOAT8, wait_ms)
	(INT8, rows) (INT8, bytes_out) (TEXT, first_seen) (TEXT, last_seen) (TEXT, query));

static double
ms(uint64_t us)
{
	return (double)us / 1000;
}

static double
p95_us(const struct query_row *q)
{
	double us = histogram_quantile_us(&q->duration, &histogram_bounds_query, 0.95, q->max_us);

	return us < (double)q->max_us ? us : (double)q->max_us; /* it is interpolated within its bucket */
}

static double
value_of(const struct query_row *q, enum query_order order)
{
	const double values[QUERY_ORDERS] = {
		[QUERIES_BY_TOTAL] = (double)q->total_us, [QUERIES_BY_MEAN] = (double)q->total_us / (double)q->calls,
		[QUERIES_BY_MAX] = (double)q->max_us,	  [QUERIES_BY_CALLS] = (double)q->calls,
		[QUERIES_BY_WAIT] = (double)q->wait_us,	  [QUERIES_BY_ROWS] = (double)q->rows,
		[QUERIES_BY_ERRORS] = (double)q->errors,
	};

	return order == QUERIES_BY_P95 ? p95_us(q) : values[order];
}

/* Largest first. */
static int
by_value(const void *a, const void *b, void *arg)
{
	const enum query_order *order = arg;
	double one = value_of(a, *order), other = value_of(b, *order);

	return one > other ? -1 : one < other;
}

static void
add_queries(struct query_row *list, size_t count, void *arg)
{
	const struct show_fill *fill = arg;
	const struct command *command = fill->env->command;
	uint64_t most = command->top > 0 ? command->top : UINT64_MAX;
	enum query_order order = command->order;

	qsort_r(list, count, sizeof(list[0]), by_value, &order);
	for (size_t i = 0; i < count && fill->rows->count < most; i++) {
		const struct query_row *q = &list[i];
		char fingerprint[20], first_seen[SHOW_TIME_MAX], last_seen[SHOW_TIME_MAX];
		struct queries_row row = { .fingerprint = fingerprint,
					   .database = q->database,
					   .user = q->user,
					   .application_name = q->application,
					   .first_seen = first_seen,
					   .last_seen = last_seen,
					   .query = q->query,
					   .calls = q->calls,
					   .errors = q->errors,
					   .rows = q->rows,
					   .bytes_out = q->bytes_out };

		snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64, q->fingerprint);
		show_time(q->first_wall_us, first_seen);
		show_time(q->last_wall_us, last_seen);
		row.total_ms = ms(q->total_us);
		row.mean_ms = ms(q->total_us / q->calls);
		row.p95_ms = ms((uint64_t)(p95_us(q) + 0.5));
		row.max_ms = ms(q->max_us);
		row.wait_ms = ms(q->wait_us);
		rows_add(fill->rows, &row);
	}
}

SHOW(show_queries, queries_columns, OF_MAIN_WORKER)
{
	if (query_table_read(env->host->queries, add_queries, &(struct show_fill){ env, rows }) < 0)
		rows->out->is_broken = true;
}

/* --- READS --- */

#define BEFORE_ROUTES (TEXT, fingerprint)(TEXT, database)(TEXT, user)(TEXT, application_name)(INT8, calls)
#define OF_ROUTE(id, name) { name, COLUMN_INT8 },

struct reads_row {
	/* calls: those while it was read from standbys */
	ROW_FIELDS(BEFORE_ROUTES)
	uint64_t routes[ROUTE_COUNT - 1];
	ROW_FIELDS((TEXT, query))
};

static const struct column reads_columns[] = { ROW_COLUMNS(BEFORE_ROUTES) READ_ROUTES(OF_ROUTE)
						   ROW_COLUMNS((TEXT, query)) };

static void
add_reads(struct query_row *list, size_t count, void *arg)
{
	const struct show_fill *fill = arg;
	uint64_t top = fill->env->command->top, most = top > 0 ? top : UINT64_MAX;
	enum query_order order = QUERIES_BY_CALLS;

	for (size_t i = 0; i < count; i++)
		list[i].calls -= list[i].routes[ROUTE_OFF];
	qsort_r(list, count, sizeof(list[0]), by_value, &order);
	for (size_t i = 0; i < count && list[i].calls > 0 && fill->rows->count < most; i++) {
		char fingerprint[20];
		const struct query_row *q = &list[i];
		struct reads_row row = { .fingerprint = fingerprint,
					 .database = q->database,
					 .user = q->user,
					 .application_name = q->application,
					 .calls = q->calls,
					 .query = q->query };

		memcpy(row.routes, q->routes + 1, sizeof(row.routes)); /* behind ROUTE_OFF */
		snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64, q->fingerprint);
		rows_add(fill->rows, &row);
	}
}

SHOW(show_reads, reads_columns, OF_MAIN_WORKER)
{
	if (query_table_read(env->host->queries, add_reads, &(struct show_fill){ env, rows }) < 0)
		rows->out->is_broken = true;
}

/* --- EVENTS --- */

SHOW_ROW(event, (TEXT, time) (TEXT, level) (TEXT, event));

static void
add_event(const struct log_event *event, void *arg)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };
	char time[SHOW_TIME_MAX];

	show_time(event->wall_us, time);
	rows_add(arg, &(struct event_row){ time, levels[event->level], event->message });
}

SHOW(show_events, event_columns, OF_MAIN_WORKER)
{
	log_each_recent(env->clients->x.log, add_event, rows);
}
