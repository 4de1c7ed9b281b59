/* tests/unit/test_policy_budget.c - a cap over several pools: nobody goes short while another has more than he needs.
 */
#include "policy_play.h"
#include "unit.h"

#define POOLS 16

struct several {
	struct policy_commons *commons;
	struct policy_worker *worker;
	struct policy_budget *budget;
	struct fake pools[POOLS];
	int count;
};

static struct several several_of_test, *const v = &several_of_test;

static void
several_init(int count, uint32_t limit)
{
	struct policy_settings set = fake_settings(20, 10);

	v->commons = policy_commons_new(1);
	v->worker = policy_worker_new(v->commons, 0, NULL, NULL, &fake_waiters);
	v->budget = v->worker->commons->total;
	policy_budget_set_limit(v->budget, v->worker, limit, 0);
	v->count = count;
	for (int i = 0; i < count; i++)
		fake_init(&v->pools[i], &set, v->worker);
}

static void
several_fini(void)
{
	if (v->commons == NULL)
		return;
	for (int i = 0; i < v->count; i++)
		policy_pause(v->pools[i].p, v->pools[i].now); /* nobody takes what another gives up */
	for (int i = 0; i < v->count; i++)
		fake_fini(&v->pools[i]);
	must_hold_at_the_end(policy_budget_used(v->budget) == 0, "all places are given back");
	policy_worker_free(v->worker);
	policy_commons_free(v->commons);
	v->commons = NULL;
}

TestSuite(policy_budget, .fini = several_fini);

/* "4 under 7": so many pools, and a cap. */
static bool
act(const struct play *play, void *world, struct fake *f, char *const *words)
{
	if (strcmp(words[0], "cap") == 0)
		policy_budget_set_limit(v->budget, v->worker, (uint32_t)play_number(play, words[1]), f->now);
	else if (strcmp(words[0], "all_now") == 0)
		for (int i = 0; i < v->count; i++)
			v->pools[i].now += play_number(play, words[1] + 1);
	else
		return false;
	return true;
}

static bool
read_value(void *world, struct fake *f, const char *name, uint64_t i, uint64_t *value)
{
	*value = 0;
	if (strcmp(name, "used") == 0)
		*value = policy_budget_used(v->budget);
	else if (strcmp(name, "all_opened") == 0)
		for (int k = 0; k < v->count; k++)
			*value += (uint64_t)v->pools[k].opened;
	else
		return false;
	return true;
}

static const struct rule rules[] = {
	{ "of 0 is none", "1 under 0", "a borrow 0-14; a opened=15" },
	{ "idle ones above a share are given up for who is below his", "3 under 6",
	  "a fill 0 2; b fill 0 4; a return 1 (one lent, one idle: within its share of 2); b return 0-3; all +100ms "
	  "(not in use any more: all four may go); c borrow 0; b closed=1 (the pool with most idle ones); b "
	  "closed_which[0]=0 (its coldest); b recycles[evicted]=1; c opened=0 (not from within); all +0; c opened=1; c "
	  "borrow 1-9; all +0; a closed=0; b closed=3 (up to a share of 3: two pools are in use)" },
	{ "with none idle a pool above its share closes what is returned", "2 under 4",
	  "a fill 0 4; a borrow 4 (it has waiters of its own); b borrow 0-2; a return 0; a return 1; a "
	  "recycles[evicted]=2; all +0; b opened=2; a return 2; a holds[4]=2 (its share of 2 stays its own)" },
	{ "what is idle within a share is left alone", "3 under 6",
	  "a fill 0 2; b fill 0 4; a return 0; c borrow 0; all +1s; a closed=0 (one lent, one idle, a share of 2); c "
	  "opened=0; b return 0; all +0; c opened=1 (from the one above its share)" },
	{ "a place that goes idle goes to who waits", "2 under 1",
	  "a fill 0 1; b borrow 0; a return 0; all +100ms-1; a closed=0 (it has its turn); all +1; a closed=1; b "
	  "opened=1; b login 0; all +100ms; a borrow 1; b return 0; all +0; a opened=2 (had its turn, and nobody there "
	  "needs it)" },
	{ "a lower limit closes idle ones now and others on return", "2 under 8",
	  "a fill 0 6; b fill 0 2; a return 0-1; cap 4; used=6; a borrow 10; b return 0; used=5 (it has no use for "
	  "it); a return 2; used=4; a holds[10]=-1; a return 3; a holds[10]=3; cap 5; a borrow 11; all +0; a "
	  "opened=7" },
	{ "a refusal names the shared cap", "2 under 2",
	  "a fill 0 1; b fill 0 1; b borrow 1; all +30s; b refusals[1]=1; b detail[1]='The pool has 1 of 30 "
	  "connections busy (20 + 10 overflow), and 1 client is waiting. max_server_connections is used up; other "
	  "pools have 1 of 2 as their share (share_weight, share_min).'; b hint[1]='See who keeps connections for "
	  "long: SHOW HOLDERS in the pgweir console. If "
	  "all of "
	  "them are at work, raise max_server_connections.'" },
	{ "who gets no place for an attempt is not told that one is under way", "2 under 1",
	  "a borrow 0; a at +5s; a fail 0 timeout; a refusals[0]=1; b fill 0 1; all +1s; a borrow 1; all +0; a "
	  "opened=1; a refusals[1]=1; a detail[1]='The last attempt failed 1 s ago, and no answer has come since.'" },
	{ "is never exceeded", "3 under 7",
	  "a borrow 0; b borrow 1; c borrow 2; a borrow 3; b borrow 4; c borrow 5; a borrow 6; b borrow 7; c borrow 8; "
	  "a borrow 9-29; b borrow 9-29; c borrow 9-29; used=7; a opened=3; b opened=2; c opened=2" },
	{ "one who does not need his place any more leaves it to the next", "3 under 1",
	  "a fill 0 1; b borrow 0; c borrow 0; a lose 0; b cancel 0; all +0; c opened=1" },
	{ "a free place goes to whom has fewest then to the longest waiter", "4 under 5",
	  "a fill 0 3; b fill 0 2; b borrow 10 (has 2, waits longest); all_now +1; d borrow 0 (has 0); all_now +1; c "
	  "borrow 0 (has 0, came last); a lose 0; a borrow 10 (a newcomer does not take it before the tick); all +0; d "
	  "opened=1; c opened=0; a lose 1; all +0; c opened=1" },
	{ "a higher limit serves those in line", "2 under 1",
	  "a borrow 0; b borrow 1; a borrow 2; b borrow 3; cap 3; all +0; all_opened=3; cap 0; all +0; all_opened=4" },
	{ "min idle takes only places nobody waits for", "2 under 4",
	  "a reload pool_size=10 max_overflow=0 min_idle=3; a borrow 0; all +0; a opened=4; a login 0-3; b borrow 0; b "
	  "borrow 1; all +0; b opened=2; all +10s; a opened=4" },
	{ "no more are closed than are missing", "2 under 6",
	  "a fill 0 6; a slow_to_close; b borrow 0; a return 0; a return 1; a closed=1; a closed_which[0]=0; a gone 0; "
	  "all +0; b opened=1" },
};

Test(policy_budget, rules)
{
	EACH(row, rules) {
		struct stage stage = { .pools = v->pools, .act = act, .read = read_value };
		unsigned cap;

		cr_assert_eq(sscanf(row->pool, "%d under %u", &stage.count, &cap), 2);
		several_init(stage.count, cap);
		play_steps(&stage, row->rule, row->steps);
		several_fini();
	}
}

Test(policy_budget, with_more_pools_than_places_a_place_is_passed_on_after_its_turn)
{
	int served[3] = { 0 };

	several_init(3, 1);
	for (int k = 0; k < 40; k++) {
		for (int i = 0; i < 3; i++)
			fake_borrow(&v->pools[i], k);
		fake_all_at(v->pools, v->count, v->pools[0].now + 1);
	}
	for (int turn = 0; turn < 60; turn++) { /* 20 ms each */
		for (int i = 0; i < 3; i++) {
			struct fake *f = &v->pools[i];

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
		fake_all_at(v->pools, v->count, v->pools[0].now + 20 * MS);
	}
	for (int i = 0; i < 3; i++) {
		cr_expect_gt(served[i], 10, "pool %d was served %d times", i, served[i]);
		cr_expect_leq(v->pools[i].opened, 5, "and not by opening each time anew");
	}
}

Test(policy_budget, the_end_of_a_turn_concerns_the_first_few_who_wait)
{
	int concerned = 0;

	several_init(POOLS, 1);
	fake_fill(&v->pools[0], 0, 1);
	fake_borrow(&v->pools[1], 0);
	fake_return(&v->pools[0], 0);
	for (int i = 2; i < POOLS; i++) {
		fake_all_at(v->pools, v->count, v->pools[0].now + MS);
		fake_borrow(&v->pools[i], 0);
	}
	for (int i = 1; i < POOLS; i++)
		concerned += fake_next(&v->pools[i]) <= v->pools[0].now + 100 * MS;
	cr_expect(concerned > 0 && concerned <= 8, "%d", concerned);
	fake_all_at(v->pools, v->count, v->pools[0].now + 100 * MS);
	cr_expect_eq(v->pools[0].closed, 1);
	cr_expect_eq(v->pools[1].opened, 1, "the longest waiter");
}

Test(policy_budget, a_pool_that_is_used_now_and_again_keeps_its_connections_in_between)
{
	several_init(2, 4);
	fake_fill(&v->pools[0], 0, 1);
	for (int i = 0; i < 10; i++)
		fake_borrow(&v->pools[1], i); /* would take all four */
	for (int i = 0; i < 3; i++)
		fake_opened(&v->pools[1], i);
	for (int turn = 0; turn < 50; turn++) {
		fake_return(&v->pools[0], 0);
		fake_all_at(v->pools, v->count, v->pools[0].now + 20 * MS);
		cr_assert(fake_borrow(&v->pools[0], 0));
	}
	cr_expect_eq(v->pools[0].closed + v->pools[1].closed, 0);
	fake_return(&v->pools[0], 0);
	fake_all_at(v->pools, v->count, v->pools[0].now + 100 * MS);
	cr_expect_eq(v->pools[0].closed, 1, "nobody comes any more");
	cr_expect_eq(v->pools[1].opened, 4);
}

/* Pool i gets weights[i] and minima[i]. */
static void
set_claims(const uint32_t weights[static POOLS], const uint32_t minima[static POOLS])
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
	several_init(2, 1);
	fake_borrow(&v->pools[0], 0);
	fake_opened(&v->pools[0], 0);
	fake_borrow(&v->pools[1], 0); /* waits for the only place */
	policy_budget_set_limit(v->budget, v->worker, 2,
				v->pools[0].now); /* it is to be looked at now, and is not yet */
	cr_expect_eq(v->pools[1].due, v->pools[1].now);
	v->count = 3;
	fake_init(&v->pools[2], &(struct policy_settings){ .pool_size = 1 }, v->worker);
	cr_expect_eq(v->pools[1].due, v->pools[1].now);
	fake_all_at(v->pools, v->count, v->pools[0].now + 1);
	cr_expect_eq(v->pools[1].opened, 1);
}

Test(policy_budget, places_go_by_weight)
{
	static const uint32_t weights[POOLS] = { 3, 1, 2 }, minima[POOLS] = { 0 };

	several_init(3, 12);
	set_claims(weights, minima);
	fake_fill(&v->pools[1], 0, 12);
	cr_expect_eq(v->pools[1].opened, 12, "all are free for who comes first");
	for (int i = 0; i < 12; i++) {
		fake_borrow(&v->pools[0], i);
		fake_borrow(&v->pools[2], i);
	}
	for (int i = 0; i < 12; i++) {
		fake_return(&v->pools[1], i);
		fake_all_at(v->pools, v->count, v->pools[1].now);
	}
	cr_expect_eq(v->pools[0].opened, 6);
	cr_expect_eq(v->pools[2].opened, 4);
	cr_expect_eq(v->pools[1].counters.recycles[RR_EVICTED], 10, "its share of 2 stays its own");
}

Test(policy_budget, a_guaranteed_minimum_comes_before_all_shares)
{
	static const uint32_t weights[POOLS] = { 1, 1, 1, 1 }, minima[POOLS] = { 0, 0, 0, 4 };

	several_init(4, 6);
	set_claims(weights, minima);
	for (int p = 0; p < 2; p++)
		fake_fill(&v->pools[p], 0, 3);
	for (int i = 0; i < 9; i++)
		fake_borrow(&v->pools[3], i);
	for (int i = 0; i < 3; i++) {
		for (int p = 0; p < 2; p++)
			fake_return(&v->pools[p], i);
		fake_all_at(v->pools, v->count, v->pools[0].now);
	}
	cr_expect_eq(v->pools[3].opened, 4, "its own; the others keep one place each for their turn");
}

Test(policy_budget, more_guaranteed_than_there_is_starves_nobody)
{
	static const uint32_t weights[POOLS] = { 1, 1, 1 }, minima[POOLS] = { 10, 10, 0 };

	several_init(3, 4);
	set_claims(weights, minima);
	fake_fill(&v->pools[0], 0, 4);
	for (int i = 0; i < 4; i++)
		fake_borrow(&v->pools[1], i);
	fake_borrow(&v->pools[2], 0);
	for (int i = 0; i < 4; i++) {
		fake_all_at(v->pools, v->count, v->pools[0].now + 200 * MS);
		fake_return(&v->pools[0], i);
		fake_all_at(v->pools, v->count, v->pools[0].now);
	}
	cr_expect_geq(v->pools[1].opened, 2);
	cr_expect_eq(v->pools[2].opened, 1);
}
