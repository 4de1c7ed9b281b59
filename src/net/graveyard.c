#include "net/loop.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>

struct graveyard {
	struct timer timer;
	struct inbox *inbox;
	struct grave *first;
};

bool
graveyard_empty(struct graveyard *y)
{
	bool had_some = y->first != NULL;

	while (y->first != NULL) {
		struct grave *g = y->first;
		void (*free_it)(struct grave *) = g->free_it;

		y->first = g->next;
		g->free_it = NULL; /* it may live on, in another loop */
		free_it(g);
	}
	return had_some;
}

static void
on_timer(void *arg)
{
	graveyard_empty(arg);
}

struct graveyard *
graveyard_new(struct event_base *base, struct inbox *inbox)
{
	struct graveyard *y = xcalloc(1, sizeof(*y));

	y->inbox = inbox;
	timer_init(&y->timer, base, NULL, on_timer, y);
	return y;
}

void
graveyard_between(struct graveyard *y, struct inbox *inbox)
{
	graveyard_empty(y);
	inbox_read(inbox, false);
}

void
graveyard_free(struct graveyard *y)
{
	if (y == NULL)
		return;
	graveyard_empty(y);
	timer_stop(&y->timer);
	free(y);
}

void
graveyard_bury(struct graveyard *y, struct grave *g, void (*free_it)(struct grave *g))
{
	assert(g->free_it == NULL); /* nothing is freed twice */
	g->free_it = free_it;
	g->next = y->first;
	if (y->first == NULL)
		timer_fire(&y->timer);
	if (y->inbox != NULL)
		inbox_raise_sign(y->inbox);
	y->first = g;
}
