/*
 * src/base/priority.h - which thread goes first where there are fewer processors than work. Best effort: what the
 * kernel refuses or does not know stays as it was.
 */
#ifndef PGWEIR_BASE_PRIORITY_H
#define PGWEIR_BASE_PRIORITY_H

/* The calling thread is woken for little work at a time, and often: it goes before others when it wakes. */
void priority_low_latency(void);
/* The calling thread may wait for others: less of the processor, and none of what the creator asked for itself. */
void priority_background(void);

#endif
