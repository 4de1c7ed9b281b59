"""Which SQL is one read that may be run twice without anybody seeing it: no name in it reaches a VOLATILE function, a foreign
table, row locks, or what nobody knows (seal/database_code_signs.sql, effect; seal/risk_names.c). SHOW DATABASE_CODE FOR says so:
SQL that may do more has "effects". PostgreSQL itself says what is true: each VOLATILE function of the database counts its calls,
and whatever is called one read is run, and none was called."""

import contextlib

import psycopg
import pytest

import riskydatabase as risky
from test_hidden_code import answered, rows_of

pytestmark = pytest.mark.weir_only
EFFECTS = 4096                      # enum code_risk

# hits counts; hit() is VOLATILE, as is what nobody says anything of.
BEGIN = """CREATE SEQUENCE hits;
CREATE FUNCTION hit(x int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('hits'); RETURN x; END $$;
CREATE TABLE users (id int, name text); INSERT INTO users VALUES (1, 'a'), (2, 'b')"""
MORE, READ, UNRUN = "effects", "one read", "effects, uncounted"    # UNRUN: no function of the database's is called
LOCKS = "row locks"
CASES = [                           # what the database has besides; SQL, and what it is
    ("", {"SELECT 1": READ, "SELECT id, upper(name) FROM users WHERE id = 1 ORDER BY name": READ, "TABLE users": READ, "VALUES (1)": READ,
          "WITH a AS (SELECT 1 AS b) SELECT b FROM a": READ, "SELECT now(), current_user, clock_timestamp(), timeofday(), gen_random_uuid()": READ,
          "SELECT relname FROM pg_class WHERE relkind = 'r' LIMIT 1": READ, "SELECT count(*), max(id) FROM users GROUP BY name": READ,
          "SELECT * FROM users TABLESAMPLE system (50)": READ, "SELECT 1 FROM users WHERE name LIKE 'a%' AND id = ANY ('{1,2}')": READ,
          "SELECT hit(1)": MORE, "SELECT * FROM hit(1)": MORE, "SELECT 1 FROM users WHERE id = hit(id)": MORE, "VALUES (hit(1))": MORE,
          "SELECT nextval('hits')": MORE, "SELECT pg_catalog.nextval('hits')": MORE, "WITH a AS (SELECT hit(1)) SELECT * FROM a": MORE,
          "SELECT setval('hits', nextval('hits') + 1)": MORE,
          "SELECT query_to_xml('SELECT hit(1)', true, true, '')": MORE, "SELECT * FROM users FOR UPDATE": LOCKS, "SELECT * FROM users FOR KEY SHARE": LOCKS,
          "SELECT pg_sleep(0)": UNRUN, "SELECT pg_backend_pid()": UNRUN, "SELECT txid_current()": UNRUN, "SELECT pg_current_xact_id()": UNRUN,
          "SELECT pg_advisory_xact_lock(1)": UNRUN, "SELECT pg_notify('a', '')": UNRUN, "SELECT set_config('a.b', 'c', false)": UNRUN,
          "SELECT lo_create(0)": UNRUN, "SELECT currval('hits')": UNRUN, "SELECT lastval()": UNRUN, "SELECT pg_is_in_recovery()": UNRUN,
          "SELECT * FROM pg_stat_activity": READ, "SELECT * FROM pg_locks": READ, "SELECT * FROM information_schema.tables": READ,
          "INSERT INTO users VALUES (3, 'c') RETURNING id": UNRUN, "WITH a AS (DELETE FROM users RETURNING id) SELECT * FROM a": UNRUN,
          "SELECT 1; SELECT 2": UNRUN, "EXPLAIN ANALYZE SELECT 1": UNRUN, "SELECT no_such_function(1)": UNRUN, "SELECT * FROM no_such_table": UNRUN,
          "SELECT 1 INTO made": UNRUN}),
    ("CREATE FUNCTION quiet(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x + 1'", {"SELECT quiet(1)": READ}),
    ("CREATE FUNCTION reads(x int) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT name FROM users WHERE id = x); END $$",
     {"SELECT reads(1), reads(id) FROM users": READ}),
    ("CREATE FUNCTION unsaid(x int) RETURNS int LANGUAGE sql AS 'SELECT x'", {"SELECT unsaid(1)": UNRUN}),
    ("CREATE FUNCTION lies(x int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN hit(x); END $$", {"SELECT lies(1)": MORE}),
    ("CREATE FUNCTION lies_more(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN lies(x); END $$", {"SELECT lies_more(id) FROM users": MORE}),
    ("CREATE FUNCTION next() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN nextval('hits'); END $$", {"SELECT next()": MORE}),
    ("CREATE FUNCTION next_of_standard() RETURNS bigint LANGUAGE sql STABLE RETURN nextval('hits')", {"SELECT next_of_standard()": MORE}),
    ("CREATE FUNCTION next_alias(regclass) RETURNS bigint LANGUAGE internal STABLE AS 'nextval_oid'", {"SELECT next_alias('hits')": MORE}),
    ("CREATE FUNCTION by_default(x int DEFAULT nextval('hits')) RETURNS int LANGUAGE sql STABLE AS 'SELECT x'", {"SELECT by_default()": MORE}),
    ("CREATE FUNCTION dynamic() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN EXECUTE 'SELECT h' || 'it(1)'; RETURN 1; END $$", {"SELECT dynamic()": MORE}),
    ("CREATE FUNCTION of_row(u users) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN hit(1); END $$", {"SELECT u.of_row FROM users u": MORE}),
    ("CREATE VIEW seen AS SELECT id FROM users", {"SELECT * FROM seen": READ}),
    ("CREATE VIEW counted AS SELECT hit(1) AS a", {"SELECT * FROM counted": MORE, "SELECT table_to_xml('counted', true, true, '')": MORE}),
    ("CREATE VIEW counted_again AS SELECT a FROM counted", {"TABLE counted_again": MORE}),
    ("CREATE VIEW numbers AS SELECT nextval('hits') AS a", {"SELECT 1 FROM users, public.numbers": MORE}),
    ("CREATE VIEW sessions AS SELECT pid FROM pg_stat_activity", {"SELECT * FROM sessions": READ}),
    ("CREATE VIEW own_session AS SELECT * FROM pg_stat_activity WHERE pid = pg_backend_pid()", {"SELECT * FROM own_session": UNRUN}),
    ("CREATE VIEW locking AS SELECT id FROM users FOR UPDATE", {"SELECT * FROM locking": LOCKS}),
    ("CREATE VIEW locking_below AS WITH a AS (SELECT 1 FROM (SELECT id FROM users FOR KEY SHARE SKIP LOCKED) b) TABLE a", {"TABLE locking_below": LOCKS}),
    ("CREATE VIEW locking_again AS SELECT id FROM locking", {"SELECT 1 FROM users, locking_again": LOCKS}),
    ("CREATE FUNCTION locks() RETURNS SETOF users LANGUAGE sql STABLE AS 'SELECT * FROM users FOR/**/UPDATE'", {"SELECT * FROM locks()": LOCKS}),
    ("CREATE FUNCTION locks_shared() RETURNS SETOF users LANGUAGE sql IMMUTABLE AS 'SELECT * FROM users FOR SHARE'", {"SELECT * FROM locks_shared()": LOCKS}),
    ("CREATE FUNCTION locks_atomic() RETURNS SETOF users STABLE BEGIN ATOMIC SELECT * FROM users FOR UPDATE; END", {"SELECT * FROM locks_atomic()": LOCKS}),
    ("CREATE FUNCTION locks_by_view() RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT id FROM locking'", {"SELECT * FROM locks_by_view()": LOCKS}),
    ("CREATE TABLE guarded_by_locks (v int); INSERT INTO guarded_by_locks VALUES (1); ALTER TABLE guarded_by_locks ENABLE ROW LEVEL SECURITY; "
     "CREATE POLICY p ON guarded_by_locks USING (EXISTS (SELECT FROM users FOR UPDATE))", {"SELECT * FROM guarded_by_locks": LOCKS}),
    ("CREATE TABLE guarded (v int); INSERT INTO guarded VALUES (1); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY; "
     "CREATE POLICY p ON guarded USING (hit(v) > 0)", {"SELECT * FROM guarded": MORE}),
    ("CREATE TABLE guarded_well (v int); ALTER TABLE guarded_well ENABLE ROW LEVEL SECURITY; "
     "CREATE POLICY p ON guarded_well USING (v = current_setting('my.tenant', true)::int)", {"SELECT * FROM guarded_well": READ}),
    ("CREATE TABLE triggered (v int); CREATE FUNCTION row_hit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM hit(1); RETURN new; END $$; "
     "CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION row_hit(); CREATE RULE r AS ON UPDATE TO triggered DO ALSO SELECT hit(1)",
     {"SELECT v, t.v FROM triggered t": READ}),
    ("CREATE TABLE numbered (i serial PRIMARY KEY, v int DEFAULT hit(1), w int GENERATED ALWAYS AS IDENTITY)", {"SELECT * FROM numbered": READ}),
    ("CREATE TABLE checked (v int CHECK (hit(v) > 0))", {"SELECT * FROM checked": UNRUN}),          # though reading calls no check
    ("CREATE TABLE generated (v int, w int GENERATED ALWAYS AS (lies_more(v)) STORED); INSERT INTO generated VALUES (1)", {"SELECT * FROM generated": READ}),
    ("CREATE DOMAIN positive AS int CHECK (VALUE > 0)", {"SELECT 1::positive": READ}),
    ("CREATE DOMAIN counting AS int CHECK (hit(VALUE) > 0)", {"SELECT 1::counting": MORE, "SELECT CAST(1 AS public.counting)": MORE, "SELECT counting '1'": MORE}),
    ("CREATE TABLE of_counting (v counting); INSERT INTO of_counting VALUES (1)", {"SELECT * FROM of_counting": UNRUN}),
    ("CREATE TYPE pair AS (a int, b int)", {"SELECT (1, 2)::pair": READ}),
    ("CREATE TYPE pair_of_counting AS (a counting)", {"SELECT '(1)'::pair_of_counting": MORE}),
    ("CREATE TYPE mood AS ENUM ('ok'); CREATE FUNCTION of_mood(mood) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN hit(1); END'; "
     "CREATE CAST (mood AS int) WITH FUNCTION of_mood(mood)", {"SELECT 'ok'::mood::int": MORE}),
    ("CREATE TYPE state AS ENUM ('on', 'off'); CREATE TABLE states (s state)", {"SELECT 'on'::state, s FROM states WHERE s > 'on'": READ}),
    ("CREATE FUNCTION plus_hit(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN hit($1 + $2); END'; "
     "CREATE OPERATOR |+| (LEFTARG = int, RIGHTARG = int, FUNCTION = plus_hit)", {"SELECT 1 |+| 2": MORE, "SELECT 1 OPERATOR(public.|+|) 2": MORE}),
    ("CREATE OPERATOR |-| (LEFTARG = int, RIGHTARG = int, FUNCTION = int4mi)", {"SELECT 1 |-| 2": READ}),
    ("CREATE OPERATOR ##> (RIGHTARG = regclass, FUNCTION = nextval)", {"SELECT ##> 'hits'::regclass": MORE}),
    ("CREATE AGGREGATE sum_hit(int) (SFUNC = plus_hit, STYPE = int, INITCOND = '0')", {"SELECT sum_hit(id) FROM users": MORE}),
    ("CREATE FUNCTION keep_last(regclass, text) RETURNS regclass LANGUAGE sql IMMUTABLE AS 'SELECT $2::regclass'; "
     "CREATE AGGREGATE last_number(text) (SFUNC = keep_last, STYPE = regclass, FINALFUNC = nextval)", {"SELECT last_number('hits')": MORE}),
    ("CREATE AGGREGATE sum_well(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0')", {"SELECT sum_well(id) FROM users": READ}),
    ("CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE abroad (line text) SERVER files OPTIONS (filename '/etc/passwd')",
     {"SELECT * FROM abroad": UNRUN}),
    ("CREATE VIEW far AS SELECT line FROM abroad", {"SELECT * FROM far": UNRUN}),
    ("CREATE TABLE parted (line text) PARTITION BY LIST (line); ALTER TABLE parted ATTACH PARTITION abroad FOR VALUES IN ('a')", {"SELECT * FROM parted": UNRUN}),
    ("CREATE TABLE parts (a int) PARTITION BY RANGE (a); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10)", {"SELECT * FROM parts": READ}),
    ("CREATE EXTENSION pgcrypto; CREATE EXTENSION hstore; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION \"uuid-ossp\"",
     {"SELECT digest('a', 'md5'), 'a=>1'::hstore -> 'a'": READ, "SELECT gen_random_bytes(8), uuid_generate_v4()": READ, "SELECT gen_salt('md5')": UNRUN,
      "SELECT * FROM pg_stat_statements": UNRUN}),
    ("CREATE FUNCTION random(text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN hit(1); END'", {"SELECT public.random('a')": MORE}),
    ("CREATE VIEW statements AS SELECT query FROM pg_stat_statements", {"SELECT * FROM statements": UNRUN}),
    ("CREATE EXTENSION dblink", {"SELECT * FROM dblink('dbname=postgres', 'SELECT 1') AS x (a int)": UNRUN}),
    ("CREATE FUNCTION in_c(text, text) RETURNS text LANGUAGE c IMMUTABLE AS '$libdir/pgcrypto', 'pg_digest'", {"SELECT in_c('a', 'md5')": UNRUN}),
    ("CREATE TABLE \"Ünïcode\" (v int); CREATE FUNCTION \"größe\"() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN hit(1); END'",
     {"SELECT \"größe\"()": MORE}),
    ("CREATE MATERIALIZED VIEW kept AS SELECT id FROM users", {"SELECT * FROM kept": READ}),
]


@contextlib.contextmanager
def database(postgres, name):
    postgres.query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", dbname="postgres")
    postgres.query(f"CREATE DATABASE {name}", dbname="postgres")
    with contextlib.closing(postgres.connect(name)) as db, db.cursor() as cursor:
        db.autocommit = True
        cursor.execute(BEGIN)
        for code, _ in CASES:
            cursor.execute(code or "SELECT")
        cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO web; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO web")
        yield cursor
    postgres.query(f"DROP DATABASE {name} WITH (FORCE)", dbname="postgres")


def told(weir, statements):
    """Which of these pgweir calls one read."""
    with psycopg.connect(weir.dsn("admin", "pgweir"), autocommit=True) as console:
        def state(sql):
            quoted = sql.replace("'", "''")
            return console.execute(f"SHOW DATABASE_CODE FOR '{quoted}'").fetchall()[-1][3]
        return {sql: "effects" not in state(sql) for sql in statements}


def test_what_may_be_run_twice(weir, postgres):
    expected = {sql: what == READ for _, statements in CASES for sql, what in statements.items()}
    with database(postgres, "twice") as cursor:
        answered(weir, "twice")
        assert {sql: is_read for sql, is_read in told(weir, expected).items() if is_read != expected[sql]} == {}
        # It is so: what is called a read calls none of the functions that count, and begins to write nothing.
        cursor.execute("SET ROLE web")
        for sql, what in ((sql, what) for _, statements in CASES for sql, what in statements.items()):
            if what != UNRUN:
                cursor.execute("BEGIN; SELECT last_value + is_called::int FROM hits")
                before = cursor.fetchone()[0]
                cursor.execute(sql)
                cursor.execute("SELECT last_value + is_called::int, pg_current_xact_id_if_assigned() FROM hits")
                after, xid = cursor.fetchone()
                cursor.execute("COMMIT")
                assert (sql, after > before, what in (READ, LOCKS) and xid is not None) == (sql, what == MORE, what == LOCKS)


# What is in the way of all SQL, or of SQL with such a parameter.
WIDE = {
    "a cast between PostgreSQL's own types": ("CREATE TYPE k AS ENUM ('a'); CREATE FUNCTION c(text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN hit(1); END'; "
                                              "CREATE CAST (text AS int) WITH FUNCTION c(text)"),
    "an operator class": ("CREATE FUNCTION o(int, text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN hit(0); END'; "
                          "ALTER OPERATOR FAMILY integer_ops USING btree ADD FUNCTION 1 (int, text) o(int, text)"),
}


@pytest.mark.parametrize("code", WIDE)
def test_what_makes_no_sql_one_read(postgres, code):
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        cursor.execute(f"BEGIN; {BEGIN}; {WIDE[code]}")
        rows = risky.names_of(cursor).rows
        cursor.execute("ROLLBACK")
    assert [int(value.split()[1]) & EFFECTS for kind, _, value in rows if kind == "a"] == [EFFECTS]


def test_a_parameter_of_a_domain_that_calls_one(postgres):
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        cursor.execute(f"BEGIN; {BEGIN}; CREATE DOMAIN d AS int CHECK (hit(VALUE) > 0); CREATE DOMAIN e AS int CHECK (VALUE > 0); "
                       "SELECT 'd'::regtype::oid::text, 'd[]'::regtype::oid::text, 'e'::regtype::oid::text")
        oids = cursor.fetchone()
        rows = risky.names_of(cursor).rows
        cursor.execute("ROLLBACK")
    types = {name: int(value.split()[0]) & EFFECTS for kind, name, value in rows if kind == "t"}
    assert [types.get(oid, 0) for oid in oids] == [EFFECTS, EFFECTS, 0]


def with_effects(cursor, question):
    rows = risky.names_of(cursor, question).rows
    return {row for row in rows if row[0] == "e"} | {(name, value.split()[0]) for kind, name, value in rows if kind == "r" and int(value.split()[1]) & EFFECTS}


def test_each_row_about_effects_is_needed(postgres):
    """Without any of them, fewer names have effects."""
    question = risky.question()
    rows = [pair for pair in rows_of(question, "base") if str(EFFECTS) in pair[0] or "5120" in pair[0]]
    assert len(rows) > 4
    with database(postgres, "needed") as cursor:
        whole = with_effects(cursor, question)
        assert [row for row, without in rows if with_effects(cursor, without) == whole] == []
