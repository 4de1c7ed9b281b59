/*
 * src/client/client_timeouts.c - limits on time, looked at about ten times a second: login, query, transaction, idle in
 * a transaction, idle between transactions; and the end of everything, when pgweir is asked to stop.
 *
 * What a client asked for is timed from its request, whatever of ours stands ahead of it on the server. A request of
 * ours has OURS_US: if its answer does not come, its server is given up.
 *
 * Clients that log in are few and first in no order, so all clients are walked only while somebody logs in or an idle
 * limit is set; else only those that hold a server, through their pools.
 */
#include "client/client.h"
#include "relay/relay.h"
#include "relay/report.h"
#include "state/state.h"

#include "base/clock.h"

#define OURS_US (5 * US_PER_S)
#define LATE_AT_ONCE ((size_t)64)

static bool
is_late(uint64_t now_us, uint64_t since_us, uint64_t limit_us)
{
	return limit_us > 0 && since_us > 0 && now_us > since_us && now_us - since_us >= limit_us;
}

enum late { LATE_NOT, LATE_QUERY, LATE_IDLE, LATE_TRANSACTION, LATE_OURS };

static const struct {
	const char *sqlstate, *what, *setting;
} late_words[] = {
	[LATE_QUERY] = { "57014", "the query ran longer than it may", "query_timeout" },
	[LATE_IDLE] = { "25P03", "the transaction was idle for longer than it may be", "idle_transaction_timeout" },
	[LATE_TRANSACTION] = { "25P04", "the transaction was open for longer than it may be", "transaction_timeout" },
};

static enum late
lateness(const struct client *c, const struct server *srv, uint64_t now_us)
{
	const struct scope_settings *s = &c->x.entry->settings;
	bool is_ready = exchange_is_ready(&c->x) && c->x.replication == 0, is_served;
	uint64_t since_us, ours_us;

	is_served = client_is_served(c, &since_us);
	if (is_ready && is_served && is_late(now_us, since_us, s->query_timeout_us))
		return LATE_QUERY;
	if (is_ready && !is_served && srv->tx != 'I' &&
	    is_late(now_us, srv->loan.idle_in_tx_us, s->idle_transaction_timeout_us))
		return LATE_IDLE;
	if (is_ready && is_late(now_us, srv->loan.tx_started_us, s->transaction_timeout_us))
		return LATE_TRANSACTION;
	/* What is prepared for its request takes as long as that would. */
	if (srv->ledger.count == 0 || ledger_head(&srv->ledger)->to == OWED_TO_PREPARE ||
	    !ledger_owes_us(&srv->ledger, &ours_us))
		return LATE_NOT;
	if (ours_us < srv->loan.last_done_us)
		ours_us = srv->loan.last_done_us;
	return is_late(now_us, ours_us, OURS_US) ? LATE_OURS : LATE_NOT;
}

static void
give_up_server(struct server *srv)
{
	bool is_replaying = ledger_head(&srv->ledger)->to == OWED_TO_IMAGE;
	uint64_t since_us;
	struct fail why;

	/* Without its settings what is behind them must not run. */
	if (!is_replaying || !ledger_owes_client(&srv->ledger, &since_us))
		server_cancel(srv, OURS_US, NULL, NULL);
	fail_set(&why, "08006", "PostgreSQL at %s did not answer a request of pgweir's own within %u s", srv->address,
		 (unsigned)(OURS_US / US_PER_S));
	server_fail(srv, &why);
}

static void
end_late(struct client *c, enum late late)
{
	struct fail why;

	if (late == LATE_OURS) {
		give_up_server(c->x.srv);
		return;
	}
	fail_set(&why, late_words[late].sqlstate, "%s (%s)", late_words[late].what, late_words[late].setting);
	report_failure(&c->x, &why, RF_LIMIT, late_words[late].setting);
	client_close(c, &why);
}

static size_t
find_late(const struct pool_entry *e, struct client *late[static LATE_AT_ONCE], uint64_t now_us)
{
	struct server *srv;
	size_t count = 0;

	TAILQ_FOREACH(srv, &e->servers, all)
	{
		struct client *c = srv->link;

		if (c != NULL && (exchange_is_ready(&c->x) || c->x.state == CL_WELCOME) && c->x.srv == srv &&
		    lateness(c, srv, now_us) != LATE_NOT && count < LATE_AT_ONCE)
			late[count++] = c;
	}
	return count;
}

/* First found, then ended: to end one may move or end others. None is freed before the loop's next turn. */
static void
end_late_ones(const struct pool_entry *e, uint64_t now_us)
{
	struct client *late[LATE_AT_ONCE];
	size_t count;

	do {
		count = find_late(e, late, now_us);
		for (size_t i = 0; i < count; i++) {
			struct client *c = late[i];
			enum late how = c->x.is_closing || c->x.srv == NULL ? LATE_NOT : lateness(c, c->x.srv, now_us);

			if (how != LATE_NOT)
				end_late(c, how);
		}
	} while (count == LATE_AT_ONCE);
}

static void
check_servers(struct client_env *env, uint64_t now_us)
{
	for (struct pool_entry *e = pool_set_first(env->x.pools); e != NULL; e = e->next)
		end_late_ones(e, now_us);
}

/* Since when it has owed us a request; 0: it does not, or within a transaction. */
static uint64_t
idle_since(const struct client *c)
{
	const struct server *srv = c->x.srv;

	if (srv == NULL)
		return c->x.state == CL_IN_LINE ? 0 : c->x.idle_since_us;
	if ((!c->x.is_session && c->x.pins == 0) || c->x.replication != 0 || srv->ledger.count > 0 || !srv->is_synced ||
	    srv->tx != 'I' || c->x.body_left > 0)
		return 0;
	return srv->loan.last_done_us > c->x.idle_since_us ? srv->loan.last_done_us : c->x.idle_since_us;
}

static void
check_all(struct client_env *env, uint64_t now_us)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&env->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (client_state_is_login((enum client_state)c->x.state))
			env->front->check_time(c, now_us);
		else if (exchange_is_ready(&c->x) &&
			 is_late(now_us, idle_since(c), c->x.entry->settings.client_idle_timeout_us)) {
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
	session_linger_tick(&env->x);
	env->front->tick(env, now_us);
	if (env->login_count > 0 || env->is_client_idle_limited)
		check_all(env, now_us);
}

void
clients_drain(struct client_env *env)
{
	struct client *c, *next;
	struct fail why;

	env->x.is_draining = true;
	fail_set(&why, "57P01", "pgweir is shutting down");
	for (c = TAILQ_FIRST(&env->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all);
		if (client_state_is_login((enum client_state)c->x.state))
			client_close(c, &why);
		else if (exchange_is_ready(&c->x) && (c->x.srv == NULL || replication_is_streaming(&c->x)))
			client_close(c, &why);
		else if (exchange_is_ready(&c->x))
			relay_try_release(&c->x); /* a session between transactions */
	}
}
