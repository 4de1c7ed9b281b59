/*
 * src/restart/moving.h - moves the clients of the old process to its successor, while both processes serve clients.
 *
 * A client moves between two requests. First all idle clients move, a few in each turn of the event loop. Each other
 * client moves as soon as it has given its server back (exchange_ops.released, parked.c).
 *
 * Clients are changed only in a halt, which stops all workers for a moment. Messages from the successor, and calls from
 * other workers, are only noted, and handled in the next halt. If the workers can't be halted, no client moves for some
 * seconds, and clients on their way stay in this process unless YOURS (handover.h) was sent for them.
 *
 * Always: a client is closed here only after the successor has confirmed that it has the client. If the successor is
 *         lost before that, this process reads from the client again.
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

/* Makes the state; no client moves yet. Borrows r and the successor's link. Returns NULL if there is no memory. */
struct moving *moving_new(struct restart *r, struct link *link, pid_t successor);
void moving_free(struct moving *m); /* must be called in a halt if any client has moved; m may be NULL */
void moving_begin(struct moving *m); /* called in a halt, when the successor is ready */
void moving_stop(struct moving *m); /* called when the link is broken; no further client is sent */
void moving_on_message(struct moving *m, uint8_t type, const uint8_t *body, size_t len); /* TAKEN or REFUSED has come */
/* Called when no more messages have come for now. Calls moving_advance() if messages were noted. */
void moving_on_batch_end(struct moving *m);
void moving_on_drained(struct moving *m); /* called when the kernel has taken all that was sent */
/* Moves clients in a halt. Called when clients are parked, or when a moving client's listener has caught up. May end
 * the process's main loop. */
void moving_advance(struct moving *m);
void moving_client_gone(struct moving *m, const struct client *c); /* called when worker 0 has heard that c is closed */
/* Called in a halt, when the successor is lost. Makes this process read again from the clients on their way. is_dead:
 * the successor has died, so clients for which YOURS was sent are kept, too; otherwise these clients are closed,
 * because the successor may be reading from them. */
void moving_take_back(struct moving *m, bool is_dead);
bool moving_has_transfers(const struct moving *m); /* returns true while a client is on its way */

/*
 * --- parked.c: a list of clients of all workers. A client in the list is not read until worker 0 has looked at it in a
 * halt, or until its own worker takes it off the list. A worker parks a client that has just given its server back, so
 * that the client is still between two requests when worker 0 looks. A client that was on its way to the successor when
 * the workers could not be halted is parked, too.
 *
 * Owns:   the list and its lock.
 * Always: if worker 0 does not look at a client, the client's own worker soon reads from it again, in parked_tick().
 *         A closed client may still be in the list: its memory is freed only after worker 0 has removed it.
 */
/* the limit on parked clients that have given their servers back; clients that were on their way have the same limit */
#define PARKED_MAX 32u

struct parked; /* opaque; defined in parked.c */

/* Makes the list. look_wake, which is borrowed, is posted to have worker 0 look at the list. Never returns NULL. */
struct parked *parked_new(struct wake *look_wake);
void parked_free(struct parked *p);

/* --- on any worker --- */
/* Parks a client that has given its server back, if there is room. Called on the client's own worker. */
void parked_add(struct parked *p, struct client *c);
/* Removes all clients of the worker `env` from the list, and reads from them again. Called at each tick of that worker.
 * In a halt, env may be NULL for the clients of all workers. */
void parked_tick(struct parked *p, const struct client_env *env);

/* --- on worker 0, except parked_resume() --- */
/* Sets how many clients parked_add() may park from now on, at most PARKED_MAX. Until listening_from_us, clients that
 * listen to a channel are not parked. */
void parked_set_room(struct parked *p, unsigned room, uint64_t listening_from_us);
/* Parks a client that was on its way when the workers could not be halted; the client's worker reads from it again at
 * the worker's next tick. The caller must park no more than PARKED_MAX such clients. */
void parked_add_stranded(struct parked *p, struct client *c);
/* Removes and returns a client of the worker `env`; in a halt, env may be NULL for a client of any worker. Also removes
 * closed clients, but does not return them. Returns NULL if there are no more clients. */
struct client *parked_take(struct parked *p, const struct client_env *env);
void parked_forget(struct parked *p, const struct client *c); /* called before c is freed; c need not be in the list */
/* Reads from the client again; this may close the client. Called in a halt, or on the client's own worker. */
void parked_resume(struct client *c);
