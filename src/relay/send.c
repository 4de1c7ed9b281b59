/*
 * src/relay/send.c - the slow lane, for a client with a server: parses a message, shows it to the features
 * (features.c), enters it in the server's ledger and sends it as it is, unless a feature has sent something else.
 */
#include "relay/features.h"
#include "relay/forbid.h"
#include "exchange/report.h"
#include "relay/walk.h"
#include "state/compiled.h"
#include "state/linger.h"
#include "statements/unnamed.h"

#define WHOLE_BODY_MAX 4096u /* a Query or Bind with a body of at most this many bytes is handled as a whole */

/* Sends the message unchanged from byte `from` on; the bytes before `from` were sent in another form. The rest of the
 * message may come later. */
static enum walk_result
walk_forward(struct request_walk *w, size_t from, size_t total)
{
	struct exchange *x = w->x;
	size_t have = w->len - w->at, n = total < have ? total : have;

	outbox_ref(&x->env->to_server, walk_message(w) + from, n - from);
	x->srv->loan.bytes_from_client += total;
	x->body_left = (uint32_t)(total - n);
	x->is_body_dropped = false;
	x->is_body_data = *walk_message(w) == 'd';
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

/* Begins w->m. Keeps what the fast lane has found for a Bind, so its statement is looked up only once. */
static void
begin_request(struct request_walk *w, const struct frame *f)
{
	struct request m = { .type = f->type };

	if (w->m.message == walk_message(w) && w->m.is_found) {
		m.names = w->m.names;
		m.named = w->m.named;
		m.statement = w->m.statement;
		m.traits = w->m.traits;
		m.risk = w->m.risk;
		m.is_found = true;
	}
	m.message = walk_message(w);
	m.have = w->len - w->at;
	m.total = FRAME_HEAD_LEN + (size_t)f->body_len;
	w->m = m;
}

/* Reads the SQL of a Query. Partial and malformed queries have no traits. */
static void
read_query(struct request_walk *w, const struct frame *f)
{
	struct request *m = &w->m;

	m->risk = state_risk_of_unknown_sql(w->x);
	if (m->have < m->total && w->x->settings->forbidden != 0)
		m->forbidden = FORBIDDEN_SIZE;
	if (m->have < m->total || f->body_len == 0 || m->message[m->total - 1] != 0)
		return;
	if (w->scanned != m->message)
		walk_scan_query(w, f);
	m->sql = (const char *)m->message + FRAME_HEAD_LEN;
	m->sql_len = f->body_len - 1;
	m->risk = w->risk;
	m->traits = &w->traits;
	m->scan = &w->scan;
	traits_set_from_scan(&w->traits, &w->scan, m->sql, m->sql_len);
	if (w->x->settings->forbidden != 0)
		m->forbidden = forbid_find_rule(w->x, true, m->sql, m->sql_len);
}

/* Reads the SQL of a Parse. The SQL of a stored statement was read when it was first seen. */
static void
read_parse(struct exchange *x, struct request *m)
{
	struct statement *st;

	if (!fields_read_parse(m->message + FRAME_HEAD_LEN, m->total - FRAME_HEAD_LEN, &m->parse))
		return;
	m->sql = (const char *)m->parse.rest;
	m->sql_len = m->parse.query_len;
	m->traits = &m->parse_traits;
	if (x->settings->forbidden != 0)
		m->forbidden = forbid_find_rule(x, false, m->sql, m->sql_len);
	st = statement_peek(x->pool->home, m->parse.rest, m->parse.rest_len);
	if (st != NULL) {
		m->parse_traits = *(m->parse.name[0] == '\0' ? statement_traits(st) : statement_parse_traits(st));
		return;
	}
	traits_set_for_all_options(&m->parse_traits, m->sql, m->sql_len);
	if (m->parse.name[0] != '\0')
		traits_add_parse_hints(&m->parse_traits, m->sql, m->sql_len);
}

static bool
is_oversize(const struct exchange *x, const struct frame *f)
{
	return f->type == 'P' && f->body_len > x->settings->max_statement_size;
}

/* Returns true if the message is handled only once all of it has come. */
static bool
must_be_whole(const struct exchange *x, const struct frame *f)
{
	switch (f->type) {
	case 'Q':
		if (x->settings->forbidden != 0)
			return f->body_len <= x->settings->max_statement_size;
		/* fall through */
	case 'B':
		return f->body_len <= WHOLE_BODY_MAX;
	case 'P':
		return !is_oversize(x, f);
	case 'C':
	case 'D':
	case 'E':
		return true; /* frame_client_limit() keeps these short */
	default:
		return false;
	}
}

enum walk_result
walk_read_request(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;

	begin_request(w, f);
	if (w->m.have < w->m.total && must_be_whole(x, f))
		return WALK_MORE;
	if (f->type == 'Q')
		read_query(w, f);
	else if (f->type == 'P' && !is_oversize(x, f))
		read_parse(x, &w->m);
	return WALK_ON;
}

/* If earlier SQL may change how PostgreSQL reads this SQL, adds the traits that the SQL has in any other reading. */
static void
widen_traits(struct request_walk *w)
{
	struct request *m = &w->m;
	struct sql_traits anyhow;

	if (m->traits == NULL || !state_may_misread(w->x))
		return;
	traits_set_for_all_options(&anyhow, m->sql, m->sql_len);
	w->traits.flags |= anyhow.flags;
	w->traits.hints |= anyhow.hints;
	w->traits.is_plain = w->traits.is_plain && anyhow.is_plain;
}

static enum feature_step
show_function_call(struct exchange *x)
{
	if (state_must_run_elsewhere(x) || state_waits_for_sequences(x, SCAN_CODE))
		return STEP_HOLD;
	state_observe_function_call(x);
	if (x->srv->loan.commit.is_on)
		commit_check_note_function_call(x);
	return STEP_FORWARD;
}

/* Sends a Sync in place of the Query, because a message ahead of the Query has failed, and the client has got that
 * error. PostgreSQL ignores all messages up to the Sync. */
static enum walk_result
send_sync_instead(struct request_walk *w)
{
	struct exchange *x = w->x;

	ledger_push_request(&x->srv->ledger, OWED_SYNC, OWED_TO_CLIENT,
			    &(struct owed_request){ .started_us = x->request_us, .statements = 1 });
	x->srv->is_synced = true;
	statements_note_sync(x);
	outbox_copy(&x->env->to_server, "S\0\0\0\4", 5);
	walk_drop(w, w->m.total);
	return WALK_ON;
}

static enum walk_result
send_simple(struct request_walk *w, const struct frame *f, enum owed_kind kind)
{
	struct exchange *x = w->x;
	struct request *m = &w->m;
	size_t total = m->total, body_len = request_body_len(m);
	enum feature_step step = STEP_FORWARD;

	if (x->srv->loan.held_behind_ours != NOTHING_BEHIND) {
		if (x->srv->ledger.count > 0)
			return WALK_HOLD;
		x->srv->loan.held_behind_ours = NOTHING_BEHIND;
		if (x->srv->ledger.intake == INTAKE_SYNC)
			return send_sync_instead(w);
	}
	if (m->forbidden != FORBIDDEN_NOTHING && !forbid_replace(m))
		return walk_out_of_memory(x);
	if (m->forbidden == FORBIDDEN_NOTHING && kind == OWED_QUERY)
		step = statements_deallocate_here(x, m);
	if (step == STEP_REPLACED) {
		walk_drop(w, total);
		return WALK_ON;
	}
	if (step == STEP_FORWARD) {
		if (kind == OWED_QUERY)
			widen_traits(w);
		step = kind == OWED_QUERY ? features_request(x, m) : show_function_call(x);
	}
	if (step == STEP_FORWARD && m->forbidden != FORBIDDEN_NOTHING)
		step = STEP_REPLACED;
	if (step == STEP_REPLACED) {
		statements_note_unnamed_dropped(x, NULL, 0);
		outbox_put(&x->env->to_server, &m->instead);
	} else if (step == STEP_FORWARD && kind == OWED_QUERY)
		statements_note_unnamed_dropped(x, m->sql, m->sql_len);
	buf_fini(&m->instead);
	if (step == STEP_HOLD || step == STEP_FAILED)
		return walk_result_of(x, step);
	walk_push_query(w, kind, m->shown_count, walk_is_scanned(w));
	if (kind == OWED_QUERY)
		walk_report_query(w, f, body_len, walk_is_scanned(w));
	if (step == STEP_FORWARD)
		return walk_forward(w, 0, total);
	walk_drop(w, total);
	return WALK_ON;
}

static enum walk_result
walk_send_extended(struct request_walk *w, const struct frame *f, enum owed_kind kind)
{
	struct server *srv = w->x->srv;

	if (srv->is_synced)
		report_request_begins(w->x, srv);
	ledger_push(&srv->ledger, kind, OWED_TO_CLIENT, NULL);
	srv->is_synced = false;
	return walk_forward(w, 0, FRAME_HEAD_LEN + (size_t)f->body_len);
}

static enum walk_result
send_execute(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	struct request *m = &w->m;
	enum feature_step step;
	enum walk_result r;

	if (x->session == NULL && x->listen == NULL && x->srv->loan.commit.phase == COMMIT_NOT) {
		x->srv->loan.statements_run++;
		return walk_send_extended(w, f, OWED_EXECUTE);
	}
	/* The features need only know if the portal has a name. */
	m->portal = m->total > FRAME_HEAD_LEN && m->have > FRAME_HEAD_LEN && m->message[FRAME_HEAD_LEN] == 0 ? "" : "?";
	step = features_request(x, m);
	if ((r = walk_result_of(x, step)) != WALK_ON)
		return r;
	if (step == STEP_REPLACED) { /* another message was sent in place of the Execute */
		ledger_push(&x->srv->ledger, OWED_EXECUTE, OWED_TO_CLIENT, NULL);
		x->srv->is_synced = false;
		walk_drop(w, m->total);
	} else
		r = walk_send_extended(w, f, OWED_EXECUTE);
	x->srv->loan.statements_run++;
	if (x->session != NULL)
		state_after_execute(x, m->portal);
	return r;
}

enum walk_result
walk_read_bind(struct request_walk *w)
{
	struct request *m = &w->m;
	size_t have = m->have < m->total ? m->have : m->total;

	if (m->names.statement != NULL || fields_read_bind(m->message + FRAME_HEAD_LEN, have - FRAME_HEAD_LEN,
							   &m->names.portal, &m->names.statement, &m->names.len))
		return WALK_ON;
	if (have == m->total)
		return walk_protocol_error(w, "a Bind message without its names' terminators", 'B');
	if (have > SERVER_CARRY_MAX)
		return walk_protocol_error(w, "a Bind message with names longer than pgweir takes", 'B');
	return WALK_MORE;
}

static enum walk_result
send_bind(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	enum walk_result r = walk_read_bind(w);
	enum feature_step step;

	if (r != WALK_ON)
		return r;
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	step = features_request(x, &w->m);
	if ((r = walk_result_of(x, step)) != WALK_ON)
		return r;
	walk_note_bind(w);
	if (step == STEP_FORWARD)
		return walk_send_extended(w, f, OWED_BIND);
	x->srv->is_synced = false;
	return walk_forward(w, w->m.skip_len, w->m.total); /* the Bind's beginning was rewritten and sent */
}

/* Shows the features a Parse, Describe or Close. Forwards a malformed message, because PostgreSQL knows the right
 * error. */
static enum feature_step
show_named(struct exchange *x, struct request *m)
{
	if (m->type != 'P')
		return fields_read_target(m->message + FRAME_HEAD_LEN, m->total - FRAME_HEAD_LEN, &m->target, &m->name)
			   ? features_request(x, m)
			   : STEP_FORWARD;
	if (m->traits == NULL)
		return STEP_FORWARD;
	report_text(x->srv, m->parse.rest, m->sql_len, m->sql_len, false);
	return features_request(x, m);
}

static enum walk_result
send_forbidden_parse(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	size_t total = w->m.total, name_len = strlen(w->m.parse.name) + 1;
	const uint8_t *sql = (const uint8_t *)w->m.parse.name + name_len;
	size_t have = request_body_len(&w->m) - name_len;
	enum feature_step step;
	enum walk_result r;

	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	report_text(x->srv, sql, strnlen((const char *)sql, have), f->body_len - name_len, false);
	if (!forbid_replace(&w->m))
		return walk_out_of_memory(x);
	step = features_request(x, &w->m);
	if (step == STEP_FORWARD) {
		ledger_push(&x->srv->ledger, OWED_PARSE, OWED_TO_CLIENT, NULL);
		outbox_put(&x->env->to_server, &w->m.instead);
	}
	if (step == STEP_REPLACED) /* the outbox may refer to m.instead, which is freed next */
		outbox_flush_early(&x->env->to_server);
	buf_fini(&w->m.instead);
	if ((r = walk_result_of(x, step)) != WALK_ON)
		return r;
	x->srv->is_synced = false;
	walk_drop(w, total);
	return WALK_ON;
}

/* Sends a Parse whose SQL comes in pieces. */
static enum walk_result
send_large_parse(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	const char *name = (const char *)walk_message(w) + FRAME_HEAD_LEN;
	size_t have = request_body_len(&w->m), name_len = strnlen(name, have) + 1;
	enum feature_step step;
	enum walk_result r;

	if (name_len > have) {
		if (have == f->body_len)
			return walk_send_extended(w, f, OWED_PARSE); /* malformed: PostgreSQL knows the right error */
		if (have > SERVER_CARRY_MAX)
			return walk_protocol_error(w, "a Parse message with a name longer than pgweir takes", 'P');
		return WALK_MORE;
	}
	if (x->settings->forbidden != 0) {
		w->m.forbidden = FORBIDDEN_SIZE;
		w->m.parse.name = name;
		return send_forbidden_parse(w, f);
	}
	if (state_waits_for_sequences(x, SCAN_CODE))
		return WALK_HOLD;
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	state_note_run(x, state_risk_of_unknown_sql(x));
	step = statements_oversize_parse(x, name, name + name_len, have - name_len, f->body_len - name_len);
	if ((r = walk_result_of(x, step)) != WALK_ON)
		return r;
	x->srv->is_synced = false;
	if (step == STEP_FORWARD)
		return walk_forward(w, 0, w->m.total);
	walk_drop(w, w->m.total); /* another message was sent in place of the Parse */
	return WALK_ON;
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

/* Sends a Parse, Describe or Close, all of which has come. */
static enum walk_result
send_named(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	enum feature_step step;
	enum walk_result r;

	if (is_oversize(x, f))
		return send_large_parse(w, f);
	if (w->m.forbidden != FORBIDDEN_NOTHING)
		return send_forbidden_parse(w, f);
	if (x->srv->is_synced)
		report_request_begins(x, x->srv);
	step = show_named(x, &w->m);
	if (w->m.instead.len > 0) {
		outbox_flush_early(&x->env->to_server);
		buf_fini(&w->m.instead);
	}
	if ((r = walk_result_of(x, step)) != WALK_ON)
		return r;
	if (step == STEP_FORWARD)
		return walk_send_extended(w, f, kind_of_named(&w->m));
	x->srv->is_synced = false;
	x->srv->loan.bytes_from_client += FRAME_HEAD_LEN + (size_t)f->body_len;
	w->at += FRAME_HEAD_LEN + (size_t)f->body_len;
	return WALK_ON;
}

static enum walk_result
send_copy_end(struct request_walk *w, const struct frame *f)
{
	const struct ledger *l = &w->x->srv->ledger;
	const struct owed *o = NULL;

	/* PostgreSQL ignores Syncs between an Execute and the end of its COPY IN, so another Sync will be due. */
	for (uint32_t n = l->count; n > 0 && (o = ledger_at(l, n - 1))->kind == OWED_SYNC;)
		n--;
	if (o != NULL && o->kind == OWED_EXECUTE)
		w->x->srv->is_synced = false;
	ledger_push(&w->x->srv->ledger, OWED_COPY_END, OWED_TO_CLIENT, NULL);
	return walk_forward(w, 0, FRAME_HEAD_LEN + (size_t)f->body_len);
}

/*
 * Makes the server's settings equal to the client's before a message that runs something. The settings may differ if
 * the client has kept its server since a RESET or DISCARD ALL. They are replayed as soon as nothing is owed, and once
 * per message, even if the message is held and handled again.
 */
static enum walk_result
set_gucs(struct exchange *x)
{
	const struct server *srv = x->srv;

	if (srv->ledger.count == 0 && x->session != NULL && state_end_discard_request(x))
		return WALK_HOLD;
	if (srv->ledger.count > 0)
		return walk_has_settings(x) ? WALK_ON : WALK_HOLD;
	if (srv->gucs == x->gucs || x->replication != 0 || x->has_sent_gucs || !srv->is_synced || srv->tx == 'E')
		return WALK_ON;
	x->has_sent_gucs = true;
	return state_send_client_gucs(x) < 0 ? walk_out_of_memory(x) : WALK_ON;
}

static enum walk_result
send_frame(struct request_walk *w, const struct frame *f)
{
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
	default: /* Flush, CopyData */
		if (f->type == 'H')
			ledger_note_flush(&w->x->srv->ledger);
		return walk_forward(w, 0, FRAME_HEAD_LEN + (size_t)f->body_len);
	}
}

enum walk_result
walk_send_linked(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	struct loan *loan = &x->srv->loan;
	enum walk_result r;

	x->has_run = true;
	/* Within COPY IN only messages of the COPY may be sent. PostgreSQL ends a connection that sends other messages;
	 * but if the COPY has failed meanwhile, PostgreSQL would run them. */
	if (x->srv->ledger.intake == INTAKE_COPY && !walk_runs(f->type))
		return send_frame(w, f);
	if (x->srv->ledger.intake == INTAKE_COPY) {
		server_condemn(x->srv, SERVER_IN_DOUBT);
		return walk_protocol_error(w, "unexpected message type during COPY from stdin", f->type);
	}
	if (x->session != NULL && state_holds(x))
		return WALK_HOLD;
	if (loan->held_behind_ours >= ALL_BEHIND_SETTINGS) {
		if (x->srv->ledger.count > 0)
			return WALK_HOLD;
		loan->held_behind_ours = NOTHING_BEHIND;
	}
	/* If a client with session state has run a DISCARD ALL, set_gucs() must end that request (with a Sync). */
	if ((x->srv->gucs != x->gucs || x->session != NULL) && walk_runs(f->type) && (r = set_gucs(x)) != WALK_ON)
		return r;
	return send_frame(w, f);
}
