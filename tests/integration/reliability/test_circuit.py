"""A hundred pools of one upstream that is away: one of them tries to connect, the others wait for what comes of that.

Prints how often somebody tried, and how long all took to be back (-s, or the report of a failure).
"""

import time

import pytest

import rawwire
from rawwire import BEGIN_NOW, query
from waiting import SLOWNESS, each, wait_until

from test_outage import doorman, silent_doorman, upstream_of

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

POOLS = 100


def names():
    return [f"d{number}" for number in range(POOLS)]


def start(weir, postgres, **settings):
    weir.start(sections={f"database {name}": {"upstream": upstream_of(postgres, dbname="app")} for name in names()},
               pool_size=1, **settings)
    begin = time.monotonic()
    wires = [weir.raw(database=name) for name in names()]
    for wire in wires:
        assert wire.query("SELECT 1") == [["1"]]
    took = time.monotonic() - begin
    postgres.stop()
    wait_until(lambda: weir.metric("pgweir_server_connections") == 0, what="the loss of all server connections")
    return wires, took


def all_wait(weir):
    wait_until(lambda: sum(int(row["cl_waiting"]) for row in weir.console("SHOW POOLS")) == POOLS,
               what="a client in line in each pool")


@pytest.mark.long
@pytest.mark.parametrize("is_silent", [False, True], ids=["refuses", "silent"])
def test_one_pool_tries_for_all(weir, own_postgres, is_silent):
    wires, took = start(weir, own_postgres, on_outage="hold", outage_hold="60s", connect_timeout="30s")
    wires[0].send(query("SELECT 2"))
    wait_until(lambda: weir.metric("pgweir_pool_outages_total") == 1, what="the first to find out")
    came = time.monotonic()
    with (silent_doorman if is_silent else doorman)(own_postgres.port) as instead:
        each(wires[1:]).send(query("SELECT 2"))
        all_wait(weir)
        begin, before = time.monotonic(), len(instead.connections)
        wait_until(lambda: len(instead.connections) >= before + 5)
        seen, seconds = len(instead.connections) - before, time.monotonic() - begin
    print(f"{POOLS} pools: {before} attempts until all were in line, then {seen} in {seconds:.2f} s")
    assert before < 25 + 8 * (begin - came)
    assert seen / seconds < (4 if is_silent else 8)
    own_postgres.start()
    begin = time.monotonic()
    for wire in wires:
        assert rawwire.texts(wire.read_until("Z")) == [["2"]]
    print(f"all were back after {time.monotonic() - begin:.2f} s, at first it took {took:.2f} s")
    assert time.monotonic() - begin < 5 * SLOWNESS + 2 * took


def test_who_does_not_wait_is_told_the_same_reason(weir, own_postgres):
    wires, took = start(weir, own_postgres, on_outage="fail")
    begin = time.monotonic()
    with doorman(own_postgres.port, text="recovering, says the doorman") as instead:
        with pytest.raises(rawwire.WireError):
            wires[0].query("SELECT 2")
        each(wires[1:]).send(query("SELECT 2"))
        for wire in wires[1:]:
            error, = rawwire.errors(wire.read_until("Z"))
            assert error.sqlstate == "57P03" and "says the doorman" in error.error["M"]
        print(f"{POOLS} clients were refused after {len(instead.connections)} attempts")
        assert len(instead.connections) < 25 + 8 * (time.monotonic() - begin)
    own_postgres.start()
    begin = time.monotonic()
    while wires:
        each(wires).send(query("SELECT 3"))
        wires = [wire for wire in wires if rawwire.errors(wire.read_until("Z"))]
    print(f"all were back after {time.monotonic() - begin:.2f} s, at first it took {took:.2f} s")
    assert time.monotonic() - begin < 5 * SLOWNESS + 2 * took


STARTUP = b"\0\3\0\0user"             # the head of a login: with it as tap.unanswered, new connections get no reply


def test_a_login_that_hung_refuses_nobody_when_the_last_connection_goes(weir, tap):
    """One pool keeps a connection lent while another login of it hangs, and a login of another pool succeeds: the host is
    well. Before, the first pool began an outage when its last connection went, and refused the next client at once."""
    upstream = f"host=127.0.0.1 port={tap.port} sslmode=disable dbname=app"
    weir.start(sections={"database d0": {"upstream": upstream}, "database d1": {"upstream": upstream}},
               pool_size=2, connect_timeout="2s", idle_timeout="500ms")
    holder, late = weir.raw(database="d0"), weir.raw(database="d0")
    holder.query(BEGIN_NOW)
    weir.settle()
    wait_until(lambda: int(weir.pool("d0")["sv_idle"]) == 0, what="the end of what was asked about the database's code")
    tap.unanswered, before = STARTUP, tap.to_server.count(STARTUP)
    late.send(query("SELECT 2"))
    wait_until(lambda: tap.to_server.count(STARTUP) > before, what="a login that hangs")
    tap.unanswered = b"what is never sent"      # that one still gets no reply
    weir.raw(database="d1").query(BEGIN_NOW)
    holder.query("COMMIT")
    assert rawwire.texts(late.read_until("Z")) == [["2"]]
    late.query(BEGIN_NOW)
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", reason="timeout") == 1)
    late.query("COMMIT")
    wait_until(lambda: int(weir.pool("d0")["sv_idle"]) + int(weir.pool("d0")["sv_active"]) == 0,
               what="the end of the first pool's connections")
    assert late.query("SELECT 3") == [["3"]]
    assert "outage" not in weir.log()
