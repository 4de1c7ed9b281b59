/*
 * src/process/process_state.h - the parts of the process. Only this folder includes it; other folders get the part that
 * they need.
 *
 *   process.c           starts, runs and ends the process; what it does for a restart
 *   process_parts.c     makes what all workers share, and connects it
 *   worker.h            a worker: one of several loops, with its clients, servers and pools
 *   worker_threads.c    the threads on which workers run, and the halt of all workers
 *   process_events.c    signals, and what the process does about every 100 ms
 *   process_reload.c    swaps configurations; process_set.c is the console's SET
 *   process_memory.c    watches max_memory
 *   process_stop.c      shutdown and SUSPEND
 *   process_http.c      starts the metrics thread; has all workers copy their numbers
 *   process_console.c   what console commands do
 *   process_snapshot.c  copies numbers for the metrics thread
 *
 * Owns:    all parts of the process. A part borrows what it needs, and never looks into struct weir.
 * Always:  one configuration is in force; a reload, a SET or a restart that fails leaves everything as it was. Each
 *          client, server and pool belongs to one worker. Objects without a worker belong to worker 0, the main worker,
 *          unless they have a lock or never change.
 */
#pragma once

#include "console/console.h"
#include "process/worker.h"
#include "restart/restart.h"
#include "setup/setup.h"
#include "telemetry/query_table.h"
#include "telemetry/snapshot.h"

#define PROCESS_SIGNALS 6

/* Values given by the console's SET (process_set.c). */
struct process_overrides {
	struct config_override *list; /* the texts are owned */
	size_t count;
};

/* The result of the last reload (process_reload.c). */
struct last_reload {
	bool is_ok;
	uint64_t wall_us;
	struct config_problems problems; /* of the file, as it was read at that reload */
	char **changes; /* what that reload changed, in words */
	size_t change_count;
	struct process_overrides overrides; /* values that were given by SET since that reload */
};

/* A stop in progress (process_stop.c). */
struct stopping {
	/* STOP_DELAYED: the listeners close at close_listeners_at_us. STOP_CLOSING: the main worker admits no more
	 * clients, and the next halt begins the drain of all workers. STOP_DRAINING: clients may finish. STOP_ENDING:
	 * the main loop ends. Other workers read the stage. */
	_Atomic enum { STOP_NONE, STOP_DELAYED, STOP_CLOSING, STOP_DRAINING, STOP_ENDING } stage;
	enum shutdown_how how;
	uint64_t end_at_us, close_listeners_at_us;
};

/* The state of memory (process_memory.c). */
struct memory_watch {
	size_t limit; /* in bytes; 0 if there is no limit */
	bool is_limited; /* true if `limit` was computed by memory_set_limit() for the present configuration */
	enum memory_state { MEMORY_AMPLE, MEMORY_SHORT, MEMORY_FULL } state;
	uint64_t short_us; /* when memory last became short, or ample again (full memory is short, too) */
	uint64_t full_us; /* when memory last became full, or stopped being full */
};

/* The metrics thread (process_http.c). */
struct metrics_thread {
	struct http *http; /* NULL if there is no metrics thread */
	struct wake asks; /* the metrics thread wants something: process_answer_http() is due */
	struct gathering gathering;
};

/* The parts that are made once, for all workers (process_parts.c). */
struct process_shared {
	struct helpers *helpers;
	struct jobs *jobs; /* their results come back to worker 0 */
	struct verifier_cache *verifiers;
	struct admission *admission;
	struct audit *audit;
	struct cancel_keys *keys; /* client/cancel.h */
	struct policy_commons *commons; /* policy/policy_commons.h: caps and circuits */
	struct auth_queries *auth_queries;
	struct fleet *fleet; /* dedicated/fleet.h; on worker 0 */
	struct wake fleet_wake; /* fleet_run_orders() is due */
	struct watch *watch; /* dedicated/watch.h; on worker 0 */
	struct wake watch_wake; /* watch_tick() is due */
	struct code_registry *code_registry; /* seal/database_code.h */
	struct session_commons *sessions; /* session/session_commons.h; NULL if there is only one worker */
	struct pool_workers *pool_workers; /* pool/pool_workers.h */
	struct pool_set *pools[WORKERS_MAX]; /* the pools of all workers, by worker number */
	_Atomic uint64_t last_id; /* the id that a client or a server got last */
	struct shared_cluster_lives lives; /* pool/pool_set.h */
	uint64_t statement_tag; /* a part of the names of prepared statements on servers */
	uint64_t snapshot_seed;
};

struct weir {
	/* Worker 0, which accepts and admits clients, and has the console, the signals and everything else that exists
	 * once in a process. */
	struct worker *main_worker;
	struct worker_threads *threads; /* the threads of the other workers; process/worker.h */
	unsigned worker_count;
	struct pool_split split; /* pool/pool_set.h */
	/* all workers' envs, the main worker's first; ends with NULL */
	struct client_env *client_envs[WORKERS_MAX + 1];
	struct process_shared shared;
	uint64_t start_wall_us;
	struct config *config;
	struct setup_files files; /* the contents of the files that config names */
	struct log *log;
	void *modules[MODULE_COUNT + 1]; /* the modules' states: config/module.h */
	struct listeners *listeners;
	struct query_table *queries;
	struct console *console;
	struct restart *restart;
	struct event *signals[PROCESS_SIGNALS];
	struct metrics_thread metrics;
	struct memory_watch memory;
	struct stopping stopping;
	struct last_reload last_reload;
	bool has_pid_file; /* true if this process has written the pid file */
	/* how often the service manager expects "WATCHDOG=1" from this process; 0 if never, or if it watches another
	 * process */
	uint64_t watchdog_us;
	uint64_t watchdog_told_us; /* when this process last sent it */
};

/* process.c: returns true if no server is lent (except for replication) or being reset. */
bool process_is_quiet(const struct weir *w);

/* process_reload.c: reloads the configuration file. Returns 0, or -1 with *why set; everything then stays as it was. */
int process_reload(struct weir *w, struct fail *why);
/* Loads the configuration file with the values of o in place of the file's, checks it and takes it over. Returns 0, or
 * -1 with errors in problems, or with *why set. */
int process_load(struct weir *w, const struct process_overrides *o, struct config_problems *problems, struct fail *why);
void process_reopen_logs(struct weir *w);
void process_apply(struct weir *w); /* passes the present configuration to all parts that keep values of it */
void process_forget_reload(struct weir *w); /* frees what last_reload holds */
void process_overrides_fini(struct process_overrides *o);

/* Opens the sockets for SQL and HTTP again after they were given to a successor. Returns 0, or -1 with *why set. */
int process_listen_again(struct weir *w, struct fail *why);

/* process_http.c: starts the metrics thread if the configuration asks for one. Returns 0, or -1 with *why set. */
int process_start_http(struct weir *w, struct fail *why);
void process_stop_http(struct weir *w); /* does nothing if there is no metrics thread */

/* process_parts.c: makes all parts. Returns 0, or -1 with *why set. The caller calls process_free_parts() in either
 * case. */
int process_make_parts(struct weir *w, struct fail *why);
bool process_free_parts(struct weir *w); /* returns what process_free() returns */

/* process_events.c: begins to handle signals and the workers' ticks. Returns 0, or -1 with *why set. The caller calls
 * process_ignore_events() in either case. */
int process_watch_events(struct weir *w, struct fail *why);
void process_ignore_events(struct weir *w);
void process_tick(struct weir *w); /* about every 100 ms, after the main worker's own tick */

/* process_console.c: makes the console with its callbacks. */
struct console *process_console_new(struct weir *w);
/* PAUSE and RESUME of one database, or of all if database is NULL; RESUME of all also ends a SUSPEND. Each returns 0,
 * or -1 with *why set if there is no memory, or if a worker does not answer. */
int process_pause(struct weir *w, const char *database, struct fail *why);
int process_resume(struct weir *w, const char *database, struct fail *why);
void process_console_message(struct exchange *x, uint8_t type, const uint8_t *body, size_t len); /* exchange_ops */
void process_console_closed(void *owner, struct client *c); /* a callback of client_env */
/* Begins a restart, in which another process takes over from this one. Returns 0, or -1 with *why set. */
int process_restart(struct weir *w, struct fail *why);

/* process_set.c: the console's SET. If value is NULL, brings back the file's value. *notice gets the text of a NOTICE;
 * empty if there is nothing to say. Returns 0, or -1 with *why set. */
int process_set(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why);

/* process_memory.c: suspends the memory limit while a configuration is loaded, if there is room for that. Returns 0, or
 * -1 with *why set (53200). */
int process_make_room(struct weir *w, struct fail *why);
void process_watch_memory(struct weir *w); /* called about every 100 ms */

/* process_stop.c: begins a stop, or replaces one that has begun. */
void process_stop(struct weir *w, enum shutdown_how how);
/* Returns true if a stop waits for clients without a limit, as PgBouncer does: the configuration is a pgbouncer.ini
 * whose shutdown_timeout is not below 1d. */
bool process_is_patient(const struct weir *w);
/* Suspends all workers if on is true, else resumes them. Returns 0, or -1 with *why set */
int process_suspend(struct weir *w, bool on, struct fail *why);
void process_stop_tick(struct weir *w);
void process_stop_if_empty(struct weir *w);
void process_end(struct weir *w); /* ends the main loop */
