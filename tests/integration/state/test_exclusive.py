"""DROP DATABASE, CREATE DATABASE ... TEMPLATE and ALTER DATABASE ... RENAME: pgweir's own idle servers are not in the
way, as test runners and migrations need it."""

import subprocess
import sys
import threading

import psycopg
import pytest

from rawwire import bind, describe, errors, execute, one_statement, parse, query, shape, sync
from waiting import wait_until

pytestmark = pytest.mark.weir_only


@pytest.fixture
def scratch(weir):
    """A database that pools may be connected to; whatever is left of it is dropped."""
    names = ("scratch", "scratch_copy")
    for name in names:
        weir.postgres.query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", dbname="postgres")
    weir.postgres.query("CREATE DATABASE scratch OWNER web", dbname="postgres")
    weir.postgres.query("CREATE TABLE t AS SELECT 1 AS v", dbname="scratch")
    weir.postgres.query("GRANT ALL ON t TO PUBLIC", dbname="scratch")
    yield "scratch"
    weir.process.send_signal(2)
    weir.wait_exit()
    for name in names:
        weir.postgres.query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", dbname="postgres")


def start(weir, **settings):
    """Through app one works on databases of the cluster; scratch is pooled under two names."""
    return weir.start(sections={"database postgres": {"upstream": weir.upstream()},
                                "database scratch": {"upstream": weir.upstream()},
                                "database alias": {"upstream": weir.upstream(dbname="scratch")}}, **settings)


def fill(weir):
    """Idle servers of several pools, and clients that are only connected."""
    wires = [weir.raw("web", "scratch"), weir.raw("reporting", "scratch"), weir.raw("web", "alias")]
    for wire in wires:
        wire.query("SELECT 1")
    return wires


def backends(weir, database="scratch"):
    return {row["pid"] for row in weir.postgres.backends(datname=database)}


STATEMENTS = {
    "drop": ("DROP DATABASE scratch", "DROP DATABASE"),
    "drop if exists": ('/* app */ drop database if exists "scratch" with (force);', "DROP DATABASE"),
    "template": ("CREATE DATABASE scratch_copy WITH OWNER = web TEMPLATE = scratch ENCODING 'UTF8'",
                 "CREATE DATABASE"),
    "rename": ("ALTER DATABASE Scratch RENAME TO scratch_copy", "ALTER DATABASE"),
}


@pytest.mark.sweep(keep=6)
@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_idle_servers_are_not_in_the_way(weir, scratch, statement, mode, protocol):
    start(weir, min_idle=2, pool_size=5)
    fill(weir)
    wait_until(lambda: len(backends(weir)) >= 3, 5, "idle servers")
    weir.reload(sections={**weir.config, "user postgres": {"pool_mode": mode}})
    sql, tag = STATEMENTS[statement]
    with weir.raw("postgres", "postgres") as wire:
        if protocol == "simple":
            replies = wire.ask(query(sql))
        elif protocol == "extended":
            replies = wire.ask(one_statement(sql) + sync())
        else:
            wire.ask(parse("s", sql) + describe("S", "s") + sync())
            replies = wire.ask(bind("", "s") + execute() + sync())
        assert f"C:{tag} Z:I" in shape(replies), shape(replies)


def test_none_is_opened_to_a_database_that_is_gone(weir, scratch):
    start(weir, min_idle=3)
    fill(weir)
    with weir.raw("postgres", "postgres") as wire:
        wire.query("DROP DATABASE scratch")
    assert weir.pool("scratch", "web")["sv_idle"] == 0
    assert "does not exist" not in weir.log()
    with weir.raw("postgres", "postgres") as wire:
        wire.query("CREATE DATABASE scratch OWNER web")
    with weir.raw("web", "scratch") as wire:
        assert wire.query("SELECT 1") == [["1"]]


def test_clients_at_work_there_wait_and_go_on(weir, scratch):
    start(weir, pool_size=3)
    stop, failed, turns = threading.Event(), [], []

    def work():
        try:
            with psycopg.connect(weir.dsn("web", "scratch"), autocommit=True) as connection:
                while not stop.is_set():
                    connection.execute("SELECT pg_sleep(0.002), v FROM t")
                    turns.append(1)
        except psycopg.Error as error:
            failed.append(error)
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    wait_until(lambda: len(turns) > 20, 5, "work")
    try:
        with weir.raw("postgres", "postgres") as wire:
            wire.query("CREATE DATABASE scratch_copy TEMPLATE scratch")
        before = len(turns)
        wait_until(lambda: len(turns) > before + 20 or failed, 5, "work to go on")
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not failed
    assert weir.postgres.value("SELECT count(*) FROM t", dbname="scratch_copy") == 1


@pytest.mark.parametrize("message", [query("DROP DATABASE scratch"), one_statement("DROP DATABASE scratch") + sync(),
                                     query("CREATE DATABASE other TEMPLATE scratch")])
def test_who_may_not_do_it_closes_nothing(weir, scratch, message):
    start(weir)
    fill(weir)
    before = backends(weir)
    with weir.raw("reporting", "app") as wire:
        assert errors(wire.ask(message))[0].sqlstate == "42501"
        wire.query("SELECT pg_sleep(0.1)")
    assert before <= backends(weir) and len(before) >= 3


@pytest.fixture
def locked(postgres, scratch):
    """Somebody has a lock on the database, for which PostgreSQL waits before it looks at rights."""
    holder = psycopg.connect(host=postgres.host, port=postgres.port, user="postgres", dbname="app")
    holder.execute("COMMENT ON DATABASE scratch IS 'locked'")
    yield holder
    holder.close()


@pytest.mark.parametrize("message", [query("DROP DATABASE scratch"), one_statement("DROP DATABASE scratch") + sync(),
                                     query("ALTER DATABASE scratch RENAME TO other")])
def test_who_may_not_do_it_closes_nothing_while_it_waits_for_a_lock(weir, scratch, locked, message):
    start(weir)
    wires = fill(weir)
    before = backends(weir)
    with weir.raw("reporting", "app") as wire:
        wire.send(message)
        wait_until(lambda: weir.postgres.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), 5, "the wait")
        for _ in range(20):
            assert wires[0].query("SELECT pg_sleep(0.01)") == [[""]]
        assert before <= backends(weir) and len(before) >= 3
        locked.rollback()
        assert errors(wire.read_until("Z"))[0].sqlstate == "42501"
        assert wire.query("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE '%may'") == [["0"]]


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_it_is_the_role_of_now_that_counts(weir, scratch, locked, mode):
    """A superuser who has become somebody else for the moment, and one who prepared something unnamed before."""
    start(weir)
    fill(weir)
    weir.reload(sections={**weir.config, "user postgres": {"pool_mode": mode}})
    with weir.raw("postgres", "postgres") as wire:
        wire.query("SET ROLE reporting")
        wire.ask(parse("", "SELECT 'unnamed'") + sync())
        wire.send(parse("d", "DROP DATABASE scratch") + bind("", "d") + execute() + sync())
        wait_until(lambda: weir.postgres.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), 5, "the wait")
        wire.has_nothing_more(0.2)
        assert len(backends(weir)) >= 3
        locked.rollback()
        assert errors(wire.read_until("Z"))[0].sqlstate == "42501"
        assert shape(wire.ask(bind("", "") + execute() + sync())) == "2 D C:SELECT 1 Z:I"
        wire.query("RESET ROLE")
        assert not errors(wire.ask(one_statement("DROP DATABASE scratch") + sync()))


def test_clients_have_it_between_two_such_statements(weir, scratch, locked):
    start(weir)
    wires = fill(weir)
    blocked = "SET lock_timeout = '{}ms'; RESET ROLE"
    with weir.raw("web", "postgres") as wire:
        wire.query(blocked.format(700))
        wire.send(query("DROP DATABASE scratch"))
        wait_until(lambda: not backends(weir), 5, "the servers to go")
        wires[0].send(query("SELECT 1"))
        assert errors(wire.read_until("Z"))[0].sqlstate == "55P03"
        assert not errors(wires[0].read_until("Z"))
        wire.query(blocked.format(1500))
        wire.send(query("DROP DATABASE scratch"))
        for _ in range(20):
            assert wires[0].query("SELECT pg_sleep(0.01)") == [[""]]        # not held again yet
        wait_until(lambda: not backends(weir), 1, "the servers to go again")
        assert errors(wire.read_until("Z"))[0].sqlstate == "55P03"


def test_only_that_statement_closes_anything(weir, scratch):
    """What runs long must be it: not another one beside it."""
    start(weir)
    fill(weir)
    before = backends(weir)
    sleep = "SELECT pg_sleep(0.2)"
    with weir.raw("reporting", "app") as wire:
        wire.ask(query(f"{sleep}; DROP DATABASE scratch"))
        wire.ask(query(f"DROP DATABASE scratch; {sleep}"))
        wire.ask(parse("d", "DROP DATABASE scratch") + sync())
        wire.query(sleep)
        wire.ask(parse("s", sleep) + sync())
        wire.ask(bind("", "s") + execute() + sync())
        wire.ask(bind("p", "s") + bind("q", "d") + execute("p") + sync())
        wire.ask(bind("q", "d") + bind("p", "s") + execute("p") + sync())
        wire.ask(parse("", "DROP DATABASE scratch") + parse("", sleep) + bind() + execute() + sync())
        wire.ask(parse("e", "DROP DATABASE scratch") + parse("f", sleep) + bind("", "f") + execute() + sync())
        wire.ask(bind("p", "s") + parse("g", "DROP DATABASE scratch") + bind("q", "g") + execute("p") + sync())
        wire.ask(parse("g", sleep) + bind() + execute() + sync())
        wire.query("BEGIN")
        assert errors(wire.ask(query("DROP DATABASE scratch")))[0].sqlstate == "25001"
        wire.query("ROLLBACK")
    assert before <= backends(weir) and len(before) >= 3


def test_others_pools_are_left_alone(weir, scratch):
    start(weir)
    fill(weir)
    with weir.raw("web", "app") as wire:
        wire.query("SELECT 1")
    before = backends(weir, "app")
    with weir.raw("postgres", "postgres") as wire:
        wire.query("DROP DATABASE scratch")
    assert backends(weir, "app") == before and before


@pytest.mark.long
def test_a_borrowed_server_is_in_the_way_as_it_would_be_without_us(weir, scratch):
    start(weir)
    fill(weir)
    with weir.raw("web", "scratch") as busy, weir.raw("postgres", "postgres") as wire:
        busy.query("BEGIN")
        assert errors(wire.ask(query("DROP DATABASE scratch"), timeout=15))[0].sqlstate == "55006"
        busy.query("COMMIT")
    with weir.raw("web", "scratch") as wire:
        assert wire.query("SELECT 1") == [["1"]]


def test_an_operators_pause_outlives_it(weir, scratch):
    start(weir)
    fill(weir)
    weir.console("PAUSE scratch")
    with weir.raw("postgres", "postgres") as wire:
        wire.query("DROP DATABASE scratch")
        wire.query("CREATE DATABASE scratch OWNER web")
    with weir.raw("web", "scratch") as wire:
        wire.send(query("SELECT 1"))
        wait_until(lambda: weir.pool("scratch")["cl_waiting"] == 1, 5, "the paused client")
        weir.console("RESUME scratch")
        assert shape(wire.read_until("Z")).endswith("Z:I")


def test_createdb_and_dropdb(weir, scratch):
    start(weir, min_idle=1)
    fill(weir)
    words = ["-h", weir.address[0], "-p", str(weir.address[1]), "-U", "postgres", "--maintenance-db", "postgres"]
    for command in (["createdb", *words, "-T", "scratch", "scratch_copy"], ["dropdb", *words, "scratch"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, done.stderr


DJANGO_TESTS = """
from django.db import connection, models
from django.test import TestCase, TransactionTestCase


class Note(models.Model):
    text = models.CharField(max_length=20)

    class Meta:
        app_label = "notes"


class InATransaction(TestCase):
    def test_it(self):
        Note.objects.create(text="a")
        self.assertEqual(Note.objects.count(), 1)


class Committed(TransactionTestCase):
    def test_it(self):
        Note.objects.create(text="b")
        self.assertEqual(Note.objects.count(), 1)
        self.assertTrue(connection.settings_dict["NAME"].startswith("test_scratch"))
"""

DJANGO_SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["notes"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "scratch", "USER": "postgres",
                         "HOST": "%s", "PORT": %d}}
"""


def test_djangos_test_runner(weir, scratch, tmp_path):
    """It creates test_scratch, clones it by TEMPLATE for its parallel workers, drops them all."""
    pytest.importorskip("django")
    project = tmp_path / "project"
    (project / "notes").mkdir(parents=True)
    (project / "notes" / "__init__.py").write_text("")
    (project / "notes" / "models.py").write_text("")
    (project / "notes" / "tests.py").write_text(DJANGO_TESTS)
    (project / "settings.py").write_text(DJANGO_SETTINGS % weir.address)
    start(weir)
    weir.reload(sections={**weir.config, "database *": {"upstream": weir.upstream(), "min_idle": 2}})
    for _ in range(2):
        done = subprocess.run([sys.executable, "-m", "django", "test", "--parallel", "2", "--noinput", "--settings",
                               "settings", "--pythonpath", str(project)],
                              cwd=project, capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode == 0 and "Ran 2 tests" in done.stderr, done.stderr
    assert weir.postgres.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'test_scratch%'") == 0


def test_a_connection_that_listens_for_nobody_any_more_is_not_in_the_way(weir, scratch):
    start(weir)
    with weir.raw("web", "scratch") as listener:
        listener.query("LISTEN news")
    assert backends(weir)
    weir.raw("postgres", "postgres").query("DROP DATABASE scratch")
    assert not backends(weir)
