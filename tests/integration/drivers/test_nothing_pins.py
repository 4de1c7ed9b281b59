"""Drivers and ORMs with their defaults in a database whose audit trigger uses EXECUTE, which may do anything: 12 clients share 3
servers. Nothing that they send keeps a server, no server is closed, and each answer is as on a connection of their own."""

import os

import pytest

from rawwire import Wire, bind, close, describe, execute, parse, query, shape, sync
from test_drivers import PYTHON, STACKS, check, compiled, surroundings
from waiting import wait_until

CLIENTS = 12
AUDITED = {"audited": ("audited_rows.py", None, PYTHON)}
TABLES = """CREATE TYPE audited_mood AS ENUM ('sad', 'glad'); CREATE TYPE audited_pair AS (a int, b text);
    CREATE TABLE audited (id serial PRIMARY KEY, owner int, v text, mood audited_mood, pair audited_pair, moods audited_mood[]);
    CREATE INDEX ON audited (owner); CREATE TABLE audit_log (at timestamptz DEFAULT now(), what text, v text);
    GRANT ALL ON audited, audited_id_seq, audit_log TO PUBLIC;"""
TRIGGER = """CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE format('INSERT INTO %I (what, v) VALUES ($1, $2)', 'audit_log') USING TG_OP, coalesce(NEW.v, OLD.v);
        RETURN NULL; END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON audited FOR EACH ROW EXECUTE FUNCTION audit_row()"""
PROGRAMS = {                        # how it is called here: the stack, and its row
    "asyncpg, types of the database": ("audited", "asyncpg"),
    "psycopg 3, pipelines": ("audited", "psycopg_pipeline"),
    "psycopg 3, transactions": ("audited", "transactions"),
    "psycopg2, large objects": ("audited", "large_objects"),
    "JDBC, batches": ("jdbc", "pins_nothing"),
    "pgx, batches": ("pgx", "pins_nothing"),
    "node-postgres": ("node_pg", "pins_nothing"),
    "PDO": ("pdo", "pins_nothing"),
    "Rails": ("activerecord", "pins_nothing"),
    "Sequel": ("sequel", "pins_nothing"),
}


def batch_of_pgx5(number):
    """pgx 5 has all statements of a batch prepared, and described, ahead of one Sync; and then run, ahead of another one."""
    texts = [f"INSERT INTO audited (owner, v) VALUES ($1, 'batch {i}') RETURNING v" for i in range(3)]
    texts += ["SELECT count(*) FROM audited WHERE owner = $1 AND v LIKE 'batch%'", "DELETE FROM audited WHERE owner = $1 AND v LIKE 'batch%'"]
    prepares = b"".join(parse(f"stmt_{i}", sql) + describe("S", f"stmt_{i}") for i, sql in enumerate(texts))
    runs = b"".join(bind("", f"stmt_{i}", [number]) + describe("P") + execute() for i in range(len(texts)))
    return [prepares + sync(), *3 * [runs + sync()], b"".join(close("S", f"stmt_{i}") for i in range(len(texts))) + sync()]


@pytest.fixture
def audited(postgres):
    name = f"nothing_pins_{os.getpid()}"
    postgres.query(f"CREATE DATABASE {name}")
    postgres.query(TABLES + TRIGGER, dbname=name)
    yield name
    postgres.query(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.weir_only
@pytest.mark.sweep(keep=10)
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_that_a_driver_sends_keeps_a_server(weir, postgres, audited, tmp_path_factory, program):
    stack, row = PROGRAMS[program]
    words = [*compiled(tmp_path_factory, stack, *{**STACKS, **AUDITED}[stack]), row]
    weir.start({f"database {audited}": {"upstream": weir.upstream()}}, pool_size=3, max_overflow=0, pool_timeout="20s")
    there = {**surroundings(weir), "PGDATABASE": audited}
    direct = {**there, "PGHOST": postgres.host, "PGPORT": str(postgres.port), "PGSSLMODE": "disable", "CLIENTS": "1"}
    with weir.raw(database=audited) as wire:
        wire.query("SELECT 1")
        wait_until(lambda: weir.console("SHOW DATABASE_CODE"), what="what is known of the code")
    assert f"ok {row}" in check(words, env=direct, cwd=weir.directory).splitlines()
    before = weir.metric("pgweir_pool_recycles_total")
    said = check(words, env={**there, "CLIENTS": str(CLIENTS)}, cwd=weir.directory)
    assert f"ok {row}" in said.splitlines(), said
    assert weir.console("SHOW PINS") == []
    assert weir.metric_now("pgweir_pool_pins_total") == 0
    assert weir.metric("pgweir_client_requests_failed_total") == 0
    assert weir.metric("pgweir_pool_recycles_total") == before
    assert postgres.query("SELECT count(*) FROM audited", dbname=audited) == [(0,)]


@pytest.mark.weir_only
def test_a_batch_whose_statements_are_prepared_together_keeps_no_server(weir, postgres, audited):
    weir.start({f"database {audited}": {"upstream": weir.upstream()}}, pool_size=3, max_overflow=0, pool_timeout="20s")
    wires = [weir.raw(database=audited) for _ in range(CLIENTS)]
    wires[0].query("SELECT 1")
    wait_until(lambda: weir.console("SHOW DATABASE_CODE"), what="what is known of the code")
    with Wire((postgres.host, postgres.port)).login("web", audited) as wire:
        right = [shape(wire.ask(message)) for message in batch_of_pgx5(1)]
    for _ in range(3):
        for turn in range(len(right)):
            for number, wire in enumerate(wires):
                wire.send(batch_of_pgx5(number)[turn])
            assert [shape(wire.read_until("Z")) for wire in wires] == CLIENTS * [right[turn]]
            for wire in wires:
                assert shape(wire.ask(query("SELECT 1"))) == "T D C:SELECT 1 Z:I"
    assert weir.console("SHOW PINS") == []
    assert weir.metric_now("pgweir_pool_pins_total") == weir.metric("pgweir_pool_recycles_total") == 0
