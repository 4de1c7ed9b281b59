/* src/login/login_md5.c - md5 (protocol chapter, "AuthenticationMD5Password"). */
#include "auth/encoding.h"
#include "login/login_state.h"
#include "login/login_refuse.h"
#include "login/login_steps.h"
#include "wire/messages.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

int
login_md5_begin(struct client *c, struct fail *why)
{
	struct client_login *l = c->login;

	l->method = LM_MD5;
	if (RAND_bytes(l->md5_salt, sizeof(l->md5_salt)) != 1)
		return fail_set(why, "53200", "no randomness for a login");
	message_authentication(&l->out, 5, l->md5_salt, sizeof(l->md5_salt));
	return 0;
}

void
login_md5_check(struct client *c, const uint8_t *body, size_t len)
{
	struct client_login *l = c->login;
	char secret[MD5_SECRET_LEN + 1], want[MD5_SECRET_LEN + 1];
	const char *known = l->secret.text;
	struct fail why;
	bool is_right;

	if (l->secret.kind == SECRET_PLAIN || l->found != USER_KNOWN) {
		if (md5_secret(l->found == USER_KNOWN ? l->secret.text : "", l->sent_user, secret, &why) < 0) {
			login_refuse(c, &why, LR_ERROR);
			return;
		}
		known = secret;
	}
	if (md5_answer(known, l->md5_salt, want, &why) < 0) {
		login_refuse(c, &why, LR_ERROR);
		return;
	}
	is_right = l->found == USER_KNOWN && len == sizeof(want) && CRYPTO_memcmp(body, want, sizeof(want)) == 0;
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(want, sizeof(want));
	if (is_right)
		login_authenticated(c);
	else
		login_wrong_password(c);
}
