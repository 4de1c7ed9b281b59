/* tests/unit/test_policy_circuit.c - pools of one upstream that can't be reached: one tries, the others learn from it.
 */
#include "policy/policy_circuit.h"
#include "policy_fake.h"
#include "unit.h"

#define POOLS 8

struct upstream {
	struct policy_commons *commons;
	struct policy_worker *worker;
	struct policy_circuit *circuit;
	struct fake pools[POOLS];
};

static struct upstream upstream_of_test, *const u = &upstream_of_test;

static void
up_init(bool is_holding)
{
	struct policy_settings set = fake_settings(20, 0);

	*u = (struct upstream){ 0 };
	set.on_outage = is_holding ? OUTAGE_HOLD : OUTAGE_FAIL;
	set.hold_us = 60 * S;
	u->commons = policy_commons_new(1);
	u->worker = policy_worker_new(u->commons, 0, NULL, NULL, &fake_waiters);
	u->circuit = policy_circuit_get_or_create(u->commons, "db1:5432,any");
	for (int i = 0; i < POOLS; i++) {
		fake_init(&u->pools[i], &set, u->worker);
		policy_set_circuit(u->pools[i].p, policy_circuit_get_or_create(u->commons, "db1:5432,any"),
				   u->pools[i].now);
	}
}

static void
up_fini(void)
{
	if (u->commons == NULL)
		return;
	for (int i = 0; i < POOLS; i++)
		policy_pause(u->pools[i].p, u->pools[i].now);
	for (int i = 0; i < POOLS; i++) {
		fake_fini(&u->pools[i]);
		policy_circuit_put(u->commons, u->circuit);
	}
	policy_circuit_put(u->commons, u->circuit);
	policy_worker_free(u->worker);
	policy_commons_free(u->commons); /* which is empty */
	u->commons = NULL;
}

TestSuite(policy_circuit, .fini = up_fini);

static int
opened_count(void)
{
	int count = 0;

	for (int i = 0; i < POOLS; i++)
		count += u->pools[i].opened;
	return count;
}

/* Returns the pool that has begun to open one since opened_count() was before, or -1: none has. */
static int
find_trying(void)
{
	for (int i = 0; i < POOLS; i++)
		if (fake_counts(&u->pools[i]).opening > 0)
			return i;
	return -1;
}

static void
fail_last(struct fake *f, enum connect_failure kind, bool is_fatal)
{
	fake_failed(f, f->opened - 1, kind, is_fatal);
}

/* Somebody waits in each pool, and all that they opened has failed. */
static uint64_t
begin_outage(void)
{
	uint64_t now = u->pools[0].now + S;

	fake_all_at(u->pools, POOLS, now);
	for (int i = 0; i < POOLS; i++)
		fake_borrow(&u->pools[i], 0);
	for (int i = 0; i < POOLS; i++)
		fail_last(&u->pools[i], CF_REFUSED, false);
	return now;
}

Test(policy_circuit, while_nothing_can_be_opened_one_tries_for_all)
{
	uint64_t now;
	int before;

	up_init(true);
	now = begin_outage();
	for (int round = 0; round < 5; round++) {
		before = opened_count();
		fake_all_at(u->pools, POOLS, now += 490 * MS);
		cr_assert_eq(opened_count(), before + 1, "round %d", round);
		fail_last(&u->pools[find_trying()], CF_REFUSED, false);
		cr_expect_eq(opened_count(), before + 1, "nobody follows at once");
	}
	before = opened_count();
	fake_all_at(u->pools, POOLS, now += 490 * MS);
	int trying = find_trying();
	fake_opened(&u->pools[trying], u->pools[trying].opened - 1);
	fake_all_at(u->pools, POOLS, now);
	cr_expect_eq(opened_count(), before + POOLS, "then all open, at once");
	for (int i = 0; i < POOLS; i++)
		if (i != trying)
			fake_opened(&u->pools[i], u->pools[i].opened - 1);
	for (int i = 0; i < POOLS; i++)
		cr_expect_eq(u->pools[i].clients[0].grants, 1);
}

Test(policy_circuit, without_an_answer_another_one_is_tried_each_half_second)
{
	uint64_t now;
	int before;

	up_init(true);
	now = begin_outage();
	fake_all_at(u->pools, POOLS, now += 490 * MS);
	before = opened_count();
	for (int half = 1; half <= 6; half++) {
		fake_all_at(u->pools, POOLS, now += 500 * MS);
		cr_expect_eq(opened_count(), before + half);
	}
}

Test(policy_circuit, who_does_not_wait_on_is_told_what_another_pool_has_found)
{
	uint64_t now;
	int before, trying;

	up_init(false);
	now = begin_outage();
	fake_all_at(u->pools, POOLS, now);
	for (int i = 0; i < POOLS; i++)
		cr_expect_eq(u->pools[i].clients[0].refusals, 1);
	fake_borrow(&u->pools[3], 1);
	fake_all_at(u->pools, POOLS, now += MS);
	cr_expect_eq(u->pools[3].clients[1].refusals, 1, "nobody may try yet");
	before = opened_count();
	for (int i = 0; i < POOLS; i++)
		fake_all_at(u->pools, POOLS, now += 50 * MS), fake_borrow(&u->pools[i], 2);
	cr_expect_eq(opened_count(), before + 1, "one tries, and nobody else");
	trying = find_trying();
	cr_expect_eq(u->pools[POOLS - 1].clients[2].refusals, 0, "it waits for what comes of that");
	fail_last(&u->pools[trying], CF_TIMEOUT, false);
	fake_all_at(u->pools, POOLS, now);
	for (int i = trying; i < POOLS; i++) {
		cr_expect_eq(u->pools[i].clients[2].refusals, 1);
		cr_expect_str_eq(u->pools[i].clients[2].why.sqlstate, "08001");
	}
	cr_expect_eq(opened_count(), before + 1);
}

Test(policy_circuit, newcomers_to_a_silent_host_are_told_at_once_in_each_pool)
{
	uint64_t now;

	up_init(false);
	now = u->pools[0].now;
	fake_borrow(&u->pools[0], 0);
	fake_all_at(u->pools, POOLS, now += 5 * S);
	fail_last(&u->pools[0], CF_TIMEOUT, false);
	cr_expect_eq(u->pools[0].clients[0].refusals, 1);
	fake_all_at(u->pools, POOLS, now += S);
	for (int i = POOLS - 1; i >= 0; i--) {
		fake_borrow(&u->pools[i], 1);
		fake_all_at(u->pools, POOLS, now);
		cr_expect_eq(u->pools[i].clients[1].refusals, 1, "pool %d", i);
	}
	cr_expect_eq(opened_count(), 2, "one tries for all");
	fake_opened(&u->pools[POOLS - 1], 0);
	fake_all_at(u->pools, POOLS, now);
	fake_borrow(&u->pools[1], 2);
	fake_all_at(u->pools, POOLS, now += S);
	cr_expect_eq(u->pools[1].clients[2].refusals, 0, "the host has answered");
	fake_opened(&u->pools[1], u->pools[1].opened - 1);
	cr_expect_eq(u->pools[1].clients[2].grants, 1);
}

Test(policy_circuit, a_trial_that_does_not_end_keeps_nobody_from_trying)
{
	uint64_t now;
	int before;

	up_init(false);
	now = begin_outage();
	fake_all_at(u->pools, POOLS, now += 490 * MS);
	fake_borrow(&u->pools[0], 1); /* its worker hangs from now on */
	cr_expect_eq(find_trying(), 0);
	for (int i = 1; i < POOLS; i++)
		fake_borrow(&u->pools[i], 1);
	before = opened_count();
	fake_at(&u->pools[1], now += 490 * MS);
	cr_expect_eq(opened_count(), before);
	fake_at(&u->pools[1], now += 10 * MS);
	cr_expect_eq(u->pools[1].clients[1].refusals, 1, "it has waited for as long as the trial");
	fake_borrow(&u->pools[1], 2);
	cr_assert_eq(opened_count(), before + 1);
	fake_opened(&u->pools[1], u->pools[1].opened - 1);
	cr_expect_eq(u->pools[1].clients[2].grants, 1);
	fake_at(&u->pools[2], now);
	fake_borrow(&u->pools[2], 2);
	cr_expect_eq(opened_count(), before + 2, "PostgreSQL is there");
}

Test(policy_circuit, an_outage_is_over_for_those_in_which_nobody_waits_too)
{
	uint64_t now;
	int before;

	up_init(false);
	now = begin_outage();
	fake_all_at(u->pools, POOLS, now += 60 * S);
	for (int i = 0; i < POOLS; i++)
		cr_assert_gt(fake_counts(&u->pools[i]).outage.since_us, 0);
	before = opened_count();
	policy_health_check(u->pools[2].p, now);
	fake_all_at(u->pools, POOLS, now);
	cr_assert_eq(opened_count(), before + 1);
	fake_opened(&u->pools[2], u->pools[2].opened - 1);
	fake_all_at(u->pools, POOLS, now);
	for (int i = 0; i < POOLS; i++)
		cr_expect_eq(fake_counts(&u->pools[i]).outage.since_us, 0);
	cr_expect_eq(opened_count(), before + 1, "nobody needs another one");
	fake_all_at(u->pools, POOLS, now += S);
	for (int i = 0; i < POOLS; i++)
		cr_expect_eq(u->pools[i].counters.outages, 1, "nor does another one begin");
	cr_expect(fake_borrow(&u->pools[2], 1));
}

Test(policy_circuit, a_health_check_neither_keeps_others_from_trying_nor_is_news_if_it_fails)
{
	uint64_t now;
	int before, health_check;

	up_init(true);
	now = begin_outage();
	policy_health_check(u->pools[2].p, now); /* whatever the back-off is */
	health_check = u->pools[2].opened - 1;
	before = opened_count();
	fake_all_at(u->pools, POOLS, now += 490 * MS);
	cr_expect_eq(opened_count(), before + 1, "it is no trial");
	policy_conn_gone(u->pools[2].p, &u->pools[2].conns[health_check], false, now);
	fake_all_at(u->pools, POOLS, now);
	cr_expect_eq(opened_count(), before + 1);
	policy_pause(u->pools[2].p, now);
	policy_health_check(u->pools[2].p, now);
	cr_expect_eq(opened_count(), before + 1 + (find_trying() == 2));
}

Test(policy_circuit, one_pools_own_failure_is_nobody_elses)
{
	static const struct {
		enum connect_failure kind;
		bool is_fatal;
	} own[] = { { CF_AUTH, true }, { CF_OTHER, true }, { CF_TOO_MANY, false } };

	EACH(row, own) {
		uint64_t now;
		int before, trying;

		up_init(true);
		now = begin_outage();
		fake_all_at(u->pools, POOLS, now += 490 * MS);
		before = opened_count();
		trying = find_trying();
		fail_last(&u->pools[trying], row->kind, row->is_fatal);
		fake_all_at(u->pools, POOLS, now);
		cr_expect_eq(opened_count(), before + POOLS - 1, "the host has answered: the others open");
		for (int i = 0; i < POOLS; i++)
			if (i != trying)
				cr_expect_eq(u->pools[i].clients[0].refusals, 0);
		cr_expect_eq(fake_counts(&u->pools[trying]).opening, 0, "it backs off");
		up_fini();
	}
}

Test(policy_circuit, a_trial_that_is_closed_lets_another_pool_try)
{
	uint64_t now;
	int before, trying;

	up_init(true);
	now = begin_outage();
	fake_all_at(u->pools, POOLS, now += 490 * MS);
	before = opened_count();
	trying = find_trying();
	policy_pause(u->pools[trying].p, now);
	fake_all_at(u->pools, POOLS, now);
	cr_expect_eq(opened_count(), before + 1);
	cr_expect_neq(find_trying(), trying);
}

Test(policy_circuit, a_failure_that_began_before_the_last_answer_is_old)
{
	uint64_t now;

	up_init(true);
	fake_all_at(u->pools, POOLS, now = u->pools[0].now + S);
	fake_borrow(&u->pools[0], 0);
	fake_all_at(u->pools, POOLS, now += S);
	fake_borrow(&u->pools[1], 0);
	fake_opened(&u->pools[1], 0);
	fake_all_at(u->pools, POOLS, now += S);
	fail_last(&u->pools[0], CF_TIMEOUT, false);
	for (int i = 2; i < POOLS; i++)
		fake_borrow(&u->pools[i], 0);
	for (int i = 2; i < POOLS; i++)
		cr_expect_eq(u->pools[i].opened, 1, "others open as ever");
}

/* In pool 0 client 0 has a connection, and one more login hangs, for client 1, who gets that connection in the end. */
static uint64_t
hang_one(void)
{
	uint64_t now = u->pools[0].now;

	fake_fill(&u->pools[0], 0, 1);
	fake_all_at(u->pools, POOLS, now += S);
	fake_borrow(&u->pools[0], 1);
	cr_assert_eq(u->pools[0].opened, 2);
	return now;
}

/* An hour later its last connection goes, and somebody comes: the host is there. */
static void
come_an_hour_later(uint64_t now)
{
	struct fake *f = &u->pools[0];

	fake_return(f, 1);
	fake_all_at(u->pools, POOLS, now += 3600 * S);
	cr_expect_eq(fake_counts(f).idle, 0, "it was idle for too long");
	cr_expect_eq(f->counters.outages, 0);
	fake_borrow(f, 2);
	fake_all_at(u->pools, POOLS, now += MS);
	cr_expect_eq(f->clients[2].refusals, 0, "%s", f->clients[2].why.text);
	fake_opened(f, f->opened - 1);
	cr_expect_eq(f->clients[2].grants, 1);
	up_fini();
}

/* The same where connections are idle for a minute at most. */
static uint64_t
hang_one_of_short_lived(void)
{
	struct policy_settings set = fake_settings(20, 0);

	set.idle_timeout_us = 60 * S;
	up_init(false);
	for (int i = 0; i < POOLS; i++)
		policy_reconfigure(u->pools[i].p, &set, u->pools[i].now);
	return hang_one();
}

Test(policy_circuit, a_login_that_hung_while_another_pool_got_an_answer_refuses_nobody_later)
{
	uint64_t now = hang_one_of_short_lived();

	fake_all_at(u->pools, POOLS, now += MS);
	fake_fill(&u->pools[1], 0, 1);
	fake_return(&u->pools[0], 0);
	fake_all_at(u->pools, POOLS, now += 5 * S);
	fail_last(&u->pools[0], CF_TIMEOUT, false);
	come_an_hour_later(now);
}

Test(policy_circuit, what_a_pool_has_found_is_forgotten_when_another_one_gets_an_answer)
{
	uint64_t now = hang_one_of_short_lived();

	fake_return(&u->pools[0], 0);
	fake_all_at(u->pools, POOLS, now += 5 * S);
	fail_last(&u->pools[0], CF_TIMEOUT, false);
	policy_health_check(u->pools[1].p, now += S);
	fake_opened(&u->pools[1], 0);
	fake_all_at(u->pools, POOLS, now);
	come_an_hour_later(now);
}

Test(policy_circuit, a_connection_that_comes_back_is_an_answer)
{
	uint64_t now = hang_one_of_short_lived();

	fake_all_at(u->pools, POOLS, now += 5 * S);
	fail_last(&u->pools[0], CF_TIMEOUT, false);
	fake_all_at(u->pools, POOLS, now += MS);
	fake_return(&u->pools[0], 0);
	come_an_hour_later(now);
}

/* A server that was stopped and goes on: what was lent comes back and is closed, while logins are still under way. */
Test(policy_circuit, who_waits_when_a_stopped_host_goes_on_is_not_refused)
{
	struct fake *f = &u->pools[0];
	uint64_t now;

	up_init(false);
	now = hang_one();
	for (int i = 2; i < 22; i++)
		fake_borrow(f, i);
	fake_all_at(u->pools, POOLS, now += 5 * S);
	for (int conn = f->opened - 1; conn > 0; conn--)
		fake_failed(f, conn, CF_TIMEOUT, false);
	fake_all_at(u->pools, POOLS, now += 5 * S);
	policy_close_all(f->p, RR_KILL, now);
	fake_return(f, 0);
	fake_all_at(u->pools, POOLS, now += MS);
	for (int i = 1; i < 22; i++)
		cr_expect_eq(f->clients[i].refusals, 0, "client %d", i);
}

Test(policy_circuit, a_connection_that_comes_back_says_nothing_of_a_password)
{
	struct fake *f = &u->pools[0];
	uint64_t now;

	up_init(false);
	now = hang_one();
	fail_last(f, CF_AUTH, true);
	cr_expect_eq(f->clients[1].refusals, 1);
	fake_return(f, 0);
	cr_expect_gt(fake_counts(f).backoff_until_us, now);
}

/* PostgreSQL is back, but another pool has all the connections that the cap allows. */
Test(policy_circuit, who_was_held_waits_for_a_place_once_another_pool_has_got_an_answer)
{
	struct fake *first = &u->pools[0], *second = &u->pools[1];
	struct policy_budget *cap = policy_budget_new(1);
	uint64_t now;

	up_init(true);
	policy_set_cap(first->p, CAP_DATABASE, cap, first->now);
	policy_set_cap(second->p, CAP_DATABASE, cap, second->now);
	fake_all_at(u->pools, POOLS, now = first->now + S);
	fake_borrow(first, 0);
	fail_last(first, CF_REFUSED, false);
	fake_borrow(second, 0);
	while (fake_counts(first).opening == 0) {
		if (fake_counts(second).opening > 0)
			fail_last(second, CF_REFUSED, false);
		fake_all_at(u->pools, POOLS, now += 10 * MS);
	}
	fake_opened(first, first->opened - 1);
	cr_assert_eq(first->clients[0].grants, 1);
	fake_all_at(u->pools, POOLS, now += 61 * S);
	cr_expect_eq(second->clients[0].refusals, 0, "%s", second->clients[0].why.text);
	fake_all_at(u->pools, POOLS, now += second->settings.timeout_us);
	cr_expect_eq(second->clients[0].refusals, 1);
	cr_expect_str_eq(second->clients[0].why.sqlstate, "53300");
	up_fini();
	policy_budget_free(cap);
}
