/*
 * src/relay/walk.h - a client's bytes on their way to a server, message by message: what requests.c, fast.c and send.c
 * share.
 *
 *   requests.c   walks the bytes; borrows a server for the first message that needs one
 *   fast.c       the fast lane: messages that concern no feature
 *   send.c       all others, for a client with a server
 */
#ifndef PGWEIR_RELAY_WALK_H
#define PGWEIR_RELAY_WALK_H

#include "exchange/exchange.h"
#include "sql/scan.h"
#include "wire/frame.h"

enum walk_result {
	WALK_ON,
	WALK_MORE, /* more bytes are needed */
	WALK_WAIT, /* for a server, or for what listens in its place */
	WALK_HOLD, /* for replies to what was sent before */
	WALK_LEAVE, /* close the client once what was walked is sent; request_walk.why says why */
	WALK_OVER, /* it is closed */
	WALK_SLOWLY /* fast.c: nothing has been done, a feature is concerned */
};

struct request_walk {
	struct exchange *x;
	const uint8_t *p;
	size_t len, at;
	const uint8_t *scanned; /* the Query whose SQL scan is about, so that it is read once; or NULL */
	bool is_open; /* the fast lane, until a message takes the slow one; fast.c */
	bool has_why;
	struct fail why;
	struct scan scan;
};

/* The message that begins at w->at, as far as it is there. */
static inline const uint8_t *
walk_message(const struct request_walk *w)
{
	return w->p + w->at;
}

/* requests.c */
enum walk_result walk_out_of_memory(struct exchange *x); /* WALK_OVER */
enum walk_result walk_violated(struct request_walk *w, const char *what, uint8_t type); /* WALK_LEAVE */
enum walk_result walk_borrow(struct request_walk *w); /* ON: it has a server now */

/* fast.c: the message, or WALK_SLOWLY. It is a valid one for a client that is CL_READY. */
enum walk_result walk_fast(struct request_walk *w, const struct frame *f);

/* send.c */
enum walk_result walk_linked(struct request_walk *w, const struct frame *f); /* it has a server; see features.c */
enum walk_result walk_forward(struct request_walk *w, size_t total); /* the message as it lies; more of it may follow */
void walk_drop(struct request_walk *w, size_t total); /* not sent */
void walk_note_bind(struct exchange *x, const char *statement); /* what it binds is about to run */
enum walk_result walk_push_query(struct request_walk *w, enum owed_kind kind, unsigned shown); /* ON or OVER */
enum walk_result walk_send_extended(struct request_walk *w, const struct frame *f, enum owed_kind kind);
enum walk_result walk_send_sync(struct request_walk *w);

#endif
