/*
 * src/net/jobs.h - threads for calls that may hang, because another party answers them: an LDAP server, a PAM module,
 * GSSAPI.
 *
 * A *place* is the party that is called. Each place has a queue and threads of its own, so a place that hangs delays
 * only its own callers. Threads are started for submitted jobs, at most JOB_THREADS for a place, and end when their
 * queue is empty. A call that hangs cannot be ended. If a running job's owner drops the job, the thread is lost until
 * the call returns. jobs_submit() refuses a place with JOB_THREADS lost threads, or JOBS_WAITING_MAX waiting jobs.
 *
 * Owns:   its queues, and each job from jobs_submit() until done() or discard() is called, or jobs_drop() returns true.
 * Always: jobs run on threads of their own, not on those of helpers.h, so a job that hangs delays no TLS handshake.
 */
#pragma once

#include "net/inbox.h"

#define JOB_THREADS 8u /* the most threads for one place */
#define JOB_THREADS_ALL 128u /* the most threads for all places */
#define JOBS_WAITING_MAX 1000u /* the most jobs that wait for one place */

struct job_queue; /* opaque: jobs.c */

/* JOB_DROPPED: the job is still running, but its owner has dropped it. */
enum job_state { JOB_WAITS, JOB_RUNS, JOB_DROPPED };

/* Embedded in the object that the job works on. */
struct job {
	struct note note; /* must be first; links the job in its queue, and later in the inbox */
	void (*run)(struct job *e); /* called on a thread of jobs.c; may touch only e's own object and immutable data */
	void (*done)(struct job *e); /* called on the inbox's loop, after run(); may free e */
	void (*discard)(struct job *e); /* called in place of done() after jobs_free(), on any thread; must free e */
	struct job_queue *queue; /* only for jobs.c; NULL once run() has returned */
	enum job_state state; /* only for jobs.c; valid while queue is not NULL */
};

struct jobs; /* opaque: jobs.c */
struct jobs_count {
	uint64_t waiting, running;
	uint64_t lost; /* jobs in the state JOB_DROPPED */
};

struct jobs *jobs_new(struct inbox *to); /* `to` is the inbox on whose loop done() of each job is called */
/* Discards jobs that wait, and frees es, which may be NULL. Returns true if no thread is left. Otherwise each running
 * job is discarded when its call returns, and the process must end by _exit(), because exit() would free objects that
 * running jobs use. */
bool jobs_free(struct jobs *es);
/* Runs e on a thread of `place`. Returns 0, or -1 with *why set (53300, 53200); the caller then still owns e. */
int jobs_submit(struct jobs *es, const char *place, struct job *e, struct fail *why);
/* Called when the owner of e no longer needs the result. Returns true if e had not begun to run; the caller then owns e
 * again. Returns false if done() will still be called. */
bool jobs_drop(struct jobs *es, struct job *e);
struct jobs_count jobs_sum_counts(struct jobs *es);
