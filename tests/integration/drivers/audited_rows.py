"""Rows of test_nothing_pins.py for Python's drivers: what they send beside a table with an audit trigger."""

import asyncio
from contextlib import suppress

import asyncpg
import psycopg
import psycopg2

from rows import DATABASE, HOST, PORT, USER, row, run

DSN = f"host={HOST} port={PORT} user={USER} dbname={DATABASE}"


async def asyncpg_client(number):
    """asyncpg asks for types that it does not know between the Parse and the Sync of a statement."""
    db = await asyncpg.connect(host=HOST, port=PORT, user=USER, database=DATABASE)
    for turn in range(6):
        async with db.transaction():
            await db.reload_schema_state()          # it prepares and asks anew
            await db.execute("INSERT INTO audited (owner, v, mood, pair, moods) VALUES ($1, 'asyncpg', $2, $3, $4)",
                             number, "sad", (turn, "in"), ["glad"])
            found = await db.fetchrow("SELECT $1::audited_mood AS mood, $2::audited_pair AS pair, $3::audited_mood[] AS moods, "
                                      "'(1,one)'::audited_pair AS literal", "glad", (turn, "x"), ["sad", "glad"])
            assert tuple(found) == ("glad", (turn, "x"), ["sad", "glad"], (1, "one")), found
            assert await db.fetchval("DELETE FROM audited WHERE owner = $1 AND v = 'asyncpg' RETURNING v", number) == "asyncpg"
        await db.executemany("INSERT INTO audited (owner, v) VALUES ($1, $2)", [(number, f"many {i}") for i in range(5)])
        assert await db.fetchval("SELECT count(*) FROM audited WHERE owner = $1 AND v LIKE 'many%'", number) == 5
        await db.execute("DELETE FROM audited WHERE owner = $1 AND v LIKE 'many%'", number)
    await db.close()


@row("asyncpg")
def of_asyncpg(number):
    asyncio.run(asyncpg_client(number))


@row("psycopg_pipeline")
def psycopg_pipeline(number):
    with psycopg.connect(DSN, autocommit=True) as db:
        for turn in range(8):
            with db.pipeline():
                made = [db.execute(f"INSERT INTO audited (owner, v) VALUES (%s, 'psycopg {i}') RETURNING v", (number,), prepare=True)
                        for i in range(5)]
                many = db.execute("SELECT count(*) FROM audited WHERE owner = %s AND v LIKE 'psycopg %%'", (number,), prepare=turn > 3)
                db.execute("DELETE FROM audited WHERE owner = %s AND v LIKE 'psycopg %%'", (number,))
            assert [cursor.fetchone() for cursor in made] == [(f"psycopg {i}",) for i in range(5)]
            assert many.fetchone() == (5,)
            for _ in range(3):
                db.execute("SELECT 1", prepare=True)


def failing(db, sqlstate, *words):
    try:
        db.execute(*words)
    except psycopg.Error as error:
        assert error.sqlstate == sqlstate, error
    else:
        raise AssertionError(f"no {sqlstate}")


@row("transactions")
def transactions(number):
    """A savepoint that is rolled back, a ROLLBACK behind a write, SET LOCAL, a COPY that fails."""
    with psycopg.connect(DSN) as db:
        db.prepare_threshold = 1
        for turn in range(6):
            db.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
            db.execute("SET LOCAL DateStyle = 'SQL, DMY'")
            db.execute("INSERT INTO audited (owner, v) VALUES (%s, 'kept')", (number,))
            assert db.execute("SELECT %s::date::text, '02/03/2026'::date - '2026-03-01'::date", ("01/02/2026",)).fetchone() == (
                "01/02/2026", 1)
            db.execute("SAVEPOINT s")
            failing(db, "22012", "SELECT 1 / (owner - owner) FROM audited WHERE owner = %s", (number,))
            db.execute("ROLLBACK TO s")
            with suppress(psycopg.errors.InvalidTextRepresentation):
                with db.transaction(), db.cursor() as cursor, cursor.copy("COPY audited (owner, v) FROM STDIN") as copy:
                    copy.write(f"{number}\tcopied\nnone\tat all\n")
                raise AssertionError("no error")
            assert db.execute("SELECT v FROM audited WHERE owner = %s AND v IN ('kept', 'copied')", (number,)).fetchall() == [("kept",)]
            if turn % 2:
                db.rollback()
            else:
                db.execute("DELETE FROM audited WHERE owner = %s AND v = 'kept'", (number,))
                db.commit()
            assert db.execute("SELECT count(*) FROM audited WHERE owner = %s AND v = 'kept'", (number,)).fetchone() == (0,)
            assert db.execute("SHOW DateStyle").fetchone() == ("ISO, MDY",)
            db.commit()


@row("large_objects")
def large_objects(number):
    """libpq's lo_*: the fast path."""
    db = psycopg2.connect(DSN)
    for turn in range(4):
        made = db.lobject(0, "wb")
        made.write(f"{number}/{turn}".encode())
        made.close()
        db.commit()
        again = db.lobject(made.oid, "rb")
        assert again.read() == f"{number}/{turn}".encode()
        again.unlink()
        db.commit()
    db.close()


@row("places")
def places(number):
    """PostGIS's columns, functions and operators, and rows that pg_partman puts into its partitions."""
    with psycopg.connect(DSN, autocommit=True) as db:
        for turn in range(8):
            db.execute("INSERT INTO audited (owner, v, place) VALUES (%s, 'placed', ST_SetSRID(ST_MakePoint(%s, 4), 4326))", (number, turn),
                       prepare=turn > 3)
            assert db.execute("SELECT ST_AsText(place), ST_DWithin(place::geography, ST_MakePoint(%s, 4)::geography, 10) FROM audited "
                              "WHERE owner = %s AND v = 'placed' ORDER BY place <-> ST_SetSRID(ST_MakePoint(0, 0), 4326)",
                              (turn, number), prepare=turn > 3).fetchone() == (f"POINT({turn} 4)", True)
            db.execute("INSERT INTO readings (owner, place) SELECT %s, ST_MakePoint(i, %s)::geography FROM generate_series(1, 3) i",
                       (number, turn), prepare=True)
            assert db.execute("SELECT count(*), ST_NumGeometries(ST_Union(place::geometry)) FROM readings WHERE owner = %s",
                              (number,)).fetchone() == (3, 3)
            db.execute("DELETE FROM readings WHERE owner = %s", (number,))
            db.execute("DELETE FROM audited WHERE owner = %s AND v = 'placed'", (number,))


run()
