/* src/pipeline/pipeline.c - see pipeline.h. */
#include "pipeline/pipeline.h"
#include "pipeline/plain_request.h"
#include "commit_check/commit_check.h"
#include "exchange/report.h"
#include "policy/policy_ahead.h"
#include "server/server_ahead.h"
#include "sql/traits.h"
#include "state/compiled.h"
#include "state/observe.h"
#include "state/state.h"
#include "statements/bind_ahead.h"
#include "statements/keep.h"
#include "statements/statements.h"
#include "statements/unnamed.h"
#include "telemetry/query_table.h"
#include "wire/frame.h"

#include <string.h>
#include <xxhash.h>

#define REQUEST_MAX 4096u /* bytes */

/* --- SQL that may go ahead --- */

/* Returns true if there is no semicolon, or if only white space and semicolons follow the first one, even one in a
 * string. Returns false if there is a NUL. */
static bool
is_one_statement(const char *sql, size_t len)
{
	const char *at = memchr(sql, ';', len), *end = sql + len;

	if (memchr(sql, 0, len) != NULL)
		return false;
	while (at != NULL && at < end && strchr("; \t\r\n", *at) != NULL)
		at++;
	return at == NULL || at == end;
}

/* Returns true if this SQL, when sent outside of a transaction, leaves no transaction open. */
static bool
leaves_no_transaction(const struct exchange *x, const char *sql, size_t len)
{
	struct scan scan;

	scan_text_cached(&x->env->scanned, &scan, gucs_scan_options(x->gucs), sql, len);
	return traits_are_plannable(scan.first) && (scan.flags & ~(uint32_t)SCAN_SEQUENCES) == 0 && scan.hints == 0 &&
	       is_one_statement(sql, len);
}

/* Returns true unless SQL of this fingerprint is known to take longer than max_pipeline_wait on average. */
static bool
is_expected_short(const struct exchange *x, const char *sql, size_t len, uint64_t fingerprint)
{
	const struct request_report like = { .query = sql,
					     .query_len = len,
					     .fingerprint = fingerprint,
					     .sql_options = report_sql_options(x),
					     .database = x->pool->database->name,
					     .user = exchange_user(x),
					     .application = exchange_application(x) };

	return x->env->queries_one_in == 0 ||
	       query_table_mean_served_us(x->env->queries, &like) <= x->settings->max_pipeline_wait_us;
}

/* Returns true if SQL with these flags, hints and risk leaves nothing in the session. */
static bool
leaves_nothing(uint32_t flags, uint32_t hints, unsigned risk)
{
	return flags == 0 && hints == 0 && risk == 0;
}

static bool
may_query_go(const struct exchange *x, const char *sql, size_t len)
{
	struct scan scan;
	struct scanned_sql *kept = scan_text_cached(&x->env->scanned, &scan, gucs_scan_options(x->gucs), sql, len);
	struct sql_risk *risk = kept == NULL ? NULL : &kept->risk;

	return len > 0 &&
	       leaves_nothing(scan.flags, scan.hints,
			      database_code_risk(x->pool->code, *x->env->now_us, risk, sql, len, NULL, 0)) &&
	       database_code_is_sql_repeatable(x->pool->code, *x->env->now_us, risk, sql, len, NULL, 0) &&
	       is_expected_short(x, sql, len, kept == NULL ? 0 : report_fingerprint_of(kept, sql, len));
}

static bool
may_statement_go(const struct exchange *x, struct statement *st)
{
	const struct sql_traits *v = statement_traits(st);

	return leaves_nothing(v->flags, v->hints & ~(uint32_t)TRAITS_PARSE_ALL, state_risk_of(x, st)) &&
	       state_is_read_only(x, st) &&
	       is_expected_short(x, (const char *)st->bytes, st->query_len, report_statement_fingerprint(st));
}

/* --- requests after which others may be sent --- */

/* Returns true if one complete request of the borrower's, and nothing else, is in progress on the server. */
static bool
has_one_request(const struct ledger *l)
{
	if (l->count == 0 || l->copy != COPY_NONE || l->intake != INTAKE_ALL || l->trust != LEDGER_SYNCHRONISED ||
	    !owed_ends_request(ledger_at(l, l->count - 1)))
		return false;
	for (uint32_t i = 0; i < l->count; i++)
		if (ledger_at(l, i)->to != OWED_TO_CLIENT || (i + 1 < l->count && owed_ends_request(ledger_at(l, i))))
			return false;
	return true;
}

/* Returns true if x gives its server back when its request has ended. */
static bool
is_plain_borrower(const struct exchange *x)
{
	return x->state == CL_READY && x->block == EXCHANGE_ORDINARY && !exchange_keeps_server(x) &&
	       x->settings->session_state != SESSION_ISOLATE && x->listen == NULL && x->body_left == 0 &&
	       x->pending_len == 0 && !x->is_closing && state_is_quiet(x);
}

/* Returns true if the end of this loan needs no work, such as a wash. */
static bool
is_plain_loan(const struct loan *l)
{
	return l->end == LOAN_GOES_ON && l->standby == 0 && l->begun_for == 0 && l->risk == 0 && l->suspected == 0 &&
	       l->settled_flags == 0 && l->followed.by == FOLLOWED_BY_NOTHING &&
	       l->held_behind_ours == NOTHING_BEHIND && !l->has_foreign_plans && !l->passes_replies_early &&
	       !l->commit.is_on && l->ddl == DDL_NONE && l->code == CODE_AS_BEFORE && l->sqlstate[0] == '\0' &&
	       l->late_query_began_us == 0;
}

/* Returns true if srv's session has x's settings and fit plans, no known seed of random(), and leaves no timers. */
static bool
has_plain_session(const struct exchange *x, const struct server *srv)
{
	return srv->gucs == x->gucs && server_plans_suit(srv, x->gucs) && srv->random_known_to == 0 &&
	       (gucs_side_effects(srv->gucs) & GUCS_LEAVES_TIMERS) == 0;
}

/* Returns true if the borrower's request certainly leaves no transaction open, and is not expected to take long. */
static bool
is_short_request(const struct exchange *x, const struct server *srv)
{
	const struct sent_copy *sent = &srv->loan.sent;
	const struct statement *st = NULL;
	struct plain_request b;

	if (sent->state != SENT_WHOLE || !plain_request_parse(sent->copy.bytes, sent->copy.len, &b))
		return false;
	if (b.sql == NULL && (st = statements_find(x, b.statement_name)) == NULL)
		return false;
	if (st != NULL) {
		b.sql = (const char *)st->bytes;
		b.sql_len = st->query_len;
	}
	return leaves_no_transaction(x, b.sql, b.sql_len) &&
	       is_expected_short(x, b.sql, b.sql_len, srv->loan.fingerprint);
}

static bool
may_be_followed(const struct server *srv, uint64_t now_us)
{
	const struct exchange *x = srv->borrower;

	return srv->state == SV_LENT && x != NULL && srv->fitness == SERVER_FIT && srv->role != SERVER_CONSOLE &&
	       srv->tx == 'I' && srv->is_synced && srv->cancel == NULL && !srv->is_lingering &&
	       !srv->is_discarding_sequences && srv->conn->ahead_count < POLICY_AHEAD_MAX &&
	       srv->conn->ahead_count + 1 < x->settings->max_pipeline && !srv->stream.is_broken &&
	       stream_queued_len(&srv->stream) == 0 &&
	       now_us - srv->loan.lent_us <= x->settings->max_pipeline_wait_us && has_one_request(&srv->ledger) &&
	       is_plain_borrower(x) && is_plain_loan(&srv->loan) && has_plain_session(x, srv) &&
	       is_short_request(x, srv);
}

/* --- clients whose requests may go ahead --- */

/* Returns true if x, which waits, can be served by any server of the pool. */
static bool
is_plain_client(const struct exchange *x)
{
	const struct scope_settings *s = x->settings;

	return x->state == CL_IN_LINE && x->block == EXCHANGE_ORDINARY && !exchange_keeps_server(x) &&
	       x->listen == NULL && x->body_left == 0 && !x->is_closing && state_is_quiet(x) &&
	       commit_check_is_quiet(x) && exchange_is_followed(x) && !x->pool->is_orphan &&
	       s->reads == READS_PRIMARY && !s->commit_check && s->forbidden == 0 && s->max_pipeline > 1 &&
	       !state_asks_for_pin(x);
}

/*
 * With keep_plans, servers may have st as a named statement. If srv has it, replaces the request in `out` by the
 * messages that would then be sent to srv. Returns false if srv must prepare st first, because that must wait for the
 * client's turn.
 */
static bool
put_kept(struct exchange *x, struct server *srv, struct plain_request *b, struct statement *st, struct buf *out)
{
	const uint8_t *rest = b->bind + b->bind_len;
	bool is_due;
	const struct statement *named = statements_find_kept_ahead(x, srv, st, &is_due);

	if (named == NULL)
		return !is_due;
	out->len = 0;
	statements_put_kept_bind(named, b->bind, b->bind_len, out);
	buf_put(out, rest, (size_t)(x->pending + x->pending_len - rest));
	b->kinds >>= 4; /* no Parse is sent */
	return true;
}

/* Puts into out the messages that would be sent to srv for this request. Returns false if they can't be predicted, or
 * must not go ahead. */
static bool
put_request(struct exchange *x, struct server *srv, struct plain_request *b, struct buf *out)
{
	struct statement *st;
	bool may;

	if (b->bind != NULL && b->sql == NULL) {
		st = statements_put_bind_ahead(x, srv, b->bind, b->bind_len, out);
		buf_put(out, b->bind + b->bind_len, x->pending_len - b->bind_len);
		return st != NULL && may_statement_go(x, st);
	}
	buf_put(out, x->pending, x->pending_len);
	if (b->bind == NULL)
		return may_query_go(x, b->sql, b->sql_len);
	st = statements_get_plain_unnamed(x, x->pending + FRAME_HEAD_LEN, b->first_len - FRAME_HEAD_LEN);
	may = st != NULL && may_statement_go(x, st);
	if (may && x->settings->keep_plans)
		may = put_kept(x, srv, b, st, out);
	statement_unref(st);
	return may;
}

/* If x's input is exactly one request that may go ahead to srv, appends it to out, fills in *a, and returns true. */
static bool
build_ahead(struct exchange *x, struct server *srv, struct buf *out, struct policy_ahead *a)
{
	struct plain_request b;

	if (!is_plain_client(x) || x->gucs != srv->gucs || x->pending_len > REQUEST_MAX ||
	    !plain_request_parse(x->pending, x->pending_len, &b) || !put_request(x, srv, &b, out) || !buf_ok(out) ||
	    out->len > REQUEST_MAX)
		return false;
	*a = (struct policy_ahead){ .t = &x->waiter,
				    .hash = XXH3_64bits(out->bytes, out->len),
				    .len = (uint16_t)out->len,
				    .from_len = (uint16_t)x->pending_len,
				    .kinds = b.kinds };
	return true;
}

/* --- sending ahead --- */

static void
send_ahead(struct server *srv, const struct exchange *x, const struct policy_ahead *a, const struct buf *out)
{
	struct pool *pool = pool_of(srv);

	if (!ledger_has_ahead(&srv->ledger))
		ledger_begin_ahead(&srv->ledger);
	policy_note_sent_ahead(pool->policy, srv->conn, a, x->settings->max_pipeline_wait_us, *srv->env->now_us);
	srv->unnamed_owner = 0; /* the request may drop the unnamed statement */
	pool->database->counters.bytes_out[NS_SERVER] += a->len;
	(void)server_write(srv, out->bytes, out->len);
}

/* Sends the next client's request ahead to srv, for which may_be_followed() is true. Returns false if that is
 * impossible. */
static bool
send_next_ahead(struct server *srv)
{
	uint32_t before = srv->conn->ahead_count;
	struct policy_waiter *t;
	struct policy_ahead a;
	struct buf out = { 0 };

	t = policy_next_ahead(pool_of(srv)->policy, *srv->env->now_us);
	if (t == NULL || policy_is_ahead(srv->conn, t))
		return false;
	if (build_ahead(exchange_of_waiter(t), srv, &out, &a))
		send_ahead(srv, exchange_of_waiter(t), &a, &out);
	buf_fini(&out);
	return srv->conn->ahead_count > before;
}

void
pipeline_fill(struct server *srv)
{
	const struct exchange *x = srv->borrower;

	if (srv->state != SV_LENT || x == NULL || x->env->is_draining || x->env->is_moving)
		return;
	while (may_be_followed(srv, *x->env->now_us) && send_next_ahead(srv))
		continue;
}

void
pipeline_send_ahead(struct exchange *x)
{
	struct server *srv, *best = NULL;

	if (x->state != CL_IN_LINE || x->env->is_draining || x->env->is_moving ||
	    policy_next_ahead(x->pool->policy, *x->env->now_us) != &x->waiter)
		return;
	TAILQ_FOREACH(srv, &x->pool->servers, all)
		if (srv->state == SV_LENT && srv->conn->ahead_count + 1 < x->settings->max_pipeline &&
		    (best == NULL || srv->conn->ahead_count < best->conn->ahead_count) &&
		    may_be_followed(srv, *x->env->now_us))
			best = srv;
	if (best != NULL)
		(void)send_next_ahead(best);
}

/* --- the border between the replies to two clients --- */

bool
pipeline_hold_request(struct exchange *x)
{
	struct server *srv = x->srv;

	if (srv->ledger.count > 0 && x->state == CL_READY)
		return true;
	if (srv->ledger.count == 0 && srv->conn->ahead[0].t == &x->waiter)
		ledger_end_ahead(&srv->ledger); /* pipeline_drop_if_sent() follows */
	else
		server_disown_ahead(srv);
	return false;
}

void
pipeline_check_lent(struct exchange *x, struct server *srv)
{
	const struct policy_ahead *a = &srv->conn->ahead[0];

	if (a->t != &x->waiter || x->state != CL_READY || x->pending_len != a->from_len || x->gucs != srv->gucs ||
	    !server_plans_suit(srv, x->gucs) || srv->random_known_to != 0 || x->settings->reads != READS_PRIMARY ||
	    x->settings->commit_check || x->is_session)
		server_disown_ahead(srv);
}

static bool
is_as_sent(const struct exchange *x, const struct server *srv, const struct policy_ahead *a)
{
	const struct outbox *o = &x->env->to_server;
	uint32_t kinds = a->kinds;
	uint8_t all[REQUEST_MAX];
	size_t len = 0;

	if (o->to != &srv->stream || o->is_broken || o->total != a->len || srv->ledger.trust != LEDGER_SYNCHRONISED ||
	    x->body_left > 0)
		return false;
	for (uint32_t i = srv->ledger.no_reply_count; i < srv->ledger.count;
	     i++, kinds >>= 4) /* a->kinds has no reply to the Parse of a kept statement, because pgweir answers it */
		if (ledger_at(&srv->ledger, i)->kind + 1u != (kinds & 15) ||
		    ledger_at(&srv->ledger, i)->to != OWED_TO_CLIENT)
			return false;
	if (kinds != 0)
		return false;
	for (int i = 0; i < o->count && len + o->pieces[i].iov_len <= sizeof(all); i++) {
		memcpy(all + len, o->pieces[i].iov_base, o->pieces[i].iov_len);
		len += o->pieces[i].iov_len;
	}
	return len == a->len && XXH3_64bits(all, len) == a->hash;
}

void
pipeline_drop_if_sent(struct exchange *x, struct server *srv)
{
	struct policy_conn *conn = srv->conn;

	if (ledger_has_ahead(&srv->ledger)) /* x waits for the border */
		return;
	if (!is_as_sent(x, srv, &conn->ahead[0])) {
		server_disown_ahead_to_front(srv);
		return;
	}
	outbox_drop(&x->env->to_server);
	policy_begin_first_ahead(conn, *x->env->now_us);
	if (conn->ahead_count == 0)
		return;
	ledger_begin_ahead(&srv->ledger);
	srv->unnamed_owner = 0; /* requests sent ahead may have dropped x's unnamed statement */
}
