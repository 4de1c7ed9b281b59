/*
 * src/lookup/auth_query_state.h - declarations that auth_query*.c share; see auth_query.h.
 *
 * Owns:    struct auth_queries owns its lookups, routes and sources, and references to config, users and tls. A source
 *          owns its connections.
 * Borrows: a lookup borrows its asks, which are embedded in the logins that wait; a route borrows its source.
 * Always:  a lookup is in source->waiting or has a connection.
 */
#pragma once

#include "base/shared_count.h"
#include "base/table.h"
#include "lookup/auth_query.h"
#include "lookup/auth_query_cache.h"
#include "dedicated/dedicated.h"
#include "pool/pool_target.h"

TAILQ_HEAD(auth_asks, auth_ask);
TAILQ_HEAD(auth_lookups, auth_lookup);
TAILQ_HEAD(auth_conns, auth_conn);
TAILQ_HEAD(auth_sources, auth_source);

/* A question to PostgreSQL that was sent, or that waits for a connection. */
struct auth_lookup {
	UT_hash_handle hh;
	struct auth_key key; /* the question */
	struct auth_source *source;
	struct auth_conn *conn; /* the connection on which the lookup was sent; NULL if it is in source->waiting */
	struct auth_asks asks; /* the logins that wait for the answer; empty if all have left */
	uint64_t deadline_us;
	uint64_t roles_epoch; /* auth_queries.roles_epoch when the lookup was sent */
	uint8_t resent_count; /* how many times the lookup was sent again because roles had changed */
	bool is_retried; /* the lookup was sent again because its first connection was lost */
	TAILQ_ENTRY(auth_lookup) link; /* in source->waiting */
};

/* A query, the database in which it runs, and the user that runs it (auth_user). */
struct auth_source {
	struct auth_queries *all;
	TAILQ_ENTRY(auth_source) list;
	uint64_t id; /* never reused */
	char *query; /* SQL, also for auth_query = builtin */
	struct pool_target *target; /* host, database and user, from the present configuration */
	struct gucs *settings; /* the settings of its connections */
	struct scram_keys keys; /* auth_user's keys, from an earlier login */
	uint64_t lookup_timeout_us; /* how long a lookup may take (microseconds) */
	struct auth_conns conns;
	struct auth_lookups waiting; /* lookups that wait for a connection */
	uint32_t conn_count, lookup_count; /* lookup_count includes lookups that were sent */
	uint64_t used_us; /* when auth_source_get_or_create() last returned this source; 0 if not since a reload */
	bool is_builtin; /* auth_query is builtin */
	/* the last attempt to open a connection failed at a limit on connections, or for lack of memory */
	bool lacks_place;
	/* no database uses the source any more; it is freed once it has no connections and no lookups */
	bool is_retired;
	/* --- used while the source can't be reached --- */
	uint64_t retry_us; /* when to try again; 0 if the last attempt did not fail, or after a reload */
	uint32_t failures; /* failed attempts in a row */
	bool is_refused; /* the last failed attempt reached PostgreSQL, which refused auth_user's login */
	struct fail why_down; /* why that attempt failed */
	/* --- used to limit the source's log lines --- */
	uint64_t logged_us; /* when the last line was logged; 0 if none was */
	uint32_t unlogged; /* failures since then that were not logged */
};

/* The source for one database. Many databases may share a source. */
struct auth_route {
	UT_hash_handle hh;
	struct auth_source *source;
	char database[];
};

struct auth_queries {
	struct server_env env; /* made by dedicated_fill_env() */
	struct server_cancelling *cancelling;
	struct pool_set *pools;
	struct process_counters *counters;
	struct config *config;
	struct users *users;
	struct tls_store *tls; /* made for config */
	struct auth_cache *cache;
	struct auth_lookup *lookups; /* a hash table by key */
	struct auth_route *routes; /* a hash table by database */
	struct auth_sources sources;
	uint32_t source_count, conn_count;
	/* seed: for the hash tables; random: a random generator's state; swept_us: auth_cache_sweep()'s last call */
	uint64_t seed, random, last_source_id, swept_us;
	struct shared_count roles_epoch; /* how often roles have changed */
	uint64_t cached_roles_epoch; /* the value of roles_epoch when cache was last cleared */
};

/* The result of a lookup. */
enum auth_lookup_result {
	AUTH_END_ANSWER, /* PostgreSQL has returned a valid row, or no row because there is no such user */
	AUTH_END_ERROR, /* PostgreSQL has returned an error, a malformed row or several rows */
	AUTH_END_UNREACHABLE
};

/* auth_query.c */
/* Called when a lookup has ended. Answers the logins that wait, and frees the lookup. But after AUTH_END_ANSWER, if
 * roles have changed since the lookup was sent and a login waits, puts the lookup back into source->waiting, at most
 * three times. With AUTH_END_ANSWER, `answer` is set and why is NULL; otherwise why is set and `answer` is NULL. */
void auth_lookup_end(struct auth_lookup *lookup, enum auth_lookup_result end, const struct auth_answer *answer,
		     const struct fail *why);

/* auth_query_source.c */
/* Returns the source for a database, which must have auth_query on; or NULL with *why set (53300, 53200, F0000). */
struct auth_source *auth_source_get_or_create(struct auth_queries *all, const char *database, uint64_t now_us,
					      struct fail *why);
/* Called after a reload. Retires sources that no database uses any more; the others may connect at once. */
void auth_sources_review(struct auth_queries *all, uint64_t now_us);
void auth_sources_free_retired(struct auth_queries *all); /* frees retired sources without connections and lookups */
void auth_sources_free(struct auth_queries *all);
/* Returns true if `database` is the console, and auth_query may look up its users, which COMPAT_ASKS_OWN_DATABASE
 * allows. */
bool auth_may_look_up_console_users(const struct config *config, const char *database);
/* Returns 0; or, with COMPAT_ASKS_OWN_DATABASE, -1 with *why set if auth_query's database is unknown or disabled. */
int auth_check_database(const struct auth_queries *all, const char *database, struct fail *why);
/* Sets *out to a database's settings, if it is configured. Returns true if auth_query is on for the database. */
bool auth_get_settings_if_on(const struct auth_queries *all, const char *database, struct scope_settings *out);
/* Logs a failure, but at most one a second for each source. */
void auth_log(struct auth_source *source, const struct fail *why, uint64_t now_us);

/* auth_query_conn.c */
/* Sends waiting lookups on free connections, and opens more connections within the limits. */
void auth_conns_feed(struct auth_source *source, uint64_t now_us);
void auth_conns_tick(struct auth_source *source, uint64_t now_us); /* called about every 100 ms */
void auth_conns_close_idle(struct auth_source *source);
/* Takes the lookup from a connection, cancels its query, and closes the connection. */
void auth_conn_give_up(struct auth_conn *conn);
void auth_conns_free(struct auth_source *source);
