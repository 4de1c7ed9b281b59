#include "server/server_tokens.h"
#include "base/clock.h"
#include "net/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct server_tokens {
	struct job job; /* must be first */
	struct jobs *jobs; /* NULL after the first token was made */
	struct inbox *inbox; /* the inbox of the worker that has the login */
	struct server *srv; /* NULL after server_tokens_free() */
	server_tokens_done done;
	const struct auth_module *module;
	struct auth_server to;
	struct delegated *delegated_reference; /* a reference, for to.delegated */
	struct auth_tokens tokens;
	enum proof_verdict proof;
	struct fail why;
	char texts[]; /* the texts of to, each terminated */
};

static void
tokens_free(struct server_tokens *t)
{
	t->module->context_free(t->tokens.context);
	delegated_unref(t->delegated_reference);
	buf_fini(&t->tokens.reply);
	free(t);
}

static const struct auth_module *
module_of(uint32_t code)
{
	const struct auth_module *const *m = auth_modules;

	while (*m != NULL && ((*m)->make_token == NULL || (*m)->token_request != code))
		m++;
	return *m;
}

bool
server_tokens_know(const struct server_env *env, uint32_t code)
{
	return env->jobs != NULL && module_of(code) != NULL;
}

/* Runs on a thread. */
static void
run(struct job *job)
{
	struct server_tokens *t = (struct server_tokens *)job;

	t->proof = t->module->make_token(&t->to, &t->tokens, &t->why);
}

static void
discard(struct job *job)
{
	tokens_free((struct server_tokens *)job);
}

static void
on_made(struct note *n, void *owner, bool is_over)
{
	struct server_tokens *t = (struct server_tokens *)n;

	t->jobs = NULL;
	if (t->srv == NULL) {
		tokens_free(t);
		return;
	}
	*t->srv->env->now_us = clock_now_us();
	t->done(t->srv, t->proof, &t->why);
}

/* Runs on the main worker, where all jobs end. Passes the result on to the login's own worker. */
static void
on_job_done(struct job *job)
{
	struct server_tokens *t = (struct server_tokens *)job;

	job->note.read = on_made;
	inbox_post(t->inbox, &job->note);
}

/* Returns NULL if out of memory. */
static struct server_tokens *
tokens_new(const struct auth_server *to)
{
	size_t host_size = strlen(to->host) + 1, service_size = to->service != NULL ? strlen(to->service) + 1 : 0;
	struct server_tokens *t = calloc(1, sizeof(*t) + host_size + service_size);

	if (t == NULL)
		return NULL;
	memcpy(t->texts, to->host, host_size);
	t->to.host = t->texts;
	if (to->service != NULL)
		t->to.service = memcpy(t->texts + host_size, to->service, service_size);
	return t;
}

struct server_tokens *
server_tokens_begin(struct server *srv, uint32_t code, server_tokens_done done, struct fail *why)
{
	const struct upstream *up = srv->target->upstream;
	const struct delegator *delegator = srv->target->delegator;
	struct server_tokens *t;
	char place[SERVER_ADDRESS_MAX + 64];
	struct fail refused;

	if (delegator != NULL && delegated_check(delegator->owner_credentials, *srv->env->now_us, why) < 0)
		return NULL;
	t = tokens_new(&(struct auth_server){ .host = up->hosts[srv->host_index].host,
					      .service = up->keyword_values[UPSTREAM_KRBSRVNAME] });
	if (t == NULL) {
		fail_memory(why, "a server login");
		return NULL;
	}
	t->to.delegated = t->delegated_reference =
	    delegator != NULL ? delegated_ref(delegator->owner_credentials) : NULL;
	t->job.run = run;
	t->job.done = on_job_done;
	t->job.discard = discard;
	t->inbox = srv->env->inbox;
	t->srv = srv;
	t->done = done;
	t->module = module_of(code);
	/* `place` names the host, so that logins to other hosts use other threads: a lookup of this host's name may
	 * hang. */
	snprintf(place, sizeof(place), "%s to %s", t->module->title, srv->address);
	if (jobs_submit(srv->env->jobs, place, &t->job, &refused) == 0) {
		t->jobs = srv->env->jobs;
		return t;
	}
	fail_set(why, refused.sqlstate, "%s: %s", t->module->title, refused.text);
	tokens_free(t);
	return NULL;
}

enum proof_verdict
server_tokens_next(struct server_tokens *t, const uint8_t *reply, size_t len, struct fail *why)
{
	t->tokens.token = reply;
	t->tokens.token_len = len;
	t->tokens.reply.len = 0;
	return t->module->make_token(&t->to, &t->tokens, why);
}

const struct buf *
server_tokens_last(const struct server_tokens *t)
{
	return &t->tokens.reply;
}

const char *
server_tokens_title(const struct server_tokens *t)
{
	return t->module->title;
}

void
server_tokens_free(struct server_tokens *t)
{
	if (t == NULL)
		return;
	t->srv = NULL;
	if (t->jobs == NULL || jobs_drop(t->jobs, &t->job))
		tokens_free(t);
}
