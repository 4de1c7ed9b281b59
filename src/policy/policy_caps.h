/* src/policy/policy_caps.h - one pool under several caps at once: its user's, its database's, that of all. The
 * functions do what those of policy_budget.h do, for all of them, and take the lock. Only src/policy/ includes it. */
#pragma once

#include "policy/policy_budget.h"

/* In the order in which a pool asks them. */
struct policy_caps {
	struct budget_member by_kind[POLICY_CAPS];
	struct policy_orders *orders; /* the pool's */
	bool is_watched; /* by any of them: caps_publish() is due after each change of the view */
	uint64_t rest_end_us, turn_end_us; /* of its view */
};

/* counts: the pool's connections by state. The caller reviews. */
void caps_set(struct policy_caps *caps, enum policy_cap which, struct policy_budget *b,
	      const uint32_t counts[static PC_COUNT], uint64_t now_us);
void caps_leave(struct policy_caps *caps); /* no connection may be left */
void caps_set_claim(struct policy_caps *caps, uint32_t weight, uint32_t reserved);
void caps_publish(struct policy_caps *caps, const struct budget_view *v); /* under the lock */
/* Takes a place in each, for one to be opened for a waiter, or to be kept ready; or none, and returns false. */
bool caps_take(struct policy_caps *caps, bool is_for_waiter, uint64_t now_us);
/* Returns true if any has a limit. Then nothing crosses to another worker: its places would be free meanwhile. */
bool caps_are_limited(const struct policy_caps *caps);
/* Takes a place in each, for one that has come from another worker. Returns as caps_are_limited(). */
bool caps_retake(struct policy_caps *caps);
void caps_moved(struct policy_caps *caps, enum policy_conn_state from, enum policy_conn_state to);
void caps_report(struct policy_caps *caps, uint32_t short_count, uint64_t now_us);
bool caps_ask_back(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us); /* one that was just returned */
/* Returns true if an idle one was asked for: the next one that is closed is that, for all caps. */
bool caps_begin_giving_up(struct policy_caps *caps);
void caps_withdraw(struct policy_caps *caps); /* none is idle any more; the caller reviews */
bool caps_are_wanted(const struct policy_caps *caps);
void caps_review(struct policy_caps *caps, uint64_t now_us);
uint64_t caps_due(const struct policy_caps *caps, uint64_t now_us);
const char *caps_short_of(const struct policy_caps *caps); /* the setting that keeps it short; NULL: none does */

/* While is_watched is set, caps_ask_back() and caps_review() are due, too. Nearly always this is all that is done. */
static inline void
caps_returned(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us)
{
	caps->rest_end_us = now_us + BUDGET_TURN_US;
	caps->turn_end_us = opened_us + BUDGET_TURN_US;
}
