/*
 * src/client/client_limits.c - limits on time, looked at about ten times a second: login, query, transaction, idle in a
 * transaction, idle between transactions; and the end of everything, when pgweir is asked to stop.
 *
 * Clients that log in are few and first in no order, so all clients are walked only while somebody logs in or an idle
 * limit is set; else only those that hold a server, through their pools.
 */
#include "client/door.h"
#include "client/login.h"

static bool
is_late(uint64_t now_us, uint64_t since_us, uint64_t limit_us)
{
	return limit_us > 0 && since_us > 0 && now_us > since_us && now_us - since_us >= limit_us;
}

static void
time_is_up(struct client *c, const char *sqlstate, const char *what, const char *setting)
{
	struct fail why;

	fail_set(&why, sqlstate, "%s (%s)", what, setting);
	report_failure(c, &why, RF_LIMIT, setting);
	client_close(c, &why);
}

/* True if it was closed. */
static bool
check_busy(struct client *c, struct server *srv, uint64_t now_us)
{
	const struct scope_settings *s = &c->entry->settings;
	const struct owed *o = ledger_head(&srv->ledger);

	if (o != NULL && o->to == OWED_TO_CLIENT && is_late(now_us, c->request_us, s->query_timeout_us)) {
		time_is_up(c, "57014", "the query ran longer than it may", "query_timeout");
		return true;
	}
	if (srv->tx != 'I' && o == NULL && is_late(now_us, srv->idle_in_tx_us, s->idle_transaction_timeout_us)) {
		time_is_up(c, "25P03", "the transaction was idle for longer than it may be",
			   "idle_transaction_timeout");
		return true;
	}
	if (is_late(now_us, srv->tx_started_us, s->transaction_timeout_us)) {
		time_is_up(c, "25P04", "the transaction was open for longer than it may be", "transaction_timeout");
		return true;
	}
	return false;
}

static void
check_servers(struct client_env *env, uint64_t now_us)
{
	for (struct pool_entry *e = pool_set_first(env->pools); e != NULL; e = e->next) {
		const struct scope_settings *s = &e->settings;
		struct server *srv, *next;

		if (s->query_timeout_us == 0 && s->idle_transaction_timeout_us == 0 && s->transaction_timeout_us == 0)
			continue;
		for (srv = TAILQ_FIRST(&e->servers); srv != NULL; srv = next) {
			struct client *c = srv->link;

			next = TAILQ_NEXT(srv, all);
			if (c != NULL && c->state == CL_READY && c->replication == 0 && check_busy(c, srv, now_us))
				break; /* the list may have changed; the next tick goes on */
		}
	}
}

static void
check_login(struct client *c, uint64_t now_us)
{
	struct fail why;

	/* One that waits for a server is under pool_timeout instead. */
	if (c->state == CL_WELCOME || !is_late(now_us, c->connected_us, c->env->config->login_timeout_us))
		return;
	if (door_is_answer_held(c->login)) {
		door_answer_now(c);
		return;
	}
	c->env->counters->rejected[RJ_LOGIN_TIMEOUT]++;
	c->env->counters->logins[LR_TIMEOUT][LM_NONE]++;
	fail_set(&why, "08P01", "the login took longer than it may (login_timeout)");
	client_close(c, &why);
}

/* Since when it has owed us a request; 0: it does not, or within a transaction. */
static uint64_t
idle_since(const struct client *c)
{
	const struct server *srv = c->srv;

	if (srv == NULL)
		return c->ticket.is_waiting ? 0 : c->idle_since_us;
	if ((!c->is_session && c->pins == 0) || c->replication != 0 || srv->ledger.count > 0 || !srv->is_synced ||
	    srv->tx != 'I' || c->body_left > 0)
		return 0;
	return srv->last_done_us > c->idle_since_us ? srv->last_done_us : c->idle_since_us;
}

static void
check_all(struct client_env *env, uint64_t now_us)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&env->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->state < CL_READY)
			check_login(c, now_us);
		else if (c->state == CL_READY &&
			 is_late(now_us, idle_since(c), c->entry->settings.client_idle_timeout_us)) {
			struct fail why;

			fail_set(&why, "57P05", "the client was idle for longer than it may be (client_idle_timeout)");
			client_close(c, &why);
		}
	}
}

void
clients_tick(struct client_env *env, uint64_t now_us)
{
	check_servers(env, now_us);
	session_linger_tick(env);
	door_tick(env, now_us);
	if (env->login_count > 0 || env->is_client_idle_limited)
		check_all(env, now_us);
}

void
clients_drain(struct client_env *env)
{
	struct client *c, *next;
	struct fail why;

	env->is_draining = true;
	fail_set(&why, "57P01", "pgweir is shutting down");
	for (c = TAILQ_FIRST(&env->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (c->state < CL_READY)
			client_close(c, &why);
		else if (c->state == CL_READY && (c->srv == NULL || replication_is_streaming(c)))
			client_close(c, &why);
		else if (c->state == CL_READY)
			relay_try_release(c); /* a session between transactions */
	}
}
