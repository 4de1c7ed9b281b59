"""Logging in: to pgweir by trust, md5 and SCRAM from users.txt; from pgweir to PostgreSQL by what it asks for."""

import base64
import socket
import struct
import time

import psycopg
import psycopg2
import pytest

import rawwire
import transport
from fakeserver import FakeServer, auth, notice
from rawwire import (BEGIN_NOW, Scram, Wire, md5_secret, message, query, refused_exchange, scram_verifier, shape,
                     startup)
from waiting import SLOWNESS
from weir import timed

VERIFIER = scram_verifier("web-secret")
SECRETS = {"plain": "web-secret", "md5": md5_secret("web", "web-secret"), "scram": VERIFIER}


def auth_codes(wire):
    return [struct.unpack_from("!i", reply.body)[0] for reply in wire.login_replies if reply.type == "R"]


# --- clients to pgweir ---

@pytest.mark.weir_only
@pytest.mark.parametrize("method, stored, codes", [
    ("md5", "plain", [5, 0]),
    ("md5", "md5", [5, 0]),
    ("md5", "scram", [10, 11, 12, 0]),
    ("scram-sha-256", "plain", [10, 11, 12, 0]),
    ("scram-sha-256", "scram", [10, 11, 12, 0]),
])
def test_a_secret_logs_in_by_the_methods_that_can_use_it(weir, method, stored, codes):
    weir.users["web"] = SECRETS[stored]
    weir.start(method=method)
    with weir.wire().login(password="web-secret") as wire:
        assert auth_codes(wire) == codes
        assert wire.value("SELECT current_user") == "web"


@pytest.mark.weir_only
@pytest.mark.parametrize("method, stored", [("md5", "plain"), ("md5", "md5"), ("md5", "scram"),
                                            ("scram-sha-256", "plain"), ("scram-sha-256", "scram"),
                                            ("scram-sha-256", "md5")])
def test_a_wrong_password_is_refused(weir, method, stored):
    weir.users["web"] = SECRETS[stored]
    weir.start(method=method)
    wire = weir.wire()
    with pytest.raises(rawwire.LoginRefused) as refused:
        wire.login(password="wrong")
    assert refused.value.sqlstate == "28P01" and refused.value.reply.severity == "FATAL"
    assert wire.wait_closed() == b""


@pytest.mark.weir_only
@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
@pytest.mark.parametrize("driver", [psycopg2, psycopg])
def test_drivers_log_in_with_a_password(weir, method, driver):
    weir.start(method=method)
    with driver.connect(weir.dsn(password="web-secret")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("web",)
    connection.close()
    with pytest.raises(driver.OperationalError, match="password authentication failed"):
        driver.connect(weir.dsn(password="wrong"))


@pytest.mark.weir_only
def test_a_users_file_of_pgbouncer_is_read_as_it_is(weir):
    weir.start(method="scram-sha-256")
    weir.users_file.write_text('; a comment\n# another\n\n"web" "web-secret" ; the main user\n'
                               '"quo""ted" "se""cret"  \n  "reporting"\t"%s"\n' % scram_verifier("reporting-secret"))
    before = weir.metric("pgweir_config_reloads_total")
    weir.signal(1)
    weir.wait_until(lambda: weir.metric("pgweir_config_reloads_total") > before)
    weir.postgres.query('DROP ROLE IF EXISTS "quo""ted"')
    weir.postgres.query('CREATE ROLE "quo""ted" LOGIN')
    try:
        for user, password in (("web", "web-secret"), ('quo"ted', 'se"cret'), ("reporting", "reporting-secret")):
            with weir.wire().login(user, password=password) as wire:
                assert wire.value("SELECT current_user") == user
    finally:
        weir.stop()
        weir.wait_until(lambda: weir.postgres.count() == 0)
        weir.postgres.query('DROP ROLE "quo""ted"')


@pytest.mark.weir_only
@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_an_unknown_user_looks_like_a_wrong_password(weir, method):
    weir.users["web"] = SECRETS["scram"] if method != "md5" else SECRETS["plain"]
    weir.start(method=method)
    assert refused_exchange(weir, "nobody_here", "x") == refused_exchange(weir, "web", "wrong")


def first_demand(weir, user):
    """The code of the first Authentication message."""
    with weir.wire() as wire:
        wire.send(startup(user))
        return struct.unpack_from("!i", wire.read().body)[0]


@pytest.mark.weir_only
def test_md5_asks_unknown_users_for_what_known_ones_are_asked_for(weir):
    """Who has a SCRAM secret is asked for SCRAM: that must not tell who there is."""
    weir.users = {"web": SECRETS["scram"], "one": SECRETS["scram"]}
    weir.start(method="md5", sections={"limits": {"login_failure_delay": "10ms"}})
    assert refused_exchange(weir, "nobody_here", "x") == refused_exchange(weir, "web", "wrong")
    assert {first_demand(weir, f"ghost{i}") for i in range(20)} == {10}
    weir.users = {"web": SECRETS["scram"], "one": SECRETS["plain"]}
    weir.reload(method="md5")
    demands = [first_demand(weir, f"ghost{i}") for i in range(40)]
    assert set(demands) == {5, 10}
    weir.reload(method="md5")
    assert [first_demand(weir, f"ghost{i}") for i in range(40)] == demands, "each its own, always the same"


@pytest.mark.weir_only
@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_an_unknown_database_is_told_only_to_those_who_know_the_password(weir, method):
    weir.start(method=method)
    assert refused_exchange(weir, "web", "wrong", "nowhere") == refused_exchange(weir, "web", "wrong")
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.wire().login("web", "nowhere", "web-secret")
    assert refused.value.sqlstate == "3D000" and refused.value.reply.severity == "FATAL"
    assert "nowhere" in refused.value.reply.error["M"]


def test_an_unknown_database_is_3d000(weir):
    weir.start()
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.wire().login("web", "nowhere")
    assert refused.value.sqlstate == "3D000"


@pytest.mark.weir_only
def test_a_name_like_a_configured_database_is_suggested(weir):
    weir.start()
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.wire().login("web", "ap")
    assert '"app"' in refused.value.reply.error["H"]


def server_first(weir, user):
    wire = weir.wire()
    wire.send(startup(user))
    wire.read()
    wire.send(Scram("x").initial_response())
    reply = wire.read()
    wire.close()
    return dict(item.split("=", 1) for item in reply.body[4:].decode().split(","))


@pytest.mark.weir_only
def test_an_unknown_user_has_the_same_salt_each_time_and_other_users_another(weir):
    """So has a known user with a plain secret: a salt that changes from login to login would tell him from unknown ones."""
    weir.start(method="scram-sha-256")
    assert server_first(weir, "web")["s"] == server_first(weir, "web")["s"]
    first, again, other = (server_first(weir, user) for user in ("ghost", "ghost", "phantom"))
    assert first["s"] == again["s"] != other["s"]
    assert first["r"] != again["r"]


@pytest.mark.weir_only
@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_an_empty_password_is_refused(weir, method):
    """(A user whose secret is empty is an error of the file: test_users.c.)"""
    weir.start(method=method)
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.wire().login(password="")
    assert refused.value.sqlstate == "28P01"


@pytest.mark.weir_only
@pytest.mark.parametrize("length", [200, 3000, 60_000])
def test_long_passwords_work_both_ways(weir, length):
    password = "Pa$" * (length // 3)
    weir.postgres.query("DROP ROLE IF EXISTS longuser")
    weir.postgres.query(f"CREATE ROLE longuser LOGIN PASSWORD '{scram_verifier(password)}'")
    weir.users["longuser"] = password
    weir.start(method="scram-sha-256")
    with weir.wire().login("longuser", password=password) as wire:
        assert wire.value("SELECT current_user") == "longuser"
    weir.stop()
    weir.wait_until(lambda: weir.postgres.count() == 0)
    weir.postgres.query("DROP ROLE longuser")


@pytest.mark.weir_only
def test_show_errors_counts_refused_logins(weir):
    """They are of no database: who sent them has not proved anything."""
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "10ms"}})
    for user in ("web", "web", "nobody_here"):
        with pytest.raises(rawwire.LoginRefused):
            weir.wire().login(user, password="wrong")
    with weir.wire().login("admin", "pgweir", "admin-secret") as wire:
        rows = [row[1:] for row in wire.query("SHOW ERRORS") if row[0] is None]
        assert rows == [["bad_password", None, "2"], ["no_such_user", None, "1"]]


@pytest.mark.weir_only
@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
def test_admin_and_stats_users_need_their_password_for_the_console(weir, method):
    weir.start(method=method)
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.wire().login("admin", "pgweir", "wrong")
    assert refused.value.sqlstate == "28P01"
    with weir.wire().login("admin", "pgweir", "admin-secret") as wire:
        assert wire.query("SHOW VERSION")


# --- SCRAM, step by step. Against PostgreSQL itself: user scramuser, whom its HBA asks for SCRAM ---

@pytest.fixture
def scram_wire(weir):
    weir.start(method="scram-sha-256")

    def begin():
        wire = weir.wire()
        wire.send(startup("scramuser"))
        reply = wire.read()
        assert reply.type == "R" and reply.body == struct.pack("!i", 10) + transport.SCRAM_OFFER
        return wire
    return begin


def assert_refused(wire, *sqlstates):
    replies = wire.read_to_end()
    assert [reply.type for reply in replies] == ["E"], shape(replies)
    assert replies[0].severity == "FATAL" and replies[0].sqlstate in sqlstates, replies[0].error


def test_scram_in_single_bytes(scram_wire):
    wire, scram = scram_wire(), Scram("scram-secret")
    wire.send_slowly(scram.initial_response())
    wire.send_slowly(scram.final_response(wire.read().body[4:]))
    final = wire.read()
    assert final.body[4:] == scram.expected_final
    assert shape(wire.read_until("Z")) == "R K Z:I"


def test_scram_without_initial_data(scram_wire):
    """SASLInitialResponse may carry no data (-1): the server then asks with an empty challenge."""
    wire, scram = scram_wire(), Scram("scram-secret")
    wire.send(message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", -1)))
    reply = wire.read()
    assert reply.type == "R" and reply.body == struct.pack("!i", 11)
    wire.send(message("p", (scram.gs2 + scram.client_first_bare).encode()))
    wire.send(scram.final_response(wire.read().body[4:]))
    assert wire.read().body[4:] == scram.expected_final


@pytest.mark.own_transport
def test_scram_from_a_client_that_would_bind_a_channel_if_there_were_one(scram_wire):
    wire, scram = scram_wire(), Scram("scram-secret", gs2="y,,")
    wire.send(scram.initial_response())
    wire.send(scram.final_response(wire.read().body[4:]))
    assert wire.read().body[4:] == scram.expected_final


BAD_FIRST = {
    "a mechanism that was not offered": message("p", b"SCRAM-SHA-1\0" + struct.pack("!i", 9) + b"n,,n=,r=x"),
    "channel binding without TLS": Scram("x", gs2="p=tls-unique,,").initial_response(),
    "channel binding by the mechanism's name": Scram("x").initial_response("SCRAM-SHA-256-PLUS"),
    "no mechanism": message("p", b""),
    "a mechanism without end": message("p", b"SCRAM-SHA-256"),
    "a length beyond the message": message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 1000) + b"n,,n=,r=x"),
    "a length of minus two": message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", -2) + b"n,,n=,r=x"),
    "bytes behind the data": message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 9) + b"n,,n=,r=xTAIL"),
    "no nonce": message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 6) + b"n,,n=,"),
    "an empty nonce of control characters": message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 9) + b"n,,n=,r=\x01"),
    "a gs2 flag that is none": message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 9) + b"z,,n=,r=x"),
    "a mandatory extension": message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 13) + b"n,,m=1,n=,r=x"),
    "garbage": message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 9) + b"\xff" * 9),
    "a query instead": query("SELECT 1"),
    "an endless message": b"p" + struct.pack("!i", 0x7fffffff),
    "a length below four": b"p" + struct.pack("!i", 3),
}


@pytest.mark.parametrize("first", BAD_FIRST.values(), ids=BAD_FIRST.keys())
def test_a_bad_first_message_of_scram_is_refused(scram_wire, first):
    wire = scram_wire()
    wire.send(first)
    replies = wire.read_to_end()
    assert [reply.type for reply in replies] in ([], ["E"]), shape(replies)
    if replies:
        assert replies[0].severity == "FATAL" and replies[0].sqlstate in ("08P01", "28P01", "28000", "0A000")


@pytest.mark.parametrize("bend", [
    lambda text: text.replace("p=", "p=A", 1),                          # base64 of a wrong length
    lambda text: text[:-4] + "AAA=",                                    # a wrong proof
    lambda text: text.replace("c=biws", "c=eSws"),                      # another gs2 header than at first
    lambda text: text.replace("r=", "r=x", 1),                          # another nonce
    lambda text: text.split(",p=")[0],                                  # no proof
    lambda text: text + ",x=y",                                         # something behind the proof
    lambda text: "",
    lambda text: "c=biws,r=,p=",
    lambda text: "p" * 5000,
], ids=["base64", "proof", "gs2", "nonce", "no proof", "tail", "empty", "empty fields", "long"])
def test_a_bad_final_message_of_scram_is_refused(scram_wire, bend):
    wire, scram = scram_wire(), Scram("scram-secret")
    wire.send(scram.initial_response())
    good = scram.final_response(wire.read().body[4:])[5:].decode()
    wire.send(message("p", bend(good).encode()))
    assert_refused(wire, "28P01", "08P01")


def test_a_right_password_for_another_user_is_refused(scram_wire):
    wire, scram = scram_wire(), Scram("web-secret")
    wire.send(scram.initial_response())
    wire.send(scram.final_response(wire.read().body[4:]))
    assert_refused(wire, "28P01")


def test_the_nonce_begins_with_the_clients(scram_wire):
    wire, scram = scram_wire(), Scram("scram-secret")
    wire.send(scram.initial_response())
    fields = dict(item.split("=", 1) for item in wire.read().body[4:].decode().split(","))
    assert fields["r"].startswith(scram.nonce) and len(fields["r"]) >= len(scram.nonce) + 18
    assert len(base64.b64decode(fields["s"])) >= 12 and int(fields["i"]) >= 4096


# --- pgweir to PostgreSQL ---

@pytest.mark.weir_only
@pytest.mark.parametrize("user", ["web", "md5user", "scramuser", "plainuser"])
def test_pgweir_logs_in_with_a_plain_secret_by_every_method(weir, user):
    with weir.start().raw(user) as wire:
        assert wire.value("SELECT current_user") == user


@pytest.mark.weir_only
def test_pgweir_logs_in_by_md5_with_the_stored_md5(weir):
    weir.users["md5user"] = md5_secret("md5user", "md5-secret")
    with weir.start().raw("md5user") as wire:
        assert wire.value("SELECT current_user") == "md5user"


@pytest.fixture
def shared_verifier(postgres):
    """The verifier of scramuser as it stands in PostgreSQL: what an operator copies into users.txt."""
    return postgres.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'")


@pytest.mark.weir_only
def test_keys_learnt_from_the_clients_own_scram_login_open_the_server(weir, shared_verifier):
    weir.users["scramuser"] = shared_verifier
    weir.start(method="scram-sha-256", pool_size=2)
    with weir.wire().login("scramuser", password="scram-secret") as wire:
        assert wire.value("SELECT current_user") == "scramuser"
        weir.postgres.kill_until_none_is_left(usename="scramuser")      # and still when the server must be opened anew
        assert wire.value("SELECT current_user") == "scramuser"
        weir.reload(method="scram-sha-256", pool_size=2)          # and after a reload
        weir.postgres.kill_until_none_is_left(usename="scramuser")
        assert wire.value("SELECT current_user") == "scramuser"


@pytest.mark.weir_only
def test_a_verifier_alone_cannot_open_the_server_and_the_hint_says_so(weir, shared_verifier):
    weir.users["scramuser"] = shared_verifier
    weir.start(method="trust")
    with pytest.raises(rawwire.WireError) as refused:
        weir.raw("scramuser").query("SELECT 1")
    fields = refused.value.reply.error
    assert fields["C"][:2] in ("28", "08") and "SCRAM" in fields.get("H", "") + fields.get("D", "") + fields["M"]


@pytest.mark.weir_only
def test_a_verifier_of_another_password_is_told_at_once(weir):
    weir.users["scramuser"] = scram_verifier("scram-secret")       # the same password, but another salt
    weir.start(method="scram-sha-256")

    def attempt():
        with pytest.raises(rawwire.WireError) as refused:
            weir.wire().login("scramuser", password="scram-secret").query("SELECT 1")
        return refused.value.reply
    reply, seconds = timed(attempt)
    assert reply.sqlstate == "28P01" and seconds < 3 * SLOWNESS, reply.error


@pytest.mark.weir_only
def test_a_password_that_postgresql_refuses_is_told_at_once_and_others_live_on(weir):
    weir.users["scramuser"] = "not the server's"
    with weir.start().raw("web") as other:
        def attempt():
            with pytest.raises(rawwire.WireError) as refused:
                weir.raw("scramuser").query("SELECT 1")
            return refused.value.reply
        for _ in range(3):
            reply, seconds = timed(attempt)
            assert reply.sqlstate == "28P01" and seconds < 3 * SLOWNESS, reply.error
        assert "scramuser" in reply.error["M"]
        assert other.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
@pytest.mark.parametrize("user", ["refused", "unheard_of"])
def test_a_user_that_postgresql_rejects_or_does_not_know_is_told_at_once(weir, user):
    weir.users[user] = "x"
    weir.start()
    with pytest.raises(rawwire.WireError) as refused:
        weir.raw(user).query("SELECT 1")
    assert refused.value.sqlstate[:2] in ("28", "08") and user in str(refused.value)


@pytest.mark.weir_only
def test_a_database_that_only_pgweir_knows_is_told_as_postgresql_does(weir):
    weir.start(sections={"database phantom": {"upstream": weir.upstream()}})
    with pytest.raises(rawwire.WireError) as refused:
        weir.raw(database="phantom").query("SELECT 1")
    assert refused.value.sqlstate == "3D000"


@pytest.mark.weir_only
def test_an_upstream_may_name_another_database_user_and_password(weir):
    weir.start(sections={"database front": {
        "upstream": weir.upstream(dbname="app2", user="scramuser", password="scram-secret")}})
    with weir.raw("web", "front") as one, weir.raw("reporting", "front") as two:
        assert one.query("SELECT current_database(), current_user") == [["app2", "scramuser"]]
        assert two.query("SELECT current_database(), current_user") == [["app2", "scramuser"]]


@pytest.mark.weir_only
def test_any_database_when_the_config_has_a_star(weir):
    weir.start(sections={"database *": {"upstream": weir.upstream()}, "database app2": None})
    with weir.raw(database="app2") as wire:
        assert wire.value("SELECT current_database()") == "app2"
    with weir.raw(database="postgres") as wire:
        assert wire.value("SELECT current_database()") == "postgres"


@pytest.mark.weir_only
def test_a_changed_server_password_comes_by_reload(weir):
    with weir.start(pool_size=2).raw("scramuser") as old:
        assert old.value("SELECT current_user") == "scramuser"
        before = weir.postgres.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'")
        try:
            weir.postgres.query(f"ALTER ROLE scramuser PASSWORD '{scram_verifier('fresh')}'")
            weir.users["scramuser"] = "fresh"
            weir.reload(pool_size=2)
            weir.postgres.kill_until_none_is_left(usename="scramuser")
            assert old.value("SELECT 1") == "1"
            with weir.raw("scramuser") as new:
                assert new.value("SELECT current_user") == "scramuser"
        finally:
            weir.postgres.query(f"ALTER ROLE scramuser PASSWORD '{before}'")


def own_address():
    """One of this machine's addresses that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))                        # no packet is sent
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith(("127.", "0.")) else address


@pytest.mark.weir_only
@pytest.mark.own_transport
@pytest.mark.parametrize("is_near", [True, False], ids=["loopback", "network"])
def test_a_password_goes_in_clear_text_over_loopback_only(weir, is_near):
    """plainuser's pg_hba.conf line, on a server that anybody could listen to."""
    address = "127.0.0.1" if is_near else own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    sent = []

    def script(conn):
        conn.read_startup()
        conn.send(auth(3))
        sent.append(conn.read())
        conn.send(auth(0), conn.welcome())
        conn.serve()

    class Listening(FakeServer):
        host = "0.0.0.0"
    with Listening(script) as fake:
        weir.start(upstream=f"host={address} port={fake.port}")
        if is_near:
            assert weir.raw("plainuser").query("SELECT 1") == [["fake"]]
            assert sent == [("p", b"plain-secret\0")]
            return
        with pytest.raises(rawwire.WireError) as refused:
            weir.raw("plainuser").query("SELECT 1")
        fields = refused.value.reply.error
        assert "clear text" in fields["M"] and "[tls_server]" in fields["H"], fields
        assert not sent, "the password was sent"


# --- time and place ---

@pytest.mark.weir_only
@pytest.mark.parametrize("sent", [b"", b"\0\0", startup()[:20], startup("web")], ids=["nothing", "two bytes",
                                                                                     "half a packet", "no password"])
def test_a_login_that_is_not_finished_in_time_is_closed(weir, sent):
    weir.start(method="scram-sha-256", login_timeout="400ms")
    begin = time.monotonic()
    wire = weir.wire()
    wire.send(sent)
    wire.wait_closed()
    assert 0.2 < time.monotonic() - begin < 3 * SLOWNESS
    with weir.wire().login(password="web-secret") as good:
        assert good.query("SELECT 1")


@pytest.mark.weir_only
def test_half_open_logins_do_not_keep_others_out(weir):
    weir.start(login_timeout="30s")
    silent = [weir.wire() for _ in range(50)]
    with weir.raw() as wire:
        assert wire.query("SELECT 1") == [["1"]]
    assert len(silent) == 50


@pytest.mark.weir_only
def test_login_needs_no_free_server(weir):
    """The pool is full: a second client gets in and only its first query waits."""
    with weir.start(pool_size=1).raw() as holder:
        holder.query(BEGIN_NOW)
        (wire, seconds) = timed(weir.raw)
        assert seconds < 4 * SLOWNESS and wire.parameters["server_encoding"] == "UTF8"
        wire.send(query("SELECT 1"))
        weir.wait_waiting(1)
        holder.query("COMMIT")
        assert shape(wire.read_until()) == "T D C:SELECT 1 Z:I"


def test_login_tells_what_postgresql_tells(weir):
    """Which messages, which parameters: as from PostgreSQL."""
    with weir.start().raw(parameters={"application_name": "me"}) as wire, \
            Wire((weir.postgres.host, weir.postgres.port)).login(parameters={"application_name": "me"}) as direct:
        assert shape(wire.login_replies) == shape(direct.login_replies) == "R K Z:I"
        assert wire.parameters == direct.parameters
        assert len(wire.key) == 8


def test_cancel_keys_differ_and_pids_are_positive(weir):
    weir.start()
    keys = {weir.raw().key for _ in range(20)}
    assert len(keys) == 20
    assert all(struct.unpack("!i", key[:4])[0] > 0 for key in keys)


@pytest.mark.weir_only
@pytest.mark.parametrize("severity", ["WARNING", "NOTICE"])
def test_what_postgresql_warns_of_at_login_is_in_the_log_once_a_day(weir, severity):
    """From PostgreSQL 19 on: an old password, an MD5 secret. A NOTICE, which a login trigger may write, is in no log."""
    def script(conn):
        conn.read_startup()
        conn.send(auth(0), notice("your role password will expire in 6 days", severity), conn.welcome())
        conn.serve()

    with FakeServer(script) as fake:
        weir.start(upstream=fake.upstream, pool_size=3, max_overflow=0)
        wires = [weir.raw() for _ in range(3)]
        for wire in wires:
            wire.query("BEGIN", "SELECT 1")
        assert len(fake.logins()) >= 3
        if severity == "WARNING":
            weir.wait_log('warns user "web" at login: your role password will expire in 6 days')
        assert weir.log().count("your role password will expire") <= (severity == "WARNING")
