"""What applications of aiopg keep in a session, while servers change hands."""

import asyncio

import aiopg
import pytest
from psycopg2 import errors

from crowd import two_clients


async def value(cursor, sql, parameters=None):
    await cursor.execute(sql, parameters)
    return (await cursor.fetchone())[0]


@two_clients
async def test_settings(busy, number):
    async with aiopg.connect(busy.dsn(options=f"-c search_path=tenant_{number}")) as connection:
        async with connection.cursor() as cursor:
            await cursor.execute("SET TIME ZONE 'Japan'; SELECT set_config('app.user_id', %s, false)",
                                 (str(number),))
            for _ in range(20):
                assert await value(cursor, "SELECT name FROM place") == f"tenant_{number}"
                assert await value(cursor, "SELECT count(*) FROM public.document") == number
                assert await value(cursor, "SHOW timezone") == "Japan"


@two_clients
async def test_listen(busy, number):
    async with aiopg.create_pool(busy.dsn(), minsize=1, maxsize=3) as pool:
        async with pool.acquire() as connection, pool.acquire() as other:
            async with connection.cursor() as cursor, other.cursor() as speaker:
                await cursor.execute(f"LISTEN aiopg_{number}")
                for turn in range(5):
                    await speaker.execute("SELECT pg_notify(%s, %s)", (f"aiopg_{number}", f"hello {turn}"))
                for turn in range(5):
                    heard = await asyncio.wait_for(connection.notifies.get(), 10)
                    assert heard.payload == f"hello {turn}"
                await cursor.execute(f"UNLISTEN aiopg_{number}")


@two_clients
async def test_temporary_table_and_lock(busy, number):
    async with aiopg.connect(busy.dsn()) as connection, connection.cursor() as cursor:
        await cursor.execute("CREATE TEMP TABLE basket (n int)")
        assert await value(cursor, "SELECT pg_try_advisory_lock(%s)", (number,)) is True
        for turn in range(15):
            await cursor.execute("INSERT INTO basket VALUES (%s)", (turn,))
        assert await value(cursor, "SELECT sum(n) FROM basket") == 105
        assert await value(cursor, "SELECT pg_advisory_unlock(%s)", (number,)) is True


@two_clients
async def test_savepoints_and_errors(busy, number):
    async with aiopg.connect(busy.dsn()) as connection, connection.cursor() as cursor:
        for turn in range(8):
            async with cursor.begin():
                await cursor.execute(f"SET LOCAL search_path TO tenant_{number}")
                with pytest.raises(errors.DivisionByZero):
                    async with cursor.begin_nested():
                        await cursor.execute("SELECT 1 / %s", (0,))
                assert await value(cursor, "SELECT name FROM place") == f"tenant_{number}"
            assert await value(cursor, "SELECT name FROM place") == "public"


@two_clients
async def test_prepared_by_sql_and_held(busy, number):
    async with aiopg.connect(busy.dsn()) as connection, connection.cursor() as cursor:
        await cursor.execute(f"PREPARE triple (int) AS SELECT $1 * {number}")
        await cursor.execute("DECLARE held CURSOR WITH HOLD FOR SELECT i FROM generate_series(1, 20) i")
        for turn in range(1, 21):
            assert await value(cursor, f"EXECUTE triple ({turn})") == turn * number
            assert await value(cursor, "FETCH held") == turn
        await cursor.execute("CLOSE held; DEALLOCATE triple")
