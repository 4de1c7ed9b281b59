"""A standby that is killed, restarted, frozen or cut off costs no client an error, nor a wait until it is back.

Each test prints what it has injected and what clients have seen (-s, or the report of a failure).
"""

import contextlib
import datetime
import os
import signal
import time

import pytest

import rawwire
from checker import READS, Run, sync_each
from hosts import alter
from rawwire import Wire, query
from test_checker import SECTIONS, none_fails_early, no_violation, through
from test_marked import begin_elsewhere, begin_elsewhere_unasked, where
from waiting import each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long]

HALF_A_SECOND = datetime.timedelta(seconds=0.5)
AWAY = 4                    # seconds: so long a standby is away, and a read that waits for it
SLACK = 1                   # seconds that are not enough to tell such a read from one on a busy machine


def start(weir, trio, hosts=None, **settings):
    Run.prepare(trio.primary)
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    weir.start(SECTIONS, trio.upstream(hosts=hosts), **{"reads": "marked", "reads_wait": "200ms", "pool_size": 8, **settings})


def both_are_read(run, since=0):
    return sum(count > since for (kind, where), count in run.reads_done.items() if kind == "read" and "standby" in where) == 2


def killed(trio, standby):
    trio.crash(standby)
    return lambda: trio.start(standby)


def restarted(trio, standby):
    trio.restart(standby, signal.SIGINT)
    return lambda: None


def frozen(trio, standby):
    trio.freeze(standby)
    return lambda: trio.thaw(standby)


def cut_off(trio, standby):
    """From its primary: it answers, and replays nothing new."""
    trio.cut_off(standby)
    return lambda: trio.thaw(standby)


def fails_only_behind_rows(run):
    """No write fails, but for one that was sent together with a read: if that has shown rows, both do."""
    none_fails_early(run)
    others = [failure for failure in run.failures if "write" in failure[0] and not ("read" in failure[0] and failure[2])]
    assert not others, others


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("how", [killed, restarted, frozen, cut_off])
def test_reads_under_way_go_on(weir, trio, how):
    """Eight clients read and write; one standby goes, and comes back. No read that had shown nothing has waited for that."""
    start(weir, trio)
    run = Run(through(weir), 1, 8, pause=0.001, reads=READS, read_share=0.8).start()
    wait_until(lambda: both_are_read(run, 50), what="reads on both standbys")
    standby = trio.standbys[0]
    gone_at, gone = run.judge.now(), time.monotonic()
    with run.phase(f"{standby.name} is {how.__name__}"):
        back = how(trio, standby)
        done = sum(run.reads_done.values())
        wait_until(lambda: sum(run.reads_done.values()) > done + 100 and time.monotonic() - gone > AWAY, what="further reads")
        back()
    trio.wait_follows(standby)
    name = f"standby {standby.port}"
    done = run.reads_done["read", name]
    wait_until(lambda: run.reads_done["read", name] > done + 20, what="reads where it is back")
    run.stop()
    print(run.report())
    longest, when = max((seconds, begun) for seconds, begun in run.first_rows if begun + seconds > gone_at)
    print(f"{how.__name__} at {gone_at:.3f} s: the longest wait for rows took {longest:.3f} s, from {when:.3f} s on")
    no_violation(run)
    fails_only_behind_rows(run)
    assert longest < AWAY - SLACK


def test_without_any_standby_the_primary_answers(weir, trio):
    start(weir, trio)
    run = Run(through(weir), 1, 6, pause=0.001).start()
    wait_until(lambda: both_are_read(run, 20), what="reads on both standbys")
    for standby in trio.standbys:
        trio.crash(standby)
    name = f"primary {trio.primary.port}"
    done = run.reads_done["read", name]
    wait_until(lambda: run.reads_done["read", name] > done + 200, what="reads on the primary")
    run.stop()
    print(run.report())
    no_violation(run)
    fails_only_behind_rows(run)


def marked(weir, trio):
    """A client in a READ ONLY block that a standby answers, and that standby."""
    wire = Wire(weir.address).login("web", "app")
    return wire, begin_elsewhere(wire, trio)


def test_a_block_that_has_shown_rows_fails_with_its_standby(weir, trio):
    """Another host might show other rows: the client is told, and its next block is answered."""
    start(weir, trio)
    wire, standby = marked(weir, trio)
    trio.crash(standby)
    wire.send(query("SELECT 1"))
    replies = wire.read_until("ZE")
    assert [reply for reply in replies if reply.type == "E"] and not rawwire.texts(replies)
    if replies[-1].type == "E" and replies[-1].severity != "FATAL":
        wire.read_until("Z")
        assert wire.query("ROLLBACK", "BEGIN READ ONLY", "SELECT 1") == [["1"]]
        wire.query("COMMIT")
    wire.leave()


def test_clients_that_went_on_come_back_to_a_standby(weir, trio):
    """The other one is the last that each has read from, and it has more lent."""
    start(weir, trio)
    gone, other = trio.standbys
    trio.crash(gone)
    wires = [Wire(weir.address).login("web", "app") for _ in range(6)]
    for wire in wires:
        assert begin_elsewhere(wire, trio) is other
        wire.query("COMMIT")
    trio.start(gone)
    wait_until(lambda: trio.held(wires, "BEGIN READ ONLY") == [3, 3], what="three blocks on each standby")
    each(wires).leave()


def test_a_client_passes_by_a_standby_that_refuses_it_each_time(weir, trio):
    """One has no room for temporary files, and it is the client's last one: it reads on the other, not on the primary."""
    start(weir, trio)
    standby, other = trio.standbys
    alter(standby, "temp_file_limit", "200kB")
    wires = []

    def has_read_there():
        wires.append(Wire(weir.address).login("web", "app"))
        wires[-1].query("SET work_mem = '64kB'")
        is_there = begin_elsewhere(wires[-1], trio) is standby
        wires[-1].query("COMMIT")
        return is_there

    def asked():
        wire = wires[-1]
        wire.query("BEGIN READ ONLY")
        rows = wire.query(f"{PORT}, count(*) FROM (SELECT g, pg_sleep(0) FROM generate_series(1, 20000) g ORDER BY g DESC) s")
        wire.query("COMMIT")
        return int(rows[0][0])

    try:
        wait_until(lambda: has_read_there() and asked() == trio.primary.port, what="a refusal")
        wait_until(lambda: asked() == other.port, AWAY, "the other standby")
        found = {asked() for _ in range(5)}
        assert other.port in found and standby.port not in found
    finally:
        alter(standby, "temp_file_limit", None)
    each(wires).leave()


def reads_on(wire, standby):
    wire.query("BEGIN READ ONLY")
    port = where(wire)
    wire.query("COMMIT")
    return port == standby.port


PORT = "SELECT inet_server_port()"
BLOCKS = {
    "one query": (query(f"BEGIN READ ONLY; {PORT}; COMMIT"), 1),
    "queries at once": (query("BEGIN READ ONLY") + query(PORT) + query("COMMIT"), 3),
    "one sync": (b"".join(map(rawwire.one_statement, ("BEGIN READ ONLY", PORT, "COMMIT"))) + rawwire.sync(), 1),
    "syncs at once": (sync_each("BEGIN READ ONLY", PORT, "COMMIT"), 3),
}


@pytest.mark.parametrize("how", BLOCKS)
def test_a_block_that_comes_at_once_leaves_a_standby_that_is_silent(weir, trio, how):
    """However it comes, COMMIT included, the primary answers it, long before the standby does again."""
    start(weir, trio)
    wire, standby = marked(weir, trio)
    wire.query("COMMIT")
    trio.freeze(standby)
    try:
        message, count = BLOCKS[how]
        wire.send(message)
        replies = [reply for _ in range(count) for reply in wire.read_until("Z", timeout=AWAY)]
        assert not rawwire.errors(replies) and rawwire.texts(replies) != [[str(standby.port)]]
    finally:
        trio.thaw(standby)
    assert wire.query("SELECT 1") == [["1"]]
    wire.leave()


def named(name):
    """What makes and describes a statement, and what runs it."""
    return (rawwire.parse(name, PORT) + rawwire.describe("S", name),
            rawwire.bind("", name) + rawwire.execute() + rawwire.sync())


PREPARED = {                    # libpq, pgx, tokio-postgres; asyncpg without its cache; postgres.js
    "a sync": (*named("s"), rawwire.sync(), "Z"),
    "a sync and no name": (*named(""), rawwire.sync(), "Z"),
    "a flush": (*named("s"), rawwire.flush(), "T"),
}


@pytest.mark.parametrize("how", [killed, frozen])
@pytest.mark.parametrize("ask", [Wire.query, Wire.extended])
def test_what_a_block_has_set_for_itself_leaves_with_it(weir, trio, ask, how):
    """A limit, a position and a setting of the application's own, ahead of its first rows."""
    start(weir, trio)
    wire, _ = marked(weir, trio)
    wire.query("COMMIT")
    standby = begin_elsewhere_unasked(wire, trio)
    for name, value in (("statement_timeout", "42s"), ("pgweir.min_lsn", "0/1"), ("app.tenant", "7")):
        ask(wire, f"SET LOCAL {name} = '{value}'")
    back = how(trio, standby)
    try:
        assert wire.query(f"{PORT}, current_setting('statement_timeout'), current_setting('app.tenant')", timeout=AWAY) == [
            [str(trio.primary.port), "42s", "7"]]
        wire.query("COMMIT")
        assert wire.query("SELECT current_setting('statement_timeout'), current_setting('app.tenant', true)") != [["42s", "7"]]
    finally:
        back()
    wire.leave()


def test_rows_between_what_a_block_has_set_are_shown_rows(weir, trio):
    start(weir, trio)
    wire, _ = marked(weir, trio)
    wire.query("COMMIT")
    standby = begin_elsewhere_unasked(wire, trio)
    limit = rawwire.one_statement("SET LOCAL statement_timeout = '42s'")
    assert rawwire.texts(wire.ask(limit, rawwire.one_statement(PORT), limit, rawwire.sync())) == [[str(standby.port)]]
    trio.crash(standby)
    wire.send(query(PORT))
    assert rawwire.errors(wire.read_until("ZE"))
    wire.close()


@pytest.mark.parametrize("how", [killed, frozen])
@pytest.mark.parametrize("behind", PREPARED)
def test_a_statement_that_was_prepared_in_the_block_leaves_with_it(weir, trio, behind, how):
    """The client was told of the statement, and no rows: the primary runs it."""
    start(weir, trio)
    wire, _ = marked(weir, trio)
    wire.query("COMMIT")
    standby = begin_elsewhere_unasked(wire, trio)
    making, running, end, last = PREPARED[behind]
    wire.send(making, end)
    assert not rawwire.errors(wire.read_until(last))
    back = how(trio, standby)
    try:
        wire.send(running)
        replies = wire.read_until("Z", timeout=AWAY)
        assert not rawwire.errors(replies) and rawwire.texts(replies) == [[str(trio.primary.port)]]
        assert wire.query(PORT) == [[str(trio.primary.port)]]
        wire.query("COMMIT")
    finally:
        back()
    wire.leave()


@pytest.mark.parametrize("how", [killed, frozen])
def test_a_statement_that_was_prepared_outside_of_blocks_leaves_too(weir, trio, how):
    start(weir, trio)
    wire = Wire(weir.address).login("web", "app")
    wire.query("SET default_transaction_read_only = on")
    making, running = named("s")

    def prepared_on():
        wire.send(making, rawwire.flush())
        wire.read_until("T")
        found = [standby for standby in trio.standbys if standby.count(usename="web", wait_event="ClientRead", state="active")]
        if not found:
            wire.send(running, rawwire.close("S", "s") + rawwire.sync())
            wire.read_until("Z", 2)
        return found

    standby, = wait_until(prepared_on, what="a statement on a standby")
    back = how(trio, standby)
    try:
        wire.send(running)
        replies = wire.read_until("Z", timeout=AWAY)
        assert not rawwire.errors(replies) and rawwire.texts(replies) != [[str(standby.port)]]
    finally:
        back()
    wire.leave()


def test_a_standby_that_is_silent_about_a_time_limit_is_left(weir, trio):
    """Another client's statement_timeout is taken off its connection, ahead of a block that waits for that."""
    start(weir, trio, hosts=[trio.primary, trio.standbys[0]], pool_size=1)
    limited, standby = marked(weir, trio)
    limited.query("COMMIT")
    wire = Wire(weir.address).login("web", "app")
    wait_until(lambda: reads_on(wire, standby), what="a block on the same standby")
    limited.query("SET statement_timeout = '1min'")
    wait_until(lambda: reads_on(limited, standby), what="the limit on that standby")
    trio.freeze(standby)
    try:
        wire.query("BEGIN READ ONLY", timeout=AWAY)
        assert wire.query(PORT, timeout=AWAY) != [[str(standby.port)]]
        wire.query("COMMIT")
    finally:
        trio.thaw(standby)
    wire.leave()
    limited.leave()


def test_rows_that_were_shown_never_come_twice(weir, trio):
    """A standby is killed while a client reads a large result: it gets an error behind the first rows, and none of them again."""
    start(weir, trio)
    wire = Wire(weir.address, receive_buffer=65_536).login("web", "app")

    def begins():
        wire.send(query("BEGIN READ ONLY") + query("SELECT inet_server_port(), i, repeat('x', 10000) FROM generate_series(1, 3000) i"))
        first = wire.read_until("D")[-1].row
        found = [standby for standby in trio.standbys if standby.port == int(first[0])]
        if not found:
            wire.read_until("Z")
            wire.query("COMMIT")
        return found

    standby = wait_until(begins, what="a block on a standby")[0]
    wait_until(lambda: standby.backends(wait_event="ClientWrite"), what="a standby that waits for the client")
    trio.crash(standby)
    replies = []
    with pytest.raises(rawwire.WireError):      # in the midst of a row no error may follow
        while not replies or replies[-1].type != "E":
            replies.append(wire.read())
        wire.read()
    numbers = [int(reply.row[1]) for reply in replies if reply.type == "D"]
    assert numbers == list(range(2, len(numbers) + 2)) and len(numbers) < 2999
    wire.close()


def test_a_read_that_a_standby_cancels_is_answered_by_the_primary(weir, trio):
    """A vacuumed row that a standby's snapshot still needs: 40001 there, before anything was shown."""
    start(weir, trio)
    primary, web = trio.primary, Wire(weir.address).login("web", "app")
    primary.query("DROP TABLE IF EXISTS dead")
    primary.query("CREATE TABLE dead AS SELECT i FROM generate_series(1, 1000) i; GRANT ALL ON dead TO web")
    for standby in trio.standbys:
        standby.query("ALTER SYSTEM SET max_standby_streaming_delay = 0", dbname="postgres")
        standby.query("SELECT pg_reload_conf()", dbname="postgres")
        trio.wait_replayed(standby)

    def cancelled():
        return sum(standby.value("SELECT confl_snapshot FROM pg_stat_database_conflicts WHERE datname = 'app'", dbname="postgres")
                   for standby in trio.standbys)

    try:
        before = cancelled()
        for _ in range(10):
            primary.query("INSERT INTO dead SELECT i FROM generate_series(1, 1000) i")
            for standby in trio.standbys:
                trio.wait_replayed(standby)
            web.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            web.send(query("SELECT count(*), pg_sleep(1) FROM dead"))
            time.sleep(0.2)
            primary.query("DELETE FROM dead")
            primary.query("VACUUM dead")
            replies = web.read_until("Z")
            assert not rawwire.errors(replies), rawwire.errors(replies)[0].error
            web.query("COMMIT")
            if cancelled() > before:
                return
        pytest.fail("no read was cancelled")
    finally:
        for standby in trio.standbys:
            standby.query("ALTER SYSTEM RESET max_standby_streaming_delay", dbname="postgres")
            standby.query("SELECT pg_reload_conf()", dbname="postgres")
        web.leave()


def test_a_standby_that_falls_silent_costs_a_read_little_more_than_reads_wait(weir, trio):
    """It is in a block that has begun there. It was 0.25 s at least until the standby's life was taken to be over."""
    start(weir, trio, hosts=[trio.primary, trio.standbys[0]], reads_wait="10ms")
    took = []

    def is_short():
        wire = Wire(weir.address).login("web", "app")
        begin_elsewhere_unasked(wire, trio)
        began = time.monotonic()
        trio.freeze(trio.standbys[0])
        try:
            assert wire.query(PORT, timeout=AWAY) == [[str(trio.primary.port)]]
            took.append(round(time.monotonic() - began, 3))
        finally:
            trio.thaw(trio.standbys[0])
        wire.leave()
        return took[-1] < 0.2

    wait_until(is_short, timeout=60, what="a short wait")
    print("slowest reads:", took)


@contextlib.contextmanager
def silent(weir, standby):
    """The standby does not answer pgweir's question how far it is, for a moment, and everything else."""
    pids = [row["pid"] for row in standby.backends() if "pgweir_replayed" in row["query"]]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: any(row["state"] == "silent" for row in weir.console("SHOW HOSTS")), pause=0.001, what="silence")
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def begun_on_the_only_one(weir, trio):
    """A client in a READ ONLY block that was shown nothing yet, and the only standby, where that is: silent after 2 s, and away
    not before another 2 s, so that a busy machine does not make the one the other."""
    start(weir, trio, hosts=[trio.primary, trio.standbys[0]], reads_wait="4s")
    wire = Wire(weir.address).login("web", "app")
    return wire, begin_elsewhere_unasked(wire, trio)


def test_what_has_run_for_long_stays_when_its_standby_hesitates(weir, trio):
    """To run it again takes as long once more."""
    def running_on():
        """The host on which it has run for half a second."""
        return next((host for host in (standby, trio.primary) if any(
            "pg_sleep" in row["query"] and row["state"] == "active" and row["state_change"] + HALF_A_SECOND < host.value("SELECT clock_timestamp()")
            for row in host.backends())), None)

    wire, standby = begun_on_the_only_one(weir, trio)
    wire.send(query(f"{PORT}, pg_sleep(4)"))
    while wait_until(running_on, what="the query") is not standby:       # which has hesitated by itself, before it came
        wire.read_until("Z", timeout=AWAY)
        wire.query("COMMIT")
        standby = begin_elsewhere_unasked(wire, trio)
        wire.send(query(f"{PORT}, pg_sleep(4)"))
    with silent(weir, standby):
        pass
    assert rawwire.texts(wire.read_until("Z", timeout=AWAY))[0][0] == str(standby.port)
    wire.query("COMMIT")
    wire.leave()


def test_a_portal_that_was_read_from_stays_when_its_standby_hesitates(weir, trio):
    """pg-cursor, pg-query-stream: Flush, and no Sync before the last row."""
    wire, standby = begun_on_the_only_one(weir, trio)
    wire.send(rawwire.parse("", f"{PORT}, i FROM generate_series(1, 9) i") + rawwire.bind() + rawwire.execute(max_rows=3) + rawwire.flush())
    wire.read_until("s")
    with silent(weir, standby):
        time.sleep(0.15)                        # a tick of those that look who is late
    wire.send(rawwire.execute() + rawwire.sync())
    replies = wire.read_until("Z", timeout=AWAY)
    assert not rawwire.errors(replies)
    assert rawwire.texts(replies) == [[str(standby.port), str(i)] for i in range(4, 10)]
    wire.query("COMMIT")
    wire.leave()


def test_nothing_begins_on_a_standby_that_hesitates(weir, trio):
    start(weir, trio, hosts=[trio.primary, trio.standbys[0]], reads_wait="10ms")
    wire, standby = marked(weir, trio)
    wire.query("COMMIT")
    with silent(weir, standby):
        assert not reads_on(wire, standby)
    wait_until(lambda: reads_on(wire, standby), what="a read on the standby")
    wire.leave()
