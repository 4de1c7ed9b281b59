/*
 * src/process/worker.h - a worker: a loop, and all that lives on it. There are `workers` of them, each on a thread of
 * its own; the first is the main worker, whose loop runs on the process's main thread. src/process/README.md.
 *
 * Owns:    its clients, servers and pools, and what only they use: the envs have most of that.
 * Borrows: what all workers share (struct process_shared), its configuration and log.
 * Always:  only what runs on its loop touches what is its own, or worker 0 in a halt (worker_threads.c). What others
 *          touch at any time is atomic (pulse) or has a lock (inbox, policy worker).
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

/* Told by a worker at its ticks, for worker 0 to read at any time: worker_pulse.c. */
struct worker_pulse {
	_Atomic uint64_t at_us; /* its last tick */
	_Atomic uint64_t turns;
	_Atomic uint32_t clients, servers;
	_Atomic clockid_t cpu_clock; /* of its thread */
};

/* Seen of that by worker 0. */
struct worker_watch {
	uint64_t at_us; /* pulse.at_us, when it looked last */
	uint32_t ticks; /* its own, since that has changed */
	bool is_silent; /* for about 2 s, and the log has been told */
	uint64_t cpu_at_us, cpu_us; /* when it looked last */
	uint32_t cpu_percent; /* in the second before */
};

struct worker {
	struct weir *weir;
	struct worker *next; /* the one with the next number; NULL: this is the last */
	unsigned number; /* from 0 */
	struct event_base *base;
	struct inbox *inbox; /* net/inbox.h: its owner is this worker */
	uint64_t now_us; /* the time of this turn of the loop */
	struct policy_worker *worker; /* its part in the caps and circuits of all workers */
	struct wake reading; /* a host has answered, or fallen silent: reads_on_reading() is due */
	struct wake orders; /* policy_worker_run_orders() is due */
	struct pool_set *pools;
	struct client_env clients;
	struct server_env servers;
	struct server_cancelling *cancelling; /* server_env's */
	struct server_losses losses; /* server_env's */
	struct process_counters counters;
	struct admission *refusals; /* bounds log lines: client_env.admission. NULL: this is the main worker */
	struct event *tick;
	uint64_t last_tick_us;
	bool is_urgent; /* its thread is (base/resources.h): helpers work, or did ... */
	uint64_t helped_us; /* ... after that turn */
	struct worker_pulse pulse;
	struct worker_watch watch; /* worker 0's */
};

/* Makes a worker that has nothing but its loop and its inbox. Returns NULL with *why set. */
struct worker *worker_new(struct weir *w, unsigned number, struct fail *why);
/* Makes the rest of it, once there is all that workers share. Returns 0, or -1 with *why set. */
int worker_make(struct worker *k, struct fail *why);
/* process_parts.c: fills both envs with what all workers share, and where news goes. */
void worker_fill_envs(struct worker *k);
size_t worker_statement_cache(const struct worker *k); /* its share of prepared_statements_cache, bytes */
/* Passes the present configuration to all that keeps a copy of it or a pointer to it. */
void worker_apply(struct worker *k);
int worker_begin(struct worker *k); /* from now on it ticks. Returns 0, or -1: no memory */
void worker_turn(struct worker *k); /* worker_turn.c: one turn of the loop: waits until there is something to do */
uint64_t worker_cpu_us(const struct worker *k); /* of its thread, from any */
void
worker_watch(struct weir *w); /* at each tick of the main worker's: sees whether all move; tells the service manager */
void worker_each(struct weir *w, worker_fn *row, void *arg); /* SHOW WORKERS */
/* Ends in four steps, each for all workers before the next: its servers; the notes that are left, once no helper has
 * work for it; what all that used; its loop, when nobody uses it. */
void worker_close(struct worker *k);
bool worker_read_last(struct worker *k); /* returns false if there were none */
void worker_empty(struct worker *k);
void worker_free(struct worker *k);

/*
 * --- The numbers of all workers, for the metrics thread and the console: process_snapshot.c takes them,
 * process_http.c has each worker do so on its own thread.
 */

/* A worker's snapshot, and the note that asks for one and brings it. */
struct gathered {
	struct note note;
	struct worker *worker;
	struct snapshot *last, *fresh; /* fresh: on its way */
	bool is_out; /* the note is not worker 0's now: it has not answered since it was asked */
};
struct gathering {
	struct gathered of[WORKERS_MAX]; /* by the worker's number */
	struct timer late; /* set while the metrics thread waits */
	unsigned wanted; /* tables that are yet to be filled: 1 << number */
	uint64_t begun_us;
};

/* process_snapshot.c. Each returns NULL without memory; process_snapshot() also if a worker does not answer. */
struct snapshot *process_snapshot(struct weir *w); /* of all, who stand still meanwhile */
struct snapshot *process_snapshot_of(struct worker *k); /* on its own thread, or while it stands still */
/* Makes one of those of all workers, which it takes; one of them may be NULL. */
struct snapshot *process_merge(struct weir *w, struct snapshot **parts, size_t count);

/* process_http.c */
void process_http_asks(void *w); /* the metrics thread has woken worker 0 */
void process_forget_gathered(struct weir *w); /* once nobody has its note any more */

/*
 * --- worker_threads.c: the threads of all workers but the first, and the halt in which worker 0 may touch
 * what is theirs.
 *
 * Owns:    the threads, and the notes that stop them.
 * Borrows: the workers of struct weir, whose loops run there.
 * Always:  only worker 0 asks for a halt, and only worker 0 waits. With one worker nothing here does anything.
 */
struct worker_threads; /* opaque: worker_threads.c */

/* From now on each worker's loop runs, but for worker 0's. Returns NULL with *why set: no memory, no thread. */
struct worker_threads *worker_threads_new(struct weir *w, struct fail *why);
/* Ends their threads, each after the callback that runs there; then all is worker 0's. NULL is fine. Returns 0, or -1
 * with *why set: one of them has not ended within END_MAX_US. What is its own may then not be touched. */
int worker_threads_free(struct worker_threads *t, struct fail *why);
/*
 * All other workers stand still between two callbacks: until worker_threads_go(), worker 0 may call any function on any
 * worker's objects. Halts may be within one another. Returns -1 if one of them has not come to a stop within
 * HALT_MAX_US: then nobody stands still, and *why names that worker; the next halts are refused at once, until it has
 * read of this one. Without threads nothing is done.
 */
int worker_threads_halt(struct weir *w, struct fail *why);
void worker_threads_go(struct weir *w);
