"""TLS with verification on both sides, SCRAM on both sides, and no password anywhere on pgweir: the keys to log in with
come from the client's own login. Then everything must be as through plain TCP, in transaction mode with few servers."""

import asyncio
import io
import os
import shutil
import ssl
import threading
import time

import asyncpg
import psycopg
import psycopg2
import psycopg_pool
import pytest

import transport
from postgres import PASSWORDS, Postgres
from waiting import each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


@pytest.fixture(scope="module")
def guarded():
    """A PostgreSQL that takes nobody from the network without TLS and SCRAM."""
    cluster = Postgres()
    cluster.use_tls(transport.material())
    (cluster.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
                                              encoding="utf-8")
    cluster.stop()
    cluster.start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def both(weir, guarded):
    """pgweir in front of it, with verifiers only, two servers and the certificate in files of this test."""
    weir.certificate, weir.key = weir.directory / "now.pem", weir.directory / "now.key"
    swap(weir, transport.material())
    weir.users = dict(guarded.query("SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('web', 'reporting')"))
    assert all(secret.startswith("SCRAM-SHA-256$") for secret in weir.users.values())
    weir.sections = {"tls_client": {"mode": "require", "certificate_file": weir.certificate, "key_file": weir.key},
                     "tls_server": {"mode": "verify-full", "ca_file": transport.material().ca}}
    weir.settings = {"upstream": f"host=localhost port={guarded.port}", "method": "scram-sha-256", "pool_size": 2,
                     "pool_lifo": False}
    weir.start(weir.sections, **weir.settings)
    yield weir
    assert not any(secret in weir.log() for secret in PASSWORDS.values())


def swap(weir, made):
    shutil.copy(made.certificate, weir.certificate)
    shutil.copy(made.key, weir.key)
    os.chmod(weir.key, 0o600)


def dsn(weir, user="web", **words):
    return weir.dsn(user, **{"host": "localhost", "password": PASSWORDS[user], "sslmode": "verify-full",
                             "sslrootcert": transport.material().ca, **words})


def connect(weir, user="web", **words):
    return weir.keep(psycopg.connect(dsn(weir, user, **words), autocommit=True))


def asyncpg_words(weir):
    return {"host": "localhost", "port": weir.port, "user": "web", "password": PASSWORDS["web"], "database": "app",
            "ssl": transport.material().client}


@pytest.fixture
def crowded(both):
    """With two bystanders, so that servers change hands."""
    stop, troubles = threading.Event(), []

    def live(number):
        try:
            with psycopg.connect(dsn(both, application_name=f"bystander {number}")) as connection:
                while not stop.is_set():
                    with connection.transaction():
                        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
                        connection.execute("SELECT pg_sleep(0.002)")
        except Exception as error:  # pylint: disable=broad-except
            troubles.append(error)
    threads = [threading.Thread(target=live, args=(number,)) for number in range(2)]
    each(threads).start()
    yield both
    stop.set()
    each(threads).join()
    assert not troubles, troubles


def test_logins(both):
    for user in ("web", "reporting"):
        connection = connect(both, user)
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT current_user, ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                                  ).fetchone() == (user, True, "TLSv1.3")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(both, password="wrong")
    with pytest.raises(psycopg.OperationalError):
        connect(both, sslmode="disable")


def test_settings(crowded):
    first, second = connect(crowded), connect(crowded, options="-c TimeZone=Asia/Tokyo")
    first.execute("SET search_path TO tenant_x, public; SET statement_timeout = '7s'")
    pids = set()
    for _ in range(40):
        found = first.execute("SELECT pg_backend_pid(), current_setting('search_path'), "
                              "current_setting('statement_timeout'), current_setting('TimeZone')").fetchone()
        pids.add(found[0])
        assert found[1:] == ("tenant_x, public", "7s", "UTC")
        assert second.execute("SHOW TimeZone").fetchone() == ("Asia/Tokyo",)
        assert second.execute("SHOW search_path").fetchone() == ('"$user", public',)
    assert len(pids) > 1


def test_listen(crowded):
    async def main():
        got = []
        words = asyncpg_words(crowded)
        listener, teller = await asyncpg.connect(**words), await asyncpg.connect(**words)
        await listener.add_listener("news", lambda *told: got.append(told[3]))
        for number in range(50):
            await teller.execute("SELECT pg_notify('news', $1)", str(number) * 1000)
            await listener.fetchval("SELECT 1")
        deadline = time.monotonic() + 10
        while len(got) < 50 and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert got == [str(number) * 1000 for number in range(50)]
        await listener.close()
        await teller.close()
    asyncio.run(main())


def test_copy(crowded):
    connection = connect(crowded)
    connection.execute("CREATE TABLE IF NOT EXISTS lines (id int, line text)")
    connection.execute("TRUNCATE lines")
    data = "".join(f"{number}\t{'z' * (number % 3000)}\n" for number in range(5000))
    with connection.cursor().copy("COPY lines FROM STDIN") as copy:
        copy.write(data)
    out = io.StringIO()
    with connection.cursor().copy("COPY (SELECT * FROM lines ORDER BY id) TO STDOUT") as copy:
        for piece in copy:
            out.write(bytes(piece).decode())
    assert out.getvalue() == data
    old = crowded.keep(psycopg2.connect(dsn(crowded)))
    target = io.StringIO()
    old.cursor().copy_expert("COPY (SELECT * FROM lines ORDER BY id) TO STDOUT", target)
    assert target.getvalue() == data
    old.rollback()
    connection.execute("DROP TABLE lines")


def test_large_objects(crowded):
    """lo_* of libpq: function calls, within a transaction."""
    connection = crowded.keep(psycopg2.connect(dsn(crowded)))
    data = os.urandom(1 << 20) * 10
    large = connection.lobject(0, "wb")
    number = large.oid
    for at in range(0, len(data), 1 << 19):
        large.write(data[at:at + (1 << 19)])
    large.close()
    connection.commit()
    with connection:
        large = connection.lobject(number, "rb")
        assert large.read() == data
        large.seek(5_000_000)
        assert large.read(100) == data[5_000_000:5_000_100]
        large.unlink()


@pytest.mark.parametrize("size", [1, 1000, 16383, 16384, 16385, 65536, 1 << 20, 40 << 20])
def test_sizes_to_and_fro(both, size):
    """Around a TLS record and far above."""
    connection = connect(both)
    data = (os.urandom(min(size, 1 << 20)) * (size // min(size, 1 << 20) + 1))[:size]
    assert connection.execute("SELECT %b::bytea", (data,), binary=True).fetchone()[0] == data


def test_pipelines(crowded):
    connection = connect(crowded)
    with connection.pipeline() as pipeline:
        cursors = [connection.execute("SELECT %s::int, repeat('p', %s)", (number, number * 50), prepare=number % 3 == 0)
                   for number in range(500)]
        pipeline.sync()
        for number, cursor in enumerate(cursors):
            assert cursor.fetchone() == (number, "p" * (number * 50))
    with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():
        connection.execute("SELECT 1")
        connection.execute("SELECT 1 / 0")
        connection.execute("SELECT 2")
    assert connection.execute("SELECT 3").fetchone() == (3,)


def test_cursors(crowded):
    connection = connect(crowded)
    with connection.transaction(), connection.cursor("rows") as cursor:
        cursor.itersize = 500
        cursor.execute("SELECT i, repeat('c', 200) FROM generate_series(1, 20000) i")
        assert sum(row[0] for row in cursor) == 20000 * 20001 // 2


def test_cancels_and_those_who_leave(crowded, guarded):
    for _ in range(5):
        connection = connect(crowded)
        timer = threading.Timer(0.2, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(60)")
        timer.join()                        # PostgreSQL signals twice: the query after it may be hit before that
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.execute("BEGIN; SELECT repeat('l', 1000000)")
        connection.close()
    wait_until(lambda: not guarded.query("SELECT FROM pg_stat_activity WHERE query LIKE '%''l'', 1000000%' AND "
                                         "state LIKE 'idle in trans%'"), what="open transactions to end")
    assert connect(crowded).execute("SELECT 1").fetchone() == (1,)


# --- certificates that change while all this goes on ---

class Load:
    """Clients that keep their connections and clients that do not, each verifying; the first trouble ends one."""

    def __init__(self, weir):
        self.weir, self.stop, self.troubles, self.turns = weir, threading.Event(), [], {}
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in
                         (self._short, self._short, self._short2, self._pool, self._asyncpg_pool, self._asyncpg_short)]

    def __enter__(self):
        each(self._threads).start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        each(self._threads).join()

    def _run(self, work):
        self.turns.setdefault(work.__name__, 0)
        try:
            while not self.stop.is_set():
                work()
        except Exception as error:  # pylint: disable=broad-except
            self.troubles.append(f"{work.__name__}: {type(error).__name__}: {error}")

    def done(self, work):
        self.turns[work] = self.turns.get(work, 0) + 1

    def everybody_worked(self, before):
        assert not self.troubles, self.troubles
        return all(self.turns[work] >= count + 3 for work, count in before.items())

    def _short(self):
        with psycopg.connect(dsn(self.weir)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        self.done("_short")

    def _short2(self):
        connection = psycopg2.connect(dsn(self.weir))
        with connection.cursor() as cursor:
            cursor.execute("SELECT repeat('s', 20000)")
            assert len(cursor.fetchone()[0]) == 20000
        connection.close()
        self.done("_short2")

    def _pool(self):
        def ask():
            while not self.stop.is_set():
                with pool.connection() as connection:
                    assert connection.execute("SELECT %s::int", (7,)).fetchone() == (7,)
                self.done("_pool")
        with psycopg_pool.ConnectionPool(dsn(self.weir), min_size=3, max_size=3, reconnect_timeout=0) as pool:
            pool.wait(20)
            ask()

    def _asyncpg_pool(self):
        async def main():
            async with asyncpg.create_pool(min_size=4, max_size=4, **asyncpg_words(self.weir)) as pool:
                async def ask():
                    while not self.stop.is_set():
                        assert await pool.fetchval("SELECT $1::int", 7) == 7
                        self.done("_asyncpg_pool")
                        await asyncio.sleep(0.002)
                await asyncio.gather(*(ask() for _ in range(6)))
        asyncio.run(main())

    def _asyncpg_short(self):
        async def main():
            connection = await asyncpg.connect(**asyncpg_words(self.weir))
            assert await connection.fetchval("SELECT 1") == 1
            await connection.close()
        asyncio.run(main())
        self.done("_asyncpg_short")


def test_certificates_change_under_load(both):
    """Five times; who is connected stays so, who connects gets the old one or the new one, and nobody an error."""
    authority = transport.material().authority
    made = [authority.issue(f"swapped_{key}", "/CN=localhost", "DNS:localhost", key=key)
            for key in ("rsa", "p256")] + [transport.material()]
    opened = both.metric("pgweir_client_logins_total", result="ok")
    with Load(both) as load:
        for turn in range(6):
            before = dict(load.turns)
            wait_until(lambda: len(load.turns) == 5 and load.everybody_worked(before), what="all kinds of clients")
            if turn == 5:
                break
            swap(both, made[turn % 3])
            both.reload(both.sections, **both.settings)
            assert serial(both) == number_of(made[turn % 3].certificate)
    assert not load.troubles, load.troubles
    assert both.metric("pgweir_client_logins_total", result="ok") > opened + 30
    assert both.metric("pgweir_tls_handshakes_total", side="client", result="failed") == 0


def serial(weir):
    wire = weir.wire().start_tls(transport.material().client, "localhost")
    return int(wire.sock.getpeercert()["serialNumber"], 16)


def number_of(certificate):
    return int(ssl._ssl._test_decode_cert(str(certificate))["serialNumber"], 16)  # pylint: disable=protected-access
