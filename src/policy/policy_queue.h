/* src/policy/policy_queue.h - those in the queue when nothing can be opened: who waits on, and who is refused. */
#pragma once

#include "policy/policy_state.h"

/* policy_outage.c */
/* Returns true if somebody in the queue is to be refused now, as no answer is to be expected soon. */
bool policy_is_hopeless(const struct policy *p, uint64_t now_us);
/* Returns when that will be so, if nothing is reported before; NEVER_US: never. */
uint64_t policy_hopeless_us(const struct policy *p, uint64_t now_us);
/* Returns false if it is refused when policy_is_hopeless() says so. */
bool policy_is_patient(const struct policy *p, const struct policy_waiter *t);
uint64_t policy_deadline(const struct policy *p, const struct policy_waiter *t); /* of its wait; NEVER_US: none */
/* Forgets a failure where no connection is left, if those that have gone were of use since it began: the next attempt
 * will tell. */
void policy_forget_outdated(struct policy *p, uint64_t now_us);
void policy_look_for_outage(struct policy *p, uint64_t now_us); /* after any change */
void policy_end_outage(struct policy *p, uint64_t now_us); /* fine if there is none */
void policy_climb(struct policy *p); /* one more was opened */

/* policy_refuse.c */
void policy_refuse_line(struct policy *p, const struct fail *why, enum request_failure kind);
void policy_refuse_impatient(struct policy *p, const struct fail *why); /* not those who are patient */
void policy_refuse_late(struct policy *p, uint64_t now_us);
void policy_refuse_hopeless(struct policy *p, uint64_t now_us);

/* policy_obstacle.c */
uint32_t policy_unserved(const struct policy *p); /* how many in the queue have no connection coming */
/* Returns how many more connections may be opened now, apart from caps over several pools. *until_us (until_us may be
 * NULL) is lowered to the time when that may be more, if no report comes before. */
uint32_t policy_openable(const struct policy *p, uint64_t now_us, uint64_t *until_us);
/* Returns how much of its wait was for what is being opened, or for what failed to open. */
uint64_t policy_waited_to_connect_us(const struct policy *p, const struct policy_waiter *t, uint64_t now_us);
