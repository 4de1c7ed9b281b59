"""Nothing is washed off a server if nothing can be there: tests of that proof. Each row is a database with a little code
that tries to be taken for harmless, or SQL that does, and a client A who uses it; B, who has the same server afterwards,
must see what it saw before. And whatever A leaves behind, B's first statement is answered: what A has done costs B nothing.

What a row leaves is first proved with PostgreSQL itself.
"""

import time
from typing import NamedTuple

import pytest

import transport
from compare import converse, normalized
from rawwire import (Wire, WireError, bind, errors, execute, flush, function_call, one_statement, parse, query, shape,
                     sync, terminate, texts)
from waiting import wait_until

pytestmark = pytest.mark.weir_only

USER_ID = "SELECT coalesce(current_setting('app.user_id', true), '')"
WORK_MEM = "SELECT current_setting('work_mem')"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
TEMPORARY = "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()"
TRIGGER = """CREATE TABLE t (v int);
    CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $f$ {body} $f$;
    CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg(); GRANT ALL ON t TO PUBLIC;"""
INSERT = "INSERT INTO t VALUES (1)"


class Sly(NamedTuple):
    """code: the database's; steps: A's; ask: what B asks."""

    code: str
    steps: tuple
    ask: str
    startup: dict = {}
    user: str = "web"


def body(text, ask, **more):
    return Sly(TRIGGER.format(body=text), (INSERT,), ask, **more)


def no_code(ask, *steps, **more):
    return Sly("", steps, ask, **more)


SLY = {
    "pg_settings, updated": no_code(WORK_MEM, "UPDATE pg_settings SET setting = '7MB' WHERE name = 'work_mem'"),
    "pg_settings, updated by a function":
        body("BEGIN UPDATE pg_settings SET setting = '7MB' WHERE name = 'work_mem'; RETURN new; END", WORK_MEM),
    "pg_settings, updated by a view":
        Sly("CREATE VIEW v AS SELECT * FROM pg_settings; GRANT ALL ON v TO PUBLIC",
            ("UPDATE v SET setting = '7MB' WHERE name = 'work_mem'",), WORK_MEM),
    "ts_stat() as an attribute": no_code(
        USER_ID, "SELECT x.ts_stat FROM concat('SELECT to_tsvector(set_con', 'fig(''app.user_id'', ''A'', false))') x"),
    "advisory lock as an attribute": no_code(LOCKS, "SELECT x.pg_advisory_lock FROM abs(4711::bigint) x"),
    "SELECT INTO with pg_temp first": no_code(TEMPORARY, "SELECT 1 AS v INTO kept", startup={"search_path": "pg_temp"}),
    "SELECT INTO after pg_temp came first":
        no_code(TEMPORARY, "SET search_path = pg_temp, public", "SELECT 1", "SELECT 1 AS v INTO kept"),
    "CREATE TABLE by a function, pg_temp at the start":
        body("BEGIN CREATE TABLE kept (v int); RETURN new; END", TEMPORARY, startup={"search_path": "pg_temp,public"}),
    "CREATE TABLE by a function, pg_temp before":
        Sly(TRIGGER.format(body="BEGIN CREATE TABLE kept (v int); RETURN new; END"),
            ("SET search_path = pg_temp, public", "SELECT 1", INSERT), TEMPORARY),
    "CREATE TABLE AS by a function, pg_temp at the start":
        body("BEGIN CREATE TABLE kept AS SELECT 1; RETURN new; END", TEMPORARY, startup={"search_path": "pg_temp,public"}),
    "pg_trgm's limit": Sly("CREATE EXTENSION pg_trgm", ("SELECT set_limit(0.9)",), "SELECT show_limit()"),
    "isn's weak mode": Sly("CREATE EXTENSION isn", ("SELECT isn_weak(true)",), "SELECT isn_weak()"),
    "SET behind a comment": body("BEGIN /* x */SET app.user_id = 'A'; RETURN new; END", USER_ID),
    "SET behind a comment's line": body("BEGIN -- x\nSET app.user_id = 'A'; RETURN new; END", USER_ID),
    "SET behind a nested comment": body("BEGIN /* /* x */ y */ SET app.user_id = 'A'; RETURN new; END", USER_ID),
    "SET behind nothing": body("BEGIN IF true THEN SET app.user_id TO 'A'; END IF; RETURN new; END", USER_ID),
    "SET in a loop": body("BEGIN FOR i IN 1..1 LOOP SET app.user_id TO 'A'; END LOOP; RETURN new; END", USER_ID),
    "SET in a handler": body("BEGIN RAISE EXCEPTION 'x'; EXCEPTION WHEN others THEN SET app.user_id TO 'A'; RETURN new; "
                             "END", USER_ID),
    "SET behind an old Mac's comment": body("BEGIN -- x\rSET app.user_id = 'A'; RETURN new; END", USER_ID),
    "a function's name in Unicode": body("BEGIN PERFORM U&\"set\\005fconfig\"('app.user_id', 'A', false); RETURN new; END",
                                         USER_ID),
    "a name in quotes": body('BEGIN PERFORM "pg_catalog"."set_config"(\'app.user_id\', \'A\', false); RETURN new; END',
                             USER_ID),
    "a builtin in a default": Sly("CREATE TABLE t (v int, w text DEFAULT set_config('app.user_id', 'A', false)); "
                                  "GRANT ALL ON t TO PUBLIC", ("INSERT INTO t (v) VALUES (1)",), USER_ID),
    "a builtin in a policy": Sly("CREATE TABLE t (v int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC; "
                                 "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING "
                                 "(set_config('app.user_id', 'A', false) = 'A')", ("SELECT * FROM t",), USER_ID),
    "a builtin in a check": Sly("CREATE TABLE t (v text CHECK (set_config('app.user_id', v, false) = v)); GRANT ALL ON t TO "
                                "PUBLIC", ("INSERT INTO t VALUES ('A')",), USER_ID),
    "a builtin in a domain": Sly("CREATE DOMAIN d AS text CHECK (set_config('app.user_id', VALUE, false) = VALUE); "
                                 "CREATE TABLE t (v d); GRANT ALL ON t TO PUBLIC", ("INSERT INTO t VALUES ('A')",), USER_ID),
    "a builtin in a rule": Sly("CREATE TABLE t (v text); GRANT ALL ON t TO PUBLIC; CREATE RULE r AS ON INSERT TO t DO ALSO "
                               "SELECT set_config('app.user_id', new.v, false)", ("INSERT INTO t VALUES ('A')",), USER_ID),
    "a builtin in a trigger's WHEN": Sly(
        "CREATE TABLE t (v text); GRANT ALL ON t TO PUBLIC; CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW WHEN "
        "(set_config('app.user_id', new.v, false) = 'B') EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ("INSERT INTO t VALUES ('A')",), USER_ID),
    "a builtin in a parameter's default": Sly(
        "CREATE FUNCTION f(v text DEFAULT set_config('app.user_id', 'A', false)) RETURNS text LANGUAGE sql AS 'SELECT v'",
        ("SELECT f()",), USER_ID),
    "a builtin behind an operator": Sly("CREATE OPERATOR ~~~ (RIGHTARG = bigint, FUNCTION = pg_try_advisory_lock)",
                                        ("SELECT ~~~ 4711::bigint",), LOCKS),
    "a builtin as an aggregate's end": Sly(
        "CREATE AGGREGATE a(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0', FINALFUNC = pg_try_advisory_lock)",
        ("SELECT a(v) FROM (VALUES (4711::bigint)) x (v)",), LOCKS),
    "a builtin as a moving aggregate's end": Sly(
        "CREATE AGGREGATE a(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0', FINALFUNC = pg_try_advisory_xact_lock, "
        "MSFUNC = int8pl, MINVFUNC = int8mi, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = pg_try_advisory_lock)",
        ("SELECT a(v) OVER (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM generate_series(1::bigint, 3) v",),
        LOCKS),
    "an index on an alias": Sly(
        "CREATE FUNCTION quiet(text, text, bool) RETURNS text IMMUTABLE LANGUAGE internal AS 'set_config_by_name'; "
        "CREATE TABLE t (v text); CREATE INDEX ON t (quiet('app.user_id', v, false)); GRANT ALL ON t TO PUBLIC",
        ("INSERT INTO t VALUES ('A')",), USER_ID),
}


@pytest.fixture(scope="module")
def databases(postgres):
    names = {}
    for number, (name, sly) in enumerate(SLY.items()):
        dbname = f"sly_{number}"
        postgres.query(f"CREATE DATABASE {dbname} OWNER web", dbname="postgres")
        postgres.query("GRANT ALL ON SCHEMA public TO PUBLIC" + ("; " + sly.code if sly.code else ""), dbname=dbname)
        names[name] = dbname
    yield names
    for dbname in names.values():
        postgres.query(f"DROP DATABASE {dbname} WITH (FORCE)", dbname="postgres")


def direct(postgres):
    address = (postgres.host, postgres.port)
    return transport.Address(address) if transport.IS_TLS else address


def settle(wire):
    """Until the answer about the code is fresh: it is asked for when the server comes back."""
    for _ in range(3):
        wire.query("SELECT 1")
        time.sleep(0.03)


def sees(weir, wire, client, ask):
    """What B sees; a client that keeps the server is asked to leave."""
    wire.send(query(ask))
    if wire.has_nothing_more(0.25):
        client.leave()
    replies = wire.read_until("Z")
    assert not errors(replies), errors(replies)[0].error
    return texts(replies)


@pytest.mark.long
@pytest.mark.sweep(keep=0)
@pytest.mark.parametrize("state", ["track", "isolate"])
def test_code_that_looks_harmless_is_found(weir, postgres, databases, state):
    weir.start({f"database {dbname}": {"upstream": weir.upstream()} for dbname in databases.values()}, pool_size=1,
               max_overflow=0, session_state=state)
    wrong = []
    for name, sly in SLY.items():
        dbname = databases[name]
        with Wire(direct(postgres)).login(sly.user, dbname, parameters=sly.startup) as wire:
            clean = wire.query(sly.ask)
            for step in sly.steps:
                wire.query(step)
            assert wire.query(sly.ask) != clean, f"{name}: leaves nothing"
            postgres.query("DROP TABLE IF EXISTS kept", dbname=dbname)
        other, client = weir.raw(sly.user, dbname), weir.raw(sly.user, dbname, parameters=sly.startup)
        settle(other)
        for step in sly.steps:
            client.query(step)
        seen = sees(weir, other, client, sly.ask)
        if seen != clean:
            wrong.append(f"{name}: B sees {seen}, not {clean}")
        client.close()
        other.close()
    assert not wrong, "\n".join(wrong)


# --- code that comes later --------------------------------------------------------------------------------------

VIEW = "CREATE OR REPLACE VIEW sly AS SELECT set_config('app.user_id', 'A', false)"
LATER = {
    "by the client": (VIEW,),
    "in a transaction": ("BEGIN", VIEW, "SELECT * FROM sly", "COMMIT"),
    "among others": (f"SELECT 1; {VIEW}; SELECT 2",),
    "in a DO block": (f"DO $$ BEGIN EXECUTE reverse('{VIEW[::-1].replace(chr(39), chr(39) * 2)}'); END $$",),
    "by EXPLAIN": ("CREATE FUNCTION pg_temp.later() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN EXECUTE reverse('"
                   f"{VIEW[::-1].replace(chr(39), chr(39) * 2)}'); RETURN 1; END $f$", "EXPLAIN ANALYZE SELECT pg_temp.later()"),
}


@pytest.fixture
def later(postgres):
    postgres.query("CREATE DATABASE sealed_later OWNER web", dbname="postgres")
    yield "sealed_later"
    postgres.query("DROP DATABASE sealed_later WITH (FORCE)", dbname="postgres")


@pytest.mark.parametrize("how", LATER)
def test_code_that_a_client_makes_counts_at_once(weir, later, how):
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    other, client = weir.raw("web", later), weir.raw("web", later)
    settle(other)
    for step in LATER[how]:
        client.query(step)
    for _ in range(3):
        client.query("SELECT * FROM sly")
        assert sees(weir, other, client, USER_ID) == [[""]]
        if client.sock.fileno() < 0:
            client = weir.raw("web", later)


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


def three_clients(weir, postgres, later, before="", **upstream):
    """On two servers, in a database where code makes code: who makes it, who runs it, and who must not find what that sets."""
    postgres.query(RUNS + "ALTER TABLE plain OWNER TO web; GRANT ALL ON SCHEMA public TO web;" + before, dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream(**upstream)}}, pool_size=2, max_overflow=0)
    wires = [weir.raw("web", later) for _ in range(3)]
    settle(wires[-1])
    for wire in wires:
        wire.query("SELECT 1 FROM plain")
    return wires


def risky_names(weir):
    return {(row["name"], row["kind"], row["state"], row["in_writes"]) for row in weir.console("SHOW DATABASE_CODE")}


def another_answer(weir, before, client):
    """Waits until pgweir has found that the code is another one, which takes it two seconds at most."""
    began = time.monotonic()
    wait_until(lambda: client.query("SELECT 1") and risky_names(weir) != before, what="another answer")
    return time.monotonic() - began


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("how", UNSEEN)
def test_code_that_code_makes_counts_soon(weir, postgres, later, how):
    """A runs a function that makes a view; soon B reads it, which sets a setting; C must not find that."""
    maker, client, other = three_clients(weir, postgres, later)
    wait_until(lambda: client.query("SELECT 1") and new_code(weir, "runs"), what="an answer")
    before = risky_names(weir)
    UNSEEN[how](maker)
    wait_until(lambda: postgres.value("SELECT count(*) FROM pg_views WHERE viewname = 'sly'", dbname=later) == 1)
    another_answer(weir, before, client)
    for _ in range(3):
        client.query("SELECT * FROM sly")
        assert other.query(USER_ID) in ([[""]], [[None]])


@pytest.mark.parametrize("steps", [("BEGIN", RUN_VIEW, "SELECT * FROM sly", "COMMIT"), (f"{RUN_VIEW}; SELECT * FROM sly",)])
def test_code_that_code_makes_counts_at_once_for_its_maker(weir, postgres, later, steps):
    """What it leaves by that before others' requests come is washed off."""
    postgres.query(RUNS + "GRANT ALL ON SCHEMA public TO web", dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    maker, other = weir.raw("web", later), weir.raw("web", later)
    wait_until(lambda: other.query("SELECT 1") and new_code(weir, "runs"), what="an answer")
    for step in steps:
        maker.query(step)
    assert other.query(USER_ID) in ([[""]], [[None]])


SETS = "set_config('app.user_id', 'A', false)"
CHECKS = "CHECK (set_config('app.user_id', VALUE, false) = VALUE)"
LATE = {                            # what is there before, what code makes, and who then sets a setting
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
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("what", LATE)
def test_whatever_code_makes_counts_soon(weir, postgres, later, what):
    """As above: A runs a function that makes it, B uses it, C must not find what that leaves."""
    before, made, used = LATE[what]
    sql = f"SET SESSION AUTHORIZATION {'postgres' if 'internal' in before else 'web'}; {before}"
    maker, client, other = three_clients(weir, postgres, later, sql)
    wait_until(lambda: client.query("SELECT 1") and new_code(weir, "runs"), what="an answer")
    known = risky_names(weir)
    maker.query(f"SELECT runs($q${made}$q$)")
    another_answer(weir, known, client)
    for _ in range(2):
        client.query(used)
        assert other.query(USER_ID) in ([[""]], [[None]])


def test_ddl_counts_at_once_in_a_database_of_two_names(weir, postgres, later):
    postgres.query("CREATE TABLE plain (v text); GRANT ALL ON SCHEMA public TO web", dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()},
                "database alias": {"upstream": weir.upstream(dbname=later)}}, pool_size=1, max_overflow=0)
    maker, client, other = weir.raw("web", later), weir.raw("web", "alias"), weir.raw("web", "alias")
    settle(maker)
    settle(other)
    maker.query(VIEW)
    client.query("SELECT * FROM sly")
    assert other.query(USER_ID) in ([[""]], [[None]])


def test_ddl_of_a_client_that_does_not_wait_for_its_answer_counts(weir, postgres, later):
    postgres.query("CREATE VIEW sly AS SELECT ''::text AS set_config; ALTER VIEW sly OWNER TO web; GRANT ALL ON SCHEMA public TO web",
                   dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    client, other = weir.raw("web", later), weir.raw("web", later)
    settle(other)

    def makes():
        maker = weir.raw("web", later)
        maker.query("BEGIN")
        maker.send(query(VIEW), query("COMMIT"))
        maker.close()
        return "app.user_id" in postgres.value("SELECT pg_get_viewdef('sly')", dbname=later)
    wait_until(makes, what="one whose server was not ended first")
    client.query("SELECT * FROM sly")
    for _ in range(2):
        assert other.query(USER_ID) in ([[""]], [[None]])
        assert client.query("SELECT 1") == [["1"]]


def seals_of_two(weir, client, other):
    """How often a server is washed that the two take turns on."""
    before = weir.metric_now("pgweir_pool_seals_total")
    for _ in range(4):
        client.query("SELECT 1 FROM plain")
        other.query("SELECT 1 FROM plain")
    return weir.metric_now("pgweir_pool_seals_total") - before


def test_a_call_that_may_make_code_costs_others_nothing(weir, postgres, later):
    """Neither while it is under way, nor in a transaction, nor behind it."""
    postgres.query(RUNS, dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    maker, client, other = (weir.raw("web", later) for _ in range(3))
    wait_until(lambda: client.query("SELECT 1") and new_code(weir, "runs"), what="an answer")
    settle(other)
    holder = postgres.connect(later)
    holder.cursor().execute("SELECT pg_advisory_lock(1)")
    maker.send(query("SELECT runs('SELECT pg_advisory_xact_lock(1)')"))
    assert seals_of_two(weir, client, other) == 0
    holder.close()
    assert not maker.has_nothing_more(5)
    maker.query("BEGIN")
    maker.query("SELECT runs('SELECT 1')")
    assert seals_of_two(weir, client, other) <= 1   # of the maker's own server, when the call was over
    maker.query("COMMIT")
    assert seals_of_two(weir, client, other) <= 1


AUDIT = """CREATE TABLE plain (v text); CREATE TABLE audit_plain (at timestamptz, was jsonb); GRANT ALL ON plain, audit_plain TO web;
    INSERT INTO plain VALUES ('x'); CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE format('INSERT INTO audit_%I VALUES (now(), $1)', TG_TABLE_NAME) USING to_jsonb(OLD); RETURN NULL; END $$;
    CREATE TRIGGER audit AFTER UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION audit_row();"""


def test_audited_updates_cost_no_wash(weir, postgres, later):
    """The trigger's EXECUTE can do nothing but insert; a default that sets something there counts, however."""
    postgres.query(AUDIT, dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    clients = [weir.raw("web", later) for _ in range(2)]
    settle(clients[0])

    def seals():
        before = weir.metric_now("pgweir_pool_seals_total")
        for client in clients * 4:
            client.query("UPDATE plain SET v = v")
        return weir.metric_now("pgweir_pool_seals_total") - before

    assert seals() == 0
    assert postgres.query("SELECT count(*) FROM audit_plain", dbname=later) == [(8,)]
    postgres.query(f"ALTER TABLE audit_plain ADD user_id text DEFAULT {SETS}", dbname=later)
    wait_until(lambda: clients[0].query("SELECT 1") and any(row["name"] == "audit_plain" for row in weir.console("SHOW DATABASE_CODE")), 20, "the answer")
    assert seals() >= 7
    assert clients[1].query(USER_ID) in ([[""]], [[None]])


@pytest.mark.parametrize("state", ["track", "allow"])
def test_ddl_that_is_committed_is_soon_over(weir, postgres, later, state):
    postgres.query(RUNS + "GRANT ALL ON SCHEMA public TO web", dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}, "user reporting": {"session_state": state}}, pool_size=2, max_overflow=0)
    postgres.query("GRANT ALL ON SCHEMA public TO reporting", dbname=later)
    maker, client, other = weir.raw("reporting", later), weir.raw("web", later), weir.raw("web", later)
    settle(other)
    for text in ("BEGIN", "CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'", "COMMIT"):
        maker.query(text)
    wait_until(lambda: seals_of_two(weir, client, other) == 0, what="the answer")


@pytest.mark.parametrize("made", ["SELECT v INTO sly FROM has_domain", "CREATE TABLE sly AS SELECT v FROM has_domain",
                                  "EXPLAIN ANALYZE CREATE TABLE sly AS SELECT v FROM has_domain",
                                  "EXPLAIN (COSTS OFF, ANALYZE) SELECT v INTO sly FROM has_domain"])
def test_a_table_made_of_a_query_has_its_domains(weir, postgres, later, made):
    """PostgreSQL's tag for it is that of a SELECT, or EXPLAIN."""
    postgres.query(RUNS + f"CREATE DOMAIN d AS text {CHECKS}; CREATE TABLE has_domain (v d); GRANT ALL ON has_domain TO web; "
                   "GRANT ALL ON SCHEMA public TO web", dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    maker, client, other = (weir.raw("web", later) for _ in range(3))
    settle(other)
    maker.query(made)
    client.query("INSERT INTO sly VALUES ('A') RETURNING 1")
    assert other.query(USER_ID) in ([[""]], [[None]])


def test_temporary_tables_that_code_makes_cost_no_question(weir, postgres, later, tap):
    if transport.IS_TLS:
        pytest.skip("what is encrypted can't be read")
    postgres.query(RUNS, dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream(port=tap.port)}}, pool_size=1, max_overflow=0)
    maker, client = weir.raw("web", later), weir.raw("web", later)
    wait_until(lambda: client.query("SELECT 1") and new_code(weir, "runs"), what="an answer")
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


def new_code(weir, name):
    """Whether that function may make code: None as long as it is unknown."""
    rows = [row for row in weir.console("SHOW DATABASE_CODE") if row["name"] == name]
    return "new_code" in rows[0]["state"] if rows else None


AUDITS = """CREATE FUNCTION audits() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN EXECUTE 'SELECT 1'; END $f$;
    CREATE EVENT TRIGGER audits ON ddl_command_end EXECUTE FUNCTION audits();"""


@pytest.mark.parametrize("trigger", ["", AUDITS], ids=["", "an event trigger that may make code"])
def test_a_body_that_makes_temporary_tables_alone_makes_no_code(weir, postgres, later, trigger):
    """Else whatever others run meanwhile is washed."""
    bodies = "".join(f"CREATE FUNCTION maker_{number}() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN {made}; END $f$;"
                     for number, made in enumerate(MAKERS))
    postgres.query(RUNS + bodies + trigger, dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    client = weir.raw("web", later)
    wait_until(lambda: client.query("SELECT 1") and new_code(weir, "maker_0") is not None, what="an answer")
    told = {made: new_code(weir, f"maker_{number}") for number, made in enumerate(MAKERS)}
    assert told == {made: may or bool(trigger) for made, may in MAKERS.items()}


@pytest.mark.long
def test_code_that_somebody_else_makes_counts_soon(weir, postgres, later):
    """Not through pgweir: by a migration that connects directly. pgweir asks again every second."""
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    other, client = weir.raw("web", later), weir.raw("web", later)
    settle(other)
    postgres.query(f"{VIEW}; GRANT ALL ON sly TO PUBLIC", dbname=later)
    wait_until(lambda: other.query("SELECT 1") and
               any("settings" in row["state"] for row in weir.console("SHOW DATABASE_CODE")), what="the new answer")
    client.query("SELECT * FROM sly")
    assert sees(weir, other, client, USER_ID) == [[""]]


MADE = {                            # what is made elsewhere
    "a function's body": "CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.user_id', 'A', false) $$",
    "a default": "ALTER TABLE t ALTER v SET DEFAULT set_config('app.user_id', 'A', false)",
    "a check": "ALTER TABLE t ADD CONSTRAINT c CHECK (set_config('app.user_id', v, false) = v)",
    "a policy": "CREATE POLICY p ON t USING (set_config('app.user_id', 'A', false) = 'A')",
    "a trigger": "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW WHEN (set_config('app.user_id', new.v, false) = 'B') "
                 "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "an operator": "CREATE OPERATOR ~~~ (RIGHTARG = bigint, FUNCTION = pg_try_advisory_lock)",
    "a type's default": "CREATE DOMAIN sly AS text DEFAULT set_config('app.user_id', 'A', false)",
}


@pytest.mark.long
@pytest.mark.parametrize("what", MADE)
def test_whatever_is_made_elsewhere_makes_another_version(weir, postgres, later, what):
    """pgweir asks for the version of the code, and reads the code only if that is another one."""
    postgres.query("CREATE TABLE t (v text); CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$", dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    wire = weir.raw("web", later)
    settle(wire)
    postgres.query(MADE[what], dbname=later)
    wait_until(lambda: wire.query("SELECT 1") and any({"settings", "advisory_locks"} & set(row["state"].split(", "))
                                                      for row in weir.console("SHOW DATABASE_CODE")), what="the new answer")


# --- what B reads without saying so -----------------------------------------------------------------------------

def lastval_oid(postgres):
    return int(postgres.value("SELECT 'lastval()'::regprocedure::oid::bigint"))


READS = {
    "said": lambda oid: query("SELECT lastval()"),
    "DO": lambda oid: query("DO $$ BEGIN RAISE EXCEPTION USING errcode = 'P' || lpad(lastval()::text, 4, '0'); END $$"),
    "query_to_xml": lambda oid: query("SELECT query_to_xml(reverse(')(lavtsal TCELES'), true, true, '')"),
    "fastpath": lambda oid: function_call(oid, (), (), 1),
    "prepared": lambda oid: parse("", "SELECT lastval()") + bind() + execute() + sync(),
    "EXECUTE": lambda oid: query("PREPARE l AS SELECT lastval(); EXECUTE l"),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("write", ["SELECT nextval('later_numbers')", "INSERT INTO later_serial DEFAULT VALUES",
                                   "DO $$ BEGIN PERFORM nextval('later_numbers'); END $$"])
def test_what_a_sequence_gave_another_is_not_read(weir, postgres, later, read, write):
    postgres.query("CREATE SEQUENCE later_numbers; GRANT ALL ON later_numbers TO PUBLIC; CREATE TABLE later_serial "
                   "(id serial); GRANT ALL ON later_serial, later_serial_id_seq TO PUBLIC", dbname=later)
    message = READS[read](lastval_oid(postgres))
    with Wire(direct(postgres)).login("web", later) as wire:
        assert "E:55000" in shape(wire.ask(message))
        wire.query(write)
        assert "E:55000" not in shape(wire.ask(message))
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    other, client = weir.raw("web", later), weir.raw("web", later)
    settle(other)
    client.query(write)
    assert "E:55000" in shape(other.ask(message))


def test_what_forgets_a_sequence_is_not_what_a_client_has_parsed(weir, postgres, later):
    """DISCARD SEQUENCES is prepared as the unnamed statement, behind the client's own Parse, which is answered after
    that: the client's next Bind must not run it."""
    postgres.query("CREATE SEQUENCE later_numbers; GRANT ALL ON later_numbers TO PUBLIC", dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    other, client = weir.raw("web", later), weir.raw("web", later)
    settle(other)
    client.query("SELECT nextval('later_numbers')")
    other.send(parse("", "SELECT 'mine'") + parse("s", "SELECT nextval('later_numbers')") + bind("", "s") + execute() +
               flush())
    assert shape(other.read_until("C")) == "1 1 2 D C:SELECT 1"
    assert shape(other.ask(bind() + execute() + sync())) == "2 D C:SELECT 1 Z:I"


# --- sequences that are not there -------------------------------------------------------------------------------

DISCARD = b"DISCARD SEQUENCES"


@pytest.fixture
def two_writers(weir, postgres, later, tap):
    """Two clients on one server of a database that has a table and no sequence; pgweir knows that."""
    if transport.IS_TLS:
        pytest.skip("what is encrypted can't be read")
    postgres.query("CREATE TABLE later_plain_table (v int); ALTER TABLE later_plain_table OWNER TO web", dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream(port=tap.port)}}, pool_size=1, max_overflow=0)
    one, two = weir.raw("web", later), weir.raw("web", later)
    settle(one)
    wait_until(lambda: one.query("SELECT 1") and
               any(row["state"] == "none" for row in weir.console("SHOW DATABASE_CODE")), what="an answer")
    yield one, two


WRITE = "INSERT INTO later_plain_table VALUES (1)"
SERIAL = "CREATE TABLE later_serial (id serial); GRANT ALL ON later_serial, later_serial_id_seq TO PUBLIC"
SERIAL_WRITE = "INSERT INTO later_serial DEFAULT VALUES"


def test_who_writes_where_no_sequence_is_pays_for_none(two_writers, tap):
    for _ in range(3):
        for wire in two_writers:
            wire.query(WRITE)
    assert DISCARD not in tap.to_server
    two_writers[0].ask(query("SELECT lastval()"))  # who could read one has its own only, whatever the catalogs showed
    assert DISCARD in tap.to_server


@pytest.mark.parametrize("steps", [(SERIAL, SERIAL_WRITE), ("BEGIN", SERIAL, SERIAL_WRITE, "COMMIT"),
                                   (f"{SERIAL}; {SERIAL_WRITE}",),
                                   ("BEGIN", "ALTER TABLE later_plain_table ADD COLUMN id serial", WRITE, "COMMIT")])
def test_the_first_sequence_is_its_makers_at_once(two_writers, steps):
    one, two = two_writers
    two.query(WRITE)
    for step in steps:
        one.query(step)
    assert "E:55000" not in shape(one.ask(query("SELECT lastval()")))
    assert "E:55000" in shape(two.ask(query("SELECT lastval()")))


def test_a_sequence_that_somebody_else_makes_crosses_to_nobody(two_writers, postgres, later):
    """Before pgweir has asked the catalogs again."""
    one, two = two_writers
    postgres.query(SERIAL, dbname=later)
    one.query(SERIAL_WRITE)
    two.query(WRITE)
    assert "E:55000" in shape(two.ask(query("SELECT lastval()")))


LASTVAL = query("SELECT lastval()")
SPOILT = {                                  # turns of compare.converse
    "skipped": [one_statement("SELEC") + one_statement(SERIAL_WRITE) + sync(), LASTVAL],
    "skipped, and at once": [(one_statement("SELEC") + one_statement(SERIAL_WRITE) + sync() + LASTVAL, 2)],
    "skipped, as is known": [(one_statement("SELEC") + flush(), "E"), query(SERIAL_WRITE) + sync(), LASTVAL],
    "within a failed transaction": [(query("BEGIN; SELECT 1/0") + query(SERIAL_WRITE) + query("ROLLBACK"), 3), LASTVAL],
    "prepared, within a failed transaction": [
        (query("BEGIN; SELECT 1/0") + one_statement(SERIAL_WRITE) + sync() + query("ROLLBACK"), 3), LASTVAL],
    "behind a failed transaction": [query("BEGIN; SELECT 1/0"), (query("ROLLBACK") + LASTVAL, 2)],
    "behind one, within a request": [query("BEGIN; SELECT 1/0"),
                                     one_statement("ROLLBACK") + one_statement("SELECT lastval()") + sync()],
    "a function call": [(query("BEGIN; SELECT 1/0") + function_call(177, [b"\0\0\0\1", b"\0\0\0\2"]) +
                         query("ROLLBACK"), 3), LASTVAL],
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("turns", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("is_parsed", [False, True])
def test_what_a_sequence_gave_another_is_forgotten_though_requests_fail(weir, postgres, later, turns, is_parsed):
    """All replies are PostgreSQL's to a new session; nobody is disconnected."""
    postgres.query(SERIAL, dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    other, client = weir.raw("web", later), weir.raw("web", later)
    settle(other)
    client.query(SERIAL_WRITE)
    if is_parsed:
        other.ask(parse("", "SELECT 1") + sync())
    with Wire(direct(postgres)).login("web", later) as wire:
        assert normalized(converse(other, turns)) == normalized(converse(wire, turns))


@pytest.mark.parametrize("text", ["ROLLBACK; SELECT lastval()", "ROLLBACK; /*" + "x" * 100_000 + "*/SELECT lastval()"],
                         ids=["short", "long"])
def test_what_a_sequence_gave_another_is_not_read_behind_a_rollback(weir, postgres, later, text):
    """Nothing can be forgotten in a failed transaction: what leaves it and reads at once is refused."""
    postgres.query(SERIAL, dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    other, client = weir.raw("web", later), weir.raw("web", later)
    settle(other)
    client.query(SERIAL_WRITE)
    other.ask(query("BEGIN; SELECT 1/0"))
    assert shape(other.ask(query(text))) == "E:25P02 Z:E"
    assert shape(other.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
    assert "E:55000" in shape(other.ask(LASTVAL))


# --- the next client pays nothing -------------------------------------------------------------------------------

HIDDEN = "DO $$ BEGIN PERFORM set_config('{}', '{}', false); END $$"
MESSES = {
    "a statement like ours": ('PREPARE "pgweir_?pgweir_" AS SELECT 1; DEALLOCATE pgweir_',),
    "a placeholder of plpgsql's": ("SET plpgsql.foo = '1'", "DO $$ BEGIN END $$"),
    "a placeholder that nothing may set": (HIDDEN.format("plpgsql.foo", "1"), "SELECT later_plain()"),
    "all statements gone": ("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",),
    "all statements gone among others": ("SELECT 1; DEALLOCATE ALL; SELECT 2",),
    "everything discarded": ("DISCARD ALL",),
    "no time for a statement": (HIDDEN.format("statement_timeout", "1"),),
    "no time for a lock": (HIDDEN.format("lock_timeout", "1"),),
    "no time to be idle": (HIDDEN.format("idle_session_timeout", "1"),),
    "no time in a transaction": (HIDDEN.format("idle_in_transaction_session_timeout", "1"),),
    "read only": (HIDDEN.format("default_transaction_read_only", "on"),),
    "an error ends it": (HIDDEN.format("exit_on_error", "on"),),
    "no schema": (HIDDEN.format("search_path", ""),),
    "another encoding": (HIDDEN.format("client_encoding", "EUC_JP"),),
    "a role": (HIDDEN.format("role", "later_nobody"),),
    "a role that is gone": ("SET ROLE later_gone", "DROP_ROLE"),
    "a cursor with our name": ("DO $$ BEGIN EXECUTE 'DECLARE pgweir_ CURSOR WITH HOLD FOR SELECT 1'; END $$",),
    "many temporary tables": ("DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE 'CREATE TEMP TABLE many_' || i || ' (v serial)'; "
                              "END LOOP; END $$",),
    "temporary tables and no time": ("DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE 'CREATE TEMP TABLE many_' || i || "
                                     "' (v serial)'; END LOOP; PERFORM set_config('statement_timeout', '1', false); END $$",),
    "a temporary function called as ours": (
        "CREATE FUNCTION pg_temp.pg_advisory_unlock_all() RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''x''; END'",
        HIDDEN.format("search_path", "pg_temp, pg_catalog")),
    "a temporary view called as a catalog": ("CREATE TEMP VIEW pg_settings AS SELECT 1 / 0 AS name",
                                             HIDDEN.format("search_path", "pg_temp, pg_catalog")),
    "a statement with an odd name": ("DO $$ BEGIN EXECUTE 'PREPARE \"a \"\"b; SELECT 1/0 --\" AS SELECT 1'; END $$",),
    "a channel with an odd name": ("DO $$ BEGIN EXECUTE 'LISTEN \"a \"\"b; SELECT 1/0 --\"'; END $$",),
    "a hundred settings": ("DO $$ BEGIN FOR i IN 1..100 LOOP PERFORM set_config('app.p' || i, repeat('x', 1000), false); "
                           "END LOOP; END $$",),
    "a setting with an odd name": (HIDDEN.format("app.a_$b", "1"),),
}


@pytest.mark.long
@pytest.mark.parametrize("state", ["track", "isolate", "pin"])
def test_the_next_client_pays_nothing(weir, postgres, later, state):
    """Its first statement is answered as if nobody had been there, three in a row of each kind."""
    postgres.query("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'later_nobody') THEN "
                   "CREATE ROLE later_nobody; GRANT later_nobody TO web; END IF; END $$")
    postgres.query("CREATE FUNCTION later_plain() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", dbname=later)
    weir.start({f"database {later}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0, session_state=state)
    wrong = []
    for name, steps in MESSES.items():
        other = weir.raw("web", later)
        other.ask(parse("known", "SELECT 4711") + sync())
        for is_gone in (False, True, False):
            client = weir.raw("web", later)
            try:
                for step in steps:
                    make_mess(postgres, client, step)
                if is_gone:
                    client.leave()
                seen = first_statement(other, client)
            except WireError as error:
                seen = f"trouble: {error}"
            client.leave()
            if seen != [["4711"], ["web", "f"]]:
                wrong.append(f"{name}{', A has gone' if is_gone else ''}: {seen}")
                other = weir.raw("web", later)
                other.ask(parse("known", "SELECT 4711") + sync())
        other.leave()
    assert not wrong, "\n".join(wrong)


def make_mess(postgres, client, step):
    if step == "DROP_ROLE":
        postgres.query("DROP ROLE later_gone")
        return
    if "later_gone" in step:
        postgres.query("CREATE ROLE later_gone; GRANT later_gone TO web")
    for reply in errors(client.ask(query(step))):
        assert reply.sqlstate in ("57014", "26000", "42602"), f"{step}: {reply.error}"


def first_statement(other, client):
    """By name, then a text; whatever ended the client's own session is none of B's business."""
    other.send(bind("", "known") + execute() + sync() +
               query("SELECT current_user, pg_is_in_recovery()::text::bool::text::char"))
    if other.has_nothing_more(0.25):
        client.leave()
    replies = other.read_until("Z", 2)
    failed = [reply.error for reply in errors(replies)]
    return failed or texts(replies)
