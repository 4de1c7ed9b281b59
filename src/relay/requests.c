/*
 * src/relay/requests.c - requests: from a client to the server it borrows, and giving that back. Replies: replies.c.
 *
 * Requests: bytes are walked message by message; each message the server will answer is entered in its ledger; runs
 * are sent as they lie, in one call per batch. The first message that needs a server borrows one; if there is none,
 * the bytes wait with the client.
 */
#include "exchange/exchange.h"
#include "relay/exclusive.h"
#include "relay/reject.h"
#include "relay/relay.h"
#include "relay/report.h"
#include "relay/retry.h"
#include "state/state.h"
#include "statements/statements.h"
#include "listen/listen.h"

#include "wire/frame.h"
#include "wire/messages.h"

#include <string.h>

#define QUERY_WHOLE_MAX 4096u /* a simple Query up to this length may be a DEALLOCATE: it is looked into whole */
#define LEDGER_HIGH 32768u /* replies owed above which a client is not read any more */

enum walk_result {
	WALK_ON,
	WALK_MORE, /* more bytes are needed */
	WALK_WAIT, /* for a server, or for what listens in its place */
	WALK_HOLD, /* for replies to what was sent before */
	WALK_LEAVE, /* close the client once what was walked is sent; request_walk.why says why */
	WALK_OVER /* it is closed */
};

struct request_walk {
	struct exchange *x;
	const uint8_t *p;
	size_t len, at;
	bool has_why;
	struct fail why;
};

static enum walk_result
out_of_memory(struct exchange *x)
{
	exchange_out_of_memory(x);
	return WALK_OVER;
}

static enum walk_result
violated(struct request_walk *w, const char *what, uint8_t type)
{
	fail_set(&w->why, "08P01", "%s (type 0x%02x)", what, type);
	w->has_why = true;
	return WALK_LEAVE;
}

/* --- borrowing --- */

static int
link_server(struct exchange *x, struct server *srv)
{
	x->srv = srv;
	listen_linked(x, srv);
	exchange_begin_batch(x->env, &x->env->to_server, &srv->stream);
	report_lent(x);
	if (srv->image != x->image && session_replay(x) < 0) {
		out_of_memory(x);
		return -1;
	}
	return 0;
}

static void
on_grant(struct pool_conn *conn, void *arg)
{
	struct exchange *x = arg;
	struct server *srv = pool_entry_granted(conn, x, *x->env->now_us);

	x->wait_us = *x->env->now_us - x->ticket.since_us;
	stream_set_reading(&x->stream, true);
	client_step(x, CE_GRANTED);
	if (x->state == CL_WELCOME) {
		x->env->ops->login_granted(x, srv);
		return;
	}
	if (link_server(x, srv) == 0)
		exchange_replay(x, relay_bytes);
}

static void
on_refuse(const struct fail *why, enum request_failure kind, void *arg)
{
	struct exchange *x = arg;

	x->wait_us = *x->env->now_us - x->ticket.since_us;
	stream_set_reading(&x->stream, true);
	client_step(x, CE_REFUSED);
	if (x->state == CL_WELCOME)
		x->env->ops->login_refused(x, why, kind);
	else
		refuse_request(x, why, kind);
}

void
relay_ticket(struct exchange *x)
{
	x->ticket.on_grant = on_grant;
	x->ticket.on_refuse = on_refuse;
	x->ticket.arg = x;
	x->ticket.image = x->image;
}

void
relay_cancel_wait(struct exchange *x)
{
	struct fail why;

	if (x->state != CL_IN_LINE)
		return;
	pool_cancel(x->entry->policy, &x->ticket, *x->env->now_us);
	fail_set(&why, "57014", "canceling statement due to user request");
	x->wait_us = *x->env->now_us - x->ticket.since_us;
	stream_set_reading(&x->stream, true);
	client_step(x, CE_REFUSED);
	refuse_request(x, &why, RF_POOL_TIMEOUT);
}

static enum walk_result
borrow(struct request_walk *w)
{
	struct exchange *x = w->x;
	struct exchange_env *env = x->env;
	struct server *srv;

	if (env->is_draining) {
		fail_set(&w->why, "57P01", "pgweir is shutting down");
		w->has_why = true;
		return WALK_LEAVE;
	}
	if (x->session != NULL && session_is_refused(x, &w->why)) {
		w->has_why = true;
		return WALK_LEAVE;
	}
	relay_ticket(x);
	srv = pool_entry_borrow(x->entry, &x->ticket, x, *env->now_us);
	if (srv == NULL) {
		client_step(x, CE_NEED_SERVER);
		session_yield(env);
		return WALK_WAIT;
	}
	x->wait_us = 0;
	return link_server(x, srv) < 0 ? WALK_OVER : WALK_ON;
}

/* --- requests --- */

static enum walk_result
forward(struct request_walk *w, size_t total)
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

static void
drop(struct request_walk *w, size_t total)
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

/* What is to be sent for a simple Query; see session_query. */
static enum statement_step
look_into_query(struct exchange *x, const uint8_t *message, size_t have, const struct frame *f, unsigned *shown)
{
	enum statement_step step = STATEMENT_FORWARD;

	if (have >= f->body_len && f->body_len > 0)
		step = statements_query(x, message, FRAME_HEAD_LEN + (size_t)f->body_len);
	if (step == STATEMENT_FORWARD && have >= f->body_len &&
	    !listen_is_no_concern(x, message, FRAME_HEAD_LEN + have))
		step = listen_query(x, message, FRAME_HEAD_LEN + (size_t)f->body_len);
	if (step != STATEMENT_FORWARD)
		return step;
	if (have > f->body_len)
		have = f->body_len;
	step = session_query(x, (const char *)message + FRAME_HEAD_LEN, have, f->body_len, shown);
	if (step == STATEMENT_FORWARD && statements_simple_query(x) == STATEMENT_FAILED)
		return STATEMENT_FAILED;
	return step;
}

static enum walk_result
send_simple(struct request_walk *w, const struct frame *f, enum owed_kind kind)
{
	struct exchange *x = w->x;
	struct server *srv = x->srv;
	size_t have = w->len - w->at - FRAME_HEAD_LEN;
	enum statement_step step = STATEMENT_FORWARD;
	unsigned shown = 0;

	if (kind == OWED_QUERY && have < f->body_len && f->body_len <= QUERY_WHOLE_MAX)
		return WALK_MORE;
	if (kind == OWED_QUERY)
		step = look_into_query(x, w->p + w->at, have, f, &shown);
	else if (session_function_call(x) < 0)
		step = STATEMENT_FAILED;
	if (step == STATEMENT_HOLD)
		return WALK_HOLD;
	if (step == STATEMENT_FAILED)
		return out_of_memory(x);
	report_request_begins(x, srv);
	srv->loan.statements_run = 0;
	srv->loan.has_run = true;
	if (push_request(x, kind, 1, shown) < 0)
		return out_of_memory(x);
	if (kind == OWED_QUERY)
		report_text(srv, w->p + w->at + FRAME_HEAD_LEN, have < f->body_len ? have : f->body_len, f->body_len,
			    true);
	/* is_synced stays as it is: behind messages without a Sync it may be skipped, and then a Sync is still due. */
	if (step == STATEMENT_DONE) {
		w->at += FRAME_HEAD_LEN + (size_t)f->body_len;
		return WALK_ON;
	}
	return forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

static enum walk_result
send_extended(struct request_walk *w, const struct frame *f, enum owed_kind kind)
{
	struct server *srv = w->x->srv;

	if (srv->is_synced)
		report_request_begins(w->x, srv);
	if (ledger_push(&srv->ledger, kind, OWED_TO_CLIENT, NULL) < 0)
		return out_of_memory(w->x);
	srv->is_synced = false;
	return forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

static enum walk_result
send_sync(struct request_walk *w)
{
	struct server *srv = w->x->srv;

	if (srv->is_synced)
		report_request_begins(w->x, srv);
	if (push_request(w->x, OWED_SYNC, srv->loan.statements_run, 0) < 0)
		return out_of_memory(w->x);
	srv->loan.statements_run = 0;
	srv->is_synced = true;
	statements_sync(w->x);
	return forward(w, FRAME_HEAD_LEN);
}

/* The portal's name ends within what has come, or it is one we need not know: then it is taken for a named one. */
static const char *
portal_of(const struct request_walk *w, const struct frame *f)
{
	const uint8_t *name = w->p + w->at + FRAME_HEAD_LEN;
	size_t have = w->len - w->at - FRAME_HEAD_LEN;

	return f->body_len > 0 && have > 0 && *name == 0 ? "" : "?";
}

static enum walk_result
send_listen_execute(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len;

	switch (x->listen == NULL || w->len - w->at < total ? STATEMENT_FORWARD
							    : listen_execute(x, w->p + w->at, total)) {
	case STATEMENT_FAILED:
		return out_of_memory(x);
	case STATEMENT_DONE:
		if (ledger_push(&x->srv->ledger, OWED_EXECUTE, OWED_TO_CLIENT, NULL) < 0)
			return out_of_memory(x);
		x->srv->is_synced = false;
		drop(w, total);
		return WALK_ON;
	default:
		return send_extended(w, f, OWED_EXECUTE);
	}
}

static enum walk_result
send_execute(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	const char *portal;
	enum walk_result r;

	if (x->session == NULL && x->listen == NULL) {
		x->srv->loan.statements_run++;
		return send_extended(w, f, OWED_EXECUTE);
	}
	if (w->len - w->at < FRAME_HEAD_LEN + (size_t)f->body_len && f->body_len < QUERY_WHOLE_MAX)
		return WALK_MORE;
	portal = portal_of(w, f);
	switch (x->session == NULL ? STATEMENT_FORWARD : session_before_execute(x, portal)) {
	case STATEMENT_HOLD:
		return WALK_HOLD;
	case STATEMENT_FAILED:
		return out_of_memory(x);
	default:
		break;
	}
	x->srv->loan.statements_run++;
	r = send_listen_execute(w, f);
	return r == WALK_ON && x->session != NULL && session_after_execute(x, portal) < 0 ? out_of_memory(x) : r;
}

static enum walk_result
send_bind(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len, have = w->len - w->at, used = 0;
	const char *portal, *statement;

	if (have > total)
		have = total;
	if (have < total && total <= QUERY_WHOLE_MAX)
		return WALK_MORE;
	if (!fields_bind(w->p + w->at + FRAME_HEAD_LEN, have - FRAME_HEAD_LEN, &portal, &statement, &used)) {
		if (have == total)
			return violated(w, "a Bind message without its names' terminators", 'B');
		if (have > SERVER_CARRY_MAX)
			return violated(w, "a Bind message with names longer than pgweir takes", 'B');
		return WALK_MORE;
	}
	if (x->sole_use != NULL && sole_use_bind(x, statement) < 0)
		return out_of_memory(x);
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	switch (statements_bind(x, w->p + w->at, w->len - w->at, total, &used)) {
	case STATEMENT_FAILED:
		return out_of_memory(x);
	case STATEMENT_HOLD:
		return WALK_HOLD;
	case STATEMENT_DONE: /* its head is sent already, rewritten; the rest follows as it is */
		x->srv->is_synced = false;
		x->srv->loan.has_run = true;
		x->srv->loan.bytes_from_client += total;
		w->at += used;
		outbox_ref(&x->env->to_server, w->p + w->at, have - used);
		w->at += have - used;
		x->body_left = (uint32_t)(total - have);
		x->is_body_dropped = false;
		return WALK_ON;
	default:
		x->srv->loan.has_run = true;
		return send_extended(w, f, OWED_BIND);
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

/* Its name is there; the text comes in pieces. */
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
		return out_of_memory(x);
	x->srv->is_synced = false;
	if (step == STATEMENT_DONE) { /* another message was sent in its place */
		drop(w, total);
		return WALK_ON;
	}
	return scan_oversize_parse(x, body, have, f->body_len) < 0 ? out_of_memory(x) : forward(w, total);
}

/* Parse, Describe, Close: looked into whole. */
static enum walk_result
send_named(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len, have = w->len - w->at;
	const uint8_t *message = w->p + w->at;
	enum statement_step step;
	enum owed_kind kind = OWED_PARSE;

	if (f->type == 'P' && f->body_len > x->entry->settings.max_statement_size) {
		if (memchr(message + FRAME_HEAD_LEN, 0, have - FRAME_HEAD_LEN) == NULL) {
			if (have > SERVER_CARRY_MAX)
				return violated(w, "a Parse message with a name longer than pgweir takes", 'P');
			return WALK_MORE;
		}
		if (x->srv->is_synced)
			report_request_begins(x, x->srv);
		sole_use_forget(x);
		return send_oversize_parse(w, f);
	}
	if (have < total)
		return WALK_MORE;
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	if (f->type == 'P')
		step = statements_parse(x, message, total);
	else if (f->type == 'D')
		step = statements_describe(x, message, total);
	else
		step = statements_close(x, message, total);
	if (step == STATEMENT_FAILED)
		return out_of_memory(x);
	if (step == STATEMENT_HOLD)
		return WALK_HOLD;
	if (step == STATEMENT_DONE) {
		x->srv->is_synced = false;
		x->srv->loan.bytes_from_client += total;
		w->at += total;
		return WALK_ON;
	}
	if (f->type == 'D')
		kind = have > FRAME_HEAD_LEN && message[FRAME_HEAD_LEN] == 'P' ? OWED_DESCRIBE_PORTAL
									       : OWED_DESCRIBE_STATEMENT;
	else if (f->type == 'C')
		kind = OWED_CLOSE;
	return send_extended(w, f, kind);
}

/* The Syncs that stand between an Execute and what ends its COPY IN are ignored: then another one is due. */
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
		return out_of_memory(w->x);
	return forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

/* Once for a message: one that is held until the answers have come does not make it happen again. */
static int
catch_up(struct exchange *x)
{
	const struct server *srv = x->srv;

	if (x->replication != 0 || x->has_caught_up || srv->ledger.count > 0 || !srv->is_synced || srv->tx == 'E')
		return 0;
	x->has_caught_up = true;
	return session_catch_up(x);
}

static enum walk_result
linked(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;

	x->has_run = true;
	if (x->session != NULL && session_holds(x))
		return WALK_HOLD;
	/* It kept its server, whose settings are not its own any more: a RESET has run. */
	if (x->srv->image != x->image && catch_up(x) < 0)
		return out_of_memory(x);
	if (x->statements != NULL && f->type != 'd' && f->type != 'c' && f->type != 'f')
		switch (statements_undo(x, false)) {
		case STATEMENT_HOLD:
			return WALK_HOLD;
		case STATEMENT_FAILED:
			return out_of_memory(x);
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
		return send_sync(w);
	case 'c':
	case 'f':
		return send_copy_end(w, f);
	default: /* CopyData, Flush */
		return forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
	}
}

static enum walk_result
linked_and_kept(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	size_t at = w->at, total = x->env->to_server.total;
	enum walk_result r = linked(w, f);

	if (r != WALK_HOLD)
		x->has_caught_up = false;

	if (r != WALK_OVER && w->at > at)
		rerun_keep(x, w->p + at, w->at - at, x->env->to_server.total != total);
	return r;
}

/* What a client without a server may send and need none for. */
static enum walk_result
unlinked(struct request_walk *w, const struct frame *f)
{
	w->x->has_run = true;
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len;

	switch (f->type) {
	case 'S':
		exchange_answer(w->x, "Z\0\0\0\5I", 6);
		drop(w, total);
		return WALK_ON;
	case 'H':
	case 'd': /* late: the COPY it belonged to has failed; PostgreSQL ignores them too */
	case 'c':
	case 'f':
		drop(w, total);
		return WALK_ON;
	case 'P':
		if (w->len - w->at < total + FRAME_HEAD_LEN || w->p[w->at + total] != 'S' ||
		    !statements_parse_unlinked(w->x, w->p + w->at, total))
			return borrow(w);
		exchange_answer(w->x, "1\0\0\0\4", 5);
		drop(w, total);
		return WALK_ON;
	case 'C':
		if (w->len - w->at < total)
			return WALK_MORE;
		if (!statements_close_unlinked(w->x, w->p + w->at, total))
			return borrow(w); /* malformed: PostgreSQL has the right words for it */
		exchange_answer(w->x, "3\0\0\0\4", 5);
		drop(w, total);
		return WALK_ON;
	default:
		return borrow(w);
	}
}

static enum walk_result
console_message(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len;

	if (total > SERVER_CARRY_MAX)
		return violated(w, "a message is too long for the console", f->type);
	if (w->len - w->at < total)
		return WALK_MORE;
	w->at += total;
	x->env->ops->console_message(x, f->type, w->p + w->at - f->body_len, f->body_len);
	return x->is_closing ? WALK_OVER : WALK_ON;
}

static enum walk_result
looked(struct request_walk *w, enum listen_look look)
{
	switch (look) {
	case LISTEN_WAIT:
		return WALK_WAIT;
	case LISTEN_MORE:
		return WALK_MORE;
	case LISTEN_FAILED:
		return out_of_memory(w->x);
	default:
		return WALK_ON;
	}
}

static enum walk_result
look_for_listen(struct request_walk *w, const struct frame *f)
{
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len;

	if (f->type != 'Q' && f->type != 'P' && f->type != 'E')
		return WALK_ON;
	if (f->type == 'E' ? w->x->listen == NULL
			   : f->type == 'Q' && listen_is_no_concern(w->x, w->p + w->at, w->len - w->at))
		return WALK_ON;
	return looked(w, listen_look(w->x, w->p + w->at, w->len - w->at, total));
}

static enum walk_result
look_for_notify(struct request_walk *w, const struct frame *f)
{
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len;

	if (w->x->entry->hubs == NULL || (f->type != 'Q' && f->type != 'P' && f->type != 'B'))
		return WALK_ON;
	return looked(w, listen_look_at_sender(w->x, w->p + w->at, w->len - w->at, total));
}

static enum walk_result
one_message(struct request_walk *w)
{
	struct exchange *x = w->x;
	struct frame f;
	enum frame_result r = frame_parse(w->p + w->at, w->len - w->at, &f);
	uint32_t limit;
	bool was_linked = x->srv != NULL;
	enum walk_result step;

	if (r == FRAME_PARTIAL)
		return WALK_MORE;
	limit = frame_client_limit(w->p[w->at]);
	if (r == FRAME_BAD || (limit > 0 && f.body_len > limit))
		return violated(w, "invalid message length", w->p[w->at]);
	if (limit == 0)
		return violated(w, "invalid frontend message type", f.type);
	if (f.type == 'X')
		return WALK_LEAVE;
	if ((f.type == 'S' || f.type == 'H') && f.body_len > 0)
		return violated(w, "invalid message format", f.type);
	if (x->state == CL_CONSOLE)
		return console_message(w, &f);
	if (x->state == CL_RETRYING)
		return WALK_HOLD;
	if ((step = look_for_listen(w, &f)) != WALK_ON)
		return step;
	if (!was_linked) {
		size_t at = w->at;

		step = unlinked(w, &f);
		if (step != WALK_ON || w->at != at)
			return step;
	}
	step = look_for_notify(w, &f);
	return step == WALK_ON ? linked_and_kept(w, &f) : step;
}

static enum walk_result
walk(struct request_walk *w)
{
	struct exchange *x = w->x;
	enum walk_result r = WALK_ON;

	while (w->at < w->len && r == WALK_ON) {
		size_t n = w->len - w->at;

		if (x->body_left > 0) {
			n = n < x->body_left ? n : x->body_left;
			if (!x->is_body_dropped && x->srv != NULL)
				outbox_ref(&x->env->to_server, w->p + w->at, n);
			if (x->is_body_scanned)
				session_text(x, w->p + w->at, n, n == x->body_left);
			x->body_left -= (uint32_t)n;
			w->at += n;
		} else if (x->state == CL_REJECTING) {
			n = refuse_bytes(x, w->p + w->at, n);
			if (n == 0)
				return WALK_MORE;
			w->at += n;
			r = x->is_closing ? WALK_OVER : WALK_ON;
		} else
			r = one_message(w);
	}
	return r;
}

static void
stall_if_full(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv == NULL || x->is_stalled || (!stream_is_full(&srv->stream) && srv->ledger.count < LEDGER_HIGH))
		return;
	x->is_stalled = true;
	stream_set_reading(&x->stream, false);
}

void
relay_unstall(struct exchange *x)
{
	struct server *srv = x->srv;

	if (!x->is_stalled || stream_is_full(&x->stream) ||
	    (srv != NULL && (stream_is_full(&srv->stream) || srv->ledger.count > LEDGER_HIGH / 2)))
		return;
	x->is_stalled = false;
	stream_set_reading(&x->stream, true);
}

/* True if bytes were lost. */
static bool
flush_to_server(struct exchange *x)
{
	struct outbox *o = &x->env->to_server;

	if (o->to == NULL)
		return false;
	x->entry->database->counters.bytes_out[NS_SERVER] += o->total;
	return outbox_flush(o) < 0;
}

void
relay_bytes(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct exchange_env *env = x->env;
	struct request_walk w;
	struct server *srv = x->srv;
	enum walk_result r;
	bool is_lost;

	w.x = x;
	w.p = bytes;
	w.len = len;
	w.at = 0;
	w.has_why = false;
	if (srv != NULL)
		exchange_begin_batch(env, &env->to_server, &srv->stream);
	x->is_in_relay = true;
	r = walk(&w);
	x->is_in_relay = false;
	if (x->srv != NULL)
		rerun_keep_rest(x, w.p + w.at);
	if (r == WALK_OVER) {
		outbox_drop(&env->to_server);
		return;
	}
	/* What is waited for must come, even if no Sync was sent yet. */
	if (r == WALK_HOLD && x->srv->ledger.count > 0)
		outbox_copy(&env->to_server, "H\0\0\0\4", 5);
	is_lost = flush_to_server(x);
	if (env->to_client.to == &x->stream && outbox_flush(&env->to_client) < 0)
		is_lost = true;
	if (x->entry != NULL)
		x->entry->database->counters.bytes_in[NS_CLIENT] += len;
	if (r == WALK_LEAVE) {
		exchange_close(x, w.has_why ? &w.why : NULL);
		return;
	}
	if (is_lost || exchange_keep(x, w.p + w.at, w.len - w.at) < 0) {
		out_of_memory(x);
		return;
	}
	if (r == WALK_HOLD) {
		if (x->srv == NULL || x->srv->ledger.count == 0) {
			log_error(env->log, "BUG: client %llu waits for a reply that nobody owes",
				  (unsigned long long)x->id);
			out_of_memory(x);
			return;
		}
		client_step(x, CE_HOLD);
	}
	srv = x->srv;
	if (srv == NULL)
		return;
	srv->loan.sent_us = *env->now_us;
	stall_if_full(x);
	relay_try_release(x);
}

/* --- giving back --- */

static bool
may_return(const struct exchange *x, const struct server *srv)
{
	return srv->ledger.count == 0 && !srv->ledger.is_skipping && srv->is_synced && srv->tx == 'I' &&
	       (x->body_left == 0 || x->is_body_dropped) && srv->cancel == NULL && srv->state == SV_LENT &&
	       !statements_hold_server(x);
}

static void
give_back(struct exchange *x, struct server *srv)
{
	unsigned parts = session_seal(x);

	session_leaves_sequences(x);
	listen_unlinked(x, srv);
	x->srv = NULL;
	x->idle_since_us = *x->env->now_us;
	relay_unstall(x);
	stream_set_reading(&srv->stream, true);
	if (srv->is_closing || srv->ledger.is_doubtful) {
		x->entry->counters.recycles[RR_DIRTY]++;
		srv->link = NULL;
		server_close(srv);
	} else
		pool_entry_return(srv, parts, *x->env->now_us);
}

void
relay_try_release(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv == NULL || x->is_in_relay || !exchange_is_ready(x) ||
	    (!may_return(x, srv) && !replication_is_streaming(x))) /* which is never between two requests */
		return;
	if (x->is_session && !x->entry->is_orphan && !x->env->is_draining)
		return;
	if (x->env->is_draining || x->entry->is_orphan) {
		struct fail why;

		fail_set(&why, "57P01",
			 x->env->is_draining ? "pgweir is shutting down"
					     : "the database was removed from pgweir's configuration");
		exchange_close(x, &why);
		return;
	}
	switch (statements_undo(x, true)) {
	case STATEMENT_FAILED:
		exchange_out_of_memory(x);
		return;
	case STATEMENT_DONE:
		return;
	default:
		break;
	}
	if (listen_holds_server(x) || !session_may_release(x))
		return;
	give_back(x, srv);
}

void
relay_leave(struct exchange *x)
{
	struct server *srv = x->srv;
	const struct owed *head;
	bool is_dirty, is_replaying;
	uint64_t since_us;

	session_stop_lingering(x);
	if (x->ticket.is_waiting)
		pool_cancel(x->entry->policy, &x->ticket, *x->env->now_us);
	if (srv == NULL)
		return;
	if (x->env->to_server.to == &srv->stream)
		outbox_drop(&x->env->to_server);
	listen_unlinked(x, srv);
	if (x->replication != 0) {
		replication_leave(x);
		return;
	}
	/* In mid-login nobody knows which of its settings are there. */
	/* A cancel could hit our settings, and what is behind would run without them. */
	head = ledger_head(&srv->ledger);
	is_replaying = head != NULL && head->to == OWED_TO_IMAGE && ledger_owes_client(&srv->ledger, &since_us);
	is_dirty = (x->is_session && x->has_run) || x->state == CL_WELCOME || statements_hold_server(x) ||
		   statements_are_materialised(x) || session_is_dirty(x);
	if (session_is_tainted(x))
		srv->is_closing = true;
	if (!srv->is_closing && may_return(x, srv) && !x->is_in_relay && !is_dirty) {
		give_back(x, srv);
		return;
	}
	x->srv = NULL;
	if (srv->tx != 'I' || srv->ledger.count > 0)
		x->entry->database->counters.transactions[TE_LOST]++;
	/* In mid-message, or with bytes in an outbox that nobody will send, its input can't be trusted any more. */
	if (x->is_in_relay || srv->is_closing || is_replaying || (x->body_left > 0 && !x->is_body_dropped)) {
		if (srv->ledger.count > 0 && !is_replaying)
			server_cancel(srv, 5000000, NULL, NULL);
		x->entry->counters.recycles[RR_DIRTY]++;
		srv->link = NULL;
		server_close(srv);
		return;
	}
	pool_entry_clean(srv, is_dirty, *x->env->now_us);
}
