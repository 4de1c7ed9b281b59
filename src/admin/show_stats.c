/*
 * src/admin/show_stats.c - SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.
 *
 * The columns are those of the PgBouncer that SHOW VERSION names. PgBouncer 1.25 shows logins of clients in TOTALS
 * only, 1.26 in all four commands.
 */
#include "admin/show.h"

#include <stdlib.h>
#include <string.h>

struct stats_row {
	ROW_FIELDS((TEXT, database))
	uint64_t of[2 * STATS];
};

#define TOTAL_COLUMN(stat, total, ...) { "total_" #total, COLUMN_NUMERIC },
#define AVERAGE_COLUMN(stat, total, average, ...) { "avg_" #average, COLUMN_NUMERIC },
#define COLUMN_OF_TOTALS(stat, total, average, name, ...) { #name, COLUMN_NUMERIC },
#define COLUMN_OF_AVERAGES(stat, total, average, totals, name, ...) { #name, COLUMN_NUMERIC },
#define DATABASE_COLUMN { "database", COLUMN_TEXT },

static const struct column stats_columns[] = { DATABASE_COLUMN STAT_LIST_1_25(TOTAL_COLUMN)
						   STAT_LIST_1_25(AVERAGE_COLUMN) };
static const struct column stats_next_columns[] = { DATABASE_COLUMN STAT_LIST(TOTAL_COLUMN) STAT_LIST(AVERAGE_COLUMN) };
static const struct column totals_columns[] = { DATABASE_COLUMN STAT_LIST(COLUMN_OF_TOTALS) };
static const struct column averages_columns[] = { DATABASE_COLUMN STAT_LIST(COLUMN_OF_AVERAGES) };

static void
fill_stats(const struct show_env *env, struct rows *rows)
{
	struct database_sum *sums = show_database_sums(env, rows);
	bool is_both = rows->column_count > 1 + STATS;
	size_t shown = (rows->column_count - 1) / (is_both ? 2 : 1);

	for (const struct database_sum *d = sums; d != NULL && d->name != NULL; d++) {
		struct stats total = stats_total(&d->counters), minute = stats_minute(env->stats, d->name);
		struct stats average = stats_average(env->stats, &minute);
		struct stats_row row = { .database = d->name };

		memcpy(row.of, rows->columns == averages_columns ? average.of : total.of, shown * sizeof(row.of[0]));
		memcpy(row.of + shown, average.of, shown * sizeof(row.of[0]));
		rows_add(rows, &row);
	}
	free(sums);
}

const struct show show_stats = { SHOW_COLUMNS(stats_columns), fill_stats, OF_ALL };
const struct show show_stats_next = { SHOW_COLUMNS(stats_next_columns), fill_stats, OF_ALL };
const struct show show_stats_totals = { totals_columns, STATS, 0, fill_stats, OF_ALL };
const struct show show_stats_totals_next = { SHOW_COLUMNS(totals_columns), fill_stats, OF_ALL };
const struct show show_stats_averages = { averages_columns, STATS, 0, fill_stats, OF_ALL };
const struct show show_stats_averages_next = { SHOW_COLUMNS(averages_columns), fill_stats, OF_ALL };

SHOW_ROW(total, (TEXT, name) (NUMERIC, value));

#define TOTALS_NAMES(stat, total, average, totals, averages, name) { "total_" #name, "avg_" #name },
static const struct {
	const char *total, *average;
} totals_names[STATS] = { STAT_LIST(TOTALS_NAMES) };

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
	for (struct client_env *const *of = env->host->client_envs; *of != NULL; of++) {
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
