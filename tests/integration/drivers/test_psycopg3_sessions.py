"""What applications of psycopg 3 keep in a session, and its pools, while servers change hands."""

import asyncio

import psycopg
import psycopg_pool
import pytest
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Jsonb

from crowd import in_clients, two_clients


def value(connection, sql, parameters=None, **more):
    return connection.execute(sql, parameters, **more).fetchone()[0]


@two_clients
def test_startup_settings(busy, number):
    connection = busy.connect(autocommit=True, application_name=f"shop {number}",
                              options=f"-c search_path=tenant_{number} -c statement_timeout=7s")
    for _ in range(20):
        assert connection.execute("SELECT name, current_setting('statement_timeout'), current_setting(%s) "
                                  "FROM place", ("application_name",)).fetchone() == (
            f"tenant_{number}", "7s", f"shop {number}")


@two_clients
def test_settings_by_bound_parameters(busy, number):
    connection = busy.connect(autocommit=True)
    connection.prepare_threshold = 0
    for name, setting in (("search_path", f"tenant_{number}"), ("app.user_id", str(number)), ("timezone", "Japan")):
        connection.execute("SELECT set_config(%s, %s, false)", (name, setting))
    for _ in range(20):
        assert value(connection, "SELECT name FROM place") == f"tenant_{number}"
        assert value(connection, "SELECT count(*) FROM public.document") == number
        assert str(connection.info.timezone) == "Japan"


@two_clients
def test_set_within_transactions(busy, number):
    connection = busy.connect(autocommit=True)
    for _ in range(8):
        with connection.transaction():
            connection.execute(f"SET search_path TO tenant_{number}")
        with connection.transaction(force_rollback=True):
            connection.execute("SET search_path TO public")
            with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute(f"SET search_path TO tenant_{3 - number}")
                connection.execute("SELECT 1 / 0")
            assert value(connection, "SELECT name FROM place") == "public"
        assert value(connection, "SELECT name FROM place") == f"tenant_{number}"


@two_clients
def test_prepared_in_a_transaction_that_fails(busy, number):
    """After an error psycopg forgets, and may use the name again."""
    connection = busy.connect()
    connection.prepare_threshold = 0
    for turn in range(10):
        assert value(connection, f"SELECT %s + {number}", (turn,)) == turn + number
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM p3_nowhere WHERE a = %s", (turn,))
        connection.rollback()
        assert value(connection, f"SELECT %s * {number}", (turn,)) == turn * number
        connection.commit()


@two_clients
def test_deallocated_by_the_driver(busy, number):
    connection = busy.connect(autocommit=True)
    connection.prepare_threshold = 0
    connection.prepared_max = 2
    for turn in range(30):
        assert value(connection, f"SELECT %s + {turn % 5}", (number,)) == number + turn % 5


@pytest.mark.weir_only
@two_clients
def test_a_table_that_grows_under_prepared_statements(busy, number):
    """PostgreSQL by itself would say that a cached plan must not change its result type."""
    connection = busy.connect(autocommit=True)
    table = f"p3_ddl_{number}"
    connection.execute(f"CREATE TABLE {table} (a int)")
    connection.execute(f"INSERT INTO {table} VALUES (1)")
    for columns in ((1,), (1, 2), (1, 2, 3)):
        for _ in range(8):
            assert connection.execute(f"SELECT * FROM {table} WHERE a = %s", (1,)).fetchone() == columns
        more = len(columns) + 1
        connection.execute(f"ALTER TABLE {table} ADD COLUMN c{more} int DEFAULT {more}")
    connection.execute(f"DROP TABLE {table}")


@two_clients
def test_listen(busy, number):
    connection, other = busy.connect(autocommit=True), busy.connect(autocommit=True)
    connection.execute(f"LISTEN p3_{number}")
    for turn in range(5):
        other.execute("SELECT pg_notify(%s, %s)", (f"p3_{number}", f"hello {turn}"))
    heard = []
    for notify in connection.notifies():
        heard.append(notify.payload)
        if len(heard) == 5:
            break
    assert heard == [f"hello {turn}" for turn in range(5)]


@two_clients
def test_advisory_lock_and_temporary_table(busy, number):
    connection, other = busy.connect(), busy.connect(autocommit=True)
    connection.execute("SELECT pg_advisory_lock(%s)", (number,))
    connection.execute("CREATE TEMP TABLE basket (n int)")
    connection.commit()
    for turn in range(15):
        connection.execute("INSERT INTO basket VALUES (%s)", (turn,))
        connection.commit()
        assert value(other, "SELECT pg_try_advisory_lock(%s)", (number,)) is False
    assert value(connection, "SELECT sum(n) FROM basket") == 105
    assert value(connection, "SELECT pg_advisory_unlock(%s)", (number,)) is True
    connection.execute("DROP TABLE basket")
    connection.commit()


@two_clients
def test_cursors_with_hold(busy, number):
    connection = busy.connect(autocommit=True)
    with connection.cursor("held", withhold=True, scrollable=True) as cursor:
        cursor.itersize = 9
        cursor.execute("SELECT i * %s FROM generate_series(1, 100) i", (number,))
        assert [row[0] for row in cursor] == [i * number for i in range(1, 101)]
        cursor.scroll(4, mode="absolute")
        assert cursor.fetchone() == (5 * number,)


@two_clients
def test_pipelines_with_settings(busy, number):
    connection = busy.connect(autocommit=True)
    with connection.pipeline():
        connection.execute(f"SET search_path TO tenant_{number}")
        found = [connection.execute("SELECT name FROM place WHERE %s", (True,)) for _ in range(20)]
        assert {cursor.fetchone()[0] for cursor in found} == {f"tenant_{number}"}
    for _ in range(10):
        assert value(connection, "SELECT name FROM place") == f"tenant_{number}"


@two_clients
def test_pipelined_transactions(busy, number):
    connection = busy.connect(autocommit=True)
    table = f"p3_pipe_{number}"
    connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    with connection.pipeline():
        for turn in range(10):
            with connection.transaction():
                connection.cursor().executemany(f"INSERT INTO {table} VALUES (%s)",
                                                [(turn * 10 + i,) for i in range(10)])
    with pytest.raises(psycopg.errors.UniqueViolation), connection.pipeline(), connection.transaction():
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} VALUES (1), (1)")
    assert value(connection, f"SELECT count(*) FROM {table}") == 100
    connection.execute(f"DROP TABLE {table}")


@two_clients
def test_types_looked_up(busy, number):
    connection = busy.connect(autocommit=True)
    connection.execute(f"CREATE TYPE p3_pair_{number} AS (a int, b text)")
    register_enum(EnumInfo.fetch(connection, "mood"), connection)
    register_composite(CompositeInfo.fetch(connection, f"p3_pair_{number}"), connection)
    assert TypeInfo.fetch(connection, "mood").array_oid
    for turn in range(10):
        found = connection.execute(f"SELECT 'good'::mood, ROW(%s, 'x')::p3_pair_{number}, %s, %s", (
            turn, [turn, 2], Jsonb({"a": turn}))).fetchone()
        assert found[0].name == "good" and tuple(found[1]) == (turn, "x")
        assert found[2:] == ([turn, 2], {"a": turn})
    connection.execute(f"DROP TYPE p3_pair_{number}")


@two_clients
def test_copy_between_connections(busy, number):
    connection, other = busy.connect(), busy.connect()
    connection.execute("CREATE TEMP TABLE taken (n int, v text)")
    connection.commit()
    with other.cursor().copy(f"COPY (SELECT i, 'row {number}' FROM generate_series(1, 3000) i) TO STDOUT "
                             "(FORMAT BINARY)") as source:
        with connection.cursor().copy("COPY taken FROM STDIN (FORMAT BINARY)") as target:
            for block in source:
                target.write(block)
    connection.commit()
    assert connection.execute("SELECT count(*), min(v) FROM taken").fetchone() == (3000, f"row {number}")
    connection.commit()


@two_clients
def test_a_query_cancelled(busy, number):
    connection = busy.connect(autocommit=True)
    text = f"SELECT pg_sleep(60 + {number})"
    running = busy.in_background(connection.execute, text)
    busy.wait_until(lambda: busy.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
                                                f"query = '{text}'"), what="the query")
    connection.cancel()
    with pytest.raises(psycopg.errors.QueryCanceled):
        running.result()
    assert value(connection, "SELECT %s::int", (number,)) == number


@two_clients
def test_its_pool_with_configure_check_and_reset(busy, number):
    def configure(connection):
        connection.execute(f"SET search_path TO tenant_{number}")
        connection.commit()

    def reset(connection):
        connection.execute("SELECT pg_advisory_unlock_all()")
        connection.execute("RESET app.user_id")
        connection.commit()

    with psycopg_pool.ConnectionPool(busy.dsn(), min_size=3, max_size=8, configure=configure, reset=reset) as pool:
        def use(_):
            for turn in range(5):
                with pool.connection() as connection:
                    assert value(connection, "SELECT name FROM place") == f"tenant_{number}"
                    assert value(connection, "SELECT coalesce(current_setting('app.user_id', true), '')") == ""
                    connection.execute("SELECT set_config('app.user_id', %s, false)", (str(turn),))
                    assert value(connection, "SELECT current_setting('app.user_id')") == str(turn)
        in_clients(use, 8)
        pool.check()


@two_clients
def test_the_null_pool(busy, number):
    with psycopg_pool.NullConnectionPool(busy.dsn(options=f"-c search_path=tenant_{number}"), max_size=6) as pool:
        def use(_):
            for _ in range(4):
                with pool.connection() as connection:
                    assert value(connection, "SELECT name FROM place") == f"tenant_{number}"
        in_clients(use, 6)


def test_the_asynchronous_pool(busy):
    async def use(pool, number):
        async with pool.connection() as connection:
            for turn in range(8):
                cursor = await connection.execute("SELECT %s::int + %s::int", (number, turn))
                assert await cursor.fetchone() == (number + turn,)
            async with connection.transaction():
                await connection.execute("SET LOCAL search_path TO tenant_1")
                assert await (await connection.execute("SELECT name FROM place")).fetchone() == ("tenant_1",)

    async def main():
        async with psycopg_pool.AsyncConnectionPool(busy.dsn(), min_size=5, max_size=15) as pool:
            await asyncio.gather(*(use(pool, number) for number in range(40)))
    asyncio.run(main())
