/*
 * src/admin/console_stats.h - what SHOW STATS shows of a database: totals, and averages over the last full minute.
 *
 * Names, order and meaning are PgBouncer's: counts and bytes per second; time per transaction and per query, and of
 * waits per server that was assigned. Times in microseconds.
 *
 * Owns: what was counted when the present minute began, by the database's name.
 */
#pragma once

#include "base/counters.h"
#include "log/log.h"

#include <stdbool.h>

#define STATS_PERIOD_US (60 * 1000 * 1000)

/*
 * Every count, in the order of PgBouncer's columns, and its name behind total_ and behind avg_ in SHOW STATS, in
 * STATS_TOTALS, in STATS_AVERAGES (yes, only some begin with avg_), and behind total_ and avg_ in TOTALS.
 */
/* clang-format off */
#define STAT_LIST_1_25(ROW) \
	ROW(SERVER_ASSIGNMENTS, server_assignment_count, server_assignment_count, server_assignment_count, server_assignment_count, server_assignment_count) \
	ROW(TRANSACTIONS, xact_count, xact_count, xact_count, xact_count, xact_count) \
	ROW(QUERIES, query_count, query_count, query_count, query_count, query_count) \
	ROW(RECEIVED, received, recv, bytes_received, bytes_received, client_bytes) \
	ROW(SENT, sent, sent, bytes_sent, bytes_sent, server_bytes) \
	ROW(TRANSACTION_TIME, xact_time, xact_time, xact_time, xact_time, xact_time) \
	ROW(QUERY_TIME, query_time, query_time, query_time, query_time, query_time) \
	ROW(WAIT_TIME, wait_time, wait_time, wait_time, wait_time, wait_time) \
	ROW(CLIENT_PARSES, client_parse_count, client_parse_count, client_parse_count, avg_client_parse_count, ps_client_parse_count) \
	ROW(SERVER_PARSES, server_parse_count, server_parse_count, server_parse_count, avg_server_parse_count, ps_server_parse_count) \
	ROW(BINDS, bind_count, bind_count, bind_count, avg_bind_count, ps_bind_count)
#define STAT_LIST(ROW) STAT_LIST_1_25(ROW) \
	ROW(CLIENT_LOGINS, client_login_count, client_login_count, client_login_count, avg_client_login_count, client_login_count)
/* clang-format on */

#define STAT_NUMBER(stat, ...) STAT_##stat,
enum { STAT_LIST(STAT_NUMBER) STATS };

struct stats {
	uint64_t of[STATS];
};

/*
 * --- database_sums.c: what all workers have counted for a database. Each worker that has pools of a database
 * has a struct pool_database of its own: they are told apart by their names, and added up.
 */
struct client_env;
struct pool_database;

struct database_sum {
	const char *name; /* borrowed from one of them; NULL: this is the last, and none */
	const struct pool_database *known; /* of them the one that learned of the database's code last */
	struct database_counters counters;
};

/*
 * Returns the sums, ordered by name, with a last one without a name. free() frees them; the databases are borrowed.
 * NULL without memory. crew: see client/clients.h; all workers but the caller's stand still.
 */
struct database_sum *database_sums(struct client_env *const *crew);

/* --- console_stats.c --- */

struct console_stats; /* opaque: console_stats.c */

struct console_stats *console_stats_new(uint64_t seed, uint64_t now_us); /* seed: random, for a table of names */
void console_stats_free(struct console_stats *s);
bool console_stats_is_due(const struct console_stats *s, uint64_t now_us); /* returns true if the minute is over */
void console_stats_renew(struct console_stats *s, const struct database_sum *sums, uint64_t now_us); /* begins one */
struct stats stats_total(const struct database_counters *c);
/* Returns what was counted of the database of this name in the last full minute; zeros before there was one. */
struct stats stats_minute(const struct console_stats *s, const char *database);
/* Averages of that, or of several databases' sum. */
struct stats stats_average(const struct console_stats *s, const struct stats *minute);

/* --- a line for the log, now and then, with what goes through: log_stats of PgBouncer. --- */

/* Zeroed is empty. */
struct stats_log {
	uint64_t told_us; /* when the last line was written, or counting began; 0: never */
	struct stats told; /* what all databases had counted then */
};

/* Returns true once in interval_us (0: never): then stats_log_tell() is to be called. */
bool stats_log_is_due(struct stats_log *s, uint64_t interval_us, uint64_t now_us);
/* Writes a line with what went through since the last one. */
void stats_log_tell(struct stats_log *s, const struct database_sum *sums, bool is_next, struct log *log,
		    uint64_t now_us);
