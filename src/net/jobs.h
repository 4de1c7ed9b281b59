/*
 * src/net/jobs.h - threads for calls that somebody else may let hang: an LDAP server, a PAM module, GSSAPI.
 *
 * Every place that is called has a line and threads of its own, so one that hangs delays nobody but those who call it.
 * Threads are started for what is submitted, JOB_THREADS of a place at most, and end when their line is empty.
 * Nobody can end a call: an owner that waits no longer drops its job, and the thread is lost until the call returns.
 * While all threads of a place are lost, or JOBS_WAITING_MAX wait there, jobs_submit() refuses.
 *
 * Owns:   its lines, and every job from jobs_submit() until it is done, discarded or dropped.
 * Always: helpers (helpers.h) never run a job: what hangs here keeps no handshake waiting.
 */
#pragma once

#include "net/inbox.h"

#define JOB_THREADS 8u /* of a place */
#define JOB_THREADS_ALL 128u
#define JOBS_WAITING_MAX 1000u /* at a place */

struct job_queue; /* opaque: jobs.c */

/* LOST: its owner has dropped it, and it still runs. */
enum job_state { JOB_WAITS, JOB_RUNS, JOB_LOST };

/* Embedded in the object to work on. */
struct job {
	struct note note; /* must be first; in a line, and then on its way back */
	void (*run)(struct job *e); /* on a thread: may touch only the object around e, and immutable data */
	void (*done)(struct job *e); /* on the inbox's loop, after run; may free e */
	void (*discard)(struct job *e); /* in place of done, on any thread, when the jobs are freed: frees e */
	struct job_queue *line; /* NULL: it was done. This and the next are for jobs.c alone */
	enum job_state state; /* in its line */
};

struct jobs; /* opaque: jobs.c */
struct jobs_count {
	uint64_t waiting, running;
	uint64_t lost; /* their owners have dropped them, but they still run */
};

struct jobs *jobs_new(struct inbox *to);
/* Discards what waits. Calls that hang are left to themselves, and discarded when they return. NULL is fine. Returns
 * true if none hangs; else the process must end by _exit(): handlers of exit() take from these threads what they use.
 */
bool jobs_free(struct jobs *es);
/* Runs e on a thread of place. Returns 0, or -1 with *why set (53300, 53200); e is then the caller's. */
int jobs_submit(struct jobs *es, const char *place, struct job *e, struct fail *why);
/* The owner of e waits no longer. Returns true if e never ran: it is the caller's again. False: done follows. */
bool jobs_drop(struct jobs *es, struct job *e);
struct jobs_count jobs_count(struct jobs *es);
