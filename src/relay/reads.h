/*
 * src/relay/reads.h - the setting reads = marked: a READ ONLY transaction goes to a standby that shows all that its
 * client has written or been shown; all other requests go to the primary (docs/reads.md).
 *
 * An example, with two standbys: at 0 ms client A commits an INSERT on the primary, whose log then ends at 0/500. At 2
 * ms A sends BEGIN READ ONLY. Standby 1 has replayed the log to 0/400, and would not show A's own row. Standby 2 has
 * replayed the log to 0/520, so A's request goes there. If both standbys were at 0/400, A would wait until one of them
 * is at 0/500, or until reads_wait has passed; then the primary would answer.
 *
 * A request of a client without a server is *marked* if it begins such a transaction, or if
 * default_transaction_read_only is on. policy/causality.h decides which hosts may answer it. If no host shows enough
 * yet, the client is CL_CATCHING_UP until a host does. It waits for a standby for reads_wait at most; then the primary
 * answers. It waits for the primary, which may show a commit later than a standby does, for SETTLE_US at most.
 *
 * A standby of PostgreSQL 19 can itself wait until it has replayed a position. If the standby only lacks a position
 * that a reading of the primary has told, pgweir sends it a statement that waits for the position, ahead of the request
 * (reads_replayed.c). In the example, with both standbys at 0/400, the standby to which A's request is sent would
 * answer as soon as that standby is at 0/500.
 *
 * A request that a standby refuses, or that is lost with the standby, is relayed again, to the primary (resend.c), if
 * the client was shown nothing of the transaction but the answers to its BEGIN, to most SET LOCALs, and to messages
 * that make or describe statements. The BEGIN and the SET LOCALs are sent again ahead of the request.
 *
 * Owns:   the client's struct client_reads (reads_of()), made when the client first needs a server.
 * Always: once a client has the struct, each of its requests that ends is recorded there, on whichever host the request
 *         ran; while reads is off, requests are only counted.
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
	struct gucs *gucs; /* a reference to the GUC set from which is_default was read */
	bool is_default; /* true if the client's transactions are READ ONLY, and not SERIALIZABLE, by default */
	/* the request is relayed again, there; set by reads_lost(), cleared by reads_request_done() */
	bool is_for_primary;
	uint8_t route; /* enum read_route: that of the client's present request or transaction */
	uint8_t refused[CLUSTER_HOSTS]; /* how many of the client's requests each standby has refused in a row */
	uint8_t shunned; /* a bit for each standby that has refused too many requests */
	uint64_t shunned_until_us;
	uint32_t requests_done; /* exchange.requests_done when this struct was last brought up to date */
	uint32_t silent_request; /* the number of a request that shows nothing: SET pgweir.min_lsn, on the primary */
	uint64_t min_lsn; /* pgweir.min_lsn: the position that a host must have reached to answer the client's reads */
	uint64_t min_due; /* the parameter `due` of causality_require(); 0 if the token has min_lsn already */
	uint64_t life; /* the life (policy/cluster_view.h) of the standby to which the client's server belongs */
	uint64_t awaited; /* the position that the standby must still replay; 0 if it need not replay more */
	/* how many ms a standby may take to replay `awaited`; 0 if no standby may be asked to wait */
	uint32_t await_ms;
	/* The next three fields are when waits end; each is 0 if the client does not wait for that: */
	uint64_t catch_until_us; /* for a standby that shows enough */
	uint64_t settle_until_us; /* for a primary that shows enough */
	uint64_t primary_until_us; /* for a server that is certain to be the primary's */
	uint64_t wait_until_us; /* the end of the present wait; 0 if the client is not CL_CATCHING_UP */
	struct exchange *x;
	TAILQ_ENTRY(client_reads) link; /* in env->catching while the client is CL_CATCHING_UP */
	/* The BEGIN with which the client's request began, and the SET LOCALs since then; "" if there was no BEGIN. */
	char begin[BEGIN_TEXT_MAX];
};

static inline struct client_reads *
reads_of(const struct exchange *x)
{
	return x->rare == NULL ? NULL : x->rare->reads;
}

/* --- reads.c: which host answers. --- */
/* Returns true if the message, which is on the fast lane, may be a BEGIN with a mode, or may execute a BEGIN. Returns
 * false if its SQL begins with another letter than b, and not with st, or is too short for a mode. */
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
 * would change nothing; else NULL. Call only with reads = marked, on the fast lane, where a Query was scanned. */
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

/* Checks srv, which was lent to the client for the primary. If srv's host may not be the primary any more, gives srv
 * back, makes the client CL_CATCHING_UP for TRUST_AFTER_US at most, and returns true. */
bool reads_return_if_doubtful(struct exchange *x, struct server *srv);
static inline bool
reads_return_unless_primary(struct exchange *x, struct server *srv)
{
	return x->settings->reads == READS_MARKED && reads_return_if_doubtful(x, srv);
}

/* Like reads_borrow(), for a client for which reads_find_unrouted() returns NULL. */
enum walk_result reads_borrow_slowly(struct request_walk *w, bool is_fast);

/* Returns true if the functions below must be called for the client's next loan: the client reads from standbys, or its
 * block is EXCHANGE_DUE. */
static inline bool
reads_concern(const struct exchange *x)
{
	return x->settings->reads != READS_PRIMARY || x->block == EXCHANGE_DUE;
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
void reads_canceled(struct exchange *x); /* call before the request of a client that is CL_CATCHING_UP is rejected */
/* Called when a host has answered: lets clients that are CL_CATCHING_UP try again. Returns true, once, if a standby has
 * fallen silent: the caller then takes clients for which reads_should_leave() is true off that standby. */
bool reads_on_reading(struct exchange_env *env);

/* --- reads_block.c: a transaction on a standby. --- */
/* Looks at the next message of a client with a server of a standby. Returns WALK_ON if the message may be sent, or if
 * the server was given back because another host is to answer; else WALK_HOLD or WALK_LEAVE. */
enum walk_result reads_check_next(struct request_walk *w);
/* Returns true if the client has a server of a standby, the next message begins a request, and reads_check_next() would
 * let all messages of that request (up to its Query or Sync) pass. w->len is then set to the end of the request. */
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
		causality_note_write(&r->token, cluster_last_begun_reading(r->cluster));
}

/* Returns true if the standby to which the client's server belongs does not answer pgweir's watch (dedicated/watch.h),
 * and the primary may be asked instead. */
bool reads_should_leave(const struct exchange *x);
/* Call when the client has lost its server srv, if the client is not closed for that. */
void reads_lost(struct exchange *x, const struct server *srv);

/* --- reads_position.c --- */
/*
 * A row of relay/features.c: hands a position from one session to another, also of another service. SHOW pgweir.lsn
 * shows the position that a host must have reached to show all that this session has written or been shown. If another
 * session runs SET [LOCAL] pgweir.min_lsn with that position, its reads wait until their host has reached the position.
 * To drivers both are settings of PostgreSQL's: pgweir sets the first one ahead of the SHOW, and rejects (22P02) a
 * value for the second one that is not a position.
 */
enum feature_step reads_position(struct exchange *x, struct request *m);

/* --- A feature: see features.h. --- */

/* Always true: walk_fast() itself tests if the block is EXCHANGE_NO_BLOCK, in one instruction with nearby fields. */
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
