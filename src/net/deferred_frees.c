#include "net/loop.h"
#include "base/alloc.h"

#include <assert.h>

struct deferred_frees {
	struct timer timer;
	struct inbox *inbox;
	struct deferred_entry *first;
};

bool
deferred_frees_run(struct deferred_frees *y)
{
	bool had_some = y->first != NULL;

	while (y->first != NULL) {
		struct deferred_entry *g = y->first;
		void (*free_it)(struct deferred_entry *) = g->free_it;

		y->first = g->next;
		g->free_it = NULL; /* free_it() may move the object to another loop in place of freeing it */
		free_it(g);
	}
	return had_some;
}

static void
on_timer(void *arg)
{
	deferred_frees_run(arg);
}

struct deferred_frees *
deferred_frees_new(struct event_base *base, struct inbox *inbox)
{
	struct deferred_frees *y = xcalloc(1, sizeof(*y));

	y->inbox = inbox;
	timer_init(&y->timer, base, NULL, on_timer, y);
	return y;
}

void
loop_run_between_events_slowly(struct deferred_frees *y, struct inbox *inbox)
{
	deferred_frees_run(y);
	inbox_read(inbox, false);
}

void
deferred_frees_free(struct deferred_frees *y)
{
	if (y == NULL)
		return;
	deferred_frees_run(y);
	timer_stop(&y->timer);
	free(y);
}

void
deferred_frees_add(struct deferred_frees *y, struct deferred_entry *g, void (*free_it)(struct deferred_entry *g))
{
	assert(g->free_it == NULL); /* no object is freed twice */
	g->free_it = free_it;
	g->next = y->first;
	if (y->first == NULL)
		timer_fire_soon(&y->timer);
	if (y->inbox != NULL)
		inbox_set_has_work(y->inbox);
	y->first = g;
}
