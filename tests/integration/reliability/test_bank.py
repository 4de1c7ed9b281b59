"""A bank whose clients transfer money while everything around them breaks. Every COMMIT that a client saw acknowledged is
there exactly once, sums hold, and nobody sees another's rows. BANK_SECONDS sets how long it goes on."""

import asyncio
import collections
import os
import random
import signal
import threading
import time

import asyncpg
import psycopg
import psycopg2
import pytest

from postgres import Postgres
from tap import Tap
from waiting import each, wait_until
from weir import Weir

# Each run has a time, a number of workers and of connections: with 12 the pool has a part on each of three workers.
SMALL, SPLIT = (1, 6), (3, 12)
RUNS = [(float(os.environ["BANK_SECONDS"]), *pool) for pool in (SMALL, SPLIT)] if "BANK_SECONDS" in os.environ else \
    [(7, *SMALL), *(pytest.param(15, *pool, marks=pytest.mark.sweep(keep=0)) for pool in (SMALL, SPLIT))]
ACCOUNTS, MONEY = 40, 1000

SCHEMA = """
    CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
    INSERT INTO account SELECT i, %(money)s FROM generate_series(1, %(accounts)s) i;
    CREATE TABLE transfer (id bigint PRIMARY KEY, owner text NOT NULL DEFAULT current_setting('bank.owner'),
                           source int NOT NULL, target int NOT NULL, amount int NOT NULL);
    ALTER TABLE transfer ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON transfer USING (owner = current_setting('bank.owner'));
    GRANT ALL ON account, transfer TO web
"""
LOCK = "SELECT balance FROM account WHERE id IN ({}, {}) ORDER BY id FOR UPDATE"
NOTE = "INSERT INTO transfer (id, source, target, amount) VALUES ({}, {}, {}, {})"
MOVE = "UPDATE account SET balance = balance + {} WHERE id = {}"
OWNERS = "SELECT DISTINCT owner FROM transfer"


class Bank:
    """What the clients were told."""

    def __init__(self):
        self.lock = threading.Lock()
        self.number = 0
        self.owner_of = {}
        self.told = {"committed": set(), "rolled back": set(), "failed": set(), "unknown": set()}
        self.seen_foreign = []
        self.crashed = []
        self.last = time.monotonic()
        self.longest_stall = 0.0        # without any acknowledged COMMIT
        self.is_over = False

    def next(self, owner):
        with self.lock:
            self.number += 1
            self.owner_of[self.number] = owner
            return self.number

    def tell(self, number, what):
        with self.lock:
            self.told[what].add(number)
            if what == "committed":
                now = time.monotonic()
                self.longest_stall = max(self.longest_stall, now - self.last)
                self.last = now

    def look(self, owner, owners):
        foreign = set(owners) - {owner}
        if foreign:
            self.seen_foreign.append((owner, foreign))

    def check(self, postgres):
        there = dict(postgres.query("SELECT id, owner FROM transfer"))
        assert not self.crashed, self.crashed[:3]
        assert not self.seen_foreign, self.seen_foreign[:3]
        assert not self.told["committed"] - there.keys(), "they were acknowledged, and are not there"
        assert not self.told["rolled back"] & there.keys(), "they were said to be rolled back, and are there"
        assert not self.told["failed"] & there.keys(), "they failed before their COMMIT, and are there"
        assert not {n for n, owner in there.items() if self.owner_of[n] != owner}, "somebody else's name is on them"
        assert postgres.value("SELECT sum(balance) FROM account") == ACCOUNTS * MONEY
        wrong = postgres.query("""
            SELECT a.id FROM account a WHERE balance <> %s
                + (SELECT coalesce(sum(amount), 0) FROM transfer WHERE target = a.id)
                - (SELECT coalesce(sum(amount), 0) FROM transfer WHERE source = a.id)""", (MONEY,))
        assert not wrong, f"money was moved twice, or without a transfer: {wrong}"
        return len(self.told["committed"] & there.keys())


def steps(bank, chance, owner):
    source, target = chance.sample(range(1, ACCOUNTS + 1), 2)
    number, amount = bank.next(owner), chance.randint(1, 100)
    return number, [LOCK.format(source, target), NOTE.format(number, source, target, amount), MOVE.format(-amount, source),
                    MOVE.format(amount, target)]


def judge(error, is_committing):
    if getattr(error, "sqlstate", getattr(error, "pgcode", None)) == "40001":
        return "rolled back"
    return "unknown" if is_committing else "failed"


def clerk(bank, owner, connect):
    """One with psycopg or psycopg2."""
    chance, connection = random.Random(owner), None
    while not bank.is_over:
        number, is_committing = None, False
        try:
            if connection is None:
                connection = connect()
                cursor = connection.cursor()
                cursor.execute(f"SET bank.owner = '{owner}'")
                connection.commit()
            number, statements = steps(bank, chance, owner)
            for sql in statements:
                cursor.execute(sql)
            is_committing = True
            connection.commit()
            bank.tell(number, "committed")
            is_committing = False
            cursor.execute(OWNERS)
            bank.look(owner, [row[0] for row in cursor.fetchall()])
            connection.commit()
        except (psycopg.Error, psycopg2.Error) as error:
            if number is not None and number not in bank.told["committed"]:
                bank.tell(number, judge(error, is_committing))
            time.sleep(0.02)        # pgweir or PostgreSQL may be away
            if connection is None:
                continue
            try:
                connection.rollback()
            except (psycopg.Error, psycopg2.Error):
                number = None
            if number is None or connection.closed:     # it is gone, or has not been told its name
                connection.close()
                connection = None
        except Exception as error:  # pylint: disable=broad-except
            bank.crashed.append(repr(error))
            return
    if connection is not None:
        connection.close()


async def asynchronous_clerk(bank, owner, weir):
    chance, connection = random.Random(owner), None
    while not bank.is_over:
        number, is_committing = None, False
        try:
            if connection is None:
                connection = await asyncpg.connect(host=weir.host, port=weir.port, user="web", database="app", timeout=10,
                                                   ssl=False)
                await connection.execute(f"SET bank.owner = '{owner}'")
            number, statements = steps(bank, chance, owner)
            transaction = connection.transaction()
            await transaction.start()
            for sql in statements:
                await connection.fetch(sql)
            is_committing = True
            await transaction.commit()
            bank.tell(number, "committed")
            is_committing = False
            bank.look(owner, [row[0] for row in await connection.fetch(OWNERS)])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError,
                asyncio.TimeoutError) as error:     # InternalClientError: it was refused in the middle of its login
            if number is not None and number not in bank.told["committed"]:
                bank.tell(number, judge(error, is_committing))
            if connection is not None:
                connection.terminate()
            connection = None
            await asyncio.sleep(0.02)
        except Exception as error:  # pylint: disable=broad-except
            bank.crashed.append(repr(error))
            return
    if connection is not None:
        connection.terminate()


async def asynchronous_clerks(bank, weir, count):
    await asyncio.gather(*(asynchronous_clerk(bank, f"asyncpg-{i}", weir) for i in range(count)))


class Trouble:
    """What breaks, each thing about as often as the others."""

    def __init__(self, weir, postgres, near, far):
        self.weir, self.postgres, self.near, self.far = weir, postgres, near, far
        self.chance = random.Random(34)
        self.done = collections.Counter()

    def cause(self):
        what = self.chance.choice(self.kinds)
        what(self)
        self.done[what.__name__] += 1

    @staticmethod
    def _asked(question):
        """PostgreSQL may notice a kill late, at any moment, and recover then."""
        answer, = wait_until(lambda: (question(),), what="PostgreSQL to recover")
        return answer

    def _backends(self):
        return [row["pid"] for row in self._asked(lambda: self.postgres.backends(usename="web"))]

    def backend_ended(self):
        for pid in self.chance.sample(found := self._backends(), min(2, len(found))):
            self._asked(lambda pid=pid: self.postgres.query("SELECT pg_terminate_backend(%s)", (pid,), dbname="postgres"))

    def backend_killed(self):
        """PostgreSQL restarts by itself, and recovers."""
        for pid in self._backends()[:1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self._asked(lambda: self.postgres.value("SELECT true"))

    def postgres_restarted(self):
        self.postgres.stop(signal.SIGINT)
        self.postgres.start()

    def postgres_crashed(self):
        self.postgres.stop(signal.SIGQUIT)
        self.postgres.start()

    def weir_stopped(self):
        self.weir.signal(signal.SIGTERM)
        self.weir.wait_exit(15)
        self._start_weir()

    def weir_killed(self):
        self.weir.signal(signal.SIGKILL)
        self.weir.process.wait()
        self._start_weir()

    def weir_restarted(self):
        """Its clients move to a successor, in the middle of all this."""
        self.weir.restart()

    def _start_weir(self):
        self.weir.expected_exit = None
        self.weir.launch([str(self.weir.ini)])

    def servers_reset(self):
        self.far.reset(lambda index: index % 2 == 0)

    def clients_reset(self):
        self.near.reset(lambda index: index % 3 == 0)

    kinds = [backend_ended, backend_killed, postgres_restarted, postgres_crashed, weir_stopped, weir_killed, weir_restarted,
             servers_reset, clients_reset]


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seconds, workers, size", RUNS)
def test_nothing_is_lost_and_nothing_is_done_twice(tmp_path, seconds, workers, size):
    postgres = Postgres("synchronous_commit = on\n")
    postgres.query(SCHEMA % {"money": MONEY, "accounts": ACCOUNTS})
    bank = Bank()
    with Tap((postgres.host, postgres.port)) as far:
        weir = Weir(postgres, tmp_path)
        weir.start(upstream=weir.upstream(port=far.port), commit_check=True, workers=workers, pool_size=size,
                   shutdown_timeout="5s")
        with Tap((weir.host, weir.port)) as near:
            dsn = weir.dsn(port=near.port)
            threads = [threading.Thread(target=clerk, args=(bank, f"{connect.__module__}-{i}",
                                                            lambda connect=connect: connect(dsn)), daemon=True)
                       for connect in (psycopg.connect, psycopg2.connect) for i in range(5)]
            threads.append(threading.Thread(target=lambda: asyncio.run(asynchronous_clerks(bank, weir, 5)), daemon=True))
            each(threads).start()
            trouble = Trouble(weir, postgres, near, far)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                before = len(bank.told["committed"])
                wait_until(lambda: len(bank.told["committed"]) > before + 30, 60,  # pylint: disable=cell-var-from-loop
                           "the bank to go on")
                trouble.cause()
            before = len(bank.told["committed"])
            wait_until(lambda: len(bank.told["committed"]) > before + 30, 60, "the bank to go on")
            if workers > 1:
                wait_until(lambda: weir.metric("pgweir_crossings_total", what="returned_server"), 60, "a server to cross")
            bank.is_over = True
            each(threads).join()
        problems = weir.teardown()
    try:
        found = bank.check(postgres)
    finally:
        postgres.destroy()
    print(f"{sum(trouble.done.values())} faults {dict(trouble.done)}; {bank.number} transactions: "
          f"{len(bank.told['committed'])} acknowledged, {found} of them found, {len(bank.told['rolled back'])} rolled back, "
          f"{len(bank.told['failed'])} failed before COMMIT, {len(bank.told['unknown'])} in doubt; "
          f"longest time without a COMMIT {bank.longest_stall:.1f} s")
    assert not problems, problems
