/*
 * src/dedicated/notify_state.h - the structs that notify_*.c share; see notify_listener.h.
 *
 * Owns:    the connection (conn), the channels, and the commands that were sent and not answered.
 * Borrows: its pool; subscribers and subscriptions, which belong to their clients.
 * Always:  a subscription's field `list` points to the list that it is in (one of its channel's, `answered` or `failed`),
 *          or is NULL. While LISTEN is due for it, the subscription is in its subscriber's `due`, too, and the
 * subscriber in `turns`. Without a connection, no LISTEN is due.
 */
#pragma once

#include "base/table.h"
#include "dedicated/dedicated.h"
#include "dedicated/notify_listener.h"

TAILQ_HEAD(notify_subscribers, notify_subscriber);
TAILQ_HEAD(notify_channels, notify_channel);

enum notify_step {
	NS_SETTLED, /* no LISTEN is under way, and no UNLISTEN is due; a LISTEN may be due */
	NS_SENT, /* LISTEN was sent and not answered; the channel is in notify_command.channels */
	NS_LEAVING /* no client listens, and UNLISTEN is due; the channel is in listener->leaving */
};

struct notify_channel {
	UT_hash_handle hh;
	struct notify_subscriptions late; /* subscriptions that joined during a LISTEN, and wait for another LISTEN */
	struct notify_subscriptions waiting; /* subscriptions that wait for the reply to LISTEN */
	struct notify_subscriptions confirmed; /* subscriptions for which ops->listening was called */
	uint32_t subscriptions; /* how many subscriptions the channel has */
	enum notify_step step;
	bool is_alone; /* a batch with the channel's LISTEN has failed, so the next LISTEN is sent alone */
	bool is_listening; /* true if PostgreSQL's last reply says that the connection listens to the channel */
	uint64_t idle_since_us; /* when its last subscription left */
	TAILQ_ENTRY(notify_channel) link; /* in notify_command.channels (NS_SENT) or listener->leaving (NS_LEAVING) */
	char name[];
};

/*
 * LISTENs are sent in batches of one transaction each, and one batch is under way at a time. UNLISTENs are sent in such
 * batches, too. PostgreSQL walks through its list of channels for each LISTEN, so with 100,000 channels a batch takes
 * as long as a slow query. Batches are small, so that a client with thousands of channels does not make clients that
 * wait for the listener wait for long. Subscribers take turns, one channel at a time.
 */
#define NOTIFY_BATCH_MAX 32u
/* the longest time between notify_join() and the next attempt to connect */
#define NOTIFY_RECONNECT_MAX_US ((uint64_t)200000)

/* NC_GAP_OVER: a Sync after the LISTENs of a new connection; after its answer, no more notifications are lost.
 * NC_CATCH_UP: a Sync or NOTIFY; all earlier notifications come before its answer. */
enum notify_command_kind { NC_SETTING, NC_LISTEN, NC_UNLISTEN, NC_GAP_OVER, NC_CATCH_UP, NC_PING };

/* A command that was sent and not answered yet. */
struct notify_command {
	enum notify_command_kind kind;
	struct notify_channels channels; /* the channels of an NC_LISTEN */
	uint64_t sent_us;
	TAILQ_ENTRY(notify_command) link;
};

struct notify_listener {
	struct pool *pool;
	struct notify_listener *next; /* the next listener of the same pool */
	struct server_env env; /* from dedicated_fill_env() */
	struct notify_subscribers subscribers;
	struct notify_subscribers to_flush; /* subscribers for which ops.flush is due */
	struct notify_subscribers catching; /* subscribers that wait for the answer to the present NC_CATCH_UP */
	struct notify_subscribers catching_next; /* subscribers that wait for the answer to the next NC_CATCH_UP */
	struct notify_subscribers caught; /* subscribers for which ops.caught_up is due */
	/* true if the next NC_CATCH_UP is a NOTIFY, not a Sync; set by notify_catch_up.c, cleared by notify_conn.c */
	bool is_own_notify_due;
	struct notify_channel *table; /* the channels by name */
	struct notify_subscribers turns; /* subscribers for which LISTEN is due; the first has the next turn */
	struct notify_channels leaving; /* channels for which UNLISTEN is due */
	bool is_listen_sent, is_unlisten_sent; /* true while a batch of this kind is under way */
	bool is_gap_over_due; /* true if NC_GAP_OVER must be sent after the last LISTEN that is due */
	struct notify_subscriptions answered, failed; /* subscriptions for which ops.listening is due */
	struct fail why_failed; /* the error for subscriptions in `failed` */
	uint32_t subscription_count;
	struct buf rewritten; /* a notification in which the sender's PID was replaced */
	uint64_t name_seed; /* the seed of `table` */
	bool is_delivery_due; /* true if notify_listener_deliver() must be called at the next tick */
	/* The connection. */
	struct dedicated conn;
	bool is_up; /* true if the connection takes commands */
	uint64_t state_changed_us; /* when the listener was made, or when its connection last came up or was lost */
	bool is_paused, is_ending; /* the pool is paused; the listener is being freed */
	bool is_error; /* true if the command that is being answered has failed, with why_error */
	struct fail why_error, why_down; /* why_down: why there is no connection */
	TAILQ_HEAD(, notify_command) commands;
	struct timer timer;
	uint64_t heard_us, unused_since_us; /* last message from PostgreSQL; when the last subscription left */
	char encoding[];
};

/* --- notify_conn.c --- */
extern const struct dedicated_ops notify_conn_ops;
void notify_conn_connect(struct notify_listener *listener); /* does nothing if the listener has a connection */
/* Returns true if the listener is connected to a server that is not the present primary. */
bool notify_conn_is_to_old_primary(const struct notify_listener *listener);
/* Sends a command. Does nothing while the connection is not up, because a new connection begins with LISTEN for all
 * channels. If there is no memory, takes no more commands, and closes the connection soon. */
void notify_conn_send(struct notify_listener *listener, enum notify_command_kind kind);
/* Sends the next batches of LISTENs and UNLISTENs that are due, unless a batch of the same kind is under way. */
void notify_conn_send_due(struct notify_listener *listener);

/* --- notify_channels.c: events of the connection. --- */
void notify_listener_up(struct notify_listener *listener); /* called when the connection takes commands */
void notify_listener_down(struct notify_listener *listener); /* called when the connection is lost */
/* Called when the connection could not be opened. is_fatal: the login was refused. is_known: true if *why was logged
 * before. */
void notify_listener_failed(struct notify_listener *listener, bool is_fatal, bool is_known, const struct fail *why);
void notify_listener_answered(struct notify_listener *listener, struct notify_command *command, const struct fail *why);
void notify_listener_notified(struct notify_listener *listener, const char *channel, const uint8_t *message,
			      size_t len);
void notify_listener_deliver(struct notify_listener *listener); /* makes the callbacks that are due */
static inline uint64_t
notify_now(const struct notify_listener *listener)
{
	return *listener->env.now_us;
}

/* --- notify_channels.c and notify_catch_up.c --- */
void notify_give_up_waiting(struct notify_listener *listener, uint64_t now_us); /* fails LISTENs that take too long */
void notify_drop_idle_channels(struct notify_listener *listener, uint64_t now_us);
/* Moves to *batch the next channels whose LISTENs may be sent together, taken from the subscribers in turn. */
void notify_take_batch(struct notify_listener *listener, struct notify_channels *batch);
void notify_channel_free(struct notify_listener *listener, struct notify_channel *ch);
void notify_set_flush_due(struct notify_subscriber *subscriber, bool is_flush_due);

/* --- notify_catch_up.c --- */
/* Called when NC_CATCH_UP was answered. why: the error of a NOTIFY that has failed; else NULL. */
void notify_on_caught_up(struct notify_listener *listener, const struct fail *why);
void notify_end_catching(struct notify_listener *listener); /* ends all waits at the next notify_listener_deliver() */
void notify_tell_caught_up(struct notify_listener *listener); /* calls each caught_up that is due */
void notify_give_up_catching(struct notify_listener *listener, uint64_t now_us); /* ends all if an answer is late */
