/*
 * src/dedicated/notify_listener.h - one server connection that listens for all clients of a pool.
 *
 * A pool has a listener for each client_encoding of its clients, because PostgreSQL sends names and payloads in a
 * connection's encoding. A client has a *subscriber* at a listener, and a *subscription* for each of its channels. When
 * a subscription joins a channel, the listener sends LISTEN for this channel. A request to PostgreSQL has LISTENs of
 * many subscribers, which take turns. The listener calls `listening` when PostgreSQL has confirmed the LISTEN, passes
 * each NotificationResponse to all subscriptions of its channel in the order of arrival, and sends UNLISTEN a while
 * after the last subscription has left. If its connection is lost, the listener connects and listens again, and then
 * calls `gap`, because notifications may have been lost.
 *
 *   notify_listener.c  listeners, subscribers, time
 *   notify_channels.c  channels and subscriptions
 *   notify_catch_up.c  waits until all earlier notifications have arrived
 *   notify_conn.c      the connection: commands and their replies in order, loss and reconnection
 *
 * Owns:    its connection (which doesn't count in pool_size), its channels.
 * Borrows: subscribers and subscriptions, which leave the listener before they are freed.
 * Always:  for each notify_join(), `listening` is called at most once without an error, and at most once with an error,
 *          perhaps later; by then, the subscription has left. No function of this header calls back before it returns.
 *          `notified` and `gap` may only store their arguments; `flush` may do anything, even close the client.
 */
#pragma once

#include "base/fail.h"
#include "pool/pool_set.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct notify_listener; /* opaque: notify_state.h */
struct notify_channel;
struct notify_subscriber;
struct notify_subscription;

struct notify_subscriber_ops {
	/* why is NULL if LISTEN has succeeded; otherwise, *why is the error */
	void (*listening)(struct notify_subscription *m, const struct fail *why);
	/* `message` is the whole message */
	void (*notified)(struct notify_subscription *m, const uint8_t *message, size_t len);
	/* Notifications may have been lost, because the connection was lost and is back now, or because the listener's
	 * own NOTIFY has failed with the error *why. */
	void (*gap)(struct notify_subscriber *subscriber, const struct fail *why);
	void (*flush)(struct notify_subscriber *subscriber); /* called at the end of a batch with notified() or gap() */
	void (*caught_up)(struct notify_subscriber *subscriber); /* see notify_catch_up() */
};

TAILQ_HEAD(notify_subscriptions, notify_subscription);

/* Embedded in struct client_listen; zeroed before notify_attach(). */
struct notify_subscriber {
	struct notify_listener *listener; /* NULL if the subscriber is not attached */
	const struct notify_subscriber_ops *ops;
	uint32_t subscriptions; /* how many subscriptions the subscriber has */
	bool is_flush_due, has_gap; /* has_gap: `gap` is due when the listener listens again */
	struct notify_subscribers *waiting_in; /* the list that has the subscriber after notify_catch_up(); else NULL */
	struct notify_subscriptions due; /* subscriptions for which LISTEN is due */
	TAILQ_ENTRY(notify_subscriber) all, to_flush, wait, turn;
};

/* Embedded in struct subscription; zeroed before notify_join(). */
struct notify_subscription {
	struct notify_subscriber *subscriber;
	struct notify_channel *channel; /* NULL if the subscription has joined no channel */
	uint64_t since_us; /* when the subscription joined its channel */
	/* the list that contains the subscription, or NULL; set by the listener only */
	struct notify_subscriptions *list;
	bool is_due; /* true while the subscription is in subscriber->due */
	TAILQ_ENTRY(notify_subscription) link, due;
};

/* Attaches `subscriber` to the pool's listener for this client_encoding; makes the listener if there is none. Returns
 * 0, or -1 if there is no memory. */
int notify_attach(struct pool *pool, const char *encoding, struct notify_subscriber *subscriber,
		  const struct notify_subscriber_ops *ops);
/* Does what notify_attach() does, for a subscriber that will only call notify_catch_up(). Makes no listener: returns
 * false unless the pool has a connected listener with subscriptions for this client_encoding. */
bool notify_attach_if_listening(struct pool *pool, const char *encoding, struct notify_subscriber *subscriber,
				const struct notify_subscriber_ops *ops);
/* Detaches `subscriber`, which must have no subscriptions. Does nothing if `subscriber` is not attached. */
void notify_detach(struct notify_subscriber *subscriber);

/* Makes m join a channel. ops->listening is called later; from then on, m gets the notifications of this channel.
 * Returns 0, or -1 if there is no memory. */
int notify_join(struct notify_subscriber *subscriber, struct notify_subscription *m, const char *channel);
void notify_leave(struct notify_subscription *m); /* does nothing if m has joined no channel */

/* Makes the listener call ops->caught_up when all notifications that were committed before now have arrived, when the
 * connection is lost, or when any command has had no answer for a second. Replaces an earlier call. Returns false if
 * there is no listener, or if the listener is not connected. */
bool notify_catch_up(struct notify_subscriber *subscriber);
/* Like notify_catch_up(), but also waits for notifications that another connection may have received already. */
bool notify_catch_up_across_connections(struct notify_subscriber *subscriber);
void notify_cancel_catch_up(struct notify_subscriber *subscriber); /* caught_up will not be called */

/* Callbacks by which the set of pools makes, pauses and frees the objects of dedicated/. */
extern const struct pool_dedicated_ops dedicated_pool_ops;

/* For SHOW and metrics. */
struct notify_counts {
	uint32_t connections, subscribers, channels; /* subscribers: those that have subscriptions */
};
void notify_listeners_count(const struct pool *pool, struct notify_counts *out);
/* returns the listener's server, which may not have logged in yet; NULL if there is none */
struct server *notify_listener_server(const struct notify_listener *listener);
struct notify_listener *notify_listener_next(const struct notify_listener *listener); /* in the pool; or NULL */
