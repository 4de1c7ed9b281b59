"""Timeouts: each fires within its time, in its own state only, per pool, database and user."""

import os
import re
import signal
import threading
import time

import pytest

import rawwire
from fakeserver import Gone, one_row, ready
from rawwire import (BEGIN_NOW, bind, copy_data, copy_done, copy_fail, errors, flush, one_statement, parse, prepared_statement, query,
                     shape, sync)
from test_phases import blames, start
from transport import is_readable
from waiting import PATIENCE, SLOWNESS, each, wait_until

pytestmark = pytest.mark.weir_only


def ended(wire):
    """The error that a connection got, alive (ReadyForQuery follows) or not."""
    try:
        return errors(wire.read_until("E"))[0]
    except rawwire.WireClosed:
        return None


def test_query_timeout_ends_a_long_query_and_stops_it_on_the_server(weir):
    with weir.start(pool_size=1, query_timeout="500ms").raw() as other:
        wire = weir.raw()
        begin = time.monotonic()
        wire.send(query("SELECT pg_sleep(60)"))
        assert ended(wire).sqlstate == "57014" and 0.4 < time.monotonic() - begin < 20 * SLOWNESS
        wait_until(lambda: not weir.postgres.backends(wait_event="PgSleep"))
        assert other.query("SELECT pg_sleep(0.1), 'slept'") == [["", "slept"]]


def test_the_client_goes_on_after_query_timeout(weir):
    """As after PostgreSQL's own statement_timeout; the error says how long it ran, and whose limit that was."""
    with weir.start(pool_size=1, query_timeout="500ms").raw() as wire:
        replies = wire.ask(query("SELECT pg_sleep(60)"))
        assert shape(replies).endswith("E:57014 Z:I")
        words = errors(replies)[0].error
        assert re.fullmatch(r"the query was canceled after it had run for \d+ ms \(query_timeout = 500 ms\)", words["M"])
        assert words["S"] == "ERROR"
        assert words["H"] == "Make the query faster (EXPLAIN), or raise query_timeout for this database or user."
        for _ in range(3):                                          # and none of these is hit
            assert wire.query("SELECT pg_sleep(0.1), 'slept'") == [["", "slept"]]
        wire.query("BEGIN")
        assert shape(wire.ask(query("SELECT pg_sleep(60)"))).endswith("E:57014 Z:E")
        assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        assert shape(wire.ask(one_statement("SELECT pg_sleep(60)") + sync())).endswith("E:57014 Z:I")
        assert wire.query("SELECT 1") == [["1"]]
    assert weir.metric_now("pgweir_client_requests_failed_total", reason="limit") == 3


def test_query_timeout_does_not_hit_what_is_pipelined_behind(weir):
    with weir.start(pool_size=1, query_timeout="500ms").raw() as wire:
        wire.send(query("SELECT pg_sleep(60)") + query("SELECT 1") + query("SELECT 2"))
        assert shape(wire.read_until("Z", 3)) == "T E:57014 Z:I T D C:SELECT 1 Z:I T D C:SELECT 1 Z:I"


def test_query_timeout_of_a_request_whose_sync_comes_later(weir):
    """The client reads the error of its Flush before it sends the Sync: it must be read, though its request is late."""
    with weir.start(pool_size=1, query_timeout="500ms").raw() as wire:
        wire.send(one_statement("SELECT pg_sleep(60)") + flush())
        assert shape(wire.read_until("E")).endswith("E:57014")
        assert shape(wire.ask(sync())) == "Z:I"
        assert wire.query("SELECT 1") == [["1"]]


def test_query_timeout_ends_a_copy_that_goes_on(weir, table):
    with weir.start(pool_size=1, query_timeout="500ms").raw() as wire:
        wire.send(query(f"COPY {table} FROM STDIN"))
        wire.read_until("G")
        deadline = time.monotonic() + PATIENCE
        while wire.has_nothing_more(0.05):
            assert time.monotonic() < deadline
            wire.send(copy_data(b"%d\tx\n" % int(time.monotonic() * 1000)))
        wire.send(copy_done())
        assert shape(wire.read_until("Z")) == "E:57014 Z:I"
        assert wire.query(f"SELECT count(*) FROM {table}") == [["0"]]


@pytest.mark.long
def test_query_timeout_of_a_server_that_does_not_react(weir, fake):
    """After five seconds the server is closed, and the client is told why."""
    fake.answer = lambda conn, kind, body: kind == "Q" and b"silent" in body
    start(weir, upstream=fake.upstream, pool_size=1, query_timeout="500ms")
    wire = weir.raw()
    begin = time.monotonic()
    wire.send(query("SELECT 'silent'"))
    reply = ended(wire)
    assert (reply.sqlstate, reply.severity) == ("57014", "FATAL") and 5 < time.monotonic() - begin < 8 * SLOWNESS
    assert "did not answer the cancel" in reply.error["D"]
    wire.wait_closed()
    with weir.raw() as other:
        assert other.query("SELECT 1")
    assert blames(weir, "server", 5000, "query_timeout")["duration_ms"] < 8000 * SLOWNESS


@pytest.mark.parametrize("first", [lambda: query("SELECT 'held'"), lambda: one_statement("SELECT 'held'") + sync()],
                         ids=["simple", "extended"])
def test_what_is_held_behind_a_late_query_is_sent_when_the_cancel_is_over(weir, fake, first):
    """The query ends by itself just before PostgreSQL acts upon the cancel: that may then hit whatever comes next."""
    is_over, sent_early = threading.Event(), []

    def script(conn):
        try:
            conn.login()
        except Gone:
            is_over.wait(10)                           # until this connection is closed, the signal may be on its way
            raise
        conn.serve()

    def answer(conn, kind, body):
        if kind in "QP" and b"'held'" in body and not is_over.is_set():
            sent_early.append(body)
        if kind != "Q" or b"'late'" not in body:
            return False
        wait_until(lambda: fake.cancels, what="the cancel")
        conn.send(one_row("late"), ready())
        return True
    fake.script, fake.answer = script, answer
    wire = weir.start(upstream=fake.upstream, pool_size=1, query_timeout="300ms").raw()
    wire.send(query("SELECT 'late'"), first(), query("DISCARD ALL; SELECT 'held'"))
    wire.read_until("Z")
    assert wire.has_nothing_more(0.4) and not sent_early
    is_over.set()
    assert not errors(wire.read_until("Z", 2))


def test_query_timeout_in_mid_row_does_not_write_into_the_row(weir):
    """What we put behind part of a message would be taken for the rest of it."""
    with weir.start(pool_size=1, query_timeout="1500ms").raw() as wire:
        wire.send(query("SELECT repeat('x', 20000000)"))
        weir.wait_log("query_timeout = 1.5 s")
        data = wire.wait_closed()
    assert b"xxx" in data and b"57014" not in data


def test_query_timeout_counts_from_each_query(weir):
    with weir.start(pool_size=1, query_timeout="1500ms").raw() as wire:
        wire.query(BEGIN_NOW)
        for _ in range(4):
            assert wire.query("SELECT pg_sleep(0.5), 'slept'") == [["", "slept"]]
        wire.query("COMMIT")


def test_query_timeout_does_not_touch_the_idle(weir):
    with weir.start(pool_size=1, query_timeout="300ms").raw() as wire:
        wire.query("SELECT 1")
        assert wire.has_nothing_more(0.8)
        wire.query("BEGIN")
        assert wire.has_nothing_more(0.8)
        assert shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"


@pytest.mark.parametrize("settings", [{"query_timeout": "700ms"}, {"client_idle_timeout": "700ms"}, {"pool_timeout": "0s"}], ids=str)
def test_who_waits_for_a_server_is_under_pool_timeout_alone(weir, settings):
    """Who is in the line runs no query, and is not idle; a pool_timeout of 0 waits for ever."""
    holder, wire = weir.start(pool_size=1, **settings).raw(), weir.raw()
    holder.query(BEGIN_NOW)
    wire.send(query("SELECT 'waited'"))
    weir.wait_waiting(1)
    assert wire.has_nothing_more(1.0)
    holder.query("COMMIT")
    assert rawwire.texts(wire.read_until("Z")) == [["waited"]]


def test_idle_transaction_timeout_frees_the_server(weir, table):
    wire, other = weir.start(pool_size=1, idle_transaction_timeout="500ms").raw(), weir.raw()
    begin = time.monotonic()
    wire.query(f"BEGIN; INSERT INTO {table} VALUES (1, 'x')")
    other.send(query(f"SELECT count(*) FROM {table}"))
    reply = ended(wire)
    assert reply.sqlstate in ("25P03", "57P05") and reply.severity == "FATAL" and 0.4 < time.monotonic() - begin < 10 * SLOWNESS
    assert reply.error["H"].startswith("COMMIT before the application does something else, or raise idle_transaction_timeout")
    wire.wait_closed()
    assert rawwire.texts(other.read_until("Z")) == [["0"]]


def test_idle_transaction_timeout_is_for_idle_transactions_only(weir):
    with weir.start(pool_size=1, idle_transaction_timeout="1s").raw() as wire:
        wire.query("SELECT 1")
        assert wire.has_nothing_more(1.3)
        wire.query(BEGIN_NOW)
        for _ in range(4):
            wire.query("SELECT pg_sleep(0.3)")
        wire.query("SELECT pg_sleep(1.3)")
        assert shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"


def test_transaction_timeout_ends_long_transactions_busy_or_idle(weir):
    idle, busy = weir.start(pool_size=2, transaction_timeout="600ms").raw(), weir.raw()
    begin = time.monotonic()
    idle.query(BEGIN_NOW)
    busy.query("BEGIN")
    busy.send(query("SELECT pg_sleep(60)"))
    for wire in (idle, busy):
        assert ended(wire).sqlstate in ("25P04", "25P03", "57014", "57P05")
    assert time.monotonic() - begin < 20 * SLOWNESS
    wait_until(lambda: not weir.postgres.backends(wait_event="PgSleep"))
    assert weir.raw().query("SELECT pg_sleep(0.1), 'slept'") == [["", "slept"]]


def test_transaction_timeout_leaves_short_ones_alone(weir):
    with weir.start(pool_size=1, transaction_timeout="600ms").raw() as wire:
        begin = time.monotonic()
        while time.monotonic() - begin < 1.2:
            wire.query("BEGIN", "SELECT pg_sleep(0.05)")
            assert shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"


def test_client_idle_timeout_closes_who_asks_nothing(weir):
    wire = weir.start(client_idle_timeout="500ms").raw()
    begin = time.monotonic()
    wire.query("SELECT 1")
    reply = ended(wire)
    assert 0.35 < time.monotonic() - begin < 10 * SLOWNESS
    assert reply is not None and reply.severity == "FATAL" and reply.sqlstate in ("57P05", "57P01", "08006")
    wire.wait_closed()


@pytest.mark.long
def test_client_idle_timeout_spares_the_busy(weir):
    with weir.start(pool_size=1, client_idle_timeout="2s").raw() as wire:
        assert wire.query("SELECT pg_sleep(2.5), 'slept'") == [["", "slept"]]
        for _ in range(6):
            assert wire.has_nothing_more(0.4)
            assert wire.query("SELECT 1") == [["1"]]
        wire.query("BEGIN")
        assert wire.has_nothing_more(2.5)                            # idle_transaction_timeout's business
        wire.query("COMMIT")


@pytest.mark.parametrize("key", ["query_timeout", "idle_transaction_timeout", "transaction_timeout",
                                 "client_idle_timeout"])
def test_per_database_and_per_user(weir, key):
    """The user's wins over the database's, the database's over the pool's."""
    weir.start(pool_size=3, **{key: "30s"}, sections={"database app2": {key: "400ms"}, "user reporting": {key: "0s"}})

    for user, database, is_hit in (("web", "app", False), ("web", "app2", True), ("reporting", "app2", False)):
        with weir.raw(user, database) as wire:
            if key != "client_idle_timeout":
                wire.query(BEGIN_NOW)
            if key == "query_timeout":
                wire.send(query("SELECT pg_sleep(60)"))
            if is_hit:
                assert errors(wire.read_until("EZ"))
            else:
                assert wire.has_nothing_more(1.0), (user, database)


@pytest.mark.parametrize("key", ["query_timeout", "idle_transaction_timeout", "transaction_timeout",
                                 "client_idle_timeout"])
def test_per_user_where_servers_log_in_as_another(weir, key):
    """user= in upstream gives all clients one pool: the limits are still those of the name a client logs in by."""
    weir.start(pool_size=3, upstream=weir.upstream(user="reporting"),
               sections={"user web": {key: "300ms"}, "user reporting": {key: "30s"}})
    web, other = weir.raw("web"), weir.raw("md5user")

    def hits(wire, seconds):
        if key != "client_idle_timeout":
            wire.query(BEGIN_NOW)
        if key == "query_timeout":
            wire.send(query(f"SELECT pg_sleep({seconds})"))
        try:
            return bool(errors(wire.read_until("EZ", timeout=seconds)))
        except rawwire.WireTimeout:
            return False
    assert hits(web, 5 * SLOWNESS) and not hits(other, 0.7)
    if key == "query_timeout":                          # a client that was there before has what a reload brings
        weir.reload(pool_size=3, upstream=weir.upstream(user="reporting"))
        with weir.raw("web") as late:
            late.query("SELECT 1")
            weir.reload(pool_size=3, upstream=weir.upstream(user="reporting"), sections={"user web": {key: "300ms"}})
            assert hits(late, 5 * SLOWNESS)


def test_pool_mode_per_user_where_servers_log_in_as_another(weir):
    """A pool that some use in transactions is washed between clients, though others keep their server."""
    weir.start(pool_size=2, pool_mode="session", upstream=weir.upstream(user="reporting"),
               sections={"user web": {"pool_mode": "transaction"}})
    with weir.raw("md5user") as session, weir.raw("web") as first, weir.raw("web") as second:
        pid = session.value("SELECT pg_backend_pid()")
        assert session.value("SELECT pg_backend_pid()") == pid
        for _ in range(2):                              # the one that is left serves both
            assert first.value("SELECT 1") == second.value("SELECT 1") == "1"
        first.query("DO $$ BEGIN PERFORM set_config('search_path', 'elsewhere', false); END $$")
        assert second.value("SHOW search_path") == '"$user", public'


UNFINISHED = {
    "parse": lambda table: parse("", "SELECT 1"),
    "parse that is answered": lambda table: parse("", "SELECT 1") + flush(),
    "parse of what its server has": lambda table: parse("again", "SELECT 'kept'") + flush(),
    "all but the sync": lambda table: one_statement("SELECT 1"),
    "flushed and answered": lambda table: one_statement("SELECT 1") + flush(),
    "behind a whole request": lambda table: query("SELECT 1") + parse("", "SELECT 1"),
    "half a query": lambda table: query("SELECT '" + "x" * 100_000 + "'")[:50_000],
    "half a short bind": lambda table: parse("", "SELECT $1") + bind(parameters=["x" * 100])[:50],
    "half a long bind": lambda table: parse("", "SELECT $1") + bind(parameters=["x" * 1_000_000])[:500_000],
    "copy": lambda table: query(f"COPY {table} FROM STDIN"),
    "copy, some rows": lambda table: query(f"COPY {table} FROM STDIN") + copy_data(b"1\tx\n"),
    "copy, half a message": lambda table: query(f"COPY {table} FROM STDIN") + copy_data(b"1\tx\n" * 9999)[:20_000],
    "copy, half its end": lambda table: query(f"COPY {table} FROM STDIN") + copy_fail("x" * 1000)[:500],
    "copy, extended": lambda table: one_statement(f"COPY {table} FROM STDIN") + flush(),
    "copy, with its sync": lambda table: one_statement(f"COPY {table} FROM STDIN") + sync(),
}


@pytest.mark.sweep(keep=6)
@pytest.mark.parametrize("is_begun", [True, False], ids=["in a transaction", "outside"])
@pytest.mark.parametrize("unfinished", UNFINISHED)
def test_a_half_sent_request_does_not_hold_a_server_for_ever(weir, table, unfinished, is_begun):
    """Its client owes the next byte, whatever it has sent: it is as idle as in a transaction between two requests."""
    weir.start(pool_size=1, idle_transaction_timeout="500ms", pool_timeout="0s")
    with weir.raw() as lazy, weir.raw() as other:
        lazy.ask(parse("kept", "SELECT 'kept'") + sync())
        lazy.send((query("BEGIN") if is_begun else b"") + UNFINISHED[unfinished](table))
        if is_begun:
            lazy.read_until("Z")
        other.send(query(f"SELECT count(*) FROM {table}"))
        reply = ended(lazy)
        lazy.wait_closed()
        assert reply.sqlstate == "25P03" and reply.severity == "FATAL"
        assert re.fullmatch(r"nothing more of the request has come for \d+ ms \(idle_transaction_timeout = 500 ms\)",
                            reply.error["M"])
        assert rawwire.texts(other.read_until("Z")) == [["0"]]


@pytest.mark.parametrize("behind", [lambda: query("SELECT '" + "x" * 100_000 + "'")[:50_000],
                                    lambda: parse("", "SELECT 1")], ids=["half a query", "parse"])
def test_a_server_that_owes_an_answer_is_waited_for_whatever_else_was_begun(weir, behind):
    wire = weir.start(pool_size=1, idle_transaction_timeout="300ms").raw()
    wire.send(query("SELECT pg_sleep(1)") + behind())
    assert shape(wire.read_until("Z")) == "T D C:SELECT 1 Z:I"
    assert ended(wire).sqlstate == "25P03"


def test_rows_sent_ahead_of_a_copy_that_waits_for_a_lock_are_no_debt(weir, table):
    """pgx sends them without waiting for CopyInResponse: PostgreSQL owes that, though half a message has come."""
    with weir.start(pool_size=1, idle_transaction_timeout="300ms").raw() as wire, weir.postgres.connect() as other:
        other.autocommit = False
        other.cursor().execute(f"LOCK {table}")
        row = copy_data(b"1\t" + b"x" * 50_000 + b"\n")
        wire.send(query(f"COPY {table} FROM STDIN") + row[:40_000])
        assert not is_readable(wire.sock, 1)
        weir.reload(pool_size=1)                    # once PostgreSQL has asked for them, the rest would be due
        other.rollback()
        wire.send(row[40_000:] + copy_done())
        assert shape(wire.read_until("Z")) == "G C:COPY 1 Z:I"


@pytest.mark.parametrize("request_", [parse("", "SELECT '" + "x" * 3000 + "'") + sync(), query("SELECT '" + "x" * 3000 + "'")],
                         ids=["parse", "query"])
@pytest.mark.parametrize("begin", ["sent", "deferred"])
def test_a_slow_uplink_is_no_silence_in_a_transaction(weir, request_, begin):
    with weir.start(pool_size=1, idle_transaction_timeout="3s", begin=begin).raw() as wire:
        wire.query("BEGIN")
        for at in range(0, len(request_), 200):     # 16 times
            wire.send(request_[at:at + 200])
            assert not is_readable(wire.sock, 0.25) or at + 200 >= len(request_)
        assert shape(wire.read_until("Z")).endswith(" Z:T")


def test_all_that_are_late_end_at_once(weir):
    weir.start(pool_size=60, query_timeout="1s")
    wires = [weir.raw() for _ in range(60)]
    each(wires).query("SELECT 1")
    begin = time.monotonic()
    each(wires).send(query("SELECT pg_sleep(60)"))
    for wire in wires:
        assert ended(wire).sqlstate == "57014"
    assert time.monotonic() - begin < 20 * SLOWNESS


@pytest.mark.long
def test_all_servers_that_can_not_be_cleaned_end_at_once(weir, fake):
    def answer(conn, kind, body):
        return kind == "Q" and b"long" in body
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=40)
    wires = [weir.raw() for _ in range(40)]
    each(wires).send(query("SELECT long"))
    weir.wait_until(lambda: weir.pool()["sv_active"] == 40)
    first = fake.logins()
    each(wires).close()
    begin = time.monotonic()
    wait_until(lambda: not any(conn.is_open for conn in first))
    assert time.monotonic() - begin < 20 * SLOWNESS


def test_query_timeout_does_not_begin_anew_with_what_else_the_client_sends(weir):
    wire = weir.start(pool_size=1, query_timeout="800ms").raw()
    begin = time.monotonic()
    wire.send(query("SELECT pg_sleep(60)"))
    while not wire.has_nothing_more(0) or time.monotonic() - begin < 3:
        if not wire.has_nothing_more(0.2):
            break
        wire.send(query("SELECT 1"))
    assert ended(wire).sqlstate == "57014" and time.monotonic() - begin < 20 * SLOWNESS


@pytest.mark.parametrize("name", ["sql", "protocol"])
def test_query_timeout_counts_what_pgweir_sends_ahead(weir, table, locked, name):
    """Its statement is prepared on another server, where the table is locked."""
    wire, other = weir.start(pool_size=2, query_timeout="800ms").raw(), weir.raw()
    again = prepared_statement(wire, f"SELECT * FROM {table}", name)
    other.query(BEGIN_NOW)
    locked()
    begin = time.monotonic()
    wire.send(again)
    assert ended(wire).sqlstate == "57014" and time.monotonic() - begin < 20 * SLOWNESS
    wait_until(lambda: not weir.postgres.backends(wait_event_type="Lock"))


@pytest.mark.parametrize("first", ["SET work_mem = '1MB'", "BEGIN"], ids=["settings", "a deferred BEGIN"])
def test_query_timeout_while_what_pgweir_sends_ahead_runs(weir, first):
    """Nothing is cancelled then: the client's own request has not begun. It is cancelled once it has, and its client goes on."""
    with weir.start(pool_size=1, query_timeout="300ms").raw() as wire, weir.raw() as other:
        wire.query(first)
        other.query("SELECT 1")
        weir.settle()
        pid, = [row[0] for row in weir.postgres.query("SELECT pid FROM pg_stat_activity WHERE usename = 'web'")]
        os.kill(pid, signal.SIGSTOP)
        try:
            wire.send(query("SELECT pg_sleep(5)"))
            assert wire.has_nothing_more(0.9)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert ended(wire).sqlstate == "57014"
        wire.read_until("Z")
        assert wire.query("ROLLBACK", "SELECT 1") == [["1"]]


@pytest.mark.parametrize("limit", ["client_idle_timeout", "idle_transaction_timeout", "transaction_timeout"])
@pytest.mark.parametrize("how", ["stopped", "suspended"])
def test_who_asked_while_pgweir_stood_still_was_not_idle(weir, limit, how):
    weir.start(pool_size=5, **{limit: "2s"})
    waiting = [weir.raw() for _ in range(3)]
    if limit != "client_idle_timeout":
        for wire in waiting:
            wire.query("BEGIN")
    if limit == "transaction_timeout":
        waiting[0].query("SELECT 1")
    console = weir.raw("admin", "pgweir")       # its end would end the SUSPEND
    if how == "stopped":
        weir.stand_still()
    else:
        console.query("SUSPEND")
    for wire in waiting:
        wire.send(query("SELECT 'asked'"))
    assert all(wire.has_nothing_more(0.8) for wire in waiting)
    if how == "stopped":
        weir.signal(signal.SIGCONT)
    else:
        console.query("RESUME")
    for wire in waiting:
        assert rawwire.texts(wire.read_until("Z")) == [["asked"]]
