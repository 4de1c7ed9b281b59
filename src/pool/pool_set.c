/* src/pool/pool_set.c - all pools: configuration, lists, time, and operations on many pools at once. See pool_set.h. */
#include "pool/pool_set_state.h"
#include "base/alloc.h"
#include "config/compat.h"
#include "server/server_ahead.h"

#include <assert.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stddef.h>

#define SLOW_RESET_US (50 * US_PER_MS)
#define SLOW_FIRST_RESET_US (250 * US_PER_MS)
#define FOUND_AT_ONCE ((size_t)64)
#define INVENTED_IDLE_US US_PER_S
#define LOOK_EVERY_US (20 * US_PER_MS)
#define INACTIVE_AT_ONCE 16u
#define INACTIVE_SHARE 32u

/* Makes the set tick at at_us at the latest. */
static void
arm(struct pool_set *set, uint64_t at_us)
{
	uint64_t now_us = pool_set_now(set);

	if (set->wake_at_us != 0 && set->wake_at_us <= at_us)
		return;
	set->wake_at_us = at_us;
	timer_start(&set->waker, at_us > now_us ? at_us - now_us : 0);
}

static void
on_waker(void *arg)
{
	struct pool_set *set = arg;

	set->wake_at_us = 0;
	pool_set_tick(set, pool_set_now(set));
}

struct pool_set *
pool_set_new(const struct pool_set_settings *settings, struct event_base *base, struct log *log)
{
	struct pool_set *set = xcalloc(1, sizeof(*set));

	set->s = *settings;
	set->one_client_env = *set->s.env;
	set->one_client_env.owner_ops = set->s.dedicated_ops->one_client_ops;
	code_store_init(&set->codes, set->s.seed, set->s.code_registry);
	set->databases.codes = &set->codes;
	set->log = log;
	set->random = set->databases.seed = set->backends.seed = set->s.seed;
	policy_places_join(set->s.worker->commons->total, &set->places, set->s.worker);
	TAILQ_INIT(&set->active);
	TAILQ_INIT(&set->inactive);
	timer_init(&set->waker, base, set->s.env->now_us, on_waker, set);
	return set;
}

void
pool_set_forget_database_if_unneeded(struct pool_set *set, struct pool_database *d)
{
	if (d->pools == 0)
		pool_database_forget_if_unneeded(&set->databases, set->config, d);
}

void
pool_set_free(struct pool_set *set)
{
	if (set == NULL)
		return;
	while (set->first != NULL)
		pool_free(set->first);
	assert(set->pool_count == 0 && set->server_count == 0);
	pool_databases_fini(&set->databases);
	pool_backends_fini(&set->backends);
	timer_stop(&set->waker);
	policy_places_leave(&set->places);
	due_heap_fini(&set->due);
	config_unref(set->config);
	users_unref(set->users);
	tls_store_unref(set->tls);
	free(set);
}

/* Creates the pools with min_idle whose upstream names a user, so their idle servers are opened before the first client
 * comes. Called for all sets while the threads of other workers are stopped. */
static void
warm_pools(struct pool_set *set, uint64_t now_us)
{
	for (size_t i = 0; i < set->config->database_count; i++) {
		const struct config_scope *db = &set->config->databases[i];
		struct scope_settings s;
		struct pool *e;
		struct fail why;

		config_compute_settings(set->config, db, NULL, &s);
		if (s.min_idle == 0 || db->upstream->user[0] == '\0' || strcmp(db->name, "*") == 0 ||
		    (set->s.pool_workers != NULL &&
		     !pool_workers_check_shard(set->s.pool_workers, set->config, db->name, db->upstream->user,
					       set->s.number)))
			continue;
		e = pool_set_get_or_create(set, db->name, db->upstream->user, now_us, &why);
		if (e != NULL)
			policy_warm(e->policy, now_us);
	}
}

void
pool_set_configure(struct pool_set *set, struct config *config, struct users *users, struct tls_store *tls,
		   uint64_t now_us)
{
	struct fail gone;

	config_unref(set->config);
	set->config = config_ref(config);
	tls_store_unref(set->tls);
	set->tls = tls_store_ref(tls);
	users_unref(set->users);
	set->users = users_ref(users);
	policy_budget_set_limit(set->s.worker->commons->total, set->s.worker, config->max_server_connections, now_us);
	for (struct pool *e = set->first, *next; e != NULL; e = next) {
		next = e->next;
		if (e->main != NULL)
			continue;
		e->is_orphan = pool_configure(e, now_us, &gone) < 0;
		if (e->is_orphan) {
			policy_close_all(e->policy, RR_RELOAD, now_us);
			standby_pools_configure(e, now_us);
			set->s.dedicated_ops->renew(e);
			policy_refuse_all(e->policy, &gone, RF_LIMIT, now_us);
		}
	}
	if (compat_does(config, COMPAT_WARMS_POOLS))
		warm_pools(set, now_us);
}

struct pool *
pool_set_first(const struct pool_set *set)
{
	return set->first;
}

struct pool_database *
pool_set_databases(const struct pool_set *set)
{
	return set->databases.first;
}

struct pool_database *
pool_set_find_database(const struct pool_set *set, const char *name)
{
	return pool_database_find(&set->databases, name);
}

struct pool_backend *
pool_set_backends(const struct pool_set *set)
{
	return set->backends.first;
}

uint32_t
pool_set_server_count(const struct pool_set *set)
{
	return set->server_count + set->places.used;
}

uint64_t
pool_set_next_id(struct pool_set *set)
{
	return atomic_fetch_add_explicit(set->s.last_id, 1, memory_order_relaxed) + 1;
}

struct policy_worker *
pool_set_policy_worker(const struct pool_set *set)
{
	return set->s.worker;
}

uint64_t
pool_set_random(struct pool_set *set)
{
	uint64_t n;

	return RAND_bytes((unsigned char *)&n, sizeof(n)) == 1 ? n : random_next(&set->random);
}

uint32_t
pool_set_next_turn(struct pool_set *set)
{
	return ++set->turn_count;
}

void
pool_set_exchange_lives(struct pool_set *set, const struct cluster_mark *seen, struct cluster_lives *all)
{
	pthread_mutex_lock(&set->s.cluster_lives->lock);
	if (seen != NULL)
		cluster_lives_add(&set->s.cluster_lives->seen, seen);
	if (all != NULL)
		*all = set->s.cluster_lives->seen;
	pthread_mutex_unlock(&set->s.cluster_lives->lock);
}

const struct server_env *
pool_set_server_env(const struct pool_set *set)
{
	return set->s.env;
}

const struct server_env *
pool_set_one_client_env(const struct pool_set *set)
{
	return &set->one_client_env;
}

bool
pool_set_take_place(struct pool_set *set, uint64_t now_us)
{
	return policy_places_take(&set->places, now_us);
}

void
pool_set_give_place(struct pool_set *set, uint64_t now_us)
{
	assert(set->places.used > 0);
	policy_places_give_back(&set->places, now_us);
}

bool
pool_set_is_place_wanted(const struct pool_set *set)
{
	return policy_places_is_contended(&set->places);
}

/* Fails servers whose reset or end is late, continues resets that were held, and cancels requests whose client has gone
 * if a reset waits for them. Collects the servers first, because these steps may change the list; they do not free a
 * server before the loop's next turn. */
static void
advance_resets(struct pool *pool, uint64_t now_us)
{
	struct server *found[FOUND_AT_ONCE], *srv;
	struct fail why;
	size_t count;

	do {
		count = 0;
		TAILQ_FOREACH(srv, &pool->servers, all)
			if ((server_is_late(srv, now_us) || pool_code_may_end_hold(srv) ||
			     server_has_stale_request(srv, now_us)) &&
			    count < FOUND_AT_ONCE)
				found[count++] = srv;
		for (size_t i = 0; i < count; i++)
			if (server_is_late(found[i], now_us)) {
				fail_set(&why, "08006", "cleaning the connection took too long");
				server_fail(found[i], &why);
			} else if (server_has_stale_request(found[i], now_us)) {
				server_cancel_stale_request(found[i]);
			} else if (pool_code_may_end_hold(found[i])) {
				server_reset_next(found[i]);
			}
	} while (count == FOUND_AT_ONCE);
}

/* Lets the policy open another server for waiters while a reset is slow, for example because of a large temporary
 * table. The first reset in a database may take longer, because it also asks about the code, and a login would take
 * long, too. */
static void
tell_policy_of_slow_resets(struct pool *pool, uint64_t now_us)
{
	const struct database_code *code = pool->code;
	uint64_t slow_us = code->answer == NULL && code->refused_until_us == 0 ? SLOW_FIRST_RESET_US : SLOW_RESET_US;
	struct server *srv;

	TAILQ_FOREACH(srv, &pool->servers, all) /* servers that this opens are appended */
		if (srv->state == SV_RESET && now_us - srv->reset.since_us > slow_us)
			policy_note_washing_delayed(pool->policy, srv->conn, srv->reset.held_since_us, now_us);
}

/* Returns true if a client may have made up the name of the pool's database: [database *] allows any name, and no
 * server of this pool has ever logged in. */
static bool
may_be_invented(const struct pool *pool)
{
	const struct config_scope *db = config_find_database(pool->set->config, pool->database->name);

	return pool->login_parameters == NULL && (db == NULL || strcmp(db->name, pool->database->name) != 0);
}

static bool
is_unused(const struct pool *pool, uint64_t now_us)
{
	uint64_t limit_us = pool->set->config->pool_idle_timeout_us;
	struct policy_counts counts;

	if (pool->main != NULL || pool->clients > 0 || !TAILQ_EMPTY(&pool->servers) || !standby_pools_are_empty(pool))
		return false;
	policy_get_counts(pool->policy, &counts);
	if (counts.waiting > 0 || pool->is_orphan)
		return counts.waiting == 0;
	if (may_be_invented(pool) && (limit_us == 0 || limit_us > INVENTED_IDLE_US))
		limit_us = INVENTED_IDLE_US;
	/* A pool with min_idle is kept; while such a pool has no server, PostgreSQL does not accept its connections. */
	return limit_us > 0 && pool->settings.min_idle == 0 && now_us - pool->last_used_us > limit_us;
}

/* Makes an idle server answer the question about the code. A standby pool's server is never asked, because its host may
 * lack objects that the primary has. */
static void
ask_about_code(struct pool *pool, uint64_t now_us)
{
	struct pool *asked = pool_main(pool);
	struct policy_conn *next;

	if (!pool->is_sealed)
		return;
	next = pool_defaults_next(asked);
	/* op_ping() sends the question about the code, if it is due, in place of the ping. */
	if (policy_ping_idle(next != NULL ? pooled_of(next)->pool->policy : asked->policy, next, now_us))
		return;
	if (pool->main != NULL && TAILQ_EMPTY(&asked->servers))
		policy_stock_up(asked->policy, now_us);
}

void
pool_schedule_tick(struct pool *pool, uint64_t at_us)
{
	struct pool_set *set = pool->set;

	if (set->is_ticking && at_us <= pool_set_now(set))
		at_us = pool_set_now(set) + 1;
	if (pool->due.place == 0 || at_us < pool->due.at_us)
		due_set(&set->due, &pool->due, at_us);
	if (!set->is_ticking)
		arm(set, at_us);
}

static void
tick_pool(struct pool *pool, uint64_t now_us)
{
	uint64_t due_us;

	due_remove(&pool->set->due, &pool->due);
	due_us = policy_tick(pool->policy, now_us); /* may have called op_wake(), which asks for an earlier tick */
	if (due_us != 0)
		pool_schedule_tick(pool, due_us);
}

static void
sample_use(struct pool *pool, uint64_t now_us)
{
	const struct policy_use_sample sample = pool_use_take_sample(pool);

	policy_use_record_sample(&pool->use, &sample, now_us);
}

static void
visit_inactive(struct pool_set *set, uint64_t now_us)
{
	uint32_t n = INACTIVE_AT_ONCE + set->inactive_count / INACTIVE_SHARE;

	/* Visits pools in turn; standby pools are freed with their main pool. */
	for (n = n < set->inactive_count ? n : set->inactive_count; n > 0 && !TAILQ_EMPTY(&set->inactive); n--) {
		struct pool *e = TAILQ_FIRST(&set->inactive);

		TAILQ_REMOVE(&set->inactive, e, activity_link);
		TAILQ_INSERT_TAIL(&set->inactive, e, activity_link);
		sample_use(e, now_us);
		if (is_unused(e, now_us)) {
			compat_log_unused(e, now_us);
			pool_free(e);
		}
	}
}

void
pool_set_tick(struct pool_set *set, uint64_t now_us)
{
	struct due *first;

	if (set->is_suspended)
		return;
	set->is_ticking = true;
	code_store_tick(&set->codes, ask_about_code, now_us);
	while ((first = due_first(&set->due)) != NULL && first->at_us <= now_us)
		tick_pool((struct pool *)((char *)first - offsetof(struct pool, due)), now_us);
	if (now_us - set->looked_us >= LOOK_EVERY_US) {
		set->looked_us = now_us;
		for (struct pool *e = TAILQ_FIRST(&set->active), *next; e != NULL; e = next) {
			next = TAILQ_NEXT(e, activity_link);
			sample_use(e, now_us);
			if (e->main != NULL)
				pool_defaults_apply_to_standby(e, now_us);
			if (pool_use_try_rest(e))
				continue;
			tell_policy_of_slow_resets(e, now_us);
			advance_resets(e, now_us);
		}
		visit_inactive(set, now_us);
	}
	set->is_ticking = false;
	if ((first = due_first(&set->due)) != NULL)
		arm(set, first->at_us);
}

static bool
concerns(const struct pool *e, const char *database)
{
	return database == NULL || strcmp(e->database->name, database) == 0;
}

/* Notes a pause, or its end, in struct pool_database, so the pause applies to pools that are made later, too. */
static void
set_paused(struct pool_set *set, const char *database, bool is_paused)
{
	for (struct pool_database *d = set->databases.first, *next; d != NULL; d = next) {
		next = d->next;
		if (database != NULL && strcmp(d->name, database) != 0)
			continue;
		d->is_paused = is_paused;
		pool_set_forget_database_if_unneeded(set, d);
	}
}

int
pool_set_pause(struct pool_set *set, const char *database, uint64_t now_us)
{
	if (database == NULL)
		set->is_paused = true;
	else if (pool_database_get_or_create(&set->databases, set->config, database) ==
		 NULL) /* makes the database if no client has asked for it yet */
		return -1;
	set_paused(set, database, true);
	for (struct pool *e = set->first; e != NULL; e = e->next)
		if (concerns(e, database)) {
			set->s.dedicated_ops->pause(e);
			policy_pause(e->policy, now_us);
		}
	return 0;
}

void
pool_set_resume(struct pool_set *set, const char *database, uint64_t now_us)
{
	if (database == NULL)
		set->is_paused = false;
	set_paused(set, database, false);
	for (struct pool *e = set->first; e != NULL; e = e->next)
		if (concerns(e, database)) {
			set->s.dedicated_ops->resume(e);
			policy_resume(e->policy, now_us);
		}
}

int
pool_set_disable(struct pool_set *set, const char *database, bool is_disabled)
{
	struct pool_database *d = pool_database_get_or_create(&set->databases, set->config, database);

	if (d == NULL)
		return -1;
	d->is_disabled = is_disabled;
	pool_set_forget_database_if_unneeded(set, d);
	return 0;
}

bool
pool_set_is_quiet(const struct pool_set *set, const char *database)
{
	for (struct pool *e = set->first; e != NULL; e = e->next) {
		struct policy_counts counts;
		struct server *srv;

		if (!concerns(e, database))
			continue;
		policy_get_counts(e->policy, &counts);
		if (counts.is_paused && counts.opening > 0)
			return false;
		TAILQ_FOREACH(srv, &e->servers, all)
			if ((srv->state == SV_LENT && srv->target->replication == NULL) || srv->state == SV_RESET)
				return false;
	}
	return true;
}

bool
pool_set_is_paused(const struct pool_set *set)
{
	return set->is_paused;
}

void
pool_set_suspend(struct pool_set *set, bool on, uint64_t now_us)
{
	set->is_suspended = on;
	if (on)
		return;
	for (struct pool *e = set->first; e != NULL; e = e->next)
		if (!set->is_paused && !e->database->is_paused)
			policy_resume(e->policy, now_us);
	pool_set_tick(set, now_us);
}

void
pool_set_close_all(struct pool_set *set, const char *database, enum recycle_reason why, uint64_t now_us)
{
	for (struct pool *e = set->first; e != NULL; e = e->next)
		if (concerns(e, database)) {
			set->s.dedicated_ops->renew(e);
			if (why == RR_RELOAD)
				policy_reconnect(e->policy, now_us);
			else
				policy_close_all(e->policy, why, now_us);
		}
}

void
pool_set_vacate(struct pool_set *set, const struct pool_target *asking, const char *database, const char *user,
		uint64_t now_us)
{
	for (struct pool *e = set->first; e != NULL; e = e->next)
		if (strcmp(e->target->database, database) == 0 && (user == NULL || strcmp(e->user, user) == 0) &&
		    upstream_is_same_cluster(pool_main(e)->target->upstream, asking->upstream)) {
			policy_close_all(e->policy, RR_KILL, now_us); /* min_idle waits for the next borrow */
			set->s.dedicated_ops->step_aside(e);
		}
}

void
pool_set_close_unneeded(struct pool_set *set, bool is_all, enum recycle_reason why, uint64_t now_us)
{
	for (struct pool *e = set->first; e != NULL; e = e->next) {
		struct policy_counts counts;

		policy_get_counts(e->policy, &counts);
		if (counts.waiting == 0 && (is_all || pool_main(e)->clients == 0) && !TAILQ_EMPTY(&e->servers))
			policy_close_all(e->policy, why, now_us);
	}
}
