/*
 * tests/unit/test_seal.c - what is washed off after which SQL, and how. Links seal/seal.c, session/gucs.c,
 * session/scan*.c, wire/messages.c, wire/frame.c, base/buf.c.
 */
#include "seal/probe.h"
#include "seal/seal.h"
#include "wire/messages.h"

#include "sql/scan.h"
#include "unit.h"

static const struct {
	uint32_t flags;
	unsigned code, parts;
} rules[] = {
	{ 0, 0, 0 },
	{ SCAN_SAVEPOINT | SCAN_UNDO | SCAN_INSERT | SCAN_NEXTVAL | SCAN_FUNCTION, 0, 0 },
	{ 0, STATE_LOCKS, STATE_LOCKS },
	{ SCAN_SETTING, STATE_LISTEN, STATE_SETTINGS | STATE_TEMP | STATE_SEED | STATE_LISTEN },
	{ SCAN_NAMES_LOST, 0, STATE_SETTINGS | STATE_TEMP | STATE_SEED },
	{ SCAN_CREATE, 0, STATE_TEMP },
	{ SCAN_CURSOR | SCAN_LOCK, 0, STATE_CURSORS | STATE_LOCKS },
	{ SCAN_CODE, 0, STATE_WASHABLE - STATE_SEQUENCES },
	{ SCAN_EXECUTE, 0, STATE_WASHABLE - STATE_SEQUENCES },
	{ SCAN_SEED, 0, STATE_SEED },
	{ SCAN_BACKEND, 0, STATE_BACKEND },
	{ SCAN_SLOT, 0, STATE_BACKEND },
	{ SCAN_ORIGIN, 0, STATE_BACKEND },
	{ 0, STATE_BACKEND, STATE_BACKEND },
	{ 0, WASH_POINT_SEED | RISK_CONTEXT, WASH_POINT_SEED },
};

Test(seal, parts)
{
	for (size_t i = 0; i < COUNT(rules); i++)
		cr_expect_eq(seal_parts_of(rules[i].flags, rules[i].code), rules[i].parts, "rule %zu", i);
}

static const char *
sql_of(const struct buf *b)
{
	cr_assert(buf_ok(b) && b->len > 6 && b->bytes[0] == 'Q' && b->bytes[b->len - 1] == 0);
	return (const char *)b->bytes + 5;
}

Test(seal, who_the_session_acts_as_is_given_up_first)
{
	struct buf b = { 0 };
	static const char first[] = "SET " MESSAGE_OURS "TRANSACTION ISOLATION LEVEL READ COMMITTED;"
				    "SET " MESSAGE_OURS "SESSION AUTHORIZATION DEFAULT;"
				    "RESET " MESSAGE_OURS "ROLE;"
				    "RESET " MESSAGE_OURS "ALL;"
				    "SET " MESSAGE_OURS "LOCAL jit = off;";

	seal_put(&b, STATE_WASHABLE, 123456789012, "");
	cr_expect_eq(strncmp(sql_of(&b), first, sizeof(first) - 1), 0);
	cr_expect_not_null(strstr(sql_of(&b), "UNLISTEN " MESSAGE_OURS "*;"));
	cr_expect_not_null(strstr(sql_of(&b), "SET " MESSAGE_OURS "seed = 0.000123456789012;"));
	buf_fini(&b);
	seal_put(&b, STATE_LOCKS, 1, "public");
	cr_expect_not_null(strstr(sql_of(&b), "SELECT " MESSAGE_OURS "FROM pg_catalog.pg_advisory_unlock_all();"));
	cr_expect_null(strstr(sql_of(&b), "RESET"));
	buf_fini(&b);
}

Test(seal, sessions_elsewhere_are_closed_where_it_is_known_or_searched_for)
{
	struct buf b = { 0 };

	seal_put(&b, STATE_REMOTE, 1, "\"a b\"");
	cr_expect_not_null(strstr(sql_of(&b), "SELECT " MESSAGE_OURS "FROM \"a b\".postgres_fdw_disconnect_all();"));
	cr_expect_null(strstr(sql_of(&b), "pg_proc"));
	buf_fini(&b);
	seal_put(&b, STATE_REMOTE, 1, "");
	cr_expect_not_null(strstr(sql_of(&b), "pg_proc"));
	buf_fini(&b);
}

/* How often it stands there. */
Test(seal, plpgsql_is_not_loaded_for_it)
{
	static const struct {
		struct probe_row row;
		bool is_known;
		const char *sql[2];
	} cases[] = {
		{ { 'd', "s", "error" }, true, { "-SELECT " MESSAGE_OURS "FROM ", "-DO " MESSAGE_OURS } },
		{ { 'd', "s", "" }, true, { "-SELECT " MESSAGE_OURS "FROM ", "?SELECT " MESSAGE_OURS "FROM s.dbl" } },
		{ { 'd', "\"a$_$b\"", "error" }, false, { NULL } },
		{ { 'f', "s", "" }, true, { "-SELECT " MESSAGE_OURS "FROM s.postgres_fdw_disconnect_all()" } },
		{ { 'h', "s", "" }, false, { NULL } },
		{ { 's', "s", "" }, false, { NULL } },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf b = { 0 };
		size_t at = 0;

		cr_expect_eq(seal_put_for_row(&b, &cases[i].row), cases[i].is_known, "case %zu", i);
		for (size_t n = 0; n < 2 && cases[i].sql[n] != NULL; n++) {
			cr_assert_lt(at, b.len);
			cr_expect_eq(strncmp((const char *)b.bytes + at, cases[i].sql[n], strlen(cases[i].sql[n])), 0);
			at += strlen((const char *)b.bytes + at) + 1;
		}
		cr_expect_eq(at, b.len, "case %zu", i);
		buf_fini(&b);
	}
}

Test(seal, a_wrapper_costs_the_server_unless_its_sessions_can_be_closed)
{
	const struct probe_row dblink = { 'd', "s", "" }, handler = { 'h', "s", "" }, closes = { 'f', "s", "" };
	struct buf b = { 0 };

	cr_assert(seal_put_for_row(&b, &dblink));
	cr_expect_not(seal_put_for_row(&b, &handler), "postgres_fdw before 1.1");
	cr_assert(seal_put_for_row(&b, &closes));
	cr_expect(seal_put_for_row(&b, &handler));
	buf_fini(&b);
}

#define ROW(bytes) (const uint8_t *)(bytes), sizeof(bytes) - 1

Test(seal, statements_are_counted)
{
	struct seal_statement row;
	char copy[32];

	cr_assert(seal_read_statement(ROW("\0\2\xff\xff\xff\xff\0\0\0\00212"), copy, &row));
	cr_expect_null(row.name);
	cr_expect_eq(row.count, 12);
	cr_expect_not(seal_read_statement(ROW("\0\0"), copy, &row), "the row of a function in FROM");
	cr_expect_not(seal_read_statement(ROW("\0\2\0\0\0\1a\0\0\0\00112"), copy, &row));
	cr_expect_not(seal_read_statement(ROW("\0\2\0\0\0\x7f"
					      "a\0\0\0\0011"),
					  copy, &row));
	cr_expect_not(seal_read_statement(ROW("\0\1\0\0\0\1a"), copy, &row));
}

Test(seal, foreign_statements_are_quoted)
{
	struct buf b = { 0 }, names = { 0 };
	struct seal_statement row;
	char copy[16];

	cr_assert(seal_read_statement(ROW("\0\2\0\0\0\3a\"b\0\0\0\0011"), copy, &row));
	buf_put_str(&names, row.name);
	buf_put_str(&names, "c;d");
	seal_put_deallocate(&b, &names);
	cr_expect_str_eq(sql_of(&b), "DEALLOCATE " MESSAGE_OURS "\"a\"\"b\";DEALLOCATE " MESSAGE_OURS "\"c;d\";");
	buf_fini(&b);
	buf_fini(&names);
}
