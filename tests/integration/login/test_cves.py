"""What was wrong in PgBouncer and in PostgreSQL's own start of a connection, each tried here. What each one was, and
in brackets the planted bug with which its test was seen to fail:

2012-4575    a database name that is too long crashed it [copied to an array of 128 bytes]
2015-4054    a password before the startup packet: NULL dereferenced [p handled in any state; any type taken as a password]
2015-6817    after a failed lookup the login went on as auth_user [who is not found gets the auth_user's secret]
2021-3935, 2021-23214   unencrypted bytes after SSLRequest were taken for encrypted ones [no check for them]
2021-23222   the same after the server's answer [no check for them]
2024-10977   an error in place of TLS is shown, though anybody may have sent it [handled as without TLS]
2025-2291    auth_query ignored VALID UNTIL [the column not read]
2025-12819   a client's search_path reached the connection of auth_query [set there]
2026-6664    overflow in the check of a SASL message's length [said + 4 > left in 32 bits]
2026-6665    a long nonce of the server overflowed the stack [copied unchecked to an array]
2026-6666    an error without SQLSTATE: NULL dereferenced [no check for NULL, at login and later]
2026-6667    KILL_CLIENT was not for administrators only [its row for anybody; names compared by their beginning]

Other files look at the same places more closely (named below), and at these alone: test_auth_query.py at 2015-6817, 2025-2291 and
2025-12819, test_tls_clients.py at 2021-3935 and 2021-23214. The tests here are short, and named by what they prove."""

import os
import random
import re
import ssl
import struct
import threading
import time
from contextlib import suppress

import psycopg
import pytest

import fakeserver
import rawwire
from fakeserver import scram_with
from rawwire import (cancel_request, cstr, errors, message, one_statement, password_message, query, scram_verifier,
                     ssl_request, startup, sync)
from waiting import each, wait_until
from weir import REPOSITORY

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


def assert_works(weir, **words):
    assert weir.is_alive()
    with weir.raw(**words) as wire:
        assert wire.query("SELECT 1") == [["1"]]


def refusal(wire):
    """The ErrorResponse that ends it, or None if it was closed without a word."""
    with suppress(rawwire.WireError):
        for reply in wire.read_to_end():
            if reply.type == "E":
                return reply
    return None


@pytest.fixture(scope="module")
def certified(authority):
    return authority.issue("cves", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture
def tls_weir(weir, certified):
    def start(**settings):
        return weir.start(settings.pop("sections", None), certificate_file=certified.certificate,
                          key_file=certified.key, **settings)
    weir.begin = start
    return weir


# --- CVE-2012-4575: a name that is too long for its place ---

@pytest.mark.parametrize("method", ["trust", "scram-sha-256"])
@pytest.mark.parametrize("any_database", [False, True], ids=["listed", "any"])
def test_cve_2012_4575_a_long_database_name(weir, method, any_database):
    weir.start(sections={"database *": {"upstream": weir.upstream()}} if any_database else None, method=method,
               login_failure_delay="10ms", login_failure_delay_max="10ms")
    for length in (63, 64, 65, 127, 128, 255, 256, 1000, 9900):
        for words in ({"database": "d" * length}, {"user": "u" * length}, {"database": None, "user": "u" * length}):
            wire = weir.wire()
            with pytest.raises((rawwire.LoginRefused, rawwire.WireClosed)) as refused:
                wire.login(password=weir.users["web"], **words)
            if refused.type is rawwire.LoginRefused:
                assert refused.value.sqlstate in ("3D000", "28000", "28P01"), refused.value.reply.error
            wire.close()
    assert_works(weir)


# --- CVE-2015-4054: messages before the startup packet, and others out of turn ---

PREMATURE = {
    "a password": password_message("x"),
    "an empty password": message("p"),
    "SASL": rawwire.Scram("x").initial_response(),
    "a query": query("SELECT 1"),
    "terminate": message("X"),
    "all types": b"".join(message(chr(kind), b"\0" * 8) for kind in range(1, 128)),
}


@pytest.mark.parametrize("data", PREMATURE.values(), ids=PREMATURE.keys())
@pytest.mark.parametrize("before", ["nothing", "ssl", "tls"])
def test_cve_2015_4054_before_the_startup_packet(tls_weir, authority, data, before):
    tls_weir.begin(method="scram-sha-256", sections={"tls_client": {"mode": "off" if before == "ssl" else "prefer"}})
    wire = tls_weir.wire()
    if before == "tls":
        wire.start_tls(context_of(authority), "localhost")
    elif before == "ssl":
        wire.send(ssl_request())
        assert wire.read_bytes(1) == b"N"
    wire.send(data)
    wire.send(b"\0" * 16)                   # in case it waits for more
    reply = refusal(wire)
    assert reply is None or reply.sqlstate in ("08P01", "0A000", "28000"), reply.error
    assert_works(tls_weir)


OUT_OF_TURN = {
    "a second startup packet": startup(),
    "SSLRequest": ssl_request(),
    "a cancel": cancel_request(struct.pack("!i", 4242) + b"\1\2\3\4"),
    "a query": query("SELECT 1"),
    "sync": sync(),
    "a password of gigabytes": b"p" + struct.pack("!i", 0x7fffffff),
    "a password of a length below four": b"p" + struct.pack("!i", 3),
    "a password of a negative length": b"p" + struct.pack("!i", -1),
}


@pytest.mark.parametrize("data", OUT_OF_TURN.values(), ids=OUT_OF_TURN.keys())
@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_cve_2015_4054_while_a_password_is_due(weir, method, data):
    weir.start(method=method)
    wire = weir.wire()
    wire.send(startup())
    assert wire.read().type == "R"
    wire.send(data)
    reply = refusal(wire)
    assert reply is not None and reply.sqlstate == "08P01"
    assert_works(weir)


@pytest.mark.parametrize("method, stored, answers", [
    ("md5", "plain", [rawwire.Scram("web-secret").initial_response()]),
    ("md5", "plain", [message("p", b"md5" + b"0" * 31 + b"\0")]),
    ("scram-sha-256", "plain", [password_message("web-secret")]),
    ("scram-sha-256", "plain", [message("p", b"n,,n=,r=abcdef")]),
    ("scram-sha-256", "scram", [rawwire.Scram("x").initial_response(), rawwire.Scram("x").initial_response()]),
    ("scram-sha-256", "scram", [rawwire.Scram("x").initial_response(), message("p")]),
    ("scram-sha-256", "scram", [rawwire.Scram("x").initial_response("SCRAM-SHA-256-PLUS")]),
], ids=["SASL for md5", "md5 that is none", "a password for SASL", "a response before the first", "the first twice",
        "an empty response", "PLUS without TLS"])
def test_cve_2015_4054_answers_of_another_method(weir, method, stored, answers):
    password = weir.users["web"]
    weir.users["web"] = password if stored == "plain" else scram_verifier(password)
    weir.start(method=method, sections={"limits": {"login_failure_delay": "10ms"}})
    wire = weir.wire()
    wire.send(startup(), *answers)
    reply = refusal(wire)
    assert reply is not None and reply.sqlstate in ("08P01", "28P01", "28000"), reply
    wire = weir.wire().login(password=password)
    wire.close()


def context_of(authority):
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.check_hostname = False
    return context


# --- CVE-2021-23222: bytes in the clear behind the server's S ---

@pytest.mark.parametrize("words", ["sslmode=require", "sslmode=verify-full"])
def test_cve_2021_23222_bytes_behind_the_servers_answer(weir, fake, authority, words):
    seen = []

    def script(conn):
        seen.append(conn.read_bytes(8))
        conn.send(b"S" + fakeserver.auth(0) + conn.welcome() + fakeserver.one_row("injected") + fakeserver.ready())
        conn.wait_gone()

    fake.script = script
    weir.start(None, f"{fake.upstream} {words} sslrootcert={authority.ca}", pool_timeout="3s")
    with pytest.raises(psycopg.OperationalError, match="unencrypted data behind its answer"):
        weir.connect().execute("SELECT 1")
    assert seen[0] == ssl_request()


def test_an_error_instead_of_tls_is_not_repeated(weir, fake):
    """CVE-2024-10977 of libpq: who has not proved himself has nothing to say to the client."""
    def script(conn):
        conn.read_bytes(8)
        conn.send(fakeserver.error("28P01", "visit http://evil.example to renew your password", "FATAL"))
        conn.wait_gone()

    fake.script = script
    weir.start(None, f"{fake.upstream} sslmode=require", pool_timeout="3s")
    with pytest.raises(psycopg.OperationalError) as refused:
        weir.connect().execute("SELECT 1")
    assert "evil.example" not in str(refused.value) and "evil.example" not in weir.log()
    assert "error" in str(refused.value)


# --- CVE-2026-6664: lengths in SASL messages (also: test_login.py, test_scram.c, fuzz_login) ---

DATA = b"n,,n=,r=0123456789abcdefgh"


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("said", [
    0, 1, len(DATA) - 1, len(DATA) + 1, len(DATA) + 4, 0xffff, 0x10000, 0x7ffffffb, 0x7ffffffc, 0x7fffffff, 0x80000000,
    0x80000001, 0xfffffff0, 0xfffffffb, 0xfffffffc, 0xfffffffd, 0xfffffffe, 0xffffffff,
    (1 << 32) - len(DATA), (1 << 32) - len("SCRAM-SHA-256") - 1,
], ids=hex)
def test_cve_2026_6664_length_of_a_sasl_response(weir, said):
    weir.start(method="scram-sha-256")
    wire = weir.wire()
    wire.send(startup())
    assert wire.read().type == "R"
    wire.send(message("p", cstr("SCRAM-SHA-256") + struct.pack("!I", said) + DATA))
    reply = refusal(wire)
    assert reply is not None and reply.sqlstate == "08P01", reply
    assert "malformed SASLInitialResponse" in reply.error["M"]
    weir.wire().login(password=weir.users["web"]).close()


@pytest.mark.parametrize("body", [
    b"", b"\0", cstr("SCRAM-SHA-256"), b"SCRAM-SHA-256", cstr("SCRAM-SHA-256") + b"\0", cstr("SCRAM-SHA-256") + b"\0\0\0",
    cstr("SCRAM-SHA-256") + b"\0\0\0\4", cstr("x" * 60000) + b"\0\0\0\0", cstr("SCRAM-SHA-256") + b"\0\1\0\0" + b"r" * 60000,
    cstr("SCRAM-SHA-256") + struct.pack("!I", 65000) + b"n,,n=,r=" + b"r" * 64992,
], ids=lambda body: f"{len(body)} bytes {body[:24]!r}")
def test_cve_2026_6664_a_sasl_response_cut_short_or_huge(weir, body):
    weir.start(method="scram-sha-256")
    wire = weir.wire()
    wire.send(startup())
    assert wire.read().type == "R"
    wire.send(message("p", body))
    reply = refusal(wire)
    assert reply is not None and reply.sqlstate == "08P01", reply
    weir.wire().login(password=weir.users["web"]).close()


# --- CVE-2026-6665: what an evil server says in SCRAM (also: test_server_faults.py, test_scram.c, fuzz_server_login) ---

SALT = "c2FsdHNhbHRzYWx0c2E="
EVIL_CHALLENGES = {
    **{f"a nonce of {size} more": (lambda nonce, size=size: f"r={nonce}{'N' * size},s={SALT},i=4096")
       for size in (200, 232, 255, 256, 257, 500, 1000, 2000, 4000, 10_000, 60_000)},
    "a salt of 3000": lambda nonce: f"r={nonce}S,s={'QUJD' * 1000},i=4096",
    "a salt of nothing": lambda nonce: f"r={nonce}S,s=,i=4096",
    "digits without end": lambda nonce: f"r={nonce}S,s={SALT},i={'9' * 5000}",
    "iterations that overflow": lambda nonce: f"r={nonce}S,s={SALT},i=4294971392",
    "an extension of 60000": lambda nonce: f"r={nonce}S,s={SALT},i=4096,x={'y' * 60_000}",
    "commas": lambda nonce: "," * 60_000,
    "a percent": lambda nonce: f"r={nonce}%n%s%n%s,s={SALT},i=9999999999",
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("challenge", EVIL_CHALLENGES.values(), ids=EVIL_CHALLENGES.keys())
def test_cve_2026_6665_an_evil_challenge(weir, fake, challenge):
    fake.script = scram_with(challenge, fakeserver.auth(12, b"v=" + b"A" * 60_000) + fakeserver.auth(0))
    weir.start(sections={"database app2": {"upstream": fake.upstream}}, pool_timeout="5s")
    with pytest.raises(rawwire.LoginRefused) as refused:
        wire = weir.wire().login(database="app2")
        replies = wire.ask(query("SELECT 1"))
        raise rawwire.LoginRefused(errors(replies)[0])
    assert refused.value.sqlstate in ("08P01", "28000"), refused.value.reply.error
    assert_works(weir)


# --- CVE-2026-6666: errors without their fields (also: test_server_faults.py, test_messages.c, fuzz_session) ---

BARE = {
    "no fields": message("E", b"\0"),
    "no body": message("E"),
    "no SQLSTATE": message("E", b"SFATAL\0VFATAL\0Mthe server says no\0\0"),
    "an empty SQLSTATE": message("E", b"SFATAL\0C\0Mthe server says no\0\0"),
    "a SQLSTATE of one letter": message("E", b"SFATAL\0C2\0Mno\0\0"),
    "a long SQLSTATE": message("E", b"SFATAL\0C" + b"2" * 5000 + b"\0Mno\0\0"),
    "no message": message("E", b"SFATAL\0C53300\0\0"),
    "no end": message("E", b"SFATAL\0Mno"),
    "SQLSTATE alone, without end": message("E", b"C53300"),
}


@pytest.mark.parametrize("bare", BARE.values(), ids=BARE.keys())
def test_cve_2026_6666_an_error_without_sqlstate_at_login(weir, fake, bare):
    fake.script = lambda conn: (conn.read_startup(), conn.send(bare), conn.wait_gone())
    weir.start(sections={"database app2": {"upstream": fake.upstream}}, pool_timeout="2s", connect_timeout="1s")
    with pytest.raises(rawwire.LoginRefused) as refused:
        replies = weir.wire().login(database="app2").ask(query("SELECT 1"))
        raise rawwire.LoginRefused(errors(replies)[0])
    assert len(refused.value.sqlstate) == 5, refused.value.reply.error
    assert_works(weir)


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("bare", BARE.values(), ids=BARE.keys())
@pytest.mark.parametrize("way", ["simple", "extended", "in a transaction", "idle"])
def test_cve_2026_6666_an_error_without_sqlstate_later(weir, fake, bare, way):
    bad = []

    def answer(conn, kind, body):
        if bad and (kind == "Q" if way in ("simple", "in a transaction") else way == "extended" and kind in "PS"):
            if kind == "S":
                return False
            conn.send(bare, fakeserver.ready("E" if way == "in a transaction" else "I") if kind == "Q" else b"")
            return True
        return False

    fake.answer = answer
    weir.start(sections={"database app2": {"upstream": fake.upstream}}, pool_timeout="2s", query_timeout="2s")
    wire = weir.raw(database="app2")
    assert wire.query("SELECT 1") == [["fake"]]
    if way == "in a transaction":
        wire.send(query("BEGIN"))
        wire.read_until("Z")
    bad.append(1)
    with suppress(rawwire.WireError, OSError):
        if way == "idle":
            each(list(fake.connections)).send(bare)
            wait_until(lambda: weir.metric("pgweir_server_connections", database="app2") == 0)
        else:
            wire.send(one_statement("SELECT 1") + sync() if way == "extended" else query("SELECT 1"))
            assert wire.read_until("ZE")[-1].type in "ZE"
    wire.close()
    assert_works(weir)
    assert weir.console("SHOW ERRORS") is not None


# --- CVE-2026-6667: the console's commands, all of them ---

def console_commands():
    """(phrase, is_for_admins, argument) of the table itself, so that a new command is looked at as well."""
    admin = REPOSITORY / "src" / "admin"
    shows = (admin / "show_list.h").read_text(encoding="utf-8").split("#define SHOW_LIST(ROW)", 1)[1]
    shows = shows.split("/*", 1)[0]
    table = (admin / "console_command.c").read_text(encoding="utf-8")
    table = table.split("static const struct command_row rows[] = {", 1)[1].split("\n};", 1)[0]
    modules = (REPOSITORY / "src" / "modules" / "modules.h").read_text(encoding="utf-8")
    shows += "".join(f"ROW{row}" for row in re.findall(r"^\tSHOW(\(.*)", modules, re.M))
    found = [(f"SHOW {name}", may == "ADMIN", "ARGUMENT_LIKE") for name, may in
             re.findall(r"ROW\((\w+), \w+, (ANYBODY|ADMIN)", shows)]
    assert len(found) == len(re.findall(r"ROW\(", shows)) > 25
    found += [(phrase, may == "ADMIN", argument) for phrase, argument, may in
              re.findall(r'\{\s*COMMAND_\w+,\s*"([^"]+)",\s*"[^"]+",\s*(ARGUMENT_\w+),\s*(ANYBODY|ADMIN)', table)]
    assert len(found) == len(re.findall(r"ROW\(", shows)) + len(re.findall(r"\{\s*COMMAND_", table)) > 60
    return found


# Those that whoever is let into the console may use: they only look, or are the session's own.
HARMLESS = ("SHOW", "HELP", "EXPLAIN", "SELECT", "SET", "RESET", "BEGIN", "START TRANSACTION", "COMMIT", "END", "ROLLBACK",
            "ABORT", "DISCARD", "DEALLOCATE", "CLOSE ALL", "UNLISTEN", "SAVEPOINT", "RELEASE")
ARGUMENTS = {"ARGUMENT_DATABASE": ["", " app", ' "app"'], "ARGUMENT_CLIENT": [" 1", " 2", " 999999"],
             "ARGUMENT_ONE_DATABASE": [" app"], "ARGUMENT_ANY": ["", " x"], "ARGUMENT_LIKE": ["", " LIKE '%'"]}


def written(phrase, argument):
    for tail in ARGUMENTS.get(argument, [""]):
        yield phrase + tail
    yield f"/* x */ {phrase.lower()}{ARGUMENTS.get(argument, [''])[-1]} ;"
    yield f"SHOW VERSION; {phrase}{ARGUMENTS.get(argument, [''])[-1]}"


def test_cve_2026_6667_what_changes_anything_is_for_admins():
    for phrase, is_for_admins, _ in console_commands():
        assert is_for_admins or phrase.startswith(HARMLESS), f"{phrase} changes something, and anybody may"
    changing = {"RELOAD", "PAUSE", "RESUME", "RECONNECT", "KILL", "KILL_CLIENT", "SHUTDOWN", "WAIT_CLOSE", "REOPEN",
                "DISABLE", "ENABLE", "SUSPEND", "SHUTDOWN WAIT_FOR_CLIENTS", "SET CONFIGURATION"}
    assert changing <= {phrase for phrase, is_for_admins, _ in console_commands() if is_for_admins}


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_cve_2026_6667_no_command_of_admins_for_others(weir, extended):
    client = weir.start().raw()
    assert client.query("SELECT 1") == [["1"]]
    admin = weir.raw("admin", "pgweir")
    before = admin.query("SHOW DATABASES")
    tried = 0
    with weir.raw("stats", "pgweir") as wire:
        for phrase, is_for_admins, argument in console_commands():
            for command in written(phrase, argument) if is_for_admins else []:
                replies = wire.ask(one_statement(command) + sync() if extended else query(command))
                refused = "0A000" if extended else "42501"      # the console takes simple queries only
                assert [reply.sqlstate for reply in errors(replies)] == [refused], (command, errors(replies))
                tried += 1
    assert tried >= 65
    assert client.query("SELECT 1") == [["1"]], "nobody killed it"
    assert admin.query("SHOW DATABASES") == before, "nothing is paused"
    assert_works(weir)


def test_cve_2026_6667_a_statement_does_not_outlive_the_right_to_it(weir):
    """Parsed by one who may look only, in one go and step by step; and SET of pgweir's own settings."""
    with weir.start().raw("stats", "pgweir") as wire:
        for replies in (wire.ask(rawwire.parse("s", "KILL app"), sync()),
                        wire.ask(rawwire.bind("", "s"), rawwire.execute(), sync()),
                        wire.ask(query("PREPARE k AS KILL app")), wire.ask(query("EXECUTE k")),
                        wire.ask(query("SET pool_size = 1")), wire.ask(query("SET pool.pool_size = 1")),
                        wire.ask(query("SET default_pool_size = 1")), wire.ask(query("SET CONFIGURATION pool.pool_size = 1")),
                        wire.ask(query("BEGIN; KILL app; COMMIT")), wire.ask(query("KILL app; SHOW VERSION"))):
            found = errors(replies)
            assert len(found) == 1 or (found == [] and replies[0].type == "1"), replies
        wire.ask(query("ROLLBACK"))
    assert_works(weir)


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("database", ["pgweir", "pgbouncer"])
@pytest.mark.parametrize("user", ["web", "ADMIN", "admin ", " admin", "admin\t", "admi", "adminx", "admin,stats", "stats\n"])
def test_cve_2026_6667_who_is_not_listed_does_not_get_in(weir, user, database):
    weir.start(admin_users="admin, second")
    for parameters in (None, {"options": "-c role=admin"}, {"session_authorization": "admin"}, {"role": "admin"}):
        with pytest.raises(rawwire.LoginRefused) as refused:
            weir.wire().login(user, database, None, parameters)
        assert refused.value.sqlstate in ("42501", "28000")


# --- and of the same kind ---

def test_names_forge_no_lines_of_the_log(weir):
    """A name is a stranger's text: it ends no line, and moves no cursor."""
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "0s"}, "log": {"level": "debug"}}, connections=True)
    for name in ("x\npgweir: FORGED", "x\r\nFORGED", "x\x1b[2JFORGED", "x\x9b2JFORGED", "%n%s%n FORGED", "x\u2028FORGED"):
        for words in ({"user": name}, {"database": name}, {"user": "web", "parameters": {"application_name": name}}):
            with pytest.raises((rawwire.LoginRefused, rawwire.WireClosed)):
                weir.wire().login(password="wrong", **words)
    text = weir.wait_log("FORGED")
    assert not [line for line in re.split(r"[\r\n]", text) if line.startswith(("FORGED", "pgweir: FORGED"))]
    assert not set(text) & {"\x1b", "\r"}


def test_a_login_that_stops_anywhere_leaves_nothing(tls_weir, authority):
    """Cut after each byte, with and without TLS: no descriptor and no count stays."""
    tls_weir.begin(method="scram-sha-256", sections={"limits": {"max_address_client_connections": 0}})
    before = tls_weir.fd_count()
    whole = ssl_request() + b"\x16\x03\1\2\0\1\0\1\xfc\3\3" + b"\0" * 40
    for at in range(1, len(whole)):
        with tls_weir.wire() as wire:
            wire.send(whole[:at])
    for at in range(1, len(startup()) + 1, 3):
        with tls_weir.wire() as wire:
            wire.start_tls(context_of(authority), "localhost")
            wire.send(startup()[:at])
    wait_until(lambda: tls_weir.metric("pgweir_client_connections", state="login") == 0)
    wait_until(lambda: tls_weir.fd_count() <= before)


def test_a_listener_in_the_way_gets_no_password(weir, fake):
    """prefer: somebody answers N. What goes in the clear then is a SCRAM exchange, and with verify-full nothing."""
    seen = []

    def script(conn):
        seen.append(conn.read_bytes(8))
        conn.send(b"N")
        try:
            while True:
                seen.append(conn.sock.recv(65536) or conn.read_bytes(1))
        finally:
            pass

    fake.script = script
    weir.start(None, f"{fake.upstream} sslmode=verify-full sslrootcert=system", pool_timeout="2s")
    with pytest.raises(psycopg.OperationalError, match="does not speak TLS"):
        weir.connect().execute("SELECT 1")
    wait_until(lambda: seen)
    assert set(seen) == {ssl_request()}, "not even the user's name"


@pytest.mark.long
def test_logins_that_end_anyhow_while_everything_changes(tls_weir, authority, postgres):
    """Handshakes, lookups, keys and answers that wait, cut off at random by clients, reloads and the console. Nothing
    may stay, and with sanitizers nothing may be touched that is gone."""
    postgres.query("DROP ROLE IF EXISTS storm")
    postgres.query(f"CREATE ROLE storm LOGIN PASSWORD '{scram_verifier('storm-secret')}'")
    hba = tls_weir.directory / "hba.conf"
    hba.write_text("hostssl app2 all all password\nhost app all all scram-sha-256\nhost all admin all trust\n"
                   "host all all all md5\n", encoding="utf-8")
    settings = {"method": "hba", "hba_file": hba, "auth_query": "builtin", "auth_user": "postgres",
                "sections": {"limits": {"login_failure_delay": "20ms"}, "timeouts": {"login_timeout": "3s"}}}
    tls_weir.begin(**settings)
    before = tls_weir.fd_count()
    seed = int(os.environ.get("STORM_SEED", "1"))
    begin = time.monotonic()
    works, served = [], threading.Event()

    def is_over():
        """After some seconds, once both users were served (or never will be)."""
        return time.monotonic() - begin > (4 if {"web", "storm"} <= set(works) else 40)

    def visit(number):
        chance = random.Random(seed + number)
        while not is_over():
            wire = rawwire.Wire(tls_weir.address)
            try:
                if chance.random() < 0.7:
                    if chance.random() < 0.3:
                        wire.send(ssl_request(), b"\x16\x03\1\2\0\1\0\1\xfc\3\3"[:chance.randrange(12)])
                        raise rawwire.WireClosed("it leaves")
                    wire.sock.settimeout(5)
                    wire.start_tls(context_of(authority), "localhost")
                user, password = chance.choice([("web", "web-secret"), ("storm", "storm-secret"), ("nobody", "x"),
                                                ("web", "wrong"), ("storm", "wrong")])
                if chance.random() < 0.5:
                    wire.send(startup(user, chance.choice(["app", "app2", "other", "pgweir"])))
                    if chance.random() < 0.5:
                        wire.read(1)
                    if chance.random() < 0.5:
                        wire.send(password_message(password))
                else:
                    wire.login(user, chance.choice(["app", "app2"]), password)
                    wire.send(query("SELECT 1"))
                    if chance.random() < 0.7:
                        wire.read_until("Z")
                        works.append(user)
                        served.set()
            except (rawwire.WireError, OSError):
                pass
            finally:
                wire.close()

    visitors = [tls_weir.in_background(visit, number) for number in range(12)]
    chance = random.Random(seed)
    while not is_over():
        command = chance.choice(["RELOAD", "RECONNECT", "KILL app", "RESUME", "PAUSE app2", "RESUME"])
        with suppress(rawwire.WireError, OSError), rawwire.Wire(tls_weir.address) as wire:
            wire.login("admin", "pgweir")
            wire.send(query(command))
            wire.read_until("Z", timeout=0.3)
        served.wait(0.05)       # servers that are told to end each millisecond serve nobody on a slow machine
        served.clear()
    each(visitors).result()
    try:
        for _ in range(2):
            tls_weir.console("RESUME")
    except psycopg.Error:
        pass                                # nothing was paused any more
    assert set(works) == {"web", "storm"}, f"seed {seed}"
    wait_until(lambda: tls_weir.metric("pgweir_client_connections", state="login") == 0, what=f"seed {seed}")
    wait_until(lambda: tls_weir.metric("pgweir_client_connections") == 0, what=f"seed {seed}")
    tls_weir.console("RECONNECT")
    wait_until(lambda: tls_weir.fd_count() <= before + 8, what=f"seed {seed}")
    tls_weir.stop()
    wait_until(lambda: not postgres.backends(usename="storm"))
    postgres.query("DROP ROLE storm")
