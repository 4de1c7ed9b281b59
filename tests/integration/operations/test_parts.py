"""A large pool has parts on several workers. Its limits and its line are one, and an idle server goes to the worker on
which somebody waits for one: with all that its session has."""

import collections
import json
import re
import threading

import pytest

import rawwire
from rawwire import BEGIN_NOW, bind, describe, errors, execute, parse, query, shape, sync, texts
from stall import Stall
from test_caps import hold_one_each, run_everywhere
from waiting import each, wait_until

pytestmark = pytest.mark.weir_only

PID = "SELECT pg_backend_pid()"


@pytest.fixture(name="split")
def _split(weir, own_postgres):
    """Starts pgweir with a pool that has a part on each of two workers, with a client on each. In a database without code:
    what other tests leave closes servers that cross."""
    weir.postgres = own_postgres

    def start(**settings):
        weir.start(**{"workers": 3, "pool_size": 8, "max_overflow": 0, **settings})
        wires = [weir.raw(), weir.raw()]
        for wire in wires:
            assert wire.value("SELECT 1") == "1"
        # No server leaves a worker that does not know the code of its database.
        wait_until(lambda: len(re.findall(r"database app: (?:none|\d+) of its ", weir.log())) >= 2)
        assert {row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")} == {1, 2}
        return wires
    return start


@pytest.fixture(name="one_server")
def _one_server(weir, split):
    """The same, and all servers but one are held."""
    def start(**settings):
        wires = split(**settings)
        for _ in range(7):
            weir.raw().query(BEGIN_NOW)
        wait_until(lambda: len(servers(weir)) <= 8)
        return wires
    return start


def servers(weir):
    return [row for row in weir.console("SHOW SERVERS") if row["database"] == "app"]


def test_a_server_goes_to_the_worker_on_which_somebody_waits(weir, one_server):
    one, two = one_server()
    pid = one.value(PID)
    for wire in (two, one, two, two, one):
        assert wire.value(PID) == pid
    assert len(servers(weir)) == 8


def test_what_a_server_has_goes_along(one_server):
    """Settings, which are replaced; prepared statements, under the same names; a TLS session, with PGWEIR_TEST_TLS."""
    one, two = one_server()
    pid = one.value(PID)
    one.query("SET application_name = 'first'; SET work_mem = '5MB'")
    assert one.extended("SELECT $1::text", ["a"], name="s") == [["a"]]
    assert two.query("SELECT current_setting('work_mem'), current_setting('application_name')")[0][0] != "5MB"
    two.query("SET work_mem = '6MB'")
    assert two.extended("SELECT $1::text || 'b'", ["a"], name="s") == [["ab"]]
    for _ in range(3):
        assert one.value("SHOW work_mem") == "5MB"
        assert one.value("SHOW application_name") == "first"
        assert two.value("SHOW work_mem") == "6MB"
        assert texts(one.ask(bind(statement="s", parameters=["a"]), execute(), sync())) == [["a"]]
        assert texts(two.ask(bind(statement="s", parameters=["a"]), execute(), sync())) == [["ab"]]
    assert one.value(PID) == two.value(PID) == pid


def settle(one, two):
    """Waits until their one server crosses, and is not closed because of DDL that pgweir has not seen."""
    wait_until(lambda: len({wire.value(PID) for wire in (one, two, one, two)}) == 1)


def test_a_text_has_one_name_on_all_workers(weir, one_server):
    """So no server that crosses is told to parse again what it has."""
    all_texts = ["SELECT $1::text", "SELECT $1 || '2020-01-02'::date::text"]
    weir.postgres.query("CREATE TABLE to_drop ()")      # ahead of the start: once seen, it would give new names
    weir.postgres.query("ALTER TABLE to_drop OWNER TO web")
    one, two = one_server()
    weir.settle()
    settle(one, two)
    for wire in (one, two):
        wire.query("SET DateStyle = 'german'")      # literals are read under it
        wire.ask(*(parse(sql, sql) for sql in all_texts), sync())

    def names():
        """How many names each of the texts has on the one server, and its PID, when both have used it there; None if it was
        replaced meanwhile."""
        pids = [one.value(PID)]
        for wire in (one, two, one):
            for sql in all_texts:
                assert not errors(wire.ask(bind(statement=sql, parameters=["a"]), execute(), sync()))
            pids.append(wire.value(PID))
        rows = dict(one.query(f"SELECT statement, count(*) FROM {rawwire.SEEN} GROUP BY 1"))
        pids.append(one.value(PID))
        return ([int(rows[sql]) for sql in all_texts], pids[0]) if len(set(pids)) == 1 else None
    found, before = wait_until(names)
    assert found == [1, 1]
    one.query("DROP TABLE to_drop")
    found, pid = wait_until(names)       # renewed, once for both; on a slow machine perhaps on another server
    assert found == ([2, 2] if pid == before else [1, 1])


def test_rows_that_one_worker_finds_changed_are_told_by_no_other(weir, one_server):
    """A fresh server parses the text when its table has been altered behind pgweir's back, and crosses with it."""
    one, two = one_server()
    weir.postgres.query("CREATE TABLE altered (a int); GRANT SELECT ON altered TO web")
    for wire in (one, two):
        assert shape(wire.ask(parse("s", "SELECT * FROM altered"), describe("S", "s"), sync())) == "1 t T Z:I"
    weir.postgres.query("ALTER TABLE altered ADD b int")
    pid = one.value(PID)
    weir.postgres.query(f"SELECT pg_terminate_backend({pid})")
    wait_until(lambda: weir.postgres.count(pid=int(pid)) == 0)
    settle(one, two)
    for wire in (two, one):
        error, = errors(wire.ask(bind(statement="s"), execute(), sync()))
        assert error.sqlstate == "0A000"        # cached plan must not change result type


def test_the_limit_is_of_all_parts_together(weir, split):
    """With a role that PostgreSQL itself allows no more connections than that."""
    wires = split(pool_size=8, max_overflow=0) + [weir.raw() for _ in range(22)]
    weir.postgres.query("ALTER ROLE web CONNECTION LIMIT 8")
    try:
        for round_ in range(5):
            each(wires).send(query("SELECT pg_sleep(0.002), pg_backend_pid()"))
            pids = {texts(wire.read_until())[0][1] for wire in wires}
            assert len(pids) <= 8
            assert sum(row["sv_active"] + row["sv_idle"] for row in weir.console("SHOW POOLS")
                       if row["database"] == "app") <= 8
    finally:
        weir.postgres.query("ALTER ROLE web CONNECTION LIMIT -1")
    assert "too many" not in weir.log()


def test_a_cancel_finds_a_server_that_has_come_from_elsewhere(weir, one_server):
    one, two = one_server()
    pid = one.value(PID)
    for wire in (two, one, two):
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.count(pid=int(pid), wait_event="PgSleep"))     # before, it takes no note of a cancel
        rawwire.send_cancel(weir.address, wire.key)
        assert [error.sqlstate for error in errors(wire.read_until())] == ["57014"]
    assert two.value(PID) == pid


@pytest.mark.parametrize("command", ["RECONNECT", "PAUSE"])
def test_commands_hold_for_all_parts(weir, split, command):
    one, two = split()
    before = {wire.value(PID) for wire in (one, two, one, two)}
    weir.console(command)
    wait_until(lambda: not servers(weir))
    each((one, two)).send(query(PID))
    weir.console("RESUME")
    assert not before & {texts(wire.read_until())[0][0] for wire in (one, two)}


def test_a_server_that_has_ended_does_not_cross(weir, one_server):
    one, two = one_server()
    for _ in range(3):
        pid = one.value(PID)
        weir.postgres.query(f"SELECT pg_terminate_backend({pid})")
        wait_until(lambda: weir.postgres.count(pid=int(pid)) == 0)
        assert two.value(PID) != pid
        assert one.value("SELECT 1") == "1"


def test_a_server_that_is_lost_on_its_way_is_not_lent(weir, tap, one_server):
    one, two = one_server(upstream=f"host={tap.host} port={tap.port}")
    one.query(BEGIN_NOW)
    port = int(one.value("SELECT inet_client_port()"))
    two.send(query("SELECT 'two'"))
    there, = wait_until(lambda: [row["worker"] for row in weir.console("SHOW POOLS_EXTENDED") if row["waiting"] == 1])
    with Stall(weir.process.pid, f"pgweir-{there}"):
        before = weir.metric_now("pgweir_crossings_total", what="returned_server")
        one.query("COMMIT")
        wait_until(lambda: weir.metric_now("pgweir_crossings_total", what="returned_server") > before)
        tap.cut(port)
        wait_until(lambda: tap.connection_count() == 7)
    assert texts(two.read_until()) == [["two"]]


def worker_of(weir, wire):
    """The only one that is in a transaction."""
    wire.query(BEGIN_NOW)
    worker, = wait_until(lambda: len(found := [row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")
                                               if row["active"] > 0]) == 1 and found)
    wire.query("COMMIT")
    return worker


@pytest.mark.long
def test_a_part_whose_worker_hangs_is_named_and_the_others_go_on(weir, split):
    """They have all places that its servers leave them; what is asked of it does not come, and is opened instead.
    Who comes anew is sent to them, and so are those that were just sent there."""
    wires = split() + [weir.raw() for _ in range(14)]
    there = [wire for wire in wires if worker_of(weir, wire) == 2]
    assert len(there) == 8
    with Stall(weir.process.pid, "pgweir-1"):
        early = [weir.in_background(weir.raw) for _ in range(2)]
        weir.wait_log("worker 1 does not answer")
        assert {wire.result().value("SELECT 'early'") for wire in early} == {"early"}
        assert weir.http("/healthz").status == 503
        assert weir.metric_now("pgweir_worker_up", worker="1") == 0
        assert [row["state"] for row in weir.console("SHOW WORKERS")] == ["up", "silent", "up"]
        assert {weir.raw().value("SELECT 'new'") for _ in range(4)} == {"new"}
        its_own = weir.postgres.count(usename="web")
        each(there).send(query("SELECT pg_sleep(0.3)"))
        wait_until(lambda: weir.postgres.count(usename="web") > its_own)
        for wire in there:
            assert not errors(wire.read_until())
        assert weir.postgres.count(usename="web") <= 8
    weir.wait_log("answers again")
    each(wires).send(query("SELECT pg_sleep(0.01)"))
    for wire in wires:
        assert not errors(wire.read_until())
    wait_until(lambda: len(servers(weir)) == weir.postgres.count(usename="web") <= 8)


@pytest.mark.long
def test_what_was_sent_to_a_worker_that_hangs_is_not_lost(weir, split):
    """Somebody waits there, so all that comes free elsewhere goes there until it is found silent."""
    wires = split(pool_timeout="20s") + [weir.raw() for _ in range(14)]
    there = [wire for wire in wires if worker_of(weir, wire) == 1]
    here = [wire for wire in wires if wire not in there]
    assert len(there) == 8
    each(here).query(BEGIN_NOW)
    each(there).send(query("SELECT 1"))
    wait_until(lambda: len(weir.console("SHOW WAITERS")) == 8)
    with Stall(weir.process.pid, "pgweir-1"):
        before = weir.metric_now("pgweir_crossings_total", what="returned_server")
        each(here).query("COMMIT")
        assert weir.metric_now("pgweir_crossings_total", what="returned_server") > before
        weir.wait_log("worker 1 does not answer")
        for wire in here:
            wire.query(BEGIN_NOW)                             # each has a server
        each(here).query("COMMIT")
        wait_until(lambda: weir.postgres.count(usename="web") <= 8)     # backends take a moment to go
    for wire in there:
        assert texts(wire.read_until()) == [["1"]]
    wait_until(lambda: len(servers(weir)) == weir.postgres.count(usename="web") <= 8)


@pytest.mark.long
def test_who_waits_for_what_a_silent_worker_keeps_is_told_so(weir, split):
    one, two = sorted(split(pool_timeout="1s"), key=lambda wire: worker_of(weir, wire))
    each([one, *(weir.raw() for _ in range(6))]).query(BEGIN_NOW)
    weir.settle()                       # else worker 1 may have the eighth, to ask for the database's code
    with Stall(weir.process.pid, "pgweir-1"):
        weir.wait_log("worker 1 does not answer")
        held = weir.raw()
        assert not errors(held.ask(query(BEGIN_NOW)))         # the eighth of the servers
        error, = errors(two.ask(query("SELECT 1")))
        assert error.sqlstate == "53300"
        assert "Worker 1 does not answer, and keeps its part of the pool's 8 connections" in error.error["D"]
        assert "restart pgweir" in error.error["H"]


def test_the_console_shows_one_pool(weir, split):
    one, two = split()
    each((one, two)).query(BEGIN_NOW)
    row, = [row for row in weir.console("SHOW POOLS") if row["database"] == "app"]
    assert (row["cl_active"], row["sv_active"], row["cl_waiting"]) == (2, 2, 0)
    assert len([row for row in weir.console("SHOW POOLS_EXTENDED") if row["database"] == "app"]) == 2
    assert {row["list"]: row["items"] for row in weir.console("SHOW LISTS")}["pools"] == 1
    advice = [row["explanation"] for row in weir.console("EXPLAIN POOL app")]
    assert len([line for line in advice if line.startswith("Advice")]) == 1
    wait_until(lambda: weir.metric("pgweir_pool_server_connections", state="active", database="app", user="web") == 2)
    assert weir.metric("pgweir_pool_limit_connections", kind="pool_size", database="app", user="web") == 8


def test_what_a_wait_is_for_is_told_over_all_parts(weir, one_server):
    one, two = one_server()
    one.query(BEGIN_NOW)
    two.send(query("SELECT 1"))
    waiter = wait_until(lambda: weir.console("SHOW WAITERS"))[0]
    told = " ".join(row["explanation"] for row in weir.console(f"EXPLAIN WAIT {waiter['client_id']}"))
    assert "number 1 of 1 in the queue" in told
    assert "8 of 8" in told or "of 8 connections in use 8" in told, told
    one.query("COMMIT")
    assert texts(two.read_until()) == [["1"]]


def test_an_exhausted_pool_is_told_over_all_parts(weir, one_server):
    one, two = one_server(pool_timeout="2s", wait_notify="100ms", sections={"log": {"format": "json"}})
    weir.raw().query(BEGIN_NOW)
    each((one, two)).send(query("SELECT 1"))
    for wire in (one, two):
        notice, error, _ = wire.read_until("Z")
        assert re.search(rb"The pool has 8 of 8 connections busy \(8 \+ 0 overflow\), and (2 clients are|1 client is) waiting\.", notice.body)
        assert error.sqlstate == "53300"
    wait_until(lambda: len([line for line in weir.log().splitlines() if '"pool_exhausted"' in line]) == 2)
    lines = [json.loads(line) for line in weir.log().splitlines() if '"pool_exhausted"' in line]
    assert [(line["timed_out"], line["in_use"], line["limit"]) for line in lines] == [(1, 8, 8)] * 2
    assert sum(line["idle_in_transaction"] for line in lines) == 8
    assert sorted(re.search(r"8 of 8 connections in use: on worker (\d) ", line["message"])[1] for line in lines) == ["1", "2"]


def test_a_client_is_greeted_where_the_pool_has_never_had_a_server(weir):
    """What a fresh server shows is known to all parts, so that a login needs no server, as on one worker."""
    weir.start(workers=3, pool_size=8, max_overflow=0)
    assert weir.raw().value("SELECT 1") == "1"
    weir.console("PAUSE app")
    waiting = weir.raw()
    waiting.send(query("SELECT 2"))
    assert {row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")} == {1, 2}
    weir.console("RESUME app")
    assert texts(waiting.read_until()) == [["2"]]


def test_a_pool_that_a_reload_enlarges_gets_parts(weir):
    weir.start(workers=3, pool_size=4, max_overflow=0)
    wires = [weir.raw() for _ in range(3)]
    for wire in wires:
        assert wire.value("SELECT 1") == "1"
    assert len(weir.console("SHOW POOLS_EXTENDED")) == 1
    weir.reload(pool_size=12, max_overflow=0)
    wires += [weir.raw() for _ in range(3)]
    assert len(weir.console("SHOW POOLS_EXTENDED")) > 1
    for size in (12, 2, 12):
        weir.reload(pool_size=size, max_overflow=0)
        each(wires).send(query("SELECT pg_sleep(0.01)"))
        for wire in wires:
            assert not errors(wire.read_until())
        wait_until(lambda: len(servers(weir)) <= size)  # pylint: disable=cell-var-from-loop


def test_a_part_that_a_smaller_pool_gets_anew_keeps_to_the_limit_of_all(weir, split):
    """Its worker has forgotten it; another one has not, as it has a client."""
    one, two = split(idle_timeout="1ms", pool_idle_timeout="1ms", min_idle=0)
    first = weir.console("SHOW POOLS_EXTENDED")
    one.leave()
    two.query(BEGIN_NOW)
    wait_until(lambda: len(weir.console("SHOW POOLS_EXTENDED")) == 1)
    assert len(first) == 2
    weir.reload(pool_size=1, max_overflow=0)
    third = weir.raw()
    third.send(query(PID))
    wait_until(lambda: len(weir.console("SHOW POOLS_EXTENDED")) == 2)
    assert third.has_nothing_more(0.3)
    two.query("COMMIT")
    assert texts(third.read_until())


@pytest.mark.parametrize("cap", ["max_user_connections", "max_db_connections", "max_server_connections"])
def test_a_pool_under_a_cap_has_parts_that_never_exceed_it_together(weir, cap):
    limits = {"workers": 2, "pool_size": 20, "max_overflow": 0, "session_state": "allow"}
    weir.start(**limits, **{cap: 8})
    clients = [weir.raw() for _ in range(24)]
    assert run_everywhere(weir, clients) <= 8
    assert {row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")} == {0, 1}
    hold_one_each(weir, clients[:8])                # on both workers: all places are used
    weir.reload(**limits, **{cap: 3})
    wait_until(lambda: weir.postgres.count() <= 3)
    assert run_everywhere(weir, clients) <= 3       # its parts stay
    hold_one_each(weir, clients[:3])
    weir.reload(**limits)
    hold_one_each(weir, clients[:20])


def test_two_pools_with_parts_have_equal_shares_of_a_cap(weir):
    """Each of 24 clients asks without a pause, on two workers; the first pool had all places before the second came."""
    weir.start(workers=2, pool_size=20, max_overflow=0, max_server_connections=8, session_state="allow")
    done, is_over = collections.Counter(), threading.Event()

    def ask(wire, user):
        while not is_over.is_set():
            wire.query("SELECT pg_sleep(0.005)")
            done[user] += 1

    def begin(user):
        return [weir.in_background(ask, weir.raw(user), user) for _ in range(12)]
    running = begin("web")
    wait_until(lambda: weir.postgres.count(usename="web") == 8)
    running += begin("reporting")
    wait_until(lambda: weir.postgres.count(usename="reporting") == 4)

    def is_equal():
        """Over 1,000 queries; on a busy machine the threads of one pool's clients may be held up for as long as that."""
        done.clear()
        wait_until(lambda: sum(done.values()) >= 1000)
        return min(done["web"], done["reporting"]) >= 0.8 * max(done.values())

    wait_until(is_equal, what="equal shares")
    is_over.set()
    each(running).result()
    assert {(row["user"], row["worker"]) for row in weir.console("SHOW POOLS_EXTENDED")} == {
        (user, worker) for user in ("web", "reporting") for worker in (0, 1)}
