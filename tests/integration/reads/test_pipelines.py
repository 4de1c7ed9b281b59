"""A request in a READ ONLY block goes to the primary as a whole or not at all, and whoever went there owes it to nobody's refusal."""

import time

import pytest

import rawwire
from rawwire import Wire, bind, close, describe, execute, flush, one_statement, parse, query, sync
from test_marked import begin_elsewhere, begin_elsewhere_unasked, reads_elsewhere, start, where
from waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

FOR_PRIMARY = ["SELECT pg_advisory_xact_lock_shared(7)", "SELECT pg_export_snapshot()", "LOCK TABLE told IN ACCESS SHARE MODE",
               "PREPARE later AS SELECT 1"]


def begun(weir, trio, begin="BEGIN READ ONLY", **settings):
    """A client whose block has begun on a standby, with nothing behind its BEGIN."""
    wire = start(weir, trio, **settings)
    begin_elsewhere_unasked(wire, trio, begin)
    return wire


@pytest.mark.parametrize("sql", FOR_PRIMARY)
def test_a_pipeline_has_one_snapshot(weir, trio, sql):
    """pgx: a block of REPEATABLE READ, and a batch of three. The standbys lack a row that the primary has."""
    wire = begun(weir, trio, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", reads_max_lag="1h")
    wire.query("ROLLBACK")
    for standby in trio.standbys:
        trio.pause(standby)
    try:
        trio.primary.query("INSERT INTO told VALUES (1)")
        wire.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        count = one_statement("SELECT 'rows: ' || count(*) FROM told")
        replies = wire.ask(count + one_statement(sql) + count, sync())
        assert not rawwire.errors(replies)
        counts = [row for row in rawwire.texts(replies) if row[0].startswith("rows: ")]
        assert len(counts) == 2 and counts[0] == counts[1]
    finally:
        for standby in trio.standbys:
            trio.resume(standby)


@pytest.mark.parametrize("sql", FOR_PRIMARY)
@pytest.mark.parametrize("before, after, want", [
    (one_statement("SET LOCAL app.tenant = '42'"), one_statement("SELECT current_setting('app.tenant', true)"), ["42"]),
    (one_statement("SAVEPOINT s"), one_statement("ROLLBACK TO s") + one_statement("SELECT 'back'"), ["back"]),
    (parse("", "SELECT generate_series(1, 9)") + bind("p") + execute("p", 2), execute("p", 2), ["4"]),
], ids=["SET LOCAL", "SAVEPOINT", "portal"])
def test_what_comes_ahead_of_it_in_its_pipeline_is_there(weir, trio, sql, before, after, want):
    wire = begun(weir, trio)
    replies = wire.ask(before + one_statement(sql) + after, sync())
    if "SAVEPOINT" in str(before) and "export" in sql:         # PostgreSQL has none there
        assert [reply.sqlstate for reply in rawwire.errors(replies)] == ["25001"]
    else:
        assert not rawwire.errors(replies)
        assert rawwire.texts(replies)[-1] == want


@pytest.mark.parametrize("sql", FOR_PRIMARY)
def test_a_statement_that_was_prepared_before_counts_too(weir, trio, sql):
    """A driver's cache: the SQL is in no message of the pipeline."""
    wire = start(weir, trio)
    wire.ask(parse("first", "SELECT inet_server_port()") + parse("second", sql) + sync())
    begin_elsewhere_unasked(wire, trio)
    replies = wire.ask(bind("", "first") + execute() + bind("", "second") + execute(), sync())
    assert not rawwire.errors(replies)
    assert rawwire.texts(replies)[0] == [str(trio.primary.port)]
    wire.query("COMMIT")


def test_what_only_sounds_like_a_lock_stays(weir, trio):
    """In a name, and in a parameter."""
    trio.primary.query("DROP TABLE IF EXISTS block; CREATE TABLE block (n int); GRANT ALL ON block TO web")
    wire = start(weir, trio)
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    begin_elsewhere_unasked(wire, trio)
    read = one_statement("SELECT inet_server_port(), count(*) FROM block WHERE $1::text <> ''", ["lock table, prepare it with hold"])
    assert rawwire.texts(wire.ask(read + read, sync()))[1][0] != str(trio.primary.port)
    wire.query("COMMIT")


@pytest.mark.parametrize("sql", FOR_PRIMARY + ["DEALLOCATE ALL"])
@pytest.mark.parametrize("fails, error", [(bind("", "nobody's") + execute(), "26000"),
                                          (one_statement("SELECT 1/0, $1::text", ["x" * 70_000]), "22012")], ids=["unknown", "large"])
def test_what_is_skipped_behind_an_error_is_run_nowhere(weir, trio, sql, fails, error):
    wire = begun(weir, trio)
    replies = wire.ask(fails + one_statement(sql), sync())
    assert [reply.sqlstate for reply in rawwire.errors(replies)] == [error]
    assert replies[-1].type == "Z" and replies[-1].status == "E"
    wire.send(query("LOCK TABLE told"))
    assert [reply.sqlstate for reply in rawwire.errors(wire.read_until("Z"))] == ["25P02"]
    assert wire.query("ROLLBACK", "SELECT 1") == [["1"]]


WRITE = "INSERT INTO counted (n) VALUES (1)"
NEXT = "SELECT CASE WHEN false THEN nextval('counted_id_seq') ELSE 1 END"


@pytest.mark.parametrize("is_asked", [True, False])
@pytest.mark.parametrize("begin, sql", [("BEGIN", "LOCK TABLE counted"), ("BEGIN READ ONLY", "SELECT pg_advisory_xact_lock(1)"),
                                        ("BEGIN", WRITE), ("BEGIN", "CREATE TEMP TABLE own (n int)")])
@pytest.mark.parametrize("first, error", [(WRITE, "25006"), (NEXT, None)], ids=["refused", "nextval"])
def test_nobody_lingers_on_a_standby_for_its_sequences(weir, trio, is_asked, begin, sql, first, error):
    """What an application does that was told 25006: the same again, in a block that may write."""
    trio.primary.query("DROP TABLE IF EXISTS counted; CREATE TABLE counted (id serial, n int); GRANT ALL ON counted, counted_id_seq TO web")
    wire = start(weir, trio)
    if is_asked:
        other = weir.raw()
        other.query(WRITE, "SELECT lastval()")
        other.leave()
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    begin_elsewhere(wire, trio)
    wire.send(query(first))
    assert [reply.sqlstate for reply in rawwire.errors(wire.read_until("Z"))] == ([error] if error else [])
    wire.query("ROLLBACK", begin, sql, "COMMIT")
    assert where(wire) == trio.primary.port
    time.sleep(0.1)                             # those that linger are looked at meanwhile
    assert weir.raw().query("SELECT 1") == [["1"]]


def test_standbys_that_have_refused_nothing_are_not_passed_by(weir, trio):
    wire = start(weir, trio)
    for _ in range(12):
        wire.query("BEGIN READ ONLY")
        wire.query("SELECT pg_advisory_xact_lock_shared(7)")
        wire.query("COMMIT")
    wait_until(lambda: reads_elsewhere(wire, trio), timeout=4, what="a block on a standby")     # they would be for ten seconds


@pytest.mark.parametrize("ahead", ["SELECT count(*) FROM told", "SAVEPOINT s"])
def test_a_position_that_comes_too_late_is_refused_in_words_of_its_own(weir, trio, ahead):
    wire = start(weir, trio, reads_max_lag="1h")
    begin_elsewhere(wire, trio)     # first: what the primary shows it behind the INSERT, no standby has
    for standby in trio.standbys:
        trio.pause(standby)
    try:
        writer = weir.raw()
        position = writer.query("INSERT INTO told VALUES (1)", "SHOW pgweir.lsn")[0][0]
        wire.query(ahead)
        wire.send(query(f"SET LOCAL pgweir.min_lsn = '{position}'"))
        assert wire.read().error["M"] == "this transaction reads on a standby that has not reached pgweir.min_lsn"
    finally:
        for standby in trio.standbys:
            trio.resume(standby)


def test_of_two_that_were_prepared_what_has_run_is_there_elsewhere(weir, trio):
    wire = begun(weir, trio)
    wire.ask(parse("one", "SET LOCAL app.tenant = '1'") + parse("two", "SET LOCAL app.tenant = '2'") + bind("", "two") + execute() + sync())
    wire.send(query("SELECT pg_advisory_xact_lock_shared(5)"))
    replies = wire.read_until("ZE")
    if not rawwire.errors(replies):
        assert wire.query("SELECT current_setting('app.tenant')") == [["2"]]


def processor_seconds(weir):
    with open(f"/proc/{weir.process.pid}/stat", encoding="utf-8") as file:
        return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13])) / 100


@pytest.mark.parametrize("unit", [bind("", "long") + flush(), bind("", "long") + describe("P") + execute() + close("P")])
def test_each_message_of_a_pipeline_is_looked_at_once(weir, trio, unit):
    """The rest of the pipeline was looked at again behind each: 0.65 s of processor time for the first of these."""
    wire = start(weir, trio)
    wire.ask(parse("long", "SELECT '" + "x" * 4000 + "'"), sync())
    begin_elsewhere_unasked(wire, trio)
    wire.query("SELECT 1")
    before = processor_seconds(weir)
    assert not rawwire.errors(wire.ask(unit * 1000, sync()))
    assert processor_seconds(weir) - before < 0.3 * SLOWNESS
    wire.query("COMMIT")
    Wire(weir.address).login("web", "app").leave()
