/*
 * src/net/helpers.h - a few threads of low priority for work that would stall the loop: TLS handshakes, keys from
 * passwords.
 *
 * From helpers_submit() until done() is called, the work belongs to a thread, and no other thread touches it. An owner
 * that gives up meanwhile does not free the work, but sets a flag that done() reads. Work that has run returns through
 * the inbox that was given to helpers_submit().
 *
 * There are two queues. Each is served in order of arrival, and both make progress. helpers_submit() refuses work for a
 * queue that holds HELPERS_QUEUE_MAX pieces of work.
 */
#pragma once

#include "net/inbox.h"

#include <stdbool.h>
#include <stddef.h>

#define HELPERS_QUEUE_MAX 8192

enum work_queue {
	/* work that completes something begun, or for which queries wait (logins to servers) */
	WORK_BEGUN,
	WORK_NEW, /* work for new connections */
	WORK_QUEUES
};

/* Embedded in the object to work on. */
struct work {
	struct note note; /* must be first. Its link is used in a queue, and later in the inbox */
	struct inbox *to;
	void (*run)(struct work *w); /* runs on a thread: may touch only the object around w, and immutable data */
	void (*done)(struct work *w); /* called on the inbox's loop, exactly once, after helpers_submit; may free w */
};

struct helpers; /* opaque: helpers.c */

/* Returns NULL with *why set if threads can't be created. The new threads receive no signals. */
struct helpers *helpers_new(unsigned threads, struct fail *why);
/* Waits for running work and ends the threads. All submitted work, run or not, is then in its inbox, and no further
 * work is taken. Does nothing if hs is NULL. */
void helpers_end(struct helpers *hs);
/* ends the threads as helpers_end() does, and frees hs; no thread may submit after that */
void helpers_free(struct helpers *hs);
/* Submits w; w->done() is called on the loop of the inbox `to`. Returns 0, or -1 if the queue is full; then done() is
 * not called. */
int helpers_submit(struct helpers *hs, struct inbox *to, struct work *w, enum work_queue queue);
size_t helpers_waiting(struct helpers *hs); /* returns how many pieces of work no thread has begun */
/* Returns true if some work waits or runs. done() of work that has run may still be due. Takes no lock. */
bool helpers_are_busy(const struct helpers *hs);
