/*
 * src/base/resources.h - what the kernel gives the process: memory and processors. Its own limits are the state of
 * both, so there is none here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * --- memory.c: the limit is the kernel's, on malloc: a soft one, below which a reserve is kept for reloads and for
 * libevent.
 */

/* max: bytes of memory that may be in use; 0: as many as there are. A limit on address space that the process was
 * started under (ulimit -v) stays; some of it is kept back. Returns the bytes that malloc may use by these limits, or
 * 0: there is none. */
size_t memory_limit(size_t max);
void memory_set_threads(unsigned count); /* that allocate at the same time: malloc() keeps few more heaps than these */
/* Returns true if this many more bytes can be had. Cheap if they can. */
bool memory_has_room(size_t bytes);
/* Lifts the limits of memory_limit() until that is called again. Returns true if there is room for so many bytes. */
bool memory_use_reserve(size_t bytes);
/* Does what realloc() does, with the reserve if need be. */
void *memory_realloc(void *p, size_t size);

/*
 * --- priority.c: which thread goes first when processors are scarce. Best effort: what the kernel refuses or does not
 * know stays as it was.
 */

/* Says whether this thread goes before others when it wakes. A thread begins as its creator was; so does a process. */
void priority_set_urgent(bool is_urgent);
/* For a thread that may wait for others: it gets less of the processor, and is not urgent. */
void priority_background(void);
