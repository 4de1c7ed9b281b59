"""Large things stream: results, rows and parameters far above every buffer pass in bounded memory."""

import socket
import struct
import threading
import time

import pytest

from rawwire import bind, copy_data, copy_done, cstr, execute, parse, query, shape, sync, texts
from waiting import each, wait_until

MB = 1024 * 1024


class MemoryWatch:
    """The growth of pgweir's resident memory while a block runs."""

    def __init__(self, weir, sanitized, limit):
        self.weir = weir
        self.limit = None if sanitized or weir.direct else limit
        self.peak = 0
        self.stop = threading.Event()

    def __enter__(self):
        self.begin = self.weir.memory_bytes()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self):
        while not self.stop.is_set():
            self.peak = max(self.peak, self.weir.memory_bytes())
            time.sleep(0.02)

    def __exit__(self, kind, *rest):
        self.stop.set()
        self.thread.join()
        if kind is None and self.limit is not None:
            grown = self.peak - self.begin
            assert grown < self.limit, f"grew by {grown / MB:.1f} MB"


def drain(wire):
    """Reads messages to ReadyForQuery without keeping them: (bytes, number of DataRows and CopyData, types seen)."""
    count, rows, kinds = 0, 0, set()
    pending, need = bytearray(), 0            # need: bytes of a body still to be skipped
    sock = wire.sock
    while True:
        data = sock.recv(1 << 18)
        assert data, "closed"
        count += len(data)
        if need >= len(data):
            need -= len(data)
            continue
        pending += data[need:]
        need = 0
        at = 0
        while len(pending) - at >= 5:
            kind, length = chr(pending[at]), struct.unpack_from("!i", pending, at + 1)[0]
            kinds.add(kind)
            rows += kind in "Dd"
            if kind == "Z" and len(pending) - at >= 6:
                return count, rows, kinds
            if len(pending) - at < 1 + length:
                if kind == "Z":
                    break
                need = at + 1 + length - len(pending)
                at = len(pending)
                break
            at += 1 + length
        del pending[:at]


def test_a_result_of_200_mb(weir, sanitized):
    with weir.start(pool_size=1).raw() as wire, MemoryWatch(weir, sanitized, 4 * MB):
        wire.send(query("SELECT repeat('x', 10000) FROM generate_series(1, 20000)"))
        count, rows, kinds = drain(wire)
        assert rows == 20_000 and count > 200_000_000 and "E" not in kinds


def test_a_single_row_of_100_mb(weir, sanitized):
    with weir.start(pool_size=1).raw() as wire, MemoryWatch(weir, sanitized, 4 * MB):
        wire.send(query("SELECT repeat('x', 100000000)"))
        count, rows, _ = drain(wire)
        assert rows == 1 and count > 100_000_000


def test_a_parameter_of_100_mb(weir, sanitized):
    weir.start(pool_size=1)
    size = 100_000_000
    with weir.raw() as wire, MemoryWatch(weir, sanitized, 4 * MB):
        wire.send(parse("", "SELECT length($1), md5($1) = md5(repeat('x', 100000000))"))
        head = cstr("") + cstr("") + struct.pack("!HH", 0, 1) + struct.pack("!i", size)
        wire.send(b"B" + struct.pack("!i", 4 + len(head) + size + 2) + head)
        piece = b"x" * (size // 100)
        for _ in range(100):
            wire.send(piece)
        wire.send(b"\0\0" + execute() + sync())
        assert texts(wire.read_until("Z")) == [[str(size), "t"]]


def test_a_query_text_of_50_mb(weir, sanitized):
    weir.start(pool_size=1)
    size = 50_000_000
    with weir.raw() as wire, MemoryWatch(weir, sanitized, 8 * MB):
        head, tail = b"SELECT length('", b"')\0"
        wire.send(b"Q" + struct.pack("!i", 4 + len(head) + size + len(tail)) + head)
        piece = b"q" * (size // 50)
        for _ in range(50):
            wire.send(piece)
        wire.send(tail)
        assert texts(wire.read_until("Z")) == [[str(size)]]


def test_a_parse_of_30_mb(weir, sanitized):
    with weir.start(pool_size=1).raw() as wire, MemoryWatch(weir, sanitized, 8 * MB):
        assert wire.extended("SELECT length('" + "p" * 30_000_000 + "')") == [["30000000"]]
        assert wire.extended("SELECT 1") == [["1"]]


def test_a_copy_in_of_100_mb(weir, table, sanitized):
    with weir.start(pool_size=1).raw() as wire, MemoryWatch(weir, sanitized, 4 * MB):
        wire.send(query(f"COPY {table} FROM STDIN"))
        wire.read_until("G")
        value = b"c" * 9990
        for start in range(0, 10_000, 100):
            wire.send(b"".join(copy_data(b"%d\t%s\n" % (i, value)) for i in range(start, start + 100)))
        wire.send(copy_done())
        assert shape(wire.read_until("Z")) == "C:COPY 10000 Z:I"


def test_an_error_of_megabytes(weir):
    with weir.start(pool_size=1).raw() as wire:
        replies = wire.ask(query("DO $$ BEGIN RAISE EXCEPTION '%', repeat('e', 5000000) USING DETAIL = "
                                 "repeat('d', 5000000); END $$"))
        assert len(replies[0].error["M"]) == len(replies[0].error["D"]) == 5_000_000
        assert wire.query("SELECT 1") == [["1"]]


def test_a_notice_of_megabytes(weir):
    with weir.start(pool_size=1).raw() as wire:
        replies = wire.ask(query("DO $$ BEGIN RAISE NOTICE '%', repeat('n', 9000000); END $$"))
        assert len(replies[0].error["M"]) == 9_000_000 and shape(replies) == "C:DO Z:I"


def test_large_results_of_many_clients_at_once(weir, sanitized):
    weir.start(pool_size=4)
    wires = [weir.raw() for _ in range(12)]
    failures = []

    def work(wire):
        try:
            wire.send(query("SELECT repeat('x', 10000) FROM generate_series(1, 1000)"))
            assert drain(wire)[1] == 1000
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
    with MemoryWatch(weir, sanitized, 12 * MB):
        threads = [threading.Thread(target=work, args=(wire,)) for wire in wires]
        each(threads).start()
        each(threads).join()
    assert not failures


def test_memory_comes_back(weir, sanitized):
    with weir.start(pool_size=2).raw() as wire:
        wire.query("SELECT 1")
        before = weir.memory_bytes()
        for _ in range(5):
            wire.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 10)"))
            drain(wire)
            wire.extended("SELECT length($1)", ["y" * 5_000_000])
        if not sanitized:
            wait_until(lambda: weir.memory_bytes() - before < 4 * MB)


def test_a_message_of_which_only_the_header_comes(weir, sanitized):
    """A length of a gigabyte allocates nothing."""
    weir.start(pool_size=2, login_timeout="30s")
    with MemoryWatch(weir, sanitized, 4 * MB):
        wires = [weir.raw() for _ in range(10)]
        for number, wire in enumerate(wires):
            wire.send("QPBdCDEF"[number % 8].encode() + struct.pack("!i", 1_000_000_000) + b"x")
        with weir.raw(database="app2") as other:
            assert other.query("SELECT 1") == [["1"]]
        each(wires).close()
    with weir.raw() as wire:
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
def test_a_gigabyte_passes_by_its_header_only_if_postgresql_could_take_it(weir):
    """1 GB is PostgreSQL's own limit; more is refused at once."""
    wire = weir.start(pool_size=1).raw()
    wire.send(b"Q" + struct.pack("!i", 0x40000001))
    reply = wire.read()
    assert (reply.type, reply.sqlstate) == ("E", "08P01")
    wire.wait_closed()
    assert weir.raw().query("SELECT 1") == [["1"]]


def test_messages_that_come_in_small_pieces(weir):
    """Some whole, some in part, whichever way the pieces fall."""
    wire = weir.start(pool_size=1).raw()
    wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one = parse("", "SELECT length($1) /* " + "x" * 3000 + " */") + bind(parameters=["y" * 5000]) + execute() + sync()
    for size in (1, 7, 2999, 4000, 9000):
        stream = one * 3
        for at in range(0, len(stream), size):
            wire.sock.sendall(stream[at:at + size])
            if size > 1 or at % 64 == 0:
                time.sleep(0.0005)
        for _ in range(3):
            replies = wire.read_until("Z")
            assert shape(replies) == "1 2 D C:SELECT 1 Z:I" and texts(replies) == [["5000"]]
