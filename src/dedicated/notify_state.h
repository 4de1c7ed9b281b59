/*
 * src/dedicated/notify_state.h - what notify_*.c share; see notify_listener.h.
 *
 * Owns:    the connection (conn), the channels, and the commands that were sent and not answered.
 * Borrows: its pool; subscribers and subscriptions, which are their clients'.
 * Always:  a subscription is in one list of its channel, in answered, in failed, or in none: `list` says in which. A
 * subscriber is in turns while LISTEN is due for a subscription of its, which is never so without a connection.
 */
#pragma once

#include "base/table.h"
#include "dedicated/dedicated.h"
#include "dedicated/notify_listener.h"

TAILQ_HEAD(notify_subscribers, notify_subscriber);
TAILQ_HEAD(notify_channels, notify_channel);

enum notify_step {
	NS_SETTLED,
	NS_SENT, /* LISTEN was sent and not answered: it is in the channels of that command */
	NS_LEAVING /* no client listens; the channel is in listener->leaving */
};

struct notify_channel {
	UT_hash_handle hh;
	struct notify_subscriptions late; /* joined while LISTEN was under way, and need another one */
	struct notify_subscriptions waiting; /* wait for the reply to LISTEN */
	struct notify_subscriptions told;
	uint32_t subscriptions; /* that have it */
	enum notify_step step;
	bool is_alone; /* its LISTEN has failed among others: it is sent alone */
	bool is_listening; /* according to the last reply */
	uint64_t idle_since_us; /* when its last subscription left */
	TAILQ_ENTRY(notify_channel) link; /* see step */
	char name[];
};

/*
 * LISTENs go in batches, one transaction each, and one batch is under way at a time, and so do UNLISTENs: clients that
 * listen to thousands of channels must not be ahead of all clients that wait for the listener to catch up. PostgreSQL
 * walks its list of channels for each LISTEN, so a batch takes the time of a slow query there if there are 100,000.
 * Subscribers take turns, a channel at a time.
 */
#define NOTIFY_BATCH_MAX 32u
#define NOTIFY_HASTE_US ((uint64_t)200000) /* while a client waits for a connection, the listener retries this often   \
					    */

enum notify_command_kind { NC_SETTING, NC_LISTEN, NC_UNLISTEN, NC_GAP_OVER, NC_CATCH_UP, NC_PING };

/* A command that was sent and not answered yet. */
struct notify_command {
	enum notify_command_kind kind;
	struct notify_channels channels; /* NC_LISTEN's */
	uint64_t sent_us;
	TAILQ_ENTRY(notify_command) link;
};

struct notify_listener {
	struct pool *pool;
	struct notify_listener *next; /* the same pool's next one */
	struct server_env env; /* from dedicated_env() */
	struct notify_subscribers subscribers, dirty;
	struct notify_subscribers catching, catching_next,
	    caught; /* a Sync for them is under way; came later; ops.caught_up is due */
	bool
	    is_own_notify_due; /* the next NC_CATCH_UP is no Sync; set by notify_catch_up.c, cleared by notify_conn.c */
	struct notify_channel *table;
	struct notify_subscribers turns; /* LISTEN is due for them; the first is next */
	struct notify_channels leaving; /* UNLISTEN is to be sent */
	bool is_listen_sent, is_unlisten_sent; /* one is under way */
	bool is_gap_over_due; /* NC_GAP_OVER is to follow the last of the LISTENs that are due */
	struct notify_subscriptions answered, failed; /* ops.listening is due */
	struct fail why_failed;
	uint32_t subscription_count;
	struct buf rewritten; /* a notification that is passed on under another PID */
	uint64_t seed_of_names;
	bool is_delivery_due; /* call notify_listener_deliver() at the next tick */
	/* the connection */
	struct dedicated conn;
	bool is_up; /* it takes commands */
	uint64_t turned_us; /* when it was made, came up or was lost */
	bool is_paused, is_ending;
	bool is_error; /* the command being answered failed: why_error */
	struct fail why_error, why_down;
	TAILQ_HEAD(, notify_command) commands;
	struct timer timer;
	uint64_t heard_us, unused_since_us;
	char encoding[];
};

/* notify_conn.c */
extern const struct dedicated_ops notify_conn_ops;
void notify_conn_connect(struct notify_listener *listener); /* does nothing if there is a connection */
/* Returns true if there is another primary than the one that it is connected to. */
bool notify_conn_is_astray(const struct notify_listener *listener);
/* Does nothing if it is not up, as it begins with LISTEN for all channels. Without memory the connection ends. */
void notify_conn_send(struct notify_listener *listener, enum notify_command_kind kind);
/* Sends the next batches of the LISTENs and UNLISTENs that are due, unless one is under way. */
void notify_conn_send_due(struct notify_listener *listener);

/* notify_channels.c: what the connection reports */
void notify_listener_up(struct notify_listener *listener); /* it takes commands */
void notify_listener_down(struct notify_listener *listener); /* it is lost, with all commands under way */
/* The connection could not be opened. */
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

/* notify_channels.c and notify_catch_up.c, for the tick */
void notify_give_up_waiting(struct notify_listener *listener, uint64_t now_us);
void notify_drop_idle_channels(struct notify_listener *listener, uint64_t now_us);
/* Moves the channels whose LISTENs may be sent together next to *batch: of each subscriber in turn one. */
void notify_take_batch(struct notify_listener *listener, struct notify_channels *batch);
void notify_channel_free(struct notify_listener *listener, struct notify_channel *ch);
void notify_set_dirty(struct notify_subscriber *subscriber, bool is_dirty);

/* notify_catch_up.c */
void notify_caught_up(struct notify_listener *listener,
		      const struct fail *why); /* why: the NOTIFY in a Sync's place failed */
void notify_end_catching(struct notify_listener *listener); /* ends all waits at the next notify_listener_deliver() */
void notify_tell_caught_up(struct notify_listener *listener);
void notify_give_up_catching(struct notify_listener *listener, uint64_t now_us);
