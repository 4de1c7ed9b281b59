"""Many clients share few servers and do everything at once: nothing of one is ever seen by another.

Every reply that carries data carries the client's own token. Clients talk simple, extended, prepared, pipelined,
COPY, make errors, cancel, leave in the middle. The generator is seeded: a failure names its seed.
"""

import random
import threading
import time

import pytest

import rawwire
from compare import converse, normalized
from randomtalk import RandomTalk, create_copy_table
from rawwire import (Wire, bind, close, copy_data, copy_done, copy_fail, describe, errors, execute, flush,
                     one_statement, parse, query, send_cancel, sync, texts)


@pytest.fixture(scope="module", autouse=True)
def tables(postgres):
    create_copy_table(postgres)


class Clients:
    """Threads that each work as one client after another, until the time is up and so much was done, or one has seen
    something foreign. A slow machine has five times as long."""

    def __init__(self, weir, threads, seconds, seed, enough=0):
        self.weir = weir
        self.enough = enough
        self.seconds = seconds
        self.seed = seed
        self.failures = []
        self.counts = {}
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)]

    def run(self):
        self.begin = time.monotonic()
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(5 * self.seconds + 30)
            assert not thread.is_alive(), f"seed {self.seed}: a client hangs"
        assert not self.failures, f"seed {self.seed}: {self.failures[:3]}"
        return self.counts

    def is_over(self):
        past = time.monotonic() - self.begin
        return past > (self.seconds if sum(self.counts.values()) >= self.enough else 5 * self.seconds)

    def _run(self, number):
        chance = random.Random(f"{self.seed}/{number}")
        life = 0
        try:
            while not self.is_over() and not self.failures:
                life += 1
                token = f"<{number}.{life}>"
                user = "web" if number % 4 else "reporting"
                wire = Wire(self.weir.address)
                client = OneClient(self, wire, token, chance)
                try:
                    wire.login(user, "app", parameters={"application_name": token})
                    client.live(chance.randrange(1, 60))
                finally:
                    wire.close()
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(f"client {number}, life {life}, after {client.history[-6:]}: {error!r}")


class OneClient:
    def __init__(self, clients, wire, token, chance):
        self.clients = clients
        self.weir = clients.weir
        self.wire = wire
        self.token = token
        self.chance = chance
        self.prepared = {}
        self.unnamed = None
        self.serial = 0
        self.history = []

    def live(self, turns):
        actions = [self.simple, self.simple, self.extended, self.prepare, self.use_prepared, self.use_prepared,
                   self.close_prepared, self.unnamed_later, self.pipeline, self.error, self.error_in_pipeline,
                   self.transaction, self.failed_transaction, self.copy_in, self.copy_in_bad, self.copy_out,
                   self.flush_first, self.cancelled, self.cancel_when_idle, self.name_of_application, self.big,
                   self.notices]
        for _ in range(turns):
            action = self.chance.choice(actions)
            self.history.append(action.__name__)
            action()
            self.clients.counts[action.__name__] = self.clients.counts.get(action.__name__, 0) + 1
            if self.clients.is_over():
                return
        way = self.chance.choice([self.leave_politely, self.leave_in_transaction, self.leave_in_pipeline,
                                  self.leave_with_half_a_message, self.leave_in_copy, self.leave_while_running])
        self.history.append(way.__name__)
        way()

    def new(self):
        self.serial += 1
        return f"{self.token}{self.serial}"

    def want(self, replies, *rows, may_fail=False):
        found = texts(replies)
        if found != [list(row) for row in rows] or errors(replies) and not may_fail:
            raise AssertionError(f"{self.token} wanted {rows}, got {found} in {rawwire.shape(replies)}")

    def want_error(self, replies, sqlstate):
        found = [reply.sqlstate for reply in errors(replies)]
        if found != [sqlstate]:
            raise AssertionError(f"{self.token} wanted {sqlstate}, got {rawwire.shape(replies)}")

    # what clients do

    def simple(self):
        mark = self.new()
        self.want(self.wire.ask(query(f"SELECT '{mark}'")), [mark])
        self.unnamed = None

    def extended(self):
        mark = self.new()
        self.want(self.wire.ask(one_statement("SELECT $1::text", [mark]) + sync()), [mark])
        self.unnamed = "SELECT $1::text", None

    def prepare(self):
        name = f"s{self.chance.randrange(5)}"
        if name in self.prepared:
            self.want_error(self.wire.ask(parse(name, "SELECT 'must not be'") + sync()), "42P05")
            return
        mark = self.new()
        text = self.chance.choice([f"SELECT '{mark}', $1::text", "SELECT $1::text, $1::text"])
        self.want(self.wire.ask(parse(name, text) + sync()))
        self.prepared[name] = mark if mark in text else None

    def use_prepared(self):
        name = f"s{self.chance.randrange(5)}"
        value = self.new()
        replies = self.wire.ask(bind("", name, [value]) + describe("P") + execute() + sync())
        if name in self.prepared:
            self.want(replies, [self.prepared[name] or value, value])
        else:
            self.want_error(replies, "26000")

    def close_prepared(self):
        name = f"s{self.chance.randrange(5)}"
        if self.chance.random() < 0.5 or name not in self.prepared:
            self.want(self.wire.ask(close("S", name) + sync()))
        else:
            self.want(self.wire.ask(query(f"DEALLOCATE {name}")))
            self.unnamed = None
        self.prepared.pop(name, None)

    def unnamed_later(self):
        mark = self.new()
        self.want(self.wire.ask(parse("", f"SELECT '{mark}', $1::text") + sync()))
        for _ in range(self.chance.randrange(1, 4)):
            value = self.new()
            self.want(self.wire.ask(bind("", "", [value]) + execute() + sync()), [mark, value])

    def pipeline(self):
        marks = [self.new() for _ in range(self.chance.randrange(1, 30))]
        self.wire.send(b"".join(one_statement("SELECT $1::text", [mark]) +
                                (sync() if self.chance.random() < 0.3 else b"") for mark in marks) + query(
                                    f"SELECT '{self.token}last'"))
        replies = self.wire.read_until("Z")
        while not any(f"{self.token}last" in (row[0] or "") for row in texts(replies[-4:])):
            replies += self.wire.read_until("Z")
        self.want(replies, *([mark] for mark in marks), [f"{self.token}last"])
        self.unnamed = None

    def error(self):
        self.want_error(self.wire.ask(query("SELECT 1/0")), "22012")

    def error_in_pipeline(self):
        mark = self.new()
        self.wire.send(one_statement("SELECT $1::text", [mark]) + one_statement("SELECT 1/$1::int", [0]) +
                       one_statement("SELECT 'must not be'") + sync())
        replies = self.wire.read_until("Z")
        self.want(replies, [mark], may_fail=True)
        self.want_error(replies, "22012")

    def transaction(self):
        marks = [self.new() for _ in range(self.chance.randrange(1, 5))]
        self.wire.query("BEGIN")
        pid = self.wire.value("SELECT pg_backend_pid()")
        for mark in marks:
            self.want(self.wire.ask(query(f"SELECT '{mark}', pg_backend_pid()")), [mark, pid])
        self.wire.query(self.chance.choice(["COMMIT", "ROLLBACK"]))

    def failed_transaction(self):
        self.wire.query("BEGIN")
        self.want_error(self.wire.ask(query("SELECT 1/0")), "22012")
        self.want_error(self.wire.ask(one_statement("SELECT 1") + sync()), "25P02")
        self.wire.query("ROLLBACK")

    def copy_in(self):
        count = self.chance.randrange(300)
        self.wire.send(query("COPY random_talk_copy FROM STDIN") + copy_data(b"1\tx\n") * count + copy_done())
        replies = self.wire.read_until("Z")
        assert rawwire.shape(replies) == f"G C:COPY {count} Z:I", rawwire.shape(replies)

    def copy_in_bad(self):
        late = copy_data(b"1\tx\n") * self.chance.randrange(3000)
        end = self.chance.choice([copy_done(), copy_fail(), b""])
        self.wire.send(query("COPY random_talk_copy FROM STDIN") + copy_data(b"bad\n") + late + end)
        self.want_error(self.wire.read_until("Z"), "22P02")
        if not end:
            self.wire.send(copy_done())

    def copy_out(self):
        mark = self.new()
        replies = self.wire.ask(query(f"COPY (SELECT '{mark}' FROM generate_series(1, 20)) TO STDOUT"))
        data = b"".join(reply.body for reply in replies if reply.type == "d").decode()
        assert data == f"{mark}\n" * 20, f"{self.token}: {data[:100]}"

    def flush_first(self):
        mark = self.new()
        self.wire.send(parse("", "SELECT $1::text") + bind("", "", [mark]) + execute() + flush())
        self.want(self.wire.read_until("CE"), [mark])
        self.wire.ask(sync())

    def cancelled(self):
        self.wire.send(query(f"SELECT pg_sleep({self.chance.choice([0.001, 0.02])})"))
        canceller = threading.Thread(target=self.cancel)
        canceller.start()
        replies = self.wire.read_until("Z")
        assert [reply.sqlstate for reply in errors(replies)] in ([], ["57014"])
        canceller.join()
        self.settle()

    def cancel_when_idle(self):
        self.cancel()
        self.settle()

    def settle(self):
        """PostgreSQL itself may deliver a late cancel to the same client's next query."""
        if self.weir.direct:
            replies = self.wire.ask(query("SELECT pg_sleep(0.005)"))
            assert [reply.sqlstate for reply in errors(replies)] in ([], ["57014"])

    def cancel(self):
        assert send_cancel(self.weir.address, self.wire.key) == b""

    def name_of_application(self):
        self.want(self.wire.ask(query("SHOW application_name")), [self.token])

    def big(self):
        mark = self.new()
        size = self.chance.choice([8000, 70_000, 300_000])
        replies = self.wire.ask(one_statement("SELECT $1::text || repeat('x', $2::int)", [mark, size]) + sync())
        self.want(replies, [mark + "x" * size])

    def notices(self):
        mark = self.new()
        replies = self.wire.ask(query(f"DO $$ BEGIN RAISE NOTICE '{mark}'; END $$"))
        assert [reply.error["M"] for reply in replies if reply.type == "N"] == [mark]

    # how they go

    def leave_politely(self):
        self.wire.leave()

    def leave_in_transaction(self):
        self.wire.query("BEGIN")
        self.wire.send(query(f"SELECT '{self.new()}'"))
        self.go()

    def leave_in_pipeline(self):
        self.wire.send(b"".join(one_statement("SELECT $1::text", [self.new()]) + sync() for _ in range(50)))
        self.go()

    def leave_with_half_a_message(self):
        data = query(f"SELECT '{self.new()}', '{'y' * 5000}'")
        self.wire.send(data[:self.chance.randrange(1, len(data))])
        self.go()

    def leave_in_copy(self):
        self.wire.send(query("COPY random_talk_copy FROM STDIN") + copy_data(b"1\tx\n") * 10)
        if self.chance.random() < 0.5:
            self.wire.read_until("G")
        self.go()

    def leave_while_running(self):
        self.wire.send(query("SELECT pg_sleep(0.3)"))
        self.go()

    def go(self):
        self.chance.choice([self.wire.close, self.wire.reset, self.wire.leave])()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everybody_gets_only_their_own(weir, seed):
    weir.start(pool_size=3, max_overflow=seed - 1, overflow_linger="50ms", pool_lifo=seed != 2,
               prepared_statements=5 if seed == 3 else 500, pool_recycle="1s" if seed == 3 else "1h",
               idle_timeout="300ms" if seed == 2 else "10min")
    counts = Clients(weir, 24, 4, seed, enough=300).run()
    assert sum(counts.values()) >= 300 and len(counts) > 15, counts


def test_while_servers_die(weir):
    """Backends are terminated all the time: clients lose connections, but never see another's data."""
    weir.start(pool_size=3)
    stop = threading.Event()

    def killer():
        chance = random.Random(7)
        while not stop.wait(0.05):
            rows = weir.postgres.backends()
            if rows:
                weir.postgres.query("SELECT pg_terminate_backend(%s)", (chance.choice(rows)["pid"],))
    thread = threading.Thread(target=killer)

    class Sturdy(Clients):
        """Lost connections are fine here; foreign data is not."""

        def _run(self, number):
            while not self.is_over() and not self.failures:
                before = len(self.failures)
                super()._run(number)
                kept = [failure for failure in self.failures[before:] if "AssertionError" in failure
                        and "57P01" not in failure and "08006" not in failure]
                self.failures[before:] = kept
    thread.start()
    try:
        Sturdy(weir, 12, 3, 4).run()
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("seed", range(6))
def test_random_pipelines_of_many_clients_at_once(weir, seed):
    """Each conversation's answers are known from PostgreSQL itself; then all are held at once over two servers."""
    weir.start(pool_size=2, pool_lifo=False, prepared_statements=3 if seed % 2 else 500)
    talks = [RandomTalk(f"{seed}/{number}", token=f"client {number}").turns(pipelines=6) for number in range(10)]
    expected = []
    for turns in talks:
        with Wire((weir.postgres.host, weir.postgres.port)).login() as wire:
            expected.append(normalized(converse(wire, turns)))
    found = [None] * len(talks)

    def talk(number):
        with Wire(weir.address).login() as wire:
            found[number] = normalized(converse(wire, talks[number]))
    threads = [threading.Thread(target=talk, args=(number,)) for number in range(len(talks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, answer in enumerate(found):
        assert answer == expected[number], f"client {number}"
