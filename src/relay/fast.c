/*
 * src/relay/fast.c - the fast lane: a message that concerns no feature is entered in the ledger and put in the outbox.
 *
 * The lane is open while no feature has anything in progress for this client (walk_fast). Then the SQL alone decides: a
 * simple Query is scanned here; the SQL of a Parse or Bind was scanned when it was first seen. SQL that leaves nothing
 * in the session is plain. Everything else, and any incomplete message, takes the slow lane (send.c).
 */
#include "exchange/report.h"
#include "relay/features.h"
#include "relay/query_timeout.h"
#include "relay/forbid.h"
#include "relay/resend.h"
#include "relay/walk.h"
#include "state/compiled.h"
#include "state/linger.h"
#include "statements/keep.h"
#include "statements/unnamed.h"
#include "wire/fields.h"

/* Returns true if the server allows the fast lane. */
static bool
allows_fast_lane(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return srv->gucs == x->gucs && srv->ledger.intake == INTAKE_ALL && !srv->loan.has_foreign_plans &&
	       srv->loan.held_behind_ours == NOTHING_BEHIND;
}

__attribute__((noinline)) static enum walk_result
borrow(struct request_walk *w)
{
	enum walk_result r = walk_borrow(w, true);

	return r == WALK_ON && !allows_fast_lane(w->x) ? WALK_SLOWLY : r;
}

/* --- what both lanes send --- */

static void
push_request(struct exchange *x, enum owed_kind kind, uint32_t statements, unsigned shown)
{
	struct owed_request r = { x->request_us, statements, (uint8_t)shown };

	ledger_push_request(&x->srv->ledger, kind, OWED_TO_CLIENT, &r);
}

/* Adds the risk of the text and values in the message, because the functions that the SQL calls may run that text or
 * those values as SQL. */
__attribute__((noinline)) static void
note_risky_run(const struct request_walk *w, unsigned risk)
{
	const struct code_answer *answer = w->x->pool->code->answer;
	size_t total = 1 + (size_t)wire_u32(walk_message(w) + 1), have = w->len - w->at;

	if ((risk & RISK_DYNAMIC) == RISK_DYNAMIC)
		risk |= risk_of_runnable_text(answer == NULL ? NULL : answer->risks, (const char *)walk_message(w),
					      have < total ? have : total);
	state_note_run(w->x, risk);
}

/* Records that the message at w->at is about to run. */
static inline void
note_run(const struct request_walk *w, unsigned risk)
{
	if (risk != 0)
		note_risky_run(w, risk);
	else
		state_note_run(w->x, 0);
}

inline void
walk_note_bind(struct request_walk *w)
{
	const struct request *m = &w->m;

	note_run(w, m->is_found ? m->risk : state_risk_of_unknown_sql(w->x));
	report_bind(w->x, m->message + FRAME_HEAD_LEN, request_body_len(m));
}

/* Does not set is_synced: if messages without a Sync came before the Query, PostgreSQL may skip the Query, and a Sync
 * is still due. */
inline void
walk_push_query(struct request_walk *w, enum owed_kind kind, unsigned shown, bool is_scanned)
{
	struct server *srv = w->x->srv;

	report_request_begins(w->x, srv);
	srv->loan.statements_run = 0;
	note_run(w, is_scanned ? w->risk : state_risk_of_unknown_sql(w->x));
	push_request(w->x, kind, 1, shown);
}

inline enum walk_result
walk_send_sync(struct request_walk *w)
{
	struct server *srv = w->x->srv;

	if (srv->is_synced)
		report_request_begins(w->x, srv);
	push_request(w->x, OWED_SYNC, srv->loan.statements_run, 0);
	srv->loan.statements_run = 0;
	srv->is_synced = true;
	statements_note_sync(w->x);
	return walk_forward_whole(w, FRAME_HEAD_LEN);
}

/* --- one message --- */

/* Borrows a server if the client has none. Returns WALK_ON if the lane is (still) open. */
__attribute__((always_inline)) static inline enum walk_result
enter(struct request_walk *w)
{
	if (w->x->srv == NULL)
		return borrow(w);
	return query_timeout_may_hold(w->x) ? WALK_SLOWLY : WALK_ON;
}

/* Forwards a Describe or Execute. */
static inline enum walk_result
forward_extended(struct request_walk *w, const struct frame *f, enum owed_kind kind)
{
	struct server *srv = w->x->srv;

	if (srv->is_synced) {
		if (query_timeout_may_hold(w->x))
			return WALK_SLOWLY;
		report_request_begins(w->x, srv);
	}
	ledger_push(&srv->ledger, kind, OWED_TO_CLIENT, NULL);
	srv->is_synced = false;
	return walk_forward_whole(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

/* Returns true if the Query may be a BEGIN that borrows no server until the transaction's first statement comes. */
static inline bool
may_wait_for_statement(const struct request_walk *w)
{
	return (w->scan.first == WORD_BEGIN || w->scan.first == WORD_START_TRANSACTION) && w->x->srv == NULL &&
	       w->x->settings->begin == BEGIN_DEFERRED;
}

static enum walk_result
fast_query(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	const uint8_t *sql = walk_message(w) + FRAME_HEAD_LEN;
	enum walk_result r;

	if (f->body_len == 0 || (x->srv != NULL && state_may_misread(x)))
		return WALK_SLOWLY;
	walk_scan_query(w, f);
	if (!traits_are_plain(w->scan.flags, w->scan.hints) || (w->risk & STATE_SEQUENCES) != 0 ||
	    (x->settings->commit_check &&
	     commit_check_may_concern_query(x, &w->scan, (const char *)sql, f->body_len - 1)))
		return WALK_SLOWLY;
	if (x->settings->forbidden != 0 &&
	    forbid_find_rule(x, true, (const char *)sql, f->body_len - 1) != FORBIDDEN_NOTHING)
		return WALK_SLOWLY;
	if (may_wait_for_statement(w))
		return WALK_SLOWLY;
	if ((r = enter(w)) != WALK_ON)
		return r;
	if (w->scan.flags != 0 && x->srv->tx == 'E')
		return WALK_SLOWLY; /* the Query may end the failed transaction, and run more statements */
	if (w->scan.flags != 0 && state_waits_for_sequences(x, w->scan.flags))
		return WALK_HOLD;
	state_observe_plain_query(x, w->scan.flags);
	statements_note_unnamed_dropped(x, (const char *)sql, f->body_len - 1);
	walk_push_query(w, OWED_QUERY, 0, true);
	walk_report_query(w, f, f->body_len, true);
	return walk_forward_whole(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

/* Returns WALK_ON if the Parse must be sent as it is. */
__attribute__((noinline)) static enum walk_result
keep_parse(struct request_walk *w, const struct frame *f, struct statement *st, unsigned risk)
{
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len;

	switch (statements_handle_kept_parse(w->x, st, risk)) {
	case STEP_FORWARD:
		return WALK_ON;
	case STEP_REPLACED:
		w->x->srv->loan.bytes_from_client += total;
		w->at += total;
		return WALK_ANSWERED;
	default:
		statement_unref(st);
		return walk_out_of_memory(w->x);
	}
}

__attribute__((always_inline)) static inline enum walk_result
fast_parse(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	struct statement *st = statements_get_plain_unnamed(x, walk_message(w) + FRAME_HEAD_LEN, f->body_len);
	const struct sql_traits *v;
	enum walk_result r;
	unsigned risk = 0;

	if (st == NULL)
		return WALK_SLOWLY;
	v = statement_traits(st);
	if (((v->hints & SCAN_HINT_ENDS) != 0 && x->settings->commit_check) ||
	    (x->settings->forbidden != 0 &&
	     forbid_find_rule(x, false, (const char *)st->bytes, st->query_len) != FORBIDDEN_NOTHING))
		r = WALK_SLOWLY;
	else if ((r = enter(w)) == WALK_ON) {
		risk = state_risk_of(x, st);
		if ((v->flags | risk) != 0 && state_may_need_discard(x))
			r = WALK_SLOWLY;
	}
	if (r != WALK_ON) {
		statement_unref(st);
		return r;
	}
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	report_statement(x->srv, st);
	x->srv->is_synced = false;
	if (x->settings->keep_plans && (r = keep_parse(w, f, st, risk)) != WALK_ON)
		return r;
	statements_take_unnamed(x, st, risk);
	return walk_forward_whole(w, FRAME_HEAD_LEN + (size_t)f->body_len);
}

/* Describe and Execute of the unnamed portal, without a limit: nearly all drivers send these after a Bind. */
static const char run_all[] = "D\0\0\0\6P\0"
			      "E\0\0\0\11\0\0\0\0\0";

#define RUN_ALL_LEN (sizeof(run_all) - 1)

__attribute__((always_inline)) static inline enum walk_result
fast_bind(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	struct request *m = &w->m;
	enum walk_result r;
	size_t forward;

	m->message = walk_message(w);
	m->total = forward = FRAME_HEAD_LEN + (size_t)f->body_len;
	m->have = w->len - w->at;
	m->is_found = false;
	if (!fields_read_bind(m->message + FRAME_HEAD_LEN, f->body_len, &m->names.portal, &m->names.statement,
			      &m->names.len))
		return WALK_SLOWLY;
	if ((r = enter(w)) != WALK_ON)
		return r;
	if (x->settings->commit_check && commit_check_may_concern_bind(x, m))
		return WALK_SLOWLY;
	switch (statements_bind_plain(x, m)) {
	case STEP_FAILED:
		return walk_out_of_memory(x);
	case STEP_HOLD:
		return WALK_HOLD;
	case STEP_FORWARD:
		return WALK_SLOWLY;
	case STEP_REPLACED:
		break;
	}
	x->srv->is_synced = false;
	walk_note_bind(w);
	/* If the two messages of run_all come next, they are handled together with the Bind. */
	if (m->have - m->total >= RUN_ALL_LEN && memcmp(m->message + m->total, run_all, RUN_ALL_LEN) == 0 &&
	    !statements_describe_is_slow(x)) {
		x->srv->loan.statements_run++;
		ledger_push_both(&x->srv->ledger, OWED_DESCRIBE_PORTAL, OWED_EXECUTE);
		forward += RUN_ALL_LEN;
	}
	x->srv->loan.bytes_from_client += forward;
	outbox_ref(&x->env->to_server, m->message + m->skip_len, forward - m->skip_len);
	w->at += forward;
	return WALK_ON;
}

static enum walk_result
fast_describe(struct request_walk *w, const struct frame *f)
{
	if (f->body_len == 0 || walk_message(w)[FRAME_HEAD_LEN] != 'P' || statements_describe_is_slow(w->x))
		return WALK_SLOWLY;
	return forward_extended(w, f, OWED_DESCRIBE_PORTAL);
}

static enum walk_result
fast_execute(struct request_walk *w, const struct frame *f)
{
	enum walk_result r = forward_extended(w, f, OWED_EXECUTE);

	if (r == WALK_ON)
		w->x->srv->loan.statements_run++;
	return r;
}

static enum walk_result
fast_portal(struct request_walk *w, const struct frame *f)
{
	if (f->body_len > frame_client_limit(f->type))
		return WALK_SLOWLY;
	return f->type == 'D' ? fast_describe(w, f) : f->type == 'E' ? fast_execute(w, f) : WALK_SLOWLY;
}

/* A Query, Parse or Bind borrows a server; the other messages need the client to have one. A switch with few cases
 * takes fewer instructions than a table. */
__attribute__((always_inline)) static inline enum walk_result
fast_message(struct request_walk *w, const struct frame *f)
{
	bool has_server = w->x->srv != NULL;

	switch (f->type) {
	case 'Q':
		return fast_query(w, f);
	case 'P':
		return fast_parse(w, f);
	case 'B':
		return fast_bind(w, f);
	case 'S':
		return has_server && f->body_len == 0 ? walk_send_sync(w) : WALK_SLOWLY;
	default:
		return has_server ? fast_portal(w, f) : WALK_SLOWLY;
	}
}

/* Sends pgweir's own reply now if PostgreSQL owes none. Before a Bind, waits to send both replies together. */
__attribute__((noinline)) static void
finish_answered(struct request_walk *w, const uint8_t *message, size_t len)
{
	struct ledger *l = &w->x->srv->ledger;

	retry_keep(w->x, message, len, false);
	if ((w->at == w->len || *walk_message(w) != 'B') && ledger_is_all_local(l))
		ledger_advance(l);
}

/* Leaves the fast lane with the result r. If all owed replies are pgweir's own, sends them now, and returns WALK_SLOWLY
 * in place of WALK_HOLD, because the message need not wait any more. */
__attribute__((noinline)) static enum walk_result
leave_fast(struct request_walk *w, enum walk_result r)
{
	struct server *srv = w->x->srv;

	if (r == WALK_OVER || srv == NULL || !ledger_is_all_local(&srv->ledger))
		return r;
	ledger_advance(&srv->ledger);
	return r == WALK_HOLD ? WALK_SLOWLY : r;
}

/* Handles all messages up to the first that the fast lane can't take. */
__attribute__((always_inline)) static inline enum walk_result
walk_messages(struct request_walk *w)
{
	struct frame f;

	while (w->at < w->len) {
		const uint8_t *message = walk_message(w);
		enum walk_result r;

		if (!frame_parse_whole(message, w->len - w->at, &f)) /* incomplete, or its length is invalid */
			return leave_fast(w, WALK_SLOWLY);
		r = fast_message(w, &f);
		if (r == WALK_ANSWERED) {
			finish_answered(w, message, FRAME_HEAD_LEN + (size_t)f.body_len);
			continue;
		}
		if (r != WALK_ON)
			return leave_fast(w, r);
		retry_keep_sent(w->x, f.type, message, FRAME_HEAD_LEN + (size_t)f.body_len);
	}
	return WALK_ON;
}

/* Handles messages while no feature has anything in progress. */
__attribute__((noinline)) static enum walk_result
walk_quiet_messages(struct request_walk *w)
{
	struct exchange *x = w->x;
	size_t begun = w->at;
	enum walk_result r = x->is_session || !features_are_quiet(x) || (x->srv != NULL && !allows_fast_lane(x))
				 ? WALK_SLOWLY
				 : walk_messages(w);

	if (w->at > begun) {
		/* everything that was sent runs under its client's settings */
		assert(r == WALK_OVER || x->srv->gucs == x->gucs);
		x->has_run = true;
		x->has_sent_gucs = false;
	}
	return r;
}

enum walk_result
walk_fast(struct request_walk *w)
{
	size_t len = w->len;
	enum walk_result r;

	if (w->x->state == CL_READY && w->x->block == EXCHANGE_ORDINARY)
		return walk_quiet_messages(w);
	if (!reads_limit_to_passing(w))
		return WALK_SLOWLY;
	r = walk_quiet_messages(w);
	w->len = len; /* reads_limit_to_passing() may have lowered w->len */
	return r;
}
