"""Drivers and ORMs with their defaults in a database whose audit trigger uses EXECUTE, and in one that has PostGIS and pg_partman as
well: 12 clients share 3 servers. Nothing that they send keeps a server, no server is closed, and each answer is as on a connection
of their own."""

import os
import struct

import pytest

from programs import check
from rawwire import Wire, bind, close, describe, execute, parse, query, shape, sync
from test_drivers import PYTHON, STACKS, surroundings, words_of
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
# Behind the others: a column of PostGIS's, and partitions, found by PostgreSQL or by pg_partman's trigger, which uses EXECUTE, too.
EXTENSIONS = """CREATE EXTENSION postgis; CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;
    ALTER TABLE audited ADD place geometry(Point, 4326) DEFAULT ST_SetSRID(ST_MakePoint(1, 2), 4326);
    CREATE INDEX ON audited USING gist (place); DROP TABLE audit_log;
    CREATE TABLE audit_log (at timestamptz NOT NULL DEFAULT now(), what text, v text) PARTITION BY RANGE (at);
    CREATE TABLE readings (at timestamptz NOT NULL DEFAULT now(), owner int, place geography(Point)); GRANT ALL ON audit_log, readings TO PUBLIC;
    SELECT partman.create_parent('public.audit_log', 'at', 'native', 'daily'), partman.create_parent('public.readings', 'at', 'partman', 'daily')"""
DATABASES = {
    "audited": TABLES + TRIGGER,
    "with extensions": f"{TABLES}{TRIGGER.replace('%I', '%s')};{EXTENSIONS}",       # and the text of its EXECUTE may be anything
}
PROGRAMS = {                        # how it is called here: the stack, and its row
    "asyncpg, types of the database": ("audited", "asyncpg"),
    "psycopg 3, pipelines": ("audited", "psycopg_pipeline"),
    "psycopg 3, transactions": ("audited", "transactions"),
    "psycopg2, large objects": ("audited", "large_objects"),
    "JDBC, batches": ("jdbc", "pins_nothing"),
    "JDBC, large objects": ("jdbc", "large_objects"),
    "pgx, batches": ("pgx", "pins_nothing"),
    "node-postgres": ("node_pg", "pins_nothing"),
    "PDO": ("pdo", "pins_nothing"),
    "Rails": ("activerecord", "pins_nothing"),
    "Sequel": ("sequel", "pins_nothing"),
}
PLACES = ("audited", "places")      # with extensions


def bursts_of_pgx5(number):
    """pgx 5 has all statements of a batch prepared, and described, ahead of one Sync; and then run, ahead of another one."""
    texts = [f"INSERT INTO audited (owner, v) VALUES ($1, 'batch {i}') RETURNING v" for i in range(3)]
    texts += ["SELECT count(*) FROM audited WHERE owner = $1 AND v LIKE 'batch%'", "DELETE FROM audited WHERE owner = $1 AND v LIKE 'batch%'"]
    prepares = b"".join(parse(f"stmt_{i}", sql) + describe("S", f"stmt_{i}") for i, sql in enumerate(texts))
    runs = b"".join(bind("", f"stmt_{i}", [number]) + describe("P") + execute() for i in range(len(texts)))
    return [prepares + sync(), *3 * [runs + sync()], b"".join(close("S", f"stmt_{i}") for i in range(len(texts))) + sync()]


def bursts_of_npgsql(number):
    """Npgsql's NpgsqlCommand.WriteExecute(): multiplexed commands leave in one write, each with a Sync of its own; a statement is prepared with
    the command that uses it for the fifth time, and replaces an older one; what a closed connection has set is reset ahead of the next command."""
    owner = struct.pack("!i", number)

    def command(sql, values, name="", is_new=True, replaced=""):
        return b"".join((close("S", replaced) if replaced else b"", parse(name, sql, [23, 25][:len(values)]) if is_new else b"",
                         bind("", name, values, (1,) if values else (), (1,)), describe("P") if is_new else b"", execute(), sync()))

    insert = "INSERT INTO audited (owner, v) VALUES ($1, $2) RETURNING v"
    count = "SELECT count(*) FROM audited WHERE owner = $1 AND v LIKE 'npgsql%'"
    many = [command(insert, [owner, f"npgsql {i}"]) for i in range(4)]
    prepared = [command(insert, [owner, f"npgsql {i}"], "_auto0", is_new=i == 0) for i in range(3)]
    reset = ("SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();"
             "DISCARD SEQUENCES;DISCARD TEMP")
    return [b"".join([*many, command(count, [owner])]),
            b"".join([*prepared, command("SELECT 1 / ($1 - $1)", [owner]), command(count, [owner])]),
            b"".join([command(count, [owner], "_auto0", replaced="_auto0"), command(count, [owner], "_auto0", is_new=False)]),
            query(reset) + command("DELETE FROM audited WHERE owner = $1 AND v LIKE 'npgsql%'", [owner]),
            close("S", "_auto0") + sync()]


def syncs_in(burst):
    """How many ReadyForQuery answer it."""
    at, found = 0, 0
    while at < len(burst):
        found += burst[at:at + 1] in (b"S", b"Q")
        at += 1 + int.from_bytes(burst[at + 1:at + 5], "big")
    return found


@pytest.fixture
def audited(postgres, database):
    name = f"nothing_pins_{os.getpid()}"
    postgres.query(f"CREATE DATABASE {name}")
    postgres.query(DATABASES[database], dbname=name)
    yield name
    postgres.query(f"DROP DATABASE {name} WITH (FORCE)")


def know_the_code(weir, wire):
    """A busy machine may have no time for the first question, and what is not used is not asked about again."""
    wait_until(lambda: wire.query("SELECT 1") and weir.console("SHOW DATABASE_CODE")[0]["state"] != "unknown", 90, "what is known of the code")
    weir.settle()


def keeps_no_server(weir, postgres, audited, tmp_path_factory, stack, row):
    words = [*words_of(tmp_path_factory, stack, *{**STACKS, **AUDITED}[stack]), row]
    weir.start({f"database {audited}": {"upstream": weir.upstream()}}, pool_size=3, max_overflow=0, pool_timeout="20s")
    there = {**surroundings(weir), "PGDATABASE": audited}
    direct = {**there, "PGHOST": postgres.host, "PGPORT": str(postgres.port), "PGSSLMODE": "disable", "CLIENTS": "1"}
    with weir.raw(database=audited) as wire:
        know_the_code(weir, wire)
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
@pytest.mark.sweep(keep=11)
@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_that_a_driver_sends_keeps_a_server(weir, postgres, audited, tmp_path_factory, program):
    keeps_no_server(weir, postgres, audited, tmp_path_factory, *PROGRAMS[program])


@pytest.mark.weir_only
@pytest.mark.parametrize("database", ["with extensions"])
def test_nothing_that_is_sent_to_extensions_keeps_a_server(weir, postgres, audited, tmp_path_factory):
    keeps_no_server(weir, postgres, audited, tmp_path_factory, *PLACES)


@pytest.mark.weir_only
@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("bursts_of", [bursts_of_pgx5, bursts_of_npgsql])
def test_what_other_drivers_send_keeps_no_server(weir, postgres, audited, bursts_of):
    weir.start({f"database {audited}": {"upstream": weir.upstream()}}, pool_size=3, max_overflow=0, pool_timeout="20s")
    wires = [weir.raw(database=audited) for _ in range(CLIENTS)]
    know_the_code(weir, wires[0])
    syncs = [syncs_in(burst) for burst in bursts_of(1)]
    with Wire((postgres.host, postgres.port)).login("web", audited) as wire:
        right = []
        for burst, count in zip(bursts_of(1), syncs):
            wire.send(burst)
            right.append(shape(wire.read_until("Z", count)))
    for _ in range(3):
        for turn, count in enumerate(syncs):
            for number, wire in enumerate(wires):
                wire.send(bursts_of(number)[turn])
            assert [shape(wire.read_until("Z", count)) for wire in wires] == CLIENTS * [right[turn]]
            for wire in wires:
                assert shape(wire.ask(query("SELECT 1"))) == "T D C:SELECT 1 Z:I"
    assert weir.console("SHOW PINS") == []
    assert weir.metric_now("pgweir_pool_pins_total") == weir.metric("pgweir_pool_recycles_total") == 0
