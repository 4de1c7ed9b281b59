/*
 * src/admin/console_stats.h - the numbers of a database in SHOW STATS: totals, and averages over the last full minute.
 *
 * Names, order and meaning are PgBouncer's. Averages of counts and bytes are per second. Averages of times are per
 * transaction, per query and, for wait_time, per server assignment. Times are in microseconds.
 */
#pragma once

#include "base/counters.h"
#include "log/log.h"

#include <stdbool.h>

#define STATS_PERIOD_US (60 * 1000 * 1000)

/* All counters, in the order of PgBouncer's columns: ROW(id, the name after total_ in SHOW STATS, the name after avg_
 * in SHOW STATS, the name in STATS_TOTALS, the name in STATS_AVERAGES, the name after total_ and avg_ in TOTALS).
 * STAT_LIST_1_25 has the columns of PgBouncer 1.25. */
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
 * --- database_sums.c: the counters of each database, added up over all workers. Each worker that has pools of a
 * database has a struct pool_database with the database's name.
 */
struct client_env;
struct pool_database;

struct database_sum {
	const char *name; /* borrowed from a struct pool_database; NULL after the last sum */
	/* the struct pool_database whose worker was the last to read the database's code (seal/database_code.h) */
	const struct pool_database *code_source;
	struct database_counters counters;
};

/* Returns the sums in the order of their names, followed by a sum without a name; NULL if there is no memory. The
 * caller frees them with free(). client_envs: each worker's client_env, then NULL. All other workers must be halted. */
struct database_sum *database_sums(struct client_env *const *client_envs);

/* --- console_stats.c --- */

struct console_stats; /* opaque; defined in console_stats.c */

struct console_stats *console_stats_new(uint64_t seed, uint64_t now_us); /* seed is a random number for a hash table */
void console_stats_free(struct console_stats *s);
/* returns true if a minute has passed since the last console_stats_renew(), or since console_stats_new() */
bool console_stats_is_due(const struct console_stats *s, uint64_t now_us);
/* Ends a minute, and begins the next. sums are the counters as they are now. */
void console_stats_renew(struct console_stats *s, const struct database_sum *sums, uint64_t now_us);
struct stats stats_total(const struct database_counters *c); /* returns the totals of SHOW STATS */
/* Returns this database's counts of the last full minute; zeros if there was no such minute. */
struct stats stats_minute(const struct console_stats *s, const char *database);
/* Returns averages for SHOW STATS. minute is stats_minute() of a database, or the sum for several databases. */
struct stats stats_average(const struct console_stats *s, const struct stats *minute);

/* --- the log line about traffic, which is written regularly, as with PgBouncer's log_stats --- */

/* The state of the log lines about traffic; zeroed at first. */
struct stats_log {
	uint64_t logged_us; /* when the last line was written, or else when counting began; 0 before counting begins */
	struct stats logged_totals; /* the totals of all databases at logged_us */
};

/* Returns true if the caller must call stats_log_write(): the first time, and then every interval_us. If interval_us is
 * 0, returns false and ends the counting. */
bool stats_log_check_due(struct stats_log *s, uint64_t interval_us, uint64_t now_us);
/* Logs the traffic since the last call; the first call only begins the counting. If has_client_logins, the line also
 * shows the number of client logins, as in PgBouncer 1.26. */
void stats_log_write(struct stats_log *s, const struct database_sum *sums, bool has_client_logins, struct log *log,
		     uint64_t now_us);
