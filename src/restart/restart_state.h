/* src/restart/restart_state.h - declarations that the files of this folder share. */
#pragma once

#include "restart/moving.h"
#include "restart/restart.h"

#define STAYING_MAX 512 /* bytes of the text that says which clients stay in the old process, and why */

struct successor; /* defined in successor.c */
struct predecessor; /* defined in predecessor.c */

struct restart {
	struct restart_host host;
	struct successor *successor; /* the process to which clients move; NULL if there is none */
	struct moving *moving; /* the clients that move to the successor; NULL if there is no successor */
	struct predecessor *predecessor; /* the process from which clients come; NULL if there is none */
	struct parked *parked;
	struct wake looking; /* posted to make worker 0 look at clients that are parked or have come */
	/* RESTART_STOPS: the process was told to stop. RESTART_ENDS: the process has left its main loop. */
	enum { RESTART_GOES_ON, RESTART_STOPS, RESTART_ENDS } end;
	bool has_reported; /* all idle clients have moved, and the log says which clients stay for now */
	uint32_t moved; /* clients that have moved to the successor */
};

/* Returns the log, the pools and everything else that clients use. */
static inline const struct exchange_env *
restart_env(const struct restart *r)
{
	return &r->host.main_env->x;
}

static inline uint64_t
restart_now_us(const struct restart *r)
{
	return *r->host.main_env->x.now_us;
}

/* Returns c, or NULL if c is closed: c's worker may have closed c without worker 0 knowing yet. */
static inline struct client *
restart_null_if_closed(struct client *c)
{
	return c == NULL || c->x.is_closing ? NULL : c;
}

/* --- successor.c --- */
void restart_abandon_successor(struct restart *r); /* gives up a successor that is not ready yet */
void restart_successor_tick(struct restart *r); /* called about every 100 ms */
void restart_end_if_moved(struct restart *r); /* ends the process if all its clients have moved */
/* Sends a message of handover.h. Returns false if there is no successor to which clients move. */
bool restart_send_successor(struct restart *r, uint8_t type, const void *body, size_t len);

/* --- predecessor.c --- */
void restart_predecessor_tick(struct restart *r); /* called about every 100 ms */
bool restart_predecessor_may_live(const struct restart *r); /* true before GO, and then while the old process exists */
/* Sends a message of handover.h. Returns false if there is no old process to which it could be sent. */
bool restart_send_predecessor(struct restart *r, uint8_t type, const void *body, size_t len);
/* Called when a pool's listener listens to all channels of a client that has come, or the listener has caught up for
 * that client. */
void restart_advance_arrivals(struct restart *r);
void restart_arrival_gone(struct restart *r, const struct client *c); /* called when worker 0 learns that c is closed */

/* --- restart.c --- */
/* Handles HANDOVER_CANCEL and HANDOVER_CANCELLED. */
void restart_on_cancel(struct restart *r, uint8_t type, const uint8_t *body, size_t len);
/* Called when the other process is gone. Ends the cancels that wait for its answer. */
void restart_end_forwarded_cancels(struct restart *r);
