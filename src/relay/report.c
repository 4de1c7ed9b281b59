/*
 * src/relay/report.c - what requests cost: counted per database, and reported upwards if slow, refused or lost.
 *
 * Moments of a request: its first byte was read (started), a server was assigned (lent), it was sent, the first reply
 * came, ReadyForQuery was read (the time of the loop's turn), the replies were sent (the clock is read again). Requests
 * that overlap in a pipeline share one server: the total time of each is exact, its phases are those of the batch.
 */
#include "exchange/exchange.h"
#include "relay/report.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void
report_error(struct pool_entry *entry, enum error_origin origin, const char *sqlstate)
{
	entry->database->counters.errors[origin][error_class_index(sqlstate)]++;
}

void
report_lent(struct exchange *x)
{
	histogram_observe_us(&x->entry->database->counters.pool_wait, &histogram_bounds_wait, x->wait_us);
}

void
report_request_begins(struct exchange *x, struct server *srv)
{
	uint64_t now = *x->env->now_us;

	if (srv->loan.tx_started_us == 0)
		srv->loan.tx_started_us = now;
	if (srv->loan.idle_in_tx_us != 0)
		x->entry->database->counters.transaction_idle_us += now - srv->loan.idle_in_tx_us;
	srv->loan.idle_in_tx_us = 0;
	if (srv->ledger.count > 0 && ledger_head(&srv->ledger)->to == OWED_TO_CLIENT)
		return; /* pipelined: it shares the first one's measures */
	srv->loan.first_reply_us = 0;
	srv->loan.paused_us = 0;
	srv->loan.text_len = 0;
	srv->loan.is_text_cut = srv->loan.is_text_spent = false;
	srv->loan.bytes_to_client = srv->loan.bytes_from_client = 0;
	srv->loan.tag[0] = srv->loan.sqlstate[0] = '\0';
}

void
report_text(struct server *srv, const uint8_t *text, size_t len, size_t total, bool is_simple)
{
	size_t keep = len < REQUEST_TEXT_MAX ? len : REQUEST_TEXT_MAX;

	if (srv->loan.text_len > 0)
		return; /* the first SQL of a request stands for all of it, and for requests that were pipelined behind
			   it */
	if (srv->loan.text == NULL && (srv->loan.text = malloc(REQUEST_TEXT_MAX)) == NULL)
		return;
	memcpy(srv->loan.text, text, keep);
	if (keep > 0 && srv->loan.text[keep - 1] == 0)
		keep--;
	srv->loan.text_len = (uint32_t)keep;
	srv->loan.is_text_cut = total > len || len > REQUEST_TEXT_MAX;
	srv->loan.is_simple = is_simple;
}

static void
count_transaction(struct exchange *x, struct server *srv, uint64_t now)
{
	struct database_counters *d = &x->entry->database->counters;

	if (srv->tx != 'I') {
		if (srv->ledger.count == 0)
			srv->loan.idle_in_tx_us = now;
		return;
	}
	if (srv->loan.tx_started_us == 0)
		return;
	d->transactions[strcmp(srv->loan.tag, "ROLLBACK") == 0 || srv->loan.sqlstate[0] != '\0' ? TE_ROLLBACK
												: TE_COMMIT]++;
	d->transaction_us += now - srv->loan.tx_started_us;
	histogram_observe_us(&d->transaction_duration, &histogram_bounds_query, now - srv->loan.tx_started_us);
	srv->loan.tx_started_us = srv->ledger.count > 0 ? now : 0;
}

void
report_done(struct exchange *x, struct server *srv, const struct owed *ended)
{
	struct exchange_env *env = x->env;
	struct database_counters *d = &x->entry->database->counters;
	bool is_simple = ended->kind != OWED_SYNC;
	bool is_copy = strncmp(srv->loan.tag, "COPY", 4) == 0;

	d->requests++;
	if (x->replication != 0)
		return; /* a stream may last for days; that is no slow query */
	d->queries[is_copy ? QK_COPY : is_simple ? QK_SIMPLE : QK_EXTENDED]++;
	count_transaction(x, srv, *env->now_us);
	if (env->done_count < DONE_MAX)
		env->done[env->done_count++] =
		    (struct done_request){ ended->started_us, ended->statements, is_simple, !srv->loan.is_text_spent };
	srv->loan.is_text_spent = true;
}

static uint64_t
rows_of(const char *tag)
{
	const char *last = strrchr(tag, ' ');

	return last == NULL ? 0 : strtoull(last + 1, NULL, 10);
}

static uint64_t
since(uint64_t later, uint64_t earlier)
{
	return earlier != 0 && later > earlier ? later - earlier : 0;
}

static void
tell(struct exchange *x, struct server *srv, const struct done_request *done, struct request_report *r,
     const char *event)
{
	char peer[80], tag[sizeof(srv->loan.tag)] = "";

	x->env->ops->peer_text(x, peer, sizeof(peer));
	r->event = event;
	r->wall_us = clock_wall_us();
	r->database = x->entry->database->name;
	r->user = exchange_user(x);
	r->application = exchange_application(x);
	r->client = peer;
	r->client_id = x->id;
	r->backend = "";
	r->tag = tag;
	r->protocol = "simple";
	if (r->sqlstate == NULL)
		r->sqlstate = "";
	if (srv != NULL) {
		memcpy(tag, srv->loan.tag, sizeof(tag));
		r->rows = rows_of(tag);
		for (char *p = strchr(tag, ' '); p != NULL; p = strchr(p + 1, ' '))
			if (p[1] >= '0' && p[1] <= '9') {
				*p = '\0'; /* the words without the counts */
				break;
			}
		r->backend = srv->address;
		r->backend_pid = srv->pid;
		r->protocol = strcmp(tag, "COPY") == 0 ? "copy" : srv->loan.is_simple ? "simple" : "extended";
		r->bytes_in = srv->loan.bytes_from_client;
		r->bytes_out = srv->loan.bytes_to_client;
		r->statements = done != NULL ? done->statements : 1;
		r->in_transaction = srv->tx != 'I';
		if (srv->loan.sqlstate[0] != '\0')
			r->sqlstate = srv->loan.sqlstate;
		if (done == NULL || done->has_text) {
			r->query = (const char *)srv->loan.text;
			r->query_len = srv->loan.text_len;
			r->is_query_cut = srv->loan.is_text_cut;
		}
	}
	x->env->on_report(x->env->up, r);
}

/* Returns true for one request in so many; the generator is cheap and no better than that. */
static bool
is_sampled(struct exchange_env *env)
{
	env->sample_state = env->sample_state * 6364136223846793005u + 1442695040888963407u;
	return (double)(env->sample_state >> 11) / 9007199254740992.0 < env->config->slow_sample_rate;
}

/* In a pipeline a request begins when the one before it is answered, so that no time counts twice. */
static void
measure(struct exchange *x, struct server *srv, const struct done_request *done, uint64_t ready_us, uint64_t sent_us)
{
	uint64_t before_us = srv->loan.last_done_us;
	bool is_behind = before_us > done->started_us;
	struct database_counters *d = &x->entry->database->counters;
	struct request_report r = { .wait_us = x->wait_us };
	uint64_t known;

	r.duration_us = since(sent_us, is_behind ? before_us : done->started_us);
	r.server_us = is_behind ? since(ready_us, before_us) : since(srv->loan.first_reply_us, srv->loan.sent_us);
	r.stream_us = is_behind ? 0 : since(ready_us, srv->loan.first_reply_us);
	srv->loan.last_done_us = ready_us;
	r.stream_us -= srv->loan.paused_us < r.stream_us ? srv->loan.paused_us : r.stream_us;
	r.client_write_us = since(sent_us, ready_us) + srv->loan.paused_us;
	known = r.wait_us + r.server_us + r.stream_us + r.client_write_us;
	histogram_observe_us(&d->query_duration, &histogram_bounds_query, r.duration_us);
	histogram_observe_us(&d->server_response, &histogram_bounds_query, r.server_us);
	d->phase_us[PHASE_WAIT] += r.wait_us;
	d->phase_us[PHASE_SERVER] += r.server_us;
	d->phase_us[PHASE_STREAM] += r.stream_us;
	d->phase_us[PHASE_CLIENT_WRITE] += r.client_write_us;
	d->phase_us[PHASE_PROXY] += since(r.duration_us, known);
	r.threshold_us = x->entry->settings.slow_query_threshold_us;
	if (r.duration_us >= r.threshold_us) {
		d->slow_queries++;
		tell(x, srv, done, &r, "slow_query");
	} else if (r.duration_us >= x->env->config->slow_sample_threshold_us && is_sampled(x->env))
		tell(x, srv, done, &r, "sampled_query");
	x->wait_us = 0; /* only the first of a batch waited */
}

void
report_flushed(struct exchange *x, struct server *srv, bool is_sent)
{
	struct exchange_env *env = x->env;
	uint64_t ready_us = *env->now_us, sent_us;

	(void)is_sent;
	if (env->done_count == 0)
		return;
	sent_us = clock_now_us();
	for (unsigned i = 0; i < env->done_count; i++)
		measure(x, srv, &env->done[i], ready_us, sent_us);
	env->done_count = 0;
	*env->now_us = sent_us;
}

void
report_failure(struct exchange *x, const struct fail *why, enum request_failure kind, const char *event)
{
	static const char *const events[RF_COUNT] = {
		"pool_timeout", "backend_unreachable", "backend_lost", "limit", "shutdown", "protocol", "internal"
	};
	struct request_report r = { .wait_us = x->wait_us, .sqlstate = why->sqlstate };
	uint64_t now = *x->env->now_us;

	x->entry->database->counters.requests++;
	x->entry->database->counters.requests_failed[kind]++;
	if (x->entry->settings.slow_query_threshold_us == CONFIG_TIME_OFF)
		return;
	r.threshold_us = x->entry->settings.slow_query_threshold_us;
	r.duration_us = since(now, x->request_us);
	if (x->srv == NULL && x->pending_len > 5 && (x->pending[0] == 'Q' || x->pending[0] == 'P')) {
		/* The request was never sent: its SQL is in the waiting input. A Parse has its name first. */
		const uint8_t *text = x->pending + 5, *end = x->pending + x->pending_len, *stop;

		if (x->pending[0] == 'P' && (stop = memchr(text, 0, (size_t)(end - text))) != NULL)
			text = stop + 1;
		stop = memchr(text, 0, (size_t)(end - text));
		r.query = (const char *)text;
		r.query_len = (size_t)((stop != NULL ? stop : end) - text);
	}
	tell(x, x->srv, NULL, &r, event != NULL ? event : events[kind]);
}
