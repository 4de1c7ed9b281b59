"""Several pgweir processes before one PostgreSQL, with clients that want more connections than there may be, and PostgreSQL's own
list of its backends, looked at a hundred times a second by a loop that runs in PostgreSQL: no client of it is as punctual."""

import asyncio
import contextlib
import os
import re
import threading
import time
from pathlib import Path
from signal import SIGKILL

import psycopg2

import rawwire
from waiting import wait_until
from weir import Weir

STEWARD = "scramuser"       # as whom they log in, unless a test says otherwise
STRANGER = "stranger"       # application_name of connections that go straight to PostgreSQL
ANSWER_S = 60               # a client that hears nothing for so long hangs

# The list is a snapshot that lasts as long as its transaction: hence COMMIT.
WATCH = f"""
DROP TABLE IF EXISTS fleet_seen;
CREATE TABLE fleet_seen (at float8, listed int, strangers int, stewards int[]);
CREATE OR REPLACE PROCEDURE fleet_watch(users oid[]) LANGUAGE plpgsql AS $$
DECLARE
    steward oid := (SELECT oid FROM pg_roles WHERE rolname = '{STEWARD}');
BEGIN
    LOOP
        INSERT INTO fleet_seen SELECT extract(epoch FROM clock_timestamp()), count(*),
            count(*) FILTER (WHERE application_name = '{STRANGER}'), array_agg(pid) FILTER (WHERE usesysid = steward)
            FROM pg_stat_get_activity(NULL)
            WHERE usesysid = ANY (users) AND backend_type IN ('client backend', 'walsender');
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$"""


class Watcher:
    """Looks at PostgreSQL's list from start to stop, across its restarts. Superusers don't count."""

    def __init__(self, postgres):
        self.postgres = postgres
        self._is_over = threading.Event()
        self._connection = None
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self):
        self.postgres.query(WATCH, dbname="postgres")
        self._thread.start()
        wait_until(lambda: self.seen(time.time() - 1), what="PostgreSQL's list to be looked at")

    def stop(self):
        self._is_over.set()
        while self._thread.is_alive():      # a cancel that comes ahead of the CALL is lost
            with contextlib.suppress(psycopg2.Error, AttributeError):
                self._connection.cancel()
            self._thread.join(0.5)

    def _watch(self):
        while not self._is_over.is_set():
            try:
                self._connection = self.postgres.connect("postgres")
                with self._connection.cursor() as cursor:
                    cursor.execute("SET synchronous_commit = on")       # what was seen outlives a crash
                    cursor.execute("SELECT array_agg(oid) FROM pg_roles WHERE NOT rolsuper")
                    users, = cursor.fetchone()
                    cursor.execute("CALL fleet_watch(%s::oid[])", (users,))
            except psycopg2.Error:
                self._is_over.wait(0.05)

    def seen(self, since, until=None):
        """(when, connections listed, strangers among them), in the order of time."""
        return self.postgres.query("SELECT at, listed, strangers FROM fleet_seen WHERE at BETWEEN %s AND %s ORDER BY at",
                                   (since, until or time.time() + 1), dbname="postgres")

    def newcomers(self, at, seconds):
        """How many stewards were listed at that look that were not so long before."""
        return self.postgres.query(
            "SELECT cardinality(array(SELECT unnest(stewards) FROM fleet_seen WHERE at = %s EXCEPT SELECT unnest(stewards) FROM "
            "(SELECT stewards FROM fleet_seen WHERE at <= %s ORDER BY at DESC LIMIT 1) before))", (at, at - seconds), dbname="postgres")[0][0]

    def peak(self, since=0, until=None):
        """The most that were listed, and when."""
        return max((listed, at) for at, listed, _ in self.seen(since, until))

    def listed(self):
        """By the first look from now on; fails if nobody looks."""
        now = time.time()
        return wait_until(lambda: self.seen(now), what="a look at PostgreSQL's list")[0][1]

    def longest_below(self, count, since, until):
        """For how many seconds in a row fewer were listed. Where PostgreSQL itself did not get to look for 50 ms, the machine
        did something else: not counted."""
        longest = below = 0
        before = since
        for at, listed, _ in self.seen(since, until):
            below = 0 if listed >= count else below + (at - before if at - before < 0.05 else 0)
            longest = max(longest, below)
            before = at
        return longest


class Clients:
    """Clients of one process, each of which runs one statement after the other while it is wanted, and connects again when its
    connection is lost. On the loop of its fleet; read from anywhere."""

    def __init__(self, loop, weir, sql, user, database):
        self.weir, self.sql, self.user, self.database = weir, sql, user, database
        self.answers = self.lost = self.hung = 0
        self.errors = []            # fields of ErrorResponses, and when: key "at"
        self.wanted = 0
        self._loop = loop
        self._tasks = []

    def want(self, count):
        """So many clients from now on; the others stay connected, and ask for nothing."""
        asyncio.run_coroutine_threadsafe(self._want(count), self._loop).result()

    def close(self):
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()

    async def _want(self, count):
        self.wanted = count
        for number in range(len(self._tasks), count):
            self._tasks.append(asyncio.ensure_future(self._live(number)))

    async def _close(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.wanted = 0

    async def _rest(self, number):
        while number >= self.wanted:
            await asyncio.sleep(0.02)

    async def _live(self, number):
        while True:
            await self._rest(number)
            try:
                await self._session(number)
            except TimeoutError:
                self.hung += 1
            except (OSError, EOFError):
                self.lost += 1
                await asyncio.sleep(0.05)

    async def _session(self, number):
        reader, writer = await asyncio.open_connection(*self.weir.address)
        try:
            await self._ask(reader, writer, rawwire.startup(self.user, self.database))
            while True:
                await self._rest(number)
                if await self._ask(reader, writer, rawwire.query(self.sql)):
                    self.answers += 1
        finally:
            writer.close()

    async def _ask(self, reader, writer, message):
        """Returns true if no error came."""
        writer.write(message)
        is_well = True
        while True:
            async with asyncio.timeout(ANSWER_S):
                head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
            if head[:1] == b"E":
                is_well = False
                self.errors.append({**rawwire.Reply("E", body).error, "at": time.time()})
            elif head[:1] == b"Z":
                return is_well


class Fleet:
    """Processes that join and leave. Settings are those of each of them, unless join() says otherwise."""

    def __init__(self, postgres, directory):
        self.postgres = postgres
        self.directory = directory
        self.settings = {}
        # Of clients, unless join() says otherwise. So long that a loop of Python's on a busy machine keeps up with hundreds.
        self.sql = "SELECT pg_sleep(0.1)"
        self.weirs = []
        self.clients = {}           # of each process
        self.watcher = Watcher(postgres)
        self.strangers = []
        self.problems = []
        self._all = []              # those that have left, too
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, count, **settings):
        """So many processes, without clients. A budget is on; settings as for weir.start()."""
        self.settings = {"budget": "on", "budget_database": "postgres", "cluster_user": STEWARD, "pool_size": 150,
                         "workers": 1, "connect_timeout": "50s", "pool_timeout": "50s", **settings}
        self.watcher.start()
        for _ in range(count):
            self.join()
        return self.weirs

    def join(self, clients=0, sql=None, user="web", database="app", island=None, **settings):
        """island: where it is."""
        directory = self.directory / f"p{len(self._all)}"
        directory.mkdir()
        weir = Weir(self.postgres, directory)
        if island is not None:
            island.settle(weir)
            settings["upstream"] = weir.upstream(host=island.database.here)
        self._all.append(weir)
        weir.start(**{**self.settings, **settings})
        self.weirs.append(weir)
        self.clients[weir] = Clients(self._loop, weir, sql or self.sql, user, database)
        self.clients[weir].want(clients)
        return weir

    def want(self, count, *weirs):
        """Clients of each of these; without a name: of all."""
        for weir in weirs or self.weirs:
            self.clients[weir].want(count)

    def reload(self, **settings):
        """All of them."""
        self.settings.update(settings)
        for weir in self.weirs:
            weir.reload(**self.settings)

    def leave(self, weir):
        self.clients[weir].close()
        self.weirs.remove(weir)
        weir.stop()

    def kill(self, weir):
        """With those that it has replaced, which would live on."""
        self.weirs.remove(weir)
        for process in weir.predecessors:
            process.kill()
        weir.signal(SIGKILL)
        weir.wait_exit()
        self.clients[weir].close()

    def answers(self):
        return {weir: self.clients[weir].answers for weir in self.weirs}

    def errors(self):
        return [error for clients in self.clients.values() for error in clients.errors]

    def wait_answers(self, count=1, timeout=None, weirs=None):
        """Until the clients of each of them have got so many more."""
        before = self.answers()
        for weir in weirs or self.weirs:
            wait_until(lambda: self.clients[weir].answers >= before[weir] + count, timeout,  # pylint: disable=cell-var-from-loop
                       f"answers of {weir.directory.name}")

    def connections(self):
        """How many each process has to PostgreSQL, its steward's included; those of a process that it replaces, too."""
        places = ["self", *(weir.process.pid for weir in self.weirs if weir.prefix)]
        inodes = set().union(*(sockets_to(self.postgres.port, place) for place in places))
        return {weir: sum(link in inodes for process in (weir.process, *weir.predecessors) for link in links(process.pid))
                for weir in self.weirs}

    def shares(self, seconds=0.6, every=0.05):
        """The same, as a mean over some time: one that crosses, or is replaced, is no share."""
        sums, end, rounds = dict.fromkeys(self.weirs, 0), time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for weir, count in self.connections().items():
                sums[weir] += count
            rounds += 1
            time.sleep(every)
        return [sums[weir] / rounds for weir in self.weirs]

    def bring_strangers(self, count, user="reporting"):
        """So many connections that ask nobody: more, or fewer."""
        while len(self.strangers) < count:
            self.strangers.append(psycopg2.connect(host=self.postgres.host, port=self.postgres.port, user=user,
                                                   dbname="postgres", application_name=STRANGER))
        while len(self.strangers) > count:
            self.strangers.pop().close()

    def log_of_postgres(self):
        return (self.postgres.directory / "log").read_text(encoding="utf-8", errors="replace")

    def teardown(self):
        """Returns what went wrong."""
        for clients in self.clients.values():
            clients.close()
        self.bring_strangers(0)
        for weir in self._all:
            self.problems += [f"{weir.directory.name}: {problem}" for problem in weir.teardown()]
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.watcher.stop()
        return self.problems


def sockets_to(port, pid):
    """Those that are connected, of the network in which that process is."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"}


def links(pid):
    """What a process has open; nothing if it has ended."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(path))
    return found


def refused_by_postgres(fleet):
    """Lines of any log in which PostgreSQL refuses one more connection."""
    return [line for text in (fleet.log_of_postgres(), *(weir.log() for weir in fleet.weirs)) for line in text.splitlines()
            if re.search(r"too many (connections|clients)|connection slots are reserved", line, re.I)]
