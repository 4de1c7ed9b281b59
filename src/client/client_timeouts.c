/*
 * src/client/client_timeouts.c - limits on time, checked about ten times a second: login, query, transaction, idle in a
 * transaction, idle between transactions.
 *
 * A client's time counts from the client's request, even if pgweir sends requests of its own ahead of that request.
 * PostgreSQL must answer a request of pgweir's own within OWN_REQUEST_TIMEOUT_US; otherwise pgweir gives up the server.
 * Time in which the client does not read earlier replies does not count; neither does time in which the loop stood
 * still. A probe of the session (state/ask.c) is cancelled earlier, after half of OWN_REQUEST_TIMEOUT_US or when the
 * client's own time is over, so no probe costs a client its server. A late query is cancelled, and its client goes on.
 * Client and server are closed if the query can't be cancelled (cancel_query()), if PostgreSQL does not react to the
 * cancel within OWN_REQUEST_TIMEOUT_US, or with COMPAT_ENDS_LATE_QUERIES.
 *
 * All clients are walked while client_idle_timeout or server_fast_close is set, while a client is in a transaction
 * block without a server, and while a client waits for long; while clients log in, the walk goes as far as these
 * clients. Otherwise only clients that hold a server are visited, through their pools.
 */
#include "client/cancel.h"
#include "client/clients.h"
#include "commit_check/commit_check.h"
#include "relay/query_timeout.h"
#include "relay/reads.h"
#include "relay/resend.h"
#include "exchange/report.h"
#include "policy/policy_circuit.h"
#include "pool/pool.h"
#include "state/state.h"
#include "state/linger.h"
#include "base/clock.h"
#include "wire/messages.h"
#include "config/compat.h"
#include "server/server.h"

#define OWN_REQUEST_TIMEOUT_US (5 * US_PER_S)
#define CONFIRM_US (10 * US_PER_S) /* a server is closed if the cancel of a probe is not confirmed within this time */
#define HALF_CLOSED_NOTICE_US (1 * US_PER_S)
#define ASK_PAUSE_MAX_US (30 * US_PER_S)
#define STANDS_STILL_US                                                                                                \
	(1 * US_PER_S) /* a loop counts as having stood still if clients_enforce_server_limits() has not run for this  \
			  long */
#define LATE_AT_ONCE ((size_t)64)
#define QUERIES_A_TICK 20u /* SHOW QUERIES counts each of the first QUERIES_A_TICK requests in a tenth of a second */
#define QUERIES_ONE_IN 64u /* beyond QUERIES_A_TICK, one request in this many is counted, as this many requests */

static bool
is_late(uint64_t now_us, uint64_t since_us, uint64_t limit_us)
{
	return limit_us > 0 && since_us > 0 && now_us > since_us && now_us - since_us >= limit_us;
}

/* Returns true if no answer has come within limit_us. After a standstill of the loop, which may have left an answer
 * unread, limit_us counts from the end of the standstill. */
static bool
is_unanswered(const struct client *c, uint64_t now_us, uint64_t since_us, uint64_t limit_us)
{
	return is_late(now_us, since_us, limit_us) && now_us - c->env->woke_us >= limit_us;
}

/* Returns true if limit_us is over and the loop has run for STANDS_STILL_US since its last standstill. This lets pgweir
 * first read messages that the client sent during a standstill or a SUSPEND. */
static bool
is_slow(const struct client *c, uint64_t now_us, uint64_t since_us, uint64_t limit_us)
{
	return is_late(now_us, since_us, limit_us) && now_us - c->env->woke_us >= STANDS_STILL_US;
}

/* Returns true if a late query has not been cancelled yet, or if PostgreSQL has not reacted to the cancel within
 * OWN_REQUEST_TIMEOUT_US. */
static bool
is_action_due(const struct client *c, const struct server *srv, uint64_t now_us)
{
	const struct loan *loan = &srv->loan;

	return loan->late_query_began_us == 0 ? !query_timeout_is_cancelling(srv)
					      : is_unanswered(c, now_us, loan->cancelled_us, OWN_REQUEST_TIMEOUT_US);
}

/* Returns true if the client has sent a Terminate and then closed its connection or only its sending side (the two look
 * the same), and its request has run for HALF_CLOSED_NOTICE_US, and for as long since the last notice. */
static bool
may_be_gone(const struct client *c, const struct server *srv, uint64_t now_us)
{
	uint64_t since_us;

	if (c->x.stream.is_reading || srv->ledger.body_left > 0 || stream_queued_len(&c->x.stream) > 0 ||
	    !exchange_has_pending_terminate(&c->x) || !client_is_served(c, &since_us))
		return false;
	return is_late(now_us, since_us > srv->loan.told_still_running_us ? since_us : srv->loan.told_still_running_us,
		       HALF_CLOSED_NOTICE_US);
}

static void
send_notice(struct client *c, const struct fail *what)
{
	struct buf out = { 0 };

	message_notice(&out, "NOTICE", what);
	exchange_send(&c->x, &out);
	buf_fini(&out);
}

/* Checks the limits on transactions. c may be a client without a server. */
static enum late
lateness_of_transaction(const struct client *c, uint64_t now_us)
{
	const struct scope_settings *s = c->x.settings;

	if (is_slow(c, now_us, report_idle_since(&c->x), s->idle_transaction_timeout_us))
		return LATE_IDLE;
	return is_slow(c, now_us, c->x.tx_started_us, s->transaction_timeout_us) ? LATE_TRANSACTION : LATE_NOT;
}

/* Checks the answer that PostgreSQL owes to pgweir itself. */
static enum late
lateness_of_ours(const struct client *c, const struct server *srv, uint64_t now_us)
{
	uint64_t ours_us;

	if (srv->ledger.count == 0 || !ledger_owes_own_request(&srv->ledger, &ours_us) ||
	    ledger_head(&srv->ledger)->to == OWED_TO_NOBODY)
		return LATE_NOT;
	if (ours_us < srv->loan.last_done_us)
		ours_us = srv->loan.last_done_us;
	if (ours_us < srv->loan.unread_us)
		ours_us = srv->loan.unread_us;
	if (state_may_cancel_probe(&c->x) && is_unanswered(c, now_us, ours_us, OWN_REQUEST_TIMEOUT_US / 2))
		return LATE_PROBE;
	return is_unanswered(c, now_us, ours_us, OWN_REQUEST_TIMEOUT_US) ? LATE_OWN_REQUEST : LATE_NOT;
}

/* Returns true if PostgreSQL runs a request of pgweir's own, which has a limit of its own. A cancel of that request
 * would not end the client's request, which runs afterwards. */
static bool
is_own_request_running(const struct server *srv)
{
	const struct owed *head = ledger_head(&srv->ledger);

	return head != NULL && !owed_to_is_for_client(head->to) && head->to != OWED_TO_NOBODY;
}

static enum late
lateness(struct client *c, const struct server *srv, uint64_t now_us)
{
	bool is_ready = exchange_is_relayed(&c->x) && c->x.replication == 0, is_served;
	uint64_t since_us;
	enum late late;

	if (srv->loan.standby != 0 && reads_should_leave(&c->x) &&
	    (ledger_owes_client(&srv->ledger, &since_us) ? resend_is_possible(&c->x, srv)
							 : !state_is_dirty(&c->x, srv)))
		return LATE_STANDBY;
	is_served = client_is_served(c, &since_us);
	if (is_ready && is_served && is_late(now_us, since_us, c->x.settings->query_timeout_us) &&
	    is_action_due(c, srv, now_us)) {
		if (state_may_cancel_probe(&c->x))
			return LATE_PROBE;
		if (!is_own_request_running(srv))
			return LATE_QUERY;
	}
	if (exchange_is_relayed(&c->x) && may_be_gone(c, srv, now_us))
		return LATE_CLIENT_GONE;
	if (is_ready && (late = lateness_of_transaction(c, now_us)) != LATE_NOT)
		return late;
	return lateness_of_ours(c, srv, now_us);
}

static void
give_up_server(struct server *srv)
{
	bool is_replaying = ledger_head(&srv->ledger)->to == OWED_TO_GUCS;
	uint64_t since_us;
	struct fail why;

	/* Replayed settings are not cancelled, because the client's request after them would run without them. */
	if (!is_replaying || !ledger_owes_client(&srv->ledger, &since_us))
		server_cancel(srv, OWN_REQUEST_TIMEOUT_US, NULL, NULL);
	fail_set(&why, "08006", "PostgreSQL at %s did not answer a request of pgweir's own within %u s", srv->address,
		 (unsigned)(OWN_REQUEST_TIMEOUT_US / US_PER_S));
	server_fail(srv, &why);
}

/* Returns false if nothing is cancelled: the server has no cancel key, the query was cancelled before, the client does
 * not take the answer, or there is no memory. */
static bool
cancel_query(struct client *c, uint64_t lasted_us)
{
	struct server *srv = c->x.srv;

	if (srv->key_len == 0 || srv->loan.late_query_began_us != 0 || stream_is_full(&c->x.stream) ||
	    cancel_later(c, CANCELED_BY_QUERY_TIMEOUT) < 0)
		return false;
	query_timeout_note_cancel(&c->x, *c->env->x.now_us - lasted_us);
	return true;
}

static void
act_on_late(struct client *c, enum late late)
{
	uint64_t since_us = late == LATE_IDLE ? report_idle_since(&c->x) : c->x.tx_started_us, lasted_us;
	struct fail why;

	if (late == LATE_PROBE) {
		state_note_probe_cancel(&c->x);
		server_cancel(c->x.srv, CONFIRM_US, NULL, NULL);
		query_timeout_note_cancel(&c->x, 0);
		return;
	}
	if (late == LATE_STANDBY) { /* the request then goes to the primary */
		fail_set(&why, "08006", "the standby at %s does not answer", c->x.srv->address);
		server_fail(c->x.srv, &why);
		return;
	}
	if (late == LATE_CLIENT_GONE) {
		/* If the client has gone, its kernel answers the notice with a reset; the client is then closed like
		 * any other, and its query cancelled. */
		c->x.srv->loan.told_still_running_us = *c->env->x.now_us;
		fail_set(&why, "00000", "the request that was sent before the end of the connection is still running");
		send_notice(c, &why);
		return;
	}
	if (late == LATE_OWN_REQUEST) {
		give_up_server(c->x.srv);
		return;
	}
	if (late == LATE_QUERY)
		client_is_served(c, &since_us);
	lasted_us = *c->env->x.now_us - since_us;
	if (late == LATE_QUERY && !compat_does(c->env->x.config, COMPAT_ENDS_LATE_QUERIES) &&
	    cancel_query(c, lasted_us))
		return;
	late_write_error(&c->x, late, lasted_us, &why);
	/* once the server is lost, pgweir asks PostgreSQL for the outcome of the COMMIT */
	if (c->x.srv != NULL && commit_check_is_in_doubt(&c->x, c->x.srv)) {
		server_fail(c->x.srv, &why);
		return;
	}
	if (late == LATE_QUERY && c->x.srv->loan.late_query_began_us != 0) {
		server_condemn(c->x.srv, SERVER_IN_DOUBT);
		fail_detail(&why, "PostgreSQL did not answer the cancel within %u s; its connection was closed.",
			    (unsigned)(OWN_REQUEST_TIMEOUT_US / US_PER_S));
	}
	report_failure(&c->x, &why, RF_LIMIT, late_setting(late));
	client_close(c, &why);
}

/*
 * Finds out if a backend that pgweir does not read has exited: over TCP, pgweir does not see the backend's FIN, which
 * comes after the unread bytes. After 1 s, 2 s, 4 s, ... of silence a Flush is sent. The kernel of a backend that has
 * exited answers the Flush with a reset; a backend that runs reads it later. This is done only while a client waits for
 * a server, and only between two messages.
 */
static void
probe_unread_backend(const struct client *c, struct server *srv, uint64_t now_us)
{
	struct loan *l = &srv->loan;
	uint64_t pause_us = clock_lesser_us(l->asked_us - l->silent_us, ASK_PAUSE_MAX_US);

	if (l->silent_bytes != srv->bytes_in) {
		l->silent_bytes = srv->bytes_in;
		l->silent_us = l->asked_us = now_us;
	}
	if (now_us - l->asked_us < (pause_us > US_PER_S ? pause_us : US_PER_S) || !exchange_is_relayed(&c->x) ||
	    c->x.replication != 0 || !srv->is_synced || c->x.body_left > 0 || stream_queued_len(&srv->stream) > 0 ||
	    srv->role == SERVER_CONSOLE || !policy_has_waiters(c->x.pool->policy))
		return;
	l->asked_us = now_us;
	server_write(srv, MESSAGE_BARE("H"));
}

static size_t
probe_and_collect_late(const struct pool *pool, struct client *late[static LATE_AT_ONCE], uint64_t now_us)
{
	struct server *srv;
	size_t count = 0;

	TAILQ_FOREACH(srv, &pool->servers, all) {
		struct client *c = srv->borrower;

		if (c != NULL && !srv->stream.is_reading) {
			srv->loan.unread_us = now_us;
			probe_unread_backend(c, srv, now_us);
		}
		if (c != NULL && (exchange_is_relayed(&c->x) || c->x.state == CL_WELCOME) && c->x.srv == srv &&
		    srv->loan.end != LOAN_END_FATAL_SENT && lateness(c, srv, now_us) != LATE_NOT &&
		    count < LATE_AT_ONCE)
			late[count++] = c;
	}
	return count;
}

/* Collects late clients before it acts on any of them, because the end of a client may move or end others. No client is
 * freed before the loop's next turn. */
static void
act_on_late_ones(const struct pool *pool, uint64_t now_us)
{
	struct client *late[LATE_AT_ONCE];
	size_t count;

	do {
		count = probe_and_collect_late(pool, late, now_us);
		for (size_t i = 0; i < count; i++) {
			struct client *c = late[i];
			enum late how = c->x.is_closing || c->x.srv == NULL ? LATE_NOT : lateness(c, c->x.srv, now_us);

			if (how != LATE_NOT)
				act_on_late(c, how);
		}
	} while (count == LATE_AT_ONCE);
}

/* Returns the time since which the client has been idle, or 0 if the client is busy or in a transaction. */
static uint64_t
idle_since(const struct client *c)
{
	const struct server *srv = c->x.srv;

	if (srv == NULL)
		return client_activity(c) == CLIENT_IS_IDLE ? c->x.waiter.idle_since_us : 0;
	if (!exchange_keeps_server(&c->x) || c->x.state != CL_READY || c->x.replication != 0 || srv->ledger.count > 0 ||
	    !srv->is_synced || srv->tx != 'I' || c->x.body_left > 0)
		return 0;
	return srv->loan.last_done_us > c->x.waiter.idle_since_us ? srv->loan.last_done_us : c->x.waiter.idle_since_us;
}

/* Returns true if a client has waited longer than wait_notify, or possibly longer than query_timeout. */
static bool
is_anyone_waiting_long(const struct client_env *env, uint64_t now_us)
{
	uint64_t limit_us = env->x.config->wait_notify_us;
	bool is_query_limited = compat_does(env->x.config, COMPAT_ENDS_LATE_QUERIES);
	struct policy_counts counts;

	for (struct pool *pool = pool_set_first(env->x.pools); pool != NULL && (limit_us > 0 || is_query_limited);
	     pool = pool->next) {
		policy_get_counts(pool->policy, &counts);
		if (is_late(now_us, counts.oldest_waiter_us, limit_us) ||
		    (is_query_limited && is_late(now_us, counts.oldest_waiter_us, pool->settings.query_timeout_us)))
			return true;
	}
	return false;
}

static void
send_wait_notice(struct client *c, uint64_t now_us)
{
	struct fail what, shown;

	c->x.waiter.is_notice_sent = true;
	policy_explain_wait(c->x.pool->policy, &c->x.waiter, now_us, &what);
	snprintf(what.sqlstate, sizeof(what.sqlstate), "01000");
	snprintf(what.text, sizeof(what.text), "waiting for a server connection for %llu s",
		 (unsigned long long)((now_us - c->x.waiter.since_us) / US_PER_S));
	fail_pgbouncer_text(&what, "No server connection available in postgres backend, client being queued");
	compat_reword(c->env->x.config, &what, &shown);
	send_notice(c, &shown);
}

/* Checks a client for its limits while it is idle, waits for a server, or is in a transaction that has no server. A
 * client that waits for a server within a transaction is treated like any client that waits. */
static void
check_relayed(struct client *c, uint64_t now_us)
{
	struct fail why;
	enum late late;

	if (c->x.state == CL_IN_LINE && !c->x.waiter.is_notice_sent &&
	    is_late(now_us, c->x.waiter.since_us, c->env->x.config->wait_notify_us))
		send_wait_notice(c, now_us);
	if (c->x.state == CL_IN_LINE && query_timeout_ends_wait(&c->x, &why)) {
		client_close(c, &why);
		return;
	}
	if (c->x.srv == NULL && exchange_is_in_block(&c->x)) {
		c->env->x.blocks_without_server++;
		client_watch(c, now_us);
		if (c->x.state == CL_READY && (late = lateness_of_transaction(c, now_us)) != LATE_NOT)
			act_on_late(c, late);
	} else if (is_slow(c, now_us, idle_since(c), c->x.settings->client_idle_timeout_us)) {
		fail_set(&why, "57P05", "the client was idle for too long (client_idle_timeout)");
		fail_detail(&why, "The limit is %s.", duration_format(c->x.settings->client_idle_timeout_us).text);
		fail_pgbouncer_text(&why, "client_idle_timeout");
		client_close(c, &why);
	} else if (c->env->x.config->server_fast_close && c->x.srv != NULL && c->x.srv->conn != NULL &&
		   c->x.srv->conn->is_recycle_due && idle_since(c) > 0) {
		fail_set(&why, "57P01",
			 "the server connection of this session is outdated: RECONNECT, or a new configuration");
		fail_pgbouncer_text(&why, "database configuration changed");
		client_close(c, &why);
	}
}

static void
check_all(struct client_env *env, uint64_t now_us)
{
	bool are_all_concerned = env->is_client_idle_limited || env->x.blocks_without_server > 0 ||
				 env->x.config->server_fast_close || is_anyone_waiting_long(env, now_us);
	struct client *c, *before;
	uint32_t logins = env->login_count;

	env->x.blocks_without_server = 0;
	/* The walk goes backwards, because clients that log in are near the end of the list. */
	for (c = TAILQ_LAST(&env->clients, client_list); c != NULL && (logins > 0 || are_all_concerned); c = before) {
		before = TAILQ_PREV(c, client_list, all);
		if (client_state_is_login((enum client_state)c->x.state)) {
			logins -= logins > 0;
			env->login_ops->check_time(c, now_us);
		} else if (exchange_is_relayed(&c->x) && c->x.reading != EXCHANGE_IN_TRANSFER)
			check_relayed(c, now_us);
	}
}

void
clients_renew_query_budget(struct client_env *env)
{
	struct exchange_env *x = &env->x;
	uint32_t workers = 0; /* all workers together have one budget */

	x->queries_before_sampling = 0;
	if (x->config->slow_query_stats == QUERY_STATS_SAMPLED) {
		while (env->client_envs[workers] != NULL)
			workers++;
		x->queries_before_sampling = QUERIES_A_TICK / workers;
	}
	x->queries_one_in = x->config->slow_query_stats == QUERY_STATS_ON	 ? 1
			    : x->config->slow_query_stats == QUERY_STATS_SAMPLED ? QUERIES_ONE_IN
										 : 0;
}

void
clients_enforce_server_limits(struct client_env *env, uint64_t now_us)
{
	if (now_us - env->looked_us >= STANDS_STILL_US)
		env->woke_us = now_us;
	env->looked_us = now_us;
	for (struct pool *pool = NULL; (pool = pool_use_next_active(env->x.pools, pool)) != NULL;)
		act_on_late_ones(pool, now_us);
}

void
clients_tick(struct client_env *env, uint64_t now_us)
{
	clients_renew_query_budget(env);
	clients_enforce_server_limits(env, now_us);
	for (struct pool *pool = NULL; (pool = pool_use_next_active(env->x.pools, pool)) != NULL;)
		client_watch_pool(env, pool, now_us);
	client_log_lost(env);
	state_linger_tick(&env->x);
	check_all(env, now_us);
	env->watched_us = now_us;
}
