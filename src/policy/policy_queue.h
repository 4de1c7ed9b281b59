/* src/policy/policy_queue.h - clients in the queue while no connection can be opened: some keep waiting, the others
 * are refused. */
#pragma once

#include "policy/policy_state.h"

/* policy_outage.c */
/* Returns true if clients in the queue are to be refused now, because no answer of PostgreSQL can be expected soon. */
bool policy_is_hopeless(const struct policy *p, uint64_t now_us);
/* Returns when policy_is_hopeless() becomes true if nothing is reported before; NEVER_US if never. */
uint64_t policy_hopeless_us(const struct policy *p, uint64_t now_us);
/* Returns true if t keeps waiting when policy_is_hopeless(); all other waiters are refused then. */
bool policy_is_patient(const struct policy *p, const struct policy_waiter *t);
uint64_t policy_deadline(const struct policy *p, const struct policy_waiter *t); /* when its wait ends; or NEVER_US */
/* Forgets the last failure to open if it is outdated: the pool has no connection now, but had one that was alive after
 * the failed attempt began. Only the next attempt shows whether PostgreSQL can be reached. */
void policy_forget_outdated_failure(struct policy *p, uint64_t now_us);
/* Call this after any change: begins or ends an outage. */
void policy_update_outage(struct policy *p, uint64_t now_us);
void policy_end_outage(struct policy *p, uint64_t now_us); /* does nothing if there is no outage */
void policy_raise_ramp(struct policy *p); /* raises p->ramp, because another connection has been opened */

/* policy_refuse.c */
void policy_refuse_queue(struct policy *p, const struct fail *why, enum request_failure kind);
/* Refuses the waiters for which policy_is_patient() returns false. */
void policy_refuse_impatient(struct policy *p, const struct fail *why);
void policy_refuse_late(struct policy *p, uint64_t now_us);
void policy_refuse_hopeless(struct policy *p, uint64_t now_us);

/* policy_obstacle.c */
uint32_t policy_unserved(const struct policy *p); /* returns for how many waiters no connection is coming */
/* Returns how many more connections may be opened now, without regard to caps over several pools. Lowers *until_us
 * (until_us may be NULL) to the earliest time at which that number may rise by itself. */
uint32_t policy_openable(const struct policy *p, uint64_t now_us, uint64_t *until_us);
/* Returns for how much of its wait t has waited for a connection that is being opened, or that has failed to open. */
uint64_t policy_waited_to_connect_us(const struct policy *p, const struct policy_waiter *t, uint64_t now_us);
