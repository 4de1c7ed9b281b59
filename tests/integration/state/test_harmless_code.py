"""harmless_code: an operator's word that some code leaves nothing behind. Without it a server connection that has run such code
is closed, with it none is, nor is anything washed. A is client, B is other, on one connection in turn."""

import contextlib
import json

import psycopg2.errors
import pytest

from leftovers import PID, settle
from waiting import wait_until

pytestmark = pytest.mark.weir_only

PYTHON = """CREATE EXTENSION plpython3u;
    CREATE FUNCTION price(a int) RETURNS int LANGUAGE plpython3u AS $p$
global seen
seen = a
return a * 2
$p$;"""
PERL = "CREATE EXTENSION plperl; CREATE FUNCTION perl() RETURNS int LANGUAGE plperl AS $p$ $_SHARED{x} = 1; return 1 $p$;"
QUIET = "CREATE FUNCTION {}() RETURNS bool LANGUAGE c AS '$libdir/isn', 'weak_input_status';"
TRIGGER = """CREATE TABLE t (v int, at timestamp); INSERT INTO t VALUES (1);
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE c AS '$libdir/moddatetime', 'moddatetime';
    CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp('at');"""
RUNS = "CREATE FUNCTION runs(q text) RETURNS int LANGUAGE plpgsql AS $f$ DECLARE n int; BEGIN EXECUTE q INTO n; RETURN n; END $f$;"
KEEPER = "SELECT hll_set_max_sparse(-1)"                       # of a known extension, and keeps something
CODE = {                            # what runs it, what makes it, what declares it
    "a language": ("SELECT price(1)", PYTHON, "language plpython3u"),
    "a language that is trusted": ("SELECT perl()", PERL, "language plperl"),
    "a function": ("SELECT price(1)", PYTHON, "function public.price"),
    "a function, in other letters": ("SELECT price(1)", PYTHON, "  function  Public.PRICE  "),
    "a schema": ("SELECT price(1)", PYTHON, "schema public"),
    "a function in C": ("SELECT quiet()", QUIET.format("quiet"), "function public.quiet"),
    "a function with a name in quotes": ('SELECT "Q, "".\\ ä"()', QUIET.format('"Q, "".\\ ä"'), 'function public."Q, "".\\ ä"'),
    "a schema with a name in quotes": ('SELECT "My.x".quiet()', f'CREATE SCHEMA "My.x"; {QUIET.format(chr(34) + "My.x" + chr(34) + ".quiet")}', 'schema "My.x"'),
    "a function and a language of several": ("SELECT price(1)", PYTHON, 'extension "uuid-ossp", schema s, language plpython3u,function a.b'),
    "an extension": (KEEPER, "CREATE EXTENSION hll", "extension hll"),
    "a trigger in C": ("UPDATE t SET v = 2", TRIGGER, "function public.stamp"),
    "a trigger in C, and a function": ("UPDATE t SET v = 2", TRIGGER + QUIET.format("quiet"), "function public.stamp"),
    "the triggers of an extension": ("UPDATE t SET v = 2", "CREATE EXTENSION pgtap; " + TRIGGER + "ALTER EXTENSION pgtap ADD FUNCTION stamp()",
                                     "extension pgtap"),
    "what text runs": ("SELECT runs('SELECT price(1)')", PYTHON + RUNS, "extension plpython3u, language plpython3u"),
    "DO in a language": ("DO LANGUAGE plpython3u 'GD[1] = 1'", PYTHON, "extension plpython3u, language plpython3u"),
    "a function with LOAD": ("SELECT loads()", "CREATE FUNCTION loads() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN LOAD 'auto_explain'; RETURN 1; END $f$",
                             "function public.loads"),
}


def make(postgres, own, code):
    for extension in ("hll", "pgtap"):
        if extension in code and not postgres.value("SELECT count(*) FROM pg_available_extensions WHERE name = %s", [extension]):
            pytest.skip(f"{extension} is not installed")
    with contextlib.closing(postgres.connect(own)) as db, db.cursor() as cursor:
        try:
            cursor.execute(code)
        except (psycopg2.errors.UndefinedFile, psycopg2.errors.FeatureNotSupported) as error:
            pytest.skip(f"a language is not installed: {error}")
        db.commit()


def start(weir, own, declared=None, **more):
    """Returns its clients: B first, then A."""
    config = sections(weir, own, declared)
    weir.start(config, pool_size=1, max_overflow=0, **more)
    wires = [weir.raw("postgres", own) for _ in range(2)]
    settle(wires[0])
    return wires


def sections(weir, own, declared=None):
    return {f"database {own}": {"upstream": weir.upstream(), **({"harmless_code": declared} if declared is not None else {})}}


def backends(wires, sql, rounds=3):
    """How many server connections it takes."""
    seen = set()
    for _ in range(rounds):
        for wire in wires:
            assert wire.query(sql) is not None
            seen.add(wire.query(PID)[0][0])
    return len(seen)


def reload(weir, own, wires, declared=None):
    weir.reload(sections(weir, own, declared), pool_size=1, max_overflow=0)
    settle(wires[0])
    weir.settle()


@pytest.mark.reloads("pgweir.harmless_code")
@pytest.mark.parametrize("what", CODE)
def test_what_is_declared_harmless_costs_no_connection(weir, postgres, own, what):
    """From the reload on that sets harmless_code, until another takes it back."""
    sql, code, declared = CODE[what]
    make(postgres, own, code)
    wires = start(weir, own)
    assert backends(wires, sql) > 1
    reload(weir, own, wires, declared)
    assert backends(wires, sql, rounds=10) == 1
    reload(weir, own, wires)
    assert backends(wires, sql) > 1


@pytest.mark.parametrize("what", ["a language", "an extension"])
def test_a_thousand_statements_are_neither_closed_nor_washed(weir, postgres, own, what):
    sql, code, declared = CODE[what]
    make(postgres, own, code)
    wires = start(weir, own, declared)
    before = [weir.metric_now(name) for name in ("pgweir_backend_connects_total", "pgweir_pool_seals_total")]
    for _ in range(500):
        for wire in wires:
            wire.query(sql)
    assert [weir.metric_now(name) for name in ("pgweir_backend_connects_total", "pgweir_pool_seals_total")] == before


def test_what_is_declared_is_shown_and_what_is_not_there_is_logged_once(weir, postgres, own):
    make(postgres, own, PYTHON)
    wires = start(weir, own, 'language plpython3u, function public.price, extension nowhere, function public.prices, schema "Public"')
    shown = {row["name"]: row["because"] for row in weir.console("SHOW DATABASE_CODE") if row["kind"] == "declared"}
    gone = {"extension nowhere", "function public.prices", "schema Public"}
    assert shown == {**dict.fromkeys(("language plpython3u", "function public.price"), "harmless_code"),
                     **dict.fromkeys(gone, "harmless_code; it is not there")}
    for what in gone:
        weir.wait_log(f"database own: harmless_code has {what}, which is not there")
    postgres.query("CREATE TABLE u ()", dbname=own)
    wires[1].query("CREATE TABLE w (v int)")
    wait_until(lambda: wires[0].query("SELECT 1") and "u" in str(wires[0].query("SELECT relname FROM pg_class")), what="the code to be read again")
    weir.settle()
    assert weir.log().count("which is not there") == 3


def test_what_two_sections_declare_of_one_database_is_each_ones(weir, postgres, own):
    make(postgres, own, PYTHON)
    weir.start({"database here": {"upstream": weir.upstream(dbname=own), "harmless_code": "extension plpython3u, language plpython3u"},
                "database there": {"upstream": weir.upstream(dbname=own)}}, pool_size=1, max_overflow=0)
    here, there = [[weir.raw("postgres", name) for _ in range(2)] for name in ("here", "there")]
    for wires in here, there:
        settle(wires[0])
    weir.settle()
    assert backends(here, "SELECT price(1)") == 1 and backends(there, "SELECT price(1)") > 1


@pytest.mark.parametrize("declared, why", {
    **dict.fromkeys(("table t", "schema", "function price", "language a b", "language \"a", "schema a,"), "write extension NAME, language NAME"),
}.items())
def test_a_reload_with_what_cannot_be_read_changes_nothing(weir, postgres, own, declared, why):
    make(postgres, own, PYTHON)
    wires = start(weir, own, "language plpython3u")
    weir.reload(sections(weir, own, declared), wait=False, pool_size=1, max_overflow=0)
    weir.wait_log(f"harmless_code = {declared}: {why}")
    assert backends(wires, "SELECT price(1)") == 1


# --- what is not declared ---------------------------------------------------------------------------------------

MIXED = PYTHON + RUNS + """CREATE FUNCTION dear() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN EXECUTE 'SELECT 1'; RETURN price(1); END $f$;
    CREATE VIEW v AS SELECT price(1);"""
PRICE = "function public.price(integer) <- language plpython3u"
USES = {                            # how A uses it
    "simple": lambda a: a.query("SELECT price(1)"),
    "extended": lambda a: a.extended("SELECT price(1)"),
    "a transaction": lambda a: a.query("BEGIN", "SELECT 1", "SELECT price(1)", "SELECT 2", "COMMIT"),
    "a view": lambda a: a.query("SELECT * FROM v"),
    "a function that runs text": lambda a: a.query("SELECT dear()"),
    "text": lambda a: a.query("SELECT runs('SELECT price(1)')"),
    "DO": lambda a: a.query("DO $d$ BEGIN PERFORM price(1); END $d$"),
}


@pytest.mark.parametrize("way", USES)
def test_who_loses_connections_to_unknown_code_is_told(weir, postgres, own, way):
    make(postgres, own, MIXED)
    other, client = start(weir, own)
    dirty = weir.metric_now("pgweir_pool_recycles_total", database=own, reason="dirty")     # when the first answer came
    for _ in range(2):
        USES[way](client)
        other.query("SELECT 1")
    assert weir.metric_now("pgweir_pool_recycles_total", database=own, reason="unknown_code") >= 2
    assert weir.metric_now("pgweir_pool_recycles_total", database=own, reason="dirty") == dirty
    log = weir.wait_log("as code may leave something there")
    line = [line for line in log.splitlines() if "as code may leave" in line]
    assert len(line) == 1 and PRICE in line[0] and "database own: 1 server connection" in line[0] and "harmless_code" in line[0]
    said = str(weir.console(f"EXPLAIN POOL {own}"))
    assert PRICE in said and "harmless_code" in said
    told = wait_until(lambda: [row["event"] for row in json.loads(weir.http("/api/v1/events").text) if "as code may leave" in row["event"]])
    assert len(told) == 1 and PRICE in told[0] and "harmless_code" in told[0]                   # the status page


@pytest.mark.parametrize("sql, because", {
    "SELECT price(1)": PRICE, "SELECT * FROM v": f"rule \"_RETURN\" on public.v <- {PRICE}", "SELECT dear()": f"function public.dear() <- {PRICE}",
    "DO $d$ BEGIN EXECUTE ''x''; END $d$": "language ", "SELECT runs(''SELECT 1'')": "language ",
}.items())
def test_the_console_tells_why_a_statement_closes_its_connection(weir, postgres, own, sql, because):
    """Not only why it is washed."""
    make(postgres, own, MIXED)
    start(weir, own)
    rows = [row for row in weir.console(f"SHOW DATABASE_CODE FOR '{sql}'") if "backend" in row["state"]]
    assert any(because in row["because"] for row in rows), rows
    assert all(row["because"] and not row["because"].endswith("'SELECT 1'") for row in rows), rows


def test_nothing_is_told_of_what_is_declared_or_of_other_closes(weir, postgres, own):
    make(postgres, own, MIXED)
    wires = start(weir, own, "extension plpython3u, language plpython3u")
    for way in USES.values():
        way(wires[1])
    wires[1].query("BEGIN", "CREATE EXTENSION pg_trgm", "ROLLBACK")
    wires[0].query("SELECT 1")
    assert weir.metric_now("pgweir_pool_recycles_total", database=own, reason="unknown_code") == 0
    assert weir.metric_now("pgweir_pool_recycles_total", database=own, reason="dirty") == 1
    assert "as code may leave" not in weir.log() and "harmless_code" not in str(weir.console(f"EXPLAIN POOL {own}"))


@pytest.mark.parametrize("sql", [
    ["SET temp_buffers = '1MB'", "CREATE TEMP TABLE t (n int)", "INSERT INTO t VALUES (1)", "DROP TABLE t"],
    ["BEGIN", "SET LOCAL postgis.gdal_vsi_options = ''", "COMMIT"],
], ids=["temp_buffers", "GDAL"])
def test_code_is_not_blamed_for_what_a_setting_leaves(weir, postgres, own, sql):
    make(postgres, own, MIXED)
    other, client = start(weir, own)
    dirty = weir.metric_now("pgweir_pool_recycles_total", database=own, reason="dirty")
    client.query(*sql)
    other.query("SELECT 1")
    wait_until(lambda: weir.metric_now("pgweir_pool_recycles_total", database=own, reason="dirty") > dirty)
    assert weir.metric_now("pgweir_pool_recycles_total", database=own, reason="unknown_code") == 0
    assert "as code may leave" not in weir.log()


@pytest.mark.parametrize("language, body", [
    ("plperl", "spi_exec_query(q(SET a.b = 'A')); return 1"), ("plperl", "spi_exec_query($_[0]); return 1"),
    ("pltcl", "spi_exec {SET a.b = 'A'}; return 1"), ("pltcl", "spi_exec $1; return 1"), ("plpython3u", "plpy.execute(q)\nreturn 1")])
def test_what_declared_code_runs_is_washed_off(weir, postgres, own, language, body):
    make(postgres, own, f"CREATE EXTENSION {language}; CREATE FUNCTION f(q text) RETURNS int LANGUAGE {language} AS $f$\n{body} $f$")
    other, client = start(weir, own, f"extension {language}, language {language}")
    pid = client.query(PID)
    client.query("SELECT f('SET a.b = ''A''')")
    assert other.query(PID) == pid and other.query("SELECT current_setting('a.b', true)") in ([[None]], [[""]])
