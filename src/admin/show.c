#include "admin/show.h"
#include "base/clock.h"
#include "config/compat.h"
#include "client/clients.h"
#include "policy/policy_shared.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SHOW_OF(id, name, needs_admin, what, example) [COMMAND_SHOW_##id] = &show_##name,
#define ANSWER_OF(id, name) [COMMAND_SELECT_##id] = &answer_##name,

static const struct show *const shows[COMMAND_WITH_ROWS] = { SHOW_LIST(SHOW_OF) ANSWER_LIST(ANSWER_OF) };

static const struct show *const shows_after_1_25[COMMAND_WITH_ROWS] = {
	[COMMAND_SHOW_STATS] = &show_stats_next,
	[COMMAND_SHOW_STATS_TOTALS] = &show_stats_totals_next,
	[COMMAND_SHOW_STATS_AVERAGES] = &show_stats_averages_next,
};

const struct show *
show_find(const struct config *config, enum command_id id)
{
	if (id >= COMMAND_WITH_ROWS)
		return NULL;
	return !compat_is_1_25(config) && shows_after_1_25[id] != NULL ? shows_after_1_25[id] : shows[id];
}

size_t
show_column_count(const struct show *show, struct client_env *const *client_envs)
{
	return show->column_count - (client_envs[1] == NULL ? show->worker_columns : 0);
}

struct pool *
show_next_pool(const struct show_env *env, const struct pool *previous)
{
	return clients_walk_pools(env->host->client_envs, previous);
}

struct pool *
show_next_shard(const struct show_env *env, const struct pool *of, const struct pool *previous)
{
	struct client_env *const *at = env->host->client_envs;
	struct pool *shard = NULL;

	while (previous != NULL && (*at)->x.pools != previous->set)
		at++;
	for (at += previous != NULL; *at != NULL && shard == NULL; at++)
		shard = pool_set_shard((*at)->x.pools, of);
	return shard;
}

uint32_t
show_worker_of(const struct show_env *env, const struct pool *pool)
{
	struct client_env *const *of = env->host->client_envs;

	while ((*of)->x.pools != pool->set)
		of++;
	return (*of)->number;
}

void
show_count_shards(const struct show_env *env, const struct pool *of, struct policy_counts *out)
{
	memset(out, 0, sizeof(*out));
	for (const struct pool *pool = show_next_shard(env, of, NULL); pool != NULL;
	     pool = show_next_shard(env, of, pool))
		policy_add_counts(pool->policy, out);
}

uint32_t
show_count_servers(const struct show_env *env)
{
	uint32_t n = 0;

	for (struct client_env *const *of = env->host->client_envs; *of != NULL; of++)
		n += pool_set_server_count((*of)->x.pools);
	return n;
}

uint64_t
show_age_us(uint64_t now_us, uint64_t since_us)
{
	return since_us > 0 && now_us > since_us ? now_us - since_us : 0;
}

uint64_t
show_address_and_port(const struct sockaddr *sa, char out[SHOW_ADDRESS_MAX])
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;
	bool is_ip4 = sa->sa_family == AF_INET;

	if (!is_ip4 && sa->sa_family != AF_INET6) {
		snprintf(out, SHOW_ADDRESS_MAX, "%s", sa->sa_family == AF_UNIX ? "unix" : "");
		return 0;
	}
	inet_ntop(sa->sa_family, is_ip4 ? (const void *)&in->sin_addr : &in6->sin6_addr, out, SHOW_ADDRESS_MAX);
	return ntohs(is_ip4 ? in->sin_port : in6->sin6_port);
}

const char *
show_load_balance(const struct upstream *upstream)
{
	const char *balance = upstream->keyword_values[UPSTREAM_LOAD_BALANCE_HOSTS];

	if (upstream->host_count == 1)
		return NULL;
	return balance != NULL ? balance : "disable"; /* the hosts are tried in order */
}

bool
show_is_console_listed(const struct show_env *env)
{
	return compat_does(env->clients->x.config, COMPAT_LISTS_CONSOLE);
}
