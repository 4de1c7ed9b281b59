/* src/net/loop.h - timers, the end of an object's life, and what happens between two events of a loop. */
#pragma once

#include "base/clock.h"
#include "net/inbox.h"

#include <event2/event.h>
#include <stdbool.h>

/* --- libevent's timers where nothing can be done if there is no memory for one --- */

static inline struct timeval
timer_interval(uint64_t us)
{
	return (struct timeval){ (time_t)(us / US_PER_S), (suseconds_t)(us % US_PER_S) };
}

/* Starts a timer, or changes when it fires. Without memory it fires at once: its callback finds it is too early. */
static inline void
timer_start(struct event *timer, uint64_t in_us)
{
	struct timeval tv = timer_interval(in_us);

	if (event_add(timer, &tv) < 0)
		event_active(timer, EV_TIMEOUT, 0);
}

/* Keeps a timer that repeats (EV_PERSIST): called by its callback, as libevent stops it without memory. */
static inline void
timer_keep(struct event *timer, uint64_t every_us)
{
	if (!event_pending(timer, EV_TIMEOUT, NULL))
		timer_start(timer, every_us);
}

/*
 * --- graveyard.c: frees objects after the callback in which they were closed: callers up the stack may still use
 * them.
 *
 * Always: what is buried is freed by the event loop itself, or behind an event (between_events), when none of our
 * functions is running.
 */
struct graveyard; /* opaque: graveyard.c */

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

/*
 * --- What one of several workers does behind an event, before the next of the same turn of its loop. A turn has dozens
 * of events, and what crosses should wait for none of them on either side.
 */
/* Empties the graveyard, so that what crosses leaves, and reads the inbox. */
void graveyard_between(struct graveyard *y, struct inbox *inbox) __attribute__((cold));
/* Called last in a callback of libevent's: none of our functions is running, as if libevent had called the graveyard
 * and the inbox next. Whatever the callback was for may be freed. */
static inline void
between_events(struct graveyard *graveyard, struct inbox *inbox)
{
	if (inbox_sign_is_up(inbox))
		graveyard_between(graveyard, inbox);
}
