/* tests/unit/policy_sim.c - plays owner and borrowers to a random schedule. See policy_sim.h. */
#include "policy_sim.h"

#include "policy/policy_circuit.h"
#include "policy/policy_shard.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000u
#define SECOND 1000000u
#define SILENT_US (2 * SECOND)
#define MUTE_US (5 * SECOND) /* connect_timeout */
#define TURN_US 100u /* a worker's loop goes round at least as often while it has something to do */

static const char guc_store[SIM_GUCS]; /* their addresses are the GUC sets */

static uint64_t
rnd(struct sim *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random * 0x2545f4914f6cdd1du >> 16;
}

static unsigned
below(struct sim *s, unsigned n)
{
	return (unsigned)(rnd(s) % n);
}

static bool
chance(struct sim *s, unsigned per_cent)
{
	return below(s, 100) < per_cent;
}

static void __attribute__((format(printf, 2, 3))) tell(const struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->is_verbose)
		return;
	fprintf(stderr, "%4u %10llu %*s", s->step, (unsigned long long)s->now_us, (int)(2 * s->depth), "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static const void *
random_gucs(struct sim *s)
{
	return chance(s, 30) ? NULL : &guc_store[below(s, SIM_GUCS)];
}

static void play_surprise(struct sim_pool *by);

/* --- The line of waiters, as the model sees it. --- */

static void
leave_line(struct sim_client *c)
{
	struct sim_pool *sp = c->sp;
	unsigned i = 0;

	while (i < sp->line_len && sp->line[i] != c)
		i++;
	SIM_HOLDS(sp->sim, i < sp->line_len, "somebody leaves a line he is not in");
	if (i == sp->line_len)
		return;
	memmove(&sp->line[i], &sp->line[i + 1], (sp->line_len - i - 1) * sizeof(sp->line[0]));
	sp->line_len--;
}

static void
hand_over(struct sim_conn *sc, struct sim_client *c)
{
	SIM_HOLDS(c->sp->sim, sc->sp == c->sp && sc->conn.state == PC_LENT, "pool %u lends what it has not",
		  c->sp->index);
	if (c->sp->sim->shared != NULL)
		shards_check_lent(sc);
	sc->of = c->waiter.id;
	sc->sp->checkouts[sc->is_used ? CS_IDLE : sc->is_overflow ? CS_OVERFLOW : CS_NEW]++;
	sc->is_used = true;
	sc->state = M_LENT;
	sc->was_transferred = false;
	sc->borrower = c;
	c->state = CL_HOLDING;
	c->holds = sc;
}

static void
on_grant(struct policy_conn *conn, struct policy_waiter *t)
{
	struct sim_client *c = (struct sim_client *)t;
	struct sim_conn *sc = (struct sim_conn *)conn;
	struct sim_pool *sp = c->sp;
	struct sim *s = sp->sim;

	tell(s, "grant: client %d gets %p", (int)(c - s->clients), (void *)sc);
	SIM_HOLDS(s, !s->in_borrow, "on_grant from within policy_borrow or policy_cancel");
	SIM_HOLDS(s, c->state == CL_WAITING, "on_grant for one who does not wait");
	SIM_HOLDS(s, sp->line_len > 0 && sp->line[0] == c, "pool %u: one was overtaken", sp->index);
	SIM_HOLDS(s, sc->state == M_LOOSE || sc->state == M_IDLE, "pool %u grants one in state %d", sp->index,
		  sc->state);
	if (s->report[0] != '\0')
		return;
	if (sc->state == M_IDLE)
		check_lent_from_idle(sc, c);
	SIM_HOLDS(s, !sp->is_paused || (model_is_new(sc) && !sc->was_transferred), "pool %u grants while paused",
		  sp->index);
	if (s->shared != NULL)
		shards_check_grant(sc, c);
	leave_line(c);
	hand_over(sc, c);
	play_surprise(sp);
}

static bool
is_out(const struct sim_pool *sp)
{
	struct policy_counts counts;

	policy_get_counts(sp->pool, &counts);
	return counts.outage.since_us > 0;
}

static void
check_refusal(const struct sim_client *c, const struct fail *why, enum request_failure kind)
{
	struct sim_pool *sp = c->sp;
	struct sim *s = sp->sim;

	for (unsigned i = 0; i < sp->line_len && sp->line[i] != c; i++)
		SIM_HOLDS(s, model_waits_on(sp->line[i]), "pool %u: refused out of order", sp->index);
	if (model_hopeless_us(sp) <= s->now_us)
		model_doom(sp); /* since a callback, perhaps; all in the queue are refused with the first */
	if (kind == RF_POOL_TIMEOUT) {
		SIM_HOLDS(s, sp->settings.timeout_us > 0 && s->now_us >= model_deadline(c),
			  "pool %u: timed out too early", sp->index);
		sp->timeouts++;
	} else if (!c->is_doomed && is_out(sp)) {
		SIM_HOLDS(s, s->now_us >= model_deadline(c), "pool %u: refused while it was held", sp->index);
	} else {
		SIM_HOLDS(s, c->is_doomed, "pool %u: refused though there was hope (%s %s)", sp->index, why->sqlstate,
			  why->text);
	}
}

static void
on_refuse(const struct fail *why, enum request_failure kind, struct policy_waiter *t)
{
	struct sim_client *c = (struct sim_client *)t;
	struct sim_pool *sp = c->sp;
	struct sim *s = sp->sim;

	tell(s, "refuse: client %d: %s %s (%s; %s)", (int)(c - s->clients), why->sqlstate, why->text, why->detail,
	     why->hint);
	SIM_HOLDS(s, !s->in_borrow, "on_refuse from within policy_borrow or policy_cancel");
	SIM_HOLDS(s, c->state == CL_WAITING, "on_refuse for one who does not wait");
	SIM_HOLDS(s, strlen(why->sqlstate) == 5 && why->text[0] != '\0', "refused without a word");
	if (s->shared == NULL)
		check_refusal(c, why, kind);
	if (s->report[0] != '\0')
		return;
	leave_line(c);
	c->state = CL_OUT;
	play_surprise(sp);
}

static const struct policy_waiter_ops waiter_ops = { on_grant, on_refuse, NULL };

/* --- What the pool asks of its owner. --- */

static int
op_open(void *owner, uint64_t now_us, struct fail *why)
{
	struct sim_pool *sp = owner;
	struct sim_conn *sc;
	uint32_t total = model_total(sp);

	tell(sp->sim, "pool %u: open", sp->index);
	SIM_HOLDS(sp->sim, now_us == sp->sim->now_us, "another time");
	check_open(sp);
	if (chance(sp->sim, sp->sim->cannot_begin)) {
		model_failed(sp, CF_OTHER, false, now_us);
		model_doom(sp);
		return fail_set(why, "08001", "cannot even begin");
	}
	sc = calloc(1, sizeof(*sc));
	sc->sp = sp;
	sc->started_us = now_us;
	sc->is_overflow = total >= sp->settings.pool_size;
	sc->cannot_be_transferred = sp->sim->shared != NULL && (is_rival(sp) || chance(sp->sim, sp->sim->whole.stuck));
	sc->state = sp->sim->is_health_check ? M_CHECKING : M_OPENING;
	TAILQ_INSERT_TAIL(&sp->conns, sc, link);
	policy_conn_opening(sp->pool, &sc->conn, now_us);
	return 0;
}

/* Its memory goes, so that a sanitizer sees who still looks at it. */
static void
forget(struct sim_conn *sc)
{
	SIM_HOLDS(sc->sp->sim, sc->conn.state == PC_NONE && sc->conn.shared == NULL, "the pool keeps one that is gone");
	TAILQ_REMOVE(&sc->sp->conns, sc, link);
	free(sc);
}

static void
report_gone(struct sim_conn *sc, bool may_be_down)
{
	struct sim_pool *sp = sc->sp;

	tell(sp->sim, "pool %u: %p is gone from state %d%s", sp->index, (void *)sc, sc->state,
	     may_be_down ? ", down?" : "");
	sp->pings_failed += sc->state == M_PINGING;
	if (may_be_down && sc->state != M_OPENING && sc->state != M_CHECKING && sc->state != M_CLOSING)
		sp->epoch++;
	model_lost(sp, sc);
	TAILQ_REMOVE(&sp->conns, sc, link);
	model_heard(sp, sc);
	model_doom(sp);
	sp->on_stack++;
	policy_conn_gone(sp->pool, &sc->conn, may_be_down, sp->sim->now_us);
	sp->on_stack--;
	TAILQ_INSERT_TAIL(&sp->conns, sc, link);
	forget(sc);
}

static void
op_close(void *owner, struct policy_conn *conn, enum recycle_reason reason)
{
	struct sim_conn *sc = (struct sim_conn *)conn;
	struct sim *s = sc->sp->sim;

	tell(s, "pool %u: close %p, reason %d", sc->sp->index, (void *)sc, reason);
	SIM_HOLDS(s, sc->sp == owner, "not his");
	check_close(sc, reason);
	if (reason == RR_FAILED_PING) {
		sc->sp->pings_failed++;
		sc->sp->distrust_epoch = ++sc->sp->epoch;
	}
	sc->state = M_CLOSING;
	model_heard(sc->sp, sc);
	model_doom(sc->sp);
	if (!chance(s, s->closes_late))
		report_gone(sc, chance(s, 20));
}

static void
op_ping(void *owner, struct policy_conn *conn)
{
	struct sim_conn *sc = (struct sim_conn *)conn;

	tell(sc->sp->sim, "pool %u: ping %p", sc->sp->index, (void *)sc);
	SIM_HOLDS(sc->sp->sim, sc->sp == owner, "not his");
	check_ping(sc);
	sc->state = M_PINGING;
	sc->was_transferred = false;
	sc->pinged_us = sc->sp->sim->now_us;
	sc->ping_has_failed = false;
	if (!sc->sp->sim->is_calm && chance(sc->sp->sim, 3))
		report_gone(sc, true);
}

static void
op_wake(void *owner, uint64_t at_us)
{
	struct sim_pool *sp = owner;

	tell(sp->sim, "pool %u: wake at %llu", sp->index, (unsigned long long)at_us);
	SIM_HOLDS(sp->sim, at_us >= sp->sim->now_us, "pool %u: woken for the past", sp->index);
	SIM_HOLDS(sp->sim, at_us < sp->due_us, "pool %u: woken for what was announced", sp->index);
	if (at_us < sp->due_us)
		sp->due_us = at_us;
}

static void
op_outage(void *owner, const struct policy_outage *outage, const struct fail *why, uint64_t now_us)
{
	struct sim *s = ((struct sim_pool *)owner)->sim;

	SIM_HOLDS(s, s->whole.outages == (why == NULL), "an outage %s, and %u are known",
		  why != NULL ? "begins" : "ends", s->whole.outages);
	s->whole.outages = why != NULL;
}

static bool
op_give(void *owner, struct policy_conn *conn, struct policy_worker *to)
{
	struct sim_conn *sc = (struct sim_conn *)conn;
	struct sim_pool *from = owner;
	struct sim *s = from->sim;
	struct sim_worker *r = to->owner;
	struct sim_pool *sp = &s->pools[r - s->workers];

	SIM_HOLDS(s, sc->sp == from, "not his");
	shards_check_give(sc, sp);
	if (sc->cannot_be_transferred)
		return false;
	tell(s, "%p crosses from pool %u to pool %u", (void *)sc, from->index, sp->index);
	TAILQ_REMOVE(&from->conns, sc, link);
	TAILQ_INSERT_TAIL(&sp->conns, sc, link);
	sc->sp = sp;
	sc->state = M_IN_TRANSFER;
	sc->was_transferred = true;
	from->worker->given[sp->index].own_turns = from->worker->turns;
	from->worker->given[sp->index].its_turns = r->turns;
	from->worker->given[sp->index].is_any = true;
	s->transfers++;
	return true;
}

static const struct policy_ops ops = { .open = op_open, .close = op_close, .ping = op_ping, .wake = op_wake },
			       shard_ops = { op_open, op_close, op_ping, op_wake, NULL, op_outage, op_give };

/* --- Workers. --- */

static bool
is_busy_worker(const struct sim_worker *r)
{
	for (unsigned i = 0; i < r->sim->pool_count; i++)
		if (r->sim->pools[i].worker == r && r->sim->pools[i].on_stack > 0)
			return true;
	return false;
}

/* Its pools are on the stack: its thread has no time to read notes. */
static void
hear(struct sim_worker *r)
{
	tell(r->sim, "room %u hears", (unsigned)(r - r->sim->workers));
	r->is_told = false;
	policy_worker_run_orders(r->worker, r->sim->now_us);
}

static void
on_tell(void *owner)
{
	struct sim_worker *r = owner;

	tell(r->sim, "room %u is told", (unsigned)(r - r->sim->workers));
	SIM_HOLDS(r->sim, !r->is_told, "room %u is told again before it has heard", (unsigned)(r - r->sim->workers));
	r->is_told = true;
	if (r->sim->shared == NULL && !is_busy_worker(r) && !r->hangs && chance(r->sim, 20))
		hear(r);
}

static struct sim_worker *
pick_worker(struct sim *s, bool is_told)
{
	unsigned from = s->worker_count > 0 ? below(s, s->worker_count) : 0;

	for (unsigned i = 0; i < s->worker_count; i++) {
		struct sim_worker *r = &s->workers[(from + i) % s->worker_count];

		if (!r->hangs && (!is_told || (r->is_told && !is_busy_worker(r))))
			return r;
	}
	return NULL;
}

static void
do_hear(struct sim *s)
{
	struct sim_worker *r = pick_worker(s, true);

	if (r != NULL)
		hear(r);
}

/* Somebody needs a server that no policy lends, or has ended one. */
static void
do_place(struct sim *s)
{
	struct sim_worker *r = pick_worker(s, false);
	uint32_t others;

	if (r == NULL || s->budget == NULL || is_busy_worker(r))
		return;
	if (r->places.used > 0 && (s->is_calm || chance(s, 60))) {
		policy_places_give_back(&r->places, s->now_us);
		return;
	}
	if (s->is_calm || s->depth > 0)
		return;
	others = sim_total(s);
	for (unsigned i = 0; i < s->pool_count; i++)
		s->pools[i].is_giving_up = true;
	if (policy_places_take(&r->places, s->now_us))
		SIM_HOLDS(s, s->budget_limit == 0 || sim_total(s) <= s->budget_limit,
			  "a place is taken although %u of %u are", others, s->budget_limit);
	for (unsigned i = 0; i < s->pool_count; i++)
		s->pools[i].is_giving_up = false;
}

/* --- What borrowers do. --- */

static bool
can_act(const struct sim_pool *sp)
{
	const struct sim_worker *calling = sp->sim->calling;

	return sp->pool != NULL && !model_hangs(sp) && (calling == NULL || sp->worker == calling);
}

static struct sim_client *
pick_client(struct sim *s, enum client_state state)
{
	unsigned from = below(s, SIM_CLIENTS);

	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		struct sim_client *c = &s->clients[(from + i) % SIM_CLIENTS];

		if (c->state == state && (state == CL_OUT || can_act(c->sp)))
			return c;
	}
	return NULL;
}

static struct sim_pool *
pick_pool(struct sim *s)
{
	unsigned from = below(s, s->pool_count);

	for (unsigned i = 0; i < s->pool_count; i++)
		if (can_act(&s->pools[(from + i) % s->pool_count]))
			return &s->pools[(from + i) % s->pool_count];
	return NULL;
}

static void
do_borrow(struct sim *s)
{
	struct sim_client *c = pick_client(s, CL_OUT);
	struct sim_pool *sp = pick_pool(s);
	struct policy_conn *conn;
	bool was_in_borrow = s->in_borrow;

	if (c == NULL || sp == NULL)
		return;
	c->waiter = (struct policy_waiter){ 0 };
	c->waiter.gucs = random_gucs(s);
	c->waiter.id = (uint64_t)(c - s->clients) + 1;
	c->sp = sp;
	c->since_us = s->now_us;
	c->is_doomed = c->is_patient = false;
	sp->is_in_use = true;
	tell(s, "pool %u: client %d borrows", sp->index, (int)(c - s->clients));
	/* In line for the model before the pool is asked: what it does then is for this one too. */
	bool is_first = sp->line_len == 0;
	struct sim_pool before = *sp;
	c->state = CL_WAITING;
	c->wait_number++;
	sp->line[sp->line_len++] = c;
	model_doom(sp);
	model_is_asked(sp);
	s->in_borrow = true;
	sp->on_stack++;
	conn = policy_borrow(sp->pool, &c->waiter, s->now_us);
	sp->on_stack--;
	s->in_borrow = was_in_borrow;
	if (conn == NULL) {
		sp->waits++;
		SIM_HOLDS(s, c->waiter.waits != WAITS_NOT && c->waiter.since_us == s->now_us,
			  "waits, but not in the queue");
		if (s->shared != NULL && s->depth == 0)
			shards_check_supply(sp);
		return;
	}
	tell(s, "  gets %p at once", (void *)conn);
	sp->asked_us = before.asked_us;
	sp->backoff_from_us = before.backoff_from_us;
	sp->backoff_to_us = before.backoff_to_us;
	SIM_HOLDS(s, is_first, "pool %u: a newcomer overtakes those in the queue", sp->index);
	leave_line(c);
	check_lent_from_idle((struct sim_conn *)conn, c);
	hand_over((struct sim_conn *)conn, c);
}

/* What a return must come to is known where no other call is in the middle of something. */
static bool
is_to_be_closed(const struct sim_conn *sc)
{
	const struct sim_pool *sp = sc->sp;

	return sp->is_paused || sc->is_recycle_due || model_live(sp) > model_limit(sp) || model_asks_back(sc) ||
	       (sc->conn.recycle_at_us > 0 && sp->sim->now_us >= sc->conn.recycle_at_us && sp->failed_rounds == 0);
}

/* What was returned from within a callback is somebody's when that is over; what nobody wanted is idle then. */
static void
settle_all(struct sim *s)
{
	for (unsigned i = 0; i < s->pool_count && (s->shared == NULL || s->depth == 0); i++) {
		struct sim_conn *o;

		TAILQ_FOREACH(o, &s->pools[i].conns, link) {
			if (o->state != M_LOOSE || o->conn.state != PC_IDLE)
				continue;
			o->state = M_IDLE;
			o->was_transferred = false;
		}
	}
}

static void
do_return(struct sim *s)
{
	struct sim_client *c = pick_client(s, CL_HOLDING), *first;
	struct sim_conn *sc;
	struct sim_pool *sp;
	bool is_to_close, is_closed;
	uint64_t closed = 0;
	uint32_t first_number;

	if (c == NULL)
		return;
	sc = c->holds;
	sp = sc->sp;
	tell(s, "pool %u: client %d returns %p", sp->index, (int)(c - s->clients), (void *)sc);
	sc->conn.gucs = sc->gucs = chance(s, 50) ? c->waiter.gucs : random_gucs(s);
	if (chance(s, 2))
		sc->conn.is_recycle_due = sc->is_recycle_due = true;
	is_to_close = is_to_be_closed(sc);
	for (int i = 0; i < RR_COUNT; i++)
		closed -= sp->counters.recycles[i];
	first = sp->line_len > 0 ? sp->line[0] : NULL;
	first_number = first != NULL ? first->wait_number : 0;
	c->state = CL_OUT;
	c->holds = NULL;
	sc->borrower = NULL;
	sc->state = M_LOOSE;
	sc->idle_since_us = sc->heard_us = sp->returned_us = s->now_us;
	sc->epoch = sp->epoch;
	sp->turn_end_us = sc->opened_us + 100 * MS;
	sp->on_stack++;
	s->depth++;
	policy_return(sp->pool, &sc->conn, s->now_us);
	s->depth--;
	sp->on_stack--;
	for (int i = 0; i < RR_COUNT; i++)
		closed += sp->counters.recycles[i];
	is_closed = is_to_close || (s->worker_count > 1 && closed > 0); /* for a pool that was short when it told us */
	if (s->depth == 0 && s->shared == NULL) {
		SIM_HOLDS(s, !is_to_close || closed > 0, "pool %u keeps one it should close", sp->index);
		SIM_HOLDS(
		    s, is_closed || first == NULL || first->state != CL_WAITING || first->wait_number != first_number,
		    "pool %u: returned, and the first still waits", sp->index);
	}
	settle_all(s);
}

static void
do_cancel(struct sim *s)
{
	struct sim_client *c = pick_client(s, chance(s, 95) ? CL_WAITING : CL_OUT);
	bool was_in_borrow = s->in_borrow;
	struct sim_pool *sp;

	if (c == NULL || c->sp == NULL || c->sp->pool == NULL)
		return;
	sp = c->sp;
	tell(s, "pool %u: client %d leaves", sp->index, (int)(c - s->clients));
	if (c->state == CL_WAITING)
		leave_line(c);
	c->state = CL_OUT;
	s->in_borrow = true;
	sp->on_stack++;
	policy_cancel(sp->pool, &c->waiter, s->now_us);
	sp->on_stack--;
	s->in_borrow = was_in_borrow;
	SIM_HOLDS(s, c->waiter.waits == WAITS_NOT, "cancelled, and still in the queue");
}

/* --- What happens to connections. --- */

static struct sim_conn *
pick_conn(struct sim *s, enum model_state state)
{
	unsigned from = below(s, s->pool_count), skip = below(s, 4);
	struct sim_conn *sc, *found = NULL;

	for (unsigned i = 0; i < s->pool_count; i++) {
		TAILQ_FOREACH(sc, &s->pools[(from + i) % s->pool_count].conns, link) {
			if (sc->state != state || model_hangs(sc->sp))
				continue;
			found = sc;
			if (skip-- == 0)
				return sc;
		}
	}
	return found;
}

static void
report_opened(struct sim_conn *sc)
{
	struct sim_pool *sp = sc->sp;
	struct sim *s = sp->sim;

	tell(s, "pool %u: %p opened", sp->index, (void *)sc);
	sc->state = M_LOOSE;
	sc->opened_us = sc->heard_us = sc->idle_since_us = s->now_us;
	sc->epoch = sp->epoch;
	s->whole.is_failing = s->whole.is_failing && is_rival(sp);
	model_worked(sp);
	model_outage_ends(sp);
	if (sp->ramp > 0 && (++sp->ramp >= 16 || sp->line_len == 0))
		sp->ramp = 0;
	sp->on_stack++;
	s->depth++;
	policy_conn_opened(sp->pool, &sc->conn, s->now_us);
	s->depth--;
	sp->on_stack--;
	settle_all(s);
	if (s->depth == 0)
		check_recycle_times(sp);
}

/* Everybody in the queue who had nothing to hope for has been told when the report returns. */
static void
report_failed(struct sim_conn *sc, enum connect_failure kind, bool is_fatal)
{
	struct sim_pool *sp = sc->sp;
	struct sim *s = sp->sim;
	struct sim_client *were[SIM_CLIENTS];
	uint32_t numbers[SIM_CLIENTS];
	unsigned were_len = 0;
	bool is_hopeless;
	struct fail why;

	tell(s, "pool %u: %p failed, %d%s", sp->index, (void *)sc, kind, is_fatal ? ", fatal" : "");
	fail_set(&why, kind == CF_TOO_MANY ? "53300" : "08001", "failure %d", kind);
	if (sc->state == M_CHECKING && sp->line_len == 0) {
		model_health_check_failed(sp, kind, is_fatal, sc->started_us);
		policy_health_check_failed(sp->pool, &sc->conn, kind, is_fatal, &why, s->now_us);
		report_gone(sc, false);
		return;
	}
	TAILQ_REMOVE(&sp->conns, sc, link);
	model_failed(sp, kind, is_fatal, sc->started_us);
	model_heard(sp, sc);
	is_hopeless = model_doom(sp) || (is_fatal && !sp->is_paused);
	for (unsigned i = 0; i < sp->line_len && is_hopeless; i++) {
		if (model_waits_on(sp->line[i]))
			continue;
		sp->line[i]->is_doomed = true;
		numbers[were_len] = sp->line[i]->wait_number;
		were[were_len++] = sp->line[i];
	}
	sp->on_stack++;
	s->depth++;
	policy_conn_failed(sp->pool, &sc->conn, kind, is_fatal, &why, s->now_us);
	s->depth--;
	sp->on_stack--;
	TAILQ_INSERT_TAIL(&sp->conns, sc, link);
	forget(sc);
	for (unsigned i = 0; i < were_len && s->depth == 0 && s->shared == NULL && sp->failed_rounds > 0; i++)
		SIM_HOLDS(s,
			  were[i]->state != CL_WAITING || were[i]->wait_number != numbers[i] ||
			      model_waits_on(were[i]), /* since a reload meanwhile */
			  "pool %u: opening failed, and one who can't hope still waits", sp->index);
}

static void
do_open_result(struct sim *s)
{
	struct sim_conn *sc = pick_conn(s, chance(s, 80) ? M_OPENING : M_CHECKING);

	if (sc == NULL)
		return;
	if (s->is_mute && s->now_us < sc->started_us + MUTE_US)
		return;
	if (s->is_mute)
		report_failed(sc, CF_TIMEOUT, false);
	else if (!chance(s, s->open_fails))
		report_opened(sc);
	else if (is_rival(sc->sp))
		report_failed(sc, CF_REFUSED, false);
	else if (chance(s, s->open_too_many))
		report_failed(sc, CF_TOO_MANY, false);
	else
		report_failed(sc, chance(s, 50) ? CF_REFUSED : CF_TIMEOUT, chance(s, 20));
}

static void
report_ping(struct sim_conn *sc, bool ok)
{
	struct sim_pool *sp = sc->sp;
	struct sim *s = sp->sim;

	tell(s, "pool %u: ping of %p %s", sp->index, (void *)sc, ok ? "ok" : "failed");
	if (ok) {
		sp->pings_ok++;
		sc->state = M_LOOSE;
		sc->heard_us = s->now_us;
		sc->epoch = sp->epoch;
	} else {
		sc->ping_has_failed = true;
	}
	sp->on_stack++;
	s->depth++;
	policy_ping_done(sp->pool, &sc->conn, ok, s->now_us);
	s->depth--;
	sp->on_stack--;
	settle_all(s);
}

static void
do_ping_result(struct sim *s)
{
	struct sim_conn *sc = pick_conn(s, M_PINGING);

	if (sc != NULL)
		report_ping(sc, !chance(s, s->ping_fails));
}

static void
do_gone(struct sim *s)
{
	struct sim_conn *sc = pick_conn(s, M_CLOSING);

	if (sc != NULL)
		report_gone(sc, chance(s, 20));
}

static void
do_loss(struct sim *s)
{
	static const enum model_state states[] = { M_IDLE, M_LENT, M_PINGING, M_OPENING, M_CHECKING };
	struct sim_conn *sc = pick_conn(s, states[below(s, 5)]);

	if (sc == NULL)
		return;
	if (sc->borrower != NULL) {
		sc->borrower->state = CL_OUT;
		sc->borrower->holds = NULL;
	}
	report_gone(sc, chance(s, 50));
}

/* Nobody waits for what it opens. */
static void
do_health_check(struct sim *s)
{
	struct sim_pool *sp = pick_pool(s);

	if (s->depth > 0 || s->budget != NULL) /* which counts their places */
		return;
	tell(s, "pool %u: scout", sp->index);
	s->is_health_check = true;
	sp->on_stack++;
	policy_health_check(sp->pool, s->now_us);
	sp->on_stack--;
	s->is_health_check = false;
}

/* What a closing one was doing before ends somehow; nobody wants to know. */
static void
do_late_report(struct sim *s)
{
	struct sim_conn *sc = pick_conn(s, M_CLOSING);
	struct fail why;

	if (sc == NULL)
		return;
	tell(s, "pool %u: late report of %p", sc->sp->index, (void *)sc);
	fail_set(&why, "08001", "late");
	switch (below(s, 3)) {
	case 0:
		policy_conn_opened(sc->sp->pool, &sc->conn, s->now_us);
		break;
	case 1:
		policy_ping_done(sc->sp->pool, &sc->conn, chance(s, 50), s->now_us);
		break;
	default:
		TAILQ_REMOVE(&sc->sp->conns, sc, link);
		sc->sp->on_stack++;
		policy_conn_failed(sc->sp->pool, &sc->conn, CF_REFUSED, true, &why, s->now_us);
		sc->sp->on_stack--;
		TAILQ_INSERT_TAIL(&sc->sp->conns, sc, link);
		forget(sc);
	}
}

/* --- What the operator does. --- */

static uint64_t
one_of(struct sim *s, const uint64_t *values, unsigned n)
{
	return values[below(s, n)];
}

static struct policy_settings
random_settings(struct sim *s)
{
	static const uint64_t lingers[] = { 0, 10 * MS, SECOND, 10 * SECOND },
			      waits[] = { 0, 50 * MS, SECOND, 30 * SECOND };
	static const uint64_t ages[] = { 0, 0, SECOND, 60 * SECOND }, idles[] = { 0, 0, 500 * MS, 10 * SECOND };
	static const uint64_t quiet[] = { 0, 100 * MS, 5 * SECOND }, intervals[] = { 0, SECOND, 30 * SECOND };
	static const uint64_t answers[] = { 0, 100 * MS, 5 * SECOND };

	return (struct policy_settings){
		.pool_size = 1 + below(s, chance(s, 20) ? 16 : 5),
		.max_overflow = below(s, 5),
		.min_idle = chance(s, 50) ? 0 : below(s, 5),
		.overflow_linger_us = one_of(s, lingers, 4),
		.timeout_us = one_of(s, waits, 4),
		.on_outage = chance(s, 50) ? OUTAGE_HOLD : OUTAGE_FAIL,
		.hold_us = one_of(s, waits, 4),
		.recycle_us = one_of(s, ages, 4),
		.idle_timeout_us = one_of(s, idles, 4),
		.pre_ping = chance(s, 50),
		.pre_ping_idle_us = one_of(s, quiet, 3),
		.ping_interval_us = one_of(s, intervals, 3),
		.ping_timeout_us = one_of(s, answers, 3),
		.lifo = chance(s, 70),
		.opens_at_once = below(s, 6),
		.share_weight = chance(s, 60) ? 0 : 1 + below(s, 5),
		.share_min = chance(s, 70) ? 0 : below(s, 6),
	};
}

/* Of a pool that is shared: of all shards. */
static struct policy_settings
shared_settings(struct sim *s, bool is_of_rival)
{
	struct policy_settings set = random_settings(s);

	set.pool_size = 1 + below(s, 12);
	set.overflow_delay_us = chance(s, 80) ? 0 : 20 * MS;
	set.overflow_linger_us = chance(s, 50) ? 0 : SECOND;
	set.recycle_us = 0;
	set.idle_timeout_us = chance(s, 70) ? 0 : SECOND;
	set.pre_ping = chance(s, 20);
	set.pre_ping_idle_us = chance(s, 30) ? 0 : 100 * MS;
	set.ping_interval_us = chance(s, 70) ? 0 : SECOND;
	set.ping_timeout_us = SECOND;
	set.share_weight = 1 + below(s, 3);
	set.share_min = 0;
	if (!is_of_rival)
		return set;
	return (struct policy_settings){ .pool_size = set.pool_size,
					 .min_idle = below(s, 3),
					 .timeout_us = 30 * SECOND,
					 .on_outage = OUTAGE_WAIT,
					 .share_weight = set.share_weight };
}

static void
reload(struct sim_pool *sp, struct policy_settings set)
{
	struct sim *s = sp->sim;
	struct sim_conn *sc;

	tell(s, "pool %u: reload: size %u + %u, budget %u", sp->index, set.pool_size, set.max_overflow,
	     s->budget_limit);
	sp->is_shrinking = set.pool_size < sp->settings.pool_size;
	sp->settings = set;
	if (sp->pool == NULL)
		return;
	if (sp->backoff_from_us > s->now_us)
		sp->backoff_from_us = s->now_us;
	if (sp->backoff_to_us > s->now_us)
		sp->backoff_to_us = s->now_us;
	if (sp->down_since_us > 0)
		sp->down_since_us = s->now_us; /* who waits may have been patient until now */
	sp->lowered_until_us = 0;
	TAILQ_FOREACH(sc, &sp->conns, link)
		sc->recycle_seen_us = sc->conn.recycle_at_us;
	sp->on_stack++;
	s->depth++;
	policy_reconfigure(sp->pool, &set, s->now_us);
	s->depth--;
	sp->on_stack--;
	sp->is_shrinking = false;
	if (s->depth == 0) {
		check_recycle_times(sp);
		SIM_HOLDS(s, model_live(sp) <= model_limit(sp) || model_count(sp, M_IDLE) == 0,
			  "pool %u keeps idle ones above a lowered limit", sp->index);
	}
}

static void
do_reload(struct sim *s)
{
	struct sim_pool *sp = pick_pool(s);

	reload(sp, chance(s, 80) ? random_settings(s) : sp->settings);
}

/* Those that are finished, whatever the operator does. */
static uint32_t
promised_logins(const struct sim_pool *sp)
{
	return sp->line_len > 0 && sp->failed_rounds == 0 ? model_count(sp, M_OPENING) : 0;
}

static void
pause_or_resume(struct sim_pool *sp)
{
	struct sim *s = sp->sim;

	tell(s, "pool %u: %s", sp->index, sp->is_paused ? "resume" : "pause");
	sp->is_paused = !sp->is_paused;
	if (sp->pool == NULL)
		return;
	sp->on_stack++;
	if (sp->is_paused) {
		uint32_t promised = promised_logins(sp);

		policy_pause(sp->pool, s->now_us);
		SIM_HOLDS(s,
			  s->shared != NULL ||
			      model_live(sp) == model_count(sp, M_LENT) + model_count(sp, M_LOOSE) + promised,
			  "pool %u is paused and keeps some, or not those that somebody waits for", sp->index);
	} else {
		model_worked(sp);
		sp->limits_from_us = s->now_us;
		policy_resume(sp->pool, s->now_us);
	}
	sp->on_stack--;
	SIM_HOLDS(s, model_is_paused(sp) == sp->is_paused, "paused or not?");
}

static void
do_pause_or_resume(struct sim *s)
{
	pause_or_resume(pick_pool(s));
}

static void
close_all(struct sim_pool *sp, bool is_reconnect, enum recycle_reason why)
{
	uint32_t promised = promised_logins(sp);
	struct sim_conn *sc;

	tell(sp->sim, "pool %u: close all, %d", sp->index, why);
	TAILQ_FOREACH(sc, &sp->conns, link) {
		if (sc->state == M_LENT || sc->state == M_OPENING)
			sc->is_recycle_due = true;
	}
	if (why == RR_RELOAD)
		model_worked(sp);
	else
		sp->is_in_use = false;
	sp->closing_all = why;
	sp->on_stack++;
	if (is_reconnect) {
		policy_reconnect(sp->pool, sp->sim->now_us);
		SIM_HOLDS(sp->sim, sp->sim->shared != NULL || model_count(sp, M_OPENING) >= promised,
			  "pool %u gives up logins that somebody waits for", sp->index);
	} else
		policy_close_all(sp->pool, why, sp->sim->now_us);
	sp->on_stack--;
	sp->closing_all = RR_COUNT;
}

static void
do_close_all(struct sim *s)
{
	static const enum recycle_reason whys[] = { RR_RELOAD, RR_KILL, RR_SHUTDOWN, RR_RELOAD };
	unsigned which = below(s, 4);

	close_all(pick_pool(s), which == 3, whys[which]);
}

static void
do_refuse_all(struct sim *s)
{
	struct sim_pool *sp = pick_pool(s);
	struct fail why;

	tell(s, "pool %u: refuse all", sp->index);
	fail_set(&why, "57P01", "refused by the operator");
	for (unsigned i = 0; i < sp->line_len; i++)
		sp->line[i]->is_doomed = true;
	sp->on_stack++;
	s->depth++;
	policy_refuse_all(sp->pool, &why, RF_SHUTDOWN, s->now_us);
	s->depth--;
	sp->on_stack--;
}

static void
do_budget(struct sim *s)
{
	if (s->budget == NULL)
		return;
	s->budget_limit = below(s, 12);
	tell(s, "budget %u", s->budget_limit);
	policy_budget_set_limit(s->budget, pick_worker(s, false)->worker, s->budget_limit, s->now_us);
}

static void
do_give_up(struct sim *s)
{
	struct sim_pool *sp = pick_pool(s);
	bool has_idle = model_count(sp, M_IDLE) > 0;

	if (s->budget == NULL)
		return;
	sp->on_stack++;
	sp->is_giving_up = true;
	SIM_HOLDS(s, policy_give_up_idle(sp->pool, s->now_us) == has_idle, "pool %u gives up what it hasn't",
		  sp->index);
	sp->is_giving_up = false;
	sp->on_stack--;
}

static void
do_mood(struct sim *s)
{
	s->open_fails = chance(s, 60) ? 3 : chance(s, 50) ? 50 : 100;
	s->open_too_many = chance(s, 70) ? 5 : 90;
	s->cannot_begin = chance(s, 80) ? 0 : 30;
	s->is_mute = s->shared == NULL && chance(s, 15);
	s->closes_late = chance(s, 50) ? 0 : 70;
	s->ping_fails = chance(s, 70) ? 2 : 70;
	if (s->shared == NULL)
		return;
	s->open_fails = chance(s, 60) ? 0 : chance(s, 50) ? 20 : 100;
	s->open_too_many = 25;
	s->cannot_begin = 2;
	s->whole.stuck = chance(s, 60) ? 0 : 30;
}

/* --- Time. --- */

static void
tick(struct sim_pool *sp)
{
	struct sim *s = sp->sim;
	uint64_t due_us;

	tell(s, "pool %u: tick", sp->index);
	model_doom(sp);
	sp->due_us = 0; /* what it says meanwhile it must say again when it returns */
	sp->on_stack++;
	s->depth++;
	due_us = policy_tick(sp->pool, s->now_us);
	s->depth--;
	sp->on_stack--;
	SIM_HOLDS(s, due_us == 0 || due_us >= s->now_us, "pool %u: the next tick is due in the past", sp->index);
	sp->due_us = due_us == 0 ? SIM_NEVER : due_us;
	tell(s, "pool %u: next tick %llu", sp->index, (unsigned long long)due_us);
	if (s->shared != NULL)
		settle_all(s);
}

static bool
are_places_taken(const struct sim *s)
{
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i].places.used > 0)
			return true;
	return false;
}

static bool
is_anybody_told(const struct sim *s)
{
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i].is_told && !s->workers[i].hangs)
			return true;
	return false;
}

/* --- A worker hangs; the first, which looks at the others, does not. --- */

/* On the thread of that worker. */
static void
lose(struct sim_conn *sc, struct sim_worker *on)
{
	tell(on->sim, "pool %u: %p is lost", sc->sp->index, (void *)sc);
	policy_shared_lost(&sc->conn, on->worker, on->sim->now_us);
	forget(sc);
}

/* A loop goes round, now and then. */
static void
count_turns(struct sim *s)
{
	for (unsigned i = 0; i < s->worker_count; i++) {
		if (s->workers[i].hangs || is_busy_worker(&s->workers[i]) || !chance(s, 50))
			continue;
		s->workers[i].turns++;
		policy_worker_count_turn(s->workers[i].worker);
	}
}

/* Takes back what has not arrived there. */
static void
take_back(struct sim_pool *sp)
{
	for (struct sim_conn *sc = TAILQ_FIRST(&sp->conns), *next; sc != NULL; sc = next) {
		next = TAILQ_NEXT(sc, link);
		if (sc->state == M_IN_TRANSFER)
			lose(sc, &sp->sim->workers[0]);
	}
}

static void
watch(struct sim *s)
{
	for (unsigned i = 1; i < s->worker_count; i++) {
		struct sim_worker *r = &s->workers[i];

		if (!r->hangs || is_busy_worker(&s->workers[0]) || s->now_us < r->hangs_since_us + SILENT_US)
			continue;
		if (!r->is_silent) {
			tell(s, "room %u is silent", i);
			r->is_silent = true;
			policy_worker_set_silent(r->worker, s->workers[0].worker, true, s->now_us);
		}
		if (s->shared != NULL)
			take_back(&s->pools[i]);
	}
}

static void
come_back(struct sim_worker *r)
{
	struct sim *s = r->sim;
	bool was_silent = r->is_silent;

	tell(s, "room %u is back", (unsigned)(r - s->workers));
	r->hangs = r->is_silent = false;
	if (was_silent)
		policy_worker_set_silent(r->worker, s->workers[0].worker, false, s->now_us);
}

static void
do_come_back(struct sim *s)
{
	for (unsigned i = 1; i < s->worker_count && !is_busy_worker(&s->workers[0]); i++)
		if (s->workers[i].hangs)
			come_back(&s->workers[i]);
}

/* Returns true if a worker hangs, and was not found silent yet: what is asked of it is expected to come. */
static bool
does_any_hang(const struct sim *s)
{
	for (unsigned i = 1; i < s->worker_count; i++)
		if (s->workers[i].hangs && !s->workers[i].is_silent)
			return true;
	return false;
}

static void
check(struct sim *s, bool is_settled)
{
	if (s->shared == NULL) {
		check_all(s, is_settled && !does_any_hang(s));
		return;
	}
	settle_all(s);
	if (s->report[0] == '\0')
		shards_check_all(s, is_settled);
}

/*
 * All that is due is done, however often the pools ask for it at the same moment: but not for ever. Where workers share
 * a pool, time passes meanwhile as it does for their loops: they may ask each other in turn until an ask has had its
 * time.
 */
static void
run_due(struct sim *s)
{
	watch(s);
	for (unsigned turns = 0; s->report[0] == '\0'; turns++) {
		unsigned ticked = 0, from = below(s, s->pool_count);
		bool hears = s->is_calm || chance(s, 50);

		if (s->shared != NULL && turns > 0)
			s->now_us += below(s, TURN_US);

		for (unsigned i = 0; i < s->pool_count; i++) {
			struct sim_pool *sp = &s->pools[(from + i) % s->pool_count];

			if (sp->pool != NULL && sp->due_us <= s->now_us && !model_hangs(sp)) {
				tick(sp);
				ticked++;
			}
		}
		for (unsigned i = 0; i < s->worker_count; i++) {
			struct sim_worker *r = &s->workers[i];

			if (s->shared != NULL)
				hears = s->is_calm || chance(s, 30);
			if (hears && r->is_told && !r->hangs && !is_busy_worker(r)) {
				hear(r);
				ticked++;
			}
		}
		if (ticked == 0)
			break;
		SIM_HOLDS(s, turns < 200, "ticks without end");
	}
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		s->clients[i].is_doomed = false;
	check(s, !is_anybody_told(s));
}

static uint64_t
next_due(const struct sim *s)
{
	uint64_t at_us = SIM_NEVER;

	for (unsigned i = 0; i < s->pool_count; i++)
		if (!model_hangs(&s->pools[i]) && s->pools[i].due_us < at_us)
			at_us = s->pools[i].due_us;
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i].hangs && !s->workers[i].is_silent && s->workers[i].hangs_since_us + SILENT_US < at_us)
			at_us = s->workers[i].hangs_since_us + SILENT_US;
	return at_us;
}

static void
pass_time(struct sim *s, uint64_t us, bool is_punctual)
{
	uint64_t until_us = s->now_us + us;

	while (is_punctual && next_due(s) <= until_us && s->report[0] == '\0') {
		if (next_due(s) > s->now_us)
			s->now_us = next_due(s);
		run_due(s);
	}
	if (s->now_us < until_us)
		s->now_us = until_us;
	run_due(s);
}

static void
do_time(struct sim *s)
{
	unsigned what = below(s, 100);

	if (s->shared != NULL)
		pass_time(s,
			  what < 50   ? below(s, 2 * MS)
			  : what < 80 ? below(s, 8 * MS)
			  : what < 97 ? below(s, 500 * MS)
				      : below(s, 40 * SECOND),
			  true);
	else
		pass_time(s,
			  what < 60   ? below(s, 5 * MS)
			  : what < 95 ? below(s, 500 * MS)
				      : below(s, 40 * SECOND),
			  chance(s, 80));
}

static void
do_hang(struct sim *s)
{
	struct sim_worker *r = s->worker_count > 1 ? &s->workers[1 + below(s, s->worker_count - 1)] : NULL;

	if (r == NULL || r->hangs || (s->shared == NULL && !r->is_told && chance(s, 70)) || is_busy_worker(r) ||
	    is_busy_worker(&s->workers[0]))
		return;
	tell(s, "room %u hangs", (unsigned)(r - s->workers));
	r->hangs = true;
	r->hangs_since_us = s->now_us;
	if (pick_pool(s) == NULL) /* the others are to go on */
		r->hangs = false;
	else if (chance(s, 50))
		pass_time(s, SILENT_US + below(s, SECOND), true);
}

/* --- Shards: what crosses, and what is done to all of them, in a halt. --- */

/* A note is read: the connection is there, or was lost, or its shard is gone. */
static void
do_arrive(struct sim *s)
{
	struct sim_conn *sc = s->shared != NULL ? pick_conn(s, M_IN_TRANSFER) : NULL;
	struct sim_pool *sp = sc != NULL ? sc->sp : NULL;
	bool is_there;

	if (sc == NULL || sp->on_stack > 0)
		return;
	tell(s, "pool %u: %p arrives", sp->index, (void *)sc);
	sc->state = M_LOOSE;
	sp->on_stack++;
	s->depth++;
	is_there = sp->pool != NULL && (s->is_calm || !chance(s, 3)) && policy_arrive(sp->pool, &sc->conn, s->now_us);
	s->depth--;
	sp->on_stack--;
	if (!is_there)
		lose(sc, sp->worker);
	settle_all(s);
}

/* A worker that hangs can't be halted, and what is asked of all is refused. */
static bool
can_halt(const struct sim *s)
{
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i].hangs)
			return false;
	return true;
}

static void
for_all_shards(struct sim *s, void (*act)(struct sim_pool *sp))
{
	s->depth++;
	for (unsigned i = 0; i < s->pool_count; i++)
		act(&s->pools[i]);
	s->depth--;
	settle_all(s);
}

static void
set_cap(struct sim *s)
{
	s->budget_limit = chance(s, 40) ? 0 : 1 + below(s, 14);
	tell(s, "the cap is %u", s->budget_limit);
	policy_budget_set_limit(s->budget, s->workers[0].worker, s->budget_limit, s->now_us);
}

static void
do_reload_all(struct sim *s)
{
	struct policy_settings set = shared_settings(s, false), of_rival = shared_settings(s, true);

	if (!can_halt(s))
		return;
	s->whole.lowered_until_us = 0;
	if (chance(s, 50))
		set_cap(s);
	s->depth++;
	for (unsigned i = 0; i < s->pool_count; i++)
		reload(&s->pools[i], is_rival(&s->pools[i]) ? of_rival : set);
	s->depth--;
	settle_all(s);
}

static void
do_pause_all(struct sim *s)
{
	if (can_halt(s))
		for_all_shards(s, pause_or_resume);
}

static void
close_shard(struct sim_pool *sp)
{
	uint64_t before = sp->sim->shared->round;

	if (sp->pool == NULL)
		return;
	close_all(sp, chance(sp->sim, 50), RR_RELOAD);
	SIM_HOLDS(sp->sim, is_rival(sp) || sp->sim->shared->round > before, "all were closed, and what crosses is not");
}

/* RECONNECT; or one shard alone, whose database's code is no longer trusted. Each shard begins a round. */
static void
do_close_shards(struct sim *s)
{
	struct sim_pool *sp = pick_pool(s);

	if (chance(s, 50) && can_halt(s))
		for_all_shards(s, close_shard);
	else if (sp != NULL)
		close_shard(sp);
}

static void
make_pool(struct sim_pool *sp, const struct policy_ops *pool_ops)
{
	struct sim *s = sp->sim;

	tell(s, "pool %u comes: size %u + %u, room %d", sp->index, sp->settings.pool_size, sp->settings.max_overflow,
	     (int)(sp->worker - s->workers));
	sp->counters = (struct pool_counters){ 0 };
	sp->pool = policy_new(&sp->settings, pool_ops, sp, sp->worker->worker, &sp->counters, rnd(s), s->now_us);
	if (s->shared == NULL || is_rival(sp))
		return;
	policy_set_circuit(sp->pool, s->whole.circuit, s->now_us);
	if (s->shared->shard_count == 0)
		s->whole.lowered_until_us = 0;
	policy_set_shared(sp->pool, s->shared, s->now_us);
	if (sp->is_paused)
		policy_pause(sp->pool, s->now_us);
}

/* A shard comes, or goes as soon as its connections have. */
static void
do_shard(struct sim *s)
{
	struct sim_pool *sp = &s->pools[below(s, s->pool_count - 1)];

	if (model_hangs(sp))
		return;
	if (sp->pool == NULL) {
		make_pool(sp, &shard_ops);
		return;
	}
	if (sp->line_len > 0 || model_count(sp, M_LENT) > 0)
		return;
	close_all(sp, false, RR_SHUTDOWN);
	if (model_total(sp) > model_count(sp, M_IN_TRANSFER))
		return;
	tell(s, "pool %u goes", sp->index);
	policy_free(sp->pool);
	sp->pool = NULL;
	sp->due_us = SIM_NEVER;
}

/* --- Schedules. --- */

struct act {
	void (*act)(struct sim *s);
	unsigned weight;
	bool is_from_callback; /* may also be done by a borrower who is called back */
};

static const struct act acts[] = {
	{ do_borrow, 250, true },	{ do_return, 200, true },
	{ do_cancel, 40, true },	{ do_open_result, 180, true },
	{ do_ping_result, 100, true },	{ do_gone, 60, true },
	{ do_loss, 25, true },		{ do_late_report, 10, true },
	{ do_reload, 8, true },		{ do_pause_or_resume, 6, true },
	{ do_close_all, 5, true },	{ do_refuse_all, 3, true },
	{ do_budget, 6, true },		{ do_give_up, 3, true },
	{ do_mood, 8, false },		{ do_time, 120, false },
	{ do_hear, 120, true },		{ do_place, 10, true },
	{ do_hang, 12, false },		{ do_come_back, 6, false },
	{ do_health_check, 12, false }, { NULL, 0, false },
};

static const struct act shared_acts[] = {
	{ do_borrow, 250, false },	{ do_return, 200, false },     { do_cancel, 30, false },
	{ do_open_result, 150, false }, { do_ping_result, 60, false }, { do_gone, 60, false },
	{ do_loss, 20, false },		{ do_arrive, 200, false },     { do_hear, 150, false },
	{ do_reload_all, 6, false },	{ do_pause_all, 6, false },    { do_close_shards, 5, false },
	{ do_mood, 8, false },		{ do_shard, 20, false },       { do_time, 150, false },
	{ do_hang, 3, false },		{ do_come_back, 6, false },    { NULL, 0, false },
};

static void
play_one(struct sim *s, bool is_from_callback)
{
	const struct act *act = s->shared != NULL ? shared_acts : acts;
	unsigned sum = 0, pick;

	for (const struct act *a = act; a->act != NULL; a++)
		sum += a->weight;
	for (pick = below(s, sum); pick >= act->weight; act++)
		pick -= act->weight;
	if (!is_from_callback || act->is_from_callback)
		act->act(s);
}

/* A borrower who is called back does as he likes; where workers share a pool, on his own: he borrows or returns. */
static void
play_surprise(struct sim_pool *by)
{
	struct sim *s = by->sim;
	const struct sim_worker *was = s->calling;

	if (s->is_calm || s->depth > 3 || !chance(s, s->shared != NULL ? 20 : 25))
		return;
	s->depth++;
	tell(s, "from the callback:");
	if (s->shared == NULL) {
		play_one(s, true);
	} else {
		s->calling = by->worker;
		chance(s, 50) ? do_borrow(s) : do_return(s);
		s->calling = was;
	}
	s->depth--;
}

static void
make_workers(struct sim *s, unsigned count, bool is_limited)
{
	s->commons = policy_commons_new(s->seed);
	s->worker_count = count;
	for (unsigned i = 0; i < s->worker_count; i++) {
		struct sim_worker *r = &s->workers[i];

		r->sim = s;
		r->worker = policy_worker_new(s->commons, i, on_tell, r, &waiter_ops);
		if (!is_limited)
			continue;
		s->budget = r->worker->commons->total;
		policy_places_join(s->budget, &r->places, r->worker);
	}
	if (is_limited)
		policy_budget_set_limit(s->budget, s->workers[0].worker, s->budget_limit, s->now_us);
}

static void
init_pool(struct sim *s, unsigned index, struct policy_settings settings, struct sim_worker *on)
{
	struct sim_pool *sp = &s->pools[index];

	sp->sim = s;
	sp->index = index;
	sp->settings = settings;
	sp->closing_all = RR_COUNT;
	sp->due_us = SIM_NEVER;
	TAILQ_INIT(&sp->conns);
	sp->worker = on;
}

static void
start(struct sim *s)
{
	bool is_limited;

	s->pool_count = chance(s, 40) ? 1 : 1 + below(s, 4);
	do_mood(s);
	is_limited = chance(s, 60);
	s->budget_limit = is_limited ? below(s, 10) : 0;
	make_workers(s, !is_limited || chance(s, 50) ? 1 : 2 + below(s, 2), is_limited);
	for (unsigned i = 0; i < s->pool_count; i++) {
		struct policy_settings settings = random_settings(s);

		init_pool(s, i, settings, pick_worker(s, false));
		make_pool(&s->pools[i], &ops);
	}
}

static void
start_shared(struct sim *s)
{
	struct policy_settings settings = shared_settings(s, false);
	unsigned shards = 2 + below(s, SIM_ROOMS - 1);

	make_workers(s, shards, true);
	s->pool_count = shards + 1;
	s->shared = policy_shared_get(s->commons, "p", 1, true);
	s->whole.circuit = policy_circuit_get_or_create(s->commons, "db1:5432,any");
	do_mood(s);
	for (unsigned i = 0; i < shards; i++)
		init_pool(s, i, settings, &s->workers[i]);
	init_pool(s, shards, shared_settings(s, true), &s->workers[below(s, shards)]);
	set_cap(s);
	for (unsigned i = 0; i <= shards; i++)
		if (i < 2 || i == shards || chance(s, 70))
			make_pool(&s->pools[i], is_rival(&s->pools[i]) ? &ops : &shard_ops);
}

static bool
is_moving(struct sim *s)
{
	return pick_conn(s, M_OPENING) != NULL || pick_conn(s, M_CHECKING) != NULL || pick_conn(s, M_PINGING) != NULL ||
	       pick_conn(s, M_CLOSING) != NULL || pick_conn(s, M_IN_TRANSFER) != NULL ||
	       pick_client(s, CL_HOLDING) != NULL || are_places_taken(s) || is_anybody_told(s);
}

/* The upstream works, everybody returns what he has, time passes: nobody is left waiting. */
static bool
is_busy(struct sim *s)
{
	for (unsigned i = 0; i < SIM_CLIENTS; i++) {
		if (s->clients[i].state != CL_OUT)
			return true;
	}
	return is_moving(s);
}

static void
calm_down(struct sim *s)
{
	s->is_calm = true;
	s->is_mute = false;
	s->open_fails = s->cannot_begin = s->ping_fails = s->closes_late = 0;
	do_come_back(s);
	for (unsigned i = 0; i < s->pool_count; i++) {
		if (s->pools[i].is_paused)
			pause_or_resume(&s->pools[i]);
	}
	for (unsigned turn = 0; is_busy(s) && s->report[0] == '\0'; turn++) {
		bool was_moving = is_moving(s);

		SIM_HOLDS(s, turn < 10000, "no end in sight");
		SIM_HOLDS(s, was_moving || next_due(s) != SIM_NEVER, "somebody waits and nothing will ever happen");
		do_open_result(s);
		do_ping_result(s);
		do_gone(s);
		do_return(s);
		do_place(s);
		do_arrive(s);
		run_due(s);
		if (!was_moving && next_due(s) > s->now_us && next_due(s) != SIM_NEVER)
			pass_time(s, next_due(s) - s->now_us, true);
	}
}

static void
check_rest(struct sim *s)
{
	uint32_t total = 0;

	/* Long enough for every linger and retry; pings are answered. */
	for (int i = 0; i < (s->shared != NULL ? 100 : 200) && s->report[0] == '\0'; i++) {
		pass_time(s, 500 * MS, true);
		calm_down(s);
	}
	if (s->shared != NULL) {
		shards_check_rest(s);
		return;
	}
	for (unsigned i = 0; i < s->pool_count; i++)
		total += model_live(&s->pools[i]);
	for (unsigned i = 0; i < s->pool_count && s->report[0] == '\0'; i++) {
		struct sim_pool *sp = &s->pools[i];
		uint32_t live = model_live(sp), kept = model_min_idle(sp);

		SIM_HOLDS(s, live <= sp->settings.pool_size, "pool %u: %u stay of %u", i, live, sp->settings.pool_size);
		SIM_HOLDS(s, live >= kept || (s->budget_limit > 0 && total >= s->budget_limit),
			  "pool %u: only %u kept of %u", i, live, kept);
		if (sp->settings.idle_timeout_us > 0)
			SIM_HOLDS(s, live <= kept, "pool %u: %u stay idle for ever", i, live);
	}
}

static void
finish(struct sim *s)
{
	for (unsigned i = 0; i < s->pool_count && s->report[0] == '\0'; i++)
		if (s->pools[i].pool != NULL)
			close_all(&s->pools[i], false, RR_SHUTDOWN);
	if (s->report[0] == '\0')
		run_due(s);
	for (unsigned i = 0; i < s->pool_count && s->report[0] == '\0'; i++)
		SIM_HOLDS(s, model_total(&s->pools[i]) == 0, "pool %u: some are left after all were closed", i);
	if (s->report[0] != '\0')
		return; /* left as it is: it may not be in a state to be freed */
	SIM_HOLDS(s, s->budget == NULL || policy_budget_used(s->budget) == 0, "the budget is not empty at the end");
	for (unsigned i = 0; i < s->pool_count; i++)
		if (s->pools[i].pool != NULL)
			policy_free(s->pools[i].pool);
	if (s->shared != NULL) {
		SIM_HOLDS(s, s->shared->used == 0, "%u places are left", s->shared->used);
		policy_shared_put(s->commons, s->shared);
		policy_circuit_put(s->commons, s->whole.circuit);
	}
	for (unsigned i = 0; i < s->worker_count; i++) {
		if (s->budget != NULL)
			policy_places_leave(&s->workers[i].places);
		policy_worker_free(s->workers[i].worker);
	}
	policy_commons_free(s->commons);
}

bool
sim_play(struct sim *s, uint64_t seed, bool is_shared, bool is_verbose)
{
	unsigned steps;

	*s = (struct sim){ .seed = seed, .random = (seed + 1) * 0x9e3779b97f4a7c15u, .is_verbose = is_verbose };
	s->now_us = 1 + rnd(s) % 1000000000;
	is_shared ? start_shared(s) : start(s);
	steps = is_shared ? 100 + below(s, 400) : 50 + below(s, 250);
	for (s->step = 0; s->step < steps && s->report[0] == '\0'; s->step++) {
		play_one(s, false);
		if (is_shared)
			count_turns(s);
		check(s, false);
		if (s->report[0] == '\0' && chance(s, is_shared ? 60 : 70))
			run_due(s);
	}
	if (s->report[0] == '\0')
		calm_down(s);
	if (s->report[0] == '\0')
		check_rest(s);
	finish(s);
	return s->report[0] == '\0';
}
