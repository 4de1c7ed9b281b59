/* src/net/timer.h - libevent's timers where nothing can be done if there is no memory for one. */
#pragma once

#include "base/clock.h"

#include <event2/event.h>

static inline struct timeval
timer_interval(uint64_t us)
{
	return (struct timeval){ (time_t)(us / US_PER_S), (suseconds_t)(us % US_PER_S) };
}

/* Starts a timer, or changes when it fires. Without memory it fires at once: its callback finds that it is too early.
 */
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
