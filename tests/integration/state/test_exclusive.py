"""DROP DATABASE, CREATE DATABASE ... TEMPLATE and ALTER DATABASE ... RENAME: pgweir's own idle servers are not in the
way, as test runners and migrations need it."""

import subprocess
import sys

import pytest

from rawwire import BEGIN_NOW, bind, describe, errors, execute, one_statement, parse, query, shape, sync
from waiting import SLOWNESS, each, wait_until

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
    each(wires).query("SELECT 1")
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


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_idle_servers_are_not_in_the_way(weir, scratch, statement, mode, protocol):
    start(weir, min_idle=2, pool_size=5)
    fill(weir)
    wait_until(lambda: len(backends(weir)) >= 3, what="idle servers")
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


@pytest.mark.parametrize("message", [query("DROP DATABASE scratch"), one_statement("DROP DATABASE scratch") + sync(),
                                     query("CREATE DATABASE other TEMPLATE scratch")])
def test_who_may_not_do_it_closes_only_servers_of_his_own(weir, scratch, message):
    start(weir)
    fill(weir)
    def of(user):
        return {row["pid"] for row in weir.postgres.backends(datname=scratch, usename=user)}
    others = of("web")
    with weir.raw("reporting", "app") as wire:
        assert errors(wire.ask(message))[0].sqlstate == "42501"
    wait_until(lambda: not of("reporting"), what="its server to leave")
    assert others and others <= of("web")


def test_a_user_drops_what_is_his_own(weir, scratch):
    """As a test runner does, whose user is no superuser."""
    start(weir, min_idle=2)
    for database in "scratch", "alias":
        weir.raw("web", database).query("SELECT 1")
    weir.postgres.query("ALTER ROLE web CREATEDB", dbname="postgres")
    with weir.raw("web", "postgres") as wire:
        wire.query("CREATE DATABASE scratch_copy TEMPLATE scratch", "DROP DATABASE scratch")
        wire.query("ALTER DATABASE scratch_copy RENAME TO scratch")
    weir.postgres.query("ALTER ROLE web NOCREATEDB", dbname="postgres")
    assert weir.raw("web", "scratch").query("SELECT v FROM t") == [["1"]]


def test_among_other_statements_it_closes_nothing(weir, scratch):
    """PostgreSQL refuses it there."""
    start(weir)
    fill(weir)
    before = backends(weir)
    with weir.raw("postgres", "app") as wire:
        assert errors(wire.ask(query("SELECT 1; DROP DATABASE scratch")))[0].sqlstate == "25001"
    assert before <= backends(weir) and len(before) >= 3


def test_others_pools_are_left_alone(weir, scratch):
    start(weir)
    fill(weir)
    with weir.raw("web", "app") as wire:
        wire.query("SELECT 1")
    weir.settle()
    before = backends(weir, "app")
    with weir.raw("postgres", "postgres") as wire:
        wire.query("DROP DATABASE scratch")
    assert backends(weir, "app") == before and before


@pytest.mark.long
def test_a_borrowed_server_is_in_the_way_as_it_would_be_without_us(weir, scratch):
    start(weir)
    fill(weir)
    with weir.raw("web", "scratch") as busy, weir.raw("postgres", "postgres") as wire:
        busy.query(BEGIN_NOW)
        assert errors(wire.ask(query("DROP DATABASE scratch")))[0].sqlstate == "55006"
        busy.query("COMMIT")
    with weir.raw("web", "scratch") as wire:
        assert wire.query("SELECT 1") == [["1"]]


def test_an_operators_pause_outlives_it(weir, scratch):
    start(weir)
    fill(weir)
    weir.console("PAUSE scratch")
    with weir.raw("postgres", "postgres") as wire:
        wire.query("DROP DATABASE scratch", "CREATE DATABASE scratch OWNER web")
    with weir.raw("web", "scratch") as wire:
        wire.send(query("SELECT 1"))
        wait_until(lambda: weir.pool("scratch")["cl_waiting"] == 1, what="the paused client")
        weir.console("RESUME scratch")
        assert shape(wire.read_until("Z")).endswith("Z:I")


def test_createdb_and_dropdb(weir, scratch):
    start(weir, min_idle=1)
    fill(weir)
    words = ["-h", weir.address[0], "-p", str(weir.address[1]), "-U", "postgres", "--maintenance-db", "postgres"]
    for command in (["createdb", *words, "-T", "scratch", "scratch_copy"], ["dropdb", *words, "scratch"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20 * SLOWNESS)
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
                              cwd=project, capture_output=True, text=True, check=False, timeout=50 * SLOWNESS)
        assert done.returncode == 0 and "Ran 2 tests" in done.stderr, done.stderr
    assert weir.postgres.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'test_scratch%'") == 0


def test_a_connection_that_listens_for_nobody_any_more_is_not_in_the_way(weir, scratch):
    with start(weir).raw("web", "scratch") as listener:
        listener.query("LISTEN news")
    assert backends(weir)
    weir.raw("postgres", "postgres").query("DROP DATABASE scratch")
    assert not backends(weir)


@pytest.mark.parametrize("database, mode", [("template1", "transaction"), ("template1", "session"), ("scratch", "transaction")])
def test_no_connection_stays_in_a_template(weir, scratch, database, mode):
    """vacuumdb -a and health checks leave one there; who then copies it, and not through pgweir, waits 5 s at most."""
    weir.postgres.query("ALTER DATABASE scratch IS_TEMPLATE true", dbname="postgres")
    try:
        weir.start(sections={"database template1": {"upstream": weir.upstream()},
                             "database scratch": {"upstream": weir.upstream()}}, pool_mode=mode, min_idle=1)
        wire = weir.raw("web", database)
        assert wire.query("SELECT 1") == [["1"]]
        if mode == "session":
            wire.leave()
        weir.postgres.query(f"CREATE DATABASE scratch_copy TEMPLATE {database}", dbname="postgres")
        if mode == "transaction":
            assert wire.query("SELECT 2") == [["2"]]
    finally:
        weir.postgres.query("ALTER DATABASE scratch IS_TEMPLATE false", dbname="postgres")
