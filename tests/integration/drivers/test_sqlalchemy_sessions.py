"""What applications of SQLAlchemy keep in a session, while servers change hands."""

import asyncio
import select

import pytest
import sqlalchemy as sa
from sqlalchemy import event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, declarative_base
from sqlalchemy.pool import NullPool, StaticPool

import transport
from crowd import in_clients, two_clients
from waiting import PATIENCE, each


@pytest.fixture
def engines(busy):
    """Makes engines that are disposed of at the end."""
    made = []

    def make(**options):
        engine = sa.create_engine(busy.url(), **options)
        made.append(engine)
        return engine
    yield make
    each(made).dispose()


def value(connection, sql, **parameters):
    return connection.execute(text(sql), parameters).scalar()


POOLS = [{}, {"pool_pre_ping": True, "pool_recycle": 3600}, {"pool_size": 50, "max_overflow": 100},
         {"poolclass": NullPool}]
NAMES = ["QueuePool 5+10", "pre_ping and recycle", "QueuePool 50+100", "NullPool"]


@pytest.mark.parametrize("options", POOLS, ids=NAMES)
@two_clients
def test_search_path_set_at_connect(engines, options, number):
    """The recipe of its own documentation."""
    engine = engines(**options)

    @event.listens_for(engine, "connect", insert=True)
    def set_search_path(connection, _):
        autocommit, connection.autocommit = connection.autocommit, True
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION search_path='tenant_{number}'")
        connection.autocommit = autocommit

    def use(_):
        for _ in range(6):
            with engine.connect() as connection:
                assert value(connection, "SELECT name FROM place") == f"tenant_{number}"
    in_clients(use, 6)


@pytest.mark.parametrize("options", POOLS, ids=NAMES)
@two_clients
def test_user_set_at_checkout_for_row_security(engines, options, number):
    engine = engines(**options)

    @event.listens_for(engine, "checkout")
    def set_user(connection, *_):
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.user_id', %s, false)", (str(number),))
        connection.commit()

    @event.listens_for(engine, "checkin")
    def reset_user(connection, _):
        if connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("RESET app.user_id")
            connection.commit()

    def use(_):
        for _ in range(5):
            with Session(engine) as session:
                for _ in range(3):
                    assert value(session, "SELECT count(*) FROM document") == number
                    session.commit()
    in_clients(use, 6)


@two_clients
def test_connect_args(engines, number):
    engine = engines(connect_args={"options": f"-c search_path=tenant_{number} -c lock_timeout=3s",
                                   "application_name": f"shop {number}"})

    def use(_):
        for _ in range(6):
            with engine.connect() as connection:
                assert value(connection, "SELECT name || current_setting('lock_timeout') || "
                                         "current_setting('application_name') FROM place") == (
                    f"tenant_{number}3sshop {number}")
    in_clients(use, 5)


@two_clients
def test_temporary_tables_over_commits(engines, number):
    engine = engines()
    basket = sa.Table("basket", sa.MetaData(), sa.Column("n", sa.Integer), prefixes=["TEMPORARY"])
    with engine.connect() as connection:
        with connection.begin():
            basket.create(connection)
        for turn in range(12):
            with connection.begin():
                connection.execute(basket.insert().values(n=turn))
        with connection.begin():
            assert connection.execute(sa.select(sa.func.sum(basket.c.n))).scalar() == 66
        with connection.begin():
            basket.drop(connection)


@two_clients
def test_nested_transactions(engines, number):
    engine, table = engines(), sa.Table(f"sa_nested_{number}", sa.MetaData(), sa.Column("id", sa.Integer,
                                                                                      primary_key=True))
    table.create(engine)
    for turn in range(8):
        with Session(engine) as session, session.begin():
            session.execute(table.insert().values(id=turn))
            with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
                session.execute(table.insert().values(id=turn))
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 8
    table.drop(engine)


@two_clients
def test_autocommit_isolation_and_advisory_locks(engines, number):
    engine = engines()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, engine.connect() as other:
        assert value(connection, "SELECT pg_try_advisory_lock(:n)", n=number) is True
        for _ in range(10):
            with other.begin():
                assert value(other, "SELECT pg_try_advisory_lock(:n)", n=number) is False
            assert value(connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :n "
                                     "AND pid = pg_backend_pid()", n=number) == 1
        assert value(connection, "SELECT pg_advisory_unlock(:n)", n=number) is True
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        assert value(connection, "SHOW transaction_isolation") == "serializable"
    with engine.connect() as connection:
        assert value(connection, "SHOW transaction_isolation") == "read committed"


@two_clients
def test_listen_by_the_raw_connection(engines, number):
    engine = engines()
    raw = engine.raw_connection()
    raw.driver_connection.autocommit = True
    raw.cursor().execute(f"LISTEN sa_{number}")
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_notify(:channel, 'hello')"), {"channel": f"sa_{number}"})
    driver = raw.driver_connection
    while not driver.notifies:
        assert select.select([driver], [], [], PATIENCE)[0]
        driver.poll()
    assert driver.notifies.pop().payload == "hello"
    raw.invalidate()


@two_clients
def test_streams_and_yield_per(engines, number):
    engine = engines()
    with engine.connect() as connection:
        for _ in range(3):
            result = connection.execution_options(stream_results=True, yield_per=100).execute(
                text("SELECT i FROM generate_series(1, 1000) i WHERE :n > 0"), {"n": number})
            assert sum(row.i for row in result) == 500_500


@two_clients
def test_schema_changes_and_reflection(engines, number):
    engine = engines()
    name = f"sa_ddl_{number}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} (a int)"))
    for columns in (1, 2, 3):
        table = sa.Table(name, sa.MetaData(), autoload_with=engine)
        assert len(table.columns) == columns
        for _ in range(4):
            with engine.connect() as connection:
                assert len(connection.execute(text(f"SELECT * FROM {name}")).keys()) == columns
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {name} ADD COLUMN c{columns} int"))
    sa.Table(name, sa.MetaData(), autoload_with=engine).drop(engine)


def test_orm_with_types_and_returning(engines):
    base = declarative_base()
    kinds = {}
    for number in (1, 2):
        kinds[number] = type(f"Kind{number}", (base,), {
            "__tablename__": f"sa_kind_{number}", "id": sa.Column(sa.Integer, primary_key=True),
            "tags": sa.Column(postgresql.JSONB), "many": sa.Column(postgresql.ARRAY(sa.Integer)),
            "mood": sa.Column(postgresql.ENUM("good", "bad", name="mood", create_type=False)),
            "price": sa.Column(sa.Numeric(10, 2)), "at": sa.Column(sa.DateTime(timezone=True),
                                                                  server_default=sa.func.now())})

    def client(number):
        engine, kind = engines(), kinds[number]
        kind.__table__.create(engine)
        with Session(engine, expire_on_commit=True) as session:
            for turn in range(10):
                one = kind(tags={"a": turn}, many=[turn, 2], mood="good", price=turn)
                session.add(one)
                session.commit()
                assert one.id == turn + 1 and one.tags == {"a": turn} and one.many == [turn, 2] and one.at is not None
        kind.__table__.drop(engine)
    in_clients(client)


@two_clients
def test_one_connection_shared(engines, number):
    engine = engines(poolclass=StaticPool)
    with engine.begin() as connection:
        connection.execute(text(f"SET app.user_id = '{number}'"))
    for _ in range(15):
        with engine.connect() as connection:
            assert value(connection, "SELECT count(*) FROM document") == number


@pytest.mark.parametrize("options", [{}, {"pool_pre_ping": True}, {"poolclass": NullPool}],
                         ids=["5+10", "pre_ping", "NullPool"])
def test_the_asynchronous_engine(busy, options):
    """With asyncpg: prepared statements under names of its own, kept by its dialect's cache."""
    async def client(number):
        engine = create_async_engine(busy.url(scheme="postgresql+asyncpg", query=""), **options, connect_args={
            "ssl": transport.context(), "server_settings": {"search_path": f"tenant_{number}, public", "jit": "off"}})
        table = f"sa_async_{number}"

        async def use(turn):
            async with AsyncSession(engine) as session:
                for _ in range(4):
                    found = await session.execute(text("SELECT name FROM place WHERE :n > 0"), {"n": turn + 1})
                    assert found.scalar() == f"tenant_{number}"
                    await session.commit()
        try:
            async with engine.begin() as connection:
                await connection.execute(text(f"CREATE TABLE {table} (a int)"))
            await asyncio.gather(*(use(turn) for turn in range(12)))
            async with engine.connect() as connection:
                await connection.execute(text("SELECT set_config('app.user_id', :u, false)"), {"u": str(number)})
                for _ in range(8):
                    assert (await connection.execute(text("SELECT count(*) FROM document"))).scalar() == number
                    await connection.commit()
                result = await connection.stream(text("SELECT i FROM generate_series(1, 500) i"))
                assert sum([row.i async for row in result]) == 125_250
            async with engine.begin() as connection:
                await connection.execute(text(f"DROP TABLE {table}"))
        finally:
            await engine.dispose()

    async def main():
        await asyncio.gather(client(1), client(2))
    asyncio.run(main())
