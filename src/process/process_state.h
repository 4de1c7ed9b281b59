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
#include "server/server.h"
#include "setup/listeners.h"
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

struct successor; /* restart/successor.c */
struct moving; /* restart/moving.h */
struct predecessor; /* restart/predecessor.c */

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
	/* a restart without a gap: restart/handover.h */
	char *const *argv; /* of this process; NULL: it can't have a successor */
	struct successor *successor; /* while this process moves its clients there; or NULL */
	struct moving *moving; /* the successor's; or NULL */
	struct predecessor *predecessor; /* while clients come from there; or NULL */
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

/* process.c: from now on clients are accepted here. */
void weir_serve(struct weir *w);

uint64_t weir_normalize(const char *sql, size_t sql_len, unsigned options, char *out,
			size_t out_cap); /* client_env.normalize */

/* process_console.c */
struct console *weir_console_new(struct weir *w);
void weir_resume(struct weir *w, const char *database); /* NULL: all, and after SUSPEND, too */
void weir_console_message(struct exchange *x, uint8_t type, const uint8_t *body, size_t len); /* exchange_ops */
void weir_console_closed(void *up, struct client *c); /* client_env */

/* restart/successor.c: a restart in which this process goes. */
int weir_restart(struct weir *w, struct fail *why); /* begins it. Returns 0, or -1 with *why set */
/* Whether clients can be held back: not while another process has some, too. Returns 0, or -1 with *why set. */
int weir_may_hold(struct weir *w, struct fail *why);
void weir_forget_successor(struct weir *w); /* fine if there is none */
void weir_abandon_successor(struct weir *w); /* this process stops: one that is not ready yet is given up */
void weir_successor_tick(struct weir *w); /* about every 100 ms */
void weir_end_if_moved(struct weir *w);
/* A message of restart/handover.h, once clients move there. Returns false: there is nobody to tell. */
bool weir_send_successor(struct weir *w, uint8_t type, const void *body, size_t len);

/* restart/moving.c; more of it: restart/moving.h. */
void weir_client_gone_moving(struct weir *w, const struct client *c);
void weir_client_released(struct exchange *x); /* exchange_ops */
void weir_crossing_heard(struct exchange *x);

/* restart/predecessor.c: a restart in which this process comes. */
/* Gets the sockets that the old process listens on from the other end of fd, which is taken. -1: *why is set. */
int weir_meet_predecessor(struct weir *w, int fd, struct fail *why);
void weir_forget_predecessor(struct weir *w); /* fine if there is none */
void weir_tell_failure(const struct weir *w, int fd,
		       const struct fail *why); /* fd: as weir_meet_predecessor() got it */
void weir_predecessor_tick(struct weir *w); /* about every 100 ms */
bool weir_has_predecessor(const struct weir *w); /* clients still come from there */
bool weir_predecessor_lives(const struct weir *w); /* the process itself is still there */
bool weir_is_waiting_for_go(const struct weir *w); /* nothing may be accepted yet */
void weir_tell_ready(struct weir *w);
void weir_newcomer_heard(struct exchange *x);
void weir_newcomer_gone(struct weir *w, const struct client *c);
bool weir_send_predecessor(struct weir *w, uint8_t type, const void *body, size_t len); /* weir_send_successor() */
void weir_stop_predecessor(struct weir *w, enum shutdown_how how);

/* restart/far_cancel.c: cancel requests that the other process of a restart may know. */
bool weir_strange_cancel(void *up, struct client *asker, uint32_t pid, const uint8_t *key,
			 size_t key_len); /* client_env */
void weir_far_cancel_over(void *up, uint64_t number); /* client_env */
void weir_heard_cancel(struct weir *w, uint8_t type, const uint8_t *body, size_t len); /* HANDOVER_CANCEL... has come */
void weir_end_far_cancels(struct weir *w); /* the other process is gone: nobody will answer */

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
