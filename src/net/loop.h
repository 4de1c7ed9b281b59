/*
 * src/net/loop.h - timers, objects that are freed later, and the work that is done between two events of a loop.
 *
 * Owns: nothing. A timer must be stopped before the object that embeds the timer is freed.
 */
#pragma once

#include "base/clock.h"
#include "net/inbox.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>

/* --- loop.c: timers --- */

/* Embedded in another object. A zeroed timer is not set. */
struct timer {
	struct event event;
	void (*fire)(void *arg); /* may free the object that embeds the timer */
	void *arg;
	uint64_t *now_us; /* *now_us is set to the current time before fire() is called; may be NULL */
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

/* Makes a timer fire in_us from now, even if it was set to another time. Returns 0, or -1 if there is no memory. */
static inline int
timer_try_start(struct timer *t, uint64_t in_us)
{
	struct timeval tv = timer_interval(in_us);

	return event_add(&t->event, &tv);
}

/* Makes a timer fire as soon as control returns to the event loop. */
static inline void
timer_fire_soon(struct timer *t)
{
	event_active(&t->event, EV_TIMEOUT, 0);
}

/* Does what timer_try_start() does, for callers that can't handle a lack of memory. If there is no memory, the timer
 * fires at once, so fire() must check the time. */
static inline void
timer_start(struct timer *t, uint64_t in_us)
{
	if (timer_try_start(t, in_us) < 0)
		timer_fire_soon(t);
}

/* Restarts an event that repeats (EV_PERSIST) if libevent has stopped it for lack of memory. Called by the event's
 * callback. */
static inline void
timer_rearm_event(struct event *event, uint64_t every_us)
{
	struct timeval tv = timer_interval(every_us);

	if (!event_pending(event, EV_TIMEOUT, NULL) && event_add(event, &tv) < 0)
		event_active(event, EV_TIMEOUT, 0);
}

/*
 * --- deferred_frees.c: frees a closed object only later, when the event callback ends or has ended, because functions
 * up the stack may still use the object.
 *
 * Always: only a timer of the event loop or loop_run_between_events() frees an object, when no function on the stack
 * can use it.
 */
struct deferred_frees; /* opaque: deferred_frees.c */

/* Embedded in an object that is freed later, or moved to another loop. */
struct deferred_entry {
	struct deferred_entry *next;
	void (*free_it)(struct deferred_entry *g);
};

/* inbox: the loop's inbox, for which inbox_set_has_work() is called when an object begins to wait; NULL if
 * loop_run_between_events() is not used. */
struct deferred_frees *deferred_frees_new(struct event_base *base, struct inbox *inbox);
bool deferred_frees_run(struct deferred_frees *y); /* frees the objects that wait; returns false if there were none */
void deferred_frees_free(struct deferred_frees *y); /* frees the objects that wait, and y, which may be NULL */
/* Calls free_it(g) later; g must not be waiting already. */
void deferred_frees_add(struct deferred_frees *y, struct deferred_entry *g, void (*free_it)(struct deferred_entry *g));

/* --- Work between two events of one turn of the loop, if there are several workers. A turn may have dozens of events,
 * so objects that move from worker to worker should not wait for the turn's end. */
/* Runs the deferred frees, some of which move objects to other workers, and reads the inbox. */
void loop_run_between_events_slowly(struct deferred_frees *y, struct inbox *inbox) __attribute__((cold));
/* Called at the very end of a libevent callback, when no other function of pgweir is on the stack. May free the object
 * that the callback was called for. */
static inline void
loop_run_between_events(struct deferred_frees *deferred_frees, struct inbox *inbox)
{
	if (inbox_has_work(inbox))
		loop_run_between_events_slowly(deferred_frees, inbox);
}
