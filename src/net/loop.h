/*
 * src/net/loop.h - timers, the end of an object's life, and what happens between two events of a loop.
 *
 * Owns: nothing. The object that embeds a timer stops the timer before the object is freed.
 */
#pragma once

#include "base/clock.h"
#include "net/inbox.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>

/* --- loop.c: timers --- */

/* Embedded in another object. A zeroed timer is not set. fire may free the timer. */
struct timer {
	struct event event;
	void (*fire)(void *arg);
	void *arg;
	uint64_t *now_us; /* set to the current time before fire is called; NULL if there is nothing to set */
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

/* Starts a timer, or changes when it fires. Returns 0, or -1 without memory. */
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

/* Starts a timer, for callers that can't handle a lack of memory. Without memory the timer fires at once, and its
 * callback must notice that it is too early. */
static inline void
timer_start(struct timer *t, uint64_t in_us)
{
	if (timer_try(t, in_us) < 0)
		timer_fire(t);
}

/* Keeps an event that repeats (EV_PERSIST) alive. Called by the event's callback, because libevent stops the event if
 * there is no memory. */
static inline void
timer_keep(struct event *event, uint64_t every_us)
{
	struct timeval tv = timer_interval(every_us);

	if (!event_pending(event, EV_TIMEOUT, NULL) && event_add(event, &tv) < 0)
		event_active(event, EV_TIMEOUT, 0);
}

/*
 * --- deferred_frees.c: frees objects after the callback in which they were closed, because callers up the stack may
 * still use them.
 *
 * Always: an object is freed by the event loop itself, or after an event (between_events), when none of our functions
 *         is running.
 */
struct deferred_frees; /* opaque: deferred_frees.c */

/* Embedded in an object that is freed later. */
struct deferred_entry {
	struct deferred_entry *next;
	void (*free_it)(struct deferred_entry *g);
};

/* inbox: the inbox of the same loop, whose flag is set when an object is added; NULL if no code looks at that flag. */
struct deferred_frees *deferred_frees_new(struct event_base *base, struct inbox *inbox);
bool deferred_frees_run(struct deferred_frees *y); /* frees all objects that wait; returns false if there were none */
void deferred_frees_free(struct deferred_frees *y); /* frees all objects that wait, and y */
void deferred_free(struct deferred_frees *y, struct deferred_entry *g, void (*free_it)(struct deferred_entry *g));

/* --- What one of several workers does after an event, before the next event of the same turn of its loop. A turn has
 * dozens of events, and transferred objects should not wait, on the old or the new worker, until all have run. */
/* Runs the deferred frees, so that transferred objects leave, and reads the inbox. */
void deferred_frees_between(struct deferred_frees *y, struct inbox *inbox) __attribute__((cold));
/* Called last in a callback of libevent's, where no other function of ours is running, as if libevent had called the
 * deferred frees and the inbox next. The object that the callback was for may be freed. */
static inline void
between_events(struct deferred_frees *deferred_frees, struct inbox *inbox)
{
	if (inbox_flag_is_set(inbox))
		deferred_frees_between(deferred_frees, inbox);
}
