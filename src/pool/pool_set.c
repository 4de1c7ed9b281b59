/*
 * src/pool/pool_set.c - see pool_set.h.
 *
 * A server and its place in the policy are one object here (struct pooled): the policy knows its pool_conn, the network
 * its server.
 */
#include "pool/pool_set.h"

#include "base/clock.h"
#include "pool/dedicated.h"
#include "pool/pool_backend.h"
#include "pool/notify_hub.h"
#include "pool/pool_database.h"
#include "pool/pool_target.h"
#include "session/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
/* Names come from clients: the seed keeps them from choosing collisions. It is the set's, found by this name. */
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)XXH3_64bits_withSeed((key), (len), set->seed))
#define uthash_fatal(msg) abort()
#include <uthash.h>

#define PING_TIMEOUT_US (2 * US_PER_S)
#define SLOW_RESET_US (50 * US_PER_MS)
#define LATE_AT_ONCE ((size_t)64)
#define UNUSED_POOL_US (600 * US_PER_S)

struct pooled {
	struct pool_conn conn; /* first: the policy's pointer is ours */
	struct server *srv;
	struct pool_entry *entry;
	struct pool_target *target;
	bool is_told; /* the policy knows that it is gone */
	uint32_t code_round; /* in which it was asked about its database's code */
};

/* 't' or 'd', database and user, each of these with its terminator: see put_key. */
#define ENTRY_KEY_MAX (1 + CONFIG_DATABASE_MAX + 1 + CONFIG_NAME_MAX + 1)

struct entry_box {
	struct pool_entry e; /* first */
	UT_hash_handle hh;
	size_t key_len;
	char key[ENTRY_KEY_MAX];
};

struct pool_set {
	const struct server_env *env;
	struct statement_store *statements;
	struct log *log;
	uint64_t seed, random;
	struct config *config;
	struct users *users;
	struct tls_store *tls;
	struct pool_budget *budget;
	struct pool_owns *owns;
	struct entry_box *table;
	struct pool_entry *first;
	struct pool_databases databases;
	struct pool_backends backends;
	struct event *waker;
	uint64_t wake_at_us; /* 0: the waker is not set */
	uint32_t server_count, last_server_id;
	bool is_paused;
};

static uint64_t
now_of(const struct pool_set *set)
{
	return *set->env->now_us;
}

static uint64_t
next_random(struct pool_set *set)
{
	set->random = set->random * 6364136223846793005u + 1442695040888963407u;
	return set->random >> 16;
}

static struct pooled *
pooled_of(struct pool_conn *conn)
{
	return (struct pooled *)conn;
}

/* --- what the policy asks for --- */

static int
op_open(void *owner, uint64_t now_us, struct fail *why)
{
	struct pool_entry *entry = owner;
	struct pooled *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return fail_set(why, "53200", "no memory for a server connection");
	p->entry = entry;
	p->target = pool_target_ref(entry->target);
	p->srv = server_new(entry->set->env, &p->target->server, &p->conn, entry, pool_set_next_server_id(entry->set),
			    now_us);
	if (p->srv == NULL) {
		pool_target_unref(p->target);
		free(p);
		return fail_set(why, "53200", "no memory for a server connection");
	}
	TAILQ_INSERT_TAIL(&entry->servers, p->srv, all);
	entry->set->server_count++;
	pool_conn_opening(entry->policy, &p->conn, now_us);
	return 0;
}

static void
op_close(void *owner, struct pool_conn *conn, enum recycle_reason reason)
{
	struct pool_entry *entry = owner;

	log_debug(entry->set->log, "server %u: closed (%s)", pooled_of(conn)->srv->id, recycle_reason_names[reason]);
	server_close(pooled_of(conn)->srv);
}

static bool
is_sealed(const struct pool_entry *entry)
{
	return entry->settings.session_state != SESSION_ALLOW && entry->settings.pool_mode != POOL_MODE_SESSION;
}

static const char *
ask_about_code(struct pool_entry *entry, struct server *srv)
{
	struct database_code *code = &entry->database->code;
	const char *question = database_code_ask(code, now_of(entry->set));

	pooled_of(srv->conn)->code_round = code->round;
	return question;
}

static bool
is_asked_about_code(const struct server *srv)
{
	const struct pool_entry *entry = srv->owner;

	return pooled_of(srv->conn)->code_round == entry->database->code.round;
}

static void
op_ping(void *owner, struct pool_conn *conn)
{
	struct pool_entry *entry = owner;
	struct server *srv = pooled_of(conn)->srv;

	if (is_sealed(entry) && database_code_is_due(&entry->database->code, now_of(entry->set)))
		server_ask(srv, ask_about_code(entry, srv));
	else
		server_ping(srv);
}

static void
arm(struct pool_set *set, uint64_t at_us)
{
	uint64_t now = now_of(set), in = at_us > now ? at_us - now : 0;
	struct timeval tv = { (time_t)(in / US_PER_S), (suseconds_t)(in % US_PER_S) };

	if (set->wake_at_us != 0 && set->wake_at_us <= at_us)
		return;
	set->wake_at_us = at_us;
	event_add(set->waker, &tv);
}

static void
op_wake(void *owner, uint64_t at_us)
{
	struct pool_entry *entry = owner;

	if (entry->next_due_us == 0 || at_us < entry->next_due_us)
		entry->next_due_us = at_us;
	arm(entry->set, at_us);
}

static const struct pool_ops policy_ops = { op_open, op_close, op_ping, op_wake };

/* --- what servers report --- */

/* A fresh server shows what the defaults are now; if they changed, what was learnt from older ones is void. */
static void
take_baseline(struct pool_entry *entry, struct server *srv)
{
	struct image *welcome = (struct image *)(uintptr_t)server_welcome(srv);

	if (entry->baseline != srv->image) {
		pool_startup_forget_all(&entry->startups);
		image_unref(entry->baseline);
		entry->baseline = image_ref(srv->image);
	}
	image_unref(entry->welcome);
	entry->welcome = image_ref(welcome);
}

static void
on_ready(struct server *srv)
{
	struct pool_entry *entry = srv->owner;
	struct pool_backend *b = pool_backend_get(&entry->set->backends, srv->address);
	uint64_t now = now_of(entry->set);

	if (b != NULL) {
		b->counters.connects++;
		b->counters.is_up = 1;
		b->role = srv->role;
		histogram_observe_us(&b->counters.connect_duration, &histogram_bounds_wait, now - srv->connected_us);
	}
	take_baseline(entry, srv);
	srv->conn->image = srv->image;
	pool_conn_opened(entry->policy, srv->conn, now);
}

static void
on_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct pool_entry *entry = srv->owner;
	struct pool_backend *b = pool_backend_get(&entry->set->backends, srv->address);

	if (b != NULL) {
		b->counters.connect_failures[kind]++;
		b->counters.last_failure_wall_us = clock_wall_us();
		b->counters.is_up = kind == CF_TOO_MANY || kind == CF_AUTH; /* it is there, but does not want us */
	}
	log_warning(entry->set->log, "pool %s/%s: %s", entry->database->name, entry->user, why->text);
	pooled_of(srv->conn)->is_told = true;
	pool_conn_failed(entry->policy, srv->conn, kind, is_fatal, why, now_of(entry->set));
}

static void
on_pinged(struct server *srv, bool ok)
{
	struct pool_entry *entry = srv->owner;
	uint64_t now = now_of(entry->set);

	if (!srv->is_asked)
		histogram_observe_us(&entry->database->counters.ping_duration, &histogram_bounds_wait,
				     now - srv->loan.sent_us);
	srv->conn->image = srv->image;
	pool_ping_done(entry->policy, srv->conn, ok, now);
}

static void
give_back(struct server *srv)
{
	struct pool_entry *entry = srv->owner;

	srv->conn->image = srv->image;
	pool_return(entry->policy, srv->conn, now_of(entry->set)); /* last: it may be lent again at once */
}

/* Its database's code may have left what nothing resets. */
static bool
has_lasting_code(const struct pool_entry *entry)
{
	const struct code_answer *answer = entry->database->code.answer;

	return is_sealed(entry) && answer != NULL && (answer->parts & STATE_BACKEND) != 0;
}

static void
close_dirty(struct server *srv)
{
	struct pool_entry *entry = srv->owner;

	entry->counters.recycles[RR_DIRTY]++;
	srv->link = NULL;
	server_close(srv);
}

static void
on_clean(struct server *srv)
{
	struct pool_entry *entry = srv->owner;

	entry->counters.resets_ok += !srv->reset.is_seal;
	if (srv->reset.todo.is_last || has_lasting_code(entry))
		close_dirty(srv);
	else
		give_back(srv);
}

static void
on_answer_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	struct pool_entry *entry = srv->owner;

	if (is_asked_about_code(srv))
		database_code_row(&entry->database->code, body, len, is_whole);
}

static void
log_code(const struct pool_entry *entry)
{
	const struct code_answer *answer = entry->database->code.answer;
	char parts[STATE_TEXT_MAX];

	if (answer->parts & STATE_BACKEND)
		log_warning(
		    entry->set->log,
		    "database %s: its code keeps state in the backend that nothing resets: each server connection "
		    "is closed after use; see SHOW DATABASE_CODE",
		    entry->database->name);
	else
		log_info(entry->set->log, "database %s: its code could touch this session state: %s",
			 entry->database->name, state_text(answer->parts, parts));
}

/*
 * Those of this database ran its code before it was known to keep state that nothing resets. A walk over all pools, but
 * only when the answer about a database's code is another than the last.
 */
static void
close_those_used(const struct pool_entry *entry)
{
	for (struct pool_entry *e = entry->set->first; e != NULL; e = e->next)
		if (e->database == entry->database && has_lasting_code(e))
			pool_close_all(e->policy, RR_DIRTY, now_of(e->set));
}

static void
on_answered(struct server *srv, bool ok)
{
	struct pool_entry *entry = srv->owner;

	if (!ok)
		log_warning(
		    entry->set->log,
		    "database %s: PostgreSQL did not tell what its code could touch; all session state is washed off "
		    "each server connection that comes back",
		    entry->database->name);
	if (is_asked_about_code(srv) && database_code_answered(&entry->database->code, ok, now_of(entry->set))) {
		log_code(entry);
		close_those_used(entry);
	}
}

static void
on_gone(struct server *srv, const struct fail *why)
{
	struct pool_entry *entry = srv->owner;
	bool is_reset = srv->state == SV_RESET;

	(void)why;
	if (is_reset)
		entry->counters.resets_failed++;
	if (srv->state == SV_PINGING) {
		entry->counters.pings_failed++;
		entry->counters.recycles[RR_FAILED_PING]++;
	} else
		entry->counters.recycles[RR_ERROR]++;
	pooled_of(srv->conn)->is_told = true;
	pool_conn_gone(entry->policy, srv->conn, !is_reset, now_of(entry->set));
}

static void
on_closed(struct server *srv)
{
	struct pool_entry *entry = srv->owner;
	struct pooled *p = pooled_of(srv->conn);

	TAILQ_REMOVE(&entry->servers, srv, all);
	entry->set->server_count--;
	if (!p->is_told)
		pool_conn_gone(entry->policy, &p->conn, false, now_of(entry->set));
	pool_target_unref(p->target);
	free(p);
	srv->conn = NULL;
	srv->target = NULL;
}

const struct server_owner_ops pool_set_owner_ops = { on_ready, on_failed,     on_pinged,   on_clean,
						     on_gone,  on_answer_row, on_answered, on_closed };

/* --- the set --- */

static void
on_waker(evutil_socket_t fd, short what, void *arg)
{
	struct pool_set *set = arg;

	(void)fd;
	(void)what;
	*set->env->now_us = clock_now_us();
	set->wake_at_us = 0;
	pool_set_tick(set, now_of(set));
}

struct pool_set *
pool_set_new(const struct pool_set_settings *settings, struct event_base *base, struct log *log)
{
	struct pool_set *set = calloc(1, sizeof(*set));

	if (set == NULL)
		return NULL;
	set->env = settings->env;
	set->statements = settings->statements;
	set->log = log;
	set->seed = set->random = set->databases.seed = set->backends.seed = settings->seed;
	set->budget = pool_budget_new(0);
	set->owns = set->budget == NULL ? NULL : pool_owns_new(set->env, set->budget);
	set->waker = event_new(base, -1, 0, on_waker, set);
	if (set->owns == NULL || set->waker == NULL) {
		pool_set_free(set);
		return NULL;
	}
	return set;
}

/* Its last pool may be gone. */
static void
forget_database(struct pool_set *set, struct pool_database *d)
{
	if (d->pools == 0)
		pool_database_forget(&set->databases, set->config, d);
}

static void
entry_free(struct pool_set *set, struct entry_box *box)
{
	struct pool_entry *entry = &box->e;
	struct pool_database *database = entry->database;

	notify_hubs_free(entry);
	pool_close_all(entry->policy, RR_SHUTDOWN, now_of(set));
	while (!TAILQ_EMPTY(&entry->servers))
		server_close(TAILQ_FIRST(&entry->servers));
	pool_free(entry->policy);
	*(entry->before != NULL ? &entry->before->next : &set->first) = entry->next;
	if (entry->next != NULL)
		entry->next->before = entry->before;
	HASH_DELETE(hh, set->table, box);
	pool_startup_forget_all(&entry->startups);
	image_unref(entry->baseline);
	image_unref(entry->welcome);
	pool_target_unref(entry->target);
	statement_home_unref(entry->home);
	explicit_bzero(&entry->keys, sizeof(entry->keys));
	free(box);
	database->pools--;
	forget_database(set, database);
}

void
pool_set_free(struct pool_set *set)
{
	if (set == NULL)
		return;
	while (set->table != NULL)
		entry_free(set, set->table);
	pool_databases_fini(&set->databases);
	pool_backends_fini(&set->backends);
	if (set->waker != NULL)
		event_free(set->waker);
	pool_owns_free(set->owns);
	pool_budget_free(set->budget);
	config_unref(set->config);
	users_unref(set->users);
	tls_store_unref(set->tls);
	free(set);
}

static void
policy_settings(const struct scope_settings *s, struct pool_settings *out)
{
	memset(out, 0, sizeof(*out));
	out->pool_size = s->pool_size;
	out->max_overflow = s->max_overflow;
	out->min_idle = s->min_idle;
	out->overflow_linger_us = s->overflow_linger_us;
	out->timeout_us = s->pool_timeout_us;
	out->recycle_us = s->pool_recycle_us;
	out->idle_timeout_us = s->idle_timeout_us;
	out->pre_ping = s->pool_pre_ping;
	out->pre_ping_idle_us = s->pool_pre_ping_idle_us;
	out->ping_interval_us = s->ping_interval_us;
	out->ping_timeout_us = PING_TIMEOUT_US;
	out->lifo = s->pool_lifo;
}

/* As clients log in with it, and as sections and users_file have it: "user.tenant" for a tenant's. */
static const char *
whole_user(const struct pool_entry *entry, char out[static CONFIG_DATABASE_MAX + 1])
{
	const char *database = entry->database->name;

	if (!entry->database->is_of_tenant)
		return entry->user;
	snprintf(out, CONFIG_DATABASE_MAX + 1, "%s.%.*s", entry->user, (int)strcspn(database, "/"), database);
	return out;
}

/* -1: no memory. */
static int
find_home(struct pool_entry *entry)
{
	char *name = pool_target_home(entry->target);
	struct statement_home *home = name == NULL ? NULL : statement_home_get(entry->set->statements, name);

	free(name);
	if (home == NULL)
		return -1;
	statement_home_unref(entry->home);
	entry->home = home;
	return 0;
}

/* Limits, upstream and secrets as the set's configuration has them. -1: no such database any more, or no memory. */
static int
entry_configure(struct pool_entry *entry, uint64_t now_us, struct fail *why)
{
	struct pool_set *set = entry->set;
	const char *database = entry->database->name;
	const struct config_scope *db = config_find_database(set->config, database);
	char user[CONFIG_DATABASE_MAX + 1];
	struct pool_target *target;
	struct pool_settings ps;
	bool is_moved, was_unsealed = entry->policy != NULL && !is_sealed(entry);

	/* A name with a slash is another database's once tenants are switched on or off. */
	if (db == NULL || db->upstream->is_of_tenant != entry->database->is_of_tenant)
		return fail_set(why, "3D000", "database \"%s\" is not configured in pgweir", database);
	config_effective(set->config, db, config_find_user(set->config, whole_user(entry, user)), &entry->settings);
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
	if (is_moved || (was_unsealed && is_sealed(entry))) /* what is left there nobody has washed off */
		pool_close_all(entry->policy, RR_RELOAD, now_us);
	entry->database->code.is_of_several = db->upstream->is_of_tenant && strstr(db->upstream->dbname, "%{user}");
	pool_target_unref(entry->target);
	entry->target = target;
	if (find_home(entry) < 0)
		return fail_set(why, "53200", "no memory for a pool");
	if (is_moved)
		notify_hubs_renew(entry);
	policy_settings(&entry->settings, &ps);
	if (entry->policy == NULL) {
		entry->policy = pool_new(&ps, &policy_ops, entry, set->budget, &entry->counters, next_random(set));
	} else
		pool_reconfigure(entry->policy, &ps, now_us);
	return entry->policy == NULL ? fail_set(why, "53200", "no memory for a pool") : 0;
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
	set->users = users == NULL ? NULL : users_ref(users);
	pool_budget_set_limit(set->budget, config->max_server_connections, now_us);
	for (struct pool_entry *e = set->first, *next; e != NULL; e = next) {
		next = e->next;
		e->is_orphan = entry_configure(e, now_us, &gone) < 0;
		if (e->is_orphan) {
			pool_close_all(e->policy, RR_RELOAD, now_us);
			notify_hubs_renew(e);
			pool_refuse_all(e->policy, &gone, RF_LIMIT, now_us);
		}
	}
}

static size_t
put_key(char key[static ENTRY_KEY_MAX], bool is_of_tenant, const char *database, const char *user)
{
	return (size_t)snprintf(key, ENTRY_KEY_MAX, "%c%s%c%s", is_of_tenant ? 't' : 'd', database, 0, user);
}

static struct entry_box *
entry_new(struct pool_set *set, const char *database, const char *user, uint64_t now_us, struct fail *why)
{
	struct entry_box *box = calloc(1, sizeof(*box));

	if (box == NULL || (box->e.database = pool_database_get(&set->databases, set->config, database)) == NULL) {
		free(box);
		fail_set(why, "53200", "no memory for a pool");
		return NULL;
	}
	box->e.set = set;
	box->e.startups.seed = set->seed;
	snprintf(box->e.user, sizeof(box->e.user), "%s", user);
	TAILQ_INIT(&box->e.servers);
	if (entry_configure(&box->e, now_us, why) < 0) {
		statement_home_unref(box->e.home);
		pool_target_unref(box->e.target);
		forget_database(set, box->e.database);
		free(box);
		return NULL;
	}
	box->key_len = put_key(box->key, box->e.database->is_of_tenant, database, user);
	HASH_ADD(hh, set->table, key, (unsigned)box->key_len, box);
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
	if (near != NULL)
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
	key_len = put_key(key, db->upstream->is_of_tenant, database, server_user);
	HASH_FIND(hh, set->table, key, (unsigned)key_len, box);
	if (box == NULL)
		box = entry_new(set, database, server_user, now_us, why);
	if (box == NULL)
		return NULL;
	box->e.last_used_us = now_us;
	return &box->e;
}

struct pool_entry *
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
	return set->server_count + pool_owns_count(set->owns);
}

uint32_t
pool_set_next_server_id(struct pool_set *set)
{
	return ++set->last_server_id;
}

struct pool_owns *
pool_set_owns(const struct pool_set *set)
{
	return set->owns;
}

const struct server_env *
pool_set_server_env(const struct pool_set *set)
{
	return set->env;
}

/* --- borrowing --- */

struct server *
pool_entry_granted(struct pool_conn *conn, void *link, uint64_t now_us)
{
	struct server *srv = pooled_of(conn)->srv;

	server_lend(srv, link, now_us);
	pooled_of(conn)->entry->database->counters.server_assignments++;
	return srv;
}

struct server *
pool_entry_borrow(struct pool_entry *entry, struct pool_ticket *ticket, void *link, uint64_t now_us)
{
	struct pool_conn *conn = pool_borrow(entry->policy, ticket, now_us);

	return conn == NULL ? NULL : pool_entry_granted(conn, link, now_us);
}

/*
 * Washes these parts, and perhaps asks about the database's code; then it is returned. One that can't be washed is
 * closed, but may be asked before: in a database whose code leaves such state, none ever is idle.
 */
static void
seal(struct server *srv, unsigned parts, const char *question, uint64_t now_us)
{
	struct pool_entry *entry = srv->owner;
	const struct database_code *code = &entry->database->code;
	struct reset_order order = { .parts = parts & STATE_WASHABLE, .question = question };

	order.is_last = (parts & STATE_BACKEND) != 0;
	if (order.parts != STATE_WASHABLE && code->answer != NULL) /* else dblink may have connected, too */
		memcpy(order.fdw_schema, code->answer->fdw_schema, sizeof(order.fdw_schema));
	if (order.is_last && question == NULL) {
		close_dirty(srv);
		return;
	}
	order.seed = next_random(entry->set);
	entry->counters.seals += order.parts != 0;
	pool_conn_washing(entry->policy, srv->conn);
	server_reset(srv, &order, now_us);
}

void
pool_entry_return(struct server *srv, unsigned parts, uint64_t now_us)
{
	struct pool_entry *entry = srv->owner;
	struct database_code *code = &entry->database->code;
	const char *question = NULL;

	entry->last_used_us = code->used_us = now_us;
	if (!database_code_is_known(code, now_us) && is_sealed(entry) && database_code_is_overdue(code, now_us))
		question = ask_about_code(entry, srv);
	if (parts != 0 || question != NULL) {
		seal(srv, parts, question, now_us);
		return;
	}
	srv->link = NULL;
	if (server_step(srv, SE_GIVE_BACK) == 0)
		give_back(srv);
}

void
pool_entry_clean(struct server *srv, bool discard_all, uint64_t now_us)
{
	struct pool_entry *entry = srv->owner;
	struct reset_order order = { .is_discarding = discard_all, .parts = STATE_WASHABLE };

	order.seed = next_random(entry->set);
	server_reset(srv, &order, now_us);
}

unsigned
pool_entry_code_parts(const struct pool_entry *entry, uint64_t now_us)
{
	return database_code_parts(&entry->database->code, now_us);
}

bool
pool_entry_has_sequences(const struct pool_entry *entry, uint64_t now_us)
{
	return database_code_has_sequences(&entry->database->code, now_us);
}

/* The same database may be configured under several names. Each DDL statement walks all pools: some µs for a hundred.
 */
void
pool_entry_code_changed(struct pool_entry *entry, bool is_made)
{
	for (struct pool_entry *e = entry->set->first; e != NULL; e = e->next)
		if (e->database != entry->database && strcmp(e->target->database, entry->target->database) == 0)
			database_code_changed(&e->database->code, is_made);
	database_code_changed(&entry->database->code, is_made);
}

void
pool_set_databases_changed(struct pool_set *set)
{
	for (struct pool_entry *e = set->first; e != NULL; e = e->next)
		database_code_changed(&e->database->code, true);
}

/* --- startup settings --- */

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
void
pool_entry_learn_secret(struct pool_entry *entry, const char *user, const char *secret)
{
	char whole[CONFIG_DATABASE_MAX + 1];
	struct pool_target *target;

	if (strcmp(whole_user(entry, whole), user) != 0 || pool_target_knows(entry->target, secret) ||
	    (target = pool_target_with_secret(entry->target, secret)) == NULL)
		return;
	pool_target_unref(entry->target);
	entry->target = target;
}

/* --- time and operations --- */

static bool
is_reset_late(const struct server *srv, uint64_t now_us)
{
	return srv->state == SV_RESET && srv->reset.deadline_us <= now_us;
}

/* First found, then ended: that may change the list. None is freed before the loop's next turn. */
static void
expire_resets(struct pool_entry *entry, uint64_t now_us)
{
	struct server *late[LATE_AT_ONCE], *srv;
	struct fail why;
	size_t count;

	fail_set(&why, "08006", "cleaning the connection took too long");
	do {
		count = 0;
		TAILQ_FOREACH(srv, &entry->servers, all)
		if (is_reset_late(srv, now_us) && count < LATE_AT_ONCE)
			late[count++] = srv;
		for (size_t i = 0; i < count; i++)
			if (is_reset_late(late[i], now_us))
				server_fail(late[i], &why);
	} while (count == LATE_AT_ONCE);
}

/* A catalog of many objects, a large temporary table: who waits gets another server, if there is room. */
static void
help_behind_slow_resets(struct pool_entry *entry, uint64_t now_us)
{
	struct server *srv;

	TAILQ_FOREACH(srv, &entry->servers, all) /* new ones come last */
	if (srv->state == SV_RESET && now_us - srv->reset.since_us > SLOW_RESET_US)
		pool_conn_washing_is_slow(entry->policy, srv->conn, now_us);
}

static bool
is_unused(const struct pool_entry *entry, uint64_t now_us)
{
	struct pool_counts counts;

	if (entry->clients > 0 || !TAILQ_EMPTY(&entry->servers))
		return false;
	pool_get_counts(entry->policy, &counts);
	return counts.waiting == 0 && (entry->is_orphan || now_us - entry->last_used_us > UNUSED_POOL_US);
}

void
pool_set_tick(struct pool_set *set, uint64_t now_us)
{
	uint64_t earliest = 0;

	for (struct pool_entry *e = set->first, *next; e != NULL; e = next) {
		next = e->next;
		pool_hold_expire(e, now_us);
		if (is_sealed(e) && database_code_is_due(&e->database->code, now_us))
			pool_ping_idle(e->policy, now_us); /* which asks */
		if (e->next_due_us != 0 && e->next_due_us <= now_us) {
			uint64_t due;

			e->next_due_us = 0;
			due = pool_tick(e->policy, now_us); /* may ask for an earlier call by op_wake */
			if (due != 0 && (e->next_due_us == 0 || due < e->next_due_us))
				e->next_due_us = due;
		}
		if (!TAILQ_EMPTY(&e->servers)) {
			help_behind_slow_resets(e, now_us);
			expire_resets(e, now_us);
		} else if (is_unused(e, now_us)) {
			entry_free(set, (struct entry_box *)e);
			continue;
		}
		if (e->next_due_us != 0 && (earliest == 0 || e->next_due_us < earliest))
			earliest = e->next_due_us;
	}
	if (earliest != 0)
		arm(set, earliest);
}

static bool
concerns(const struct pool_entry *e, const char *database)
{
	return database == NULL || strcmp(e->database->name, database) == 0;
}

/* For pools that come later, too. */
static void
mark_paused(struct pool_set *set, const char *database, bool is_paused)
{
	for (struct pool_database *d = set->databases.first, *next; d != NULL; d = next) {
		next = d->next;
		if (database != NULL && strcmp(d->name, database) != 0)
			continue;
		d->is_paused = is_paused;
		forget_database(set, d);
	}
}

void
pool_set_pause(struct pool_set *set, const char *database, uint64_t now_us)
{
	if (database == NULL)
		set->is_paused = true;
	mark_paused(set, database, true);
	for (struct pool_entry *e = set->first; e != NULL; e = e->next)
		if (concerns(e, database)) {
			notify_hubs_pause(e);
			pool_pause(e->policy, now_us);
		}
}

void
pool_set_resume(struct pool_set *set, const char *database, uint64_t now_us)
{
	if (database == NULL)
		set->is_paused = false;
	mark_paused(set, database, false);
	for (struct pool_entry *e = set->first; e != NULL; e = e->next)
		if (concerns(e, database)) {
			notify_hubs_resume(e);
			pool_resume(e->policy, now_us);
		}
}

bool
pool_set_is_quiet(const struct pool_set *set, const char *database)
{
	for (struct pool_entry *e = set->first; e != NULL; e = e->next) {
		struct server *srv;

		if (!concerns(e, database))
			continue;
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
pool_set_close_all(struct pool_set *set, const char *database, enum recycle_reason why, uint64_t now_us)
{
	for (struct pool_entry *e = set->first; e != NULL; e = e->next)
		if (concerns(e, database)) {
			notify_hubs_renew(e);
			pool_close_all(e->policy, why, now_us);
		}
}

const char *
pool_target_host(const struct pool_entry *entry)
{
	return entry->target->upstream->hosts[0].host;
}

uint16_t
pool_target_port(const struct pool_entry *entry)
{
	return entry->target->upstream->hosts[0].port;
}

const char *
pool_target_database(const struct pool_entry *entry)
{
	return entry->target->database;
}
