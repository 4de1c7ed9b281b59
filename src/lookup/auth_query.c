/* src/lookup/auth_query.c - lookups: the logins that ask, and the answers; see auth_query.h. */
#include "lookup/auth_query_state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "server/server.h"

#define CACHE_ENTRIES 4096
#define SWEEP_US (5 * US_PER_S)
#define RESENT_MAX 3u /* a limit, so that frequent changes of roles do not keep logins waiting */

struct auth_queries *
auth_queries_new(const struct auth_queries_settings *settings)
{
	struct auth_queries *all = xcalloc(1, sizeof(*all));

	TAILQ_INIT(&all->sources);
	all->pools = settings->pools;
	all->counters = settings->counters;
	all->seed = settings->seed;
	all->random = settings->seed;
	dedicated_fill_env(&all->env, settings->pools);
	all->env.cancelling = &all->cancelling;
	all->cache = auth_cache_new(settings->seed, CACHE_ENTRIES);
	return all;
}

static void
lookup_free(struct auth_lookup *lookup)
{
	HASH_DELETE(hh, lookup->source->all->lookups, lookup);
	lookup->source->lookup_count--;
	free(lookup);
}

void
auth_queries_free(struct auth_queries *all)
{
	struct auth_lookup *lookup, *next;

	if (all == NULL)
		return;
	HASH_ITER(hh, all->lookups, lookup, next) {
		if (lookup->conn != NULL)
			auth_conn_give_up(lookup->conn);
		else
			TAILQ_REMOVE(&lookup->source->waiting, lookup, link);
		lookup_free(lookup);
	}
	auth_sources_free(all);
	server_cancel_abandon(&all->env);
	auth_cache_free(all->cache);
	config_unref(all->config);
	users_unref(all->users);
	tls_store_unref(all->tls);
	free(all);
}

/* --- the configuration --- */

static void
warn_of_user(const struct auth_queries *all, const struct config_scope *db, const struct scope_settings *s)
{
	const char *file = config_is_foreign(all->config) ? "auth_file" : "users_file";
	struct user_secret secret = { SECRET_NONE, NULL };

	if (s->password_command[0] != '\0' ||
	    (strcmp(db->upstream->user, s->auth_user) == 0 && db->upstream->password[0] != '\0'))
		return;
	if (!users_find(all->users, s->auth_user, &secret) || secret.kind == SECRET_NONE)
		log_warning(all->env.log,
			    "auth_user \"%s\" of database \"%s\" has no secret in %s: auth_query works only if "
			    "PostgreSQL lets it in without a password",
			    s->auth_user, db->name, file);
	else if (secret.kind == SECRET_SCRAM)
		log_warning(all->env.log,
			    "auth_user \"%s\" of database \"%s\" has a SCRAM verifier in %s, which cannot log in "
			    "to PostgreSQL; write its password there, in plain text or as md5",
			    s->auth_user, db->name, file);
}

void
auth_queries_configure(struct auth_queries *all, struct config *config, struct users *users, struct tls_store *tls,
		       uint64_t now_us)
{
	struct scope_settings s;

	config_unref(all->config);
	all->config = config_ref(config);
	users_unref(all->users);
	all->users = users_ref(users);
	tls_store_unref(all->tls);
	all->tls = tls_store_ref(tls);
	auth_cache_expire_all(all->cache, now_us); /* after a reload each login must see the present secret */
	auth_sources_review(all, now_us);
	for (size_t i = 0; i < config->database_count; i++)
		if (auth_get_settings_if_on(all, config->databases[i].name, &s))
			warn_of_user(all, &config->databases[i], &s);
}

bool
auth_query_is_on(const struct auth_queries *all, const char *database)
{
	struct scope_settings s;

	return auth_get_settings_if_on(all, database, &s);
}

/* --- answers --- */

static enum auth_verdict
secret_verdict(bool is_user, const char *secret, int64_t valid_until_us, const char **out)
{
	/* A secret is valid up to and including its last moment, as in PostgreSQL's own check. */
	*out = secret != NULL && valid_until_us >= (int64_t)clock_wall_us() ? secret : NULL;
	return *out != NULL ? AUTH_KNOWN : is_user ? AUTH_WITHOUT_SECRET : AUTH_UNKNOWN;
}

static enum auth_verdict
kept_verdict(const struct auth_cached *kept, const char **out)
{
	return secret_verdict(kept->is_user, kept->secret, kept->valid_until_us, out);
}

static struct auth_key
lookup_key(const struct auth_source *source, const char *user, const char *role)
{
	struct auth_key key;

	memset(&key, 0, sizeof(key)); /* including the padding, because all bytes are hashed */
	key.source = source->id;
	memcpy(key.user, user, strlen(user));
	memcpy(key.role, role, strlen(role));
	return key;
}

/* Called if PostgreSQL can't be asked. Uses the cached answer if it is usable, though expired; else sets *why. */
static enum auth_verdict
fall_back(struct auth_queries *all, const struct auth_key *key, const char **secret, struct fail *why, uint64_t now_us)
{
	const struct auth_cached *kept = auth_cache_find(all->cache, key);

	*secret = NULL;
	if (kept != NULL && auth_cached_is_usable(kept, now_us)) {
		all->counters->auth_queries[AQ_STALE]++;
		return kept_verdict(kept, secret);
	}
	fail_set(why, "08006", "could not look up the user in PostgreSQL");
	fail_hint(why, "pgweir's log has the reason (auth_query).");
	return AUTH_REFUSED;
}

/* Answers all logins that asked. `secret` must not be the cache's copy, which any callback may free. */
static void
answer_asks(struct auth_lookup *lookup, enum auth_verdict verdict, const char *secret, const struct fail *why)
{
	struct auth_ask *ask;

	while ((ask = TAILQ_FIRST(&lookup->asks)) != NULL) {
		TAILQ_REMOVE(&lookup->asks, ask, link);
		ask->lookup = NULL;
		ask->done(verdict, secret, why, ask->arg); /* last, because ask may be freed */
	}
}

static void
answer_with_row(struct auth_lookup *lookup, const struct auth_answer *answer)
{
	struct auth_queries *all = lookup->source->all;
	char text[AUTH_SECRET_MAX + 1];
	const char *secret = NULL;
	enum auth_verdict verdict;

	if (answer->secret != NULL) {
		memcpy(text, answer->secret, answer->secret_len);
		text[answer->secret_len] = '\0';
		secret = text;
	}
	all->counters->auth_queries[secret != NULL ? AQ_MISS : AQ_UNKNOWN]++;
	if (!lookup->source->is_retired && lookup->roles_epoch == shared_count_get(&all->roles_epoch))
		auth_cache_put(all->cache, &lookup->key, answer, all->config->auth_query_ttl_us, *all->env.now_us);
	verdict = secret_verdict(answer->is_user, secret, answer->valid_until_us, &secret);
	answer_asks(lookup, verdict, secret, NULL);
	explicit_bzero(text, sizeof(text));
}

static void
answer_unreachable(struct auth_lookup *lookup)
{
	struct auth_queries *all = lookup->source->all;
	const char *secret;
	struct fail why;
	enum auth_verdict verdict = fall_back(all, &lookup->key, &secret, &why, *all->env.now_us);
	char kept[AUTH_SECRET_MAX + 1];

	if (secret != NULL)
		snprintf(kept, sizeof(kept), "%s", secret);
	answer_asks(lookup, verdict, secret == NULL ? NULL : kept, &why);
	explicit_bzero(kept, sizeof(kept));
}

/* Counts, and returns true, if the lookup must be resent: roles have changed since it was sent, and a login waits. */
static bool
count_resend_if_outdated(struct auth_lookup *lookup)
{
	return lookup->roles_epoch != shared_count_get(&lookup->source->all->roles_epoch) &&
	       !TAILQ_EMPTY(&lookup->asks) && lookup->resent_count++ < RESENT_MAX;
}

void
auth_lookup_end(struct auth_lookup *lookup, enum auth_lookup_result end, const struct auth_answer *answer,
		const struct fail *why)
{
	struct auth_source *source = lookup->source;
	struct auth_queries *all = source->all;

	if (end == AUTH_END_ANSWER && count_resend_if_outdated(lookup)) {
		TAILQ_INSERT_HEAD(&source->waiting, lookup, link);
		return;
	}
	if (end == AUTH_END_ANSWER)
		answer_with_row(lookup, answer);
	else {
		all->counters->auth_queries[AQ_FAILED]++;
		auth_log(source, why, *all->env.now_us);
		if (end == AUTH_END_ERROR)
			answer_asks(lookup, AUTH_FAILED, NULL, NULL);
		else
			answer_unreachable(lookup);
	}
	lookup_free(lookup);
}

/* --- questions --- */

static struct auth_lookup *
lookup_new(struct auth_source *source, const struct auth_key *key, uint64_t now_us)
{
	struct auth_queries *all = source->all;
	struct auth_lookup *lookup = calloc(1, sizeof(*lookup));

	if (lookup == NULL)
		return NULL;
	lookup->key = *key;
	lookup->source = source;
	lookup->deadline_us = now_us + source->lookup_timeout_us;
	TAILQ_INIT(&lookup->asks);
	if (!TABLE_ADD(all->seed, all->lookups, &lookup->key, sizeof(lookup->key), lookup)) {
		free(lookup);
		return NULL;
	}
	source->lookup_count++;
	TAILQ_INSERT_TAIL(&source->waiting, lookup, link);
	return lookup;
}

static enum auth_verdict
ask_for(struct auth_source *source, const struct auth_key *key, struct auth_ask *ask, struct fail *why, uint64_t now_us)
{
	struct auth_queries *all = source->all;
	struct auth_lookup *lookup;

	TABLE_FIND(all->seed, all->lookups, key, sizeof(*key), lookup);
	if (lookup == NULL && HASH_COUNT(all->lookups) >= AUTH_LOOKUPS_MAX) {
		fail_set(why, "53300", "too many users are being looked up");
		return AUTH_REFUSED;
	}
	if (lookup == NULL)
		lookup = lookup_new(source, key, now_us);
	if (lookup == NULL) {
		fail_memory(why, "a login");
		return AUTH_REFUSED;
	}
	ask->lookup = lookup;
	TAILQ_INSERT_TAIL(&lookup->asks, ask, link);
	auth_conns_feed(source, now_us);
	return AUTH_LATER;
}

/* Writes the user's name as PostgreSQL knows it, without ".tenant". Returns false if there can be no such user. */
static bool
write_user_without_tenant(const struct auth_queries *all, const char *database, const char *user,
			  char out[static CONFIG_NAME_MAX + 1])
{
	const struct config_scope *db = config_find_database(all->config, database);
	struct fail why;

	if (auth_may_look_up_console_users(all->config, database))
		return snprintf(out, CONFIG_NAME_MAX + 1, "%s", user) <= CONFIG_NAME_MAX && out[0] != '\0';
	return db != NULL && upstream_compute_role(db->upstream, database, user, out, &why) == 0 && out[0] != '\0';
}

static enum auth_verdict
find_answer(struct auth_queries *all, const char *database, const struct auth_key *what, struct auth_ask *ask,
	    const char **secret, struct fail *why, uint64_t now_us)
{
	uint64_t roles_epoch = shared_count_get(&all->roles_epoch);
	const struct auth_cached *kept;
	struct auth_source *source;
	struct auth_key key;

	*secret = NULL;
	if (auth_check_database(all, database, why) < 0)
		return AUTH_REFUSED;
	source = auth_source_get_or_create(all, database, now_us, why);
	if (source == NULL)
		return AUTH_REFUSED;
	key = lookup_key(source, what->user, what->role);
	if (all->cached_roles_epoch != roles_epoch)
		auth_cache_clear(all->cache);
	all->cached_roles_epoch = roles_epoch;
	kept = auth_cache_find(all->cache, &key);
	if (kept != NULL && auth_cached_is_fresh(kept, now_us)) {
		all->counters->auth_queries[AQ_HIT]++;
		return kept_verdict(kept, secret);
	}
	/* After a failed attempt to connect, nothing is asked until the next attempt is due. */
	if (source->conn_count == 0 && source->retry_us > now_us) {
		source->all->counters->auth_queries[AQ_FAILED]++;
		auth_log(source, &source->why_down, now_us);
		return source->is_refused ? AUTH_FAILED : fall_back(source->all, &key, secret, why, now_us);
	}
	return ask_for(source, &key, ask, why, now_us);
}

enum auth_verdict
auth_query_find(struct auth_queries *all, const char *database, const char *user, struct auth_ask *ask,
		const char **secret, struct fail *why, uint64_t now_us)
{
	struct auth_key what = { 0 };

	*secret = NULL;
	if (!auth_query_is_on(all, database) || !write_user_without_tenant(all, database, user, what.user))
		return AUTH_UNKNOWN;
	return find_answer(all, database, &what, ask, secret, why, now_us);
}

/* Returns the first database for which auth_query is on, or NULL. */
static const char *
any_database(const struct auth_queries *all)
{
	for (size_t i = 0; all->config != NULL && i < all->config->database_count; i++)
		if (auth_query_is_on(all, all->config->databases[i].name))
			return all->config->databases[i].name;
	return NULL;
}

enum auth_verdict
auth_query_ask_member(struct auth_queries *all, const char *database, const char *user, const char *role,
		      struct auth_ask *ask, struct fail *why, uint64_t now_us)
{
	struct auth_key what = { 0 };
	const char *secret;

	if (!auth_query_is_on(all, database) && config_find_database(all->config, database) == NULL)
		database = any_database(all);
	if (database == NULL || !auth_query_is_on(all, database)) {
		fail_set(why, "28000", "could not look up the user's roles: there is no auth_query");
		return AUTH_REFUSED;
	}
	if (strlen(role) > CONFIG_NAME_MAX || !write_user_without_tenant(all, database, user, what.user))
		return AUTH_UNKNOWN;
	memcpy(what.role, role, strlen(role));
	return find_answer(all, database, &what, ask, &secret, why, now_us);
}

/* A lookup that was sent goes on, because its answer can be cached. A lookup that waits for a connection is dropped if
 * no other login waits for its answer. */
void
auth_query_abandon(void *arg)
{
	struct auth_ask *ask = arg;
	struct auth_lookup *lookup = ask->lookup;

	if (lookup == NULL)
		return;
	ask->lookup = NULL;
	TAILQ_REMOVE(&lookup->asks, ask, link);
	if (lookup->conn != NULL || !TAILQ_EMPTY(&lookup->asks))
		return;
	TAILQ_REMOVE(&lookup->source->waiting, lookup, link);
	lookup_free(lookup);
}

void
auth_query_expire(struct auth_queries *all, const char *database, const char *user, uint64_t now_us)
{
	struct auth_source *source;
	struct auth_key key;
	char role[CONFIG_NAME_MAX + 1];

	if (!auth_query_is_on(all, database) || !write_user_without_tenant(all, database, user, role) ||
	    (source = auth_source_get_or_create(all, database, now_us, NULL)) == NULL)
		return;
	key = lookup_key(source, role, "");
	auth_cache_expire_answer(all->cache, &key, now_us);
}

void
auth_queries_outdate(struct auth_queries *all)
{
	if (all != NULL)
		shared_count_increment(&all->roles_epoch);
}

void
auth_queries_close_idle(struct auth_queries *all, const char *database)
{
	struct auth_source *source;

	TAILQ_FOREACH(source, &all->sources, list)
		if (strcmp(source->target->database, database) == 0)
			auth_conns_close_idle(source);
}

/* --- time --- */

void
auth_queries_tick(struct auth_queries *all, uint64_t now_us)
{
	struct auth_source *source;
	struct auth_lookup *lookup, *next;
	struct fail why;

	/* The callbacks that the end of a lookup runs are those of logins that wait for it. They can't free `next`. */
	HASH_ITER(hh, all->lookups, lookup, next) {
		struct auth_conn *conn = lookup->conn;

		if (lookup->deadline_us > now_us)
			continue;
		if (conn == NULL)
			TAILQ_REMOVE(&lookup->source->waiting, lookup, link);
		lookup->conn = NULL;
		if (conn != NULL)
			auth_conn_give_up(conn);
		if (conn == NULL && lookup->source->lacks_place)
			fail_set(&why, "53300", "there was no connection for it in time; see max_server_connections");
		else
			fail_set(&why, "08006", "there was no answer in time");
		auth_lookup_end(lookup, AUTH_END_UNREACHABLE, NULL, &why);
	}
	TAILQ_FOREACH(source, &all->sources, list)
		auth_conns_tick(source, now_us);
	auth_sources_free_retired(all);
	if (now_us - all->swept_us >= SWEEP_US) {
		auth_cache_sweep(all->cache, now_us);
		all->swept_us = now_us;
	}
}
