/*
 * src/admin/show_stats.c - SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.
 *
 * The columns are those of the PgBouncer that SHOW VERSION names. Logins of clients are counted in TOTALS alone: 1.25
 * has no column for them.
 */
#include "admin/show.h"

#include <stdlib.h>

struct stats_row {
	const char *database;
	struct stats total, average;
};

#define DATABASE COLUMN_NAMED(TEXT, struct stats_row, "database", database)
#define TOTAL(name, i) COLUMN_NAMED(NUMERIC, struct stats_row, name, total.of[i])
#define AVERAGE(name, i) COLUMN_NAMED(NUMERIC, struct stats_row, name, average.of[i])

COLUMNS(stats, DATABASE, TOTAL("total_server_assignment_count", STAT_SERVER_ASSIGNMENTS),
	TOTAL("total_xact_count", STAT_TRANSACTIONS), TOTAL("total_query_count", STAT_QUERIES),
	TOTAL("total_received", STAT_RECEIVED), TOTAL("total_sent", STAT_SENT),
	TOTAL("total_xact_time", STAT_TRANSACTION_TIME), TOTAL("total_query_time", STAT_QUERY_TIME),
	TOTAL("total_wait_time", STAT_WAIT_TIME), TOTAL("total_client_parse_count", STAT_CLIENT_PARSES),
	TOTAL("total_server_parse_count", STAT_SERVER_PARSES), TOTAL("total_bind_count", STAT_BINDS),
	AVERAGE("avg_server_assignment_count", STAT_SERVER_ASSIGNMENTS), AVERAGE("avg_xact_count", STAT_TRANSACTIONS),
	AVERAGE("avg_query_count", STAT_QUERIES), AVERAGE("avg_recv", STAT_RECEIVED), AVERAGE("avg_sent", STAT_SENT),
	AVERAGE("avg_xact_time", STAT_TRANSACTION_TIME), AVERAGE("avg_query_time", STAT_QUERY_TIME),
	AVERAGE("avg_wait_time", STAT_WAIT_TIME), AVERAGE("avg_client_parse_count", STAT_CLIENT_PARSES),
	AVERAGE("avg_server_parse_count", STAT_SERVER_PARSES), AVERAGE("avg_bind_count", STAT_BINDS));

COLUMNS(stats_totals, DATABASE, TOTAL("server_assignment_count", STAT_SERVER_ASSIGNMENTS),
	TOTAL("xact_count", STAT_TRANSACTIONS), TOTAL("query_count", STAT_QUERIES),
	TOTAL("bytes_received", STAT_RECEIVED), TOTAL("bytes_sent", STAT_SENT),
	TOTAL("xact_time", STAT_TRANSACTION_TIME), TOTAL("query_time", STAT_QUERY_TIME),
	TOTAL("wait_time", STAT_WAIT_TIME), TOTAL("client_parse_count", STAT_CLIENT_PARSES),
	TOTAL("server_parse_count", STAT_SERVER_PARSES), TOTAL("bind_count", STAT_BINDS));

/* Yes, only the last three begin with avg_. */
COLUMNS(stats_averages, DATABASE, AVERAGE("server_assignment_count", STAT_SERVER_ASSIGNMENTS),
	AVERAGE("xact_count", STAT_TRANSACTIONS), AVERAGE("query_count", STAT_QUERIES),
	AVERAGE("bytes_received", STAT_RECEIVED), AVERAGE("bytes_sent", STAT_SENT),
	AVERAGE("xact_time", STAT_TRANSACTION_TIME), AVERAGE("query_time", STAT_QUERY_TIME),
	AVERAGE("wait_time", STAT_WAIT_TIME), AVERAGE("avg_client_parse_count", STAT_CLIENT_PARSES),
	AVERAGE("avg_server_parse_count", STAT_SERVER_PARSES), AVERAGE("avg_bind_count", STAT_BINDS));

static void
fill_stats(const struct show_env *env, struct rows *rows)
{
	struct database_sum *sums = show_database_sums(env, rows);

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++) {
		struct stats_row row = { d->name, stats_total(&d->counters), stats_average(env->stats, d->name) };

		rows_add(rows, &row);
	}
	free(sums);
}

const struct show show_stats = { SHOW_COLUMNS(stats_columns), fill_stats, OF_ALL };
const struct show show_stats_totals = { SHOW_COLUMNS(stats_totals_columns), fill_stats, OF_ALL };
const struct show show_stats_averages = { SHOW_COLUMNS(stats_averages_columns), fill_stats, OF_ALL };

struct total_row {
	const char *name;
	uint64_t value;
};

#define COLUMNS_OF struct total_row
COLUMNS(totals, TEXT(name), NUMERIC(value));

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

static void
fill_totals(const struct show_env *env, struct rows *rows)
{
	struct stats total = { { 0 } }, average = { { 0 } }, weighted = { { 0 } };
	struct database_sum *sums = show_database_sums(env, rows);
	uint64_t queries, transactions;

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++) {
		struct stats t = stats_total(&d->counters), a = stats_average(env->stats, d->name);

		counters_add(&total, &t, sizeof(total));
		counters_add(&average, &a, sizeof(average));
		weighted.of[STAT_QUERY_TIME] += a.of[STAT_QUERY_TIME] * a.of[STAT_QUERIES];
		weighted.of[STAT_TRANSACTION_TIME] += a.of[STAT_TRANSACTION_TIME] * a.of[STAT_TRANSACTIONS];
	}
	free(sums);
	/* Times per query and per transaction are averaged, all else adds up. */
	queries = average.of[STAT_QUERIES];
	transactions = average.of[STAT_TRANSACTIONS];
	average.of[STAT_QUERY_TIME] = queries > 0 ? weighted.of[STAT_QUERY_TIME] / queries : 0;
	average.of[STAT_TRANSACTION_TIME] = transactions > 0 ? weighted.of[STAT_TRANSACTION_TIME] / transactions : 0;
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

const struct show show_totals = { SHOW_COLUMNS(totals_columns), fill_totals, OF_ALL };
