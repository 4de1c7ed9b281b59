/*
 * src/restart/moving.h - the clients of a process that goes move to its successor, while both serve.
 *
 * They move when they are between two requests: all that are idle at first, a few in each turn of the loop, and others
 * as soon as they have given their server back (exchange_ops.released, restart/parked.h).
 *
 * All that is done to clients is done by one function, in a halt of all workers (pump() in moving.c); what comes from
 * the successor or from other workers is noted until then. If no halt is to be had, nobody moves for some seconds, and
 * whoever is on the way stays here, unless the successor was told already that the client is its own.
 *
 * Always: a client is closed here only after the successor has confirmed that it has it. If the successor is lost
 * before that, the client is read on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct client;
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
bool moving_has_crossings(const struct moving *m); /* returns true while a client is on its way */
uint32_t moving_count(const struct moving *m); /* how many clients have moved */
/* Returns true if the first round is over: who stays for now is in the log. */
bool moving_has_reported(const struct moving *m);
