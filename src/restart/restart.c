/* src/restart/restart.c - see restart.h: what concerns either side of a restart. */
#include "restart/restart_state.h"

#include "base/alloc.h"
#include "restart/handover.h"

#include <stdlib.h>

/* On worker 0: others have called. */
static void
look(void *arg)
{
	struct restart *r = arg;

	restart_look_at_arrivals(r);
	if (r->moving != NULL)
		moving_look(r->moving);
}

struct restart *
restart_new(const struct restart_host *host)
{
	struct restart *r = xcalloc(1, sizeof(*r));

	r->host = *host;
	r->parked = parked_new(host->clients->inbox, look, r);
	return r;
}

void
restart_free(struct restart *r)
{
	restart_forget_predecessor(r);
	restart_forget_successor(r);
	if (r != NULL)
		parked_free(r->parked);
	free(r);
}

void
restart_tick(struct restart *r)
{
	restart_successor_tick(r);
	restart_predecessor_tick(r);
}

void
restart_on_stop(struct restart *r, enum shutdown_how how)
{
	const uint8_t byte = (uint8_t)how;

	restart_abandon_successor(r);
	r->is_stopping = true;
	restart_send_predecessor(r, HANDOVER_STOP, &byte, 1);
}

void
restart_on_end(struct restart *r)
{
	r->is_ending = true;
}

bool
restart_stop_successor(struct restart *r, enum shutdown_how how)
{
	const uint8_t byte = (uint8_t)how;

	return restart_send_successor(r, HANDOVER_STOP, &byte, 1);
}

void
restart_client_gone(struct restart *r, const struct client *c)
{
	parked_forget(r->parked, c);
	restart_arrival_gone(r, c);
	if (r->moving == NULL)
		return;
	moving_client_gone(r->moving, c);
	restart_end_if_moved(r);
}

void
restart_client_released(struct restart *r, struct exchange *x)
{
	struct client *c = client_of(x);

	if (!c->is_staying && x->stream.secured == NULL)
		parked_add(r->parked, c);
}

/* The listener has answered for a client on its way, or has caught up: what was notified before is in its queue. */
void
restart_crossing_heard(struct restart *r, struct exchange *x)
{
	(void)x;
	parked_call(r->parked);
}
