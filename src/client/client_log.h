/*
 * src/client/client_log.h - what the log has of a client.
 *
 *   client_log.c    its end
 *   client_watch.c  pools that are exhausted, and transactions that take long
 *   client_bouncer_log.c  the lines of PgBouncer's log, if ours is in its format
 */
#pragma once

#include "client/client.h"

#define CLIENT_WORDS_MAX 640

/* The client that a line is about; the texts are borrowed from it. */
struct client_about {
	struct log_about log;
	char peer[80];
};

void client_about(const struct client *c, struct client_about *about);
/* Writes: client 7 (10.0.0.7:51514, user "web", database "app", application "batch") */
void client_words(const struct client_about *about, char *out, size_t cap);
/* why: pgweir's or PostgreSQL's reason; NULL: it left. lost: what relay_leave() has returned. */
void client_log_end(const struct client *c, const struct fail *why, const char *lost);

/*
 * About every 100 ms: logs that clients have waited for a server of this pool in vain (once in ten seconds), and which
 * transactions have been open, or idle, for longer than log_long_transaction and log_idle_transaction; and notes what
 * the pool's connections are used for.
 */
void client_watch_pool(const struct client_env *env, struct pool *pool, uint64_t now_us);

void bouncer_log_attempt(const struct client *c, const char *database, const char *user, const char *replication);
void bouncer_log_close(const struct client *c, const struct fail *why); /* why: NULL for a client that has left */
