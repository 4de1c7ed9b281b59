/*
 * src/lookup/auth_query_source.c - a source is one query, run by one user in one database. Sections for which all three
 * are the same share a source, with its connections and answers.
 */
#include "lookup/auth_query_state.h"
#include "base/clock.h"
#include "base/text.h"
#include "config/compat.h"

#include <stdio.h>

#define SOURCES_MAX 256u
#define ROUTES_MAX 1024u
#define ANSWER_US (3 * US_PER_S) /* the time that the query may take, without the time to connect */
#define LOG_EVERY_US US_PER_S

/* auth_query = builtin. Every name is qualified, so whatever search_path is, no operator or function of another schema
 * is used. An administrator who wants to leave out superusers, for example, configures another query. */
#define BUILTIN_QUERY                                                                                                  \
	"SELECT rolname, rolpassword, extract(epoch FROM rolvaliduntil) FROM pg_catalog.pg_authid "                    \
	"WHERE rolcanlogin AND rolname OPERATOR(pg_catalog.=) $1::pg_catalog.name "                                    \
	"AND (rolvaliduntil IS NULL OR rolvaliduntil OPERATOR(pg_catalog.>=) pg_catalog.now())"

bool
auth_may_look_up_console_users(const struct config *config, const char *database)
{
	return compat_does(config, COMPAT_ASKS_OWN_DATABASE) && strcmp(database, "pgbouncer") == 0;
}

static const char *
queried_database(const struct config *config, const char *database, const struct scope_settings *s)
{
	return compat_does(config, COMPAT_ASKS_OWN_DATABASE) && s->auth_database[0] != '\0' ? s->auth_database
											    : database;
}

int
auth_check_database(const struct auth_queries *all, const char *database, struct fail *why)
{
	const struct pool_database *used;
	struct scope_settings s;
	const char *queried;

	if (!compat_does(all->config, COMPAT_ASKS_OWN_DATABASE) || !auth_get_settings_if_on(all, database, &s))
		return 0;
	queried = queried_database(all->config, database, &s);
	if (strcmp(queried, "pgbouncer") == 0 || config_find_database(all->config, queried) == NULL) {
		if (strcmp(queried, "pgbouncer") == 0)
			fail_set(why, "F0000", "cannot use the reserved \"pgbouncer\" database as an auth_dbname");
		else
			fail_set(why, "F0000", "authentication database \"%s\" is not configured", queried);
		log_error(all->env.log, "%s", why->text);
		return fail_pgbouncer_text(why, "bouncer config error");
	}
	used = pool_set_find_database(all->pools, queried);
	if (queried != database && used != NULL && used->is_disabled)
		return fail_set(why, "55000", "authentication database \"%s\" is disabled", queried);
	return 0;
}

bool
auth_get_settings_if_on(const struct auth_queries *all, const char *database, struct scope_settings *out)
{
	bool is_console = all->config != NULL && auth_may_look_up_console_users(all->config, database);
	const struct config_scope *db =
	    all->config == NULL || is_console ? NULL : config_find_database(all->config, database);

	/* [database *] matches longer names, too, but no pool can have such a name. */
	if ((db == NULL && !is_console) || strlen(database) > CONFIG_DATABASE_MAX)
		return false;
	config_compute_settings(all->config, db, NULL, out);
	return strcmp(out->auth_query, "off") != 0 && out->auth_user[0] != '\0';
}

/* --- where a source connects to, and as which user --- */

/* Returns the target for a source's connections. (In users_file, each user of a tenant is called "user.tenant", and so
 * is its auth_user.) */
static struct pool_target *
target_new(const struct auth_queries *all, const char *database, const struct scope_settings *s,
	   struct scram_keys *keys, struct fail *why)
{
	const char *queried = queried_database(all->config, database, s);
	const struct config_scope *db = config_find_database(all->config, queried);
	const char *dbname = queried == s->auth_database ? "" : s->auth_database;

	if (db == NULL) {
		fail_set(why, "F0000", "authentication database \"%s\" is not configured", queried);
		return NULL;
	}
	if (dbname[0] == '\0' && db->upstream->dbname[0] == '\0')
		dbname = upstream_database(db->upstream, queried);
	return pool_target_new_own(db->upstream, s, all->tls, all->users, database, s->auth_user, dbname, keys, why);
}

static bool
has_setting(const struct upstream *up, const char *name)
{
	for (char **s = up->settings; s != NULL && s[0] != NULL; s += 2)
		if (strcmp(s[0], name) == 0)
			return true;
	return false;
}

static void
source_free(struct auth_source *source)
{
	struct auth_queries *all = source->all;

	if (source->id != 0) {
		TAILQ_REMOVE(&all->sources, source, list);
		all->source_count--;
		auth_cache_forget(all->cache, source->id);
	}
	pool_target_unref(source->target);
	gucs_unref(source->settings);
	free(source->query);
	OPENSSL_cleanse(&source->keys, sizeof(source->keys));
	free(source);
}

static struct auth_source *
source_new(struct auth_queries *all, const char *database, const struct scope_settings *s, struct fail *why)
{
	struct auth_source *source = calloc(1, sizeof(*source));

	fail_memory(why, "a login");
	if (source == NULL)
		return NULL;
	source->all = all;
	TAILQ_INIT(&source->conns);
	TAILQ_INIT(&source->waiting);
	source->is_builtin = strcmp(s->auth_query, "builtin") == 0;
	source->query = strdup(source->is_builtin ? BUILTIN_QUERY : s->auth_query);
	source->target = source->query == NULL ? NULL : target_new(all, database, s, &source->keys, why);
	/* A configured query runs with the role's own search_path and the settings of the upstream line. */
	source->settings = source->target == NULL ? NULL : gucs_empty(all->env.guc_store);
	if (source->settings == NULL ||
	    (source->is_builtin && gucs_update(&source->settings, "search_path", "pg_catalog", GUC_OTHER) < 0) ||
	    (!has_setting(source->target->upstream, "application_name") &&
	     gucs_update(&source->settings, "application_name", "pgweir auth_query", GUC_OTHER) < 0)) {
		source_free(source);
		return NULL;
	}
	source->lookup_timeout_us = s->connect_timeout_us + ANSWER_US;
	if (source->lookup_timeout_us > all->config->login_timeout_us)
		source->lookup_timeout_us = all->config->login_timeout_us;
	return source;
}

/* --- the source of a database --- */

static void
forget_routes(struct auth_queries *all, const struct auth_source *to)
{
	struct auth_route *route, *next;

	HASH_ITER(hh, all->routes, route, next)
		if (to == NULL || route->source == to) {
			HASH_DELETE(hh, all->routes, route);
			free(route);
		}
}

static void
retire(struct auth_source *source)
{
	source->is_retired = true;
	auth_cache_forget(source->all->cache, source->id);
	auth_conns_close_idle(source);
}

/* At SOURCES_MAX, retires the least recently used source without lookups. Returns false if there still is no room. */
static bool
make_room(struct auth_queries *all)
{
	struct auth_source *oldest = NULL, *source;

	auth_sources_free_retired(all);
	if (all->source_count < SOURCES_MAX)
		return true;
	TAILQ_FOREACH(source, &all->sources, list)
		if (source->lookup_count == 0 && !source->is_retired &&
		    (oldest == NULL || source->used_us < oldest->used_us))
			oldest = source;
	if (oldest == NULL)
		return false;
	forget_routes(all, oldest);
	retire(oldest);
	auth_sources_free_retired(all);
	return all->source_count < SOURCES_MAX;
}

/* If a source equals `made`, gives it the new target, frees `made`, and returns that source. Otherwise adds and returns
 * `made` or, if there are too many sources, frees `made` and returns NULL with *why set. */
static struct auth_source *
source_intern(struct auth_queries *all, struct auth_source *made, struct fail *why)
{
	struct auth_source *source;

	TAILQ_FOREACH(source, &all->sources, list)
		if (!source->is_retired && source->is_builtin == made->is_builtin &&
		    source->lookup_timeout_us == made->lookup_timeout_us && strcmp(source->query, made->query) == 0 &&
		    pool_target_is_same(source->target, made->target)) {
			struct pool_target *old = source->target;

			/* New connections use the new target: files that the configuration names may have other
			 * certificates now. */
			source->target = made->target;
			source->target->server.keys = &source->keys;
			made->target = old;
			source_free(made);
			return source;
		}
	if (!make_room(all)) {
		fail_set(why, "53300", "too many databases have users looked up at the same time");
		source_free(made);
		return NULL;
	}
	made->id = ++all->last_source_id;
	TAILQ_INSERT_TAIL(&all->sources, made, list);
	all->source_count++;
	return made;
}

static void
add_route(struct auth_queries *all, const char *database, struct auth_source *source)
{
	struct auth_route *route;

	if (HASH_COUNT(all->routes) >= ROUTES_MAX)
		forget_routes(all, NULL);
	route = TABLE_ADD_NEW(all->seed, all->routes, database, database, strlen(database));
	if (route != NULL)
		route->source = source;
}

struct auth_source *
auth_source_get_or_create(struct auth_queries *all, const char *database, uint64_t now_us, struct fail *why)
{
	struct auth_source *source;
	struct auth_route *route;
	struct scope_settings s;

	TABLE_FIND(all->seed, all->routes, database, strlen(database), route);
	source = route == NULL ? NULL : route->source;
	if (source == NULL && auth_get_settings_if_on(all, database, &s) &&
	    (source = source_new(all, database, &s, why)) != NULL && (source = source_intern(all, source, why)) != NULL)
		add_route(all, database, source);
	if (source != NULL)
		source->used_us = now_us;
	return source;
}

/* For each database in all->routes whose source the reload has not changed, keeps that source. Retires all other
 * sources. */
void
auth_sources_review(struct auth_queries *all, uint64_t now_us)
{
	struct auth_route *old = all->routes, *route, *next;
	struct auth_source *source;
	struct fail why;

	all->routes = NULL;
	TAILQ_FOREACH(source, &all->sources, list)
		source->used_us = 0;
	HASH_ITER(hh, old, route, next) {
		struct scope_settings s;

		if (auth_get_settings_if_on(all, route->database, &s))
			auth_source_get_or_create(all, route->database, now_us, &why);
		HASH_DELETE(hh, old, route);
		free(route);
	}
	TAILQ_FOREACH(source, &all->sources, list) {
		source->retry_us = 0; /* the reload may have removed the cause of the failures */
		source->failures = 0;
		if (source->used_us == 0 && !source->is_retired)
			retire(source);
	}
	auth_sources_free_retired(all);
}

void
auth_sources_free_retired(struct auth_queries *all)
{
	for (struct auth_source *source = TAILQ_FIRST(&all->sources), *next; source != NULL; source = next) {
		next = TAILQ_NEXT(source, list);
		if (source->is_retired && source->conn_count == 0 && source->lookup_count == 0)
			source_free(source);
	}
}

void
auth_sources_free(struct auth_queries *all)
{
	forget_routes(all, NULL);
	while (!TAILQ_EMPTY(&all->sources)) {
		auth_conns_free(TAILQ_FIRST(&all->sources));
		source_free(TAILQ_FIRST(&all->sources));
	}
}

void
auth_log(struct auth_source *source, const struct fail *why, uint64_t now_us)
{
	char more[48] = "";

	if (source->logged_us != 0 && now_us - source->logged_us < LOG_EVERY_US) {
		source->unlogged++;
		return;
	}
	if (source->unlogged > 0)
		snprintf(more, sizeof(more), " (and %u more since the last line)", source->unlogged);
	log_event(source->all->env.log, LOG_LEVEL_WARNING,
		  &(struct log_about){ .event = "auth_query_failed",
				       .database = source->target->database,
				       .user = source->target->user,
				       .why = why },
		  "auth_query as \"%s\" in \"%s\" failed: %s: %s%s", source->target->user, source->target->database,
		  why->sqlstate, why->text, more);
	source->logged_us = now_us;
	source->unlogged = 0;
}
