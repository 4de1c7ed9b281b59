/*
 * src/process/process_gather.h - the numbers of all workers, for the metrics thread and the console: process_snapshot.c
 * takes them, process_gather.c has each worker do so on its own thread.
 */
#pragma once

#include "base/buf.h"
#include "http/http.h"
#include "process/worker.h"

/* A worker's snapshot, and the note that asks for one and brings it. */
struct gathered {
	struct note note;
	struct worker *worker;
	struct snapshot *last, *fresh; /* fresh: on its way */
	bool is_out; /* the note is not worker 0's now */
	bool has_answered; /* since the metrics thread has asked */
};
struct gathering {
	struct gathered of[WORKERS_MAX]; /* by the worker's number */
	struct event *late; /* pending while the metrics thread waits; NULL: there is none */
	struct buf tables[HTTP_TABLES]; /* for it, beside the snapshot */
};

/* process_snapshot.c. Each returns NULL without memory; process_snapshot() also if a worker does not answer. */
struct snapshot *process_snapshot(struct weir *w); /* of all, who stand still meanwhile */
struct snapshot *process_snapshot_of(struct worker *k); /* on its own thread, or while it stands still */
/* Makes one of those of all workers, which it takes; one of them may be NULL. */
struct snapshot *process_merge(struct weir *w, struct snapshot **parts, size_t count);

/* process_gather.c. Returns 0, or -1 with *why set. */
int process_begin_gathering(struct weir *w, struct fail *why);
void process_end_gathering(struct weir *w); /* nobody waits any more */
void process_gather(struct weir *w); /* the metrics thread asks: it is answered with gathering.tables, now or soon */
void process_forget_gathered(struct weir *w); /* once nobody has its note any more */
