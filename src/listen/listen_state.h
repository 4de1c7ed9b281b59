/*
 * src/listen/listen_state.h - what the files of this folder share: a client's subscriptions and notifications.
 *
 * Owns:    subscriptions, effects, portals, and the queues of notifications.
 * Borrows: the client's exchange, and the listener of its pool, which the client leaves before the listener is freed.
 * Always:  each subscription that is not active, or that has a pending change, is on the list `unsettled`.
 */
#pragma once

#include "base/table.h"
#include "listen/listen.h"
#include "dedicated/notify_listener.h"
#include "sql/known.h"

#include <event2/event_struct.h>

/* Tells if the listener was asked to listen to a channel, does listen, or can't listen. */
enum listener_state { LISTENER_ASKED, LISTENER_LISTENS, LISTENER_REFUSED };

/* A channel that the client listens to, or may soon listen to. */
struct subscription {
	/* must be first: the listener's pointer to this field is cast to a struct subscription */
	struct notify_subscription at_listener;
	struct exchange *x;
	UT_hash_handle hh;
	TAILQ_ENTRY(subscription) unsettled; /* valid if is_unsettled */
	bool is_unsettled; /* the subscription is on client_listen.unsettled; set and cleared by set_unsettled() */
	uint8_t listener_state; /* enum listener_state */
	bool is_active; /* LISTEN was committed; set and cleared by subscription_set_active() */
	/* KNOWN_LISTEN or KNOWN_UNLISTEN, whichever the open transaction ran last for the channel; or KNOWN_NOT */
	uint8_t pending_change;
	/* what ROLLBACK TO sets pending_change to: its last value that is not from an UNLISTEN in a savepoint */
	uint8_t change_after_rollback;
	uint32_t refs; /* how many effects point to this subscription */
	struct fail *why; /* the reason for LISTENER_REFUSED; NULL if there was no memory to keep the reason */
	char name[KNOWN_NAME_MAX]; /* the channel */
};

/* A LISTEN, UNLISTEN, ROLLBACK TO or end of a transaction that was sent to the server, and is not answered yet. */
struct listen_effect {
	uint8_t kind; /* enum known_kind */
	/* The listener can't listen to the channel. SQL that fails was sent in place of the LISTEN, and the client gets
	 * sub->why. Set by queue_effect(), never cleared. */
	bool is_refused;
	struct subscription *sub; /* the subscription of a LISTEN; otherwise NULL */
	uint32_t request_number; /* how many requests were sent on the server before the effect's request */
	char name[KNOWN_NAME_MAX]; /* of the channel */
	TAILQ_ENTRY(listen_effect) link;
};

/* A portal to which the client has bound a LISTEN or UNLISTEN. */
struct listen_portal {
	uint8_t kind; /* enum known_kind */
	char channel[KNOWN_NAME_MAX];
	TAILQ_ENTRY(listen_portal) link;
	char name[]; /* of the portal */
};

/* The progress of SQL of this client that may send a notification. See listen/sender_pid.c. */
enum listen_sending {
	SENDING_NOT, /* there is no such SQL */
	SENDING_WAITS, /* the SQL waits for the listener */
	SENDING_KNOWN_BY_PID, /* notifications with the PID of the client's server come from this client */
	SENDING_ENDS /* like SENDING_KNOWN_BY_PID, but only until the listener has caught up */
};

struct client_listen {
	struct exchange *x;
	struct notify_subscriber subscriber;
	struct subscription *table; /* all subscriptions, by channel */
	/* The few subscriptions that the end of a transaction may change. A client may have thousands in all. */
	TAILQ_HEAD(, subscription) unsettled;
	uint32_t active_count; /* subscriptions that are active */
	TAILQ_HEAD(, listen_effect) effects;
	TAILQ_HEAD(, listen_portal) portals;
	/* in CL_AWAITING_LISTENER, the subscription for which the client's message waits; NULL if the message waits for
	 * the listener to catch up */
	struct subscription *awaited;
	bool has_pending_change; /* a subscription has pending_change set; set and cleared by subscriptions.c */
	bool is_swept; /* no subscription on `unsettled` is to be dropped; set and cleared by subscriptions.c */
	/* The listener has caught up for the present request already. Set by on_caught_up(), cleared by
	 * end_request(). */
	bool has_caught_up;
	enum listen_sending sending;
	bool has_error; /* the present request had an error; set by listen_take_error(), cleared by end_request() */
	/* --- notifications for the client --- */
	struct buf queue; /* whole messages that may be sent */
	size_t queue_at; /* the position in `queue` up to which messages were sent */
	/* Whole messages that may not be sent yet, in order. The first one waits for its channel's LISTEN to be
	 * committed; the later ones, of any channel, wait to keep the order. */
	struct buf uncommitted;
	/* Some messages in `uncommitted` may be sent now, or no subscription wants them any more. Set by
	 * subscriptions.c and queue.c, cleared by queue.c. */
	bool is_recheck_due;
	bool is_overrun; /* LISTEN_QUEUE_MAX was exceeded; set by queue.c, never cleared */
	struct event *flush_timer; /* ends CL_CLOSE_AFTER_FLUSH; NULL in other states */
};

/* listen/queue.c */
extern const struct notify_subscriber_ops listen_subscriber_ops;
/* Moves messages that may be sent now from `uncommitted` to `queue`, and drops messages that no subscription wants. */
void listen_settle_uncommitted(struct client_listen *l);
/* Drops the channel's notifications from `queue` and `uncommitted`. */
void listen_drop_notifications(struct client_listen *l, const char *channel);
void listen_queue_fini(struct client_listen *l);
/* Called before a ReadyForQuery is sent. Returns true if it is withheld until the listener has caught up. */
bool listen_withhold_ready(struct exchange *x);

/* listen/sender_pid.c */
/* Called when the listener has caught up. Returns true if x has waited only so that notifications get the sender's PID;
 * then the caller has nothing more to do. */
bool listen_pid_on_caught_up(struct exchange *x);

/* listen/subscriptions.c */
/* Returns x->listen, which the first call makes; NULL if there is no memory. */
struct client_listen *listen_get_or_create(struct exchange *x);
void listen_detach_idle(struct client_listen *l); /* leaves the listener if the client no longer needs the listener */
struct subscription *subscription_find(const struct client_listen *l, const char *name); /* returns NULL if none */
/* Returns the subscription to a channel. If there is none, makes one, and asks the listener to listen; beyond
 * LISTEN_CHANNELS_MAX, the new one is refused. Returns NULL if there is no memory, or if the name is too long. */
struct subscription *subscription_get_or_create(struct exchange *x, const char *name);
void subscription_unref(struct subscription *sub); /* drops one of sub->refs */
/* Notes that the listener can't listen to the channel, for the reason *why. */
void subscription_set_refused(struct subscription *sub, const struct fail *why);
/* Notes that the transaction has run `kind`, KNOWN_LISTEN or KNOWN_UNLISTEN, for this channel. */
void subscription_note_change(struct client_listen *l, struct subscription *sub, enum known_kind kind);
void listen_note_unlisten_all(struct client_listen *l); /* notes that the transaction has run UNLISTEN * */
void subscription_set_active(struct client_listen *l, struct subscription *sub, bool is_active);
/* Called when the listener can no longer listen to the channel. Closes the client. */
void subscription_close_client(struct exchange *x, const struct subscription *sub);
MAY_CLOSE bool listen_commit(struct exchange *x); /* called when the transaction has committed */
void listen_roll_back(struct client_listen *l); /* called when the transaction was rolled back */
void listen_roll_back_to_savepoint(struct client_listen *l); /* called after ROLLBACK TO */
void listen_sweep(struct client_listen *l); /* frees subscriptions that are no longer needed */

/* listen/queries.c */
#define LISTEN_REFUSED "pgweir_refused" /* no statement or portal has this name, so messages that use it fail */
/* Returns true if a savepoint may be open in x's transaction. */
bool listen_is_in_savepoint(const struct exchange *x);
/* Returns true if x's LISTEN and UNLISTEN are sent unchanged, or if the server ignores x's messages, as in a COPY. */
bool listen_passes_unchanged(const struct exchange *x);
void listen_end_effect(struct client_listen *l, struct listen_effect *e); /* removes and frees an effect */
void listen_drop_portals(struct client_listen *l); /* forgets all portals */

/* listen.c */
/* Called when the listener listens to the channel (why is NULL), or when it can't, for the reason *why. */
void listen_answered(struct notify_subscription *at_listener, const struct fail *why);
void listen_resume(struct exchange *x); /* handles the message that waited for the listener */
