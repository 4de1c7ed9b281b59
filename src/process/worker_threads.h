/*
 * src/process/worker_threads.h - the threads of all workers but the first, and the halt in which worker 0 may touch
 * what is theirs.
 *
 * Owns:    the threads, and the notes that stop them.
 * Borrows: the workers of struct weir, whose loops run there.
 * Always:  only worker 0 asks for a halt, and only worker 0 waits. With one worker nothing here does anything.
 */
#pragma once

#include "base/fail.h"

#include <stdbool.h>

struct weir;
struct worker_threads; /* opaque: worker_threads.c */

/* From now on each worker's loop runs, but for worker 0's. Returns NULL with *why set: no memory, no thread. */
struct worker_threads *worker_threads_new(struct weir *w, struct fail *why);
/*
 * Ends their threads, each after the callback that runs there; then all is worker 0's. NULL is fine. Returns 0, or -1
 * with *why set: one of them has not ended within END_MAX_US. What is its own may then not be touched.
 */
int worker_threads_free(struct worker_threads *t, struct fail *why);
/*
 * All other workers stand still between two callbacks: until worker_threads_go(), worker 0 may call any function on any
 * worker's objects. Halts may be within one another. Returns false if one of them has not come to a stop within
 * HALT_MAX_US: then nobody stands still, and *why names that worker; the next halts are refused at once, until it has
 * read of this one. t: NULL is fine.
 */
bool worker_threads_halt(struct worker_threads *t, struct fail *why);
void worker_threads_go(struct worker_threads *t);
/* The same as in struct console_host and struct restart_host. */
int worker_threads_host_halt(struct weir *w, struct fail *why);
void worker_threads_host_go(struct weir *w);
