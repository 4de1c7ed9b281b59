/* src/commit_check/commit_doubt.c - answers a COMMIT that is in doubt; see commit_check.h. */
#include "commit_check/commit_check.h"
#include "exchange/report.h"
#include "commit_check/fate_asker.h"
#include "state/state.h"
#include "statements/unnamed.h"
#include "wire/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The fate of the session after the COMMIT. */
enum doubt_session {
	SESSION_STAYS,
	SESSION_LOST_IF_ANSWERED, /* lost if COMMIT AND CHAIN gets a tag: another transaction would be open */
	SESSION_LOST
};

/* A client whose COMMIT is in doubt. */
struct commit_doubt {
	struct fate_question question; /* must be first */
	struct exchange *x;
	struct fail shown; /* the error with which the client is closed; unused if the session stays */
	/* the settings from before the transaction; NULL if the transaction has changed no reported setting */
	struct gucs *before;
	uint64_t since_us;
	uint64_t server_id;
	uint8_t owed[SERVER_OWED_MAX];
	size_t owed_count; /* at most SERVER_OWED_MAX; if more is owed, it is_partial */
	bool is_asked; /* the question is under way; set and cleared by commit_doubt.c */
	bool is_partial; /* is_partial() is true, or `owed` was too small; set by new_doubt(), never cleared */
	uint8_t session; /* enum doubt_session */
	/* enum loan_undone: the worst result since the last ReadyForQuery; if UNDONE_NOTHING, only an error needs
	 * `before`; if UNDONE_FAILED, messages up to a Sync are skipped */
	uint8_t undone;
	char server[SERVER_ADDRESS_MAX];
};

bool
commit_check_is_in_doubt(const struct exchange *x, const struct server *srv)
{
	return srv->loan.commit.phase >= COMMIT_SENT && exchange_is_relayed(x) && !x->is_closing;
}

/* Appends the replies that the client still waits for. tag: see answer_commit() */
static void
put_replies(const struct commit_doubt *d, bool is_answered_already, const char *tag, struct buf *b)
{
	/* Replies without a body. */
	static const uint8_t bare[UINT8_MAX + 1] = {
		[OWED_PARSE] = '1',	      [OWED_LOCAL_PARSE] = '1', [OWED_BIND] = '2',
		[OWED_DESCRIBE_PORTAL] = 'n', [OWED_CLOSE] = '3',	[OWED_LOCAL_CLOSE] = '3'
	};

	for (size_t i = 0; i < d->owed_count; i++) {
		uint8_t kind = d->owed[i];

		if (bare[kind] != 0)
			message_put(b, bare[kind], NULL, 0);
		if (kind == OWED_EXECUTE || (kind == OWED_QUERY && !is_answered_already))
			message_complete(b, tag);
		if (kind == OWED_QUERY || kind == OWED_SYNC)
			/* the state that the client knows */
			message_ready(b, d->x->block >= EXCHANGE_ROLLED_BACK ? 'E' : 'I');
	}
}

static bool
has_owed(const struct commit_doubt *d, enum owed_kind kind)
{
	for (size_t i = 0; i < d->owed_count; i++)
		if (d->owed[i] == kind)
			return true;
	return false;
}

/* Returns true if a reply is owed that put_replies() can't make, or that is not the COMMIT's. OWED_DUPLICATE is the
 * reply to a Parse whose name is taken: this Parse has probably failed, so the COMMIT was skipped. */
static bool
is_partial(const struct commit_doubt *d, bool is_simple)
{
	unsigned runs = 0, ends = 0;

	for (size_t i = 0; i < d->owed_count; i++) {
		runs += d->owed[i] == OWED_QUERY || d->owed[i] == OWED_EXECUTE;
		ends += d->owed[i] == OWED_QUERY || d->owed[i] == OWED_SYNC;
		if (d->owed[i] == OWED_DESCRIBE_STATEMENT || d->owed[i] == OWED_FUNCTION ||
		    d->owed[i] == OWED_DUPLICATE || (is_simple && d->owed[i] != OWED_QUERY) ||
		    (d->owed[i] == OWED_SYNC && i + 1 < d->owed_count))
			return true;
	}
	return runs > 1 || ends > 1;
}

/* Lets the client go on with later messages or, if is_failed_within, with the rest of the request that has failed. */
static void
go_on(struct exchange *x, bool is_failed_within)
{
	x->rejecting_to = 'S';
	exchange_step(x, is_failed_within ? CE_REFUSED : CE_ANSWERED);
	x->waiter.idle_since_us = *x->env->now_us;
	stream_set_reading(&x->stream, true);
	exchange_handle_pending(x, x->env->ops->handle_bytes);
}

static void
log_fate(const struct commit_doubt *d, enum commit_fate fate, const char *reason)
{
	static const char *const words[] = { [FATE_COMMITTED] = "was committed",
					     [FATE_ROLLED_BACK] = "was rolled back",
					     [FATE_UNKNOWN] = "may have been committed or not" };
	const struct exchange *x = d->x;
	struct log_about about = { .event = "commit_checked",
				   .client_id = x->waiter.id,
				   .user = exchange_user(x),
				   .database = x->pool->database->name,
				   .application = exchange_application(x),
				   .server_id = d->server_id,
				   .server = d->server,
				   .duration_us = *x->env->now_us - d->since_us,
				   .reason = reason };

	log_event(x->env->log, fate == FATE_UNKNOWN ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, &about,
		  "client %llu: server %llu (%s) was lost during a COMMIT: the transaction %s (%s)",
		  (unsigned long long)x->waiter.id, (unsigned long long)d->server_id, d->server, words[fate], reason);
}

static void
make_fate_error(enum commit_fate fate, const char *reason, struct fail *why)
{
	if (fate == FATE_COMMITTED) {
		fail_set(why, "08007",
			 "the transaction was committed, but other replies were lost with its connection");
		fail_hint(why, "Do not run it again.");
	} else if (fate == FATE_ROLLED_BACK)
		exchange_fail_rolled_back(why, reason);
	else {
		fail_set(why, "08007",
			 "the connection to PostgreSQL was lost during COMMIT, and it is not known whether the "
			 "transaction was committed");
		fail_detail(why, "What is known of it: %s.", reason);
		fail_hint(why, "Check in the database whether its changes are there before you run it again.");
	}
}

/* Answers the COMMIT with the error `why` or, if that is NULL, with tag. If is_answered_already, only the replies after
 * the COMMIT's answer are missing; tag is then not sent, and is NULL if the COMMIT was skipped. */
static void
answer_commit(struct exchange *x, struct commit_doubt *d, bool is_answered_already, const char *tag,
	      const struct fail *why)
{
	bool is_ended = has_owed(d, OWED_SYNC) || has_owed(d, OWED_QUERY);
	bool is_session_lost =
	    d->is_partial || d->session == SESSION_LOST || (tag != NULL && d->session == SESSION_LOST_IF_ANSWERED);
	bool is_failed_within = !is_ended && (why != NULL || d->undone == UNDONE_FAILED);
	struct fail shown = d->shown;
	struct buf b = { 0 };

	if (why != NULL || d->undone != UNDONE_NOTHING)
		state_undo_reports(x, d->before);
	if (why != NULL) {
		report_failure(x, why, RF_BACKEND_LOST, "backend_lost");
		report_count_error(x->pool, EO_PROXY, why->sqlstate);
		if (d->is_partial)
			shown = *why;
		else {
			message_error(&b, "ERROR", why);
			if (is_ended)
				message_ready(&b, 'I');
		}
	} else
		put_replies(d, is_answered_already, tag, &b);
	if (has_owed(d, OWED_QUERY) || has_owed(d, OWED_PARSE))
		statements_forget_unnamed(x);
	gucs_unref(d->before);
	free(d);
	x->rare->doubt = NULL;
	x->requests_done++;
	if (b.len > 0 || !buf_ok(&b))
		exchange_send(x, &b);
	buf_fini(&b);
	if (x->env->is_draining && !x->env->keeps_idle_clients) {
		fail_set(&shown, "57P01", "pgweir is shutting down");
		is_session_lost = true;
	}
	if (is_session_lost)
		exchange_close(x, &shown);
	else
		go_on(x, is_failed_within);
}

static void
answer_by_fate(struct commit_doubt *d, enum commit_fate fate, const char *reason)
{
	struct exchange *x = d->x;
	struct fail why;

	x->pool->database->counters.commits_checked[fate - FATE_COMMITTED]++;
	log_fate(d, fate, reason);
	if (fate == FATE_COMMITTED && !d->is_partial) {
		answer_commit(x, d, false, "COMMIT", NULL);
		return;
	}
	make_fate_error(fate, reason, &why);
	answer_commit(x, d, false, NULL, &why);
}

static void
on_fate(struct fate_question *q, enum commit_fate fate, const char *reason)
{
	struct commit_doubt *d = (struct commit_doubt *)q;

	d->is_asked = false;
	answer_by_fate(d, fate, reason);
}

static struct commit_doubt *
new_doubt(struct exchange *x, const struct server *srv, const struct fail *shown, bool is_session_lost)
{
	const struct loan_commit *c = &srv->loan.commit;
	struct commit_doubt *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->x = x;
	d->shown = *shown;
	d->since_us = *x->env->now_us;
	d->server_id = srv->id;
	memcpy(d->server, srv->address, sizeof(d->server));
	memcpy(d->owed, srv->owed, sizeof(d->owed));
	d->owed_count = srv->owed_count < SERVER_OWED_MAX ? srv->owed_count : SERVER_OWED_MAX;
	d->is_partial = srv->owed_count > SERVER_OWED_MAX || is_partial(d, c->form == COMMIT_IN_QUERY);
	d->undone = c->undone;
	if (c->outlook == OUTLOOK_FAILED && c->undone == UNDONE_NOTHING)
		d->undone = UNDONE_TRANSACTION;
	d->before = c->before == NULL ? NULL : gucs_ref(c->before);
	/* After the loss, a named statement that the COMMIT's request has prepared would be missing, and a named
	 * statement that the request has closed might still exist. */
	is_session_lost = is_session_lost || (c->form == COMMIT_OF_NAMED && has_owed(d, OWED_PARSE)) ||
			  has_owed(d, OWED_CLOSE) || has_owed(d, OWED_LOCAL_CLOSE);
	/* If some reported settings were SET LOCAL, only PostgreSQL knows which of them the COMMIT takes back. */
	is_session_lost = is_session_lost || (c->before != NULL && srv->loan.local != LOCAL_NOTHING);
	d->session = is_session_lost		     ? SESSION_LOST
		     : c->kind == KNOWN_COMMIT_CHAIN ? SESSION_LOST_IF_ANSWERED
						     : SESSION_STAYS;
	d->question.cluster = srv->cluster;
	d->question.mark = c->mark;
	d->question.pid = srv->pid;
	d->question.deadline_us = d->since_us + x->settings->commit_check_timeout_us;
	d->question.done = on_fate;
	return d;
}

/* Returns true if, by the answers that have come, a transaction block was open before the COMMIT. */
static bool
is_in_block(const struct server *srv)
{
	return srv->tx != 'I' || srv->loan.commit.begun == BLOCK_BEGUN;
}

/* Answers at once if the fate of the COMMIT is known, or if the primary can't be asked. Otherwise asks the primary. */
static void
resolve(struct exchange *x, const struct server *srv, struct commit_doubt *d)
{
	const struct loan_commit *c = &srv->loan.commit;

	if ((c->phase == COMMIT_ANSWERED || c->phase == COMMIT_SKIPPED) && !d->is_partial)
		answer_commit(x, d, true, c->phase == COMMIT_ANSWERED ? "" : NULL, NULL);
	else if (c->outlook == OUTLOOK_FAILED && !d->is_partial)
		/* the transaction had failed before, with an error that the client has got */
		answer_commit(x, d, false, "ROLLBACK", NULL);
	else if (!is_in_block(srv) && !d->is_partial && c->kind == KNOWN_COMMIT)
		answer_by_fate(d, FATE_COMMITTED, "there was no transaction");
	else if (c->is_broken)
		answer_by_fate(d, FATE_ROLLED_BACK, "the question ahead of its COMMIT has failed");
	else if (c->outlook == OUTLOOK_READ_ONLY && c->mark.xid == 0 && !c->has_effect_without_xid)
		answer_by_fate(d, FATE_COMMITTED, "it has written nothing");
	else if (c->mark.xid == 0 || srv->cluster_ask_state != CLUSTER_KNOWN)
		answer_by_fate(d, FATE_UNKNOWN, "its number was not known");
	else if (!(d->is_asked = fate_ask(x->pool, &d->question) == 0))
		answer_by_fate(d, FATE_UNKNOWN, "out of memory");
}

bool
commit_check_lost(struct exchange *x, struct server *srv, const struct fail *shown, bool is_session_lost)
{
	const struct loan_commit *c = &srv->loan.commit;
	struct commit_doubt *d =
	    exchange_get_or_create_rare(x) == NULL ? NULL : new_doubt(x, srv, shown, is_session_lost);

	exchange_set_block(x,
			   c->phase == COMMIT_SKIPPED && is_in_block(srv) ? EXCHANGE_ROLLED_BACK : EXCHANGE_ORDINARY);
	if (d == NULL)
		return false;
	assert(x->srv == NULL && exchange_doubt(x) == NULL);
	x->rare->doubt = d;
	exchange_step(x, CE_DOUBT);
	resolve(x, srv, d);
	return true;
}

void
commit_check_free(struct exchange *x)
{
	struct commit_doubt *d = exchange_doubt(x);

	if (d == NULL)
		return;
	x->rare->doubt = NULL;
	if (d->is_asked)
		fate_cancel(x->pool, &d->question);
	gucs_unref(d->before);
	free(d);
}
