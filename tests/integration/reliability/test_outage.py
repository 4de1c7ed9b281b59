"""PostgreSQL refuses, restarts, recovers or hangs: on_outage = hold lets requests wait, fail tells their clients at once.

Each test prints what it has injected and what clients have seen (-s, or the report of a failure).
"""

import re
import signal
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

import fakeserver
import rawwire
from fakeserver import FakeConnection, FakeServer
from rawwire import BEGIN_NOW, errors, query
from waiting import SLOWNESS, each, free_port, wait_until
from weir import timed

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


TOO_MANY = "too_many_connections"
DATABASES = ["app", "app1", "app2"]


def doorman(port, sqlstate="57P03", text="the database system is starting up"):
    """Takes PostgreSQL's place while it is away, and answers each startup packet with a FATAL error."""
    def script(conn):
        conn.read_startup()
        conn.send(fakeserver.error(sqlstate, text, "FATAL"))
    return FakeServer(script, port)


def silent_doorman(port):
    return FakeServer(FakeConnection.wait_gone, port)


@contextmanager
def mute(port, how):
    """Takes PostgreSQL's place and answers nothing: packets are dropped, a process behind its backlog is stopped, the
    startup packet gets no answer, or what follows the answer to SSLRequest."""
    def script(conn):
        if how == "tls":
            conn.read_bytes(8)
            conn.send(b"S")
        conn.wait_gone()

    if how in ("startup", "tls"):
        with FakeServer(script, port):
            yield
        return
    with socket.create_server(("127.0.0.1", port), backlog=0 if how == "drops" else 128), ExitStack() as held:
        for _ in range(4 if how == "drops" else 0):         # the backlog is full then
            sock = held.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        yield


class Load:
    """Clients that ask one thing after the other; what each error was, and the longest time that one request took."""

    def __init__(self, weir, count, ask=None, pause=0.0, database="app"):
        self.weir, self.ask, self.pause, self.database = weir, ask or self._number, pause, database
        self.done_count, self.longest, self.errors, self.lost_count = 0, 0.0, [], 0
        self.last_error_at = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._jobs = [weir.in_background(self._work, i) for i in range(count)]

    @staticmethod
    def _number(wire, _, i):
        assert wire.query(f"SELECT {i}") == [[str(i)]]

    def _work(self, number):
        wire, i = self.weir.raw(database=self.database), 0
        while not self._stop.is_set():
            begin = time.monotonic()
            try:
                self.ask(wire, number, i)
                with self._lock:
                    self.done_count += 1
            except rawwire.WireError as failed:
                with self._lock:
                    self.errors.append(str(failed))
                    self.last_error_at = time.monotonic()
                if not hasattr(failed, "reply") or failed.reply.severity == "FATAL":
                    with self._lock:
                        self.lost_count += 1
                    wire = self._again()
                    if wire is None:
                        return
            with self._lock:
                self.longest = max(self.longest, time.monotonic() - begin)
            i += 1
            if self.pause:
                self._stop.wait(self.pause)

    def _again(self):
        while not self._stop.is_set():
            try:
                return self.weir.raw(database=self.database)
            except (rawwire.WireError, OSError):
                time.sleep(0.02)
        return None

    def wait_done(self, more, timeout=None):
        goal = self.done_count + more
        wait_until(lambda: self.done_count >= goal, timeout, f"{more} more requests")

    def stop(self, timeout=30):
        self._stop.set()
        each(self._jobs).result(timeout)
        return self


def upstream_of(postgres, **words):
    return " ".join([f"host={postgres.host} port={postgres.port}", *(f"{key}={value}" for key, value in words.items())])


# --- hold ---

@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_requests_are_held_through_a_restart(weir, own_postgres, how):
    """Clients that are between requests when it begins lose nothing. (Those with one under way: test_replay.py.)"""
    weir.start(upstream=upstream_of(own_postgres), pool_size=5, on_outage="hold")
    wires = [weir.raw() for _ in range(20)]
    for wire in wires:
        assert wire.query("SELECT 1") == [["1"]]
    own_postgres.stop(how)
    wait_until(lambda: weir.pool()["sv_idle"] == 0)
    begin = time.monotonic()
    each(wires).send(query("SELECT 2"))
    weir.wait_waiting(20)
    own_postgres.start()
    for wire in wires:
        assert "D" in rawwire.shape(wire.read_until("Z"))
    print(f"20 requests held, the longest for {time.monotonic() - begin:.2f} s, 0 errors")
    wait_until(lambda: weir.metric("pgweir_pool_held_requests_total") == 20)
    assert weir.metric("pgweir_pool_outages_total") == 1
    assert weir.metric("pgweir_pool_outage_seconds_total") > 0
    log = weir.wait_log("the outage is over")
    assert log.count("an outage begins") == 1 and "20 requests were held, 0 failed" in log


def test_requests_are_held_while_postgresql_recovers(weir, own_postgres):
    """57P03, the database system is starting up, is no refusal."""
    wire = weir.start(upstream=upstream_of(own_postgres), on_outage="hold").raw()
    assert wire.query("SELECT 1") == [["1"]]
    own_postgres.stop()
    with doorman(own_postgres.port) as refusing:
        wire.send(query("SELECT 2"))
        wait_until(lambda: len(refusing.connections) >= 3)
        weir.wait_waiting(1)
    own_postgres.start()
    assert rawwire.texts(wire.read_until("Z")) == [["2"]]


def test_a_login_is_held_too(weir, own_postgres):
    weir.start(upstream=upstream_of(own_postgres), on_outage="hold")
    own_postgres.stop()
    job = weir.in_background(lambda: weir.raw(parameters={"search_path": "hidden"}).query("SHOW search_path"))
    wait_until(lambda: (weir.pool() or {}).get("cl_waiting") == 1)
    own_postgres.start()
    assert job.result() == [["hidden"]]


def test_a_listen_is_held_too(weir, own_postgres):
    """It waits for the listener's connection, for as long as others wait for theirs."""
    weir.start_opened("1s", upstream=upstream_of(own_postgres), on_outage="hold", outage_hold="60s")
    with weir.raw() as wire, weir.raw() as other:
        wire.query("SELECT 1")
        own_postgres.stop()
        wait_until(lambda: weir.pool()["sv_idle"] == 0)
        wire.send(query("LISTEN news"))
        other.send(query("SELECT 2"))
        wait_until(lambda: weir.pool()["maxwait"] >= 3)
        own_postgres.start()
        assert rawwire.shape(wire.read_until("Z")) == "C:LISTEN Z:I"
        assert rawwire.texts(other.read_until("Z")) == [["2"]]
        other.query("NOTIFY news")
        assert [reply.type for reply in wire.read_until("A")] == ["A"]


def test_a_listen_is_held_for_outage_hold(weir, own_postgres):
    weir.start(upstream=upstream_of(own_postgres), on_outage="hold", outage_hold="700ms", pool_timeout="60s")
    with weir.raw() as wire:
        wire.query("SELECT 1")
        own_postgres.stop()
        wait_until(lambda: weir.pool()["sv_idle"] == 0)
        with pytest.raises(rawwire.WireError) as failed:
            wire.query("LISTEN news")
        reply = failed.value.reply
        assert reply.sqlstate == "08001" and "outage_hold" in reply.error["M"] + reply.error.get("D", "")
        own_postgres.start()
        wait_until(lambda: wire.query("LISTEN news") == [])


def test_outage_hold_limits_the_wait_and_the_error_says_what_is_wrong(weir, own_postgres):
    weir.start(upstream=upstream_of(own_postgres), on_outage="hold", outage_hold="700ms", pool_timeout="20s")
    wire = weir.raw()
    wire.query("SELECT 1")
    own_postgres.stop()
    wait_until(lambda: weir.pool()["sv_idle"] == 0)
    with pytest.raises(rawwire.WireError) as failed:
        _, seconds = timed(wire.query, "SELECT 2")
    reply = failed.value.reply
    assert reply.sqlstate == "08001" and reply.severity == "ERROR" and "outage_hold" in reply.error["D"]
    own_postgres.start()
    answer, seconds = timed(wire.query, "SELECT 3")
    assert answer == [["3"]] and seconds < 3 * SLOWNESS


def test_pool_timeout_does_not_run_while_a_request_is_held(weir, own_postgres):
    weir.start_opened("1s", upstream=upstream_of(own_postgres), on_outage="hold", outage_hold="60s")
    wire = weir.raw()
    own_postgres.stop()
    wait_until(lambda: weir.pool()["sv_idle"] == 0)
    wire.send(query("SELECT 2"))
    weir.wait_waiting(1)
    wait_until(lambda: weir.pool()["maxwait"] >= 2)
    own_postgres.start()
    assert rawwire.texts(wire.read_until("Z")) == [["2"]]


@pytest.mark.parametrize("sqlstate", ["28P01", "28000", "3D000"])
def test_what_waiting_does_not_mend_is_told_at_once(weir, sqlstate):
    port = free_port()
    weir.start(upstream=f"host=127.0.0.1 port={port}", on_outage="hold", outage_hold="20s")
    with doorman(port, sqlstate, "no"):
        for _ in range(2):
            begin = time.monotonic()
            with pytest.raises(rawwire.WireError) as failed:
                weir.raw().query("SELECT 1")
            assert failed.value.reply.sqlstate == sqlstate and time.monotonic() - begin < 10 * SLOWNESS


def test_a_database_may_have_its_own(weir, own_postgres):
    weir.start({"database app": {"upstream": upstream_of(own_postgres), "on_outage": "hold"},
                "database app2": {"upstream": upstream_of(own_postgres)}})
    held, failing = weir.raw(), weir.raw(database="app2")
    held.query("SELECT 1"), failing.query("SELECT 1")
    own_postgres.stop()
    wait_until(lambda: weir.pool()["sv_idle"] == 0 and weir.pool("app2")["sv_idle"] == 0)
    held.send(query("SELECT 2"))
    with pytest.raises(rawwire.WireError) as failed:
        failing.query("SELECT 2")
    assert failed.value.reply.sqlstate in ("08001", "08006", "57P03")
    own_postgres.start()
    assert rawwire.texts(held.read_until("Z")) == [["2"]]


def test_after_an_outage_servers_are_opened_at_a_pace(weir, fake):
    """Logins take 50 ms; never are more under way than the pace allows. Each client keeps its server: else the first one
    may do for all."""
    under_way, most, lock = [0], [], threading.Lock()

    def script(conn):
        with lock:
            under_way[0] += 1
            most.append(under_way[0])
        time.sleep(0.05)
        with lock:
            under_way[0] -= 1
        conn.login()
        conn.serve()
    port = fake.port
    weir.start(upstream=f"host=127.0.0.1 port={port}", pool_size=50, on_outage="hold")
    fake.script = lambda conn: conn.sock.close()
    jobs = [weir.in_background(lambda: weir.raw().query("BEGIN")) for _ in range(12)]
    wait_until(lambda: weir.pool()["cl_waiting"] == 12)
    wait_until(lambda: weir.metric("pgweir_pool_outages_total") == 1)
    wait_until(lambda: weir.pool()["sv_login"] == 0)        # those that were begun before it was known are over
    fake.script = script
    each(jobs).result()
    assert most[0] == 1 and most[1] <= 2 and max(most[:4]) <= 3, most
    print(f"12 held, logins under way when each began: {most}")


# --- fail ---

def ask(wire):
    """(the errors that one query has got, the seconds that it took)"""
    wire.send(query("SELECT 1"))
    return timed(lambda: errors(wire.read_until("Z")))


def newcomers(weir, wires):
    """The same of all, at once: the errors of all, and the longest time."""
    results = [job.result() for job in [weir.in_background(ask, wire) for wire in wires]]
    return [error for found, _ in results for error in found], max(took for _, took in results)


def come_for(weir, wires, seconds):
    """They come for so long, again and again, and none is served. Returns the longest time that one has waited."""
    longest, rounds, begin = 0.0, 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        found, took = newcomers(weir, wires)
        assert [error.sqlstate for error in found] == ["08001"] * len(wires)
        longest, rounds = max(longest, took), rounds + 1
        time.sleep(0.05)
    print(f"{rounds} times {len(wires)} were told, after {longest:.3f} s at most: {found[0].error}")
    return longest


@pytest.mark.long
@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", ["drops", "stopped", "startup", "tls"])
def test_newcomers_to_a_silent_host_are_told_at_once(weir, tap, how, workers):
    """The first wait for connect_timeout. Before, all who came later waited for pool_timeout, as health checks were under way; and
    behind each reload all waited for connect_timeout again."""
    patience = round(2 * SLOWNESS)
    upstream = f"host=127.0.0.1 port={tap.port} sslmode={'prefer' if how == 'tls' else 'disable'}"
    settings = {"sections": {f"database {name}": {"upstream": upstream + " dbname=app"} for name in DATABASES},
                "workers": workers, "connect_timeout": f"{patience}s"}
    weir.start(pool_size=5, **settings)
    wires = [weir.raw(database=name) for name in DATABASES for _ in range(5)]
    for wire in wires:
        assert ask(wire)[0] == []
    weir.settle()                       # none is in its login when the host falls silent
    tap.shut()
    with mute(tap.port, how):
        tap.cut()
        wait_until(lambda: weir.metric("pgweir_server_connections") == 0)
        found, took = newcomers(weir, wires)
        assert {error.sqlstate for error in found} == {"08001"} and took > 1.5
        assert come_for(weir, wires, 3) < 0.9 * patience
        for size in (4, 5, 4):
            weir.reload(pool_size=size, **settings)
            assert come_for(weir, wires, 0.1) < 0.9 * patience
    tap.open()
    for wire in wires:
        wait_until(lambda one=wire: ask(one)[0] == [], what="an end of the outage")


@pytest.mark.long
def test_one_of_two_hosts_is_silent_and_the_other_refuses(weir, tap):
    """Who comes does not wait for the silent one, whose turn it may be."""
    port, patience = free_port(), round(3 * SLOWNESS)
    weir.start(upstream=f"host=127.0.0.1,127.0.0.1 port={port},{tap.port} sslmode=disable", pool_size=5,
               connect_timeout=f"{patience}s")
    with mute(port, "stopped"):
        wires = [weir.raw() for _ in range(5)]
        for wire in wires:
            assert ask(wire)[0] == []
        weir.settle()                   # a login that is cut is another error
        tap.shut()
        tap.cut()
        assert newcomers(weir, wires)[1] < 2.5 * patience
        assert come_for(weir, wires, 2 * patience) < 0.9 * patience
        tap.open()
        for wire in wires:
            wait_until(lambda one=wire: ask(one)[0] == [], what="an end of the outage")


@pytest.mark.parametrize("workers, size", [(1, 2), (3, 8)], ids=["whole", "in parts"])
def test_those_in_line_wait_on_through_a_restart(weir, own_postgres, workers, size):
    """60 clients are in line when PostgreSQL restarts: before, 60 of 60 failed, and 30 of 60 of a pool that has parts."""
    weir.start(upstream=upstream_of(own_postgres), workers=workers, pool_size=size, pool_timeout="20s")
    holders = [weir.raw() for _ in range(size)]
    each(holders).query(BEGIN_NOW)
    wires = [weir.raw() for _ in range(60)]
    each(wires).send(query("SELECT 1"))
    weir.wait_waiting(60)
    begin = time.monotonic()
    own_postgres.stop()
    wait_until(lambda: weir.metric("pgweir_pool_outages_total") == 1)
    with pytest.raises(rawwire.WireError) as failed:      # who comes now is told
        weir.raw().query("SELECT 1")
    assert failed.value.reply.sqlstate in ("08001", "08006", "57P03")
    own_postgres.start()
    replies = [wire.read_until("Z") for wire in wires]
    failures = [errors(reply) for reply in replies if errors(reply)]
    print(f"60 in line, {len(failures)} failed, the longest took {time.monotonic() - begin:.2f} s")
    assert not failures
    assert re.search(r"the outage is over after .*; 60 requests were held, [1-9]\d* failed", weir.wait_log("the outage is over"))
    assert weir.metric("pgweir_pool_held_requests_total") == 60


@pytest.mark.long
def test_after_a_long_outage_errors_end_within_a_second(weir, own_postgres):
    """Clients ask all the time: 40 s of outage were followed by 2.8 to 15.7 s of errors, 8 s by about 5.

    Who was in line when the last server was lost waits on, which may be all of them; one client comes later.
    """
    weir.start(upstream=upstream_of(own_postgres), pool_size=5)
    is_out = threading.Event()

    def ask(wire, number, i):
        assert number > 0 or is_out.wait(30)
        wire.query(f"SELECT {i}")

    load = Load(weir, 6, ask, pause=0.05)
    load.wait_done(50)
    own_postgres.stop()
    weir.wait_log("an outage begins")
    is_out.set()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 8)
    own_postgres.start()
    back = time.monotonic()
    load.wait_done(100)
    load.stop()
    late = load.last_error_at - back
    print(f"{len(load.errors)} errors in an outage of 8 s, the last {late:.2f} s after PostgreSQL answered again")
    assert load.errors and late < 1.0 * SLOWNESS


# --- too many connections ---

def test_too_many_connections_lowers_the_cap_instead_of_failing_clients(weir, own_postgres):
    own_postgres.query("ALTER ROLE web CONNECTION LIMIT 3")
    weir.start(upstream=upstream_of(own_postgres), pool_size=10, pool_timeout="20s")
    load = Load(weir, 10, lambda wire, *_: wire.query("SELECT pg_sleep(0.01)"))
    load.wait_done(300)
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", reason=TOO_MANY) > 0)
    load.stop()
    print(f"{load.done_count} requests of 10 clients on 3 connections, {len(load.errors)} errors")
    assert not load.errors


def test_too_many_connections_and_none_of_ours_is_waited_for(weir, own_postgres):
    own_postgres.query("ALTER ROLE web CONNECTION LIMIT 1")
    taken = own_postgres.connect(user="web")
    weir.start(upstream=upstream_of(own_postgres), pool_timeout="20s")
    job = weir.in_background(lambda: weir.raw().query("SELECT 1"))
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", reason=TOO_MANY) >= 2)
    weir.wait_waiting(1)
    taken.close()
    assert job.result() == [["1"]]
