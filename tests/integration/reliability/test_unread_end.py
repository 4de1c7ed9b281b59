"""A connection ends while nobody reads it, as its other side takes no more: it is noticed, its place is free, and what came
of it goes on. And nothing spins on an end that has been noticed."""

import socket
import struct
import threading

import pytest

import fakeserver
from rawwire import Wire, query
from waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

MANY = 60_000_000
SMALL = 4096                   # a receive buffer that is full soon


def upstream_of(postgres, transport):
    return f"host={postgres.host if transport == 'tcp' else postgres.socket_dir} port={postgres.port}"


def is_stuck(weir):
    return [row["state"] for row in weir.console("SHOW HOLDERS")] == ["waiting for the client"]


def deaf_client(weir, postgres=None):
    """Has asked for more than all buffers hold, and reads nothing; PostgreSQL's process waits for pgweir."""
    wire = weir.raw(receive_buffer=SMALL)
    wire.send(query(f"SELECT repeat('x', {MANY // 60}) FROM generate_series(1, 60)"))
    wait_until(lambda: is_stuck(weir), what="the client not to read")
    if postgres is not None:
        wait_until(lambda: postgres.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'") == 1,
                   what="PostgreSQL to wait for pgweir")
    return wire


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_a_process_that_was_ended_gives_its_place(weir, own_postgres, transport):
    """Over TCP its FIN waits behind bytes that nobody reads: pgweir asks after it, as another client waits."""
    weir.start(upstream=upstream_of(own_postgres, transport), pool_size=1, max_overflow=0, pool_timeout="25s")
    deaf = deaf_client(weir, own_postgres)
    own_postgres.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'")
    if transport == "unix":
        weir.wait_log("whose client has not read its result")
        assert not weir.console("SHOW HOLDERS")
    with weir.raw() as other:
        assert other.query("SELECT 'served'", timeout=20 * SLOWNESS) == [["served"]]
    weir.wait_log("whose client has not read its result")
    assert not weir.console("SHOW HOLDERS")
    got = deaf.wait_closed()
    assert len(got) > 100_000 and got.endswith(b"x"), "what had come is the client's, and nothing is put into its row"


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_an_outage_is_told_although_a_client_does_not_read(weir, own_postgres, transport):
    weir.start(upstream=upstream_of(own_postgres, transport), pool_size=1, max_overflow=0, pool_timeout="25s")
    deaf = deaf_client(weir, own_postgres)
    own_postgres.stop()
    other = weir.raw()
    other.send(query("SELECT 1"))
    wait_until(lambda: weir.metric("pgweir_pool_outages_total") == 1, what="the outage to be noticed")
    reply = weir.raw().ask(query("SELECT 1"), timeout=20 * SLOWNESS)[0]
    assert reply.type == "E" and reply.sqlstate[:2] in ("08", "57"), reply
    own_postgres.start()
    other.read_until("Z")           # who was in line before the outage was noticed is held
    wait_until(lambda: not other.ask(query("SELECT 1"))[0].type == "E", what="service while the client still does not read")
    assert deaf.wait_closed().endswith(b"x")


def test_a_process_that_lives_is_only_asked(weir):
    """The client reads at last: its answer is whole, and the client that waited is next."""
    weir.start(pool_size=1, max_overflow=0, pool_timeout="25s")
    deaf = deaf_client(weir)
    other = weir.raw()
    other.send(query("SELECT 'next'"))
    assert other.has_nothing_more(3.5)
    replies = deaf.read_until("Z")
    assert sum(len(reply.row[0]) for reply in replies if reply.type == "D") == MANY
    assert other.read_until("Z")[1].row == [b"next"]
    assert deaf.query("SELECT 'again'") == [["again"]]


def end(sock, how):
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half":
        sock.shutdown(socket.SHUT_WR)
    else:
        sock.close()


def is_calm(weir):
    begin = weir.cpu_seconds()
    threading.Event().wait(1)
    return weir.cpu_seconds() - begin < 0.3


@pytest.mark.parametrize("how", ["fin", "half", "reset"])
def test_no_end_of_a_server_is_told_again_and_again(weir, fake, how):
    is_over = threading.Event()

    def script(conn):
        conn.login()
        conn.read()
        threading.Thread(target=conn.sock.sendall, args=[
            fakeserver.row_description("v") + b"".join(fakeserver.data_row("x" * 8000) for _ in range(400))]).start()
        is_over.wait(60 * SLOWNESS)
        end(conn.sock, how)
        threading.Event().wait(5 if how == "half" else 0)

    fake.script = script
    weir.start(upstream=f"host=127.0.0.1 port={fake.port}", pool_size=1, max_overflow=0)
    deaf = weir.raw(receive_buffer=SMALL)
    deaf.send(query("SELECT 1"))
    wait_until(lambda: is_stuck(weir), what="the client not to read")
    is_over.set()
    assert is_calm(weir)
    deaf.wait_closed()


@pytest.mark.parametrize("how", ["fin", "half", "reset"])
@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_no_end_of_a_client_is_told_again_and_again(weir, transport, how):
    """It does not read, and is not read; then, in its own time, it ends."""
    path = f"{weir.directory}/.s.PGSQL.1"
    weir.start(sections={"pgweir": {"listen": [f"{weir.host}:{weir.port}", f"unix:{path}"]}}, pool_size=1, max_overflow=0)
    deaf = weir.raw(receive_buffer=SMALL) if transport == "tcp" else Wire(path).login()
    deaf.send(query(f"SELECT repeat('x', {MANY // 60}) FROM generate_series(1, 60)"))
    wait_until(lambda: is_stuck(weir), what="the client not to read")
    end(deaf.sock, how)
    assert is_calm(weir)
    if how != "half":
        assert weir.raw().query("SELECT 'served'") == [["served"]]
