/*
 * src/lookup/auth_query.h - asks PostgreSQL for the secrets of users that are not in users_file (auth_query in [auth]),
 * and whether users are members of roles that HBA rules name.
 *
 *   auth_query.c         lookups; logins that ask for the same user share one lookup
 *   auth_query_cache.h   the answers, which are reused for auth_query_ttl
 *   auth_query_source.c  the sources: a source is a query, where it is run, and as which user
 *   auth_query_conn.c    the connections that run only these queries, as auth_user
 *   auth_query_answer.c  reads the row
 *
 * The only texts of a client's that reach such a connection are the names of its user and (samerole) of its database,
 * as bound parameters. There are at most AUTH_CONNS_MAX connections for each source and AUTH_ALL_CONNS_MAX in all. A
 * connection counts in max_server_connections, and is closed when it has been idle for 30 s.
 *
 * Always: each question gets exactly one answer, at once or by done(), but no answer after auth_query_abandon().
 *         Whatever goes wrong, no client is logged in as another user.
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

enum auth_verdict {
	AUTH_LATER, /* done() will be called */
	AUTH_KNOWN,
	AUTH_WITHOUT_SECRET, /* the user's secret is missing or expired */
	AUTH_UNKNOWN, /* there is no such user */
	AUTH_FAILED, /* PostgreSQL reported an error, which was logged */
	AUTH_REFUSED /* PostgreSQL can't be asked; *why says nothing about the user */
};

/* Embedded, zeroed, in the login that asks. */
struct auth_ask {
	void (*done)(enum auth_verdict verdict, const char *secret, const struct fail *why, void *arg);
	void *arg;
	struct auth_lookup *lookup; /* this field and those below belong to auth_query.c */
	TAILQ_ENTRY(auth_ask) link;
};

struct auth_queries_settings {
	struct pool_set *pools; /* connections are made like those of the pools, and count with them */
	struct process_counters *counters;
	uint64_t seed;
};

struct auth_queries *auth_queries_new(const struct auth_queries_settings *settings);
void auth_queries_free(struct auth_queries *all); /* no login may be waiting; all may be NULL */
/* Called at start and at each reload; takes references. Lookups that run keep the configuration that they began
 * with. */
void auth_queries_configure(struct auth_queries *all, struct config *config, struct users *users, struct tls_store *tls,
			    uint64_t now_us);
void auth_queries_tick(struct auth_queries *all, uint64_t now_us); /* about every 100 ms */

/* Returns true if auth_query is on for this database (by the name that clients use). */
bool auth_query_is_on(const struct auth_queries *all, const char *database);
/* Asks for a user's secret. With AUTH_KNOWN (here or in done()), secret lives until the caller returns to the loop or
 * calls another function of this file. With AUTH_REFUSED *why is set: 08006, or 53300 if too many lookups wait. */
enum auth_verdict auth_query_find(struct auth_queries *all, const char *database, const char *user,
				  struct auth_ask *ask, const char **secret, struct fail *why, uint64_t now_us);
/* Asks whether a user is a member of a role, itself or through other roles, as PostgreSQL's own HBA rules do. Returns
 * AUTH_KNOWN if so, AUTH_UNKNOWN if not, or another verdict as auth_query_find() does; done() gets no secret. If the
 * database is not configured, the question goes to another database, so the answer does not reveal which databases are
 * configured. */
enum auth_verdict auth_query_member(struct auth_queries *all, const char *database, const char *user, const char *role,
				    struct auth_ask *ask, struct fail *why, uint64_t now_us);
void auth_query_abandon(void *ask); /* ask is a struct auth_ask, and need not be waiting */
/* Called when a proof failed, because the cached secret may be outdated: the next login asks PostgreSQL again, at most
 * once a second. */
void auth_query_doubt(struct auth_queries *all, const char *database, const char *user, uint64_t now_us);
/* Called when roles may have changed: logins that ask from now on get their answer from PostgreSQL. Any worker may call
 * it. */
void auth_queries_outdate(struct auth_queries *all); /* all may be NULL */
/* Closes idle connections to this database (by PostgreSQL's name), because a statement like DROP DATABASE needs the
 * database without other connections. */
void auth_queries_close_idle(struct auth_queries *all, const char *database);
