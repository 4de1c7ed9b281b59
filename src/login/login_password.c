/*
 * src/login/login_password.c - a password in clear text, or hashed with MD5 (protocol chapter,
 * "AuthenticationCleartextPassword" and "AuthenticationMD5Password").
 *
 * A password in clear text is compared with the user's secret, of whatever kind. SCRAM keys are derived from the
 * password even for unknown users, so that the time of the answer reveals nothing. Deriving takes milliseconds, so a
 * helper thread does it. If the keys fit the user's own SCRAM secret, they also serve to log in to PostgreSQL.
 */
#include "auth/encoding.h"
#include "base/clock.h"
#include "login/login_steps.h"
#include "net/helpers.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct attempt {
	struct work work;
	struct client *client; /* NULL if the client has left */
	struct scram_verifier verifier; /* the user's verifier, or a mock verifier */
	struct scram_keys keys; /* derived from the password with the verifier's salt */
	char password[]; /* terminated; wiped */
};

static void
attempt_free(struct attempt *a)
{
	OPENSSL_cleanse(a, sizeof(*a) + strlen(a->password));
	free(a);
}

static bool
is_right(const struct client_login *l, const struct attempt *a)
{
	if (l->found != USER_KNOWN)
		return false;
	if (l->secret.kind == SECRET_SCRAM)
		return a->keys.is_set && CRYPTO_memcmp(a->keys.server_key, a->verifier.server_key, SCRAM_KEY_LEN) == 0;
	return users_is_right_password(&l->secret, l->sent_user, a->password);
}

static void
check_password(struct client *c, void *arg)
{
	const struct attempt *a = arg;

	if (!is_right(c->login, a)) {
		login_refuse_wrong_password(c);
		return;
	}
	if (c->login->secret.kind == SECRET_SCRAM)
		c->login->keys = a->keys;
	login_on_authenticated(c);
}

/* On a thread. */
static void
derive_keys(struct work *w)
{
	struct attempt *a = (struct attempt *)w;

	scram_keys_from_password(a->password, a->verifier.salt, a->verifier.salt_len, a->verifier.iterations, &a->keys,
				 NULL);
}

static void
on_derived(struct work *w)
{
	struct attempt *a = (struct attempt *)w;
	struct client *c = a->client;

	if (c != NULL) {
		*c->env->x.now_us = clock_now_us();
		login_conclude(c, check_password, a);
	}
	attempt_free(a);
}

static int
begin_attempt(struct client *c, const uint8_t *body, size_t len, struct fail *why)
{
	struct client_login *l = c->login;
	struct attempt *a = calloc(1, sizeof(*a) + len);
	int r;

	if (a == NULL)
		return fail_set(why, "53200", "out of memory");
	memcpy(a->password, body, len);
	a->client = c;
	a->work.run = derive_keys;
	a->work.done = on_derived;
	if (l->found == USER_KNOWN && l->secret.kind == SECRET_SCRAM)
		r = scram_verifier_parse(l->secret.text, &a->verifier, why);
	else
		r = scram_verifier_mock(l->user, c->env->mock_secret, c->env->x.config->scram_iterations, &a->verifier,
					why);
	if (r == 0 && helpers_submit(c->env->helpers, c->env->inbox, &a->work, WORK_NEW) < 0)
		r = fail_set(why, "53300", "too many logins at once");
	if (r < 0)
		attempt_free(a);
	else
		login_wait(c, login_set_null, &a->client);
	return r;
}

void
login_cleartext_check(struct client *c, const uint8_t *body, size_t len)
{
	struct fail why;

	if (len == 0 || memchr(body, 0, len) != body + len - 1) {
		fail_set(&why, "08P01", "invalid password packet size");
		login_refuse(c, &why, LR_ERROR);
	} else if (len == 1) {
		fail_set(&why, "28P01", "empty password returned by client");
		login_refuse(c, &why, LR_BAD_PASSWORD);
	} else if (config_is_external(c->login->rule_method))
		login_external_check(c, (const char *)body);
	else if (begin_attempt(c, body, len, &why) < 0)
		login_refuse(c, &why, LR_ERROR);
}

void
login_md5_check(struct client *c, const uint8_t *body, size_t len)
{
	struct client_login *l = c->login;
	char secret[MD5_SECRET_LEN + 1], want[MD5_SECRET_LEN + 1];
	bool must_compute = l->secret.kind == SECRET_PLAIN || l->found != USER_KNOWN, matches;
	struct fail why;

	if ((must_compute &&
	     md5_secret(l->found == USER_KNOWN ? l->secret.text : "", l->sent_user, secret, &why) < 0) ||
	    md5_answer(must_compute ? secret : l->secret.text, l->md5_salt, want, &why) < 0) {
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	matches = l->found == USER_KNOWN && len == sizeof(want) && CRYPTO_memcmp(body, want, sizeof(want)) == 0;
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(want, sizeof(want));
	if (matches)
		login_on_authenticated(c);
	else
		login_refuse_wrong_password(c);
}
