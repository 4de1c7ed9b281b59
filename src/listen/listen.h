/*
 * src/listen/listen.h - LISTEN, UNLISTEN and notifications of a client that has no server of its own.
 *
 * The listener of its pool listens for it (dedicated/notify_listener.h). A LISTEN waits until the listener listens,
 * then runs on the borrowed server as an UNLISTEN (sql/traits.h); the client gets the tag LISTEN. So it fails
 * where PostgreSQL would refuse it, and counts when its transaction commits. UNLISTEN runs as it is. A committed LISTEN
 * is a subscription; its notifications are sent at once if the client is between transactions, else when its
 * transaction is over.
 *
 *   listen.c           waits for the listener; interprets the replies of servers
 *   queries.c          which messages are a LISTEN or UNLISTEN, and what is sent for them
 *   subscriptions.c    subscriptions, and the end of transactions
 *   queue.c            notifications on their way to the client
 *   sender_pid.c       the PID in notifications
 *   listen_transfer.c  subscriptions and queue of a client that moves to another process
 *
 * A LISTEN within a savepoint, in a function, or among other statements takes effect on the borrowed server:
 * the client keeps that server (PIN_LISTEN) until it has sent an UNLISTEN there.
 *
 * In session mode, and with session_state = allow, nothing of this happens. Known limits: docs/sessions.md.
 *
 * Owns:   subscriptions, the notifications that wait for the client (at most LISTEN_QUEUE_MAX bytes), its subscriber.
 * Always: a client with more bytes waiting is disconnected, nothing is dropped; a subscription that is not committed
 * ends, at the latest, with the request after it.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

#define LISTEN_QUEUE_MAX ((size_t)1 << 20) /* bytes of notifications that a client has not taken */
#define LISTEN_CHANNELS_MAX 10000 /* of one client */

struct client_listen; /* opaque: listen_state.h; made at the first LISTEN or UNLISTEN */

/* --- requests --- */
enum listen_gate { LISTEN_GO, LISTEN_WAIT, LISTEN_FAILED };
/*
 * A Query, Parse or Execute is about to be handled, with a server or without. Returns LISTEN_WAIT: keep it, it is
 * handled again when the listener listens; FAILED: no memory; GO.
 */
enum listen_gate listen_gate(struct exchange *x, struct request *m);
/* A Query, Parse or Bind is about to be sent, while somebody in the pool listens. Returns what listen_gate does. */
enum listen_gate listen_gate_sender(struct exchange *x, const struct request *m);
/* Rows of relay/features.c: see features_request(). FORWARD; HOLD; FAILED: no memory. */
/* SENT: m->instead is to be sent in its place. */
enum feature_step listen_query(struct exchange *x, struct request *m);
/* A Parse of a LISTEN is replaced: m->instead is handled from here on, as m. */
enum feature_step listen_parse(struct exchange *x, struct request *m);
enum feature_step listen_bind(struct exchange *x, struct request *m);
/* SENT: something else was sent in its place. */
enum feature_step listen_execute(struct exchange *x, struct request *m);
/* SQL is about to be run, parsed or bound: sends ahead what it needs. */
enum feature_step listen_before_sql(struct exchange *x, struct request *m);
void listen_cancel(struct exchange *x); /* a cancel request came for a message that waits */

/* --- listen.c and queue.c: replies --- */
/* Returns true if the client got something else in its place. */
bool listen_complete(struct exchange *x, struct tag tag);
bool listen_error(struct exchange *x, const struct error_fields *e); /* the same */
/* Returns true if ReadyForQuery follows later. */
bool listen_request_done(struct exchange *x);
/* An error is about to be sent: ReadyForQuery is no longer kept back for the listener. */
void listen_ready_now(struct exchange *x);
/* A notification from the client's server. Returns true if it must not be passed as it is. */
bool listen_notification(struct exchange *x, const uint8_t *message, size_t len);

/* --- delivery --- */
MAY_CLOSE bool listen_flush(struct exchange *x); /* sends the notifications that the client may get now */
void listen_free(struct exchange *x);
void listen_linked(struct exchange *x, struct server *srv);
void listen_unlinked(struct exchange *x, struct server *srv);
/* Between two requests, without a server: a client that listens to nothing any more, as behind the UNLISTEN * with
 * which drivers' pools reset it, is as if it never had. */
void listen_rest(struct exchange *x);

/* --- listen_transfer.c: between two requests, a client moves to another process --- */
/* The listener listens in its server's place. It may move if all is committed that it listens on, and nothing waits to
 * be sent to it. */
bool listen_ties(const struct exchange *x, enum feature_tie to);

/* Returns true if nobody of its pool listens. Where others do, its NOTIFY must be seen: listen_gate_sender(). */
static inline bool
listen_is_quiet(const struct exchange *x)
{
	return x->listen == NULL && x->pool->listeners == NULL;
}

void listen_each(const struct exchange *x, void (*row)(const char *channel, void *arg), void *arg);
/*
 * The client listens there from now on, as if it had committed a LISTEN; notifications are kept for it until
 * listen_flush(). Returns 0, or -1 without memory.
 */
int listen_take(struct exchange *x, const char *channel);
/* Returns true if the listener listens on all of them; *is_refused: on one of them it can't. */
bool listen_is_confirmed(const struct exchange *x, bool *is_refused);
/*
 * Asks the listener to catch up for a client that is transferred. While listen_transfer_waits() returns true, it has
 * not; exchange_ops.transfer_progress follows.
 */
void listen_transfer_catch_up(struct exchange *x);
bool listen_transfer_waits(const struct exchange *x);
void listen_drop_queue(struct exchange *x); /* what waits to be sent to the client */
/* Returns the whole messages that wait to be sent to the client; borrowed. */
const uint8_t *listen_queued(const struct exchange *x, size_t *len);
/*
 * Puts what waited in the process it comes from, which has caught up, ahead of what has come here, where the listener
 * has caught up since: notifications that both have got are kept once. Returns 0, or -1 without memory.
 */
int listen_join_queues(struct exchange *x, const uint8_t *bytes, size_t len);

/* --- its server --- */
/* Nothing is owed. Returns true if the server must be kept for now; then what is needed for its release was sent. */
bool listen_holds_server(struct exchange *x);
