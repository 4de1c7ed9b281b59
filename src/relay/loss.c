/*
 * src/relay/loss.c - see relay.h.
 *
 * PostgreSQL says when it has not executed a request, and only its word counts. 57P01 (an administrator, a fast
 * shutdown) and 57P05 (idle_session_timeout) are sent as FATAL: the transaction is rolled back, and what was answered
 * before comes before them. A Query is committed before its CommandComplete, other requests are at their Sync. So if
 * neither was answered, nothing was committed, unless one statement commits several times (CALL, VACUUM, CREATE INDEX
 * CONCURRENTLY): therefore only statements that can't are relayed again. 25006 says that a server which should be a
 * primary is read-only now. When a link breaks without a word, everything is possible: a crash may follow a commit at
 * once, and what is between may lose answers.
 *
 * What was not begun at all (LOAN_UNBEGUN) may be relayed again whatever it is, and whatever on_outage says.
 *
 * A function may have had effects outside the database, or on sequences; these come twice. The copy is relayed again
 * once, or until it has run for a second: a shutdown ends one backend after the other, and the next one that a request
 * meets may be about to end, but a request that an administrator ends each time is given up. After 25006 it is relayed
 * again until a server is found that is none of the old primary's, as each costs one of those.
 */
#include "relay/relay.h"

#include "base/clock.h"
#include "exchange/report.h"
#include "pool/pool_target.h"
#include "relay/features.h"
#include "relay/resend.h"
#include "state/linger.h"

#include <assert.h>
#include <string.h>

#define REPLAYS_MAX 100u
#define SOON_US US_PER_S /* how soon one must fail again to be relayed a second time */

/* --- which loss it is --- */

bool
loss_of_primary(const struct exchange *x, const char *sqlstate)
{
	enum target_session_attrs target;
	const char *own;

	if (strcmp(sqlstate, "25006") != 0 || !exchange_is_ready(x) || x->image == NULL ||
	    (x->srv != NULL && x->srv->loan.standby != 0))
		return false;
	target = x->pool->target->upstream->target;
	own = image_get(x->image, "default_transaction_read_only");
	return (target == TARGET_READ_WRITE || target == TARGET_PRIMARY) && (own == NULL || strcmp(own, "on") != 0);
}

static bool
may_once_more(const struct exchange *x, const struct server *srv, const char *sqlstate)
{
	bool is_soon = sqlstate[0] == '2' || *x->env->now_us - srv->loan.lent_us < SOON_US;

	return x->rare == NULL || x->rare->replayed_request != x->requests_done + 1 ||
	       x->rare->replay_count < (is_soon ? REPLAYS_MAX : 1);
}

static bool
is_word_of_no_effect(const struct exchange *x, const char *sqlstate)
{
	return strcmp(sqlstate, "57P01") == 0 || strcmp(sqlstate, "57P05") == 0 || loss_of_primary(x, sqlstate);
}

/* Returns true if the server has nothing of the client's: no request, and no state that only this server has. */
static bool
has_nothing(const struct exchange *x, const struct server *srv)
{
	return (x->state == CL_READY || x->state == CL_HELD || x->state == CL_READY_WITHHELD ||
		x->state == CL_AWAITING) &&
	       !x->is_session && !features_tie(x, TIE_SERVER) && (srv->tx == 'I' || reads_has_begun(x)) &&
	       (srv->is_synced || resend_is_of_statements(srv)) && (x->body_left == 0 || x->is_body_dropped);
}

enum loss
loss_of(struct exchange *x, const struct server *srv, const char *sqlstate, bool is_owing)
{
	if (srv->loan.end == LOAN_NOT_EXECUTED) /* statements that were parsed with it are gone now */
		return LOSS_NOT_EXECUTED;
	/* PostgreSQL says that it has not executed the request, or can't have. */
	if (is_owing && sqlstate != NULL &&
	    (srv->loan.end == LOAN_UNBEGUN ||
	     (x->pool->settings.on_outage == OUTAGE_HOLD && is_word_of_no_effect(x, sqlstate))) &&
	    may_once_more(x, srv, sqlstate) && !features_tie(x, TIE_REQUEST) && resend_is_possible(x, srv))
		return LOSS_NOT_EXECUTED;
	if (commit_check_is_in_doubt(x, srv))
		return LOSS_OF_COMMIT;
	if (is_owing)
		return LOSS_IN_DOUBT;
	if (has_nothing(x, srv))
		return LOSS_OF_NOTHING;
	return commit_check_stays(x, srv) ? LOSS_ROLLED_BACK : LOSS_OF_TRANSACTION;
}

/* --- what the client gets, and whether it stays --- */

static void
end_with_server(struct exchange *x, struct server *srv, const struct fail *why, const struct fail *logged)
{
	struct exchange_env *env = x->env;

	env->is_end_untold = srv->end_line == END_LINE_OF_MANY;
	env->ops->close(x, why, logged);
	env->is_end_untold = false;
	srv->end_line = END_LINE_OF_BORROWER;
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
 * what only that server has. A client whose transaction is gone is kept: whatever it has sent meanwhile, or sends next,
 * gets an error, up to what ends the transaction; a held message is a COMMIT. False: the client is told, and closed.
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
		x->reads_block = READS_NO_BLOCK;
		x->ticket.idle_since_us = *x->env->now_us;
		x->commit = x->state == CL_HELD ? EXCHANGE_NO_COMMIT : EXCHANGE_ROLLED_BACK;
		relay_unstall(x);
		if (x->state == CL_HELD)
			commit_check_refuse(x);
		return true;
	case LOSS_OF_NOTHING:
		/* The client will get another server. is_dirty: its next request will be answered with FATAL. */
		if (is_dirty && (x->state == CL_HELD || state_lose(x, why) < 0))
			return false;
		reads_again(x, srv);
		x->ticket.idle_since_us = *x->env->now_us;
		relay_unstall(x);
		if (x->state == CL_HELD)
			relay_resume_held(x);
		return true;
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
	if (srv->loan.end == LOAN_GOES_ON && reads_is_refusable(x, srv))
		srv->loan.end = LOAN_UNBEGUN;
	loss = loss_of(x, srv, why->sqlstate, srv->was_owing);
	if (x->env->to_client.to == &x->stream && loss == LOSS_NOT_EXECUTED && srv->loan.clock.has_passed)
		outbox_drop(&x->env->to_client); /* what PostgreSQL has answered in this batch is not shown */
	else if (x->env->to_client.to == &x->stream && exchange_is_ready(x)) {
		is_sent = outbox_flush(&x->env->to_client) == 0; /* what the client still gets of this server */
		report_flushed(x, srv);
	}
	if (exchange_is_ready(x) && loss >= LOSS_ROLLED_BACK && (srv->was_owing || srv->tx != 'I')) {
		if (srv->env->losses != NULL)
			srv->env->losses->cost++;
		/* The fate of a COMMIT is reported when it is known. */
		report_failure(x, why, RF_BACKEND_LOST, "backend_lost");
	}
	is_dirty = exchange_is_ready(x) && state_is_dirty(x);
	is_bound = is_dirty || x->is_session || features_tie(x, TIE_SERVER) || features_tie(x, TIE_REQUEST);
	unlink_lost(x, srv, loss);
	if (x->state == CL_WELCOME) {
		x->env->ops->login_server_lost(x, why);
		return;
	}
	if (loss == LOSS_NOT_EXECUTED) {
		relay_unstall(x);
		resend_unexecuted(x, srv);
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
