"""Slow peers: a reader that does not read, a server that does not read; memory stays, others work on."""

import threading
import time

import pytest

from rawwire import copy_data, one_statement, query, sync, texts
from test_large import MB, MemoryWatch, drain
from waiting import SLOWNESS, each, wait_until
from weir import timed

BIG = "SELECT repeat('x', 10000) FROM generate_series(1, 10000)"      # 100 MB


def blocked_writers(weir):
    return len(weir.postgres.backends(wait_event="ClientWrite"))


def test_a_client_that_does_not_read_stops_its_server_and_grows_nothing(weir, sanitized):
    with weir.start(pool_size=2).raw(receive_buffer=65_536) as slow, weir.raw() as other:
        with MemoryWatch(weir, sanitized, 4 * MB):
            slow.send(query(BIG))
            wait_until(lambda: blocked_writers(weir) == 1, what="the server to be stopped by back-pressure")
            begin = time.monotonic()
            while time.monotonic() - begin < 0.5:
                answer, seconds = timed(other.query, "SELECT 1")
                assert answer == [["1"]] and seconds < 5 * SLOWNESS
            assert blocked_writers(weir) == 1
            count, rows, _ = drain(slow)
        assert rows == 10_000 and count > 100_000_000
        assert slow.query("SELECT 'after'") == [["after"]]


def test_many_clients_that_do_not_read(weir, sanitized):
    weir.start(pool_size=20)
    slow = [weir.raw(receive_buffer=65_536) for _ in range(20)]
    with MemoryWatch(weir, sanitized, 20 * MB):
        each(slow).send(query(BIG))
        wait_until(lambda: blocked_writers(weir) == 20)
    each(slow).close()
    with weir.raw() as wire:
        assert wire.query("SELECT 1") == [["1"]]
    wait_until(lambda: blocked_writers(weir) == 0)


def test_a_client_that_does_not_read_and_leaves(weir):
    weir.start(pool_size=1)
    for how in ("close", "reset", "leave"):
        wire = weir.raw(receive_buffer=65_536)
        wire.send(query(BIG))
        wait_until(lambda: blocked_writers(weir) == 1)
        getattr(wire, how)()
        with weir.raw() as other:
            assert other.query("SELECT 1") == [["1"]]
        wait_until(lambda: blocked_writers(weir) == 0)


@pytest.mark.weir_only
def test_a_server_that_does_not_read_stops_its_client_and_grows_nothing(weir, fake, sanitized):
    hold = threading.Event()

    def answer(conn, kind, body):
        if kind == "Q" and b"COPY" in body:
            conn.send(b"G\0\0\0\7\0\0\0")
            hold.wait(30)
            return True
        return False
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=2)
    with weir.raw() as wire, weir.raw() as other, MemoryWatch(weir, sanitized, 4 * MB):
        wire.query("SELECT 1")
        other.query("SELECT 1")
        wire.send(query("COPY x FROM STDIN"))
        wire.read_until("G")
        wire.sock.settimeout(1.0)
        data, sent = copy_data(b"d" * 100_000), 0
        with pytest.raises(TimeoutError):
            while sent < 300 * MB:
                wire.sock.sendall(data)
                sent += len(data)
        assert sent < 100 * MB, "the client was never stopped"
        answer_, seconds = timed(other.query, "SELECT 1")
        assert answer_ == [["fake"]] and seconds < 10 * SLOWNESS
        hold.set()


def test_both_directions_are_full(weir):
    """A client that writes large parameters and reads large results at once, by several clients."""
    weir.start(pool_size=3)
    failures = []

    def work():
        try:
            with weir.raw() as wire:
                data = b"".join(one_statement("SELECT $1::text || $1::text", ["z" * 200_000]) + sync()
                                for _ in range(50))
                sender = threading.Thread(target=wire.send, args=(data,))
                sender.start()
                replies = wire.read_until("Z", 50)
                sender.join()
                assert {len(row[0]) for row in texts(replies)} == {400_000}
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
    threads = [threading.Thread(target=work) for _ in range(6)]
    each(threads).start()
    each(threads).join()
    assert not failures


def test_a_stream_does_not_starve_small_queries(weir, sanitized):
    weir.start(pool_size=4)
    stop = threading.Event()

    def stream():
        with weir.raw() as wire:
            while not stop.is_set():
                wire.send(query(BIG))
                drain(wire)
    streams = [weir.in_background(stream) for _ in range(2)]
    try:
        with weir.raw() as wire:
            took = sorted(timed(wire.query, "SELECT 1")[1] for _ in range(60))
        assert took[len(took) // 2] < (0.5 if sanitized else 0.15), took
    finally:
        stop.set()
        each(streams).result()


def test_a_client_that_reads_one_byte_at_a_time(weir):
    with weir.start(pool_size=1).raw(receive_buffer=4096) as wire:
        wire.send(query("SELECT repeat('b', 50000), 'end'"))
        got = bytearray()
        while b"end" not in got or not got.endswith(b"Z\0\0\0\5I"):
            got += wire.sock.recv(7)
        assert got.count(b"b") >= 50_000
        assert wire.query("SELECT 1") == [["1"]]
