/*
 * src/net/helpers.h - a few threads of low priority for work that would stall the loop, such as TLS handshakes and the
 * derivation of keys from passwords.
 *
 * From helpers_submit() until done() is called, only the helpers may touch the work. An owner that no longer needs the
 * result does not free the work, but sets a flag in its object that only done() reads. Work that has run is posted to
 * the inbox that was passed to helpers_submit().
 *
 * There are two queues, each in order of arrival; neither can starve the other. A queue is full when it has
 * HELPERS_QUEUE_MAX pieces of work.
 */
#pragma once

#include "net/inbox.h"

#include <stdbool.h>
#include <stddef.h>

#define HELPERS_QUEUE_MAX 8192

enum work_queue {
	/* later steps of work that was begun, and work for which queries wait, such as logins to servers */
	WORK_BEGUN,
	WORK_NEW, /* first steps of clients' logins */
	WORK_QUEUES
};

/* Embedded in the object that the helpers work on. */
struct work {
	struct note note; /* must be first; links the work in a queue, and later in the inbox */
	struct inbox *to;
	void (*run)(struct work *w); /* called on a helper thread; may touch only w's own object and immutable data */
	void (*done)(struct work *w); /* called once on the inbox's loop, if helpers_submit() returned 0; may free w */
};

struct helpers; /* opaque: helpers.c */

/* Returns NULL with *why set if no thread can be created. The new threads receive no signals. */
struct helpers *helpers_new(unsigned threads, struct fail *why);
/* Waits for work that is running, and ends the threads. Work that has not run yet is posted to its inbox as well. From
 * then on, helpers_submit() refuses work. hs may be NULL. */
void helpers_end(struct helpers *hs);
/* Does what helpers_end() does, and frees hs. */
void helpers_free(struct helpers *hs);
/* Submits w. Returns 0; w->done() will then be called on the loop of the inbox `to`. Returns -1 if the queue is full or
 * the helpers have ended; w->done() will then not be called. */
int helpers_submit(struct helpers *hs, struct inbox *to, struct work *w, enum work_queue queue);
size_t helpers_count_waiting(struct helpers *hs); /* returns how many pieces of work are in the queues */
/* Returns true if any work waits or is running. Work that waits in an inbox for its done() does not count. */
bool helpers_are_busy(const struct helpers *hs);
