/* src/listen/listen_state.h - what listen.c and listen/queue.c share; see listen.h. */
#ifndef PGWEIR_LISTEN_LISTEN_STATE_H
#define PGWEIR_LISTEN_LISTEN_STATE_H

#include "listen/listen.h"
#include "pool/notify_hub.h"
#include "sql/known.h"

#include <event2/event_struct.h>
#include <uthash.h>

/* A channel that the client listens to, or may come to. */
struct membership {
	struct notify_member member; /* first: the hub's pointer is ours */
	struct exchange *x;
	UT_hash_handle hh;
	bool is_heard; /* the hub listens there */
	bool is_refused; /* it can't: why */
	bool is_active; /* LISTEN was committed */
	uint8_t wanted; /* when the transaction commits: KNOWN_LISTEN, KNOWN_UNLISTEN, or KNOWN_NOT: as it is */
	uint32_t refs; /* statements under way, and what waits */
	uint32_t undo; /* 1 + index of its last one in client_listen's undo; 0: none */
	struct fail *why;
	struct buf early; /* heard before the LISTEN was committed */
	char name[KNOWN_NAME_MAX];
};

/* A LISTEN, UNLISTEN or a mark of transactions (known_each_mark) that was sent, and not answered yet. */
struct listen_effect {
	uint8_t kind; /* enum known_kind */
	bool is_refused; /* what was sent in its place fails: the error is m->why */
	struct membership *m; /* LISTEN */
	uint32_t ahead; /* requests of the client's that will be done before its own */
	char name[KNOWN_NAME_MAX];
	TAILQ_ENTRY(listen_effect) link;
};

/* What a membership wished for before a savepoint's transaction changed it. */
struct listen_undo {
	struct membership *m;
	uint32_t before; /* its undo then */
	uint8_t wanted;
};

struct listen_savepoint {
	uint32_t at; /* how many undos are older */
	char name[KNOWN_NAME_MAX]; /* "": its text was not looked into */
};

struct listen_portal {
	uint8_t kind; /* enum known_kind */
	char channel[KNOWN_NAME_MAX]; /* or savepoint */
	TAILQ_ENTRY(listen_portal) link;
	char name[];
};

/* A text that notifies: see listen/sender_pid.c. */
enum listen_sending {
	SENDING_NOT,
	SENDING_WAITS, /* it waits for the hub */
	SENDING_MARKED, /* what comes with its server's PID is this client's */
	SENDING_ENDS /* ... until the hub has caught up */
};

struct client_listen {
	struct exchange *x;
	struct notify_ear ear;
	struct membership *table;
	uint32_t active_count;
	TAILQ_HEAD(, listen_effect) effects;
	TAILQ_HEAD(, listen_portal) portals;
	struct membership *awaited; /* CL_AWAITING: what its message waits for; NULL: that the hub has caught up */
	bool has_wanted, is_swept; /* a membership has wanted set; none is to be dropped */
	bool is_fresh; /* with wanted set: the hub has caught up before the request that is being sent */
	enum listen_sending sending;
	bool is_shown; /* its server listens too, for the request under way to look at */
	bool has_error; /* in this request: an implicit transaction is rolled back */
	struct listen_savepoint *savepoints; /* since has_wanted is set, the innermost last */
	uint32_t savepoint_count, savepoint_cap;
	struct listen_undo *undo;
	uint32_t undo_count, undo_cap;
	/* delivery */
	struct buf queue; /* whole messages; those before queue_at are sent */
	size_t queue_at, early_bytes;
	uint64_t gap_count;
	bool is_overrun; /* more than may wait */
	struct event *doom; /* CL_DOOMED */
};

/* listen/queue.c */
extern const struct notify_ear_ops listen_ear_ops;
void listen_keep_early(struct client_listen *l, struct membership *m); /* what is early joins the queue */
void listen_drop_early(struct client_listen *l, struct membership *m);
void listen_drop_queued(struct client_listen *l, const char *channel); /* NULL: all channels */
void listen_queue_fini(struct client_listen *l);
bool listen_keep_ready(struct exchange *x); /* true: it will be said when the hub has caught up */

/* listen/sender_pid.c */
bool listen_pid_caught_up(struct exchange *x); /* true: that was all it was for */

/* listen/subscriptions.c */
struct client_listen *listen_own(struct exchange *x); /* made at first use; NULL: no memory */
void listen_detach_idle(struct client_listen *l); /* nothing needs the hub any more */
struct membership *membership_find(const struct client_listen *l, const char *name);
/* The one of this name; if there is none, the hub is asked to listen. NULL: no memory, or no name that fits. */
struct membership *membership_want(struct exchange *x, const char *name);
void membership_unref(struct membership *m); /* one of m->refs less */
void membership_refuse(struct membership *m, const struct fail *why);
/* For the commit. -1: no memory. */
int membership_wish(struct client_listen *l, struct membership *m, enum known_kind kind);
int listen_wish_none(struct client_listen *l); /* UNLISTEN * */
void membership_set_active(struct client_listen *l, struct membership *m, bool is_active);
void membership_lost(struct exchange *x, const struct membership *m); /* the hub can't: closes the client */
void listen_commit(struct exchange *x); /* may close it */
void listen_roll_back(struct client_listen *l);
void listen_sweep(struct client_listen *l); /* frees those that nothing speaks for any more */

/* listen/savepoints.c */
int listen_keep_wish(struct client_listen *l, struct membership *m); /* it is about to change. -1: no memory */
/* May close it. -1: no memory. */
int listen_set_savepoint(struct exchange *x, const char name[static KNOWN_NAME_MAX]);
void listen_release(struct client_listen *l, const char *name);
void listen_roll_back_to(struct client_listen *l, const char *name);
void listen_forget_savepoints(struct client_listen *l); /* the transaction is over */
void listen_savepoints_fini(struct client_listen *l);

/* listen/queries.c */
#define LISTEN_REFUSED "pgweir_refused" /* nothing has this name: what is asked of it fails */
bool listen_is_not_ours(const struct exchange *x); /* messages say nothing, or are none of ours */
void listen_end_effect(struct client_listen *l, struct listen_effect *e);
void listen_drop_portals(struct client_listen *l);

/* listen.c */
void listen_answered(struct notify_member *member, const struct fail *why); /* by the hub */
void listen_resume(struct exchange *x); /* handles what was kept */

#endif
