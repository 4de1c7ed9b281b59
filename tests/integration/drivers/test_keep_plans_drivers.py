"""keep_plans = on with real drivers: what each of them answers is what it answers beside it, connected to PostgreSQL directly.

drivers/plans/asker.* has clients of one language's drivers that do what the lines of their standard input say, and print
what the driver has returned: columns, rows, errors, notices. Two of them, a and b, go through the scenes below, with one
server between them. A scene's questions are asked by both, ROUNDS times, so that texts get their names; then something
changes, and they are asked again.
"""

import functools
import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass

import pytest

import transport
from crowd import make_world
from test_drivers import JDBC, javac, words_of
from waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

ROUNDS = 4

SETUP = """
    DROP SCHEMA IF EXISTS front, shop CASCADE;
    CREATE SCHEMA front AUTHORIZATION web; CREATE SCHEMA shop AUTHORIZATION web;
    SET ROLE web; SET search_path TO shop;
    GRANT ALL ON SCHEMA shop TO clerk;
    CREATE TYPE state AS ENUM ('open', 'paid');
    CREATE DOMAIN size AS int CHECK (VALUE > 0);
    CREATE TABLE item (id int PRIMARY KEY, code varchar(8) UNIQUE, price numeric(10, 2), tags text[], doc jsonb, made date,
        at timestamptz, state state, size size, note text);
    INSERT INTO item SELECT g, 'c' || g, g / 4.0, ARRAY['t' || g, NULL], jsonb_build_object('n', g), date '2024-02-29' + g,
        timestamptz '2024-06-30 22:30:00+00' + g * interval '1 day', CASE WHEN g % 2 = 0 THEN 'paid' ELSE 'open' END::state, g, NULL
        FROM generate_series(1, 40) g;
    CREATE TABLE paper (owner int, title text);
    INSERT INTO paper VALUES (1, 'of 1'), (2, 'of 2'), (2, 'of 2 too');
    GRANT SELECT ON paper TO clerk;
    RESET ROLE; ALTER TABLE paper FORCE ROW LEVEL SECURITY; ALTER TABLE paper ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON paper USING (owner = nullif(current_setting('app.user_id', true), '')::int);
"""


@dataclass
class Scene:
    """Lines are (client, SQL, value, ...) or one of the functions below, asks (SQL, value, ...)."""
    asks: list
    before: tuple = ()
    between: tuple = ()
    after: tuple = ()


def numeric(value):
    return {"numeric": value}


def date(value):
    return {"date": value}


def many(client, *asks):
    """A pipeline, where the driver has one."""
    return lambda actors: actors.tell(to=client, many=[[sql, list(values)] for sql, *values in asks])


def fetch(client, size, sql, *values):
    return lambda actors: actors.tell(to=client, sql=sql, values=list(values), size=size)


def superuser(sql):
    return lambda actors: actors.postgres.query(sql)


def canceled(client, sql, *values):
    """Is cancelled while it runs."""
    def run(actors):
        actors.send(to=client, sql=sql, values=list(values))
        wait_until(lambda: actors.postgres.value("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
                   what="what is to be cancelled")
        return actors.read()
    return run


def lost_servers(actors):
    """Nobody notices; directly, it would be the client's own connection."""
    if actors.is_through:
        actors.postgres.kill_backends(datname="app", usename="web", state="idle")


def both(*lines):
    return tuple((client, *line) for client in "ab" for line in lines)


BY_KEY = ("SELECT * FROM item WHERE id = $1", 7)
WHERE_AM_I = ("SELECT note FROM place WHERE $1::int > 0", 1)
LARGE = "ä" * 60_000

FAILED_FETCH = "an error behind some rows"

SCENES = {
    "one row by its key": Scene([BY_KEY, ("SELECT id, code FROM item WHERE id = $1", 41), ("SELECT id FROM item WHERE id = $1", None)]),
    "values of all types": Scene([
        ("SELECT $1::int4 + 1 AS n", 41), ("SELECT $1::numeric * 2 AS n", numeric("12.50")), ("SELECT $1::date + 1 AS d", date("2024-02-28")),
        ("SELECT $1::jsonb AS j", {"json": {"a": [1, None]}}), ("SELECT $1::text AS t", "'\\\"ä\U0001F600"), ("SELECT $1::int8 AS n", 2 ** 40),
        ("SELECT $1::int4[] AS a", [1, 2, 3]), ("SELECT coalesce($1::text, 'none') AS t", None), ("SELECT $1::bool AS b", True)]),
    "values that are left open": Scene([
        ("INSERT INTO item (id, price, made, size) VALUES (100, $1, $2, $3) ON CONFLICT (id) DO UPDATE SET price = excluded.price "
         "RETURNING id, price, made", numeric("3.10"), date("2024-01-31"), 4), ("UPDATE item SET note = $1 WHERE id = $2 RETURNING note", "x", 100),
        ("DELETE FROM item WHERE id = $1 AND price > $2", 99, numeric("0.5"))], after=[("a", "DELETE FROM item WHERE id = 100")]),
    "lists, limits and patterns": Scene([
        ("SELECT id FROM item WHERE id = ANY ($1::int[]) ORDER BY id", [3, 4, 99]), ("SELECT id FROM item WHERE id IN ($1, $2) ORDER BY id", 5, 6),
        ("SELECT id FROM item ORDER BY id LIMIT $1 OFFSET $2", 2, 5), ("SELECT id FROM item WHERE code LIKE $1 ORDER BY id", "c3%"),
        ("SELECT id FROM item ORDER BY id LIMIT $1", -1)]),
    "errors by value": Scene([
        ("SELECT 10 / $1::int4 AS n", 2), ("SELECT 10 / $1::int4 AS n", 0), ("SELECT $1::text::int4 AS n", "x"),
        ("INSERT INTO item (id, code) VALUES ($1, $2)", 1, "other"), ("INSERT INTO item (id, code) VALUES ($1, $2)", 50, "toolongacode"),
        ("UPDATE item SET size = $1 WHERE id = $2", -1, 3), ("UPDATE item SET code = $1 WHERE id = $2", "toolongacode", 77),
        ("SELECT (SELECT id FROM item WHERE id < $1) AS n", 5), ("SELECT nothing FROM item WHERE id = $1", 1), ("SELEC $1", 1)]),
    "errors where the driver sends text": Scene([("SELECT id FROM item WHERE id = $1", "x"), ("SELECT id FROM item WHERE made = $1", "2024-02-30")]),
    "an enum and a domain": Scene(
        [("SELECT id, state FROM item WHERE state = $1::state ORDER BY id LIMIT 2", "paid"), ("SELECT $1::state AS s", "lost"),
         ("SELECT $1::size AS n", 3), ("SELECT $1::size AS n", 0)],
        between=[("a", "ALTER TYPE state ADD VALUE 'lost'"), ("b", "ALTER DOMAIN size DROP CONSTRAINT size_check")],
        after=[("a", "ALTER DOMAIN size ADD CHECK (VALUE > 0)")]),
    "a role": Scene([("SELECT current_user::text AS u, $1::int AS n", 1), ("SELECT count(*)::int AS n FROM item WHERE id > $1", 2)],
                    before=[("a", "SET ROLE clerk")], between=[("a", "RESET ROLE"), ("b", "SET ROLE clerk")], after=both(("RESET ROLE",))),
    "privileges": Scene([("SELECT count(*)::int AS n FROM item WHERE id > $1", 2)], before=[("b", "GRANT SELECT ON item TO clerk"), ("a", "SET ROLE clerk")],
                        between=[("b", "REVOKE SELECT ON item FROM clerk"), *both(("SELECT count(*)::int AS n FROM item WHERE id > $1", 2)),
                                 ("b", "GRANT SELECT ON item TO clerk")], after=[("b", "REVOKE SELECT ON item FROM clerk"), ("a", "RESET ROLE")]),
    "row security by app.user_id": Scene(
        [("SELECT title FROM paper WHERE title LIKE $1 ORDER BY title", "of%")],
        before=[("a", "SET app.user_id = '1'"), ("b", "SELECT set_config('app.user_id', $1, false)", "2")],
        between=[("a", "SET app.user_id = '2'"), ("b", "RESET app.user_id")], after=both(("RESET app.user_id",))),
    "app.user_id of a transaction": Scene(
        [("BEGIN",), ("SELECT set_config('app.user_id', $1, true)", "2"), ("SELECT title FROM paper WHERE title LIKE $1 ORDER BY title", "of%"),
         ("COMMIT",), ("SELECT title FROM paper WHERE title LIKE $1 ORDER BY title", "of%")]),
    "search_path": Scene(
        [WHERE_AM_I], before=[("a", "CREATE TABLE shop.place AS SELECT 'shop' AS note"), ("a", "CREATE TABLE front.place AS SELECT 'front' AS note"),
                              ("a", "SET search_path TO shop"), ("b", "SET search_path TO front, shop")],
        between=[("a", "SET search_path TO front, shop"), ("b", "SET search_path TO shop")],
        after=[("a", "DROP TABLE shop.place, front.place"), *both(("SET search_path TO front, shop",))]),
    "TimeZone, DateStyle and the like": Scene(
        [("SELECT at::text AS t, made::text AS d, $1::int AS n FROM item WHERE id = 1", 1),
         ("SELECT '2024-07-01 12:00'::timestamptz::text AS t, $1::int AS n", 1),
         ("SELECT '01/02/2024'::date::text AS t, $1::int AS n", 1), ("SELECT ('1 day'::interval * $1::int)::text AS t", 2)],
        before=[("a", "SET TimeZone TO 'Asia/Tokyo'"), ("b", "SET DateStyle TO 'ISO, DMY'"), ("b", "SET IntervalStyle TO 'iso_8601'")],
        between=[("a", "SET TimeZone TO 'Europe/Berlin'"), ("b", "RESET DateStyle")],
        after=both(("RESET TimeZone",), ("RESET DateStyle",), ("RESET IntervalStyle",))),
    "a column that is added": Scene([BY_KEY, ("SELECT item FROM item WHERE id = $1", 3)],
                                    between=[("b", "ALTER TABLE item ADD COLUMN more int DEFAULT 5")]),
    "a column that is dropped": Scene([BY_KEY, ("SELECT more FROM item WHERE id = $1", 3)], between=[("a", "ALTER TABLE item DROP COLUMN more")]),
    "a column that another program adds and drops": Scene(
        [BY_KEY], between=[superuser("ALTER TABLE shop.item ADD COLUMN more text DEFAULT 'm'"), ("a", *BY_KEY), ("b", *BY_KEY),
                           superuser("ALTER TABLE shop.item DROP COLUMN more")]),
    "a column that is renamed": Scene([BY_KEY, ("SELECT note FROM item WHERE id = $1", 3)],
                                      between=[("a", "ALTER TABLE item RENAME COLUMN note TO remark"), ("b", *BY_KEY),
                                               ("b", "ALTER TABLE item RENAME COLUMN remark TO note")]),
    "a type that changes": Scene(
        [("SELECT id, note FROM item WHERE id = $1", 3), ("UPDATE item SET note = $1 WHERE id = $2 RETURNING note", "12", 3),
         ("SELECT id FROM item WHERE note = $1", "12")],
        between=[("b", "ALTER TABLE item ALTER COLUMN note TYPE int USING note::int")],
        after=[("a", "SELECT id, note FROM item WHERE id = $1", 3), ("a", "ALTER TABLE item ALTER COLUMN note TYPE text")]),
    "a key that grows": Scene([BY_KEY, ("SELECT id FROM item WHERE id = $1", 2 ** 40)],
                              between=[("b", "ALTER TABLE item ALTER COLUMN id TYPE bigint")], after=[("a", *BY_KEY),
                                                                                                     ("a", "ALTER TABLE item ALTER COLUMN id TYPE int")]),
    "a temporary table in front": Scene(
        [("SELECT count(*)::int AS n FROM item WHERE id > $1", 0)],
        between=[("a", "CREATE TEMP TABLE item AS SELECT 1 AS id"), *[("a", "SELECT count(*)::int AS n FROM item WHERE id > $1", 0)] * 2,
                 ("a", "DROP TABLE pg_temp.item"), ("a", "DISCARD TEMP")]),
    "a table in a schema in front": Scene(
        [("SELECT count(*)::int AS n FROM item WHERE id > $1", 0)],
        between=[("b", "CREATE TABLE front.item AS SELECT 1 AS id"), ("a", "SELECT count(*)::int AS n FROM item WHERE id > $1", 0),
                 ("b", "SELECT count(*)::int AS n FROM item WHERE id > $1", 0), ("a", "DROP TABLE front.item")]),
    "a table in front that a failed block had": Scene(
        [("SELECT count(*)::int AS n FROM item WHERE id > $1", 0)],
        between=[("b", "BEGIN"), ("b", "CREATE TABLE front.item AS SELECT 1 AS id"), ("b", "SELECT count(*)::int AS n FROM item WHERE id > $1", 0),
                 ("b", "ROLLBACK")]),
    "a view that is replaced": Scene(
        [("SELECT * FROM seen WHERE id = $1", 3)], before=[("a", "CREATE VIEW seen AS SELECT id, code FROM item")],
        between=[("b", "CREATE OR REPLACE VIEW seen AS SELECT id, code, size FROM item"), ("a", "SELECT * FROM seen WHERE id = $1", 3),
                 ("b", "DROP VIEW seen"), ("a", "SELECT * FROM seen WHERE id = $1", 3), ("a", "CREATE VIEW seen AS SELECT 3 AS id")],
        after=[("a", "DROP VIEW seen")]),
    "a table that is dropped and made": Scene(
        [("SELECT * FROM brief WHERE id = $1", 1)], before=[("a", "CREATE TABLE brief AS SELECT 1 AS id, 'one' AS t")],
        between=[("a", "DROP TABLE brief"), ("b", "SELECT * FROM brief WHERE id = $1", 1), ("a", "CREATE TABLE brief AS SELECT 'two' AS t, 1 AS id")],
        after=[("a", "DROP TABLE brief")]),
    "a failed block": Scene(
        [("BEGIN",), ("SELECT code FROM item WHERE id = $1", 3), ("INSERT INTO item (id) VALUES ($1)", 3), ("SELECT code FROM item WHERE id = $1", 3),
         ("ROLLBACK",), ("SELECT code FROM item WHERE id = $1", 3)]),
    "savepoints": Scene(
        [("BEGIN",), ("SELECT code FROM item WHERE id = $1", 3), ("SAVEPOINT s",), ("SELECT 1 / $1::int AS n", 0), ("SELECT code FROM item WHERE id = $1", 3),
         ("ROLLBACK TO s",), ("SELECT code FROM item WHERE id = $1", 4), ("UPDATE item SET note = $1 WHERE id = $2", "s", 4), ("RELEASE s",), ("COMMIT",)]),
    "pipelines": Scene(
        [BY_KEY, ("SELECT 10 / $1::int4 AS n", 2)],
        between=[many("a", BY_KEY, ("SELECT code FROM item WHERE id = $1", 4), BY_KEY),
                 many("b", BY_KEY, ("SELECT 10 / $1::int4 AS n", 0), BY_KEY),
                 many("a", BY_KEY, ("UPDATE item SET note = $1 WHERE id = $2", "p", 5), ("SELECT note FROM item WHERE id = $1", 5)),
                 many("b", BY_KEY, ("ALTER TABLE item ADD COLUMN piped int",), BY_KEY), many("a", BY_KEY, ("ALTER TABLE item DROP COLUMN piped",), BY_KEY)]),
    "a cancel in the middle": Scene([("SELECT pg_sleep($1)::text AS t, 1 AS n", 0), BY_KEY],
                                    between=[canceled("a", "SELECT pg_sleep($1)::text AS t, 1 AS n", 60), ("b", *BY_KEY),
                                             canceled("b", "SELECT pg_sleep($1)::text AS t, 1 AS n", 60)]),
    "lost servers": Scene([BY_KEY], between=[lost_servers, ("a", *BY_KEY), lost_servers]),
    "large values": Scene([("SELECT length($1::text) AS n", LARGE), ("UPDATE item SET note = $1 WHERE id = $2", LARGE, 6),
                           ("SELECT note FROM item WHERE id = $1", 6)], after=[("a", "UPDATE item SET note = NULL")]),
    "rows some at a time": Scene(
        [("SELECT id FROM item WHERE id > $1 ORDER BY id", 30)],
        between=[fetch(client, 3, "SELECT id FROM item WHERE id > $1 ORDER BY id", n) for n in (30, 37, 40) for client in "ab"]),
    FAILED_FETCH: Scene(
        [("SELECT 1 / (id - $1) AS n FROM item ORDER BY id", 50)],
        between=[fetch(client, 3, "SELECT 1 / (id - $1) AS n FROM item ORDER BY id", n) for n in (50, 5, 50) for client in "ab"]),
    "notices": Scene([("SELECT $1::int AS a" + "n" * 70, 1), ("SELECT id FROM item WHERE id = $1", 1)]),
    "DISCARD ALL": Scene([BY_KEY], between=[("a", "DISCARD ALL"), ("a", "SET search_path TO front, shop"), ("b", "DEALLOCATE ALL")]),
}


def go(source, out):
    return ["go", "build", "-o", str(out / source.stem), str(source)]


# what runs a language's clients, and what compiles them: {source}, {out}
LANGUAGES = {
    "node": ("asker.js", None, ["node", "{source}"]),
    "python": ("asker.py", None, [sys.executable, "-B", "{source}"]),
    "java": ("Asker.java", javac, ["java", "-cp", f"{{out}}:{JDBC}", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "Asker"]),
    "go": ("asker.go", go, ["{out}/asker"]),
    "php": ("asker.php", None, ["php", "{source}"]),
    "ruby": ("asker.rb", None, ["ruby", "-W0", "{source}"]),
}
DRIVERS = {
    "node": ["node_pg", "drizzle", "prisma", "postgres_js", "postgres_js_named"],
    "python": ["psycopg", "psycopg_unnamed", "asyncpg", "asyncpg_no_cache"],
    "java": ["jdbc", "jdbc_unnamed"],
    "go": ["lib_pq", "lib_pq_binary", "pgx", "pgx_describe", "pgx_exec"],
    "php": ["pdo", "pdo_unnamed", "php_pgsql"],
    "ruby": ["ruby_pg"],
}
NAMED = {"postgres_js_named", "asyncpg", "pgx", "pdo"}      # these have names of their own for each statement
LATER_NAMED = {"psycopg", "jdbc"}       # and these from the fifth or sixth use on
# Where clients that have names of their own are answered otherwise with keep_plans = off, too: named statements are prepared anew under other
# settings and after DDL, where PostgreSQL goes on with what was analysed, and the second to prepare one gets no notice. psycopg, which has its rows
# described each time, gets them where PostgreSQL says 0A000; postgres.js' value is too large for the type that PostgreSQL goes on with.
OF_NAMES = {"TimeZone, DateStyle and the like", "a table in a schema in front", "a table in front that a failed block had", "notices"}
# What drivers hang in, directly, too: node-postgres waits for a ReadyForQuery that it has sent no Sync for; asyncpg sends a Parse and a Flush,
# finds that the value is of the wrong type, and leaves the table locked.
UNABLE = {"node_pg": {FAILED_FETCH}, "asyncpg_no_cache": {"a type that changes", "a key that grows"},
          **{driver: OF_NAMES for driver in NAMED | LATER_NAMED},
          "psycopg": OF_NAMES | {name for name in SCENES if name.startswith(("a column", "a table", "a type", "a key", "a view"))},
          "postgres_js_named": OF_NAMES | {"a key that grows"}}


class Actors:
    """Both clients of a program, at an address."""

    def __init__(self, words, postgres, address, directory, is_through):
        self.postgres, self.is_through = postgres, is_through
        self.sent = None
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=directory, env={
            "PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8", "TZ": "UTC", "PGHOST": address[0], "PGPORT": str(address[1]),
            "PGUSER": "web", "PGDATABASE": "app", **transport.environment(), "PGGSSENCMODE": "disable"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def send(self, **todo):
        self.sent = todo
        self.process.stdin.write(json.dumps(todo) + "\n")
        self.process.stdin.flush()

    def read(self):
        """Types of the database's own have other numbers each time."""
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], f"no answer to {self.sent}"
        line = self.process.stdout.readline()
        assert line, f"the program has ended at {self.sent}"
        said = json.loads(line)
        for each in [said, *said.get("all", [])]:
            each["columns"] = [[c[0], "own"] if isinstance(c[1], int) and c[1] >= 16384 else c for c in each.get("columns") or ()]
        return said

    def tell(self, **todo):
        self.send(**todo)
        return self.read()

    def do(self, line):
        return line(self) if callable(line) else self.tell(to=line[0], sql=line[1], values=list(line[2:]))


def play(actors, scene, warm):
    """What is answered: [(line, answer)]."""
    told = []

    def do(lines):
        for line in lines:
            told.append((line, actors.do(line)))

    def ask_all():
        for line in asks:
            actors.do(line)

    asks = both(*scene.asks)
    do(scene.before)
    warm(ask_all)
    for _ in range(ROUNDS):
        do(asks)
    do(scene.between)
    do(asks)
    do(asks)
    do(scene.after)
    return told


def params():
    runtimes = {"java": "javac", "python": None}
    return [pytest.param(language, driver, id=driver, marks=[pytest.mark.needs(runtime)] if (runtime := runtimes.get(language, language)) else [])
            for language, drivers in DRIVERS.items() for driver in drivers]


@pytest.mark.long
@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("language, driver", params())
def test_answers_are_postgresqls(weir, postgres, tmp_path_factory, language, driver):
    make_world(postgres)
    # asyncpg keeps its server behind a Parse, a Flush and a value that it refuses
    weir.start(keep_plans="on", pool_size=2 if "asyncpg" in driver else 1)
    words = [*words_of(tmp_path_factory, f"plans-{language}", f"plans/{LANGUAGES[language][0]}", *LANGUAGES[language][1:]), driver]
    scenes = {name: scene for name, scene in SCENES.items() if name not in UNABLE.get(driver, ())}
    different = []

    def uses():
        return weir.metric_now("pgweir_plans_kept_total", database="app")

    def warm(name, ask_all):
        """Nothing is kept until pgweir has read the code that is new, nor, for ten seconds, what has failed by its name."""
        if driver in NAMED | LATER_NAMED:
            ask_all()
            return
        before = uses()
        wait_until(lambda: ask_all() or uses() > before, what=f"a text that is kept: {name}")

    def conversation(address, is_through):
        postgres.query(SETUP)
        with Actors(words, postgres, address, weir.directory, is_through) as actors:
            for name, scene in scenes.items():
                for line in both(("SET search_path TO front, shop",)):      # Prisma leaves its connection after each error
                    actors.do(line)
                prepare = functools.partial(warm, name) if is_through else lambda ask_all: ask_all()
                yield name, play(actors, scene, prepare)

    directly = dict(conversation((postgres.host, postgres.port), False))
    weir.settle()
    for name, through in conversation(weir.address, True):
        different += [f"{name}: {line}\n    directly: {wanted}\n    through:  {found}"
                      for (line, wanted), (_, found) in zip(directly[name], through) if wanted != found]
    assert not different, f"{len(different)} answers differ:\n" + "\n".join(line[:1000] for line in different[:10])
    assert (uses() > 0) == (driver not in NAMED)
