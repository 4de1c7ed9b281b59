/*
 * src/login/login_recount.c - a client that is to be refused at a limit on clients waits until the main worker
 * has heard of all clients that had left before this client came. With one worker, a client that leaves always makes
 * room for the next one. The wait keeps this true with several workers.
 *
 * A note (net/inbox.h) visits each of the other workers in turn. When the note comes back, the main worker has already
 * got the notes about clients that had ended on those workers.
 */
#include "login/login_steps.h"
#include "net/loop.h"
#include "pool/pool_workers.h"

#include <stdlib.h>

struct recount {
	struct note note;
	struct client_env *const *at; /* points to the worker that the note visits; *at is NULL after the last one */
	struct client *client; /* used by the main worker alone; NULL if the client has left */
	void (*again)(struct client *c);
	/* the worker's loop has run once since the note came, and so has noticed the clients that had left by then */
	bool has_turned;
};

static void
repeat_step(struct client *c, void *arg)
{
	const struct recount *r = arg;

	c->login->recount = RECOUNTED;
	r->again(c);
}

/* On the main worker. */
static void
come_back(struct note *n, void *owner, bool is_over)
{
	struct recount *r = (struct recount *)((char *)n - offsetof(struct recount, note));

	if (r->client != NULL)
		login_conclude(r->client, repeat_step, r);
	free(r);
}

/* Runs on the worker that the note visits, when no function of that worker's clients is running. */
static void
visit(struct note *n, void *owner, bool is_over)
{
	struct recount *r = (struct recount *)((char *)n - offsetof(struct recount, note));
	struct client_env *main_env = (*r->at)->client_envs[0];

	r->has_turned = !r->has_turned;
	if (!r->has_turned) {
		deferred_frees_run((*r->at)->x.deferred_frees);
		r->at++;
	}
	if (*r->at == NULL)
		r->note.read = come_back;
	inbox_post(*r->at != NULL ? (*r->at)->inbox : main_env->inbox, &r->note);
}

bool
login_wait_for_recount(struct client *c, enum reject_reason reason)
{
	bool is_proved = reason == RJ_MAX_CLIENT_CONNECTIONS || reason == RJ_MAX_DATABASE || reason == RJ_MAX_USER;
	struct recount *r;

	/* A client without a user has just been accepted, and its startup packet may not be complete. */
	if (c->login->recount != RECOUNT_NOT_DUE || c->login->user == NULL ||
	    (!is_proved && reason != RJ_MAX_ADDRESS) || pool_workers_count_moved_clients(c->env->pool_workers) == 0 ||
	    (r = calloc(1, sizeof(*r))) == NULL)
		return false;
	c->login->recount = RECOUNT_UNDER_WAY;
	r->client = c;
	/* repeats the step that has reached the limit */
	r->again = is_proved ? login_on_authenticated : login_authenticate;
	r->at = c->env->client_envs + 1;
	r->note.read = visit;
	login_wait(c, login_set_null, &r->client);
	inbox_post((*r->at)->inbox, &r->note);
	return true;
}
