/*
 * tests/unit/test_policy_commons.c - pools of several workers under the same caps: what they are ordered, and that
 * threads keep to the caps and to one trial at a time. Everything at random on one thread: test_policy_sim.c.
 */
#include "policy/policy_circuit.h"
#include "policy_fake.h"
#include "threads.h"

#include "base/clock.h"
#include "unit.h"

#include <stdatomic.h>

/* --- Two workers, one step at a time. --- */

#define ROOMS 2

struct two {
	struct policy_commons *commons;
	struct policy_worker *workers[ROOMS];
	int told[ROOMS];
	struct policy_circuit *circuit;
	struct fake pools[ROOMS];
};

static void
on_told(void *owner)
{
	++*(int *)owner;
}

static void
two_init(struct two *t, uint32_t limit)
{
	struct policy_settings set = fake_settings(20, 0);

	t->commons = policy_commons_new(1);
	t->circuit = policy_circuit_get_or_create(t->commons, "db1:5432,any");
	for (int i = 0; i < ROOMS; i++) {
		t->told[i] = 0;
		t->workers[i] = policy_worker_new(t->commons, (unsigned)i, on_told, &t->told[i], &fake_waiters);
		policy_budget_set_limit(t->workers[i]->commons->total, t->workers[i], limit, 0);
		fake_init(&t->pools[i], &set, t->workers[i]);
		policy_set_circuit(t->pools[i].p, t->circuit, t->pools[i].now);
	}
}

static void
hear(struct two *t, int i)
{
	cr_expect_eq(t->told[i], 1, "worker %d was told %d times", i, t->told[i]);
	t->told[i] = 0;
	policy_worker_run_orders(t->workers[i], t->pools[i].now);
	fake_at(&t->pools[i], t->pools[i].now);
}

static void
two_fini(struct two *t)
{
	for (int i = 0; i < ROOMS; i++)
		policy_pause(t->pools[i].p, t->pools[i].now); /* nobody takes what another gives up */
	for (int i = 0; i < ROOMS; i++)
		fake_fini(&t->pools[i]);
	policy_circuit_put(t->commons, t->circuit);
	cr_expect_eq(policy_budget_used(t->workers[0]->commons->total), 0);
	for (int i = 0; i < ROOMS; i++)
		policy_worker_free(t->workers[i]);
	policy_commons_free(t->commons);
}

Test(policy_commons, another_workers_idle_one_is_asked_for_once)
{
	struct two t;
	struct fake *a = &t.pools[0], *b = &t.pools[1];

	two_init(&t, 4);
	fake_fill(a, 0, 4);
	for (int i = 0; i < 4; i++)
		fake_return(a, i);
	fake_borrow(b, 0);
	cr_expect_eq(b->opened, 0, "all places are taken");
	hear(&t, 0); /* it tells how many are idle, and is asked */
	cr_expect_eq(a->closed, 1);
	cr_expect_eq(b->opened, 0, "not from here");
	hear(&t, 1);
	cr_expect_eq(b->opened, 1);

	a->is_slow_to_close = true;
	fake_borrow(b, 1);
	fake_borrow(b, 2);
	fake_at(b, b->now); /* nobody asks again for what is on its way */
	cr_expect_eq(a->closed, 1);
	hear(&t, 0);
	cr_expect_eq(a->closed, 2, "its share is two");
	policy_conn_gone(a->p, &a->conns[a->closed_which[1]], false, a->now);
	hear(&t, 1);
	cr_expect_eq(b->opened, 2);
	two_fini(&t);
}

Test(policy_commons, no_place_is_left_to_a_worker_that_does_not_answer)
{
	struct two t;
	struct fake *a = &t.pools[0], *b = &t.pools[1];

	two_init(&t, 1);
	fake_fill(a, 0, 1);
	fake_borrow(b, 0);
	hear(&t, 0); /* it tells how it uses its connection */
	fake_borrow(a, 1);
	policy_worker_set_silent(t.workers[1], t.workers[0], true, a->now);
	a->clients[0].conn = NULL;
	policy_conn_gone(a->p, &a->conns[0], false, a->now);
	fake_at(a, a->now);
	cr_expect_eq(a->opened, 2, "though b has waited longer, and has none");
	policy_worker_set_silent(t.workers[1], t.workers[0], false, a->now);
	fake_opened(a, 1);
	a->now += 200 * MS; /* its turn is over */
	b->now = a->now;
	fake_return(a, 1);
	cr_expect_eq(a->closed, 1, "for b, which answers again");
	hear(&t, 1);
	cr_expect_eq(b->opened, 1);
	two_fini(&t);
}

Test(policy_commons, who_has_none_idle_any_more_says_so)
{
	struct two t;
	struct fake *a = &t.pools[0], *b = &t.pools[1];

	two_init(&t, 2);
	fake_fill(a, 0, 2);
	fake_return(a, 0);
	fake_return(a, 1);
	fake_borrow(b, 0);
	hear(&t, 0);
	cr_expect_eq(a->closed, 1);
	hear(&t, 1);
	fake_opened(b, 0);
	cr_assert_eq(fake_holds(b, 0), 0);
	fake_return(b, 0);
	b->now += 200 * MS; /* and is not in use any more */
	a->now = b->now;
	fake_borrow(a, 0);
	fake_borrow(a, 1); /* ... asks b, who lends it meanwhile */
	cr_expect_eq(t.told[1], 1);
	fake_borrow(b, 1);
	hear(&t, 1);
	cr_expect_eq(b->closed, 0);
	cr_expect_eq(a->opened, 2);
	fake_return(a, 0);
	fake_return(b, 1);
	two_fini(&t);
}

Test(policy_commons, the_oldest_waiter_of_all_gets_the_next_place)
{
	struct two t;
	struct fake *a = &t.pools[0], *b = &t.pools[1];

	two_init(&t, 1);
	fake_fill(a, 0, 1);
	a->now += 200 * MS; /* its turn is over */
	b->now = a->now;
	fake_borrow(b, 0);
	a->now += MS;
	fake_borrow(a, 1);
	hear(&t, 0);
	fake_return(a, 0);
	cr_expect_eq(a->closed, 1, "b waits for longer");
	cr_expect_eq(a->opened, 1);
	b->now = a->now;
	hear(&t, 1);
	cr_expect_eq(b->opened, 1);
	two_fini(&t);
}

Test(policy_commons, a_place_without_a_pool_is_asked_of_another_worker)
{
	struct two t;
	struct fake *a = &t.pools[0];
	struct budget_member mine = { 0 };

	two_init(&t, 2);
	policy_places_join(t.workers[1]->commons->total, &mine, t.workers[1]);
	cr_expect(policy_places_take(&mine, a->now));
	fake_fill(a, 0, 1);
	fake_return(a, 0);
	cr_expect_not(policy_places_take(&mine, a->now), "it must be asked first");
	hear(&t, 0);
	cr_expect_not(policy_places_take(&mine, a->now));
	hear(&t, 0);
	cr_expect_eq(a->closed, 1);
	cr_expect(policy_places_take(&mine, a->now));
	cr_expect_not(policy_places_take(&mine, a->now));
	policy_places_give_back(&mine, a->now);
	policy_places_give_back(&mine, a->now);
	policy_places_leave(&mine);
	two_fini(&t);
}

Test(policy_commons, one_worker_tries_for_all)
{
	struct two t;
	struct fake *a = &t.pools[0], *b = &t.pools[1];

	two_init(&t, 0);
	fake_borrow(a, 0);
	fake_borrow(b, 0);
	cr_expect_eq(a->opened + b->opened, 2, "nobody knows yet");
	fake_failed(a, 0, CF_REFUSED, false);
	cr_expect_eq(a->clients[0].refusals, 1);
	hear(&t, 1);
	cr_expect_eq(b->clients[0].refusals, 0, "its own attempt began before");
	fake_failed(b, 0, CF_REFUSED, false);
	cr_expect_eq(b->clients[0].refusals, 1);

	a->now += 100 * MS;
	b->now = a->now;
	fake_borrow(a, 0);
	fake_borrow(b, 0);
	cr_expect_eq(a->opened, 2);
	cr_expect_eq(b->opened, 1, "the trial is the other worker's");
	fake_opened(a, 1);
	cr_expect_eq(b->opened, 1);
	hear(&t, 1);
	cr_expect_eq(b->opened, 2);
	fake_opened(b, 1);
	fake_return(a, 0);
	fake_return(b, 0);
	two_fini(&t);
}

/* --- At random: one after another, and on threads. --- */

#define POOLS 3 /* of each thread */
#define CLIENTS 3 /* of each pool */
#define SERVERS 24
#define STEPS 40000 /* of each */
#define SEEDS 40
#define STEPS_OF_SEED 4000
#define TURN_US 1000 /* on one of the threads */
#define LIMIT 16
#define LIMIT_OF_ONE 10

struct crew;

struct one {
	struct policy *p;
	struct crew *crew;
	struct hand *hand;
	unsigned kind; /* which of the smaller caps it is under */
	struct pool_counters counters;
	struct policy_conn conns[SERVERS];
	struct policy_waiter waiters[CLIENTS];
	struct policy_conn *holds[CLIENTS];
	uint64_t due_us;
};

/* A thread with its pools. */
struct hand {
	struct policy_worker *worker;
	_Atomic bool is_told;
	uint64_t now_us, random;
	struct one pools[POOLS];
	struct budget_member places;
	unsigned place_count;
	bool is_calm;
};

struct crew {
	struct policy_commons *commons;
	struct policy_circuit *circuit;
	struct policy_budget *kinds[2];
	struct hand hands[THREADS];
	_Atomic uint64_t clock_us;
	_Atomic uint32_t open, open_of[2], trials, wrong, waiting_hands;
	_Atomic uint64_t tried_us;
};

static unsigned
draw(struct hand *h, unsigned n)
{
	return (unsigned)(random_next(&h->random) % n);
}

static void
count(struct one *o, bool is_opened)
{
	struct crew *c = o->crew;

	if (is_opened) {
		c->wrong += atomic_fetch_add(&c->open, 1) >= LIMIT;
		c->wrong += atomic_fetch_add(&c->open_of[o->kind], 1) >= LIMIT_OF_ONE;
	} else {
		c->open--;
		c->open_of[o->kind]--;
	}
}

/* Before the policy hears of it. */
static void
end_trial(struct one *o, const struct policy_conn *conn)
{
	if (conn->is_trial)
		o->crew->trials--;
}

/* One at a time, unless that takes long: its thread may not be running. */
static void
begin_trial(struct crew *c, uint64_t now_us)
{
	uint64_t last_us = atomic_exchange(&c->tried_us, now_us);

	c->wrong += atomic_fetch_add(&c->trials, 1) > 0 && now_us < last_us + TRIAL_EVERY_US;
}

static int
on_open(void *owner, uint64_t now_us, struct fail *why)
{
	struct one *o = owner;

	for (int i = 0; i < SERVERS; i++) {
		struct policy_conn *conn = &o->conns[i];

		if (conn->state != PC_NONE)
			continue;
		count(o, true);
		*conn = (struct policy_conn){ 0 };
		policy_conn_opening(o->p, conn, now_us);
		if (conn->is_trial)
			begin_trial(o->crew, now_us);
		return 0;
	}
	return fail_set(why, "53000", "the pool is too large for this test");
}

static void
gone(struct one *o, struct policy_conn *conn)
{
	end_trial(o, conn);
	count(o, false);
	policy_conn_gone(o->p, conn, false, o->hand->now_us);
}

static void
on_close(void *owner, struct policy_conn *conn, enum recycle_reason reason)
{
	struct one *o = owner;

	if (draw(o->hand, 2) == 0)
		gone(o, conn);
}

static void
on_ping(void *owner, struct policy_conn *conn)
{
}

static void
on_wake(void *owner, uint64_t at_us)
{
	((struct one *)owner)->due_us = at_us;
}

static struct one *
one_of(const struct policy_waiter *t)
{
	return (struct one *)(uintptr_t)t->id;
}

static void
on_grant(struct policy_conn *conn, struct policy_waiter *t)
{
	one_of(t)->holds[t - one_of(t)->waiters] = conn;
}

static void
on_refuse(const struct fail *why, enum request_failure kind, struct policy_waiter *t)
{
}

static const struct policy_ops ops = { .open = on_open, .close = on_close, .ping = on_ping, .wake = on_wake };
static const struct policy_waiter_ops waiter_ops = { on_grant, on_refuse, NULL };

/* Something happens to one of its connections. */
static void
play_server(struct one *o, struct policy_conn *conn)
{
	struct fail why;

	switch (conn->state) {
	case PC_OPENING:
		end_trial(o, conn);
		if (o->hand->is_calm || draw(o->hand, 30) > 0) {
			policy_conn_opened(o->p, conn, o->hand->now_us);
			break;
		}
		count(o, false);
		fail_set(&why, "08001", "connection refused");
		policy_conn_failed(o->p, conn, CF_REFUSED, false, &why, o->hand->now_us);
		break;
	case PC_PINGING:
		policy_ping_done(o->p, conn, true, o->hand->now_us);
		break;
	case PC_CLOSING:
		gone(o, conn);
		break;
	case PC_IDLE:
		if (!o->hand->is_calm && draw(o->hand, 50) == 0)
			gone(o, conn);
		break;
	default:
		break;
	}
}

/* A client begins a transaction, ends it, or goes. */
static void
play_client(struct one *o, unsigned i)
{
	struct policy_waiter *t = &o->waiters[i];

	if (o->holds[i] != NULL) {
		struct policy_conn *conn = o->holds[i];

		o->holds[i] = NULL;
		policy_return(o->p, conn, o->hand->now_us);
	} else if (t->waits == WAITS_NOT && !o->hand->is_calm) {
		*t = (struct policy_waiter){ .id = (uint64_t)(uintptr_t)o };
		o->holds[i] = policy_borrow(o->p, t, o->hand->now_us);
	} else if (!o->hand->is_calm && draw(o->hand, 20) == 0) {
		policy_cancel(o->p, t, o->hand->now_us);
	}
}

static void
play_place(struct hand *h)
{
	if (h->place_count > 0) {
		h->pools[0].crew->open--;
		policy_places_give_back(&h->places, h->now_us);
		h->place_count--;
	} else if (!h->is_calm && policy_places_take(&h->places, h->now_us)) {
		h->pools[0].crew->wrong += atomic_fetch_add(&h->pools[0].crew->open, 1) >= LIMIT;
		h->place_count++;
	}
}

static void
turn(struct hand *h)
{
	h->now_us = atomic_fetch_add(&h->pools[0].crew->clock_us, TURN_US) + TURN_US;
	if (atomic_exchange(&h->is_told, false))
		policy_worker_run_orders(h->worker, h->now_us);
	for (unsigned i = 0; i < POOLS; i++) {
		struct one *o = &h->pools[i];

		if (o->due_us != 0 && o->due_us <= h->now_us)
			o->due_us = policy_tick(o->p, h->now_us);
	}
}

static bool
is_anybody_waiting(const struct hand *h)
{
	for (unsigned i = 0; i < POOLS; i++)
		for (unsigned k = 0; k < CLIENTS; k++)
			if (h->pools[i].waiters[k].waits != WAITS_NOT || h->pools[i].holds[k] != NULL)
				return true;
	return false;
}

static void
play_all(struct hand *h)
{
	for (unsigned i = 0; i < POOLS; i++) {
		for (unsigned k = 0; k < SERVERS; k++)
			play_server(&h->pools[i], &h->pools[i].conns[k]);
		for (unsigned k = 0; k < CLIENTS; k++)
			play_client(&h->pools[i], k);
	}
}

static void
play_some(struct hand *h)
{
	struct one *o = &h->pools[draw(h, POOLS)];

	for (unsigned k = 0; k < CLIENTS; k++)
		if (draw(h, 4) == 0)
			play_client(o, k);
	for (unsigned k = 0; k < SERVERS; k++)
		if (draw(h, 4) == 0)
			play_server(o, &o->conns[k]);
	if (draw(h, 200) == 0)
		play_place(h);
}

/* From now on all servers answer, and nobody comes any more. */
static void
calm_down(struct hand *h)
{
	h->is_calm = true;
	while (h->place_count > 0)
		play_place(h);
}

static void
end_hand(struct hand *h)
{
	for (unsigned i = 0; i < POOLS; i++) {
		struct one *o = &h->pools[i];

		policy_close_all(o->p, RR_SHUTDOWN, h->now_us);
		for (unsigned k = 0; k < SERVERS; k++)
			if (o->conns[k].state != PC_NONE)
				gone(o, &o->conns[k]);
		policy_free(o->p);
	}
	policy_places_leave(&h->places);
}

/* At random first, then calmly until all who wait have been served. */
static void
run_hand(unsigned number, void *arg)
{
	struct crew *c = arg;
	struct hand *h = &c->hands[number];

	for (unsigned i = 0; i < STEPS; i++) {
		turn(h);
		play_some(h);
	}
	calm_down(h);
	for (bool was_waiting = true; c->waiting_hands > 0;) {
		turn(h);
		play_all(h);
		if (was_waiting && !is_anybody_waiting(h)) {
			was_waiting = false;
			c->waiting_hands--;
		}
		if (!was_waiting)
			sched_yield();
	}
	end_hand(h);
}

static void
tell_hand(void *owner)
{
	((struct hand *)owner)->is_told = true;
}

static void
make_hand(struct crew *c, struct hand *h, unsigned number, uint64_t seed)
{
	struct policy_settings set = fake_settings(4, 4);

	set.timeout_us = 0;

	set.opens_at_once = 1 + number;
	h->random = seed * THREADS + number;
	h->now_us = 1;
	h->worker = policy_worker_new(c->commons, number, tell_hand, h, &waiter_ops);
	policy_places_join(h->worker->commons->total, &h->places, h->worker);
	for (unsigned i = 0; i < POOLS; i++) {
		struct one *o = &h->pools[i];

		o->crew = c;
		o->hand = h;
		o->kind = i % 2;
		set.min_idle = i;
		o->p = policy_new(&set, &ops, o, h->worker, &o->counters, number * POOLS + i + 1, 1);
		policy_set_cap(o->p, number % 2 ? CAP_USER : CAP_DATABASE, c->kinds[o->kind], 1);
		if (i > 0)
			policy_set_circuit(o->p, c->circuit, 1);
	}
}

static struct crew *
crew_new(uint64_t seed)
{
	struct crew *c = calloc(1, sizeof(*c));

	c->clock_us = 1000;
	c->waiting_hands = THREADS;
	c->commons = policy_commons_new(seed);
	c->circuit = policy_circuit_get_or_create(c->commons, "db1:5432,any");
	c->kinds[0] = policy_budget_new(LIMIT_OF_ONE);
	c->kinds[1] = policy_budget_new(LIMIT_OF_ONE);
	for (unsigned i = 0; i < THREADS; i++)
		make_hand(c, &c->hands[i], i, seed);
	policy_budget_set_limit(c->hands[0].worker->commons->total, c->hands[0].worker, LIMIT, 1);
	return c;
}

static void
crew_free(struct crew *c)
{
	cr_expect_eq(c->open, 0);
	for (unsigned i = 0; i < THREADS; i++)
		policy_worker_free(c->hands[i].worker);
	policy_circuit_put(c->commons, c->circuit);
	policy_budget_free(c->kinds[0]);
	policy_budget_free(c->kinds[1]);
	policy_commons_free(c->commons); /* nothing is taken */
	free(c);
}

static bool
is_any_hand_waiting(const struct crew *c)
{
	bool is_any = false;

	for (unsigned i = 0; i < THREADS; i++)
		is_any |= c->hands[i].is_told || is_anybody_waiting(&c->hands[i]);
	return is_any;
}

/* One after another, in any order: notes are late, as their worker has its turn when it has it. */
Test(policy_commons, in_any_order_they_keep_to_the_caps_and_to_one_trial)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct crew *c = crew_new(seed);
		uint64_t random = seed, turns = 0;

		for (unsigned i = 0; i < STEPS_OF_SEED; i++) {
			struct hand *h = &c->hands[random_next(&random) % THREADS];

			if (random_next(&random) % 4 == 0)
				turn(h);
			play_some(h);
			cr_assert_eq(c->wrong, 0, "seed %u, step %u", (unsigned)seed, i);
		}
		for (unsigned i = 0; i < THREADS; i++)
			calm_down(&c->hands[i]);
		while (is_any_hand_waiting(c)) {
			struct hand *h = &c->hands[random_next(&random) % THREADS];

			turn(h);
			play_all(h);
			cr_assert_lt(turns++, 100000, "seed %u: somebody is forgotten", (unsigned)seed);
		}
		cr_assert_eq(c->wrong, 0, "seed %u", (unsigned)seed);
		for (unsigned i = 0; i < THREADS; i++)
			end_hand(&c->hands[i]);
		crew_free(c);
	}
}

Test(policy_commons, threads_keep_to_the_caps_and_nobody_is_forgotten)
{
	struct crew *c = crew_new(1);

	in_threads(run_hand, c);
	cr_expect_eq(c->wrong, 0);
	crew_free(c);
}
