/*
 * tests/unit/test_policy_caps.c - pools under several caps at once: users and databases in a grid, each pool under the
 * cap of its user and of its database.
 */
#include "policy_fake.h"
#include "unit.h"

#define SIDE 2 /* users, and databases */
#define CLIENTS 8 /* of each pool */

struct grid {
	struct policy_commons *commons;
	struct policy_worker *worker;
	struct policy_budget *users[SIDE], *databases[SIDE], *all;
	uint32_t user_limit, database_limit;
	struct fake pools[SIDE * SIDE]; /* user * SIDE + database */
};

static struct grid grid_of_test, *const g = &grid_of_test;

static void
grid_init(uint32_t user_limit, uint32_t database_limit, uint32_t limit)
{
	struct policy_settings set = fake_settings(20, 0);

	set.timeout_us = 0;
	*g = (struct grid){ .user_limit = user_limit, .database_limit = database_limit };
	g->commons = policy_commons_new(1);
	g->worker = policy_worker_new(g->commons, 0, NULL, NULL, &fake_waiters);
	g->all = g->worker->commons->total;
	policy_budget_set_limit(g->all, g->worker, limit, 0);
	for (int i = 0; i < SIDE; i++) {
		g->users[i] = policy_budget_new(user_limit);
		g->databases[i] = policy_budget_new(database_limit);
	}
	for (int i = 0; i < SIDE * SIDE; i++) {
		struct fake *f = &g->pools[i];

		fake_init(f, &set, g->worker);
		policy_set_cap(f->p, CAP_USER, g->users[i / SIDE], f->now);
		policy_set_cap(f->p, CAP_DATABASE, g->databases[i % SIDE], f->now);
	}
}

static void
grid_fini(void)
{
	if (g->commons == NULL)
		return;
	for (int i = 0; i < SIDE * SIDE; i++)
		policy_pause(g->pools[i].p, g->pools[i].now); /* nobody takes what another gives up */
	for (int i = 0; i < SIDE * SIDE; i++)
		fake_fini(&g->pools[i]);
	for (int i = 0; i < SIDE; i++) {
		must_hold_at_the_end(policy_budget_used(g->users[i]) == 0, "a user's places are given back");
		must_hold_at_the_end(policy_budget_used(g->databases[i]) == 0, "a database's places are given back");
		policy_budget_free(g->users[i]);
		policy_budget_free(g->databases[i]);
	}
	must_hold_at_the_end(policy_budget_used(g->all) == 0, "all places are given back");
	policy_worker_free(g->worker);
	policy_commons_free(g->commons);
	g->commons = NULL;
}

TestSuite(policy_caps, .fini = grid_fini);

static uint32_t
connections(const struct fake *f)
{
	struct policy_counts n = fake_counts(f);

	return n.opening + n.idle + n.pinging + n.lent + n.closing;
}

/* What each cap counts is what its pools have, and no more than it allows. */
static void
check_caps(void)
{
	for (int i = 0; i < SIDE; i++) {
		uint32_t of_user = 0, of_database = 0;

		for (int j = 0; j < SIDE; j++) {
			of_user += connections(&g->pools[i * SIDE + j]);
			of_database += connections(&g->pools[j * SIDE + i]);
		}
		cr_assert_eq(policy_budget_used(g->users[i]), of_user);
		cr_assert_eq(policy_budget_used(g->databases[i]), of_database);
		cr_assert(g->user_limit == 0 || of_user <= g->user_limit);
		cr_assert(g->database_limit == 0 || of_database <= g->database_limit);
	}
}

Test(policy_caps, each_of_them_holds)
{
	grid_init(3, 4, 5);
	for (int i = 0; i < SIDE * SIDE * CLIENTS; i++)
		fake_borrow(&g->pools[i % (SIDE * SIDE)], i / (SIDE * SIDE));
	fake_all_at(g->pools, SIDE * SIDE, g->pools[0].now);
	check_caps();
	cr_expect_eq(policy_budget_used(g->all), 5);
}

Test(policy_caps, one_that_waits_for_its_user_keeps_no_place_of_its_database)
{
	grid_init(1, 2, 0);
	fake_fill(&g->pools[0], 0, 1); /* user 0, database 0 */
	for (int i = 1; i < 4; i++)
		fake_borrow(&g->pools[0], i); /* three more could use the database, but for their user */
	fake_borrow(&g->pools[2], 0); /* user 1, database 0 */
	fake_all_at(g->pools, SIDE * SIDE, g->pools[0].now);
	cr_expect_eq(g->pools[2].opened, 1);
}

Test(policy_caps, a_place_that_one_cannot_use_goes_to_the_next)
{
	grid_init(1, 1, 0);
	fake_fill(&g->pools[0], 0, 1); /* user 0, database 0 */
	fake_fill(&g->pools[3], 0, 1); /* user 1, database 1 */
	fake_borrow(&g->pools[1], 0); /* user 0, database 1: waits for both */
	fake_borrow(&g->pools[2], 0); /* user 1, database 0: the same */
	policy_conn_gone(g->pools[0].p, g->pools[0].clients[0].conn, false, g->pools[0].now);
	fake_all_at(g->pools, SIDE * SIDE, g->pools[0].now);
	cr_expect_eq(g->pools[1].opened + g->pools[2].opened, 0, "one of their two places is taken still");
	policy_conn_gone(g->pools[3].p, g->pools[3].clients[0].conn, false, g->pools[3].now);
	fake_all_at(g->pools, SIDE * SIDE, g->pools[0].now);
	cr_expect_eq(g->pools[1].opened, 1);
	cr_expect_eq(g->pools[2].opened, 1);
}

Test(policy_caps, idle_ones_go_for_who_waits_at_the_second_cap)
{
	grid_init(0, 2, 0);
	fake_fill(&g->pools[0], 0, 2); /* user 0 has all of database 0, idle */
	fake_return(&g->pools[0], 0);
	fake_return(&g->pools[0], 1);
	fake_all_at(g->pools, SIDE * SIDE, g->pools[0].now + 100 * MS);
	fake_borrow(&g->pools[2], 0);
	fake_all_at(g->pools, SIDE * SIDE, g->pools[0].now);
	cr_expect_eq(g->pools[0].counters.recycles[RR_EVICTED], 1);
	cr_expect_eq(g->pools[2].opened, 1);
}

Test(policy_caps, may_come_and_go_while_connections_are_there)
{
	struct fake *f = &g->pools[0];

	grid_init(3, 0, 0);
	policy_set_cap(f->p, CAP_USER, NULL, f->now);
	fake_fill(f, 0, 5);
	fake_return(f, 0);
	cr_expect_eq(policy_budget_used(g->users[0]), 0);
	policy_set_cap(f->p, CAP_USER, g->users[0], f->now);
	cr_expect_eq(connections(f), 4, "the idle one is closed");
	fake_return(f, 1);
	cr_expect_eq(connections(f), 3, "and one more when it is returned");
	check_caps();
	policy_set_cap(f->p, CAP_USER, NULL, f->now);
	cr_expect_eq(policy_budget_used(g->users[0]), 0);
	for (int i = 0; i < 5; i++)
		if (f->clients[i].conn == NULL)
			fake_borrow(f, i);
	cr_expect_eq(connections(f), 5);
	policy_set_cap(f->p, CAP_USER, g->users[0], f->now);
	for (int i = 0; i < 5; i++)
		if (f->clients[i].conn != NULL)
			fake_return(f, i);
	fake_login_all(f);
	check_caps();
}

Test(policy_caps, who_leaves_one_makes_room_there)
{
	grid_init(3, 0, 0);
	fake_fill(&g->pools[0], 0, 3);
	fake_borrow(&g->pools[1], 0);
	cr_assert_eq(g->pools[1].opened, 0, "the user's places are taken");
	policy_set_cap(g->pools[0].p, CAP_USER, NULL, g->pools[0].now);
	fake_all_at(g->pools, SIDE * SIDE, g->pools[0].now);
	cr_expect_eq(g->pools[1].opened, 1);
	cr_expect_eq(policy_budget_used(g->users[0]), 1);
}

/* Its last attempt fails for good when the back-off of another one is over, so another could be tried for who waits. */
Test(policy_caps, nobody_gives_up_a_place_for_those_who_have_been_refused)
{
	struct fake *f, *other;

	grid_init(0, 0, 3);
	f = &g->pools[0];
	other = &g->pools[1];
	fake_fill(other, 0, 1);
	fake_borrow(f, 0);
	fake_borrow(f, 1);
	cr_assert_eq(f->opened, 2);
	fake_failed(f, 0, CF_REFUSED, false);
	policy_budget_set_limit(g->all, g->worker, 1, f->now);
	f->now = other->now = f->now + S;
	fake_failed(f, 1, CF_AUTH, true);
	cr_expect_eq(f->clients[0].refusals + f->clients[1].refusals, 2);
	cr_expect_not(policy_has_unserved_waiters(other->p));
	fake_return(other, 0);
	cr_expect_eq(other->closed, 0);
}

/* At random: no cap is ever exceeded, and when all give back what they get, everybody gets something in the end. */
static void
walk(unsigned seed)
{
	int waiting;

	srand(seed);
	grid_init((uint32_t)rand() % 4, 1 + (uint32_t)rand() % 4, (uint32_t)rand() % 6);
	for (int step = 0; step < 60; step++) {
		struct fake *f = &g->pools[rand() % (SIDE * SIDE)];
		struct fake_client *c = &f->clients[rand() % CLIENTS];

		if (c->conn != NULL)
			fake_return(f, (int)(c - f->clients));
		else if (c->waiter.waits == WAITS_NOT)
			fake_borrow(f, (int)(c - f->clients));
		if (rand() % 2 == 0)
			fake_login_all(f);
		fake_all_at(g->pools, SIDE * SIDE, f->now + (uint64_t)(rand() % 50) * MS);
		check_caps();
	}
	for (int round = 0; round < 400; round++) {
		waiting = 0;
		for (int i = 0; i < SIDE * SIDE; i++) {
			struct fake *f = &g->pools[i];

			fake_login_all(f);
			for (int k = 0; k < CLIENTS; k++) {
				if (f->clients[k].conn != NULL)
					fake_return(f, k);
				waiting += f->clients[k].waiter.waits != WAITS_NOT;
			}
		}
		check_caps();
		if (waiting == 0)
			break;
		fake_all_at(g->pools, SIDE * SIDE, g->pools[0].now + 10 * MS);
	}
	cr_assert_eq(waiting, 0, "seed %u: %d wait for ever", seed, waiting);
	grid_fini();
}

Test(policy_caps, nobody_waits_for_ever)
{
	for (unsigned seed = 1; seed <= 500; seed++)
		walk(seed);
}
