/*
 * src/process/process_state.h - the parts of the process. Only this folder includes this header; other code gets
 * pointers to the parts that it needs.
 *
 *   process.c           starts, runs and ends the process; has the callbacks of a restart
 *   process_parts.c     makes the parts that all workers share, and connects them
 *   worker.h            a worker: one of several loops, with its clients, servers and pools
 *   worker_threads.c    the threads on which workers run, and the halt of all workers
 *   process_events.c    signals, and what the process does about every 100 ms
 *   process_reload.c    puts a new configuration in force; process_set.c is the console's SET
 *   process_memory.c    keeps memory below max_memory
 *   process_stop.c      shutdown and SUSPEND
 *   process_http.c      starts the metrics thread (http/http.h); collects the workers' snapshots for it
 *   process_console.c   what console commands do
 *   process_snapshot.c  makes a worker's snapshot (telemetry/snapshot.h)
 *
 * Owns:    all parts of the process. A part borrows the other parts that it needs, and never uses struct weir.
 * Always:  a reload, a SET or a restart that fails changes nothing. Each client, server and pool belongs to one worker.
 *          Other objects belong to worker 0, the main worker, unless they are immutable or have a lock.
 */
#pragma once

#include "console/console.h"
#include "process/worker.h"
#include "restart/restart.h"
#include "setup/setup.h"
#include "telemetry/query_table.h"
#include "telemetry/snapshot.h"

#define PROCESS_SIGNALS 6

/* Settings that the console's SET has changed (process_set.c). */
struct process_overrides {
	struct config_override *list; /* owned, with its texts */
	size_t count;
};

/* The result of the last reload (process_reload.c). */
struct last_reload {
	bool is_ok; /* true if the last reload has succeeded */
	uint64_t wall_us; /* when a reload last succeeded; the time of the start if none has */
	struct config_problems problems; /* problems that the reload has found in the configuration file */
	char **changes; /* lines of text that say what the reload has changed */
	size_t change_count;
	struct process_overrides overrides; /* settings that SET has changed since the reload */
};

/* A stop in progress (process_stop.c). */
struct stopping {
	/* STOP_DELAYED: the listeners close at close_listeners_at_us. STOP_CLOSING: the main worker admits no more
	 * clients; the other workers follow in the next halt. STOP_DRAINING: no worker admits clients, and clients that
	 * are left may finish. STOP_ENDING: the main loop ends. `stage` is atomic, because other workers read it. */
	_Atomic enum { STOP_NONE, STOP_DELAYED, STOP_CLOSING, STOP_DRAINING, STOP_ENDING } stage;
	enum shutdown_how how;
	uint64_t end_at_us; /* when the main loop ends even if clients are left; UINT64_MAX to wait for all clients */
	uint64_t close_listeners_at_us;
};

/* The state of memory (process_memory.c). */
struct memory_watch {
	size_t limit; /* in bytes; 0 if there is no limit */
	bool is_limited; /* false while process_lift_memory_limit() has lifted the limit */
	enum memory_state { MEMORY_AMPLE, MEMORY_SHORT, MEMORY_FULL } state;
	uint64_t short_changed_us; /* when memory was last found to become short, or no longer short */
	uint64_t full_changed_us; /* when memory was last found to become full, or no longer full */
};

/* The metrics thread (process_http.c). */
struct metrics_thread {
	struct http *http; /* NULL if there is no metrics thread */
	struct wake http_wake; /* posted by the metrics thread when process_gather_for_http() is due */
	struct gathering gathering;
};

/* The parts that are made once, for all workers (process_parts.c). */
struct process_shared {
	struct helpers *helpers;
	struct jobs *jobs; /* done() of each job is called on worker 0 */
	struct verifier_cache *verifiers;
	struct admission *admission;
	struct audit *audit;
	struct cancel_keys *keys; /* client/cancel.h */
	struct policy_commons *commons; /* policy/policy_commons.h: caps and circuits */
	struct auth_queries *auth_queries;
	struct fleet *fleet; /* dedicated/fleet.h; on worker 0 */
	struct wake fleet_wake; /* posted when fleet_handle_pool_requests() is due */
	struct watch *watch; /* dedicated/watch.h; on worker 0 */
	struct wake watch_wake; /* posted when watch_tick() is due */
	struct code_registry *code_registry; /* seal/database_code.h */
	struct session_commons *sessions; /* session/session_commons.h; NULL if there is only one worker */
	struct pool_workers *pool_workers; /* pool/pool_workers.h */
	struct pool_set *pools[WORKERS_MAX]; /* the pools of all workers, indexed by worker number */
	_Atomic uint64_t last_id; /* the newest id of a client or server */
	struct shared_cluster_lives lives; /* pool/pool_set.h */
	uint64_t statement_tag; /* a part of prepared statements' names on servers */
	uint64_t snapshot_seed; /* the seed for snapshot_merge() */
};

struct weir {
	/* worker 0, which accepts and admits clients, and has the console, signals and whatever exists once */
	struct worker *main_worker;
	struct worker_threads *threads; /* the threads of the other workers; process/worker.h */
	unsigned worker_count;
	struct pool_split split; /* pool/pool_set.h */
	struct client_env *client_envs[WORKERS_MAX + 1]; /* of all workers, worker 0's first; NULL after the last */
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
	/* the longest time between two messages "WATCHDOG=1" that the service manager accepts from this process; 0 if
	 * it expects none */
	uint64_t watchdog_us;
	uint64_t watchdog_told_us; /* when this process last sent "WATCHDOG=1" */
};

/* process.c: returns true if no server is lent (except for replication), and none is being reset. */
bool process_is_quiet(const struct weir *w);

/* process_reload.c: reloads the configuration file. Returns 0, or -1 with *why set and nothing changed. */
int process_reload(struct weir *w, struct fail *why);
/* Loads the configuration file, with the settings in o in place of the file's, and puts it in force. Returns 0. On
 * failure, changes nothing, and returns -1 with errors in *problems, or with *why set. */
int process_load(struct weir *w, const struct process_overrides *o, struct config_problems *problems, struct fail *why);
void process_reopen_logs(struct weir *w);
void process_apply(struct weir *w); /* passes the present configuration to all parts that keep copies of settings */
void process_forget_reload(struct weir *w); /* frees the members of last_reload */
void process_overrides_fini(struct process_overrides *o);

/* Opens the sockets for SQL and HTTP again after a successor has failed. Returns 0, or -1 with *why set. */
int process_listen_again(struct weir *w, struct fail *why);

/* process_http.c: starts the metrics thread if the configuration asks for one. Returns 0, or -1 with *why set. */
int process_start_http(struct weir *w, struct fail *why);
void process_stop_http(struct weir *w); /* does nothing if there is no metrics thread */

/* process_parts.c: makes all parts. Returns 0, or -1 with *why set. The caller calls process_free_parts() in either
 * case. */
int process_make_parts(struct weir *w, struct fail *why);
bool process_free_parts(struct weir *w); /* returns what process_free() returns */

/* process_events.c: begins to handle signals, and starts the ticks of all workers. Returns 0, or -1 with *why set. The
 * caller calls process_ignore_events() in either case. */
int process_watch_events(struct weir *w, struct fail *why);
void process_ignore_events(struct weir *w); /* no longer handles signals */
void process_tick(struct weir *w); /* called about every 100 ms, after the main worker's own tick */

/* process_console.c: makes the console, with the callbacks of struct console_host. */
struct console *process_console_new(struct weir *w);
/* Pauses one database, or all if database is NULL. Returns 0, or -1 with *why set if there is no memory, or a worker
 * does not answer. */
int process_pause(struct weir *w, const char *database, struct fail *why);
/* Ends a PAUSE of this database or, if database is NULL, every PAUSE and SUSPEND. Returns 0, or -1 with *why set. */
int process_resume(struct weir *w, const char *database, struct fail *why);
void process_console_message(struct exchange *x, uint8_t type, const uint8_t *body, size_t len); /* for exchange_ops */
void process_console_closed(void *owner, struct client *c); /* a callback for client_env */
/* Begins a restart, in which another process takes over from this one. Returns 0, or -1 with *why set. */
int process_restart(struct weir *w, struct fail *why);

/* process_set.c: changes a setting until the next reload, or restores the file's value if value is NULL. Sets
 * notice->text to the text of a NOTICE, or to "". Returns 0, or -1 with *why set. */
int process_set(struct weir *w, const char *name, const char *value, struct fail *notice, struct fail *why);

/* process_memory.c: lifts the limit on memory before a configuration is loaded. The next process_watch_memory() sets
 * the limit again. Returns 0, or -1 with *why set (53200) if there is no room for a second configuration. */
int process_lift_memory_limit(struct weir *w, struct fail *why);
void process_watch_memory(struct weir *w); /* called about every 100 ms */

/* process_stop.c: begins a stop; if one is in progress, changes it to `how`. */
void process_stop(struct weir *w, enum shutdown_how how);
/* Returns true if a stop waits until all transactions have ended, as PgBouncer does: with COMPAT_STOPS_PATIENTLY, if
 * shutdown_timeout is at least 1d. */
bool process_is_patient(const struct weir *w);
/* Suspends all workers, or resumes them if on is false. Returns 0, or -1 with *why set if a worker does not answer. */
int process_suspend(struct weir *w, bool on, struct fail *why);
void process_stop_tick(struct weir *w); /* called about every 100 ms; continues a stop */
void process_stop_if_empty(struct weir *w); /* ends the main loop if a stop has no more clients to wait for */
void process_end(struct weir *w); /* ends the main loop */
