"""Session state in transaction mode, feature by feature: what one client does to its session is there in its later
transactions on whatever server, is never seen by another client, and keeps a server from the others only where it must.

A story is a list of steps: (client, what it says, what it is told). What is told: rows as text; a word that begins with
"!" is an SQLSTATE; None: anything but an error.
"""

import pytest

from leftovers import ask, begin, extended, settle
from rawwire import BEGIN_NOW, Wire, bind, close, describe, errors, execute, one_statement, parse, query, shape, sync, texts
from waiting import each

BOSS = "state_boss"                     # a superuser
ROLE = "state_role"

STARTUP = {
    "a": {},
    "b": {},
    "c": {"TimeZone": "Europe/Berlin", "application_name": "started so", "DateStyle": "German",
          "options": "-c work_mem=5MB -c search_path=pg_catalog -c app.user_id=7"},
    "d": {"TimeZone": "Asia/Tokyo", "DateStyle": "ISO, DMY"},
}


@pytest.fixture(scope="module", autouse=True)
def world(postgres):
    postgres.query(f"CREATE ROLE {BOSS} LOGIN SUPERUSER")
    postgres.query(f"CREATE ROLE {ROLE}")
    postgres.query(f"GRANT {ROLE}, {BOSS} TO web")
    postgres.query("CREATE SCHEMA state_one; CREATE TABLE state_one.kind AS SELECT 'one'::text AS v")
    postgres.query("CREATE SCHEMA state_two; CREATE TABLE state_two.kind AS SELECT 'two'::text AS v")
    postgres.query("CREATE FUNCTION state_one.take(k int) RETURNS void LANGUAGE plpgsql AS "
                   "$$ BEGIN PERFORM pg_advisory_lock(k); END $$")
    postgres.query("CREATE FUNCTION state_one.become(u text) RETURNS void LANGUAGE plpgsql AS "
                   "$$ BEGIN PERFORM set_config('app.user_id', u, false); END $$")
    postgres.query("CREATE FUNCTION state_one.load() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS "
                   "$$ BEGIN PERFORM set_config('session_replication_role', 'replica', false); END $$")
    postgres.query("GRANT USAGE ON SCHEMA state_one, state_two TO PUBLIC; "
                   "GRANT SELECT ON state_one.kind, state_two.kind TO PUBLIC")
    yield
    postgres.query("DROP SCHEMA state_one, state_two CASCADE")
    postgres.query(f"DROP ROLE {BOSS}")
    postgres.query(f"DROP ROLE {ROLE}")


def rows(*values):
    return [[value] for value in values]


def one(value):
    return rows(value)


PREPARE_DATE = "PREPARE p AS SELECT to_char(date '02-01-2026', 'YYYY-MM-DD')"
USER_ID = "SELECT coalesce(current_setting('app.user_id', true), '')"
WHO = "SELECT current_user"


class Prepare:
    """A statement of the protocol."""

    def __init__(self, name, text):
        self.messages = parse(name, text) + sync()


class Run:
    def __init__(self, name, *values):
        self.messages = bind("", name, values) + execute() + sync()


class Bound:
    """One statement with parameters."""

    def __init__(self, text, *values):
        self.messages = one_statement(text, values) + sync()


class Described:
    """Parse and Describe of a statement without executing it; what is told: the type of the description."""

    def __init__(self, text):
        self.messages = parse("d", text) + describe("S", "d") + close("S", "d") + sync()


class Cast:
    """The clients of one story, by name; all log in at the beginning."""

    def __init__(self, weir, names, user, extended):
        self.wires = {name: weir.raw(user, parameters=STARTUP[name]) for name in names}
        self.extended = extended

    def say(self, name, what):
        if isinstance(what, str):
            several = ";" in what.rstrip("; ") and "$" not in what
            what = query(what) if several or not self.extended else one_statement(what) + sync()
        else:
            what = what.messages
        return self.wires[name].ask(what)

    def step(self, name, what, told):
        replies = self.say(name, what)
        failed = [reply.sqlstate for reply in errors(replies)]
        said = what if isinstance(what, str) else type(what).__name__
        if isinstance(what, Described):
            assert told in shape(replies).split(), f"{name}: {said}: {shape(replies)}"
        elif isinstance(told, str):
            assert failed == [told[1:]], f"{name}: {said}: {shape(replies)}"
        else:
            assert not failed, f"{name}: {said}: {errors(replies)[0].error}"
            assert told is None or texts(replies) == told, f"{name}: {said}"


def play(weir, story, extended, user="web"):
    cast = Cast(weir, sorted({name for name, _, _ in story}), user, extended)
    for step in story:
        cast.step(*step)
    return cast


# --- what goes along ---

MOVED = {
    "SET": [
        ("a", "SET search_path = state_one, public", None), ("b", "SELECT v FROM kind", "!42P01"),
        ("b", "SET search_path TO state_two", None), ("a", "SELECT v FROM kind", one("one")),
        ("b", "SELECT v FROM kind", one("two")), ("a", "SHOW search_path", one("state_one, public"))],
    "SET to an empty search path, as pg_dump does": [
        ("a", "SELECT pg_catalog.set_config('search_path', '', false)", one("")), ("b", "SHOW search_path",
                                                                                  one('"$user", public')),
        ("a", "SHOW search_path", one("")), ("a", "SELECT v FROM kind", "!42P01"),
        ("a", "SELECT v FROM state_one.kind", one("one"))],
    "SET with quotes and lists": [
        ("a", "SET search_path = 'state_one', \"$user\"", None), ("b", "SELECT 1", None),
        ("a", "SHOW search_path", one('state_one, "$user"')),
        ("a", "SET search_path = 'state_one, public'", None), ("b", "SELECT 1", None),
        ("a", "SHOW search_path", one('"state_one, public"'))],
    "SET TIME ZONE": [
        ("a", "SET TIME ZONE 'Asia/Tokyo'", None), ("b", "SHOW TimeZone", one("UTC")),
        ("a", "SELECT timestamptz '2020-01-01 00:00+00'", one("2020-01-01 09:00:00+09")),
        ("a", "SET TIME ZONE LOCAL", None), ("b", "SELECT 1", None), ("a", "SHOW TimeZone", one("UTC")),
        ("a", "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", None), ("b", "SHOW TimeZone", one("UTC")),
        ("a", "SELECT timestamptz '2020-01-01 12:00+00'", one("2020-01-01 04:00:00-08"))],
    "SET NAMES": [
        ("a", "SET NAMES 'LATIN1'", None), ("b", "SHOW client_encoding", one("UTF8")),
        ("a", "SHOW client_encoding", one("LATIN1"))],
    "SET SESSION, TO, =, comments and blanks": [
        ("a", "/* x */ set\n session -- y\n work_mem\tTO '7MB';", None), ("b", "SHOW work_mem", one("4MB")),
        ("a", "SHOW work_mem", one("7MB"))],
    "SET of many": [
        ("a", "SET statement_timeout = '5s'; SET lock_timeout = 77; SET extra_float_digits = 0; SET geqo = off", None),
        ("b", "SELECT current_setting('statement_timeout'), current_setting('geqo')", [["0", "on"]]),
        ("a", "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
              "current_setting('extra_float_digits'), current_setting('geqo')", [["5s", "77ms", "0", "off"]])],
    "SET of more than are noted": [
        ("a", "; ".join(f"SET app.s{i} = '{i}'" for i in range(30)), None),
        ("b", "SELECT coalesce(current_setting('app.s29', true), '')", one("")),
        ("a", "SELECT current_setting('app.s0'), current_setting('app.s29')", [["0", "29"]])],
    "SET of a custom setting": [
        ("a", "SET app.user_id = '42'", None), ("b", USER_ID, one("")), ("a", USER_ID, one("42")),
        ("b", "SET app.user_id = 'b''s'", None), ("a", USER_ID, one("42")), ("b", USER_ID, one("b's")),
        ("a", "RESET app.user_id", None), ("b", USER_ID, one("b's")), ("a", USER_ID, one(""))],
    "SET ROLE": [
        ("a", f"SET ROLE {ROLE}", None), ("b", WHO, one("web")), ("a", WHO, one(ROLE)),
        ("a", "RESET ROLE", None), ("b", WHO, one("web")), ("a", WHO, one("web")),
        ("a", f"SET ROLE '{ROLE}'", None), ("b", WHO, one("web")), ("a", "SET ROLE NONE", None),
        ("b", WHO, one("web")), ("a", WHO, one("web"))],
    "SET that fails changes nothing": [
        ("a", "SET work_mem = '7MB'", None), ("a", "SET work_mem = 'much'", "!22023"), ("b", "SELECT 1", None),
        ("a", "SHOW work_mem", one("7MB")), ("a", "SET no_such_setting = 1", "!42704"),
        ("a", "SET ROLE nobody_at_all", "!22023"), ("b", WHO, one("web")), ("a", WHO, one("web"))],
    "set_config of a literal": [
        ("a", "SELECT set_config('app.user_id', '42', false)", one("42")), ("b", USER_ID, one("")),
        ("a", USER_ID, one("42")), ("a", "SELECT set_config('TimeZone', 'Asia/Tokyo', false)", None),
        ("b", "SHOW TimeZone", one("UTC")), ("a", "SHOW TimeZone", one("Asia/Tokyo"))],
    "set_config of a bound parameter": [
        ("a", Bound("SELECT set_config('app.user_id', $1, false)", "it's 42"), None), ("b", USER_ID, one("")),
        ("a", USER_ID, one("it's 42")),
        ("a", Bound("SELECT set_config($1, $2, $3)", "search_path", "state_two", "false"), None),
        ("b", "SHOW search_path", one('"$user", public')), ("a", "SELECT v FROM kind", one("two"))],
    "set_config of the transaction alone": [
        ("a", "SELECT set_config('app.user_id', '42', true)", one("42")), ("b", USER_ID, one("")),
        ("a", USER_ID, one("")), ("a", "BEGIN", None), ("a", "SELECT set_config('app.user_id', '42', true)", None),
        ("a", USER_ID, one("42")), ("a", "COMMIT", None), ("b", USER_ID, one("")), ("a", USER_ID, one(""))],
    "set_config of rows, of the transaction alone (PostGraphile)": [
        ("a", "begin", None),
        ("a", Bound("select set_config(el->>0, el->>1, true) from json_array_elements($1::json) el",
                    f'[["role","{ROLE}"],["app.user_id","42"],["jwt.claims.role","web"],["jwt.claims.exp","1700000000"]]'), None),
        ("a", USER_ID, one("42")), ("a", WHO, one(ROLE)), ("a", "commit", None), ("b", USER_ID, one("")), ("b", WHO, one("web")),
        ("a", USER_ID, one(""))],
    "set_config in a prepared statement": [
        ("a", Prepare("s", "SELECT set_config('app.user_id', $1, false)"), None), ("a", Run("s", "1"), one("1")),
        ("b", USER_ID, one("")), ("a", USER_ID, one("1")), ("a", Run("s", "2"), one("2")), ("b", USER_ID, one("")),
        ("a", USER_ID, one("2"))],
    "set_config in a block": [
        ("a", "DO $$ BEGIN PERFORM set_config('app.user_id', '9', false); END $$", None), ("b", USER_ID, one("")),
        ("a", USER_ID, one("9"))],
    "set_config in a function": [
        ("a", "SELECT state_one.become('77')", None), ("b", USER_ID, one("")), ("a", USER_ID, one("77"))],
    "SET in a prepared statement": [
        ("a", Prepare("s", "SET work_mem = '7MB'"), None), ("a", Run("s"), None), ("b", "SHOW work_mem", one("4MB")),
        ("a", "SHOW work_mem", one("7MB")), ("a", "RESET work_mem", None), ("b", "SELECT 1", None),
        ("a", Run("s"), None), ("b", "SHOW work_mem", one("4MB")), ("a", "SHOW work_mem", one("7MB"))],

    # transactions
    "SET that is committed": [
        ("a", "BEGIN", None), ("a", "SET app.user_id = '1'", None), ("a", "SET work_mem = '7MB'", None),
        ("a", "COMMIT", None), ("b", USER_ID, one("")), ("a", USER_ID, one("1")), ("a", "SHOW work_mem", one("7MB"))],
    "SET that is rolled back": [
        ("a", "SET app.user_id = '1'", None), ("a", "BEGIN", None), ("a", "SET app.user_id = '2'", None),
        ("a", f"SET ROLE {ROLE}", None), ("a", "ROLLBACK", None), ("b", USER_ID, one("")), ("a", USER_ID, one("1")),
        ("a", WHO, one("web"))],
    "SET in a transaction that failed": [
        ("a", "BEGIN", None), ("a", "SET app.user_id = '2'", None), ("a", "SET TimeZone = 'Asia/Tokyo'", None), ("a", "SELECT 1/0", "!22012"),
        ("a", "COMMIT", None), ("b", USER_ID, one("")), ("b", "SHOW TimeZone", one("UTC")),
        ("a", USER_ID, one("")), ("a", "SHOW TimeZone", one("UTC"))],
    "SET in a query that failed": [
        ("a", "SET app.user_id = '2'; SELECT 1/0", "!22012"), ("b", USER_ID, one("")), ("a", USER_ID, one(""))],
    "SET and its transaction in one query": [
        ("a", "BEGIN; SET TimeZone = 'Asia/Tokyo'; SET app.user_id = '2'; COMMIT; SELECT 1", None), ("b", USER_ID, one("")),
        ("b", "SHOW TimeZone", one("UTC")), ("a", "SHOW TimeZone", one("Asia/Tokyo")), ("a", USER_ID, one("2")), ("a", "BEGIN; SET app.user_id = '3'; ROLLBACK", None), ("b", USER_ID, one("")),
        ("a", USER_ID, one("2"))],
    "SET behind a savepoint": [
        ("a", "BEGIN", None), ("a", "SET app.user_id = '1'", None), ("a", "SAVEPOINT s", None),
        ("a", "SET app.user_id = '2'", None), ("a", "ROLLBACK TO s", None), ("a", "COMMIT", None),
        ("b", USER_ID, one("")), ("a", USER_ID, one("1")),
        ("a", "BEGIN", None), ("a", "SAVEPOINT s", None), ("a", "SET app.user_id = '3'", None),
        ("a", "RELEASE s", None), ("a", "COMMIT", None), ("b", USER_ID, one("")), ("a", USER_ID, one("3"))],
    "SET before an error that a savepoint catches": [
        ("a", "BEGIN", None), ("a", "SAVEPOINT s", None), ("a", "SET work_mem = '7MB'", None),
        ("a", "SELECT 1/0", "!22012"), ("a", "ROLLBACK TO s", None), ("a", "SET app.user_id = '5'", None),
        ("a", "COMMIT", None), ("b", "SHOW work_mem", one("4MB")), ("a", "SHOW work_mem", one("4MB")),
        ("a", USER_ID, one("5"))],
    "SET LOCAL": [
        ("a", "BEGIN", None), ("a", "SET LOCAL work_mem = '7MB'", None), ("a", "SET LOCAL app.user_id = '5'", None),
        ("a", f"SET LOCAL ROLE {ROLE}", None), ("a", WHO, one(ROLE)), ("a", "COMMIT", None), ("b", USER_ID, one("")),
        ("a", USER_ID, one("")), ("a", WHO, one("web")), ("a", "SHOW work_mem", one("4MB"))],
    "SET under SET LOCAL": [
        ("a", "BEGIN", None), ("a", "SET work_mem = '6MB'", None), ("a", "SET LOCAL work_mem = '7MB'", None),
        ("a", "COMMIT", None), ("b", "SHOW work_mem", one("4MB")), ("a", "SHOW work_mem", one("6MB"))],
    "COMMIT AND CHAIN": [
        ("a", "BEGIN", None), ("a", "SET app.user_id = '1'", None), ("a", "COMMIT AND CHAIN", None),
        ("a", "SET app.user_id = '2'", None), ("a", "ROLLBACK", None), ("b", USER_ID, one("")),
        ("a", USER_ID, one("1"))],
    "SET SESSION CHARACTERISTICS": [
        ("a", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", None),
        ("b", "SHOW transaction_isolation", one("read committed")),
        ("a", "SHOW transaction_isolation", one("serializable"))],

    # back again
    "RESET gives the client's own startup value": [
        ("c", "SET work_mem = '9MB'", None), ("c", "SET TimeZone = 'UTC'", None), ("c", "SET app.user_id = 'x'", None),
        ("c", "SET application_name = 'other'", None), ("a", "SHOW work_mem", one("4MB")),
        ("c", "RESET work_mem", None), ("c", "SET TimeZone TO DEFAULT", None), ("c", "RESET app.user_id", None),
        ("c", "RESET application_name", None), ("a", "SHOW TimeZone", one("UTC")),
        ("c", "SHOW work_mem", one("5MB")), ("c", "SHOW TimeZone", one("Europe/Berlin")), ("c", USER_ID, one("7")),
        ("c", "SHOW application_name", one("started so"))],
    "RESET ALL gives the client's own startup values": [
        ("c", "SET work_mem = '9MB'", None), ("c", "SET TimeZone = 'UTC'", None), ("c", "SET geqo = off", None),
        ("c", "RESET ALL", None), ("a", "SHOW work_mem", one("4MB")),
        ("c", "SELECT current_setting('work_mem'), current_setting('TimeZone'), current_setting('geqo'), "
              "current_setting('application_name'), current_setting('search_path')",
         [["5MB", "Europe/Berlin", "on", "started so", "pg_catalog"]])],
    "DISCARD ALL gives the client's own startup values": [
        ("c", "SET work_mem = '9MB'", None), ("c", f"SET ROLE {ROLE}", None), ("c", "DISCARD ALL", None),
        ("a", "SHOW work_mem", one("4MB")), ("a", WHO, one("web")), ("c", WHO, one("web")),
        ("c", "SELECT current_setting('work_mem'), current_setting('TimeZone'), current_setting('search_path')",
         [["5MB", "Europe/Berlin", "pg_catalog"]])],
    "RESET that is rolled back": [
        ("a", "SET app.user_id = '1'", None), ("a", "BEGIN", None), ("a", "RESET app.user_id", None),
        ("a", "RESET ALL", None), ("a", "ROLLBACK", None), ("b", USER_ID, one("")), ("a", USER_ID, one("1"))],
    "SET TO DEFAULT that is rolled back": [
        ("c", "SET work_mem = '9MB'", None),
        ("c", "BEGIN; SET geqo = off; SET work_mem = DEFAULT; ROLLBACK", None), ("c", "SHOW work_mem", one("9MB")),
        ("a", "SHOW work_mem", one("4MB")), ("c", "SHOW work_mem", one("9MB")), ("c", "SHOW geqo", one("on"))],
    "RESET ALL leaves the role": [
        ("a", f"SET ROLE {ROLE}", None), ("a", "RESET ALL", None), ("b", WHO, one("web")), ("a", WHO, one(ROLE))],
    "DISCARD ALL in a transaction is refused": [
        ("a", "SET app.user_id = '1'", None), ("a", "BEGIN", None), ("a", "DISCARD ALL", "!25001"),
        ("a", "ROLLBACK", None), ("b", "SELECT 1", None), ("a", USER_ID, one("1"))],
    "RESET among statements that say nothing": [
        ("c", "SET work_mem = '9MB'", None), ("a", "SELECT 1", None),
        ("c", "SET work_mem = DEFAULT; SELECT 1", None), ("c", "SHOW work_mem", one("5MB")),
        ("a", "SELECT 1", None), ("c", "SHOW work_mem", one("5MB"))],

    # statements of the protocol
    "one text, two search paths": [
        ("a", "SET search_path = state_one", None), ("b", "SET search_path = state_two", None),
        ("a", Prepare("s", "SELECT v FROM kind"), None), ("b", Prepare("s", "SELECT v FROM kind"), None),
        ("a", Run("s"), one("one")), ("b", Run("s"), one("two")), ("a", Run("s"), one("one"))],
    "one text, and literals that mean what they mean to the client": [
        ("c", Prepare("s", "SELECT extract(epoch FROM timestamptz '2020-06-01 12:00')::int"), None),
        ("c", Run("s"), one("1591005600")),
        ("d", Prepare("s", "SELECT extract(epoch FROM timestamptz '2020-06-01 12:00')::int"), None),
        ("d", Run("s"), one("1590980400")), ("c", Run("s"), one("1591005600")),
        ("d", Prepare("t", "SELECT to_char(date '02/01/2020', 'YYYY-MM-DD')"), None),
        ("d", Run("t"), one("2020-01-02")),
        ("a", Prepare("t", "SELECT to_char(date '02/01/2020', 'YYYY-MM-DD')"), None),
        ("a", Run("t"), one("2020-02-01")),
        ("d", Run("t"), one("2020-01-02"))],
    "one text, with backslashes and without": [
        ("a", Prepare("s", "SELECT 'a\\\\b'"), None), ("a", Run("s"), one("a\\\\b")),
        ("b", "SET standard_conforming_strings = off", None), ("b", Prepare("s", "SELECT 'a\\\\b'"), None),
        ("b", Run("s"), one("a\\b")), ("a", Run("s"), one("a\\\\b"))],
    "SET and a prepared statement": [
        ("a", Prepare("s", "SELECT current_setting('app.user_id', true), $1::text"), None),
        ("a", "SET app.user_id = '1'", None), ("b", "SET app.user_id = '2'", None),
        ("b", Prepare("s", "SELECT current_setting('app.user_id', true), $1::text"), None),
        ("a", Run("s", "x"), [["1", "x"]]), ("b", Run("s", "y"), [["2", "y"]]), ("a", Run("s", "z"), [["1", "z"]])],

    # what is gone with its transaction needs nothing
    "temporary tables until the commit": [
        ("a", "BEGIN", None), ("a", "CREATE TEMP TABLE t (a int) ON COMMIT DROP", None),
        ("a", "INSERT INTO t VALUES (1)", None), ("a", "COMMIT", None), ("b", "SELECT 1", one("1")),
        ("a", "SELECT * FROM t", "!42P01")],
    "temporary tables that are rolled back": [
        ("a", "BEGIN", None), ("a", "CREATE TEMP TABLE t (a int)", None), ("a", "ROLLBACK", None),
        ("b", "SELECT 1", one("1")), ("a", "SELECT * FROM t", "!42P01")],
    "temporary tables that are dropped in their transaction": [
        ("a", "BEGIN", None), ("a", "CREATE TEMP TABLE t (a int)", None), ("a", "DROP TABLE t", None),
        ("a", "COMMIT", None), ("b", "SELECT 1", one("1"))],
    "advisory locks of the transaction": [
        ("a", "BEGIN", None), ("a", "SELECT pg_advisory_xact_lock(900)", None),
        ("a", "SELECT pg_try_advisory_xact_lock(901)", one("t")), ("a", "COMMIT", None),
        ("b", "SELECT pg_try_advisory_xact_lock(900)", one("t"))],
    "advisory locks that are given back at once": [
        ("a", "SELECT pg_advisory_lock(900); SELECT pg_advisory_unlock(900)", None),
        ("b", "SELECT pg_try_advisory_xact_lock(900)", one("t"))],
    "cursors of the transaction": [
        ("a", "BEGIN", None), ("a", "DECLARE c CURSOR FOR SELECT generate_series(1, 3)", None),
        ("a", "FETCH 2 FROM c", rows("1", "2")), ("a", "COMMIT", None), ("b", "SELECT 1", one("1")),
        ("a", "FETCH c", "!34000")],
    "cursors that would be held, rolled back": [
        ("a", "BEGIN", None), ("a", "DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)", None),
        ("a", "ROLLBACK", None), ("b", "SELECT 1", one("1")), ("a", "FETCH c", "!34000")],
    "words that look like state": [
        ("a", "SELECT 'SET x', 'LISTEN', 'CREATE TEMP TABLE', 'pg_advisory_lock' -- SET ROLE\n/* PREPARE */", None),
        ("b", "SELECT 1", one("1"))],
}


@pytest.mark.sweep(keep=6)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("story", MOVED.values(), ids=MOVED.keys())
@pytest.mark.parametrize("servers", [1, 2])
def test_state_goes_along(weir, story, extended, servers):
    """Between clients of one server, and when servers change."""
    weir.start(pool_size=servers, pool_lifo=False)
    holders = [weir.raw() for _ in range(servers)]
    each(holders).query("BEGIN")
    each(holders).query("COMMIT")
    play(weir, story, extended)


SQL_PREPARED = {                    # each client with such statements keeps its server
    "PREPARE, EXECUTE and DEALLOCATE": [
        ("a", "PREPARE p AS SELECT 'of a'", None), ("b", "EXECUTE p", "!26000"),
        ("b", "PREPARE p AS SELECT 'of b'", None), ("a", "EXECUTE p", one("of a")), ("b", "EXECUTE p", one("of b")),
        ("a", "PREPARE p AS SELECT 1", "!42P05"), ("b", "SELECT 1", None), ("a", "DEALLOCATE p", None),
        ("b", "EXECUTE p", one("of b")), ("a", "EXECUTE p", "!26000"), ("a", "PREPARE p AS SELECT 'new'", None),
        ("b", "EXECUTE p", one("of b")), ("a", "EXECUTE p", one("new"))],
    "PREPARE with types, and EXECUTE with values": [
        ("a", "PREPARE p (int, text) AS SELECT $1 + 1, $2", None), ("b", "SELECT 1", None),
        ("a", "EXECUTE p(41, 'x')", [["42", "x"]]),
        ("b", "PREPARE p (text) AS SELECT $1", None), ("a", "EXECUTE p(1, 'y')", [["2", "y"]])],
    "PREPARE of quoted names": [
        ("a", 'PREPARE "My p" AS SELECT 1', None), ("a", "PREPARE MY_P AS SELECT 2", None), ("b", "SELECT 1", None),
        ("a", 'EXECUTE "My p"', one("1")), ("b", "SELECT 1", None), ("a", "EXECUTE my_p", one("2")),
        ("a", "EXECUTE \"MY_P\"", "!26000")],
    "PREPARE is not transactional": [
        ("a", "BEGIN", None), ("a", "PREPARE p AS SELECT 5", None), ("a", "ROLLBACK", None), ("b", "SELECT 1", None),
        ("a", "EXECUTE p", one("5")), ("a", "BEGIN", None), ("a", "DEALLOCATE p", None), ("a", "ROLLBACK", None),
        ("b", "SELECT 1", None), ("a", "EXECUTE p", "!26000")],
    "a prepared statement with a quote in its name": [
        ("a", 'PREPARE "q""x" AS SELECT 5', None), ("b", "SELECT 1", None), ("a", 'PREPARE "q""x" AS SELECT 6', "!42P05"),
        ("a", 'EXECUTE "q""x"', one("5")), ("b", "SELECT 1", None), ("a", 'DEALLOCATE "q""x"', None),
        ("b", "SELECT 1", None), ("a", 'EXECUTE "q""x"', "!26000")],
    "DEALLOCATE is not transactional": [
        ("a", "PREPARE p AS SELECT 5", None), ("b", "SELECT 1", None), ("a", "BEGIN", None),
        ("a", "DEALLOCATE p", None), ("a", "ROLLBACK", None), ("b", "SELECT 1", one("1")), ("a", "EXECUTE p", "!26000"),
        ("a", "PREPARE p AS SELECT 6", None), ("b", "SELECT 1", one("1")), ("a", "BEGIN", None),
        ("a", "DEALLOCATE ALL", None), ("a", "COMMIT", None), ("b", "SELECT 1", one("1")),
        ("a", "EXECUTE p", "!26000")],
    "DEALLOCATE of an unknown name leaves the others": [
        ("a", "PREPARE p AS SELECT 5", None), ("b", "SELECT 1", None), ("a", "DEALLOCATE q", "!26000"),
        ("b", "SELECT 1", None), ("a", "BEGIN", None), ("a", "DEALLOCATE q", "!26000"), ("a", "ROLLBACK", None),
        ("b", "SELECT 1", None), ("a", "EXECUTE p", one("5"))],
    "a prepared statement whose table is gone": [
        ("a", "BEGIN", None), ("a", "CREATE TEMP TABLE gone (a int) ON COMMIT DROP", None),
        ("a", "PREPARE p AS SELECT * FROM gone", None), ("a", "PREPARE q AS SELECT 7", None), ("a", "COMMIT", None),
        ("b", "SELECT 1", None), ("a", "SELECT 1", one("1")), ("a", "EXECUTE q", one("7")), ("b", "SELECT 1", None),
        ("a", "SELECT name FROM pg_prepared_statements WHERE from_sql AND name = 'q'", one("q")),
        ("b", "SELECT 1", None), ("a", "EXECUTE p", "!42P01"), ("b", "SELECT 1", None),
        ("a", "BEGIN", None), ("a", "SELECT name FROM pg_prepared_statements WHERE from_sql AND name = 'q'", one("q")),
        ("a", "EXECUTE q", one("7")), ("a", "COMMIT", None), ("b", "SELECT 1", None),
        ("a", "BEGIN", None), ("a", "EXECUTE p", "!42P01"), ("a", "EXECUTE q", "!25P02"), ("a", "ROLLBACK", None),
        ("b", "SELECT 1", None), ("a", "DEALLOCATE p", None), ("b", "SELECT 1", None), ("a", "EXECUTE p", "!26000")],
    "DESCRIBE of EXECUTE": [
        ("a", "PREPARE p AS SELECT 5", None), ("b", "SELECT 1", None), ("a", Described("EXECUTE p"), "T"),
        ("b", "SELECT 1", None), ("a", "EXECUTE p", one("5"))],
    "DEALLOCATE ALL and DISCARD ALL take the client's own alone": [
        ("a", "PREPARE p AS SELECT 1", None), ("b", "PREPARE p AS SELECT 2", None), ("a", "DEALLOCATE ALL", None),
        ("b", "EXECUTE p", one("2")), ("a", "EXECUTE p", "!26000"), ("a", "PREPARE p AS SELECT 3", None),
        ("b", "DISCARD ALL", None), ("a", "EXECUTE p", one("3")), ("b", "EXECUTE p", "!26000")],
    "pg_prepared_statements shows the client's own": [
        ("a", "PREPARE p AS SELECT 1", None), ("b", "PREPARE q AS SELECT 2", None),
        ("a", "SELECT name FROM pg_prepared_statements WHERE from_sql", one("p")),
        ("b", "SELECT name FROM pg_prepared_statements WHERE from_sql", one("q"))],
    "a prepared statement is read as when it was prepared": [
        ("a", "SET DateStyle = 'German'", None), ("a", PREPARE_DATE, None), ("a", "SET DateStyle = 'ISO, MDY'", None),
        ("b", "SELECT 1", None), ("a", "EXECUTE p", one("2026-01-02")), ("a", "SHOW DateStyle", one("ISO, MDY")),
        ("a", "BEGIN", None), ("a", "EXECUTE p", one("2026-01-02")),
        ("a", "SHOW DateStyle", one("ISO, MDY")), ("a", "COMMIT", None)],
    "one SQL, prepared by two clients with other settings": [
        ("a", "SET DateStyle = 'German'", None), ("a", PREPARE_DATE, None), ("b", PREPARE_DATE, None),
        ("a", "EXECUTE p", one("2026-01-02")), ("b", "EXECUTE p", one("2026-02-01")), ("a", "EXECUTE p", one("2026-01-02"))],
    "prepared in a transaction that has failed": [
        ("a", "SET DateStyle = 'German'", None), ("a", "BEGIN", None), ("a", PREPARE_DATE, None),
        ("a", "SELECT 1 / 0", "!22012"), ("a", "ROLLBACK", None), ("a", "SET DateStyle = 'ISO, MDY'", None),
        ("b", "SELECT 1", None), ("a", "EXECUTE p", one("2026-01-02"))],
    "a prepared statement follows the search path": [
        ("a", "SET search_path = state_one", None), ("a", "PREPARE p AS SELECT v FROM kind", None),
        ("b", "SELECT 1", None), ("a", "EXECUTE p", one("one")), ("a", "SET search_path = state_two", None),
        ("b", "SELECT 1", None), ("a", "EXECUTE p", one("two")), ("a", "SET search_path = pg_catalog", None),
        ("b", "SELECT 1", None), ("a", "SELECT 1", one("1")), ("a", "EXECUTE p", "!42P01"),
        ("a", "SET search_path = state_one", None), ("b", "SELECT 1", None), ("a", "EXECUTE p", one("one"))],
    "DISCARD PLANS and SEQUENCES": [
        ("a", "PREPARE p AS SELECT 1", None), ("a", "SET app.user_id = '1'", None), ("a", "DISCARD PLANS", None),
        ("a", "DISCARD SEQUENCES", None), ("b", "SELECT 1", None), ("a", "EXECUTE p", one("1")),
        ("a", USER_ID, one("1"))],
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("story", SQL_PREPARED.values(), ids=SQL_PREPARED.keys())
def test_what_sql_has_prepared_is_its_clients_alone(weir, story, extended):
    weir.start(pool_size=2, max_overflow=0, pool_timeout="5s")
    play(weir, story, extended)


AUTHORIZATION = {
    "SET SESSION AUTHORIZATION": [
        ("a", "SET SESSION AUTHORIZATION web", None), ("b", "SELECT session_user", one(BOSS)),
        ("a", "SELECT session_user, current_user", [["web", "web"]]), ("a", f"SET ROLE {ROLE}", None),
        ("b", WHO, one(BOSS)), ("a", "SELECT session_user, current_user", [["web", ROLE]]),
        ("a", "SHOW is_superuser", one("off")), ("b", "SHOW is_superuser", one("on")),
        ("a", "RESET SESSION AUTHORIZATION", None), ("b", WHO, one(BOSS)),
        ("a", "SELECT session_user, current_user", [[BOSS, BOSS]])],
    "SET SESSION AUTHORIZATION after SET ROLE": [
        ("a", f"SET ROLE {ROLE}", None), ("a", "SET SESSION AUTHORIZATION web", None), ("b", WHO, one(BOSS)),
        ("a", "SELECT session_user, current_user", [["web", "web"]])],
    "settings that a superuser made stay where the role may not make them": [
        ("a", "SET log_statement_stats = on", None), ("a", "SET SESSION AUTHORIZATION web", None),
        ("b", "SHOW log_statement_stats", one("off")), ("a", "SHOW log_statement_stats", one("on")),
        ("a", "SELECT current_user", one("web"))],
    "DISCARD ALL after SET SESSION AUTHORIZATION": [
        ("a", "SET SESSION AUTHORIZATION web", None), ("a", "DISCARD ALL", None), ("b", WHO, one(BOSS)),
        ("a", WHO, one(BOSS))],
}


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("story", AUTHORIZATION.values(), ids=AUTHORIZATION.keys())
def test_authorization_goes_along(weir, story, extended):
    weir.users[BOSS] = "unused"
    weir.start(pool_size=1, pool_timeout="5s")
    play(weir, story, extended, BOSS)


# --- what a session of its own has: each row is first played with PostgreSQL ---

SIMILAR = ("a", "SELECT similarity('a', 'b')")          # the library is loaded: its setting is no placeholder
LIMIT = ("a", "SET pg_trgm.similarity_threshold = 0.5")
SHOWN = ("a", "SELECT show_limit()")
TENANT = ("a", "SELECT current_setting('app.tenant', true)")
IDLE = ("b", "SELECT 1")
TRGM = "CREATE EXTENSION pg_trgm"
TENANTS = "ALTER DATABASE own SET app.tenant = 'base'"
PLPGSQL = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'"
CONFIGURATION = ("CREATE SCHEMA cfg; GRANT USAGE ON SCHEMA cfg TO PUBLIC; "
                 "CREATE TEXT SEARCH CONFIGURATION cfg.mine (COPY = simple)")
CONFIGURED_PATH = ("a", "SET search_path = cfg, public")
CONFIGURED = ("a", "SET default_text_search_config = 'mine'")
VECTOR = ("a", "SELECT to_tsvector('The Cats')::text, current_setting('default_text_search_config')")

ALONE = {                               # what the database has, and what A and B say
    "RESET of an extension's setting": (TRGM, [SIMILAR, LIMIT, ("a", "RESET pg_trgm.similarity_threshold"), IDLE, SHOWN]),
    "TO DEFAULT": (TRGM, [SIMILAR, LIMIT, ("a", "SET pg_trgm.similarity_threshold TO DEFAULT"), IDLE, SHOWN]),
    "RESET ALL, as asyncpg's pool sends it": (TRGM, [SIMILAR, LIMIT, ("a", "RESET ALL"), IDLE, SHOWN]),
    "RESET of PL/pgSQL's setting": (PLPGSQL, [
        ("a", "SELECT f()"), ("a", "SET plpgsql.check_asserts = off"), ("a", "RESET plpgsql.check_asserts"), ("b", "SELECT f()"),
        ("a", "SELECT f()")]),
    "RESET to the database's value": (TENANTS, [("a", "SET app.tenant = 'mine'"), ("a", "RESET app.tenant"), IDLE, TENANT]),
    "RESET ALL to the database's values": (TENANTS, [("a", "SET app.tenant = 'mine'"), ("a", "RESET ALL"), IDLE, TENANT]),
    "a custom setting that a library refuses, once another client has loaded it": (TRGM, [
        ("a", "SET pg_trgm.similarity_threshold = 30"), ("b", "SELECT similarity('a', 'b')"), ("a", "SELECT 1")]),
    "one that only superusers make": (PLPGSQL, [
        ("a", "SET plpgsql.variable_conflict = 'use_column'"), ("b", "SELECT f()"), ("a", "SELECT 1")]),
    "a text search configuration by search_path": (CONFIGURATION, [
        CONFIGURED_PATH, CONFIGURED, IDLE, VECTOR]),
    "a text search configuration that another search_path hides": (CONFIGURATION, [
        ("a", "BEGIN"), CONFIGURED_PATH, CONFIGURED, ("a", "SET search_path = public"), ("a", "COMMIT"), IDLE, VECTOR]),
    "temp_buffers where another client has used a temporary table": ("", [
        ("a", "CREATE TEMP TABLE t AS SELECT 1 AS v"), ("a", "DROP TABLE t"), ("b", "SET temp_buffers = '16MB'"),
        ("b", "SHOW temp_buffers"), ("b", "SET temp_buffers = 'much'"), ("b", "SELECT 1")]),
    "temp_buffers ahead of another client's temporary table": ("", [
        ("a", "SET temp_buffers = '16MB'"), ("b", "CREATE TEMP TABLE t AS SELECT 1 AS v"), ("b", "DROP TABLE t"),
        ("a", "SHOW temp_buffers")]),
    "temp_buffers behind a temporary table of its own": ("", [
        ("a", "CREATE TEMP TABLE t AS SELECT 1 AS v"), ("a", "SET temp_buffers = '16MB'"), ("a", "DROP TABLE t"),
        ("a", "SHOW temp_buffers")]),
    "RESET leaves the name": ("", [
        ("a", "SET app.tenant = 'mine'"), ("a", "RESET app.tenant"), ("b", "SET app.tenant = 'other'"),
        ("a", "SELECT current_setting('app.tenant')")]),
}


def told_alone(open_one, steps):
    wires = {"b": open_one(), "a": open_one()}
    settle(wires["b"])
    replies = [wires[name].ask(query(what)) for name, what in steps]
    for wire in wires.values():
        wire.leave()
    return [errors(reply)[0].sqlstate if errors(reply) else texts(reply) for reply in replies]


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.weir_only
def test_settings_are_what_a_session_of_its_own_has(weir, postgres, own, name):
    made, steps = ALONE[name]
    if made:
        postgres.query(made, dbname=own)
    alone = told_alone(lambda: Wire((postgres.host, postgres.port)).login("web", own), steps)
    weir.start({f"database {own}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    assert told_alone(lambda: weir.raw(database=own), steps) == alone


# --- what keeps its server: what makes it so, a question and its answer later on, what ends it ---

REPLICATION = "SHOW session_replication_role"

PINNED = {
    "a temporary table": (["CREATE TEMP TABLE t AS SELECT 5 AS a"], "SELECT a FROM t", one("5"), "DROP TABLE t"),
    "a temporary table made in a transaction": (
        ["BEGIN", "CREATE TEMPORARY TABLE t (a int)", "INSERT INTO t VALUES (6)", "COMMIT"], "SELECT a FROM t",
        one("6"), "DROP TABLE pg_temp.t"),
    "a temporary table that is emptied at the commit": (
        ["CREATE TEMP TABLE t (a int) ON COMMIT DELETE ROWS"], "SELECT count(*) FROM t", one("0"), "DROP TABLE t"),
    "a temporary table made by SELECT INTO": (["SELECT 7 AS a INTO TEMP t"], "SELECT a FROM t", one("7"),
                                              "DISCARD ALL"),
    "a temporary table made as pg_temp.t": (["CREATE TABLE pg_temp.t AS SELECT 8 AS a"], "SELECT a FROM t", one("8"),
                                            "DISCARD TEMP"),
    "a temporary table made in a block": (
        ["DO $$ BEGIN CREATE TEMP TABLE t AS SELECT 5 AS a; END $$"], "SELECT a FROM t", one("5"), "DROP TABLE t"),
    "a temporary table in a schema of the search path": (
        ["SET search_path = pg_temp, public", "CREATE TABLE t AS SELECT 5 AS a"], "SELECT a FROM t", one("5"),
        "DROP TABLE t"),
    "a temporary view": (["CREATE TEMP VIEW w AS SELECT 9 AS a"], "SELECT a FROM w", one("9"), "DROP VIEW w"),
    "a temporary sequence": (["CREATE TEMP SEQUENCE q"], "SELECT nextval('q')", one("1"), "DROP SEQUENCE q"),
    "a temporary function": (["CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 3'"],
                             "SELECT pg_temp.f()", one("3"), "DROP FUNCTION pg_temp.f()"),
    "the last of several temporary tables": (
        ["CREATE TEMP TABLE t (a int)", "CREATE TEMP TABLE u (a int)", "DROP TABLE t"], "SELECT count(*) FROM u",
        one("0"), "DROP TABLE u"),
    "an advisory lock": (["SELECT pg_advisory_lock(900)"], "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                         "AND pid = pg_backend_pid()", one("1"), "SELECT pg_advisory_unlock(900)"),
    "an advisory lock, tried": (["SELECT pg_try_advisory_lock(900)"], "SELECT pg_try_advisory_xact_lock(900)",
                                one("t"), "SELECT pg_advisory_unlock_all()"),
    "a shared advisory lock": (["SELECT pg_advisory_lock_shared(900)"], "SELECT pg_try_advisory_xact_lock(900)",
                               one("t"), "SELECT pg_advisory_unlock_shared(900)"),
    "a shared advisory lock of two keys, tried": (
        ["SELECT pg_try_advisory_lock_shared(9, 9)"], "SELECT pg_try_advisory_xact_lock(9, 9)", one("t"),
        "SELECT pg_advisory_unlock_shared(9, 9)"),
    "an advisory lock taken twice": (
        ["SELECT pg_advisory_lock(900)", "SELECT pg_advisory_lock(900)", "SELECT pg_advisory_unlock(900)"],
        "SELECT pg_try_advisory_xact_lock(900)", one("t"), "SELECT pg_advisory_unlock(900)"),
    "an advisory lock that a rollback does not give back": (
        ["BEGIN", "SELECT pg_advisory_lock(900)", "ROLLBACK"], "SELECT pg_try_advisory_xact_lock(900)", one("t"),
        "SELECT pg_advisory_unlock(900)"),
    "an advisory lock taken by a function": (
        ["SELECT state_one.take(900)"], "SELECT pg_try_advisory_xact_lock(900)", one("t"),
        "SELECT pg_advisory_unlock(900)"),
    "an advisory lock in a block": (
        ["DO $$ BEGIN PERFORM pg_advisory_lock(900); END $$"], "SELECT pg_try_advisory_xact_lock(900)", one("t"),
        "DISCARD ALL"),
    "a cursor WITH HOLD": (["DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)"], "FETCH 2 FROM c",
                           rows("1", "2"), "CLOSE c"),
    "a cursor WITH HOLD of a transaction": (
        ["BEGIN", "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT generate_series(1, 3)", "FETCH c", "COMMIT"],
        "FETCH ALL FROM c", rows("2", "3"), "CLOSE ALL"),
    "a superuser's setting by SET ROLE": (
        [f"SET ROLE {BOSS}", "SET session_replication_role = replica", "RESET ROLE"], REPLICATION, one("replica"), "RESET ALL"),
    "a superuser's setting by SET ROLE, which stays": (
        [f"SET ROLE {BOSS}", "SET session_replication_role = replica"], REPLICATION, one("replica"), "RESET session_replication_role"),
    "a superuser's setting by SET LOCAL ROLE": (
        ["BEGIN", f"SET LOCAL ROLE {BOSS}", "SET session_replication_role = replica", "COMMIT"], REPLICATION, one("replica"), "DISCARD ALL"),
    "a superuser's setting by a SECURITY DEFINER function": (["SELECT state_one.load()"], REPLICATION, one("replica"), "RESET ALL"),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("making, question, answer, ending", PINNED.values(), ids=PINNED.keys())
def test_what_cannot_move_keeps_its_server_until_it_is_gone(weir, making, question, answer, ending, extended):
    weir.start(pool_size=1, pool_timeout="15s")
    cast = Cast(weir, "ab", "web", extended)
    for what in making:
        cast.step("a", what, None)
    other = cast.wires["b"]
    other.send(query("SELECT 'the server is free'"))
    if not weir.direct:
        weir.wait_waiting(1)
    cast.step("a", question, answer)
    if not weir.direct:
        weir.wait_waiting(1)
    cast.step("a", ending, None)
    assert texts(other.read_until("Z")) == one("the server is free")
    cast.step("a", "SELECT 'and again'", one("and again"))


@pytest.mark.sweep(keep=3)
@pytest.mark.weir_only
@pytest.mark.parametrize("making", [making for making, _, _, _ in PINNED.values()], ids=PINNED.keys())
def test_nothing_is_left_on_the_server_of_a_client_that_leaves(weir, making):
    weir.start(pool_size=1, pool_timeout="15s")
    cast = Cast(weir, "ab", "web", False)
    for what in making:
        cast.step("a", what, None)
    cast.wires["a"].leave()
    cast.step("b", "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()), "
                   "(SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()), "
                   "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), "
                   "(SELECT count(*) FROM pg_cursors WHERE name <> ''), current_setting('search_path'), "
                   "current_setting('session_replication_role')", [["0", "0", "0", "0", '"$user", public', "origin"]])


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("making, question, answer, ending", PINNED.values(), ids=PINNED.keys())
def test_a_client_with_state_of_its_own_is_not_disturbed_by_others(weir, making, question, answer, ending, extended):
    """Room for all: a has its server, b and c share the other."""
    weir.start(pool_size=2, pool_timeout="5s")
    cast = Cast(weir, "abc", "web", extended)
    for what in making:
        cast.step("a", what, None)
        cast.step("b", "SELECT 1", one("1"))
    cast.step("c", "SHOW work_mem", one("5MB"))
    cast.step("b", "SHOW work_mem", one("4MB"))
    cast.step("a", question, answer)
    cast.step("a", ending, None)
    cast.step("c", "SHOW work_mem", one("5MB"))


def test_settings_of_a_pinned_client_go_along_when_it_is_free_again(weir):
    weir.start(pool_size=1, pool_timeout="5s")
    play(weir, [
        ("a", "SET app.user_id = '1'", None), ("a", "CREATE TEMP TABLE t (a int)", None),
        ("a", "SET app.user_id = '2'", None), ("a", "SET work_mem = '7MB'", None),
        ("a", Prepare("s", "SELECT 'of the protocol'"), None),
        ("a", "DROP TABLE t", None), ("b", USER_ID, one("")), ("b", "SHOW work_mem", one("4MB")),
        ("a", USER_ID, one("2")), ("a", "SHOW work_mem", one("7MB")), ("a", Run("s"), one("of the protocol"))], False)


def test_discard_tells_reports_at_once(weir):
    """The client's own startup value is what comes back, and with the answer that brought it back."""
    weir.start(pool_size=2, pool_lifo=False)
    wire, other = weir.raw(parameters={"DateStyle": "German", "application_name": "started so"}), weir.raw()

    def reports(sql):
        replies = wire.ask(query(sql))
        other.query("SELECT 1")
        return sorted(reply.parameter for reply in replies if reply.type == "S")

    for back in ("DISCARD ALL", "RESET ALL"):
        assert reports("SET DateStyle = ISO, DMY") == [("DateStyle", "ISO, DMY")]
        assert reports("BEGIN") == []
        assert reports("RESET ALL") == [("DateStyle", "German, DMY")]
        reports("DISCARD ALL")                              # refused: what was set comes back with the rollback
        reports("ROLLBACK")
        assert reports("SHOW DateStyle") == [] and wire.value("SHOW DateStyle") == "ISO, DMY"
        assert reports("SET application_name = ''") == [("application_name", "")]
        assert reports("DISCARD SEQUENCES") == [] and reports("SELECT 1") == []
        assert wire.value("SHOW application_name") == ""
        assert reports(back) == [("DateStyle", "German, DMY"), ("application_name", "started so")]
        assert reports("SELECT 1") == []


def test_reports_are_told_as_postgresql_tells_them(weir):
    """None of what another client has set, none of what pgweir applies, and each of what the client does itself."""
    one_wire, other = weir.start(pool_size=1).raw(parameters={"TimeZone": "Asia/Tokyo"}), weir.raw()

    def reports(wire, sql):
        return [reply.parameter for reply in wire.ask(query(sql)) if reply.type == "S"]

    for _ in range(3):
        assert reports(other, "SELECT 1") == []
        assert reports(one_wire, "SELECT 1") == []
    assert reports(one_wire, "SET TimeZone = 'UTC'") == [("TimeZone", "UTC")]
    assert reports(other, "SELECT 1") == []
    assert reports(one_wire, "SELECT 1") == []
    assert reports(one_wire, "RESET TimeZone") == [("TimeZone", "Asia/Tokyo")]
    assert reports(other, "SET work_mem = '7MB'") == []
    assert reports(one_wire, "BEGIN; SET DateStyle = German") == [("DateStyle", "German, DMY")]
    assert reports(one_wire, "ROLLBACK") == [("DateStyle", "ISO, MDY")]
    assert reports(other, "SELECT 1") == []


@pytest.mark.parametrize("first", ["LATIN1", "UTF8"])
def test_settings_are_replayed_in_the_encoding_of_their_client(weir, first):
    """Whatever the last borrower's encoding was: no byte of the next one's is read in it."""
    weir.start(pool_size=1)
    encodings = [first, "UTF8" if first == "LATIN1" else "LATIN1"]
    clients = [(weir.raw(parameters={"client_encoding": name}), name) for name in encodings]
    for wire, encoding in clients:
        wire.ask(query("SET app.name = 'Müller'".encode(encoding)))
        wire.ask(query("SET application_name = 'x'"))
    for _ in range(2):
        for wire, encoding in clients:
            rows = [reply for reply in wire.ask(query("SELECT current_setting('app.name')")) if reply.type == "D"]
            assert rows[0].body[6:] == "Müller".encode(encoding)
            assert wire.value("SELECT length(current_setting('app.name'))") == "6"


@pytest.mark.parametrize("change", ["SET client_encoding = 'LATIN1'", "SET app.other = 'süß'; SET client_encoding = 'LATIN1'",
                                    "BEGIN; SET app.other = 'süß'; SET client_encoding = 'LATIN1'; COMMIT"])
def test_settings_stay_what_they_are_when_their_client_changes_its_encoding(weir, change):
    wire, other = weir.start(pool_size=1).raw(), weir.raw()
    wire.query("SET app.name = 'Müller'")
    assert errors(wire.ask(query(change))) == []
    for _ in range(2):
        other.query("SELECT 1")
        assert wire.value("SELECT octet_length(current_setting('app.name'))") == "7"
        if "other" in change:
            assert wire.value("SELECT octet_length(current_setting('app.other'))") == "5"
    assert errors(wire.ask(query("SET client_encoding = 'UTF8'"))) == []
    other.query("SELECT 1")
    assert wire.query("SELECT current_setting('app.name')") == [["Müller"]]


def test_a_setting_that_could_not_be_told_in_its_clients_encoding_is_asked_about_again(weir):
    """The question about it fails until the client has another encoding."""
    wire, other = weir.start(pool_size=2).raw(parameters={"client_encoding": "LATIN1"}), weir.raw()
    wire.send(query("BEGIN"), query("SET LOCAL client_encoding = 'UTF8'"),
              query("SELECT set_config('app.name', '\u4e00', false)"), query("COMMIT"))
    assert errors(wire.read_until("Z", 4)) == []
    for meanwhile in ("SET work_mem = '5MB'", "SELECT 1"):
        assert [failed.sqlstate for failed in errors(wire.ask(query("SELECT current_setting('app.name')")))] == ["22P05"]
        wire.query(meanwhile)
    wire.query("SET client_encoding = 'UTF8'")
    for _ in range(2):
        other.query(BEGIN_NOW)
        assert wire.query("SELECT current_setting('app.name', true)") == [["\u4e00"]]
        other.query("COMMIT")


@pytest.mark.parametrize("request_", [query("EXECUTE p('a')"), query("EXECUTE p('a'); SELECT 1"), query("SELECT 1; EXECUTE p('a')"),
                                      one_statement("EXECUTE p(lower('A'))") + sync()])
def test_a_custom_setting_that_an_executed_statement_sets(weir, request_):
    """Its name stands in the statement alone."""
    weir.start(pool_size=2, pool_lifo=False)
    shown = "SELECT coalesce(current_setting('app.x', true), '')"
    with weir.raw() as wire, weir.raw() as other:
        wire.query("PREPARE p (text) AS SELECT set_config('app.x', '9', false), $1")
        other.query("SELECT 1")
        wire.ask(request_)
        for _ in range(2):
            assert wire.value(shown) == "9"
            assert other.value(shown) == ""


NAMED = {                           # what sets app.own by a name that the SQL has, and nothing else tells
    "a call": [query("SELECT set_ctx('app.own', 'A')")],
    "a call that was seen before": [query("SELECT set_ctx('app.other', 'B')"), query("SELECT set_ctx('app.third', 'B')"),
                                    query("SELECT set_ctx('app.own', 'A')")],
    "another case": [query("SELECT set_ctx(N'App.Own', 'A')")],
    "CALL": [query("CALL proc_ctx('app.own', 'A')")],
    "FROM": [query("SELECT 1 FROM set_ctx('app.own', 'A') AS f")],
    "VALUES": [query("VALUES (set_ctx('app.own', 'A'))")],
    "among others": [query("SELECT 1; SELECT set_ctx(a, b) FROM (VALUES ('app.other', 'B'), ('app.own', 'A')) AS v(a, b)")],
    "a Parse": [extended("SELECT set_ctx('app.own', 'A')")],
    "a Parse that is used again": [parse("s", "SELECT set_ctx('app.own', $1)") + sync(), bind("", "s", ["B"]) + execute() + sync(),
                                   bind("", "s", ["A"]) + execute() + sync()],
}


@pytest.fixture
def context(postgres, own):
    postgres.query("""CREATE FUNCTION set_ctx(k text, v text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config(k, v, false); END $$;
                      CREATE PROCEDURE proc_ctx(k text, v text) LANGUAGE plpgsql AS $$ BEGIN PERFORM set_ctx(k, v); END $$""", dbname=own)
    return "SELECT coalesce(current_setting('app.own', true), '')"


@pytest.mark.parametrize("name", NAMED)
def test_a_custom_setting_that_a_function_sets_by_a_name_in_the_sql(weir, own, context, name):
    other, client = begin(weir, own)
    for message in NAMED[name]:
        ask(client, message)
    for _ in range(2):
        assert other.value(context) == ""
        assert client.value(context) == "A"


def test_a_client_whose_sql_has_too_many_such_names_keeps_its_server(weir, own, context):
    other, client = begin(weir, own, servers=2)
    client.query("SELECT " + ", ".join(f"set_ctx('app.s{n}', 'B')" for n in range(64)) + ", set_ctx('app.own', 'A')")
    assert (other.value(context), client.value(context)) == ("", "A")
    assert [pin["reasons"] for pin in weir.console("SHOW PINS")] == ["session_set (of an unknown name)"]


AS_TEXT = "SELECT set_config('app.user_id', $1::text, false)"
BOUND = {                           # type, value, its format; as text
    "a long in binary, as JDBC sends it": (20, b"12345678", 1, "3544952156018063160"),
    "one whose bytes are digits": (23, b"1234", 1, "825373492"),
    "a truth value, as psycopg sends it": (16, b"t", 0, "true"),
    "a date": (1082, b"May 1 2020", 0, "2020-05-01"),
    "text in binary": (25, b"1234", 1, "1234"),
}


@pytest.mark.parametrize("name", BOUND)
def test_a_bound_value_is_what_postgresql_makes_of_it(weir, name):
    """Elsewhere, too."""
    kind, value, fmt, text = BOUND[name]
    one, two = weir.start(pool_size=1, max_overflow=0).raw(), weir.raw()
    replies = one.ask(parse("", AS_TEXT, [kind]) + bind("", "", [value], [fmt]) + execute() + sync())
    assert texts(replies) == [[text]]
    two.query("SET app.user_id = 'two'")
    assert one.value("SELECT current_setting('app.user_id')") == text
