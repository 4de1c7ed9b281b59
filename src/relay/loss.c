/*
 * src/relay/loss.c - see relay.h.
 *
 * PostgreSQL says when it has not executed a request. If a primary may have begun it, nothing else counts. 57P01 (an
 * administrator, a fast shutdown) and 57P05 (idle_session_timeout) are sent as FATAL by ProcessInterrupts(), which
 * functions cannot imitate: the transaction is rolled back, and all earlier answers come before the error. A Query is
 * committed before its CommandComplete, other requests are committed at their Sync. So if neither was answered, nothing
 * was committed, unless one statement commits several times (CALL, VACUUM, CREATE INDEX CONCURRENTLY); those are not
 * relayed again. 25006 (read-only transaction) counts only if the server, which should be a primary, has also reported
 * that it is no primary any more. If a primary's connection breaks without an error, a request may have been committed:
 * a crash may follow a commit, or answers may get lost on the way.
 *
 * All SQL but DEALLOCATE may be relayed again if no primary has begun it (LOAN_REST_UNEXECUTED), regardless of
 * on_outage.
 *
 * A function may have had effects outside the database, or on sequences; these effects come twice. A request is relayed
 * again only once, because the request itself may be what ends the servers. It is relayed again some more times if
 * other clients lose their servers meanwhile: a shutdown ends one backend after the other, and the next backend that a
 * request meets may be about to end. A request that was not begun is relayed again up to REPLAYS_MAX times while each
 * of its servers is lost within SOON_US after it was lent. After 25006 a request is relayed again up to REPLAYS_MAX
 * times, until it gets a server that is not the old primary's: each attempt uses up one of the old primary's servers.
 */
#include "relay/relay.h"
#include "base/clock.h"
#include "exchange/report.h"
#include "pool/pool_target.h"
#include "relay/begin.h"
#include "relay/features.h"
#include "relay/resend.h"
#include "state/compiled.h"
#include "state/linger.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define REPLAYS_BEFORE_BLAME 2u /* after this many replays of a request, a refusal of its settings counts as final */
#define REPLAYS_MAX 100u
#define REPLAYS_IN_SHUTDOWN 8u
#define SOON_US US_PER_S /* an unbegun request is not at fault if its server is lost this soon after lending */

/* --- which loss it is --- */

enum loss {
	LOSS_OF_NOTHING, /* the server had nothing of the client's: the client goes on, and notices nothing */
	/* the client's request has had no effect, and nothing of it was shown: it is relayed again */
	LOSS_NOT_EXECUTED,
	/* the COMMIT was not answered; the client is answered when the outcome is known (commit_doubt.c) */
	LOSS_OF_COMMIT,
	/* a transaction was open, and no request in progress: the client's next message fails with 40001 */
	LOSS_ROLLED_BACK,
	/* any other loss, such as a request that may have committed, or session state: the client gets the error and is
	 * closed */
	LOSS_OF_SESSION
};

bool
loss_needs_primary(const struct exchange *x)
{
	enum target_session_attrs target;

	if (!exchange_is_relayed(x) || x->gucs == NULL || (x->srv != NULL && x->srv->loan.standby != 0))
		return false;
	target = x->pool->target->upstream->target;
	return (target == TARGET_READ_WRITE || target == TARGET_PRIMARY) &&
	       !gucs_is_on(x->gucs, "default_transaction_read_only");
}

/* Returns true if the server has refused to write, and has itself reported that it is no primary any more. */
static bool
is_from_lost_primary(const struct exchange *x, const struct server *srv, const struct error_fields *e)
{
	return srv->fitness == SERVER_MISPLACED && loss_needs_primary(x) && e->sqlstate != NULL &&
	       strcmp(e->sqlstate, "25006") == 0;
}

/* Returns true if PostgreSQL has ended the session because the session was idle, so PostgreSQL has not read what was
 * sent since. */
static bool
is_from_idle_session(const struct error_fields *e)
{
	return fields_error_is_fatal(e) && fields_error_is_of(e, "57P05", "ProcessInterrupts");
}

static bool
may_replay_again(const struct exchange *x, const struct server *srv)
{
	const struct server_losses *losses = srv->env->losses;
	const struct exchange_rare *rare = x->rare;
	bool is_servers_fault = srv->fitness == SERVER_MISPLACED || (srv->loan.end == LOAN_REST_UNEXECUTED &&
								     *x->env->now_us - srv->loan.lent_us < SOON_US);

	if (rare == NULL || rare->replayed_request != x->requests_done + 1)
		return true;
	if (is_servers_fault)
		return rare->replay_count < REPLAYS_MAX;
	/* Other clients must have lost servers, too, since the first replay. */
	return rare->replay_count < REPLAYS_IN_SHUTDOWN && losses != NULL &&
	       losses->total - rare->losses_at_first_replay >= rare->replay_count;
}

static bool
proves_no_effect(const struct exchange *x, const struct server *srv, const struct error_fields *e)
{
	return is_from_idle_session(e) || is_from_lost_primary(x, srv, e) ||
	       (fields_error_is_fatal(e) && fields_error_is_of(e, "57P01", "ProcessInterrupts"));
}

/* Returns true if the server has nothing of the client's: no request, and no state that only this server has. */
static bool
has_nothing(const struct exchange *x, const struct server *srv)
{
	return (x->state == CL_READY || x->state == CL_HELD || x->state == CL_READY_WITHHELD ||
		x->state == CL_AWAITING_LISTENER) &&
	       !x->is_session && !features_tie(x, TIE_SERVER) && exchange_is_replayable(x, srv) &&
	       (srv->is_synced || resend_has_only_statements(srv)) && (x->body_left == 0 || x->is_body_dropped);
}

/* Returns true if the client can be told that its transaction has failed: by an error in answer to its next request, or
 * to a COMMIT that waits to be sent. */
static bool
can_get_error(const struct exchange *x, const struct server *srv)
{
	return (srv->loan.commit.is_on || srv->loan.standby != 0) && srv->tx != 'I' && srv->is_synced &&
	       (x->state == CL_READY || (x->state == CL_HELD && srv->loan.commit.question >= MARK_AWAITED)) &&
	       (x->body_left == 0 || x->is_body_dropped);
}

/*
 * Decides what was lost; only this function does. Sets loan.end if the request was not begun or may be relayed again.
 * e: PostgreSQL's last error; NULL if the connection has ended without an error. is_owing: true if the client was owed
 * a reply. is_unbegun: true if PostgreSQL has begun nothing of what is unanswered.
 */
static enum loss
loss_of(struct server *srv, const struct error_fields *e, bool is_owing, bool is_unbegun)
{
	struct exchange *x = srv->borrower;

	if (srv->loan.end == LOAN_NOT_EXECUTED) /* this was decided before; the checks below would fail now, because the
						   statements that the request has parsed are gone */
		return LOSS_NOT_EXECUTED;
	if (is_unbegun)
		loan_set_end(&srv->loan, LOAN_REST_UNEXECUTED);
	/* PostgreSQL has said that it has not executed the request, or cannot have executed it. */
	if (is_owing &&
	    (srv->loan.end == LOAN_REST_UNEXECUTED ||
	     (e != NULL && x->pool->settings.on_outage == OUTAGE_HOLD && proves_no_effect(x, srv, e))) &&
	    may_replay_again(x, srv) && !features_tie(x, TIE_REQUEST) && resend_is_possible(x, srv)) {
		loan_set_end(&srv->loan, LOAN_NOT_EXECUTED);
		return LOSS_NOT_EXECUTED;
	}
	if (commit_check_is_in_doubt(x, srv))
		return LOSS_OF_COMMIT;
	if (is_owing)
		return LOSS_OF_SESSION;
	if (has_nothing(x, srv))
		return LOSS_OF_NOTHING;
	return can_get_error(x, srv) ? LOSS_ROLLED_BACK : LOSS_OF_SESSION;
}

/* --- what follows --- */

/* Lets the client go on with another server. If the client has changed its session, its next request is answered with
 * FATAL. */
static bool
let_client_go_on(struct exchange *x, struct server *srv, const struct fail *shown, bool is_bound)
{
	if (state_is_dirty(x, srv) && (x->state == CL_HELD || state_refuse_next_request(x, shown) < 0))
		return false;
	reads_note_loss(x, srv);
	relay_mark_begin_due_again(x, srv);
	if (x->state == CL_HELD)
		exchange_ignore_result(relay_resume_held(x));
	return true;
}

static bool
relay_again(struct exchange *x, struct server *srv, const struct fail *shown, bool is_bound)
{
	exchange_ignore_result(resend_unexecuted(x, srv));
	return true;
}

/* Makes the client's messages fail up to the end of its transaction, including messages that the client has already
 * sent. If x is CL_HELD, the held message is the COMMIT. */
static bool
fail_next(struct exchange *x, struct server *srv, const struct fail *shown, bool is_bound)
{
	struct fail why;

	if (is_bound)
		return false;
	state_undo_reports(x, srv->loan.commit.before);
	exchange_set_block(x, x->state == CL_HELD ? EXCHANGE_ORDINARY : EXCHANGE_ROLLED_BACK);
	if (x->state == CL_HELD) {
		exchange_fail_rolled_back(&why, "its COMMIT was not sent");
		reject_kept_request(x, &why, RF_BACKEND_LOST);
		if (!x->is_closing)
			exchange_handle_pending(x, relay_bytes);
	}
	return true;
}

/*
 * The consequences of each loss. keep() handles the client as the loss requires, and returns false if the client must
 * be closed. If there is a keep(), PostgreSQL's FATAL is not passed on. is_bound: true if the client had something that
 * only this server has. If keep is NULL, the client gets the error and is closed. replays: REPLAY if the client's
 * request is relayed again; then a standby that has only refused the request may stay. logs: LOGGED if the log and the
 * metrics get the loss now; a COMMIT is logged when its outcome is known.
 */
static const struct outcome {
	bool (*keep)(struct exchange *x, struct server *srv, const struct fail *shown, bool is_bound);
	enum { NO_REPLAY, REPLAY } replays;
	enum { NOT_LOGGED, LOGGED } logs;
} outcome[] = {
	[LOSS_OF_NOTHING] = { let_client_go_on, NO_REPLAY, NOT_LOGGED },
	[LOSS_NOT_EXECUTED] = { relay_again, REPLAY, NOT_LOGGED },
	[LOSS_OF_COMMIT] = { commit_check_lost, NO_REPLAY, NOT_LOGGED },
	[LOSS_ROLLED_BACK] = { fail_next, NO_REPLAY, LOGGED },
	[LOSS_OF_SESSION] = { NULL, NO_REPLAY, LOGGED },
};

/* Sends or drops the replies from this server that are still in the outbox. */
static void
end_replies(struct exchange *x, struct server *srv, const struct outcome *o)
{
	if (o->replays == REPLAY && srv->loan.clock.has_passed_reply)
		outbox_drop(&x->env->to_client); /* the replies that PostgreSQL has sent in this batch */
	else if (exchange_is_relayed(x)) {
		if (outbox_flush(&x->env->to_client) < 0)
			stream_set_broken(&x->stream); /* no byte may follow the missing ones */
		report_flushed(x, srv);
	}
}

static void
unlink_lost(struct exchange *x, struct server *srv, enum loss loss)
{
	if (loss != LOSS_OF_NOTHING)
		listen_send_withheld_ready(x);
	listen_unlinked(x, srv);
	state_stop_lingering(x);
	x->srv = NULL;
	srv->borrower = NULL;
	if (x->env->to_server.to == &srv->stream)
		outbox_drop(&x->env->to_server);
	x->waiter.idle_since_us = loan_rests_since(&srv->loan);
	relay_unstall(x);
}

/* Closes the client. shown: the error for the client; NULL if the client has got PostgreSQL's own FATAL, or a part of a
 * message, after which no error may follow. */
static void
close_with_server(struct exchange *x, struct server *srv, const struct fail *shown, const struct fail *logged)
{
	x->env->ending = srv;
	x->env->ops->close(x, shown, logged);
	x->env->ending = NULL;
	srv->end_log_line = END_LOG_LINE_OF_BORROWER;
}

void
relay_lost(struct server *srv, const struct fail *why)
{
	struct exchange *x = srv->borrower;
	struct fail shown = *why;
	const struct outcome *o;
	bool is_bound;
	enum loss loss;

	if (x == NULL)
		return;
	assert(x->srv == srv);
	state_assume_unseen_code(x);
	loss = loss_of(srv, NULL, srv->was_owing, exchange_can_leave_standby(x, srv));
	o = &outcome[loss];
	if (x->env->to_client.to == &x->stream)
		end_replies(x, srv, o);
	if (o->logs == LOGGED && exchange_is_relayed(x) && (srv->was_owing || srv->tx != 'I')) {
		if (srv->env->losses != NULL)
			srv->env->losses->harmful_count++;
		report_transaction_lost(x, srv);
		report_failure(x, why, RF_BACKEND_LOST, "backend_lost");
	}
	is_bound = x->is_session || features_tie(x, TIE_SERVER) || features_tie(x, TIE_REQUEST) ||
		   (exchange_is_relayed(x) && state_is_dirty(x, srv));
	unlink_lost(x, srv, loss);
	if (x->state == CL_WELCOME) {
		x->env->ops->login_server_lost(x, why);
		return;
	}
	if (o->replays == NO_REPLAY &&
	    (srv->loan.end == LOAN_END_FATAL_SENT || (srv->ledger.body_left > 0 && !srv->is_body_swallowed))) {
		server_get_last_words(srv, &shown);
		close_with_server(x, srv, NULL, &shown);
		return;
	}
	if (shown.hint[0] == '\0')
		fail_hint(&shown, "%s Connect again.",
			  srv->was_owing
			      ? "The transaction that was open is lost, unless the request under way has committed it: "
				"check in the database before you run it again."
			      : "The transaction that was open, if any, is lost.");
	if (o->keep == NULL || !o->keep(x, srv, &shown, is_bound))
		close_with_server(x, srv, &shown, &shown);
}

/* --- what an error says --- */

enum error_cause {
	ERROR_OF_NOTHING, /* no reply was owed */
	ERROR_OF_CLIENT, /* a message of the client's, or pgweir's message ahead of it that prepares its statement */
	ERROR_OF_SETTINGS, /* the client's settings, which PostgreSQL refuses */
	ERROR_OF_OURS /* any other message of pgweir's: no fault of the client's */
};

/* Returns true if the server has refused a value of temp_buffers because its session has used temporary tables: another
 * server would take the value. */
static bool
is_refused_for_temp_tables(const struct error_fields *e)
{
	return fields_error_is_of(e, "22023", "call_int_check_hook") && e->message != NULL &&
	       strstr(e->message, "temp_buffers") != NULL;
}

/* Returns true if the SQLSTATE begins with one of the strings in `beginnings`, an array that ends with NULL. */
static bool
is_among(const char *sqlstate, const char *const *beginnings)
{
	for (; sqlstate != NULL && *beginnings != NULL; beginnings++)
		if (strncmp(sqlstate, *beginnings, strlen(*beginnings)) == 0)
			return true;
	return false;
}

static enum error_cause
error_cause_of(const struct error_fields *e, enum owed_to to, bool is_owed)
{
	/* PostgreSQL had no time or memory, or was told to stop. */
	static const char *const temporary[] = { "57", "53", "08", "55P03", "25P03", "25P04", NULL };

	if (!is_owed)
		return ERROR_OF_NOTHING;
	if (owed_to_is_for_client(to))
		return ERROR_OF_CLIENT;
	if (to != OWED_TO_GUCS || is_refused_for_temp_tables(e) || is_among(e->sqlstate, temporary))
		return ERROR_OF_OURS;
	return ERROR_OF_SETTINGS;
}

/*
 * Returns true if the primary is to be asked instead of this standby. If a message of the client's has failed, the
 * error may be one that the primary would not give: the standby only reads, is in recovery, has no room or is ending;
 * or the primary is ahead, and the standby still lacks an object or a right. Any other error goes to the client: the
 * primary would give it, too, and statements that have run would run twice. The client must not get an error because a
 * message of pgweir's has failed, so the primary is asked, unless that message was cancelled (57014).
 */
static bool
is_refused_by_standby(const struct exchange *x, const struct server *srv, const struct error_fields *e,
		      enum error_cause cause)
{
	static const char *const own[] = { "0A000", "25006", "3F000", "40",   "42501", "42703", "42704", "42883",
					   "42P01", "53",    "55000", "57P0", "58",    "XX",	NULL };

	if (!exchange_can_leave_standby(x, srv) || x->block == EXCHANGE_ORDINARY || e->sqlstate == NULL)
		return false;
	return cause <= ERROR_OF_CLIENT ? is_among(e->sqlstate, own) : strcmp(e->sqlstate, "57014") != 0;
}

/* Returns true if the request begins with a SET that has failed, so the rest of the request has not run. */
static bool
is_first_set(const struct loan *l)
{
	return l->tag_text[0] == '\0' && !l->is_text_spent && l->text_len > 3 &&
	       strncasecmp((const char *)l->text, "SET", 3) == 0;
}

/* Returns true if the request was relayed again so often that its settings, not the servers, must be at fault. */
static bool
is_refused_again(const struct exchange *x)
{
	return x->rare != NULL && x->rare->replayed_request == x->requests_done + 1 &&
	       x->rare->replay_count >= REPLAYS_BEFORE_BLAME;
}

/*
 * Returns true if PostgreSQL has begun nothing of the client's request. There are four cases: a standby has refused the
 * request; this server has refused it, and another server would not; the session has ended while a reply to pgweir's
 * own request was owed; idle_session_timeout has ended the session, so PostgreSQL has not read the request.
 */
static bool
proves_unbegun(const struct exchange *x, const struct server *srv, const struct error_fields *e, enum error_cause cause)
{
	uint64_t since_us;

	if (is_refused_by_standby(x, srv, e, cause))
		return true;
	if (!fields_error_is_fatal(e))
		return is_refused_for_temp_tables(e) && is_first_set(&srv->loan);
	return !(cause == ERROR_OF_SETTINGS && is_refused_again(x)) &&
	       (ledger_owes_own_request(&srv->ledger, &since_us) || is_from_idle_session(e));
}

/* Returns true if the error ends the server, and is not passed on to the client. */
static bool
ends_server(struct server *srv, const struct error_fields *e, enum owed_to to, enum error_cause cause, enum loss loss)
{
	uint64_t since_us;

	if (cause == ERROR_OF_SETTINGS || loss == LOSS_NOT_EXECUTED)
		return loss == LOSS_NOT_EXECUTED;
	if (fields_error_is_fatal(e))
		return cause == ERROR_OF_OURS || outcome[loss].keep != NULL;
	if (to == OWED_TO_COMMIT)
		return commit_check_failed(srv, e->sqlstate);
	/* If settings could not be applied, the server ends unless a message of the client's was sent after them. */
	return cause == ERROR_OF_NOTHING || (to == OWED_TO_GUCS && !ledger_owes_client(&srv->ledger, &since_us));
}

/* Returns true if a wash, which on_batch_end() begins, can remove all that the client has left on srv. */
static bool
is_washable(struct exchange *x, const struct server *srv)
{
	return srv->fitness == SERVER_FIT && !state_is_tainted(x) &&
	       (state_parts_to_wash(x) & (STATE_BACKEND | WASH_POINT_SEED)) == 0;
}

/* Returns true if srv, of a standby that has refused a request, may stay when the request is relayed again: all that
 * srv has is a failed transaction. on_batch_end() has that transaction rolled back and the session washed. */
static bool
may_stay(struct exchange *x, const struct server *srv, const struct error_fields *e, enum error_cause cause)
{
	return cause <= ERROR_OF_CLIENT && is_refused_by_standby(x, srv, e, cause) && !fields_error_is_fatal(e) &&
	       srv->ledger.count <= 1 && is_washable(x, srv);
}

/* Ends the server, or, if may_stay is true, only takes it from the client. The client does not get this error;
 * relay_lost() may send another error. */
static void
end_by_error(struct server *srv, const struct error_fields *e, bool may_stay)
{
	struct fail why;

	fail_set(&why, e->sqlstate != NULL ? e->sqlstate : "08006", "PostgreSQL at %s %s: %s", srv->address,
		 fields_error_is_fatal(e)	      ? "ended the connection"
		 : srv->loan.commit.is_broken	      ? "did not answer a question about a transaction"
		 : srv->loan.end == LOAN_NOT_EXECUTED ? "has not executed a request"
						      : "sent an error where none was expected",
		 e->message != NULL ? e->message : "(no message)");
	if (may_stay) {
		relay_lost(srv, &why);
		return;
	}
	if (srv->loan.end == LOAN_NOT_EXECUTED && srv->loan.standby != 0)
		srv->end_log_line = END_LOG_LINE_OF_MANY; /* only one line is logged for many such ends, because SHOW
							     READS counts them */
	server_fail(srv, &why);
}

bool
loss_handle_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_owed)
{
	struct exchange *x = srv->borrower;
	enum error_cause cause = error_cause_of(e, to, is_owed);
	enum loss loss;

	if (cause >= ERROR_OF_SETTINGS && e->sqlstate != NULL && strcmp(e->sqlstate, "57014") == 0)
		srv->loan.is_ours_cancelled = true;
	if (to == OWED_TO_REPLAY && !fields_error_is_fatal(e))
		return false; /* on_own_done() handles this error */
	loss = loss_of(srv, e, is_owed, proves_unbegun(x, srv, e, cause));
	if (cause == ERROR_OF_SETTINGS && fields_error_is_fatal(e) && srv->loan.standby == 0 && exchange_is_relayed(x))
		gucs_move(&x->pool->refused, gucs_ref(x->gucs));
	if (is_from_lost_primary(x, srv, e))
		policy_distrust(x->pool->policy, *x->env->now_us); /* check the other servers before they are lent */
	if (loss != LOSS_NOT_EXECUTED && !fields_error_is_fatal(e))
		loan_set_end(&srv->loan, LOAN_GOES_ON);
	if (!ends_server(srv, e, to, cause, loss))
		return false;
	srv->is_owed_final = loss == LOSS_OF_COMMIT && fields_error_is_fatal(e);
	end_by_error(srv, e, outcome[loss].replays == REPLAY && may_stay(x, srv, e, cause));
	return true;
}

/* The standby has the request already, because pgweir has sent the request together with its question. So if srv is
 * kept, on_batch_end() has the request cancelled there (pool_clean()). */
void
loss_handle_lag(struct server *srv)
{
	struct exchange *x = srv->borrower;
	enum loss loss = loss_of(srv, NULL, true, true);
	struct fail why;

	fail_set(&why, "08006", "PostgreSQL at %s has not replayed in time what this session has written or been shown",
		 srv->address);
	if (loss == LOSS_NOT_EXECUTED && is_washable(x, srv))
		relay_lost(srv, &why);
	else
		server_fail(srv, &why);
}

bool
relay_ending(struct server *srv, const struct error_fields *e)
{
	struct exchange *x = srv->borrower;
	uint64_t since_us;
	enum loss loss;

	if (!exchange_can_leave_standby(x, srv))
		return false;
	loss = loss_of(srv, e, ledger_owes_client(&srv->ledger, &since_us), true);
	if (loss == LOSS_NOT_EXECUTED)
		end_by_error(srv, e, false);
	else
		loan_set_end(&srv->loan, LOAN_GOES_ON);
	return outcome[loss].keep != NULL;
}
