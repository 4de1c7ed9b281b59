/*
 * src/net/jobs.h - threads for calls that an external party may let hang: an LDAP server, a PAM module, GSSAPI.
 *
 * Every place that is called has a queue and threads of its own, so a place that hangs delays only its own callers.
 * Threads are started for submitted jobs, at most JOB_THREADS for a place, and end when their queue is empty. No call
 * can be ended from outside: an owner that stops waiting drops its job, and the thread is lost until the call returns.
 * While all threads of a place are lost, or JOBS_WAITING_MAX jobs wait there, jobs_submit() refuses.
 *
 * Owns:   its queues, and every job from jobs_submit() until the job is done, discarded or dropped.
 * Always: helpers (helpers.h) never run a job, so a job that hangs delays no handshake.
 */
#pragma once

#include "net/inbox.h"

#define JOB_THREADS 8u /* the most threads for a place */
#define JOB_THREADS_ALL 128u /* the most threads in all */
#define JOBS_WAITING_MAX 1000u /* the most jobs that wait for a place */

struct job_queue; /* opaque: jobs.c */

/* JOB_LOST is the state of a job that its owner has dropped while it was running. */
enum job_state { JOB_WAITS, JOB_RUNS, JOB_LOST };

/* Embedded in the object to work on. */
struct job {
	struct note note; /* must be first; used in the queue, and later in the inbox */
	void (*run)(struct job *e); /* called on a thread: may touch only the object around e, and immutable data */
	void (*done)(struct job *e); /* called on the inbox's loop, after run; may free e */
	void (*discard)(struct job *e); /* called in place of done, on any thread, when the jobs are freed: frees e */
	struct job_queue *queue; /* NULL once the job is done. This field and the next are for jobs.c alone */
	enum job_state state; /* the state of the job while queue is not NULL */
};

struct jobs; /* opaque: jobs.c */
struct jobs_count {
	uint64_t waiting, running;
	uint64_t lost; /* jobs that still run, but were dropped by their owners */
};

struct jobs *jobs_new(struct inbox *to);
/* Discards jobs that wait. Calls that hang go on; when such a call returns, its job is discarded. Does nothing if es is
 * NULL. Returns true if no call hangs; else the process must end by _exit(), because handlers of exit() free objects
 * that the hanging threads use. */
bool jobs_free(struct jobs *es);
/* Runs e on a thread of `place`. Returns 0, or -1 with *why set (53300, 53200); then e belongs to the caller. */
int jobs_submit(struct jobs *es, const char *place, struct job *e, struct fail *why);
/* Called when the owner of e stops waiting. Returns true if e never ran: the caller owns it again. Returns false if
 * done will still be called. */
bool jobs_drop(struct jobs *es, struct job *e);
struct jobs_count jobs_count(struct jobs *es);
