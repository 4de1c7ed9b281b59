/*
 * src/pool/pool_hold.c - a statement needs a database for itself (DROP DATABASE and the like): pgweir's servers leave.
 *
 * All pools of that database, for any user and under any name, close the servers that nobody has borrowed and lend none
 * until the statement is over; lent servers are closed when they are returned. Clients wait meanwhile. The hold ends
 * after HOLD_US at the latest: PostgreSQL itself waits 5 s for others to leave. Then it can't be held again for as long
 * as it was held, so that clients get their turn.
 */
#include "pool/pool_set_state.h"

#include "base/clock.h"

#include <string.h>

#define HOLD_US (5 * US_PER_S)

/* Walks over all pools; that is cheap beside a DROP DATABASE, which waits for a checkpoint. */
unsigned
pool_set_hold_database(struct pool_set *set, const struct pool_target *asking, const char *database, uint64_t holder,
		       uint64_t now_us)
{
	unsigned count = 0, result = 0;

	for (struct pool *e = pool_set_first(set); e != NULL; e = e->next) {
		if (e->held_until_us != 0 || strcmp(e->target->database, database) != 0 ||
		    !upstream_is_same_cluster(e->target->upstream, asking->upstream))
			continue;
		if (now_us < e->hold_again_us) {
			result = POOLS_HELD_LATER;
			continue;
		}
		e->holder = holder;
		e->held_since_us = now_us;
		e->held_until_us = now_us + HOLD_US;
		policy_close_all(e->policy, RR_KILL,
				 now_us); /* nor is any kept ready (min_idle) before the next borrow */
		policy_pause(e->policy, now_us);
		e->set->companions->step_aside(e);
		count++;
	}
	if (count > 0)
		log_info(set->log,
			 "client %llu: idle connections to \"%s\" are closed for a statement that needs it alone",
			 (unsigned long long)holder, database);
	return result | (count > 0 ? POOLS_HELD : 0u);
}

static void
release(struct pool *e, uint64_t now_us)
{
	e->held_until_us = 0;
	e->hold_again_us = now_us + (now_us - e->held_since_us);
	if (!pool_set_is_paused(e->set) && !e->database->is_paused)
		policy_resume(e->policy, now_us);
}

void
pool_set_release_database(struct pool_set *set, uint64_t holder, uint64_t now_us)
{
	for (struct pool *e = pool_set_first(set); e != NULL; e = e->next)
		if (e->held_until_us != 0 && e->holder == holder)
			release(e, now_us);
}

void
pool_hold_expire(struct pool *e, uint64_t now_us)
{
	if (e->held_until_us != 0 && now_us >= e->held_until_us)
		release(e, now_us);
}
