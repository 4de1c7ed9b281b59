/* src/relay/reads.c - which host answers a client with reads = marked; see reads.h. */
#include "relay/reads_state.h"
#include "base/own_settings.h"
#include "base/text.h"
#include "listen/listen.h"
#include "policy/policy_shared.h"
#include "pool/standby_pools.h"
#include "state/compiled.h"
#include "state/state.h"
#include "wire/messages.h"

#define SETTLE_US US_PER_S

/* How pgweir may soon find out that a standby shows enough. A greater value is better. */
enum learn_way {
	LEARN_NOT,
	LEARN_BY_READING, /* by the next reading of the standby */
	LEARN_BY_PRIMARY, /* by asking the standby, after a reading of the primary has told the position */
	LEARN_BY_ASKING /* by asking the standby */
};

/* --- The facts about a client. --- */

/* Returns the client's struct client_reads, for the present cluster of its pool; NULL if there is no memory. If the
 * struct or the cluster is new, but the client is not, the client must wait for the primary's next reading, which
 * covers all that the client may have seen before (in another process, or with another configuration). */
static struct client_reads *
get_or_create_reads(struct exchange *x)
{
	struct exchange_rare *rare = exchange_get_or_create_rare(x);
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
			r->token.host_due = cluster_last_begun_reading(c) + 1;
			r->token.is_unsettled = x->has_seen_primary = true;
		}
		if (c != NULL)
			reads_listen(x->env, c);
		gucs_unref(r->gucs); /* the new settings are read at the next request */
		r->gucs = NULL;
		r->min_due = 0;
	}
	if ((x->has_seen_primary || r->requests_done != x->requests_done || listen_queued(x, &len) != NULL) &&
	    c != NULL) {
		x->has_seen_primary = false;
		r->requests_done = x->requests_done;
		causality_note_write(&r->token, cluster_last_begun_reading(c));
	}
	return r;
}

void
reads_free(struct exchange *x)
{
	struct client_reads *r = reads_of(x);

	if (r == NULL)
		return;
	if (r->wait_until_us != 0)
		TAILQ_REMOVE(&x->env->catching, r, link);
	cluster_put(r->cluster);
	gucs_unref(r->gucs);
	free(r);
	x->rare->reads = NULL;
}

/* --- Where a request goes. --- */

static void
send_warning(struct exchange *x, const struct fail *what)
{
	struct buf b = { 0 };

	message_notice(&b, "WARNING", what);
	exchange_answer_buf(x, &b);
}

/* Makes the client's token belong to the present primary. Warns the client, once, if something that it has written or
 * been shown may be lost with the old primary. */
__attribute__((noinline)) static void
apply_history(struct exchange *x, struct client_reads *r)
{
	const struct cluster_view *v = cluster_lock(r->cluster);
	uint64_t had, end;
	bool is_lost = causality_take_loss(&r->token, v, &had, &end);
	uint32_t history = v->history;
	struct fail what;

	cluster_unlock(r->cluster);
	pool_set_primary_history(x->pool, history, *x->env->now_us); /* the old primary may still run */
	if (!is_lost)
		return;
	fail_set(&what, "01000", "a change that this session has made or seen is not on the new primary");
	if (had != 0 && end != 0)
		fail_detail(&what,
			    "The session has seen the write-ahead log up to " LSN
			    ", and the new primary has it up to " LSN ".",
			    LSN_ARGS(had), LSN_ARGS(end));
	send_warning(x, &what);
	log_warning(x->env->log, "client %" PRIu64 ": %s", x->waiter.id, what.text);
}

/* Enters in the token the position that the client has set for its reads (OWN_MIN_LSN). Returns false while pgweir does
 * not know if the primary has reached that position. */
static bool
take_minimum(struct exchange *x, struct client_reads *r)
{
	enum causality c;
	struct fail what;

	reads_apply_settings(r);
	if (r->min_due == 0)
		return true;
	c = causality_require(&r->token, cluster_lock(r->cluster), r->min_lsn, r->min_due);
	cluster_unlock(r->cluster);
	if (c == CAUSALITY_LATER)
		return false;
	r->min_due = 0;
	if (c == CAUSALITY_NEVER) {
		fail_set(&what, "01000", "the primary has not reached " OWN_MIN_LSN " = " LSN, LSN_ARGS(r->min_lsn));
		fail_hint(&what,
			  "It is a position of another server, or of a log that was lost. Nothing waits for it.");
		send_warning(x, &what);
	}
	return true;
}

static uint32_t
count_lent(const struct pool *pool, uint32_t host)
{
	return pool->standby_pools[host] == NULL ? 0 : policy_count_busy(pool->standby_pools[host]->policy);
}

/* Returns true if all connections that the standby's pool may have are lent. */
static bool
is_full(const struct pool *pool, uint32_t host)
{
	return pool->standby_pools[host] != NULL &&
	       count_lent(pool, host) >= pool->standby_pools[host]->settings.pool_size;
}

/* Returns the standby in `hosts` (a bit for each) with the fewest connections lent. If some are in pgweir's own zone,
 * leaves out all others. Of equal standbys, prefers `last`, the client's last standby (CLUSTER_HOSTS if it has none);
 * otherwise the client's id decides. Returns CLUSTER_HOSTS if hosts is 0. */
static uint32_t
find_idlest(const struct pool *pool, unsigned hosts, uint32_t last, uint64_t id)
{
	uint32_t best = CLUSTER_HOSTS, fewest = UINT32_MAX, equal = 0;

	if ((hosts & pool->own_zone) != 0)
		hosts &= pool->own_zone;
	/* Ids are mixed, because an application's sessions may come in pairs of a writer and a reader. */
	id = id * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	for (uint32_t host = 0; host < CLUSTER_HOSTS; host++) {
		uint32_t lent;

		if ((hosts >> host & 1) == 0 || (lent = count_lent(pool, host)) > fewest)
			continue;
		equal = lent < fewest ? 1 : equal + 1;
		if (lent < fewest || host == last || (best != last && id % equal == 0))
			best = host;
		id /= equal;
		fewest = lent;
	}
	return best;
}

/* Returns how pgweir may find out that a standby with CAUSALITY_LATER (causality_check_read()) shows enough. */
static enum learn_way
find_learn_way(const struct exchange *x, const struct client_reads *r, const struct cluster_view *v, uint32_t host)
{
	const struct host_view *h = &v->hosts[host];

	if (h->askable_from_us == 0 || *x->env->now_us < h->askable_from_us)
		return LEARN_BY_READING;
	return causality_needed_position(&r->token, v, host) == UINT64_MAX ? LEARN_BY_PRIMARY : LEARN_BY_ASKING;
}

/* Returns a standby that shows enough. If no standby does, returns one that is to be asked to wait until it does
 * (r->await_ms), or CLUSTER_HOSTS. Leaves out the standbys in `tried`, which lent no fit server. Raises *best_way. */
static uint32_t
choose_standby(const struct exchange *x, struct client_reads *r, const struct cluster_view *v, unsigned tried,
	       enum learn_way *best_way)
{
	uint32_t last = r->token.life == 0 ? CLUSTER_HOSTS : r->token.host, host;
	unsigned hosts = 0, asked = 0;

	if (*x->env->now_us >= r->shunned_until_us)
		r->shunned = 0;
	for (unsigned i = 0; i < v->count; i++) {
		enum causality c = (r->shunned >> i & 1) != 0
				       ? CAUSALITY_NEVER
				       : causality_check_read(&r->token, v, i, x->settings->reads_max_lag_us);

		enum learn_way way = c == CAUSALITY_LATER ? find_learn_way(x, r, v, i) : LEARN_NOT;

		*best_way = way > *best_way ? way : *best_way;
		hosts |= (c == CAUSALITY_NOW ? 1u : 0u) << i;
		asked |= (way == LEARN_BY_ASKING && r->await_ms != 0 ? 1u : 0u) << i;
	}
	host = find_idlest(x->pool, hosts & ~tried, last, x->waiter.id);
	r->awaited = 0;
	if (host == CLUSTER_HOSTS && (host = find_idlest(x->pool, asked & ~tried, last, x->waiter.id)) != CLUSTER_HOSTS)
		r->awaited = causality_needed_position(&r->token, v, host);
	return host;
}

static struct server *
borrow_standby(struct exchange *x, struct client_reads *r, enum learn_way *best_way)
{
	bool is_connecting = false;
	unsigned tried = 0;
	uint64_t number;
	struct server *srv;

	for (;;) {
		const struct cluster_view *v = cluster_lock(r->cluster);
		uint32_t host = choose_standby(x, r, v, tried, best_way);
		bool is_none = host == CLUSTER_HOSTS;

		r->life = is_none ? 0 : v->hosts[host].life;
		number = is_none ? 0 : v->hosts[host].last.number;
		cluster_unlock(r->cluster);
		r->route = !is_none		    ? ROUTE_STANDBY
			   : *best_way != LEARN_NOT ? ROUTE_BEHIND
			   : is_connecting	    ? ROUTE_CONNECTING
			   : tried != 0		    ? ROUTE_BUSY
			   : r->shunned != 0	    ? ROUTE_REFUSED
						    : ROUTE_NO_STANDBY;
		if (is_none)
			return NULL;
		srv = pool_borrow_standby(x->pool, host, &x->waiter, x, *x->env->now_us);
		if (srv != NULL && srv->reading < number)
			return srv;
		tried |= 1u << host;
		*best_way = LEARN_NOT; /* a read never waits in the queue of a standby */
		if (srv !=
		    NULL) { /* the server may be newer than the last reading, so the standby may have restarted since */
			pool_return(srv, 0, *x->env->now_us);
			cluster_want(r->cluster, CLUSTER_STANDBYS);
		}
		is_connecting |= !is_full(x->pool, host);
	}
}

static bool
check_settled(struct client_reads *r)
{
	bool is_now;

	if (!r->token.is_unsettled)
		return true;
	is_now = causality_check_write(&r->token, cluster_lock(r->cluster)) == CAUSALITY_NOW;
	cluster_unlock(r->cluster);
	if (is_now)
		r->settle_until_us = 0;
	return is_now;
}

/* Returns true if the message at w->at may go to a standby. A block that relay/begin.h has deferred may not, because
 * such a block is not marked. Any other block whose BEGIN is due has begun on a standby. It may continue on another
 * standby only to reach a position that the client has set: see look_for_another() in reads_block.c. */
static bool
check_may_go_to_standby(struct request_walk *w, struct client_reads *r, bool is_fast)
{
	if (w->x->block == EXCHANGE_BEGIN_DUE && w->x->begin_modes == 0)
		return r->min_due != 0 || r->catch_until_us != 0;
	r->begin[0] = '\0';
	r->route = ROUTE_UNMARKED;
	return w->x->block != EXCHANGE_BEGIN_DUE && !is_fast && reads_route_marked(w, r);
}

/* Finds a server of a standby for the message at w->at, which is marked. Returns WALK_ON with w->lent set, or with
 * w->lent NULL if the primary is to answer; or WALK_WAIT if the client is CL_CATCHING_UP. */
static enum walk_result
find_standby(struct request_walk *w, struct client_reads *r)
{
	struct exchange *x = w->x;
	enum learn_way way = LEARN_NOT;

	r->await_ms = 0;
	if (take_minimum(x, r)) {
		w->lent = borrow_standby(x, r, &way);
		if (w->lent == NULL && way == LEARN_BY_ASKING && (r->await_ms = reads_await_ms(w, r)) != 0)
			w->lent = borrow_standby(x, r, &way);
	} else {
		r->route = ROUTE_BEHIND;
		way = LEARN_BY_READING;
	}
	if (w->lent != NULL)
		return WALK_ON;
	if (way != LEARN_NOT && reads_start_or_continue_wait(r, &r->catch_until_us, x->settings->reads_wait_us))
		return reads_wait_until(r, r->catch_until_us, way == LEARN_BY_PRIMARY ? CLUSTER_PRIMARY : CLUSTER_ALL);
	x->pool->database->counters.reads[RT_PRIMARY]++;
	return WALK_ON;
}

/*
 * Finds a server for the message at w->at of a client with reads = marked that has no server. Returns WALK_ON with
 * w->lent set to a standby's server, lent to the client, or still NULL if the primary is to answer; or WALK_WAIT if the
 * client is CL_CATCHING_UP. is_fast: true on the fast lane, where the result is WALK_SLOWLY if the message may be
 * marked, and only the slow lane can tell.
 */
static enum walk_result
route(struct request_walk *w, bool is_fast)
{
	struct exchange *x = w->x;
	struct client_reads *r = get_or_create_reads(x);
	uint32_t history;

	if (r == NULL) {
		exchange_out_of_memory(x);
		return WALK_OVER;
	}
	if (r->cluster == NULL) {
		r->route = ROUTE_OFF;
		return WALK_ON;
	}
	if (is_fast && (reads_apply_settings(r) || reads_may_begin(w))) /* the slow lane must read the message */
		return WALK_SLOWLY;
	if (r->route == ROUTE_OFF)
		r->route = ROUTE_UNMARKED;
	history = cluster_history(r->cluster);
	if (r->token.history != history || x->pool->history != history)
		apply_history(x, r);
	if (!r->is_for_primary && check_may_go_to_standby(w, r, is_fast) && find_standby(w, r) == WALK_WAIT)
		return WALK_WAIT;
	if (w->lent == NULL && !check_settled(r)) {
		if (reads_start_or_continue_wait(r, &r->settle_until_us, SETTLE_US))
			return reads_wait_until(r, r->settle_until_us, CLUSTER_ALL);
		log_debug(x->env->log,
			  "client %" PRIu64 ": the primary may not show yet what a standby has shown; asking it anyway",
			  x->waiter.id);
	}
	r->catch_until_us = 0;
	return WALK_ON;
}

/* Returns the standbys that may be read from, as a set of bits: bit i is the upstream's host number i. If no primary
 * answers any more, no standby's lag is known, so all standbys may be read from. If two primaries answer, a standby may
 * belong to either, so no standby may be read from. */
static unsigned
find_usable_standbys(struct cluster *c, uint64_t max_lag_us)
{
	const struct cluster_view *v = cluster_lock(c);
	unsigned standbys = 0, near = 0, primaries = 0;
	bool was_seen = v->history != 0;

	for (uint32_t i = 0; i < v->count; i++) {
		const struct host_view *h = &v->hosts[i];

		primaries += h->role == HOST_PRIMARY;
		standbys |= (h->role == HOST_STANDBY ? 1u : 0u) << i;
		near |= (h->is_proved && !h->is_silent && h->lag_us <= max_lag_us ? 1u : 0u) << i;
	}
	cluster_unlock(c);
	if (primaries == 1)
		return standbys & near;
	return primaries == 0 && was_seen ? standbys : 0;
}

/* With reads = prefer_standby, a client that keeps nothing on a server borrows a server of a standby, if a standby lags
 * by reads_max_lag at most; the standby with the fewest loans is tried first. Clients never wait for a standby: only
 * the primary has a queue. Only the lag is promised; standbys refuse writes. */
static struct server *
borrow_preferred(struct exchange *x)
{
	struct pool *pool = x->pool;
	struct server *srv = NULL;
	unsigned hosts;

	if (x->settings->reads != READS_PREFER_STANDBY || pool->cluster == NULL || exchange_keeps_server(x) ||
	    x->listen != NULL || state_asks_for_pin(x))
		return NULL;
	hosts = find_usable_standbys(pool->cluster, x->settings->reads_max_lag_us);
	while (hosts != 0 && srv == NULL) {
		uint32_t host = find_idlest(pool, hosts, CLUSTER_HOSTS, x->waiter.id);

		hosts &= ~(1u << host);
		srv = pool_borrow_standby(pool, host, &x->waiter, x, *x->env->now_us);
	}
	return srv;
}

/* If it is not known that srv belongs to the primary whose history the client knows, gives srv back or closes
 * it, makes the client wait, and returns true. */
__attribute__((noinline)) static bool
return_doubtful(struct exchange *x, struct client_reads *r, struct server *srv)
{
	bool is_there = pool_note_server_host(x->pool, srv);
	bool is_over = !reads_start_or_continue_wait(r, &r->primary_until_us, TRUST_AFTER_US);

	if (is_over && !is_there && srv->history == 0)
		srv->history = HISTORY_TRUSTED;
	if (srv->history == HISTORY_TRUSTED || (is_there && srv->history == r->token.history))
		return false;
	if (is_there || srv->history == 0) {
		pool_return(srv, 0, *x->env->now_us);
	} else { /* srv is of another host, or of an old primary */
		srv->borrower = NULL;
		server_close(srv);
	}
	reads_wait_until(r, r->primary_until_us, CLUSTER_ALL);
	return true;
}

bool
reads_return_if_doubtful(struct exchange *x, struct server *srv)
{
	struct client_reads *r = reads_of(x);

	if (srv->loan.standby != 0 || r == NULL || r->cluster == NULL || r->cluster != x->pool->cluster)
		return false; /* the client does not read from standbys, or a reload has just changed its cluster */
	if ((srv->history == 0 || srv->history != r->token.history || srv->history != cluster_history(r->cluster)) &&
	    return_doubtful(x, r, srv))
		return true;
	r->primary_until_us = 0;
	return false;
}

enum walk_result
reads_borrow_slowly(struct request_walk *w, bool is_fast)
{
	struct exchange *x = w->x;
	enum walk_result r;

	w->lent = borrow_preferred(x);
	if (x->settings->reads == READS_MARKED && (r = route(w, is_fast)) != WALK_ON)
		return r;
	if (w->lent == NULL)
		w->lent = pool_borrow(x->pool, &x->waiter, x, *x->env->now_us);
	return w->lent != NULL && reads_return_unless_primary(x, w->lent) ? WALK_WAIT : WALK_ON;
}

void
reads_count_loan(struct exchange *x)
{
	struct client_reads *r = reads_of(x);
	bool is_standby = x->srv->loan.standby != 0;

	if (x->settings->reads == READS_PREFER_STANDBY || is_standby) {
		if (x->srv->loan.replay ==
		    REPLAY_NOT_ASKED) /* relay_check_replayed() counts loans for which the standby was asked */
			x->pool->database->counters.reads[is_standby ? RT_STANDBY : RT_PRIMARY]++;
		x->srv->loan.route = is_standby ? ROUTE_STANDBY : x->listen != NULL ? ROUTE_TIED : ROUTE_NO_STANDBY;
	}
	if (is_standby)
		state_add_risk(x, standby_pool_assumed_risk(x->srv));
	if (r == NULL)
		return;
	r->silent_request = 0;
	if (x->settings->reads == READS_MARKED)
		x->srv->loan.route = r->route;
	if (is_standby && x->block != EXCHANGE_BEGUN)
		exchange_set_block(x, EXCHANGE_ON_STANDBY);
}
