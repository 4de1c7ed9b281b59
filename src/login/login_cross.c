/*
 * src/login/login_cross.c - a client that has proved who it is goes from the door to the worker of its pool, whose home
 * is asked for once more as it leaves: the pool may be another one by then, after a reload. What is posted behind that
 * finds it there.
 *
 * The login waits for that as for a lookup: its bytes are kept. Callers up the stack may still use the client, so it
 * leaves from the graveyard; until then it is the door's, and may be closed there. A client that is over there is
 * closed as any other.
 */
#include "login/login_refuse.h"
#include "login/login_state.h"
#include "pool/pool_homes.h"

#include <stdlib.h>
#include <string.h>

struct crossing {
	struct grave grave;
	struct note note;
	struct client *client; /* NULL: it was closed before it left */
	struct client_env *to;
};

/* References to what only a proof needs. The secret stays if its server logs in with it: pool_learn_secret(). */
static void
forget_proof(struct client_login *l)
{
	users_unref(l->users);
	hba_unref(l->hba);
	ident_unref(l->ident);
	scram_server_free(l->scram);
	l->users = NULL;
	l->hba = NULL;
	l->ident = NULL;
	l->scram = NULL;
	l->secret.text = l->secret_text;
	memset(&l->rule, 0, sizeof(l->rule));
}

static void
arrived(struct client *c, void *arg)
{
	(void)arg;
	login_arrived(c);
}

static void
arrive(struct note *n, void *owner, bool is_over)
{
	struct crossing *crossing = (struct crossing *)((char *)n - offsetof(struct crossing, note));
	struct client *c = crossing->client;
	struct fail why;

	(void)owner;
	free(crossing);
	client_arrive(c);
	c->login->abandon = NULL;
	if (is_over) {
		fail_set(&why, "57P01", "pgweir is shutting down");
		client_close(c, &why);
	} else
		login_conclude(c, arrived, NULL);
}

static void
choose_again(struct client *c, void *arg)
{
	(void)arg;
	login_go_home(c);
}

static void
depart(struct grave *g)
{
	struct crossing *crossing = (struct crossing *)((char *)g - offsetof(struct crossing, grave));
	struct client *c = crossing->client;

	if (c == NULL) {
		free(crossing);
		return;
	}
	if (!login_has_home(c, crossing->to->number)) {
		pool_homes_ended(c->env->homes, crossing->to->number);
		free(crossing);
		login_conclude(c, choose_again, NULL);
		return;
	}
	c->env->x.counters->crossings[CROSSING_CLIENT]++;
	forget_proof(c->login);
	client_depart(c, crossing->to);
	crossing->note.read = arrive;
	inbox_post(crossing->to->inbox, &crossing->note);
}

static void
on_abandon(void *arg)
{
	struct crossing *crossing = arg;

	pool_homes_ended(crossing->client->env->homes, crossing->to->number);
	crossing->client = NULL;
}

void
login_cross(struct client *c, struct client_env *to)
{
	struct crossing *crossing = calloc(1, sizeof(*crossing));

	if (crossing == NULL) {
		login_out_of_memory(c);
		return;
	}
	crossing->client = c;
	crossing->to = to;
	pool_homes_left(c->env->homes, to->number); /* others whose proof comes in this turn find it counted */
	login_wait(c, on_abandon, crossing);
	graveyard_bury(c->env->x.graveyard, &crossing->grave, depart);
}
