/*
 * src/client/client.h - one application connection, from accept() to its last byte.
 *
 *   client.c           accepts, reads and closes it
 *   client_log.c       logs a client's names and address, and why it was disconnected; client_watch.c logs exhausted
 *                      pools and long transactions; client_compat_log.c logs in PgBouncer's format
 *   clients.h          all clients: limits on time, short memory, draining
 *   cancel.h           CancelRequests
 *
 * A client's dialogue with servers is its exchange (exchange/exchange.h), which relay/ drives. login/ authenticates a
 * client and decides whether to admit it; this folder reaches login/ through struct client_front.
 *
 * Owns:    struct client owns its socket, its exchange and its place in the limits; its login, console or cancel is
 *          freed with the client.
 * Borrows: env, which outlives all clients.
 * Always:  a closed client stays in memory (struct deferred_entry) until the loop has handled its last events.
 */
#pragma once

#include "admission/admission.h"
#include "exchange/exchange.h"
#include "net/inbox.h"

#include <netinet/in.h>

struct client;
struct client_env;
struct client_login; /* login/login_state.h: while logging in */
struct passing_cancel; /* cancel_peer.c */
struct blocking; /* dedicated/blocking.h */
struct verifier_cache; /* lookup/verifier_cache.h */
struct jobs; /* net/jobs.h */
struct hba; /* auth/hba.h */
struct dialer; /* net/dial.h */
struct ident; /* auth/hba.h */
struct cancel_keys; /* cancel.h */
struct long_key; /* cancel_keys.c */
struct pool_workers; /* pool/pool_workers.h */

/* The functions of login/ for a client that logs in, and for a client that is closed. */
struct client_front {
	/* begins the login of an accepted client; returns false if the client was closed or must not be read yet */
	bool (*begin)(struct client *c);
	/* Handles or keeps all of bytes, then wipes bytes, because a password may be in them. */
	void (*bytes)(struct client *c, const uint8_t *bytes, size_t len);
	/* called about every 100 ms while the client logs in; may close the client */
	void (*check_time)(struct client *c, uint64_t now_us);
	/* sets the names that the login asks for, or NULL */
	void (*names)(const struct client *c, const char **database, const char **user);
	void (*leave)(struct client *c); /* called when the client is closed: ends the login and frees its state */
};

#define CLIENTS_LOST_MAX 3500 /* bytes; as many as a line of the log has room for */

/* Shared by all clients of one loop; owned by the loop's worker (process/worker.h). */
struct client_env {
	struct exchange_env x;
	const struct client_front *front;
	struct helpers *helpers;
	struct dialer *dialer; /* looks up names */
	struct jobs *jobs; /* net/jobs.h; belongs to the main worker */
	struct inbox *inbox;
	struct tls_scratch *tls_scratch;
	struct tls_context *tls; /* from the present configuration; NULL if clients get no TLS */
	uint8_t *read_buffer;
	size_t read_cap;
	struct verifier_cache *verifiers;
	/* The main worker's admission enforces the limits on clients. Another worker's admission only bounds the log
	 * lines about failed logins there. A client's place in the limits belongs to the main worker, from accept()
	 * until that worker has read the note about the client's end. */
	struct admission *admission;
	uint32_t number; /* the worker's number; 0 is the main worker */
	/* the envs of all workers, the main worker's first; NULL ends the array */
	struct client_env *const *client_envs;
	struct pool_workers *pool_workers; /* pool/pool_workers.h; the main worker's */
	struct blocking *blocking; /* finds out, with a query on PostgreSQL, which backends block each other */
	struct users *users; /* a reload replaces users, hba and ident */
	struct hba *hba; /* NULL unless method is hba or a module's */
	struct ident *ident; /* may be NULL */
	uint8_t mock_secret[32];
	TAILQ_HEAD(client_list, client) clients;
	/* the next client of a walk over `clients` that takes several turns of the loop; NULL at the end */
	struct client *cursor;
	/* of this worker; connections of CancelRequests and of the console are not included */
	uint32_t client_count, login_count, cancel_count;
	struct cancel_keys *keys; /* shared by all loops */
	LIST_HEAD(, passing_cancel) passing_cancels; /* cancel_peer.c: cancel requests being passed on */
	uint32_t passing_cancel_count;
	/* Clients that were disconnected because many servers were lost at once; the next tick logs them together. */
	uint32_t lost_count;
	char lost[CLIENTS_LOST_MAX];
	struct fail lost_why;
	bool is_client_idle_limited;
	uint64_t watched_us; /* when client_watch() last looked, with the present configuration; 0 if it has not yet */
	uint64_t looked_us; /* when clients_end_late() last ran */
	uint64_t woke_us; /* when clients_end_late() first ran after the loop had stood still and had read nothing */
	bool is_memory_short; /* see client_memory.c */
	void (*on_console_closed)(void *owner, struct client *c);
	/* Called on the main worker. c is closed and no longer counted, so a drain may be complete; use c only as an
	 * address. */
	void (*on_client_gone)(void *owner, struct client *c);
	/* Passes a cancel request whose key no client of this process has on to another process. Returns true if there
	 * is such a process; asker is then closed when that process answers (cancel_over()). */
	bool (*on_unknown_cancel_key)(void *owner, struct client *asker, uint32_t pid, const uint8_t *key,
				      size_t key_len);
	/* called when the cancel that cancel_begin_far() began under this number is over */
	void (*on_far_cancel_over)(void *owner, uint64_t number);
};

/* The logging of the reason for which a client was disconnected. */
enum client_end {
	CLIENT_END_DUE,
	/* the reason was logged, or deliberately not; a log in PgBouncer's format still lacks its line */
	CLIENT_END_LOGGED,
	CLIENT_END_COMPAT_LOGGED /* the reason was logged in PgBouncer's format, too */
};

struct client {
	struct exchange x; /* must be first: see client_of() */
	struct client_env *env;
	TAILQ_ENTRY(client) all;
	union {
		struct client_login *login;
		void *console; /* the console's state, if the client's state is CL_CONSOLE */
	};
	struct admission_place admission; /* the client's place in the limits */
	union {
		struct client *key_next; /* the next client with the same hash */
		struct long_key *long_key; /* holds the rest of the secret, and key_next */
	};
	uint64_t connected_us;
	union {
		struct {
			union {
				struct sockaddr any;
				struct sockaddr_in in;
				struct sockaddr_in6 in6;
			} peer;
			/* long_key is in use, not key_next. No bit-field, because other threads read this field. Set by
			 * give_long_key(), cleared by forget_secret(). */
			bool has_long_key;
			/* This field and all below are still valid when `deferred` is used. Set by client_new(),
			 * cleared by login_proxy(). */
			bool is_unix : 1;
			/* The client entered the console over a Unix socket, as the operating system's user that pgweir
			 * runs as, so it is an admin whatever the settings say. Set by enter_console(), never
			 * cleared. */
			bool is_own_user : 1;
			/* The client is included in env->client_count. Set by enter_pool() and take_place(), never
			 * cleared. */
			bool is_counted : 1;
			/* The client is not read, because memory is short. Set and cleared by client_memory.c. */
			bool is_read_paused : 1;
			enum client_end end_log : 2;
			/* The client can't move to a successor of this process. Set by moving.c and
			 * restart_forward_cancel(), never cleared. */
			bool is_staying : 1;
		};
		struct deferred_entry deferred; /* used once the client is closed */
		/* used once the client's memory is only a note to the main worker, sent by another worker */
		struct note last;
	};
};

/* Records that the reason for closing the client was logged, or must not be. */
static inline void
client_end_logged(struct client *c)
{
	if (c->end_log == CLIENT_END_DUE)
		c->end_log = CLIENT_END_LOGGED;
}

/* Returns the client that x belongs to; x must not be NULL. */
static inline struct client *
client_of(const struct exchange *x)
{
	return (struct client *)(uintptr_t)x;
}

/* Makes a client for a new connection and takes over fd. peer may be a Unix address. */
void client_accept(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix);
/* Does what client_accept() does, but does not begin the login: the client stays in CL_STARTUP. Returns NULL without
 * memory; fd is then closed and nothing was sent, so a client that a previous process wants to hand over may stay in
 * that process. */
struct client *client_new(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix);
/* client_depart() and client_arrive() move an authenticated client to another worker: call client_depart() on the main
 * worker, while none of the client's functions is running, then client_arrive() on the other worker. In between no
 * worker has the client. When the client closes, the main worker receives a note. */
void client_depart(struct client *c, struct client_env *to);
void client_arrive(struct client *c);
/* Call this in place of client_arrive() if the client stays on the main worker after all. */
void client_come_back(struct client *c, struct client_env *main_worker);
/* --- functions for exchange_ops --- */
/* Like client_close(), but logs another reason than the client gets, e.g. the admin who asked for the close, or an
 * error that PostgreSQL has already sent to the client. */
void client_close_as(struct exchange *x, const struct fail *why, const struct fail *logged);
void client_timed_out(struct exchange *x, const struct fail *why); /* client_watch.c */
void client_peer_text(const struct exchange *x, char *out, size_t out_cap); /* writes "10.0.0.7:51514" or "unix" */
/* Closes the client, with a FATAL error if why is given; its server is returned, reset or closed, as the server's state
 * requires. */
void client_close(struct client *c, const struct fail *why);
/* Logs the client's end in PgBouncer's words, once; the client is closed later. Does nothing unless the log is in
 * PgBouncer's format. */
void client_log_close(struct client *c, const struct fail *why);
/* For a client with a server: returns true if one of the client's own requests is running there, or is held. Sets
 * *since_us to when that request left the queue and all earlier requests had ended. */
bool client_is_served(const struct client *c, uint64_t *since_us);
/* Closes this process's copy of the socket of a client that another process has taken over; the connection stays
 * open. */
void client_let_go(struct client *c);
/* The results of client_activity(), for SHOW and metrics. */
enum { CLIENT_IS_LOGIN, CLIENT_IS_IDLE, CLIENT_IS_ACTIVE, CLIENT_IS_WAITING };
int client_activity(const struct client *c);

/* --- log lines about a client --- */

#define CLIENT_WORDS_MAX 640

/* The client that a log line is about; the texts are borrowed from the client. */
struct client_about {
	struct log_about log;
	char peer[80], words[CLIENT_WORDS_MAX]; /* words: client_words() */
};

void client_about(const struct client *c, struct client_about *about);
/* Writes: client 7 (10.0.0.7:51514, user "web", database "app", application "batch") */
void client_words(const struct log_about *about, char *out, size_t cap);
/* Writes `use`, which is how the client uses or used srv, and the SQL, e.g. "idle in transaction: SELECT ?". The SQL is
 * written without literals, and only if the slow-query log may have it. */
#define CLIENT_DOES_MAX 240
void client_does(const struct exchange *x, const struct server *srv, enum server_use use, char out[CLIENT_DOES_MAX]);
/* Logs, in one line, the clients that have ended since the last call because many servers were lost at once. */
void client_log_lost(struct client_env *env);
/* Logs a client's end. why is pgweir's or PostgreSQL's reason, or NULL if the client left by itself. lost is the result
 * of relay_leave(). */
void client_log_end(const struct client *c, const struct fail *why, const char *lost);

/* Both functions are called about every 100 ms. client_watch_pool() logs, at most once in ten seconds, that clients of
 * this pool got no server within pool_timeout. It also logs transactions that have been open for longer than
 * log_long_transaction, or idle for longer than log_idle_transaction. client_watch() logs such a transaction of a
 * client that has no server. */
void client_watch_pool(const struct client_env *env, struct pool *pool, uint64_t now_us);
void client_watch(const struct client *c, uint64_t now_us);

void compat_log_attempt(const struct client *c, const char *database, const char *user, const char *replication);
void compat_log_close(const struct client *c, const struct fail *why); /* why is NULL if the client left by itself */
