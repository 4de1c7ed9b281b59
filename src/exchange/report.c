/*
 * src/exchange/report.c - counts per database what requests cost, and passes slow, sampled, canceled, refused and lost
 * requests to on_report().
 *
 * At each moment of a request, one party owes the next byte; the request's phase names this party. The code calls the
 * clock (struct phase_clock) whenever the phase changes; the clock charges the time since the previous change to the
 * phase that has ended:
 *
 *   wait            no server is lent yet, and the request waits for the pool
 *   connect         no server is lent yet, and PostgreSQL must accept a connection, or answer pgweir's login
 *   server          PostgreSQL owes an answer, or must take bytes; its silence in the midst of an answer counts, too
 *   stream          PostgreSQL's answer is on its way, without a pause
 *   client_write    the client must take the answer, send the rest of its request or its COPY data, or begin the next
 *                   request of its transaction
 *   proxy           pgweir has everything it needs, and works
 *
 * So the phases of a request add up to its duration. Requests that overlap in a pipeline share one server: each lasts
 * from the end of the previous one. The clock is read when the loop has read bytes, and again when replies were sent.
 */
#include "exchange/report.h"
#include "base/clock.h"
#include "session/gucs_effects.h"
#include "telemetry/fingerprint.h"
#include "telemetry/query_table.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define PAUSE_US 10000u /* a longer silence within an answer counts as PostgreSQL's work, not as transfer */
#define LONG_LEN 8192u /* reading this many bytes at once takes a while, so the clock is read again */
#define TIMED_ONE_IN 16u /* for one request in this many, the clock is read again after each batch */

/* --- the clock --- */

static inline void
charge(struct phase_clock *c, uint64_t now_us)
{
	uint64_t us = now_us > c->since_us ? now_us - c->since_us : 0;
	bool is_transfer = c->debtor == PHASE_SERVER && c->is_flowing && us < PAUSE_US;

	c->us[is_transfer ? PHASE_STREAM : c->debtor] += us;
	c->since_us += us;
}

/* Starts the clock of a request. c->us is zero already, because count_answered() and take_phases() clear the sums after
 * using them. */
static void
start_clock(struct exchange_env *env, struct phase_clock *c)
{
	c->since_us = *env->now_us;
	c->is_timed = ++env->requests_begun % TIMED_ONE_IN == 0;
	c->debtor = PHASE_PROXY;
}

/* Returns the party that owes the next byte of a request that has not ended. */
static enum phase
debtor_now(const struct exchange *x, const struct server *srv)
{
	bool is_cut = x->body_left > 0 && !x->is_body_dropped && !x->is_body_data;

	if (stream_is_full(&x->stream))
		return PHASE_CLIENT;
	if (stream_queued_len(&srv->stream) > 0 || ledger_is_due(&srv->ledger, is_cut))
		return PHASE_SERVER;
	return PHASE_CLIENT;
}

uint64_t
report_idle_since(const struct exchange *x)
{
	const struct phase_clock *c = x->srv != NULL ? &x->srv->loan.clock : NULL;

	if (x->state != CL_READY)
		return 0;
	if (c != NULL && c->since_us != 0)
		return c->debtor == PHASE_CLIENT && !stream_is_full(&x->stream) ? c->since_us : 0;
	if (!exchange_is_in_block(x))
		return 0;
	return c != NULL ? loan_rests_since(&x->srv->loan) : x->waiter.idle_since_us;
}

/* Counts the idle time of a transaction up to now, and restarts the idle time. Called when, after an idle time, a byte
 * comes from the client or is sent to it. */
static inline void
count_idle_so_far(struct exchange *x, struct server *srv)
{
	if (srv->tx == 'I')
		return;
	x->pool->database->counters.transaction_idle_us += *x->env->now_us - loan_rests_since(&srv->loan);
	srv->loan.last_done_us = *x->env->now_us;
}

void
report_sent_to_server(struct exchange *x, struct server *srv, size_t len)
{
	struct phase_clock *c = &srv->loan.clock;

	if (c->since_us == 0) {
		count_idle_so_far(x, srv);
		return;
	}
	if (c->since_us != *x->env->now_us) /* otherwise the clock was started in this turn of the loop */
		charge(c, *x->env->now_us);
	if (len >= LONG_LEN || c->is_timed) {
		c->debtor = PHASE_PROXY;
		*x->env->now_us = clock_now_us();
		charge(c, *x->env->now_us);
	}
	if (srv->is_synced && x->reading != EXCHANGE_STALLED && x->body_left == 0 &&
	    srv->ledger.intake != INTAKE_COPY) /* nearly always true */
		c->debtor = PHASE_SERVER;
	else
		c->debtor = (uint8_t)debtor_now(x, srv);
	c->is_flowing = c->has_passed_reply = false;
}

void
report_drained(struct exchange *x, struct server *srv)
{
	struct phase_clock *c = &srv->loan.clock;

	if (c->since_us == 0) {
		count_idle_so_far(x, srv);
		return;
	}
	charge(c, *x->env->now_us);
	c->debtor = (uint8_t)debtor_now(x, srv);
}

/* --- requests --- */

void
report_count_error(struct pool *pool, enum error_origin origin, const char *sqlstate)
{
	pool->database->counters.errors[origin][counters_error_class(sqlstate)]++;
}

static const char *const cancel_events[CANCELED_COUNT] = {
	[CANCELED_BY_CLIENT] = "canceled", [CANCELED_BY_QUERY_TIMEOUT] = "query_timeout"
};

enum canceler
report_take_canceler(struct exchange *x, const struct error_fields *e)
{
	struct exchange_rare *rare = x->rare;

	if (fields_error_is_of(e, "55P03", "ProcessInterrupts"))
		return CANCELED_BY_LOCK_TIMEOUT;
	if (e->sqlstate == NULL || strcmp(e->sqlstate, "57014") != 0)
		return CANCELED_BY_NOBODY;
	if (x->srv != NULL && x->srv->loan.late_query_began_us != 0)
		return CANCELED_BY_QUERY_TIMEOUT;
	if (fields_error_is_of(e, "57014", "ProcessInterrupts") && e->message != NULL &&
	    strcmp(e->message, "canceling statement due to statement timeout") == 0)
		return CANCELED_BY_STATEMENT_TIMEOUT;
	if (rare == NULL || rare->canceled_request != x->requests_done + 1)
		return CANCELED_BY_SERVER;
	rare->canceled_request = 0; /* the cancel is reported only once */
	return rare->canceled_by;
}

void
report_lent(struct exchange *x, uint64_t waited_us)
{
	histogram_observe_us(&x->pool->database->counters.pool_wait[WAIT_SERVED], &histogram_bounds_wait, waited_us);
}

/* Moves the wait for a server into the phases of the request that waited. */
static void
take_wait(struct exchange *x, uint64_t phase_us[static PHASE_COUNT])
{
	struct policy_waiter *t = &x->waiter;

	phase_us[PHASE_WAIT] = t->waited_us - t->connect_us;
	phase_us[PHASE_CONNECT] = t->connect_us;
	t->waited_us = t->connect_us = 0;
}

inline void
report_request_begins(struct exchange *x, struct server *srv)
{
	if (x->tx_started_us == 0)
		x->tx_started_us = *x->env->now_us;
	if (srv->loan.clock.since_us == 0) {
		count_idle_so_far(x, srv);
		start_clock(x->env, &srv->loan.clock);
		if (x->waiter.waited_us > 0)
			take_wait(x, srv->loan.clock.us);
	}
	if (srv->ledger.count > 0 && ledger_head(&srv->ledger)->to == OWED_TO_CLIENT)
		return; /* pipelined requests share the first one's SQL */
	loan_begin_request(&srv->loan);
}

inline void
report_first_text(struct server *srv, const uint8_t *sql, size_t len, size_t total, bool is_simple)
{
	struct loan *l = &srv->loan;
	size_t keep = total < REQUEST_TEXT_MAX ? total : REQUEST_TEXT_MAX;

	keep = len < keep ? len : keep;
	if (l->text == NULL && (l->text = malloc(REQUEST_TEXT_MAX)) == NULL)
		return;
	l->text_len = (uint32_t)keep;
	l->is_text_cut = total > keep;
	l->is_simple = is_simple;
	l->fingerprint = 0;
	memcpy(l->text, sql, l->text_len);
}

uint64_t
report_fingerprint(const char *sql, size_t len)
{
	char none[1];

	return len >= FINGERPRINT_INPUT_MAX || memchr(sql, '\\', len) != NULL
		   ? 0
		   : fingerprint_normalize(sql, len, 0, none, sizeof(none));
}

inline void
report_first_statement(struct server *srv, struct statement *st)
{
	report_first_text(srv, st->bytes, st->query_len, st->query_len, false);
	if (st->fingerprint == STATEMENT_RAN_ONCE)
		st->fingerprint = report_fingerprint((const char *)st->bytes, st->query_len);
	if (st->fingerprint == 0)
		st->fingerprint = STATEMENT_RAN_ONCE;
	srv->loan.fingerprint = report_statement_fingerprint(st);
}

void
report_bind(struct exchange *x, const uint8_t *body, size_t len)
{
	struct loan *loan = &x->srv->loan;
	size_t keep = len < REQUEST_BIND_MAX ? len : REQUEST_BIND_MAX;

	if (!x->env->config->slow_parameters || loan->bind_len > 0 ||
	    (loan->bind == NULL && (loan->bind = malloc(REQUEST_BIND_MAX)) == NULL))
		return;
	memcpy(loan->bind, body, keep);
	loan->bind_len = (uint32_t)keep;
}

inline void
report_transaction(struct exchange *x, enum transaction_end end)
{
	struct database_counters *d = &x->pool->database->counters;

	d->transactions[end]++;
	histogram_observe_us(&d->transaction_duration, &histogram_bounds_query, *x->env->now_us - x->tx_started_us);
	x->tx_started_us = 0;
}

void
report_transaction_lost(struct exchange *x, struct server *srv)
{
	uint64_t started_us = x->tx_started_us;

	if (started_us == 0)
		return;
	if (srv != NULL && srv->tx != 'I' && srv->loan.clock.since_us == 0)
		x->pool->database->counters.transaction_idle_us += *x->env->now_us - loan_rests_since(&srv->loan);
	report_transaction(x, TE_LOST);
	x->tx_started_us = started_us; /* for the client, the block goes on, failed, until the client ends it */
}

static void
count_transaction(struct exchange *x, struct server *srv)
{
	if (srv->tx != 'I' || x->tx_started_us == 0)
		return;
	report_transaction(x,
			   srv->loan.sqlstate[0] != '\0' || srv->loan.tag.id == TAG_ROLLBACK ? TE_ROLLBACK : TE_COMMIT);
	if (srv->ledger.count > 0)
		x->tx_started_us = *x->env->now_us;
}

void
report_done(struct exchange *x, struct server *srv, const struct owed *ended)
{
	struct exchange_env *env = x->env;
	struct database_counters *d = &x->pool->database->counters;
	bool is_simple = ended->kind != OWED_SYNC;
	bool is_copy = srv->loan.tag.id == TAG_COPY;

	d->requests++;
	if (x->replication != 0)
		return; /* a replication stream may last for days, and is no slow query */
	d->queries[is_copy ? QK_COPY : is_simple ? QK_SIMPLE : QK_EXTENDED]++;
	count_transaction(x, srv);
	if (env->done_count < DONE_MAX)
		env->done[env->done_count++] = (struct done_request){ .statements = ended->statements,
								      .canceled_by = srv->loan.canceled_by,
								      .has_text = !srv->loan.is_text_spent };
	srv->loan.canceled_by = CANCELED_BY_NOBODY;
	srv->loan.late_query_began_us = 0;
	srv->loan.is_text_spent = true;
	if ((srv->loan.risk & STATE_BACKEND) != 0 && srv->loan.blame == BLAME_NOBODY)
		pool_code_blame(srv, x->pool->code);
}

static uint64_t
elapsed_us(uint64_t later, uint64_t earlier)
{
	return earlier != 0 && later > earlier ? later - earlier : 0;
}

/* The client's GUC set may have changed since the SQL was sent, so the server's options count, too. */
unsigned
report_sql_options(const struct exchange *x)
{
	return (x->gucs == NULL ? 0 : gucs_scan_options(x->gucs)) |
	       (x->srv == NULL ? 0 : gucs_scan_options(x->srv->gucs));
}

/* Fills in what the server knows about the request. */
static void
describe_work(struct server *srv, const struct done_request *done, struct request_report *r)
{
	const char *rows = strrchr(srv->loan.tag_text, ' ');

	r->rows = rows == NULL ? 0 : strtoull(rows + 1, NULL, 10);
	r->backend = srv->address;
	r->backend_pid = srv->pid;
	r->protocol = srv->loan.tag.id == TAG_COPY ? "copy" : srv->loan.is_simple ? "simple" : "extended";
	r->plan = srv->loan.plan;
	r->bytes_in = srv->loan.bytes_from_client;
	r->bytes_out = srv->loan.bytes_to_client;
	r->statements = done != NULL ? done->statements : 1;
	r->in_transaction = srv->tx != 'I';
	if (srv->loan.sqlstate[0] != '\0')
		r->sqlstate = srv->loan.sqlstate;
	if (done == NULL || done->has_text) {
		r->query = (const char *)srv->loan.text;
		r->query_len = srv->loan.text_len;
		r->fingerprint = r->query_len > 0 ? srv->loan.fingerprint : 0;
		r->is_query_cut = srv->loan.is_text_cut;
		r->bind = srv->loan.bind_len > 0 ? srv->loan.bind : NULL;
		r->bind_len = srv->loan.bind_len;
	}
}

static void
describe(struct exchange *x, struct server *srv, const struct done_request *done, struct request_report *r)
{
	r->wall_us = clock_wall_us();
	r->database = x->pool->database->name;
	r->sql_options = report_sql_options(x);
	r->user = exchange_user(x);
	r->application = exchange_application(x);
	r->backend = r->tag = "";
	r->protocol = "simple";
	if (r->sqlstate == NULL)
		r->sqlstate = "";
	if (srv == NULL)
		return;
	describe_work(srv, done, r);
	r->route = srv->loan.route;
	if (x->settings->reads != READS_PRIMARY && x->pool->cluster != NULL && srv->loan.standby == 0 &&
	    exchange_keeps_server(x))
		r->route = ROUTE_TIED; /* the server was chosen for an earlier request */
}

/* Passes r, which describe() has filled, to on_report. event: the name of r in the slow-query log; if NULL, r is kept
 * out of that log. */
static void
report_send(struct exchange *x, struct server *srv, struct request_report *r, const char *event)
{
	char peer[80], tag[sizeof(srv->loan.tag_text)];

	x->env->ops->peer_text(x, peer, sizeof(peer));
	r->client = peer;
	r->client_id = x->waiter.id;
	r->event = event;
	if (srv != NULL) {
		/* Cuts the counts off the last command tag. */
		memcpy(tag, srv->loan.tag_text, sizeof(tag));
		for (char *p = strchr(tag, ' '); p != NULL; p = strchr(p + 1, ' '))
			if (p[1] >= '0' && p[1] <= '9') {
				*p = '\0';
				break;
			}
		r->tag = tag;
	}
	x->env->on_report(x->env->owner, r);
}

/* Adds the phases to the database's sums. Returns the sum of all phases. */
static inline uint64_t
count_phases(struct database_counters *d, const uint64_t phase_us[static PHASE_COUNT])
{
	uint64_t sum = 0;

#pragma GCC unroll 8
	for (size_t i = 0; i < PHASE_COUNT; i++) {
		d->phase_us[i] += phase_us[i];
		sum += phase_us[i];
	}
	histogram_observe_us(&d->query_duration, &histogram_bounds_query, sum);
	return sum;
}

void
report_configure(struct exchange_env *env)
{
	uint64_t sampled_us = env->config->slow_sample_threshold_us;

	env->event_threshold_us = sampled_us < GUC_SHORT_LIMIT_US ? sampled_us : GUC_SHORT_LIMIT_US;
}

/* Returns how many requests this request stands for in the statistics of statements; 0 if it is not counted there. */
static inline uint32_t
take_weight(struct exchange_env *env, bool is_slow)
{
	if (env->queries_one_in == 0)
		return 0;
	if (is_slow)
		return 1;
	if (env->queries_before_sampling > 0) {
		env->queries_before_sampling--;
		return 1;
	}
	if (++env->queries_skipped < env->queries_one_in)
		return 0;
	env->queries_skipped = 0;
	return env->queries_one_in;
}

/* Reports a request that was answered. event: its name in the slow-query log; if NULL, the request is kept out of that
 * log. weight: the result of take_weight(). */
__attribute__((noinline)) static void
report_answered(struct exchange *x, struct server *srv, const struct done_request *done, uint64_t duration_us,
		const char *event, uint32_t weight)
{
	struct request_report r = { .duration_us = duration_us,
				    .threshold_us = x->settings->slow_query_threshold_us,
				    .canceled_by = done->canceled_by };

	memcpy(r.phase_us, srv->loan.clock.us, sizeof(r.phase_us));
	describe(x, srv, done, &r);
	if (weight > 0)
		query_table_add(x->env->queries, &r, weight);
	if (event != NULL || r.canceled_by != CANCELED_BY_NOBODY)
		report_send(x, srv, &r, event);
}

/*
 * Returns a request's name in the slow-query log, or NULL if the request is not for that log. If PostgreSQL worked on
 * the request for long, adds WASH_LATE_TIMEOUT to the loan's risk, because a statement_timeout may fire just after the
 * request.
 */
__attribute__((noinline)) static const char *
decide_event(struct exchange *x, struct server *srv, const struct done_request *done, uint64_t duration_us)
{
	uint64_t threshold_us = x->settings->slow_query_threshold_us;

	if (srv->loan.clock.us[PHASE_SERVER] + srv->loan.clock.us[PHASE_STREAM] >= GUC_SHORT_LIMIT_US)
		srv->loan.risk |= WASH_LATE_TIMEOUT;
	if (threshold_us != CONFIG_TIME_OFF && cancel_events[done->canceled_by] != NULL)
		return cancel_events[done->canceled_by];
	if (duration_us >= threshold_us)
		return "slow_query";
	return duration_us >= x->env->config->slow_sample_threshold_us &&
		       (double)(random_next(&x->env->sample_state) >> 11) / 9007199254740992.0 <
			   x->env->config->slow_sample_rate /* the fraction of these requests that is logged */
		   ? "sampled_query"
		   : NULL;
}

static inline void
count_answered(struct exchange *x, struct server *srv, const struct done_request *done)
{
	struct phase_clock *c = &srv->loan.clock;
	struct database_counters *d = &x->pool->database->counters;
	uint64_t duration_us = count_phases(d, c->us);
	bool is_slow = duration_us >= x->settings->slow_query_threshold_us;
	uint32_t weight = take_weight(x->env, is_slow);
	const char *event = NULL;

	histogram_observe_us(&d->server_response, &histogram_bounds_query, c->us[PHASE_SERVER]);
	x->pool->server_us += c->us[PHASE_SERVER];
	if (is_slow || done->canceled_by != CANCELED_BY_NOBODY || duration_us >= x->env->event_threshold_us) {
		d->slow_queries += is_slow;
		d->canceled[done->canceled_by]++;
		d->requests_failed[RF_LIMIT] += done->canceled_by == CANCELED_BY_QUERY_TIMEOUT;
		d->requests_failed[RF_CANCELED] += done->canceled_by == CANCELED_BY_CLIENT;
		event = decide_event(x, srv, done, duration_us);
	}
	if (event != NULL || weight > 0 || done->canceled_by != CANCELED_BY_NOBODY)
		report_answered(x, srv, done, duration_us, event, weight);
	memset(c->us, 0, sizeof(c->us)); /* the next request of a pipeline begins */
}

/* Returns true if nothing of the client's is in progress on its server any more. */
static bool
is_over(const struct exchange *x, const struct server *srv)
{
	uint64_t since_us;

	return srv->is_synced && (x->body_left == 0 || x->is_body_dropped) && x->state != CL_HELD &&
	       x->state != CL_RETRYING && (srv->ledger.count == 0 || !ledger_owes_client(&srv->ledger, &since_us));
}

__attribute__((always_inline)) inline void
report_flushed(struct exchange *x, struct server *srv)
{
	struct exchange_env *env = x->env;
	struct phase_clock *c = &srv->loan.clock;
	uint64_t ready_us = *env->now_us, sent_us;
	unsigned done_count;

	if (c->since_us == 0 && env->done_count > 0)
		start_clock(env, c);
	if (c->since_us == 0)
		return;
	charge(c, ready_us);
	if (env->done_count == 0) {
		c->is_flowing = c->has_passed_reply; /* until the first bytes of an answer, PostgreSQL worked */
		c->debtor = (uint8_t)debtor_now(x, srv);
		return;
	}
	sent_us = clock_now_us();
	c->debtor = PHASE_PROXY;
	charge(c, sent_us);
	if (c->is_timed)
		histogram_observe_us(&env->counters->proxy_overhead, &histogram_bounds_proxy, c->us[PHASE_PROXY]);
	srv->loan.last_done_us = ready_us;
	*env->now_us = sent_us;
	done_count = env->done_count;
	env->done_count = 0;
	for (unsigned i = 0; i < done_count; i++)
		count_answered(x, srv, &env->done[i]);
	if (is_over(x, srv)) {
		c->since_us = 0;
		return;
	}
	c->is_flowing = c->has_passed_reply = false;
	c->debtor = (uint8_t)debtor_now(x, srv);
}

/* --- requests that end without PostgreSQL's answer --- */

/* Returns the end of the name at the beginning of a body: a Parse's SQL, or a Bind's statement name, comes next. */
static const uint8_t *
skip_name(const uint8_t *body, const uint8_t *end)
{
	const uint8_t *stop = memchr(body, 0, (size_t)(end - body));

	return stop != NULL ? stop + 1 : end;
}

const char *
report_waiting_text(const struct exchange *x, size_t *len)
{
	const uint8_t *text, *end, *stop;
	uint8_t type;

	if (x->pending_len <= FRAME_HEAD_LEN)
		return NULL;
	type = x->pending[0];
	text = x->pending + FRAME_HEAD_LEN;
	end = x->pending + x->pending_len;
	if (type == 'B' || type == 'D') {
		const uint8_t *name = type == 'B' ? skip_name(text, end) : *text == 'S' ? text + 1 : end;
		const struct statement *st = NULL;

		/* A Bind or Describe names a statement that was parsed earlier. */
		if (name < end && memchr(name, 0, (size_t)(end - name)) != NULL)
			st = x->env->ops->statement_of(x, (const char *)name);
		if (st == NULL)
			return NULL;
		*len = st->query_len;
		return (const char *)st->bytes;
	}
	if (type != 'Q' && type != 'P')
		return NULL;
	if (type == 'P')
		text = skip_name(text, end);
	stop = memchr(text, 0, (size_t)(end - text));
	*len = (size_t)((stop != NULL ? stop : end) - text);
	return (const char *)text;
}

/* Moves the phases of the failing request, up to now, from its clock to phase_us. Time between two requests counts as
 * the client's. */
static void
take_phases(struct exchange *x, uint64_t phase_us[static PHASE_COUNT])
{
	struct phase_clock *c = x->srv != NULL ? &x->srv->loan.clock : NULL;

	if (c == NULL && x->state != CL_READY)
		take_wait(x, phase_us);
	else if (c != NULL && c->since_us != 0) {
		charge(c, *x->env->now_us);
		memcpy(phase_us, c->us, sizeof(c->us));
		memset(c->us, 0, sizeof(c->us));
	} else
		phase_us[PHASE_CLIENT] =
		    elapsed_us(*x->env->now_us, c != NULL ? loan_rests_since(&x->srv->loan) : x->waiter.idle_since_us);
}

void
report_failure(struct exchange *x, const struct fail *why, enum request_failure kind, const char *event)
{
	struct error_fields e = { .sqlstate = why->sqlstate, .message = why->text };
	enum canceler by = report_take_canceler(x, &e);
	struct request_report r = { .sqlstate = why->sqlstate, .is_given_up = true };
	struct database_counters *d = &x->pool->database->counters;
	bool is_request = x->srv == NULL ? x->state != CL_READY : x->srv->loan.clock.since_us != 0;

	/* If pgweir ends a request at a limit, there is no CancelRequest, so report_take_canceler() can't know this. */
	by = by == CANCELED_BY_SERVER && kind == RF_LIMIT ? CANCELED_BY_QUERY_TIMEOUT : by;
	kind = by == CANCELED_BY_CLIENT ? RF_CANCELED : kind;
	r.canceled_by = by;
	d->canceled[by]++;
	d->requests++;
	d->requests_failed[kind]++;
	take_phases(x, r.phase_us);
	if (is_request)
		r.duration_us = count_phases(d, r.phase_us);
	else
		for (size_t i = 0; i < PHASE_COUNT; i++)
			r.duration_us += r.phase_us[i];
	r.threshold_us = x->settings->slow_query_threshold_us;
	if (x->srv == NULL)
		r.query = report_waiting_text(x, &r.query_len);
	describe(x, x->srv, NULL, &r);
	if (is_request && x->env->queries_one_in > 0 && (x->srv == NULL || !x->srv->loan.is_text_spent))
		query_table_add(x->env->queries, &r, 1);
	if (x->srv != NULL)
		x->srv->loan.clock.since_us = 0; /* because report_flushed() will not stop this request's clock */
	if (event == NULL)
		event = cancel_events[by] != NULL ? cancel_events[by] : request_failure_names[kind];
	report_send(x, x->srv, &r, r.threshold_us != CONFIG_TIME_OFF ? event : NULL);
}

void
report_waited(struct exchange *x, uint64_t connect_us, enum wait_outcome outcome)
{
	struct policy_waiter *t = &x->waiter;

	t->waited_us = *x->env->now_us - t->since_us;
	t->connect_us = connect_us < t->waited_us ? connect_us : t->waited_us;
	x->pool->waited_us += t->waited_us;
	if (outcome != WAIT_SERVED)
		histogram_observe_us(&x->pool->database->counters.pool_wait[outcome], &histogram_bounds_wait,
				     t->waited_us);
}

/* Records how long a client without a server has waited. Returns false if the client waits for nothing. */
static bool
note_wait_so_far(struct exchange *x)
{
	if (x->state == CL_IN_LINE)
		report_waited(x, x->waiter.connect_us, WAIT_GIVEN_UP);
	else if (x->state == CL_IN_DOUBT || x->state == CL_AWAITING_LISTENER ||
		 x->state == CL_CATCHING_UP) /* the client waits for another connection's answer */
		x->waiter.waited_us = x->waiter.connect_us = elapsed_us(*x->env->now_us, x->request_us);
	else
		return false;
	return true;
}

static enum request_failure
kind_of(const struct exchange *x, const struct fail *why)
{
	static const struct {
		const char *sqlstate;
		enum request_failure kind;
	} kinds[] = {
		{ "57P01", RF_SHUTDOWN }, { "08P01", RF_PROTOCOL },    { "53400", RF_LIMIT },
		{ "57014", RF_LIMIT },	  { "0A000", RF_UNSUPPORTED },
	};
	/* the text of PostgreSQL's error, which the console's KILL uses, too */
	static const char killed[] = "terminating connection due to administrator command";

	if (x->srv != NULL && x->srv->loan.end == LOAN_END_FATAL_SENT)
		return RF_BACKEND_LOST;
	if (why == NULL)
		return RF_CLIENT_GONE;
	if (strncmp(why->text, killed, strlen(killed)) == 0)
		return RF_KILLED;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(why->sqlstate, kinds[i].sqlstate) == 0)
			return kinds[i].kind;
	return RF_INTERNAL;
}

bool
report_given_up(struct exchange *x, const struct fail *why)
{
	static const struct fail left = { .sqlstate = "" };

	if (x->srv != NULL ? x->srv->loan.clock.since_us == 0 : !note_wait_so_far(x))
		return false;
	report_failure(x, why != NULL ? why : &left, kind_of(x, why), NULL);
	return true;
}
