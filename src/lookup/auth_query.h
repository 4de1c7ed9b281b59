/*
 * src/lookup/auth_query.h - asks PostgreSQL for the secrets of users that are not in users_file (auth_query in [auth]),
 * and whether users are members of roles that HBA rules name.
 *
 *   auth_query.c         lookups: one for all who ask for the same user
 *   auth_query_cache.h   the answers, which are used again for auth_query_ttl
 *   auth_query_source.c  the sources: which query is run where, and which databases share it
 *   auth_query_conn.c    the connections, opened as auth_user for this alone
 *   auth_query_answer.c  reads the row
 *
 * The only things of a client's that reach such a connection are the names of its user and (samerole) of its database,
 * as bound parameters. There are at most AUTH_CONNS_MAX connections for each source and AUTH_ALL_CONNS_MAX in all. A
 * connection is closed when idle for 30 s, and counts in max_server_connections.
 *
 * Always: each question gets exactly one answer, at once or by done, and none after auth_query_abandon; whatever goes
 *         wrong, nobody is logged in as somebody else.
 */
#pragma once

#include "auth/users.h"
#include "base/counters.h"
#include "config/config.h"
#include "pool/pool_set.h"

#include <sys/queue.h>

#define AUTH_CONNS_MAX 2u
#define AUTH_ALL_CONNS_MAX 64u
#define AUTH_LOOKUPS_MAX 1000u /* under way or waiting for a connection */

struct auth_queries; /* opaque: auth_query.c */
struct auth_lookup;
struct tls_store; /* pool/pool_target.h */

enum auth_verdict {
	AUTH_LATER, /* done follows */
	AUTH_KNOWN,
	AUTH_WITHOUT_SECRET, /* the user's secret is missing or expired */
	AUTH_UNKNOWN, /* there is no such user */
	AUTH_FAILED, /* PostgreSQL reported an error, which the log has */
	AUTH_REFUSED /* PostgreSQL can't be asked; *why reveals nothing about the user */
};

/* Embedded in the one who asks, zeroed. */
struct auth_ask {
	void (*done)(enum auth_verdict verdict, const char *secret, const struct fail *why, void *arg);
	void *arg;
	struct auth_lookup *lookup; /* from here on auth_query.c's own */
	TAILQ_ENTRY(auth_ask) link;
};

struct auth_queries_settings {
	struct pool_set *pools; /* connections are made as theirs, and count with them */
	struct process_counters *counters;
	uint64_t seed;
};

struct auth_queries *auth_queries_new(const struct auth_queries_settings *settings);
void auth_queries_free(struct auth_queries *all); /* nobody may be waiting; NULL is fine */
/*
 * Called at start and at each reload; takes references. Lookups under way end with the configuration they began with.
 */
void auth_queries_configure(struct auth_queries *all, struct config *config, struct users *users, struct tls_store *tls,
			    uint64_t now_us);
void auth_queries_tick(struct auth_queries *all, uint64_t now_us); /* about every 100 ms */

/* Returns true if auth_query is on for this database (by the name that clients use). */
bool auth_query_is_on(const struct auth_queries *all, const char *database);
/* Asks for a user's secret. With AUTH_KNOWN (here or in done), secret lives until the caller returns to the loop or
 * calls another function here. With AUTH_REFUSED *why is set: 08006, or 53300 if too many wait. */
enum auth_verdict auth_query_find(struct auth_queries *all, const char *database, const char *user,
				  struct auth_ask *ask, const char **secret, struct fail *why, uint64_t now_us);
/* Asks whether a user is a member of a role, itself or through others, as PostgreSQL's own HBA rules do: AUTH_KNOWN or
 * AUTH_UNKNOWN, or as above; secret is of no use. A database that is not configured is asked about at another one: the
 * answer does not tell that it isn't. */
enum auth_verdict auth_query_member(struct auth_queries *all, const char *database, const char *user, const char *role,
				    struct auth_ask *ask, struct fail *why, uint64_t now_us);
void auth_query_abandon(void *ask); /* a struct auth_ask; fine if it does not wait */
/* A proof failed: the next login asks again, though at most once a second. */
void auth_query_doubt(struct auth_queries *all, const char *database, const char *user, uint64_t now_us);
/* Roles may have changed: who asks from now on is answered by PostgreSQL. Any worker may call it. */
void auth_queries_outdate(struct auth_queries *all); /* NULL is fine */
/* A statement needs this database (by PostgreSQL's name) for itself: closes idle connections to it. */
void auth_queries_step_aside(struct auth_queries *all, const char *database);
