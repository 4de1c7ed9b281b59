"""SET pgweir.pin = on: a client asks to keep its server between transactions, as sessions.md tells."""

import psycopg
import pytest

from rawwire import bind, errors, execute, one_statement, parse, query, sync, texts
from waiting import wait_until

pytestmark = pytest.mark.weir_only

PID = "SELECT pg_backend_pid()"
ON = "SET pgweir.pin = on"


def reasons(weir):
    return [row["reasons"] for row in weir.console("SHOW PINS")]


def start(weir, **settings):
    """With one server: who keeps that lets all others wait."""
    return weir.start(pool_size=1, max_overflow=0, **settings)


def assert_kept(weir, wire, other, end="SET pgweir.pin = off"):
    assert reasons(weir) == ["asked_for"]
    other.send(query(PID))
    weir.wait_waiting(1)
    pids = {wire.value(PID) for _ in range(3)}
    assert len(pids) == 1
    wire.query(end)
    assert {texts(other.read_until("Z"))[0][0]} == pids
    wait_until(lambda: not reasons(weir), what="the pin to go")


def assert_not_kept(weir, wire, other):
    wire.query("SELECT 1")
    wait_until(lambda: not reasons(weir), what="no pin")
    assert other.value(PID) == wire.value(PID)


def extended(*sqls):
    return b"".join(one_statement(sql) for sql in sqls) + sync()


def bound(name, value, is_local="f"):
    return (parse("", "SELECT set_config($1, $2, $3)") + bind("", "", (name, value, is_local)) + execute() + sync())


def each_way(sql):
    return {f"{sql}, simple": [query(sql)], f"{sql}, extended": [extended(sql)]}


KEEPS = {
    **each_way(ON), **each_way("SET pgweir.pin TO 'yes'"), **each_way('SET SESSION "pgweir"."pin" = TRUE'), **each_way("SET PGWEIR.PIN = 1"),
    **each_way("SELECT set_config('pgweir.pin', 'on', false)"),
    "set_config of parameters": [bound("pgweir.pin", "on")],
    "by a name": [parse("keep", ON) + sync(), bind("", "keep") + execute() + sync()],
    "one Query": [query(f"SELECT 1; {ON}; SELECT 2")],
    "one Query with nothing but settings": [query(f"SET work_mem = '7MB'; {ON}; SET application_name = 'x'")],
    "one Sync group": [extended("SELECT 1", ON, "SELECT 2")],
    "one packet": [query("SELECT 1") + query(ON) + query("SELECT 2")],
    "one packet of Sync groups": [extended("SELECT 1") + extended(ON) + extended("SELECT 2")],
    "a block": [query("BEGIN"), query(ON), query("SELECT 1"), query("COMMIT")],
    "a savepoint that stays": [query("BEGIN"), query("SAVEPOINT a"), query(ON), query("RELEASE a"), query("COMMIT")],
    "before a savepoint": [query("BEGIN"), query(ON), query("SAVEPOINT a"), query("SELECT 1/0"), query("ROLLBACK TO a"), query("COMMIT")],
    "after off": [query("SET pgweir.pin = off"), query(ON)],
    "DO": [query("DO $$ BEGIN PERFORM set_config('pgweir.pin', 'on', false); END $$")],
    "on a kept server": [query("SELECT pg_advisory_lock(1)"), query(ON), query("SELECT pg_advisory_unlock(1)")],
}


@pytest.mark.parametrize("how", KEEPS)
def test_who_asks_keeps_its_server_until_off(weir, how):
    with start(weir).raw() as wire, weir.raw() as other:
        assert_not_kept(weir, wire, other)
        for message in KEEPS[how]:
            wire.send(message)
            wire.read_until("Z", count=3 if how.startswith("one packet") else 1)
        wait_until(lambda: reasons(weir) == ["asked_for"], what="the pin")
        assert_kept(weir, wire, other)
        assert_not_kept(weir, wire, other)
        assert weir.metric("pgweir_pool_pins_total", reason="asked_for") == 1


KEEPS_NOT = {
    **each_way("SET LOCAL pgweir.pin = on"), **each_way("SELECT set_config('pgweir.pin', 'on', true)"), **each_way("SET pgweir.pin = off"),
    **each_way("SET pgweir.pin = 'sometimes'"), **each_way("SELECT 'pgweir.pin = on'"), **each_way("SET pgweir.pinned = on"),
    "local, of parameters": [bound("pgweir.pin", "on", "t")],
    "local, in a block": [query("BEGIN"), query("SET LOCAL pgweir.pin = on"), query("SELECT 1"), query("COMMIT")],
    "rolled back": [query("BEGIN"), query(ON), query("SELECT 1"), query("ROLLBACK")],
    "rolled back, extended": [extended("BEGIN"), extended(ON), extended("ROLLBACK")],
    "a savepoint is rolled back": [query("BEGIN"), query("SAVEPOINT a"), query(ON), query("ROLLBACK TO a"), query("COMMIT")],
    "the block fails": [query("BEGIN"), query(ON), query("SELECT 1/0"), query("COMMIT")],
    "the Query fails": [query(f"{ON}; SELECT 1/0")],
    "the Sync group fails": [extended(ON, "SELECT 1/0")],
    "on, then off": [query(ON), query("SET pgweir.pin = off")],
    "on and off in one Query": [query(f"{ON}; SET pgweir.pin = off")],
    "RESET": [query(ON), query("RESET pgweir.pin")],
    "TO DEFAULT": [extended(ON), extended("SET pgweir.pin TO DEFAULT")],
    "RESET ALL": [query(ON), query("RESET ALL")],
    "RESET ALL, extended": [query(ON), extended("RESET ALL")],
    "DISCARD ALL": [query(ON), query("DISCARD ALL")],
    "DISCARD ALL, extended": [query(ON), extended("DISCARD ALL")],
    "off in a block": [query(ON), query("BEGIN"), query("SET pgweir.pin = off"), query("COMMIT")],
}


@pytest.mark.parametrize("how", KEEPS_NOT)
def test_who_does_not_ask_any_more_keeps_none(weir, how):
    with start(weir).raw() as wire, weir.raw() as other:
        for message in KEEPS_NOT[how]:
            wire.ask(message)
        assert_not_kept(weir, wire, other)


@pytest.mark.parametrize("undo", ["ROLLBACK", "ROLLBACK TO a; COMMIT"])
def test_an_off_that_is_rolled_back_is_none(weir, undo):
    with start(weir).raw() as wire, weir.raw() as other:
        wire.query(ON, "BEGIN", "SAVEPOINT a", "SET pgweir.pin = off", undo)
        assert_kept(weir, wire, other)


@pytest.mark.parametrize("mode", ["-c pgweir.pin=on", "--pgweir.pin=on"])
def test_who_asks_at_its_start_keeps_its_first_server(weir, mode):
    """RESET and DISCARD ALL go back to what a client began with."""
    with start(weir).raw(parameters={"options": mode}) as wire, weir.raw() as other:
        pid = other.value(PID)                      # wire has run nothing yet, and keeps none
        assert wire.value(PID) == pid
        for end in "RESET pgweir.pin", "RESET ALL", "DISCARD ALL", "SET LOCAL pgweir.pin = off":
            wire.query(end, "SELECT 1")
            wait_until(lambda: reasons(weir) == ["asked_for"], what=f"the pin after {end}")    # pylint: disable=W0640
        assert_kept(weir, wire, other)
        assert_not_kept(weir, wire, other)
        wire.query("DISCARD ALL", "SELECT 1")
        assert_kept(weir, wire, other)


def test_many_who_asked_at_their_start_share_while_they_run_nothing(weir):
    with start(weir).raw() as other:
        for _ in range(5):
            weir.keep(weir.raw(parameters={"options": "-c pgweir.pin=on"}))
        other.query("SELECT 1")
        assert not reasons(weir)


def test_state_that_nothing_else_keeps_stays_and_is_washed_off_behind(weir):
    """setseed() of another transaction counts; the next client sees nothing of it, nor that somebody asked."""
    weir.start(pool_size=1, max_overflow=0)
    with weir.raw() as wire, weir.raw() as other:
        expected = wire.query("BEGIN", "SELECT setseed(0.5)", "SELECT random(), random()")[0]
        wire.query("COMMIT", ON, "SELECT setseed(0.5)", "CREATE TEMP TABLE asked_kept (a int)", "SET work_mem = '7MB'")
        assert [wire.value("SELECT random()") for _ in range(2)] == expected
        assert set(reasons(weir)[0].split(", ")) == {"temp_table", "asked_for"}
        wire.query("DROP TABLE asked_kept", "SELECT setseed(0.5)")
        wait_until(lambda: reasons(weir) == ["asked_for"], what="the other pin to go")
        wire.query("SET pgweir.pin = off")
        assert other.query("SELECT random()")[0][0] not in expected
        assert other.query("SELECT coalesce(current_setting('pgweir.pin', true), ''), current_setting('work_mem')") == [["", "4MB"]]
        assert other.query("SELECT count(*) FROM pg_class WHERE relname = 'asked_kept'") == [["0"]]


def test_a_client_that_leaves_gives_its_server_back(weir):
    weir.start(pool_size=1, max_overflow=0)
    with weir.raw() as other:
        with weir.raw(parameters={"options": "-c pgweir.pin=on"}) as wire:
            wire.query("SELECT 1")
            wire.leave()
        assert other.query("SELECT coalesce(current_setting('pgweir.pin', true), '')") == [[""]]


def test_it_is_shown_and_told_to_who_waits(weir):
    weir.start_opened("500ms", pool_size=1, max_overflow=0)
    with weir.raw() as wire, weir.raw() as other:
        wire.query(ON)
        assert [row["state"] for row in weir.console("SHOW HOLDERS")] == ["pinned: asked_for"]
        refused = errors(other.ask(query("SELECT 1")))[0]
        assert refused.sqlstate == "53300" and "SET pgweir.pin" in refused.error["H"], refused.error
        wire.query("SELECT pg_advisory_lock(1)")    # what else keeps it is for SHOW PINS to say
        refused = errors(other.ask(query("SELECT 1")))[0]
        assert "SET pgweir.pin" not in refused.error["H"] and "SHOW PINS" in refused.error["H"], refused.error
    weir.wait_log("keeps server", "asked_for")


@pytest.mark.parametrize("state", ["pin", "warn", "isolate"])
def test_with_other_session_states(weir, state):
    with start(weir, session_state=state).raw() as wire, weir.raw() as other:
        wire.query(ON)
        expected = "session_set, asked_for" if state == "pin" else "asked_for"
        wait_until(lambda: reasons(weir) == [expected], what="the pin")
        wire.query("RESET pgweir.pin" if state != "pin" else "DISCARD ALL")
        assert_not_kept(weir, wire, other)


@pytest.mark.parametrize("options", [None, {"options": "-c pgweir.pin=on"}])
def test_error_refuses_it(weir, options):
    weir.start(session_state="error")
    with weir.raw(parameters=options) as wire:
        wire.query("SELECT 1" if options else ON)
        wire.send(query("SELECT 1"))
        refused = errors(wire.read_to_end())
        assert refused[0].sqlstate == "0A000" and "asked_for" in refused[0].error["M"]


@pytest.mark.parametrize("options", [None, {"options": "-c pgweir.pin=on"}])
def test_allow_does_not_look_at_it(weir, options):
    with start(weir, session_state="allow").raw(parameters=options) as wire, weir.raw() as other:
        wire.query(ON)
        assert_not_kept(weir, wire, other)


def test_a_lost_server_ends_its_client(weir):
    """As without a pooler: what it was to keep is gone."""
    weir.start()
    connection = weir.connect(autocommit=True)
    connection.execute(ON)
    weir.postgres.query(f"SELECT pg_terminate_backend({connection.execute(PID).fetchone()[0]})")
    with pytest.raises(psycopg.OperationalError):
        for _ in range(100):
            connection.execute("SELECT 1")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_restart_keeps_who_asked(weir, workers):
    """Who has a server stays with the old process until it gives that back; who has none yet moves, and keeps the next one."""
    with start(weir, workers=workers).raw(parameters={"options": "-c pgweir.pin=on"}) as wire:
        weir.restart()
        pid = wire.value(PID)
        assert reasons(weir) == ["asked_for"]
        old = weir.restart(wait=False)
        assert [wire.value(PID) for _ in range(4)] == [pid] * 4
        wire.query("SET pgweir.pin = off")
        old.wait()
        with weir.raw() as other:
            assert_not_kept(weir, wire, other)
            wire.query(ON)
            assert_kept(weir, wire, other)


@pytest.mark.parametrize("client", range(4))
def test_two_workers(weir, client):
    """A client that has asked is not moved to the worker that has its pool's other clients; and it may ask before it is."""
    weir.start(workers=2, pool_size=8, pool_lifo=False)
    wires = [weir.keep(weir.raw()) for _ in range(4)]
    for wire in wires[:client + 1]:
        wire.query(ON)
    pids = [wire.value(PID) for wire in wires]
    for _ in range(3):
        assert [wire.value(PID) for wire in wires[:client + 1]] == pids[:client + 1]
    assert reasons(weir) == ["asked_for"] * (client + 1)
