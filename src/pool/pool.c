/* src/pool/pool.c - one pool: finds it by database and user, makes it at first use, configures and frees it, and
 * keeps the secrets that its clients have proved. */
#include "pool/pool_set_state.h"
#include "auth/delegation.h"
#include "config/config_value.h"
#include "pool/cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* how long a connection to a template may be idle: CREATE DATABASE waits only 5 s for such connections to end */
#define TEMPLATE_IDLE_US (100 * US_PER_MS)
#define PING_TIMEOUT_US (2 * US_PER_S)

/* The parts of a pool that follow from its configuration and take memory. */
struct parts {
	struct pool_target *target;
	struct statement_home *home;
	struct database_code *code;
	struct policy_budget *limits[POLICY_CAPS];
	struct policy_circuit *circuit;
	struct policy_shared *shared;
	struct pool_fresh *fresh; /* only with shared */
};

static_assert(sizeof(((struct pool *)0)->limits) == sizeof(((struct parts *)0)->limits),
	      "a pool has limits by enum policy_cap");

static void
put_parts(struct pool_set *set, const struct parts *p)
{
	pool_target_unref(p->target);
	statement_home_unref(p->home);
	code_store_unref(&set->codes, p->code);
	for (unsigned i = 0; i < POLICY_CAPS; i++)
		policy_budget_put(set->s.worker->commons, p->limits[i]);
	policy_circuit_put(set->s.worker->commons, p->circuit);
	policy_shared_put(set->s.worker->commons, p->shared);
	pool_fresh_put(set->s.worker->commons, p->fresh);
}

/* Exchanges the pool's parts for the new parts; the caller gets the old parts. */
static struct parts
swap_parts(struct pool *pool, const struct parts *new)
{
	struct parts old = { .target = pool->target,
			     .home = pool->home,
			     .code = pool->code,
			     .circuit = pool->circuit,
			     .shared = pool->shared,
			     .fresh = pool->fresh };

	memcpy(old.limits, pool->limits, sizeof(old.limits));
	pool->target = new->target;
	pool->home = new->home;
	pool->code = new->code;
	pool->circuit = new->circuit;
	pool->shared = new->shared;
	pool->fresh = new->fresh;
	memcpy(pool->limits, new->limits, sizeof(old.limits));
	return old;
}

void
pool_free(struct pool *pool)
{
	static const struct parts none;
	struct parts parts;
	struct pool_set *set = pool->set;
	struct pool_database *database = pool->database;

	for (uint32_t i = 0; i < CLUSTER_HOSTS; i++)
		if (pool->standby_pools[i] != NULL)
			pool_free(pool->standby_pools[i]);
	if (pool->main != NULL)
		pool->main->standby_pools[pool->host] = NULL;
	set->s.dedicated_ops->end(pool);
	policy_close_all(pool->policy, RR_SHUTDOWN, pool_set_now(set));
	while (!TAILQ_EMPTY(&pool->servers))
		server_close(TAILQ_FIRST(&pool->servers));
	policy_free(pool->policy);
	assert(set->pool_count > 0 && database->pools > 0);
	code_store_forget_pool(pool->code, pool);
	due_remove(&set->due, &pool->due);
	pool_use_remove_pool(pool);
	set->pool_count--;
	parts = swap_parts(pool, &none);
	put_parts(set, &parts);
	*(pool->prev_pool != NULL ? &pool->prev_pool->next : &set->first) = pool->next;
	if (pool->next != NULL)
		pool->next->prev_pool = pool->prev_pool;
	if (pool->key_len > 0)
		HASH_DELETE(hh, set->table, pool);
	for (struct pool_user *u = pool->users, *next; u != NULL; u = next) {
		next = u->next;
		free(u);
	}
	pool_startups_forget_all(&pool->startups);
	gucs_unref(pool->baseline);
	gucs_unref(pool->refused);
	gucs_unref(pool->login_parameters);
	cluster_put(pool->cluster);
	explicit_bzero(&pool->keys, sizeof(pool->keys));
	free(pool->timeouts);
	free(pool);
	database->pools--;
	pool_set_forget_database_if_unneeded(set, database);
}

static void
fill_policy_settings(const struct pool *pool, struct policy_settings *out)
{
	const struct scope_settings *s = &pool->settings;

	memset(out, 0, sizeof(*out));
	out->lends_idle_only = pool->main != NULL;
	out->pool_size = s->pool_size;
	out->max_overflow = s->max_overflow;
	out->min_idle = s->min_idle;
	out->overflow_delay_us = s->overflow_delay_us;
	out->overflow_linger_us = s->overflow_linger_us;
	out->timeout_us = s->pool_timeout_us;
	out->on_outage = s->on_outage;
	out->hold_us = s->outage_hold_us;
	out->recycle_us = s->pool_recycle_us;
	out->idle_timeout_us = s->idle_timeout_us;
	out->pre_ping = s->pool_pre_ping;
	out->pre_ping_idle_us = s->pool_pre_ping_idle_us;
	out->ping_interval_us = s->ping_interval_us;
	out->ping_timeout_us = PING_TIMEOUT_US;
	out->lifo = s->pool_lifo;
	out->share_weight = s->share_weight;
	out->share_min = s->share_min;
	if (pool->code->kind == DATABASE_TEMPLATE || strcmp(pool->target->server.database, "template1") == 0) {
		out->min_idle = 0;
		out->idle_timeout_us = TEMPLATE_IDLE_US;
	}
}

void
pool_renew_policy(struct pool *pool, uint64_t now_us)
{
	struct policy_settings ps;

	fill_policy_settings(pool, &ps);
	policy_reconfigure(pool->policy, &ps, now_us);
}

/* Returns the user's name as sections and users_file have it: "user.tenant" for a tenant's user. */
static const char *
name_user(const char *user, const char *database, bool is_of_tenant, char out[static CONFIG_DATABASE_MAX + 1])
{
	if (!is_of_tenant)
		return user;
	snprintf(out, CONFIG_DATABASE_MAX + 1, "%s.%.*s", user, (int)strcspn(database, "/"), database);
	return out;
}

static const char *
full_user_name(const struct pool *pool, char out[static CONFIG_DATABASE_MAX + 1])
{
	return name_user(pool->user, pool->database->name, pool->database->is_of_tenant, out);
}

/* Returns the most connections that the pool may have, without regard to other pools. */
static uint64_t
most_connections(const struct scope_settings *s, uint32_t max_server_connections)
{
	const uint32_t caps[] = { s->max_user_connections, s->max_db_connections, max_server_connections };
	uint64_t most = (uint64_t)s->pool_size + s->max_overflow;

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
		most = caps[i] > 0 && caps[i] < most ? caps[i] : most;
	return most;
}

uint32_t
pool_shards_max(const struct config *config, const char *database, const char *user, const struct pool_split *split)
{
	const struct config_scope *db = config_find_database(config, database);
	char own[CONFIG_DATABASE_MAX + 1];
	struct scope_settings s;
	uint64_t shards;

	if (db == NULL || split->workers <= 1)
		return 1;
	user = name_user(user, database, db->upstream->is_of_tenant, own);
	config_compute_settings(config, db, config_find_user(config, user), &s);
	if (s.delegation == DELEGATION_ON) /* the pool's delegator belongs to one worker */
		return 1;
	shards = most_connections(&s, config->max_server_connections) / split->shard_min;
	shards = shards < split->workers ? shards : split->workers;
	return shards > 1 ? (uint32_t)shards : 1;
}

/* --- settings of clients that log in under another name --- */

static bool
is_sealing(const struct scope_settings *s)
{
	return s->session_state != SESSION_ALLOW && s->pool_mode != POOL_MODE_SESSION;
}

/* A pool is sealed if the settings of any of its users ask for that. */
static void
configure_users(struct pool *pool)
{
	const struct config *config = pool->set->config;

	pool->is_sealed = pool->main != NULL ? pool->main->is_sealed : is_sealing(&pool->settings);
	for (struct pool_user *u = pool->users; u != NULL; u = u->next) {
		u->settings = pool->settings;
		config_apply_scope(config_find_user(config, u->name), &u->settings);
		pool->is_sealed |= is_sealing(&u->settings);
	}
}

const struct scope_settings *
pool_adopt_user(struct pool *pool, const char *user, uint64_t now_us)
{
	char own[CONFIG_DATABASE_MAX + 1];
	bool was_sealed = pool->is_sealed;
	struct pool_user *u;

	if (strcmp(user, full_user_name(pool, own)) == 0 || config_find_user(pool->set->config, user) == NULL)
		return &pool->settings;
	for (u = pool->users; u != NULL; u = u->next)
		if (strcmp(u->name, user) == 0)
			return &u->settings;
	u = calloc(1, sizeof(*u) + strlen(user) + 1);
	if (u == NULL)
		return NULL;
	memcpy(u->name, user, strlen(user) + 1);
	u->next = pool->users;
	pool->users = u;
	configure_users(pool);
	if (!was_sealed && pool->is_sealed) /* existing servers were never washed */
		policy_close_all(pool->policy, RR_RELOAD, now_us);
	standby_pools_configure(pool, now_us);
	return &u->settings;
}

/* Returns 0 and sets *out to the budget that pools of this name share, or leaves *out as it is if limit is 0. Returns
 * -1 if there is no memory. */
static int
get_limit(struct pool_set *set, char kind, const char *name, size_t len, uint32_t limit, struct policy_budget **out)
{
	if (limit > 0)
		*out = policy_budget_get_or_create(set->s.worker->commons, kind, name, len);
	return limit > 0 && *out == NULL ? -1 : 0;
}

static int
get_limits(struct pool *pool, struct policy_budget *out[POLICY_CAPS])
{
	const struct scope_settings *s = &pool->settings;
	const char *database = pool->database->name;
	bool is_of_tenant = pool->database->is_of_tenant;
	char room[CONFIG_DATABASE_MAX + 1];
	const char *user = full_user_name(pool, room);

	if (get_limit(pool->set, 'u', user, strlen(user), s->max_user_connections, &out[CAP_USER]) < 0)
		return -1;
	return get_limit(pool->set, is_of_tenant ? 't' : 'd', database,
			 is_of_tenant ? strcspn(database, "/") : strlen(database), s->max_db_connections,
			 &out[CAP_DATABASE]);
}

/* harmless: the setting harmless_code, which was checked before. Returns NULL if there is no memory. */
static struct database_code *
get_code(struct pool_set *set, const char *home, const char *harmless, const char *database)
{
	struct database_code *code = NULL;
	struct buf key = { 0 };
	struct fail why;

	buf_put_str(&key, home);
	if (*harmless != '\0')
		(void)value_read_harmless_code(harmless, &key, &why);
	buf_put_u8(&key, '\0');
	if (buf_ok(&key))
		code = code_store_get_or_create(&set->codes, key.bytes, key.len, database);
	buf_fini(&key);
	return code;
}

/* Gets what the pool shares with others: the home of its statements, the code of its database, the circuit of its
 * hosts, and their budget. A standby pool has its main pool's home and code, because a statement's name must mean the
 * same statement in both pools. */
static int
get_common_parts(struct pool *pool, bool has_budget, struct parts *out)
{
	struct pool_set *set = pool->set;
	char *home = pool_target_database_key(pool->main != NULL ? pool->main->target : out->target);
	char *hosts = pool_target_hosts_key(out->target);

	out->home = home == NULL ? NULL : statement_home_get_or_create(set->s.statements, home);
	out->code = home == NULL ? NULL : get_code(set, home, pool->settings.harmless_code, out->target->database);
	out->circuit = hosts == NULL ? NULL : policy_circuit_get_or_create(set->s.worker->commons, hosts);
	if (has_budget && hosts != NULL)
		out->limits[CAP_HOST] = policy_budget_get_or_create(set->s.worker->commons, 'h', hosts, strlen(hosts));
	free(home);
	free(hosts);
	return out->home == NULL || out->code == NULL || out->circuit == NULL ||
		       (has_budget && out->limits[CAP_HOST] == NULL)
		   ? -1
		   : 0;
}

/* A pool that is on several workers stays split as long as it has shards, because these may have clients. */
static int
get_shared_policy(struct pool *pool, struct parts *out)
{
	struct pool_set *set = pool->set;
	bool is_split =
	    pool->shared != NULL || pool_shards_max(set->config, pool->database->name, pool->user, &set->s.split) > 1;

	out->shared = policy_shared_get(set->s.worker->commons, pool->key, pool->key_len, is_split);
	if (out->shared == NULL)
		return is_split ? -1 : 0;
	out->fresh = pool_fresh_get_or_create(set->s.worker->commons, pool->key, pool->key_len);
	return out->fresh == NULL ? -1 : 0;
}

/* Returns NULL with *why set on failure. */
static struct pool_target *
make_target(struct pool *pool, const struct upstream *upstream, struct fail *why)
{
	struct upstream own = upstream_of_host(upstream, pool->main != NULL ? pool->host : 0);

	own.target = TARGET_STANDBY;
	return pool_target_new(pool->main != NULL ? &own : upstream, &pool->settings, pool->set->tls, pool->set->users,
			       pool->database->name, pool->user, &pool_main(pool)->keys, why);
}

/* Returns 0, or -1 with *why set; then the caller calls put_parts() for the parts that *out has already. */
static int
get_parts(struct pool *pool, const struct upstream *upstream, struct parts *out, struct fail *why)
{
	bool has_budget = pool->main == NULL && config_has_budget(upstream, &pool->settings);
	const struct pool_target *learnt = pool->main != NULL ? pool->main->target : pool->target;

	if (has_budget && pool->settings.budget == BUDGET_ON &&
	    strcmp(pool->user, config_cluster_user(upstream, &pool->settings)) == 0)
		return fail_set(why, "28000", "role \"%s\" is pgweir's own for the budget (cluster_user)", pool->user);
	out->target = make_target(pool, upstream, why);
	if (out->target == NULL)
		return -1;
	if ((learnt != NULL && pool_target_inherit(out->target, learnt) < 0) ||
	    get_common_parts(pool, has_budget, out) < 0 || get_limits(pool, out->limits) < 0 ||
	    (pool->main == NULL && get_shared_policy(pool, out) < 0))
		return fail_memory(why, "a pool");
	return 0;
}

/* Puts the pool under its cap of this kind, or under no cap if it has none, and sets the limit of the cap, which all
 * pools under it share. */
static void
apply_limit(struct pool *pool, enum policy_cap which, uint32_t limit, uint64_t now_us)
{
	struct policy_budget *budget = pool->limits[which];

	if (budget != NULL)
		policy_budget_set_limit(budget, pool->set->s.worker, limit, now_us);
	policy_set_cap(pool->policy, which, budget, now_us);
}

static int
make_policy(struct pool *pool, const struct policy_settings *ps, uint64_t now_us, struct fail *why)
{
	struct pool_set *set = pool->set;

	pool->policy = policy_new(ps, &pool_policy_ops, pool, set->s.worker, &pool_main(pool)->counters,
				  random_next(&set->random), now_us);
	return pool->policy == NULL ? fail_memory(why, "a pool") : 0;
}

int
pool_configure(struct pool *pool, uint64_t now_us, struct fail *why)
{
	struct pool_set *set = pool->set;
	const char *database = pool->database->name;
	const struct config_scope *db = config_find_database(set->config, database);
	char user[CONFIG_DATABASE_MAX + 1];
	struct parts parts = { 0 };
	struct policy_settings ps;
	bool is_moved, has_other_code, was_unsealed = pool->policy != NULL && !pool->is_sealed;

	/* When tenants are switched on or off, a name with a slash refers to another database. */
	if (db == NULL || db->upstream->is_of_tenant != pool->database->is_of_tenant) {
		fail_set(why, "3D000", "database \"%s\" is not configured in pgweir", database);
		return fail_pgbouncer_text(why, "database removed");
	}
	config_compute_settings(set->config, db, config_find_user(set->config, full_user_name(pool, user)),
				&pool->settings);
	if (pool->main != NULL)
		standby_pool_adapt_settings(pool);
	configure_users(pool);
	if (get_parts(pool, db->upstream, &parts, why) < 0) {
		put_parts(set, &parts);
		return -1;
	}
	is_moved =
	    pool->target != NULL && (!pool_target_is_same(pool->target, parts.target) || pool->home != parts.home);
	if (is_moved)
		explicit_bzero(&pool->keys, sizeof(pool->keys));
	has_other_code =
	    pool->code != NULL && pool->code != parts.code; /* the pool's servers would answer about the old code */
	code_store_forget_pool(pool->code, pool);
	parts = swap_parts(pool, &parts);
	fill_policy_settings(pool, &ps);
	/* When a pool becomes sealed, its servers may have state of clients that was not washed off. */
	if (is_moved || has_other_code || (was_unsealed && pool->is_sealed))
		policy_close_all(pool->policy, RR_RELOAD, now_us); /* opens other connections for waiters */
	if (is_moved)
		set->s.dedicated_ops->renew(pool);
	if (pool->policy != NULL)
		policy_reconfigure(pool->policy, &ps, now_us);
	else if (make_policy(pool, &ps, now_us, why) < 0) {
		parts = swap_parts(pool, &parts);
		put_parts(set, &parts);
		return -1;
	}
	apply_limit(pool, CAP_USER, pool->settings.max_user_connections, now_us);
	apply_limit(pool, CAP_DATABASE, pool->settings.max_db_connections, now_us);
	policy_set_cap(pool->policy, CAP_HOST, pool->limits[CAP_HOST], now_us);
	code_store_unref(&set->codes, pool->database->code);
	pool->database->code = code_store_ref(pool->code);
	policy_set_circuit(pool->policy, pool->circuit, now_us);
	policy_set_shared(pool->policy, pool->shared, now_us);
	if (pool->fresh != NULL && parts.fresh == NULL && pool->baseline != NULL)
		pool_fresh_report(pool->fresh, pool->baseline, pool->login_parameters, pool->baseline_us);
	put_parts(set, &parts);
	pool->is_orphan = false;
	standby_pools_configure(pool, now_us);
	return 0;
}

static size_t
make_key(char key[static POOL_KEY_MAX], bool is_of_tenant, const char *database, const char *user)
{
	return (size_t)snprintf(key, POOL_KEY_MAX, "%c%s%c%s", is_of_tenant ? 't' : 'd', database, 0, user);
}

/* Makes a pool of d. The new pool is on the set's inactive list, and nowhere else yet. Returns NULL if d is NULL, or if
 * there is no memory. */
static struct pool *
pool_new(struct pool_set *set, struct pool_database *d, const char *user)
{
	struct pool *pool = d == NULL ? NULL : calloc(1, sizeof(*pool));

	if (pool == NULL) {
		if (d != NULL)
			pool_set_forget_database_if_unneeded(set, d);
		return NULL;
	}
	pool->database = d;
	pool->set = set;
	pool->startups.seed = set->s.seed;
	snprintf(pool->user, sizeof(pool->user), "%s", user);
	TAILQ_INIT(&pool->servers);
	pool_use_add_pool(pool);
	return pool;
}

/* Configures pool, and adds it to the set. On failure, frees pool, and returns NULL with *why set. pool may be NULL. */
static struct pool *
add_pool(struct pool *pool, uint64_t now_us, struct fail *why)
{
	struct pool_set *set = pool == NULL ? NULL : pool->set;

	fail_memory(why, "a pool");
	if (pool == NULL)
		return NULL;
	if (!due_reserve(&set->due, set->pool_count + 1) ||
	    (pool->key_len > 0 && !TABLE_ADD(set->s.seed, set->table, pool->key, pool->key_len, pool)) ||
	    pool_configure(pool, now_us, why) < 0) {
		if (pool->hh.tbl != NULL)
			HASH_DELETE(hh, set->table, pool);
		due_remove(&set->due, &pool->due);
		pool_use_remove_pool(pool);
		pool_set_forget_database_if_unneeded(set, pool->database);
		free(pool);
		return NULL;
	}
	pool->next = set->first;
	if (pool->next != NULL)
		pool->next->prev_pool = pool;
	set->first = pool;
	set->pool_count++;
	pool->database->pools++;
	if (set->is_paused || pool->database->is_paused)
		policy_pause(pool->policy, now_us);
	return pool;
}

struct pool *
pool_new_standby_pool(struct pool *main, uint32_t host, uint64_t now_us)
{
	struct pool *pool = pool_new(main->set, main->database, main->user);
	struct fail why;

	assert(main->main == NULL && host < CLUSTER_HOSTS && main->standby_pools[host] == NULL);
	if (pool != NULL) {
		pool->main = main;
		pool->host = host;
		pool->unseen_leftovers = STATE_BACKEND;
	}
	return main->standby_pools[host] = add_pool(pool, now_us, &why);
}

size_t
pool_key(const struct config *config, const char *database, const char *user, char key[static POOL_KEY_MAX],
	 char server_user[static CONFIG_NAME_MAX + 1], struct fail *why)
{
	const struct config_scope *db = config_find_database(config, database);

	if (db == NULL || strlen(upstream_database(db->upstream, database)) > CONFIG_NAME_MAX) {
		int tenant_len = (int)config_tenant_len(config, database);
		const char *near = config_suggest_database(config, database),
			   *kind = tenant_len > 0 ? "tenant" : "database";
		char name[CONFIG_NAME_MAX + 1];

		snprintf(name, sizeof(name), "%.*s", tenant_len > 0 ? tenant_len : CONFIG_NAME_MAX, database);
		fail_set(why, "3D000", "%s \"%s\" is not configured in pgweir", kind, name);
		fail_pgbouncer_text(why, "no such database: %s", name);
		if (config_is_foreign(config))
			fail_hint(why, "%s%s%sAdd a line %s = ... or * = ... to [databases].",
				  near != NULL ? "Did you mean \"" : "", near != NULL ? near : "",
				  near != NULL ? "\"? Or: " : "", name);
		else if (near != NULL)
			fail_hint(why, "Did you mean \"%s\"? Or add a section [%s %s] or [%s *] to pgweir.ini.", near,
				  kind, name, kind);
		else
			fail_hint(why, "Add a section [%s %s] or [%s *] to pgweir.ini.", kind, name, kind);
		return 0;
	}
	if (upstream_compute_user(db->upstream, database, user, server_user, why) < 0)
		return 0;
	return make_key(key, db->upstream->is_of_tenant, database, server_user);
}

struct pool *
pool_set_find(const struct pool_set *set, const void *key, size_t len)
{
	struct pool *pool;

	TABLE_FIND(set->s.seed, set->table, key, len, pool);
	return pool;
}

struct pool *
pool_set_shard(const struct pool_set *set, const struct pool *of)
{
	const void *key;
	size_t len;

	if (of->set == set)
		return (struct pool *)(uintptr_t)of;
	if (of->shared == NULL)
		return NULL;
	key = policy_shared_key(of->shared, &len);
	return pool_set_find(set, key, len);
}

void
pool_take_fresh(struct pool *pool)
{
	struct gucs *baseline, *login_parameters;
	uint64_t since_us = pool->baseline_us;

	if (pool->fresh == NULL ||
	    !pool_fresh_take(pool->fresh, pool->set->s.env->guc_store, &baseline, &login_parameters, &since_us))
		return;
	pool_take_baseline(pool, baseline, login_parameters, since_us);
	pool->baseline_us = since_us; /* even if nothing is new, so nothing is taken twice */
	gucs_unref(baseline);
	gucs_unref(login_parameters);
}

struct pool *
pool_set_get_or_create(struct pool_set *set, const char *database, const char *user, uint64_t now_us, struct fail *why)
{
	char key[POOL_KEY_MAX], server_user[CONFIG_NAME_MAX + 1];
	size_t key_len = pool_key(set->config, database, user, key, server_user, why);
	struct pool *pool;

	if (key_len == 0)
		return NULL;
	pool = pool_set_find(set, key, key_len);
	if (pool == NULL) {
		compat_log_database(set, database);
		pool = pool_new(set, pool_database_get_or_create(&set->databases, set->config, database), server_user);
		if (pool != NULL)
			memcpy(pool->key, key, pool->key_len = key_len);
		pool = add_pool(pool, now_us, why);
	}
	/* The database is configured, so an orphan is a pool for which the last reload failed: it is configured now. */
	if (pool == NULL || (pool->is_orphan && pool_configure(pool, now_us, why) < 0))
		return NULL;
	pool->last_used_us = now_us;
	pool_take_fresh(pool);
	return pool;
}

struct gucs *
pool_find_startup(struct pool *pool, const struct gucs *raw)
{
	if (pool->baseline == NULL)
		return NULL;
	if (gucs_count(raw) == 0)
		return pool->baseline;
	return pool_startups_find(&pool->startups, raw);
}

void
pool_learn_keys(struct pool *pool, const char *user, const struct scram_keys *keys)
{
	char room[CONFIG_DATABASE_MAX + 1];

	if (strcmp(full_user_name(pool, room), user) == 0)
		pool->keys = *keys;
}

/* Servers that are logging in keep the target with which they began. */
static void
take_secret(struct pool *pool, const char *secret)
{
	const struct config_scope *db = config_find_database(pool->set->config, pool->database->name);
	struct pool_target *target;
	struct fail why;

	if (pool->is_orphan || pool_target_need_not_learn(pool->target, secret) ||
	    (target = make_target(pool, db->upstream, &why)) == NULL)
		return;
	if (pool_target_learn(target, secret) < 0 || pool_target_inherit(target, pool->target) < 0) {
		pool_target_unref(target);
		return;
	}
	pool_target_unref(pool->target);
	pool->target = target;
	for (uint32_t i = 0; i < CLUSTER_HOSTS; i++)
		if (pool->standby_pools[i] != NULL)
			take_secret(pool->standby_pools[i], secret);
}

void
pool_learn_secret(struct pool *pool, const char *user, const char *secret)
{
	char room[CONFIG_DATABASE_MAX + 1];

	if (strcmp(full_user_name(pool, room), user) == 0)
		take_secret(pool, secret);
}

int
pool_take_delegated(struct pool *pool, struct delegated *d, uint64_t now_us, struct fail *why)
{
	struct delegator *delegator = pool->target->server.delegator;
	bool is_new, was_good;

	if (delegator == NULL)
		return 0;
	is_new = delegator->owner_credentials == NULL;
	was_good = !is_new && delegator->owner_credentials->until_us > now_us;
	if (delegator_admit_client(delegator, d, pool->clients == 0 && pool->shared == NULL, now_us, why) < 0)
		return -1;
	if (is_new)
		log_info(pool->set->log, "pool %s/%s belongs to \"%s\", whose tickets open its connections",
			 pool->database->name, pool->user, delegator->owner_credentials->principal);
	if (!was_good) /* attempts that failed without a valid ticket may succeed now */
		pool_renew_policy(pool, now_us);
	return 0;
}

const struct scram_keys *
pool_get_secrets(const struct pool *pool, const char **secret)
{
	*secret = pool->target->learnt;
	return &pool->keys;
}

void
pool_take_secrets(struct pool *pool, const struct scram_keys *keys, const char *secret)
{
	if (keys != NULL && !pool->keys.is_set)
		pool->keys = *keys;
	if (secret != NULL)
		take_secret(pool, secret);
}
