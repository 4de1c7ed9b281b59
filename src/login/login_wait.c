/* src/login/login_wait.c - makes a login wait for a thread or a lookup; frees all that a login owns. */
#include "auth/delegation.h"
#include "login/login_asked.h"
#include "dedicated/dedicated.h"
#include "base/text.h"

void
login_free(struct client_login *l)
{
	if (l == NULL)
		return;
	if (l->abandon != NULL)
		l->abandon(l->abandon_arg);
	if (l->opening != NULL)
		dedicated_abandon(l->opening);
	buf_fini(&l->out);
	buf_fini(&l->settings);
	gucs_unref(l->raw);
	gucs_unref(l->valid);
	free(l->user);
	free(l->database);
	free(l->sent_user);
	secret_free(l->secret_text);
	scram_server_free(l->scram);
	users_unref(l->users);
	login_asked_free(l);
	free(l->system_user);
	delegated_unref(l->delegated);
	hba_unref(l->hba);
	ident_unref(l->ident);
	OPENSSL_cleanse(l, sizeof(*l));
	free(l);
}

void
login_wait(struct client *c, void (*abandon)(void *arg), void *arg)
{
	c->login->abandon = abandon;
	c->login->abandon_arg = arg;
	stream_set_reading(&c->x.stream, false);
}

void
login_set_null(void *client)
{
	*(struct client **)client = NULL;
}

bool
login_is_waiting(const struct client *c)
{
	return client_state_is_login((enum client_state)c->x.state) && c->login != NULL && c->login->abandon != NULL;
}

void
login_conclude(struct client *c, void (*verdict)(struct client *c, void *arg), void *arg)
{
	uint8_t *whole = c->x.pending;
	size_t len = c->x.pending_len;

	if (c->x.state == CL_DELAYED)
		return; /* the client waits for the delayed answer to a wrong proof */
	if (c->login->verifier.waits_for != NULL)
		return; /* the login waits for a verifier, which a thread derives from the secret */
	c->login->abandon = NULL;
	stream_set_reading(&c->x.stream, true);
	c->x.pending = NULL;
	c->x.pending_len = c->x.pending_cap = 0;
	if (verdict != NULL)
		verdict(c, arg); /* may end the login, and close c */
	if (len > 0 && !c->x.is_closing)
		c->env->login_ops->bytes(c, whole, len);
	if (whole != NULL)
		OPENSSL_cleanse(whole, len); /* the bytes may contain a password */
	free(whole);
}
