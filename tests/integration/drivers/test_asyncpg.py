"""asyncpg with its defaults: a statement cache, cursors, its own pool, COPY, cancel by timeout."""

import asyncio

import asyncpg
import pytest

import transport


@pytest.fixture
def run(weir):
    """Runs a coroutine function with a way to connect."""
    def runner(function, **pool):
        host, port = weir.address
        words = {"host": host, "port": port, "user": "web", "database": "app", "ssl": transport.context()}

        async def main():
            if pool:
                async with asyncpg.create_pool(**words, **pool) as made:
                    return await function(made)
            connection = await asyncpg.connect(**words)
            try:
                return await function(connection)
            finally:
                await connection.close(timeout=5)
        return asyncio.run(main())
    return runner


def test_the_statement_cache_works_with_few_servers(weir, run):
    weir.start(pool_size=2, pool_lifo=False)

    async def work(pool):
        async def one(number):
            async with pool.acquire() as connection:
                for turn in range(10):
                    assert await connection.fetchval("SELECT $1::int + $2::int", number, turn) == number + turn
                    assert await connection.fetchval(f"SELECT 'text {number % 7}'") == f"text {number % 7}"
        await asyncio.gather(*(one(number) for number in range(60)))
    run(work, min_size=5, max_size=20)


def test_types_of_many_kinds(weir, run):
    weir.start(pool_size=1)

    async def work(connection):
        row = await connection.fetchrow("SELECT $1::int[], $2::jsonb, $3::timestamptz IS NULL, $4::numeric, $5::uuid",
                                        [1, 2, 3], '{"a": 1}', None, 1, "12345678-1234-1234-1234-123456789012")
        assert row[0] == [1, 2, 3] and row[1] == '{"a": 1}' and row[2] is True
    run(work)


def test_types_it_must_look_up(weir, run):
    """It asks the catalogue for types it doesn't know: a second prepared statement in the middle of the first."""
    weir.start(pool_size=2, pool_lifo=False)
    weir.postgres.query("DROP TYPE IF EXISTS mood_of_asyncpg")
    weir.postgres.query("CREATE TYPE mood_of_asyncpg AS ENUM ('good', 'bad')")

    async def work(pool):
        async def one():
            async with pool.acquire() as connection:
                return await connection.fetchval("SELECT $1::mood_of_asyncpg", "good")
        assert set(await asyncio.gather(*(one() for _ in range(20)))) == {"good"}
    run(work, min_size=5, max_size=10)
    weir.postgres.query("DROP TYPE mood_of_asyncpg")


def test_transactions_and_savepoints(weir, table, run):
    weir.start(pool_size=2)

    async def work(connection):
        async with connection.transaction():
            await connection.execute(f"INSERT INTO {table} VALUES (1, 'a')")
            with pytest.raises(asyncpg.UniqueViolationError):
                async with connection.transaction():
                    await connection.execute(f"INSERT INTO {table} VALUES (1, 'b')")
            await connection.execute(f"INSERT INTO {table} VALUES (2, 'c')")
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 2
    run(work)


def test_cursors(weir, run):
    weir.start(pool_size=1)

    async def work(connection):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            total = 0
            async for row in connection.cursor("SELECT i FROM generate_series(1, 1000) i", prefetch=37):
                total += row[0]
            assert total == 500_500
            cursor = await connection.cursor("SELECT i FROM generate_series(1, 10) i")
            assert [row[0] for row in await cursor.fetch(3)] == [1, 2, 3]
            await cursor.forward(2)
            assert (await cursor.fetchrow())[0] == 6
    run(work)


def test_prepared_statements_by_hand(weir, run):
    weir.start(pool_size=3, pool_lifo=False)

    async def work(pool):
        async def one(number):
            async with pool.acquire() as connection:
                statement = await connection.prepare("SELECT $1::int * 3")
                assert [a.type.name for a in statement.get_parameters() and [statement.get_attributes()[0]]] == ["int4"]
                assert await statement.fetchval(number) == number * 3
        await asyncio.gather(*(one(number) for number in range(30)))
    run(work, min_size=6, max_size=6)


def test_copy(weir, table, run):
    weir.start(pool_size=1)

    async def work(connection):
        records = [(i, f"row {i}") for i in range(5000)]
        assert await connection.copy_records_to_table(table, records=records) == "COPY 5000"
        out = bytearray()

        async def take(data):
            out.extend(data)
        await connection.copy_from_query(f"SELECT * FROM {table} ORDER BY id", output=take)
        assert out.count(b"\n") == 5000
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.copy_records_to_table(table, records=[(1, "again")])
        assert await connection.fetchval("SELECT 1") == 1
    run(work)


def test_executemany(weir, table, run):
    weir.start(pool_size=2)

    async def work(connection):
        await connection.executemany(f"INSERT INTO {table} VALUES ($1, $2)", [(i, str(i)) for i in range(2000)])
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 2000
    run(work)


def test_a_timeout_cancels_and_the_connection_lives(weir, run):
    weir.start(pool_size=1)

    async def work(pool):
        async with pool.acquire() as connection:
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await connection.execute("SELECT pg_sleep(60)", timeout=0.2)
                assert await connection.fetchval("SELECT 1") == 1
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT 2") == 2
    run(work, min_size=2, max_size=2)


def test_its_pool_resets_connections_on_release(weir, run):
    """On release it sends SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL."""
    weir.start(pool_size=2)

    async def work(pool):
        for number in range(30):
            async with pool.acquire() as connection:
                assert await connection.fetchval("SELECT $1::int", number) == number
    run(work, min_size=5, max_size=20)


def test_errors_in_between(weir, run):
    weir.start(pool_size=2)

    async def work(pool):
        async def one(number):
            async with pool.acquire() as connection:
                for divisor in (1, 0, 2, 0):
                    try:
                        assert await connection.fetchval("SELECT 4 / $1::int", divisor) == 4 // divisor
                    except asyncpg.DivisionByZeroError:
                        assert divisor == 0
                with pytest.raises(asyncpg.UndefinedTableError):
                    await connection.fetch(f"SELECT * FROM nowhere_{number}")
        await asyncio.gather(*(one(number) for number in range(25)))
    run(work, min_size=5, max_size=20)


def test_a_changed_table(weir, table, run):
    """Its cache notices (and prepares anew) when PostgreSQL says that a plan's result type has changed."""
    weir.start(pool_size=2)

    async def work(connection):
        assert await connection.fetch(f"SELECT * FROM {table}") == []
        weir.postgres.query(f"ALTER TABLE {table} ADD COLUMN w int DEFAULT 7")
        weir.postgres.query(f"INSERT INTO {table} VALUES (1, 'x')")
        for _ in range(3):
            try:
                rows = await connection.fetch(f"SELECT * FROM {table}")
                assert dict(rows[0]) == {"id": 1, "v": "x", "w": 7}
            except asyncpg.InvalidCachedStatementError:
                continue
    run(work)
