/*
 * src/net/loop.h - timers, the end of an object's life, and what happens between two events of a loop.
 *
 * Owns: nothing; whoever embeds a timer stops it before it is freed.
 */
#pragma once

#include "base/clock.h"
#include "net/inbox.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>

/* --- loop.c: timers --- */

/* Embedded. Zeroed: there is none. fire may free it. */
struct timer {
	struct event event;
	void (*fire)(void *arg);
	void *arg;
	uint64_t *now_us; /* is brought up to date before; NULL: nothing is */
};

void timer_init(struct timer *t, struct event_base *base, uint64_t *now_us, void (*fire)(void *arg), void *arg);

static inline void
timer_stop(struct timer *t)
{
	if (t->fire != NULL)
		event_del(&t->event);
}

static inline bool
timer_is_set(const struct timer *t)
{
	return t->fire != NULL && event_pending(&t->event, EV_TIMEOUT, NULL);
}

static inline struct timeval
timer_interval(uint64_t us)
{
	return (struct timeval){ (time_t)(us / US_PER_S), (suseconds_t)(us % US_PER_S) };
}

/* Starts a timer, or changes when it fires. Returns 0, or -1: no memory. */
static inline int
timer_try(struct timer *t, uint64_t in_us)
{
	struct timeval tv = timer_interval(in_us);

	return event_add(&t->event, &tv);
}

static inline void
timer_fire(struct timer *t)
{
	event_active(&t->event, EV_TIMEOUT, 0);
}

/* The same where nothing can be done without memory: it fires at once, and its callback finds it is too early. */
static inline void
timer_start(struct timer *t, uint64_t in_us)
{
	if (timer_try(t, in_us) < 0)
		timer_fire(t);
}

/* Keeps an event that repeats (EV_PERSIST): called by its callback, as libevent stops it without memory. */
static inline void
timer_keep(struct event *event, uint64_t every_us)
{
	struct timeval tv = timer_interval(every_us);

	if (!event_pending(event, EV_TIMEOUT, NULL) && event_add(event, &tv) < 0)
		event_active(event, EV_TIMEOUT, 0);
}

/*
 * --- deferred_frees.c: frees objects after the callback in which they were closed: callers up the stack may still use
 * them.
 *
 * Always: what is buried is freed by the event loop itself, or behind an event (between_events), when none of our
 * functions is running.
 */
struct deferred_frees; /* opaque: deferred_frees.c */

/* Embedded in an object that is to be freed later. */
struct grave {
	struct grave *next;
	void (*free_it)(struct grave *g);
};

/* inbox: of the same loop; its sign is raised when something is buried. NULL: nobody looks at it. */
struct deferred_frees *deferred_frees_new(struct event_base *base, struct inbox *inbox);
bool deferred_frees_run(struct deferred_frees *y); /* frees all that is in it now; returns false if there was nothing */
void deferred_frees_free(struct deferred_frees *y); /* likewise */
void deferred_free(struct deferred_frees *y, struct grave *g, void (*free_it)(struct grave *g));

/*
 * --- What one of several workers does behind an event, before the next of the same turn of its loop. A turn has dozens
 * of events, and what is transferred should wait for none of them on either side.
 */
/* Empties the deferred frees, so that what is transferred leaves, and reads the inbox. */
void deferred_frees_between(struct deferred_frees *y, struct inbox *inbox) __attribute__((cold));
/* Called last in a callback of libevent's: none of our functions is running, as if libevent had called the deferred
 * frees and the inbox next. Whatever the callback was for may be freed. */
static inline void
between_events(struct deferred_frees *deferred_frees, struct inbox *inbox)
{
	if (inbox_sign_is_up(inbox))
		deferred_frees_between(deferred_frees, inbox);
}
