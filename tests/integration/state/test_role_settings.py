"""ALTER ROLE ... SET and ALTER DATABASE ... SET reach the sessions of a pool: connections that began before are replaced as they come
free, of those roles and databases alone that are concerned. What a client has set itself stays."""

import psycopg
import pytest

from leftovers import PID, WORK_MEM, ask, begin
from rawwire import BEGIN_NOW, bind, execute, parse, sync
from waiting import each, wait_until

pytestmark = pytest.mark.weir_only
OLD, NEW = "4MB", "7MB"
TOLD = "has changed the settings that sessions begin with"
SETS = {
    "a role": ("ALTER ROLE web SET work_mem = '7MB'", "ALTER ROLE web RESET work_mem"),
    "a role in a database": ("ALTER ROLE web IN DATABASE own SET work_mem = '7MB'", "ALTER ROLE web IN DATABASE own RESET ALL"),
    "a database": ("ALTER DATABASE own SET work_mem = '7MB'", "ALTER DATABASE own RESET work_mem"),
    "all roles": ("ALTER ROLE ALL SET work_mem = '7MB'", "ALTER ROLE ALL RESET ALL"),
    "all roles in a database": ("ALTER ROLE ALL IN DATABASE own SET work_mem = '7MB'", "ALTER ROLE ALL IN DATABASE own RESET work_mem"),
}


@pytest.fixture(autouse=True)
def _reset(postgres):
    yield
    for who in ("ROLE ALL", "ROLE web", "ROLE reporting", "ROLE web IN DATABASE app", "DATABASE app"):
        postgres.query(f"ALTER {who} RESET ALL", dbname="postgres")


def value(wire, sql=WORK_MEM):
    (found,), = wire.query(sql)
    return found


def wait_for(wire, wanted, sql=WORK_MEM):
    wait_until(lambda: value(wire, sql) == wanted, what=f"{sql} to be {wanted}")


def start(weir, **more):
    wires = begin(weir, "own", **more)
    weir.settle()
    return wires


@pytest.mark.parametrize("what", SETS)
def test_what_another_program_alters_reaches_the_pool(weir, postgres, own, what):
    wire, = start(weir, clients=1)
    assert value(wire) == OLD
    pids = [value(wire, PID)]
    for sql, wanted in zip(SETS[what], (NEW, OLD)):
        postgres.query(sql, dbname="postgres")
        wait_for(wire, wanted)
        pids.append(value(wire, PID))
    assert len(set(pids)) == 3
    weir.wait_log(f"database {own}: ALTER ROLE or ALTER DATABASE {TOLD}: 1 server connection is replaced when free")
    wait_until(lambda: sum(TOLD in row["event"] for row in weir.console("SHOW EVENTS")) == 2)
    assert weir.log().count(TOLD) == 2


@pytest.mark.parametrize("what", ["a role", "a role in a database", "a database"])
def test_what_is_altered_through_pgweir_counts_at_once(weir, own, what):     # pylint: disable=unused-argument
    wire, = start(weir, clients=1)
    for sql, wanted in zip(SETS[what], (NEW, OLD)):
        wire.query(sql)
        assert value(wire) == wanted


def test_it_counts_with_the_commit_and_not_after_a_rollback(weir, own):      # pylint: disable=unused-argument
    wire, = start(weir, clients=1)
    pid = value(wire, PID)
    for end, wanted in (("ROLLBACK", OLD), ("COMMIT", NEW)):
        wire.query("BEGIN")
        wire.query("ALTER ROLE web SET work_mem = '7MB'")
        assert value(wire) == OLD and value(wire, PID) == pid
        wire.query(end)
        assert value(wire) == wanted
        assert (value(wire, PID) == pid) == (wanted == OLD)


def test_the_first_statement_of_a_pool_may_be_one(weir, own):
    """Nothing has been read yet when its server logged in."""
    wire = weir.start({f"database {own}": {"upstream": weir.upstream()}}, pool_size=1).raw(database=own)
    wire.query("ALTER ROLE web SET work_mem = '7MB'")
    assert value(wire) == NEW


def test_those_of_other_roles_and_databases_change_nothing(weir, postgres, own):
    wire, = start(weir, clients=1)
    witness = weir.raw("reporting", own)
    assert value(witness) == OLD
    weir.settle()                           # on its worker, too
    pid = value(wire, PID)
    for sql in ("ALTER ROLE web IN DATABASE app SET work_mem = '8MB'", "ALTER DATABASE app SET work_mem = '8MB'",
                "ALTER ROLE web CONNECTION LIMIT 90", "ALTER ROLE web CONNECTION LIMIT -1"):
        postgres.query(sql, dbname="postgres")
        assert value(wire, PID) == pid
    wire.query("CREATE TABLE t (v int)")
    for wanted in ("5MB", "6MB"):
        postgres.query(f"ALTER ROLE reporting SET work_mem = '{wanted}'", dbname="postgres")
        wait_for(witness, wanted)
        assert value(wire, PID) == pid and value(wire) == OLD
    postgres.query("ALTER ROLE web SET work_mem = '7MB'", dbname="postgres")
    wait_for(wire, NEW)


def test_a_role_of_any_name_is_followed(weir, postgres, own):
    """The answer is the same under any client_encoding."""
    name = 'r\\ö "x"'
    quoted = '"' + name.replace('"', '""') + '"'
    postgres.query(f"CREATE ROLE {quoted} LOGIN", dbname="postgres")
    try:
        weir.users[name] = "secret"
        wire, = start(weir, clients=1, user=name)
        wire.query("SET client_encoding = LATIN1")
        postgres.query(f"ALTER ROLE {quoted} SET work_mem = '7MB'", dbname="postgres")
        wait_for(wire, NEW)
        assert value(wire, "SHOW client_encoding") == "LATIN1"
    finally:
        postgres.query(f"DROP ROLE {quoted}", dbname=own)


# --- what clients have set ---

def test_what_a_client_has_set_stays_and_reset_gives_the_new_default(weir, postgres, own):
    begun, wire, other = start(weir, clients=3)
    wire.query("SET work_mem = '9MB'")
    with psycopg.connect(weir.dsn(database=own, options="-c work_mem=5MB"), autocommit=True) as started:
        def mine():
            return started.execute(WORK_MEM).fetchone()[0]

        assert mine() == "5MB"
        postgres.query("ALTER ROLE web SET work_mem = '7MB'", dbname="postgres")
        wait_for(other, NEW)
        assert value(begun) == NEW and value(wire) == "9MB" and mine() == "5MB"
        started.execute("SET work_mem = '9MB'")
        assert mine() == "9MB"
        started.execute("RESET work_mem")
        assert mine() == "5MB"
    wire.query("RESET work_mem")
    assert value(wire) == NEW
    wire.query("SET work_mem = '9MB'")
    wire.query("DISCARD ALL")
    assert value(wire) == NEW


def test_a_reported_setting_stays_as_a_client_was_told_at_login(weir, postgres, own):
    first, other = start(weir, clients=2)
    zone = value(first, "SHOW TimeZone")
    postgres.query("ALTER ROLE web SET work_mem = '7MB'; ALTER ROLE web SET TimeZone = 'Asia/Tokyo'", dbname="postgres")
    wait_for(other, NEW)
    assert value(first, "SHOW TimeZone") == zone
    late = weir.raw(database=own)
    assert value(late, "SHOW TimeZone") == late.parameters["TimeZone"] == "Asia/Tokyo"
    assert value(first, "SHOW TimeZone") == zone
    first.query("RESET TimeZone")
    assert value(first, "SHOW TimeZone") == zone


@pytest.mark.parametrize("kind", ["text", "int"])
def test_a_prepared_statement_finds_what_the_new_search_path_has(weir, postgres, own, kind):
    """It is prepared on the new connection, where its rows may be of another type."""
    for schema, of, row in (("a", "text", "1"), ("b", kind, "2")):
        postgres.query(f"CREATE SCHEMA {schema} CREATE TABLE t (v {of}); GRANT USAGE ON SCHEMA {schema} TO web; "
                       f"GRANT SELECT ON {schema}.t TO web; INSERT INTO {schema}.t VALUES ('{row}')", dbname=own)
    postgres.query("ALTER ROLE web SET search_path = a", dbname="postgres")
    wire, = start(weir, clients=1)
    ask(wire, parse("s", "SELECT v FROM t") + sync())

    def found():
        return ask(wire, bind("", "s") + execute() + sync())

    assert found() == [["1"]]
    postgres.query("ALTER ROLE web SET search_path = b", dbname="postgres")
    wait_until(lambda: found() == [["2"]])


# --- when ---

@pytest.mark.parametrize("first, last", [
    pytest.param(["BEGIN"], "COMMIT", id="a transaction"),
    pytest.param(["CREATE TEMP TABLE kept (v int)"], "DROP TABLE kept", id="a pin"),
])
def test_what_is_in_use_is_replaced_when_it_is_returned(weir, postgres, own, first, last):      # pylint: disable=unused-argument
    wire, other = start(weir, servers=2)
    for sql in first:
        wire.query(sql)
    pid = value(wire, PID)
    assert value(other) == OLD              # its connection is there, too
    postgres.query("ALTER ROLE web SET work_mem = '7MB'", dbname="postgres")
    wait_for(other, NEW)
    assert value(wire) == OLD and value(wire, PID) == pid
    wire.query(last)
    assert last != "COMMIT" or value(wire) == NEW
    wait_for(wire, NEW)                     # what else is left is asked behind a DROP


def test_a_session_keeps_its_connection_in_session_mode(weir, postgres, own):
    weir.start({f"database {own}": {"upstream": weir.upstream()},
                "database whole": {"upstream": weir.upstream(dbname=own), "pool_mode": "session"}})
    session, other = weir.raw(database="whole"), weir.raw(database=own)
    pid = value(session, PID)
    value(other)
    weir.wait_log(f"database {own}: ")      # the other one is never asked about, on a worker of its own
    postgres.query("ALTER ROLE web SET work_mem = '7MB'", dbname="postgres")
    wait_for(other, NEW)
    assert value(session) == OLD and value(session, PID) == pid


def test_while_no_login_succeeds_connections_in_use_stay(weir, postgres, own):     # pylint: disable=unused-argument
    wire, other = start(weir, servers=2)
    wire.query("BEGIN")
    pid = value(wire, PID)
    assert value(other, PID) != pid

    def use():
        wait_until(lambda: value(other, PID) == pid)

    postgres.query("ALTER ROLE web SET session_preload_libraries = 'nowhere'", dbname="postgres")
    using = weir.in_background(use)
    weir.wait_log("nowhere")
    wire.query("COMMIT")
    using.result()                          # it had none of its own any more
    postgres.query("ALTER ROLE web RESET ALL; ALTER ROLE web SET work_mem = '7MB'", dbname="postgres")
    wait_for(wire, NEW)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_all_workers_follow(weir, postgres, own, workers):      # pylint: disable=unused-argument
    wires = start(weir, servers=12, clients=9, workers=workers)
    each(wires).query("BEGIN")
    each(wires).query("COMMIT")
    weir.settle()                           # on all of them
    for sql, wanted in zip(SETS["a role"], (NEW, OLD)):
        postgres.query(sql, dbname="postgres")
        wait_until(lambda wanted=wanted: {value(wire) for wire in wires} == {wanted})
    wires[0].query(SETS["a role"][0])
    wait_until(lambda: {value(wire) for wire in wires} == {NEW})
    assert weir.metric("pgweir_pool_recycles_total", database="own", reason="age") > 0


def test_a_reload_of_pool_recycle_does_not_keep_what_is_to_be_replaced(weir, postgres, own):
    wire, other = start(weir, servers=2, clients=2)
    wire.query(BEGIN_NOW)
    pid = value(wire, PID)
    postgres.query("ALTER ROLE web SET work_mem = '7MB'", dbname="postgres")
    wait_for(other, NEW)
    weir.reload({f"database {own}": {"upstream": weir.upstream()}}, pool_size=2, max_overflow=0, pool_recycle="2h")
    wire.query("COMMIT")
    other.query(BEGIN_NOW)
    assert (value(wire), value(wire, PID) != pid) == (NEW, True)
