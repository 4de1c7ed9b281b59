"""Clients that listen to thousands of channels: they must not be in everybody's way.

pgweir sends LISTEN and UNLISTEN to the listener's connection in batches, one under way at a time, to which clients
contribute in turn, and what it does at the end of a client's transaction does not grow with the channels that the
client has already."""

import re
import time

import pytest

import rawwire
from rawwire import query
from waiting import SLOWNESS, each, wait_until

pytestmark = pytest.mark.weir_only


def listen(wire, names, at_once=8):
    """In texts of some LISTENs each, twenty texts on their way at a time."""
    texts = [text_of(names[i:i + at_once]) for i in range(0, len(names), at_once)]
    for i in range(0, len(texts), 20):
        some = texts[i:i + 20]
        wire.send(b"".join(query(text) for text in some))
        for _ in some:
            assert not rawwire.errors(wire.read_until("Z"))


def names(of, count):
    return [f"c{of}_{i}" for i in range(count)]


def text_of(names):
    return "; ".join(f"LISTEN {name}" for name in names)


def listened(tap, begin):
    """The channels that the listener's connection has asked PostgreSQL for, in order, from that byte on."""
    return [name.decode() for name in re.findall(rb'(?<!UN)LISTEN "(\w+)"', tap.to_server[begin:])]


def batches(tap, begin):
    """Queries of LISTENs or UNLISTENs that PostgreSQL got, from that byte on."""
    return len(re.findall(rb"Q\0.{3}(?:UN)?LISTEN ", tap.to_server[begin:], re.DOTALL))


def notified(sender, listener, count):
    """The longest time of that many notifications, one after the other."""
    longest = 0
    for i in range(count):
        begin = time.monotonic()
        sender.query(f"NOTIFY neighbour, '{i}'")
        while listener.read().type != "A":
            pass
        longest = max(longest, time.monotonic() - begin)
    return longest


def test_a_channel_costs_the_same_however_many_there_are(weir, sanitized):
    wire = weir.start(pool_size=2).raw()
    spent = []
    for part in range(4):
        before = weir.cpu_seconds()
        listen(wire, names(part, 2400), at_once=1)
        spent.append(weir.cpu_seconds() - before)
    assert sanitized or spent[3] < 2 * spent[0] + 0.1, spent


def test_neighbours_are_notified_meanwhile(weir):
    listener, sender = weir.start(pool_size=4, pool_timeout="60s").raw(), weir.raw()
    listener.query("LISTEN neighbour")
    began = time.monotonic()
    crowd = [weir.in_background(listen, weir.raw(), names(i, 1000)) for i in range(20)]
    longest, rounds = 0, 0
    while rounds < 3 or not all(one.done() for one in crowd):
        longest = max(longest, notified(sender, listener, 5))
        rounds += 1
    each(crowd).result()
    assert longest < max(1, (time.monotonic() - began) / 4)


@pytest.mark.own_transport
def test_a_new_connection_listens_again_in_batches(weir, tap):
    wire, sender = weir.start(upstream=weir.upstream(port=tap.port), pool_size=2).raw(), weir.raw()
    listen(wire, names(0, 9000) + ["neighbour"])
    server = next(row for row in weir.console("SHOW SERVERS") if row["state"] == "listen")
    before = len(tap.to_server)
    weir.postgres.query(f"SELECT pg_terminate_backend({server['remote_pid']})")
    replies = wire.read_until("N")                       # "there may be a gap"
    assert replies[-1].severity == "WARNING"
    assert notified(sender, wire, 5) < 1 * SLOWNESS
    assert 9000 / 32 < batches(tap, before) < 5000                   # not one for each channel


@pytest.mark.own_transport
def test_clients_take_turns(weir, tap):
    weir.start(upstream=weir.upstream(port=tap.port), pool_size=4, max_overflow=0, pool_timeout="60s")
    neighbour, first, crowd = weir.raw(), weir.raw(), [weir.raw() for _ in range(5)]
    listen(neighbour, names("own", 100))
    tap.unanswered = b'LISTEN "first"'                   # what comes meanwhile must wait
    first.send(query("LISTEN first"))
    wait_until(lambda: tap.unanswered in tap.to_server)
    for i, wire in enumerate(crowd):
        wire.send(query(text_of(names(i, 200))))
    wait_until(lambda: weir.metric("pgweir_pool_listen_channels") == 101 + 1000, what="the crowd's to be due")
    before = len(tap.to_server)
    neighbour.send(query("LISTEN neighbour"))
    wait_until(lambda: weir.metric("pgweir_pool_listen_channels") == 102 + 1000, what="the neighbour's to be due")
    tap.unanswered = None
    for wire in [neighbour, first, *crowd]:
        assert not rawwire.errors(wire.read_until("Z"))
    asked = listened(tap, before)
    assert asked.index("neighbour") < 32 < len(asked) and len(set(asked)) == len(asked)


@pytest.mark.own_transport
def test_what_waits_is_asked_for_once(weir, tap):
    """The end of one text drops what its client does not listen to, but not what the next one waits for."""
    weir.start(upstream=weir.upstream(port=tap.port), pool_size=2)
    listen(weir.raw(), names(0, 2000), at_once=200)
    assert sorted(listened(tap, 0)) == sorted(names(0, 2000))


@pytest.mark.own_transport
def test_a_new_connection_listens_for_all_in_turn(weir, tap):
    """With 100,000 channels PostgreSQL takes many seconds for all of them."""
    wire, neighbour = weir.start(upstream=weir.upstream(port=tap.port), pool_size=2).raw(), weir.raw()
    listen(wire, names(0, 640))
    neighbour.query("LISTEN neighbour")
    server = next(row for row in weir.console("SHOW SERVERS") if row["state"] == "listen")
    before = len(tap.to_server)
    weir.postgres.query(f"SELECT pg_terminate_backend({server['remote_pid']})")
    wait_until(lambda: batches(tap, before) > 640 / 32)
    assert "neighbour" in listened(tap, before)[:32]


@pytest.mark.own_transport
def test_channels_are_left_in_batches(weir, tap):
    listener, sender = weir.start(upstream=weir.upstream(port=tap.port), pool_size=2).raw(), weir.raw()
    listener.query("LISTEN neighbour")
    wire = weir.raw()
    listen(wire, names(0, 9000))
    before = len(tap.to_server)
    began, longest = time.monotonic(), 0
    wire.close()

    def are_gone():
        nonlocal longest
        longest = max(longest, notified(sender, listener, 1))
        return weir.metric("pgweir_pool_listen_channels") == 1
    wait_until(are_gone, what="its channels to be left")
    assert longest < max(1, (time.monotonic() - began) / 4) and 9000 / 32 < batches(tap, before) < 5000
