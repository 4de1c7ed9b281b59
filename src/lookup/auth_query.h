/*
 * src/lookup/auth_query.h - asks PostgreSQL for the secrets of users that are not in users_file (auth_query in [auth]),
 * and whether users are members of roles that HBA rules name.
 *
 *   auth_query.c         lookups; logins that ask the same question share one lookup
 *   auth_query_cache.h   a cache of answers, which are reused for auth_query_ttl
 *   auth_query_source.c  sources: a source is a query, the database in which it runs, and the user who runs it
 *   auth_query_conn.c    connections that run only these queries, as auth_user
 *   auth_query_answer.c  reads the row that a query returns
 *
 * Only two texts from a client reach these connections, both as bound parameters: the user name and, for samerole, the
 * database name. There are at most AUTH_CONNS_MAX connections for each source and AUTH_ALL_CONNS_MAX in all. A
 * connection counts in max_server_connections, and is closed after 30 s without a query, or sooner to make room.
 *
 * Always: each question gets exactly one answer, from the function that asks or by done(), unless auth_query_abandon()
 *         withdraws the question. Whatever goes wrong, no client is logged in as another user.
 */
#pragma once

#include "auth/users.h"
#include "base/counters.h"
#include "config/config.h"
#include "pool/pool_set.h"

#include <sys/queue.h>

#define AUTH_CONNS_MAX 2u
#define AUTH_ALL_CONNS_MAX 64u
#define AUTH_LOOKUPS_MAX 1000u /* lookups that run or wait for a connection */

struct auth_queries; /* opaque: auth_query.c */
struct auth_lookup;
struct tls_store; /* pool/pool_target.h */

/* The answer to a question about a user. */
enum auth_verdict {
	AUTH_LATER, /* not known yet; done() will be called */
	AUTH_KNOWN, /* the user has a secret; in auth_query_ask_member(), the user is a member */
	AUTH_WITHOUT_SECRET, /* the user's secret is missing or expired */
	AUTH_UNKNOWN, /* there is no such user; in auth_query_ask_member(), the user is not a member */
	AUTH_FAILED, /* PostgreSQL has reported an error, sent a wrong answer, or refused auth_user's login */
	AUTH_REFUSED /* PostgreSQL can't be asked; *why is set, and does not reveal whether the user exists */
};

/* A question that waits for its answer. The login that asks embeds this struct, zeroed. */
struct auth_ask {
	/* Called with the answer. secret is borrowed, and is NULL unless verdict is AUTH_KNOWN and a secret was asked
	 * for. *why is valid only if verdict is AUTH_REFUSED. */
	void (*done)(enum auth_verdict verdict, const char *secret, const struct fail *why, void *arg);
	void *arg; /* passed to done() */
	struct auth_lookup *lookup; /* for auth_query.c */
	TAILQ_ENTRY(auth_ask) link; /* for auth_query.c */
};

struct auth_queries_settings {
	struct pool_set *pools; /* the connections use these pools' environment, and count in their limits */
	struct process_counters *counters;
	uint64_t seed; /* a random number, which seeds hash tables and a random generator */
};

struct auth_queries *auth_queries_new(const struct auth_queries_settings *settings);
void auth_queries_free(struct auth_queries *all); /* called when no login waits for an answer; `all` may be NULL */
/* Called at start and at each reload. Takes references to config, users and tls; makes all cached answers expire. */
void auth_queries_configure(struct auth_queries *all, struct config *config, struct users *users, struct tls_store *tls,
			    uint64_t now_us);
void auth_queries_tick(struct auth_queries *all, uint64_t now_us); /* called about every 100 ms */

/* Returns true if auth_query is on for this database. Here and below, `database` is the name that the client uses. */
bool auth_query_is_on(const struct auth_queries *all, const char *database);
/* Asks for a user's secret. With AUTH_KNOWN, sets *secret, valid until the next call of a function of this file. */
enum auth_verdict auth_query_find(struct auth_queries *all, const char *database, const char *user,
				  struct auth_ask *ask, const char **secret, struct fail *why, uint64_t now_us);
/* Asks whether a user is a member of a role, directly or through other roles, as PostgreSQL does for its HBA rules. If
 * the database is not configured, asks in the first database with auth_query on, so the answer does not reveal which
 * databases exist. */
enum auth_verdict auth_query_ask_member(struct auth_queries *all, const char *database, const char *user,
					const char *role, struct auth_ask *ask, struct fail *why, uint64_t now_us);
/* Withdraws a question, so that done() is not called. `ask` is a struct auth_ask, which need not be waiting. */
void auth_query_abandon(void *ask);
/* Called after a wrong proof, because the cached secret may be outdated. The next login asks PostgreSQL again, but at
 * most once a second for each user. */
void auth_query_expire(struct auth_queries *all, const char *database, const char *user, uint64_t now_us);
/* Called, on any worker, when roles may have changed. Later questions are answered by PostgreSQL, not from the cache.
 * Does nothing if `all` is NULL. */
void auth_queries_outdate(struct auth_queries *all);
/* Closes idle connections to this database, because a statement like DROP DATABASE fails while the database has other
 * connections. `database` is PostgreSQL's name. */
void auth_queries_close_idle(struct auth_queries *all, const char *database);
