/* tests/unit/test_hosts.c - which hosts do not answer (server/hosts.h). Links only server/hosts.c. */
#include "server/hosts.h"
#include "unit.h"

#define S UINT64_C(1000000)

Test(hosts, a_host_that_answers_is_always_due)
{
	struct hosts *h = hosts_new(1);

	cr_expect_eq(hosts_due_us(h, "db1:5432"), 0);
	hosts_note_attempt(h, "db1:5432", 5 * S, 100 * S);
	cr_expect_eq(hosts_due_us(h, "db1:5432"), 0, "it was never silent");
	hosts_free(h);
}

Test(hosts, a_silent_one_is_due_after_a_second_doubled_up_to_15)
{
	struct hosts *h = hosts_new(1);
	uint64_t want = 1 * S;

	for (int i = 0; i < 8; i++) {
		uint64_t wait;

		hosts_note_silent(h, "db1:5432", 100 * S);
		wait = hosts_due_us(h, "db1:5432") - 100 * S;
		cr_expect(wait >= want * 8 / 10 && wait <= want * 12 / 10, "%llu", (unsigned long long)wait);
		cr_expect_eq(hosts_due_us(h, "db2:5432"), 0, "another host");
		want = want * 2 > 15 * S ? 15 * S : want * 2;
	}
	hosts_note_answer(h, "db1:5432");
	cr_expect_eq(hosts_due_us(h, "db1:5432"), 0);
	hosts_note_silent(h, "db1:5432", 200 * S);
	cr_expect_leq(hosts_due_us(h, "db1:5432"), 202 * S, "it begins anew");
	hosts_free(h);
}

Test(hosts, while_a_silent_one_is_tried_nobody_else_tries_it)
{
	struct hosts *h = hosts_new(1);

	hosts_note_silent(h, "db1:5432", 100 * S);
	hosts_note_attempt(h, "db1:5432", 5 * S, 102 * S);
	cr_expect_eq(hosts_due_us(h, "db1:5432"), 107 * S);
	hosts_free(h);
}

Test(hosts, without_a_table_every_host_is_due)
{
	hosts_note_silent(NULL, "db1:5432", 100 * S);
	hosts_note_attempt(NULL, "db1:5432", 5 * S, 100 * S);
	hosts_note_answer(NULL, "db1:5432");
	cr_expect_eq(hosts_due_us(NULL, "db1:5432"), 0);
}

Test(hosts, there_are_at_most_so_many)
{
	struct hosts *h = hosts_new(1);
	char name[32];

	for (unsigned i = 0; i < HOSTS_MAX + 10; i++) {
		snprintf(name, sizeof(name), "db%u:5432", i);
		hosts_note_silent(h, name, 100 * S);
	}
	cr_expect_neq(hosts_due_us(h, "db4095:5432"), 0);
	cr_expect_eq(hosts_due_us(h, "db4096:5432"), 0);
	hosts_free(h);
}
