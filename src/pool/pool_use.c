/* src/pool/pool_use.c - see pool.h. */
#include "pool/pool_set_state.h"

#include <assert.h>

void
pool_use_add_pool(struct pool *pool)
{
	TAILQ_INSERT_TAIL(&pool->set->inactive, pool, activity_link);
	pool->set->inactive_count++;
}

void
pool_use_remove_pool(struct pool *pool)
{
	struct pool_set *set = pool->set;

	if (pool->is_active)
		TAILQ_REMOVE(&set->active, pool, activity_link);
	else {
		assert(set->inactive_count > 0);
		TAILQ_REMOVE(&set->inactive, pool, activity_link);
		set->inactive_count--;
	}
}

void
pool_use_activate(struct pool *pool)
{
	struct pool_set *set = pool->set;

	if (pool->is_active)
		return;
	pool_use_remove_pool(pool);
	pool->is_active = true;
	TAILQ_INSERT_TAIL(&set->active, pool, activity_link);
}

bool
pool_use_try_rest(struct pool *pool)
{
	if (!TAILQ_EMPTY(&pool->servers) || pool->is_watched)
		return false;
	pool_use_remove_pool(pool);
	pool->is_active = false;
	pool_use_add_pool(pool);
	return true;
}

struct pool *
pool_use_next_active(const struct pool_set *set, const struct pool *before)
{
	return before == NULL ? TAILQ_FIRST(&set->active) : TAILQ_NEXT(before, activity_link);
}

struct policy_use_sample
pool_use_take_sample(const struct pool *pool)
{
	struct policy_use_sample sample = { .loans = pool_count_checkouts(pool),
					    .waits = pool->counters.waits,
					    .timeouts = pool->counters.pool_timeouts,
					    .server_us = pool->server_us,
					    .waited_us = pool->waited_us,
					    .limit = pool->settings.pool_size + pool->settings.max_overflow,
					    .clients = pool->clients };
	struct policy_counts counts;
	const struct server *srv;
	uint64_t since_us;

	policy_get_counts(pool->policy, &counts);
	sample.waiting = counts.waiting;
	TAILQ_FOREACH(srv, &pool->servers, all)
		if (srv->target->replication == NULL && pool_server_is_lent(srv)) { /* replication has no place here */
			sample.in_use++;
			sample.uses[pool_use_of(srv, &since_us)]++;
		}
	sample.busy = policy_is_shard(pool->policy) ? policy_count_busy(pool->policy) : sample.in_use;
	return sample;
}

enum server_use
pool_use_of(const struct server *srv, uint64_t *since_us)
{
	const struct loan *loan = &srv->loan;
	uint64_t rests_us = loan_rests_since(loan);

	if (loan->clock.since_us != 0 && loan->clock.debtor == PHASE_CLIENT) {
		*since_us = loan->clock.since_us;
		return USE_CLIENT;
	}
	if (loan->clock.since_us != 0 || srv->ledger.count > 0) {
		ledger_owes_client(&srv->ledger, since_us);
		*since_us = *since_us > rests_us ? *since_us : rests_us;
		return USE_RUNNING;
	}
	*since_us = rests_us;
	return srv->tx != 'I' ? USE_IDLE : USE_KEPT;
}
