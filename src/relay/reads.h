/*
 * src/relay/reads.h - reads = marked: a READ ONLY transaction goes to a standby that shows all that its client has
 * written or been shown; everything else goes to the primary (docs/reads.md).
 *
 * An example, with two standbys: at 0 ms client A commits an INSERT on the primary, whose log then ends at 0/500. At 2
 * ms it sends BEGIN READ ONLY. Standby 1 has replayed the log to 0/400, and would not show A's own row; standby 2 has
 * replayed it to 0/520, so it answers. Had both been at 0/400, A would wait, for reads_wait at most, until one of them
 * has come to 0/500; after that time the primary would answer.
 *
 * A request of a client without a server is *marked* if it begins such a transaction, or if
 * default_transaction_read_only is on. policy/causality.h decides which hosts may answer it. If no host shows enough
 * yet, the client is CL_CATCHING_UP until one does: for a standby it waits reads_wait at most, and then the primary
 * answers; for the primary, which may show a commit later than a standby, it waits SETTLE_US at most.
 *
 * If all that a standby of PostgreSQL 19 lacks is a position, and a reading of the primary has told that position,
 * pgweir asks the standby itself to wait, ahead of the request, until it has replayed the position (reads_replayed.c).
 * In the example, with both standbys at 0/400, the standby to which A is sent would answer the read as soon as it is at
 * 0/500.
 *
 * A request that a standby refuses or loses is relayed again, to the primary (resend.c), if all that the client was
 * shown of the transaction are the answers to its BEGIN, to most SET LOCALs, and to messages that make or describe
 * statements. The BEGIN and the SET LOCALs are sent again ahead of the request.
 *
 * Owns:   the client's struct client_reads (reads_of()), made when the client first needs a server.
 * Always: once there is the struct, each request that ends is noted there, on whichever host it ran; while reads is
 *         off, requests are only counted.
 */
#pragma once

#include "exchange/exchange.h"
#include "policy/causality.h"
#include "pool/cluster.h"
#include "relay/walk.h"
#include "statements/statements.h"

#define BEGIN_TEXT_MAX 192u

struct client_reads {
	struct read_token token;
	struct cluster *cluster; /* a reference to the cluster to which `token` belongs */
	struct gucs *gucs; /* a reference to the settings from which is_default was read */
	bool is_default; /* true if the client's transactions are READ ONLY, and not SERIALIZABLE, by default */
	bool is_for_primary; /* the request is relayed again; set by reads_lost(), cleared by reads_request_done() */
	uint8_t route; /* enum read_route, of its present request or transaction */
	uint8_t refused[CLUSTER_HOSTS]; /* how many of the client's requests each standby has refused in a row */
	uint8_t shunned; /* a bit for each standby that has refused too many requests */
	uint64_t shunned_until_us;
	uint32_t requests_done; /* requests_done of the exchange, when this struct was last brought up to date */
	uint32_t silent_request; /* the number of a request that shows nothing: SET pgweir.min_lsn, on the primary */
	uint64_t min_lsn; /* the client's OWN_MIN_LSN: the position that a host must have reached to answer its reads */
	uint64_t min_due; /* the parameter `due` of causality_take(); 0 if the token has min_lsn already */
	uint64_t life; /* the life (policy/cluster_view.h) of the standby to which the client's server belongs */
	uint64_t awaited; /* the position that the standby must still replay; 0 if it need not replay more */
	/* how many ms the standby may take to replay `awaited`; 0 if no standby may be asked to wait */
	uint32_t await_ms;
	/* When three waits end; each is 0 if the client does not wait for that: */
	uint64_t catch_until_us; /* for a standby that shows enough */
	uint64_t settle_until_us; /* for a primary that shows enough */
	uint64_t primary_until_us; /* for a server that is certain to be the primary's */
	uint64_t wait_until_us; /* the end of the present wait; 0 if the client is not CL_CATCHING_UP */
	struct exchange *x;
	TAILQ_ENTRY(client_reads) link; /* in env->catching while the client is CL_CATCHING_UP */
	/* The BEGIN with which its request began, and its SET LOCALs since then; else "". */
	char begin[BEGIN_TEXT_MAX];
};

static inline struct client_reads *
reads_of(const struct exchange *x)
{
	return x->rare == NULL ? NULL : x->rare->reads;
}

/* --- reads.c: which host answers. --- */
/* Returns true if the message, which is on the fast lane, may be a BEGIN with a mode, or execute one. Returns false
 * only if its SQL begins with a letter other than b, and not with st. */
static inline bool
reads_may_begin(const struct request_walk *w)
{
	const uint8_t *message = w->p + w->at;
	size_t at = FRAME_HEAD_LEN, have = w->len - w->at;
	unsigned first;
	struct frame f;

	if (message[0] == 'B')
		return statements_may_begin(w->x, w->m.names.statement);
	at += message[0] == 'P'; /* skips the name of the unnamed statement */
	first = (message[at] | 0x20u) - 'a';
	if (first <= 'z' - 'a' && first != 'b' - 'a' &&
	    (first != 's' - 'a' || at + 1 >= have || (message[at + 1] | 0x20) != 't'))
		return false;
	return !frame_whole(message, have, &f) || f.body_len > sizeof("BEGIN;") + (f.type == 'P' ? 3 : 0);
}

/* Returns the client's struct client_reads if the message is for the primary, as the previous request was, and route()
 * would change nothing; else NULL. The message is on the fast lane, where a Query was scanned, and reads is marked. */
static inline struct client_reads *
reads_stay(const struct request_walk *w)
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

/* If it is not certain that srv, which was lent to the client, belongs to the primary, or if the primary has changed
 * since srv's host was asked: gives srv back, makes the client CL_CATCHING_UP for TRUST_AFTER_US at most, and returns
 * true. */
bool reads_return_if_doubtful(struct exchange *x, struct server *srv);
static inline bool
reads_must_wait(struct exchange *x, struct server *srv)
{
	return x->settings->reads == READS_MARKED && reads_return_if_doubtful(x, srv);
}

/* Like reads_borrow(), for a client for which reads_stay() returns NULL. */
enum walk_result reads_borrow_slowly(struct request_walk *w, bool is_fast);

/* Returns true if the next loan concerns the functions below: the client reads from standbys, or its block is due
 * (relay/begin.h may have deferred it). */
static inline bool
reads_concern(const struct exchange *x)
{
	return x->settings->reads != READS_PRIMARY || x->block == EXCHANGE_DUE;
}

/* Like pool_borrow(), for the client and the message at w->at. Returns WALK_ON with w->lent set to a server, or to NULL
 * if the client has to wait for a server of the primary; WALK_WAIT; WALK_OVER; or, on the fast lane, WALK_SLOWLY: see
 * route(). */
static inline enum walk_result
reads_borrow(struct request_walk *w, bool is_fast)
{
	struct exchange *x = w->x;
	struct client_reads *r = is_fast && x->settings->reads == READS_MARKED ? reads_stay(w) : NULL;

	if (r == NULL)
		return reads_borrow_slowly(w, is_fast);
	r->route = ROUTE_UNMARKED;
	w->lent = pool_borrow(x->pool, &x->waiter, x, *x->env->now_us);
	if (w->lent == NULL)
		return WALK_ON;
	if (w->lent->history != r->token.history && reads_must_wait(x, w->lent))
		return WALK_WAIT;
	r->primary_until_us = 0;
	r->silent_request = 0;
	w->lent->loan.route = ROUTE_UNMARKED;
	return WALK_ON;
}

void reads_note_loan(struct exchange *x);
/* Called when the client has got a server. Counts the loan. */
static inline void
reads_linked(struct exchange *x)
{
	if (reads_concern(x) && x->srv->loan.route == ROUTE_OFF) /* else reads_borrow() has counted it */
		reads_note_loan(x);
}

/* --- reads_wait.c: clients that are CL_CATCHING_UP. --- */
void reads_init(struct exchange_env *env);
void reads_fini(struct exchange_env *env); /* no client may be waiting */
void reads_canceled(struct exchange *x); /* the request of a client that is CL_CATCHING_UP is about to be rejected */
/* Called when a host has answered: clients that are CL_CATCHING_UP may go on. Returns true, once, if a standby has
 * fallen silent: the caller then takes clients for which reads_should_leave() is true off that standby. */
bool reads_on_reading(struct exchange_env *env);

/* --- reads_block.c: a transaction on a standby. --- */
/* Looks at the next message of a client with a server of a standby. Returns WALK_ON if the message may be sent, or if
 * the client has no server any more because another host is to answer; WALK_HOLD; or WALK_LEAVE: see enum
 * walk_result. */
enum walk_result reads_check_next(struct request_walk *w);
/* Returns true if the client has a server of a standby, the next message begins a request, and reads_check_next() would
 * let all messages up to its Query or Sync pass if the fast lane takes them. w->len is then set to the end of these
 * messages. */
bool reads_may_pass(struct request_walk *w);

void reads_request_done_there(struct exchange *x, const struct owed *ended);
/* Call when a request has ended on a server whose loan.route is not ROUTE_OFF. */
static inline void
reads_request_done(struct exchange *x, const struct owed *ended)
{
	struct client_reads *r;

	if (x->srv->loan.route != ROUTE_UNMARKED) {
		reads_request_done_there(x, ended);
		return;
	}
	r = x->rare->reads;
	r->requests_done = x->requests_done;
	r->is_for_primary = false;
	if (r->silent_request != x->requests_done)
		causality_wrote(&r->token, cluster_last_begun_reading(r->cluster));
}

/* Returns true if the standby to which the client's server belongs does not answer pgweir's watch (dedicated/watch.h),
 * and the primary may be asked instead. */
bool reads_should_leave(const struct exchange *x);
/* Call when the client has lost srv, its server, and either stays or has its request relayed again. */
void reads_lost(struct exchange *x, const struct server *srv);

/* --- reads_position.c --- */
/*
 * A row of relay/features.c: a position that travels between sessions, processes and services. SHOW pgweir.lsn shows
 * the position that a reader must have reached to see all that this session has written or been shown; SET
 * pgweir.min_lsn to that position, for a session or LOCAL, holds reads to it. To drivers both are settings of
 * PostgreSQL's: pgweir sets the first one ahead of the SHOW, and rejects (22P02) a value for the second one that is not
 * a position.
 */
enum feature_step reads_position(struct exchange *x, struct request *m);

/* --- A feature: see features.h. --- */

/* Always true: walk_fast() itself tests whether the block is EXCHANGE_NO_BLOCK, in one instruction with neighboring
 * fields. */
static inline bool
reads_is_quiet(const struct exchange *x)
{
	return true;
}

static inline bool
reads_ties(const struct exchange *x, enum feature_tie to)
{
	return to == TIE_PROCESS && x->block == EXCHANGE_DUE;
}

void reads_free(struct exchange *x); /* the client is closed */
