"""No code of a database's leaves something unfound, wherever PostgreSQL stores it, and whoever makes it, and when. A statement's
risk is that of the words in it (seal/database_code.sql). Databases are made whose functions have known effects, reached in every
way that PostgreSQL stores; PostgreSQL tells what each statement touches, in a session of its own. The verdict may never miss any
of it; and each row of the closure's table is needed. Then the code is another one, and what that leaves must not cross.

SWEEP_SECONDS: how long random databases are made (3). SWEEP_SEED: the first one's seed (1)."""

import contextlib
import os
import re
import time

import psycopg
import pytest

import riskydatabase as risky
import transport
from leftovers import (INSERT, LOCKS as ASK_LOCKS, PID, SETS, TEMPORARY, USER_ID, VIEW, VIEW_FOR_ALL, ask, begin, sees, settle)
from rawwire import bind, execute, one_statement, parse, query, sync, terminate
from riskydatabase import LOCKS, SEED, SETTINGS, STATE, TEMP, WIDE
from waiting import SLOWNESS, each, wait_until

pytestmark = pytest.mark.weir_only
SECONDS = float(os.environ.get("SWEEP_SECONDS", "3"))
FIRST = int(os.environ.get("SWEEP_SEED", "1"))
CONTEXT = 1024
BACKEND = 256
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
         "remote_sessions", "context", "new_code", "effects")


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
                told[sql] = parts_of(console.execute(f"SHOW DATABASE_CODE FOR '{quoted}'").fetchall()[-1][3]) & risky.ASKED
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
    $$ BEGIN EXECUTE format('INSERT INTO %s VALUES (1)', TG_RELID::regclass);
    EXECUTE 'SELECT 1'; RETURN new; END $$; CREATE TRIGGER audit AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION audit_row()"""


@pytest.mark.long
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
        assert row["because"] == "table public.orders <- trigger audit on public.orders <- function public.audit_row() <- EXECUTE in line 2 of 'SELECT 1'"
        told = {sql: [(row["name"], row["kind"], "settings" in row["state"]) for row in weir.console(f"SHOW DATABASE_CODE FOR '{sql}'")]
                for sql in ("SELECT * FROM orders", "INSERT INTO public.orders VALUES (1)", "SELECT audit_row()", "SELECT 1", "CREATE TYPE x")}
        assert told == {"SELECT * FROM orders": [("", "this SQL", False)], "SELECT 1": [("", "this SQL", False)],
                        "INSERT INTO public.orders VALUES (1)": [("orders", "relation or type", True), ("", "this SQL", True)],
                        "SELECT audit_row()": [("audit_row", "function", True), ("", "this SQL", True)],
                        "CREATE TYPE x": [("", "opaque SQL", True)]}


# Rows that need what no test can make here; see EXPECTED and WIDE, and GIVEN in extensions/test_known.py.
ELSEWHERE = re.compile(r"fdwvalidator|oid, 3, 0|3, 0, 1255|r\.objid, 1255|2605, oid, 0|2616, oid, 0|3466|amproc|3601")


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
                                     511, STATE),
    **{f"C of nobody known, {how}": (code.replace("C(", "FUNCTION ci(").replace("=C", "RETURNS int IMMUTABLE LANGUAGE c AS '$libdir/pgcrypto', 'pg_random_uuid'"),
                                     sql, parts, STATE) for how, code, sql, parts in (
        ("as an operator", "CREATE C(int, int) =C; CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = ci)", "SELECT 1 ### 2", ANYTHING),
        ("as a cast", "CREATE TYPE k AS (v int); CREATE C(k) =C; CREATE CAST (k AS int) WITH FUNCTION ci(k)", "SELECT 1::k::int", ANYTHING),
        ("as an aggregate", "CREATE C(int, int) =C; CREATE AGGREGATE a(int) (SFUNC = ci, STYPE = int)", "SELECT a(1)", 511),
        ("in a body", "CREATE C(int) =C; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT ci(1)'", "SELECT f()", 511),
        ("in a view", "CREATE C(int) =C; CREATE VIEW v AS SELECT ci(1)", "SELECT * FROM v", 511),
        ("by whoever runs text", "CREATE C(int) =C; CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE $a$x$a$; END'", "SELECT f()", ANYTHING),
        ("of a name of PostgreSQL's", "CREATE C(int) =C; ALTER FUNCTION ci(int) RENAME TO abs", "SELECT abs(1)", 511),
        ("of a name of PostgreSQL's, for a type of its own", "CREATE TYPE k AS (v int); CREATE C(k) =C; ALTER FUNCTION ci(k) RENAME TO abs", "SELECT abs(1)", ANYTHING),
        ("that no SQL can call", "CREATE C(internal) =C; ALTER FUNCTION ci(internal) VOLATILE", "DO 'x'", ANYTHING))},
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
    "LOAD": (PLAIN.format("plpgsql", "BEGIN LOAD 'x'; RETURN 1; END"), "SELECT f(1)", BACKEND, BACKEND),
    **{f"a body with {made}": (PLAIN.format("plpgsql", f"BEGIN {made}; RETURN 1; END"), "SELECT f(1)", BACKEND, BACKEND) for made in (
        "CREATE EXTENSION x", "EXECUTE 'create ' || 'extension x'", "DROP /* x */ EXTENSION x", "EXECUTE E'ALTER\\nEXTENSION x UPDATE'",
        "CREATE OR REPLACE TRUSTED LANGUAGE x", "EXECUTE 'CREATE FUNCTION g() RETURNS int LANGUAGE c AS $a$x$a$'")},
    **{f"a body without: {made}": (PLAIN.format("plpgsql", f"BEGIN {made}; RETURN 1; END"), "SELECT f(1)", 0, BACKEND) for made in (
        "PERFORM 1 FROM pg_extension; CREATE TABLE x (extension text)", "EXECUTE 'CREATE FUNCTION g() RETURNS int LANGUAGE sql AS $a$SELECT 1$a$'")},
    "another one has it": (PLAIN.format("plpgsql", "BEGIN CREATE EXTENSION x; RETURN 1; END") + "; CREATE FUNCTION g() RETURNS int LANGUAGE plpgsql AS "
                           "'BEGIN EXECUTE $a$x$a$; END'", "SELECT g()", 0, BACKEND),
    "another session's pg_temp": (PLAIN.format("plpgsql", "BEGIN PERFORM pg_temp_3.lower(1, 2); END"), "SELECT f(1)", ANYTHING, STATE),
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
    "a foreign table of another kind": ("CREATE FUNCTION h() RETURNS fdw_handler LANGUAGE c AS '$libdir/file_fdw', 'file_fdw_handler'; "
                                        "CREATE FOREIGN DATA WRAPPER w HANDLER h; CREATE SERVER s FOREIGN DATA WRAPPER w; "
                                        "CREATE FOREIGN TABLE t (v int) SERVER s", "SELECT * FROM t", ANYTHING | BACKEND | 512, STATE),
    "a language": ("CREATE LANGUAGE odd HANDLER plpgsql_call_handler", "SELECT 1 AS odd", BACKEND, BACKEND),
    "a foreign table of a file": ("CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; "
                                  "CREATE FOREIGN TABLE t (v text) SERVER s OPTIONS (program 'x')", "SELECT * FROM t", 0, STATE),
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
                    "CREATE FUNCTION g(k) RETURNS int TRANSFORM FOR TYPE k LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", "SELECT g(NULL)", 511, STATE),
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


LOADS = {                           # bodies that load a library, or may run text that does, and those that only have the word
    **{f"plpgsql: {body}": True for body in (
        "LOAD 'x';", "load 'x';", "LOAD\n'x';", "LOAD/* a */'x';", "LOAD -- a\n 'x';", "LOAD $$x$$;", "LOAD E'x';", "LOAD U&'x';", "<<a>> LOAD 'x';",
        "/* a */ LOAD 'x';", "-- a\n LOAD 'x';", "IF true THEN LOAD 'x'; ELSE LOAD 'y'; END IF;", "LOOP LOAD 'x'; END LOOP;", "NULL;LOAD'x';",
        "EXECUTE 'LOAD ''x''';", "EXECUTE 'load' || quote_literal(q);", "EXECUTE format('LOAD %L', q);", "EXECUTE concat('LOAD', E'\\t''x''');",
        "EXECUTE E'LOAD\\x20''x''';", "EXECUTE $a$LOAD $b$x$b$$a$;", "EXECUTE 'LOAD ' USING q;", "EXECUTE replace('LOAD @', '@', q);",
        "EXECUTE 'LO' 'AD'; -- LOAD 'x'", "q := 'LOAD ''x'''; EXECUTE q;", "DO 'BEGIN LOAD ''x''; END';",
        "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'LOAD ''x''; SELECT 1';")},
    **{f"sql: {body}": True for body in ("LOAD 'x'", "SELECT 1; LOAD 'x'", "/* a /* b */ */LOAD 'x'", "--\rLOAD 'x'")},
    **{f"plpgsql: {body}": False for body in (
        "-- load the rows\n NULL;", "/* load */ NULL;", "PERFORM 'load';", "PERFORM 1 WHERE q = 'load' OR q = $$load$$;", "RAISE NOTICE 'load: %', q;",
        "PERFORM load, 'x' FROM t;", "EXECUTE 'SELECT 1'; -- load the rows, then (load) them", "EXECUTE 'SELECT load FROM t';", "load = 'x';",
        "PERFORM 1 AS payload;", "EXECUTE 'SELECT upload';")},
    **{f"sql: {body}": False for body in ("SELECT 'load'", "SELECT 1 AS load", "SELECT load('x')")},
}


def test_a_body_that_loads_a_library_and_one_that_has_the_word(postgres):
    def loads(body):
        language, text = body.split(": ", 1)
        text = f"DECLARE q text; BEGIN {text} END" if language == "plpgsql" else text
        cursor.execute(f"BEGIN; SET LOCAL check_function_bodies = off; CREATE FUNCTION f() RETURNS void LANGUAGE {language} AS $body${text}\n$body$")
        risk = risky.names_of(cursor).risk_of("SELECT f()")
        cursor.execute("ROLLBACK")
        return bool(risk & BACKEND)
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        assert {body: loads(body) for body in LOADS} == LOADS


SHOUTS = "CREATE FUNCTION pg_temp.{} RETURNS text LANGUAGE plpgsql AS $f$ BEGIN LOAD 'x'; EXECUTE $1; RETURN ''; END $f$"
IN_PG_TEMP = {                      # what another session has in its pg_temp, and SQL of whoever does not know that
    "a function": (SHOUTS.format("lower(text, int)"), "SELECT lower('A')"),
    "a domain": (SHOUTS.format("f(text)") + "; CREATE DOMAIN pg_temp.orders AS text CHECK (pg_temp.f(VALUE) = '')", "SELECT * FROM orders"),
    "a type": ("CREATE TYPE pg_temp.orders AS (v int); " + SHOUTS.format("f(pg_temp.orders)").replace("$1", "''") +
               "; CREATE CAST (pg_temp.orders AS text) WITH FUNCTION pg_temp.f(pg_temp.orders)", "INSERT INTO orders VALUES ('a')"),
    "an operator": (SHOUTS.format("f(text, text)") + "; CREATE OPERATOR pg_temp.~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.f)",
                    "SELECT 1 FROM orders WHERE v LIKE 'a'"),
    "a table that runs it": (SHOUTS.format("f(text)") + "; CREATE TEMP TABLE orders (v text DEFAULT pg_temp.f(''))", "INSERT INTO orders VALUES ('a')"),
    "functions of PostgreSQL's names": (SHOUTS.format("format(text, name)") + "; CREATE TEMP TABLE x (quote_ident text); CREATE DOMAIN pg_temp.regclass AS text; "
                                        "CREATE OPERATOR pg_temp.|| (LEFTARG = text, RIGHTARG = name, FUNCTION = pg_temp.format)", "UPDATE orders SET v = 1"),
    "the trigger's function on an odd table": ("CREATE TEMP TABLE \"x; y\" (v text); CREATE TRIGGER x AFTER UPDATE ON pg_temp.\"x; y\" FOR EACH ROW "
                                               "EXECUTE FUNCTION public.audits()", "UPDATE orders SET v = 1"),
}
AUDITED = """BEGIN; CREATE TABLE orders (v text); CREATE TABLE log (v text); CREATE FUNCTION audits() RETURNS trigger LANGUAGE plpgsql AS
    $f$ BEGIN EXECUTE 'INSERT INTO ' || TG_ARGV[0] || ' VALUES (1)'; EXECUTE format('INSERT INTO %I VALUES (1)', 'log'); RETURN NULL; END $f$;
    CREATE TRIGGER x AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION audits('log');"""


@pytest.mark.parametrize("case", IN_PG_TEMP)
def test_another_sessions_pg_temp_is_nobody_elses(postgres, case):
    made, sql = IN_PG_TEMP[case]
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        def answer():
            names = risky.names_of(cursor)
            cursor.execute(risky.question("_names"))
            return names.risk_of(sql), names.all, {row for row in names.rows if row[0] in "en"}, set(cursor.fetchall())
        cursor.execute(AUDITED)
        before = answer()
        assert before[0] & STATE == 0
        cursor.execute(made)
        assert answer() == before
        cursor.execute("ROLLBACK")


USES = {                            # what all can use that uses a function of pg_temp
    "a view": ("CREATE VIEW v AS SELECT pg_temp.f('')", "SELECT * FROM v"),
    "a default": ("CREATE TABLE t (v text DEFAULT pg_temp.f(''))", "INSERT INTO t DEFAULT VALUES"),
    "a column of its domain": ("CREATE DOMAIN pg_temp.d AS text CHECK (pg_temp.f(VALUE) = ''); CREATE TABLE t (v pg_temp.d)", "INSERT INTO t VALUES ('')"),
    "a cast": ("CREATE CAST (text AS c) WITH FUNCTION pg_temp.f(text)", "SELECT 'x'::text::c"),
}


@pytest.mark.parametrize("case", USES)
def test_what_others_can_use_of_pg_temp_counts(postgres, case):
    used, sql = USES[case]
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        body = SHOUTS.format("f(text)") if case != "a cast" else "CREATE TYPE c AS (v int); " + SHOUTS.format("f(text)").replace("RETURNS text", "RETURNS c").replace("''", "NULL")
        cursor.execute(f"BEGIN; {body}; {used}")
        assert risky.has_code(cursor)
        names = risky.names_of(cursor)
        assert names.risk_of(sql) & ANYTHING == ANYTHING and names.all & ANYTHING == ANYTHING
        before = version_of(cursor)
        cursor.execute("ALTER FUNCTION pg_temp.f(text) COST 2")
        cursor.execute("SAVEPOINT x; ALTER FUNCTION pg_temp.f(text) COST 3")
        assert version_of(cursor) != before
        cursor.execute("ROLLBACK")


def version_of(cursor):
    cursor.execute(risky.question("_version"))
    return cursor.fetchall()


def test_what_is_made_in_pg_temp_makes_no_other_version(postgres):
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        cursor.execute("BEGIN; CREATE TABLE orders (v text); CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        before = version_of(cursor)
        cursor.execute(SHOUTS.format("lower(text, int)") + "; CREATE TEMP TABLE x (v serial PRIMARY KEY, w text DEFAULT 'x' CHECK (w <> ''), u oid UNIQUE); "
                       "CREATE INDEX ON x (lower(w)); CREATE TEMP VIEW y AS SELECT 1; CREATE TRIGGER x AFTER INSERT ON x FOR EACH ROW EXECUTE FUNCTION tg(); "
                       "CREATE STATISTICS pg_temp.s ON (lower(w)), v FROM x; CREATE TEMP TABLE z () INHERITS (x)")
        assert version_of(cursor) == before
        cursor.execute("ROLLBACK")


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
    "the table": "format('insert into %s select ($1).*', TG_RELID::regclass) USING new",
    "the table's name and more": "format('INSERT INTO %s_audit (v) VALUES (%L)', TG_TABLE_NAME, old.v) USING new",
    "the table's name behind a schema": "format('INSERT INTO audit.log_%s VALUES ($1.*)', TG_RELNAME::text) USING new",
    "the table with its schema": "format('INSERT INTO %I.%s VALUES (%L, $1)', TG_TABLE_SCHEMA, TG_TABLE_NAME, old.v) USING q",
    "both by number": "format('INSERT INTO %1$s.a_%2$I VALUES (1)', TG_TABLE_SCHEMA, TG_TABLE_NAME)",
    "an argument of the trigger": "format('INSERT INTO %s VALUES (1)', TG_ARGV[0])",
    "a cast": "format('INSERT INTO %s VALUES (1)', ('audit.' || q)::regclass::text)",
    "a cast of a value": "format('INSERT INTO %s VALUES (1)', new.v::regclass) INTO q",
    "a variable": "format('INSERT INTO %s VALUES (1)', r)",
    "a quoted name": "format('INSERT INTO %s VALUES (1)', quote_ident(q))",
    "a name that is put in": "'INSERT INTO ' || TG_TABLE_NAME || '_audit VALUES (1)'",
    "all that is put in": "'insert into ' || tg_table_schema || '.log_' || tg_argv[i] || ' values (' || quote_literal(new.v) || ')'",
}
DYNAMIC = {                         # what begins like this, and may be anything
    "text as it is": "format('INSERT INTO %I %s', 'log', q)",
    "text behind it": "format('INSERT INTO %I VALUES (1)', 'log') || q",
    "text behind a constant": "'INSERT INTO log VALUES (1)' || q",
    "text between": "'INSERT INTO log VALUES (' || q || ')'",
    "a name not quoted": "'INSERT INTO ' || q || ' VALUES (1)'",
    "a name not quoted behind one that is": "'INSERT INTO ' || TG_TABLE_SCHEMA || '.' || q || ' VALUES (1)'",
    "any name": "format('INSERT INTO %s VALUES (1)', q)",
    "any name behind the schema": "format('INSERT INTO %I.%s VALUES (1)', TG_TABLE_SCHEMA, q)",
    "a name and more of it": "format('INSERT INTO %s VALUES (1)', TG_TABLE_NAME || q)",
    "a cast of its end": "format('INSERT INTO %s VALUES (1)', q || TG_RELID::regclass)",
    "a name in its place and then": "format('INSERT INTO %s VALUES (%s)', TG_TABLE_NAME, q)",
    "a name that is called": "format('INSERT INTO log SELECT %s(1)', TG_TABLE_NAME)",
    "another by number": "format('INSERT INTO %2$s VALUES (1)', TG_TABLE_NAME, q)",
    "the other one by number": "format('INSERT INTO %1$s.%1$s VALUES (1)', q, TG_TABLE_NAME)",
    "a field of that name": "format('INSERT INTO %s VALUES (1)', new.tg_table_name)",
    "an array": "format('INSERT INTO %s VALUES (1)', rs)",
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
NAME_SHADOWS = ("CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = name, FUNCTION = pg_catalog.texteqname)",
                "CREATE DOMAIN public.regclass AS text", "ALTER TABLE t RENAME TO \"t; x\"", "ALTER SCHEMA made RENAME TO \"made; x\"")
SET_BY_HAND = ("TG_TABLE_NAME := new.v;", "tg_table_name = new.v;", "TG_ARGV[0] := new.v;", "SELECT new.v INTO STRICT q, TG_TABLE_NAME;", "q := 1; /* x */ TG_TABLE_NAME = new.v;",
               "<<x>>tg_table_schema = new.v;", "f.tg_table_name = new.v;", "FOR q, TG_TABLE_NAME IN SELECT 1, new.v LOOP NULL; END LOOP;",
               "DECLARE tg_table_name text = new.v; BEGIN NULL; END;", "DECLARE a int; TG_TABLE_NAME text = new.v; BEGIN NULL; END;", "CALL p(TG_TABLE_NAME);",
               "GET DIAGNOSTICS q = ROW_COUNT, TG_TABLE_NAME = PG_CONTEXT;", "IF true THEN TG_TABLE_NAME = new.v; END IF;",
               "DECLARE /* /* x */ */ TG_TABLE_NAME text = new.v; BEGIN NULL; END;", "DECLARE -- x\r TG_TABLE_NAME text = new.v; BEGIN NULL; END;")


def risk_of_a_trigger(cursor, run, code="", argument="log", before="", more=""):
    """Of an UPDATE of a table whose trigger does EXECUTE run. Not all that is read so can run with each PostgreSQL."""
    cursor.execute("BEGIN; SET LOCAL check_function_bodies = off; CREATE SCHEMA made; SET LOCAL search_path = made, public; CREATE TABLE t (v text); "
                   "CREATE TABLE other (v text); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
                   f"$body$ DECLARE v text; q text; r CONSTANT regclass := q; rs regclass[]; {more} BEGIN {before} EXECUTE {run}; RETURN NULL; END $body$; "
                   f"CREATE TRIGGER x AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f('{argument}'); {code}")
    risk = risky.names_of(cursor).risk_of("UPDATE t SET v = 1; TABLE \"t; x\"") & STATE
    cursor.execute("ROLLBACK")
    return risk


@pytest.mark.long
def test_a_body_whose_dynamic_sql_only_inserts_is_as_risky_as_the_tables(postgres):
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        assert {name: risk_of_a_trigger(cursor, run) for name, run in INSERTED.items()} == dict.fromkeys(INSERTED, 0)
        assert {name: risk_of_a_trigger(cursor, run) for name, run in DYNAMIC.items()} == dict.fromkeys(DYNAMIC, ANYTHING)
        run = INSERTED["format"]
        assert {risk_of_a_trigger(cursor, run, code) for code in SHADOWS} == {ANYTHING}
        run = INSERTED["all that is put in"]
        assert {code: risk_of_a_trigger(cursor, run, code) for code in SHADOWS + NAME_SHADOWS} == dict.fromkeys(SHADOWS + NAME_SHADOWS, ANYTHING)
        assert [risk_of_a_trigger(cursor, run, argument=argument) for argument in ("a.b_1", "", "a b", "a;", "a\\000", "é")] == [0, 0] + 4 * [ANYTHING]
        assert {before: risk_of_a_trigger(cursor, run, before=before) for before in SET_BY_HAND} == dict.fromkeys(SET_BY_HAND, ANYTHING)
        assert risk_of_a_trigger(cursor, run, before="IF TG_TABLE_NAME = 'x' THEN INSERT INTO t VALUES (TG_TABLE_NAME); q := TG_ARGV[0]; END IF;") == 0
        run = INSERTED["a variable"]
        assert [risk_of_a_trigger(cursor, run, more=more) for more in ("r text;", "\"r\" /* x */ text;", "r CONSTANT text := 1;", "r alias for q;",
                                                                             "r /* /* x */ */ text;", "r -- x\r text;")] == 6 * [ANYTHING]
        assert risk_of_a_trigger(cursor, run, before="IF r IS NULL OR r = q::regclass THEN RAISE NOTICE '%', r; END IF;") == 0
        run = INSERTED["format"]
        assert risk_of_a_trigger(cursor, f"{run}; EXECUTE 'SELECT 1'") == ANYTHING
        assert risk_of_a_trigger(cursor, f"{run}; EXECUTE {run}; EXECUTE {run}") == 0
        assert risk_of_a_trigger(cursor, run, "ALTER TABLE other ADD w bool DEFAULT pg_try_advisory_lock(1)") == LOCKS


# Found by test_what_makes_nearly_everything_risky, and by the test above.
FOUND_ELSEWHERE = {"edge": re.compile("fdwvalidator|2616, oid, 0|oid, 3, 0|3, 0, 1255"), "base": re.compile("4096|arguments of")}  # and test_repeatable.py, extensions/test_known.py


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
    "a view with effects": "CREATE VIEW v AS SELECT pg_is_in_recovery()",
    "a view that locks rows": "CREATE VIEW v AS SELECT FROM pg_class FOR KEY SHARE",
    "a view of what is VOLATILE in an extension": "CREATE EXTENSION pgcrypto; CREATE VIEW v AS SELECT gen_salt('md5')",
    "a view of an extension's view": "CREATE EXTENSION pg_stat_statements; CREATE VIEW v AS SELECT queryid FROM pg_stat_statements",
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
    "extensions": "CREATE EXTENSION hstore; CREATE EXTENSION pgcrypto; CREATE EXTENSION btree_gist; CREATE EXTENSION pg_stat_statements; "
                  "CREATE EXTENSION \"uuid-ossp\"; CREATE TABLE t (v uuid DEFAULT uuid_generate_v4()); CREATE VIEW v AS SELECT * FROM t",
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
    "another name of a schema": "ALTER SCHEMA made RENAME TO \"made; x\"",
    "another schema of a table": "ALTER TABLE public.users SET SCHEMA made",
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
        cursor.execute("BEGIN; CREATE ACCESS METHOD x TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE public.users (v int); CREATE SCHEMA made")
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
    with database(postgres, "extended") as (cursor, _):
        cursor.execute(f'CREATE TABLE pgbench_accounts (aid int, abalance int); CREATE EXTENSION "{extension}" CASCADE')
        names = risky.names_of(cursor)
    assert [names.risk_of(sql) for sql in PGBENCH] == [0, 0, 0]


# --- code that comes later --------------------------------------------------------------------------------------

UPSIDE_DOWN = VIEW[::-1].replace("'", "''")
LATER = {
    "by the client": (VIEW,),
    "in a transaction": ("BEGIN", VIEW, "SELECT * FROM sly", "COMMIT"),
    "among others": (f"SELECT 1; {VIEW}; SELECT 2",),
    "in a DO block": (f"DO $$ BEGIN EXECUTE reverse('{UPSIDE_DOWN}'); END $$",),
    "by EXPLAIN": (f"CREATE FUNCTION pg_temp.later() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN EXECUTE reverse('{UPSIDE_DOWN}'); "
                   "RETURN 1; END $f$", "EXPLAIN ANALYZE SELECT pg_temp.later()"),
}


@pytest.mark.parametrize("how", LATER)
def test_code_that_a_client_makes_counts_at_once(weir, own, how):
    other, client = begin(weir, own)
    for step in LATER[how]:
        client.query(step)
    for _ in range(3):
        client.query("SELECT * FROM sly")
        assert sees(other, client, USER_ID) == [[""]]
        if client.sock.fileno() < 0:
            client = weir.raw("web", own)


RUNS = f"""
CREATE FUNCTION runs(q text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN EXECUTE q; RETURN q; END $f$;
CREATE FUNCTION makes() RETURNS void LANGUAGE sql AS $f$ {VIEW} $f$;
CREATE PROCEDURE carries_out(q text) LANGUAGE plpgsql AS $f$ BEGIN EXECUTE q; COMMIT; END $f$;
CREATE TABLE plain (v text);
CREATE FUNCTION alters() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN ALTER TABLE plain ALTER v SET DEFAULT 'x'; END $f$;
CREATE TABLE jobs (id serial, q text);
CREATE FUNCTION runs_job() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN EXECUTE new.q; RETURN NULL; END $f$;
CREATE CONSTRAINT TRIGGER runs_job AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION runs_job();
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
"""
RUN_VIEW = f"SELECT runs($q${VIEW}$q$)"
UNSEEN = {                          # which DDL it is, no SQL shows
    "a function is given it": lambda c: c.query(RUN_VIEW),
    "it is bound": lambda c: c.ask(one_statement("SELECT runs($1)", [VIEW]) + sync()),
    "in a transaction": lambda c: [c.query(text) for text in ("BEGIN", RUN_VIEW, "SELECT 1", "COMMIT")],
    "in the middle of a Query": lambda c: c.query(f"BEGIN; {RUN_VIEW}; COMMIT; SELECT 1"),
    "an SQL function": lambda c: c.query("SELECT makes()"),
    "a procedure that commits": lambda c: c.query(f"CALL carries_out($q${VIEW}$q$)"),
    "DO": lambda c: c.query(f"DO $$ BEGIN PERFORM runs($q${VIEW}$q$); END $$"),
    "EXECUTE": lambda c: [c.query("PREPARE p AS " + RUN_VIEW), c.query("EXECUTE p")],
    "a deferred trigger": lambda c: c.query(f"INSERT INTO jobs (q) VALUES ($q${VIEW}$q$)"),
    "by who keeps a lock": lambda c: [c.query("SELECT pg_advisory_lock(1)"), c.query(RUN_VIEW)],
    "by who keeps a lock, in a trigger": lambda c: [c.query("SELECT pg_advisory_lock(1)"),
                                                    c.query(f"INSERT INTO jobs (q) VALUES ($q${VIEW}$q$)")],
    "by who may ask for currval()": lambda c: [c.query(text) for text in (
        "INSERT INTO jobs (q) VALUES ('SELECT 1')", "SELECT lastval()", f"INSERT INTO jobs (q) VALUES ($q${VIEW}$q$)")],
    "by who leaves at once": lambda c: c.send(query(RUN_VIEW) + terminate()),
}


def risky_names(weir):
    return {(row["name"], row["kind"], row["state"], row["in_writes"]) for row in weir.console("SHOW DATABASE_CODE")}


def new_code(weir, name):
    """Whether that function may make code: None as long as it is unknown."""
    rows = [row for row in weir.console("SHOW DATABASE_CODE") if row["name"] == name]
    return "new_code" in rows[0]["state"] if rows else None


def three_clients(weir, postgres, own, code=RUNS, servers=2, **upstream):
    """Who uses code, who must not find what that sets, and who makes it, in a database where code makes code."""
    postgres.query(code, dbname=own)
    other, client, maker = begin(weir, own, servers=servers, clients=3, upstream=upstream)
    each((other, client, maker)).query("SELECT 1 FROM plain")
    wait_until(lambda: "runs" not in code or client.query("SELECT 1") and new_code(weir, "runs"), what="an answer")
    return other, client, maker


def is_clean(wire):
    return wire.query(USER_ID) in ([[""]], [[None]])


CHECKS = "CHECK (set_config('app.user_id', VALUE, false) = VALUE)"
NEW_CODE = {                        # what is there before, what code makes, and who then sets a setting
    "a default": ("", f"ALTER TABLE plain ALTER v SET DEFAULT {SETS}", "INSERT INTO plain DEFAULT VALUES RETURNING 1"),
    "a default, and a temporary table": (
        "", f"CREATE TEMP TABLE x (v serial PRIMARY KEY, w text DEFAULT 'x' CHECK (w <> '')) ON COMMIT DROP; "
        f"ALTER TABLE plain ALTER v SET DEFAULT {SETS}", "INSERT INTO plain DEFAULT VALUES RETURNING 1"),
    "a column": ("", f"ALTER TABLE plain ADD COLUMN w text DEFAULT {SETS}", "INSERT INTO plain DEFAULT VALUES RETURNING 1"),
    "a table": ("", f"CREATE TABLE sly (v text DEFAULT {SETS})", "INSERT INTO sly DEFAULT VALUES RETURNING 1"),
    "a check": ("", "ALTER TABLE plain ADD CHECK (set_config('app.user_id', v, false) = v)", "INSERT INTO plain VALUES ('A') RETURNING 1"),
    "a domain": ("", f"CREATE DOMAIN sly AS text {CHECKS}", "SELECT 'A'::sly"),
    "a domain's check": ("CREATE DOMAIN d AS text", f"ALTER DOMAIN d ADD {CHECKS}", "SELECT 'A'::d"),
    "a domain's default": ("CREATE DOMAIN d AS text; ALTER TABLE plain ALTER v TYPE d", f"ALTER DOMAIN d SET DEFAULT {SETS}",
                           "INSERT INTO plain DEFAULT VALUES RETURNING 1"),
    "a column of a domain": (f"CREATE DOMAIN d AS text {CHECKS}", "ALTER TABLE plain ADD COLUMN w d", "INSERT INTO plain (w) VALUES ('A') RETURNING 1"),
    "a column's type": (f"CREATE DOMAIN d AS text DEFAULT {SETS}", "ALTER TABLE plain ALTER v TYPE d", "INSERT INTO plain DEFAULT VALUES RETURNING 1"),
    "a name": (f"CREATE TABLE sly (v text DEFAULT {SETS})", "ALTER TABLE sly RENAME TO renamed", "INSERT INTO renamed DEFAULT VALUES RETURNING 1"),
    "an index": ("CREATE FUNCTION quiet(text, text, bool) RETURNS text IMMUTABLE LANGUAGE internal AS 'set_config_by_name'",
                 "CREATE INDEX ON plain (quiet('app.user_id', v, false))", "INSERT INTO plain VALUES ('A') RETURNING 1"),
    "a policy": ("INSERT INTO plain VALUES ('x'); ALTER TABLE plain ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
                 f"CREATE POLICY p ON plain USING ({SETS} = 'A')", "SELECT * FROM plain"),
    "a trigger": ("", f"CREATE TRIGGER x BEFORE INSERT ON plain FOR EACH ROW WHEN ({SETS} = 'B') EXECUTE FUNCTION "
                  "suppress_redundant_updates_trigger()", "INSERT INTO plain VALUES ('x') RETURNING 1"),
    "a cast": (f"CREATE TYPE c AS (v text); CREATE FUNCTION cf(text) RETURNS c LANGUAGE sql AS $f$ SELECT ROW({SETS})::c $f$",
               "CREATE CAST (text AS c) WITH FUNCTION cf(text)", "SELECT 'A'::text::c"),
    "a view's rule": ("CREATE VIEW v AS SELECT ''::text AS w", f"CREATE OR REPLACE VIEW v AS SELECT {SETS} AS w", "SELECT * FROM v"),
    **{how: ("", make, "SELECT * FROM sly") for how, make in UNSEEN.items()},
}


@pytest.mark.long
@pytest.mark.sweep(keep=6)
@pytest.mark.parametrize("what", NEW_CODE)
def test_code_that_code_makes_counts_soon(weir, postgres, own, what):
    """A runs a function that makes it; soon B uses it, which sets a setting; C must not find that."""
    before, made, used = NEW_CODE[what]
    sql = f"SET SESSION AUTHORIZATION {'postgres' if 'internal' in before else 'web'}; {before}"
    other, client, maker = three_clients(weir, postgres, own, f"{RUNS} ALTER TABLE plain OWNER TO web; {sql}")
    known = risky_names(weir)
    if callable(made):
        made(maker)
    else:
        maker.query(f"SELECT runs($q${made}$q$)")
    wait_until(lambda: client.query("SELECT 1") and risky_names(weir) != known, what="another answer")
    for _ in range(3):
        client.query(used)
        assert is_clean(other)


@pytest.mark.parametrize("steps", [("BEGIN", RUN_VIEW, "SELECT * FROM sly", "COMMIT"), (f"{RUN_VIEW}; SELECT * FROM sly",)])
def test_code_that_code_makes_counts_at_once_for_its_maker(weir, postgres, own, steps):
    """What it leaves by that before others' requests come is washed off."""
    other, _, maker = three_clients(weir, postgres, own, servers=1)
    for step in steps:
        maker.query(step)
    assert is_clean(other)


def test_ddl_counts_at_once_in_a_database_of_two_names(weir, own):
    weir.start({f"database {own}": {"upstream": weir.upstream()},
                "database alias": {"upstream": weir.upstream(dbname=own)}}, pool_size=1, max_overflow=0)
    maker, client, other = weir.raw("web", own), weir.raw("web", "alias"), weir.raw("web", "alias")
    settle(maker)
    settle(other)
    maker.query(VIEW)
    client.query("SELECT * FROM sly")
    assert is_clean(other)


def test_ddl_of_a_client_that_does_not_wait_for_its_answer_counts(weir, postgres, own):
    postgres.query("CREATE VIEW sly AS SELECT ''::text AS set_config; ALTER VIEW sly OWNER TO web", dbname=own)
    other, client = begin(weir, own, servers=2)

    def makes():
        maker = weir.raw("web", own)
        maker.query("BEGIN")
        maker.send(query(VIEW), query("COMMIT"))
        maker.close()
        return "app.user_id" in postgres.value("SELECT pg_get_viewdef('sly')", dbname=own)
    wait_until(makes, what="one whose server was not ended first")
    wait_until(lambda: {row["state"] for row in weir.console("SHOW SERVERS")} <= {"idle"}, what="its answer, which pgweir reads later than others see the view")
    client.query("SELECT * FROM sly")
    for _ in range(2):
        assert is_clean(other)
        assert client.query("SELECT 1") == [["1"]]


def seals(weir, *clients, sql="SELECT 1 FROM plain"):
    """How often a server is washed that these take turns on, four times each."""
    before = weir.metric_now("pgweir_pool_seals_total")
    each(clients * 4).query(sql)
    return weir.metric_now("pgweir_pool_seals_total") - before


def test_a_call_that_may_make_code_costs_others_nothing(weir, postgres, own):
    """Neither while it is under way, nor in a transaction, nor behind it."""
    other, client, maker = three_clients(weir, postgres, own)
    settle(other)
    holder = postgres.connect(own)
    holder.cursor().execute("SELECT pg_advisory_lock(1)")
    maker.send(query("SELECT runs('SELECT pg_advisory_xact_lock(1)')"))
    assert seals(weir, client, other) == 0
    holder.close()
    assert not maker.has_nothing_more(5)
    maker.query("BEGIN", "SELECT runs('SELECT 1')")
    assert seals(weir, client, other) <= 1      # of the maker's own server, when the call was over
    maker.query("COMMIT")
    assert seals(weir, client, other) <= 1


AUDIT = """CREATE TABLE plain (v text); CREATE TABLE audit_plain (at timestamptz, was jsonb); GRANT ALL ON plain, audit_plain TO web;
    INSERT INTO plain VALUES ('x'); CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE format('INSERT INTO audit_{} VALUES (now(), $1)', {}) USING to_jsonb(OLD); RETURN NULL; END $$;
    CREATE TRIGGER audit AFTER UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION audit_row();"""


@pytest.mark.long
@pytest.mark.parametrize("form, table", [("%I", "TG_TABLE_NAME"), ("%s", "TG_RELID::regclass")])
def test_audited_updates_cost_no_wash(weir, postgres, own, form, table):
    """The trigger's EXECUTE can do nothing but insert; a default that sets something there counts, however."""
    postgres.query(AUDIT.format(form, table), dbname=own)
    clients = begin(weir, own)
    assert seals(weir, *clients, sql="UPDATE plain SET v = v") == 0
    assert postgres.query("SELECT count(*) FROM audit_plain", dbname=own) == [(8,)]
    postgres.query(f"ALTER TABLE audit_plain ADD user_id text DEFAULT {SETS}", dbname=own)
    wait_until(lambda: clients[0].query("SELECT 1") and any(row["name"] == "audit_plain" for row in weir.console("SHOW DATABASE_CODE")), 20, "the answer")
    assert seals(weir, *clients, sql="UPDATE plain SET v = v") >= 7
    assert is_clean(clients[1])


@pytest.mark.parametrize("state", ["track", "allow"])
def test_ddl_that_is_committed_is_soon_over(weir, postgres, own, state):
    postgres.query(RUNS, dbname=own)
    weir.start({f"database {own}": {"upstream": weir.upstream()}, "user reporting": {"session_state": state}}, pool_size=2, max_overflow=0)
    maker, client, other = weir.raw("reporting", own), weir.raw("web", own), weir.raw("web", own)
    settle(other)
    for text in ("BEGIN", "CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'", "COMMIT"):
        maker.query(text)
    wait_until(lambda: seals(weir, client, other) == 0, what="the answer")


@pytest.mark.parametrize("made", ["SELECT v INTO sly FROM has_domain", "CREATE TABLE sly AS SELECT v FROM has_domain",
                                  "EXPLAIN ANALYZE CREATE TABLE sly AS SELECT v FROM has_domain",
                                  "EXPLAIN (COSTS OFF, ANALYZE) SELECT v INTO sly FROM has_domain"])
def test_a_table_made_of_a_query_has_its_domains(weir, postgres, own, made):
    """PostgreSQL's tag for it is that of a SELECT, or EXPLAIN."""
    postgres.query(RUNS + f"CREATE DOMAIN d AS text {CHECKS}; CREATE TABLE has_domain (v d); GRANT ALL ON has_domain TO web", dbname=own)
    other, client, maker = begin(weir, own, servers=2, clients=3)
    maker.query(made)
    client.query("INSERT INTO sly VALUES ('A') RETURNING 1")
    assert is_clean(other)


def test_temporary_tables_that_code_makes_cost_no_question(weir, postgres, own, tap):
    if transport.IS_TLS:
        pytest.skip("what is encrypted can't be read")
    _, client, maker = three_clients(weir, postgres, own, servers=1, port=tap.port)
    at, began = len(tap.to_server), time.monotonic()
    for _ in range(20):
        maker.query("SELECT runs('CREATE TEMP TABLE x (v serial PRIMARY KEY, w text DEFAULT 1 CHECK (w <> $$$$)) ON COMMIT DROP')")
        client.query("SELECT 1")
    asked = bytes(tap.to_server[at:])
    assert asked.count(b" AS versions") <= 2 * (time.monotonic() - began) + 2       # once a second, whatever happens


MAKERS = {                          # bodies, and whether these may make code
    "CREATE TEMP TABLE a (v text); INSERT INTO a VALUES ('x'); DROP TABLE a": False,
    "CREATE TEMPORARY  TABLE a AS SELECT 'created' AS created_at; DROP TABLE a; CREATE TEMP TABLE b (v text)": False,
    "CREATE TEMP TABLE a (v text); CREATE VIEW sly AS SELECT 1": True,
    "CREATE TEMP VIEW a AS SELECT 1": True,
    "CREATE TABLE temp (v text)": True,
    "CREATE /* TEMP TABLE */ TABLE a (v text)": True,
    "CREATE TEMP TABLE a (v text); CREATE-- TEMP TABLE\n TABLE b (v text)": True,
    "CREATE TEMP TABLE a (v text); EXECUTE 'DROP TABLE a'": True,
    "CREATE TEMP TABLE a (v text); PERFORM runs('x')": True,
}


AUDITS = """CREATE FUNCTION audits() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN EXECUTE 'SELECT 1'; END $f$;
    CREATE EVENT TRIGGER audits ON ddl_command_end EXECUTE FUNCTION audits();"""


@pytest.mark.parametrize("trigger", ["", AUDITS], ids=["", "an event trigger that may make code"])
def test_a_body_that_makes_temporary_tables_alone_makes_no_code(weir, postgres, own, trigger):
    """Else whatever others run meanwhile is washed."""
    bodies = "".join(f"CREATE FUNCTION maker_{number}() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN {made}; END $f$;"
                     for number, made in enumerate(MAKERS))
    postgres.query(RUNS + bodies + trigger, dbname=own)
    client = begin(weir, own, clients=1)[0]
    wait_until(lambda: client.query("SELECT 1") and new_code(weir, "maker_0") is not None, what="an answer")
    told = {made: new_code(weir, f"maker_{number}") for number, made in enumerate(MAKERS)}
    assert told == {made: may or bool(trigger) for made, may in MAKERS.items()}


ELSEWHERE_MADE = {                  # what a migration makes that connects directly, and who then sets a setting, if anybody does
    "a view": (VIEW_FOR_ALL, "SELECT * FROM sly"),
    "a function's body": (f"CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT {SETS} $$", "SELECT f()"),
    "a default": (f"ALTER TABLE t ALTER v SET DEFAULT {SETS}", "INSERT INTO t DEFAULT VALUES RETURNING 1"),
    "a check": ("ALTER TABLE t ADD CONSTRAINT c CHECK (set_config('app.user_id', v, false) = v)", "INSERT INTO t VALUES ('A') RETURNING 1"),
    "a policy": (f"CREATE POLICY p ON t USING ({SETS} = 'A')", ""),
    "a trigger": (f"CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW WHEN ({SETS} = 'B') "
                  "EXECUTE FUNCTION suppress_redundant_updates_trigger()", "INSERT INTO t VALUES ('A') RETURNING 1"),
    "an operator": ("CREATE OPERATOR ~~~ (RIGHTARG = bigint, FUNCTION = pg_try_advisory_lock)", ""),
    "a type's default": (f"CREATE DOMAIN sly AS text DEFAULT {SETS}", ""),
}


@pytest.mark.long
@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("what", ELSEWHERE_MADE)
def test_code_that_is_made_elsewhere_counts_soon(weir, postgres, own, what):
    """pgweir asks for the version of the code every second, and reads the code only if that is another one."""
    made, used = ELSEWHERE_MADE[what]
    postgres.query("CREATE TABLE t (v text); GRANT ALL ON t TO PUBLIC; CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$", dbname=own)
    other, client = begin(weir, own)
    postgres.query(made, dbname=own)
    wait_until(lambda: other.query("SELECT 1") and any({"settings", "advisory_locks"} & set(row["state"].split(", "))
                                                       for row in weir.console("SHOW DATABASE_CODE")), what="the new answer")
    if used:
        client.query(used)
        assert sees(other, client, USER_ID) == [[""]]


WRAPPED = f"CREATE OR REPLACE FUNCTION wrapped(v int) RETURNS text LANGUAGE sql AS $f$ SELECT {SETS} $f$"
CALLS = {                           # how a client calls what sets a setting that its own SQL does not name
    "Query": lambda c: c.query("SELECT wrapped(11)"),
    "FROM": lambda c: c.query("SELECT * FROM wrapped(11)"),
    "bound": lambda c: c.ask(one_statement("SELECT wrapped($1)", ["11"]) + sync()),
    "in a transaction": lambda c: [c.query(text) for text in ("BEGIN", "SELECT wrapped(11)", "COMMIT")],
}


def follows(client, other):
    """A has its own setting, and B has not."""
    for _ in range(2):
        assert is_clean(other)
        assert client.query(USER_ID) == [["A"]]


@contextlib.contextmanager
def unread(postgres, dbname):
    """Nobody can read the code of this database meanwhile."""
    with contextlib.closing(postgres.connect(dbname)) as holder:
        holder.cursor().execute("BEGIN; LOCK TABLE pg_catalog.pg_foreign_server")
        yield


@pytest.mark.parametrize("how", CALLS)
def test_a_setting_made_by_a_function_just_made_follows(weir, postgres, own, how):
    other, client = begin(weir, own, servers=2)
    with unread(postgres, own):
        other.query(WRAPPED)
        CALLS[how](client)
    follows(client, other)


LOADED = "CREATE OR REPLACE FUNCTION wrapped(v int) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN LOAD 'auto_explain'; RETURN ''; END $f$"


def test_a_library_that_a_function_just_made_loads_is_nobody_elses(weir, postgres, own):
    """Who may have run it waits for the answer."""
    postgres.query(WRAPPED.replace(f"SELECT {SETS}", "SELECT ''"), dbname=own)
    other, client = begin(weir, own, user="postgres", servers=2)
    with unread(postgres, own):
        other.query(LOADED)
        client.query("SELECT wrapped(11)")
    for _ in range(3):
        assert other.query(LIBRARY) == [["0"]]
        assert weir.raw("postgres", own).query(LIBRARY) == [["0"]]


def test_a_library_is_nobody_elses_while_the_code_cannot_be_read(weir, postgres, own):
    """The question about the new code has failed (3 s), and the next one is seconds away."""
    postgres.query(WRAPPED.replace(f"SELECT {SETS}", "SELECT ''"), dbname=own)
    other, client = begin(weir, own, user="postgres", servers=2)
    with unread(postgres, own):
        other.query(LOADED)
        wait_until(lambda: other.query("SELECT 1") and "did not report what its code could touch" in weir.log(), pause=0.1)
        client.query("SELECT wrapped(11)")
    for _ in range(3):
        assert other.query(LIBRARY) == [["0"]]
        assert weir.raw("postgres", own).query(LIBRARY) == [["0"]]


HIDES = {                           # how a client has another body for wrapped(), with its connection's end or without
    "half a Query behind it": lambda c: [c.send(query(WRAPPED) + query(f"SELECT '{'x' * 300000}'")[:200000]), c.close()],
    "a Bind of half its length": lambda c: [c.send(query(WRAPPED) + parse("", "SELECT $1") + bind("", "", ["x" * 300000])[:200000]), c.close()],
    "nothing behind it": lambda c: [c.send(query(WRAPPED)), c.close()],
    "a procedure that commits, then ROLLBACK": lambda c: c.ask(
        b"".join(parse("", sql) + bind() + execute() for sql in (WRAPPED, "CALL carries_out('SELECT 1')", "ROLLBACK")) + sync()),
    "DO that commits, then ROLLBACK": lambda c: c.ask(
        b"".join(parse("", sql) + bind() + execute() for sql in (WRAPPED, "DO 'BEGIN COMMIT; END'", "ROLLBACK")) + sync()),
    "COMMIT, then an error": lambda c: c.ask(query(f"BEGIN; {WRAPPED}; COMMIT; SELECT 1/0")),
    "COMMIT PREPARED that nobody waits for": lambda c: [c.query("BEGIN"), c.query(WRAPPED), c.query("PREPARE TRANSACTION 'own'"), c.query("SELECT 1"),
                                                        c.send(query("COMMIT PREPARED 'own'")), c.close()],
}


@pytest.mark.parametrize("how", HIDES)
def test_code_of_who_hides_its_end_counts(weir, postgres, own, how):
    if "PREPARED" in how and postgres.value("SHOW max_prepared_transactions") == "0":
        pytest.skip("no prepared transactions")
    harmless = WRAPPED.replace(f"SELECT {SETS}", "SELECT ''")
    postgres.query(f"{RUNS} {harmless}; ALTER FUNCTION wrapped OWNER TO web", dbname=own)
    other, client, maker = begin(weir, own, servers=3, clients=3)
    HIDES[how](maker)

    def is_made():
        if "set_config" in postgres.value("SELECT prosrc FROM pg_proc WHERE proname = 'wrapped'", dbname=own):
            return True
        if "PREPARED" in how:            # a request is cancelled if its client has gone, so it may have to be sent again
            with weir.raw("web", own) as again:
                again.send(query("COMMIT PREPARED 'own'"))
        return ("half" in how or "nothing" in how) and not maker.sock.fileno() > 0

    wait_until(is_made, what="the other body")
    wait_until(lambda: {row["state"] for row in weir.console("SHOW SERVERS")} <= {"idle"}, what="its answer, which pgweir reads later")
    client.query("SELECT wrapped(11)")
    assert is_clean(other)


def test_a_setting_made_before_any_code_is_read_follows(weir, postgres, own):
    postgres.query(WRAPPED, dbname=own)
    weir.start({f"database {own}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    with unread(postgres, own):
        other, client = weir.raw("web", own), weir.raw("web", own)
        client.query("SELECT wrapped(11)")
    follows(client, other)


@pytest.mark.parametrize("extension", ["", "postgis"])
@pytest.mark.parametrize("before", ["", "SELECT 'harmless'"], ids=["made", "replaced"])
def test_what_another_program_makes_while_nobody_uses_the_pool_counts_at_once(weir, postgres, own, before, extension):
    if not postgres.value("SELECT count(*) FROM pg_available_extensions WHERE name = %s", [extension or "plpgsql"]):
        pytest.skip(f"{extension} is not installed")
    postgres.query((f"CREATE EXTENSION {extension};" if extension else "") + (WRAPPED.replace(f"SELECT {SETS}", before) if before else "SELECT 1"), dbname=own)
    other, client = begin(weir, own)
    # It is believed for 2 s; on a slow machine, where the question takes long, for up to 20.
    wait_until(lambda: weir.console("SHOW DATABASE_CODE")[0]["age_ms"] > min(2500 * SLOWNESS, 20500), what="an answer that is old")
    postgres.query(WRAPPED, dbname=own)
    client.query("SELECT wrapped(11)")
    follows(client, other)


@pytest.mark.parametrize("extension", ["", "postgis"])
def test_a_name_that_another_program_makes_counts_from_the_first_use_on(weir, postgres, own, extension):
    if not postgres.value("SELECT count(*) FROM pg_available_extensions WHERE name = %s", [extension or "plpgsql"]):
        pytest.skip(f"{extension} is not installed")
    postgres.query(f"CREATE EXTENSION {extension}" if extension else "SELECT 1", dbname=own)
    other, client = begin(weir, own)
    for number in range(4):
        postgres.query(f"{VIEW_FOR_ALL}; ALTER VIEW sly RENAME TO sly_{number}", dbname=own)
        client.query(f"SELECT * FROM sly_{number}")
        assert is_clean(other)
        postgres.query(WRAPPED.replace("wrapped", f"wrapped_{number}").replace("'A'", f"'A{number}'"), dbname=own)
        client.query(f"SELECT wrapped_{number}(1)")
        assert is_clean(other)
        assert client.query(USER_ID) == [[f"A{number}"]]
        client.query("RESET app.user_id")


def test_a_name_that_is_not_ascii_counts_from_the_first_use_on_if_it_is_the_first(weir, postgres, own):
    other, client = begin(weir, own)
    postgres.query(WRAPPED.replace("wrapped", "größe"), dbname=own)
    client.query("SELECT größe(1)")
    follows(client, other)


def test_names_that_sql_makes_for_itself_are_not_new(weir, postgres, own):
    """A temporary table is, and is washed off; that closes no server, and keeps no client there."""
    postgres.query("CREATE TABLE plain (v int); GRANT ALL ON plain TO PUBLIC; CREATE FUNCTION odd() RETURNS int LANGUAGE c AS '$libdir/pgcrypto', "
                   "'pg_random_uuid'; CREATE FUNCTION made(v int) RETURNS int LANGUAGE internal IMMUTABLE AS 'int4up'", dbname=own)
    client, other = begin(weir, own)
    for sql in ("WITH x AS (SELECT 1 AS a), y (b) AS (SELECT a FROM x) SELECT y.b, made(2) FROM x z, y JOIN plain p ON v = b",
                "SELECT q.r, extract(year FROM s) FROM unnest(ARRAY[1], ARRAY[now()]) AS q (r, s), generate_series(1, 2) t (u) WHERE made(u) = r",
                "INSERT INTO plain (v) SELECT made(a) FROM (VALUES (1)) AS n (a)"):
        assert seals(weir, client, other, sql=sql) == 0, sql
    pid = client.query(PID)
    for wire in (client, other):
        for text in ("BEGIN", "CREATE TEMP TABLE fresh (a int) ON COMMIT DROP", "INSERT INTO fresh (a) VALUES (made(1))", "SELECT * FROM fresh", "COMMIT"):
            wire.query(text)
    assert other.query(PID) == pid


FOUND = {                           # code, A's step, what B asks, what it sees
    "pg_temp first in a function's own search_path": (
        "CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_temp, public AS "
        "$f$ BEGIN CREATE TABLE kept (v int); RETURN new; END $f$; CREATE TABLE t (v int); GRANT ALL ON t TO PUBLIC; "
        "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg()", INSERT, TEMPORARY, "0"),
    "statistics": (
        "CREATE TABLE t (v int, w int); INSERT INTO t SELECT i, i FROM generate_series(1, 100) i; CREATE STATISTICS s ON "
        "(pg_try_advisory_lock(v)) FROM t; ALTER TABLE t OWNER TO web", "ANALYZE t", ASK_LOCKS, "0"),
    "a function that makes a function": (
        r"""CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN CREATE OR REPLACE FUNCTION g() RETURNS text
        LANGUAGE plpgsql AS E'BEGIN RETURN set\x5fconfig(''app.user_id'', ''A'', false); END'; PERFORM g(); RETURN 1; END
        $f$""", "SELECT f()", USER_ID, ""),
}


@pytest.mark.parametrize("name", FOUND)
def test_code_is_found(weir, postgres, own, name):
    code, step, question, clean = FOUND[name]
    postgres.query(code, dbname=own)
    other, client = begin(weir, own)
    client.query(step)
    assert sees(other, client, question) == [[clean]]


def test_another_sessions_pg_temp_closes_no_connection(weir, postgres, own):
    postgres.query("CREATE TABLE orders (v text); GRANT ALL ON orders TO web", dbname=own)
    with contextlib.closing(postgres.connect(own)) as holder:
        holder.cursor().execute("; ".join(made for case, (made, _) in IN_PG_TEMP.items() if case in ("a function", "a domain")))
        other, client = begin(weir, own)
        pid = client.query(PID)
        assert seals(weir, other, client, sql="SELECT lower(v) FROM orders") == 0
        assert client.query(PID) == pid


LIBRARY = "SELECT count(*) FROM pg_settings WHERE name LIKE 'auto_explain.%'"
SET_IN_PG_TEMP = "CREATE FUNCTION pg_temp.{name}(v text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN {body} RETURN v; END $f$"
OF_ITS_OWN = {                      # what a client makes and uses in its own pg_temp, or undoes; what another one asks then, and sees
    "a setting": ([SET_IN_PG_TEMP.format(name="f", body=f"PERFORM {SETS};"), "SELECT pg_temp.f('')"], USER_ID, ""),
    "a setting by a known name": ([SET_IN_PG_TEMP.format(name="upper", body=f"PERFORM {SETS};"), "SELECT pg_temp.upper('')"], USER_ID, ""),
    "a setting by a domain": (["CREATE DOMAIN pg_temp.plain AS text CHECK (set_config('app.user_id', VALUE, false) = VALUE)", "SELECT 'A'::plain"], USER_ID, ""),
    "a lock by a domain and a function": ([SET_IN_PG_TEMP.format(name="f", body="PERFORM pg_advisory_lock(1);"),
                                           "CREATE DOMAIN pg_temp.plain AS text CHECK (pg_temp.f(VALUE) = VALUE)", "SELECT 'A'::plain"], ASK_LOCKS, "0"),
    "a library": ([SET_IN_PG_TEMP.format(name="f", body="LOAD 'auto_explain';"), "SELECT pg_temp.f('')"], LIBRARY, "0"),
    "a library, rolled back": (["BEGIN", SET_IN_PG_TEMP.format(name="f", body="LOAD 'auto_explain';"), "SELECT pg_temp.f('')", "ROLLBACK"], LIBRARY, "0"),
    "a library, dropped": ([SET_IN_PG_TEMP.format(name="f", body="LOAD 'auto_explain';").replace("pg_temp", "public") + "; SELECT f(''); DROP FUNCTION f"], LIBRARY, "0"),
    "a trigger's text": (["CREATE TEMP TABLE \"x; SELECT set_config('app.user_id', 'A', false)\" (v text)",
                          "CREATE TRIGGER x AFTER INSERT ON \"x; SELECT set_config('app.user_id', 'A', false)\" FOR EACH ROW EXECUTE FUNCTION audits()",
                          "INSERT INTO \"x; SELECT set_config('app.user_id', 'A', false)\" VALUES ('x')"], USER_ID, ""),
}


@pytest.mark.parametrize("how", ["drops it", "leaves"])
@pytest.mark.parametrize("case", OF_ITS_OWN)
def test_what_a_client_makes_in_its_own_pg_temp_leaves_nothing(weir, postgres, own, case, how):
    steps, question, clean = OF_ITS_OWN[case]
    postgres.query("CREATE TABLE plain (v text); CREATE FUNCTION audits() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN "
                   "EXECUTE format('INSERT INTO %s_log VALUES (1)', TG_TABLE_NAME); RETURN NULL; END $f$", dbname=own)
    other, client = begin(weir, own, user="postgres" if "library" in case or "trigger" in case else "web")
    for step in steps:
        client.send(query(step))
        client.read_until("Z")
    if how == "drops it":
        client.send(query("DISCARD ALL"))
        client.read_until("Z")
    else:
        client.leave()
    for _ in range(3):
        assert sees(other, client, question) == [[clean]]


# --- a name that leads elsewhere --------------------------------------------------------------------------------

def use_sly(client, other):
    """What B sees, whenever A has used that view."""
    seen = []
    for _ in range(20):
        client.query("SELECT * FROM sly")
        seen += other.query(USER_ID)
    return [row for row in seen if row != [""]]


def test_a_reload_to_another_database_forgets_the_code(weir, postgres, own):
    weir.start({"database x": {"upstream": weir.upstream() + " dbname=app"}}, pool_size=1, max_overflow=0)
    postgres.query(VIEW_FOR_ALL, dbname=own)
    other, client = weir.raw("web", "x"), weir.raw("web", "x")
    settle(other)
    weir.reload({"database x": {"upstream": weir.upstream() + f" dbname={own}"}}, pool_size=1, max_overflow=0)
    assert not use_sly(client, other)


def test_a_database_made_again_has_other_code(weir, postgres, own):
    postgres.query("CREATE DATABASE next OWNER web", dbname="postgres")
    postgres.query(VIEW_FOR_ALL, dbname="next")
    try:
        weir.start({f"database {own}": {"upstream": weir.upstream()},
                    "database boss": {"upstream": weir.upstream() + " dbname=postgres"}}, pool_size=1, max_overflow=0)
        boss, other, client = weir.raw("postgres", "boss"), weir.raw("web", own), weir.raw("web", own)
        settle(other)
        boss.query(f"DROP DATABASE {own}", f"CREATE DATABASE {own} TEMPLATE next")
        assert not use_sly(client, other)
    finally:
        postgres.query("DROP DATABASE next WITH (FORCE)", dbname="postgres")


def test_each_user_of_a_tenant_may_have_a_database(weir, postgres):
    postgres.query("CREATE DATABASE web OWNER web", dbname="postgres")
    postgres.query(VIEW_FOR_ALL, dbname="web")
    try:
        weir.start({"pgweir": {"tenants": "options"}, "tenant acme": {"upstream": weir.upstream() + " dbname=%{user}"}},
                   pool_size=1, max_overflow=0)
        tenant = {"options": "reference=acme"}
        settle(weir.raw("postgres", "x", parameters=tenant))
        assert not use_sly(weir.raw("web", "x", parameters=tenant), weir.raw("web", "x", parameters=tenant))
    finally:
        postgres.query("DROP DATABASE web WITH (FORCE)", dbname="postgres")


def test_many_parameters_cost_no_more_each(weir, postgres, own, sanitized):
    if sanitized:
        pytest.skip("its time is not the program's")
    postgres.query("CREATE FUNCTION mine(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", dbname=own)
    _, client = begin(weir, own)
    count = 8000
    sql = f"SELECT mine(1) FROM (VALUES {','.join(f'(${i + 1}::int)' for i in range(count))}) x LIMIT 1"
    ask(client, parse("s", sql) + sync())
    before = weir.cpu_seconds()
    for _ in range(10):
        ask(client, bind("", "s", ["1"] * count) + execute() + sync())
    assert weir.cpu_seconds() - before < 0.2
