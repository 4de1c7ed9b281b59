/*
 * src/dedicated/notify_listener.h - one server connection that listens for all clients of a pool.
 *
 * A client has a subscriber at the listener of its pool and client_encoding (names and payloads are sent in that), and
 * a subscription to each channel it listens on. The listener sends LISTEN for a channel when a subscription joins, many
 * in one request, to which subscribers contribute in turn; calls `listening` when PostgreSQL has confirmed it, passes
 * each NotificationResponse to all subscriptions of its channel in the order of arrival, and sends UNLISTEN a while
 * after the last one has left. If its connection is lost, it connects and listens again, and then calls `gap`:
 * notifications may have been lost.
 *
 *   notify_listener.c  listeners, subscribers, time
 *   notify_channels.c  channels and subscriptions
 *   notify_catch_up.c  waiting until all earlier notifications have arrived
 *   notify_conn.c      the connection: commands and their replies in order, loss and reconnection
 *
 * Owns:    its connection (which doesn't count in pool_size), its channels.
 * Borrows: subscribers and subscriptions, which leave before they are freed.
 * Always:  `listening` is called at most once for each join; no callback comes from within a call of the subscriber's
 *          own. `notified` and `gap` may only keep what they get; flush follows at the end of the batch, and may do
 *          anything, even close the client.
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
	void (*listening)(struct notify_subscription *m, const struct fail *why); /* why != NULL: it failed */
	void (*notified)(struct notify_subscription *m, const uint8_t *message, size_t len); /* the whole message */
	/* Some may have been lost: the connection was, and is back, or a NOTIFY of the listener's own failed (why). */
	void (*gap)(struct notify_subscriber *subscriber, const struct fail *why);
	void (*flush)(struct notify_subscriber *subscriber); /* after notified or gap, at the end of the batch */
	void (*caught_up)(struct notify_subscriber *subscriber); /* see notify_catch_up */
};

TAILQ_HEAD(notify_subscriptions, notify_subscription);

/* Embedded in the client's listen state; zeroed, then attached. */
struct notify_subscriber {
	struct notify_listener *listener; /* NULL if it is not attached */
	const struct notify_subscriber_ops *ops;
	uint32_t subscriptions;
	bool is_dirty, has_gap;
	struct notify_subscribers *waits; /* the list of notify_catch_up() in which it waits, or NULL */
	struct notify_subscriptions due; /* LISTEN is to be sent for them */
	TAILQ_ENTRY(notify_subscriber) all, dirty, wait, turn;
};

/* Embedded too, zeroed. */
struct notify_subscription {
	struct notify_subscriber *subscriber;
	struct notify_channel *channel; /* NULL if it is in none */
	uint64_t since_us;
	struct notify_subscriptions *list; /* the list that it is in, or NULL; set by the listener alone */
	bool is_due; /* it is in subscriber->due */
	TAILQ_ENTRY(notify_subscription) link, due;
};

/* Attaches to the pool's listener for this client_encoding, making one if needed. Returns 0, or -1 without memory. */
int notify_attach(struct pool *pool, const char *encoding, struct notify_subscriber *subscriber,
		  const struct notify_subscriber_ops *ops);
/* The same only for catching up. Returns false if no listener is connected that could be waited for. */
bool notify_visit(struct pool *pool, const char *encoding, struct notify_subscriber *subscriber,
		  const struct notify_subscriber_ops *ops);
/* The subscriber must have no subscriptions. Fine if it is not attached. */
void notify_detach(struct notify_subscriber *subscriber);

/* Joins a channel. ops.listening is called later; m then gets what is committed after this call. Returns 0, or -1
 * without memory. */
int notify_join(struct notify_subscriber *subscriber, struct notify_subscription *m, const char *channel);
void notify_leave(struct notify_subscription *m); /* does nothing if it is in none */

/*
 * Calls caught_up once all notifications for this subscriber that were committed before this call have arrived, or when
 * the connection is lost; an earlier call counts no more. Returns false if there is no connection to wait for.
 */
bool notify_catch_up(struct notify_subscriber *subscriber);
/* The same, and what another connection may have got already has arrived here, too. */
bool notify_catch_up_with_others(struct notify_subscriber *subscriber);
void notify_catch_up_no_more(struct notify_subscriber *subscriber);

/* For the set of pools: all that this folder keeps beside a pool's own servers. */
extern const struct pool_companions dedicated_companions;

/* For SHOW and metrics. */
struct notify_counts {
	uint32_t connections, subscribers, channels;
};
void notify_listeners_count(const struct pool *pool, struct notify_counts *out);
/* returns NULL if the listener is not connected now */
struct server *notify_listener_server(const struct notify_listener *listener);
struct notify_listener *notify_listener_next(const struct notify_listener *listener);
