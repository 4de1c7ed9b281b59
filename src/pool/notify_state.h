/* src/pool/notify_state.h - what notify_hub.c and notify_link.c share; see notify_hub.h. */
#ifndef PGWEIR_POOL_NOTIFY_STATE_H
#define PGWEIR_POOL_NOTIFY_STATE_H

#include "pool/dedicated.h"
#include "pool/notify_hub.h"
#include "pool/pool_target.h"

#include <event2/event_struct.h>
#include <uthash.h>

TAILQ_HEAD(notify_members, notify_member);
TAILQ_HEAD(notify_ears, notify_ear);
TAILQ_HEAD(notify_channels, notify_channel);

enum notify_where { NW_NONE, NW_LATE, NW_WAITING, NW_TOLD, NW_FAILED };

struct notify_channel {
	UT_hash_handle hh;
	struct notify_members late; /* came when LISTEN was under way: another one is for them */
	struct notify_members waiting; /* for the answer */
	struct notify_members told;
	bool is_asked; /* LISTEN was sent, no answer yet */
	bool is_listening; /* as of the last answer */
	bool is_answered; /* in hub->answered */
	uint64_t idle_since_us; /* since when it has no members */
	TAILQ_ENTRY(notify_channel) answered;
	char name[];
};

enum notify_command_kind { NC_SETTING, NC_LISTEN, NC_UNLISTEN, NC_GAP_OVER, NC_CATCH_UP, NC_PING };

/* Sent, and not answered yet. */
struct notify_command {
	enum notify_command_kind kind;
	struct notify_channel *channel; /* LISTEN */
	uint64_t sent_us;
	TAILQ_ENTRY(notify_command) link;
};

struct notify_hub {
	struct pool_entry *entry;
	struct notify_hub *next; /* of the same pool */
	struct server_env env; /* dedicated_env */
	struct notify_ears ears, dirty;
	struct notify_ears catching, catching_next,
	    caught; /* for whom a Sync is under way, who came later, who is to be told */
	struct notify_channel *table;
	struct notify_channels answered;
	struct notify_members failed;
	struct fail why_failed;
	uint32_t member_count;
	struct buf rewritten; /* a notification, while it is handed out under another PID */
	uint64_t seed_of_names, random;
	bool is_settle_due; /* notify_hub_settle at the next tick */
	/* the connection */
	struct dedicated link;
	bool is_up; /* it takes commands */
	bool is_paused, is_ending;
	bool is_error; /* the command that is being answered failed: why_error */
	struct fail why_error, why_down;
	TAILQ_HEAD(, notify_command) commands;
	struct event timer;
	uint64_t retry_us, heard_us, unused_since_us;
	uint32_t failures; /* in a row */
	char encoding[];
};

/* notify_link.c */
extern const struct dedicated_ops notify_link_ops;
void notify_link_connect(struct notify_hub *hub); /* if there is no connection */
void notify_link_close(struct notify_hub *hub); /* without ado; it may connect again */
/* Fine if not up: all channels are asked for when it is. No memory ends the connection. */
void notify_link_send(struct notify_hub *hub, enum notify_command_kind kind, struct notify_channel *channel,
		      const char *name);
void notify_link_timer(struct notify_hub *hub, uint64_t in_us);

/* notify_hub.c */
void notify_hub_tick(struct notify_hub *hub, uint64_t now_us); /* may free hub */

/* notify_channels.c: what the connection reports */
void notify_hub_up(struct notify_hub *hub); /* it takes commands */
void notify_hub_down(struct notify_hub *hub); /* it is gone, with all that was sent */
void notify_hub_failed(struct notify_hub *hub, bool is_fatal, const struct fail *why); /* it could not be opened */
void notify_hub_answered(struct notify_hub *hub, const struct notify_command *command, const struct fail *why);
void notify_hub_notified(struct notify_hub *hub, const char *channel, const uint8_t *message, size_t len);
void notify_hub_settle(struct notify_hub *hub); /* calls back what is due */
/* ... and for the tick */
void notify_give_up_waiting(struct notify_hub *hub, uint64_t now_us);
void notify_drop_idle_channels(struct notify_hub *hub, uint64_t now_us);
void notify_channel_free(struct notify_hub *hub, struct notify_channel *ch);
void notify_set_dirty(struct notify_ear *ear, bool is_dirty);

/* notify_catch_up.c */
void notify_caught_up(struct notify_hub *hub); /* the Sync was answered */
void notify_end_catching(struct notify_hub *hub); /* all who wait are told, at the next settling */
void notify_tell_caught_up(struct notify_hub *hub);
void notify_give_up_catching(struct notify_hub *hub, uint64_t now_us);

#endif
