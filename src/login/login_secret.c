/*
 * src/login/login_secret.c - finds the secret of the user that logs in: in users_file or, where auth_query is on for
 * the database, in PostgreSQL. An unknown user goes through the same exchange as a known user. So does a user whose
 * lookup has failed, except with COMPAT_ANSWERS_FAILED_LOOKUPS.
 */
#include "login/login_steps.h"
#include "config/compat.h"

#include <string.h>

struct looked_up {
	enum auth_verdict verdict;
	const char *secret;
	const struct fail *why;
};

/* Begins the exchange, or refuses the login. */
static void
conclude(struct client *c, void *looked_up)
{
	const struct looked_up *found = looked_up;
	struct client_login *l = c->login;
	enum auth_verdict verdict = found->verdict;
	const struct fail *why = found->why;
	struct fail error;

	if (verdict == AUTH_KNOWN && (l->secret_text = strdup(found->secret)) != NULL) {
		l->secret.kind = secret_kind_of(l->secret_text);
		l->secret.text = l->secret_text;
		l->found = USER_KNOWN;
	} else if (verdict == AUTH_KNOWN) {
		fail_set(&error, "53200", "out of memory");
		verdict = AUTH_REFUSED;
		why = &error;
	}
	if (verdict == AUTH_FAILED && compat_does(c->env->x.config, COMPAT_ANSWERS_FAILED_LOOKUPS)) {
		fail_set(&error, "08P01", "could not look up the user: auth_query failed");
		fail_pgbouncer_text(&error, "bouncer config error");
		verdict = AUTH_REFUSED;
		why = &error;
	}
	if (verdict == AUTH_WITHOUT_SECRET)
		l->found = USER_WITHOUT_SECRET;
	if (verdict == AUTH_REFUSED)
		login_refuse(c, why, LR_ERROR);
	else
		login_begin_proof(c);
}

/* Ends the wait for the lookup. conclude() may begin another wait, or end the login. */
static void
on_looked_up(enum auth_verdict verdict, const char *secret, const struct fail *why, void *arg)
{
	login_conclude(arg, conclude, &(struct looked_up){ verdict, secret, why });
}

void
login_find_secret(struct client *c)
{
	struct client_login *l = c->login;
	bool is_listed;

	l->users = users_ref(c->env->users);
	is_listed = users_find(l->users, l->user, &l->secret);
	l->found = is_listed && l->secret.kind != SECRET_NONE ? USER_KNOWN : USER_UNKNOWN;
	if (l->found == USER_UNKNOWN)
		memset(&l->secret, 0, sizeof(l->secret));
	if (is_listed || (login_is_console(l) && !auth_query_is_on(c->env->x.auth_queries, l->database)))
		login_begin_proof(c);
	else {
		const char *secret;
		struct fail why;
		enum auth_verdict verdict;

		l->ask.done = on_looked_up;
		l->ask.arg = c;
		verdict = auth_query_find(c->env->x.auth_queries, login_database_name(c), l->user, &l->ask, &secret,
					  &why, *c->env->x.now_us);
		if (verdict == AUTH_LATER)
			login_wait(c, auth_query_abandon, &l->ask);
		else
			conclude(c, &(struct looked_up){ verdict, secret, &why });
	}
}
