#include "dedicated/dedicated.h"
#include "base/clock.h"
#include "wire/messages.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Server callbacks that do nothing here. --- */

static void
nothing(struct server *srv)
{
}

static void
no_pass(struct server *srv, const uint8_t *bytes, size_t len)
{
}

static void
no_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
}

static bool
no_complete(struct server *srv, const char *tag, size_t len)
{
	return false;
}

static bool
no_parameter(struct server *srv, const char *name, const char *value, bool is_passed)
{
	return false;
}

static bool
no_pid(struct server *srv, uint32_t pid)
{
	return false;
}

static void
no_why(struct server *srv, const struct fail *why)
{
}

/* --- Connections for pgweir's own questions: struct dedicated is both owner and borrower of its server. --- */

static struct dedicated *
dedicated_of(const struct server *srv)
{
	return srv->owner;
}

static void
on_done(struct server *srv)
{
	struct dedicated *d = dedicated_of(srv);

	d->ops->done(d);
	if (!srv->stream.is_broken)
		d->state = DEDICATED_READY;
}

static bool
on_request_done(struct server *srv, const struct owed *ended)
{
	on_done(srv);
	return false;
}

static void
note_trouble(struct dedicated *d, const struct fail *why)
{
	if (d->ops->topic != NULL && strcmp(d->last_error, why->text) != 0)
		log_warning(d->env->log, "%s: could not ask PostgreSQL at %s%s: %s", d->ops->topic, d->name,
			    d->trouble_hint, why->text);
	snprintf(d->last_error, sizeof(d->last_error), "%s", why->text);
}

static bool
on_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_owed, const uint8_t *message,
	 size_t len)
{
	struct dedicated *d = dedicated_of(srv);
	struct fail why;

	fail_set(&why, e->sqlstate != NULL ? e->sqlstate : "XX000", "%s",
		 e->message != NULL ? e->message : "(no message)");
	if (d->state > DEDICATED_READY)
		d->state = DEDICATED_REFUSED;
	if (d->ops->error == NULL || d->ops->error(d, &why))
		note_trouble(d, &why);
	if (fields_error_is_fatal(e)) {
		server_keep_last_words(srv, e);
		/* PostgreSQL may have ended the session, with its locks, much earlier than the stream ends */
		stream_set_broken(&srv->stream);
	}
	return true;
}

static void
on_row(struct server *srv, const uint8_t *body, size_t len, bool is_whole)
{
	if (dedicated_of(srv)->ops->row != NULL)
		dedicated_of(srv)->ops->row(dedicated_of(srv), body, len, is_whole);
}

static bool
on_notification(struct server *srv, const uint8_t *message, size_t len)
{
	if (dedicated_of(srv)->ops->notification != NULL)
		dedicated_of(srv)->ops->notification(dedicated_of(srv), message, len);
	return true;
}

static void
on_batch_end(struct server *srv)
{
	struct dedicated *d = dedicated_of(srv);

	if (srv->stream.is_broken && d->ops->answer_us > 0)
		dedicated_close(d);
	else if (d->state == DEDICATED_READY)
		d->ops->batch_end(d);
}

static void
on_lost(struct server *srv, const struct fail *why)
{
	struct fail told = *why;

	server_get_last_words(srv, &told);
	if (dedicated_of(srv)->ops->lost != NULL)
		dedicated_of(srv)->ops->lost(dedicated_of(srv), &told);
}

static void
leave_budget(struct hosts_place *p, bool has_place, uint64_t now_us)
{
	struct policy_worker *r = p->member.worker;

	if (p->budget == NULL)
		return;
	if (has_place)
		policy_places_give_back(&p->member, now_us);
	policy_places_leave(&p->member);
	policy_budget_put(r->commons, p->budget);
	p->budget = NULL;
}

static void
release_target_and_place(struct dedicated *d, uint64_t now_us)
{
	pool_target_unref(d->target_ref);
	d->target_ref = NULL;
	leave_budget(&d->place, true, now_us);
}

/* Called when srv has logged in. If the budget does not count srv any more, closes srv and returns false. */
static bool
confirm_place(struct server *srv, struct hosts_place *p)
{
	struct fail why;

	if (p->budget == NULL || policy_budget_end_login(&p->member))
		return true;
	fail_set(&why, "53300", "pgweir's own connection for the budget was lost during the login");
	srv->env->owner_ops->failed(srv, CF_OTHER, false, &why);
	server_close(srv);
	return false;
}

/* Takes a place in the budget of the target's hosts. Returns false with *why set if there is no place or no memory. */
static bool
take_place(struct hosts_place *p, struct policy_worker *r, const struct pool_target *target, uint64_t now_us,
	   struct fail *why)
{
	char *hosts = pool_target_hosts_key(target);

	assert(p->budget == NULL);
	p->budget = hosts == NULL ? NULL : policy_budget_get_or_create(r->commons, 'h', hosts, strlen(hosts));
	free(hosts);
	fail_memory(why, "a server connection");
	if (p->budget == NULL)
		return false;
	memset(&p->member, 0, sizeof(p->member));
	policy_places_join(p->budget, &p->member, r);
	if (policy_places_take(&p->member, now_us))
		return true;
	policy_budget_explain(&p->member, why);
	leave_budget(p, false, now_us);
	return false;
}

static void
on_ready(struct server *srv)
{
	struct dedicated *d = dedicated_of(srv);

	if (!confirm_place(srv, &d->place) || server_lend(srv, d, *srv->env->now_us) < 0)
		return;
	d->state = DEDICATED_READY;
	d->ops->up(d);
}

static void
on_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	note_trouble(dedicated_of(srv), why);
	if (dedicated_of(srv)->ops->failed != NULL)
		dedicated_of(srv)->ops->failed(dedicated_of(srv), kind, is_fatal, why);
}

static void
on_closed(struct server *srv)
{
	struct dedicated *d = dedicated_of(srv);

	srv->target = NULL;
	srv->owner = NULL;
	d->srv = NULL;
	release_target_and_place(d, *srv->env->now_us);
	if (d->ops->backoff_max_us > 0)
		d->retry_us = *srv->env->now_us +
			      backoff_us(d->failures++, d->ops->backoff_min_us, d->ops->backoff_max_us, &d->random);
	d->ops->closed(d);
}

static const struct server_ops dedicated_server_ops = {
	.pass = no_pass,
	.request_done = on_request_done,
	.settled = no_settled,
	.error = on_error,
	.complete = no_complete,
	.parameter = no_parameter,
	.probe_row = on_row,
	.probe_done = on_done,
	.no_such_pid = no_pid,
	.notification = on_notification,
	.batch_end = on_batch_end,
	.lost = on_lost,
	.drained = nothing,
};
/* Dedicated servers are never pinged or cleaned, and never get a request of a pool's client. */
static const struct server_owner_ops dedicated_owner_ops = {
	.ready = on_ready, .failed = on_failed, .gone = on_lost, .closed = on_closed
};

void
dedicated_fill_env(struct server_env *env, const struct pool_set *set)
{
	*env = *pool_set_server_env(set);
	env->ops = &dedicated_server_ops;
	env->owner_ops = &dedicated_owner_ops;
}

int
dedicated_open(struct dedicated *d, struct pool_set *set, const struct server_env *env, struct pool_target *target,
	       const struct gucs *settings, const struct upstream_host *host)
{
	struct fail why;

	assert(d->srv == NULL && d->target_ref == NULL);
	if (d->ops->answer_us == 0 && !take_place(&d->place, pool_set_policy_worker(set), target, *env->now_us, &why))
		return -1;
	d->target_ref = pool_target_ref(target);
	d->target = target->server;
	d->target.settings = settings;
	d->srv =
	    server_new(env, &d->target, NULL, d, pool_set_next_id(set), pool_set_next_turn(set), host, *env->now_us);
	if (d->srv != NULL)
		return 0;
	release_target_and_place(d, *env->now_us);
	return -1;
}

void
dedicated_close(struct dedicated *d)
{
	struct server *srv = d->srv;

	if (srv == NULL)
		return;
	if (srv->state == SV_LENT)
		server_write(srv, MESSAGE_BARE("X"));
	server_close(srv);
}

/* --- Connections that ask. --- */

void
dedicated_init(struct dedicated *d, const struct dedicated_ops *ops, struct pool_set *pools,
	       const struct server_env *env)
{
	d->ops = ops;
	d->pools = pools;
	d->env = env;
	d->random = pool_set_random(pools);
}

void
dedicated_fini(struct dedicated *d)
{
	dedicated_close(d);
	pool_target_unref(d->next_target);
	explicit_bzero(&d->keys, sizeof(d->keys));
}

bool
dedicated_aim(struct dedicated *d, struct pool_target *target)
{
	struct pool_target *before = d->next_target;

	if (before != NULL && pool_target_is_same(before, target)) {
		pool_target_unref(target);
		return false;
	}
	dedicated_close(d);
	explicit_bzero(&d->keys, sizeof(d->keys));
	d->next_target = target;
	d->retry_us = 0;
	pool_target_unref(before);
	return true;
}

uint64_t
dedicated_run(struct dedicated *d)
{
	uint64_t now_us = *d->env->now_us, late_us = d->asked_us + d->ops->answer_us;

	if (d->srv != NULL && d->state > DEDICATED_READY && now_us >= late_us)
		dedicated_close(d);
	if (d->srv == NULL) {
		d->state = DEDICATED_AWAY;
		if (now_us < d->retry_us)
			return d->retry_us;
		d->retry_us = now_us + d->ops->backoff_max_us;
		d->opened_us = now_us;
		if (dedicated_open(d, d->pools, d->env, d->next_target, NULL, NULL) < 0)
			return d->retry_us;
	}
	return d->state == DEDICATED_AWAY ? UINT64_MAX : d->state == DEDICATED_READY ? 0 : late_us;
}

bool
dedicated_became_late(struct dedicated *d, uint64_t patience_us)
{
	if (d->srv == NULL || d->state != DEDICATED_ASKED || *d->env->now_us < d->asked_us + patience_us)
		return false;
	d->state = DEDICATED_LATE;
	return true;
}

void
dedicated_ask(struct dedicated *d, struct buf *sql)
{
	struct buf b = { 0 };

	assert(d->srv->state == SV_LENT && d->state == DEDICATED_READY); /* one question is under way at a time */
	d->state = DEDICATED_ASKED;
	d->asked_us = *d->srv->env->now_us;
	buf_put_u8(sql, 0);
	message_query(&b, buf_ok(sql) ? (const char *)sql->bytes : "");
	server_owe_query(d->srv, OWED_TO_PGWEIR);
	if (!buf_ok(sql) || server_send(d->srv, &b) < 0)
		d->srv->stream.is_broken = true;
	buf_fini(sql);
}

/* --- Connections of one client. --- */

struct one_client {
	/* must be first, because srv->conn is cast to this struct; no policy knows this policy_conn */
	struct policy_conn conn;
	/* only target_ref, target, place and keys are used; keys is a copy, because the pool's keys may change */
	struct dedicated d;
	struct gucs *settings;
	const struct dedicated_take_ops *ops; /* NULL if no caller waits for the login any more */
	void *borrower;
};

static struct one_client *
one_client_of(const struct server *srv)
{
	return (struct one_client *)srv->conn;
}

static void
one_client_free(struct one_client *one, uint64_t now_us)
{
	if (one == NULL)
		return;
	release_target_and_place(&one->d, now_us);
	gucs_unref(one->settings);
	explicit_bzero(&one->d.keys, sizeof(one->d.keys));
	free(one);
}

static void
one_client_ready(struct server *srv)
{
	struct one_client *one = one_client_of(srv);
	const struct dedicated_take_ops *ops = one->ops;

	if (!confirm_place(srv, &one->d.place))
		return;
	assert(ops != NULL);
	one->ops = NULL;
	one->conn.state = PC_LENT;
	server_lend(srv, one->borrower, *srv->env->now_us);
	srv->ledger.is_replication = true;
	ops->on_ready(srv, one->borrower);
}

static void
one_client_failed(struct server *srv, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct one_client *one = one_client_of(srv);
	const struct dedicated_take_ops *ops = one->ops;
	struct fail told;

	one->ops = NULL;
	pool_log_own_refusal(srv->owner, srv, kind, why, &told);
	if (ops != NULL)
		ops->on_failed(&told, one->borrower);
}

static void
one_client_closed(struct server *srv)
{
	struct pool *pool = srv->owner;

	TAILQ_REMOVE(&pool->servers, srv, all);
	pool_set_give_place(pool->set, *srv->env->now_us);
	one_client_free(one_client_of(srv), *srv->env->now_us);
	srv->conn = NULL;
	srv->target = NULL;
}

const struct server_owner_ops dedicated_one_client_ops = {
	.ready = one_client_ready, .failed = one_client_failed, .gone = no_why, .closed = one_client_closed
};

static struct one_client *
one_client_new(struct pool *pool, const char *replication, struct gucs *settings)
{
	struct one_client *one = calloc(1, sizeof(*one));

	if (one == NULL)
		return NULL;
	one->d.target_ref = pool_target_ref(pool->target);
	one->settings = gucs_ref(settings);
	one->d.target = pool->target->server;
	one->d.keys = pool->keys;
	one->d.target.keys = &one->d.keys;
	one->d.target.replication = replication;
	one->d.target.settings = one->settings;
	one->conn.state = PC_OPENING;
	return one;
}

struct server *
dedicated_take(struct pool *pool, const char *replication, struct gucs *settings, const struct dedicated_take_ops *ops,
	       void *borrower, uint64_t now_us, struct fail *why)
{
	struct server *srv = NULL;
	struct one_client *one;

	if (!pool_set_take_place(pool->set, now_us)) {
		fail_set(why, "53300", "max_server_connections is used up, and no connection is idle");
		fail_hint(why, "Raise it, or lower the pool_size of pools.");
		return NULL;
	}
	fail_memory(why, "a server connection");
	one = one_client_new(pool, replication, settings);
	if (one != NULL && take_place(&one->d.place, pool_set_policy_worker(pool->set), one->d.target_ref, now_us, why))
		srv = server_new(pool_set_one_client_env(pool->set), &one->d.target, &one->conn, pool,
				 pool_set_next_id(pool->set), pool_set_next_turn(pool->set), NULL, now_us);
	if (srv == NULL) {
		one_client_free(one, now_us);
		pool_set_give_place(pool->set, now_us);
		return NULL;
	}
	one->ops = ops;
	one->borrower = borrower;
	TAILQ_INSERT_TAIL(&pool->servers, srv, all);
	pool_use_activate(pool);
	return srv;
}

void
dedicated_abandon(struct server *srv)
{
	one_client_of(srv)->ops = NULL;
	server_close(srv);
}
