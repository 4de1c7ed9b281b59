"""What a session may do to itself, in random order: settings, roles, temporary relations, advisory locks, prepared
statements of SQL and of the protocol, cursors, LISTEN and NOTIFY, inside and outside of transactions.

A SessionTalk is one client's talk. It writes itself while it is held with PostgreSQL: turn() gives the next turn from
what the last answer was, so most of what it asks for makes sense. Same seed, same answers, same talk. Everything that
the talks of several clients name (schema, locks, channels) is a client's own, so that the answers don't depend on the
others; but statement texts, names and the columns' types in the schemas differ or agree on purpose.

What is left out, as no answer could be expected: names of temporary schemas, PIDs, OIDs, whether a custom setting that
is not set is NULL or empty, literals in prepared statements whose meaning hangs on a setting. A Parse comes with a
Describe: alone, of a text that is known, it need not be tried before it is used.
"""

import random
from typing import NamedTuple

from rawwire import bind, close, describe, execute, one_statement, parse, query, sync

BOSS = "talk_boss"                  # may become anybody
ROLES = ("talk_a", "talk_b")
CLIENTS = 6                         # as many schemas there are

# name: values as they stand in SET name = ...
SETTINGS = {
    "TimeZone": ("'Europe/Berlin'", "'Asia/Tokyo'", "'UTC'", "'America/New_York'"),
    "DateStyle": ("ISO, DMY", "German", "'SQL, MDY'"),
    "IntervalStyle": ("sql_standard", "iso_8601", "postgres_verbose"),
    "bytea_output": ("escape", "hex"),
    "extra_float_digits": ("0", "-3", "3"),
    "statement_timeout": ("'20s'", "30000", "0"),
    "lock_timeout": ("'21s'", "0"),
    "idle_in_transaction_session_timeout": ("'60s'", "0"),
    "work_mem": ("'7MB'", "8192", "DEFAULT", "'64kB'"),
    "application_name": ("'one'", "'it''s two'", "''"),
    "app.user_id": ("'42'", "7", "'it''s'", "E'a\\nb'", "'\u00fc'", "''"),
    "app.tenant": ("'acme'", "'a b, c'"),
    "client_min_messages": ("notice", "warning", "notice"),
    "enable_seqscan": ("off", "on"),
    "default_transaction_isolation": ("'repeatable read'", "'read committed'"),
    "synchronous_commit": ("off", "on"),
    "standard_conforming_strings": ("off", "on", "on"),
    "search_path": None,            # made for the client
}
REGULAR = [name for name in SETTINGS if not name.startswith("app.")]     # these can always be shown
STARTUPS = (
    {},
    {"application_name": "second", "options": "-c work_mem=5MB -c search_path=talk_1,public"},
    {"TimeZone": "Asia/Tokyo", "DateStyle": "German", "options": "-c app.user_id=7"},
    {"statement_timeout": "33s", "client_encoding": "UTF8"},
    {"extra_float_digits": "2", "app.tenant": "start", "options": "-c IntervalStyle=iso_8601"},
    {"search_path": '"$user", talk_5'},
)
ITEM_TYPES = ("text", "int", "numeric", "bigint", "varchar(20)", "text")     # of the column v of item, by client


def item_type(number, without=()):
    return "text" if "item_types" in without else ITEM_TYPES[number]


def create_world(postgres, without=()):
    """Roles, functions, and the schemas as at the beginning; drops what an earlier talk has left in them."""
    sql = [f"""DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} {kind}; END IF; END $$"""
           for role, kind in ((BOSS, "LOGIN SUPERUSER"), *((role, "NOLOGIN") for role in ROLES))]
    sql.append("CREATE SCHEMA IF NOT EXISTS talk; GRANT USAGE ON SCHEMA talk TO PUBLIC")
    for name, arguments, body in (
            ("lock_it", "k int", "PERFORM pg_catalog.pg_advisory_lock(k)"),
            ("unlock_it", "k int", "PERFORM pg_catalog.pg_advisory_unlock(k)"),
            ("set_user", "u text", "PERFORM pg_catalog.set_config('app.user_id', u, false)")):
        sql.append(f"CREATE OR REPLACE FUNCTION talk.{name}({arguments}) RETURNS void LANGUAGE plpgsql AS "
                   f"$$ BEGIN {body}; END $$")
    for number in range(CLIENTS):
        kind = item_type(number, without)
        for factor, schema in enumerate((f"talk_{number}", f"talk_{number}_more"), 1):
            sql.append(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; "
                       f"GRANT USAGE ON SCHEMA {schema} TO talk_a; "
                       f"CREATE TABLE {schema}.item (id int PRIMARY KEY, v {kind}); "
                       f"INSERT INTO {schema}.item SELECT i, (i * {number + 1} * {factor})::text::{kind} "
                       f"FROM generate_series(1, 3) i; GRANT SELECT ON {schema}.item TO talk_a")
    for statement in sql:
        postgres.query(statement)


class Turn(NamedTuple):
    """data is answered by syncs ReadyForQuery. is_quiet: afterwards all notifications that are due must have come."""

    label: str
    data: bytes
    syncs: int = 1
    is_quiet: bool = False


class SessionTalk:
    """without: kinds of turns (the names of methods) to leave out."""

    def __init__(self, seed, number, without=()):
        self.random = random.Random(f"{seed}/{number}")
        self.number = number
        self.serial = 0
        self.status = "I"
        self.savepoints = []
        self.named = {}                     # the protocol's statements: name to count of parameters
        self.told_to_listen = False
        kinds = {
            self.set: 10, self.set_local: 3, self.set_role: 4, self.reset: 4, self.reset_all: 1, self.discard: 2,
            self.set_config: 4, self.set_by_block: 1, self.set_by_function: 1, self.several_sets: 2,
            self.bad_set: 1, self.show: 14, self.show_all: 6, self.item: 5, self.plain: 4, self.error: 1,
            self.begin: 8, self.temp_table: 4, self.use_temp_table: 5, self.drop_temp_table: 5,
            self.other_temporary: 1, self.lock: 3, self.unlock: 4, self.lock_by_function: 1, self.show_locks: 3,
            self.listen: 2, self.notify: 4, self.quiet: 1, self.sql_prepare: 5, self.sql_execute: 4,
            self.sql_deallocate: 2, self.show_prepared: 2, self.cursor: 4, self.fetch: 4, self.close_cursor: 2,
            self.show_cursors: 2, self.prepare: 3, self.use_prepared: 6, self.close_prepared: 1,
            self.unnamed: 2, self.pipeline: 2, self.ddl: 1,
        }
        chosen = {kind: weight for kind, weight in kinds.items() if kind.__name__ not in without}
        unknown = set(without) - {kind.__name__ for kind in kinds} - {"item_types"}
        assert not unknown, f"no such kinds of turns: {unknown}"
        self.kinds, self.weights = zip(*chosen.items())

    def startup(self):
        return STARTUPS[self.number]

    def turn(self):
        if self.status == "E" and self.random.random() < 0.9:
            return self.end_failed()
        if self.status == "T" and self.random.random() < 0.2:
            return self.end()
        return self.random.choices(self.kinds, self.weights)[0]()

    def heard(self, turn, replies):
        """The answers to a turn."""
        for reply in replies:
            if reply.type == "Z":
                self.status = reply.status
            elif reply.type == "C" and reply.tag in ("ROLLBACK", "COMMIT") and "ROLLBACK TO" not in turn.label:
                self.savepoints = []

    # --- how a statement is sent ---

    def one_of(self, *choices):
        return self.random.choice(choices)

    def say(self, sql, parameters=None):
        """One statement by whichever protocol."""
        if parameters is None and (self.status == "E" or self.random.random() < 0.5):
            return Turn(sql, query(sql))
        values = [] if parameters is None else parameters
        way = "" if parameters is None else f" {parameters}"
        if self.status != "E" and self.random.random() < 0.25:
            self.serial += 1
            name = f"once {self.serial}"
            return Turn(f"{sql}{way} (prepared, used, closed)",
                        parse(name, sql) + describe("S", name) + sync() + bind("", name, values) + describe("P") +
                        execute() + sync() + close("S", name) + sync(), 3)
        return Turn(f"{sql}{way} (extended)", one_statement(sql, values) + sync())

    # --- settings ---

    def value(self, name):
        if name != "search_path":
            return self.random.choice(SETTINGS[name])
        own = f"talk_{self.number}"
        return self.one_of(f"{own}, public", own, "''", f'"$user", {own}', f"pg_catalog, {own}", "pg_temp, public",
                           f"'{own}'", "public", f"{own}_more, {own}", f"{own}_more")

    def name(self):
        return self.one_of("search_path", "app.user_id", "TimeZone", *SETTINGS)

    def set(self):
        name = self.name()
        form = self.random.randrange(8)
        if form == 0 and name == "TimeZone":
            return self.say(f"SET TIME ZONE {self.value(name)}")
        if form == 1:
            return self.say(self.one_of("SET NAMES 'UTF8'", "set names latin1", "SET TIME ZONE LOCAL",
                                        "SET SCHEMA 'public'", "SET SESSION CHARACTERISTICS AS TRANSACTION "
                                        "ISOLATION LEVEL SERIALIZABLE", "SET TIME ZONE -5"))
        return self.say(self.one_of("SET {} = {}", "SET {} TO {}", "SET SESSION {} = {}", "set\n{}={} ;",
                                    "/* app */ SET {} TO {} -- trailing").format(name, self.value(name)))

    def set_local(self):
        name = self.name()
        return self.say(f"SET LOCAL {name} = {self.value(name)}")

    def set_role(self):
        return self.say(self.one_of("SET ROLE talk_a", "SET ROLE 'talk_b'", "SET ROLE NONE", "RESET ROLE",
                                    "SET SESSION ROLE talk_a", "SET LOCAL ROLE talk_b", "SET ROLE no_such_role",
                                    "SET SESSION AUTHORIZATION talk_a", "SET SESSION AUTHORIZATION 'talk_b'",
                                    "SET SESSION AUTHORIZATION DEFAULT", "RESET SESSION AUTHORIZATION",
                                    f"SET ROLE {BOSS}", "RESET ROLE", "RESET SESSION AUTHORIZATION",
                                    "SELECT set_config('role', 'talk_a', false)"))

    def reset(self):
        name = self.name()
        return self.say(self.one_of(f"RESET {name}", f"SET {name} TO DEFAULT", f"SET {name} = DEFAULT",
                                    f"reset {name.upper()};"))

    def reset_all(self):
        return self.say("RESET ALL")

    def discard(self):
        if self.told_to_listen and self.status == "I":
            self.told_to_listen = False
            return self.quiet()
        what = self.one_of("ALL", "ALL", "PLANS", "TEMP", "TEMPORARY", "SEQUENCES")
        if what == "ALL":
            self.named = {}
        return self.say(f"DISCARD {what}")

    def set_config(self):
        name = self.name()
        values = [value.strip("'") for value in (SETTINGS[name] or (f"talk_{self.number}, public", "")) if value !=
                  "DEFAULT" and "''" not in value and "\\" not in value] or ["x"]
        value = self.random.choice(values)
        is_local = self.one_of("false", "false", "true")
        if self.random.random() < 0.5 and self.status != "E":
            return self.say("SELECT set_config($1, $2, $3)", [name, value, is_local])
        return self.say(f"SELECT pg_catalog.set_config('{name}', '{value}', {is_local})")

    def set_by_block(self):
        name = self.one_of("app.user_id", "work_mem", "TimeZone")
        value = self.one_of(*(value for value in SETTINGS[name] if value.startswith("'") and "''" not in value))
        return self.say(self.one_of(f"DO $$ BEGIN PERFORM set_config('{name}', {value}, false); END $$",
                                    f"DO $do$ BEGIN SET {name} = {value}; END $do$"))

    def set_by_function(self):
        return self.say(f"SELECT talk.set_user('{self.random.randrange(100)}')")

    def several_sets(self):
        one, two = self.name(), self.name()
        end = self.one_of("SELECT 1", "SELECT 1/0", "COMMIT", "ROLLBACK") if self.status == "I" else "SELECT 1"
        begin = self.one_of("", "BEGIN; ") if self.status == "I" and end in ("COMMIT", "ROLLBACK") else ""
        sql = f"{begin}SET {one} = {self.value(one)}; SET {two} = {self.value(two)}; {end}"
        return Turn(sql, query(sql))

    def bad_set(self):
        return self.say(self.one_of("SET work_mem = 'a lot'", "SET TimeZone = 'No/Where'", "SET no_such_setting = 1",
                                    "SET search_path", "RESET no_such_setting", "SET client_encoding = 'Klingon'",
                                    "SELECT set_config('work_mem', 'none', false)"))

    # --- looking ---

    def show(self):
        if self.random.random() < 0.05:                     # its warning is told by Parse alone
            sql = "SELECT 'a\\\\b'"
            return Turn(sql, query(sql))
        return self.say(self.one_of(
            f"SHOW {self.random.choice(REGULAR)}",
            "SELECT coalesce(current_setting('app.user_id', true), '')",
            "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), 'nobody')",
            "SELECT current_user, session_user",
            "SELECT array(SELECT s FROM unnest(current_schemas(false)) s WHERE s !~ '^pg_temp_')",
            "SELECT timestamptz '2020-05-01 10:00+00'",
            "SELECT interval '1 day 2 hours', 1.0::float8 / 3, '\\x00ff'::bytea",
            "SHOW role", "SHOW SESSION AUTHORIZATION"))

    def show_all(self):
        return self.say("SELECT " + ", ".join(f"current_setting('{name}')" for name in REGULAR) +
                        ", coalesce(current_setting('app.user_id', true), ''), "
                        "coalesce(current_setting('app.tenant', true), ''), current_user, session_user")

    def item(self):
        """The same texts in every client; what they mean hangs on the search path."""
        return self.say(self.one_of("SELECT * FROM item ORDER BY id", "SELECT pg_typeof(v) FROM item LIMIT 1",
                                    f"INSERT INTO item VALUES ({self.random.randrange(1000)}, '7') "
                                    "ON CONFLICT DO NOTHING",
                                    "SELECT to_regclass('item') IS NULL", "DELETE FROM item WHERE id > 3"))

    def plain(self):
        if self.random.random() < 0.5 and self.status != "E":
            return self.say("SELECT $1::text, $2::int + 1", [self.one_of("x", ""), self.random.randrange(99)])
        return self.say(self.one_of("SELECT 1", "", "SELECT 'set me' AS reset", "-- SET nothing\nSELECT 2",
                                    "SELECT generate_series(1, 5)", "SELECT $tag$ SET ROLE x; $tag$"))

    def error(self):
        return self.say(self.one_of("SELECT 1/0", "SELEC", "SELECT * FROM no_such_table"))

    # --- transactions ---

    def begin(self):
        if self.status == "I":
            return self.say(self.one_of("BEGIN", "BEGIN", "START TRANSACTION", "begin work"))
        name = self.one_of("s1", "s2", "s3")
        self.savepoints.append(name)
        return self.say(f"SAVEPOINT {name}")

    def end(self):
        if self.savepoints and self.random.random() < 0.6:
            name = self.random.choice(self.savepoints)
            return self.say(self.one_of(f"ROLLBACK TO {name}", f"ROLLBACK TO SAVEPOINT {name}", f"RELEASE {name}"))
        return self.say(self.one_of("COMMIT", "COMMIT", "COMMIT", "ROLLBACK", "END", "ABORT", "COMMIT AND CHAIN",
                                    "ROLLBACK AND CHAIN"))

    def end_failed(self):
        if self.savepoints and self.random.random() < 0.7:
            sql = f"ROLLBACK TO {self.random.choice(self.savepoints)}"
        else:
            sql = self.one_of("ROLLBACK", "ROLLBACK", "COMMIT")
        return Turn(sql, query(sql))

    # --- temporary relations ---

    def temp_name(self):
        return self.one_of("x1", "x2")      # a name that hides item's would not change plans made before

    def temp_table(self):
        name = self.temp_name()
        drop = self.one_of("", "", "", " ON COMMIT DROP", " ON COMMIT DROP", " ON COMMIT DELETE ROWS")
        return self.say(self.one_of(f"CREATE TEMP TABLE {name} (id int, v text){drop}",
                                    f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} (id int, v text){drop}",
                                    f"CREATE TEMP TABLE {name}{drop} AS SELECT i AS id, '5'::text AS v "
                                    "FROM generate_series(1, 2) i",
                                    f"CREATE LOCAL TEMP TABLE {name} (id int, v text){drop}",
                                    f"SELECT 1 AS id, '6'::text AS v INTO TEMP {name}",
                                    f"CREATE TABLE pg_temp.{name} (id int, v text)"))

    def use_temp_table(self):
        name = self.temp_name()
        return self.say(self.one_of(f"INSERT INTO pg_temp.{name} VALUES ({self.random.randrange(9)}, '8')",
                                    f"SELECT id, v FROM pg_temp.{name} ORDER BY 1, 2",
                                    "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() "
                                    "AND relkind IN ('r', 'v', 'S') ORDER BY 1"))

    def drop_temp_table(self):
        if self.random.random() < 0.3:
            return self.say("DROP TABLE IF EXISTS pg_temp.x1, pg_temp.x2 CASCADE")
        return self.say(f"DROP TABLE IF EXISTS pg_temp.{self.temp_name()} CASCADE")

    def other_temporary(self):
        return self.say(self.one_of("CREATE TEMP VIEW w AS SELECT 'view' AS v", "SELECT * FROM w",
                                    "DROP VIEW IF EXISTS pg_temp.w", "CREATE TEMP SEQUENCE q", "SELECT nextval('q')",
                                    "DROP SEQUENCE IF EXISTS pg_temp.q",
                                    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 5'",
                                    "SELECT pg_temp.f()", "DROP FUNCTION IF EXISTS pg_temp.f()"))

    # --- advisory locks ---

    def key(self):
        return 1000 * (self.number + 1) + self.random.randrange(3)

    def lock(self):
        key, flag = self.key(), self.one_of("", "", "_shared")
        return self.say(self.one_of(f"SELECT pg_advisory_lock{flag}({key})",
                                    f"SELECT pg_try_advisory_lock{flag}({key})",
                                    f"SELECT pg_advisory_lock{flag}({key}, 1)",
                                    f"SELECT pg_advisory_xact_lock{flag}({key})"))

    def unlock(self):
        key, flag = self.key(), self.one_of("", "", "_shared")
        return self.say(self.one_of(f"SELECT pg_advisory_unlock{flag}({key})",
                                    f"SELECT pg_advisory_unlock{flag}({key}, 1)", "SELECT pg_advisory_unlock_all()",
                                    "SELECT pg_advisory_unlock_all()", f"SELECT talk.unlock_it({key})"))

    def lock_by_function(self):
        return self.say(f"SELECT talk.lock_it({self.key()})")

    def show_locks(self):
        return self.say("SELECT classid, objid, mode FROM pg_locks WHERE locktype = 'advisory' "
                        "AND pid = pg_backend_pid() ORDER BY 1, 2, 3")

    # --- LISTEN ---

    def channel(self):
        return f"talk_{self.number}_{self.random.randrange(2)}"

    def listen(self):
        if self.told_to_listen and self.status == "I" and self.random.random() < 0.3:
            self.told_to_listen = False                 # what is under way must arrive before the ear is closed
            return self.quiet()
        if not self.told_to_listen and self.random.random() < 0.5:
            return self.say(self.one_of(f"UNLISTEN {self.channel()}", "UNLISTEN *"))
        self.told_to_listen = True
        return self.say(f"LISTEN {self.channel()}")

    def notify(self):
        self.serial += 1
        self.told_to_listen = True
        channel = self.channel()
        return self.say(self.one_of(f"NOTIFY {channel}, '{self.serial}'", f"NOTIFY {channel}",
                                    f"SELECT pg_notify('{channel}', '{self.serial}')"))

    def quiet(self):
        return Turn("(quiet)", query("SELECT 'quiet'"), 1, self.status == "I")

    # --- prepared statements of SQL ---

    def sql_name(self):
        return self.one_of("q1", "q2", '"Q 3"')

    def sql_prepare(self):
        return self.say(f"PREPARE {self.sql_name()} " + self.one_of(
            "AS SELECT 'one'", "(int) AS SELECT $1 + 1", "(text, int) AS SELECT $1 || $2",
            f"AS SELECT 'of {self.number}'", "AS SELECT count(*) FROM item", "AS SELECT * FROM pg_temp.x1",
            "AS INSERT INTO item VALUES (999, '1') ON CONFLICT DO NOTHING"))

    def sql_execute(self):
        return self.say(f"EXECUTE {self.sql_name()}{self.one_of('', '(1)', '(2)')}")

    def sql_deallocate(self):
        name = self.one_of("q1", "q2", '"Q 3"', "ALL")
        if name == "ALL":
            self.named = {}
        return self.say(f"DEALLOCATE {self.one_of('', 'PREPARE ')}{name}")

    def show_prepared(self):
        return self.say("SELECT name, parameter_types, from_sql FROM pg_prepared_statements "
                        "WHERE from_sql ORDER BY 1")

    # --- cursors ---

    def cursor_name(self):
        return self.one_of("c1", "c2")

    def cursor(self):
        hold = self.one_of("", "WITH HOLD", "WITH HOLD", "WITHOUT HOLD") if self.status == "T" else "WITH HOLD"
        return self.say(f"DECLARE {self.cursor_name()} {self.one_of('', 'SCROLL ')}CURSOR {hold} FOR "
                        f"SELECT i, {self.random.randrange(9)} FROM generate_series(1, 20) i")

    def fetch(self):
        return self.say(self.one_of(f"FETCH 3 FROM {self.cursor_name()}", f"FETCH {self.cursor_name()}",
                                    f"MOVE 2 IN {self.cursor_name()}", f"FETCH ALL FROM {self.cursor_name()}"))

    def close_cursor(self):
        return self.say(self.one_of(f"CLOSE {self.cursor_name()}", "CLOSE ALL", "CLOSE ALL"))

    def show_cursors(self):
        return self.say("SELECT name, is_holdable FROM pg_cursors WHERE name IN ('c1', 'c2') ORDER BY 1")

    # --- prepared statements of the protocol ---

    TEXTS = (("SELECT * FROM item ORDER BY id", 0), ("SELECT id FROM item WHERE v = $1", 1),
             ("SELECT $1::int + 1, current_user", 1), ("SELECT current_setting('search_path'), $1::text", 1),
             ("SET work_mem = '6MB'", 0), ("SELECT set_config('app.user_id', $1, false)", 1), ("RESET ALL", 0),
             ("INSERT INTO item VALUES ($1, '3') ON CONFLICT (id) DO NOTHING", 1),
             ("SELECT pg_advisory_unlock_all()", 0), ("SELECT coalesce(current_setting('app.user_id', true), '')", 0))

    def prepare(self):
        if self.status == "E":
            return self.plain()
        name = self.one_of("a", "b", "c")
        text, count = self.random.choice(self.TEXTS)
        first = b""
        label = f"Parse {name}: {text}"
        if name in self.named:
            first, label = close("S", name), f"Close {name}, {label}"
        self.named[name] = count
        return Turn(label, first + parse(name, text) + describe("S", name) + sync())

    def use_prepared(self):
        if not self.named or self.status == "E":
            return self.prepare()
        name = self.random.choice(sorted(self.named))
        values = [str(self.random.randrange(100, 199))] * self.named[name]
        return Turn(f"Bind {name} {values}, Execute", bind("", name, values) + describe("P") + execute() + sync())

    def close_prepared(self):
        name = self.one_of("a", "b", "c")
        if self.status == "E":
            return self.plain()
        self.named.pop(name, None)
        if self.random.random() < 0.3:
            return Turn(f"DEALLOCATE {name}", query(f"DEALLOCATE {name}"))
        return Turn(f"Close {name}", close("S", name) + sync())

    def unnamed(self):
        """Parsed in one Sync, used in later ones."""
        if self.status == "E":
            return self.plain()
        text, count = self.random.choice(self.TEXTS)
        use = bind("", "", ["123"] * count) + describe("P") + execute() + sync()
        return Turn(f"Parse unnamed: {text}; twice Bind, Execute", parse("", text) + sync() + use + use, 3)

    def pipeline(self):
        """Several statements without waiting."""
        if self.status == "E":
            return self.plain()
        statements = []
        for _ in range(self.random.randrange(2, 5)):
            name = self.name()
            statements.append(self.one_of(f"SET {name} = {self.value(name)}", "SELECT current_user, session_user",
                                          "SHOW search_path", "SHOW TimeZone", f"RESET {name}",
                                          "SELECT coalesce(current_setting('app.user_id', true), '')"))
        each = self.random.random() < 0.5
        data = b"".join(one_statement(text) + (sync() if each else b"") for text in statements)
        label = f"pipeline{', a Sync each' if each else ''}: " + "; ".join(statements)
        return Turn(label, data + (b"" if each else sync()), len(statements) if each else 1)

    def ddl(self):
        own = f"talk_{self.number}"
        return self.say(self.one_of(f"CREATE INDEX IF NOT EXISTS item_v ON {own}.item (v)",
                                    f"DROP INDEX IF EXISTS {own}.item_v", f"ANALYZE {own}.item",
                                    f"CREATE TABLE {own}.other (a int)", f"DROP TABLE IF EXISTS {own}.other"))
