/*
 * src/base/resources.h - what the kernel gives the process: memory and processors. The kernel keeps the limits, so
 * there is no state here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* --- memory.c: the kernel's soft limit on malloc, below which a reserve is kept for reloads and for libevent. */

/* Limits memory to max bytes; 0 means as much as there is. A limit on address space that the process was started under
 * (ulimit -v) stays, and some of it is reserved. Returns the bytes that malloc may use by these limits, or 0 if there
 * is no limit. */
size_t memory_limit(size_t max);
/* count of threads that allocate at the same time: malloc() keeps few more heaps */
void memory_set_threads(unsigned count);
/* Returns true if so many more bytes can be had. Cheap if they can. */
bool memory_has_room(size_t bytes);
/* Lifts the limits of memory_limit() until memory_limit() is called again. Returns true if there is room for so many
 * bytes. */
bool memory_use_reserve(size_t bytes);
/* Calls realloc(), and uses the reserve if needed. */
void *memory_realloc(void *p, size_t size);

/*
 * --- priority.c: which thread goes first when processors are scarce. Best effort: what the kernel refuses or does not
 * know stays as it was.
 */

/* Sets whether this thread runs before others when it wakes. A new thread inherits this from its creator; so does a
 * process. */
void priority_set_urgent(bool is_urgent);
/* Called by a thread that may wait for others: it gets less of the processor, and is not urgent. */
void priority_background(void);
