/*
 * src/policy/policy_keeper.h - the functions for the keeper (dedicated/fleet.h) of a budget that several processes
 * share. The keeper gets places for this process by locks in PostgreSQL; such places are *granted*. In this process,
 * the budget is a cap over the pools of some hosts. Only granted places count under this cap: when a connection is
 * gone, its place may go to any process, and must be granted anew. The limit is the number of used and granted places,
 * but at most the share of this process; connections above the limit are given up. As long as more places may be
 * granted, no pool gives up a place for another pool. The functions take the lock.
 */
#pragma once

#include "policy/policy_budget.h"

struct budget_counts {
	uint32_t used, opening; /* used: connections in any state; opening: those whose login has not ended */
	uint32_t granted; /* granted places that are not taken yet */
	uint32_t short_count; /* how many more places the pools, and policy_places_take(), could use now */
	uint32_t asked_for; /* the part of short_count for which policy_places_take() still waits */
	uint64_t taken; /* how often a place was taken so far */
	bool is_in_use; /* true if a pool under the budget is in use (policy_budget.h) */
};
/* Sets the keeper of b. worker: the policy worker of the caller's thread. keeper: a policy worker without pools, whose
 * tell() is called after each change of the counts; NULL when the keeper has gone. is_binding: true if the keeper's
 * grants are the limit (then, after the keeper has gone, pools that still use the budget can open no connection); false
 * if the keeper only counts. */
void policy_budget_set_keeper(struct policy_budget *b, struct policy_worker *worker, struct policy_worker *keeper,
			      bool is_binding, uint64_t now_us);
struct budget_news {
	uint32_t share; /* the most places that this process may have; UINT32_MAX if not limited */
	bool is_full; /* true if no more places will be granted for a while */
	/* How often the keeper has asked for places. Places of connections that have gone since the last question may
	 * be free again when this number grows. */
	uint32_t questions;
	bool is_pressed; /* true if other processes wait for places, so the keeper must know if pools here are in use */
	/* The next fields are for the error of clients that get no connection. */
	uint32_t limit; /* the budget; 0 while the keeper can't ask for places */
	uint32_t listed; /* connections that PostgreSQL lists */
	uint32_t others; /* listed connections that belong to no process of the budget */
	uint32_t reserved; /* places that are granted to no process */
};
/* Call when the keeper was granted `more` places. worker: the caller's policy worker, as in all functions here. */
void policy_budget_grant(struct policy_budget *b, struct policy_worker *worker, uint32_t more,
			 const struct budget_news *news, uint64_t now_us);
/* Takes back all granted places that are not used, except `kept` of them. */
void policy_budget_ungrant(struct policy_budget *b, struct policy_worker *worker, uint32_t kept);
/* Closes all connections whose login has not ended; connections that no policy lends are closed after their logins. */
void policy_budget_abandon_logins(struct policy_budget *b, struct policy_worker *worker, uint64_t now_us);
/* Returns the present counts of b. */
struct budget_counts policy_budget_expire_and_count(struct policy_budget *b, struct policy_worker *worker,
						    uint64_t now_us);

/* Sets *why, with detail and hint, to the reason why there is no place for m, a member of a keeper's budget. Returns
 * how many connections PostgreSQL lists, at least 1; or 0 if no connection can be opened even if places become free. */
uint32_t policy_budget_explain(const struct budget_member *m, struct fail *why);

/* Call when m's connection, which no policy lends, has logged in. Returns false if policy_budget_abandon_logins() was
 * called during the login; then the caller must close the connection. Call policy_places_give_back() when the
 * connection ends.
 */
bool policy_budget_end_login(struct budget_member *m);
