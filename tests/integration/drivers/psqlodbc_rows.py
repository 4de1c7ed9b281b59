# psqlODBC by pyodbc: autocommit is off; a plan is freed by SAVEPOINT, DEALLOCATE and RELEASE in one Query, and its name,
# an address, is soon used again.

from contextlib import closing

import pyodbc

from rows import DATABASE, HOST, PORT, SSLMODE, USER, row, run


def connected(**options):
    return pyodbc.connect(f"DRIVER={{PostgreSQL Unicode}};SERVER={HOST};PORT={PORT};DATABASE={DATABASE};UID={USER};SSLmode={SSLMODE};"
                          "UseServerSidePrepare=1", **options)


def value(db, sql, *parameters):
    with closing(db.cursor()) as cursor:        # a fresh one, whose plan goes with it
        return cursor.execute(sql, *parameters).fetchone()[0]


@row("fresh_cursors")
def _(number):
    db = connected()
    for turn in range(60):
        assert value(db, f"SELECT {turn % 7} + ?", number) == turn % 7 + number
        if turn % 3:
            db.commit()
    db.rollback()
    db.close()


@row("parameters_and_transactions")
def _(number):
    db = connected()
    cursor = db.cursor()
    cursor.execute("CREATE TEMP TABLE basket (n int, v text)")
    db.commit()
    for turn in range(20):
        with closing(db.cursor()) as other:
            other.execute("INSERT INTO basket VALUES (?, ?)", turn, f"row {number}")
        db.commit() if turn % 2 else db.rollback()
    cursor.executemany("INSERT INTO basket VALUES (?, ?)", [(turn, f"more {number}") for turn in range(5)])
    assert value(db, "SELECT count(*) FROM basket WHERE v = ?", f"row {number}") == 10
    assert value(db, "SELECT count(*) FROM basket WHERE n < ?", 100) == 15
    db.close()


@row("errors_in_transactions")
def _(number):
    db = connected()
    for turn in range(10):
        assert value(db, "SELECT 8 / ?", 2) == 4
        try:
            value(db, "SELECT 8 / ?", 0)
            raise AssertionError("no error")
        except pyodbc.Error as error:
            assert "division by zero" in str(error)
        if turn % 2:
            db.rollback()
        assert value(db, "SELECT ?", f"after {number}") == f"after {number}"
        db.commit()
    db.close()


@row("settings")
def _(number):
    db = connected(autocommit=True)
    db.execute(f"SET search_path TO tenant_{number}")
    for _ in range(20):
        assert value(db, "SELECT name FROM place WHERE ? > 0", 1) == f"tenant_{number}"
    db.close()


if __name__ == "__main__":
    run()
