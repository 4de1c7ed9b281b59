#include "net/loop.h"

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	if (t->now_us != NULL)
		*t->now_us = clock_now_us();
	t->fire(t->arg);
}

void
timer_init(struct timer *t, struct event_base *base, uint64_t *now_us, void (*fire)(void *arg), void *arg)
{
	t->fire = fire;
	t->arg = arg;
	t->now_us = now_us;
	event_assign(&t->event, base, -1, 0, on_event, t);
}
