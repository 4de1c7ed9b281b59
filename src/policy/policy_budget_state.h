/* src/policy/policy_budget_state.h - shared by policy_budget.c (caps with fair shares), policy_keeper.c (places that a
 * keeper was granted) and policy_caps.c. Always: the lock of the commons is held. */
#pragma once

#include "policy/policy_keeper.h"

#include <assert.h>

TAILQ_HEAD(budget_members, budget_member);

TAILQ_HEAD(budget_groups, budget_group);

/* A budget's places, if a keeper grants them (policy_keeper.h). Zeroed in other budgets, whose limit is a setting. */
struct budget_kept {
	struct policy_worker *keeper; /* NULL if the budget has no keeper, or if the keeper has gone */
	bool is_binding; /* true if the limit is used + granted places, at most news.share; such a limit may be 0 */
	uint32_t granted;
	uint32_t returned; /* places of connections that have gone since the keeper last asked PostgreSQL for places */
	struct budget_news news;
	uint32_t understocked_count; /* members with is_understocked */
	/* Places for connections that no policy lends. asked_for: how many the keeper was asked for. held: how many of
	 * the granted places are kept free for such connections. */
	uint32_t asked_for, held;
	uint64_t held_until_us; /* when the held places are given up */
	uint64_t taken; /* how often a place was taken so far */
};

enum budget_review_state { REVIEW_NONE, REVIEW_RUNS, REVIEW_ONCE_MORE };

struct policy_budget {
	struct policy_named named;
	uint32_t limit; /* 0 for no limit; but if kept.is_binding, 0 allows no connection */
	uint32_t used, leaving;
	uint32_t opening, short_count; /* sums over all members */
	uint32_t used_without_policy; /* how many of used are connections that no policy lends */
	uint32_t in_use_count; /* groups in use: with demand, or in their idle grace */
	uint32_t in_use_plain; /* how many groups in use have no share_min */
	uint64_t in_use_weight, in_use_reserved; /* sums of the claims of groups in use */
	uint32_t unequal_count; /* groups whose claim differs from the default */
	uint64_t last_pass; /* the number of the last pass over the hungry members: budget_group.last_pass */
	bool is_watched; /* true while the budget is tight, so all members publish their views, or have orders to */
	enum budget_review_state review; /* one thread at a time reviews, for all threads */
	struct budget_groups in_idle_grace;
	struct budget_members members, holding;
	struct budget_members hungry; /* in order of view.since_us */
	struct budget_kept kept;
};

/* Adds `by` to *n; a `by` of -1u subtracts 1. *n must not fall below 0. */
static inline void
budget_add_to(uint32_t *n, uint32_t by)
{
	*n += by;
	assert(*n <= INT32_MAX);
}

static inline bool
budget_is_limited(const struct policy_budget *b)
{
	return b->limit > 0 || b->kept.is_binding;
}

/* Sets the limit if it is binding. Call this after each change of used or granted. */
static inline void
budget_update_limit(struct policy_budget *b)
{
	uint32_t most = b->used + b->kept.granted;

	if (b->kept.is_binding)
		b->limit = most < b->kept.news.share ? most : b->kept.news.share;
}

/* Tells the keeper that counts changed. Call policy_worker_unlock_and_act() or policy_worker_tell_others() next. */
static inline void
budget_tell_keeper(const struct policy_budget *b)
{
	if (b->kept.keeper != NULL)
		policy_worker_wake(b->kept.keeper);
}

static inline void
budget_change_opening(struct budget_member *m, uint32_t by)
{
	m->opening += by;
	m->budget->opening += by;
}

/* policy_budget.c */
bool budget_has_free_place(const struct policy_budget *b);
/* Ends the idle grace of the groups for which it is over: they no longer count as in use. */
void budget_end_idle_grace(struct policy_budget *b, uint64_t now_us);
/* Wakes the hungry member with the best claim, if a place is free; policy_worker_unlock_and_act() must follow. */
void budget_wake_best(struct policy_budget *b);
/* Runs the review (policy_budget.h) and releases the lock. Call this, with the lock, after a change of the limit or of
 * the members' needs. */
void budget_review_and_unlock(struct policy_budget *b, struct policy_worker *worker, uint64_t now_us);

/* policy_keeper.c */
/* Lets the keeper ask for a place for m's min_idle when the keeper needs no place more urgently. */
void budget_note_understocked(struct budget_member *m);
/* Only for a budget with kept.is_binding. Returns true if a place is held, or free while no member is hungry: the
 * caller then calls budget_take_place(). Otherwise asks the keeper for a place, and returns false. */
bool budget_claim_held(struct policy_budget *b, uint64_t now_us);
