/*
 * src/login/login_scram.c - SCRAM with a client (protocol chapter, "SASL Authentication").
 *
 * Over TLS the login is bound to the connection (SCRAM-SHA-256-PLUS) if the client wants that.
 */
#include "base/clock.h"
#include "login/login_steps.h"
#include "net/tls.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <openssl/crypto.h>
#include <string.h>

static_assert((int)TLS_END_POINT_MAX == (int)SCRAM_BINDING_MAX, "an end point must fit");

/* Begins the exchange: puts the list of mechanisms into l->out. */
static int
offer(struct client *c, const struct scram_verifier *v, struct fail *why)
{
	struct client_login *l = c->login;
	struct scram_channel channel = { .is_tls = stream_tls(&c->x.stream) != NULL };
	char mechanisms[SCRAM_OFFER_MAX];

	if (channel.is_tls)
		channel.end_point_len = tls_get_end_point(stream_tls(&c->x.stream), channel.end_point);
	l->scram = scram_server_new(v, l->found != USER_KNOWN, &channel, NULL);
	if (l->scram == NULL)
		return fail_memory(why, "a login");
	message_authentication(&l->out, 10, mechanisms, scram_server_offer(l->scram, mechanisms));
	return 0;
}

static void
on_derived(const struct scram_verifier *verifier, const struct fail *failed, void *arg)
{
	struct client *c = arg;
	struct fail why;

	*c->env->x.now_us = clock_now_us();
	if (verifier == NULL || offer(c, verifier, &why) < 0) {
		login_refuse(c, verifier == NULL ? failed : &why, LR_ERROR);
		return;
	}
	login_flush(c);
	if (!c->x.is_closing)
		login_conclude(c, NULL, NULL);
}

int
login_scram_begin(struct client *c, struct fail *why)
{
	struct client_login *l = c->login;
	struct verifier_cache *cache = c->env->verifiers;
	uint32_t iterations = c->env->x.config->scram_iterations;
	const struct scram_verifier *known;
	struct scram_verifier v;
	int r;

	l->method = LM_SCRAM;
	if (l->secret.kind == SECRET_PLAIN) {
		known = verifier_cache_find(cache, l->user, l->secret.text, iterations);
		if (known != NULL)
			return offer(c, known, why);
		l->verifier.done = on_derived; /* a helper thread derives the verifier */
		l->verifier.arg = c;
		if (verifier_cache_derive(cache, l->user, l->secret.text, iterations, &l->verifier, why) < 0)
			return -1;
		login_wait(c, verifier_cache_abandon, &l->verifier);
		return 0;
	}
	if (l->secret.kind == SECRET_SCRAM)
		r = scram_verifier_parse(l->secret.text, &v, why);
	else {
		l->found = USER_UNKNOWN; /* the user is unknown, or has no secret that SCRAM can use */
		r = scram_verifier_mock(l->user, c->env->mock_secret, iterations, &v, why);
	}
	if (r == 0)
		r = offer(c, &v, why);
	OPENSSL_cleanse(&v, sizeof(v));
	return r;
}

static int
take_sasl_initial(struct client *c, const uint8_t *body, size_t len, char *out, struct fail *why)
{
	const uint8_t *end = memchr(body, 0, len);
	size_t left;
	uint32_t announced_len;

	if (end == NULL)
		return fail_set(why, "08P01", "client selected an invalid SASL authentication mechanism");
	if (scram_server_select(c->login->scram, (const char *)body, why) < 0)
		return -1;
	left = len - (size_t)(end + 1 - body);
	if (left < 4)
		return fail_set(why, "08P01", "malformed SASLInitialResponse");
	announced_len = wire_u32(end + 1);
	if (announced_len == 0xffffffff && left == 4) {
		out[0] = '\0'; /* the client sends its first message only after an empty challenge */
		c->login->sasl_due = SASL_FIRST_DUE;
		return 0;
	}
	if (announced_len != left - 4)
		return fail_set(why, "08P01", "malformed SASLInitialResponse");
	return scram_server_first(c->login->scram, (const char *)end + 5, announced_len, out, why);
}

void
login_scram_check(struct client *c, const uint8_t *body, size_t len)
{
	struct client_login *l = c->login;
	char out[SCRAM_TEXT_MAX];
	struct fail why;

	if (l->sasl_due != SASL_FINAL_DUE) {
		bool is_first = l->sasl_due == SASL_FIRST_DUE;

		l->sasl_due = SASL_FINAL_DUE; /* take_sasl_initial() changes this if the mechanism comes alone */
		if ((is_first ? scram_server_first(l->scram, (const char *)body, len, out, &why)
			      : take_sasl_initial(c, body, len, out, &why)) < 0) {
			login_refuse(c, &why, LR_ERROR);
			return;
		}
		message_authentication(&l->out, 11, out, strlen(out));
		login_flush(c);
		return;
	}
	if (scram_server_final(l->scram, (const char *)body, len, out, &l->keys, &why) < 0) {
		if (strcmp(why.sqlstate, "28P01") == 0)
			login_refuse_wrong_password(c);
		else
			login_refuse(c, &why, LR_ERROR);
		return;
	}
	message_authentication(&l->out, 12, out, strlen(out));
	login_on_authenticated(c);
}
