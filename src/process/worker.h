/*
 * src/process/worker.h - a worker: an event loop, and all objects that belong to it. The setting `workers` says how
 * many there are. Each has a thread of its own; worker 0, the main worker, has the main thread. See
 * src/process/README.md.
 *
 * Owns:    its clients, servers and pools, and everything that only these use, mostly in client_env and server_env.
 * Borrows: struct process_shared, the configuration and the log.
 * Always:  a worker's objects are touched only by code on its own loop, or by worker 0 in a halt (see the end of this
 *          file). Fields that other workers use at any time are atomic (pulse) or have a lock (inbox, policy_worker).
 */
#pragma once

#include "admin/console_host.h"
#include "base/buf.h"
#include "client/client.h"
#include "http/http.h"
#include "net/inbox.h"
#include "pool/pool_set.h"
#include "process/process.h"
#include "server/server.h"

#include <stdbool.h>
#include <time.h>

#define TICK_US (100 * US_PER_MS) /* the time between two ticks, for work that each worker does regularly */

/* Numbers that a worker stores at its ticks, and that worker 0 may read at any time (worker_pulse.c). */
struct worker_pulse {
	_Atomic uint64_t at_us; /* when the worker ticked last */
	_Atomic uint64_t turns; /* turns of the event loop since the start */
	_Atomic uint32_t clients, servers;
	_Atomic clockid_t cpu_clock; /* the CPU clock of the worker's thread */
};

/* Facts about a worker that worker 0 derives from the worker's pulse. */
struct worker_watch {
	uint64_t at_us; /* the pulse's at_us when worker 0 looked last */
	uint32_t ticks; /* ticks of worker 0 since the pulse's at_us changed */
	bool is_silent; /* true if the worker has not ticked for about 2 s; this was logged */
	uint64_t cpu_at_us; /* when worker 0 last read the CPU clock, about once per second */
	uint64_t cpu_us; /* the CPU time that the worker's thread had used by then */
	uint32_t cpu_percent; /* share of one processor that the thread used in the second before cpu_at_us */
};

struct worker {
	struct weir *weir;
	struct worker *next; /* the worker with the next number; NULL in the last worker */
	unsigned number; /* counted from 0 */
	struct event_base *base;
	struct inbox *inbox; /* net/inbox.h: notes to this worker */
	uint64_t now_us; /* the time when a callback last read the clock */
	/* this worker's part of the state that all pools share (policy/policy_commons.h) */
	struct policy_worker *policy_part;
	/* posted when reads_on_cluster_reading() is due, because a host has answered or has fallen silent */
	struct wake reading_wake;
	struct wake orders_wake; /* posted when policy_worker_run_orders() is due */
	struct pool_set *pools;
	struct client_env clients;
	struct server_env servers;
	struct server_cancelling *cancelling; /* servers.cancelling points to it */
	struct server_losses losses; /* servers.losses points to it */
	struct process_counters counters;
	/* limits how often refusals are logged; clients.admission points to it. NULL in the main worker, whose
	 * clients.admission is process_shared.admission */
	struct admission *refusals;
	struct event *tick;
	uint64_t last_tick_us;
	/* true if the thread has a higher priority (base/resources.h), because helpers were busy in the last tick */
	bool is_urgent;
	uint64_t helped_us; /* when helpers were last busy */
	struct worker_pulse pulse;
	struct worker_watch watch; /* only for worker 0 */
};

/* Makes a worker that has only its loop and its inbox. Returns NULL with *why set. */
struct worker *worker_new(struct weir *w, unsigned number, struct fail *why);
/* Makes the worker's other parts. Called after process_shared was made. Returns 0, or -1 with *why set. */
int worker_make_parts(struct worker *k, struct fail *why);
/* process_parts.c: fills k->clients and k->servers with shared objects and callbacks. */
void worker_fill_envs(struct worker *k);
/* Returns the worker's share of prepared_statements_cache, in bytes. */
size_t worker_statement_cache_max(const struct worker *k);
/* Passes the present configuration to all parts of k that keep copies of settings or a pointer to it. */
void worker_apply(struct worker *k);
int worker_begin(struct worker *k); /* starts the worker's tick; returns 0, or -1 if there is no memory */
void worker_run_turn(struct worker *k); /* worker_turn.c: waits for events, and runs their callbacks */
uint64_t worker_cpu_us(const struct worker *k); /* returns the CPU time of the worker's thread; for any thread */
/* Called at each tick of the main worker: checks which workers still tick, and sends "WATCHDOG=1" if all do. */
void worker_watch_all(struct weir *w);
void worker_each(struct weir *w, worker_report_fn *row, void *arg); /* calls row() for each worker, for SHOW WORKERS */
/* Workers end in four steps, each of which is done for all workers before the next step begins. First step: closes the
 * worker's servers. */
void worker_close(struct worker *k);
/* Second step: after the helpers have ended, reads the notes that are left in the inbox. Returns true if there were
 * any. Called until it returns false for all workers. */
bool worker_read_last(struct worker *k);
void worker_free_parts(struct worker *k); /* third step: frees the objects that the last notes have used */
void worker_free(struct worker *k); /* last step: frees the loop and k */

/* --- Snapshots (telemetry/snapshot.h) of all workers, for the metrics thread and the console --- */

/* A worker's snapshot, and the note that carries worker 0's request and the worker's answer. */
struct gathered {
	struct note note;
	struct worker *worker;
	struct snapshot *last; /* the newest snapshot that worker 0 has got; NULL if none */
	struct snapshot *fresh; /* a snapshot on its way to worker 0; NULL if none */
	bool is_out; /* true from posting the note until worker 0 has got the answer */
};
struct gathering {
	struct gathered of[WORKERS_MAX]; /* indexed by worker number */
	struct timer check_timer; /* set while the metrics thread waits for a snapshot */
	unsigned wanted; /* the set of tables (http/http.h) for which the metrics thread still waits */
	uint64_t begun_us; /* when worker 0 asked the other workers */
};

/* process_snapshot.c: makes a snapshot of all workers, in a halt. Returns NULL if there is no memory, or no halt. */
struct snapshot *process_snapshot(struct weir *w);
/* Makes a snapshot of one worker. Called on the worker's thread, or in a halt. Returns NULL if there is no memory. */
struct snapshot *process_snapshot_of(struct worker *k);
/* Merges the snapshots of all workers into one, and takes ownership of parts[]. Returns NULL if there is no memory, or
 * if one of parts is NULL. */
struct snapshot *process_merge_snapshots(struct weir *w, struct snapshot **parts, size_t count);

void process_gather_for_http(void *w); /* process_http.c: called on worker 0 when http_wake was posted */
void process_free_gathered(struct weir *w); /* frees the snapshots; called when every gathered.is_out is false */

/*
 * --- worker_threads.c: the threads of all workers but worker 0, and halts. In a halt, all these threads wait, so
 * worker 0 may touch the objects of other workers.
 *
 * Owns:    the threads, and the notes by which they are halted and ended.
 * Borrows: the workers whose loops run on these threads.
 * Always:  only worker 0 begins halts. Outside of a halt, no worker waits for another. With one worker, a halt does
 *          nothing.
 */
struct worker_threads; /* opaque; defined in worker_threads.c */

/* Starts the loops of all workers but worker 0, each on a new thread. Returns NULL with *why set if there is no memory
 * or no thread. */
struct worker_threads *worker_threads_new(struct weir *w, struct fail *why);
/* Ends the threads, each after the turn of its loop, and frees t, which may be NULL. Returns 0, after which worker 0
 * may touch all objects. Returns -1 with *why set if a thread does not end within 5 s; its worker's objects must then
 * not be touched. */
int worker_threads_free(struct worker_threads *t, struct fail *why);
/* Halts all other workers between two callbacks, until worker_threads_end_halt(). In a halt, worker 0 may call any
 * function on any worker's objects. Halts may be nested. Returns 0. Returns -1 with *why set if a worker does not halt
 * within 1 s; no worker is then halted, and further halts fail at once until that worker runs again. */
int worker_threads_halt(struct weir *w, struct fail *why);
void worker_threads_end_halt(struct weir *w); /* ends the innermost halt */
