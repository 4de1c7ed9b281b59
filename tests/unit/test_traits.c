/* tests/unit/test_traits.c - one reading of SQL: see sql/traits.h. */
#include "sql/traits.h"
#include "unit.h"

static struct sql_traits
read(const char *sql)
{
	struct sql_traits v;
	struct scan s;

	scan_text(&s, 0, sql, strlen(sql));
	traits_set_from_scan(&v, &s, sql, strlen(sql));
	return v;
}

static struct sql_traits
read_parse(const char *sql)
{
	struct sql_traits v;

	traits_set_for_all_options(&v, sql, strlen(sql));
	traits_add_parse_hints(&v, sql, strlen(sql));
	return v;
}

Test(traits, plain_sql_concerns_nobody)
{
	static const char *const plain[] = { "SELECT 1",
					     "SELECT count(*) FROM t WHERE a = $1",
					     "BEGIN",
					     "COMMIT",
					     "INSERT INTO t VALUES (1)",
					     "SAVEPOINT a",
					     "NOTIFY a",
					     "" };
	static const char *const others[] = { "SET a = 1",     "SET LOCAL a = 1",
					      "LISTEN a",      "SELECT f(1)",
					      "EXECUTE a",     "DEALLOCATE a",
					      "DROP TABLE t",  "SELECT pg_listening_channels()",
					      "SELECT 'no end" };

	for (size_t i = 0; i < COUNT(plain); i++)
		cr_expect(read(plain[i]).is_plain, "%s", plain[i]);
	for (size_t i = 0; i < COUNT(others); i++)
		cr_expect(!read(others[i]).is_plain, "%s", others[i]);
}

Test(traits, the_first_word)
{
	static const struct {
		const char *sql;
		enum sql_word first;
	} rows[] = {
		{ "listen a", WORD_LISTEN },
		{ "/* a */ -- b\n; LISTEN a", WORD_LISTEN },
		{ "Unlisten *; SELECT 1", WORD_UNLISTEN },
		{ "DEALLOCATE ALL", WORD_DEALLOCATE },
		{ "DISCARD ALL", WORD_DISCARD },
		{ "execute a", WORD_EXECUTE },
		{ "FETCH 1 FROM c", WORD_FETCH },
		{ "PREPARE TRANSACTION 'a'", WORD_PREPARE },
		{ "begin", WORD_BEGIN },
		{ "START TRANSACTION", WORD_START_TRANSACTION },
		{ "SELECT 'LISTEN'", WORD_SELECT },
		{ "\"listen\"", SQL_WORDS_NONE },
		{ "", SQL_WORDS_NONE },
	};

	EACH(row, rows)
		cr_expect_eq(read(row->sql).first, (uint8_t)row->first, "%s", row->sql);
}

Test(traits, hints)
{
	static const struct {
		const char *sql;
		uint32_t hints;
	} rows[] = {
		{ "SELECT 1", 0 },
		{ "NOTIFY a", SCAN_HINT_NOTIFY },
		{ "SELECT 1; NOTIFY a, 'b'", SCAN_HINT_NOTIFY },
		{ "SELECT pg_notify($1, $2)", SCAN_HINT_NOTIFY },
		{ "SELECT pg_catalog.PG_Notify($1, $2)", SCAN_HINT_NOTIFY },
		{ "SELECT \"pg_notify\"($1, $2)", SCAN_HINT_NOTIFY },
		{ "DO $$ BEGIN PERFORM pg_notify('a', ''); END $$", SCAN_HINT_NOTIFY },
		{ "SELECT notify_all()", SCAN_HINT_NOTIFY },
		{ "SELECT notify FROM t", 0 },
		{ "SELECT 'pg_notify(1)'", 0 },
		{ "SELECT * FROM pg_prepared_statements", 0 },
		{ "SELECT * FROM pg_catalog.\"pg_listening_channels\"()", SCAN_HINT_CHANNELS },
		{ "COMMIT", SCAN_HINT_ENDS },
		{ "SELECT 1; end", SCAN_HINT_ENDS },
		{ "abort", SCAN_HINT_ENDS },
		{ "ROLLBACK TO a", SCAN_HINT_ENDS },
		{ "PREPARE TRANSACTION 'a'", SCAN_HINT_ENDS },
		{ "SELECT CASE WHEN true THEN 1 END", 0 },
		{ "SET LOCAL x = 1", SCAN_HINT_LOCAL },
	};

	EACH(row, rows)
		cr_expect_eq(read(row->sql).hints, row->hints, "%s: %x", row->sql, read(row->sql).hints);
}

Test(traits, sql_without_an_end_may_do_anything)
{
	struct sql_traits v = read("SELECT pg_listening_channels(), 'no end");

	cr_expect_eq(v.flags, SCAN_ALL);
	cr_expect((v.hints & SCAN_HINT_LOCAL) != 0);
}

Test(traits, what_a_parse_depends_on)
{
	static const struct {
		const char *sql;
		uint32_t hints;
	} rows[] = {
		{ "BEGIN", 0 },
		{ "VACUUM t", 0 },
		{ "SELECT $1", 0 },
		{ "(SELECT 1)", 0 },
		{ "SELECT '01/02/2020'::date", TRAITS_LITERALS },
		{ "SELECT $$a$$", TRAITS_LITERALS },
		{ "SELECT ' Now'::timestamp", TRAITS_LITERALS | TRAITS_MOMENT },
		{ "SELECT E'n\\x6fw', 1", TRAITS_LITERALS | TRAITS_MOMENT },
		{ "SELECT e'n\\ow'", TRAITS_LITERALS | TRAITS_MOMENT },
		{ "SELECT U&'!006eow' UESCAPE '!'", TRAITS_LITERALS | TRAITS_MOMENT },
		{ "SELECT 'no'\n'w'", TRAITS_LITERALS | TRAITS_MOMENT },
		{ "SELECT E'it\\'s \\\\d\\n', 'n\\ow', 'no', 'w'", TRAITS_LITERALS },
		{ "SELECT a = NULL", TRAITS_NULL },
		{ "SELECT (NULL) = a", TRAITS_NULL },
		{ "SELECT a IS NULL", 0 },
		{ "CREATE TABLE t AS SELECT 1", 0 },
		{ "CREATE TABLE t (a int)", 0 },
		{ "COMMENT ON TABLE t IS E'\\\\'", TRAITS_LITERALS },
	};

	EACH(row, rows) {
		uint32_t hints = read_parse(row->sql).hints & ~0xffu;

		cr_expect_eq(hints, row->hints | TRAITS_PARSE_HINTS_ADDED, "%s: %x", row->sql, hints);
	}
}

Test(traits, what_may_fail_for_some_values)
{
	static const char *const fail[] = { "SELECT a FROM t WHERE a::int = $1 OR $1 IS NULL",
					    "SELECT a FROM t WHERE CAST(a AS int) = $1",
					    "SELECT a FROM t WHERE (a)::int = $1",
					    "SELECT $1::text::int",
					    "SELECT a / $1 FROM t",
					    "SELECT a*b FROM t WHERE c = $1",
					    "SELECT a FROM t WHERE a LIKE $1",
					    "SELECT a FROM t WHERE a AT TIME ZONE 'UTC' > $1",
					    "SELECT a FROM t WHERE to_date(a, 'YYYY') = $1",
					    "SELECT a FROM t WHERE \"to_date\"(a, 'YYYY') = $1",
					    "SELECT (SELECT a FROM t) FROM u WHERE b = $1",
					    "SELECT a FROM t WHERE b = (SELECT c FROM u) AND d = $1",
					    "INSERT INTO t SELECT div(a, b) FROM u WHERE c = $1",
					    "INSERT INTO t (a) VALUES (div($1, 2))",
					    "SELECT a FROM t WHERE b = E'\\'' AND c = $1",
					    "SELECT a FROM t WHERE b <-> $1 < 3" };
	static const char *const calm[] = {
		"SELECT a::int FROM t", /* without parameters any plan is one for all values */
		"SELECT * FROM t WHERE a = $1 AND b IN ($2, $3) ORDER BY c LIMIT $4::INTEGER",
		"SELECT t.*, count(*), max(a) FROM t JOIN (SELECT b FROM u) AS u ON u.b = t.b WHERE t.a = $1 GROUP BY "
		"1",
		"SELECT DISTINCT * FROM t WHERE a = CAST($1 AS varchar(20)) OR b = '2020-01-01'::date",
		"SELECT a FROM t WHERE a = ANY($1::int[]) AND EXISTS (SELECT 1 FROM u) AND b ->> 'c' = $2",
		"SELECT \"t\".\"a\" FROM \"t\" WHERE \"t\".\"at\" > $1::timestamp with time zone AND a::text = 'x'",
		"INSERT INTO s.t (a, \"b\") VALUES ($1, $2::numeric(10,2)), ($3, $4) RETURNING a, *",
		"INSERT INTO \"t\" (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = excluded.a",
		"UPDATE t SET a = $1, b = now() WHERE c = $2",
		"WITH x AS MATERIALIZED (SELECT a FROM t WHERE lower(a) = lower($1)) SELECT * FROM x",
		"(SELECT a FROM t WHERE a = $1) UNION (SELECT a FROM u)",
		"SELECT coalesce(json_agg(u), '[]'::json) FROM t u WHERE a = $1",
		"DELETE FROM t WHERE a = $1 AND (b IS NULL OR b <> $2)"
	};

	for (size_t i = 0; i < COUNT(fail); i++)
		cr_expect((read_parse(fail[i]).hints & TRAITS_MAY_FAIL) != 0, "%s", fail[i]);
	for (size_t i = 0; i < COUNT(calm); i++)
		cr_expect((read_parse(calm[i]).hints & TRAITS_MAY_FAIL) == 0, "%s", calm[i]);
}

Test(traits, sql_that_may_be_read_in_several_ways)
{
	static const char sql[] = "SELECT '\\'; LISTEN a; --'";
	struct sql_traits v;

	cr_expect_eq(read(sql).flags & SCAN_LISTEN, SCAN_LISTEN, "the backslash is one");
	traits_set_for_all_options(&v, sql, strlen(sql));
	cr_expect((v.flags & SCAN_LISTEN) != 0);
	cr_expect(!v.is_plain);
}
