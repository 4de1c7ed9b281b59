"""Cancel requests: each hits its own client's running query, and nothing else, ever."""

import contextlib
import signal
import socket
import struct
import threading
import time

import psycopg
import psycopg2
import pytest

import rawwire
from rawwire import (BEGIN_NOW, bind, describe, errors, execute, one_statement, parse, prepared_statement, query, send_cancel, shape,
                     sync, texts)
from waiting import PATIENCE, SLOWNESS, each, wait_until
from weir import timed

SLEEP = "SELECT pg_sleep(60)"


@pytest.fixture
def stopped(weir):
    """The postmaster alone stops and goes on: connections are not accepted meanwhile, backends work."""
    yield lambda is_stopped: weir.postgres.process.send_signal(signal.SIGSTOP if is_stopped else signal.SIGCONT)
    weir.postgres.process.send_signal(signal.SIGCONT)


def sleeping(weir, count=1):
    wait_until(lambda: len([row for row in weir.postgres.backends(wait_event="PgSleep")
                            if row["state"] == "active"]) == count, what=f"{count} sleeping queries")


@pytest.mark.parametrize("message", [query(SLEEP), one_statement(SLEEP) + sync(), query("SELECT 1; " + SLEEP)],
                         ids=["simple", "extended", "second of two"])
def test_a_cancel_ends_the_running_query(weir, message):
    with weir.start(pool_size=1).raw() as wire:
        wire.send(message)
        sleeping(weir)
        assert send_cancel(weir.address, wire.key) == b""            # closed without a byte
        replies = wire.read_until("Z")
        assert errors(replies)[0].sqlstate == "57014" and replies[-1].status == "I"
        assert wire.query("SELECT 1") == [["1"]]


def test_in_a_transaction_it_fails_the_transaction(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.query("BEGIN")
        wire.send(query(SLEEP))
        sleeping(weir)
        send_cancel(weir.address, wire.key)
        assert shape(wire.read_until("Z")).endswith("E:57014 Z:E")
        assert wire.query("ROLLBACK", "SELECT 1") == [["1"]]


def test_only_the_clients_own_query_is_hit(weir):
    weir.start(pool_size=3)
    wires = [weir.raw() for _ in range(3)]
    each(wires).send(query("SELECT pg_sleep(4), 'slept'"))
    sleeping(weir, 3)
    send_cancel(weir.address, wires[1].key)
    assert errors(wires[1].read_until("Z"))[0].sqlstate == "57014"
    for wire in (wires[0], wires[2]):
        assert texts(wire.read_until("Z")) == [["", "slept"]]


def test_a_cancel_of_an_idle_client_is_harmless(weir):
    with weir.start(pool_size=1).raw() as idle, weir.raw() as other:
        idle.query("SELECT 1")
        other.send(query("SELECT pg_sleep(2), 'slept'"))
        sleeping(weir)
        for _ in range(5):
            assert send_cancel(weir.address, idle.key) == b""
        assert texts(other.read_until("Z")) == [["", "slept"]]
        assert idle.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
def test_a_cancel_of_a_waiting_client_never_hits_the_one_it_waits_for(weir):
    with weir.start(pool_size=1).raw() as running, weir.raw() as waiting:
        running.send(query("SELECT pg_sleep(0.7), 'slept'"))
        sleeping(weir)
        waiting.send(query("SELECT 'waited'"))
        weir.wait_waiting(1)
        assert send_cancel(weir.address, waiting.key) == b""
        assert texts(running.read_until("Z")) == [["", "slept"]]
        replies = waiting.read_until("Z")
        assert texts(replies) == [["waited"]] or errors(replies)[0].sqlstate == "57014"
        assert waiting.query("SELECT 'next'") == [["next"]]


def test_a_late_cancel_never_hits_the_next_client(weir):
    """The first client's query is over; its server runs another's. A hundred times, as fast as can be."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        for turn in range(100):
            one.query("SELECT 1")
            two.send(query(f"SELECT {turn}, pg_sleep(0.005)"))
            send_cancel(weir.address, one.key)
            replies = two.read_until("Z")
            assert texts(replies) == [[str(turn), ""]], shape(replies)


def test_cancels_that_race_with_the_end_of_the_query(weir):
    """The client's own query may be hit or not; the next client's, on the same server, never."""
    weir.start(pool_size=1)
    hit = 0
    with weir.raw() as one, weir.raw() as two:
        for turn in range(60):
            one.send(query("SELECT pg_sleep(0.003)"))
            canceller = threading.Thread(target=send_cancel, args=(weir.address, one.key))
            canceller.start()
            two.send(query(f"SELECT {turn}, pg_sleep(0.003)"))
            replies = one.read_until("Z")
            hit += bool(errors(replies))
            assert all(reply.sqlstate == "57014" for reply in errors(replies))
            replies = two.read_until("Z")
            assert texts(replies) == [[str(turn), ""]], shape(replies)
            canceller.join()
            one.ask(query(""))
    assert 0 <= hit <= 60


@pytest.mark.parametrize("bend", [
    lambda key: key[:4] + bytes(4),
    lambda key: key[:4] + key[4:7] + bytes([key[7] ^ 1]),
    lambda key: struct.pack("!i", struct.unpack("!i", key[:4])[0] ^ 1) + key[4:],
    lambda key: b"\xff" * 8,
    lambda key: bytes(8),
    *(pytest.param(lambda key, length=length: key[:4] + (key[4:] * 100)[:length], marks=pytest.mark.weir_only)
      for length in (3, 5, 100, 256, 257)),
], ids=["no secret", "one bit", "another pid", "ones", "zeros", "3 bytes", "5 bytes", "100 bytes", "256 bytes", "257 bytes"])
def test_a_wrong_key_is_closed_without_an_answer_and_cancels_nothing(weir, bend):
    """But for a packet that is too long, which is an error."""
    with weir.start(pool_size=1).raw() as wire:
        wire.send(query("SELECT pg_sleep(1), 'slept'"))
        sleeping(weir)
        key = bend(wire.key)
        assert send_cancel(weir.address, key)[:1] in ((b"",) if len(key) == 8 else (b"", b"E"))
        assert texts(wire.read_until("Z")) == [["", "slept"]]


def test_bytes_behind_a_cancel_request_are_ignored(weir):
    """Go's driver sends some."""
    with weir.start(pool_size=1).raw() as wire:
        wire.send(query(SLEEP))
        sleeping(weir)
        send_cancel(weir.address, wire.key, tail=b"X\0\0\0\4")
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


@pytest.mark.own_transport
def test_cancel_after_an_ssl_request(weir):
    """libpq from version 17 on asks for encryption first."""
    from rawwire import Wire, cancel_request, ssl_request
    with weir.start(pool_size=1).raw() as wire:
        wire.send(query(SLEEP))
        sleeping(weir)
        with Wire(weir.address) as canceller:
            canceller.send(ssl_request())
            assert canceller.read_bytes(1) == b"N"
            canceller.send(cancel_request(wire.key))
            assert canceller.wait_closed() == b""
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


def test_every_client_of_a_full_pool_can_be_cancelled(weir):
    """Cancels need no free server and are not counted against the pool."""
    weir.start(pool_size=5)
    wires = [weir.raw() for _ in range(5)]
    each(wires).send(query(SLEEP))
    sleeping(weir, 5)
    for wire in wires:
        send_cancel(weir.address, wire.key)
    for wire in wires:
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


@pytest.mark.weir_only
def test_a_cancel_passes_when_no_more_clients_may_come_in(weir):
    wire = weir.start(pool_size=1, max_client_connections=1).raw()
    wire.send(query(SLEEP))
    sleeping(weir)
    send_cancel(weir.address, wire.key)
    assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


@pytest.mark.weir_only
def test_a_storm_of_cancels_leaves_the_pool_as_it_was(weir):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        one.send(query(SLEEP))
        sleeping(weir)
        threads = [threading.Thread(target=send_cancel, args=(weir.address, one.key)) for _ in range(50)]
        each(threads).start()
        assert errors(one.read_until("Z"))[0].sqlstate == "57014"
        for _ in range(20):
            assert two.query("SELECT pg_sleep(0.001), 'two'") == [["", "two"]]
        each(threads).join()
        wait_until(lambda: weir.pool()["sv_active"] == 0 and weir.pool()["cl_active_cancel_req"] == 0)
        wait_until(lambda: weir.postgres.count() <= 2, what="the cancels' backends to end")


def test_a_cancelled_pipeline_goes_on_after_its_sync(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.send(one_statement("SELECT 1") + one_statement(SLEEP) + one_statement("SELECT 2") + sync() +
                  query("SELECT 3"))
        sleeping(weir)
        send_cancel(weir.address, wire.key)
        replies = wire.read_until("Z", 2)
        assert errors(replies)[0].sqlstate == "57014" and texts(replies) == [["1"], ["3"]]


def test_psycopg2_and_psycopg_cancel(weir):
    weir.start(pool_size=2)
    for connect in (weir.connect2, weir.connect):
        connection = connect(autocommit=True)
        threading.Thread(target=lambda: (sleeping(weir), connection.cancel())).start()
        told = psycopg2.errors.QueryCanceled if connect == weir.connect2 else psycopg.errors.QueryCanceled
        _, seconds = timed(lambda: pytest.raises(told, connection.cursor().execute, SLEEP))  # pylint: disable=cell-var-from-loop
        assert seconds < 8 * SLOWNESS
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def answer_when_cancelled(fake):
    def answer(conn, kind, body):
        if kind != "Q" or b"SELECT long" not in body:
            return False
        wait_until(lambda: fake.cancels)
        conn.answer_query("SELECT 1")
        return True
    fake.answer = answer


@pytest.mark.weir_only
def test_the_server_is_held_back_until_the_cancel_has_been_delivered(weir, fake):
    """The cancel's connection is slow to be closed by PostgreSQL: meanwhile its target goes to nobody else."""
    slow = threading.Event()
    answer_when_cancelled(fake)

    def script(conn):
        try:
            conn.login()
        except Exception:
            if slow.is_set():
                time.sleep(0.7)
            raise
        conn.serve()

    fake.script = script
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as one, weir.raw() as two:
        one.query("SELECT 1")
        slow.set()
        one.send(query("SELECT long"))
        weir.wait_until(lambda: weir.pool()["sv_active"] == 1)
        canceller = threading.Thread(target=send_cancel, args=(weir.address, one.key))
        canceller.start()
        one.read_until("Z")
        begin = time.monotonic()
        assert two.query("SELECT 2") == [["fake"]]
        waited = time.monotonic() - begin
        canceller.join()
        assert fake.cancels and fake.cancels[0][4:] == fake.connections[0].secret
        # Either the server was held back until the cancel's end, or another one was opened for the second client.
        assert waited > 0.3 or len(fake.logins()) > 1


@pytest.mark.weir_only
def test_a_cancel_is_forwarded_with_the_servers_key_not_the_clients(weir, fake):
    answer_when_cancelled(fake)
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as wire:
        wire.send(query("SELECT long"))
        weir.wait_until(lambda: weir.pool()["sv_active"] == 1)
        send_cancel(weir.address, wire.key)
        wire.read_until("Z")
        target = [conn for conn in fake.logins() if any(b"SELECT long" in body for _, body in conn.messages)][0]
        assert fake.cancels == [struct.pack("!i", 4000 + target.number) + target.secret]
        assert wire.key != fake.cancels[0]
    weir.wait_until(lambda: weir.metric("pgweir_cancel_requests_total", result="sent") == 1)


@pytest.mark.weir_only
def test_a_cancel_waits_until_what_pgweir_sent_ahead_is_done(weir, fake):
    """The client's settings go ahead of its query on a server that has others; the cancel is for what is behind."""
    from fakeserver import error, ready

    def answer(conn, kind, body):
        if not armed.is_set():
            return False
        if kind == "B" and b"the name" in body:
            asked.wait(PATIENCE)                                          # the cancel is on its way
            assert not fake.cancels
        if kind == "Q" and b"SELECT 2" in body:
            wait_until(lambda: fake.cancels)
            conn.send(error("57014", "canceling statement due to user request"), ready())
            return True
        return False
    armed, asked = threading.Event(), threading.Event()
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=1)
    with weir.raw(parameters={"application_name": "the name"}) as wire, weir.raw() as other:
        wire.query("SELECT 1")
        other.query("SELECT 1")
        armed.set()
        wire.send(query("SELECT 2"))
        wait_until(lambda: weir.pool()["sv_active"] == 1)
        cancel = weir.in_background(send_cancel, weir.address, wire.key)
        wait_until(lambda: weir.metric("pgweir_client_connections", state="cancel") == 1)
        asked.set()
        cancel.result()
        replies = wire.read_until("Z")
        assert errors(replies)[0].sqlstate == "57014" and replies[-1].status == "I"
        assert wire.query("SELECT 3") == [["fake"]]
        assert other.query("SELECT 4") == [["fake"]]


@pytest.mark.weir_only
def test_a_cancel_right_behind_its_query_finds_it(busy):
    """On a busy pooler the new connection may be seen before the query that was sent earlier. (What PostgreSQL does with a
    signal that comes before its backend has read the query is another matter: it ignores it.)"""
    for _ in range(150):
        with busy.raw() as wire:
            wire.send(query("SELECT pg_sleep(1)"))
            send_cancel(busy.address, wire.key)
            wire.read_until("Z")
    busy.wait_until(lambda: busy.metric("pgweir_cancel_requests_total", result="sent") == 150)
    assert busy.metric("pgweir_cancel_requests_total", result="no_query") == 0


@pytest.mark.long
@pytest.mark.weir_only
def test_a_cancel_that_was_given_up_costs_its_server(weir, stopped):
    """PostgreSQL carries it out later, when somebody else's query could run there."""
    with weir.start(pool_size=1, connect_timeout="30s").raw() as one, weir.raw() as two:
        one.send(query("SELECT pg_sleep(1.5)"))
        sleeping(weir)
        stopped(True)
        begin = time.monotonic()
        cancel = weir.in_background(send_cancel, weir.address, one.key)
        one.read_until("Z")
        two.send(query("SELECT pg_sleep(4), 'slept'"))
        cancel.result()
        waited = time.monotonic() - begin
        assert two.has_nothing_more(1)
        stopped(False)
        assert texts(two.read_until("Z")) == [["", "slept"]]
        assert waited > 5                                              # or there was nothing to give up


@pytest.mark.weir_only
def test_cancels_of_one_query_need_one_connection(weir, stopped):
    with weir.start(pool_size=2).raw() as one:
        one.send(query(SLEEP))
        sleeping(weir)
        stopped(True)
        before = weir.fd_count()
        cancels = [weir.in_background(send_cancel, weir.address, one.key) for _ in range(60)]
        weir.wait_until(lambda: sum(cancel.done() for cancel in cancels) >= 50)
        wait_until(lambda: weir.fd_count() - before < 20, what="the cancels that were done to be closed")
        stopped(False)
        assert errors(one.read_until("Z"))[0].sqlstate == "57014"
        each(cancels).result()
        assert one.query("SELECT pg_sleep(0.3), 'next'") == [["", "next"]]


class SlowCancels:
    """A fake server whose cancels take until they are let through."""

    def __init__(self, fake):
        self.pass_on, self.answer_now = threading.Event(), threading.Event()
        fake.script, fake.answer = self.script, self.answer

    def script(self, conn):
        try:
            conn.login()
        except Exception:
            self.pass_on.wait(PATIENCE)
            raise
        conn.serve()

    def answer(self, conn, kind, body):
        if kind != "Q" or b"long" not in body:
            return False
        self.answer_now.wait(PATIENCE)
        conn.answer_query("SELECT 1")
        return True

    def end_query(self, wire):
        self.answer_now.set()
        wire.read_until("Z")
        self.answer_now.clear()


@pytest.fixture
def slow(weir, fake):
    weir.start(upstream=fake.upstream, pool_size=1)
    return SlowCancels(fake)


def cancel_under_way(weir, fake, wire):
    wire.query("BEGIN")
    wire.send(query("SELECT long"))
    weir.wait_until(lambda: weir.pool()["sv_active"] == 1)
    cancel = weir.in_background(send_cancel, weir.address, wire.key)
    wait_until(lambda: fake.cancels)
    return cancel


def cancel_behind_it(weir, wire):
    cancel = weir.in_background(send_cancel, weir.address, wire.key)
    weir.wait_until(lambda: weir.metric("pgweir_client_connections", state="cancel") == 2)
    return cancel


@pytest.mark.weir_only
def test_a_cancel_that_waits_for_another_does_not_hit_the_next_query(weir, fake, slow):
    with weir.raw() as wire:
        first, second = cancel_under_way(weir, fake, wire), cancel_behind_it(weir, wire)
        slow.end_query(wire)
        wire.send(query("SELECT long AS next"))
        slow.pass_on.set()
        first.result(), second.result()
        slow.answer_now.set()
        assert errors(wire.read_until("Z")) == []
        assert len(fake.cancels) == 1


@pytest.mark.weir_only
def test_a_cancel_of_the_next_query_comes_when_the_one_before_is_through(weir, fake, slow):
    with weir.raw() as wire:
        first = cancel_under_way(weir, fake, wire)
        slow.end_query(wire)
        wire.send(query("SELECT long AS next"))
        second = cancel_behind_it(weir, wire)
        assert len(fake.cancels) == 1
        slow.pass_on.set()
        first.result(), second.result()
        assert len(fake.cancels) == 2
        slow.answer_now.set()
        wire.read_until("Z")


def test_a_cancel_whose_sender_does_not_wait_is_carried_out(weir):
    """Its query may be among what the loop has still to read when it comes; its sender is gone by then."""
    from rawwire import Wire, cancel_request
    with weir.start(pool_size=1).raw() as wire:
        wire.send(query(SLEEP))
        sleeping(weir)
        with Wire(weir.address) as canceller:
            canceller.send(cancel_request(wire.key))
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


@pytest.mark.weir_only
@pytest.mark.parametrize("name", ["sql", "protocol"])
def test_a_cancel_reaches_a_query_that_waits_for_our_preparing_it(weir, table, locked, name):
    """On another server its statement is prepared first, and that needs the table."""
    with weir.start(pool_size=2).raw() as wire, weir.raw() as other:
        again = prepared_statement(wire, f"SELECT * FROM {table}", name)
        other.query(BEGIN_NOW)
        locked()
        wire.send(again)
        weir.wait_until(lambda: weir.postgres.backends(wait_event_type="Lock"))
        begin = time.monotonic()
        send_cancel(weir.address, wire.key)
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"
        assert time.monotonic() - begin < 20 * SLOWNESS
        assert wire.query("SELECT 1") == [["1"]]


def listen_as_peer():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.settimeout(PATIENCE)
    return listener, listener.getsockname()[1]


def test_a_peer_that_hangs_does_not_keep_cancels_from_another(weir):
    (hanging, silent_port), (good, good_port) = listen_as_peer(), listen_as_peer()
    with hanging, good, contextlib.ExitStack() as kept:
        weir.start(sections={"pgweir": {"peer_id": 1, "peers": f"2=127.0.0.1:{silent_port}, 3=127.0.0.1:{good_port}"}})
        key = weir.raw().key
        for _ in range(300):
            wire = kept.enter_context(rawwire.Wire(weir.address))
            wire.send(rawwire.cancel_request(key[:1] + b"\2\0" + key[3:]))
        kept.enter_context(hanging.accept()[0])
        wait_until(lambda: weir.metric("pgweir_cancel_requests_total", result="failed") > 0)
        last = kept.enter_context(rawwire.Wire(weir.address))
        last.send(rawwire.cancel_request(key[:1] + b"\3\0" + key[3:]))
        with good.accept()[0] as taken:
            assert taken.recv(100)[8:11] == key[:1] + b"\3\0"


# --- pg_cancel_backend() and pg_terminate_backend() ---

def pid_of(wire):
    return struct.unpack("!i", wire.key[:4])[0]


def binary(pid):
    return parse("s", "SELECT pg_catalog.PG_CANCEL_BACKEND($1)") + \
        bind("", "s", [struct.pack("!i", pid)], formats=[1], result_formats=[1]) + describe("P") + execute() + sync()


FORMS = [lambda pid: query(f"SELECT pg_cancel_backend({pid});"),
         lambda pid: one_statement("SELECT pg_cancel_backend($1);", [pid]) + sync(), binary]


@pytest.mark.parametrize("form", FORMS, ids=["as pgAdmin", "as Knex", "binary"])
def test_the_pid_that_a_client_was_sent_cancels_what_it_runs(weir, form):
    with weir.start(pool_size=3).raw() as one, weir.raw() as two, weir.raw() as third:
        one.send(query(SLEEP))
        third.send(query("SELECT pg_sleep(1), 'slept'"))
        sleeping(weir, 2)
        replies = two.ask(form(pid_of(one)))
        assert [reply.row for reply in replies if reply.type == "D"] in ([[b"t"]], [[b"\x01"]])
        assert not [reply for reply in replies if reply.type == "N"]
        assert errors(one.read_until("Z"))[0].sqlstate == "57014"
        assert texts(third.read_until("Z")) == [["", "slept"]]
        assert one.query("SELECT 1") == [["1"]]
        assert two.query(f"SELECT pg_cancel_backend({pid_of(one)})") == [["t"]]      # idle: nothing to cancel
        assert one.query("SELECT pg_sleep(0.2), 'slept'") == [["", "slept"]]


@pytest.mark.weir_only
def test_else_postgresqls_own_answer_stands(weir):
    weir.start(pool_size=2)
    with weir.raw() as one, weir.raw() as two, weir.raw("reporting") as other, weir.raw(database="app2") as elsewhere:
        one.send(query("SELECT pg_sleep(1), 'slept'"))
        sleeping(weir)
        for wire, sql in ((two, f"SELECT pg_terminate_backend({pid_of(one)})"),
                          (two, "SELECT pg_cancel_backend(1073741825)"),
                          (other, f"SELECT pg_cancel_backend({pid_of(one)})"),
                          (elsewhere, f"SELECT pg_cancel_backend({pid_of(one)})")):
            replies = wire.ask(query(sql))
            assert [reply.sqlstate for reply in replies if reply.type == "N"] == ["01000"] and texts(replies) == [["f"]]
        text = f"PID {pid_of(one)} is not a PostgreSQL server process"
        replies = two.ask(query(f"DO $$ BEGIN RAISE WARNING '{text}'; END $$; SELECT false -- pg_cancel_backend"))
        assert [reply.sqlstate for reply in replies if reply.type == "N"] == ["01000"] and texts(replies) == [["f"]]
        assert texts(one.read_until("Z")) == [["", "slept"]]


def test_the_pids_of_pg_stat_activity_are_those_of_server_connections(weir):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        for name in "cancel", "terminate":
            one.send(query(SLEEP))
            sleeping(weir)
            assert two.query(f"SELECT pg_{name}_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == [["t"]]
            assert errors(one.read_until("ZE"))[0].sqlstate in ("57014", "57P01")
            if name == "cancel":
                one.read_until("Z")


def test_in_session_mode_it_is_the_pid_of_the_server_connection(weir):
    with weir.start(pool_size=2, pool_mode="session").raw() as one, weir.raw() as two:
        one.send(query(SLEEP))
        sleeping(weir)
        assert two.query(f"SELECT pg_cancel_backend({pid_of(one)})") == [["t"]]
        assert errors(one.read_until("Z"))[0].sqlstate == "57014"
