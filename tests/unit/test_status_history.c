/* tests/unit/test_status_history.c - what the charts of the status page are drawn from. */
#include "http/http_state.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000)

static struct history h; /* one per test: Criterion runs each in a process of its own */
static uint64_t others; /* pools */

/* A snapshot of one database, with requests of 2 ms, and of one pool. */
static void
add(uint64_t now_us, uint64_t requests, uint64_t waiting)
{
	struct snapshot_database db = { .name = "app" };
	struct snapshot_pool pool = { .waiting = waiting, .pool_size = 5, .max_overflow = 2 };
	struct snapshot s = { .taken_us = now_us,
			      .pools_aggregated = others,
			      .databases = &db,
			      .database_count = 1,
			      .pools = &pool,
			      .pool_count = 1,
			      .clients_total_now = 7 };

	pool.servers[SERVERS_ACTIVE] = 3;
	pool.servers[SERVERS_IDLE] = 1;
	db.counters.requests = requests;
	for (uint64_t i = 0; i < requests; i++)
		histogram_observe_us(&db.counters.query_duration, &histogram_bounds_query, 2000);
	history_add(&h, &s, 1700000000 * SECOND + now_us);
}

static const char *
text(unsigned seconds)
{
	static struct buf b;

	buf_fini(&b);
	history_put(&h, seconds, &b);
	buf_put_u8(&b, 0);
	return (const char *)b.bytes;
}

static unsigned
samples(const char *json)
{
	unsigned n = 0;

	for (; (json = strstr(json, "\"t\":")) != NULL; json++)
		n++;
	return n;
}

Test(status_history, a_sample_is_what_was_counted_since_the_last_one)
{
	add(10 * SECOND, 100, 0);
	cr_expect_str_eq(text(300), "[]", "nothing to compare with");
	add(12 * SECOND, 150, 4);
	cr_expect_not_null(strstr(text(300), "\"t\":1700000012000,\"qps\":25.0,"), "50 in two seconds");
	cr_expect_not_null(
	    strstr(text(300), "\"clients\":7,\"waiting\":4,\"servers\":4,\"lent\":3,\"overflow\":0,\"limit\":7"));
	cr_expect_not_null(strstr(text(300), "\"p50\":"));
	cr_expect_null(strstr(text(300), "\"p50\":0.000"), "of the 50, not of all");
}

Test(status_history, scrapes_in_between_make_no_samples)
{
	add(10 * SECOND, 0, 0);
	add(10 * SECOND + SECOND / 2, 10, 0);
	add(11 * SECOND, 20, 0);
	cr_expect_eq(samples(text(300)), 1);
	cr_expect_not_null(strstr(text(300), "\"qps\":20.0,"));
}

Test(status_history, counters_that_shrink_count_as_nothing)
{
	add(10 * SECOND, 1000, 0);
	add(11 * SECOND, 10, 0);
	cr_expect_not_null(strstr(text(300), "\"qps\":0.0,"));
}

Test(status_history, five_minutes_are_kept)
{
	for (unsigned i = 0; i < 400; i++)
		add((10 + i) * SECOND, i, 0);
	cr_expect_eq(samples(text(1000)), 300);
	cr_expect_eq(samples(text(10)), 10);
	cr_expect_not_null(strstr(text(1), "\"t\":1700000409000,"), "the newest");
	cr_expect_not_null(strstr(text(300), "[{\"t\":1700000110000,"), "the oldest first");
}

Test(status_history, a_walk_over_thousands_of_pools_is_not_made_each_second)
{
	add(10 * SECOND, 0, 0);
	cr_expect_eq(h.due_us, 11 * SECOND);
	others = 10000;
	add(11 * SECOND, 0, 0);
	cr_expect_eq(h.due_us, 17 * SECOND);
}
