/*
 * src/relay/fast.c - the fast lane: a message that concerns no feature is entered in the ledger and put in the outbox.
 *
 * The lane is open while no feature has anything under way for this client (is_open). Then the SQL alone decides: a
 * simple Query is scanned here; the SQL of a Parse or Bind was scanned when it was first seen. SQL that leaves nothing
 * in the session is plain. Everything else, and a message that has not come whole, takes the slow lane (send.c).
 */
#include "relay/report.h"
#include "relay/retry.h"
#include "relay/walk.h"
#include "state/state.h"
#include "statements/statements.h"

#include "wire/fields.h"

#include <string.h>

/* The part of is_open() that does not depend on a server. */
static bool
is_open_client(const struct exchange *x)
{
	return !x->is_session && x->replication == 0 && x->state == CL_READY && x->listen == NULL &&
	       x->sole_use == NULL && x->entry->hubs == NULL && !image_has_prepared(x->image) &&
	       !statements_are_materialised(x) && session_is_quiet(x);
}

static bool
is_open(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return srv->image == x->image && !srv->ledger.is_skipping && !srv->ledger.is_copy_open && is_open_client(x);
}

/* Borrows a server if the client has none. WALK_ON: the lane is (still) open. */
static enum walk_result
enter(struct request_walk *w)
{
	struct exchange *x = w->x;
	enum walk_result r;

	if (x->srv != NULL)
		return WALK_ON;
	x->has_run = true;
	r = walk_borrow(w);
	return r == WALK_ON && !is_open(x) ? WALK_SLOWLY : r;
}

static enum walk_result
fast_query(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	const uint8_t *sql = walk_message(w) + FRAME_HEAD_LEN;
	enum walk_result r;

	if (f->body_len == 0 || session_reads_anyhow(x))
		return WALK_SLOWLY;
	scan_text(&w->scan, image_scan_options(x->image), (const char *)sql, f->body_len - 1);
	w->scanned = walk_message(w);
	if (!session_is_plain(w->scan.flags, w->scan.hints))
		return WALK_SLOWLY;
	if ((r = enter(w)) != WALK_ON)
		return r;
	if (w->scan.flags != 0 && x->srv->tx == 'E')
		return WALK_SLOWLY; /* it may end the failed transaction, and go on */
	if (w->scan.flags != 0 && session_waits_for_sequences(x, w->scan.flags))
		return WALK_HOLD;
	if (session_plain_query(x, w->scan.flags) < 0 || statements_simple_query(x) == STATEMENT_FAILED)
		return walk_out_of_memory(x);
	if ((r = walk_push_query(w, OWED_QUERY, 0)) != WALK_ON)
		return r;
	report_text(x->srv, sql, f->body_len, f->body_len, true);
	return walk_forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

static enum walk_result
fast_parse(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	struct statement *st;
	struct parse_fields fields;
	enum walk_result r;

	if (!fields_parse(walk_message(w) + FRAME_HEAD_LEN, f->body_len, &fields) || fields.name[0] != '\0')
		return WALK_SLOWLY;
	st = statements_plain_unnamed(x, &fields);
	if (st == NULL)
		return WALK_SLOWLY;
	if ((r = enter(w)) != WALK_ON) {
		statement_unref(st);
		return r;
	}
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	report_text(x->srv, fields.rest, fields.query_len + 1, fields.query_len + 1, false);
	if (statements_take_unnamed(x, st) < 0)
		return walk_out_of_memory(x);
	x->srv->is_synced = false;
	return walk_forward(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

static enum walk_result
fast_bind(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	const uint8_t *message = walk_message(w);
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len, used = 0;
	enum walk_result r = enter(w);

	if (r != WALK_ON)
		return r;
	switch (statements_bind_plain(x, message, w->len - w->at, total, &used)) {
	case STATEMENT_FAILED:
		return walk_out_of_memory(x);
	case STATEMENT_HOLD:
		return WALK_HOLD;
	case STATEMENT_FORWARD:
		return WALK_SLOWLY;
	case STATEMENT_DONE:
		break;
	}
	x->srv->is_synced = false;
	walk_note_bind(x, (const char *)message + FRAME_HEAD_LEN + strlen((const char *)message + FRAME_HEAD_LEN) + 1);
	x->srv->loan.bytes_from_client += total;
	outbox_ref(&x->env->to_server, message + used, total - used);
	w->at += total;
	return WALK_ON;
}

static enum walk_result
fast_describe(struct request_walk *w, const struct frame *f)
{
	if (f->body_len == 0 || walk_message(w)[FRAME_HEAD_LEN] != 'P' || statements_expect_describe(w->x))
		return WALK_SLOWLY;
	return walk_send_extended(w, f, OWED_DESCRIBE_PORTAL);
}

static enum walk_result
fast_execute(struct request_walk *w, const struct frame *f)
{
	w->x->srv->loan.statements_run++;
	return walk_send_extended(w, f, OWED_EXECUTE);
}

static enum walk_result
fast_message(struct request_walk *w, const struct frame *f)
{
	switch (f->type) {
	case 'Q':
		return fast_query(w, f);
	case 'P':
		return fast_parse(w, f);
	case 'B':
		return fast_bind(w, f);
	default:
		break;
	}
	if (w->x->srv == NULL)
		return WALK_SLOWLY;
	switch (f->type) {
	case 'D':
		return fast_describe(w, f);
	case 'E':
		return fast_execute(w, f);
	case 'S':
		return walk_send_sync(w);
	default:
		return WALK_SLOWLY;
	}
}

enum walk_result
walk_fast(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	const uint8_t *message = walk_message(w);
	enum walk_result r;

	if (w->len - w->at < FRAME_HEAD_LEN + (size_t)f->body_len)
		return WALK_SLOWLY;
	w->is_open = w->is_open || (x->srv == NULL ? is_open_client(x) : is_open(x));
	if (!w->is_open)
		return WALK_SLOWLY;
	r = fast_message(w, f);
	if (r == WALK_ON) {
		x->has_run = true;
		x->has_caught_up = false;
		rerun_keep(x, message, (size_t)(walk_message(w) - message), true);
	}
	return r;
}
