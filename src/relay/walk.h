/*
 * src/relay/walk.h - walks through bytes that a client has sent for a server, message by message.
 *
 *   requests.c   walks the bytes; borrows a server for the first message that needs one
 *   fast.c       the fast lane: messages that concern no feature
 *   send.c       all other messages, for a client with a server
 *
 * Borrows: the client and its bytes, until relay_bytes() returns. Owns nothing.
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
	WALK_ON, /* go on */
	WALK_ANSWERED, /* fast.c: pgweir itself has answered the message; go on */
	WALK_MORE, /* more bytes are needed */
	WALK_WAIT, /* the message waits for a server, for the listener, or for a host to catch up */
	WALK_HOLD, /* the message waits for the replies to earlier messages */
	WALK_REJECT, /* refuse the request; request_walk.why is the error, request_walk.rejection its kind */
	WALK_LEAVE, /* send what was walked, then close the client; request_walk.why is the error if has_why is true */
	WALK_OVER, /* the client is closed */
	/* the message was not handled, because it may concern a feature (fast.c), or needs a server (reject.c) */
	WALK_SLOWLY
};

struct request_walk {
	struct exchange *x;
	const uint8_t *p; /* the client's bytes */
	size_t len, at; /* len: the number of bytes; at: the offset of the message that is handled now */
	size_t borrowed_at; /* offset of the message for which a server was borrowed; 0 if the client already had one */
	const uint8_t *scanned; /* the Query whose scan is in `scan`, or NULL */
	struct server *lent; /* the server that reads_borrow() has lent to the client, or NULL */
	bool has_why;
	/* walk_begin() clears only m.message of the fields below. `why` is valid if has_why is true. m is valid if
	 * m.message points to the message at `at`. scan, risk and fingerprint are valid if `scanned` points to that
	 * message. */
	struct fail why;
	struct scan scan;
	struct sql_traits traits; /* for a Query: the traits of its SQL */
	enum request_failure rejection; /* for WALK_REJECT */
	unsigned risk; /* the risk (seal/seal.h) of the SQL in scan */
	uint64_t fingerprint; /* of the SQL in scan; 0 if unknown */
	/* the message at `at`; for a Bind on the fast lane, only the fields that the fast lane needs are set */
	struct request m;
};

/* Returns the message that begins at w->at, which may be incomplete. */
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
enum walk_result walk_out_of_memory(struct exchange *x) __attribute__((cold)); /* returns WALK_OVER */

/* Returns WALK_HOLD for STEP_HOLD, WALK_OVER for STEP_FAILED, else WALK_ON. */
static inline enum walk_result
walk_result_of(struct exchange *x, enum feature_step step)
{
	return step == STEP_HOLD ? WALK_HOLD : step == STEP_FAILED ? walk_out_of_memory(x) : WALK_ON;
}

/* Sets w->why to the error for a protocol violation: `what` was wrong in a message of this type. Returns WALK_LEAVE. */
enum walk_result walk_protocol_error(struct request_walk *w, const char *what, uint8_t type) __attribute__((cold));
/* Borrows a server for the message at w->at. Returns WALK_ON if the client now has a server. is_fast_lane: true on the
 * fast lane, where a Query was scanned, or a Bind's names are in w->m; then this may return WALK_SLOWLY, like
 * reads_borrow(). */
enum walk_result walk_borrow(struct request_walk *w, bool is_fast_lane);

/* Scans the SQL of a complete Query, and finds its risk and fingerprint. */
static inline void
walk_scan_query(struct request_walk *w, const struct frame *f)
{
	const char *sql = (const char *)walk_message(w) + FRAME_HEAD_LEN;
	struct scanned_sql *kept;

	w->scanned = walk_message(w);
	kept = scan_text_cached(&w->x->env->scanned, &w->scan, gucs_scan_options(w->x->gucs), sql, f->body_len - 1);
	w->risk = database_code_risk(w->x->pool->code, *w->x->env->now_us, kept == NULL ? NULL : &kept->risk, sql,
				     f->body_len - 1, NULL, 0);
	w->fingerprint = kept == NULL ? 0 : report_fingerprint_of(kept, sql, f->body_len - 1);
}

/* Returns true if walk_scan_query() has read the message at w->at. */
static inline bool
walk_is_scanned(const struct request_walk *w)
{
	return w->scanned == walk_message(w);
}

/* Records the SQL of the Query at w->at for the report of its request. have: how many bytes of the body have come.
 * is_scanned: the result of walk_is_scanned(). */
static inline void
walk_report_query(const struct request_walk *w, const struct frame *f, size_t have, bool is_scanned)
{
	struct server *srv = w->x->srv;

	if (srv->loan.text_len > 0 || f->body_len == 0)
		return;
	report_first_text(srv, walk_message(w) + FRAME_HEAD_LEN, have, f->body_len - 1, true);
	if (is_scanned)
		srv->loan.fingerprint = w->fingerprint;
}

/* fast.c: handles messages; at the first message that the fast lane can't take, returns WALK_SLOWLY. */
enum walk_result walk_fast(struct request_walk *w);
void walk_note_bind(struct request_walk *w); /* records that the statement of the Bind in w->m is about to run */
/* Enters a Query or FunctionCall in the ledger. shown: sets owed.shown. is_scanned: the result of walk_is_scanned(). */
void walk_push_query(struct request_walk *w, enum owed_kind kind, unsigned shown, bool is_scanned);
enum walk_result walk_send_sync(struct request_walk *w);

/* reject.c: call if the client's block is EXCHANGE_ROLLED_BACK or EXCHANGE_FAILED. As PostgreSQL does in a failed
 * transaction, handles a message that runs something. Returns WALK_ON if the message was answered; WALK_REJECT; or
 * WALK_SLOWLY if a server must answer: the block is then EXCHANGE_BEGIN_DUE, with EXCHANGE_BEGIN_FAILED. */
enum walk_result reject_in_failed_block(struct request_walk *w);

/* send.c */
/* The slow lane: reads the message at w->at into w->m, as far as that needs no server. Returns WALK_MORE if more bytes
 * of the message are needed. */
enum walk_result walk_read_request(struct request_walk *w, const struct frame *f);
enum walk_result walk_read_bind(struct request_walk *w); /* reads a Bind's names, unless they were read already */
/* Call after walk_read_request(), for a client with a server: shows the message to the features and sends it. */
enum walk_result walk_send_linked(struct request_walk *w, const struct frame *f);

/* Returns false for Sync, Flush and the messages of a COPY, which run and prepare nothing. */
static inline bool
walk_runs(uint8_t type)
{
	return type != 'S' && type != 'H' && type != 'd' && type != 'c' && type != 'f';
}

/* Returns true if no settings need be sent ahead of a message that begins a request: if the server has the client's
 * settings, or has just got them; in a failed block; for replication; or if pgweir does not follow the client's
 * settings. */
static inline bool
walk_has_settings(const struct exchange *x)
{
	return x->srv->gucs == x->gucs || x->has_sent_gucs || x->srv->tx == 'E' || x->replication != 0 ||
	       !(x->is_session || exchange_is_followed(x));
}

/* Sends the complete message as it is. */
static inline enum walk_result
walk_forward_whole(struct request_walk *w, size_t total)
{
	outbox_ref(&w->x->env->to_server, walk_message(w), total);
	w->x->srv->loan.bytes_from_client += total;
	w->at += total;
	return WALK_ON;
}

void walk_drop(struct request_walk *w, size_t total); /* goes on after the message without sending it */
