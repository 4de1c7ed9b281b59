"""A real pair: a primary and its streaming standby; one goes, the other is promoted, and pgweir follows.

Each test prints what it has injected and what clients have seen (-s, or the report of a failure).
"""

import signal
import time
from contextlib import suppress

import pytest

import rawwire
from hosts import Standby, make_primary, wait_replayed
from rawwire import errors, query
from waiting import SLOWNESS, wait_until

from test_outage import Load, silent_doorman

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long]


@pytest.fixture
def pair():
    primary = make_primary("wal_keep_size = 64MB\n")
    primary.query("CREATE TABLE done (client int, i int, PRIMARY KEY (client, i)); GRANT ALL ON done TO web")
    standby = Standby(primary)
    yield primary, standby
    standby.destroy()
    primary.destroy()


def both(pair):
    first, second = pair
    return (f"host={first.host},{second.host} port={first.port},{second.port} "
            "target_session_attrs=read-write")


def insert(wire, number, i):
    wire.query(f"INSERT INTO done VALUES ({number}, {i})")


def report(name, weir, load, since=None):
    print(f"{name}: {load.done_count} requests, {len(load.errors)} errors, "
          f"{weir.metric_now('pgweir_pool_held_requests_total'):.0f} held, "
          f"{weir.metric('pgweir_pool_replays_total'):.0f} relayed again, longest stall {load.longest:.2f} s"
          + (f", first success {since:.2f} s after the promotion" if since is not None else ""))


def first_success(load, count):
    """How long until requests are done again."""
    begin = time.monotonic()
    wait_until(lambda: load.done_count > count, what="a request after the promotion", pause=0.002)
    return time.monotonic() - begin


def test_a_planned_switchover_without_an_error(weir, pair):
    """The primary is stopped fast under load, and the standby promoted: it has every row that was acknowledged."""
    primary, standby = pair
    weir.start(upstream=both(pair), on_outage="hold", pool_size=8)
    idle = [weir.raw() for _ in range(5)]
    load = Load(weir, 20, insert)
    load.wait_done(300)
    primary.stop()
    done = load.done_count
    standby.promote()
    seconds = first_success(load, done)
    load.wait_done(300)
    load.stop()
    report("switchover", weir, load, seconds)
    assert not load.errors and seconds < 3.0 * SLOWNESS, load.errors
    assert standby.value("SELECT count(*) FROM done") == load.done_count
    for wire in idle:
        assert wire.query("SELECT 1") == [["1"]]


def test_a_failover_under_load_only_costs_what_was_under_way(weir, pair):
    """The primary crashes. Idle clients see nothing, nor do those that are between requests."""
    primary, standby = pair
    weir.start(upstream=both(pair), on_outage="hold", pool_size=4)
    idle = [weir.raw() for _ in range(5)]
    load = Load(weir, 12, insert)
    load.wait_done(200)
    primary.stop(signal.SIGQUIT)
    done = load.done_count
    standby.promote()
    seconds = first_success(load, done)
    load.wait_done(200)
    load.stop()
    report("failover", weir, load, seconds)
    assert len(load.errors) <= 4 and seconds < 3.0 * SLOWNESS, load.errors
    for wire in idle:
        assert wire.query("SELECT 1") == [["1"]]


def test_an_open_transaction_is_told_and_nobody_else(weir, pair):
    primary, standby = pair
    inside, outside = weir.start(upstream=both(pair), on_outage="hold", pool_size=3).raw(), weir.raw()
    outside.query("SELECT 1")
    inside.query("BEGIN", "INSERT INTO done VALUES (0, 0)")
    primary.stop()
    with suppress(OSError):
        inside.send(query("COMMIT"))
    assert errors(inside.read_until("E"))[0].sqlstate in ("57P01", "08006")
    outside.send(query("SELECT count(*) FROM done"))
    weir.wait_waiting(1)
    standby.promote()
    assert rawwire.texts(outside.read_until("Z")) == [["0"]]


def test_a_switchover_behind_pause(weir, pair):
    """As an operator does it today: PAUSE, stop, promote, RESUME. No error, and nothing need be held."""
    primary, standby = pair
    weir.start(upstream=both(pair), pool_size=8)
    load = Load(weir, 20, insert)
    load.wait_done(200)
    weir.console("PAUSE app")
    primary.stop()
    standby.promote()
    done = load.done_count
    weir.console("RESUME app")
    seconds = first_success(load, done)
    load.wait_done(200)
    load.stop()
    report("switchover behind PAUSE", weir, load, seconds)
    assert not load.errors and seconds < 3.0 * SLOWNESS
    assert standby.value("SELECT count(*) FROM done") == load.done_count


def test_a_primary_that_turns_read_only_is_left(weir, pair):
    """The old primary lives on, read-only, as some managed services do it; the standby is promoted meanwhile."""
    primary, standby = pair
    weir.start(upstream=both(pair), on_outage="hold", pool_size=6)
    load = Load(weir, 12, insert)
    load.wait_done(200)
    primary.query("ALTER SYSTEM SET default_transaction_read_only = on")
    primary.query("SELECT pg_reload_conf()")
    wait_until(lambda: weir.metric("pgweir_pool_outages_total") >= 1)
    weir.wait_waiting(12)           # not all backends learn of it at once: until then some write on
    wait_replayed(primary, standby)
    standby.promote()
    done = load.done_count
    seconds = first_success(load, done)
    load.wait_done(200)
    load.stop()
    report("the primary turned read-only", weir, load, seconds)
    assert not load.errors and seconds < 3.0 * SLOWNESS
    wait_until(lambda: primary.count(usename="web") == 0, what="the old primary to be left")
    assert standby.value("SELECT count(*) FROM done") == load.done_count


def test_a_standby_that_is_promoted_is_left_by_those_who_want_a_standby(weir, pair):
    primary, standby = pair
    wire = weir.start(upstream=both(pair).replace("read-write", "standby"), on_outage="hold", pool_size=2,
                      ping_interval="100ms").raw()
    assert wire.query("SELECT pg_is_in_recovery()") == [["t"]]
    standby.promote()
    wait_until(lambda: standby.count(usename="web") == 0, what="the promoted one to be left")
    assert primary.process is not None


def test_a_host_that_hangs_does_not_keep_pgweir_from_the_other(weir, pair):
    """The old primary's machine is gone: nothing answers. Its turn costs a wait once, not each time."""
    primary, standby = pair
    weir.start(upstream=both(pair), on_outage="hold", pool_size=4, connect_timeout="2s", outage_hold="30s")
    load = Load(weir, 8, insert)
    load.wait_done(100)
    primary.stop(signal.SIGQUIT)
    with silent_doorman(primary.port):
        wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", reason="timeout") >= 1)
        standby.promote()
        done = load.done_count
        seconds = first_success(load, done)
        load.wait_done(100)
        load.stop()
    report("the old primary hangs", weir, load, seconds)
    assert seconds < 1.9 * SLOWNESS
