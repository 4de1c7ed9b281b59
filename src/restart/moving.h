/*
 * src/restart/moving.h - the clients of a process that goes move to its successor, while both serve.
 *
 * They move when they are between two requests: all that are idle at first, a few in each turn of the loop, and others
 * as soon as they have given their server back (exchange_ops.released).
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

/* Nobody moves yet. Borrows the link to the successor. Returns NULL without memory. */
struct moving *moving_new(struct restart *r, struct link *link, pid_t successor);
void moving_free(struct moving *m); /* m may be NULL */
void moving_begin(struct moving *m); /* the successor is ready */
void moving_stop(struct moving *m); /* its link is broken: nobody else goes */
/* HANDOVER_TAKEN or HANDOVER_REFUSED has come; may end this process's work. */
void moving_on_message(struct moving *m, uint8_t type, const uint8_t *body, size_t len);
void moving_on_drained(struct moving *m); /* all that was sent is in the kernel's hands */
void moving_tick(struct moving *m); /* about every 100 ms */
void moving_client_gone(struct moving *m, const struct client *c);
void moving_client_released(struct moving *m, struct client *c); /* it has given its server back */
void moving_client_caught_up(struct moving *m, const struct client *c); /* listen_crossing_catch_up() is over */
/* Clients on their way are read on here, but for those that a successor which lives may be reading. */
void moving_take_back(struct moving *m, bool is_dead);
bool moving_has_crossings(const struct moving *m); /* returns true while a client is on its way */
uint32_t moving_count(const struct moving *m); /* how many clients have moved */
/* Returns true if the first round is over: who stays for now is in the log. */
bool moving_has_reported(const struct moving *m);
