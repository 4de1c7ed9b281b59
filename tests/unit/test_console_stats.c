/* tests/unit/test_console_stats.c - totals and averages of SHOW STATS; the test owns the clock. */
#include "admin/console_stats.h"
#include "base/clock.h"
#include "unit.h"

#define MINUTE_US ((uint64_t)STATS_PERIOD_US)

Test(console_stats, totals_are_the_sums_pgbouncer_shows)
{
	struct database_sum d = { .name = "app" };
	struct stats s;

	d.counters.server_assignments = 1;
	d.counters.transactions[TE_COMMIT] = 2;
	d.counters.transactions[TE_ROLLBACK] = 3;
	d.counters.transactions[TE_LOST] = 4;
	d.counters.queries[QK_SIMPLE] = 5;
	d.counters.queries[QK_EXTENDED] = 6;
	d.counters.queries[QK_COPY] = 7;
	d.counters.bytes_in[NS_CLIENT] = 8;
	d.counters.bytes_in[NS_SERVER] = 1000;
	d.counters.bytes_out[NS_CLIENT] = 9;
	d.counters.transaction_duration.sums_us[0] = 10;
	d.counters.phase_us[PHASE_WAIT] = 11;
	d.counters.phase_us[PHASE_SERVER] = 12;
	d.counters.phase_us[PHASE_STREAM] = 13;
	d.counters.client_parses = 14;
	d.counters.server_parses = 15;
	d.counters.binds = 16;
	d.counters.client_logins = 17;
	s = stats_total(&d.counters);
	cr_expect_eq(s.of[STAT_SERVER_ASSIGNMENTS], 1);
	cr_expect_eq(s.of[STAT_TRANSACTIONS], 9);
	cr_expect_eq(s.of[STAT_QUERIES], 18);
	cr_expect_eq(s.of[STAT_RECEIVED], 8);
	cr_expect_eq(s.of[STAT_SENT], 9);
	cr_expect_eq(s.of[STAT_TRANSACTION_TIME], 10);
	cr_expect_eq(s.of[STAT_WAIT_TIME], 11);
	cr_expect_eq(s.of[STAT_QUERY_TIME], 25, "waiting is not part of a query's time");
	cr_expect_eq(s.of[STAT_CLIENT_PARSES], 14);
	cr_expect_eq(s.of[STAT_SERVER_PARSES], 15);
	cr_expect_eq(s.of[STAT_BINDS], 16);
	cr_expect_eq(s.of[STAT_CLIENT_LOGINS], 17);
}

/* The sums of up to two databases, with the end of the list. */
struct sums {
	struct database_sum of[3];
};

static uint64_t
average(const struct console_stats *s, const char *name, unsigned stat)
{
	struct stats minute = stats_minute(s, name);

	return stats_average(s, &minute).of[stat];
}

Test(console_stats, a_database_that_was_forgotten_begins_anew)
{
	struct sums d = { .of[0].name = "app" };
	struct console_stats *s = console_stats_new(7, 1);
	uint64_t now = 1;

	d.of[0].counters.queries[QK_SIMPLE] = 6000;
	console_stats_renew(s, d.of, now += MINUTE_US);
	cr_expect_eq(average(s, "app", STAT_QUERIES), 100);
	d = (struct sums){ .of[0].name = "other" };
	d.of[0].counters.queries[QK_SIMPLE] = 60;
	cr_expect_eq(average(s, "other", STAT_QUERIES), 0);
	console_stats_renew(s, d.of, now += MINUTE_US);
	cr_expect_eq(average(s, "other", STAT_QUERIES), 1);
	console_stats_renew(s, d.of + 1, now += MINUTE_US);
	cr_expect_eq(average(s, "other", STAT_QUERIES), 0, "forgotten with its database");
	console_stats_free(s);
}

Test(console_stats, a_worker_without_pools_takes_its_counts_along)
{
	struct sums d = { .of[0].name = "app" };
	struct console_stats *s = console_stats_new(7, 1);
	uint64_t now = 1;

	d.of[0].counters.queries[QK_SIMPLE] = 6000;
	console_stats_renew(s, d.of, now += MINUTE_US);
	d.of[0].counters.queries[QK_SIMPLE] = 1200;
	console_stats_renew(s, d.of, now += MINUTE_US);
	cr_expect_eq(average(s, "app", STAT_QUERIES), 0, "not less than none");
	d.of[0].counters.queries[QK_SIMPLE] = 1260;
	console_stats_renew(s, d.of, now += MINUTE_US);
	cr_expect_eq(average(s, "app", STAT_QUERIES), 1);
	console_stats_free(s);
}

Test(console_stats, averages_are_of_the_last_full_minute)
{
	struct sums d = { .of[0].name = "app" };
	struct database_counters *c = &d.of[0].counters;
	struct console_stats *s = console_stats_new(7, 1);
	uint64_t now = 1;

	c->queries[QK_SIMPLE] = 120;
	c->phase_us[PHASE_SERVER] = 120 * 500;
	c->phase_us[PHASE_WAIT] = 30 * US_PER_S;
	c->server_assignments = 120;
	cr_expect(!console_stats_is_due(s, now + MINUTE_US - 1), "no minute is over yet");
	cr_expect(console_stats_is_due(s, now + MINUTE_US));
	console_stats_renew(s, d.of, now += MINUTE_US);
	cr_expect_eq(average(s, "app", STAT_QUERIES), 2, "per second");
	cr_expect_eq(average(s, "app", STAT_QUERY_TIME), 500, "per query");
	cr_expect_eq(average(s, "app", STAT_WAIT_TIME), US_PER_S / 4, "per server that was assigned");
	cr_expect_eq(average(s, "app", STAT_TRANSACTION_TIME), 0, "there were none to divide by");

	c->queries[QK_SIMPLE] += 600;
	cr_expect(!console_stats_is_due(s, now + MINUTE_US / 2));
	cr_expect_eq(average(s, "app", STAT_QUERIES), 2, "still the last full one");
	console_stats_renew(s, d.of, now += 2 * MINUTE_US);
	cr_expect_eq(average(s, "app", STAT_QUERIES), 5, "a late tick divides by the time it took");
	console_stats_renew(s, d.of, now + MINUTE_US);
	cr_expect_eq(average(s, "app", STAT_QUERIES), 0, "a minute without any");
	console_stats_free(s);
}

Test(console_stats, databases_are_told_apart_and_may_come_later)
{
	struct sums d = { .of = { { .name = "one" }, { .name = "two" } } }, one = { .of[0].name = "one" };
	struct console_stats *s = console_stats_new(7, 1);

	console_stats_renew(s, one.of, 1 + MINUTE_US);
	d.of[0].counters.binds = 60;
	d.of[1].counters.binds = 120;
	cr_expect_eq(average(s, "two", STAT_BINDS), 0);
	console_stats_renew(s, d.of, 1 + 2 * MINUTE_US);
	cr_expect_eq(average(s, "one", STAT_BINDS), 1);
	cr_expect_eq(average(s, "two", STAT_BINDS), 2);
	console_stats_free(s);
}

Test(console_stats, rare_ones_count_in_the_average_of_all)
{
	struct sums d = { .of = { { .name = "one" }, { .name = "two" } } };
	struct console_stats *s = console_stats_new(7, 1);
	struct stats all, of_two;

	for (unsigned i = 0; i < 2; i++) {
		d.of[i].counters.queries[QK_SIMPLE] = 1 + i;
		d.of[i].counters.phase_us[PHASE_SERVER] = 600 * (1 + i);
	}
	console_stats_renew(s, d.of, 1 + MINUTE_US);
	all = stats_minute(s, "one");
	of_two = stats_minute(s, "two");
	counters_add(&all, &of_two, sizeof(all));
	cr_expect_eq(stats_average(s, &all).of[STAT_QUERIES], 0, "three a minute");
	cr_expect_eq(stats_average(s, &all).of[STAT_QUERY_TIME], 600);
	console_stats_free(s);
}
