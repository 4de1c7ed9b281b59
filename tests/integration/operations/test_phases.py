"""Where the time of a request went: at each moment somebody owes the next byte, and the phases add up to the duration.

Each case has a known answer, in the slow-query log and in pgweir_query_phase_seconds_total alike.
"""

import json
import re
import threading
import time

import pytest

from fakeserver import complete, data_row, ready, row_description
from rawwire import BEGIN_NOW, bind, copy_data, copy_done, describe, errors, execute, flush, parse, query, shape, sync
from waiting import PATIENCE, wait_until
from weir import read_slowly

pytestmark = [pytest.mark.weir_only, pytest.mark.alone]

PHASES = ("wait", "connect", "server", "stream", "client_write", "proxy")


def pause(seconds=0.3):
    """The time of somebody who does nothing."""
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() - begin > seconds)


def start(weir, **settings):
    """And the first connection is opened, and asked about the code: what that takes is no request's."""
    with weir.start(**settings).raw() as wire:
        wait_until(lambda: weir.pool()["sv_idle"] == 1)
        wire.query("SELECT 1")


def counted_now(weir):
    weir.metric_now("pgweir_query_phase_seconds_total")
    return {name: weir.metric("pgweir_query_phase_seconds_total", database="app", phase=name) for name in PHASES}


def blames(weir, phase, least_ms, event="slow_query"):
    """One line is there; nearly all of its time was this phase's; the counters say the same."""
    line = wait_until(lambda: next(line for line in weir.slow_lines()       # others: a busy machine
                                   if line["event"] == event and line[f"{phase}_ms"] >= least_ms), what=event)
    parts = {name: line[f"{name}_ms"] for name in PHASES}
    assert abs(sum(parts.values()) - line["duration_ms"]) < 0.01, line
    assert line["cause"] == phase, line
    assert line["duration_ms"] - parts[phase] < 0.5 * parts[phase], line
    counted = counted_now(weir)
    assert max(counted, key=counted.get) == phase and counted[phase] * 1000 >= least_ms, counted
    total = weir.metric("pgweir_query_duration_seconds_sum", database="app")
    assert abs(sum(counted.values()) - total) < 0.001, (counted, total)
    return line


# --- PostgreSQL owes the next byte ---

@pytest.mark.parametrize("sql", ["DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(0.4); END $$",
                                 "SELECT repeat('x', 10000), pg_sleep(0.1) FROM generate_series(1, 4)"], ids=["a notice", "rows"])
def test_an_answer_that_begins_at_once_and_takes_its_time(weir, sql):
    """PostgreSQL is at work all the same: that is no transfer."""
    start(weir, pool_size=1)
    with weir.raw() as wire:
        wire.query(sql)
    blames(weir, "server", 350)


def test_short_queries_are_postgresqls_time(weir):
    """Up to the first bytes of an answer PostgreSQL works, however short that is."""
    start(weir, pool_size=1)
    with weir.raw() as wire:
        for _ in range(100):
            wire.query("SELECT pg_sleep(0.003)")
    counted = counted_now(weir)
    assert counted["server"] >= 0.29 and counted["stream"] < 0.1, counted


def test_the_first_run_of_a_statement(weir):
    """asyncpg: Parse, Describe, Flush; then Bind, Execute, Sync. Both halves may be PostgreSQL's."""
    start(weir, pool_size=1)
    with weir.raw() as wire:
        wire.send(parse("s", "SELECT pg_sleep(0.4)") + describe("S", "s") + flush())
        wire.read_until("T")
        wire.send(bind("", "s") + execute() + sync())
        wire.read_until("Z")
    blames(weir, "server", 380)


def test_a_parse_that_waits_for_a_lock(weir, table):
    start(weir, pool_size=2)
    other = weir.keep(weir.postgres.connect())
    other.autocommit = False
    with weir.raw() as wire:
        other.cursor().execute(f"LOCK TABLE {table}")
        wire.send(parse("s", f"SELECT * FROM {table}") + describe("S", "s") + flush())
        wait_until(lambda: weir.postgres.backends(wait_event_type="Lock"))
        pause(0.4)
        other.rollback()
        wire.read_until("T")
        wire.send(bind("", "s") + execute() + sync())
        wire.read_until("Z")
    blames(weir, "server", 350)


def test_a_query_that_query_timeout_cancels(weir):
    start(weir, pool_size=1, query_timeout="400ms")
    with weir.raw() as wire:
        assert errors(wire.ask(query("SELECT pg_sleep(60)")))[0].sqlstate == "57014"
    line = blames(weir, "server", 380, "query_timeout")
    assert line["sqlstate"] == "57014" and line["query"] == "SELECT pg_sleep(?)"


def test_a_server_that_is_lost(weir, tap):
    start(weir, upstream=f"host={tap.host} port={tap.port}", pool_size=1)
    with weir.raw() as wire:
        wire.send(query("SELECT pg_sleep(2)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        pause()
        tap.cut()
        wire.read_until("E")
    blames(weir, "server", 290, "backend_lost")


def test_a_server_that_is_lost_while_its_client_is_idle_in_a_transaction(weir, tap):
    """The client owes the next byte, and is not to blame: the cause was the client."""
    start(weir, upstream=f"host={tap.host} port={tap.port}", pool_size=1)
    with weir.raw() as wire:
        wire.query(BEGIN_NOW)
        pause()
        tap.cut()
        wire.read_until("E")
    line, = wait_until(lambda: [line for line in weir.slow_lines() if line["event"] == "backend_lost"])
    assert line["cause"] == "backend_lost" and line["client_write_ms"] >= 290


# --- its answer is on its way ---

def test_a_result_that_flows(weir, fake):
    """A piece each 2 ms, and a silence of 10 ms is no transfer. Where the machine did something else for as long between a
    piece that was sent and the next one that came, there may have been one: it is asked again."""
    pieces, sent = 60, []

    def answer(conn, kind, body):
        if kind != "Q" or b"much" not in body:
            return False
        conn.send(row_description("v"))
        for _ in range(pieces):
            sent.append(time.monotonic())
            conn.send(data_row("x" * 1000))
            time.sleep(0.002)
        conn.send(complete(f"SELECT {pieces}"), ready())
        return True

    def flowed(wire):
        """What each phase got since the query was sent, if nothing stood still."""
        del sent[:]
        before, begin = counted_now(weir), time.monotonic()
        wire.send(query("SELECT 'much'"))
        came = [wire.read() and time.monotonic() for _ in range(pieces + 3)]
        if max(there - here for here, there in zip([begin, sent[0], *sent], came)) > 0.009:
            return None
        return {name: seconds - before[name] for name, seconds in counted_now(weir).items()}

    fake.answer = answer
    start(weir, upstream=fake.upstream, pool_size=1, threshold="50ms")
    with weir.raw() as wire:
        spent = wait_until(lambda: flowed(wire))
    assert spent["stream"] > 0.1 and sum(spent.values()) < 1.2 * spent["stream"], spent
    wait_until(lambda: weir.slow_lines()[-1]["cause"] == "stream")


# --- the client owes it ---

def test_a_client_that_reads_slowly(weir):
    start(weir, pool_size=1)
    read_slowly(weir)
    blames(weir, "client_write", 500)


def test_a_client_that_thinks_within_its_request(weir):
    start(weir, pool_size=1)
    with weir.raw() as wire:
        wire.query("SELECT 1")
        wire.send(parse("s", "SELECT 1") + describe("S", "s") + flush())
        wire.read_until("T")
        pause()
        wire.send(bind("", "s") + execute() + sync())
        wire.read_until("Z")
    blames(weir, "client_write", 290)


def test_a_client_whose_messages_come_late(weir):
    """Its Sync is missing: nothing is owed by PostgreSQL."""
    start(weir, pool_size=1)
    with weir.raw() as wire:
        wire.query("SELECT 1")
        wire.send(parse("", "SELECT 1") + bind() + execute())
        pause()
        wire.send(sync())
        wire.read_until("Z")
    blames(weir, "client_write", 290)


@pytest.mark.parametrize("is_same", [True, False], ids=["its own", "the last client's"])
def test_a_flush_before_the_request(weir, is_same):
    """It makes no answer due to what is sent later."""
    start(weir, pool_size=1)
    with weir.raw() as first, weir.raw() as second:
        first.query(BEGIN_NOW)
        first.send(flush())
        slow = first if is_same else second
        if not is_same:
            first.close()
            wait_until(lambda: weir.pool()["sv_idle"] == 1, what="its server to be free")
        slow.send(parse("", "SELECT 1"))
        pause()
        slow.send(bind() + execute() + sync())
        slow.read_until("Z")
    blames(weir, "client_write", 290)


def test_a_client_that_copies_in_slowly(weir, table):
    start(weir, pool_size=1)
    with weir.raw() as wire:
        wire.send(query(f"COPY {table} FROM STDIN"))
        wire.read_until("G")
        for i in range(4):
            pause(0.1)
            wire.send(copy_data(b"%d\tx\n" % i))
        wire.send(copy_done())
        assert shape(wire.read_until("Z")) == "C:COPY 4 Z:I"
    blames(weir, "client_write", 380)


def test_a_transaction_that_idles_too_long(weir):
    start(weir, pool_size=1, idle_transaction_timeout="400ms")
    with weir.raw() as wire:
        wire.query("BEGIN")
        assert errors(wire.read_until("E"))[0].sqlstate == "25P03"
    line = wait_until(lambda: next(line for line in weir.slow_lines() if line["event"] == "idle_transaction_timeout"))
    assert line["cause"] == "client_write"
    assert 390 < line["client_write_ms"] == line["duration_ms"] < 1500, line


# --- the pool owes it ---

def hold(weir, waiter):
    holder = weir.raw()
    holder.query(BEGIN_NOW)
    waiter.send(query("SELECT 'waited'"))
    weir.wait_waiting(1)
    return holder


def test_a_client_in_line(weir):
    start(weir, pool_size=1)
    with weir.raw() as waiter:
        holder = hold(weir, waiter)
        pause()
        holder.query("COMMIT")
        waiter.read_until("Z")
    blames(weir, "wait", 290)


def test_a_client_that_got_no_server(weir):
    weir.start_opened("400ms", pool_size=1)
    with weir.raw() as waiter:
        holder = hold(weir, waiter)
        assert errors(waiter.read_until("Z"))[0].sqlstate == "53300"
        holder.query("COMMIT")
    blames(weir, "wait", 390, "pool_timeout")


# --- nobody accepts a connection ---

def start_and_lose(weir, tap, **settings):
    """A client is logged in; from now on no connection can be opened, as behind a firewall that drops."""
    start(weir, upstream=f"host={tap.host} port={tap.port}", pool_size=1, **settings)
    wire = weir.raw()
    wire.query("SELECT 1")
    tap.stall(new=True)
    weir.console("RECONNECT")
    return wire


def test_a_host_that_does_not_answer(weir, tap):
    with start_and_lose(weir, tap, connect_timeout="1s", pool_timeout="10s") as wire:
        error, = errors(wire.ask(query("SELECT 2")))
        assert error.sqlstate.startswith("08"), error.error
    blames(weir, "connect", 900, "backend_unreachable")


def test_opening_that_hangs_is_not_a_small_pool(weir, tap):
    with start_and_lose(weir, tap, connect_timeout="10s", pool_timeout="2500ms") as wire:
        error, = errors(wire.ask(query("SELECT 2")))
        assert error.sqlstate == "53300"
        # The one before keeps its place for half a second, as its end is not heard of either.
        took, = re.findall(f"A connection to {tap.host}:{tap.port} has been opening for ([0-9.]+ m?s) without an answer.", error.error["D"])
        assert took.endswith(" s") and 1.7 <= float(took[:-2]) <= 2.6, took
        assert "pool_size" not in error.error["H"]
        line, = wait_until(lambda: [line for line in weir.log().splitlines() if "timed out" in line])
        assert f"(pool_timeout), 0 still waiting. {error.error['D'].split(': ')[1]}" in line and "exhausted" not in line
    blames(weir, "connect", 1700, "pool_timeout")


def test_a_server_that_logs_in_slowly(weir, fake):
    def script(conn):
        time.sleep(0.4)
        conn.login()
        conn.serve()

    start(weir, upstream=fake.upstream, pool_size=1)
    with weir.raw() as wire:
        wire.query("SELECT 1")
        fake.script = script
        weir.console("RECONNECT")
        wire.query("SELECT 2")
    blames(weir, "connect", 380)


# --- requests that overlap ---

def test_a_pipeline_lasts_as_long_as_it_takes(weir):
    """Three requests in one packet: together they took as long as the client waited."""
    start(weir, pool_size=1, threshold="0ms")
    one = parse("", "SELECT pg_sleep(0.1)") + bind() + execute() + sync()
    with weir.raw() as wire:
        begin = time.monotonic()
        wire.send(one * 3)
        wire.read_until("Z", 3)
        took = (time.monotonic() - begin) * 1000
    first = "SELECT ?"                      # of start(); a Parse that comes again has no text in the log
    found = wait_until(lambda: lines if len(lines := [line for line in weir.slow_lines() if line["query"] != first]) == 3 else None)
    for line in found:
        assert line["cause"] == "server" and line["duration_ms"] < took, line
        assert abs(sum(line[f"{name}_ms"] for name in PHASES) - line["duration_ms"]) < 0.01, line
    assert sum(line["duration_ms"] for line in found) < took + 50


def test_a_session_s_idle_time_is_no_requests(weir):
    with weir.start(pool_size=1, pool_mode="session", threshold="0ms").raw() as wire:
        wire.query("SELECT 1")
        pause()
        wire.query("SELECT 2")
    found = wait_until(lambda: lines if len(lines := weir.slow_lines()) == 2 else None)
    assert found[-1]["duration_ms"] < 290, found


# --- pgweir's own questions ---

def test_a_server_that_pgweir_asks_is_active_nowhere(weir, fake):
    """Neither in the console, nor in the metrics, nor on the page."""
    answers = threading.Event()
    fake.answer = lambda conn, kind, body: kind == "Q" and b"pg_proc" in body and not answers.wait(PATIENCE)
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as wire:
        wire.query("SELECT 1")
        wait_until(lambda: weir.pool()["sv_tested"] == 1)
        pool, = (row for row in weir.console("SHOW POOLS_EXTENDED") if row["database"] == "app")
        wait_until(lambda: weir.metric("pgweir_pool_server_connections", state="reset") == 1)
        shown = json.loads(weir.http("/api/v1/status").text)["servers_lent"]
        assert weir.pool()["sv_active"] == pool["active"] == weir.metric("pgweir_pool_server_connections", state="active") == shown == 0
        answers.set()


@pytest.mark.parametrize("seconds", [0.2, 0.5], ids=["short", "another connection is opened"])
def test_who_waits_for_a_question_of_pgweir_s_is_not_told_to_raise_pool_size(weir, fake, seconds):
    """What the database's code could touch is asked behind the first transaction."""
    def answer(conn, kind, body):
        if kind == "Q" and b"pg_proc" in body:
            time.sleep(seconds)
        return False

    fake.answer = answer
    with weir.start(upstream=fake.upstream, pool_size=2, threshold="100ms").raw() as wire:
        wire.query("SELECT 1", "SELECT 2")
        line = wait_until(lambda: [line for line in weir.slow_lines() if line["event"] == "slow_query"])[-1]
    assert line["cause"] == "connect" and line["wait_ms"] < 30 < 150 < line["connect_ms"], line
