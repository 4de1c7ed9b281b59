#include "relay/route.h"

#include "pool/cluster.h"
#include "pool/pool_standby.h"
#include "relay/reads.h"

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
		uint32_t host = pool_standby_choose(pool, hosts, CAUSALITY_HOSTS, x->ticket.id);

		hosts &= ~(1u << host);
		srv = pool_borrow_standby(pool, host, &x->ticket, x, *x->env->now_us);
	}
	return srv;
}

enum walk_result
route_borrow(struct request_walk *w, bool is_fast)
{
	struct exchange *x = w->x;
	enum walk_result r;

	w->lent = borrow_standby(x);
	if (x->settings->reads == READS_MARKED && (r = reads_route(w, is_fast)) != WALK_ON)
		return r;
	if (w->lent == NULL)
		w->lent = pool_borrow(x->pool, &x->ticket, x, *x->env->now_us);
	return w->lent != NULL && reads_must_wait(x, w->lent) ? WALK_WAIT : WALK_ON;
}
