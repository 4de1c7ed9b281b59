/* tests/unit/test_admission_table.c - what admission remembers about addresses and users. Links
 * admission/admission_table.c alone; the tests own the clock. */
#include "admission/admission_table.h"
#include "unit.h"

#define MS UINT64_C(1000)
#define S (1000 * MS)

static struct admission_entry *
get(struct admission_table *t, const char *key, uint64_t now_us)
{
	return admission_table_find_or_add(t, key, strlen(key), now_us);
}

static struct admission_entry *
get_numbered(struct admission_table *t, uint32_t number, uint64_t now_us)
{
	return admission_table_find_or_add(t, &number, sizeof(number), now_us);
}

/* Those of the first numbers that it has an entry of. */
static uint32_t
count_numbered(const struct admission_table *t, uint32_t numbers)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < numbers; i++)
		count += admission_table_find(t, &i, sizeof(i)) != NULL;
	return count;
}

Test(admission_table, a_key_is_one_entry)
{
	struct admission_table *t = admission_table_new(1, 100);
	struct admission_entry *e = get(t, "web", 0);

	admission_entry_hold(t, e);
	cr_expect_eq(get(t, "web", 5 * S), e);
	cr_expect_eq(admission_table_find(t, "web", 3), e);
	cr_expect_neq(get(t, "we", 0), e);
	cr_expect_null(admission_table_find(t, "webb", 4));
	admission_entry_release(t, e, 5 * S);
	admission_table_free(t);
}

Test(admission_table, long_keys_are_cut)
{
	struct admission_table *t = admission_table_new(1, 100);
	char key[2 * ADMISSION_KEY_MAX];

	memset(key, 'x', sizeof(key));
	cr_expect_eq(admission_table_find_or_add(t, key, sizeof(key), 0),
		     admission_table_find_or_add(t, key, ADMISSION_KEY_MAX, 0));
	cr_expect_null(admission_table_find(t, key, ADMISSION_KEY_MAX - 1));
	admission_table_free(t);
}

Test(admission_table, a_flood_costs_nobody_his_count)
{
	struct admission_table *t = admission_table_new(1, 100);
	struct admission_entry *here = get(t, "here", 0);

	admission_entry_hold(t, here);
	admission_entry_hold(t, here);
	for (uint32_t i = 0; i < 100000; i++) {
		struct admission_entry *e = get_numbered(t, i, i);

		admission_entry_count_failure(e, 1, 1, i); /* so that it has something to tell */
		if (i % 1000 == 0)
			cr_assert_leq(count_numbered(t, i + 1), 100);
	}
	cr_expect_eq(count_numbered(t, 100000), 100);
	cr_expect_eq(get(t, "here", S), here);
	cr_expect_eq(here->held, 2);
	admission_table_free(t);
}

Test(admission_table, the_one_not_seen_for_longest_makes_room)
{
	struct admission_table *t = admission_table_new(1, 2);

	admission_entry_count_failure(get(t, "a", 0), 1, 1, 0);
	admission_entry_count_failure(get(t, "b", 0), 1, 1, 0);
	get(t, "a", 1);
	admission_entry_count_failure(get(t, "c", 2), 1, 1, 2);
	cr_expect_null(admission_table_find(t, "b", 1));
	cr_expect_not_null(admission_table_find(t, "a", 1));
	cr_expect_not_null(admission_table_find(t, "c", 1));
	admission_table_free(t);
}

Test(admission_table, those_held_are_not_bounded_and_come_back_into_bounds)
{
	struct admission_table *t = admission_table_new(1, 10);
	struct admission_entry *held[1000];

	for (uint32_t i = 0; i < 1000; i++) {
		held[i] = get_numbered(t, i, 0);
		admission_entry_hold(t, held[i]);
	}
	cr_expect_eq(count_numbered(t, 1000), 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		admission_entry_count_failure(held[i], 1, 1, 0);
		admission_entry_release(t, held[i], 0);
	}
	cr_expect_eq(count_numbered(t, 1000), 10);
	admission_table_free(t);
}

Test(admission_table, what_has_nothing_to_tell_goes)
{
	struct admission_table *t = admission_table_new(1, 1000);
	struct admission_entry *e = get(t, "failed", 0);

	admission_entry_count_failure(e, 1 * S, 5 * S, 0);
	for (uint32_t i = 0; i < 100; i++)
		admission_entry_take_token(get_numbered(t, i, 0), 1, 0);
	admission_table_sweep(t, S - 1);
	cr_expect_eq(count_numbered(t, 100), 100);
	cr_expect_eq(admission_table_find(t, "failed", 6), e);
	admission_table_sweep(t, 1 * S + ADMISSION_FADE_US - 1); /* the oldest still has something to tell */
	cr_expect_eq(count_numbered(t, 100), 100);
	cr_expect_eq(admission_table_find(t, "failed", 6), e);
	admission_table_sweep(t, 1 * S + ADMISSION_FADE_US);
	cr_expect_eq(count_numbered(t, 100), 0);
	cr_expect_null(admission_table_find(t, "failed", 6));
	admission_table_free(t);
}

Test(admission_table, a_rate_is_its_burst_too_and_comes_back)
{
	static const uint32_t rates[] = { 1, 2, 3, 7, 10, 999, 1000, 12345 };

	for (size_t i = 0; i < COUNT(rates); i++) {
		struct admission_table *t = admission_table_new(1, 10);
		struct admission_entry *e = get(t, "web", 0);
		uint32_t rate = rates[i], passed = 0;

		for (uint32_t n = 0; n < 2 * rate; n++)
			if (admission_entry_has_token(e, rate, 0)) {
				admission_entry_take_token(e, rate, 0);
				passed++;
			}
		cr_expect_eq(passed, rate, "a burst of %u: %u", rate, passed);
		cr_expect_not(admission_entry_has_token(e, rate, S / rate / 2), "%u, too early", rate);
		cr_expect(admission_entry_has_token(e, rate, S / rate + 1), "%u, one came back", rate);
		passed = 0;
		for (uint64_t now = S; now < 11 * S; now += S / rate / 3 + 1)
			if (admission_entry_has_token(e, rate, now)) {
				admission_entry_take_token(e, rate, now);
				passed++;
			}
		cr_expect_leq(passed, 11 * rate, "over ten seconds at %u: %u", rate, passed);
		cr_expect_geq(passed, 10 * rate - 10, "over ten seconds at %u: %u", rate, passed);
		admission_table_free(t);
	}
}

Test(admission_table, no_rate_is_no_limit_and_another_rate_holds_at_once)
{
	struct admission_table *t = admission_table_new(1, 10);
	struct admission_entry *e = get(t, "web", 0);

	for (int i = 0; i < 1000; i++) {
		cr_assert(admission_entry_has_token(e, 0, 0));
		admission_entry_take_token(e, 0, 0);
	}
	cr_expect(admission_entry_has_token(e, 1, 0));
	admission_entry_take_token(e, 2, 0);
	cr_expect_not(admission_entry_has_token(e, 1, 0));
	cr_expect(admission_entry_has_token(e, 2, 0));
	admission_table_free(t);
}

Test(admission_table, a_clock_that_stands_still_or_goes_back_harms_nothing)
{
	struct admission_table *t = admission_table_new(1, 10);
	struct admission_entry *e = get(t, "web", 100 * S);

	admission_entry_take_token(e, 1, 100 * S);
	cr_expect_not(admission_entry_has_token(e, 1, 0));
	cr_expect_not(admission_entry_has_token(e, 1, 0));
	cr_expect(admission_entry_has_token(e, 1, 101 * S));
	admission_table_free(t);
}

Test(admission_table, failures_double_the_delay_up_to_a_bound)
{
	struct admission_table *t = admission_table_new(1, 10);
	struct admission_entry *e = get(t, "10.0.0.1", 0);
	static const uint64_t want[] = { 100 * MS, 200 * MS, 400 * MS, 800 * MS, 1600 * MS, 3200 * MS, 5 * S, 5 * S };

	for (size_t i = 0; i < COUNT(want); i++)
		cr_expect_eq(admission_entry_count_failure(e, 100 * MS, 5 * S, 0), want[i], "the %zuth", i + 1);
	for (int i = 0; i < 100000; i++)
		admission_entry_count_failure(e, 100 * MS, 3600 * S, 0);
	cr_expect_eq(admission_entry_count_failure(e, 100 * MS, 3600 * S, 0), 3600 * S);
	cr_expect_eq(admission_entry_count_failure(e, 0, 5 * S, 0), 0, "no delay stays none");
	cr_expect_eq(admission_entry_count_failure(e, 100 * MS, 10 * MS, 0), 10 * MS, "the bound wins over the first");
	admission_table_free(t);
}

Test(admission_table, failures_fade_and_a_success_clears_them)
{
	struct admission_table *t = admission_table_new(1, 10);
	struct admission_entry *e = get(t, "10.0.0.1", 0);
	uint64_t now = 0;

	admission_entry_count_failure(e, 100 * MS, 5 * S, now);
	now += 100 * MS + ADMISSION_FADE_US - 1;
	cr_expect_eq(admission_entry_count_failure(e, 100 * MS, 5 * S, now), 200 * MS, "not yet");
	now += 200 * MS + ADMISSION_FADE_US;
	cr_expect_eq(admission_entry_count_failure(e, 100 * MS, 5 * S, now), 100 * MS, "faded");
	admission_entry_forgive(e, UINT32_MAX);
	cr_expect_eq(admission_entry_count_failure(e, 100 * MS, 5 * S, now), 100 * MS, "cleared");
	admission_table_free(t);
}
