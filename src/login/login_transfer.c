/*
 * src/login/login_transfer.c - moves an authenticated client from the main worker to the worker of its pool. The pool's
 * worker is looked up again when the client leaves, because a reload may have given the client another pool, on another
 * worker. Notes about the client that are posted to an inbox after the transfer find the client on its new worker.
 *
 * The login waits for the transfer as it does for a lookup: the client's bytes are kept. Callers up the stack may still
 * use the client, so it leaves when the deferred frees run. Until then the client belongs to the main worker, and may
 * be closed there; after that the other worker closes it like any other client. If the other worker hangs, the note is
 * taken back from its inbox.
 */
#include "login/login_asked.h"
#include "base/clock.h"
#include "pool/pool_workers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct transfer {
	struct deferred_entry deferred;
	struct note note;
	struct client *client; /* NULL if the client was closed before it left */
	struct client_env *to;
};

static struct transfer *
transfer_of(const struct note *n)
{
	return (struct transfer *)((uintptr_t)n - offsetof(struct transfer, note));
}

static void
arrive(struct note *n, void *owner, bool is_over)
{
	struct transfer *transfer = transfer_of(n);
	struct client *c = transfer->client;
	struct fail why;

	free(transfer);
	client_arrive(c);
	c->login->abandon = NULL;
	if (is_over) {
		fail_set(&why, "57P01", "pgweir is shutting down");
		client_close(c, &why);
	} else
		login_conclude(c, login_enter_pool, NULL);
}

static void
depart(struct deferred_entry *g)
{
	struct transfer *transfer = (struct transfer *)((char *)g - offsetof(struct transfer, deferred));
	struct client *c = transfer->client;
	struct client_login *l;

	if (c == NULL) {
		free(transfer);
		return;
	}
	l = c->login;
	if (!pool_workers_check_shard(c->env->pool_workers, c->env->x.config, login_database_name(c), c->login->user,
				      transfer->to->number)) {
		pool_workers_client_ended(c->env->pool_workers, transfer->to->number);
		free(transfer);
		login_conclude(c, login_enter_pool_or_send, NULL);
		return;
	}
	c->env->x.counters->transfers[TRANSFER_CLIENT]++;
	/* Drops data that only the authentication needed. secret_text stays, because the pool's servers may log in with
	 * it; see pool_learn_secret(). */
	users_unref(l->users);
	login_asked_free(l);
	hba_unref(l->hba);
	ident_unref(l->ident);
	scram_server_free(l->scram);
	l->users = NULL;
	l->hba = NULL;
	l->ident = NULL;
	l->scram = NULL;
	l->secret.text = l->secret_text;
	memset(&l->rule, 0, sizeof(l->rule));
	client_depart(c, transfer->to);
	transfer->note.read = arrive;
	inbox_post(transfer->to->inbox, &transfer->note);
}

static void
on_abandon(void *arg)
{
	struct transfer *transfer = arg;

	pool_workers_client_ended(transfer->client->env->pool_workers, transfer->to->number);
	transfer->client = NULL;
}

/* Returns the time until which the client waits for a worker that does not answer, or UINT64_MAX if there is no limit.
 * A pool_timeout below one second counts as one second, because a worker may be busy for a moment. */
static uint64_t
worker_deadline(const struct client *c)
{
	const struct config *config = c->env->x.config;
	uint64_t until_us = UINT64_MAX,
		 login_until_us = c->connected_us + c->x.waiter.waited_us + config->login_timeout_us;
	struct scope_settings s;

	config_compute_settings(config, config_find_database(config, login_database_name(c)),
				config_find_user(config, c->login->user), &s);
	if (s.pool_timeout_us > 0)
		until_us = *c->env->x.now_us + (s.pool_timeout_us > US_PER_S ? s.pool_timeout_us : US_PER_S);
	return config->login_timeout_us > 0 && login_until_us < until_us ? login_until_us : until_us;
}

void
login_transfer(struct client *c, struct client_env *to)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));

	if (transfer == NULL) {
		login_refuse_out_of_memory(c);
		return;
	}
	transfer->client = c;
	transfer->to = to;
	if (c->login->worker_until_us == 0)
		c->login->worker_until_us = worker_deadline(c);
	/* counted now, so that the next choice of a worker in this turn of the loop includes the client */
	pool_workers_client_moved(c->env->pool_workers, to->number);
	login_wait(c, on_abandon, transfer);
	deferred_frees_add(c->env->x.deferred_frees, &transfer->deferred, depart);
}

/* --- the way back --- */

static bool
is_late(const struct note *n, void *until_us)
{
	return n->read == arrive && transfer_of(n)->client->login->worker_until_us <= *(const uint64_t *)until_us;
}

static void
refuse_unanswered(struct client *c, void *silent)
{
	const struct client_env *worker = silent;
	struct fail why;

	fail_set(&why, "57P03", "worker %" PRIu32 ", which has the pool, does not answer", worker->number);
	fail_detail(&why, "The client has waited for %s (pool_timeout, login_timeout).",
		    duration_format(*c->env->x.now_us - c->connected_us).text);
	fail_hint(&why, "pgweir's log and SHOW WORKERS in its console say since when; if it persists, restart pgweir.");
	login_refuse(c, &why, LR_ERROR);
}

void
login_take_back(struct client_env *main_env, struct client_env *sent_to, bool all)
{
	struct note_list back = STAILQ_HEAD_INITIALIZER(back);
	uint64_t now_us = *main_env->x.now_us, until_us = all ? UINT64_MAX : now_us;
	struct note *n;

	inbox_take_back(sent_to->inbox, is_late, &until_us, &back);
	while ((n = STAILQ_FIRST(&back)) != NULL) {
		struct transfer *transfer = transfer_of(n);
		struct client *c = transfer->client;

		STAILQ_REMOVE_HEAD(&back, next);
		free(transfer);
		pool_workers_client_ended(main_env->pool_workers, sent_to->number);
		client_come_back(c, main_env);
		c->login->abandon = NULL;
		if (c->login->worker_until_us <= now_us)
			login_conclude(c, refuse_unanswered, sent_to);
		else
			login_conclude(c, login_enter_pool_or_send, NULL);
	}
}
