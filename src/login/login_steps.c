/*
 * src/login/login_steps.c - the order of a login's steps: the rule (login_rule.c), the certificate, the user's secret
 * (login_secret.c), the exchange (login_scram.c, login_password.c, ...), the proof (login_proof.c). Unknown users get
 * the same exchange as known users.
 */
#include "login/login_steps.h"
#include "wire/frame.h"
#include "wire/messages.h"
#include "config/compat.h"

#include <openssl/rand.h>
#include <string.h>

#define PASSWORD_MAX 65536u /* bytes of a password message's body */

/* Lets a client in without an exchange: the transport has proved the client's identity, or no proof is asked for. */
static void
admit(struct client *c, enum login_method method)
{
	c->login->method = method;
	login_on_authenticated(c);
}

static void
check_trust(struct client *c)
{
	const struct config *config = c->env->x.config;
	struct scope_settings settings;
	struct user_secret secret;
	struct fail why;

	if (!compat_does(config, COMPAT_TRUSTS_ONLY_KNOWN_USERS) || c->env->users == NULL ||
	    users_find(c->env->users, c->login->user, &secret)) {
		admit(c, LM_TRUST);
		return;
	}
	if (auth_query_is_on(c->env->x.auth_queries, login_database_name(c))) {
		exchange_step(&c->x, CE_ASK_PROOF);
		login_find_secret(c);
		return;
	}
	config_compute_settings(config, config_find_database(config, c->login->database), NULL, &settings);
	if (strcmp(settings.auth_query, "off") != 0) {
		admit(c, LM_TRUST);
		return;
	}
	fail_set(&why, "28000", "\"trust\" authentication failed");
	fail_hint(&why, "User \"%.63s\" is not in auth_file.", c->login->user);
	login_refuse(c, &why, LR_NO_SUCH_USER);
}

/* Called once the rule is known. Checks the certificate, then asks for the proof that the rule demands. */
static void
apply_rule(struct client *c, void *unused)
{
	struct client_login *l = c->login;
	struct fail why;
	int certificate = login_check_certificate(c, apply_rule, &why);

	if (certificate < 0)
		login_refuse_late(c, &why, LR_ERROR); /* as after a wrong password */
	else if (certificate > 0)
		return;
	else if (l->rule_method == AUTH_TRUST)
		check_trust(c);
	else if (l->rule_method == AUTH_CERT)
		admit(c, LM_CERT);
	else {
		exchange_step(&c->x, CE_ASK_PROOF);
		if (config_is_external(l->rule_method))
			login_external_begin(c);
		else if (l->rule_method != AUTH_PEER)
			login_find_secret(c);
		else if (login_peer_begin(c, &why) < 0)
			login_refuse(c, &why, LR_ERROR);
	}
}

static void
find_rule(struct client *c, void *unused)
{
	struct fail why;
	int rule = login_find_rule(c, find_rule, &why);

	if (rule < 0)
		login_refuse(c, &why, LR_ERROR);
	else if (rule == 0)
		apply_rule(c, NULL);
}

void
login_authenticate(struct client *c)
{
	struct client_env *env = c->env;
	struct client_login *l = c->login;
	static const char *const kinds[] = {
		[REPLICATION_NONE] = "none", [REPLICATION_PHYSICAL] = "physical", [REPLICATION_LOGICAL] = "logical"
	};
	struct fail why;

	l->method = LM_NONE;
	if (l->recount == RECOUNT_NOT_DUE)
		compat_log_attempt(c, l->database, l->user, kinds[l->replication]);
	if (env->x.is_closed && !login_is_console(l)) {
		env->x.counters->rejected[RJ_SHUTDOWN]++;
		fail_set(&why, "57P01", "pgweir is shutting down");
		fail_pgbouncer_text(&why, "pooler is shutting down");
		login_refuse(c, &why, LR_ERROR);
	} else if (!admission_check_startup(env->admission, &c->admission, l->user,
					    login_is_console(l) ? NULL : login_database_name(c)))
		return;
	else if (login_is_run_by_same_user(c))
		admit(c, LM_PEER);
	else
		find_rule(c, NULL);
}

static int
begin_exchange(struct client *c, struct fail *why)
{
	struct client_login *l = c->login;

	if (l->rule_method == AUTH_PASSWORD) {
		l->method = LM_PASSWORD;
		message_authentication(&l->out, 3, NULL, 0);
		return 0;
	}
	/* Even with the method md5, SCRAM is asked for if the user's secret is a SCRAM secret, as in PostgreSQL. */
	if (l->rule_method != AUTH_MD5 ||
	    (l->found == USER_KNOWN ? l->secret.kind == SECRET_SCRAM
				    : users_asks_unknown_for_scram(l->users, l->user, c->env->mock_secret)))
		return login_scram_begin(c, why);
	l->method = LM_MD5;
	if (RAND_bytes(l->md5_salt, sizeof(l->md5_salt)) != 1)
		return fail_set(why, "53200", "could not get random bytes for a login");
	message_authentication(&l->out, 5, l->md5_salt, sizeof(l->md5_salt));
	return 0;
}

void
login_begin_proof(struct client *c)
{
	struct fail why;

	if (c->login->rule_method == AUTH_TRUST && c->login->found == USER_UNKNOWN) {
		fail_set(&why, "28000", "\"trust\" authentication failed");
		fail_pgbouncer_text(&why, "no such user");
		login_refuse(c, &why, LR_NO_SUCH_USER);
	} else if (c->login->rule_method == AUTH_TRUST)
		admit(c, LM_TRUST);
	else if (begin_exchange(c, &why) < 0)
		login_refuse(c, &why, LR_ERROR);
	else if (!login_is_waiting(c))
		login_flush(c);
}

/* Handles one message with a password or of SCRAM. Returns the number of bytes used, or 0 if more are needed. */
size_t
login_take_proof(struct client *c, const uint8_t *bytes, size_t len)
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
	else if (c->login->method == LM_PASSWORD || config_is_external(c->login->rule_method))
		login_cleartext_check(c, bytes + FRAME_HEAD_LEN, f.body_len);
	else
		login_scram_check(c, bytes + FRAME_HEAD_LEN, f.body_len);
	return FRAME_HEAD_LEN + (size_t)f.body_len;
}
