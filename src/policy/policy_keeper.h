/*
 * src/policy/policy_keeper.h - a budget of several processes, as its keeper sees it (dedicated/fleet.h): a cap over the
 * pools of some hosts. The cap has only the places that the keeper was granted for it; the place of a connection that
 * is gone does not come back to this process. The limit is the number of used and granted places, but at most the share
 * of this process; connections above that are given up. As long as more places may be granted, no pool gives one up for
 * another. The functions take the lock.
 */
#pragma once

#include "policy/policy_budget.h"

struct budget_count {
	uint32_t used, opening; /* connections in any state; connections whose login has not ended */
	uint32_t granted; /* granted places that are not taken yet */
	uint32_t short_count; /* how many more connections would be opened now */
	uint32_t asked_for; /* how many of short_count no policy lends */
	uint64_t taken; /* places that were ever taken */
	bool is_in_use;
};
/* Sets the keeper of b. r: the policy worker of the caller's thread. keeper: the policy worker that is told of each
 * change of the count; it has no pools. keeper is NULL when the keeper has gone; is_binding then keeps pools that
 * have not been told yet from opening any. is_binding: false if the keeper only counts. */
void policy_budget_keep(struct policy_budget *b, struct policy_worker *r, struct policy_worker *keeper, bool is_binding,
			uint64_t now_us);
struct budget_news {
	uint32_t share; /* UINT32_MAX if not limited */
	bool is_full; /* no more places will be granted for a while */
	uint32_t checks; /* how often places were asked for; places of connections that went after that may be free */
	bool is_pressed; /* other processes wait for places, and want to know if this one is in use */
	/* For the error of clients that get none. limit: 0 while the keeper can't ask for places. listed:
	 * connections that PostgreSQL lists. others: listed ones that belong to no process of the budget. reserved:
	 * places that no process is granted. */
	uint32_t limit, listed, others, reserved;
};
/* more: how many places were granted now. */
void policy_budget_grant(struct policy_budget *b, struct policy_worker *r, uint32_t more,
			 const struct budget_news *news, uint64_t now_us);
void policy_budget_ungrant(struct policy_budget *b, struct policy_worker *r, uint32_t kept); /* leaves `kept` at most */
/* Closes all connections whose login has not ended. A connection that no policy lends is closed when its login ends. */
void policy_budget_abandon(struct policy_budget *b, struct policy_worker *r, uint64_t now_us);
struct budget_count policy_budget_count(struct policy_budget *b, struct policy_worker *r, uint64_t now_us);

/* Sets why, with detail and hint: there is no place for m, which has joined a keeper's budget. Returns how many
 * connections have its places; 0 if none can be opened, even if places become free. */
uint32_t policy_budget_say(const struct budget_member *m, struct fail *why);

/* m's connection has logged in; policy_places_give() must follow when it ends. Returns false if the connection was
 * abandoned: the caller closes it. */
bool policy_budget_settled(struct budget_member *m);
