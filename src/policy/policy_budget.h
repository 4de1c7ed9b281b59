/*
 * src/policy/policy_budget.h - a cap over several pools, and a pool's side of it.
 *
 * An example, with max_server_connections = 10: pool a has all ten connections, two of them idle, when at 0 ms clients
 * come to pool b, which has none. Two pools are in use, so the share of each is five. Pool a gives up an idle
 * connection; as soon as that is gone, at 1 ms, pool b is woken and opens one in its place. When a has no idle one
 * left, it closes what its clients return, until each of the two has five.
 *
 * Each pool embeds one budget_member for each cap. A member is hungry while only the cap keeps it from opening
 * connections; hungry members are on a list. Whatever changes what the cap allows (a connection is gone or idle, a pool
 * needs no more) ends in budget_review. That makes pools give up idle connections for those below their share, and
 * wakes the member with the best claim to a free place: the fewest connections for its weight first, then the longest
 * wait. The member opens from its own policy_tick; its budget_report then wakes the next. Pools of other policy workers
 * are asked and woken by orders (policy_commons.h); a connection that was asked for counts as leaving at once, so that
 * no second one is.
 *
 * The shards of one pool (policy_shared.h) are members of one group: a claim, a share and whether it is in use are the
 * group's; who is hungry, and who has idle ones to give up, is a member. A connection that is transferred from one
 * shard to another keeps its place, which is the group's meanwhile. A pool on one worker is a group by itself.
 *
 * Always: with a place free and somebody hungry, the one with the best claim has been woken and not ticked since; a
 *         group has as many places as its members together, and those that are transferred.
 */
#pragma once

#include "policy/policy_commons.h"

/* --- A cap over several pools: max_server_connections, those of a user and of a database, and a host's budget. --- */
enum policy_cap { CAP_USER, CAP_DATABASE, CAP_ALL, CAP_HOST, POLICY_CAPS };
/* policy.c. CAP_ALL is policy_new's; the others are none at first. b may be NULL. Whatever connections p has. */
void policy_set_cap(struct policy *p, enum policy_cap which, struct policy_budget *b, uint64_t now_us);
/* Closes the coldest idle connection, for a pool that shares a cap. Returns false if none is idle. */
bool policy_give_up_idle(struct policy *p, uint64_t now_us);
/*
 * A cap over several pools is max-min fair. A pool is in use if it has lent connections or waiters, or had some within
 * the last 100 ms. The fair share of such a pool is its share_min, plus a part of what the pools in use leave beyond
 * theirs, by its share_weight; at least 1. The share of other pools is 0. A free place goes to a pool below its
 * share_min, else to the one with the fewest connections for its weight, then to the longest waiter, by ops->wake. When
 * the cap is reached and a pool below its share waits, the pool with the most idle connections above its own share
 * gives up its coldest one; if there is none, a pool above its share closes what is returned to it (RR_EVICTED), even
 * if it has waiters itself. With more pools in use than places, a connection that is 100 ms old, and is not of the
 * pool's share_min, gives its place to a pool without any, or below its share_min, where somebody has waited longer. A
 * place is always left for pools without a share_min. min_idle takes only places that nobody waits for.
 */
struct policy_budget *policy_budget_new(uint32_t limit); /* 0: no limit. Returns NULL without memory */
void policy_budget_free(struct policy_budget *b); /* after all its pools */
/* r: the policy worker of the caller's thread. */
void policy_budget_set_limit(struct policy_budget *b, struct policy_worker *r, uint32_t limit, uint64_t now_us);
uint32_t policy_budget_used(const struct policy_budget *b); /* for tests */

/* Opening takes milliseconds, so places do not change hands more often than this: a pool stays in use for so long after
 * its last connection was returned; and where there are fewer places than pools, each place is kept for so long. */
#define BUDGET_TURN_US (100 * 1000)

/* How a pool uses its connections. Nearly each loan changes it: budgets are told only while tight (is_watched). */
struct budget_view {
	uint32_t idle;
	bool has_demand; /* connections are lent or borrowers wait */
	uint64_t since_us; /* of the first in the queue; UINT64_MAX: nobody waits */
	uint64_t rest_end_us, turn_end_us; /* for the connection that was last returned */
};

/* All fields are guarded by the lock of the commons. */
struct budget_group {
	struct policy_budget *budget; /* its members'; NULL: it has none */
	uint32_t member_count;
	uint32_t used, leaving; /* of all members; used: and those that are transferred */
	uint32_t in_transfer; /* from one shard to another, whether there is a cap or not */
	uint32_t short_count; /* of all members */
	uint32_t weight, reserved; /* its claim: share_weight, at least 1, and share_min */
	uint32_t demanding; /* members with demand */
	bool is_resting; /* it was in use a moment ago */
	uint64_t rest_end_us, turn_end_us; /* for the connection that was last returned */
	uint64_t walk; /* the last walk over the hungry that has met it ... */
	uint32_t counted; /* ... and counted so many places for it */
	TAILQ_ENTRY(budget_group) rest_link;
};

/* Under the lock of the commons. Its own thread alone changes budget, short_count and is_watched, and may read them
 * without the lock. */
struct budget_member {
	struct policy_budget *budget; /* NULL: there is no cap, and the fields below are unused */
	struct budget_group *group, own; /* own: of a pool without shards */
	struct policy_worker *worker;
	struct policy_orders *orders; /* its pool's; NULL: it has no pool */
	uint32_t used, leaving; /* connections in any state, and how many of them are CLOSING or asked for */
	uint32_t asked; /* idle ones that the pool was asked to close, and has not closed yet */
	uint32_t short_count; /* how many it would open now; it is hungry if this is above 0 */
	uint32_t opening; /* of used, under a CAP_HOST: others don't hear of logins */
	bool is_understocked; /* it would open one for min_idle, if its keeper had a place for that */
	uint32_t weight, reserved; /* its claim: share_weight, at least 1, and share_min */
	struct budget_view view; /* as it was published */
	uint64_t armed_us; /* a pool of another policy worker, for all that are hungry: when its tick is due for that */
	uint32_t calm_count; /* how often it was published since the cap was tight last */
	bool is_watched; /* each change of the view is published */
	bool is_giving_up; /* the next one that begins to leave is one that was asked for */
	TAILQ_ENTRY(budget_member) link, hungry_link, holding_link;
};

/* --- Places for connections that no policy lends; for others than src/policy/. They take the lock. --- */

void policy_places_join(struct policy_budget *b, struct budget_member *m, struct policy_worker *r);
void policy_places_leave(struct budget_member *m); /* none may be taken */
/* Takes one place at once, if need be from the pool of this policy worker with the most idle connections. Returns false
 * if there is none; then a pool of another policy worker was asked for one, if it has any idle. Where a keeper grants
 * places (policy_keeper.h), it is asked for one instead, which is kept for two seconds for the next who tries. */
bool policy_places_take(struct budget_member *m, uint64_t now_us);
void policy_places_give(struct budget_member *m, uint64_t now_us);
/* Returns true if all places are taken while some pool would open a connection. */
bool policy_places_are_wanted(const struct budget_member *m);

/* --- A member's side: for policy_caps.c, which holds the lock, but for budget_review() and budget_report(). --- */

/* g: of its pool's shards; NULL: it has none. counts: its connections by state. The member has its claim, and all else
 * zeroed. */
void budget_join(struct policy_budget *b, struct budget_member *m, struct budget_group *g,
		 const uint32_t counts[static PC_COUNT]);
/* The connections of m don't count any more. If it has any, others may open some: policy_worker_act() must follow. */
void budget_leave(struct budget_member *m);
/* weight: 0 counts as 1. Also before budget_join. The caller reviews. */
void budget_set_claim(struct budget_member *m, uint32_t weight, uint32_t reserved);
void budget_publish(struct budget_member *m, const struct budget_view *v);
/* After what may make it tight: all publish from now on. r: this thread's policy worker; policy_worker_act() must
 * follow. */
void budget_watch(struct policy_budget *b, const struct policy_worker *r);

/* All pools in which somebody waits are to look again; policy_worker_act() must follow. */
void budget_tell_news(struct policy_budget *b);

void budget_take(struct budget_member *m); /* a place: the connection will be opened */
/* A connection that has a place is gone (PC_NONE), begins to leave (PC_CLOSING), or has logged in. */
void budget_moved(struct budget_member *m, enum policy_conn_state from, enum policy_conn_state to);
/* A connection of m's (m->budget may be NULL) goes to another shard, or has come from there. */
void budget_transferred(struct budget_member *m, struct budget_group *g, bool has_left);
void budget_lost(struct budget_group *g); /* one of g's on its way is lost; policy_worker_act() must follow */
/* Call it at the end of each change, with the number of connections that only the cap prevents. Then reviews. */
void budget_report(struct budget_member *m, uint32_t short_count, uint64_t now_us);

/* Returns true if it may open one for a waiter: there is a free place, and nobody has a better claim to it; or one for
 * min_idle, which it never may at the cost of somebody who waits. */
bool budget_allows(struct budget_member *m, bool is_for_waiter, uint64_t now_us);
bool budget_lacks(const struct budget_member *m); /* m's group lacks more than it will give back; no cap: false */
/* Returns true if a connection that is returned must be closed for another pool: it counts as asked for. */
bool budget_asks_back(struct budget_member *m, uint64_t opened_us, uint64_t now_us);
void budget_withdraw(struct budget_member *m); /* it has none idle any more to close */
/* Returns true if all places are taken while some pool would open a connection. */
bool budget_is_wanted(const struct policy_budget *b);
void budget_review(struct budget_member *m, uint64_t now_us);
/* Returns when a review is due for m even if nothing happens; UINT64_MAX: never. */
uint64_t budget_due(const struct budget_member *m, uint64_t now_us);
