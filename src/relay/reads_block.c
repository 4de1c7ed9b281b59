/* src/relay/reads_block.c - a client's transaction on a standby, and how it leaves that standby; see reads.h. */
#include "relay/reads_state.h"
#include "base/own_settings.h"
#include "base/text.h"
#include "listen/listen.h"
#include "relay/resend.h"
#include "session/gucs_effects.h"
#include "state/state.h"

#define REFUSED_MAX 3
/* a request that has run for longer leaves a silent standby only if the standby has certainly restarted or ended */
#define LEAVE_WITHIN_US (250 * US_PER_MS)
/* how long a client avoids a standby that has refused REFUSED_MAX requests in a row */
#define SHUN_US (10 * US_PER_S)

/* Has the primary continue the request or block whose server was srv. route: the new r->route. */
static void
go_to_primary(struct exchange *x, const struct server *srv, uint8_t route)
{
	struct client_reads *r = reads_of(x);

	/* A BEGIN that pgweir repeats may not be answered yet. */
	exchange_set_block(x, srv->tx == 'I' && x->block != EXCHANGE_BEGUN ? EXCHANGE_ORDINARY : EXCHANGE_BEGIN_DUE);
	r->is_for_primary = true;
	if (srv->loan.standby != 0)
		r->route = route;
}

/* Moves the block from its standby to the primary. The caller has checked that nothing that the standby has run of the
 * block matters any more. */
static void
leave_standby(struct exchange *x)
{
	struct server *srv = x->srv;
	unsigned parts = state_parts_to_wash(x);

	if (x->env->to_server.to == &srv->stream) /* the message is the first of its batch */
		outbox_drop(&x->env->to_server);
	listen_unlinked(x, srv);
	x->srv = NULL;
	go_to_primary(x, srv, ROUTE_PRIMARY_ONLY);
	pool_clean(srv, false, parts, *x->env->now_us);
}

/* Returns true if the SQL is a SET LOCAL of a position that the standby has not reached. Writes it to *position. */
static bool
sets_unreached_minimum(struct exchange *x, const char *sql, size_t len, uint64_t *position)
{
	const struct cluster_view *v;
	struct known_statement k;
	bool is_behind;

	if (reads_of(x)->cluster == NULL || !text_contains(sql, len, OWN_MIN_LSN) ||
	    known_single_statement(&k, gucs_scan_options(x->gucs), sql, len) != KNOWN_LOCAL ||
	    strcmp(k.name, OWN_MIN_LSN) != 0 || !causality_parse(k.value, position))
		return false;
	v = cluster_lock(reads_of(x)->cluster);
	is_behind = v->hosts[x->srv->loan.standby - 1u].last.position < *position;
	cluster_unlock(reads_of(x)->cluster);
	return is_behind;
}

/* Moves the block to a standby that has reached this position, or to the primary if no standby reaches it in time. */
static void
look_for_another(struct exchange *x, uint64_t position)
{
	struct client_reads *r = reads_of(x);

	leave_standby(x);
	r->is_for_primary = false;
	reads_apply_settings(r); /* called first, because a later call would overwrite min_lsn and min_due */
	r->min_lsn = r->min_due != 0 && r->min_lsn > position ? r->min_lsn : position;
	r->min_due = cluster_last_begun_reading(r->cluster) + 1;
}

/* Returns true if only a Sync follows the statement that begins with the message at w->at. */
static bool
is_sync_next(const struct request_walk *w)
{
	const uint8_t *p = w->p + w->at, *end = w->p + w->len;
	bool has_run = false;
	struct frame f;

	while (frame_parse_whole(p, (size_t)(end - p), &f) && f.type != 'S' && !has_run) {
		has_run = f.type == 'E';
		p += FRAME_HEAD_LEN + (size_t)f.body_len;
	}
	return frame_parse_whole(p, (size_t)(end - p), &f) && f.type == 'S';
}

/* Returns true if this SQL ends the block, the request goes on after it, and so may write. Returns false if the standby
 * must run that end, because the BEGIN is unknown, or because of a savepoint or session state. */
static bool
goes_on_after_end(const struct request_walk *w, const struct sql_traits *v, const char *sql, size_t len)
{
	const struct exchange *x = w->x;
	const struct request *m = &w->m;
	enum known_kind kind;
	struct known_statement k;

	if ((v->hints & SCAN_HINT_ENDS) == 0 || x->srv->tx != 'T' || !x->srv->is_synced ||
	    reads_of(x)->begin[0] == '\0' || x->srv->loan.has_savepoint || state_is_dirty(x, x->srv) ||
	    (m->type != 'Q' && is_sync_next(w)))
		return false;
	kind = known_single_statement(&k, gucs_scan_options(x->gucs), sql, len);
	if (m->type != 'Q')
		return kind == KNOWN_COMMIT || kind == KNOWN_ROLLBACK;
	return kind == KNOWN_NOT && memchr(sql, ';', len) != NULL &&
	       (request_begins_with(m, WORD_COMMIT) || request_begins_with(m, WORD_END) ||
		request_begins_with(m, WORD_ROLLBACK) || request_begins_with(m, WORD_ABORT));
}

/* Returns true if the block can go on on another host: of the answered block and of the present request, the standby
 * has run only what can be repeated (BEGIN, SET LOCALs, Parses). The caller checks that nothing is owed. */
static bool
can_go_on_elsewhere(const struct exchange *x)
{
	const struct server *srv = x->srv;

	return x->block == EXCHANGE_BEGUN && srv->ledger.intake == INTAKE_ALL &&
	       (srv->is_synced || resend_has_only_statements(srv));
}

static enum walk_result
refuse(struct request_walk *w, const char *why, const char *hint)
{
	fail_set(&w->why, "0A000", "this transaction reads on a standby%s", why);
	fail_hint(&w->why, "%s", hint);
	w->has_why = true;
	return WALK_LEAVE;
}

/* Decides where the request goes, by the SQL of the message. */
static enum walk_result
route_by_sql(struct request_walk *w, const struct sql_traits *v, const char *sql, size_t len)
{
	struct exchange *x = w->x;
	bool leaves_state = reads_keeps_server(v, sql, len), goes_on = goes_on_after_end(w, v, sql, len);
	bool needs_primary = leaves_state || goes_on || reads_is_for_primary(sql, len);
	uint64_t position = 0;

	if (!needs_primary && !sets_unreached_minimum(x, sql, len, &position))
		return WALK_ON;
	if (x->srv->ledger.count > 0)
		return WALK_HOLD;
	if (x->srv->ledger.intake == INTAKE_SYNC || (x->srv->tx == 'E' && (v->hints & SCAN_HINT_ENDS) == 0))
		return WALK_ON; /* PostgreSQL skips this message */
	if (!goes_on && !can_go_on_elsewhere(x)) {
		if (leaves_state) /* the SQL's state keeps the client on the standby; see also state_asks_for_pin() */
			return WALK_ON;
		if (needs_primary)
			return refuse(w,
				      ", where locks, snapshots, sequences and sessions are not the "
				      "primary's",
				      "Begin it without READ ONLY, or set reads = primary for this user.");
		return refuse(w, " that has not reached " OWN_MIN_LSN,
			      "Set it as the first statement after BEGIN, or for the session, before that.");
	}
	if (needs_primary)
		leave_standby(x);
	else
		look_for_another(x, position);
	return WALK_ON;
}

/* A request leaves the standby as a whole, or not at all. So at its first message, all its messages are searched. */
enum walk_result
reads_check_next(struct request_walk *w)
{
	struct exchange *x = w->x;
	const struct sql_traits *v = NULL;
	size_t len = 0;
	const char *sql = reads_sql_of(w, &len, &v);

	if (x->srv->is_synced && x->srv->ledger.count > 0)
		return WALK_HOLD; /* the answers to earlier requests may decide where this one goes */
	if (x->srv->is_synced && strchr("PBDCE", w->m.type) != NULL && can_go_on_elsewhere(x) &&
	    reads_may_need_primary(w, true)) {
		leave_standby(x);
		return WALK_ON;
	}
	return sql == NULL || v == NULL ? WALK_ON : route_by_sql(w, v, sql, len);
}

/* Returns true for single SQL that begins with SE, W or V, and contains neither "pg_" nor LAST_VALUE. If the fast lane
 * takes the SQL, it is a SELECT, WITH or VALUES that reads_check_next() would let pass. */
static bool
sql_may_pass(const char *sql, size_t len)
{
	unsigned first = len < 2 ? 0 : (unsigned char)sql[0] | 0x20u;

	return (first == 'w' || first == 'v' || (first == 's' && (sql[1] | 0x20) == 'e')) &&
	       memchr(sql, ';', len) == NULL && !text_contains(sql, len, "pg_") && !text_contains(sql, len, LAST_VALUE);
}

static bool
message_may_pass(const struct exchange *x, const struct frame *f, const uint8_t *body)
{
	size_t len;
	struct statement *st;
	const char *sql = reads_sql_of_message(x, f, body, f->body_len, &len, &st);

	if (sql == NULL)
		return f->type != 'P' && f->type != 'B';
	return (f->type != 'P' || body[0] == '\0') &&
	       sql_may_pass(sql, len); /* the fast lane takes only unnamed Parses */
}

bool
reads_limit_to_passing(struct request_walk *w)
{
	const struct server *srv = w->x->srv;
	const uint8_t *from = w->p + w->at, *at = from, *end = w->p + w->len;
	struct frame f;

	if (w->x->state != CL_READY || srv == NULL || srv->loan.standby == 0 || !srv->is_synced ||
	    srv->ledger.count > 0) /* w->at must be at the first message of a request */
		return false;
	while (frame_parse_whole(at, (size_t)(end - at), &f)) {
		if (!message_may_pass(w->x, &f, at + FRAME_HEAD_LEN))
			return false;
		at += FRAME_HEAD_LEN + (size_t)f.body_len;
		if (f.type == 'Q' || f.type == 'S')
			break;
	}
	w->len = at > from ? w->at + (size_t)(at - from) : w->len;
	return at > from;
}

/* Returns true if the request has set, for its transaction alone, a setting that does not change how other SQL is
 * parsed and that is not reported to the client: a limit, a position, an application's own setting. The SET is then
 * appended to r->begin, to be run again after the BEGIN on any host. */
static bool
keep_local(const struct exchange *x, struct client_reads *r)
{
	size_t len, at = strlen(r->begin);
	const char *sql = resend_sql(x->srv, &len);
	const struct guc *now;
	struct known_statement k;

	if (sql == NULL || at + 2 + len >= sizeof(r->begin) || strcmp(x->srv->loan.tag_text, "SET") != 0 ||
	    known_single_statement(&k, gucs_scan_options(x->gucs), sql, len) != KNOWN_LOCAL || k.name[0] == '\0' ||
	    guc_affects_context(k.name) || ((now = gucs_find(x->gucs, k.name)) != NULL && now->kind == GUC_REPORTED))
		return false;
	memcpy(r->begin + at, "\n;", 2); /* the newline ends a comment that begins with -- */
	memcpy(r->begin + at + 2, sql, len);
	r->begin[at + 2 + len] = '\0';
	return true;
}

/* Returns the state of the block after `ended`, a request that a standby has answered. */
static enum exchange_block
block_after(const struct exchange *x, struct client_reads *r, const struct owed *ended)
{
	const struct server *srv = x->srv;
	bool has_begun;

	if (srv->tx != 'T')
		return srv->tx == 'I' ? EXCHANGE_ON_STANDBY : EXCHANGE_SHOWN;
	if (x->block == EXCHANGE_BEGUN)
		has_begun = resend_has_only_statements(srv) || (ended->statements == 1 && keep_local(x, r));
	else
		has_begun = x->block == EXCHANGE_ON_STANDBY && r->begin[0] != '\0' && ended->statements == 1;
	return has_begun ? EXCHANGE_BEGUN : EXCHANGE_SHOWN;
}

__attribute__((noinline)) void
reads_request_done_slowly(struct exchange *x, const struct owed *ended)
{
	struct client_reads *r = reads_of(x);
	struct server *srv = x->srv;

	if (r == NULL)
		return;
	r->requests_done = x->requests_done;
	if (srv->loan.standby == 0 || r->cluster == NULL) {
		r->is_for_primary = false;
		if (r->cluster != NULL)
			causality_note_write(&r->token, cluster_last_begun_reading(r->cluster));
		return;
	}
	r->settle_until_us = 0;
	exchange_set_block(x, block_after(x, r, ended));
	if (srv->tx == 'I')
		r->begin[0] = '\0';
	if (x->block != EXCHANGE_BEGUN) /* after a BEGIN alone, the standby may still refuse the rest */
		r->refused[srv->loan.standby - 1u] = 0;
	causality_note_read(&r->token, cluster_last_begun_reading(r->cluster), srv->loan.standby - 1u, r->life);
}

bool
reads_should_leave(const struct exchange *x)
{
	const struct client_reads *r = reads_of(x);
	const struct server *srv = x->srv;
	const struct cluster_view *v;
	const struct host_view *h;
	bool is_young = srv->ledger.count == 0 || *x->env->now_us - x->request_us < LEAVE_WITHIN_US, is_there;

	if (r == NULL || r->cluster == NULL || r->life == 0 || x->settings->reads != READS_MARKED)
		return false;
	v = cluster_lock(r->cluster);
	h = &v->hosts[srv->loan.standby - 1u];
	is_there = h->life == r->life && !(h->is_silent && v->primary >= 0 && is_young);
	cluster_unlock(r->cluster);
	return !is_there && (srv->ledger.count == 0 ? can_go_on_elsewhere(x) : x->block != EXCHANGE_SHOWN);
}

void
reads_note_loss(struct exchange *x, const struct server *srv)
{
	struct client_reads *r = reads_of(x);
	unsigned host;

	if (r == NULL)
		return;
	go_to_primary(x, srv, srv->loan.replay == REPLAY_LATE ? ROUTE_BEHIND : ROUTE_REFUSED);
	if (srv->loan.replay == REPLAY_ASKED || srv->loan.replay == REPLAY_LATE)
		x->pool->database->counters.reads[RT_PRIMARY]++;
	if (srv->loan.standby == 0 || srv->loan.replay == REPLAY_LATE)
		return;
	host = srv->loan.standby - 1u;
	if (++r->refused[host] < REFUSED_MAX)
		return;
	r->refused[host] = 0;
	r->shunned |= (uint8_t)(1u << host);
	r->shunned_until_us = *x->env->now_us + SHUN_US;
}
