/* src/policy/policy_caps.h - one pool under several caps at once: its user's, its database's, that of all. The
 * functions do what those of policy_budget.h do, for all of them, and take the lock. Only src/policy/ includes it. */
#pragma once

#include "policy/policy_budget.h"

/* In the order in which a pool asks them. */
struct policy_caps {
	struct budget_member by_kind[POLICY_CAPS];
	struct policy_orders *orders; /* the pool's */
	struct budget_group *groups; /* of all shards of the pool, by kind; NULL: it has none */
	bool is_watched; /* by any of them: caps_publish() is due after each change of the view */
	uint64_t rest_end_us, turn_end_us; /* of its view */
};

/* counts: the pool's connections by state. The caller reviews. */
void caps_set(struct policy_caps *caps, enum policy_cap which, struct policy_budget *b,
	      const uint32_t counts[static PC_COUNT], uint64_t now_us);
/* The same for groups, which stay as they are until this is called again, or caps_leave(). */
void caps_set_groups(struct policy_caps *caps, struct budget_group *groups, const uint32_t counts[static PC_COUNT],
		     uint64_t now_us);
/* A shard that came to a cap before the others is of their group again. */
void caps_regroup(struct policy_caps *caps, const uint32_t counts[static PC_COUNT], uint64_t now_us);
void caps_leave(struct policy_caps *caps); /* no connection may be left */
void caps_set_claim(struct policy_caps *caps, uint32_t weight, uint32_t reserved);
void caps_publish(struct policy_caps *caps, const struct budget_view *v); /* under the lock */
/* Under the lock: takes a place in each, for one to be opened for a waiter, or to be kept ready; or none, and returns
 * false. */
bool caps_take(struct policy_caps *caps, bool is_for_waiter, uint64_t now_us);
/* A connection goes to another shard of the pool, or has come from there: with its places. */
void caps_transferred(struct policy_caps *caps, bool has_left);
void caps_moved(struct policy_caps *caps, enum policy_conn_state from, enum policy_conn_state to);
void caps_report(struct policy_caps *caps, uint32_t short_count, uint64_t now_us);
static inline bool
caps_count_logins(const struct policy_caps *caps) /* returns true if caps_moved() is to hear when a login has ended */
{
	return caps->by_kind[CAP_HOST].budget != NULL;
}
bool caps_ask_back(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us); /* one that was just returned */
/* Returns true if an idle one was asked for: the next one that is closed is that, for all caps. */
bool caps_begin_giving_up(struct policy_caps *caps);
void caps_withdraw(struct policy_caps *caps); /* none is idle any more; the caller reviews */
bool caps_are_wanted(const struct policy_caps *caps);
/* Returns true if a shard of the pool is short of a place under some cap, and none of its own is coming back. */
bool caps_are_lacking(const struct policy_caps *caps);
void caps_review(struct policy_caps *caps, uint64_t now_us);
uint64_t caps_due(const struct policy_caps *caps, uint64_t now_us);
bool caps_is_short(const struct policy_caps *caps); /* returns true if one of them keeps it short */
/* Sets why: which in its detail, and a hint, or none if *setting is what would have to be raised (else NULL). Returns
 * how many connections have its places; 0: that is not why. */
uint32_t caps_say_short(const struct policy_caps *caps, const char **setting, struct fail *why);
/* Returns true if one of them keeps it short, and is the other's, too. */
bool caps_share_short(const struct policy_caps *caps, const struct policy_caps *other);

/* While is_watched is set, caps_ask_back() and caps_review() are due, too. Nearly always this is all that is done. */
static inline void
caps_returned(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us)
{
	caps->rest_end_us = now_us + BUDGET_TURN_US;
	caps->turn_end_us = opened_us + BUDGET_TURN_US;
}
