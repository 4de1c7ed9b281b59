"""Several workers: an operator sees one pgweir. Pools live on different ones, and the console, /metrics, limits, reloads
and cancels hold over all of them."""

import signal
import socket
import subprocess

import pytest

import rawwire
from rawwire import BEGIN_NOW, errors, texts
from stall import Stall
from waiting import PATIENCE, each, wait_until
from weir import wait_blockers

pytestmark = pytest.mark.weir_only


def sections_of(weir):
    return {"database two": {"upstream": weir.upstream(dbname="app2")}}


@pytest.fixture(name="spread")
def _spread(weir):
    """Clients of pools on several of three workers."""
    weir.start(workers=3, sections=sections_of(weir))
    wires = [weir.raw(database=database) for database in ("app", "app2", "two", "app")]
    for wire in wires:
        assert wire.query("SELECT 1") == [["1"]]
    return weir, wires


def workers_of(weir):
    return {row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")}


def test_pools_live_on_several_workers_and_each_on_one(spread):
    weir, _ = spread
    assert len(workers_of(weir)) > 1
    rows = wait_until(lambda: (found := weir.console("SHOW WORKERS")) and sum(row["clients"] for row in found) == 4 and
                      found)
    assert [row["worker"] for row in rows] == [0, 1, 2]
    assert {row["state"] for row in rows} == {"up"}
    assert sum(row["servers"] for row in rows) >= 3
    assert len(weir.console("SHOW CLIENTS")) == 5       # and this one of the console's
    weir.wait_log("), with 3 workers")


@pytest.mark.parametrize("what", ["CLIENTS", "SERVERS", "SOCKETS", "ACTIVE_SOCKETS"])
def test_rows_of_connections_end_with_their_worker_if_there_are_several(weir, what):
    """With one they are as wide as PgBouncer's: see test_console.py."""
    weir.start(workers=3, sections=sections_of(weir))
    wires = [weir.raw(database=database) for database in ("app", "app2", "two")]
    for wire in wires:
        wire.query(BEGIN_NOW)                     # active, with a server
    homes = homes_of(weir)
    assert len(set(homes.values())) > 1
    rows = [row for row in weir.console(f"SHOW {what}") if row["database"] in homes]
    assert all(list(row)[-1] == "worker" for row in rows)
    assert {row["database"]: row["worker"] for row in rows} == homes
    assert [row["worker"] for row in weir.console(f"SHOW {what} LIKE 'pgweir'")] == [0] * (what != "SERVERS")
    assert {row["worker"] for row in weir.console(f"SHOW {what} LIKE 'two'")} == {homes["two"]}


def test_a_statement_of_several_workers_is_one_row(weir):
    """Each has a text of its own, under one name: what holds it, and its bytes, are added up."""
    weir.start(workers=3)
    wires = [weir.raw(user=user) for user in ("web", "reporting", "scramuser")]     # each on another worker
    each(wires).ask(rawwire.parse("s", "SELECT 'of all'") + rawwire.sync())
    wires[0].ask(rawwire.parse("t", "SELECT 'of one'") + rawwire.sync())
    shown = {row["query"]: row for row in weir.console("SHOW PREPARED")}
    assert len(workers_of(weir)) == 3
    names = [row["name"] for row in weir.console("SHOW PREPARED")]
    assert len(names) == len(set(names))
    of_all, of_one = (shown[f"SELECT 'of {how}'"] for how in ("all", "one"))
    assert (of_all["held"], of_one["held"]) == (3, 1)
    assert of_all["bytes"] == 3 * of_one["bytes"]


def test_metrics_are_of_all_workers(spread):
    weir, _ = spread
    wait_until(lambda: weir.metric("pgweir_client_connections", state="idle", database="app", user="web") == 2)
    for number in range(3):
        assert weir.metric("pgweir_worker_up", worker=str(number)) == 1
        assert weir.metric("pgweir_event_loop_iterations_total", worker=str(number)) > 0
    assert weir.http("/healthz").status == 200
    assert weir.http("/readyz").status == 200


def test_halts_are_measured(spread):
    weir, _ = spread
    before = weir.metric_now("pgweir_halt_seconds_count")
    weir.console("SHOW CLIENTS")
    weir.console("SHOW WORKERS")                            # needs none
    assert weir.metric_now("pgweir_halt_seconds_count") == before + 1


def test_pause_and_resume_hold_for_all(spread):
    weir, wires = spread
    weir.console("PAUSE")
    each(wires).send(rawwire.query("SELECT 2"))
    wait_until(lambda: len(weir.console("SHOW WAITERS")) == len(wires))
    assert {row["paused"] for row in weir.console("SHOW DATABASES")} == {1}
    weir.console("RESUME")
    for wire in wires:
        assert texts(wire.read_until()) == [["2"]]


def test_a_reload_changes_all_pools_and_says_that_workers_stay(spread):
    weir, _ = spread
    weir.reload(sections=sections_of(weir), pool_size=7, workers=2)
    assert {row["pool_size"] for row in weir.console("SHOW POOLS_EXTENDED")} == {7}
    assert len(weir.console("SHOW WORKERS")) == 3
    weir.wait_log("workers")


def test_a_client_of_any_worker_is_killed(spread):
    weir, wires = spread
    for row in [row for row in weir.console("SHOW CLIENTS") if row["database"] != "pgweir"]:
        weir.console(f"KILL_CLIENT {row['id']}")
    for wire in wires:
        assert [error.sqlstate for error in errors(wire.read_to_end())] == ["57P01"]
    wait_until(lambda: sum(row["clients"] for row in weir.console("SHOW WORKERS")) == 0)


def test_a_cancel_finds_its_client_on_any_worker(spread):
    weir, wires = spread
    each(wires).send(rawwire.query("SELECT pg_sleep(60)"))
    wait_until(lambda: weir.postgres.count(wait_event="PgSleep") == len(wires))
    for wire in wires:
        rawwire.send_cancel(weir.address, wire.key)
        assert [error.sqlstate for error in errors(wire.read_until())] == ["57014"]


def test_locks_are_followed_over_all_workers(weir):
    """Three users of one database, each on another worker, wait behind each other."""
    users = ("web", "reporting", "scramuser")
    weir.start(workers=3)
    wires = [weir.raw(user=user) for user in users]
    for number, wire in enumerate(wires, 1):
        wire.query(f"BEGIN; SELECT pg_advisory_xact_lock({number})")
    assert len(workers_of(weir)) == 3
    for number, wire in enumerate(wires[1:], 1):
        wire.send(rawwire.query(f"SELECT pg_advisory_xact_lock({number})"))
    wait_until(lambda: len(weir.postgres.backends(wait_event_type="Lock")) == 2)
    found = {row["user"]: row for row in wait_blockers(lambda: weir.console("SHOW HOLDERS"))}
    who = [f"client {found[user]['client_id']} (PID {found[user]['server_pid']})" for user in users]
    assert [found[user]["blocked_by"] for user in users] == ["", who[0], who[1]]
    assert [(found[user]["root"], found[user]["blocks"]) for user in users] == [("", 2), (who[0], 1), (who[0], 0)]
    wait_until(lambda: any(f"At the root is {who[0]}, which blocks 2 clients" in row["explanation"]
                           for row in weir.console(f"EXPLAIN WAIT {found[users[2]]['client_id']}")))
    for wire in wires:
        wire.query("COMMIT") if wire is wires[0] else wire.read_until("Z")
        wire.query("ROLLBACK")


def test_statistics_of_a_database_are_added_up(weir):
    """Two users of one database are two pools, which may be on two workers."""
    weir.start(workers=3)
    for user in ("web", "reporting"):
        weir.raw(user=user).query("SELECT 1")
    assert len(workers_of(weir)) == 2
    wait_until(lambda: [row["total_query_count"] for row in weir.console("SHOW STATS") if row["database"] == "app"] == [2])
    assert [row["name"] for row in weir.console("SHOW DATABASES")].count("app") <= 1
    assert len(weir.console("SHOW BACKENDS")) == 1


def test_a_stop_lets_transactions_of_all_workers_finish(spread):
    weir, wires = spread
    each(wires[:2]).query(BEGIN_NOW)
    weir.signal(signal.SIGTERM)
    for wire in wires[2:]:
        assert [error.sqlstate for error in errors(wire.read_to_end())] == ["57P01"]
    each(wires[:2]).query("COMMIT")
    assert weir.wait_exit() == 0


def test_auto_is_as_many_as_there_are_processors(weir):
    weir.start(workers="auto")
    assert 1 <= len(weir.console("SHOW WORKERS")) <= 16
    assert {row["value"] for row in weir.console("SHOW CONFIG") if row["key"] == "pgweir.workers"} == {"auto"}


def homes_of(weir):
    return {row["database"]: row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")}


@pytest.mark.long
def test_a_worker_that_hangs_is_named_and_the_others_go_on(spread):
    weir, wires = spread
    homes = homes_of(weir)
    hung = max(homes.values())
    words = f"worker {hung} does not answer"
    of_hung = wires[("app", "app2", "two", "app").index(next(name for name in homes if homes[name] == hung))]
    with Stall(weir.process.pid, f"pgweir-{hung}"):
        cancels = [weir.in_background(rawwire.send_cancel, weir.address, of_hung.key)]
        for command in ("SHOW CLIENTS", "SHOW HOLDERS", "PAUSE", "RELOAD"):
            with pytest.raises(Exception, match=words):
                weir.console(command)
        for wire, database in zip(wires, ("app", "app2", "two", "app")):
            if homes[database] != hung:
                assert wire.query("SELECT 4") == [["4"]]
        weir.wait_log(words)
        cancels.append(weir.in_background(rawwire.send_cancel, weir.address, of_hung.key))
        for cancel in cancels:
            cancel.result()                                     # nobody waits for what it can't do
        assert words in wait_until(lambda: (found := weir.http("/healthz")).status == 503 and found.text)
        assert words in weir.http("/readyz").text
        assert weir.metric_now("pgweir_worker_up", worker=str(hung)) == 0
        assert {row["worker"] for row in weir.console("SHOW WORKERS") if row["state"] == "silent"} == {hung}
    weir.wait_log("answers again")
    assert len(weir.console("SHOW CLIENTS")) == len(wires) + 1
    wait_until(lambda: weir.http("/healthz").status == 200)
    weir.console("RELOAD")


def refused_login(weir):
    with pytest.raises(rawwire.LoginRefused) as caught:
        weir.raw()
    return caught.value.reply


@pytest.mark.long
@pytest.mark.parametrize("limit", [{"pool_timeout": "3s"}, {"login_timeout": "3s"}])
def test_newcomers_to_a_worker_that_hangs_are_told_so(weir, limit):
    """Those that came before that was known, and those that come afterwards."""
    weir.start(workers=3, pool_size=4, max_overflow=0, **limit)     # too small for parts
    for database in ("app", "app2"):
        weir.raw(database=database).query("SELECT 1")
    homes = homes_of(weir)
    hung = homes["app"]
    assert homes["app2"] != hung != 0
    words = f"worker {hung}, which has the pool, does not answer"
    with Stall(weir.process.pid, f"pgweir-{hung}"):
        early = weir.in_background(refused_login, weir)
        weir.wait_log(f"worker {hung} does not answer")
        late = weir.in_background(refused_login, weir)
        for reply in (early.result(), late.result()):
            assert (reply.sqlstate, reply.error["M"]) == ("57P03", words)
            assert "restart pgweir" in reply.error["H"]
        weir.wait_log("login refused: " + words)
        assert weir.raw(database="app2").query("SELECT 2") == [["2"]]
    assert weir.raw().query("SELECT 3") == [["3"]]


@pytest.mark.long
def test_the_service_manager_hears_of_us_only_while_all_workers_move(weir):
    path = str(weir.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(PATIENCE)
        weir.start(workers=3, environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
        if "libsystemd" not in subprocess.run(["ldd", weir.binary], check=True, capture_output=True, text=True).stdout:
            pytest.skip("built without libsystemd")
        heard = [sock.recv(4096) for _ in range(3)]
        assert heard[0].startswith(b"READY=1") and heard[1:] == [b"WATCHDOG=1"] * 2
        with Stall(weir.process.pid, "pgweir-2"):
            weir.wait_log("worker 2 does not answer")
            sock.settimeout(0)
            with pytest.raises(BlockingIOError):
                while True:
                    sock.recv(4096)
            sock.settimeout(1)                              # more than twice as long as it may take
            with pytest.raises(TimeoutError):
                sock.recv(4096)
        sock.settimeout(PATIENCE)
        assert sock.recv(4096) == b"WATCHDOG=1"


@pytest.mark.long
def test_a_stop_does_not_wait_for_a_worker_that_hangs(spread):
    weir, _ = spread
    weir.reload(sections=sections_of(weir), shutdown_timeout="1s")
    with Stall(weir.process.pid, f"pgweir-{max(homes_of(weir).values())}") as stall:
        weir.signal(signal.SIGTERM)
        stall.wait_end()
        assert weir.wait_exit() == 1
    weir.wait_log("does not answer")
