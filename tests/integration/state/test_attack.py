"""Ways in which something of one client was once seen by another, or the next one paid for it: each test is one. A is
client, B is other; both are of one pool with one server connection."""

import pytest

from rawwire import bind, close, errors, execute, parse, query, sync, texts
from test_sealed_proof import INSERT, LOCKS, TEMPORARY, TRIGGER, USER_ID, sees, settle
from unseen import seeded_numbers
from waiting import wait_until
from weir import hold

pytestmark = pytest.mark.weir_only

VIEW = "CREATE VIEW sly AS SELECT set_config('app.user_id', 'A', false); GRANT ALL ON sly TO PUBLIC"
TABLE = """CREATE TABLE t (v int); GRANT ALL ON t TO PUBLIC;
    CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg();"""
DBLINKS = "SELECT dblink_get_connections()"


@pytest.fixture
def victim(postgres):
    postgres.query("CREATE DATABASE attacked OWNER web", dbname="postgres")
    postgres.query("GRANT ALL ON SCHEMA public TO PUBLIC", dbname="attacked")
    yield "attacked"
    postgres.query("DROP DATABASE IF EXISTS attacked WITH (FORCE)", dbname="postgres")


def begin(weir, dbname, user="web", **settings):
    weir.start({f"database {dbname}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0, **settings)
    other, client = weir.raw(user, dbname), weir.raw(user, dbname)
    settle(other)
    return other, client


def ask(wire, *messages, count=1):
    """No error in any reply."""
    wire.send(*messages)
    replies = wire.read_until("Z", count)
    assert not errors(replies), errors(replies)[0].error
    return texts(replies)


def use_sly(client, other):
    """What B sees, whenever A has used that view."""
    seen = []
    for _ in range(20):
        client.query("SELECT * FROM sly")
        seen += other.query(USER_ID)
    return [row for row in seen if row != [""]]


def extended(sql, *parameters):
    return parse("", sql) + bind("", "", parameters) + execute() + sync()


# --- the database's code ----------------------------------------------------------------------------------------

CODE = {                            # code, A's step, what B asks, what it sees
    "pg_temp first in a function's own search_path": (
        "CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_temp, public AS "
        "$f$ BEGIN CREATE TABLE kept (v int); RETURN new; END $f$;" + TABLE, INSERT, TEMPORARY, "0"),
    "statistics": (
        "CREATE TABLE t (v int, w int); INSERT INTO t SELECT i, i FROM generate_series(1, 100) i; CREATE STATISTICS s ON "
        "(pg_try_advisory_lock(v)) FROM t; ALTER TABLE t OWNER TO web", "ANALYZE t", LOCKS, "0"),
    "a function that makes a function": (
        r"""CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN CREATE OR REPLACE FUNCTION g() RETURNS text
        LANGUAGE plpgsql AS E'BEGIN RETURN set\x5fconfig(''app.user_id'', ''A'', false); END'; PERFORM g(); RETURN 1; END
        $f$""", "SELECT f()", USER_ID, ""),
}


@pytest.mark.parametrize("name", CODE)
def test_code_is_found(weir, postgres, victim, name):
    code, step, question, clean = CODE[name]
    postgres.query(code, dbname=victim)
    other, client = begin(weir, victim)
    client.query(step)
    assert sees(weir, other, client, question) == [[clean]]


# --- settings that leave more than settings ---------------------------------------------------------------------

MAKES = TRIGGER.format(body="BEGIN CREATE TABLE kept (v int); RETURN new; END")
LEAVES_TABLE = {                    # code, and A's packets: the trigger's table is a temporary one
    "in a function's own search_path, behind a = sign":
        (MAKES + """ALTER FUNCTION tg() SET search_path = "a=b", pg_temp""", (query(INSERT),)),
    "for this transaction": (MAKES, (query("BEGIN"), query("SET LOCAL search_path = pg_temp, public"), query(INSERT),
                                     query("COMMIT"))),
    "as a string": (MAKES, (query("BEGIN"), query("SET LOCAL search_path = 'pg_temp', public"), query(INSERT),
                            query("COMMIT"))),
    "with an escape": (MAKES, (query("BEGIN"), query(r"SET LOCAL search_path = E'pg\x5ftemp', public"), query(INSERT),
                               query("COMMIT"))),
    "in Unicode": (MAKES, (query("BEGIN"), query(r'SET LOCAL search_path = U&"pg\005ftemp", public'), query(INSERT),
                           query("COMMIT"))),
    "there and back": (MAKES, (query("BEGIN"), query("SET search_path = pg_temp, public"), query(INSERT),
                               query("SET search_path = public"), query("COMMIT"))),
    "by set_config()": (MAKES, (query("BEGIN"), query("SELECT set_config('search_path', 'pg_temp, public', true)"),
                                query(INSERT), query("COMMIT"))),
    "by set_config() with an escape": (
        MAKES, (query("BEGIN"), query(r"SELECT set_config('search_path', E'pg\x5ftemp, public', true)"), query(INSERT),
                query("COMMIT"))),
    "by a parameter": (MAKES, (query("BEGIN"), extended("SELECT set_config('search_path', $1, true)", "pg_temp, public"),
                               extended(INSERT), query("COMMIT"))),
    "by one of several": (MAKES, (query("BEGIN"),
                                  extended("SELECT set_config('app.x', 'x', true), set_config($2, $1, true)",
                                           "pg_temp, public", "search_path"), extended(INSERT), query("COMMIT"))),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", LEAVES_TABLE)
def test_tables_that_are_temporary_unseen_do_not_cross(weir, postgres, victim, name):
    code, packets = LEAVES_TABLE[name]
    postgres.query(code, dbname=victim)
    other, client = begin(weir, victim)
    for packet in packets:
        ask(client, packet)
    assert client.query(TEMPORARY) == [["1"]] or "function" in name
    assert sees(weir, other, client, TEMPORARY) == [["0"]]


SEEDS = {                           # code, A's packet
    "SET LOCAL": ("", query("BEGIN; SET LOCAL seed = 0.25; COMMIT")),
    "SET LOCAL, prepared": ("", extended('SET LOCAL "SEED" = 0.25')),
    "set_config()": ("", query("SELECT set_config('seed', '0.25', true)")),
    "set_config() with an escape": ("", query(r"SELECT set_config(E'se\x65d', '0.25', true)")),
    "set_config() of parameters": ("", extended("SELECT set_config($1, $2, true)", "seed", "0.25")),
    "a view": ("CREATE VIEW v AS SELECT set_config('seed', '0.25', true); GRANT ALL ON v TO PUBLIC", query("SELECT * FROM v")),
    "a trigger": (TRIGGER.format(body="BEGIN SET \"seed\" = 0.25; RETURN new; END"), query(INSERT)),
    "a trigger by set_config()": (TRIGGER.format(body="BEGIN PERFORM set_config('seed', '0.25', false); RETURN new; END"),
                                  query(INSERT)),
    "a function's own setting": ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SET seed = 0.25 AS 'SELECT 1'",
                                 query("SELECT f()")),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_does_not_cross(weir, postgres, victim, name):
    code, packet = SEEDS[name]
    postgres.query(code or "SELECT 1", dbname=victim)
    other, client = begin(weir, victim)
    ask(client, packet)
    assert sees(weir, other, client, "SELECT random()")[0][0] not in seeded_numbers(postgres, "app")


DRAWS = {                           # A's packets
    "a query": (query("SELECT random()"),),
    "in a transaction": (query("BEGIN"), query("SELECT 1 ORDER BY random()"), query("COMMIT")),
    "extended": (extended("SELECT random() * $1::int", "9"),),
    "prepared": (parse("x", "SELECT random()") + sync(), bind("", "x") + execute() + sync(), query("SELECT 1")),
    "SQL PREPARE": (query("PREPARE x AS SELECT random()"), query("EXECUTE x"), query("DEALLOCATE x")),
    "a function": (query("SELECT f()"),),
    "a default": (query("INSERT INTO drawn VALUES (1) RETURNING r"),),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", DRAWS)
def test_who_has_seen_random_does_not_foretell_that_of_others(weir, postgres, victim, name):
    """The server begins with a generator whose numbers are known, as whoever has seen some knows those that follow."""
    postgres.query("CREATE FUNCTION f() RETURNS float LANGUAGE plpgsql AS 'BEGIN RETURN random(); END'", dbname=victim)
    postgres.query("CREATE TABLE drawn (v int, r float DEFAULT random()); GRANT ALL ON drawn TO PUBLIC", dbname=victim)
    weir.start({f"database {victim}": {"upstream": weir.upstream(connect_query="'SELECT setseed(0.25)'")}}, pool_size=1)
    other, client = weir.raw(database=victim), weir.raw(database=victim)
    settle(other)
    for packet in DRAWS[name]:
        ask(client, packet)
    assert sees(weir, other, client, "SELECT random()")[0][0] not in seeded_numbers(postgres, "app")


# --- sessions on other servers ----------------------------------------------------------------------------------

BACKEND = {
    "by dynamic SQL": (
        "CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN EXECUTE 'SELECT dblink_con' || "
        "'nect(''a'', ''DBLINK'')'; RETURN new; END $f$;" + TABLE, INSERT),
    "by a DO block": ("", "DO $$ BEGIN EXECUTE 'SELECT dblink_con' || 'nect(''a'', ''DBLINK'')'; END $$"),
    "where PostgreSQL does not tell about the code": (
        "CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM dblink_connect_u('a', 'DBLINK'); "
        "RETURN new; END $f$; REVOKE SELECT ON pg_policy FROM PUBLIC;" + TABLE, INSERT),
}


@pytest.mark.parametrize("name", BACKEND)
def test_connections_of_dblink_do_not_cross(weir, postgres, victim, name):
    address = f"dbname={victim} host={postgres.host} port={postgres.port} user=web"
    code, step = (sql.replace("DBLINK", address) for sql in BACKEND[name])
    postgres.query("CREATE EXTENSION dblink; GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO PUBLIC;" + code,
                   dbname=victim)
    other, client = begin(weir, victim, user="web" if "tell" in name else "postgres")
    client.query(step)
    assert sees(weir, other, client, DBLINKS) == [[None]]


def test_sessions_elsewhere_end_and_the_connection_stays(weir, postgres, victim):
    schema = "\"A b'x%\""
    address = f"dbname={victim} host={postgres.host} port={postgres.port} user=web"
    postgres.query(f"CREATE SCHEMA {schema}; CREATE EXTENSION dblink SCHEMA {schema}; CREATE EXTENSION postgres_fdw SCHEMA "
                   f"{schema}; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw", dbname=victim)
    other, client = begin(weir, victim, user="postgres")
    pid = other.query("SELECT pg_backend_pid()")
    for name in ("", "$q$a$q$, ", "$q$b\"'$q$, "):
        client.query(f"DO $do$ BEGIN EXECUTE $x$SELECT {schema}.dblink_con$x$ || $x$nect({name}$q${address}$q$)$x$; END $do$")
    assert other.query(f"SELECT {schema}.dblink_get_connections()") == [[None]]
    assert [e.sqlstate for e in errors(other.ask(query(f"SELECT {schema}.dblink_disconnect()")))] == ["08003"]
    assert client.query("SELECT pg_backend_pid()") == pid


@pytest.mark.parametrize("version, is_kept", [("1.1", True), ("1.0", False)])
def test_sessions_of_postgres_fdw_do_not_cross(weir, postgres, victim, version, is_kept):
    postgres.query(VIEW + f"""; CREATE EXTENSION postgres_fdw VERSION '{version}';
        CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{postgres.host}', port '{postgres.port}', dbname
        '{victim}'); CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'web', password_required 'false');
        CREATE VIEW who AS SELECT coalesce(current_setting('app.user_id', true), '') AS v; GRANT ALL ON who TO PUBLIC;
        CREATE FOREIGN TABLE far_who (v text) SERVER s OPTIONS (table_name 'who'); GRANT ALL ON far_who TO PUBLIC;
        CREATE FOREIGN TABLE far_sly (set_config text) SERVER s OPTIONS (table_name 'sly');
        GRANT ALL ON far_sly TO PUBLIC""", dbname=victim)
    other, client = begin(weir, victim)
    pid = client.query("SELECT pg_backend_pid()")
    client.query("SELECT * FROM far_sly")
    assert other.query("SELECT * FROM far_who") == [[""]]
    assert (other.query("SELECT pg_backend_pid()") == pid) == is_kept


# --- SQL that is read otherwise by the time it runs -------------------------------------------------------------

HIDES = r"SELECT '\'; SELECT '; SET app.user_id TO a; --'"             # where strings have backslashes
HIDES_TOO = r"SELECT '\'; SET app.user_id TO a; --'"                   # where they have not
HIDES_CALL = r"SELECT '\', ', set_config($q$app.user_id$q$, $q$A$q$, false), 1 --'"
OFF = "SET standard_conforming_strings = off"
READINGS = {                        # A's packets, each with how many ReadyForQuery it has
    "SET": ((query(OFF) + query(HIDES), 2),),
    "SET LOCAL": ((query("BEGIN") + query("SET LOCAL standard_conforming_strings = off") + query(HIDES) + query("COMMIT"), 4),),
    "SET behind another": ((query("SELECT 1") + query(OFF) + query(HIDES), 3),),
    "SET, extended": ((parse("", OFF) + bind() + execute() + parse("", HIDES_CALL) + bind() + execute() + sync(), 1),),
    "SET undone": ((query("BEGIN"), 1), (query(OFF), 1), (query("ROLLBACK") + query(HIDES_TOO), 2)),
    "SET LOCAL is over": ((query("BEGIN; SET LOCAL standard_conforming_strings = off"), 1),
                          (query("COMMIT") + query(HIDES_TOO), 2)),
    "an encoding": ((query("SET client_encoding = 'SJIS'") + query(b"SELECT E'\x83\x5c'; SET app.user_id TO a; --'"), 2),),
    "parsed before": ((query(OFF), 1), (query("BEGIN"), 1), (parse("s", HIDES_CALL) + sync(), 1),
                      (query("SET standard_conforming_strings = on"), 1), (bind("", "s") + execute() + sync(), 1),
                      (query("COMMIT"), 1)),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", READINGS)
def test_sql_is_scanned_as_postgresql_reads_it(weir, victim, name):
    other, client = begin(weir, victim)
    for messages, count in READINGS[name]:
        ask(client, messages, count=count)
    client.leave()
    assert other.query(USER_ID) == [[""]]


# A letter of this encoding is a backslash in UTF8: PostgreSQL's strings end elsewhere.
HIDDEN_LETTER = b"SELECT E'\x81\x5f'', set_config($q$app.user_id$q$, $q$A$q$, false), pg_advisory_lock(7) --'"
LETTERS = {                         # parameters of the startup packet, A's packets
    "startup": ({"client_encoding": "SHIFT_JIS_2004"}, ((query(HIDDEN_LETTER), 1),)),
    "SET": ({}, ((query("SET client_encoding = 'Shift-Jis-2004'"), 1), (query(HIDDEN_LETTER), 1))),
    "SET NAMES": ({}, ((query("SET NAMES 'SHIFT_JIS_2004'") + query(HIDDEN_LETTER), 2),)),
    "set_config()": ({}, ((query("SELECT set_config('client_encoding', 'SHIFT_JIS_2004', false)"), 1), (query(HIDDEN_LETTER), 1))),
    "SET LOCAL": ({}, ((query("BEGIN") + query("SET LOCAL client_encoding = 'SHIFT_JIS_2004'") + query(HIDDEN_LETTER) +
                        query("COMMIT"), 4),)),
    "there and back": ({}, ((parse("", "SET client_encoding = 'SHIFT_JIS_2004'") + bind() + execute() +
                             parse("", HIDDEN_LETTER) + bind() + execute() +
                             parse("", "SET client_encoding = 'UTF8'") + bind() + execute() + sync(), 1),)),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", LETTERS)
def test_sql_in_an_encoding_that_is_not_read_leaves_nothing(weir, victim, name):
    parameters, packets = LETTERS[name]
    other, _ = begin(weir, victim)
    client = weir.raw(database=victim, parameters=parameters)
    ask(client, query("SET backslash_quote = on"))
    for messages, count in packets:
        ask(client, messages, count=count)
    assert sees(weir, other, client, USER_ID) == [[""]]
    assert other.query(LOCKS) == [["0"]]


DATE = "SELECT to_char('01/02/2020'::date, 'YYYY-MM-DD')"
NULLS = "SELECT (($1::int = NULL) IS NULL)::text"
ARRAY = "SELECT (('{NULL}'::text[])[1] IS NULL)::text"
RUN_IT = bind("", "s") + execute() + sync()
PARSED = {                          # A's packets, the statement they share, its right answer
    "DateStyle in one batch": (((parse("", "SET DateStyle = 'German'") + bind() + execute() + parse("s", DATE) + RUN_IT, 1),),
                               DATE, (), "2020-01-02"),
    "DateStyle in one packet": (((query("SELECT 1") + query("SET DateStyle = 'German'") + parse("s", DATE) + RUN_IT, 3),),
                                DATE, (), "2020-01-02"),
    "transform_null_equals": (((query("SET transform_null_equals = on"), 1),
                               (parse("s", NULLS) + bind("", "s", ("1",)) + execute() + sync(), 1)), NULLS, ("1",), "true"),
    "DateStyle by a view": (((parse("", "SELECT * FROM german") + bind() + execute() + parse("s", DATE) + RUN_IT, 1),),
                            DATE, (), "2020-01-02"),
    "transform_null_equals by a view": (((query("BEGIN"), 1), (query("SELECT * FROM nullness"), 1),
                                         (parse("s", NULLS) + bind("", "s", ("1",)) + execute() + sync(), 1),
                                         (query("COMMIT"), 1)), NULLS, ("1",), "true"),
    "array_nulls by a view": (((query("BEGIN"), 1), (query("SELECT * FROM nullless"), 1), (parse("s", ARRAY) + RUN_IT, 1),
                               (query("COMMIT"), 1)), ARRAY, (), "true"),
}


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("name", PARSED)
def test_a_statement_means_what_its_own_client_says(weir, postgres, victim, name):
    hide(postgres, victim)
    packets, sql, parameters, right = PARSED[name]
    other, client = begin(weir, victim)
    for messages, count in packets:
        ask(client, messages, count=count)
    client.leave()
    assert ask(other, parse("s", sql) + bind("", "s", parameters) + execute() + sync()) == [[right]]

STRING = r"SELECT length('a\\b')::text"
AGAIN = {                           # the statement, what is sent before it runs on another server, what it says there
    "DateStyle": (DATE, ("SET DateStyle = 'German'",), "2020-02-01"),
    "DateStyle in a transaction": (DATE, ("BEGIN", "SET DateStyle = 'German'"), "2020-02-01"),
    "DateStyle in this transaction alone": (DATE, ("BEGIN", "SET LOCAL DateStyle = 'German'"), "2020-02-01"),
    "DateStyle by a view": (DATE, ("BEGIN", "SELECT * FROM german"), "2020-02-01"),
    "DateStyle behind a savepoint": (DATE, ("BEGIN", "SET LOCAL DateStyle = 'German'", "SAVEPOINT a"), "2020-02-01"),
    "array_nulls": (ARRAY, ("SET array_nulls = off",), "false"),
    "array_nulls by a view": (ARRAY, ("BEGIN", "SELECT * FROM nullless"), "false"),
    "strings": (STRING, ("SET standard_conforming_strings = off",), "3"),
}
SHOWN = ("SHOW DateStyle", "SHOW array_nulls", "SHOW standard_conforming_strings", "SHOW TimeZone", "SHOW client_encoding",
         "SELECT to_char('01/02/2020'::date, 'YYYY-MM-DD')")


def hide(postgres, victim):
    """Views that set what literals are read under."""
    for view, name, value in (("german", "DateStyle", "German"), ("nullless", "array_nulls", "off"),
                              ("nullness", "transform_null_equals", "on")):
        postgres.query(f"CREATE VIEW {view} AS SELECT set_config('{name}', '{value}', false); GRANT ALL ON {view} TO PUBLIC",
                       dbname=victim)


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", AGAIN)
def test_a_statement_is_read_elsewhere_under_the_settings_of_now(weir, postgres, victim, name):
    """Those of its client alone: for another it means what it meant."""
    sql, steps, then = AGAIN[name]
    hide(postgres, victim)
    weir.start({f"database {victim}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    client = weir.raw("web", victim)
    settle(client)
    first = ask(client, parse("s", sql) + RUN_IT)
    there = client.query("SELECT pg_backend_pid()")
    hold(weir, there, victim)
    for step in steps:
        client.query(step)
    shown = [client.query(question) for question in SHOWN]
    assert ask(client, RUN_IT) == ask(client, RUN_IT) == [[then]]
    assert client.query("SELECT pg_backend_pid()") != there
    assert [client.query(question) for question in SHOWN] == shown
    if steps[0] == "BEGIN":
        client.query("COMMIT")
    with weir.raw("web", victim) as other:
        assert ask(other, parse("s", sql) + RUN_IT) == first != [[then]]


BEHIND = {                          # A's packet: a setting, and a statement that is read under it; what that says
    "DateStyle": ("SET DateStyle = 'German'", DATE, "2020-02-01"),
    "array_nulls, behind BEGIN and COMMIT": ("BEGIN; SET array_nulls = off; COMMIT", ARRAY, "false"),
}


@pytest.mark.parametrize("name", BEHIND)
def test_a_statement_behind_a_setting_that_was_not_answered_is_nobody_elses(weir, victim, name):
    """And keeps no server."""
    setting, sql, right = BEHIND[name]
    weir.start({f"database {victim}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    client = weir.raw("web", victim)
    settle(client)
    assert ask(client, query(setting) + parse("s", sql) + RUN_IT, count=2) == [[right]]
    assert weir.console("SHOW PINS") == []
    with weir.raw("web", victim) as one, weir.raw("web", victim) as two:
        for wire in one, two:               # each on a server of its own
            wire.query("BEGIN")
        for wire in one, two:
            assert ask(wire, parse("s", sql) + RUN_IT)[0][0] not in ("", right)


GERMAN = "SET DateStyle = 'German'"
NOT_TOLD = {                        # what A sends first, its packet ahead of the Parse, and behind it; what the Parse reads
    "behind a Close": ([], query(GERMAN) + close("S", "old"), [], "2020-02-01"),
    "within a transaction": ([query("BEGIN")], query(GERMAN), [query("COMMIT")], "2020-02-01"),
    "behind COMMIT": ([query("BEGIN"), query(GERMAN)], query("COMMIT"), [], "2020-02-01"),
    "behind ROLLBACK": ([query("BEGIN"), query(GERMAN)], query("ROLLBACK"), [], "2020-01-02"),
    "behind code": ([], query("SELECT * FROM german"), [], "2020-02-01"),
    "behind ROLLBACK of code": ([query("BEGIN"), query("SELECT * FROM german")], query("ROLLBACK"), [], "2020-01-02"),
}


@pytest.mark.parametrize("name", NOT_TOLD)
def test_a_statement_is_nobody_elses_wherever_the_setting_was_not_told(weir, postgres, victim, name):
    """And keeps no server."""
    before, ahead, then, right = NOT_TOLD[name]
    hide(postgres, victim)
    weir.start({f"database {victim}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    client = weir.raw("web", victim)
    settle(client)
    for message in before:
        ask(client, message)
    assert ask(client, ahead + parse("s", DATE) + RUN_IT, count=2)[-1:] == [[right]]
    for message in then:
        ask(client, message)
    wait_until(lambda: weir.console("SHOW PINS") == [])
    with weir.raw("web", victim) as one, weir.raw("web", victim) as two:
        for wire in one, two:               # each on a server of its own
            wire.query("BEGIN")
        for wire in one, two:
            assert ask(wire, parse("s", DATE) + RUN_IT) == [["2020-01-02"]]


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
def test_nothing_goes_ahead_of_what_bears_nothing_ahead_of_it(weir, postgres, victim, name, how):
    """On another server than it was parsed on, under other settings."""
    sql, before, failures = ALONE[name]
    hide(postgres, victim)
    weir.start({f"database {victim}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0)
    client = weir.raw("web", victim)
    client.query("CREATE TABLE gone (d date)")
    settle(client)
    if how == "role":
        client.query("SET ROLE web")
    else:
        sql += " /* ' */"
    ask(client, parse("s", sql) + sync())
    there = client.query("SELECT pg_backend_pid()")
    hold(weir, there, victim)
    client.query("SET DateStyle = 'German'")
    client.send(query(before) + RUN_IT)
    assert len(errors(client.read_until("Z", 2))) == failures


FLOATS = "SELECT (1.0/3)::float8::text"     # a text of which PostgreSQL makes a constant when it plans


@pytest.mark.parametrize("is_parsed_before", [False, True])
def test_a_float_has_the_digits_of_its_own_client(weir, victim, is_parsed_before):
    """Nothing is planned yet when A runs it first."""
    other, client = begin(weir, victim)
    if is_parsed_before:
        ask(client, parse("s", FLOATS) + sync())
    client.query("SET extra_float_digits = -10")
    if not is_parsed_before:
        ask(client, parse("s", FLOATS) + sync())
    assert ask(client, RUN_IT) == [["0.33333"]]
    assert ask(other, parse("s", FLOATS) + RUN_IT) == [["0.3333333333333333"]]


def test_a_client_that_reads_otherwise_does_not_use_what_others_share(weir, postgres, victim):
    """PostgreSQL reads literals anew when it must plan for another search_path."""
    other, client = begin(weir, victim)
    for wire in (other, client):
        assert ask(wire, parse("s", DATE) + RUN_IT) == [["2020-01-02"]]
    client.query("SET DateStyle = 'German'")
    other.query("BEGIN; SET LOCAL search_path = pg_catalog")
    assert ask(other, RUN_IT) == [["2020-01-02"]]
    other.query("COMMIT")
    ask(client, RUN_IT)
    assert ask(other, RUN_IT) == [["2020-01-02"]]


# --- a name that leads elsewhere --------------------------------------------------------------------------------

def test_a_reload_to_another_database_forgets_the_code(weir, postgres, victim):
    weir.start({"database x": {"upstream": weir.upstream() + " dbname=app"}}, pool_size=1, max_overflow=0)
    postgres.query(VIEW, dbname=victim)
    other, client = weir.raw("web", "x"), weir.raw("web", "x")
    settle(other)
    weir.reload({"database x": {"upstream": weir.upstream() + f" dbname={victim}"}}, pool_size=1, max_overflow=0)
    assert not use_sly(client, other)


def test_a_database_made_again_has_other_code(weir, postgres, victim):
    postgres.query("CREATE DATABASE attacked_next OWNER web", dbname="postgres")
    postgres.query(VIEW, dbname="attacked_next")
    try:
        weir.start({f"database {victim}": {"upstream": weir.upstream()},
                    "database boss": {"upstream": weir.upstream() + " dbname=postgres"}}, pool_size=1, max_overflow=0)
        boss, other, client = weir.raw("postgres", "boss"), weir.raw("web", victim), weir.raw("web", victim)
        settle(other)
        boss.query(f"DROP DATABASE {victim}")
        boss.query(f"CREATE DATABASE {victim} TEMPLATE attacked_next")
        assert not use_sly(client, other)
    finally:
        postgres.query("DROP DATABASE attacked_next WITH (FORCE)", dbname="postgres")


def test_each_user_of_a_tenant_may_have_a_database(weir, postgres):
    postgres.query("CREATE DATABASE web OWNER web", dbname="postgres")
    postgres.query(VIEW, dbname="web")
    try:
        weir.start({"pgweir": {"tenants": "options"}, "tenant acme": {"upstream": weir.upstream() + " dbname=%{user}"}},
                   pool_size=1, max_overflow=0)
        tenant = {"options": "reference=acme"}
        settle(weir.raw("postgres", "x", parameters=tenant))
        assert not use_sly(weir.raw("web", "x", parameters=tenant), weir.raw("web", "x", parameters=tenant))
    finally:
        postgres.query("DROP DATABASE web WITH (FORCE)", dbname="postgres")


def test_what_was_allowed_to_stay_is_gone_after_a_reload(weir, victim):
    _, client = begin(weir, victim, session_state="allow")
    client.query("SET app.user_id = 'A'")
    weir.reload({f"database {victim}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0, session_state="track")
    assert weir.raw("web", victim).query(USER_ID) == [[""]]


# --- others pay ---------------------------------------------------------------------------------------------------

def test_many_parameters_cost_no_more_each(weir, postgres, victim, sanitized):
    if sanitized:
        pytest.skip("its time is not the program's")
    postgres.query("CREATE FUNCTION mine(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", dbname=victim)
    _, client = begin(weir, victim)
    count = 8000
    sql = f"SELECT mine(1) FROM (VALUES {','.join(f'(${i + 1}::int)' for i in range(count))}) x LIMIT 1"
    ask(client, parse("s", sql) + sync())
    before = weir.cpu_seconds()
    for _ in range(10):
        ask(client, bind("", "s", ["1"] * count) + execute() + sync())
    assert weir.cpu_seconds() - before < 0.2
