/*
 * src/client/client.h - one application connection: its life, from accept() to its last byte.
 *
 *   client.c           accepts, reads and closes it
 *   client_log.c       its lines in the log; client_watch.c: about pools that are exhausted and long transactions;
 *                      client_compat_log.c: in PgBouncer's format
 *   clients.h          all of them: limits on time, short memory, draining
 *   cancel.h           CancelRequests
 *
 * Its dialogue with servers is its exchange (exchange/exchange.h), which relay/ drives. login/ finds out who it is and
 * whether it may come in; this folder reaches login/ through struct client_front.
 *
 * Owns:    struct client its socket, its exchange and its place in the limits; login, console or cancel is freed with
 *          it.
 * Borrows: env, which outlives all clients.
 * Always:  a client that was closed stays in memory as a grave until the loop is done with its events.
 */
#pragma once

#include "admission/admission.h"
#include "exchange/exchange.h"
#include "net/inbox.h"

#include <netinet/in.h>

struct client;
struct client_env;
struct client_login; /* login/login_state.h: while logging in */
struct passed_cancel; /* cancel_peer.c */
struct blocking; /* dedicated/blocking.h */
struct verifier_cache; /* lookup/verifier_cache.h */
struct jobs; /* net/jobs.h */
struct hba; /* auth/hba.h */
struct dialer; /* net/dial.h */
struct ident; /* auth/hba.h */
struct cancel_keys; /* cancel.h */
struct long_key; /* cancel_keys.c */
struct pool_workers; /* pool/pool_workers.h */

/* The functions of login/ for a client that logs in, and for one that goes. */
struct client_front {
	bool (*begin)(struct client *c); /* it was accepted; returns false if it was closed or must not be read yet */
	/* Handles or keeps all of bytes, and wipes them: they may have a password. */
	void (*bytes)(struct client *c, const uint8_t *bytes, size_t len);
	void (*check_time)(struct client *c, uint64_t now_us); /* while it logs in, about every 100 ms; may close it */
	void (*names)(const struct client *c, const char **database, const char **user); /* as it logs in, or NULL */
	void (*leave)(struct client *c); /* it is closed: ends the login and frees its part */
};

/* Shared by all clients of one loop; its worker owns it (process/worker.h). */
#define CLIENTS_LOST_MAX 3500 /* a line of the log has room for it */

struct client_env {
	struct exchange_env x;
	const struct client_front *front;
	struct helpers *helpers;
	struct dialer *dialer; /* looks up names */
	struct jobs *jobs; /* net/jobs.h; the main worker's */
	struct inbox *inbox;
	struct tls_scratch *tls_scratch;
	struct tls_context *tls; /* from the present configuration; NULL: clients get no TLS */
	uint8_t *read_buffer;
	size_t read_cap;
	struct verifier_cache *verifiers;
	/* The main worker's has the limits on clients. The others' only bounds the log lines about logins that fail
	 * there: all else of a client's waiter is the main worker's, from accept() until it has heard of the client's
	 * end. */
	struct admission *admission;
	uint32_t number; /* of its worker: 0 is the main worker */
	struct client_env *const *crew; /* of all workers, the main worker's first; NULL ends them */
	struct pool_workers *pool_workers; /* pool/pool_workers.h; the main worker's */
	struct blocking *blocking; /* its worker's question who blocks whom */
	struct users *users; /* a reload replaces users, hba and ident */
	struct hba *hba; /* NULL unless method is hba or a module's */
	struct ident *ident; /* may be NULL */
	uint8_t mock_secret[32];
	TAILQ_HEAD(client_list, client) clients;
	struct client *cursor; /* where a walk through them goes on that takes several turns; NULL: at its end */
	/* Cancel and console connections do not count as clients. */
	uint32_t client_count, login_count, cancel_count; /* of this worker */
	struct cancel_keys *keys; /* shared by all loops */
	LIST_HEAD(, passed_cancel) passed_cancels; /* cancel_peer.c: those under way */
	uint32_t passed_cancel_count;
	/* Who ended with one of many servers, to be logged together by the next tick. */
	uint32_t lost_count;
	char lost[CLIENTS_LOST_MAX];
	struct fail lost_why;
	bool is_client_idle_limited;
	uint64_t watched_us; /* when client_watch() last looked, with the present configuration; 0: never */
	uint64_t looked_us; /* when clients_end_late() last ran */
	uint64_t woke_us; /* ... for the first time after its loop had stood still, and had read nothing meanwhile */
	bool is_memory_short; /* client_memory.c */
	void (*on_console_closed)(void *owner, struct client *c);
	/* On the main worker: c is closed, and counts no more: a drain may be over. Only its address is of use. */
	void (*on_client_gone)(void *owner, struct client *c);
	/* Passes on a cancel request for a key that nobody here has. Returns true if somebody was asked: asker is
	 * closed when the answer comes (cancel_over). */
	bool (*on_strange_cancel)(void *owner, struct client *asker, uint32_t pid, const uint8_t *key, size_t key_len);
	/* The cancel number `number` of cancel_begin_far() is over. */
	void (*on_far_cancel_over)(void *owner, uint64_t number);
};

/* The log's line about a client's end, which tells why. */
enum client_end {
	CLIENT_END_DUE,
	CLIENT_END_LOGGED, /* why is in the log, or was kept out of it; a log in PgBouncer's words has yet to say it */
	CLIENT_END_TOLD /* the same there */
};

struct client {
	struct exchange x; /* must be first: see client_of() */
	struct client_env *env;
	TAILQ_ENTRY(client) all;
	union {
		struct client_login *login;
		void *console; /* CL_CONSOLE: the console's own */
	};
	struct admission_place admission; /* what it counts as */
	union {
		struct client *key_next; /* the next one with the same hash */
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
			/* No bit: other threads read it. Set by give_long_key(), cleared by forget_secret(). */
			bool has_long_key;
			/* Behind what the grave takes up, as all below. Set by client_new(), cleared by
			 * login_proxy(). */
			bool is_unix : 1;
			/* Came to the console over a Unix socket as the user that pgweir runs as: an admin in any case.
			 * Set by enter_console(), never cleared. */
			bool is_own_user : 1;
			/* In env->client_count. Set by enter_pool() and take_place(), never cleared. */
			bool is_counted : 1;
			/* Not read because memory is short. Set and cleared by client_memory.c. */
			bool is_starved : 1;
			enum client_end end_log : 2;
			/* Can't move to a successor of this process. Set by moving.c and
			 * restart_forward_cancel(), never cleared. */
			bool is_staying : 1;
		};
		struct grave grave; /* once it is closed */
		struct note last; /* once nothing but this block is left of it on another worker than the main worker */
	};
};

/* Notes that the log says why the client is closed, or that it is not to say it. */
static inline void
client_end_logged(struct client *c)
{
	if (c->end_log == CLIENT_END_DUE)
		c->end_log = CLIENT_END_LOGGED;
}

/* The client whose exchange this is; x: not NULL. */
static inline struct client *
client_of(const struct exchange *x)
{
	return (struct client *)(uintptr_t)x;
}

/* Makes a client of a new connection; takes fd. peer may be a Unix address. */
void client_accept(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix);
/* The same, and nothing is asked of it yet: it is CL_STARTUP. Returns NULL without memory; fd is then closed, and
 * whoever is at its other end was told nothing: a client that comes from the process before may stay there. */
struct client *client_new(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix);
/* A client that has proved who it is goes to another worker in two steps: the main worker's, while no function of the
 * client's is running there, and that worker's. In between it is nobody's. Its end comes back to the main worker as a
 * note. */
void client_depart(struct client *c, struct client_env *to);
void client_arrive(struct client *c);
void client_come_back(struct client *c,
		      struct client_env *main_worker); /* instead of client_arrive: it is the main worker's again */
/* exchange_ops: */
/* As client_close(), with another reason for the log: who wished it, or what PostgreSQL has told the client itself. */
void client_close_as(struct exchange *x, const struct fail *why, const struct fail *logged);
void client_timed_out(struct exchange *x, const struct fail *why); /* client_watch.c */
void client_peer_text(const struct exchange *x, char *out, size_t out_cap); /* writes "10.0.0.7:51514" or "unix" */
/* Closes it, with a FATAL error if why is given; its server is returned, reset or closed as its state demands. */
void client_close(struct client *c, const struct fail *why);
/* Writes PgBouncer's line about its end, once; the client is closed later. Does nothing in another log. */
void client_log_close(struct client *c, const struct fail *why);
/* For a client with a server: returns true if a request of its own is under way there, or held. *since_us: since when,
 * not counting its time in line and the requests before it. */
bool client_is_served(const struct client *c, uint64_t *since_us);
/* Another process reads it now: its socket is closed here, and it notices nothing. */
void client_let_go(struct client *c);
/* The results of client_activity(), for SHOW and metrics. */
enum { CLIENT_IS_LOGIN, CLIENT_IS_IDLE, CLIENT_IS_ACTIVE, CLIENT_IS_WAITING };
int client_activity(const struct client *c);

/* --- what the log has of a client --- */

#define CLIENT_WORDS_MAX 640

/* The client that a line is about; the texts are borrowed from it. */
struct client_about {
	struct log_about log;
	char peer[80], words[CLIENT_WORDS_MAX]; /* words: client_words() */
};

void client_about(const struct client *c, struct client_about *about);
/* Writes: client 7 (10.0.0.7:51514, user "web", database "app", application "batch") */
void client_words(const struct log_about *about, char *out, size_t cap);
/* Writes what the client does, or did, with srv, and its SQL without literals, unless the slow-query log may not have
 * that: "idle in transaction: SELECT ?". use: what to call it. */
#define CLIENT_DOES_MAX 240
void client_does(const struct exchange *x, const struct server *srv, enum server_use use, char out[CLIENT_DOES_MAX]);
void client_log_lost(struct client_env *env); /* those who ended with servers of which many were lost: all so far */
/* why: pgweir's or PostgreSQL's reason; NULL: it left. lost: what relay_leave() has returned. */
void client_log_end(const struct client *c, const struct fail *why, const char *lost);

/* About every 100 ms: logs that clients have waited for a server of this pool in vain (once in ten seconds), and which
 * transactions were open, or idle, for longer than log_long_transaction and log_idle_transaction; client_watch() for a
 * client that has no server. */
void client_watch_pool(const struct client_env *env, struct pool *pool, uint64_t now_us);
void client_watch(const struct client *c, uint64_t now_us);

void compat_log_attempt(const struct client *c, const char *database, const char *user, const char *replication);
void compat_log_close(const struct client *c, const struct fail *why); /* why: NULL for a client that has left */
