"""PostgreSQL dies, lies, stalls or is not there: one client at most pays, with a clear error, and pgweir goes on."""

import re
import signal
import struct
import time
from contextlib import suppress

import psycopg2
import pytest

import rawwire
from fakeserver import (FakeConnection, auth, backend_key, complete, data_row, error, notice, one_row, parameter_status, ready,
                        row_description, scram_with)
from nameserver import NameServer
from rawwire import BEGIN_NOW, errors, message, one_statement, query, scram_verifier, shape, sync, texts
from waiting import SLOWNESS, each, wait_until
from weir import timed

pytestmark = pytest.mark.weir_only


def failing(function, *arguments):
    """What a client sees: the ErrorResponse of a login or query that fails, and how long it took."""
    begin = time.monotonic()
    with pytest.raises(rawwire.WireError) as failed:
        function(*arguments)
    assert hasattr(failed.value, "reply"), f"no ErrorResponse: {failed.value}"
    return failed.value.reply, time.monotonic() - begin


def login_and_query(weir, **login):
    with weir.raw(**login) as wire:
        return wire.query("SELECT 1")


# --- a real PostgreSQL whose backends go ---

def test_a_backend_that_ends_in_mid_query_tells_its_client_only(weir):
    with weir.start(pool_size=2).raw() as other:
        wire = weir.raw()
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        weir.postgres.kill_backends(wait_event="PgSleep")
        reply = errors(wire.read_until("E"))[0]
        assert reply.sqlstate in ("57P01", "08006") and reply.severity == "FATAL"
        wire.wait_closed()
        assert other.query("SELECT 1") == [["1"]]


def test_a_backend_that_ends_in_an_idle_transaction_is_told_at_the_next_query(weir):
    wire = weir.start(pool_size=2).raw()
    wire.query(BEGIN_NOW)
    weir.postgres.kill_backends(state="idle in transaction")
    wait_until(lambda: not weir.postgres.backends(state="idle in transaction"))
    with suppress(OSError):
        wire.send(query("SELECT 1"))
    reply = errors(wire.read_until("E"))[0]
    assert reply.sqlstate in ("57P01", "08006", "25P03") and reply.severity == "FATAL"
    wire.wait_closed()
    assert login_and_query(weir) == [["1"]]


def test_an_idle_backend_that_ends_is_replaced_without_a_word(weir):
    weir.start(pool_size=3)
    wires = [weir.raw() for _ in range(3)]
    each(wires).query("BEGIN")
    each(wires).query("COMMIT")
    for _ in range(3):
        weir.postgres.kill_backends()
        wait_until(lambda: weir.pool()["sv_idle"] == 0)      # told of it: before that a query may still meet the dying
        for wire in wires:
            assert wire.query("SELECT 1") == [["1"]]


def test_a_backend_that_ends_while_idle_under_load_hurts_nobody_else(weir):
    """Kills one backend after the other while clients query; only those with a query under way may fail, though all may
    be ended at once while they log in."""
    weir.start(pool_size=3)
    stop, kills = time.monotonic() + 2.0, 0
    failures, successes = [], [0]

    def is_over():
        return time.monotonic() > stop and successes[0] > 100 and kills > 5

    def work():
        wire = weir.raw()
        while not is_over():
            try:
                assert wire.query("SELECT 'x'") == [["x"]]
                successes[0] += 1
            except rawwire.WireError as failed:
                failures.append(re.findall("57P01|08006", str(failed)) or str(failed))
                wire = weir.raw()
    jobs = [weir.in_background(work) for _ in range(6)]
    while not is_over():
        backends = weir.postgres.backends(usename="web")
        if len(backends) == 3:
            weir.postgres.query("SELECT pg_terminate_backend(%s)", (backends[0]["pid"],))
            kills += 1
    each(jobs).result()
    assert len(failures) <= kills and all(isinstance(failure, list) for failure in failures), failures


def test_a_backend_that_ends_while_it_logs_in_is_not_told_to_those_in_line(weir, fake):
    """PostgreSQL is there: the next login may succeed."""
    ended = []

    def script(conn):
        conn.read_startup()
        if len(ended) < 2:
            ended.append(conn)
            conn.send(auth(0), error("57P01", "terminating connection due to administrator command", "FATAL"))
            return
        conn.send(auth(0), conn.welcome())
        conn.serve()
    fake.script = script
    weir.start(upstream=fake.upstream, pool_size=1)
    assert login_and_query(weir) == [["fake"]] and len(ended) == 2


def test_the_log_has_the_sqlstate_of_a_session_whose_client_went_on(weir, fake):
    def end(conn):
        conn.send(one_row("x") + ready("T"), error("57P01", "terminating", "FATAL"))
        conn.read()                                                 # what the client sends before it has read that
        conn.close()
    fake.answer = on_bad(end)
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as wire:
        wire.send(query("SELECT BAD"))
        assert errors(wire.read_until("E"))[-1].sqlstate == "57P01"
        wire.send(query("COMMIT"))
        wire.read_to_end()
    weir.wait_log("57P01: PostgreSQL at", "terminating")


def test_postgresql_restarts(weir, own_postgres):
    with weir.start(pool_size=3, upstream=f"host={own_postgres.host} port={own_postgres.port}").raw() as wire:
        assert wire.query("SELECT 1") == [["1"]]
        own_postgres.stop()
        reply, seconds = failing(wire.query, "SELECT 1")
        assert reply.sqlstate[:2] in ("08", "57") and seconds < 3 * SLOWNESS, reply.error
        begin = time.monotonic()
        own_postgres.start()
        wait_until(lambda: login_and_query(weir) == [["1"]], what="pgweir to find PostgreSQL again")
        assert time.monotonic() - begin < 20 * SLOWNESS
        if reply.severity != "FATAL":
            assert wire.query("SELECT 2") == [["2"]]


def test_postgresql_crashes(weir, own_postgres):
    wire = weir.start(pool_size=3, upstream=f"host={own_postgres.host} port={own_postgres.port}").raw()
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: own_postgres.backends(wait_event="PgSleep"))
    own_postgres.stop(signal.SIGKILL)
    reply = errors(wire.read_until("E"))[0]
    assert reply.sqlstate[:2] in ("08", "57")
    wait_until(lambda: not weir.console("SHOW SERVERS"))      # a backend may outlive its postmaster for a moment
    reply, seconds = failing(login_and_query, weir)
    assert reply.sqlstate[:2] in ("08", "57") and seconds < 3 * SLOWNESS


# --- no PostgreSQL there ---

def test_an_upstream_that_refuses_is_told_at_once_to_everyone(weir, tap):
    tap.shut()
    weir.start(upstream=f"host={tap.host} port={tap.port}", pool_timeout="30s")
    for _ in range(5):
        reply, seconds = failing(login_and_query, weir)
        assert reply.sqlstate == "08001" and seconds < 10 * SLOWNESS, (reply.error, seconds)
    assert f"{tap.host}:{tap.port}" in reply.error["M"] and reply.error["H"].startswith("Check that PostgreSQL runs there")
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", reason="refused") >= 1)
    assert weir.metric("pgweir_backend_up", backend=f"{tap.host}:{tap.port}") == 0
    tap.open()
    wait_until(lambda: login_and_query(weir) == [["1"]], what="it to be found again")
    wait_until(lambda: weir.metric("pgweir_backend_up", backend=f"{tap.host}:{tap.port}") == 1)


def test_on_outage_wait_lets_clients_wait_until_it_is_there(weir, tap):
    tap.shut()
    weir.start(upstream=f"host={tap.host} port={tap.port}", on_outage="wait", pool_timeout="30s", pool_size=2)
    waiting = [weir.in_background(login_and_query, weir) for _ in range(3)]
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", reason="refused") >= 3)
    assert not any(login.done() for login in waiting)
    tap.open()
    assert [login.result() for login in waiting] == [[["1"]]] * 3


def test_on_outage_wait_waits_no_longer_than_pool_timeout_and_not_for_a_wrong_password(weir, tap):
    tap.shut()
    weir.start(sections={"database app": {"upstream": f"host={tap.host} port={tap.port}", "pool_timeout": "700ms"},
                         "database wrong": {"upstream": weir.upstream(dbname="nowhere")}}, on_outage="wait")
    reply, seconds = failing(login_and_query, weir)
    assert reply.sqlstate == "53300" and 0.5 < seconds < 5 * SLOWNESS and "refused" in reply.error["H"]
    for _ in range(2):                                          # the second one while it backs off
        with pytest.raises(rawwire.LoginRefused, match='"nowhere" does not exist') as refused:
            weir.raw(database="wrong")
        assert refused.value.sqlstate == "3D000"


def test_an_upstream_that_goes_away_for_a_while(weir, tap):
    with weir.start(upstream=f"host={tap.host} port={tap.port}", pool_size=3).raw() as wire:
        wire.query("SELECT 1")
        tap.shut()
        tap.cut()
        reply, seconds = failing(wire.query, "SELECT 2")
        assert reply.sqlstate[:2] == "08" and seconds < 3 * SLOWNESS, reply.error
        assert reply.severity == "ERROR", "the client's own connection is well and may live on"
        tap.open()
        wait_until(lambda: wire.query("SELECT 3") == [["3"]])


def test_waiters_wait_on_when_the_last_server_is_lost_and_are_told_why_at_pool_timeout(weir, tap):
    weir.start(upstream=f"host={tap.host} port={tap.port}", pool_size=1, pool_timeout="2s")
    holder, waiters = weir.raw(), [weir.raw() for _ in range(5)]
    holder.query(BEGIN_NOW)
    each(waiters).send(query("SELECT 1"))
    weir.wait_waiting(5)
    tap.shut()
    tap.cut()
    for wire in waiters:
        assert errors(wire.read_until("E"))[0].sqlstate == "08001"


def test_a_black_hole_is_given_up_after_connect_timeout(weir, tap):
    tap.stall(new=True)
    weir.start(upstream=f"host={tap.host} port={tap.port}", connect_timeout="500ms")
    reply, seconds = failing(login_and_query, weir)
    assert reply.sqlstate == "08001" and 0.3 < seconds < 3 * SLOWNESS, (reply.error, seconds)
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", reason="timeout") >= 1)
    tap.unstall()
    wait_until(lambda: login_and_query(weir) == [["1"]])


def test_a_name_that_does_not_resolve_is_08001(weir):
    weir.start(upstream="host=no-such-host.invalid port=5432", connect_timeout="2s")
    reply, seconds = failing(login_and_query, weir)
    assert reply.sqlstate == "08001" and seconds < 8 * SLOWNESS, (reply.error, seconds)
    assert "no-such-host.invalid" in reply.error["M"] + reply.error.get("D", "")


@pytest.mark.parametrize("options, connect_timeout", [
    ("", "500ms"),
    ("options timeout:2 attempts:5", "1s"),
])
def test_a_silent_name_server_costs_connections_only(weir, tmp_path, options, connect_timeout):
    """A lookup that outlasts connect_timeout: pgweir was killed by a timer of the attempt that had ended. And where
    connect_timeout is longer than the 0.8 s between health checks, one was always under way: the second client waited for
    pool_timeout."""
    names = NameServer(tmp_path, options)
    weir.start(upstream=f"host=postgres.example port={weir.postgres.port}", connect_timeout=connect_timeout,
               resolv_conf=names.resolv_conf,
               sections={"database app2": {"upstream": f"host={weir.postgres.host} port={weir.postgres.port}"}})
    with weir.raw(database="app2") as other:
        for _ in range(2):
            reply, _ = failing(login_and_query, weir)
            assert reply.sqlstate == "08001"
            assert "no name server answered" in reply.error["M"] + reply.error.get("D", "")
            assert other.query("SELECT 1") == [["1"]]
        assert names.asked > 0
        wait_until(lambda: weir.metric("pgweir_dns_lookups_total", result="failed") >= 1)
        names.answer(weir.postgres.host)
        wait_until(lambda: login_and_query(weir) == [["1"]])
        assert other.query("SELECT 1") == [["1"]]


def test_a_name_with_more_addresses_than_a_packet_has_room_for(weir, tmp_path):
    names = NameServer(tmp_path)
    names.answer(*[f"127.0.99.{i}" for i in range(1, 65)], weir.postgres.host)
    weir.start(upstream=f"host=postgres.example port={weir.postgres.port}", resolv_conf=names.resolv_conf)
    assert login_and_query(weir) == [["1"]]
    assert names.asked_by_tcp > 0


@pytest.mark.parametrize("options, lasts", [("options timeout:4 attempts:1", 4), ("options attempts:3 timeout:1", 1 + 2 + 4)])
def test_a_silent_name_server_is_given_up_as_its_options_say(weir, tmp_path, options, lasts):
    names = NameServer(tmp_path, options)
    weir.start(upstream=f"host=postgres.example port={weir.postgres.port}", connect_timeout="20s",
               resolv_conf=names.resolv_conf, pool_timeout="30s")
    reply, seconds = failing(login_and_query, weir)
    assert reply.sqlstate == "08001" and "DNS" in reply.error["M"] + reply.error.get("D", ""), reply.error
    assert reply.error["H"] == ("Check that the name servers know this name (resolv_conf, else /etc/resolv.conf), and "
                                "upstream in pgweir.ini."), reply.error
    assert lasts - 0.5 < seconds < 18 * SLOWNESS, seconds


@pytest.mark.reloads("pgweir.resolv_conf")
@pytest.mark.one_worker("each worker has a resolver of its own")
def test_a_lookup_under_way_follows_a_change_of_resolv_conf(weir, tmp_path):
    names = NameServer(tmp_path)
    weir.start(upstream=f"host=postgres.example port={weir.postgres.port}", resolv_conf=names.resolv_conf)
    first = weir.in_background(login_and_query, weir)
    wait_until(lambda: names.asked > 0)
    others = NameServer(tmp_path)
    others.answer(weir.postgres.host)
    assert login_and_query(weir, user="admin") == [["1"]]
    assert first.result() == [["1"]]


def test_a_stop_and_a_reload_while_lookups_are_under_way(weir, tmp_path):
    names = NameServer(tmp_path)
    weir.start(upstream=f"host=postgres.example port={weir.postgres.port}", resolv_conf=names.resolv_conf)
    waiting = weir.in_background(failing, login_and_query, weir)
    wait_until(lambda: names.asked > 0)
    weir.reload(upstream=f"host=other.example port={weir.postgres.port}", resolv_conf=names.resolv_conf)
    assert weir.stop() == 0
    reply, _ = waiting.result()
    assert reply.sqlstate == "57P01", reply.error


def test_signals_while_it_ends_with_lookups_under_way(weir, tmp_path):
    names = NameServer(tmp_path)
    weir.start(upstream=f"host=postgres.example port={weir.postgres.port}", resolv_conf=names.resolv_conf)
    waiting = weir.in_background(failing, login_and_query, weir)
    wait_until(lambda: names.asked > 0)
    weir.signal(signal.SIGINT)
    while weir.process.poll() is None:
        weir.signal(signal.SIGHUP)
        time.sleep(0.001)       # else the kernel, which delivers the lowest number first, may not come to the SIGINT
    assert weir.stop() == 0
    reply, _ = waiting.result()
    assert reply.sqlstate == "57P01", reply.error


def test_the_second_host_of_a_list_is_taken_when_the_first_is_down(weir, tap):
    tap.shut()
    weir.start(upstream=f"host={tap.host},{weir.postgres.host} port={tap.port},{weir.postgres.port}")
    answer, seconds = timed(login_and_query, weir)
    assert answer == [["1"]] and seconds < 3 * SLOWNESS


@pytest.mark.alone
def test_a_dead_upstream_of_one_database_does_not_touch_another(weir, tap):
    tap.shut()
    with weir.start(sections={"database app2": {"upstream": f"host={tap.host} port={tap.port}"}}).raw() as wire:
        for _ in range(5):
            reply, _ = failing(lambda: weir.raw(database="app2").query("SELECT 1"))
            assert reply.sqlstate == "08001"
            answer, seconds = timed(wire.query, "SELECT 1")
            assert answer == [["1"]] and seconds < 0.5 * SLOWNESS


def test_a_unix_socket_upstream(weir):
    weir.start(upstream=f"host={weir.postgres.socket_dir} port={weir.postgres.port}")
    assert login_and_query(weir) == [["1"]]
    wait_until(lambda: weir.postgres.backends(usename="web")[0]["client_addr"] is None)


# --- servers that misbehave when we log in ---

def sends(*parts, then=FakeConnection.wait_gone):
    """A server that sends them in answer to the startup packet."""
    def script(conn):
        conn.read_startup()
        conn.send(*parts)
        then(conn)
    return script


def closes(_):
    pass


SERVE = FakeConnection.serve
LOGIN_FAULTS = {
    "closes at once": closes,
    "closes after the startup packet": sends(then=closes),
    "sends garbage": sends(b"\xff" * 100, then=closes),
    "speaks HTTP": sends(b"HTTP/1.1 400 Bad Request\r\n\r\n", then=closes),
    "is ready before it has authenticated us": sends(ready(), then=SERVE),
    "sends a row before authentication": sends(data_row("x"), then=SERVE),
    "reports parameters before authentication": sends(parameter_status("server_version", "1"), ready(), then=SERVE),
    "an error without fields": sends(message("E", b"\0"), then=closes),
    "an error without body": sends(message("E", b""), then=closes),
    "an error without terminator": sends(message("E", b"SFATAL\0Mno"), then=closes),
    "an error cut short": sends(error()[:10], then=closes),
    "an unknown way to authenticate": sends(auth(99)),
    "GSSAPI": sends(auth(7)),
    "a reply of GSSAPI to no token": sends(auth(8, b"x" * 100)),
    "SSPI": sends(auth(9)),
    "an authentication message without a code": sends(message("R", b"\0")),
    "md5 without a salt": sends(auth(5)),
    "SASL without a mechanism": sends(auth(10, b"\0")),
    "SASL without a list": sends(auth(10)),
    "SASL with only an unknown mechanism": sends(auth(10, b"X\0\0")),
    "a SCRAM continuation without a beginning": sends(auth(11, b"r=x,s=AAAA,i=1")),
    "ok in the middle of SCRAM": sends(auth(10, b"SCRAM-SHA-256\0\0"), then=lambda conn: (
        conn.read(), conn.send(auth(0), conn.welcome()), conn.serve())),
    "a wrong SCRAM signature": scram_with(),
    "no SCRAM signature": scram_with(final=auth(0)),
    "an empty SCRAM signature": scram_with(final=auth(12, b"v=") + auth(0)),
    "a SCRAM error": scram_with(final=auth(12, b"e=other-error") + auth(0)),
    "a SCRAM nonce that is not ours": scram_with(first=lambda nonce: "r=another,s=c2FsdA==,i=4096"),
    "a SCRAM nonce without its own part": scram_with(first=lambda nonce: f"r={nonce},s=c2FsdA==,i=4096"),
    "SCRAM iterations without end": scram_with(first=lambda nonce: f"r={nonce}S,s=c2FsdA==,i=2147483647"),
    "SCRAM iterations that are none": scram_with(first=lambda nonce: f"r={nonce}S,s=c2FsdA==,i=-1"),
    "a SCRAM salt that is no base64": scram_with(first=lambda nonce: f"r={nonce}S,s=!!!!,i=4096"),
    "a SCRAM nonce of megabytes": scram_with(first=lambda nonce: f"r={nonce}{'x' * 3_000_000},s=c2FsdA==,i=4096"),
    "two startup answers": sends(auth(0), auth(0), then=lambda conn: (conn.send(conn.welcome()), conn.serve())),
    "bytes behind the login": sends(auth(0), then=lambda conn: (conn.send(conn.welcome(), data_row("x")), conn.serve())),
    "a length below four": sends(b"R" + struct.pack("!i", 3)),
    "a length of gigabytes": sends(b"R" + struct.pack("!i", 0x7fffffff)),
    "a parameter without value": sends(auth(0), message("S", b"name\0"), ready(), then=SERVE),
    "a parameter without end": sends(auth(0), message("S", b"name"), ready(), then=SERVE),
    "a cancel key without a secret": sends(auth(0), message("K", b"\0\0"), ready(), then=SERVE),
    "a cancel key of no bytes": sends(auth(0), backend_key(1, b""), ready(), then=SERVE),
    "a long cancel key in protocol 3.0": sends(auth(0), then=lambda conn: (
        conn.send(conn.welcome(key=False)[:-6], backend_key(1, b"k" * 32), ready()), conn.serve())),
    "ready with an unknown status": sends(auth(0), backend_key(), ready("Q"), then=SERVE),
    "ready without a status": sends(auth(0), backend_key(), message("Z"), then=SERVE),
    "ready in a transaction": sends(auth(0), then=lambda conn: (conn.send(conn.welcome(status="T")), conn.serve())),
    "parameters without end": sends(auth(0), then=lambda conn: (
        [conn.send(parameter_status(f"p{i}", "x" * 10_000)) for i in range(3000)], conn.wait_gone())),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("script", LOGIN_FAULTS.values(), ids=LOGIN_FAULTS.keys())
def test_a_server_that_cannot_log_us_in_properly_is_never_used(weir, fake, script):
    """Its client gets an error of class 08, 28 or 0A; another database works all the while, and so does this one when
    the server has come to reason."""
    fake.script = script
    with weir.start(sections={"database app2": {"upstream": fake.upstream}}, connect_timeout="1s").raw() as other:
        reply, seconds = failing(lambda: weir.raw(database="app2").query("SELECT 1"))
        assert reply.sqlstate[:2] in ("08", "28", "0A", "XX"), reply.error
        assert seconds < 4 * SLOWNESS
        assert other.query("SELECT 1") == [["1"]]
        fake.script = None
        wait_until(lambda: weir.raw(database="app2").query("SELECT 1") == [["fake"]], what="another try")
    assert weir.memory_bytes() < 300_000_000


ODD_LOGINS = {
    "in single bytes": lambda conn: (conn.read_startup(), conn.send_slowly(auth(0) + conn.welcome()), conn.serve()),
    "without a cancel key": lambda conn: (conn.login(key=False), conn.serve()),
    "with notices": lambda conn: (conn.read_startup(), conn.send(auth(0), notice("x" * 100_000), conn.welcome()),
                                  conn.serve()),
    "with many unknown parameters": lambda conn: (
        conn.login(parameters={f"weir_{i}": "x" * 100 for i in range(300)}), conn.serve()),
    "slowly": lambda conn: (conn.read_startup(), time.sleep(0.5), conn.send(auth(0)), time.sleep(0.3),
                            conn.send(conn.welcome()), conn.serve()),
}


@pytest.mark.parametrize("script", ODD_LOGINS.values(), ids=ODD_LOGINS.keys())
def test_an_odd_login_is_still_a_login(weir, fake, script):
    fake.script = script
    with weir.start(upstream=fake.upstream, connect_timeout="5s").raw() as wire:
        assert wire.query("SELECT 1") == [["fake"]]
        assert wire.extended("SELECT 1") == [["fake"]]


@pytest.mark.parametrize("refusal", [error("53300", "sorry, too many clients already", "FATAL"),
                                     b"Ecould not fork new process for connection: Cannot allocate memory\n\0"],
                         ids=["connections", "processes"])
def test_too_many_connections_at_the_server(weir, fake, refusal):
    """The second and later logins are refused: everybody is served by the one there is."""
    def script(conn):
        conn.read_startup()
        if len([c for c in fake.open_connections() if c.startup]) > 1:
            conn.send(refusal)
            return
        conn.send(auth(0), conn.welcome())
        conn.serve()
    fake.script = script
    weir.start(upstream=fake.upstream, pool_size=5)
    wires = [weir.raw() for _ in range(10)]
    for _ in range(5):
        each(wires).send(query("SELECT 1"))
        for wire in wires:
            assert shape(wire.read_until("Z")) == "T D C:SELECT 1 Z:I"
    assert len(fake.logins()) < 30, "the server is hammered"
    assert "malformed" not in weir.log()


@pytest.mark.parametrize("sqlstate, text, told", [("53300", "sorry, too many clients", ("53300", "08001", "08004")),
                                                  ("57P03", "the database system is starting up", ("57P03", "08001"))])
def test_a_server_that_refuses_for_now_is_tried_again(weir, fake, sqlstate, text, told):
    fake.script = lambda conn: (conn.read_startup(), conn.send(error(sqlstate, text, "FATAL")))
    weir.start(upstream=fake.upstream, pool_timeout="2s")
    reply, seconds = failing(login_and_query, weir)
    assert reply.sqlstate in told and seconds < 4 * SLOWNESS
    assert len(fake.logins()) < 20
    fake.script = None
    wait_until(lambda: login_and_query(weir) == [["fake"]])


def test_scram_with_a_real_signature_is_accepted_from_the_fake(weir, fake):
    """The bent ones above must fail for their bend, not because the fake can't do SCRAM at all."""
    import base64
    import hmac

    def script(conn):
        conn.read_startup()
        conn.send(auth(10, b"SCRAM-SHA-256\0\0"))
        _, body = conn.read()
        data = body[body.index(b"\0") + 5:].decode()
        bare = data.split(",", 2)[2]
        nonce = bare.split("r=")[1]
        verifier = scram_verifier("web-secret", salt=b"0123456789abcdef")
        server_first = f"r={nonce}SERVER,s={base64.b64encode(b'0123456789abcdef').decode()},i=4096"
        conn.send(auth(11, server_first.encode()))
        _, final = conn.read()
        without_proof = final.decode().rsplit(",p=", 1)[0]
        server_key = base64.b64decode(verifier.rsplit(":", 1)[1])
        signature = hmac.digest(server_key, ",".join((bare, server_first, without_proof)).encode(), "sha256")
        conn.send(auth(12, b"v=" + base64.b64encode(signature)), auth(0), conn.welcome())
        conn.serve()
    fake.script = script
    weir.start(upstream=fake.upstream)
    assert login_and_query(weir) == [["fake"]]


# --- servers that misbehave while they serve ---

def on_bad(bad):
    """Answers of the fake: bad(conn) when the query says BAD, ordinary ones otherwise."""
    def answer(conn, kind, body):
        if kind in "QP" and b"BAD" in body:
            bad(conn)
            return True
        return False
    return answer


QUERY_FAULTS = {
    "an unknown message": lambda conn: conn.send(message("y", b"what?"), ready()),
    "a frontend's message": lambda conn: conn.send(message("Q", b"SELECT 1\0"), ready()),
    "an authentication message": lambda conn: conn.send(auth(0), ready()),
    "a cancel key": lambda conn: conn.send(backend_key(), ready()),
    "a reply to a parse that never was": lambda conn: conn.send(message("1"), ready()),
    "a reply to a bind that never was": lambda conn: conn.send(message("2"), ready()),
    "garbage": lambda conn: conn.send(b"\xff" * 64),
    "zeros": lambda conn: conn.send(b"\0" * 64),
    "a length below four": lambda conn: conn.send(b"D" + struct.pack("!i", 2)),
    "a negative length": lambda conn: conn.send(b"D" + struct.pack("!i", -2)),
    "a length of two gigabytes": lambda conn: conn.send(b"D" + struct.pack("!i", 0x7fffffff) + b"x" * 100),
    "ready with an unknown status": lambda conn: conn.send(one_row("x"), ready("?")),
    "ready without a status": lambda conn: conn.send(one_row("x"), message("Z")),
    "replication's CopyBoth": lambda conn: conn.send(message("W", b"\0\0\0"), ready()),
    "the end in the middle of a row": lambda conn: (conn.send(row_description("v"), data_row("x" * 1000)[:500]),
                                                    conn.close()),
    "the end in the middle of a header": lambda conn: (conn.send(row_description("v"), b"D\0"), conn.close()),
    "the end between rows": lambda conn: (conn.send(row_description("v"), data_row("x")), conn.close()),
    "the end without a word": lambda conn: conn.close(),
    "a fatal error and the end": lambda conn: (conn.send(error("57P02", "crash of another server process", "FATAL")),
                                               conn.close()),
    "a negotiation": lambda conn: conn.send(message("v", b"\0\0\0\0\0\0\0\0"), ready()),
}


def test_an_error_is_not_written_into_a_row(weir, fake):
    """The end came in the middle of a row, just so long that our own error would have made it whole."""
    def cut(conn):
        conn.send(row_description("v"), data_row("x" * 1000)[:-100])
        conn.close()
    fake.answer = on_bad(cut)
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as wire:
        wire.send(query("SELECT BAD"))
        data = wire.wait_closed()
    assert data.endswith(b"x" * 100) and b"FATAL" not in data


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("bad", QUERY_FAULTS.values(), ids=QUERY_FAULTS.keys())
def test_a_violation_costs_the_server_and_at_most_its_client(weir, fake, bad):
    fake.answer = on_bad(bad)
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as other:
        other.query("SELECT 1")
        culprits = list(fake.open_connections())
        wire = weir.raw()
        wire.send(query("SELECT BAD"))
        try:
            replies = wire.read_until("ZE")
        except rawwire.WireClosed:
            replies = []                                              # in the middle of a message no error can be told
        for reply in errors(replies):
            assert reply.sqlstate[:2] in ("08", "57"), reply.error
        assert "Z" not in shape(replies) or errors(replies), f"taken for an answer: {shape(replies)}"
        assert other.query("SELECT 1") == [["fake"]]
        wait_until(lambda: not any(conn.is_open for conn in culprits), what="the culprit to be closed")


HARMLESS = {
    "notices": lambda conn: conn.send(notice("a"), row_description("v"), notice("b"), data_row("x"), notice("c"),
                                      complete(), notice("d"), ready()),
    "parameters reported": lambda conn: conn.send(parameter_status("TimeZone", "UTC"), one_row("x"),
                                                  parameter_status("weir_unknown", "1"), ready()),
    "a notification": lambda conn: conn.send(message("A", b"\0\0\0\1ch\0payload\0"), one_row("x"), ready()),
    "an answer in single bytes": lambda conn: conn.send_slowly(one_row("x") + ready()),
    "a row of many messages": lambda conn: conn.send(row_description("v"), data_row("x"),
                                                     b"".join(notice("n" * 1000) for _ in range(300)), complete(),
                                                     ready()),
}


@pytest.mark.parametrize("odd", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_a_server_may_send_at_any_time_disturbs_nothing(weir, fake, odd):
    fake.answer = on_bad(odd)
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as wire, weir.raw() as other:
        logins = None
        for _ in range(5):
            assert wire.query("SELECT BAD") == [["x"]]
            assert other.query("SELECT 1") == [["fake"]]
            logins = logins or len(fake.logins())
        assert len(fake.logins()) == logins, "the server was given up"


ERROR_BODIES = {
    "no fields": b"\0",
    "no code": b"SERROR\0Mtext\0\0",
    "no message": b"SERROR\0C42601\0\0",
    "an empty code": b"SERROR\0C\0Mtext\0\0",
    "a code of one letter": b"SERROR\0C4\0Mtext\0\0",
    "an unknown field": b"SERROR\0C42601\0Mtext\0?what\0\0",
    "no severity": b"C42601\0Mtext\0\0",
}


@pytest.mark.parametrize("body", ERROR_BODIES.values(), ids=ERROR_BODIES.keys())
def test_an_error_with_fields_missing_is_passed_on(weir, fake, body):
    fake.answer = on_bad(lambda conn: conn.send(message("E", body), ready()))
    with weir.start(upstream=fake.upstream, pool_size=1, threshold="0ms").raw() as wire:
        replies = wire.ask(query("SELECT BAD"))
        assert [reply.type for reply in replies] == ["E", "Z"] and replies[0].body == body
        assert wire.query("SELECT 1") == [["fake"]]
    wait_until(lambda: weir.metric("pgweir_errors_total", origin="server") == 1)


@pytest.mark.parametrize("idle_bytes, survives", [
    (notice("hello"), True), (parameter_status("TimeZone", "UTC"), True),
    (message("A", b"\0\0\0\1ch\0payload\0"), True), (data_row("stray"), False), (one_row("stray") + ready(), False),
    (ready(), False), (error("57P01", "terminating", "FATAL"), False), (b"\xff\xff\xff\xff\xff\xff", False),
    (complete(), False), (data_row("stray")[:3], False)],
    ids=["notice", "parameter", "notification", "row", "answer", "ready", "fatal error", "garbage", "complete",
         "half a header"])
def test_bytes_on_an_idle_connection(weir, fake, idle_bytes, survives):
    with weir.start(upstream=fake.upstream, pool_size=1, pool_pre_ping=False, ping_interval="0s").raw() as wire:
        wire.query("SELECT 1")
        conn = [conn for conn in fake.open_connections() if conn.startup][0]
        conn.send(idle_bytes)
        if not survives:
            wait_until(lambda: not conn.is_open, what="the connection to be closed")
        assert wire.query("SELECT 1") == [["fake"]]
        assert wire.extended("SELECT 1") == [["fake"]]
        assert conn.is_open == survives
        assert wire.has_nothing_more()


@pytest.mark.parametrize("extra", [data_row("stray"), one_row("stray") + ready(), ready(), complete(), message("I"),
                                   error("XX000", "stray")],
                         ids=["row", "answer", "ready", "complete", "empty", "error"])
def test_bytes_behind_ready_never_reach_the_next_client(weir, fake, extra):
    fake.answer = on_bad(lambda conn: conn.send(one_row("x") + ready() + extra))
    one, two = weir.start(upstream=fake.upstream, pool_size=1).raw(), weir.raw()
    two.query("SELECT 1")
    one.send(query("SELECT BAD"))
    two.send(query("SELECT 2"))
    with suppress(rawwire.WireClosed):
        one.read_until("Z")
    assert shape(two.read_until("Z")) == "T D C:SELECT 1 Z:I"
    assert two.has_nothing_more()
    assert two.query("SELECT 3") == [["fake"]]


def test_an_error_that_comes_late_is_not_the_next_clients(weir, fake):
    """A dying backend says so between transactions; whoever is lent it next must not get that message as an answer to
    a query that PostgreSQL never ran."""
    with weir.start(upstream=fake.upstream, pool_size=1, pool_pre_ping=False).raw() as wire:
        for _ in range(10):
            wire.query("SELECT 1")
            conn = [conn for conn in fake.open_connections() if conn.startup][0]
            conn.send(error("57P01", "terminating connection due to administrator command", "FATAL"))
            conn.close()
            wait_until(lambda: weir.pool()["sv_idle"] == 0)
            assert wire.query("SELECT 2") == [["fake"]]


@pytest.mark.long
def test_a_server_that_never_answers_is_ended_by_query_timeout(weir, fake):
    fake.answer = on_bad(lambda conn: conn.wait_gone())
    with weir.start(upstream=fake.upstream, pool_size=1, query_timeout="600ms").raw() as other:
        wire = weir.raw()
        wire.send(query("SELECT BAD"))
        reply = errors(wire.read_until("E"))[0]
        assert reply.sqlstate[:2] in ("57", "08")
        answer, seconds = timed(other.query, "SELECT 1")
        assert answer == [["fake"]] and seconds < 8 * SLOWNESS


def test_an_extended_violation(weir, fake):
    """ParseComplete for a Bind, BindComplete twice, and the like."""
    for wrong in (message("2"), message("1") + message("1"), message("3"), message("n"), message("T", b"\0\0")):
        fake.answer = on_bad(lambda conn, wrong=wrong: conn.send(wrong))
        if weir.process is None:
            weir.start(upstream=fake.upstream, pool_size=1)
        wire = weir.raw()
        wire.send(one_statement("SELECT BAD") + sync())
        with suppress(rawwire.WireClosed):
            replies = wire.read_until("ZE")
            assert errors(replies) and errors(replies)[0].sqlstate[:2] in ("08", "57"), shape(replies)
        fake.answer = None
        assert texts(weir.raw().ask(query("SELECT 1"))) == [["fake"]]


def test_the_log_says_what_was_expected(weir, fake):
    fake.answer = on_bad(lambda conn: conn.send(message("1"), ready()))
    wire = weir.start(upstream=fake.upstream).raw()
    wire.send(query("SELECT BAD"))
    reply = errors(wire.read_until("E"))[0]
    assert reply.sqlstate == "08P01"
    wait_until(lambda: "08P01" in weir.log() or "ParseComplete" in weir.log() or "expected" in weir.log())


def test_psycopg2_sees_an_operational_error_when_its_server_dies(weir):
    weir.start(pool_size=1)
    connection = weir.connect2(autocommit=True)
    with pytest.raises((psycopg2.errors.AdminShutdown, psycopg2.OperationalError)):
        connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")
    connection = weir.connect2(autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
