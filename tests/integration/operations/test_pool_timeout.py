"""A full pool is not a failure: after pool_timeout the client gets an ERROR, and its connection lives on."""

import re
import time

import pytest

from rawwire import (BEGIN_NOW, bind, copy_data, copy_done, describe, errors, execute, one_statement, parse, query, shape, sync,
                     texts)
from waiting import SLOWNESS
from weir import timed

pytestmark = pytest.mark.weir_only


@pytest.fixture
def full(weir):
    """A pool of one, which is lent."""
    weir.start_opened("400ms", pool_size=1)
    holder = weir.raw()
    holder.query(BEGIN_NOW)
    return holder


def test_the_error_says_what_is_the_matter_and_who_has_forgotten_a_transaction(weir, full):
    with weir.raw() as wire:
        (reply, end), seconds = timed(wire.ask, query("SELECT 1"))
        assert (reply.sqlstate, reply.severity, end.status) == ("53300", "ERROR", "I")
        assert 0.35 < seconds < 10 * SLOWNESS
        assert "server connection" in reply.error["M"] and "app" in reply.error["D"] and "1 of 1" in reply.error["D"]
        holder, = weir.console("SHOW HOLDERS")
        number = holder["client_id"]
        assert re.fullmatch(rf"End client {number}'s transaction, idle for \S+ m?s \(KILL_CLIENT {number} in the pgweir console\), or "
                            r"set idle_transaction_timeout\.", reply.error["H"])
        full.query("COMMIT")
        assert wire.query("SELECT 1") == [["1"]]


def test_nobody_is_blamed_who_does_something(weir, full):
    full.send(query("SELECT pg_sleep(60)"))
    weir.wait_until(lambda: weir.postgres.count(wait_event="PgSleep"))
    with weir.raw() as wire:
        reply, _ = wire.ask(query("SELECT 1"))
        assert "pool_size" in reply.error["H"] and "max_overflow" in reply.error["H"]


@pytest.mark.parametrize("messages, found", [
    (query(BEGIN_NOW), "E:53300 Z:I"),
    (query("SELECT 1; SELECT 2"), "E:53300 Z:I"),
    (one_statement("SELECT 1") + sync(), "E:53300 Z:I"),
    (parse("s", "SELECT 1") + describe("S", "s") + sync(), "E:53300 Z:I"),
    (b"".join(one_statement("SELECT $1", ["x" * 100_000]) for _ in range(30)) + sync(), "E:53300 Z:I"),
    (query("SELECT '" + "x" * 2_000_000 + "'"), "E:53300 Z:I"),
], ids=["begin", "simple", "extended", "prepare", "a large pipeline", "a large query"])
def test_the_request_is_refused_whole(weir, full, messages, found):
    with weir.raw() as wire:
        assert shape(wire.ask(messages)) == found
        full.query("COMMIT")
        assert shape(wire.ask(query("SELECT 'next'"))) == "T D C:SELECT 1 Z:I"
        assert wire.has_nothing_more()


def test_each_request_of_a_pipeline_is_refused_by_itself(weir, full):
    with weir.raw() as wire:
        wire.send(query("SELECT 1") + one_statement("SELECT 2") + sync() + query("SELECT 3"))
        assert shape(wire.read_until("Z", 3)) == "E:53300 Z:I E:53300 Z:I E:53300 Z:I"


def test_a_refused_parse_does_not_take_the_name(weir, full):
    with weir.raw() as wire:
        assert shape(wire.ask(parse("s", "SELECT 'old'") + sync())) == "E:53300 Z:I"
        full.query("COMMIT")
        assert shape(wire.ask(bind("", "s") + execute() + sync())) == "E:26000 Z:I"
        assert texts(wire.ask(parse("s", "SELECT 'new'") + bind("", "s") + execute() + sync())) == [["new"]]


def test_a_statement_prepared_before_is_there_after_a_refusal(weir, full):
    with weir.raw() as wire:
        full.query("COMMIT")
        wire.ask(parse("s", "SELECT 's'") + sync())
        full.query(BEGIN_NOW)
        assert shape(wire.ask(bind("", "s") + execute() + sync())) == "E:53300 Z:I"
        full.query("COMMIT")
        assert texts(wire.ask(bind("", "s") + execute() + sync())) == [["s"]]


def test_copy_data_sent_ahead_of_a_refused_copy_is_dropped(weir, full, table):
    with weir.raw() as wire:
        wire.send(query(f"COPY {table} FROM STDIN") + copy_data(b"1\ta\n") * 50 + copy_done())
        assert shape(wire.read_until("Z")) == "E:53300 Z:I"
        full.query("COMMIT")
        assert wire.query(f"SELECT count(*) FROM {table}") == [["0"]]


@pytest.mark.long
def test_only_those_whose_time_is_up_are_refused(weir):
    weir.start_opened("2s", pool_size=1)
    holder, early, late = weir.raw(), weir.raw(), weir.raw()
    holder.query(BEGIN_NOW)
    early.send(query("SELECT 'early'"))
    weir.wait_waiting(1)
    begin = time.monotonic()
    weir.wait_until(lambda: time.monotonic() - begin > 1.3)
    late.send(query("SELECT 'late'"))
    assert shape(early.read_until("Z")) == "E:53300 Z:I"
    holder.query("COMMIT")
    assert texts(late.read_until("Z")) == [["late"]]


def test_it_counts_in_metrics_and_in_the_slow_log(weir, full):
    with weir.raw(parameters={"application_name": "waiter"}) as wire:
        wire.ask(query("SELECT 'waited in vain'"))
    weir.wait_until(lambda: weir.metric("pgweir_pool_timeouts_total", database="app", user="web") == 1)
    assert weir.metric("pgweir_client_requests_failed_total", database="app", reason="pool_timeout") == 1
    assert weir.metric("pgweir_errors_total", database="app", origin="proxy", sqlstate_class="53") == 1
    line = weir.wait_until(lambda: [line for line in weir.slow_lines() if line["event"] == "pool_timeout"])[0]
    assert line["sqlstate"] == "53300" and line["cause"] == "pool_wait" and line["application"] == "waiter"


def test_a_timeout_per_user_wins(weir):
    weir.start(pool_size=1, pool_timeout="30s", sections={"user reporting": {"pool_timeout": "200ms"}})
    holder = weir.wait_until(lambda: weir.raw("reporting"))  # on a busy machine the first connection takes longer than that
    weir.wait_until(lambda: not holder.query(BEGIN_NOW))
    with weir.raw("reporting") as wire:
        answer, seconds = timed(wire.ask, query("SELECT 1"))
        assert errors(answer)[0].sqlstate == "53300" and seconds < 10 * SLOWNESS


def test_drivers_go_on_after_it(weir, full):
    import psycopg
    import psycopg2
    for connect, error in ((weir.connect, psycopg.errors.TooManyConnections),
                           (weir.connect2, psycopg2.errors.TooManyConnections)):
        connection = connect(autocommit=True)
        cursor = connection.cursor()
        with pytest.raises(error):
            cursor.execute("SELECT 1")
        full.query("COMMIT")
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)
        full.query(BEGIN_NOW)
