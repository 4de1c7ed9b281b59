/*
 * tests/unit/test_policy_keeper.c - a budget of several processes: pools that have no places but those that were
 * granted for them, and what their keeper sees of them and is told.
 */
#include "policy/policy_circuit.h"
#include "policy/policy_keeper.h"
#include "policy/policy_shard.h"
#include "policy_play.h"
#include "unit.h"

#define POOLS 3
#define KEEPER 31 /* the number of its policy worker */
#define NOBODY UINT32_MAX /* no share: it may have any number */

/* Pools on one worker, whose policy worker is the main worker; pool 2 may be on another one. */
struct kept {
	struct policy_commons *commons;
	struct policy_worker *main_worker, *far, *keeper;
	int told, far_told;
	uint32_t questions;
	struct policy_budget *budget;
	struct fake pools[POOLS];
};

static struct kept kept, *const k = &kept;

static void
on_told(void *owner)
{
	++*(int *)owner;
}

static void
ignore(void *owner)
{
}

static uint64_t
now_of(void)
{
	return k->pools[0].now;
}

static void
keep(bool is_binding)
{
	policy_budget_set_keeper(k->budget, k->main_worker, k->keeper, is_binding, now_of());
}

/* far_pools: so many of them, from the last one on, are on the other worker. */
static void
kept_init(int far_pools)
{
	struct policy_settings set = fake_settings(30, 0);

	memset(k, 0, sizeof(*k));
	k->commons = policy_commons_new(1);
	k->main_worker = policy_worker_new(k->commons, 0, ignore, NULL, &fake_waiters);
	k->far = policy_worker_new(k->commons, 1, on_told, &k->far_told, &fake_waiters);
	k->keeper = policy_worker_new(k->commons, KEEPER, on_told, &k->told, &fake_waiters);
	k->budget = policy_budget_new(0);
	for (int i = 0; i < POOLS; i++) {
		fake_init(&k->pools[i], &set, i < POOLS - far_pools ? k->main_worker : k->far);
		policy_set_cap(k->pools[i].p, CAP_HOST, k->budget, k->pools[i].now);
	}
	keep(true);
}

static void
kept_fini(void)
{
	if (k->commons == NULL)
		return;
	for (int i = 0; i < POOLS; i++)
		policy_pause(k->pools[i].p, k->pools[i].now);
	for (int i = 0; i < POOLS; i++)
		fake_fini(&k->pools[i]);
	must_hold_at_the_end(policy_budget_used(k->budget) == 0, "all places are given back");
	policy_budget_free(k->budget);
	policy_worker_free(k->main_worker);
	policy_worker_free(k->far);
	policy_worker_free(k->keeper);
	policy_commons_free(k->commons);
	k->commons = NULL;
}

TestSuite(policy_keeper, .fini = kept_fini);

/* That time comes, and what is ordered is done. */
static void
all_at(uint64_t now)
{
	for (int turn = 0; turn < POOLS; turn++) /* one may wake another */
		for (int i = 0; i < POOLS; i++) {
			policy_worker_run_orders(k->pools[i].worker, k->pools[i].now);
			fake_at(&k->pools[i], now);
		}
}

static void
grant(uint32_t more, uint32_t share, bool is_full)
{
	struct budget_news news = { .share = share, .is_full = is_full, .questions = ++k->questions };

	policy_budget_grant(k->budget, k->main_worker, more, &news, now_of());
	all_at(now_of());
}

/* Clients 0 to n - 1 of a pool get one each. */
static void
fill(int pool, int n)
{
	for (int i = 0; i < n; i++)
		fake_borrow(&k->pools[pool], i);
	grant((uint32_t)n, NOBODY, false);
	fake_login_all(&k->pools[pool]);
	for (int i = 0; i < n; i++)
		cr_assert_geq(fake_holds(&k->pools[pool], i), 0, "client %d of pool %d", i, pool);
}

static void
return_all(int pool, int n)
{
	for (int i = 0; i < n; i++)
		fake_return(&k->pools[pool], i);
}

static int
closed(void)
{
	int sum = 0;

	for (int i = 0; i < POOLS; i++)
		sum += k->pools[i].closed;
	return sum;
}

/* The count is as told here, but for taken. */
static void
expect_count(const char *when, struct budget_counts want)
{
	struct budget_counts is = policy_budget_expire_and_count(k->budget, k->main_worker, now_of());

	cr_expect(is.used == want.used && is.opening == want.opening && is.granted == want.granted &&
		      is.short_count == want.short_count && is.is_in_use == want.is_in_use,
		  "%s: used %u, opening %u, granted %u, short %u, in use %d", when, is.used, is.opening, is.granted,
		  is.short_count, is.is_in_use);
}

static uint32_t
word_number(const struct play *play, char *const *words, const char *name, uint32_t otherwise)
{
	for (size_t len = strlen(name); **words != '\0'; words++)
		if (strncmp(*words, name, len) == 0)
			return (*words)[len] == '=' ? (uint32_t)play_number(play, *words + len + 1) : 1;
	return otherwise;
}

/* "grant 2 share=3 full", "count used=2 short=1 in_use": what is not named is 0, and the share nobody's. */
static bool
act(const struct play *play, void *world, struct fake *f, char *const *words)
{
	uint32_t n = *words[1] >= '0' && *words[1] <= '9' ? (uint32_t)play_number(play, words[1]) : 0;

	if (strcmp(words[0], "get") == 0)
		fill((int)(f - k->pools), (int)n);
	else if (strcmp(words[0], "login_all") == 0)
		fake_login_all(f);
	else if (strcmp(words[0], "grant") == 0)
		grant(n, word_number(play, words, "share", NOBODY), word_number(play, words, "full", false));
	else if (strcmp(words[0], "ungrant") == 0)
		policy_budget_ungrant(k->budget, k->main_worker, n);
	else if (strcmp(words[0], "count") == 0)
		expect_count(play_text(play),
			     (struct budget_counts){ .used = word_number(play, words, "used", 0),
						     .opening = word_number(play, words, "opening", 0),
						     .granted = word_number(play, words, "granted", 0),
						     .short_count = word_number(play, words, "short", 0),
						     .is_in_use = word_number(play, words, "in_use", 0) });
	else
		return false;
	return true;
}

static bool
read_value(void *world, struct fake *f, const char *name, uint64_t i, uint64_t *value)
{
	if (strcmp(name, "used") == 0)
		*value = policy_budget_used(k->budget);
	else if (strcmp(name, "taken") == 0)
		*value = policy_budget_expire_and_count(k->budget, k->main_worker, now_of()).taken;
	else if (strcmp(name, "all_closed") == 0)
		*value = (uint64_t)closed();
	else if (strcmp(name, "all_opened") == 0)
		*value = (uint64_t)(k->pools[0].opened + k->pools[1].opened + k->pools[2].opened);
	else
		return false;
	return true;
}

static const struct rule rules[] = {
	{ "without a grant there is no place", NULL,
	  "a borrow 0; b borrow 0; c borrow 0; a reload min_idle=5; all +10s; a opened=0; b opened=0; c opened=0; "
	  "grant 2; all_opened=2; used=2" },
	{ "the count follows each step", NULL,
	  "count (at first); a borrow 0-2; count short=3 in_use (three wait); grant 2; count used=2 opening=2 short=1 "
	  "in_use (two open); a login 0; count used=2 opening=1 short=1 in_use (one has logged in); a fail 1 other; "
	  "count used=1 in_use (one could not: its place is gone); all +1s; count used=1 short=1 in_use (one is tried "
	  "at first); a cancel 1; a cancel 2; count used=1 in_use (nobody waits); grant 4; count used=1 granted=4 "
	  "in_use (granted too late); a return 0; a slow_to_close; a close_all reload; count used=1 granted=4 in_use "
	  "(it closes); a gone 0; taken=2; count granted=4 (it is gone)" },
	{ "a place of one that is gone is nobodys here", NULL,
	  "a get 3; a borrow 3; b borrow 0; a lose 0; all +1s; a opened=3; b opened=0; count used=2 short=2 in_use (it "
	  "may be another process s); grant 1; all_opened=4" },
	{ "no more than the share are opened whatever is granted", NULL,
	  "a borrow 0-7; grant 5 share=3; a opened=3; count used=3 opening=3 granted=2 short=5 in_use (a share of 3); "
	  "grant 0 share=4; a opened=4; grant 0; a opened=5 (no share, but no more places)" },
	{ "places that nobody took can be given back", NULL,
	  "grant 5; ungrant 9; count granted=5 (fewer than that anyway); ungrant 2; count granted=2 (two are left); a "
	  "borrow 0-4; all +0; a opened=2; ungrant 0; count used=2 opening=2 short=3 in_use (those that are open "
	  "stay)" },
	{ "idle ones above the share are given up and others when they are returned", NULL,
	  "a get 8; a return 0-1; grant 0 share=5; a closed=2 (the idle ones); a return 2; a closed=3 (8 - 5); a "
	  "recycles[evicted]=3; a return 3; a return 4; all +1s; a closed=3 (the share stays); used=5" },
	{ "a share of nothing closes all that is idle", NULL,
	  "a get 3; b get 2; a return 0-2; b return 0-1; all +1s; grant 0 share=0 full; all_closed=5; a borrow 0; all "
	  "+0; count short=1 in_use (somebody comes back)" },
	{ "with a share of nothing what is returned is closed whoever waits", NULL,
	  "a get 1; a borrow 1; grant 0 share=1 full; a return 0; a holds[1]!=-1 (with a share of one it is kept); a "
	  "borrow 0; grant 0 share=0 full; all_closed=0 (it is lent); a return 1; all_closed=1; grant 1 share=1; a "
	  "login_all; a holds[0]!=-1 (the next turn); a return 0" },
	{ "as long as more may be granted no pool gives one up for another", NULL,
	  "a get 6; a return 0-5; all +1s (not in use any more: all six may go); b borrow 0; all +1s; all_closed=0; "
	  "grant 0 full; all_closed=1 (for one who waits); b opened=0 (the place is to be asked for); grant 1; b "
	  "opened=1; all_closed=1" },
	{ "when all are used what a pool above its share gets back goes", NULL,
	  "a get 6; b borrow 0-1; all +0; a return 0; all_closed=0 (more may be granted); a borrow 0; grant 0 full; a "
	  "return 0; a return 1; all_closed=2; used=4" },
};

Test(policy_keeper, rules)
{
	const struct stage stage = { .pools = k->pools, .count = POOLS, .hears = true, .act = act, .read = read_value };

	EACH(row, rules) {
		kept_init(0);
		play_steps(&stage, row->rule, row->steps);
		kept_fini();
	}
}

/* --- Places. --- */

Test(policy_keeper, min_idle_asks_for_one_at_a_time_that_nobody_else_wants)
{
	struct policy_settings set = fake_settings(30, 0);

	kept_init(0);
	fill(0, 1);
	set.min_idle = 2;
	grant(0, NOBODY, true);
	policy_reconfigure(k->pools[0].p, &set, now_of());
	k->pools[0].due = now_of();
	all_at(now_of() + S);
	expect_count("there is none left", (struct budget_counts){ .used = 1, .is_in_use = true });
	grant(0, NOBODY, false);
	k->pools[0].due = now_of();
	all_at(now_of() + S);
	expect_count("there may be one", (struct budget_counts){ .used = 1, .short_count = 1, .is_in_use = true });
	for (int n = 2; n <= 3; n++) {
		grant(1, NOBODY, false);
		cr_expect_eq(k->pools[0].opened, n);
		fake_login_all(&k->pools[0]);
		all_at(now_of());
	}
	expect_count("both are there", (struct budget_counts){ .used = 3, .is_in_use = true });
}

/* --- Above the share. --- */

/* Connections on their way out, and places granted meanwhile, once made it give up twelve where seven were too many. */
Test(policy_keeper, no_more_are_given_up_than_are_above_the_share)
{
	for (int is_slow = 0; is_slow < 2; is_slow++) {

		kept_init(1);
		for (int i = 0; i < POOLS; i++) {
			fill(i, 7 - (i == 2));
			k->pools[i].is_slow_to_close = is_slow;
		}
		for (int i = 0; i < POOLS; i++)
			return_all(i, 7 - (i == 2));
		fake_borrow(&k->pools[1], 9); /* somebody is in use, and waits for nothing */
		for (int look = 0; look < 5; look++)
			grant(0, 13, look % 2 == 0);
		cr_expect_eq(closed(), 7, "%d of 20, with a share of 13", closed());
		for (int i = 0; i < POOLS; i++)
			for (int c = 0; c < k->pools[i].opened; c++)
				if (k->pools[i].conns[c].state == PC_CLOSING)
					policy_conn_gone(k->pools[i].p, &k->pools[i].conns[c], false, now_of());
		all_at(now_of() + S);
		cr_expect_eq(closed(), 7, "%d when these are gone", closed());
		cr_expect_eq(policy_budget_used(k->budget), 13);
		kept_fini();
	}
}

/* --- One pool for another. --- */

/* Each place that is gone may be another process's: only the answer to a question for it says so. */
Test(policy_keeper, another_one_is_given_up_when_the_first_was_granted_to_somebody_else)
{
	struct budget_news look = { .share = NOBODY, .is_full = true, .listed = 97 };

	kept_init(0);
	fill(0, 8);
	return_all(0, 8);
	all_at(now_of() + S);
	fake_borrow(&k->pools[1], 0);
	grant(0, NOBODY, true);
	cr_expect_eq(closed(), 1);
	look.questions = k->questions;
	policy_budget_grant(k->budget, k->main_worker, 0, &look, now_of());
	all_at(now_of() + S);
	cr_expect_eq(closed(), 1, "places were not asked for");
	grant(0, NOBODY, true);
	cr_expect_eq(closed(), 2);
	look.questions = k->questions;
	look.share = 4;
	policy_budget_grant(k->budget, k->main_worker, 0, &look, now_of());
	all_at(now_of());
	cr_expect_eq(closed(), 4, "what is above a share goes anyway");
}

/* --- Logins under way. --- */

Test(policy_keeper, what_is_abandoned_are_logins_alone)
{
	struct fake *near = &k->pools[0], *far = &k->pools[2];

	kept_init(1);
	fill(0, 3);
	fake_return(near, 0);
	fill(2, 2);
	for (int i = 3; i < 6; i++) {
		fake_borrow(near, i);
		fake_borrow(far, i);
	}
	grant(5, NOBODY, false);
	cr_expect_eq(fake_counts(near).opening + fake_counts(far).opening, 5);
	near->is_slow_to_close = far->is_slow_to_close = true;
	policy_budget_abandon_logins(k->budget, k->main_worker, now_of());
	cr_expect_eq(fake_counts(near).opening, 0);
	cr_expect_gt(fake_counts(far).opening, 0, "not on this thread");
	policy_worker_run_orders(k->far, now_of());
	cr_expect_eq(fake_counts(far).opening, 0);
	cr_expect_eq(near->closed + far->closed, 5);
	cr_expect_eq(fake_counts(near).idle + fake_counts(near).lent, 3);
	cr_expect_eq(fake_counts(far).lent, 2);
	cr_expect_eq(policy_budget_expire_and_count(k->budget, k->main_worker, now_of()).opening, 0);
}

/* The order has come, and is found when what has logged in is reported. */
Test(policy_keeper, what_has_just_logged_in_is_not_abandoned)
{
	struct policy_circuit *circuit;
	struct fake *far = &k->pools[2];

	kept_init(1);
	circuit = policy_circuit_get_or_create(k->commons, "db1:5432,any");
	policy_set_circuit(far->p, circuit, far->now);
	for (int i = 0; i < 2; i++)
		fake_borrow(far, i);
	grant(2, NOBODY, false);
	cr_assert_eq(fake_counts(far).opening, 2);
	policy_budget_abandon_logins(k->budget, k->main_worker, now_of());
	fake_opened(far, 0);
	cr_expect_geq(fake_holds(far, 0), 0);
	cr_expect_eq(fake_counts(far).lent, 1);
	cr_expect_eq(far->closed, 1, "the other one");
	fake_return(far, 0);
	policy_set_circuit(far->p, NULL, far->now);
	policy_circuit_put(k->commons, circuit);
}

/* --- Connections that no policy lends. --- */

/* A place that was counted first, and that there was not, is not on its way. */
Test(policy_keeper, others_that_get_no_place_are_not_opening)
{
	struct budget_member other = { 0 }, second = { 0 };

	kept_init(0);
	keep(false);
	policy_budget_set_limit(k->budget, k->main_worker, 1, now_of());
	policy_places_join(k->budget, &other, k->main_worker);
	policy_places_join(k->budget, &second, k->main_worker);
	cr_expect(policy_places_take(&other, now_of()));
	for (int i = 0; i < 3; i++)
		cr_expect_not(policy_places_take(&second, now_of()));
	cr_expect_eq(policy_budget_expire_and_count(k->budget, k->main_worker, now_of()).opening, 1,
		     "the first one's login");
	cr_expect(policy_budget_end_login(&other));
	cr_expect_eq(policy_budget_expire_and_count(k->budget, k->main_worker, now_of()).opening, 0);
	policy_places_give_back(&other, now_of());
	cr_expect(policy_places_take(&second, now_of()));
	policy_places_give_back(&second, now_of());
	policy_places_leave(&second);
	policy_places_leave(&other);
}

Test(policy_keeper, others_ask_for_places_too)
{
	struct budget_member other = { 0 };

	kept_init(0);
	policy_places_join(k->budget, &other, k->main_worker);
	cr_expect_not(policy_places_take(&other, now_of()));
	expect_count("one is asked for", (struct budget_counts){ .short_count = 1, .is_in_use = true });
	grant(1, NOBODY, false);
	expect_count("and held", (struct budget_counts){ .granted = 1, .short_count = 1 });
	fake_borrow(&k->pools[0], 0);
	all_at(now_of() + S);
	cr_expect_eq(k->pools[0].opened, 0, "it is not for pools");
	cr_expect(policy_places_take(&other, now_of()));
	expect_count("taken", (struct budget_counts){ .used = 1, .opening = 1, .short_count = 1, .is_in_use = true });
	cr_expect_not(policy_places_take(&other, now_of()), "there is no second one");
	cr_expect(policy_budget_end_login(&other));
	expect_count("logged in", (struct budget_counts){ .used = 1, .short_count = 2, .is_in_use = true });
	policy_places_give_back(&other, now_of());
	expect_count("gone", (struct budget_counts){ .short_count = 2, .is_in_use = true });
	policy_places_leave(&other);
}

Test(policy_keeper, what_was_abandoned_and_no_policy_lends_is_closed_when_its_login_ends)
{
	struct budget_member others[2] = { 0 };

	kept_init(0);
	for (int i = 0; i < 2; i++)
		policy_places_join(k->budget, &others[i], k->main_worker);
	grant(2, NOBODY, false);
	for (int i = 0; i < 2; i++)
		cr_expect(policy_places_take(&others[i], now_of()));
	cr_expect(policy_budget_end_login(&others[0]), "before");
	policy_budget_abandon_logins(k->budget, k->main_worker, now_of());
	cr_expect_eq(policy_budget_expire_and_count(k->budget, k->main_worker, now_of()).opening, 0);
	cr_expect_not(policy_budget_end_login(&others[1]));
	cr_expect_eq(policy_budget_used(k->budget), 2, "until it is closed");
	for (int i = 0; i < 2; i++) {
		policy_places_give_back(&others[i], now_of());
		policy_places_leave(&others[i]);
	}
}

Test(policy_keeper, what_others_have_is_no_share_of_pools)
{
	struct budget_member others[3] = { 0 };

	kept_init(0);
	for (int i = 0; i < 3; i++)
		policy_places_join(k->budget, &others[i], k->main_worker);
	fill(0, 2);
	fake_borrow(&k->pools[0], 2);
	cr_expect_not(policy_places_take(&others[0], now_of()));
	cr_expect_not(policy_places_take(&others[1], now_of()));
	grant(2, 4, true);
	cr_expect(policy_places_take(&others[0], now_of()));
	cr_expect(policy_places_take(&others[1], now_of()));
	cr_expect_not(policy_places_take(&others[2], now_of()));
	grant(0, 3, true);
	fake_return(&k->pools[0], 0);
	cr_expect_eq(closed(), 1, "of two, though somebody waits");
	fake_return(&k->pools[0], 1);
	cr_expect_eq(closed(), 1);
	cr_expect_geq(fake_holds(&k->pools[0], 2), 0);
	fake_return(&k->pools[0], 2);
	for (int i = 0; i < 3; i++) {
		if (i < 2)
			policy_places_give_back(&others[i], now_of());
		policy_places_leave(&others[i]);
	}
}

Test(policy_keeper, a_place_that_is_held_goes_after_two_seconds_to_who_waits)
{
	struct budget_member other = { 0 };

	kept_init(0);
	policy_places_join(k->budget, &other, k->main_worker);
	fake_borrow(&k->pools[0], 0);
	cr_expect_not(policy_places_take(&other, now_of()));
	grant(1, NOBODY, true);
	all_at(now_of() + 2 * S - 1);
	policy_budget_expire_and_count(k->budget, k->main_worker, now_of());
	all_at(now_of());
	cr_expect_eq(k->pools[0].opened, 0);
	all_at(now_of() + 1);
	policy_budget_expire_and_count(k->budget, k->main_worker, now_of()); /* its keeper looks */
	all_at(now_of());
	cr_expect_eq(k->pools[0].opened, 1);
	cr_expect_not(policy_places_take(&other, now_of()));
	policy_places_leave(&other);
}

Test(policy_keeper, one_who_asks_and_never_comes_back_is_forgotten)
{
	struct budget_member other = { 0 };

	kept_init(0);
	policy_places_join(k->budget, &other, k->main_worker);
	for (int i = 0; i < 100; i++)
		cr_expect_not(policy_places_take(&other, now_of()));
	cr_expect_leq(policy_budget_expire_and_count(k->budget, k->main_worker, now_of()).short_count, 8,
		      "of a few at once");
	all_at(now_of() + 2 * S);
	expect_count("two seconds later", (struct budget_counts){ 0 });
	policy_places_leave(&other);
}

Test(policy_keeper, a_free_place_that_no_pool_waits_for_is_taken_at_once)
{
	struct budget_member other = { 0 };

	kept_init(0);
	policy_places_join(k->budget, &other, k->main_worker);
	grant(1, NOBODY, false);
	cr_expect(policy_places_take(&other, now_of()));
	cr_expect_not(policy_places_take(&other, now_of()));
	policy_places_give_back(&other, now_of());
	policy_places_leave(&other);
}

Test(policy_keeper, a_place_that_was_held_is_gone_with_its_grant)
{
	struct budget_member other = { 0 };

	kept_init(0);
	policy_places_join(k->budget, &other, k->main_worker);
	cr_expect_not(policy_places_take(&other, now_of()));
	grant(1, NOBODY, false);
	keep(true); /* the keeper has lost its connection, and with it the mark for the grant */
	cr_expect_not(policy_places_take(&other, now_of()));
	cr_expect_eq(policy_budget_used(k->budget), 0);
	policy_places_leave(&other);
}

/* --- More than one worker. --- */

Test(policy_keeper, pools_of_another_worker_are_told)
{
	struct fake *far = &k->pools[2];
	struct budget_news news = { .share = NOBODY };

	kept_init(1);
	fake_borrow(far, 0);
	k->far_told = 0;
	policy_worker_run_orders(k->far, now_of());
	policy_budget_grant(k->budget, k->main_worker, 1, &news, now_of());
	cr_expect_eq(k->far_told, 1);
	cr_expect_eq(far->opened, 0, "not on this thread");
	policy_worker_run_orders(k->far, now_of());
	fake_at(far, far->now);
	cr_expect_eq(far->opened, 1);
	fake_login_all(far);
	fake_return(far, 0);
	k->far_told = 0;
	news.share = 0;
	policy_budget_grant(k->budget, k->main_worker, 0, &news, now_of());
	cr_expect_eq(k->far_told, 1);
	cr_expect_eq(far->closed, 0);
	policy_worker_run_orders(k->far, now_of());
	cr_expect_eq(far->closed, 1);
}

Test(policy_keeper, shards_of_one_pool_share_what_is_granted)
{
	struct fake *near = &k->pools[0], *far = &k->pools[2];
	struct policy_shared *shared;

	kept_init(1);
	shared = policy_shared_get(k->commons, "app", 3, true);
	policy_set_shared(near->p, shared, near->now);
	policy_set_shared(far->p, shared, far->now);
	for (int i = 0; i < 2; i++) {
		fake_borrow(near, i);
		fake_borrow(far, i);
	}
	all_at(now_of() + 10 * MS);
	grant(3, NOBODY, false);
	cr_expect_eq(near->opened + far->opened, 3, "%d and %d", near->opened, far->opened);
	cr_expect_gt(far->opened, 0);
	expect_count("of both parts",
		     (struct budget_counts){ .used = 3, .opening = 3, .short_count = 1, .is_in_use = true });
	policy_set_shared(near->p, NULL, near->now);
	policy_set_shared(far->p, NULL, far->now);
	policy_shared_put(k->commons, shared);
}

/* --- Without a keeper, and with one that only counts. --- */

Test(policy_keeper, without_a_keeper_it_is_a_cap_without_a_limit)
{
	struct fake *f = &k->pools[0];

	kept_init(0);
	for (int i = 0; i < 6; i++)
		fake_borrow(f, i);
	grant(2, 2, true);
	cr_expect_eq(f->opened, 2);
	k->told = 0;
	policy_budget_set_keeper(k->budget, k->main_worker, NULL, false, now_of());
	all_at(now_of());
	cr_expect_eq(f->opened, 6);
	fake_login_all(f);
	cr_expect_eq(k->told, 0, "nobody keeps it");
	keep(false);
	expect_count("kept again", (struct budget_counts){ .used = 6, .is_in_use = true });
}

Test(policy_keeper, one_that_only_counts_holds_nothing_back)
{
	struct budget_counts count;

	kept_init(0);
	keep(false);
	for (int i = 0; i < 6; i++)
		fake_borrow(&k->pools[i % POOLS], i);
	grant(0, NOBODY, true);
	count = policy_budget_expire_and_count(k->budget, k->main_worker, now_of());
	cr_expect_eq(count.used, 6);
	cr_expect_eq(count.opening, 6);
	cr_expect_eq(count.taken, 6);
	keep(true);
	fake_borrow(&k->pools[0], 7);
	all_at(now_of());
	cr_expect_eq(policy_budget_used(k->budget), 6, "what is open stays, and no more is opened");
	cr_expect_eq(closed(), 0);
}

/* --- What its keeper is told. --- */

/* Returns how often it was told since it heard last. */
static int
told(void)
{
	int n = k->told;

	k->told = 0;
	policy_worker_run_orders(k->keeper, now_of());
	cr_expect_eq(k->told, 0, "nothing is ordered there");
	return n;
}

Test(policy_keeper, its_keeper_is_told_once_of_what_changes_the_count_and_of_nothing_else)
{
	struct budget_member other = { 0 };
	struct fake *f = &k->pools[0];

	kept_init(0);
	told();
	fake_borrow(f, 0);
	cr_expect_eq(told(), 1, "somebody waits");
	all_at(now_of() + 5 * S);
	cr_expect_eq(told(), 0, "he still does");
	fake_borrow(f, 1);
	fake_borrow(f, 2);
	cr_expect_eq(told(), 1, "two more: once until it has heard");
	grant(2, NOBODY, false);
	told();
	fake_opened(f, 0);
	cr_expect_eq(told(), 1, "a login has ended");
	fake_return(f, 0);
	cr_expect_eq(fake_holds(f, 1), 0);
	cr_expect_eq(told(), 1, "one waiter less");
	policy_cancel(f->p, &f->clients[2].waiter, now_of());
	cr_expect_eq(told(), 0, "what he waited for is opened already");
	fake_opened(f, 1);
	told();
	fake_return(f, 1);
	for (int i = 0; i < 10; i++) {
		cr_assert(fake_borrow(f, 5));
		fake_return(f, 5);
		all_at(now_of() + S);
	}
	cr_expect_eq(told(), 0, "loans are nothing to it");
	policy_conn_gone(f->p, &f->conns[0], false, now_of());
	cr_expect_eq(told(), 1, "one is gone");
	policy_places_join(k->budget, &other, k->main_worker);
	cr_expect_eq(told(), 0);
	policy_places_take(&other, now_of());
	cr_expect_eq(told(), 1, "another one asks for a place");
	grant(1, NOBODY, false);
	told();
	cr_assert(policy_places_take(&other, now_of()));
	told();
	policy_budget_end_login(&other);
	cr_expect_eq(told(), 1, "another's login has ended");
	policy_places_give_back(&other, now_of());
	cr_expect_eq(told(), 1, "and it is gone");
	policy_places_leave(&other);
}

/* --- All of it, in any order. --- */

#define SCHEDULES 4000
#define STEPS 150
#define CLIENTS 8 /* of each pool */

struct schedule {
	struct policy_circuit *circuit;
	uint64_t random, seed;
	uint64_t given; /* places */
	bool may_share; /* shares are told */
};

static uint32_t
below(struct schedule *s, uint32_t n)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (uint32_t)(s->random >> 33) % n;
}

/* Returns the number of one in that state, from a random one on; -1: there is none. */
static int
any_conn(struct schedule *s, const struct fake *f, enum policy_conn_state state)
{
	uint32_t from = f->opened > 0 ? below(s, (uint32_t)f->opened) : 0;

	for (int i = 0; i < f->opened; i++) {
		int c = (int)((from + (uint32_t)i) % (uint32_t)f->opened);

		if (f->conns[c].state == state)
			return c;
	}
	return -1;
}

static void
ask_or_return(struct schedule *s, struct fake *f)
{
	int i = (int)below(s, CLIENTS);

	if (fake_holds(f, i) >= 0) {
		fake_return(f, i);
	} else {
		policy_cancel(f->p, &f->clients[i].waiter, f->now);
		fake_borrow(f, i);
	}
}

static void
report_login(struct schedule *s, struct fake *f)
{
	int c = any_conn(s, f, below(s, 4) > 0 ? PC_OPENING : PC_CHECKING);

	if (c >= 0 && below(s, 4) > 0)
		fake_opened(f, c);
	else if (c >= 0)
		fake_failed(f, c, below(s, 2) > 0 ? CF_REFUSED : CF_OTHER, false);
}

static void
lose_one(struct schedule *s, struct fake *f)
{
	int c = any_conn(s, f, below(s, 2) > 0 ? PC_IDLE : PC_CLOSING);

	if (c >= 0)
		policy_conn_gone(f->p, &f->conns[c], below(s, 2) > 0, f->now);
}

static void
give(struct schedule *s)
{
	struct budget_news news = { .share = NOBODY, .is_full = below(s, 2) > 0, .is_pressed = below(s, 2) > 0 };
	uint32_t more = below(s, 4);

	if (s->may_share && below(s, 2) > 0)
		news.share = below(s, 6);
	news.questions = ++k->questions;
	s->given += more;
	policy_budget_grant(k->budget, k->main_worker, more, &news, now_of());
}

static void
any_step(struct schedule *s)
{
	uint32_t what = below(s, 64);
	struct fake *f = &k->pools[below(s, POOLS)];

	if (what < 22)
		ask_or_return(s, f);
	else if (what < 36)
		report_login(s, f);
	else if (what < 40)
		lose_one(s, f);
	else if (what < 48)
		give(s);
	else if (what < 50)
		policy_budget_ungrant(k->budget, k->main_worker, below(s, 3));
	else if (what < 53)
		policy_budget_abandon_logins(k->budget, k->main_worker, now_of());
	else if (what < 54)
		keep(true);
	else if (what < 58)
		policy_worker_run_orders(f->worker, f->now);
	else
		all_at(now_of() + below(s, 200 * MS));
}

static void
check(struct schedule *s, const char *when)
{
	struct budget_counts count = policy_budget_expire_and_count(k->budget, k->main_worker, now_of());
	uint32_t used = 0, opening = 0, lent = 0;

	for (int i = 0; i < POOLS; i++) {
		const struct fake *f = &k->pools[i];

		for (int c = 0; c < f->opened; c++) {
			used += f->conns[c].state != PC_NONE;
			opening += f->conns[c].state == PC_OPENING || f->conns[c].state == PC_CHECKING;
			lent += f->conns[c].state == PC_LENT;
		}
		for (int c = 0; c < CLIENTS; c++)
			lent -= fake_holds(f, c) >= 0;
	}
	cr_assert(count.used == used && count.opening == opening, "seed %lu, %s: used %u of %u, opening %u of %u",
		  s->seed, when, count.used, used, count.opening, opening);
	cr_assert_eq(lent, 0, "seed %lu, %s: lent to nobody", s->seed, when);
	cr_assert_leq(count.taken, s->given, "seed %lu, %s: opened without a grant", s->seed, when);
}

/* Grants are there for all, and whoever is in line is served. */
static void
serve_all(struct schedule *s)
{
	for (int round = 0; round < 60; round++) {
		s->given += 2;
		grant(2, NOBODY, false);
		for (int i = 0; i < POOLS; i++) {
			fake_login_all(&k->pools[i]);
			for (int c = 0; c < CLIENTS; c++)
				if (fake_holds(&k->pools[i], c) >= 0)
					fake_return(&k->pools[i], c);
		}
		all_at(now_of() + 100 * MS);
		check(s, "at the end");
	}
	for (int i = 0; i < POOLS; i++)
		cr_assert_eq(fake_counts(&k->pools[i]).waiting, 0, "seed %lu: pool %d waits", s->seed, i);
}

static void
play(struct schedule *s, uint64_t seed)
{
	*s = (struct schedule){ .random = seed * 0x9e3779b97f4a7c15u, .seed = seed };
	kept_init((int)below(s, POOLS));
	s->may_share = below(s, 2) > 0;
	s->circuit = policy_circuit_get_or_create(k->commons, "db1:5432,any");
	for (int i = 0; i < POOLS; i++) {
		k->pools[i].is_slow_to_close = below(s, 3) == 0;
		policy_set_circuit(k->pools[i].p, s->circuit, now_of());
	}
	for (int step = 0; step < STEPS; step++) {
		any_step(s);
		check(s, "on the way");
	}
	for (int i = 0; i < POOLS; i++)
		k->pools[i].is_slow_to_close = false;
	for (int i = 0; i < POOLS; i++)
		for (int c; (c = any_conn(s, &k->pools[i], PC_CLOSING)) >= 0;)
			policy_conn_gone(k->pools[i].p, &k->pools[i].conns[c], false, now_of());
	serve_all(s);
	for (int i = 0; i < POOLS; i++)
		policy_set_circuit(k->pools[i].p, NULL, now_of());
	policy_circuit_put(k->commons, s->circuit);
	kept_fini();
}

Test(policy_keeper, whatever_comes_in_any_order)
{
	struct schedule *s = calloc(1, sizeof(*s));
	const char *seed = getenv("PGWEIR_SIM_SEED");

	cr_assert_not_null(s);
	for (uint64_t i = 1; seed == NULL && i <= SCHEDULES; i++)
		play(s, i);
	if (seed != NULL)
		play(s, strtoull(seed, NULL, 10));
	free(s);
}
