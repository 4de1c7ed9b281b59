/* tests/unit/test_fingerprint.c - what is left of SQL text without its literals, and which texts are the same. */
#include "base/escape.h"
#include "sql/scan.h"
#include "telemetry/fingerprint.h"
#include "unit.h"

static struct fingerprint
normalise(const char *sql, char *out, size_t cap)
{
	struct fingerprint fp;

	fingerprint_sql(sql, strlen(sql), 0, false, out, cap, &fp);
	cr_expect_eq(fp.text_len, strlen(out), "%s", sql);
	return fp;
}

static const struct {
	const char *rule, *sql, *want;
} texts[] = {
	{ "numbers", "SELECT 1, 1.5, .5, 1e10, 1E-5, 0x1F, 1_000", "SELECT ?, ?, ?, ?, ?, ?, ?" },
	{ "a plain string", "SELECT 'it''s' FROM t", "SELECT ? FROM t" },
	{ "a backslash in a plain string is a plain byte", "SELECT 'a\\', b", "SELECT ?, b" },
	{ "in an E string it is not", "SELECT E'a\\', b' , c", "SELECT ? , c" },
	{ "prefixed strings", "SELECT b'01', X'1F', n'x', U&'d\\0061' UESCAPE '!'", "SELECT ?, ?, ?, ? UESCAPE ?" },
	{ "a word that ends in e is no prefix", "SELECT date'2020-01-01'", "SELECT date?" },
	{ "a string in pieces", "SELECT 'a'\n  'b'", "SELECT ?" },
	{ "an E string in pieces has its rules to the end", "SELECT E'a'\n'b\\'secret' , c", "SELECT ? , c" },
	{ "dollar quotes", "SELECT $$a'b$$, $f$ $$ $g$ $f$", "SELECT ?, ?" },
	{ "a dollar in a name is none", "SELECT a$b$c FROM t", "SELECT a$b$c FROM t" },
	{ "parameters stay", "SELECT * FROM t WHERE a = $1 AND b = $12", "SELECT * FROM t WHERE a = $1 AND b = $12" },
	{ "quoted identifiers stay", "SELECT \"a'b\", \"c\"\"d\" FROM U&\"e\"",
	  "SELECT \"a'b\", \"c\"\"d\" FROM U&\"e\"" },
	{ "line comments", "SELECT 1 -- secret 'quote\n, 2", "SELECT ? , ?" },
	{ "nested comments", "SELECT/* a /* b */ ' */1", "SELECT ?" },
	{ "whitespace", " \t SELECT\r\n\f 1  ", "SELECT ?" },
	{ "a last semicolon", "SELECT 1 ; ;", "SELECT ?" },
	{ "two statements", "SELECT 1; SELECT 2", "SELECT ?; SELECT ?" },
	{ "operators", "SELECT a->>'b', c @> '{}', d <= 1", "SELECT a->>?, c @> ?, d <= ?" },
	{ "a comment ends an operator", "SELECT 1+/*x*/2, 1*--x\n3", "SELECT ?+ ?, ?* ?" },
	{ "casts", "SELECT '1'::int, a::numeric(10,2)", "SELECT ?::int, a::numeric(?,?)" },
	{ "array subscripts", "SELECT a[1:2]", "SELECT a[?:?]" },
	{ "nothing", "", "" },
	{ "nothing but a comment", "/* x */ -- y", "" },
	{ "nothing but semicolons", ";;", "" },

	{ "a sign behind an operator", "WHERE a = -1 AND b=-2", "WHERE a = ? AND b=?" },
	{ "a sign behind a bracket or comma", "f(-1, -2)", "f(?, ?)" },
	{ "a sign behind a keyword", "SELECT -1 LIMIT -2", "SELECT ? LIMIT ?" },
	{ "a subtraction", "a - 1, b -1, (c) - 1, 2-1", "a - ?, b -?, (c) - ?, ?-?" },
	{ "a sign of something else", "SELECT -a, -$1", "SELECT -a, -$1" },

	{ "IN", "WHERE a IN (1,2,3)", "WHERE a IN (?)" },
	{ "IN with one", "WHERE a in ( 'x' )", "WHERE a in (?)" },
	{ "IN with parameters", "WHERE a IN ($1, $2)", "WHERE a IN (?)" },
	{ "IN with signs, casts and NULL", "a IN (-1, '2'::int, NULL, '3'::numeric(10,2))", "a IN (?)" },
	{ "IN with rows", "(a, b) IN ((1,2), (3,4))", "(a, b) IN (?)" },
	{ "IN with something else", "a IN (1, b, 3)", "a IN (?, b, ?)" },
	{ "IN with a query", "a IN (SELECT b FROM t WHERE c = 1)", "a IN (SELECT b FROM t WHERE c = ?)" },
	{ "arguments are no list", "SELECT f(1, 2)", "SELECT f(?, ?)" },
	{ "VALUES", "INSERT INTO t VALUES (1,'a'),(2,'b')", "INSERT INTO t VALUES (?)" },
	{ "VALUES with what follows", "INSERT INTO t VALUES (1), (2) RETURNING id",
	  "INSERT INTO t VALUES (?) RETURNING id" },
	{ "rows that look alike", "VALUES (1, now()), (2, now()), (3, now())", "VALUES (?, now())" },
	{ "rows that do not", "VALUES (1, now()), (DEFAULT, a)", "VALUES (?, now()), (DEFAULT, a)" },
	{ "VALUES in VALUES", "VALUES ((VALUES (1), (2))), ((VALUES (3)))", "VALUES ((VALUES (?)))" },
	{ "ARRAY", "a = ANY (ARRAY[1, 2, 3])", "a = ANY (ARRAY[?])" },
	{ "ARRAY in VALUES", "VALUES (ARRAY['a', 'b'], 1)", "VALUES (?)" },
	{ "an empty list", "a IN ()", "a IN ()" },
	{ "brackets without partners", "a IN (1)) ] ( [", "a IN (?)) ] ( [" },

	{ "invalid UTF-8 in a name",
	  "SELECT a\xff"
	  "b",
	  "SELECT a\xef\xbf\xbd"
	  "b" },
	{ "invalid UTF-8 in a string", "SELECT '\xff'", "SELECT ?" },
	{ "valid UTF-8", "SELECT \xc3\xa9t\xc3\xa9 FROM \"\xe2\x82\xac\"",
	  "SELECT \xc3\xa9t\xc3\xa9 FROM \"\xe2\x82\xac\"" },
};

#define LETTERS "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

Test(fingerprint, texts)
{
	EACH(row, texts) {
		char out[512];
		struct fingerprint fp = normalise(row->sql, out, sizeof(out));

		cr_expect_str_eq(out, row->want, "%s: %s", row->rule, out);
		cr_expect(!fp.is_truncated && !fp.is_unsafe, "%s", row->rule);
	}
}

static const struct {
	const char *rule, *a, *b;
	bool is_same;
} pairs[] = {
	{ "other literals", "SELECT 1, 'a'", "SELECT 2000, $$b$$", true },
	{ "other case", "select A from B", "SELECT a FROM b", true },
	{ "other whitespace", "SELECT a,b FROM t WHERE c=1", "SELECT a, b FROM t WHERE c = 1;", true },
	{ "other comments", "/* x */ SELECT 1", "SELECT 1 -- y", true },
	{ "longer lists", "a IN (1)", "a IN (1, 2, 3)", true },
	{ "more rows", "INSERT INTO t VALUES (1, now())", "INSERT INTO t VALUES (1, now()), (2, now())", true },
	{ "a sign", "SELECT a = 1", "SELECT a = -1", true },
	{ "another name", "SELECT a", "SELECT b", false },
	{ "another case in a quoted name", "SELECT \"a\"", "SELECT \"A\"", false },
	{ "another parameter", "SELECT $1", "SELECT $2", false },
	{ "a literal or a parameter", "SELECT $1", "SELECT 1", false },
	{ "a literal or an operator that looks like it", "SELECT 1", "SELECT ?", false },
	{ "two words or one", "SELECT a b", "SELECT ab", false },
	{ "more arguments", "f(1)", "f(1, 2)", false },
	{ "addition or subtraction", "a + 1", "a - 1", false },
};

Test(fingerprint, sameness)
{
	EACH(row, pairs) {
		char out[256];
		uint64_t a = normalise(row->a, out, sizeof(out)).hash;
		uint64_t b = normalise(row->b, out, sizeof(out)).hash;

		cr_expect_eq(a == b, row->is_same, "%s", row->rule);
	}
}

Test(fingerprint, the_hash_does_not_depend_on_the_room_for_the_text)
{
	const char *sql = "SELECT abalance FROM pgbench_accounts WHERE aid = 42";
	char small[10], large[256];

	cr_expect_eq(normalise(sql, small, sizeof(small)).hash, normalise(sql, large, sizeof(large)).hash);
	cr_expect_str_eq(small, "SELECT ab");
}

static const struct {
	const char *rule, *sql, *want;
} unsafe[] = {
	{ "a string", "SELECT 'secret", "SELECT" },
	{ "an E string that ends in a backslash", "insert into t values (E'secret\\'", "insert" },
	{ "a quoted name", "DELETE FROM \"secret", "DELETE" },
	{ "a dollar quote", "DO $x$ secret $y$", "DO" },
	{ "a comment", "UPDATE t SET a = 1 /* secret /* */", "UPDATE" },
	{ "nothing but a quote", "'secret", "" },
	{ "a keyword that is no command", "where a = 'secret", "where" },
	{ "a first word that is no keyword", "hunter2' OR a", "" },
};

Test(fingerprint, what_does_not_end_is_not_shown)
{
	EACH(row, unsafe) {
		char out[256];
		struct fingerprint fp = normalise(row->sql, out, sizeof(out));

		cr_expect(fp.is_unsafe, "%s", row->rule);
		cr_expect_str_eq(out, row->want, "%s: %s", row->rule, out);
		cr_expect_neq(fp.hash, 0, "%s", row->rule);
	}
}

static const struct {
	const char *rule, *sql, *want;
	size_t cap;
} cuts[] = {
	{ "cut in a word", "SELECT abcdef", "SELECT abc", 11 },
	{ "never in a character", "SELECT \xc3\xa9\xc3\xa9", "SELECT \xc3\xa9", 11 },
	{ "just room enough", "SELECT ab", "SELECT ab", 10 },
	{ "room for nothing", "SELECT ab", "", 1 },
	{ "a list that collapses needs its room only for a moment", "IN (1,2,3,4,5)", "IN (?)", 7 },
};

Test(fingerprint, cuts)
{
	EACH(row, cuts) {
		char out[64];
		struct fingerprint fp = normalise(row->sql, out, row->cap);

		cr_expect_str_eq(out, row->want, "%s: %s", row->rule, out);
		cr_expect_eq(fp.is_truncated, strcmp(row->want, "SELECT ab") != 0 && strcmp(row->want, "IN (?)") != 0,
			     "%s", row->rule);
	}
}

/* INSERT ... VALUES (0,'x'),(1,'x') ... as far as size goes. */
static char *
long_insert(const char *row, size_t size)
{
	char *sql = malloc(size + 64);
	size_t n = (size_t)sprintf(sql, "INSERT INTO t VALUES ");

	while (n < size)
		n += (size_t)sprintf(sql + n, "%s%s", n > 21 ? ", " : "", row);
	sql[size] = '\0';
	return sql;
}

Test(fingerprint, a_list_that_was_cut_has_one_fingerprint_wherever_the_cut_fell)
{
	const char *rows[] = { "(1, 'x')", "(22, 'yy')", "(333, 'zzz''z', NULL)" };
	char out[64];
	uint64_t want = normalise("INSERT INTO t VALUES (1)", out, sizeof(out)).hash;

	for (size_t i = 0; i < 3; i++)
		for (size_t extra = 0; extra < 20; extra++) {
			char *sql = long_insert(rows[i], FINGERPRINT_INPUT_MAX + extra);
			struct fingerprint fp = normalise(sql + extra, out, sizeof(out));

			fp = normalise(sql, out, sizeof(out));
			cr_expect_eq(fp.hash, want, "%s", rows[i]);
			cr_expect_str_eq(out, "INSERT INTO t VALUES (?)");
			cr_expect(fp.is_truncated && !fp.is_unsafe);
			free(sql);
		}
}

Test(fingerprint, a_long_IN_list_that_was_cut)
{
	char *sql = malloc(FINGERPRINT_INPUT_MAX + 1), out[64];
	size_t n = (size_t)sprintf(sql, "SELECT a WHERE b IN (");

	for (; n < FINGERPRINT_INPUT_MAX; n++)
		sql[n] = n % 2 ? '7' : ',';
	sql[n] = '\0';
	cr_expect(normalise(sql, out, sizeof(out)).is_truncated);
	cr_expect_str_eq(out, "SELECT a WHERE b IN (?");
	free(sql);
}

Test(fingerprint, a_string_that_the_cut_left_open_is_not_shown)
{
	char *sql = malloc(FINGERPRINT_INPUT_MAX + 1), out[64];
	struct fingerprint fp;

	memset(sql, 's', FINGERPRINT_INPUT_MAX);
	memcpy(sql, "SELECT a, '", 11);
	sql[FINGERPRINT_INPUT_MAX] = '\0';
	fp = normalise(sql, out, sizeof(out));
	cr_expect_str_eq(out, "SELECT a,");
	cr_expect(fp.is_truncated && !fp.is_unsafe);
	free(sql);
}

Test(fingerprint, brackets_deeper_than_it_looks)
{
	char sql[512] = "SELECT a IN ", out[512], want[512];
	size_t n = strlen(sql);

	for (int i = 0; i < 60; i++)
		sql[n++] = '(';
	strcpy(sql + n, "now()");
	n += 5;
	for (int i = 0; i < 60; i++)
		sql[n++] = ')';
	sql[n] = '\0';
	strcpy(want, sql);
	normalise(sql, out, sizeof(out));
	cr_expect_str_eq(out, want, "%s", out);
}

static const struct {
	const char *rule, *sql, *want;
} fulls[] = {
	{ "literals stay, comments go", "SELECT 'a  b', -1 /* c */ , 2 -- d", "SELECT 'a  b', -1 , 2" },
	{ "lists stay", "a IN (1, 2,3 ) AND VALUES (1), (2)", "a IN (1, 2,3 ) AND VALUES (1), (2)" },
	{ "strings in pieces stay", "SELECT 'a'\n'b'", "SELECT 'a' 'b'" },
	{ "invalid UTF-8 in a string", "SELECT '\xff'", "SELECT '\xef\xbf\xbd'" },
	{ "what does not end is not shown even so", "SELECT 'secret", "SELECT" },
};

Test(fingerprint, full_text)
{
	EACH(row, fulls) {
		struct fingerprint full, normal;
		char out[256];

		normal = normalise(row->sql, out, sizeof(out));
		fingerprint_sql(row->sql, strlen(row->sql), 0, true, out, sizeof(out), &full);
		cr_expect_str_eq(out, row->want, "%s: %s", row->rule, out);
		cr_expect_eq(full.hash, normal.hash, "%s: the same hash", row->rule);
	}
}

Test(fingerprint, a_NUL_does_not_end_the_text)
{
	char out[64];
	struct fingerprint fp;

	fingerprint_sql("SELECT \0, \"a\0b\"", 15, 0, false, out, sizeof(out), &fp);
	cr_expect_str_eq(out, "SELECT \xef\xbf\xbd, \"a\xef\xbf\xbd"
			      "b\"");
	cr_expect_eq(fp.text_len, strlen(out));
}

#define OFF SCAN_BACKSLASH_STRINGS
#define SJIS (SCAN_ASCII_TRAIL | SCAN_SJIS_TRAIL)

/* Wherever the session may see the end of a string elsewhere, nothing after its beginning is shown. */
static const struct {
	unsigned options;
	const char *sql, *want;
} doubtful[] = {
	{ 0, "SELECT 'a\\', b FROM t", "SELECT ?, b FROM t" },
	{ OFF, "SELECT a, 'x', 'it\\'s secret ', 'y'", "SELECT a, ?, ?" },
	{ OFF, "SELECT 'secret\\\\', b", "SELECT ?" },
	{ OFF, "SELECT E'a\\'b', c", "SELECT ?, c" },
	{ OFF, "SELECT a FROM t WHERE b IN (1, 'x\\', secret, ')') AND c", "SELECT a FROM t WHERE b IN (?" },
	{ OFF, "SELECT $$a\\b$$, c", "SELECT ?, c" },
	{ SJIS, "SELECT E'\x95\\', 'secret', c", "SELECT ?" },
	{ SJIS, "SELECT '\x95\\', c", "SELECT ?, c" },
	{ SJIS, "SELECT E'a'\n'\x95\\', 'secret', c", "SELECT ?" },
	{ OFF | SJIS, "SELECT '\x95\\\\' secret ', c", "SELECT ?" },
	{ 0, "SET standard_conforming_strings = on; SELECT 'it\\'s secret '",
	  "SET standard_conforming_strings = on; SELECT ?" },
	{ 0, "SET NAMES 'utf8'; SELECT E'\x95\\' secret ', 'x'", "SET NAMES ?; SELECT ?" },
};

Test(fingerprint, nothing_is_shown_behind_a_string_whose_end_is_in_doubt)
{
	EACH(row, doubtful) {
		struct fingerprint fp, full;
		const char *sql = row->sql;
		char out[256];

		fingerprint_sql(sql, strlen(sql), row->options, true, out, sizeof(out), &full);
		fingerprint_sql(sql, strlen(sql), row->options, false, out, sizeof(out), &fp);
		cr_expect(strncmp(out, row->want, strlen(row->want)) == 0 && strstr(out, "secret") == NULL, "%s: %s",
			  sql, out);
		cr_expect_eq(fp.hash, full.hash);
	}
}

#define TRACE "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
#define UPPER "00-5BD66EF5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"

static const struct {
	const char *rule, *sql;
	bool is_there;
} traces[] = {
	{ "sqlcommenter's way", "SELECT 1 /*traceparent='" TRACE "'*/", true },
	{ "with other keys", "SELECT 1 /*route='%2Fpay',traceparent='" TRACE "',db_driver='x'*/;", true },
	{ "without quotes", "SELECT 1 /* traceparent=" TRACE " */", true },
	{ "in front", "/*traceparent='" TRACE "'*/ SELECT 1", true },
	{ "the last comment counts", "SELECT 1 /*traceparent='" TRACE "'*/ /*x*/", false },
	{ "not in a string", "SELECT '/*traceparent=''" TRACE "''*/'", false },
	{ "not in a line comment", "SELECT 1 --traceparent='" TRACE "'", false },
	{ "capitals are not well formed", "SELECT 1 /*traceparent='" UPPER "'*/", false },
	{ "one digit too many", "SELECT 1 /*traceparent='" TRACE "1'*/", false },
	{ "a quote that does not end", "SELECT 1 /*traceparent='" TRACE "*/", false },
	{ "another key", "SELECT 1 /*xtraceparent='" TRACE "'*/", false },
	{ "no trace", "SELECT 1 /*traceparent='00-00000000000000000000000000000000-c532cb4098ac3dd2-01'*/", false },
	{ "no span", "SELECT 1 /*traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-0000000000000000-01'*/", false },
	{ "an invalid version", "SELECT 1 /*traceparent='ff-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/",
	  false },
	{ "cut short", "SELECT 1 /*traceparent='00-5bd66ef5'*/", false },
	{ "the second is good", "SELECT 1 /*traceparent='x',traceparent='" TRACE "'*/", true },
};

Test(fingerprint, traceparent)
{
	EACH(row, traces) {
		char out[256];
		struct fingerprint fp = normalise(row->sql, out, sizeof(out));

		cr_expect_str_eq(fp.traceparent, row->is_there ? TRACE : "", "%s", row->rule);
	}
}

/* The end of a quoted name is looked for in sixteen bytes at once, where as many follow. */
Test(fingerprint, of_quoted_names_of_each_length_however_much_follows)
{
	char sql[128], want[128], text[128];

	for (int len = 1; len < 40; len++)
		for (int doubled = 0; doubled <= len; doubled++)
			for (int more = 0; more < 20; more++) {
				int n = sprintf(sql, "SELECT \"%.*s\"\"%.*s\",1%*s", doubled, LETTERS, len - doubled,
						LETTERS, more, "");

				sprintf(want, "SELECT \"%.*s\"\"%.*s\",?", doubled, LETTERS, len - doubled, LETTERS);
				fingerprint_normalize(sql, (size_t)n, 0, text, sizeof(text));
				cr_assert_str_eq(text, want);
			}
}
