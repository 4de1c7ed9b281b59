/*
 * src/lookup/auth_query_state.h - what auth_query*.c share; see auth_query.h.
 *
 * Owns:    struct auth_queries owns its lookups, routes and sources; a source owns its connections. config, users and
 *          tls are references.
 * Borrows: a lookup borrows its asks, which are in the logins that wait for it; a route borrows its source.
 * Always:  a lookup is in source->waiting or has a connection; two logins of one user share one lookup.
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

/* A user who is being looked up. */
struct auth_lookup {
	UT_hash_handle hh;
	struct auth_key key;
	struct auth_source *source;
	struct auth_conn *conn; /* the connection on which it was sent; NULL if it is in source->waiting */
	struct auth_asks asks; /* empty if all logins have left */
	uint64_t deadline_us;
	uint64_t roles_epoch; /* auth_queries.roles_epoch when the lookup was sent */
	uint8_t resent_count; /* how often the lookup was sent again because roles had changed */
	bool is_retried; /* the lookup was sent again because its first connection was lost */
	TAILQ_ENTRY(auth_lookup) link; /* in source->waiting */
};

/* A query, run by a user in a database. */
struct auth_source {
	struct auth_queries *all;
	TAILQ_ENTRY(auth_source) list;
	uint64_t id; /* never reused */
	char *query;
	struct pool_target *target; /* from the present configuration */
	struct gucs *settings;
	struct scram_keys keys;
	uint64_t answer_us; /* how long a lookup may take */
	struct auth_conns conns;
	struct auth_lookups waiting;
	uint32_t conn_count, lookup_count;
	uint64_t used_us;
	bool is_builtin;
	/* the last attempt to open a connection failed because a limit on connections was reached, or without memory */
	bool is_short;
	bool is_retired; /* no database uses it any more */
	/* The fields below are used while the source can't be reached. */
	uint64_t retry_us; /* 0 if the source can be reached, as far as is known */
	uint32_t failures; /* in a row */
	bool is_refused; /* PostgreSQL has answered, but refuses auth_user */
	struct fail why_down;
	/* The fields below limit the source's log lines. */
	uint64_t logged_us;
	uint32_t unlogged;
};

/* The source of one database. */
struct auth_route {
	UT_hash_handle hh;
	struct auth_source *source;
	char database[];
};

struct auth_queries {
	struct server_env env; /* dedicated_env */
	struct server_cancelling *cancelling;
	struct pool_set *pools;
	struct process_counters *counters;
	struct config *config;
	struct users *users;
	struct tls_store *tls; /* made for config */
	struct auth_cache *cache;
	struct auth_lookup *lookups; /* by key */
	struct auth_route *routes; /* by database */
	struct auth_sources sources;
	uint32_t source_count, conn_count;
	uint64_t seed, random, last_source_id, swept_us;
	struct shared_count roles_epoch; /* how often roles have changed */
	uint64_t cached_roles_epoch; /* the value of roles_epoch when cache was last cleared */
};

/* How a lookup ends. */
enum auth_end {
	AUTH_END_ROW, /* a valid row, or no row because there is no such user */
	AUTH_END_ERROR, /* an error, or a row that is malformed or not the only one */
	AUTH_END_UNREACHABLE
};

/* auth_query.c */
/* answers all logins, or asks again */
void auth_lookup_end(struct auth_lookup *lookup, enum auth_end end, const struct auth_answer *answer,
		     const struct fail *why);

/* auth_query_source.c */
/* Returns the source of a configured database with auth_query on, or NULL with *why set (53300, 53200). */
struct auth_source *auth_source_of(struct auth_queries *all, const char *database, uint64_t now_us, struct fail *why);
void auth_sources_review(struct auth_queries *all, uint64_t now_us); /* after a reload */
void auth_sources_collect(struct auth_queries *all); /* frees sources that are retired and unused */
void auth_sources_free(struct auth_queries *all);
/* Returns true if this database is PgBouncer's console. */
bool auth_is_console(const struct config *config, const char *database);
/* Checks that the database that auth_query runs in can be asked at all. Returns 0, or -1 with *why set. */
int auth_check_database(const struct auth_queries *all, const char *database, struct fail *why);
bool auth_settings_of(const struct auth_queries *all, const char *database, struct scope_settings *out);
void auth_log(struct auth_source *source, const struct fail *why, uint64_t now_us); /* about once a second */

/* auth_query_conn.c */
/* Sends the lookups that wait while there are free connections, and opens connections within the limits. */
void auth_conns_feed(struct auth_source *source, uint64_t now_us);
void auth_conns_tick(struct auth_source *source, uint64_t now_us);
void auth_conns_close_idle(struct auth_source *source);
/* cancels the query of the connection's lookup, which takes too long, and closes the connection */
void auth_conn_give_up(struct auth_conn *conn);
void auth_conns_free(struct auth_source *source);
