/* tests/unit/test_sequence_habits.c - which statements are worth keeping a connection for. */
#include "session/sequence_habits.h"

#include <criterion/criterion.h>
#include <string.h>

static struct sequence_habits habits;

static uint32_t
key(const char *sql)
{
	return sequence_habits_key(7, sql, strlen(sql));
}

Test(sequence_habits, sql_is_known_by_what_precedes_its_values)
{
	cr_assert_eq(key("INSERT INTO t1 VALUES (1, 'x')"), key("INSERT INTO t1 VALUES (2, 'y')"));
	cr_assert_eq(key("INSERT INTO t1 VALUES ('1')"), key("INSERT INTO t1 VALUES ('it''s')"));
	cr_assert_neq(key("INSERT INTO t1 VALUES (1)"), key("INSERT INTO t2 VALUES (1)"));
	cr_assert_neq(sequence_habits_key(7, "INSERT", 6), sequence_habits_key(8, "INSERT", 6));
	cr_assert_neq(key(""), 0);
}

/* Another client each time: what one client is granted by itself does not count. */
static unsigned
trials(uint32_t k, uint64_t client)
{
	unsigned count = 0;

	sequence_habits_ran(&habits, client, key("BEFORE"), false);
	sequence_habits_ran(&habits, client, key("BEFORE"), false);
	while (count < 100 && sequence_habits_ran(&habits, client, k, false) != SEQUENCE_UNLIKELY)
		count++;
	return count;
}

Test(sequence_habits, what_is_never_followed_is_tried_some_times)
{
	cr_assert_eq(trials(key("A"), 1), SEQUENCE_HABITS_TRIALS);
	cr_assert_eq(trials(key("A"), 2), 0);
	cr_assert_eq(sequence_habits_ran(&habits, 3, key("A"), true), SEQUENCE_TRIED, "a newcomer is trusted once");
}

Test(sequence_habits, what_was_followed_once_is_kept_for_always)
{
	trials(key("A"), 1);
	sequence_habits_asked(&habits, 1);
	cr_assert_eq(trials(key("A"), 2), 100);
	cr_assert_eq(trials(key("B"), 2), SEQUENCE_HABITS_TRIALS);
}

Test(sequence_habits, a_question_of_another_client_teaches_nothing)
{
	trials(key("A"), 1);
	sequence_habits_asked(&habits, 2);
	sequence_habits_asked(&habits, 1 + SEQUENCE_HABITS_CLIENTS); /* in the same place */
	cr_assert_eq(trials(key("A"), 3), 0);
}

Test(sequence_habits, a_question_that_nothing_follows_is_no_newcomers)
{
	for (unsigned i = 0; i < 3 * SEQUENCE_HABITS_TRIALS; i++) {
		cr_assert_neq(sequence_habits_ran(&habits, 1, key("INSERT"), true), SEQUENCE_UNLIKELY);
		sequence_habits_asked(&habits, 1);
		cr_assert_eq(sequence_habits_ran(&habits, 1, key("SELECT lastval()"), true) == SEQUENCE_UNLIKELY,
			     i >= SEQUENCE_HABITS_TRIALS, "%u", i);
	}
}

Test(sequence_habits, who_never_asks_keeps_nobody_waiting)
{
	unsigned count = 0;

	sequence_habits_ran(&habits, 1, key("A"), true);
	sequence_habits_asked(&habits, 1);
	while (count < 100 && sequence_habits_ran(&habits, 1, key("A"), true) == SEQUENCE_FOLLOWED)
		count++;
	cr_assert_eq(count, SEQUENCE_HABITS_TRIALS);
	cr_assert_eq(sequence_habits_ran(&habits, 1, key("A"), false), SEQUENCE_FOLLOWED, "nobody waits");
	sequence_habits_asked(&habits, 1);
	cr_assert_eq(sequence_habits_ran(&habits, 1, key("A"), true), SEQUENCE_FOLLOWED);
}
