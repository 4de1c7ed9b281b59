/*
 * tests/unit/test_pool_startup.c - what a pool remembers of startup settings, and of addresses (pool_database.h). Links
 * pool_startup.c, pool_backend.c and what GUC sets need.
 */
#include "pool/pool_database.h"
#include "unit.h"

static struct guc_store *store; /* of the test that runs: each has a process of its own */
static struct pool_startups startups = { .seed = 7 };

static void
set_up(void)
{
	store = guc_store_new(11, NULL);
	cr_assert_not_null(store);
}

static void
tear_down(void)
{
	pool_startups_forget_all(&startups);
	must_hold_at_the_end(guc_store_count(store) == 0, "all images are released");
	guc_store_free(store);
}

TestSuite(pool_startup, .init = set_up, .fini = tear_down);

static struct gucs *
gucs_of(const char *kind, unsigned number)
{
	struct gucs *gucs = gucs_empty(store);
	char value[32];

	snprintf(value, sizeof(value), "%s %u", kind, number);
	cr_assert_eq(gucs_update(&gucs, "search_path", value, false), 0);
	return gucs;
}

static void
learn(unsigned number)
{
	struct gucs *raw = gucs_of("raw", number), *resolved = gucs_of("resolved", number);

	cr_assert_eq(pool_startups_learn(&startups, raw, resolved), 0);
	gucs_unref(raw);
	gucs_unref(resolved);
}

/* A GUC set that is interned: NULL or the right one. */
static bool
knows(unsigned number)
{
	struct gucs *raw = gucs_of("raw", number), *resolved = gucs_of("resolved", number);
	struct gucs *found = pool_startups_find(&startups, raw);

	cr_expect(found == NULL || found == resolved);
	gucs_unref(raw);
	gucs_unref(resolved);
	return found != NULL;
}

Test(pool_startup, what_was_learnt_is_found_until_it_is_forgotten)
{
	cr_expect_not(knows(1));
	learn(1);
	learn(2);
	learn(1); /* two clients may ask at a time */
	cr_expect(knows(1) && knows(2));
	pool_startups_forget_all(&startups);
	cr_expect_not(knows(1));
	learn(1);
	cr_expect(knows(1));
}

Test(pool_startup, the_one_not_asked_for_longest_makes_room)
{
	for (unsigned i = 0; i < STARTUPS_MAX; i++)
		learn(i);
	cr_expect(knows(0), "and so is the one used last");
	learn(STARTUPS_MAX);
	cr_expect(knows(0) && knows(STARTUPS_MAX));
	cr_expect_not(knows(1), "the oldest is gone");
	cr_expect(knows(2));
	for (unsigned i = 1000; i < 1000 + 10 * STARTUPS_MAX; i++)
		learn(i);
	cr_expect_eq(guc_store_count(store), 2 * STARTUPS_MAX, "no more are kept");
}

Test(pool_startup, an_address_is_counted_once_and_there_is_an_end)
{
	struct pool_backends all = { .seed = 7 };
	struct pool_backend *one = pool_backend_get_or_create(&all, "db1:5432");
	char address[32];

	cr_assert_not_null(one);
	cr_expect_eq(one->counters.up_state, -1);
	cr_expect_eq(pool_backend_get_or_create(&all, "db1:5432"), one);
	for (unsigned i = 1; i < BACKENDS_MAX; i++) {
		snprintf(address, sizeof(address), "db1:%u", i);
		cr_assert_not_null(pool_backend_get_or_create(&all, address));
	}
	cr_expect_null(pool_backend_get_or_create(&all, "one more:5432"));
	cr_expect_eq(pool_backend_get_or_create(&all, "db1:5432"), one);
	pool_backends_fini(&all);
}
