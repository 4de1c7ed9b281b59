/*
 * src/listen/listen.h - LISTEN, UNLISTEN and notifications of a client that has no server of its own.
 *
 * The hub of its pool listens for it (pool/notify_hub.h). A LISTEN waits until the hub does, then runs on the borrowed
 * server as an UNLISTEN (sql/listen_text.h) whose tag is told as LISTEN: so it fails where PostgreSQL would let it
 * fail, and counts when its transaction commits. UNLISTEN runs as it is. What is committed is a membership; what is
 * heard for it is sent at once if the client is between transactions, else when its transaction is over.
 *
 *   listen/queries.c   statements, and what is sent for them
 *   listen.c         waiting for the hub; what answers mean
 *   listen/subscriptions.c memberships, and transactions
 *   listen/savepoints.c what ROLLBACK TO undoes
 *   listen/queue.c   notifications on their way to the client
 *   listen/sender_pid.c     whose PID is in them
 *   listen/real.c    texts for which the borrowed server must listen itself
 *
 * A LISTEN that nobody foresaw (in a function, or among other statements) is the server's: the client keeps that server
 * (PIN_LISTEN) until it has said UNLISTEN there.
 *
 * In session mode, and with session_state = allow, nothing of this happens. Known limits: docs/sessions.md.
 *
 * Owns:   memberships, what waits for the client (at most LISTEN_QUEUE_MAX bytes), its ear.
 * Always: a client with more bytes waiting is disconnected, nothing is dropped; a membership that is not committed is
 *         gone, at the latest, when the request after it is done.
 */
#ifndef PGWEIR_LISTEN_LISTEN_H
#define PGWEIR_LISTEN_LISTEN_H

#include "exchange/exchange.h"
#include "wire/frame.h"

#define LISTEN_QUEUE_MAX ((size_t)1 << 20) /* bytes of notifications that a client has not taken */
#define LISTEN_CHANNELS_MAX 10000 /* of one client */
#define LISTEN_SAVEPOINTS_MAX 10000 /* at a time, in a transaction that has said LISTEN or UNLISTEN */

struct client_listen; /* opaque: listen_state.h; made at the first LISTEN or UNLISTEN */

/* --- requests: relay/requests.c and statements.c --- */
enum listen_look { LISTEN_GO, LISTEN_WAIT, LISTEN_MORE, LISTEN_FAILED };
/* Told by its first letter, as nearly every simple Query can be: it is none of this module's business. */
static inline bool
listen_is_no_concern(const struct exchange *x, const uint8_t *message, size_t have)
{
	uint8_t letter = have > FRAME_HEAD_LEN ? (uint8_t)(message[FRAME_HEAD_LEN] | 0x20) : 0;

	return x->listen == NULL && letter >= 'a' && letter <= 'z' && letter != 'l' && letter != 'u';
}

/*
 * Before a message is handled, linked or not. WAIT: keep it, it is handled again when the hub listens. MORE: more of
 * its bytes are needed. FAILED: no memory.
 */
enum listen_look listen_look(struct exchange *x, const uint8_t *message, size_t have, size_t total);
/* Before a Query, Parse or Bind goes to the server it is linked to, while somebody listens. As listen_look. */
enum listen_look listen_look_at_sender(struct exchange *x, const uint8_t *message, size_t have, size_t total);
/* A whole simple Query that goes out now. DONE: something else went in its place. */
enum statement_step listen_query(struct exchange *x, const uint8_t *message, size_t len);
/* A Parse of a LISTEN: true, and the message to handle in its place (if buf_ok). */
bool listen_parse(struct exchange *x, const struct parse_fields *f, struct buf *message);
/* A Bind goes out: of st, or of a statement nobody knows (NULL). -1: no memory. */
int listen_bound(struct exchange *x, const char *portal, struct statement *st);
/* An Execute goes out. DONE: something else went in its place. */
enum statement_step listen_execute(struct exchange *x, const uint8_t *message, size_t len);
/* A text is about to be run, parsed or bound: what it needs is sent ahead. FORWARD; HOLD; FAILED: no memory. */
enum statement_step listen_before_text(struct exchange *x, const char *sql, size_t len);
void listen_cancel(struct exchange *x); /* its user cancelled what waits */

/* --- replies: replies.c --- */
bool listen_complete(struct exchange *x, const char *tag); /* true: answered in another way */
bool listen_error(struct exchange *x, const struct error_fields *e); /* true: answered in another way */
bool listen_request_done(struct exchange *x); /* true: ReadyForQuery follows later */
/* Of its server. True: it is not passed on as it is. */
bool listen_notification(struct exchange *x, const uint8_t *message, size_t len);

/* --- delivery --- */
void listen_flush(struct exchange *x); /* sends what it may get now */
void listen_drained(struct exchange *x); /* its socket takes bytes again */
void listen_free(struct exchange *x);
void listen_linked(struct exchange *x, struct server *srv);
void listen_unlinked(struct exchange *x, struct server *srv);

/* --- its server --- */
/* Nothing is owed: true if the server is kept; what is needed for letting it go is sent. */
bool listen_holds_server(struct exchange *x);

#endif
