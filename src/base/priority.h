/*
 * src/base/priority.h - decides which thread goes first when processors are scarce. Best effort: what the kernel
 * refuses or does not know stays as it was.
 */
#pragma once

#include <stdbool.h>

/* Says whether this thread goes before others when it wakes. A thread begins as its creator was, and so does a process.
 */
void priority_set_urgent(bool is_urgent);
/* For a thread that may wait for others: it gets less of the processor, and is not urgent. */
void priority_background(void);
