/*
 * src/policy/policy_budget.h - a cap over several pools (struct policy_budget), and one pool's part in the cap (struct
 * budget_member). A *place* is the right to have one connection under the cap.
 *
 * An example, with max_server_connections = 10: pool a has all ten connections, two of which are idle. At 0 ms clients
 * come to pool b, which has no connection. Two pools are in use, so the share of each is five. Pool a gives up an idle
 * connection; as soon as that connection is gone, at 1 ms, pool b is woken and opens a connection. When pool a has no
 * idle connection left, it closes connections that its clients return, until each of the two pools has five.
 *
 * Each pool embeds one budget_member for each cap. A member is *hungry* while only the cap keeps it from opening
 * connections; hungry members are on a list. Each change that may let a pool open a connection (a connection is gone or
 * idle, or a pool needs no more connections) ends in budget_review. The review makes pools give up idle connections for
 * pools below their share, and wakes the member with the best claim to a free place (defined at policy_budget_new).
 * That member opens a connection in its own policy_tick, and then calls budget_report, which wakes the next member.
 * Pools of other policy workers are asked and woken by orders (policy_commons.h). When a pool is asked for a
 * connection, the connection counts as leaving at once, so no other pool is asked for the same place.
 *
 * The shards of one pool (policy_shared.h) are members of one group. The group has one claim and one share, and is in
 * use as a whole; but each member is hungry by itself, and gives up idle connections of its own. A connection that is
 * transferred from one shard to another keeps its place. Until the connection arrives, the place counts for the group
 * and for none of its members. A pool on one worker is a group by itself.
 *
 * Always: while a place is free and members are hungry, policy_tick is due for the member with the best claim; a group
 *         has as many places as its members together, plus the places of connections in transfer.
 */
#pragma once

#include "policy/policy_commons.h"

/* --- A cap over several pools: all pools (max_server_connections), or all of a user, a database or a host. --- */
enum policy_cap { CAP_USER, CAP_DATABASE, CAP_ALL, CAP_HOST, POLICY_CAPS };
/* policy.c: puts p, with any number of connections, under the cap b of the kind `which`, or under no cap of that kind
 * if b is NULL. policy_new() sets CAP_ALL; p is under no other cap at first. */
void policy_set_cap(struct policy *p, enum policy_cap which, struct policy_budget *b, uint64_t now_us);
/* Closes the connection that has been idle longest, to free a place for another pool. Returns false if none is idle. */
bool policy_give_up_idle(struct policy *p, uint64_t now_us);
/*
 * A cap over several pools is max-min fair. A pool has *demand* if it has lent connections or waiters. A pool is in use
 * if it has demand, or had demand within the last 100 ms (its *idle grace*). The fair share of a pool in use is its
 * share_min, plus its part of the places that are left when all pools in use have their share_min; these places are
 * divided in proportion to share_weight. A fair share is at least 1; the share of a pool that is not in use is 0. A
 * free place goes to a pool below its share_min, else to the pool with the fewest connections for its weight; among
 * equals, to the pool whose client has waited longest. That pool is woken by ops->wake. When the cap is reached and a
 * pool below its share waits, the pool with the most idle connections above its own share gives up its longest idle
 * connection; if no pool has such a connection, a pool above its share closes connections that are returned to it
 * (RR_EVICTED), even if it has waiters itself. With more pools in use than places, pools take turns: a returned
 * connection that is 100 ms old is closed for a hungry pool below its share_min, or for one that has no place, if its
 * client has waited longer than all clients of the connection's pool. The connection's pool keeps its share_min. A
 * place is always left for pools without a share_min. min_idle takes only places that no client waits for.
 */
struct policy_budget *policy_budget_new(uint32_t limit); /* limit: 0 for none. Returns NULL if out of memory */
void policy_budget_free(struct policy_budget *b); /* after all its pools are freed */
/* Sets the limit; 0 for no limit. worker: the policy worker of the caller's thread. */
void policy_budget_set_limit(struct policy_budget *b, struct policy_worker *worker, uint32_t limit, uint64_t now_us);
uint32_t policy_budget_used(const struct policy_budget *b); /* for tests */

/* How long a pool stays in use after its last return and, with fewer places than pools, how long it keeps each place.
 * Opening a connection takes milliseconds, so places must not change hands more often. */
#define BUDGET_TURN_US (100 * 1000)

/* How a pool uses its connections. Nearly every loan changes these values, so members publish views only while the
 * budget is tight (members are hungry, the limit is exceeded, or other processes wait) and a little longer
 * (is_watched). */
struct budget_view {
	uint32_t idle;
	bool has_demand; /* true if connections are lent or borrowers wait */
	uint64_t since_us; /* since_us of the queue's first waiter; UINT64_MAX if the queue is empty */
	uint64_t idle_grace_end_us; /* BUDGET_TURN_US after the last return of a connection */
	uint64_t turn_end_us; /* when the connection that was returned last was opened, plus BUDGET_TURN_US */
};

/* The lock of the commons guards all fields. */
struct budget_group {
	struct policy_budget *budget; /* the budget of its members; NULL if it has none */
	uint32_t member_count;
	uint32_t used, leaving; /* sums over all members; used includes connections in transfer */
	uint32_t in_transfer; /* connections in transfer from one shard to another; counted even if budget is NULL */
	uint32_t short_count; /* the sum of the members' short_count */
	uint32_t weight, reserved; /* the group's claim: share_weight (at least 1) and share_min */
	uint32_t demanding; /* members with demand */
	bool is_in_idle_grace; /* true if the group has no demand, but had demand within the last BUDGET_TURN_US */
	uint64_t idle_grace_end_us, turn_end_us; /* as in struct budget_view, for the last return in the group */
	uint64_t last_pass; /* the number of the last pass over the hungry members that reached this group */
	uint32_t counted; /* places that this last pass has counted for the group */
	TAILQ_ENTRY(budget_group) idle_grace_link;
};

/* The lock of the commons guards all fields. Only the member's own thread changes budget, short_count and is_watched,
 * and this thread may read them without the lock. */
struct budget_member {
	struct policy_budget *budget; /* NULL if there is no cap; then the fields below are unused */
	struct budget_group *group; /* the group of its pool's shards, or `own` */
	struct budget_group own; /* the group of a pool without shards */
	struct policy_worker *worker;
	struct policy_orders *orders; /* its pool's orders; NULL if it has no pool */
	uint32_t used, leaving; /* used: connections in any state; leaving: those that are CLOSING or were asked for */
	uint32_t asked; /* how many connections the pool was asked to give up, and has not yet begun to close */
	uint32_t short_count; /* how many connections the member would open now; it is hungry if this is above 0 */
	uint32_t opening; /* how many of used are logging in; valid only under a CAP_HOST */
	bool is_understocked; /* true if the member would open a connection for min_idle if its keeper had a place */
	uint32_t weight, reserved; /* the member's claim: share_weight (at least 1) and share_min */
	struct budget_view view; /* the view that was published last */
	/* the time for which another policy worker has ordered (ORDER_ARM) a review here, for all hungry members */
	uint64_t armed_us;
	uint32_t published_since_tight; /* how often the member has published its view since the cap was last tight */
	bool is_watched; /* true while each change of the view must be published */
	bool is_giving_up; /* true if the next of the member's connections to become CLOSING is one of `asked` */
	TAILQ_ENTRY(budget_member) link, hungry_link, holding_link;
};

/* --- Places for connections that no policy lends, used outside src/policy/. The functions take the lock. --- */

void policy_places_join(struct policy_budget *b, struct budget_member *m, struct policy_worker *worker);
void policy_places_leave(struct budget_member *m); /* m must have no place */
/* Takes one place and returns true if a place is free, or becomes free now because a pool of this policy worker gives
 * up an idle connection. Otherwise asks a pool of another policy worker for an idle connection, and returns false: call
 * again later. If a keeper grants places (policy_keeper.h), only the keeper is asked, and the place that it grants is
 * held for two seconds for the next caller. */
bool policy_places_take(struct budget_member *m, uint64_t now_us);
void policy_places_give_back(struct budget_member *m, uint64_t now_us); /* gives one place back */
/* Returns true if all places are taken while some pool would open a connection. */
bool policy_places_is_contended(const struct budget_member *m);

/* --- For policy_caps.c: a member's side. Hold the lock, except for budget_review() and budget_report(). --- */

/* Puts m under the cap b. g: the group of its pool's shards; NULL if the pool has no shards. counts: the pool's
 * connections by state. The caller has set claim, orders and worker of m, and zeroed all else. */
void budget_join(struct policy_budget *b, struct budget_member *m, struct budget_group *g,
		 const uint32_t counts[static PC_COUNT]);
/* Takes m out of its cap. The connections of m no longer count, so other pools may be woken:
 * policy_worker_unlock_and_act() must follow. */
void budget_leave(struct budget_member *m);
/* Sets the claim of m; a weight of 0 counts as 1. Also allowed before budget_join; else budget_review() must follow. */
void budget_set_claim(struct budget_member *m, uint32_t weight, uint32_t reserved);
void budget_publish(struct budget_member *m, const struct budget_view *v); /* makes *v the view of m */
/* Call this after a change that may make the budget tight. If the budget is tight now, all members publish their views
 * from now on. worker: this thread's policy worker; policy_worker_unlock_and_act() must follow. */
void budget_update_watched(struct policy_budget *b, const struct policy_worker *worker);

/* Orders all pools with waiters to look again; policy_worker_unlock_and_act() must follow. */
void budget_order_look_again(struct policy_budget *b);

void budget_take_place(struct budget_member *m); /* takes a place for a connection that is about to be opened */
/* Call when a connection that has a place is gone (`to` is PC_NONE), begins to leave (PC_CLOSING), or has logged in. */
void budget_note_moved(struct budget_member *m, enum policy_conn_state from, enum policy_conn_state to);
/* Call when a connection has moved from m to another shard of g (has_left), or from there to m. m->budget may be
 * NULL. */
void budget_note_transferred(struct budget_member *m, struct budget_group *g, bool has_left);
/* Call when a connection of g that was in transfer is lost. policy_worker_unlock_and_act() must follow. */
void budget_note_transfer_lost(struct budget_group *g);
/* Call this at the end of each change; ends with a budget_review(). short_count: how many connections m would open if
 * the cap allowed that. */
void budget_report(struct budget_member *m, uint32_t short_count, uint64_t now_us);

/* Returns true if m may open a connection: a place is free, and no other pool has a better claim to that place. If
 * !is_for_waiter (the connection is for min_idle), returns true only if no member is hungry. */
bool budget_check_place(struct budget_member *m, bool is_for_waiter, uint64_t now_us);
/* Returns true if m's group lacks more places than its leaving connections will free; false if m has no cap. */
bool budget_is_short(const struct budget_member *m);
/* Returns true if m's group has more places than its share (as if in use) or, if pools take turns, its share_min. */
bool budget_has_surplus(const struct budget_member *m);
/* Returns true if the connection that is being returned to m must be closed for another pool; the connection then
 * counts in m->asked. */
bool budget_claim_returned(struct budget_member *m, uint64_t opened_us, uint64_t now_us);
/* Sets m->asked to 0. Call when m has no idle connection left to close. */
void budget_clear_asked(struct budget_member *m);
/* Returns true if all places are taken while some pool would open a connection. */
bool budget_is_contended(const struct policy_budget *b);
void budget_review(struct budget_member *m, uint64_t now_us); /* does the review that is described at the top */
/* Returns when a review is due for m even if nothing happens before; UINT64_MAX if never. */
uint64_t budget_due_us(const struct budget_member *m, uint64_t now_us);
