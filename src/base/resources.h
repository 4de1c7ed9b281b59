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
size_t memory_limit(size_t max);
/* limits malloc()'s heaps; count is the number of threads that allocate at the same time */
void memory_set_threads(unsigned count);
/* Returns true if this many bytes can be allocated; the call is cheap if they can. */
bool memory_has_room(size_t bytes);
/* Lifts the limits of memory_limit() until memory_limit() is called again. Returns true if there is room for this many
 * bytes. */
bool memory_use_reserve(size_t bytes);
/* Calls realloc(), and uses the reserve if needed. */
void *memory_realloc(void *p, size_t size);

/*
 * --- priority.c: which thread goes first when processors are scarce. Best effort: nothing changes if the kernel
 * refuses or does not know a request.
 */

/* Sets whether this thread runs before others when it wakes. A new thread inherits this from its creator; so does a
 * process. */
void priority_set_urgent(bool is_urgent);
/* Called by a thread whose work can wait: it gets a smaller share of the processor, and is not urgent. */
void priority_background(void);
