/*
 * src/net/helpers.h - a few threads of low priority for work that would stall the loop: TLS handshakes, keys from
 * passwords.
 *
 * From helpers_submit() until done() is called, the work belongs to a thread, and no other thread touches it. An owner
 * that gives up meanwhile does not free the work, but notes it in a place that done() reads. Work that is done returns
 * through the inbox that was given to helpers_submit.
 *
 * Each line is served in order of arrival, and both lines make progress. When a line holds HELPERS_LINE_MAX,
 * helpers_submit refuses.
 */
#pragma once

#include "net/inbox.h"

#include <stdbool.h>
#include <stddef.h>

#define HELPERS_LINE_MAX 8192

enum work_line {
	WORK_BEGUN, /* work that completes something begun, or that queries wait for (logins to servers) */
	WORK_NEW, /* work for new connections */
	WORK_LINES
};

/* Embedded in the object to work on. */
struct work {
	struct note note; /* must be first; in a line, and later on the way back to the inbox */
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
/* Submits w; w->done() is called on the loop of the inbox. Returns 0, or -1 if the line is full; then done() is not
 * called. */
int helpers_submit(struct helpers *hs, struct inbox *to, struct work *w, enum work_line line);
size_t helpers_waiting(struct helpers *hs); /* returns how much work no thread has taken yet */
bool helpers_are_busy(const struct helpers *hs); /* something was submitted and is not done yet; takes no lock */
