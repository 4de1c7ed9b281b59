/*
 * src/admin/show.h - the commands that are answered with rows: each has a table of columns, and a function that fills a
 * struct per row.
 *
 * Columns of PgBouncer's commands have its names, order and types, because tools read them by position. New columns
 * come only with a new command, with one exception: the commands with a row per socket (show_sockets.c) end with
 * `worker` if there are several workers.
 *
 * Borrows: struct show_env all its objects, and a row its texts, for the duration of the command.
 * Always:  worker 0's thread fills the rows, in a halt if other workers have some of the objects; all rows show the
 *          same moment (now_us).
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
	uint64_t now_us, wall_us; /* the same moment on both clocks */
};

/* The argument of callbacks that add rows. */
struct show_fill {
	const struct show_env *env;
	struct rows *rows;
};

/* The workers whose objects the rows show. */
enum show_scope {
	OF_ALL, /* all workers: the others stand still meanwhile */
	/* all workers, with the sessions that block each other, about which PostgreSQL must be asked first: see
	 * console_ask_locks() */
	OF_ALL_WITH_BLOCKERS,
	OF_MAIN_WORKER /* only the main worker */
};

struct show {
	const struct column *columns;
	size_t column_count;
	size_t of_several; /* how many of the last columns are left out if there is only one worker */
	void (*fill)(const struct show_env *env, struct rows *rows); /* NULL if the command never has rows */
	enum show_scope scope;
};

/* Returns the pool after `before` in a walk through the pools of all workers. The walk begins and ends with NULL, like
 * clients_walk(). */
struct pool *show_next_pool(const struct show_env *env, const struct pool *before);
uint32_t show_count_servers(const struct show_env *env);
/* Returns the shard after `before` in a walk through the shards of one pool; `of` is any of its shards. Each shard
 * belongs to a different worker. */
struct pool *show_next_shard(const struct show_env *env, const struct pool *of, const struct pool *before);
/* Returns the number of the worker that has this shard. */
uint32_t show_worker_of(const struct show_env *env, const struct pool *pool);
/* Adds up policy_get_counts() of all shards of the pool. */
void show_count_shards(const struct show_env *env, const struct pool *of, struct policy_counts *out);

/* Returns how many columns the rows have: as many as PgBouncer's if there is one worker. client_envs: console_host's.
 */
size_t show_column_count(const struct show *show, struct client_env *const *client_envs);

/* Returns NULL if this command has no rows, or if the caller itself makes the rows (SHOW of a setting). */
const struct show *show_find(const struct config *config, enum command_id id);

#define SHOW_COLUMNS(array) (array), sizeof(array) / sizeof((array)[0]), 0
#define SHOW_COLUMNS_AND_WORKER(array) (array), sizeof(array) / sizeof((array)[0]), 1
/* Defines a command; the body of the function that fills its rows follows. */
#define SHOW(name, columns, scope)                                                                                     \
	static void name##_fill(const struct show_env *env, struct rows *rows);                                        \
	const struct show name = { SHOW_COLUMNS(columns), name##_fill, scope };                                        \
	static void name##_fill(__attribute__((unused)) const struct show_env *env, struct rows *rows)

#define SHOW_EXTERN(id, name, may, what, example) extern const struct show show_##name;
#define ANSWER_EXTERN(id, name) extern const struct show answer_##name;
SHOW_LIST(SHOW_EXTERN)
ANSWER_LIST(ANSWER_EXTERN)
/* the columns of a PgBouncer for which compat_is_old() is false */
extern const struct show show_stats_next, show_stats_totals_next, show_stats_averages_next;

/* The time of a request by phase, in the order of PHASES: memcpy() copies phase_us to the fields from wait_ms on. */
#define SHOW_PHASES (MS, wait_ms)(MS, connect_ms)(MS, server_ms)(MS, stream_ms)(MS, client_write_ms)(MS, proxy_ms)

/* A row of one text: a sentence of an explanation (EXPLAIN), a problem, or a version. */
struct show_text {
	const char *text;
};
extern const struct column show_sentence_columns[1];
/* show_wait.c: adds a sentence. Names of settings are replaced by those of the configuration file's format. */
void show_say(const struct show_env *env, struct rows *rows, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes the numeric address of a socket's end and returns its port: "unix" and 0 for a Unix socket, "" and 0 if there
 * is no socket. */
#define SHOW_ADDRESS_MAX 64
uint64_t show_address(const struct sockaddr *sa, char out[SHOW_ADDRESS_MAX]);
/* Fills in the names of client c, and its address. text has SHOW_ADDRESS_MAX bytes, and holds "unix" at first. */
#define SHOW_WHO(row, c, text)                                                                                         \
	((row)->database = (c)->x.pool->database->name, (row)->user = exchange_user(&(c)->x),                          \
	 (row)->application_name = exchange_application(&(c)->x), (row)->addr = (text),                                \
	 (row)->port = (c)->is_unix ? 0 : show_address(&(c)->peer.any, (text)))
/* Returns the time since since_us, at least 0; 0 if since_us is 0. */
uint64_t show_age_us(uint64_t now_us, uint64_t since_us);
/* Returns the wall-clock time of a moment on the monotonic clock. */
static inline uint64_t
show_wall_us(const struct show_env *env, uint64_t us)
{
	return env->wall_us - show_age_us(env->now_us, us);
}

/* Returns true if the console is shown as a database named "pgbouncer", or false if its name is "pgweir". */
bool show_has_console(const struct show_env *env);
/* --- show_holders.c: the client that holds each server, and the clients that wait for it --- */
/* A server that is lent to a logged-in client, and its place among servers that wait for each other's locks. */
struct holding {
	const struct pool *pool;
	const struct server *srv;
	enum server_use use;
	uint64_t since_us;
	int blocker_count; /* PostgreSQL processes that hold the lock that this server waits for; -1 if not known */
	uint32_t blockers[BLOCKING_PIDS_MAX]; /* their PIDs; 0 for a prepared transaction */
	/* The holding at the root of the chain of blockers; NULL if the root is no client of pgweir's but the process
	 * root_pid. */
	const struct holding *root;
	uint32_t root_pid;
	uint64_t blocks; /* clients that this holding blocks, directly or through others */
	uint32_t waiting; /* clients that wait for places of the server's pool, or of a cap that the pool is under */
};
/* Returns all holdings, the oldest first, and after them one whose srv is NULL. free() frees them. Returns NULL without
 * memory, as rows_scratch() does. */
struct holding *show_holdings(const struct show_env *env, struct rows *rows);
#define SHOW_USE_MAX 200
const char *show_use(const struct holding *h, char out[SHOW_USE_MAX]); /* "idle in transaction", "pinned: cursor" */
#define SHOW_ROOT_MAX 64
/* Writes the root of the chain of blockers, as in "client 12 (PID 4711)"; "" if the server is not blocked. */
const char *show_root(const struct holding *h, char out[SHOW_ROOT_MAX]);
/* Writes which processes hold the lock that the server waits for in PostgreSQL, as in "client 12 (PID 4711), PID 999".
 * Returns "" if there are none, NULL if not known. */
#define SHOW_BLOCKED_MAX 400
const char *show_blocked_by(struct holding *list, const struct holding *h, char out[SHOW_BLOCKED_MAX]);
/* Writes the present or last SQL of the server, without its literals. Returns its fingerprint, or 0 if there is
 * none. */
#define SHOW_QUERY_MAX 512
uint64_t show_holder_query(const struct server *srv, char out[SHOW_QUERY_MAX]);
/* --- show_wait.c: explains why a pool has no free connection --- */
/*
 * Explains how a pool's connections are used. If all are in use, also names the client that is the cause for most of
 * them: a client that holds locks for which others wait, or that should have sent or read something since before_us.
 * lead begins the sentence that names this client, as in "What helps". Returns false if no client was named.
 */
bool show_explain_usage(const struct show_env *env, const struct pool *pool, const struct holding *list,
			uint64_t before_us, const char *lead, struct rows *rows);
/* Explains why c waits in the queue, and what helps. Returns true if something other than a larger pool helps. */
bool show_explain_wait(const struct show_env *env, const struct client *c, const struct holding *list,
		       struct rows *rows);
const char *show_load_balance(const struct upstream *upstream);
/*
 * --- show_sorted.c: pools and databases in the order of their names, as in PgBouncer, or pools by the length of their
 * queues ---
 *
 * A list ends with a NULL, or with an element that has no name; free() frees it. Returns NULL as rows_scratch() does.
 */
/* true for the longest queue first */
struct pool **show_sorted_pools(const struct show_env *env, struct rows *rows, bool is_by_queue);
/* Returns the databases that clients have asked for, with the counts of all workers: see console_stats.h. */
struct database_sum *show_database_sums(const struct show_env *env, struct rows *rows);
