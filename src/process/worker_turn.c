/* src/process/worker_turn.c - see worker.h. */
#include "process/worker.h"

#include <event2/event.h>

void
worker_turn(struct worker *k)
{
	event_base_loop(k->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
	k->counters.loop_iterations++;
}
