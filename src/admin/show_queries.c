/*
 * src/admin/show_queries.c - SHOW QUERIES [count] [PER what] [BY column] [LIKE 'pattern']: the statements that cost the
 * most; SHOW READS: how often the primary or a standby ran each, and why; SHOW EVENTS: the last lines of the log.
 */
#include "admin/show.h"
#include "log/log.h"

#include <string.h>

#define STATEMENT_COLUMNS (HASH, fingerprint)(TEXT, database)(TEXT, user)(TEXT, application_name)(INT8, calls)
#define SEVERAL "(several)" /* replaces a name that differs between rows that PER has merged */

/* clang-format off */
static const struct column queries_columns[] = {
	ROW_COLUMNS(STATEMENT_COLUMNS (INT8, errors) (MS, total_ms) (MS, mean_ms) (MS, p95_ms) (MS, max_ms) SHOW_PHASES
		(MS, server_percent) (INT8, rows) (INT8, bytes_out) (INT8, plans_kept) (TIME, first_seen) (TIME, last_seen) (TEXT, query))
};
/* clang-format on */
_Static_assert(offsetof(struct query_row, routes) == sizeof(queries_columns) / sizeof(struct column) * 8, "query_row");

/* Orders by a number, the largest first; `at` points to the number's offset in the row. */
static int
by_value(const void *a, const void *b, void *at)
{
	const uint64_t *one = (const void *)((const char *)a + *(const size_t *)at);
	const uint64_t *other = (const void *)((const char *)b + *(const size_t *)at);

	return *one > *other ? -1 : *one < *other;
}

static int
by_key(const void *a, const void *b, void *per)
{
	const struct query_row *one = a, *other = b;
	unsigned key = *(const unsigned *)per;

	return key == PER_STATEMENT ? memcmp(&one->fingerprint, &other->fingerprint, sizeof(one->fingerprint))
	       : key == PER_USER    ? strcmp(one->user, other->user)
				    : strcmp(one->application, other->application);
}

static void
merge_query(struct query_row *to, const struct query_row *from)
{
	uint64_t max_us = to->max_us > from->max_us ? to->max_us : from->max_us;

	to->database = strcmp(to->database, from->database) == 0 ? to->database : SEVERAL;
	to->user = strcmp(to->user, from->user) == 0 ? to->user : SEVERAL;
	to->application = strcmp(to->application, from->application) == 0 ? to->application : SEVERAL;
	to->query = to->fingerprint == from->fingerprint ? to->query : SEVERAL;
	to->fingerprint = to->fingerprint == from->fingerprint ? to->fingerprint : 0;
	to->first_wall_us = to->first_wall_us < from->first_wall_us ? to->first_wall_us : from->first_wall_us;
	to->last_wall_us = to->last_wall_us > from->last_wall_us ? to->last_wall_us : from->last_wall_us;
	counters_add(&to->calls, &from->calls,
		     offsetof(struct query_row, first_wall_us) - offsetof(struct query_row, calls));
	to->max_us = max_us;
	histogram_add(&to->duration, &from->duration);
}

/* Drops the rows that do not match LIKE, and merges the others that have the same key. Returns how many are left. */
static size_t
merge_rows(struct query_row *list, size_t count, unsigned per, struct rows *rows)
{
	size_t left = 0;

	qsort_r(list, count, sizeof(list[0]), by_key, &per);
	for (size_t i = 0; i < count; i++)
		if (!rows_like_matches(rows, &list[i]))
			continue;
		else if (left > 0 && by_key(&list[left - 1], &list[i], &per) == 0)
			merge_query(&list[left - 1], &list[i]);
		else
			list[left++] = list[i];
	rows->like = NULL;
	return left;
}

static void
add_queries(struct query_row *list, size_t count, void *arg)
{
	const struct show_fill *fill = arg;
	const struct command *command = fill->env->command;
	uint64_t most = command->top > 0 ? command->top : UINT64_MAX, server_us = 0;
	size_t at = command->order > 0 ? command->order * ROW_FIELD_SIZE : offsetof(struct query_row, total_us);

	for (size_t i = 0; i < count; i++)
		server_us += list[i].phase_us[PHASE_SERVER];
	if (command->per != PER_NOTHING)
		count = merge_rows(list, count, command->per, fill->rows);
	for (struct query_row *q = list; q < list + count; q++) {
		double us = histogram_quantile_us(&q->duration, &histogram_bounds_query, 0.95, q->max_us);

		q->mean_us = q->total_us / q->calls;
		/* interpolated within a bucket, the quantile may exceed the maximum */
		q->p95_us = us < (double)q->max_us ? (uint64_t)(us + 0.5) : q->max_us;
		q->server_share = server_us > 0 ? q->phase_us[PHASE_SERVER] * 100000 / server_us : 0;
	}
	qsort_r(list, count, sizeof(list[0]), by_value, &at);
	for (size_t i = 0; i < count && fill->rows->count < most; i++)
		rows_add(fill->rows, &list[i]);
}

/* --- READS --- */

#define ROUTE_COLUMN(id, name) { name, COLUMN_INT8 },

struct reads_row {
	/* `calls` leaves out the calls for which reads were not sent to standbys (ROUTE_OFF) */
	ROW_FIELDS(STATEMENT_COLUMNS)
	uint64_t routes[ROUTE_COUNT - 1];
	ROW_FIELDS((TEXT, query))
};

static const struct column reads_columns[] = { ROW_COLUMNS(STATEMENT_COLUMNS) READ_ROUTES(ROUTE_COLUMN)
						   ROW_COLUMNS((TEXT, query)) };

static void
add_reads(struct query_row *list, size_t count, void *arg)
{
	const struct show_fill *fill = arg;
	uint64_t top = fill->env->command->top, most = top > 0 ? top : UINT64_MAX;
	size_t at = offsetof(struct query_row, calls);

	for (size_t i = 0; i < count; i++)
		list[i].calls -= list[i].routes[ROUTE_OFF];
	qsort_r(list, count, sizeof(list[0]), by_value, &at);
	for (size_t i = 0; i < count && list[i].calls > 0 && fill->rows->count < most; i++) {
		const struct query_row *q = &list[i];
		struct reads_row row = { q->fingerprint, q->database, q->user,
					 q->application, q->calls,    .query = q->query };

		memcpy(row.routes, q->routes + 1, sizeof(row.routes)); /* the first route, ROUTE_OFF, is left out */
		rows_add(fill->rows, &row);
	}
}

static void
fill_from_table(const struct show_env *env, struct rows *rows)
{
	bool is_queries = rows->columns == queries_columns;

	rows->out->is_broken |= query_table_read(env->host->queries, is_queries ? add_queries : add_reads,
						 &(struct show_fill){ env, rows }) < 0;
}

const struct show show_queries = { SHOW_COLUMNS(queries_columns), fill_from_table, OF_MAIN_WORKER };
const struct show show_reads = { SHOW_COLUMNS(reads_columns), fill_from_table, OF_MAIN_WORKER };

/* --- EVENTS --- */

SHOW_ROW(event, (TIME, time) (TEXT, level) (TEXT, event));

static void
add_event(const struct log_recent_line *event, void *arg)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };

	rows_add(arg, &(struct event_row){ event->wall_us, levels[event->level], event->message });
}

SHOW(show_events, event_columns, OF_MAIN_WORKER)
{
	log_each_recent(env->clients->x.log, add_event, rows);
}
