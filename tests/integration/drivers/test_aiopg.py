"""aiopg: psycopg2's asynchronous connections in a pool."""

import asyncio

import aiopg
import pytest


def test_a_pool_of_ten_over_two_servers(weir, table):
    weir.start(pool_size=2)
    weir.postgres.query(f"INSERT INTO {table} VALUES (1, '0')")

    async def main():
        async with aiopg.create_pool(weir.dsn(), minsize=5, maxsize=10) as pool:
            async def one(number):
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    for turn in range(5):
                        await cursor.execute("SELECT %s, %s", (number, turn))
                        assert await cursor.fetchone() == (number, turn)
                    await cursor.execute(f"UPDATE {table} SET v = (v::int + 1)::text")
            await asyncio.gather(*(one(number) for number in range(40)))
    asyncio.run(main())
    assert weir.postgres.value(f"SELECT v FROM {table}") == "40"


def test_transactions(weir, table):
    weir.start(pool_size=1)

    async def main():
        async with aiopg.create_pool(weir.dsn(), minsize=1, maxsize=4) as pool:
            async def one(number):
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    async with cursor.begin():
                        await cursor.execute(f"INSERT INTO {table} VALUES (%s, 'x')", (number,))
                        await cursor.execute("SELECT pg_sleep(0.005)")
            await asyncio.gather(*(one(number) for number in range(20)))
    asyncio.run(main())
    assert weir.postgres.value(f"SELECT count(*) FROM {table}") == 20


@pytest.mark.weir_only
def test_a_cancelled_task_leaves_nothing_behind(weir):
    """aiopg just closes its connection; PostgreSQL by itself would sleep on."""
    weir.start(pool_size=1)

    async def main():
        async with aiopg.create_pool(weir.dsn(), minsize=1, maxsize=3) as pool:
            async def slow():
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute("SELECT pg_sleep(60)")
            task = asyncio.ensure_future(slow())
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("SELECT 1")
                assert await cursor.fetchone() == (1,)
    asyncio.run(main())
