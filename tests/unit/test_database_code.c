/*
 * tests/unit/test_database_code.c - what a database's code could touch: when that is believed, and when it is asked
 * again. Links seal/database_code.c, seal/role_settings.c, seal/probe.c, seal/risk_names.c, wire/messages.c,
 * wire/frame.c, wire/fields.c, base/buf.c.
 */
#include "seal/database_code.h"

#include "base/clock.h"
#include "seal/seal.h"
#include "unit.h"

#include <inttypes.h>

#define T0 (1000 * US_PER_S)
#define WITHOUT_CALLS ~(RISK_BY_CALLS(STATE_PROBED) | (unsigned)(RISK_KEEPS | RISK_OWN_WORDS | RISK_ASSUMED))
#define FEARED (STATE_WASHABLE | RISK_CODE | RISK_UNREAD)
#define FEARED_AT_FIRST (FEARED | RISK_CONTEXT)

static struct database_code db; /* of each test */

static void
end(void)
{
	database_code_fini(&db);
}

TestSuite(database_code, .fini = end);

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
	database_code_take_row(code, b.bytes, b.len, true);
	buf_fini(&b);
}

static uint32_t numbers;

static void
answer(struct database_code *code, const char *parts, uint64_t asked_us, uint64_t cost_us)
{
	cr_assert_not_null(database_code_begin_question(code, asked_us));
	if (parts != NULL)
		row(code, "a", "", parts);
	database_code_end_answer(code, true, ++numbers, asked_us + cost_us);
}

/* The parts that opaque SQL could touch. */
static unsigned
parts_at(const struct database_code *code, uint64_t now_us)
{
	return database_code_risk(code, now_us, NULL, NULL, 0, NULL, 0) & WITHOUT_CALLS;
}

Test(database_code, is_everything_until_it_is_known)
{
	cr_expect_eq(parts_at(&db, T0), FEARED_AT_FIRST);
	cr_expect_eq(RISK_CALLED(database_code_risk(&db, T0, NULL, "SELECT f()", 10, NULL, 0)), STATE_PROBED);
	cr_expect_not(database_code_is_due(&db, T0), "nobody uses the database");
	db.used_us = (T0);
	cr_expect(database_code_is_due(&db, T0));
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0), CODE_ASK, "nobody knows anything");
	database_code_begin_question(&db, T0);
	cr_expect_eq(parts_at(&db, T0), FEARED_AT_FIRST);
	cr_expect_not(database_code_is_due(&db, T0 + US_PER_S), "it is being asked");
	database_code_drop_incoming(&db);
	db.used_us = T0 + US_PER_S;
	cr_expect(database_code_is_due(&db, T0 + 2 * US_PER_S), "the answer was lost");
}

static unsigned
risk_of(const struct database_code *code, struct sql_risk *kept, const char *sql)
{
	return database_code_risk(code, T0 + 1000, kept, sql, strlen(sql), NULL, 0) & WITHOUT_CALLS;
}

Test(database_code, is_what_the_rows_say)
{
	static const uint8_t types[] = { 0, 1, 0, 0, 64, 1 };
	struct sql_risk kept = { 0 };

	database_code_begin_question(&db, T0);
	row(&db, "r", "f", "f 4 1 function f() calls pg_advisory_lock()");
	row(&db, "r", "t", "r 0 2");
	row(&db, "t", "16385", "8 16");
	row(&db, "a", "", "256 32 0 256");
	row(&db, "n", "app.user_id", "");
	row(&db, "s", "\"a b\"", "");
	row(&db, "?", "2", "another kind");
	database_code_take_row(&db, (const uint8_t *)"\0\1\0\0\0\1x", 7, true); /* no row of ours */
	cr_expect(database_code_end_answer(&db, true, 7, T0 + 1000));
	cr_expect_eq(parts_at(&db, T0 + 1000), 4 | 1 | 2 | 8 | 16 | 256 | 32);
	cr_expect_eq(risk_of(&db, &kept, "SELECT f(1)"), 4 | 32);
	cr_expect_eq(kept.number, 7);
	cr_expect_eq(kept.parts, (4 | 32) | RISK_BY_CALLS(4 | 32));
	kept.parts = 3;
	cr_expect_eq(risk_of(&db, &kept, "SELECT f(1)"), 3, "it is looked up once");
	kept.number = 6;
	cr_expect_eq(risk_of(&db, &kept, "INSERT INTO t VALUES (f(1))"), 4 | 1 | 2 | 32, "those were other names");
	cr_expect_eq(risk_of(&db, NULL, "ALTER TABLE u"), parts_at(&db, T0 + 1000) | RISK_OPAQUE);
	cr_expect_eq(database_code_risk(&db, T0 + 1000, NULL, "SELECT $1", 9, types, sizeof(types)) & WITHOUT_CALLS,
		     8 | 16 | 32);
	cr_expect_eq(db.answer->setting_count, 1);
	cr_expect_str_eq(db.answer->settings[0], "app.user_id");
	cr_expect_str_eq(db.answer->fdw_schema, "\"a b\"");
	answer(&db, "1 0", T0 + 2000, 10);
	cr_expect_eq(parts_at(&db, T0 + 3000), STATE_SETTINGS);
}

static bool
is_repeatable(const char *sql, struct sql_risk *kept, uint64_t now_us)
{
	static const uint8_t none[] = { 0, 0 };

	return database_code_is_sql_repeatable(&db, now_us, kept, sql, strlen(sql), none, sizeof(none));
}

Test(database_code, says_what_may_be_run_twice_while_it_is_believed)
{
	static const uint8_t of_domain[] = { 0, 1, 0, 0, 64, 1 }, malformed[] = { 0, 2, 0, 0, 64, 2 };
	static const char sql[] = "SELECT a";
	struct sql_risk kept = { 0 };

	cr_expect_not(is_repeatable(sql, &kept, T0), "nothing is known");
	database_code_begin_question(&db, T0);
	row(&db, "k", "select", "");
	row(&db, "k", "f", "");
	row(&db, "k", "v", "");
	row(&db, "k", "from", "");
	row(&db, "e", "f", "f");
	row(&db, "r", "v", "r 4096 0 view v <- effects");
	row(&db, "t", "16385", "4096 0");
	row(&db, "a", "", "4096 0 0");
	cr_expect_not(is_repeatable(sql, &kept, T0), "it is under way");
	cr_assert(database_code_end_answer(&db, true, ++numbers, T0 + 1000));
	cr_expect_eq(parts_at(&db, T0 + 1000), 0, "it touches no session");
	cr_expect(is_repeatable(sql, NULL, T0 + 1000));
	cr_expect(is_repeatable(sql, &kept, T0 + 1000));
	cr_expect(is_repeatable("f()", &kept, T0 + 1000), "it is looked up once");
	cr_expect_not(is_repeatable("SELECT f()", NULL, T0 + 1000));
	cr_expect_not(is_repeatable("SELECT a FROM v", NULL, T0 + 1000));
	cr_expect_not(
	    database_code_is_sql_repeatable(&db, T0 + 1000, NULL, sql, strlen(sql), of_domain, sizeof(of_domain)));
	cr_expect_not(
	    database_code_is_sql_repeatable(&db, T0 + 1000, NULL, sql, strlen(sql), malformed, sizeof(malformed)));
	cr_expect_eq(risk_of(&db, NULL, "SELECT f() FROM v"), 0, "nor is any risk told elsewhere");
	cr_expect_not(is_repeatable(sql, &kept, T0 + 60 * US_PER_S), "the answer is old");
	database_code_note_ddl(&db, 0);
	cr_expect_not(is_repeatable(sql, &kept, T0 + 1000), "DDL was seen");
	answer(&db, NULL, T0 + 2000, 1000);
	cr_expect_not(is_repeatable(sql, &kept, T0 + 3000), "no names are known in this one");
}

Test(database_code, has_the_version_of_each_roles_settings)
{
	uint64_t none;

	answer(&db, NULL, T0, 1000);
	none = role_settings_version(&db.answer->roles, "web");
	database_code_begin_question(&db, T0 + 2000);
	row(&db, "d", "776562", "5");
	row(&db, "d", "617070", "-5");
	cr_expect_eq(role_settings_version(&db.answer->roles, "web"), none, "it is under way");
	cr_expect(database_code_end_answer(&db, true, ++numbers, T0 + 3000));
	cr_expect_neq(role_settings_version(&db.answer->roles, "web"), none);
	cr_expect_neq(role_settings_version(&db.answer->roles, "app"), none);
	cr_expect_eq(role_settings_version(&db.answer->roles, "other"), none);
	answer(&db, NULL, T0 + 4000, 1000);
	cr_expect_eq(role_settings_version(&db.answer->roles, "web"), none, "it has none any more");
}

Test(database_code, a_row_that_makes_no_sense_spoils_the_answer)
{
	database_code_begin_question(&db, T0);
	row(&db, "r", "f", "g 1 1");
	cr_expect_not(database_code_end_answer(&db, true, ++numbers, T0 + 1000));
	cr_expect_eq(parts_at(&db, T0 + 1000), FEARED_AT_FIRST);
}

Test(database_code, has_sequences_unless_the_catalogs_show_none)
{
	cr_expect(database_code_has_sequences(&db, T0), "nobody knows");
	answer(&db, NULL, T0, 1000);
	cr_expect(database_code_has_sequences(&db, T0 + 1000), "no row");
	database_code_begin_question(&db, T0 + 2000);
	row(&db, "q", "", "");
	database_code_end_answer(&db, true, ++numbers, T0 + 3000);
	cr_expect_not(database_code_has_sequences(&db, T0 + 4000));
	cr_expect_eq(parts_at(&db, T0 + 4000), 0);
	cr_expect(database_code_has_sequences(&db, T0 + 30 * US_PER_S), "an old answer");
	database_code_note_ddl(&db, 0);
	cr_expect(database_code_has_sequences(&db, T0 + 4000), "DDL");
}

Test(database_code, is_not_believed_for_long)
{
	answer(&db, NULL, T0, 1000);
	cr_expect_eq(parts_at(&db, T0 + 1000), 0);
	db.used_us = (T0 + 1000);
	cr_expect_not(database_code_is_due(&db, T0 + 2000));
	cr_expect(database_code_is_due(&db, T0 + 1100 * US_PER_MS));
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 1100 * US_PER_MS), CODE_GO,
		     "those in line go first, for a while");
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 1600 * US_PER_MS), CODE_ASK);
	cr_expect_eq(parts_at(&db, T0 + 1900 * US_PER_MS), 0, "it is believed until there has been time for another");
	cr_expect_eq(parts_at(&db, T0 + 2 * US_PER_S), FEARED);
	answer(&db, NULL, T0 + 3 * US_PER_S, 2900 * US_PER_MS);
	cr_expect_eq(parts_at(&db, T0 + 5900 * US_PER_MS), FEARED, "what was read is as old as the question");
	db.used_us = T0 + 5900 * US_PER_MS;
	cr_expect(database_code_is_due(&db, T0 + 5900 * US_PER_MS), "whether it still is so, is soon told");
}

static void
answer_version(struct database_code *code, const char *parts, const char *version, uint64_t asked_us, uint64_t cost_us)
{
	database_code_begin_question(code, asked_us);
	if (parts != NULL)
		row(code, "a", "", parts);
	row(code, "v", version, "");
	database_code_end_answer(code, true, ++numbers, asked_us + cost_us);
}

/* From then on that there is any need not be asked. */
static void
has_code(struct database_code *code)
{
	database_code_begin_question(code, T0);
	row(code, "c", "", "");
	cr_expect_not(database_code_end_answer(code, true, ++numbers, T0 + 1000));
	cr_expect(database_code_needs_full_read(code));
}

Test(database_code, is_asked_with_what_is_declared)
{
	static const char declared[] = "('language', '6c', ''), ('function', '61', '62')";
	const char *question = database_code_begin_question(&db, T0);

	cr_expect_not_null(strstr(question, "(VALUES ('', '', ''))"));
	db.harmless = declared;
	cr_expect_not_null(
	    strstr(database_code_begin_question(&db, T0), "(VALUES ('language', '6c', ''), ('function', '61', '62'))"));
	cr_expect_eq(strlen((const char *)db.question.bytes),
		     strlen(question) - strlen("('', '', '')") + strlen(declared));
	row(&db, "r", "function a.b", "d 4096 0 harmless_code");
	database_code_end_answer(&db, true, 7, T0 + 1000);
	cr_expect_eq(risk_of(&db, NULL, "SELECT b()"), 0);
	cr_expect_eq(parts_at(&db, T0 + 1000), 0);
	database_code_fini(&db);
}

/* A plain database: it has no code but what is named in these rows. */
static void
answer_plain(struct database_code *code, const char *version, const char *also, uint64_t asked_us)
{
	row(code, "v", version, "");
	row(code, also, "", "");
	database_code_end_answer(code, true, ++numbers, asked_us + 1000);
}

Test(database_code, is_read_only_where_there_is_any)
{
	const char *any, *all, *version;

	any = database_code_begin_question(&db, T0);
	answer_plain(&db, "7 77", "q", T0);
	cr_expect_eq(parts_at(&db, T0 + 1000), 0);
	cr_expect_not(database_code_has_sequences(&db, T0 + 1000));
	cr_expect_not(database_code_needs_full_read(&db));

	version = database_code_begin_question(&db, T0 + 1 * US_PER_S);
	cr_expect_neq(version, any);
	answer_plain(&db, "7 77", "", T0 + 1 * US_PER_S);
	cr_expect_eq(parts_at(&db, T0 + 2 * US_PER_S), 0, "it is as it was");

	cr_expect_eq(database_code_begin_question(&db, T0 + 2 * US_PER_S), version);
	answer_plain(&db, "8 88", "", T0 + 2 * US_PER_S);
	cr_expect(database_code_has_sequences(&db, T0 + 2 * US_PER_S + 1000), "another program has made something");
	cr_expect_eq(database_code_begin_question(&db, T0 + 3 * US_PER_S), any);
	answer_plain(&db, "8 88", "", T0 + 3 * US_PER_S);
	cr_expect(database_code_has_sequences(&db, T0 + 4 * US_PER_S));
	cr_expect_eq(parts_at(&db, T0 + 4 * US_PER_S), 0);

	cr_expect_eq(database_code_begin_question(&db, T0 + 4 * US_PER_S), version);
	answer_plain(&db, "9 99", "", T0 + 4 * US_PER_S);
	cr_expect_eq(parts_at(&db, T0 + 4 * US_PER_S + 1000), FEARED_AT_FIRST);
	cr_expect_eq(database_code_begin_question(&db, T0 + 5 * US_PER_S), any);
	answer_plain(&db, "9 99", "c", T0 + 5 * US_PER_S);
	cr_expect(database_code_needs_full_read(&db), "it was a function");
	cr_expect_eq(parts_at(&db, T0 + 5 * US_PER_S + 1000), FEARED_AT_FIRST);
	all = database_code_begin_question(&db, T0 + 5 * US_PER_S + 1000);
	cr_expect(all != any && all != version);
	row(&db, "a", "", "1 0");
	answer_plain(&db, "9 99", "", T0 + 5 * US_PER_S + 1000);
	cr_expect_not(database_code_needs_full_read(&db));
	cr_expect_eq(parts_at(&db, T0 + 6 * US_PER_S), STATE_SETTINGS);
	cr_expect_eq(database_code_begin_question(&db, T0 + 6 * US_PER_S), version);
}

Test(database_code, a_new_name_is_feared_while_the_answer_is_believed)
{
	struct sql_risk kept = { 0 };
	unsigned feared;

	database_code_begin_question(&db, T0);
	row(&db, "k", "select", "");
	row(&db, "k", "old", "");
	answer_plain(&db, "7 77", "", T0);
	cr_expect_eq(risk_of(&db, NULL, "SELECT old()"), 0);
	feared = database_code_risk(&db, T0 + 1000, &kept, "SELECT fresh()", 14, NULL, 0);
	cr_expect_eq(feared, FEARED_AT_FIRST | RISK_BY_CALLS(STATE_PROBED));
	cr_expect(kept.number == db.number && kept.parts == feared, "that is so until the code was read again");
	database_code_begin_question(&db, T0 + US_PER_S);
	answer_plain(&db, "8 88", "", T0 + US_PER_S);
	database_code_begin_question(&db, T0 + US_PER_S + 2000);
	row(&db, "k", "select", "");
	row(&db, "k", "fresh", "");
	answer_plain(&db, "8 88", "", T0 + US_PER_S + 2000);
	cr_expect_eq(database_code_risk(&db, T0 + 2 * US_PER_S, &kept, "SELECT fresh()", 14, NULL, 0), 0);
}

Test(database_code, is_read_where_there_was_no_answer)
{
	const char *any = database_code_begin_question(&db, T0);

	cr_expect_not(database_code_end_answer(&db, false, ++numbers, T0 + 1000));
	cr_expect_not(database_code_needs_full_read(&db));
	cr_expect_eq(database_code_begin_question(&db, T0 + 61 * US_PER_S), any);
	row(&db, "c", "", "");
	cr_expect_not(database_code_end_answer(&db, true, ++numbers, T0 + 61 * US_PER_S + 1000));
	cr_expect(database_code_needs_full_read(&db));
}

/* Asks at at_us, fails after cost_us, and expects that the next question is due pause_us later. Returns that time. */
static uint64_t
fail_and_pause(struct database_code *code, uint64_t at_us, uint64_t cost_us, uint64_t pause_us)
{
	uint64_t end_us = at_us + cost_us;

	database_code_begin_question(code, at_us);
	cr_expect_not(database_code_end_answer(code, false, ++numbers, end_us));
	code->used_us = end_us;
	cr_expect_not(database_code_is_due(code, end_us + pause_us));
	cr_expect(database_code_is_due(code, end_us + pause_us + 1));
	return end_us + pause_us + 1;
}

Test(database_code, is_asked_again_soon_after_one_failure_and_ever_later_after_more)
{
	static const unsigned pauses[] = { 3, 6, 12, 24, 48, 60, 60 };
	uint64_t now_us = T0;

	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++)
		now_us = fail_and_pause(&db, now_us, 3 * US_PER_S, pauses[i] * US_PER_S);
	answer(&db, NULL, now_us, 1000);
	now_us = fail_and_pause(&db, now_us + US_PER_S, 3 * US_PER_S, 3 * US_PER_S);
	now_us = fail_and_pause(&db, now_us, 1000, 6 * US_PER_S);
	answer(&db, NULL, now_us, 1000);
	fail_and_pause(&db, now_us + US_PER_S, 1000, US_PER_S);
}

Test(database_code, is_not_read_again_as_long_as_its_version_is_the_same)
{
	const char *all, *version;

	has_code(&db);
	all = database_code_begin_question(&db, T0);
	row(&db, "v", "7 77", "");
	row(&db, "a", "", "1 0");
	cr_expect(database_code_end_answer(&db, true, ++numbers, T0 + 100 * US_PER_MS));
	db.used_us = T0 + 100 * US_PER_S;
	cr_expect_eq(parts_at(&db, T0 + 1900 * US_PER_MS), STATE_SETTINGS);
	cr_expect_eq(parts_at(&db, T0 + 2 * US_PER_S), FEARED | STATE_SETTINGS, "another program may have changed it");
	version = database_code_begin_question(&db, T0 + 10 * US_PER_S);
	cr_expect_neq(version, all);
	row(&db, "v", "7 77", "");
	cr_expect_not(database_code_end_answer(&db, true, ++numbers, T0 + 10 * US_PER_S + 19 * US_PER_MS));
	cr_expect_eq(parts_at(&db, T0 + 11900 * US_PER_MS), STATE_SETTINGS);
	cr_expect(database_code_is_due(&db, T0 + 11100 * US_PER_MS));
	cr_expect_eq(parts_at(&db, T0 + 12 * US_PER_S), FEARED | STATE_SETTINGS);
}

Test(database_code, is_believed_for_longer_where_the_question_about_its_version_takes_long)
{
	answer_version(&db, "0 0", "7 77", T0, 200 * US_PER_MS);
	db.used_us = T0 + 100 * US_PER_S;
	answer_version(&db, NULL, "7 77", T0 + 1 * US_PER_S, 100 * US_PER_MS);
	cr_expect_not(database_code_is_due(&db, T0 + 5 * US_PER_S));
	cr_expect_eq(parts_at(&db, T0 + 10 * US_PER_S), 0);
	cr_expect_eq(parts_at(&db, T0 + 11 * US_PER_S), FEARED);
	answer_version(&db, NULL, "7 77", T0 + 11 * US_PER_S, 10 * US_PER_MS);
	answer_version(&db, NULL, "7 77", T0 + 12 * US_PER_S, 100 * US_PER_MS);
	cr_expect_eq(parts_at(&db, T0 + 13900 * US_PER_MS), 0);
	cr_expect_eq(parts_at(&db, T0 + 14 * US_PER_S), FEARED, "it was PostgreSQL that was busy");
}

Test(database_code, an_answer_that_is_merely_old_closes_no_server_but_for_its_names)
{
	struct sql_risk kept = { 0 };

	database_code_begin_question(&db, T0);
	row(&db, "r", "f", "f 256 0 language plpython3u");
	row(&db, "a", "", "256 0 0 0");
	database_code_end_answer(&db, true, 7, T0 + 1000);
	for (unsigned i = 0; i < 2; i++) { /* looked up, and remembered */
		cr_expect_eq(database_code_risk(&db, T0 + 9 * US_PER_S, NULL, "SELECT 1", 8, NULL, 0) & WITHOUT_CALLS,
			     FEARED);
		cr_expect_eq(database_code_risk(&db, T0 + 9 * US_PER_S, &kept, "SELECT f()", 10, NULL, 0) &
				 WITHOUT_CALLS,
			     FEARED | STATE_BACKEND);
	}
	database_code_note_ddl(&db, 0);
	cr_expect_eq(database_code_risk(&db, T0 + 9 * US_PER_S, NULL, "SELECT 1", 8, NULL, 0) & WITHOUT_CALLS,
		     FEARED_AT_FIRST & ~(unsigned)RISK_KEEPS, "nor does DDL that has no such name");
	database_code_note_ddl(&db, RISK_OWN_WORDS);
	cr_expect_eq(database_code_risk(&db, T0 + 9 * US_PER_S, NULL, "SELECT 1", 8, NULL, 0) & WITHOUT_CALLS,
		     FEARED_AT_FIRST | STATE_BACKEND);
	database_code_begin_question(&db, T0 + 9 * US_PER_S);
	database_code_note_ddl(&db, 0);
	database_code_end_answer(&db, true, 8, T0 + 9 * US_PER_S + 1000);
	cr_expect_eq(db.new_backend_names_us, T0 + 9 * US_PER_S + 1000, "an answer to such DDL may tell of it");
	cr_expect_eq(database_code_assumed_risk(&db) & STATE_BACKEND, 0);
	answer(&db, NULL, T0 + 11 * US_PER_S, 1000);
	cr_expect_lt(db.new_backend_names_us, db.full_answer_us, "this one was to none");
}

static bool
is_remote_feared(uint64_t now_us)
{
	return (database_code_assumed_risk_after_wash(&db, now_us) & (unsigned)STATE_REMOTE) != 0;
}

/* For a second, and until DDL or an answer. */
Test(database_code, a_wash_shows_that_there_is_nothing_to_open_sessions_elsewhere)
{
	uint64_t washed_us = T0 + 2 * US_PER_S;

	answer(&db, NULL, T0, 1000);
	database_code_note_ddl(&db, 0);
	cr_expect(is_remote_feared(washed_us));
	db.no_remote_us = washed_us;
	db.no_remote_ddl = db.ddl_count;
	cr_expect_not(is_remote_feared(washed_us + US_PER_S - 1));
	cr_expect_neq(database_code_assumed_risk(&db) & (unsigned)STATE_REMOTE, 0, "a client's own DDL may bring it");
	cr_expect(is_remote_feared(washed_us + US_PER_S));
	database_code_note_ddl(&db, 0);
	cr_expect(is_remote_feared(washed_us));
	db.no_remote_ddl = db.ddl_count;
	cr_expect_not(is_remote_feared(washed_us));
	answer(&db, NULL, washed_us + 1000, 1000);
	cr_expect(is_remote_feared(washed_us + 2000), "the answer may tell of another program's DDL");
}

/* Asks, sees DDL with this risk meanwhile, and is told of this name, which keeps something in the backend. */
static void
read_under_ddl(uint64_t asked_us, unsigned risk, const char *name)
{
	database_code_begin_question(&db, asked_us);
	if (risk != 0)
		database_code_note_ddl(&db, risk);
	row(&db, "r", name, "f 256 0 language plpython3u");
	row(&db, "a", "", "256 0 0 0");
	database_code_end_answer(&db, true, ++numbers, asked_us + 1000);
}

static bool
is_feared_to_keep(void)
{
	return (database_code_assumed_risk(&db) & (unsigned)STATE_BACKEND) != 0;
}

Test(database_code, ddl_that_was_only_feared_to_reach_what_keeps_is_feared_no_longer_once_nothing_new_does)
{
	unsigned risk;

	has_code(&db);
	read_under_ddl(T0, 0, "f");
	risk = database_code_risk(&db, T0 + 2000, NULL, "SELECT f()", 10, NULL, 0);
	cr_expect((risk & RISK_OWN_WORDS) != 0);
	database_code_note_ddl(&db, risk);
	risk = database_code_risk(&db, T0 + 2000, NULL, "SELECT 1", 8, NULL, 0);
	cr_expect((risk & (STATE_BACKEND | RISK_ASSUMED)) == (STATE_BACKEND | RISK_ASSUMED) &&
		      (risk & RISK_OWN_WORDS) == 0,
		  "as any SQL");
	read_under_ddl(T0 + 1 * US_PER_S, RISK_ASSUMED, "f");
	cr_expect_not(is_feared_to_keep());
	database_code_note_ddl(&db, RISK_OWN_WORDS);
	read_under_ddl(T0 + 2 * US_PER_S, RISK_ASSUMED, "g");
	cr_expect(is_feared_to_keep(), "it may have used g, which was new");
	read_under_ddl(T0 + 3 * US_PER_S, RISK_ASSUMED, "g");
	cr_expect_not(is_feared_to_keep());
	database_code_note_ddl(&db, RISK_OWN_WORDS);
	read_under_ddl(T0 + 4 * US_PER_S, RISK_OWN_WORDS, "g");
	database_code_note_ddl(&db, RISK_ASSUMED);
	cr_expect(is_feared_to_keep(), "the second was not read yet");
	read_under_ddl(T0 + 5 * US_PER_S, RISK_ASSUMED, "g");
	cr_expect_not(is_feared_to_keep());
}

Test(database_code, ddl_ahead_of_the_first_answer_may_reach_what_keeps)
{
	unsigned risk;

	database_code_begin_question(&db, T0);
	risk = database_code_risk(&db, T0, NULL, "CREATE OPERATOR ## (FUNCTION = f, RIGHTARG = int)", 49, NULL, 0);
	database_code_note_ddl(&db, risk & ~(unsigned)RISK_KEEPS);
	row(&db, "r", "f", "f 256 0 language plpython3u");
	row(&db, "a", "", "256 0 0 0");
	database_code_end_answer(&db, true, ++numbers, T0 + 1000);
	cr_expect(is_feared_to_keep());
}

Test(database_code, is_read_again_sooner_while_all_that_is_run_costs_a_connection)
{
	has_code(&db);
	database_code_begin_question(&db, T0);
	database_code_note_ddl(&db, 0);
	row(&db, "a", "", "256 0 0 0");
	database_code_end_answer(&db, true, ++numbers, T0 + 1 * US_PER_S);
	db.used_us = T0 + 100 * US_PER_S;
	cr_expect_not(database_code_is_due(&db, T0 + 9 * US_PER_S));
	database_code_note_ddl(&db, RISK_OWN_WORDS);
	cr_expect(database_code_is_due(&db, T0 + 2100 * US_PER_MS));
	cr_expect_not(database_code_is_due(&db, T0 + 1900 * US_PER_MS));
}

Test(database_code, is_asked_for_as_often_where_postgresql_is_busy)
{
	answer_version(&db, "0 0", "7 77", T0, 1000);
	db.used_us = T0 + 2 * US_PER_S;
	answer_version(&db, NULL, "7 77", T0 + 1 * US_PER_S, 30 * US_PER_MS);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 2600 * US_PER_MS), CODE_ASK,
		     "before it is not believed any more");
	cr_expect_eq(parts_at(&db, T0 + 2900 * US_PER_MS), 0);
}

Test(database_code, is_read_again_after_ddl_and_after_a_refusal)
{
	const char *all;

	has_code(&db);
	all = database_code_begin_question(&db, T0);
	answer_version(&db, NULL, "7 77", T0, 1000);
	database_code_note_ddl(&db, 0);
	cr_expect_eq(database_code_begin_question(&db, T0 + US_PER_S), all);
	answer_version(&db, NULL, "7 77", T0 + US_PER_S, 1000);
	cr_expect_neq(database_code_begin_question(&db, T0 + 3 * US_PER_S), all);
	cr_expect_not(database_code_end_answer(&db, false, ++numbers, T0 + 4 * US_PER_S));
	cr_expect_eq(database_code_begin_question(&db, T0 + 70 * US_PER_S), all);
}

Test(database_code, is_read_soon_after_ddl_unless_that_goes_on)
{
	answer(&db, NULL, T0, US_PER_S);
	db.used_us = T0 + 100 * US_PER_S;
	database_code_note_ddl(&db, 0);
	cr_expect_not(database_code_is_due(&db, T0 + 2 * US_PER_S));
	cr_expect(database_code_is_due(&db, T0 + 3 * US_PER_S));
	database_code_begin_question(&db, T0 + 3 * US_PER_S);
	database_code_note_ddl(&db, 0);
	database_code_end_answer(&db, true, ++numbers, T0 + 4 * US_PER_S);
	cr_expect_not(database_code_is_due(&db, T0 + 12 * US_PER_S), "at most so often");
	cr_expect(database_code_is_due(&db, T0 + 14 * US_PER_S));
	answer(&db, NULL, T0 + 20 * US_PER_S, 10 * US_PER_MS);
	database_code_note_ddl(&db, 0);
	cr_expect_not(database_code_is_due(&db, T0 + 20020 * US_PER_MS));
	cr_expect(database_code_is_due(&db, T0 + 20021 * US_PER_MS), "what is cheap is read for half of the time");
	answer(&db, NULL, T0 + 30 * US_PER_S, 300 * US_PER_MS);
	database_code_note_ddl(&db, 0);
	cr_expect_not(database_code_is_due(&db, T0 + 32 * US_PER_S));
	cr_expect(database_code_is_due(&db, T0 + 33 * US_PER_S));
}

Test(database_code, is_not_believed_after_ddl)
{
	answer(&db, NULL, T0, 1000);
	database_code_note_ddl(&db, 0);
	cr_expect_eq(parts_at(&db, T0 + 2000), FEARED_AT_FIRST);
	database_code_begin_question(&db, T0 + 3000);
	database_code_note_ddl(&db, 0); /* more, while it is being asked */
	database_code_end_answer(&db, true, ++numbers, T0 + 4000);
	cr_expect_eq(parts_at(&db, T0 + 5000), FEARED_AT_FIRST);
	answer(&db, NULL, T0 + 6000, 1000);
	cr_expect_eq(parts_at(&db, T0 + 8000), 0);
}

Test(database_code, a_refusal_leaves_everything_possible_and_is_not_repeated_at_once)
{
	database_code_begin_question(&db, T0);
	cr_expect_not(database_code_end_answer(&db, false, ++numbers, T0 + 1000));
	cr_expect_eq(parts_at(&db, T0 + 1000), FEARED_AT_FIRST);
	db.used_us = (T0 + 2000);
	cr_expect_not(database_code_is_due(&db, T0 + US_PER_S));
	cr_expect(database_code_is_due(&db, T0 + 2 * US_PER_S));
}

Test(database_code, a_row_that_was_cut_spoils_the_answer)
{
	database_code_begin_question(&db, T0);
	database_code_take_row(&db, (const uint8_t *)"\0\3\0\0\0\1c", 7, false);
	cr_expect_not(database_code_end_answer(&db, true, ++numbers, T0 + 1000));
	cr_expect_eq(parts_at(&db, T0 + 1000), FEARED_AT_FIRST);
}

Test(database_code, is_asked_for_anew_when_the_answer_was_lost)
{
	database_code_begin_question(&db, T0);
	row(&db, "a", "", "1 0");
	database_code_drop_incoming(&db);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 1000), CODE_ASK, "who waits asks");
	answer(&db, "2", T0 + 1000, 1000);
	cr_expect_eq(db.question_number, 2);
	cr_expect_eq(parts_at(&db, T0 + 3000), STATE_TEMP);
}

Test(database_code, who_may_have_run_functions_just_made_is_judged_before_it_is_given_back)
{
	answer(&db, NULL, T0, 1000);
	db.used_us = T0 + 2000;
	database_code_note_ddl(&db, 0);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 1500), CODE_GO);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 3000), CODE_ASK,
		     "what is cheap is read at once");
	database_code_note_ddl(&db, RISK_KEEPS);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 3000), CODE_ASK);
	answer(&db, "256", T0 + 4000, 1000);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 6000), CODE_GO);
	cr_expect_eq(parts_at(&db, T0 + 6000), STATE_BACKEND);
}

Test(database_code, what_is_compiled_counts_until_there_is_another_answer)
{
	cr_expect_eq(database_code_context_risk(&db), RISK_CONTEXT, "as long as nothing is known");
	answer(&db, "1024 0", T0, 10);
	cr_expect_eq(database_code_context_risk(&db), RISK_CONTEXT);
	database_code_note_ddl(&db, 0);
	cr_expect_eq(database_code_context_risk(&db), RISK_CONTEXT, "the next answer will tell");
	answer(&db, NULL, T0 + 2 * US_PER_S, 10);
	cr_expect_eq(database_code_context_risk(&db), 0);
}

Test(database_code, another_version_counts_as_ddl_until_the_code_was_read)
{
	answer_version(&db, "0 0", "7 77", T0, 1000);
	db.used_us = T0 + 2 * US_PER_S;
	answer_version(&db, NULL, "7 77", T0 + 2 * US_PER_S, 500);
	cr_expect(database_code_is_known(&db, T0 + 3 * US_PER_S));
	db.used_us = T0 + 4 * US_PER_S;
	answer_version(&db, NULL, "8 88", T0 + 4 * US_PER_S, 500);
	cr_expect_not(database_code_is_known(&db, T0 + 4 * US_PER_S + 1000), "the code is another one");
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 4 * US_PER_S + 1000), CODE_GO,
		     "nobody need be kept from a server");
	db.used_us = T0 + 4 * US_PER_S + 1000;
	cr_expect(database_code_is_due(&db, T0 + 4 * US_PER_S + 1000), "it is read at once");
	answer_version(&db, "1 0", "8 88", T0 + 4 * US_PER_S + 1000, 1000);
	cr_expect(database_code_is_known(&db, T0 + 5 * US_PER_S));
	cr_expect_eq(parts_at(&db, T0 + 5 * US_PER_S), STATE_SETTINGS);
}

Test(database_code, settings_that_were_altered_are_asked_for_at_once_and_nobody_fears_or_waits)
{
	const char *version;
	uint64_t hash;

	answer_version(&db, "0 0", "7 77", T0, 1000);
	db.used_us = T0 + 100 * US_PER_S;
	hash = role_settings_hash(&db.answer->roles);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 2000), CODE_GO);
	database_code_note_alter_role(&db, T0 + 3000);
	cr_expect(database_code_is_known(&db, T0 + 3000));
	cr_expect_not(database_code_is_known(&db, T0 + 3000 + CODE_AHEAD_US), "pool_return() looks so far ahead");
	cr_expect(database_code_is_due(&db, T0 + 3000));
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 3000), CODE_ASK);
	version = database_code_begin_question(&db, T0 + 3000);
	cr_expect_not_null(strstr(version, "AS versions"));
	cr_expect_null(strstr(version, "WITH RECURSIVE"), "the code is not read");
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 3000), CODE_GO);
	row(&db, "v", "7 77", "");
	row(&db, "d", "", "5");
	cr_expect_not(database_code_end_answer(&db, true, ++numbers, T0 + 4000));
	cr_expect_neq(role_settings_hash(&db.answer->roles), hash);
	cr_expect(database_code_is_known(&db, T0 + US_PER_S));
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 4000), CODE_GO);
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
		h.made[i] = code->last_keeping_ddl;
		h.turns[database_code_decide(code, h.made[i], false, now_us)]++;
	}
	return h;
}

static unsigned
count_turn(const struct database_code *code, const struct herd *h, enum code_decision turn, uint64_t now_us)
{
	unsigned count = 0;

	for (unsigned i = 0; i < 28; i++)
		count += database_code_decide(code, h->made[i], false, now_us) == turn;
	return count;
}

Test(database_code, one_server_asks_and_who_is_unheard_waits_for_the_answer_that_tells)
{
	struct herd first, second, third;

	database_code_begin_question(&db, T0); /* nothing is known, and one asks */
	first = come_back(&db, T0 + 1000);
	cr_expect_eq(first.turns[CODE_WAIT], 28);
	database_code_note_ddl(&db, RISK_KEEPS);
	second = come_back(&db, T0 + 2000);
	cr_expect_eq(second.turns[CODE_WAIT], 28);
	database_code_note_ddl(&db, 0); /* a table: nobody waits for that */
	database_code_end_answer(&db, true, ++numbers, T0 + 3000);
	cr_expect_eq(count_turn(&db, &first, CODE_GO, T0 + 3000), 28);
	cr_expect_eq(count_turn(&db, &second, CODE_WAIT, T0 + 3000), 28, "it was asked before the function was made");
	cr_expect_eq(count_turn(&db, &second, CODE_ASK, T0 + 9000), 28, "reading took 3 ms: a third of the time");

	database_code_begin_question(&db, T0 + 9000); /* the first of these asks */
	cr_expect_eq(count_turn(&db, &first, CODE_GO, T0 + 9500), 28);
	cr_expect_eq(count_turn(&db, &second, CODE_WAIT, T0 + 9500), 28);
	database_code_note_ddl(&db, 0);
	third = come_back(&db, T0 + 9500);
	cr_expect_eq(third.turns[CODE_WAIT], 28, "the answer under way will tell");
	database_code_end_answer(&db, true, ++numbers, T0 + 9900);
	cr_expect_eq(count_turn(&db, &second, CODE_GO, T0 + 9900), 28);
	cr_expect_eq(count_turn(&db, &third, CODE_GO, T0 + 9900), 28);
	cr_expect_eq(db.question_number, 2);
}

/* As while many clients make functions: 28 servers come back every 50 ms, and each may have run what was just made. */
Test(database_code, while_functions_are_made_again_and_again_many_servers_wait_for_one_answer)
{
	uint64_t last_us = T0, longest_us = 0, waits_us = 0, done_us = 0, now_us = T0;

	answer(&db, NULL, T0, 400 * US_PER_MS);
	for (; now_us < T0 + 60 * US_PER_S; now_us += 50 * US_PER_MS) {
		database_code_note_ddl(&db, RISK_KEEPS);
		waits_us = waits_us == 0 ? now_us : waits_us;
		if (db.incoming != NULL && now_us == done_us) {
			database_code_end_answer(&db, true, ++numbers, now_us);
			longest_us = now_us - waits_us > longest_us ? now_us - waits_us : longest_us;
			waits_us = last_us + 50 * US_PER_MS; /* who came back since it was asked */
		}
		if (come_back(&db, now_us).turns[CODE_ASK] == 28) {
			database_code_begin_question(&db, now_us);
			last_us = now_us;
			done_us = now_us + 400 * US_PER_MS;
		}
	}
	cr_expect_leq(db.question_number, 60, "%" PRIu32, db.question_number);
	cr_expect_geq(db.question_number, 50);
	cr_expect_leq(longest_us, 1400 * US_PER_MS, "%" PRIu64, longest_us);
}

Test(database_code, who_is_not_unheard_goes_on_while_one_asks)
{
	struct herd h;

	answer(&db, NULL, T0, 1000);
	db.used_us = T0 + 10 * US_PER_S;
	h = come_back(&db, T0 + 10 * US_PER_S);
	cr_expect_eq(h.turns[CODE_ASK], 28, "the answer is old: the first one asks");
	database_code_begin_question(&db, T0 + 10 * US_PER_S);
	cr_expect_eq(count_turn(&db, &h, CODE_GO, T0 + 10 * US_PER_S), 28, "all is washed off the others");
}

Test(database_code, who_waits_is_not_told_by_an_answer_that_failed)
{
	struct herd h;

	answer(&db, NULL, T0, 1000);
	database_code_note_ddl(&db, RISK_KEEPS);
	database_code_begin_question(&db, T0 + 2000);
	h = come_back(&db, T0 + 3000);
	cr_expect_eq(h.turns[CODE_WAIT], 28);
	database_code_end_answer(&db, false, ++numbers, T0 + 4000);
	cr_expect_eq(count_turn(&db, &h, CODE_GO, T0 + 4000), 28, "nobody waits for ever");
	cr_expect_not(database_code_has_answer_after(&db, h.made[0]), "... and is closed, not lent");
}

Test(database_code, who_is_free_waits_for_nothing_and_asks_only_now_and_then)
{
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, true, T0), CODE_ASK,
		     "no server is ever idle, it may be");
	answer(&db, "256 0", T0, 300 * US_PER_MS);
	database_code_note_ddl(&db, RISK_KEEPS);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, true, T0 + 1900 * US_PER_MS), CODE_GO);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, false, T0 + 1900 * US_PER_MS), CODE_ASK);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, true, T0 + 2100 * US_PER_MS), CODE_ASK);
	database_code_begin_question(&db, T0 + 2100 * US_PER_MS);
	cr_expect_eq(database_code_decide(&db, db.last_keeping_ddl, true, T0 + 2200 * US_PER_MS), CODE_GO);
}
