/*
 * src/login/login_refuse.c - counts and logs a login that fails, and sends the client an error; after a wrong proof,
 * the error is delayed (login_failure_delay).
 */
#include "auth/auth_module.h"
#include "login/login_state.h"

void
login_flush(struct client *c)
{
	exchange_send(&c->x, &c->login->out);
	if (!c->x.is_closing)
		c->login->out.len = 0;
}

/* Logs the user and database that the client claims, though they may not be proved. `in_text` is the reason to write
 * into the line's text, or NULL. */
static void
log_refusal(const struct client *c, enum log_level level, const struct fail *why, const char *reason,
	    const char *in_text)
{
	struct client_about about;

	client_describe(c, &about);
	about.log.user = c->login->user;
	about.log.database = c->login->database;
	about.log.duration_us = *c->env->x.now_us - c->connected_us;
	about.log.event = "login_refused";
	about.log.why = why;
	about.log.reason = reason;
	client_write_words(&about.log, about.words, sizeof(about.words));
	log_event(c->env->x.log, level, &about.log, "%s: login refused: %s%s%s%s", about.words, why->text,
		  in_text != NULL ? " (" : "", in_text != NULL ? in_text : "", in_text != NULL ? ")" : "");
}

void
login_log_refusal(struct client *c, const struct fail *why, const char *reason)
{
	client_note_end_logged(c);
	/* In PgBouncer's format, the only line is the one that is logged when the connection is closed. */
	if (admission_take_log_line(c->env->admission, &c->admission) && !log_has_pgbouncer_format(c->env->x.log))
		log_refusal(c, LOG_LEVEL_INFO, why, reason, reason);
}

/* The reason goes only to the log, not to the client, because the client may be guessing passwords. */
static void
count_and_log_refusal(struct client *c, const struct fail *why, enum login_result result)
{
	enum login_method method = c->login->method;
	const struct auth_module *module = method >= LM_MODULES ? auth_modules[method - LM_MODULES] : NULL;
	const char *wrong = module != NULL && module->wrong_reason != NULL ? module->wrong_reason : "wrong password";

	c->env->x.counters->logins[result][method]++;
	login_log_refusal(c, why,
			  result == LR_BAD_PASSWORD   ? wrong
			  : result == LR_NO_SUCH_USER ? "there is no such user"
						      : NULL);
}

void
login_refuse_as(struct client *c, const struct fail *told, const struct fail *logged, enum login_result result)
{
	count_and_log_refusal(c, logged, result);
	if (c->login->out.len > 0)
		login_flush(c);
	client_close(c, told);
}

void
login_refuse(struct client *c, const struct fail *why, enum login_result result)
{
	login_refuse_as(c, why, why, result);
}

void
login_refuse_out_of_memory(struct client *c)
{
	struct fail why;

	fail_set(&why, "53200", "out of memory");
	login_refuse(c, &why, LR_ERROR);
}

void
login_refuse_over_limit(struct client *c, const struct fail *why, enum reject_reason reason)
{
	const struct client_env *env = c->env;

	if (login_wait_for_recount(c, reason))
		return;
	env->x.counters->rejected[reason]++;
	env->x.counters->logins[LR_ERROR][c->x.state == CL_STARTUP ? LM_NONE : c->login->method]++;
	client_note_end_logged(c);
	if (admission_take_reject_line(env->admission, &c->admission, reason) && !log_has_pgbouncer_format(env->x.log))
		log_refusal(c, LOG_LEVEL_WARNING, why, reject_reason_names[reason], NULL);
	if (c->login->out.len > 0)
		login_flush(c);
	client_close(c, why);
}

/* Counts and logs the refusal at once, because the client may leave before it gets the error. */
void
login_refuse_late(struct client *c, const struct fail *why, enum login_result result)
{
	struct client_login *l = c->login;

	count_and_log_refusal(c, why, result);
	client_log_close_compat(c, why);
	if (l->out.len > 0)
		login_flush(c);
	if (c->x.is_closing)
		return;
	l->hold = admission_delay_answer(c->env->admission, &c->admission, l->user, why);
	if (l->hold == NULL) {
		client_close(c, why);
		return;
	}
	exchange_step(&c->x, CE_WRONG_PROOF);
	login_wait(c, admission_drop_answer, l->hold);
	/* reads from the client only to see it leave; take_bytes() drops the bytes */
	stream_set_reading(&c->x.stream, true);
}

/* --- callbacks of admission/ --- */

static struct client *
client_of_place(struct admission_place *place)
{
	return (struct client *)((char *)place - offsetof(struct client, admission));
}

static void
on_refuse(struct admission_place *t, const struct fail *why, enum reject_reason reason)
{
	login_refuse_over_limit(client_of_place(t), why, reason);
}

static void
on_out_of_memory(struct admission_place *t)
{
	login_refuse_out_of_memory(client_of_place(t));
}

static void
on_answer(struct admission_place *t, const struct fail *why)
{
	struct client *c = client_of_place(t);

	c->login->abandon = NULL;
	c->login->hold = NULL;
	client_close(c, why);
}

const struct admission_ops login_admission_ops = { on_refuse, on_out_of_memory, on_answer };
