/*
 * src/pool/pool_budget.h - between a pool and the cap it shares with others; only src/pool/pool*.c includes it.
 *
 * Each pool embeds one budget_member. A member is hungry while it would open connections now, were it not for the cap;
 * hungry members are on a list. Whatever changes what the cap allows (a connection gone, gone idle, a pool that no
 * longer wants) ends in budget_review, which has idle connections given up for those below their share and wakes the
 * one with the best claim to a free place: the fewest connections first, then the longest wait. It opens from its own
 * pool_tick; when it is served, its own budget_report wakes the next.
 *
 * Always: with a place free and somebody hungry, the one with the best claim has been woken and not ticked since.
 */
#ifndef PGWEIR_POOL_POOL_BUDGET_H
#define PGWEIR_POOL_POOL_BUDGET_H

#include "pool/pool.h"

/*
 * Opening takes milliseconds, so places do not change hands more often than this: a pool is still in use for so long
 * after its last connection was returned; and where there are fewer places than pools, each place is held for so long.
 */
#define BUDGET_TURN_US (100 * 1000)

struct budget_member {
	struct pool_budget *budget; /* NULL: no cap, and nothing below is used */
	struct pool *pool;
	uint32_t used, idle, leaving; /* connections in any state; of these IDLE; of these CLOSING */
	uint32_t short_count; /* how many it would open now; hungry when above 0 */
	bool is_wanting; /* somebody uses it: connections are lent or borrowers wait */
	bool is_resting; /* somebody did a moment ago */
	uint64_t rest_end_us, turn_end_us; /* of the connection that was last returned */
	TAILQ_ENTRY(budget_member) link, hungry_link, rest_link;
};

void budget_join(struct pool_budget *b, struct budget_member *m, struct pool *p); /* b may be NULL */
void budget_leave(struct budget_member *m); /* no connection may be left */

/* A connection went from one state to another (PC_NONE: it is new, or gone). */
void budget_moved(struct budget_member *m, enum pool_conn_state from, enum pool_conn_state to);
void budget_returned(struct budget_member *m, uint64_t opened_us, uint64_t now_us);
void budget_set_wanting(struct budget_member *m, bool is_wanting);
/* The pool is settled; this is what it is short of because of the cap. Then reviews. */
void budget_report(struct budget_member *m, uint32_t short_count, uint64_t now_us);

/* May it open one for a waiter? Not while places are free only for those with a better claim. */
bool budget_allows(const struct budget_member *m);
/* May it open one in stock? Never at the cost of somebody who waits. */
bool budget_has_spare(const struct budget_member *m);
/* One place, at once: whoever has most idle connections gives one up if need be. It is counted as LENT. */
bool budget_take(struct budget_member *m, uint64_t now_us);
/* Must a connection that comes back be closed for the sake of others? */
bool budget_asks_back(const struct budget_member *m, uint64_t opened_us, uint64_t now_us);
/* All places are taken, and somebody would open a connection now. */
bool budget_is_wanted(const struct pool_budget *b);
void budget_review(struct pool_budget *b, uint64_t now_us);
/* When a review is due for this one's sake though nothing happens; UINT64_MAX: never. */
uint64_t budget_due(const struct budget_member *m, uint64_t now_us);

/* The pool's: there is room for it now, pool_tick is due; have pool_tick called at this time, if not before. */
void pool_stir(struct pool *p, uint64_t now_us);
void pool_arm(struct pool *p, uint64_t at_us);

#endif
