/*
 * src/policy/policy_keeper.h - a budget of several processes, as its keeper sees it (dedicated/fleet.h): a cap over the
 * pools of some hosts that has no places but those which the keeper was granted for it, and what is gone is nobody's
 * here. Its limit is what is used and granted, its share at most: what is above that, it gives up. As long as more may
 * be granted, no pool gives one up for another. The functions take the lock.
 */
#pragma once

#include "policy/policy_budget.h"

struct budget_count {
	uint32_t used, opening; /* connections in any state; those whose login has not ended */
	uint32_t granted; /* places that nobody has taken yet */
	uint32_t short_count; /* more that would be opened now ... */
	uint32_t asked_for; /* ... and how many of these no policy lends */
	uint64_t taken; /* places, since it is there */
	bool is_in_use;
};
/* r: the policy worker of the caller's thread. keeper: the policy worker that is told of each change of the count; it
 * has no pools. NULL: it has gone, and is_binding keeps pools that have not been told yet from opening any. is_binding:
 * false if it only counts. */
void policy_budget_keep(struct policy_budget *b, struct policy_worker *r, struct policy_worker *keeper, bool is_binding,
			uint64_t now_us);
struct budget_news {
	uint32_t share; /* UINT32_MAX: it may have any number */
	bool is_full; /* no more will be granted for a while */
	uint32_t checks; /* how often places were asked for; those of connections that are gone since may be free */
	bool is_pressed; /* other processes wait for places, and want to know whether this one is in use */
	/* For what is said to those who get none. limit 0: the keeper can't ask for places now. others: of those
	 * listed, no process's of the budget; reserved: what nobody is granted. */
	uint32_t limit, listed, others, reserved;
};
/* more: places that were granted now. */
void policy_budget_grant(struct policy_budget *b, struct policy_worker *r, uint32_t more,
			 const struct budget_news *news, uint64_t now_us);
void policy_budget_ungrant(struct policy_budget *b, struct policy_worker *r, uint32_t kept); /* more than so many */
/* Closes all connections whose login has not ended; those that no policy lends when it ends. */
void policy_budget_abandon(struct policy_budget *b, struct policy_worker *r, uint64_t now_us);
struct budget_count policy_budget_count(struct policy_budget *b, struct policy_worker *r, uint64_t now_us);

/* Sets why, with detail and hint: nobody has a place for m, which has joined a keeper's budget. Returns how many
 * connections have its places; 0: none can be opened, whoever has them. */
uint32_t policy_budget_say(const struct budget_member *m, struct fail *why);

/* m's connection has logged in; policy_places_give() ends it. Returns false if it was abandoned: close it. */
bool policy_budget_settled(struct budget_member *m);
