/*
 * src/pool/pool_hold.c - a statement wants a database to itself (DROP DATABASE and the like): ours step aside.
 *
 * Pools of that database, whoever their user is and whatever clients call it, close what nobody has borrowed and lend
 * nothing until the statement is over; lent servers are closed as they come back. Clients wait meanwhile. Whatever
 * happens, it is over after HOLD_US: PostgreSQL itself waits 5 s for others to leave. Then clients have it for at least
 * as long as it was held, whoever asks.
 */
#include "pool/pool_set.h"

#include "base/clock.h"
#include "pool/notify_hub.h"
#include "pool/pool_target.h"

#include <string.h>

#define HOLD_US (5 * US_PER_S)

static bool
has_host(const struct upstream *up, const struct upstream_host *h)
{
	for (size_t i = 0; i < up->host_count; i++)
		if (up->hosts[i].port == h->port && strcmp(up->hosts[i].host, h->host) == 0)
			return true;
	return false;
}

/* Different names of one host are not seen to be the same. */
static bool
is_same_cluster(const struct upstream *a, const struct upstream *b)
{
	for (size_t i = 0; i < a->host_count; i++)
		if (has_host(b, &a->hosts[i]))
			return true;
	return false;
}

/* A walk over all pools: PostgreSQL's own DROP DATABASE waits for a checkpoint. */
unsigned
pool_set_hold_database(const struct pool_entry *asking, const char *database, uint64_t holder, uint64_t now_us,
		       bool *is_again)
{
	unsigned count = 0;

	*is_again = false;
	for (struct pool_entry *e = pool_set_first(asking->set); e != NULL; e = e->next) {
		if (e->held_until_us != 0 || strcmp(e->target->database, database) != 0 ||
		    !is_same_cluster(e->target->upstream, asking->target->upstream))
			continue;
		if (now_us < e->hold_again_us) {
			*is_again = true;
			continue;
		}
		e->holder = holder;
		e->held_since_us = now_us;
		e->held_until_us = now_us + HOLD_US;
		pool_close_all(e->policy, RR_KILL, now_us); /* none in stock either, before somebody asks for one */
		pool_pause(e->policy, now_us);
		notify_hubs_step_aside(e);
		count++;
	}
	return count;
}

static void
release(struct pool_entry *e, uint64_t now_us)
{
	e->held_until_us = 0;
	e->hold_again_us = now_us + (now_us - e->held_since_us);
	if (!pool_set_is_paused(e->set) && !e->database->is_paused)
		pool_resume(e->policy, now_us);
}

void
pool_set_release_database(struct pool_set *set, uint64_t holder, uint64_t now_us)
{
	for (struct pool_entry *e = pool_set_first(set); e != NULL; e = e->next)
		if (e->held_until_us != 0 && e->holder == holder)
			release(e, now_us);
}

void
pool_hold_expire(struct pool_entry *e, uint64_t now_us)
{
	if (e->held_until_us != 0 && now_us >= e->held_until_us)
		release(e, now_us);
}
