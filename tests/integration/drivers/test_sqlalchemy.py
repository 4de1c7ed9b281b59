"""SQLAlchemy 1.4 with the pools people use: QueuePool 5+10 and 50+100, NullPool, and the asynchronous engine."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, declarative_base, relationship
from sqlalchemy.pool import NullPool

import transport
from crowd import in_clients
from waiting import each

Base = declarative_base()


class Author(Base):
    __tablename__ = "sa_author"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String, nullable=False, unique=True)
    books = relationship("Book", back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "sa_book"
    id = sa.Column(sa.Integer, primary_key=True)
    title = sa.Column(sa.String, nullable=False)
    author_id = sa.Column(sa.ForeignKey("sa_author.id"), nullable=False)
    author = relationship("Author", back_populates="books")


@pytest.fixture(scope="module", autouse=True)
def tables(postgres):
    engine = sa.create_engine(f"postgresql://web@127.0.0.1:{postgres.port}/app", poolclass=NullPool)
    Base.metadata.create_all(engine)
    yield
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def engines(weir):
    """Makes engines that are disposed of at the end."""
    made = []

    def make(**options):
        engine = sa.create_engine(weir.url(), **options)
        made.append(engine)
        return engine
    yield make
    each(made).dispose()


def write_and_read(engine, number, turns=10):
    """Each thread's rows are its own, in transactions of the session."""
    for turn in range(turns):
        with Session(engine) as session, session.begin():
            author = Author(name=f"author {number}/{turn}")
            author.books = [Book(title=f"book {i} of {number}/{turn}") for i in range(3)]
            session.add(author)
        with Session(engine) as session:
            found = session.execute(sa.select(Author).where(Author.name == f"author {number}/{turn}")).scalar_one()
            assert sorted(book.title for book in found.books) == [f"book {i} of {number}/{turn}" for i in range(3)]
            session.delete(found)
            session.commit()


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("options, threads", [
    ({}, 15),                                                                       # 5 + 10, as it comes
    ({"pool_pre_ping": True, "pool_recycle": 3600}, 15),
    ({"pool_size": 50, "max_overflow": 100}, 60),
    ({"pool_size": 20, "pool_use_lifo": True, "pool_pre_ping": True}, 20),
    ({"poolclass": NullPool}, 12),
], ids=["QueuePool 5+10", "pre_ping and recycle", "QueuePool 50+100", "LIFO", "NullPool"])
def test_threads_with_sessions(weir, engines, options, threads):
    weir.start(pool_size=4)
    engine = engines(**options)
    in_clients(lambda number: write_and_read(engine, number, 4), threads)
    assert weir.direct or weir.postgres.count() <= 4
    with Session(engine) as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Author)).scalar() == 0


def test_both_pool_levels_overflow(weir, engines):
    """The application's pool may hold 15 connections, pgweir's 2 + 2 servers."""
    weir.start(pool_size=2, max_overflow=2, overflow_linger="500ms")
    engine = engines()
    in_clients(lambda number: write_and_read(engine, number, 5), 15)


@pytest.mark.weir_only
def test_pre_ping_and_a_server_that_went(weir, engines):
    weir.start(pool_size=2)
    engine = engines(pool_pre_ping=True)
    for _ in range(5):
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        weir.postgres.kill_backends()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


@pytest.mark.weir_only
def test_pool_timeout_is_an_operational_error_and_the_connection_is_good_afterwards(weir, engines):
    weir.start_opened("300ms", pool_size=1)
    engine = engines()
    with engine.connect() as holder, engine.connect() as other:
        with holder.begin():
            holder.execute(text("SELECT 1"))
            with pytest.raises(sa.exc.OperationalError) as raised, other.begin():
                other.execute(text("SELECT 1"))
            assert raised.value.orig.pgcode == "53300" and not raised.value.connection_invalidated
        assert other.execute(text("SELECT 2")).scalar() == 2


def test_errors_roll_back(weir, engines):
    weir.start(pool_size=2)
    engine = engines()

    def work(number):
        with Session(engine) as session:
            session.add(Author(name=f"twice {number}"))
            session.flush()
            session.add(Author(name=f"twice {number}"))
            with pytest.raises(sa.exc.IntegrityError):
                session.flush()
            session.rollback()
            assert session.execute(text("SELECT :n"), {"n": number}).scalar() == number
    in_clients(work, 10)


def test_isolation_levels_and_options_per_connection(weir, engines):
    weir.start(pool_size=2)
    serializable = engines(isolation_level="SERIALIZABLE")
    autocommit = engines(isolation_level="AUTOCOMMIT")
    plain = engines()
    for _ in range(3):
        for engine, wanted in ((serializable, "serializable"), (autocommit, "read committed"),
                               (plain, "read committed")):
            with engine.connect() as connection:
                assert connection.execute(text("SHOW transaction_isolation")).scalar() == wanted


def test_streamed_results(weir, engines):
    weir.start(pool_size=1)
    engine = engines()
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True, max_row_buffer=50).execute(
            text("SELECT i FROM generate_series(1, 3000) i"))
        assert sum(row[0] for row in result) == 3000 * 3001 // 2


def test_executemany_and_bulk(weir, engines):
    weir.start(pool_size=1)
    engine = engines(executemany_mode="values_plus_batch")
    with Session(engine) as session, session.begin():
        session.bulk_insert_mappings(Author, [{"name": f"bulk {i}"} for i in range(2000)])
    with Session(engine) as session, session.begin():
        assert session.query(Author).filter(Author.name.like("bulk %")).delete(synchronize_session=False) == 2000


def test_reflection_of_the_schema(weir, engines):
    weir.start(pool_size=2)
    engine = engines()
    metadata = sa.MetaData()
    metadata.reflect(engine, only=["sa_author", "sa_book"])
    assert set(metadata.tables["sa_book"].columns.keys()) == {"id", "title", "author_id"}
    assert list(metadata.tables["sa_book"].foreign_keys)[0].column.table.name == "sa_author"


def test_what_happens_at_connect_and_checkout_works(weir, engines):
    """Applications set things in these events."""
    weir.start(pool_size=2)
    engine = engines(connect_args={"options": "-c statement_timeout=5000", "application_name": "shop"})
    seen = []

    @event.listens_for(engine, "checkout")
    def at_checkout(connection, *_):
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout'), current_setting('application_name')")
            seen.append(cursor.fetchone())
        connection.rollback()
    in_clients(lambda number: write_and_read(engine, number, 1), 5)
    assert set(seen) == {("5s", "shop")}


@pytest.mark.parametrize("options", [{}, {"pool_size": 20, "max_overflow": 10}, {"poolclass": NullPool}],
                         ids=["5+10", "20+10", "NullPool"])
def test_the_asynchronous_engine_with_asyncpg(weir, options):
    weir.start(pool_size=3)

    async def main():
        engine = create_async_engine(weir.url(scheme="postgresql+asyncpg", query=""),
                                     connect_args={"ssl": transport.context()}, **options)
        try:
            async def one(number):
                async with AsyncSession(engine) as session:
                    session.add(Author(name=f"async {number}"))
                    await session.commit()
                async with AsyncSession(engine) as session:
                    found = await session.execute(sa.select(Author.name).where(Author.name == f"async {number}"))
                    name = found.scalar()
                    assert name == f"async {number}"
                    await session.execute(sa.delete(Author).where(Author.name == name))
                    await session.commit()
            await asyncio.gather(*(one(number) for number in range(15)))
        finally:
            await engine.dispose()
    asyncio.run(main())
