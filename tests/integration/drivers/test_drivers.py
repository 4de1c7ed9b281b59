"""Drivers and ORMs of other languages with their defaults, through fewer servers than clients that change hands.

drivers/<stack>.<ext> holds a stack's rows: row("name", ...) is one. A program runs the rows named by its arguments,
each in two clients at once, and prints "ok name" or "not ok name: why". A stack whose runtime is missing is a failure,
not a skip: `scripts/install-deps ci` installs them all, `scripts/install-deps test` Python's and C's, which scripts/test runs. Tortoise ORM isn't in Debian: what it does (asyncpg's pool, SET in
init hooks, nested in_transaction) is covered by test_asyncpg_sessions.py.
"""

import os
import platform
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import transport
from programs import check, compiled
from waiting import SLOWNESS

JDBC = "/usr/share/java/postgresql.jar"
DRIVERS = Path(__file__).parent
ROW = re.compile(r"""^\s*@?row\s*\(?\s*["'](\w+)["']|\bROW\((\w+)\),""", re.MULTILINE)


def javac(source, out):
    return ["javac", "-cp", JDBC, "-d", str(out), str(source)]


def gobuild(source, out):
    return ["go", "build", "-o", str(out / source.stem), str(source), *map(str, source.parent.glob("rows.go"))]


def cc(source, out):
    return ["gcc", "-O0", "-I/usr/include/postgresql", "-o", str(out / source.stem), str(source), "-lpq", "-pthread"]


PYTHON = [sys.executable, "-B", "{source}"]

# stack: its file, what compiles it, what runs it
STACKS = {
    "django": ("django_rows.py", None, PYTHON),
    "alembic": ("alembic_rows.py", None, PYTHON),
    "databases": ("databases_rows.py", None, PYTHON),
    "pony": ("pony_rows.py", None, PYTHON),
    "peewee": ("peewee_rows.py", None, PYTHON),
    "pg8000": ("pg8000_rows.py", None, PYTHON),
    "psqlodbc": ("psqlodbc_rows.py", None, PYTHON),
    "node_pg": ("node_pg.js", None, ["node", "{source}"]),
    "postgres_js": ("postgres_js.js", None, ["node", "{source}"]),
    "drizzle": ("drizzle.js", None, ["node", "{source}"]),
    "knex": ("knex.js", None, ["node", "{source}"]),
    "prisma": ("prisma.js", None, ["node", "{source}"]),
    "sequelize": ("sequelize.js", None, ["node", "{source}"]),
    "typeorm": ("typeorm.js", None, ["node", "{source}"]),
    "kysely": ("kysely.js", None, ["node", "{source}"]),
    "pdo": ("pdo.php", None, ["php", "{source}"]),
    "php_pgsql": ("php_pgsql.php", None, ["php", "{source}"]),
    "jdbc": ("Jdbc.java", javac, ["java", "-cp", f"{{out}}:{JDBC}", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "Jdbc"]),
    "lib_pq": ("lib_pq.go", gobuild, ["{out}/lib_pq"]),
    "pgx": ("pgx.go", gobuild, ["{out}/pgx"]),
    "ruby_pg": ("ruby_pg.rb", None, ["ruby", "{source}"]),
    "activerecord": ("activerecord.rb", None, ["ruby", "-W0", "{source}"]),
    "sequel": ("sequel.rb", None, ["ruby", "-W0", "{source}"]),
    "libpq": ("libpq.c", cc, ["{out}/libpq"]),
    "dbd_pg": ("dbd_pg.pl", None, ["perl", "{source}"]),
}


def rows_of(stack):
    source = STACKS[stack][0]
    names = ["".join(found) for found in ROW.findall((DRIVERS / source).read_text(encoding="utf-8"))]
    names = [name for name in names if name not in ("console", "pins_nothing")]      # test_console, test_nothing_pins.py
    assert names and len(names) == len(set(names)), f"{source}: no rows, or one twice"
    return names


# What runs, or makes, those that scripts/install-deps test has nothing for.
RUNTIMES = {".js": "node", ".php": "php", ".java": "javac", ".go": "go", ".rb": "ruby", ".pl": "perl"}


# What not every Debian has: there it may be missing.
CODENAME = platform.freedesktop_os_release().get("VERSION_CODENAME")
NOT_PACKAGED = {"pony": pytest.mark.skipif(CODENAME != "bookworm" and not find_spec("pony"), reason="only Debian 12 has python3-pony")}


def param(stack, *more):
    runtime = RUNTIMES.get(Path(STACKS[stack][0]).suffix)
    marks = [pytest.mark.needs(runtime)] if runtime else []
    marks += [NOT_PACKAGED[stack]] if stack in NOT_PACKAGED else []
    return pytest.param(stack, *more, id="-".join([stack, *more]), marks=marks)


def rows():
    return [param(stack, name) for stack in STACKS for name in rows_of(stack)]


def words_of(tmp_path_factory, stack, name, compile_words, run):
    """Those that run a program."""
    source = DRIVERS / name
    out = compile_words and compiled(tmp_path_factory, f"driver-{stack}", lambda made: compile_words(source, made))
    return [word.format(source=source, out=out) for word in run]


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    def words(stack):
        return words_of(tmp_path_factory, stack, *STACKS[stack])
    return words


def surroundings(weir):
    host, port = weir.address
    return {"PATH": os.environ["PATH"], "HOME": str(weir.directory), "LANG": "C.UTF-8", "TZ": "UTC", "PGHOST": host,
            "PGPORT": str(port), "PGUSER": "web", "PGDATABASE": "app", **transport.environment(),
            "PGGSSENCMODE": "disable", "PGCONNECT_TIMEOUT": str(round(10 * SLOWNESS))}


@pytest.mark.sweep(keep=len(STACKS))
@pytest.mark.parametrize("stack", [param(stack) for stack in STACKS])
def test_rows_one_after_the_other(busy, program, stack):
    """In one process: most of a row's time is the start of its runtime."""
    names = rows_of(stack)
    said = check([*program(stack), *names], env=surroundings(busy), cwd=busy.directory)
    assert {f"ok {name}" for name in names} <= set(said.splitlines()), said


@pytest.mark.sweep(keep=0)
@pytest.mark.parametrize("stack, row", rows())
def test_row(busy, program, stack, row):
    said = check([*program(stack), row], env=surroundings(busy), cwd=busy.directory)
    assert f"ok {row}" in said.splitlines(), said


@pytest.mark.weir_only
@pytest.mark.parametrize("stack", [param("jdbc"), param("lib_pq"), param("pgx")])
def test_console(weir, program, stack):
    """It takes simple queries only: what drivers send as they are, or can be told to send."""
    weir.start()
    said = check([*program(stack), "console"], env=surroundings(weir), cwd=weir.directory)
    assert said.splitlines() == ["ok console"], said


def test_servers_change_hands(busy):
    """Else all of this proves nothing."""
    connection = busy.connect(autocommit=True)
    seen = {connection.execute("SELECT pg_backend_pid()").fetchone()[0] for _ in range(50)}
    assert busy.direct or len(seen) >= 2
