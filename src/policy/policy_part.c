/* src/policy/policy_part.c - one worker's part of a pool: gives connections to other parts, and takes theirs. */
#include "policy/policy_state.h"
#include "policy/policy_whole.h"

void
policy_set_whole(struct policy *p, struct policy_whole *w, uint64_t now_us)
{
	(void)p, (void)w, (void)now_us;
}

bool
policy_arrive(struct policy *p, struct policy_conn *conn, uint64_t now_us)
{
	(void)p, (void)conn, (void)now_us;
	return false;
}
