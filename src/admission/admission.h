/*
 * src/admission/admission.h - who is let in, how many at once and how fast ([limits]); client/ only.
 *
 *   admission/admission.c           connections counted by address and user; rates of logins
 *   admission/admission_queue.c      those that have not proved yet who they are: a bound on them
 *   admission/admission_failures.c  wrong passwords, answered late
 *   admission/admission_table.h     what is remembered, pure
 *
 * The order of a login: door_enter at accept, door_knock at the startup packet, door_admit once the client has proved
 * who it is, door_leave when it goes (or goes on to be a cancel). Nothing is told apart before the proof: address and
 * rates are looked at before it, what databases and users have after it.
 *
 * An address is an IPv4 address or an IPv6 network of 64 bits. Unix sockets have none: no limit of addresses holds.
 * Limits are read from the present configuration each time, so a reload changes them at once.
 *
 * Always: a connection counts in its address from accept to its end, and in its user from admission to its end.
 */
#ifndef PGWEIR_ADMISSION_ADMISSION_H
#define PGWEIR_ADMISSION_ADMISSION_H

#include "base/counters.h"
#include "base/fail.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct door; /* opaque: admission/admission_state.h */
struct client;
struct client_env;
struct client_login;
struct pool_entry;

/* NULL and why: no memory, no randomness. */
struct door *door_new(struct event_base *base, struct fail *why);
void door_free(struct door *door); /* after the last client; NULL is fine */
/* How many the process may have open: the bound on connections that log in follows it. */
void door_set_descriptors(struct door *door, uint64_t descriptors);
void door_tick(struct client_env *env, uint64_t now_us);

/* --- The steps; c logs in. false: it was refused (counted, logged, told) and is closing. --- */
bool door_enter(struct client *c);
bool door_knock(struct client *c); /* user and database are known, nothing is proved */
bool door_admit(struct client *c, const struct pool_entry *entry); /* it proved who it is; entry is to be its pool */
void door_leave(struct client *c); /* also more than once */
void door_leave_line(struct client_login *l); /* it has proved who it is, or goes; also more than once */

/*
 * Refuses a login for want of room: counted under reason, told, closed. A storm of them is logged in a line a second.
 */
void door_refuse(struct client *c, const struct fail *why, enum reject_reason reason);

/*
 * A line about a login that is refused may be written: so many in a second, the others are counted, and reported
 * together. Of a connection that gets none, the end is not written either.
 */
bool door_may_log(struct client *c);

/* --- Proofs that were wrong. why is what the client is told, later (login_failure_delay); c may be closed after it. */
void door_failed(struct client *c, const struct fail *why);
void door_succeeded(struct client *c);
bool door_is_answer_held(const struct client_login *l);
void door_answer_now(struct client *c); /* one whose answer is held */

/* Clients of this name that are let in; for SHOW. */
uint32_t door_user_clients(const struct door *door, const char *user);

#endif
