/*
 * src/relay/replies.c - the replies of a server that a client has borrowed.
 *
 * server_replies.c walks the replies and passes on those for the client. At the end of a batch, on_batch_end() sends
 * these, and gives the server back if nothing is owed, no transaction is open, no message of the client is half sent,
 * no cancel is in progress and nothing pins the server (relay_try_release). completed.c handles completed commands,
 * loss.c a lost server.
 */
#include "policy/policy_circuit.h"
#include "relay/features.h"
#include "relay/query_timeout.h"
#include "relay/relay.h"
#include "exchange/report.h"
#include "statements/keep.h"
#include "relay/resend.h"
#include "state/compiled.h"
#include "state/linger.h"
#include "base/text.h"
#include "session/gucs_effects.h"

#define SENT_LAST_MAX 16384u /* the most bytes of replies that are sent after the server was given back */

static void
on_pass(struct server *srv, const uint8_t *bytes, size_t len)
{
	struct exchange *x = srv->borrower;

	if (x->is_closing || !exchange_is_relayed(x))
		return;
	srv->loan.bytes_to_client += len;
	srv->loan.clock.has_passed_reply = true;
	x->pool->database->counters.bytes_out[NS_CLIENT] += len;
	x->pool->database->counters.bytes_in[NS_SERVER] += len;
	exchange_begin_batch(x->env, &x->env->to_client, &x->stream);
	outbox_ref(&x->env->to_client, bytes, len); /* called last, so no register must be saved */
}

/* Closes a client in pool_mode = statement whose request has left a transaction open. */
__attribute__((cold)) static void
close_for_statement_mode(struct exchange *x, struct server *srv)
{
	struct fail why;

	fail_set(&why, "0A000", "transaction blocks are not possible in pool_mode = statement");
	fail_pgbouncer_text(&why, "transaction blocks not allowed in statement pooling mode");
	fail_hint(&why, "Set pool_mode = transaction for this database or user.");
	server_condemn(srv, SERVER_IN_DOUBT);
	exchange_close(x, &why);
}

/* Does the part of on_request_done() that few requests need. Returns false if the client was closed. */
__attribute__((noinline)) static bool
finish_special_request(struct server *srv, const struct owed *ended)
{
	struct exchange *x = srv->borrower;

	if (srv->tx != 'I' && x->settings->pool_mode == POOL_MODE_STATEMENT) {
		close_for_statement_mode(x, srv);
		return false;
	}
	if (srv->loan.route != ROUTE_OFF)
		reads_request_done(x, ended);
	if (srv->loan.ddl != DDL_NONE || srv->loan.code != CODE_AS_BEFORE || srv->loan.has_local_parse_settings)
		relay_apply_changes(x, srv);
	return true;
}

static bool
on_request_done(struct server *srv, const struct owed *ended)
{
	const struct loan *l = &srv->loan;
	struct exchange *x = srv->borrower;

	x->requests_done++;
	if ((srv->tx != 'I' || l->route != ROUTE_OFF || l->ddl != DDL_NONE || l->code != CODE_AS_BEFORE ||
	     l->has_local_parse_settings) &&
	    !finish_special_request(srv, ended))
		return false;
	srv->loan.drops = srv->loan.skips = 0;
	return features_request_done(x, ended);
}

/* Handles the end of a message that pgweir itself has sent. */
__attribute__((noinline)) static void
settle_own(struct server *srv, const struct owed *o, enum owed_end how)
{
	if (o->to == OWED_TO_FEATURE)
		return;
	if (o->ref == srv)
		state_discard_settled(srv, how);
	else
		statements_settled(srv, o, how);
}

static void
on_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	if (o->to == OWED_TO_CLIENT && o->kind != OWED_EXECUTE)
		statements_settled(srv, o, how);
	else
		settle_own(srv, o, how);
}

static void
on_answer_local(struct server *srv, const struct owed *o)
{
	struct exchange *x = srv->borrower;
	struct sent_copy *sent = &srv->loan.sent;

	/* While the client's bytes are walked, pgweir's reply is sent now: before all replies of PostgreSQL's, or after
	 * replies that the client has got already. */
	if (x != NULL && x->is_in_relay && sent->state == SENT_WHOLE && sent->local_count < UINT16_MAX)
		sent->local_count++;
	else if (x != NULL && x->is_in_relay)
		sent->state = SENT_ANSWERED;
	else
		srv->loan.clock.has_passed_reply =
		    true; /* this reply is sent together with the next replies that PostgreSQL sends the client */
	if (x != NULL && !x->is_closing)
		exchange_answer(x, o->kind == OWED_LOCAL_PARSE ? "1\0\0\0\4" : "3\0\0\0\4", 5);
}

/* Closes the client because its settings could not be replayed, or its block could not be begun, so it must not get the
 * replies to its later messages. If the settings were sent alone, settings_done() closes the client instead. */
static void
handle_gucs_error(struct exchange *x, struct server *srv, const struct error_fields *e)
{
	struct fail why;

	fail_set(&why, e->sqlstate != NULL ? e->sqlstate : "XX000", "%s",
		 e->message != NULL ? e->message : "(no message)");
	fail_detail(&why, "pgweir was %s on another server connection.",
		    exchange_is_begun_ahead(x, srv) ? "preparing this session's transaction"
						    : "setting this session's parameters");
	if (srv->loan.held_behind_ours == ALL_BEHIND_REFUSED_SETTINGS && ledger_head(&srv->ledger)->kind == OWED_SYNC &&
	    state_refuse_next_request(x, &why) == 0)
		return;
	server_condemn(srv, SERVER_IN_DOUBT);
	exchange_close(x, &why);
}

/* Handles an error that answers a message of pgweir's own. Returns false if the message was for the client. */
static bool
handle_own_error(struct server *srv, const struct error_fields *e, enum owed_to to)
{
	struct exchange *x = srv->borrower;

	switch (to) {
	case OWED_TO_GUCS:
		handle_gucs_error(x, srv, e);
		return true;
	case OWED_TO_PGWEIR:
		state_probe_failed(x);
		return true;
	case OWED_TO_COMMIT:
	case OWED_TO_REPLAY:
	case OWED_TO_FEATURE:
	case OWED_TO_NOBODY:
		return true;
	default: /* OWED_TO_PING, OWED_TO_RESET and OWED_TO_OWNER are never in the ledger of a server that is lent */
		return false;
	}
}

static bool
on_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_error_owed, const uint8_t *message,
	 size_t len)
{
	struct exchange *x = srv->borrower;
	bool is_fatal = fields_error_is_fatal(e);

	if (is_fatal)
		server_condemn(srv, SERVER_IN_DOUBT);
	if (x == NULL)
		return false;
	if (loss_handle_error(srv, e, to, is_error_owed))
		return true;
	if (is_fatal)
		listen_send_withheld_ready(x);
	if (x->state == CL_WELCOME) {
		if (is_fatal)
			srv->end_log_line = END_LOG_LINE_OF_BORROWER;
		x->env->ops->login_server_error(x, e);
		return true;
	}
	if (handle_own_error(srv, e, to))
		return true;
	query_timeout_check_cancel(x, e);
	return features_error(x, e, message, len);
}

static bool
on_late_error(struct server *srv, const struct error_fields *e, bool is_unshown)
{
	struct exchange *x = srv->borrower;

	return x->state == CL_READY && x->settings->keep_plans && retry_begin_after_bind(x, e, is_unshown);
}

/* In session mode, the client listens on its server, so its notifications are passed on as they are. */
static bool
on_notification(struct server *srv, const uint8_t *message, size_t len)
{
	struct exchange *x = srv->borrower;

	return !x->is_session && listen_notification(x, message, len);
}

static bool
on_parameter(struct server *srv, const char *name, const char *value, bool is_passed)
{
	struct exchange *x = srv->borrower;

	if (strcasecmp(name, "default_transaction_read_only") == 0) {
		/* a failed request has not set the parameter */
		bool is_failed = srv->loan.tag_text[0] == '\0' && srv->tx == 'I';

		/* If this client's request has not set the parameter, the operator has, and the server is no primary
		 * any more. So the server is closed when it is returned. */
		if (x != NULL && (is_failed || (srv->loan.tag.flags & TAG_SETS_NOTHING) != 0) &&
		    strcmp(value, "on") == 0 && loss_needs_primary(x))
			server_condemn(srv, SERVER_MISPLACED);
		if (srv->fitness == SERVER_MISPLACED)
			return true;
	}
	if (x != NULL && x->session != NULL && is_passed && state_hides_parameter(x, name))
		return true;
	if (x == NULL || !is_passed || !exchange_is_relayed(x) || guc_describes_server(name))
		return false;
	if (strcasecmp(name, "client_encoding") == 0)
		state_note_encoding_change(x, value);
	if (srv->loan.commit.is_on)
		commit_check_keep_settings(x);
	if (gucs_update(&x->gucs, name, value, GUC_REPORTED) < 0)
		exchange_break_later(x);
	return false;
}

/* Returns true if other clients wait for a server, this client has had its turn on srv, and giving srv back does not
 * close it. Without this function, a client whose next request comes while pgweir asks the server about the last one
 * could keep the server forever. */
static bool
is_others_turn(struct exchange *x, const struct server *srv)
{
	return srv->loan.last_done_us > srv->loan.lent_us && policy_has_unserved_waiters(pool_of(srv)->policy) &&
	       (state_risk_of_loan(x) & STATE_BACKEND) == 0;
}

bool
relay_resume_held(struct exchange *x)
{
	if (x->is_closing)
		return false;
	exchange_step(x, CE_ANSWERED);
	stream_set_reading(&x->stream, true);
	if (x->srv != NULL && (x->srv->loan.has_foreign_plans || x->srv->loan.standby != 0 || state_must_ask_first(x) ||
			       ledger_has_ahead(&x->srv->ledger) || ledger_owes_nobody(&x->srv->ledger) ||
			       x->srv->fitness != SERVER_FIT || is_others_turn(x, x->srv)))
		relay_try_release(x); /* the held messages may need another server, or a question before them */
	exchange_handle_pending(x, relay_bytes);
	return exchange_has_server(x);
}

static void
resume_waiting(struct exchange *x, const struct server *srv)
{
	if (x->state == CL_RETRYING && srv->ledger.count == 0)
		exchange_ignore_result(retry_now(x));
	if (x->state == CL_HELD) /* before the server is given back, because the held message may wait for
				    settings that are being replayed on this server */
		exchange_ignore_result(relay_resume_held(x));
}

/*
 * Closes the client and returns true if the client has sent a Parse or Close within COPY IN. PostgreSQL ends a
 * connection that sends one. pgweir was going to answer the message without sending it: then PostgreSQL would wait for
 * the end of the COPY, and the client for the reply.
 */
__attribute__((cold)) static bool
close_broken_copy(struct exchange *x, struct server *srv)
{
	struct fail why;

	if (srv->ledger.count < 2 || ledger_at(&srv->ledger, 1)->kind < OWED_LOCAL_PARSE)
		return false;
	fail_set(&why, "08P01", "unexpected message type during COPY from stdin");
	server_condemn(srv, SERVER_IN_DOUBT);
	exchange_close(x, &why);
	return true;
}

/*
 * Returns true if the server is to be given back before its replies are sent, because another client waits for the
 * server, and the send takes longer than all other work that is left. The client must have nothing queued, and get
 * nothing else before these replies. The replies must lie in the read buffer, which the next borrower's request does
 * not use.
 */
static inline bool
gives_back_first(const struct exchange *x, const struct server *srv)
{
	const struct outbox *o = &x->env->to_client;

	return policy_has_waiters(pool_of(srv)->policy) && srv->ledger.count == 0 && srv->tx == 'I' &&
	       x->state == CL_READY && o->to == &x->stream && outbox_is_one(o) && o->total <= SENT_LAST_MAX &&
	       stream_queued_len(&x->stream) == 0 && srv->stream.tls == NULL && !x->is_session && x->listen == NULL &&
	       x->pending_len == 0 && !x->pool->is_orphan && !x->env->is_draining && !x->env->is_moving;
}

static void
on_batch_end(struct server *srv)
{
	struct exchange *x = srv->borrower;
	struct exchange_env *env;
	struct iovec replies;
	bool is_given_back;

	if (x == NULL) { /* the client left while its replies were walked */
		if (srv->loan.end == LOAN_NOT_EXECUTED)
			pool_clean(srv, true, WASH_PLANS, *srv->env->now_us);
		else
			server_close(srv);
		return;
	}
	env = x->env;
	if (x->state == CL_WELCOME) {
		if (srv->ledger.count == 0)
			x->env->ops->login_server_done(x);
		return;
	}
	is_given_back = gives_back_first(x, srv);
	if (is_given_back)
		replies = outbox_take(&env->to_client);
	else if (env->to_client.to == &x->stream && outbox_flush(&env->to_client) < 0) {
		exchange_out_of_memory(x);
		return;
	}
	if (srv->loan.clock.has_passed_reply)
		srv->loan.sent.state = SENT_ANSWERED;
	report_flushed(x, srv);
	if (srv->loan.commit.question == MARK_DUE)
		commit_check_ask(x);
	if (srv->ledger.copy == COPY_IN && close_broken_copy(x, srv))
		return;
	if (stream_is_full(&x->stream)) {
		stream_set_reading(&srv->stream, false);
		exchange_stall(x); /* else the client could send requests forever and read no reply */
	}
	if (x->reading == EXCHANGE_STALLED)
		relay_unstall(x);
	/* During a cancel, the client must wait until the cancel has ended. A client whose server ends never goes
	 * on. */
	if (query_timeout_is_cancelling(srv))
		exchange_stall(x); /* the replies may have ended a COPY */
	else if (srv->loan.end != LOAN_END_FATAL_SENT)
		resume_waiting(x, srv);
	relay_try_release(x);
	if (is_given_back && !x->is_closing && stream_write(&x->stream, &replies, 1) < 0)
		exchange_out_of_memory(x);
	if (x->listen != NULL)
		exchange_ignore_result(listen_flush(x)); /* sends notifications that came while a reply was owed */
}

/* Handles the answer to settings that were sent without other messages. If they were refused, closes the client; the
 * server then has the settings that it had before. */
static void
settings_done(struct exchange *x, struct server *srv)
{
	struct fail why;

	if (state_is_refused(x, &why)) {
		exchange_close(x, &why);
		return;
	}
	gucs_move(&srv->gucs, gucs_ref(x->gucs));
	if (x->pool->refused == x->gucs) {
		gucs_unref(x->pool->refused);
		x->pool->refused = NULL;
	}
}

static void
on_own_done(struct server *srv, enum owed_to to)
{
	if (to == OWED_TO_GUCS && srv->loan.held_behind_ours == ALL_BEHIND_REFUSED_SETTINGS)
		settings_done(srv->borrower, srv);
	/* The standby has said if it has replayed the position that the client needs. */
	if (to == OWED_TO_REPLAY && !relay_check_replayed(srv->borrower))
		loss_handle_lag(srv);
}

static void
on_drained(struct server *srv)
{
	struct exchange *x = srv->borrower;

	if (x == NULL)
		return;
	report_drained(x, srv);
	relay_unstall(x);
}

static bool
on_no_such_pid(struct server *srv, uint32_t pid)
{
	struct exchange *x = srv->borrower;
	const struct loan *loan = &srv->loan;

	return x != NULL && !loan->is_text_spent &&
	       text_contains((const char *)loan->text, loan->text_len, "pg_cancel_backend") &&
	       x->env->ops->cancel_client_of_pid(x, pid);
}

const struct server_ops relay_server_ops = {
	.pass = on_pass,
	.request_done = on_request_done,
	.settled = on_settled,
	.answer_local = on_answer_local,
	.described = statements_described,
	.error = on_error,
	.decide_rerun = on_late_error,
	.complete = relay_completed,
	.parameter = on_parameter,
	.commit_row = commit_check_row,
	.commit_answered = commit_check_question_done,
	.own_done = on_own_done,
	.probe_row = state_probe_row,
	.probe_done = state_probe_done,
	.no_such_pid = on_no_such_pid,
	.parse_noticed = statements_note_parse_notice,
	.ending = relay_ending,
	.notification = on_notification,
	.batch_end = on_batch_end,
	.lost = relay_lost,
	.drained = on_drained,
};
