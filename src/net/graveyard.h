/*
 * src/net/graveyard.h - frees objects after the callback in which they were closed: callers up the stack may still use
 * them.
 *
 * Always: what is buried is freed by the event loop itself, or behind an event (between.h), when none of our functions
 * is running.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

struct graveyard; /* opaque: graveyard.c */
struct inbox; /* inbox.h */

/* Embedded in an object that is to be freed later. */
struct grave {
	struct grave *next;
	void (*free_it)(struct grave *g);
};

/* inbox: of the same loop; its sign is raised when something is buried. NULL: nobody looks at it. */
struct graveyard *graveyard_new(struct event_base *base, struct inbox *inbox);
bool graveyard_empty(struct graveyard *y); /* frees all that is in it now; returns false if there was nothing */
void graveyard_free(struct graveyard *y); /* likewise */
void graveyard_bury(struct graveyard *y, struct grave *g, void (*free_it)(struct grave *g));
