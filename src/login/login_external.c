/*
 * src/login/login_external.c - a password or tokens that a module judges (auth/auth_module.h), e.g. with an LDAP
 * server.
 *
 * The module is called on a thread of net/jobs.h, and the login waits for each call's result, at most for
 * external_timeout. Then the login is refused, and the late result is thrown away. As with PgBouncer, a right password
 * also serves to log in to PostgreSQL, unless another password is configured for that.
 *
 * A login by tokens waits (login_wait()) from its beginning to its end, in turn for the client and for a call.
 * Bytes that the client sends during a call are kept, as for any login that waits, and read after the call.
 */
#include "auth/auth_module.h"
#include "base/clock.h"
#include "base/text.h"
#include "login/login_asked.h"
#include "login/login_external.h"
#include "net/jobs.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <arpa/inet.h>
#include <stdio.h>

/* the code of the Authentication message with a reply to a token; the same for all modules */
#define TOKEN_REPLY 8
#define TOKEN_MAX 65535u /* bytes, as PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH */

struct external {
	struct job job; /* must be first */
	struct jobs *jobs;
	struct client *client; /* NULL if the client has left, or if its login was refused */
	enum proof_verdict proof;
	struct fail why; /* set if proof is PROOF_WRONG or PROOF_FAILED */
	struct hba *hba; /* keeps the rule's options alive, to which question points */
	const struct auth_module *module;
	struct auth_question question; /* points to the texts and tokens below */
	char *setting;
	char address[INET6_ADDRSTRLEN];
	char user[CONFIG_DATABASE_MAX + 1];
	char *sent; /* the terminated password, or the token; wiped. NULL while the client must send a token next */
	size_t sent_len;
	struct auth_tokens tokens; /* used if the client proves itself by tokens, not by a password */
	struct delegated *delegated; /* the credentials that the tokens have delegated; NULL if there are none yet */
};

static unsigned
module_number(const struct client_login *l)
{
	return l->rule_method - AUTH_MODULES_FIRST;
}

static const char *
external_name(const struct client_login *l)
{
	return auth_modules[module_number(l)]->title;
}

static void
wipe_sent(struct external *e)
{
	if (e->sent != NULL)
		OPENSSL_cleanse(e->sent, e->sent_len);
	free(e->sent);
	e->sent = NULL;
}

/* e may be NULL. */
static void
external_free(struct external *e)
{
	if (e == NULL)
		return;
	if (e->module->context_free != NULL)
		e->module->context_free(e->tokens.context);
	buf_fini(&e->tokens.reply);
	delegated_unref(e->delegated);
	wipe_sent(e);
	hba_unref(e->hba);
	secret_free(e->setting);
	free(e);
}

/* --- On a thread. --- */

static void
external_run(struct job *job)
{
	struct external *e = (struct external *)job;

	e->proof = e->module->judge_proof(&e->question, &e->why);
}

static void
external_discard(struct job *job)
{
	external_free((struct external *)job);
}

/* --- Refusals. --- */

/* Refuses a login that the module could not judge. `logged` says why; the client learns only that it can't log in. */
static void
refuse_unjudged(struct client *c, const struct fail *logged)
{
	const char *name = external_name(c->login);
	struct fail told;

	fail_set(&told, logged->sqlstate, "%s authentication is not possible at the moment for user \"%.63s\"", name,
		 c->login->user);
	fail_pgbouncer_text(&told, "%s authentication failed", name);
	login_refuse_as(c, &told, logged, LR_ERROR);
}

/* Refuses a wrong proof. Only the log says why tokens were refused (a wrong clock, a key that is too old). */
static void
refuse_wrong(struct client *c, const struct fail *logged)
{
	bool has_tokens = auth_modules[module_number(c->login)]->token_request != 0;
	const char *name = external_name(c->login);
	struct fail why;

	if (!has_tokens || admission_take_log_line(c->env->admission, &c->admission))
		log_write(c->env->x.log, has_tokens ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "client %llu: %s",
			  (unsigned long long)c->x.waiter.id, logged->text);
	fail_set(&why, "28000", "%s authentication failed for user \"%.63s\"", name, c->login->user);
	fail_pgbouncer_text(&why, "%s authentication failed", name);
	login_refuse_late(c, &why, LR_BAD_PASSWORD);
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
		 duration_format(c->env->x.config->external_timeout_us).text);
	refuse_unjudged(c, &why);
}

/* --- The answer. --- */

static void
external_abandon(void *arg)
{
	struct external *e = arg;

	e->client = NULL;
	if (e->sent == NULL || jobs_drop(e->jobs, &e->job))
		external_free(e);
}

/* Makes the login wait, for a call or for the client. In both cases pgweir goes on reading, to notice clients that
 * leave: many clients may be waiting for a dead server. */
static void
external_wait(struct client *c, struct external *e)
{
	login_wait(c, external_abandon, e);
	stream_set_reading(&c->x.stream, true);
}

static void
take_password(struct client *c, const char *password)
{
	struct client_login *l = c->login;

	/* A password that looks like a stored secret is not kept, because it would later be read as a stored secret. */
	if (secret_kind_of(password) == SECRET_PLAIN && (l->secret_text = strdup(password)) == NULL) {
		login_refuse_out_of_memory(c);
		return;
	}
	l->secret.kind = SECRET_PLAIN;
	l->secret.text = l->secret_text;
	login_on_authenticated(c);
}

/* Lets the client in if the name that the tokens have proved may log in as the user that the client asked for. */
static void
admit_if_mapped(struct client *c, void *unused)
{
	const struct client_login *l = c->login;
	enum hba_fit fit = ident_allows(l->ident, l->rule.map, l->system_user, l->user, login_ask_member, c);
	struct fail why;

	if (fit == HBA_YES)
		login_on_authenticated(c);
	else if (fit == HBA_NO) {
		fail_set(&why, "28000", "%s: \"%.100s\" may not log in as \"%.63s\"%s%.63s", external_name(l),
			 l->system_user, l->user, l->rule.map != NULL ? " by map " : "",
			 l->rule.map != NULL ? l->rule.map : "");
		refuse_wrong(c, &why);
	} else if (login_repeat_later(c, admit_if_mapped, &why) < 0)
		login_refuse(c, &why, LR_ERROR);
}

/* Puts the module's reply into l->out. If tokens are right, keeps their name and credentials in the login. Returns
 * false if the client was refused for lack of memory. */
static bool
put_reply(struct client *c, struct external *e)
{
	const struct buf *reply = &e->tokens.reply;

	if (buf_ok(reply) && reply->len > 0)
		message_authentication(&c->login->out, TOKEN_REPLY, reply->bytes, reply->len);
	if (e->proof == PROOF_RIGHT && e->question.tokens != NULL) {
		c->login->system_user = strdup(e->tokens.name);
		c->login->delegated = e->delegated;
		e->delegated = NULL;
	}
	if (buf_ok(reply) && (c->login->system_user != NULL || e->proof != PROOF_RIGHT || e->question.tokens == NULL))
		return true;
	login_refuse_out_of_memory(c);
	return false;
}

/* `owner` points to a struct external *, which becomes NULL if the login keeps the struct. */
static void
on_verdict(struct client *c, void *owner)
{
	struct external *e = *(struct external **)owner;

	c->login->external_until_us = 0;
	if (!put_reply(c, e))
		return;
	if (e->proof == PROOF_WRONG)
		refuse_wrong(c, &e->why);
	else if (e->proof == PROOF_FAILED)
		refuse_unjudged(c, &e->why);
	else if (e->question.tokens == NULL)
		take_password(c, e->sent);
	else if (e->proof == PROOF_RIGHT)
		admit_if_mapped(c, NULL);
	else {
		e->tokens.reply.len = 0;
		wipe_sent(e);
		login_flush(c);
		if (c->x.is_closing)
			return;
		external_wait(c, e);
		*(struct external **)owner = NULL;
	}
}

static void
on_judged(struct job *job)
{
	struct external *e = (struct external *)job;
	struct client *c = e->client;

	if (c != NULL) {
		*c->env->x.now_us = clock_now_us();
		login_conclude(c, on_verdict, &e);
	}
	external_free(e);
}

/* --- The question. --- */

/* Returns NULL if there is no memory. */
static struct external *
external_new(struct client *c)
{
	const struct client_login *l = c->login;
	struct external *e = calloc(1, sizeof(*e));
	int family;
	const uint8_t *address = c->is_unix ? NULL : network_address(&c->peer.any, &family);

	if (e == NULL || (e->setting = strdup(c->env->x.config->module_values[module_number(l)].text)) == NULL) {
		free(e);
		return NULL;
	}
	snprintf(e->user, sizeof(e->user), "%s", l->user);
	snprintf(e->address, sizeof(e->address), "[local]");
	if (address != NULL)
		inet_ntop(family, address, e->address, sizeof(e->address));
	e->job.run = external_run;
	e->job.done = on_judged;
	e->job.discard = external_discard;
	e->jobs = c->env->jobs;
	e->client = c;
	e->hba = hba_ref(l->hba);
	e->module = auth_modules[module_number(l)];
	e->question = (struct auth_question){
		.options = l->rule.options, .setting = e->setting, .user = e->user, .address = e->address
	};
	return e;
}

/* Lets a thread judge the password or token that the client has sent. Takes ownership of e. */
static void
external_ask(struct client *c, struct external *e)
{
	struct client_login *l = c->login;
	char service[FAIL_TEXT_MAX];
	struct fail why;

	l->external_until_us = *c->env->x.now_us + c->env->x.config->external_timeout_us;
	/* The module's deadline is earlier than the login's, so the log gets the module's own reason. */
	e->question.deadline_us = l->external_until_us - c->env->x.config->external_timeout_us / 16;
	snprintf(service, sizeof(service), "%s %s", external_name(l),
		 e->module->service_name(l->rule.options, e->setting));
	if (jobs_submit(c->env->jobs, service, &e->job, &why) < 0) {
		l->external_until_us = 0;
		external_free(e);
		refuse_unjudged(c, &why);
		return;
	}
	external_wait(c, e);
}

/* Returns false if there is no memory. */
static bool
copy_sent(struct external *e, const void *bytes, size_t len)
{
	e->sent = malloc(len + 1);
	if (e->sent == NULL)
		return false;
	memcpy(e->sent, bytes, len);
	e->sent[len] = '\0';
	e->sent_len = len;
	return true;
}

void
login_external_check(struct client *c, const char *password)
{
	struct external *e = external_new(c);

	if (e == NULL || !copy_sent(e, password, strlen(password))) {
		external_free(e);
		login_refuse_out_of_memory(c);
		return;
	}
	e->question.password = e->sent;
	external_ask(c, e);
}

/* --- Tokens. --- */

void
login_external_begin(struct client *c)
{
	const struct auth_module *module = auth_modules[module_number(c->login)];
	const struct config *config = c->env->x.config;
	struct scope_settings settings;
	struct external *e;

	c->login->method = LM_MODULES + module_number(c->login);
	message_authentication(&c->login->out, module->token_request != 0 ? module->token_request : 3, NULL, 0);
	login_flush(c);
	if (module->token_request == 0 || c->x.is_closing)
		return;
	e = external_new(c);
	if (e == NULL) {
		login_refuse_out_of_memory(c);
		return;
	}
	e->question.tokens = &e->tokens;
	config_compute_settings(config, config_find_database(config, login_database_name(c)), NULL, &settings);
	if (settings.delegation == DELEGATION_ON)
		e->tokens.delegated = &e->delegated;
	external_wait(c, e);
}

bool
login_is_token_due(const struct client *c)
{
	const struct client_login *l = c->login;

	return login_is_waiting(c) && l->abandon == external_abandon &&
	       ((const struct external *)l->abandon_arg)->sent == NULL;
}

size_t
login_take_token(struct client *c, const uint8_t *bytes, size_t len)
{
	struct external *e = c->login->abandon_arg;
	struct frame f;
	enum frame_result r = frame_parse(bytes, len, &f);
	struct fail why;

	if (r == FRAME_PARTIAL && (len == 0 || bytes[0] == 'p'))
		return 0;
	if (r != FRAME_OK || f.type != 'p' || f.body_len > TOKEN_MAX) {
		fail_set(&why, "08P01", "expected a %s response, got message type 0x%02x", external_name(c->login),
			 bytes[0]);
		login_refuse(c, &why, LR_ERROR);
		return len;
	}
	if (len < FRAME_HEAD_LEN + (size_t)f.body_len)
		return 0;
	if (!copy_sent(e, bytes + FRAME_HEAD_LEN, f.body_len)) {
		login_refuse_out_of_memory(c);
		return len;
	}
	e->tokens.token = (const uint8_t *)e->sent;
	e->tokens.token_len = f.body_len;
	c->login->abandon = NULL; /* external_ask() takes e, and sets abandon again */
	external_ask(c, e);
	return FRAME_HEAD_LEN + (size_t)f.body_len;
}
