/* src/relay/commit_doubt.c - a COMMIT was sent, and its server was lost before the answer. See commit_check.h. */
#include "relay/commit_check.h"

#include "base/text.h"
#include "exchange/report.h"
#include "dedicated/questions.h"
#include "relay/relay.h"
#include "sql/known.h"
#include "state/state.h"
#include "statements/statements.h"
#include "statements/unnamed.h"
#include "wire/fields.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Whether the session goes on behind its COMMIT. */
enum doubt_session {
	SESSION_STAYS,
	SESSION_LOST_IF_COMMITTED, /* AND CHAIN: another transaction would be open */
	SESSION_LOST
};

/* A client whose COMMIT is in doubt. */
struct commit_doubt {
	struct fate_question question; /* must be first */
	struct exchange *x;
	struct fail shown; /* unless its session stays */
	struct image *before; /* what its settings are if it was not committed; NULL: what they are */
	uint64_t since_us;
	uint64_t server_id;
	uint8_t owed[SERVER_OWED_MAX];
	size_t owed_count; /* at most SERVER_OWED_MAX; if more is owed, it is_partial */
	bool is_asked; /* question is under way; set and cleared by commit_doubt.c */
	bool is_partial; /* more than the COMMIT's own replies is owed; set by new_doubt(), never cleared */
	uint8_t session; /* enum doubt_session */
	uint8_t undone; /* enum loan_undone: what was not reported is undone; FAILED: an error skips the rest up to a
			   Sync */
	char server[SERVER_ADDRESS_MAX];
};

bool
commit_check_is_in_doubt(const struct exchange *x, const struct server *srv)
{
	return srv->loan.commit.phase >= COMMIT_SENT && exchange_is_ready(x) && !x->is_closing;
}

/* Appends what the client still waits for, of a COMMIT that has this tag; NULL: it was skipped. */
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
			message_ready(b, d->x->block >= EXCHANGE_ROLLED_BACK ? 'E' : 'I'); /* as it knows */
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

/*
 * Returns true if something is owed that put_replies() can't make, or that is not the COMMIT's. A Parse of a name that
 * is taken has most probably failed, and the COMMIT was skipped.
 */
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

/* The client can go on: with what it has sent meanwhile, or with the rest of the request that has failed. */
static void
go_on(struct exchange *x, bool is_failed_within)
{
	x->rejecting_to = 'S';
	exchange_step(x, is_failed_within ? CE_REFUSED : CE_ANSWERED);
	x->ticket.idle_since_us = *x->env->now_us;
	stream_set_reading(&x->stream, true);
	relay_unstall(x);
	if (!x->is_closing)
		exchange_replay(x, relay_bytes);
}

static void
log_fate(const struct commit_doubt *d, enum commit_fate fate, const char *reason)
{
	static const char *const words[] = { [FATE_COMMITTED] = "was committed",
					     [FATE_ROLLED_BACK] = "was rolled back",
					     [FATE_UNKNOWN] = "may have been committed or not" };
	const struct exchange *x = d->x;
	struct log_about about = { .event = "commit_checked",
				   .client_id = x->ticket.id,
				   .user = exchange_user(x),
				   .database = x->pool->database->name,
				   .application = exchange_application(x),
				   .server_id = d->server_id,
				   .server = d->server,
				   .duration_us = *x->env->now_us - d->since_us,
				   .reason = reason };

	log_event(x->env->log, fate == FATE_UNKNOWN ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, &about,
		  "client %llu: server %llu (%s) was lost during a COMMIT: the transaction %s (%s)",
		  (unsigned long long)x->ticket.id, (unsigned long long)d->server_id, d->server, words[fate], reason);
}

static void
put_failure(enum commit_fate fate, const char *reason, struct fail *why)
{
	if (fate == FATE_COMMITTED) {
		fail_set(why, "08007",
			 "the transaction was committed, but other replies were lost with its connection");
		fail_hint(why, "Do not run it again.");
	} else if (fate == FATE_ROLLED_BACK) {
		fail_set(why, "40001",
			 "the transaction was rolled back by the loss of its connection to PostgreSQL; it is safe to "
			 "run it again");
		fail_detail(why, "Asked about its COMMIT: %s.", reason);
		fail_hint(why, "Run the whole transaction again, as after any serialization failure.");
	} else {
		fail_set(why, "08007",
			 "the connection to PostgreSQL was lost during COMMIT, and it can't be known whether the "
			 "transaction was committed");
		fail_detail(why, "Asked about it: %s.", reason);
		fail_hint(why, "Look in the database whether its changes are there before you run it again.");
	}
}

/* tag: what its COMMIT is answered with, or NULL if it is answered with an error, or was skipped. */
static void
answer_commit(struct exchange *x, struct commit_doubt *d, bool is_answered_already, const char *tag,
	      const struct fail *why)
{
	bool is_ended = has_owed(d, OWED_SYNC) || has_owed(d, OWED_QUERY);
	bool is_lost =
	    d->is_partial || d->session == SESSION_LOST || (tag != NULL && d->session == SESSION_LOST_IF_COMMITTED);
	bool is_failed_within = !is_ended && (why != NULL || d->undone == UNDONE_FAILED);
	struct fail shown = d->shown;
	struct buf b = { 0 };

	if (why != NULL || d->undone != UNDONE_NOTHING)
		state_undo_reports(x, d->before);
	if (why != NULL) {
		report_failure(x, why, RF_BACKEND_LOST, "backend_lost");
		report_error(x->pool, EO_PROXY, why->sqlstate);
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
	image_unref(d->before);
	free(d);
	x->rare->doubt = NULL;
	x->requests_done++;
	if (b.len > 0 || !buf_ok(&b))
		exchange_send(x, &b);
	buf_fini(&b);
	if (x->is_closing)
		return;
	if (x->env->is_draining && !x->env->is_gentle) {
		fail_set(&shown, "57P01", "pgweir is shutting down");
		is_lost = true;
	}
	if (is_lost)
		exchange_close(x, &shown);
	else
		go_on(x, is_failed_within);
}

static void
decide_fate(struct commit_doubt *d, enum commit_fate fate, const char *reason)
{
	struct exchange *x = d->x;
	struct fail why;

	x->pool->database->counters.commits_checked[fate - FATE_COMMITTED]++;
	log_fate(d, fate, reason);
	if (fate == FATE_COMMITTED && !d->is_partial) {
		answer_commit(x, d, false, "COMMIT", NULL);
		return;
	}
	put_failure(fate, reason, &why);
	answer_commit(x, d, false, NULL, &why);
}

static void
on_fate(struct fate_question *q, enum commit_fate fate, const char *reason)
{
	struct commit_doubt *d = (struct commit_doubt *)q;

	d->is_asked = false;
	decide_fate(d, fate, reason);
}

static struct commit_doubt *
new_doubt(struct exchange *x, const struct server *srv, const struct fail *shown, bool is_lost)
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
	d->before = c->before == NULL ? NULL : image_ref(c->before);
	/* The client would look in vain for a named COMMIT's statement, or find one that it has closed. */
	is_lost = is_lost || (c->form == COMMIT_OF_NAMED && has_owed(d, OWED_PARSE)) || has_owed(d, OWED_CLOSE) ||
		  has_owed(d, OWED_LOCAL_CLOSE);
	/* Which of the reported settings the COMMIT takes back, if some are SET LOCAL, only PostgreSQL knows. */
	is_lost = is_lost || (c->before != NULL && srv->loan.local != LOCAL_NOTHING);
	d->session = is_lost ? SESSION_LOST : c->kind == KNOWN_COMMIT_CHAIN ? SESSION_LOST_IF_COMMITTED : SESSION_STAYS;
	d->question.cluster = srv->cluster;
	d->question.mark = c->mark;
	d->question.pid = srv->pid;
	d->question.deadline_us = d->since_us + x->settings->commit_check_timeout_us;
	d->question.done = on_fate;
	return d;
}

/* Returns true if a transaction block was open behind the last command that was answered. */
static bool
is_in_block(const struct server *srv)
{
	return srv->tx != 'I' || srv->loan.commit.begun == BLOCK_BEGUN;
}

bool
commit_check_lost(struct exchange *x, struct server *srv, const struct fail *shown, bool is_lost)
{
	const struct loan_commit *c = &srv->loan.commit;
	struct commit_doubt *d = exchange_rare(x) == NULL ? NULL : new_doubt(x, srv, shown, is_lost);

	exchange_set_block(x,
			   c->phase == COMMIT_SKIPPED && is_in_block(srv) ? EXCHANGE_ROLLED_BACK : EXCHANGE_NO_BLOCK);
	if (d == NULL)
		return false;
	assert(x->srv == NULL && exchange_doubt(x) == NULL);
	x->rare->doubt = d;
	exchange_step(x, CE_DOUBT);
	if ((c->phase == COMMIT_ANSWERED || c->phase == COMMIT_SKIPPED) && !d->is_partial)
		answer_commit(x, d, true, c->phase == COMMIT_ANSWERED ? "" : NULL, NULL);
	else if (c->outlook == OUTLOOK_FAILED && !d->is_partial)
		answer_commit(x, d, false, "ROLLBACK", NULL); /* an earlier error, which the client has, had ended it */
	else if (!is_in_block(srv) && !d->is_partial && c->kind == KNOWN_COMMIT)
		decide_fate(d, FATE_COMMITTED, "there was no transaction");
	else if (c->is_broken)
		decide_fate(d, FATE_ROLLED_BACK, "the question ahead of its COMMIT has failed");
	else if (c->outlook == OUTLOOK_READ_ONLY && c->mark.xid == 0 && !c->has_more)
		decide_fate(d, FATE_COMMITTED, "it has written nothing");
	else if (c->mark.xid == 0 || srv->cluster_state != CLUSTER_KNOWN)
		decide_fate(d, FATE_UNKNOWN, "its number was not known");
	else if (!(d->is_asked = fate_ask(x->pool, &d->question) == 0))
		decide_fate(d, FATE_UNKNOWN, "there was no memory to ask");
	return true;
}

/* Returns true if the SQL of this statement is one that ends a transaction, or begins so. */
static bool
is_end(const struct sql_verdict *v, const char *sql, size_t len)
{
	return v != NULL && sql != NULL &&
	       (v->first == WORD_COMMIT || v->first == WORD_END || v->first == WORD_ROLLBACK ||
		v->first == WORD_ABORT) &&
	       !text_mentions(sql, len, "to");
}

/* The Bind behind a Parse runs what that has made. next: what has come behind the Parse. */
static bool
is_bound_next(const struct request *m, const uint8_t *next, size_t len)
{
	const char *portal, *statement;
	size_t names_len;

	return len > FRAME_HEAD_LEN && next[0] == 'B' &&
	       fields_bind(next + FRAME_HEAD_LEN, len - FRAME_HEAD_LEN, &portal, &statement, &names_len) &&
	       strcmp(statement, m->parse.name) == 0;
}

/* ROLLBACK is about to run. */
static bool
rolls_back(const struct exchange *x, const struct request *m, const uint8_t *next, size_t len)
{
	if (!is_end(m->verdict, m->sql, m->sql_len) || /* so it has SQL that was not too long to be read */
	    !(request_begins_with(m, WORD_ROLLBACK) || request_begins_with(m, WORD_ABORT)))
		return false;
	return m->type == 'Q' ||
	       (m->type == 'P' && !statements_is_taken(x, m->parse.name) && is_bound_next(m, next, len));
}

/* The client means the request to end its transaction: it must not have to say so again and again. */
static bool
is_meant_to_end(const struct exchange *x, const struct request *m)
{
	const char *portal, *name;
	struct statement *st;
	size_t names_len;

	if (m->type != 'B')
		return is_end(m->verdict, m->sql, m->sql_len);
	if (!fields_bind(m->message + FRAME_HEAD_LEN, request_body_len(m), &portal, &name, &names_len))
		return false;
	st = statements_called(x, name);
	return st != NULL && is_end(statement_verdict(st), (const char *)st->bytes, st->query_len);
}

/* Returns true if the messages behind a Parse of the unnamed statement run it once, up to a Sync. */
static bool
is_run_unnamed(const uint8_t *p, size_t len)
{
	size_t at = 0, names_len;
	const char *portal, *statement;
	struct frame f;

	for (const char *type = "BDES"; *type != '\0'; type++) {
		const uint8_t *body = p + at + FRAME_HEAD_LEN;

		if (at >= len || frame_parse(p + at, len - at, &f) != FRAME_OK ||
		    f.body_len > len - at - FRAME_HEAD_LEN)
			return false;
		if (f.type != *type && *type == 'D')
			continue;
		if (f.type != *type || (*type == 'D' && (f.body_len != 2 || body[0] != 'P')) ||
		    (*type == 'B' && (!fields_bind(body, f.body_len, &portal, &statement, &names_len) ||
				      portal[0] != '\0' || statement[0] != '\0')))
			return false;
		at += FRAME_HEAD_LEN + (size_t)f.body_len;
	}
	return true;
}

/*
 * Returns true if these bytes begin with a request that is a ROLLBACK and nothing else: it needs no server, which may
 * be away. By the extended protocol, only as drivers send what they don't keep prepared.
 */
static bool
is_rollback_alone(const struct exchange *x, const uint8_t *p, size_t len)
{
	const uint8_t *body = p + FRAME_HEAD_LEN;
	const char *sql = (const char *)body;
	struct parse_fields parse = { .name = "" };
	struct known k;
	struct frame f;
	size_t sql_len;

	if (len < FRAME_HEAD_LEN || frame_parse(p, len, &f) != FRAME_OK || f.body_len > len - FRAME_HEAD_LEN ||
	    f.body_len == 0 || (f.type != 'Q' && f.type != 'P'))
		return false;
	sql_len = f.body_len - 1;
	if (f.type == 'P') {
		if (!fields_parse(body, f.body_len, &parse) || parse.name[0] != '\0' ||
		    !is_run_unnamed(body + f.body_len, len - FRAME_HEAD_LEN - f.body_len))
			return false;
		sql = (const char *)parse.rest;
		sql_len = parse.query_len;
	}
	return known_only(&k, image_scan_options(x->image), sql, sql_len) == KNOWN_ROLLBACK;
}

bool
commit_check_is_refused(struct exchange *x, const struct request *m, const uint8_t *bytes, size_t len)
{
	size_t total = m->total < len ? m->total : len;
	bool runs = rolls_back(x, m, bytes + total, len - total);

	if (runs || is_meant_to_end(x, m))
		exchange_set_block(x, !runs && x->block == EXCHANGE_FAILED ? EXCHANGE_FAILED_ENDS : EXCHANGE_NO_BLOCK);
	if (runs && !is_rollback_alone(x, bytes, len))
		return false; /* a server without a transaction says so, and does what is asked */
	exchange_step(x, CE_DOUBT);
	return true;
}

void
commit_check_refuse(struct exchange *x)
{
	struct fail why;

	if (x->state != CL_IN_DOUBT)
		exchange_step(x, CE_DOUBT);
	exchange_step(x, CE_REFUSED);
	x->has_seen_primary = true;
	stream_set_reading(&x->stream, true);
	if (x->block == EXCHANGE_NO_BLOCK && is_rollback_alone(x, x->pending, x->pending_len)) {
		reject_as_done(x, "ROLLBACK");
		return;
	}
	if (x->block >= EXCHANGE_FAILED) {
		if (x->block == EXCHANGE_FAILED_ENDS)
			exchange_set_block(x, EXCHANGE_NO_BLOCK);
		fail_set(&why, "25P02",
			 "current transaction is aborted, commands ignored until end of transaction block");
		fail_detail(&why, "A statement of it got no server connection.");
		reject_request(x, &why, RF_CANCELED);
		return;
	}
	x->pool->database->counters.commits_checked[CC_ROLLED_BACK]++;
	put_failure(FATE_ROLLED_BACK, "its COMMIT was not sent", &why);
	reject_request(x, &why, RF_BACKEND_LOST);
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
	image_unref(d->before);
	free(d);
}
