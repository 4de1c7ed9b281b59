/*
 * tests/unit/test_scan.c - which texts are suspected of what, and that it does not matter how they are cut. Links only
 * the scanner. Texts are copied to memory of exactly their size.
 */
#include "sql/scan.h"
#include "sql/scan_cache.h"
#include "unit.h"

enum {
	SETTING = SCAN_SETTING,
	TEMP = SCAN_TEMP,
	LOCK = SCAN_LOCK,
	CURSOR = SCAN_CURSOR,
	PREPARE = SCAN_PREPARE,
	LISTEN = SCAN_LISTEN,
	CODE = SCAN_CODE,
	FUNCTION = SCAN_FUNCTION,
	CALL = SCAN_CALL,
	SEED = SCAN_SEED,
	EXECUTE = SCAN_EXECUTE,
	LOAD = SCAN_BACKEND,
	SLOT = SCAN_SLOT,
	SEQUENCE = SCAN_CURRVAL,
	CREATE = SCAN_CREATE,
	UNDO = SCAN_UNDO,
	DATABASE = SCAN_DATABASE,
	SAVEPOINT = SCAN_SAVEPOINT,
	LOST = SCAN_NAMES_LOST,
	BOUND = SCAN_NAME_BOUND,
	ALL = SCAN_ALL,
	DISCARD = SCAN_SETTING | SCAN_PREPARE | SCAN_LISTEN | SCAN_UNDO,
	UNICODE = SCAN_SETTING | SCAN_TEMP | SCAN_LOCK | SCAN_CODE | SCAN_CURRVAL | SCAN_UNDO | SCAN_NAMES_LOST |
		  SCAN_FUNCTION | SCAN_SEED,
	OFF = SCAN_BACKSLASH_STRINGS,
	GBK = SCAN_ASCII_TRAIL,
	SJIS = SCAN_ASCII_TRAIL | SCAN_SJIS_TRAIL,
};

struct row {
	const char *rule, *sql;
	unsigned want;
	const char *names; /* each with a blank behind it */
	unsigned options;
};

#define NAME60 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567"

static const struct row rows[] = {
	/* What applications say all day leaves nothing. */
	{ "nothing", "", 0, "", 0 },
	{ "white space", " \n;; ", 0, "", 0 },
	{ "pgbench", "SELECT abalance FROM pgbench_accounts WHERE aid = $1", 0, "", 0 },
	{ "pgbench's transaction", "BEGIN; UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 2; END;", 0,
	  "", 0 },
	{ "quoted columns", "INSERT INTO \"users\" (\"name\", \"email\") VALUES ($1,$2) RETURNING \"users\".\"id\"", 0,
	  "", 0 },
	{ "a schema", "INSERT INTO public.\"users\" (name) VALUES ('x'), ('y')", 0, "", 0 },
	{ "no columns", "INSERT INTO t SELECT * FROM u", 0, "", 0 },
	{ "SQLAlchemy",
	  "SELECT users.id AS users_id, count(orders.id) AS count_1 \nFROM users LEFT OUTER JOIN (SELECT orders.id AS "
	  "id FROM orders) AS anon_1 ON anon_1.id = users.id WHERE users.id IN (%(id_1)s) AND lower(users.name) LIKE "
	  "lower('%x%') GROUP BY users.id HAVING count(*) > 1 LIMIT 10",
	  0, "", 0 },
	{ "SQLAlchemy's look at the version", "select pg_catalog.version()", 0, "", 0 },
	{ "Django",
	  "SELECT (1) AS \"a\" FROM \"auth_user\" WHERE UPPER(\"auth_user\".\"name\"::text) LIKE UPPER(%s) LIMIT 1", 0,
	  "", 0 },
	{ "Django's update",
	  "UPDATE \"t\" SET \"a\" = CASE WHEN (\"t\".\"id\" = 1) THEN COALESCE(\"t\".\"b\", 2) ELSE NULL END", 0, "",
	  0 },
	{ "Django's upsert",
	  "INSERT INTO \"t\" (\"a\", \"b\") VALUES (1, 2) ON CONFLICT (\"a\") DO UPDATE SET \"b\" = EXCLUDED.\"b\"", 0,
	  "", 0 },
	{ "an upsert of several columns",
	  "insert into t (a, b) values (1, 2) on conflict (a) do update set (a, b) = (3, 4)", 0, "", 0 },
	{ "Prisma",
	  "SELECT \"public\".\"User\".\"id\", COALESCE(\"o\".\"c\", 0) FROM \"public\".\"User\" LEFT JOIN (SELECT "
	  "COUNT(*) AS c, \"uid\" FROM \"public\".\"Post\" WHERE 1=1 GROUP BY \"uid\") AS \"o\" ON (\"o\".\"uid\" = "
	  "\"User\".\"id\") WHERE (\"User\".\"id\" IN ($1,$2) AND 1=1) OFFSET $3",
	  0, "", 0 },
	{ "Hibernate",
	  "select u1_0.id,u1_0.name from users u1_0 where u1_0.id=any(?) order by u1_0.id offset ? rows fetch first ? "
	  "rows only",
	  0, "", 0 },
	{ "a function in C: its library stays", "CREATE FUNCTION f() RETURNS int AS 'lib' LANGUAGE C STRICT",
	  CREATE | LOAD, "", 0 },
	{ "with the language in quotes", "create or replace function f() returns int language \"c\" as 'lib'",
	  CREATE | LOAD, "", 0 },
	{ "in single ones", "CREATE FUNCTION f() RETURNS int AS 'lib' LANGUAGE 'C'", CREATE | LOAD, "", 0 },
	{ "hidden", "CREATE FUNCTION f() RETURNS int LANGUAGE E'\\x63' AS 'lib'", CREATE | LOAD, "", 0 },
	{ "another language, as pgAdmin writes it", "CREATE FUNCTION f() RETURNS int LANGUAGE 'plpgsql' AS $$ x $$",
	  CREATE, "", 0 },
	{ "a function in SQL", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", CREATE, "", 0 },
	{ "Hibernate's sequence", "select nextval('hibernate_sequence')", SCAN_NEXTVAL, "", 0 },
	{ "Rails",
	  "SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a "
	  "WHERE a.attrelid = '\"users\"'::regclass AND NOT a.attisdropped",
	  0, "", 0 },
	{ "windows",
	  "SELECT sum(x) FILTER (WHERE y > 0) OVER (PARTITION BY z ORDER BY (a) ROWS BETWEEN 1 PRECEDING AND CURRENT "
	  "ROW), row_number() OVER w, percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t WINDOW w AS (ORDER BY x)",
	  0, "", 0 },
	{ "TPC-C",
	  "SELECT count(DISTINCT (s_i_id)) FROM order_line, stock WHERE ol_o_id < 20 AND ol_o_id >= (20 - 20) FOR "
	  "UPDATE",
	  0, "", 0 },
	{ "TPC-H",
	  "select extract(year from l_shipdate) as y, sum(l_extendedprice * (1 - l_discount)) from lineitem where "
	  "l_shipdate < date '1998-12-01' - interval '90' day (3) and substring(x from 1 for 2) in ('13', '31') and "
	  "not exists (select * from o where position('x' in y) > 0) group by y",
	  0, "", 0 },
	{ "common table expressions",
	  "WITH RECURSIVE a(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM a), b (c, d) AS MATERIALIZED (SELECT 1, 2) "
	  "SELECT * FROM a AS x (y) JOIN b z(q) USING (n)",
	  0, "", 0 },
	{ "types",
	  "SELECT a::varchar(10), cast(b AS numeric(10, 2)), c::vector(3), '1'::bit(3), x::timestamp(3) with time zone",
	  0, "", 0 },
	{ "grouping", "SELECT grouping(a) FROM t GROUP BY GROUPING SETS ((a), ())", 0, "", 0 },
	{ "which may be a function of that name", "SELECT a FROM t GROUP BY ROLLUP (a)", FUNCTION, "", 0 },
	{ "JSON",
	  "SELECT jsonb_build_object('a', x->>'b', 'c', jsonb_agg(y ORDER BY z)) FROM jsonb_to_recordset($1) AS t(x "
	  "jsonb, y int), unnest($2::int[]) WITH ORDINALITY AS u(a, b)",
	  0, "", 0 },
	{ "full text", "SELECT ts_rank_cd(v, q) FROM t, websearch_to_tsquery('english', $1) q WHERE v @@ q", 0, "", 0 },
	{ "a function of contrib", "INSERT INTO t (id) VALUES (uuid_generate_v4())", 0, "", 0 },
	{ "xact locks", "SELECT pg_advisory_xact_lock($1), pg_try_advisory_xact_lock_shared(1, 2)", 0, "", 0 },
	{ "copy", "COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER true)", 0, "", 0 },
	{ "COMMIT PREPARED", "COMMIT PREPARED 'x'; ROLLBACK PREPARED 'y'; PREPARE TRANSACTION 'z'", 0, "", 0 },
	{ "NOTIFY", "NOTIFY x, 'y'; SELECT pg_notify('x', 'y')", 0, "", 0 },
	{ "GRANT EXECUTE", "GRANT EXECUTE ON FUNCTION f(int) TO u; REVOKE EXECUTE ON FUNCTION f(int) FROM u", 0, "",
	  0 },
	{ "words that are columns",
	  "SELECT set, reset, t.temp, t.into, execute, listen AS load FROM do WHERE t.hold = t.create", 0, "", 0 },
	{ "ALTER TABLE ... SET", "ALTER TABLE t SET (fillfactor = 70), ALTER c SET DEFAULT 1", 0, "", 0 },
	{ "ON DELETE SET NULL", "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (b) ON DELETE SET NULL", 0, "", 0 },
	{ "cast to a name", "SELECT 'x'::regclass, a [1], (b).*", 0, "", 0 },
	/* Settings. */
	{ "SET", "SET a = 1", SETTING, "", 0 },
	{ "any case, comments before it", "/* x */ -- y\n sEt a = 1", SETTING, "", 0 },
	{ "behind another", "SELECT 1;set a = 1", SETTING, "", 0 },
	{ "LOCAL", "SET LOCAL a.b = 1", 0, "", 0 },
	{ "of the transaction", "SET TRANSACTION READ ONLY; SET CONSTRAINTS ALL DEFERRED", 0, "", 0 },
	{ "of the session", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", SETTING, "", 0 },
	{ "settings with these names", "SET local.x = 1; SET transaction . y TO 2; SET constraints.z = 3", SETTING,
	  "local.x transaction.y constraints.z ", 0 },
	{ "without a dot, too", "SET constraints = 0", SETTING, "", 0 },
	{ "with TO", "SET transaction TO 0", SETTING, "", 0 },
	{ "quoted, LOCAL is a name", "SET \"local\" = 1", SETTING, "", 0 },
	{ "names of one's own", "SET App.User_Id = '5'; SET SESSION b.c = 1; RESET d.e; SET session.f = 2", SETTING,
	  "app.user_id b.c d.e session.f ", 0 },
	{ "quoted ones", "SET \"A\" . \"b c\" = 1; SET \"d.e\" = 2", SETTING, "a.b c d.e ", 0 },
	{ "each once", "SET a.b = 1; SET A.B = 2", SETTING, "a.b ", 0 },
	{ "three parts", "SET a.b.c = 1", SETTING, "a.b.c ", 0 },
	{ "a name that ends with the text", "RESET a.b", SETTING, "a.b ", 0 },
	{ "as long as fits", "SET a." NAME60 "x = 1", SETTING, "a." NAME60 "x ", 0 },
	{ "longer", "SET a." NAME60 "xy = 1", SETTING | LOST, "", 0 },
	{ "RESET, DISCARD", "RESET ALL", SETTING, "", 0 },
	{ "all goes", "DISCARD ALL", DISCARD, "", 0 },
	{ "set_config", "SELECT set_config('a.b', 'c.d', false)", SETTING, "a.b ", 0 },
	{ "in any dress", "SELECT pg_catalog . \"set_config\" /* ( */ ( 'A.b'::text, $1, true)", SETTING, "a.b ", 0 },
	{ "of another schema", "SELECT x.set_config('a.b', '', false)", SETTING | FUNCTION, "a.b ", 0 },
	{ "two lines", "SELECT set_config('a' -- c\n  '.b', '', false)", SETTING, "a.b ", 0 },
	{ "in dollars", "SELECT set_config($$a.b$$, '', false)", SETTING, "a.b ", 0 },
	{ "no dot", "SELECT set_config('search_path', 'a.b', false)", SETTING, "", 0 },
	{ "a parameter", "SELECT set_config($1, $2, $3)", SETTING | BOUND, "", 0 },
	{ "in a type", "SELECT set_config($12::character varying, 'c.d', false)", SETTING | BOUND, "", 0 },
	{ "one and a column", "SELECT set_config($1, $2, false), set_config(n, v, false) FROM t",
	  SETTING | BOUND | LOST, "", 0 },
	{ "an expression", "SELECT set_config('a.' || x, '', false)", SETTING | LOST, "", 0 },
	{ "one of a parameter", "SELECT set_config($1 || x, '', false)", SETTING | BOUND | LOST, "", 0 },
	{ "a part of a parameter", "SELECT set_config(($1::text[])[1], '', false)", SETTING | LOST, "", 0 },
	{ "one behind a cast", "SELECT set_config('a.'::text || x, '', false)", SETTING | LOST, "", 0 },
	{ "a column, for the transaction",
	  "select set_config(el->>0, coalesce(el->>1, ')'), true) from json_array_elements($1::json) el", SETTING, "",
	  0 },
	{ "or perhaps not", "SELECT set_config(n, v, NOT TRUE), set_config(n, f(a, true), false) FROM t",
	  SETTING | FUNCTION | LOST, "", 0 },
	{ "of a name", "SELECT set_config(n, v, \"true\") FROM t", SETTING | LOST, "", 0 },
	{ "one in another", "SELECT set_config(set_config(n, v, false), v, TRUE) FROM t", SETTING | LOST, "", 0 },
	{ "one in a local one's value", "SELECT set_config(n, set_config(m, v, true), true) FROM t", SETTING | LOST, "",
	  0 },
	{ "an escape", "SELECT set_config(E'a\\x2eb', '', false)", SETTING | LOST, "", 0 },
	{ "a column", "SELECT set_config(name, '', false) FROM pg_settings", SETTING | LOST, "", 0 },
	{ "only named", "SELECT set_config FROM t", 0, "", 0 },
	{ "in a string", "SELECT 'set_config(''a.b'', 1, false); SET a = 1'", 0, "", 0 },
	{ "in an identifier", "SELECT \"; SET a = 1\"", 0, "", 0 },
	/* Temporary relations. */
	{ "CREATE TEMP", "CREATE TEMP TABLE t (a int)", TEMP | CREATE, "", 0 },
	{ "all spellings", "create /**/ temporary view v as select 1", TEMP | CREATE, "", 0 },
	{ "OR REPLACE", "CREATE OR REPLACE TEMP VIEW v AS SELECT 1", TEMP | CREATE, "", 0 },
	{ "LOCAL", "CREATE LOCAL TEMP TABLE t (a int)", TEMP | CREATE, "", 0 },
	{ "SELECT INTO", "SELECT 1 AS a INTO TEMP t", TEMP | CREATE, "", 0 },
	{ "SELECT INTO LOCAL", "SELECT 1 INTO LOCAL TEMPORARY TABLE t", TEMP | CREATE, "", 0 },
	{ "SELECT INTO without it", "SELECT 1 AS a INTO t", CREATE, "", 0 },
	{ "EXPLAIN runs it", "EXPLAIN (ANALYZE) CREATE TEMP TABLE t AS SELECT 1", TEMP | CREATE, "", 0 },
	{ "EXPLAIN runs the other", "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1", CREATE, "", 0 },
	{ "the schema", "SELECT * FROM pg_temp.t, \"pg_temp_3\".u", TEMP, "", 0 },
	{ "folded", "DROP TABLE PG_Temp.t", TEMP | UNDO, "", 0 },
	{ "in a literal", "SELECT 'a, Pg_TEMP, b'", TEMP, "", 0 },
	{ "behind much", "SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaapg_tepg_temp'", TEMP, "", 0 },
	{ "in two lines", "SELECT 'pg_' \n 'temp'", TEMP, "", 0 },
	{ "in dollars", "SELECT $$pg_temp$$", TEMP, "", 0 },
	{ "only nearly", "SELECT 'pg_tem', 'p', 'g_temp', pgtemp, 'pg_ temp', pg_tem, '_________________pg_tempt'",
	  TEMP, "", 0 },
	{ "only nearly, all of them", "SELECT 'pg_tem', 'g_temp', pg_tem, 'xxxxxxxxxxxxxxxxx_xxxxpg_txxxxx_'", 0, "",
	  0 },
	{ "in a comment", "SELECT 1 /* pg_temp */ -- pg_temp", 0, "", 0 },
	/* Locks. */
	{ "advisory locks", "SELECT pg_advisory_lock(1)", LOCK, "", 0 },
	{ "any of them", "select PG_TRY_ADVISORY_LOCK_SHARED (1)", LOCK, "", 0 },
	{ "called like a column", "SELECT (1::bigint).pg_advisory_lock", LOCK | FUNCTION, "", 0 },
	{ "unlocked", "SELECT \"pg_advisory_unlock\"(1)", LOCK | UNDO, "", 0 },
	{ "all", "SELECT pg_advisory_unlock_all()", LOCK | UNDO, "", 0 },
	/* Cursors, statements, channels. */
	{ "WITH HOLD", "DECLARE c CURSOR WITH /* x */ HOLD FOR SELECT 1", CURSOR, "", 0 },
	{ "WITHOUT HOLD", "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", 0, "", 0 },
	{ "CLOSE", "CLOSE c", UNDO, "", 0 },
	{ "PREPARE", "PREPARE p AS SELECT 1", PREPARE, "", 0 },
	{ "a statement called transaction", "PREPARE transaction AS SELECT 1", PREPARE, "", 0 },
	{ "DEALLOCATE", "DEALLOCATE p", PREPARE | UNDO, "", 0 },
	{ "EXECUTE", "EXECUTE p(1)", EXECUTE, "", 0 },
	{ "explained", "EXPLAIN ANALYZE EXECUTE p", EXECUTE, "", 0 },
	{ "to a table", "CREATE TABLE t AS EXECUTE p", EXECUTE | CREATE, "", 0 },
	{ "to a table, a statement called function", "CREATE TABLE t AS EXECUTE function", EXECUTE | CREATE, "", 0 },
	{ "a trigger's", "CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION f()", CREATE, "", 0 },
	{ "LISTEN", "LISTEN c", LISTEN, "", 0 },
	{ "UNLISTEN", "UNLISTEN *", LISTEN | UNDO, "", 0 },
	{ "LOAD", "LOAD 'auto_explain'", LOAD, "", 0 },
	{ "sequences", "SELECT currval('s'), lastval()", SEQUENCE, "", 0 },
	/* DDL. */
	{ "an index", "CREATE UNIQUE INDEX CONCURRENTLY i ON s.t USING gin (a, lower(b) gin_trgm_ops)", CREATE, "", 0 },
	{ "a table",
	  "CREATE TABLE IF NOT EXISTS s.t (id uuid PRIMARY KEY, n varchar(9), v vector(3), UNIQUE (n), CONSTRAINT c "
	  "FOREIGN KEY (n) REFERENCES u (n), CHECK (length(n) > 1), x int GENERATED ALWAYS AS IDENTITY (START 2))",
	  CREATE, "", 0 },
	{ "databases", "CREATE DATABASE d", CREATE | DATABASE, "", 0 },
	{ "dropped", "DROP DATABASE IF EXISTS d", UNDO | DATABASE, "", 0 },
	{ "altered", "ALTER DATABASE d RENAME TO e", DATABASE, "", 0 },
	{ "savepoints", "SAVEPOINT a", SAVEPOINT, "", 0 },
	{ "released", "RELEASE a", SAVEPOINT, "", 0 },
	{ "rolled back to", "ROLLBACK WORK TO SAVEPOINT a", SAVEPOINT, "", 0 },
	{ "rolled back", "ROLLBACK; ABORT", 0, "", 0 },
	/* Code. */
	{ "CALL", "CALL p()", FUNCTION | CALL, "", 0 },
	{ "DO", "DO $$begin null; end$$", CODE, "", 0 },
	{ "names in DO",
	  "DO $y$begin perform set_config('a.b', $$x$$, false); SET LOCAL C.d = 1; execute 'set e.f to 1'; end$y$",
	  CODE, "a.b c.d e.f ", 0 },
	{ "in single quotes", "DO 'begin perform set_config(''a.b'', ''x'', false); end' LANGUAGE plpgsql", CODE,
	  "a.b ", 0 },
	{ "a name made in DO", "DO $$begin perform set_config('a.' || x, '', false); end$$", CODE | LOST, "", 0 },
	{ "a variable in DO", "DO $$begin perform set_config(x, '', false); end$$", CODE | LOST, "", 0 },
	{ "a number in DO", "DO $$begin perform set_config(|, '', false); end$$", CODE | LOST, "", 0 },
	{ "one's own function", "SELECT my_fn(1)", FUNCTION, "", 0 },
	{ "quoted", "SELECT \"my_fn\"(1)", FUNCTION, "", 0 },
	{ "with a schema", "SELECT app.lower('x')", FUNCTION, "", 0 },
	{ "with PostgreSQL's", "SELECT PG_CATALOG.lower('x'), pg_catalog.my_fn()", FUNCTION, "", 0 },
	{ "in a condition", "SELECT 1 FROM t JOIN u ON my_fn(t.a, u.b)", FUNCTION, "", 0 },
	{ "behind ON CONFLICT's word", "INSERT INTO t SELECT 1 FROM t JOIN u ON conflict(t.a)", FUNCTION, "", 0 },
	{ "behind DISTINCT ON", "SELECT DISTINCT ON (a) my_fn(a) FROM t", FUNCTION, "", 0 },
	{ "behind OPERATOR", "SELECT 1 OPERATOR(pg_catalog.+) my_fn(a)", FUNCTION, "", 0 },
	{ "as a table", "SELECT * FROM my_fn(1) AS x (a int)", FUNCTION, "", 0 },
	{ "in a WITH", "WITH a AS (SELECT b, my_fn(c)) SELECT 1", FUNCTION, "", 0 },
	{ "behind a WITH", "WITH a AS (SELECT 1) SELECT x, my_fn(c)", FUNCTION, "", 0 },
	{ "behind a keyword that is none of the reserved", "SELECT 1 AT TIME ZONE my_fn(1)", FUNCTION, "", 0 },
	{ "that runs a text", "SELECT query_to_xml('SELECT 1', true, true, '')", CODE | FUNCTION, "", 0 },
	{ "a column of an expression", "SELECT (f.g).h FROM f", FUNCTION, "", 0 },
	{ "dblink's", "SELECT dblink('c', 'SELECT 1')", CODE | FUNCTION, "", 0 },
	{ "dblink's connection", "SELECT dblink_connect('c', 'dbname=app')", LOAD | FUNCTION, "", 0 },
	{ "a replication slot", "SELECT pg_create_physical_replication_slot('s', false, true)", SLOT | FUNCTION, "",
	  0 },
	{ "none any more", "SELECT pg_drop_replication_slot('s')", SLOT, "", 0 },
	{ "a seed", "SELECT setseed(0.5)", SEED | FUNCTION, "", 0 },
	{ "a random number", "SELECT random(), pg_catalog.\"random_normal\"(0, 1)", SEED, "", 0 },
	{ "a seed that is SET", "SET seed = 0.5", SETTING | SEED, "", 0 },
	{ "a sequence called like a column", "SELECT ('s'::regclass).currval", SEQUENCE | FUNCTION, "", 0 },
	{ "an identifier with escapes", "SELECT U&\"set\\005fconfig\"('a', 'b', false)", UNICODE, "", 0 },
	{ "with other escapes", "SELECT U&\"set!005fconfig\" UESCAPE '!' ('a', 'b', false)", UNICODE, "", 0 },
	{ "that is no function", "SELECT * FROM U&\"!0074\" UESCAPE '!' WHERE (true)", UNICODE & ~LOST, "", 0 },
	{ "with none", "SELECT U&\"abs\"(1)", UNICODE & ~LOST, "", 0 },
	{ "with none, and set_config", "SELECT U&\"set_config\"('a.b', 'c', false)", UNICODE & ~LOST, "a.b ", 0 },
	/* How PostgreSQL reads texts. */
	{ "nested comments", "/* /* */ ; SET a = 1; */ SELECT 1", 0, "", 0 },
	{ "a slash does not end one", "/*/ ; SET a = 1 /*/ */ */ SELECT 1", 0, "", 0 },
	{ "it ends", "/***/ SET a = 1", SETTING, "", 0 },
	{ "operators and comments", "SELECT 1 +/* ; SET a = 1 */ 2 *--; SET a = 1\n 3 @/**/ 4", 0, "", 0 },
	{ "a carriage return ends a line", "SELECT 1 --x\r;SET a = 1", SETTING, "", 0 },
	{ "doubled quotes", "SELECT '''; SET a = 1; ''', \"\"\"; SET a = 1 \"\"\"", 0, "", 0 },
	{ "a backslash is a character", "SELECT '\\'; SET a = 1 --'", SETTING, "", 0 },
	{ "but in E strings", "SELECT E'\\'; SET a = 1 --'", 0, "", 0 },
	{ "also on their next lines", "SELECT E'x' -- \n '\\'; SET a = 1 --'", 0, "", 0 },
	{ "not on the same line", "SELECT E'x' '\\'; SET a = 1 --'", SETTING, "", 0 },
	{ "nor behind a comment", "SELECT E'x' /*\n*/ '\\'; SET a = 1 --'", SETTING, "", 0 },
	{ "a word that ends in e has none", "SELECT 1 as type'\\'; SET a = 1 --'", SETTING, "", 0 },
	{ "doubled backslashes", "SELECT e'\\\\'; SET a = 1 --'", SETTING, "", 0 },
	{ "B, X, N, U& have none", "SELECT b'\\', x'\\', n'\\', u&'\\'; SET a = 1 --'", SETTING, "", 0 },
	{ "U& is an operator, too", "SELECT u& 'x'; SET a = 1 --'", SETTING, "", 0 },
	{ "dollar quotes", "SELECT $$; SET a = 1; $$, $a$; SET a = 1; $b$ $$ $ $a $a$", 0, "", 0 },
	{ "they end", "SELECT $a$ $$a$; SET a = 1", SETTING, "", 0 },
	{ "parameters are none", "SELECT $1$1; SET a = 1; $1$", SETTING, "", 0 },
	{ "nor are dollars in words", "SELECT a$b$ ; SET a = 1; SELECT $b$ $b$", SETTING, "", 0 },
	{ "tags have case", "SELECT $a$ $A$ ; SET a = 1; $a$", 0, "", 0 },
	{ "letters beyond ASCII", "SELECT \xc3\xa4set, $\xc3\xa4$ ; SET a = 1 $\xc3\xa4$", 0, "", 0 },
	{ "a string that does not end", "SELECT 'a", ALL, "", 0 },
	{ "a comment that does not", "SELECT 1 /* /* */", ALL, "", 0 },
	{ "an identifier", "SELECT \"a", ALL, "", 0 },
	{ "a dollar quote", "SELECT $a$ $a", ALL, "", 0 },
	{ "an escape", "SELECT E'\\", ALL, "", 0 },
	{ "a tag too long to remember", "SELECT $" NAME60 "xyz$ $" NAME60 "xyz$", ALL, "", 0 },
	{ "one that fits", "SELECT $" NAME60 "xy$ $" NAME60 "xy$", 0, "", 0 },
	/* standard_conforming_strings = off */
	{ "backslashes count", "SELECT '\\'; SET a = 1 --'", 0, "", OFF },
	{ "in N'', too", "SELECT N'\\'; SET a = 1 --'", 0, "", OFF },
	{ "not in B''", "SELECT B'\\'; SET a = 1 --'", SETTING, "", OFF },
	{ "B'' has no doubled quotes", "SELECT B'1''\\'; SET a = 1 --'", 0, "", OFF },
	{ "not in identifiers", "SELECT \"\\\"; SET a = 1 --\"", SETTING, "", OFF },
	/* Encodings whose second bytes may be a backslash, or a letter. */
	{ "half a letter is no backslash", "SELECT E'\x81\\'; SET a = 1 --'", SETTING, "", GBK },
	{ "otherwise it is one", "SELECT E'\x81\\'; SET a = 1 --'", 0, "", 0 },
	{ "a backslash before a letter", "SELECT E'\\\x81\\'; SET a = 1 --'", SETTING, "", GBK },
	{ "half a letter is no bar", "SELECT \x81|my_fn(1)", FUNCTION, "", GBK },
	{ "names that are two letters", "SELECT \x81|lower(1)", FUNCTION, "", GBK },
	{ "otherwise they are not", "SELECT \x81|lower(1)", 0, "", 0 },
	{ "Japan's letters of one byte", "SELECT E'\xb1\\'; SET a = 1 --'", 0, "", SJIS },
	{ "Japan's letters of two", "SELECT E'\xe1\\'; SET a = 1 --'", SETTING, "", SJIS },
	{ "names that can't be folded", "SET a.\x81\x41 = 1", SETTING | LOST, "", GBK },
};

static void
describe(char *into, size_t size, const struct scan *s)
{
	into[0] = '\0';
	for (uint32_t i = 0; i < s->name_count; i++) {
		strncat(into, s->names[i], size - strlen(into) - 1);
		strncat(into, " ", size - strlen(into) - 1);
	}
}

static void
feed_copy(struct scan *s, const char *sql, size_t len)
{
	char *exact = malloc(len > 0 ? len : 1);

	cr_assert_not_null(exact);
	memcpy(exact, sql, len);
	scan_feed(s, exact, len);
	memset(exact, 'x', len);
	free(exact);
}

static const struct {
	const char *sql;
	uint32_t want; /* of SCAN_INSERT, SCAN_DEFAULTS */
} writing[] = {
	{ "SELECT 1", 0 },
	{ "INSERT INTO t VALUES (1)", SCAN_INSERT | SCAN_DEFAULTS },
	{ "INSERT INTO t VALUES (1) RETURNING id", SCAN_DEFAULTS },
	{ "INSERT INTO t VALUES (1); UPDATE u SET a = 1 RETURNING id", SCAN_INSERT | SCAN_DEFAULTS },
	{ "INSERT INTO t VALUES (1); INSERT INTO u VALUES (1) RETURNING id", SCAN_INSERT | SCAN_DEFAULTS },
	{ "UPDATE u SET a = 1 RETURNING id; INSERT INTO t VALUES (1)", SCAN_INSERT | SCAN_DEFAULTS },
	{ "WITH a AS (INSERT INTO t VALUES (1) RETURNING id) SELECT * FROM a", SCAN_DEFAULTS },
	{ "EXPLAIN ANALYZE INSERT INTO t VALUES (1)", SCAN_DEFAULTS },
	{ "PREPARE a AS INSERT INTO t VALUES (1)", SCAN_DEFAULTS },
	{ "COPY t FROM STDIN", SCAN_DEFAULTS },
	{ "MERGE INTO t USING u ON a = b WHEN NOT MATCHED THEN INSERT VALUES (1)", SCAN_DEFAULTS },
	{ "UPDATE t SET a = 1", 0 },
};

Test(scan, what_may_ask_a_sequence_for_a_default)
{
	struct scan s;

	EACH(row, writing)
		cr_expect_eq(scan_text(&s, 0, row->sql, strlen(row->sql)) & (SCAN_INSERT | SCAN_DEFAULTS), row->want,
			     "%s", row->sql);
}

Test(scan, what_is_not_said_to_be_temporary)
{
	enum { BOTH = SCAN_LASTING | SCAN_TABLE };
	static const struct {
		const char *sql;
		uint32_t want;
	} made[] = { { "CREATE TABLE temp (a int)", BOTH },
		     { "SELECT 1 AS v INTO made", BOTH },
		     { "SELECT 1 AS v INTO TEMP made", 0 },
		     { "WITH x AS (INSERT INTO t VALUES (1) RETURNING v) SELECT v FROM x", 0 },
		     { "CREATE TEMP TABLE t (a int)", 0 },
		     { "create /* a */ or replace local temporary view v AS SELECT 1", 0 },
		     { "CREATE TEMP TABLE t (a int); CREATE INDEX ON t (a)", SCAN_LASTING },
		     { "CREATE UNIQUE INDEX i ON t (a)", SCAN_LASTING },
		     { "CREATE UNLOGGED TABLE t (temp int)", BOTH },
		     { "CREATE \"temp\" TABLE", BOTH },
		     { "CREATE", BOTH },
		     { "CREATE OR", BOTH },
		     { "EXPLAIN (ANALYZE) CREATE TABLE t AS SELECT 1", BOTH },
		     { "EXPLAIN ANALYZE CREATE MATERIALIZED VIEW t AS SELECT 1", BOTH },
		     { "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", 0 },
		     { "SELECT 1 INTO TEMP t", 0 } };
	struct scan s;

	EACH(row, made)
		cr_expect_eq(scan_text(&s, 0, row->sql, strlen(row->sql)) & BOTH, row->want, "%s", row->sql);
}

Test(scan, texts)
{
	EACH(row, rows) {
		char names[SCAN_NAMES_MAX * (SCAN_WORD_MAX + 1) + 1];
		struct scan s;
		uint32_t flags = scan_text(&s, row->options, row->sql, strlen(row->sql));

		describe(names, sizeof(names), &s);
		cr_expect_eq(flags & ~(uint32_t)(SCAN_INSERT | SCAN_DEFAULTS | SCAN_LASTING | SCAN_TABLE),
			     (uint32_t)row->want & ~(uint32_t)(SCAN_INSERT | SCAN_DEFAULTS | SCAN_LASTING | SCAN_TABLE),
			     "%s: %#x instead of %#x: %s", row->rule, flags, row->want, row->sql);
		if (row->want != ALL)
			cr_expect_str_eq(names, row->names, "%s: %s", row->rule, names);
	}
}

/* Returns what m has kept of SQL like this, or NULL. */
static struct scanned_sql *
check_remembered(struct scan_cache *m, unsigned options, const char *sql)
{
	char want_names[SCAN_NAMES_MAX * (SCAN_WORD_MAX + 1) + 1], names[sizeof(want_names)];
	struct scan want, s;
	struct scanned_sql *kept;

	scan_text(&want, options, sql, strlen(sql));
	describe(want_names, sizeof(want_names), &want);
	memset(&s, 'x', sizeof(s));
	kept = scan_text_cached(m, &s, options, sql, strlen(sql));
	describe(names, sizeof(names), &s);
	cr_expect(s.flags == want.flags && s.hints == want.hints && s.first == want.first, "%s: %#x", sql, s.flags);
	cr_expect_str_eq(names, want_names, "%s", sql);
	return kept;
}

Test(scan, what_is_remembered_is_what_was_scanned)
{
	static struct scan_cache m;

	EACH(row, rows) {
		bool is_kept = false;
		struct scan s;

		for (int round = 0; round < 4; round++)
			is_kept = check_remembered(&m, row->options, row->sql) != NULL;
		scan_text(&s, row->options, row->sql, strlen(row->sql));
		cr_expect(is_kept || s.name_count > 0 || s.flags == ALL || strlen(row->sql) < SCAN_CACHE_SQL_MIN ||
			      strlen(row->sql) > SCAN_CACHE_SQL_MAX,
			  "%s", row->sql);
		cr_expect_not(is_kept && s.name_count > 0, "%s", row->sql);
	}
}

/* like is scanned after sql was remembered, both behind other statements. */
static const struct like_row {
	const char *rule, *sql, *like;
	bool is_like;
	unsigned options;
} likes[] = {
	{ "numbers", "SELECT 1 FROM t LIMIT 2", "SELECT 12345 FROM t LIMIT 678", true, 0 },
	{ "with a dot", "SELECT 1.5, .5", "SELECT 10.77, .125", true, 0 },
	{ "with letters", "SELECT 1.5e3", "SELECT 0.7e3", false, 0 },
	{ "behind everything", "UPDATE t SET a=a+5,b=x[2] WHERE(c>3)AND d=-4;",
	  "UPDATE t SET a=a+66,b=x[7] WHERE(c>888)AND d=-99;", true, 0 },
	{ "no number is none", "SELECT 1;", "SELECT ;", false, 0 },
	{ "a sign is none", "SELECT 1", "SELECT -1", false, 0 },
	{ "a comment is none", "SELECT -1", "SELECT --1", false, 0 },
	{ "more SQL behind it", "SELECT 1", "SELECT 1; SET a = 1", false, 0 },
	{ "less of it", "SELECT 1;", "SELECT 1", false, 0 },
	{ "parts of words", "SELECT a1", "SELECT a2", false, 0 },
	{ "parameters", "SELECT $1", "SELECT $2", false, 0 },
	{ "in a comment", "SELECT /* 1 */ 2", "SELECT /* 2 */ 2", false, 0 },
	{ "in quotes", "SELECT \" 1\"", "SELECT \" 2\"", false, 0 },
	{ "strings", "SELECT f('a', 'b')", "SELECT f('', 'c d; SET 5 --')", true, 0 },
	{ "at the end", "DELETE FROM t WHERE a = 'b'", "DELETE FROM t WHERE a = '\xd0\xb0'", true, 0 },
	{ "one that may name a schema", "SET LOCAL search_path = 'a'", "SET LOCAL search_path = 'pg_temp'", false, 0 },
	{ "with underscores", "SELECT 'a'", "SELECT 'a_b_pg_tem'", true, 0 },
	{ "that names it", "SELECT 'a_b'", "SELECT 'a_b_PG_temp_c'", false, 0 },
	{ "that was one which names it", "SELECT 'pg_temp'", "SELECT 'a'", false, 0 },
	{ "with quotes", "SELECT 'a'", "SELECT 'it''s'", false, 0 },
	{ "quotes in one that is remembered", "SELECT 'it''s'", "SELECT 'ab''s'", false, 0 },
	{ "with backslashes", "SELECT 'a'", "SELECT 'a\\'", false, 0 },
	{ "backslashes in another one", "SELECT E'\\n', 1", "SELECT E'\\n', 2", false, 0 },
	{ "with escapes", "SELECT E'a'", "SELECT E'b'", false, 0 },
	{ "no end", "SELECT 'a' || f(1)", "SELECT 'a || f(1)", false, 0 },
	{ "on more lines", "SELECT 'a' 'b'", "SELECT 'a'\n'b'", false, 0 },
	{ "a string, and a number behind it", "SELECT 'a'1", "SELECT 'a'2", false, 0 },
	{ "SQL in that number's place", "SELECT 'a'1'b'", "SELECT 'a'; SET a = 1; SELECT 'b'", false, 0 },
	{ "dollar quotes", "SELECT $$1$$", "SELECT $$2$$", false, 0 },
	{ "behind them a number with letters, which hide a quote from some", "SELECT $$a$$1_b$$, 2",
	  "SELECT $$a$$1_b$$, 3456", false, 0 },
	{ "a language", "CREATE FUNCTION f() LANGUAGE 'sql' AS 'x'", "CREATE FUNCTION f() LANGUAGE 'c' AS 'x'", false,
	  0 },
	{ "a name of set_config()", "SELECT set_config('a', '1', false)", "SELECT set_config('seed', '1', false)",
	  false, 0 },
	{ "its value", "SELECT set_config('a', '1', false)", "SELECT set_config('a', 'b', false)", true, 0 },
	{ "code", "DO 'select 1'", "DO 'select 2'", false, 0 },
	{ "without an end", "SELECT 1, 'a", "SELECT 2, 'a", false, 0 },
	{ "backslashes count", "SELECT 1", "SELECT 2", false, OFF },
	{ "another encoding", "SELECT 'a'", "SELECT 'b'", false, GBK },
	{ "far behind", "SELECT '" NAME60 NAME60 "', 1, " NAME60 NAME60 NAME60 NAME60 NAME60 NAME60,
	  "SELECT '', 2, " NAME60 NAME60 NAME60 NAME60 NAME60 NAME60, true, 0 },
};

Test(scan, sql_that_is_like_what_is_remembered)
{
	static struct scan_cache m;

	EACH(r, likes) {
		static const char behind[] = "ROLLBACK; BEGIN; ";
		const struct like_row *row = r;
		char sql[1024], like[1024];
		struct scanned_sql *kept;

		snprintf(sql, sizeof(sql), "%s%s", behind, row->sql);
		snprintf(like, sizeof(like), "%s%s", behind, row->like);
		scan_cache_fini(&m);
		check_remembered(&m, row->options, sql);
		kept = check_remembered(&m, row->options, sql);
		cr_expect_eq(kept != NULL && check_remembered(&m, row->options, like) == kept, row->is_like, "%s",
			     row->rule);
	}
}

/* It is compared as it stands. */
Test(scan, short_sql_is_like_itself)
{
	static struct scan_cache m;
	struct scanned_sql *kept;

	check_remembered(&m, 0, "SELECT 'a', 1");
	kept = check_remembered(&m, 0, "SELECT 'a', 1");
	cr_expect_neq(kept, NULL);
	cr_expect_eq(check_remembered(&m, 0, "SELECT 'a', 1"), kept);
	cr_expect_eq(check_remembered(&m, 0, "SELECT 'b', 1"), NULL);
}

/* As many numbers as are noted, and one more. */
Test(scan, sql_with_many_literals)
{
	static struct scan_cache m;
	static char sql[2 * SCAN_LITERALS_MAX + 64];

	for (size_t count = SCAN_LITERALS_MAX; count <= SCAN_LITERALS_MAX + 1; count++) {
		struct scanned_sql *kept;
		size_t len = (size_t)sprintf(sql, "SELECT 'a' || b");

		for (size_t i = 1; i < count; i++)
			len += (size_t)sprintf(sql + len, "%c%zu", "+-"[i * i % 7 % 2], i % 10);
		check_remembered(&m, 0, sql);
		kept = check_remembered(&m, 0, sql);
		cr_expect_eq(kept != NULL, count == SCAN_LITERALS_MAX);
		memcpy(sql, "SELECT 'c'", 10);
		sql[len - 1] = '7';
		cr_expect_eq(check_remembered(&m, 0, sql), kept);
	}
}

static size_t
put_list(char *sql, const char *begin, const char *row, const char *between, const char *end, size_t count)
{
	size_t len = (size_t)sprintf(sql, "%s", begin);

	for (size_t i = 0; i < count; i++) {
		len += (size_t)sprintf(sql + len, "%s", i > 0 ? between : "");
		for (const char *p = row; *p != '\0'; p++)
			len += (size_t)sprintf(sql + len, *p == '#' ? "%zu" : "%.0zu%c", *p == '#' ? i * 37 % 1000 : 0,
					       *p);
	}
	return len + (size_t)sprintf(sql + len, "%s", end);
}

/* Lists and rows of any number, of two at least, are alike where their fingerprints are. */
Test(scan, lists_of_any_length)
{
	static const struct {
		const char *begin, *row, *between, *end;
		bool is_any;
	} lists[] = {
		{ "SELECT a FROM t WHERE b IN (", "#", ", ", ") LIMIT 5", true },
		{ "SELECT a FROM t WHERE b IN (", "#", ",", ")", true },
		{ "SELECT a FROM t WHERE b in (", "'a#'", ", ", ")", true },
		{ "SELECT a FROM t WHERE b NOT IN ('", "a#", "', '", "') AND c = 1", true },
		{ "SELECT ARRAY[", "#", ", ", "]", true },
		{ "INSERT INTO t VALUES (", "#, 'name #', #", "), (", ")", true },
		{ "INSERT INTO t VALUES (", "#, 'a name of more than sixteen bytes, #', #", "), (", ")", true },
		{ "INSERT INTO t VALUES (", "'a_#', #, 'a name_of', #1234567890123456", "), (", ")", true },
		{ "INSERT INTO t VALUES (", "#, #, #, #, #, #, #, #, #, #, #, #, #, #, #, #", "), (", ")", true },
		{ "INSERT INTO t VALUES (", "#, #, #, #, #, #, #, #, #, #, #, #, #, #, #, #, #", "), (", ")", true },
		{ "INSERT INTO t VALUES (", "#,          #", "), (", ")", true },
		{ "INSERT INTO t (a, b) VALUES\n (", "'#','#'", "),(", ") RETURNING a", true },
		{ "INSERT INTO t (a, b) VALUES (", "#, now()", "), (", ")", false },
		{ "SELECT a FROM t GROUP BY ", "#", ", ", "", false },
		{ "SELECT coalesce(", "#", ", ", ")", false },
		{ "SELECT a FROM t WHERE b IN (", "#", ", ", ", c)", false },
		{ "SELECT a FROM t WHERE b IN ((", "#, #", "), (", "))", false },
		{ "SELECT a IN (", "#, #", "), (", ")", false },
		{ "SELECT a = ANY(ARRAY[", "#", ", ", "])", true },
		{ "INSERT INTO t VALUES (", "#", "), (", ")", true },
		{ "SELECT \"in\"(", "#", ", ", ")", false },
		{ "SELECT main (", "#", ", ", ")", false },
		{ "SELECT a FROM t WHERE b IN (", "-#", ", ", ")", false },
	};
	static const size_t counts[] = { 2, 3, 4, 5, 50, 400 };
	static struct scan_cache m;
	static char sql[65536];

	for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++) {
		struct scanned_sql *kept = NULL;

		scan_cache_fini(&m);
		for (unsigned round = 0; round < 2; round++) {
			put_list(sql, lists[l].begin, lists[l].row, lists[l].between, lists[l].end, 4);
			kept = check_remembered(&m, 0, sql);
		}
		cr_assert_neq(kept, NULL, "%s", sql);
		for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			struct scanned_sql *like;

			put_list(sql, lists[l].begin, lists[l].row, lists[l].between, lists[l].end, counts[c]);
			like = check_remembered(&m, 0, sql);
			if (lists[l].is_any || counts[c] == 4)
				cr_expect_eq(like, kept, "%s", sql);
			else
				cr_expect_neq(like, kept, "%s", sql);
		}
	}
}

/* Behind a row that is another, and behind one that begins like the others. */
Test(scan, rows_that_are_not_alike)
{
	static const char *const texts[] = {
		"INSERT INTO t VALUES (1, 2), (3, 4), (5, 6), (7, DEFAULT)",
		"INSERT INTO t VALUES (1, 2), (3, 4), (5, 6), (7, 8, 9)",
		"INSERT INTO t VALUES (1, 2), (3, 4), (5, 6), ('a', 8)",
		"INSERT INTO t VALUES (1, 2), (3, 4), (5, 6), (f(7), 8)",
		"INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)); SET a = 1",
		"INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'pg_temp.e'), (6, 'f'), (7, 'g')",
		"INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e\\'), (6, '), (7, ') + a(), 'g')",
		"INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd''e'), (5, 'f'), (6, 'g'), (7, 'h')",
		"INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd') , (5, 'f'), (6, setval('g', 1)), (7, 'h')",
		"INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (, 'd'), (5, 'f'), (6, 'g'), (7, 'h')",
		"SELECT a FROM t WHERE b IN (1, 2, 3, 4, pg_advisory_lock(5))",
		"SELECT a FROM t WHERE b IN (1, 2, 3, 4, 'pg_temp')",
		"SELECT a FROM t WHERE b IN ('1', '2', '3', 'it''s')",
		"SELECT a FROM t WHERE b IN ('1', '2', '3', E'\\'')",
		"SELECT a FROM t WHERE b IN (1, 2, 3) OR set_config('a', 'b', false) IN ('1', '2', '3')",
		"SELECT set_config('a.b', 'c', true) FROM t WHERE b IN (1, 2, 3)",
		"PREPARE TRANSACTION 'a'; SELECT 1 IN (1, 2, 3)",
	};
	static struct scan_cache m;

	check_remembered(&m, 0, "INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)");
	check_remembered(&m, 0, "INSERT INTO t VALUES (1, 2), (3, 4), (5, 6)");
	check_remembered(&m, 0, "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
	check_remembered(&m, 0, "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
	check_remembered(&m, 0, "SELECT a FROM t WHERE b IN (1, 2, 3, 4)");
	check_remembered(&m, 0, "SELECT a FROM t WHERE b IN (1, 2, 3, 4)");
	for (unsigned round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
			check_remembered(&m, 0, texts[i]);
}

/* With its values, and where what it is like is forgotten, or has other values in the places that are looked at. */
Test(scan, the_same_text)
{
	static struct scan_cache m;
	static char sql[SCAN_CACHE_SQL_MAX + 1], other[sizeof(sql)];
	struct scanned_sql *kept;

	put_list(sql, "SELECT a FROM t WHERE b IN (", "#", ", ", ") ORDER BY a, b, c, d, e, f, g LIMIT 5", 300);
	strcpy(other, sql);
	memcpy(strstr(other, "37"), "73", 2);
	for (unsigned round = 0; round < 4; round++)
		check_remembered(&m, 0, sql);
	cr_expect_eq(m.exact_bytes, strlen(sql));
	kept = check_remembered(&m, 0, sql);
	cr_expect_eq(check_remembered(&m, 0, other), kept);
	cr_expect_eq(check_remembered(&m, 0, sql), kept);
	cr_expect_eq(m.exact_bytes, strlen(sql));
	check_remembered(&m, OFF, sql);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(other, sizeof(other), "SELECT a%u FROM t WHERE %08000u = b AND c = 1", i, i);
		check_remembered(&m, 0, other);
		check_remembered(&m, 0, other);
		check_remembered(&m, 0, other);
		cr_assert_leq(m.exact_bytes, SCAN_CACHE_EXACT * SCAN_CACHE_SQL_MAX);
	}
	check_remembered(&m, 0, sql);
	scan_cache_fini(&m);
	cr_expect_eq(m.exact_bytes, 0);
}

/* Those that are kept take so many bytes at most, whatever comes; what comes often is kept again. */
Test(scan, what_is_remembered_is_bounded)
{
	static struct scan_cache m;
	char sql[SCAN_CACHE_SQL_MAX];
	size_t len = 0;

	for (unsigned i = 0; i < 1000; i++) {
		len = (size_t)sprintf(sql, "SELECT v%u FROM t WHERE ", i);
		memset(sql + len, 'x', 4000);
		memcpy(sql + len + 4000, " = 1", 5);
		check_remembered(&m, 0, sql);
		cr_expect_neq(check_remembered(&m, 0, sql), NULL, "%u", i);
		cr_assert_leq(m.bytes, SCAN_CACHE_BYTES);
	}
	cr_expect_neq(check_remembered(&m, 0, sql), NULL);
	scan_cache_fini(&m);
	cr_expect_eq(m.bytes, 0);
}

/* As many texts in turn as an application has. */
Test(scan, many_in_turn_are_remembered)
{
	static struct scan_cache m;
	unsigned kept = 0;
	char sql[512];

	for (unsigned round = 0; round < 4; round++) {
		kept = 0;
		for (unsigned i = 0; i < 300; i++) {
			sprintf(sql,
				"SELECT \"table_%u\".\"id\", \"table_%u\".\"name\", \"table_%u\".\"email\" FROM "
				"\"table_%u\" "
				"WHERE \"table_%u\".\"id\" = %u LIMIT 21",
				i, i, i, i, i, 1000 * round + i);
			kept += check_remembered(&m, 0, sql) != NULL;
		}
	}
	cr_expect_geq(kept, 290, "%u of 300", kept);
}

/* What begins alike is told apart, and remembered beside each other. */
Test(scan, as_much_is_remembered_as_there_is_room_for)
{
	static struct scan_cache m;
	struct scanned_sql *kept[SCAN_CACHE_PLACES + 1];
	char sql[32];

	for (int i = 0; i <= SCAN_CACHE_PLACES; i++) {
		snprintf(sql, sizeof(sql), "SELECT 1, a_long_name_%d FROM t", i);
		check_remembered(&m, 0, sql);
		kept[i] = check_remembered(&m, 0, sql);
	}
	cr_expect_eq(kept[0], kept[SCAN_CACHE_PLACES]);
	for (int i = 1; i <= SCAN_CACHE_PLACES; i++) {
		snprintf(sql, sizeof(sql), "SELECT 2, a_long_name_%d FROM t", i);
		cr_expect_eq(check_remembered(&m, 0, sql), kept[i], "%s", sql);
	}
}

/* What stands before a literal tells which kind it is: here nothing does. */
Test(scan, sql_that_begins_with_a_literal)
{
	static const char *const texts[] = { "12345 and so on, and on", "'a string', and so on",
					     "1, 2, 3, 4, 5, 6, 7" };
	static struct scan_cache m;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *copy = strdup(texts[i]);

		for (unsigned round = 0; round < 3; round++)
			cr_expect_not(check_remembered(&m, 0, copy));
		free(copy);
	}
}

Test(scan, sql_that_comes_once_is_not_remembered)
{
	static struct scan_cache m;
	char sql[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(sql, sizeof(sql), "SELECT a%d", i);
		cr_expect_not(check_remembered(&m, 0, sql));
	}
}

static void
check_cut(const struct row *row, const struct scan *whole, size_t first, size_t step)
{
	size_t len = strlen(row->sql);
	char want[SCAN_NAMES_MAX * (SCAN_WORD_MAX + 1) + 1], got[sizeof(want)];
	struct scan s, copy;

	memset(&s, 'x', sizeof(s));
	scan_init(&s, row->options);
	feed_copy(&s, row->sql, first);
	for (size_t at = first; at < len; at += step) {
		feed_copy(&s, row->sql + at, at + step < len ? step : len - at);
		copy = s; /* may be copied */
		memset(&s, 'x', sizeof(s));
		s = copy;
	}
	cr_expect_eq(scan_end(&s), whole->flags, "%s: cut at %zu, then every %zu: %#x", row->rule, first, step,
		     s.flags);
	describe(want, sizeof(want), whole);
	describe(got, sizeof(got), &s);
	cr_expect_str_eq(got, want, "%s: cut at %zu, then every %zu", row->rule, first, step);
}

Test(scan, how_a_text_is_cut_does_not_matter)
{
	EACH(row, rows) {
		size_t len = strlen(row->sql);
		struct scan whole;

		scan_text(&whole, row->options, row->sql, len);
		for (size_t first = 0; first <= len; first++)
			check_cut(row, &whole, first, len > 0 ? len : 1);
		for (size_t step = 1; step <= 20; step++)
			check_cut(row, &whole, 0, step);
	}
}

/* Long lists of numbers are skipped sixteen bytes at once; byte by byte they are not. */
Test(scan, what_comes_after_a_list_of_numbers)
{
	static const char *const lists[] = {
		"1, 22,333 ,4444,  55555, 666666 ", "1234567890123456789,",   "1,2,3,4,5,6,7,8,9,10",
		"7,                              ", "12345678901234567890 )", "1 2 3 4 5 6 7 8 9, 1e5,"
	};

	EACH(row, rows) {
		for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
			struct scan whole, bytes;
			char sql[2048];

			snprintf(sql, sizeof(sql), "WITH a (x) AS (SELECT %s%s", lists[i], row->sql);
			scan_init(&whole, row->options);
			feed_copy(&whole, sql, strlen(sql));
			scan_init(&bytes, row->options);
			for (const char *p = sql; *p != '\0'; p++)
				feed_copy(&bytes, p, 1);
			cr_expect_eq(whole.last, bytes.last, "%s", sql);
			cr_expect_eq(scan_end(&whole), scan_end(&bytes), "%s: %#x, not %#x", sql, whole.flags,
				     bytes.flags);
			cr_expect_eq(whole.hints, bytes.hints, "%s", sql);
		}
	}
}

/* As many bytes as the wide instructions take, and more, around each length that words and literals may have. */
Test(scan, long_words_and_literals)
{
	for (size_t len = 1; len < 100; len++) {
		char sql[512];
		struct scan s;

		snprintf(sql, sizeof(sql), "SELECT %.*s(1), '%.*spg_temp%.*s'", (int)len, NAME60 NAME60, (int)len,
			 NAME60 NAME60, (int)(100 - len), NAME60 NAME60);
		cr_expect_eq(scan_text(&s, 0, sql, strlen(sql)), (uint32_t)(FUNCTION | TEMP), "%s", sql);
		snprintf(sql, sizeof(sql), "SELECT %.*s (1), '%.*spg_tamp'", (int)len, NAME60 NAME60, (int)len,
			 NAME60 NAME60);
		cr_expect_eq(scan_text(&s, 0, sql, strlen(sql)), (uint32_t)FUNCTION, "%s", sql);
	}
}

Test(scan, only_so_many_names_fit)
{
	char sql[(SCAN_NAMES_MAX + 1) * sizeof("SET a.b00 = 1;")];
	struct scan s;
	size_t len = 0;

	for (unsigned i = 0; i <= SCAN_NAMES_MAX; i++) {
		len += (size_t)snprintf(sql + len, sizeof(sql) - len, "SET a.b%u = 1;", i);
		cr_expect_eq(scan_text(&s, 0, sql, len), (uint32_t)(i < SCAN_NAMES_MAX ? SETTING : SETTING | LOST));
	}
	cr_expect_eq(s.name_count, SCAN_NAMES_MAX);
	cr_expect_str_eq(s.names[9], "a.b9");
}

Test(scan, zero_bytes_are_characters)
{
	static const char sql[] = "SELECT 'a\0b', \"c\0d\", e\0f; SET g.\0h = 1; SET \"i.j\0k\" = 1";
	struct scan s;

	cr_expect_eq(scan_text(&s, 0, sql, sizeof(sql) - 1), (uint32_t)(SETTING | LOST));
	cr_expect_eq(s.name_count, 0);
}

Test(scan, encodings)
{
	static const struct {
		const char *name;
		unsigned want;
	} encodings[] = {
		{ "UTF8", 0 },	 { "LATIN1", 0 }, { "EUC_JP", 0 },    { "JOHAB", 0 },	{ "GBK", GBK },
		{ "BIG5", GBK }, { "UHC", GBK },  { "GB18030", GBK }, { "SJIS", SJIS }, { "SHIFT_JIS_2004", SJIS },
		{ "", 0 }
	};

	EACH(row, encodings)
		cr_expect_eq(scan_encoding_option(row->name), row->want, "%s", row->name);
}

Test(scan, search_paths)
{
	cr_expect(scan_path_has_pg_temp("pg_temp", sizeof("pg_temp") - 1));
	cr_expect(scan_path_has_pg_temp("public, \"PG_Temp\"", sizeof("public, \"PG_Temp\"") - 1));
	cr_expect(scan_path_has_pg_temp("pg_tepg_temp_3", sizeof("pg_tepg_temp_3") - 1));
	cr_expect_not(scan_path_has_pg_temp("public, \"$user\", pg_tem", sizeof("public, \"$user\", pg_tem") - 1));
	cr_expect_not(scan_path_has_pg_temp("", sizeof("") - 1));
}

static const struct {
	const char *rule, *sql;
	bool is_insert;
} inserts[] = {
	{ "an INSERT may be followed by currval()", "INSERT INTO t (a) VALUES (1)", true },
	{ "white space and comments before it", " /* x */ insert into t default values", true },
	{ "the second statement", "BEGIN; INSERT INTO t VALUES (1)", true },
	{ "what it gave is returned", "INSERT INTO t (a) VALUES (1) RETURNING id", false },
	{ "no INSERT", "UPDATE t SET a = 'INSERT INTO t'", false },
};

Test(scan, inserts)
{
	EACH(row, inserts) {
		struct scan s;
		uint32_t flags = scan_text(&s, 0, row->sql, strlen(row->sql));

		cr_expect_eq((flags & SCAN_INSERT) != 0, row->is_insert, "%s", row->rule);
	}
}
