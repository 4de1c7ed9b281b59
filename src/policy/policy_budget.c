/* src/policy/policy_budget.c - a cap over several pools, by the rules in policy_budget.h. Connections on their way out
 * (CLOSING) are counted as places to come, so that no more are closed than are needed. */
#include "policy/policy_budget.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_FEW 8 /* hungry pools that look when a rest ends */
#define CALM_AFTER 64 /* publishes: caps are tight again and again, and to tell all pools to begin costs more */

TAILQ_HEAD(budget_members, budget_member);

struct policy_budget {
	uint32_t limit; /* 0: no limit */
	uint32_t used, leaving;
	uint32_t in_use_count; /* pools that are wanting or resting */
	uint32_t in_use_plain; /* those of them for which none is reserved */
	uint64_t in_use_weight, in_use_reserved; /* their sums */
	uint32_t unequal_count; /* members whose claim is not the usual one */
	bool is_watched; /* it is tight; all members publish, or are ordered to */
	bool is_reviewing, is_review_due; /* by one thread, for all */
	struct budget_members members, resting, holding;
	struct budget_members hungry; /* in order of view.since_us */
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
	TAILQ_INIT(&b->holding);
	return b;
}

void
policy_budget_free(struct policy_budget *b)
{
	if (b == NULL)
		return;
	assert(TAILQ_EMPTY(&b->members) && b->used == 0 && b->leaving == 0);
	free(b);
}

uint32_t
policy_budget_used(const struct policy_budget *b)
{
	return b->used;
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

static bool
is_unequal(const struct budget_member *m)
{
	return m->weight > 1 || m->reserved > 0;
}

void
budget_set_claim(struct budget_member *m, uint32_t weight, uint32_t reserved)
{
	bool is_in_use = m->budget != NULL && (m->view.has_demand || m->is_resting);

	if (is_in_use)
		end_use(m);
	if (m->budget != NULL)
		m->budget->unequal_count -= is_unequal(m);
	m->weight = weight > 0 ? weight : 1;
	m->reserved = reserved;
	if (m->budget != NULL)
		m->budget->unequal_count += is_unequal(m);
	if (is_in_use)
		begin_use(m);
}

/* Where there are more pools than places, most hold none. */
static void
change_used(struct budget_member *m, uint32_t by)
{
	struct policy_budget *b = m->budget;
	bool held = m->used > 0;

	m->used += by;
	b->used += by;
	if (!held && m->used > 0)
		TAILQ_INSERT_TAIL(&b->holding, m, holding_link);
	if (held && m->used == 0)
		TAILQ_REMOVE(&b->holding, m, holding_link);
}

void
budget_join(struct policy_budget *b, struct budget_member *m, uint32_t used, uint32_t leaving)
{
	m->budget = b;
	m->weight = m->weight > 0 ? m->weight : 1;
	m->used = 0;
	change_used(m, used);
	m->leaving = leaving;
	m->calm_count = CALM_AFTER;
	b->leaving += leaving;
	b->unequal_count += is_unequal(m);
	TAILQ_INSERT_TAIL(&b->members, m, link);
}

/* --- What is counted. --- */

void
budget_take(struct budget_member *m)
{
	change_used(m, 1);
}

static void
change_leaving(struct budget_member *m, uint32_t by)
{
	m->leaving += by;
	m->budget->leaving += by;
}

static void
ask(struct budget_member *m)
{
	m->asked++;
	change_leaving(m, 1);
}

void
budget_withdraw(struct budget_member *m)
{
	m->is_giving_up = false;
	change_leaving(m, -m->asked);
	m->asked = 0;
}

void
budget_moved(struct budget_member *m, enum policy_conn_state from, enum policy_conn_state to)
{
	if (to == PC_CLOSING && m->is_giving_up) {
		m->is_giving_up = false; /* it is leaving already */
		m->asked--;
	} else if (to == PC_CLOSING) {
		change_leaving(m, 1);
	} else {
		change_used(m, -1u);
		if (from == PC_CLOSING)
			change_leaving(m, -1u);
		else if (m->leaving > m->used) /* it was to be asked for */
			budget_withdraw(m);
	}
}

/* From the end, where who has just begun to wait belongs. */
static void
insert_hungry(struct policy_budget *b, struct budget_member *m)
{
	struct budget_member *before = TAILQ_LAST(&b->hungry, budget_members);

	while (before != NULL && before->view.since_us > m->view.since_us)
		before = TAILQ_PREV(before, budget_members, hungry_link);
	if (before != NULL)
		TAILQ_INSERT_AFTER(&b->hungry, before, m, hungry_link);
	else
		TAILQ_INSERT_HEAD(&b->hungry, m, hungry_link);
}

void
budget_publish(struct budget_member *m, const struct budget_view *v)
{
	bool had_demand = m->view.has_demand, is_moved = m->short_count > 0 && m->view.since_us != v->since_us;

	if (is_moved)
		TAILQ_REMOVE(&m->budget->hungry, m, hungry_link);
	m->view = *v;
	if (is_moved)
		insert_hungry(m->budget, m);
	if (!had_demand && v->has_demand)
		begin_use(m);
	if (had_demand && !v->has_demand)
		end_use(m);
	set_resting(m, !v->has_demand && v->rest_end_us > 0);
	m->calm_count = m->budget->is_watched ? 0 : m->calm_count + 1;
	m->is_watched = m->calm_count < CALM_AFTER;
}

/* Pools that have rested for long enough are no longer in use. */
static void
end_rests(struct policy_budget *b, uint64_t now_us)
{
	struct budget_member *m, *next;

	for (m = TAILQ_FIRST(&b->resting); m != NULL; m = next) {
		next = TAILQ_NEXT(m, rest_link);
		if (now_us >= m->view.rest_end_us)
			set_resting(m, false);
	}
}

/* Returns m, which is hungry, or the next one whose worker answers: others would not take what is left to them. */
static struct budget_member *
hungry_from(struct budget_member *m)
{
	while (m != NULL && policy_room_is_silent(m->room))
		m = TAILQ_NEXT(m, hungry_link);
	return m;
}

static struct budget_member *
first_hungry(const struct policy_budget *b)
{
	return hungry_from(TAILQ_FIRST(&b->hungry));
}

static struct budget_member *
next_hungry(const struct budget_member *m)
{
	return hungry_from(TAILQ_NEXT(m, hungry_link));
}

/* Returns how many places will come back. Those of a worker that does not answer may not. */
static uint32_t
coming_back(const struct policy_budget *b)
{
	const struct budget_member *m = TAILQ_FIRST(&b->members);
	uint32_t count = b->leaving;

	if (m == NULL || m->room->commons->silent == 0)
		return count;
	TAILQ_FOREACH(m, &b->members, link)
		count -= policy_room_is_silent(m->room) ? m->leaving : 0;
	return count;
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
	if (m->view.has_demand)
		return fair_share(m);
	if (!m->is_resting || (is_scarce(m->budget) && now_us >= m->view.turn_end_us))
		return 0;
	return fair_share(m);
}

static bool
has_free_place(const struct policy_budget *b)
{
	return b->limit == 0 || b->used < b->limit;
}

static bool
has_place_for_all(const struct policy_budget *b)
{
	return b->limit == 0 || b->used <= b->limit;
}

/* Returns true if fairness matters now. It nearly never does, and then a return costs only this check. */
static bool
is_tight(const struct policy_budget *b)
{
	return !TAILQ_EMPTY(&b->hungry) || !has_place_for_all(b);
}

void
budget_watch(struct policy_budget *b, const struct policy_room *r)
{
	bool was_watched = b->is_watched;
	struct budget_member *m;

	b->is_watched = is_tight(b);
	if (was_watched || !b->is_watched)
		return;
	TAILQ_FOREACH(m, &b->members, link) {
		if (m->is_watched || m->orders == NULL)
			continue;
		if (m->room == r) {
			m->orders->ops->publish(m->orders->pool);
		} else {
			m->orders->is_to_publish = true;
			policy_room_order(m->orders);
		}
	}
}

void
budget_tell_news(struct policy_budget *b)
{
	struct budget_member *m;

	TAILQ_FOREACH(m, &b->members, link) {
		if (m->orders == NULL)
			continue;
		m->orders->has_news = true;
		policy_room_order(m->orders);
	}
}

/* Returns true if connections must close so that pools below their share (other than except) get it. */
static bool
is_any_missing(const struct policy_budget *b, const struct budget_member *except)
{
	int64_t missing = (int64_t)b->used - coming_back(b) - b->limit;
	const struct budget_member *m;

	if (b->limit == 0)
		return false;
	for (m = first_hungry(b); missing <= 0 && m != NULL; m = next_hungry(m)) {
		uint32_t share = fair_share(m);

		if (m == except || live_count(m) >= share)
			continue;
		uint32_t below = share - live_count(m);
		missing += below < m->short_count ? below : m->short_count;
	}
	return missing > 0;
}

/* --- Which pool may open. --- */

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
	bool is_equal = true;
	uint64_t until = live_count(m), n;

	if (hungry->weight != m->weight || hungry->reserved > 0 ||
	    m->reserved > 0) /* with equal claims, as most have */
		until = places_until_equal(hungry, m, live_count(m), &is_equal);
	n = until > has ? until - has : 0;
	if (is_equal && has <= until && hungry->view.since_us < m->view.since_us)
		n++;
	return n < hungry->short_count ? (uint32_t)n : hungry->short_count;
}

/*
 * Returns true if neither h, which is hungry, nor anybody behind it has a better claim than m, which may be another
 * one: all claims are equal, m has no place, and has waited for as long as h.
 */
static bool
is_before_all(const struct budget_member *m, const struct budget_member *h)
{
	return m->budget->unequal_count == 0 && live_count(m) == 0 && m->view.since_us <= h->view.since_us;
}

bool
budget_allows(const struct budget_member *m, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	const struct budget_member *h;
	uint64_t before = 0;

	if (b->limit == 0)
		return true;
	if (!has_free_place(b))
		return false;
	end_rests(b, now_us); /* who is in use decides what is reserved */
	for (h = first_hungry(b); h != NULL && !is_before_all(m, h) && before < b->limit - b->used;
	     h = next_hungry(h)) {
		if (h != m)
			before += places_before(h, m);
	}
	return b->limit - b->used > before;
}

bool
budget_has_spare(const struct budget_member *m)
{
	const struct policy_budget *b = m->budget;

	return b->limit == 0 || (has_free_place(b) && TAILQ_EMPTY(&b->hungry));
}

bool
budget_is_limited(const struct budget_member *m)
{
	return m->budget != NULL && m->budget->limit > 0;
}

/* Returns true if m's only place should go to another pool: to one that has not what is reserved for it, or to one
 * without any whose waiter has waited longer than m's. */
static bool
is_anyones_turn(const struct policy_budget *b, const struct budget_member *m)
{
	const struct budget_member *h;

	for (h = first_hungry(b); h != NULL; h = next_hungry(h)) {
		if (h == m)
			continue;
		if (live_count(h) < own_count(h) || (live_count(h) == 0 && h->view.since_us < m->view.since_us))
			return true;
	}
	return false;
}

bool
budget_asks_back(struct budget_member *m, uint64_t opened_us, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	uint32_t share;

	if (!is_tight(b))
		return false;
	end_rests(b, now_us);
	share = fair_share(m);
	if (live_count(m) < share || live_count(m) <= own_count(m))
		return false;
	if (live_count(m) == share && (!is_scarce(b) || now_us < opened_us + BUDGET_TURN_US || !is_anyones_turn(b, m)))
		return false;
	if (!is_any_missing(b, m))
		return false;
	ask(m);
	m->is_giving_up = true;
	return true;
}

bool
budget_is_wanted(const struct policy_budget *b)
{
	return b->limit > 0 && b->used >= b->limit && !TAILQ_EMPTY(&b->hungry);
}

/* --- Which pool gives up a connection, and which is woken. --- */

enum surplus { ABOVE_SHARE, ANY, ANY_HERE };

/* Returns the pool with the most idle connections above its own share; or the one with the most idle, in this room. */
static struct budget_member *
find_idlest(const struct policy_budget *b, enum surplus of, const struct policy_room *r, uint64_t now_us)
{
	struct budget_member *m, *idlest = NULL;
	uint32_t most = 0;

	TAILQ_FOREACH(m, &b->holding, holding_link) {
		uint32_t kept = of == ABOVE_SHARE ? keeps(m, now_us) : 0;
		uint32_t above = live_count(m) > kept ? live_count(m) - kept : 0;
		uint32_t idle = m->view.idle > m->asked ? m->view.idle - m->asked : 0;
		uint32_t surplus = idle < above ? idle : above;

		if (surplus > most && (of != ANY_HERE || m->room == r) && !policy_room_is_silent(m->room)) {
			most = surplus;
			idlest = m;
		}
	}
	return idlest;
}

/* Gives the lock up meanwhile: a pool of this room has done it then. */
static void
ask_for_idle(struct budget_member *m, struct policy_room *r, uint64_t now_us)
{
	ask(m);
	m->orders->is_asked = true;
	policy_room_order(m->orders);
	if (m->room == r) {
		policy_room_act(r, now_us);
		policy_room_lock(r);
	}
}

static void
reclaim(struct policy_budget *b, struct policy_room *r, uint64_t now_us)
{
	while (end_rests(b, now_us), is_any_missing(b, NULL)) {
		bool is_over = b->used - coming_back(b) > b->limit;
		struct budget_member *m = find_idlest(b, ABOVE_SHARE, r, now_us);

		if (m == NULL && is_over)
			m = find_idlest(b, ANY, r, now_us);
		if (m == NULL)
			return;
		ask_for_idle(m, r, now_us);
	}
}

/* The place is counted first: otherwise the pool that makes room could take it again for min_idle. Of another room none
 * is asked for while one that has to go anyway is on its way out. */
bool
policy_places_take(struct budget_member *m, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	struct policy_room *r = m->room;
	struct budget_member *idlest;
	bool is_taken;

	policy_room_lock(r);
	budget_take(m);
	budget_watch(b, r);
	if (!has_place_for_all(b) &&
	    ((idlest = find_idlest(b, ANY_HERE, r, now_us)) != NULL ||
	     (b->used - coming_back(b) > b->limit && (idlest = find_idlest(b, ANY, r, now_us)) != NULL)))
		ask_for_idle(idlest, r, now_us);
	is_taken = has_place_for_all(b);
	if (!is_taken)
		budget_moved(m, PC_LENT, PC_NONE);
	budget_watch(b, r);
	policy_room_act(r, now_us);
	return is_taken;
}

void
policy_places_give(struct budget_member *m, uint64_t now_us)
{
	policy_room_lock(m->room);
	budget_moved(m, PC_LENT, PC_NONE);
	policy_room_unlock(m->room);
	budget_review(m, now_us);
}

bool
policy_places_are_wanted(const struct budget_member *m)
{
	bool is_wanted;

	policy_room_lock(m->room);
	is_wanted = budget_is_wanted(m->budget);
	policy_room_unlock(m->room);
	return is_wanted;
}

void
policy_places_join(struct policy_budget *b, struct budget_member *m, struct policy_room *r)
{
	m->room = r;
	policy_room_lock(r);
	budget_join(b, m, 0, 0);
	policy_room_unlock(r);
}

void
policy_places_leave(struct budget_member *m)
{
	policy_room_lock(m->room);
	assert(m->used == 0);
	budget_leave(m);
	policy_room_unlock(m->room);
}

/* The first would do, which reviews for all, but it may leave the list, or its worker may fall silent. */
static bool
is_among_first(const struct budget_member *m)
{
	const struct budget_member *h = first_hungry(m->budget);

	for (unsigned n = 1; h != NULL && h != m && n < FIRST_FEW; n++)
		h = next_hungry(h);
	return h == m;
}

uint64_t
budget_due(const struct budget_member *m, uint64_t now_us)
{
	uint64_t due_us = m->armed_us > now_us ? m->armed_us : UINT64_MAX;
	const struct budget_member *r;

	if (!is_among_first(m))
		return due_us;
	TAILQ_FOREACH(r, &m->budget->resting, rest_link) {
		if (r->view.rest_end_us > now_us && r->view.rest_end_us < due_us)
			due_us = r->view.rest_end_us;
		if (r->view.turn_end_us > now_us && r->view.turn_end_us < due_us)
			due_us = r->view.turn_end_us;
	}
	return due_us;
}

static void
wake_best(struct policy_budget *b)
{
	struct budget_member *m, *best = first_hungry(b);

	if (best == NULL || !has_free_place(b))
		return;
	for (m = next_hungry(best); m != NULL && !is_before_all(best, m); m = next_hungry(m)) {
		if (places_before(m, best) > 0) /* its claim is better */
			best = m;
	}
	best->orders->is_stirred = true;
	policy_room_order(best->orders);
}

void
budget_leave(struct budget_member *m)
{
	struct policy_budget *b = m->budget;
	uint32_t used;

	budget_publish(m, &(struct budget_view){ 0 });
	if (m->short_count > 0)
		TAILQ_REMOVE(&b->hungry, m, hungry_link);
	TAILQ_REMOVE(&b->members, m, link);
	used = m->used;
	change_used(m, -used);
	b->leaving -= m->leaving;
	b->unequal_count -= is_unequal(m);
	m->budget = NULL;
	if (used > 0)
		wake_best(b);
}

/* Arms the first hungry one, for all of them. */
static void
arm_first(struct policy_budget *b, const struct policy_room *r, uint64_t now_us)
{
	struct budget_member *first = first_hungry(b);
	uint64_t at_us = first != NULL ? budget_due(first, now_us) : UINT64_MAX;

	if (first == NULL || at_us >= first->orders->arm_at_us)
		return;
	if (first->room != r) {
		if (at_us == first->armed_us)
			return;
		first->armed_us = at_us;
	}
	first->orders->arm_at_us = at_us;
	policy_room_order(first->orders);
}

/* Under the lock, which it gives up meanwhile. policy_room_act() must follow. */
static void
review(struct policy_budget *b, struct policy_room *r, uint64_t now_us)
{
	if (!is_tight(b))
		return;
	/* A pool that gives one up reports from within, and others meanwhile: the review then starts again. */
	b->is_review_due = true;
	if (b->is_reviewing)
		return;
	b->is_reviewing = true;
	while (b->is_review_due) {
		b->is_review_due = false;
		reclaim(b, r, now_us);
	}
	b->is_reviewing = false;
	if (TAILQ_EMPTY(&b->hungry))
		return;
	wake_best(b);
	arm_first(b, r, now_us);
}

void
budget_review(struct budget_member *m, uint64_t now_us)
{
	policy_room_lock(m->room);
	budget_watch(m->budget, m->room);
	review(m->budget, m->room, now_us);
	policy_room_act(m->room, now_us);
}

void
budget_report(struct budget_member *m, uint32_t short_count, uint64_t now_us)
{
	struct policy_budget *b = m->budget;

	policy_room_lock(m->room);
	if (m->short_count == 0 && short_count > 0)
		insert_hungry(b, m);
	if (m->short_count > 0 && short_count == 0)
		TAILQ_REMOVE(&b->hungry, m, hungry_link);
	m->short_count = short_count;
	budget_watch(b, m->room);
	review(b, m->room, now_us);
	policy_room_act(m->room, now_us);
}

void
policy_budget_set_limit(struct policy_budget *b, struct policy_room *r, uint32_t limit, uint64_t now_us)
{
	policy_room_lock(r);
	b->limit = limit;
	budget_watch(b, r);
	review(b, r, now_us);
	policy_room_act(r, now_us);
}
