/* tests/unit/test_forbidden.c - which SQL the setting refuse is about. Links only sql/forbidden.c and sql/sql_token.c.
 */
#include "sql/forbidden.h"

#include "sql/scan.h"
#include "unit.h"

#define ALL_OF_THEM                                                                                                    \
	(FORBIDDEN_BIT(FORBIDDEN_UPDATE) | FORBIDDEN_BIT(FORBIDDEN_DELETE) | FORBIDDEN_BIT(FORBIDDEN_DDL) |            \
	 FORBIDDEN_BIT(FORBIDDEN_MULTI))

static const struct {
	enum forbidden want; /* the first of all that are found */
	const char *sql;
} rows[] = {
	{ FORBIDDEN_UPDATE, "UPDATE t SET a = 1" },
	{ FORBIDDEN_NOTHING, "update only t set a=1 where b = 2" },
	{ FORBIDDEN_UPDATE, "UPDATE t SET a = (SELECT 1 WHERE true)" },
	{ FORBIDDEN_UPDATE, "UPDATE t SET a.where = 1" },
	{ FORBIDDEN_UPDATE, "UPDATE t SET a = 1 RETURNING a AS where" },
	{ FORBIDDEN_NOTHING, "UPDATE t SET a = 1 WHERE CURRENT OF c" },
	{ FORBIDDEN_UPDATE, "/* x */ UPDATE t SET a = 1 -- WHERE true" },
	{ FORBIDDEN_UPDATE, "UPDATE t SET a = ' WHERE '" },
	{ FORBIDDEN_UPDATE, "UPDATE t SET a = $$ WHERE $$" },
	{ FORBIDDEN_DELETE, "DELETE FROM t" },
	{ FORBIDDEN_NOTHING, "DELETE FROM t WHERE true" },
	{ FORBIDDEN_DELETE, "DELETE FROM t USING u" },
	{ FORBIDDEN_UPDATE, "WITH x AS (UPDATE t SET a=1 RETURNING *) SELECT * FROM x" },
	{ FORBIDDEN_NOTHING, "WITH x AS (UPDATE t SET a=1 WHERE b RETURNING *) SELECT * FROM x" },
	{ FORBIDDEN_DELETE,
	  "WITH x(a,b) AS NOT MATERIALIZED (DELETE FROM t RETURNING 1) INSERT INTO u SELECT * FROM x" },
	{ FORBIDDEN_NOTHING, "WITH update AS (SELECT 1), delete AS (SELECT 2) SELECT * FROM update, delete" },
	{ FORBIDDEN_UPDATE, "WITH x AS (SELECT 1) UPDATE t SET a = 1 FROM x" },
	{ FORBIDDEN_NOTHING, "WITH x AS (SELECT 1) UPDATE t SET a = 1 FROM x WHERE true" },
	{ FORBIDDEN_NOTHING, "WITH RECURSIVE x AS (SELECT 1) SEARCH DEPTH FIRST BY a SET b DELETE FROM t" },
	{ FORBIDDEN_DELETE,
	  "WITH RECURSIVE x AS (SELECT 1) CYCLE a, update SET c USING update, y AS (DELETE FROM u) SELECT 1" },
	{ FORBIDDEN_DELETE, "WITH recursive AS (SELECT 1) DELETE FROM t" },
	{ FORBIDDEN_NOTHING, "EXPLAIN UPDATE t SET a = 1" },
	{ FORBIDDEN_UPDATE, "EXPLAIN ANALYZE UPDATE t SET a = 1" },
	{ FORBIDDEN_NOTHING, "EXPLAIN (ANALYZE off) UPDATE t SET a = 1" },
	{ FORBIDDEN_NOTHING, "EXPLAIN (ANALYZE 'off') UPDATE t SET a = 1" },
	{ FORBIDDEN_NOTHING, "EXPLAIN (ANALYZE \"Off\") UPDATE t SET a = 1" },
	{ FORBIDDEN_UPDATE, "EXPLAIN (ANALYZE \"on\") UPDATE t SET a = 1" },
	{ FORBIDDEN_UPDATE, "EXPLAIN (COSTS off, ANALYZE) UPDATE t SET a = 1" },
	{ FORBIDDEN_DELETE, "EXPLAIN (ANALYZE true, TIMING off) DELETE FROM t" },
	{ FORBIDDEN_DELETE, "EXPLAIN (\"analyze\") DELETE FROM t" },
	{ FORBIDDEN_NOTHING, "EXPLAIN (SELECT 1)" },
	{ FORBIDDEN_NOTHING, "EXPLAIN VERBOSE SELECT 1" },
	{ FORBIDDEN_UPDATE, "PREPARE x AS UPDATE t SET a = $1" },
	{ FORBIDDEN_DELETE, "PREPARE x (int) AS DELETE FROM t" },
	{ FORBIDDEN_NOTHING, "PREPARE TRANSACTION 'x'" },
	{ FORBIDDEN_NOTHING,
	  "MERGE INTO t USING s ON a WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN DELETE" },
	{ FORBIDDEN_NOTHING, "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1" },
	{ FORBIDDEN_NOTHING, "SELECT copy(update, set)" },
	{ FORBIDDEN_NOTHING, "SELECT * FROM t FOR UPDATE" },
	{ FORBIDDEN_UPDATE, "COPY (UPDATE t SET a=1 RETURNING a) TO STDOUT" },
	{ FORBIDDEN_NOTHING, "COPY delete FROM STDIN" },
	{ FORBIDDEN_NOTHING, "COPY alter (comment) FROM STDIN" },
	{ FORBIDDEN_DELETE, "COPY (WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x) TO STDOUT" },
	{ FORBIDDEN_NOTHING, "SELECT * FROM json_to_record('{}') AS (update int, set text)" },
	{ FORBIDDEN_NOTHING, "SELECT * FROM json_to_record('{}') AS (comment text)" },
	{ FORBIDDEN_NOTHING, "SELECT trim(delete FROM x), substring(update FROM 2) FROM y" },
	{ FORBIDDEN_DDL, "CREATE TABLE t (a int)" },
	{ FORBIDDEN_NOTHING, "CREATE TEMP TABLE t (a int)" },
	{ FORBIDDEN_DELETE, "CREATE LOCAL TEMPORARY TABLE t AS WITH x AS (DELETE FROM u RETURNING 1) SELECT * FROM x" },
	{ FORBIDDEN_NOTHING, "CREATE OR REPLACE TEMP VIEW v AS SELECT 1" },
	{ FORBIDDEN_DDL, "CREATE TEMP TABLE t (a int); DROP TABLE t" },
	{ FORBIDDEN_DDL, "SELECT 1 INTO t" },
	{ FORBIDDEN_NOTHING, "SELECT 1 INTO TEMP t" },
	{ FORBIDDEN_NOTHING, "SELECT 1 AS into FROM t" },
	{ FORBIDDEN_NOTHING, "SELECT 1 INTO LOCAL TEMP t" },
	{ FORBIDDEN_NOTHING, "WITH x AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM x" },
	{ FORBIDDEN_NOTHING, "INSERT INTO t VALUES (1)" },
	{ FORBIDDEN_DDL, "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1 AS case; UPDATE t SET a = "
			 "1; SELECT CASE WHEN true THEN 1 END; END; SELECT 1" },
	{ FORBIDDEN_DELETE, "CREATE FUNCTION f(begin atomic) RETURNS int LANGUAGE sql AS 'SELECT 1'; DELETE FROM t" },
	{ FORBIDDEN_DDL, "CREATE RULE r AS ON UPDATE TO t DO INSTEAD (UPDATE u SET a=1; DELETE FROM u)" },
	{ FORBIDDEN_DDL, "TRUNCATE t" },
	{ FORBIDDEN_DDL, "GRANT SELECT ON t TO u" },
	{ FORBIDDEN_MULTI, "SELECT 1; SELECT 2" },
	{ FORBIDDEN_NOTHING, "SELECT 1;; ;" },
	{ FORBIDDEN_NOTHING, ";" },
	{ FORBIDDEN_MULTI, "BEGIN; COMMIT" },
	{ FORBIDDEN_NOTHING, "SELECT 'a;b'" },
	{ FORBIDDEN_NOTHING, "SELECT E'\\';UPDATE t SET a=1;--'" },
	{ FORBIDDEN_NOTHING, "SELECT 'unterminated; UPDATE t SET a=1" },
	{ FORBIDDEN_UPDATE, "UPDATE t SET a = 1; SELECT * FROM t WHERE true" },
	{ FORBIDDEN_UPDATE, "SELECT * FROM t WHERE true; UPDATE t SET a = 1" },
	{ FORBIDDEN_NOTHING, "SELECT window.update FROM t WINDOW w AS (update ORDER BY set)" },
	{ FORBIDDEN_NOTHING, "INSERT INTO update SELECT 1" },
	{ FORBIDDEN_NOTHING, "LOCK t" },
	{ FORBIDDEN_NOTHING, "VACUUM t" },
	{ FORBIDDEN_DDL, "SECURITY LABEL ON TABLE t IS 'x'" },
	{ FORBIDDEN_NOTHING, "SELECT grant_it()" },
	{ FORBIDDEN_DDL, "ALTER SYSTEM SET x = 1" },
};

Test(forbidden, of_everything)
{
	EACH(row, rows)
		cr_expect_eq(forbidden_find(ALL_OF_THEM, 0, row->sql, strlen(row->sql)), row->want, "%s", row->sql);
}

Test(forbidden, only_what_is_asked_for)
{
	static const char sql[] = "UPDATE t SET a = 1; DROP TABLE t";

	cr_expect_eq(forbidden_find(0, 0, sql, sizeof(sql) - 1), FORBIDDEN_NOTHING);
	cr_expect_eq(forbidden_find(FORBIDDEN_BIT(FORBIDDEN_DELETE), 0, sql, sizeof(sql) - 1), FORBIDDEN_NOTHING);
	cr_expect_eq(forbidden_find(FORBIDDEN_BIT(FORBIDDEN_DDL), 0, sql, sizeof(sql) - 1), FORBIDDEN_DDL);
	cr_expect_eq(forbidden_find(FORBIDDEN_BIT(FORBIDDEN_MULTI), 0, sql, sizeof(sql) - 1), FORBIDDEN_MULTI);
	cr_expect_eq(forbidden_find(ALL_OF_THEM, 0, sql, sizeof(sql) - 1), FORBIDDEN_UPDATE);
}

/* How the session reads strings decides where they end. */
Test(forbidden, strings_are_read_as_the_session_reads_them)
{
	static const struct {
		const char *sql;
		unsigned options;
		enum forbidden want;
	} read[] = {
		{ "SELECT '\\'; DELETE FROM t; --'", 0, FORBIDDEN_DELETE },
		{ "SELECT '\\'; DELETE FROM t; --'", SCAN_BACKSLASH_STRINGS, FORBIDDEN_NOTHING },
		{ "SELECT E'\x95\x5c'; DELETE FROM t; --'", SCAN_ASCII_TRAIL | SCAN_SJIS_TRAIL, FORBIDDEN_DELETE },
		{ "SELECT E'\x95\x5c'; DELETE FROM t; --'", SCAN_ASCII_TRAIL, FORBIDDEN_DELETE },
		{ "SELECT E'\xb1\x5c'; DELETE FROM t; --'", SCAN_ASCII_TRAIL | SCAN_SJIS_TRAIL, FORBIDDEN_NOTHING },
		{ "SELECT E'\x95\x5c'; DELETE FROM t; --'", 0, FORBIDDEN_NOTHING },
	};

	for (size_t i = 0; i < COUNT(read); i++)
		cr_expect_eq(forbidden_find(ALL_OF_THEM & ~FORBIDDEN_BIT(FORBIDDEN_MULTI), read[i].options, read[i].sql,
					    strlen(read[i].sql)),
			     read[i].want, "%zu", i);
}

Test(forbidden, deep_parentheses_and_with)
{
	char sql[8192] = "";

	for (int i = 0; i < 200; i++)
		strcat(sql, "WITH x AS (");
	cr_expect_eq(forbidden_find(ALL_OF_THEM, 0, sql, strlen(sql)), FORBIDDEN_NOTHING);
	for (int i = 0; i < 200; i++)
		strcat(sql, ") SELECT 1");
	strcat(sql, "; DELETE FROM t");
	cr_expect_eq(forbidden_find(ALL_OF_THEM, 0, sql, strlen(sql)), FORBIDDEN_DELETE);
}
