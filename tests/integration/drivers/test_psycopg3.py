"""psycopg 3 with its defaults: extended protocol, automatic preparation, pipelines, cursors, COPY, async."""

import asyncio

import psycopg
import pytest
from psycopg import sql


def test_parameters_go_by_the_extended_protocol(weir):
    weir.start(pool_size=1)
    connection = weir.connect(autocommit=True)
    assert connection.execute("SELECT %s::int + 1, %s", (41, "x")).fetchone() == (42, "x")
    assert connection.execute("SELECT %b::int8", (2 ** 40,)).fetchone() == (2 ** 40,)
    assert connection.execute("SELECT %s::bytea", (b"\0\xff",), binary=True).fetchone() == (b"\0\xff",)


def test_statements_are_prepared_after_some_uses_and_work_on_every_server(weir):
    weir.start(pool_size=3, pool_lifo=False)
    connections = [weir.connect(autocommit=True) for _ in range(6)]
    for turn in range(12):
        for number, connection in enumerate(connections):
            row = connection.execute("SELECT %s::int * 2, %s", (turn, f"client {number}")).fetchone()
            assert row == (turn * 2, f"client {number}")
    assert connections[0]._prepared._names


def test_more_prepared_statements_than_it_keeps(weir):
    """It sends DEALLOCATE as SQL for those it forgets."""
    weir.start(pool_size=2, pool_lifo=False)
    connection = weir.connect(autocommit=True)
    connection.prepare_threshold = 0
    connection.prepared_max = 3
    for turn in range(3):
        for number in range(8):
            assert connection.execute(f"SELECT {number}, %s", (turn,)).fetchone() == (number, turn)


def test_preparation_survives_an_error(weir):
    weir.start(pool_size=2)
    connection = weir.connect(autocommit=True)
    connection.prepare_threshold = 0
    for turn in (1, 0, 2, 0, 4):
        if turn:
            assert connection.execute("SELECT 8 / %s", (turn,)).fetchone() == (8 // turn,)
        else:
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 8 / %s", (turn,))


def test_pipelines(weir, table):
    weir.start(pool_size=2)
    with weir.connect() as connection, connection.pipeline() as pipeline, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(i, str(i)) for i in range(500)])
        cursors = [connection.execute("SELECT %s::int", (i,)) for i in range(100)]
        pipeline.sync()
        assert [one.fetchone()[0] for one in cursors] == list(range(100))
    assert weir.postgres.value(f"SELECT count(*) FROM {table}") == 500


def test_an_error_in_a_pipeline(weir):
    weir.start(pool_size=1)
    connection = weir.connect(autocommit=True)
    with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():
        good = connection.execute("SELECT 1")
        connection.execute("SELECT 1 / %s", (0,))
        connection.execute("SELECT 2")
    assert good.fetchone() == (1,)
    assert connection.execute("SELECT 3").fetchone() == (3,)


def test_transaction_blocks_and_savepoints(weir, table):
    weir.start(pool_size=1)
    connection = weir.connect(autocommit=True)
    with connection.transaction():
        connection.execute(f"INSERT INTO {table} VALUES (1, 'a')")
        with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
            connection.execute(f"INSERT INTO {table} VALUES (1, 'b')")
        connection.execute(f"INSERT INTO {table} VALUES (2, 'c')")
    assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (2,)


def test_a_server_cursor(weir):
    weir.start(pool_size=1)
    with weir.connect() as connection, connection.cursor("named") as cursor:
        cursor.execute("SELECT i FROM generate_series(1, 1000) i")
        assert cursor.fetchmany(10)[-1] == (10,)
        cursor.scroll(100)
        assert cursor.fetchone() == (111,)


def test_a_client_cursor_and_composed_sql(weir, table):
    weir.start(pool_size=1)
    connection = weir.connect(autocommit=True)
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(sql.Identifier(table)), (1, "it's"))
    assert cursor.execute(f"SELECT v FROM {table}").fetchone() == ("it's",)


def test_rows_streamed_one_by_one(weir):
    weir.start(pool_size=1)
    connection = weir.connect(autocommit=True)
    rows = connection.cursor().stream("SELECT i FROM generate_series(1, 5000) i")
    assert sum(row[0] for row in rows) == 5000 * 5001 // 2


def test_copy_both_ways(weir, table):
    weir.start(pool_size=1)
    with weir.connect() as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for number in range(5000):
                copy.write_row((number, f"row {number}"))
        with cursor.copy(f"COPY {table} TO STDOUT") as copy:
            assert sum(1 for _ in copy.rows()) == 5000


def test_a_copy_that_breaks(weir, table):
    weir.start(pool_size=1)
    connection = weir.connect(autocommit=True)
    # Since psycopg 3.2 the application sees its own error, before that PostgreSQL's.
    with pytest.raises((KeyError, psycopg.errors.QueryCanceled)), connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            copy.write_row((1, "x"))
            raise KeyError("the application gives up")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation), connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            copy.write("bad\trow\n" * 100)
    assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_prepared_statements_off_and_on_at_once(weir):
    weir.start(pool_size=1)
    never, always = weir.connect(autocommit=True), weir.connect(autocommit=True)
    never.prepare_threshold, always.prepare_threshold = None, 0
    for turn in range(10):
        for connection in (never, always):
            assert connection.execute("SELECT %s::text", (turn,)).fetchone() == (str(turn),)


def test_async_connections(weir):
    weir.start(pool_size=3)

    async def one(number):
        async with await psycopg.AsyncConnection.connect(weir.dsn(), autocommit=True) as connection:
            for turn in range(15):
                cursor = await connection.execute("SELECT %s::int, %s::int", (number, turn))
                assert await cursor.fetchone() == (number, turn)
            async with connection.transaction():
                await connection.execute("SELECT pg_sleep(0.01)")
        return number

    async def run():
        return await asyncio.gather(*(one(number) for number in range(20)))
    assert asyncio.run(run()) == list(range(20))


def test_tells_what_it_knows_of_the_connection(weir):
    weir.start()
    connection = weir.connect(application_name="who am I")
    info = connection.info
    assert info.dbname == "app" and info.user == "web" and info.server_version >= 150_000
    assert info.encoding == "utf-8" and str(info.timezone) == "UTC"
    assert info.parameter_status("application_name") == "who am I"
    assert info.transaction_status == psycopg.pq.TransactionStatus.IDLE
