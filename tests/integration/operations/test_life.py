"""The life of the process: start, reload, drain, stop; sockets of all kinds; no descriptors left."""

import os
import resource
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

import rawwire
from rawwire import BEGIN_NOW, Wire, errors, one_statement, query, shape, sync, texts
from waiting import PATIENCE, SLOWNESS, each, free_port, has_ipv6, wait_until
from weir import timed

pytestmark = pytest.mark.weir_only


def told(wire):
    """The error a client is closed with, or None."""
    try:
        return errors(wire.read_until("E"))[0]
    except rawwire.WireClosed:
        return None


# --- SIGTERM ---

def test_sigterm_without_clients_ends_at_once(weir):
    weir.start()
    code, seconds = timed(lambda: weir.stop(signal.SIGTERM))
    assert code == 0 and seconds < 8 * SLOWNESS


def test_sigterm_lets_transactions_finish_and_tells_the_idle(weir):
    idle, busy, running = weir.start(pool_size=3, shutdown_timeout="20s").raw(), weir.raw(), weir.raw()
    idle.query("SELECT 1")
    busy.query(BEGIN_NOW)
    running.send(query("SELECT pg_sleep(0.8), 'finished'"))
    wait_until(lambda: weir.pool()["sv_active"] == 2)
    weir.signal(signal.SIGTERM)
    reply = told(idle)
    assert (reply.sqlstate, reply.severity) == ("57P01", "FATAL") and "shut" in reply.error["M"]
    idle.wait_closed()
    assert busy.query("SELECT 'still here'") == [["still here"]]
    assert texts(running.read_until("Z")) == [["", "finished"]]
    assert told(running).sqlstate == "57P01"
    assert weir.process.poll() is None
    assert shape(busy.ask(query("COMMIT"))) == "C:COMMIT Z:I"
    assert told(busy).sqlstate == "57P01"
    assert weir.wait_exit(5) == 0


def test_the_console_is_had_by_a_passed_unix_socket_while_draining(weir):
    """As by one that pgweir has opened."""
    with socket.create_server((weir.host, 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        weir.port = tcp.getsockname()[1]
        path = str(weir.directory / f".s.PGSQL.{weir.port}")
        unix.bind(path)
        unix.listen()
        weir.configure(shutdown_timeout="20s")
        weir.write_config()
        fds = [tcp.fileno(), unix.fileno()]
        binary, weir.binary = weir.binary, "/bin/bash"
        weir.launch(["-c", f'LISTEN_PID=$$ LISTEN_FDS=2 exec "$0" "$1" 3<&{fds[0]} 4<&{fds[1]}', str(binary), str(weir.ini)], pass_fds=fds)
        weir.binary = binary
    busy = weir.raw()
    busy.query(BEGIN_NOW)
    weir.signal(signal.SIGTERM)
    wait_until(lambda: weir.http("/readyz").status == 503)
    with Wire(path) as console:
        console.login("admin", "pgweir", weir.users.get("admin"))
        assert console.query("SHOW VERSION")
    busy.query("COMMIT")
    assert weir.wait_exit(5) == 0


def test_while_draining_nobody_new_gets_in_and_readyz_says_so(weir):
    busy = weir.start(pool_size=3, shutdown_timeout="20s").raw()
    busy.query(BEGIN_NOW)
    weir.signal(signal.SIGTERM)
    wait_until(lambda: weir.http("/readyz").status == 503)
    assert "drain" in weir.http("/readyz").text
    assert weir.metric("pgweir_state", state="draining") == 1
    assert weir.metric("pgweir_pool_server_connections", database="app", state="active") == 1
    with pytest.raises((rawwire.WireError, OSError)):
        weir.raw().query("SELECT 1")
    busy.query("COMMIT")
    assert weir.wait_exit(5) == 0


def test_clients_that_wait_for_a_server_are_told(weir):
    busy, waiter = weir.start(pool_size=1, shutdown_timeout="20s").raw(), weir.raw()
    busy.query(BEGIN_NOW)
    waiter.send(query("SELECT 1"))
    weir.wait_waiting(1)
    weir.signal(signal.SIGTERM)
    busy.query("COMMIT")
    found = waiter.read_to_end()
    assert "57P01" in shape(found) or shape(found).startswith("T D C:SELECT 1 Z:I")
    assert weir.wait_exit(5) == 0


def test_shutdown_timeout_ends_what_does_not_finish(weir):
    idle_in_transaction, running = weir.start(pool_size=3, shutdown_timeout="1s").raw(), weir.raw()
    idle_in_transaction.query(BEGIN_NOW)
    running.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: weir.pool()["sv_active"] == 2)
    begin = time.monotonic()
    weir.signal(signal.SIGTERM)
    for wire in (idle_in_transaction, running):
        reply = told(wire)
        assert reply is None or reply.sqlstate in ("57P01", "57014")
    assert weir.wait_exit(6) == 0
    assert 0.8 < time.monotonic() - begin < 10 * SLOWNESS
    wait_until(lambda: not weir.postgres.backends(wait_event="PgSleep"))


def test_a_second_sigterm_does_not_wait(weir):
    busy = weir.start(shutdown_timeout="60s").raw()
    busy.query(BEGIN_NOW)
    weir.signal(signal.SIGTERM)
    wait_until(lambda: weir.metric("pgweir_state", state="draining") == 1)
    weir.signal(signal.SIGTERM)
    _, seconds = timed(lambda: weir.wait_exit(6))
    assert seconds < 5 * SLOWNESS
    busy.wait_closed()


def test_shutdown_delay_keeps_serving_while_readyz_says_no(weir):
    delay = round(2 * SLOWNESS)
    weir.start(shutdown_delay=f"{delay}s", shutdown_timeout="10s").raw().query("SELECT 1")     # its server is there
    begin = time.monotonic()
    weir.signal(signal.SIGTERM)
    wait_until(lambda: weir.http("/readyz").status == 503)
    assert weir.raw().query("SELECT 1") == [["1"]]
    assert weir.wait_exit(8) == 0
    assert time.monotonic() - begin > delay - 0.2


def test_a_copy_under_way_may_finish(weir, table):
    wire = weir.start(shutdown_timeout="10s").raw()
    wire.send(query(f"COPY {table} FROM STDIN"))
    wire.read_until("G")
    weir.signal(signal.SIGTERM)
    wait_until(lambda: weir.metric("pgweir_state", state="draining") == 1)
    wire.send(rawwire.copy_data(b"1\ta\n") + rawwire.copy_done())
    assert shape(wire.read_until("Z")) == "C:COPY 1 Z:I"
    assert weir.wait_exit(5) == 0
    assert weir.postgres.value(f"SELECT count(*) FROM {table}") == 1


def test_session_clients_are_told_between_transactions(weir):
    wire = weir.start(pool_mode="session", shutdown_timeout="10s").raw()
    wire.query("SELECT 1")
    weir.signal(signal.SIGTERM)
    assert told(wire).sqlstate == "57P01"
    assert weir.wait_exit(5) == 0


def test_a_login_in_progress_does_not_hold_up_the_end(weir):
    weir.start(login_timeout="60s", shutdown_timeout="20s", method="scram-sha-256")
    silent, half = weir.wire(), weir.wire()
    half.send(rawwire.startup())
    half.read()
    code, seconds = timed(lambda: weir.stop(signal.SIGTERM))
    assert code == 0 and seconds < 15 * SLOWNESS
    silent.close()


def test_a_server_login_in_progress_does_not_hold_up_the_end(weir, tap):
    tap.stall(new=True)
    weir.start(upstream=f"host={tap.host} port={tap.port}", connect_timeout="30s", shutdown_timeout="2s")
    wire = weir.wire()
    wire.send(rawwire.startup() + query("SELECT 1"))
    wait_until(lambda: tap.accepted_count >= 1)
    code, seconds = timed(lambda: weir.stop(signal.SIGTERM))
    assert code == 0 and seconds < 5 * SLOWNESS


# --- SIGINT, SIGHUP, SIGUSR ---

def test_sigint_ends_at_once_and_tells_everybody(weir):
    idle, busy = weir.start(shutdown_timeout="60s").raw(), weir.raw()
    idle.query("SELECT 1")
    busy.query(BEGIN_NOW)
    weir.signal(signal.SIGINT)
    for wire in (idle, busy):
        reply = told(wire)
        assert reply is None or reply.sqlstate == "57P01"
    _, seconds = timed(lambda: weir.wait_exit(5))
    assert weir.expected_exit == 0 and seconds < 4 * SLOWNESS


def test_transactions_cut_by_the_end_are_rolled_back(weir, table):
    wire = weir.start().raw()
    wire.query(f"BEGIN; INSERT INTO {table} VALUES (1, 'x')")
    weir.stop(signal.SIGINT)
    wait_until(lambda: weir.postgres.count() == 0)
    assert weir.postgres.value(f"SELECT count(*) FROM {table}") == 0


def test_sighup_reads_the_new_config_and_drops_nobody(weir):
    wire, busy = weir.start(pool_size=2).raw(), weir.raw()
    wire.query("SELECT 1")
    busy.query(BEGIN_NOW)
    weir.settle()
    pids = {row["pid"] for row in weir.postgres.backends()}
    for _ in range(5):
        weir.reload(pool_size=2)
    assert {row["pid"] for row in weir.postgres.backends()} == pids, "an unchanged config closed servers"
    assert wire.query("SELECT 1") == [["1"]]
    assert busy.query("SELECT 1") == [["1"]]
    busy.query("COMMIT")
    assert weir.metric("pgweir_config_last_reload_successful") == 1


def test_a_broken_config_changes_nothing_and_is_reported(weir):
    wire = weir.start(pool_size=2).raw()
    wire.query("SELECT 1")
    good = weir.ini.read_text()
    for bad in ("[pool]\npool_size = many\n", "[nonsense\n", "\xff\xfe", "", "[pool]\npool_timeout = 30\n"):
        before = weir.metric("pgweir_config_reloads_total")
        weir.ini.write_text((good if bad else "") + bad, encoding="latin-1")
        weir.signal(signal.SIGHUP)
        wait_until(lambda: weir.metric("pgweir_config_reloads_total") > before)
        assert weir.metric("pgweir_config_last_reload_successful") == 0, bad
        assert wire.query("SELECT 1") == [["1"]]
        assert weir.raw().query("SELECT 1") == [["1"]]
    weir.wait_log("pgweir.ini", "pool_size")
    weir.ini.write_text(good)
    before = weir.metric("pgweir_config_reloads_total")
    weir.signal(signal.SIGHUP)
    wait_until(lambda: weir.metric("pgweir_config_last_reload_successful") == 1)


@pytest.mark.parametrize("spoil", [lambda weir: weir.ini.unlink(), lambda weir: weir.users_file.write_text("web without quotes\n")],
                         ids=["the configuration is gone", "the users file is broken"])
def test_a_reload_that_cannot_be_changes_nothing(weir, spoil):
    weir.start(method="scram-sha-256")
    spoil(weir)
    weir.signal(signal.SIGHUP)
    wait_until(lambda: weir.metric("pgweir_config_last_reload_successful") == 0)
    assert weir.raw().query("SELECT 1") == [["1"]]


def test_a_new_upstream_moves_new_work(weir, tap):
    wire, busy = weir.start(pool_size=2).raw(), weir.raw()
    wire.query("SELECT 1")
    busy.query(BEGIN_NOW)
    weir.reload(upstream=f"host={tap.host} port={tap.port}", pool_size=2)
    assert wire.query("SELECT 1") == [["1"]]
    wait_until(lambda: tap.accepted_count >= 1)
    assert busy.query("SELECT 'old server, same transaction'")
    assert busy.query("COMMIT", "SELECT 1") == [["1"]]
    wait_until(lambda: tap.connection_count() == weir.postgres.count(), what="all servers to come by the new way")


def test_a_database_that_is_removed_refuses_new_clients(weir):
    weir.start()
    weir.raw(database="app2").query("SELECT 1")
    weir.reload(sections={"database app2": None})
    with pytest.raises(rawwire.WireError):
        weir.raw(database="app2").query("SELECT 1")
    assert weir.raw().query("SELECT 1") == [["1"]]
    wait_until(lambda: weir.postgres.count(datname="app2") == 0)


def test_many_reloads_under_load(weir):
    weir.start(pool_size=3)
    is_over = threading.Event()

    def work():
        with weir.raw() as wire:
            while not is_over.is_set():
                assert wire.extended("SELECT $1::int", [7], name=str(time.monotonic())) == [["7"]]
    jobs = [weir.in_background(work) for _ in range(8)]
    for turn, size in enumerate([1, 5, 2, 8, 3] * 2):
        weir.reload(pool_size=size, max_overflow=turn % 3)
    is_over.set()
    each(jobs).result()


def test_sigusr1_pauses_and_sigusr2_resumes(weir):
    with weir.start().raw() as wire:
        wire.query("SELECT 1")
        weir.signal(signal.SIGUSR1)
        wait_until(lambda: weir.metric("pgweir_state", state="paused") == 1)
        wire.send(query("SELECT 2"))
        weir.wait_waiting(1)
        weir.signal(signal.SIGUSR2)
        assert texts(wire.read_until("Z")) == [["2"]]


def test_sigpipe_and_others_do_not_end_it(weir):
    weir.start()
    weir.signal(signal.SIGPIPE)
    assert weir.raw().query("SELECT 1") == [["1"]]


# --- listening ---

def test_a_unix_socket(weir):
    path = str(weir.directory / ".s.PGSQL.6432")
    weir.start(sections={"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{path}"]}})
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    with Wire(path).login() as wire:
        assert wire.query("SELECT 1") == [["1"]]
        assert wire.query("SELECT repeat('x', 1000000)")[0][0] == "x" * 1_000_000
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        rawwire.send_cancel(path, wire.key)
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"
    done = subprocess.run([str(weir.postgres.program("psql")), "-X", "-At", "-h", str(weir.directory), "-p", "6432", "-U",
                           "web", "app", "-c", "SELECT 42"], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "42", done.stderr
    weir.stop()
    assert not os.path.exists(path)


def test_while_draining_a_unix_socket_is_for_the_console_alone(weir):
    path = str(weir.directory / ".s.PGSQL.6432")
    weir.start(sections={"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{path}"]}}, shutdown_timeout="60s")
    with weir.raw() as busy:
        busy.query(BEGIN_NOW)
        weir.signal(signal.SIGTERM)
        wait_until(lambda: weir.metric("pgweir_state", state="draining") == 1)
        with Wire(path).login("admin", "pgweir") as console:
            assert console.query("SHOW VERSION")
        with pytest.raises((rawwire.WireError, OSError)):
            Wire(path).login()
        busy.query("COMMIT")
    assert weir.wait_exit(20) == 0


def test_a_stale_unix_socket_is_replaced(weir):
    path = str(weir.directory / ".s.PGSQL.6432")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    weir.start(sections={"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{path}"]}})
    weir.wait_until(lambda: "is ready" in weir.log())                # the first address answers earlier
    with Wire(path).login() as wire:
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
def test_ipv6(weir):
    port = free_port("::1")
    weir.start(sections={"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"[::1]:{port}"]}})
    with Wire(("::1", port)).login() as wire:
        assert wire.query("SELECT 1") == [["1"]]
        assert any(row["addr"] == "::1" for row in weir.console("SHOW CLIENTS"))


def test_several_addresses(weir):
    ports = [free_port() for _ in range(3)]
    weir.start(sections={"pgweir": {"listen": [f"127.0.0.1:{port}" for port in [weir.port, *ports]]}})
    for port in ports:
        with Wire(("127.0.0.1", port)).login() as wire:
            assert wire.query("SELECT 1") == [["1"]]


def test_an_address_in_use_is_said_clearly(weir):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        weir.configure(sections={"pgweir": {"listen": f"127.0.0.1:{port}"}})
        weir.write_config()
        weir.launch([str(weir.ini)], wait=False)
        assert weir.wait_exit(5) != 0
        assert str(port) in weir.log() and "in use" in weir.log().lower()


def test_an_address_that_is_given_and_missing_is_an_error_and_one_listed_twice_is_one(weir):
    here = f"127.0.0.1:{weir.port}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        weir.configure(sections={"pgweir": {"listen": [here, f"127.0.0.1:{port}"]}})
        weir.write_config()
        weir.launch([str(weir.ini)], wait=False)
        assert weir.wait_exit(5) != 0
        assert f"could not listen on 127.0.0.1 port {port}" in weir.log()
    weir.expected_exit = None
    weir.start(sections={"pgweir": {"listen": [here, here, f"localhost:{weir.port}"]}})
    assert weir.raw().query("SELECT 1") == [["1"]]
    weir.reload(sections={"pgweir": {"listen": [here, f"127.0.0.1:{port}", here]}})
    assert Wire(("127.0.0.1", port)).login().query("SELECT 1") == [["1"]]


def test_a_restart_may_take_the_port_at_once(weir):
    wire = weir.start().raw()
    wire.query("SELECT 1")
    weir.stop(signal.SIGINT)
    weir.expected_exit = None
    weir.launch([str(weir.ini)])
    assert weir.raw().query("SELECT 1") == [["1"]]


def test_the_pid_file(weir):
    path = weir.directory / "pgweir.pid"
    weir.start(pid_file=path)
    wait_until(lambda: int(path.read_text()) == weir.process.pid)
    weir.stop()
    assert not path.exists()


def test_systemd_is_told(weir):
    path = str(weir.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(PATIENCE)
        weir.start(environment={"NOTIFY_SOCKET": path})
        said = sock.recv(4096).decode()
        if "READY=1" not in said:
            said += sock.recv(4096).decode()
        assert "READY=1" in said
        for step, words in ((weir.reload, ("RELOADING=1", "READY=1")), (lambda: weir.signal(signal.SIGTERM), ("STOPPING=1",))):
            step()
            said = ""
            for word in words:
                while word not in said:
                    said += sock.recv(4096).decode()
                said = said.partition(word)[2]
        weir.wait_exit(5)


# --- limits ---

def test_the_soft_limit_is_raised_and_one_that_is_too_small_is_warned_of(weir):
    weir.configure(max_client_connections=1000)
    weir.write_config()
    binary, weir.binary = weir.binary, "/bin/bash"
    weir.launch(["-c", 'ulimit -Sn 100; ulimit -Hn 300; exec "$0" "$1"', str(binary), str(weir.ini)])
    weir.binary = binary
    assert resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE) == (300, 300)
    weir.wait_log("only 300 descriptors are allowed: max_client_connections = 1000 may not be reached")


def test_out_of_descriptors_it_refuses_and_recovers(weir):
    with weir.start(fd_limit=80, max_client_connections=1000, pool_size=3).raw() as good:
        good.query("SELECT 1")
        crowd, refused = [], 0
        for _ in range(150):
            wire = Wire(weir.address, timeout=2)
            crowd.append(wire)
            try:
                wire.send(rawwire.startup())
                refused += wire.read_until("ZE", timeout=0.3)[-1].type == "E"
            except (rawwire.WireError, ConnectionError):
                refused += 1
            if refused > 10:
                break
        assert refused > 10 and weir.is_alive()
        assert good.query("SELECT 'still served'") == [["still served"]]
        begin = weir.cpu_seconds()
        assert good.has_nothing_more(0.5)
        assert weir.cpu_seconds() - begin < 0.3, "it spins on accept"
        each(crowd).close()
        wait_until(lambda: weir.raw(timeout=1).query("SELECT 1") == [["1"]], what="it to recover")


def test_a_thousand_idle_clients(weir):
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    weir.start(max_client_connections=2000, pool_size=5)
    wires = [weir.raw() for _ in range(1000)]
    for wire in wires[::50]:
        assert wire.query("SELECT 1") == [["1"]]
    assert weir.postgres.count() <= 5
    each(wires).close()
    wait_until(lambda: weir.metric("pgweir_client_connections") == 0)


def test_an_idle_pgweir_uses_no_cpu(weir):
    weir.start(pool_size=3)
    wires = [weir.raw() for _ in range(10)]
    each(wires).query("SELECT 1")
    begin = weir.cpu_seconds()
    assert wires[0].has_nothing_more(1.5)
    assert weir.cpu_seconds() - begin < 0.1


def test_nothing_leaks_from_query_to_query(weir, sanitized):
    with weir.start(pool_size=2).raw() as wire:
        def some(count):
            for number in range(count):
                wire.send(query("SELECT 1") + one_statement("SELECT $1::int", [number], name="") + sync())
                wire.read_until("Z", 2)
        some(300)
        before = weir.memory_bytes()
        some(3000)
        if not sanitized:
            assert weir.memory_bytes() - before < 1_000_000


def test_a_log_file_is_opened_anew_on_sighup(weir):
    log = weir.directory / "own.log"
    weir.start(sections={"log": {"destination": log}}, connections=True)
    weir.raw().query("SELECT 1")
    wait_until(lambda: log.exists() and log.read_text())
    os.rename(log, weir.directory / "own.log.1")
    weir.reload(sections={"log": {"destination": log}}, connections=True)
    weir.raw().query("SELECT 1")
    wait_until(lambda: log.exists() and log.read_text())


def test_passwords_are_in_no_log(weir):
    weir.start(method="scram-sha-256", sections={"log": {"level": "debug"}}, connections=True)
    weir.wire().login(password="web-secret").query("SELECT 1")
    with pytest.raises(rawwire.LoginRefused):
        weir.wire().login("scramuser", password="web-secret-but-wrong")
    weir.wire().login("scramuser", password="scram-secret").query("SELECT 1")
    assert "secret" not in weir.log().replace("app.secret", "")
