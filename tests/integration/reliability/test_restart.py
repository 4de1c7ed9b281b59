"""A restart in which nobody notices anything: SIGUSR2 starts a successor, to which the clients move with their sessions."""

import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import psycopg
import pytest

import rawwire
from postgres import PASSWORDS
from rawwire import BEGIN_NOW, bind, describe, errors, execute, parse, query, send_cancel, shape, sync, texts
from restartload import Load, server_sockets
from stall import Stall
from waiting import PATIENCE, SLOWNESS, each, wait_until
from weir import Successor, become_reaper, wait_process


pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


def sleeping(weir, count):
    wait_until(lambda: len([row for row in weir.postgres.backends(wait_event="PgSleep")
                            if row["state"] == "active"]) == count, what=f"{count} sleeping queries")


def test_clients_move_with_their_sessions(weir):
    weir.start()
    first = weir.connect(autocommit=True, application_name="mover")
    first.execute("SET work_mem = '77MB'")
    with weir.raw() as wire:
        wire.query("SET search_path = pg_catalog")
        old = weir.restart()
        assert weir.process.pid != old.pid
        assert first.execute("SHOW work_mem").fetchone() == ("77MB",)
        assert first.execute("SHOW application_name").fetchone() == ("mover",)
        assert wire.query("SHOW search_path")
    assert weir.connect().execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def much_code(postgres):
    """The name of a schema with so much code that PostgreSQL takes a good part of a second to tell what it sets."""
    postgres.query("CREATE SCHEMA long; GRANT USAGE ON SCHEMA long TO web")
    postgres.query("DO $$ BEGIN FOR i IN 1..3000 LOOP EXECUTE format('CREATE FUNCTION long.to_read_%s() RETURNS text "
                   "LANGUAGE plpgsql AS $f$ BEGIN RETURN set_config(''app.n'', ''1'', true); END $f$', i); END LOOP; END $$")
    yield "long"
    postgres.query("DROP SCHEMA long CASCADE")


@pytest.mark.parametrize("is_alone", [True, False])
def test_what_code_sets_before_anything_is_known_of_the_code_stays(much_code, weir, is_alone):
    """PostgreSQL tells which of its own settings a session has set; custom ones are known by name only."""
    weir.postgres.query(f"CREATE FUNCTION {much_code}.sets() RETURNS text LANGUAGE plpgsql AS "
                        "$$ BEGIN EXECUTE 'SET work_mem = 777'; RETURN ''; END $$")
    with weir.start(pool_size=3).raw() as wire, weir.raw() as other:
        wire.query("SELECT 1")
        other.query("SELECT 1")
        weir.restart()
        wire.send(query(f"SELECT pg_sleep(0.1), {much_code}.sets()"))
        if not is_alone:
            other.query("SELECT 1")     # its server is asked, which may take longer than the other's request
        wire.read_until("Z")
        assert wire.query("SHOW work_mem") == [["777kB"]]
        wait_until(lambda: weir.console("SHOW DATABASE_CODE"), what="the answer")
        assert wire.query("SHOW work_mem") == [["777kB"]]


@pytest.mark.alone
def test_the_first_request_behind_a_restart_waits_for_no_answer_about_the_code(much_code, weir):
    weir.start(pool_size=3)
    took = []
    with weir.raw() as wire:
        wire.query("SELECT 1")
        for _ in range(3):
            weir.restart()
            began = time.monotonic()
            wire.query("SELECT 1")
            took.append(time.monotonic() - began)
    assert min(took) < 0.1, took        # to read the code takes longer: 0.3 s where this takes 0.03


def test_a_copy_while_the_first_question_about_the_code_is_under_way(much_code, weir):
    """A RESET in code would have to be found before the next request: data of a COPY was held for that, for ever."""
    weir.postgres.query(f"CREATE TABLE {much_code}.copied (i int); GRANT ALL ON {much_code}.copied TO web")
    with weir.start(pool_size=3).raw(parameters={"application_name": "copies"}) as wire, weir.raw() as other:
        wire.query("SELECT 1")
        other.query("SELECT 1")
        weir.restart()
        other.send(query("SELECT 1"))
        assert shape(wire.ask(query("DO $$ BEGIN NULL; END $$"))) == "C:DO Z:I"
        wire.send(query(f"COPY {much_code}.copied FROM STDIN"))
        wire.read_until("G")
        wire.send(rawwire.copy_data(b"1\n") + rawwire.copy_done())
        assert shape(wire.read_until("Z")) == "C:COPY 1 Z:I"
        other.read_until("Z")


def test_a_client_asks_for_its_id_before_it_moves(weir):
    """Its server, the only one to know the id, is kept for that question, and the client moves behind it."""
    weir.postgres.query("CREATE TABLE moved (id serial, v int); GRANT ALL ON moved, moved_id_seq TO web")
    with weir.start().raw() as wire:
        wire.query("BEGIN", "INSERT INTO moved (v) VALUES (1)")
        old = weir.restart(wait=False)
        weir.wait_log("staying for now")                # from now on clients move as soon as they can
        began = time.monotonic()
        wire.query("COMMIT")
        replies = wire.ask(query("SELECT lastval()"))
        assert texts(replies) == [["1"]] or time.monotonic() - began > 0.15, replies  # it is not kept for longer than that
        wait_until(lambda: old.poll() == 0, what="the old process to end")
        assert wire.query("SELECT 1")
    weir.postgres.query("DROP TABLE moved")


# On a busy machine each restart takes a while; PGWEIR_RESTARTS=100 is the proof, and the default keeps CI short.
RESTARTS = int(os.environ.get("PGWEIR_RESTARTS", "12"))


@pytest.mark.timeout(600 + 2 * RESTARTS)
def test_many_restarts_under_load(weir):
    weir.start()
    load = Load(weir)
    load.start(*load.all())
    try:
        wait_until(lambda: load.failures or (load.requests > 200 and len(load.ports) == 9 and load.heard), what="load")
        before = server_sockets(weir.port)
        for _ in range(RESTARTS):
            weir.restart()
            done = load.requests
            wait_until(lambda: load.failures or load.requests > done + 20, what="requests after the restart")  # pylint: disable=W0640
        after = server_sockets(weir.port)
    finally:
        load.stop()
    print(f"{RESTARTS} restarts, {load.requests} requests, {len(load.failures)} failures, "
          f"longest {load.longest * 1000:.0f} ms, {load.sent} notifications")
    assert load.failures == []
    assert load.heard == list(range(load.heard[0], load.sent + 1))
    assert {port: before[port] for port in load.ports} == {port: after.get(port) for port in load.ports}


def test_the_number_of_workers_changes_under_load(weir):
    """Several pools, whose clients live on several workers in one process, and on other ones in the next."""
    sections = {f"database d{i}": {"upstream": weir.upstream(dbname=("app", "app2")[i % 2])} for i in range(4)}
    weir.start(sections=sections, workers=1, pool_size=4)
    loads = [Load(weir), *(Load(weir, database=f"d{i}") for i in range(4))]
    for load in loads:
        load.start(*(load.all() if load is loads[0] else load.many()))
    try:
        for workers in (4, 2, 3, 1):
            weir.configure(sections=sections, workers=workers, pool_size=4)
            weir.write_config()
            weir.restart()
            assert len(weir.console("SHOW WORKERS")) == workers
            before = [load.requests for load in loads]
            wait_until(lambda: any(load.failures for load in loads) or all(
                load.requests > done + 20 for load, done in zip(loads, before)), what="requests")  # pylint: disable=W0640
            assert len({row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")}) == workers
    finally:
        each(loads).stop()
    assert [load.failures for load in loads] == [[]] * len(loads)
    assert loads[0].heard == list(range(loads[0].heard[0], loads[0].sent + 1))
    assert_no_place_is_lost(weir, [f"d{i}" for i in range(4)], 4)


def test_a_full_pool_goes_from_another_worker_to_the_only_one(weir):
    sections = {f"database d{i}": {"upstream": weir.upstream(dbname="app")} for i in range(4)}
    weir.start(sections=sections, workers=4, pool_size=2)
    for i in range(4):
        weir.raw(database=f"d{i}").query("SELECT 1")
    full = next(row["database"] for row in weir.console("SHOW POOLS_EXTENDED") if row["worker"] == 3)
    busy, waiting = ([weir.raw(database=full) for _ in range(count)] for count in (2, 20))
    each(busy).query(BEGIN_NOW)
    each(waiting).send(query("SELECT 1"))
    wait_until(lambda: [row["cl_waiting"] for row in weir.console("SHOW POOLS") if row["database"] == full] == [20])
    weir.configure(sections=sections, workers=1, pool_size=2)
    weir.write_config()
    old = weir.restart(wait=False)
    weir.wait_log("staying for now: 22 with a request")
    each(waiting).send(query("SELECT 2"))
    each(busy).query("COMMIT")
    for wire in waiting:
        assert texts(wire.read_until("Z", count=2)) == [["1"], ["2"]]
    wait_until(lambda: old.poll() == 0, what="the old process to end")
    assert_no_place_is_lost(weir, [full], 2)


def assert_no_place_is_lost(weir, databases, size):
    """Each pool can have all of its connections, and pgweir knows of as many as PostgreSQL has."""
    wires = [weir.raw(database=database) for database in databases for _ in range(size)]
    each(wires).query(BEGIN_NOW)
    wait_until(lambda: weir.postgres.count() == len(weir.console("SHOW SERVERS")))
    each(wires).leave()


def test_a_restart_right_behind_another(weir):
    """The last client to come listens: it is here before its listener has caught up, and the process before has ended."""
    with weir.start().raw() as wire:
        wire.query("LISTEN news")
        for turn in range(5):
            weir.restart()
            weir.postgres.query(f"NOTIFY news, '{turn}'")
            assert heard(wire) == str(turn)
        assert wire.has_nothing_more()


@contextmanager
def taken_over(weir, tap):
    """A client that listens is the new process's, whose listener is behind the tap; the old process stands still."""
    weir.start(pool_size=4)                                          # one part, so one listener for both
    old = weir.process
    with weir.raw() as wire:
        wire.query("LISTEN news")
        weir.configure(upstream=weir.upstream(port=tap.port), pool_size=4)
        weir.write_config()                                          # for the new process
        tap.connect_delay = 0.3                                      # its listener comes when the old one stands still
        weir.restart(wait=False)
        wait_until(lambda: tap.accepted_count == 1)
        old.send_signal(signal.SIGSTOP)
        tap.connect_delay = 0
        weir.raw().query("LISTEN news")                              # behind the other's: it has been taken
        yield wire, old


def test_what_both_processes_have_heard_comes_once(weir, tap):
    """However long the new one's listener takes to catch up, and whether the old process is there or not."""
    with taken_over(weir, tap) as (wire, old):
        tap.stall(new=True)
        weir.postgres.query("NOTIFY news, 'once'")
        old.send_signal(signal.SIGCONT)
        wait_until(lambda: old.poll() == 0, what="the old process to end")
        with pytest.raises(rawwire.WireTimeout):
            wire.read(timeout=0.2)
        tap.unstall()
        assert heard(wire) == "once"
        weir.postgres.query("NOTIFY news, 'next'")
        assert heard(wire) == "next"


def test_what_the_old_process_was_told_of_first_comes_once(weir, tap):
    """PostgreSQL tells its listening backends of a NOTIFY one by one: the new one's answers a Sync before it is told."""
    tap.untold = b"NOTIFY"
    with taken_over(weir, tap) as (wire, old):
        weir.postgres.query("NOTIFY news, 'once'")
        old.send_signal(signal.SIGCONT)
        assert heard(wire) == "once"
        assert wire.query("SELECT 1")
        tap.untold = None
        weir.postgres.query("NOTIFY news, 'next'")
        assert heard(wire) == "next"


def test_a_full_queue_of_notifications_keeps_nobody(weir, tap):
    """PostgreSQL refuses every NOTIFY of pgweir's: the client listens all the same, in the new process."""
    tap.altered = (b"NOTIFY pgweir_", b"NOTIFX pgweir_")
    with taken_over(weir, tap) as (wire, old):
        old.send_signal(signal.SIGCONT)
        wait_until(lambda: old.poll() == 0, what="the old process to end")
        weir.postgres.query("NOTIFY news, 'next'")
        assert heard(wire) == "next"
        assert wire.query("SELECT 1")


def heard(wire):
    return wire.read_until("A")[-1].body[4:].split(b"\0")[1].decode()


# --- what crosses ---

def test_statements_of_the_protocol_and_half_a_message(weir):
    with weir.start().raw() as wire, weir.raw() as half:
        wire.ask(parse("twice", "SELECT $1::int * 2"), describe("S", "twice"), sync())
        wire.ask(parse("", "SELECT 'unnamed'"), sync())
        message = query("SELECT 'in two pieces'")
        half.send(message[:9])
        weir.restart()
        assert shape(wire.ask(bind("", ""), execute(), sync())) == "2 D C:SELECT 1 Z:I"
        assert [r.row for r in wire.ask(bind("", "twice", ("21",)), execute(), sync()) if r.type == "D"] == [[b"42"]]
        assert wire.ask(parse("twice", "SELECT 1"), sync())[0].sqlstate == "42P05"
        half.send(message[9:])
        assert texts(half.read_until("Z")) == [["in two pieces"]]


def test_rows_that_have_changed_meanwhile_are_an_error_as_ever(weir):
    weir.start()
    for sql in ("DROP TABLE IF EXISTS moved", "CREATE TABLE moved (a int)", "GRANT SELECT ON moved TO PUBLIC"):
        weir.postgres.query(sql)
    with weir.raw() as wire:
        wire.ask(parse("all", "SELECT * FROM moved"), describe("S", "all"), sync())
        wire.ask(bind("", "all"), execute(), sync())
        weir.restart()
        weir.postgres.query("ALTER TABLE moved ADD COLUMN b int")
        assert "0A000" in [error.sqlstate for error in errors(wire.ask(bind("", "all"), execute(), sync()))]
    weir.postgres.query("DROP TABLE moved")


def test_settings_and_their_reset(weir):
    with weir.start().raw(parameters={"work_mem": "11MB", "application_name": "early"}) as wire:
        wire.query("SET work_mem = '12MB'")
        weir.restart()
        assert wire.value("SHOW work_mem") == "12MB"
        assert wire.value("RESET work_mem", "SHOW work_mem") == "11MB"
        row, = [row for row in weir.console("SHOW CLIENTS") if row["application_name"] == "early"]
        assert row["state"] in ("idle", "active") and row["user"] == "web"


def test_a_secret_that_only_the_client_has_proved(weir):
    """Servers log in with the keys of the client's own SCRAM exchange; the successor has never seen one."""
    weir.users["web"] = weir.postgres.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'web'")
    with weir.start(method="scram-sha-256").raw(password=PASSWORDS["web"]) as wire:
        weir.restart()
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.parametrize("version, options", [
    (3 << 16, {}), (3 << 16 | 2, {}), (3 << 16 | 9999, {"_pq_.test_protocol_negotiation": ""}),     # as libpq of PostgreSQL 19
], ids=["3.0", "3.2", "grease"])
def test_the_key_of_a_client_that_moved_and_of_one_that_did_not(weir, version, options):
    weir.start()
    with weir.wire() as moves, weir.wire() as stays:
        for wire in (moves, stays):
            wire.login(version=version, parameters=options)
            assert len(wire.key) == (8 if version == 3 << 16 else 36)
        stays.send(query("SELECT pg_sleep(60)"))
        sleeping(weir, 1)
        weir.restart(wait=False)
        wait_until(lambda: [row for row in weir.console("SHOW CLIENTS") if row["database"] == "app"])
        moves.send(query("SELECT pg_sleep(61)"))
        sleeping(weir, 2)
        assert send_cancel(weir.address, stays.key) == b""
        assert errors(stays.read_until("Z"))[0].sqlstate == "57014"
        sleeping(weir, 1)
        assert send_cancel(weir.address, moves.key) == b""
        assert errors(moves.read_until("Z"))[0].sqlstate == "57014"
        wait_until(lambda: weir.predecessors[0].poll() == 0, what="the old process to end")
        assert stays.query("SELECT 1") == [["1"]]
        assert send_cancel(weir.address, b"\0\0\0\1\0\0\0\2") == b""             # nobody's


def test_a_cancel_request_that_the_old_process_has_accepted(weir):
    """It has asked for TLS before the restart; its packet comes when the client that it is for has moved."""
    weir.start()
    with weir.raw() as stays, weir.raw() as moves, rawwire.Wire(weir.address) as late, rawwire.Wire(weir.address) as wrong:
        stays.query("CREATE TEMP TABLE t (n int)")
        for wire in (late, wrong):
            wire.send(rawwire.ssl_request())
            assert wire.sock.recv(1) == b"N"
        weir.restart(wait=False)
        weir.wait_log("staying for now")
        moves.send(query("SELECT pg_sleep(60)"))
        sleeping(weir, 1)
        wrong.send(rawwire.cancel_request(moves.key[:4] + bytes(4)))
        assert wrong.wait_closed() == b""
        late.send(rawwire.cancel_request(moves.key))
        assert [error.sqlstate for error in errors(moves.read_until("Z"))] == ["57014"]
        assert late.wait_closed() == b""


def test_a_transaction_and_a_temporary_table_stay_until_they_are_over(weir):
    with weir.start().raw() as open_one, weir.raw() as pinned, weir.raw() as idle:
        open_one.query("BEGIN; CREATE TEMP TABLE a (n int) ON COMMIT DROP; INSERT INTO a VALUES (1)")
        pinned.query("CREATE TEMP TABLE b AS SELECT 2 AS n")
        weir.wait_log("between transactions: temp_table")
        weir.restart(wait=False)
        wait_until(lambda: "staying for now" in weir.log())
        assert idle.query("SELECT 1") == [["1"]]
        assert open_one.query("SELECT n FROM a") == [["1"]] and pinned.query("SELECT n FROM b") == [["2"]]
        assert "1 with a request, a transaction or a login under way, 1 pinned" in weir.log()
        weir.signal(signal.SIGUSR2)
        weir.wait_log("no restart: the last restart is not over")
        open_one.query("COMMIT")
        pinned.query("DROP TABLE b")
        wait_until(lambda: weir.predecessors[0].poll() == 0, what="the old process to end")
        assert open_one.query("SELECT 1") == [["1"]] and pinned.query("SELECT 1") == [["1"]]


@pytest.mark.parametrize("rows", [3000, 60], ids=["its server is stopped", "all is kept for it"])
def test_a_client_that_does_not_read_stays_until_it_has_all(weir, rows):
    """The others move meanwhile; afterwards it does, too."""
    with weir.start(pool_size=2).raw(receive_buffer=4096) as slow, weir.raw() as other:
        slow.query("SET work_mem = '77MB'")
        slow.send(query(f"SELECT i, repeat('x', 10000) FROM generate_series(1, {rows}) i"))
        if rows == 3000:
            wait_until(lambda: weir.postgres.backends(wait_event="ClientWrite"), what="the server to be stopped")
        old = weir.restart(wait=False)
        assert other.query("SELECT 1") == [["1"]]
        assert old.poll() is None or rows < 3000
        assert [row[0] for row in texts(slow.read_until("Z"))] == [str(i + 1) for i in range(rows)]
        assert slow.query("SHOW work_mem") == [["77MB"]]
        assert wait_process(old, 30 * SLOWNESS) == 0
        assert slow.query("SHOW work_mem") == [["77MB"]]


def test_clients_with_tls_stay_until_restart_timeout(weir, authority):
    made = authority.issue("127.0.0.1")
    weir.start({"tls_client": {"mode": "prefer", "certificate_file": made.certificate, "key_file": made.key}},
               restart_timeout="1s")
    with weir.connect(autocommit=True, sslmode="require") as secret, weir.raw() as plain:
        weir.restart(wait=False)
        assert secret.execute("SELECT 1").fetchone() == (1,)
        wait_until(lambda: weir.predecessors[0].poll() == 0, what="the old process to end")
        with pytest.raises(psycopg.OperationalError, match="shutting down|restarted"):
            secret.execute("SELECT 1")
        assert plain.query("SELECT 1") == [["1"]]


def test_the_console_says_who_stays_and_why(weir, authority):
    """EXPLAIN RESTART before; afterwards SHOW STATE of the new process, until the old one has ended."""
    made = authority.issue("127.0.0.1")
    weir.start({"tls_client": {"mode": "prefer", "certificate_file": made.certificate, "key_file": made.key}},
               workers=2, restart_timeout="1h")
    secret = weir.connect(autocommit=True, sslmode="require", application_name="with tls")
    with secret, called(weir, "busy") as busy, called(weir, "pinned") as pinned, called(weir, "at rest") as rests:
        busy.query(BEGIN_NOW)
        pinned.query("CREATE TEMP TABLE kept ()")
        rests.query("SELECT 1")
        secret.execute("SELECT 1")
        told = weir.console("EXPLAIN RESTART", user="stats")
        reasons = {row["application_name"]: (row["moves"], row["stays_because"]) for row in told if row["database"] == "app"}
        assert reasons == {"with tls": (False, "with TLS"), "at rest": (True, None),
                           "busy": (False, "with a request, a transaction or a login under way"),
                           "pinned": (False, "pinned to a server connection")}
        assert [row["database"] for row in told if row["stays_because"] == "in the console"] == ["pgweir"]
        assert [row["moves"] for row in told] == sorted(row["moves"] for row in told)
        ids = {row["id"] for row in weir.console("SHOW CLIENTS") if row["database"] == "app"}
        assert {row["client_id"] for row in told if row["database"] == "app"} == ids

        old = weir.restart(wait=False)
        with weir.raw() as new:
            assert new.query("SELECT 1") == [["1"]]
            assert not ids & {row["id"] for row in weir.console("SHOW CLIENTS")}, "an id of the old process names nobody in the new one"
        said = wait_until(lambda: re.fullmatch(
            rf"process {old.pid}, \d+ s after the restart, has 3 clients that can't move yet: (.*)", predecessor(weir)))
        assert said[1] == "1 with a request, a transaction or a login under way, 1 pinned to a server connection, 1 with TLS"
        busy.query("COMMIT")
        pinned.query("DISCARD ALL")
        wait_until(lambda: "1 client that can't move yet: 1 with TLS" in predecessor(weir), what="two to move")
        assert [row["application_name"] for row in weir.console("EXPLAIN RESTART") if row["moves"]] != []
    wait_until(lambda: predecessor(weir) is None, what="the old process to end")


def called(weir, name):
    return weir.raw(parameters={"application_name": name})


def predecessor(weir):
    """What SHOW STATE says of the process that clients come from."""
    return {row["key"]: row["value"] for row in weir.console("SHOW STATE")}.get("predecessor")


# --- what the process has ---

def test_both_together_have_at_most_twice_the_connections(weir):
    weir.start(pool_size=3)
    is_over, counts = threading.Event(), []
    busy = [weir.in_background(sleep_often, weir, is_over) for _ in range(8)]

    def look():
        while not is_over.is_set():
            counts.append(weir.postgres.count())

    looking = weir.in_background(look)
    wait_until(lambda: max(counts, default=0) == 3)
    for _ in range(3):
        weir.restart()
        wait_until(lambda: weir.postgres.count() <= 3)
    is_over.set()
    looking.result()
    assert all(job.result() for job in busy)
    assert 3 <= max(counts) <= 6


def sleep_often(weir, is_over):
    with weir.raw() as wire:
        while not is_over.is_set():
            assert wire.query("SELECT 1 FROM pg_sleep(0.02)") == [["1"]]
    return True


def test_the_sockets_the_pid_file_and_the_counts(weir):
    path, pid_file = str(weir.directory / ".s.PGSQL.6432"), weir.directory / "pid"
    weir.start({"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{path}"], "pid_file": pid_file}})
    before = os.stat(path).st_ino
    with rawwire.Wire(path).login() as wire:
        weir.console("RESTART")
        weir.restart_was_asked()
        assert wire.query("SELECT 1") == [["1"]]
        with rawwire.Wire(path).login() as another:
            assert another.query("SELECT 2") == [["2"]]
    assert os.stat(path).st_ino == before
    assert int(pid_file.read_text(encoding="ascii")) == weir.process.pid
    assert weir.metric("pgweir_restarts_total") == 1 and weir.metric("pgweir_restart_clients_total") == 1
    assert weir.stop(signal.SIGTERM) == 0
    assert not os.path.exists(path) and not pid_file.exists()


def test_the_sockets_of_a_service_manager(weir):
    """It listens, and passes its socket to the first process alone."""
    with socket.create_server((weir.host, 0)) as listening:
        weir.port = listening.getsockname()[1]
        weir.configure()
        weir.write_config()
        number = listening.fileno()
        binary, weir.binary = weir.binary, "/bin/bash"
        weir.launch(["-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$1" 3<&{number}', str(binary), str(weir.ini)],
                    pass_fds=[number])
        weir.binary = binary
    with weir.raw() as wire:
        weir.restart()
        weir.restart()
        assert wire.query("SELECT 1") == [["1"]] and weir.raw().query("SELECT 2") == [["2"]]


def heard_by(sock):
    """The next message to a service manager, and the process that has sent it."""
    text, parts, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
    return text.decode(), struct.unpack("3i", parts[0][2])[0]


def test_the_service_manager_is_told(weir):
    """Its watchdog, too: by that process alone which is the service."""
    path = str(weir.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        sock.settimeout(PATIENCE)
        weir.start(environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1600000"})   # few, as none is read during the restart
        if "libsystemd" not in subprocess.run(["ldd", weir.binary], check=True, capture_output=True, text=True).stdout:
            pytest.skip("built without libsystemd")
        assert "READY=1" in sock.recv(4096).decode()
        assert sock.recv(4096) == b"WATCHDOG=1"
        with weir.raw() as wire:
            wire.query(BEGIN_NOW)                         # for this client the old process stays
            old = weir.restart(wait=False)
            heard = [heard_by(sock)]
            while heard.count(("WATCHDOG=1", weir.process.pid)) < 3:
                heard.append(heard_by(sock))
            moved = heard.index((f"MAINPID={weir.process.pid}", old.pid))
            assert {said for said in heard[:moved]} <= {("WATCHDOG=1", old.pid)}
            assert heard[moved + 1:] == [("READY=1", weir.process.pid)] + [("WATCHDOG=1", weir.process.pid)] * 3
            wire.query("COMMIT")


def test_what_the_new_configuration_no_longer_listens_on(weir):
    path = str(weir.directory / "gone")
    weir.start({"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{path}"]}})
    weir.configure()
    weir.write_config()
    weir.restart()
    assert not os.path.exists(path)
    assert weir.raw().query("SELECT 1") == [["1"]]


def test_to_stop_the_successor_stops_both(weir):
    with weir.start().raw() as pinned:
        pinned.query("CREATE TEMP TABLE t (n int)")
        weir.restart(wait=False)
        weir.stop(signal.SIGTERM)
        wait_until(lambda: weir.predecessors[0].poll() == 0, what="the old process to end")
        pinned.wait_closed()


def test_shutdown_in_the_console_of_the_old_process_stops_both(weir):
    weir.start()
    console = weir.connect("admin", "pgweir", autocommit=True)
    with weir.raw() as pinned:
        pinned.query(BEGIN_NOW)
        weir.restart(wait=False)
        console.execute("SHUTDOWN WAIT_FOR_SERVERS")
        weir.wait_log(f"[{weir.process.pid}] INFO: stopping", f"[{weir.predecessors[0].pid}] INFO: stopping")
        pinned.query("COMMIT")
        wait_until(lambda: weir.predecessors[0].poll() == 0, what="the old process to end")
        wait_until(lambda: weir.process.poll() is not None, what="the new process to end")
        weir.expected_exit = 0


def test_the_restart_is_over_when_the_old_process_has_no_clients(weir, tap):
    """It takes a while to stop, as PostgreSQL does not take the cancel of its last client; nobody need care."""
    with weir.start(upstream=weir.upstream(port=tap.port)).raw() as moves, weir.raw() as stays:
        stays.send(query("SELECT pg_sleep(60)"))
        sleeping(weir, 1)
        old = weir.restart(wait=False)
        weir.wait_log("staying for now")
        tap.stall(new=True)
        stays.close()
        weir.wait_log("moved to process", "this one ends")
        old.send_signal(signal.SIGHUP)                               # logrotate's, say, to all processes of that name
        log = weir.wait_log(f"the previous process, {old.pid}, has ended", f"[{old.pid}] INFO: stopped")
        assert "was not reloaded" not in log
        times = [re.search(rf"(?m)^\S+ (\S+) .*{text}", log).group(1)
                 for text in (f"the previous process, {old.pid}, has ended", rf"\[{old.pid}\] INFO: stopped")]
        assert times[0] < times[1]
        tap.unstall()
        tap.cut()
        weir.postgres.kill_backends()
        wait_until(lambda: moves.query("SELECT 1") == [["1"]])


def test_only_an_admin_restarts(weir):
    weir.start()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        weir.console("RESTART", user="stats")
    weir.signal(signal.SIGUSR1)
    wait_until(lambda: weir.metric("pgweir_state", state="paused") == 1)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="RESUME first"):
        weir.console("RESTART")
    weir.console("RESUME")
    weir.console("DISABLE app2")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="ENABLE it first"):
        weir.console("RESTART")
    weir.signal(signal.SIGUSR1)
    wait_until(lambda: weir.metric("pgweir_state", state="paused") == 1)
    weir.signal(signal.SIGUSR2)                                      # it ends the pause, and does nothing else
    assert weir.raw().query("SELECT 1") == [["1"]]
    assert weir.metric_now("pgweir_restarts_total") == 0


# --- what goes wrong ---

@pytest.fixture
def wrapped(weir):
    """pgweir is started by a script, which does what the file beside it says: a bad upgrade."""
    script = weir.directory / "wrapper"
    script.write_text(f'#!/bin/bash\ndo={weir.directory}/do\n[ -e "$do" ] && . "$do"\n'
                      f'exec -a "$0" {weir.binary} "$@"\n', encoding="ascii")
    script.chmod(0o755)
    weir.binary = script
    return weir.directory / "do"


def begin_restart(weir, wrapped, what):
    """The process id of the successor, which does this first."""
    wrapped.write_text(what + "\n", encoding="ascii")
    become_reaper()
    weir.signal(signal.SIGUSR2)
    return int(re.search(r"the successor is process (\d+)", weir.wait_log("the successor is process")).group(1))


def assert_it_goes_on(weir, old, wire):
    assert weir.process.poll() is None and weir.process.pid == old
    assert wire.query("SELECT 1") == [["1"]]
    assert weir.raw().query("SELECT 2") == [["2"]]
    assert weir.metric("pgweir_restart_failures_total") >= 1


@pytest.mark.parametrize("what", ["exit 3", "exec cat /dev/null", "exec pgweir-that-is-not-there"])
def test_another_program_in_its_place(weir, wrapped, what):
    with weir.start().raw() as wire:
        wrapped.write_text(what + "\n", encoding="ascii")
        weir.signal(signal.SIGUSR2)
        weir.wait_log("it ended before it was ready; this process continues")
        assert_it_goes_on(weir, weir.process.pid, wire)
        wrapped.unlink()
        weir.restart()
        assert wire.query("SELECT 3") == [["3"]]


def test_one_that_hangs_is_killed_by_hand(weir, wrapped):
    with weir.start().raw() as wire:
        successor = begin_restart(weir, wrapped, "exec sleep 1000")
        weir.signal(signal.SIGUSR2)
        weir.wait_log("a restart is under way already")
        os.kill(successor, signal.SIGKILL)
        weir.wait_log("this process continues")
        assert_it_goes_on(weir, weir.process.pid, wire)


def test_signals_wait_until_the_successor_has_handlers(weir, wrapped):
    """SIGHUP to all processes of that name, say."""
    with weir.start().raw() as wire:
        os.kill(begin_restart(weir, wrapped, "sleep 1"), signal.SIGHUP)
        weir.restart_was_asked()
        assert wire.query("SELECT 1") == [["1"]]
        wait_until(lambda: weir.metric("pgweir_config_reloads_total", result="ok") >= 1)


def test_nothing_holds_the_clients_of_one_process_alone(weir, wrapped):
    """PAUSE would say that all is quiet, while clients in the other process went on."""
    weir.start()
    console = weir.connect("admin", "pgweir", autocommit=True)
    with weir.raw() as pinned:
        pinned.query("CREATE TEMP TABLE t (n int)")
        begin_restart(weir, wrapped, "sleep 1")
        assert_no_hold(console, "pgweir restarts")
        weir.signal(signal.SIGUSR1)
        weir.wait_log("not paused: pgweir restarts")
        weir.restart_was_asked(wait=False)
        assert_no_hold(console, "pgweir restarts")
        console = weir.connect("admin", "pgweir", autocommit=True)
        assert_no_hold(console, "the last restart is not over")
        pinned.query("DROP TABLE t")
        weir.wait_log("has ended: ")
        console.execute("PAUSE")
        console.execute("RESUME")


def assert_no_hold(console, text):
    for command in ("PAUSE", "PAUSE app", "SUSPEND", "DISABLE app", "KILL app"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=text):
            console.execute(command)
    console.execute("ENABLE app")


def test_to_stop_while_the_successor_starts(weir, wrapped):
    weir.start()
    successor = Successor(begin_restart(weir, wrapped, "exec sleep 1000"))
    assert weir.stop(signal.SIGTERM) == 0
    assert successor.wait(5 * SLOWNESS) != 0


def test_the_old_one_is_killed_while_the_successor_starts(weir, wrapped):
    weir.start()
    successor = begin_restart(weir, wrapped, "sleep 1")
    weir.process.kill()
    weir.process.wait()
    weir.process = Successor(successor)
    wait_until(lambda: weir.raw().query("SELECT 1") == [["1"]])


def test_a_broken_configuration(weir):
    with weir.start().raw() as wire:
        with open(weir.ini, "a", encoding="utf-8") as ini:
            ini.write("[pool]\npool_sice = 3\n")
        weir.signal(signal.SIGUSR2)
        weir.wait_log("gave up on process", "pool_sice")
        assert_it_goes_on(weir, weir.process.pid, wire)


def test_a_port_that_it_cannot_open(weir):
    with socket.create_server(("127.0.0.1", 0)) as other, weir.start().raw() as wire:
        weir.configure({"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"127.0.0.1:{other.getsockname()[1]}"]}})
        weir.write_config()
        weir.signal(signal.SIGUSR2)
        weir.wait_log("gave up on process", "could not listen on")
        assert_it_goes_on(weir, weir.process.pid, wire)


@pytest.mark.parametrize("children", ["waited for", "ignored"])
def test_the_successor_dies_when_it_serves(weir, wrapped, children):
    if children == "ignored":
        wrapped.write_text("trap '' CHLD\n", encoding="ascii")      # as some who start programs do
    with weir.start().raw() as pinned, weir.raw() as moved:
        pinned.query("CREATE TEMP TABLE t (n int)")
        old = weir.restart(wait=False)
        wait_until(lambda: "staying for now" in weir.log())
        weir.process.kill()
        weir.wait_log("this process serves again")
        weir.process = weir.predecessors.pop()
        moved.wait_closed()
        assert pinned.query("SELECT * FROM t") == []
        assert_it_goes_on(weir, old.pid, pinned)


def test_the_sockets_of_a_service_manager_stay_when_the_successor_dies(weir):
    weir.configure()
    weir.write_config()
    with socket.create_server((weir.host, weir.port)) as listening, open(weir.log_file, "ab") as log:
        number = listening.fileno()
        weir.process = subprocess.Popen(["bash", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$1" 3<&{number}',
                                         str(weir.binary), str(weir.ini)],
                                        pass_fds=[number], cwd=weir.directory, stdout=log, stderr=log)
        weir.wait_log("is ready (pid")
        with weir.raw() as pinned:
            pinned.query("CREATE TEMP TABLE t (n int)")
            old = weir.restart(wait=False)
            assert weir.raw().query("SELECT 1") == [["1"]]
            weir.process.kill()
            weir.wait_log("this process serves again")
            weir.process = weir.predecessors.pop()
            assert_it_goes_on(weir, old.pid, pinned)


def test_a_client_that_listens_is_answered_while_the_successor_gets_no_server(weir, own_postgres):
    """It waits for the successor to listen in its place for some seconds, and not for pool_timeout."""
    weir.postgres = own_postgres
    with weir.start(pool_timeout="40s").raw() as wire:
        wire.query("LISTEN news")
        own_postgres.stop()
        weir.restart(wait=False)
        while "the successor has not taken it in time" not in weir.log():   # the first may come before it is to move
            assert [error.sqlstate for error in errors(wire.ask(query("SELECT 1")))] == ["08001"]
        own_postgres.start()
        wait_until(lambda: not errors(wire.ask(query("SELECT 1"))))
        weir.stop(signal.SIGINT)


def test_a_successor_with_few_descriptors_keeps_some_for_its_servers(weir, wrapped):
    """It refuses the clients that are too many for it. They stay; those that have moved are served."""
    weir.start(pool_size=2)
    wires = [weir.raw() for _ in range(200)]
    each(wires).query("SET work_mem = '5MB'")
    wrapped.write_text("ulimit -n 128\n", encoding="ascii")
    weir.restart(wait=False)
    weir.wait_log("staying for now", "that the successor could not take", "no descriptor is left for it")
    for wire in wires:
        assert wire.value("SHOW work_mem") == "5MB"


@pytest.mark.long
def test_clients_move_when_a_successor_that_stood_still_goes_on(weir, wrapped):
    """It is stopped before it has taken any: they are served where they are, and move later. So is the one whose statement
    is more than the link to it takes."""
    weir.start()
    wires = [weir.raw() for _ in range(40)]
    wires[10].ask(parse("large", f"SELECT '{'x' * 600_000}'"), sync())
    old = weir.process
    new = Successor(begin_restart(weir, wrapped, "sleep 1"))
    wait_until(lambda: asleep(old))                                  # the line comes before what it sends there
    old.send_signal(signal.SIGSTOP)                                  # until the other one waits for its GO
    wait_until(lambda: weir.log().count("listening on") == 2 and asleep(new), what="the successor to be ready")
    new.send_signal(signal.SIGSTOP)
    old.send_signal(signal.SIGCONT)
    weir.wait_log("clients move there as they become idle", "the successor has not taken it in time")
    for wire in wires:
        assert wire.query("SELECT 1") == [["1"]]
    new.send_signal(signal.SIGCONT)
    weir.predecessors.append(old)
    weir.process = new
    wait_until(lambda: old.poll() == 0, what="all clients to move")
    for wire in wires:
        assert wire.query("SELECT 1") == [["1"]]
    assert len(texts(wires[10].ask(bind("", "large"), execute(), sync()))[0][0]) == 600_000


def asleep(process):
    with open(f"/proc/{process.pid}/wchan", encoding="ascii") as wchan:
        return "poll" in wchan.read()


# --- a worker that does not answer ---

@pytest.fixture(name="spread")
def _spread(weir):
    """Clients of two pools, which live on the two workers that are not the door."""
    weir.start({"database other": {"upstream": weir.upstream(dbname="app")}}, workers=3)
    wires = {database: weir.raw(database=database) for database in ("app", "other")}
    for wire in wires.values():
        assert wire.query("SELECT 1") == [["1"]]
    return weir, wires, homes_of(weir)


def homes_of(weir):
    return {row["database"]: row["worker"] for row in weir.console("SHOW POOLS_EXTENDED") if row["database"] != "pgweir"}


@pytest.mark.long
def test_a_worker_that_hangs_when_the_successor_is_ready(spread):
    weir, wires, homes = spread
    words = f"worker {homes['other']} does not answer; this process continues"
    with Stall(weir.process.pid, f"pgweir-{homes['other']}"):
        weir.signal(signal.SIGUSR2)
        weir.wait_log(words)
        assert_it_goes_on(weir, weir.process.pid, wires["app"])
    assert wires["other"].query("SELECT 1") == [["1"]]
    weir.restart()
    for wire in wires.values():
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.long
def test_a_worker_that_hangs_while_clients_move(spread):
    """Those of the others are served where they are, and all move when it answers again."""
    weir, wires, homes = spread
    each(wires.values()).query(BEGIN_NOW)
    old = weir.restart(wait=False)
    weir.wait_log("2 staying for now")
    with Stall(old.pid, f"pgweir-{homes['other']}"):
        for _ in range(3):
            wires["app"].query("COMMIT")
            assert wires["app"].query("BEGIN; SELECT 1") == [["1"]]
        assert weir.raw(database="other").query("SELECT 2") == [["2"]]
        weir.wait_log(f"no client moves for now: worker {homes['other']} does not answer")
    each(wires.values()).query("COMMIT")
    wait_until(lambda: old.poll() == 0, what="the old process to end")
    for wire in wires.values():
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.long
def test_a_worker_of_the_successor_that_hangs(spread):
    """Clients that come then are refused, and stay."""
    weir, wires, _ = spread
    each(wires.values()).query(BEGIN_NOW)
    old = weir.restart(wait=False)
    weir.wait_log("2 staying for now")
    assert weir.raw(database="other").query("SELECT 2") == [["2"]]
    with Stall(weir.process.pid, f"pgweir-{homes_of(weir)['other']}"):
        wires["app"].query("COMMIT")
        assert wires["app"].query("SELECT 3") == [["3"]]
        weir.wait_log("the successor cannot take it: worker")
    wait_until(lambda: weir.console("SHOW CLIENTS"))                # it answers again
    wires["other"].query("COMMIT")
    assert wires["other"].query("SELECT 4") == [["4"]]
    assert wires["app"].query("SELECT 4") == [["4"]] and old.poll() is None
    wires["app"].close()
    wait_until(lambda: old.poll() == 0, what="the old process to end")
    assert wires["other"].query("SELECT 5") == [["5"]]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.01, 0.03])
@pytest.mark.parametrize("victim", ["old", "new"])
def test_one_is_killed_while_clients_move(weir, victim, delay):
    """Whoever is left serves; each client is served as ever, or is closed with the process that had it."""
    weir.start()
    wires = [weir.raw() for _ in range(100)]
    each(wires).query("SET work_mem = '5MB'")
    old = weir.restart(wait=False)
    weir.predecessors.clear()
    time.sleep(delay)
    new = weir.process
    (old if victim == "old" else new).send_signal(signal.SIGKILL)
    (old if victim == "old" else new).wait(5 * SLOWNESS)
    if victim == "new" and old.poll() is None:
        weir.process = old
        wait_until(lambda: old.poll() is not None or "serves again" in weir.log())
    if weir.process.poll() is not None:                              # the old one had ended before, and all are gone
        weir.expected_exit = weir.process.poll()
        return
    served = 0
    for wire in wires:
        with suppress(rawwire.WireClosed, OSError):
            assert wire.value("SHOW work_mem") == "5MB"
            served += 1
    if victim == "old":
        weir.wait_log("has ended: ")
        assert served >= int(re.search(r"has ended: (\d+) clients? came", weir.log()).group(1))
    assert weir.raw().query("SELECT 1") == [["1"]]
