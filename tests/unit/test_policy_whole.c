/*
 * tests/unit/test_policy_whole.c - a pool on several workers: which part gets what, one step at a time; and real
 * threads, none of which may miss what another one tells. Everything at random on one thread: test_policy_whole_sim.c.
 */
#include "policy/policy_part.h"
#include "policy_fake.h"
#include "threads.h"

#include "base/backoff.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdlib.h>

/* --- Two workers, one step at a time. --- */

#define PARTS 2

struct two {
	struct policy_commons *commons;
	struct policy_room *rooms[PARTS];
	int told[PARTS];
	struct policy_whole *whole;
	struct fake parts[PARTS];
};

static void
on_told(void *owner)
{
	++*(int *)owner;
}

static void
two_init(struct two *t, uint32_t size, uint32_t overflow)
{
	struct policy_settings set = fake_settings(size, overflow);

	t->commons = policy_commons_new(1);
	t->whole = policy_whole_get(t->commons, "app", 3);
	for (int i = 0; i < PARTS; i++) {
		t->told[i] = 0;
		t->rooms[i] = policy_room_new(t->commons, (unsigned)i, on_told, &t->told[i]);
		fake_init(&t->parts[i], &set, t->rooms[i]);
		policy_set_whole(t->parts[i].p, t->whole, t->parts[i].now);
	}
}

static void
hear(struct two *t, int i)
{
	cr_expect_eq(t->told[i], 1, "worker %d was told %d times", i, t->told[i]);
	t->told[i] = 0;
	policy_room_hear(t->rooms[i], t->parts[i].now);
	fake_at(&t->parts[i], t->parts[i].now);
}

/* Returns the one that from gave last, to the worker with this number. */
static struct policy_conn *
given(struct two *t, int from, int to)
{
	struct fake *f = &t->parts[from];

	cr_assert_gt(f->given, 0, "worker %d gave nothing", from);
	cr_expect_eq(f->given_to, t->rooms[to]);
	cr_expect_eq(f->given_last->state, PC_NONE);
	return f->given_last;
}

static void
pass_time(struct two *t, uint64_t us)
{
	for (int i = 0; i < PARTS; i++)
		fake_at(&t->parts[i], t->parts[i].now + us);
}

/* own: connections that were opened by another worker and are here. */
static void
two_fini(struct two *t)
{
	for (int i = 0; i < PARTS; i++)
		policy_pause(t->parts[i].p, t->parts[i].now);
	for (int i = 0; i < PARTS; i++)
		fake_fini(&t->parts[i]);
	cr_expect_eq(t->whole->used, 0);
	policy_whole_put(t->commons, t->whole);
	for (int i = 0; i < PARTS; i++)
		policy_room_free(t->rooms[i]);
	policy_commons_free(t->commons);
}

Test(policy_whole, places_are_those_of_all_parts)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 3, 1);
	fake_fill(a, 0, 2);
	fake_fill(b, 0, 2);
	fake_borrow(a, 2);
	fake_borrow(b, 2);
	cr_expect_eq(a->opened, 2);
	cr_expect_eq(b->opened, 2, "three and one more");
	policy_conn_gone(b->p, &b->conns[0], false, b->now);
	b->clients[0].conn = NULL;
	cr_expect_eq(b->opened, 3, "a place is free");
	two_fini(&t);
}

Test(policy_whole, who_waits_longest_gets_what_is_returned_elsewhere)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];
	struct policy_conn *conn;

	two_init(&t, 2, 0);
	fake_fill(a, 0, 2);
	fake_borrow(b, 0);
	pass_time(&t, 2 * MS);
	fake_borrow(b, 1);
	fake_borrow(a, 2);
	fake_return(a, 0); /* b's first is two milliseconds older than a's */
	conn = given(&t, 0, 1);
	cr_expect_eq(t.whole->used, 2, "it keeps its place");
	fake_return(a, 1); /* b's second is not older; and one is on its way there */
	cr_expect_eq(a->given, 1);
	cr_expect_eq(fake_holds(a, 2), 1);
	cr_assert(policy_arrive(b->p, conn, b->now));
	cr_expect_eq(b->clients[0].conn, conn);
	fake_return(a, 2); /* nobody waits here any more */
	cr_expect_eq(a->given, 2);
	policy_whole_lost(given(&t, 0, 1), t.rooms[1], b->now);
	cr_expect_eq(t.whole->used, 1, "it died on its way");
	fake_at(b, b->now);
	cr_expect_eq(b->opened, 1, "so there is a place");
	b->clients[0].conn = NULL;
	policy_conn_gone(b->p, conn, false, b->now);
	two_fini(&t);
}

Test(policy_whole, others_are_asked_for_idle_ones_before_one_is_opened)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];
	struct policy_conn *conn;

	two_init(&t, 4, 0);
	fake_fill(a, 0, 1);
	fake_return(a, 0);
	fake_borrow(b, 0);
	fake_borrow(b, 1);
	cr_expect_eq(b->opened, 1, "one is idle there, and two wait");
	hear(&t, 0);
	conn = given(&t, 0, 1);
	cr_expect_eq(t.told[1], 1, "it has no more");
	hear(&t, 1);
	cr_expect_eq(b->opened, 1, "one is coming for each");
	cr_assert(policy_arrive(b->p, conn, b->now));
	cr_expect_eq(b->clients[0].conn, conn);
	b->clients[0].conn = NULL;
	policy_conn_gone(b->p, conn, false, b->now);
	two_fini(&t);
}

Test(policy_whole, a_worker_that_does_not_answer_is_not_waited_for)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 4, 0);
	fake_fill(a, 0, 1);
	fake_return(a, 0);
	fake_borrow(b, 0);
	cr_expect_eq(b->opened, 0);
	fake_at(b, b->now + WHOLE_ASK_US - 1);
	cr_expect_eq(b->opened, 0);
	fake_at(b, b->now + 1);
	cr_expect_eq(b->opened, 1);
	two_fini(&t);
}

Test(policy_whole, who_has_lent_it_meanwhile_says_so)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 4, 0);
	fake_fill(a, 0, 1);
	fake_return(a, 0);
	fake_borrow(b, 0);
	fake_borrow(a, 1);
	hear(&t, 0);
	cr_expect_eq(a->given, 0);
	hear(&t, 1);
	cr_expect_eq(b->opened, 1, "at once, not in five milliseconds");
	two_fini(&t);
}

Test(policy_whole, what_can_not_cross_makes_room)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 1, 0);
	a->cannot_give = true;
	fake_fill(a, 0, 1);
	fake_return(a, 0);
	fake_borrow(b, 0);
	cr_expect_eq(b->opened, 0);
	hear(&t, 0);
	cr_expect_eq(a->closed, 1);
	hear(&t, 1);
	cr_expect_eq(b->opened, 1);
	two_fini(&t);
}

Test(policy_whole, what_left_before_a_reload_is_closed)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];
	struct policy_conn *conn;

	two_init(&t, 1, 0);
	fake_fill(a, 0, 1);
	fake_borrow(b, 0);
	fake_return(a, 0);
	conn = given(&t, 0, 1);
	policy_close_all(a->p, RR_RELOAD, a->now);
	policy_close_all(b->p, RR_RELOAD, b->now);
	cr_assert(policy_arrive(b->p, conn, b->now));
	cr_expect_eq(b->closed, 1);
	cr_expect_eq(b->opened, 1, "another one for who waits");
	two_fini(&t);
}

Test(policy_whole, where_the_part_is_gone_nothing_arrives)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];
	struct policy_conn *conn;

	two_init(&t, 1, 0);
	fake_fill(a, 0, 1);
	fake_borrow(b, 0);
	fake_return(a, 0);
	conn = given(&t, 0, 1);
	policy_cancel(b->p, &b->clients[0].ticket, b->now);
	policy_set_whole(b->p, NULL, b->now);
	cr_expect_not(policy_arrive(b->p, conn, b->now));
	policy_whole_lost(conn, t.rooms[1], b->now);
	cr_expect_eq(t.whole->used, 0);
	two_fini(&t);
}

Test(policy_whole, each_part_keeps_its_share_of_min_idle)
{
	struct policy_settings set = fake_settings(8, 0);
	struct two t;

	two_init(&t, 8, 0);
	set.min_idle = 5;
	for (int i = 0; i < PARTS; i++)
		policy_reconfigure(t.parts[i].p, &set, t.parts[i].now);
	policy_warm(t.parts[0].p, t.parts[0].now);
	cr_expect_eq(t.parts[0].opened, 5, "nobody has used the other part");
	policy_warm(t.parts[1].p, t.parts[1].now);
	cr_expect_eq(t.parts[1].opened, 2);
	two_fini(&t);
}

/* --- Threads. --- */

#define ROUNDS 200000

struct litmus {
	struct policy_commons *commons;
	struct policy_room *rooms[2];
	struct policy_orders orders[2];
	struct policy_whole *whole;
	struct policy_part parts[2];
	_Atomic unsigned arrived;
	unsigned missed;
	bool has_seen[2];
};

/* Both leave it at nearly the same moment. */
static void
meet(struct litmus *l, unsigned *nth)
{
	unsigned until = 2 * ++*nth;

	atomic_fetch_add(&l->arrived, 1);
	for (unsigned spins = 0; atomic_load(&l->arrived) < until; spins++)
		if (spins > 1000)
			sched_yield();
}

/* One part gets its first idle connection while one more begins to wait in the other: one of them sees it. */
static void
run_litmus(unsigned number, void *arg)
{
	struct litmus *l = arg;
	struct policy_part *m;
	unsigned nth = 0;

	if (number > 1)
		return;
	m = &l->parts[number];
	for (unsigned i = 0; i < ROUNDS; i++) {
		part_tell(m, 0, number, number == 1 ? 1 : UINT64_MAX);
		meet(l, &nth);
		if (number == 0) {
			part_tell(m, 1, 0, UINT64_MAX);
			l->has_seen[0] = atomic_load_explicit(&l->whole->signs[1].waiting, memory_order_relaxed) == 2;
		} else {
			part_tell(m, 0, 2, 1);
			l->has_seen[1] =
			    (atomic_load_explicit(&l->whole->bits, memory_order_relaxed) & IDLE_BIT(0)) != 0;
		}
		meet(l, &nth);
		l->missed += number == 0 && !l->has_seen[0] && !l->has_seen[1];
		meet(l, &nth);
	}
}

Test(policy_whole, who_begins_to_wait_and_who_becomes_idle_do_not_miss_each_other)
{
	struct litmus *l = calloc(1, sizeof(*l));

	l->commons = policy_commons_new(1);
	l->whole = policy_whole_get(l->commons, "app", 3);
	for (unsigned i = 0; i < 2; i++) {
		l->rooms[i] = policy_room_new(l->commons, i, NULL, NULL);
		l->orders[i].room = l->rooms[i];
		l->parts[i].orders = &l->orders[i];
		part_join(&l->parts[i], l->whole, 0, 0, 0);
	}
	in_threads(run_litmus, l);
	cr_expect_eq(l->missed, 0, "%u of %u", l->missed, ROUNDS);
	for (unsigned i = 0; i < 2; i++)
		part_leave(&l->parts[i], 0, 0, 0, 0);
	policy_whole_put(l->commons, l->whole);
	for (unsigned i = 0; i < 2; i++)
		policy_room_free(l->rooms[i]);
	policy_commons_free(l->commons);
	free(l);
}
