/*
 * src/restart/moving.h - the clients of a process that goes move to its successor, while both serve.
 *
 * They move when they are between two requests: all that are idle at first, a few in each turn of the loop, and others
 * as soon as they have given their server back (exchange_ops.released, parked.c).
 *
 * All that is done to clients is done by one function, in a halt of all workers (moving_look()); what comes from
 * the successor or from other workers is noted until then. If no halt is to be had, nobody moves for some seconds, and
 * whoever is on the way stays here, unless the successor was told already that the client is its own.
 *
 * Always: a client is closed here only after the successor has confirmed that it has it. If the successor is lost
 * before that, the client is read on.
 */
#pragma once

#include "client/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct link; /* restart/link.h */
struct moving;
struct restart;

/* Nobody moves yet. Borrows r, and the link to the successor. Returns NULL without memory. */
struct moving *moving_new(struct restart *r, struct link *link, pid_t successor);
void moving_free(struct moving *m); /* in a halt, if anybody has moved; m may be NULL */
void moving_begin(struct moving *m); /* in a halt: the successor is ready */
void moving_stop(struct moving *m); /* its link is broken: nobody else goes */
void moving_on_message(struct moving *m, uint8_t type, const uint8_t *body, size_t len); /* TAKEN or REFUSED has come */
void moving_on_rest(struct moving *m); /* no message comes for now; may end this process's work, as the next two */
void moving_on_drained(struct moving *m); /* all that was sent is in the kernel's hands */
void moving_look(struct moving *m); /* clients are parked, or a listener has caught up */
void moving_client_gone(struct moving *m, const struct client *c); /* worker 0 has heard of its end */
/* In a halt: clients on their way are read on here, but for those that a successor which lives may be reading. */
void moving_take_back(struct moving *m, bool is_dead);
bool moving_has_transfers(const struct moving *m); /* returns true while a client is on its way */

/*
 * --- parked.c: clients of all workers that are not read until worker 0 has looked at them, which it does in a
 * halt. Whoever has just given its server back is parked by its own worker, so that it is still between two requests
 * then; and so is whoever was on its way to the successor when no halt was to be had.
 *
 * Owns:   the list and its lock.
 * Always: a client that nobody looks at is read on by its own worker, at one of its next ticks. One that was closed
 *         may still be in the list: its block is there until worker 0 has heard of its end.
 */
#define PARKED_MAX 32u /* as many as have given their servers back, and as many as were on their way */

struct parked; /* opaque: parked.c */

/* look: calls worker 0, which is to look at the list; borrowed. Never returns NULL. */
struct parked *parked_new(struct wake *look);
void parked_free(struct parked *p);

/* --- on any worker --- */
/* Parks a client of this worker's that has given its server back, if there is room for one like it. */
void parked_add(struct parked *p, struct client *c);
/* This worker's tick, or with env = NULL, in a halt, for all: what has been parked so far is read on. */
void parked_tick(struct parked *p, const struct client_env *env);

/* --- on worker 0 --- */
/* How many clients may be parked from now on, at most PARKED_MAX; none that listens before this time. */
void parked_set_room(struct parked *p, unsigned room, uint64_t listeners_from_us);
/* No halt is to be had: one that was on its way is read on at its worker's tick. There are at most PARKED_MAX. */
void parked_put_back(struct parked *p, struct client *c);
/*
 * Takes out one of this worker's, or with env = NULL, in a halt, any; those that were closed are forgotten. Returns
 * NULL if there are no more.
 */
struct client *parked_take(struct parked *p, const struct client_env *env);
void parked_forget(struct parked *p, const struct client *c); /* it is about to be freed; fine if it is not here */
/* In a halt, or on its own worker: it is read on. It may be closed then. */
void parked_let_go_on(struct client *c);
