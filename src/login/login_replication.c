/*
 * src/login/login_replication.c - replication clients (protocol chapter, "Streaming Replication Protocol"). Each of
 * them has a dedicated server connection (dedicated.h), which ends when the client leaves.
 *
 * The startup packet's settings go to PostgreSQL in that server's own startup packet; pgweir sets, replays or prepares
 * nothing for the client. No time limit of pgweir's ends the connection: PostgreSQL has wal_sender_timeout for that.
 */
#include "login/login_state.h"
#include "base/clock.h"
#include "config/compat.h"
#include "exchange/report.h"
#include "dedicated/dedicated.h"

#include <string.h>

/* Physical replication concerns a whole cluster, so its clients need not name a configured database: tools based on
 * libpq send "replication", and for other clients, which send no name, the user's name is taken. If such a name is not
 * configured, and all configured databases are in one cluster, the first of these databases stands for that cluster. */
const char *
login_database_name(const struct client *c)
{
	const struct client_login *l = c->login;
	const struct config *config = c->env->x.config;

	if (l->replication != REPLICATION_PHYSICAL || config->database_count == 0 ||
	    config_find_database(config, l->database) != NULL)
		return l->database;
	for (size_t i = 1; i < config->database_count; i++)
		if (!upstream_is_same_cluster(config->databases[0].upstream, config->databases[i].upstream))
			return l->database;
	return config->databases[0].name;
}

static void
on_ready(struct server *srv, void *borrower)
{
	struct client *c = borrower;

	c->login->opening = NULL;
	c->x.srv = srv;
	report_lent(&c->x, c->x.waiter.waited_us);
	login_finish(c, gucs_ref(srv->gucs), server_login_parameters(srv));
}

static void
on_failed(const struct fail *why, void *borrower)
{
	struct client *c = borrower;

	c->login->opening = NULL;
	login_refuse(c, why, LR_ERROR);
}

static const struct dedicated_take_ops own_ops = { on_ready, on_failed };

/* Returns true if the client may wait on: *why is a limit on connections (53300), and pool_timeout is not over. If *why
 * is such a limit, adds a detail about the wait to *why. */
static bool
may_wait_on(const struct client *c, uint64_t now_us, struct fail *why)
{
	uint64_t limit_us = c->x.pool->settings.pool_timeout_us;

	if (strcmp(why->sqlstate, "53300") != 0)
		return false;
	fail_detail(why, "The client has waited for %s (pool_timeout).", duration_format(limit_us).text);
	return limit_us == 0 || now_us - c->login->opening_wait_since_us < limit_us;
}

/* Returns true if the pool's limits, which apply only with COMPAT_COUNTS_REPLICATION, allow one more connection. Else
 * sets *why and, unless a connection is closing already, gives up an idle one; replication_tick() tries again. */
static bool
check_place(const struct client *c, uint64_t now_us, struct fail *why)
{
	struct pool *pool = c->x.pool;
	struct policy_counts n;
	const struct server *srv;

	if (!compat_does(c->env->x.config, COMPAT_COUNTS_REPLICATION))
		return true;
	policy_get_counts(pool->policy, &n);
	n.lent += n.opening + n.idle + n.pinging + n.closing;
	TAILQ_FOREACH(srv, &pool->servers, all)
		n.lent += srv->target->replication != NULL;
	if (n.lent < pool->settings.pool_size + pool->settings.max_overflow)
		return true;
	if (n.closing == 0)
		policy_give_up_idle(pool->policy, now_us);
	fail_set(why, "53300", "no server connection is free for replication");
	fail_pgbouncer_text(why, "query_wait_timeout");
	return false;
}

static void
open_server(struct client *c, uint64_t now_us)
{
	struct client_login *l = c->login;
	struct fail why;

	if (check_place(c, now_us, &why))
		l->opening = dedicated_take(c->x.pool, l->replication == REPLICATION_LOGICAL ? "database" : "true",
					    l->raw, &own_ops, c, now_us, &why);
	if (l->opening == NULL && may_wait_on(c, now_us, &why))
		return;
	l->opening_wait_since_us = 0;
	if (l->opening == NULL)
		login_refuse(c, &why, LR_ERROR);
}

void
replication_welcome(struct client *c)
{
	c->x.is_session = true;
	c->x.replication = c->login->replication & 3u;
	c->login->opening_wait_since_us = *c->env->x.now_us;
	open_server(c, *c->env->x.now_us);
}

void
replication_tick(struct client *c, uint64_t now_us)
{
	if (c->login->opening_wait_since_us != 0)
		open_server(c, now_us);
}
