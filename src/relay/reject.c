/*
 * src/relay/reject.c - a request that gets no server is answered with an error; the rest of it is dropped, and
 * ReadyForQuery follows where it would have (protocol chapter, "Extended Query": after an error everything up to Sync
 * is ignored). The client's connection stays open.
 */
#include "base/text.h"
#include "exchange/holder.h"
#include "exchange/report.h"
#include "listen/listen.h"
#include "relay/walk.h"
#include "sql/known.h"
#include "statements/statements.h"
#include "statements/statements_transfer.h"
#include "statements/unnamed.h"
#include "config/compat.h"
#include "wire/fields.h"
#include "wire/messages.h"

#include <ctype.h>

bool
reject_blame(const struct policy_waiter *t, uint64_t now_us, struct fail *why)
{
	const struct exchange *x = exchange_of_waiter(t);
	const struct server *srv, *worst = NULL;
	uint64_t since_us, oldest_us = t->since_us;
	char remedy[HOLDER_REMEDY_MAX];

	TAILQ_FOREACH(srv, &x->pool->servers, all)
		if (srv->borrower != NULL && holder_is_stuck(srv, oldest_us, &since_us)) {
			worst = srv;
			oldest_us = since_us;
		}
	if (worst == NULL)
		return false;
	holder_remedy(worst, now_us, remedy, sizeof(remedy));
	fail_hint(why, "%c%s.", toupper((unsigned char)remedy[0]), remedy + 1);
	return true;
}

void
reject_words(const struct exchange *x, const struct fail *why, struct fail *shown)
{
	compat_tell(x->env->config, why, shown);
	if (shown->detail[0] != '\0' && strcmp(why->sqlstate, "53300") == 0) {
		char detail[FAIL_TEXT_MAX];

		snprintf(detail, sizeof(detail), "%s", shown->detail);
		fail_detail(shown, "Database \"%s\", user \"%s\": %s", x->pool->database->name, x->pool->user, detail);
	}
}

static bool
ends_as_with_pgbouncer(const struct exchange *x, const struct fail *why, enum request_failure kind)
{
	return compat_does(x->env->config, COMPAT_ENDS_THE_UNSERVED) && kind == RF_BACKEND_UNREACHABLE &&
	       why->pgbouncer_text[0] != '\0' && strcmp(why->sqlstate, "57P03") != 0;
}

/* Sends the answer, and drops what is left of the request. unnamed: the statement that it has made, or NULL; taken. */
static void
answer_and_drop(struct exchange *x, struct buf *answer, struct statement *unnamed)
{
	uint8_t first = x->pending_len > 0 ? x->pending[0] : 'S';

	exchange_send(x, answer);
	buf_fini(answer);
	if (first == 'Q' || (first == 'P' && x->pending_len > FRAME_HEAD_LEN && x->pending[FRAME_HEAD_LEN] == 0))
		statements_forget_unnamed(x);
	if (unnamed != NULL && statements_take(x, &(struct statement_transfer){ .name = "", .st = unnamed }) < 0)
		exchange_out_of_memory(x);
	x->rejecting_to = first == 'Q' || first == 'F' ? 'Q' : 'S';
}

static void
answer_as_done(struct exchange *x, const char *tag)
{
	struct statement *unnamed = NULL;
	struct buf b = { 0 };
	struct frame f;

	for (size_t at = 0; frame_parse(x->pending + at, x->pending_len - at, &f) == FRAME_OK;
	     at += FRAME_HEAD_LEN + (size_t)f.body_len) {
		if (f.type == 'P') {
			unnamed = statements_plain_unnamed(x, x->pending + at + FRAME_HEAD_LEN, f.body_len);
			buf_put(&b, MESSAGE_BARE("1"));
		} else if (f.type == 'B')
			buf_put(&b, MESSAGE_BARE("2"));
		else if (f.type == 'D')
			buf_put(&b, MESSAGE_BARE("n"));
		else
			break;
	}
	message_complete(&b, tag);
	answer_and_drop(x, &b, unnamed);
}

/* Returns the tag of the waiting request if that ends a deferred block in which nothing has run; else NULL. */
static const char *
end_of_nothing(const struct exchange *x)
{
	enum known_kind kind;
	struct known k;
	struct frame f;

	if (x->block != EXCHANGE_DUE || x->begin == 0 || !frame_whole(x->pending, x->pending_len, &f) ||
	    f.type != 'Q' || f.body_len == 0)
		return NULL;
	kind = known_only(&k, gucs_scan_options(x->gucs), (const char *)x->pending + FRAME_HEAD_LEN, f.body_len - 1);
	return kind == KNOWN_COMMIT ? "COMMIT" : kind == KNOWN_ROLLBACK ? "ROLLBACK" : NULL;
}

static void
refuse(struct exchange *x, const struct fail *why, enum request_failure kind)
{
	bool closes = kind == RF_SHUTDOWN || x->pool->is_orphan || (x->env->is_draining && !x->env->is_gentle) ||
		      ends_as_with_pgbouncer(x, why, kind);
	const char *tag = closes ? NULL : end_of_nothing(x);
	struct fail shown;
	struct buf b = { 0 };

	if (tag != NULL) {
		report_transaction(x, tag[0] == 'R' ? TE_ROLLBACK : TE_COMMIT);
		exchange_set_block(x, EXCHANGE_NO_BLOCK);
	} else if (x->block == EXCHANGE_DUE) {
		x->pool->database->counters.transactions[TE_LOST]++;
		exchange_set_block(x, EXCHANGE_FAILED);
	}
	/* Notifications that have waited for the end of its transaction may be too many. */
	if (!listen_flush(x) || x->state != CL_REJECTING)
		return;
	if (tag != NULL) {
		answer_as_done(x, tag);
		return;
	}
	reject_words(x, why, &shown);
	report_failure(x, &shown, kind, NULL);
	report_error(x->pool, EO_PROXY, shown.sqlstate);
	if (closes)
		exchange_close(x, &shown);
	else {
		message_error(&b, "ERROR", &shown);
		answer_and_drop(x, &b, NULL);
	}
}

void
reject_request(struct exchange *x, const struct fail *why, enum request_failure kind)
{
	if (x->is_closing)
		return;
	refuse(x, why, kind);
	if (!x->is_closing && x->state == CL_REJECTING)
		exchange_replay(x, relay_bytes);
}

/* --- what follows a transaction that was lost, or has failed without a server --- */

/* Returns true if the SQL of this statement is one that ends a transaction, or begins so. */
static bool
is_end(const struct sql_traits *v, const char *sql, size_t len)
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
	if (!is_end(m->traits, m->sql, m->sql_len) || /* so it has SQL that was not too long to be read */
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
		return is_end(m->traits, m->sql, m->sql_len);
	if (!fields_bind(m->message + FRAME_HEAD_LEN, request_body_len(m), &portal, &name, &names_len))
		return false;
	st = statements_called(x, name);
	return st != NULL && is_end(statement_traits(st), (const char *)st->bytes, st->query_len);
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
 * Returns true if a request that rolls_back() does nothing else: it needs no server, which may be away. By the extended
 * protocol, only as drivers send what they don't keep prepared. next: what has come behind its message.
 */
static bool
is_rollback_alone(const struct exchange *x, const struct request *m, const uint8_t *next, size_t len)
{
	struct known k;

	return (m->type == 'Q' || (m->parse.name[0] == '\0' && is_run_unnamed(next, len))) &&
	       known_only(&k, gucs_scan_options(x->gucs), m->sql, m->sql_len) == KNOWN_ROLLBACK;
}

/* The transaction counts as failed until a request that begins with its end: what the client has sent before it could
 * know must not run outside of it. */
bool
reject_is_of_block(struct request_walk *w)
{
	struct exchange *x = w->x;
	size_t total = w->m.have < w->m.total ? w->m.have : w->m.total, len = w->m.have - total;
	const uint8_t *next = w->m.message + total;
	bool runs = rolls_back(x, &w->m, next, len);

	w->rejection = runs ? REJECT_AS_DONE : x->block == EXCHANGE_FAILED ? REJECT_FAILED : REJECT_UNSENT;
	if (runs || is_meant_to_end(x, &w->m))
		exchange_set_block(x, EXCHANGE_NO_BLOCK);
	/* With more behind it, a server without a transaction says so, and does what is asked. */
	return !runs || is_rollback_alone(x, &w->m, next, len);
}

void
reject_kept(struct exchange *x, enum rejection how)
{
	struct fail why;

	exchange_step(x, CE_REFUSED);
	x->has_seen_primary = true;
	stream_set_reading(&x->stream, true);
	if (how == REJECT_AS_DONE)
		answer_as_done(x, "ROLLBACK");
	else if (how == REJECT_FAILED) {
		fail_set(&why, "25P02",
			 "current transaction is aborted, commands ignored until end of transaction block");
		fail_detail(&why, "One of its statements got no server connection.");
		refuse(x, &why, RF_CANCELED);
	} else {
		x->pool->database->counters.commits_checked[CC_ROLLED_BACK]++;
		exchange_rolled_back(&why, "its COMMIT was not sent");
		refuse(x, &why, RF_BACKEND_LOST);
	}
}

/* --- the rest of a rejected request --- */

size_t
reject_bytes(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct buf b = { 0 };
	struct fail why;
	struct frame f;
	size_t total, n;

	switch (frame_parse(bytes, len, &f)) {
	case FRAME_PARTIAL:
		return 0;
	case FRAME_BAD:
		fail_set(&why, "08P01", "invalid message length");
		exchange_close(x, &why);
		return len;
	case FRAME_OK:
		break;
	}
	total = FRAME_HEAD_LEN + (size_t)f.body_len;
	n = total < len ? total : len;
	x->body_left = (uint32_t)(total - n);
	x->is_body_dropped = true;
	if (x->rejecting_to == 'Q' || f.type == 'S') {
		exchange_step(x, CE_REJECTED);
		message_ready(&b, x->block >= EXCHANGE_ROLLED_BACK ? 'E' : 'I'); /* as far as its client knows */
		exchange_send(x, &b);
		buf_fini(&b);
		x->waiter.idle_since_us = *x->env->now_us;
	}
	return n;
}
