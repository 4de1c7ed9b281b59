/* src/relay/release.c - gives servers back: between transactions, and when a client leaves. */
#include "exchange/report.h"
#include "relay/features.h"
#include "relay/relay.h"
#include "state/compiled.h"
#include "state/linger.h"
#include "server/server.h"

#include <assert.h>

#define CANCEL_TIMEOUT_US (5 * US_PER_S)

static inline bool
may_return(const struct exchange *x, const struct server *srv)
{
	return x->state != CL_HELD && x->state != CL_RETRYING &&
	       (srv->ledger.count == 0 || ledger_owes_nobody(&srv->ledger)) && srv->ledger.intake != INTAKE_SYNC &&
	       srv->is_synced && srv->tx == 'I' && (x->body_left == 0 || x->is_body_dropped) && srv->cancel == NULL &&
	       srv->state == SV_LENT;
}

__attribute__((noinline)) static void
release_give_back(struct exchange *x, struct server *srv)
{
	unsigned parts = state_parts_to_wash(x);

	/* The client's SQL may have used a sequence that the SQL does not mention, for example in a trigger. */
	if (srv->loan.has_run && srv->sequences_of != x->waiter.id)
		srv->sequences_of = SEQUENCES_OF_MANY;
	listen_unlinked(x, srv);
	x->srv = NULL;
	exchange_set_block(x, EXCHANGE_ORDINARY);
	if (x->listen != NULL)
		listen_free_unused(x);
	x->waiter.idle_since_us = *x->env->now_us;
	if (x->reading == EXCHANGE_STALLED)
		relay_unstall(x);
	stream_set_reading(&srv->stream, true);
	pool_return(srv, parts, *x->env->now_us);
	if (x->env->is_moving)
		x->env->ops->released(x);
}

__attribute__((cold)) static void
close_for_good(struct exchange *x)
{
	struct fail why;

	fail_set(&why, "57P01",
		 x->env->is_draining ? "pgweir is shutting down"
				     : "the database was removed from pgweir's configuration");
	exchange_close(x, &why);
}

inline void
relay_try_release(struct exchange *x)
{
	bool is_to_leave = x->env->is_draining && !x->env->keeps_idle_clients;
	struct server *srv = x->srv;

	if (srv == NULL && !x->is_in_relay && x->state == CL_READY && x->block == EXCHANGE_ORDINARY &&
	    (is_to_leave || x->pool->is_orphan))
		close_for_good(x); /* the transaction has ended without a server, and the client has pgweir's answer */
	if (srv == NULL || x->is_in_relay || !exchange_is_relayed(x) ||
	    (!may_return(x, srv) &&
	     !relay_is_streaming(x))) /* a replication stream never reaches a point between two requests */
		return;
	if (x->is_session && !x->pool->is_orphan && !is_to_leave)
		return;
	if (is_to_leave || x->pool->is_orphan)
		close_for_good(x);
	else if (features_release(x))
		release_give_back(x, srv);
}

/* Returns true while a cancel could hit the replayed settings, so the messages after the settings would run without
 * them. */
static bool
is_replaying(const struct server *srv)
{
	const struct owed *head = ledger_head(&srv->ledger);
	uint64_t since_us;

	return head != NULL && head->to == OWED_TO_GUCS && ledger_owes_client(&srv->ledger, &since_us);
}

static void
close_left_server(struct exchange *x, struct server *srv)
{
	if (srv->ledger.count > 0 && !is_replaying(srv))
		server_cancel(srv, CANCEL_TIMEOUT_US, NULL, NULL);
	/* PostgreSQL was sent only a part of one message, so it has run nothing. */
	if (x->body_left > 0 && !x->is_body_data && srv->ledger.count == 1)
		srv->loan.risk = srv->loan.suspected = srv->loan.settled_flags = 0;
	x->pool->counters.recycles[RR_DIRTY]++;
	srv->borrower = NULL;
	server_close(srv);
}

/* Closes srv. A replication stream ends with its connection; any other work in progress is cancelled, because no client
 * waits for the result. */
static void
leave_replication(struct exchange *x, struct server *srv)
{
	if (srv->ledger.count > 0 && !relay_is_streaming(x))
		server_cancel(srv, CANCEL_TIMEOUT_US, NULL, NULL);
	else if (srv->fitness == SERVER_FIT && !x->is_in_relay && (x->body_left == 0 || x->is_body_dropped))
		server_write(srv, "X\0\0\0\4", 5);
	x->srv = NULL;
	srv->borrower = NULL;
	server_close(srv);
}

static void
leave_server(struct exchange *x, struct server *srv)
{
	bool is_dirty;
	unsigned parts;

	if (x->env->to_server.to == &srv->stream)
		outbox_drop(&x->env->to_server);
	state_assume_unseen_code(x);
	listen_unlinked(x, srv);
	if (x->replication != 0) {
		leave_replication(x, srv);
		return;
	}
	/* In CL_WELCOME pgweir does not know which of the client's settings the server has. */
	is_dirty = (x->is_session && x->has_run) || x->state == CL_WELCOME || features_tie(x, TIE_SERVER) ||
		   state_is_dirty(x, srv);
	if (state_is_tainted(x))
		server_condemn(srv, SERVER_IN_DOUBT);
	if (srv->fitness == SERVER_FIT && may_return(x, srv) && !x->is_in_relay && !is_dirty) {
		release_give_back(x, srv);
		return;
	}
	parts = state_parts_to_wash(x);
	x->srv = NULL;
	/* A server is closed if it is unfit, lacks bytes, has half a message, or could lose settings to a cancel. */
	if (x->is_in_relay || srv->fitness != SERVER_FIT || is_replaying(srv) ||
	    (x->body_left > 0 && !x->is_body_dropped))
		close_left_server(x, srv);
	else
		pool_clean(srv, is_dirty, parts, *x->env->now_us);
}

const char *
relay_leave(struct exchange *x, const struct fail *why)
{
	const char *lost = NULL;

	state_stop_lingering(x);
	if (x->waiter.waits != WAITS_NOT)
		policy_cancel(x->pool->policy, &x->waiter, *x->env->now_us);
	if (exchange_is_relayed(x) && x->replication == 0) {
		if (x->block == EXCHANGE_BEGIN_DUE ||
		    (x->srv != NULL && (x->srv->tx != 'I' || x->srv->ledger.count > 0)))
			report_transaction_lost(x, x->srv);
		lost = report_given_up(x, why)	 ? "a request was under way"
		       : exchange_is_in_block(x) ? "a transaction was open"
						 : NULL;
	}
	if (x->srv != NULL)
		leave_server(x, x->srv);
	assert(x->srv == NULL && x->waiter.waits == WAITS_NOT);
	return lost;
}
