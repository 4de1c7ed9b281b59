/*
 * src/login/login_refuse.c - a login that fails: counted, logged, told; a wrong proof is told late
 * (login_failure_delay).
 */
#include "login/login_state.h"

void
login_flush(struct client *c)
{
	exchange_send(&c->x, &c->login->out);
	if (!c->x.is_closing)
		c->login->out.len = 0;
}

static void
note_refusal(struct client *c, const struct fail *why, enum login_result result)
{
	struct client_login *l = c->login;
	char peer[80];

	c->env->x.counters->logins[result][l->method]++;
	if (!admission_may_log(c->env->admission, &c->admission))
		return;
	client_peer_text(c, peer, sizeof(peer));
	log_info(c->env->x.log, "client %llu (%s): login as \"%.*s\" to \"%.*s\" refused: %s",
		 (unsigned long long)c->x.id, peer, CONFIG_DATABASE_MAX, l->user != NULL ? l->user : "",
		 CONFIG_DATABASE_MAX, l->database != NULL ? l->database : "", why->text);
}

void
login_refuse(struct client *c, const struct fail *why, enum login_result result)
{
	note_refusal(c, why, result);
	if (c->login->out.len > 0)
		login_flush(c);
	client_close(c, why);
}

void
login_reject(struct client *c, const struct fail *why, enum reject_reason reason)
{
	const struct client_env *env = c->env;
	char peer[80];

	env->x.counters->rejected[reason]++;
	env->x.counters->logins[LR_ERROR][c->x.state == CL_STARTUP ? LM_NONE : c->login->method]++;
	if (admission_may_log_reject(env->admission, &c->admission, reason)) {
		client_peer_text(c, peer, sizeof(peer));
		log_warning(env->x.log, "client %llu (%s): login refused: %s", (unsigned long long)c->x.id, peer,
			    why->text);
	}
	if (c->login->out.len > 0)
		login_flush(c);
	client_close(c, why);
}

void
login_refuse_in_silence(struct client *c, const struct fail *why)
{
	note_refusal(c, why, LR_ERROR);
	client_close(c, NULL);
}

static void
on_abandon_hold(void *hold)
{
	admission_drop_answer(hold);
}

/* Counted and logged now: it need not stay for its answer. */
void
login_refuse_late(struct client *c, const struct fail *why, enum login_result result)
{
	struct client_login *l = c->login;

	note_refusal(c, why, result);
	if (l->out.len > 0)
		login_flush(c);
	if (c->x.is_closing)
		return;
	l->hold = admission_failed(c->env->admission, &c->admission, l->user, why);
	if (l->hold == NULL) {
		client_close(c, why);
		return;
	}
	client_step(&c->x, CE_WRONG_PROOF);
	login_wait(c, on_abandon_hold, l->hold);
	stream_set_reading(&c->x.stream, true); /* to see it leave; take_bytes drops the rest */
}

/* --- what admission decides on --- */

static struct client *
client_of_ticket(struct admission_ticket *t)
{
	return (struct client *)((char *)t - offsetof(struct client, admission));
}

static void
on_refuse(struct admission_ticket *t, const struct fail *why, enum reject_reason reason)
{
	login_reject(client_of_ticket(t), why, reason);
}

static void
on_out_of_memory(struct admission_ticket *t)
{
	struct fail why;

	fail_set(&why, "53200", "out of memory");
	login_refuse(client_of_ticket(t), &why, LR_ERROR);
}

static void
on_answer(struct admission_ticket *t, const struct fail *why)
{
	struct client *c = client_of_ticket(t);

	c->login->abandon = NULL;
	c->login->hold = NULL;
	client_close(c, why);
}

const struct admission_ops login_admission_ops = { on_refuse, on_out_of_memory, on_answer };
