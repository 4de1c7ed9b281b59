/*
 * tests/unit/test_policy.c - the rules of one pool, one by one. Links only the pool policy and base/fail.c. Caps over
 * several pools: test_policy_budget.c; everything at once and at random: test_policy_sim.c.
 */
#include "policy/policy_state.h"
#include "policy_fake.h"

#include <criterion/criterion.h>

/* --- Who gets which. --- */

Test(policy, an_idle_connection_is_lent_at_once_and_none_is_opened)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_return(&f, 0);
	cr_expect(fake_borrow(&f, 1));
	cr_expect_eq(f.opened, 1);
	cr_expect_eq(f.counters.waits, 1, "only the first had to wait");
	cr_expect_eq(f.counters.checkouts[CS_NEW], 1);
	cr_expect_eq(f.counters.checkouts[CS_IDLE], 1);
	fake_fini(&f);
}

Test(policy, a_returned_connection_goes_to_the_longest_waiter)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	for (int i = 1; i <= 3; i++)
		cr_expect_not(fake_borrow(&f, i));
	for (int i = 0; i < 3; i++) {
		fake_return(&f, i);
		cr_expect_eq(fake_holds(&f, i + 1), 0, "not client %d", i + 1);
		cr_expect_eq(fake_counts(&f).waiting, (uint32_t)(2 - i));
	}
	fake_fini(&f);
}

Test(policy, whichever_opens_first_goes_to_the_longest_waiter)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_borrow(&f, 1);
	fake_opened(&f, 1);
	cr_expect_eq(fake_holds(&f, 0), 1);
	fake_opened(&f, 0);
	cr_expect_eq(fake_holds(&f, 1), 0);
	fake_fini(&f);
}

static void
give_back(struct fake_client *c)
{
	struct policy_conn *conn = c->conn;

	c->conn = NULL;
	if (conn != NULL)
		policy_return(c->fake->p, conn, c->fake->now);
}

Test(policy, who_returns_from_within_his_callback_serves_the_whole_line_in_order)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	for (int i = 1; i < 20; i++) {
		f.clients[i].then = give_back;
		fake_borrow(&f, i);
	}
	fake_return(&f, 0);
	for (int i = 1; i < 20; i++)
		cr_expect_eq(f.clients[i].grants, 1, "client %d", i);
	cr_expect_eq(fake_counts(&f).idle, 1);
	cr_expect_eq(f.deepest, 1, "the stack does not grow with the line: %d deep", f.deepest);
	fake_fini(&f);
}

Test(policy, one_who_left_is_not_called_back)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	fake_borrow(&f, 2);
	policy_cancel(f.p, &f.clients[1].ticket, f.now);
	policy_cancel(f.p, &f.clients[1].ticket, f.now);
	policy_cancel(f.p, &f.clients[0].ticket, f.now); /* does not wait */
	fake_return(&f, 0);
	cr_expect_eq(f.clients[1].grants + f.clients[1].refusals, 0);
	cr_expect_eq(fake_holds(&f, 2), 0);
	fake_fini(&f);
}

static void
let_another_borrow(struct fake_client *c)
{
	c->then = NULL;
	fake_borrow(c->fake, 9);
}

Test(policy, a_newcomer_does_not_overtake_even_while_others_are_being_served)
{
	struct policy_settings set = fake_settings(4, 0);
	struct fake f;

	set.pre_ping = true;
	set.pre_ping_idle_us = S;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 4);
	for (int i = 0; i < 4; i++)
		fake_return(&f, i);
	fake_at(&f, f.now + 2 * S);
	fake_borrow(&f, 5);
	fake_borrow(&f, 6);
	cr_expect_eq(f.pinged, 2);
	f.clients[5].then = let_another_borrow;
	set.pre_ping = false; /* the other two can be lent as they are */
	policy_reconfigure(f.p, &set, f.now);
	cr_expect_eq(f.clients[6].grants, 1);
	cr_expect_eq(f.clients[9].grants, 0);
	cr_expect(f.clients[9].ticket.is_waiting);
	fake_fini(&f);
}

static const char image_a, image_b;

static const struct {
	const char *rule;
	bool lifo;
	const void *wants;
	int image_a_on; /* returned as number .. of 10, the last is the warmest; -1: on none */
	int gets;
} lending[] = {
	{ "lifo: the warmest goes first", true, NULL, -1, 9 },
	{ "fifo: the longest idle goes first", false, NULL, -1, 0 },
	{ "no wish: the image does not matter", true, NULL, 5, 9 },
	{ "the one with the image goes before warmer ones", true, &image_a, 5, 5 },
	{ "nobody has the image: the first", true, &image_a, -1, 9 },
	{ "eight are looked at", true, &image_a, 2, 2 },
	{ "the ninth is not", true, &image_a, 1, 9 },
	{ "fifo looks from the other end", false, &image_a, 7, 7 },
	{ "fifo: the ninth is not looked at", false, &image_a, 8, 0 },
};

Test(policy, lending_order)
{
	for (size_t i = 0; i < sizeof(lending) / sizeof(lending[0]); i++) {
		struct policy_settings set = fake_settings(10, 0);
		struct fake f;

		set.lifo = lending[i].lifo;
		fake_init(&f, &set, NULL);
		fake_fill(&f, 0, 10);
		for (int k = 0; k < 10; k++) {
			f.now++;
			f.conns[k].image = k == lending[i].image_a_on ? &image_a : &image_b;
			fake_return(&f, k);
		}
		cr_expect(fake_borrow_image(&f, 20, lending[i].wants));
		cr_expect_eq(fake_holds(&f, 20), lending[i].gets, "%s", lending[i].rule);
		fake_fini(&f);
	}
}

Test(policy, who_comes_back_soon_gets_its_own)
{
	static const struct {
		const char *rule;
		bool lifo;
		const void *wants;
		uint64_t later_us;
		int gets;
	} cases[] = {
		{ "its own, though another is warmer", true, NULL, 1000, 0 },
		{ "with the image it wants", true, &image_a, 1000, 0 },
		{ "not with another", true, &image_b, 1000, 1 },
		{ "the warmest, later", true, NULL, 10000, 1 },
		{ "fifo", false, NULL, 1000, 2 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_settings set = fake_settings(3, 0);
		struct fake f;

		set.lifo = cases[i].lifo;
		fake_init(&f, &set, NULL);
		for (int k = 0; k < 3; k++)
			f.clients[k].ticket.id = (uint64_t)k + 1;
		fake_fill(&f, 0, 3);
		for (int k = 0; k < 3; k++)
			f.conns[k].image = k == 1 ? &image_b : &image_a;
		fake_return(&f, 2);
		fake_at(&f, f.now + 1);
		fake_return(&f, 0);
		fake_at(&f, f.now + 1);
		fake_return(&f, 1);
		fake_at(&f, f.now + cases[i].later_us);
		cr_expect(fake_borrow_image(&f, 0, cases[i].wants));
		cr_expect_eq(fake_holds(&f, 0), cases[i].gets, "%s", cases[i].rule);
		fake_fini(&f);
	}
}

/* --- How many. --- */

Test(policy, a_burst_opens_one_for_each_up_to_the_limit_at_once)
{
	struct policy_settings set = fake_settings(5, 3);
	struct fake f;

	fake_init(&f, &set, NULL);
	for (int i = 0; i < 20; i++)
		cr_expect_not(fake_borrow(&f, i));
	cr_expect_eq(f.opened, 8);
	cr_expect_eq(fake_counts(&f).overflow, 3);
	fake_fini(&f);
}

Test(policy, pacing_holds_back_what_is_above_it)
{
	struct policy_settings set = fake_settings(40, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	for (int i = 0; i < 30; i++)
		fake_borrow(&f, i);
	cr_expect_eq(f.opened, 16, "0 means 16");
	fake_opened(&f, 0);
	cr_expect_eq(f.opened, 17, "one has opened: one more");
	fake_fini(&f);

	set.opens_at_once = 2;
	fake_init(&f, &set, NULL);
	for (int i = 0; i < 30; i++)
		fake_borrow(&f, i);
	cr_expect_eq(f.opened, 2);
	fake_fini(&f);
}

Test(policy, checkouts_tell_new_ones_overflow_and_reuse_apart)
{
	struct policy_settings set = fake_settings(2, 1);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 3);
	cr_expect_eq(f.counters.checkouts[CS_NEW], 2);
	cr_expect_eq(f.counters.checkouts[CS_OVERFLOW], 1);
	fake_borrow(&f, 3);
	fake_return(&f, 2);
	cr_expect_eq(f.counters.checkouts[CS_IDLE], 1);
	fake_fini(&f);
}

Test(policy, overflow_is_closed_when_it_has_been_idle_for_the_linger_the_longest_idle_first)
{
	struct policy_settings set = fake_settings(2, 2);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 4);
	for (int i = 0; i < 4; i++) {
		fake_at(&f, f.now + S);
		fake_return(&f, i);
	}
	cr_expect_eq(fake_next(&f), f.now - 3 * S + 10 * S);
	fake_at(&f, fake_next(&f) - 1);
	cr_expect_eq(f.closed, 0);
	fake_at(&f, f.now + 1);
	cr_expect_eq(f.closed, 1);
	fake_at(&f, f.now + 100 * S);
	cr_expect_eq(f.closed, 2, "only the surplus");
	cr_expect_eq(f.closed_which[0], 0);
	cr_expect_eq(f.closed_which[1], 1);
	cr_expect_eq(f.counters.recycles[RR_OVERFLOW], 2);
	fake_fini(&f);
}

Test(policy, without_linger_overflow_is_closed_on_return)
{
	struct policy_settings set = fake_settings(1, 1);
	struct fake f;

	set.overflow_linger_us = 0;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 2);
	fake_borrow(&f, 2);
	fake_return(&f, 0);
	cr_expect_eq(fake_holds(&f, 2), 0, "but not while somebody waits");
	fake_return(&f, 2);
	cr_expect_eq(f.closed, 1);
	fake_return(&f, 1);
	cr_expect_eq(f.closed, 1);
	cr_expect_eq(fake_counts(&f).idle, 1);
	fake_fini(&f);
}

Test(policy, the_shortest_life_is_one_loan)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.recycle_us = 1;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_opened(&f, 0);
	cr_expect_eq(fake_holds(&f, 0), 0);
	fake_return(&f, 0);
	cr_expect_eq(f.closed, 1);
	cr_expect_eq(f.opened, 1);
	fake_fini(&f);
}

Test(policy, with_a_delay_overflow_is_for_those_that_have_waited)
{
	struct policy_settings set = fake_settings(2, 3);
	struct fake f;

	set.overflow_delay_us = 2 * S;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 2);
	fake_borrow(&f, 2);
	fake_at(&f, f.now + S);
	fake_borrow(&f, 3);
	fake_borrow(&f, 4);
	cr_expect_eq(f.opened, 2);
	cr_expect_eq(fake_next(&f), f.now + S);
	fake_at(&f, f.now + S - 1);
	cr_expect_eq(f.opened, 2);
	fake_at(&f, f.now + 1);
	cr_expect_eq(f.opened, 3, "for the first, not for the two behind it");
	fake_return(&f, 0);
	cr_expect_eq(fake_holds(&f, 2), 0);
	fake_opened(&f, 2);
	cr_expect_eq(fake_holds(&f, 3), 2, "whoever it was opened for");
	fake_at(&f, f.now + S);
	cr_expect_eq(f.opened, 4);
	fake_opened(&f, 3);
	cr_expect_eq(fake_holds(&f, 4), 3);
	cr_expect_eq(f.counters.checkouts[CS_OVERFLOW], 2);
	fake_fini(&f);
}

Test(policy, a_closing_one_counts_until_it_is_gone)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	f.is_slow_to_close = true;
	fake_fill(&f, 0, 1);
	f.conns[0].is_recycle_due = true;
	fake_borrow(&f, 1);
	fake_return(&f, 0);
	cr_expect_eq(fake_counts(&f).closing, 1);
	cr_expect_eq(f.opened, 1);
	fake_opened(&f, 0); /* late, and of no interest */
	policy_ping_done(f.p, &f.conns[0], true, f.now);
	cr_expect_eq(f.clients[1].grants, 0);
	policy_conn_gone(f.p, &f.conns[0], true, f.now);
	cr_expect_eq(f.opened, 2);
	fake_fini(&f);
}

/* --- Too late. --- */

Test(policy, a_waiter_is_refused_after_the_timeout_and_told_what_to_do)
{
	struct policy_settings set = fake_settings(2, 1);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 3);
	fake_borrow(&f, 3);
	fake_at(&f, f.now + S);
	fake_borrow(&f, 4);
	cr_expect_eq(fake_next(&f), f.now + 29 * S);
	fake_at(&f, f.now + 29 * S - 1);
	cr_expect_eq(f.clients[3].refusals, 0);
	fake_at(&f, f.now + 1);
	cr_expect_eq(f.clients[3].refusals, 1);
	cr_expect_eq(f.clients[4].refusals, 0);
	cr_expect_eq(f.clients[3].kind, RF_POOL_TIMEOUT);
	cr_expect_str_eq(f.clients[3].why.sqlstate, "53300");
	cr_expect_str_eq(f.clients[3].why.text, "no server connection became free within 30 s");
	cr_expect_str_eq(f.clients[3].why.detail,
			 "pool has 3 of 3 connections busy (2 + 1 overflow), 2 clients waiting");
	cr_expect_str_eq(f.clients[3].why.hint, "raise pool_size or max_overflow, or see who keeps connections for "
						"long: SHOW HOLDERS in the pgweir console");
	cr_expect_eq(f.counters.pool_timeouts, 1);
	fake_fini(&f);
}

/* A login under way is no sign that the host is dead, unless nothing else has come from there for a second. */
Test(policy, a_wait_while_the_pool_grows_is_not_for_a_dead_host)
{
	struct policy_settings set = fake_settings(3, 0);
	struct fake f;
	struct fail why;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	f.now += 5 * S;
	fake_borrow(&f, 1);
	fake_borrow(&f, 2);
	f.now += 2 * MS;
	policy_explain_wait(f.p, &f.clients[2].ticket, f.now, &why);
	cr_expect_str_eq(why.detail,
			 "pool has 1 of 3 connections busy (3 + 0 overflow), 2 clients waiting; one more is being "
			 "opened");
	cr_expect_str_eq(why.hint, "it is lent once it has logged in; min_idle keeps some ready");
	f.now += 2 * S;
	policy_explain_wait(f.p, &f.clients[2].ticket, f.now, &why);
	cr_expect_str_eq(why.detail, "opening one to PostgreSQL for 2 s, no answer yet");
	fake_return(&f, 0); /* to the first in line */
	fake_opened(&f, 2);
	fake_borrow(&f, 3);
	policy_explain_wait(f.p, &f.clients[3].ticket, f.now, &why);
	cr_expect_str_eq(why.hint, "it is lent once it has logged in; min_idle keeps some ready", "%s", why.detail);
	fake_opened(&f, 1);
	fake_fini(&f);
}

Test(policy, the_refusal_says_so_when_opening_failed_during_the_wait)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.timeout_us = 1500 * MS;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	f.now += S;
	fake_failed(&f, 1, CF_REFUSED, false);
	cr_expect_eq(f.clients[1].refusals, 0, "another connection lives");
	f.cannot_open = true;
	fake_at(&f, f.now + 500 * MS);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_str_eq(f.clients[1].why.text, "no server connection became free within 1.5 s");
	cr_expect_str_eq(f.clients[1].why.hint, "opening another failed: no descriptor left");
	fake_fini(&f);

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	fake_failed(&f, 1, CF_TOO_MANY, false);
	fake_at(&f, f.now + 1500 * MS);
	cr_expect_str_eq(
	    f.clients[1].why.hint,
	    "PostgreSQL said: sorry, too many clients already; raise its max_connections or lower pool_size");
	fake_fini(&f);
}

Test(policy, those_who_may_wait_are_not_refused_while_nothing_can_be_reached)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.waits_while_down = true;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 1);
	fake_failed(&f, 0, CF_REFUSED, false);
	fake_borrow(&f, 2);
	fake_at(&f, f.now + 1 * MS);
	cr_expect_eq(f.clients[1].refusals + f.clients[2].refusals, 0);
	fake_at(&f, f.now + 100 * MS); /* the back-off is over: another one is opened */
	fake_failed(&f, 1, CF_AUTH, true);
	cr_expect_eq(f.clients[1].refusals, 1, "a refusal is for good");
	cr_expect_eq(f.clients[2].refusals, 1);
	fake_borrow(&f, 3);
	fake_at(&f, f.now + 1 * MS);
	cr_expect_eq(f.clients[3].refusals, 1, "and for those who come while it backs off");
	fake_fini(&f);
}

Test(policy, without_a_timeout_they_wait_for_ever)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	set.timeout_us = 0;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	fake_at(&f, f.now + 1000000ull * S);
	cr_expect_eq(f.clients[1].refusals, 0);
	cr_expect_eq(fake_next(&f), 0);
	fake_fini(&f);
}

static void
try_again(struct fake_client *c)
{
	c->then = NULL;
	c->conn = policy_borrow(c->fake->p, &c->ticket, c->fake->now);
}

Test(policy, refuse_all_refuses_those_in_line_not_those_who_come_back)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fail why;
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	for (int i = 1; i <= 3; i++)
		fake_borrow(&f, i);
	f.clients[2].then = try_again;
	fail_set(&why, "57P01", "shutting down");
	policy_refuse_all(f.p, &why, RF_SHUTDOWN, f.now);
	for (int i = 1; i <= 3; i++) {
		cr_expect_eq(f.clients[i].refusals, 1);
		cr_expect_str_eq(f.clients[i].why.sqlstate, "57P01");
	}
	cr_expect_eq(fake_counts(&f).waiting, 1);
	fake_return(&f, 0);
	cr_expect_eq(f.clients[2].grants, 1);
	fake_fini(&f);
}

/* --- When opening fails. --- */

Test(policy, nobody_waits_for_an_upstream_that_cannot_be_reached)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	for (int i = 0; i < 3; i++)
		fake_borrow(&f, i);
	fake_failed(&f, 0, CF_REFUSED, false);
	fake_failed(&f, 1, CF_REFUSED, false);
	cr_expect_eq(f.clients[0].refusals, 0, "one is still being opened");
	fake_failed(&f, 2, CF_REFUSED, false);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(f.clients[i].refusals, 1);
		cr_expect_eq(f.clients[i].kind, RF_BACKEND_UNREACHABLE);
		cr_expect_str_eq(f.clients[i].why.sqlstate, "08001");
		cr_expect_str_eq(f.clients[i].why.text, "connection refused");
	}
	fake_fini(&f);
}

Test(policy, without_memory_for_a_connection_all_wait_for_the_next_attempt)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fail why;
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fail_set(&why, "53200", "no memory");
	policy_conn_failed(f.p, &f.conns[0], CF_OTHER, false, &why, f.now);
	fake_borrow(&f, 1);
	fake_at(&f, f.now + 100 * MS);
	cr_expect_eq(f.clients[0].refusals + f.clients[1].refusals, 0);
	cr_expect_eq(f.counters.outages, 0, "nothing is wrong with PostgreSQL");
	fake_opened(&f, 1);
	cr_expect_eq(f.clients[0].grants, 1);
	fake_fini(&f);
}

Test(policy, who_comes_while_backing_off_is_refused_by_the_next_tick)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_failed(&f, 0, CF_REFUSED, false);
	f.now += 10 * MS;
	fake_borrow(&f, 1);
	cr_expect_eq(f.clients[1].refusals, 0, "not from within policy_borrow");
	cr_expect_leq(fake_next(&f), f.now);
	fake_at(&f, f.now);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_eq(f.clients[1].kind, RF_BACKEND_UNREACHABLE);
	cr_expect_str_eq(f.clients[1].why.text, "connection refused");
	cr_expect_eq(f.opened, 1);
	fake_fini(&f);
}

Test(policy, while_others_live_failures_refuse_nobody_unless_they_are_fatal)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	fake_failed(&f, 1, CF_TIMEOUT, false);
	cr_expect_eq(f.clients[1].refusals, 0);
	fake_at(&f, f.now + 60 * MS);
	cr_expect_eq(f.opened, 3, "tried again");
	fake_failed(&f, 2, CF_AUTH, true);
	cr_expect_eq(f.clients[1].refusals, 1);
	fake_borrow(&f, 2);
	fake_at(&f, f.now + MS);
	cr_expect_eq(f.clients[2].refusals, 0, "the lent one may come back");
	fake_return(&f, 0);
	cr_expect_eq(fake_holds(&f, 2), 0);
	fake_fini(&f);
}

Test(policy, the_back_off_doubles_from_50_ms_to_15_s_and_starts_anew_after_a_success)
{
	struct policy_settings set = fake_settings(2, 0);
	uint64_t want = 50 * MS, seen_apart = 0;
	struct fake f;

	set.min_idle = 1;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_opened(&f, 0);
	cr_expect_eq(f.opened, 2, "one is to be kept ready, which nobody asks for");
	for (int i = 0; i < 14; i++) {
		int next = f.opened;
		uint64_t wait;

		fake_failed(&f, next - 1, CF_REFUSED, false);
		wait = fake_counts(&f).backoff_until_us - f.now;
		cr_expect(wait >= want * 8 / 10 && wait <= want * 12 / 10, "%llu, not about %llu",
			  (unsigned long long)wait, (unsigned long long)want);
		seen_apart += wait != want;
		fake_at(&f, f.now + wait - 1);
		cr_expect_eq(f.opened, next);
		fake_at(&f, f.now + 1 * S);
		cr_expect_eq(f.opened, next + 1, "min_idle is looked at once per second");
		want = want * 2 > 15 * S ? 15 * S : want * 2;
	}
	cr_expect_gt(seen_apart, 10, "with jitter");
	fake_opened(&f, f.opened - 1);
	cr_expect_eq(fake_counts(&f).backoff_until_us, 0);
	fake_borrow(&f, 1);
	fake_borrow(&f, 2);
	policy_conn_gone(f.p, f.clients[0].conn, false, f.now);
	fake_failed(&f, f.opened - 1, CF_REFUSED, false);
	cr_expect_leq(fake_counts(&f).backoff_until_us, f.now + 60 * MS);
	fake_fini(&f);
}

Test(policy, while_somebody_asks_it_tries_at_least_every_half_second)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	for (int i = 0; i < 20; i++) { /* each is refused, and the next one comes when the pool may try again */
		fake_borrow(&f, 0);
		cr_expect_eq(f.opened, i + 1);
		fake_failed(&f, i, CF_REFUSED, false);
		cr_expect_eq(f.clients[0].refusals, 1);
		cr_expect_leq(fake_counts(&f).backoff_until_us, f.now + 480 * MS);
		f.now = fake_counts(&f).backoff_until_us;
	}
	fake_fini(&f);
}

Test(policy, the_first_to_come_does_not_wait_for_a_back_off_that_nobody_asked_in)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.min_idle = 1;
	set.waits_while_down = true;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_opened(&f, 0);
	fake_return(&f, 0);
	policy_conn_gone(f.p, &f.conns[0], false, f.now);
	for (int i = 1; i < 14; i++) {
		fake_at(&f, f.now + 20 * S);
		fake_failed(&f, f.opened - 1, CF_OTHER, false);
	}
	cr_expect_gt(fake_counts(&f).backoff_until_us, f.now + 10 * S);
	int before = f.opened;
	fake_borrow(&f, 1);
	fake_at(&f, f.now + 400 * MS);
	cr_expect_eq(f.opened, before + 1);
	fake_opened(&f, before);
	cr_expect_not_null(f.clients[1].conn);
	fake_fini(&f);
}

/* --- An outage: opening fails, and no connection is there. --- */

static void
lose(struct fake *f, int client)
{
	struct policy_conn *conn = f->clients[client].conn;

	f->clients[client].conn = NULL;
	policy_conn_gone(f->p, conn, true, f->now);
}

Test(policy, those_in_line_when_postgresql_restarts_wait_on_and_newcomers_are_told)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	fake_borrow(&f, 2);
	lose(&f, 0);
	cr_expect_eq(f.opened, 2);
	fake_failed(&f, 1, CF_REFUSED, false);
	cr_expect_eq(f.clients[1].refusals + f.clients[2].refusals, 0);
	cr_expect_eq(fake_counts(&f).outage.held, 2);
	fake_borrow(&f, 3);
	fake_at(&f, f.now);
	cr_expect_eq(f.clients[3].refusals, 1, "it came when PostgreSQL was gone");
	cr_expect_eq(f.clients[1].refusals + f.clients[2].refusals, 0);
	fake_at(&f, f.now + 60 * MS);
	cr_expect_eq(f.opened, 3, "tried again");
	fake_opened(&f, 2);
	cr_expect_eq(fake_holds(&f, 1), 2, "in the order of the line");
	fake_return(&f, 1);
	cr_expect_eq(fake_holds(&f, 2), 2);
	cr_expect_eq(f.counters.held, 2);
	fake_fini(&f);
}

Test(policy, those_who_waited_through_a_restart_in_vain_are_told_why_at_pool_timeout)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	lose(&f, 0);
	for (uint64_t end = f.now + 30 * S - 1; f.now < end;) {
		uint64_t next = fake_next(&f);

		if (fake_counts(&f).opening > 0)
			fake_failed(&f, f.opened - 1, CF_REFUSED, false);
		fake_at(&f, next > f.now && next < end ? next : f.now + 100 * MS < end ? f.now + 100 * MS : end);
		cr_assert_eq(f.clients[1].refusals, 0);
	}
	fake_at(&f, f.now + 1);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_eq(f.clients[1].kind, RF_BACKEND_UNREACHABLE);
	cr_expect_str_eq(f.clients[1].why.sqlstate, "08001");
	fake_fini(&f);
}

/* The first attempt has got no answer within 5 s; or it was refused after 1 ms. */
static void
begin_outage(struct fake *f, const struct policy_settings *set, bool is_silent)
{
	fake_init(f, set, NULL);
	fake_borrow(f, 0);
	fake_at(f, f->now + (is_silent ? 5 * S : MS));
	fake_failed(f, 0, is_silent ? CF_TIMEOUT : CF_REFUSED, false);
	cr_assert_eq(f->clients[0].refusals, 1);
	cr_assert_gt(fake_counts(f).outage.since_us, 0);
}

Test(policy, a_newcomer_does_not_wait_for_a_scout_of_a_silent_host)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	begin_outage(&f, &set, true);
	for (int i = 1; i <= 3; i++) {
		fake_at(&f, f.now + 800 * MS);
		policy_scout(f.p, f.now);
		cr_assert_eq(f.opened, i > 1 ? 2 + i : 2, "%d", i);
		fake_borrow(&f, i);
		cr_expect_eq(f.opened, 2 + i, "and one for those who come");
		fake_at(&f, f.now);
		cr_expect_eq(f.clients[i].refusals, 1);
		cr_expect_str_eq(f.clients[i].why.sqlstate, "08001");
	}
	fake_opened(&f, 2);
	cr_expect_eq(fake_counts(&f).outage.since_us, 0);
	cr_expect(fake_borrow(&f, 4), "a scout has found it");
	fake_fini(&f);
}

Test(policy, a_newcomer_does_not_wait_for_the_attempt_that_it_begins_at_a_silent_host)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	begin_outage(&f, &set, true);
	fake_at(&f, f.now + S);
	for (int i = 1; i <= 3; i++) {
		fake_borrow(&f, i);
		cr_expect_eq(f.opened, 2, "one is tried");
		fake_at(&f, f.now);
		cr_expect_eq(f.clients[i].refusals, 1);
		cr_expect_not_null(strstr(f.clients[i].why.detail, "no answer to the next try yet"), "%s",
				   f.clients[i].why.detail);
	}
	fake_opened(&f, 1);
	cr_expect(fake_borrow(&f, 4), "what nobody waited for is there");
	fake_fini(&f);
}

Test(policy, an_attempt_at_a_host_that_refused_is_waited_for_but_not_for_long)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	begin_outage(&f, &set, false);
	fake_at(&f, f.now + S);
	fake_borrow(&f, 1);
	fake_at(&f, f.now + 499 * MS);
	fake_borrow(&f, 2);
	cr_expect_eq(f.clients[1].refusals, 0);
	fake_at(&f, f.now + MS);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_eq(f.clients[2].refusals, 1, "what the first has waited for is not more likely to come now");
	fake_at(&f, f.now + S);
	fake_failed(&f, 1, CF_OTHER, false);
	fake_borrow(&f, 3);
	fake_at(&f, f.now + 100 * MS);
	cr_expect_eq(f.clients[3].refusals, 1, "it took as long as silence does");
	fake_fini(&f);
}

Test(policy, nobody_waits_for_more_than_a_second_beside_an_attempt_that_hangs)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	begin_outage(&f, &set, false);
	fake_at(&f, f.now + S);
	fake_borrow(&f, 1);
	for (int i = 0; i < 4; i++) {
		cr_expect_eq(f.clients[1].refusals, 0, "%d", i);
		f.p->backoff_until_us = f.now + 400 * MS; /* another pool was refused again: policy_circuit.h */
		fake_at(&f, f.now + 250 * MS);
	}
	cr_expect_eq(f.clients[1].refusals, 1);
	fake_fini(&f);
}

Test(policy, a_scout_that_fails_says_what_newcomers_are_told)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fail why;
	struct fake f;

	begin_outage(&f, &set, false);
	fake_at(&f, f.now + 60 * S);
	policy_scout(f.p, f.now);
	fake_at(&f, f.now + 5 * S);
	fail_set(&why, "08001", "timed out");
	policy_scout_failed(f.p, &f.conns[1], CF_TIMEOUT, false, &why, f.now);
	policy_conn_gone(f.p, &f.conns[1], false, f.now);
	policy_scout(f.p, f.now);
	fake_borrow(&f, 1);
	fake_at(&f, f.now);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_str_eq(f.clients[1].why.text, "timed out");
	policy_scout_failed(f.p, &f.conns[2], CF_TOO_MANY, false, &why, f.now);
	policy_conn_gone(f.p, &f.conns[2], false, f.now);
	fake_borrow(&f, 2);
	fake_at(&f, f.now + 2 * S);
	cr_expect_eq(f.clients[2].refusals, 0, "PostgreSQL has answered since");
	fake_fini(&f);
}

static struct policy_settings
holding(uint32_t size)
{
	struct policy_settings set = fake_settings(size, 0);

	set.is_holding = true;
	set.hold_us = 10 * S;
	return set;
}

Test(policy, a_pool_that_holds_refuses_nobody_for_outage_hold)
{
	struct policy_settings set = holding(5);
	struct fake f;
	uint64_t began;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	f.now += 3 * S; /* nobody has answered yet */
	began = f.now;
	fake_failed(&f, 0, CF_TIMEOUT, false);
	fake_at(&f, f.now);
	cr_expect_eq(f.clients[0].refusals, 0);
	cr_expect_eq(fake_counts(&f).outage.since_us, began);
	f.now += 10 * MS;
	fake_borrow(&f, 1);
	fake_at(&f, f.now);
	cr_expect_eq(f.clients[1].refusals, 0);
	cr_expect_eq(fake_counts(&f).outage.held, 2);
	fake_at(&f, began + 10 * S - 1);
	cr_expect_eq(f.clients[0].refusals, 0);
	fake_at(&f, began + 10 * S);
	cr_expect_eq(f.clients[0].refusals, 1, "from the beginning of the outage: it came before");
	cr_expect_eq(f.clients[0].kind, RF_BACKEND_UNREACHABLE);
	cr_expect_eq(f.clients[1].refusals, 0, "it came later");
	fake_at(&f, began + 10 * S + 10 * MS);
	cr_expect_eq(f.clients[1].refusals, 1);
	fake_fini(&f);
}

Test(policy, after_an_outage_pool_timeout_begins_anew_for_those_who_were_held)
{
	struct policy_settings set = holding(1);
	struct fake f;
	uint64_t over;

	set.timeout_us = 5 * S;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_borrow(&f, 1);
	fake_failed(&f, 0, CF_REFUSED, false);
	fake_at(&f, f.now + 9 * S);
	over = f.now;
	fake_opened(&f, 1);
	cr_expect_eq(fake_holds(&f, 0), 1);
	cr_expect_eq(fake_counts(&f).outage.since_us, 0);
	cr_expect_eq(f.counters.outages, 1);
	cr_expect_eq(f.counters.outage_us, 9 * S);
	fake_at(&f, over + 5 * S - 1);
	cr_expect_eq(f.clients[1].refusals, 0);
	fake_at(&f, over + 5 * S);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_eq(f.clients[1].kind, RF_POOL_TIMEOUT);
	fake_fini(&f);
}

Test(policy, a_wrong_password_is_told_at_once_even_if_outages_are_held)
{
	struct policy_settings set = holding(5);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_failed(&f, 0, CF_AUTH, true);
	cr_expect_eq(f.clients[0].refusals, 1);
	fake_borrow(&f, 1);
	fake_at(&f, f.now);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_eq(f.counters.outages, 0);
	fake_fini(&f);
}

Test(policy, after_an_outage_connections_are_opened_at_a_rising_pace)
{
	struct policy_settings set = holding(20);
	struct fake f;

	fake_init(&f, &set, NULL);
	for (int i = 0; i < 10; i++)
		fake_borrow(&f, i);
	for (int i = 0; i < 10; i++)
		fake_failed(&f, i, CF_REFUSED, false);
	fake_at(&f, f.now + 60 * MS);
	cr_expect_eq(f.opened, 11, "one is tried");
	fake_opened(&f, 10);
	cr_expect_eq(f.opened, 13, "then two at a time");
	fake_opened(&f, 11);
	cr_expect_eq(f.opened, 15, "and so on");
	for (int i = 0; i < 3; i++)
		cr_expect_eq(fake_holds(&f, i), i < 2 ? 10 + i : -1, "in the order of the line");
	fake_fini(&f);
}

Test(policy, a_trial_that_hangs_does_not_keep_another_from_beginning_soon)
{
	struct policy_settings set = holding(5);
	struct fake f;
	uint64_t began;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_failed(&f, 0, CF_REFUSED, false);
	fake_at(&f, f.now + 60 * MS);
	cr_expect_eq(f.opened, 2);
	fake_borrow(&f, 1);
	fake_borrow(&f, 2);
	began = f.conns[1].opened_us;
	fake_at(&f, began + 500 * MS - 1);
	cr_expect_eq(f.opened, 2);
	fake_at(&f, began + 500 * MS);
	cr_expect_eq(f.opened, 3);
	fake_at(&f, began + 1 * S);
	cr_expect_eq(f.opened, 4);
	fake_fini(&f);
}

Test(policy, what_failed_together_is_one_failure_and_then_one_is_tried_alone)
{
	struct policy_settings set = fake_settings(10, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	for (int i = 1; i < 9; i++)
		fake_borrow(&f, i);
	for (int i = 1; i < 9; i++) {
		f.now += MS;
		fake_failed(&f, i, CF_REFUSED, false);
	}
	cr_expect_leq(fake_counts(&f).backoff_until_us, f.now + 60 * MS);
	fake_at(&f, f.now + 60 * MS);
	cr_expect_eq(f.opened, 10, "one alone");
	fake_opened(&f, 9);
	cr_expect_eq(f.opened, 17, "it works: one for each of the seven who still wait");
	fake_fini(&f);
}

Test(policy, an_open_that_cannot_begin_is_a_failure_told_by_tick)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	f.cannot_open = true;
	cr_expect_not(fake_borrow(&f, 0));
	cr_expect_eq(f.clients[0].refusals, 0);
	fake_at(&f, f.now);
	cr_expect_eq(f.clients[0].refusals, 1);
	cr_expect_str_eq(f.clients[0].why.text, "no descriptor left");
	fake_fini(&f);
}

Test(policy, too_many_connections_lowers_the_limit_for_30_s_and_refuses_nobody)
{
	struct policy_settings set = fake_settings(10, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 3);
	for (int i = 3; i < 6; i++)
		fake_borrow(&f, i);
	for (int i = 3; i < 6; i++)
		fake_failed(&f, i, CF_TOO_MANY, false);
	cr_expect_eq(fake_counts(&f).backoff_until_us, 0);
	fake_at(&f, f.now + 29 * S);
	cr_expect_eq(f.opened, 6);
	cr_expect_eq(f.clients[3].refusals, 0);
	policy_conn_gone(f.p, f.clients[0].conn, false, f.now);
	cr_expect_eq(f.opened, 7, "up to what it had");
	policy_refuse_all(f.p, &f.clients[0].why, RF_SHUTDOWN, f.now);
	fake_borrow(&f, 6);
	fake_borrow(&f, 7);
	fake_at(&f, f.now + S);
	cr_expect_eq(f.opened, 8, "30 s have passed");
	fake_fini(&f);
}

Test(policy, too_many_connections_and_none_of_ours_is_a_full_pool)
{
	struct policy_settings set = fake_settings(10, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_failed(&f, 0, CF_TOO_MANY, false);
	cr_expect_eq(f.clients[0].refusals, 0);
	for (int i = 1; i < 4; i++)
		fake_borrow(&f, i);
	fake_at(&f, f.now + S);
	cr_expect_eq(f.clients[3].refusals, 0);
	cr_expect_eq(f.opened, 2, "one is tried");
	fake_opened(&f, 1);
	cr_expect_eq(fake_holds(&f, 0), 1);
	cr_expect_eq(f.opened, 2, "and no more for 30 s");
	cr_expect_eq(f.counters.outages, 0);
	fake_at(&f, f.now + 29 * S);
	cr_expect_eq(f.clients[1].refusals, 1);
	cr_expect_eq(f.clients[1].kind, RF_POOL_TIMEOUT);
	cr_expect_str_eq(f.clients[1].why.sqlstate, "53300");
	fake_fini(&f);
}

/* --- Pings. --- */

static struct policy_settings
pinging_settings(uint64_t idle_us)
{
	struct policy_settings set = fake_settings(3, 0);

	set.pre_ping = true;
	set.pre_ping_idle_us = idle_us;
	return set;
}

Test(policy, one_idle_for_long_is_pinged_before_it_is_lent)
{
	struct policy_settings set = pinging_settings(5 * S);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_return(&f, 0);
	fake_at(&f, f.now + 5 * S - 1);
	cr_expect(fake_borrow(&f, 1), "not yet");
	fake_return(&f, 1);
	fake_at(&f, f.now + 5 * S);
	cr_expect_not(fake_borrow(&f, 2));
	cr_expect_eq(f.pinged, 1);
	cr_expect_eq(f.opened, 1, "no need for another");
	policy_ping_done(f.p, &f.conns[0], true, f.now);
	cr_expect_eq(fake_holds(&f, 2), 0);
	cr_expect_eq(f.counters.pings_ok, 1);
	fake_fini(&f);
}

Test(policy, one_that_needs_no_ping_goes_before_a_warmer_one_that_does)
{
	struct policy_settings set = pinging_settings(5 * S);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 3);
	for (int i = 0; i < 3; i++)
		fake_return(&f, i);
	fake_at(&f, f.now + 4 * S);
	f.conns[0].heard_us = f.now;
	fake_at(&f, f.now + 4 * S);
	cr_expect(fake_borrow(&f, 5));
	cr_expect_eq(fake_holds(&f, 5), 0);
	cr_expect_eq(f.pinged, 0);
	fake_fini(&f);
}

Test(policy, with_pre_ping_idle_0_each_lending_is_pinged_but_not_a_hand_over)
{
	struct policy_settings set = pinging_settings(0);
	struct fake f;

	set.pool_size = 1;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_return(&f, 0);
	cr_expect_not(fake_borrow(&f, 1));
	cr_expect_eq(f.pinged, 1);
	fake_borrow(&f, 2);
	policy_ping_done(f.p, &f.conns[0], true, f.now);
	fake_return(&f, 1);
	cr_expect_eq(fake_holds(&f, 2), 0);
	cr_expect_eq(f.pinged, 1);
	fake_fini(&f);
}

Test(policy, a_failed_ping_opens_another_and_casts_doubt_on_the_rest)
{
	struct policy_settings set = pinging_settings(5 * S);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 2);
	fake_return(&f, 0);
	fake_at(&f, f.now + 4 * S);
	fake_return(&f, 1);
	fake_at(&f, f.now + 4 * S);
	cr_expect(fake_borrow(&f, 2), "the warm one");
	cr_expect_not(fake_borrow(&f, 3), "the cold one is pinged");
	fake_return(&f, 2); /* the waiter gets it; the ping goes on */
	fake_return(&f, 3);
	policy_ping_done(f.p, &f.conns[0], false, f.now);
	cr_expect_eq(f.counters.recycles[RR_FAILED_PING], 1);
	cr_expect_eq(f.counters.pings_failed, 1);
	cr_expect_eq(f.closed_which[0], 0);
	cr_expect_not(fake_borrow(&f, 4), "was just returned, and still is not trusted");
	cr_expect_eq(f.opened, 3, "a new one is surer than another ping");
	fake_opened(&f, 2);
	cr_expect_eq(fake_holds(&f, 4), 2);
	fake_at(&f, f.now + S);
	cr_expect_eq(f.pinged_which[f.pinged - 1], 1, "the doubtful are verified soon");
	policy_ping_done(f.p, &f.conns[1], true, f.now);
	cr_expect(fake_borrow(&f, 5));
	fake_fini(&f);
}

Test(policy, without_room_for_another_the_doubtful_are_pinged)
{
	struct policy_settings set = pinging_settings(5 * S);
	struct fake f;

	set.pool_size = 2;
	fake_init(&f, &set, NULL);
	f.is_slow_to_close = true;
	fake_fill(&f, 0, 2);
	fake_return(&f, 0);
	fake_return(&f, 1);
	fake_at(&f, f.now + 10 * S);
	fake_borrow(&f, 2);
	policy_ping_done(f.p, &f.conns[1], false, f.now);
	cr_expect_eq(f.opened, 2);
	cr_expect_eq(f.pinged, 2);
	cr_expect_eq(f.pinged_which[1], 0);
	fake_fini(&f);
}

Test(policy, a_ping_without_an_answer_has_failed_after_the_timeout)
{
	struct policy_settings set = pinging_settings(5 * S);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_return(&f, 0);
	fake_at(&f, f.now + 10 * S);
	fake_borrow(&f, 1);
	cr_expect_eq(fake_next(&f), f.now + 5 * S);
	fake_at(&f, f.now + 5 * S - 1);
	cr_expect_eq(f.closed, 0);
	fake_at(&f, f.now + 1);
	cr_expect_eq(f.counters.recycles[RR_FAILED_PING], 1);
	cr_expect_eq(f.opened, 2);
	policy_ping_done(f.p, &f.conns[0], true, f.now); /* too late */
	fake_opened(&f, 1);
	cr_expect_eq(fake_holds(&f, 1), 1);
	fake_fini(&f);
}

static const struct {
	const char *rule;
	bool is_idle, may_be_down, pings;
} losses[] = {
	{ "an idle one was lost, the upstream may be down", true, true, true },
	{ "an idle one ended for a reason of its own", true, false, false },
	{ "a lent one was lost, the upstream may be down", false, true, true },
	{ "a lent one was closed by its borrower", false, false, false },
};

Test(policy, after_a_loss_the_others_are_verified_before_they_are_lent)
{
	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		struct policy_settings set = fake_settings(3, 0);
		struct fake f;

		fake_init(&f, &set, NULL);
		fake_fill(&f, 0, 2);
		fake_return(&f, 0);
		if (losses[i].is_idle)
			fake_return(&f, 1);
		policy_conn_gone(f.p, &f.conns[1], losses[i].may_be_down, f.now);
		cr_expect_eq(fake_borrow(&f, 2), !losses[i].pings, "%s", losses[i].rule);
		cr_expect_eq(f.pinged, losses[i].pings, "%s", losses[i].rule);
		cr_expect_eq(f.opened, 2, "%s", losses[i].rule);
		fake_fini(&f);
	}
}

Test(policy, idle_ones_are_pinged_in_the_background_half_at_a_time_and_stay_as_cold)
{
	struct policy_settings set = fake_settings(4, 0);
	uint64_t returned;
	struct fake f;

	set.ping_interval_us = 30 * S;
	set.idle_timeout_us = 600 * S;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 4);
	for (int i = 0; i < 4; i++)
		fake_return(&f, i);
	returned = f.now;
	fake_at(&f, returned + 30 * S - 1);
	cr_expect_eq(f.pinged, 0);
	fake_at(&f, returned + 30 * S);
	cr_expect_eq(f.pinged, 2);
	cr_expect_eq(fake_counts(&f).idle, 2, "somebody may come meanwhile");
	fake_at(&f, returned + 31 * S);
	cr_expect_eq(f.pinged, 3);
	for (int i = 0; i < 3; i++)
		policy_ping_done(f.p, &f.conns[f.pinged_which[i]], true, f.now);
	fake_at(&f, returned + 32 * S);
	cr_expect_eq(f.pinged, 4);
	policy_ping_done(f.p, &f.conns[f.pinged_which[3]], true, f.now);
	for (int k = 0; f.now < returned + 599 * S; k++) {
		fake_at(&f, f.now + S);
		for (int i = 0; i < 4; i++)
			policy_ping_done(f.p, &f.conns[i], true, f.now);
	}
	cr_expect_eq(f.closed, 0);
	fake_at(&f, returned + 600 * S);
	cr_expect_gt(f.counters.recycles[RR_IDLE], 0, "being pinged is not being used");
	fake_fini(&f);
}

/* --- Age, idleness, stock. --- */

Test(policy, one_is_recycled_by_age_when_idle_with_jitter)
{
	struct policy_settings set = fake_settings(20, 0);
	uint64_t first = UINT64_MAX, last = 0, opened;
	struct fake f;

	set.recycle_us = 3600 * (uint64_t)S;
	fake_init(&f, &set, NULL);
	opened = f.now;
	fake_fill(&f, 0, 20);
	for (int i = 0; i < 20; i++) {
		uint64_t at = f.conns[i].recycle_at_us - opened;

		first = at < first ? at : first;
		last = at > last ? at : last;
		if (i < 19)
			fake_return(&f, i);
	}
	cr_expect(first >= 3240ull * S && last <= 3960ull * S);
	cr_expect_gt(last - first, 100ull * S, "they do not end together");
	fake_at(&f, opened + first - 1);
	cr_expect_eq(f.closed, 0);
	fake_at(&f, opened + first + S);
	cr_expect_geq(f.counters.recycles[RR_AGE], 1);
	fake_at(&f, opened + last + S);
	cr_expect_eq(f.counters.recycles[RR_AGE], 19, "but not the one that is lent");
	fake_return(&f, 19);
	cr_expect_eq(f.counters.recycles[RR_AGE], 20);
	fake_fini(&f);
}

Test(policy, an_old_one_that_is_returned_is_replaced_for_who_waits)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	set.recycle_us = 60 * S;
	set.timeout_us = 0;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	fake_at(&f, f.now + 70 * S);
	fake_return(&f, 0);
	cr_expect_eq(f.counters.recycles[RR_AGE], 1);
	cr_expect_eq(f.opened, 2);
	fake_opened(&f, 1);
	cr_expect_eq(fake_holds(&f, 1), 1);
	fake_fini(&f);
}

Test(policy, nothing_is_closed_for_its_age_while_no_new_one_can_be_had)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.recycle_us = 60 * S;
	set.timeout_us = 0;
	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_borrow(&f, 1);
	f.cannot_open = true;
	fake_failed(&f, 1, CF_REFUSED, false);
	fake_at(&f, f.now + 70 * S);
	fake_return(&f, 0);
	cr_expect_eq(fake_holds(&f, 1), 0, "old, but it works");
	f.cannot_open = false;
	fake_return(&f, 1);
	fake_at(&f, f.now + 5 * S);
	cr_expect_eq(f.closed, 0);
	policy_resume(f.p, f.now); /* whatever ends the back-off */
	fake_at(&f, f.now + 2 * S);
	cr_expect_eq(f.counters.recycles[RR_AGE], 1);
	fake_fini(&f);
}

Test(policy, idle_timeout_closes_all_but_min_idle)
{
	struct policy_settings set = fake_settings(5, 0);
	struct fake f;

	set.idle_timeout_us = 60 * S;
	set.min_idle = 2;
	fake_init(&f, &set, NULL);
	for (int i = 0; i < 5; i++)
		fake_borrow(&f, i);
	for (int i = 0; i < 5; i++)
		fake_opened(&f, i);
	for (int i = 0; i < 5; i++)
		fake_return(&f, i);
	fake_at(&f, f.now + 60 * S - 1);
	cr_expect_eq(f.closed, 0);
	fake_at(&f, f.now + 1);
	cr_expect_eq(f.counters.recycles[RR_IDLE], 3);
	fake_at(&f, f.now + 600 * S);
	cr_expect_eq(fake_counts(&f).idle, 2);
	fake_fini(&f);
}

Test(policy, min_idle_is_kept_once_the_pool_is_in_use_and_within_pool_size)
{
	struct policy_settings set = fake_settings(4, 10);
	struct fake f;

	set.min_idle = 3;
	fake_init(&f, &set, NULL);
	f.due = policy_tick(f.p, f.now);
	fake_at(&f, f.now + 10 * S);
	cr_expect_eq(f.opened, 0, "nobody has come yet");
	fake_borrow(&f, 0);
	fake_at(&f, f.now + S);
	cr_expect_eq(f.opened, 4);
	for (int i = 0; i < 4; i++)
		fake_opened(&f, i);
	cr_expect_eq(fake_counts(&f).idle, 3);
	cr_expect(fake_borrow(&f, 1));
	fake_at(&f, f.now + 10 * S);
	cr_expect_eq(f.opened, 4, "not above pool_size");
	cr_expect_eq(fake_next(&f), 0, "and no need to look again");
	policy_conn_gone(f.p, f.clients[0].conn, false, f.now);
	cr_expect_leq(fake_next(&f), f.now + S);
	fake_at(&f, f.now + S);
	cr_expect_eq(f.opened, 5, "one was lost");
	fake_opened(&f, 4);
	policy_close_all(f.p, RR_SHUTDOWN, f.now);
	fake_at(&f, f.now + 10 * S);
	cr_expect_eq(f.opened, 5, "none in stock after a shutdown");
	fake_fini(&f);
}

Test(policy, min_idle_backs_off_too)
{
	struct policy_settings set = fake_settings(4, 0);
	struct fake f;

	set.min_idle = 2;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	for (int i = 0; i < 3; i++)
		fake_failed(&f, i, CF_REFUSED, false);
	cr_expect_eq(f.opened, 3);
	cr_expect_eq(f.clients[0].refusals, 1);
	fake_at(&f, f.now + S);
	cr_expect_eq(f.opened, 4, "one alone, with nobody in line");
	fake_fini(&f);
}

/* --- What the operator does. --- */

Test(policy, lower_limits_close_surplus_idle_ones_at_once_and_lent_ones_on_return)
{
	struct policy_settings set = fake_settings(6, 2);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 8);
	for (int i = 0; i < 3; i++)
		fake_return(&f, i);
	policy_reconfigure(f.p, &set, f.now);
	cr_expect_eq(f.closed, 0, "the same settings close nobody");
	set.pool_size = 3;
	set.max_overflow = 0;
	policy_reconfigure(f.p, &set, f.now);
	cr_expect_eq(f.closed, 3);
	fake_borrow(&f, 10);
	cr_expect_eq(f.opened, 8);
	fake_return(&f, 3);
	fake_return(&f, 4);
	cr_expect_eq(f.closed, 5);
	cr_expect_eq(f.clients[10].grants, 0);
	fake_return(&f, 5);
	cr_expect_eq(fake_holds(&f, 10), 5);
	fake_fini(&f);
}

Test(policy, higher_limits_open_for_those_in_line)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	for (int i = 0; i < 5; i++)
		fake_borrow(&f, i);
	set.pool_size = 3;
	set.timeout_us = S;
	policy_reconfigure(f.p, &set, f.now);
	cr_expect_eq(f.opened, 3);
	cr_expect_eq(fake_next(&f), f.now + S, "and the new timeout holds for them");
	fake_fini(&f);
}

Test(policy, a_pool_size_of_0_is_1)
{
	struct policy_settings set = fake_settings(0, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	cr_expect_eq(f.p->settings.pool_size, 1);
	fake_fill(&f, 0, 1);
	fake_fini(&f);
}

Test(policy, a_paused_pool_lends_nothing_and_closes_all_it_has)
{
	struct policy_settings set = fake_settings(4, 0);
	struct fake f;

	set.min_idle = 1;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	for (int i = 0; i < f.opened; i++)
		fake_opened(&f, i);
	fake_borrow(&f, 1);
	fake_return(&f, 1);
	policy_pause(f.p, f.now);
	cr_expect(fake_counts(&f).is_paused);
	cr_expect_eq(fake_counts(&f).idle + fake_counts(&f).opening, 0);
	cr_expect_not(fake_borrow(&f, 2));
	fake_return(&f, 0);
	cr_expect_eq(fake_counts(&f).lent, 0);
	fake_at(&f, f.now + 29 * S);
	cr_expect_eq(f.clients[2].grants + f.clients[2].refusals, 0);
	int before = f.opened;
	policy_resume(f.p, f.now);
	cr_expect_gt(f.opened, before);
	fake_opened(&f, before);
	cr_expect_eq(fake_holds(&f, 2), before);
	fake_fini(&f);
}

Test(policy, those_in_line_of_a_paused_pool_time_out_and_are_told_why)
{
	struct policy_settings set = fake_settings(4, 0);
	struct fake f;

	set.min_idle = 2;
	fake_init(&f, &set, NULL);
	policy_pause(f.p, f.now);
	fake_borrow(&f, 0);
	fake_at(&f, f.now + 30 * S);
	cr_expect_eq(f.clients[0].refusals, 1);
	cr_expect_str_eq(f.clients[0].why.detail, "the pool is paused, 1 client waiting");
	cr_expect_eq(fake_next(&f), 0, "and then there is nothing to do");
	fake_fini(&f);
}

Test(policy, close_all_closes_what_nobody_has_now_and_the_rest_when_returned)
{
	struct policy_settings set = fake_settings(4, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 3);
	fake_return(&f, 0);
	fake_return(&f, 1);
	policy_conn_gone(f.p, &f.conns[0], true, f.now);
	fake_borrow(&f, 3); /* pinging */
	fake_borrow(&f, 4); /* opening */
	policy_close_all(f.p, RR_RELOAD, f.now);
	cr_expect_eq(f.counters.recycles[RR_RELOAD], 2);
	cr_expect_eq(fake_counts(&f).opening, 2, "anew for those in line");
	fake_return(&f, 2);
	cr_expect_eq(f.counters.recycles[RR_RELOAD], 3);
	fake_opened(&f, f.opened - 1);
	fake_return(&f, 3);
	cr_expect_eq(f.counters.recycles[RR_RELOAD], 3, "new ones are not concerned");
	fake_fini(&f);
}

/* --- A login that takes longer than an operator's commands come. --- */

static void
reconnect(struct fake *f)
{
	policy_reconnect(f->p, f->now);
}

static void
pause_and_resume(struct fake *f)
{
	policy_pause(f->p, f->now);
	policy_resume(f->p, f->now);
}

static void
pause_for_long(struct fake *f)
{
	if (fake_counts(f).is_paused)
		policy_resume(f->p, f->now);
	else
		policy_pause(f->p, f->now);
}

Test(policy, whoever_waits_is_served_by_the_login_under_way_however_often_it_is_reconnected_or_paused)
{
	static void (*const commands[])(struct fake * f) = { reconnect, pause_and_resume, pause_for_long };

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct policy_settings set = fake_settings(2, 0);
		int served = 0;
		struct fake f;

		fake_init(&f, &set, NULL);
		fake_borrow(&f, 0);
		fake_borrow(&f, 1);
		fake_borrow(&f, 2);
		for (int tick = 1; tick <= 45; tick++) { /* each login takes 0.5 s, each transaction 0.1 s */
			fake_at(&f, f.now + 100 * MS);
			for (int c = 0; c < 3; c++)
				if (f.clients[c].conn != NULL) {
					served++;
					fake_return(&f, c);
					fake_borrow(&f, c);
				}
			commands[i](&f);
			for (int n = 0; n < f.opened; n++)
				if (f.conns[n].state == PC_OPENING && f.now - f.conns[n].opened_us >= 500 * MS)
					fake_opened(&f, n);
		}
		cr_expect_geq(served, 6, "command %zu: %d", i, served);
		fake_fini(&f);
	}
}

Test(policy, what_logged_in_behind_a_reconnect_serves_once_and_what_nobody_waits_for_is_closed)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_borrow(&f, 1);
	policy_reconnect(f.p, f.now);
	cr_expect_eq(f.opened, 2, "nothing is replaced");
	policy_cancel(f.p, &f.clients[1].ticket, f.now);
	fake_opened(&f, 0);
	cr_expect_eq(fake_holds(&f, 0), 0);
	fake_opened(&f, 1);
	cr_expect_eq(fake_counts(&f).idle, 0);
	fake_return(&f, 0);
	cr_expect_eq(fake_counts(&f).idle, 0);
	cr_expect_eq(f.counters.recycles[RR_RELOAD], 2);
	fake_borrow(&f, 0);
	fake_opened(&f, 2);
	fake_return(&f, 0);
	cr_expect_eq(fake_counts(&f).idle, 1, "a new one stays");
	fake_fini(&f);
}

Test(policy, a_pause_lends_what_is_logging_in_and_opens_nothing)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_borrow(&f, 1);
	policy_pause(f.p, f.now);
	cr_expect_eq(fake_counts(&f).opening, 1, "for the first in line");
	fake_opened(&f, 0);
	cr_expect_eq(fake_holds(&f, 0), 0);
	fake_return(&f, 0);
	cr_expect_eq(f.counters.recycles[RR_KILL], 1);
	cr_expect_eq(fake_holds(&f, 1), -1);
	cr_expect_eq(f.opened, 1);
	policy_resume(f.p, f.now);
	fake_opened(&f, 1);
	cr_expect_eq(fake_holds(&f, 1), 1);
	fake_return(&f, 1);
	cr_expect_eq(fake_counts(&f).idle, 1);
	fake_fini(&f);
}

Test(policy, after_a_failure_a_reconnect_or_a_pause_gives_up_the_login_under_way)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	set.is_holding = true;
	fake_init(&f, &set, NULL);
	fake_borrow(&f, 0);
	fake_failed(&f, 0, CF_TIMEOUT, false);
	fake_at(&f, f.now + S);
	cr_expect_eq(fake_counts(&f).opening, 1);
	policy_reconnect(f.p, f.now);
	cr_expect_eq(f.closed, 1, "the host may be another one now");
	cr_expect_eq(fake_counts(&f).opening, 1, "and is asked at once");
	fake_failed(&f, f.opened - 1, CF_TIMEOUT, false);
	fake_at(&f, f.now + S);
	policy_pause(f.p, f.now);
	cr_expect_eq(fake_counts(&f).opening, 0, "a pause waits for no host that is silent");
	fake_fini(&f);
}

Test(policy, pool_free_refuses_those_in_line)
{
	struct policy_settings set = fake_settings(1, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	policy_pause(f.p, f.now);
	fake_borrow(&f, 0);
	policy_free(f.p);
	cr_expect_eq(f.clients[0].refusals, 1);
	cr_expect_eq(f.clients[0].kind, RF_SHUTDOWN);
	policy_free(NULL);
	policy_room_free(f.room);
	policy_commons_free(f.own);
}

/* --- policy_borrow_idle(). --- */

/* Client number i; returns true if it has got one. */
static bool
borrow_idle(struct fake *f, int i)
{
	f->clients[i].conn = policy_borrow_idle(f->p, &f->clients[i].ticket, f->now);
	return f->clients[i].conn != NULL;
}

Test(policy, who_borrows_an_idle_one_never_waits_but_one_is_opened_for_later)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	cr_expect_not(borrow_idle(&f, 0));
	cr_expect_not(borrow_idle(&f, 1), "one is coming, and no other is opened");
	cr_expect_eq(f.opened, 1);
	cr_expect_eq(fake_counts(&f).waiting + f.clients[0].ticket.is_waiting, 0);
	fake_opened(&f, 0);
	cr_expect_eq(fake_counts(&f).idle, 1);
	cr_expect(borrow_idle(&f, 0));
	cr_expect_eq(f.opened, 1);
	cr_expect_not(borrow_idle(&f, 1));
	fake_opened(&f, 1);
	cr_expect(borrow_idle(&f, 1));
	cr_expect_not(borrow_idle(&f, 2), "pool_size are lent");
	cr_expect_eq(f.opened, 2);
	fake_return(&f, 0);
	cr_expect(borrow_idle(&f, 0));
	cr_expect_eq(fake_holds(&f, 0), 0, "its own one");
	cr_expect_eq(f.counters.checkouts[CS_IDLE], 1);
	cr_expect_eq(f.counters.checkouts[CS_NEW], 2);
	cr_expect_eq(f.counters.waits, 0);
	fake_return(&f, 0);
	fake_return(&f, 1);
	fake_fini(&f);
}

Test(policy, one_that_must_be_pinged_is_pinged_for_the_next)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_return(&f, 0);
	policy_distrust(f.p, f.now);
	cr_expect_not(borrow_idle(&f, 1));
	cr_expect_not(borrow_idle(&f, 1));
	cr_expect_eq(f.pinged, 1);
	cr_expect_eq(f.opened, 1);
	policy_ping_done(f.p, &f.conns[0], true, f.now);
	cr_expect(borrow_idle(&f, 1));
	fake_return(&f, 1);
	fake_fini(&f);
}

Test(policy, a_spare_pool_backs_off_and_knows_no_outage)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	set.is_spare = true;
	fake_init(&f, &set, NULL);
	cr_expect_not(borrow_idle(&f, 0));
	for (int i = 0; i < 8; i++) {
		fake_failed(&f, i, CF_REFUSED, false);
		cr_expect_not(borrow_idle(&f, 0));
		cr_expect_eq(f.opened, i + 1, "it backs off");
		fake_at(&f, f.now + S);
		cr_expect_eq(f.opened, i + 1, "nobody asks");
		cr_expect_not(borrow_idle(&f, 0), "while somebody asks it tries at least twice a second");
		cr_expect_eq(f.opened, i + 2);
	}
	cr_expect_eq(f.counters.outages, 0);
	cr_expect_eq(fake_counts(&f).outage.since_us, 0);
	fake_opened(&f, 8);
	cr_expect(borrow_idle(&f, 0));
	fake_return(&f, 0);
	fake_fini(&f);
}

Test(policy, a_spare_pool_that_is_refused_its_login_backs_off_for_long)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;
	int opened;

	set.is_spare = true;
	fake_init(&f, &set, NULL);
	cr_expect_not(borrow_idle(&f, 0));
	for (int i = 0; i < 12; i++) {
		fake_failed(&f, i, CF_AUTH, true);
		fake_at(&f, f.now + 20 * S);
		cr_expect_not(borrow_idle(&f, 0));
		cr_expect_eq(f.opened, i + 2, "it tries again");
	}
	fake_failed(&f, 12, CF_AUTH, true);
	opened = f.opened;
	for (int i = 0; i < 50; i++) {
		fake_at(&f, f.now + S / 10);
		cr_expect_not(borrow_idle(&f, 0));
	}
	cr_expect_eq(f.opened, opened, "in five seconds of reads");
	fake_at(&f, f.now + 20 * S);
	cr_expect_not(borrow_idle(&f, 0));
	fake_opened(&f, opened);
	cr_expect(borrow_idle(&f, 0), "as soon as it may log in");
	fake_return(&f, 0);
	fake_fini(&f);
}

Test(policy, a_paused_pool_has_no_idle_one_and_opens_none)
{
	struct policy_settings set = fake_settings(2, 0);
	struct fake f;

	fake_init(&f, &set, NULL);
	fake_fill(&f, 0, 1);
	fake_return(&f, 0);
	policy_pause(f.p, f.now);
	cr_expect_not(borrow_idle(&f, 0));
	cr_expect_eq(f.opened, 1);
	policy_resume(f.p, f.now);
	cr_expect_not(borrow_idle(&f, 0));
	cr_expect_eq(f.opened, 2);
	fake_opened(&f, 1);
	cr_expect(borrow_idle(&f, 0));
	fake_return(&f, 0);
	fake_fini(&f);
}
