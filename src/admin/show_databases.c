/*
 * src/admin/show_databases.c - SHOW DATABASES and USERS list all that are configured, and others that are in use.
 *
 * The servers and clients of all pools are first added up by database or user, so the commands stay cheap with many
 * databases and many pools each.
 */
#include "admin/show.h"
#include "client/clients.h"
#include "base/clock.h"
#include "admission/admission.h"
#include "config/config_keys.h"
#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS_TEXT_MAX 1024

/* The sum over all pools of a database, or of a user. */
struct sum {
	const char *name; /* borrowed for the duration of the command */
	uint64_t servers, clients;
	UT_hash_handle hh;
};

struct sums {
	struct rows *rows; /* the command's rows, which are marked as broken if memory runs out */
	uint64_t seed;
	struct sum *table;
};

static struct sum *
find_or_add_sum(struct sums *sums, const char *name)
{
	struct sum *s;

	TABLE_FIND(sums->seed, sums->table, name, strlen(name), s);
	if (s != NULL)
		return s;
	if ((s = rows_alloc_scratch(sums->rows, 1, sizeof(*s))) == NULL)
		return NULL;
	s->name = name;
	if (TABLE_ADD(sums->seed, sums->table, s->name, strlen(s->name), s))
		return s;
	sums->rows->out->is_broken = true;
	free(s);
	return NULL;
}

static void
add_pool(struct sum *s, const struct pool *pool)
{
	struct policy_counts n;

	if (s == NULL)
		return;
	policy_get_counts(pool->policy, &n);
	s->servers += (uint64_t)n.opening + n.idle + n.pinging + n.lent + n.closing;
	s->clients += pool->clients;
}

/* --- SHOW DATABASES --- */

SHOW_ROW(database, (TEXT, name) (TEXT, host) (INT4, port) (TEXT, database) (TEXT, force_user) (INT4, pool_size)
	(INT4, min_pool_size) (INT4, reserve_pool_size) (INT4, server_lifetime) (TEXT, pool_mode)
	(TEXT, load_balance_hosts) (INT4, max_connections) (INT4, current_connections) (INT4, max_client_connections)
	(INT4, current_client_connections) (INT4, paused) (INT4, disabled));

static void
add_database(const struct show_env *env, struct rows *rows, const char *name, const struct config_scope *scope,
	     struct sums *sums)
{
	struct scope_settings settings;
	struct upstream *upstream;
	const struct pool_database *d = pool_set_find_database(env->clients->x.pools, name);
	struct sum *sum;
	struct database_row row = { .name = name };
	char hosts[HOSTS_TEXT_MAX];
	size_t len = 0;

	TABLE_FIND(sums->seed, sums->table, name, strlen(name), sum);
	config_compute_settings(env->clients->x.config, scope, NULL, &settings);
	upstream = upstream_fill_in(scope->upstream, name, "", NULL);
	if (upstream == NULL)
		return; /* there was no memory, or a reload has made an upstream that the name can't be filled into */
	hosts[0] = '\0';
	for (size_t i = 0; i < upstream->host_count && len < HOSTS_TEXT_MAX; i++)
		len += (size_t)snprintf(hosts + len, HOSTS_TEXT_MAX - len, "%s%s", i > 0 ? "," : "",
					upstream->hosts[i].host);
	row.host = hosts;
	row.port = upstream->hosts[0].port;
	row.database = upstream->dbname[0] != '\0' ? upstream->dbname : upstream_database(scope->upstream, name);
	row.force_user = scope->upstream->user[0] != '\0' ? upstream->user : NULL;
	row.pool_size = settings.pool_size;
	row.min_pool_size = settings.min_idle;
	row.reserve_pool_size = settings.max_overflow;
	row.server_lifetime = settings.pool_recycle_us / US_PER_S;
	row.pool_mode = pool_mode_name(settings.pool_mode);
	row.load_balance_hosts = show_load_balance(upstream);
	row.max_connections = settings.max_db_connections;
	row.current_connections = sum != NULL ? sum->servers : 0;
	row.max_client_connections = settings.max_db_client_connections;
	row.current_client_connections = sum != NULL ? sum->clients : 0;
	row.paused = pool_set_is_paused(env->clients->x.pools) || (d != NULL && d->is_paused);
	row.disabled = d != NULL && d->is_disabled;
	rows_add(rows, &row);
	upstream_free(upstream);
}

struct named_scope {
	const char *name;
	const struct config_scope *scope; /* NULL for the console */
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct named_scope *)a)->name, ((const struct named_scope *)b)->name);
}

/* Lists the databases that have a section, those in use through "[database *]" or a tenant's section, and the console
 * if it is shown. Returns their number. */
static size_t
list_databases(const struct show_env *env, const struct database_sum *names_in_use, struct named_scope *list)
{
	const struct config *config = env->clients->x.config;
	size_t n = 0;

	if (show_is_console_listed(env))
		list[n++] = (struct named_scope){ .name = "pgbouncer" };
	for (size_t i = 0; i < config->database_count; i++)
		if (strcmp(config->databases[i].name, "*") != 0)
			list[n++] = (struct named_scope){ config->databases[i].name, &config->databases[i] };
	for (; names_in_use->name != NULL; names_in_use++) {
		const struct config_scope *scope = config_find_database(config, names_in_use->name);

		if (scope != NULL && (scope->upstream->is_of_tenant || strcmp(scope->name, "*") == 0))
			list[n++] = (struct named_scope){ names_in_use->name, scope };
	}
	qsort(list, n, sizeof(*list), by_name);
	return n;
}

SHOW(show_databases, database_columns, OF_ALL)
{
	struct database_sum *names_in_use = show_database_sums(env, rows);
	struct sums sums = { .rows = rows, .seed = env->clients->x.hash_seed };
	struct named_scope *list;
	size_t n = 0;

	while (names_in_use != NULL && names_in_use[n].name != NULL)
		n++;
	list = rows_alloc_scratch(rows, n + env->clients->x.config->database_count + 1, sizeof(*list));
	if (names_in_use == NULL || list == NULL) {
		free(list);
		free(names_in_use);
		return;
	}
	for (struct pool *pool = show_next_pool(env, NULL); pool != NULL; pool = show_next_pool(env, pool))
		add_pool(find_or_add_sum(&sums, pool->database->name), pool);
	n = list_databases(env, names_in_use, list);
	for (size_t i = 0; i < n; i++)
		if (list[i].scope == NULL) {
			const struct config *config = env->clients->x.config;
			struct database_row row = { .name = "pgbouncer",
						    .database = "pgbouncer",
						    .force_user = "pgbouncer" };

			/* PgBouncer lists its console as a database, with a forced user of that name, and an unused
			 * pool of 2. */
			for (size_t at = 0; at < config->listen_count; at++)
				if (!config_listen_is_unix(&config->listens[at]))
					row.port = config->listens[at].port;
			row.pool_mode = pool_mode_name(POOL_MODE_STATEMENT);
			row.pool_size = 2;
			row.max_connections = config->defaults.max_db_connections;
			row.max_client_connections = config->defaults.max_db_client_connections;
			row.current_client_connections = clients_in_console(env->clients);
			rows_add(rows, &row);
		} else
			add_database(env, rows, list[i].name, list[i].scope, &sums);
	free(list);
	free(names_in_use);
	TABLE_FREE(sums.table);
}

/* --- SHOW USERS --- */

SHOW_ROW(user, (TEXT, name) (TEXT, pool_size) (TEXT, reserve_pool_size) (TEXT, pool_mode) (INT4, max_user_connections)
	(INT4, current_connections) (INT4, max_user_client_connections) (INT4, current_client_connections));

static void
add_known_user(const char *name, void *arg)
{
	find_or_add_sum(arg, name);
}

static bool
has_own_key(const struct config_scope *scope, const char *name)
{
	size_t bit;

	return scope != NULL && config_scope_key_find(name, &bit) != NULL && (scope->set & UINT64_C(1) << bit) != 0;
}

/* Adds a user; sizes and mode are shown only if the user's own section sets them. */
static void
add_user(const struct show_env *env, struct rows *rows, const struct sum *sum)
{
	const struct config *config = env->clients->x.config;
	const struct config_scope *scope = config_find_user(config, sum->name);
	char size[16] = "", overflow[16] = "";
	struct user_row row = { .name = sum->name, .pool_size = size, .reserve_pool_size = overflow };
	struct scope_settings s;

	config_compute_settings(config, NULL, scope, &s);
	if (has_own_key(scope, "pool_size"))
		snprintf(size, sizeof(size), "%u", s.pool_size);
	if (has_own_key(scope, "max_overflow"))
		snprintf(overflow, sizeof(overflow), "%u", s.max_overflow);
	if (has_own_key(scope, "pool_mode"))
		row.pool_mode = pool_mode_name(s.pool_mode);
	row.max_user_connections = s.max_user_connections;
	row.current_connections = sum->servers;
	row.max_user_client_connections = s.max_user_client_connections;
	row.current_client_connections = admission_user_clients(env->clients->admission, sum->name);
	rows_add(rows, &row);
}

/* The order is: users of the users_file, users of the configuration, and others that have a pool or are connected. */
SHOW(show_users, user_columns, OF_ALL)
{
	const struct config *config = env->clients->x.config;
	struct sums sums = { .rows = rows, .seed = env->clients->x.hash_seed };
	struct sum *s, *next;
	const struct client *c;

	users_each(env->clients->users, add_known_user, &sums);
	for (size_t i = 0; i < config->user_count; i++)
		add_known_user(config->users[i].name, &sums);
	for (struct pool *pool = show_next_pool(env, NULL); pool != NULL; pool = show_next_pool(env, pool))
		add_pool(find_or_add_sum(&sums, pool->user), pool);
	for (c = clients_walk(env->host->client_envs, NULL); c != NULL; c = clients_walk(env->host->client_envs, c))
		if (exchange_is_relayed(&c->x))
			/* the user may have no pool, because servers may log in as another user than their clients */
			add_known_user(exchange_user(&c->x), &sums);
	HASH_ITER(hh, sums.table, s, next)
		add_user(env, rows, s);
	TABLE_FREE(sums.table);
}
