/* src/policy/policy_queue.h - decides which clients in the queue keep waiting while no connection can be opened, and
 * refuses the others. */
#pragma once

#include "policy/policy_state.h"

/* policy_outage.c */
/* Returns true if clients in the queue are to be refused now, because no answer of PostgreSQL can be expected soon. */
bool policy_is_hopeless(const struct policy *p, uint64_t now_us);
/* Returns when policy_is_hopeless() becomes true if no connection is opened or fails before; NEVER_US if never. */
uint64_t policy_give_up_at_us(const struct policy *p, uint64_t now_us);
bool policy_host_is_back(const struct policy *p); /* true if the host that failed has answered another pool since */
/* Returns true if t keeps waiting when policy_is_hopeless(); all other waiters are refused then. */
bool policy_is_patient(const struct policy *p, const struct policy_waiter *t);
/* Returns when t's wait times out; NEVER_US if never. */
uint64_t policy_deadline(const struct policy *p, const struct policy_waiter *t);
/* Forgets the last failure to open if the pool has no connection now, but has lost one that was alive after the failed
 * attempt began: only the next attempt shows whether PostgreSQL can be reached. */
void policy_forget_outdated_failure(struct policy *p, uint64_t now_us);
void policy_update_outage(struct policy *p, uint64_t now_us); /* call after each change: begins or ends an outage */
void policy_end_outage(struct policy *p, uint64_t now_us); /* does nothing if there is no outage */
void policy_raise_ramp(struct policy *p); /* raises p->ramp; call when a connection has logged in */

/* policy_refuse.c */
void policy_refuse_queue(struct policy *p, const struct fail *why, enum request_failure kind); /* refuses all */
/* Refuses the waiters for which policy_is_patient() returns false. */
void policy_refuse_impatient(struct policy *p, const struct fail *why);
void policy_refuse_late(struct policy *p, uint64_t now_us); /* refuses the waiters that have timed out */
void policy_refuse_by_last_fail(struct policy *p,
				uint64_t now_us); /* refuses the impatient waiters; their error is p->last_fail */

/* policy_obstacle.c */
uint32_t policy_count_unserved(const struct policy *p); /* returns for how many waiters no connection is coming */
/* Returns how many more connections the pool's own limits allow to open now. Caps over several pools are not
 * considered. Lowers *until_us to the earliest time at which the number may rise by itself; until_us may be NULL. */
uint32_t policy_count_openable(const struct policy *p, uint64_t now_us, uint64_t *until_us);
/* Returns the part of t's wait that was for a connection that is being opened, or that has failed to open. */
uint64_t policy_waited_to_connect_us(const struct policy *p, const struct policy_waiter *t, uint64_t now_us);
