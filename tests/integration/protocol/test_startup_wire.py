"""The first bytes of a connection, well and badly formed, and messages that no honest client sends."""

import struct
from contextlib import suppress

import pytest

import rawwire
from rawwire import (cstr, execute, gssenc_request, message, password_message, query, shape, ssl_request, startup,
                     sync, texts)


def assert_works(weir):
    with weir.raw() as wire:
        assert wire.query("SELECT 1") == [["1"]]


# --- well formed ---

@pytest.mark.parametrize("piece", [1, 3, 9])
def test_a_startup_packet_in_pieces(weir, piece):
    weir.start()
    with weir.wire() as wire:
        wire.send_slowly(startup(parameters={"application_name": "slowly"}), piece, pause=0.001)
        assert shape(wire.read_until("Z")) == "R K Z:I"
        assert wire.value("SHOW application_name") == "slowly"


@pytest.mark.own_transport
def test_everything_in_single_bytes(weir):
    weir.start()
    with weir.wire() as wire:
        wire.send_slowly(ssl_request())
        assert wire.read_bytes(1) in (b"N", b"S")
        wire.send_slowly(startup() + query("SELECT 'in single bytes'") +
                         rawwire.one_statement("SELECT $1::text", ["x"]) + sync())
        replies = wire.read_until("Z", 3)
        assert texts(replies) == [["in single bytes"], ["x"]]


def test_queries_sent_before_the_login_is_answered(weir):
    weir.start()
    with weir.wire() as wire:
        wire.send(startup() + query("SELECT 1") + query("SELECT 2"))
        assert texts(wire.read_until("Z", 3)) == [["1"], ["2"]]


def test_the_database_is_the_users_name_when_not_given(weir):
    weir.start(sections={"database web": {"upstream": weir.upstream(dbname="app")}})
    if weir.direct:
        pytest.skip("PostgreSQL has no database web")
    with weir.wire().login(database=None) as wire:
        assert wire.value("SELECT current_user") == "web"


ONLY_WEIR = pytest.mark.weir_only           # a PostgreSQL built with GSSAPI says G


@pytest.mark.own_transport
@pytest.mark.parametrize("requests", [
    pytest.param([ssl_request], id="ssl"),
    pytest.param([gssenc_request], id="gss", marks=ONLY_WEIR),
    pytest.param([ssl_request, gssenc_request], id="ssl gss", marks=ONLY_WEIR),
    pytest.param([gssenc_request, ssl_request], id="gss ssl", marks=ONLY_WEIR),
])
def test_encryption_requests_are_answered_by_no_and_login_goes_on(weir, requests):
    weir.start()
    with weir.wire() as wire:
        for request in requests:
            wire.send(request())
            assert wire.read_bytes(1) == b"N"
        wire.login()
        assert wire.query("SELECT 1")


@pytest.mark.own_transport
@pytest.mark.parametrize("request_", [ssl_request, pytest.param(gssenc_request, marks=ONLY_WEIR)])
def test_a_second_encryption_request_of_a_kind_is_refused(weir, request_):
    weir.start()
    wire = weir.wire()
    wire.send(request_())
    assert wire.read_bytes(1) == b"N"
    wire.send(request_())
    rest = wire.wait_closed()
    assert rest[:1] in (b"", b"E")
    assert_works(weir)


@pytest.mark.own_transport
def test_bytes_behind_an_ssl_request_are_never_taken_for_an_encrypted_session(weir):
    """Either refused, or, as the answer is N, taken for what they are."""
    weir.start()
    wire = weir.wire()
    wire.send(ssl_request() + startup() + query("SELECT 1"))
    with suppress(rawwire.WireClosed):
        assert wire.read_bytes(1) == b"N"
        assert texts(wire.read_until("Z", 2)) == [["1"]]
    assert_works(weir)


@pytest.mark.parametrize("version, options, unknown", [
    (3 << 16 | 9999, {}, []),
    (3 << 16, {"_pq_.weir": "1"}, ["_pq_.weir"]),
    (3 << 16 | 9999, {"_pq_.a": "x", "_pq_.b": "", "application_name": "n"}, ["_pq_.a", "_pq_.b"]),
], ids=["3.9999", "option", "both"])
def test_newer_protocols_and_unknown_options_are_negotiated_once(weir, version, options, unknown):
    weir.start()
    with weir.wire() as wire:
        wire.login(version=version, parameters=options)
        negotiated = [reply for reply in wire.login_replies if reply.type == "v"]
        assert len(negotiated) == 1 and wire.login_replies[0] is negotiated[0]
        newest, count = struct.unpack_from("!ii", negotiated[0].body)
        assert newest in (0, 3 << 16, 3 << 16 | 2) and count == len(unknown)
        assert negotiated[0].body[8:] == b"".join(map(cstr, unknown))
        assert wire.query("SELECT 1") == [["1"]]


def test_protocol_3_0_is_not_negotiated(weir):
    with weir.start().raw() as wire:
        assert not [reply for reply in wire.login_replies if reply.type == "v"]


def test_a_startup_packet_of_the_greatest_length(weir):
    weir.start()
    empty = len(startup(parameters={"application_name": ""}))
    with weir.wire() as wire:
        wire.send(startup(parameters={"application_name": "x" * (10_000 - empty)}))
        assert shape(wire.read_until("Z"))[-3:] == "Z:I"
        assert wire.value("SHOW application_name") == "x" * 63


def test_many_startup_parameters(weir):
    with weir.start().raw(parameters={f"weir.p{i}": str(i) for i in range(100)}) as wire:
        assert wire.value("SHOW weir.p99") == "99"


# --- badly formed ---

def packet(body, length=None, version=3 << 16):
    return struct.pack("!ii", len(body) + 8 if length is None else length, version) + body


MALFORMED = {
    "a length below eight": struct.pack("!i", 7) + b"\0\3\0",
    "a length of zero": struct.pack("!i", 0),
    "a negative length": struct.pack("!i", -1),
    "a length of gigabytes": struct.pack("!ii", 0x7fffffff, 3 << 16),
    "one byte too long": packet(b"user\0web\0database\0app\0application_name\0" + b"x" * 9951 + b"\0\0", 10_001),
    "only the version": packet(b""),
    "no terminator": packet(b"user\0web\0database\0app\0"),
    "no terminator of a value": packet(b"user\0web\0database\0app"),
    "no terminator of a name": packet(b"user\0web\0database"),
    "a name without a value": packet(b"user\0web\0database\0\0"),
    "bytes behind the terminator": packet(b"user\0web\0\0database\0app\0\0"),
    "no user": packet(b"database\0app\0\0"),
    "an empty user": packet(b"user\0\0database\0app\0\0"),
    "protocol 2": packet(b"\0" * 284, version=2 << 16),
    "protocol 4": packet(b"user\0web\0\0", version=4 << 16),
    "protocol 0": packet(b"user\0web\0\0", version=0),
    "a cancel request that is too short": struct.pack("!iii", 12, rawwire.CANCEL_REQUEST, 1),
    "a direct TLS ClientHello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 600,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a password before the startup packet": password_message("secret"),
    "a query before the startup packet": query("SELECT 1"),
    "ones": b"\xff" * 64,
    "zeros": b"\0" * 64,
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_start_is_refused_and_hurts_nobody(weir, data):
    with weir.start(login_timeout="3s").raw() as other:
        wire = weir.wire()
        wire.send(data)
        if weir.direct:
            wire.sock.shutdown(1)           # PostgreSQL waits a minute for the rest of a packet
        rest = wire.wait_closed()
        assert rest[:1] in (b"", b"E") or (data.startswith(b"GET ") and rest.startswith(b"HTTP/1.0 400 "))
        assert other.query("SELECT 1") == [["1"]]
    assert_works(weir)


@pytest.mark.parametrize("data, sqlstate", [
    (MALFORMED["no user"], "28000"), (MALFORMED["an empty user"], "28000"), (MALFORMED["protocol 4"], "0A000"),
    (MALFORMED["no terminator"], "08P01")], ids=["no user", "empty user", "protocol 4", "no terminator"])
def test_a_refusal_says_why(weir, data, sqlstate):
    weir.start()
    wire = weir.wire()
    wire.send(data)
    reply = wire.read()
    assert (reply.type, reply.severity, reply.sqlstate) == ("E", "FATAL", sqlstate)
    assert wire.wait_closed() == b""


@pytest.mark.parametrize("data", [message("X", b""), *(MALFORMED[name] for name in (
    "a length below eight", "a negative length", "a length of gigabytes", "one byte too long",
    "a cancel request that is too short", "a query before the startup packet", "ones", "zeros"))])
def test_what_is_no_startup_packet_gets_no_answer(weir, data):
    weir.start()
    wire = weir.wire()
    wire.send(data)
    assert wire.wait_closed() == b""
    assert_works(weir)


@pytest.mark.parametrize("value", ["database", "true", "on", "1"])
def test_a_replication_client_is_served_alone_or_refused_clearly(weir, value):
    weir.start()
    wire = weir.wire()
    try:
        wire.login("postgres", "app", parameters={"replication": value})
    except rawwire.LoginRefused as refused:
        assert refused.sqlstate in ("0A000", "42501", "28000")
    else:
        assert wire.query("IDENTIFY_SYSTEM")[0][1] == "1"
    wire.leave()
    assert_works(weir)


# --- after the login ---

BAD_MESSAGES = {
    "an unknown type": message("z", b"1234"),
    "a type of zero": message("\0", b""),
    "a backend's type": message("T", b"\0\0"),
    "a length below four": b"Q" + struct.pack("!i", 3),
    "a negative length": b"Q" + struct.pack("!i", -5),
    "a length of two gigabytes": b"Q" + struct.pack("!i", 0x7fffffff),
    "a sync of a gigabyte": b"S" + struct.pack("!i", 0x3fffffff),
    "a second startup packet": startup(),
    "zeros": b"\0" * 32,
}


@pytest.mark.parametrize("data", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
@pytest.mark.parametrize("in_transaction", [False, True], ids=["idle", "in a transaction"])
def test_a_message_that_cannot_be_costs_only_its_sender(weir, data, in_transaction):
    wire = weir.start(pool_size=1).raw()
    wire.query("BEGIN" if in_transaction else "SELECT 1")
    wire.send(data)
    rest = wire.read_to_end()
    if weir.direct and not rest:
        return                              # PostgreSQL closes without a word when it has lost its place
    assert [reply.type for reply in rest] == ["E"], shape(rest)
    assert rest[0].severity == "FATAL" and rest[0].sqlstate == "08P01", rest[0].error
    assert_works(weir)


SLOPPY = {
    "a query without terminator": message("Q", b"SELECT 1"),
    "a query with two terminators": message("Q", b"SELECT 1\0\0"),
    "an empty body of query": message("Q", b""),
    "a parse without a text": message("P", b"name\0") + sync(),
    "a parse with too few types": message("P", b"\0SELECT 1\0\0\5") + sync(),
    "a parse with bytes behind": message("P", b"\0SELECT 1\0\0\0tail") + sync(),
    "a bind that is too short": message("B", b"\0\0\0\1") + sync(),
    "a bind with a parameter beyond its end": message("B", b"\0\0\0\0\0\1\0\0\1\0ab\0\0") + sync(),
    "a bind with a negative length": message("B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0") + sync(),
    "a bind without body": message("B", b"") + sync(),
    "a describe of nothing": message("D", b"") + sync(),
    "a describe of an unknown kind": message("D", b"X\0") + sync(),
    "a describe without terminator": message("D", b"Sabc") + sync(),
    "an execute without a count": message("E", b"\0") + sync(),
    "an execute without body": message("E", b"") + sync(),
    "a close of an unknown kind": message("C", b"X\0") + sync(),
    "a close without body": message("C", b"") + sync(),
    "a function call without body": message("F", b""),
    "a function call with too few arguments": message("F", struct.pack("!IHhH", 177, 1, 1, 2) + b"\0\0\0\4"),
    "a sync with a body": message("S", b"body"),
    "a flush with a body": message("H", b"body") + sync(),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("data", SLOPPY.values(), ids=SLOPPY.keys())
def test_a_badly_formed_message_is_an_error_and_the_next_client_is_well(weir, data):
    """ERROR or FATAL, as PostgreSQL or pgweir sees it; never silence, never another client's trouble."""
    wire = weir.start(pool_size=1).raw()
    wire.ask(rawwire.parse("a", "SELECT 'a'") + sync())
    wire.send(data)
    with suppress(rawwire.WireClosed):
        replies = wire.read_until("ZE")
        assert replies[-1].type == "E" and replies[-1].sqlstate[:2] in ("08", "26", "42", "22", "34"), shape(replies)
    wire.close()
    for _ in range(3):
        assert_works(weir)


def test_a_terminate_with_a_body_still_says_goodbye(weir):
    wire = weir.start(pool_size=1).raw()
    wire.send(message("X", b"rest"))
    wire.wait_closed()
    assert_works(weir)


def test_an_execute_of_a_portal_that_was_never_there_does_not_hurt(weir):
    with weir.start(pool_size=1).raw() as wire:
        assert shape(wire.ask(execute("never") + sync())) == "E:34000 Z:I"
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
@pytest.mark.parametrize("sent, answer", [
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.0 400 Bad Request\r\n"), (b"POST / HTTP/1.1\r\n\r\n", b"HTTP/1.0 400 Bad Request\r\n"),
    (b"GETA / HTTP/1.1\r\n\r\n", b""), (b"SSH-2.0-OpenSSH\r\n", b"")], ids=["GET", "POST", "no method", "ssh"])
def test_http_is_answered_in_words(weir, sent, answer):
    """Whoever looks for the metrics on this port; other garbage is answered by nobody, as by PostgreSQL."""
    wire = weir.start().wire()
    wire.send(sent)
    got = wire.wait_closed()
    assert got.startswith(answer) and (b"HTTP is at listen in section [http]" in got) == bool(answer)
    assert bool(answer) or got == b""
    weir.wait_log("received an HTTP request" if answer else "invalid length of startup packet")
