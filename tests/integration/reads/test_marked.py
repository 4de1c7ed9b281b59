"""reads = marked: what ties a client to the primary, and what happens to those that wait for a host."""

import os
import select
import signal
import time

import pytest

import rawwire
from rawwire import bind, close, describe, execute, one_statement, parse, query, sync
from waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


def start(weir, trio, sections=None, **settings):
    trio.primary.query("DROP TABLE IF EXISTS told; CREATE TABLE told (n int); GRANT ALL ON told TO web")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    weir.start(sections, upstream=trio.upstream(), **{"reads": "marked", "cluster_user": "web", "pool_size": 4, **settings})
    wire = weir.raw()
    wait_until(lambda: reads_elsewhere(wire, trio), what="a block on a standby")
    return wire


def reads_elsewhere(wire, trio):
    wire.query("BEGIN READ ONLY")
    port = where(wire)
    wire.query("COMMIT")
    return port != trio.primary.port


def where(wire):
    return int(wire.query("SELECT inet_server_port()")[0][0])


def begin_elsewhere(wire, trio):
    """Begins a READ ONLY block that a standby answers, and returns that standby. The primary answers where no connection to one
    is idle, as when it was just returned, or while nobody knows how far they are."""
    def began():
        wire.query("BEGIN READ ONLY")
        port = where(wire)
        found = [standby for standby in trio.standbys if standby.port == port]
        if not found:
            wire.query("COMMIT")
        return found

    return wait_until(began, what="a block on a standby")[0]


def begin_elsewhere_unasked(wire, trio, begin="BEGIN READ ONLY"):
    """The same, with nothing behind its BEGIN: PostgreSQL's list tells where it is."""
    def began():
        wire.query(begin)
        found = [standby for standby in trio.standbys if standby.backends(usename="web", state="idle in transaction")]
        if not found:
            wire.query("COMMIT")
        return found

    return wait_until(began, what="a block on a standby")[0]


@pytest.fixture(name="catching")
def catching_client(weir, trio):
    """Makes a client whose BEGIN READ ONLY, behind the SQL in first, waits for a standby since wire.asked_at, for six seconds at
    most. limits: settings under which nothing is done but that."""
    def make(*first, limits=None, **settings):
        settings = {"reads_wait": "6s", "reads_max_lag": "1h", **settings}
        wire = start(weir, trio, **settings)
        for sql in first:
            wire.query(sql)
        for standby in trio.standbys:
            trio.pause(standby)
        if limits:
            wire.leave()
            weir.reload(upstream=trio.upstream(), reads="marked", cluster_user="web", pool_size=4, **settings, **limits)
            wire = weir.raw()
        wire.query("INSERT INTO told VALUES (1)")
        wait_until(lambda: waits(wire), what="a BEGIN that is caught")
        return wire

    def waits(wire):
        """False: the primary has answered, as it does when no connection to a standby is idle yet."""
        wire.asked_at = time.monotonic()
        wire.send(query("BEGIN READ ONLY"))
        if wire.has_nothing_more():
            return True
        wire.read_until("Z")
        wire.query("ROLLBACK")
        return False

    yield make
    for standby in trio.standbys:
        trio.resume(standby)


def test_clients_that_read_in_turn_are_spread_over_the_standbys(weir, trio):
    """Nothing is lent when any of them asks. Whenever one standby is not known to be near, the other one has them all."""
    start(weir, trio).leave()

    def are_spread():
        found = []
        for _ in range(16):
            weir.raw()                      # of each pair of sessions one reads
            wire = weir.raw()
            found.append(begin_elsewhere(wire, trio))
            wire.query("COMMIT")
        return all(found.count(standby) > 3 for standby in trio.standbys)

    wait_until(are_spread, what="each standby to have some of 16 clients in turn")


def test_queries_of_one_byte(weir, trio):
    """Without their NUL, of a client that waits for the primary to show what a standby has: each is kept in a block of its size."""
    wire = start(weir, trio)
    for body in (b"", b"b", b"s", b";"):
        begin_elsewhere(wire, trio)
        wire.query("COMMIT")
        wire.send(rawwire.message("Q", body))
        assert [reply.sqlstate for reply in rawwire.errors(wire.read_until("Z"))] == ["08P01"]


def test_reads_are_switched_off_by_a_reload(weir, trio):
    wire = start(weir, trio)
    weir.reload(upstream=trio.upstream(), reads="primary", pool_size=4)
    wire.query("BEGIN READ ONLY")
    assert where(wire) == trio.primary.port
    wire.query("COMMIT")
    weir.reload(upstream=trio.upstream(), reads="marked", cluster_user="web", pool_size=4)
    wait_until(lambda: reads_elsewhere(wire, trio), what="a block on a standby")


def test_what_a_client_wrote_while_its_reads_were_switched_off(weir, trio):
    """The pool goes on reading on standbys, for others: what is known of them stays."""
    wire = start(weir, trio, reads_max_lag="1h")
    others = {"reads": "marked", "cluster_user": "web", "pool_size": 4, "reads_max_lag": "1h"}
    for standby in trio.standbys:
        trio.pause(standby)
    try:
        weir.reload({"user web": {"reads": "primary"}}, upstream=trio.upstream(), **others)
        wire.query("INSERT INTO told VALUES (1)")
        weir.reload(upstream=trio.upstream(), **others)
        wire.query("BEGIN READ ONLY")
        assert wire.query("SELECT n FROM told") == [["1"]]
    finally:
        for standby in trio.standbys:
            trio.resume(standby)


def test_a_reload_while_a_client_waits_for_a_standby(weir, trio, catching):
    wire = catching()
    weir.reload(upstream=trio.upstream(), reads="primary", pool_size=4)
    wire.read_until("Z")
    assert wire.query("SELECT n FROM told") == [["1"]]


def test_a_cancel_while_a_client_waits_for_a_standby(weir, catching):
    wire = catching()
    begin = time.monotonic()
    rawwire.Wire(weir.address).send(rawwire.cancel_request(wire.key))
    replies = wire.read_until("Z")
    assert [reply.sqlstate for reply in rawwire.errors(replies)] == ["57014"] and replies[-1].status == "I"
    assert time.monotonic() - begin < 4 * SLOWNESS
    assert wire.query("SELECT n FROM told") == [["1"]]
    canceled = wait_until(lambda: [line for line in weir.slow_lines() if line["event"] == "canceled"], what="a line of its end")
    assert canceled[0]["wait_ms"] <= (time.monotonic() - wire.asked_at) * 1000      # not since the machine has started


def test_what_a_client_sends_while_it_waits_for_a_standby_is_bounded(catching):
    """Its request is looked at again each millisecond, and no more is read for that."""
    wire = catching()
    wire.sock.setblocking(False)
    more, sent = query("SELECT 1") * 10_000, 0
    while sent < 64 << 20 and select.select([], [wire.sock], [], SLOWNESS)[1]:
        sent += wire.sock.send(more)
    assert sent < 64 << 20


@pytest.mark.parametrize("sql", ["DECLARE c CURSOR WITH HOLD FOR SELECT 1", "PREPARE p AS SELECT 1", "LOCK TABLE told IN ROW SHARE MODE",
                                 "SET pgweir.pin = on"])
@pytest.mark.parametrize("how", ["block", "request", "default"])
def test_what_only_the_primary_may_keep(weir, trio, sql, how):
    """The client keeps the server that has it, and writes there later."""
    if how == "default" and sql.startswith("LOCK"):
        pytest.skip("LOCK needs a block")
    wire = start(weir, trio)
    if how == "block":
        wire.query("BEGIN READ ONLY", sql)
    elif how == "request":
        wire.send(one_statement("BEGIN READ ONLY") + one_statement(sql) + sync())
        assert not rawwire.errors(wire.read_until("Z"))
    else:
        wire.query("SET default_transaction_read_only = on")
        wait_until(lambda: where(wire) != trio.primary.port)
        wire.query(sql, "SET default_transaction_read_only = off")
    assert where(wire) == trio.primary.port
    if how != "default":
        wire.query("COMMIT")
    assert wire.query("INSERT INTO told VALUES (1)", "SELECT n FROM told") == [["1"]]


ASKS = {"SET": query("SET pgweir.pin = on"), "parameters": parse("", "SELECT set_config($1, $2, false)") +
        bind("", "", ("pgweir.pin", "on")) + execute() + sync()}


@pytest.mark.parametrize("how", ASKS)
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_who_asks_for_a_server_on_a_standby_keeps_the_primarys(weir, trio, how, end):
    """Where its transaction has to stay there. A client that kept the standby could neither write nor take it back."""
    wire = start(weir, trio)
    standby = begin_elsewhere(wire, trio)
    assert not rawwire.errors(wire.ask(ASKS[how]))
    assert where(wire) == standby.port
    wire.query(end)
    assert wire.query("INSERT INTO told VALUES (1)", "SELECT n, inet_server_port() FROM told") == [["1", str(trio.primary.port)]]
    assert [row["reasons"] for row in weir.console("SHOW PINS")] == (["asked_for"] if end == "COMMIT" else [])
    wire.query("SET pgweir.pin = off")
    wait_until(lambda: reads_elsewhere(wire, trio), what="a block on a standby")


@pytest.mark.parametrize("sql", ["SELECT pg_try_advisory_lock(4711)", "SELECT pg_export_snapshot()"])
def test_a_prepared_statement_that_only_the_primary_may_run(weir, trio, sql):
    """READ ONLY by default: the Bind's own bytes do not tell."""
    wire = start(weir, trio)
    wire.query("SET default_transaction_read_only = on")
    wait_until(lambda: where(wire) != trio.primary.port)
    wire.send(rawwire.parse("locks", sql) + sync())
    wire.read_until("Z")
    for _ in range(3):
        wire.send(rawwire.bind("", "locks") + rawwire.execute() + sync())
        assert not rawwire.errors(wire.read_until("Z"))
    assert bool(trio.primary.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", dbname="app")) == ("lock" in sql)


OF_THE_PRIMARY = ["SELECT last_value FROM counts", "SELECT last_value::int FROM counts", "SELECT max(last_value) FROM pg_sequences",
                  "SELECT pg_sequence_last_value('counts')", "SELECT count(*) FROM pg_prepared_xacts",
                  "SELECT pg_cancel_backend(pid) FROM found", "SELECT pg_terminate_backend(pid) FROM found"]


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("sql", OF_THE_PRIMARY)
def test_what_a_standby_would_answer_otherwise_is_the_primarys(weir, trio, sql, protocol):
    """Without an error: its sequences, prepared transactions and sessions are others, or lag."""
    trio.primary.query("DROP SEQUENCE IF EXISTS counts; CREATE SEQUENCE counts; GRANT ALL ON counts TO web; DROP TABLE IF EXISTS found; "
                       "CREATE TABLE found (pid int); GRANT ALL ON found TO web")
    wire = start(weir, trio)
    if protocol == "prepared":
        wire.ask(parse("named", sql), sync())
    for _ in range(3):
        begin_elsewhere_unasked(wire, trio)
        wire.send({"simple": query(sql), "extended": one_statement(sql) + sync(), "prepared": bind("", "named") + execute() + sync()}[protocol])
        assert not rawwire.errors(wire.read_until("Z"))
        assert where(wire) == trio.primary.port
        wire.query("COMMIT")
    begin_elsewhere_unasked(wire, trio)
    wire.query("SELECT last_value(n) OVER () FROM told")
    assert where(wire) != trio.primary.port         # it is the window function
    wire.query("COMMIT")


# A standby executes it until it is ended; the primary answers at once.
SLEEP = "SELECT inet_server_port(), pg_sleep(CASE WHEN pg_is_in_recovery() THEN 60 ELSE 0 END)"


def sleeps_on_a_standby(weir, wire, trio, message):
    """Sends SLEEP in a READ ONLY block until a standby executes it. Returns that, and what will be the replies."""
    def begun():
        wire.query("BEGIN READ ONLY")
        wire.send(message)
        answer = weir.in_background(wire.read_until, "Z")
        found = wait_until(lambda: [standby for standby in trio.standbys if standby.backends(query=SLEEP, state="active")] or
                           answer.done())
        if found is not True:
            return found[0], answer
        wire.query("COMMIT")
        return None

    return wait_until(begun, what="a read on a standby")


def test_a_standby_ends_while_it_answers(weir, trio):
    """FATAL 57P01 before anything but the BEGIN was shown: the primary answers."""
    wire = start(weir, trio)
    standby, answer = sleeps_on_a_standby(weir, wire, trio, query(SLEEP))
    standby.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = %s AND state = 'active'", (SLEEP,),
                  dbname="postgres")
    replies = answer.result()
    assert not rawwire.errors(replies) and replies[-1].status == "T"
    assert rawwire.texts(replies)[0][0] == str(trio.primary.port)
    wire.query("COMMIT")


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("sql, sqlstate", [("SELECT nobody()", "42883"), ("SELECT locks_and_fails()", "40001"), ("SELECT n FROM only_there", None)])
def test_a_standby_that_refuses_keeps_its_connection(weir, trio, sql, sqlstate, protocol):
    """What has failed there is rolled back and washed off; the primary answers."""
    trio.primary.query("DROP TABLE IF EXISTS only_there; CREATE OR REPLACE FUNCTION locks_and_fails() RETURNS void LANGUAGE plpgsql AS "
                       "$$ BEGIN PERFORM pg_advisory_lock(39); RAISE SQLSTATE '40001'; END $$")
    wire = start(weir, trio, reads_max_lag="1h")

    def backends(condition="true"):
        return {(standby.port, *row) for standby in trio.standbys for row in standby.query(
            "SELECT pid FROM pg_stat_activity WHERE usename = 'web' AND datname = 'app' AND " + condition, dbname="postgres")}

    def stay():
        """Until the primary has said what its code could leave in a session, a standby's connection is closed after use."""
        before = backends()
        begin_elsewhere(wire, trio)
        wire.query("COMMIT")
        wait_until(lambda: not backends("state <> 'idle'"), what="the standby's connection at rest")
        return before == backends()

    wait_until(stay, what="connections to stay")
    for standby in trio.standbys:
        trio.pause(standby)
    try:
        trio.primary.query("CREATE TABLE only_there AS SELECT 1 n; GRANT ALL ON only_there TO web")
        before = backends()
        wire.query("BEGIN READ ONLY")
        wire.send(query(sql) if protocol == "simple" else one_statement(sql) + sync())
        replies = wire.read_until("Z")
        assert [reply.sqlstate for reply in rawwire.errors(replies)] == ([sqlstate] if sqlstate else [])
        assert replies[-1].status == ("E" if sqlstate else "T")
        wire.query("ROLLBACK")
        wait_until(lambda: not backends("state <> 'idle'"), what="the standby's connection at rest")
        assert before <= backends()
        assert not [row for standby in trio.standbys for row in standby.query(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'", dbname="postgres")]
    finally:
        for standby in trio.standbys:
            trio.resume(standby)
    wire = weir.raw()
    wait_until(lambda: reads_elsewhere(wire, trio), what="a block on a standby")


OF_A_STANDBY = ("0A000 25006 3F000 40001 40P01 42501 42703 42704 42883 42P01 53100 53200 53300 53400 55000 57P01 57P02 57P03 57P04 58000 "
                "58030 58P01 XX000 XX001 XX002").split()
OF_THE_REQUEST = "P0001 22012 22P02 22023 23505 08006 28000 38000 42601 42804 55P03 57014 HV000".split()


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "SET default_transaction_read_only = on"])
def test_only_what_can_be_a_standbys_own_error_is_run_again(weir, trio, begin, protocol):
    """Whoever calls a function that fails finds by its words where it has run last. What has failed of itself has run once."""
    trio.primary.query("CREATE OR REPLACE FUNCTION fails(state text) RETURNS void LANGUAGE plpgsql AS "
                       "$$ BEGIN RAISE 'on %', current_setting('port') USING errcode = state; END $$")
    start(weir, trio).leave()

    def failed_on(sqlstate):
        with weir.raw() as wire:    # of those who are refused again and again the primary is asked at once
            if "BEGIN" in begin:
                begin_elsewhere_unasked(wire, trio)
            else:
                wire.query(begin)
                wait_until(lambda: where(wire) != trio.primary.port, what="a read on a standby")
            sql = f"SELECT fails('{sqlstate}')"
            wire.send(query(sql) if protocol == "simple" else one_statement(sql) + sync())
            error, = rawwire.errors(wire.read_until("Z"))
            assert error.sqlstate == sqlstate
            return error.error["M"]

    for sqlstate in OF_A_STANDBY:
        assert failed_on(sqlstate) == f"on {trio.primary.port}", sqlstate
    for sqlstate in OF_THE_REQUEST:
        # outside of a block the next one may still be the primary's, as when no connection to a standby is idle
        wait_until(lambda: failed_on(sqlstate) != f"on {trio.primary.port}", what=f"{sqlstate} of a standby")  # pylint: disable=cell-var-from-loop


@pytest.mark.parametrize("outage", ["fail", "hold"])
def test_the_primary_ends_a_connection_that_a_block_moves_to(weir, trio, outage):
    """Before it has read anything: the block goes on on another one, and is still READ ONLY there."""
    wire = start(weir, trio, pool_size=1, on_outage=outage)
    weir.raw().query("INSERT INTO told VALUES (0)")
    begin_elsewhere_unasked(wire, trio)
    backend, = wait_until(lambda: [row for row in trio.primary.backends(usename="web", state="idle")
                                   if "EXECUTE /* pgweir */" not in row["query"]], what="an idle connection")
    os.kill(backend["pid"], signal.SIGSTOP)
    try:
        trio.primary.query("SELECT pg_terminate_backend(%s)", (backend["pid"],), dbname="postgres")
        wire.send(query("INSERT INTO told VALUES (1)"))
        assert wire.has_nothing_more()
    finally:
        os.kill(backend["pid"], signal.SIGCONT)
    replies = wire.read_until("Z")
    assert [reply.error["C"] for reply in rawwire.errors(replies)] == ["25006"] and replies[-1].status == "E"
    assert wire.query("ROLLBACK", "SELECT max(n) FROM told") == [["0"]]


def test_show_reads_tells_where_statements_went_and_why(weir, trio):
    wire = start(weir, trio, reads_max_lag="1h", reads_wait="50ms", sections={"slow_query": {"query_stats": "on"}})

    def shown(sql, why):
        return sum(int(row[why]) for row in weir.console("SHOW READS") if row["query"] == sql)

    def marked(wire, sql):
        wire.query("BEGIN READ ONLY")
        wire.query(sql)
        wire.query("COMMIT")

    def wait_shown(wire, sql, like, why):
        wait_until(lambda: marked(wire, sql) or shown(like, why), what=f"{why} in SHOW READS")

    wait_shown(wire, "SELECT 1", "SELECT ?", "standby")
    wire.query("SELECT 'not marked'")
    assert shown("SELECT ?", "not_marked") == 1
    for standby in trio.standbys:
        trio.pause(standby)
    wire.query("INSERT INTO told VALUES (1)")
    wait_shown(wire, "SELECT 'behind'", "SELECT ?", "behind")
    for standby in trio.standbys:
        trio.resume(standby)
    wire.query("LISTEN told")
    marked(wire, "SELECT 'tied'")
    wire.query("UNLISTEN told")
    assert shown("SELECT ?", "tied") == 1
    wait_shown(wire, "SELECT 1, 1", "SELECT ?, ?", "standby")       # not any more
    wire.query("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;")       # asyncpg's pool resets it so
    wait_shown(wire, "SELECT 1, 1, 1", "SELECT ?, ?, ?", "standby")
    wait_shown(wire, "SELECT pg_advisory_xact_lock(5)", "SELECT pg_advisory_xact_lock(?)", "primary_only")
    wait_shown(weir.raw(), "SELECT txid_current()", "SELECT txid_current()", "refused")     # no standby has numbers for transactions
    assert shown("INSERT INTO told VALUES (?)", "not_marked") == 1
    assert len(weir.console("SHOW READS 2")) == 2
    for row in weir.console("SHOW READS"):
        assert int(row["calls"]) == sum(int(row[why]) for why in list(row)[5:-1])
    assert "has not executed a request" not in weir.log()


def test_show_reads_tells_connections_that_are_lent_from_those_that_are_being_opened(weir, trio):
    wire = start(weir, trio, pool_size=1, reads_max_lag="1h", sections={"slow_query": {"query_stats": "on"}})

    def read_behind_a_reconnect():
        weir.console("RECONNECT")
        in_block(wire, "SELECT 'none is there', 1")
        return counted(weir, "SELECT ?, ?", "connecting")

    def read():
        in_block(wire, "SELECT 'all are lent', 2, 3")
        return counted(weir, "SELECT ?, ?, ?", "busy")

    wait_until(read_behind_a_reconnect, what="connecting in SHOW READS")
    for _ in trio.standbys:
        begin_elsewhere(weir.raw(), trio)
    wait_until(read, what="busy in SHOW READS")
    assert counted(weir, "SELECT ?, ?, ?", "connecting") == 0


def shut_down(trio, standby):
    """At once: WARNING 57P01, and the link breaks. RowDescription comes with that."""
    trio.stop(standby, signal.SIGQUIT)


def crash_beside(_, standby):
    """WARNING 57P02."""
    other = standby.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'", dbname="postgres")
    standby._drop_kept()    # pylint: disable=protected-access
    os.kill(other, signal.SIGKILL)


def crash(trio, standby):
    trio.crash(standby)


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("parsed", [False, True], ids=["query", "parsed"])
@pytest.mark.parametrize("how", [shut_down, crash_beside, crash])
def test_a_standby_crashes_while_it_answers(weir, trio, how, parsed):
    """The client was shown nothing, or was told by pgweir that its statement is there."""
    wire = start(weir, trio)
    if parsed:
        wire.ask(parse("p", SLEEP), sync())
        wait_until(lambda: knows_statement(wire, trio), what="a standby that has the statement")
    standby, answer = sleeps_on_a_standby(weir, wire, trio, query(SLEEP) if not parsed else
                                          close("S", "p") + parse("p", SLEEP) + bind("", "p") + describe("P") + execute() + sync())
    how(trio, standby)
    replies = answer.result()
    assert rawwire.shape(replies) == ("3 1 2 T D C:SELECT 1 Z:T" if parsed else "T D C:SELECT 1 Z:T")
    assert rawwire.texts(replies)[0][0] == str(trio.primary.port)
    assert not [reply for reply in replies if reply.type == "N"]
    assert wire.extended("SELECT 1", name="q") == [["1"]]
    if parsed:
        assert wire.ask(bind("", "p") + execute() + sync())[-1].status == "T"
    wire.query("COMMIT")


@pytest.mark.parametrize("code", ["57P01", "57P02"])
def test_a_functions_warning_does_not_take_a_read_off_its_standby(weir, trio, code):
    """An immediate shutdown sends such a warning; a function can, too, and only PostgreSQL's routine tells them apart."""
    trio.primary.query("CREATE OR REPLACE FUNCTION warns(code text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
                       "RAISE WARNING 'terminating connection due to immediate shutdown command' USING errcode = code; "
                       "RETURN current_setting('port'); END $$")
    wire = start(weir, trio, reads_max_lag="1h")
    begin_elsewhere_unasked(wire, trio)
    replies = wire.ask(query(f"SELECT warns('{code}')"))
    assert [reply.error["C"] for reply in replies if reply.type == "N"] == [code]
    assert rawwire.texts(replies)[0][0] != str(trio.primary.port)
    wire.query("COMMIT")


def knows_statement(wire, trio):
    """Both standbys, by the client's turns on them."""
    wire.query("BEGIN READ ONLY")
    wire.ask(describe("S", "p"), sync())
    wire.query("COMMIT")
    return all(standby.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'web'", dbname="postgres") for standby in trio.standbys)


def in_block(wire, sql):
    wire.query("BEGIN READ ONLY")
    rows = wire.query(sql)
    wire.query("COMMIT")
    return rows


def counted(weir, query, route):
    return sum(int(row[route]) for row in weir.console("SHOW READS") if row["query"] == query)


COUNT_ALL = {"slow_query": {"query_stats": "on"}}


def test_show_reads_of_a_pinned_client(weir, trio):
    """Its READ ONLY transactions are the primary's since it keeps that server, whatever this was lent for."""
    wire = start(weir, trio, sections=COUNT_ALL)
    wire.query("CREATE TEMP TABLE pin (n int)")
    for _ in range(3):
        in_block(wire, "SELECT n FROM pin WHERE n > 1")
    assert counted(weir, "SELECT n FROM pin WHERE n > ?", "tied") == 3


def test_who_asks_for_a_server_at_its_start_gets_the_primarys(weir, trio):
    start(weir, trio)
    wire = weir.raw(parameters={"options": "-c pgweir.pin=on"})
    wire.query("BEGIN READ ONLY")
    assert where(wire) == trio.primary.port
    wire.query("COMMIT", "INSERT INTO told VALUES (1)")
    assert [row["reasons"] for row in weir.console("SHOW PINS")] == ["asked_for"]
    wire.query("SET pgweir.pin = off")
    wait_until(lambda: reads_elsewhere(wire, trio), what="a block on a standby")


def test_show_reads_of_session_mode(weir, trio):
    weir.start(COUNT_ALL, upstream=trio.upstream(), reads="marked", cluster_user="web", pool_mode="session")
    wire = weir.raw()
    wire.query("SELECT 1")
    for _ in range(3):
        in_block(wire, "SELECT 1, 2")
    assert counted(weir, "SELECT ?, ?", "tied") == 3


def test_show_reads_where_a_reload_has_left_one_host(weir, trio):
    """Nothing is counted for a client that was read from standbys before."""
    wire = start(weir, trio, sections=COUNT_ALL)
    wait_until(lambda: reads_elsewhere(wire, trio), what="a block on a standby")
    weir.reload(COUNT_ALL, upstream=trio.upstream(hosts=[trio.primary]), reads="marked", cluster_user="web")
    assert int(in_block(wire, "SELECT inet_server_port(), 1")[0][0]) == trio.primary.port
    assert counted(weir, "SELECT inet_server_port(), ?", "calls") == 0
