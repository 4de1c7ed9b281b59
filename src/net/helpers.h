/*
 * src/net/helpers.h - a few threads of low priority for work that would stall the loop: TLS handshakes, keys from
 * passwords.
 *
 * From helpers_submit() until done() is called, only the helpers may touch the work. An owner that no longer needs the
 * result must not free the work meanwhile, but sets a flag that done() reads. Work that has run is posted to the inbox
 * that was passed to helpers_submit().
 *
 * There are two queues, each in order of arrival; neither can starve the other. A queue that holds HELPERS_QUEUE_MAX
 * pieces of work is full.
 */
#pragma once

#include "net/inbox.h"

#include <stdbool.h>
#include <stddef.h>

#define HELPERS_QUEUE_MAX 8192

enum work_queue {
	/* work that completes what was begun, and work for which queries wait, such as logins to servers */
	WORK_BEGUN,
	WORK_NEW, /* work for new connections */
	WORK_QUEUES
};

/* Embedded in the object that the helpers work on. */
struct work {
	struct note note; /* must be first; links the work in a queue, and later in the inbox */
	struct inbox *to;
	void (*run)(struct work *w); /* called on a helper thread: may touch only w's own object and immutable data */
	void (*done)(struct work *w); /* called on the inbox's loop, exactly once, after helpers_submit; may free w */
};

struct helpers; /* opaque: helpers.c */

/* Returns NULL with *why set if threads can't be created. The new threads receive no signals. */
struct helpers *helpers_new(unsigned threads, struct fail *why);
/* Waits for work that is running, and ends the threads. All work, even if it has not run, is then in its inbox, and
 * helpers_submit() refuses further work. hs may be NULL. */
void helpers_end(struct helpers *hs);
/* Does what helpers_end() does, and frees hs. */
void helpers_free(struct helpers *hs);
/* Submits w. Returns 0, and w->done() will be called on the loop of the inbox `to`; or returns -1 if the queue is full
 * or the helpers have ended, and w->done() will not be called. */
int helpers_submit(struct helpers *hs, struct inbox *to, struct work *w, enum work_queue queue);
size_t helpers_waiting(struct helpers *hs); /* returns how many pieces of work are in the queues */
/* Returns true if any work waits or is running. Work that waits in an inbox for its done() does not count. */
bool helpers_are_busy(const struct helpers *hs);
