/*
 * src/base/resources.h - limits and priorities of the process: memory and processors. The kernel keeps these values, so
 * there is no state here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* --- memory.c: the kernel's soft limits on memory; the reserve above them is for reloads and for libevent. */

/* Limits memory to max bytes; 0 means no limit. If the process was started with a limit on address space (ulimit -v),
 * that limit stays, and some of it is reserved. Returns the bytes that malloc may use under these limits, or 0 if there
 * is no limit. */
size_t memory_set_limit(size_t max);
/* limits malloc()'s heaps; count is the number of threads that allocate at the same time */
void memory_set_threads(unsigned count);
/* Returns true if this many bytes can be allocated; the call is cheap if they can. */
bool memory_has_room(size_t bytes);
/* Lifts the limits of memory_set_limit() until memory_set_limit() is called again. Returns true if there is room for
 * this many bytes. */
bool memory_use_reserve(size_t bytes);
/* Calls realloc(), and uses the reserve if needed. */
void *memory_realloc(void *p, size_t size);

/*
 * --- priority.c: priorities of threads while processors are scarce. If the kernel refuses or does not know a request,
 * the priorities stay as they are.
 */

/* Sets whether this thread runs before other threads when it wakes. New threads and processes inherit this from the
 * thread that creates them. */
void priority_set_urgent(bool is_urgent);
/* Gives the calling thread, whose work can wait, a smaller share of the processors; the thread is not urgent then. */
void priority_background(void);
