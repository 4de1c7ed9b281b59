"""What applications of psycopg2 keep in a session, while servers change hands."""

import io
import select

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool
import pytest

from crowd import two_clients
from waiting import PATIENCE


def value(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def run(connection, *texts):
    with connection.cursor() as cursor:
        for text in texts:
            cursor.execute(text)


@two_clients
def test_startup_settings(busy, number):
    connection = busy.connect2(autocommit=True, application_name=f"shop {number}",
                               options=f"-c search_path=tenant_{number} -c statement_timeout=7s -c TimeZone=Japan")
    for _ in range(20):
        assert value(connection, "SELECT name FROM place") == f"tenant_{number}"
        assert value(connection, "SELECT current_setting('statement_timeout') || current_setting('TimeZone') || "
                                 "current_setting('application_name')") == f"7sJapanshop {number}"


@two_clients
def test_set_and_reset(busy, number):
    connection = busy.connect2(autocommit=True)
    run(connection, f"SET search_path TO tenant_{number}", "SET TIME ZONE 'Japan'", f"SET app.user_id = {number}")
    for _ in range(20):
        assert value(connection, "SELECT name FROM place") == f"tenant_{number}"
        assert value(connection, "SELECT count(*) FROM public.document") == number
        assert value(connection, "SHOW timezone") == "Japan"
    run(connection, "RESET search_path", "SET TIME ZONE DEFAULT")
    for _ in range(10):
        assert value(connection, "SELECT name FROM place") == "public"
        assert value(connection, "SHOW timezone") == "UTC"


@two_clients
def test_set_in_transactions(busy, number):
    connection = busy.connect2()
    run(connection, f"SET search_path TO tenant_{number}")
    connection.commit()
    for _ in range(10):
        run(connection, f"SET search_path TO tenant_{3 - number}", "SAVEPOINT one", "SET search_path TO public",
            "ROLLBACK TO SAVEPOINT one")
        assert value(connection, "SELECT name FROM place") == f"tenant_{3 - number}"
        connection.rollback()
        run(connection, "SET LOCAL search_path TO public")
        connection.commit()
        assert value(connection, "SELECT name FROM place") == f"tenant_{number}"
        connection.rollback()


@two_clients
def test_role_and_session_authorization(busy, number):
    connection = busy.connect2(autocommit=True)
    if number == 1:
        run(connection, "SET ROLE clerk")
    for _ in range(20):
        assert value(connection, "SELECT current_user::text") == ("clerk" if number == 1 else "web")
    run(connection, "RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT")
    assert value(connection, "SELECT current_user::text") == "web"


@two_clients
def test_set_config_for_row_security(busy, number):
    connection = busy.connect2()
    run(connection, f"SELECT set_config('app.user_id', '{number}', false)")
    connection.commit()
    for _ in range(20):
        assert value(connection, "SELECT count(*) FROM document") == number
        connection.commit()
    run(connection, f"SELECT set_config('app.user_id', '{3 - number}', true)")
    assert value(connection, "SELECT count(*) FROM document") == 3 - number
    connection.commit()
    assert value(connection, "SELECT count(*) FROM document") == number
    connection.commit()


@two_clients
def test_listen(busy, number):
    connection, other = busy.connect2(autocommit=True), busy.connect2()
    run(connection, f"LISTEN p2_{number}")
    run(other, f"NOTIFY p2_{number}, 'never'")
    other.rollback()
    for turn in range(5):
        run(other, f"NOTIFY p2_{number}, 'hello {turn}'")
        other.commit()
    heard = []
    while len(heard) < 5:
        assert select.select([connection], [], [], PATIENCE)[0], heard
        connection.poll()
        heard += [(notify.channel, notify.payload) for notify in connection.notifies]
        connection.notifies.clear()
    assert heard == [(f"p2_{number}", f"hello {turn}") for turn in range(5)]
    run(connection, f"UNLISTEN p2_{number}")


@two_clients
def test_advisory_locks(busy, number):
    connection, other = busy.connect2(autocommit=True), busy.connect2(autocommit=True)
    run(connection, f"SELECT pg_advisory_lock({number})", f"SELECT pg_advisory_lock_shared(9, {number})")
    for _ in range(10):
        assert value(connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND "
                                 "pid = pg_backend_pid()") == 2
        assert value(other, f"SELECT pg_try_advisory_lock({number})") is False
    assert value(connection, f"SELECT pg_advisory_unlock({number})") is True
    run(connection, "SELECT pg_advisory_unlock_all()")
    assert value(other, f"SELECT pg_try_advisory_lock(9, {number})") is True
    assert value(other, f"SELECT pg_advisory_unlock(9, {number})") is True


@two_clients
def test_a_lock_goes_with_its_connection(busy, number):
    connection, other = busy.connect2(autocommit=True), busy.connect2(autocommit=True)
    run(connection, f"SELECT pg_advisory_lock({number})")
    connection.close()
    busy.wait_until(lambda: value(other, f"SELECT pg_try_advisory_lock({number})"), what="the lock")
    run(other, f"SELECT pg_advisory_unlock({number})")


@two_clients
def test_temporary_tables(busy, number):
    connection = busy.connect2()
    run(connection, "CREATE TEMP TABLE basket (n int) ON COMMIT PRESERVE ROWS")
    connection.commit()
    for _ in range(15):
        run(connection, f"INSERT INTO basket VALUES ({number})")
        connection.commit()
    assert value(connection, "SELECT sum(n) FROM basket") == 15 * number
    run(connection, "DROP TABLE basket")
    connection.commit()
    with pytest.raises(psycopg2.errors.UndefinedTable):
        run(connection, "SELECT * FROM basket")
    connection.rollback()


@two_clients
def test_a_cursor_with_hold(busy, number):
    connection = busy.connect2()
    with connection.cursor("held", withhold=True) as cursor:
        cursor.itersize = 7
        cursor.execute(f"SELECT i * {number} FROM generate_series(1, 100) i")
        connection.commit()
        found = []
        for row in cursor:
            found.append(row[0])
            if len(found) % 10 == 0:
                connection.commit()
    assert found == [i * number for i in range(1, 101)]
    connection.commit()


@two_clients
def test_sql_prepare(busy, number):
    connection = busy.connect2(autocommit=True)
    run(connection, f"PREPARE triple (int) AS SELECT $1 * {number}")
    for turn in range(20):
        assert value(connection, f"EXECUTE triple ({turn})") == turn * number
    with pytest.raises(psycopg2.errors.DuplicatePreparedStatement):
        run(connection, "PREPARE triple (int) AS SELECT 1")
    run(connection, "DEALLOCATE triple")
    with pytest.raises(psycopg2.errors.InvalidSqlStatementName):
        run(connection, "EXECUTE triple (1)")


@two_clients
def test_reset_and_discard(busy, number):
    connection = busy.connect2()
    for text in ("reset", "DISCARD ALL", "RESET ALL"):
        run(connection, f"SET search_path TO tenant_{number}")
        connection.commit()
        connection.autocommit = True
        if text == "reset":
            connection.reset()
        else:
            run(connection, text)
        for _ in range(5):
            assert value(connection, "SELECT name FROM place") == "public"
        connection.rollback()
        connection.autocommit = False


@two_clients
def test_defaults_of_a_session(busy, number):
    connection = busy.connect2(autocommit=True)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=number == 1, deferrable=False)
    for _ in range(10):
        assert value(connection, "SHOW transaction_isolation") == "repeatable read"
        assert value(connection, "SHOW transaction_read_only") == ("on" if number == 1 else "off")
    run(connection, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    for _ in range(10):
        assert value(connection, "SHOW transaction_isolation") == "serializable"


@two_clients
def test_a_table_that_grows(busy, number):
    connection = busy.connect2(autocommit=True)
    table = f"p2_ddl_{number}"
    run(connection, f"CREATE TABLE {table} (a int)", f"INSERT INTO {table} VALUES (1)",
        f"PREPARE everything AS SELECT a FROM {table}")
    for _ in range(6):
        assert value(connection, "EXECUTE everything") == 1
    run(connection, f"ALTER TABLE {table} ADD COLUMN b int DEFAULT 2")
    for _ in range(6):
        assert value(connection, "EXECUTE everything") == 1
        assert value(connection, f"SELECT {table}::text FROM {table}") == "(1,2)"
    run(connection, f"DROP TABLE {table}")


@two_clients
def test_copy_both_ways(busy, number):
    connection = busy.connect2(autocommit=True)
    run(connection, "CREATE TEMP TABLE copied (n int, v text)")
    text = "".join(f"{n}\trow {number}\n" for n in range(3000))
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY copied FROM STDIN", io.StringIO(text))
        out = io.StringIO()
        cursor.copy_expert("COPY copied TO STDOUT", out)
        assert out.getvalue() == text
        with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
            cursor.copy_expert("COPY copied FROM STDIN", io.StringIO("bad\n" * 1000))
    assert value(connection, "SELECT count(*) FROM copied") == 3000


@two_clients
def test_types_looked_up(busy, number):
    connection = busy.connect2()
    run(connection, f"CREATE TYPE p2_pair_{number} AS (a int, b text)")
    connection.commit()
    pair = psycopg2.extras.register_composite(f"p2_pair_{number}", connection)
    connection.commit()
    for turn in range(8):
        found = value(connection, f"SELECT %s::p2_pair_{number}", ((turn, "x"),))
        assert found == pair.type(turn, "x")
        connection.commit()
    run(connection, f"DROP TYPE p2_pair_{number}")
    connection.commit()


@two_clients
def test_a_query_cancelled(busy, number):
    connection = busy.connect2(autocommit=True)
    running = busy.in_background(run, connection, f"SELECT pg_sleep(60 + {number})")
    busy.wait_until(lambda: busy.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
                                                f"query = 'SELECT pg_sleep(60 + {number})'"), what="the query")
    connection.cancel()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        running.result()
    assert value(connection, "SELECT %s", (number,)) == number


@two_clients
def test_a_pool_whose_users_leave_settings(busy, number):
    """putconn only rolls back: what one user sets, the next finds, as on a direct connection."""
    pool = psycopg2.pool.ThreadedConnectionPool(2, 2, busy.dsn())
    try:
        connection = pool.getconn()
        run(connection, f"SET search_path TO tenant_{number}")
        connection.commit()
        pool.putconn(connection)
        for _ in range(10):
            again = pool.getconn()
            assert again is connection and value(again, "SELECT name FROM place") == f"tenant_{number}"
            pool.putconn(again)
    finally:
        pool.closeall()
