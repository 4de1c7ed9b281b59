/*
 * tests/unit/test_policy_shared.c - a pool on several workers: which shard gets what, one step at a time; and real
 * threads, none of which may miss what another one tells. Everything at random on one thread: test_policy_sim.c.
 */
#include "policy/policy_circuit.h"
#include "policy/policy_shard.h"
#include "policy_play.h"
#include "threads.h"

#include "base/clock.h"
#include "unit.h"

#include <sched.h>

/* --- Two workers, one step at a time. --- */

#define PARTS 2

struct two {
	struct policy_commons *commons;
	struct policy_worker *workers[PARTS];
	int told[PARTS];
	struct policy_shared *shared;
	struct fake shards[PARTS];
	struct policy_conn *coming[4], *came; /* on their way, the first on top; and the one that has arrived last */
	unsigned coming_count;
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

	memset(t, 0, sizeof(*t));
	t->commons = policy_commons_new(1);
	t->shared = policy_shared_get(t->commons, "app", 3, true);
	for (int i = 0; i < PARTS; i++) {
		t->workers[i] = policy_worker_new(t->commons, (unsigned)i, on_told, &t->told[i], &fake_waiters);
		fake_init(&t->shards[i], &set, t->workers[i]);
		policy_set_shared(t->shards[i].p, t->shared, t->shards[i].now);
	}
}

static void
hear(struct two *t, int i)
{
	cr_expect_eq(t->told[i], 1, "worker %d was told %d times", i, t->told[i]);
	t->told[i] = 0;
	policy_worker_run_orders(t->workers[i], t->shards[i].now);
	fake_at(&t->shards[i], t->shards[i].now);
}

/* Returns the one that from gave last, to the worker with this number. */
static struct policy_conn *
given(struct two *t, int from, int to)
{
	struct fake *f = &t->shards[from];

	cr_assert_gt(f->given, 0, "worker %d gave nothing", from);
	cr_expect_eq(f->given_to, t->workers[to]);
	cr_expect_eq(f->given_last->state, PC_NONE);
	return f->given_last;
}

static void
pass_time(struct two *t, uint64_t us)
{
	for (int i = 0; i < PARTS; i++)
		fake_at(&t->shards[i], t->shards[i].now + us);
}

/* own: connections that were opened by another worker and are here. */
static void
two_fini(struct two *t)
{
	for (int i = 0; i < PARTS; i++)
		policy_pause(t->shards[i].p, t->shards[i].now);
	for (int i = 0; i < PARTS; i++)
		fake_fini(&t->shards[i]);
	cr_expect_eq(t->shared->used, 0);
	policy_shared_put(t->commons, t->shared);
	for (int i = 0; i < PARTS; i++)
		policy_worker_free(t->workers[i]);
	policy_commons_free(t->commons);
}

static void
cap(struct two *t, uint32_t limit)
{
	policy_budget_set_limit(t->workers[0]->commons->total, t->workers[0], limit, t->shards[0].now);
}

/* Returns how many places are taken under it. */
static uint32_t
capped(const struct two *t)
{
	return policy_budget_used(t->workers[0]->commons->total);
}

static struct policy_conn *
next_coming(struct two *t)
{
	cr_assert_gt(t->coming_count, 0, "nothing is on its way");
	t->came = t->coming[0];
	memmove(t->coming, t->coming + 1, --t->coming_count * sizeof(t->coming[0]));
	return t->came;
}

/* Without the times of a step. Returns false if it is none of these. */
static bool
transfer(struct two *t, struct fake *f, char *const *words)
{
	int i = (int)(f - t->shards);

	if (strcmp(words[0], "gives") == 0)
		t->coming[t->coming_count++] = given(t, i, *words[1] - 'a');
	else if (strcmp(words[0], "arrive") == 0)
		cr_assert_eq(policy_arrive(f->p, *words[1] == '\0' ? next_coming(t) : t->coming[0], f->now),
			     *words[1] == '\0');
	else if (strcmp(words[0], "lost") == 0)
		policy_shared_lost(next_coming(t), t->workers[i], f->now);
	else if (strcmp(words[0], "ping_it") == 0)
		policy_ping_done(f->p, t->came, strcmp(words[1], "ok") == 0, f->now);
	else
		return false;
	return true;
}

static bool
act(const struct play *play, void *world, struct fake *f, char *const *words)
{
	struct two *t = world;
	int i = (int)(f - t->shards);

	if (strcmp(words[0], "hear") == 0)
		hear(t, i);
	else if (strcmp(words[0], "quiet") == 0)
		t->told[i] = 0;
	else if (strcmp(words[0], "silent") == 0)
		policy_worker_set_silent(t->workers[i], t->workers[1 - i], *words[1] == '\0', f->now);
	else if (strcmp(words[0], "part") == 0)
		policy_set_shared(f->p, NULL, f->now);
	else if (strcmp(words[0], "warm") == 0)
		policy_warm(f->p, f->now);
	else if (strcmp(words[0], "cap") == 0)
		cap(t, (uint32_t)play_number(play, words[1]));
	else
		return transfer(t, f, words);
	return true;
}

static bool
read_value(void *world, struct fake *f, const char *name, uint64_t i, uint64_t *value)
{
	struct two *t = world;
	const struct pool_counters *a = &t->shards[0].counters, *b = &t->shards[1].counters;

	if (strcmp(name, "used") == 0)
		*value = t->shared->used;
	else if (strcmp(name, "capped") == 0)
		*value = capped(t);
	else if (strcmp(name, "wanted") == 0)
		*value = policy_has_unserved_waiters(f->p);
	else if (strcmp(name, "told") == 0)
		*value = (uint64_t)t->told[f - t->shards];
	else if (strcmp(name, "has_it") == 0)
		*value = f->clients[i].conn == t->came;
	else if (strcmp(name, "all_outages") == 0)
		*value = a->outages + b->outages;
	else if (strcmp(name, "all_outage_us") == 0)
		*value = a->outage_us + b->outage_us;
	else
		return false;
	return true;
}

static const struct rule rules[] = {
	{ "places are those of all parts", "3+1",
	  "a fill 0 2; b fill 0 2; a borrow 2; b borrow 2; a opened=2; b opened=2 (three and one more); b lose 0; b "
	  "opened=3 (a place is free)" },
	{ "others are asked for idle ones before one is opened", "4+0",
	  "a fill 0 1; a return 0; b borrow 0; b borrow 1; b opened=1 (one is idle there, and two wait); a hear; a "
	  "gives b; b told=1 (it has no more); b hear; b opened=1 (one is coming for each); b arrive; b has_it[0]=1; b "
	  "lose 0" },
	{ "what can not cross makes room", "1+0",
	  "a cannot_give; a fill 0 1; a return 0; b borrow 0; b opened=0; a hear; a closed=1; a recycles[evicted]=1; b "
	  "hear; b opened=1" },
	{ "what left before a reload is closed", "1+0",
	  "a fill 0 1; b borrow 0; a return 0; a gives b; a close_all reload; b close_all reload; b arrive; b "
	  "closed=1; b opened=1 (another one for who waits)" },
	{ "what crosses keeps its place under a cap", "3+0",
	  "cap 2; a fill 0 2; b borrow 0; b opened=0 (the cap has no place); a return 0; capped=2; a gives b; b "
	  "arrive; b has_it[0]=1; a closed=0; b closed=0; capped=2; b lose 0; capped=1" },
	{ "a place made for another part is left to it", "1+0",
	  "a cannot_give; a fill 0 1; b borrow 0; all +200ms; a quiet; a borrow 1; a return 0; a closed=1; a "
	  "recycles[evicted]=1; a opened=1 (the place is not for those here); b hear; b opened=1" },
	{ "who waits longest gets what is returned elsewhere", "2+0",
	  "a fill 0 2; b borrow 0; all +2ms; b borrow 1; a borrow 2; a return 0 (b's first is two milliseconds older "
	  "than a's); a gives b; used=2 (it keeps its place); a return 1 (b s second is not older, and one is on its "
	  "way there); a given=1; a holds[2]=1; b arrive; b has_it[0]=1; a return 2 (nobody waits here any more); a "
	  "given=2; a gives b; b lost; used=1 (it died on its way); b at +0; b opened=1 (so there is a place); b lose "
	  "0" },
	{ "a worker that does not answer is given nothing until it does", "2+0",
	  "a fill 0 2; b borrow 0; b silent; a wanted=0; a return 0; a given=0; a idle=1; b silent off; b hear (it "
	  "asks again); a hear; a gives b; b arrive; b has_it[0]=1; b return 0" },
	{ "one more in line is told of where one is idle and else nobody", "2+0",
	  "a fill 0 2; b borrow 0; a return 0; a gives b; a return 1 (who waits has one on its way); a given=1; a "
	  "hear; a given=1; b borrow 1; a hear; a given=2; b arrive; a gives b; b arrive; b borrow 2; b borrow 3; a "
	  "told=0 (there are two, and both are lent); b return 0-3" },
	{ "a worker that does not answer is not waited for", "4+0",
	  "a fill 0 1; a return 0; b borrow 0; b opened=0; b at +5ms-1; b opened=0; b at +1; b opened=1" },
	{ "who has lent it meanwhile says so", "4+0",
	  "a fill 0 1; a return 0; b borrow 0; a borrow 1; a hear; a given=0; b hear; b opened=1 (at once, not in five "
	  "milliseconds)" },
	{ "those in line in any part when postgresql restarts wait on", "2+0",
	  "a fill 0 1; b fill 0 1; a borrow 1; b borrow 1; b lose 0 down; a lose 0 down; b fail 1 refused; a fail 1 "
	  "refused; all +1ms; a refusals[1]=0; b refusals[1]=0; b borrow 2; all +1ms; b refusals[2]=1 (it came when "
	  "PostgreSQL was gone); b refusals[1]=0; all_outages=1 (there is one outage)" },
	{ "an outage in the middle of which its part goes is over when another part opens one", "2+0",
	  "a borrow 0; a fail 0 refused; a outages=1; a part; all +3s; b outage_us=0; b borrow 0; b fail 0 refused; "
	  "all +1s; b outages=0 (it is the same one); b borrow 1; b opened=2; b login 1; b outage_us=4s" },
	{ "an outage is over in a part that nobody uses when another opens one", "2+0",
	  "a borrow 0; a fail 0 refused; a waiting=0 (it is refused); a outage!=0; all +1s; b borrow 0; b login 0; a "
	  "hear; a outage=0; all_outage_us=1s" },
	{ "what comes is no proof that postgresql is there", "4+0",
	  "a reload waits_while_down; b reload waits_while_down; a borrow 0; a fail 0 refused; all +1s; a opened=2 "
	  "(another attempt); b borrow 0; b login 0; all +1ms; a fail 1 refused; b gives a; a arrive; a outage_us=0; a "
	  "holds[0]=-1; a pinged=1; a ping_it failed; all +1ms; a outage_us=0; a outages=1" },
	{ "what comes and is alive ends an outage", "4+0",
	  "a reload waits_while_down; b reload waits_while_down; a borrow 0; a fail 0 refused; all +1s; a opened=2 "
	  "(another attempt); b borrow 0; b login 0; all +1ms; a fail 1 refused; b gives a; a arrive; a ping_it ok; a "
	  "has_it[0]=1; a outage_us=1s+1ms; a lose 0" },
	{ "where the part is gone nothing arrives", "1+0",
	  "a fill 0 1; b borrow 0; a return 0; a gives b; b cancel 0; b part; b arrive in_vain; b lost; used=0" },
	{ "each part keeps its share of min idle", "8+0",
	  "a reload min_idle=5; b reload min_idle=5; a warm; a opened=5 (nobody has used the other part); b warm; b "
	  "opened=2" },
	{ "a place made for another part is not taken for stock", "1+0",
	  "a reload min_idle=1; a cannot_give; a fill 0 1; a return 0; b borrow 0; a hear; all +2s; a closed=1; a "
	  "opened=1 (however long the other worker takes); b hear; b opened=1" },
	{ "a place that another part does not take is not lost", "1+0",
	  "a cannot_give; a fill 0 1; b borrow 0; all +200ms; a quiet; a borrow 1; a return 0; a closed=1; a opened=1 "
	  "(the place is not for those here); a at +100ms; a opened=2; a login 1; a closed=1; a holds[1]=1" },
};

Test(policy_shared, rules)
{
	EACH(row, rules) {
		struct policy_settings set = play_settings(row->pool);
		struct two t;
		struct stage stage = { .pools = t.shards, .count = PARTS, .act = act, .read = read_value, .world = &t };

		two_init(&t, set.pool_size, set.max_overflow);
		play_steps(&stage, row->rule, row->steps);
		two_fini(&t);
	}
}

/* Returns how many were given by the return of one by this client, behind whom the next waits who came later than all
 * in the other shard. What is given arrives at once. */
static int
given_on_return(struct two *t, int client)
{
	struct fake *a = &t->shards[0], *b = &t->shards[1];
	int before = a->given;

	fake_return(a, client);
	if (a->given > before)
		cr_assert(policy_arrive(b->p, a->given_last, b->now));
	return a->given - before;
}

Test(policy_shared, the_next_is_given_when_both_loops_have_gone_round)
{
	struct two t;
	struct fake *a = &t.shards[0], *b = &t.shards[1];

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
	policy_worker_count_turn(t.workers[1]);
	cr_expect_eq(given_on_return(&t, 2), 0, "this one has not");
	policy_worker_count_turn(t.workers[0]);
	cr_expect_eq(given_on_return(&t, 3), 1);
	policy_worker_count_turn(t.workers[0]);
	cr_expect_eq(given_on_return(&t, 4), 0, "that one has not");
	for (int i = 8; i < 10; i++)
		policy_cancel(a->p, &a->clients[i].waiter, a->now);
	cr_expect_eq(given_on_return(&t, 5), 1, "nobody waits here");
	for (int i = 6; i < 8; i++)
		fake_return(a, i);
	for (int i = 0; i < 3; i++)
		fake_return(b, i);
	two_fini(&t);
}

Test(policy_shared, who_gets_one_of_its_own_shard_wants_none_of_others)
{
	struct two t;
	struct fake *a = &t.shards[0], *b = &t.shards[1];

	two_init(&t, 3, 0);
	fake_fill(a, 0, 1);
	fake_borrow(b, 0);
	cr_expect_eq(b->opened, 1);
	cr_expect(!policy_has_unserved_waiters(a->p), "one is opened there");
	fake_borrow(b, 1);
	cr_expect_eq(b->opened, 2);
	cr_expect(!policy_has_unserved_waiters(a->p), "and another");
	fake_borrow(b, 2);
	cr_expect_eq(b->opened, 2, "no place is left");
	cr_expect(policy_has_unserved_waiters(a->p));
	fake_opened(b, 0);
	cr_expect(policy_has_unserved_waiters(a->p), "the third waits still");
	policy_note_washing(b->p, b->clients[0].conn);
	cr_expect(!policy_has_unserved_waiters(a->p), "what is washed is for it");
	policy_note_washing_delayed(b->p, b->clients[0].conn, 0, b->now);
	cr_expect(policy_has_unserved_waiters(a->p), "but not in a moment");
	fake_return(a, 0);
	policy_shared_lost(given(&t, 0, 1), t.workers[1], b->now);
	two_fini(&t);
}

Test(policy_shared, a_newcomer_does_not_wait_for_what_another_shard_opens_at_a_silent_host)
{
	struct two t;
	struct fake *a = &t.shards[0], *b = &t.shards[1];

	two_init(&t, 1, 0);
	for (int i = 0; i < PARTS; i++)
		policy_set_circuit(t.shards[i].p, policy_circuit_get_or_create(t.commons, "db1:5432,any"),
				   t.shards[i].now);
	fake_borrow(a, 0);
	pass_time(&t, 5 * S);
	fake_failed(a, 0, CF_TIMEOUT, false);
	pass_time(&t, S);
	policy_health_check(a->p, a->now); /* it has the only place */
	fake_borrow(b, 1);
	fake_at(b, b->now);
	cr_expect_eq(b->opened, 0);
	cr_expect_eq(b->clients[1].refusals, 1);
	fake_borrow(a, 1);
	fake_at(a, a->now);
	cr_expect_eq(a->clients[1].refusals, 1);
	struct policy_circuit *c = policy_circuit_get_or_create(t.commons, "db1:5432,any");
	for (int i = 0; i < PARTS; i++) {
		policy_set_circuit(t.shards[i].p, NULL, t.shards[i].now);
		policy_circuit_put(t.commons, c);
	}
	policy_circuit_put(t.commons, c);
	two_fini(&t);
}

Test(policy_shared, what_is_lost_on_its_way_gives_its_place_to_whoever_waits_under_the_cap)
{
	struct policy_settings set = fake_settings(2, 0);
	struct two t;
	struct fake *a = &t.shards[0], *b = &t.shards[1], other;

	two_init(&t, 3, 0);
	fake_init(&other, &set, t.workers[0]);
	cap(&t, 1);
	fake_fill(a, 0, 1);
	fake_borrow(b, 0);
	fake_return(a, 0);
	fake_borrow(&other, 0);
	cr_expect_eq(other.opened, 0);
	policy_cancel(b->p, &b->clients[0].waiter, b->now);
	policy_shared_lost(given(&t, 0, 1), t.workers[1], b->now);
	cr_expect_eq(capped(&t), 0);
	policy_worker_run_orders(t.workers[0], other.now);
	fake_at(&other, other.now);
	cr_expect_eq(other.opened, 1);
	policy_pause(other.p, other.now);
	fake_fini(&other);
	two_fini(&t);
}

Test(policy_shared, a_cap_of_all_shards_counts_what_was_on_its_way_when_it_came)
{
	struct two t;
	struct fake *a = &t.shards[0], *b = &t.shards[1];
	struct policy_budget *budget;

	two_init(&t, 2, 0);
	budget = policy_budget_get_or_create(t.commons, 'd', "app", 3);
	fake_fill(a, 0, 2);
	fake_borrow(b, 0);
	fake_return(a, 0);
	policy_budget_set_limit(budget, t.workers[0], 2, a->now);
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

Test(policy_shared, its_shards_have_one_share)
{
	struct policy_settings set = fake_settings(9, 0);
	struct two t;
	struct fake *a = &t.shards[0], *b = &t.shards[1], other;

	two_init(&t, 9, 0);
	fake_init(&other, &set, t.workers[0]);
	cap(&t, 6);
	fake_fill(a, 0, 3);
	fake_fill(b, 0, 3);
	for (int i = 3; i < 9; i++) {
		fake_borrow(a, i);
		fake_borrow(b, i);
		fake_borrow(&other, i);
	}
	for (int i = 0; i < 3; i++) { /* each is given up, or kept by the one behind */
		for (int shard = 0; shard < PARTS; shard++) {
			policy_worker_run_orders(t.workers[shard], a->now);
			if (t.shards[shard].clients[i].conn != NULL)
				fake_return(&t.shards[shard], i);
		}
		fake_at(&other, other.now);
	}
	cr_expect_eq(other.opened, 3, "a half of six, not a third");
	cr_expect_eq(t.shared->used, 3);
	policy_pause(other.p, other.now);
	fake_fini(&other);
	two_fini(&t);
}

Test(policy_shared, the_place_in_line_counts_those_of_other_shards)
{
	struct two t;
	struct fake *a = &t.shards[0], *b = &t.shards[1];
	struct fail why;

	two_init(&t, 1, 0);
	fake_fill(a, 0, 1);
	for (int i = 1; i < 5; i++)
		fake_borrow(a, i);
	pass_time(&t, 10 * MS);
	fake_borrow(b, 0);
	cr_expect_eq(policy_queue_position(b->p, &b->clients[0].waiter, b->now), 5, "all of them came before");
	pass_time(&t, 10 * MS);
	cr_expect_eq(policy_queue_position(b->p, &b->clients[0].waiter, b->now), 3,
		     "some came since, for all that is known");
	cr_expect_eq(policy_queue_position(a->p, &a->clients[1].waiter, a->now), 1);
	cr_expect_eq(policy_queue_length(b->p), 5);
	policy_explain_wait(b->p, &b->clients[0].waiter, b->now, &why);
	cr_expect_str_eq(why.detail,
			 "The pool has 1 of 1 connections busy (1 + 0 overflow), and 5 clients are waiting.");
	two_fini(&t);
}

/* --- Threads. --- */

#define ROUNDS 50000

struct litmus {
	struct policy_commons *commons;
	struct policy_worker *workers[2];
	struct policy_orders orders[2];
	struct policy_shared *shared;
	struct policy_shard shards[2];
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

/* One shard gets its first idle connection while one more begins to wait in the other: one of them sees it. */
static void
run_litmus(unsigned number, void *arg)
{
	struct litmus *l = arg;
	struct policy_shard *m;
	unsigned nth = 0;

	if (number > 1)
		return;
	m = &l->shards[number];
	for (unsigned i = 0; i < ROUNDS; i++) {
		shard_publish(m, 0, number, 0, number == 1 ? 1 : UINT64_MAX);
		meet(l, &nth);
		if (number == 0) {
			shard_publish(m, 1, 0, 0, UINT64_MAX);
			l->has_seen[0] = atomic_load_explicit(&l->shared->counts[1].waiting, memory_order_relaxed) == 2;
		} else {
			shard_publish(m, 0, 2, 0, 1);
			l->has_seen[1] =
			    (atomic_load_explicit(&l->shared->presence_bits, memory_order_relaxed) & IDLE_BIT(0)) != 0;
		}
		meet(l, &nth);
		if (number == 0)
			l->missed += !l->has_seen[0] && !l->has_seen[1];
		meet(l, &nth);
	}
}

Test(policy_shared, who_begins_to_wait_and_who_becomes_idle_do_not_miss_each_other)
{
	struct litmus *l = calloc(1, sizeof(*l));

	l->commons = policy_commons_new(1);
	l->shared = policy_shared_get(l->commons, "app", 3, true);
	for (unsigned i = 0; i < 2; i++) {
		l->workers[i] = policy_worker_new(l->commons, i, NULL, NULL, &fake_waiters);
		l->orders[i].worker = l->workers[i];
		l->shards[i].orders = &l->orders[i];
		shard_join(&l->shards[i], l->shared, 0, 0, 0);
	}
	in_threads(run_litmus, l);
	cr_expect_eq(l->missed, 0, "%u of %u", l->missed, ROUNDS);
	for (unsigned i = 0; i < 2; i++)
		shard_leave(&l->shards[i], 0, 0, 0, 0);
	policy_shared_put(l->commons, l->shared);
	for (unsigned i = 0; i < 2; i++)
		policy_worker_free(l->workers[i]);
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

/* A worker, its shard, and who borrows there. */
struct hand {
	struct crew *crew;
	struct policy_worker *worker;
	struct policy *p;
	struct pool_counters counters;
	uint64_t random, now_us, due_us;
	_Atomic bool is_told;
	pthread_mutex_t lock; /* of the inbox */
	struct servers inbox;
	struct policy_waiter waiters[CLIENTS];
	struct server *holds[CLIENTS];
	struct server *opening[SIZE + OVERFLOW];
	unsigned opening_count;
	uint64_t served, given;
};

struct crew {
	struct policy_commons *commons;
	unsigned most; /* connections of all */
	struct policy_shared *shared;
	struct hand hands[THREADS];
	_Atomic uint64_t clock_us;
	_Atomic unsigned open, wrong, busy_hands;
};

static int
hand_open(void *owner, uint64_t now_us, struct fail *why)
{
	struct hand *h = owner;
	struct server *srv = calloc(1, sizeof(*srv));

	h->crew->wrong += atomic_fetch_add(&h->crew->open, 1) >= h->crew->most;
	h->opening[h->opening_count++] = srv;
	policy_conn_opening(h->p, &srv->conn, now_us);
	return 0;
}

static void
hand_close(void *owner, struct policy_conn *conn, enum recycle_reason reason)
{
	struct hand *h = owner;

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
hand_give(void *owner, struct policy_conn *conn, struct policy_worker *to)
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
on_hand_grant(struct policy_conn *conn, struct policy_waiter *t)
{
	struct hand *h = (struct hand *)(uintptr_t)t->gucs;

	h->holds[t - h->waiters] = (struct server *)conn;
	h->served++;
}

static void
on_hand_refuse(const struct fail *why, enum request_failure kind, struct policy_waiter *t)
{
	((struct hand *)(uintptr_t)t->gucs)->crew->wrong++; /* nobody has a limit */
}

static const struct policy_waiter_ops hand_waiter_ops = { on_hand_grant, on_hand_refuse, NULL };

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
		policy_worker_run_orders(h->worker, h->now_us);
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
	struct policy_waiter *t = &h->waiters[i];
	struct server *srv = h->holds[i];

	if (srv != NULL) {
		h->holds[i] = NULL;
		policy_return(h->p, &srv->conn, h->now_us);
	} else if (t->waits == WAITS_NOT && !is_over) {
		*t = (struct policy_waiter){ .id = i + 1, .gucs = h };
		h->holds[i] = (struct server *)policy_borrow(h->p, t, h->now_us);
	}
}

static bool
is_hand_busy(const struct hand *h)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (h->waiters[i].waits != WAITS_NOT || h->holds[i] != NULL)
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
	policy_worker_free(h->worker);
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
	c->shared = policy_shared_get(c->commons, "app", 3, true);
	for (unsigned i = 0; i < THREADS; i++) {
		struct hand *h = &c->hands[i];

		h->crew = c;
		h->random = i;
		TAILQ_INIT(&h->inbox);
		pthread_mutex_init(&h->lock, NULL);
		h->worker = policy_worker_new(c->commons, i, tell_hand, h, &hand_waiter_ops);
		h->p = policy_new(&set, &hand_ops, h, h->worker, &h->counters, i + 1, 1);
		policy_set_shared(h->p, c->shared, 1);
		policy_budget_set_limit(c->commons->total, h->worker, cap, 1);
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
	cr_expect_eq(c->shared->used, 0);
	cr_expect_eq(policy_budget_used(c->commons->total), 0);
	policy_shared_put(c->commons, c->shared);
	policy_commons_free(c->commons);
	free(c);
}

Test(policy_shared, threads_keep_to_the_limit_and_nobody_is_forgotten)
{
	play_crew(0);
}

Test(policy_shared, threads_keep_to_a_cap_and_nobody_is_forgotten)
{
	play_crew(SIZE - 1);
}
