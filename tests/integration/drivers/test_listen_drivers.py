"""LISTEN and NOTIFY as drivers do it, with their defaults and one server for all."""

import asyncio
import os
import select
import subprocess
from pathlib import Path

import asyncpg
import psycopg
import pytest

import transport
from waiting import SLOWNESS

HERE = Path(__file__).parents[1]


@pytest.fixture(params=[1, 2], ids=["one_server", "two_servers"])
def pool(request, weir):
    weir.start(pool_size=request.param, pool_lifo=False)
    return weir


# --- psycopg2 ---

def wait_notifies(connection, count):
    """As its documentation says: select, then poll."""
    while len(connection.notifies) < count:
        assert select.select([connection], [], [], 5)[0], f"{len(connection.notifies)} of {count} came"
        connection.poll()
    return [(notify.channel, notify.payload) for notify in connection.notifies]


def test_psycopg2_polls_an_idle_connection(pool):
    listener, other = pool.connect2(autocommit=True), pool.connect2(autocommit=True)
    listener.cursor().execute("LISTEN news;")
    for number in range(3):
        other.cursor().execute("SELECT pg_notify(%s, %s)", ("news", str(number)))
    assert wait_notifies(listener, 3) == [("news", "0"), ("news", "1"), ("news", "2")]


def test_psycopg2_hears_at_the_end_of_its_own_query(pool):
    listener, other = pool.connect2(autocommit=True), pool.connect2(autocommit=True)
    listener.cursor().execute("LISTEN news")
    for number in range(10):
        other.cursor().execute("NOTIFY news, %s", (str(number),))
        listener.cursor().execute("SELECT 1")
        assert [notify.payload for notify in listener.notifies] == [str(number)]
        listener.notifies.clear()


def test_psycopg2_in_transactions(pool):
    """Not autocommit: LISTEN counts at commit, and what comes waits for the end of a transaction."""
    listener, other = pool.connect2(), pool.connect2(autocommit=True)
    listener.cursor().execute("LISTEN news")
    listener.commit()
    other.cursor().execute("NOTIFY news, 'x'")
    assert wait_notifies(listener, 1) == [("news", "x")]
    listener.cursor().execute("UNLISTEN *")
    listener.rollback()
    other.cursor().execute("NOTIFY news, 'y'")
    assert wait_notifies(listener, 2)[1] == ("news", "y")


def test_psycopg2_listens_asynchronously(pool):
    host, port = pool.address
    import psycopg2  # pylint: disable=import-outside-toplevel
    connection = pool.keep(psycopg2.connect(host=host, port=port, user="web", dbname="app", **transport.libpq_words(),
                                            async_=1))

    def wait():
        while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
            reading = state == psycopg2.extensions.POLL_READ
            select.select([connection] if reading else [], [] if reading else [connection], [], 5)
    wait()
    cursor = connection.cursor()
    cursor.execute("LISTEN news")
    wait()
    pool.connect2(autocommit=True).cursor().execute("NOTIFY news, 'async'")
    assert wait_notifies(connection, 1) == [("news", "async")]


# --- psycopg 3 ---

def test_psycopg3_generator(pool):
    listener, other = pool.connect(autocommit=True), pool.connect(autocommit=True)
    listener.execute("LISTEN news")
    listener.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier("Other News")))
    for number in range(3):
        other.execute("SELECT pg_notify('news', %s)", (str(number),))
    other.execute("SELECT pg_notify('Other News', 'stop')")
    got = []
    for notify in listener.notifies():
        got.append((notify.channel, notify.payload))
        if notify.payload == "stop":
            break
    assert got == [("news", "0"), ("news", "1"), ("news", "2"), ("Other News", "stop")]


def test_psycopg3_handlers_hear_ones_own(pool):
    connection = pool.connect(autocommit=True)
    got = []
    connection.add_notify_handler(got.append)
    connection.execute("LISTEN own")
    connection.execute("NOTIFY own, 'a'")
    assert [notify.payload for notify in got] == ["a"]
    with connection.transaction():
        connection.execute("NOTIFY own, 'b'")
        assert len(got) == 1
    assert [notify.payload for notify in got] == ["a", "b"]
    with connection.pipeline():
        connection.execute("NOTIFY own, 'c'")
        connection.execute("SELECT 1")
    connection.execute("SELECT 1")
    assert [notify.payload for notify in got] == ["a", "b", "c"]


def test_psycopg3_prepared_listen(pool):
    listener, other = pool.connect(autocommit=True), pool.connect(autocommit=True)
    for number in range(3):
        listener.execute("LISTEN news", prepare=True)
        other.execute(f"NOTIFY news, '{number}'")
        assert next(listener.notifies()).payload == str(number)
        listener.execute("UNLISTEN news", prepare=True)
        other.execute("NOTIFY news, 'not heard'")
    assert listener.execute("SELECT 1").fetchone() == (1,)


def test_psycopg3_async(pool):
    async def main():
        listener = await psycopg.AsyncConnection.connect(pool.dsn(), autocommit=True)
        other = await psycopg.AsyncConnection.connect(pool.dsn(), autocommit=True)
        async with listener, other:
            await listener.execute("LISTEN news")
            await other.execute("NOTIFY news, 'x'")
            async for notify in listener.notifies():
                return notify.payload
    assert asyncio.run(main()) == "x"


# --- asyncpg ---

def test_asyncpg_listeners(pool):
    async def main():
        host, port = pool.address
        words = {"host": host, "port": port, "user": "web", "database": "app", "ssl": False}
        async with asyncpg.create_pool(min_size=2, max_size=5, **words) as made:
            heard = asyncio.Queue()

            def on_notify(connection, pid, channel, payload):
                heard.put_nowait((channel, payload))
            async with made.acquire() as listener:
                await listener.add_listener("news", on_notify)
                await listener.add_listener("Other News", on_notify)
                await asyncio.gather(*(made.execute("SELECT pg_notify('news', $1)", str(number))
                                       for number in range(10)))
                got = [await asyncio.wait_for(heard.get(), 5) for _ in range(10)]
                assert sorted(got) == sorted(("news", str(number)) for number in range(10))
                async with listener.transaction():
                    await listener.execute("NOTIFY \"Other News\", 'own'")
                assert await asyncio.wait_for(heard.get(), 5) == ("Other News", "own")
                await listener.remove_listener("news", on_notify)
                await made.execute("NOTIFY news, 'gone'")
                await made.execute("NOTIFY \"Other News\", 'last'")
                assert await asyncio.wait_for(heard.get(), 5) == ("Other News", "last")
                await listener.remove_listener("Other News", on_notify)
            # Its reset between borrowers says UNLISTEN * among several statements.
            for _ in range(3):
                assert await made.fetchval("SELECT 1") == 1
    asyncio.run(main())


# --- node-postgres ---

@pytest.mark.needs("node")
def test_node_postgres_notifications(pool):
    host, port = pool.address
    done = subprocess.run(["node", str(HERE / "pg_suite.js"), "notifications"], capture_output=True, text=True,
                          timeout=50 * SLOWNESS, check=False,
                          env={**os.environ, "PGHOST": host, "PGPORT": str(port), "PGUSER": "web",
                               "PGDATABASE": "app", **transport.environment()})
    assert done.returncode == 0 and done.stdout.strip() == "ok", done.stderr
