/*
 * src/relay/send.c - the slow lane, for a client with a server: takes a message apart, shows it to the features
 * (features.c), enters it in the server's ledger and sends it as it lies, unless a feature has sent something else.
 */
#include "listen/listen.h"
#include "relay/exclusive.h"
#include "relay/features.h"
#include "relay/report.h"
#include "relay/walk.h"
#include "state/state.h"
#include "statements/statements.h"
#include "wire/frame.h"

#include <string.h>

#define QUERY_WHOLE_MAX 4096u /* bytes; a simple Query up to this length may be a DEALLOCATE: all of it is awaited */

enum walk_result
walk_forward(struct request_walk *w, size_t total)
{
	struct exchange *x = w->x;
	size_t have = w->len - w->at, n = total < have ? total : have;

	outbox_ref(&x->env->to_server, w->p + w->at, n);
	x->srv->loan.bytes_from_client += total;
	x->body_left = (uint32_t)(total - n);
	x->is_body_dropped = false;
	w->at += n;
	return WALK_ON;
}

void
walk_drop(struct request_walk *w, size_t total)
{
	size_t have = w->len - w->at, n = total < have ? total : have;

	w->x->body_left = (uint32_t)(total - n);
	w->x->is_body_dropped = true;
	w->at += n;
}

static int
push_request(struct exchange *x, enum owed_kind kind, uint32_t statements, unsigned shown)
{
	struct owed_request r = { x->request_us, statements, (uint8_t)shown };

	return ledger_push_request(&x->srv->ledger, kind, OWED_TO_CLIENT, &r);
}

static void
note_query(const struct request_walk *w, enum owed_kind kind)
{
	const uint8_t *message = walk_message(w);
	size_t len = wire_u32(message + 1) - 4;
	bool is_whole = kind == OWED_QUERY && len > 0 && w->len - w->at - FRAME_HEAD_LEN >= len;

	session_note_run(w->x, is_whole ? (const char *)message + FRAME_HEAD_LEN : NULL, is_whole ? len - 1 : 0);
}

void
walk_note_bind(struct exchange *x, const char *statement)
{
	const struct statement *st = session_may_set_unseen(x) ? statements_find(x, statement) : NULL;

	session_note_run(x, st == NULL ? NULL : (const char *)st->bytes, st == NULL ? 0 : st->query_len);
}

/* is_synced stays as it is: behind messages without a Sync the Query may be skipped, and then a Sync is still due. */
enum walk_result
walk_push_query(struct request_walk *w, enum owed_kind kind, unsigned shown)
{
	struct server *srv = w->x->srv;

	report_request_begins(w->x, srv);
	srv->loan.statements_run = 0;
	note_query(w, kind);
	return push_request(w->x, kind, 1, shown) < 0 ? walk_out_of_memory(w->x) : WALK_ON;
}

static struct request
request_of(const struct request_walk *w, const struct frame *f)
{
	struct request m = { .type = f->type };

	m.message = walk_message(w);
	m.have = w->len - w->at;
	m.total = FRAME_HEAD_LEN + (size_t)f->body_len;
	return m;
}

static enum statement_step
see_query(struct request_walk *w, const struct frame *f, unsigned *shown)
{
	struct request m = request_of(w, f);
	enum statement_step step;

	if (m.have >= m.total && f->body_len > 0 && m.message[m.total - 1] == 0) {
		m.sql = (const char *)m.message + FRAME_HEAD_LEN;
		m.sql_len = f->body_len - 1;
	}
	if (w->scanned == m.message)
		m.scan = &w->scan;
	step = features_request(w->x, &m);
	*shown = m.shown;
	return step;
}

static enum walk_result
send_simple(struct request_walk *w, const struct frame *f, enum owed_kind kind)
{
	struct exchange *x = w->x;
	size_t have = w->len - w->at - FRAME_HEAD_LEN;
	enum statement_step step = STATEMENT_FORWARD;
	enum walk_result r;
	unsigned shown = 0;

	if (kind == OWED_QUERY && have < f->body_len && f->body_len <= QUERY_WHOLE_MAX)
		return WALK_MORE;
	if (kind == OWED_QUERY)
		step = see_query(w, f, &shown);
	else if (session_waits_for_sequences(x, SCAN_CODE))
		step = STATEMENT_HOLD;
	else if (session_function_call(x) < 0)
		step = STATEMENT_FAILED;
	if (step == STATEMENT_HOLD)
		return WALK_HOLD;
	if (step == STATEMENT_FAILED)
		return walk_out_of_memory(x);
	if ((r = walk_push_query(w, kind, shown)) != WALK_ON)
		return r;
	if (kind == OWED_QUERY)
		report_text(x->srv, walk_message(w) + FRAME_HEAD_LEN, have < f->body_len ? have : f->body_len,
			    f->body_len, true);
	if (step == STATEMENT_DONE) {
		walk_drop(w, FRAME_HEAD_LEN + (size_t)f->body_len);
		return WALK_ON;
	}
	return walk_forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

enum walk_result
walk_send_extended(struct request_walk *w, const struct frame *f, enum owed_kind kind)
{
	struct server *srv = w->x->srv;

	if (srv->is_synced)
		report_request_begins(w->x, srv);
	if (ledger_push(&srv->ledger, kind, OWED_TO_CLIENT, NULL) < 0)
		return walk_out_of_memory(w->x);
	srv->is_synced = false;
	return walk_forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

enum walk_result
walk_send_sync(struct request_walk *w)
{
	struct server *srv = w->x->srv;

	if (srv->is_synced)
		report_request_begins(w->x, srv);
	if (push_request(w->x, OWED_SYNC, srv->loan.statements_run, 0) < 0)
		return walk_out_of_memory(w->x);
	srv->loan.statements_run = 0;
	srv->is_synced = true;
	statements_sync(w->x);
	return walk_forward(w, FRAME_HEAD_LEN);
}

/* Returns "" for the unnamed portal, else "?": which named portal it is does not matter. */
static const char *
portal_of(const struct request_walk *w, const struct frame *f)
{
	const uint8_t *name = w->p + w->at + FRAME_HEAD_LEN;
	size_t have = w->len - w->at - FRAME_HEAD_LEN;

	return f->body_len > 0 && have > 0 && *name == 0 ? "" : "?";
}

static enum walk_result
send_execute(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	struct request m = request_of(w, f);
	enum walk_result r = WALK_ON;

	if (x->session == NULL && x->listen == NULL) {
		x->srv->loan.statements_run++;
		return walk_send_extended(w, f, OWED_EXECUTE);
	}
	if (m.have < m.total && f->body_len < QUERY_WHOLE_MAX)
		return WALK_MORE;
	m.portal = portal_of(w, f);
	switch (features_request(x, &m)) {
	case STATEMENT_HOLD:
		return WALK_HOLD;
	case STATEMENT_FAILED:
		return walk_out_of_memory(x);
	case STATEMENT_DONE: /* something else was sent in its place */
		if (ledger_push(&x->srv->ledger, OWED_EXECUTE, OWED_TO_CLIENT, NULL) < 0)
			return walk_out_of_memory(x);
		x->srv->is_synced = false;
		walk_drop(w, m.total);
		break;
	default:
		r = walk_send_extended(w, f, OWED_EXECUTE);
	}
	x->srv->loan.statements_run++;
	return r == WALK_ON && x->session != NULL && session_after_execute(x, m.portal) < 0 ? walk_out_of_memory(x) : r;
}

/* The beginning of the Bind was sent, rewritten; the rest follows as it is. */
static enum walk_result
send_rest_of_bind(struct request_walk *w, const struct request *m)
{
	struct exchange *x = w->x;
	size_t have = m->have < m->total ? m->have : m->total;

	x->srv->is_synced = false;
	x->srv->loan.bytes_from_client += m->total;
	outbox_ref(&x->env->to_server, m->message + m->used, have - m->used);
	w->at += have;
	x->body_left = (uint32_t)(m->total - have);
	x->is_body_dropped = false;
	return WALK_ON;
}

static enum walk_result
send_bind(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	struct request m = request_of(w, f);
	size_t have = m.have < m.total ? m.have : m.total;

	if (have < m.total && m.total <= QUERY_WHOLE_MAX)
		return WALK_MORE;
	if (!fields_bind(m.message + FRAME_HEAD_LEN, have - FRAME_HEAD_LEN, &m.names.portal, &m.names.statement,
			 &m.names.len)) {
		if (have == m.total)
			return walk_violated(w, "a Bind message without its names' terminators", 'B');
		if (have > SERVER_CARRY_MAX)
			return walk_violated(w, "a Bind message with names longer than pgweir takes", 'B');
		return WALK_MORE;
	}
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	x->entry->database->counters.binds++;
	switch (features_request(x, &m)) {
	case STATEMENT_FAILED:
		return walk_out_of_memory(x);
	case STATEMENT_HOLD:
		return WALK_HOLD;
	case STATEMENT_DONE:
		walk_note_bind(x, m.names.statement);
		return send_rest_of_bind(w, &m);
	default:
		walk_note_bind(x, m.names.statement);
		return walk_send_extended(w, f, OWED_BIND);
	}
}

static int
scan_oversize_parse(struct exchange *x, const uint8_t *body, size_t have, size_t body_len)
{
	size_t name_len = strlen((const char *)body) + 1;

	if (have > body_len)
		have = body_len;
	return session_passed_parse(x, (const char *)body + name_len, have - name_len, body_len - name_len) ==
		       STATEMENT_FAILED
		   ? -1
		   : 0;
}

/* Its name has come; its SQL comes in pieces. */
static enum walk_result
send_oversize_parse(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	const uint8_t *body = w->p + w->at + FRAME_HEAD_LEN;
	size_t have = w->len - w->at - FRAME_HEAD_LEN, total = FRAME_HEAD_LEN + (size_t)f->body_len;
	enum statement_step step = statements_oversize_parse(x, (const char *)body);

	if (step == STATEMENT_HOLD)
		return WALK_HOLD;
	if (step == STATEMENT_FAILED)
		return walk_out_of_memory(x);
	x->srv->is_synced = false;
	if (step == STATEMENT_DONE) { /* another message was sent in its place */
		walk_drop(w, total);
		return WALK_ON;
	}
	return scan_oversize_parse(x, body, have, f->body_len) < 0 ? walk_out_of_memory(x) : walk_forward(w, total);
}

/* A malformed message is forwarded: PostgreSQL knows the right error. */
static enum statement_step
see_named(struct exchange *x, struct request *m)
{
	const uint8_t *body = m->message + FRAME_HEAD_LEN;
	size_t len = m->total - FRAME_HEAD_LEN;

	if (m->type != 'P')
		return fields_target(body, len, &m->target, &m->name) ? features_request(x, m) : STATEMENT_FORWARD;
	x->entry->database->counters.client_parses++;
	if (!fields_parse(body, len, &m->parse))
		return STATEMENT_FORWARD;
	m->sql = (const char *)m->parse.rest;
	m->sql_len = m->parse.query_len;
	report_text(x->srv, m->parse.rest, m->sql_len + 1, m->sql_len + 1, false);
	return features_request(x, m);
}

static enum walk_result
send_large_parse(struct request_walk *w, const struct frame *f)
{
	size_t have = w->len - w->at;

	if (memchr(walk_message(w) + FRAME_HEAD_LEN, 0, have - FRAME_HEAD_LEN) == NULL) {
		if (have > SERVER_CARRY_MAX)
			return walk_violated(w, "a Parse message with a name longer than pgweir takes", 'P');
		return WALK_MORE;
	}
	if (session_waits_for_sequences(w->x, SCAN_CODE))
		return WALK_HOLD;
	if (w->x->srv->is_synced)
		report_request_begins(w->x, w->x->srv);
	sole_use_forget(w->x);
	return send_oversize_parse(w, f);
}

static enum owed_kind
kind_of_named(const struct request *m)
{
	if (m->type == 'P')
		return OWED_PARSE;
	if (m->type == 'C')
		return OWED_CLOSE;
	return m->total > FRAME_HEAD_LEN && m->message[FRAME_HEAD_LEN] == 'P' ? OWED_DESCRIBE_PORTAL
									      : OWED_DESCRIBE_STATEMENT;
}

/* Parse, Describe, Close: all of the message is needed. */
static enum walk_result
send_named(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	struct request m = request_of(w, f);

	if (f->type == 'P' && f->body_len > x->entry->settings.max_statement_size)
		return send_large_parse(w, f);
	if (m.have < m.total)
		return WALK_MORE;
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	switch (see_named(x, &m)) {
	case STATEMENT_FAILED:
		return walk_out_of_memory(x);
	case STATEMENT_HOLD:
		return WALK_HOLD;
	case STATEMENT_DONE:
		x->srv->is_synced = false;
		x->srv->loan.bytes_from_client += m.total;
		w->at += m.total;
		return WALK_ON;
	default:
		return walk_send_extended(w, f, kind_of_named(&m));
	}
}

/* PostgreSQL ignores Syncs between an Execute and the end of its COPY IN. Returns true if another one will be due. */
static bool
ends_copy_of_execute(const struct ledger *l)
{
	uint32_t n = l->count;
	const struct owed *o = NULL;

	while (n > 0 && (o = &l->ring[(l->head + n - 1) & (l->cap - 1)])->kind == OWED_SYNC)
		n--;
	return n > 0 && o->kind == OWED_EXECUTE;
}

static enum walk_result
send_copy_end(struct request_walk *w, const struct frame *f)
{
	if (ends_copy_of_execute(&w->x->srv->ledger))
		w->x->srv->is_synced = false;
	if (ledger_push(&w->x->srv->ledger, OWED_COPY_END, OWED_TO_CLIENT, NULL) < 0)
		return walk_out_of_memory(w->x);
	return walk_forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

/* Replays settings at most once per message, even if the message is held and handled again. */
static int
catch_up(struct exchange *x)
{
	const struct server *srv = x->srv;

	if (x->replication != 0 || x->has_caught_up || srv->ledger.count > 0 || !srv->is_synced || srv->tx == 'E')
		return 0;
	x->has_caught_up = true;
	return session_catch_up(x);
}

enum walk_result
walk_linked(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;

	x->has_run = true;
	if (x->session != NULL && session_holds(x))
		return WALK_HOLD;
	/* The client has kept its server since a RESET ran: the server's settings are not the client's any more. */
	if (x->srv->image != x->image && catch_up(x) < 0)
		return walk_out_of_memory(x);
	if (x->statements != NULL && f->type != 'd' && f->type != 'c' && f->type != 'f')
		switch (statements_undo(x, false)) {
		case STATEMENT_HOLD:
			return WALK_HOLD;
		case STATEMENT_FAILED:
			return walk_out_of_memory(x);
		default:
			break;
		}
	switch (f->type) {
	case 'Q':
		return send_simple(w, f, OWED_QUERY);
	case 'F':
		return send_simple(w, f, OWED_FUNCTION);
	case 'E':
		return send_execute(w, f);
	case 'B':
		return send_bind(w, f);
	case 'P':
	case 'D':
	case 'C':
		return send_named(w, f);
	case 'S':
		return walk_send_sync(w);
	case 'c':
	case 'f':
		return send_copy_end(w, f);
	default: /* CopyData, Flush */
		return walk_forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
	}
}
