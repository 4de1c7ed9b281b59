/*
 * src/relay/walk.h - walks a client's bytes on their way to a server, message by message: what requests.c, fast.c and
 * send.c share.
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
	WALK_WAIT, /* for a server, or for the listener */
	WALK_HOLD, /* for the replies to earlier messages */
	WALK_LEAVE, /* send what was walked, then close the client; the reason is in request_walk.why */
	WALK_OVER, /* the client is closed */
	WALK_SLOWLY /* fast.c: the message may concern a feature, and was not handled */
};

struct request_walk {
	struct exchange *x;
	const uint8_t *p;
	size_t len, at;
	const uint8_t *scanned; /* the Query that scan is the result of, so that its SQL is read once; or NULL */
	bool is_open; /* the fast lane is open; until a message takes the slow one */
	bool has_why;
	struct fail why;
	struct scan scan;
};

/* Returns the message that begins at w->at; perhaps not all of it has come. */
static inline const uint8_t *
walk_message(const struct request_walk *w)
{
	return w->p + w->at;
}

/* requests.c */
enum walk_result walk_out_of_memory(struct exchange *x); /* WALK_OVER */
enum walk_result walk_violated(struct request_walk *w, const char *what, uint8_t type); /* WALK_LEAVE */
enum walk_result walk_borrow(struct request_walk *w); /* ON: the client has a server now */

/* fast.c: handles a valid message of a client that is CL_READY, or returns WALK_SLOWLY. */
enum walk_result walk_fast(struct request_walk *w, const struct frame *f);

/* send.c */
/* For a client with a server; see features.c. */
enum walk_result walk_linked(struct request_walk *w, const struct frame *f);
/* Sends the message as it lies; more of it may follow. */
enum walk_result walk_forward(struct request_walk *w, size_t total);
void walk_drop(struct request_walk *w, size_t total); /* the message is not sent */
void walk_note_bind(struct exchange *x, const char *statement); /* this statement is about to run */
enum walk_result walk_push_query(struct request_walk *w, enum owed_kind kind, unsigned shown); /* ON or OVER */
enum walk_result walk_send_extended(struct request_walk *w, const struct frame *f, enum owed_kind kind);
enum walk_result walk_send_sync(struct request_walk *w);

#endif
