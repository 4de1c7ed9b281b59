/*
 * src/relay/replies.c - the replies of a server that a client has borrowed.
 *
 * server_replies.c walks them and hands over the client's. At the end of a batch they are sent, and the server is
 * returned if nothing is owed, no transaction is open, no message of the client is half sent, no cancel is under way
 * and nothing pins it (relay_try_release).
 */
#include "exchange/exchange.h"
#include "relay/commit_check.h"
#include "relay/exclusive.h"
#include "relay/features.h"
#include "relay/late.h"
#include "relay/loss.h"
#include "relay/relay.h"
#include "exchange/report.h"
#include "relay/retry.h"
#include "state/state.h"
#include "statements/statements.h"
#include "listen/listen.h"
#include "sql/scan.h"
#include "wire/messages.h"

#include <string.h>
#include <strings.h>

static void
on_pass(struct server *srv, const uint8_t *bytes, size_t len)
{
	struct exchange *x = srv->borrower;

	if (x->is_closing || !exchange_is_ready(x))
		return;
	exchange_begin_batch(x->env, &x->env->to_client, &x->stream);
	outbox_ref(&x->env->to_client, bytes, len);
	srv->loan.bytes_to_client += len;
	srv->loan.clock.has_passed = true;
	x->pool->database->counters.bytes_out[NS_CLIENT] += len;
	x->pool->database->counters.bytes_in[NS_SERVER] += len;
}

/* In pool_mode = statement: the request has left a transaction open. */
__attribute__((cold)) static void
broke_statement_mode(struct exchange *x, struct server *srv)
{
	struct fail why;

	fail_set(&why, "0A000", "transaction blocks are not possible in pool_mode = statement");
	fail_theirs(&why, "transaction blocks not allowed in statement pooling mode");
	fail_hint(&why, "Set pool_mode = transaction for this database or user.");
	srv->is_closing = true;
	exchange_close(x, &why);
}

/* A transaction that may have run DDL has ended; is_done: it was not rolled back. Only now others can see its DDL. */
static void
ddl_is_over(struct exchange *x, bool is_done)
{
	struct loan *loan = &x->srv->loan;

	if (loan->has_ddl && !is_done)
		server_statements_outdate(&x->srv->statements); /* they may be of the DDL that was rolled back */
	else if (loan->has_changed_plans)
		statement_home_renew(x->pool->home);
	loan->has_ddl = loan->has_changed_plans = false;
	loan->has_local_settings =
	    loan->has_local_settings && x->srv->ledger.count > 0; /* set by requests that are under way */
}

static void
transaction_is_over(struct exchange *x, struct server *srv)
{
	ddl_is_over(x, srv->loan.tag.id != TAG_ROLLBACK);
	if (srv->loan.has_changed_code) { /* until now only this client saw the change */
		pool_code_changed(x->pool, srv->loan.has_made_code);
		srv->loan.has_changed_code = srv->loan.has_made_code = false;
	}
}

static bool
on_request_done(struct server *srv, const struct owed *ended)
{
	struct exchange *x = srv->borrower;

	x->requests_done++;
	if (srv->tx != 'I' && x->settings->pool_mode == POOL_MODE_STATEMENT) {
		broke_statement_mode(x, srv);
		return false;
	}
	if (srv->tx == 'I' && (srv->loan.has_ddl || srv->loan.has_changed_plans || srv->loan.has_local_settings ||
			       srv->loan.has_changed_code))
		transaction_is_over(x, srv);
	srv->loan.drops = srv->loan.skips = 0;
	return features_request_done(x, ended);
}

/* A message of pgweir's own. */
__attribute__((noinline)) static void
own_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	if (o->to == OWED_TO_FEATURE) {
		if (srv->borrower != NULL)
			exclusive_settled(srv->borrower, o, how);
	} else if (o->to == OWED_TO_IMAGE)
		session_discard_settled(srv, how);
	else if (o->kind == OWED_EXECUTE)
		session_prepare_settled(srv, o, how);
	else
		statements_settled(srv, o, how);
}

static void
on_settled(struct server *srv, const struct owed *o, enum owed_end how)
{
	if (o->to == OWED_TO_CLIENT && o->kind != OWED_EXECUTE)
		statements_settled(srv, o, how);
	else
		own_settled(srv, o, how);
}

static void
on_local(struct server *srv, const struct owed *o)
{
	struct exchange *x = srv->borrower;

	srv->loan.is_shown = true;
	if (x != NULL && !x->is_closing)
		exchange_answer(x, o->kind == OWED_LOCAL_PARSE ? "1\0\0\0\4" : "3\0\0\0\4", 5);
}

/* The client's settings could not be replayed: the replies to the messages behind them must not be passed. */
static void
image_failed(struct exchange *x, struct server *srv, const struct error_fields *e)
{
	struct fail why;

	fail_set(&why, e->sqlstate != NULL ? e->sqlstate : "XX000", "%s",
		 e->message != NULL ? e->message : "(no message)");
	fail_detail(&why, "pgweir was setting this session's parameters on another server connection.");
	srv->is_closing = true;
	exchange_close(x, &why);
}

/*
 * The statement that it was for is gone already. DEALLOCATE alone names statements, and has a Sync of its own; whatever
 * else fails takes the client's message behind it along.
 */
static bool
is_needless_deallocate(const struct server *srv, const struct error_fields *e)
{
	const struct owed *next = ledger_head(&srv->ledger);

	return next != NULL && next->kind == OWED_SYNC && next->to == OWED_TO_IMAGE && e->sqlstate != NULL &&
	       strcmp(e->sqlstate, "26000") == 0;
}

/* The client does not get this error: on_lost sends it the part that concerns it. */
static void
end_server(struct server *srv, const struct error_fields *e)
{
	struct fail why;

	fail_set(&why, e->sqlstate != NULL ? e->sqlstate : "08006", "PostgreSQL at %s %s: %s", srv->address,
		 fields_error_is_fatal(e)     ? "ended the connection"
		 : srv->loan.commit.is_broken ? "has failed to answer what it was asked about a transaction"
		 : srv->loan.is_not_executed  ? "has not executed a request"
					      : "sent an error where nothing was due",
		 e->message != NULL ? e->message : "(no message)");
	server_fail(srv, &why);
}

static bool
on_error(struct server *srv, const struct error_fields *e, enum owed_to to, bool is_error_owed, const uint8_t *message,
	 size_t len)
{
	struct exchange *x = srv->borrower;
	bool is_fatal = fields_error_is_fatal(e), is_ours;
	enum loss loss;

	srv->is_closing = srv->is_closing || is_fatal;
	if (x == NULL)
		return false;
	is_ours = is_error_owed && to != OWED_TO_CLIENT && to != OWED_TO_STATEMENT;
	if (is_ours && e->sqlstate != NULL && strcmp(e->sqlstate, "57014") == 0)
		srv->loan.is_ours_cancelled = true;
	loss = loss_of(x, srv, e->sqlstate, is_error_owed);
	if (e->sqlstate != NULL && x->pool != NULL && loss_of_primary(x, e->sqlstate)) {
		srv->is_closing = srv->is_misplaced = true;
		policy_distrust(x->pool->policy, *x->env->now_us);
	}
	srv->loan.is_not_executed = loss == LOSS_NOT_EXECUTED;
	srv->is_owed_listed = is_fatal && loss == LOSS_OF_COMMIT;
	if (loss == LOSS_NOT_EXECUTED || (is_fatal ? is_ours || loss_keeps_client(loss) : !is_error_owed)) {
		end_server(srv, e);
		return true;
	}
	if (is_fatal)
		listen_ready_now(x);
	if (x->state == CL_WELCOME) {
		srv->is_end_logged = true;
		x->env->ops->login_server_error(x, e);
		return true;
	}
	if (to == OWED_TO_IMAGE) {
		if (!is_needless_deallocate(srv, e))
			image_failed(x, srv, e);
		return true;
	}
	if (to == OWED_TO_PROBE) {
		session_probe_failed(x);
		return true;
	}
	if (to == OWED_TO_COMMIT && commit_check_failed(srv, e->sqlstate)) {
		end_server(srv, e);
		return true;
	}
	if (to == OWED_TO_FEATURE || to == OWED_TO_COMMIT)
		return true;
	if (to == OWED_TO_PREPARE) {
		session_keep_error(x, e->sqlstate, message, len);
		return true;
	}
	return features_error(x, e, message, len);
}

/* Returns true if the DROP ... IF EXISTS that has ended found nothing of what it names. */
static bool
drops_nothing(struct loan *loan)
{
	bool is_nothing = loan->drops > 0 && loan->skips == loan->drops;

	loan->drops = loan->skips = 0;
	return is_nothing;
}

/*
 * After CREATE, ALTER or DROP the statements of this server are outdated now, and those of other servers when the DDL
 * is committed. A temporary view does not concern others, and a temporary table hides another one on this server only.
 */
static void
note_ddl(struct server *srv)
{
	struct loan *loan = &srv->loan;
	bool makes_temp = (loan->suspicion & SCAN_TEMP) != 0 && (loan->tag.flags & TAG_IS_CREATE) != 0;
	bool is_select = loan->tag.id == TAG_SELECT;
	bool changes_plans = (loan->tag.flags & TAG_CHANGES_PLANS) != 0;

	if ((is_select && loan->has_ddl) || (loan->tag.id == TAG_DROP && drops_nothing(loan)))
		return;
	loan->has_ddl = true;
	if (makes_temp || is_select || changes_plans)
		server_statements_outdate(&srv->statements);
	if (!makes_temp && changes_plans)
		loan->has_changed_plans = true;
}

/* Notes that functions may have changed, or what calls one. DDL in a DO block has no tag of its own. */
static void
note_code(struct exchange *x, struct server *srv)
{
	struct loan *loan = &srv->loan;
	bool has_made = (loan->tag.flags & TAG_MAKES_CODE) != 0 ||
			((loan->tag.flags & TAG_MAKES_TYPE) != 0 && (loan->suspicion & SCAN_TEMP) == 0 &&
			 database_code_minds_types(&x->pool->database->code));

	loan->has_changed_code = true;
	loan->has_made_code = loan->has_made_code || has_made;
	pool_code_changed(x->pool, has_made);
}

/* Startup settings are the client's defaults, and RESET has undone them: they are replayed before the next loan. */
static void
note_reset(struct exchange *x, struct server *srv)
{
	if (!x->is_session && !exchange_is_followed(x) && image_doubt(&srv->image) < 0)
		srv->is_closing = true;
}

/* Handles the commands that something depends on. */
__attribute__((noinline)) static bool
complete_rarer(struct exchange *x, struct server *srv)
{
	struct tag tag = srv->loan.tag;

	switch ((enum tag_id)tag.id) {
	case TAG_DEALLOCATE:
		statements_deallocated(x);
		break;
	case TAG_DEALLOCATE_ALL:
		statements_deallocated_all(x);
		session_deallocated_all(x);
		break;
	case TAG_DISCARD_ALL:
		statements_deallocated_all(x);
		session_discarded(x);
		break;
	case TAG_COMMIT:
		ddl_is_over(x, true);
		break;
	case TAG_COMMIT_PREPARED:
		statement_home_renew(x->pool->home);
		break;
	case TAG_ROLLBACK:
		srv->loan.has_rolled_back = true;
		break;
	case TAG_RESET:
		note_reset(x, srv);
		break;
	default:
		break;
	}
	if ((tag.flags & TAG_IS_DDL) != 0 || tag.id == TAG_SELECT) /* one that made a table */
		note_ddl(srv);
	if ((tag.flags & TAG_CHANGES_CODE) != 0)
		note_code(x, srv);
	if ((tag.flags & TAG_IS_OF_DATABASE) != 0)
		pool_set_databases_changed(x->pool->set);
	return listen_complete(x, tag);
}

/* Returns true for the commonest commands, which nothing here depends on. */
static inline bool
is_everyday(const struct loan *loan)
{
	return (loan->tag.flags & TAG_IS_QUIET) != 0 &&
	       (loan->tag.id != TAG_SELECT || (loan->suspicion & SCAN_TEMP) == 0);
}

/* Keeps the tag, of len bytes and a zero byte. Most are copied as two words, which overlap. */
static inline void
keep_tag(struct loan *loan, const char *text, size_t len)
{
	if (len >= 7 && len < 16) {
		memcpy(loan->tag_text, text, 8);
		memcpy(loan->tag_text + len - 7, text + len - 7, 8);
	} else {
		size_t kept = len < sizeof(loan->tag_text) ? len : sizeof(loan->tag_text) - 1;

		memcpy(loan->tag_text, text, kept);
		loan->tag_text[kept] = '\0';
	}
	loan->tag = tag_read(text);
}

static bool
on_complete(struct server *srv, const char *text, size_t len)
{
	struct exchange *x = srv->borrower;
	struct loan *loan = &srv->loan;

	keep_tag(loan, text, len);
	if (loan->commit.is_on)
		commit_check_completed(x, loan->tag);
	if (!is_everyday(loan))
		return complete_rarer(x, srv);
	return x->listen != NULL && listen_complete(x, loan->tag);
}

/* In session mode the client listens on its own server. */
static bool
on_notification(struct server *srv, const uint8_t *message, size_t len)
{
	struct exchange *x = srv->borrower;

	return !x->is_session && listen_notification(x, message, len);
}

/*
 * default_transaction_read_only was reported, and it was not this client that has set it: the operator has, to make a
 * primary one no longer. The server is closed when it is returned.
 */
static bool
is_of_operator(const struct exchange *x, struct server *srv, const char *value)
{
	bool sets_nothing = (srv->loan.tag.flags & TAG_SETS_NOTHING) != 0;

	if (x != NULL && x->pool != NULL && sets_nothing && strcmp(value, "on") == 0 && loss_of_primary(x, "25006"))
		srv->is_closing = srv->is_misplaced = true;
	return srv->is_misplaced;
}

static bool
on_parameter(struct server *srv, const char *name, const char *value, bool is_passed)
{
	struct exchange *x = srv->borrower;

	if (strcasecmp(name, "default_transaction_read_only") == 0 && is_of_operator(x, srv, value))
		return true;
	if (x != NULL && x->session != NULL && is_passed && session_hides_parameter(x, name))
		return true;
	if (x == NULL || !is_passed || !exchange_is_ready(x) || image_is_read_only(name))
		return false;
	if (strcasecmp(name, "client_encoding") == 0)
		session_encoding_changed(x);
	if (srv->loan.commit.is_on)
		commit_check_setting(x);
	if (image_update(&x->image, name, value, IMAGE_REPORTED) < 0)
		exchange_out_of_memory(x);
	return false;
}

/* Something was answered, perhaps what the held message of a CL_HELD waits for; if not, it is held again. */
static void
resume_held(struct exchange *x)
{
	if (x->is_closing)
		return;
	client_step(x, CE_ANSWERED);
	stream_set_reading(&x->stream, true);
	if (x->srv != NULL && (x->srv->loan.is_unsuited || session_must_ask_first(x)))
		relay_try_release(x); /* what was held is run on another server, or behind a question */
	exchange_replay(x, relay_bytes);
}

static void
resume_waiting(struct exchange *x, const struct server *srv)
{
	if (x->state == CL_RETRYING && srv->ledger.count == 0)
		retry_now(x);
	if (x->state ==
	    CL_HELD) /* before a release: it may have waited for the replay of its settings on this server */
		resume_held(x);
}

/*
 * PostgreSQL ends a connection that sends a Parse or Close within COPY IN. This one was never sent, since pgweir
 * answers it: PostgreSQL would wait for the end of the COPY, and the client for the reply.
 */
static bool
breaks_copy(const struct ledger *l)
{
	return l->copy == COPY_IN && l->count >= 2 && ledger_at(l, 1)->kind >= OWED_LOCAL_PARSE;
}

__attribute__((cold)) static void
broke_copy(struct exchange *x, struct server *srv)
{
	struct fail why;

	fail_set(&why, "08P01", "unexpected message type during COPY from stdin");
	srv->is_closing = true;
	exchange_close(x, &why);
}

static void
on_batch_end(struct server *srv)
{
	struct exchange *x = srv->borrower;
	struct exchange_env *env;

	if (x == NULL) { /* the client left while its replies were walked */
		server_close(srv);
		return;
	}
	env = x->env;
	if (x->state == CL_WELCOME) {
		if (srv->ledger.count == 0)
			x->env->ops->login_server_done(x);
		return;
	}
	if (env->to_client.to == &x->stream && outbox_flush(&env->to_client) < 0) {
		exchange_out_of_memory(x);
		return;
	}
	srv->loan.is_shown = srv->loan.is_shown || srv->loan.clock.has_passed;
	report_flushed(x, srv);
	if (srv->loan.commit.is_due)
		commit_check_ask(x);
	if (breaks_copy(&srv->ledger)) {
		broke_copy(x, srv);
		return;
	}
	if (stream_is_full(&x->stream)) {
		stream_set_reading(&srv->stream, false);
		stream_set_reading(&x->stream, false); /* or it could send requests forever and read no reply */
		x->is_stalled = true;
	}
	if (x->is_stalled)
		relay_unstall(x);
	if (!late_is_cancelling(srv)) /* else this comes once more when it is over */
		resume_waiting(x, srv);
	relay_try_release(x);
	if (x->listen != NULL)
		listen_flush(x); /* notifications that came while something was owed */
}

/*
 * The client's server has ended, but had nothing of the client's: the client will get another one. If the client may
 * have changed its session in a way that only that server knew, its next request will be answered with FATAL. Returns
 * false if the client must be sent the error now.
 */
static bool
goes_on(struct exchange *x, const struct fail *why, bool is_dirty)
{
	if (is_dirty && (x->state == CL_HELD || session_lose(x, why) < 0))
		return false;
	x->ticket.idle_since_us = *x->env->now_us;
	relay_unstall(x);
	if (x->state == CL_HELD)
		resume_held(x);
	return true;
}

/* What it has sent meanwhile, or sends next, is answered with an error. */
static void
rolled_back(struct exchange *x)
{
	x->ticket.idle_since_us = *x->env->now_us;
	x->is_committing = false;
	x->is_rolled_back = true;
	relay_unstall(x);
	if (x->state == CL_HELD)
		commit_check_refuse(x);
}

static void
end_with_server(struct exchange *x, const struct server *srv, const struct fail *why, const struct fail *logged)
{
	struct exchange_env *env = x->env;

	env->is_end_untold = srv->is_loss_untold;
	env->ops->close(x, why, logged);
	env->is_end_untold = false;
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

static void
unlink_lost(struct exchange *x, struct server *srv, enum loss loss)
{
	if (loss != LOSS_OF_NOTHING)
		listen_ready_now(x);
	listen_unlinked(x, srv);
	session_stop_lingering(x);
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
		session_undo_reports(x, srv->loan.commit.before);
		rolled_back(x);
		return true;
	case LOSS_OF_NOTHING:
		return goes_on(x, why, is_dirty);
	default:
		return false;
	}
}

static void
on_lost(struct server *srv, const struct fail *why)
{
	struct exchange *x = srv->borrower;
	struct fail shown = *why;
	bool is_sent = true, is_dirty, is_bound;
	enum loss loss;

	if (x == NULL)
		return;
	loss = loss_of(x, srv, why->sqlstate, srv->was_owing);
	if (loss == LOSS_NOT_EXECUTED)
		loss_take_back(x);
	else
		is_sent = show_rest(x, srv);
	if (exchange_is_ready(x) && loss >= LOSS_ROLLED_BACK && (srv->was_owing || srv->tx != 'I')) {
		srv->has_cost = true;
		report_failure(x, why, RF_BACKEND_LOST, "backend_lost");
	}
	is_dirty = exchange_is_ready(x) && session_is_dirty(x);
	is_bound =
	    is_dirty || x->is_session || x->listen != NULL || statements_hold_server(x) || statements_are_exposed(x);
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
	if (srv->loan.is_end_told || (srv->body_left > 0 && !srv->is_body_swallowed)) {
		server_last_words(srv, &shown);
		srv->is_end_logged = true;
		end_with_server(x, srv, NULL, &shown);
		return;
	}
	if (shown.hint[0] == '\0')
		fail_hint(&shown, "The transaction that was open, if any, is lost. Connect again.");
	if ((is_sent || loss == LOSS_OF_COMMIT || loss == LOSS_ROLLED_BACK) &&
	    outlives(x, srv, loss, &shown, is_dirty, is_bound))
		return;
	srv->is_end_logged = true;
	end_with_server(x, srv, &shown, &shown);
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

	return x != NULL && x->env->ops->no_such_pid(srv, pid);
}

const struct server_ops relay_server_ops = {
	on_pass,	   on_request_done,    on_settled,     on_local,	 statements_described,
	on_error,	   on_complete,	       on_parameter,   commit_check_row, commit_check_asked,
	session_probe_row, session_probe_done, on_no_such_pid, on_notification,	 on_batch_end,
	on_lost,	   on_drained
};
