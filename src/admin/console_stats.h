/*
 * src/admin/console_stats.h - what SHOW STATS shows of a database: totals, and averages over the last full minute.
 *
 * Names, order and meaning are PgBouncer's: counts and bytes per second; time per transaction, per query, and of waits
 * per second. Times in microseconds.
 *
 * Owns: what was counted when the present minute began, by the database's name.
 */
#pragma once

#include "admin/database_sums.h"

#include <stdbool.h>

#define STATS_PERIOD_US (60 * 1000 * 1000)

enum {
	STAT_SERVER_ASSIGNMENTS,
	STAT_TRANSACTIONS,
	STAT_QUERIES,
	STAT_RECEIVED,
	STAT_SENT,
	STAT_TRANSACTION_TIME,
	STAT_QUERY_TIME,
	STAT_WAIT_TIME,
	STAT_CLIENT_PARSES,
	STAT_SERVER_PARSES,
	STAT_BINDS,
	STAT_CLIENT_LOGINS,
	STATS
};

struct stats {
	uint64_t of[STATS];
};

struct console_stats; /* opaque: console_stats.c */

struct console_stats *console_stats_new(uint64_t seed, uint64_t now_us); /* seed: random, for a table of names */
void console_stats_free(struct console_stats *s);
bool console_stats_is_due(const struct console_stats *s, uint64_t now_us); /* returns true if the minute is over */
void console_stats_renew(struct console_stats *s, const struct database_sum *sums, uint64_t now_us); /* begins one */
/* Returns the rates between two counts that are took_us apart: per second, but times per transaction and per query. */
struct stats stats_rates(const struct stats *begun, const struct stats *now, uint64_t took_us);
struct stats stats_total(const struct database_counters *c);
/* Averages of the database of this name over the last full minute; zeros before there was one. */
struct stats stats_average(const struct console_stats *s, const char *database);
void stats_add(struct stats *to, const struct stats *from);
