"""Session mode: the server is borrowed at login, and its process id is the one the client is told."""

import psycopg
import psycopg2
import psycopg2.extensions
import pytest

import rawwire
from rawwire import errors, query, send_cancel, texts
from waiting import each, wait_until


def key_pid(wire):
    return int.from_bytes(wire.key[:4], "big")


def pid(wire):
    return int(wire.value("SELECT pg_backend_pid()"))


def sleeping(weir, count=1):
    wait_until(lambda: weir.postgres.count(wait_event="PgSleep", state="active") == count, what=f"{count} sleepers")


def test_the_key_carries_the_servers_process_id(weir):
    weir.start(pool_mode="session", pool_size=3)
    wires = [weir.raw() for _ in range(3)]
    assert [key_pid(wire) for wire in wires] == [pid(wire) for wire in wires]
    assert len({wire.key for wire in wires}) == 3


def test_what_drivers_show_agrees_with_postgresql(weir):
    weir.start(pool_mode="session", pool_size=3)
    two, three = weir.connect2(autocommit=True), weir.connect(autocommit=True)
    cursor = two.cursor()
    cursor.execute("SELECT pg_backend_pid()")
    assert two.info.backend_pid == two.get_backend_pid() == cursor.fetchone()[0]
    assert three.info.backend_pid == three.execute("SELECT pg_backend_pid()").fetchone()[0]
    cursor.execute("LISTEN ch")
    cursor.execute("NOTIFY ch")
    three.execute("NOTIFY ch")
    seen = []

    def poll():
        two.poll()
        seen.extend(two.notifies)
        two.notifies.clear()
        return len(seen) == 2
    wait_until(poll, what="two notifications")
    assert [note.pid for note in seen] == [two.info.backend_pid, three.info.backend_pid]


def test_blocking_pids_are_those_of_the_clients(weir):
    holder, waiter, watcher = weir.start(pool_mode="session", pool_size=3).raw(), weir.raw(), weir.raw()
    holder.query("SELECT pg_advisory_lock(7)")
    waiter.send(query("SELECT pg_advisory_lock(7)"))
    blocked = f"SELECT pg_blocking_pids({key_pid(waiter)})"
    wait_until(lambda: watcher.value(blocked) == "{%d}" % key_pid(holder), what="the waiter to be blocked by the holder")
    holder.query("SELECT pg_advisory_unlock(7)")
    waiter.read_until("Z")


def test_a_cancel_with_a_real_pid_reaches_its_client_alone(weir):
    weir.start(pool_mode="session", pool_size=3)
    wires = [weir.raw() for _ in range(3)]
    each(wires).send(query("SELECT pg_sleep(1.5), 'slept'"))
    sleeping(weir, 3)
    assert send_cancel(weir.address, wires[1].key) == b""
    assert errors(wires[1].read_until("Z"))[0].sqlstate == "57014"
    assert [texts(wires[n].read_until("Z")) for n in (0, 2)] == [[["", "slept"]]] * 2


def test_the_servers_own_secret_is_no_key(weir):
    """The pid is PostgreSQL's; the secret is ours."""
    with weir.start(pool_mode="session", pool_size=1).raw() as wire:
        wire.send(query("SELECT pg_sleep(1), 'slept'"))
        sleeping(weir)
        send_cancel(weir.address, wire.key[:4] + bytes(4))
        send_cancel(weir.address, wire.key[:4] + bytes(byte ^ 1 for byte in wire.key[4:]))
        assert texts(wire.read_until("Z")) == [["", "slept"]]


@pytest.mark.weir_only
def test_the_key_of_the_client_before_hits_nobody(weir):
    """Both had the same server, and so the same pid."""
    with weir.start(pool_mode="session", pool_size=1).raw() as first:
        old = first.key
    with weir.raw() as second:
        assert second.key[:4] == old[:4] and second.key != old
        second.send(query("SELECT pg_sleep(1), 'slept'"))
        sleeping(weir)
        send_cancel(weir.address, old)
        assert texts(second.read_until("Z")) == [["", "slept"]]


@pytest.mark.weir_only
def test_clients_with_equal_pids_are_told_apart_by_their_secrets(weir, fake):
    """Two PostgreSQL servers may well have backends of the same pid; this one has only one."""
    def script(conn):
        conn.number = 242                                            # of which it makes its pid
        conn.login()
        conn.serve()
    fake.script = script
    weir.start(pool_mode="session", upstream=fake.upstream)
    wires = [weir.raw() for _ in range(3)]
    assert {key_pid(wire) for wire in wires} == {4242} and len({wire.key for wire in wires}) == 3
    for wire in wires:
        send_cancel(weir.address, wire.key)
    send_cancel(weir.address, wires[0].key[:4] + b"\1\2\3\4")       # the fake server's own
    wires[1].leave()
    wait_until(lambda: len(fake.open_connections()) == 3 and weir.pool()["cl_active"] == 2, what="one to leave")
    send_cancel(weir.address, wires[1].key)
    send_cancel(weir.address, wires[2].key)
    wait_until(lambda: weir.metric("pgweir_cancel_requests_total", result="no_query") == 4, what="four that were found")
    assert weir.metric("pgweir_cancel_requests_total", result="wrong_key") == 2


@pytest.mark.weir_only
def test_in_transaction_mode_the_pid_is_made_up_and_positive(weir):
    weir.start(pool_size=2)
    wires = [weir.raw() for _ in range(20)]
    pids = {key_pid(wire) for wire in wires}
    assert len(pids) == 20 and all(0 < made < 2 ** 31 for made in pids)


@pytest.mark.weir_only
def test_a_login_waits_for_a_server(weir):
    with weir.start(pool_mode="session", pool_size=1).raw() as first:
        second = weir.in_background(weir.raw)
        weir.wait_waiting(1)
        assert not second.done()
        first.leave()
        wire = second.result()
    assert key_pid(wire) == pid(wire)


@pytest.mark.weir_only
def test_a_login_without_a_server_is_refused_as_a_request_would_be(weir):
    with weir.start(pool_mode="session", pool_size=1).raw():
        weir.reload(pool_mode="session", pool_size=1, pool_timeout="300ms")
        with pytest.raises(rawwire.LoginRefused) as refused:
            weir.raw()
        assert refused.value.sqlstate == "53300"
        with pytest.raises(psycopg2.OperationalError) as told:
            weir.connect2()
    for part in ("no server connection became free within 300 ms", 'Database "app", user "web"', "SHOW HOLDERS"):
        assert part in str(told.value)
    assert weir.metric("pgweir_client_requests_failed_total", reason="pool_timeout") == 2
    weir.reload(pool_mode="session", pool_size=1)
    with weir.raw() as wire:
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
def test_a_login_without_postgresql_is_refused(weir):
    weir.start(pool_mode="session", upstream="host=127.0.0.1 port=1")
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.raw()
    assert refused.value.sqlstate.startswith("08")


@pytest.mark.weir_only
def test_one_that_leaves_while_it_waits_is_forgotten(weir):
    with weir.start(pool_mode="session", pool_size=1).raw() as first:
        wire = weir.wire()
        wire.send(rawwire.startup("web", "app"))
        weir.wait_waiting(1)
        wire.close()
        weir.wait_waiting(0)
        assert first.query("SELECT 1") == [["1"]]


def test_its_settings_are_there_at_once_and_after_others(weir):
    weir.start(pool_mode="session", pool_size=1)
    for path in ("one", "two", "two", None, "one"):
        words = {} if path is None else {"options": f"-c search_path={path} -c work_mem=5MB"}
        with psycopg.connect(weir.dsn(**words), autocommit=True) as connection:
            assert connection.info.parameter_status("DateStyle") == "ISO, MDY"
            found = connection.execute("SELECT current_setting('search_path'), current_setting('work_mem')").fetchone()
            assert found == (('"$user", public', "4MB") if path is None else (path, "5MB"))


def test_a_wrong_setting_is_refused_at_login(weir):
    weir.start(pool_mode="session", pool_size=1)
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.raw(parameters={"DateStyle": "nonsense"})
    assert refused.value.sqlstate == "22023"
    with weir.raw() as wire:
        assert wire.value("SHOW DateStyle") == "ISO, MDY"


@pytest.mark.weir_only
def test_a_session_that_ran_nothing_needs_no_reset(weir):
    weir.start(pool_mode="session", pool_size=1)
    for _ in range(3):
        with weir.raw() as wire:
            wire.leave()
    assert weir.metric("pgweir_pool_resets_total") == 0
    with weir.raw() as wire:
        wire.query("SET work_mem = '7MB'")
        wire.leave()
    with weir.raw() as wire:
        assert wire.value("SHOW work_mem") == "4MB"
    wait_until(lambda: weir.metric("pgweir_pool_resets_total") >= 1, what="a reset to be counted")


@pytest.mark.weir_only
def test_a_reload_changes_the_mode_of_those_who_come(weir):
    """Who is there keeps what was promised at login: a server of its own, and that one clean when it leaves."""
    first = weir.start(pool_mode="session", pool_size=1).raw()
    first.query("SET work_mem = '7MB'")
    weir.reload(pool_mode="transaction", pool_size=1)
    assert first.value("SHOW work_mem") == "7MB"
    second = weir.raw()
    second.send(query("SHOW work_mem"))
    weir.wait_waiting(1)
    first.leave()
    assert texts(second.read_until("Z")) == [["4MB"]]


@pytest.mark.weir_only
def test_an_idle_session_is_under_client_idle_timeout(weir):
    never, once = weir.start(pool_mode="session", pool_size=2, client_idle_timeout="500ms").raw(), weir.raw()
    once.query("SELECT pg_sleep(0.8)")                               # not idle meanwhile
    assert errors(never.read_until("E"))[0].sqlstate == "57P05"
    assert once.query("SELECT 1") == [["1"]]
    assert errors(once.read_until("E"))[0].sqlstate == "57P05"


@pytest.mark.weir_only
def test_a_stop_waits_for_no_idle_session(weir):
    idle, busy = weir.start(pool_mode="session", pool_size=2, shutdown_timeout="10s").raw(), weir.raw()
    busy.query("BEGIN")
    weir.signal(15)
    assert errors(idle.read_until("E"))[0].sqlstate == "57P01"
    busy.query("SELECT 1")
    busy.send(query("COMMIT"))
    assert errors(busy.read_until("E"))[0].sqlstate == "57P01"
    assert weir.wait_exit() == 0
