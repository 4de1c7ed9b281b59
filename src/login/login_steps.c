/*
 * src/login/login_steps.c - the order of a login's steps: the rule (login_rule.c), the user's secret (login_secret.c),
 * the exchange (login_md5.c, login_scram.c, ...); then the console, or the limit on clients and the pool. Unknown users
 * get the same exchange as known ones.
 */
#include "login/login_state.h"
#include "client/client_log.h"
#include "client/clients.h"
#include "base/alloc.h"
#include "relay/reject.h"
#include "relay/relay.h"
#include "exchange/report.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

#define PASSWORD_MAX 65536u /* bytes of a password message's body */

bool
login_is_console_name(const char *database)
{
	return strcmp(database, "pgweir") == 0 || strcmp(database, "pgbouncer") == 0;
}

bool
login_is_console(const struct client_login *l)
{
	return login_is_console_name(l->database);
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
	bool is_admin = config_is_admin(c->env->x.config, l->user) || login_is_own_user(c);
	struct fail why;

	if (!is_admin && !config_is_stats(c->env->x.config, l->user)) {
		fail_set(&why, "42501", "user \"%.63s\" may not use the pgweir console", l->user);
		fail_hint(&why, "Add it to admin_users or stats_users in section [auth] of pgweir.ini.");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	if (c->env->x.config->compat == COMPAT_PGBOUNCER &&
	    !admission_admit_console(c->env->admission, &c->admission, l->user, is_admin, clients_in_console(c->env)))
		return;
	message_authentication(&l->out, 0, NULL, 0);
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++)
		message_parameter(&l->out, reports[i][0], reports[i][1]);
	message_parameter(&l->out, "session_authorization", l->user);
	message_key(&l->out, 0, (const uint8_t *)"\0\0\0\0", 4);
	message_ready(&l->out, 'I');
	c->env->x.counters->logins[LR_OK][l->method]++;
	exchange_rare(&c->x)->user = xstrdup(l->user);
	login_flush(c);
	if (c->x.is_closing)
		return;
	c->console = NULL;
	c->is_stats_only = !is_admin;
	exchange_step(&c->x, CE_ENTER_CONSOLE);
	c->env->login_count--;
	login_log(c);
	login_free(l);
}

/* Console users are let in above the limit: that is when the console is needed. */
static bool
is_over_limit(struct client *c)
{
	struct client_env *env = c->env;
	uint32_t limit = env->x.config->max_client_connections;
	struct fail why;

	if (limit == 0 || env->client_count < limit)
		return false;
	fail_set(&why, "53300", "too many clients: %u of %u (max_client_connections)", env->client_count, limit);
	fail_pgbouncer_text(&why, "no more connections allowed (max_client_conn)");
	fail_hint(&why, "Raise max_client_connections, or use SHOW CLIENTS to find clients that never leave.");
	login_reject(c, &why, RJ_MAX_CLIENT_CONNECTIONS);
	return true;
}

/* Returns the client's pool, or NULL if the client was refused. */
static struct pool *
find_pool(struct client *c)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	struct pool *pool;
	struct fail why;

	if (config_tenant_len(env->x.config, l->database) == 0 && config_is_of_tenant(env->x.config, l->user)) {
		fail_set(&why, "28000", "user \"%.63s\" is a tenant's, and no tenant was named", l->user);
		login_refuse(c, &why, LR_ERROR);
		return NULL;
	}
	if (is_over_limit(c))
		return NULL;
	pool = pool_set_find(env->x.pools, replication_database(c), l->user, *env->x.now_us, &why);
	if (pool == NULL) {
		login_refuse(c, &why, strcmp(why.sqlstate, "3D000") == 0 ? LR_NO_SUCH_DATABASE : LR_ERROR);
		return NULL;
	}
	if (pool->database->is_disabled) {
		fail_set(&why, "55000", "database \"%.*s\" is disabled", CONFIG_DATABASE_MAX, l->database);
		fail_hint(&why, "ENABLE in the pgweir console lets clients in again.");
		fail_pgbouncer_text(&why, "%s", why.text);
		login_refuse(c, &why, LR_ERROR);
		return NULL;
	}
	return admission_admit(env->admission, &c->admission, l->user, pool) ? pool : NULL;
}

static void
enter_pool(struct client *c, struct pool *pool)
{
	struct client_login *l = c->login;
	struct fail why;

	c->x.pool = pool;
	c->x.settings = pool_settings(pool, l->user, *c->env->x.now_us);
	pool->clients++;
	pool_database_enter(pool->database);
	c->env->client_count++;
	c->is_counted = true;
	if (c->env->x.is_suspended)
		stream_suspend(&c->x.stream, true);
	if (l->keys.is_set)
		pool_learn_keys(pool, l->user, &l->keys);
	login_secret_proved(c);
	if (login_read_settings(c) < 0) {
		fail_set(&why, "53200", "out of memory");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	message_authentication(&l->out, 0, NULL, 0);
	exchange_step(&c->x, CE_PROVED);
	login_welcome(c);
}

void
login_authenticated(struct client *c)
{
	struct client_login *l = c->login;
	struct pool *pool;
	struct fail why;

	admission_leave_queue(c->env->admission, &c->admission);
	if (l->method != LM_TRUST)
		admission_succeeded(c->env->admission, &c->admission, l->user);
	if (login_is_console(l) && l->replication != REPLICATION_NONE) {
		fail_set(&why, "0A000", "the pgweir console has nothing to replicate");
		login_refuse(c, &why, LR_ERROR);
	} else if (login_is_console(l))
		enter_console(c);
	else if ((pool = find_pool(c)) != NULL)
		enter_pool(c, pool);
}

void
login_wrong_password(struct client *c)
{
	struct fail why;

	login_secret_doubted(c);
	fail_set(&why, "28P01", "password authentication failed for user \"%.63s\"", c->login->user);
	/* Under md5 this would tell which proof the user was asked for, and so whether there is one. */
	if (c->login->method == LM_SCRAM && c->login->demand != AUTH_MD5)
		fail_pgbouncer_text(&why, "SASL authentication failed");
	login_refuse_late(c, &why, c->login->is_known ? LR_BAD_PASSWORD : LR_NO_SUCH_USER);
}

/* Lets a client in without an exchange: the transport has proved who it is, or no proof is asked for. */
static void
admit(struct client *c, enum login_method method)
{
	c->login->method = method;
	login_authenticated(c);
}

/* PgBouncer lets nobody in that it has never heard of, whatever else need be proved. */
static void
trust(struct client *c)
{
	const struct config *config = c->env->x.config;
	struct scope_settings settings;
	struct user_secret secret;
	struct fail why;

	if (config->compat != COMPAT_PGBOUNCER || c->env->users == NULL ||
	    users_find(c->env->users, c->login->user, &secret)) {
		admit(c, LM_TRUST);
		return;
	}
	if (auth_query_is_on(c->env->x.auth_queries, replication_database(c))) {
		exchange_step(&c->x, CE_ASK_PROOF);
		login_find_secret(c);
		return;
	}
	config_effective(config, config_find_database(config, c->login->database), NULL, &settings);
	if (strcmp(settings.auth_query, "off") != 0) {
		admit(c, LM_TRUST);
		return;
	}
	fail_set(&why, "28000", "\"trust\" authentication failed");
	fail_hint(&why, "User \"%.63s\" is not in auth_file.", c->login->user);
	login_refuse(c, &why, LR_NO_SUCH_USER);
}

/* The same of a user that was looked up. */
static void
trust_found(struct client *c)
{
	struct fail why;

	if (c->login->is_user) {
		admit(c, LM_TRUST);
		return;
	}
	fail_set(&why, "28000", "\"trust\" authentication failed");
	fail_pgbouncer_text(&why, "no such user");
	login_refuse(c, &why, LR_NO_SUCH_USER);
}

static const char *
replication_word(enum startup_replication replication)
{
	return replication == REPLICATION_NONE ? "none" : replication == REPLICATION_PHYSICAL ? "physical" : "logical";
}

void
login_authenticate(struct client *c)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	struct fail why;

	l->method = LM_NONE;
	bouncer_log_attempt(c, l->database, l->user, replication_word(l->replication));
	if (env->x.is_closed && !login_is_console(l)) {
		env->x.counters->rejected[RJ_SHUTDOWN]++;
		fail_set(&why, "57P01", "pgweir is shutting down");
		fail_pgbouncer_text(&why, "pooler is shutting down");
		login_refuse(c, &why, LR_ERROR);
	} else if (!admission_knock(env->admission, &c->admission, l->user,
				    login_is_console(l) ? NULL : replication_database(c)))
		return;
	else if (login_is_own_user(c))
		admit(c, LM_PEER);
	else if (login_rule(c, &why) < 0)
		login_refuse(c, &why, LR_ERROR);
	else if (login_certificate(c, &why) < 0)
		login_refuse_late(c, &why, LR_ERROR); /* as after a wrong password */
	else if (l->demand == AUTH_TRUST)
		trust(c);
	else if (l->demand == AUTH_CERT)
		admit(c, LM_CERT);
	else if (l->demand == AUTH_PEER) {
		exchange_step(&c->x, CE_ASK_PROOF);
		if (login_peer_begin(c, &why) < 0)
			login_refuse(c, &why, LR_ERROR);
	} else {
		exchange_step(&c->x, CE_ASK_PROOF);
		login_find_secret(c);
	}
}

static int
begin_exchange(struct client *c, struct fail *why)
{
	const struct client_login *l = c->login;

	if (l->demand == AUTH_PASSWORD)
		return login_cleartext_begin(c, why);
	if (l->demand != AUTH_MD5)
		return login_scram_begin(c, why);
	/* md5 can't use a SCRAM secret; PostgreSQL, too, asks for SCRAM then. */
	if (l->is_known ? l->secret.kind == SECRET_SCRAM : users_mock_scram(l->users, l->user, c->env->mock_secret))
		return login_scram_begin(c, why);
	return login_md5_begin(c, why);
}

void
login_secret_found(struct client *c)
{
	struct fail why;

	if (c->login->demand == AUTH_TRUST)
		trust_found(c);
	else if (begin_exchange(c, &why) < 0)
		login_refuse(c, &why, LR_ERROR);
	else if (!login_is_waiting(c))
		login_flush(c);
}

/* Handles one password message. Returns the bytes used, or 0 if more are needed. */
size_t
login_password(struct client *c, const uint8_t *bytes, size_t len)
{
	struct frame f;
	enum frame_result r = frame_parse(bytes, len, &f);
	struct fail why;

	if (r == FRAME_PARTIAL && (len == 0 || bytes[0] == 'p'))
		return 0;
	if (r != FRAME_OK || f.type != 'p' || f.body_len > PASSWORD_MAX) {
		fail_set(&why, "08P01", "expected a password response, got message type 0x%02x", bytes[0]);
		login_refuse(c, &why, LR_ERROR);
		return len;
	}
	if (len < FRAME_HEAD_LEN + (size_t)f.body_len)
		return 0;
	if (c->login->method == LM_MD5)
		login_md5_check(c, bytes + FRAME_HEAD_LEN, f.body_len);
	else if (c->login->method == LM_PASSWORD)
		login_cleartext_check(c, bytes + FRAME_HEAD_LEN, f.body_len);
	else
		login_scram_check(c, bytes + FRAME_HEAD_LEN, f.body_len);
	return FRAME_HEAD_LEN + (size_t)f.body_len;
}
