/*
 * src/relay/walk.h - walks a client's bytes on their way to a server, message by message: what requests.c, fast.c and
 * send.c share.
 *
 *   requests.c   walks the bytes; borrows a server for the first message that needs one
 *   fast.c       the fast lane: messages that concern no feature
 *   send.c       all others, for a client with a server
 *
 * Borrows: the client and its bytes, until relay_bytes() returns; nothing is owned.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/report.h"
#include "exchange/request.h"
#include "relay/relay.h"
#include "wire/frame.h"

#include <stddef.h>
#include <string.h>

enum walk_result {
	WALK_ON,
	WALK_ANSWERED, /* fast.c: on, and nothing was sent: its reply is pgweir's */
	WALK_MORE, /* more bytes are needed */
	WALK_WAIT, /* for a server, or for the listener */
	WALK_HOLD, /* for the replies to earlier messages */
	WALK_REJECT, /* the request is refused: request_walk.why, rejection */
	WALK_LEAVE, /* send what was walked, then close the client; the reason is in request_walk.why */
	WALK_OVER, /* the client is closed */
	WALK_SLOWLY /* fast.c: the message may concern a feature, and was not handled; reject.c: it needs a server */
};

struct request_walk {
	struct exchange *x;
	const uint8_t *p;
	size_t len, at;
	size_t linked_at; /* where the message begins for which a server was borrowed; 0: it had one before */
	const uint8_t *scanned; /* the Query that scan is of, so that its SQL is read once; or NULL */
	struct server *lent; /* by reads_borrow(); NULL: that was not asked */
	bool has_why;
	/* walk_begin() clears nothing from here on but m.message: why is set if has_why is, scan and risk if scanned is
	 * the message at hand, m if m.message is. */
	struct fail why;
	struct scan scan;
	struct sql_traits traits; /* m's, of a Query */
	enum request_failure rejection; /* of WALK_REJECT */
	unsigned risk; /* of the SQL in scan: enum state_part */
	uint64_t fingerprint; /* the same; 0: not known */
	struct request m; /* the message at w->at, if m.message is that; of a fast Bind, only what that needs is set */
};

/* Returns the message that begins at w->at; perhaps not all of it has come. */
static inline const uint8_t *
walk_message(const struct request_walk *w)
{
	return w->p + w->at;
}

static inline void
walk_begin(struct request_walk *w, struct exchange *x, const uint8_t *bytes, size_t len)
{
	memset(w, 0, offsetof(struct request_walk, why));
	w->x = x;
	w->p = bytes;
	w->len = len;
	w->m.message = NULL;
}

/* requests.c */
enum walk_result walk_out_of_memory(struct exchange *x) __attribute__((cold)); /* WALK_OVER */

/* Returns WALK_HOLD or WALK_OVER if the feature holds the message or has failed, else WALK_ON. */
static inline enum walk_result
walk_of_step(struct exchange *x, enum feature_step step)
{
	return step == STEP_HOLD ? WALK_HOLD : step == STEP_FAILED ? walk_out_of_memory(x) : WALK_ON;
}

/* Returns WALK_LEAVE. */
enum walk_result walk_violated(struct request_walk *w, const char *what, uint8_t type) __attribute__((cold));
/* ON: the client has a server now. is_quiet: the message is in the fast lane, a Query scanned, the names of a Bind in
 * w->m; then SLOWLY, too: see reads_borrow(). */
enum walk_result walk_borrow(struct request_walk *w, bool is_quiet);

/* Reads the SQL of a whole Query. */
static inline void
walk_scan_query(struct request_walk *w, const struct frame *f)
{
	const char *sql = (const char *)walk_message(w) + FRAME_HEAD_LEN;
	struct scanned_sql *kept;

	w->scanned = walk_message(w);
	kept = scan_remembered(&w->x->env->scanned, &w->scan, gucs_scan_options(w->x->gucs), sql, f->body_len - 1);
	w->risk = database_code_risk(w->x->pool->code, *w->x->env->now_us, kept == NULL ? NULL : &kept->risk, sql,
				     f->body_len - 1, NULL, 0);
	w->fingerprint = kept == NULL ? 0 : report_fingerprint_of(kept, sql, f->body_len - 1);
}

/* The SQL of the Query at hand, of which so many bytes are here, for the report of its request. */
static inline void
walk_report_query(const struct request_walk *w, const struct frame *f, size_t have)
{
	struct server *srv = w->x->srv;

	if (srv->loan.text_len > 0)
		return;
	report_first_text(srv, walk_message(w) + FRAME_HEAD_LEN, have, f->body_len, true);
	if (w->scanned == walk_message(w))
		srv->loan.fingerprint = w->fingerprint;
}

/* fast.c: handles messages up to one that is not for the fast lane. WALK_SLOWLY: that one is next. */
enum walk_result walk_fast(struct request_walk *w);
void walk_note_bind(struct request_walk *w); /* its statement is about to run */
void walk_push_query(struct request_walk *w, enum owed_kind kind, unsigned shown);
enum walk_result walk_send_sync(struct request_walk *w);

/* reject.c: handles a message that runs something, of a client that is EXCHANGE_ROLLED_BACK or FAILED, as PostgreSQL
 * does in a transaction that has failed. ON: it was answered; REJECT; SLOWLY: the block is due, with
 * EXCHANGE_BEGIN_FAILED. */
enum walk_result reject_of_block(struct request_walk *w);

/* send.c */
/* The slow lane: reads the message at w->at as far as needed without a server. MORE: it has to be whole, and is not. */
enum walk_result walk_read_request(struct request_walk *w, const struct frame *f);
enum walk_result walk_read_bind(struct request_walk *w); /* the names of a Bind, once */
/* For a client with a server, after walk_read_request(); see features.c. */
enum walk_result walk_linked(struct request_walk *w, const struct frame *f);

/* Returns true if messages of this type run something, or prepare it. */
static inline bool
walk_runs(uint8_t type)
{
	return type != 'S' && type != 'H' && type != 'd' && type != 'c' && type != 'f';
}

/* Returns true if what is sent now, at the beginning of a request, runs under the settings of its client; also where
 * nobody follows them, in a block that has failed, and if they were replayed and PostgreSQL spells one otherwise. */
static inline bool
walk_has_settings(const struct exchange *x)
{
	return x->srv->gucs == x->gucs || x->has_caught_up || x->srv->tx == 'E' || x->replication != 0 ||
	       !(x->is_session || exchange_is_followed(x));
}

/* Sends the message as it lies; all of it has come. */
static inline enum walk_result
walk_forward_whole(struct request_walk *w, size_t total)
{
	outbox_ref(&w->x->env->to_server, walk_message(w), total);
	w->x->srv->loan.bytes_from_client += total;
	w->at += total;
	return WALK_ON;
}

void walk_drop(struct request_walk *w, size_t total); /* the message is not sent */
