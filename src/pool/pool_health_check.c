/*
 * src/pool/pool_health_check.c - finds out without clients that a host can be reached again. As long as pgweir says
 * that the host is down, a load balancer sends no clients to pgweir, so no request would ever try the host.
 *
 * For each host that is down, one of the pools with that host opens a connection about every second, unless another
 * attempt has just failed. A failed check counts as a failure of the pool only if clients wait and the pool has no
 * other host, because one of several hosts may be down for days. A connection that succeeds is closed unless the
 * upstream has no other host, because the pool's next connection may have to go to another host (load_balance_hosts).
 */
#include "pool/pool_set_state.h"

#define HEALTH_CHECK_EVERY_US (800 * US_PER_MS) /* checked every 100 ms or so, so 900 ms may pass */
#define HEALTH_CHECKS_MOST 8 /* how many checks of one host that does not answer may run at the same time */

static bool
is_due(const struct pool_backend *b, uint64_t now_us)
{
	return b->counters.up_state == 0 && now_us - b->checked_us >= HEALTH_CHECK_EVERY_US;
}

/* Gives the check of b to the pool e, unless another pool has it already. A pool in an outage takes the check from a
 * pool that is in none, because a success ends the outage. */
static void
consider_pool(struct pool *e, struct pool_backend *b, const struct upstream_host *host)
{
	struct policy_counts counts;

	b->is_configured = true;
	policy_get_counts(e->policy, &counts);
	if (e->is_orphan || e->main != NULL || counts.is_paused || e->database->is_disabled)
		return;
	if (b->health_check.pool == NULL || (counts.outage.since_us > 0 && !b->health_check.is_in_outage))
		b->health_check = (struct pool_health_check){ b, e, host, counts.outage.since_us > 0 };
}

void
pool_set_health_check(struct pool_set *set, uint64_t now_us)
{
	char address[SERVER_ADDRESS_MAX];
	bool is_any_due = false;

	for (struct pool_backend *b = set->backends.first; b != NULL; b = b->next) {
		b->is_configured = false;
		b->health_check = (struct pool_health_check){ 0 };
		is_any_due |= is_due(b, now_us);
	}
	if (!is_any_due || set->is_suspended)
		return;
	for (struct pool *e = set->first; e != NULL; e = e->next) {
		const struct upstream *up = e->target->upstream;

		for (size_t i = 0; i < up->host_count; i++) {
			struct pool_backend *b;

			server_host_address(&up->hosts[i], address);
			b = pool_backend_find(&set->backends, address);
			if (b != NULL && is_due(b, now_us))
				consider_pool(e, b, &up->hosts[i]);
		}
	}
	for (struct pool_backend *b = set->backends.first; b != NULL; b = b->next) {
		if (!is_due(b, now_us))
			continue;
		b->checked_us = now_us;
		if (!b->is_configured)
			b->counters.up_state = -1; /* no pool has this host any more, so it will not be checked again */
		if (b->health_check.pool == NULL || b->running_checks >= HEALTH_CHECKS_MOST)
			continue;
		set->health_check = &b->health_check;
		policy_health_check(b->health_check.pool->policy, now_us);
		set->health_check = NULL;
	}
}
