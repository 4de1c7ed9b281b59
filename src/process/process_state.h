/*
 * src/process/process_state.h - what the process consists of. Only this folder sees it; everybody else gets the
 * piece it needs.
 *
 *   process.c           starts, runs and ends it; the restart's host
 *   process_parts.c     makes what all workers share, and connects it
 *   worker.h            one loop of several, with its clients, servers and pools
 *   worker_threads.c    the threads on which they run, and the halt of all of them
 *   process_events.c    signals, and what the process does about every 100 ms
 *   process_reload.c    swaps configurations; process_set.c is the console's SET
 *   process_memory.c    watches max_memory
 *   process_stop.c      shutdown and SUSPEND
 *   process_http.c      the metrics thread; has all workers take their numbers
 *   process_console.c   what console commands do
 *   process_snapshot.c  copies numbers for that thread
 *
 * Owns:    all parts of the process. They borrow from struct weir what they need, and don't look into it.
 * Always:  one configuration is in force; a reload, a SET or a restart that fails leaves everything as it was. Each
 *          client, server and pool belongs to one worker. What has no worker belongs to worker 0, the main worker,
 * unless it has a lock or is never changed.
 */
#pragma once

#include "console/console.h"
#include "process/worker.h"
#include "restart/restart.h"
#include "setup/setup.h"
#include "telemetry/query_table.h"
#include "telemetry/snapshot.h"

#define PROCESS_SIGNALS 6

/* Values given by the console's SET: process_set.c. */
struct process_overrides {
	struct config_override *list; /* with texts of their own */
	size_t count;
};

/* process_reload.c */
struct last_reload {
	bool is_ok;
	uint64_t wall_us;
	struct config_problems problems; /* of the file, as it was read then */
	char **changes; /* what it changed, in words */
	size_t change_count;
	struct process_overrides overrides; /* since then */
};

/* process_stop.c */
struct stopping {
	/* DELAYED: the listeners close at close_listeners_at_us. CLOSING: the main worker is to be closed, which
	 * clients of all workers are told. ENDING: the loop ends. Other workers read it. */
	_Atomic enum { STOP_NONE, STOP_DELAYED, STOP_CLOSING, STOP_DRAINING, STOP_ENDING } stage;
	enum shutdown_how how;
	uint64_t end_at_us, close_listeners_at_us;
};

/* process_memory.c */
struct memory_watch {
	size_t limit; /* bytes; 0: none */
	bool is_limited; /* by the present configuration: memory_limit() */
	enum memory_state { MEMORY_AMPLE, MEMORY_SHORT, MEMORY_FULL } state;
	uint64_t short_us, full_us; /* since when it is so (full is short, too), or not so */
};

/* process_http.c */
struct metrics_thread {
	struct http *http; /* NULL: there is none */
	struct wake asks; /* it wants something of the loop: process_http_asks() is due */
	struct gathering gathering;
};

/* Made once, for all workers: process_parts.c. */
struct process_shared {
	struct helpers *helpers;
	struct jobs *jobs; /* come back to worker 0 */
	struct verifier_cache *verifiers;
	struct admission *admission;
	struct audit *audit;
	struct cancel_keys *keys; /* client/cancel.h */
	struct policy_commons *commons; /* policy/policy_commons.h: caps and circuits */
	struct auth_queries *auth_queries;
	struct fleet *fleet; /* dedicated/fleet.h; worker 0's */
	struct wake fleet_wake; /* fleet_run_orders() is due */
	struct watch *watch; /* dedicated/watch.h; worker 0's */
	struct wake watch_wake; /* watch_tick() is due */
	struct code_news *news; /* seal/database_code.h */
	struct session_commons *sessions; /* session/session_commons.h; NULL: there is one worker */
	struct pool_workers *pool_workers; /* pool/pool_workers.h */
	struct pool_set *pools[WORKERS_MAX]; /* of all workers, by number */
	_Atomic uint64_t last_id; /* of clients and servers */
	struct shared_lives lives; /* pool/pool_set.h */
	uint64_t statement_tag; /* in the names of statements on servers */
	uint64_t snapshot_seed;
};

struct weir {
	/* Worker 0: accepts, admits, and has the console, signals and all else that happens once in a process. */
	struct worker *main_worker;
	struct worker_threads *threads; /* of the others; process/worker.h */
	unsigned worker_count;
	struct pool_split split; /* pool/pool_set.h */
	struct client_env *crew[WORKERS_MAX + 1]; /* of all workers, the main worker's first; NULL ends them */
	struct process_shared shared;
	uint64_t start_wall_us;
	struct config *config;
	struct setup_files files; /* that it names */
	struct log *log;
	void *modules[MODULE_COUNT + 1]; /* their states: config/module.h */
	struct listeners *listeners;
	struct query_table *queries;
	struct console *console;
	struct restart *restart;
	struct event *signals[PROCESS_SIGNALS];
	struct metrics_thread metrics;
	struct memory_watch memory;
	struct stopping stopping;
	struct last_reload last_reload;
	bool has_pid_file; /* we wrote it */
	/* How often the service manager wants to hear of this process, and when it did. 0: not, or of another one. */
	uint64_t watchdog_us, watchdog_told_us;
};

/* process.c. Returns true if no server is lent (but for replication) or being cleaned. */
bool process_is_quiet(const struct weir *w);

/* process_reload.c: return 0, or -1 with *why set; everything then stays as it was. */
int process_reload(struct weir *w, struct fail *why);
/* The file with these over it is loaded, checked and taken over. -1: errors are in problems, or why says why. */
int process_load(struct weir *w, const struct process_overrides *o, struct config_problems *problems, struct fail *why);
void process_reopen_logs(struct weir *w);
void process_apply(struct weir *w); /* passes the present configuration to all parts that keep some of it */
void process_forget_reload(struct weir *w); /* frees what is known of it */
void process_overrides_fini(struct process_overrides *o);

/* Listens, for SQL and HTTP, after these sockets were given away: as above. */
int process_listen_again(struct weir *w, struct fail *why);

/* process_http.c: starts the metrics thread, if it is wanted. Returns 0, or -1 with *why set. */
int process_start_http(struct weir *w, struct fail *why);
void process_stop_http(struct weir *w); /* fine if there is none */

/* process_parts.c: returns 0, or -1 with *why set. They are to be freed in either case. */
int process_make_parts(struct weir *w, struct fail *why);
bool process_free_parts(struct weir *w); /* likewise process_free() */

/* process_events.c: returns 0, or -1 with *why set. They are to be ignored in either case. */
int process_watch_events(struct weir *w, struct fail *why);
void process_ignore_events(struct weir *w);
void process_tick(struct weir *w); /* about every 100 ms, behind the main worker's own tick */

/* process_console.c */
struct console *process_console_new(struct weir *w);
/* database NULL: all; RESUME ends a SUSPEND then, too. 0, or -1 with *why set: no memory, or a worker is silent. */
int process_pause(struct weir *w, const char *database, struct fail *why);
int process_resume(struct weir *w, const char *database, struct fail *why);
void process_console_message(struct exchange *x, uint8_t type, const uint8_t *body, size_t len); /* exchange_ops */
void process_console_closed(void *owner, struct client *c); /* client_env */
/* Begins a restart in which this process goes. Returns 0, or -1 with *why set. */
int process_restart(struct weir *w, struct fail *why);

/* process_set.c */
/* The console's SET; value NULL: as in the file. notice: what else is to be said; its text is empty if nothing is. */
int process_set(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why);

/* process_memory.c */
/* Lifts the limits for a load of the configuration, if there is room. Returns 0, or -1 with *why set (53200). */
int process_make_room(struct weir *w, struct fail *why);
void process_watch_memory(struct weir *w); /* about every 100 ms */

/* process_stop.c */
void process_stop(struct weir *w, enum shutdown_how how); /* also in place of a stop that has begun */
/* Returns true if a stop waits for clients as PgBouncer does: unless its file sets a shutdown_timeout below 1d. */
bool process_is_patient(const struct weir *w);
int process_suspend(struct weir *w, bool on, struct fail *why); /* SUSPEND, RESUME. Returns 0, or -1 with *why set */
void process_stop_tick(struct weir *w);
void process_stop_if_empty(struct weir *w);
void process_end(struct weir *w); /* leaves the loop */
