/*
 * src/policy/policy_budget.c - max_server_connections: a cap over several pools. See policy_budget.h.
 *
 * The share of a pool is what is reserved for it, and its part, by weight, of what is left of the limit; at least 1.
 * Three rules keep it fair without ever taking a connection away from a borrower:
 *   - a free place goes to a pool that has fewer than are reserved for it, then to the one that has the fewest for its
 *     weight, so that pools fill up evenly;
 *   - with no place free, idle connections above a share (all of a pool nobody uses) are closed for those below theirs;
 *   - with none idle either, connections of pools above their share are closed as they are returned. Where there are
 *     more pools than places, a share is one place, and when its connection had its turn it is passed on to a pool
 *     without any where somebody waits for longer.
 * Connections on their way out (CLOSING) are counted as places to come, so that no more are closed than are needed.
 */
#include "policy/policy_budget.h"

#include <assert.h>
#include <stdlib.h>

TAILQ_HEAD(budget_members, budget_member);

struct policy_budget {
	uint32_t limit; /* 0: no limit */
	uint32_t used, leaving;
	uint32_t in_use_count; /* pools that are wanting or resting */
	uint32_t in_use_plain; /* those of them for which none is reserved */
	uint64_t in_use_weight, in_use_reserved; /* their sums */
	bool is_reviewing, is_review_due;
	struct budget_members members, hungry, resting;
};

struct policy_budget *
policy_budget_new(uint32_t limit)
{
	struct policy_budget *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->limit = limit;
	TAILQ_INIT(&b->members);
	TAILQ_INIT(&b->hungry);
	TAILQ_INIT(&b->resting);
	return b;
}

void
policy_budget_free(struct policy_budget *b)
{
	if (b == NULL)
		return;
	assert(TAILQ_EMPTY(&b->members));
	free(b);
}

uint32_t
policy_budget_used(const struct policy_budget *b)
{
	return b->used;
}

void
policy_budget_set_limit(struct policy_budget *b, uint32_t limit, uint64_t now_us)
{
	b->limit = limit;
	budget_review(b, now_us);
}

static void
begin_use(struct budget_member *m)
{
	struct policy_budget *b = m->budget;

	b->in_use_count++;
	b->in_use_plain += m->reserved == 0;
	b->in_use_weight += m->weight;
	b->in_use_reserved += m->reserved;
}

static void
end_use(struct budget_member *m)
{
	struct policy_budget *b = m->budget;

	b->in_use_count--;
	b->in_use_plain -= m->reserved == 0;
	b->in_use_weight -= m->weight;
	b->in_use_reserved -= m->reserved;
}

static void
set_resting(struct budget_member *m, bool is_resting)
{
	if (m->is_resting == is_resting)
		return;
	m->is_resting = is_resting;
	if (is_resting) {
		TAILQ_INSERT_TAIL(&m->budget->resting, m, rest_link);
		begin_use(m);
	} else {
		TAILQ_REMOVE(&m->budget->resting, m, rest_link);
		end_use(m);
	}
}

void
budget_set_claim(struct budget_member *m, uint32_t weight, uint32_t reserved)
{
	bool is_in_use = m->budget != NULL && (m->has_demand || m->is_resting);

	if (is_in_use)
		end_use(m);
	m->weight = weight > 0 ? weight : 1;
	m->reserved = reserved;
	if (is_in_use)
		begin_use(m);
}

void
budget_join(struct policy_budget *b, struct budget_member *m, struct policy *p)
{
	m->budget = b;
	m->pool = p;
	m->weight = m->weight > 0 ? m->weight : 1;
	if (b != NULL)
		TAILQ_INSERT_TAIL(&b->members, m, link);
}

void
budget_leave(struct budget_member *m)
{
	if (m->budget == NULL)
		return;
	assert(m->used == 0);
	assert(!m->has_demand);
	set_resting(m, false);
	if (m->short_count > 0)
		TAILQ_REMOVE(&m->budget->hungry, m, hungry_link);
	TAILQ_REMOVE(&m->budget->members, m, link);
	m->budget = NULL;
}

/* --- What is counted. --- */

static uint32_t
change(bool was, bool is)
{
	return (uint32_t)is - (uint32_t)was;
}

void
budget_moved(struct budget_member *m, enum policy_conn_state from, enum policy_conn_state to)
{
	struct policy_budget *b = m->budget;
	uint32_t used = change(from != PC_NONE, to != PC_NONE), leaving = change(from == PC_CLOSING, to == PC_CLOSING);

	if (b == NULL)
		return;
	m->used += used;
	b->used += used;
	m->leaving += leaving;
	b->leaving += leaving;
}

void
budget_set_demand(struct budget_member *m, bool has_demand)
{
	if (m->budget == NULL || m->has_demand == has_demand)
		return;
	m->has_demand = has_demand;
	if (has_demand)
		begin_use(m);
	else
		end_use(m);
	set_resting(m, !has_demand);
}

/* Pools that have rested for long enough are no longer in use. */
static void
end_rests(struct policy_budget *b, uint64_t now_us)
{
	struct budget_member *m, *next;

	for (m = TAILQ_FIRST(&b->resting); m != NULL; m = next) {
		next = TAILQ_NEXT(m, rest_link);
		if (now_us >= m->rest_end_us)
			set_resting(m, false);
	}
}

static uint32_t
live_count(const struct budget_member *m)
{
	return m->used - m->leaving;
}

/* Returns how many places can be reserved: where a pool in use has none, one is left for all those. */
static uint32_t
reservable_count(const struct policy_budget *b)
{
	return b->in_use_plain > 0 && b->limit > 0 ? b->limit - 1 : b->limit;
}

/* Returns how many places nobody in use has reserved. */
static uint64_t
common_count(const struct policy_budget *b)
{
	uint64_t most = reservable_count(b);

	return b->limit - (b->in_use_reserved < most ? b->in_use_reserved : most);
}

/* Returns how many places are m's own as long as it needs them. If more are reserved than there are, all have less. */
static uint32_t
own_count(const struct budget_member *m)
{
	uint64_t most = reservable_count(m->budget), reserved = m->budget->in_use_reserved;

	if (reserved <= most)
		return m->reserved < most ? m->reserved : (uint32_t)most;
	return (uint32_t)(m->reserved * most / reserved);
}

/* Returns m's share if it is in use. */
static uint32_t
fair_share(const struct budget_member *m)
{
	const struct policy_budget *b = m->budget;
	uint64_t weights = b->in_use_weight > m->weight ? b->in_use_weight : m->weight;
	uint64_t share = own_count(m) + common_count(b) * m->weight / weights;

	return share > 0 ? (uint32_t)share : 1;
}

/* Returns true if there are fewer places than pools, which then take turns. */
static bool
is_scarce(const struct policy_budget *b)
{
	return b->limit < b->in_use_count || common_count(b) < b->in_use_plain;
}

/* Returns how many connections m need not give up for others. */
static uint32_t
keeps(const struct budget_member *m, uint64_t now_us)
{
	if (m->has_demand)
		return fair_share(m);
	if (!m->is_resting || (is_scarce(m->budget) && now_us >= m->turn_end_us))
		return 0;
	return fair_share(m);
}

static bool
has_free_place(const struct policy_budget *b)
{
	return b->limit == 0 || b->used < b->limit;
}

/* Returns true if fairness matters now. It nearly never does, and then a return costs only this check. */
static bool
is_tight(const struct policy_budget *b)
{
	return !TAILQ_EMPTY(&b->hungry) || (b->limit > 0 && b->used > b->limit);
}

bool
budget_returned(struct budget_member *m, uint64_t opened_us, uint64_t now_us)
{
	m->rest_end_us = now_us + BUDGET_TURN_US;
	m->turn_end_us = opened_us + BUDGET_TURN_US;
	return m->budget != NULL && is_tight(m->budget);
}

/* Returns how many connections must close so that pools below their share (other than except) get it; < 1: none. */
static int64_t
missing_count(const struct policy_budget *b, const struct budget_member *except)
{
	int64_t missing = (int64_t)b->used - b->leaving - b->limit;
	const struct budget_member *m;

	if (b->limit == 0)
		return 0;
	TAILQ_FOREACH(m, &b->hungry, hungry_link) {
		uint32_t share = fair_share(m);

		if (m == except || live_count(m) >= share)
			continue;
		uint32_t below = share - live_count(m);
		missing += below < m->short_count ? below : m->short_count;
	}
	return missing;
}

/* --- Which pool may open. --- */

static uint64_t
waiting_since(const struct budget_member *m)
{
	struct policy_counts counts;

	policy_get_counts(m->pool, &counts);
	return counts.waiting > 0 ? counts.oldest_waiter_us : UINT64_MAX;
}

/*
 * A pool's claim gets weaker with each place it has: below what is reserved for it, the part of that it has counts; any
 * such claim is better than one beyond, where the places for each unit of its weight count.
 *
 * Returns how many places hungry may have before its claim is no better than m's with `mine` places. *is_equal: with so
 * many, both claims are the same.
 */
static uint64_t
places_until_equal(const struct budget_member *hungry, const struct budget_member *m, uint32_t mine, bool *is_equal)
{
	uint32_t own = own_count(m), its_own = own_count(hungry);
	uint64_t base = 0, product, divisor;

	if (mine < own) {
		product = (uint64_t)mine * its_own;
		divisor = own;
	} else {
		base = its_own;
		product = (uint64_t)(mine - own) * hungry->weight;
		divisor = m->weight;
	}
	*is_equal = product % divisor == 0 && (mine >= own || its_own > 0);
	return base + (product + divisor - 1) / divisor;
}

/* Returns how many places the hungry pool gets before m's next one. */
static uint32_t
places_before(const struct budget_member *hungry, const struct budget_member *m)
{
	uint32_t has = live_count(hungry);
	bool is_equal;
	uint64_t until = places_until_equal(hungry, m, live_count(m), &is_equal), n = until > has ? until - has : 0;

	if (is_equal && has <= until && waiting_since(hungry) < waiting_since(m))
		n++;
	return n < hungry->short_count ? (uint32_t)n : hungry->short_count;
}

static bool
has_better_claim(const struct budget_member *a, const struct budget_member *b)
{
	return places_before(a, b) > 0;
}

bool
budget_allows(const struct budget_member *m, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	const struct budget_member *h;
	uint64_t before = 0;

	if (b == NULL || b->limit == 0)
		return true;
	if (!has_free_place(b))
		return false;
	end_rests(b, now_us); /* who is in use decides what is reserved */
	TAILQ_FOREACH(h, &b->hungry, hungry_link) {
		if (h != m)
			before += places_before(h, m);
	}
	return b->limit - b->used > before;
}

bool
budget_has_spare(const struct budget_member *m)
{
	const struct policy_budget *b = m->budget;

	return b == NULL || b->limit == 0 || (has_free_place(b) && TAILQ_EMPTY(&b->hungry));
}

/*
 * Returns true if m's only place should go to another pool: to one that has not what is reserved for it, or to one
 * without any whose waiter has waited longer than m's.
 */
static bool
is_anyones_turn(const struct policy_budget *b, const struct budget_member *m)
{
	uint64_t since_us = waiting_since(m);
	const struct budget_member *h;

	TAILQ_FOREACH(h, &b->hungry, hungry_link) {
		if (h == m)
			continue;
		if (live_count(h) < own_count(h) || (live_count(h) == 0 && waiting_since(h) < since_us))
			return true;
	}
	return false;
}

bool
budget_asks_back(const struct budget_member *m, uint64_t opened_us, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	uint32_t share;

	if (b == NULL || !is_tight(b))
		return false;
	end_rests(b, now_us);
	share = fair_share(m);
	if (live_count(m) < share || live_count(m) <= own_count(m))
		return false;
	if (live_count(m) == share && (!is_scarce(b) || now_us < opened_us + BUDGET_TURN_US || !is_anyones_turn(b, m)))
		return false;
	return missing_count(b, m) > 0;
}

bool
budget_is_wanted(const struct policy_budget *b)
{
	return b->limit > 0 && b->used >= b->limit && !TAILQ_EMPTY(&b->hungry);
}

/* --- Which pool gives up a connection, and which is woken. --- */

/* Returns the pool with the most idle connections above its own share; with is_any, the one with the most idle. */
static struct budget_member *
find_idlest(const struct policy_budget *b, bool is_any, uint64_t now_us)
{
	struct budget_member *m, *idlest = NULL;
	uint32_t most = 0;

	TAILQ_FOREACH(m, &b->members, link) {
		uint32_t kept = is_any ? 0 : keeps(m, now_us);
		uint32_t above = live_count(m) > kept ? live_count(m) - kept : 0;
		uint32_t idle = m->pool == NULL ? 0 : policy_idle_count(m->pool);
		uint32_t surplus = idle < above ? idle : above;

		if (surplus > most) {
			most = surplus;
			idlest = m;
		}
	}
	return idlest;
}

static void
reclaim(struct policy_budget *b, uint64_t now_us)
{
	while (missing_count(b, NULL) > 0) {
		bool is_over = b->used - b->leaving > b->limit;
		struct budget_member *m = find_idlest(b, false, now_us);

		if (m == NULL && is_over)
			m = find_idlest(b, true, now_us);
		if (m == NULL || !policy_give_up_idle(m->pool, now_us))
			return;
	}
}

/* The place is counted first: otherwise the pool that makes room could take it again for min_idle. */
bool
budget_take(struct budget_member *m, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	struct budget_member *idlest;

	budget_moved(m, PC_NONE, PC_LENT);
	if (b == NULL || b->limit == 0 || b->used <= b->limit)
		return true;
	idlest = find_idlest(b, true, now_us);
	if (idlest != NULL && policy_give_up_idle(idlest->pool, now_us) && b->used <= b->limit)
		return true;
	budget_moved(m, PC_LENT, PC_NONE);
	return false;
}

uint64_t
budget_due(const struct budget_member *m, uint64_t now_us)
{
	uint64_t due_us = UINT64_MAX;
	const struct budget_member *r;

	if (m->budget == NULL || m->short_count == 0)
		return due_us;
	TAILQ_FOREACH(r, &m->budget->resting, rest_link) {
		if (r->rest_end_us > now_us && r->rest_end_us < due_us)
			due_us = r->rest_end_us;
		if (r->turn_end_us > now_us && r->turn_end_us < due_us)
			due_us = r->turn_end_us;
	}
	return due_us;
}

static void
wake_best(struct policy_budget *b, uint64_t now_us)
{
	struct budget_member *m, *best = TAILQ_FIRST(&b->hungry);

	if (!has_free_place(b))
		return;
	TAILQ_FOREACH(m, &b->hungry, hungry_link) {
		if (has_better_claim(m, best))
			best = m;
	}
	policy_stir(best->pool, now_us);
}

/* Not inline: with the check of its caller alone, that one is. */
__attribute__((noinline)) static void
review(struct policy_budget *b, uint64_t now_us)
{
	/* A pool that gives up a connection reports from within: the review then starts again instead of nesting. */
	b->is_review_due = true;
	if (b->is_reviewing)
		return;
	b->is_reviewing = true;
	while (b->is_review_due) {
		b->is_review_due = false;
		end_rests(b, now_us);
		reclaim(b, now_us);
	}
	b->is_reviewing = false;
	if (TAILQ_EMPTY(&b->hungry))
		return;
	wake_best(b, now_us);
	policy_arm(TAILQ_FIRST(&b->hungry)->pool, budget_due(TAILQ_FIRST(&b->hungry), now_us)); /* for all of them */
}

void
budget_review(struct policy_budget *b, uint64_t now_us)
{
	if (b != NULL && is_tight(b))
		review(b, now_us);
}

void
budget_report(struct budget_member *m, uint32_t short_count, uint64_t now_us)
{
	struct policy_budget *b = m->budget;

	if (b == NULL)
		return;
	if (m->short_count == 0 && short_count > 0)
		TAILQ_INSERT_TAIL(&b->hungry, m, hungry_link);
	if (m->short_count > 0 && short_count == 0)
		TAILQ_REMOVE(&b->hungry, m, hungry_link);
	m->short_count = short_count;
	budget_review(b, now_us);
}
