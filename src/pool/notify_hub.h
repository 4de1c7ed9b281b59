/*
 * src/pool/notify_hub.h - one server connection that listens for all clients of a pool.
 *
 * A client has an ear at the hub of its pool (and client_encoding: names and payloads come in that), and with it is a
 * member of channels. The hub says LISTEN for a channel when its first member comes, tells members when PostgreSQL has
 * confirmed it, hands each NotificationResponse to all members of its channel in the order of arrival, and says
 * UNLISTEN a while after the last one has left. If its connection is lost it connects and listens again, and then tells
 * the ears that there may be a gap.
 *
 *   notify_hub.c       hubs, ears, time
 *   notify_channels.c  channels and members
 *   notify_catch_up.c  who waits until it has heard all there is
 *   notify_link.c      the connection: commands in order, their answers, loss and return
 *
 * Owns:    its connection (beside pool_size), its channels. Borrows: ears and members, which leave before they go.
 * Always:  a member hears `listening` once at most as an answer to a join, and `lost` at most once after that; nothing
 *          calls back from within a call of the member's own. `notified` and `gap` only keep what they are told; flush
 *          follows at the end of what was read, and may do anything, closing the client included.
 */
#ifndef PGWEIR_POOL_NOTIFY_HUB_H
#define PGWEIR_POOL_NOTIFY_HUB_H

#include "base/fail.h"
#include "pool/pool_set.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct notify_hub; /* opaque: notify_state.h */
struct notify_channel;
struct notify_ear;
struct notify_member;

struct notify_ear_ops {
	void (*listening)(struct notify_member *m, const struct fail *why); /* why != NULL: it can't */
	void (*notified)(struct notify_member *m, const uint8_t *message, size_t len); /* the whole message */
	void (*gap)(struct notify_ear *ear); /* notifications may have been lost; it listens again now */
	void (*flush)(struct notify_ear *ear); /* after any of notified, gap */
	void (*caught_up)(struct notify_ear *ear); /* see notify_catch_up */
};

/* Embedded in whoever listens; zeroed, then attached. */
struct notify_ear {
	struct notify_hub *hub; /* NULL: not attached */
	const struct notify_ear_ops *ops;
	uint32_t members;
	bool is_dirty, has_gap;
	uint8_t waits; /* for catching up: in which list */
	TAILQ_ENTRY(notify_ear) all, dirty, wait;
};

/* Embedded too, zeroed. */
struct notify_member {
	struct notify_ear *ear;
	struct notify_channel *channel; /* NULL: in none */
	uint64_t since_us;
	uint8_t where; /* in which of the lists; the hub's own */
	TAILQ_ENTRY(notify_member) link;
};

/* To the hub of this pool for this client_encoding, made if there is none. -1: no memory. */
int notify_attach(struct pool_entry *entry, const char *encoding, struct notify_ear *ear,
		  const struct notify_ear_ops *ops);
/* The same for somebody who only wants to catch up. False: nobody listens there now, or not so that it could wait. */
bool notify_visit(struct pool_entry *entry, const char *encoding, struct notify_ear *ear,
		  const struct notify_ear_ops *ops);
/* No member of it may be left. Fine if it is not attached. */
void notify_detach(struct notify_ear *ear);

/* ops.listening follows: from then on it hears what is committed after this call. -1: no memory. */
int notify_join(struct notify_ear *ear, struct notify_member *m, const char *channel);
void notify_leave(struct notify_member *m); /* fine in none */

/*
 * Everything that was committed in this database before this call, and notified members of this ear, is to be heard
 * first: caught_up is called then, or when the connection is lost. False: there is no connection to wait for.
 */
bool notify_catch_up(struct notify_ear *ear);
void notify_catch_up_no_more(struct notify_ear *ear);

/* --- for the set of pools --- */
/* Connects anew: the pool's target has changed, or an operator asked for it. */
void notify_hubs_renew(struct pool_entry *entry);
/* Somebody wants the database to himself: where nobody listens the connection is closed. */
void notify_hubs_step_aside(struct pool_entry *entry);
/* No connection between these two. */
void notify_hubs_pause(struct pool_entry *entry);
void notify_hubs_resume(struct pool_entry *entry);
/* The pool goes; no ear is left. */
void notify_hubs_free(struct pool_entry *entry);

/* What can be seen. */
struct notify_counts {
	uint32_t connections, ears, channels;
};
void notify_hubs_count(const struct pool_entry *entry, struct notify_counts *out);
struct server *notify_hub_server(const struct notify_hub *hub); /* NULL: no connection now */
struct notify_hub *notify_hub_next(const struct notify_hub *hub);

#endif
