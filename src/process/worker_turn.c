/* src/process/worker_turn.c - see worker.h. */
#include "process/process_state.h"
#include "base/resources.h"
#include "policy/policy_commons.h"

#include <event2/event.h>

void
worker_run_turn(struct worker *k)
{
	bool is_busy;

	event_base_loop(k->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
	k->counters.loop_iterations++;
	policy_worker_count_turn(k->policy_part);
	/* While helpers work, for milliseconds at a time, a loop that wakes must not wait for a processor. At other
	 * times the loop's priority stays normal, because an urgent loop preempts other processes. It would, for
	 * example, preempt a lone client each time the client has sent a query and is about to sleep. The priority
	 * falls when helpers have been idle for a tick, so not every handshake of a storm costs a system call. */
	is_busy = helpers_are_busy(k->weir->shared.helpers);
	if (is_busy)
		k->helped_us = k->now_us;
	if (is_busy == k->is_urgent || (!is_busy && k->now_us - k->helped_us < TICK_US))
		return;
	k->is_urgent = is_busy;
	priority_set_urgent(is_busy);
}
