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
		t->is_ahead = false;
	}
	conn->ahead_count = 0;
}
