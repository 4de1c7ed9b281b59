/* src/pool/pool_use.c - see pool.h. */
#include "pool/pool_set_state.h"

#include <assert.h>

#define LOOK_US (100 * US_PER_MS)

void
pool_use_begin(struct pool *pool)
{
	TAILQ_INSERT_TAIL(&pool->set->bare, pool, looked_at);
	pool->set->bare_count++;
}

void
pool_use_end(struct pool *pool)
{
	struct pool_set *set = pool->set;

	if (pool->is_active)
		TAILQ_REMOVE(&set->active, pool, looked_at);
	else {
		assert(set->bare_count > 0);
		TAILQ_REMOVE(&set->bare, pool, looked_at);
		set->bare_count--;
	}
}

void
pool_is_active(struct pool *pool)
{
	struct pool_set *set = pool->set;

	if (pool->is_active)
		return;
	pool_use_end(pool);
	pool->is_active = true;
	TAILQ_INSERT_TAIL(&set->active, pool, looked_at);
}

bool
pool_use_rests(struct pool *pool)
{
	if (!TAILQ_EMPTY(&pool->servers) || pool->is_watched)
		return false;
	pool_use_end(pool);
	pool->is_active = false;
	pool_use_begin(pool);
	return true;
}

struct pool *
pool_use_next_active(const struct pool_set *set, const struct pool *before)
{
	return before == NULL ? TAILQ_FIRST(&set->active) : TAILQ_NEXT(before, looked_at);
}

/* No connections were in use while the pool had no servers. */
void
pool_use_look(struct pool *pool, uint64_t now_us)
{
	struct pool_use *u = &pool->use[0];
	const struct server *srv;
	uint32_t in_use = 0, limit = pool->settings.pool_size + pool->settings.max_overflow;
	uint64_t looks = (now_us - u->looked_us + LOOK_US / 2) / LOOK_US;

	if (u->limit != limit || now_us - u->since_us >= POOL_USE_SPAN_US) {
		bool is_before = u->limit == limit && now_us - u->since_us < 2 * POOL_USE_SPAN_US;

		pool->use[1] = is_before ? *u : (struct pool_use){ 0 };
		*u = (struct pool_use){ .since_us = now_us,
					.looked_us = now_us,
					.limit = limit,
					.checkouts = pool_checkouts(pool),
					.waits = pool->counters.waits,
					.timeouts = pool->counters.pool_timeouts };
		looks = 1;
	}
	if (looks == 0)
		return;
	TAILQ_FOREACH(srv, &pool->servers, all) {
		uint64_t since_us;

		if (!pool_is_in_use(srv))
			continue;
		in_use++;
		u->uses[pool_use_of(srv, &since_us)]++;
	}
	u->looked_us = now_us;
	u->looks += looks;
	if (u->peak < in_use)
		u->peak = in_use;
}

enum server_use
pool_use_of(const struct server *srv, uint64_t *since_us)
{
	const struct loan *loan = &srv->loan;
	uint64_t rests_us = loan_rests_since(loan);

	if (loan->clock.since_us != 0 && loan->clock.debtor == PHASE_CLIENT_WRITE) {
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
