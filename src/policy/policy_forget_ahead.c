/* src/policy/policy_forget_ahead.c - what was sent ahead of its turn is nobody's: see policy_ahead.h. */
#include "policy/policy_ahead.h"
#include "policy/policy_state.h"

void
policy_forget_ahead(struct policy_conn *conn)
{
	for (uint32_t i = 0; i < conn->ahead_count; i++) {
		struct policy_waiter *t = conn->ahead[i].t;

		if (t == NULL)
			continue;
		conn->ahead_in->counters->pipelined[PL_AGAIN]++;
		if (t->waits == WAITS_AHEAD) /* not so of the one that was just granted conn */
			policy_only_waits(conn->ahead_in, t);
		if (conn->ahead_in->count[PC_IDLE] > 0)
			policy_arm(conn->ahead_in, conn->ahead_since_us); /* it is served by an idle one now */
	}
	conn->ahead_count = 0;
}
