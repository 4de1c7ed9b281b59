/*
 * src/net/errands.h - threads for calls that somebody else may let hang: an LDAP server, a PAM module, GSSAPI.
 *
 * Every place that is called has a line and threads of its own, so one that hangs delays nobody but those who call it.
 * Threads are started for what is submitted, ERRAND_THREADS of a place at most, and end when their line is empty.
 * Nobody can end a call: an owner that waits no longer drops its errand, and the thread is lost until the call returns.
 * While all threads of a place are lost, or ERRANDS_WAITING_MAX wait there, errands_submit() refuses.
 *
 * Owns:   its lines, and every errand from errands_submit() until it is done, discarded or dropped.
 * Always: helpers (helpers.h) never run an errand: what hangs here keeps no handshake waiting.
 */
#pragma once

#include "net/inbox.h"

#define ERRAND_THREADS 8u /* of a place */
#define ERRAND_THREADS_ALL 128u
#define ERRANDS_WAITING_MAX 1000u /* at a place */

struct errand_line; /* opaque: errands.c */

/* LOST: its owner has dropped it, and it still runs. */
enum errand_state { ERRAND_WAITS, ERRAND_RUNS, ERRAND_LOST };

/* Embedded in the object to work on. */
struct errand {
	struct note note; /* must be first; in a line, and then on its way back */
	void (*run)(struct errand *e); /* on a thread: may touch only the object around e, and immutable data */
	void (*done)(struct errand *e); /* on the inbox's loop, after run; may free e */
	void (*discard)(struct errand *e); /* in place of done, on any thread, when the errands are freed: frees e */
	struct errand_line *line; /* NULL: it was done. This and the next are for errands.c alone */
	enum errand_state state; /* in its line */
};

struct errands; /* opaque: errands.c */
struct errands_count {
	uint64_t waiting, running;
	uint64_t lost; /* their owners have dropped them, but they still run */
};

struct errands *errands_new(struct inbox *to);
/* Discards what waits. Calls that hang are left to themselves, and discarded when they return. NULL is fine. */
void errands_free(struct errands *es);
/* Runs e on a thread of place. Returns 0, or -1 with *why set (53300, 53200); e is then the caller's. */
int errands_submit(struct errands *es, const char *place, struct errand *e, struct fail *why);
/* The owner of e waits no longer. Returns true if e never ran: it is the caller's again. False: done follows. */
bool errands_drop(struct errands *es, struct errand *e);
struct errands_count errands_count(struct errands *es);
