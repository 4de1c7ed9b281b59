/*
 * src/restart/parked.h - clients of all workers that are not read until worker 0 has looked at them, which it does in a
 * halt. Whoever has just given its server back is parked by its own worker, so that it is still between two requests
 * then; and so is whoever was on its way to the successor when no halt was to be had.
 *
 * Owns:   the list, its lock, and the note that tells worker 0 of it.
 * Always: a client that nobody looks at is read on by its own worker, at one of its next ticks. One that was closed
 *         may still be in the list: its block is there until worker 0 has heard of its end.
 */
#pragma once

#include "client/client.h"

#define PARKED_MAX 32u /* as many as have given their servers back, and as many as were on their way */

struct parked; /* opaque: parked.c */

/* look is called on the loop of this inbox, worker 0's, soon after parked_add() or parked_call(). Never returns NULL.
 */
struct parked *parked_new(struct inbox *door, void (*look)(void *arg), void *arg);
void parked_free(struct parked *p); /* once its note can't be on its way any more */

/* --- on any worker --- */
void parked_call(struct parked *p); /* worker 0 is to look */
/* Parks a client of this worker's that has given its server back, if there is room for one like it. */
void parked_add(struct parked *p, struct client *c);
/* This worker's tick: what has been parked so far is read on. */
void parked_tick(struct parked *p, const struct client_env *env);

/* --- on worker 0 --- */
/* How many clients may be parked from now on, at most PARKED_MAX; none that listens before this time. */
void parked_set_room(struct parked *p, unsigned room, uint64_t listeners_from_us);
/* No halt is to be had: one that was on its way is read on at its worker's tick. There are at most PARKED_MAX. */
void parked_put_back(struct parked *p, struct client *c);
/* In a halt: takes out one that is not closed. Returns NULL if there are no more. */
struct client *parked_take(struct parked *p);
void parked_forget(struct parked *p, const struct client *c); /* it is about to be freed; fine if it is not here */
/* In a halt, or on its own worker: it is read on. It may be closed then. */
void parked_let_go_on(struct client *c);
