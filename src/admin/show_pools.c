/*
 * src/admin/show_pools.c - SHOW POOLS, POOLS_EXTENDED and WAITERS: the pools' servers, and the clients that wait.
 */
#include "admin/show.h"
#include "client/clients.h"
#include "exchange/report.h"
#include "auth/delegation.h"
#include "base/clock.h"
#include "policy/policy_ahead.h"
#include "pool/standby_pools.h"
#include "pool/pool_target.h"

#include <stdlib.h>

SHOW_ROW(pool, (TEXT, database) (TEXT, user) (INT4, cl_active) (INT4, cl_waiting) (INT4, cl_active_cancel_req)
	(INT4, cl_waiting_cancel_req) (INT4, sv_active) (INT4, sv_active_cancel) (INT4, sv_being_canceled)
	(INT4, sv_idle) (INT4, sv_used) (INT4, sv_tested) (INT4, sv_login) (INT4, maxwait) (INT4, maxwait_us)
	(TEXT, pool_mode) (TEXT, load_balance_hosts));

/* Counts the servers of the pool and of its standby pools in *row. */
static void
count_servers(const struct pool *pool, struct pool_row *row)
{
	const struct server *srv;

	for (uint32_t host = 0; host < CLUSTER_HOSTS; host++)
		if (pool->standby_pools[host] != NULL)
			count_servers(pool->standby_pools[host], row);
	TAILQ_FOREACH(srv, &pool->servers, all) {
		if (srv->state == SV_LENT)
			row->sv_active++;
		else if (srv->cancel != NULL)
			row->sv_being_canceled++;
		else if (srv->state == SV_IDLE)
			row->sv_idle++;
		else if (srv->state == SV_PINGING || srv->state == SV_RESET)
			row->sv_tested++;
		else if (srv->state != SV_ENDING)
			row->sv_login++;
	}
}

SHOW(show_pools, pool_columns, OF_ALL)
{
	struct pool **pools = show_sorted_pools(env, rows, false);

	if (show_is_console_listed(env)) {
		struct pool_row console = { .database = "pgbouncer", .user = "pgbouncer" };

		console.cl_active = clients_in_console(env->clients);
		console.pool_mode = pool_mode_name(POOL_MODE_STATEMENT);
		rows_add(rows, &console);
	}
	for (size_t i = 0; pools != NULL && pools[i] != NULL; i++) {
		struct pool *pool = pools[i];
		struct pool_row row = { .database = pool->database->name, .user = pool->user };
		struct policy_counts n;
		uint64_t wait_us;
		uint32_t clients = 0;

		if (show_next_shard(env, pool, NULL) != pool)
			continue;
		show_count_shards(env, pool, &n);
		for (const struct pool *shard = pool; shard != NULL; shard = show_next_shard(env, pool, shard)) {
			clients += shard->clients;
			count_servers(shard, &row);
		}
		wait_us = show_age_us(env->now_us, n.oldest_waiter_us);
		row.pool_mode = pool_mode_name(pool->settings.pool_mode);
		row.load_balance_hosts = show_load_balance(pool->target->upstream);
		/* PgBouncer counts every client that does not wait as active, even an idle one. */
		row.cl_active = clients - (n.waiting < clients ? n.waiting : clients);
		row.cl_waiting = n.waiting;
		row.maxwait = wait_us / US_PER_S;
		row.maxwait_us = wait_us % US_PER_S;
		rows_add(rows, &row);
	}
	free(pools);
}

SHOW_ROW(pool_more, (TEXT, database) (TEXT, user) (INT4, pool_size) (INT4, max_overflow) (INT4, overflow_now)
	(INT4, active) (INT4, idle) (INT4, waiting) (INT8, oldest_wait_ms) (INT8, checkouts_idle)
	(INT8, checkouts_new) (INT8, checkouts_overflow) (INT8, pool_timeouts) (INT8, pings_ok) (INT8, pings_failed)
	(INT8, recycles) (INT8, outage_ms) (INT8, held) (INT8, replays) (INT4, worker) (INT4, ahead)
	(TEXT, principal) (INT8_OR_NULL, ticket_left_ms));

SHOW(show_pools_extended, pool_more_columns, OF_ALL)
{
	struct pool **pools = show_sorted_pools(env, rows, true);

	for (size_t p = 0; pools != NULL && pools[p] != NULL; p++) {
		const struct pool *pool = pools[p];
		const struct pool_counters *c = &pool->counters;
		const struct delegator *owner = pool->target->server.delegator;
		const struct delegated *credentials = owner != NULL ? owner->owner_credentials : NULL;
		struct pool_more_row row = { .database = pool->database->name, .user = pool->user };
		struct pool_row servers = { 0 };
		struct policy_counts n;

		policy_get_counts(pool->policy, &n);
		count_servers(pool, &servers);
		pool_add_standby_counts(pool, &n);
		row.pool_size = pool->settings.pool_size;
		row.max_overflow = pool->settings.max_overflow;
		row.overflow_now = n.overflow;
		row.active = servers.sv_active;
		row.idle = n.idle;
		row.waiting = n.waiting;
		row.oldest_wait_ms = show_age_us(env->now_us, n.oldest_waiter_us) / US_PER_MS;
		memcpy((char *)&row + offsetof(struct pool_more_row, checkouts_idle), c->checkouts,
		       sizeof(c->checkouts));
		row.pool_timeouts = c->pool_timeouts;
		row.pings_ok = c->pings_ok;
		row.pings_failed = c->pings_failed;
		row.outage_ms = show_age_us(env->now_us, n.outage.since_us) / US_PER_MS;
		row.held = c->held;
		row.replays = c->replays;
		row.ahead = policy_count_ahead(pool->policy);
		row.worker = show_worker_of(env, pool);
		row.ticket_left_ms = ROWS_NULL;
		if (credentials != NULL) {
			row.principal = credentials->principal;
			row.ticket_left_ms =
			    credentials->until_us > env->now_us ? (credentials->until_us - env->now_us) / US_PER_MS : 0;
		}
		for (size_t i = 0; i < RR_COUNT; i++)
			row.recycles += c->recycles[i];
		rows_add(rows, &row);
	}
	free(pools);
}

SHOW_ROW(waiter, (TEXT, database) (TEXT, user) (INT8, wait_ms) (TEXT, application_name) (TEXT, addr) (INT4, port)
	(INT8, client_id) (TEXT, reason) (TEXT, query));

SHOW(show_waiters, waiter_columns, OF_ALL)
{
	const struct client *c;

	for (c = clients_walk(env->host->client_envs, NULL); c != NULL; c = clients_walk(env->host->client_envs, c)) {
		struct waiter_row row = { .client_id = c->x.waiter.id };
		char addr[SHOW_ADDRESS_MAX] = "unix", query[SHOW_QUERY_MAX];
		const char *sql;
		struct fail why;
		size_t len;

		if (c->x.waiter.waits == WAITS_NOT)
			continue;
		policy_explain_wait(c->x.pool->policy, &c->x.waiter, env->now_us, &why);
		row.reason = why.detail;
		if (exchange_is_relayed(&c->x) && (sql = report_waiting_text(&c->x, &len)) != NULL) {
			fingerprint_normalize(sql, len, report_sql_options(&c->x), query, sizeof(query));
			row.query = query;
		}
		SHOW_WHO(&row, c, addr);
		row.wait_ms = show_age_us(env->now_us, c->x.waiter.since_us) / US_PER_MS;
		rows_add(rows, &row);
	}
}
