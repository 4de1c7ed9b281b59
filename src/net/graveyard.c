#include "net/loop.h"

#include "base/alloc.h"

#include <stdlib.h>

struct graveyard {
	struct event *event;
	struct inbox *inbox;
	struct grave *first;
};

bool
graveyard_empty(struct graveyard *y)
{
	bool had_some = y->first != NULL;

	while (y->first != NULL) {
		struct grave *g = y->first;

		y->first = g->next;
		g->free_it(g);
	}
	return had_some;
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	graveyard_empty(arg);
}

struct graveyard *
graveyard_new(struct event_base *base, struct inbox *inbox)
{
	struct graveyard *y = xcalloc(1, sizeof(*y));

	y->inbox = inbox;
	y->event = alloc_check(event_new(base, -1, 0, on_event, y));
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
	event_free(y->event);
	free(y);
}

void
graveyard_bury(struct graveyard *y, struct grave *g, void (*free_it)(struct grave *g))
{
	g->free_it = free_it;
	g->next = y->first;
	if (y->first == NULL)
		event_active(y->event, EV_TIMEOUT, 0);
	if (y->inbox != NULL)
		inbox_raise_sign(y->inbox);
	y->first = g;
}
