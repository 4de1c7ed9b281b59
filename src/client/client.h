/*
 * src/client/client.h - one application connection: its life, from accept() to its last byte.
 *
 *   client.c           accepted, read, closed
 *   client_timeouts.c  limits on time
 *   cancel.c           CancelRequests
 *   cancel_sql.c       pg_cancel_backend() and pg_terminate_backend() of what clients were told is their PID
 *
 * What it talks about with servers is its exchange (exchange/exchange.h), which relay/ drives. Who it is, and whether
 * it may come in, is found out by login/, which this folder reaches through struct client_front.
 */
#ifndef PGWEIR_CLIENT_CLIENT_H
#define PGWEIR_CLIENT_CLIENT_H

#include "admission/admission.h"
#include "exchange/exchange.h"

#include <netinet/in.h>

struct client;
struct client_env;
struct client_login; /* login/login_state.h: while logging in */
struct client_cancel; /* cancel.c */
struct verifier_cache; /* lookup/verifier_cache.h */
struct hba; /* auth/hba.h */
struct ident; /* auth/ident.h */
struct users; /* auth/users.h */
struct long_key; /* cancel.c */
struct workers; /* net/workers.h */
struct tls_context; /* net/tls.h */
struct tls_scratch; /* net/handshake.h */

/* What login/ does for a client that logs in, and when it goes. */
struct client_front {
	bool (*begin)(struct client *c); /* accepted; false: closed, or not to be read yet */
	/* Handles or keeps all of it, and wipes bytes: they may hold a password. */
	void (*bytes)(struct client *c, const uint8_t *bytes, size_t len);
	void (*check_time)(struct client *c, uint64_t now_us); /* while it logs in, about every 100 ms; may close it */
	void (*tick)(struct client_env *env, uint64_t now_us); /* about every 100 ms */
	void (*leave)(struct client *c); /* it is closed: what login keeps of it ends */
};

/* What all clients of one loop share. Owned by struct weir. */
struct client_env {
	struct exchange_env x;
	const struct client_front *front;
	struct workers *workers;
	struct tls_scratch *tls_scratch;
	struct tls_context *tls; /* of the present configuration; NULL: clients get none */
	uint8_t *read_buffer;
	size_t read_cap;
	struct verifier_cache *verifiers;
	struct admission *admission;
	struct users *users; /* the present ones, as of hba and ident; a reload replaces them */
	struct hba *hba; /* method = hba; else NULL */
	struct ident *ident; /* or NULL */
	uint8_t mock_secret[32];
	TAILQ_HEAD(client_list, client) clients;
	/* Of them; cancel and console connections do not count as clients. */
	uint32_t client_count, login_count, cancel_count;
	struct client **keyed; /* by cancel key: lists along key_next */
	uint32_t keyed_cap, keyed_count; /* cap: 0 or a power of two */
	uint32_t random[64], random_left; /* for cancel keys */
	uint64_t last_id;
	bool is_client_idle_limited;
	void (*on_console_closed)(void *up, struct client *c);
	void (*on_client_gone)(void *up); /* after each close: a drain may be over */
};

struct client {
	struct exchange x; /* first: see client_of() */
	struct grave grave;
	struct client_env *env;
	TAILQ_ENTRY(client) all;
	struct client_cancel *cancels; /* of what it runs; see cancel.c */
	union {
		struct client_login *login;
		void *console; /* the console's own */
		struct client_cancel *cancel;
	};
	struct admission_ticket admission; /* what it counts as */
	bool has_long_key;
	bool is_unix;
	bool is_stats_only; /* console: may only SHOW */
	bool is_counted; /* in env->client_count */
	union {
		struct client *key_next; /* of those with the same hash */
		struct long_key *long_key; /* holds the rest of the secret, and key_next */
	};
	uint64_t connected_us;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
	uint32_t cancel_secret; /* all of it, or its beginning; its pid is x.told_pid, 0: none yet */
};

/* The client whose exchange this is; x: not NULL. */
static inline struct client *
client_of(const struct exchange *x)
{
	return (struct client *)(uintptr_t)x;
}

/* A new connection; takes fd. peer may be a Unix address. */
void client_accept(struct client_env *env, int fd, const struct sockaddr *peer, bool is_unix);
/* exchange_ops: */
void client_close_exchange(struct exchange *x, const struct fail *why);
void client_exchange_peer(const struct exchange *x, char *out, size_t out_cap);
/* Tells it (FATAL, if why is given), closes; its server is returned, reset or closed as its state demands. */
void client_close(struct client *c, const struct fail *why);
/*
 * For a client with a server: is something of its own under way there, or held back until it may be? since_us: since
 * when, not counting its time in the line and the requests before it.
 */
bool client_is_served(const struct client *c, uint64_t *since_us);
/* "10.0.0.7:51514" or "unix". */
void client_peer_text(const struct client *c, char *out, size_t out_cap);
/* idle, active, waiting: for SHOW and metrics. */
enum { CLIENT_IS_LOGIN, CLIENT_IS_IDLE, CLIENT_IS_ACTIVE, CLIENT_IS_WAITING };
int client_activity(const struct client *c);
/* About every 100 ms: login, query, transaction and idle limits. */
void clients_tick(struct client_env *env, uint64_t now_us);
/* SIGTERM: those between transactions are told 57P01 and closed now, others when their transaction ends. */
void clients_drain(struct client_env *env);
struct client *client_find_id(struct client_env *env, uint64_t id);

#endif
