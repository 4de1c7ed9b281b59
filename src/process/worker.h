/*
 * src/process/worker.h - a worker: a loop, and all that lives on it. The setting `workers` says how many there are,
 * each on a thread of its own; the first is the main worker, whose loop runs on the process's main thread. See
 * src/process/README.md.
 *
 * Owns:    its clients, servers and pools, and everything that only these use; most of that is in the envs.
 * Borrows: what all workers share (struct process_shared), the configuration and the log.
 * Always:  a worker's objects are touched only by code on its own loop, or by worker 0 in a halt (worker_threads.c).
 *          Fields that other workers use at any time are atomic (pulse) or have a lock (inbox, policy worker).
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

#define TICK_US (100 * US_PER_MS)

/* Numbers that a worker stores at its ticks, for worker 0 to read at any time (worker_pulse.c). */
struct worker_pulse {
	_Atomic uint64_t at_us; /* when the worker ticked last */
	_Atomic uint64_t turns;
	_Atomic uint32_t clients, servers;
	_Atomic clockid_t cpu_clock; /* the CPU clock of the worker's thread */
};

/* The conclusions that worker 0 has drawn from the worker's pulse. */
struct worker_watch {
	uint64_t at_us; /* the pulse's at_us when worker 0 looked last */
	uint32_t ticks; /* ticks of worker 0 since the pulse's at_us changed */
	bool is_silent; /* true if the worker has not ticked for about 2 s; the log says so */
	uint64_t cpu_at_us, cpu_us; /* when worker 0 looked last, and the CPU time that the thread had used by then */
	uint32_t cpu_percent; /* of one processor, in the last second */
};

struct worker {
	struct weir *weir;
	struct worker *next; /* the worker with the next number; NULL in the last worker */
	unsigned number; /* counted from 0 */
	struct event_base *base;
	struct inbox *inbox; /* net/inbox.h: notes to this worker */
	uint64_t now_us; /* the time of this turn of the loop */
	struct policy_worker *worker; /* the worker's part in the caps and circuits of all workers */
	struct wake reading; /* posted when a host has answered or fallen silent: reads_on_reading() is due */
	struct wake orders; /* posted when policy_worker_run_orders() is due */
	struct pool_set *pools;
	struct client_env clients;
	struct server_env servers;
	struct server_cancelling *cancelling; /* servers.cancelling points to it */
	struct server_losses losses; /* servers.losses points to it */
	struct process_counters counters;
	/* limits how often a refusal is logged: clients.admission points to it; NULL in the main worker */
	struct admission *refusals;
	struct event *tick;
	uint64_t last_tick_us;
	/* true if the thread has a raised priority (base/resources.h), because helpers work or did so lately */
	bool is_urgent;
	uint64_t helped_us; /* the last turn of the loop in which helpers worked */
	struct worker_pulse pulse;
	struct worker_watch watch; /* written by worker 0 */
};

/* Makes a worker that has only its loop and its inbox. Returns NULL with *why set. */
struct worker *worker_new(struct weir *w, unsigned number, struct fail *why);
/* Makes the worker's other parts, which use what all workers share. Returns 0, or -1 with *why set. */
int worker_make(struct worker *k, struct fail *why);
/* process_parts.c: fills both envs of k with what all workers share, and with callbacks. */
void worker_fill_envs(struct worker *k);
size_t worker_statement_cache(const struct worker *k); /* the worker's share of prepared_statements_cache, in bytes */
/* Passes the present configuration to all parts of k that keep a copy of the configuration or a pointer to it. */
void worker_apply(struct worker *k);
int worker_begin(struct worker *k); /* starts the worker's tick. Returns 0, or -1 without memory */
void worker_turn(struct worker *k); /* worker_turn.c: runs one turn of the loop; waits until there is something to do */
uint64_t worker_cpu_us(const struct worker *k); /* the CPU time of the worker's thread; any thread may ask */
/* At each tick of the main worker: looks which workers still tick, and tells the service manager. */
void worker_watch(struct weir *w);
void worker_each(struct weir *w, worker_fn *row, void *arg); /* calls row for each worker, for SHOW WORKERS */
/*
 * A worker is ended in four steps, each done for all workers before the next step begins: worker_close() closes its
 * servers; worker_read_last() reads the notes that are left when the helpers have ended; worker_empty() frees what
 * those notes used; worker_free() frees the loop, which nothing uses any more.
 */
void worker_close(struct worker *k);
bool worker_read_last(struct worker *k); /* returns false if nothing was left to do */
void worker_empty(struct worker *k);
void worker_free(struct worker *k);

/*
 * --- The numbers of all workers, for the metrics thread and the console: process_snapshot.c copies them;
 * process_http.c has each worker do so on the worker's own thread. ---
 */

/* A worker's snapshot, and the note that asks for the snapshot and brings it back. */
struct gathered {
	struct note note;
	struct worker *worker;
	/* last: the newest snapshot that has come; fresh: a snapshot on its way. Each is NULL if there is none. */
	struct snapshot *last, *fresh;
	bool is_out; /* true while the note is with the worker, which has not answered yet */
};
struct gathering {
	struct gathered of[WORKERS_MAX]; /* indexed by worker number */
	struct timer late; /* set while the metrics thread waits for the answer */
	unsigned wanted; /* tables that are not filled yet: bits 1 << number */
	uint64_t begun_us;
};

/* process_snapshot.c: each returns NULL without memory; process_snapshot() also if a worker does not answer. */
struct snapshot *process_snapshot(struct weir *w); /* a snapshot of all workers, taken in a halt */
struct snapshot *process_snapshot_of(struct worker *k); /* on its own thread, or while the worker stands still */
/* Merges the snapshots of all workers into one, and takes ownership of parts[]. Returns NULL without memory, or if one
 * of parts is NULL. */
struct snapshot *process_merge(struct weir *w, struct snapshot **parts, size_t count);

void process_answer_http(void *w); /* process_http.c: called on worker 0 when the metrics thread has woken it */
void process_forget_gathered(struct weir *w); /* called when no note of a gathering is under way any more */

/*
 * --- worker_threads.c: the threads of all workers but the first, and the halt in which worker 0 may touch
 * their objects.
 *
 * Owns:    the threads, and the notes that stop them.
 * Borrows: the workers of struct weir, whose loops run there.
 * Always:  only worker 0 asks for a halt, and only worker 0 waits. With one worker, no function here does anything.
 */
struct worker_threads; /* opaque; defined in worker_threads.c */

/* Starts the loops of all workers but worker 0, each on a new thread. Returns NULL with *why set if there is no memory
 * or no thread. */
struct worker_threads *worker_threads_new(struct weir *w, struct fail *why);
/*
 * Ends each thread after the callback that runs on it. Then all objects belong to worker 0. t may be NULL. Returns 0,
 * or -1 with *why set if a thread has not ended within END_MAX_US; that worker's objects may then not be touched.
 */
int worker_threads_free(struct worker_threads *t, struct fail *why);
/*
 * Halts all other workers between two callbacks. Until worker_threads_go(), worker 0 may call any function on any
 * worker's objects. Halts may be nested. Returns 0, or -1 with *why set if a worker has not come to a stop within
 * HALT_MAX_US. No worker is halted then, and further halts are refused at once until that worker has read the note of
 * this halt. Does nothing without threads.
 */
int worker_threads_halt(struct weir *w, struct fail *why);
void worker_threads_go(struct weir *w);
