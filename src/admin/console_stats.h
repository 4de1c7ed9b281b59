/*
 * src/admin/console_stats.h - the numbers of a database in SHOW STATS: totals, and averages over the last full minute.
 *
 * Names, order and meaning are PgBouncer's: counts and bytes are per second; times are per transaction, per query, and,
 * for waits, per server assignment. Times are in microseconds.
 *
 * Owns: the counts at the beginning of the present minute, by the database's name.
 */
#pragma once

#include "base/counters.h"
#include "log/log.h"

#include <stdbool.h>

#define STATS_PERIOD_US (60 * 1000 * 1000)

/*
 * All counts, in the order of PgBouncer's columns. A row has an id and five names: the part after total_ in SHOW STATS;
 * the part after avg_ in SHOW STATS; the name in STATS_TOTALS; the name in STATS_AVERAGES (in which, as in PgBouncer,
 * only some begin with avg_); and the part after total_ and avg_ in TOTALS.
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
 * --- database_sums.c: what all workers have counted for a database. Each worker with pools of a database has a struct
 * pool_database of its own: structs with the same name are added up.
 */
struct client_env;
struct pool_database;

struct database_sum {
	const char *name; /* borrowed from one of the structs; NULL after the last sum */
	/* of the structs with this name, the one that was the last to learn about the database's code */
	const struct pool_database *code_source;
	struct database_counters counters;
};

/* Returns the sums, ordered by name; the last one has no name. free() frees them; the databases are borrowed. Returns
 * NULL without memory. client_envs: see client/clients.h. All workers but the caller's must be halted. */
struct database_sum *database_sums(struct client_env *const *client_envs);

/* --- console_stats.c --- */

struct console_stats; /* opaque; defined in console_stats.c */

struct console_stats *console_stats_new(uint64_t seed, uint64_t now_us); /* seed is random, for a hash table */
void console_stats_free(struct console_stats *s);
bool console_stats_is_due(const struct console_stats *s, uint64_t now_us); /* returns true if the minute is over */
/* Begins a minute; sums: the counters at its beginning. */
void console_stats_renew(struct console_stats *s, const struct database_sum *sums, uint64_t now_us);
struct stats stats_total(const struct database_counters *c);
/* Returns what was counted for this database in the last full minute; zeros if there was none. */
struct stats stats_minute(const struct console_stats *s, const char *database);
/* Returns averages: minute is one database's stats_minute(), or a sum of those of several databases. */
struct stats stats_average(const struct console_stats *s, const struct stats *minute);

/* --- a line for the log, now and then, with the traffic: PgBouncer's log_stats --- */

/* State of these lines, zeroed at first. */
struct stats_log {
	uint64_t told_us; /* when the last line was written, or when counting began; 0 if counting has not begun */
	struct stats told; /* what all databases had counted by then */
};

/* Returns true once per interval_us, or never if that is 0; the caller then calls stats_log_write(). */
bool stats_log_is_due(struct stats_log *s, uint64_t interval_us, uint64_t now_us);
/* Writes a line with the traffic since the last line. is_next: with client logins, as PgBouncer 1.26 does. */
void stats_log_write(struct stats_log *s, const struct database_sum *sums, bool is_next, struct log *log,
		     uint64_t now_us);
