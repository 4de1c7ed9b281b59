# Alembic: upgrade, downgrade, autogenerate, with the env.py applications have, and the lock many of them add.

import contextlib
import io
import os
import tempfile
import threading
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.pool import NullPool

from rows import DATABASE, HOST, PORT, USER, row, run

URL = f"postgresql://{USER}@{HOST}:{PORT}/{DATABASE}"
ONE_AT_A_TIME = threading.Lock()        # Alembic's context is a proxy of its module: not for threads

ENV = """
import sqlalchemy as sa
from alembic import context
from sqlalchemy.pool import NullPool

words = context.config.attributes
engine = sa.create_engine(words["url"], poolclass=NullPool, future=True)
with engine.connect() as connection:
    if words.get("lock"):
        connection.execute(sa.text("SELECT pg_advisory_lock(:n)"), {"n": words["lock"]})
    if words.get("schema"):
        connection.execute(sa.text(f"SET search_path TO {words['schema']}"))
        connection.dialect.default_schema_name = words["schema"]
    connection.commit()                 # else Alembic takes the transaction that these have begun for the application's
    context.configure(connection=connection, target_metadata=None, version_table=words["version_table"],
                      transaction_per_migration=words.get("each", False))
    with context.begin_transaction():
        context.run_migrations()
    if words.get("lock"):
        unlocked = connection.execute(sa.text("SELECT pg_advisory_unlock(:n)"), {"n": words["lock"]}).scalar()
        assert unlocked is True, "the lock was lost"
"""

STEP = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = {revision!r}, {down!r}


def upgrade():
    {up}


def downgrade():
    {down_code}
"""


def steps(table):
    return [
        (f"op.create_table('{table}', sa.Column('id', sa.Integer, primary_key=True), sa.Column('a', sa.Integer))",
         f"op.drop_table('{table}')"),
        (f"op.add_column('{table}', sa.Column('b', sa.Integer, server_default='2'))",
         f"op.drop_column('{table}', 'b')"),
        (f"op.execute('INSERT INTO {table} (a) VALUES (1)'); op.alter_column('{table}', 'a', type_=sa.BigInteger)",
         f"op.execute('DELETE FROM {table}')"),
        (f"with op.get_context().autocommit_block(): op.create_index('{table}_b', '{table}', ['b'], "
         "postgresql_concurrently=True)", f"op.drop_index('{table}_b')"),
    ]


@contextlib.contextmanager
def project(table, **attributes):
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as name:
        (Path(name) / "versions").mkdir()
        (Path(name) / "env.py").write_text(ENV)
        for at, (up, down) in enumerate(steps(table)):
            (Path(name) / "versions" / f"s{at}.py").write_text(STEP.format(
                revision=f"s{at}", down=f"s{at - 1}" if at else None, up=up, down_code=down))
        config = Config(output_buffer=io.StringIO(), stdout=io.StringIO())
        config.set_main_option("script_location", name)
        config.attributes.update(url=URL, version_table=f"{table}_version", **attributes)
        engine = sa.create_engine(URL, poolclass=NullPool)
        yield config, engine
        engine.dispose()


def to(way, config, revision):
    with ONE_AT_A_TIME:
        getattr(command, way)(config, revision)


def columns(engine, table, schema=None):
    return [column["name"] for column in sa.inspect(engine).get_columns(table, schema=schema)]


def drop(engine, *tables):
    with engine.begin() as connection:
        for table in tables:
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {table}"))


@row("upgrade_and_downgrade")
def _(number):
    table = f"alembic_a{number}"
    with project(table) as (config, engine):
        for _ in range(2):
            to("upgrade", config, "s1")
            assert columns(engine, table) == ["id", "a", "b"]
            to("upgrade", config, "s2")
            to("downgrade", config, "s0")
            assert columns(engine, table) == ["id", "a"]
            to("downgrade", config, "base")
        drop(engine, f"{table}_version")


@row("each_step_its_transaction_with_a_concurrent_index")
def _(number):
    table = f"alembic_b{number}"
    with project(table, each=True) as (config, engine):
        to("upgrade", config, "head")
        assert [index["name"] for index in sa.inspect(engine).get_indexes(table)] == [f"{table}_b"]
        to("downgrade", config, "base")
        drop(engine, f"{table}_version")


@row("under_an_advisory_lock")
def _(number):
    table = f"alembic_c{number}"
    with project(table, lock=990 + number, each=True) as (config, engine):
        to("upgrade", config, "head")
        to("downgrade", config, "base")
        drop(engine, f"{table}_version")


@row("in_a_tenants_schema")
def _(number):
    """The search_path is set before, the migrations name no schema."""
    table = f"alembic_d{number}"
    with project(table, schema=f"tenant_{number}", each=True) as (config, engine):
        to("upgrade", config, "s2")
        assert columns(engine, table, f"tenant_{number}") == ["id", "a", "b"]
        to("downgrade", config, "base")
        drop(engine, f"tenant_{number}.{table}_version")


if __name__ == "__main__":
    run()
