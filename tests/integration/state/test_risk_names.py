"""A statement's risk is that of the words in it (seal/database_code.sql). Databases are made whose functions have known
effects, reached in every way that PostgreSQL stores; PostgreSQL tells what each statement touches, in a session of its own.
The verdict may never miss any of it; and each row of the closure's table is needed.

SWEEP_SECONDS: how long random databases are made (3). SWEEP_SEED: the first one's seed (1)."""

import contextlib
import os
import re
import time

import psycopg
import pytest

import riskydatabase as risky
import transport
from riskydatabase import LOCKS, SEED, SETTINGS, STATE, TEMP, WIDE
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.skipif(transport.IS_TLS, reason="nothing of it goes through pgweir")]
SECONDS = float(os.environ.get("SWEEP_SECONDS", "3"))
FIRST = int(os.environ.get("SWEEP_SEED", "1"))
CONTEXT = 1024
ANYTHING = 255


@contextlib.contextmanager
def database(postgres, name="risky", options=""):
    """Yields a superuser's cursor, and the dsn of web, who is none."""
    postgres.query(f"DROP DATABASE IF EXISTS {name}", dbname="postgres")
    postgres.query(f"CREATE DATABASE {name} {options}", dbname="postgres")
    with contextlib.closing(postgres.connect(name)) as db, db.cursor() as cursor:
        db.autocommit = True
        yield cursor, f"host={postgres.host} port={postgres.port} dbname={name} user=web password=web-secret"
    postgres.query(f"DROP DATABASE {name} WITH (FORCE)", dbname="postgres")


@pytest.fixture(scope="module")
def all_hops(postgres):
    with database(postgres) as (cursor, dsn):
        maker = risky.every_hop()
        yield cursor, risky.judge(maker, cursor, dsn)


@pytest.mark.long
@pytest.mark.sweep(keep=0)
def test_no_statement_touches_what_its_words_do_not_say(all_hops):
    cursor, judged = all_hops
    assert judged.missed(risky.names_of(cursor)) == []
    assert sum(parts != 0 for parts, _ in judged.statements.values()) > 200
    found = 0
    for parts, _ in judged.statements.values():
        found |= parts
    assert found == 255                     # each part was touched by some


def rows_of(question, part):
    """The lines of a part of the query, and what the query is without each."""
    begin = re.search(rf"\b{part}\([^()]*\) AS \( (SELECT \* FROM \( )?", question).end()
    depth, starts = 0, [begin]
    for found in re.finditer(r"\$r\$.*?\$r\$|'[^']*'|[()]|UNION ALL SELECT", question[begin:]):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth < 0 or depth == 0 and found[0].startswith("UNION"):
            starts.append(begin + found.start())
        if depth < 0:
            break
    for start, end in zip(starts, starts[1:]):
        after = question[end:]
        yield question[start:end], question[:start] + (after if start != begin else after.removeprefix("UNION ALL "))


PARTS = ("settings", "temporary_objects", "advisory_locks", "cursors", "prepared_statements", "listen", "sequences", "random_seed", "backend",
         "remote_sessions", "context", "new_code")


def parts_of(text):
    return sum(1 << PARTS.index(part) for part in text.split(", ") if part != "none")


def answered(weir, name):
    """Starts pgweir with this database, and waits for PostgreSQL's answer."""
    weir.start({f"database {name}": {"upstream": weir.upstream()}})
    weir.raw("web", name).query("SELECT 1")
    wait_until(lambda: weir.console("SHOW DATABASE_CODE")[0]["state"] != "unknown", what="an answer")


def looked_up(weir, statements):
    """What pgweir says that each of these could touch, as far as the console can be asked."""
    told = {}
    with psycopg.connect(weir.dsn("admin", "pgweir"), autocommit=True) as console:
        for sql in statements:
            quoted = sql.replace("'", "''")
            if len(quoted.encode()) < 255:
                told[sql] = parts_of(console.execute(f"SHOW DATABASE_CODE FOR '{quoted}'").fetchall()[-1][3])
    return told


@pytest.mark.sweep(keep=0)
def test_pgweir_looks_them_up_as_the_reference_does(weir, all_hops):
    cursor, judged = all_hops
    names = risky.names_of(cursor)
    answered(weir, "risky")
    told = looked_up(weir, judged.statements)
    assert [sql for sql, parts in told.items() if judged.statements[sql][0] & ~parts] == []
    assert {sql: (parts, names.risk_of(sql)) for sql, parts in told.items() if parts != names.risk_of(sql)} == {}


def test_pgweir_looks_up_odd_names(weir, postgres):
    """In quotes, not ASCII, with blanks, longer than 63 bytes."""
    with database(postgres, "odd") as (cursor, _):
        maker = risky.Maker(int(time.time()))
        for _ in range(25):
            maker.random_chain(maker.random.choice(list(risky.LEAVES)))
        statements = risky.make(maker, cursor, 4)
        names = risky.names_of(cursor)
        answered(weir, "odd")
        told = looked_up(weir, statements)
    assert {sql: (parts, names.risk_of(sql)) for sql, parts in told.items() if parts != names.risk_of(sql)} == {}


CHAIN = """CREATE TABLE orders (v int); CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'SELECT 1'; RETURN new; END $$; CREATE TRIGGER audit AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION audit_row()"""


def test_the_console_says_which_names_are_risky_and_why(weir, postgres):
    with database(postgres, "shown") as (cursor, _):
        answered(weir, "shown")
        weir.wait_log("database shown: none of its functions can change session state; nothing to wash")
        cursor.execute(CHAIN)
        client = weir.raw("web", "shown")
        wait_until(lambda: client.query("SELECT 1") and weir.console("SHOW DATABASE_CODE")[0]["name"], what="the new answer")
        weir.wait_log(" code that could change session state")
        row = next(row for row in weir.console("SHOW DATABASE_CODE") if row["name"] == "orders")
        assert (row["kind"], row["state"]) == ("relation or type", "none") and "settings" in row["in_writes"]
        assert row["because"] == "table public.orders <- trigger audit on public.orders <- function public.audit_row() <- EXECUTE"
        told = {sql: [(row["name"], row["kind"], "settings" in row["state"]) for row in weir.console(f"SHOW DATABASE_CODE FOR '{sql}'")]
                for sql in ("SELECT * FROM orders", "INSERT INTO public.orders VALUES (1)", "SELECT audit_row()", "SELECT 1", "CREATE TYPE x")}
        assert told == {"SELECT * FROM orders": [("", "this SQL", False)], "SELECT 1": [("", "this SQL", False)],
                        "INSERT INTO public.orders VALUES (1)": [("orders", "relation or type", True), ("", "this SQL", True)],
                        "SELECT audit_row()": [("audit_row", "function", True), ("", "this SQL", True)],
                        "CREATE TYPE x": [("", "opaque SQL", True)]}


# Rows that need what no test can make here; see EXPECTED and WIDE.
ELSEWHERE = re.compile(r"oid, 3, 0|3, 0, 1255|r\.objid, 1255|2605, oid, 0|2616, oid, 0|3466|amproc|3601")


@pytest.mark.sweep(keep=0)
def test_each_row_of_the_closure_is_needed(all_hops):
    cursor, judged = all_hops
    question = risky.question()
    rows = list(rows_of(question, "edge"))
    assert len(rows) > 20
    needless = [row for row, without in rows
                if not ELSEWHERE.search(row) and not judged.missed(risky.names_of(cursor, without))]
    assert needless == []


@pytest.mark.parametrize("hop", sorted(WIDE))
def test_what_makes_nearly_everything_risky(postgres, hop):
    with database(postgres, "wide") as (cursor, dsn):
        maker = risky.Maker(1, is_plain=True)
        maker.chain(LOCKS, [hop], 0)
        judged = risky.judge(maker, cursor, dsn)
        assert any(parts for parts, _ in judged.statements.values())
        assert judged.missed(risky.names_of(cursor)) == []
        planted = [row for row, without in rows_of(risky.question(), "edge")
                   if judged.missed(risky.names_of(cursor, without))]
        assert planted or "like" in hop


@pytest.mark.sweep(keep=0)
@pytest.mark.timeout(SECONDS + 600)
def test_random_databases(postgres, capsys):
    """Never a miss; most harmless statements are called harmless."""
    end, seed = time.monotonic() + SECONDS, FIRST
    seen = harmless = alarms = touched = databases = 0
    while databases == 0 or time.monotonic() < end:
        with database(postgres, "swept") as (cursor, dsn):
            maker = risky.Maker(seed)
            for _ in range(int(min(120, 12 + SECONDS * 3))):
                maker.random_chain(maker.random.choice(list(risky.LEAVES)))
            judged = risky.judge(maker, cursor, dsn, 6)
            names = risky.names_of(cursor)
        assert judged.missed(names) == [], f"seed {seed}"
        seen += len(judged.statements)
        touched += sum(parts != 0 for parts, _ in judged.statements.values())
        harmless += len(judged.harmless)
        alarms += len(judged.false_alarms(names))
        databases, seed = databases + 1, seed + 1
    with capsys.disabled():
        print(f"\n{databases} databases from seed {FIRST} on, {seen} statements, {touched} touched session state, none was missed; "
              f"{alarms} of {harmless} harmless ones were called risky")
    assert SECONDS < 60 or alarms < harmless / 2


IMMUTABLE = "CREATE FUNCTION f(x int) RETURNS int IMMUTABLE LANGUAGE {} AS $$ {} $$"
PLAIN = "CREATE FUNCTION f(x int) RETURNS int LANGUAGE {} AS $$ {} $$"
SAY = "BEGIN RETURN {}; END"
ACCESS_METHOD = ("CREATE FUNCTION f(internal) RETURNS table_am_handler LANGUAGE internal AS 'heap_tableam_handler'; "
                 "CREATE ACCESS METHOD m TYPE TABLE HANDLER f")
ITS_CODE = "CREATE OR REPLACE FUNCTION f(internal) RETURNS table_am_handler LANGUAGE c AS '$libdir/pgcrypto', 'pg_random_uuid'"
EXPECTED = {                        # what the database has, SQL, and which parts it may have among those that are asked about
    "plain and immutable": (IMMUTABLE.format("sql", "SELECT x + 1"), "SELECT f(1)", CONTEXT, CONTEXT | STATE),
    "now()": (PLAIN.format("plpgsql", SAY.format("extract(year FROM now())")), "SELECT f(1)", CONTEXT, CONTEXT),
    "array_nulls": (PLAIN.format("plpgsql", SAY.format("array_length('{1,NULL}'::int[], 1)")), "SELECT f(1)", CONTEXT, CONTEXT),
    "restricted rights": ("CREATE EXTENSION pgcrypto; REVOKE ALL ON FUNCTION digest(text, text) FROM PUBLIC", "SELECT digest('a', 'b')", CONTEXT, CONTEXT),
    "C of nobody known": ("CREATE FUNCTION f(int) RETURNS int LANGUAGE c AS '$libdir/pgcrypto', 'pg_random_uuid'", "SELECT f(1)", 511, STATE),
    "C of nobody known, immutable": ("CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE c AS '$libdir/pgcrypto', 'pg_random_uuid'", "SELECT f(1)",
                                     ANYTHING, STATE),
    "C that is known": ("CREATE EXTENSION pgcrypto", "SELECT gen_random_uuid(), digest('a', 'md5')", 0, STATE),
    "an internal alias": ("CREATE FUNCTION quiet(text, text, bool) RETURNS text IMMUTABLE LANGUAGE internal AS 'set_config_by_name'; "
                          "CREATE TABLE t (v text); CREATE INDEX ON t (quiet('a.b', v, false))", "INSERT INTO t VALUES ('A')", SETTINGS, STATE),
    "a setting of a function": (PLAIN.format("sql", "SELECT 1") + " SET search_path = pg_temp", "SELECT f(1)", TEMP | SEED, STATE),
    "a long body": (PLAIN.format("sql", "SELECT 1 -- " + "x" * 66000), "SELECT f(1)", ANYTHING, STATE),
    "SELECT INTO of a body": (PLAIN.format("sql", "SELECT 1 AS v INTO made; SELECT 1"), "SELECT f(1)", TEMP, STATE),
    **{f"SELECT INTO behind {form}": (
        "SET LOCAL check_function_bodies = off; CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(1); END'; "
        "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION e(); "
        f"CREATE FUNCTION f(x int) RETURNS int LANGUAGE sql AS $body$ SELECT {form}into made $body$", "SELECT f(1)", TEMP | LOCKS, STATE) for form in ("$$x$$", "$q$x$q$", "$1", "1", "1e5")},
    "a name with a dollar": ("CREATE FUNCTION n$1() RETURNS int LANGUAGE sql AS 'SELECT pg_advisory_lock(1); SELECT 1'; " + PLAIN.format("sql", "SELECT n$1()"),
                             "SELECT f(1)", LOCKS, STATE),
    "crosstab() in a view": ("CREATE EXTENSION tablefunc; CREATE VIEW v AS SELECT * FROM crosstab('SELECT 1, 2, 3') AS x(a int, b int)", "SELECT * FROM v",
                             ANYTHING, STATE),
    "pg_settings in a view": ("CREATE VIEW v AS SELECT * FROM pg_settings", "UPDATE v SET setting = 1", SETTINGS, STATE),
    "in a default": ("CREATE TABLE t (v int, w bool DEFAULT pg_try_advisory_lock(1))", "INSERT INTO t (v) VALUES (1)", LOCKS, STATE),
    "in a default, read": ("CREATE TABLE t (v int, w bool DEFAULT pg_try_advisory_lock(1))", "SELECT * FROM t", 0, STATE),
    "in a policy": ("CREATE TABLE t (v int); CREATE POLICY p ON t USING (pg_try_advisory_lock(1))", "SELECT * FROM t", LOCKS, STATE),
    "in a check": ("CREATE TABLE t (v int CHECK (pg_try_advisory_lock(v)))", "INSERT INTO t (v) VALUES (1)", LOCKS, STATE),
    "in a rule": ("CREATE TABLE t (v int); CREATE RULE r AS ON INSERT TO t DO ALSO SELECT pg_try_advisory_lock(new.v)", "INSERT INTO t VALUES (1)", LOCKS, STATE),
    "in a trigger's condition": ("CREATE TABLE t (v int); CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW WHEN (pg_try_advisory_lock(new.v)) "
                                 "EXECUTE FUNCTION suppress_redundant_updates_trigger()", "INSERT INTO t VALUES (1)", LOCKS, STATE),
    "in a domain's check": ("CREATE DOMAIN d AS int CHECK (pg_try_advisory_lock(VALUE))", "SELECT 1::d", LOCKS, STATE),
    "in a domain's default": ("CREATE DOMAIN d AS bool DEFAULT pg_try_advisory_lock(1); CREATE TABLE t (v int, w d)", "INSERT INTO t VALUES (1)", LOCKS, STATE),
    "in an argument's default": ("CREATE FUNCTION f(v bool DEFAULT pg_try_advisory_lock(1)) RETURNS bool LANGUAGE sql AS 'SELECT v'", "SELECT f()", LOCKS, STATE),
    "in a body of SQL's standard": ("CREATE FUNCTION f() RETURNS bool LANGUAGE sql RETURN pg_try_advisory_lock(1)", "SELECT f()", LOCKS, STATE),
    "in statistics": ("CREATE TABLE t (v int, w int); CREATE STATISTICS s ON (pg_try_advisory_lock(v)) FROM t", "SELECT * FROM t", LOCKS, STATE),
    "as an operator": ("CREATE OPERATOR ~~~ (RIGHTARG = bigint, FUNCTION = pg_try_advisory_lock)", "SELECT ~~~ 1::bigint", LOCKS, STATE),
    "as an aggregate's end": ("CREATE AGGREGATE a(bigint) (SFUNC = int8pl, STYPE = bigint, FINALFUNC = pg_try_advisory_lock)", "SELECT a(1)", LOCKS, STATE),
    "as a cast": ("CREATE TYPE k AS ENUM ('a'); CREATE CAST (bigint AS bool) WITH FUNCTION pg_try_advisory_lock(bigint)", "SELECT 1", LOCKS, STATE),
    "a foreign table": ("CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE t (v int) SERVER s",
                        "SELECT * FROM t", 512, STATE),
    "a foreign table of another kind": ("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE t (v int) SERVER s",
                                        "SELECT * FROM t", 256, STATE),
    "an extension's table": ("CREATE EXTENSION refint; CREATE TABLE t (v int); ALTER EXTENSION refint ADD TABLE t; "
                             "CREATE POLICY p ON t USING (pg_try_advisory_lock(1))", "SELECT check_foreign_key()", LOCKS, STATE),
    "a template of text search": ("CREATE FUNCTION f(internal, internal, internal, internal) RETURNS internal LANGUAGE c IMMUTABLE AS '$libdir/dict_int', "
                                  "'dintdict_lexize'; CREATE TEXT SEARCH TEMPLATE t (LEXIZE = f)", "SELECT to_tsvector('a')", ANYTHING, STATE),
    "a support function of PostgreSQL's own family": (
        "CREATE FUNCTION f(int, text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(1); RETURN 0; END'; "
        "ALTER OPERATOR FAMILY integer_ops USING btree ADD FUNCTION 1 (int, text) f(int, text)", "SELECT 1", LOCKS, STATE),
    "a conversion": ("CREATE FUNCTION f(int, int, cstring, internal, int, bool) RETURNS int LANGUAGE c STRICT AS '$libdir/utf8_and_iso8859_1', 'iso8859_1_to_utf8'; "
                     "CREATE DEFAULT CONVERSION c FOR 'LATIN1' TO 'UTF8' FROM f", "SELECT 1", 511, STATE),
    "a transform": ("CREATE TYPE k AS (v int); CREATE FUNCTION f(internal) RETURNS internal IMMUTABLE LANGUAGE c AS '$libdir/pgcrypto', 'pg_random_uuid'; "
                    "CREATE TRANSFORM FOR k LANGUAGE plpgsql (FROM SQL WITH FUNCTION f(internal)); "
                    "CREATE FUNCTION g(k) RETURNS int TRANSFORM FOR TYPE k LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", "SELECT g(NULL)", ANYTHING, STATE),
    "a table's access method": (f"{ACCESS_METHOD}; CREATE TABLE t (v int) USING m; {ITS_CODE}", "SELECT * FROM t", 511, STATE),
    "a wrapper's validator": ("CREATE FUNCTION f(text[], oid) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(1); END'; "
                              "CREATE FOREIGN DATA WRAPPER w VALIDATOR f", "CREATE SERVER s FOREIGN DATA WRAPPER w", LOCKS, STATE),
    "CASE with an operator of PostgreSQL's types": (
        "CREATE FUNCTION f(int, int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(1); RETURN true; END'; "
        "CREATE OPERATOR = (LEFTARG = int, RIGHTARG = int, FUNCTION = f)", "SELECT CASE 1 WHEN 1 THEN 1 END", LOCKS, STATE),
    "CASE with an operator of any enum": (
        "CREATE FUNCTION f(anyenum, anyenum) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(1); RETURN true; END'; "
        "CREATE OPERATOR = (LEFTARG = anyenum, RIGHTARG = anyenum, FUNCTION = f); CREATE TYPE k AS ENUM ('a'); CREATE TABLE t (v k)",
        "SELECT CASE v WHEN 'a' THEN 1 END FROM t", LOCKS, STATE),
    "ANALYZE of whatever there is": ("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN ANALYZE; END'", "SELECT f()", ANYTHING, STATE),
    "a hash function of a partitioned table": (PLAIN.format("plpgsql", "BEGIN PERFORM pg_advisory_lock(1); END"),
                                               "SELECT satisfies_hash_partition('t'::regclass, 2, 0, 5)", LOCKS, STATE),
    "code of another schema": ("CREATE SCHEMA s; CREATE FUNCTION s.f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE ''; END $$", "SELECT s.f()",
                               ANYTHING, STATE),
    "an INSERT into any table": ("CREATE TABLE t (w bool DEFAULT pg_try_advisory_lock(1)); " + PLAIN.format("plpgsql",
                                 "BEGIN EXECUTE format('INSERT INTO %I VALUES (DEFAULT)', 't'); RETURN 1; END"), "SELECT f(1)", LOCKS, STATE),
    "DO": (PLAIN.format("plpgsql", "BEGIN PERFORM pg_advisory_lock(1); END"), "DO 'BEGIN END'", LOCKS, LOCKS),
    "COMMIT PREPARED": (PLAIN.format("plpgsql", "BEGIN PERFORM pg_advisory_lock(1); END"), "PREPARE TRANSACTION 'x'", LOCKS, LOCKS),
    "crosstab()": ("CREATE EXTENSION tablefunc", "SELECT * FROM crosstab('SELECT 1, 2, 3') AS x(a int, b int)", ANYTHING, STATE),
    "a role's search_path": ("ALTER ROLE web IN DATABASE app2 SET search_path = pg_temp", "DO 'BEGIN END'", TEMP, STATE),
    "DDL with an access method": (f"{ACCESS_METHOD}; {ITS_CODE}", "CREATE TABLE x (v int)", 511, STATE),
    "table_to_xml()": ("CREATE VIEW v AS SELECT pg_try_advisory_lock(1)", "SELECT table_to_xml('v', true, true, '')", LOCKS, STATE),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("case", EXPECTED)
def test_what_no_effect_shows(postgres, case):
    code, sql, parts, among = EXPECTED[case]
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        cursor.execute("BEGIN; " + code)
        names = risky.names_of(cursor)
        cursor.execute("ROLLBACK")
    assert names.risk_of(sql) & among == parts


INSERTED = {                        # what EXECUTE runs that is nothing but an INSERT into some table, whichever that is
    "format": "format('INSERT INTO audit_%I VALUES (now(), $1)', TG_TABLE_NAME) USING to_jsonb(old)",
    "format of two names": "format('INSERT INTO %I.%1$I (v) VALUES (%L)', TG_TABLE_SCHEMA, old.v::text)",
    "format of a name that is made": "format('insert into %I select ($1).*', 'log_' || to_char(now(), 'YYYY_MM')) USING new",
    "a constant": "'INSERT INTO log VALUES ($1, $2)' USING old.v, TG_OP",
    "a name": "'INSERT INTO ' || quote_ident(TG_TABLE_NAME || '_log') || ' VALUES ($1.*)' USING old",
    "two names and a value": "'INSERT INTO audit.' || quote_ident(TG_TABLE_NAME) || ' (v) VALUES (' || quote_nullable(old.v) || ') RETURNING v' INTO v",
    "a schema": "'INSERT INTO ' || quote_ident(TG_TABLE_SCHEMA) || '.' || quote_ident('a') || ' VALUES (1)'",
}
DYNAMIC = {                         # what begins like this, and may be anything
    "text as it is": "format('INSERT INTO %I %s', 'log', q)",
    "text behind it": "format('INSERT INTO %I VALUES (1)', 'log') || q",
    "text behind a constant": "'INSERT INTO log VALUES (1)' || q",
    "text between": "'INSERT INTO log VALUES (' || q || ')'",
    "a name not quoted": "'INSERT INTO ' || TG_TABLE_NAME || ' VALUES (1)'",
    "another statement": "'INSERT INTO log VALUES (1); SELECT f()'",
    "another function": "format('SELECT %I(1)', q)",
    "a name of a function": "format('INSERT INTO log VALUES (%I(1))', q)",
    "a name of a function of a row": "format('INSERT INTO log SELECT ($1).%I', q) USING old",
    "a name in a comment": "format(E'INSERT INTO log --%I\n', q)",
    "a comment": "format('INSERT INTO log -- %L\n VALUES (1)', q)",
    "a string": "format('INSERT INTO log VALUES (''%L'')', q)",
    "a dollar quote": "format('INSERT INTO log VALUES ($q$%L$q$)', q)",
    "a string goes on": "'INSERT INTO log VALUES (1)'\n'; SELECT f()'",
    "another in its arguments": "format('INSERT INTO %I VALUES (1)', 'a') USING 1; EXECUTE q",
    "parameters in an array": "format('INSERT INTO %I VALUES (1)', VARIADIC q) || q",
    "a comment in its arguments": "format('INSERT INTO %I', a /* ' */ || ')' /* ') ; */) || q",
    "an alias": "'INSERT INTO log VALUES (1)' into$ UNION ALL SELECT q OFFSET 1",
    "in brackets": "(format('INSERT INTO %I VALUES (1)', 'a') || q)",
}
SHADOWS = ("CREATE FUNCTION format(text, name) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$",
           "CREATE FUNCTION quote_ident(name) RETURNS text LANGUAGE sql AS $$ SELECT $1::text $$",
           "CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.textcat)",
           "CREATE DOMAIN quote_ident AS text",
           "CREATE TABLE odd (quote_ident text)")


def risk_of_a_trigger(cursor, run, code=""):
    """Of an UPDATE of a table whose trigger does EXECUTE run. Not all that is read so can run with each PostgreSQL."""
    cursor.execute(f"BEGIN; SET LOCAL check_function_bodies = off; CREATE TABLE t (v text); CREATE TABLE other (v text); {code}; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
                   f"$body$ DECLARE v text; q text; BEGIN EXECUTE {run}; RETURN NULL; END $body$; "
                   "CREATE TRIGGER x AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()")
    risk = risky.names_of(cursor).risk_of("UPDATE t SET v = 1") & STATE
    cursor.execute("ROLLBACK")
    return risk


def test_a_body_whose_dynamic_sql_only_inserts_is_as_risky_as_the_tables(postgres):
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        assert {name: risk_of_a_trigger(cursor, run) for name, run in INSERTED.items()} == dict.fromkeys(INSERTED, 0)
        assert {name: risk_of_a_trigger(cursor, run) for name, run in DYNAMIC.items()} == dict.fromkeys(DYNAMIC, ANYTHING)
        run = INSERTED["format"]
        assert {risk_of_a_trigger(cursor, run, code) for code in SHADOWS} == {ANYTHING}
        assert risk_of_a_trigger(cursor, f"{run}; EXECUTE 'SELECT 1'") == ANYTHING
        assert risk_of_a_trigger(cursor, f"{run}; EXECUTE {run}; EXECUTE {run}") == 0
        assert risk_of_a_trigger(cursor, run, "ALTER TABLE other ADD w bool DEFAULT pg_try_advisory_lock(1)") == LOCKS


# Found by test_what_makes_nearly_everything_risky, and by the test above.
FOUND_ELSEWHERE = {"edge": re.compile("2616, oid, 0|oid, 3, 0|3, 0, 1255")}


@pytest.mark.long
@pytest.mark.sweep(keep=0)
@pytest.mark.parametrize("part", ["base", "tree", "edge"])
def test_each_row_of_the_query_is_needed(postgres, all_hops, part):
    """Without any of them some case above, or a statement of all hops, is not called risky."""
    cursor, judged = all_hops
    elsewhere = FOUND_ELSEWHERE.get(part)
    rows = list(rows_of(risky.question(), part))
    assert len(rows) > 8
    left = {row: without for row, without in rows
            if not (elsewhere and elsewhere.search(row)) and not judged.missed(risky.names_of(cursor, without))}
    for code, sql, parts, among in EXPECTED.values():
        if not left:
            break
        with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as own:
            own.execute("BEGIN; " + code)
            left = {row: without for row, without in left.items() if risky.names_of(own, without).risk_of(sql) & among == parts}
            own.execute("ROLLBACK")
    assert list(left) == []


def test_a_parameter_has_the_risk_of_its_type(postgres):
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        cursor.execute("BEGIN; CREATE DOMAIN d AS int CHECK (pg_try_advisory_lock(VALUE)); SELECT 'd'::regtype::oid::int, 'd[]'::regtype::oid::int")
        oid, array = cursor.fetchone()
        names = risky.names_of(cursor)
        cursor.execute("ROLLBACK")
    assert [names.risk_of("SELECT $1", [oids]) for oids in (oid, array, 23)] == [LOCKS, LOCKS, 0]


# What is to be read, each for a reason of its own; and what need not be.
CODE = {
    "a function": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "an aggregate": "CREATE AGGREGATE a(text) (SFUNC = textcat, STYPE = text)",
    "an aggregate of an extension": "CREATE EXTENSION hstore; CREATE AGGREGATE a(text, boolean) (SFUNC = set_config, STYPE = text, "
                                    "INITCOND = 'application_name'); ALTER EXTENSION hstore ADD AGGREGATE a(text, boolean)",
    "an operator": "CREATE OPERATOR ##+ (RIGHTARG = bigint, FUNCTION = pg_try_advisory_lock)",
    "a cast": "CREATE TYPE e AS ENUM (); CREATE CAST (bigint AS bool) WITH FUNCTION pg_try_advisory_lock(bigint)",
    "a foreign table": "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE t (v int) SERVER s",
    "a role's setting": "ALTER ROLE web SET search_path = public, pg_temp",
    "a default": "CREATE TABLE t (v text DEFAULT set_config('a.b', 'c', false))",
    "a view": "CREATE VIEW v AS SELECT pg_try_advisory_lock(1)",
    "a view of settings": "CREATE VIEW v AS SELECT * FROM pg_settings",
    "an extension that is not known": "CREATE EXTENSION pg_trgm; ALTER EXTENSION pg_trgm DROP FUNCTION show_trgm(text)",
    "a function of an extension": "CREATE EXTENSION pg_trgm",
    "what is in the way of one's rights": "CREATE EXTENSION hstore; REVOKE ALL ON FUNCTION hstore_send(hstore) FROM PUBLIC; "
                                          "REVOKE ALL ON FUNCTION akeys(hstore) FROM PUBLIC",
    "a function's setting": "CREATE EXTENSION hstore; ALTER FUNCTION akeys(hstore) SET search_path = pg_temp",
    "SQL of an extension": "CREATE EXTENSION citext",
    "dblink": "CREATE EXTENSION dblink",
    "postgres_fdw": "CREATE EXTENSION postgres_fdw",
}
NO_CODE = {
    "nothing": "SELECT 1",
    "tables": "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (i serial PRIMARY KEY, v e, w timestamptz DEFAULT now(), CHECK (i > 0)); "
              "CREATE TABLE u (i int REFERENCES t ON DELETE CASCADE); CREATE INDEX ON u (abs(i)); CREATE VIEW v AS SELECT lower('A') FROM u",
    "extensions": "CREATE EXTENSION hstore; CREATE EXTENSION pgcrypto; CREATE EXTENSION btree_gist; CREATE EXTENSION pg_stat_statements",
    "a role's setting": "ALTER ROLE web SET search_path = public",
}


def test_whether_there_is_any_code_to_be_read(postgres):
    def reads(code):
        with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
            cursor.execute("BEGIN; " + code)
            risky.names_of(cursor)           # there is nothing in them where none is read
            return risky.has_code(cursor)
    assert {name: reads(code) for name, code in CODE.items()} == dict.fromkeys(CODE, True)
    assert {name: reads(code) for name, code in NO_CODE.items()} == dict.fromkeys(NO_CODE, False)


# What changes the answer without a change of any function, type or table.
CHANGES = {
    "a template of text search": "CREATE TEXT SEARCH TEMPLATE x (LEXIZE = dsimple_lexize)",
    "a parser of text search": "CREATE TEXT SEARCH PARSER x (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)",
    "a conversion": "CREATE CONVERSION x FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "a transform": "CREATE TRANSFORM FOR int LANGUAGE plpgsql (FROM SQL WITH FUNCTION array_subscript_handler(internal))",
    "a table's access method": "ALTER TABLE public.users SET ACCESS METHOD x",
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_version_is_another_one_after(postgres, change):
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        def version():
            cursor.execute(risky.question("_version"))
            return cursor.fetchall()
        cursor.execute("BEGIN; CREATE ACCESS METHOD x TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE public.users (v int)")
        before = version()
        cursor.execute(CHANGES[change])
        assert version() != before
        cursor.execute("ROLLBACK")


# A locale of LATIN1 makes É and é one name.
BEYOND_ASCII = {                    # what there is beside a function that takes a lock, SQL, and one of the parts that it may have
    "a body": ("CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN É(1); END'", "SELECT f(1)", LOCKS),
    "an odd name": ("CREATE FUNCTION \"an É\"(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN é(1); END'; "
                    "CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN \"an É\"(1); END'", "SELECT f(1)", LOCKS),
    "a trigger's argument": ("CREATE TABLE t (v int); CREATE TABLE ö (v int); CREATE POLICY p ON ö USING (é(v) = 1); CREATE EXTENSION refint; CREATE TRIGGER x "
                             "AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION check_foreign_key(1, 'cascade', 'v', 'Ö', E'\\\\000')", "DELETE FROM t", LOCKS),
    "a name that is cut": (f"CREATE FUNCTION {'f' * 62}é(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN é(1); END'", f"SELECT {'F' * 62}É(1)", LOCKS),
}


@pytest.mark.parametrize("encoding", ["LATIN1", "UTF8"])
def test_names_that_are_not_ascii(postgres, encoding):
    with database(postgres, "latin", f"TEMPLATE template0 ENCODING {encoding} LC_COLLATE 'C' LC_CTYPE 'C'") as (cursor, _):
        missed = []
        for case, (code, sql, parts) in BEYOND_ASCII.items():
            if encoding == "UTF8":          # in which these are two letters
                code = code.replace("É", "é").replace("Ö", "ö")
            cursor.execute("BEGIN; SET LOCAL check_function_bodies = off; CREATE FUNCTION é(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(1); RETURN 1; END'; " + code)
            missed += [case] if not risky.names_of(cursor).risk_of(sql) & parts else []
            cursor.execute("ROLLBACK")
        assert missed == []


PGBENCH = ["SELECT abalance FROM pgbench_accounts WHERE aid = 1", "UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1",
           "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, CURRENT_TIMESTAMP)"]


@pytest.mark.parametrize("extension", ["postgis", "pg_partman", "pgtap", "orafce", "pg_stat_statements", "pgcrypto", "uuid-ossp", "citext", "hstore", "pg_trgm"])
def test_an_extension_costs_those_who_use_it(postgres, extension):
    if not postgres.value("SELECT count(*) FROM pg_available_extensions WHERE name = %s", [extension]):
        pytest.skip(f"{extension} is not installed")
    with database(postgres, "extended") as (cursor, _):
        cursor.execute(f'CREATE TABLE pgbench_accounts (aid int, abalance int); CREATE EXTENSION "{extension}" CASCADE')
        names = risky.names_of(cursor)
    assert [names.risk_of(sql) for sql in PGBENCH] == [0, 0, 0]
