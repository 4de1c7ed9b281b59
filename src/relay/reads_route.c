/*
 * src/relay/reads_route.c - which host a loan is of, where the settings of a client say that it reads from standbys.
 *
 * With reads = prefer_standby, each loan of a client that keeps nothing on a server is a standby's, if one is there
 * that lags by reads_max_lag at most, the one with the fewest loans first. A standby is never waited for: the primary's
 * line is the only one. Nothing is promised but the lag, and what writes is refused by PostgreSQL.
 */
#include "relay/reads_state.h"
#include "policy/policy_shared.h"
#include "pool/standby_pools.h"

static uint32_t
lent_of(const struct pool *pool, uint32_t host)
{
	return pool->standby_pools[host] == NULL ? 0 : policy_busy(pool->standby_pools[host]->policy);
}

bool
reads_is_busy(const struct pool *pool, uint32_t host)
{
	return pool->standby_pools[host] != NULL &&
	       lent_of(pool, host) >= pool->standby_pools[host]->settings.pool_size;
}

uint32_t
reads_least_lent(const struct pool *pool, unsigned hosts, uint32_t last, uint64_t id)
{
	uint32_t best = CLUSTER_HOSTS, fewest = UINT32_MAX, equal = 0;

	if ((hosts & pool->own_zone) != 0)
		hosts &= pool->own_zone;
	/* Mixed, as an application's sessions may come in pairs: one writes, one reads. */
	id = id * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	for (uint32_t host = 0; host < CLUSTER_HOSTS; host++) {
		uint32_t lent;

		if ((hosts >> host & 1) == 0 || (lent = lent_of(pool, host)) > fewest)
			continue;
		equal = lent < fewest ? 1 : equal + 1;
		if (lent < fewest || host == last || (best != last && id % equal == 0))
			best = host;
		id /= equal;
		fewest = lent;
	}
	return best;
}

/*
 * Returns the standbys that may be read from, a bit for each place in the upstream. If no primary answers nobody knows
 * how far they lag behind one, and they are all there is; if two do, a standby may be that of either.
 */
static unsigned
usable_standbys(struct cluster *c, uint64_t max_lag_us)
{
	const struct cluster_view *v = cluster_lock(c);
	unsigned standbys = 0, near = 0, primaries = 0;
	bool was_seen = v->history != 0;

	for (uint32_t i = 0; i < v->count; i++) {
		const struct host_view *h = &v->hosts[i];

		primaries += h->role == HOST_PRIMARY;
		standbys |= (h->role == HOST_STANDBY ? 1u : 0u) << i;
		near |= (h->is_proved && !h->is_silent && h->lag_us <= max_lag_us ? 1u : 0u) << i;
	}
	cluster_unlock(c);
	if (primaries == 1)
		return standbys & near;
	return primaries == 0 && was_seen ? standbys : 0;
}

static struct server *
borrow_standby(struct exchange *x)
{
	struct pool *pool = x->pool;
	struct server *srv = NULL;
	unsigned hosts;

	if (x->settings->reads != READS_PREFER_STANDBY || pool->cluster == NULL || x->is_session || x->listen != NULL)
		return NULL;
	hosts = usable_standbys(pool->cluster, x->settings->reads_max_lag_us);
	while (hosts != 0 && srv == NULL) {
		uint32_t host = reads_least_lent(pool, hosts, CLUSTER_HOSTS, x->waiter.id);

		hosts &= ~(1u << host);
		srv = pool_borrow_standby(pool, host, &x->waiter, x, *x->env->now_us);
	}
	return srv;
}

enum walk_result
reads_choose(struct request_walk *w, bool is_fast)
{
	struct exchange *x = w->x;
	enum walk_result r;

	w->lent = borrow_standby(x);
	if (x->settings->reads == READS_MARKED && (r = reads_route(w, is_fast)) != WALK_ON)
		return r;
	if (w->lent == NULL)
		w->lent = pool_borrow(x->pool, &x->waiter, x, *x->env->now_us);
	return w->lent != NULL && reads_must_wait(x, w->lent) ? WALK_WAIT : WALK_ON;
}
