# Pony ORM: sets autocommit by itself, keeps a connection for each thread, and sends DISCARD ALL at a session's end.

from contextlib import suppress

from pony import orm
from pony.orm.dbproviders import postgres  # noqa: F401  (two threads importing it at once would find half of it)

from rows import DATABASE, HOST, PORT, SSLMODE, USER, at_once, row, run


def bound(number, letter, **more):
    db = orm.Database()
    attributes = {"name": orm.Required(str, unique=True), "tags": orm.Optional(orm.Json),
                  "_table_": f"pony_{letter}{number}"}
    item = type(db.Entity)("Item", (db.Entity,), attributes)
    db.bind(provider="postgres", user=USER, host=HOST, port=PORT, database=DATABASE, sslmode=SSLMODE, **more)
    db.generate_mapping(create_tables=True)
    return db, item


def forget(db):
    db.drop_all_tables(with_all_data=True)
    db.disconnect()


@row("entities")
def _(number):
    db, item = bound(number, "a")
    for turn in range(12):
        with orm.db_session:
            item(name=f"item {turn}", tags={"a": turn})
        with orm.db_session:
            found = item.get(name=f"item {turn}")
            assert found.tags["a"] == turn
            found.name = f"new {turn}"
    with orm.db_session:
        assert item.select().where(lambda i: i.name.startswith("new ")).count() == 12
    forget(db)


@row("sessions_that_roll_back")
def _(number):
    db, item = bound(number, "b")
    for turn in range(8):
        with suppress(KeyError), orm.db_session(serializable=turn % 2 == 1):
            item(name="gone")
            orm.flush()
            raise KeyError
        with orm.db_session:
            item(name=f"kept {turn}")
            orm.commit()
            item(name=f"not kept {turn}")
            orm.flush()
            orm.rollback()
    with orm.db_session:
        assert item.select().count() == 8
    forget(db)


@row("startup_options_and_settings")
def _(number):
    db, _ = bound(number, "c", options=f"-c search_path=tenant_{number},public -c statement_timeout=7s")
    for _ in range(15):
        with orm.db_session:
            assert db.select("coalesce(current_setting('app.user_id', true), '')")[0] == ""
            db.execute(f"SET app.user_id = '{number}'")
            assert db.select("SELECT current_setting('statement_timeout')")[0] == "7s"
            assert db.select("SELECT name FROM place")[0] == f"tenant_{number}"
            orm.commit()
            assert db.select("SELECT count(*) FROM public.document")[0] == number
    with orm.db_session:
        db.execute(f"DROP TABLE tenant_{number}.pony_c{number}")    # Pony itself looks for it in public
    forget(db)


@row("threads_and_for_update")
def _(number):
    db, item = bound(number, "d")
    with orm.db_session:
        item(name="counter", tags={"n": 0})

    def add(_):
        for _ in range(5):
            with orm.db_session:
                found = item.get_for_update(name="counter")
                found.tags = {"n": found.tags["n"] + 1}
        db.disconnect()
    assert at_once(add, range(4)) is None
    with orm.db_session:
        assert item.get(name="counter").tags["n"] == 20
    forget(db)


if __name__ == "__main__":
    run()
