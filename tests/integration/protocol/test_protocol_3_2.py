"""Protocol 3.2: longer cancel keys, and NegotiateProtocolVersion, towards clients and towards servers."""

import re
import struct

import pytest

from fakeserver import auth, backend_key, notice, one_row, ready
from postgres import PASSWORDS
from rawwire import LoginRefused, WireError, cstr, errors, message, negotiated, query, send_cancel
from waiting import each, wait_until

pytestmark = pytest.mark.weir_only
V3_0, V3_1, V3_2 = 3 << 16, 3 << 16 | 1, 3 << 16 | 2
NEWEST = " max_protocol_version=3.2"


def negotiation(version, *options, count=None):
    return message("v", struct.pack("!ii", version, len(options) if count is None else count) +
                   b"".join(map(cstr, options)))


def sleeping(weir, wire, count=1):
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: len([row for row in weir.postgres.backends(wait_event="PgSleep")
                            if row["state"] == "active"]) == count, what=f"{count} sleeping queries")


# --- clients ---

@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("version, options, answer, key_len", [
    (V3_0, {}, None, 4),
    (V3_0, {"_pq_.x": "1"}, (V3_0, ["_pq_.x"]), 4),
    (V3_1, {}, None, 4),
    (V3_1, {"_pq_.x": "1"}, (V3_0, ["_pq_.x"]), 4),
    (V3_2, {}, None, 32),
    (V3_2, {"_pq_.b": "", "_pq_.a": "1", "application_name": "n"}, (V3_2, ["_pq_.b", "_pq_.a"]), 32),
    (3 << 16 | 3, {}, (V3_2, []), 32),
    (3 << 16 | 9999, {"_pq_.test_protocol_negotiation": ""}, (V3_2, ["_pq_.test_protocol_negotiation"]), 32),
    (3 << 16 | 9999, {f"_pq_.{i}": "" for i in range(32)}, (V3_2, [f"_pq_.{i}" for i in range(32)]), 32),
    (3 << 16 | 0xffff, {}, (V3_2, []), 32),
])
@pytest.mark.parametrize("method", ["trust", "scram-sha-256"])
def test_what_a_client_asks_for_and_gets(weir, version, options, answer, key_len, method):
    weir.start(method=method)
    with weir.wire() as wire:
        wire.login(version=version, parameters=options, password=weir.users["web"])
        assert negotiated(wire) == answer
        assert len(wire.key) == 4 + key_len
        assert wire.query("SELECT 1") == [["1"]]


def test_protocol_4_is_refused(weir):
    weir.start()
    with pytest.raises(LoginRefused) as refused:
        weir.wire().login(version=4 << 16)
    assert refused.value.reply.sqlstate == "0A000"


def test_a_long_key_cancels(weir):
    weir.start()
    with weir.wire().login(version=V3_2) as wire, weir.raw() as other:
        for count, one in enumerate((wire, other), 1):
            sleeping(weir, one, count)
        assert send_cancel(weir.address, wire.key) == b""
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"
        assert wire.query("SELECT 1") == [["1"]]
        assert send_cancel(weir.address, other.key) == b""
        assert errors(other.read_until("Z"))[0].sqlstate == "57014"


@pytest.mark.parametrize("bend", [
    lambda key: key[:-1], lambda key: key + b"\0", lambda key: key[:8], lambda key: key[:4] + key[8:],
    lambda key: key[:-1] + bytes([key[-1] ^ 1]), lambda key: key[:4] + bytes([key[4] ^ 1]) + key[5:],
    lambda key: key[:8] + bytes(28), lambda key: bytes(4) + key[4:], lambda key: key + key[4:] * 7,
], ids=["shorter", "longer", "4 bytes", "the end of it", "last byte", "first byte", "zeros", "no pid", "256"])
def test_a_wrong_long_key_hits_nothing(weir, bend):
    weir.start()
    with weir.wire().login(version=V3_2) as wire:
        sleeping(weir, wire)
        assert send_cancel(weir.address, bend(wire.key)) == b""
        wait_until(lambda: weir.metric("pgweir_cancel_requests_total", result="wrong_key") == 1, what="the count")
        assert wire.has_nothing_more()
        send_cancel(weir.address, wire.key)
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


def test_a_short_key_made_long_hits_nothing(weir):
    with weir.start().raw() as wire:
        sleeping(weir, wire)
        assert send_cancel(weir.address, wire.key + bytes(28)) == b""
        wait_until(lambda: weir.metric("pgweir_cancel_requests_total", result="wrong_key") == 1, what="the count")
        assert wire.has_nothing_more()


def test_keys_are_no_good_after_their_client(weir):
    """Among many others, so that lists of keys grow and shrink."""
    weir.start()
    wires = [weir.wire().login(version=V3_2 if i % 2 else V3_0) for i in range(150)]
    keys = [wire.key for wire in wires]
    assert len(set(keys)) == 150
    each(wires[:100]).close()
    wait_until(lambda: len(weir.console("SHOW CLIENTS")) <= 51, what="the good-byes")
    sleeping(weir, wires[149])
    for key in keys[:100]:
        send_cancel(weir.address, key)
    assert weir.metric("pgweir_cancel_requests_total", result="wrong_key") == 100
    send_cancel(weir.address, keys[149])
    assert errors(wires[149].read_until("Z"))[0].sqlstate == "57014"


# What libpq of PostgreSQL 19 asks for: a version that no server has, and an option that none knows. It ends the connection
# unless both are negotiated, in one message.
GREASE, GREASE_OPTION = 3 << 16 | 9999, "_pq_.test_protocol_negotiation"


@pytest.mark.parametrize("version, options, answer", [
    (V3_2, [], None),
    (GREASE, [GREASE_OPTION], (V3_2, [GREASE_OPTION])),
    (GREASE, ["_pq_.b", GREASE_OPTION, "_pq_.a"], (V3_2, ["_pq_.b", GREASE_OPTION, "_pq_.a"])),
], ids=["3.2", "grease", "grease and two more"])
@pytest.mark.parametrize("kind", ["looked up, md5", "looked up, scram-sha-256", "session", "console", "three workers"])
def test_each_kind_of_connection_negotiates_once(weir, kind, version, options, answer):
    user, database, settings = "web", "app", {}
    if kind.startswith("looked up"):
        password = weir.users["web"]
        weir.users = {"admin": "admin-secret", "stats": "stats-secret", "postgres": "of no use"}
        settings = {"method": kind.split(", ")[1], "auth_user": "postgres",
                    "auth_query": f"SELECT '{password}' FROM pg_roles WHERE rolname = $1"}
    elif kind == "session":
        settings = {"pool_mode": "session"}
    elif kind == "console":
        user, database = "admin", "pgweir"
    else:
        settings = {"workers": 3}           # two of three clients or so go to another one when they are logged in
    weir.start(**settings)
    for _ in range(4):
        with weir.wire() as wire:
            wire.login(user, database, PASSWORDS[user], dict.fromkeys(options, ""), version)
            assert negotiated(wire) == answer
            assert len(wire.key) == (8 if kind == "console" else 36)         # there is nothing to cancel
            assert wire.query("SHOW VERSION" if database == "pgweir" else "SELECT 1")


def test_a_session_is_told_its_servers_pid_and_a_long_secret(weir):
    weir.start(pool_mode="session")
    with weir.wire().login(version=V3_2) as wire:
        assert len(wire.key) == 36
        assert struct.unpack("!I", wire.key[:4])[0] == int(wire.value("SELECT pg_backend_pid()"))


# --- servers ---

def key_of(conn, length):
    return bytes((conn.number + i) % 256 for i in range(length))


def newest(length, before=b""):
    """A server that speaks 3.2, with keys of that length."""
    def script(conn):
        conn.read_startup()
        conn.secret = key_of(conn, length)
        conn.send(before, auth(0), conn.welcome())
        conn.serve()
    return script


@pytest.mark.parametrize("words, version", [("", V3_0), (NEWEST, V3_2), (" max_protocol_version=latest", V3_2),
                                            (" min_protocol_version=3.0", V3_0)])
def test_the_version_asked_for(weir, fake, words, version):
    with weir.start(upstream=fake.upstream + words).raw() as wire:
        assert wire.query("SELECT 1") == [["fake"]]
    assert {conn.version for conn in fake.logins()} == {version}


@pytest.mark.parametrize("length", [4, 32, 255, 256])
def test_a_cancel_carries_the_servers_whole_key(weir, fake, length):
    """From the client's long key to the server's."""
    fake.script = newest(length, notice("before all"))
    running = []

    def answer(conn, kind, body):
        if kind == "Q" and b"SLEEP" in body:
            running.append(conn)
            wait_until(lambda: fake.cancels, what="the cancel")
            conn.send(one_row("cancelled"), ready())
            return True
        return False
    fake.answer = answer
    weir.start(upstream=fake.upstream + NEWEST)
    with weir.wire().login(version=V3_2) as wire:
        wire.send(query("SLEEP"))
        wait_until(lambda: running, what="the query")
        assert send_cancel(weir.address, wire.key) == b""
        wire.read_until("Z")
    assert fake.cancels == [struct.pack("!i", 4000 + running[0].number) + key_of(running[0], length)]


def test_a_real_postgres_that_knows_only_3_0_is_taken(weir):
    weir.start(upstream=weir.upstream() + NEWEST)
    with weir.wire().login(version=V3_2) as wire:
        sleeping(weir, wire)
        send_cancel(weir.address, wire.key)
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


def test_a_server_below_the_minimum_is_refused(weir):
    weir.start(upstream=weir.upstream() + NEWEST + " min_protocol_version=3.2")
    with pytest.raises(WireError) as refused:
        weir.raw().query("SELECT 1")
    assert refused.value.reply.sqlstate == "08001"
    assert "min_protocol_version" in refused.value.reply.error["M"]


WRONG = {
    "the version we asked for, no news": negotiation(V3_2),
    "an option we did not ask for": negotiation(V3_0, "_pq_.x"),
    "no version of ours": negotiation(0),
    "3.1": negotiation(V3_1),
    "a higher version": negotiation(3 << 16 | 3),
    "another major version": negotiation(2 << 16),
    "a count without options": negotiation(V3_0, count=1),
    "a negative count": negotiation(V3_0, count=-1),
    "options without a count": negotiation(V3_0, "_pq_.x", count=0),
    "cut": message("v", struct.pack("!i", V3_0)),
    "empty": message("v"),
    "twice": negotiation(V3_0) * 2,
    "a long key after 3.0": negotiation(V3_0) + auth(0) + backend_key(1, bytes(32)),
    "after AuthenticationOk": auth(0) + negotiation(V3_0),
    "after a password request": auth(3) + negotiation(V3_0),
    "a key too long": auth(0) + backend_key(1, bytes(257)),
    "a key too short": auth(0) + backend_key(1, bytes(3)),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_server_that_negotiates_wrongly_is_never_used(weir, fake, wrong):
    def script(conn):
        conn.read_startup()
        conn.send(wrong, b"" if b"K" in wrong or wrong[:1] == b"R" else auth(0), conn.welcome(key=False))
        conn.serve()
    fake.script = script
    weir.start(upstream=fake.upstream + NEWEST + " password=x")
    with pytest.raises(WireError) as refused:
        weir.raw().query("SELECT 1")
    assert refused.value.reply.sqlstate in ("08P01", "08001"), refused.value.reply.error
    wait_until(lambda: re.search("NegotiateProtocolVersion|BackendKeyData", weir.log()), what="a line in the log")


def test_a_server_that_negotiates_without_need_is_never_used(weir, fake):
    def script(conn):
        conn.read_startup()
        conn.send(negotiation(V3_0), auth(0), conn.welcome())
        conn.serve()
    fake.script = script
    weir.start(upstream=fake.upstream)
    with pytest.raises(WireError) as refused:
        weir.raw().query("SELECT 1")
    assert refused.value.reply.sqlstate in ("08P01", "08001")


def test_a_reload_renews_the_servers(weir, fake):
    fake.script = newest(4)
    with weir.start(upstream=fake.upstream).raw() as wire:
        wire.query("SELECT 1")
        weir.reload(upstream=fake.upstream + NEWEST)
        wait_until(lambda: wire.query("SELECT 1") and fake.logins()[-1].version == V3_2, what="a new server")
