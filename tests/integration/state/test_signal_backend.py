"""pg_cancel_backend() and pg_terminate_backend() of the PID a client was told (BackendKeyData)."""

import asyncio
import struct

import asyncpg
import psycopg
import pytest

from rawwire import bind, errors, execute, describe, one_statement, parse, query, sync, texts
from waiting import wait_until

SLEEP = "SELECT pg_sleep(30)"
INT4, INT8 = 23, 20


def pid_of(wire):
    return struct.unpack("!i", wire.key[:4])[0]


def simple(name, pid):
    return query(f"select pg_{name}_backend({pid})")


def cast(name, pid):
    return query(f"SELECT pg_catalog.PG_{name.upper()}_BACKEND('{pid}'::int4) AS done")


def bound_text(name, pid):
    return one_statement(f"SELECT pg_{name}_backend($1)", [pid]) + sync()


def bound_binary(name, pid):
    return parse("", f"SELECT pg_{name}_backend($1)") + \
        bind("", "", [struct.pack("!i", pid)], formats=[1], result_formats=[1]) + describe("P") + execute() + sync()


def row_of(replies):
    return [reply.row for reply in replies if reply.type == "D"]


FORMS = pytest.mark.parametrize("form", [simple, cast, bound_text, bound_binary])


def sleeping(weir, count=1):
    wait_until(lambda: weir.postgres.count(wait_event="PgSleep", state="active") == count, 5, "it to sleep")


@FORMS
def test_cancel_reaches_what_the_client_runs(weir, form):
    weir.start(pool_size=3)
    with weir.raw() as one, weir.raw() as two, weir.raw() as third:
        one.send(query(SLEEP))
        third.send(query("SELECT pg_sleep(1), 'slept'"))
        sleeping(weir, 2)
        replies = two.ask(form("cancel", pid_of(one)))
        assert row_of(replies) in ([[b"t"]], [[b"\x01"]]) and not [r for r in replies if r.type == "N"]
        assert errors(one.read_until("Z", timeout=5))[0].sqlstate == "57014"
        assert texts(third.read_until("Z")) == [["", "slept"]]
        assert one.query("SELECT 1") == [["1"]]


@FORMS
@pytest.mark.parametrize("state", ["idle", "running", "in a transaction"])
def test_terminate_ends_the_client(weir, form, state):
    weir.start(pool_size=3)
    with weir.raw() as one, weir.raw() as two:
        if state == "running":
            one.send(query(SLEEP))
            sleeping(weir)
        else:
            one.query("BEGIN" if state == "in a transaction" else "SELECT 1")
        replies = two.ask(form("terminate", pid_of(one)))
        assert row_of(replies) in ([[b"t"]], [[b"\x01"]]) and not [r for r in replies if r.type == "N"]
        told = errors(one.read_until("E", timeout=5))[-1]
        assert told.sqlstate == "57P01" and told.severity == "FATAL"
        one.wait_closed(5)
        wait_until(lambda: not weir.postgres.backends(wait_event="PgSleep", state="active"), 5)
        assert two.query("SELECT 1") == [["1"]]


def test_cancel_of_an_idle_client_does_nothing(weir):
    weir.start(pool_size=2)
    with weir.raw() as one, weir.raw() as two:
        one.query("SELECT 1")
        assert two.query(f"SELECT pg_cancel_backend({pid_of(one)})") == [["t"]]
        assert one.query("SELECT pg_sleep(0.2), 'slept'") == [["", "slept"]]


def test_a_client_may_end_itself(weir):
    weir.start(pool_size=2)
    wire = weir.raw()
    wire.send(query(f"SELECT pg_terminate_backend({pid_of(wire)})"))
    replies = wire.read_until("E", timeout=5)
    assert errors(replies)[0].sqlstate == "57P01" and not row_of(replies)
    wire.wait_closed(5)
    connection = weir.connect(autocommit=True)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select pg_terminate_backend(%s)", [connection.pgconn.backend_pid])
    assert connection.closed


@pytest.mark.parametrize("name", ["cancel", "terminate"])
def test_another_role_may_not(weir, name):
    weir.start(pool_size=2)
    with weir.raw() as one, weir.raw("reporting") as two:
        one.send(query("SELECT pg_sleep(1), 'slept'"))
        sleeping(weir)
        replies = two.ask(query(f"SELECT pg_{name}_backend({pid_of(one)})"))
        assert errors(replies) or texts(replies) == [["f"]]
        assert texts(one.read_until("Z")) == [["", "slept"]]


@pytest.mark.weir_only
def test_nor_who_acts_as_another_role(weir):
    weir.start(pool_size=2)
    weir.postgres.query("GRANT reporting TO web")
    with weir.raw() as one, weir.raw() as two:
        two.query("SET ROLE reporting")
        assert two.query(f"SELECT pg_terminate_backend({pid_of(one)})") == [["f"]]
        assert one.query("SELECT 1") == [["1"]]
    weir.postgres.query("REVOKE reporting FROM web")


@pytest.fixture
def reporting(weir):
    """web may act as reporting, which has functions of its own."""
    weir.start(pool_size=3)
    weir.postgres.query("GRANT reporting TO web")
    weir.postgres.query("CREATE FUNCTION becomes_reporting() RETURNS text LANGUAGE sql AS "
                        "$$ SELECT set_config('role', 'reporting', true) $$")
    for name in "cancel", "terminate":
        weir.postgres.query(f"CREATE FUNCTION {name}s(int) RETURNS bool LANGUAGE sql SECURITY DEFINER AS "
                            f"'SELECT pg_{name}_backend($1)'")
        weir.postgres.query(f"ALTER FUNCTION {name}s OWNER TO reporting")
    yield weir
    weir.postgres.query("DROP FUNCTION becomes_reporting, cancels, terminates; REVOKE reporting FROM web")


def extended(*statements):
    return b"".join(one_statement(sql, []) for sql in statements) + sync()


@pytest.mark.weir_only
@pytest.mark.parametrize("name", ["cancel", "terminate"])
def test_nor_who_does_so_in_a_transaction_alone(reporting, name):
    with reporting.raw() as one, reporting.raw() as two:
        signal = f"SELECT pg_{name}_backend({pid_of(one)})"
        one.send(query("SELECT pg_sleep(1.5), 'slept'"))
        sleeping(reporting)
        for begin in ("BEGIN; SET LOCAL ROLE reporting", "BEGIN; SET ROLE reporting",
                      "BEGIN; SAVEPOINT a; SET LOCAL ROLE reporting; RELEASE a",
                      "BEGIN; SELECT set_config('role', 'reporting', true)",
                      "BEGIN; DO $$ BEGIN EXECUTE 'set local ' || 'role reporting'; END $$",
                      "BEGIN; SELECT becomes_reporting()"):
            two.ask(query(begin))
            assert two.query("SELECT current_user") == [["reporting"]]
            assert two.query(signal) == [["f"]], begin
            two.query("ROLLBACK")
        assert texts(two.ask(query(f"SET LOCAL ROLE reporting; {signal}"))) == [["f"]]
        assert texts(two.ask(extended("SET LOCAL ROLE reporting", signal))) == [["f"]]
        assert texts(two.ask(extended("SELECT becomes_reporting()", signal)))[1:] == [["f"]]
        two.send(extended("SELECT becomes_reporting()") + query(f"ROLLBACK; {signal}"))
        two.read_until("Z")
        assert texts(two.read_until("Z")) == [["f"]]
        assert texts(one.read_until("Z")) == [["", "slept"]]
        def is_signalled(begin):
            two.query(begin)
            found = two.query(f"SELECT pg_cancel_backend({pid_of(one)})")
            two.query("ROLLBACK")
            return found == [["t"]]

        # The role is known (again) as soon as the code is: within 10 s of the DO above, as that may have changed it.
        for begin in "SELECT 1", "SELECT becomes_reporting()", "BEGIN":
            wait_until(lambda begin=begin: is_signalled(begin), 30, f"a signal behind {begin}", 0.1)


@pytest.mark.weir_only
@pytest.mark.parametrize("name", ["cancel", "terminate"])
def test_nor_a_function_that_runs_as_its_owner(reporting, name):
    with reporting.raw() as one, reporting.raw("postgres") as two:
        one.send(query("SELECT pg_sleep(0.5), 'slept'"))
        sleeping(reporting)
        pid = pid_of(one)
        assert two.query(f"SELECT {name}s({pid}) /* pg_{name}_backend */") == [["f"]]
        assert texts(two.ask(query(f"SELECT {name}s({pid}); SELECT pg_{name}_backend(0)"))) == [["f"], ["f"]]
        assert texts(two.ask(extended(f"SELECT pg_{name}_backend(0)", f"SELECT {name}s({pid})"))) == [["f"], ["f"]]
        two.send(query(f"SELECT pg_{name}_backend(0)") + query(f"SELECT {name}s({pid})"))
        assert texts(two.read_until("Z")) + texts(two.read_until("Z")) == [["f"], ["f"]]
        assert texts(one.read_until("Z")) == [["", "slept"]]


def test_a_superuser_may(weir):
    weir.start(pool_size=2)
    with weir.raw() as one, weir.raw("postgres") as two:
        one.query("SELECT 1")
        assert two.query(f"SELECT pg_terminate_backend({pid_of(one)})") == [["t"]]
        assert errors(one.read_until("E", timeout=5))[0].sqlstate == "57P01"


@pytest.mark.weir_only
def test_an_unknown_pid_stays_postgresqls(weir):
    weir.start(pool_size=2)
    with weir.raw() as wire:
        replies = wire.ask(query("SELECT pg_terminate_backend(1073741825), 1"))
        assert [r.sqlstate for r in replies if r.type == "N"] == ["01000"] and texts(replies) == [["f", "1"]]
        text = f"PID {pid_of(wire)} is not a PostgreSQL server process"
        replies = wire.ask(query(f"DO $$ BEGIN RAISE WARNING '{text}'; END $$; SELECT false -- pg_terminate_backend"))
        assert [r.sqlstate for r in replies if r.type == "N"] == ["01000"] and texts(replies) == [["f"]]


@pytest.mark.weir_only
def test_only_a_call_alone_counts(weir):
    weir.start(pool_size=2)
    with weir.raw() as one, weir.raw() as two:
        pid = pid_of(one)
        assert two.query(f"DO $$ BEGIN PERFORM pg_cancel_backend({pid}); END $$; SELECT false") == [["f"]]
        assert two.query(f"SELECT pg_cancel_backend({pid}) FROM generate_series(1, 3)") == [["f"]] * 3
        assert two.query(f"SELECT * FROM pg_cancel_backend({pid}) AS done") == [["t"]]
        assert two.query("SELECT false") == [["f"]]


def test_in_session_mode_postgresql_does_it(weir):
    weir.start(pool_size=2, pool_mode="session")
    with weir.raw() as one, weir.raw() as two:
        one.send(query(SLEEP))
        sleeping(weir)
        assert two.query(f"SELECT pg_cancel_backend({pid_of(one)})") == [["t"]]
        assert errors(one.read_until("Z", timeout=5))[0].sqlstate == "57014"


async def _asyncpg(weir):
    one, two = await asyncpg.connect(weir.url(), ssl=False), await asyncpg.connect(weir.url(), ssl=False)
    try:
        assert await two.fetchval("SELECT pg_terminate_backend($1)", one.get_server_pid()) is True
        deadline = asyncio.get_running_loop().time() + 5
        while not one.is_closed() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        assert one.is_closed()
    finally:
        one.terminate()
        await two.close()


@pytest.mark.own_transport
def test_asyncpg(weir):
    weir.start(pool_size=2)
    asyncio.run(_asyncpg(weir))
