/*
 * src/listen/listen_state.h - one client's subscriptions and queue: what the files of this folder share; see listen.h.
 *
 * Owns:    subscriptions, effects, portals, and the queues of notifications.
 * Borrows: its exchange, and its pool's listener; the client leaves the listener before that is freed.
 * Always:  a subscription with a pending change, or one that is not active, is on the list "unsettled".
 */
#pragma once

#include "base/table.h"
#include "listen/listen.h"
#include "dedicated/notify_listener.h"
#include "sql/known.h"

#include <event2/event_struct.h>

/* Whether the listener listens to a channel. */
enum listener_state { HEARING_ASKED, HEARING, HEARING_REFUSED };

/* A channel that the client listens to, or may soon listen to. */
struct subscription {
	/* must be first: the listener's pointer to it also points to this struct */
	struct notify_subscription at_listener;
	struct exchange *x;
	UT_hash_handle hh;
	/* on the list unless the subscription is active and has no pending change */
	TAILQ_ENTRY(subscription) unsettled;
	bool is_unsettled; /* the subscription is on the list "unsettled"; set and cleared by set_unsettled() */
	uint8_t listener_state; /* enum listener_state */
	bool is_active; /* LISTEN was committed; set and cleared by subscription_set_active() */
	uint8_t pending_change; /* KNOWN_LISTEN, KNOWN_UNLISTEN, or KNOWN_NOT if there is none */
	/* the value that pending_change gets at a rollback to a savepoint: without the UNLISTENs within savepoints */
	uint8_t change_after_rollback;
	uint32_t refs; /* references of running statements and of the message that waits */
	struct fail *why; /* the reason for HEARING_REFUSED; NULL if there was no memory for it */
	char name[KNOWN_NAME_MAX];
};

/* A LISTEN, UNLISTEN, ROLLBACK TO or end of a transaction that was sent, and is not answered yet. */
struct listen_effect {
	uint8_t kind; /* enum known_kind */
	/* the listener can't listen: SQL that fails is sent in its place, and the client gets sub->why. Set by
	 * queue_effect(), never cleared */
	bool is_refused;
	struct subscription *sub; /* the subscription of a LISTEN; otherwise NULL */
	/* the number of requests that were sent on the server before the effect's own request */
	uint32_t request_number;
	char name[KNOWN_NAME_MAX];
	TAILQ_ENTRY(listen_effect) link;
};

struct listen_portal {
	uint8_t kind; /* enum known_kind */
	char channel[KNOWN_NAME_MAX];
	TAILQ_ENTRY(listen_portal) link;
	char name[];
};

/* The state of SQL that may notify: see listen/sender_pid.c. */
enum listen_sending {
	SENDING_NOT,
	SENDING_WAITS, /* the SQL waits for the listener */
	SENDING_MARKED, /* notifications that have the PID of the client's server are this client's */
	SENDING_ENDS /* like SENDING_MARKED, but only until the listener has caught up */
};

struct client_listen {
	struct exchange *x;
	struct notify_subscriber subscriber;
	struct subscription *table;
	/* The few subscriptions that the end of a transaction may concern: a client may have thousands, which would all
	 * have to be looked at otherwise. */
	TAILQ_HEAD(, subscription) unsettled;
	uint32_t active_count;
	TAILQ_HEAD(, listen_effect) effects;
	TAILQ_HEAD(, listen_portal) portals;
	/* In CL_AWAITING_LISTENER: the subscription that the client's message waits for; NULL if it waits for the
	 * listener to catch up. */
	struct subscription *awaited;
	bool has_pending_change; /* a subscription has pending_change set; set and cleared by subscriptions.c */
	bool is_swept; /* no subscription on "unsettled" is to be dropped; set and cleared by subscriptions.c */
	/* The listener has caught up before this request. Set by on_caught_up(), cleared by end_request(). */
	bool has_caught_up;
	enum listen_sending sending;
	bool has_error; /* this request had an error; set by listen_error(), cleared by end_request() */
	/* delivery */
	struct buf queue; /* whole messages; those before queue_at are sent */
	size_t queue_at;
	/* Whole messages, in order. The LISTEN for the first one's channel is not committed yet; later messages, of
	 * whatever channel, wait after it. */
	struct buf uncommitted;
	/* Some messages in `uncommitted` may be due, or wanted by no subscription. Set by subscriptions.c and queue.c,
	 * cleared by queue.c. */
	bool is_recheck_due;
	bool is_overrun; /* more notifications came than may wait; set by queue.c, never cleared */
	struct event *flush_timer; /* for CL_CLOSE_AFTER_FLUSH */
};

/* listen/queue.c */
extern const struct notify_subscriber_ops listen_subscriber_ops;
/* Moves messages of `uncommitted` that may be delivered to the queue, and drops those that no subscription wants. */
void listen_settle_uncommitted(struct client_listen *l);
/* drops notifications of the channel that wait in `queue` or `uncommitted` */
void listen_drop_channel(struct client_listen *l, const char *channel);
void listen_queue_fini(struct client_listen *l);
/* Returns true if ReadyForQuery is withheld until the listener has caught up. */
bool listen_withhold_ready(struct exchange *x);

/* listen/sender_pid.c */
/* Called when the listener has caught up. Returns true if only the sender's PID needed that, so the caller has nothing
 * to do. */
bool listen_pid_caught_up(struct exchange *x);

/* listen/subscriptions.c */
/* returns the client's state, made at first use, or NULL without memory */
struct client_listen *listen_own(struct exchange *x);
void listen_detach_idle(struct client_listen *l); /* leaves the listener if nothing needs it any more */
struct subscription *subscription_find(const struct client_listen *l, const char *name);
/* Returns the subscription of this name; a new subscription asks the listener to listen. Returns NULL without memory,
 * or if the name is too long. */
struct subscription *subscription_want(struct exchange *x, const char *name);
void subscription_unref(struct subscription *sub); /* drops one of sub->refs */
void subscription_refuse(struct subscription *sub, const struct fail *why);
void subscription_change(struct client_listen *l, struct subscription *sub, enum known_kind kind);
void listen_unlisten_all(struct client_listen *l); /* UNLISTEN * */
void subscription_set_active(struct client_listen *l, struct subscription *sub, bool is_active);
/* Called when the listener can no longer listen: closes the client. */
void subscription_lost(struct exchange *x, const struct subscription *sub);
MAY_CLOSE bool listen_commit(struct exchange *x); /* called when the transaction has committed */
void listen_roll_back(struct client_listen *l);
void listen_roll_back_to_savepoint(struct client_listen *l);
void listen_sweep(struct client_listen *l); /* frees subscriptions that nothing needs any more */

/* listen/queries.c */
#define LISTEN_REFUSED "pgweir_refused" /* no statement or portal has this name, so messages that use it fail */
/* Returns true if a savepoint may be open in x's transaction. */
bool listen_is_in_savepoint(const struct exchange *x);
/* Returns true if the server will ignore messages of x or take them for a part of a COPY, or if they must be sent
 * unchanged. */
bool listen_passes_unchanged(const struct exchange *x);
void listen_end_effect(struct client_listen *l, struct listen_effect *e);
void listen_drop_portals(struct client_listen *l);

/* listen.c */
/* Called when the listener listens, with `why` NULL; or when it can't listen, with the reason in `why`. */
void listen_answered(struct notify_subscription *at_listener, const struct fail *why);
void listen_resume(struct exchange *x); /* handles the message that waited */
