# Peewee: with its pool, its server-side cursors and its playhouse migrations.

from contextlib import suppress

import peewee
from playhouse.migrate import PostgresqlMigrator, migrate
from playhouse.pool import PooledPostgresqlExtDatabase
from playhouse.postgres_ext import ArrayField, BinaryJSONField, ServerSide

from rows import DATABASE, HOST, PORT, SSLMODE, USER, at_once, row, run


def opened(**more):
    return PooledPostgresqlExtDatabase(DATABASE, user=USER, host=HOST, port=PORT, sslmode=SSLMODE, max_connections=8,
                                       stale_timeout=300, **more)


def model(db, name):
    """Its indexes are named after the class: so is the class after the table."""
    item = type(name, (peewee.Model,), {
        "name": peewee.TextField(unique=True), "tags": BinaryJSONField(null=True, index=False),
        "many": ArrayField(peewee.IntegerField, null=True, index=False),
        "Meta": type("Meta", (), {"database": db, "table_name": name})})
    db.create_tables([item])
    return item


def value(db, sql, parameters=None):
    return db.execute_sql(sql, parameters).fetchone()[0]


@row("models_in_threads")
def _(number):
    db = opened()
    item = model(db, f"peewee_a{number}")

    def use(thread):
        for turn in range(6):
            with db.connection_context():
                made = item.create(name=f"item {thread}/{turn}", tags={"a": turn}, many=[turn])
                assert item.get_by_id(made.id).tags == {"a": turn}
    db.close()
    assert at_once(use, range(5)) is None
    assert item.select().count() == 30
    db.drop_tables([item])


@row("atomic_and_savepoints")
def _(number):
    db = opened()
    item = model(db, f"peewee_b{number}")
    for turn in range(8):
        with db.atomic():
            item.create(name=f"item {turn}")
            with suppress(peewee.IntegrityError):
                with db.atomic():
                    item.create(name=f"item {turn}")
                raise AssertionError("no error")
    assert item.select().count() == 8
    db.drop_tables([item])


@row("server_side_cursor_and_settings")
def _(number):
    db = opened(options=f"-c search_path=tenant_{number},public")
    db.execute_sql(f"SET app.user_id = '{number}'")
    item = model(db, f"peewee_c{number}")
    item.insert_many([{"name": f"bulk {turn}"} for turn in range(300)]).execute()
    with db.atomic():
        assert sum(1 for _ in ServerSide(item.select(), array_size=20)) == 300
    for _ in range(15):
        assert value(db, "SELECT name FROM place") == f"tenant_{number}"
        assert value(db, "SELECT count(*) FROM document") == number
    db.drop_tables([item])


@row("migrate")
def _(number):
    db = opened()
    item = model(db, f"peewee_d{number}")
    item.create(name="one")
    for _ in range(5):
        assert db.execute_sql(f"SELECT * FROM peewee_d{number}").fetchone() == (1, "one", None, None)
    migrate(PostgresqlMigrator(db).add_column(f"peewee_d{number}", "extra", peewee.IntegerField(default=5)))
    for _ in range(5):
        assert db.execute_sql(f"SELECT * FROM peewee_d{number}").fetchone() == (1, "one", None, None, 5)
    db.drop_tables([item])


@row("lock_and_temporary_table")
def _(number):
    db = opened()
    assert value(db, "SELECT pg_try_advisory_lock(%s)", (number,)) is True
    db.execute_sql("CREATE TEMP TABLE basket (n int)")
    for turn in range(12):
        db.execute_sql("INSERT INTO basket VALUES (%s)", (turn,))
    assert value(db, "SELECT sum(n) FROM basket") == 66
    assert value(db, "SELECT pg_advisory_unlock(%s)", (number,)) is True


if __name__ == "__main__":
    run()
