"""What SQL means is what its own client says, whoever has sent the same. That is how strings and letters are read, what a shared statement
was parsed under, and the constants that PostgreSQL computes when it plans, under the settings and for the role of that moment.
Plans outlive the one they were made for: those of prepared statements, and those that PL/pgSQL keeps for functions. B must never
get what settings or role made of a constant for A. What a function was compiled with PostgreSQL keeps, as with every pooler
(docs/sessions.md, Known limits), and nothing is closed for that. A is client, B is other; both are of one pool with one server.
"""

import pytest

from leftovers import LOCKS, PID, RUN_IT, USER_ID, ask, begin, direct, sees, settle
from rawwire import (Wire, bind, close, errors, execute, function_call, one_statement, parse, query, sync, texts)
from waiting import wait_until
from weir import hold

pytestmark = pytest.mark.weir_only

CALL = "SELECT public.f()"
FUNCTION = "CREATE FUNCTION public.f() RETURNS text LANGUAGE plpgsql AS $f$ {} $f$;"
MONTH = FUNCTION.format("BEGIN RETURN to_char('01/02/2020'::date, 'MM'); END")
DATE_CODE = FUNCTION.format("BEGIN RETURN to_char('01/02/2020'::date, 'YYYY-MM-DD'); END")
DATE = "SELECT to_char('01/02/2020'::date, 'YYYY-MM-DD')"
ISO, GERMAN = "2020-01-02", "2020-02-01"        # which date that is
SET_GERMAN, GERMAN_LOCALLY = "SET DateStyle = 'German'", "SET LOCAL DateStyle = 'German'"


# --- how it is read ---------------------------------------------------------------------------------------------

HIDES = r"SELECT '\'; SELECT '; SET app.user_id TO a; --'"             # where strings have backslashes
HIDES_TOO = r"SELECT '\'; SET app.user_id TO a; --'"                   # where they have not
HIDES_CALL = r"SELECT '\', ', set_config($q$app.user_id$q$, $q$A$q$, false), 1 --'"
OFF = "SET standard_conforming_strings = off"
HIDDEN_LETTER = b"SELECT E'\x81\x5f'', set_config($q$app.user_id$q$, $q$A$q$, false), pg_advisory_lock(7) --'"


def letters(*packets, **parameters):
    """A letter of this encoding is a backslash in UTF8: PostgreSQL's strings end elsewhere."""
    return parameters, ((query("SET backslash_quote = on"), 1), *packets)


READINGS = {                        # parameters of the startup packet; A's packets, each with how many ReadyForQuery it has
    "SET": ({}, ((query(OFF) + query(HIDES), 2),)),
    "SET LOCAL": ({}, ((query("BEGIN") + query("SET LOCAL standard_conforming_strings = off") + query(HIDES) + query("COMMIT"), 4),)),
    "SET behind another": ({}, ((query("SELECT 1") + query(OFF) + query(HIDES), 3),)),
    "SET, extended": ({}, ((parse("", OFF) + bind() + execute() + parse("", HIDES_CALL) + bind() + execute() + sync(), 1),)),
    "SET undone": ({}, ((query("BEGIN"), 1), (query(OFF), 1), (query("ROLLBACK") + query(HIDES_TOO), 2))),
    "SET LOCAL is over": ({}, ((query("BEGIN; SET LOCAL standard_conforming_strings = off"), 1),
                               (query("COMMIT") + query(HIDES_TOO), 2))),
    "an encoding": ({}, ((query("SET client_encoding = 'SJIS'") + query(b"SELECT E'\x83\x5c'; SET app.user_id TO a; --'"), 2),)),
    "parsed before": ({}, ((query(OFF), 1), (query("BEGIN"), 1), (parse("s", HIDES_CALL) + sync(), 1),
                           (query("SET standard_conforming_strings = on"), 1), (RUN_IT, 1), (query("COMMIT"), 1))),
    "letters, startup": letters((query(HIDDEN_LETTER), 1), client_encoding="SHIFT_JIS_2004"),
    "letters, SET": letters((query("SET client_encoding = 'Shift-Jis-2004'"), 1), (query(HIDDEN_LETTER), 1)),
    "letters, SET NAMES": letters((query("SET NAMES 'SHIFT_JIS_2004'") + query(HIDDEN_LETTER), 2)),
    "letters, set_config()": letters((query("SELECT set_config('client_encoding', 'SHIFT_JIS_2004', false)"), 1), (query(HIDDEN_LETTER), 1)),
    "letters, SET LOCAL": letters((query("BEGIN") + query("SET LOCAL client_encoding = 'SHIFT_JIS_2004'") + query(HIDDEN_LETTER) +
                                   query("COMMIT"), 4)),
    "letters, there and back": letters((parse("", "SET client_encoding = 'SHIFT_JIS_2004'") + bind() + execute() +
                                        parse("", HIDDEN_LETTER) + bind() + execute() +
                                        parse("", "SET client_encoding = 'UTF8'") + bind() + execute() + sync(), 1)),
}


@pytest.mark.sweep(keep=6)
@pytest.mark.parametrize("name", READINGS)
def test_sql_is_scanned_as_postgresql_reads_it(weir, own, name):
    parameters, packets = READINGS[name]
    other, _ = begin(weir, own)
    client = weir.raw(database=own, parameters=parameters)
    for messages, count in packets:
        ask(client, messages, count=count)
    assert sees(other, client, USER_ID) == [[""]]
    assert other.query(LOCKS) == [["0"]]


# --- statements that clients share -----------------------------------------------------------------------------

NULLS = "SELECT (($1::int = NULL) IS NULL)::text"
ARRAY = "SELECT (('{NULL}'::text[])[1] IS NULL)::text"
PARSED = {                          # A's packets, the statement they share, its right answer
    "DateStyle in one batch": (((parse("", SET_GERMAN) + bind() + execute() + parse("s", DATE) + RUN_IT, 1),),
                               DATE, (), ISO),
    "DateStyle in one packet": (((query("SELECT 1") + query(SET_GERMAN) + parse("s", DATE) + RUN_IT, 3),),
                                DATE, (), ISO),
    "transform_null_equals": (((query("SET transform_null_equals = on"), 1),
                               (parse("s", NULLS) + bind("", "s", ("1",)) + execute() + sync(), 1)), NULLS, ("1",), "true"),
    "DateStyle by a view": (((parse("", "SELECT * FROM german") + bind() + execute() + parse("s", DATE) + RUN_IT, 1),),
                            DATE, (), ISO),
    "transform_null_equals by a view": (((query("BEGIN"), 1), (query("SELECT * FROM nullness"), 1),
                                         (parse("s", NULLS) + bind("", "s", ("1",)) + execute() + sync(), 1),
                                         (query("COMMIT"), 1)), NULLS, ("1",), "true"),
    "array_nulls by a view": (((query("BEGIN"), 1), (query("SELECT * FROM nullless"), 1), (parse("s", ARRAY) + RUN_IT, 1),
                               (query("COMMIT"), 1)), ARRAY, (), "true"),
}


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("name", PARSED)
def test_a_statement_means_what_its_own_client_says(weir, postgres, own, name):
    hide(postgres, own)
    packets, sql, parameters, right = PARSED[name]
    other, client = begin(weir, own)
    for messages, count in packets:
        ask(client, messages, count=count)
    client.leave()
    assert ask(other, parse("s", sql) + bind("", "s", parameters) + execute() + sync()) == [[right]]


STRING = r"SELECT length('a\\b')::text"
AGAIN = {                           # the statement, what is sent before it runs on another server, what it says there
    "DateStyle": (DATE, (SET_GERMAN,), GERMAN),
    "DateStyle in a transaction": (DATE, ("BEGIN", SET_GERMAN), GERMAN),
    "DateStyle in this transaction alone": (DATE, ("BEGIN", GERMAN_LOCALLY), GERMAN),
    "DateStyle by a view": (DATE, ("BEGIN", "SELECT * FROM german"), GERMAN),
    "DateStyle behind a savepoint": (DATE, ("BEGIN", GERMAN_LOCALLY, "SAVEPOINT a"), GERMAN),
    "array_nulls": (ARRAY, ("SET array_nulls = off",), "false"),
    "array_nulls by a view": (ARRAY, ("BEGIN", "SELECT * FROM nullless"), "false"),
    "strings": (STRING, ("SET standard_conforming_strings = off",), "3"),
}
SHOWN = ("SHOW DateStyle", "SHOW array_nulls", "SHOW standard_conforming_strings", "SHOW TimeZone", "SHOW client_encoding", DATE)


def hide(postgres, own):
    """Views that set what literals are read under."""
    for view, name, value in (("german", "DateStyle", "German"), ("nullless", "array_nulls", "off"),
                              ("nullness", "transform_null_equals", "on")):
        postgres.query(f"CREATE VIEW {view} AS SELECT set_config('{name}', '{value}', false); GRANT ALL ON {view} TO PUBLIC",
                       dbname=own)


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", AGAIN)
def test_a_statement_is_read_elsewhere_under_the_settings_of_now(weir, postgres, own, name):
    """Those of its client alone: for another it means what it meant."""
    sql, steps, then = AGAIN[name]
    hide(postgres, own)
    client = begin(weir, own, servers=2, clients=1)[0]
    first = ask(client, parse("s", sql) + RUN_IT)
    there = client.query(PID)
    hold(weir, there, own)
    for step in steps:
        client.query(step)
    shown = [client.query(question) for question in SHOWN]
    assert ask(client, RUN_IT) == ask(client, RUN_IT) == [[then]]
    assert client.query(PID) != there
    assert [client.query(question) for question in SHOWN] == shown
    if steps[0] == "BEGIN":
        client.query("COMMIT")
    with weir.raw("web", own) as other:
        assert ask(other, parse("s", sql) + RUN_IT) == first != [[then]]


NOT_TOLD = {    # what A sends first, its packet ahead of the Parse, and behind it; the statement, what it says, and to others
    "behind a setting": ([], query(SET_GERMAN), [], DATE, GERMAN, ISO),
    "behind BEGIN and COMMIT": ([], query("BEGIN; SET array_nulls = off; COMMIT"), [], ARRAY, "false", "true"),
    "behind a Close": ([], query(SET_GERMAN) + close("S", "old"), [], DATE, GERMAN, ISO),
    "within a transaction": ([query("BEGIN")], query(SET_GERMAN), [query("COMMIT")], DATE, GERMAN, ISO),
    "behind COMMIT": ([query("BEGIN"), query(SET_GERMAN)], query("COMMIT"), [], DATE, GERMAN, ISO),
    "behind ROLLBACK": ([query("BEGIN"), query(SET_GERMAN)], query("ROLLBACK"), [], DATE, ISO, ISO),
    "behind code": ([], query("SELECT * FROM german"), [], DATE, GERMAN, ISO),
    "behind ROLLBACK of code": ([query("BEGIN"), query("SELECT * FROM german")], query("ROLLBACK"), [], DATE, ISO, ISO),
}


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("name", NOT_TOLD)
def test_a_statement_is_nobody_elses_wherever_the_setting_was_not_told(weir, postgres, own, name):
    """And keeps no server."""
    before, ahead, then, sql, right, others = NOT_TOLD[name]
    hide(postgres, own)
    client = begin(weir, own, servers=2, clients=1)[0]
    for message in before:
        ask(client, message)
    assert ask(client, ahead + parse("s", sql) + RUN_IT, count=2)[-1:] == [[right]]
    for message in then:
        ask(client, message)
    assert before or weir.console("SHOW PINS") == []
    wait_until(lambda: weir.console("SHOW PINS") == [])
    with weir.raw("web", own) as one, weir.raw("web", own) as two:
        for wire in one, two:               # each on a server of its own
            wire.query("BEGIN")
        for wire in one, two:
            assert ask(wire, parse("s", sql) + RUN_IT) == [[others]]


ALONE = {                           # a statement, what comes ahead of it in its transaction, how many errors there are
    "VACUUM": ("VACUUM gone", "SELECT 1", 0),
    "BEGIN ISOLATION LEVEL": ("BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT 1", 0),
    "SET TRANSACTION": ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN; SET LOCAL DateStyle = 'German'", 0),
    "COMMIT": ("COMMIT", "BEGIN; SET LOCAL DateStyle = 'German'", 0),
    "ROLLBACK behind an error": ("ROLLBACK", "BEGIN; SET LOCAL DateStyle = 'German'; SELECT 1/0", 1),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("how", ["role", "code"])
@pytest.mark.parametrize("name", ALONE)
def test_nothing_goes_ahead_of_what_bears_nothing_ahead_of_it(weir, postgres, own, name, how):
    """On another server than it was parsed on, under other settings."""
    sql, before, failures = ALONE[name]
    hide(postgres, own)
    client = begin(weir, own, servers=2, clients=1)[0]
    client.query("CREATE TABLE gone (d date)")
    settle(client)
    if how == "role":
        client.query("SET ROLE web")
    else:
        sql += " /* ' */"
    ask(client, parse("s", sql) + sync())
    there = client.query(PID)
    hold(weir, there, own)
    client.query(SET_GERMAN)
    client.send(query(before) + RUN_IT)
    assert len(errors(client.read_until("Z", 2))) == failures


def test_a_client_that_reads_otherwise_does_not_use_what_others_share(weir, postgres, own):
    """PostgreSQL reads literals anew when it must plan for another search_path."""
    other, client = begin(weir, own)
    for wire in (other, client):
        assert ask(wire, parse("s", DATE) + RUN_IT) == [[ISO]]
    client.query(SET_GERMAN)
    other.query("BEGIN; SET LOCAL search_path = pg_catalog")
    assert ask(other, RUN_IT) == [[ISO]]
    other.query("COMMIT")
    ask(client, RUN_IT)
    assert ask(other, RUN_IT) == [[ISO]]


# --- plans of statements ----------------------------------------------------------------------------------------

@pytest.fixture
def clerk(postgres, own):
    postgres.query("CREATE ROLE plans_clerk BYPASSRLS; GRANT plans_clerk TO web")
    yield
    postgres.query("DROP OWNED BY plans_clerk", dbname=own)
    postgres.query("DROP ROLE plans_clerk")


@pytest.mark.usefixtures("clerk")
def test_a_role_is_no_constant(weir, postgres, own):
    """Not even in a function that is declared IMMUTABLE and is not."""
    postgres.query("CREATE FUNCTION me() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT user';"
                   "CREATE FUNCTION asks() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN me(); END $$", dbname=own)
    other, client = begin(weir, own)
    client.query("SET ROLE plans_clerk")
    asks = parse("", "SELECT asks()") + bind() + execute() + sync()
    assert ask(client, asks) == [["plans_clerk"]]
    assert ask(other, asks) == [["web"]]


# --- without any function of the database's ---------------------------------------------------------------------

TEXTS = {                           # SQL of which PostgreSQL makes a constant, A's setting, what A and B are told
    "bytea_output": ("SELECT int4send(1)::text", "SET bytea_output = 'escape'", r"\000\000\000\001", r"\x00000001"),
    "quote_all_identifiers": ("SELECT quote_ident(chr(97))", "SET quote_all_identifiers = on", '"a"', "a"),
    "extra_float_digits": ("SELECT (1.0/3)::float8::text", "SET extra_float_digits = -10", "0.33333", "0.3333333333333333"),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("when", ["before", "after", "in a transaction"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_constant_is_as_its_own_client_wants_it(weir, own, name, when):
    """A parses before or after it sets that, and is the first to run it."""
    sql, setting, mine, others = TEXTS[name]
    other, client = begin(weir, own)
    if when != "after":
        ask(client, parse("s", sql) + sync())
    if when == "in a transaction":
        client.query("BEGIN")
    client.query(setting.replace("SET", "SET LOCAL") if when == "in a transaction" else setting)
    if when == "after":
        ask(client, parse("s", sql) + sync())
    assert ask(client, RUN_IT) == [[mine]]
    if when == "in a transaction":
        client.query("COMMIT")
    assert ask(other, parse("s", sql) + RUN_IT) == [[others]]


# --- what PostgreSQL itself plans anew --------------------------------------------------------------------------

POLICIES = """CREATE TABLE secrets (owner text, v text); INSERT INTO secrets VALUES ('web', ''), ('clerk', 'A');
    ALTER TABLE secrets ENABLE ROW LEVEL SECURITY; GRANT ALL ON secrets TO PUBLIC;
    CREATE POLICY p ON secrets USING (owner = 'web')"""


@pytest.mark.usefixtures("clerk")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_policy_is_that_of_the_role(weir, postgres, own, when):
    postgres.query(POLICIES, dbname=own)
    other, client = begin(weir, own)
    sql = parse("s", "SELECT max(v) FROM secrets")
    if when == "before":
        assert ask(client, sql + RUN_IT) == [[""]]
    client.query("SET ROLE plans_clerk")
    assert ask(client, (b"" if when == "before" else sql) + RUN_IT) == [["A"]]
    assert ask(other, sql + RUN_IT) == [[""]]


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("state", ["track", "isolate", "track, and code runs, too"])
@pytest.mark.parametrize("steps", [(SET_GERMAN,), ("BEGIN", GERMAN_LOCALLY)])
def test_a_statement_whose_plan_is_gone_is_read_by_each_as_its_own(weir, postgres, own, state, steps):
    """PostgreSQL reads its literals anew, under the settings that it finds then: those of one client are not another's."""
    postgres.query("SELECT" if state == "isolate" else DATE_CODE, dbname=own)
    other, client = begin(weir, own, session_state=state.split(",")[0])

    def reads(wire, told):
        assert "code" not in state or wire.query(CALL) == [[told]]
        assert ask(wire, RUN_IT) == [[told]]

    for wire in (other, client):
        assert ask(wire, parse("s", DATE) + RUN_IT) == [[ISO]]
    for step in steps:
        client.query(step)
    reads(client, GERMAN)
    if "BEGIN" in steps:
        client.query("COMMIT")
    reads(other, ISO)
    if "BEGIN" in steps:
        ask(client, RUN_IT)     # its own plan is as SET LOCAL has made it
    else:
        reads(client, GERMAN)
    reads(other, ISO)


MOMENTS = ("'now'::timestamptz::text", "' NOW '::timestamptz::text", "$$now$$::timestamptz::text", "'{now}'::timestamptz[]::text",
           "lower('[now,)'::tstzrange)::text", "E'now'::timestamptz::text")


@pytest.mark.parametrize("moment", MOMENTS)
def test_now_is_not_the_moment_of_another(weir, own, moment):
    other, client = begin(weir, own)
    told = {ask(wire, parse("s", f"SELECT {moment}") + RUN_IT)[0][0] for wire in (client, other)}
    assert len(told) == 2


@pytest.mark.parametrize("moment", ["'12:00 today'::timestamp", "'00:00 tomorrow'::timestamp", "'today'::date"])
def test_today_is_shared_with_nobody(weir, own, moment):
    """By tomorrow it is another day."""
    other, client = begin(weir, own)
    for wire in (client, other):
        ask(wire, parse("s", f"SELECT {moment}") + RUN_IT)
    assert not [row for row in weir.console("SHOW PREPARED") if moment in row["query"]]


SINCE = """CREATE FUNCTION since() RETURNS text LANGUAGE plpgsql AS
    $f$ BEGIN RETURN extract(epoch FROM '2020-01-01 00:00'::timestamptz)::int; END $f$"""


def test_plans_are_not_met_behind_the_end_of_a_failed_transaction(weir, postgres, own):
    """B sends on while the reply to its ROLLBACK is under way."""
    postgres.query(SINCE, dbname=own)
    other, client = begin(weir, own)
    assert client.value("SELECT since()") == "1577836800"
    assert errors(other.ask(query("BEGIN; SELECT 1 / 0")))
    other.send(query("ROLLBACK"), query("SET TimeZone = 'Asia/Tokyo'"), query("SELECT since()"))
    assert texts(other.read_until("Z", 3)) == [["1577804400"]]


MEET = "SELECT length(f())"
KEPT = {                            # B's messages, which meet a plan of A's; each is answered as without A
    "without literals, in one batch": (
        one_statement("PREPARE p AS SELECT f()") + one_statement("SET DateStyle = 'DMY'") +
        one_statement("EXECUTE p") + sync(), query("EXECUTE p")),
    "in one batch, with a cursor": (
        one_statement("BEGIN") + one_statement("SET DateStyle = 'DMY'") +
        one_statement("DECLARE c CURSOR FOR SELECT f()") + one_statement("FETCH c") + sync(), query("COMMIT")),
}


def replies_to(messages):
    """How many ReadyForQuery answer them."""
    return messages.count(b"Q\0\0") + messages.endswith(sync())


@pytest.mark.parametrize("name", KEPT)
def test_what_sql_has_prepared_outlives_the_plans_of_others(weir, postgres, own, name):
    postgres.query(DATE_CODE, dbname=own)
    with Wire(direct(postgres)).login("web", own) as wire:
        told = [ask(wire, message, count=replies_to(message)) for message in KEPT[name]]
    other, client = begin(weir, own)
    assert ask(client, query(MEET)) == [["10"]]
    assert [ask(other, message, count=replies_to(message)) for message in KEPT[name]] == told


# --- functions: what PostgreSQL keeps of them ------------------------------------------------------------------

SCHEMAS = """CREATE SCHEMA evil; CREATE SCHEMA good; SET check_function_bodies = off; GRANT ALL ON SCHEMA evil, good TO PUBLIC;
    CREATE TABLE evil.users (id int, name text, extra text); CREATE TABLE good.users (id text, name text);
    CREATE TYPE evil.status AS ENUM ('bad'); CREATE TYPE good.status AS ENUM ('fine');
    CREATE DOMAIN evil.amount AS int; CREATE DOMAIN good.amount AS text; CREATE TYPE good."My Type" AS ENUM ('x');
    CREATE TYPE evil."My Type" AS ENUM ('y'); GRANT ALL ON good.users, evil.users TO PUBLIC;"""
TYPE_OF = "(SELECT nspname FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE t.oid = pg_typeof({}))"
ONE = FUNCTION.format(f"DECLARE v {{}}; BEGIN RETURN {TYPE_OF.format('v')}; END")
PROCEDURE = "CREATE PROCEDURE {}() LANGUAGE plpgsql AS $p$ {} $p$;"


def set_style(wire, style):
    wire.query(f"SET DateStyle = {style}")


def set_path(wire, path):
    wire.query(f"SET search_path = {path}")


DAILY = {                           # what costs a wash, and no connection
    "a temporary table": ["BEGIN", "CREATE TEMP TABLE work (id int) ON COMMIT DROP", "INSERT INTO work SELECT id FROM users", "SELECT plain()", "COMMIT"],
    "a temporary table, kept": ["CREATE TEMP TABLE work (id int)", "SELECT plain() FROM work", "DROP TABLE work"],
    "one of a query": ["BEGIN; CREATE TEMP TABLE work ON COMMIT DROP AS SELECT * FROM users", "CREATE INDEX ON work (id)", "SELECT plain()", "COMMIT"],
    "DO": ["DO $$ BEGIN PERFORM plain(); END $$"],
    "DO with a temporary table": ["DO $$ BEGIN CREATE TEMP TABLE work (id int) ON COMMIT DROP; PERFORM plain(); END $$"],
    "dynamic SQL": ["SELECT counted('users')"],
    "dynamic SQL beside a procedure with ROLLBACK": ["SELECT counted('users')", "TRUNCATE users", "SELECT counted('users')"],
    "a procedure with dynamic SQL": ["CALL busy()"],
}


@pytest.mark.parametrize("what", DAILY)
def test_what_applications_do_daily_closes_nothing(weir, postgres, own, what):
    dynamic = """CREATE FUNCTION counted(t text) RETURNS bigint LANGUAGE plpgsql AS $f$ DECLARE n bigint; BEGIN
        EXECUTE 'SELECT count(*) FROM ' || quote_ident(t) INTO n; RETURN n; END $f$;""" + (
        PROCEDURE.format("calm", "BEGIN ROLLBACK; END") if "ROLLBACK" in what else
        PROCEDURE.format("busy", "BEGIN PERFORM counted('users'); EXECUTE 'SELECT plain()'; COMMIT; END"))
    postgres.query("CREATE TABLE users (id int); CREATE SEQUENCE s; GRANT ALL ON users TO PUBLIC;" + FUNCTION.format(
        "DECLARE u users%ROWTYPE; v users.id%TYPE; BEGIN SELECT * INTO u FROM users; RETURN v; END").replace("f()", "plain()") + dynamic, dbname=own)
    other, client = begin(weir, own)
    settle(client)
    pid = other.query(PID)
    for _ in range(3):
        for sql in DAILY[what]:
            client.query(sql)
        assert other.query(PID) == pid
        assert other.query("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == [["0"]]


PATHS = {                           # a function whose variable may be of another type under another search_path
    "a type that differs": ONE.format("status"),
    "its own search_path": ONE.format("status").replace("LANGUAGE", "SET search_path = good LANGUAGE"),
}


@pytest.mark.parametrize("form", PATHS)
def test_another_search_path_closes_nothing(weir, postgres, own, form):
    postgres.query(SCHEMAS + PATHS[form], dbname=own)
    other, client = begin(weir, own)
    pid = other.query(PID)
    set_path(client, "evil, public")
    set_path(other, "good, public")
    for _ in range(3):
        for wire in (other, client):
            told = wire.query(CALL)
            assert told == [["good"]], "as it was compiled first"
    assert (client.query(PID), other.query(PID)) == (pid, pid)


def test_statements_of_a_function_follow_each_clients_search_path(weir, postgres, own):
    """PostgreSQL itself looks up the tables again."""
    postgres.query(SCHEMAS + FUNCTION.format("BEGIN RETURN (SELECT relnamespace::regnamespace FROM users u JOIN pg_class c ON c.oid = u.tableoid); END") +
                   "INSERT INTO evil.users VALUES (1); INSERT INTO good.users VALUES ('1')", dbname=own)
    other, client = begin(weir, own)
    for _ in range(2):
        for wire, schema in ((client, "evil"), (other, "good")):
            set_path(wire, schema)
            assert wire.query(CALL) == [[schema]]


SUPABASE = """CREATE SCHEMA auth; CREATE SCHEMA storage; SET check_function_bodies = off; GRANT ALL ON SCHEMA auth, storage TO PUBLIC;
    CREATE TABLE auth.users (id int PRIMARY KEY, email text, raw jsonb); CREATE TABLE users (id int, name text);
    CREATE TABLE storage.objects (id int, name text); CREATE TABLE objects (id text, label text);
    CREATE FUNCTION new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $f$ BEGIN
        INSERT INTO public.users VALUES (new.id, new.email); RETURN new; END $f$;
    CREATE TRIGGER t AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION new_user();
    CREATE FUNCTION storage.search(prefix text) RETURNS SETOF text LANGUAGE plpgsql AS $f$ BEGIN
        RETURN QUERY EXECUTE 'SELECT name FROM storage.objects WHERE name LIKE $1 || %%' USING prefix; END $f$;
    CREATE FUNCTION count_all(t text) RETURNS bigint LANGUAGE plpgsql AS $f$ DECLARE n bigint; BEGIN
        EXECUTE 'SELECT count(*) FROM ' || quote_ident(t) || ' WHERE true' INTO n; RETURN n; END $f$;
    CREATE FUNCTION count_it(t text) RETURNS bigint LANGUAGE plpgsql AS $f$ DECLARE n bigint; BEGIN
        EXECUTE format('SELECT count(*) FROM %I', t) INTO n; RETURN n; END $f$;
    CREATE FUNCTION act_as() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN PERFORM set_config('role', 'web', true); RETURN current_user;
        END $f$;
    GRANT ALL ON ALL TABLES IN SCHEMA auth, storage, public TO PUBLIC;""".replace("%%", "''%''")
PROFILE = """CREATE FUNCTION profile(i int) RETURNS text LANGUAGE plpgsql AS $f$ DECLARE u users%ROWTYPE; BEGIN
    SELECT * INTO u FROM users WHERE id = i; RETURN u.name; END $f$;"""
PROFILES = {
    "without a path": PROFILE,
    "with its own path": PROFILE.replace("LANGUAGE", "SET search_path = public, pg_temp LANGUAGE") +
                         """CREATE FUNCTION email(i int) RETURNS text LANGUAGE plpgsql SET search_path = auth, pg_temp AS $f$
                         DECLARE u users; BEGIN SELECT * INTO u FROM users WHERE id = i; RETURN u.email; END $f$;""",
}


@pytest.mark.parametrize("form", PROFILES)
def test_several_schemas_with_tables_of_the_same_names_cost_nothing(weir, postgres, own, form):
    """As in Supabase's databases. The clients have one search_path, and no code changes it."""
    postgres.query(SUPABASE + PROFILES[form], dbname=own)
    other, client = begin(weir, own)
    pid = other.query(PID)
    for number, wire in enumerate((client, other, client, other), 1):
        wire.query(f"INSERT INTO auth.users VALUES ({number}, 'n{number}')")
        assert wire.query(f"SELECT profile({number})") == [[f"n{number}"]]
        assert wire.query(PID) == pid


def test_who_has_the_same_settings_pays_nothing(weir, postgres, own):
    postgres.query(DATE_CODE, dbname=own)
    other, client = begin(weir, own)
    pid = other.query(PID)
    for wire in (client, other, client, other):
        set_style(wire, "German")
        assert wire.query(CALL) == [[GERMAN]]
        wire.query("DISCARD ALL")
        set_style(wire, "German")
        wire.query("BEGIN; SET LOCAL app.user_id = 'x'; SELECT public.f(); COMMIT")
        assert wire.query(PID) == pid


@pytest.mark.parametrize("ahead", ["SET DateStyle = German", "DISCARD ALL", "SELECT version()", "SHOW DateStyle"])
def test_a_newcomer_has_its_own_whatever_it_begins_with(weir, postgres, own, ahead):
    postgres.query(DATE_CODE, dbname=own)
    other, client = begin(weir, own)
    set_style(client, "German")
    assert client.query(CALL) == [[GERMAN]]
    pid = client.query(PID)
    for send in (lambda: ask(other, query(ahead)), lambda: ask(other, parse("", ahead) + bind() + execute() + sync())):
        send()
        set_style(other, "German")
        assert (other.query(CALL), other.query(PID)) == ([[GERMAN]], pid)
        other.query("RESET ALL")
    assert (other.query(CALL), other.query(PID)) == ([[ISO]], pid)


def test_the_transactions_path_tells_what_is_postgresqls_own(weir, postgres, own):
    postgres.query(SCHEMAS + DATE_CODE + "; CREATE FUNCTION evil.version() RETURNS text LANGUAGE sql AS 'SELECT public.f()::text'", dbname=own)
    other, client = begin(weir, own)
    other.query("BEGIN")
    other.query("SET LOCAL search_path = evil, pg_catalog; SET LOCAL DateStyle = German")
    assert other.query("SELECT version()") == [[GERMAN]]
    other.query("COMMIT")
    assert client.query(CALL) == [[ISO]]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("behind", ["a Query", "a Bind", "a transaction", "a function call"])
@pytest.mark.parametrize("ahead", ["SELECT version()", "SHOW TimeZone"])
def test_what_follows_at_once_has_its_own(weir, postgres, own, ahead, behind):
    """SQL that calls no function may run beside A's plans; what B sends behind it may not."""
    postgres.query(DATE_CODE, dbname=own)
    other, client = begin(weir, own)
    ask(other, parse("s", CALL) + sync())
    oid = int(client.query("SELECT 'public.f()'::regprocedure::oid")[0][0])
    set_style(client, "German")
    for at_once in (True, False):
        assert client.query(CALL) == [[GERMAN]]
        parts = {"a Query": query(CALL), "a Bind": bind("", "s") + execute() + sync(),
                 "a transaction": query("BEGIN") + query(CALL) + query("COMMIT"),
                 "a function call": function_call(oid, (), (), 0)}
        count = 4 if behind == "a transaction" else 2
        if at_once:
            other.send(query(ahead) + parts[behind])
        else:
            other.send(query(ahead))
            other.send(parts[behind])
        replies = other.read_until("Z", count)
        assert not errors(replies)
        assert any(ISO.encode() in reply.body for reply in replies[2:])
        assert not any(GERMAN.encode() in reply.body for reply in replies)


def test_a_client_may_change_its_settings_on_a_server_of_its_own(weir, postgres, own):
    postgres.query(DATE_CODE, dbname=own)
    other, client = begin(weir, own)
    pid = client.query(PID)
    for style, told in (("German", GERMAN), ("'ISO, MDY'", ISO), ("German", GERMAN)):
        set_style(client, style)
        assert client.query(CALL) == [[told]]
    assert client.query(PID) == pid
    assert other.query(CALL) == [[ISO]]


def test_what_is_made_later_counts(weir, postgres, own):
    """The pool learns of DDL that passes through it."""
    other, client = begin(weir, own)
    set_style(client, "German")
    client.query(DATE_CODE)
    assert client.query(CALL) == [[GERMAN]]
    assert other.query(CALL) == [[ISO]]


def test_those_in_line_are_served_in_their_turn(weir, postgres, own):
    """A waits with another setting than B; each is served when the server comes free."""
    postgres.query(DATE_CODE, dbname=own)
    other, client = begin(weir, own)
    third = weir.raw("web", own)
    set_style(client, "German")
    client.query("BEGIN")
    assert client.query(CALL) == [[GERMAN]]
    other.send(query(CALL))
    weir.wait_waiting(1, own)
    third.send(query(CALL))
    weir.wait_waiting(2, own)
    client.query("COMMIT")
    for wire in (other, third):
        replies = wire.read_until("Z")
        assert not errors(replies) and texts(replies) == [[ISO]]


# --- constants --------------------------------------------------------------------------------------------------

READ = {                            # SQL with a function, A's setting, what A and B are told
    "a date": (DATE_CODE, SET_GERMAN, GERMAN, ISO),
    "a date of an assignment": (FUNCTION.format("DECLARE d date; BEGIN d := '01/02/2020'; RETURN to_char(d, 'MM'); END"),
                                SET_GERMAN, "02", "01"),
    "a time": (FUNCTION.format("BEGIN RETURN extract(epoch FROM '2020-01-01 12:00'::timestamptz); END"),
               "SET TimeZone = 'Asia/Tokyo'", "1577847600.000000", None),
    "a text": (FUNCTION.format("BEGIN RETURN public.im(); END") + """CREATE FUNCTION public.im() RETURNS text IMMUTABLE LANGUAGE sql
               AS 'SELECT (date $$2020-01-02$$)::text'""", SET_GERMAN, "02.01.2020", ISO),
}


@pytest.mark.parametrize("form", READ)
def test_constants_are_ones_own(weir, postgres, own, form):
    code, setting, mine, others = READ[form]
    postgres.query(code, dbname=own)
    other, client = begin(weir, own)
    pid = other.query(PID)
    client.query(setting)
    assert client.query(CALL) == [[mine]]
    told = other.query(CALL)
    assert told == [[others]] if others is not None else told != [[mine]]
    assert other.query(PID) == pid, "nothing is closed for that"


def test_a_right_is_ones_own(weir, postgres, own):
    postgres.query("""CREATE ROLE compiled_a; CREATE ROLE compiled_b; GRANT compiled_a, compiled_b TO web""")
    postgres.query("""CREATE FUNCTION secret() RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 'S'; END $$;
        REVOKE EXECUTE ON FUNCTION secret() FROM PUBLIC; GRANT EXECUTE ON FUNCTION secret() TO compiled_a;""" +
                   FUNCTION.format("BEGIN RETURN secret(); END"), dbname=own)
    other, client = begin(weir, own)
    try:
        client.query("SET ROLE compiled_a")
        other.query("SET ROLE compiled_b")
        assert client.query(CALL) == [["S"]]
        other.send(query(CALL))
        assert [e.sqlstate for e in errors(other.read_until("Z"))] == ["42501"]
        assert client.query(CALL) == [["S"]]
    finally:
        weir.stop()
        postgres.query("DROP OWNED BY compiled_a, compiled_b", dbname=own)
        postgres.query("DROP ROLE compiled_a; DROP ROLE compiled_b")


@pytest.mark.parametrize("code", ["", DATE_CODE])
def test_a_statement_is_not_shared_behind_do(weir, postgres, own, code):
    """Its literals were read under what DO has set."""
    postgres.query(code or "SELECT 1", dbname=own)
    other, client = begin(weir, own)
    settle(client)
    client.query("BEGIN")
    client.query("DO $$ BEGIN SET LOCAL DateStyle = 'German'; END $$")
    run = parse("s", "SELECT to_char('01/02/2020'::date, 'MM')") + bind("", "s") + execute() + sync()
    assert ask(client, run) == [["02"]]
    client.query("COMMIT")
    assert ask(other, run) == [["01"]]


UNDER_WAY = {                       # how A's setting and its call are sent
    **{f"in a pipeline, {sql}": lambda a, sql=sql: [a.send(query(sql) + query(CALL)), a.read_until("Z"), texts(a.read_until("Z"))][-1]
       for sql in (SET_GERMAN, "SET DateStyle TO 'German'", "SET DateStyle = 'ISO, DMY'")},
    "in one request": lambda a: ask(a, one_statement(SET_GERMAN) + one_statement(CALL) + sync()),
    "in one Query": lambda a: a.query(f"{SET_GERMAN}; {CALL}"),
    "in one Query that comes in pieces": lambda a: a.query(f"{SET_GERMAN}; {CALL} -- {'x' * 300_000}"),
    "in a transaction": lambda a: [a.query("BEGIN"), a.query(GERMAN_LOCALLY), a.query(CALL), a.query("COMMIT")][2],
    "in a transaction, in pieces": lambda a: [a.query("BEGIN"), a.query(f"{GERMAN_LOCALLY} -- {'x' * 300_000}"), a.query(CALL),
                                              a.query("COMMIT")][2],
    "in a transaction, parsed": lambda a: [a.query("BEGIN"), a.query(GERMAN_LOCALLY), ask(a, one_statement(CALL) + sync()),
                                           a.query("COMMIT")][2],
    "in a transaction, all at once": lambda a: [a.send(b"".join(map(query, ("BEGIN", GERMAN_LOCALLY, CALL, "COMMIT")))),
                                                a.read_until("Z"), a.read_until("Z"), texts(a.read_until("Z")), a.read_until("Z")][3],
    "behind an error": lambda a: [a.send(query("SELECT 1/0") + query(SET_GERMAN) + query(CALL)), a.read_until("Z"), a.read_until("Z"),
                                  texts(a.read_until("Z"))][-1],
}


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("is_planned", [True, False])
@pytest.mark.parametrize("way", UNDER_WAY)
def test_a_plan_of_anothers_is_not_used_under_a_setting_that_is_under_way(weir, postgres, own, way, is_planned):
    """It was made under the settings that A's session had before, by B; or A makes it, while the new value is not reported yet."""
    postgres.query(MONTH, dbname=own)
    other, client = begin(weir, own)
    settle(client)
    pid = other.query(PID)
    assert not is_planned or other.query(CALL) == [["01"]]
    assert UNDER_WAY[way](client) == [["02"]]
    assert other.query(CALL) == [["01"]]
    assert other.query(PID) == pid, "nothing is closed for that"
