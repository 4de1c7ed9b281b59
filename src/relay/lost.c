/* src/relay/lost.c - the server of a client is lost: what the client gets, and whether it stays (relay/loss.h). */
#include "exchange/report.h"
#include "listen/listen.h"
#include "relay/commit_check.h"
#include "relay/features.h"
#include "relay/loss.h"
#include "relay/relay.h"
#include "relay/replies.h"
#include "state/commit.h"
#include "state/linger.h"
#include "state/pins.h"
#include "state/reset.h"

#include <assert.h>

/*
 * The client's server has ended, but had nothing of the client's: the client will get another one. If the client may
 * have changed its session in a way that only that server knew, its next request will be answered with FATAL. Returns
 * false if the client must be sent the error now.
 */
static bool
goes_on(struct exchange *x, const struct fail *why, bool is_dirty)
{
	if (is_dirty && (x->state == CL_HELD || state_lose(x, why) < 0))
		return false;
	x->ticket.idle_since_us = *x->env->now_us;
	relay_unstall(x);
	if (x->state == CL_HELD)
		relay_resume_held(x);
	return true;
}

/*
 * Keeps a client whose transaction is gone: whatever it has sent meanwhile, or sends next, gets an error, up to what
 * ends the transaction. A held message is a COMMIT.
 */
static void
rolled_back(struct exchange *x)
{
	x->ticket.idle_since_us = *x->env->now_us;
	x->commit = x->state == CL_HELD ? EXCHANGE_NO_COMMIT : EXCHANGE_ROLLED_BACK;
	relay_unstall(x);
	if (x->state == CL_HELD)
		commit_check_refuse(x);
}

static void
end_with_server(struct exchange *x, struct server *srv, const struct fail *why, const struct fail *logged)
{
	struct exchange_env *env = x->env;

	env->is_end_untold = srv->end_line == END_LINE_OF_MANY;
	env->ops->close(x, why, logged);
	env->is_end_untold = false;
	srv->end_line = END_LINE_OF_BORROWER;
}

/* Sends what the client still gets of the server that is lost. Returns false if that has failed. */
static bool
show_rest(struct exchange *x, struct server *srv)
{
	bool is_sent = true;

	if (exchange_is_ready(x) && x->env->to_client.to == &x->stream) { /* replies of this batch */
		is_sent = outbox_flush(&x->env->to_client) == 0;
		report_flushed(x, srv);
	}
	return is_sent;
}

/* Reports what has failed with the server; the fate of a COMMIT is reported when it is known. */
static void
report_loss(struct exchange *x, struct server *srv, enum loss loss, const struct fail *why)
{
	if (!exchange_is_ready(x) || loss < LOSS_ROLLED_BACK || (!srv->was_owing && srv->tx == 'I'))
		return;
	if (srv->env->losses != NULL)
		srv->env->losses->cost++;
	report_failure(x, why, RF_BACKEND_LOST, "backend_lost");
}

static void
unlink_lost(struct exchange *x, struct server *srv, enum loss loss)
{
	if (loss != LOSS_OF_NOTHING)
		listen_ready_now(x);
	listen_unlinked(x, srv);
	state_stop_lingering(x);
	x->srv = NULL;
	srv->borrower = NULL;
	if (x->env->to_server.to == &srv->stream)
		outbox_drop(&x->env->to_server);
}

/*
 * Does what is due after this loss. is_dirty: the client has changed its session unseen; is_bound: that, or else it had
 * what only that server has. Returns false if the client is to be told, and closed.
 */
static bool
outlives(struct exchange *x, struct server *srv, enum loss loss, const struct fail *why, bool is_dirty, bool is_bound)
{
	switch (loss) {
	case LOSS_OF_COMMIT:
		commit_check_lost(x, srv, why, is_bound);
		return true;
	case LOSS_ROLLED_BACK:
		if (is_bound)
			return false;
		state_undo_reports(x, srv->loan.commit.before);
		rolled_back(x);
		return true;
	case LOSS_OF_NOTHING:
		return goes_on(x, why, is_dirty);
	default:
		return false;
	}
}

void
relay_lost(struct server *srv, const struct fail *why)
{
	struct exchange *x = srv->borrower;
	struct fail shown = *why;
	bool is_sent = true, is_dirty, is_bound;
	enum loss loss;

	if (x == NULL)
		return;
	assert(x->srv == srv);
	loss = loss_of(x, srv, why->sqlstate, srv->was_owing);
	if (loss == LOSS_NOT_EXECUTED)
		loss_take_back(x);
	else
		is_sent = show_rest(x, srv);
	report_loss(x, srv, loss, why);
	is_dirty = exchange_is_ready(x) && state_is_dirty(x);
	is_bound = is_dirty || x->is_session || features_tie(x, TIE_SERVER) || features_tie(x, TIE_REQUEST);
	unlink_lost(x, srv, loss);
	if (x->state == CL_WELCOME) {
		x->env->ops->login_server_lost(x, why);
		return;
	}
	if (loss == LOSS_NOT_EXECUTED) {
		loss_replay(x, srv);
		return;
	}
	/* The client has PostgreSQL's own FATAL; or it has part of a message, and no error may follow that. */
	if (srv->loan.end == LOAN_END_TOLD || (srv->ledger.body_left > 0 && !srv->is_body_swallowed)) {
		server_last_words(srv, &shown);
		end_with_server(x, srv, NULL, &shown);
		return;
	}
	if (shown.hint[0] == '\0')
		fail_hint(&shown, "%s Connect again.",
			  srv->was_owing
			      ? "The transaction that was open is lost, unless the request under way has committed it: "
				"look in the database before you run it again."
			      : "The transaction that was open, if any, is lost.");
	if ((is_sent || loss == LOSS_OF_COMMIT || loss == LOSS_ROLLED_BACK) &&
	    outlives(x, srv, loss, &shown, is_dirty, is_bound))
		return;
	end_with_server(x, srv, &shown, &shown);
}
