/*
 * tests/unit/test_database_code.c - what a database's code could touch: when that is believed, and when it is asked
 * again. Links seal/database_code.c, seal/probe.c, seal/risk_names.c, wire/messages.c, wire/frame.c,
 * wire/fields.c, base/buf.c.
 */
#include "seal/database_code.h"

#include "base/clock.h"
#include "seal/seal.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define T0 (1000 * US_PER_S)
#define WITHOUT_CALLS ~RISK_BY_CALLS(STATE_PROBED)
#define FEARED (STATE_WASHABLE | RISK_CODE | RISK_UNREAD)
#define FEARED_AT_FIRST (FEARED | RISK_CONTEXT)

static void
row(struct database_code *code, const char *kind, const char *name, const char *value)
{
	const char *columns[] = { kind, name, value };
	struct buf b = { 0 };

	buf_put_u16(&b, 3);
	for (size_t i = 0; i < 3; i++) {
		buf_put_u32(&b, (uint32_t)strlen(columns[i]));
		buf_put(&b, columns[i], strlen(columns[i]));
	}
	database_code_row(code, b.bytes, b.len, true);
	buf_fini(&b);
}

static uint32_t numbers;

static void
answer(struct database_code *code, const char *parts, uint64_t asked_us, uint64_t cost_us)
{
	cr_assert_not_null(database_code_ask(code, asked_us));
	if (parts != NULL)
		row(code, "a", "", parts);
	database_code_answered(code, true, ++numbers, asked_us + cost_us);
}

/* The parts that opaque SQL could touch. */
static unsigned
parts_at(const struct database_code *code, uint64_t now_us)
{
	return database_code_risk(code, now_us, NULL, NULL, 0, NULL, 0) & WITHOUT_CALLS;
}

Test(database_code, is_everything_until_it_is_known)
{
	struct database_code code = { 0 };

	cr_expect_eq(parts_at(&code, T0), FEARED_AT_FIRST);
	cr_expect_eq(RISK_CALLED(database_code_risk(&code, T0, NULL, "SELECT f()", 10, NULL, 0)), STATE_PROBED);
	cr_expect_not(database_code_is_due(&code, T0), "nobody uses the database");
	code.used_us = (T0);
	cr_expect(database_code_is_due(&code, T0));
	cr_expect_eq(database_code_turn(&code, code.made, false, T0), CODE_ASK, "nobody knows anything");
	database_code_ask(&code, T0);
	cr_expect_eq(parts_at(&code, T0), FEARED_AT_FIRST);
	cr_expect_not(database_code_is_due(&code, T0 + US_PER_S), "it is being asked");
	database_code_lost(&code);
	code.used_us = T0 + US_PER_S;
	cr_expect(database_code_is_due(&code, T0 + 2 * US_PER_S), "the answer was lost");
	database_code_fini(&code);
}

static unsigned
risk_of(const struct database_code *code, struct sql_risk *kept, const char *sql)
{
	return database_code_risk(code, T0 + 1000, kept, sql, strlen(sql), NULL, 0) & WITHOUT_CALLS;
}

Test(database_code, is_what_the_rows_say)
{
	static const uint8_t types[] = { 0, 1, 0, 0, 64, 1 };
	struct database_code code = { 0 };
	struct sql_risk kept = { 0 };

	database_code_ask(&code, T0);
	row(&code, "r", "f", "f 4 1 function f() calls pg_advisory_lock()");
	row(&code, "r", "t", "r 0 2");
	row(&code, "t", "16385", "8 16");
	row(&code, "a", "", "256 32");
	row(&code, "n", "app.user_id", "");
	row(&code, "s", "\"a b\"", "");
	row(&code, "?", "2", "another kind");
	database_code_row(&code, (const uint8_t *)"\0\1\0\0\0\1x", 7, true); /* no row of ours */
	cr_expect(database_code_answered(&code, true, 7, T0 + 1000));
	cr_expect_eq(parts_at(&code, T0 + 1000), 4 | 1 | 2 | 8 | 16 | 256 | 32);
	cr_expect_eq(risk_of(&code, &kept, "SELECT f(1)"), 4 | 32);
	cr_expect_eq(kept.number, 7);
	cr_expect_eq(kept.parts, (4 | 32) | RISK_BY_CALLS(4 | 32));
	kept.parts = 3;
	cr_expect_eq(risk_of(&code, &kept, "SELECT f(1)"), 3, "it is looked up once");
	kept.number = 6;
	cr_expect_eq(risk_of(&code, &kept, "INSERT INTO t VALUES (f(1))"), 4 | 1 | 2 | 32, "those were other names");
	cr_expect_eq(risk_of(&code, NULL, "ALTER TABLE u"), parts_at(&code, T0 + 1000) | RISK_OPAQUE);
	cr_expect_eq(database_code_risk(&code, T0 + 1000, NULL, "SELECT $1", 9, types, sizeof(types)) & WITHOUT_CALLS,
		     8 | 16 | 32);
	cr_expect_eq(code.answer->name_count, 1);
	cr_expect_str_eq(code.answer->names[0], "app.user_id");
	cr_expect_str_eq(code.answer->fdw_schema, "\"a b\"");
	answer(&code, "1 0", T0 + 2000, 10);
	cr_expect_eq(parts_at(&code, T0 + 3000), STATE_SETTINGS);
	database_code_fini(&code);
}

Test(database_code, a_row_that_makes_no_sense_spoils_the_answer)
{
	struct database_code code = { 0 };

	database_code_ask(&code, T0);
	row(&code, "r", "f", "g 1 1");
	cr_expect_not(database_code_answered(&code, true, ++numbers, T0 + 1000));
	cr_expect_eq(parts_at(&code, T0 + 1000), FEARED_AT_FIRST);
	database_code_fini(&code);
}

Test(database_code, has_sequences_unless_the_catalogs_show_none)
{
	struct database_code code = { 0 };

	cr_expect(database_code_has_sequences(&code, T0), "nobody knows");
	answer(&code, NULL, T0, 1000);
	cr_expect(database_code_has_sequences(&code, T0 + 1000), "no row");
	database_code_ask(&code, T0 + 2000);
	row(&code, "q", "", "");
	database_code_answered(&code, true, ++numbers, T0 + 3000);
	cr_expect_not(database_code_has_sequences(&code, T0 + 4000));
	cr_expect_eq(parts_at(&code, T0 + 4000), 0);
	cr_expect(database_code_has_sequences(&code, T0 + 30 * US_PER_S), "an old answer");
	database_code_changed(&code, false);
	cr_expect(database_code_has_sequences(&code, T0 + 4000), "DDL");
	database_code_fini(&code);
}

Test(database_code, is_not_believed_for_long)
{
	struct database_code code = { 0 };

	answer(&code, NULL, T0, 1000);
	cr_expect_eq(parts_at(&code, T0 + 1000), 0);
	code.used_us = (T0 + 1000);
	cr_expect_not(database_code_is_due(&code, T0 + 2000));
	cr_expect(database_code_is_due(&code, T0 + 1100 * US_PER_MS));
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 1100 * US_PER_MS), CODE_GO,
		     "those in line go first, for a while");
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 1600 * US_PER_MS), CODE_ASK);
	cr_expect_eq(parts_at(&code, T0 + 1900 * US_PER_MS), 0, "it is believed until there has been time for another");
	cr_expect_eq(parts_at(&code, T0 + 2 * US_PER_S), FEARED);
	answer(&code, NULL, T0 + 3 * US_PER_S, 2900 * US_PER_MS);
	cr_expect_eq(parts_at(&code, T0 + 5900 * US_PER_MS), FEARED, "what was read is as old as the question");
	code.used_us = T0 + 5900 * US_PER_MS;
	cr_expect(database_code_is_due(&code, T0 + 5900 * US_PER_MS), "whether it still is so, is soon told");
	database_code_fini(&code);
}

static void
answer_version(struct database_code *code, const char *parts, const char *version, uint64_t asked_us, uint64_t cost_us)
{
	database_code_ask(code, asked_us);
	if (parts != NULL)
		row(code, "a", "", parts);
	row(code, "v", version, "");
	database_code_answered(code, true, ++numbers, asked_us + cost_us);
}

/* From then on that there is any need not be asked. */
static void
has_code(struct database_code *code)
{
	database_code_ask(code, T0);
	row(code, "c", "", "");
	cr_expect_not(database_code_answered(code, true, ++numbers, T0 + 1000));
	cr_expect(database_code_is_unread(code));
}

/* A plain database: it has no code but what is named in these rows. */
static void
answer_plain(struct database_code *code, const char *version, const char *also, uint64_t asked_us)
{
	row(code, "v", version, "");
	row(code, also, "", "");
	database_code_answered(code, true, ++numbers, asked_us + 1000);
}

Test(database_code, is_read_only_where_there_is_any)
{
	struct database_code code = { 0 };
	const char *any, *all, *version;

	any = database_code_ask(&code, T0);
	answer_plain(&code, "7 77", "q", T0);
	cr_expect_eq(parts_at(&code, T0 + 1000), 0);
	cr_expect_not(database_code_has_sequences(&code, T0 + 1000));
	cr_expect_not(database_code_is_unread(&code));

	version = database_code_ask(&code, T0 + 1 * US_PER_S);
	cr_expect_neq(version, any);
	answer_plain(&code, "7 77", "", T0 + 1 * US_PER_S);
	cr_expect_eq(parts_at(&code, T0 + 2 * US_PER_S), 0, "it is as it was");

	cr_expect_eq(database_code_ask(&code, T0 + 2 * US_PER_S), version);
	answer_plain(&code, "8 88", "", T0 + 2 * US_PER_S);
	cr_expect(database_code_has_sequences(&code, T0 + 2 * US_PER_S + 1000), "another program has made something");
	cr_expect_eq(database_code_ask(&code, T0 + 3 * US_PER_S), any);
	answer_plain(&code, "8 88", "", T0 + 3 * US_PER_S);
	cr_expect(database_code_has_sequences(&code, T0 + 4 * US_PER_S));
	cr_expect_eq(parts_at(&code, T0 + 4 * US_PER_S), 0);

	cr_expect_eq(database_code_ask(&code, T0 + 4 * US_PER_S), version);
	answer_plain(&code, "9 99", "", T0 + 4 * US_PER_S);
	cr_expect_eq(parts_at(&code, T0 + 4 * US_PER_S + 1000), FEARED_AT_FIRST);
	cr_expect_eq(database_code_ask(&code, T0 + 5 * US_PER_S), any);
	answer_plain(&code, "9 99", "c", T0 + 5 * US_PER_S);
	cr_expect(database_code_is_unread(&code), "it was a function");
	cr_expect_eq(parts_at(&code, T0 + 5 * US_PER_S + 1000), FEARED_AT_FIRST);
	all = database_code_ask(&code, T0 + 5 * US_PER_S + 1000);
	cr_expect(all != any && all != version);
	row(&code, "a", "", "1 0");
	answer_plain(&code, "9 99", "", T0 + 5 * US_PER_S + 1000);
	cr_expect_not(database_code_is_unread(&code));
	cr_expect_eq(parts_at(&code, T0 + 6 * US_PER_S), STATE_SETTINGS);
	cr_expect_eq(database_code_ask(&code, T0 + 6 * US_PER_S), version);
	database_code_fini(&code);
}

Test(database_code, a_new_name_is_feared_while_the_answer_is_believed)
{
	struct database_code code = { 0 };
	struct sql_risk kept = { 0 };
	unsigned feared;

	database_code_ask(&code, T0);
	row(&code, "k", "select", "");
	row(&code, "k", "old", "");
	answer_plain(&code, "7 77", "", T0);
	cr_expect_eq(risk_of(&code, NULL, "SELECT old()"), 0);
	feared = database_code_risk(&code, T0 + 1000, &kept, "SELECT fresh()", 14, NULL, 0);
	cr_expect_eq(feared, FEARED_AT_FIRST | RISK_BY_CALLS(STATE_PROBED));
	cr_expect(kept.number == code.number && kept.parts == feared, "that is so until the code was read again");
	database_code_ask(&code, T0 + US_PER_S);
	answer_plain(&code, "8 88", "", T0 + US_PER_S);
	database_code_ask(&code, T0 + US_PER_S + 2000);
	row(&code, "k", "select", "");
	row(&code, "k", "fresh", "");
	answer_plain(&code, "8 88", "", T0 + US_PER_S + 2000);
	cr_expect_eq(database_code_risk(&code, T0 + 2 * US_PER_S, &kept, "SELECT fresh()", 14, NULL, 0), 0);
	database_code_fini(&code);
}

Test(database_code, is_read_where_there_was_no_answer)
{
	struct database_code code = { 0 };
	const char *any = database_code_ask(&code, T0);

	cr_expect_not(database_code_answered(&code, false, ++numbers, T0 + 1000));
	cr_expect_not(database_code_is_unread(&code));
	cr_expect_eq(database_code_ask(&code, T0 + 61 * US_PER_S), any);
	row(&code, "c", "", "");
	cr_expect_not(database_code_answered(&code, true, ++numbers, T0 + 61 * US_PER_S + 1000));
	cr_expect(database_code_is_unread(&code));
	database_code_fini(&code);
}

Test(database_code, is_not_read_again_as_long_as_its_version_is_the_same)
{
	struct database_code code = { 0 };
	const char *all, *version;

	has_code(&code);
	all = database_code_ask(&code, T0);
	row(&code, "v", "7 77", "");
	row(&code, "a", "", "1 0");
	cr_expect(database_code_answered(&code, true, ++numbers, T0 + 100 * US_PER_MS));
	code.used_us = T0 + 100 * US_PER_S;
	cr_expect_eq(parts_at(&code, T0 + 1900 * US_PER_MS), STATE_SETTINGS);
	cr_expect_eq(parts_at(&code, T0 + 2 * US_PER_S), FEARED | STATE_SETTINGS,
		     "another program may have changed it");
	version = database_code_ask(&code, T0 + 10 * US_PER_S);
	cr_expect_neq(version, all);
	row(&code, "v", "7 77", "");
	cr_expect_not(database_code_answered(&code, true, ++numbers, T0 + 10 * US_PER_S + 19 * US_PER_MS));
	cr_expect_eq(parts_at(&code, T0 + 11900 * US_PER_MS), STATE_SETTINGS);
	cr_expect(database_code_is_due(&code, T0 + 11100 * US_PER_MS));
	cr_expect_eq(parts_at(&code, T0 + 12 * US_PER_S), FEARED | STATE_SETTINGS);
	database_code_fini(&code);
}

Test(database_code, is_believed_for_longer_where_the_question_about_its_version_takes_long)
{
	struct database_code code = { 0 };

	answer_version(&code, "0 0", "7 77", T0, 200 * US_PER_MS);
	code.used_us = T0 + 100 * US_PER_S;
	answer_version(&code, NULL, "7 77", T0 + 1 * US_PER_S, 100 * US_PER_MS);
	cr_expect_not(database_code_is_due(&code, T0 + 5 * US_PER_S));
	cr_expect_eq(parts_at(&code, T0 + 10 * US_PER_S), 0);
	cr_expect_eq(parts_at(&code, T0 + 11 * US_PER_S), FEARED);
	answer_version(&code, NULL, "7 77", T0 + 11 * US_PER_S, 10 * US_PER_MS);
	answer_version(&code, NULL, "7 77", T0 + 12 * US_PER_S, 100 * US_PER_MS);
	cr_expect_eq(parts_at(&code, T0 + 13900 * US_PER_MS), 0);
	cr_expect_eq(parts_at(&code, T0 + 14 * US_PER_S), FEARED, "it was PostgreSQL that was busy");
	database_code_fini(&code);
}

Test(database_code, an_answer_that_is_merely_old_closes_no_server_but_for_its_names)
{
	struct database_code code = { 0 };
	struct sql_risk kept = { 0 };

	database_code_ask(&code, T0);
	row(&code, "r", "f", "f 256 0 language plpython3u");
	row(&code, "a", "", "256 0");
	database_code_answered(&code, true, 7, T0 + 1000);
	for (unsigned i = 0; i < 2; i++) { /* looked up, and remembered */
		cr_expect_eq(database_code_risk(&code, T0 + 9 * US_PER_S, NULL, "SELECT 1", 8, NULL, 0) & WITHOUT_CALLS,
			     FEARED);
		cr_expect_eq(database_code_risk(&code, T0 + 9 * US_PER_S, &kept, "SELECT f()", 10, NULL, 0) &
				 WITHOUT_CALLS,
			     FEARED | STATE_BACKEND);
	}
	database_code_changed(&code, false);
	cr_expect_eq(database_code_risk(&code, T0 + 9 * US_PER_S, NULL, "SELECT 1", 8, NULL, 0) & WITHOUT_CALLS,
		     FEARED_AT_FIRST | STATE_BACKEND);
	database_code_fini(&code);
}

Test(database_code, is_asked_for_as_often_where_postgresql_is_busy)
{
	struct database_code code = { 0 };

	answer_version(&code, "0 0", "7 77", T0, 1000);
	code.used_us = T0 + 2 * US_PER_S;
	answer_version(&code, NULL, "7 77", T0 + 1 * US_PER_S, 30 * US_PER_MS);
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 2600 * US_PER_MS), CODE_ASK,
		     "before it is not believed any more");
	cr_expect_eq(parts_at(&code, T0 + 2900 * US_PER_MS), 0);
	database_code_fini(&code);
}

Test(database_code, is_read_again_after_ddl_and_after_a_refusal)
{
	struct database_code code = { 0 };
	const char *all;

	has_code(&code);
	all = database_code_ask(&code, T0);
	answer_version(&code, NULL, "7 77", T0, 1000);
	database_code_changed(&code, false);
	cr_expect_eq(database_code_ask(&code, T0 + US_PER_S), all);
	answer_version(&code, NULL, "7 77", T0 + US_PER_S, 1000);
	cr_expect_neq(database_code_ask(&code, T0 + 3 * US_PER_S), all);
	cr_expect_not(database_code_answered(&code, false, ++numbers, T0 + 4 * US_PER_S));
	cr_expect_eq(database_code_ask(&code, T0 + 70 * US_PER_S), all);
	database_code_fini(&code);
}

Test(database_code, is_read_soon_after_ddl_unless_that_goes_on)
{
	struct database_code code = { 0 };

	answer(&code, NULL, T0, US_PER_S);
	code.used_us = T0 + 100 * US_PER_S;
	database_code_changed(&code, false);
	cr_expect_not(database_code_is_due(&code, T0 + 2 * US_PER_S));
	cr_expect(database_code_is_due(&code, T0 + 3 * US_PER_S));
	database_code_ask(&code, T0 + 3 * US_PER_S);
	database_code_changed(&code, false);
	database_code_answered(&code, true, ++numbers, T0 + 4 * US_PER_S);
	cr_expect_not(database_code_is_due(&code, T0 + 12 * US_PER_S), "at most so often");
	cr_expect(database_code_is_due(&code, T0 + 14 * US_PER_S));
	answer(&code, NULL, T0 + 20 * US_PER_S, 10 * US_PER_MS);
	database_code_changed(&code, false);
	cr_expect_not(database_code_is_due(&code, T0 + 20400 * US_PER_MS));
	cr_expect(database_code_is_due(&code, T0 + 20600 * US_PER_MS));
	database_code_fini(&code);
}

Test(database_code, is_not_believed_after_ddl)
{
	struct database_code code = { 0 };

	answer(&code, NULL, T0, 1000);
	database_code_changed(&code, false);
	cr_expect_eq(parts_at(&code, T0 + 2000), FEARED_AT_FIRST);
	database_code_ask(&code, T0 + 3000);
	database_code_changed(&code, false); /* more, while it is being asked */
	database_code_answered(&code, true, ++numbers, T0 + 4000);
	cr_expect_eq(parts_at(&code, T0 + 5000), FEARED_AT_FIRST);
	answer(&code, NULL, T0 + 6000, 1000);
	cr_expect_eq(parts_at(&code, T0 + 8000), 0);
	database_code_fini(&code);
}

Test(database_code, a_refusal_leaves_everything_possible_and_is_not_repeated_at_once)
{
	struct database_code code = { 0 };

	database_code_ask(&code, T0);
	cr_expect_not(database_code_answered(&code, false, ++numbers, T0 + 1000));
	cr_expect_eq(parts_at(&code, T0 + 1000), FEARED_AT_FIRST);
	code.used_us = (T0 + 2000);
	cr_expect_not(database_code_is_due(&code, T0 + 30 * US_PER_S));
	cr_expect(database_code_is_due(&code, T0 + 70 * US_PER_S));
	database_code_fini(&code);
}

Test(database_code, a_row_that_was_cut_spoils_the_answer)
{
	struct database_code code = { 0 };

	database_code_ask(&code, T0);
	database_code_row(&code, (const uint8_t *)"\0\3\0\0\0\1c", 7, false);
	cr_expect_not(database_code_answered(&code, true, ++numbers, T0 + 1000));
	cr_expect_eq(parts_at(&code, T0 + 1000), FEARED_AT_FIRST);
	database_code_fini(&code);
}

Test(database_code, is_asked_for_anew_when_the_answer_was_lost)
{
	struct database_code code = { 0 };

	database_code_ask(&code, T0);
	row(&code, "a", "", "1 0");
	database_code_lost(&code);
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 1000), CODE_ASK, "who waits asks");
	answer(&code, "2", T0 + 1000, 1000);
	cr_expect_eq(code.round, 2);
	cr_expect_eq(parts_at(&code, T0 + 3000), STATE_TEMP);
	database_code_fini(&code);
}

Test(database_code, who_may_have_run_functions_just_made_is_judged_before_it_is_given_back)
{
	struct database_code code = { 0 };

	answer(&code, NULL, T0, 1000);
	code.used_us = T0 + 2000;
	database_code_changed(&code, false);
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 3000), CODE_GO);
	database_code_changed(&code, true);
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 3000), CODE_ASK);
	answer(&code, "256", T0 + 4000, 1000);
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 6000), CODE_GO);
	cr_expect_eq(parts_at(&code, T0 + 6000), STATE_BACKEND);
	database_code_fini(&code);
}

Test(database_code, what_is_compiled_counts_until_there_is_another_answer)
{
	struct database_code code = { 0 };

	cr_expect_eq(database_code_compiled(&code), RISK_CONTEXT, "as long as nothing is known");
	answer(&code, "1024 0", T0, 10);
	cr_expect_eq(database_code_compiled(&code), RISK_CONTEXT);
	database_code_changed(&code, false);
	cr_expect_eq(database_code_compiled(&code), RISK_CONTEXT, "the next answer will tell");
	answer(&code, NULL, T0 + 2 * US_PER_S, 10);
	cr_expect_eq(database_code_compiled(&code), 0);
	database_code_fini(&code);
}

Test(database_code, another_version_counts_as_ddl_until_the_code_was_read)
{
	struct database_code code = { 0 };

	answer_version(&code, "0 0", "7 77", T0, 1000);
	code.used_us = T0 + 2 * US_PER_S;
	answer_version(&code, NULL, "7 77", T0 + 2 * US_PER_S, 500);
	cr_expect(database_code_is_known(&code, T0 + 3 * US_PER_S));
	code.used_us = T0 + 4 * US_PER_S;
	answer_version(&code, NULL, "8 88", T0 + 4 * US_PER_S, 500);
	cr_expect_not(database_code_is_known(&code, T0 + 4 * US_PER_S + 1000), "the code is another one");
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 4 * US_PER_S + 1000), CODE_GO,
		     "nobody need be kept from a server");
	code.used_us = T0 + 4 * US_PER_S + 1000;
	cr_expect(database_code_is_due(&code, T0 + 4 * US_PER_S + 1000), "it is read at once");
	answer_version(&code, "1 0", "8 88", T0 + 4 * US_PER_S + 1000, 1000);
	cr_expect(database_code_is_known(&code, T0 + 5 * US_PER_S));
	cr_expect_eq(parts_at(&code, T0 + 5 * US_PER_S), STATE_SETTINGS);
	database_code_fini(&code);
}

/* Of those that come back now; each would ask, wait or go on. */
struct herd {
	uint64_t made[28];
	unsigned turns[CODE_WAIT + 1];
};

static struct herd
come_back(const struct database_code *code, uint64_t now_us)
{
	struct herd h = { .turns = { 0 } };

	for (unsigned i = 0; i < 28; i++) {
		h.made[i] = code->made;
		h.turns[database_code_turn(code, h.made[i], false, now_us)]++;
	}
	return h;
}

static unsigned
count_turn(const struct database_code *code, const struct herd *h, enum code_turn turn, uint64_t now_us)
{
	unsigned count = 0;

	for (unsigned i = 0; i < 28; i++)
		count += database_code_turn(code, h->made[i], false, now_us) == turn;
	return count;
}

Test(database_code, one_server_asks_and_who_is_unheard_waits_for_the_answer_that_tells)
{
	struct database_code code = { 0 };
	struct herd first, second, third;

	database_code_ask(&code, T0); /* nothing is known, and one asks */
	first = come_back(&code, T0 + 1000);
	cr_expect_eq(first.turns[CODE_WAIT], 28);
	database_code_changed(&code, true);
	second = come_back(&code, T0 + 2000);
	cr_expect_eq(second.turns[CODE_WAIT], 28);
	database_code_changed(&code, false); /* a table: nobody waits for that */
	database_code_answered(&code, true, ++numbers, T0 + 3000);
	cr_expect_eq(count_turn(&code, &first, CODE_GO, T0 + 3000), 28);
	cr_expect_eq(count_turn(&code, &second, CODE_WAIT, T0 + 3000), 28, "it was asked before the function was made");
	cr_expect_eq(count_turn(&code, &second, CODE_ASK, T0 + 9000), 28, "reading took 3 ms: a third of the time");

	database_code_ask(&code, T0 + 9000); /* the first of these asks */
	cr_expect_eq(count_turn(&code, &first, CODE_GO, T0 + 9500), 28);
	cr_expect_eq(count_turn(&code, &second, CODE_WAIT, T0 + 9500), 28);
	database_code_changed(&code, false);
	third = come_back(&code, T0 + 9500);
	cr_expect_eq(third.turns[CODE_WAIT], 28, "the answer under way will tell");
	database_code_answered(&code, true, ++numbers, T0 + 9900);
	cr_expect_eq(count_turn(&code, &second, CODE_GO, T0 + 9900), 28);
	cr_expect_eq(count_turn(&code, &third, CODE_GO, T0 + 9900), 28);
	cr_expect_eq(code.round, 2);
	database_code_fini(&code);
}

/* As while many clients make functions: 28 servers come back every 50 ms, and each may have run what was just made. */
Test(database_code, while_functions_are_made_again_and_again_many_servers_wait_for_one_answer)
{
	struct database_code code = { 0 };
	uint64_t last_us = T0, longest_us = 0, waits_us = 0, done_us = 0, now_us = T0;

	answer(&code, NULL, T0, 400 * US_PER_MS);
	for (; now_us < T0 + 60 * US_PER_S; now_us += 50 * US_PER_MS) {
		database_code_changed(&code, true);
		waits_us = waits_us == 0 ? now_us : waits_us;
		if (code.coming != NULL && now_us == done_us) {
			database_code_answered(&code, true, ++numbers, now_us);
			longest_us = now_us - waits_us > longest_us ? now_us - waits_us : longest_us;
			waits_us = last_us + 50 * US_PER_MS; /* who came back since it was asked */
		}
		if (come_back(&code, now_us).turns[CODE_ASK] == 28) {
			database_code_ask(&code, now_us);
			last_us = now_us;
			done_us = now_us + 400 * US_PER_MS;
		}
	}
	cr_expect_leq(code.round, 60, "%" PRIu32, code.round);
	cr_expect_geq(code.round, 50);
	cr_expect_leq(longest_us, 1400 * US_PER_MS, "%" PRIu64, longest_us);
	database_code_fini(&code);
}

Test(database_code, who_is_not_unheard_goes_on_while_one_asks)
{
	struct database_code code = { 0 };
	struct herd h;

	answer(&code, NULL, T0, 1000);
	code.used_us = T0 + 10 * US_PER_S;
	h = come_back(&code, T0 + 10 * US_PER_S);
	cr_expect_eq(h.turns[CODE_ASK], 28, "the answer is old: the first one asks");
	database_code_ask(&code, T0 + 10 * US_PER_S);
	cr_expect_eq(count_turn(&code, &h, CODE_GO, T0 + 10 * US_PER_S), 28, "all is washed off the others");
	database_code_fini(&code);
}

Test(database_code, who_waits_is_not_told_by_an_answer_that_failed)
{
	struct database_code code = { 0 };
	struct herd h;

	answer(&code, NULL, T0, 1000);
	database_code_changed(&code, true);
	database_code_ask(&code, T0 + 2000);
	h = come_back(&code, T0 + 3000);
	cr_expect_eq(h.turns[CODE_WAIT], 28);
	database_code_answered(&code, false, ++numbers, T0 + 4000);
	cr_expect_eq(count_turn(&code, &h, CODE_GO, T0 + 4000), 28, "nobody waits for ever");
	cr_expect_not(database_code_has_heard(&code, h.made[0]), "... and is closed, not lent");
	database_code_fini(&code);
}

Test(database_code, who_is_free_waits_for_nothing_and_asks_only_now_and_then)
{
	struct database_code code = { 0 };

	cr_expect_eq(database_code_turn(&code, code.made, true, T0), CODE_ASK, "no server is ever idle, it may be");
	answer(&code, "256 0", T0, 100 * US_PER_MS);
	database_code_changed(&code, true);
	cr_expect_eq(database_code_turn(&code, code.made, true, T0 + 1900 * US_PER_MS), CODE_GO);
	cr_expect_eq(database_code_turn(&code, code.made, false, T0 + 1900 * US_PER_MS), CODE_ASK);
	cr_expect_eq(database_code_turn(&code, code.made, true, T0 + 2100 * US_PER_MS), CODE_ASK);
	database_code_ask(&code, T0 + 2100 * US_PER_MS);
	cr_expect_eq(database_code_turn(&code, code.made, true, T0 + 2200 * US_PER_MS), CODE_GO);
	database_code_fini(&code);
}
