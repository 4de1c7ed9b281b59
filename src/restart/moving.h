/*
 * src/restart/moving.h - moves the clients of the old process to its successor, while both serve.
 *
 * A client moves when it is between two requests: first all idle clients, a few in each turn of the loop, and then each
 * other client as soon as it has given its server back (exchange_ops.released, parked.c).
 *
 * Clients are touched in one function only, moving_advance(), in a halt of all workers; messages from the successor and
 * calls from other workers are only noted until then. If the workers can't be halted, no client moves for some seconds,
 * and clients on their way stay here, unless the successor was already told that they are its own.
 *
 * Always: a client is closed here only after the successor has confirmed that it has the client. If the successor is
 *         lost before that, the client is read again here.
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

/* Makes the state; no client moves yet. Borrows r, and the link to the successor. Returns NULL without memory. */
struct moving *moving_new(struct restart *r, struct link *link, pid_t successor);
void moving_free(struct moving *m); /* called in a halt, if a client has moved; m may be NULL */
void moving_begin(struct moving *m); /* called in a halt, when the successor is ready */
void moving_stop(struct moving *m); /* called when the link is broken: no other client is sent */
void moving_on_message(struct moving *m, uint8_t type, const uint8_t *body, size_t len); /* TAKEN or REFUSED has come */
/* Called when no more messages have come for now. Like moving_advance(), this function may end the process's main loop.
 */
void moving_on_batch_end(struct moving *m);
void moving_on_drained(struct moving *m); /* called when the kernel has taken all that was sent */
void moving_advance(struct moving *m); /* called when clients are parked, or when a listener has caught up */
void moving_client_gone(struct moving *m, const struct client *c); /* called when worker 0 has heard that c is closed */
/* Called in a halt. Lets clients on their way be read here again. If the successor lives (is_dead is false), clients
 * for which YOURS was sent are closed instead, because the successor may be reading them. */
void moving_take_back(struct moving *m, bool is_dead);
bool moving_has_transfers(const struct moving *m); /* returns true while a client is on its way */

/*
 * --- parked.c: clients of all workers that are not read until worker 0 has looked at them, which it does in a halt. A
 * client that has just given its server back is parked by its own worker, so it is still between two requests when
 * worker 0 looks. A client that was on its way to the successor when the workers could not be halted is parked, too.
 *
 * Owns:   the list and its lock.
 * Always: a client that worker 0 does not look at is read again by its own worker, at one of its next ticks. A client
 *         that was closed may still be in the list: its block exists until worker 0 has heard that it is closed.
 */
/* the most parked clients that have given their servers back, and the most parked clients that were on their way */
#define PARKED_MAX 32u

struct parked; /* opaque; defined in parked.c */

/* Makes the list. look: wakes worker 0 to look at the list; borrowed. Never returns NULL. */
struct parked *parked_new(struct wake *look);
void parked_free(struct parked *p);

/* --- on any worker --- */
/* Parks a client of this worker that has given its server back, if there is room. */
void parked_add(struct parked *p, struct client *c);
/* Lets parked clients be read again: those of the worker that env belongs to, at its tick; or all, in a halt, if env is
 * NULL. */
void parked_tick(struct parked *p, const struct client_env *env);

/* --- on worker 0 --- */
/* Sets how many clients may be parked from now on, at most PARKED_MAX. Clients that listen are not parked before
 * listeners_from_us. */
void parked_set_room(struct parked *p, unsigned room, uint64_t listeners_from_us);
/* Parks a client that was on its way when the workers could not be halted: its worker's tick lets it be read again.
 * There are at most PARKED_MAX such clients. */
void parked_put_back(struct parked *p, struct client *c);
/* Removes and returns a client of the worker that env belongs to or, in a halt, if env is NULL, of any worker. Closed
 * clients are removed and skipped. Returns NULL if there are no more. */
struct client *parked_take(struct parked *p, const struct client_env *env);
void parked_forget(struct parked *p, const struct client *c); /* c is about to be freed, and need not be listed */
/* Lets the client be read again; called in a halt, or on the client's own worker. The client may be closed by this. */
void parked_resume(struct client *c);
