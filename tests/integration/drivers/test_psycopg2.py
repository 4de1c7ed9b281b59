"""psycopg2 with its defaults, through fewer servers than connections."""

import decimal
import threading
from datetime import datetime, timezone

import psycopg2
import psycopg2.errorcodes
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool
import pytest

from waiting import each


def test_values_of_many_types(weir):
    weir.start(pool_size=1)
    connection = weir.connect2()
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s, %s, %s, %s::bytea, %s::timestamptz, %s", (
            1, "Grüße '\\\"%", decimal.Decimal("1.50"), psycopg2.Binary(b"\0\xff"),
            datetime(2026, 11, 20, tzinfo=timezone.utc), [1, 2, None]))
        row = cursor.fetchone()
        assert row[:3] == (1, "Grüße '\\\"%", decimal.Decimal("1.50"))
        assert bytes(row[3]) == b"\0\xff" and row[4].year == 2026 and row[5] == [1, 2, None]
    connection.commit()


def test_transactions_commit_and_roll_back(weir, table):
    weir.start(pool_size=1)
    one, two = weir.connect2(), weir.connect2(autocommit=True)
    with one.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} VALUES (1, 'a')")
    one.rollback()
    with one, one.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} VALUES (2, 'b')")
    with two.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table}")
        assert cursor.fetchall() == [(2,)]


def test_an_error_keeps_its_class_and_diagnostics(weir, table):
    weir.start(pool_size=1)
    connection = weir.connect2()
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} VALUES (1, 'a')")
        with pytest.raises(psycopg2.errors.UniqueViolation) as raised:
            cursor.execute(f"INSERT INTO {table} VALUES (1, 'b')")
        assert raised.value.diag.constraint_name == f"{table}_pkey"
        with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
            cursor.execute("SELECT 1")
        connection.rollback()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_a_server_side_cursor(weir):
    weir.start(pool_size=2)
    connection = weir.connect2()
    with connection.cursor("named") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT i FROM generate_series(1, 1050) i")
        assert [row[0] for row in cursor] == list(range(1, 1051))
    connection.commit()


def test_execute_values_and_batches(weir, table):
    weir.start(pool_size=1)
    connection = weir.connect2()
    with connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, f"INSERT INTO {table} VALUES %s", [(i, str(i)) for i in range(1000)])
        psycopg2.extras.execute_batch(cursor, f"UPDATE {table} SET v = %s WHERE id = %s",
                                      [("x", i) for i in range(1000)])
        cursor.execute(f"SELECT count(*) FROM {table} WHERE v = 'x'")
        assert cursor.fetchone() == (1000,)
    connection.commit()


def test_its_own_thread_pool(weir, table):
    """More threads than connections than servers."""
    weir.start(pool_size=3)
    weir.postgres.query(f"INSERT INTO {table} VALUES (1, '0')")
    pool = psycopg2.pool.ThreadedConnectionPool(8, 8, weir.dsn())
    failures, room = [], threading.Semaphore(8)

    def work(number):
        try:
            for _ in range(20):
                with room:
                    connection = pool.getconn()
                    try:
                        with connection, connection.cursor() as cursor:
                            cursor.execute(f"UPDATE {table} SET v = (v::int + 1)::text WHERE id = 1")
                            cursor.execute("SELECT %s", (number,))
                            assert cursor.fetchone() == (number,)
                    finally:
                        pool.putconn(connection)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    each(threads).start()
    each(threads).join()
    pool.closeall()
    assert not failures
    assert weir.postgres.value(f"SELECT v FROM {table}") == "320"


def test_session_settings_of_the_connection(weir):
    weir.start(pool_size=2)
    one, two = weir.connect2(), weir.connect2()
    one.set_session(isolation_level="SERIALIZABLE", readonly=True)
    with one.cursor() as cursor, two.cursor() as other:
        cursor.execute("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
        assert cursor.fetchone() == ("serializable", "on")
        other.execute("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
        assert other.fetchone() == ("read committed", "off")
    one.rollback()
    two.rollback()


def test_client_encoding_of_a_connection(weir):
    weir.start(pool_size=1)
    one, two = weir.connect2(autocommit=True), weir.connect2(autocommit=True)
    one.set_client_encoding("LATIN1")
    for _ in range(3):
        for connection in (one, two):
            with connection.cursor() as cursor:
                cursor.execute("SELECT %s, length(%s)", ("äöü", "äöü"))
                assert cursor.fetchone() == ("äöü", 3)


def test_notices(weir):
    weir.start(pool_size=1)
    connection = weir.connect2(autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
    assert connection.notices == ["NOTICE:  hello\n"]


def test_large_objects_in_a_transaction(weir):
    weir.start(pool_size=1)
    connection = weir.connect2()
    data = bytes(range(256)) * 2000
    large = connection.lobject(0, "wb")
    large.write(data)
    large.close()
    connection.commit()
    large = connection.lobject(large.oid, "rb")
    assert large.read() == data
    large.unlink()
    connection.commit()


def test_asynchronous_connections(weir):
    import select
    weir.start(pool_size=1)

    def wait(connection):
        while True:
            state = connection.poll()
            if state == psycopg2.extensions.POLL_OK:
                return
            select.select([connection.fileno()] if state == psycopg2.extensions.POLL_READ else [],
                          [connection.fileno()] if state == psycopg2.extensions.POLL_WRITE else [], [], 10)
    connections = [weir.keep(psycopg2.connect(weir.dsn(), async_=1)) for _ in range(5)]
    cursors = []
    for connection in connections:
        wait(connection)
    for number, connection in enumerate(connections):
        cursor = connection.cursor()
        cursor.execute("SELECT %s", (number,))
        cursors.append(cursor)
    for number, connection in enumerate(connections):
        wait(connection)
        assert cursors[number].fetchone() == (number,)
