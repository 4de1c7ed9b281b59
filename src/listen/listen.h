/*
 * src/listen/listen.h - LISTEN, UNLISTEN and notifications of a client that has no server of its own.
 *
 * Each pool has a listener, a connection that listens for all clients of the pool (dedicated/notify_listener.h). When a
 * client sends LISTEN, pgweir first waits until the listener listens to the channel. Then pgweir sends UNLISTEN to the
 * client's server in place of LISTEN (sql/traits.h), and gives the client the tag LISTEN. So a LISTEN fails if
 * PostgreSQL would refuse it, and takes effect when its transaction commits. A client's UNLISTEN is sent unchanged. A
 * subscription is active once its LISTEN is committed. The client gets its notifications at once between transactions,
 * otherwise at the end of the transaction.
 *
 *   listen.c           waits for the listener; interprets the replies of servers
 *   queries.c          finds LISTEN and UNLISTEN in messages, and makes the messages that are sent in their place
 *   subscriptions.c    a client's subscriptions, which change when a transaction ends
 *   queue.c            notifications on their way to the client
 *   sender_pid.c       the sender's PID in notifications
 *   listen_transfer.c  subscriptions and queue of a client that moves to another process
 *
 * A LISTEN within a savepoint, in a function, or among other statements is sent unchanged: the client's server itself
 * listens, and the client keeps that server (PIN_LISTEN) until the client sends an UNLISTEN.
 *
 * In session mode, and with session_state = allow, LISTEN and UNLISTEN pass unchanged. Known limits: docs/sessions.md.
 *
 * Owns:   a client's subscriptions, and the notifications that wait to be sent to the client (at most LISTEN_QUEUE_MAX
 *         bytes).
 * Always: no notification is dropped. If more than LISTEN_QUEUE_MAX bytes wait, the client is disconnected. A
 *         subscription whose LISTEN was not committed ends, at the latest, with the next request.
 */
#pragma once

#include "exchange/exchange.h"
#include "exchange/request.h"

#define LISTEN_QUEUE_MAX ((size_t)1 << 20) /* bytes of notifications that wait for one client */
#define LISTEN_CHANNELS_MAX 10000 /* channels of one client */

struct client_listen; /* opaque: listen_state.h; made at the first LISTEN, or SQL that may notify a listening client */

/* --- requests --- */
/* A message can be handled now, once the listener has answered, or never (no memory, too many channels). */
enum listen_gate { LISTEN_GO, LISTEN_WAIT, LISTEN_FAILED };
/* Called before a Query, Parse or Execute is handled, with a server or without. After LISTEN_WAIT, the caller keeps the
 * message, and handles it again once the listener has answered. */
enum listen_gate listen_gate_message(struct exchange *x, struct request *m);
/* Called before a Query, Parse or Bind is sent if the SQL might notify a client of the pool that listens. */
enum listen_gate listen_gate_sender(struct exchange *x, const struct request *m);
/* --- rows of relay/features.c; see features_request(). They return STEP_FORWARD, STEP_HOLD or STEP_FAILED. --- */
/* May also return STEP_REPLACED: m->instead must be sent in place of m. */
enum feature_step listen_query(struct exchange *x, struct request *m);
/* Replaces a Parse of a LISTEN by a Parse of an UNLISTEN, which is in m->instead. After that, m describes the
 * latter. */
enum feature_step listen_parse(struct exchange *x, struct request *m);
enum feature_step listen_bind(struct exchange *x, struct request *m);
/* May also return STEP_REPLACED: another message is in the outbox in place of m. */
enum feature_step listen_execute(struct exchange *x, struct request *m);
/* Called before SQL is run, parsed or bound. If the SQL may call pg_listening_channels(), first makes the server listen
 * to the client's channels. */
enum feature_step listen_before_sql(struct exchange *x, struct request *m);
void listen_cancel(struct exchange *x); /* called when a message that waits for the listener is cancelled */

/* --- listen.c and queue.c: replies --- */
/* Called for a CommandComplete. Returns true if the client has got another message instead. */
bool listen_take_complete(struct exchange *x, struct tag tag);
/* Called for an ErrorResponse. Returns true if the client has got another message instead. */
bool listen_take_error(struct exchange *x, const struct error_fields *e);
/* Called when a request has ended. Returns true if its ReadyForQuery is withheld, and will be sent later. */
bool listen_request_done(struct exchange *x);
/* Called before an error is sent. Sends the ReadyForQuery that was withheld, if there is one. */
void listen_send_withheld_ready(struct exchange *x);
/* Takes a notification from the client's server. Returns true if the caller must not pass it on to the client. */
bool listen_notification(struct exchange *x, const uint8_t *message, size_t len);

/* --- delivery --- */
MAY_CLOSE bool listen_flush(struct exchange *x); /* sends notifications if the client may get them now */
/* Frees all that x->listen, which may be NULL, owns; the struct itself is freed with the client. */
void listen_free(struct exchange *x);
void listen_linked(struct exchange *x, struct server *srv); /* called when the client has got this server */
void listen_unlinked(struct exchange *x, struct server *srv); /* called when the client no longer has this server */
/* Called between two requests of a client without a server. Frees x->listen if the client listens to no channel any
 * more, for example after UNLISTEN *, with which drivers' pools reset connections. */
void listen_free_unused(struct exchange *x);

/* --- listen_transfer.c: a client moves to another process between two requests --- */
/* Returns true if LISTEN ties the client to the thing that `to` names. The client is not tied to this process if no
 * notification waits, and all subscriptions are committed, so another process's listener can serve them. */
bool listen_ties(const struct exchange *x, enum feature_tie to);

/* Returns true if no client of x's pool listens. Otherwise SQL of x that may notify must pass listen_gate_sender(). */
static inline bool
listen_is_quiet(const struct exchange *x)
{
	return x->listen == NULL && x->pool->listeners == NULL;
}

/* Calls row() for each channel that the client listens to. */
void listen_each(const struct exchange *x, void (*row)(const char *channel, void *arg), void *arg);
/* Subscribes the client to a channel as a committed LISTEN does. Notifications are kept until listen_flush(). Returns
 * 0, or -1 if there is no memory. */
int listen_subscribe(struct exchange *x, const char *channel);
/* Returns true if the listener listens to all channels of the client. Sets *is_refused if a channel is refused. */
bool listen_is_confirmed(const struct exchange *x, bool *is_refused);
/* Asks the listener to catch up, that is, to read all notifications that PostgreSQL has sent by now; after that,
 * exchange_ops.takeover_progress is called. */
void listen_transfer_catch_up(struct exchange *x);
bool listen_transfer_waits(const struct exchange *x); /* returns true until the listener has caught up */
void listen_drop_queue(struct exchange *x); /* drops the notifications that wait to be sent to the client */
/* Returns the notifications that wait to be sent to the client: whole messages, borrowed, of *len bytes. */
const uint8_t *listen_queued(const struct exchange *x, size_t *len);
/*
 * Puts `bytes`, the notifications that waited in the client's previous process, ahead of the notifications that have
 * come to this process. If both processes have got a notification, keeps one copy. Before the call, first the previous
 * process's listener and then this process's must have caught up. Returns 0, or -1 if there is no memory.
 */
int listen_join_queues(struct exchange *x, const uint8_t *bytes, size_t len);

/* --- the client's server --- */
/* Called when the server owes no reply. If the client must keep the server until the listener has received the
 * notifications that this client has sent, asks the listener to catch up and returns true. */
bool listen_hold_server(struct exchange *x);
