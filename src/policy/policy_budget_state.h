/* src/policy/policy_budget_state.h - what policy_budget.c, caps with fair shares, and policy_keeper.c, places that a
 * keeper was granted, share; nobody else includes it. All under the lock of the commons. */
#pragma once

#include "policy/policy_keeper.h"

#include <assert.h>

TAILQ_HEAD(budget_members, budget_member);

TAILQ_HEAD(budget_groups, budget_group);

/* Zeroed, as in most: the budget is a cap, and its limit a setting. */
struct budget_kept {
	struct policy_worker *keeper; /* NULL: none, or it has gone */
	bool is_binding; /* the limit is what is granted, which may be 0 */
	uint32_t granted;
	uint32_t returned; /* places of connections that are gone since the keeper asked for some last */
	struct budget_news news;
	uint32_t understocked_count; /* of members */
	uint32_t asked_for, held; /* places for connections that no policy lends: to be asked for, and granted ... */
	uint64_t held_until_us; /* ... until then */
	uint64_t taken;
};

enum budget_review { REVIEW_NONE, REVIEW_RUNS, REVIEW_ONCE_MORE };

struct policy_budget {
	struct policy_named named;
	uint32_t limit; /* 0: none, unless it is binding */
	uint32_t used, leaving;
	uint32_t opening, short_count; /* of all members */
	uint32_t unlent; /* of used: connections that no policy lends */
	uint32_t in_use_count; /* groups that are wanting or resting */
	uint32_t in_use_plain; /* those of them for which none is reserved */
	uint64_t in_use_weight, in_use_reserved; /* their sums */
	uint32_t unequal_count; /* groups whose claim is not the usual one */
	uint64_t walk; /* the number of the last one over the hungry */
	bool is_watched; /* it is tight; all members publish, or are ordered to */
	enum budget_review review; /* by one thread, for all */
	struct budget_groups resting;
	struct budget_members members, holding;
	struct budget_members hungry; /* in order of view.since_us */
	struct budget_kept kept;
};

/* Counts so many more, or (-1u) fewer: never fewer than there are. */
static inline void
budget_count(uint32_t *n, uint32_t by)
{
	*n += by;
	assert(*n <= INT32_MAX);
}

static inline bool
budget_is_limited(const struct policy_budget *b)
{
	return b->limit > 0 || b->kept.is_binding;
}

/* After each change of what is used or granted. */
static inline void
budget_fit(struct policy_budget *b)
{
	uint32_t most = b->used + b->kept.granted;

	if (b->kept.is_binding)
		b->limit = most < b->kept.news.share ? most : b->kept.news.share;
}

/* Tells the keeper that counts have changed: policy_worker_act() or policy_worker_tell() must follow. */
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
void budget_end_rests(struct policy_budget *b, uint64_t now_us); /* who has rested long enough is not in use any more */
void budget_wake_best(struct policy_budget *b); /* who is hungry, if a place is free; policy_worker_act() must follow */
/* Called with the lock, returns without it: after any change of the limit, or of what members want. */
void budget_look_again(struct policy_budget *b, struct policy_worker *r, uint64_t now_us);

/* policy_keeper.c */
/* Has the keeper ask for a place for m's min_idle, if nobody else wants one. */
void budget_note_understocked(struct budget_member *m);
/* There is a keeper, which binds. Returns true if a place is free for a connection that no policy lends; else one is
 * asked for. */
bool budget_take_held(struct policy_budget *b, uint64_t now_us);
