/* src/restart/restart.c - see restart.h: what concerns either side of a restart. */
#include "restart/restart_state.h"

#include "base/alloc.h"
#include "restart/handover.h"

#include <stdlib.h>

struct restart *
restart_new(const struct restart_host *host)
{
	struct restart *r = xcalloc(1, sizeof(*r));

	r->host = *host;
	return r;
}

void
restart_free(struct restart *r)
{
	restart_forget_predecessor(r);
	restart_forget_successor(r);
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
	restart_arrival_gone(r, c);
	if (r->moving == NULL)
		return;
	moving_client_gone(r->moving, c);
	restart_end_if_moved(r);
}

void
restart_client_released(struct restart *r, struct exchange *x)
{
	if (r->moving != NULL)
		moving_client_released(r->moving, client_of(x));
}

/* The listener has caught up: what was notified before is in the client's queue. */
void
restart_crossing_heard(struct restart *r, struct exchange *x)
{
	restart_arrival_listening(r, x);
	if (r->moving != NULL)
		moving_client_caught_up(r->moving, client_of(x));
}
