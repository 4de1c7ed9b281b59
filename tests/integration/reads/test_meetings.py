"""reads = marked, and what else there is: timeouts, modes, small pools, restarts, reloads, a watch that can't log in."""

import json
import signal
import time

import pytest

import rawwire
from checker import Run
from rawwire import bind, execute, one_statement, parse, query, sync
from test_checker import SECTIONS, no_violation, through
from test_marked import begin_elsewhere, begin_elsewhere_unasked, catching_client, reads_elsewhere, start, where  # pylint: disable=unused-import
from test_position import newest_on_a_standby
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


def test_timeouts_do_not_count_the_wait_for_a_standby(catching):
    """The request is under way, and nobody works on it: as while it waits for a server, which only pool_timeout ends."""
    names = ("query_timeout", "client_idle_timeout", "idle_transaction_timeout", "pool_timeout")
    wire = catching(reads_wait="5s", limits=dict.fromkeys(names, "2s"))
    assert rawwire.shape(wire.read_until("Z")) == "C:BEGIN Z:T" and 4 < time.monotonic() - wire.asked_at
    assert wire.query("SELECT n FROM told") == [["1"]]
    wire.send(query("SELECT pg_sleep(9)"))
    assert [reply.sqlstate for reply in rawwire.errors(wire.read_until("Z"))] == ["57014"]
    wire.query("ROLLBACK")


def test_statement_timeout_does_not_count_the_wait(catching):
    """It is PostgreSQL's: of the statement alone."""
    wire = catching("SET statement_timeout = '1s'", reads_wait="3s")
    wire.read_until("Z")
    assert wire.query("SELECT n FROM told") == [["1"]]
    wire.send(query("SELECT pg_sleep(9)"))
    assert [reply.sqlstate for reply in rawwire.errors(wire.read_until("Z"))] == ["57014"]


def test_a_pool_of_one(weir, trio):
    """The primary answers where no connection to a standby is idle."""
    wire = start(weir, trio, pool_size=1, reads_wait="5s")
    other, hosts, turn = weir.raw(), set(), 0
    while turn < 5 or "t" not in hosts:         # on a busy machine the primary may answer several in a row
        wire.query(f"INSERT INTO told VALUES ({turn})")
        for standby in trio.standbys if turn >= 5 else ():
            trio.wait_replayed(standby)
        wire.query("BEGIN READ ONLY")
        (newest, is_standby), = wire.query("SELECT max(n), pg_is_in_recovery() FROM told")
        assert newest == str(turn)
        hosts.add(is_standby)
        if is_standby == "f":                   # it holds the only connection to the primary
            wire.query("COMMIT")
        other.query("BEGIN READ ONLY")          # the other standby, or the primary
        other.query("SELECT 1", "COMMIT", f"UPDATE told SET n = n WHERE n = {turn}")
        if is_standby == "t":
            wire.query("COMMIT")
        turn += 1


def test_session_mode(weir, trio):
    """All of a session is the primary's, also where standbys may be read from."""
    trio.primary.query("DROP TABLE IF EXISTS told; CREATE TABLE told (n int); GRANT ALL ON told TO web")
    weir.start(upstream=trio.upstream(), reads="marked", cluster_user="web", pool_size=4, pool_mode="session")
    wire = weir.raw()
    wait_until(lambda: weir.metric("pgweir_host_usable") > 1, what="standbys that are used")
    for _ in range(10):
        wire.query("BEGIN READ ONLY")
        assert where(wire) == trio.primary.port
        wire.query("COMMIT", "INSERT INTO told VALUES (1)")


def test_statement_mode(weir, trio):
    trio.primary.query("DROP TABLE IF EXISTS told; CREATE TABLE told (n int); GRANT ALL ON told TO web")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    weir.start(upstream=trio.upstream(), reads="marked", cluster_user="web", pool_size=4, pool_mode="statement", reads_wait="5s")
    writer, reader = weir.raw(), weir.raw(parameters={"options": "-c default_transaction_read_only=on"})
    wait_until(lambda: where(reader) != trio.primary.port, what="a read on a standby")
    for turn in range(5):
        writer.query(f"INSERT INTO told VALUES ({turn})")
        reader.query(f"SET pgweir.min_lsn = '{writer.value('SHOW pgweir.lsn')}'")
        assert newest_on_a_standby(reader) == str(turn)
    reader.send(query("BEGIN READ ONLY"))
    replies = reader.read_until("E")
    assert replies[-1].sqlstate == "0A000"


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("sql", ["END; INSERT INTO told VALUES (1)", "COMMIT; BEGIN; INSERT INTO told VALUES (1); COMMIT",
                                 "COMMIT AND CHAIN; COMMIT; INSERT INTO told VALUES (1)", "ROLLBACK; INSERT INTO told VALUES (1)"])
def test_a_write_in_the_query_that_ends_the_block(weir, trio, sql, shown):
    wire = start(weir, trio)
    for _ in range(3):
        wire.query("BEGIN READ ONLY")
        if shown:
            wire.query("SELECT 1")
        replies = wire.ask(query(sql))
        assert not rawwire.errors(replies), rawwire.errors(replies)[0].error
    assert wire.query("SELECT n FROM told") == [["1"]] * 3


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_a_write_in_the_pipeline_that_begins_with_the_end(weir, trio, shown, named):
    """As psycopg 3 does in pipeline mode: COMMIT, BEGIN, INSERT, and one Sync."""
    wire = start(weir, trio)
    if named:
        wire.ask(parse("c", "COMMIT"), sync())
    commit = bind("", "c") + execute() if named else one_statement("COMMIT")
    for turn in range(3):
        wire.query("BEGIN READ ONLY")
        if shown:
            wire.query("SELECT 1")
        replies = wire.ask(commit + one_statement("BEGIN") + one_statement(f"INSERT INTO told VALUES ({turn})") + sync())
        assert not rawwire.errors(replies), rawwire.errors(replies)[0].error
        wire.query("COMMIT")
    assert wire.query("SELECT n FROM told") == [["0"], ["1"], ["2"]]
    assert ends_on_a_standby(wire, trio, commit)


def ends_on_a_standby(wire, trio, commit):
    """With its Sync behind it, a COMMIT stays where its block is."""
    standby = begin_elsewhere(wire, trio)
    wire.ask(commit + sync())
    return standby.count(state="idle in transaction") == 0 and trio.primary.value(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'web' AND query LIKE 'BEGIN%'") == 0


def test_what_the_block_has_set_is_kept_by_such_a_query(weir, trio):
    wire = start(weir, trio)
    for how, wanted in (("COMMIT", "set"), ("ROLLBACK", "plain")):
        wire.query("SET my.own = plain")
        wait_until(lambda: reads_elsewhere(wire, trio), what="a block on a standby")
        wire.query("BEGIN READ ONLY")
        wire.query("SET my.own = set")
        wire.query(f"{how}; SELECT 1")
        assert wire.value("SHOW my.own") == wanted


@pytest.mark.parametrize("how", ["query", "extended", "pipeline"])
@pytest.mark.parametrize("sql", ["SET TRANSACTION READ WRITE", "SET transaction_read_only = off", "SET LOCAL transaction_read_only = off"])
def test_a_block_becomes_read_write(weir, trio, sql, how):
    """Before anything was shown PostgreSQL allows it."""
    wire = start(weir, trio)
    for turn in range(3):
        if how == "query":
            wire.query("BEGIN READ ONLY", sql, f"INSERT INTO told VALUES ({turn})")
        elif how == "extended":
            wire.extended("BEGIN READ ONLY")
            wire.extended(sql)
            wire.extended(f"INSERT INTO told VALUES ({turn})")
        else:
            replies = wire.ask(rawwire.one_statement("BEGIN READ ONLY"), rawwire.one_statement(sql),
                               rawwire.one_statement(f"INSERT INTO told VALUES ({turn})"), rawwire.sync())
            assert not rawwire.errors(replies), rawwire.errors(replies)[0].error
        wire.query("COMMIT")
    assert wire.query("SELECT n FROM told") == [["0"], ["1"], ["2"]]


def test_a_restart_while_clients_read_on_standbys(weir, trio):
    Run.prepare(trio.primary)
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    weir.start(SECTIONS, trio.upstream(), reads="marked", pool_size=6, reads_wait="100ms")
    run = Run(through(weir), 1, 8, pause=0.001).start()
    try:
        for _ in range(2):
            wait_until(lambda: run.share() > 0.1 and sum(run.reads_done.values()) > 100, what="reads on standbys")
            weir.restart()
            done = sum(count for (kind, where_), count in run.reads_done.items() if kind == "read" and "standby" in where_)
            wait_until(lambda: sum(count for (kind, where_), count in run.reads_done.items()  # pylint: disable=cell-var-from-loop
                                   if kind == "read" and "standby" in where_) > done + 50, what="further reads on standbys")
    finally:
        run.stop()
        print(run.report())
    no_violation(run)
    assert not run.errors


def test_a_restart_while_a_client_waits_for_a_standby(weir, trio, catching):
    wire = catching(reads_wait="8s")
    weir.restart(wait=False)
    for standby in trio.standbys:
        trio.resume(standby)
    wire.read_until("Z")
    assert wire.query("SELECT n FROM told") == [["1"]]
    wire.query("COMMIT", "INSERT INTO told VALUES (2)")
    wait_until(lambda: reads_elsewhere(wire, trio), what="a block on a standby")


def test_a_watch_that_can_not_log_in(weir, trio):
    """The host refuses cluster_user: everything is the primary's, and SHOW HOSTS says why."""
    trio.primary.query("DROP TABLE IF EXISTS told; CREATE TABLE told (n int); GRANT ALL ON told TO web")
    weir.users["nobody_knows"] = "secret"
    wire = weir.start(upstream=trio.upstream(), reads="marked", cluster_user="nobody_knows", pool_size=4).raw()
    for turn in range(10):
        wire.query(f"INSERT INTO told VALUES ({turn})", "BEGIN READ ONLY")
        assert where(wire) == trio.primary.port
        assert wire.query("SELECT max(n) FROM told") == [[str(turn)]]
        wire.query("COMMIT")

    def are_refused():
        rows = weir.console("SHOW HOSTS")
        return rows and all("nobody_knows" in str(row) for row in rows)

    wait_until(are_refused, what="each host to have refused it")


def test_reloads_under_load(weir, trio):
    """From marked to primary and back; no client notices."""
    Run.prepare(trio.primary)
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    words = {"upstream": trio.upstream(), "pool_size": 6, "reads_wait": "100ms"}
    weir.start(SECTIONS, reads="marked", **words)
    run = Run(through(weir), 1, 8, pause=0.001).start()

    def standby_reads():
        return sum(count for (kind, there), count in run.reads_done.items() if kind == "read" and "standby" in there)

    try:
        for _ in range(4):
            done = standby_reads()
            wait_until(lambda: standby_reads() > done + 40, what="reads on standbys")      # pylint: disable=cell-var-from-loop
            weir.reload(SECTIONS, reads="primary", **words)
            total = sum(run.reads_done.values())
            wait_until(lambda: sum(run.reads_done.values()) > total + 40)                  # pylint: disable=cell-var-from-loop
            weir.reload(SECTIONS, reads="marked", **words)
    finally:
        run.stop()
        print(run.report())
    no_violation(run)
    assert not run.errors


LOG = {"log": {"format": "json"}}


@pytest.fixture(name="open_block")
def block_without_a_server(weir, trio):
    """Makes a client whose BEGIN READ ONLY was answered by a standby that is gone since: it is idle, and its block goes on wherever it
    gets a server next. limits: settings from then on."""
    def make(sections=None, **limits):
        wire = start(weir, trio, sections)
        begin_elsewhere_unasked(wire, trio)
        for standby in trio.standbys:
            trio.crash(standby)
        wait_until(lambda: not client_of(weir)["link"], what="a client without a server")
        if limits:
            weir.reload(sections, upstream=trio.upstream(), reads="marked", cluster_user="web", pool_size=4, **limits)
        return wire

    return make


def client_of(weir):
    """The only one but for the console's."""
    found, = [row for row in weir.console("SHOW CLIENTS") if row["database"] == "app"]
    return found


def explained(weir):
    return " ".join(row["explanation"] for row in weir.console(f"EXPLAIN WAIT {client_of(weir)['id']}"))


@pytest.mark.parametrize("setting, sqlstate", [("idle_transaction_timeout", "25P03"), ("transaction_timeout", "25P04")])
def test_a_block_without_a_server_has_its_limits(open_block, setting, sqlstate):
    """And not client_idle_timeout, which is for who is in no transaction."""
    wire = open_block(**{setting: "1500ms", "client_idle_timeout": "100ms"})
    told = wire.read_until("E")[-1]
    assert (told.severity, told.sqlstate) == ("FATAL", sqlstate)
    wire.wait_closed()


@pytest.mark.parametrize("setting, word", [("long_transaction", "open"), ("idle_transaction", "idle")])
def test_a_block_without_a_server_is_in_the_log_once(weir, open_block, setting, word):
    wire = open_block(LOG, **{setting: "300ms"})
    line = wait_until(lambda: lines_of(weir, setting), what="a line about it")[0]
    assert f"its transaction has been {word} for" in line["message"] and line["message"].endswith("; it is without a server")
    assert wire.query("SELECT 1") == [["1"]]
    wire.query("COMMIT")
    assert len(lines_of(weir, "long_transaction")) <= 1


def lines_of(weir, event):
    found = [json.loads(line) for line in weir.log().splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") == event]


def test_a_block_without_a_server_is_shown_and_counted_as_a_transaction(weir, open_block):
    wire = open_block()
    ends = {end: weir.metric_now("pgweir_transactions_total", database="app", end=end) for end in ("commit", "rollback", "lost")}
    assert client_of(weir)["state"] == "active" and "idle in a transaction" in explained(weir)
    assert wire.query("SELECT 1") == [["1"]]
    wire.query("COMMIT")
    wait_until(lambda: weir.metric("pgweir_transactions_total", database="app", end="commit") == ends["commit"] + 1)
    assert client_of(weir)["state"] == "idle"
    for end in ("rollback", "lost"):
        assert weir.metric("pgweir_transactions_total", database="app", end=end) == ends[end]


def test_a_block_without_a_server_whose_client_leaves_is_lost(weir, open_block):
    wire = open_block()
    before = weir.metric_now("pgweir_transactions_total", database="app", end="lost")
    wire.leave()
    wait_until(lambda: weir.metric("pgweir_transactions_total", database="app", end="lost") == before + 1)


@pytest.mark.parametrize("way", ["SIGTERM", "SHUTDOWN WAIT_FOR_CLIENTS"])
def test_a_block_without_a_server_is_let_finish(weir, trio, open_block, way):
    """As any transaction is: its client is told behind the COMMIT."""
    wire = open_block()
    if way == "SIGTERM":
        weir.signal(signal.SIGTERM)
        wait_until(lambda: weir.http("/readyz").status == 503, what="a drain")
    else:
        weir.console(way)
    assert where(wire) == trio.primary.port
    assert rawwire.shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"
    if way == "SIGTERM":
        assert wire.read_until("E")[-1].sqlstate == "57P01"
    else:
        wire.leave()
    assert weir.wait_exit(30) == 0


def test_a_restart_lets_a_block_without_a_server_finish(weir, trio, open_block):
    wire = open_block()
    weir.restart(wait=False)
    assert where(wire) == trio.primary.port
    assert rawwire.shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"
    assert wire.query("SELECT 1") == [["1"]]


def test_who_waits_for_a_standby_is_shown_to_wait(weir, catching):
    """By SHOW CLIENTS, EXPLAIN WAIT and the metrics alike."""
    wire = catching(reads_wait="30s")
    assert client_of(weir)["state"] == "waiting" and "It waits until a host has replayed" in explained(weir)
    wait_until(lambda: weir.metric("pgweir_client_connections", database="app", state="waiting") == 1)
    assert weir.metric("pgweir_client_connections", database="app", state="idle") == 0
    wire.close()
