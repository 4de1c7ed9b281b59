# databases: asyncpg's or aiopg's pool, queries of SQLAlchemy Core, transactions by task.

import asyncio

import sqlalchemy as sa
from databases import Database
from databases.backends import aiopg, postgres    # noqa: F401  else two threads import them at once, and find half of it

from rows import DATABASE, HOST, PORT, USER, row, run


def url(scheme="postgresql"):
    return f"{scheme}://{USER}@{HOST}:{PORT}/{DATABASE}"


def both(work):
    """Over asyncpg for one client, over aiopg for the other."""
    def run_work(number):
        async def main():
            words = {"ssl": False} if number == 1 else {}
            async with Database(url("postgresql" if number == 1 else "postgresql+aiopg"), min_size=2, max_size=8,
                                **words) as database:
                await work(database, number)
        asyncio.run(main())
    return run_work


def item(number, letter):
    return sa.Table(f"databases_{letter}{number}", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
                    sa.Column("name", sa.String, unique=True))


async def make(database, table):
    await database.execute(f"CREATE TABLE {table.name} (id serial PRIMARY KEY, name text UNIQUE)")


@row("queries")
@both
async def _(database, number):
    table = item(number, "a")
    await make(database, table)

    async def use(turn):
        await database.execute(table.insert().values(name=f"item {turn}"))
        found = await database.fetch_one(table.select().where(table.c.name == f"item {turn}"))
        assert found["name"] == f"item {turn}"
    await asyncio.gather(*(use(turn) for turn in range(20)))
    await database.execute_many(f"INSERT INTO {table.name} (name) VALUES (:name)",
                                [{"name": f"many {turn}"} for turn in range(50)])
    names = [found["name"] async for found in database.iterate(table.select())]
    assert len(names) == 70
    await database.execute(f"DROP TABLE {table.name}")


@row("nested_transactions")
@both
async def _(database, number):
    table = item(number, "b")
    await make(database, table)
    for turn in range(6):
        async with database.transaction():
            await database.execute(table.insert().values(name=f"outer {turn}"))
            try:
                async with database.transaction():
                    await database.execute(table.insert().values(name=f"outer {turn}"))
                raise AssertionError("no error")
            except AssertionError:
                raise
            except Exception:  # pylint: disable=broad-except
                pass
            await database.execute(table.insert().values(name=f"after {turn}"))
    assert await database.fetch_val(sa.select(sa.func.count()).select_from(table)) == 12
    await database.execute(f"DROP TABLE {table.name}")


@row("settings_of_one_connection")
@both
async def _(database, number):
    async with database.connection() as connection:
        await connection.execute(f"SET search_path TO tenant_{number}")
        await connection.fetch_val("SELECT set_config('app.user_id', :u, false)", {"u": str(number)})
        for _ in range(15):
            assert await connection.fetch_val("SELECT name FROM place") == f"tenant_{number}"
            assert await connection.fetch_val("SELECT count(*) FROM public.document") == number


if __name__ == "__main__":
    run()
