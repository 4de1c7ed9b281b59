"""Reads of clients that wait go ahead of their turn, with max_pipeline: who gets which answer, and what becomes of it otherwise."""

import contextlib
import functools
import threading

import pytest

from rawwire import BEGIN_NOW, bind, describe, errors, execute, one_statement, parse, query, send_cancel, sync, texts
from waiting import wait_until

LONG = "60s"
BLOCKED = "SELECT id FROM kept"
READS = {"simple": query("SELECT 'mine'"), "extended": one_statement("SELECT 'mine'") + sync()}
ATTEMPTS = 20


class NothingKnown(AssertionError):
    """Nobody went ahead who could have: rightly so while it is not known what code the database has, every 2 s anew."""


def attempted(test):
    """Runs the test until the code was known throughout, ATTEMPTS times at most. What clients are answered is asserted each time."""
    @functools.wraps(test)
    def run(shared, **arguments):
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(NothingKnown):
                return test(shared, **arguments)
        return test(shared, **arguments)
    return run


class Shared:
    """One connection of pgweir's. The client that has it waits for a table that somebody else has locked; who comes then may go
    ahead."""

    def __init__(self, weir):
        self.weir, self.postgres = weir, weir.postgres
        self._before, self._stop, self._keeper = None, threading.Event(), None

    def start(self, **settings):
        """Or begins the next attempt."""
        if self._keeper is None:
            self._start_first(settings)
        with self.weir.raw() as first:
            first.query("SELECT 1")
        self.weir.settle()
        self._before = self._count()

    def _start_first(self, settings):
        self.postgres.query("CREATE TABLE IF NOT EXISTS kept (id int)")
        self.postgres.query("GRANT ALL ON kept TO PUBLIC")
        self.postgres.query("TRUNCATE kept")
        self.postgres.query("INSERT INTO kept VALUES (1)")
        self.weir.start(**self.configuration(settings))
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()

    def configuration(self, settings):
        return {"sections": {"database keeper": {"upstream": self.weir.upstream(dbname="app")}}, "workers": 1, "pool_size": 1,
                "max_overflow": 0, "max_pipeline": 2, "max_pipeline_wait": LONG, **settings}

    def reload(self, **settings):
        self.weir.reload(**self.configuration(settings))

    def _keep(self):
        """A connection of another pool asks what code the database has while the one of the test can't."""
        with self.weir.raw(database="keeper") as wire:
            while not self._stop.wait(0.05):
                wire.query("SELECT 1")

    def stop(self):
        self._stop.set()
        if self._keeper is not None:
            self._keeper.join()

    @contextlib.contextmanager
    def locked(self):
        """What is done meanwhile finds the table locked; it is free in the end, or when the result is called."""
        with contextlib.closing(self.postgres.connect()) as direct, direct.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE kept")
            yield lambda: cursor.execute("ROLLBACK")

    @contextlib.contextmanager
    def held(self, others=1, before=query(BLOCKED), **settings):
        """What unlocks the table, the client that waits for it, and so many others."""
        self.start(**settings)
        with self.locked() as unlock, contextlib.ExitStack() as stack:
            holder, *clients = (stack.enter_context(self.weir.raw()) for _ in range(1 + others))
            holder.send(before)
            self.wait_locked()
            yield unlock, holder, *clients

    def wait_locked(self, count=1):
        wait_until(lambda: self.postgres.count(wait_event_type="Lock") == count, what=f"{count} that wait for the table")

    def numbers(self):
        return next(row for row in self.weir.console("SHOW POOLS_EXTENDED") if row["database"] == "app")

    def wait_ahead(self, count, waiting=None):
        wait_until(lambda: self.numbers()["waiting"] == (count if waiting is None else waiting), what="clients to wait")
        ahead = self.numbers()["ahead"]
        if ahead < count:
            raise NothingKnown(f"{ahead} of {count} went ahead")
        assert ahead == count

    def goes_ahead(self, unlock, holder, reader):
        """What reader has sent is behind what holder waits for, and each gets its own answer once that is unlocked."""
        self.wait_ahead(1)
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        assert texts(reader.read_until("Z")) == [["mine"]]

    def _count(self):
        return tuple(int(self.weir.metric_now("pgweir_pipelined_total", database="app", user="web", result=result))
                     for result in ("first", "second", "again"))

    def results(self):
        """How many were answered first, second, and again in this attempt."""
        return tuple(now - before for now, before in zip(self._count(), self._before))

    def wait_results(self, *expected):
        wait_until(lambda: sum(self.results()) == sum(expected), what=f"first, second, again to be {expected}")
        if self.results() != expected:
            raise NothingKnown(f"{self.results()} is not {expected}")


@pytest.fixture
def shared(weir):
    it = Shared(weir)
    yield it
    it.stop()


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("before", [query(BLOCKED), one_statement(BLOCKED) + sync()], ids=["simple", "extended"])
@attempted
def test_a_read_goes_ahead_and_each_gets_its_own_answer(shared, before, read):
    with shared.held(before=before) as (unlock, holder, reader):
        reader.send(read)
        shared.goes_ahead(unlock, holder, reader)
    shared.wait_results(1, 0, 0)


@pytest.mark.alone      # six clients come one after the other while the code is known
@attempted
def test_as_many_go_ahead_as_max_pipeline_says_in_their_order(shared):
    with shared.held(6, max_pipeline=4) as (unlock, holder, *readers):
        for number, reader in enumerate(readers):
            reader.send(query(f"SELECT {number}"))
            shared.wait_ahead(min(number + 1, 3), waiting=number + 1)
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        assert [texts(reader.read_until("Z")) for reader in readers] == [[[str(number)]] for number in range(6)]
    wait_until(lambda: sum(shared.results()) >= 3, what="those to be counted who went ahead")
    first, second, again = shared.results()
    assert second == 0
    if again > 0:
        raise NothingKnown(f"{again} were sent again, {first} first")


@pytest.mark.parametrize("message", [
    query("INSERT INTO kept VALUES (2)"), query("SELECT 1; SELECT 2"), query("SELECT id FROM kept FOR UPDATE"), query(BEGIN_NOW),
    query("SELECT nextval('numbers')"), query("SET application_name = 'x'"), query("COPY kept TO STDOUT"), query("SHOW search_path"),
    one_statement("DELETE FROM kept") + sync(), one_statement("SELECT 1") + one_statement("SELECT 2") + sync(),
    one_statement("SELECT 1"), query("SELECT 1") + query("SELECT 2")],
    ids=["a write", "two statements", "a lock", "a transaction", "a sequence", "a setting", "a copy", "show", "an extended write",
         "two extended statements", "no Sync", "two requests"])
@attempted
def test_nothing_else_goes_ahead(shared, message):
    shared.postgres.query("CREATE SEQUENCE IF NOT EXISTS numbers")
    with shared.held() as (unlock, holder, other):
        other.send(message)
        shared.wait_ahead(0, waiting=1)
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
    assert shared.results() == (0, 0, 0)


@attempted
def test_nobody_goes_ahead_of_a_write_that_waits(shared):
    with shared.held(2, max_pipeline=8) as (unlock, holder, writer, reader):
        writer.send(query("INSERT INTO kept VALUES (2)"))
        shared.wait_ahead(0, waiting=1)
        reader.send(query("SELECT count(*) FROM kept"))
        shared.wait_ahead(0, waiting=2)
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        assert errors(writer.read_until("Z")) == []
        assert texts(reader.read_until("Z")) == [["2"]]


@pytest.mark.parametrize("before", [
    query("BEGIN") + query(BLOCKED), query(BLOCKED + "; SELECT 2"), query("DO 'BEGIN LOCK TABLE kept; END'"),
    one_statement(BLOCKED)], ids=["a transaction", "two statements", "code", "no Sync"])
@attempted
def test_nothing_goes_ahead_behind_what_may_not_end_it_all(shared, before):
    if before[-5:] != sync() and before[:1] == b"P":
        before += b"H\0\0\0\4"
    with shared.held(before=before) as (unlock, holder, reader):
        reader.send(query("SELECT 'mine'"))
        shared.wait_ahead(0, waiting=1)
        unlock()
        holder.send(sync() if before[:1] == b"P" else query("ROLLBACK"))
        assert texts(reader.read_until("Z")) == [["mine"]]


@attempted
def test_a_cancel_of_what_runs_does_not_hit_who_is_behind(shared):
    with shared.held() as (_, holder, reader):
        reader.send(query("SELECT 'mine'"))
        shared.wait_ahead(1)
        send_cancel(shared.weir.address, holder.key)
        assert errors(holder.read_until("Z"))[0].sqlstate == "57014"
        assert texts(reader.read_until("Z")) == [["mine"]]
    shared.wait_results(0, 0, 1)


@attempted
def test_a_cancel_of_who_is_ahead_is_answered_at_once_and_hits_nobody(shared):
    with shared.held() as (unlock, holder, reader):
        reader.send(query("SELECT 'mine'"))
        shared.wait_ahead(1)
        send_cancel(shared.weir.address, reader.key)
        assert errors(reader.read_until("Z"))[0].sqlstate == "57014"
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        assert reader.query("SELECT 'later'") == [["later"]]
        assert holder.query("SELECT 'still'") == [["still"]]


@attempted
def test_who_is_ahead_and_leaves_gets_nothing_and_takes_nothing(shared):
    with shared.held(0) as (unlock, holder):
        with shared.weir.raw() as reader:
            reader.send(query("SELECT 'mine'"))
            shared.wait_ahead(1)
        shared.wait_ahead(0)
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        assert holder.query("SELECT 'still'") == [["still"]]


@attempted
def test_pool_timeout_counts_for_who_is_ahead(shared):
    with shared.held(pool_timeout="2s") as (unlock, holder, reader):
        reader.send(query("SELECT 'mine'"))
        assert errors(reader.read_until("Z"))[0].sqlstate == "53300"
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        assert reader.query("SELECT 'later'") == [["later"]]


@attempted
def test_who_is_ahead_stays_in_the_queue_when_the_connection_is_lost(shared):
    with shared.held(2, max_pipeline=3) as (_, holder, one, two):
        for reader, name in (one, "one"), (two, "two"):
            reader.send(query(f"SELECT '{name}'"))
        shared.wait_ahead(2)
        shared.postgres.kill_backends(wait_event_type="Lock")
        assert errors(holder.read_until("E"))[-1].sqlstate == "57P01"
        assert texts(one.read_until("Z")) == [["one"]]
        assert texts(two.read_until("Z")) == [["two"]]


@attempted
def test_what_takes_too_long_does_not_keep_who_is_ahead(shared):
    """Another connection comes free: the read is run there, and its other answer is swallowed."""
    shared.start(pool_size=2, max_pipeline_wait="1s")
    with shared.locked() as unlock, shared.weir.raw() as holder, shared.weir.raw() as other, shared.weir.raw() as reader:
        other.query("BEGIN; SELECT 1")
        holder.send(query(BLOCKED))
        shared.wait_locked()
        reader.send(query("SELECT 'mine'"))
        shared.wait_ahead(1)
        other.query("COMMIT")
        assert texts(reader.read_until("Z")) == [["mine"]]
        shared.wait_results(0, 1, 0)
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        assert [wire.query("SELECT 'still'") for wire in (holder, other, reader)] == [[["still"]]] * 3


@attempted
def test_the_next_request_of_who_runs_waits_for_its_turn(shared):
    with shared.held() as (unlock, holder, reader):
        reader.send(query("SELECT 'mine'"))
        shared.wait_ahead(1)
        holder.send(query("INSERT INTO kept VALUES (2)"))
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        assert texts(reader.read_until("Z")) == [["mine"]]
        assert errors(holder.read_until("Z")) == []
        assert reader.query("SELECT count(*) FROM kept") == [["2"]]


@pytest.mark.parametrize("setting", ["app", "pgweir"])
@attempted
def test_a_read_of_who_asks_to_keep_its_server_does_not_go_ahead(shared, setting):
    """It would run on a server that its client does not keep."""
    options = {"options": f"-c {setting}.pin=on"}
    shared.start()
    with shared.locked() as unlock, shared.weir.raw(parameters=options) as holder, shared.weir.raw(parameters=options) as reader:
        holder.send(query(BLOCKED))
        shared.wait_locked()
        reader.send(query("SELECT 'mine'"))
        shared.wait_ahead(int(setting == "app"), waiting=1)
        unlock()
        assert texts(holder.read_until("Z")) == [["1"]]
        holder.leave()
        assert texts(reader.read_until("Z")) == [["mine"]]


@pytest.mark.parametrize("sql", ["SELECT $1::text", "SELECT $1::text WHERE 'é' = 'é'"], ids=["plain", "literals"])
@attempted
def test_prepared_statements_go_ahead_where_they_are_prepared(shared, sql):
    shared.start()
    with shared.locked() as unlock, shared.weir.raw() as holder, shared.weir.raw() as reader:
        reader.send(parse("name", sql) + sync())
        reader.read_until("Z")
        run = bind("", "name", (b"mine",)) + describe("P") + execute() + sync()
        for _ in range(2):
            reader.send(run)
            assert texts(reader.read_until("Z")) == [["mine"]]
        holder.send(query(BLOCKED))
        shared.wait_locked()
        reader.send(run)
        shared.goes_ahead(unlock, holder, reader)
    shared.wait_results(1, 0, 0)


@attempted
def test_reads_go_ahead_on_a_connection_that_has_plans_of_functions(shared):
    """Of clients with the same settings: what one of them ran leaves plans there that suit the others."""
    if shared.postgres.value("SELECT to_regproc('planned')") is None:
        shared.postgres.query("CREATE FUNCTION planned() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 7; END'")
    shared.start()
    with shared.locked() as unlock, shared.weir.raw() as holder, shared.weir.raw() as reader:
        assert holder.query("SELECT planned()") == [["7"]]
        shared.weir.settle()
        holder.send(query(BLOCKED))
        shared.wait_locked()
        reader.send(query("SELECT 'mine'"))
        shared.goes_ahead(unlock, holder, reader)
    shared.wait_results(1, 0, 0)


@pytest.mark.parametrize("settings", [{"max_pipeline": 1}, {"commit_check": "on"}, {"refuse": "ddl"}, {"max_overflow": 1, "max_db_connections": 1}],
                         ids=["off", "commit_check", "refuse", "cap"])
@attempted
def test_without_it_nobody_goes_ahead(shared, settings):
    with shared.held(**settings) as (unlock, holder, reader):
        reader.send(query("SELECT 'mine'"))
        if "pool_mode" not in settings:
            shared.wait_ahead(0, waiting=1)
            unlock()
        else:
            unlock()
            holder.close()
        assert texts(reader.read_until("Z")) == [["mine"]]
    assert shared.results() == (0, 0, 0)


@pytest.mark.reloads("pool.max_pipeline", "pool.max_pipeline_wait")
@attempted
def test_a_reload_changes_how_many_go_ahead_and_behind_what(shared):
    shared.start()
    for settings, count in ({"max_pipeline": 1}, 0), ({}, 1), ({"max_pipeline_wait": "0s"}, 0), ({"max_pipeline": 4}, 2):
        shared.reload(**settings)
        with shared.locked() as unlock, contextlib.ExitStack() as stack:
            holder, *readers = (stack.enter_context(shared.weir.raw()) for _ in range(3))
            holder.send(query(BLOCKED))
            shared.wait_locked()
            for number, reader in enumerate(readers):
                reader.send(query(f"SELECT {number}"))
                shared.wait_ahead(min(number + 1, count), waiting=number + 1)
            row = next(row for row in shared.weir.console("SHOW HOLDERS") if row["database"] == "app")
            assert row["ahead"] == count
            links = [row["link"] for row in shared.weir.console("SHOW CLIENTS") if row["database"] == "app"]
            server, = (row["ptr"] for row in shared.weir.console("SHOW SERVERS") if row["database"] == "app")
            assert sorted(links) == [""] * (2 - count) + [server] * (1 + count)
            unlock()
            assert texts(holder.read_until("Z")) == [["1"]]
            assert [texts(reader.read_until("Z")) for reader in readers] == [[[str(number)]] for number in range(2)]


@attempted
def test_with_workers_each_shares_its_own_connections(shared):
    """Everybody gets his own answers, whichever worker he is at."""
    shared.start(workers=2, pool_size=2, max_pipeline=4)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(shared.weir.raw()) for _ in range(12)]
        for turn in range(30):
            for number, wire in enumerate(wires):
                wire.send(query(f"SELECT '{turn} {number}'"))
            for number, wire in enumerate(wires):
                assert texts(wire.read_until("Z")) == [[f"{turn} {number}"]]
    wait_until(lambda: sum(shared.results()) > 0, what="some to go ahead")
