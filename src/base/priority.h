/*
 * src/base/priority.h - decides which thread goes first when processors are scarce. Best effort: what the kernel
 * refuses or does not know stays as it was.
 */
#pragma once

/* For a thread that wakes often, for little work at a time: it goes before others when it wakes. */
void priority_low_latency(void);
/* For a thread that may wait for others: it gets less of the processor, and not its creator's low latency. */
void priority_background(void);
