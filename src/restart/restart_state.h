/* src/restart/restart_state.h - what the files of this folder share. */
#pragma once

#include "restart/moving.h"
#include "restart/restart.h"

#define STAYING_MAX 512 /* bytes of a text that says which clients stay in the old process, and why */

struct successor; /* successor.c */
struct predecessor; /* predecessor.c */

struct restart {
	struct restart_host host;
	struct successor *successor; /* while this process moves its clients there; or NULL */
	struct moving *moving; /* the successor's; or NULL */
	struct predecessor *predecessor; /* while clients come from there; or NULL */
	struct parked *parked;
	struct wake looking; /* worker 0 is to look at what is parked, or has come */
	enum { RESTART_GOES_ON, RESTART_STOPS, RESTART_ENDS } end; /* of this process */
	bool has_reported; /* the first round is over: who stays for now is in the log */
	uint32_t moved; /* how many clients have moved to the successor */
};

/* The log, the pools and the rest of what clients see. */
static inline const struct exchange_env *
restart_env(const struct restart *r)
{
	return &r->host.clients->x;
}

static inline uint64_t
restart_now_us(const struct restart *r)
{
	return *r->host.clients->x.now_us;
}

/* Returns NULL if it was closed: its worker's thread may have done so, and worker 0 not have heard of it. */
static inline struct client *
restart_living(struct client *c)
{
	return c == NULL || c->x.is_closing ? NULL : c;
}

/* successor.c */
void restart_abandon_successor(struct restart *r); /* one that is not ready yet is given up */
void restart_successor_tick(struct restart *r);
void restart_end_if_moved(struct restart *r);
/* Sends a message of handover.h, once clients move there. Returns false if there is nobody to tell. */
bool restart_send_successor(struct restart *r, uint8_t type, const void *body, size_t len);

/* predecessor.c */
void restart_predecessor_tick(struct restart *r);
bool restart_predecessor_lives(const struct restart *r); /* returns true while the process is there */
bool restart_send_predecessor(struct restart *r, uint8_t type, const void *body, size_t len); /* as above */
void restart_look_at_arrivals(struct restart *r); /* a listener listens on all channels of one, or has caught up */
void restart_arrival_gone(struct restart *r, const struct client *c); /* worker 0 has heard of its end */

/* restart.c */
void restart_on_cancel(struct restart *r, uint8_t type, const uint8_t *body, size_t len); /* HANDOVER_CANCEL... */
void restart_end_far_cancels(struct restart *r); /* the other process is gone: nobody will answer */
