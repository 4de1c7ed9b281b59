/* src/process/process_snapshot.c - copies each worker's counters, and merges them. See telemetry/snapshot.h. */
#include "process/process_state.h"
#include "config/module.h"
#include "statements/statements.h"
#include "dedicated/fleet.h"
#include "dedicated/watch.h"
#include "dedicated/notify_listener.h"
#include "net/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
add_counts(struct snapshot *s, struct snapshot_pool *p, const struct pool *e, uint64_t now_us)
{
	struct policy_counts n;
	struct notify_counts listening;
	struct server *srv;

	policy_get_counts(e->policy, &n);
	notify_listeners_count(e, &listening);
	p->listen_connections += listening.connections;
	p->listening_clients += listening.subscribers;
	p->listen_channels += listening.channels;
	p->servers[SERVERS_IDLE] += n.idle;
	p->servers[SERVERS_LOGIN] += n.opening;
	p->servers[SERVERS_PING] += n.pinging;
	p->servers[SERVERS_CLOSING] += n.closing;
	TAILQ_FOREACH(srv, &e->servers, all) {
		s->buffer_bytes_server += stream_queue_cap(&srv->stream) + srv->carry.cap;
		s->databases[e->database->index].prepared_server += srv->statements.count;
		if (srv->state == SV_RESET)
			p->servers[SERVERS_RESET]++;
		else if (srv->state == SV_LENT)
			p->servers[SERVERS_ACTIVE]++;
	}
	if (n.outage.since_us > 0 && now_us > n.outage.since_us) /* outage_us counts only outages that are over */
		p->counters.outage_us += now_us - n.outage.since_us;
	if (e->main == NULL)
		p->pool_size += e->settings.pool_size;
	p->max_overflow += e->settings.max_overflow;
	p->overflow += n.overflow;
	p->waiting += n.waiting;
	p->clients[CLIENTS_WAITING] += n.waiting;
	if (n.oldest_waiter_us != 0) {
		uint64_t age = now_us > n.oldest_waiter_us ? now_us - n.oldest_waiter_us : 0;

		p->oldest_waiter_us = age > p->oldest_waiter_us ? age : p->oldest_waiter_us;
	}
}

/* Copies a name and truncates it if it is too long. */
static void
copy_name(char to[SNAPSHOT_NAME_MAX], const char *from)
{
	memset(to, 0, SNAPSHOT_NAME_MAX);
	for (size_t i = 0; i < SNAPSHOT_NAME_MAX - 1 && from[i] != '\0'; i++)
		to[i] = from[i];
}

static int
take_pools(struct worker *k, struct snapshot *s)
{
	size_t all = 0, max = k->weir->config->http_metrics_max_pools, i = 0;

	for (struct pool *e = pool_set_first(k->pools); e != NULL && all <= max; e = e->next)
		all += e->main == NULL;
	s->pool_count = all;
	s->pools = malloc((s->pool_count > 0 ? s->pool_count : 1) * sizeof(*s->pools));
	if (s->pools == NULL)
		return -1;
	if (all > max) {
		memset(&s->pools[max], 0, sizeof(*s->pools));
		copy_name(s->pools[max].database, "_other");
		copy_name(s->pools[max].user, "_other");
	}
	for (struct pool *e = pool_set_first(k->pools); e != NULL; e = e->next) {
		bool is_other = i >= max;
		struct snapshot_pool *p = &s->pools[is_other ? max : i];

		if (e->main != NULL)
			continue;
		if (is_other)
			counters_add(&p->counters, &e->counters, sizeof(e->counters));
		else {
			/* The worker's loop stands still meanwhile, and most of this memory is in no cache: with a
			 * thousand pools each pass over their counters takes a good part of a millisecond. So counters
			 * are copied only once, into memory that was not zeroed before. */
			memset(p, 0, offsetof(struct snapshot_pool, counters));
			p->counters = e->counters;
			copy_name(p->database, e->database->name);
			copy_name(p->user, e->user);
		}
		e->index = (uint32_t)(is_other ? max : i);
		i++;
		add_counts(s, p, e, k->now_us);
		for (uint32_t host = 0; host < CLUSTER_HOSTS; host++)
			if (e->standby_pools[host] != NULL)
				add_counts(s, p, e->standby_pools[host], k->now_us);
	}
	s->pools_aggregated = i > max ? i - max : 0;
	return 0;
}

/* Counts the clients and what they hold. Clients that wait for a server are counted by add_counts(), and clients that
 * are logging in by process_snapshot_of(). */
static void
take_clients(struct worker *k, struct snapshot *s)
{
	const struct client *c;
	struct snapshot_pool *p;
	int activity;

	TAILQ_FOREACH(c, &k->clients.clients, all) {
		s->buffer_bytes_client += stream_queue_cap(&c->x.stream) + c->x.pending_cap;
		if (c->x.pool == NULL)
			continue;
		s->databases[c->x.pool->database->index].prepared_client += statements_count(&c->x);
		p = &s->pools[c->x.pool->index];
		activity = client_activity(c);
		p->clients[CLIENTS_IDLE] += activity == CLIENT_IS_IDLE;
		p->clients[CLIENTS_ACTIVE] += activity == CLIENT_IS_ACTIVE;
		p->clients[CLIENTS_WAITING] += activity == CLIENT_IS_WAITING && c->x.waiter.waits == WAITS_NOT;
		p->pinned += activity == CLIENT_IS_ACTIVE && c->x.pins != 0;
	}
}

static int
take_databases(struct worker *k, struct snapshot *s)
{
	size_t all = 0, max = k->weir->config->http_metrics_max_pools, i = 0;

	for (struct pool_database *d = pool_set_databases(k->pools); d != NULL && all <= max; d = d->next)
		all++;
	s->database_count = all;
	s->databases = malloc((s->database_count > 0 ? s->database_count : 1) * sizeof(*s->databases));
	if (s->databases == NULL)
		return -1;
	if (all > max) {
		memset(&s->databases[max], 0, sizeof(s->databases[max]));
		copy_name(s->databases[max].name, "_other");
	}
	for (struct pool_database *d = pool_set_databases(k->pools); d != NULL; d = d->next, i++) {
		struct snapshot_database *to = &s->databases[i < max ? i : max];

		d->index = (uint32_t)(to - s->databases);
		if (i >= max) {
			counters_add(&to->counters, &d->counters, sizeof(d->counters));
			continue;
		}
		to->counters = d->counters;
		to->prepared_client = to->prepared_server = 0;
		to->exemplars = NULL;
		copy_name(to->name, d->name);
		if (d->exemplars != NULL && (to->exemplars = malloc(sizeof(*to->exemplars))) != NULL)
			*to->exemplars = *d->exemplars;
	}
	return 0;
}

static int
take_backends(struct worker *k, struct snapshot *s)
{
	size_t n = 0;

	for (struct pool_backend *b = pool_set_backends(k->pools); b != NULL; b = b->next)
		n++;
	s->backends = calloc(n > 0 ? n : 1, sizeof(*s->backends));
	if (s->backends == NULL)
		return -1;
	for (struct pool_backend *b = pool_set_backends(k->pools); b != NULL; b = b->next) {
		struct snapshot_backend *to = &s->backends[s->backend_count++];

		snprintf(to->name, sizeof(to->name), "%s", b->name);
		snprintf(to->role, sizeof(to->role), "%s",
			 b->role == 'p'	  ? "primary"
			 : b->role == 's' ? "standby"
					  : "unknown");
		to->counters = b->counters;
	}
	return 0;
}

static void
add_not_ready(struct snapshot *s, const char *reason)
{
	if (s->not_ready_count < sizeof(s->not_ready) / sizeof(s->not_ready[0]))
		snprintf(s->not_ready[s->not_ready_count++], sizeof(s->not_ready[0]), "%s", reason);
}

struct snapshot *
process_snapshot_of(struct worker *k)
{
	struct snapshot *s = snapshot_new(k->number);

	if (s == NULL)
		return NULL;
	s->taken_us = k->now_us;
	s->clients_total_now = k->clients.pool_client_count;
	s->login_clients = k->clients.login_count;
	s->cancel_clients = k->clients.cancel_count;
	s->process = k->counters;
	s->process.loop_busy_us = worker_cpu_us(k);
	dialer_get_lookup_counts(k->servers.dialer, &s->process.dns_lookups_ok, &s->process.dns_lookups_failed);
	s->workers[0].counters = s->process;
	s->workers[0].is_up = 1;
	s->statement_cache_bytes = statement_store_bytes(k->clients.x.statements) + k->clients.x.name_bytes;
	if (take_databases(k, s) < 0 || take_pools(k, s) < 0 || take_backends(k, s) < 0) {
		snapshot_free(s);
		return NULL;
	}
	take_clients(k, s);
	return s;
}

static uint64_t
if_known(bool is_known, uint64_t n)
{
	return is_known ? n : SNAPSHOT_UNKNOWN;
}

/* Adds a row, or leaves it out if there is no memory. */
static void
add_budget(const struct fleet_budget *b, void *arg)
{
	struct snapshot *s = arg;
	struct snapshot_budget *all = reallocarray(s->budgets, s->budget_count + 1, sizeof(*all)), *to;

	if (all == NULL)
		return;
	s->budgets = all;
	to = &all[s->budget_count++];
	*to = (struct snapshot_budget){ .limit = if_known(b->limit > 0, b->limit),
					.own_limit = if_known(b->own_limit > 0, b->own_limit),
					.listed = if_known(b->looked_us > 0, b->listed),
					.others = if_known(b->looked_us > 0, b->others),
					.share = if_known(b->share != UINT32_MAX, b->share),
					.used = b->used,
					.waiting = b->short_count,
					.members = b->member_count,
					.is_joined = b->state == FLEET_JOINED,
					.checks_granted = b->checks[FC_GRANTED],
					.checks_none = b->checks[FC_NONE],
					.checks_failed = b->checks[FC_FAILED],
					.check_us = b->check_us,
					.over_us = b->over_us };
	snprintf(to->name, sizeof(to->name), "%s", b->hosts);
}

/* Returns the row of this host; makes one if there is none. Returns NULL without memory. */
static struct snapshot_backend *
find_or_add_backend(struct snapshot *s, const char *name)
{
	struct snapshot_backend *all = s->backends;

	for (size_t i = 0; i < s->backend_count; i++)
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	all = reallocarray(all, s->backend_count + 1, sizeof(*all));
	if (all == NULL)
		return NULL;
	s->backends = all;
	all[s->backend_count] = (struct snapshot_backend){ .role = "unknown", .counters.up_state = -1 };
	snprintf(all[s->backend_count].name, sizeof(all->name), "%s", name);
	return &all[s->backend_count++];
}

static void
add_host(const struct watch_row *h, void *arg)
{
	struct snapshot_backend *b = find_or_add_backend(arg, h->host);

	if (b == NULL)
		return;
	b->lag_us = if_known(h->is_lag_known, h->lag_us);
	b->is_usable = h->use == WATCH_USED;
	b->readings = h->readings;
}

/* Fills in the numbers that belong to no worker. */
static void
add_process(const struct weir *w, struct snapshot *s)
{
	bool has_up = s->backend_count == 0;
	char reason[sizeof(s->not_ready[0])];

	s->state = w->stopping.stage == STOP_ENDING	       ? STATE_STOPPING
		   : w->stopping.stage != STOP_NONE	       ? STATE_DRAINING
		   : pool_set_is_paused(w->main_worker->pools) ? STATE_PAUSED
							       : STATE_RUNNING;
	s->start_wall_us = w->start_wall_us;
	s->last_reload_ok = w->last_reload.is_ok;
	s->last_reload_wall_us = w->last_reload.wall_us;
	s->clients_limit = w->config->max_client_connections;
	for (size_t i = 0; modules[i] != NULL; i++)
		modules[i]->sample(w->modules[i], s->module_numbers[i]);
	fleet_each(w->shared.fleet, add_budget, s);
	for (size_t i = 0; i < s->backend_count; i++)
		s->backends[i].lag_us = s->backends[i].is_usable = s->backends[i].readings = SNAPSHOT_UNKNOWN;
	watch_each(w->shared.watch, add_host, s);
	s->external_calls = jobs_sum_counts(w->shared.jobs);
	log_count_lost_lines(w->log, &s->log_dropped_ring, &s->log_dropped_write);
	for (size_t i = 0; i < s->backend_count; i++)
		has_up = has_up || s->backends[i].counters.up_state != 0;
	if (!has_up)
		add_not_ready(s, "no PostgreSQL server can be reached");
	for (const struct worker *k = w->main_worker; k != NULL; k = k->next)
		if (k->watch.is_silent) {
			snprintf(reason, sizeof(reason), "worker %u does not answer", k->number);
			add_not_ready(s, reason);
		}
	if (w->stopping.stage != STOP_NONE)
		add_not_ready(s, "draining: pgweir is shutting down");
	if (pool_set_is_paused(w->main_worker->pools))
		add_not_ready(s, "paused");
}

struct snapshot *
process_merge_snapshots(struct weir *w, struct snapshot **parts, size_t count)
{
	struct snapshot *s;
	bool has_all = true;

	for (size_t i = 0; i < count; i++)
		has_all = has_all && parts[i] != NULL;
	for (size_t i = 0; i < count && !has_all; i++)
		snapshot_free(parts[i]);
	s = has_all ? snapshot_merge(parts, count, w->config->http_metrics_max_pools, w->shared.snapshot_seed) : NULL;
	if (s != NULL)
		add_process(w, s);
	return s;
}

struct snapshot *
process_snapshot(struct weir *w)
{
	struct snapshot *parts[WORKERS_MAX];
	struct fail why;
	size_t n = 0;

	if (worker_threads_halt(w, &why) < 0)
		return NULL;
	for (struct worker *k = w->main_worker; k != NULL; k = k->next)
		parts[n++] = process_snapshot_of(k);
	worker_threads_end_halt(w);
	return process_merge_snapshots(w, parts, n);
}
