/*
 * src/client/client.h - one application connection, from accept() to its last byte.
 *
 *   client.c             accepts, reads and closes a client
 *   client_log.c         logs a client's names and address, and why it was disconnected
 *   client_watch.c       logs exhausted pools and long transactions
 *   client_compat_log.c  logs in PgBouncer's format
 *   clients.h            all clients: time limits, what is done when memory is short, draining
 *   cancel.h             CancelRequests
 *
 * A client's dialogue with servers is its exchange (exchange/exchange.h), which relay/ drives. login/ authenticates a
 * client and decides whether to admit it; this folder reaches login/ through struct client_login_ops.
 *
 * Owns:    struct client owns its socket, its exchange, its place in the limits, and its login or console.
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

/* Functions of login/ that this folder calls for clients that log in. */
struct client_login_ops {
	/* Begins the login of an accepted client. Returns false if the client was closed, or must not be read yet. */
	bool (*begin)(struct client *c);
	/* Handles the client's bytes, or keeps a copy. Then wipes `bytes`, because they may hold a password. */
	void (*bytes)(struct client *c, const uint8_t *bytes, size_t len);
	/* Called about every 100 ms. Closes a client whose login takes too long. */
	void (*check_time)(struct client *c, uint64_t now_us);
	/* Sets *database and *user to the names in the startup packet, or to NULL if they are not known yet. */
	void (*names)(const struct client *c, const char **database, const char **user);
	void (*leave)(struct client *c); /* called when c is closed; ends the login and frees the login's state */
};

#define LOST_NAMES_SIZE 3500 /* bytes that fit in a log line */

/* The environment that all clients of one worker share; it belongs to struct worker (process/worker.h). */
struct client_env {
	struct exchange_env x;
	const struct client_login_ops *login_ops;
	struct helpers *helpers;
	struct dialer *dialer; /* for lookups of host names */
	struct jobs *jobs; /* threads for modules' questions; belongs to the main worker */
	struct inbox *inbox; /* the inbox of this worker */
	struct tls_scratch *tls_scratch;
	struct tls_context *tls; /* of the present configuration; NULL if clients may not use TLS */
	uint8_t *read_buffer;
	size_t read_cap;
	struct verifier_cache *verifiers;
	/* The limits on clients. The main worker's admission enforces them; any other worker uses its own only to limit
	 * log lines about failed logins. A client keeps its place in the main worker's limits from accept() until that
	 * worker has read the note about the client's end. */
	struct admission *admission;
	uint32_t number; /* the worker's number; the main worker has 0 */
	struct client_env *const *client_envs; /* the client_env of each worker, the main worker's first; then NULL */
	struct pool_workers *pool_workers; /* belongs to the main worker */
	struct blocking *blocking; /* asks PostgreSQL which backends block each other */
	struct users *users; /* the contents of the present users_file; may be NULL */
	struct hba *hba; /* the present rules; NULL unless the configured method is hba or a module's */
	struct ident *ident; /* the present maps; may be NULL */
	uint8_t mock_secret[32]; /* for the verifiers of unknown users, which are made up: scram_verifier_mock() */
	TAILQ_HEAD(client_list, client) clients;
	/* the next client of a walk over `clients` that takes several turns of the loop; NULL if none is under way */
	struct client *cursor;
	/* The next three fields count clients of this worker, but none of the console's. */
	uint32_t pool_client_count; /* clients that have a pool */
	uint32_t login_count; /* clients that are logging in */
	uint32_t cancel_count; /* clients that have sent a CancelRequest */
	struct cancel_keys *keys; /* shared by all workers */
	LIST_HEAD(, passing_cancel) passing_cancels; /* CancelRequests that are being passed on (cancel_peer.c) */
	uint32_t passing_cancel_count;
	/* clients that were disconnected since the last client_log_lost(), because many servers were lost at once */
	uint32_t lost_count;
	char lost_names[LOST_NAMES_SIZE]; /* the names of these clients, for the log line */
	struct fail lost_why; /* why their servers were lost */
	bool is_client_idle_limited; /* the configuration has a client_idle_timeout */
	uint64_t watched_us; /* when client_watch() was last called with the present configuration; 0 if not yet */
	uint64_t looked_us; /* when clients_enforce_server_limits() last ran */
	/* when clients_enforce_server_limits() first ran after the loop last stood still, reading nothing; 0 if it
	 * never has */
	uint64_t woke_us;
	bool is_memory_short; /* true while clients with large messages are not read (client_memory.c) */
	void (*on_console_closed)(void *owner, struct client *c); /* called when a client of the console is closed */
	/* Called on the main worker after a client was closed and no count includes it, so a drain may be complete. c
	 * must not be dereferenced. */
	void (*on_client_gone)(void *owner, struct client *c);
	/* Called for a CancelRequest whose key no client of this process has. Passes the request on to another process
	 * of this pgweir; cancel_end_forwarded() is called when that process has answered. Returns false if there is no
	 * other process. */
	bool (*on_unknown_cancel_key)(void *owner, struct client *asker, uint32_t pid, const uint8_t *key,
				      size_t key_len);
	/* Called when the cancel that cancel_begin_far() began under this number is over. */
	void (*on_far_cancel_over)(void *owner, uint64_t number);
};

/* Says whether the log has the reason for which a client was disconnected. */
enum client_end_log {
	CLIENT_END_DUE, /* the reason is still to be logged */
	/* the reason was logged, or must not be logged; a log in PgBouncer's format still lacks its line */
	CLIENT_END_LOGGED,
	CLIENT_END_COMPAT_LOGGED /* the reason was logged in PgBouncer's format, too */
};

struct client {
	struct exchange x; /* must be first: see client_of() */
	struct client_env *env;
	TAILQ_ENTRY(client) all;
	union {
		struct client_login *login; /* valid while the client logs in */
		void *console; /* the console's state; valid if the client's state is CL_CONSOLE */
	};
	struct admission_place admission; /* the client's place in the limits */
	union {
		struct client *key_next; /* in struct cancel_keys, the next client with the same hash */
		struct long_key *long_key; /* if has_long_key: most of the client's secret, and its key_next */
	};
	uint64_t connected_us;
	union {
		struct {
			union {
				struct sockaddr any;
				struct sockaddr_in in;
				struct sockaddr_in6 in6;
			} peer;
			/* long_key is in use, and key_next is not. This is no bit-field, because other threads read it.
			 * Set by give_long_key(), cleared by forget_secret(). */
			bool has_long_key;
			/* The client has come over a Unix socket. This field and those below stay valid while
			 * `deferred` is used. Set by open_client(), cleared by login_take_proxy_header(). */
			bool is_unix : 1;
			/* The client has entered the console over a Unix socket, as the system user that runs pgweir,
			 * and so is an administrator whatever admin_users says. Set by enter_console(), never
			 * cleared. */
			bool is_own_user : 1;
			/* env->pool_client_count includes the client. Set by enter_pool() and take_place(), never
			 * cleared. */
			bool is_counted : 1;
			/* The client is not read, because memory is short. Set and cleared by client_memory.c. */
			bool is_read_paused : 1;
			enum client_end_log end_log : 2;
			/* The client can't move to a successor of this process or, in CL_CANCEL, waits for another
			 * process's answer. Set by moving.c and restart_forward_cancel(), never cleared. */
			bool is_staying : 1;
		};
		struct deferred_entry deferred; /* used after the client was closed */
		/* tells the main worker that another worker's client has ended; used when all else is freed */
		struct note end_note;
	};
};

/* Notes that the reason for closing the client was logged, or must not be logged. */
static inline void
client_note_end_logged(struct client *c)
{
	if (c->end_log == CLIENT_END_DUE)
		c->end_log = CLIENT_END_LOGGED;
}

/* Returns the client that contains x. x must not be NULL. */
static inline struct client *
client_of(const struct exchange *x)
{
	return (struct client *)(uintptr_t)x;
}

/* Makes a client for a new connection, takes over fd, and begins the login. peer is not used if is_unix. */
void client_accept(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix);
/* Makes a client in CL_STARTUP for a connection, and takes over fd. If out of memory, closes fd without sending
 * anything, and returns NULL. So another process that hands over the client can go on serving it on its own copy of the
 * socket. */
struct client *client_new(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix);
/* Begins to move a client to another worker. Called on the main worker, while no function of the client is running.
 * Until client_arrive(), no worker has the client. */
void client_depart(struct client *c, struct client_env *to);
void client_arrive(struct client *c); /* called on the other worker, which then has the client */
/* Called on the main worker in place of client_arrive(), if the client is not to move after all. */
void client_come_back(struct client *c, struct client_env *main_env);
/* --- functions for exchange_ops --- */
/* Does what client_close() does, but logs another reason than `why`, for example the name of the administrator who has
 * asked for the close, or an error that PostgreSQL has already sent to the client. */
void client_close_as(struct exchange *x, const struct fail *why, const struct fail *logged);
/* Called when the client has waited in vain for a server. Counts the client for client_watch_pool(). */
void client_note_timeout(struct exchange *x, const struct fail *why);
void client_peer_text(const struct exchange *x, char *out, size_t out_cap); /* writes "10.0.0.7:51514" or "unix" */
/* Closes the client, with a FATAL error unless why is NULL or a message to the client is half sent. The client's server
 * is returned to its pool, reset or closed, as the server's state requires. */
void client_close(struct client *c, const struct fail *why);
/* Called when a client is going to be closed. If the log is in PgBouncer's format, logs the reason, but only once. */
void client_log_close_compat(struct client *c, const struct fail *why);
/* Returns true if a request of the client's own, not of pgweir's, runs on its server, or is held. Sets *since_us to
 * when the request began, c got the server, or the last earlier request ended, whichever is latest. c has a server. */
bool client_is_served(const struct client *c, uint64_t *since_us);
/* Closes this process's copy of a client's socket after another process has taken over the client; the connection
 * stays open. */
void client_close_copy(struct client *c);
/* The results of client_activity(), for SHOW and metrics. CLIENT_IS_IDLE: c has no server and no transaction. */
enum { CLIENT_IS_LOGIN, CLIENT_IS_IDLE, CLIENT_IS_ACTIVE, CLIENT_IS_WAITING };
int client_activity(const struct client *c);

/* --- log lines about a client --- */

#define CLIENT_WORDS_MAX 640 /* bytes of a text by client_write_words() */

/* The client that a log line is about. */
struct client_about {
	struct log_about log; /* its texts are borrowed from the client and from this struct */
	char peer[80], words[CLIENT_WORDS_MAX]; /* texts by client_peer_text() and client_write_words() */
};

void client_describe(const struct client *c, struct client_about *about); /* fills *about */
/* Writes a text like: client 7 (10.0.0.7:51514, user "web", database "app", application "batch") */
void client_write_words(const struct log_about *about, char *out, size_t cap);
#define CLIENT_USE_TEXT_MAX 240 /* bytes of a text by client_describe_use() */
/* Writes to out how the client uses or has used srv (`use`), and the SQL without its literals, like "idle in
 * transaction: SELECT ?". Leaves the SQL out if slow_text is none. */
void client_describe_use(const struct exchange *x, const struct server *srv, enum server_use use,
			 char out[CLIENT_USE_TEXT_MAX]);
/* Logs, in one line, the clients that were disconnected since the last call because many servers were lost at once. */
void client_log_lost(struct client_env *env);
/* Logs that a client was closed, or leaves that to client_log_lost(). `why` is pgweir's or PostgreSQL's reason, or NULL
 * if the client left by itself. `lost` is the result of relay_leave(). */
void client_log_end(const struct client *c, const struct fail *why, const char *lost);

/* Called about every 100 ms. Logs, at most once in ten seconds, that clients of this pool got no server within
 * pool_timeout. Calls client_watch() for the clients that have a server. */
void client_watch_pool(const struct client_env *env, struct pool *pool, uint64_t now_us);
/* Called about every 100 ms. Logs the client's transaction if the transaction has been open for longer than
 * log_long_transaction, or idle for longer than log_idle_transaction. */
void client_watch(const struct client *c, uint64_t now_us);

/* --- lines of a log in PgBouncer's format --- */
void compat_log_attempt(const struct client *c, const char *database, const char *user, const char *replication);
void compat_log_close(const struct client *c, const struct fail *why); /* why is NULL if the client left by itself */
