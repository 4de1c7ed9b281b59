/*
 * src/relay/requests.c - a client's bytes, walked message by message; see walk.h. replies.c handles the replies.
 *
 * Each message that the server will answer is entered in its ledger; the bytes of a batch are sent by one call. The
 * first message that needs a server borrows one; if no server is free, the bytes wait in the exchange.
 */
#include "relay/begin.h"
#include "commit_check/commit_check.h"
#include "relay/query_timeout.h"
#include "relay/reads.h"
#include "exchange/report.h"
#include "pipeline/pipeline.h"
#include "relay/resend.h"
#include "state/state.h"
#include "state/compiled.h"
#include "state/linger.h"
#include "state/observe.h"
#include "listen/listen.h"

#include <assert.h>

#define LEDGER_HIGH 32768u /* pgweir stops reading from a client whose server owes this many replies */

enum walk_result
walk_out_of_memory(struct exchange *x)
{
	exchange_out_of_memory(x);
	return WALK_OVER;
}

enum walk_result
walk_protocol_error(struct request_walk *w, const char *what, uint8_t type)
{
	fail_set(&w->why, "08P01", "%s (type 0x%02x)", what, type);
	w->has_why = true;
	return WALK_LEAVE;
}

/* --- borrowing --- */

/* Returns true if all messages up to the Sync have come, and they run only one statement. */
static bool
is_one_statement(const struct request_walk *w)
{
	size_t at = w->at;
	struct frame f;
	bool is_first = true, may_bind = false;

	for (; frame_parse_whole(w->p + at, w->len - at, &f);
	     at += FRAME_HEAD_LEN + (size_t)f.body_len, is_first = false)
		switch (f.type) {
		case 'P':
			if (!is_first)
				return false;
			may_bind = true;
			break;
		case 'B':
			if (!is_first && !may_bind)
				return false;
			may_bind = false;
			break;
		case 'D':
		case 'E':
			break;
		default:
			return f.type == 'S';
		}
	return false;
}

/* Returns true if plans that other clients have made on the server may matter to the request: see
 * state_needs_plans(). */
__attribute__((noinline)) static bool
needs_plans(struct request_walk *w)
{
	const uint8_t *body = walk_message(w) + FRAME_HEAD_LEN;
	struct exchange *x = w->x;
	struct parse_fields fields;
	struct request m = { .type = 'B' };
	struct statement *st;
	struct frame f;

	if (!frame_parse_whole(walk_message(w), w->len - w->at, &f) || f.body_len == 0)
		return true;
	if (f.type == 'Q')
		return !walk_is_scanned(w) || state_needs_plans(x, (const char *)body, f.body_len - 1, w->risk);
	if ((f.type != 'P' && f.type != 'B') || !is_one_statement(w) || statements_pass_through(x))
		return true;
	if (f.type == 'P') {
		if (!fields_read_parse(body, f.body_len, &fields) ||
		    (st = statement_peek(x->pool->home, fields.rest, fields.rest_len)) == NULL)
			return true;
		return state_needs_plans(x, (const char *)st->bytes, st->query_len, state_risk_of(x, st));
	}
	if (!fields_read_bind(body, f.body_len, &m.names.portal, &m.names.statement, &m.names.len) ||
	    statements_find_bound(x, &m) != STEP_FORWARD || m.statement == NULL)
		return true;
	return state_needs_plans(x, (const char *)m.statement->bytes, m.statement->query_len, m.risk);
}

/* Prepares a server that may have plans, or a seed of random(), of another client's. */
__attribute__((noinline)) static void
prepare_shared_server(struct exchange *x, struct request_walk *w)
{
	state_prepare_shared_server(x, w == NULL || x->block == EXCHANGE_BEGIN_DUE || !state_plans_may_differ(x) ||
					   needs_plans(w));
}

/* Links srv, which was lent to the client. w: at the message for which srv was borrowed; NULL if that message has
 * waited, and is handled after this call. Returns 0; or -1 if there was no memory, so the client is closed. */
static inline int
link_server(struct exchange *x, struct server *srv, struct request_walk *w)
{
	x->srv = srv;
	srv->loan.sent.named_before = statements_last_name_number(x);
	if (x->listen != NULL) /* without LISTEN, nothing has to be done here */
		listen_linked(x, srv);
	exchange_begin_batch(x->env, &x->env->to_server, &srv->stream);
	report_lent(x, w == NULL ? x->waiter.waited_us : 0);
	if (srv->gucs != x->gucs && state_send_client_gucs(x) < 0) {
		walk_out_of_memory(x);
		return -1;
	}
	if (srv->plan_gucs != NULL || srv->random_known_to != 0)
		prepare_shared_server(x, w);
	if (x->settings->commit_check && srv->loan.standby == 0)
		commit_check_got_server(x);
	return 0;
}

/* Ends the wait for a server. connect_us: as for report_waited(). */
static void
end_wait(struct exchange *x, uint64_t connect_us, enum wait_outcome outcome)
{
	report_waited(x, connect_us, outcome);
	x->waiter.idle_since_us = *x->env->now_us;
	stream_set_reading(&x->stream, true);
}

/* Sends the messages that must go ahead of the first one on a new server: the question to a standby, a BEGIN. */
static inline void
send_ahead_of_first(struct exchange *x)
{
	if (x->srv->loan.standby != 0)
		relay_ask_standby(x);
	if (x->block == EXCHANGE_BEGIN_DUE)
		relay_send_deferred_begin(x);
	reads_note_server(x);
}

static void
on_grant(struct policy_conn *conn, struct policy_waiter *t)
{
	struct exchange *x = exchange_of_waiter(t);
	struct server *srv = pool_granted(conn, x, *x->env->now_us);

	assert(x->srv == NULL && !x->is_closing);
	end_wait(x, x->waiter.connect_us, WAIT_SERVED);
	exchange_step(x, CE_GRANTED);
	if (conn->ahead_count > 0)
		pipeline_check_lent(x, srv);
	if (x->state == CL_WELCOME) {
		x->env->ops->login_granted(x, srv);
		return;
	}
	if (reads_return_unless_primary(x, srv) || link_server(x, srv, NULL) < 0)
		return;
	send_ahead_of_first(x);
	exchange_handle_pending(x, relay_bytes);
	if (x->settings->max_pipeline > 1)
		pipeline_fill(srv);
}

static void
on_refuse(const struct fail *why, enum request_failure kind, struct policy_waiter *t)
{
	struct exchange *x = exchange_of_waiter(t);

	assert(x->srv == NULL && !x->is_closing);
	end_wait(x, kind == RF_BACKEND_UNREACHABLE ? UINT64_MAX : x->waiter.connect_us,
		 kind == RF_POOL_TIMEOUT ? WAIT_TIMEOUT : WAIT_REFUSED);
	exchange_step(x, CE_REFUSED);
	if (kind == RF_POOL_TIMEOUT)
		x->env->ops->timed_out(x, why);
	if (x->state == CL_WELCOME)
		x->env->ops->login_not_granted(x, why, kind);
	else
		reject_request(x, why, kind);
}

const struct policy_waiter_ops relay_waiter_ops = { on_grant, on_refuse, reject_hint_at_holders };

void
relay_cancel_wait(struct exchange *x)
{
	struct fail why;

	if (x->state == CL_CATCHING_UP) {
		reads_stop_catching_up(x);
		x->waiter.since_us = x->request_us;
	} else if (x->state == CL_IN_LINE)
		policy_cancel(x->pool->policy, &x->waiter, *x->env->now_us);
	else
		return;
	fail_set(&why, "57014", "canceling statement due to user request");
	end_wait(x, x->waiter.connect_us, WAIT_GIVEN_UP);
	exchange_step(x, CE_REFUSED);
	reject_request(x, &why, RF_CANCELED);
}

/* Links srv, which was lent to the client; if srv is NULL, makes the client wait. */
__attribute__((always_inline)) static inline enum walk_result
link_or_wait(struct request_walk *w, struct server *srv)
{
	struct exchange *x = w->x;

	if (srv == NULL) {
		exchange_step(x, CE_NEED_SERVER);
		linger_return_servers_soon(x->env);
		return WALK_WAIT;
	}
	x->waiter.waited_us = x->waiter.connect_us = 0;
	w->borrowed_at = w->at;
	return link_server(x, srv, w) < 0 ? WALK_OVER : WALK_ON;
}

/* Borrows a server for a client whose reads standbys may answer. */
__attribute__((noinline)) static enum walk_result
borrow_by_route(struct request_walk *w, bool is_fast_lane)
{
	enum walk_result r = reads_borrow(w, is_fast_lane);

	if (r == WALK_ON && (r = link_or_wait(w, w->lent)) == WALK_ON)
		send_ahead_of_first(w->x);
	return r;
}

__attribute__((always_inline)) inline enum walk_result
walk_borrow(struct request_walk *w, bool is_fast_lane)
{
	struct exchange *x = w->x;
	struct exchange_env *env = x->env;

	if (env->is_draining && x->block != EXCHANGE_BEGIN_DUE) {
		fail_set(&w->why, "57P01", "pgweir is shutting down");
		fail_pgbouncer_text(&w->why, "server shutting down");
		w->has_why = true;
		return WALK_LEAVE;
	}
	if (x->session != NULL && state_is_refused(x, &w->why)) {
		w->has_why = true;
		return WALK_LEAVE;
	}
	x->waiter.gucs = x->gucs;
	if (is_fast_lane ? x->settings->reads != READS_PRIMARY : reads_concern(x))
		return borrow_by_route(w, is_fast_lane);
	return link_or_wait(w, pool_borrow(x->pool, &x->waiter, x, *env->now_us));
}

static enum walk_result
send_and_keep(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	size_t at = w->at, total = x->env->to_server.total;
	bool was_synced = x->srv->is_synced;
	enum walk_result r = walk_send_linked(w, f);

	assert(r != WALK_ON || x->srv == NULL || walk_has_settings(x) || !was_synced || !walk_runs(f->type));
	if (r != WALK_HOLD)
		x->has_sent_gucs = false;
	if (r != WALK_OVER && w->at > at)
		retry_keep(x, w->p + at, w->at - at, x->env->to_server.total != total);
	return r;
}

/* Handles a message of a client without a server, if pgweir can answer the message itself, or if no answer is due.
 * Returns false if the message needs a server. */
static bool
handle_here(struct request_walk *w, uint8_t type, size_t total)
{
	struct exchange *x = w->x;

	if (w->m.forbidden != FORBIDDEN_NOTHING)
		return false;
	if (x->block == EXCHANGE_BEGIN_DUE && walk_runs(type)) /* a transaction is open */
		return type == 'Q' && relay_answer_begin_or_end(x, &w->m);
	switch (type) {
	case 'S': /* for the client, a transaction that was lost with its server has failed */
		exchange_answer(x,
				x->block >= EXCHANGE_ROLLED_BACK ? "Z\0\0\0\5E"
				: x->block == EXCHANGE_BEGIN_DUE ? "Z\0\0\0\5T"
								 : "Z\0\0\0\5I",
				6);
		return true;
	case 'H':
	case 'd': /* the COPY to which these messages belong has failed; PostgreSQL ignores such messages, too */
	case 'c':
	case 'f':
		return true;
	case 'P':
		if (w->len - w->at < total + FRAME_HEAD_LEN || w->p[w->at + total] != 'S' ||
		    !statements_parse_unlinked(x, &w->m))
			return false;
		exchange_answer(x, "1\0\0\0\4", 5);
		return true;
	case 'Q':
		return relay_answer_begin_or_end(x, &w->m) || statements_deallocate_here(x, &w->m) == STEP_REPLACED;
	case 'C':
		if (!statements_close_without_server(x, walk_message(w), total))
			return false; /* malformed: PostgreSQL knows the right error */
		exchange_answer(x, "3\0\0\0\4", 5);
		return true;
	default:
		return false;
	}
}

static enum walk_result
console_message(struct request_walk *w, const struct frame *f)
{
	struct exchange *x = w->x;
	size_t total = FRAME_HEAD_LEN + (size_t)f->body_len;

	if (total > SERVER_CARRY_MAX)
		return walk_protocol_error(w, "a message is too long for the console", f->type);
	if (w->len - w->at < total)
		return WALK_MORE;
	w->at += total;
	x->env->ops->console_message(x, f->type, w->p + w->at - f->body_len, f->body_len);
	return x->is_closing ? WALK_OVER : WALK_ON;
}

static enum walk_result
result_of_gate(struct request_walk *w, enum listen_gate gate)
{
	return gate == LISTEN_WAIT ? WALK_WAIT : gate == LISTEN_FAILED ? walk_out_of_memory(w->x) : WALK_ON;
}

static enum walk_result
pass_sender_gate(struct request_walk *w)
{
	struct exchange *x = w->x;
	uint8_t type = w->m.type;
	enum walk_result r;

	if (x->pool->listeners == NULL || (type != 'Q' && type != 'P' && type != 'B'))
		return WALK_ON;
	if (type == 'B' && !statements_pass_through(x)) {
		if ((r = walk_read_bind(w)) != WALK_ON ||
		    (r = walk_result_of(x, statements_find_bound(x, &w->m))) != WALK_ON)
			return r;
	}
	return result_of_gate(w, listen_gate_sender(x, &w->m));
}

/* Returns true if a Terminate must wait, because the client has not got all answers to its earlier messages. */
static bool
must_await_answers(const struct exchange *x)
{
	const struct ledger *l = x->srv != NULL ? &x->srv->ledger : NULL;
	uint64_t since_us;

	return l != NULL && ledger_owes_client(l, &since_us) && ledger_is_due(l, false);
}

static enum walk_result
handle_one_message(struct request_walk *w)
{
	struct exchange *x = w->x;
	struct frame f;
	enum frame_result r = frame_parse(w->p + w->at, w->len - w->at, &f);
	uint32_t limit;
	enum walk_result step;

	if (r == FRAME_PARTIAL)
		return WALK_MORE;
	limit = frame_client_limit(w->p[w->at]);
	if (r == FRAME_BAD || (limit > 0 && f.body_len > limit))
		return walk_protocol_error(w, "invalid message length", w->p[w->at]);
	if (limit == 0)
		return walk_protocol_error(w, "invalid frontend message type", f.type);
	if (f.type == 'X')
		return must_await_answers(x) ? WALK_HOLD : WALK_LEAVE;
	if ((f.type == 'S' || f.type == 'H') && f.body_len > 0)
		return walk_protocol_error(w, "invalid message format", f.type);
	if (x->state == CL_CONSOLE)
		return console_message(w, &f);
	if (x->state == CL_RETRYING || (!commit_check_is_quiet(x) && commit_check_must_hold(x, f.type)) ||
	    query_timeout_delays_message(x, f.type))
		return WALK_HOLD;
	if ((step = walk_read_request(w, &f)) != WALK_ON)
		return step;
	if (x->block < EXCHANGE_ROLLED_BACK && (f.type == 'Q' || f.type == 'P' || f.type == 'E') &&
	    (step = result_of_gate(w, listen_gate_message(x, &w->m))) != WALK_ON)
		return step;
	if (x->srv != NULL && x->block != EXCHANGE_ORDINARY && (step = reads_check_next(w)) != WALK_ON)
		return step;
	if (x->srv == NULL) {
		size_t total = FRAME_HEAD_LEN + (size_t)f.body_len;

		x->has_run = true;
		step = x->block >= EXCHANGE_ROLLED_BACK && walk_runs(f.type) ? reject_in_failed_block(w)
		       : handle_here(w, f.type, total)			     ? WALK_ON
									     : WALK_SLOWLY;
		if (step == WALK_ON) {
			walk_drop(w, total);
			return x->is_closing ? WALK_OVER
					     : WALK_ON; /* without memory for the answer, the client was closed */
		}
		if (step != WALK_SLOWLY || (step = walk_borrow(w, false)) != WALK_ON)
			return step;
	}
	step = pass_sender_gate(w);
	return step == WALK_ON ? send_and_keep(w, &f) : step;
}

__attribute__((always_inline)) static inline enum walk_result
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
			if (x->session != NULL)
				state_observe_text(x, w->p + w->at, n, n == x->body_left);
			x->body_left -= (uint32_t)n;
			w->at += n;
		} else if (x->state == CL_REJECTING && w->p[w->at] != 'X') {
			n = reject_bytes(x, w->p + w->at, n);
			if (n == 0)
				return WALK_MORE;
			w->at += n;
			r = x->is_closing ? WALK_OVER : WALK_ON;
		} else if ((r = walk_fast(w)) == WALK_SLOWLY)
			r = handle_one_message(w);
	}
	return r;
}

static void
stall_if_full(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv == NULL || x->reading == EXCHANGE_STALLED ||
	    (!stream_is_full(&srv->stream) && srv->ledger.count < LEDGER_HIGH))
		return;
	exchange_stall(x);
}

void
relay_unstall(struct exchange *x)
{
	struct server *srv = x->srv;

	if (!query_timeout_is_cancelling(srv) &&
	    (srv == NULL || (!stream_is_full(&srv->stream) && srv->ledger.count <= LEDGER_HIGH / 2)))
		exchange_unstall(x);
}

/*
 * Call when the flush of a batch has found the connection broken; `total` bytes were to be sent, of which `walked` were
 * the client's. If the client has only the walked bytes on this server, and none of them was sent early, PostgreSQL has
 * begun nothing. The outbox is empty by now, but pieces[0] still has its old length.
 */
__attribute__((cold)) static void
note_unsent(struct exchange *x, size_t total, size_t walked)
{
	struct loan *loan = &x->srv->loan;
	size_t first_len = x->env->to_server.pieces[0].iov_len;

	if (exchange_is_begun_ahead(x, x->srv) && first_len + walked == total)
		total = first_len; /* a BEGIN was put ahead of the walked bytes */
	if (loan->sent.copy.len == walked && first_len == total && x->srv->stream.tls == NULL)
		loan_set_end(loan, LOAN_REST_UNEXECUTED);
}

/* Sends the outbox to the server. Returns true if there was no memory for bytes, or for the ledger's entries for them;
 * then nothing more is sent. */
static bool
flush_to_server(struct exchange *x, size_t walked)
{
	struct outbox *o = &x->env->to_server;
	size_t total = o->total;
	bool is_lost;

	if (x->srv != NULL && x->srv->conn->ahead_count > 0)
		pipeline_drop_if_sent(x, x->srv);
	if (o->to == NULL)
		return false;
	if (x->srv != NULL && x->srv->ledger.trust == LEDGER_SHORT)
		return true;
	x->pool->database->counters.bytes_out[NS_SERVER] += total;
	is_lost = outbox_flush(o) < 0;
	if (x->srv != NULL && x->srv->stream.is_broken)
		note_unsent(x, total, walked);
	return is_lost;
}

static inline enum walk_result
walk_batch(struct request_walk *w)
{
	struct exchange *x = w->x;
	enum walk_result r;

	if (x->srv != NULL) {
		if (ledger_has_ahead(&x->srv->ledger) && pipeline_hold_request(x))
			return WALK_HOLD;
		exchange_begin_batch(x->env, &x->env->to_server, &x->srv->stream);
		resend_begin(x);
	}
	x->is_in_relay = true;
	r = walk(w);
	x->is_in_relay = false;
	if (x->srv != NULL) {
		retry_keep_rest(x, w->p + w->at);
		resend_keep_bytes(x, w->p + w->borrowed_at, w->at - w->borrowed_at);
	}
	return r;
}

/* Sends what the walk has put in the outboxes. Returns false if bytes were lost for lack of memory. */
static inline bool
flush_batch(struct exchange *x, bool is_held, size_t walked)
{
	struct exchange_env *env = x->env;
	bool is_lost;

	/* The held message waits for replies, which a Flush makes PostgreSQL send even if no Sync was sent yet. */
	if (is_held && x->srv->ledger.count > 0) {
		outbox_copy(&env->to_server, "H\0\0\0\4", 5);
		ledger_note_flush(&x->srv->ledger);
	}
	is_lost = flush_to_server(x, walked);
	if (env->to_client.to == &x->stream && outbox_flush(&env->to_client) < 0)
		is_lost = true;
	return !is_lost;
}

/* Makes the client wait for replies (CL_HELD). If no reply is owed (a bug), closes the client and returns false. */
static bool
hold(struct exchange *x)
{
	if (x->srv == NULL || x->srv->ledger.count == 0) {
		log_error(x->env->log, "BUG: client %llu waits for a reply that nobody owes",
			  (unsigned long long)x->waiter.id);
		walk_out_of_memory(x);
		return false;
	}
	exchange_step(x, CE_HOLD);
	return true;
}

/* Lets a client leave. why: NULL after a Terminate; then the client's server is given back, and the client is closed
 * once it has taken all its replies. */
static void
leave(struct exchange *x, const struct fail *why)
{
	if (why != NULL || !exchange_is_relayed(x) || stream_queued_len(&x->stream) == 0) {
		exchange_close(x, why);
		return;
	}
	relay_leave(x, NULL);
	exchange_step(x, CE_CLOSE_AFTER_FLUSH);
	stream_set_reading(&x->stream, false);
}

void
relay_batch(struct exchange *x, const uint8_t *bytes, size_t len)
{
	struct request_walk w;
	struct server *srv;
	enum walk_result r;
	bool is_sent;

	walk_begin(&w, x, bytes, len);
	r = walk_batch(&w);
	if (r == WALK_OVER) {
		outbox_drop(&x->env->to_server);
		return;
	}
	is_sent = flush_batch(x, r == WALK_HOLD, w.at - w.borrowed_at);
	if (x->pool != NULL)
		x->pool->database->counters.bytes_in[NS_CLIENT] += len;
	if (r == WALK_LEAVE) {
		leave(x, w.has_why ? &w.why : NULL);
		return;
	}
	if (!is_sent || (w.at < w.len && exchange_keep(x, w.p + w.at, w.len - w.at) < 0)) {
		walk_out_of_memory(x);
		return;
	}
	if (r == WALK_HOLD && !hold(x))
		return;
	if (r == WALK_REJECT) {
		reject_kept_request(x, &w.why, w.rejection);
		return;
	}
	srv = x->srv;
	if (srv == NULL) {
		if (x->block == EXCHANGE_BEGIN_DUE &&
		    x->state == CL_READY) /* the client goes on with its transaction, so it is not idle */
			x->waiter.idle_since_us = *x->env->now_us;
		else
			relay_try_release(x);
		if (r == WALK_WAIT && x->settings->max_pipeline > 1)
			pipeline_send_ahead(x);
		return;
	}
	report_sent_to_server(x, srv, len);
	stall_if_full(x);
	if (srv->ledger.count == 0 || x->replication != 0)
		relay_try_release(x);
}

void
relay_kept_bytes(struct exchange *x)
{
	while (x->state == CL_REJECTING && !x->is_closing && x->pending_len >= FRAME_HEAD_LEN)
		exchange_handle_pending(x, relay_batch);
}
