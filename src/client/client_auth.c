/*
 * src/client/client_auth.c - who is it, and may it come in: trust, md5 or SCRAM; then the console, or the limit on
 * clients and the pool. Users that are not known get the same exchange as those that are.
 */
#include "auth/md5.h"
#include "client/login.h"
#include "client/verifier_cache.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD_MAX 65536u /* bytes of a password message's body */

static bool
is_console(const struct client_login *l)
{
	return strcmp(l->database, "pgweir") == 0 || strcmp(l->database, "pgbouncer") == 0;
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
	bool is_admin = config_is_admin(c->env->config, l->user);
	struct fail why;

	if (!is_admin && !config_is_stats(c->env->config, l->user)) {
		fail_set(&why, "42501", "user \"%.63s\" may not use the pgweir console", l->user);
		fail_hint(&why, "Add it to admin_users or stats_users in section [auth] of pgweir.ini.");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	message_authentication(&l->out, 0, NULL, 0);
	for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++)
		message_parameter(&l->out, reports[i][0], reports[i][1]);
	message_parameter(&l->out, "session_authorization", l->user);
	message_key(&l->out, 0, (const uint8_t *)"\0\0\0\0", 4);
	message_ready(&l->out, 'I');
	c->env->counters->logins[LR_OK][l->method]++;
	c->user = strdup(l->user);
	login_flush(c);
	if (c->is_closing)
		return;
	c->console = NULL;
	c->is_stats_only = !is_admin;
	c->state = CL_CONSOLE;
	c->env->login_count--;
	login_log(c);
	login_free(l);
}

/* Console users are let in above the limit: that is when they are needed. */
static bool
is_over_limit(struct client *c)
{
	struct client_env *env = c->env;
	uint32_t limit = env->config->max_client_connections;
	struct fail why;

	if (limit == 0 || env->client_count < limit)
		return false;
	env->counters->rejected[RJ_MAX_CLIENT_CONNECTIONS]++;
	fail_set(&why, "53300", "too many clients: %u of %u (max_client_connections)", env->client_count, limit);
	fail_hint(&why, "Raise max_client_connections, or look for clients that never leave with SHOW CLIENTS.");
	login_refuse(c, &why, LR_ERROR);
	return true;
}

static void
authenticated(struct client *c)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	struct fail why;

	if (is_console(l) && l->replication != REPLICATION_NONE) {
		fail_set(&why, "0A000", "the pgweir console has nothing to replicate");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	if (is_console(l)) {
		enter_console(c);
		return;
	}
	if (is_over_limit(c))
		return;
	c->entry = pool_set_find(env->pools, replication_database(c), l->user, *env->now_us, &why);
	if (c->entry == NULL) {
		login_refuse(c, &why, strcmp(why.sqlstate, "3D000") == 0 ? LR_NO_SUCH_DATABASE : LR_ERROR);
		return;
	}
	c->entry->clients++;
	c->entry->database->clients++;
	env->client_count++;
	c->is_counted = true;
	if (l->keys.is_set)
		pool_entry_learn_keys(c->entry, l->user, &l->keys);
	message_authentication(&l->out, 0, NULL, 0);
	c->state = CL_WELCOME;
	login_welcome(c);
}

static void
wrong_password(struct client *c)
{
	struct fail why;

	fail_set(&why, "28P01", "password authentication failed for user \"%.63s\"", c->login->user);
	login_refuse(c, &why, c->login->is_known ? LR_BAD_PASSWORD : LR_NO_SUCH_USER);
}

static int
begin_scram(struct client *c, struct fail *why)
{
	struct client_login *l = c->login;
	struct scram_verifier v;
	int r;

	l->method = LM_SCRAM;
	if (l->secret.kind == SECRET_SCRAM)
		r = scram_verifier_parse(l->secret.text, &v, why);
	else if (l->secret.kind == SECRET_PLAIN)
		r = verifier_cache_get(c->env->verifiers, l->user, l->secret.text, &v, why);
	else {
		l->is_known = false; /* nobody, or an MD5 secret that SCRAM can't use */
		r = scram_verifier_mock(l->user, c->env->mock_secret, &v, why);
	}
	if (r == 0 && (l->scram = scram_server_new(&v, !l->is_known)) == NULL)
		r = fail_set(why, "53200", "out of memory");
	OPENSSL_cleanse(&v, sizeof(v));
	if (r == 0)
		message_authentication(&l->out, 10, "SCRAM-SHA-256\0", 15);
	return r;
}

static int
begin_md5(struct client *c, struct fail *why)
{
	struct client_login *l = c->login;

	l->method = LM_MD5;
	if (RAND_bytes(l->md5_salt, sizeof(l->md5_salt)) != 1)
		return fail_set(why, "53200", "no randomness for a login");
	message_authentication(&l->out, 5, l->md5_salt, sizeof(l->md5_salt));
	return 0;
}

static bool
is_loopback(const struct client *c)
{
	if (c->is_unix)
		return true;
	if (c->peer.any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&c->peer.in6.sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&c->peer.in6.sin6_addr) && c->peer.in6.sin6_addr.s6_addr[12] == 127);
	return (ntohl(c->peer.in.sin_addr.s_addr) >> 24) == 127;
}

void
login_authenticate(struct client *c)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	struct fail why;
	int r;

	l->method = LM_NONE;
	if (env->is_draining) {
		env->counters->rejected[RJ_SHUTDOWN]++;
		fail_set(&why, "57P01", "pgweir is shutting down");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	l->users = env->users == NULL ? NULL : users_ref(env->users);
	l->is_known = users_find(l->users, l->user, &l->secret) && l->secret.kind != SECRET_NONE;
	if (!l->is_known)
		memset(&l->secret, 0, sizeof(l->secret));
	if (env->config->auth_method == AUTH_TRUST) {
		l->method = LM_TRUST;
		if (is_loopback(c)) {
			authenticated(c);
			return;
		}
		fail_set(&why, "28000", "trust is for loopback and Unix sockets only");
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	if (env->config->auth_method == AUTH_MD5 && l->secret.kind != SECRET_SCRAM)
		r = begin_md5(c, &why);
	else
		r = begin_scram(c, &why);
	if (r < 0) {
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	c->state = CL_AUTHENTICATION;
	login_flush(c);
}

static void
check_md5(struct client *c, const uint8_t *body, size_t len)
{
	struct client_login *l = c->login;
	char secret[MD5_SECRET_LEN + 1], want[MD5_SECRET_LEN + 1];
	const char *known = l->secret.text;
	struct fail why;
	bool is_right;

	if (l->secret.kind == SECRET_PLAIN || !l->is_known) {
		if (md5_secret(l->is_known ? l->secret.text : "", l->user, secret, &why) < 0) {
			login_refuse(c, &why, LR_ERROR);
			return;
		}
		known = secret;
	}
	if (md5_answer(known, l->md5_salt, want, &why) < 0) {
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	is_right = l->is_known && len == sizeof(want) && CRYPTO_memcmp(body, want, sizeof(want)) == 0;
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(want, sizeof(want));
	if (is_right)
		authenticated(c);
	else
		wrong_password(c);
}

static int
sasl_initial(struct client *c, const uint8_t *body, size_t len, char *out, struct fail *why)
{
	const uint8_t *end = memchr(body, 0, len);
	size_t left;
	uint32_t said;

	if (end == NULL || strcmp((const char *)body, "SCRAM-SHA-256") != 0)
		return fail_set(why, "08P01", "client selected an invalid SASL authentication mechanism");
	left = len - (size_t)(end + 1 - body);
	if (left < 4)
		return fail_set(why, "08P01", "malformed SASLInitialResponse");
	said = wire_u32(end + 1);
	if (said == 0xffffffff && left == 4) { /* no initial data: it follows upon an empty challenge */
		out[0] = '\0';
		c->login->is_first_due = true;
		return 0;
	}
	if (said != left - 4)
		return fail_set(why, "08P01", "malformed SASLInitialResponse");
	return scram_server_first(c->login->scram, (const char *)end + 5, said, out, why);
}

static void
check_scram(struct client *c, const uint8_t *body, size_t len)
{
	struct client_login *l = c->login;
	char out[SCRAM_TEXT_MAX];
	struct fail why;

	if (!l->is_sasl_begun || l->is_first_due) {
		bool is_first = l->is_first_due;

		l->is_first_due = false;
		if ((is_first ? scram_server_first(l->scram, (const char *)body, len, out, &why)
			      : sasl_initial(c, body, len, out, &why)) < 0) {
			login_refuse(c, &why, LR_ERROR);
			return;
		}
		l->is_sasl_begun = true;
		message_authentication(&l->out, 11, out, strlen(out));
		login_flush(c);
		return;
	}
	if (scram_server_final(l->scram, (const char *)body, len, out, &l->keys, &why) < 0) {
		if (strcmp(why.sqlstate, "28P01") == 0)
			wrong_password(c);
		else
			login_refuse(c, &why, LR_ERROR);
		return;
	}
	message_authentication(&l->out, 12, out, strlen(out));
	authenticated(c);
}

/* One password message. Bytes used; 0: more are needed. */
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
		check_md5(c, bytes + FRAME_HEAD_LEN, f.body_len);
	else
		check_scram(c, bytes + FRAME_HEAD_LEN, f.body_len);
	return FRAME_HEAD_LEN + (size_t)f.body_len;
}
