/* src/client/login_scram.c - SCRAM with a client (protocol chapter, "SASL Authentication"). */
#include "client/login.h"
#include "client/verifier_cache.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <openssl/crypto.h>
#include <string.h>

int
login_scram_begin(struct client *c, struct fail *why)
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
		r = scram_verifier_mock(l->user, c->env->mock_secret, 4096, &v, why);
	}
	if (r == 0 && (l->scram = scram_server_new(&v, !l->is_known, &(struct scram_channel){ 0 })) == NULL)
		r = fail_set(why, "53200", "out of memory");
	OPENSSL_cleanse(&v, sizeof(v));
	if (r == 0)
		message_authentication(&l->out, 10, "SCRAM-SHA-256\0", 15);
	return r;
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

void
login_scram_check(struct client *c, const uint8_t *body, size_t len)
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
			login_wrong_password(c);
		else
			login_refuse(c, &why, LR_ERROR);
		return;
	}
	message_authentication(&l->out, 12, out, strlen(out));
	login_authenticated(c);
}
