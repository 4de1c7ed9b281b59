"""begin = deferred where standbys are there: the first statement of a transaction decides where it runs, but for one that is READ
ONLY with reads = marked, which its BEGIN sends to a standby."""

import pytest

from rawwire import errors, query, shape
from test_marked import begin_elsewhere, begin_elsewhere_unasked
from test_marked import start as start_marked
from test_prefer_standby import start as start_preferring
from test_prefer_standby import ports, wait_where, where
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long]


def lent(weir):
    return sum(row["sv_active"] for row in weir.console("SHOW POOLS") if row["database"] == "app")


def begin_unlent(weir, wire, sql="BEGIN"):
    """pgweir itself may have a server for a moment, to read the database's code, as after the test's own CREATE TABLE; or wire has
    one, because pgweir asks what its last statement has left: then BEGIN is sent there."""
    wait_until(lambda: lent(weir) == 0, what="nobody to have a server before")
    assert shape(wire.ask(query(sql))) == "C:BEGIN Z:T"
    wait_until(lambda: lent(weir) == 0, what="nobody to have a server")


def test_a_transaction_that_writes_is_the_primarys(weir, trio):
    """What it has written is behind it then: the next read sees it."""
    wire = start_marked(weir, trio, begin="deferred")
    for n in range(10):
        begin_unlent(weir, wire)
        wire.query(f"INSERT INTO told VALUES ({n})")
        assert where(wire) == trio.primary.port
        wire.query("COMMIT")
        wire.query("BEGIN READ ONLY")
        assert wire.value("SELECT count(*) FROM told") == str(n + 1)
        wire.query("COMMIT")
        begin_unlent(weir, wire, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert where(wire) == trio.primary.port and wire.value("SHOW transaction_isolation") == "repeatable read"
        wire.query("ROLLBACK")


def test_what_is_marked_is_on_a_standby_from_its_begin_on(weir, trio):
    wire = start_marked(weir, trio, begin="deferred")
    for begin in ("BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):
        begin_elsewhere_unasked(wire, trio, begin)
        wire.query("COMMIT")
    wire.query("SET default_transaction_read_only = on")
    begin_elsewhere_unasked(wire, trio, "BEGIN")
    wire.query("COMMIT")
    wire.query("SET default_transaction_read_only = off")
    begin_unlent(weir, wire)
    wire.query("INSERT INTO told VALUES (1)")
    wire.query("COMMIT")


def test_a_position_that_the_session_has_set_is_no_reason_to_leave_the_primary(weir, trio):
    wire = start_marked(weir, trio, begin="deferred")
    wire.query("INSERT INTO told VALUES (1)")
    position = wire.value("SHOW pgweir.lsn")
    wire.query(f"SET pgweir.min_lsn = '{position}'")
    begin_unlent(weir, wire)
    wire.query("INSERT INTO told VALUES (2)")
    wire.query("COMMIT")
    begin_elsewhere(wire, trio)
    assert wire.value("SELECT count(*) FROM told") == "2"
    wire.query("COMMIT")


def test_the_first_statement_chooses_a_standby(weir, trio):
    start_preferring(weir, trio, begin="deferred")
    wire = weir.raw()
    wait_where(wire, trio.standbys)

    def on_standby():
        begin_unlent(weir, wire)
        found = where(wire)
        assert where(wire) == found and wire.value("SHOW transaction_read_only") == ("off" if found == trio.primary.port else "on")
        wire.query("COMMIT")
        return found in ports(trio.standbys)

    wait_until(on_standby, what="a transaction on a standby")
    begin_unlent(weir, wire)
    refused = errors(wire.ask(query("CREATE TABLE pg_catalog.nowhere (i int)")))
    assert [e.sqlstate for e in refused] in (["25006"], ["42501"])
    assert shape(wire.ask(query("COMMIT"))) == "C:ROLLBACK Z:I"


def test_a_standby_that_crashes_before_the_first_statement_costs_nothing(weir, trio):
    """Of the transaction nothing was there."""
    start_preferring(weir, trio, begin="deferred")
    wires = [weir.raw() for _ in range(4)]
    for wire in wires:
        wait_where(wire, trio.standbys)
        wire.query("BEGIN")
    for standby in trio.standbys:
        trio.crash(standby)
    for wire in wires:
        assert where(wire) == trio.primary.port and wire.value("SELECT count(*) FROM pg_class") != "0"
        assert shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"


def test_an_upstream_of_several_hosts_without_reads(weir, trio):
    """Another user reads from its standbys."""
    trio.primary.query("DO $$ BEGIN CREATE ROLE session LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    weir.start({"user session": {"reads": "marked"}}, upstream=trio.upstream(), begin="deferred", cluster_user="web")
    with weir.raw() as wire, weir.raw(user="session") as other:
        other.query("SELECT 1")
        begin_unlent(weir, wire)
        assert where(wire) == trio.primary.port
        wire.query("COMMIT")
