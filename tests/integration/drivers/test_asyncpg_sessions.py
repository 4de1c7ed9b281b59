"""What applications of asyncpg keep in a session, while servers change hands.

Tortoise ORM isn't in Debian. What it does is here: asyncpg's pool of 1 to 5, a schema set by server_settings, nested
in_transaction as savepoints, execute_many, and a test runner that creates a database and drops it.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import asyncpg
import pytest

import transport
from crowd import two_clients


@pytest.fixture
def words(busy):
    """How to connect."""
    host, port = busy.address
    return {"host": host, "port": port, "user": "web", "database": "app", "ssl": transport.context()}


@asynccontextmanager
async def connected(words, **more):
    connection = await asyncpg.connect(**words, **more)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


@two_clients
async def test_server_settings(words, number):
    settings = {"search_path": f"tenant_{number}", "application_name": "shop", "statement_timeout": "7000", "jit": "off"}
    async with connected(words, server_settings=settings) as connection:
        for _ in range(20):
            row = await connection.fetchrow("SELECT name, current_setting('statement_timeout') AS t, "
                                            "current_setting('application_name') AS a FROM place")
            assert tuple(row) == (f"tenant_{number}", "7s", "shop")


@two_clients
async def test_set_and_set_config(words, number):
    async with connected(words) as connection:
        await connection.execute(f"SET search_path TO tenant_{number}; SET TIME ZONE 'Japan'")
        await connection.execute("SELECT set_config('app.user_id', $1, false)", str(number))
        for _ in range(20):
            assert await connection.fetchval("SELECT name FROM place") == f"tenant_{number}"
            assert await connection.fetchval("SELECT count(*) FROM public.document") == number
            assert connection.get_settings().TimeZone == "Japan"
        await connection.reset()
        for _ in range(10):
            assert await connection.fetchval("SELECT name FROM place") == "public"


@two_clients
async def test_set_in_nested_transactions(words, number):
    async with connected(words) as connection:
        for _ in range(8):
            async with connection.transaction():
                await connection.execute(f"SET search_path TO tenant_{number}")
                with pytest.raises(KeyError):
                    async with connection.transaction():
                        await connection.execute(f"SET search_path TO tenant_{3 - number}")
                        raise KeyError
                assert await connection.fetchval("SELECT name FROM place") == f"tenant_{number}"
            assert await connection.fetchval("SELECT name FROM place") == f"tenant_{number}"


@two_clients
async def test_listeners(words, number):
    async with connected(words) as connection:
        heard, all_heard = [], asyncio.Event()

        def hear(_, pid, channel, payload):
            heard.append((channel, payload))
            if len(heard) == 10:
                all_heard.set()
        await connection.add_listener(f"apg_{number}", hear)

        async with connected(words) as other:
            for turn in range(10):
                await other.execute("SELECT pg_notify($1, $2)", f"apg_{number}", f"hello {turn}")
        await asyncio.wait_for(all_heard.wait(), 10)
        assert heard == [(f"apg_{number}", f"hello {turn}") for turn in range(10)]
        assert await connection.fetchval("SELECT 1") == 1
        await connection.remove_listener(f"apg_{number}", hear)


@two_clients
async def test_advisory_lock_and_temporary_table(words, number):
    async with connected(words) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", number)
        await connection.execute("CREATE TEMP TABLE basket (n int)")

        async with connected(words) as other:
            for turn in range(15):
                await connection.execute("INSERT INTO basket VALUES ($1)", turn)
                assert await other.fetchval("SELECT pg_try_advisory_lock($1)", number) is False
        assert await connection.fetchval("SELECT sum(n) FROM basket") == 105
        assert await connection.fetchval("SELECT pg_advisory_unlock($1)", number) is True


@two_clients
async def test_copy_into_a_temporary_table(words, number):
    async with connected(words) as connection:
        await connection.execute("CREATE TEMP TABLE copied (n int, v text)")
        for turn in range(3):
            records = [(n, f"row {number}") for n in range(1000)]
            assert await connection.copy_records_to_table("copied", records=records) == "COPY 1000"
        assert await connection.fetchval("SELECT count(*) FROM copied WHERE v = $1", f"row {number}") == 3000


@two_clients
async def test_a_cursor_with_hold(words, number):
    async with connected(words) as connection:
        await connection.execute(f"DECLARE held CURSOR WITH HOLD FOR "
                                 f"SELECT i * {number} FROM generate_series(1, 50) i")
        found = []
        while rows := await connection.fetch("FETCH 7 FROM held"):
            found += [row[0] for row in rows]
        assert found == [i * number for i in range(1, 51)]
        await connection.execute("CLOSE ALL")


@two_clients
async def test_sql_prepare(words, number):
    async with connected(words) as connection:
        await connection.execute(f"PREPARE triple (int) AS SELECT $1 * {number}")
        for turn in range(15):
            assert await connection.fetchval(f"EXECUTE triple ({turn})") == turn * number
        await connection.execute("DEALLOCATE triple")


@two_clients
async def test_codecs_and_types_looked_up(words, number):
    async with connected(words) as connection:
        await connection.execute(f"CREATE TYPE apg_pair_{number} AS (a int, m mood)")
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        for turn in range(10):
            row = await connection.fetchrow(f"SELECT $1::jsonb, $2::mood[], ROW(1, 'bad')::apg_pair_{number}, "
                                            "$3::numeric", {"a": turn}, ["good", "bad"], turn)
            assert row[0] == {"a": turn} and row[1] == ["good", "bad"] and tuple(row[2]) == (1, "bad")
        await connection.execute(f"DROP TYPE apg_pair_{number}")
        await connection.reload_schema_state()


@two_clients
async def test_a_type_dropped_and_made_again(words, number):
    async with connected(words) as connection:
        for turn in range(3):
            await connection.execute(f"CREATE TYPE apg_mood_{number} AS ENUM ('m{turn}')")
            await connection.reload_schema_state()
            for _ in range(3):
                assert await connection.fetchval(f"SELECT $1::apg_mood_{number}", f"m{turn}") == f"m{turn}"
            await connection.execute(f"DROP TYPE apg_mood_{number}")


@two_clients
async def test_a_table_that_grows(words, number):
    """It drops its cache and tries again by itself; one that connects later meets no old plan."""
    table = f"apg_ddl_{number}"
    async with connected(words) as connection:
        await connection.execute(f"CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)")
        for columns in ((1,), (1, 2), (1, 2, 3)):
            for _ in range(5):
                assert tuple(await connection.fetchrow(f"SELECT * FROM {table}")) == columns
                async with connected(words) as fresh:
                    assert tuple(await fresh.fetchrow(f"SELECT * FROM {table}")) == columns
            more = len(columns) + 1
            await connection.execute(f"ALTER TABLE {table} ADD COLUMN c{more} int DEFAULT {more}")
        await connection.execute(f"DROP TABLE {table}")


@two_clients
async def test_prepare_that_fails_then_works(words, number):
    async with connected(words) as connection:
        for turn in range(6):
            with pytest.raises(asyncpg.UndefinedTableError):
                await connection.prepare(f"SELECT * FROM apg_later_{number}")
            statement = await connection.prepare("SELECT $1::int", name=f"mine_{turn}")
            assert await statement.fetchval(turn) == turn
        await connection.execute(f"CREATE TABLE apg_later_{number} AS SELECT 5 AS n")
        assert await connection.fetchval(f"SELECT n FROM apg_later_{number}") == 5
        await connection.execute(f"DROP TABLE apg_later_{number}")


@two_clients
async def test_a_small_statement_cache(words, number):
    for small in ({"statement_cache_size": 3}, {"statement_cache_size": 0}, {"max_cached_statement_lifetime": 1}):
        async with connected(words, **small) as connection:
            for turn in range(40):
                assert await connection.fetchval(f"SELECT $1::int + {turn % 7}", number) == number + turn % 7


@two_clients
async def test_a_pool_of_twenty_with_hooks(words, number):
    """init once for each connection; what it sets by SET is gone after the first reset on release."""
    async def init(connection):
        await connection.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")

    async def setup(connection):
        await connection.execute(f"SET search_path TO tenant_{number}; SET plpgsql.check_asserts = off")
    async with asyncpg.create_pool(**words, min_size=5, max_size=20, init=init, setup=setup) as pool:
        async def use(turn):
            async with pool.acquire() as connection:
                await connection.execute("DO $$ BEGIN ASSERT false; END $$")    # its library has defined that setting
                assert await connection.fetchval("SELECT name FROM place") == f"tenant_{number}"
                assert await connection.fetchval("SELECT coalesce(current_setting('app.user_id', true), '')") == ""
                await connection.execute("SELECT set_config('app.user_id', $1, false)", str(turn))
                assert await connection.fetchval("SELECT $1::json", {"a": turn}) == {"a": turn}
                assert await connection.fetchval("SELECT current_setting('app.user_id')") == str(turn)
        await asyncio.gather(*(use(turn) for turn in range(50)))


@two_clients
async def test_a_pool_gives_locks_and_listeners_back(words, number):
    async with asyncpg.create_pool(**words, min_size=2, max_size=4) as pool:
        for _ in range(8):
            async with pool.acquire() as connection:
                assert await connection.fetchval("SELECT pg_try_advisory_lock($1)", number)
                await connection.execute(f"LISTEN apg_left_{number}")
                await connection.execute("DECLARE left_over CURSOR WITH HOLD FOR SELECT 1")
            async with pool.acquire() as connection, pool.acquire() as other:
                for one in (connection, other):
                    assert await one.fetchval("SELECT count(*) FROM pg_cursors WHERE name = 'left_over'") == 0
                assert await other.fetchval("SELECT pg_try_advisory_lock($1)", number)


@two_clients
async def test_a_timeout_within_a_transaction(words, number):
    async with connected(words) as connection:
        for _ in range(2):
            with pytest.raises(asyncio.TimeoutError):
                async with connection.transaction():
                    await connection.execute("SELECT pg_sleep(60)", timeout=0.15)
            assert await connection.fetchval("SELECT $1::int", number) == number


@two_clients
async def test_what_tortoise_does(words, number):
    table = f"tortoise_{number}"
    settings = {"search_path": f"tenant_{number}", "application_name": "tortoise"}
    async with asyncpg.create_pool(**words, min_size=1, max_size=5, server_settings=settings) as pool:
        async with pool.acquire() as connection:
            await connection.execute(f"CREATE TABLE {table} (id serial PRIMARY KEY, name text UNIQUE);\n"
                                     f"COMMENT ON TABLE {table} IS 'of tortoise';")

        async def create(turn):
            async with pool.acquire() as connection:
                insert = f'INSERT INTO "{table}" ("name") VALUES ($1) RETURNING "id"'
                return (await connection.fetch(insert, f"n{turn}"))[0]["id"]
        assert len(set(await asyncio.gather(*(create(turn) for turn in range(20))))) == 20
        async with pool.acquire() as connection:
            outer = connection.transaction()
            await outer.start()
            await connection.executemany(f"INSERT INTO {table} (name) VALUES ($1)", [(f"m{i}",) for i in range(50)])
            inner = connection.transaction()
            await inner.start()
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute(f"INSERT INTO {table} (name) VALUES ($1)", "m1")
            await inner.rollback()
            await outer.commit()
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 70
            await connection.execute(f"DROP TABLE {table} CASCADE")


def test_a_database_created_used_and_dropped(busy):
    """As Tortoise's, Django's and Rails' test runners do, all of it through the pooler."""
    host, port = busy.address
    words = {"host": host, "port": port, "user": "web", "ssl": transport.context()}

    async def main():
        admin = await asyncpg.connect(**words, database="app")
        for _ in range(2):
            await admin.execute("CREATE DATABASE test_tortoise OWNER web")
            async with asyncpg.create_pool(**words, database="test_tortoise", min_size=2, max_size=5) as pool:
                await pool.execute("CREATE TABLE t AS SELECT 1 AS a")
                assert await pool.fetchval("SELECT a FROM t") == 1
            await admin.execute("DROP DATABASE test_tortoise")
        await admin.close()
    asyncio.run(main())
