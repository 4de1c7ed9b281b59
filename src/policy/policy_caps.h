/* src/policy/policy_caps.h - one pool under several caps at once: its user's, its database's, its host's, and the cap
 * over all pools. The functions do what those of policy_budget.h do, for all caps, and take the lock. Included by
 * src/policy/ only. */
#pragma once

#include "policy/policy_budget.h"

/* The caps of a pool, in the order in which the pool asks them for a place. */
struct policy_caps {
	struct budget_member by_kind[POLICY_CAPS];
	struct policy_orders *orders; /* the pool's orders */
	struct budget_group *groups; /* the groups of the pool's shards, by kind of cap; NULL if it has no shards */
	bool is_watched; /* some cap is tight or was lately: caps_publish() is due after each change of the view */
	uint64_t rest_end_us, turn_end_us; /* the fields of the same name of the pool's struct budget_view */
};

/* Sets one cap. counts: the pool's connections by state. The caller then calls caps_review(). */
void caps_set(struct policy_caps *caps, enum policy_cap which, struct policy_budget *b,
	      const uint32_t counts[static PC_COUNT], uint64_t now_us);
/* Sets groups, which must stay valid until the next call, or caps_leave(). counts: as for caps_set(). */
void caps_set_groups(struct policy_caps *caps, struct budget_group *groups, const uint32_t counts[static PC_COUNT],
		     uint64_t now_us);
/* Moves members from a group of their own to the pool's group, if their shard was put under a cap before the others. */
void caps_regroup(struct policy_caps *caps, const uint32_t counts[static PC_COUNT], uint64_t now_us);
void caps_leave(struct policy_caps *caps); /* no connection may be left */
void caps_set_claim(struct policy_caps *caps, uint32_t weight, uint32_t reserved);
void caps_publish(struct policy_caps *caps, const struct budget_view *v); /* call this under the lock */
/* Call this under the lock. Takes a place under each cap for a connection, which will be opened for a waiter or kept
 * ready, and returns true; or takes no place and returns false. */
bool caps_take(struct policy_caps *caps, bool is_for_waiter, uint64_t now_us);
/* A connection has left with its places for another shard of the pool, or has come from one. */
void caps_transferred(struct policy_caps *caps, bool has_left);
void caps_moved(struct policy_caps *caps, enum policy_conn_state from, enum policy_conn_state to);
void caps_report(struct policy_caps *caps, uint32_t short_count, uint64_t now_us);
static inline bool
caps_count_logins(const struct policy_caps *caps) /* returns true if caps_moved() is due after each login */
{
	return caps->by_kind[CAP_HOST].budget != NULL;
}
/* Returns true if the connection just returned must close. */
bool caps_ask_back(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us);
/* Returns true if some caps have asked for an idle connection: the next connection that is closed counts as the one
 * that they have asked for. */
bool caps_begin_giving_up(struct policy_caps *caps);
/* the pool has no idle connection left; the caller then calls caps_review() */
void caps_withdraw(struct policy_caps *caps);
bool caps_are_wanted(const struct policy_caps *caps);
/* Returns true if, under some cap, the pool's shards lack more places than their leaving connections will free. */
bool caps_are_lacking(const struct policy_caps *caps);
void caps_review(struct policy_caps *caps, uint64_t now_us);
uint64_t caps_due(const struct policy_caps *caps, uint64_t now_us);
bool caps_is_short(const struct policy_caps *caps); /* returns true if some cap keeps the pool short */
/* Sets *why, with the cap that keeps the pool short in its detail. *setting is the setting that would have to be
 * raised; NULL if *why has a hint instead. Returns how many connections have places under that cap that are not the
 * share of another pool; 0 if none can be opened, even if places become free. */
uint32_t caps_say_short(const struct policy_caps *caps, const char **setting, struct fail *why);
/* Returns true if a cap keeps the pool of `caps` short that the pool of `other` is under, too, and that pool would give
 * a place up if one of its borrowers ended: it has more than its share, or that is its last borrower (is_last). */
bool caps_share_short(const struct policy_caps *caps, const struct policy_caps *other, bool is_last);

/* Call this when a connection is returned. If is_watched is set, which it nearly never is, caps_ask_back() and
 * caps_review() are due, too. */
static inline void
caps_returned(struct policy_caps *caps, uint64_t opened_us, uint64_t now_us)
{
	caps->rest_end_us = now_us + BUDGET_TURN_US;
	caps->turn_end_us = opened_us + BUDGET_TURN_US;
}
