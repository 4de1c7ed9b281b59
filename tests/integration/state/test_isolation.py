"""Nothing of one client is ever seen by another, whether a text shows it or not.

Many share few servers and do everything at once: every reply that carries data carries the client's own token. One leaves state in
its session, in each of the ways of unseen.py: two others of the same pool, one that was there before and one that comes now, are
asked for all that a session has, and must see what a session has that nobody touched. What a row leaves is first proved with
PostgreSQL itself: a row that leaves nothing there is left out. Two, three or four of these ways meet, in one batch or one transaction,
among COPY, cursors, LISTEN, PREPARE, roles, errors, cancel requests and messages that nobody ends. All is seeded: a failure names its
seed.

PGWEIR_MEETINGS       which seeds: "7" or "1-50"        (default: a few)
PGWEIR_MEETINGS_EACH  meetings per seed                 (default: 40)
"""

import os
import random
import select
import threading
import time

import pytest

import rawwire
import unseen
from compare import converse, normalized
from leftovers import direct
from postgres import major_version
from randomtalk import RandomTalk, create_copy_table
from rawwire import (BEGIN_NOW, Wire, WireError, bind, close, copy_data, copy_done, copy_fail, describe, errors, execute, flush,
                     one_statement, parse, query, send_cancel, sync, terminate, texts)
from unseen import BOSS, CLERK, MARK, Answer, make_database, make_rows, probe, run, seeded_numbers
from waiting import SLOWNESS, each, wait_until


@pytest.fixture(scope="module", autouse=True)
def tables(postgres):
    create_copy_table(postgres)


class Clients:
    """Threads that each work as one client after another, until the time is up and so much was done, or one has seen
    something foreign. A machine that does much else has five times as long, and each as long as it is slow."""

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
        each(self.threads).start()
        for thread in self.threads:
            thread.join((5 * self.seconds + 30) * SLOWNESS)
            assert not thread.is_alive(), f"seed {self.seed}: a client hangs"
        assert not self.failures, f"seed {self.seed}: {self.failures[:3]}"
        return self.counts

    def is_over(self):
        past = time.monotonic() - self.begin
        return past > (self.seconds if sum(self.counts.values()) >= self.enough else 5 * self.seconds * SLOWNESS)

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
        # From PostgreSQL 18 on, a Query behind an Execute without a Sync breaks the transaction state.
        before_query = sync() if major_version() >= 18 else b""
        self.wire.send(b"".join(one_statement("SELECT $1::text", [mark]) +
                                (sync() if self.chance.random() < 0.3 else b"") for mark in marks) + before_query + query(
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


@pytest.mark.before(18, "a Query behind an Execute without a Sync breaks its transaction state there")
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
    each(threads).start()
    each(threads).join()
    for number, answer in enumerate(found):
        assert answer == expected[number], f"client {number}"


# --- whoever comes next ------------------------------------------------------------------------------------------

ALL, MEET_ALL = "sealed_all", "meet_all"        # with the code of all kinds
BARE, MEET_BARE = "sealed_bare", "meet_bare"    # without code
MEET_LITTLE = "meet_little"         # a few kinds, whose code says what it does
LITTLE = {f"sealed_{name.lower()}": name for name in unseen.KINDS}      # with the code of one kind each
WASHABLE = [name for name in unseen.KINDS if name not in unseen.BACKEND]
PATIENCE = 0.03                     # seconds; who is not answered by then waits for a server that A keeps
READING = 8 * SLOWNESS              # seconds for what must come, on a machine that does much else
# settings of another B's own, which it must see instead
OWN = {"application_name": "B's own", "options": "-c work_mem=5MB -c app.user_id=B -c search_path=sealed,public"}


def hidden(test):
    """Marks of a test in which clients leave what no text shows: its databases take seconds."""
    return pytest.mark.weir_only(pytest.mark.timeout(900)(pytest.mark.long(test)))


class World:
    """Databases, and the rows that leave something, with what A is told about each by PostgreSQL itself."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.address = direct(postgres)
        self.rows, self.told = {}, {}
        self.seeded = seeded_numbers(postgres, "app")
        unseen.make_roles(postgres)

    def needs(self, *names):
        """Makes those that are not there yet."""
        for dbname in names:
            if dbname in self.rows:
                continue
            if dbname == ALL:
                self._add(ALL, WASHABLE, WASHABLE)
            elif dbname == BARE:
                self._add(BARE, [], WASHABLE, "none")
            else:
                self._add(dbname, [LITTLE[dbname]], [LITTLE[dbname]], "own", has_dynamic=False)

    def _add(self, dbname, code, names, rows="all", **more):
        make_database(self.postgres, dbname, code, **more)
        found = make_rows(self.postgres, dbname, names, rows)
        self.rows[dbname] = []
        for user in ("web", BOSS):
            self._prove(dbname, user, [row for row in found if row.kind.user == user])

    def _prove(self, dbname, user, rows):
        wire = None
        for row in rows:
            if wire is None or row.kind.name in unseen.BACKEND:
                if wire is not None:
                    wire.close()
                self.await_backends(dbname, user, 0)
                wire = Wire(self.address).login(user, dbname)
                clean = ask(wire, dbname, user)
            if self._left(wire, row, clean, dbname):
                self.rows[dbname].append(row)
            for again in ("ROLLBACK", "DISCARD ALL", "SELECT setseed(0.7)"):
                wire.query(again)

    def _left(self, wire, row, clean, dbname):
        talk = row.talk
        if talk.leaves:             # what it would have left if it had stayed
            data = b"".join(part for part, _ in talk.parts).removesuffix(b"X\0\0\0\4")
            wire.send(data + sync())
            wire.read_until("Z", 1 + sum(1 for kind in kinds_of(data) if kind in "QSF"))
        else:
            self.told[dbname, str(row)] = run(wire, talk)
        wire.query("ROLLBACK")
        return ask(wire, dbname, row.kind.user).differs(clean, self.seeded)

    def await_backends(self, dbname, user, most):
        """One whose connection is closed may still be ending, and have what only one backend can have: an origin, a slot."""
        wait_until(lambda: self.postgres.count(datname=dbname, usename=user) <= most, what="backends to end", pause=0.001)

    def drop(self):
        for dbname in self.rows:
            self.postgres.query(f"DROP DATABASE {dbname} WITH (FORCE)", dbname="postgres")


def kinds_of(data):
    """The types of the messages."""
    at = 0
    while at < len(data):
        yield chr(data[at])
        at += 1 + int.from_bytes(data[at + 1:at + 5], "big")


@pytest.fixture(scope="module")
def world(postgres):
    made = World(postgres)
    yield made
    made.drop()


def question(dbname, user, by_name=False):
    """All that a session has; by_name: with a statement that is prepared already."""
    if by_name:
        return bind("", "probe") + execute() + sync()
    return query(f"{probe(user, dbname in (BARE, MEET_BARE))}; SELECT lastval()")


def answer(replies, by_name=False):
    found = Answer(replies)
    if not by_name:
        found.state["lastval"] = found.failed.pop().get("C") if found.failed else "there is one"
    return found


def ask(wire, dbname, user, by_name=False):
    return answer(wire.ask(question(dbname, user, by_name)), by_name)


class Watcher:
    """A client B: what it sees when nothing has happened, and what it sees now."""

    def __init__(self, stage, parameters=None, by_name=False):
        self.stage, self.by_name = stage, by_name
        self.wire = stage.weir.raw(stage.user, stage.database, parameters=parameters)
        if by_name:
            self.wire.ask(parse("probe", probe(stage.user, stage.database in (BARE, MEET_BARE))) + sync())
        self.clean = self.ask()

    def ask(self):
        return ask(self.wire, self.stage.database, self.stage.user, self.by_name)

    def send(self, holds):
        self.holds = holds
        begin = query(BEGIN_NOW) if holds else b""
        self.wire.send(begin + question(self.stage.database, self.stage.user, self.by_name))

    def read(self, timeout=READING):
        replies = self.wire.read_until("Z", 2 if self.holds else 1, timeout)
        return answer(replies, self.by_name).differs(self.clean, self.stage.seeded)

    def end(self):
        if self.holds:
            self.wire.ask(query("ROLLBACK"))


class Stage:
    """One pool of so many servers, and its clients B."""

    def __init__(self, weir, world, dbname, user, servers):
        self.weir, self.world, self.user, self.servers = weir, world, user, servers
        self.seeded, self.told = world.seeded, world.told
        self.database = dbname
        self.admin = weir.raw("admin", "pgweir")
        self.turn, self.starved = 0, 0
        self.settle()

    def settle(self):
        """The clients B, on clean servers."""
        self.admin.query(f"RECONNECT {self.database}")
        self.watchers = [Watcher(self), Watcher(self, by_name=True), Watcher(self, OWN)]
        newcomer = Watcher(self)
        self.clean = newcomer.clean
        for _ in range(3):                      # what the code can do is asked for when a server comes back
            newcomer.wire.query("SELECT 1")
            time.sleep(0.02)
        newcomer.wire.leave()

    def newcomer(self):
        found = Watcher.__new__(Watcher)
        found.stage, found.by_name, found.clean = self, False, self.clean
        found.wire = Wire(self.weir.address).login(self.user, self.database)
        return found

    def crossings(self, row):
        """What went wrong with that row, as texts."""
        self.turn += 1
        found = []
        if row.kind.name in unseen.BACKEND:
            self.world.await_backends(self.database, self.user, self.servers)
        client = Wire(self.weir.address).login(self.user, self.database)
        try:
            told = run(client, row.talk)
            expected = self.told.get((self.database, str(row)), told)
            if not row.talk.leaves and told != expected:
                found.append(f"{row}: A is told {told}, not {expected}")
            found += [f"{row}: B sees {text}" for text in self.look(client)]
        except WireError as error:
            found.append(f"{row}: A: {error}")
        finally:
            client.leave()
        if found:
            for watcher in self.watchers:
                watcher.wire.close()
            self.settle()
        return found

    def look(self, client):
        """Each server is asked by one client who was there before; then by one who comes now."""
        first = self.turn % 3
        old = (self.watchers[first:] + self.watchers[:first])[:self.servers]
        found = self.hear(old, client)
        newcomer = self.newcomer()
        found += ["newly come, " + text for text in self.hear([newcomer], client)]
        newcomer.wire.leave()
        return found

    def hear(self, watchers, client):
        found = []
        each(watchers).send(holds=self.servers > 1)
        for watcher in watchers:
            try:
                self.wait(watcher.wire, client)
                found += watcher.read()
            except WireError as error:
                found.append(f"trouble: {error}")
        for watcher in watchers:
            try:
                watcher.end()
            except WireError as error:
                found.append(f"trouble at the end: {error}")
        return found

    def wait(self, wire, client):
        """B waits for a server that A keeps: only as long as A stays."""
        if wire.buffer or select.select([wire.sock], [], [], PATIENCE)[0]:
            return
        deadline = time.monotonic() + READING
        while not self.admin.query("SHOW PINS"):
            if select.select([wire.sock], [], [], 0.01)[0]:
                return
            if time.monotonic() > deadline:
                raise WireError("B waits, and no client is pinned")
        self.starved += 1
        client.leave()


def start(weir, world, servers, session_state="track", **more):
    databases = {f"database {name}": {"upstream": weir.upstream()} for name in world.rows}
    weir.users[BOSS] = "boss-secret"
    weir.start(databases, pool_size=servers, max_overflow=0, session_state=session_state, **more)


def play(weir, world, databases, servers, every=1):
    """Every so many-th row; what went wrong."""
    wrong, count, starved = [], 0, 0
    for dbname in databases:
        for user in ("web", BOSS):
            rows = [row for row in world.rows[dbname] if row.kind.user == user][::every]
            rows.sort(key=lambda row: row.is_suspicious)        # first those that leave what is proved as it is
            stage = Stage(weir, world, dbname, user, servers) if rows else None
            for row in rows:
                wrong += [f"{dbname}: {text}" for text in stage.crossings(row)]
                count += 1
            starved += stage.starved if rows else 0
    print(f"{count} rows, {starved} with a client that kept its server, {len(wrong)} went wrong")
    return wrong


def told(wrong):
    return f"{len(wrong)} went wrong:\n" + "\n".join(wrong)


@hidden
@pytest.mark.sweep(keep=0)
def test_the_rows_are_what_they_should_be(world):
    """Each kind can be left, and each way leaves something."""
    world.needs(ALL, BARE, *LITTLE)
    found = world.rows[ALL]
    assert len(found) > 1000 and len(world.rows[BARE]) > 200
    assert {row.kind.name for row in found} == set(WASHABLE)
    assert all(world.rows.values())
    asked = {row.way.name for row in make_rows(world.postgres, ALL, WASHABLE)}
    assert asked - {row.way.name for row in found} == set()


def others(*variants):
    """Of what takes longest to prove scripts/test has the one variant that is not among these."""
    return [pytest.param(*variant, marks=pytest.mark.sweep(keep=0)) for variant in variants]


@hidden
@pytest.mark.parametrize("servers, session_state, every", [
    (3, "track", 12), *others((3, "track", 4), (1, "track", 1), (1, "isolate", 4), (3, "isolate", 9), (1, "pin", 9), (1, "warn", 9))])
def test_nothing_crosses_that_code_of_any_kind_leaves(weir, world, servers, session_state, every):
    world.needs(ALL)
    start(weir, world, servers, session_state)
    wrong = play(weir, world, [ALL], servers, every)
    assert not wrong, told(wrong)


@hidden
@pytest.mark.parametrize("servers, session_state, every", [
    (3, "track", 6), *others((3, "track", 3), (1, "track", 1), (1, "isolate", 3))])
def test_nothing_crosses_where_there_is_no_code(weir, world, servers, session_state, every):
    world.needs(BARE)
    start(weir, world, servers, session_state)
    wrong = play(weir, world, [BARE], servers, every)
    assert not wrong, told(wrong)


@hidden
@pytest.mark.sweep(keep=0)
@pytest.mark.parametrize("servers, session_state, every", [(1, "isolate", 20), (1, "isolate", 5), (1, "track", 1)])
def test_nothing_crosses_that_little_code_leaves(weir, world, servers, session_state, every):
    """Only that kind is washed off there, so it must have been found to be what the code can do."""
    world.needs(*LITTLE)
    start(weir, world, servers, session_state)
    wrong = play(weir, world, LITTLE, servers, every)
    assert not wrong, told(wrong)


# --- several ways in one session ---------------------------------------------------------------------------------

COUNT = int(os.environ.get("PGWEIR_MEETINGS_EACH", "40"))
FEW = ["custom", "role", "lock", "temp_table", "listen", "prepared", "sequence", "cursor"]


def seeds():
    first, _, last = os.environ.get("PGWEIR_MEETINGS", "1-4").partition("-")
    return range(int(first), int(last or first) + 1)


class Meetings(World):
    """All that may meet; nothing of it is proved."""

    def __init__(self, postgres):
        super().__init__(postgres)
        for dbname, code, rows, more in ((MEET_ALL, WASHABLE, "all", {}), (MEET_BARE, [], "none", {}),
                                         (MEET_LITTLE, FEW, "own", {"has_dynamic": False})):
            make_database(postgres, dbname, code, **more)
            self.rows[dbname] = [row for row in make_rows(postgres, dbname, code or WASHABLE, rows)
                                 if not row.talk.leaves]


@pytest.fixture(scope="module")
def meetings(postgres):
    made = Meetings(postgres)
    yield made
    made.drop()


def visible(rng):
    """(data, how many ReadyForQuery): what SQL shows, and what only the protocol has."""
    return rng.choice([
        (query("BEGIN"), 1), (query("COMMIT"), 1), (query("ROLLBACK"), 1), (query("SAVEPOINT s"), 1),
        (query("ROLLBACK TO s"), 1), (query("BEGIN; SAVEPOINT s; SELECT 1"), 1), (query("COMMIT AND CHAIN"), 1),
        (query("SELECT 1/0"), 1), (query("SELEC"), 1), (one_statement("SELECT 1/0") + sync(), 1),
        (one_statement("SELEC") + one_statement(f"SET app.user_id = '{MARK}'") + sync(), 1),
        (query(f"SET app.user_id = '{MARK}'"), 1), (query(f"SET LOCAL app.user_id = '{MARK}'"), 1),
        (one_statement(f"SET app.user_id = '{MARK}'") + sync(), 1), (query("RESET app.user_id"), 1), (query("RESET ALL"), 1),
        (query(f"SET ROLE {CLERK}"), 1), (query(f"SET LOCAL ROLE {CLERK}"), 1), (query("RESET ROLE"), 1),
        (query("SET search_path = pg_temp, public"), 1), (query("SET LOCAL search_path = pg_temp, sealed"), 1),
        (query("SET SESSION AUTHORIZATION web"), 1), (query("SET client_encoding = 'LATIN1'"), 1),
        (query(f"CREATE TEMP TABLE IF NOT EXISTS {MARK} (v text)"), 1), (query(f"CREATE TABLE {MARK}_x AS SELECT 1"), 1),
        (query(f"CREATE TEMP TABLE m_{MARK} ON COMMIT DROP AS SELECT 1"), 1), (query("DISCARD TEMP"), 1),
        (query(f"PREPARE {MARK} AS SELECT * FROM {MARK}"), 1), (query(f"EXECUTE {MARK}"), 1),
        (query(f"PREPARE {MARK} AS SELECT set_config('app.user_id', '{MARK}', false)"), 1),
        (parse("p1", f"SELECT * FROM {MARK}") + sync(), 1), (bind("", "p1") + execute() + sync(), 1),
        (parse("p2", f"EXECUTE {MARK}") + sync(), 1), (bind("x", "p2") + execute("x", 1) + sync(), 1),
        (describe("S", "p2") + close("S", "p2") + sync(), 1), (query("DEALLOCATE ALL"), 1), (query("DISCARD ALL"), 1),
        (query(f"LISTEN {MARK}"), 1), (query(f"UNLISTEN {MARK}"), 1), (query("UNLISTEN *"), 1),
        (query(f"NOTIFY {MARK}"), 1), (query(f"LISTEN {MARK}; SELECT 1; NOTIFY {MARK}"), 1),
        (query(f"DECLARE {MARK} CURSOR WITH HOLD FOR SELECT 1"), 1), (query(f"FETCH ALL FROM {MARK}"), 1),
        (query("SELECT pg_advisory_lock(4711)"), 1), (query("SELECT pg_advisory_unlock_all()"), 1),
        (query("SELECT nextval('sealed.numbers')"), 1), (query("SELECT lastval()"), 1), (query("SELECT setseed(0.25)"), 1),
        (query(""), 1), (sync(), 1), (flush() + sync(), 1), (copy_data(b"1\n") + sync(), 1),
        (query("COPY (SELECT 1) TO STDOUT"), 1), (query("COPY pg_class FROM STDIN"), 1),
        (query("SELECT * FROM pg_prepared_statements"), 1), (query("SELECT * FROM pg_listening_channels()"), 1),
    ])


ENDS = {                            # how A ends; what is open is closed by who stays
    "stays": None, "leaves": terminate(), "goes": b"", "goes within a message": query("SELECT 1")[:-3],
    "goes within a transaction": query("BEGIN; SELECT 1"), "goes without Sync": one_statement("SELECT 1"),
    "goes while it sleeps": query("SELECT pg_sleep(0.2)"), "goes within COPY": query("COPY sealed.document FROM STDIN"),
    "goes within a pipeline": one_statement("SELECT pg_sleep(0.1)") + sync() + query("BEGIN"),
}


def perform(client, address, steps, is_batch, rng):
    """Sends the steps, and reads what comes, if that comes."""
    if is_batch:
        client.send(b"".join(data for data, _ in steps))
        if rng.random() < 0.2:
            send_cancel(address, client.key)
        client.read_until("Z", sum(count for _, count in steps), timeout=1)
        return
    for data, count in steps:
        client.send(data)
        if rng.random() < 0.1:
            send_cancel(address, client.key)
        client.read_until("Z", count, timeout=1)


def script(rng, rows):
    """(steps, what they are)."""
    steps, told = [], []
    for row in rng.sample(rows, rng.randint(2, 4)):
        for _ in range(rng.choice((0, 0, 1, 2))):
            steps.append(visible(rng))
            told.append(repr(steps[-1][0]))
        steps += row.talk.parts
        told.append(f"[{row}]")
    for _ in range(rng.choice((0, 1, 2))):
        steps.append(visible(rng))
        told.append(repr(steps[-1][0]))
    return steps, told


def meet(stage, rows, rng):
    """What went wrong, if anything did."""
    steps, told = script(rng, rows)
    is_batch, end = rng.random() < 0.4, rng.choice(list(ENDS))
    client = Wire(stage.weir.address).login(stage.user, stage.database)
    is_gone = end != "stays"
    try:
        perform(client, stage.weir.address, steps, is_batch, rng)
        if is_gone:
            client.send(ENDS[end])
        else:                       # twice: the first may be what ends a COPY
            client.send(copy_fail() + sync() + query("ROLLBACK") + query("ROLLBACK"))
            client.read_until("Z", 3, timeout=1)
    except WireError:
        is_gone = True
    if rng.random() < 0.2:              # perhaps while its server is washed
        send_cancel(stage.weir.address, client.key)
    if is_gone:
        client.close()
    stage.turn += 1
    found = stage.look(client)
    client.close()
    if found:
        for watcher in stage.watchers:
            watcher.wire.close()
        stage.settle()
    return [f"{' '.join(told)} {'in one batch, ' if is_batch else ''}{end}: {text}" for text in found]


@hidden
@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("servers, session_state", [(1, "track"), (3, "track"), (1, "isolate"), (2, "pin"), (2, "warn")])
@pytest.mark.parametrize("seed", seeds())
def test_what_meets_in_one_session_does_not_cross(weir, meetings, seed, servers, session_state):
    rng = random.Random(f"{seed} {servers} {session_state}")
    dbname = (MEET_ALL, MEET_BARE, MEET_LITTLE)[seed % 3]
    start(weir, meetings, servers, session_state)
    stage = Stage(weir, meetings, dbname, rng.choice(("web", "web", BOSS)), servers)
    rows = [row for row in meetings.rows[dbname] if stage.user == BOSS or row.kind.user == "web"]
    wrong = [text for _ in range(COUNT) for text in meet(stage, rows, rng)]
    assert not wrong, f"{len(wrong)} went wrong:\n" + "\n".join(wrong)
