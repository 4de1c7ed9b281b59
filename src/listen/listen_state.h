/*
 * src/listen/listen_state.h - one client's subscriptions and queue: what the files of this folder share; see listen.h.
 *
 * Owns:    subscriptions, effects, portals, and the queues of notifications.
 * Borrows: its exchange, and the listener of its pool, which it leaves before it is freed.
 * Always:  a subscription with a pending change, or one that is not active, is on the list unsettled.
 */
#pragma once

#include "base/table.h"
#include "listen/listen.h"
#include "dedicated/notify_listener.h"
#include "sql/known.h"

#include <event2/event_struct.h>

/* Whether the listener listens to a channel. */
enum hearing { HEARING_ASKED, HEARING, HEARING_REFUSED };

/* A channel that the client listens to, or may come to. */
struct subscription {
	struct notify_subscription at_listener; /* first: the listener's pointer to it is one to this struct */
	struct exchange *x;
	UT_hash_handle hh;
	TAILQ_ENTRY(subscription) unsettled; /* unless it is active and has no pending change */
	bool is_unsettled; /* in unsettled; set and cleared by set_unsettled() */
	uint8_t hearing; /* enum hearing */
	bool is_active; /* LISTEN was committed; set and cleared by subscription_set_active() */
	uint8_t pending_change; /* KNOWN_LISTEN, KNOWN_UNLISTEN, or KNOWN_NOT: none */
	uint8_t
	    change_behind; /* what that becomes if a savepoint is rolled back to: as without an UNLISTEN within one */
	uint32_t refs; /* of statements under way, and of the message that waits */
	struct fail *why; /* HEARING_REFUSED: the reason; NULL: no memory for it */
	char name[KNOWN_NAME_MAX];
};

/* A LISTEN, UNLISTEN, ROLLBACK TO or the end of a transaction, that was sent, and not answered yet. */
struct listen_effect {
	uint8_t kind; /* enum known_kind */
	bool is_refused; /* the SQL in its place will fail; the client gets m->why; set by expect(), never cleared */
	struct subscription *m; /* LISTEN */
	uint32_t due; /* its request is the next one when the ledger has counted this many gone */
	char name[KNOWN_NAME_MAX];
	TAILQ_ENTRY(listen_effect) link;
};

struct listen_portal {
	uint8_t kind; /* enum known_kind */
	char channel[KNOWN_NAME_MAX];
	TAILQ_ENTRY(listen_portal) link;
	char name[];
};

/* SQL that notifies: see listen/sender_pid.c. */
enum listen_sending {
	SENDING_NOT,
	SENDING_WAITS, /* it waits for the listener */
	SENDING_MARKED, /* notifications with its server's PID are this client's */
	SENDING_ENDS /* ... until the listener has caught up */
};

struct client_listen {
	struct exchange *x;
	struct notify_subscriber subscriber;
	struct subscription *table;
	/* The few that a transaction's end may concern, so that thousands of channels need not all be walked. */
	TAILQ_HEAD(, subscription) unsettled;
	uint32_t active_count;
	TAILQ_HEAD(, listen_effect) effects;
	TAILQ_HEAD(, listen_portal) portals;
	struct subscription
	    *awaited; /* CL_AWAITING: its message waits for this one; NULL: for the listener to catch up */
	bool has_pending_change; /* a subscription has pending_change set; set and cleared by subscriptions.c */
	bool is_swept; /* none on unsettled is to be dropped; set and cleared by subscriptions.c */
	/* The listener has caught up before this request. Set by on_caught_up(), cleared by end_request(). */
	bool is_fresh;
	enum listen_sending sending;
	bool has_error; /* this request had an error; set by listen_error(), cleared by end_request() */
	/* delivery */
	struct buf queue; /* whole messages; those before queue_at are sent */
	size_t queue_at;
	/* Whole messages in order: the first came before its LISTEN was committed, the rest are kept behind it. */
	struct buf early;
	/* Some of it may be due, or nobody's. Set by subscriptions.c and queue.c, cleared by queue.c. */
	bool is_early_due;
	bool is_overrun; /* more came than may wait; set by queue.c, never cleared */
	struct event *flush_timer; /* CL_CLOSE_AFTER_FLUSH */
};

/* listen/queue.c */
extern const struct notify_subscriber_ops listen_subscriber_ops;
void
listen_settle_early(struct client_listen *l); /* moves to the queue what may be delivered; drops what nobody wants */
void listen_drop_channel(struct client_listen *l, const char *channel); /* what waits of it, early or not */
void listen_queue_fini(struct client_listen *l);
/* Returns true if ReadyForQuery is kept back until the listener has caught up. */
bool listen_keep_ready(struct exchange *x);

/* listen/sender_pid.c */
/* Returns true if nothing else waited for this. */
bool listen_pid_caught_up(struct exchange *x);

/* listen/subscriptions.c */
struct client_listen *listen_own(struct exchange *x); /* made at first use; NULL: no memory */
void listen_detach_idle(struct client_listen *l); /* leaves the listener if nothing needs it any more */
struct subscription *subscription_find(const struct client_listen *l, const char *name);
/* Returns the subscription of this name; a new one asks the listener to listen. NULL: no memory, or too long a name. */
struct subscription *subscription_want(struct exchange *x, const char *name);
void subscription_unref(struct subscription *m); /* gives up one of m->refs */
void subscription_refuse(struct subscription *m, const struct fail *why);
void subscription_change(struct client_listen *l, struct subscription *m, enum known_kind kind);
void listen_change_none(struct client_listen *l); /* UNLISTEN * */
void subscription_set_active(struct client_listen *l, struct subscription *m, bool is_active);
void subscription_lost(struct exchange *x,
		       const struct subscription *m); /* the listener can't listen any more: closes the client */
MAY_CLOSE bool listen_commit(struct exchange *x); /* the transaction is over */
void listen_roll_back(struct client_listen *l);
void listen_roll_back_to_savepoint(struct client_listen *l);
void listen_sweep(struct client_listen *l); /* frees subscriptions that nothing needs any more */

/* listen/queries.c */
#define LISTEN_REFUSED "pgweir_refused" /* nothing has this name: messages that use it fail */
/* Returns true if a savepoint may be open in its transaction. */
bool listen_is_in_savepoint(const struct exchange *x);
/* Returns true if messages have no effect here, or must be sent as they are. */
bool listen_is_not_ours(const struct exchange *x);
void listen_end_effect(struct client_listen *l, struct listen_effect *e);
void listen_drop_portals(struct client_listen *l);

/* listen.c */
void listen_answered(struct notify_subscription *at_listener,
		     const struct fail *why); /* the listener listens, or can't (why) */
void listen_resume(struct exchange *x); /* handles the message that waited */
