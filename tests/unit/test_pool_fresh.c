/* tests/unit/test_pool_fresh.c - what one shard of a pool has seen of a fresh server, all shards hear of. */
#include "pool/pool_workers.h"

#include "policy/policy_commons.h"

#include "threads.h"
#include "unit.h"

#define ROUNDS 3000u

static struct gucs *
gucs_of(struct guc_store *store, const char *value)
{
	struct gucs *gucs = gucs_empty(store);

	cr_assert_eq(gucs_update(&gucs, "TimeZone", value, GUC_REPORTED), 0);
	return gucs;
}

static void
tell(struct pool_fresh *f, struct guc_store *store, const char *baseline, const char *welcome, uint64_t at_us)
{
	struct gucs *both[2] = { gucs_of(store, baseline), gucs_of(store, welcome) };

	pool_fresh_report(f, both[0], both[1], at_us);
	gucs_unref(both[0]);
	gucs_unref(both[1]);
}

Test(pool_fresh, what_is_newer_is_heard_once)
{
	struct policy_commons *all = policy_commons_new(1);
	struct guc_store *here = guc_store_new(2, NULL), *there = guc_store_new(3, NULL);
	struct pool_fresh *f = pool_fresh_get_or_create(all, "da", 2), *again = pool_fresh_get_or_create(all, "da", 2);
	struct gucs *baseline, *welcome, *equal;
	uint64_t since_us = 0;

	cr_expect_eq(f, again);
	cr_expect_not(pool_fresh_take(f, there, &baseline, &welcome, &since_us), "nobody has told anything");
	tell(f, here, "UTC", "17", 100);
	cr_assert(pool_fresh_take(f, there, &baseline, &welcome, &since_us));
	cr_expect_eq(since_us, 100);
	equal = gucs_of(there, "UTC");
	cr_expect_eq(baseline, equal, "it is one of the store there");
	cr_expect_str_eq(gucs_get(welcome, "TimeZone"), "17");
	cr_expect_not(pool_fresh_take(f, there, &equal, &welcome, &since_us));
	gucs_unref(baseline);
	gucs_unref(equal);
	gucs_unref(welcome);
	pool_fresh_put(all, f);
	pool_fresh_put(all, again);
	cr_expect_eq(guc_store_count(here), 0);
	cr_expect_eq(guc_store_count(there), 0);
	policy_commons_free(all);
	guc_store_free(here);
	guc_store_free(there);
}

struct told {
	struct policy_commons *all;
	_Atomic unsigned wrong;
};

/* Each tells of two GUC sets that go together, and sees no others. */
static void
tell_and_hear(unsigned number, void *arg)
{
	struct told *t = arg;
	struct guc_store *store = guc_store_new(number, NULL);
	struct gucs *baseline, *welcome;
	uint64_t since_us = 0;
	char value[32];

	for (unsigned i = 1; i <= ROUNDS; i++) {
		struct pool_fresh *f = pool_fresh_get_or_create(t->all, "da", 2);

		snprintf(value, sizeof(value), "%u of %u", i, number);
		tell(f, store, value, value, (uint64_t)i * THREADS + number);
		if (pool_fresh_take(f, store, &baseline, &welcome, &since_us)) {
			t->wrong += baseline != welcome;
			gucs_unref(baseline);
			gucs_unref(welcome);
		}
		pool_fresh_put(t->all, f);
	}
	t->wrong += guc_store_count(store) != 0;
	guc_store_free(store);
}

Test(pool_fresh, threads_hear_what_belongs_together)
{
	struct told t = { .all = policy_commons_new(1) };

	in_threads(tell_and_hear, &t);
	cr_expect_eq(t.wrong, 0);
	policy_commons_free(t.all);
}
