"""Drivers and ORMs that mark their transactions as docs/reads.md says: a standby answers, and shows what they have written."""

import asyncio
import contextlib
import sys
from pathlib import Path

import asyncpg
import psycopg
import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import transport
from drivers.test_drivers import JDBC, check, surroundings
from waiting import wait_until
from weir import Weir

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

HERE = Path(__file__).parent
TURNS = 5
WRITE = "INSERT INTO seen (n) VALUES (%s)"
READ = "SELECT pg_is_in_recovery(), max(n) FROM seen"
DEFAULT = "-c default_transaction_read_only=on"
SCHEMA = """
DROP TABLE IF EXISTS seen;
DROP TYPE IF EXISTS mood, place;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE place AS (street text, moods mood[]);
CREATE TABLE seen (n int PRIMARY KEY, mood mood NOT NULL DEFAULT 'good', moods mood[] NOT NULL DEFAULT '{bad,good}',
                   place place NOT NULL DEFAULT ROW('Allee', '{bad}'));
GRANT ALL ON seen TO web;
"""


@pytest.fixture(scope="module", name="running")
def module_weir(postgres, one_trio, tmp_path_factory):
    """Reads wait for their standby as long as it takes: whatever the primary answers would not leave it."""
    made = Weir(postgres, tmp_path_factory.mktemp("weir"))
    one_trio.primary.query(SCHEMA)
    made.start(upstream=one_trio.upstream(), reads="marked", cluster_user="web", reads_wait="20s", reads_max_lag="1h", pool_size=4)
    yield made
    assert not made.teardown()


@pytest.fixture
def weir(running, one_trio):
    one_trio.primary.query("TRUNCATE seen")
    return running


def alternate(write, read, turns=TURNS):
    """write(n) commits n; read() gives whether a standby has answered, and the newest n. The primary answers where no connection
    to a standby is idle: just returned, and still looked at."""
    wrong = []              # wait_until() takes what fails for "not yet"

    def is_standby(n):
        try:
            where, newest = read()
        except Exception as error:  # pylint: disable=broad-except
            wrong.append(error)
            return True
        if newest != n:
            wrong.append(f"{newest} was read behind {n}")
        return where or wrong

    def read_there(n):
        wait_until(lambda: is_standby(n), what="a read on a standby")
        assert not wrong, wrong

    wait_until(lambda: read()[0], what="a read on a standby")
    for n in range(turns):
        write(n)
        read_there(n)
        read_there(n)
    write(turns)


# --- psycopg2 ---

@contextlib.contextmanager
def closing2(connection):
    try:
        yield connection
    finally:
        connection.close()


def run2(connection, sql, *values):
    with connection, connection.cursor() as cursor:     # a transaction
        cursor.execute(sql, values)
        return cursor.fetchone() if cursor.description else None


@pytest.mark.parametrize("how", ["set_session", "readonly", "autocommit"])
def test_psycopg2(weir, how):
    with closing2(psycopg2.connect(weir.dsn())) as connection:
        def mark(is_marked):
            if how == "readonly":
                connection.readonly = is_marked
            else:
                connection.set_session(readonly=is_marked, autocommit=how == "autocommit")

        def write(n):
            mark(False)
            run2(connection, WRITE, n)

        def read():
            mark(True)
            return run2(connection, READ)

        alternate(write, read)


def test_psycopg2_by_options(weir):
    """Two sessions, and a position that travels."""
    with closing2(psycopg2.connect(weir.dsn())) as writer, closing2(psycopg2.connect(weir.dsn(options=DEFAULT))) as reader:
        for connection in (writer, reader):
            connection.autocommit = True

        def write(n):
            run2(writer, WRITE, n)
            run2(reader, "SET pgweir.min_lsn = %s", run2(writer, "SHOW pgweir.lsn")[0])

        alternate(write, lambda: run2(reader, READ))


# --- psycopg 3 ---

@pytest.mark.parametrize("prepare", [None, True, False])
def test_psycopg3(weir, prepare):
    """Prepared on the server: from the sixth use on, at once, or never."""
    with psycopg.connect(weir.dsn()) as connection:
        def run(is_marked, sql, *values):
            connection.read_only = is_marked
            with connection.transaction():
                cursor = connection.execute(sql, values, prepare=prepare)
                return cursor.fetchone() if cursor.description else None

        alternate(lambda n: run(False, WRITE, n), lambda: run(True, READ), 8)


def test_psycopg3_pipeline(weir):
    """BEGIN READ ONLY and what follows come at once, with one Sync."""
    with psycopg.connect(weir.dsn()) as connection:
        def write(n):
            connection.read_only = False
            with connection.pipeline():
                connection.execute(WRITE, (n,))
                connection.commit()

        def read():
            connection.read_only = True
            with connection.pipeline() as pipeline:
                one, other = connection.execute(READ), connection.execute("SELECT array_agg(mood) FROM seen WHERE n < %s", (5,))
                pipeline.sync()
                rows = one.fetchone()
                other.fetchone()
                connection.commit()
            return rows

        alternate(write, read, 8)


@pytest.mark.parametrize("autocommit", [True, False])
def test_psycopg3_by_options(weir, autocommit):
    """READ ONLY by default: single statements in autocommit, and plain BEGINs."""
    with psycopg.connect(weir.dsn(), autocommit=True) as writer, psycopg.connect(weir.dsn(options=DEFAULT), autocommit=autocommit) as reader:
        def write(n):
            writer.execute(WRITE, (n,))
            reader.execute("SET pgweir.min_lsn = '%s'" % writer.execute("SHOW pgweir.lsn").fetchone()[0])
            if not autocommit:
                reader.commit()

        def read():
            row = reader.execute(READ).fetchone()
            if not autocommit:
                reader.commit()
            return row

        alternate(write, read, 8)


def test_psycopg3_server_side_cursor(weir):
    with psycopg.connect(weir.dsn()) as connection:
        def write(n):
            connection.read_only = False
            connection.execute(WRITE, (n,))
            connection.commit()

        def read():
            connection.read_only = True
            with connection.cursor(name="named") as cursor:
                cursor.execute(READ)
                row = cursor.fetchone()
            connection.commit()
            return row

        alternate(write, read)


# --- asyncpg ---

@pytest.fixture(name="aio")
def of_asyncio():
    """Runs a coroutine."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()


def words(weir):
    host, port = weir.address
    return {"host": host, "port": port, "user": "web", "database": "app", "ssl": transport.context()}


@pytest.mark.parametrize("cache", [100, 0])
def test_asyncpg(weir, aio, cache):
    """Types of its own are looked up in the READ ONLY transaction, by further prepared statements."""
    connection = aio(asyncpg.connect(**words(weir), statement_cache_size=cache))

    async def write(n):
        async with connection.transaction():
            await connection.execute(WRITE.replace("%s", "$1"), n)

    async def read():
        async with connection.transaction(readonly=True):
            rows = await connection.fetch("SELECT mood, moods, place FROM seen WHERE mood = ANY($1::mood[]) ORDER BY n", ["good"])
            assert all(row["moods"] == ["bad", "good"] and row["place"]["moods"] == ["bad"] for row in rows)
            return tuple(await connection.fetchrow(READ))

    alternate(lambda n: aio(write(n)), lambda: aio(read()))
    aio(connection.close())


def test_asyncpg_prepared_statements_and_cursors(weir, aio):
    connection = aio(asyncpg.connect(**words(weir)))

    async def prepare():
        async with connection.transaction():    # it sends no Sync behind a Parse: REPEATABLE READ would come too late
            return await connection.prepare(READ)

    prepared = aio(prepare())

    async def read():
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            async for row in connection.cursor("SELECT n, place FROM seen ORDER BY n", prefetch=2):
                assert row["place"]["street"] == "Allee"
            return tuple(await prepared.fetchrow())

    alternate(lambda n: aio(connection.execute(WRITE.replace("%s", "$1"), n)), lambda: aio(read()))
    aio(connection.close())


def test_asyncpg_by_settings(weir, aio):
    """Its pool resets sessions: what was set at the start is what that goes back to."""
    async def connect():
        return (await asyncpg.create_pool(**words(weir), min_size=1, max_size=1, server_settings={"default_transaction_read_only": "on"}),
                await asyncpg.connect(**words(weir)))

    pool, writer = aio(connect())

    async def write(n):
        await writer.execute(WRITE.replace("%s", "$1"), n)

    async def read():
        async with pool.acquire() as connection:
            await connection.execute("SET pgweir.min_lsn = '%s'" % await writer.fetchval("SHOW pgweir.lsn"))
            return tuple(await connection.fetchrow(READ))

    alternate(lambda n: aio(write(n)), lambda: aio(read()))
    aio(pool.close())
    aio(writer.close())


# --- SQLAlchemy ---

@pytest.mark.parametrize("how", ["connection", "engine", "session"])
def test_sqlalchemy(weir, how):
    engine = sa.create_engine(weir.url(), pool_size=1, max_overflow=0)
    marked = engine.execution_options(postgresql_readonly=True)

    def write(n):
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO seen VALUES (:n)"), {"n": n})

    def read():
        if how == "session":
            with sa.orm.Session(engine) as session:
                session.connection(execution_options={"postgresql_readonly": True})
                return tuple(session.execute(sa.text(READ)).one())
        with (marked.connect() if how == "engine" else engine.connect().execution_options(postgresql_readonly=True)) as connection:
            return tuple(connection.execute(sa.text(READ)).one())

    alternate(write, read)
    engine.dispose()


def test_sqlalchemy_asyncpg(weir, aio):
    engine = create_async_engine(weir.url(scheme="postgresql+asyncpg", query=""), pool_size=1, max_overflow=0,
                                 connect_args={"ssl": transport.context()})

    async def write(n):
        async with engine.begin() as connection:
            await connection.execute(sa.text("INSERT INTO seen VALUES (:n)"), {"n": n})

    async def read():
        async with engine.connect() as connection:
            connection = await connection.execution_options(postgresql_readonly=True)
            return tuple((await connection.execute(sa.text(READ))).one())

    alternate(lambda n: aio(write(n)), lambda: aio(read()))
    aio(engine.dispose())


# --- programs ---

@pytest.mark.parametrize("program", [[sys.executable, "-B", "marked_django.py"], [sys.executable, "-B", "marked_middleware.py"],
                                     ["node", "marked.js"],
                                     ["java", "-cp", JDBC, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "Marked.java"]],
                         ids=["django", "django-middleware", "node", "jdbc"])
def test_programs(weir, program):
    said = check([*program[:-1], str(HERE / program[-1])], env={**surroundings(weir), "CLIENTS": "1"}, cwd=weir.directory).splitlines()
    assert said and all(line.startswith("ok ") for line in said), said
