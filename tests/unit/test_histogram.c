/* tests/unit/test_histogram.c - the bucket of a value, and quantiles. */
#include "base/counters.h"
#include "base/histogram.h"
#include "unit.h"

#include <math.h>

#define MS 1000ull

static const struct {
	const char *rule;
	uint64_t us;
	size_t bucket; /* of histogram_bounds_query */
} rows[] = {
	{ "nothing at all is in the first bucket", 0, 0 },
	{ "a value equal to a bound is in that bucket", 500, 0 },
	{ "one more is in the next", 501, 1 },
	{ "exactly 100 ms still meets an objective of 100 ms", 100 * MS, 8 },
	{ "100.001 ms does not", 100 * MS + 1, 9 },
	{ "the last bound", 30000 * MS, 16 },
	{ "beyond the last bound", 30000 * MS + 1, 17 },
	{ "the longest time there is", UINT64_MAX, 17 },
};

Test(histogram, a_value_lands_in_its_bucket)
{
	EACH(row, rows) {
		struct histogram h = { 0 };

		histogram_observe_us(&h, &histogram_bounds_query, row->us);
		cr_expect_eq(h.buckets[row->bucket], 1, "%s", row->rule);
		cr_expect_eq(histogram_count(&h), 1, "%s", row->rule);
		cr_expect_eq(histogram_sum_us(&h), row->us, "%s", row->rule);
	}
}

Test(histogram, bounds_ascend_and_leave_room_for_the_rest)
{
	const struct histogram_bounds *all[] = { &histogram_bounds_query, &histogram_bounds_wait,
						 &histogram_bounds_ping, &histogram_bounds_proxy };

	for (size_t b = 0; b < COUNT(all); b++) {
		cr_assert_lt(all[b]->count, HISTOGRAM_BUCKETS_MAX);
		for (size_t i = 1; i < all[b]->count; i++)
			cr_expect_gt(all[b]->le_us[i], all[b]->le_us[i - 1], "table %zu, bound %zu", b, i);
		cr_expect_eq(all[b]->le_us[all[b]->count], HISTOGRAM_REST, "table %zu ends the walk", b);
	}
}

Test(histogram, adding_sums_everything)
{
	struct histogram a = { 0 }, b = { 0 };

	histogram_observe_us(&a, &histogram_bounds_wait, 50);
	histogram_observe_us(&b, &histogram_bounds_wait, 60);
	histogram_observe_us(&b, &histogram_bounds_wait, 31 * 1000 * MS);
	histogram_add(&a, &b);
	cr_expect_eq(histogram_count(&a), 3);
	cr_expect_eq(histogram_sum_us(&a), 110 + 31 * 1000 * MS);
	cr_expect_eq(a.buckets[0], 2);
	cr_expect_eq(a.buckets[histogram_bounds_wait.count], 1);
}

static double
quantile(const struct histogram *h, double q)
{
	return histogram_quantile_us(h, &histogram_bounds_query, q, 0);
}

Test(histogram, quantiles_are_linear_within_a_bucket)
{
	struct histogram h = { 0 };

	cr_expect_eq(quantile(&h, 0.95), 0, "an empty histogram has no quantile");
	for (int i = 0; i < 90; i++)
		histogram_observe_us(&h, &histogram_bounds_query, 80 * MS);
	for (int i = 0; i < 10; i++)
		histogram_observe_us(&h, &histogram_bounds_query, 200 * MS);
	/* 75 to 100 ms holds 90; 150 to 250 ms holds 10. */
	cr_expect_float_eq(quantile(&h, 0.45), 87.5 * MS, 0.01);
	cr_expect_float_eq(quantile(&h, 0.90), 100.0 * MS, 0.01);
	cr_expect_float_eq(quantile(&h, 0.95), 200.0 * MS, 0.01);
	cr_expect_float_eq(quantile(&h, 1.0), 200.0 * MS, 0.01, "all in the last one are 200 ms");
	cr_expect_float_eq(quantile(&h, 0), 75.0 * MS, 0.01);
}

/* Clients that time out after 5 s: 5 to 10 s is one bucket, and who looks would think that some have waited for 9.9 s.
 */
Test(histogram, a_quantile_is_never_above_the_largest_value)
{
	struct histogram h = { 0 };
	uint64_t largest = 5300 * MS;

	for (int i = 0; i < 200; i++)
		histogram_observe_us(&h, &histogram_bounds_query, 2 * MS);
	for (int i = 0; i < 10; i++)
		histogram_observe_us(&h, &histogram_bounds_query, i == 3 ? largest : 5001 * MS);
	for (int q = 0; q <= 100; q++)
		cr_expect_leq(quantile(&h, q / 100.0), (double)largest, "%d %%", q);
	cr_expect_geq(quantile(&h, 0.99), 5001.0 * MS, "and in the bucket where it is");
}

/* The event loop's lag: two delays of 0.2 s among ten turns. */
Test(histogram, a_quantile_of_lag_is_near_the_delay)
{
	struct histogram h = { 0 };

	histogram_observe_many_us(&h, &histogram_bounds_proxy, 50, 8);
	histogram_observe_many_us(&h, &histogram_bounds_proxy, 200 * MS, 2);
	cr_expect_leq(histogram_quantile_us(&h, &histogram_bounds_proxy, 0.99, 0), 250.0 * MS);
}

Test(histogram, what_is_beyond_the_last_bound_is_told)
{
	struct histogram h = { 0 };

	histogram_observe_us(&h, &histogram_bounds_query, 60000 * MS);
	cr_expect(isinf(quantile(&h, 0.5)), "not a silent 30 s");
	cr_expect_float_eq(histogram_quantile_us(&h, &histogram_bounds_query, 0.5, 60000 * MS), 45000.0 * MS, 0.01);
}

static const struct {
	const char *rule, *sqlstate, *class;
} states[] = {
	{ "a known class", "23505", "23" },
	{ "PostgreSQL's own", "XX000", "XX" },
	{ "a class that is not in the manual", "ZZ999", "other" },
	{ "no field C at all", NULL, "none" },
	{ "an empty one", "", "none" },
	{ "one too short", "2", "none" },
	{ "none is no class that a server can claim", "none", "other" },
};

Test(error_class, rules)
{
	size_t n = 0;

	EACH(row, states)
		cr_expect_str_eq(error_classes[counters_error_class(row->sqlstate)], row->class, "%s", row->rule);
	while (n < ERROR_CLASSES_MAX && error_classes[n] != NULL)
		n++;
	cr_assert_lt(n, ERROR_CLASSES_MAX, "the list ends with NULL");
	cr_expect_str_eq(error_classes[n - 2], "none");
	cr_expect_str_eq(error_classes[n - 1], "other");
}

static void
expect_words(const char *const *names, size_t count, const char *what)
{
	for (size_t i = 0; i < count; i++)
		cr_expect(names[i] != NULL && names[i][0] != '\0', "%s %zu has a word", what, i);
}

Test(counters, every_enum_value_has_its_word)
{
	expect_words(request_failure_names, RF_COUNT, "request_failure");
	expect_words(query_kind_names, QK_COUNT, "query_kind");
	expect_words(transaction_end_names, TE_COUNT, "transaction_end");
	expect_words(phase_names, PHASE_COUNT, "phase");
	expect_words(error_origin_names, EO_COUNT, "error_origin");
	expect_words(checkout_source_names, CS_COUNT, "checkout_source");
	expect_words(recycle_reason_names, RR_COUNT, "recycle_reason");
	expect_words(pin_reason_names, PIN_COUNT, "pin_reason");
	expect_words(login_result_names, LR_COUNT, "login_result");
	expect_words(login_method_names, LM_COUNT, "login_method");
	expect_words(reject_reason_names, RJ_COUNT, "reject_reason");
	expect_words(connect_failure_names, CF_COUNT, "connect_failure");
	expect_words(cancel_result_names, CR_COUNT, "cancel_result");
	expect_words(auth_query_result_names, AQ_COUNT, "auth_query_result");
	expect_words(net_side_names, NS_COUNT, "net_side");
}
