/*
 * src/pool/standby_pools.c - the standby pools of a pool: a struct pool for each standby from which the pool's clients
 * have borrowed servers. A standby pool is made at first use, and freed with its main pool.
 *
 * For its servers a standby pool is like any other pool (seal, washing, pings, GUC sets), but no client knows it: its
 * queue is always empty, it has no name, and its counters are the main pool's. A standby pool shares the main pool's
 * names of prepared statements, and the answers about the code, because the database is the same.
 */
#include "pool/pool_set_state.h"
#include "pool/cluster.h"

#include <stdlib.h>

/* Each shard of a pool has standby pools of its own, with a share of the connections. */
void
standby_pool_adapt_settings(struct pool *pool)
{
	struct pool_set *set = pool->set;
	uint32_t parts = pool_shards_max(set->config, pool->database->name, pool->user, &set->s.split);

	pool->settings.pool_size = (pool->settings.pool_size + parts - 1) / parts;
	pool->settings.max_overflow = 0;
	pool->settings.min_idle = 0;
	pool->settings.share_min = 0; /* its clients can use the primary instead */
}

/* Returns true if any of the pool's clients reads from standbys. */
static bool
has_standby_readers(const struct pool *pool)
{
	bool has_readers = pool->settings.reads != READS_PRIMARY;

	for (const struct pool_user *u = pool->users; u != NULL; u = u->next)
		has_readers |= u->settings.reads != READS_PRIMARY;
	return has_readers;
}

/* Returns a reference to the cluster of the pool's hosts; NULL if the pool needs none, or if there is no memory. */
static struct cluster *
find_cluster(const struct pool *pool)
{
	uint32_t count = (uint32_t)pool->target->upstream->host_count;
	bool needs_cluster = pool->main == NULL && count > 1 && !pool->is_orphan && has_standby_readers(pool);
	char *hosts = needs_cluster ? pool_target_cluster_key(pool->target) : NULL;
	struct cluster *c = hosts == NULL ? NULL : cluster_get_or_create(pool->set->s.worker->commons, hosts, count);

	free(hosts);
	return c;
}

static unsigned
hosts_of_zone(const struct upstream *up, const char *zone)
{
	unsigned hosts = 0;

	for (uint32_t i = 0; i < CLUSTER_HOSTS && i < up->host_count; i++)
		hosts |= (upstream_is_in_zone(up, i, zone) ? 1u : 0u) << i;
	return hosts;
}

void
standby_pools_configure(struct pool *pool, uint64_t now_us)
{
	struct cluster *before = pool->cluster;
	struct server *srv;
	struct fail why;

	pool->cluster = find_cluster(pool);
	pool->own_zone = hosts_of_zone(pool->target->upstream, pool->set->config->zone);
	/* the new cluster has other numbers for histories and readings */
	if (pool->cluster != NULL && pool->cluster != before) {
		pool->history = 0;
		pool->code_history = 0;
		TAILQ_FOREACH(srv, &pool->servers, all)
			srv->history = 0;
		pool->set->s.dedicated_ops->renew(pool);
	}
	cluster_put(before);
	if (pool->cluster != NULL)
		standby_pools_note_new_code(pool);
	for (uint32_t i = 0; i < CLUSTER_HOSTS; i++)
		if (pool->standby_pools[i] != NULL &&
		    (pool->cluster == NULL || i >= pool->target->upstream->host_count ||
		     pool_configure(pool->standby_pools[i], now_us, &why) < 0))
			policy_close_all(pool->standby_pools[i]->policy, RR_RELOAD, now_us);
}

bool
standby_pools_are_empty(const struct pool *pool)
{
	for (uint32_t i = 0; i < CLUSTER_HOSTS; i++)
		if (pool->standby_pools[i] != NULL && !TAILQ_EMPTY(&pool->standby_pools[i]->servers))
			return false;
	return true;
}

struct server *
pool_borrow_standby(struct pool *pool, uint32_t host, struct policy_waiter *waiter, void *borrower, uint64_t now_us)
{
	struct pool *standby_pool = pool->standby_pools[host];
	struct pool_backend *b;
	struct policy_conn *conn;
	struct server *srv;

	if (standby_pool == NULL && (standby_pool = pool_new_standby_pool(pool, host, now_us)) == NULL)
		return NULL;
	pool->last_used_us = now_us;
	conn = policy_borrow_idle(standby_pool->policy, waiter, now_us);
	if (conn == NULL)
		return NULL;
	srv = pool_granted(conn, borrower, now_us);
	srv->loan.standby = (uint8_t)(host + 1);
	b = pool_backend_find(&pool->set->backends, srv->address);
	if (b != NULL)
		b->counters.standby_loans++;
	return srv;
}

const struct upstream_host *
pool_primary_host(const struct pool *pool)
{
	const struct upstream *u = pool->target->upstream;
	const struct upstream_host *host = NULL;
	const struct cluster_view *v;

	if (pool->cluster == NULL)
		return NULL;
	v = cluster_lock(pool->cluster);
	/* during a reload the cluster may have more hosts than the target */
	if (v->primary >= 0 && (size_t)v->primary < u->host_count)
		host = &u->hosts[v->primary];
	cluster_unlock(pool->cluster);
	return host;
}

bool
pool_note_server_host(const struct pool *pool, struct server *srv)
{
	const struct cluster_view *v = cluster_lock(pool->cluster);
	bool is_there;

	if (v->primary >= 0 && (srv->history == 0 || srv->history == HISTORY_TRUSTED))
		srv->history = srv->host_index == (size_t)v->primary ? v->history : HISTORY_OTHER;
	is_there = srv->history == v->history || (v->primary < 0 && srv->history == HISTORY_TRUSTED);
	cluster_unlock(pool->cluster);
	return is_there;
}

void
standby_pools_note_new_code(struct pool *pool)
{
	pool->code_due = cluster_last_begun_reading(pool->cluster) + 1;
	cluster_want(pool->cluster, CLUSTER_ALL);
}

/* Returns true if the standby has replayed all that the primary had when the last answer about the code came. */
static bool
check_code_replayed(struct pool *pool, const struct cluster_view *v, const struct host_view *h)
{
	const struct reading *primary = v->primary < 0 ? NULL : &v->hosts[v->primary].last;

	if (pool->code_history != v->history && (pool->code_due == 0 || pool->code_history != 0))
		pool->code_due = cluster_last_begun_reading(pool->cluster) + 1;
	pool->code_history = v->history;
	if (primary != NULL && pool->code_due != 0 && primary->number >= pool->code_due) {
		pool->code_position = primary->position;
		pool->code_due = 0;
	}
	return primary != NULL && pool->code_due == 0 && h->role == HOST_STANDBY && h->is_proved && !h->is_silent &&
	       h->last.number != 0 && h->last.position >= pool->code_position;
}

bool
standby_pool_has_current_code(struct pool *standby_pool)
{
	struct pool *pool = standby_pool->main;
	const struct cluster_view *v;
	bool has_code;

	if (pool->cluster == NULL)
		return false;
	v = cluster_lock(pool->cluster);
	has_code = check_code_replayed(pool, v, &v->hosts[standby_pool->host]);
	cluster_unlock(pool->cluster);
	return has_code;
}

unsigned
standby_pool_assumed_risk(struct server *srv)
{
	struct pool *standby_pool = srv->owner, *pool = standby_pool->main;
	const struct cluster_view *v = cluster_lock(pool->cluster);
	const struct host_view *h = &v->hosts[standby_pool->host];
	bool has_code = check_code_replayed(pool, v, h),
	     is_newer = srv->reading < h->last.number; /* else h->last is older than srv, maybe of another life */

	cluster_unlock(pool->cluster);
	if (has_code && pool->code->answer != NULL)
		standby_pool->unseen_leftovers = 0;
	if (has_code && is_newer)
		return 0;
	return database_code_assumed_risk(pool->code) | pool->code->earlier_risks | standby_pool->unseen_leftovers;
}

void
pool_note_cluster_at_login(struct server *srv)
{
	const struct pool *pool = srv->owner;

	if (pool->main != NULL && pool->main->cluster != NULL)
		srv->reading = cluster_last_begun_reading(pool->main->cluster);
	else if (pool->cluster != NULL)
		pool_note_server_host(pool, srv);
}

void
pool_set_primary_history(struct pool *pool, uint32_t history, uint64_t now_us)
{
	if (pool->history == history)
		return;
	pool->history = history;
	policy_close_all(pool->policy, RR_RELOAD, now_us);
}

void
pool_add_standby_counts(const struct pool *pool, struct policy_counts *counts)
{
	for (uint32_t i = 0; i < CLUSTER_HOSTS; i++)
		if (pool->standby_pools[i] != NULL)
			policy_add_counts(pool->standby_pools[i]->policy, counts);
}
