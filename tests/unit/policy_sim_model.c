/* tests/unit/policy_sim_model.c - the rules of the pool, implemented once more and independently of src/pool. See
 * policy_sim.h. */
#include "policy_sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TURN_US 100000u /* policy_budget: a passed-on place is kept this long */
#define NEWCOMER_US 1500000u
#define LOOKED_AT 8 /* so many idle ones are looked at for a GUC set */

void
sim_broken(struct sim *s, const char *fmt, ...)
{
	va_list ap;
	size_t used;

	if (s->report[0] != '\0')
		return; /* the first counts */
	used = (size_t)snprintf(s->report, sizeof(s->report),
				"PGWEIR_SIM_SEED=%llu step %u: ", (unsigned long long)s->seed, s->step);
	va_start(ap, fmt);
	vsnprintf(s->report + used, sizeof(s->report) - used, fmt, ap);
	va_end(ap);
}

/* --- What there is. --- */

uint32_t
model_count(const struct sim_pool *sp, enum model_state state)
{
	const struct sim_conn *sc;
	uint32_t n = 0;

	TAILQ_FOREACH(sc, &sp->conns, link)
		n += sc->state == state;
	return n;
}

uint32_t
model_total(const struct sim_pool *sp)
{
	const struct sim_conn *sc;
	uint32_t n = 0;

	TAILQ_FOREACH(sc, &sp->conns, link)
		n++;
	return n;
}

uint32_t
sim_total(const struct sim *s)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < s->pool_count; i++)
		n += model_total(&s->pools[i]);
	for (unsigned i = 0; i < s->worker_count; i++)
		n += s->workers[i].places.used;
	return n;
}

uint32_t
model_live(const struct sim_pool *sp)
{
	return model_total(sp) - model_count(sp, M_CLOSING) - model_count(sp, M_CHECKING);
}

uint32_t
model_limit(const struct sim_pool *sp)
{
	return sp->settings.pool_size + sp->settings.max_overflow;
}

static uint32_t
limit_now(const struct sim_pool *sp)
{
	uint32_t limit = model_limit(sp);

	return sp->sim->now_us < sp->lowered_until_us && sp->lowered_limit < limit ? sp->lowered_limit : limit;
}

static uint32_t
pace(const struct sim_pool *sp)
{
	uint32_t most = sp->settings.opens_at_once == 0 ? 16 : sp->settings.opens_at_once, trials = 1;
	const struct sim_conn *sc;

	if (sp->failed_rounds == 0)
		return sp->ramp > 0 && sp->ramp < most ? sp->ramp : most;
	if (sp->line_len == 0 || !model_waits_on(sp->line[sp->line_len - 1]))
		return 1;
	TAILQ_FOREACH(sc, &sp->conns, link) {
		uint32_t more = (uint32_t)((sp->sim->now_us - sc->started_us) / 500000);

		if (sc->state == M_OPENING && 1 + more > trials)
			trials = 1 + more;
	}
	return trials < most ? trials : most;
}

static struct policy_outage
outage_of(const struct sim_pool *sp)
{
	struct policy_counts counts;

	policy_get_counts(sp->pool, &counts);
	return counts.outage;
}

bool
model_waits_on(const struct sim_client *c)
{
	const struct sim_pool *sp = c->sp;

	return !sp->is_last_fatal &&
	       (sp->settings.on_outage == OUTAGE_HOLD || sp->last_kind == CF_TOO_MANY || c->is_patient);
}

uint64_t
model_deadline(const struct sim_client *c)
{
	const struct sim_pool *sp = c->sp;
	struct policy_outage outage = outage_of(sp);
	bool is_held = sp->settings.on_outage == OUTAGE_HOLD && outage.since_us > 0 && !sp->is_paused;
	uint64_t limit_us = is_held ? sp->settings.hold_us : sp->settings.timeout_us;
	uint64_t from_us = is_held && outage.since_us > sp->limits_from_us ? outage.since_us : sp->limits_from_us;

	return limit_us == 0 ? SIM_NEVER : (c->since_us > from_us ? c->since_us : from_us) + limit_us;
}

void
model_lost(struct sim_pool *sp, const struct sim_conn *sc)
{
	struct policy_counts counts;

	policy_get_counts(sp->pool, &counts);
	if (sc->conn.state != PC_LENT || counts.lent + counts.idle + counts.pinging > 1)
		return;
	for (unsigned i = 0; i < sp->line_len; i++)
		sp->line[i]->is_patient = true;
}

void
model_outage_ends(struct sim_pool *sp)
{
	for (unsigned i = 0; i < sp->line_len; i++)
		sp->line[i]->is_patient = false;
	if (outage_of(sp).since_us == 0)
		return;
	sp->ramp = 1;
	if (sp->settings.on_outage == OUTAGE_HOLD)
		sp->limits_from_us = sp->sim->now_us;
}

uint32_t
model_min_idle(const struct sim_pool *sp)
{
	if (sp->is_paused || !sp->is_in_use)
		return 0;
	return sp->settings.min_idle < sp->settings.pool_size ? sp->settings.min_idle : sp->settings.pool_size;
}

bool
model_needs_ping(const struct sim_conn *sc)
{
	const struct policy_settings *set = &sc->sp->settings;

	if (sc->epoch < sc->sp->epoch)
		return true;
	return set->pre_ping && sc->sp->sim->now_us - sc->heard_us >= set->pre_ping_idle_us;
}

static bool
is_backing_off(const struct sim_pool *sp)
{
	struct policy_counts counts;

	policy_get_counts(sp->pool, &counts);
	return sp->failed_rounds > 0 && sp->sim->now_us < counts.backoff_until_us;
}

static bool
is_anything_there(const struct sim_pool *sp)
{
	return model_live(sp) > model_count(sp, M_OPENING);
}

uint64_t
model_hopeless_us(const struct sim_pool *sp)
{
	struct policy_counts counts;
	uint64_t at_us, backoff_us;

	if (sp->line_len == 0 || sp->is_paused || sp->failed_rounds == 0 || is_anything_there(sp))
		return SIM_NEVER;
	if (model_live(sp) == 0 && is_backing_off(sp))
		return sp->sim->now_us;
	policy_get_counts(sp->pool, &counts);
	if (counts.outage.since_us == 0 || sp->answers)
		return SIM_NEVER;
	if (sp->is_silent)
		return sp->sim->now_us;
	at_us = counts.outage.since_us > sp->line[0]->since_us ? counts.outage.since_us : sp->line[0]->since_us;
	backoff_us = sp->failed_us == sp->sim->now_us ? sp->backoff_to_us : counts.backoff_until_us;
	if (backoff_us < at_us)
		backoff_us = at_us;
	return backoff_us < at_us + 500000 ? backoff_us + 500000 : at_us + 1000000;
}

static bool
is_hopeless(const struct sim_pool *sp)
{
	uint64_t now_us = sp->sim->now_us;
	/* The pool may not know yet. */
	bool backs_off = sp->backed_off_us == now_us && sp->backoff_from_us > now_us && model_live(sp) == 0;
	bool is_silent = sp->failed_us == now_us && sp->is_silent && !sp->is_last_fatal && !is_anything_there(sp);

	if (sp->failed_rounds > 0 && !sp->is_paused && (backs_off || is_silent))
		return true;
	return model_hopeless_us(sp) <= sp->sim->now_us;
}

bool
model_doom(struct sim_pool *sp)
{
	if (!is_hopeless(sp))
		return false;
	for (unsigned i = 0; i < sp->line_len; i++)
		sp->line[i]->is_doomed = sp->line[i]->is_doomed || !model_waits_on(sp->line[i]);
	return true;
}

bool
model_hangs(const struct sim_pool *sp)
{
	return sp->worker->hangs;
}

static uint32_t
unserved(const struct sim_pool *sp)
{
	uint32_t coming = model_count(sp, M_OPENING) + model_count(sp, M_PINGING);

	return sp->line_len > coming ? sp->line_len - coming : 0;
}

/* --- Failures. --- */

static bool
is_silence(const struct sim_pool *sp, enum connect_failure kind, uint64_t started_us)
{
	return kind == CF_TIMEOUT || sp->sim->now_us - started_us >= 500000;
}

void
model_failed(struct sim_pool *sp, enum connect_failure kind, bool is_fatal, uint64_t started_us)
{
	uint64_t now_us = sp->sim->now_us, us = 50000;
	bool is_asked = sp->line_len > 0 || sp->asked_us > sp->backed_off_us;

	if (sp->sim->shared != NULL)
		shards_failed(sp, kind);
	sp->last_kind = kind;
	sp->is_last_fatal = is_fatal;
	sp->is_silent = is_silence(sp, kind, started_us);
	sp->answers = false;
	sp->failed_us = now_us;
	sp->fail_began_us = started_us;
	if (is_fatal)
		model_outage_ends(sp);
	if (kind == CF_TOO_MANY) {
		sp->lowered_limit = model_live(sp) > 0 ? model_live(sp) : 1;
		sp->lowered_until_us = now_us + 30000000;
		if (model_live(sp) > 0)
			return;
	}
	if (sp->failed_rounds > 0 && started_us <= sp->backed_off_us && started_us < sp->backoff_to_us)
		return; /* begun before we knew: the same failure */
	for (uint32_t i = 0; i < sp->failed_rounds && i < 12; i++)
		us *= 2;
	if (us > (is_asked ? 400000 : 15000000))
		us = is_asked ? 400000 : 15000000;
	sp->failed_rounds++;
	sp->backed_off_us = now_us;
	sp->backoff_from_us = now_us + us * 8 / 10;
	sp->backoff_to_us = now_us + us * 12 / 10;
}

static uint64_t
before_asked(const struct sim_pool *sp, uint64_t t_us)
{
	return t_us < sp->sim->now_us + 400000 ? t_us : sp->sim->now_us + 400000;
}

void
model_is_asked(struct sim_pool *sp)
{
	sp->asked_us = sp->sim->now_us;
	sp->backoff_from_us = before_asked(sp, sp->backoff_from_us);
	sp->backoff_to_us = before_asked(sp, sp->backoff_to_us);
}

void
model_health_check_failed(struct sim_pool *sp, enum connect_failure kind, bool is_fatal, uint64_t started_us)
{
	if (outage_of(sp).since_us == 0 || sp->failed_rounds == 0)
		return;
	sp->answers = is_fatal || kind == CF_TOO_MANY;
	sp->is_silent = !sp->answers && is_silence(sp, kind, started_us);
	if (!sp->answers)
		sp->last_kind = kind;
}

void
model_heard(struct sim_pool *sp, const struct sim_conn *gone)
{
	if (gone->heard_us > sp->heard_us)
		sp->heard_us = gone->heard_us;
	if (sp->failed_rounds > 0 && !sp->is_last_fatal && outage_of(sp).since_us == 0 && !is_anything_there(sp) &&
	    sp->heard_us > sp->fail_began_us && (sp->last_kind == CF_REFUSED || sp->last_kind == CF_TIMEOUT))
		model_worked(sp);
}

void
model_worked(struct sim_pool *sp)
{
	sp->down_since_us = 0;
	sp->failed_rounds = 0;
	sp->backoff_from_us = sp->backoff_to_us = 0;
}

/* --- The shared cap. --- */

static bool
has_demand(const struct sim_pool *sp)
{
	return sp->line_len > 0 || model_count(sp, M_LENT) > 0;
}

/* It was in use a moment ago, and may be so again. */
static bool
is_resting(const struct sim_pool *sp)
{
	return !has_demand(sp) && sp->returned_us > 0 && sp->sim->now_us < sp->returned_us + TURN_US;
}

static uint64_t
weight_of(const struct sim_pool *sp)
{
	return sp->settings.share_weight > 0 ? sp->settings.share_weight : 1;
}

/* The pools in use. */
struct users {
	uint64_t count, plain, weights, reserved;
};

static struct users
count_users(const struct sim *s)
{
	struct users u = { 0 };

	for (unsigned i = 0; i < s->pool_count; i++) {
		const struct sim_pool *sp = &s->pools[i];

		if (!has_demand(sp) && !is_resting(sp))
			continue;
		u.count++;
		u.plain += sp->settings.share_min == 0;
		u.weights += weight_of(sp);
		u.reserved += sp->settings.share_min;
	}
	return u;
}

/* One is left for those that have none of their own. */
static uint64_t
reservable(const struct sim *s)
{
	return s->budget_limit - (s->budget_limit > 0 && count_users(s).plain > 0 ? 1 : 0);
}

static uint64_t
common(const struct sim *s)
{
	uint64_t reserved = count_users(s).reserved, most = reservable(s);

	return s->budget_limit - (reserved < most ? reserved : most);
}

/* The places that are its own. */
static uint64_t
own(const struct sim_pool *sp)
{
	uint64_t most = reservable(sp->sim), reserved = count_users(sp->sim).reserved;
	uint64_t mine = sp->settings.share_min;

	return reserved > most ? mine * most / reserved : mine < most ? mine : most;
}

static uint32_t
fair_share(const struct sim_pool *sp)
{
	uint64_t weights = count_users(sp->sim).weights, weight = weight_of(sp), share;

	share = own(sp) + common(sp->sim) * weight / (weights > weight ? weights : weight);
	return share == 0 ? 1 : (uint32_t)share;
}

static bool
is_scarce(const struct sim *s)
{
	struct users u = count_users(s);

	return s->budget_limit < u.count || common(s) < u.plain;
}

/* What it need not give up for others. */
static uint32_t
keeps(const struct sim_pool *sp)
{
	if (has_demand(sp))
		return fair_share(sp);
	if (!is_resting(sp) || (is_scarce(sp->sim) && sp->sim->now_us >= sp->turn_end_us))
		return 0;
	return fair_share(sp);
}

/* What this pool would open now, but for the cap. */
static uint32_t
shortage(const struct sim_pool *sp)
{
	uint32_t need = unserved(sp), total = model_total(sp), opening = model_count(sp, M_OPENING), room;

	if (sp->is_paused || is_backing_off(sp) || total >= limit_now(sp) || opening >= pace(sp))
		return 0;
	room = limit_now(sp) - total < pace(sp) - opening ? limit_now(sp) - total : pace(sp) - opening;
	return need < room ? need : room;
}

static int64_t
missing(const struct sim *s, const struct sim_pool *except)
{
	int64_t n = (int64_t)policy_budget_used(s->budget) - s->budget_limit;

	for (unsigned i = 0; i < s->pool_count; i++) {
		const struct sim_pool *sp = &s->pools[i];
		uint32_t live = model_live(sp), lacks = shortage(sp), share = fair_share(sp);

		if (model_hangs(sp))
			continue;
		n -= model_count(sp, M_CLOSING);
		if (sp != except && live < share)
			n += lacks < share - live ? lacks : share - live;
	}
	return n;
}

static uint64_t
first_since(const struct sim_pool *sp)
{
	return sp->line_len > 0 ? sp->line[0]->since_us : SIM_NEVER;
}

bool
model_asks_back(const struct sim_conn *sc)
{
	const struct sim *s = sc->sp->sim;
	uint32_t share, live = model_live(sc->sp);
	bool is_anyones_turn = false;

	if (s->budget == NULL || s->budget_limit == 0 || s->worker_count > 1)
		return false;
	share = fair_share(sc->sp);
	for (unsigned i = 0; i < s->pool_count; i++) {
		const struct sim_pool *o = &s->pools[i];

		if (o == sc->sp || shortage(o) == 0)
			continue;
		if (model_live(o) < own(o) || (model_live(o) == 0 && first_since(o) < first_since(sc->sp)))
			is_anyones_turn = true;
	}
	if (live < share || live <= own(sc->sp))
		return false;
	if (live == share && (!is_scarce(s) || s->now_us - sc->opened_us < TURN_US || !is_anyones_turn))
		return false;
	return missing(s, sc->sp) > 0;
}

/* < 0: one pool with so many places has a better claim to the next than another with those; > 0: a worse one. */
static int
compare_claims(const struct sim_pool *a, uint64_t a_has, const struct sim_pool *b, uint64_t b_has)
{
	uint64_t a_min = own(a), b_min = own(b), of_a, of_b;
	bool a_lacks = a_has < a_min, b_lacks = b_has < b_min;

	if (a_lacks != b_lacks)
		return a_lacks ? -1 : 1;
	of_a = a_lacks ? a_has * b_min : (a_has - a_min) * weight_of(b);
	of_b = a_lacks ? b_has * a_min : (b_has - b_min) * weight_of(a);
	return of_a < of_b ? -1 : of_a > of_b;
}

/* Free places that others may have before this one, whose own state is not looked at as it is changing. */
static uint64_t
places_before(const struct sim_pool *sp)
{
	const struct sim *s = sp->sim;
	uint32_t live = model_live(sp);
	uint64_t before = 0;

	for (unsigned i = 0; i < s->pool_count; i++) {
		const struct sim_pool *o = &s->pools[i];
		uint32_t its = model_live(o), n = 0;

		/* One that is being changed itself, or has not yet heard that time has passed, may know of no shortage.
		 */
		if (o == sp || o->on_stack > 0 || o->due_us <= s->now_us)
			continue;
		while (n < shortage(o)) {
			int order = compare_claims(o, its + n, sp, live);

			if (order > 0 || (order == 0 && first_since(o) >= first_since(sp)))
				break;
			n++;
		}
		before += n;
	}
	return before;
}

static void
check_budget_place(struct sim_pool *sp, bool is_for_waiter)
{
	struct sim *s = sp->sim;
	uint32_t used;

	if (s->budget == NULL || s->budget_limit == 0)
		return;
	used = policy_budget_used(s->budget) - 1; /* its own place is taken */
	SIM_HOLDS(s, used < s->budget_limit, "pool %u opens although %u of %u places are taken", sp->index, used,
		  s->budget_limit);
	SIM_HOLDS(s, sim_total(s) < s->budget_limit, "pool %u opens one, and there are %u of %u", sp->index,
		  sim_total(s), s->budget_limit);
	SIM_HOLDS(s, !is_for_waiter || s->worker_count > 1 || s->budget_limit - used > places_before(sp),
		  "pool %u takes a place although others have a better claim", sp->index);
}

/* --- What the pool asks for. --- */

/* Returns true if it is for somebody in the queue. */
static bool
check_need(struct sim_pool *sp)
{
	struct sim *s = sp->sim;
	uint32_t total = model_total(sp), opening = model_count(sp, M_OPENING);
	uint32_t coming = opening + model_count(sp, M_PINGING);
	bool is_for_waiter =
	    coming + model_count(sp, M_LOOSE) < sp->line_len; /* one that is loose is somebody's soon */
	const struct sim_conn *sc;
	bool is_for_stock =
	    total < sp->settings.pool_size &&
	    coming + model_count(sp, M_IDLE) + model_count(sp, M_LOOSE) < model_min_idle(sp) + sp->line_len;

	SIM_HOLDS(s, opening < pace(sp), "pool %u opens more than %u at once", sp->index, pace(sp));
	SIM_HOLDS(s, s->now_us >= sp->backoff_from_us, "pool %u opens while backing off", sp->index);
	SIM_HOLDS(s, is_for_waiter || is_for_stock, "pool %u opens one nobody needs", sp->index);
	TAILQ_FOREACH(sc, &sp->conns, link)
		SIM_HOLDS(s, !is_for_waiter || sc->state != M_IDLE || sc->epoch < sp->distrust_epoch,
			  "pool %u opens one rather than ping an idle one", sp->index);
	return is_for_waiter;
}

void
check_open(struct sim_pool *sp)
{
	struct sim *s = sp->sim;
	uint32_t total = model_total(sp);

	if (s->shared != NULL) {
		shards_check_open(sp);
		return;
	}
	SIM_HOLDS(s, !sp->is_paused, "pool %u opens while paused", sp->index);
	SIM_HOLDS(s, total < limit_now(sp), "pool %u opens one above its limit of %u", sp->index, limit_now(sp));
	check_budget_place(sp, !s->is_health_check && check_need(sp));
	/* From here on there may be as many: limits may be lowered before anybody counts again. */
	if (sp->previous_total <= total)
		sp->previous_total = total + 1;
	if (s->budget != NULL && s->previous_used < policy_budget_used(s->budget))
		s->previous_used = policy_budget_used(s->budget);
}

static bool
is_coldest(const struct sim_conn *sc)
{
	const struct sim_conn *o;

	TAILQ_FOREACH(o, &sc->sp->conns, link) {
		bool is_somebodys = o->state == M_LOOSE && o->conn.state == PC_LENT; /* its grant is next */

		if ((o->state == M_IDLE || o->state == M_LOOSE) && !is_somebodys &&
		    o->idle_since_us < sc->idle_since_us)
			return false;
	}
	return true;
}

static bool
may_overflow_close(const struct sim_conn *sc)
{
	const struct sim_pool *sp = sc->sp;
	uint32_t live = model_live(sp);

	if (live > model_limit(sp) || (sp->is_shrinking && live > sp->settings.pool_size))
		return true;
	return live > sp->settings.pool_size && sp->sim->now_us >= sc->idle_since_us + sp->settings.overflow_linger_us;
}

static bool
may_idle_close(const struct sim_conn *sc)
{
	const struct sim_pool *sp = sc->sp;
	uint32_t idle = model_count(sp, M_IDLE) + model_count(sp, M_LOOSE);

	return sp->settings.idle_timeout_us > 0 && idle > model_min_idle(sp) &&
	       sp->sim->now_us >= sc->idle_since_us + sp->settings.idle_timeout_us;
}

static bool
is_aged(const struct sim_conn *sc)
{
	return sc->conn.recycle_at_us > 0 && sc->sp->sim->now_us >= sc->conn.recycle_at_us &&
	       sc->sp->failed_rounds == 0;
}

static bool
ping_has_ended(const struct sim_conn *sc)
{
	const struct policy_settings *set = &sc->sp->settings;

	return sc->ping_has_failed ||
	       (set->ping_timeout_us > 0 && sc->sp->sim->now_us >= sc->pinged_us + set->ping_timeout_us);
}

/* An idle one goes for another pool's sake only from above the share, or where all must shrink. */
static bool
may_evict(const struct sim_pool *sp)
{
	const struct sim *s = sp->sim;
	uint32_t leaving = 0;

	for (unsigned i = 0; i < s->pool_count; i++)
		leaving += model_hangs(&s->pools[i]) ? 0 : model_count(&s->pools[i], M_CLOSING);
	return s->worker_count > 1 || sp->is_giving_up || model_live(sp) > keeps(sp) ||
	       policy_budget_used(s->budget) - leaving > s->budget_limit;
}

bool
model_is_paused(const struct sim_pool *sp)
{
	struct policy_counts counts;

	policy_get_counts(sp->pool, &counts);
	return counts.is_paused;
}

/* It has logged in just now, and nobody has had it. */
bool
model_is_new(const struct sim_conn *sc)
{
	return !sc->is_used && sc->opened_us == sc->sp->sim->now_us;
}

/* Is this a reason to close this one now? */
static bool
is_good_reason(const struct sim_conn *sc, enum recycle_reason reason)
{
	const struct sim_pool *sp = sc->sp;
	bool is_unlent = sc->state == M_IDLE || sc->state == M_LOOSE;

	switch (reason) {
	case RR_AGE:
		return is_unlent && is_aged(sc);
	case RR_IDLE:
		return is_unlent && may_idle_close(sc) && is_coldest(sc);
	case RR_OVERFLOW:
		return is_unlent && may_overflow_close(sc) && (sc->state == M_LOOSE || is_coldest(sc));
	case RR_FAILED_PING:
		return sc->state == M_PINGING && ping_has_ended(sc);
	case RR_EVICTED:
		return sc->state == M_LOOSE ? sp->sim->budget != NULL : is_coldest(sc) && may_evict(sp);
	case RR_RELOAD:
	case RR_SHUTDOWN:
	case RR_KILL:
		if (sc->state == M_LOOSE && model_is_new(sc) && sp->line_len > 0)
			return false; /* it serves once */
		return sp->closing_all == reason || sc->is_recycle_due || (sp->is_paused && reason == RR_KILL);
	default:
		return false;
	}
}

void
check_close(struct sim_conn *sc, enum recycle_reason reason)
{
	SIM_HOLDS(sc->sp->sim, sc->state != M_LENT, "pool %u closes a connection that is lent", sc->sp->index);
	SIM_HOLDS(sc->sp->sim, sc->state != M_CLOSING, "pool %u closes a connection twice", sc->sp->index);
	SIM_HOLDS(sc->sp->sim, sc->state != M_IN_TRANSFER, "pool %u closes one that has left", sc->sp->index);
	SIM_HOLDS(sc->sp->sim, sc->sp->sim->shared != NULL || is_good_reason(sc, reason),
		  "pool %u closes one in state %d for no good reason (%d)", sc->sp->index, sc->state, reason);
}

void
check_ping(struct sim_conn *sc)
{
	struct sim_pool *sp = sc->sp;
	uint64_t quiet_us = sp->sim->now_us - sc->heard_us;
	bool is_verifying = sc->epoch < sp->epoch;
	bool is_for_waiter = sp->line_len > 0 && model_needs_ping(sc);
	bool is_routine = sp->settings.ping_interval_us > 0 && quiet_us >= sp->settings.ping_interval_us;

	SIM_HOLDS(sp->sim, sc->state == M_IDLE || sc->state == M_LOOSE, "pool %u pings one in state %d", sp->index,
		  sc->state);
	SIM_HOLDS(sp->sim, sp->sim->shared != NULL || is_verifying || is_for_waiter || is_routine,
		  "pool %u pings for nothing", sp->index);
	SIM_HOLDS(sp->sim, !model_is_paused(sp), "pool %u pings while paused", sp->index);
}

/* a goes before b in the order of lending. */
static bool
goes_before(const struct sim_pool *sp, const struct sim_conn *a, const struct sim_conn *b)
{
	return sp->settings.lifo ? a->idle_since_us > b->idle_since_us : a->idle_since_us < b->idle_since_us;
}

void
check_lent_from_idle(struct sim_conn *sc, const struct sim_client *c)
{
	struct sim_pool *sp = sc->sp;
	const void *wants = c->waiter.gucs;
	bool is_match = wants != NULL && sc->gucs == wants;
	bool is_own = sp->settings.lifo && (wants == NULL || is_match) && sc->of == c->waiter.id &&
		      sp->sim->now_us - sc->idle_since_us < 10000;
	const struct sim_conn *o;

	if (sp->sim->shared != NULL)
		return;
	SIM_HOLDS(sp->sim, !sp->is_paused, "pool %u lends while paused", sp->index);
	SIM_HOLDS(sp->sim, sc->state == M_IDLE, "pool %u lends one in state %d", sp->index, sc->state);
	SIM_HOLDS(sp->sim, !model_needs_ping(sc), "pool %u lends one that was to be pinged first", sp->index);
	TAILQ_FOREACH(o, &sp->conns, link) {
		if (o == sc || o->state != M_IDLE || model_needs_ping(o))
			continue;
		if (!is_match && wants != NULL && o->gucs == wants)
			SIM_HOLDS(sp->sim, model_count(sp, M_IDLE) > LOOKED_AT,
				  "pool %u lends another image although this one was idle", sp->index);
		else if (!is_own && is_match == (wants != NULL && o->gucs == wants))
			SIM_HOLDS(sp->sim, !goes_before(sp, o, sc), "pool %u lends out of order", sp->index);
	}
}

void
check_recycle_times(struct sim_pool *sp)
{
	uint64_t us = sp->settings.recycle_us;
	struct sim_conn *sc;

	TAILQ_FOREACH(sc, &sp->conns, link) {
		uint64_t at_us = sc->conn.recycle_at_us;

		if (sc->state == M_OPENING || sc->state == M_CHECKING || sc->state == M_CLOSING)
			continue;
		if (at_us != 0 && at_us == sc->recycle_seen_us && at_us <= sp->sim->now_us) /* due: it stays so */
			continue;
		SIM_HOLDS(sp->sim,
			  us == 0 ? at_us == 0
				  : at_us >= sc->opened_us + us * 9 / 10 && at_us <= sc->opened_us + us * 11 / 10,
			  "pool %u wants one recycled at %llu", sp->index, (unsigned long long)at_us);
	}
}

/* --- After each step. --- */

void
check_states(const struct sim_pool *sp)
{
	struct policy_counts counts;

	policy_get_counts(sp->pool, &counts);
	SIM_HOLDS(sp->sim,
		  counts.opening == model_count(sp, M_OPENING) + model_count(sp, M_CHECKING) &&
		      counts.idle == model_count(sp, M_IDLE) && counts.pinging == model_count(sp, M_PINGING) &&
		      counts.lent == model_count(sp, M_LENT) && counts.closing == model_count(sp, M_CLOSING),
		  "pool %u: counts %u %u %u %u %u, there are %u %u %u %u %u", sp->index, counts.opening, counts.idle,
		  counts.pinging, counts.lent, counts.closing, model_count(sp, M_OPENING), model_count(sp, M_IDLE),
		  model_count(sp, M_PINGING), model_count(sp, M_LENT), model_count(sp, M_CLOSING));
	SIM_HOLDS(sp->sim, counts.waiting == sp->line_len, "pool %u: %u waiting, there are %u", sp->index,
		  counts.waiting, sp->line_len);
}

static void
check_counts(struct sim_pool *sp)
{
	struct sim *s = sp->sim;
	struct policy_counts counts;
	uint32_t total = model_total(sp), live = model_live(sp);

	check_states(sp);
	policy_get_counts(sp->pool, &counts);
	SIM_HOLDS(s, counts.oldest_waiter_us == (sp->line_len > 0 ? sp->line[0]->since_us : 0),
		  "pool %u: another waits longest", sp->index);
	SIM_HOLDS(s, counts.overflow == (live > sp->settings.pool_size ? live - sp->settings.pool_size : 0),
		  "pool %u: overflow %u", sp->index, counts.overflow);
	SIM_HOLDS(s, total <= model_limit(sp) || total <= sp->previous_total, "pool %u: %u connections, limit %u",
		  sp->index, total, model_limit(sp));
	sp->previous_total = total;
	if (sp->failed_rounds > 0)
		SIM_HOLDS(
		    s, counts.backoff_until_us >= sp->backoff_from_us && counts.backoff_until_us <= sp->backoff_to_us,
		    "pool %u: backs off until %llu", sp->index, (unsigned long long)counts.backoff_until_us);
	else
		SIM_HOLDS(s, counts.backoff_until_us == 0, "pool %u: backs off without a failure", sp->index);
}

static void
check_counters(struct sim_pool *sp)
{
	const struct pool_counters *is = &sp->counters;

	for (int i = 0; i < CS_COUNT; i++)
		SIM_HOLDS(sp->sim, is->checkouts[i] == sp->checkouts[i], "pool %u: checkouts[%d] is %llu, not %llu",
			  sp->index, i, (unsigned long long)is->checkouts[i], (unsigned long long)sp->checkouts[i]);
	SIM_HOLDS(sp->sim, is->waits == sp->waits, "pool %u: waits miscounted", sp->index);
	SIM_HOLDS(sp->sim, is->pool_timeouts == sp->timeouts, "pool %u: timeouts miscounted", sp->index);
	SIM_HOLDS(sp->sim, is->pings_ok == sp->pings_ok && is->pings_failed == sp->pings_failed,
		  "pool %u: pings miscounted", sp->index);
}

/*
 * While nothing is there and the last attempt has failed, who does not wait on is told within a second and a half.
 * After CF_TOO_MANY everybody waits on, until another attempt fails for another reason.
 */
static void
check_newcomers(struct sim_pool *sp)
{
	bool is_down = sp->failed_rounds > 0 && !sp->is_last_fatal && sp->last_kind != CF_TOO_MANY && !sp->is_paused &&
		       !is_anything_there(sp) && outage_of(sp).since_us > 0 && !sp->answers;
	uint64_t now_us = sp->sim->now_us;

	if (!is_down || sp->down_since_us == 0)
		sp->down_since_us = is_down ? now_us : 0;
	for (unsigned i = 0; i < sp->line_len && is_down; i++) {
		const struct sim_client *c = sp->line[i];

		SIM_HOLDS(sp->sim,
			  model_waits_on(c) || now_us < c->since_us + NEWCOMER_US ||
			      now_us < sp->down_since_us + NEWCOMER_US,
			  "pool %u: nothing can be opened, and a newcomer waits", sp->index);
	}
}

static void
check_supply(struct sim_pool *sp)
{
	struct sim *s = sp->sim;
	const struct sim_conn *sc;
	uint32_t lacks;

	if (sp->line_len == 0 || sp->is_paused)
		return;
	TAILQ_FOREACH(sc, &sp->conns, link)
		SIM_HOLDS(s, sc->state != M_IDLE || model_needs_ping(sc), "pool %u: somebody waits while one is idle",
			  sp->index);
	SIM_HOLDS(s, unserved(sp) == 0 || model_count(sp, M_IDLE) == 0, "pool %u: idle ones are not pinged for waiters",
		  sp->index);
	lacks = shortage(sp);
	SIM_HOLDS(s, lacks == 0 || s->budget != NULL, "pool %u: %u wait and only %u are opening, with room for more",
		  sp->index, sp->line_len, model_count(sp, M_OPENING));
	if (lacks > 0 && s->budget != NULL)
		SIM_HOLDS(s, s->budget_limit > 0 && policy_budget_used(s->budget) >= s->budget_limit,
			  "pool %u waits although the shared cap has a free place", sp->index);
}

static uint64_t
before(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The latest time at which the pool must be called. Sweeps may be up to a second late. */
static uint64_t
latest_tick(const struct sim_pool *sp)
{
	const struct policy_settings *set = &sp->settings;
	uint64_t now_us = sp->sim->now_us, at = SIM_NEVER, retry = now_us + 1000000;
	uint32_t idle = model_count(sp, M_IDLE), live = model_live(sp);
	const struct sim_conn *sc;

	if (sp->line_len > 0)
		at = before(at, model_deadline(sp->line[0]));
	if (sp->line_len > 0 && !model_waits_on(sp->line[sp->line_len - 1]))
		at = before(at, model_hopeless_us(sp));
	if (unserved(sp) > 0 && !sp->is_paused && is_backing_off(sp))
		at = before(at, sp->backoff_to_us);
	if (unserved(sp) > 0 && !sp->is_paused && now_us < sp->lowered_until_us)
		at = before(at, sp->lowered_until_us);
	if (retry < sp->backoff_to_us)
		retry = sp->backoff_to_us;
	if (idle + model_count(sp, M_OPENING) + model_count(sp, M_PINGING) < model_min_idle(sp) &&
	    live < set->pool_size)
		at = before(at, retry);
	TAILQ_FOREACH(sc, &sp->conns, link) {
		uint64_t sweep = SIM_NEVER;

		if (sc->state == M_PINGING && set->ping_timeout_us > 0)
			at = before(at, sc->pinged_us + set->ping_timeout_us);
		if (sc->state != M_IDLE)
			continue;
		if (live > set->pool_size)
			at = before(at, sc->idle_since_us + set->overflow_linger_us);
		if (set->idle_timeout_us > 0 && idle > model_min_idle(sp))
			at = before(at, sc->idle_since_us + set->idle_timeout_us);
		if (sc->epoch < sp->epoch || sc->is_recycle_due)
			sweep = 0;
		if (set->ping_interval_us > 0)
			sweep = before(sweep, sc->heard_us + set->ping_interval_us);
		if (sc->conn.recycle_at_us > 0)
			sweep = before(sweep, sc->conn.recycle_at_us);
		if (sweep != SIM_NEVER)
			at = before(at, (sweep > now_us ? sweep : now_us) + 1000000);
	}
	return at > now_us ? at : now_us;
}

/* As the caps know it: a worker that hangs may not have told how its pools use theirs. */
static uint32_t
keeps_at_most(const struct sim_pool *sp)
{
	for (unsigned i = 0; i < sp->sim->worker_count; i++)
		if (sp->sim->workers[i].hangs)
			return has_demand(sp) || is_resting(sp) ? model_live(sp) : 0;
	return keeps(sp);
}

static void
check_budget(struct sim *s, bool is_settled)
{
	uint32_t used = sim_total(s), leaving = 0;
	bool is_over;

	if (s->budget == NULL)
		return;
	for (unsigned i = 0; i < s->pool_count; i++)
		leaving += model_hangs(&s->pools[i]) ? 0 : model_count(&s->pools[i], M_CLOSING);
	SIM_HOLDS(s, policy_budget_used(s->budget) == used, "the budget counts %u, there are %u",
		  policy_budget_used(s->budget), used);
	SIM_HOLDS(s, s->budget_limit == 0 || used <= s->budget_limit || used <= s->previous_used,
		  "%u connections over all pools, limit %u", used, s->budget_limit);
	s->previous_used = used;
	if (!is_settled || s->budget_limit == 0 || missing(s, NULL) <= 0)
		return;
	/* Somebody below his share lacks a connection: then nobody has idle ones above his own. */
	is_over = used - leaving > s->budget_limit;
	for (unsigned i = 0; i < s->pool_count; i++) {
		const struct sim_pool *sp = &s->pools[i];

		SIM_HOLDS(s,
			  model_hangs(sp) || model_count(sp, M_IDLE) == 0 ||
			      model_live(sp) <= (is_over ? 0 : keeps_at_most(sp)),
			  "pool %u keeps idle ones above its share of %u while another waits", sp->index, keeps(sp));
	}
}

void
check_all(struct sim *s, bool is_settled)
{
	for (unsigned i = 0; i < s->pool_count; i++) {
		struct sim_pool *sp = &s->pools[i];
		uint64_t latest_us = latest_tick(sp);

		check_counts(sp);
		check_counters(sp);
		SIM_HOLDS(s, sp->due_us <= latest_us, "pool %u asks for a tick at %llu, has work at %llu", sp->index,
			  (unsigned long long)sp->due_us, (unsigned long long)latest_us);
		if (!is_settled || model_hangs(sp))
			continue;
		check_supply(sp);
		check_newcomers(sp);
	}
	check_budget(s, is_settled);
}
