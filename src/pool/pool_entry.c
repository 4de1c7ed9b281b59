/*
 * src/pool/pool_entry.c - one pool: finds it by database and user, makes it at first use, configures and frees it, and
 * keeps the secrets that its clients have proved.
 */
#include "pool/pool_set_state.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PING_TIMEOUT_US (2 * US_PER_S)

/* 't' or 'd', then database and user, each with a terminator: see put_key. */
#define ENTRY_KEY_MAX (1 + CONFIG_DATABASE_MAX + 1 + CONFIG_NAME_MAX + 1)

struct entry_box {
	struct pool_entry e; /* must be first */
	UT_hash_handle hh;
	size_t key_len;
	char key[ENTRY_KEY_MAX];
};

void
pool_entry_free(struct pool_entry *entry)
{
	struct entry_box *box = (struct entry_box *)entry;
	struct pool_set *set = entry->set;
	struct pool_database *database = entry->database;

	set->companions->end(entry);
	pool_close_all(entry->policy, RR_SHUTDOWN, pool_set_now(set));
	while (!TAILQ_EMPTY(&entry->servers))
		server_close(TAILQ_FIRST(&entry->servers));
	pool_free(entry->policy);
	for (unsigned i = 0; i < CAP_ALL; i++)
		pool_limit_put(&set->limits, entry->limits[i]);
	pool_circuit_put(&set->circuits, entry->circuit);
	*(entry->before != NULL ? &entry->before->next : &set->first) = entry->next;
	if (entry->next != NULL)
		entry->next->before = entry->before;
	HASH_DELETE(hh, set->table, box);
	for (struct pool_user *u = entry->users, *next; u != NULL; u = next) {
		next = u->next;
		free(u);
	}
	pool_startup_forget_all(&entry->startups);
	image_unref(entry->baseline);
	image_unref(entry->welcome);
	pool_target_unref(entry->target);
	statement_home_unref(entry->home);
	explicit_bzero(&entry->keys, sizeof(entry->keys));
	free(entry->timeouts);
	free(box);
	database->pools--;
	pool_set_forget_database(set, database);
}

static void
policy_settings(const struct scope_settings *s, struct pool_settings *out)
{
	memset(out, 0, sizeof(*out));
	out->pool_size = s->pool_size;
	out->max_overflow = s->max_overflow;
	out->min_idle = s->min_idle;
	out->overflow_delay_us = s->overflow_delay_us;
	out->overflow_linger_us = s->overflow_linger_us;
	out->timeout_us = s->pool_timeout_us;
	out->is_holding = s->on_outage == OUTAGE_HOLD;
	out->hold_us = s->outage_hold_us;
	out->recycle_us = s->pool_recycle_us;
	out->idle_timeout_us = s->idle_timeout_us;
	out->pre_ping = s->pool_pre_ping;
	out->pre_ping_idle_us = s->pool_pre_ping_idle_us;
	out->ping_interval_us = s->ping_interval_us;
	out->ping_timeout_us = PING_TIMEOUT_US;
	out->lifo = s->pool_lifo;
	out->waits_while_down = s->on_outage == OUTAGE_WAIT;
	out->share_weight = s->share_weight;
	out->share_min = s->share_min;
}

/* Returns the user's name as sections and users_file have it: "user.tenant" for a tenant's. */
static const char *
whole_user(const struct pool_entry *entry, char out[static CONFIG_DATABASE_MAX + 1])
{
	const char *database = entry->database->name;

	if (!entry->database->is_of_tenant)
		return entry->user;
	snprintf(out, CONFIG_DATABASE_MAX + 1, "%s.%.*s", entry->user, (int)strcspn(database, "/"), database);
	return out;
}

static void
find_home(struct pool_entry *entry)
{
	char *name = pool_target_home(entry->target);
	struct statement_home *old = entry->home;

	entry->home = statement_home_get(entry->set->statements, name);
	statement_home_unref(old);
	free(name);
}

/* --- settings of those who log in under another name --- */

static bool
is_sealing(const struct scope_settings *s)
{
	return s->session_state != SESSION_ALLOW && s->pool_mode != POOL_MODE_SESSION;
}

/* A pool is sealed if it is for any of its clients. */
static void
configure_users(struct pool_entry *entry)
{
	const struct config *config = entry->set->config;

	entry->is_sealed = is_sealing(&entry->settings);
	for (struct pool_user *u = entry->users; u != NULL; u = u->next) {
		u->settings = entry->settings;
		config_overlay(config_find_user(config, u->name), &u->settings);
		entry->is_sealed |= is_sealing(&u->settings);
	}
}

const struct scope_settings *
pool_entry_settings(struct pool_entry *entry, const char *user, uint64_t now_us)
{
	char own[CONFIG_DATABASE_MAX + 1];
	bool was_sealed = entry->is_sealed;
	struct pool_user *u;

	if (strcmp(user, whole_user(entry, own)) == 0 || config_find_user(entry->set->config, user) == NULL)
		return &entry->settings;
	for (u = entry->users; u != NULL; u = u->next)
		if (strcmp(u->name, user) == 0)
			return &u->settings;
	u = xcalloc(1, sizeof(*u) + strlen(user) + 1);
	memcpy(u->name, user, strlen(user) + 1);
	u->next = entry->users;
	entry->users = u;
	configure_users(entry);
	if (!was_sealed && entry->is_sealed) /* nobody has washed off what is left there */
		pool_close_all(entry->policy, RR_RELOAD, now_us);
	return &u->settings;
}

/* limit 0: none. What the pool has counts from now on. */
static void
set_limit(struct pool_entry *entry, enum pool_cap which, char kind, const char *name, size_t len, uint32_t limit)
{
	struct pool_set *set = entry->set;
	struct pool_limit *old = entry->limits[which];
	uint64_t now_us = pool_set_now(set);

	entry->limits[which] = limit == 0 ? NULL : pool_limit_get(&set->limits, kind, name, len);
	if (limit > 0)
		pool_budget_set_limit(pool_limit_budget(entry->limits[which]), limit, now_us);
	pool_set_cap(entry->policy, which, pool_limit_budget(entry->limits[which]), now_us);
	pool_limit_put(&set->limits, old);
}

static void
set_limits(struct pool_entry *entry)
{
	const struct scope_settings *s = &entry->settings;
	const char *database = entry->database->name;
	bool is_of_tenant = entry->database->is_of_tenant;
	char user[CONFIG_DATABASE_MAX + 1];
	const char *whole = whole_user(entry, user);

	set_limit(entry, CAP_USER, 'u', whole, strlen(whole), s->max_user_connections);
	set_limit(entry, CAP_DATABASE, is_of_tenant ? 't' : 'd', database,
		  is_of_tenant ? strcspn(database, "/") : strlen(database), s->max_db_connections);
}

/* The upstream's, which all pools of these hosts share. */
static void
set_circuit(struct pool_entry *entry)
{
	struct pool_circuit *old = entry->circuit;
	char *name = pool_target_hosts(entry->target);

	entry->circuit = pool_circuit_get(&entry->set->circuits, name);
	pool_set_circuit(entry->policy, entry->circuit, pool_set_now(entry->set));
	pool_circuit_put(&entry->set->circuits, old);
	free(name);
}

static int
no_longer(const char *database, struct fail *why)
{
	fail_set(why, "3D000", "database \"%s\" is not configured in pgweir", database);
	return fail_theirs(why, "database removed");
}

int
pool_entry_configure(struct pool_entry *entry, uint64_t now_us, struct fail *why)
{
	struct pool_set *set = entry->set;
	const char *database = entry->database->name;
	const struct config_scope *db = config_find_database(set->config, database);
	char user[CONFIG_DATABASE_MAX + 1];
	struct pool_target *target;
	struct pool_settings ps;
	bool is_moved, was_unsealed = entry->policy != NULL && !pool_entry_is_sealed(entry);

	/* When tenants are switched on or off, a name with a slash means another database. */
	if (db == NULL || db->upstream->is_of_tenant != entry->database->is_of_tenant)
		return no_longer(database, why);
	config_effective(set->config, db, config_find_user(set->config, whole_user(entry, user)), &entry->settings);
	configure_users(entry);
	target = pool_target_new(db->upstream, &entry->settings, set->tls, set->users, database, entry->user,
				 &entry->keys, why);
	if (target == NULL)
		return -1;
	if (entry->target != NULL)
		pool_target_inherit(target, entry->target);
	is_moved = entry->target != NULL && !pool_target_is_same(entry->target, target);
	if (is_moved) {
		explicit_bzero(&entry->keys, sizeof(entry->keys));
		database_code_changed(&entry->database->code, true); /* it may be another database */
	}
	if (is_moved || (was_unsealed && pool_entry_is_sealed(entry))) /* nobody has washed off what is left there */
		pool_close_all(entry->policy, RR_RELOAD, now_us);
	entry->database->code.is_of_several = db->upstream->is_of_tenant && strstr(db->upstream->dbname, "%{user}");
	pool_target_unref(entry->target);
	entry->target = target;
	find_home(entry);
	if (is_moved)
		set->companions->renew(entry);
	policy_settings(&entry->settings, &ps);
	if (entry->policy == NULL) {
		entry->policy = pool_new(&ps, &pool_policy_ops, entry, set->budget, &entry->counters,
					 random_next(&set->random), now_us);
	} else
		pool_reconfigure(entry->policy, &ps, now_us);
	set_limits(entry);
	set_circuit(entry);
	return 0;
}

static size_t
entry_put_key(char key[static ENTRY_KEY_MAX], bool is_of_tenant, const char *database, const char *user)
{
	return (size_t)snprintf(key, ENTRY_KEY_MAX, "%c%s%c%s", is_of_tenant ? 't' : 'd', database, 0, user);
}

static struct entry_box *
pool_entry_new(struct pool_set *set, const char *database, const char *user, uint64_t now_us, struct fail *why)
{
	struct entry_box *box = xcalloc(1, sizeof(*box));

	bouncer_log_database(set, database);
	box->e.database = pool_database_get(&set->databases, set->config, database);
	box->e.set = set;
	box->e.startups.seed = set->seed;
	snprintf(box->e.user, sizeof(box->e.user), "%s", user);
	TAILQ_INIT(&box->e.servers);
	if (pool_entry_configure(&box->e, now_us, why) < 0) {
		statement_home_unref(box->e.home);
		pool_target_unref(box->e.target);
		pool_set_forget_database(set, box->e.database);
		free(box);
		return NULL;
	}
	box->key_len = entry_put_key(box->key, box->e.database->is_of_tenant, database, user);
	TABLE_ADD(set->seed, set->table, box->key, box->key_len, box);
	box->e.next = set->first;
	if (box->e.next != NULL)
		box->e.next->before = &box->e;
	set->first = &box->e;
	box->e.database->pools++;
	if (set->is_paused || box->e.database->is_paused)
		pool_pause(box->e.policy, now_us);
	return box;
}

static void
no_database(const struct pool_set *set, const char *database, struct fail *why)
{
	int tenant_len = (int)config_tenant_len(set->config, database);
	const char *near = config_suggest_database(set->config, database),
		   *kind = tenant_len > 0 ? "tenant" : "database";
	char name[CONFIG_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%.*s", tenant_len > 0 ? tenant_len : CONFIG_NAME_MAX, database);
	fail_set(why, "3D000", "%s \"%s\" is not configured in pgweir", kind, name);
	fail_theirs(why, "no such database: %s", name);
	if (config_is_pgbouncers(set->config))
		fail_hint(why, "%s%s%sAdd a line %s = ... or * = ... to [databases].",
			  near != NULL ? "Did you mean \"" : "", near != NULL ? near : "",
			  near != NULL ? "\"? Or: " : "", name);
	else if (near != NULL)
		fail_hint(why, "Did you mean \"%s\"? Or add a section [%s %s] or [%s *] to pgweir.ini.", near, kind,
			  name, kind);
	else
		fail_hint(why, "Add a section [%s %s] or [%s *] to pgweir.ini.", kind, name, kind);
}

struct pool_entry *
pool_set_find(struct pool_set *set, const char *database, const char *user, uint64_t now_us, struct fail *why)
{
	const struct config_scope *db = config_find_database(set->config, database);
	char key[ENTRY_KEY_MAX], server_user[CONFIG_NAME_MAX + 1];
	struct entry_box *box;
	size_t key_len;

	if (db == NULL || strlen(upstream_database(db->upstream, database)) > CONFIG_NAME_MAX) {
		no_database(set, database, why);
		return NULL;
	}
	if (upstream_user(db->upstream, database, user, server_user, why) < 0)
		return NULL;
	key_len = entry_put_key(key, db->upstream->is_of_tenant, database, server_user);
	TABLE_FIND(set->seed, set->table, key, key_len, box);
	if (box == NULL)
		box = pool_entry_new(set, database, server_user, now_us, why);
	if (box == NULL)
		return NULL;
	box->e.last_used_us = now_us;
	return &box->e;
}

struct image *
pool_entry_find_startup(struct pool_entry *entry, const struct image *raw)
{
	if (entry->baseline == NULL)
		return NULL;
	if (image_count(raw) == 0)
		return entry->baseline;
	return pool_startup_find(&entry->startups, raw);
}

int
pool_entry_learn_startup(struct pool_entry *entry, struct image *raw, struct image *resolved)
{
	return pool_startup_learn(&entry->startups, raw, resolved);
}

void
pool_entry_learn_keys(struct pool_entry *entry, const char *user, const struct scram_keys *keys)
{
	char whole[CONFIG_DATABASE_MAX + 1];

	if (strcmp(whole_user(entry, whole), user) == 0)
		entry->keys = *keys;
}

/* Servers whose login is under way keep the target they began with. */
static void
take_secret(struct pool_entry *entry, const char *secret)
{
	struct pool_target *target;

	if (pool_target_knows(entry->target, secret) ||
	    (target = pool_target_with_secret(entry->target, secret)) == NULL)
		return;
	pool_target_unref(entry->target);
	entry->target = target;
}

void
pool_entry_learn_secret(struct pool_entry *entry, const char *user, const char *secret)
{
	char whole[CONFIG_DATABASE_MAX + 1];

	if (strcmp(whole_user(entry, whole), user) == 0)
		take_secret(entry, secret);
}

const struct scram_keys *
pool_entry_secrets(const struct pool_entry *entry, const char **secret)
{
	*secret = entry->target->learnt;
	return &entry->keys;
}

void
pool_entry_take_secrets(struct pool_entry *entry, const struct scram_keys *keys, const char *secret)
{
	if (keys != NULL && !entry->keys.is_set)
		entry->keys = *keys;
	if (secret != NULL)
		take_secret(entry, secret);
}

bool
pool_is_same_cluster(const struct pool_entry *a, const struct pool_entry *b)
{
	return upstream_is_same_cluster(a->target->upstream, b->target->upstream);
}
