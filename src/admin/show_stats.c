/*
 * src/admin/show_stats.c - SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.
 *
 * The columns are those of the PgBouncer that SHOW VERSION names. Logins of clients are counted in TOTALS alone: 1.25
 * has no column for them.
 */
#include "admin/show.h"

#include <stdlib.h>
#include <string.h>

/* All but STAT_CLIENT_LOGINS, in the order of struct stats. */
#define SHOWN (STATS - 1)
struct stats_row {
	ROW_FIELDS((TEXT, database))
	uint64_t of[2 * SHOWN];
};

static const struct column stats_columns[] = { ROW_COLUMNS((TEXT, database)
	(NUMERIC, total_server_assignment_count) (NUMERIC, total_xact_count) (NUMERIC, total_query_count)
	(NUMERIC, total_received) (NUMERIC, total_sent) (NUMERIC, total_xact_time) (NUMERIC, total_query_time)
	(NUMERIC, total_wait_time) (NUMERIC, total_client_parse_count) (NUMERIC, total_server_parse_count)
	(NUMERIC, total_bind_count)
	(NUMERIC, avg_server_assignment_count) (NUMERIC, avg_xact_count) (NUMERIC, avg_query_count)
	(NUMERIC, avg_recv) (NUMERIC, avg_sent) (NUMERIC, avg_xact_time) (NUMERIC, avg_query_time)
	(NUMERIC, avg_wait_time) (NUMERIC, avg_client_parse_count) (NUMERIC, avg_server_parse_count)
	(NUMERIC, avg_bind_count)) };
static const struct column totals_columns[] = { ROW_COLUMNS((TEXT, database)
	(NUMERIC, server_assignment_count) (NUMERIC, xact_count) (NUMERIC, query_count)
	(NUMERIC, bytes_received) (NUMERIC, bytes_sent) (NUMERIC, xact_time) (NUMERIC, query_time)
	(NUMERIC, wait_time) (NUMERIC, client_parse_count) (NUMERIC, server_parse_count) (NUMERIC, bind_count)) };
/* Yes, only the last three begin with avg_. */
static const struct column averages_columns[] = { ROW_COLUMNS((TEXT, database)
	(NUMERIC, server_assignment_count) (NUMERIC, xact_count) (NUMERIC, query_count)
	(NUMERIC, bytes_received) (NUMERIC, bytes_sent) (NUMERIC, xact_time) (NUMERIC, query_time)
	(NUMERIC, wait_time) (NUMERIC, avg_client_parse_count) (NUMERIC, avg_server_parse_count)
	(NUMERIC, avg_bind_count)) };

static void
fill_stats(const struct show_env *env, struct rows *rows)
{
	struct database_sum *sums = show_database_sums(env, rows);

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++) {
		struct stats total = stats_total(&d->counters), minute = stats_minute(env->stats, d->name);
		struct stats average = stats_average(env->stats, &minute);
		struct stats_row row = { .database = d->name };

		memcpy(row.of, rows->columns == averages_columns ? average.of : total.of, sizeof(row.of) / 2);
		memcpy(row.of + SHOWN, average.of, sizeof(row.of) / 2);
		rows_add(rows, &row);
	}
	free(sums);
}

const struct show show_stats = { SHOW_COLUMNS(stats_columns), fill_stats, OF_ALL };
const struct show show_stats_totals = { SHOW_COLUMNS(totals_columns), fill_stats, OF_ALL };
const struct show show_stats_averages = { SHOW_COLUMNS(averages_columns), fill_stats, OF_ALL };

SHOW_ROW(total, (TEXT, name) (NUMERIC, value));

static const struct {
	const char *total, *average;
} totals_names[STATS] = {
	[STAT_SERVER_ASSIGNMENTS] = { "total_server_assignment_count", "avg_server_assignment_count" },
	[STAT_TRANSACTIONS] = { "total_xact_count", "avg_xact_count" },
	[STAT_QUERIES] = { "total_query_count", "avg_query_count" },
	[STAT_RECEIVED] = { "total_client_bytes", "avg_client_bytes" },
	[STAT_SENT] = { "total_server_bytes", "avg_server_bytes" },
	[STAT_TRANSACTION_TIME] = { "total_xact_time", "avg_xact_time" },
	[STAT_QUERY_TIME] = { "total_query_time", "avg_query_time" },
	[STAT_WAIT_TIME] = { "total_wait_time", "avg_wait_time" },
	[STAT_CLIENT_PARSES] = { "total_ps_client_parse_count", "avg_ps_client_parse_count" },
	[STAT_SERVER_PARSES] = { "total_ps_server_parse_count", "avg_ps_server_parse_count" },
	[STAT_BINDS] = { "total_ps_bind_count", "avg_ps_bind_count" },
	[STAT_CLIENT_LOGINS] = { "total_client_login_count", "avg_client_login_count" },
};

SHOW(show_totals, total_columns, OF_ALL)
{
	struct stats total = { { 0 } }, minute = { { 0 } }, average;
	struct database_sum *sums = show_database_sums(env, rows);

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++) {
		struct stats t = stats_total(&d->counters), m = stats_minute(env->stats, d->name);

		counters_add(&total, &t, sizeof(total));
		counters_add(&minute, &m, sizeof(minute));
	}
	free(sums);
	average = stats_average(env->stats, &minute);
	total.of[STAT_CLIENT_LOGINS] = 0;
	for (struct client_env *const *of = env->host->crew; *of != NULL; of++) {
		const struct process_counters *c = (*of)->x.counters;

		/* PgBouncer counts the console's clients and commands, too. */
		for (size_t m = 0; m < LM_COUNT; m++)
			total.of[STAT_CLIENT_LOGINS] += c->logins[LR_OK][m];
		total.of[STAT_TRANSACTIONS] += c->console_commands;
		total.of[STAT_QUERIES] += c->console_commands;
	}
	for (size_t i = 0; i < STATS; i++)
		rows_add(rows, &(struct total_row){ totals_names[i].total, total.of[i] });
	for (size_t i = 0; i < STATS; i++)
		rows_add(rows, &(struct total_row){ totals_names[i].average, average.of[i] });
}
