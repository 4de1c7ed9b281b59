/* src/lookup/auth_query_state.h - what auth_query*.c share; see auth_query.h. */
#ifndef PGWEIR_LOOKUP_AUTH_QUERY_STATE_H
#define PGWEIR_LOOKUP_AUTH_QUERY_STATE_H

#include "lookup/auth_query.h"
#include "lookup/auth_query_cache.h"
#include "pool/dedicated.h"
#include "pool/pool_target.h"

#include <uthash.h>

TAILQ_HEAD(auth_asks, auth_ask);
TAILQ_HEAD(auth_lookups, auth_lookup);
TAILQ_HEAD(auth_links, auth_link);
TAILQ_HEAD(auth_sources, auth_source);

/* A user is being asked for. */
struct auth_lookup {
	UT_hash_handle hh;
	struct auth_key key;
	struct auth_source *source;
	struct auth_link *link; /* where it was asked; NULL: it waits, in the source's line */
	struct auth_asks asks; /* perhaps none any more */
	uint64_t deadline_us;
	bool is_retried; /* it was lost with a connection that had been idle */
	TAILQ_ENTRY(auth_lookup) line;
};

/* One way of asking: a query, run by a user in a database. */
struct auth_source {
	struct auth_queries *all;
	TAILQ_ENTRY(auth_source) list;
	uint64_t id; /* never used again */
	char *query;
	struct pool_target *target; /* of the present configuration */
	struct image *settings;
	struct scram_keys keys;
	uint64_t answer_us; /* how long a lookup may take */
	struct auth_links links;
	struct auth_lookups waiting;
	uint32_t link_count, lookup_count;
	uint64_t used_us;
	bool is_builtin;
	bool is_short; /* of connections: one could not be opened, for there are too many */
	bool is_retired; /* no database is asked this way any more */
	/* it can't be reached */
	uint64_t retry_us; /* 0: it can, as far as is known */
	uint32_t failures; /* in a row */
	bool is_refused; /* it is there, but does not want auth_user */
	struct fail why_down;
	/* the log */
	uint64_t logged_us;
	uint32_t unlogged;
};

/* What a database is asked by. */
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
	uint32_t source_count, link_count;
	uint64_t seed, random, last_source_id, swept_us;
};

/* How a lookup ends. */
enum auth_end {
	AUTH_END_ROW, /* with an answer, or none: no such user */
	AUTH_END_ERROR, /* with what is no answer */
	AUTH_END_UNREACHABLE
};

/* auth_query.c */
void auth_lookup_end(struct auth_lookup *lookup, enum auth_end end, const struct auth_answer *answer,
		     const struct fail *why); /* frees it, after all who asked were told */
void auth_lookups_down(struct auth_source *source); /* those that wait end as why_down says */

/* auth_query_source.c */
/* Of a database that is configured, with auth_query on. NULL and why: 53300, 53200. */
struct auth_source *auth_source_of(struct auth_queries *all, const char *database, uint64_t now_us, struct fail *why);
void auth_sources_review(struct auth_queries *all, uint64_t now_us); /* the configuration is another */
void auth_sources_collect(struct auth_queries *all); /* frees those that are retired and unused */
void auth_sources_free(struct auth_queries *all);
/* What holds for the database. false: auth_query is off, or there is no such database. */
bool auth_settings_of(const struct auth_queries *all, const char *database, struct scope_settings *out);
void auth_log(struct auth_source *source, const struct fail *why, uint64_t now_us); /* about once a second */

/* auth_query_link.c */
/* Those that wait are sent, as far as there are connections; connections are opened, as far as may be. */
void auth_links_feed(struct auth_source *source, uint64_t now_us);
void auth_links_tick(struct auth_source *source, uint64_t now_us);
void auth_links_close_idle(struct auth_source *source);
void auth_link_give_up(struct auth_link *link); /* its lookup takes too long: cancelled, closed */
void auth_links_free(struct auth_source *source);

#endif
