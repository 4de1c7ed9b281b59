"""Each type of message with each kind of wrong length: before the login and after it, in one piece and byte by byte.

Whoever sends such a thing loses its connection at most, and is told why; a client beside it and the next one notice nothing.
"""

import socket
import struct
from contextlib import suppress

import pytest

import rawwire
from rawwire import query, shape, ssl_request, sync

TYPES = "QPBDECSHFXdcfp"
WRONG = [0, 3, -1, -0x80000000, 0x7fffffff]
EMPTY = 4
WAYS = [0, 1]                                                        # bytes at a time; 0: all
SECONDS = 10


def head(kind, length):
    return kind.encode() + struct.pack("!i", length)


def send(wire, data, piece):
    """The peer may close before it has read all."""
    with suppress(ConnectionError):
        if piece:
            wire.send_slowly(data, piece, pause=0.0005)
        else:
            wire.send(data)


def send_no_more(wire):
    with suppress(OSError):                               # it is closed
        wire.sock.shutdown(socket.SHUT_WR)


def until_ready_or_closed(wire):
    replies = []
    with suppress(rawwire.WireClosed):
        while not replies or replies[-1].type != "Z":
            replies.append(wire.read(SECONDS))
    return replies


@pytest.fixture(params=["idle", "in a transaction"])
def bystander(weir, request):
    """A client that was there before; its check says whether all is as it was, and that a newcomer is served."""
    with weir.start(pool_size=3, login_timeout="60s").raw() as wire:
        wire.query("SET work_mem = 4321")
        if request.param != "idle":
            wire.query("BEGIN")

        def check():
            assert wire.query("SHOW work_mem") == [["4321kB"]]
            with weir.raw() as next_:
                assert next_.query("SHOW work_mem") == [["4MB"]]
        yield check
        check()


def told_once(replies, what):
    """A FATAL with words, and no more. PostgreSQL itself closes without one where it has lost its place."""
    assert shape(replies) == "E:08P01", (what, shape(replies))
    assert replies[0].severity == "FATAL" and len(replies[0].error["M"]) > 15, (what, replies[0].error)


@pytest.mark.parametrize("piece", WAYS)
@pytest.mark.parametrize("begun", ["SELECT 1", "BEGIN"])
def test_a_length_that_cannot_be(weir, bystander, begun, piece):
    for kind in TYPES:
        for length in WRONG:
            with weir.raw() as wire:
                wire.query(begun)
                send(wire, head(kind, length) + b"rest", piece)
                replies = wire.read_to_end(SECONDS)
                if not weir.direct:
                    told_once(replies, (kind, length))
        bystander()


@pytest.mark.parametrize("piece", WAYS)
def test_a_message_without_a_body(weir, bystander, piece):
    """Right for Sync, Flush and Terminate, and outside of COPY nothing to complain about for its messages."""
    for kind in TYPES:
        with weir.raw() as wire:
            send(wire, head(kind, EMPTY) + sync(), piece)
            replies = until_ready_or_closed(wire)
            wanted = [] if kind in "SHXdcf" else ["08P01"]
            assert [error.sqlstate for error in rawwire.errors(replies)] == wanted, (kind, shape(replies))
            assert replies or kind == "X", kind
        bystander()


@pytest.mark.parametrize("piece", WAYS)
@pytest.mark.parametrize("sent", [0, 1, 6])
def test_a_message_that_ends_in_the_middle(weir, bystander, sent, piece):
    for kind in TYPES:
        for length in (20, 70_000):
            for cut in (1, 4, 5):
                with weir.raw() as wire:
                    send(wire, (head(kind, length) + b"\0" * sent)[:cut + sent], piece)
                    send_no_more(wire)
                    wire.read_to_end(SECONDS)
        bystander()


@pytest.mark.own_transport
@pytest.mark.parametrize("piece", WAYS)
def test_a_first_packet_with_a_wrong_length(weir, bystander, piece):
    body = struct.pack("!i", 3 << 16) + b"user\0web\0database\0app\0\0"
    for begun in (b"", ssl_request()):
        for length in [*WRONG, EMPTY, 7, 9, len(body) + 3, 10_001]:
            with weir.wire() as wire:
                if begun:
                    wire.send(begun)
                    assert wire.read_bytes(1) == b"N"
                send(wire, struct.pack("!i", length) + body, piece)
                if weir.direct:
                    send_no_more(wire)                               # PostgreSQL waits a minute for the rest
                replies = wire.read_to_end(SECONDS)
                assert shape(replies)[:1] in ("", "E"), (length, shape(replies))
    bystander()


@pytest.mark.weir_only
@pytest.mark.parametrize("piece", WAYS)
@pytest.mark.parametrize("method", ["md5", "scram-sha-256", "password"])
def test_a_length_that_cannot_be_while_a_password_is_due(weir, method, piece):
    weir.start(method=method, pool_size=2, login_timeout="60s")
    for kind in TYPES:
        for length in [*WRONG, EMPTY, 100_000]:
            with weir.wire() as wire:
                wire.send(rawwire.startup())
                assert wire.read().type == "R"
                send(wire, head(kind, length) + b"rest", piece)
                replies = wire.read_to_end(SECONDS)
                assert [reply.type for reply in replies] in ([], ["E"]), (kind, length, shape(replies))
                for reply in replies:
                    assert reply.severity == "FATAL" and reply.sqlstate in ("08P01", "28P01", "28000"), (kind, length, reply.error)
        with weir.raw() as next_:
            assert next_.query("SELECT 1") == [["1"]]


@pytest.mark.parametrize("piece", WAYS)
@pytest.mark.parametrize("kind", "dcf")
def test_a_wrong_length_while_copying(weir, bystander, kind, piece, table):
    weir.postgres.query(f"TRUNCATE {table}")
    for length in WRONG:
        with weir.raw() as wire:
            wire.send(query(f"COPY {table} FROM STDIN"))
            wire.read_until("G")
            wire.send(rawwire.copy_data(b"1\tone\n"))
            send(wire, head(kind, length) + b"2\ttwo\n", piece)
            replies = wire.read_to_end(SECONDS)
            if not weir.direct:
                told_once(replies, (kind, length))
        bystander()
    assert weir.postgres.value(f"SELECT count(*) FROM {table}") == 0
