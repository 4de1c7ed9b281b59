"""PostgreSQL's own programs - psql, pgbench, pg_dump, pg_restore and their like - while servers change hands."""

import os
import shutil
import subprocess

import pytest

import transport
from crowd import in_clients
from waiting import SLOWNESS


@pytest.fixture
def tool(busy):
    """Runs a program of PostgreSQL's with a way to connect; its output."""
    def run(program, *arguments, stdin=None, database="app", fails=False, **environment):
        path = busy.postgres.bin / program
        words = [str(path) if path.exists() else shutil.which(program) or program, *map(str, arguments)]
        host, port = busy.address
        env = {"PATH": os.environ["PATH"], "HOME": str(busy.directory), "LANG": "C.UTF-8", "PGHOST": host,
               "PGPORT": str(port), "PGUSER": "web", "PGDATABASE": database, **transport.environment(),
               "PGGSSENCMODE": "disable", "PGCONNECT_TIMEOUT": str(round(10 * SLOWNESS)), **environment}
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=50 * SLOWNESS, check=False, env=env,
                              cwd=busy.directory)
        assert (done.returncode != 0) == fails, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout
    return run


@pytest.fixture
def psql(tool):
    def run(script, *arguments, **more):
        return tool("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *arguments, stdin=script, **more).splitlines()
    return run


def test_psql_keeps_what_is_set(psql):
    def client(number):
        found = psql(f"SET search_path TO tenant_{number};\nSET TIME ZONE 'Asia/Tokyo';\n"
                     + "SELECT name, current_setting('timezone') FROM place;\n" * 20)
        assert found == [f"tenant_{number}|Asia/Tokyo"] * 20
    in_clients(client)


def test_psql_with_options_of_the_environment(psql):
    def client(number):
        found = psql("SELECT name, current_setting('statement_timeout') FROM place;\n" * 20, PGTZ="Asia/Tokyo",
                     PGOPTIONS=f"-c search_path=tenant_{number} -c statement_timeout=7000", PGAPPNAME="shop")
        assert found == [f"tenant_{number}|7s"] * 20
    in_clients(client)


def test_psql_temporary_tables_and_copy(psql):
    def client(number):
        lines = "".join(f"{n}\n" for n in range(1, 101))
        found = psql(f"CREATE TEMP TABLE basket (n int);\n\\copy basket FROM STDIN\n{lines}\\.\n"
                     f"UPDATE basket SET n = n * {number};\nSELECT sum(n) FROM basket;\n"
                     "\\copy (SELECT n FROM basket ORDER BY n LIMIT 2) TO STDOUT\n")
        assert found == [str(5050 * number), str(number), str(2 * number)]
    in_clients(client)


def test_psql_prepare_cursors_and_locks(psql):
    def client(number):
        found = psql(f"PREPARE triple (int) AS SELECT $1 * {number};\n"
                     "DECLARE held CURSOR WITH HOLD FOR SELECT i FROM generate_series(1, 20) i;\n"
                     f"SELECT pg_try_advisory_lock({number});\n" + "EXECUTE triple (3);\nFETCH held;\n" * 20
                     + f"SELECT pg_advisory_unlock({number});\nCLOSE ALL;\nDEALLOCATE ALL;\n")
        assert found == ["t"] + [word for i in range(1, 21) for word in (str(3 * number), str(i))] + ["t"]
    in_clients(client)


def test_psql_hears_notifications(psql):
    def client(number):
        found = psql(f"LISTEN tool_{number};\nSELECT 1;\nNOTIFY tool_{number}, 'hello';\nSELECT 2;\n")
        assert any(f'"tool_{number}" with payload "hello"' in line for line in found), found
    in_clients(client)


def test_psql_single_transaction_and_a_script_that_fails(psql, busy):
    def client(number):
        table = f"tool_tx_{number}"
        psql(f"CREATE TABLE {table} (a int);\nSELECT 1/0;\n", "-1", fails=True)
        assert busy.postgres.value("SELECT to_regclass(%s)", (table,)) is None
        psql("\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1;\n\\unset ON_ERROR_STOP\nSELECT 1/0;\nSELECT 2;\nCOMMIT;\n")
    in_clients(client)


def test_psql_describes_the_schema(psql):
    def client(number):
        found = psql(f"\\dt tenant_{number}.*\n\\d tenant_{number}.place\n\\du clerk\n\\l app\n\\dn\n\\df pg_sleep\n")
        assert f"tenant_{number}|place|table|postgres" in found
    in_clients(client)


def test_psql_gdesc_gexec_and_fetch_count(psql):
    def client(number):
        found = psql("SELECT 1 AS a, 'x' AS b \\gdesc\n"
                     "SELECT format('SELECT %s', i) FROM generate_series(1, 3) i \\gexec\n"
                     f"\\set FETCH_COUNT 7\nSELECT i * {number} FROM generate_series(1, 50) i;\n")
        assert found == ["a|integer", "b|text", "1", "2", "3"] + [str(i * number) for i in range(1, 51)]
    in_clients(client)


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(tool, busy, mode):
    """More clients than servers; its own tables, its own transaction, and a script that counts."""
    if mode == "simple":
        tool("pgbench", "-i", "-q", "-s", 1)
        tool("pgbench", "-n", "-M", mode, "-c", 12, "-j", 2, "-t", 15, "-b", "tpcb-like")
        assert busy.postgres.value("SELECT count(*) FROM pgbench_history") == 180
        balances = [f"(SELECT sum({letter}balance) FROM pgbench_{name})"
                    for letter, name in (("a", "accounts"), ("t", "tellers"), ("b", "branches"))]
        assert len(set(busy.postgres.query(f"SELECT {', '.join(balances)}")[0])) == 1
        tool("pgbench", "-i", "-q", "-I", "d")
    # One that prepares waits for the answer: sharing a thread with a client within a transaction it would keep that
    # one's server from being given back. A thread for each, then.
    threads = 12 if mode == "prepared" else 2
    script = busy.directory / "script.sql"
    script.write_text("\\set a random(1, 100)\nBEGIN;\nSELECT :a::int + :client_id::int AS n \\gset\nCOMMIT;\n"
                      "SELECT 1 / (CASE WHEN :n::int = :a::int + :client_id::int THEN 1 ELSE 0 END);\n")
    said = tool("pgbench", "-n", "-M", mode, "-c", 12, "-j", threads, "-t", 30, "-f", script)
    assert "transactions actually processed: 360/360" in said


def test_pgbench_pipelines(tool, busy):
    script = busy.directory / "script.sql"
    script.write_text("\\startpipeline\nSELECT 1;\nSELECT :client_id;\nBEGIN;\nSELECT 2;\nCOMMIT;\n\\endpipeline\n")
    for mode in ("extended", "prepared"):
        assert "processed: 360/360" in tool("pgbench", "-n", "-M", mode, "-c", 12, "-t", 30, "-f", script)


@pytest.mark.parametrize("form", ["plain", "custom", "directory"])
def test_a_dump_is_restored(tool, psql, busy, form):
    """pg_dump empties its search_path by set_config, holds a snapshot, and for a directory opens more connections."""
    def client(number):
        schema, out = f"dump_{form}_{number}", busy.directory / f"dump_{form}_{number}"
        psql(f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema};\n"
             f"SET search_path TO {schema};\nCREATE TABLE parent (id serial PRIMARY KEY, v text DEFAULT 'x');\n"
             "CREATE TABLE child (id int REFERENCES parent, big bigint);\nCREATE INDEX ON child (big);\n"
             "INSERT INTO parent SELECT FROM generate_series(1, 500);\nINSERT INTO child SELECT id, id FROM parent;\n"
             "CREATE VIEW joined AS SELECT * FROM parent JOIN child USING (id);\n"
             "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';\n")
        words = {"plain": [], "custom": ["-Fc"], "directory": ["-Fd", "-j", "2"]}[form]
        tool("pg_dump", *words, "-n", schema, "-f", out)
        psql(f"SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE;")
        if form == "plain":
            tool("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", out)
        else:
            tool("pg_restore", "-d", "app", "-j", "2", out)
        assert psql(f"SELECT count(*), sum(big) FROM {schema}.joined;\nSELECT {schema}.one();\n"
                    f"SELECT nextval('{schema}.parent_id_seq');") == ["500|125250", "1", "501"]
        psql(f"SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE;")
    # Each of these dumps holds three transactions open: two of them could wait for each other on four servers.
    in_clients(client, count=1 if form == "directory" else 2)


def test_dump_piped_into_psql_with_its_empty_search_path(tool, psql):
    def client(number):
        schema = f"piped_{number}"
        psql(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.t AS SELECT i FROM generate_series(1, 100) i;")
        text = tool("pg_dump", "-n", schema)
        psql(f"SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE;")
        after = psql(text + f"\nSHOW search_path;\nSELECT count(*) FROM {schema}.t;\n"
                     f"RESET search_path;\nSHOW search_path;\nDROP TABLE {schema}.t; DROP SCHEMA {schema};")
        assert after[-3:] == ["", "100", '"$user", public'], after
    in_clients(client)


def test_maintenance_programs(tool):
    def client(number):
        table = f"tool_maintained_{number}"
        tool("psql", "-Xqc", f"CREATE TABLE {table} AS SELECT 1 AS a")
        tool("vacuumdb", "-z", "-t", table)
        tool("reindexdb", "-t", table)
        tool("psql", "-Xqc", f"CREATE INDEX CONCURRENTLY ON {table} (a)", "-c", f"DROP TABLE {table}")
    in_clients(client)


def test_createdb_and_dropdb(tool):
    """Also of one that clients have been in, and servers still are."""
    for turn in range(3):
        tool("createdb", "--maintenance-db=app", "made_by_tool")
        if turn:
            tool("psql", "-Xqc", "CREATE TABLE t (a int)", database="made_by_tool")
        tool("dropdb", "--maintenance-db=app", "made_by_tool")
