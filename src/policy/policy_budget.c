/* src/policy/policy_budget.c - a cap over several pools, by the rules in policy_budget.h. The places of CLOSING
 * connections count as places that will soon be free, so no more connections are closed than needed. */
#include "policy/policy_budget_state.h"

#include <assert.h>
#include <stdlib.h>

/* how many members, from the first hungry member on, set a timer for the end of a group's grace or turn */
#define FIRST_FEW 8
/* A member stops publishing when it has published this often without a tight cap. A cap that was tight is often tight
 * again soon, and to order all members to publish anew costs more. */
#define CALM_AFTER 64

static void
init_budget(struct policy_commons *commons, void *made)
{
	struct policy_budget *b = made;

	TAILQ_INIT(&b->members);
	TAILQ_INIT(&b->hungry);
	TAILQ_INIT(&b->in_idle_grace);
	TAILQ_INIT(&b->holding);
}

struct policy_budget *
policy_budget_new(uint32_t limit)
{
	struct policy_budget *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->limit = limit;
	init_budget(NULL, b);
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

struct policy_budget *
policy_budget_get_or_create(struct policy_commons *commons, char kind, const char *name, size_t len)
{
	return policy_named_get_or_create(commons, kind, name, len, sizeof(struct policy_budget), init_budget);
}

void
policy_budget_put(struct policy_commons *commons, struct policy_budget *b)
{
	if (b != NULL && policy_named_put(commons, &b->named))
		policy_budget_free(b);
}

uint32_t
policy_budget_used(const struct policy_budget *b)
{
	return b->used;
}

static bool
is_in_use(const struct budget_group *g)
{
	return g->demanding > 0 || g->is_in_idle_grace;
}

/* by: 1 to add g to the counts of groups in use, -1 to remove g. */
static void
count_use(const struct budget_group *g, int by)
{
	struct policy_budget *b = g->budget;

	budget_add_to(&b->in_use_count, (uint32_t)by);
	budget_add_to(&b->in_use_plain, g->reserved == 0 ? (uint32_t)by : 0);
	b->in_use_weight += (uint64_t)by * g->weight;
	b->in_use_reserved += (uint64_t)by * g->reserved;
	assert(b->in_use_plain <= b->in_use_count && b->in_use_weight >= b->in_use_count);
	assert(b->in_use_count > 0 || (b->in_use_weight == 0 && b->in_use_reserved == 0));
}

static void
set_idle_grace(struct budget_group *g, bool is_in_idle_grace)
{
	if (is_in_idle_grace && !g->is_in_idle_grace)
		TAILQ_INSERT_TAIL(&g->budget->in_idle_grace, g, idle_grace_link);
	if (!is_in_idle_grace && g->is_in_idle_grace)
		TAILQ_REMOVE(&g->budget->in_idle_grace, g, idle_grace_link);
	g->is_in_idle_grace = is_in_idle_grace;
}

/* by: how many more members of g have demand. */
static void
change_use(struct budget_group *g, uint32_t by, bool is_in_idle_grace)
{
	bool was_in_use = is_in_use(g);

	budget_add_to(&g->demanding, by);
	assert(g->demanding <= g->member_count);
	set_idle_grace(g, is_in_idle_grace);
	if (was_in_use != is_in_use(g))
		count_use(g, was_in_use ? -1 : 1);
}

static bool
is_unequal(const struct budget_group *g)
{
	return g->weight > 1 || g->reserved > 0;
}

static void
set_group_claim(struct budget_group *g, uint32_t weight, uint32_t reserved)
{
	assert(weight > 0); /* claims are divided by the weight */
	if (is_in_use(g))
		count_use(g, -1);
	budget_add_to(&g->budget->unequal_count, -(uint32_t)is_unequal(g));
	g->weight = weight;
	g->reserved = reserved;
	g->budget->unequal_count += is_unequal(g);
	if (is_in_use(g))
		count_use(g, 1);
}

void
budget_set_claim(struct budget_member *m, uint32_t weight, uint32_t reserved)
{
	m->weight = weight > 0 ? weight : 1;
	m->reserved = reserved;
	if (m->budget != NULL)
		set_group_claim(m->group, m->weight, reserved);
}

static void
change_group_used(struct budget_group *g, uint32_t by)
{
	budget_add_to(&g->used, by);
	budget_add_to(&g->budget->used, by);
	budget_update_limit(g->budget);
}

/* Changes the counts of m itself, and updates b->holding, the list of members with a place. That list is walked instead
 * of b->members, because with more pools than places most pools have no place. */
static void
change_own_used(struct budget_member *m, uint32_t by)
{
	struct policy_budget *b = m->budget;
	bool had_place = m->used > 0;

	budget_add_to(&m->used, by);
	budget_add_to(&b->used_without_policy, m->orders == NULL ? by : 0);
	if (!had_place && m->used > 0)
		TAILQ_INSERT_TAIL(&b->holding, m, holding_link);
	if (had_place && m->used == 0)
		TAILQ_REMOVE(&b->holding, m, holding_link);
}

static void
change_used(struct budget_member *m, uint32_t by)
{
	change_own_used(m, by);
	change_group_used(m->group, by);
}

static void
change_leaving(struct budget_member *m, uint32_t by)
{
	budget_add_to(&m->leaving, by);
	budget_add_to(&m->group->leaving, by);
	budget_add_to(&m->budget->leaving, by);
}

/* All shards of a pool are under the same caps, but one shard may be told of a cap before the others: while some shards
 * are still under another cap, that shard is a group by itself. */
void
budget_join(struct policy_budget *b, struct budget_member *m, struct budget_group *g,
	    const uint32_t counts[static PC_COUNT])
{
	uint32_t used = 0;

	assert(m->budget == NULL && m->short_count == 0);
	for (unsigned state = PC_NONE + 1; state < PC_COUNT; state++)
		used += counts[state];
	m->budget = b;
	m->group = g != NULL && (g->budget == NULL || g->budget == b) ? g : &m->own;
	g = m->group;
	if (g->budget == NULL) {
		g->budget = b;
		change_group_used(g, g->in_transfer);
	}
	g->member_count++;
	set_group_claim(g, m->weight > 0 ? m->weight : 1, m->reserved);
	m->used = m->leaving = m->opening = 0;
	change_used(m, used);
	change_leaving(m, counts[PC_CLOSING]);
	budget_change_opening(m, counts[PC_OPENING] + counts[PC_CHECKING]);
	m->published_since_tight = CALM_AFTER;
	TAILQ_INSERT_TAIL(&b->members, m, link);
}

/* --- Counts of places. --- */

void
budget_take_place(struct budget_member *m)
{
	m->budget->kept.granted -= m->budget->kept.granted > 0;
	m->budget->kept.taken++;
	change_used(m, 1);
	budget_change_opening(m, 1);
}

static void
count_asked(struct budget_member *m)
{
	m->asked++;
	change_leaving(m, 1);
}

void
budget_clear_asked(struct budget_member *m)
{
	m->is_giving_up = false;
	change_leaving(m, -m->asked);
	m->asked = 0;
}

void
budget_note_moved(struct budget_member *m, enum policy_conn_state from, enum policy_conn_state to)
{
	if (from == PC_OPENING || from == PC_CHECKING)
		budget_change_opening(m, -1u);
	budget_tell_keeper(m->budget);
	if (to == PC_CLOSING && m->is_giving_up) {
		assert(m->asked > 0);
		m->is_giving_up = false; /* the connection is counted as leaving already */
		m->asked--;
	} else if (to == PC_CLOSING) {
		change_leaving(m, 1);
	} else if (to == PC_NONE) {
		m->budget->kept.returned++;
		change_used(m, -1u);
		if (from == PC_CLOSING)
			change_leaving(m, -1u);
		else if (m->leaving > m->used) /* more connections were asked for than are left */
			budget_clear_asked(m);
	}
	assert(m->asked <= m->leaving);
}

/* Returns true if m is counted in g. A shard is counted by itself if it is under another budget than g, or came to g's
 * budget before the pool's other shards. A connection in transfer is always counted in g. */
static bool
is_of_group(const struct budget_member *m, const struct budget_group *g)
{
	return m->budget != NULL && m->group == g;
}

void
budget_note_transferred(struct budget_member *m, struct budget_group *g, bool has_left)
{
	uint32_t more = has_left ? 1 : -1u;

	budget_add_to(&g->in_transfer, more);
	if (is_of_group(m, g)) {
		change_own_used(m, -more);
	} else {
		if (m->budget != NULL)
			change_used(m, -more);
		if (g->budget != NULL) /* the pool's other shards are under a cap */
			change_group_used(g, more);
	}
	assert(g->budget == NULL || g->used >= g->in_transfer);
	if (m->budget != NULL && m->leaving > m->used)
		budget_clear_asked(m);
}

/* Keeps the list sorted. Searches from its end, because most clients have just begun to wait. */
static void
insert_hungry(struct policy_budget *b, struct budget_member *m)
{
	struct budget_member *before = TAILQ_LAST(&b->hungry, budget_members);

	assert(m->budget == b && m->orders != NULL); /* hungry members are woken by orders */
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
	struct budget_group *g = m->group;
	uint32_t more = (uint32_t)v->has_demand - had_demand;

	if (is_moved)
		TAILQ_REMOVE(&m->budget->hungry, m, hungry_link);
	m->view = *v;
	if (is_moved)
		insert_hungry(m->budget, m);
	if (v->idle_grace_end_us >= g->idle_grace_end_us) {
		g->idle_grace_end_us = v->idle_grace_end_us;
		g->turn_end_us = v->turn_end_us;
	}
	change_use(g, more, g->demanding + more == 0 && g->idle_grace_end_us > 0);
	m->published_since_tight = m->budget->is_watched ? 0 : m->published_since_tight + 1;
	m->is_watched = m->published_since_tight < CALM_AFTER;
}

/* Pools whose idle grace is over are no longer in use. */
void
budget_end_idle_grace(struct policy_budget *b, uint64_t now_us)
{
	struct budget_group *g, *next;

	for (g = TAILQ_FIRST(&b->in_idle_grace); g != NULL; g = next) {
		next = TAILQ_NEXT(g, idle_grace_link);
		if (now_us >= g->idle_grace_end_us)
			change_use(g, 0, false);
	}
}

/* Returns the first hungry member from m on whose worker answers; NULL if there is none. A worker that does not answer
 * (policy_worker_set_silent) would not use a place. m: a hungry member, or NULL. */
static struct budget_member *
hungry_from(struct budget_member *m)
{
	while (m != NULL && policy_worker_is_silent(m->worker))
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

/* Returns how many places leaving connections will free: those of g, or of all groups if g is NULL. Connections of a
 * silent worker are not counted, because they may never be closed. */
static uint32_t
leaving_count(const struct policy_budget *b, const struct budget_group *g)
{
	const struct budget_member *m = TAILQ_FIRST(&b->members);
	uint32_t count = g != NULL ? g->leaving : b->leaving;

	if (m == NULL || m->worker->commons->silent == 0)
		return count;
	TAILQ_FOREACH(m, &b->members, link)
		count -= (g == NULL || m->group == g) && policy_worker_is_silent(m->worker) ? m->leaving : 0;
	return count;
}

static uint32_t
live_count(const struct budget_group *g)
{
	return g->used - g->leaving;
}

/* Call this for each member in turn in a pass over the hungry members. places: how many places h's group gets. Returns
 * how many of these are for h: at most h->short_count, and none that this pass has counted for the group before. */
static uint32_t
count_in_pass(struct budget_member *h, uint64_t places)
{
	struct budget_group *g = h->group;
	uint64_t left;

	if (g->last_pass != h->budget->last_pass)
		g->counted = 0;
	g->last_pass = h->budget->last_pass;
	left = places > g->counted ? places - g->counted : 0;
	if (left > h->short_count)
		left = h->short_count;
	g->counted += (uint32_t)left;
	return (uint32_t)left;
}

/* Returns how many places can be reserved: one is left for the pools in use without a share_min, if there are any. */
static uint32_t
reservable_count(const struct policy_budget *b)
{
	return b->in_use_plain > 0 && b->limit > 0 ? b->limit - 1 : b->limit;
}

/* Returns how many places are left when each pool in use has its share_min and, with a keeper, each connection that no
 * policy lends has its place. */
static uint64_t
common_count(const struct policy_budget *b)
{
	uint64_t most = reservable_count(b);
	uint64_t left = b->limit - (b->in_use_reserved < most ? b->in_use_reserved : most);
	uint64_t used_without_policy = b->kept.is_binding ? b->used_without_policy : 0;

	return left > used_without_policy ? left - used_without_policy : 0;
}

/* Returns how many places g can claim as its own: its share_min, or less if more are reserved than there are. */
static uint32_t
own_count(const struct budget_group *g)
{
	uint64_t most = reservable_count(g->budget), reserved = g->budget->in_use_reserved;

	if (reserved <= most)
		return g->reserved < most ? g->reserved : (uint32_t)most;
	return (uint32_t)(g->reserved * most / reserved);
}

/* Returns g's share; valid only while g is in use. The share is 0 only if a keeper allows no place now. */
static uint32_t
fair_share(const struct budget_group *g)
{
	const struct policy_budget *b = g->budget;
	uint64_t weights = b->in_use_weight > g->weight ? b->in_use_weight : g->weight;
	uint64_t share = own_count(g) + common_count(b) * g->weight / weights;
	bool is_none = b->kept.is_binding && b->limit == 0 && b->kept.asked_for == 0;

	return share > 0 || is_none ? (uint32_t)share : 1;
}

/* Returns true if there are too few places for the pools in use, which then take turns. */
static bool
is_scarce(const struct policy_budget *b)
{
	return b->limit < b->in_use_count || common_count(b) < b->in_use_plain;
}

/* Returns how many connections g need not give up for other pools. */
static uint32_t
kept_count(const struct budget_group *g, uint64_t now_us)
{
	if (g->demanding > 0)
		return fair_share(g);
	if (!g->is_in_idle_grace || (is_scarce(g->budget) && now_us >= g->turn_end_us))
		return 0;
	return fair_share(g);
}

bool
budget_has_free_place(const struct policy_budget *b)
{
	return !budget_is_limited(b) || b->used + b->kept.held < b->limit;
}

static bool
is_within_limit(const struct policy_budget *b)
{
	return !budget_is_limited(b) || b->used <= b->limit;
}

/* Returns true if a pool wants a place, more places are used than there are, or other processes wait for places. */
static bool
is_tight(const struct policy_budget *b)
{
	return !TAILQ_EMPTY(&b->hungry) || !is_within_limit(b) || b->kept.news.is_pressed;
}

void
budget_update_watched(struct policy_budget *b, const struct policy_worker *worker)
{
	bool was_watched = b->is_watched;
	struct budget_member *m;

	b->is_watched = is_tight(b);
	if (was_watched || !b->is_watched)
		return;
	TAILQ_FOREACH(m, &b->members, link) {
		if (m->is_watched || m->orders == NULL)
			continue;
		if (m->worker == worker)
			m->orders->ops->publish(m->orders->pool);
		else
			policy_worker_order(m->orders, ORDER_PUBLISH);
	}
}

void
budget_order_look_again(struct policy_budget *b)
{
	struct budget_member *m;

	TAILQ_FOREACH(m, &b->members, link)
		if (m->orders != NULL)
			policy_worker_order(m->orders, ORDER_WAKE_IF_WAITING);
}

/* Returns true if connections must close: because there are more than the limit, or so that pools below their share
 * (other than `except`) get a place. If a keeper grants the places, the place of a connection that is gone may be
 * granted again (kept.returned), so no pool gives up a connection for such a place. */
static bool
must_reclaim(struct policy_budget *b, const struct budget_group *except)
{
	int64_t missing = (int64_t)b->used - leaving_count(b, NULL) - b->limit;
	struct budget_member *m;

	if (!budget_is_limited(b))
		return false;
	if (b->kept.is_binding && (missing > 0 || !b->kept.news.is_full))
		return missing > 0;
	missing -= b->kept.is_binding ? b->kept.returned : 0;
	b->last_pass++;
	for (m = first_hungry(b); missing <= 0 && m != NULL; m = next_hungry(m)) {
		uint32_t share = fair_share(m->group), live = live_count(m->group);

		if (m->group != except && live < share)
			missing += count_in_pass(m, share - live);
	}
	return missing > 0;
}

/* --- The pools that may open a connection. --- */

/*
 * A pool's claim gets weaker with each place it has. While a pool is below its share_min, its claim is measured by the
 * fraction of the share_min that it has. Above the share_min, the claim is measured by the places beyond share_min per
 * unit of weight; any claim below a share_min is better.
 *
 * Returns how many places `hungry` may have before its claim is no better than g's with `count` places. Sets *is_equal
 * if both claims are equal at that number.
 */
static uint64_t
places_until_equal(const struct budget_group *hungry, const struct budget_group *g, uint32_t count, bool *is_equal)
{
	uint32_t own = own_count(g), hungry_own = own_count(hungry);
	uint64_t base = 0, product, divisor;

	if (count < own) {
		product = (uint64_t)count * hungry_own;
		divisor = own;
	} else {
		base = hungry_own;
		product = (uint64_t)(count - own) * hungry->weight;
		divisor = g->weight;
	}
	assert(divisor > 0);
	*is_equal = product % divisor == 0 && (count >= own || hungry_own > 0);
	return base + (product + divisor - 1) / divisor;
}

/* Returns how many places the group of h, which is hungry, gets before m gets its next place. */
static uint64_t
places_before(const struct budget_member *h, const struct budget_member *m)
{
	const struct budget_group *hungry = h->group, *g = m->group;
	uint32_t has = live_count(hungry);
	bool is_equal = true;
	uint64_t until = live_count(g), n;

	if (hungry->weight != g->weight || hungry->reserved > 0 || g->reserved > 0) /* most claims are equal */
		until = places_until_equal(hungry, g, live_count(g), &is_equal);
	n = until > has ? until - has : 0;
	if (is_equal && has <= until && h->view.since_us < m->view.since_us)
		n++;
	return n;
}

/*
 * Returns true if m's claim is at least as good as that of h, which is hungry, and of all hungry members after h: all
 * groups have the same weight and no share_min, m's group has no place, and m has waited at least as long as h. m may
 * be h itself.
 */
static bool
is_before_all(const struct budget_member *m, const struct budget_member *h)
{
	return m->budget->unequal_count == 0 && live_count(m->group) == 0 && m->view.since_us <= h->view.since_us;
}

bool
budget_check_place(struct budget_member *m, bool is_for_waiter, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	struct budget_member *h;
	uint64_t before = 0;

	if (!budget_is_limited(b))
		return true;
	if (!is_for_waiter && !budget_has_free_place(b))
		budget_note_understocked(m);
	if (!budget_has_free_place(b))
		return false;
	if (!is_for_waiter)
		return TAILQ_EMPTY(&b->hungry);
	budget_end_idle_grace(b, now_us); /* reserved places depend on which pools are in use */
	b->last_pass++;
	for (h = first_hungry(b); h != NULL && !is_before_all(m, h) && before < b->limit - b->used;
	     h = next_hungry(h)) {
		if (h != m)
			before += count_in_pass(h, places_before(h, m));
	}
	return b->limit - b->used > before;
}

bool
budget_is_short(const struct budget_member *m)
{
	return m->budget != NULL && m->group->short_count > leaving_count(m->budget, m->group);
}

bool
budget_has_surplus(const struct budget_member *m)
{
	return live_count(m->group) > (is_scarce(m->budget) ? own_count(m->group) : fair_share(m->group));
}

/* Returns true if a place of m's group should go to another group: to a group below its share_min, or to a group
 * without a place in which a client has waited longer than in m's group. */
static bool
is_others_turn(const struct policy_budget *b, const struct budget_member *m)
{
	uint64_t since_us = m->view.since_us;
	const struct budget_member *h;

	for (h = first_hungry(b); h != NULL; h = next_hungry(h)) {
		if (h->group == m->group && h->view.since_us < since_us)
			since_us = h->view.since_us;
		if (h->group == m->group)
			continue;
		if (live_count(h->group) < own_count(h->group) ||
		    (live_count(h->group) == 0 && h->view.since_us < since_us))
			return true;
	}
	return false;
}

bool
budget_claim_returned(struct budget_member *m, uint64_t opened_us, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	uint32_t share, live = live_count(m->group);

	if (!is_tight(b))
		return false;
	budget_end_idle_grace(b, now_us);
	share = fair_share(m->group);
	if (live < share || live <= own_count(m->group))
		return false;
	if (live == share && (!is_scarce(b) || now_us < opened_us + BUDGET_TURN_US || !is_others_turn(b, m)))
		return false;
	if (!must_reclaim(b, m->group))
		return false;
	count_asked(m);
	m->is_giving_up = true;
	return true;
}

bool
budget_is_contended(const struct policy_budget *b)
{
	return budget_is_limited(b) && b->used >= b->limit && !TAILQ_EMPTY(&b->hungry);
}

/* --- The pools that give up a connection, and the pool that is woken. --- */

enum idlest_scope { IDLEST_ABOVE_SHARE, IDLEST_ANY, IDLEST_HERE };

/* Returns the pool with the most idle connections above its share (IDLEST_ABOVE_SHARE); or with the most idle
 * connections of all pools (IDLEST_ANY), or of this policy worker's pools (IDLEST_HERE). NULL if there is none. */
static struct budget_member *
find_idlest(const struct policy_budget *b, enum idlest_scope scope, const struct policy_worker *worker, uint64_t now_us)
{
	struct budget_member *m, *idlest = NULL;
	uint32_t most = 0;

	TAILQ_FOREACH(m, &b->holding, holding_link) {
		uint32_t kept = scope == IDLEST_ABOVE_SHARE ? kept_count(m->group, now_us) : 0,
			 live = live_count(m->group);
		uint32_t above = live > kept ? live - kept : 0;
		uint32_t idle = m->view.idle > m->asked ? m->view.idle - m->asked : 0;
		uint32_t surplus = idle < above ? idle : above;

		if (surplus > most && (scope != IDLEST_HERE || m->worker == worker) &&
		    !policy_worker_is_silent(m->worker)) {
			most = surplus;
			idlest = m;
		}
	}
	return idlest;
}

/* Asks m's pool for an idle connection. If the pool is of this policy worker, the lock is released in between, and the
 * pool has given up the connection when this returns. */
static void
ask_for_idle(struct budget_member *m, struct policy_worker *worker, uint64_t now_us)
{
	assert(m->orders != NULL);
	count_asked(m);
	policy_worker_order(m->orders, ORDER_GIVE_UP);
	if (m->worker == worker) {
		policy_worker_unlock_and_act(worker, now_us);
		policy_worker_lock(worker);
	}
}

static void
reclaim(struct policy_budget *b, struct policy_worker *worker, uint64_t now_us)
{
	while (budget_end_idle_grace(b, now_us), must_reclaim(b, NULL)) {
		bool is_over = b->used - leaving_count(b, NULL) > b->limit;
		struct budget_member *m = find_idlest(b, IDLEST_ABOVE_SHARE, worker, now_us);

		if (m == NULL && is_over)
			m = find_idlest(b, IDLEST_ANY, worker, now_us);
		if (m == NULL)
			return;
		ask_for_idle(m, worker, now_us);
	}
}

/* Counts the place before another pool is asked for a connection; otherwise that pool could take the place again for
 * its min_idle. A pool of another policy worker is not asked if enough connections are leaving already. */
static bool
take_or_ask(struct policy_budget *b, struct budget_member *m, uint64_t now_us)
{
	struct budget_member *idlest;

	budget_take_place(m);
	budget_update_watched(b, m->worker);
	if (!is_within_limit(b) && ((idlest = find_idlest(b, IDLEST_HERE, m->worker, now_us)) != NULL ||
				    (b->used - leaving_count(b, NULL) > b->limit &&
				     (idlest = find_idlest(b, IDLEST_ANY, m->worker, now_us)) != NULL)))
		ask_for_idle(idlest, m->worker, now_us);
	if (is_within_limit(b))
		return true;
	budget_note_moved(m, PC_OPENING, PC_NONE);
	return false;
}

bool
policy_places_take(struct budget_member *m, uint64_t now_us)
{
	struct policy_budget *b = m->budget;
	bool is_taken;

	policy_worker_lock(m->worker);
	if (b->kept.keeper == NULL || !b->kept.is_binding)
		is_taken = take_or_ask(b, m, now_us);
	else if ((is_taken = budget_claim_held(b, now_us)))
		budget_take_place(m);
	budget_update_watched(b, m->worker);
	policy_worker_unlock_and_act(m->worker, now_us);
	return is_taken;
}

void
policy_places_give_back(struct budget_member *m, uint64_t now_us)
{
	policy_worker_lock(m->worker);
	budget_change_opening(m, -m->opening);
	budget_note_moved(m, PC_LENT, PC_NONE);
	policy_worker_unlock(m->worker);
	budget_review(m, now_us);
}

bool
policy_places_is_contended(const struct budget_member *m)
{
	bool is_wanted;

	policy_worker_lock(m->worker);
	is_wanted = budget_is_contended(m->budget);
	policy_worker_unlock(m->worker);
	return is_wanted;
}

void
policy_places_join(struct policy_budget *b, struct budget_member *m, struct policy_worker *worker)
{
	static const uint32_t none[PC_COUNT];

	m->worker = worker;
	policy_worker_lock(worker);
	budget_join(b, m, NULL, none);
	policy_worker_unlock(worker);
}

void
policy_places_leave(struct budget_member *m)
{
	policy_worker_lock(m->worker);
	assert(m->used == 0);
	budget_leave(m);
	policy_worker_unlock(m->worker);
}

/* Returns true if m should set a timer. A single timer of the first hungry member would be enough, because its review
 * serves all members; but that member may leave the list, or its worker may stop answering. */
static bool
is_among_first(const struct budget_member *m)
{
	const struct budget_member *h = first_hungry(m->budget);

	for (unsigned n = 1; h != NULL && h != m && n < FIRST_FEW; n++)
		h = next_hungry(h);
	return h == m;
}

uint64_t
budget_due_us(const struct budget_member *m, uint64_t now_us)
{
	uint64_t due_us = m->armed_us > now_us ? m->armed_us : UINT64_MAX;
	const struct budget_group *g;

	if (!is_among_first(m))
		return due_us;
	TAILQ_FOREACH(g, &m->budget->in_idle_grace, idle_grace_link) {
		if (g->idle_grace_end_us > now_us && g->idle_grace_end_us < due_us)
			due_us = g->idle_grace_end_us;
		if (g->turn_end_us > now_us && g->turn_end_us < due_us)
			due_us = g->turn_end_us;
	}
	return due_us;
}

void
budget_wake_best(struct policy_budget *b)
{
	struct budget_member *m, *best = first_hungry(b);

	if (best == NULL || !budget_has_free_place(b))
		return;
	for (m = next_hungry(best); m != NULL && !is_before_all(best, m); m = next_hungry(m)) {
		if (places_before(m, best) > 0) /* m's claim is better */
			best = m;
	}
	policy_worker_order(best->orders, ORDER_WAKE);
}

/* Takes g, which has no members, out of its budget. */
static void
end_group(struct budget_group *g)
{
	struct policy_budget *b = g->budget;

	assert(g->member_count == 0 && !is_in_use(g) && g->leaving == 0 && g->short_count == 0);
	change_group_used(g, -g->used);
	budget_add_to(&b->unequal_count, -(uint32_t)is_unequal(g));
	*g = (struct budget_group){ .in_transfer = g->in_transfer };
}

void
budget_note_transfer_lost(struct budget_group *g)
{
	struct policy_budget *b = g->budget;

	budget_add_to(&g->in_transfer, -1u);
	if (b == NULL)
		return;
	change_group_used(g, -1u);
	if (g->member_count == 0 && g->in_transfer == 0)
		end_group(g);
	budget_tell_keeper(b);
	budget_wake_best(b);
}

void
budget_leave(struct budget_member *m)
{
	struct policy_budget *b = m->budget;
	struct budget_group *g = m->group;
	uint32_t before = b->used;

	budget_publish(m, &(struct budget_view){ 0 });
	if (m->short_count > 0)
		TAILQ_REMOVE(&b->hungry, m, hungry_link);
	TAILQ_REMOVE(&b->members, m, link);
	budget_add_to(&g->short_count, -m->short_count);
	budget_add_to(&b->short_count, -m->short_count);
	change_used(m, -m->used);
	change_leaving(m, -m->leaving);
	budget_change_opening(m, -m->opening);
	b->kept.understocked_count -= m->is_understocked;
	budget_tell_keeper(b);
	m->budget = NULL;
	assert(g->member_count > 0);
	if (--g->member_count == 0)
		change_use(g, 0, false);
	/* Connections in transfer still count, except under a cap that may be freed with its last pool. */
	if (g->member_count == 0 && (g->in_transfer == 0 || b != m->worker->commons->total))
		end_group(g);
	if (b->used < before)
		budget_wake_best(b);
}

/* Makes the tick of the first hungry member's pool due in time, on behalf of all hungry members. */
static void
arm_first(struct policy_budget *b, const struct policy_worker *worker, uint64_t now_us)
{
	struct budget_member *first = first_hungry(b);
	uint64_t at_us = first != NULL ? budget_due_us(first, now_us) : UINT64_MAX;

	if (first == NULL || at_us >= first->orders->arm_at_us)
		return;
	if (first->worker != worker) {
		if (at_us == first->armed_us)
			return;
		first->armed_us = at_us;
	}
	first->orders->arm_at_us = at_us;
	policy_worker_order(first->orders, ORDER_ARM);
}

/* Called under the lock, which is released in between. policy_worker_unlock_and_act() must follow. */
static void
review(struct policy_budget *b, struct policy_worker *worker, uint64_t now_us)
{
	if (!is_tight(b))
		return;
	/* While reclaim() runs, the pool that gives up a connection calls this again, and so may other threads: then
	 * the running review starts again. */
	if (b->review != REVIEW_NONE) {
		b->review = REVIEW_ONCE_MORE;
		return;
	}
	do {
		b->review = REVIEW_RUNS;
		reclaim(b, worker, now_us);
	} while (b->review == REVIEW_ONCE_MORE);
	b->review = REVIEW_NONE;
	if (TAILQ_EMPTY(&b->hungry))
		return;
	budget_wake_best(b);
	arm_first(b, worker, now_us);
}

void
budget_review_and_unlock(struct policy_budget *b, struct policy_worker *worker, uint64_t now_us)
{
	budget_update_limit(b);
	budget_update_watched(b, worker);
	review(b, worker, now_us);
	policy_worker_unlock_and_act(worker, now_us);
}

void
budget_review(struct budget_member *m, uint64_t now_us)
{
	policy_worker_lock(m->worker);
	budget_review_and_unlock(m->budget, m->worker, now_us);
}

void
budget_report(struct budget_member *m, uint32_t short_count, uint64_t now_us)
{
	struct policy_budget *b = m->budget;

	policy_worker_lock(m->worker);
	if (m->short_count == 0 && short_count > 0)
		insert_hungry(b, m);
	if (m->short_count > 0 && short_count == 0)
		TAILQ_REMOVE(&b->hungry, m, hungry_link);
	if (m->short_count != short_count)
		budget_tell_keeper(b);
	budget_add_to(&m->group->short_count, short_count - m->short_count);
	budget_add_to(&b->short_count, short_count - m->short_count);
	m->short_count = short_count;
	budget_review_and_unlock(b, m->worker, now_us);
}

void
policy_budget_set_limit(struct policy_budget *b, struct policy_worker *worker, uint32_t limit, uint64_t now_us)
{
	policy_worker_lock(worker);
	b->limit = limit;
	budget_review_and_unlock(b, worker, now_us);
}
