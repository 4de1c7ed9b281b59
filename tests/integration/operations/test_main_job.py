"""The main job: PostgreSQL's own programs through pgweir, with fewer servers than clients."""

import os
import re
import subprocess

import pytest

import transport
from waiting import SLOWNESS


def with_tables(postgres, scale):
    run(postgres.program("pgbench"), "-i", "-s", scale, "-q", "-h", postgres.socket_dir, "-p", postgres.port, "-U", "web", "app")
    yield
    postgres.query("DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers")


@pytest.fixture(scope="module")
def pgbench_tables(postgres):
    yield from with_tables(postgres, 1)


def run(*words, text=None, **environment):
    done = subprocess.run([str(word) for word in words], input=text, capture_output=True, text=True, timeout=50 * SLOWNESS,
                          env={**os.environ, **transport.environment(), "PGGSSENCMODE": "disable", **environment},
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def program(weir, name, *words, user="web", **more):
    host, port = weir.address
    return run(weir.postgres.bin / name, "-h", host, "-p", port, "-U", user, *words, **more)


def sums(postgres):
    return postgres.query("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM "
                          "pgbench_branches), (SELECT sum(tbalance) FROM pgbench_tellers), "
                          "(SELECT coalesce(sum(delta), 0) FROM pgbench_history)")[0]


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_keeps_its_books(weir, pgbench_tables, mode):
    weir.start(pool_size=3)
    before = weir.postgres.value("SELECT count(*) FROM pgbench_history")
    out = program(weir, "pgbench", "-n", "-M", mode, "-c", 12, "-j", 2, "-t", 50, "app")
    assert "number of failed transactions: 0" in out
    assert "transactions actually processed: 600/600" in out
    assert weir.postgres.value("SELECT count(*) FROM pgbench_history") - before == 600
    assert len(set(sums(weir.postgres))) == 1


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_select_only_with_many_clients(weir, pgbench_tables, mode):
    weir.start(pool_size=2)
    out = program(weir, "pgbench", "-n", "-S", "-M", mode, "-c", 60, "-j", 2, "-t", 50, "app")
    assert "transactions actually processed: 3000/3000" in out


def test_pgbench_with_a_connection_per_transaction(weir, pgbench_tables):
    weir.start(pool_size=2)
    out = program(weir, "pgbench", "-n", "-S", "-C", "-c", 8, "-j", 2, "-t", 20, "app")
    assert "transactions actually processed: 160/160" in out


@pytest.mark.parametrize("mode", ["extended", "prepared"])
def test_pgbench_pipelines(weir, pgbench_tables, tmp_path, mode):
    weir.start(pool_size=2)
    script = tmp_path / "pipeline.sql"
    script.write_text("\\set aid random(1, 100000)\n\\startpipeline\n" +
                      "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n" * 10 + "\\endpipeline\n")
    out = program(weir, "pgbench", "-n", "-f", script, "-M", mode, "-c", 20, "-j", 2, "-t", 20, "app")
    assert "transactions actually processed: 400/400" in out


def test_pgbench_as_two_users_in_two_databases(weir, pgbench_tables):
    weir.start(pool_size=2)
    program(weir, "pgbench", "-i", "-s", "1", "-q", "app2")
    out = program(weir, "pgbench", "-n", "-S", "-M", "prepared", "-c", 4, "-t", 50, "app2")
    assert "transactions actually processed: 200/200" in out
    weir.postgres.query("DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers",
                        dbname="app2")


def test_psql_asks_the_catalogue_copies_and_uses_variables(weir, table):
    weir.start(pool_size=1)
    out = program(weir, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "app", text=f"""
\\copy {table} from stdin
1\tone
2\ttwo
\\.
\\d {table}
\\set n 2
SELECT v FROM {table} WHERE id = :n;
\\copy {table} to stdout
SELECT 1 AS a \\gset
SELECT :a + 41 AS answer;
""")
    assert '"' + table + '_pkey" PRIMARY KEY' in out
    assert re.search(r"^ two$", out, re.M) and "1\tone\n2\ttwo" in out and re.search(r"^ +42$", out, re.M)


def test_psql_stays_in_its_transaction(weir):
    weir.start(pool_size=2)
    out = program(weir, "psql", "-X", "-At", "-1", "-c", "SELECT pg_backend_pid()", "-c", "SELECT pg_backend_pid()",
                  "app")
    assert len(set(out.split())) == 1


def test_pg_isready_says_yes(weir):
    weir.start()
    host, port = weir.address
    assert "accepting connections" in run(weir.postgres.program("pg_isready"), "-h", host, "-p", port, "-d", "app")


def test_pg_dump_and_restore_in_session_mode(weir, table):
    weir.start(pool_mode="session", pool_size=3)
    weir.postgres.query(f"INSERT INTO {table} SELECT i, 'v' || i FROM generate_series(1, 1000) i")
    dump = program(weir, "pg_dump", "-t", table, "app")
    assert dump.count("\nv") == 0 and "1000\tv1000" in dump
    weir.postgres.query(f"DROP TABLE {table}")
    program(weir, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "app", text=dump)
    assert weir.postgres.value(f"SELECT count(*) FROM {table}") == 1000
