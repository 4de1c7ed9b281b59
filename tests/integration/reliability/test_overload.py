"""Too much of everything: descriptors, clients, slow ones, a full disk, a clock that jumps, a PostgreSQL that stands still."""

import re
import signal
import subprocess
import time
from pathlib import Path
from signal import SIGHUP, SIGINT

import pytest

import rawwire
from programs import compiled, library
from rawwire import Wire, query, startup
from waiting import SLOWNESS, each, wait_until
from weir import needs_slow_log, timed

pytestmark = pytest.mark.weir_only

HERE = Path(__file__).parent
MIB = 1 << 20


# --- descriptors ---

def fill_descriptors(weir):
    """Idle clients until no more are let in."""
    for _ in range(500):
        wire = weir.wire(timeout=3)
        try:
            wire.send(startup())
            if wire.read_until("ZE")[-1].type == "E":
                return
        except (rawwire.WireError, OSError):
            return
    raise AssertionError("it never refused")


def test_servers_are_reached_when_clients_have_taken_all_descriptors(weir):
    weir.start(fd_limit=200, max_client_connections=1000, pool_size=5, sections={"pool": {"idle_timeout": "0s"}})
    first = [weir.raw() for _ in range(5)]
    fill_descriptors(weir)
    for wire in first:
        wire.query("BEGIN")                                          # a server each: connected only now
        assert wire.value("SELECT 1") == "1"
    weir.wait_log("could not accept a connection")
    wait_until(lambda: rejected(weir, "descriptors") > 0)
    lines, spent = weir.log().count("could not accept"), weir.cpu_seconds()
    time.sleep(1)
    assert weir.cpu_seconds() - spent < 0.3 and weir.log().count("could not accept") - lines <= 10
    weir.close_connections()
    wait_until(lambda: weir.raw(timeout=1).value("SELECT 1") == "1")


def rejected(weir, reason):
    return weir.metric("pgweir_client_connections_rejected_total", reason=reason)


# --- many ---

def all_there(crowd, count):
    """Waits until the program idlers says that all its clients are logged in; gives the seconds it took."""
    for line in crowd.stdout:
        if line.startswith(f"all {count} "):
            return float(line.split()[2])
    raise AssertionError("idlers has ended")


@pytest.mark.long
def test_ten_thousand_idle_clients_and_their_return_after_a_restart(weir, tmp_path_factory, sanitized):
    count = 2000 if sanitized else 10_000
    weir.start(max_client_connections=count + 100, fd_limit=20_000, pool_size=4)
    weir.raw().query("SELECT 1")
    before = weir.memory_bytes()
    program = compiled(tmp_path_factory, "idlers", lambda out: ["cc", "-O2", "-o", out / "idlers", HERE / "idlers.c"]) / "idlers"
    with subprocess.Popen([program, weir.host, str(weir.port), str(count), "127.7.0.1"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        all_there(crowd, count)
        assert weir.metric_now("pgweir_client_connections", state="idle") >= count
        assert sanitized or weir.memory_bytes() - before < count * 1200
        spent = weir.cpu_seconds()
        time.sleep(1)
        assert weir.cpu_seconds() - spent < 0.2                      # who asks nothing costs nothing
        weir.close_connections()
        assert weir.stop(SIGINT) == 0
        weir.expected_exit = None
        weir.launch([str(weir.ini)], fd_limit=20_000)
        all_there(crowd, count)
        assert weir.raw().value("SELECT 1") == "1"
        assert weir.metric_now("pgweir_client_logins_total", result="ok") >= count
        crowd.stdin.close()


# --- slow ---

def test_readers_of_a_gigabyte_that_do_not_read(weir, sanitized):
    weir.start(pool_size=8)
    weir.raw().query("SELECT 1")
    before = weir.memory_bytes()
    wires = [weir.raw(receive_buffer=4096) for _ in range(8)]
    each(wires).send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"))
    wait_until(lambda: weir.postgres.count(wait_event="ClientWrite") == 8)
    assert weir.raw("reporting").value("SELECT 1") == "1"            # of another pool
    assert sanitized or weir.memory_bytes() - before < 16 * MIB
    each(wires).close()
    wait_until(lambda: weir.postgres.count(wait_event="ClientWrite") == 0)
    assert weir.raw().value("SELECT 1") == "1"


def test_logins_that_come_byte_by_byte(weir):
    weir.start(login_timeout="2s", method="scram-sha-256")
    packet = startup()
    slow = [weir.wire() for _ in range(300)]
    begin, refused = time.monotonic(), 0
    spent = weir.cpu_seconds()
    for at in range(8):
        for wire in slow:
            try:
                wire.send(packet[at:at + 1])
            except OSError:
                refused += 1
        assert timed(lambda: weir.raw(password="web-secret").value("SELECT 1"))[1] < 2 * SLOWNESS
        time.sleep(max(0, begin + 0.3 * (at + 1) - time.monotonic()))
    wait_until(lambda: weir.metric("pgweir_client_connections", state="login") == 0)
    assert rejected(weir, "login_timeout") == 300 and weir.cpu_seconds() - spent < 2 * SLOWNESS


# --- the disk is full ---

@needs_slow_log
def test_logs_on_a_full_disk_hold_up_nobody(weir):
    weir.start(sections={"log": {"destination": "/dev/full", "connections": "on"},
                         "slow_query": {"file": "/dev/full", "threshold": "0ms"}})
    for _ in range(50):
        with weir.raw() as wire:
            _, seconds = timed(wire.query, "SELECT 1")
            assert seconds < 5 * SLOWNESS
    wait_until(lambda: weir.metric("pgweir_log_lines_dropped_total", reason="write_error") >= 50)
    wait_until(lambda: weir.metric("pgweir_slow_log_lines_dropped_total", reason="write_error") > 0)
    log = weir.directory / "again.log"
    weir.reload(sections={"log": {"destination": str(log)}})
    wait_until(lambda: "configuration reloaded" in log.read_text(encoding="utf-8"))


def test_a_log_that_may_not_grow_does_not_end_it(weir):
    """SIGXFSZ ends a process that does not ignore it."""
    script, log = weir.directory / "limited.sh", weir.directory / "small.log"
    script.write_text(f'#!/bin/bash\nulimit -f 16\nexec {weir.binary} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    weir.binary = script
    weir.start(sections={"log": {"destination": str(log), "connections": "on"}, "slow_query": {"threshold": "off"}})
    wait_until(lambda: weir.raw().query("SELECT 1") and log.stat().st_size == 16 * 1024)
    assert weir.raw().value("SELECT 1") == "1"
    log.rename(weir.directory / "small.log.1")
    weir.signal(SIGHUP)
    wait_until(lambda: log.exists() and weir.raw().query("SELECT 1") and log.stat().st_size > 0)


# --- time ---

def test_a_clock_that_jumps_disturbs_nobody(weir, tmp_path_factory, sanitized):
    """CLOCK_REALTIME jumps by a day, forward and back, at each call: no limit on time may be measured by it."""
    if sanitized:
        pytest.skip("the sanitizers' library must come first")
    weir.start(environment={"LD_PRELOAD": str(library(tmp_path_factory, HERE / "jumps.c", "-O2"))}, pool_size=2, query_timeout="30s", login_timeout="30s",
               idle_timeout="1h", pool_recycle="1h", transaction_timeout="30s", client_idle_timeout="1h",
               idle_transaction_timeout="30s", sections={"limits": {"login_failure_delay_max": "1h"}})
    wires = [weir.raw() for _ in range(4)]
    pids = set()
    for _ in range(40):
        for wire in wires:
            wire.query("BEGIN")
            pids.add(wire.value("SELECT pg_backend_pid()"))
            wire.query("COMMIT")
        time.sleep(0.05)
    assert len(pids) <= 2
    years = set(re.findall(r"^(\d{4}-\d\d-\d\d)", weir.log(), re.MULTILINE))
    assert len(years) > 1, "the clock did not jump"


# --- PostgreSQL stands still ---

def stopped(cluster):
    """The postmaster and all its children."""
    postmaster = int((cluster.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
    children = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=True)
    return [postmaster, *map(int, children.stdout.split())]


@pytest.mark.long
def test_a_postgresql_that_stands_still(weir, own_postgres):
    import os
    frozen = f"host={own_postgres.host} port={own_postgres.port}"
    weir.start({"database app": {"upstream": frozen, "query_timeout": "1s", "connect_timeout": "1s",
                                 "pool_timeout": "2s"}}, pool_size=2, ping_interval="500ms")
    here, there = weir.raw(database="app2"), weir.raw()
    there.query("SELECT 1")
    pids = stopped(own_postgres)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        there.send(query("SELECT 2"))
        begin, longest = time.monotonic(), 0
        while time.monotonic() - begin < 4:
            longest = max(longest, timed(here.query, "SELECT 1")[1])
        assert longest < 1 * SLOWNESS                                  # clients of other databases
        replies, seconds = timed(lambda: there.read_until("ZE"))
        assert rawwire.errors(replies) and seconds < 10 * SLOWNESS
        error, seconds = timed(lambda: first_error(weir))
        assert error in ("08001", "08006", "53300", "57014", "57P05") and seconds < 12 * SLOWNESS
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: weir.raw().value("SELECT 3") == "3", what="it to go on")


def first_error(weir):
    """Of somebody who comes now."""
    try:
        with Wire(weir.address, timeout=12 * SLOWNESS) as wire:
            wire.login("web", "app")
            wire.send(query("SELECT 1"))
            return rawwire.errors(wire.read_until("ZE"))[0].sqlstate
    except rawwire.LoginRefused as refused:
        return refused.reply.sqlstate
