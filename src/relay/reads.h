/*
 * src/relay/reads.h - for reads = marked: a READ ONLY transaction goes to a standby that shows all that its client has
 * written or been shown; all other requests go to the primary (docs/reads.md).
 *
 * An example, with two standbys: at 0 ms client A commits an INSERT on the primary, whose log then ends at 0/500. At 2
 * ms A sends BEGIN READ ONLY. Standby 1 has replayed the log to 0/400, and would not show A's own row. Standby 2 has
 * replayed the log to 0/520, so A's request goes there. If both standbys were at 0/400, A would wait until one of them
 * is at 0/500, or until reads_wait has passed; then the primary would answer.
 *
 * A request of a client without a server is *marked* if it begins a READ ONLY transaction, or if
 * default_transaction_read_only is on. policy/causality.h decides which hosts may answer it. If no host shows enough
 * yet, the client is CL_CATCHING_UP until a host does. The client waits for a standby for reads_wait at most; then the
 * primary answers. The primary may show a commit later than a standby does, so the client may have to wait for the
 * primary, too: for SETTLE_US at most.
 *
 * A standby of PostgreSQL 19 can itself wait until it has replayed a position. If pgweir knows the position that the
 * standby still lacks, it sends a statement that waits for that position, ahead of the request (reads_replayed.c). In
 * the example, with both standbys at 0/400, one of them would get A's request, and answer as soon as it is at 0/500.
 *
 * If a standby refuses a request, or is lost while it has the request, pgweir relays the request again, to the primary
 * (resend.c), unless the client was shown more of the transaction than answers to its BEGIN, to most SET LOCALs, and to
 * messages that make or describe statements. pgweir sends the BEGIN and the SET LOCALs again ahead of the request.
 *
 * Owns:   the client's struct client_reads (reads_of()), which is made when the client first needs a server.
 * Always: once a client has the struct, the end of each of its requests is recorded there, whatever host has answered;
 *         while reads = primary, requests are only counted.
 */
#pragma once

#include "exchange/exchange.h"
#include "policy/causality.h"
#include "pool/cluster.h"
#include "relay/walk.h"
#include "statements/statements.h"

#define BEGIN_TEXT_MAX 192u

struct client_reads {
	struct read_token token; /* what the client has written and been shown: policy/causality.h */
	struct cluster *cluster; /* a reference to the cluster to which `token` belongs */
	struct gucs *gucs; /* a reference to the GUC set from which is_default was read */
	bool is_default; /* true if the client's transactions are READ ONLY, and not SERIALIZABLE, by default */
	/* the request must go to the primary now; set by go_to_primary(), cleared by reads_request_done() and
	 * look_for_another() */
	bool is_for_primary;
	uint8_t route; /* enum read_route: where the present request or transaction goes, and why */
	uint8_t refused[CLUSTER_HOSTS]; /* how many of the client's requests each standby has refused in a row */
	uint8_t shunned; /* a bit for each standby that the client avoids, because it has refused too many requests */
	uint64_t shunned_until_us; /* when `shunned` ends */
	uint32_t requests_done; /* exchange.requests_done when this struct was last brought up to date */
	uint32_t silent_request; /* the number of a request that has shown nothing of the primary: SET pgweir.min_lsn */
	uint64_t min_lsn; /* pgweir.min_lsn: the position that a host must have replayed to answer the client's reads */
	uint64_t min_due; /* the parameter `due` of causality_require() for min_lsn; 0 if `token` has min_lsn already */
	uint64_t life; /* the life (policy/cluster_view.h) of the standby that has the client's server */
	uint64_t awaited; /* the position that the client's standby must replay before it answers; 0 if there is none */
	uint32_t await_ms; /* how many ms a standby may take to replay; 0 if no standby may be asked to wait */
	uint64_t catch_until_us; /* the end of the wait for a standby that shows enough; 0 if there is no such wait */
	uint64_t settle_until_us; /* the end of the wait for a primary that shows enough; 0 if there is no such wait */
	uint64_t primary_until_us; /* the end of the wait for a server that is certain to be the primary's; or 0 */
	uint64_t wait_until_us; /* the end of the present wait; 0 if the client is not CL_CATCHING_UP */
	struct exchange *x; /* the client */
	TAILQ_ENTRY(client_reads) link; /* in env->catching while the client is CL_CATCHING_UP */
	/* The BEGIN of the client's block, with the SET LOCALs since then; "" if there is no BEGIN. */
	char begin[BEGIN_TEXT_MAX];
};

static inline struct client_reads *
reads_of(const struct exchange *x)
{
	return x->rare == NULL ? NULL : x->rare->reads;
}

/* --- reads.c: which host answers. --- */
/* Returns true if the message, which is on the fast lane, may contain or execute a BEGIN with a mode. Judges SQL by its
 * first letters (b or st), and by its length. */
static inline bool
reads_may_begin(const struct request_walk *w)
{
	const uint8_t *message = w->p + w->at;
	size_t at = FRAME_HEAD_LEN, have = w->len - w->at;
	unsigned first;
	struct frame f;

	if (message[0] == 'B')
		return statements_may_be_begin_with_mode(w->x, w->m.names.statement);
	at += message[0] == 'P'; /* skips the name of the unnamed statement */
	first = (message[at] | 0x20u) - 'a';
	if (first <= 'z' - 'a' && first != 'b' - 'a' &&
	    (first != 's' - 'a' || at + 1 >= have || (message[at + 1] | 0x20) != 't'))
		return false;
	return !frame_parse_whole(message, have, &f) || f.body_len > sizeof("BEGIN;") + (f.type == 'P' ? 3 : 0);
}

/* Returns the client's struct client_reads if the message is for the primary, like the previous request, and route()
 * would change nothing; else NULL. Call only with reads = marked, on the fast lane, after a Query was scanned. */
static inline struct client_reads *
reads_find_unrouted(const struct request_walk *w)
{
	const struct exchange *x = w->x;
	struct client_reads *r = reads_of(x);

	if (r == NULL || r->token.history == 0 || r->cluster != x->pool->cluster || r->gucs != x->gucs ||
	    (r->is_default | r->is_for_primary | r->token.is_unsettled) ||
	    r->token.history != cluster_history(r->cluster))
		return NULL;
	if (w->p[w->at] == 'Q')
		return w->scan.first != WORD_BEGIN && w->scan.first != WORD_START_TRANSACTION ? r : NULL;
	return reads_may_begin(w) ? NULL : r;
}

/* srv was lent to the client as a server of the primary. If srv's host may not be the primary any more, gives srv back,
 * makes the client CL_CATCHING_UP for TRUST_AFTER_US at most, and returns true. */
bool reads_return_if_doubtful(struct exchange *x, struct server *srv);
static inline bool
reads_return_unless_primary(struct exchange *x, struct server *srv)
{
	return x->settings->reads == READS_MARKED && reads_return_if_doubtful(x, srv);
}

/* Does what reads_borrow() does, if reads_find_unrouted() has returned NULL. */
enum walk_result reads_borrow_slowly(struct request_walk *w, bool is_fast);

/* Returns true if the functions below must be called for the client's next loan, because the client may read from
 * standbys, or its block is EXCHANGE_BEGIN_DUE. */
static inline bool
reads_concern(const struct exchange *x)
{
	return x->settings->reads != READS_PRIMARY || x->block == EXCHANGE_BEGIN_DUE;
}

/* Borrows a server for the message at w->at. Returns WALK_ON with w->lent set to the server, or to NULL if the client
 * has to wait for a server of the primary; WALK_WAIT if the client is CL_CATCHING_UP; WALK_OVER; or, if is_fast,
 * WALK_SLOWLY: see route(). */
static inline enum walk_result
reads_borrow(struct request_walk *w, bool is_fast)
{
	struct exchange *x = w->x;
	struct client_reads *r = is_fast && x->settings->reads == READS_MARKED ? reads_find_unrouted(w) : NULL;

	if (r == NULL)
		return reads_borrow_slowly(w, is_fast);
	r->route = ROUTE_UNMARKED;
	w->lent = pool_borrow(x->pool, &x->waiter, x, *x->env->now_us);
	if (w->lent == NULL)
		return WALK_ON;
	if (w->lent->history != r->token.history && reads_return_unless_primary(x, w->lent))
		return WALK_WAIT;
	r->primary_until_us = 0;
	r->silent_request = 0;
	w->lent->loan.route = ROUTE_UNMARKED;
	return WALK_ON;
}

void reads_count_loan(struct exchange *x); /* for reads_note_server() */
/* Call when the client has got a server. Counts the loan. */
static inline void
reads_note_server(struct exchange *x)
{
	if (reads_concern(x) && x->srv->loan.route == ROUTE_OFF) /* else reads_borrow() has counted it */
		reads_count_loan(x);
}

/* --- reads_wait.c: clients in CL_CATCHING_UP. --- */
void reads_init(struct exchange_env *env);
void reads_fini(struct exchange_env *env); /* no client may be CL_CATCHING_UP */
void reads_stop_catching_up(struct exchange *x); /* call before a request is rejected in CL_CATCHING_UP */
/* Call when a host has answered pgweir's watch: clients in CL_CATCHING_UP try again. Returns true, once, if a standby
 * has fallen silent; the caller must then take clients off that standby if reads_should_leave() is true for them. */
bool reads_on_cluster_reading(struct exchange_env *env);

/* --- reads_block.c: a transaction on a standby. --- */
/* Call for the next message of a client with a server of a standby. Returns WALK_ON if the message may be sent; WALK_ON
 * with x->srv set to NULL if another host must answer; WALK_HOLD; or WALK_LEAVE. */
enum walk_result reads_check_next(struct request_walk *w);
/* Returns true if the client has a server of a standby, the next message begins a request, and reads_check_next() would
 * let the request's complete messages pass, up to a Query or Sync. Then sets w->len to the end of these messages. */
bool reads_limit_to_passing(struct request_walk *w);

void reads_request_done_slowly(struct exchange *x, const struct owed *ended); /* for reads_request_done() */
/* Call when a request has ended on a server whose loan.route is not ROUTE_OFF. */
static inline void
reads_request_done(struct exchange *x, const struct owed *ended)
{
	struct client_reads *r;

	if (x->srv->loan.route != ROUTE_UNMARKED) {
		reads_request_done_slowly(x, ended);
		return;
	}
	r = x->rare->reads;
	r->requests_done = x->requests_done;
	r->is_for_primary = false;
	if (r->silent_request != x->requests_done)
		causality_note_write(&r->token, cluster_last_begun_reading(r->cluster));
}

/* Returns true if the client's server belongs to a standby that does not answer pgweir's watch (dedicated/watch.h), and
 * the request may go to the primary instead. */
bool reads_should_leave(const struct exchange *x);
/* Call when the client has lost its server srv, and stays. */
void reads_note_loss(struct exchange *x, const struct server *srv);

/* --- reads_position.c --- */
/*
 * A row of relay/features.c: lets an application pass a position from one session to another, even to a session of
 * another service. SHOW pgweir.lsn shows the position that a host must have replayed to show all that this session has
 * written or been shown. If another session runs SET [LOCAL] pgweir.min_lsn with that position, its reads wait until
 * their host has replayed the position. Drivers see two settings of PostgreSQL's: pgweir sets pgweir.lsn ahead of the
 * SHOW, and rejects (22P02) a value of pgweir.min_lsn that is not a position.
 */
enum feature_step reads_handle_position(struct exchange *x, struct request *m);

/* --- A feature: see features.h. --- */

/* Always true: walk_fast() itself tests if the block is EXCHANGE_ORDINARY, in one instruction with nearby fields. */
static inline bool
reads_is_quiet(const struct exchange *x)
{
	return true;
}

static inline bool
reads_ties(const struct exchange *x, enum feature_tie to)
{
	return to == TIE_PROCESS && x->block == EXCHANGE_BEGIN_DUE;
}

void reads_free(struct exchange *x); /* x must be closed */
