/*
 * tests/unit/test_database_code.c - what a database's code could touch: when that is believed, and when it is asked
 * again. Links pool/database_code.c, session/probe.c, session/risk_names.c, wire/messages.c, wire/frame.c,
 * wire/fields.c, base/buf.c.
 */
#include "pool/database_code.h"

#include "base/clock.h"
#include "session/seal.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define T0 (1000 * US_PER_S)
#define FEARED_AT_FIRST (STATE_WASHABLE | RISK_CONTEXT | RISK_CODE)

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
	return database_code_risk(code, now_us, NULL, NULL, 0, NULL, 0);
}

Test(database_code, is_everything_until_it_is_known)
{
	struct database_code code = { 0 };

	cr_expect_eq(parts_at(&code, T0), FEARED_AT_FIRST);
	cr_expect_not(database_code_is_due(&code, T0), "nobody uses the database");
	code.used_us = (T0);
	cr_expect(database_code_is_due(&code, T0));
	cr_expect(database_code_is_overdue(&code, T0), "nobody knows anything");
	database_code_ask(&code, T0);
	cr_expect_eq(parts_at(&code, T0), FEARED_AT_FIRST);
	cr_expect_not(database_code_is_due(&code, T0 + US_PER_S), "it is being asked");
	cr_expect(database_code_is_due(&code, T0 + 11 * US_PER_S), "the answer was lost");
	database_code_fini(&code);
}

static unsigned
risk_of(const struct database_code *code, struct sql_risk *kept, const char *sql)
{
	return database_code_risk(code, T0 + 1000, kept, sql, strlen(sql), NULL, 0);
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
	cr_expect_eq(kept.parts, 4 | 32);
	kept.parts = 3;
	cr_expect_eq(risk_of(&code, &kept, "SELECT f(1)"), 3, "it is looked up once");
	kept.number = 6;
	cr_expect_eq(risk_of(&code, &kept, "INSERT INTO t VALUES (f(1))"), 4 | 1 | 2 | 32, "those were other names");
	cr_expect_eq(risk_of(&code, NULL, "ALTER TABLE u"), parts_at(&code, T0 + 1000));
	cr_expect_eq(database_code_risk(&code, T0 + 1000, NULL, "SELECT $1", 9, types, sizeof(types)), 8 | 16 | 32);
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
	cr_expect_not(database_code_is_overdue(&code, T0 + 1100 * US_PER_MS), "those in line go first, for a while");
	cr_expect(database_code_is_overdue(&code, T0 + 2100 * US_PER_MS));
	cr_expect_eq(parts_at(&code, T0 + 3 * US_PER_S), STATE_WASHABLE | RISK_CODE);
	answer(&code, NULL, T0 + 3 * US_PER_S, 100 * US_PER_MS); /* a dear one is asked less often */
	code.used_us = (T0 + 4 * US_PER_S);
	cr_expect_not(database_code_is_due(&code, T0 + 12 * US_PER_S));
	cr_expect_eq(parts_at(&code, T0 + 12 * US_PER_S), 0);
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

Test(database_code, is_not_read_again_as_long_as_its_version_is_the_same)
{
	struct database_code code = { 0 };
	const char *all, *version;

	all = database_code_ask(&code, T0);
	row(&code, "v", "7 77", "");
	row(&code, "a", "", "1 0");
	cr_expect(database_code_answered(&code, true, ++numbers, T0 + 100 * US_PER_MS));
	code.used_us = T0 + 100 * US_PER_S;
	version = database_code_ask(&code, T0 + 10 * US_PER_S);
	cr_expect_neq(version, all);
	row(&code, "v", "7 77", "");
	cr_expect_not(database_code_answered(&code, true, ++numbers, T0 + 10 * US_PER_S + 1000));
	cr_expect_eq(parts_at(&code, T0 + 29 * US_PER_S), STATE_SETTINGS, "it is believed for as long as before");
	cr_expect(database_code_is_due(&code, T0 + 12 * US_PER_S), "but asked for more often, as that is cheap");
	cr_expect_eq(parts_at(&code, T0 + 31 * US_PER_S), STATE_WASHABLE | RISK_CODE);
	database_code_fini(&code);
}

Test(database_code, is_read_again_in_its_turn_when_its_version_is_another_one)
{
	struct database_code code = { 0 };
	const char *all = database_code_ask(&code, T0);

	answer_version(&code, NULL, "7 77", T0, 10 * US_PER_MS);
	answer_version(&code, NULL, "8 88", T0 + 1100 * US_PER_MS, 1000);
	code.used_us = T0 + 100 * US_PER_S;
	cr_expect_eq(parts_at(&code, T0 + 1200 * US_PER_MS), 0, "until the answer is too old");
	cr_expect_not(database_code_is_due(&code, T0 + 2900 * US_PER_MS),
		      "reading takes its share of the time at most");
	cr_expect(database_code_is_due(&code, T0 + 3100 * US_PER_MS));
	cr_expect_eq(database_code_ask(&code, T0 + 3100 * US_PER_MS), all);
	answer_version(&code, "2", "8 88", T0 + 3100 * US_PER_MS, 1000);
	cr_expect_eq(parts_at(&code, T0 + 3200 * US_PER_MS), STATE_TEMP);
	cr_expect_neq(database_code_ask(&code, T0 + 5 * US_PER_S), all);
	database_code_fini(&code);
}

Test(database_code, is_read_again_after_ddl_and_after_a_refusal)
{
	struct database_code code = { 0 };
	const char *all = database_code_ask(&code, T0);

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
	cr_expect_not(database_code_is_due(&code, T0 + 12 * US_PER_S), "a tenth of the time");
	cr_expect(database_code_is_due(&code, T0 + 14 * US_PER_S));
	answer(&code, NULL, T0 + 20 * US_PER_S, 10 * US_PER_MS);
	database_code_changed(&code, false);
	cr_expect_not(database_code_is_due(&code, T0 + 20200 * US_PER_MS));
	cr_expect(database_code_is_due(&code, T0 + 20400 * US_PER_MS));
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

Test(database_code, is_as_old_as_its_oldest_question)
{
	struct database_code code = { 0 };

	database_code_ask(&code, T0);
	database_code_changed(&code, false);
	database_code_ask(&code, T0 + 1000);
	cr_expect_eq(code.round, 1, "both may answer");
	cr_expect(database_code_answered(&code, true, ++numbers, T0 + 2000));
	cr_expect_eq(parts_at(&code, T0 + 3000), FEARED_AT_FIRST, "that was before the DDL");
	answer(&code, NULL, T0 + 4000, 1000);
	cr_expect_eq(code.round, 2);
	cr_expect_eq(parts_at(&code, T0 + 6000), 0);
	database_code_fini(&code);
}

Test(database_code, is_asked_for_anew_when_the_answer_was_lost)
{
	struct database_code code = { 0 };

	database_code_ask(&code, T0);
	row(&code, "a", "", "1 0");
	answer(&code, "2", T0 + 11 * US_PER_S, 1000);
	cr_expect_eq(code.round, 2);
	cr_expect_eq(parts_at(&code, T0 + 11 * US_PER_S + 2000), STATE_TEMP);
	database_code_fini(&code);
}

Test(database_code, who_may_have_run_functions_just_made_is_judged_before_it_is_given_back)
{
	struct database_code code = { 0 };

	answer(&code, NULL, T0, 1000);
	code.used_us = T0 + 2000;
	database_code_changed(&code, false);
	cr_expect_not(database_code_is_overdue(&code, T0 + 3000));
	database_code_changed(&code, true);
	cr_expect(database_code_is_overdue(&code, T0 + 3000));
	answer(&code, "256", T0 + 4000, 1000);
	cr_expect_not(database_code_is_overdue(&code, T0 + 6000));
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

/* --- code that changes the code --- */

static bool
told(struct database_code *code, struct code_doubt *d, const void *host, const char *all, const char *own)
{
	size_t state_len = strcspn(all, " ");
	char state[8], text[64];

	snprintf(state, sizeof(state), "%.*s", (int)state_len, all);
	snprintf(text, sizeof(text), "{\"0%s 0 %s 0\"}", all + state_len + (all[state_len] == ' '), own);
	return database_code_tallied(code, d, host, state, text, T0) == CODE_SAME;
}

static bool
is_unsure(const struct database_code *code)
{
	return database_code_unsure(code, NULL, UINT64_MAX) != CODE_SAME;
}

/* A server whose transaction began at T0 + 2500 has written to the catalogs: to others, too, than relations are in. */
static void
suspect(struct database_code *code)
{
	database_code_suspect(code, CODE_DIFFERS, T0 + 2500);
}

Test(database_code, a_server_that_wrote_nothing_to_the_catalogs_has_changed_no_code)
{
	static const char one, other;
	struct database_code code = { 0 };
	struct code_doubt a = { 0 }, b = { 0 }, c = { 0 };

	cr_expect_not(told(&code, &a, &one, "on 10", "0"), "nothing to compare with");
	cr_expect(told(&code, &a, &one, "on 10", "0"));
	cr_expect(told(&code, &b, &one, "on 10", "0"), "another server of that host");
	cr_expect_not(told(&code, &c, &other, "on 10", "0"), "another host counts for itself");
	cr_expect(told(&code, &a, &one, "on 10", "0"), "each is remembered");
	cr_expect_not(told(&code, &a, &one, "on 10", "5"), "not reported yet");
	cr_expect(told(&code, &a, &one, "on 10", "5"));
	cr_expect(told(&code, &b, &one, "on 10", "0"), "it was a");
	cr_expect_not(told(&code, &b, &one, "on 15", "0"), "a has reported it");
	cr_expect_not(told(&code, &a, &one, "on 15", "5"), "five new ones, as many as it had before");
	cr_expect_not(told(&code, &b, &one, "off 15", "0"), "nobody counts");
	cr_expect_not(told(&code, &b, &one, "off 15", "0"));
	cr_expect_not(told(&code, &b, &one, "", ""));
	database_code_fini(&code);
}

Test(database_code, nothing_is_in_doubt_where_nobody_counts)
{
	static const char host;
	struct database_code code = { 0 };
	struct code_doubt a = { 0 };

	for (int i = 0; i < 16; i++) {
		cr_expect_not(database_code_is_uncounted(&code), "it may have been lost, %d times", i);
		database_code_untold(&code);
	}
	cr_expect(database_code_is_uncounted(&code));
	cr_expect_not(told(&code, &a, &host, "on 1", "0"));
	cr_expect_not(database_code_is_uncounted(&code));
	cr_expect_not(told(&code, &a, &host, "off", "0"), "this hides something");
	for (int i = 0; i < 16; i++)
		database_code_untold(&code);
	cr_expect_not(database_code_is_uncounted(&code));
	database_code_fini(&code);
	memset(&code, 0, sizeof(code));
	memset(&a, 0, sizeof(a));
	cr_expect(told(&code, &a, &host, "off", "0"));
	cr_expect(database_code_is_uncounted(&code), "it was told that nobody counts");
	database_code_fini(&code);
}

Test(database_code, who_runs_anything_behind_a_doubt_may_run_new_code)
{
	static const char host;
	struct database_code code = { 0 };
	struct code_doubt a = { 0 }, b = { 0 };

	answer(&code, NULL, T0, 1000);
	told(&code, &a, &host, "on 1", "0");
	database_code_doubt(&code, &a, DOUBT_DUE, T0, T0);
	database_code_doubt(&code, &b, DOUBT_DUE, T0, T0);
	database_code_doubt(&code, &b, DOUBT_DUE, T0, T0);
	cr_expect(is_unsure(&code));
	cr_expect_eq(code.look_again_us, UINT64_MAX);
	cr_expect(told(&code, &a, &host, "on 1", "0"));
	cr_expect(is_unsure(&code));
	cr_expect_eq(database_code_unsure(&code, &b, UINT64_MAX), CODE_SAME, "it is its own");
	database_code_dispel(&code, &b, T0);
	cr_expect_not(is_unsure(&code));
	cr_expect_eq(code.look_again_us, code.replaced_us);
	database_code_fini(&code);
}

Test(database_code, what_had_ended_before_a_doubt_began_is_not_concerned)
{
	struct database_code code = { 0 };
	struct code_doubt d = { 0 };

	answer(&code, NULL, T0, 1000);
	database_code_doubt(&code, &d, DOUBT_SENT, T0, T0 + 500);
	cr_expect_eq(database_code_unsure(&code, NULL, T0 + 499), CODE_SAME);
	cr_expect_eq(database_code_unsure(&code, NULL, T0 + 500), CODE_DIFFERS, "it was sent in the same turn");
	database_code_doubt(&code, &d, DOUBT_DUE, T0, T0 + 900);
	cr_expect_eq(database_code_unsure(&code, NULL, T0 + 500), CODE_DIFFERS, "it goes on");
	database_code_dispel(&code, &d, T0 + 900);
	database_code_doubt(&code, &d, DOUBT_DUE, T0, T0 + 900);
	cr_expect_eq(database_code_unsure(&code, NULL, T0), CODE_DIFFERS, "when it was sent is not known");
	database_code_dispel(&code, &d, T0 + 900);
	database_code_fini(&code);
}

static void
doubt_lasts(struct database_code *code, uint64_t us)
{
	struct code_doubt d = { 0 };

	database_code_doubt(code, &d, DOUBT_SENT, T0, T0);
	database_code_dispel(code, &d, T0 + us);
}

Test(database_code, doubts_are_worth_waiting_for_if_they_are_short_of_late)
{
	struct database_code code = { 0 };
	struct code_doubt d = { 0 }, own = { 0 };
	uint64_t sure_us;

	answer(&code, NULL, T0, 1000);
	for (int i = 0; i < 40; i++)
		doubt_lasts(&code, 200);
	database_code_doubt(&code, &d, DOUBT_SENT, T0, T0 + 5000);
	database_code_doubt(&code, &own, DOUBT_SENT, T0, T0 + 9000);
	sure_us = database_code_sure_us(&code, &own, UINT64_MAX);
	cr_expect(sure_us > T0 + 5200 && sure_us <= T0 + 5400, "%" PRIu64, sure_us - T0);
	cr_expect_eq(database_code_sure_us(&code, &own, T0 + 4999), 0, "none concerns it");
	doubt_lasts(&code, 3 * US_PER_S);
	cr_expect_neq(database_code_sure_us(&code, &own, UINT64_MAX), 0, "one that is long is not all");
	for (int i = 0; i < 10; i++)
		doubt_lasts(&code, 3 * US_PER_S);
	cr_expect_eq(database_code_sure_us(&code, &own, UINT64_MAX), 0);
	for (int i = 0; i < 40; i++)
		doubt_lasts(&code, 200);
	cr_expect_neq(database_code_sure_us(&code, &own, UINT64_MAX), 0);
	database_code_suspect(&code, CODE_DIFFERS, T0);
	cr_expect_eq(database_code_sure_us(&code, &own, UINT64_MAX), 0, "to ask takes longer");
	database_code_dispel(&code, &d, T0 + 5000);
	database_code_dispel(&code, &own, T0 + 9000);
	database_code_fini(&code);
}

Test(database_code, a_suspicion_ends_with_an_answer_that_was_asked_for_later)
{
	struct database_code code = { 0 };

	answer_version(&code, "0 0", "7 77", T0, 1000);
	suspect(&code);
	cr_expect(is_unsure(&code));
	cr_expect(database_code_is_due(&code, T0 + 3000), "at once, though nobody has used it since");
	database_code_ask(&code, T0 + 3000);
	suspect(&code);
	row(&code, "v", "7 77", "");
	database_code_answered(&code, true, ++numbers, T0 + 4000);
	cr_expect(is_unsure(&code), "it came later");
	answer_version(&code, NULL, "7 77", T0 + 5000, 500);
	cr_expect_not(is_unsure(&code));
	cr_expect(database_code_is_known(&code, T0 + 6000));
	suspect(&code);
	answer_version(&code, NULL, "8 88", T0 + 8000, 500);
	cr_expect_not(database_code_is_known(&code, T0 + 9000), "the code is another one");
	cr_expect(database_code_is_overdue(&code, T0 + 9000), "and may have functions that leave what nothing resets");
	database_code_fini(&code);
}

/* last: of the last catalog that has code, and of the first and the last of the others. */
static enum code_change
told_of(struct database_code *code, struct code_doubt *d, const char *const last[3])
{
	static const char host;
	char text[1024] = "{";

	for (unsigned i = 1; i < SEAL_TALLY_CODE; i++)
		strcat(text, "\"1 2 0 0\",");
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "\"%s\",\"%s\",\"%s\"}", last[0], last[1], last[2]);
	return database_code_tallied(code, d, &host, "on", text, T0);
}

Test(database_code, a_tally_tells_relations_from_code)
{
	static const struct {
		const char *numbers[3];
		bool is_b;
		enum code_change change;
		const char *why;
	} tallies[] = {
		{ { "7 5 0 0", "0 0 0 0", "1 0 0 0" }, false, CODE_DIFFERS, "the first" },
		{ { "7 5 0 0", "0 0 0 0", "2 0 0 0" }, false, CODE_SAME_BUT_RELATIONS, "reported" },
		{ { "7 5 0 0", "0 0 0 3", "2 0 0 0" }, true, CODE_SAME_BUT_RELATIONS, "its own" },
		{ { "7 5 0 0", "0 0 0 3", "2 0 0 0" }, true, CODE_SAME, "as before" },
		{ { "8 5 0 0", "0 0 0 3", "2 0 0 0" }, true, CODE_DIFFERS, "inserted" },
		{ { "8 6 0 0", "0 0 0 3", "2 0 0 0" }, true, CODE_DIFFERS, "updated" },
		{ { "8 6 1 0", "0 0 0 3", "2 0 0 0" }, true, CODE_DIFFERS, "inserted by itself" },
		{ { "8 6 1 1", "0 0 0 3", "2 0 0 0" }, true, CODE_DIFFERS, "updated by itself" },
		{ { "8 6 1 1", "0 0 0 3", "2 0 0 0" }, true, CODE_SAME, "as before" },
	};
	struct database_code code = { 0 };
	struct code_doubt a = { 0 }, b = { 0 };

	for (size_t i = 0; i < sizeof(tallies) / sizeof(tallies[0]); i++)
		cr_expect_eq(told_of(&code, tallies[i].is_b ? &b : &a, tallies[i].numbers), tallies[i].change, "%s",
			     tallies[i].why);
	database_code_fini(&code);
}

/* Answers a question that was asked at asked_us with this version and mark, 500 us later. */
static void
answer_marked(struct database_code *code, const char *version, const char *mark, uint64_t asked_us)
{
	row(code, "v", version, mark);
	database_code_answered(code, true, ++numbers, asked_us + 500);
}

static bool
asks_since(struct database_code *code, uint64_t now_us)
{
	return strstr(database_code_ask(code, now_us), "age('77'::xid)") != NULL;
}

Test(database_code, where_relations_alone_were_made_young_rows_are_looked_for)
{
	struct database_code code = { 0 };

	cr_expect_not(asks_since(&code, T0));
	answer_marked(&code, "7 77", "77 1", T0);
	code.used_us = T0 + 1000;
	database_code_suspect(&code, CODE_SAME_BUT_RELATIONS, T0 + 1000);
	cr_expect_eq(database_code_unsure(&code, NULL, UINT64_MAX), CODE_SAME_BUT_RELATIONS);
	cr_expect(asks_since(&code, T0 + 3000));
	answer_marked(&code, "0", "", T0 + 3000);
	cr_expect_eq(database_code_unsure(&code, NULL, UINT64_MAX), CODE_SAME);
	cr_expect(database_code_is_due(&code, T0 + 1100 * US_PER_MS), "the version is asked for in its turn");
	database_code_suspect(&code, CODE_SAME_BUT_RELATIONS, T0 + 4500);
	cr_expect(asks_since(&code, T0 + 6000));
	database_code_suspect(&code, CODE_DIFFERS, T0 + 6100);
	answer_marked(&code, "0", "", T0 + 6000);
	cr_expect_eq(database_code_unsure(&code, NULL, UINT64_MAX), CODE_DIFFERS, "that came later");
	cr_expect_not(asks_since(&code, T0 + 7000));
	answer_marked(&code, "7 77", "78 1", T0 + 7000);
	cr_expect_eq(database_code_unsure(&code, NULL, UINT64_MAX), CODE_SAME);
	cr_expect_str_eq(code.answer->mark, "77", "what began behind it can still be looked for");
	database_code_ask(&code, T0 + 11 * US_PER_S);
	answer_marked(&code, "7 77", "78 1", T0 + 11 * US_PER_S);
	cr_expect_str_eq(code.answer->mark, "78");
	database_code_fini(&code);
}

Test(database_code, young_rows_or_an_old_transaction_are_reason_to_compare_versions)
{
	struct database_code code = { 0 };
	struct code_doubt old = { 0 };

	database_code_ask(&code, T0);
	answer_marked(&code, "7 77", "77 1", T0);
	database_code_suspect(&code, CODE_SAME_BUT_RELATIONS, T0 + 1000);
	cr_expect(asks_since(&code, T0 + 3000));
	answer_marked(&code, "2", "", T0 + 3000);
	cr_expect_eq(database_code_unsure(&code, NULL, UINT64_MAX), CODE_DIFFERS);
	cr_expect_not(asks_since(&code, T0 + 5000));
	answer_marked(&code, "7 77", "77 1", T0 + 5000);
	database_code_suspect(&code, CODE_SAME_BUT_RELATIONS, T0 + 5500);
	cr_expect_not(asks_since(&code, T0 + 8000), "it may have had its number when the mark was made");
	answer_marked(&code, "7 77", "77 1", T0 + 8000);
	database_code_doubt(&code, &old, DOUBT_DUE, T0 + 5000, T0);
	database_code_suspect(&code, CODE_SAME_BUT_RELATIONS, T0 + 9500);
	cr_expect_eq(code.suspected, CODE_DIFFERS, "what another server has told may be what this one has written");
	cr_expect_not(asks_since(&code, T0 + 11000));
	answer_marked(&code, "7 77", "77 1", T0 + 11000);
	database_code_dispel(&code, &old, T0);
	database_code_ask(&code, T0 + 20 * US_PER_S);
	answer_marked(&code, "7 77", "7'7", T0 + 20 * US_PER_S);
	database_code_suspect(&code, CODE_SAME_BUT_RELATIONS, T0 + 20 * US_PER_S + 1000);
	cr_expect_not(asks_since(&code, T0 + 20 * US_PER_S + 3000), "that is no number");
	database_code_fini(&code);
}

Test(database_code, relations_alone_connect_to_no_other_server)
{
	struct database_code code = { 0 };

	answer_version(&code, "0 0", "7 77", T0, 1000);
	cr_expect_eq(database_code_feared(&code, CODE_DIFFERS) & STATE_REMOTE, STATE_REMOTE);
	cr_expect_eq(database_code_feared(&code, CODE_SAME_BUT_RELATIONS) & (STATE_REMOTE | STATE_SETTINGS),
		     STATE_SETTINGS);
	database_code_changed(&code, false);
	answer(&code, "512 0", T0 + US_PER_S, 1000);
	cr_expect_eq(database_code_feared(&code, CODE_SAME_BUT_RELATIONS) & STATE_REMOTE, STATE_REMOTE,
		     "what is there does");
	database_code_fini(&code);
}
