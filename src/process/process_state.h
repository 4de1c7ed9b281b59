/*
 * src/process/process_state.h - what the process consists of. Only the process and its restart see it; everybody else
 * gets the piece it needs.
 *
 * process.c starts, runs and ends it; process_reload.c swaps configurations, setup/files.c reads what they name;
 * process_stop.c drains; process_snapshot.c copies what is counted for the metrics thread.
 */
#ifndef PGWEIR_WEIR_STATE_H
#define PGWEIR_WEIR_STATE_H

#include "admin/console.h"
#include "client/client.h"
#include "config/config.h"
#include "net/handshake.h"
#include "net/workers.h"
#include "pool/pool_set.h"
#include "restart/restart.h"
#include "server/server.h"
#include "setup/setup.h"
#include "telemetry/http.h"
#include "telemetry/slowlog.h"
#include "process/process.h"

#define WEIR_SIGNALS 6
#define TICK_US (100 * US_PER_MS)

/* What the console's SET has set: process_set.c. */
struct weir_overrides {
	struct config_override *list; /* with texts of their own */
	size_t count;
};

struct weir {
	struct event_base *base;
	struct config *config;
	struct setup_files files;
	struct log *log;
	struct slowlog *slowlog;
	struct query_table *queries; /* telemetry/query_table.h */
	struct http *http;
	struct console *console;
	struct graveyard *graveyard;
	struct dialer *dialer;
	struct passwords *passwords;
	struct hosts *hosts;
	struct workers *workers;
	struct tls_scratch *tls_scratch;
	struct pool_set *pools;
	struct server_env servers;
	struct client_env clients;
	struct process_counters counters;
	struct server_cancelling *cancelling;
	struct server_losses losses;
	struct listeners *listeners;
	struct restart *restart;
	struct event *signals[WEIR_SIGNALS], *tick, *http_asks;
	uint8_t *read_buffer;
	/* process_memory.c */
	size_t memory_limit; /* bytes; 0: none */
	bool is_memory_full;
	uint64_t memory_short_us, memory_full_us; /* since when it is so, or not so */
	uint64_t now_us, last_tick_us, start_wall_us;
	/* stopping */
	bool is_stopping, is_ending;
	enum shutdown_how stopping_how;
	bool has_pid_file; /* we wrote it */
	uint64_t stop_at_us, close_listeners_at_us;
	/* the last reload */
	bool last_reload_ok;
	uint64_t last_reload_wall_us;
	struct config_problems problems; /* of the file, as it was read then */
	struct weir_overrides overrides; /* until the next one */
	char **changes; /* what it changed, in words */
	size_t change_count;
};

/* process_reload.c: return 0, or -1 with *why set; everything then stays as it was. */
int weir_reload(struct weir *w, struct fail *why);
/* The file with these over it is loaded, checked and taken over. -1: errors are in problems, or why says why. */
int weir_load(struct weir *w, const struct weir_overrides *o, struct config_problems *problems, struct fail *why);
void weir_reopen_logs(struct weir *w);
void weir_apply(struct weir *w);
void weir_forget_changes(struct weir *w);

/* Listens, for SQL and HTTP, after these sockets were given away. Returns 0, or -1 with *why set. */
int weir_listen_again(struct weir *w, struct fail *why);

/* process_http.c: starts the metrics thread, if it is wanted. Returns 0, or -1 with *why set. */
int weir_start_http(struct weir *w, struct fail *why);
void weir_stop_http(struct weir *w); /* another process has its socket now */

uint64_t weir_normalize(const char *sql, size_t sql_len, unsigned options, char *out,
			size_t out_cap); /* client_env.normalize */

/* process_console.c */
struct console *weir_console_new(struct weir *w);
void weir_resume(struct weir *w, const char *database); /* NULL: all, and after SUSPEND, too */
void weir_console_message(struct exchange *x, uint8_t type, const uint8_t *body, size_t len); /* exchange_ops */
void weir_console_closed(void *up, struct client *c); /* client_env */

/* A restart in which this process goes: begins it. Returns 0, or -1 with *why set. */
int weir_restart(struct weir *w, struct fail *why);

/* process_set.c */
/* The console's SET; value NULL: as in the file. notice: what else is to be said; its text is empty if nothing is. */
int weir_set(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why);
void weir_overrides_fini(struct weir_overrides *o);

/* process_memory.c */
void weir_limit_memory(struct weir *w); /* by the present configuration */
void weir_watch_memory(struct weir *w); /* about every 100 ms */

/* process_stop.c */
void weir_stop(struct weir *w, enum shutdown_how how);
void weir_suspend(struct weir *w, bool on); /* SUSPEND, RESUME */
void weir_stop_tick(struct weir *w);
void weir_stop_if_empty(struct weir *w);
void weir_end(struct weir *w); /* leaves the loop */

/* process_snapshot.c. Returns NULL without memory. */
struct snapshot *weir_snapshot(struct weir *w);

#endif
