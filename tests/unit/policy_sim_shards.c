/* tests/unit/policy_sim_shards.c - the books of a pool on several workers, and of its rival. See policy_sim.h. */
#include "policy_sim.h"

#include "policy/policy_circuit.h"
#include "policy/policy_state.h"

bool
is_rival(const struct sim_pool *sp)
{
	return sp->sim->shared != NULL && sp->index == sp->sim->pool_count - 1;
}

static const struct sim_pool *
rival_of(const struct sim *s)
{
	return &s->pools[s->pool_count - 1];
}

/* Of all shards. One that is transferred to a shard is counted there. */
static uint32_t
count(const struct sim *s, enum model_state state)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < s->pool_count - 1; i++)
		n += model_count(&s->pools[i], state);
	return n;
}

static uint32_t
total_of(const struct sim *s, bool is_of_rival)
{
	uint32_t of_rival = model_total(rival_of(s));

	return is_of_rival ? of_rival : sim_total(s) - of_rival;
}

static uint32_t
total(const struct sim *s)
{
	return total_of(s, false);
}

static bool
is_cap_full(const struct sim *s)
{
	return s->budget_limit > 0 && sim_total(s) >= s->budget_limit;
}

static bool
is_any_closing(const struct sim *s)
{
	return count(s, M_CLOSING) + model_count(rival_of(s), M_CLOSING) > 0;
}

/* Returns true if a place may be left to a worker that hangs, as nobody knows that it does. */
static bool
may_be_left(const struct sim *s)
{
	bool hangs = false;

	for (unsigned i = 0; i < s->worker_count; i++)
		hangs |= s->workers[i].hangs && !s->workers[i].is_silent;
	return hangs && s->budget_limit > 0;
}

static uint32_t
live(const struct sim *s)
{
	return total(s) - count(s, M_CLOSING);
}

static uint32_t
limit(const struct sim *s)
{
	uint32_t most = model_limit(&s->pools[0]);

	return s->now_us < s->whole.lowered_until_us && s->whole.lowered_limit < most ? s->whole.lowered_limit : most;
}

static bool
is_backing_off(const struct sim_pool *sp)
{
	struct policy_counts counts;

	policy_get_counts(sp->pool, &counts);
	return sp->sim->now_us < counts.backoff_until_us;
}

static bool
can_be_transferred(const struct sim_conn *sc)
{
	return !sc->cannot_be_transferred && !sc->conn.is_recycle_due && sc->conn.round == sc->sp->sim->shared->round;
}

/* Returns false until both workers' loops have gone round since one was given to it: it may not have been of use yet.
 */
static bool
may_have_another(const struct sim_worker *from, const struct sim_worker *to)
{
	unsigned number = (unsigned)(to - to->sim->workers);

	return !from->given[number].is_any ||
	       (from->turns != from->given[number].own_turns && to->turns != from->given[number].its_turns);
}

void
shards_failed(struct sim_pool *sp, enum connect_failure kind)
{
	struct sim *s = sp->sim;

	if (is_rival(sp))
		return;
	s->whole.is_failing = true;
	if (kind != CF_TOO_MANY)
		return;
	s->whole.lowered_limit = live(s) > 0 ? live(s) : 1;
	s->whole.lowered_until_us = s->now_us + 30000000;
}

void
shards_check_open(struct sim_pool *sp)
{
	struct sim *s = sp->sim;

	SIM_HOLDS(s, is_rival(sp) || total(s) < limit(s), "part %u opens one, and there are %u of %u", sp->index,
		  total(s), limit(s));
	SIM_HOLDS(s, !is_cap_full(s), "part %u opens one above the cap of %u", sp->index, s->budget_limit);
	SIM_HOLDS(s, !sp->is_paused || is_rival(sp), "part %u opens while paused", sp->index);
	if (!is_rival(sp) && s->whole.previous_total <= total(s))
		s->whole.previous_total = total(s) + 1;
	if (s->previous_used <= sim_total(s))
		s->previous_used = sim_total(s) + 1;
}

void
shards_check_lent(const struct sim_conn *sc)
{
	SIM_HOLDS(sc->sp->sim, !sc->was_transferred || sc->conn.round == sc->sp->sim->shared->round,
		  "part %u lends one that came from before a reload", sc->sp->index);
}

/* Nobody is overtaken by one who came more than a millisecond later; but for those for whom one is on its way. */
void
shards_check_grant(const struct sim_conn *sc, const struct sim_client *c)
{
	struct sim *s = c->sp->sim;

	if (sc->was_transferred || !can_be_transferred(sc) || sc->state == M_IDLE)
		return;
	for (unsigned i = 0; i < s->pool_count - 1; i++) {
		const struct sim_pool *other = &s->pools[i];

		if (other == c->sp || other->line_len == 0 || other->pool == NULL || other->is_paused ||
		    other->worker->is_silent || model_count(other, M_IN_TRANSFER) > 0 || other->on_stack > 0 ||
		    !may_have_another(c->sp->worker, other->worker))
			continue;
		SIM_HOLDS(s, other->line[0]->since_us + SHARD_LATE_US >= c->since_us,
			  "part %u: one who came at %llu was overtaken by one of part %u who came at %llu", i,
			  (unsigned long long)other->line[0]->since_us, c->sp->index, (unsigned long long)c->since_us);
	}
}

void
shards_check_give(const struct sim_conn *sc, const struct sim_pool *to)
{
	struct sim *s = to->sim;
	unsigned from = sc->sp->index;

	SIM_HOLDS(s, sc->state == M_IDLE || sc->state == M_LOOSE, "part %u gives one in state %d", from, sc->state);
	SIM_HOLDS(s, sc->conn.state == PC_NONE && to != sc->sp && to->pool != NULL, "part %u gives one to nobody",
		  from);
	SIM_HOLDS(s, can_be_transferred(sc) || sc->cannot_be_transferred, "part %u gives one that must not cross",
		  from);
	SIM_HOLDS(s, !to->worker->is_silent, "part %u gives one to part %u, which does not answer", from, to->index);
	SIM_HOLDS(s, sc->cannot_be_transferred || model_count(to, M_IN_TRANSFER) < to->line_len,
		  "%u are on their way to part %u, where %u wait", model_count(to, M_IN_TRANSFER) + 1, to->index,
		  to->line_len);
}

/* Returns true if a place may be left to other shards for a moment, which was made for them. */
static bool
leaves_a_place(const struct sim_pool *sp)
{
	uint64_t made_us = sp->pool->shard.place_made_us;

	return made_us != 0 && sp->sim->now_us <= made_us + SHARD_PLACE_KEPT_US;
}

/* Returns true if there is a reason not to open one now: it is paced, or the next attempt has its time. */
static bool
is_paced(const struct sim_pool *sp)
{
	const struct sim *s = sp->sim;

	return is_backing_off(sp) || model_count(sp, M_OPENING) > 0 || s->whole.is_failing ||
	       (sp->settings.overflow_delay_us > 0 && total(s) + leaves_a_place(sp) >= sp->settings.pool_size);
}

/* Somebody has just begun to wait there: nobody waits for more idle ones than there are. */
void
shards_check_supply(const struct sim_pool *sp)
{
	struct sim *s = sp->sim;
	uint32_t idle = count(s, M_IDLE);

	if (!is_rival(sp) && !sp->is_paused && !is_paced(sp))
		SIM_HOLDS(s,
			  sp->line_len <= idle + model_count(sp, M_PINGING) + model_count(sp, M_IN_TRANSFER) ||
			      total(s) + leaves_a_place(sp) >= limit(s) || s->budget_limit > 0,
			  "part %u: %u wait, %u are idle, and none is opening", sp->index, sp->line_len, idle);
}

/* --- After each step. --- */

static void
check_whole(struct sim *s)
{
	uint32_t n = total(s), l = live(s), opening = count(s, M_OPENING), most = model_limit(&s->pools[0]);
	const struct policy_shared *w = s->shared;

	SIM_HOLDS(s, n <= most || n <= s->whole.previous_total, "%u connections, limit %u", n, most);
	s->whole.previous_total = n;
	SIM_HOLDS(s, s->budget_limit == 0 || sim_total(s) <= s->budget_limit || sim_total(s) <= s->previous_used,
		  "%u connections and %u of the rival, the cap is %u", n, total_of(s, true), s->budget_limit);
	s->previous_used = sim_total(s);
	SIM_HOLDS(s, policy_budget_used(s->budget) == s->previous_used, "the cap counts %u, there are %u",
		  policy_budget_used(s->budget), s->previous_used);
	SIM_HOLDS(s, w->used == n && w->live == l && w->verified == l - opening,
		  "the whole counts %u, %u, %u; there are %u, %u, %u", w->used, w->live, w->verified, n, l,
		  l - opening);
}

static void
check_places(struct sim *s)
{
	uint32_t waiting = rival_of(s)->line_len;

	check_whole(s);
	for (unsigned i = 0; i < s->pool_count; i++)
		SIM_HOLDS(s, model_count(&s->pools[i], M_LOOSE) == 0,
			  "part %u leaves one that is neither lent nor idle", i);
	for (unsigned i = 0; i < s->pool_count - 1; i++) {
		const struct sim_pool *sp = &s->pools[i];
		uint32_t coming = model_count(sp, M_IN_TRANSFER);

		SIM_HOLDS(s, s->shared->coming[i] == coming, "%u are coming to part %u, there are %u",
			  s->shared->coming[i], i, coming);
		waiting += sp->worker->is_silent && s->budget_limit == 0 ? 0 : sp->line_len;
		if (sp->pool != NULL)
			check_states(sp);
	}
	for (unsigned i = 0; i < s->pool_count - 1 && waiting == 0; i++)
		SIM_HOLDS(s,
			  s->pools[i].pool == NULL || s->pools[i].worker->is_silent ||
			      !policy_has_unserved_waiters(s->pools[i].pool),
			  "part %u believes that somebody waits", i);
}

/* --- Under the cap: shares by weight of those in use, which have demand or rest for a while. --- */

static bool
is_in_use(const struct sim *s, bool is_of_rival)
{
	unsigned from = is_of_rival ? s->pool_count - 1 : 0, to = is_of_rival ? s->pool_count : s->pool_count - 1;

	for (unsigned i = from; i < to; i++) {
		const struct sim_pool *sp = &s->pools[i];
		bool rests = sp->returned_us > 0 && s->now_us < sp->returned_us + BUDGET_TURN_US;

		if (rests || sp->line_len > 0 || model_count(sp, M_LENT) > 0)
			return true;
	}
	return false;
}

static uint32_t
share(const struct sim *s, bool is_of_rival)
{
	uint32_t of_rival = rival_of(s)->settings.share_weight, of_whole = s->pools[0].settings.share_weight;
	uint32_t own = is_of_rival ? of_rival : of_whole, sum = own;

	if (is_in_use(s, !is_of_rival))
		sum = of_rival + of_whole;
	return s->budget_limit * own / sum > 0 ? s->budget_limit * own / sum : 1;
}

/* sp waits, and only the cap is in its way: the other pool has no idle ones above its share, if this is below its. */
static void
check_share(struct sim *s, const struct sim_pool *sp)
{
	bool is_his = is_rival(sp);
	uint32_t own = total_of(s, is_his), others = total_of(s, !is_his), idle;
	uint32_t kept = is_in_use(s, !is_his) ? share(s, !is_his) : 0;

	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i].hangs)
			return;
	if (own >= share(s, is_his) || is_any_closing(s))
		return;
	idle = is_his ? count(s, M_IDLE) : model_count(rival_of(s), M_IDLE);
	SIM_HOLDS(s, idle == 0 || others <= kept || own + others > s->budget_limit,
		  "part %u waits below its share of %u, and %u of %u others are idle, whose share is %u", sp->index,
		  share(s, is_his), idle, others, kept);
}

static void
check_rival(struct sim *s)
{
	const struct sim_pool *sp = rival_of(s);

	if (sp->is_paused || model_hangs(sp) || sp->line_len <= model_count(sp, M_PINGING) || is_backing_off(sp) ||
	    model_count(sp, M_OPENING) > 0 || model_total(sp) >= sp->settings.pool_size)
		return;
	SIM_HOLDS(s, is_cap_full(s) || may_be_left(s), "the rival: %u wait, and the cap has a free place",
		  sp->line_len);
	check_share(s, sp);
}

/* sp waits: what is idle elsewhere comes, or makes room. */
static void
check_idle_elsewhere(struct sim *s, const struct sim_pool *sp, bool is_any_coming)
{
	bool is_expecting = shard_count_expected_now(&sp->pool->shard, s->now_us) > 0; /* of one that it has asked */
	bool has_room = live(s) < limit(s) &&
			(!is_cap_full(s) || is_any_closing(s) || is_expecting || may_be_left(s) || leaves_a_place(sp));

	for (unsigned i = 0; i < s->pool_count - 1; i++) {
		const struct sim_pool *other = &s->pools[i];
		const struct sim_conn *sc;

		if (other == sp || other->line_len > 0 || model_hangs(other))
			continue;
		TAILQ_FOREACH(sc, &other->conns, link) {
			SIM_HOLDS(s, sc->state != M_IDLE || !can_be_transferred(sc),
				  "somebody waits in part %u while one is idle in part %u", sp->index, i);
			SIM_HOLDS(s, sc->state != M_IDLE || is_any_coming || is_paced(sp) || has_room,
				  "somebody waits in part %u while one that can't cross keeps its place in part %u",
				  sp->index, i);
		}
	}
}

/* Every tick that was due has been given, all orders were heard, and nothing is transferred. */
static void
check_settled(struct sim *s)
{
	for (unsigned i = 0; i < s->pool_count - 1; i++) {
		const struct sim_pool *sp = &s->pools[i];
		uint32_t coming = model_count(sp, M_OPENING) + model_count(sp, M_PINGING);

		if (sp->pool == NULL || sp->line_len == 0 || model_hangs(sp))
			continue;
		check_idle_elsewhere(s, sp, coming > 0);
		if (coming >= sp->line_len || is_paced(sp))
			continue;
		if (sp->due_us <= s->now_us + SHARD_ASK_US)
			continue; /* it has asked for one that can't be transferred */
		if (leaves_a_place(sp) && sp->due_us <= s->now_us + SHARD_PLACE_KEPT_US)
			continue;
		SIM_HOLDS(s, total(s) >= limit(s) || is_cap_full(s) || may_be_left(s),
			  "part %u: %u wait, %u of %u places are taken, and none is opening", i, sp->line_len, total(s),
			  limit(s));
		if (total(s) < limit(s))
			check_share(s, sp);
	}
	check_rival(s);
}

void
shards_check_all(struct sim *s, bool is_settled)
{
	check_places(s);
	for (unsigned i = 0; i < s->pool_count - 1; i++) /* where one crosses, its arrival is to be expected */
		is_settled = is_settled && (model_hangs(&s->pools[i]) || model_count(&s->pools[i], M_IN_TRANSFER) == 0);
	if (is_settled && !rival_of(s)->is_paused)
		check_settled(s);
}

void
shards_check_rest(struct sim *s)
{
	SIM_HOLDS(s, live(s) <= s->pools[0].settings.pool_size, "%u stay of %u", live(s),
		  s->pools[0].settings.pool_size);
	SIM_HOLDS(s, s->whole.outages == 0 || s->shared->verified == 0, "an outage does not end");
}
