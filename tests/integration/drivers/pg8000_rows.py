# pg8000: a driver in pure Python; each statement is parsed under a name and kept.

from contextlib import suppress

import pg8000

from rows import DATABASE, HOST, PORT, USER, row, run


def connected():
    return pg8000.connect(user=USER, host=HOST, port=PORT, database=DATABASE)


def value(db, sql, parameters=()):
    cursor = db.cursor()
    cursor.execute(sql, parameters)
    return cursor.fetchone()[0]


@row("parameters_and_transactions")
def _(number):
    db = connected()
    cursor = db.cursor()
    cursor.execute("CREATE TEMP TABLE basket (n int, v text)")
    db.commit()
    for turn in range(20):
        cursor.execute("INSERT INTO basket VALUES (%s, %s)", (turn, f"row {number}"))
        db.commit() if turn % 2 else db.rollback()
    assert value(db, "SELECT count(*) FROM basket WHERE v = %s", (f"row {number}",)) == 10
    db.close()


@row("settings")
def _(number):
    db = connected()
    db.autocommit = True
    cursor = db.cursor()
    cursor.execute(f"SET search_path TO tenant_{number}")
    cursor.execute("SET TIME ZONE 'Japan'")
    for _ in range(20):
        assert value(db, "SELECT name FROM place WHERE %s > 0", (1,)) == f"tenant_{number}"
        assert value(db, "SHOW timezone") == "Japan"
    db.close()


@row("errors_and_ddl")
def _(number):
    db = connected()
    db.autocommit = True
    cursor = db.cursor()
    cursor.execute(f"CREATE TABLE pg8000_{number} (a int)")
    cursor.execute(f"INSERT INTO pg8000_{number} VALUES (1)")
    for columns in (1, 2):
        for _ in range(5):
            with suppress(pg8000.ProgrammingError):
                cursor.execute("SELECT 1 / %s", (0,))
                raise AssertionError("no error")
            fresh = connected()
            other = fresh.cursor()
            other.execute(f"SELECT * FROM pg8000_{number}")
            assert len(other.fetchone()) == columns
            fresh.close()
        cursor.execute(f"ALTER TABLE pg8000_{number} ADD COLUMN c{columns} int")
    cursor.execute(f"DROP TABLE pg8000_{number}")
    db.close()


if __name__ == "__main__":
    run()
