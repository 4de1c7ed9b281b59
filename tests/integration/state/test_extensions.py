"""Code that a client makes, and that is gone before anybody can read it, leaves nothing in the backend for the next one; nor does
C that says of itself that it changes nothing; nor a seed that C keeps. A is client, B is other, on one connection in turn."""

import contextlib

import pytest

from leftovers import PID, begin, extended
from rawwire import one_statement, query, sync, terminate

pytestmark = pytest.mark.weir_only


def runs(wire, *sqls, how="simple"):
    """Whatever PostgreSQL says to each."""
    for sql in sqls:
        wire.send(query(sql) if how == "simple" else extended(sql) + sync())
        wire.read_until("Z")


def lines(*sqls):
    """As the body of a function in PL/pgSQL."""
    return " ".join(f"{sql.replace('SELECT ', 'PERFORM ', 1) if sql.startswith('SELECT ') else sql};" for sql in sqls)


UNDO = "RAISE EXCEPTION 'undone'; EXCEPTION WHEN raise_exception THEN NULL;"
WAYS = {                            # how A makes and uses what is gone when B comes
    "ROLLBACK": lambda steps: ["BEGIN", *steps, "ROLLBACK"],
    "dropped": lambda steps: ["BEGIN", *steps, steps[0].replace("CREATE", "DROP") + " CASCADE", "COMMIT"],
    "savepoint": lambda steps: ["BEGIN", "SAVEPOINT s", *steps, "ROLLBACK TO s", "COMMIT"],
    "savepoint, released": lambda steps: ["BEGIN", "SAVEPOINT s", *steps, "RELEASE s", "ROLLBACK"],
    "one Query": lambda steps: ["; ".join([*steps, "SELECT 1/0"])],
    "one Query in a transaction": lambda steps: ["; ".join(["BEGIN", *steps, "ROLLBACK"])],
    "DO that raises": lambda steps: [f"DO $d$ BEGIN {lines(*steps)} RAISE EXCEPTION 'undone'; END $d$"],
    "DO that catches": lambda steps: [f"DO $d$ BEGIN {lines(*steps)} {UNDO} END $d$"],
    "DO of text": lambda steps: ["DO $d$ BEGIN " + "".join(f"EXECUTE $e${step}$e$;" for step in steps) + f" {UNDO} END $d$"],
}
MADE = "CREATE FUNCTION makes() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN BEGIN {} END; RETURN 'x'; END $f$;"
CODE = {                            # what reaches a function that makes it, and how A uses that
    "function": ("", "SELECT makes()"),
    "function, in a transaction": ("", "BEGIN; SELECT makes(); COMMIT"),
    "function, in DO": ("", "DO $d$ BEGIN PERFORM makes(); END $d$"),
    "function of a function": ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT makes()'", "SELECT f()"),
    "view": ("CREATE VIEW v AS SELECT makes()", "SELECT * FROM v"),
    "default": ("CREATE TABLE d (v text DEFAULT makes())", "INSERT INTO d DEFAULT VALUES"),
    "trigger": ("CREATE TABLE d (v text); CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM makes(); RETURN new; END'; "
                "CREATE TRIGGER x BEFORE INSERT ON d FOR EACH ROW EXECUTE FUNCTION tg()", "INSERT INTO d VALUES ('a')"),
}
KEEPS = {                           # what an extension leaves: how it is made and used, how B sees it, and what it sees
    "hypopg": (["CREATE EXTENSION hypopg", "SELECT hypopg_create_index('CREATE INDEX ON t (v)')"],
               "EXPLAIN (COSTS OFF) SELECT v FROM t WHERE v = 1", "hypopg"),
    "plperl": (["CREATE EXTENSION plperl", "DO LANGUAGE plperl $p$ $_SHARED{x} = 'secret' $p$"], None, "secret"),
    "LANGUAGE": (["CREATE LANGUAGE plperl", "DO LANGUAGE plperl $p$ $_SHARED{x} = 'secret' $p$"], None, "secret"),
    "a library": (["CREATE EXTENSION pg_trgm", "SELECT show_limit()"], "SELECT name FROM pg_settings WHERE name LIKE 'pg_trgm.%'", "pg_trgm"),
}


def reads_shared(wire):
    wire.query("BEGIN", "CREATE EXTENSION plperl", "CREATE FUNCTION shared() RETURNS text LANGUAGE plperl AS $p$ return $_SHARED{x} $p$")
    seen = wire.query("SELECT shared()")
    wire.query("ROLLBACK")
    return seen


def has(postgres, extension):
    """Those that are no part of PostgreSQL are installed for .ci/run (scripts/install-deps), before PostgreSQL 15."""
    if not postgres.value("SELECT count(*) FROM pg_available_extensions WHERE name = %s", [extension]):
        pytest.skip(f"{extension} is not installed")


def left(wire, question):
    return str(wire.query(question) if question else reads_shared(wire))


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("how", ["simple", "extended"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", KEEPS)
def test_what_is_made_and_undone_leaves_nothing(weir, postgres, own, what, way, how):
    steps, question, sign = KEEPS[what]
    has(postgres, steps[0].split()[-1])
    postgres.query("CREATE TABLE t (v int); INSERT INTO t SELECT generate_series(1, 10000); ANALYZE t", dbname=own)
    other, client = begin(weir, own, user="postgres")
    runs(client, *WAYS[way](steps), how=how)
    assert sign not in left(other, question)


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("how", ["simple", "extended"])
@pytest.mark.parametrize("way", CODE)
@pytest.mark.parametrize("what", KEEPS)
def test_what_code_makes_and_undoes_leaves_nothing(weir, postgres, own, what, way, how):
    steps, question, sign = KEEPS[what]
    code, use = CODE[way]
    has(postgres, steps[0].split()[-1])
    postgres.query("CREATE TABLE t (v int); INSERT INTO t SELECT generate_series(1, 10000); ANALYZE t; " + MADE.format(lines(*steps) + UNDO) + code, dbname=own)
    other, client = begin(weir, own, user="postgres")
    runs(client, *(use.split("; ") if "transaction" in way else [use]), how=how)
    assert sign not in left(other, question)


MAKES = "DO 'BEGIN CREATE EXTENSION pg_trgm; PERFORM show_limit(); RAISE EXCEPTION ''undone''; END'"
RUNS = ("CREATE FUNCTION runs(q text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN BEGIN EXECUTE q; RAISE EXCEPTION 'undone'; "
        "EXCEPTION WHEN raise_exception THEN NULL; END; RETURN ''; END $f$")
MADE_OF_TEXT = {                    # how A makes pg_trgm where no SQL has it but in strings and values, or nobody waits for it
    "DO of a string, like others": lambda a: runs(a, *4 * ["DO 'BEGIN NULL; END'"], MAKES),
    "a string": lambda a: a.query(*4 * ["SELECT runs('SELECT 1')"], "SELECT runs('CREATE EXTENSION pg_trgm')"),
    "a value": lambda a: [a.ask(one_statement("SELECT runs($1)", [text]) + sync()) for text in ("SELECT 1", "CREATE EXTENSION pg_trgm")],
    "a string across lines, in comments": lambda a: a.query("SELECT runs('CREATE /* x */ \n EXTENSION pg_trgm')"),
    "who leaves at once": lambda a: a.send(query(MAKES) + terminate()),
    "a library": lambda a: a.query("DO $d$ BEGIN LOAD 'pg_trgm'; END $d$"),
    "a library, of text": lambda a: a.query("SELECT runs('LOAD ''pg_trgm''')"),
}


@pytest.mark.parametrize("how", MADE_OF_TEXT)
def test_what_text_makes_and_undoes_leaves_nothing(weir, postgres, own, how):
    postgres.query(RUNS, dbname=own)
    other, client = begin(weir, own, user="postgres")
    MADE_OF_TEXT[how](client)
    assert left(other, KEEPS["a library"][1]) == "[]"


def test_what_is_made_before_any_code_is_read_leaves_nothing(weir, postgres, own):
    weir.start({f"database {own}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    with contextlib.closing(postgres.connect(own)) as holder:
        holder.cursor().execute("BEGIN; LOCK TABLE pg_catalog.pg_foreign_server")       # which the question reads
        client, other = weir.raw("postgres", own), weir.raw("postgres", own)
        runs(client, MAKES)
    assert left(other, KEEPS["a library"][1]) == "[]"


HARMLESS = (                        # what has some of those words
    "CREATE TABLE IF NOT EXISTS p (language text, extension text)", "COMMENT ON EXTENSION plpgsql IS 'x'",
    "DO $d$ BEGIN PERFORM 1 FROM pg_extension WHERE extname = 'pg_trgm'; CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 1; END $d$",
    "DO $d$ BEGIN CREATE TEMP TABLE x ON COMMIT DROP AS SELECT p.language, extension, 1 AS payload FROM p WHERE language = 'sql'; END $d$",
    "DO $d$ BEGIN -- load the rows, then create (reload) them\n EXECUTE 'SELECT 1'; END $d$",
    "SELECT runs('CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS ''SELECT 1''')",
    "SELECT runs('SELECT 1')",
)


def test_what_has_such_words_costs_no_connection(weir, postgres, own):
    """Nor do others lose any for a function that makes an extension, as long as they don't use it."""
    postgres.query(RUNS + "; " + MADE.format("CREATE EXTENSION IF NOT EXISTS plpgsql;"), dbname=own)
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    assert [sql for sql in HARMLESS for wire in (client, other) if [wire.query(sql), wire.query(PID)][1] != pid] == []
    client.query("CREATE EXTENSION IF NOT EXISTS plpgsql", "SELECT 1")
    assert other.query(PID) != pid
    pid = other.query(PID)
    client.query("SELECT makes()")
    assert other.query(PID) != pid


LIBRARY = "SELECT name FROM pg_settings WHERE name LIKE 'pg_trgm.%'"
ONE = "CREATE EXTENSION pg_trgm"
IN_DO = "DO $d$ BEGIN {}; PERFORM show_limit(); RAISE EXCEPTION 'undone'; END $d$"
TEXTS = {                           # how A has what makes an extension in text that is run
    **{f"a value of {n} bytes": lambda a, n=n: a.ask(one_statement("SELECT runs($1)", [ONE + " " * (n - len(ONE))]) + sync())
       for n in (24, 57, 100, 200, 20000)},   # 57: its length ends in a digit, as words may
    "a literal of a Parse": lambda a: a.ask(one_statement(f"SELECT runs('{ONE}')") + sync()),
    "behind a string with --": lambda a: runs(a, IN_DO.format(f"PERFORM '--'; {ONE}")),
    "behind a string with /*": lambda a: runs(a, IN_DO.format(f"PERFORM '/*'; {ONE}")),
    "behind a comment that a CR ends": lambda a: runs(a, IN_DO.format(f"-- x\r{ONE}")),
    "a trigger of what is named": lambda a: runs(a, "SELECT runs('INSERT INTO d VALUES (1)')"),
    "a name with a letter beyond ASCII": lambda a: runs(a, "SELECT runs('SELECT mäkes()')"),
}


@pytest.mark.parametrize("how", TEXTS)
def test_text_that_is_run_is_read_however_it_comes(weir, postgres, own, how):
    body = MADE.format(f"{ONE}; PERFORM show_limit(); {UNDO}")
    postgres.query(RUNS + ";" + body + body.replace("makes", "mäkes") + CODE["trigger"][0], dbname=own)
    other, client = begin(weir, own, user="postgres")
    TEXTS[how](client)
    assert other.query(LIBRARY) == []


def test_text_of_the_next_message_is_not_this_ones(weir, postgres, own):
    postgres.query(RUNS, dbname=own)
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    client.ask(query("SELECT runs('SELECT 1')") + query("SELECT 'create extension x'"))
    assert other.query(PID) == pid


# --- C that says that it changes nothing ------------------------------------------------------------------------

WEAK = "".join(f"CREATE FUNCTION {name} RETURNS bool {declared} LANGUAGE c AS '$libdir/isn', '{symbol}'; "
               for name, declared, symbol in (("quiet(bool)", "IMMUTABLE STRICT", "accept_weak_input"), ("is_weak()", "STABLE", "weak_input_status")))
STATICS = {                         # code, what sets a static, how B sees it, and what it sees
    "isn": (WEAK, "quiet(true)", "SELECT is_weak()", [["t"]]),
    "hll": ("CREATE EXTENSION hll", "hll_set_max_sparse(7)", "SELECT hll_set_max_sparse(-1)", [["7"]]),
}
SETTERS = {                         # how A sets it
    "simple": ("", lambda a, call: a.query(f"SELECT {call}")),
    "extended": ("", lambda a, call: a.ask(one_statement(f"SELECT {call}") + sync())),
    "one Query": ("", lambda a, call: runs(a, f"SELECT {call}; SELECT 1/0")),
    "ROLLBACK": ("", lambda a, call: a.query("BEGIN", f"SELECT {call}", "ROLLBACK")),
    "savepoint": ("", lambda a, call: a.query("BEGIN", "SAVEPOINT s", f"SELECT {call}", "ROLLBACK TO s", "COMMIT")),
    "DO that raises": ("", lambda a, call: runs(a, f"DO $d$ BEGIN PERFORM {call}; RAISE EXCEPTION 'undone'; END $d$")),
    "function": ("CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN {}; END $f$", lambda a, call: a.query("SELECT f()")),
    "view": ("CREATE VIEW v AS SELECT {}", lambda a, call: a.query("SELECT * FROM v")),
    "trigger": ("CREATE TABLE d (v text); CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM {}; RETURN new; END $f$; "
                "CREATE TRIGGER x BEFORE INSERT ON d FOR EACH ROW EXECUTE FUNCTION tg()", lambda a, call: a.query("INSERT INTO d VALUES ('')")),
    "text": (RUNS, lambda a, call: a.query(f"SELECT runs('SELECT {call}')")),
    "a value": (RUNS, lambda a, call: a.ask(one_statement("SELECT runs($1)", [f"SELECT {call}"]) + sync())),
}


@pytest.mark.before(18, "whether isn takes weak input is a setting")
@pytest.mark.parametrize("way", SETTERS)
@pytest.mark.parametrize("what", STATICS)
def test_c_that_is_declared_to_change_nothing_leaves_nothing(weir, postgres, own, what, way):
    made, call, question, kept = STATICS[what]
    code, use = SETTERS[way]
    has(postgres, what)
    postgres.query(made + "; " + code.format(call) if "{}" in code else made + ";" + code, dbname=own)
    other, client = begin(weir, own, user="postgres")
    use(client, call)
    assert other.query(question) != kept


UNKNOWN = """DO $d$ DECLARE f regprocedure; BEGIN FOR f IN SELECT objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass
    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'hll') AND classid = 'pg_proc'::regclass LOOP EXECUTE format('ALTER EXTENSION hll DROP ROUTINE %s', f); END LOOP; END $d$"""


def test_types_and_operators_of_unknown_c_cost_no_connection(weir, postgres, own):
    """Nor do those who run other text; whoever calls a function pays for it."""
    has(postgres, "hll")
    postgres.query(f"CREATE EXTENSION hll; {UNKNOWN}; {RUNS}; CREATE TABLE t (v hll); INSERT INTO t VALUES (hll_empty())", dbname=own)
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    for sql in ("SELECT v FROM t", "SELECT #v FROM t", "SELECT v = v, v || v FROM t", "UPDATE t SET v = v", "SELECT runs('SELECT 1')", "DO 'BEGIN END'", "ANALYZE t"):
        for wire in (client, other):
            wire.query(sql)
            assert wire.query(PID) == pid, sql
    client.query("SELECT hll_cardinality(v) FROM t")
    assert other.query(PID) != pid


@pytest.mark.before(18, "whether isn takes weak input is a setting")
@pytest.mark.parametrize("made", ["CREATE INDEX ON t (quiet(v))", "CREATE INDEX ON t (n) WHERE quiet(v)", "ALTER TABLE t ADD CHECK (quiet(v))",
                                  "CREATE STATISTICS s ON (quiet(v)), n FROM t"])
def test_a_table_with_unknown_c_in_an_index_or_a_check_costs_no_connection(weir, postgres, own, made):
    postgres.query(f"{WEAK} CREATE TABLE t (v bool, n int); INSERT INTO t VALUES (true, 1); {made}", dbname=own)
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    client.query("SELECT n FROM t")
    assert other.query(PID) == pid


# --- a seed that C keeps ----------------------------------------------------------------------------------------

POINTS = "SELECT st_astext(st_generatepoints('POLYGON((0 0,1 0,1 1,0 1,0 0))'::geometry, 3{}))"
SEEDED = POINTS.format(", 42")
SEEDS = {                           # code, and how A seeds the generator with 42
    "simple": ("", lambda a: a.query(SEEDED)),
    "extended": ("", lambda a: a.ask(one_statement(POINTS.format(", $1"), ["42"]) + sync())),
    "one Query": ("", lambda a: runs(a, f"{SEEDED}; SELECT 1/0")),
    "ROLLBACK": ("", lambda a: a.query("BEGIN", SEEDED, "ROLLBACK")),
    "savepoint": ("", lambda a: a.query("BEGIN", "SAVEPOINT s", SEEDED, "ROLLBACK TO s", "COMMIT")),
    "DO that raises": ("", lambda a: runs(a, f"DO $d$ BEGIN {lines(SEEDED)} RAISE EXCEPTION 'undone'; END $d$")),
    "function": (f"CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN ({SEEDED}); END $f$", lambda a: a.query("SELECT f()")),
    "view": (f"CREATE VIEW v AS {SEEDED}", lambda a: a.query("SELECT * FROM v")),
    "trigger": (f"CREATE TABLE d (v text); CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN new.v := ({SEEDED}); RETURN new; END $f$; "
                "CREATE TRIGGER x BEFORE INSERT ON d FOR EACH ROW EXECUTE FUNCTION tg()", lambda a: a.query("INSERT INTO d VALUES ('')")),
    "text": (RUNS, lambda a: a.query(f"SELECT runs($q${SEEDED}$q$)")),
    "who leaves a temporary table": ("", lambda a: [a.query("CREATE TEMP TABLE x ()", SEEDED), a.leave()]),
    "DISCARD ALL": ("", lambda a: a.query("CREATE TEMP TABLE x ()", SEEDED, "DISCARD ALL")),
    "a value": (RUNS, lambda a: a.ask(one_statement("SELECT runs($1)", [SEEDED]) + sync())),
}


@pytest.mark.parametrize("way", SEEDS)
def test_the_seed_of_generated_points_is_nobody_elses(weir, postgres, own, way):
    code, seed = SEEDS[way]
    has(postgres, "postgis")
    postgres.query(f"CREATE EXTENSION postgis; {code}", dbname=own)
    with contextlib.closing(postgres.connect(own)) as db, db.cursor() as cursor:
        cursor.execute(SEEDED)
        cursor.execute(POINTS.format(""))
        known = cursor.fetchone()[0]
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    seed(client)
    assert other.query(POINTS.format("")) != [[known]]
    assert other.query(PID) == pid
