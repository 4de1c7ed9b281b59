/* src/relay/reads.c - which host answers a client with reads = marked; see reads.h. */
#include "relay/reads.h"

#include "base/alloc.h"
#include "base/text.h"
#include "pool/cluster.h"
#include "pool/pool_standby.h"
#include "listen/listen.h"
#include "relay/resend.h"
#include "session/image_settings.h"
#include "state/state.h"
#include "statements/statements.h"
#include "wire/fields.h"
#include "wire/messages.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#define SETTLE_US US_PER_S
#define CATCH_LOOK_US (1 * US_PER_MS) /* who waits is looked at so often, if no host answers */
#define REFUSED_MAX 3
#define REST_US (10 * US_PER_S) /* for who is refused by standbys each time */
#define FORBIDDEN_LOOK_MAX 16384u /* bytes of what follows a BEGIN that are looked into */

/* --- What is known of a client. --- */

/* Returns what is known of it, for the cluster that its pool leads to now; NULL without memory. What a client has seen
 * before that (in another process, of another configuration) is covered by the primary's next reading. */
static struct client_reads *
know(struct exchange *x)
{
	struct exchange_rare *rare = exchange_rare(x);
	struct cluster *c = x->pool->cluster;
	struct client_reads *r;
	size_t len;

	if (rare == NULL || (rare->reads == NULL && (rare->reads = calloc(1, sizeof(*r))) == NULL))
		return NULL;
	r = rare->reads;
	if (r->x == NULL || r->cluster != c) {
		bool is_new = r->x == NULL && x->requests_done == 0 && !x->has_seen_primary;

		r->x = x;
		cluster_put(r->cluster);
		r->cluster = c == NULL ? NULL : cluster_ref(c);
		memset(&r->token, 0, sizeof(r->token));
		if (!is_new && c != NULL) {
			r->token.host_due = cluster_begun(c) + 1;
			r->token.is_unsettled = x->has_seen_primary = true;
		}
		image_unref(r->image); /* what it says is looked at anew */
		r->image = NULL;
		r->min_due = 0;
	}
	if ((x->has_seen_primary || r->requests_done != x->requests_done || listen_queued(x, &len) != NULL) &&
	    c != NULL) {
		x->has_seen_primary = false;
		r->requests_done = x->requests_done;
		causality_wrote(&r->token, cluster_begun(c));
	}
	return r;
}

void
reads_free(struct exchange *x)
{
	struct client_reads *r = exchange_reads(x);

	if (r == NULL)
		return;
	if (r->wait_until_us != 0)
		TAILQ_REMOVE(&x->env->catching, r, link);
	cluster_put(r->cluster);
	image_unref(r->image);
	free(r);
	x->rare->reads = NULL;
}

/* --- Which requests are marked. --- */

static bool
is_on(const struct image *img, const char *name)
{
	const char *value = image_get(img, name);

	return value != NULL && strcmp(value, "on") == 0;
}

/* Takes over what the client's settings say. */
static void
heed_settings(struct client_reads *r)
{
	const char *isolation, *min_lsn;

	if (r->image == r->x->image)
		return;
	image_unref(r->image);
	r->image = image_ref(r->x->image);
	isolation = image_get(r->image, "default_transaction_isolation");
	r->is_default = is_on(r->image, "default_transaction_read_only") &&
			(isolation == NULL || strcasecmp(isolation, "serializable") != 0);
	min_lsn = image_get(r->image, READS_MIN_LSN);
	r->min_due = 0;
	if (min_lsn == NULL || !causality_parse(min_lsn, strlen(min_lsn), &r->min_lsn))
		r->min_lsn = 0;
	else if (r->cluster != NULL)
		r->min_due = cluster_begun(r->cluster) + 1;
}

static bool
is_default(struct client_reads *r)
{
	heed_settings(r);
	return r->is_default;
}

static const uint8_t *
message_of(const struct request_walk *w)
{
	return w->p + w->at;
}

/*
 * Returns true if SQL has what is permitted in a READ ONLY transaction, and on a standby would be without a word
 * nothing, or something else. The rest of what a primary does and a standby doesn't is refused there: then the primary
 * is asked.
 */
static bool
is_for_primary(const char *sql, size_t len)
{
	struct sql_token t;
	struct sql_lexer lx;

	if (!text_mentions(sql, len, "pg_") && !text_mentions(sql, len, "lock"))
		return false;
	sql_lexer_init(&lx, sql, len);
	t = sql_next(&lx);
	if (sql_is_word(&t, "lock", 4))
		return true;
	for (; t.kind != SQL_END && t.kind != SQL_UNTERMINATED; t = sql_next(&lx))
		if ((t.kind == SQL_WORD || t.kind == SQL_QUOTED) &&
		    (text_mentions(t.at, t.len, "pg_advisory_") || text_mentions(t.at, t.len, "pg_try_advisory_") ||
		     text_mentions(t.at, t.len, "pg_export_snapshot")))
			return true;
	return false;
}

/* Returns true if the SQL leaves what only the server that ran it has. The client keeps that server, which has to be
 * the primary's: it may write later. */
static bool
leaves_something(const struct sql_verdict *v)
{
	return (v->flags & (SCAN_CURSOR | SCAN_PREPARE | SCAN_LOAD)) != 0;
}

/* Returns true if what has come may have such SQL, up to FORBIDDEN_LOOK_MAX bytes. What a Bind runs has come before. */
static bool
mentions_primary(const struct request_walk *w)
{
	size_t skipped = w->m.type == 'B' && w->m.total <= w->len - w->at ? w->m.total : 0;
	const char *from = (const char *)message_of(w) + skipped;
	size_t len = w->len - w->at - skipped;

	len = len < FORBIDDEN_LOOK_MAX ? len : FORBIDDEN_LOOK_MAX;
	return text_mentions(from, len, "advisory_") || text_mentions(from, len, "export_snapshot") ||
	       text_mentions(from, len, "lock ") || text_mentions(from, len, "with hold") ||
	       text_mentions(from, len, "prepare ");
}

/* Returns the SQL that the message has, or its statement, and writes its length in bytes and the verdict on it; NULL:
 * it has none. */
static const char *
sql_of(struct request_walk *w, size_t *len, const struct sql_verdict **v)
{
	struct request *m = &w->m;
	const char *portal, *name;
	struct statement *st;
	size_t have, names_len;

	if (m->type != 'B') {
		*len = m->sql_len;
		*v = m->verdict;
		return m->type == 'Q' || m->type == 'P' ? m->sql : NULL;
	}
	have = m->have < m->total ? m->have : m->total;
	if (!fields_bind(m->message + FRAME_HEAD_LEN, have - FRAME_HEAD_LEN, &portal, &name, &names_len) ||
	    (st = statements_called(w->x, name)) == NULL)
		return NULL;
	*len = st->query_len;
	*v = statement_verdict(st);
	return (const char *)st->bytes;
}

static bool
is_marked(struct request_walk *w, struct client_reads *r)
{
	struct exchange *x = w->x;
	const struct sql_verdict *v;
	size_t len;
	const char *sql;
	struct known k;

	if ((sql = sql_of(w, &len, &v)) == NULL || v == NULL)
		return false;
	if (known_only(&k, image_scan_options(x->image), sql, len) == KNOWN_BEGIN) {
		if (k.has_other_mode || !(k.is_read_only || is_default(r)) || len >= sizeof(r->begin))
			return false;
		memcpy(r->begin, sql, len); /* to be run again elsewhere */
		r->begin[len] = '\0';
	} else if (!is_default(r))
		return false;
	if (x->is_session || x->pins != 0 || x->listen != NULL || x->commit != EXCHANGE_NO_COMMIT)
		r->route = ROUTE_TIED;
	else if (mentions_primary(w) || is_for_primary(sql, len) || leaves_something(v))
		r->route = ROUTE_PRIMARY_ONLY;
	else if (*x->env->now_us < r->rests_until_us)
		r->route = ROUTE_REFUSED;
	return r->route == ROUTE_UNMARKED;
}

/* --- Waiting. --- */

/* Hears of one cluster's readings, if somebody of this loop has waited for some. */
struct reads_ear {
	struct reads_ear *next;
	struct cluster *cluster; /* a reference */
	struct cluster_listener listener;
};

/* On any thread. */
static void
on_answer(void *owner)
{
	struct exchange_env *env = owner;

	env->on_reading(env->owner);
}

/* Without memory the timer does, if later. */
static void
listen_to(struct exchange_env *env, struct cluster *c)
{
	struct reads_ear *e;

	for (e = env->ears; e != NULL && e->cluster != c; e = e->next)
		;
	if (e == NULL && (e = calloc(1, sizeof(*e))) != NULL) {
		e->cluster = cluster_ref(c);
		e->listener.heard = on_answer;
		e->listener.owner = env;
		e->next = env->ears;
		env->ears = e;
		cluster_listen(c, &e->listener);
	}
	if (e != NULL)
		cluster_await(&e->listener, true);
}

static void
on_catch_timer(evutil_socket_t fd, short what, void *arg)
{
	struct exchange_env *env = arg;

	(void)fd;
	(void)what;
	*env->now_us = clock_now_us();
	reads_heard(env);
}

void
reads_init(struct exchange_env *env)
{
	TAILQ_INIT(&env->catching);
	env->catch_timer = alloc_check(event_new(env->base, -1, 0, on_catch_timer, env));
}

void
reads_fini(struct exchange_env *env)
{
	for (struct reads_ear *e = env->ears, *next; e != NULL; e = next) {
		next = e->next;
		cluster_unlisten(e->cluster, &e->listener);
		cluster_put(e->cluster);
		free(e);
	}
	env->ears = NULL;
	if (env->catch_timer != NULL)
		event_free(env->catch_timer);
	env->catch_timer = NULL;
}

static void
stop_waiting(struct client_reads *r)
{
	TAILQ_REMOVE(&r->x->env->catching, r, link);
	r->wait_until_us = 0;
}

void
reads_canceled(struct exchange *x)
{
	struct client_reads *r = exchange_reads(x);

	stop_waiting(r);
	r->catch_until_us = r->settle_until_us = r->primary_until_us = 0;
	if (x->reading != EXCHANGE_STALLED)
		stream_set_reading(&x->stream, true);
}

/* Who still has to wait goes to the end of the list. */
void
reads_heard(struct exchange_env *env)
{
	struct client_reads *r;
	size_t count = 0;

	for (struct reads_ear *e = env->ears; e != NULL; e = e->next)
		cluster_await(&e->listener, false);
	TAILQ_FOREACH(r, &env->catching, link)
		count++;
	for (; count > 0 && (r = TAILQ_FIRST(&env->catching)) != NULL; count--) {
		struct exchange *x = r->x;

		stop_waiting(r);
		exchange_step(x, CE_CAUGHT);
		if (x->reading != EXCHANGE_STALLED)
			stream_set_reading(&x->stream, true);
		exchange_replay(x, x->env->ops->bytes);
	}
	if (!TAILQ_EMPTY(&env->catching))
		timer_start(env->catch_timer, CATCH_LOOK_US);
}

/* Returns false if the time for it is over. *until_us: 0 when the wait begins. */
static bool
may_wait(const struct client_reads *r, uint64_t *until_us, uint64_t wait_us)
{
	uint64_t now_us = *r->x->env->now_us;

	if (*until_us == 0)
		*until_us = now_us + wait_us;
	return now_us < *until_us;
}

/* Returns true if a reading of the primary may end the wait; else it is a standby that has to come to a position. */
static bool
needs_primary(const struct client_reads *r)
{
	return r->token.primary_due != 0 || r->token.host_due != 0 || r->min_due != 0 || r->settle_until_us != 0 ||
	       r->primary_until_us != 0;
}

static enum walk_result
wait_until(struct client_reads *r, uint64_t until_us)
{
	struct exchange_env *env = r->x->env;

	exchange_step(r->x, CE_CATCH);
	if (TAILQ_EMPTY(&env->catching))
		timer_start(env->catch_timer, CATCH_LOOK_US);
	TAILQ_INSERT_TAIL(&env->catching, r, link);
	r->wait_until_us = until_us;
	listen_to(env, r->cluster);
	cluster_want(r->cluster, needs_primary(r) ? CLUSTER_ALL : CLUSTER_STANDBYS);
	return WALK_WAIT;
}

/* --- Where a request goes. --- */

static void
tell(struct exchange *x, const struct fail *what)
{
	struct buf b = { 0 };

	message_notice(&b, "WARNING", what);
	exchange_answer_buf(x, &b);
}

#define LSN "%" PRIX32 "/%" PRIX32
#define LSN_ARGS(n) (uint32_t)((n) >> 32), (uint32_t)(n)

/* Tells the client, once, if something that it has may be gone with the old primary. */
__attribute__((noinline)) static void
heed_history(struct exchange *x, struct client_reads *r)
{
	const struct cluster_view *v = cluster_lock(r->cluster);
	uint64_t had, end;
	bool is_lost = causality_is_lost(&r->token, v, &had, &end);
	uint32_t history = v->history;
	struct fail what;

	cluster_unlock(r->cluster);
	pool_heed_primary(x->pool, history, *x->env->now_us); /* an old one may be alive */
	if (!is_lost)
		return;
	fail_set(&what, "01000", "a change that this session has made or seen is not on the new primary");
	if (had != 0 && end != 0)
		fail_detail(&what,
			    "The session has seen the write-ahead log up to " LSN
			    ", and the new primary has it up to " LSN ".",
			    LSN_ARGS(had), LSN_ARGS(end));
	tell(x, &what);
	log_warning(x->env->log, "client %" PRIu64 ": %s", x->ticket.id, what.text);
}

static void
look_for_lost(struct exchange *x, struct client_reads *r)
{
	uint32_t history = cluster_history(r->cluster);

	if (r->token.history != history || x->pool->history != history)
		heed_history(x, r);
}

/* The client has set a position that it is not to fall behind. Returns false while it is not known whether there is
 * one. */
static bool
take_minimum(struct exchange *x, struct client_reads *r)
{
	enum causality c;
	struct fail what;

	heed_settings(r);
	if (r->min_due == 0)
		return true;
	c = causality_take(&r->token, cluster_lock(r->cluster), r->min_lsn, r->min_due);
	cluster_unlock(r->cluster);
	if (c == CAUSALITY_LATER)
		return false;
	r->min_due = 0;
	if (c == CAUSALITY_NEVER) {
		fail_set(&what, "01000", "the primary has not come to " READS_MIN_LSN " = " LSN, LSN_ARGS(r->min_lsn));
		fail_hint(&what,
			  "It is a position of another server, or of a log that was lost. Nothing waits for it.");
		tell(x, &what);
	}
	return true;
}

/* Returns one of the standbys that show all that they must, but for those tried (which have no idle server);
 * CAUSALITY_HOSTS: there is none. */
static uint32_t
choose(const struct exchange *x, struct client_reads *r, const struct cluster_view *v, unsigned tried, bool *is_later)
{
	uint32_t last = r->token.life == 0 ? CAUSALITY_HOSTS : r->token.host;
	unsigned hosts = 0;

	for (unsigned i = 0; i < v->count; i++) {
		enum causality c = causality_may_read(&r->token, v, i, x->settings->reads_max_lag_us);

		*is_later |= c == CAUSALITY_LATER;
		hosts |= (c == CAUSALITY_NOW ? 1u : 0u) << i;
	}
	return pool_standby_choose(x->pool, hosts & ~tried, last, x->ticket.id);
}

static struct server *
borrow_standby(struct exchange *x, struct client_reads *r, bool *is_later)
{
	unsigned tried = 0;
	uint64_t number;
	struct server *srv;

	for (;;) {
		const struct cluster_view *v = cluster_lock(r->cluster);
		uint32_t host = choose(x, r, v, tried, is_later);
		bool is_none = host == CAUSALITY_HOSTS;

		r->life = is_none ? 0 : v->hosts[host].life;
		number = is_none ? 0 : v->hosts[host].last.number;
		cluster_unlock(r->cluster);
		r->route = !is_none	? ROUTE_STANDBY
			   : *is_later	? ROUTE_BEHIND
			   : tried != 0 ? ROUTE_BUSY
					: ROUTE_NO_STANDBY;
		if (is_none)
			return NULL;
		srv = pool_borrow_standby(x->pool, host, &x->ticket, x, *x->env->now_us);
		if (srv != NULL && srv->reading < number)
			return srv;
		tried |= 1u << host;
		*is_later = false; /* a read never waits in a standby's line */
		if (srv != NULL) { /* it may be of a later life: the next reading tells */
			pool_return(srv, 0, *x->env->now_us);
			cluster_want(r->cluster, CLUSTER_STANDBYS);
		}
	}
}

static bool
is_settled(struct client_reads *r)
{
	bool is_now;

	if (!r->token.is_unsettled)
		return true;
	is_now = causality_may_write(&r->token, cluster_lock(r->cluster)) == CAUSALITY_NOW;
	cluster_unlock(r->cluster);
	if (is_now)
		r->settle_until_us = 0;
	return is_now;
}

/* Returns true if the block has begun, and goes on where the position is that its client has set: look_for_another().
 */
static bool
looks_for_another(const struct client_reads *r)
{
	return r->min_due != 0 || r->catch_until_us != 0;
}

static bool
may_leave(struct request_walk *w, struct client_reads *r, bool is_fast)
{
	r->begin[0] = '\0';
	r->route = ROUTE_UNMARKED;
	return !is_fast && is_marked(w, r);
}

enum walk_result
reads_route(struct request_walk *w, bool is_fast)
{
	struct exchange *x = w->x;
	struct client_reads *r = know(x);
	bool is_later = false;

	if (r == NULL) {
		exchange_out_of_memory(x);
		return WALK_OVER;
	}
	if (r->cluster == NULL) {
		r->route = ROUTE_OFF;
		return WALK_ON;
	}
	if (is_fast && (is_default(r) || reads_may_begin(w))) /* it has to be read as the slow lane does */
		return WALK_SLOWLY;
	if (r->route == ROUTE_OFF)
		r->route = ROUTE_UNMARKED;
	look_for_lost(x, r);
	if (!r->is_for_primary && (x->reads_block == READS_DUE ? looks_for_another(r) : may_leave(w, r, is_fast))) {
		if (take_minimum(x, r))
			w->lent = borrow_standby(x, r, &is_later);
		else {
			r->route = ROUTE_BEHIND;
			is_later = true;
		}
		if (w->lent == NULL && is_later && may_wait(r, &r->catch_until_us, x->settings->reads_wait_us))
			return wait_until(r, r->catch_until_us);
		if (w->lent == NULL)
			x->pool->database->counters.reads[RT_PRIMARY]++;
	}
	if (w->lent == NULL && !is_settled(r)) {
		if (may_wait(r, &r->settle_until_us, SETTLE_US))
			return wait_until(r, r->settle_until_us);
		log_debug(x->env->log,
			  "client %" PRIu64
			  ": the primary may not show yet what a standby has shown; it is asked all the same",
			  x->ticket.id);
	}
	r->catch_until_us = 0;
	return WALK_ON;
}

/* Returns true if it is not known that srv is of the primary whose history the client knows: it is given back. */
__attribute__((noinline)) static bool
is_doubtful(struct exchange *x, struct client_reads *r, struct server *srv)
{
	bool is_there = pool_is_of_primary(x->pool, srv);
	bool is_over = !may_wait(r, &r->primary_until_us, TRUST_AFTER_US);

	if (is_over && !is_there && srv->history == 0)
		srv->history = HISTORY_TRUSTED;
	if (srv->history == HISTORY_TRUSTED || (is_there && srv->history == r->token.history))
		return false;
	if (is_there || srv->history == 0) {
		pool_return(srv, 0, *x->env->now_us);
	} else { /* another host's, or an old one's */
		srv->borrower = NULL;
		server_close(srv);
	}
	wait_until(r, r->primary_until_us);
	return true;
}

bool
reads_must_wait(struct exchange *x, struct server *srv)
{
	struct client_reads *r = exchange_reads(x);

	if (srv->loan.standby != 0 || r == NULL || r->cluster == NULL || r->cluster != x->pool->cluster ||
	    x->settings->reads != READS_MARKED)
		return false; /* or a reload has changed who reads where */
	if ((srv->history == 0 || srv->history != r->token.history || srv->history != cluster_history(r->cluster)) &&
	    is_doubtful(x, r, srv))
		return true;
	r->primary_until_us = 0;
	return false;
}

__attribute__((noinline)) static void
begin_again(struct exchange *x, struct client_reads *r)
{
	struct buf b = { 0 };

	r->begun_for = x->requests_done + 1;
	message_query(&b, r->begin);
	server_owe_query(x->srv, OWED_TO_FEATURE);
	outbox_put(&x->env->to_server, &b);
}

void
reads_linked(struct exchange *x)
{
	struct client_reads *r = exchange_reads(x);
	bool is_standby = x->srv->loan.standby != 0, is_due = x->reads_block == READS_DUE;

	if (x->settings->reads == READS_PREFER_STANDBY || is_standby) {
		x->pool->database->counters.reads[is_standby ? RT_STANDBY : RT_PRIMARY]++;
		x->srv->loan.route = is_standby ? ROUTE_STANDBY : x->listen != NULL ? ROUTE_TIED : ROUTE_NO_STANDBY;
	}
	if (r == NULL)
		return;
	if (x->settings->reads == READS_MARKED)
		x->srv->loan.route = r->route;
	x->reads_block = !is_standby ? READS_NO_BLOCK : is_due ? READS_BEGUN : READS_THERE;
	if (is_due)
		begin_again(x, r);
}

/* --- On a standby. --- */

/* The block goes on on the primary: nothing but a BEGIN was run there, or nothing of it matters any more. */
static void
leave_standby(struct exchange *x)
{
	struct server *srv = x->srv;
	unsigned parts = state_seal(x);

	if (x->env->to_server.to == &srv->stream) /* the message is the first of its batch */
		outbox_drop(&x->env->to_server);
	listen_unlinked(x, srv);
	x->srv = NULL;
	reads_again(x, srv);
	exchange_reads(x)->route = ROUTE_PRIMARY_ONLY;
	pool_clean(srv, false, parts, *x->env->now_us);
}

/* Returns true for a SET LOCAL of a position that the standby has not come to, and writes that. */
static bool
sets_minimum(struct exchange *x, const char *sql, size_t len, uint64_t *position)
{
	const struct cluster_view *v;
	struct known k;
	bool is_behind;

	if (exchange_reads(x)->cluster == NULL || !text_mentions(sql, len, READS_MIN_LSN) ||
	    known_only(&k, image_scan_options(x->image), sql, len) != KNOWN_LOCAL ||
	    strcmp(k.name, READS_MIN_LSN) != 0 || !causality_parse(k.value, strlen(k.value), position))
		return false;
	v = cluster_lock(exchange_reads(x)->cluster);
	is_behind = v->hosts[x->srv->loan.standby - 1u].last.position < *position;
	cluster_unlock(exchange_reads(x)->cluster);
	return is_behind;
}

/* The block goes on on a standby that has come to this position, if one does in time. */
static void
look_for_another(struct exchange *x, uint64_t position)
{
	struct client_reads *r = exchange_reads(x);

	leave_standby(x);
	r->is_for_primary = false;
	heed_settings(r); /* now, as it would forget what follows */
	r->min_lsn = r->min_due != 0 && r->min_lsn > position ? r->min_lsn : position;
	r->min_due = cluster_begun(r->cluster) + 1;
}

/* Returns true if a Sync is all that has come behind the statement which the message at w->at begins. */
static bool
is_sync_next(const struct request_walk *w)
{
	const uint8_t *p = message_of(w), *end = w->p + w->len;
	bool has_run = false;
	struct frame f;

	while (frame_whole(p, (size_t)(end - p), &f) && f.type != 'S' && !has_run) {
		has_run = f.type == 'E';
		p += FRAME_HEAD_LEN + (size_t)f.body_len;
	}
	return frame_whole(p, (size_t)(end - p), &f) && f.type == 'S';
}

/* Returns true if the SQL ends the block, and the request goes on: what follows may write. Nothing of the session hangs
 * on that end, so the primary may have it. */
static bool
goes_on_behind_end(const struct request_walk *w, const struct sql_verdict *v, const char *sql, size_t len)
{
	const struct exchange *x = w->x;
	const struct request *m = &w->m;
	enum known_kind kind;
	struct known k;

	if ((v->hints & SCAN_HINT_ENDS) == 0 || x->srv->tx != 'T' || !x->srv->is_synced ||
	    exchange_reads(x)->begin[0] == '\0' || x->srv->loan.has_savepoint || state_is_dirty(x) ||
	    (m->type != 'Q' && is_sync_next(w)))
		return false;
	kind = known_only(&k, image_scan_options(x->image), sql, len);
	if (m->type != 'Q')
		return kind == KNOWN_COMMIT || kind == KNOWN_ROLLBACK;
	return kind == KNOWN_NOT && memchr(sql, ';', len) != NULL &&
	       (request_begins_with(m, WORD_COMMIT) || request_begins_with(m, WORD_END) ||
		request_begins_with(m, WORD_ROLLBACK) || request_begins_with(m, WORD_ABORT));
}

enum walk_result
reads_look(struct request_walk *w)
{
	struct exchange *x = w->x;
	const struct sql_verdict *v = NULL;
	size_t len;
	const char *sql = sql_of(w, &len, &v);
	bool leaves, moves, is_bound;
	uint64_t position = 0;

	if (x->srv->is_synced && x->srv->ledger.count > 0)
		return WALK_HOLD; /* what the client is shown before may decide where this goes */
	if (sql == NULL || v == NULL)
		return WALK_ON;
	leaves = leaves_something(v);
	moves = goes_on_behind_end(w, v, sql, len);
	is_bound = leaves || moves || is_for_primary(sql, len);
	if (!is_bound && !sets_minimum(x, sql, len, &position))
		return WALK_ON;
	if (x->srv->ledger.count > 0)
		return WALK_HOLD;
	if (x->reads_block == READS_BEGUN || moves) {
		if (is_bound)
			leave_standby(x);
		else
			look_for_another(x, position);
		return WALK_ON;
	}
	if (leaves) /* it keeps the standby, until that is gone */
		return WALK_ON;
	fail_set(&w->why, "0A000",
		 "this transaction reads on a standby, where locks and snapshots are not the primary's");
	fail_hint(&w->why, "Begin it without READ ONLY, or set reads = primary for this user.");
	w->has_why = true;
	return WALK_LEAVE;
}

/* Returns true if the request has set something, for its transaction alone, that no other SQL is read by and nobody is
 * told of: a limit, a position, what is an application's own. It is run behind the BEGIN wherever that is. */
static bool
takes_local(const struct exchange *x, struct client_reads *r)
{
	size_t len, at = strlen(r->begin);
	const char *sql = resend_sql(x->srv, &len);
	const struct image_setting *now;
	struct known k;

	if (sql == NULL || at + 2 + len >= sizeof(r->begin) || strcmp(x->srv->loan.tag_text, "SET") != 0 ||
	    known_only(&k, image_scan_options(x->image), sql, len) != KNOWN_LOCAL || k.name[0] == '\0' ||
	    image_is_of_context(k.name) ||
	    ((now = image_find(x->image, k.name)) != NULL && now->kind == IMAGE_REPORTED))
		return false;
	memcpy(r->begin + at, "\n;", 2); /* behind a comment, too */
	memcpy(r->begin + at + 2, sql, len);
	r->begin[at + 2 + len] = '\0';
	return true;
}

/* Returns what the block is behind a request that a standby has answered. */
static enum reads_block
block_behind(const struct exchange *x, struct client_reads *r, const struct owed *ended)
{
	const struct server *srv = x->srv;
	bool has_begun;

	if (srv->tx != 'T')
		return srv->tx == 'I' ? READS_THERE : READS_SHOWN;
	if (x->reads_block == READS_BEGUN)
		has_begun = resend_is_of_statements(srv) || (ended->statements == 1 && takes_local(x, r));
	else
		has_begun = x->reads_block == READS_THERE && r->begin[0] != '\0' && ended->statements == 1;
	return has_begun ? READS_BEGUN : READS_SHOWN;
}

__attribute__((noinline)) void
reads_request_done(struct exchange *x, const struct owed *ended)
{
	struct client_reads *r = exchange_reads(x);
	struct server *srv = x->srv;

	r->requests_done = x->requests_done;
	if (srv->loan.standby == 0 || r->cluster == NULL) {
		r->is_for_primary = false;
		if (r->cluster != NULL)
			causality_wrote(&r->token, cluster_begun(r->cluster));
		return;
	}
	r->refused = 0;
	r->settle_until_us = 0;
	x->reads_block = block_behind(x, r, ended);
	causality_read(&r->token, cluster_begun(r->cluster), srv->loan.standby - 1u, r->life);
}

bool
reads_is_left(const struct exchange *x)
{
	const struct client_reads *r = exchange_reads(x);
	const struct server *srv = x->srv;
	bool is_there;

	if (r == NULL || r->cluster == NULL || r->life == 0)
		return false;
	is_there = cluster_lock(r->cluster)->hosts[srv->loan.standby - 1u].life == r->life;
	cluster_unlock(r->cluster);
	return !is_there && (srv->ledger.count == 0 ? x->reads_block == READS_BEGUN : x->reads_block != READS_SHOWN);
}

void
reads_again(struct exchange *x, const struct server *srv)
{
	struct client_reads *r = exchange_reads(x);

	if (r == NULL)
		return;
	/* A BEGIN that pgweir repeats may not be answered yet. */
	x->reads_block = srv->tx == 'I' && x->reads_block != READS_BEGUN ? READS_NO_BLOCK : READS_DUE;
	r->is_for_primary = true;
	if (srv->loan.standby != 0)
		r->route = ROUTE_REFUSED;
	if (++r->refused < REFUSED_MAX)
		return;
	r->refused = 0;
	r->rests_until_us = *x->env->now_us + REST_US;
}

void
reads_begin_again(struct exchange *x)
{
	if (exchange_reads(x) != NULL && exchange_reads(x)->begun_for == x->requests_done + 1)
		x->reads_block = READS_DUE;
}
