/*
 * src/policy/policy_budget.h - a cap over several pools, and a pool's side of it.
 *
 * An example, with max_server_connections = 10: pool a has all ten connections, two of them idle, when at 0 ms clients
 * come to pool b, which has no connection. Two pools are in use, so the share of each is five. Pool a gives up an idle
 * connection; as soon as that is gone, at 1 ms, pool b is woken and opens a connection in its place. When pool a has no
 * idle connection left, it closes connections that its clients return, until each of the two pools has five.
 *
 * Each pool embeds one budget_member for each cap. A member is hungry while only the cap keeps it from opening
 * connections; hungry members are on a list. Each change that may let a pool open a connection (a connection is gone or
 * idle, a pool needs no more) ends in budget_review. The review makes pools give up idle connections for pools below
 * their share, and wakes the member with the best claim to a free place: the fewest connections for its weight first,
 * then the longest wait. The member opens from its own policy_tick; its budget_report then wakes the next member. Pools
 * of other policy workers are asked and woken by orders (policy_commons.h); a connection that was asked for counts as
 * leaving at once, so it is asked for only once.
 *
 * The shards of one pool (policy_shared.h) are members of one group. The claim, the share and whether the pool is in
 * use belong to the group; but being hungry, and having idle connections to give up, is each member's own. A connection
 * that is transferred from one shard to another keeps its place, which counts for the group alone until the connection
 * arrives. A pool on one worker is a group by itself.
 *
 * Always: with a free place and hungry members, the member with the best claim has been woken and has not ticked since;
 *         a group has as many places as its members together, plus those of connections in transfer.
 */
#pragma once

#include "policy/policy_commons.h"

/* --- A cap over several pools: max_server_connections, a user's, a database's, and a host's budget. --- */
enum policy_cap { CAP_USER, CAP_DATABASE, CAP_ALL, CAP_HOST, POLICY_CAPS };
/* policy.c: puts p, with any number of connections, under the cap b, or under none if b is NULL. policy_new() sets
 * CAP_ALL; p is under no other cap at first. */
void policy_set_cap(struct policy *p, enum policy_cap which, struct policy_budget *b, uint64_t now_us);
/* Closes the coldest idle connection, to free a place under a cap for another pool. Returns false if none is idle. */
bool policy_give_up_idle(struct policy *p, uint64_t now_us);
/*
 * A cap over several pools is max-min fair. A pool is in use if it has lent connections or waiters (demand), or had
 * demand within the last 100 ms (its idle grace). The fair share of such a pool is its share_min, plus a part, by its
 * share_weight, of the places that are left when each pool in use has its share_min; at least 1. The share of other
 * pools is 0. A free place goes to a pool below its share_min, else to the pool with the fewest connections for its
 * weight; among equals, to the longest waiter. That pool is woken by ops->wake. When the cap is reached and a pool
 * below its share waits, the pool with the most idle connections above its own share gives up its coldest one; if no
 * pool has such a connection, a pool above its share closes connections that are returned to it (RR_EVICTED), even if
 * it has waiters itself. With more pools in use than places, pools take turns: a connection that is 100 ms old, and is
 * not among its pool's share_min, is closed for a pool that has no place, or is below its share_min, and in which a
 * client has waited longer. A place is always left for pools without a share_min. min_idle takes only places that no
 * client waits for.
 */
struct policy_budget *policy_budget_new(uint32_t limit); /* limit 0: no limit. Returns NULL without memory */
void policy_budget_free(struct policy_budget *b); /* after all its pools are freed */
/* Sets the limit; 0 for none. r: the policy worker of the caller's thread. */
void policy_budget_set_limit(struct policy_budget *b, struct policy_worker *r, uint32_t limit, uint64_t now_us);
uint32_t policy_budget_used(const struct policy_budget *b); /* for tests */

/* Opening takes milliseconds, so places change hands no more often than this. A pool stays in use for this long after
 * its last return; with fewer places than pools, a pool keeps each place for this long. */
#define BUDGET_TURN_US (100 * 1000)

/* How a pool uses its connections. Nearly each loan changes this, so a budget is told of it only while the budget is
 * tight (is_watched). */
struct budget_view {
	uint32_t idle;
	bool has_demand; /* true if connections are lent or borrowers wait */
	uint64_t since_us; /* since_us of the queue's first waiter; UINT64_MAX if the queue is empty */
	uint64_t idle_grace_end_us; /* BUDGET_TURN_US after the last return of a connection */
	uint64_t turn_end_us; /* BUDGET_TURN_US after the connection that was returned last was opened */
};

/* All fields are guarded by the lock of the commons. */
struct budget_group {
	struct policy_budget *budget; /* the budget of its members; NULL if it has none */
	uint32_t member_count;
	uint32_t used, leaving; /* sums over all members; used includes connections in transfer */
	uint32_t in_transfer; /* connections in transfer from one shard to another, also without a cap */
	uint32_t short_count; /* the sum over all members */
	uint32_t weight, reserved; /* its claim: share_weight, at least 1, and share_min */
	uint32_t demanding; /* members with demand */
	bool is_in_idle_grace; /* the group has no demand, and had demand within the last BUDGET_TURN_US */
	uint64_t idle_grace_end_us, turn_end_us; /* see struct budget_view; of the last return in the group */
	uint64_t walk; /* the number of the last walk over the hungry members that reached this group */
	uint32_t counted; /* places that this walk has counted for the group */
	TAILQ_ENTRY(budget_group) idle_grace_link;
};

/* Guarded by the lock of the commons. Only the member's own thread changes budget, short_count and is_watched, so
 * that thread may read them without the lock. */
struct budget_member {
	struct policy_budget *budget; /* NULL if there is no cap; then the fields below are unused */
	struct budget_group *group; /* the group of its pool's shards, or `own` */
	struct budget_group own; /* the group of a pool without shards */
	struct policy_worker *worker;
	struct policy_orders *orders; /* its pool's orders; NULL if it has no pool */
	uint32_t used, leaving; /* connections in any state; how many of them are CLOSING or were asked for */
	uint32_t asked; /* idle connections that the pool was asked to give up, and has not begun to close */
	uint32_t short_count; /* how many connections it would open now; the member is hungry if above 0 */
	uint32_t opening; /* how many of used are logging in; counted under a CAP_HOST only */
	bool is_understocked; /* the member would open a connection for min_idle, if its keeper had a place for it */
	uint32_t weight, reserved; /* the member's claim: share_weight, at least 1, and share_min */
	struct budget_view view; /* the view that was published last */
	/* when its pool's tick is due on behalf of all hungry members, if another policy worker has ordered it */
	uint64_t armed_us;
	uint32_t published_since_tight; /* how often the member has published since the cap was last tight */
	bool is_watched; /* each change of the view is published */
	bool is_giving_up; /* the next connection of the member that begins to leave counts as one of `asked` */
	TAILQ_ENTRY(budget_member) link, hungry_link, holding_link;
};

/* --- Places for connections that no policy lends, used outside src/policy/. The functions take the lock. --- */

void policy_places_join(struct policy_budget *b, struct budget_member *m, struct policy_worker *r);
void policy_places_leave(struct budget_member *m); /* m must have no place */
/* Takes one place at once. If none is free, the pool of this policy worker with the most idle connections gives one up.
 * Returns false if that does not make a place; then a pool of another policy worker was asked for an idle connection,
 * if such a pool has any. If a keeper grants places (policy_keeper.h), the keeper is asked for a place instead, which
 * is held for two seconds for the next caller. */
bool policy_places_take(struct budget_member *m, uint64_t now_us);
void policy_places_give(struct budget_member *m, uint64_t now_us);
/* Returns true if all places are taken while some pool would open a connection. */
bool policy_places_is_contended(const struct budget_member *m);

/* --- A member's side, for policy_caps.c, which holds the lock, except for budget_review() and budget_report(). --- */

/* Puts m under the cap b. g: the group of its pool's shards; NULL if the pool has no shards. counts: the pool's
 * connections by state. The caller has set the claim of m, and zeroed its other fields. */
void budget_join(struct policy_budget *b, struct budget_member *m, struct budget_group *g,
		 const uint32_t counts[static PC_COUNT]);
/* The connections of m no longer count, so other pools may be woken: policy_worker_unlock_and_act() must follow. */
void budget_leave(struct budget_member *m);
/* Sets the claim of m; a weight of 0 counts as 1. Also allowed before budget_join. The caller then calls
 * budget_review(). */
void budget_set_claim(struct budget_member *m, uint32_t weight, uint32_t reserved);
void budget_publish(struct budget_member *m, const struct budget_view *v);
/* Call this after a change that may make the budget tight: if it has become tight, all members publish from now on. r:
 * this thread's policy worker; policy_worker_unlock_and_act() must follow. */
void budget_update_watched(struct policy_budget *b, const struct policy_worker *r);

/* Orders all pools with waiters to look again; policy_worker_unlock_and_act() must follow. */
void budget_tell_news(struct policy_budget *b);

void budget_take(struct budget_member *m); /* takes a place: the connection will be opened */
/* A connection that has a place has moved: it is gone (`to` is PC_NONE), begins to leave (PC_CLOSING), or has logged
 * in. */
void budget_moved(struct budget_member *m, enum policy_conn_state from, enum policy_conn_state to);
/* A connection of m's (m->budget may be NULL) has left for another shard of g, or has come from one. */
void budget_transferred(struct budget_member *m, struct budget_group *g, bool has_left);
/* A connection of g that was in transfer is lost. policy_worker_unlock_and_act() must follow. */
void budget_lost(struct budget_group *g);
/* Call this at the end of each change; it calls budget_review(). short_count: how many connections only the cap
 * prevents. */
void budget_report(struct budget_member *m, uint32_t short_count, uint64_t now_us);

/* Returns true if m may open a connection: a place is free, and no other pool has a better claim to it. Without
 * is_for_waiter (for min_idle), returns true only if no member is hungry. */
bool budget_try(struct budget_member *m, bool is_for_waiter, uint64_t now_us);
/* Returns true if m's group lacks more places than its leaving connections will free; false without a cap. */
bool budget_lacks(const struct budget_member *m);
/* Returns true if m's group, which is in use, has a place beyond its share, which other groups may get. */
bool budget_would_give(const struct budget_member *m);
/* Returns true if the connection that is being returned to m must be closed for another pool; the connection then
 * counts as asked for. */
bool budget_ask_back(struct budget_member *m, uint64_t opened_us, uint64_t now_us);
void budget_withdraw(struct budget_member *m); /* m has no idle connection left to close, so `asked` becomes 0 */
/* Returns true if all places are taken while some pool would open a connection. */
bool budget_is_contended(const struct policy_budget *b);
void budget_review(struct budget_member *m, uint64_t now_us);
/* Returns when a review is due for m even if nothing happens; UINT64_MAX if never. */
uint64_t budget_due(const struct budget_member *m, uint64_t now_us);
