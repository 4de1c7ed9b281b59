/*
 * tests/unit/test_risk_names.c - which names are found in SQL, and what is opaque. Links seal/risk_names.c.
 */
#include "seal/risk_names.h"
#include "unit.h"

#define F 1u /* of the function f */
#define R 2u /* of the relation "t" */
#define W 4u /* of writes to it */
#define O 8u /* of the operator === */
#define N 16u /* of LIKE */
#define X 32u /* of a name that is not ASCII */
#define LONG 64u /* of a name of 63 bytes */
#define ODD 128u /* of a name with a space */
#define CALLED_F 256u /* of the function "over" */
#define CALLED_X 512u /* of a function whose name is not ASCII */
#define CUT 2048u /* of a function that PostgreSQL cuts ahead of a letter of four bytes */
#define DDL 1024u
#define ALL 0xfffu
#define OPAQUE (ALL | RISK_OPAQUE)

#define LONG_NAME "a23456789_123456789_123456789_123456789_123456789_123456789_123"

static struct risk_names *
names_new(void)
{
	struct risk_names *names = risk_names_new();

	cr_assert_not_null(names);
	risk_names_add(names, RISK_FUNCTION, "f", (struct risk){ F, 0 }, "EXECUTE");
	risk_names_add(names, RISK_FUNCTION, "runs", (struct risk){ RISK_DYNAMIC, 0 }, "EXECUTE");
	risk_names_add(names, RISK_FUNCTION, "over", (struct risk){ CALLED_F, 0 }, "");
	risk_names_add(names, RISK_RELATION, "t", (struct risk){ R, W }, "");
	risk_names_add(names, RISK_RELATION, LONG_NAME, (struct risk){ LONG, 0 }, "");
	risk_names_add(names, RISK_FUNCTION, "a23456789_123456789_123456789_123456789_123456789_123456789_",
		       (struct risk){ CUT, 0 }, "");
	risk_names_add(names, RISK_RELATION, "an odd \"name", (struct risk){ ODD, 0 }, "");
	risk_names_add(names, RISK_OPERATOR, "===", (struct risk){ O, 0 }, "");
	risk_names_add(names, RISK_KEYWORD, "like", (struct risk){ N, 0 }, "");
	risk_names_add(names, RISK_RELATION, RISK_BEYOND_ASCII, (struct risk){ X, 0 }, "");
	risk_names_add(names, RISK_FUNCTION, RISK_BEYOND_ASCII, (struct risk){ CALLED_X, 0 }, "");
	risk_names_add_general(names, ALL, 0, DDL, ALL);
	return names;
}

static const struct {
	const char *sql;
	unsigned risk;
} rows[] = {
	{ "", 0 },
	{ "SELECT 1", 0 },
	{ "SELECT f", 0 },
	{ "SELECT f()", F },
	{ "select F /* a */ -- b\n (1)", F },
	{ "SELECT \"f\"(1)", F },
	{ "SELECT \"F\"(1)", F }, /* too much, but cheap */
	{ "SELECT runs('f()')", ALL },
	{ "SELECT (t1).f, 1", F },
	{ "SELECT t1 . /* c */ f", F },
	{ "SELECT 1.f", F },
	{ "SELECT f, (1)", 0 },
	{ "SELECT f::int", 0 },
	{ "SELECT xf(1), f1(2), f$(3)", 0 },
	{ "SELECT count(*) OVER (PARTITION BY a)", CALLED_F },
	{ "SELECT * FROM t", R },
	{ "SELECT * FROM public.T", R },
	{ "SELECT t.a FROM u AS \"t\"", R },
	{ "UPDATE t SET a = 1", R | W },
	{ "SELECT * FROM t FOR UPDATE", R | W },
	{ "WITH a AS (DELETE FROM u) SELECT * FROM t", R | W },
	{ "COPY t FROM STDIN", R | W },
	{ "SELECT 'f(1) t', $$f(1) t$$, $a$ f(1) $ $$ t $a$ -- f(1) t", 0 },
	{ "SELECT 1 /* f() /* t */ t */", 0 },
	{ "SELECT '' || 'it''s t'", 0 },
	{ "SELECT E'\\' t', 1", 0 },
	{ "SELECT E'a' \n 'b\\' t', 1", 0 },
	{ "SELECT E'a', '\\', t FROM u --'", R }, /* read either way */
	{ "SELECT '\\', t FROM u", R },
	{ "SELECT '\\', f('a') FROM u", F },
	{ "SELECT b'01', x'ab', n't', t1 FROM u", 0 },
	{ "SELECT U&'t' FROM u", 0 },
	{ "SELECT U&\"t\" FROM u", OPAQUE },
	{ "SELECT u & \"t\" FROM u", R },
	{ "SELECT a ===b", O },
	{ "SELECT a @===! b", O },
	{ "SELECT a == = b", 0 },
	{ "SELECT a ==/* */= b", 0 },
	{ "SELECT a ==-- =\n b", 0 },
	{ "SELECT 1 ***************** 2", OPAQUE },
	{ "SELECT a LIKE 'b'", N },
	{ "SELECT 1e5like'b'", N },
	{ "SELECT 1e5t", R },
	{ "SELECT $1t", R },
	{ "SELECT $$a$$t", R },
	{ "SELECT $a$ $$ $a$into u", DDL },
	{ "SELECT caf\xc3\xa9 FROM u", X | CALLED_X },
	{ "SELECT \x83|(1)", X | CALLED_X }, /* one letter in SJIS */
	{ "SELECT \"caf\xc3\xa9\" FROM u", X | CALLED_X },
	{ "SELECT 'caf\xc3\xa9' FROM u", 0 },
	{ "SELECT 'caf\xc3\xa9\\n' FROM u", OPAQUE }, /* a letter of two bytes, perhaps */
	{ "SELECT " LONG_NAME, LONG },
	{ "SELECT " LONG_NAME "4", LONG }, /* PostgreSQL cuts it */
	{ "SELECT " LONG_NAME "\xc3\xa9", X | CALLED_X | LONG },
	{ "SELECT " LONG_NAME "4\xc3\xa9", X | CALLED_X | LONG },
	{ "SELECT a23456789_123456789_123456789_123456789_123456789_123456789_\xf0\x9f\x98\x80()", X | CALLED_X | CUT },
	{ "SELECT f\xc3\xa9()", X | CALLED_X },
	{ "SELECT \"an odd \"\"name\"", ODD },
	{ "SELECT \"an odd\"", 0 },
	{ "SELECT 1; SELECT f(1)", F },
	{ "SELECT 1; ; DO $$ $$", 0 },
	{ "DO $$ BEGIN PERFORM f(1); END $$", F },
	{ "DO $a$ BEGIN INSERT INTO u SELECT a FROM t; END $a$ LANGUAGE plpgsql", R | W },
	{ "DO LANGUAGE plpgsql $$ DECLARE v int; BEGIN SELECT 1 INTO v; EXCEPTION WHEN others THEN NULL; END $$", 0 },
	{ "DO LANGUAGE plperl $$ $$", OPAQUE },
	{ "DO $$ BEGIN EXECUTE 'x'; END $$", OPAQUE },
	{ "DO $$ BEGIN CREATE TEMP TABLE u (a int); END $$", DDL },
	{ "DO $$ BEGIN IF true THEN CREATE TABLE u (a int); END IF; END $$", DDL },
	{ "DO $$ BEGIN CREATE TYPE u AS (a int); END $$", OPAQUE },
	{ "DO $$ BEGIN DO $b$ $b$; END $$", OPAQUE },
	{ "DO $$ BEGIN PERFORM 'a; END $$", OPAQUE },
	{ "DO $$ BEGIN PERFORM '$$ || f(1)", OPAQUE },
	{ "DO 'x''y'", OPAQUE },
	{ "CREATE TABLE u (a int)", DDL },
	{ "CREATE TEMP TABLE u (a int DEFAULT f(1))", DDL | F },
	{ "CREATE TEMP TABLE u AS SELECT * FROM users, t", DDL | R | W },
	{ "CREATE LOCAL TEMPORARY TABLE /* a */ IF NOT EXISTS Users (a int)", DDL },
	{ "CREATE OR REPLACE TEMP VIEW users AS SELECT 1", DDL },
	{ "CREATE TEMP TABLE u AS EXECUTE users", OPAQUE },
	{ "CREATE UNIQUE INDEX IF NOT EXISTS users ON t (a)", DDL | R | W },
	{ "CREATE DOMAIN u AS int", OPAQUE },
	{ "DROP TABLE users, t", DDL | R | W },
	{ "DROP FUNCTION u", OPAQUE },
	{ "SELECT * INTO TEMP TABLE u FROM users", DDL },
	{ "TRUNCATE u", OPAQUE },
	{ "EXECUTE e", OPAQUE },
	{ "EXPLAIN ANALYZE EXECUTE e", OPAQUE },
	{ "EXPLAIN (ANALYZE) CREATE TABLE u AS SELECT 1", OPAQUE },
	{ "EXPLAIN SELECT f(1)", F },
	{ "SELECT 1 INTO u", DDL },
	{ "SELECT (1) AS insert INTO u", DDL },
	{ "WITH a AS (SELECT 1) SELECT (2) \"merge\" INTO u", DDL },
	{ "WITH a AS (SELECT 1) INSERT INTO u SELECT 2; INSERT INTO u SELECT 1", 0 },
	{ "WITH a AS (INSERT INTO u SELECT 1) SELECT 1", 0 },
	{ "INSERT /* */ INTO u VALUES (1)", 0 },
	{ "((SELECT 1))", 0 },
	{ "/* a */ -- b\n ;(TABLE u)", 0 },
	{ "\"select\" 1", OPAQUE },
	{ "'select'", OPAQUE },
	{ "SELECT 'a", OPAQUE },
	{ "SELECT \"a", OPAQUE },
	{ "SELECT /* a", OPAQUE },
	{ "SELECT $a$ $b$", OPAQUE },
	{ "BEGIN; SET a = 1; SHOW b; LOCK c; COMMIT", 0 },
	{ "CALL g(1)", 0 },
	{ "CALL f(1)", F },
	{ "VACUUM", OPAQUE },
};

#define WITHOUT_CALLS ~(RISK_BY_CALLS(STATE_PROBED) | (unsigned)(RISK_EFFECTS | RISK_KEEPS))

/* With what functions that it calls do, and without. */
static unsigned
of_sql(const struct risk_names *names, const char *sql)
{
	return risk_of_sql(names, sql, strlen(sql)) & WITHOUT_CALLS;
}

Test(risk_names, of_sql)
{
	struct risk_names *names = names_new();

	EACH(row, rows)
		cr_expect_eq(of_sql(names, row->sql), row->risk, "%s: %x", row->sql, of_sql(names, row->sql));
	risk_names_free(names);
}

/* Words are taken sixteen bytes at once, where as many follow. */
Test(risk_names, of_names_of_each_length_however_much_follows)
{
	char name[64], sql[160];

	for (size_t len = 1; len < sizeof(name); len++) {
		struct risk_names *names = names_new();

		memset(name, 'q', len);
		name[len] = '\0';
		risk_names_add(names, RISK_RELATION, name, (struct risk){ R, 0 }, "");
		for (size_t more = 0; more < 34; more++) {
			char *at = sql + sprintf(sql, "SELECT * FROM \"%s\"%*s", name, (int)more, "");

			cr_expect_eq(risk_of_sql(names, sql, (size_t)(at - sql)) & WITHOUT_CALLS, R, "%s", sql);
			sql[14 + len] = 'Q'; /* the last letter */
			cr_expect_eq(risk_of_sql(names, sql, (size_t)(at - sql)) & WITHOUT_CALLS, R, "%s", sql);
			sql[14 + len] = 'r';
			cr_expect_eq(risk_of_sql(names, sql, (size_t)(at - sql)) & WITHOUT_CALLS, 0, "%s", sql);
			sql[14 + len] = '\xe9';
			cr_expect_eq(risk_of_sql(names, sql, (size_t)(at - sql)) & X, X, "%s", sql);
		}
		risk_names_free(names);
	}
}

Test(risk_names, of_functions_that_are_called_apart_from_what_relations_do)
{
	static const struct {
		const char *sql;
		unsigned risk;
	} called[] = {
		{ "SELECT f()", F },
		{ "INSERT INTO t VALUES (1)", 0 },
		{ "INSERT INTO t VALUES (f(1))", F },
		{ "INSERT INTO t VALUES (g(1))", 0 },
		{ "SELECT g(a) FROM t WHERE a === 1", O },
		{ "CALL runs(1)", STATE_PROBED },
		{ "DO $$ BEGIN INSERT INTO t SELECT f(1); END $$", F },
		{ "DO 'x''y'", STATE_PROBED },
		{ "SELECT 'a", STATE_PROBED },
		{ "SELECT caf\xc3\xa9(1)", 0 }, /* X is of a relation */
	};
	struct risk_names *names = names_new();

	EACH(row, called)
		cr_expect_eq(RISK_CALLED(risk_of_sql(names, row->sql, strlen(row->sql))), row->risk, "%s", row->sql);
	risk_names_free(names);
}

Test(risk_names, what_any_sql_has)
{
	struct risk_names *names = risk_names_new();

	cr_expect_eq(of_sql(names, "DO 'x''y'"), RISK_OPAQUE);
	risk_names_add_general(names, 1, 2, 0, 0);
	cr_expect_eq(of_sql(names, "SELECT"), 2);
	cr_expect_eq(of_sql(names, "DO 'x''y'"), 3 | RISK_OPAQUE);
	risk_names_free(names);
}

Test(risk_names, what_keeps_something_counts_by_its_name_alone)
{
	struct risk_names *names = risk_names_new();

	risk_names_add(names, RISK_FUNCTION, "keeps", (struct risk){ F | RISK_KEEPS, 0 }, "");
	risk_names_add(names, RISK_FUNCTION, "points", (struct risk){ WASH_POINT_SEED, 0 }, "");
	risk_names_add_general(names, F | RISK_KEEPS, 0, DDL | RISK_KEEPS, 0);
	cr_expect_eq(of_sql(names, "SELECT points(1)"), WASH_POINT_SEED);
	cr_expect_eq(risk_of_runnable_text(names, "'SELECT Points(1)'", 18), WASH_POINT_SEED);
	cr_expect_eq(risk_of_runnable_text(names, "'SELECT keeps()', pointless", 27), STATE_BACKEND);
	cr_expect_eq(of_sql(names, "SELECT keeps()"), F | STATE_BACKEND);
	cr_expect_eq(of_sql(names, "DO 'x''y'"), F | DDL | RISK_OPAQUE);
	cr_expect_eq(of_sql(names, "CREATE TABLE x ()"), DDL | STATE_BACKEND);
	cr_expect_eq(risk_of_opaque_sql(names), F | DDL);
	risk_names_free(names);
}

/* Where a function keeps something, "sets", and no table, type or operator has it. */
static const struct {
	const char *sql;
	bool may_keep;
} opaque[] = {
	{ "TRUNCATE a, b CASCADE", false },
	{ "ANALYZE", false },
	{ "vacuum (full) a", false },
	{ "GRANT SELECT ON a TO b", false },
	{ "GRANT EXECUTE ON FUNCTION h() TO b", false },
	{ "COMMENT ON TABLE a IS 'it''s one'", false },
	{ "ALTER TABLE a ADD COLUMN c int DEFAULT 'x'", false },
	{ "ALTER FUNCTION h() OWNER TO b", false },
	{ "REFRESH MATERIALIZED VIEW m", false },
	{ "DO 'BEGIN NULL; END'", false },
	{ "DO $$BEGIN ALTER TABLE a ADD c text; END$$", false },
	{ "DO LANGUAGE plpgsql $$BEGIN CREATE TYPE e AS ENUM ('a'); END$$", false },
	{ "CREATE OR REPLACE FUNCTION app.fresh(int) RETURNS int LANGUAGE sql AS $$SELECT h(\"x\")$$", false },
	{ "CREATE PROCEDURE fresh() LANGUAGE sql AS 'SELECT 1'", false },
	{ "CREATE TRIGGER g BEFORE INSERT ON a EXECUTE FUNCTION h()", false },
	{ "TRUNCATE a; SELECT 1", false },
	{ "TRUNCATE a; SELECT sets(1)", true },
	{ "GRANT EXECUTE ON FUNCTION sets(int) TO b", true },
	{ "ALTER FUNCTION sets(int) RENAME TO h", true },
	{ "CREATE OPERATOR ## (FUNCTION = sets, LEFTARG = int)", true },
	{ "CREATE AGGREGATE g (int) (SFUNC = sets, STYPE = int)", true },
	{ "CREATE CAST (a AS b) WITH FUNCTION \"sets\"(a)", true },
	{ "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS $$SELECT sets(1)$$", true },
	{ "CREATE FUNCTION g() RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE 'SELECT se' || 'ts(1)'; END$$", true },
	{ "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS $$SELECT \"my own\"(1)$$", false },
	{ "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT se'\n'ts(1)'", true },
	{ "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT se' --\n'ts(1)'", true },
	{ "DO $$BEGIN CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT se'\n'ts(1)'; END$$", true },
	{ "GRANT SELECT ON a TO b; SELECT 'se', 'ts'", false },
	{ "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS $$SELECT U&\"set\\0073\"(1)$$", true },
	{ "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS E'SELECT \\163ets(1)'", true },
	{ "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS U&'SELECT !0073ets(1)' UESCAPE '!'", true },
	{ "CREATE FUNCTION g() RETURNS xml LANGUAGE sql AS $$SELECT runs($1)$$", true },
	{ "ALTER FUNCTION U&\"set\\0073\" RENAME TO h", true },
	{ "DO $$BEGIN PERFORM sets(1); END$$", true },
	{ "DO $$BEGIN EXECUTE 'SELECT se' || 'ts(1)'; END$$", true },
	{ "DO 'BEGIN PERFORM se'\n'ts(1); END'", true },
	{ "DO 'BEGIN EXECUTE ''x''; END'", true },
	{ "DO LANGUAGE plsh $$x$$", true },
	{ "DO $$BEGIN CREATE FUNCTION g() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE $1; END'; END$$", true },
	{ "EXECUTE p", true },
	{ "LOAD 'x'", true },
	{ "CREATE EXTENSION x", true },
	{ "COMMIT PREPARED 'x'", true },
	{ "GRANT 'x", true }
};

Test(risk_names, opaque_sql_keeps_something_only_if_it_may_call_what_does)
{
	struct risk_names *names = risk_names_new();

	risk_names_add(names, RISK_FUNCTION, "sets", (struct risk){ STATE_BACKEND, 0 }, "");
	risk_names_add(names, RISK_FUNCTION, "runs", (struct risk){ RISK_DYNAMIC, 0 }, "");
	risk_names_add_general(names, STATE_BACKEND, 0, 0, 0);
	for (size_t i = 0; i < sizeof(opaque) / sizeof(opaque[0]); i++)
		cr_expect_eq((risk_of_sql(names, opaque[i].sql, strlen(opaque[i].sql)) & STATE_BACKEND) != 0,
			     opaque[i].may_keep, "%s", opaque[i].sql);
	risk_names_add_general(names, 0, 0, 0, RISK_DYNAMIC);
	cr_expect((risk_of_sql(names, "TRUNCATE a", 10) & STATE_BACKEND) != 0, "a trigger may run any text");
	cr_expect((risk_of_sql(names, "CREATE TABLE b ()", 17) & STATE_BACKEND) == 0);
	risk_names_add_general(names, 0, 0, RISK_DYNAMIC, 0);
	cr_expect((risk_of_sql(names, "CREATE TABLE b ()", 17) & STATE_BACKEND) != 0, "an event trigger may, too");
	risk_names_free(names);
}

Test(risk_names, a_name_that_text_does_not_show_as_one_word_counts_for_all_that_makes_code)
{
	static const char *const hidden[] = { "set$it", "of a kind", "a\"b" };
	static const char *const shown[] = { "sets", "9lives", RISK_BEYOND_ASCII };
	uint64_t keepers;

	for (size_t i = 0; i < 6; i++) {
		struct risk_names *names = risk_names_new();

		keepers = risk_names_hash_backend_state(names);
		risk_names_add(names, RISK_FUNCTION, i < 3 ? hidden[i] : shown[i - 3],
			       (struct risk){ STATE_BACKEND, 0 }, "");
		cr_expect_eq((risk_of_sql(names, "TRUNCATE a", 10) & STATE_BACKEND) != 0, i < 3, "%zu", i);
		cr_expect_neq(risk_names_hash_backend_state(names), keepers);
		risk_names_free(names);
	}
}

Test(risk_names, of_text_that_may_be_run)
{
	static const char *const make[] = {
		"CREATE EXTENSION x",
		"begin create\n\textension x; end",
		"EXECUTE 'CREATE ' || 'EXTENSION x'",
		"DROP /* x */ EXTENSION x",
		"ALTER -- x\n EXTENSION",
		"E'\\nCREATE\\nEXTENSION x'",
		"CREATE OR REPLACE TRUSTED PROCEDURAL LANGUAGE x",
		"CREATE FUNCTION x() RETURNS int AS '' LANGUAGE 'C'",
		"LOAD 'x'",
		"$$LOAD $x$x$x$$$",
		"load/**/'x'",
		"/* create extension x */", /* may stand in a string */
		"-- x\rcreate extension x",
		"dcreate extension x", /* the length of a value is 100 */
	};
	static const char *const make_none[] = {
		"",
		"SELECT 1 FROM pg_extension; CREATE TABLE x (extension text, language text)",
		"CREATE FUNCTION x() RETURNS int LANGUAGE sql AS ''",
		"COMMENT ON EXTENSION x IS ''",
		"payload = 'x' -- load the rows",
		"load = 'x'",
		"language cpp",
		"create",
		"\\",
	};

	EACH(text, make)
		cr_expect_eq(risk_of_runnable_text(NULL, *text, strlen(*text)), STATE_BACKEND, "%s", *text);
	EACH(text, make_none)
		cr_expect_eq(risk_of_runnable_text(NULL, *text, strlen(*text)), 0, "%s", *text);
}

static const char *
blamed(const struct risk_names *names, const char *sql)
{
	return risk_names_blame(names, STATE_BACKEND, sql, strlen(sql));
}

Test(risk_names, what_has_left_something_is_that_of_a_word_or_any)
{
	struct risk_names *names = risk_names_new();

	cr_expect_null(blamed(names, "SELECT f()"));
	risk_names_add(names, RISK_FUNCTION, "washed", (struct risk){ STATE_WASHABLE, 0 }, "of washed");
	cr_expect_null(blamed(names, "SELECT washed()"));
	risk_names_add(names, RISK_RELATION, "t", (struct risk){ 0, STATE_BACKEND }, "of t");
	risk_names_add(names, RISK_FUNCTION, "keeps", (struct risk){ RISK_KEEPS, 0 }, "of keeps");
	risk_names_add(names, RISK_FUNCTION, RISK_BEYOND_ASCII, (struct risk){ STATE_BACKEND, 0 }, "beyond");
	cr_expect_str_eq(blamed(names, "INSERT INTO a.T VALUES (washed())"), "of t");
	cr_expect_str_eq(blamed(names, "DO 'BEGIN PERFORM \"keeps\"(); END'"), "of keeps");
	cr_expect_str_eq(blamed(names, "SELECT \xc3\xa4()"), "beyond");
	cr_expect_not_null(blamed(names, "SELECT washed()"), "it runs text, and the database has such code");
	cr_expect_not_null(blamed(names, ""));
	risk_names_free(names);
}

Test(risk_names, of_types)
{
	static const uint8_t types[] = { 0, 2, 0, 0, 0, 25, 0, 0, 64, 1 };
	struct risk_names *names = names_new();

	risk_names_add_type(names, 16386, (struct risk){ F, R });
	cr_expect_eq(risk_of_parameter_types(names, types, sizeof(types)), 0);
	risk_names_add_type(names, 16385, (struct risk){ F, W });
	cr_expect_eq(risk_of_parameter_types(names, types, sizeof(types)), F | W);
	cr_expect_eq(risk_of_parameter_types(names, types, 2 + 4), ALL | RISK_EFFECTS, "malformed");
	cr_expect_eq(risk_of_parameter_types(names, types, 1), ALL | RISK_EFFECTS);
	risk_names_free(names);
}

Test(risk_names, a_parse_with_thousands_of_own_types_takes_no_time)
{
	struct risk_names *names = names_new();
	static const uint8_t one[] = { 0, 0, 0x4e, 0x20 }; /* 20000 */
	static uint8_t types[2 + 65535 * sizeof(one)] = { 0xff, 0xff };

	for (size_t i = 0; i < 65535; i++)
		memcpy(types + 2 + i * sizeof(one), one, sizeof(one));
	risk_names_add_type(names, 16385, (struct risk){ F, W });
	cr_expect_eq(risk_of_parameter_types(names, types, sizeof(types)), ALL | RISK_EFFECTS);
	risk_names_free(names);
}

Test(risk_names, too_many_make_everything_risky)
{
	struct risk_names *names = risk_names_new();
	char name[16];

	for (unsigned i = 0; i < RISK_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		cr_assert_eq(risk_names_add(names, RISK_RELATION, name, (struct risk){ F, 0 }, ""), 0);
	}
	cr_expect_eq(of_sql(names, "SELECT 1"), 0);
	cr_expect_eq(of_sql(names, "SELECT n7"), F);
	risk_names_add(names, RISK_RELATION, "one more", (struct risk){ W, 0 }, "");
	cr_expect_eq(of_sql(names, "SELECT 1"), F | W | RISK_OPAQUE);
	risk_names_free(names);
}

static void
count(const char *name, enum risk_name_kind kind, struct risk risk, const char *reason, void *arg)
{
	if (strcmp(name, "f") == 0)
		cr_expect(kind == RISK_FUNCTION && risk.always == F && strcmp(reason, "EXECUTE") == 0);
	++*(unsigned *)arg;
}

Test(risk_names, each)
{
	struct risk_names *names = names_new();
	unsigned n = 0;

	risk_names_each(names, count, &n);
	cr_expect_eq(n, 11);
	risk_names_free(names);
}

#define NEW ((unsigned)STATE_WASHABLE | RISK_CODE | RISK_UNREAD)
#define NEW_CALL (NEW | RISK_BY_CALLS(STATE_PROBED) | RISK_CONTEXT)

static const struct {
	const char *sql;
	unsigned risk;
} news[] = {
	{ "SELECT 1", 0 },
	{ "SELECT old(1)", 0 },
	{ "SELECT fresh(1)", NEW_CALL },
	{ "SELECT Fresh /* a */ (1)", NEW_CALL },
	{ "SELECT \"fresh\"(1)", NEW_CALL },
	{ "SELECT public.fresh(1)", NEW_CALL },
	{ "SELECT public . old(1), public.users.a", 0 },
	{ "SELECT * FROM fresh(1)", NEW_CALL },
	{ "SELECT * FROM users, LATERAL fresh(a) x", NEW_CALL },
	{ "SELECT * FROM users JOIN LATERAL fresh(a) x ON true", NEW_CALL },
	{ "SELECT old(old(2), fresh(1))", NEW_CALL },
	{ "SELECT DISTINCT ON (a) fresh(b) FROM users", NEW_CALL },
	{ "CALL fresh()", NEW_CALL },
	{ "WITH a AS (SELECT 1) SELECT b, fresh(1) FROM a", NEW_CALL },
	{ "INSERT INTO users (a) VALUES (fresh(1))", NEW_CALL },
	{ "SELECT 1 FROM users JOIN users u ON fresh(a)", NEW_CALL },
	{ "DO $$ BEGIN PERFORM fresh(1); END $$", NEW_CALL },
	{ "DO $$ BEGIN PERFORM 1 FROM fresh; END $$", NEW },
	{ "DO $$ DECLARE v int; BEGIN SELECT a INTO v FROM users; END $$", 0 },
	{ "SELECT caf\xc3\xa9(1)", NEW_CALL },
	{ "SELECT a FROM users, caf\xc3\xa9", NEW },
	{ "WITH th\xc3\xa9 AS (SELECT 1) SELECT a FROM th\xc3\xa9 JOIN caf\xc3\xa9 b ON true", NEW },
	{ "WITH th\xc3\xa9 (a) AS (SELECT 1) SELECT a AS caf\xc3\xa9, 1 \"\xc3\xa9\" FROM th\xc3\xa9 caf\xc3\xa9 (a)",
	  0 },
	{ "SELECT U&'fresh(1)', 'fresh(1)', $$fresh(1)$$ -- fresh(1)", 0 },
	{ "SELECT a FROM fresh", NEW },
	{ "SELECT a FROM public.fresh x", NEW },
	{ "SELECT a FROM users, fresh", NEW },
	{ "SELECT a FROM users x (b, c), fresh WHERE a = 1", NEW },
	{ "SELECT a FROM users JOIN fresh USING (a)", NEW },
	{ "SELECT a FROM (SELECT b FROM fresh) x", NEW },
	{ "SELECT 1 UNION SELECT a FROM ONLY fresh", NEW },
	{ "INSERT INTO fresh (a, b) VALUES (1, 2)", NEW },
	{ "UPDATE fresh SET a = 1", NEW },
	{ "UPDATE users SET a = 1 FROM fresh", NEW },
	{ "DELETE FROM fresh", NEW },
	{ "COPY fresh (a) FROM STDIN", NEW },
	{ "WITH x AS (DELETE FROM fresh RETURNING a) SELECT a FROM x", NEW },
	{ "SELECT a, b AS c, u.d, e total FROM users u WHERE f = g ORDER BY h, i", 0 },
	{ "SELECT a FROM users u GROUP BY b, c HAVING (d) > 1 ORDER BY e, g LIMIT 1 FOR UPDATE OF u", 0 },
	{ "SELECT a FROM users WHERE b IN (1, 2) AND (c) = ANY (d)", 0 },
	{ "SELECT coalesce(a, b), extract(year FROM c), substring(d FROM 1), e IS DISTINCT FROM g, a::numeric(10, 2)",
	  0 },
	{ "SELECT * FROM old(1) AS x (a, b), old(2) y (c), (SELECT 1) AS z (d)", 0 },
	{ "WITH x AS (SELECT 1), y (a, b) AS (SELECT 2, c FROM x) SELECT a FROM x JOIN y ON true, x z", 0 },
	{ "WITH RECURSIVE x (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM x) SELECT n FROM x", 0 },
	{ "INSERT INTO users (a) WITH x AS MATERIALIZED (SELECT 1) SELECT a FROM x RETURNING b, c", 0 },
	{ "INSERT INTO users AS u (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b", 0 },
	{ "SELECT a::timestamp WITH TIME ZONE, old(b) FROM users", 0 },
	{ "SELECT a OVER (w), b FILTER (WHERE c) FROM users WINDOW w AS (ORDER BY d), v AS (w)", 0 },
	{ "CREATE TABLE fresh (a int REFERENCES other (b), c numeric(1) CHECK (d > 1), UNIQUE (a, c))", 0 },
	{ "CREATE TABLE IF NOT EXISTS fresh (a int)", 0 },
	{ "CREATE INDEX i ON fresh USING btree (a)", 0 },
	{ "DROP TABLE IF EXISTS fresh", 0 },
	{ "SAVEPOINT fresh; RELEASE fresh; LOCK TABLE users; SET a.b = c; SHOW d", 0 },
	{ "DECLARE c CURSOR FOR SELECT 1; FETCH 1 FROM c; MOVE NEXT FROM c", 0 },
	{ "COPY (SELECT a FROM users) TO STDOUT", 0 },
};

Test(risk_names, of_what_has_no_name_yet)
{
	static const char known[] =
	    "old users int numeric timestamp public coalesce extract substring as select from where group having order "
	    "by limit offset for update of on conflict do set values insert into with recursive union all only join "
	    "using lateral call copy delete distinct is in any and or to stdin stdout materialized returning create "
	    "table if not exists references check unique index drop savepoint release lock show declare cursor fetch "
	    "move next over filter window time zone begin end year excluded true";
	struct risk_names *names = risk_names_new();
	char word[32];
	int n;

	for (const char *at = known; sscanf(at, " %31s%n", word, &n) == 1; at += n)
		cr_assert_eq(risk_names_add_known(names, word), 0);
	EACH(row, news) {
		unsigned risk = risk_of_sql(names, row->sql, strlen(row->sql));

		cr_expect_eq(risk & ~(unsigned)(RISK_OPAQUE | RISK_EFFECTS), row->risk, "%s: %x", row->sql, risk);
	}
	risk_names_free(names);
}

Test(risk_names, no_name_that_is_not_ascii_is_new_where_another_one_has_a_name)
{
	struct risk_names *names = risk_names_new();

	risk_names_add_known(names, "select");
	cr_expect_neq(of_sql(names, "SELECT caf\xc3\xa9(1)"), 0);
	risk_names_add_known(names, RISK_BEYOND_ASCII);
	cr_expect_eq(of_sql(names, "SELECT caf\xc3\xa9(1)"), 0);
	cr_expect_neq(of_sql(names, "SELECT fresh(1)"), 0);
	risk_names_free(names);
}

Test(risk_names, nothing_is_new_where_there_are_too_many_names)
{
	struct risk_names *names = risk_names_new();
	char name[16];

	risk_names_add_known(names, "select");
	for (unsigned i = 0; i < RISK_KNOWN_MAX; i++) {
		cr_expect(i == 0 || i % 1000 != 0 || of_sql(names, "SELECT fresh()") != 0);
		snprintf(name, sizeof(name), "n%u", i);
		cr_assert_eq(risk_names_add_known(names, name), 0);
	}
	cr_expect_eq(of_sql(names, "SELECT fresh()"), 0);
	risk_names_free(names);
}

static const struct {
	const char *sql;
	bool repeats;
} reads[] = {
	{ "SELECT 1", true },
	{ "SELECT a, b FROM users WHERE id = $1 AND c LIKE 'x' ORDER BY a LIMIT 10;", true },
	{ " /* a */ (SELECT a FROM users) UNION ALL (SELECT 2) -- b", true },
	{ "VALUES (1, 'a'), (2, 'b')", true },
	{ "TABLE users", true },
	{ "WITH a AS (SELECT 1), b AS MATERIALIZED (TABLE users) SELECT * FROM a JOIN b ON true", true },
	{ "WITH RECURSIVE x (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM x) SELECT n FROM x", true },
	{ "SELECT old(1), random(), substring(a FROM 1 FOR 3) FROM users", true },
	{ "SELECT planned(1)", true },
	{ "SELECT 'INSERT; nextval(1)', $$ ; DELETE $$", true },
	{ "SELECT note FROM users", true },
	{ "SELECT share, key AS a FROM users", true },
	{ "SELECT a::int, CAST(b AS numeric(3)), int '1', CAST((a) AS int) AS fresh FROM users", true },
	{ "SELECT a AS fresh, b fresh2 FROM users fresh3", true },
	{ "", false },
	{ ";", false },
	{ "; SELECT 1", false },
	{ "SELECT 1; SELECT 2", false },
	{ "SELECT 1;;", true },
	{ "SELECT 1; /* */ (", false },
	{ "SELECT 1; COMMIT", false },
	{ "INSERT INTO users VALUES (1)", false },
	{ "UPDATE users SET a = 1", false },
	{ "DELETE FROM users", false },
	{ "MERGE INTO users", false },
	{ "COPY users TO STDOUT", false },
	{ "WITH a AS (DELETE FROM users RETURNING a) SELECT * FROM a", false },
	{ "WITH a AS (INSERT INTO users VALUES (1)) SELECT 1", false },
	{ "WITH a AS (SELECT 1) UPDATE users SET a = 1", false },
	{ "SELECT * FROM users FOR UPDATE", false },
	{ "SELECT * FROM users FOR NO KEY UPDATE SKIP LOCKED", false },
	{ "SELECT * FROM users FOR SHARE", false },
	{ "SELECT * FROM users FOR /* */ KEY\nSHARE OF users", false },
	{ "(SELECT * FROM users FOR SHARE)", false },
	{ "SELECT 1 INTO x", false },
	{ "SELECT a INTO TEMP b FROM users", false },
	{ "EXPLAIN SELECT 1", false },
	{ "EXPLAIN ANALYZE SELECT 1", false },
	{ "BEGIN", false },
	{ "COMMIT", false },
	{ "SHOW a", false },
	{ "SET a = 1", false },
	{ "FETCH 1 FROM c", false },
	{ "EXECUTE a", false },
	{ "PREPARE a AS SELECT 1", false },
	{ "DECLARE c CURSOR FOR SELECT 1", false },
	{ "CALL old()", false },
	{ "DO $$ BEGIN END $$", false },
	{ "LOCK TABLE users", false },
	{ "NOTIFY a", false },
	{ "CREATE TABLE b (a int)", false },
	{ "VACUUM", false },
	{ "fresh", false },
	{ "SELECT nextval('s')", false },
	{ "SELECT pg_catalog . NextVal /* */ ('s')", false },
	{ "SELECT \"nextval\"('s')", false },
	{ "SELECT U&\"next\\0076al\"('s')", false },
	{ "SELECT a FROM users WHERE old(nextval('s')) > 1", false },
	{ "SELECT * FROM note(1)", false },
	{ "SELECT u.note FROM users u", false }, /* it may be note(u) */
	{ "SELECT * FROM abroad", false },
	{ "SELECT a FROM users, public.\"abroad\"", false },
	{ "SELECT * FROM writer", false },
	{ "SELECT 1 WHERE a %%% b", false },
	{ "SELECT a::noted", false },
	{ "SELECT locks(1)", false },
	{ "SELECT runs('SELECT 1')", false },
	{ "SELECT fresh(1)", false },
	{ "SELECT * FROM fresh", false },
	{ "SELECT a::fresh FROM users", false },
	{ "SELECT a::public.fresh FROM users", false },
	{ "SELECT a::pg_catalog.int FROM users", true },
	{ "SELECT CAST(a AS fresh)", false },
	{ "SELECT CAST((a) AS public . fresh)", false },
	{ "SELECT fresh 'a'", false },
	{ "SELECT old(fresh $$a$$)", false },
	{ "SELECT caf\xc3\xa9(1)", false },
	{ "SELECT caf\xc3\xa9 FROM users", true },
	{ "SELECT 'caf\xc3\xa9' FROM users", true },
	{ "SELECT 'caf\xc3\xa9\\' FROM users", false },
	{ "SELECT '\\' FROM users -- '", true }, /* read the other way, it has no end */
	{ "SELECT '\\', nextval('s') --'", false },
	{ "SELECT 'a", false },
	{ "SELECT /* a", false },
	{ "SELECT $", false },
	{ "SELECT 1e5into x", false },
	{ "SELECT $1into x", false },
};

static struct risk_names *
names_of_reads(void)
{
	static const char known[] =
	    "old users int numeric public substring as select from where union all order by limit for values table "
	    "with recursive materialized join on true true into insert update delete merge set returning no key share "
	    "of skip locked and or cast like explain analyze begin commit show fetch execute prepare declare cursor "
	    "call do lock notify create vacuum temp end copy to stdout planned locks runs random nextval note abroad "
	    "writer noted";
	struct risk_names *names = risk_names_new();
	char word[32];
	int n;

	for (const char *at = known; sscanf(at, " %31s%n", word, &n) == 1; at += n)
		cr_assert_eq(risk_names_add_known(names, word), 0);
	risk_names_add_effects(names, "nextval", true);
	risk_names_add_effects(names, "note", true);
	risk_names_add_effects(names, "abroad", false);
	risk_names_add(names, RISK_RELATION, "writer", (struct risk){ RISK_EFFECTS, 0 }, "");
	risk_names_add(names, RISK_RELATION, "noted", (struct risk){ RISK_EFFECTS, 0 }, "");
	risk_names_add(names, RISK_OPERATOR, "%%%", (struct risk){ RISK_EFFECTS, 0 }, "");
	risk_names_add(names, RISK_FUNCTION, "planned", (struct risk){ RISK_CONTEXT, 0 }, "");
	risk_names_add(names, RISK_FUNCTION, "locks", (struct risk){ STATE_LOCKS, 0 }, "");
	risk_names_add(names, RISK_FUNCTION, "runs", (struct risk){ RISK_DYNAMIC, 0 }, "");
	risk_names_add(names, RISK_RELATION, "users", (struct risk){ 0, RISK_EFFECTS | STATE_SETTINGS }, "a trigger");
	return names;
}

static bool
repeats(const struct risk_names *names, const char *sql)
{
	return (risk_of_sql(names, sql, strlen(sql)) & RISK_EFFECTS) == 0;
}

Test(risk_names, reads_that_may_be_run_twice)
{
	struct risk_names *names = names_of_reads();

	EACH(row, reads)
		cr_expect_eq(repeats(names, row->sql), row->repeats, "%s", row->sql);
	cr_expect_eq(risk_of_opaque_sql(names) & RISK_EFFECTS, 0);
	risk_names_add_general(names, 0, RISK_EFFECTS, 0, 0);
	cr_expect_not(repeats(names, "SELECT 1"), "a cast between PostgreSQL's own types");
	risk_names_free(names);
}

Test(risk_names, nothing_is_run_twice_where_not_all_names_are_known)
{
	struct risk_names *names = risk_names_new();
	char name[16];

	cr_expect_not(repeats(names, "SELECT 1"));
	risk_names_add_known(names, "select");
	cr_expect(repeats(names, "SELECT 1"));
	risk_names_add_effects(names, "younger", true);
	cr_expect(repeats(names, "SELECT 1"));
	cr_expect_not(repeats(names, "SELECT younger()"));
	cr_expect_neq(of_sql(names, "SELECT fresh()"), 0, "a name is still new");
	for (unsigned i = 0; i <= RISK_KNOWN_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		cr_assert_eq(risk_names_add_known(names, name), 0);
	}
	cr_expect_not(repeats(names, "SELECT 1"));
	cr_expect_eq(risk_names_add_effects(names, "one more", true), 0);
	cr_expect_not(repeats(names, "SELECT 1"));
	risk_names_free(names);
}

/* SQL that makes code, and whether that may keep something in the backend. */
static const struct {
	const char *sql;
	bool keeps;
} made[] = {
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$", false },
	{ "CREATE FUNCTION f() RETURNS int AS 'SELECT 1' language\n SQL", false },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE 'sql' AS 'SELECT 1'", false },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", false },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE 'sql''x' AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int RETURN 1", false },
	{ "CREATE PROCEDURE f() LANGUAGE PLpgSQL AS $$ BEGIN EXECUTE q; END $$; SELECT 1", false },
	{ "ALTER FUNCTION f() COST 2", false },
	{ "CREATE FUNCTION f(cstring) RETURNS int8 LANGUAGE internal AS 'int8in'", false },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE internals AS ''", true },
	{ "CREATE FUNCTION f(text, bool) RETURNS pg_lsn LANGUAGE INTERNAL AS 'pg_backup_start'", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE plperl AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE 'plperl' AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE \"sql\" AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE 'sql x' AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE sqlx AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE /* sql */ plperl AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int /* LANGUAGE sql */ LANGUAGE\tplperl AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE U&\"\\0070lperl\" AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE                             plperl AS ''", true },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE", true },
	{ "SELECT 1; CREATE FUNCTION f() RETURNS int LANGUAGE C AS 'x'", true },
	{ "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN Load 'x'; END $$", true },
	{ "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS E'BEGIN L\\x4fAD ''x''; END'", true },
	{ "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT isn_weak(true)'", true },
	{ "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT pg_replication_origin_session_setup($1)'", true },
	{ "CREATE EXTENSION hstore", true },
	{ "ALTER DATABASE a RENAME TO b", true },
	{ "ALTER DATABASE a SET work_mem = '1MB'", false },
	{ "CREATE FUNCTION f() RETURNS int AS 'a", true },
};

Test(risk_names, what_code_may_keep_shows_in_the_text_that_makes_it)
{
	struct risk_names *names = risk_names_new();

	risk_names_add_known(names, "select");
	EACH(row, made) {
		unsigned risk = risk_of_sql(names, row->sql, strlen(row->sql));

		cr_expect_neq(risk & RISK_OPAQUE, 0, "%s", row->sql);
		cr_expect_eq((risk & RISK_KEEPS) != 0, row->keeps, "%s: %x", row->sql, risk);
	}
	cr_expect_neq(risk_of_sql(names, "COMMIT PREPARED 'x'", 19) & RISK_OPAQUE, 0, "it may make code");
	cr_expect_neq(risk_of_sql(names, "SELECT pg_temp_3.select(1)", 26) & RISK_OPAQUE, 0, "nothing is known of it");
	risk_names_free(names);
}
