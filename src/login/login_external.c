/*
 * src/login/login_external.c - a password that somebody else judges, by a method that is a module's
 * (auth/auth_module.h).
 *
 * The call runs on a thread of net/errands.h, and the login waits for it, external_timeout at most: then it is refused,
 * and whatever the call brings is thrown away. The password that was right also logs in to PostgreSQL, unless there is
 * another one for that (as PgBouncer does).
 */
#include "auth/auth_module.h"
#include "base/clock.h"
#include "base/text.h"
#include "login/login_steps.h"
#include "net/errands.h"

#include <arpa/inet.h>
#include <stdio.h>

struct external {
	struct errand errand; /* must be first */
	struct errands *errands;
	struct client *client; /* NULL: it has left, or waits no longer */
	enum proof proof;
	struct fail why; /* unless PROOF_RIGHT */
	struct hba *hba; /* keeps rule's strings alive */
	const struct auth_module *module;
	struct auth_question question; /* its texts are those below */
	char *setting;
	char address[INET6_ADDRSTRLEN];
	char user[CONFIG_DATABASE_MAX + 1];
	char password[]; /* terminated; wiped */
};

static unsigned
module_number(const struct client_login *l)
{
	return l->demand - AUTH_MODULES_FIRST;
}

static const char *
external_name(const struct client_login *l)
{
	return auth_modules[module_number(l)]->title;
}

void
login_external_begin(struct client *c)
{
	c->login->method = LM_MODULES + module_number(c->login);
	message_authentication(&c->login->out, 3, NULL, 0);
	login_flush(c);
}

static void
external_free(struct external *e)
{
	hba_unref(e->hba);
	secret_free(e->setting);
	OPENSSL_cleanse(e->password, strlen(e->password));
	free(e);
}

/* --- On a thread. --- */

static void
external_run(struct errand *errand)
{
	struct external *e = (struct external *)errand;

	e->proof = e->module->prove(&e->question, &e->why);
}

static void
external_discard(struct errand *errand)
{
	external_free((struct external *)errand);
}

/* --- The answer. --- */

/* logged: what happened; the client is told no more than that it can't log in now. */
static void
refuse_unasked(struct client *c, const struct fail *logged)
{
	const char *name = external_name(c->login);
	struct fail told;

	fail_set(&told, logged->sqlstate, "%s authentication is not possible at the moment for user \"%.63s\"", name,
		 c->login->user);
	fail_pgbouncer_text(&told, "%s authentication failed", name);
	login_refuse_as(c, &told, logged, LR_ERROR);
}

static void
refuse_wrong(struct client *c, const struct fail *logged)
{
	const char *name = external_name(c->login);
	struct fail why;

	log_debug(c->env->x.log, "client %llu: %s", (unsigned long long)c->x.ticket.id, logged->text);
	fail_set(&why, "28000", "%s authentication failed for user \"%.63s\"", name, c->login->user);
	fail_pgbouncer_text(&why, "%s authentication failed", name);
	login_refuse_late(c, &why, LR_BAD_PASSWORD);
}

static void
verdict(struct client *c, void *arg)
{
	const struct external *e = arg;
	struct client_login *l = c->login;

	l->external_until_us = 0;
	if (e->proof != PROOF_RIGHT) {
		(e->proof == PROOF_WRONG ? refuse_wrong : refuse_unasked)(c, &e->why);
		return;
	}
	/* A password that looks like a stored secret would be taken for one. */
	if (secret_kind_of(e->password) == SECRET_PLAIN && (l->secret_text = strdup(e->password)) == NULL) {
		login_out_of_memory(c);
		return;
	}
	l->secret.kind = SECRET_PLAIN;
	l->secret.text = l->secret_text;
	login_authenticated(c);
}

static void
on_judged(struct errand *errand)
{
	struct external *e = (struct external *)errand;
	struct client *c = e->client;

	if (c != NULL) {
		*c->env->x.now_us = clock_now_us();
		login_conclude(c, verdict, e);
	}
	external_free(e);
}

/* --- The question. --- */

static void
external_abandon(void *arg)
{
	struct external *e = arg;

	e->client = NULL;
	if (errands_drop(e->errands, &e->errand))
		external_free(e);
}

void
login_external_tick(struct client *c, uint64_t now_us)
{
	struct client_login *l = c->login;
	struct fail why;

	if (l->external_until_us == 0 || now_us < l->external_until_us)
		return;
	l->external_until_us = 0;
	fail_set(&why, "57P03", "%s did not answer within %s (external_timeout)", external_name(l),
		 duration_of(c->env->x.config->external_timeout_us).text);
	refuse_unasked(c, &why);
}

/* Returns NULL without memory. */
static struct external *
external_new(struct client *c, const char *password)
{
	const struct client_login *l = c->login;
	size_t len = strlen(password) + 1;
	struct external *e = calloc(1, sizeof(*e) + len);
	int family;
	const uint8_t *address = c->is_unix ? NULL : network_address(&c->peer.any, &family);

	if (e == NULL || (e->setting = strdup(c->env->x.config->module_values[module_number(l)].text)) == NULL) {
		free(e);
		return NULL;
	}
	memcpy(e->password, password, len);
	snprintf(e->user, sizeof(e->user), "%s", l->user);
	snprintf(e->address, sizeof(e->address), "[local]");
	if (address != NULL)
		inet_ntop(family, address, e->address, sizeof(e->address));
	e->errand.run = external_run;
	e->errand.done = on_judged;
	e->errand.discard = external_discard;
	e->errands = c->env->errands;
	e->client = c;
	e->hba = hba_ref(l->hba);
	e->module = auth_modules[module_number(l)];
	e->question = (struct auth_question){ l->rule.options, e->setting, e->user, e->password, e->address, 0 };
	return e;
}

void
login_external_check(struct client *c, const char *password)
{
	struct client_login *l = c->login;
	struct external *e = external_new(c, password);
	char place[FAIL_TEXT_MAX];
	struct fail why;

	if (e == NULL) {
		login_out_of_memory(c);
		return;
	}
	l->external_until_us = *c->env->x.now_us + c->env->x.config->external_timeout_us;
	/* The call is over before the login is, so that the log has the module's reason. */
	e->question.deadline_us = l->external_until_us - c->env->x.config->external_timeout_us / 16;
	snprintf(place, sizeof(place), "%s %s", external_name(l), e->module->place(l->rule.options, e->setting));
	if (errands_submit(c->env->errands, place, &e->errand, &why) < 0) {
		l->external_until_us = 0;
		external_free(e);
		refuse_unasked(c, &why);
		return;
	}
	login_wait(c, external_abandon, e);
	stream_set_reading(&c->x.stream,
			   true); /* to see it leave: it may not be the only one that waits for a dead server */
}
