/*
 * src/listen/listen.h - LISTEN, UNLISTEN and notifications of a client that has no server of its own.
 *
 * The listener of the client's pool listens for the client (dedicated/notify_listener.h). A LISTEN waits until the
 * listener listens to the channel, then an UNLISTEN is sent to the borrowed server in its place (sql/traits.h), and the
 * client gets the tag LISTEN. So a LISTEN fails if PostgreSQL would refuse it, and takes effect when its transaction
 * commits. UNLISTEN is sent unchanged. A committed LISTEN is an active subscription; its notifications are sent at once
 * if the client is between transactions, otherwise at the end of the client's transaction.
 *
 *   listen.c           waits for the listener; interprets the replies of servers
 *   queries.c          finds messages that are a LISTEN or UNLISTEN, and makes those that are sent in their place
 *   subscriptions.c    subscriptions, and the end of transactions
 *   queue.c            notifications on their way to the client
 *   sender_pid.c       the PID in notifications
 *   listen_transfer.c  subscriptions and queue of a client that moves to another process
 *
 * A LISTEN within a savepoint, in a function, or among other statements takes effect on the borrowed server: the client
 * keeps that server (PIN_LISTEN) until the client has sent an UNLISTEN there.
 *
 * In session mode, and with session_state = allow, pgweir passes LISTEN and UNLISTEN on unchanged. Known limits:
 * docs/sessions.md.
 *
 * Owns:   a client's subscriptions, its subscriber, and the notifications that wait for it (at most LISTEN_QUEUE_MAX
 *         bytes).
 * Always: no notification is dropped: a client for which more than LISTEN_QUEUE_MAX bytes wait is disconnected. A
 *         subscription that is not committed ends, at the latest, with the next request.
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
 * Called before a Query, Parse or Execute is handled, with a server or without. Returns LISTEN_GO if the message can be
 * handled now; LISTEN_WAIT if it must be kept, and handled again once the listener listens; LISTEN_FAILED without
 * memory.
 */
enum listen_gate listen_gate(struct exchange *x, struct request *m);
/* Called before a Query, Parse or Bind is sent while a client of the pool listens. Returns what listen_gate() does. */
enum listen_gate listen_gate_sender(struct exchange *x, const struct request *m);
/* The functions below are rows of relay/features.c; see features_request(). They return STEP_FORWARD, STEP_HOLD, or
 * STEP_FAILED without memory. */
/* Also returns STEP_SENT if m->instead is to be sent in place of m. */
enum feature_step listen_query(struct exchange *x, struct request *m);
/* Replaces a Parse of a LISTEN by a Parse of an UNLISTEN: the caller continues with m->instead in place of m. */
enum feature_step listen_parse(struct exchange *x, struct request *m);
enum feature_step listen_bind(struct exchange *x, struct request *m);
/* Also returns STEP_SENT if another message was sent in place of m. */
enum feature_step listen_execute(struct exchange *x, struct request *m);
/* Called before SQL is run, parsed or bound: first sends the statements that this SQL needs. */
enum feature_step listen_before_sql(struct exchange *x, struct request *m);
void listen_cancel(struct exchange *x); /* called when a cancel request has come for a message that waits */

/* --- listen.c and queue.c: replies --- */
/* Called for a CommandComplete. Returns true if the client got another message in its place. */
bool listen_complete(struct exchange *x, struct tag tag);
bool listen_error(struct exchange *x, const struct error_fields *e); /* returns like listen_complete() */
/* Returns true if ReadyForQuery follows later. */
bool listen_request_done(struct exchange *x);
/* Called before an error is sent: sends the ReadyForQuery that is withheld for the listener, if any. */
void listen_ready_now(struct exchange *x);
/* Takes a notification from the client's server. Returns true if the message must not be passed on unchanged. */
bool listen_notification(struct exchange *x, const uint8_t *message, size_t len);

/* --- delivery --- */
MAY_CLOSE bool listen_flush(struct exchange *x); /* sends the notifications that the client may get now */
void listen_free(struct exchange *x);
void listen_linked(struct exchange *x, struct server *srv);
void listen_unlinked(struct exchange *x, struct server *srv);
/* Called between two requests, without a server: frees the state of a client that no longer listens to any channel,
 * e.g. after the UNLISTEN * with which drivers' pools reset it. */
void listen_free_unused(struct exchange *x);

/* --- listen_transfer.c: between two requests, a client moves to another process --- */
/* Returns true if the client is tied in the way that `to` names. A client may move if all its subscriptions are
 * committed, because the other process's listener can serve these, and if no notification waits to be sent to the
 * client. */
bool listen_ties(const struct exchange *x, enum feature_tie to);

/* Returns true if no client of x's pool listens. If another client listens, a NOTIFY of x has to pass
 * listen_gate_sender(). */
static inline bool
listen_is_quiet(const struct exchange *x)
{
	return x->listen == NULL && x->pool->listeners == NULL;
}

void listen_each(const struct exchange *x, void (*row)(const char *channel, void *arg), void *arg);
/*
 * Subscribes the client to `channel`, as if it had committed a LISTEN. Notifications are kept until listen_flush().
 * Returns 0, or -1 without memory.
 */
int listen_subscribe(struct exchange *x, const char *channel);
/* Returns true if the listener listens to all of the client's channels. Sets *is_refused if it can't listen to one of
 * them. */
bool listen_is_confirmed(const struct exchange *x, bool *is_refused);
/*
 * Asks the listener to catch up for a client that is transferred. listen_transfer_waits() returns true until the
 * listener has caught up; then exchange_ops.transfer_progress is called.
 */
void listen_transfer_catch_up(struct exchange *x);
bool listen_transfer_waits(const struct exchange *x);
void listen_drop_queue(struct exchange *x); /* drops what waits to be sent to the client */
/* Returns the whole messages that wait to be sent to the client; borrowed. */
const uint8_t *listen_queued(const struct exchange *x, size_t *len);
/*
 * Puts the notifications that waited in the client's previous process (`bytes`) ahead of those that have come to this
 * process. If both processes got a notification, keeps one copy. Before the call, the previous process's listener must
 * have caught up, and then the listener of this process. Returns 0, or -1 without memory.
 */
int listen_join_queues(struct exchange *x, const uint8_t *bytes, size_t len);

/* --- the client's server --- */
/* Called when no reply is owed. Returns true if the client must keep its server until the listener has received the
 * notifications that the client has sent; in that case also asks the listener to catch up. */
bool listen_holds_server(struct exchange *x);
