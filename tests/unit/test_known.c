/*
 * tests/unit/test_known.c - statements whose effect is known, and how their names and values are read. Links only
 * known.c and the lexer. Texts are copied to memory of exactly their size.
 */
#include "sql/known.h"
#include "sql/scan.h"
#include "unit.h"

static const char *const kinds[] = {
	[KNOWN_NOT] = "not",
	[KNOWN_SET] = "set",
	[KNOWN_SET_PARAMS] = "params",
	[KNOWN_RESET] = "reset",
	[KNOWN_RESET_USER] = "reset-user",
	[KNOWN_RESET_ALL] = "reset-all",
	[KNOWN_DISCARD_ALL] = "discard-all",
	[KNOWN_DISCARD_PART] = "discard-part",
	[KNOWN_LOCAL] = "local",
	[KNOWN_LISTEN] = "listen",
	[KNOWN_UNLISTEN] = "unlisten",
	[KNOWN_UNLISTEN_ALL] = "unlisten-all",
	[KNOWN_CLOSE_ALL] = "close-all",
	[KNOWN_UNLOCK_ALL] = "unlock-all",
	[KNOWN_BEGIN] = "begin",
	[KNOWN_COMMIT] = "commit",
	[KNOWN_ROLLBACK] = "rollback",
	[KNOWN_PREPARE] = "prepare",
	[KNOWN_EXECUTE] = "execute",
	[KNOWN_DEALLOCATE] = "deallocate",
	[KNOWN_DEALLOCATE_ALL] = "deallocate-all",
	[KNOWN_DROP_DATABASE] = "drop-database",
	[KNOWN_CREATE_DATABASE] = "create-database",
	[KNOWN_RENAME_DATABASE] = "rename-database",
	[KNOWN_SAVEPOINT] = "savepoint",
	[KNOWN_RELEASE] = "release",
	[KNOWN_ROLLBACK_TO] = "rollback-to",
	[KNOWN_END] = "end",
	[KNOWN_ROLLBACK_CHAIN] = "rollback-chain",
	[KNOWN_PREPARE_TRANSACTION] = "prepare-transaction",
	[KNOWN_COMMIT_CHAIN] = "commit-chain",
	[KNOWN_EXECUTE_ANY] = "execute-any",
};

#define NAME63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"
#define TEXT100 "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

/* want: of each statement its kind and, where there are any, name=value; "none": known_parse says false. */
static const struct row {
	const char *rule, *sql, *want;
	unsigned options;
} rows[] = {
	/* SET name = value */
	{ "a string", "SET a = 'b'", "set a=b", 0 },
	{ "TO, and SESSION", "set session A to 'B'", "set a=B", 0 },
	{ "doubled quotes", "SET a = 'it''s'", "set a=it's", 0 },
	{ "nothing in it", "SET a = ''", "set a=", 0 },
	{ "in dollars", "SET a = $$b'c$$; SET a = $x$b$$c$x$", "set a=b'c set a=b$$c", 0 },
	{ "words", "SET a = Off; SET a = on; SET a = TRUE; SET a = \"Bc\"; SET a = local",
	  "set a=off set a=on set a=true set a=Bc set a=local", 0 },
	{ "numbers", "SET a = 1; SET a = -1; SET a = +1; SET a = 1.50; SET a = .5; SET a = 007; SET a = 0",
	  "set a=1 set a=-1 set a=1 set a=1.50 set a=.5 set a=7 set a=0", 0 },
	{ "numbers that PostgreSQL prints",
	  "SET a = -0; SET a = -007; SET a = 0099999999999; SET a = -0.0; SET a = 2147483647",
	  "set a=0 set a=-7 set a=0099999999999 set a=-0.0 set a=2147483647", 0 },
	{ "other numbers", "SET a = 1e5", "none", 0 },
	{ "hexadecimal ones", "SET a = 0x10", "none", 0 },
	{ "DEFAULT", "SET a = DEFAULT; SET SESSION a TO default", "reset a= reset a=", 0 },
	{ "not in quotes", "SET a = \"default\"", "set a=default", 0 },
	{ "names of one's own", "SET App.\"User_Id\" = 1; SET a.b.c = 2", "set app.user_id=1 set a.b.c=2", 0 },
	{ "longer names", "SET a." NAME63 " = 1", "none", 0 },
	{ "as long as fits", "SET \"" NAME63 "\" = 1", "set " NAME63 "=1", 0 },
	{ "values longer than fit", "SET a = '" TEXT100 TEXT100 TEXT100 TEXT100 TEXT100 "x0123456789a'", "none", 0 },
	{ "values that just fit", "SET a = '" TEXT100 TEXT100 TEXT100 TEXT100 TEXT100 "0123456789a'",
	  "set a=" TEXT100 TEXT100 TEXT100 TEXT100 TEXT100 "0123456789a", 0 },
	{ "escapes", "SET a = E'b'", "none", 0 },
	{ "escapes of the other kind", "SET a = U&'b'", "none", 0 },
	{ "two lines", "SET a = 'b'\n'c'", "none", 0 },
	{ "an expression", "SET a = 1 + 1", "none", 0 },
	{ "no value", "SET a =", "none", 0 },
	{ "FROM CURRENT", "SET a FROM CURRENT", "none", 0 },
	/* Lists. */
	{ "quoted as PostgreSQL does",
	  "SET search_path = public, \"$user\", Foo, \"Bar\", 'a b', 'q\"r', \"user\", '', _x1, '1a'",
	  "set search_path=public, \"$user\", foo, \"Bar\", \"a b\", \"q\"\"r\", \"user\", \"\", _x1, \"1a\"", 0 },
	{ "one string is one element", "SET search_path = 'a, b'", "set search_path=\"a, b\"", 0 },
	{ "keywords that mean nothing here", "SET search_path = data, \"left\", \"between\"",
	  "set search_path=data, \"left\", \"between\"", 0 },
	{ "not quoted", "SET datestyle = ISO, 'MDY'", "set datestyle=iso, MDY", 0 },
	{ "SCHEMA", "SET SCHEMA 'A'", "set search_path=\"A\"", 0 },
	/* Settings with a grammar of their own. */
	{ "TIME ZONE", "SET TIME ZONE 'Europe/Rome'; SET SESSION TIME ZONE utc",
	  "set timezone=Europe/Rome set timezone=utc", 0 },
	{ "taken back", "SET TIME ZONE LOCAL; SET TIME ZONE DEFAULT; RESET TIME ZONE",
	  "reset timezone= reset timezone= reset timezone=", 0 },
	{ "an interval", "SET TIME ZONE INTERVAL '1' HOUR", "none", 0 },
	{ "a number", "SET TIME ZONE -5", "none", 0 },
	{ "NAMES", "SET NAMES 'UTF8'; SET NAMES DEFAULT; SET NAMES",
	  "set client_encoding=UTF8 reset client_encoding= reset client_encoding=", 0 },
	{ "ROLE", "SET ROLE Bob; SET ROLE 'Bob'; SET ROLE \"Bob\"; SET ROLE NONE; RESET ROLE; SET role TO x",
	  "set role=bob set role=Bob set role=Bob set role=none reset role= set role=x", 0 },
	{ "who the session is", "SET SESSION AUTHORIZATION bob", "none", 0 },
	{ "as a setting", "SET session_authorization = bob", "none", 0 },
	{ "taken back", "RESET SESSION AUTHORIZATION; SET SESSION AUTHORIZATION DEFAULT", "reset-user reset-user", 0 },
	{ "by set_config", "SELECT set_config('session_authorization', 'bob', false)", "none", 0 },
	{ "CHARACTERISTICS", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "none", 0 },
	{ "XML", "SET XML OPTION DOCUMENT", "none", 0 },
	{ "LOCAL and the like",
	  "SET LOCAL a = 1; SET TRANSACTION READ ONLY; SET CONSTRAINTS a, b DEFERRED; SET LOCAL TIME ZONE 'UTC'",
	  "local local local local", 0 },
	{ "settings of these names", "SET local.a = 1; SET transaction.b = 2; SET session.c = 3; SET time.d = 4",
	  "set local.a=1 set transaction.b=2 set session.c=3 set time.d=4", 0 },
	{ "settings of the transaction", "SET transaction_read_only = on; RESET transaction_isolation", "local local",
	  0 },
	{ "RESET", "RESET a; RESET b.C; reset all", "reset a= reset b.c= reset-all", 0 },
	{ "a name", "RESET \"all\"", "reset all=", 0 },
	/* set_config */
	{ "literals", "SELECT set_config('A.b', 'C', false)", "set a.b=C", 0 },
	{ "more of it", "select PG_CATALOG.Set_Config ( 'search_path' :: text , '' , FALSE ) AS \"x\" ;",
	  "set search_path=", 0 },
	{ "local", "SELECT set_config('a', 'b', true)", "local", 0 },
	{ "several, all local",
	  "SELECT set_config('a', 'b', true), set_config('c', $1, true) x, set_config($2, $3, true) AS y", "local", 0 },
	{ "several, all local, with AS", "SELECT set_config('a', 'b', true) AS x, set_config($2, $3, true)", "local",
	  0 },
	{ "several, not all", "SELECT set_config('a', 'b', true), set_config('c', 'd', false)", "none", 0 },
	{ "several, the first not", "SELECT set_config('a', 'b', false), set_config('c', 'd', true)", "none", 0 },
	{ "parameters", "SELECT set_config($1, $2, $3)", "params 1 2 3", 0 },
	{ "some", "SELECT set_config('a', $1::text, false)", "params 0 1 0 a", 0 },
	{ "which is local", "SELECT set_config('a', 'b', $255::bool)", "params 0 0 255 a=b", 0 },
	{ "too many", "SELECT set_config($256, 'b', false)", "none", 0 },
	{ "NULL", "SELECT set_config('a', NULL, false)", "none", 0 },
	{ "more", "SELECT set_config('a', 'b', false), 1", "none", 0 },
	{ "FROM", "SELECT set_config('a', 'b', false) FROM t", "none", 0 },
	{ "another schema's", "SELECT x.set_config('a', 'b', false)", "none", 0 },
	{ "no name", "SELECT set_config('', 'b', false)", "none", 0 },
	/* Other things of the session. */
	{ "DISCARD", "DISCARD ALL", "discard-all", 0 },
	{ "a part", "DISCARD PLANS; DISCARD SEQUENCES; DISCARD TEMP; DISCARD TEMPORARY",
	  "discard-part discard-part discard-part discard-part", 0 },
	{ "channels", "LISTEN A; LISTEN \"A\"; UNLISTEN a; UNLISTEN *", "listen a listen A unlisten a unlisten-all",
	  0 },
	{ "names are cut", "LISTEN " NAME63 "x", "listen " NAME63, 0 },
	{ "asyncpg's reset", "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
	  "unlock-all close-all unlisten-all reset-all", 0 },
	{ "one cursor", "CLOSE a", "none", 0 },
	{ "PREPARE", "PREPARE a AS SELECT set_config('b', 'c', false); PREPARE B (int, text) AS SELECT $1",
	  "prepare a prepare b", 0 },
	{ "of a transaction", "PREPARE TRANSACTION 'a'", "prepare-transaction", 0 },
	{ "of that name", "PREPARE transaction AS SELECT 1", "prepare transaction", 0 },
	{ "EXECUTE", "EXECUTE a; EXECUTE b(1, -2, 'c', $1, NULL, 'd'::text)", "execute a execute b", 0 },
	{ "of an expression", "EXECUTE a(f(1))", "execute-any a", 0 },
	{ "EXPLAIN", "EXPLAIN EXECUTE a; explain (costs off) execute a (1); EXPLAIN ANALYSE VERBOSE EXECUTE \"A\"",
	  "execute-any a execute-any a execute-any A", 0 },
	{ "of something else", "EXPLAIN SELECT 1 AS execute FROM a", "none", 0 },
	{ "CREATE TABLE",
	  "CREATE TABLE x AS EXECUTE a; CREATE LOCAL TEMP TABLE IF NOT EXISTS x (y) WITH (z = 1) AS EXECUTE a(1) WITH "
	  "NO DATA; EXPLAIN CREATE UNLOGGED TABLE x AS EXECUTE a",
	  "execute-any a execute-any a execute-any a", 0 },
	{ "of another table", "CREATE TABLE x (y int GENERATED ALWAYS AS (execute) STORED)", "none", 0 },
	{ "a function of that word", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS execute FROM a; END",
	  "none", 0 },
	{ "names with escapes",
	  "EXECUTE u&\"\\0061B\\+000063\\\\\"\"\"; EXECUTE U&\"!0061\" UESCAPE '!' (1); EXECUTE U&\"\"\"\"",
	  "execute aBc\\\" execute a execute \"", 0 },
	{ "a letter that is not ASCII", "EXECUTE U&\"\\00e4\"", "none", 0 },
	{ "an escape that is none", "EXECUTE U&\"a\" UESCAPE '+'", "none", 0 },
	{ "an escape that is cut", "EXECUTE U&\"a\\006\"", "none", 0 },
	{ "DEALLOCATE",
	  "DEALLOCATE a; DEALLOCATE PREPARE \"B\"; DEALLOCATE prepare; DEALLOCATE ALL; DEALLOCATE PREPARE ALL",
	  "deallocate a deallocate B deallocate prepare deallocate-all deallocate-all", 0 },
	/* Transactions. */
	{ "BEGIN", "BEGIN; BEGIN WORK ISOLATION LEVEL SERIALIZABLE, READ ONLY; START TRANSACTION READ WRITE",
	  "begin begin begin", 0 },
	{ "COMMIT", "COMMIT; END WORK; COMMIT TRANSACTION AND NO CHAIN", "commit commit commit", 0 },
	{ "ROLLBACK", "ROLLBACK; ABORT WORK; ROLLBACK AND NO CHAIN", "rollback rollback rollback", 0 },
	{ "chained", "COMMIT AND CHAIN; ROLLBACK AND CHAIN", "commit-chain rollback-chain", 0 },
	{ "to a savepoint", "ROLLBACK TO SAVEPOINT a", "rollback-to a", 0 },
	{ "prepared", "COMMIT PREPARED 'a'", "end", 0 },
	{ "others among them", "BEGIN; SELECT (1; 2); ROLLBACK TO a; COMMIT AND CHAIN; COMMIT",
	  "begin not rollback-to a commit-chain commit", 0 },
	{ "others first", "SELECT 1; COMMIT", "none", 0 },
	/* Databases. */
	{ "DROP DATABASE", "DROP DATABASE a; DROP DATABASE IF EXISTS \"A\" WITH (FORCE); DROP DATABASE if",
	  "drop-database a drop-database A drop-database if", 0 },
	{ "CREATE DATABASE", "CREATE DATABASE a", "create-database a=", 0 },
	{ "of a template", "CREATE DATABASE a WITH OWNER = template TEMPLATE 'B' CONNECTION LIMIT -1 ENCODING DEFAULT",
	  "create-database a=B", 0 },
	{ "of the default", "CREATE DATABASE a TEMPLATE = DEFAULT", "create-database a=", 0 },
	{ "RENAME", "ALTER DATABASE a RENAME TO b", "rename-database a", 0 },
	{ "other changes", "ALTER DATABASE a SET b = c", "none", 0 },
	/* Texts. */
	{ "nothing", "", "none", 0 },
	{ "semicolons", " ; ;; ", "none", 0 },
	{ "around statements", " ;; /* x */ SET a = 1 -- y\n ;; ; ", "set a=1", 0 },
	{ "eight", "BEGIN;BEGIN;BEGIN;BEGIN;BEGIN;BEGIN;BEGIN;BEGIN;",
	  "begin begin begin begin begin begin begin begin", 0 },
	{ "nine", "BEGIN;BEGIN;BEGIN;BEGIN;BEGIN;BEGIN;BEGIN;BEGIN;BEGIN", "none", 0 },
	{ "one that does not end", "BEGIN; SELECT 'a", "none", 0 },
	{ "a comment that does not", "BEGIN /* a", "none", 0 },
	{ "functions that hold statements", "BEGIN; CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; COMMIT; END",
	  "none", 0 },
	{ "other queries", "SELECT 1", "none", 0 },
	{ "words that begin like one", "SETX a = 1", "none", 0 },
	{ "quoted words", "\"SET\" a = 1", "none", 0 },
	/* How the client reads strings. */
	{ "a backslash", "SET a = 'b\\c'", "set a=b\\c", 0 },
	{ "that escapes", "SET a = 'b\\c'", "none", SCAN_BACKSLASH_STRINGS },
	{ "none at all", "SET a = 'bc'", "set a=bc", SCAN_BACKSLASH_STRINGS },
	{ "letters of two bytes", "SET a = '\x81\x5c'", "none", SCAN_ASCII_TRAIL },
	{ "letters of one", "SET a = 'b\\c'", "set a=b\\c", SCAN_ASCII_TRAIL },
};

/* KNOWN_SET and its kin show a value even if it is empty. */
static int
describe_one(char *into, size_t size, const struct known_statement *k)
{
	switch (k->kind) {
	case KNOWN_SET:
	case KNOWN_RESET:
	case KNOWN_CREATE_DATABASE:
		return snprintf(into, size, "%s %s=%s ", kinds[k->kind], k->name, k->value);
	case KNOWN_SET_PARAMS:
		return snprintf(into, size, "%s %u %u %u %s%s%s%s", kinds[k->kind], k->name_param, k->value_param,
				k->local_param, k->name, *k->value != '\0' ? "=" : "", k->value,
				*k->name != '\0' ? " " : "");
	case KNOWN_LOCAL:
		return snprintf(into, size, "%s ", kinds[k->kind]);
	default:
		return snprintf(into, size, "%s %s%s", kinds[k->kind], k->name, *k->name != '\0' ? " " : "");
	}
}

static void
describe(char *into, size_t size, const struct known_text *text)
{
	size_t len = 0;

	for (unsigned i = 0; i < text->count; i++)
		len += (size_t)describe_one(into + len, size - len, &text->statements[i]);
	into[len > 0 ? len - 1 : 0] = '\0';
}

static bool
parse(struct known_text *text, unsigned options, const char *sql, size_t len)
{
	char *exact = malloc(len > 0 ? len : 1);
	bool is_known;

	cr_assert_not_null(exact);
	memcpy(exact, sql, len);
	memset(text, 'x', sizeof(*text));
	is_known = known_parse(text, options, exact, len);
	free(exact);
	return is_known;
}

Test(known, texts)
{
	EACH(row, rows) {
		char got[8192];
		struct known_text text;
		bool is_known = parse(&text, row->options, row->sql, strlen(row->sql));

		describe(got, sizeof(got), &text);
		cr_expect_str_eq(is_known ? got : "none", row->want, "%s: %s: %s", row->rule, row->sql, got);
		cr_expect_eq(is_known, text.count > 0, "%s", row->rule);
		for (unsigned j = 0; j < text.count; j++)
			is_known = is_known && text.statements[j].kind != KNOWN_NOT &&
				   text.statements[j].kind < KNOWN_FIRST_UNCERTAIN;
		cr_expect_eq(text.is_certain, is_known, "%s", row->rule);
	}
}

Test(known, every_cut_of_every_text_is_read_within_its_bounds)
{
	EACH(row, rows)
		for (size_t len = 0; len < strlen(row->sql); len++) {
			struct known_text text;

			parse(&text, row->options, row->sql, len);
			cr_expect_leq(text.count, (unsigned)KNOWN_STATEMENTS_MAX, "%s", row->rule);
		}
}

Test(known, zero_bytes_are_in_no_name_or_value)
{
	struct known_text text;

	cr_expect_not(parse(&text, 0, "SET a = 'b\0c'", 13));
	cr_expect_not(parse(&text, 0, "SET \"a\0b\" = 1", 13));
	cr_expect_not(parse(&text, 0, "SET a = $$b\0c$$", 15));
	cr_expect_not(parse(&text, 0, "SET\0a = 1", 9));
}

/* --- statement by statement --- */

static const struct row step_rows[] = {
	{ "savepoints", "SAVEPOINT a; savepoint \"B\"\"c\"; SAVEPOINT Savepoint",
	  "savepoint=a savepoint=B\"c savepoint=savepoint", 0 },
	{ "released", "RELEASE a; RELEASE SAVEPOINT B; RELEASE savepoint; release savepoint savepoint",
	  "release=a release=b release=savepoint release=savepoint", 0 },
	{ "rolled back to", "ROLLBACK TO a; ROLLBACK WORK TO SAVEPOINT a; ROLLBACK TRANSACTION TO savepoint",
	  "rollback-to=a rollback-to=a rollback-to=savepoint", 0 },
	{ "ends", "COMMIT; END WORK; ROLLBACK; ABORT TRANSACTION; COMMIT AND CHAIN; ROLLBACK AND NO CHAIN",
	  "commit commit rollback rollback commit-chain rollback", 0 },
	{ "of two phases", "PREPARE TRANSACTION 'p'; PREPARE p AS SELECT 1; COMMIT PREPARED 'p'",
	  "prepare-transaction prepare=p end", 0 },
	{ "UNLISTEN", "UNLISTEN a; unlisten *; LISTEN a", "unlisten=a unlisten-all listen=a", 0 },
	{ "among others", "SELECT 1; SAVEPOINT a; ;; INSERT INTO t VALUES (';'); RELEASE a; SELECT 2",
	  "savepoint=a release=a", 0 },
	{ "behind more than fit elsewhere",
	  "SELECT 1;SELECT 2;SELECT 3;SELECT 4;SELECT 5;SELECT 6;SELECT 7;SELECT 8;END", "commit", 0 },
	{ "in strings and comments", "SELECT 'x; END'; /* ; END */ SELECT $$; END$$ -- ; END\n; SELECT \"; END\"", "",
	  0 },
	{ "with comments", "/* a */ ROLLBACK /* b */ TO -- c\n a", "rollback-to=a", 0 },
	{ "within parentheses", "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; END); RELEASE a", "release=a", 0 },
	{ "bodies in standard SQL end it",
	  "SAVEPOINT a; CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; RELEASE a", "savepoint=a", 0 },
	{ "a dollar behind a number and a word begins no string", "SELECT 1a$b$', x$b$; UNLISTEN a; '; RELEASE b",
	  "release=b", 0 },
	{ "other names", "SAVEPOINT U&\"a\"; SAVEPOINT 'a'; RELEASE a", "savepoint=a release=a", 0 },
	{ "more words", "SAVEPOINT a b; RELEASE a", "release=a", 0 },
	{ "without an end", "SAVEPOINT a; RELEASE a; SELECT 'x", "savepoint=a release=a", 0 },
	{ "nothing", " ;; ", "", 0 },
	{ "escapes that may hide an end", "SAVEPOINT a; SELECT '\\'; RELEASE a", "", SCAN_BACKSLASH_STRINGS },
	{ "calls", "SELECT 1; EXECUTE a(1 + f(';')); deallocate \"B\"; DEALLOCATE ALL; EXECUTE c",
	  "execute-any=a deallocate=B deallocate-all execute=c", 0 },
	{ "calls and others", "PREPARE a AS SELECT 1; EXECUTE a; PREPARE TRANSACTION 'x'; DEALLOCATE PREPARE b",
	  "prepare=a execute=a prepare-transaction deallocate=b", 0 },
};

static void
read_steps(char *got, size_t size, unsigned options, const char *sql, size_t len)
{
	char *exact = malloc(len > 0 ? len : 1);
	struct known_reader r;
	struct known_statement k;
	size_t at = 0;

	cr_assert_not_null(exact);
	memcpy(exact, sql, len);
	got[0] = '\0';
	for (known_begin(&r, options, exact, len); known_next_statement(&r, &k);)
		if (k.kind != KNOWN_NOT)
			at += (size_t)snprintf(got + at, size - at, "%s%s%s%s", at > 0 ? " " : "", kinds[k.kind],
					       k.name[0] != '\0' ? "=" : "", k.name);
	cr_expect_eq(known_next_statement(&r, &k), false, "the end stays the end");
	cr_expect_eq(k.kind, KNOWN_NOT);
	free(exact);
}

Test(known, steps)
{
	EACH(row, step_rows) {
		char got[512];

		for (size_t len = 0; len <= strlen(row->sql); len++)
			read_steps(got, sizeof(got), row->options, row->sql, len);
		cr_expect_str_eq(got, row->want, "%s: %s", row->rule, got);
	}
}

/* --- one statement and nothing else --- */

static const struct {
	const char *sql;
	enum known_kind want;
} only_rows[] = {
	{ "COMMIT", KNOWN_COMMIT },
	{ "commit;", KNOWN_COMMIT },
	{ " /* a /* nested */ one */ CoMmIt WORK ; ; -- done", KNOWN_COMMIT },
	{ "END", KNOWN_COMMIT },
	{ "END TRANSACTION", KNOWN_COMMIT },
	{ "COMMIT AND NO CHAIN", KNOWN_COMMIT },
	{ "COMMIT/*route='x'*/", KNOWN_COMMIT },
	{ "COMMIT AND CHAIN", KNOWN_COMMIT_CHAIN },
	{ "END WORK AND CHAIN;", KNOWN_COMMIT_CHAIN },
	{ "", KNOWN_NOT },
	{ ";COMMIT", KNOWN_COMMIT },
	{ "COMMIT PREPARED 'x'", KNOWN_END },
	{ "COMMIT; BEGIN", KNOWN_NOT },
	{ "COMMIT WORK TRANSACTION", KNOWN_END },
	{ "COMMIT AND", KNOWN_END },
	{ "COMMIT AND NO", KNOWN_END },
	{ "COMMIT AND CHAIN CHAIN", KNOWN_END },
	{ "COMMIT /*", KNOWN_NOT },
	{ "\"commit\"", KNOWN_NOT },
	{ "ROLLBACK", KNOWN_ROLLBACK },
	{ "ENDED", KNOWN_NOT },
	{ "SELECT 1; COMMIT", KNOWN_NOT },
	{ "SELECT", KNOWN_NOT },
	{ "SELECT 1", KNOWN_NOT },
};

Test(known, only)
{
	const unsigned options = SCAN_BACKSLASH_STRINGS | SCAN_ASCII_TRAIL;
	struct known_statement k;

	EACH(row, only_rows)
		cr_expect_eq(known_single_statement(&k, options, row->sql, strlen(row->sql)), row->want, "%s",
			     row->sql);
	cr_expect_eq(known_single_statement(&k, 0, "COMMITTED", 6), KNOWN_COMMIT, "there is no terminator behind it");
}

Test(known, literals_that_may_name_a_custom_setting)
{
	static const struct {
		const char *sql, *want;
	} texts[] = {
		{ "SELECT f('app.own', 'A')", "app.own" },
		{ "SELECT f('App.Own'), E'b._c$1', N'd.e.f'", "app.own b._c$1 d.e.f" },
		{ "SELECT f('1.5', 'a', '', 'x@y.z', 'a b.c', $$d.e$$, \"g.h\", i.j) -- 'k.l'", "" },
		{ "SELECT f('" NAME63 "', 'a." NAME63 "')", "" },
		{ "SELECT f('a.b', 'c.d", "a.b" },
	};

	EACH(row, texts) {
		char name[KNOWN_NAME_MAX], got[256] = "";
		struct known_reader r;

		known_begin(&r, 0, row->sql, strlen(row->sql));
		for (size_t n = 0; known_next_custom_name(&r, name); n = strlen(got))
			snprintf(got + n, sizeof(got) - n, "%s%s", n == 0 ? "" : " ", name);
		cr_expect_str_eq(got, row->want, "%s: %s", row->sql, got);
	}
}

Test(known, modes_of_a_transaction)
{
	static const struct {
		const char *sql;
		bool is_read_only, has_other_mode;
		const char *modes; /* NULL: none of known_modes */
	} modes[] = {
		{ "BEGIN", false, false, "" },
		{ "BEGIN WORK;", false, false, "" },
		{ "begin read only", true, false, "read only" },
		{ "START TRANSACTION ISOLATION LEVEL Repeatable /* */ READ READ ONLY;", true, false,
		  "isolation level repeatable read read only" },
		{ "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED", false, false, "isolation level read committed" },
		{ "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;", true, false,
		  "isolation level repeatable read read only" },
		{ "BEGIN READ WRITE", false, true, "read write" },
		{ "BEGIN READ ONLY, ISOLATION LEVEL READ COMMITTED", true, false,
		  "isolation level read committed read only" },
		{ "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE", false, true,
		  "isolation level serializable read write" },
		{ "BEGIN TRANSACTION READ WRITE , ISOLATION LEVEL REPEATABLE READ;", false, true,
		  "isolation level repeatable read read write" },
		{ "BEGIN ISOLATION LEVEL SERIALIZABLE", false, true, "isolation level serializable" },
		{ "BEGIN READ WRITE,", false, true, NULL },
		{ "BEGIN READ WRITE,, READ ONLY", true, true, NULL },
		{ "BEGIN READ WRITE NOT DEFERRABLE", false, true, NULL },
		{ "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", true, true, NULL },
		{ "BEGIN READ", false, false, NULL },
		{ "BEGIN READ ONLY WORK", true, false, NULL },
		{ "BEGIN ,", false, false, NULL },
		{ "START TRANSACTION WORK", false, false, NULL },
		{ "BEGIN ISOLATION LEVEL READ", false, false, NULL },
	};
	struct known_statement k;

	EACH(row, modes) {
		cr_expect_eq(known_single_statement(&k, 0, row->sql, strlen(row->sql)), KNOWN_BEGIN, "%s", row->sql);
		cr_expect_eq(k.is_read_only, row->is_read_only, "%s", row->sql);
		cr_expect_eq(k.has_other_mode, row->has_other_mode, "%s", row->sql);
		cr_expect_str_eq(k.modes == 0 ? "none" : known_modes[k.modes], row->modes == NULL ? "none" : row->modes,
				 "%s", row->sql);
	}
}

/* --- what deallocates prepared statements, and what only looks like it --- */

static const struct {
	const char *rule, *sql;
	enum known_kind want;
	const char *name;
} dealloc_rows[] = {
	/* Names. */
	{ "a name", "DEALLOCATE abc", KNOWN_DEALLOCATE, "abc" },
	{ "PREPARE is noise", "DEALLOCATE PREPARE abc", KNOWN_DEALLOCATE, "abc" },
	{ "any case; a name is folded", "deAllocate preParE AbC_1$", KNOWN_DEALLOCATE, "abc_1$" },
	{ "a quoted name is not", "DEALLOCATE \"AbC d\"", KNOWN_DEALLOCATE, "AbC d" },
	{ "doubled quotes", "DEALLOCATE \"a\"\"b\"\"\"", KNOWN_DEALLOCATE, "a\"b\"" },
	{ "a quoted name needs no blank before it", "DEALLOCATE\"a\"", KNOWN_DEALLOCATE, "a" },
	{ "a quoted word is a name", "DEALLOCATE \"all\"", KNOWN_DEALLOCATE, "all" },
	{ "comment signs in quotes are a name", "DEALLOCATE \"--a/*;\"", KNOWN_DEALLOCATE, "--a/*;" },
	{ "a name that begins like ALL", "DEALLOCATE allx", KNOWN_DEALLOCATE, "allx" },
	{ "a name that begins like PREPARE", "DEALLOCATE prepared", KNOWN_DEALLOCATE, "prepared" },
	{ "a name that is PREPARE", "DEALLOCATE PREPARE", KNOWN_DEALLOCATE, "prepare" },
	{ "so is that", "DEALLOCATE PREPARE PREPARE;", KNOWN_DEALLOCATE, "prepare" },
	{ "and that", "deallocate prepare -- all\n;", KNOWN_DEALLOCATE, "prepare" },
	{ "an underscore", "DEALLOCATE _a", KNOWN_DEALLOCATE, "_a" },
	{ "letters beyond ASCII",
	  "DEALLOCATE \xc3\x84"
	  "a",
	  KNOWN_DEALLOCATE,
	  "\xc3\x84"
	  "a" },
	{ "as long as a name may be", "DEALLOCATE " NAME63, KNOWN_DEALLOCATE, NAME63 },
	{ "a longer one is cut", "DEALLOCATE " NAME63 "x", KNOWN_DEALLOCATE, NAME63 },
	{ "a much longer one, too", "DEALLOCATE " NAME63 NAME63 NAME63 " ;", KNOWN_DEALLOCATE, NAME63 },
	{ "a quoted one as well", "DEALLOCATE \"" NAME63 "xyz\"", KNOWN_DEALLOCATE, NAME63 },
	{ "a digit is no name", "DEALLOCATE 1a", KNOWN_NOT, NULL },
	{ "a dollar is none", "DEALLOCATE $1", KNOWN_NOT, NULL },
	{ "nor a text in single quotes", "DEALLOCATE 'a'", KNOWN_NOT, NULL },
	{ "nor nothing in quotes", "DEALLOCATE \"\"", KNOWN_NOT, NULL },
	{ "nor a dotted one", "DEALLOCATE a.b", KNOWN_NOT, NULL },
	{ "of a name with Unicode escapes", "DEALLOCATE U&\"\\0061\"", KNOWN_DEALLOCATE, "a" },
	{ "nor two", "DEALLOCATE a b", KNOWN_NOT, NULL },
	{ "nor a list", "DEALLOCATE a, b", KNOWN_NOT, NULL },
	{ "nor a quoted one that goes on", "DEALLOCATE \"a\"b", KNOWN_NOT, NULL },
	/* All. */
	{ "ALL", "DEALLOCATE ALL", KNOWN_DEALLOCATE_ALL, NULL },
	{ "PREPARE ALL", "deallocate prepare all ;", KNOWN_DEALLOCATE_ALL, NULL },
	{ "DISCARD ALL", "DISCARD ALL", KNOWN_DISCARD_ALL, NULL },
	{ "other things that are discarded", "DISCARD PLANS", KNOWN_DISCARD_PART, NULL },
	{ "discarded alone", "DISCARD", KNOWN_NOT, NULL },
	{ "DISCARD ALLX", "DISCARD ALLX", KNOWN_NOT, NULL },
	{ "ALL and more", "DEALLOCATE ALL; SELECT 1", KNOWN_NOT, NULL },
	/* White space and comments. */
	{ "all white space that there is", " \t\n\r\f\vDEALLOCATE \t\n\r\f\va \t\n\r\f\v", KNOWN_DEALLOCATE, "a" },
	{ "a comment instead of a blank", "DEALLOCATE/**/a", KNOWN_DEALLOCATE, "a" },
	{ "comments everywhere", "/*x*/DEALLOCATE/*x*/PREPARE/*x*/a/*x*/;/*x*/", KNOWN_DEALLOCATE, "a" },
	{ "comments to the end of the line", "--x\nDEALLOCATE--x\ra--x", KNOWN_DEALLOCATE, "a" },
	{ "nested comments", "/* /* x */ DEALLOCATE b */ DEALLOCATE a", KNOWN_DEALLOCATE, "a" },
	{ "stars and slashes", "/***//*/**/*/ DEALLOCATE a", KNOWN_DEALLOCATE, "a" },
	{ "a comment ends where it ends", "/* DEALLOCATE a */", KNOWN_NOT, NULL },
	{ "a comment that does not end", "/* DEALLOCATE a", KNOWN_NOT, NULL },
	{ "its inner one does", "/* /* */ DEALLOCATE a", KNOWN_NOT, NULL },
	{ "behind a name", "DEALLOCATE a /* x", KNOWN_NOT, NULL },
	{ "half an end", "DEALLOCATE a /* x *", KNOWN_NOT, NULL },
	{ "half a beginning", "DEALLOCATE a /", KNOWN_NOT, NULL },
	{ "half a line comment", "- DEALLOCATE a", KNOWN_NOT, NULL },
	/* Several statements. */
	{ "a semicolon", "DEALLOCATE a;", KNOWN_DEALLOCATE, "a" },
	{ "many", " ; ;;DEALLOCATE a ; ; ;", KNOWN_DEALLOCATE, "a" },
	{ "another statement behind it", "DEALLOCATE a; SELECT 1", KNOWN_NOT, NULL },
	{ "two names", "DEALLOCATE a; DEALLOCATE b", KNOWN_NOT, NULL },
	{ "another before it", "SELECT 1; DEALLOCATE a", KNOWN_NOT, NULL },
	{ "even ALL", "BEGIN; DEALLOCATE ALL", KNOWN_NOT, NULL },
	/* Other texts. */
	{ "nothing", "", KNOWN_NOT, NULL },
	{ "blanks", "  ", KNOWN_NOT, NULL },
	{ "semicolons", ";;", KNOWN_NOT, NULL },
	{ "the word alone", "DEALLOCATE", KNOWN_NOT, NULL },
	{ "the word and a semicolon", "DEALLOCATE;", KNOWN_NOT, NULL },
	{ "part of the word", "DEALLOCAT a", KNOWN_NOT, NULL },
	{ "a longer word", "DEALLOCATED a", KNOWN_NOT, NULL },
	{ "a longer word, with a letter beyond ASCII", "DEALLOCATE\xc3\x84 a", KNOWN_NOT, NULL },
	{ "a query", "SELECT 'DEALLOCATE a'", KNOWN_NOT, NULL },
	{ "others with that letter", "delete from a", KNOWN_NOT, NULL },
	{ "in parentheses", "(DEALLOCATE a)", KNOWN_NOT, NULL },
	{ "quotes that do not end", "DEALLOCATE \"a", KNOWN_NOT, NULL },
	{ "quotes that end in doubled ones", "DEALLOCATE \"a\"\"", KNOWN_NOT, NULL },
};

static enum known_kind
deallocation(const char *sql, size_t len, char name[static KNOWN_NAME_MAX])
{
	char *exact = malloc(len > 0 ? len : 1);
	enum known_kind kind;
	struct known_statement k;

	cr_assert_not_null(exact);
	memcpy(exact, sql, len);
	kind = known_single_statement(&k, 0, exact, len);
	memcpy(name, k.name, KNOWN_NAME_MAX);
	free(exact);
	return kind;
}

Test(known, deallocations)
{
	EACH(row, dealloc_rows) {
		char name[KNOWN_NAME_MAX] = "";

		cr_expect_eq(deallocation(row->sql, strlen(row->sql), name), row->want, "%s", row->rule);
		if (row->name != NULL)
			cr_expect_str_eq(name, row->name, "%s: %s", row->rule, name);
	}
}

Test(known, every_cut_of_a_deallocation_is_read_within_its_bounds)
{
	EACH(row, dealloc_rows)
		for (size_t len = 0; len < strlen(row->sql); len++) {
			char name[KNOWN_NAME_MAX];

			if (deallocation(row->sql, len, name) == KNOWN_DEALLOCATE)
				cr_expect_gt(strnlen(name, sizeof(name)), 0, "%s, %zu bytes", row->rule, len);
		}
}

Test(known, a_zero_byte_is_no_white_space)
{
	char name[KNOWN_NAME_MAX];

	cr_expect_eq(deallocation("\0DEALLOCATE a", 13, name), KNOWN_NOT);
	cr_expect_eq(deallocation("DEALLOCATE\0a", 12, name), KNOWN_NOT);
	cr_expect_eq(deallocation("DEALLOCATE a\0", 13, name), KNOWN_NOT);
	cr_expect_eq(deallocation("DEALLOCATE a\0; x", 16, name), KNOWN_NOT);
}
