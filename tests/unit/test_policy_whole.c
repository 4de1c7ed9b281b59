/*
 * tests/unit/test_policy_whole.c - a pool on several workers: which part gets what, one step at a time; and real
 * threads, none of which may miss what another one tells. Everything at random on one thread: test_policy_whole_sim.c.
 */
#include "policy/policy_circuit.h"
#include "policy/policy_part.h"
#include "policy_fake.h"
#include "threads.h"

#include "base/clock.h"

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
	t->whole = policy_whole_get(t->commons, "app", 3, true);
	for (int i = 0; i < PARTS; i++) {
		t->told[i] = 0;
		t->rooms[i] = policy_room_new(t->commons, (unsigned)i, on_told, &t->told[i], &fake_tickets);
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

/* Returns how many were given by the return of one by this client, behind whom the next waits who came later than all
 * in the other part. What is given arrives at once. */
static int
given_on_return(struct two *t, int client)
{
	struct fake *a = &t->parts[0], *b = &t->parts[1];
	int before = a->given;

	fake_return(a, client);
	if (a->given > before)
		cr_assert(policy_arrive(b->p, a->given_last, b->now));
	return a->given - before;
}

Test(policy_whole, the_next_is_given_when_both_loops_have_gone_round)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 5, 0);
	fake_fill(a, 0, 5);
	for (int i = 0; i < 3; i++)
		fake_borrow(b, i);
	pass_time(&t, 2 * MS);
	for (int i = 5; i < 10; i++)
		fake_borrow(a, i);
	cr_expect_eq(given_on_return(&t, 0), 1);
	cr_expect_eq(given_on_return(&t, 1), 0, "neither loop has gone round");
	cr_expect_eq(fake_holds(a, 5), 1, "it goes to the first in line here");
	policy_room_count_turn(t.rooms[1]);
	cr_expect_eq(given_on_return(&t, 2), 0, "this one has not");
	policy_room_count_turn(t.rooms[0]);
	cr_expect_eq(given_on_return(&t, 3), 1);
	policy_room_count_turn(t.rooms[0]);
	cr_expect_eq(given_on_return(&t, 4), 0, "that one has not");
	for (int i = 8; i < 10; i++)
		policy_cancel(a->p, &a->clients[i].ticket, a->now);
	cr_expect_eq(given_on_return(&t, 5), 1, "nobody waits here");
	for (int i = 6; i < 8; i++)
		fake_return(a, i);
	for (int i = 0; i < 3; i++)
		fake_return(b, i);
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

Test(policy_whole, a_worker_that_does_not_answer_is_given_nothing_until_it_does)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 2, 0);
	fake_fill(a, 0, 2);
	fake_borrow(b, 0);
	policy_room_set_silent(t.rooms[1], t.rooms[0], true, a->now);
	cr_expect_not(policy_is_wanted(a->p));
	fake_return(a, 0);
	cr_expect_eq(a->given, 0);
	cr_expect_eq(fake_counts(a).idle, 1);
	policy_room_set_silent(t.rooms[1], t.rooms[0], false, a->now);
	hear(&t, 1); /* it asks again */
	hear(&t, 0);
	cr_assert(policy_arrive(b->p, given(&t, 0, 1), b->now));
	cr_expect_eq(b->clients[0].conn, &a->conns[0]);
	fake_return(b, 0);
	two_fini(&t);
}

Test(policy_whole, who_gets_one_of_its_own_part_wants_none_of_others)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 3, 0);
	fake_fill(a, 0, 1);
	fake_borrow(b, 0);
	cr_expect_eq(b->opened, 1);
	cr_expect(!policy_is_wanted(a->p), "one is opened there");
	fake_borrow(b, 1);
	cr_expect_eq(b->opened, 2);
	cr_expect(!policy_is_wanted(a->p), "and another");
	fake_borrow(b, 2);
	cr_expect_eq(b->opened, 2, "no place is left");
	cr_expect(policy_is_wanted(a->p));
	fake_opened(b, 0);
	cr_expect(policy_is_wanted(a->p), "the third waits still");
	policy_conn_washing(b->p, b->clients[0].conn);
	cr_expect(!policy_is_wanted(a->p), "what is washed is for it");
	policy_conn_washing_is_slow(b->p, b->clients[0].conn, 0, b->now);
	cr_expect(policy_is_wanted(a->p), "but not in a moment");
	fake_return(a, 0);
	policy_whole_lost(given(&t, 0, 1), t.rooms[1], b->now);
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

Test(policy_whole, one_more_in_line_is_told_of_where_one_is_idle_and_else_nobody)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];
	struct policy_conn *conn;

	two_init(&t, 2, 0);
	fake_fill(a, 0, 2);
	fake_borrow(b, 0);
	fake_return(a, 0);
	conn = given(&t, 0, 1);
	fake_return(a, 1); /* who waits has one on its way */
	cr_expect_eq(a->given, 1);
	hear(&t, 0);
	cr_expect_eq(a->given, 1);
	fake_borrow(b, 1);
	hear(&t, 0);
	cr_expect_eq(a->given, 2);
	cr_assert(policy_arrive(b->p, conn, b->now));
	cr_assert(policy_arrive(b->p, a->given_last, b->now));
	fake_borrow(b, 2);
	fake_borrow(b, 3);
	cr_expect_eq(t.told[0], 0, "there are two, and both are lent");
	for (int i = 0; i < 4; i++)
		fake_return(b, i);
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

static void
lose(struct fake *f, int client)
{
	struct policy_conn *conn = f->clients[client].conn;

	f->clients[client].conn = NULL;
	policy_conn_gone(f->p, conn, true, f->now);
}

Test(policy_whole, those_in_line_in_any_part_when_postgresql_restarts_wait_on)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 2, 0);
	fake_fill(a, 0, 1);
	fake_fill(b, 0, 1);
	fake_borrow(a, 1);
	fake_borrow(b, 1);
	lose(b, 0);
	lose(a, 0);
	fake_failed(b, 1, CF_REFUSED, false);
	fake_failed(a, 1, CF_REFUSED, false);
	pass_time(&t, MS);
	cr_expect_eq(a->clients[1].refusals + b->clients[1].refusals, 0);
	fake_borrow(b, 2);
	pass_time(&t, MS);
	cr_expect_eq(b->clients[2].refusals, 1, "it came when PostgreSQL was gone");
	cr_expect_eq(b->clients[1].refusals, 0);
	cr_expect_eq(a->counters.outages + b->counters.outages, 1, "there is one outage");
	two_fini(&t);
}

Test(policy_whole, a_newcomer_does_not_wait_for_what_another_part_opens_at_a_silent_host)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 1, 0);
	for (int i = 0; i < PARTS; i++)
		policy_set_circuit(t.parts[i].p, policy_circuit_get(t.commons, "db1:5432,any"), t.parts[i].now);
	fake_borrow(a, 0);
	pass_time(&t, 5 * S);
	fake_failed(a, 0, CF_TIMEOUT, false);
	pass_time(&t, S);
	policy_scout(a->p, a->now); /* it has the only place */
	fake_borrow(b, 1);
	fake_at(b, b->now);
	cr_expect_eq(b->opened, 0);
	cr_expect_eq(b->clients[1].refusals, 1);
	fake_borrow(a, 1);
	fake_at(a, a->now);
	cr_expect_eq(a->clients[1].refusals, 1);
	struct policy_circuit *c = policy_circuit_get(t.commons, "db1:5432,any");
	for (int i = 0; i < PARTS; i++) {
		policy_set_circuit(t.parts[i].p, NULL, t.parts[i].now);
		policy_circuit_put(t.commons, c);
	}
	policy_circuit_put(t.commons, c);
	two_fini(&t);
}

Test(policy_whole, an_outage_in_the_middle_of_which_its_part_goes_is_over_when_another_part_opens_one)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 2, 0);
	fake_borrow(a, 0);
	fake_failed(a, 0, CF_REFUSED, false);
	cr_expect_eq(a->counters.outages, 1);
	policy_set_whole(a->p, NULL, a->now);
	pass_time(&t, 3 * S);
	cr_expect_eq(b->counters.outage_us, 0);
	fake_borrow(b, 0);
	fake_failed(b, 0, CF_REFUSED, false);
	pass_time(&t, S);
	cr_expect_eq(b->counters.outages, 0, "it is the same one");
	fake_borrow(b, 1);
	fake_opened(b, b->opened - 1);
	cr_expect_eq(b->counters.outage_us, 4 * S);
	two_fini(&t);
}

Test(policy_whole, an_outage_is_over_in_a_part_that_nobody_uses_when_another_opens_one)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 2, 0);
	fake_borrow(a, 0);
	fake_failed(a, 0, CF_REFUSED, false);
	cr_expect_eq(fake_counts(a).waiting, 0, "it is refused");
	cr_expect_neq(fake_counts(a).outage.since_us, 0);
	pass_time(&t, S);
	fake_borrow(b, 0);
	fake_opened(b, 0);
	hear(&t, 0);
	cr_expect_eq(fake_counts(a).outage.since_us, 0);
	cr_expect_eq(a->counters.outage_us + b->counters.outage_us, S);
	two_fini(&t);
}

/* A connection that b has opened is on its way to a, where an attempt has failed since it was heard of. */
static struct policy_conn *
cross_during_outage(struct two *t)
{
	struct fake *a = &t->parts[0], *b = &t->parts[1];
	struct policy_settings set = fake_settings(4, 0);

	two_init(t, 4, 0);
	set.waits_while_down = true;
	for (int i = 0; i < PARTS; i++)
		policy_reconfigure(t->parts[i].p, &set, t->parts[i].now);
	fake_borrow(a, 0);
	fake_failed(a, 0, CF_REFUSED, false);
	pass_time(t, S);
	cr_assert_eq(a->opened, 2, "another attempt");
	fake_borrow(b, 0);
	fake_opened(b, 0);
	pass_time(t, MS);
	fake_failed(a, 1, CF_REFUSED, false);
	return given(t, 1, 0);
}

Test(policy_whole, what_comes_is_no_proof_that_postgresql_is_there)
{
	struct two t;
	struct policy_conn *conn = cross_during_outage(&t);
	struct fake *a = &t.parts[0];

	cr_assert(policy_arrive(a->p, conn, a->now));
	cr_expect_eq(a->counters.outage_us, 0);
	cr_expect_null(a->clients[0].conn);
	cr_expect_eq(a->pinged, 1);
	policy_ping_done(a->p, conn, false, a->now);
	pass_time(&t, MS);
	cr_expect_eq(a->counters.outage_us, 0);
	cr_expect_eq(a->counters.outages, 1);
	two_fini(&t);
}

Test(policy_whole, what_comes_and_is_alive_ends_an_outage)
{
	struct two t;
	struct policy_conn *conn = cross_during_outage(&t);
	struct fake *a = &t.parts[0];

	cr_assert(policy_arrive(a->p, conn, a->now));
	policy_ping_done(a->p, conn, true, a->now);
	cr_expect_eq(a->clients[0].conn, conn);
	cr_expect_eq(a->counters.outage_us, S + MS);
	a->clients[0].conn = NULL;
	policy_conn_gone(a->p, conn, false, a->now);
	two_fini(&t);
}

static void
cap(struct two *t, uint32_t limit)
{
	policy_budget_set_limit(policy_room_total(t->rooms[0]), t->rooms[0], limit, t->parts[0].now);
}

/* Returns how many places are taken under it. */
static uint32_t
capped(const struct two *t)
{
	return policy_budget_used(policy_room_total(t->rooms[0]));
}

Test(policy_whole, what_crosses_keeps_its_place_under_a_cap)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 3, 0);
	cap(&t, 2);
	fake_fill(a, 0, 2);
	fake_borrow(b, 0);
	cr_expect_eq(b->opened, 0, "the cap has no place");
	fake_return(a, 0);
	cr_expect_eq(capped(&t), 2);
	cr_assert(policy_arrive(b->p, given(&t, 0, 1), b->now));
	cr_expect_eq(b->clients[0].conn, a->given_last);
	cr_expect_eq(a->closed + b->closed, 0);
	cr_expect_eq(capped(&t), 2);
	b->clients[0].conn = NULL;
	policy_conn_gone(b->p, a->given_last, false, b->now);
	cr_expect_eq(capped(&t), 1);
	two_fini(&t);
}

Test(policy_whole, what_is_lost_on_its_way_gives_its_place_to_whoever_waits_under_the_cap)
{
	struct policy_settings set = fake_settings(2, 0);
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1], other;

	two_init(&t, 3, 0);
	fake_init(&other, &set, t.rooms[0]);
	cap(&t, 1);
	fake_fill(a, 0, 1);
	fake_borrow(b, 0);
	fake_return(a, 0);
	fake_borrow(&other, 0);
	cr_expect_eq(other.opened, 0);
	policy_cancel(b->p, &b->clients[0].ticket, b->now);
	policy_whole_lost(given(&t, 0, 1), t.rooms[1], b->now);
	cr_expect_eq(capped(&t), 0);
	policy_room_hear(t.rooms[0], other.now);
	fake_at(&other, other.now);
	cr_expect_eq(other.opened, 1);
	policy_pause(other.p, other.now);
	fake_fini(&other);
	two_fini(&t);
}

Test(policy_whole, a_cap_of_all_parts_counts_what_was_on_its_way_when_it_came)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];
	struct policy_budget *budget;

	two_init(&t, 2, 0);
	budget = policy_budget_get(t.commons, 'd', "app", 3);
	fake_fill(a, 0, 2);
	fake_borrow(b, 0);
	fake_return(a, 0);
	policy_budget_set_limit(budget, t.rooms[0], 2, a->now);
	policy_set_cap(a->p, CAP_DATABASE, budget, a->now);
	cr_expect_eq(policy_budget_used(budget), 2);
	cr_assert(policy_arrive(b->p, given(&t, 0, 1), b->now)); /* which has not heard of it */
	policy_set_cap(b->p, CAP_DATABASE, budget, b->now);
	cr_expect_eq(policy_budget_used(budget), 2);
	b->clients[0].conn = NULL;
	policy_conn_gone(b->p, a->given_last, false, b->now);
	cr_expect_eq(policy_budget_used(budget), 1);
	policy_set_cap(a->p, CAP_DATABASE, NULL, a->now);
	policy_set_cap(b->p, CAP_DATABASE, NULL, b->now);
	cr_expect_eq(policy_budget_used(budget), 0);
	policy_budget_put(t.commons, budget);
	two_fini(&t);
}

Test(policy_whole, its_parts_have_one_share)
{
	struct policy_settings set = fake_settings(9, 0);
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1], other;

	two_init(&t, 9, 0);
	fake_init(&other, &set, t.rooms[0]);
	cap(&t, 6);
	fake_fill(a, 0, 3);
	fake_fill(b, 0, 3);
	for (int i = 3; i < 9; i++) {
		fake_borrow(a, i);
		fake_borrow(b, i);
		fake_borrow(&other, i);
	}
	for (int i = 0; i < 3; i++) { /* each is given up, or kept by the one behind */
		for (int part = 0; part < PARTS; part++) {
			policy_room_hear(t.rooms[part], a->now);
			if (t.parts[part].clients[i].conn != NULL)
				fake_return(&t.parts[part], i);
		}
		fake_at(&other, other.now);
	}
	cr_expect_eq(other.opened, 3, "a half of six, not a third");
	cr_expect_eq(t.whole->used, 3);
	policy_pause(other.p, other.now);
	fake_fini(&other);
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

Test(policy_whole, a_place_made_for_another_part_is_not_taken_for_stock)
{
	struct policy_settings set = fake_settings(1, 0);
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];

	two_init(&t, 1, 0);
	set.min_idle = 1;
	policy_reconfigure(a->p, &set, a->now);
	a->cannot_give = true;
	fake_fill(a, 0, 1);
	fake_return(a, 0);
	fake_borrow(b, 0);
	hear(&t, 0);
	pass_time(&t, 2 * S);
	cr_expect_eq(a->closed, 1);
	cr_expect_eq(a->opened, 1, "however long the other worker takes");
	hear(&t, 1);
	cr_expect_eq(b->opened, 1);
	two_fini(&t);
}

/* a has one, which can't cross, and somebody waits there, and has for longer on b. */
static void
two_starve(struct two *t)
{
	struct fake *a = &t->parts[0];

	two_init(t, 1, 0);
	a->cannot_give = true;
	fake_fill(a, 0, 1);
	fake_borrow(&t->parts[1], 0);
	pass_time(t, 200 * MS);
	t->told[0] = 0;
	fake_borrow(a, 1);
	fake_return(a, 0);
	cr_expect_eq(a->closed, 1);
	cr_expect_eq(a->opened, 1, "the place is not for those here");
}

Test(policy_whole, a_place_made_for_another_part_is_left_to_it)
{
	struct two t;

	two_starve(&t);
	hear(&t, 1);
	cr_expect_eq(t.parts[1].opened, 1);
	two_fini(&t);
}

Test(policy_whole, a_place_that_another_part_does_not_take_is_not_lost)
{
	struct two t;
	struct fake *a = &t.parts[0];

	two_starve(&t);
	fake_at(a, a->now + 100 * MS);
	cr_expect_eq(a->opened, 2);
	policy_conn_opened(a->p, &a->conns[1], a->now);
	cr_expect_eq(a->closed, 1);
	cr_expect_eq(fake_holds(a, 1), 1);
	two_fini(&t);
}

Test(policy_whole, the_place_in_line_counts_those_of_other_parts)
{
	struct two t;
	struct fake *a = &t.parts[0], *b = &t.parts[1];
	struct fail why;

	two_init(&t, 1, 0);
	fake_fill(a, 0, 1);
	for (int i = 1; i < 5; i++)
		fake_borrow(a, i);
	pass_time(&t, 10 * MS);
	fake_borrow(b, 0);
	cr_expect_eq(policy_place(b->p, &b->clients[0].ticket, b->now), 5, "all of them came before");
	pass_time(&t, 10 * MS);
	cr_expect_eq(policy_place(b->p, &b->clients[0].ticket, b->now), 3, "some came since, for all that is known");
	cr_expect_eq(policy_place(a->p, &a->clients[1].ticket, a->now), 1);
	cr_expect_eq(policy_line_length(b->p), 5);
	policy_explain_wait(b->p, &b->clients[0].ticket, b->now, &why);
	cr_expect_str_eq(why.detail, "pool has 1 of 1 connections busy (1 + 0 overflow), 5 clients waiting");
	two_fini(&t);
}

/* --- Threads. --- */

#define ROUNDS 50000

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
		part_tell(m, 0, number, 0, number == 1 ? 1 : UINT64_MAX);
		meet(l, &nth);
		if (number == 0) {
			part_tell(m, 1, 0, 0, UINT64_MAX);
			l->has_seen[0] = atomic_load_explicit(&l->whole->signs[1].waiting, memory_order_relaxed) == 2;
		} else {
			part_tell(m, 0, 2, 0, 1);
			l->has_seen[1] =
			    (atomic_load_explicit(&l->whole->bits, memory_order_relaxed) & IDLE_BIT(0)) != 0;
		}
		meet(l, &nth);
		if (number == 0)
			l->missed += !l->has_seen[0] && !l->has_seen[1];
		meet(l, &nth);
	}
}

Test(policy_whole, who_begins_to_wait_and_who_becomes_idle_do_not_miss_each_other)
{
	struct litmus *l = calloc(1, sizeof(*l));

	l->commons = policy_commons_new(1);
	l->whole = policy_whole_get(l->commons, "app", 3, true);
	for (unsigned i = 0; i < 2; i++) {
		l->rooms[i] = policy_room_new(l->commons, i, NULL, NULL, &fake_tickets);
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

/* --- Real crossings. --- */

#define SIZE 6
#define OVERFLOW 2
#define CLIENTS 5
#define STEPS 5000
#define TURN_US 20

struct hand;

struct server {
	struct policy_conn conn; /* first */
	TAILQ_ENTRY(server) link; /* in an inbox */
};

TAILQ_HEAD(servers, server);

struct crew;

/* A worker, its part, and who borrows there. */
struct hand {
	struct crew *crew;
	struct policy_room *room;
	struct policy *p;
	struct pool_counters counters;
	uint64_t random, now_us, due_us;
	_Atomic bool is_told;
	pthread_mutex_t lock; /* of the inbox */
	struct servers inbox;
	struct policy_ticket tickets[CLIENTS];
	struct server *holds[CLIENTS];
	struct server *opening[SIZE + OVERFLOW];
	unsigned opening_count;
	uint64_t served, given;
};

struct crew {
	struct policy_commons *commons;
	unsigned most; /* connections of all */
	struct policy_whole *whole;
	struct hand hands[THREADS];
	_Atomic uint64_t clock_us;
	_Atomic unsigned open, wrong, busy_hands;
};

static int
hand_open(void *owner, uint64_t now_us, struct fail *why)
{
	struct hand *h = owner;
	struct server *srv = calloc(1, sizeof(*srv));

	(void)why;
	h->crew->wrong += atomic_fetch_add(&h->crew->open, 1) >= h->crew->most;
	h->opening[h->opening_count++] = srv;
	policy_conn_opening(h->p, &srv->conn, now_us);
	return 0;
}

static void
hand_close(void *owner, struct policy_conn *conn, enum recycle_reason reason)
{
	struct hand *h = owner;

	(void)reason;
	for (unsigned i = 0; i < h->opening_count; i++)
		if (&h->opening[i]->conn == conn)
			h->opening[i--] = h->opening[--h->opening_count];
	h->crew->open--; /* before the place is given back */
	policy_conn_gone(h->p, conn, false, h->now_us);
	free(conn);
}

static void
hand_wake(void *owner, uint64_t at_us)
{
	struct hand *h = owner;

	h->due_us = at_us;
}

static bool
hand_give(void *owner, struct policy_conn *conn, struct policy_room *to)
{
	struct hand *from = owner, *h = to->owner;

	from->given++;
	pthread_mutex_lock(&h->lock);
	TAILQ_INSERT_TAIL(&h->inbox, (struct server *)conn, link);
	pthread_mutex_unlock(&h->lock);
	return true;
}

static const struct policy_ops hand_ops = {
	.open = hand_open, .close = hand_close, .wake = hand_wake, .give = hand_give
};

static void
on_hand_grant(struct policy_conn *conn, struct policy_ticket *t)
{
	struct hand *h = (struct hand *)(uintptr_t)t->image;

	h->holds[t - h->tickets] = (struct server *)conn;
	h->served++;
}

static void
on_hand_refuse(const struct fail *why, enum request_failure kind, struct policy_ticket *t)
{
	(void)why, (void)kind;
	((struct hand *)(uintptr_t)t->image)->crew->wrong++; /* nobody has a limit */
}

static const struct policy_ticket_ops hand_ticket_ops = { on_hand_grant, on_hand_refuse, NULL };

static void
tell_hand(void *owner)
{
	((struct hand *)owner)->is_told = true;
}

static struct server *
take_note(struct hand *h)
{
	struct server *srv;

	pthread_mutex_lock(&h->lock);
	srv = TAILQ_FIRST(&h->inbox);
	if (srv != NULL)
		TAILQ_REMOVE(&h->inbox, srv, link);
	pthread_mutex_unlock(&h->lock);
	return srv;
}

static void
turn(struct hand *h)
{
	struct server *srv;

	h->now_us = atomic_fetch_add(&h->crew->clock_us, TURN_US) + TURN_US;
	if (atomic_exchange(&h->is_told, false))
		policy_room_hear(h->room, h->now_us);
	while ((srv = take_note(h)) != NULL)
		h->crew->wrong += !policy_arrive(h->p, &srv->conn, h->now_us);
	while (h->opening_count > 0) {
		srv = h->opening[--h->opening_count];
		policy_conn_opened(h->p, &srv->conn, h->now_us);
	}
	if (h->due_us != 0 && h->due_us <= h->now_us)
		h->due_us = policy_tick(h->p, h->now_us);
}

static void
play_client(struct hand *h, unsigned i, bool is_over)
{
	struct policy_ticket *t = &h->tickets[i];
	struct server *srv = h->holds[i];

	if (srv != NULL) {
		h->holds[i] = NULL;
		policy_return(h->p, &srv->conn, h->now_us);
	} else if (!t->is_waiting && !is_over) {
		*t = (struct policy_ticket){ .id = i + 1, .image = h };
		h->holds[i] = (struct server *)policy_borrow(h->p, t, h->now_us);
	}
}

static bool
is_hand_busy(const struct hand *h)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (h->tickets[i].is_waiting || h->holds[i] != NULL)
			return true;
	return false;
}

/* Clients come and go; then each that waits is served, while the others have nothing to do any more. */
static void
run_hand(unsigned number, void *arg)
{
	struct crew *c = arg;
	struct hand *h = &c->hands[number];
	bool is_over = false;

	for (unsigned i = 0; i < STEPS || c->busy_hands > 0; i++) {
		turn(h);
		for (unsigned k = 0; k < CLIENTS; k++)
			if (i >= STEPS || random_next(&h->random) % 4 == 0)
				play_client(h, k, i >= STEPS);
		if (!is_over && i >= STEPS && !is_hand_busy(h)) {
			is_over = true;
			c->busy_hands--;
		}
		if (i % 16 == number)
			sched_yield();
	}
}

static void
end_hand(struct hand *h)
{
	turn(h);
	policy_close_all(h->p, RR_SHUTDOWN, h->now_us);
	policy_free(h->p);
	policy_room_free(h->room);
	pthread_mutex_destroy(&h->lock);
}

/* cap: less than the pool may have, or 0: none. */
static void
play_crew(uint32_t cap)
{
	struct crew *c = calloc(1, sizeof(*c));
	struct policy_settings set = fake_settings(SIZE, OVERFLOW);
	uint64_t given = 0;

	set.timeout_us = 0;
	c->clock_us = 1000;
	c->busy_hands = THREADS;
	c->most = cap > 0 ? cap : SIZE + OVERFLOW;
	c->commons = policy_commons_new(1);
	c->whole = policy_whole_get(c->commons, "app", 3, true);
	for (unsigned i = 0; i < THREADS; i++) {
		struct hand *h = &c->hands[i];

		h->crew = c;
		h->random = i;
		TAILQ_INIT(&h->inbox);
		pthread_mutex_init(&h->lock, NULL);
		h->room = policy_room_new(c->commons, i, tell_hand, h, &hand_ticket_ops);
		h->p = policy_new(&set, &hand_ops, h, h->room, &h->counters, i + 1, 1);
		policy_set_whole(h->p, c->whole, 1);
		policy_budget_set_limit(c->commons->total, h->room, cap, 1);
	}
	in_threads(run_hand, c);
	for (unsigned i = 0; i < THREADS; i++)
		end_hand(&c->hands[i]);
	for (unsigned i = 0; i < THREADS; i++) {
		cr_expect_gt(c->hands[i].served, 0);
		given += c->hands[i].given;
	}
	cr_expect_gt(given, 0);
	cr_expect_eq(c->wrong, 0);
	cr_expect_eq(c->open, 0);
	cr_expect_eq(c->whole->used, 0);
	cr_expect_eq(policy_budget_used(c->commons->total), 0);
	policy_whole_put(c->commons, c->whole);
	policy_commons_free(c->commons);
	free(c);
}

Test(policy_whole, threads_keep_to_the_limit_and_nobody_is_forgotten)
{
	play_crew(0);
}

Test(policy_whole, threads_keep_to_a_cap_and_nobody_is_forgotten)
{
	play_crew(SIZE - 1);
}
