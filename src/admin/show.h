/*
 * src/admin/show.h - the commands that are answered with rows: for each a table of columns, and a function that fills a
 * struct per row.
 *
 * Columns of PgBouncer's commands have its names, order and types: tools read them by position. New columns come with a
 * new command, but for one: SHOW CLIENTS and its like end with `worker` if there are several.
 *
 * Borrows: struct show_env all that it names, and a row its texts, for the length of the command.
 * Always:  worker 0's thread fills the rows, in a halt if other workers have part of them; all of them show the same
 *          moment (now_us).
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

/* For callbacks that add rows. */
struct show_fill {
	const struct show_env *env;
	struct rows *rows;
};

/* Whose the rows are. */
enum show_scope {
	OF_ALL, /* what other workers have, too: they stand still meanwhile */
	OF_LOCKS, /* besides, who blocks whom: PostgreSQL is asked before, see console_asks() */
	OF_MAIN_WORKER /* nothing of another worker's */
};

struct show {
	const struct column *columns;
	size_t column_count;
	size_t of_several; /* how many of them are there only with several workers: the last ones */
	void (*fill)(const struct show_env *env, struct rows *rows); /* NULL: there never are any */
	enum show_scope scope;
};

/* Walks through all pools, whichever worker has them: begins with NULL, ends with NULL. As clients_walk() does. */
struct pool *show_next_pool(const struct show_env *env, const struct pool *before);
uint32_t show_count_servers(const struct show_env *env);
/* The same for the shards of one pool, of which `of` is one: each is of another worker. */
struct pool *show_next_shard(const struct show_env *env, const struct pool *of, const struct pool *before);
/* Returns the number of the worker that has this shard. */
uint32_t show_worker_of(const struct show_env *env, const struct pool *e);
/* Adds up policy_get_counts() of all shards. */
void show_count_shards(const struct show_env *env, const struct pool *of, struct policy_counts *out);

/* Returns how many columns the rows have: with one worker they are as wide as PgBouncer's. crew: console_host's. */
size_t show_column_count(const struct show *show, struct client_env *const *crew);

/* Returns NULL if this command has no rows, or only its caller knows them (SHOW of a setting). */
const struct show *show_find(const struct config *config, enum command_id id);

#define SHOW_COLUMNS(array) (array), sizeof(array) / sizeof((array)[0]), 0
#define SHOW_COLUMNS_AND_WORKER(array) (array), sizeof(array) / sizeof((array)[0]), 1
/* Says a command once, in front of the body of the function that fills its rows. */
#define SHOW(name, columns, scope)                                                                                     \
	static void name##_fill(const struct show_env *env, struct rows *rows);                                        \
	const struct show name = { SHOW_COLUMNS(columns), name##_fill, scope };                                        \
	static void name##_fill(__attribute__((unused)) const struct show_env *env, struct rows *rows)

#define SHOW_EXTERN(id, name, may, what, example) extern const struct show show_##name;
#define ANSWER_EXTERN(id, name) extern const struct show answer_##name;
SHOW_LIST(SHOW_EXTERN)
ANSWER_LIST(ANSWER_EXTERN)
extern const struct show show_stats_next, show_stats_totals_next,
    show_stats_averages_next; /* but for compat_is_old() */

/* A request's time by phase, as PHASES has them: memcpy() of phase_us fills them from wait_ms on. */
#define SHOW_PHASES (MS, wait_ms)(MS, connect_ms)(MS, server_ms)(MS, stream_ms)(MS, client_write_ms)(MS, proxy_ms)

/* A row of one text: a sentence of an answer in words (EXPLAIN), a problem, a version. */
struct show_text {
	const char *text;
};
extern const struct column show_sentence_columns[1];
/* show_wait.c: adds a sentence, with the names of settings that the file at hand has. */
void show_say(const struct show_env *env, struct rows *rows, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The numeric address and port of a socket's end; "unix" and 0 of a Unix socket, "" and 0 if there is none. */
#define SHOW_ADDRESS_MAX 64
uint64_t show_address(const struct sockaddr *sa, char out[SHOW_ADDRESS_MAX]);
/* Fills in whose client c is, and its address, for which text has SHOW_ADDRESS_MAX bytes, and "unix". */
#define SHOW_WHO(row, c, text)                                                                                         \
	((row)->database = (c)->x.pool->database->name, (row)->user = exchange_user(&(c)->x),                          \
	 (row)->application_name = exchange_application(&(c)->x), (row)->addr = (text),                                \
	 (row)->port = (c)->is_unix ? 0 : show_address(&(c)->peer.any, (text)))
/* Returns the time since since_us, never negative; 0 if that is 0. */
uint64_t show_age_us(uint64_t now_us, uint64_t since_us);
/* Returns the same moment on the other clock. */
static inline uint64_t
show_wall_us(const struct show_env *env, uint64_t us)
{
	return env->wall_us - show_age_us(env->now_us, us);
}

/* Returns true if the console is shown among the databases, as "pgbouncer"; else its name is "pgweir". */
bool show_has_console(const struct show_env *env);
/* --- show_holders.c: who has each server, and who waits for whom --- */
/* A server that is lent to a client that is logged in, and its place among those that wait for each other's locks. */
struct holding {
	const struct pool *pool;
	const struct server *srv;
	enum server_use use;
	uint64_t since_us;
	int blocker_count; /* processes of PostgreSQL that hold the lock it waits for; -1: not known */
	uint32_t blockers[BLOCKING_PIDS_MAX]; /* their PIDs; 0: a prepared transaction */
	/* At the root of that is another of these; NULL: a process that is no client of pgweir's, root_pid. */
	const struct holding *root;
	uint32_t root_pid;
	uint64_t blocks; /* how many others are blocked by it, some behind each other */
	uint32_t waiting; /* how many wait for places of its pool, or of a cap that this is under */
};
/* Returns all that are held, longest first, and one without a server; free() frees them. NULL: rows_scratch(). */
struct holding *show_holdings(const struct show_env *env, struct rows *rows);
#define SHOW_USE_MAX 200
const char *show_use(const struct holding *h, char out[SHOW_USE_MAX]); /* "idle in transaction", "pinned: cursor" */
#define SHOW_ROOT_MAX 64
/* "client 12 (PID 4711)": who is at the root; "" if it is not blocked. */
const char *show_root(const struct holding *h, char out[SHOW_ROOT_MAX]);
/* "client 12 (PID 4711), PID 999": who holds what the server waits for in PostgreSQL; "": nobody; NULL: not known. */
#define SHOW_BLOCKED_MAX 400
const char *show_blocked_by(struct holding *list, const struct holding *h, char out[SHOW_BLOCKED_MAX]);
/* The SQL under way there, or the last, without its literals. Returns its fingerprint; 0: there is none. */
#define SHOW_QUERY_MAX 512
uint64_t show_holder_query(const struct server *srv, char out[SHOW_QUERY_MAX]);
/* --- show_wait.c: why a pool has no connection left --- */
/*
 * Says what a pool's connections are used for and, if all are in use, who keeps most of them for nothing: a client
 * whose turn it has been since before_us, or who holds the locks that others wait for. Returns false if that is nobody.
 * lead: "What helps", say.
 */
bool show_say_jam(const struct show_env *env, const struct pool *e, const struct holding *list, uint64_t before_us,
		  const char *lead, struct rows *rows);
/* Says why c waits in line, and what helps. Returns true if that is something else than a larger pool. */
bool show_say_in_line(const struct show_env *env, const struct client *c, const struct holding *list,
		      struct rows *rows);
const char *show_load_balance(const struct upstream *upstream);
/*
 * --- show_sorted.c: in the order of their names, as in PgBouncer, or of the lines of those who wait ---
 *
 * A list ends with a NULL, or one without a name; free() frees it. NULL: rows_scratch().
 */
struct pool **show_sorted_pools(const struct show_env *env, struct rows *rows,
				bool is_by_line); /* longest line first */
/* Yields those which clients have asked for, with what all workers have counted: see console_stats.h. */
struct database_sum *show_database_sums(const struct show_env *env, struct rows *rows);
