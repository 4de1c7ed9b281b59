/*
 * src/admin/show.h - commands that are answered with rows: each has a table of columns, and a function that adds rows.
 *
 * Commands of PgBouncer have exactly PgBouncer's columns, because tools read columns by position. The exception: with
 * several workers, commands that have a row for each socket (show_sockets.c) get one more column at the end, `worker`.
 *
 * Borrows: for the duration of a command, all objects in struct show_env, and all texts in a row.
 * Always:  worker 0's thread adds the rows, in a halt (console_host.h) if objects of other workers are shown. All rows
 *          of an answer are about the same moment, now_us.
 */
#pragma once

#include "admin/console_host.h"
#include "admin/console_command.h"
#include "admin/console_rows.h"
#include "admin/console_stats.h"
#include "dedicated/blocking.h"
#include "telemetry/fingerprint.h"
#include "telemetry/query_table.h"
#include "telemetry/snapshot.h"

/* Everything that SHOW commands read. */
struct show_env {
	const struct console_host *host;
	struct client_env *clients;
	const struct console_stats *stats;
	const struct command *command;
	uint64_t now_us, wall_us; /* now_us is on the monotonic clock; wall_us is the same moment on the wall clock */
};

/* The argument `arg` of callbacks that add rows. */
struct show_fill {
	const struct show_env *env;
	struct rows *rows;
};

/* The workers whose objects the rows show. */
enum show_scope {
	OF_ALL, /* all workers, in a halt */
	/* all workers, in a halt, after PostgreSQL was asked which processes block others: see console_ask_locks() */
	OF_ALL_WITH_BLOCKERS,
	OF_MAIN_WORKER /* only the main worker */
};

struct show {
	const struct column *columns;
	size_t column_count;
	size_t worker_columns; /* how many of the last columns are shown only if there are several workers */
	/* adds the rows; NULL if the command never has rows */
	void (*fill)(const struct show_env *env, struct rows *rows);
	enum show_scope scope;
};

/* Returns the pool after `previous` in a walk through the pools of all workers. Returns the first pool if `previous` is
 * NULL, and NULL after the last. */
struct pool *show_next_pool(const struct show_env *env, const struct pool *previous);
uint32_t show_count_servers(const struct show_env *env); /* returns the number of servers of all workers */
/* Walks through the shards of a pool as show_next_pool() walks through pools. `of` is any shard of the pool. Each shard
 * belongs to a different worker. */
struct pool *show_next_shard(const struct show_env *env, const struct pool *of, const struct pool *previous);
/* Returns the number of the worker that has this shard. */
uint32_t show_worker_of(const struct show_env *env, const struct pool *pool);
/* Sets *out to the sum of policy_get_counts() of all shards of the pool. */
void show_count_shards(const struct show_env *env, const struct pool *of, struct policy_counts *out);

/* Returns how many columns the rows have, which depends on the number of workers (console_host.client_envs). */
size_t show_column_count(const struct show *show, struct client_env *const *client_envs);

/* Returns the struct show of a command; NULL if the command has no rows, or is a SHOW of a setting. */
const struct show *show_find(const struct config *config, enum command_id id);

#define SHOW_COLUMNS(array) (array), sizeof(array) / sizeof((array)[0]), 0
#define SHOW_COLUMNS_AND_WORKER(array) (array), sizeof(array) / sizeof((array)[0]), 1
/* Defines a command. After the macro comes the body of the function that adds the command's rows. */
#define SHOW(name, columns, scope)                                                                                     \
	static void name##_fill(const struct show_env *env, struct rows *rows);                                        \
	const struct show name = { SHOW_COLUMNS(columns), name##_fill, scope };                                        \
	static void name##_fill(__attribute__((unused)) const struct show_env *env, struct rows *rows)

#define SHOW_EXTERN(id, name, may, what, example) extern const struct show show_##name;
#define ANSWER_EXTERN(id, name) extern const struct show answer_##name;
SHOW_LIST(SHOW_EXTERN)
ANSWER_LIST(ANSWER_EXTERN)
/* SHOW STATS, STATS_TOTALS and STATS_AVERAGES with the columns of PgBouncer 1.26, used if compat_is_1_25() is false */
extern const struct show show_stats_next, show_stats_totals_next, show_stats_averages_next;

/* Columns for the phases of a request. They have the order of PHASES, so memcpy() can copy phase_us to them. */
#define SHOW_PHASES (MS, wait_ms)(MS, connect_ms)(MS, server_ms)(MS, stream_ms)(MS, client_write_ms)(MS, proxy_ms)

/* A row with one column, which is a sentence of an EXPLAIN, a problem, or a version. */
struct show_text {
	const char *text;
};
extern const struct column show_sentence_columns[1];
/* show_wait.c: adds a sentence as a row. For a pgbouncer.ini, replaces names of settings by PgBouncer's. */
void show_line(const struct show_env *env, struct rows *rows, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes sa's numeric address and returns its port. Writes "unix" and returns 0 for a Unix socket; writes "" and
 * returns 0 if sa has no address. */
#define SHOW_ADDRESS_MAX 64
uint64_t show_address_and_port(const struct sockaddr *sa, char out[SHOW_ADDRESS_MAX]);
/* Fills in a row's columns about client c: database, user, application_name, addr and port. The array `text` has
 * SHOW_ADDRESS_MAX bytes for the address, and must hold "unix" before the call. */
#define SHOW_WHO(row, c, text)                                                                                         \
	((row)->database = (c)->x.pool->database->name, (row)->user = exchange_user(&(c)->x),                          \
	 (row)->application_name = exchange_application(&(c)->x), (row)->addr = (text),                                \
	 (row)->port = (c)->is_unix ? 0 : show_address_and_port(&(c)->peer.any, (text)))
/* Returns the time from since_us to now_us; 0 if since_us is 0 or is later. */
uint64_t show_age_us(uint64_t now_us, uint64_t since_us);
/* Converts a time of the monotonic clock into the time of the wall clock. */
static inline uint64_t
show_wall_us(const struct show_env *env, uint64_t us)
{
	return env->wall_us - show_age_us(env->now_us, us);
}

/* Returns true if the lists of databases and pools include the console under the name "pgbouncer", as PgBouncer's do.
 * Otherwise the lists leave the console out, and the console's name is "pgweir". */
bool show_is_console_listed(const struct show_env *env);
/* --- show_holders.c: which client holds each server, and how many clients wait for that pool --- */
/* A server that is lent to a logged-in client. If the server waits for a lock in PostgreSQL, the blockers are the
 * processes that hold the lock. A blocker may have blockers, too. The root is the last process in the chain that leads
 * from each process to its first blocker. */
struct holding {
	const struct pool *pool;
	const struct server *srv;
	enum server_use use;
	uint64_t since_us; /* when this use began */
	int blocker_count; /* how many blockers there are; -1 if not known */
	uint32_t blockers[BLOCKING_PIDS_MAX]; /* PIDs of the blockers; 0 for a prepared transaction */
	/* the holding of the root; NULL if there are no blockers, or if no client of pgweir holds the root's server */
	const struct holding *root;
	uint32_t root_pid; /* the root's PID; 0 for a prepared transaction */
	uint64_t blocks; /* how many other holdings have this holding in their chain of blockers */
	const struct holding *last_waiter; /* the holding that was last counted in `blocks`; only for show_holdings() */
	/* how many clients wait in queues that may get this server's place: see policy_may_get_place_of() */
	uint32_t waiting;
};
/* Returns all holdings, the oldest first, followed by a holding whose srv is NULL. The caller frees them with free().
 * If there is no memory, returns NULL as rows_alloc_scratch() does. */
struct holding *show_holdings(const struct show_env *env, struct rows *rows);
#define SHOW_USE_MAX 200
/* Writes what the client does with the server, such as "idle in transaction" or "pinned: cursor". Returns out. */
const char *show_write_use(const struct holding *h, char out[SHOW_USE_MAX]);
#define SHOW_ROOT_MAX 64
/* Writes the root, such as "client 12 (PID 4711)"; "" if the server has no blockers. Returns out. */
const char *show_write_root(const struct holding *h, char out[SHOW_ROOT_MAX]);
/* Writes the blockers, such as "client 12 (PID 4711), PID 999"; "" if there are none. Returns out, or NULL if the
 * blockers are not known. list is the result of show_holdings(). */
#define SHOW_BLOCKED_MAX 400
const char *show_write_blockers(struct holding *list, const struct holding *h, char out[SHOW_BLOCKED_MAX]);
/* Writes the SQL that the server runs or ran last, without literals. Returns its fingerprint; 0 if there is none. */
#define SHOW_QUERY_MAX 512
uint64_t show_write_query(const struct server *srv, char out[SHOW_QUERY_MAX]);
/* --- show_wait.c: explains why a pool has no free connection --- */
/* Adds sentences on how a pool's connections are used. If none is free, the last sentence names the client, or process
 * outside pgweir, that keeps the most connections busy, because it holds locks or has owed its next message since
 * before_us. The last sentence begins with `lead`, such as "What helps". Returns true if it was added. */
bool show_explain_usage(const struct show_env *env, const struct pool *pool, const struct holding *list,
			uint64_t before_us, const char *lead, struct rows *rows);
/* Adds sentences on why client c waits in the queue. Returns true if a remedy other than a larger pool helps. */
bool show_explain_wait(const struct show_env *env, const struct client *c, const struct holding *list,
		       struct rows *rows);
/* In show.c. Returns the value of load_balance_hosts; NULL if there is only one host. */
const char *show_load_balance(const struct upstream *upstream);
/*
 * --- show_sorted.c: sorted lists, which the caller frees with free(). If there is no memory, they are NULL, as with
 * rows_alloc_scratch(). ---
 */
/* Returns all pools, then NULL. They are in the order of their names or, if is_by_queue, of the lengths of their
 * queues, the longest first. The list has all shards of each pool, but no standby pools. */
struct pool **show_sorted_pools(const struct show_env *env, struct rows *rows, bool is_by_queue);
/* Returns database_sums() (console_stats.h) of all workers. */
struct database_sum *show_database_sums(const struct show_env *env, struct rows *rows);
