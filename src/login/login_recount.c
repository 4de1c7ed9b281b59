/*
 * src/login/login_recount.c - a client that is to be refused at a limit on clients waits until the door has heard of
 * all that had gone when it came. With one worker, whoever leaves makes room for whoever comes next; so it is with
 * several.
 *
 * A note visits each worker, and comes back behind what the door is told of clients that have ended there.
 */
#include "login/login_steps.h"
#include "net/loop.h"
#include "net/inbox.h"
#include "pool/pool_homes.h"

#include <stdlib.h>

struct recount {
	struct note note;
	struct client_env *const *at; /* the worker it visits; what it points to is NULL: all were visited */
	struct client *client; /* touched by the door alone; NULL: it has left */
	void (*again)(struct client *c);
	bool has_turned; /* the worker has had a turn since the note came, in which it has read who had gone by then */
};

static void
ask_again(struct client *c, void *arg)
{
	const struct recount *r = arg;

	c->login->recount = RECOUNTED;
	r->again(c);
}

/* On the door. */
static void
come_back(struct note *n, void *owner, bool is_over)
{
	struct recount *r = (struct recount *)((char *)n - offsetof(struct recount, note));

	(void)owner;
	(void)is_over;
	if (r->client != NULL)
		login_conclude(r->client, ask_again, r);
	free(r);
}

/* On the worker it visits, where none of its clients' functions is running. */
static void
visit(struct note *n, void *owner, bool is_over)
{
	struct recount *r = (struct recount *)((char *)n - offsetof(struct recount, note));
	struct client_env *door = (*r->at)->crew[0];

	(void)owner;
	(void)is_over;
	r->has_turned = !r->has_turned;
	if (!r->has_turned) {
		graveyard_empty((*r->at)->x.graveyard);
		r->at++;
	}
	if (*r->at == NULL)
		r->note.read = come_back;
	inbox_post(*r->at != NULL ? (*r->at)->inbox : door->inbox, &r->note);
}

static void
on_abandon(void *arg)
{
	struct recount *r = arg;

	r->client = NULL;
}

/* Returns the step that has met the limit; NULL: no limit on clients. */
static void (*step_of(enum reject_reason reason))(struct client *c)
{
	switch (reason) {
	case RJ_MAX_CLIENT_CONNECTIONS:
	case RJ_MAX_DATABASE:
	case RJ_MAX_USER:
		return login_authenticated;
	case RJ_MAX_ADDRESS:
		return login_authenticate;
	default:
		return NULL;
	}
}

bool
login_recount(struct client *c, enum reject_reason reason)
{
	struct recount *r;

	/* Without a user it has just been accepted: it may still be at its packet. */
	if (c->login->recount != RECOUNT_NOT_DUE || c->login->user == NULL || step_of(reason) == NULL ||
	    pool_homes_away(c->env->homes) == 0 || (r = calloc(1, sizeof(*r))) == NULL)
		return false;
	c->login->recount = RECOUNT_UNDER_WAY;
	r->client = c;
	r->again = step_of(reason);
	r->at = c->env->crew + 1;
	r->note.read = visit;
	login_wait(c, on_abandon, r);
	inbox_post((*r->at)->inbox, &r->note);
	return true;
}
