"""What can't move between servers keeps its client on one: seen in SHOW CLIENTS and SHOW PINS, the metric and the log;
and what session_state makes of it: track, pin, warn, error, allow."""

import json

import psycopg
import pytest

import pairwise
import rawwire
from leftovers import extended
from rawwire import bind, close, execute, one_statement, parse, query, sync
from waiting import wait_until

pytestmark = pytest.mark.weir_only


def session(weir, **words):
    return weir.connect(autocommit=True, **words)


def value(connection, sql):
    return connection.execute(sql).fetchone()[0]


def pins(weir):
    return {(row["application_name"], row["reasons"]) for row in weir.console("SHOW PINS")}


STATES = {
    "temp_table": ("CREATE TEMP TABLE kept (a int)", "DROP TABLE kept"),
    "advisory_lock": ("SELECT pg_advisory_lock(4711)", "SELECT pg_advisory_unlock(4711)"),
    "cursor": ("DECLARE held CURSOR WITH HOLD FOR SELECT 1", "CLOSE held"),
    "statement": ("PREPARE kept AS SELECT 1", "DEALLOCATE kept"),
}


@pytest.mark.parametrize("reason", STATES)
def test_a_pin_is_shown_counted_and_ends(weir, reason):
    begin, end = STATES[reason]
    weir.start(pool_size=2, max_overflow=0)
    connection = session(weir, application_name="pinned")
    connection.execute(begin)
    wait_until(lambda: pins(weir) == {("pinned", reason)}, what="the pin")
    weir.settle()
    assert weir.metric("pgweir_pool_pins_total", reason=reason) == 1
    assert weir.metric("pgweir_pool_pinned_connections") == 1
    pool, = (row for row in weir.console("SHOW POOLS_EXTENDED") if row["database"] == "app")
    shown = json.loads(weir.http("/api/v1/status").text)["servers_lent"]
    assert weir.pool()["sv_active"] == pool["active"] == weir.metric("pgweir_pool_server_connections", state="active") == shown == 1
    wait_until(lambda: "keeps server" in weir.log() and reason in weir.log(), what="the line in the log")
    connection.execute(end)
    wait_until(lambda: pins(weir) == set(), what="the pin to go")
    wait_until(lambda: weir.metric("pgweir_pool_pinned_connections") == 0, what="the metric to follow")


@pytest.fixture
def numbers_of_pins(postgres):
    postgres.query("CREATE SEQUENCE numbers_of_pins; GRANT ALL ON SEQUENCE numbers_of_pins TO PUBLIC")
    yield
    postgres.query("DROP SEQUENCE numbers_of_pins")


NO_PINS = {                         # for each of these RDS Proxy pins, by its documentation
    "SET": [query("SET search_path = pg_catalog, public")],
    "set_config()": [query("SELECT set_config('app.tenant', '7', false)")],
    "RESET": [query("SET work_mem = '7MB'"), query("RESET work_mem")],
    "a prepared statement": [parse("s", "SELECT $1::int") + sync(), bind("", "s", ("1",)) + execute() + sync()],
    "DEALLOCATE": [parse("s", "SELECT 1") + sync(), query("DEALLOCATE s")],
    "DISCARD": [query("DISCARD ALL"), query("DISCARD TEMP"), query("DISCARD PLANS")],
    "a temporary table that goes": [query("BEGIN"), query("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1"), query("COMMIT")],
    "a cursor": [query("BEGIN"), query("DECLARE c CURSOR FOR SELECT 1"), query("FETCH c"), query("COMMIT")],
    "a transaction's lock": [query("SELECT pg_advisory_xact_lock(4711)")],
    "LISTEN": [query("LISTEN a")],
    "nextval() and setval()": [query("SELECT nextval('numbers_of_pins')"), query("SELECT setval('numbers_of_pins', 7)")],
    "a long statement": [query("SELECT length('" + "x" * 20_000 + "')"), one_statement("SELECT length('" + "y" * 20_000 + "')") + sync()],
}


@pytest.mark.parametrize("what", NO_PINS)
@pytest.mark.usefixtures("numbers_of_pins")
def test_what_other_proxies_pin_for_pins_nothing(weir, what):
    with weir.start(pool_size=1, max_overflow=0).raw() as wire, weir.raw() as other:
        for message in NO_PINS[what]:
            assert not rawwire.errors(wire.ask(message))
        assert other.value("SELECT 'served'") == "served"
        assert weir.console("SHOW PINS") == [] and weir.metric_now("pgweir_pool_pins_total") == 0


UNICODE = {                         # SQL, and why it pins
    "SELECT U&\"!0073et_config\" UESCAPE '!' ('app.tenant', '7', false)": {"session_set (of an unknown name)"},
    "SELECT U&\"set\\005fconfig\"('app.tenant', '7', false)": {"session_set (of an unknown name)"},
    "SELECT U&\"set_config\"('app.tenant', '7', false)": set(),
    "SELECT U&\"abs\"(1)": set(),
}


@pytest.mark.parametrize("sql", UNICODE)
def test_a_name_in_unicode_pins_only_if_it_may_be_any(weir, sql):
    """PostgreSQL has no list of custom settings: one that the SQL does not show could not be asked for."""
    with weir.start(pool_size=2, max_overflow=0, pool_lifo=False).raw() as wire, weir.raw() as other:
        wire.query(sql)
        for _ in range(4):
            other.query("SELECT 1")
            assert wire.value("SELECT coalesce(current_setting('app.tenant', true), '')") == ("7" if "tenant" in sql else "")
        assert {row["reasons"] for row in weir.console("SHOW PINS")} == UNICODE[sql]


@pytest.mark.parametrize("sql, value", [("SELECT set_config(name, value, false) FROM (VALUES ('app.tenant', 'acme')) AS setting (name, value) "
                                         "WHERE 'bob@example.com' = $1", "bob@example.com"),
                                        ("SELECT set_config(key, value, false) FROM jsonb_each_text($1::jsonb)", '{"app.tenant":"acme"}')])
def test_a_setting_of_a_name_that_the_sql_computes_pins(weir, sql, value):
    """A bound value with a dot is not that name."""
    with weir.start(pool_size=2, max_overflow=0, pool_lifo=False).raw() as wire, weir.raw() as other:
        wire.ask(extended(sql, value))
        other.query("SELECT 1")
        assert wire.value("SELECT current_setting('app.tenant')") == "acme"
        assert {row["reasons"] for row in weir.console("SHOW PINS")} == {"session_set (of an unknown name)"}


PREPARES = {                        # ways to prepare p and q by SQL
    "alone": [query("PREPARE p AS SELECT 1"), query("PREPARE q AS SELECT 2")],
    "in one Query": [query("SELECT 1; PREPARE p AS SELECT 1; PREPARE q AS SELECT 2")],
    "in one batch": [one_statement("PREPARE p AS SELECT 1") + one_statement("PREPARE q AS SELECT 2") + sync()],
    "in a transaction that fails": [query("BEGIN; PREPARE p AS SELECT 1; PREPARE q AS SELECT 2"), query("ROLLBACK")],
    "in DO": [query("DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; EXECUTE 'PREPARE q AS SELECT 2'; END $$")],
    "in a function": [query("SELECT pg_temp.makes()"), query("DROP FUNCTION pg_temp.makes")],
}
ENDS = [["DEALLOCATE p", "DEALLOCATE PREPARE q"], ["DEALLOCATE ALL"], ["DISCARD ALL"], ["BEGIN; DEALLOCATE p; DEALLOCATE q; ROLLBACK"],
        ["DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"]]


@pytest.mark.parametrize("how", PREPARES)
def test_what_sql_prepares_pins_until_the_last_is_gone(weir, how):
    with weir.start(pool_size=2, max_overflow=0).raw() as wire, weir.raw() as other:
        for end in ENDS:
            if how == "in a function":
                wire.query("CREATE FUNCTION pg_temp.makes() RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
                           "EXECUTE 'PREPARE p AS SELECT 1'; EXECUTE 'PREPARE q AS SELECT 2'; END $$")
            for message in PREPARES[how]:
                assert not rawwire.errors(wire.ask(message))
            wait_until(lambda: [row["reasons"] for row in weir.console("SHOW PINS")] == ["statement"], what="the pin")
            other.query("SELECT 1")
            assert wire.value("EXECUTE p") == "1" and wire.value("EXECUTE q") == "2"
            for sql in end:
                assert [row["reasons"] for row in weir.console("SHOW PINS")] == ["statement"]
                wire.query(sql)
            wait_until(lambda: weir.console("SHOW PINS") == [], what="the pin to go")
            assert rawwire.errors(wire.ask(query("EXECUTE p")))[0].sqlstate == "26000"
    assert weir.metric("pgweir_pool_pins_total", reason="statement") >= len(ENDS)


SLOT = "pg_create_physical_replication_slot('kept', true, true)"
ORIGIN = "pg_replication_origin_session_setup('kept')"
NO_SLOT = {                         # SQL that names such a function, and leaves no temporary slot, or no origin
    "CASE": [f"SELECT CASE WHEN false THEN (SELECT 1 FROM {SLOT}) END"],
    "no row": [f"SELECT {SLOT} WHERE false"],
    "EXPLAIN": [f"EXPLAIN SELECT {SLOT}"],
    "permanent": ["SELECT pg_create_physical_replication_slot('lasting')", "SELECT pg_drop_replication_slot('lasting')"],
    "dropped": [f"SELECT {SLOT}; SELECT pg_drop_replication_slot('kept')"],
    "dropped later": ["BEGIN", f"SELECT {SLOT}", "SELECT pg_drop_replication_slot('kept')", "COMMIT"],
    "an origin in CASE": [f"SELECT CASE WHEN false THEN (SELECT 1 FROM {ORIGIN}) END"],
    "an origin of no row": [f"SELECT {ORIGIN} WHERE false"],
    "EXPLAIN of an origin": [f"EXPLAIN SELECT {ORIGIN}"],
    "an origin that is reset": [f"SELECT {ORIGIN}", "SELECT pg_replication_origin_session_reset()"],
    "an origin that is reset at once": [f"BEGIN; SELECT {ORIGIN}; SELECT pg_replication_origin_session_reset(); ROLLBACK"],
}


@pytest.fixture
def origin(postgres):
    postgres.query("SELECT pg_replication_origin_create('kept')", dbname="app")
    yield
    wait_until(lambda: not postgres.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'kept'"))
    postgres.query("SELECT pg_replication_origin_drop('kept')", dbname="app")


@pytest.mark.parametrize("how", NO_SLOT)
@pytest.mark.usefixtures("origin")
def test_a_slot_that_is_not_there_does_not_pin(weir, how):
    """Nor does it cost a connection."""
    weir.users["postgres"] = "x"
    with weir.start(pool_size=1, max_overflow=0).raw(user="postgres") as wire, weir.raw(user="postgres") as other:
        pid = other.value("SELECT pg_backend_pid()")
        for sql in NO_SLOT[how]:
            wire.query(sql)
        assert other.value("SELECT pg_backend_pid()") == pid
        assert weir.console("SHOW PINS") == []


def test_a_temporary_slot_pins_until_it_is_gone(weir):
    weir.users["postgres"] = "x"

    def slots():
        return weir.postgres.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'kept'")

    weir.start(pool_size=2, max_overflow=0)
    with weir.raw(user="postgres") as wire, weir.raw(user="postgres") as other:
        for end in "SELECT pg_drop_replication_slot('kept')", "DO $$ BEGIN PERFORM pg_drop_replication_slot('kept'); END $$":
            wire.query(f"SELECT {SLOT}")
            pid = wire.value("SELECT pg_backend_pid()")
            for sql in "SELECT 1", "SET work_mem = '5MB'", "RESET ALL", "DISCARD ALL":
                wire.query(sql)
                other.query("SELECT 1")
                wait_until(lambda: [row["reasons"] for row in weir.console("SHOW PINS")] == ["session_set"], what="the pin")
            assert slots() == 1 and wire.value("SELECT pg_backend_pid()") == pid
            wire.query(end)
            wait_until(lambda: weir.console("SHOW PINS") == [], what="the pin to go")
        wire.query(f"SELECT {SLOT}")
    wait_until(lambda: slots() == 0, what="the slot to go with its client")
    with weir.raw(user="postgres") as wire:
        wire.query("BEGIN", f"SELECT {SLOT}")
        assert slots() == 1
    wait_until(lambda: slots() == 0, what="the slot to go with its client, which was in a transaction")


@pytest.mark.usefixtures("origin")
def test_a_replication_origin_pins_until_it_is_reset(weir):
    """And for good where the role may set one up, but not ask for it."""
    weir.users["postgres"] = "x"
    weir.start(pool_size=2, max_overflow=0)
    with weir.raw(user="postgres") as wire, weir.raw(user="postgres") as other:
        pid = wire.value("SELECT pg_backend_pid()")
        for end in "SELECT pg_replication_origin_session_reset()", "DO $$ BEGIN PERFORM pg_replication_origin_session_reset(); END $$":
            wire.query("BEGIN", f"SELECT {ORIGIN}", "ROLLBACK")
            pid = wire.value("SELECT pg_backend_pid()")
            for sql in "SELECT 1", "SET work_mem = '5MB'", "RESET ALL", "DISCARD ALL", "SELECT pg_replication_origin_session_progress(true)":
                wire.query(sql)
                other.query("SELECT 1")
                wait_until(lambda: [row["reasons"] for row in weir.console("SHOW PINS")] == ["session_set"], what="the pin")
            assert wire.query("SELECT pg_backend_pid(), pg_replication_origin_session_is_setup()") == [[pid, "t"]]
            wire.query(end)
            wait_until(lambda: weir.console("SHOW PINS") == [], what="the pin to go")
        wire.query(f"SELECT {ORIGIN}")
        pid = wire.value("SELECT pg_backend_pid()")
        wire.query("CREATE ROLE blind IN ROLE pg_monitor; SET ROLE blind")
        assert [row["reasons"] for row in weir.console("SHOW PINS")] == ["session_set"]
        assert wire.value("SELECT pg_backend_pid()") == pid
        wire.query("RESET ROLE; DROP ROLE blind")
    with weir.raw(user="postgres") as wire:
        assert wire.query("SELECT pg_backend_pid() WHERE pg_replication_origin_session_is_setup()") == []


def test_what_sql_has_prepared_is_gone_with_its_client(weir):
    """And what others have prepared by the protocol works on."""
    with weir.start(pool_size=1, max_overflow=0).raw() as other:
        other.ask(parse("s", "SELECT 's'") + sync())
        for _ in range(3):
            with weir.raw() as wire:
                assert wire.query("PREPARE p AS SELECT 1", "EXECUTE p") == [["1"]]
            assert rawwire.errors(other.ask(query("EXECUTE p")))[0].sqlstate == "26000"
            assert rawwire.texts(other.ask(bind("", "s") + execute() + sync())) == [["s"]]
            assert other.query("PREPARE p AS SELECT 2; DEALLOCATE p") == []


def test_the_log_tells_of_each_reason_once_a_minute(weir):
    """Not of each short connection of an application that makes a temporary table on each."""
    weir.start(pool_size=2)
    for _ in range(5):
        with weir.raw() as wire:
            wire.query("CREATE TEMP TABLE kept (a int)")
            wait_until(lambda: [row["reasons"] for row in weir.console("SHOW PINS")] == ["temp_table"])
    with weir.raw() as wire:
        wire.query("SELECT pg_advisory_lock(4711)")
        wait_until(lambda: [row["reasons"] for row in weir.console("SHOW PINS")] == ["advisory_lock"])
    weir.wait_log("between transactions: advisory_lock")
    assert weir.metric("pgweir_pool_pins_total", reason="temp_table") == 5
    assert weir.log().count("between transactions: temp_table") == 1


@pytest.mark.parametrize("name", ["", "s"], ids=["unnamed", "named"])
def test_a_statement_that_is_not_stored_pins(weir, name):
    with weir.start(pool_size=2, max_statement_size="1KiB").raw() as wire:
        long = parse(name, "SELECT 'long' -- " + "x" * 2000)
        wire.ask(long + sync())
        assert [row["reasons"] for row in weir.console("SHOW PINS")] == ["long_statement"]
        assert weir.metric("pgweir_pool_pins_total", reason="long_statement") == 1
        wire.ask((bind() + execute() if name == "" else close("S", name)) + sync())
        wait_until(lambda: pins(weir) == set(), what="the pin to go")
        wire.ask(long + bind("", name) + execute() + (close("S", name) if name else b"") + sync())
        assert pins(weir) == set() and weir.metric_now("pgweir_pool_pins_total", reason="long_statement") == 1


def test_what_a_pinned_client_leaves_is_cleaned_up(weir):
    weir.start(pool_size=1, max_overflow=0)
    with session(weir) as first:
        for begin, _ in STATES.values():
            first.execute(begin)
    with session(weir) as second:
        assert value(second, "SELECT to_regclass('pg_temp.kept') IS NULL")
        assert value(second, "SELECT count(*) FROM pg_cursors") == 0
        assert value(second, "SELECT count(*) FROM pg_prepared_statements WHERE from_sql") == 0
        assert value(second, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_pin_keeps_settings_where_they_are(weir):
    weir.start(session_state="pin", pool_size=1, max_overflow=1)
    first, second = session(weir, application_name="first"), session(weir)
    first.execute("SET work_mem = '3MB'")
    wait_until(lambda: pins(weir) == {("first", "session_set")}, what="the pin")
    assert value(second, "SHOW work_mem") != "3MB"
    assert value(first, "SHOW work_mem") == "3MB"
    first.execute("RESET work_mem")
    wait_until(lambda: pins(weir) == set(), what="the pin to go")


def test_error_ends_a_session_that_would_keep_its_server(weir):
    weir.start(session_state="error", pool_size=1, max_overflow=0)
    connection = session(weir)
    connection.execute("SET search_path = elsewhere")  # moves: no harm
    assert value(connection, "SHOW search_path") == "elsewhere"
    connection.execute(STATES["temp_table"][0])
    # Since psycopg 3.2 the class is the SQLSTATE's also where the connection ends with it.
    with pytest.raises((psycopg.OperationalError, psycopg.errors.FeatureNotSupported), match="temp_table"):
        for _ in range(100):
            connection.execute("SELECT 1")
    with session(weir) as another:
        assert value(another, "SELECT to_regclass('pg_temp.kept') IS NULL")


def test_error_answers_a_request_that_was_held_meanwhile(weir):
    """What follows a RESET waits for the probe; its server is gone after that, and it was held for ever."""
    weir.start(session_state="error", pool_size=1, max_overflow=0)
    for _ in range(5):
        with weir.raw(parameters={"work_mem": "5MB"}) as client:
            client.query("DO $$ BEGIN EXECUTE 'SET work_mem = 4096'; CREATE TEMP TABLE kept (a int); END $$")
            client.send(rawwire.query("SELECT 1"))
            assert client.read().sqlstate == "0A000"


REFUSED = {                         # what pins, for each reason; behind it another request waits already
    "session_set": query("LOAD 'plpgsql'"),
    "session_set (of an unknown name)": query("SELECT U&\"!0073et_config\" UESCAPE '!' ('app.tenant', '7', false)"),
    "temp_table": query("CREATE TEMP TABLE kept (a int)"),
    "advisory_lock": query("SELECT pg_advisory_lock(4711)"),
    "cursor": query("DECLARE held CURSOR WITH HOLD FOR SELECT 1"),
    "statement": query("PREPARE kept AS SELECT 1"),
    "listen": query("DO $$ BEGIN EXECUTE 'LISTEN kept'; END $$"),
    "long_statement": parse("s", "SELECT 'long' -- " + "x" * 2000) + sync(),
}


@pytest.mark.parametrize("waiting", [False, True], ids=["others idle", "others wait"])
@pytest.mark.parametrize("reason", REFUSED)
def test_error_refuses_each_reason_to_pin(weir, reason, waiting):
    """The request itself is answered; the next one is refused; the server is another client's with nothing on it."""
    weir.users["postgres"] = "x"
    weir.start(session_state="error", pool_size=1, max_overflow=0, max_statement_size="1KiB")
    with weir.raw(user="postgres") as client, weir.raw(user="postgres") as other:
        backend = other.value("SELECT pg_backend_pid()")
        other.query("SELECT 1")
        client.send(REFUSED[reason])
        if waiting:
            other.send(query("SELECT 2"))
        assert not rawwire.errors(client.read_until("Z"))
        if waiting:
            assert rawwire.texts(other.read_until("Z")) == [["2"]]
        client.send(query("SELECT 1"))
        refused = client.read()
        assert refused.sqlstate == "0A000" and reason in refused.error["M"] and "its session state is gone" in refused.error["D"]
        client.wait_closed()
        assert other.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"
        assert other.query("SELECT name FROM pg_prepared_statements WHERE from_sql UNION SELECT name FROM pg_cursors "
                           "WHERE name = 'held' UNION SELECT pg_listening_channels() UNION SELECT to_regclass('pg_temp.kept')::text "
                           "WHERE to_regclass('pg_temp.kept') IS NOT NULL") == []
        assert (other.value("SELECT pg_backend_pid()") == backend) == (reason != "session_set")  # no wash unloads a library


@pytest.mark.parametrize("state", ["track", "pin", "warn", "isolate", "allow"])
@pytest.mark.parametrize("reason", REFUSED)
def test_each_reason_pins_wherever_it_is_not_refused(weir, reason, state):
    """But with allow, which follows nothing; and a server that was pinned is not lent to another client unwashed."""
    weir.users["postgres"] = "x"
    weir.start(session_state=state, pool_size=2, max_overflow=0, max_statement_size="1KiB")
    with weir.raw(user="postgres") as client, weir.raw(user="postgres") as other:
        client.send(REFUSED[reason])
        assert not rawwire.errors(client.read_until("Z"))
        client.query("SELECT 1")
        assert other.value("SELECT 2") == "2"
        pinned = [] if state == "allow" and reason != "long_statement" else [reason]
        assert [row["reasons"] for row in weir.console("SHOW PINS")] == pinned
        assert client.value("SELECT 3") == "3"
    assert state == "allow" or weir.raw(user="postgres").value("SELECT count(*) FROM pg_prepared_statements WHERE from_sql") == "0"


# Each two values of two of these meet in a row: words, and of numbers off, least, default and large.
MANY_SETTINGS = {
    "pool_mode": ("transaction", "session", "statement"),
    "session_state": ("track", "pin", "warn", "error", "isolate", "allow"),
    "begin": ("sent", "deferred"),
    "compat": ("none", "pgbouncer", "pgbouncer_1_25", "pgbouncer_next"),
    "max_pipeline": (1, 2, 8),
    "keep_plans": ("off", "on"),
    "commit_check": ("off", "on"),
    "reads": ("primary", "prefer_standby", "marked"),
    "on_outage": ("fail", "wait", "hold"),
    "workers": (1, 2, 3),
    "prepared_statements": (0, 1, 1000),
    "keepalive": ("off", "on"),
    "keepalive_idle": ("0s", "1s", "1h"),
    "pool_pre_ping": ("off", "on"),
    "pool_lifo": ("off", "on"),
    "statement_ignore_comments": ("off", "on"),
    "query_stats": ("off", "sampled", "on"),
}
ROWS = pairwise.rows(MANY_SETTINGS)


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_each_reason_pins_or_is_refused_whatever_else_is_set(weir, row):
    """A session has its server; else error refuses, allow follows nothing, and the others pin. Nobody else finds what was left."""
    settings = ROWS[row]
    mode, state = settings["pool_mode"], settings["session_state"]
    weir.users["postgres"] = "x"
    weir.start(pool_size=2, max_overflow=0, max_statement_size="1KiB", **settings)
    for reason, message in REFUSED.items():
        with weir.raw(user="postgres") as client, weir.raw(user="postgres") as other:
            client.send(message)
            assert not rawwire.errors(client.read_until("Z")), reason
            client.send(query("SELECT 1"))
            if state == "error" and mode != "session":
                refused = client.read()
                assert refused.sqlstate == "0A000" and reason in refused.error["M"]
            else:
                assert rawwire.texts(client.read_until("Z")) == [["1"]]
                assert other.value("SELECT 2") == "2"
                pinned = mode != "session" and (state != "allow" or reason == "long_statement")
                assert [row["reasons"] for row in weir.console("SHOW PINS")] == [reason] * pinned
                assert client.value("SELECT 3") == "3"
    with weir.raw(user="postgres") as one, weir.raw(user="postgres") as two:
        for wire in (one, two) if state != "allow" or mode == "session" else ():
            assert wire.query("SELECT name FROM pg_prepared_statements WHERE from_sql UNION SELECT name FROM pg_cursors WHERE name = 'held' "
                              "UNION SELECT pg_listening_channels() UNION SELECT to_regclass('pg_temp.kept')::text "
                              "WHERE to_regclass('pg_temp.kept') IS NOT NULL") == []


def test_allow_looks_at_nothing(weir):
    weir.start(session_state="allow", pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    first.execute("SET work_mem = '3MB'")
    assert value(second, "SHOW work_mem") == "3MB"
    assert weir.console("SHOW PINS") == []


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_warn_tells_which_application_uses_what(weir, mode):
    weir.start(session_state="warn", pool_mode=mode)
    connection = session(weir, application_name="billing")
    connection.execute("SET work_mem = '3MB'")
    connection.execute("SELECT pg_advisory_lock(%s)", (1,))
    connection.execute("CREATE TEMP TABLE kept (a int)")
    connection.execute("SELECT 1")
    audit = {(row["application_name"], row["kind"]): (int(row["count"]), row["in_transaction_mode"])
             for row in weir.console("SHOW AUDIT")}
    assert audit == {("billing", "setting"): (1, "follows"), ("billing", "advisory_lock"): (1, "pins"),
                     ("billing", "temp_table"): (1, "pins")}


def stop(weir):
    weir.stop()
    wait_until(lambda: weir.postgres.count() == 0, what="its backend to end")


@pytest.mark.parametrize("settings, end", [
    ({}, lambda weir: weir.postgres.kill_backends()), ({}, stop),
    ({"client_idle_timeout": "1s"}, lambda weir: wait_until(lambda: pins(weir) == set(), what="the client to be closed")),
], ids=["its server is lost", "pgweir stops", "it is idle for too long"])
@pytest.mark.parametrize("state", ["temp_table", "advisory_lock"])
def test_the_end_of_a_pinned_session_is_told(weir, settings, end, state):
    weir.start(**settings)
    connection = session(weir)
    connection.execute(STATES[state][0])
    wait_until(lambda: len(pins(weir)) == 1, what="the pin")
    end(weir)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


def test_a_probe_that_fails_pins_until_one_succeeds(weir):
    weir.start(pool_size=1, max_overflow=1)
    connection = session(weir, application_name="hasty")
    # Nobody's statement_timeout is long enough for a probe then, but for SHOW it is.
    connection.execute("SELECT set_config('statement_timeout', '1us', false) FROM generate_series(1, 2)")
    connection.execute("SET statement_timeout = 0")
    assert value(connection, "SHOW statement_timeout") == "0"
    wait_until(lambda: pins(weir) == set(), what="no pin to be left")
