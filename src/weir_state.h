/*
 * src/weir_state.h - what the process consists of. Only weir*.c see it; all else gets the piece it needs.
 *
 * weir.c starts, runs and ends it; weir_reload.c swaps configurations, weir_rules.c reads what they name; weir_stop.c
 * drains; weir_snapshot.c copies what is counted for the metrics thread.
 */
#ifndef PGWEIR_WEIR_STATE_H
#define PGWEIR_WEIR_STATE_H

#include "admin/console.h"
#include "auth/hba.h"
#include "auth/ident.h"
#include "client/client.h"
#include "config/config.h"
#include "net/handshake.h"
#include "net/listener.h"
#include "net/tls.h"
#include "net/workers.h"
#include "pool/pool_set.h"
#include "pool/tls_store.h"
#include "server/server.h"
#include "telemetry/http.h"
#include "telemetry/slowlog.h"
#include "weir.h"

#define WEIR_LISTENERS_MAX 32
#define WEIR_SIGNALS 6
#define TICK_US (100 * US_PER_MS)

struct weir {
	struct event_base *base;
	struct config *config;
	struct users *users;
	struct hba *hba; /* method = hba; else NULL */
	struct ident *ident;
	struct log *log;
	struct slowlog *slowlog;
	struct http *http;
	struct console *console;
	struct graveyard *graveyard;
	struct dialer *dialer;
	struct workers *workers;
	struct tls_scratch *tls_scratch;
	struct tls_context *tls; /* for clients; NULL: none */
	struct tls_store *server_tls;
	struct pool_set *pools;
	struct server_env servers;
	struct client_env clients;
	struct process_counters counters;
	struct server_cancelling *cancelling;
	struct listener *listeners[WEIR_LISTENERS_MAX];
	struct config_listen listening[WEIR_LISTENERS_MAX]; /* what each listens on */
	struct event *signals[WEIR_SIGNALS], *tick, *http_asks;
	uint8_t *read_buffer;
	uint64_t now_us, last_tick_us, start_wall_us;
	/* stopping */
	bool is_stopping, is_ending;
	bool has_pid_file; /* it is ours */
	uint64_t stop_at_us, close_listeners_at_us;
	/* the last reload */
	bool last_reload_ok;
	uint64_t last_reload_wall_us;
	struct config_problems problems;
};

/* weir_reload.c: 0, or everything stays as it was and why says why. */
int weir_reload(struct weir *w, struct fail *why);
int weir_listen(struct weir *w, const struct config *config, struct fail *why);
int weir_load_users(struct weir *w, const struct config *config, struct users **out, struct fail *why);
/* *out is NULL if clients get no TLS. */
int weir_load_tls(const struct config *config, struct tls_context **out, struct fail *why);
void weir_reopen_logs(struct weir *w);
void weir_apply(struct weir *w);

/* weir_secrets.c: files of secrets that others may read. (users_file is warned of by whoever reads it.) */
void weir_warn_of_secrets(struct weir *w, const struct config *config);

/* weir_rules.c: hba_file and ident_file, NULL if there is none. -1: errors were added to problems, both are NULL. */
int weir_load_rules(const struct config *config, struct hba **hba, struct ident **ident,
		    struct config_problems *problems);
/* weir_user.c: once all that needs root is done. -1 and why: it must not go on. */
int weir_user_check(const struct weir *w, struct fail *why); /* there is a user of this name */
/* As root with run_as: what follows has the rights of that user only, until the latter; false: there was no need. */
int weir_act_as_user(struct weir *w, struct fail *why);
bool weir_act_as_root(struct weir *w);
void weir_give_logs(const struct weir *w); /* made if need be */
int weir_become(struct weir *w, struct fail *why);

/* weir_stop.c */
void weir_stop(struct weir *w, bool at_once);
void weir_stop_tick(struct weir *w);
void weir_stop_if_empty(struct weir *w);

/* weir_snapshot.c. NULL: no memory. */
struct snapshot *weir_snapshot(struct weir *w);

/* weir_notify.c: sd_notify, if there is a service manager that listens. */
void weir_notify(const char *state);

#endif
