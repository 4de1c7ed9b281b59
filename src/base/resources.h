/*
 * src/base/resources.h - the process's memory limits, and the priorities of its threads. The kernel keeps limits and
 * priorities, so there is no state here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* --- memory.c: soft limits on memory (setrlimit(2)). The memory between a soft limit and its hard limit is a reserve
 * for reloads, for libevent and for small buffers. --- */

/* Limits memory to max bytes; 0 means no limit. If the process was started with a limit on address space (ulimit -v),
 * that limit stays, and a part of the memory below it becomes the reserve. Returns how many bytes malloc() may use, or
 * 0 if there is no limit. */
size_t memory_set_limit(size_t max);
/* limits how many heaps malloc() makes; count is the number of threads that allocate at the same time */
void memory_set_threads(unsigned count);
/* Returns true if this many bytes can be allocated. The call is cheap unless memory is short. */
bool memory_has_room(size_t bytes);
/* Lifts the soft limits until the next memory_set_limit(). Returns true if there is now room for this many bytes. */
bool memory_lift_limits(size_t bytes);
/* Does what realloc() does, but may use the reserve. */
void *memory_realloc(void *p, size_t size);

/*
 * --- priority.c: priorities of threads, for times in which processors are scarce. If the kernel refuses a change, or
 * is too old for it, the priorities stay as they are. ---
 */

/* Makes the calling thread urgent, or not urgent. An urgent thread preempts other threads when it wakes. Threads and
 * processes that a thread creates inherit its urgency. */
void priority_set_urgent(bool is_urgent);
/* Gives the calling thread, whose work can wait, a smaller share of the processors, and makes it not urgent. */
void priority_set_background(void);
