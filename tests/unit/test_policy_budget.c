/* tests/unit/test_policy_budget.c - a cap over several pools: nobody goes short while another has more than he needs.
 */
#include "policy_fake.h"

#include <criterion/criterion.h>

#define POOLS 16

struct several {
	struct policy_commons *commons;
	struct policy_room *room;
	struct policy_budget *budget;
	struct fake pools[POOLS];
	int count;
};

static void
several_init(struct several *v, int count, uint32_t limit)
{
	struct policy_settings set = fake_settings(20, 10);

	v->commons = policy_commons_new(1);
	v->room = policy_room_new(v->commons, 0, NULL, NULL, &fake_tickets);
	v->budget = policy_room_total(v->room);
	policy_budget_set_limit(v->budget, v->room, limit, 0);
	v->count = count;
	for (int i = 0; i < count; i++)
		fake_init(&v->pools[i], &set, v->room);
}

static void
several_fini(struct several *v)
{
	for (int i = 0; i < v->count; i++)
		policy_pause(v->pools[i].p, v->pools[i].now); /* nobody takes what another gives up */
	for (int i = 0; i < v->count; i++)
		fake_fini(&v->pools[i]);
	cr_expect_eq(policy_budget_used(v->budget), 0);
	policy_room_free(v->room);
	policy_commons_free(v->commons);
}

static void
all_at(struct several *v, uint64_t now)
{
	for (int turn = 0; turn < v->count; turn++) { /* one may wake another */
		for (int i = 0; i < v->count; i++)
			fake_at(&v->pools[i], now);
	}
}

Test(policy_budget, is_never_exceeded)
{
	struct several v;

	several_init(&v, 3, 7);
	for (int i = 0; i < 30; i++)
		fake_borrow(&v.pools[i % 3], i);
	cr_expect_eq(policy_budget_used(v.budget), 7);
	cr_expect_eq(v.pools[0].opened, 3);
	cr_expect_eq(v.pools[1].opened, 2);
	cr_expect_eq(v.pools[2].opened, 2);
	several_fini(&v);
}

Test(policy_budget, of_0_is_none)
{
	struct several v;

	several_init(&v, 1, 0);
	for (int i = 0; i < 15; i++)
		fake_borrow(&v.pools[0], i);
	cr_expect_eq(v.pools[0].opened, 15);
	several_fini(&v);
}

Test(policy_budget, idle_ones_above_a_share_are_given_up_for_who_is_below_his)
{
	struct several v;

	several_init(&v, 3, 6);
	fake_fill(&v.pools[0], 0, 2);
	fake_fill(&v.pools[1], 0, 4);
	fake_return(&v.pools[0], 1); /* one lent, one idle: within its share of 2 */
	for (int i = 0; i < 4; i++)
		fake_return(&v.pools[1], i);
	all_at(&v, v.pools[0].now + 100 * MS); /* not in use any more: all four may go */
	fake_borrow(&v.pools[2], 0);
	cr_expect_eq(v.pools[1].closed, 1, "the pool with most idle ones");
	cr_expect_eq(v.pools[1].closed_which[0], 0, "its coldest");
	cr_expect_eq(v.pools[1].counters.recycles[RR_EVICTED], 1);
	cr_expect_eq(v.pools[2].opened, 0, "not from within");
	all_at(&v, v.pools[2].now);
	cr_expect_eq(v.pools[2].opened, 1);
	for (int i = 1; i < 10; i++)
		fake_borrow(&v.pools[2], i);
	all_at(&v, v.pools[2].now);
	cr_expect_eq(v.pools[0].closed, 0);
	cr_expect_eq(v.pools[1].closed, 3, "up to a share of 3: two pools are in use");
	several_fini(&v);
}

Test(policy_budget, with_none_idle_a_pool_above_its_share_closes_what_is_returned)
{
	struct several v;

	several_init(&v, 2, 4);
	fake_fill(&v.pools[0], 0, 4);
	fake_borrow(&v.pools[0], 4); /* it has waiters of its own */
	for (int i = 0; i < 3; i++)
		fake_borrow(&v.pools[1], i);
	fake_return(&v.pools[0], 0);
	fake_return(&v.pools[0], 1);
	cr_expect_eq(v.pools[0].counters.recycles[RR_EVICTED], 2);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[1].opened, 2);
	fake_return(&v.pools[0], 2);
	cr_expect_eq(fake_holds(&v.pools[0], 4), 2, "its share of 2 stays its own");
	several_fini(&v);
}

Test(policy_budget, what_is_idle_within_a_share_is_left_alone)
{
	struct several v;

	several_init(&v, 3, 6);
	fake_fill(&v.pools[0], 0, 2);
	fake_fill(&v.pools[1], 0, 4);
	fake_return(&v.pools[0], 0);
	fake_borrow(&v.pools[2], 0);
	all_at(&v, v.pools[0].now + S);
	cr_expect_eq(v.pools[0].closed, 0, "one lent, one idle, a share of 2");
	cr_expect_eq(v.pools[2].opened, 0);
	fake_return(&v.pools[1], 0);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[2].opened, 1, "from the one above its share");
	several_fini(&v);
}

Test(policy_budget, no_more_are_closed_than_are_missing)
{
	struct several v;

	several_init(&v, 2, 6);
	fake_fill(&v.pools[0], 0, 6);
	v.pools[0].is_slow_to_close = true;
	fake_borrow(&v.pools[1], 0);
	fake_return(&v.pools[0], 0);
	fake_return(&v.pools[0], 1);
	cr_expect_eq(v.pools[0].closed, 1);
	policy_conn_gone(v.pools[0].p, &v.pools[0].conns[v.pools[0].closed_which[0]], false, v.pools[0].now);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[1].opened, 1);
	several_fini(&v);
}

Test(policy_budget, a_free_place_goes_to_whom_has_fewest_then_to_the_longest_waiter)
{
	struct several v;

	several_init(&v, 4, 5);
	fake_fill(&v.pools[0], 0, 3);
	fake_fill(&v.pools[1], 0, 2);
	fake_borrow(&v.pools[1], 10); /* has 2, waits longest */
	for (int i = 0; i < 4; i++)
		v.pools[i].now++;
	fake_borrow(&v.pools[3], 0); /* has 0 */
	for (int i = 0; i < 4; i++)
		v.pools[i].now++;
	fake_borrow(&v.pools[2], 0); /* has 0, came last */
	policy_conn_gone(v.pools[0].p, v.pools[0].clients[0].conn, false, v.pools[0].now);
	fake_borrow(&v.pools[0], 10); /* a newcomer does not take it before the tick */
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[3].opened, 1);
	cr_expect_eq(v.pools[2].opened, 0);
	policy_conn_gone(v.pools[0].p, v.pools[0].clients[1].conn, false, v.pools[0].now);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[2].opened, 1);
	several_fini(&v);
}

Test(policy_budget, one_who_does_not_need_his_place_any_more_leaves_it_to_the_next)
{
	struct several v;

	several_init(&v, 3, 1);
	fake_fill(&v.pools[0], 0, 1);
	fake_borrow(&v.pools[1], 0);
	fake_borrow(&v.pools[2], 0);
	policy_conn_gone(v.pools[0].p, v.pools[0].clients[0].conn, false, v.pools[0].now);
	policy_cancel(v.pools[1].p, &v.pools[1].clients[0].ticket, v.pools[1].now);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[2].opened, 1);
	several_fini(&v);
}

Test(policy_budget, with_more_pools_than_places_a_place_is_passed_on_after_its_turn)
{
	struct several v;
	int served[3] = { 0 };

	several_init(&v, 3, 1);
	for (int k = 0; k < 40; k++) {
		for (int i = 0; i < 3; i++)
			fake_borrow(&v.pools[i], k);
		all_at(&v, v.pools[0].now + 1);
	}
	for (int turn = 0; turn < 60; turn++) { /* 20 ms each */
		for (int i = 0; i < 3; i++) {
			struct fake *f = &v.pools[i];

			for (int c = 0; c < f->opened; c++) {
				if (f->conns[c].state == PC_OPENING)
					fake_opened(f, c);
			}
			for (int k = 0; k < 40; k++) {
				if (f->clients[k].conn == NULL)
					continue;
				served[i]++;
				fake_return(f, k);
				break;
			}
		}
		all_at(&v, v.pools[0].now + 20 * MS);
	}
	for (int i = 0; i < 3; i++) {
		cr_expect_gt(served[i], 10, "pool %d was served %d times", i, served[i]);
		cr_expect_leq(v.pools[i].opened, 5, "and not by opening each time anew");
	}
	several_fini(&v);
}

Test(policy_budget, a_place_that_goes_idle_goes_to_who_waits)
{
	struct several v;

	several_init(&v, 2, 1);
	fake_fill(&v.pools[0], 0, 1);
	fake_borrow(&v.pools[1], 0);
	fake_return(&v.pools[0], 0);
	all_at(&v, v.pools[0].now + 100 * MS - 1);
	cr_expect_eq(v.pools[0].closed, 0, "it has its turn");
	all_at(&v, v.pools[0].now + 1);
	cr_expect_eq(v.pools[0].closed, 1);
	cr_expect_eq(v.pools[1].opened, 1);
	fake_opened(&v.pools[1], 0);
	all_at(&v, v.pools[0].now + 100 * MS);
	fake_borrow(&v.pools[0], 1);
	fake_return(&v.pools[1], 0);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[0].opened, 2, "had its turn, and nobody there needs it");
	several_fini(&v);
}

Test(policy_budget, the_end_of_a_turn_concerns_the_first_few_who_wait)
{
	struct several v;
	int concerned = 0;

	several_init(&v, POOLS, 1);
	fake_fill(&v.pools[0], 0, 1);
	fake_borrow(&v.pools[1], 0);
	fake_return(&v.pools[0], 0);
	for (int i = 2; i < POOLS; i++) {
		all_at(&v, v.pools[0].now + MS);
		fake_borrow(&v.pools[i], 0);
	}
	for (int i = 1; i < POOLS; i++)
		concerned += fake_next(&v.pools[i]) <= v.pools[0].now + 100 * MS;
	cr_expect(concerned > 0 && concerned <= 8, "%d", concerned);
	all_at(&v, v.pools[0].now + 100 * MS);
	cr_expect_eq(v.pools[0].closed, 1);
	cr_expect_eq(v.pools[1].opened, 1, "the longest waiter");
	several_fini(&v);
}

Test(policy_budget, a_pool_that_is_used_now_and_again_keeps_its_connections_in_between)
{
	struct several v;

	several_init(&v, 2, 4);
	fake_fill(&v.pools[0], 0, 1);
	for (int i = 0; i < 10; i++)
		fake_borrow(&v.pools[1], i); /* would take all four */
	for (int i = 0; i < 3; i++)
		fake_opened(&v.pools[1], i);
	for (int turn = 0; turn < 50; turn++) {
		fake_return(&v.pools[0], 0);
		all_at(&v, v.pools[0].now + 20 * MS);
		cr_assert(fake_borrow(&v.pools[0], 0));
	}
	cr_expect_eq(v.pools[0].closed + v.pools[1].closed, 0);
	fake_return(&v.pools[0], 0);
	all_at(&v, v.pools[0].now + 100 * MS);
	cr_expect_eq(v.pools[0].closed, 1, "nobody comes any more");
	cr_expect_eq(v.pools[1].opened, 4);
	several_fini(&v);
}

Test(policy_budget, a_lower_limit_closes_idle_ones_now_and_others_on_return)
{
	struct several v;

	several_init(&v, 2, 8);
	fake_fill(&v.pools[0], 0, 6);
	fake_fill(&v.pools[1], 0, 2);
	for (int i = 0; i < 2; i++)
		fake_return(&v.pools[0], i);
	policy_budget_set_limit(v.budget, v.room, 4, v.pools[0].now);
	cr_expect_eq(policy_budget_used(v.budget), 6);
	fake_borrow(&v.pools[0], 10);
	fake_return(&v.pools[1], 0);
	cr_expect_eq(policy_budget_used(v.budget), 5, "it has no use for it");
	fake_return(&v.pools[0], 2);
	cr_expect_eq(policy_budget_used(v.budget), 4);
	cr_expect_eq(fake_holds(&v.pools[0], 10), -1);
	fake_return(&v.pools[0], 3);
	cr_expect_eq(fake_holds(&v.pools[0], 10), 3);
	policy_budget_set_limit(v.budget, v.room, 5, v.pools[0].now);
	fake_borrow(&v.pools[0], 11);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[0].opened, 7);
	several_fini(&v);
}

Test(policy_budget, a_higher_limit_serves_those_in_line)
{
	struct several v;

	several_init(&v, 2, 1);
	for (int i = 0; i < 4; i++)
		fake_borrow(&v.pools[i % 2], i);
	policy_budget_set_limit(v.budget, v.room, 3, v.pools[0].now);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[0].opened + v.pools[1].opened, 3);
	policy_budget_set_limit(v.budget, v.room, 0, v.pools[0].now);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[0].opened + v.pools[1].opened, 4);
	several_fini(&v);
}

Test(policy_budget, min_idle_takes_only_places_nobody_waits_for)
{
	struct policy_settings set = fake_settings(10, 0);
	struct several v;

	several_init(&v, 2, 4);
	set.min_idle = 3;
	policy_reconfigure(v.pools[0].p, &set, v.pools[0].now);
	fake_borrow(&v.pools[0], 0);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[0].opened, 4);
	for (int i = 0; i < 4; i++)
		fake_opened(&v.pools[0], i);
	fake_borrow(&v.pools[1], 0);
	fake_borrow(&v.pools[1], 1);
	all_at(&v, v.pools[0].now);
	cr_expect_eq(v.pools[1].opened, 2);
	all_at(&v, v.pools[0].now + 10 * S);
	cr_expect_eq(v.pools[0].opened, 4);
	several_fini(&v);
}

Test(policy_budget, a_refusal_names_the_shared_cap)
{
	struct several v;

	several_init(&v, 2, 2);
	fake_fill(&v.pools[0], 0, 1);
	fake_fill(&v.pools[1], 0, 1);
	fake_borrow(&v.pools[1], 1);
	all_at(&v, v.pools[0].now + 30 * S);
	cr_expect_eq(v.pools[1].clients[1].refusals, 1);
	cr_expect_str_eq(
	    v.pools[1].clients[1].why.detail,
	    "pool has 1 of 30 connections busy (20 + 10 overflow), 1 client waiting; max_server_connections is used "
	    "up, by this and other pools");
	cr_expect_str_eq(v.pools[1].clients[1].why.hint,
			 "raise max_server_connections, or lower the pool_size of these pools");
	several_fini(&v);
}

/* Pool i gets weights[i] and minima[i]. */
static void
set_claims(struct several *v, const uint32_t weights[static POOLS], const uint32_t minima[static POOLS])
{
	for (int i = 0; i < v->count; i++) {
		struct policy_settings set = fake_settings(20, 10);

		set.share_weight = weights[i];
		set.share_min = minima[i];
		policy_reconfigure(v->pools[i].p, &set, v->pools[i].now);
	}
}

/* What it does at its birth must not wake others at time 0, which their owners take for never. */
Test(policy_budget, a_pool_that_is_made_leaves_the_deadlines_of_others_alone)
{
	struct several v;

	several_init(&v, 2, 1);
	fake_borrow(&v.pools[0], 0);
	fake_opened(&v.pools[0], 0);
	fake_borrow(&v.pools[1], 0); /* waits for the only place */
	policy_budget_set_limit(v.budget, v.room, 2, v.pools[0].now); /* it is to be looked at now, and is not yet */
	cr_expect_eq(v.pools[1].due, v.pools[1].now);
	v.count = 3;
	fake_init(&v.pools[2], &(struct policy_settings){ .pool_size = 1 }, v.room);
	cr_expect_eq(v.pools[1].due, v.pools[1].now);
	all_at(&v, v.pools[0].now + 1);
	cr_expect_eq(v.pools[1].opened, 1);
	several_fini(&v);
}

Test(policy_budget, places_go_by_weight)
{
	static const uint32_t weights[POOLS] = { 3, 1, 2 }, minima[POOLS] = { 0 };
	struct several v;

	several_init(&v, 3, 12);
	set_claims(&v, weights, minima);
	fake_fill(&v.pools[1], 0, 12);
	cr_expect_eq(v.pools[1].opened, 12, "all are free for who comes first");
	for (int i = 0; i < 12; i++) {
		fake_borrow(&v.pools[0], i);
		fake_borrow(&v.pools[2], i);
	}
	for (int i = 0; i < 12; i++) {
		fake_return(&v.pools[1], i);
		all_at(&v, v.pools[1].now);
	}
	cr_expect_eq(v.pools[0].opened, 6);
	cr_expect_eq(v.pools[2].opened, 4);
	cr_expect_eq(v.pools[1].counters.recycles[RR_EVICTED], 10, "its share of 2 stays its own");
	several_fini(&v);
}

Test(policy_budget, a_guaranteed_minimum_comes_before_all_shares)
{
	static const uint32_t weights[POOLS] = { 1, 1, 1, 1 }, minima[POOLS] = { 0, 0, 0, 4 };
	struct several v;

	several_init(&v, 4, 6);
	set_claims(&v, weights, minima);
	for (int p = 0; p < 2; p++)
		fake_fill(&v.pools[p], 0, 3);
	for (int i = 0; i < 9; i++)
		fake_borrow(&v.pools[3], i);
	for (int i = 0; i < 3; i++) {
		for (int p = 0; p < 2; p++)
			fake_return(&v.pools[p], i);
		all_at(&v, v.pools[0].now);
	}
	cr_expect_eq(v.pools[3].opened, 4, "its own; the others keep one place each for their turn");
	several_fini(&v);
}

Test(policy_budget, more_guaranteed_than_there_is_starves_nobody)
{
	static const uint32_t weights[POOLS] = { 1, 1, 1 }, minima[POOLS] = { 10, 10, 0 };
	struct several v;

	several_init(&v, 3, 4);
	set_claims(&v, weights, minima);
	fake_fill(&v.pools[0], 0, 4);
	for (int i = 0; i < 4; i++)
		fake_borrow(&v.pools[1], i);
	fake_borrow(&v.pools[2], 0);
	for (int i = 0; i < 4; i++) {
		all_at(&v, v.pools[0].now + 200 * MS);
		fake_return(&v.pools[0], i);
		all_at(&v, v.pools[0].now);
	}
	cr_expect_geq(v.pools[1].opened, 2);
	cr_expect_eq(v.pools[2].opened, 1);
	several_fini(&v);
}
