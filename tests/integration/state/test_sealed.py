"""Nothing of one client is ever seen by another, whether a text shows it or not.

Client A leaves state in its session in one of the ways of unseen.py; then two others of the same pool, one that was there
before and one that comes now, are asked for all that a session has. They must see what a session has that nobody touched.
What a row leaves is first proved with PostgreSQL itself: a row that leaves nothing there is left out.
"""

import select
import time

import pytest

import transport
import unseen
from rawwire import Wire, WireError, bind, execute, parse, query, sync
from unseen import BOSS, Answer, make_database, make_rows, probe, run, seeded_numbers
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.timeout(900)]

ALL = "sealed_all"                  # with the code of all kinds
BARE = "sealed_bare"                # without code
LITTLE = {f"sealed_{name.lower()}": name for name in unseen.KINDS}      # with the code of one kind each
WASHABLE = [name for name in unseen.KINDS if name not in unseen.BACKEND]
PATIENCE = 0.03                     # seconds; who is not answered by then waits for a server that A keeps
READING = 8                         # seconds for what must come, on a machine that does much else
# settings of another B's own, which it must see instead
OWN = {"application_name": "B's own", "options": "-c work_mem=5MB -c app.user_id=B -c search_path=sealed,public"}


class World:
    """Databases, and the rows that leave something, with what A is told about each by PostgreSQL itself."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.address = transport.Address((postgres.host, postgres.port)) if transport.IS_TLS \
            else (postgres.host, postgres.port)
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
    return query(f"{probe(user, dbname == BARE)}; SELECT lastval()")


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
            self.wire.ask(parse("probe", probe(stage.user, stage.database == BARE)) + sync())
        self.clean = self.ask()

    def ask(self):
        return ask(self.wire, self.stage.database, self.stage.user, self.by_name)

    def send(self, holds):
        self.holds = holds
        begin = query("BEGIN") if holds else b""
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
        for watcher in watchers:
            watcher.send(holds=self.servers > 1)
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


@pytest.mark.long
@pytest.mark.parametrize("servers, session_state, every", [
    (3, "track", 12), *others((3, "track", 4), (1, "track", 1), (1, "isolate", 4), (3, "isolate", 9), (1, "pin", 9), (1, "warn", 9))])
def test_nothing_crosses_that_code_of_any_kind_leaves(weir, world, servers, session_state, every):
    world.needs(ALL)
    start(weir, world, servers, session_state)
    wrong = play(weir, world, [ALL], servers, every)
    assert not wrong, told(wrong)


@pytest.mark.parametrize("servers, session_state, every", [
    (3, "track", 6), *others((3, "track", 3), (1, "track", 1), (1, "isolate", 3))])
def test_nothing_crosses_where_there_is_no_code(weir, world, servers, session_state, every):
    world.needs(BARE)
    start(weir, world, servers, session_state)
    wrong = play(weir, world, [BARE], servers, every)
    assert not wrong, told(wrong)


@pytest.mark.long
@pytest.mark.sweep(keep=0)
@pytest.mark.parametrize("servers, session_state, every", [(1, "isolate", 20), (1, "isolate", 5), (1, "track", 1)])
def test_nothing_crosses_where_the_code_can_do_little(weir, world, servers, session_state, every):
    """Only that kind is washed off there, so it must have been found to be what the code can do."""
    world.needs(*LITTLE)
    start(weir, world, servers, session_state)
    wrong = play(weir, world, LITTLE, servers, every)
    assert not wrong, told(wrong)
