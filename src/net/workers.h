/*
 * src/net/workers.h - a few threads of low priority for what would stall the loop: TLS handshakes, keys from passwords.
 *
 * Work is handed over whole: from workers_submit until done is called it belongs to a thread, and nobody else touches
 * it. Those who give up meanwhile mark that in what done looks at; they do not free it.
 *
 * Fair: each line is first come, first served, and both move on; bounded: WORKERS_LINE_MAX, above which submit refuses.
 */
#ifndef PGWEIR_NET_WORKERS_H
#define PGWEIR_NET_WORKERS_H

#include "base/fail.h"

#include <event2/event.h>
#include <stddef.h>
#include <sys/queue.h>

#define WORKERS_LINE_MAX 8192

enum work_line {
	WORK_BEGUN, /* what ends something begun, and what queries wait for (logins to servers) */
	WORK_NEW, /* newcomers */
	WORK_LINES
};

/* Embedded in what is to be worked on. */
struct work {
	void (*run)(struct work *w); /* on a thread: touches nothing but what embeds w, and what is immutable */
	void (*done)(struct work *w); /* on the loop, later than submit, exactly once; w may be freed there */
	STAILQ_ENTRY(work) next;
};

struct workers; /* opaque: workers.c */

/* NULL and why: no threads. Signals stay with the loop's thread. */
struct workers *workers_new(struct event_base *base, unsigned threads, struct fail *why);
/* Waits for what runs; done is called for all that was submitted, run or not. NULL is fine. */
void workers_free(struct workers *ws);
/* 0, or -1: the line is full, done is not called. */
int workers_submit(struct workers *ws, struct work *w, enum work_line line);
size_t workers_waiting(struct workers *ws); /* submitted and not taken by a thread yet */

#endif
