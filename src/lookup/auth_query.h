/*
 * src/lookup/auth_query.h - asks PostgreSQL for the secrets of users that are not in users_file (auth_query in [auth]).
 *
 *   auth_query.c         questions: one lookup for all who ask for the same user, and what comes of it
 *   auth_query_cache.h   answers are used again for auth_query_ttl
 *   auth_query_source.c  which databases are asked the same way, of whom, and what
 *   auth_query_link.c    the connections: auth_user's, for this alone
 *   auth_query_answer.c  the row
 *
 * Nothing of a client but the name of a user reaches such a connection, and that as a bound parameter. Connections: at
 * most AUTH_LINKS_MAX for each way of asking and AUTH_ALL_LINKS_MAX in all, closed when idle for 30 s; they count in
 * max_server_connections.
 *
 * Always: each question gets exactly one answer, at once or by done, or none after auth_query_abandon; whatever goes
 *         wrong, its outcome is never a login as anybody else.
 */
#ifndef PGWEIR_LOOKUP_AUTH_QUERY_H
#define PGWEIR_LOOKUP_AUTH_QUERY_H

#include "auth/users.h"
#include "base/counters.h"
#include "config/config.h"
#include "pool/pool_set.h"

#include <sys/queue.h>

#define AUTH_LINKS_MAX 2u
#define AUTH_ALL_LINKS_MAX 64u
#define AUTH_LOOKUPS_MAX 1000u /* under way or waiting for a connection */

struct auth_queries; /* opaque: auth_query.c */
struct auth_lookup;
struct tls_store; /* pool/tls_store.h */

enum auth_verdict {
	AUTH_LATER, /* done follows */
	AUTH_KNOWN,
	AUTH_UNKNOWN, /* there is no such user, it has no secret, it is expired; or PostgreSQL answered with an error */
	AUTH_REFUSED /* PostgreSQL can't be asked: why, which says nothing of the user */
};

/* Embedded in who asks, zeroed. */
struct auth_ask {
	void (*done)(enum auth_verdict verdict, const char *secret, const struct fail *why, void *arg);
	void *arg;
	struct auth_lookup *lookup; /* auth_query.c's own from here on */
	TAILQ_ENTRY(auth_ask) link;
};

struct auth_queries_settings {
	struct pool_set *pools; /* servers connect as theirs do, and count with them */
	struct process_counters *counters;
	uint64_t seed;
};

struct auth_queries *auth_queries_new(const struct auth_queries_settings *settings);
void auth_queries_free(struct auth_queries *all); /* nobody may wait any more; NULL is fine */
/* At start and at each reload; references are taken. What is under way ends as it began. */
void auth_queries_configure(struct auth_queries *all, struct config *config, struct users *users, struct tls_store *tls,
			    uint64_t now_us);
void auth_queries_tick(struct auth_queries *all, uint64_t now_us); /* about every 100 ms */

/* Is auth_query on for this database (as clients call it)? */
bool auth_query_is_on(const struct auth_queries *all, const char *database);
/*
 * *secret (KNOWN; in done, too) lives until you return to the loop or call another function here. why is filled with
 * REFUSED: 08006, or 53300 if too many wait.
 */
enum auth_verdict auth_query_find(struct auth_queries *all, const char *database, const char *user,
				  struct auth_ask *ask, const char **secret, struct fail *why, uint64_t now_us);
void auth_query_abandon(struct auth_ask *ask); /* fine if it does not wait */
/* A proof failed: the next one asks anew (but not more often than once a second). */
void auth_query_doubt(struct auth_queries *all, const char *database, const char *user, uint64_t now_us);
/* A statement needs this database (as PostgreSQL calls it) to itself: idle connections there are closed. */
void auth_queries_step_aside(struct auth_queries *all, const char *database);

#endif
