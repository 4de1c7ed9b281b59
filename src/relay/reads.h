/*
 * src/relay/reads.h - reads = marked: a transaction that is READ ONLY goes to a standby that shows all that its client
 * has written or been shown; everything else to the primary (docs/reads.md).
 *
 * An example, with two standbys: at 0 ms client A commits an INSERT on the primary, whose log then ends at 0/500. At
 * 2 ms it sends BEGIN READ ONLY. Standby 1 has replayed the log to 0/400, and would not show A's own row; standby 2 has
 * replayed it to 0/520, so it answers. Had both been at 0/400, A would wait until one of them has come to 0/500, for
 * reads_wait at most, and the primary would answer then.
 *
 * A request without a server is *marked* if it begins such a transaction, or default_transaction_read_only is on. Where
 * it may go is for policy/causality.h to say. If no host shows enough yet, the client is CL_CATCHING until one does: at
 * most reads_wait for a standby, and then the primary answers; at most SETTLE_US for the primary, which may show a
 * commit later than a standby.
 *
 * A standby of PostgreSQL 19 that lacks only what a reading of the primary has told is asked itself when it has
 * replayed that, ahead of the request (reads_replayed.c). In the example both standbys would be at 0/400, and the one
 * that A is sent to would answer the read once it is at 0/500, as soon as it is there.
 *
 * What a standby refuses, or loses, before the client was shown anything of the transaction but the answers to its
 * BEGIN, to most SET LOCAL, and to what makes or describes statements, is relayed again, to the primary (resend.c),
 * behind that BEGIN and SET LOCAL.
 *
 * Owns:   what it knows of the client (reads_of()), made when that first needs a server.
 * Always: it knows of each request that has ended since then, wherever; while reads was off, of their number alone.
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
	struct cluster *cluster; /* a reference; that the token is of */
	struct gucs *gucs; /* a reference; is_default is its */
	bool is_default; /* READ ONLY, and not SERIALIZABLE, is what its transactions are by default */
	bool is_for_primary; /* the request is relayed again; set by reads_lost(), cleared by reads_request_done() */
	uint8_t route; /* enum read_route, of its request or transaction */
	uint8_t refused[CLUSTER_HOSTS]; /* that standby has refused so many requests of its in a row */
	uint8_t shunned; /* those that have refused too many, a bit each ... */
	uint64_t shunned_until_us;
	uint32_t requests_done; /* of its exchange, when it last heard of that */
	uint32_t silent; /* the number of a request that shows nothing: SET pgweir.min_lsn, on the primary */
	uint64_t min_lsn,
	    min_due; /* READS_MIN_LSN, which it is not to fall behind; for causality_take(), 0: it was taken */
	uint64_t life; /* of the standby that its server is on */
	uint64_t awaited; /* the position that the standby has to replay first; 0: it has */
	uint32_t await_ms; /* so long it may take; 0: none may be asked */
	uint64_t catch_until_us, settle_until_us, primary_until_us; /* 0: it does not wait for that */
	uint64_t wait_until_us; /* while it is CL_CATCHING */
	struct exchange *x;
	TAILQ_ENTRY(client_reads) link; /* while it is CL_CATCHING */
	/* The BEGIN that its request began with, and what it has set LOCAL behind that; else "". */
	char begin[BEGIN_TEXT_MAX];
};

static inline struct client_reads *
reads_of(const struct exchange *x)
{
	return x->rare == NULL ? NULL : x->rare->reads;
}

/* --- reads.c: which host answers --- */
/* Returns true if the message, which is on the fast lane, may be a BEGIN with a mode, or run one: its SQL does not
 * begin with a letter but b or st. */
static inline bool
reads_may_begin(const struct request_walk *w)
{
	const uint8_t *message = w->p + w->at;
	size_t at = FRAME_HEAD_LEN, have = w->len - w->at;
	unsigned first;
	struct frame f;

	if (message[0] == 'B')
		return statements_may_begin(w->x, w->m.names.statement);
	at += message[0] == 'P'; /* it makes the unnamed statement */
	first = (message[at] | 0x20u) - 'a';
	if (first <= 'z' - 'a' && first != 'b' - 'a' &&
	    (first != 's' - 'a' || at + 1 >= have || (message[at + 1] | 0x20) != 't'))
		return false;
	return !frame_whole(message, have, &f) || f.body_len > sizeof("BEGIN;") + (f.type == 'P' ? 3 : 0);
}

/*
 * Returns what is known of the client if the message is for the primary, as the last request was, and route() has
 * nothing to do; else NULL. The message is on the fast lane, where a Query was scanned, and reads is marked.
 */
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

/* Returns true if it is not known that srv, which the client was lent, is the primary's, or if there is another primary
 * since it was asked for: it was given back, and the client is CL_CATCHING, for TRUST_AFTER_US at most. */
bool reads_distrust(struct exchange *x, struct server *srv);
static inline bool
reads_must_wait(struct exchange *x, struct server *srv)
{
	return x->settings->reads == READS_MARKED && reads_distrust(x, srv);
}

/* As reads_borrow(), for a client that reads_stay() says nothing of. */
enum walk_result reads_choose(struct request_walk *w, bool is_fast);

/* Returns true if the next loan is for the functions below: its client reads from standbys, or its block is due (which
 * relay/begin.h may have deferred). */
static inline bool
reads_concern(const struct exchange *x)
{
	return x->settings->reads != READS_PRIMARY || x->block == EXCHANGE_DUE;
}

/* As pool_borrow(), for the client and the message at w->at. WALK_ON: w->lent is a server, or NULL if it has to wait
 * for the primary's; WALK_WAIT, WALK_OVER; and on the fast lane WALK_SLOWLY: see route(). */
static inline enum walk_result
reads_borrow(struct request_walk *w, bool is_fast)
{
	struct exchange *x = w->x;
	struct client_reads *r = is_fast && x->settings->reads == READS_MARKED ? reads_stay(w) : NULL;

	if (r == NULL)
		return reads_choose(w, is_fast);
	r->route = ROUTE_UNMARKED;
	w->lent = pool_borrow(x->pool, &x->waiter, x, *x->env->now_us);
	if (w->lent == NULL)
		return WALK_ON;
	if (w->lent->history != r->token.history && reads_must_wait(x, w->lent))
		return WALK_WAIT;
	r->primary_until_us = 0;
	r->silent = 0;
	w->lent->loan.route = ROUTE_UNMARKED;
	return WALK_ON;
}

void reads_note_loan(struct exchange *x);
/* The client has a server now. Counts it, and puts in the outbox what must go ahead of its message. */
static inline void
reads_linked(struct exchange *x)
{
	if (reads_concern(x) && x->srv->loan.route == ROUTE_OFF) /* else reads_borrow() has done it */
		reads_note_loan(x);
}

/* --- reads_wait.c: clients that are CL_CATCHING --- */
void reads_init(struct exchange_env *env);
void reads_fini(struct exchange_env *env); /* no client may wait */
void reads_canceled(struct exchange *x); /* the request of a client that is CL_CATCHING is about to be rejected */
/* A host has answered: who is CL_CATCHING may go on. Returns true, once, if a standby has fallen silent: clients are to
 * leave it for whom reads_is_left() is true. */
bool reads_on_reading(struct exchange_env *env);

/* --- reads_block.c: a transaction on a standby --- */
/* For the next message of a client with a server of a standby. WALK_ON: it may be sent, or the client has no server any
 * more, since the primary is to answer. WALK_HOLD, WALK_LEAVE: see there. */
enum walk_result reads_look(struct request_walk *w);
/* Returns true if the messages that come next from such a client, up to a Query or Sync, are those to which
 * reads_look() has nothing to say, if the fast lane takes them: w->len is where they end. False, too, if the first one
 * begins no request, or there is no such server. */
bool reads_is_free(struct request_walk *w);

void reads_request_done_there(struct exchange *x, const struct owed *ended);
/* A request has ended on a server whose loan.route is not ROUTE_OFF. */
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
	if (r->silent != x->requests_done)
		causality_wrote(&r->token, cluster_begun(r->cluster));
}

/* Returns true if the standby of its server does not answer the watch, and the primary may be asked instead. */
bool reads_is_left(const struct exchange *x);
/* The client has lost srv, its server, and goes on elsewhere, or its request is relayed again. */
void reads_lost(struct exchange *x, const struct server *srv);

/* --- reads_position.c --- */
/*
 * A row of relay/features.c: a position that travels between sessions, processes and services. SHOW pgweir.lsn is what
 * a reader must not fall behind to see all that this session has written or been shown; SET pgweir.min_lsn to it, for a
 * session or LOCAL, holds reads to that. Both are settings of PostgreSQL's as far as drivers see: pgweir gives the
 * first its value ahead of the SHOW, and refuses (22P02) what is no position for the other.
 */
enum feature_step reads_position(struct exchange *x, struct request *m);
#define READS_MIN_LSN "pgweir.min_lsn"

/* --- a feature: see features.h --- */

/* walk_fast() itself asks for EXCHANGE_NO_BLOCK, by one instruction together with what lies beside it. */
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
