"""Load for test_restart.py: clients of several kinds that run until they are told to stop, and remember what went wrong and
how long the longest request took."""

import asyncio
import threading
import time
import traceback

import asyncpg
import psycopg

import rawwire
from waiting import SLOWNESS


class Load:
    """One thread for each client. Each checks what it is answered."""

    def __init__(self, weir, database="app", user="web"):
        self.weir = weir
        self.database, self.user = database, user
        self.is_over = threading.Event()
        self.requests = 0
        self.failures = []
        self.longest = 0.0
        self.lock = threading.Lock()
        self.threads = []
        self.ports = set()                  # the clients' own, of those that stay connected
        self.heard = []
        self.sent = 0
        self.has_sent_all = threading.Event()

    def start(self, *workers):
        for worker in workers:
            thread = threading.Thread(target=self._run, args=(worker,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _run(self, worker):
        try:
            worker()
        except Exception:  # pylint: disable=broad-except
            self.failures.append(f"{worker.__name__}: {traceback.format_exc()}")

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(60 * SLOWNESS)
            assert not thread.is_alive(), f"a client hangs; failures: {self.failures}"

    def timed(self, function, *arguments):
        begin = time.monotonic()
        result = function(*arguments)
        self._count(time.monotonic() - begin)
        return result

    def _count(self, seconds):
        with self.lock:
            self.requests += 1
            self.longest = max(self.longest, seconds)

    def connect(self, **words):
        connection = psycopg.connect(self.weir.dsn(self.user, self.database, **words), autocommit=True)
        self.ports.add(local_port(connection.fileno()))
        return connection

    # --- the clients ---

    def settings(self):
        """A setting must be there each time."""
        with self.connect() as connection:
            connection.execute("SET work_mem = '77MB'")
            while not self.is_over.is_set():
                assert self.timed(connection.execute, "SHOW work_mem").fetchone() == ("77MB",)

    def prepared(self):
        """psycopg prepares by the protocol, and uses it forever."""
        with self.connect() as connection:
            number = 0
            while not self.is_over.is_set():
                number += 1
                row = self.timed(lambda: connection.execute("SELECT %s::int + 1", (number,), prepare=True).fetchone())
                assert row == (number + 1,)

    def transactions(self):
        """A transaction with a cursor and an advisory lock; it is never lost."""
        with self.connect() as connection:
            while not self.is_over.is_set():
                with connection.transaction():
                    pid = self.timed(connection.execute, "SELECT pg_backend_pid()").fetchone()
                    self.timed(connection.execute, "SELECT pg_advisory_xact_lock(4711)")
                    self.timed(connection.execute, "DECLARE c CURSOR FOR SELECT generate_series(1, 3)")
                    for want in (1, 2, 3):
                        assert self.timed(connection.execute, "FETCH c").fetchone() == (want,)
                        time.sleep(0.01)
                    assert self.timed(connection.execute, "SELECT pg_backend_pid()").fetchone() == pid

    def session_locks(self):
        """A lock of the session pins the client to its server; between two locks it may move."""
        with self.connect() as connection:
            while not self.is_over.is_set():
                assert self.timed(connection.execute, "SELECT pg_try_advisory_lock(815)").fetchone() == (True,)
                time.sleep(0.02)
                assert self.timed(connection.execute, "SELECT pg_advisory_unlock(815)").fetchone() == (True,)

    def copies(self):
        with self.connect() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS restarted (n int)")
            while not self.is_over.is_set():
                with connection.cursor() as cursor, cursor.copy("COPY restarted FROM STDIN") as copy:
                    for number in range(5):
                        copy.write_row((number,))
                        time.sleep(0.005)
                rows = self.timed(connection.execute, "SELECT count(*) FROM (SELECT 1 FROM restarted LIMIT 5) s")
                assert rows.fetchone() == (5,)
                self.timed(connection.execute, "TRUNCATE restarted")

    def pipelines(self):
        """Ten requests are sent before the first answer is read."""
        wire = rawwire.Wire(self.weir.address).login(self.user, self.database)
        self.ports.add(wire.sock.getsockname()[1])
        wire.ask(rawwire.parse("double", "SELECT $1::int * 2"), rawwire.sync())
        while not self.is_over.is_set():
            begin = time.monotonic()
            for number in range(10):
                wire.send(rawwire.bind("", "double", (str(number),)), rawwire.execute(), rawwire.sync())
            replies = wire.read_until("Z", count=10)
            self._count(time.monotonic() - begin)
            assert [int(r.row[0]) for r in replies if r.type == "D"] == [2 * n for n in range(10)]
        wire.close()

    def newcomers(self):
        """New connections, which nobody may refuse."""
        while not self.is_over.is_set():
            with self.timed(psycopg.connect, self.weir.dsn(self.user, self.database)) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            time.sleep(0.01)

    def listener(self):
        """Each notification must come, in order, and once."""
        wire = rawwire.Wire(self.weir.address).login(self.user, self.database)
        self.ports.add(wire.sock.getsockname()[1])
        wire.query("LISTEN restarts")
        while not self.has_sent_all.is_set() or (self.heard or [0])[-1] < self.sent:
            try:
                message = wire.read(timeout=0.2)
            except rawwire.WireTimeout:
                continue
            assert message.type == "A", message
            self.heard.append(int(message.body[4:].split(b"\0")[1]))
        wire.close()

    def notifier(self):
        try:
            with self.connect() as connection:
                while not self.is_over.is_set():
                    self.timed(connection.execute, f"NOTIFY restarts, '{self.sent + 1}'")
                    self.sent += 1
                    time.sleep(0.003)
        finally:
            self.has_sent_all.set()

    def asyncpg_pool(self):
        asyncio.run(self._asyncpg())

    async def _asyncpg(self):
        pool = await asyncpg.create_pool(self.weir.url(self.user, self.database), min_size=4, max_size=4)

        async def client(number):
            while not self.is_over.is_set():
                begin = time.monotonic()
                async with pool.acquire() as connection:
                    assert await connection.fetchval("SELECT $1::int", number) == number
                    async with connection.transaction():
                        rows = [row[0] async for row in connection.cursor("SELECT generate_series(1, 5)", prefetch=2)]
                assert rows == [1, 2, 3, 4, 5]
                self._count(time.monotonic() - begin)

        await asyncio.gather(*(client(number) for number in range(4)))
        await pool.close()

    def many(self):
        """Those that never wait for others of theirs."""
        return self.settings, self.prepared, self.pipelines, self.newcomers

    def all(self):
        return (self.settings, self.prepared, self.prepared, self.transactions, self.session_locks, self.copies,
                self.pipelines, self.newcomers, self.listener, self.notifier, self.asyncpg_pool)


def local_port(descriptor):
    import socket  # pylint: disable=import-outside-toplevel
    with socket.socket(fileno=__import__("os").dup(descriptor)) as sock:
        return sock.getsockname()[1]


def server_sockets(port):
    """{the client's port: the inode of the server's end} of connections to this port, as ss -e shows them."""
    found = {}
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == port and fields[3] == "01":
                found[int(fields[2].split(":")[1], 16)] = fields[9]
    return found
