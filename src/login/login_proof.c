/*
 * src/login/login_proof.c - the step after a client's proof. After a right proof, the client enters the console, or its
 * pool if the limits on clients allow that. After a wrong proof, the client is refused late.
 */
#include "login/login_steps.h"
#include "client/clients.h"
#include "pool/pool_workers.h"
#include "config/compat.h"
#include "wire/messages.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

bool
login_is_run_by_same_user(const struct client *c)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return compat_does(c->env->x.config, COMPAT_TRUSTS_ITSELF) && c->is_unix && login_is_console(c->login) &&
	       strcmp(c->login->user, "pgbouncer") == 0 &&
	       getsockopt(c->x.stream.fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.uid == geteuid();
}

static void
enter_console(struct client *c)
{
	struct client_login *l = c->login;
	static const char *const reports[][2] = { { "server_version", "15.0 (pgweir)" },
						  { "server_encoding", "UTF8" },
						  { "client_encoding", "UTF8" },
						  { "DateStyle", "ISO, MDY" },
						  { "TimeZone", "UTC" },
						  { "standard_conforming_strings", "on" },
						  { "integer_datetimes", "on" },
						  { "is_superuser", "on" } };
	bool is_own_user = login_is_run_by_same_user(c),
	     is_admin = is_own_user || config_is_admin(c->env->x.config, l->user);
	struct fail why;

	if (!is_admin && !config_is_stats_user(c->env->x.config, l->user)) {
		fail_set(&why, "42501", "user \"%.63s\" may not use the pgweir console", l->user);
		fail_hint(&why, "Add it to admin_users or stats_users in section [auth] of pgweir.ini.");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	if (compat_does(c->env->x.config, COMPAT_LIMITS_CONSOLE) &&
	    !admission_admit_console(c->env->admission, &c->admission, l->user, is_admin, clients_in_console(c->env)))
		return;
	message_authentication(&l->out, 0, NULL, 0);
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++)
		message_parameter(&l->out, reports[i][0], reports[i][1]);
	if (compat_does(c->env->x.config, COMPAT_REPORTS_ITSELF))
		message_parameter(&l->out, "pgbouncer.version", COMPAT_VERSION);
	message_parameter(&l->out, "session_authorization", l->user);
	message_key(&l->out, 0, (const uint8_t *)"\0\0\0\0", 4);
	message_ready(&l->out, 'I');
	c->env->x.counters->logins[LR_OK][l->method]++;
	if (exchange_set_user(&c->x, l->user) < 0) {
		login_refuse_out_of_memory(c);
		return;
	}
	login_flush(c);
	if (c->x.is_closing)
		return;
	c->console = NULL;
	c->is_own_user = is_own_user;
	exchange_step(&c->x, CE_ENTER_CONSOLE);
	assert(c->env->login_count > 0);
	c->env->login_count--;
	login_log(c);
	login_free(l);
}

/* Not called for the console: its users are let in even above this limit, because the console is needed then. */
static bool
refuse_if_over_limit(struct client *c)
{
	struct client_env *env = c->env;
	uint32_t limit = env->x.config->max_client_connections, count = clients_count(env);
	struct fail why;

	if (limit == 0 || count < limit)
		return false;
	fail_set(&why, "53300", "too many clients: %u of %u (max_client_connections)", count, limit);
	fail_pgbouncer_text(&why, "no more connections allowed (max_client_conn)");
	fail_hint(&why, "Raise max_client_connections, or use SHOW CLIENTS to find clients that never leave.");
	login_refuse_over_limit(c, &why, RJ_MAX_CLIENT_CONNECTIONS);
	return true;
}

static void
refuse_pool(struct client *c, const struct fail *why)
{
	login_refuse(c, why, strcmp(why->sqlstate, "3D000") == 0 ? LR_NO_SUCH_DATABASE : LR_ERROR);
}

/* Returns the client's pool, or NULL if the client was refused. */
static struct pool *
find_pool(struct client *c)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	struct fail why;
	struct pool *pool = pool_set_get_or_create(env->x.pools, login_database_name(c), l->user, *env->x.now_us, &why);

	if (pool == NULL) {
		refuse_pool(c, &why);
		return NULL;
	}
	if (pool->database->is_disabled) {
		fail_set(&why, "55000", "database \"%.*s\" is disabled", CONFIG_DATABASE_MAX, l->database);
		fail_hint(&why, "ENABLE in the pgweir console lets clients in again.");
		fail_pgbouncer_text(&why, "%s", why.text);
		login_refuse(c, &why, LR_ERROR);
		return NULL;
	}
	if (pool_take_delegated(pool, l->delegated, *env->x.now_us, &why) < 0) {
		login_refuse(c, &why, LR_ERROR);
		return NULL;
	}
	return pool;
}

/* Sets l->raw. Takes ownership of `empty`, an empty GUC set or NULL. Returns 0, or -1 if there is no memory. */
static int
read_settings(struct client_login *l, struct gucs *empty)
{
	struct guc entries[STARTUP_SETTINGS_MAX + 1]; /* application_name_add_host may add one setting */
	const char *at = (const char *)l->settings.bytes;

	for (size_t i = 0; i < l->setting_count; i++) {
		entries[i].name = at;
		entries[i].value = at + strlen(at) + 1;
		at = entries[i].value + strlen(entries[i].value) + 1;
	}
	l->raw = empty == NULL ? NULL : gucs_replace(empty, GUC_OTHER, entries, l->setting_count);
	gucs_unref(empty);
	buf_fini(&l->settings);
	return l->raw == NULL ? -1 : 0;
}

static void
enter_pool(struct client *c, struct pool *pool)
{
	struct client_login *l = c->login;
	const struct scope_settings *settings = pool_adopt_user(pool, l->user, *c->env->x.now_us);

	if (settings == NULL) {
		login_refuse_out_of_memory(c);
		return;
	}
	c->x.pool = pool;
	c->x.settings = settings;
	pool->clients++;
	c->env->pool_client_count++;
	c->is_counted = true;
	if (c->env->x.is_suspended)
		stream_suspend(&c->x.stream, true);
	if (l->keys.is_set)
		pool_learn_keys(pool, l->user, &l->keys);
	if (l->secret_text != NULL && l->secret.kind != SECRET_SCRAM)
		pool_learn_secret(c->x.pool, l->user, l->secret_text);
	if (read_settings(l, gucs_empty(c->env->x.guc_store)) < 0) {
		login_refuse_out_of_memory(c);
		return;
	}
	c->x.startup = gucs_ref(l->raw);
	message_authentication(&l->out, 0, NULL, 0);
	exchange_step(&c->x, CE_PROVED);
	login_welcome(c);
}

void
login_enter_pool(struct client *c, void *unused)
{
	struct pool *pool;
	struct fail why;

	if (c->env->x.is_draining) {
		fail_set(&why, "57P01", "pgweir is shutting down");
		fail_pgbouncer_text(&why, "server shutting down");
		login_refuse(c, &why, LR_ERROR);
	} else if ((pool = find_pool(c)) != NULL)
		enter_pool(c, pool);
}

/* Returns the number of the worker for the client, or POOL_NO_WORKER with *why set. */
static uint32_t
find_worker(struct client *c, struct fail *why)
{
	struct client_env *env = c->env;

	return pool_workers_choose(env->pool_workers, env->x.config, login_database_name(c), c->login->user,
				   env->pool_client_count, why);
}

void
login_enter_pool_or_send(struct client *c, void *unused)
{
	struct pool *pool;
	struct fail why;
	uint32_t worker = find_worker(c, &why);

	if (worker == POOL_NO_WORKER)
		refuse_pool(c, &why);
	else if (worker != c->env->number)
		login_transfer(c, c->env->client_envs[worker]);
	else if ((pool = find_pool(c)) != NULL)
		enter_pool(c, pool);
}

void
login_on_authenticated(struct client *c)
{
	struct client_login *l = c->login;
	struct fail why;

	admission_leave_queue(c->env->admission, &c->admission);
	if (l->method != LM_TRUST)
		admission_forgive_user(c->env->admission, &c->admission, l->user);
	if (login_is_console(l) && l->replication != REPLICATION_NONE) {
		fail_set(&why, "0A000", "the pgweir console has nothing to replicate");
		login_refuse(c, &why, LR_ERROR);
	} else if (login_is_console(l))
		enter_console(c);
	else {
		const struct config *config = c->env->x.config;

		/* The main worker checks the limits; the pool's worker does everything that concerns the pool. */
		if (config_tenant_len(config, l->database) == 0 && config_user_is_of_tenant(config, l->user)) {
			fail_set(&why, "28000", "user \"%.63s\" is a tenant's, and no tenant was named", l->user);
			login_refuse(c, &why, LR_ERROR);
			return;
		}
		if (refuse_if_over_limit(c))
			return;
		if (find_worker(c, &why) == POOL_NO_WORKER)
			refuse_pool(c, &why);
		else if (admission_admit(c->env->admission, &c->admission, c->login->user, login_database_name(c)))
			login_enter_pool_or_send(c, NULL);
	}
}

void
login_refuse_wrong_password(struct client *c)
{
	struct client_login *l = c->login;
	struct user_secret secret;
	struct fail why;

	if (!login_is_console(l) && !users_find(l->users, l->user, &secret))
		auth_query_expire(c->env->x.auth_queries, login_database_name(c), l->user, *c->env->x.now_us);
	fail_set(&why, "28P01", "password authentication failed for user \"%.63s\"", l->user);
	/* With method = md5, PgBouncer's text would tell which proof the user was asked for, and so whether the user
	 * exists. */
	if (l->method == LM_SCRAM && l->rule_method != AUTH_MD5)
		fail_pgbouncer_text(&why, "SASL authentication failed");
	login_refuse_late(c, &why, l->found == USER_KNOWN ? LR_BAD_PASSWORD : LR_NO_SUCH_USER);
}
