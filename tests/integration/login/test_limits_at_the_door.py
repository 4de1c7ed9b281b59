"""Limits at the door: how many come from where, how fast they log in, wrong passwords answered late, and those that
connect and say nothing."""

import itertools
import re
import socket
import time
from contextlib import contextmanager

import pytest

import rawwire
from rawwire import LoginRefused, Wire, query, startup
from waiting import SLOWNESS, each, free_port, has_ipv6, wait_until
from weir import timed

pytestmark = pytest.mark.weir_only


def refused(weir, *arguments, wire=None, **words):
    """The error that a login gets."""
    with pytest.raises(LoginRefused) as refusal:
        (wire or weir.wire()).login(*arguments, **words)
    return refusal.value.reply.error


def rejected(weir, reason):
    return weir.metric("pgweir_client_connections_rejected_total", reason=reason)


def from_address(weir, address):
    """A raw connection from another address of the loopback network."""
    return weir.wire(source=address)


def console_row(weir, command, **wanted):
    return next(row for row in weir.console(command) if all(row[key] == value for key, value in wanted.items()))


# --- how many ---

def test_an_address_has_so_many_connections(weir):
    weir.start(sections={"limits": {"max_address_client_connections": 2},
                         "pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{weir.socket_dir}/.s.PGSQL.1"]}})
    first, _ = weir.raw(), weir.raw()
    error = refused(weir)
    assert error["C"] == "53300" and error["V"] == "FATAL"
    assert "127.0.0.1" in error["M"] and "max_address_client_connections" in error["M"] and error["H"]
    wait_until(lambda: rejected(weir, "max_address") == 1)
    wait_until(lambda: "max_address_client_connections" in weir.log())
    with from_address(weir, "127.0.0.2").login() as other:
        assert other.value("SELECT 1") == "1"
    unix = weir.keep(Wire(f"{weir.socket_dir}/.s.PGSQL.1"))
    assert unix.login().value("SELECT 1") == "1"                    # has no address
    first.leave()
    wait_until(lambda: len(weir_clients(weir)) == 2)
    assert weir.raw().value("SELECT 1") == "1"


def weir_clients(weir):
    """Seen over a Unix socket: the console's own connection counts in no address."""
    import psycopg
    with psycopg.connect(f"host={weir.socket_dir} port=1 user=admin dbname=pgweir", autocommit=True) as console:
        return [row for row in console.execute("SHOW CLIENTS").fetchall() if "app" in row]


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
def test_ipv6_addresses_count_as_their_network(weir):
    port = free_port("::1")
    weir.start(sections={"limits": {"max_address_client_connections": 1},
                         "pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"[::1]:{port}"]}})
    wait_until(lambda: "is ready" in weir.log())
    weir.keep(Wire(("::1", port))).login()
    assert "from ::/64:" in refused(weir, wire=weir.keep(Wire(("::1", port))))["M"]
    assert weir.raw().value("SELECT 1") == "1"                       # IPv4 is something else


def test_at_its_limit_an_address_can_still_cancel(weir):
    wire = weir.start(sections={"limits": {"max_address_client_connections": 1}}).raw()
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: weir.postgres.count(wait_event="PgSleep") == 1)
    rawwire.send_cancel(weir.address, wire.key)
    replies, seconds = timed(lambda: wire.read_until("Z"))
    assert [reply.sqlstate for reply in rawwire.errors(replies)] == ["57014"] and seconds < 10 * SLOWNESS


def test_silent_connections_count_in_their_address(weir):
    weir.start(sections={"limits": {"max_address_client_connections": 3}})
    silent = [weir.wire() for _ in range(3)]
    for wire in silent:
        wire.send(b"\0")                                             # accepted only once something came
    wait_until(lambda: login_count(weir) == 3)
    assert refused(weir)["C"] == "53300"
    silent[0].close()
    wait_until(lambda: login_count(weir) == 2)
    assert weir.raw().value("SELECT 1") == "1"


def login_count(weir):
    return weir.metric("pgweir_client_connections", state="login")


def test_far_above_the_limit_nobody_is_asked_what_he_wants(weir):
    weir.start(sections={"limits": {"max_address_client_connections": 1}})
    wires = [weir.wire() for _ in range(30)]
    each(wires).send(b"\0")
    wait_until(lambda: rejected(weir, "max_address") == 13)      # 1, and 16 to spare
    assert login_count(weir) == 17


def test_a_database_has_so_many_clients(weir):
    weir.start(sections={"limits": {"max_db_client_connections": 3}, "database app": {"max_db_client_connections": 1}})
    first = weir.raw("web")
    error = refused(weir, "reporting", "app")
    assert error["C"] == "53300" and 'database "app"' in error["M"] and "max_db_client_connections" in error["M"]
    assert [weir.raw("web", "app2") and 1 for _ in range(3)] == [1, 1, 1]
    assert refused(weir, "web", "app2")["C"] == "53300"
    wait_until(lambda: rejected(weir, "max_database") == 2)
    row = console_row(weir, "SHOW DATABASES", name="app")           # admins count nowhere
    assert (row["max_client_connections"], row["current_client_connections"]) == (1, 1)
    assert console_row(weir, "SHOW DATABASES", name="app2")["current_client_connections"] == 3
    first.leave()
    wait_until(lambda: console_row(weir, "SHOW DATABASES", name="app")["current_client_connections"] == 0)
    assert weir.raw("reporting", "app").value("SELECT 1") == "1"


def test_a_user_has_so_many_clients_over_all_databases(weir):
    weir.start(sections={"limits": {"max_user_client_connections": 5}, "user web": {"max_user_client_connections": 2}})
    first, _ = weir.raw("web", "app"), weir.raw("web", "app2")
    error = refused(weir, "web", "app")
    assert error["C"] == "53300" and 'user "web"' in error["M"] and "max_user_client_connections" in error["M"]
    wait_until(lambda: rejected(weir, "max_user") == 1)
    row = console_row(weir, "SHOW USERS", name="web")
    assert (row["max_user_client_connections"], row["current_client_connections"]) == (2, 2)
    assert console_row(weir, "SHOW USERS", name="reporting")["max_user_client_connections"] == 5
    assert weir.raw("reporting").value("SELECT 1") == "1"
    first.leave()
    wait_until(lambda: console_row(weir, "SHOW USERS", name="web")["current_client_connections"] == 1)
    assert weir.raw("web").value("SELECT 1") == "1"


def test_a_user_counts_under_the_name_it_logs_in_with(weir):
    weir.start(sections={"limits": {"max_user_client_connections": 1},
                         "database app": {"upstream": weir.upstream(user="web")}})
    weir.raw("reporting")
    assert 'user "reporting"' in refused(weir, "reporting")["M"]
    assert weir.raw("web").value("SELECT current_user") == "web"
    assert console_row(weir, "SHOW USERS", name="reporting")["current_client_connections"] == 1


def test_console_users_get_in_above_the_limits(weir):
    weir.start(sections={"limits": {"max_user_client_connections": 1, "max_db_client_connections": 1,
                                    "db_login_rate": 1}})
    weir.raw("admin")
    assert refused(weir, "admin", "app2")["C"] == "53300"
    consoles = [weir.raw("admin", "pgweir") for _ in range(3)]
    assert all(console.query("SHOW VERSION") for console in consoles)
    assert console_row(weir, "SHOW USERS", name="admin")["current_client_connections"] == 1


def test_before_the_password_a_full_database_looks_like_any_other(weir):
    weir.start(method="scram-sha-256", sections={"limits": {"max_db_client_connections": 1,
                                                            "max_user_client_connections": 1}})
    weir.raw("web")
    assert refused(weir, "web", "app", password="wrong")["C"] == "28P01"
    assert refused(weir, "web", "app", password="web-secret")["C"] == "53300"
    assert refused(weir, "web", "nowhere", password="wrong")["C"] == "28P01"


def test_a_reload_changes_the_limits(weir):
    weir.start()
    wires = [weir.raw() for _ in range(3)]
    weir.reload(sections={"limits": {"max_db_client_connections": 2}})
    assert refused(weir)["C"] == "53300"
    assert all(wire.value("SELECT 1") == "1" for wire in wires)      # who is in stays in
    weir.reload(sections={"limits": {"max_user_client_connections": 3}})
    assert "max_user_client_connections" in refused(weir)["M"]
    weir.reload(sections={"limits": {"max_address_client_connections": 3}})
    assert "max_address_client_connections" in refused(weir)["M"]
    weir.reload()
    assert weir.raw().value("SELECT 1") == "1"


# --- how fast ---

@contextmanager
def within_a_second():
    """What must not be spread over more than a second to mean anything; slow machines skip."""
    begin = time.monotonic()
    try:
        yield
    finally:                            # an assertion that has failed means nothing then, either
        if time.monotonic() - begin > 0.9:
            pytest.skip("this machine is too busy for it")


def outcomes(weir, count, *arguments):
    """Messages of that many logins in a row; None for those that were let in."""
    seen = []
    for _ in range(count):
        wire = weir.wire()
        try:
            wire.login(*arguments)
            seen.append(None)
        except LoginRefused as refusal:
            assert refusal.reply.sqlstate == "53300" and refusal.reply.severity == "FATAL"
            seen.append(refusal.reply.error["M"])
        wire.close()
    return seen


@pytest.mark.parametrize("setting, reason, names", [
    ("address_login_rate", "address_login_rate", "127.0.0.1"),
    ("user_login_rate", "user_login_rate", 'user "web"'),
    ("db_login_rate", "database_login_rate", 'database "app"'),
])
def test_logins_above_the_rate_are_refused(weir, setting, reason, names):
    weir.start(sections={"limits": {setting: 3}})
    weir.raw().close()                                               # the pool is warm
    wait_until(lambda: rejected(weir, reason) == 0)
    time.sleep(1.1)                                                  # a full burst again: that much time is the subject
    with within_a_second():
        seen = outcomes(weir, 8, "web", "app")
    assert seen[:3] == [None] * 3 and any(seen[3:])
    told = next(filter(None, seen))
    assert setting in told and names in told
    wait_until(lambda: rejected(weir, reason) == sum(1 for one in seen if one))
    assert weir.log().count(f"({setting})") <= 2                     # a storm is not a line each
    wait_until(lambda: re.search(rf"more logins? refused \({reason}\)", weir.log()) or sum(1 for one in seen if one) < 2)
    wait_until(lambda: outcomes(weir, 1, "web", "app") == [None])


def test_rates_may_differ_by_database_and_user(weir):
    weir.start(sections={"database app": {"db_login_rate": 1}, "user reporting": {"user_login_rate": 2}})
    with within_a_second():
        assert [bool(one) for one in outcomes(weir, 2, "web", "app")] == [False, True]
        assert outcomes(weir, 3, "web", "app2") == [None] * 3
        assert [bool(one) for one in outcomes(weir, 3, "reporting", "app2")] == [False, False, True]


def test_the_rate_slows_who_tries_passwords(weir):
    weir.start(method="scram-sha-256", sections={"limits": {"user_login_rate": 2, "login_failure_delay": "0s"}})
    states = []
    with within_a_second():
        for _ in range(4):
            states.append(refused(weir, "web", "app", password="wrong")["C"])
    assert states == ["28P01", "28P01", "53300", "53300"]


def test_unknown_databases_have_the_rate_of_known_ones(weir):
    weir.start(method="scram-sha-256", sections={"limits": {"db_login_rate": 2, "login_failure_delay": "0s"}})
    with within_a_second():
        states = [refused(weir, "web", "nowhere", password="wrong")["C"] for _ in range(3)]
    assert states == ["28P01", "28P01", "53300"]


# --- wrong passwords ---

def delay_of(weir, wire=None, user="web", password="wrong"):
    error, seconds = timed(lambda: refused(weir, user, "app", password=password, wire=wire))
    assert error["C"] == "28P01"
    return seconds + 0.02                                            # timers begin with the turn of the loop


def delay_begins_anew(weir, before=lambda: None, wires=itertools.repeat(None)):
    """Whether the delay is the first one again behind before(): in the quickest of some tries, as a busy machine adds to it."""
    def is_first():
        before()
        seconds = delay_of(weir, next(wires))
        assert seconds >= 0.1
        return seconds < 0.3
    return any(is_first() for _ in range(10))


@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_wrong_passwords_are_answered_later_and_later(weir, method):
    weir.start(method=method, sections={"limits": {"login_failure_delay": "100ms", "login_failure_delay_max": "350ms"}})
    for least in (0.1, 0.2, 0.35, 0.35):
        assert least <= delay_of(weir) < least + 1 * SLOWNESS
    assert delay_begins_anew(weir, wires=(from_address(weir, f"127.0.0.{number}") for number in itertools.count(2)))
    assert delay_begins_anew(weir, lambda: weir.raw(password="web-secret").leave())     # a success clears


def test_unknown_users_wait_as_long(weir):
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "300ms"}})
    assert 0.3 <= delay_of(weir, user="nobody") < 1 * SLOWNESS
    assert 0.6 <= delay_of(weir, user="web") < 1.5 * SLOWNESS


def test_who_has_an_account_does_not_guess_those_of_others_faster(weir):
    """A right password makes up for wrong ones of the same user alone."""
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "100ms"}})
    for least in (0.1, 0.2, 0.4):
        assert least <= delay_of(weir, user="report") < least + 1 * SLOWNESS
        weir.raw().leave()
    assert 0.8 <= delay_of(weir) < 1.8 * SLOWNESS
    weir.raw().leave()
    assert 0.8 <= delay_of(weir) < 1.6 * SLOWNESS


def test_refused_logins_are_not_logged_without_limit(weir):
    weir.start(method="scram-sha-256", sections={"log": {"connections": "on"}})
    for _ in range(200):
        with weir.wire() as wire:
            wire.send(startup(user="x" * 3000, database="y\x01" * 2000, parameters={"n" * 200: "v"}))
            assert wire.read().type == "E"
    wait_until(lambda: re.search("more logins? refused", weir.log()))
    lines = weir.log().splitlines()
    told = [line for line in lines if " refused: " in line]
    more = sum(map(int, re.findall("([0-9]+) more logins? refused", weir.log())))
    assert len(told) + more == 200 and 1 <= len(told) <= 100
    assert max(map(len, lines)) < 1000 and len([line for line in lines if " closed: " in line]) <= len(told)


def test_without_a_delay_the_answer_comes_at_once(weir):
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "0s"}})
    assert min([delay_of(weir) for _ in range(10)][5:]) < 0.3       # a delay would have doubled five times


def test_unix_sockets_keep_the_first_delay(weir):
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "100ms"}, "pgweir": {
        "listen": [f"127.0.0.1:{weir.port}", f"unix:{weir.socket_dir}/.s.PGSQL.1"]}})
    wait_until(lambda: "is ready" in weir.log())
    took = [delay_of(weir, weir.keep(Wire(f"{weir.socket_dir}/.s.PGSQL.1"))) for _ in range(7)]
    assert min(took) >= 0.1 and min(took[4:]) < 0.6                 # the fifth one would have been 1.6 s


def fail_slowly(weir, wire=None):
    """A connection whose wrong password is not answered yet."""
    wire = wire or weir.wire()
    scram = rawwire.Scram("wrong")
    wire.send(startup())
    wire.read()
    wire.send(scram.initial_response())
    wire.send(scram.final_response(wire.read().body[4:]))
    return wire


def failures(weir):
    return weir.metric("pgweir_client_logins_total", result="bad_password")


def test_the_others_are_served_while_one_waits_and_it_may_leave(weir):
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "30s",
                                                            "login_failure_delay_max": "30s"}})
    wire = fail_slowly(weir)
    wait_until(lambda: failures(weir) == 1)                       # counted and logged at once
    wait_until(lambda: "password authentication failed" in weir.log())
    assert login_count(weir) == 1
    _, seconds = timed(lambda: weir.raw(password="web-secret").value("SELECT 1"))
    assert seconds < 5 * SLOWNESS
    wire.send(b"x" * 500000)                                         # is dropped, not kept
    assert login_count(weir) == 1
    wire.close()
    wait_until(lambda: login_count(weir) == 0)


def test_what_waits_for_its_answer_gets_it_at_login_timeout(weir):
    weir.start(method="scram-sha-256", login_timeout="500ms",
               sections={"limits": {"login_failure_delay": "1h", "login_failure_delay_max": "1h"}})
    wire = fail_slowly(weir)
    assert wire.read().sqlstate == "28P01"
    assert wire.wait_closed() == b""


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_the_end_does_not_wait_for_held_answers(weir, number):
    import signal
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "1h",
                                                            "login_failure_delay_max": "1h"}})
    wires = [fail_slowly(weir) for _ in range(3)]
    wait_until(lambda: failures(weir) == 3)
    code, seconds = timed(lambda: weir.stop(getattr(signal, number)))
    assert code == 0 and seconds < 3 * SLOWNESS
    for wire in wires:
        assert wire.read().type == "E"


def test_an_address_has_so_many_answers_held(weir):
    weir.start(method="scram-sha-256", sections={"limits": {"login_failure_delay": "1h",
                                                            "login_failure_delay_max": "1h"}})
    wires = [fail_slowly(weir) for _ in range(50)]
    wait_until(lambda: failures(weir) == 50)
    error = refused(weir, "web", "app", password="wrong")
    assert error["C"] == "53300"
    wait_until(lambda: rejected(weir, "failed_logins") == 1)
    assert from_address(weir, "127.0.0.2").login("web", "app", "web-secret").value("SELECT 1") == "1"
    wires[0].close()
    wait_until(lambda: login_count(weir) == 49)
    assert weir.raw("web", "app", "web-secret").value("SELECT 1") == "1"


# --- those that say nothing ---

def test_a_silent_crowd_keeps_nobody_out(weir):
    first = weir.start(method="scram-sha-256").raw("web", "app", "web-secret")
    crowd = []
    for _ in range(1100):
        one = socket.create_connection(weir.address)
        one.send(b"\0")
        crowd.append(one)
    wait_until(lambda: rejected(weir, "logging_in") >= 100)
    assert login_count(weir) <= 1000
    with weir.raw("web", "app", "web-secret") as late:
        assert late.value("SELECT 1") == "1"
    assert first.value("SELECT 1") == "1"
    reply = crowd[0].recv(1000)                                      # the oldest has gone, and knows why
    assert b"53300" in reply and b"logging in" in reply
    assert weir.log().count("login refused") <= 12
    each(crowd).close()
    wait_until(lambda: login_count(weir) == 0)


def test_those_who_have_spoken_stay_longer_than_the_silent(weir):
    weir.start(method="scram-sha-256")
    patient = weir.wire()
    patient.send(startup())
    assert patient.read().type == "R"
    crowd = [socket.create_connection(weir.address) for _ in range(1050)]
    each(crowd).send(b"\0")
    wait_until(lambda: rejected(weir, "logging_in") >= 50)
    scram = rawwire.Scram("web-secret")
    patient.send(scram.initial_response())
    patient.send(scram.final_response(patient.read().body[4:]))
    assert patient.read_until("Z")
    each(crowd).close()


@pytest.mark.own_transport
def test_a_crowd_that_speaks_but_proves_nothing_keeps_nobody_from_his_handshake(weir):
    weir.start(method="scram-sha-256")
    slow = weir.wire()
    slow.send(rawwire.ssl_request())
    slow.read_bytes(1)                                               # no TLS here; the startup packet is still to come
    crowd = [socket.create_connection(weir.address) for _ in range(1050)]
    for one in crowd:
        one.send(startup())
    wait_until(lambda: rejected(weir, "logging_in") >= 50)
    assert slow.login("web", "app", "web-secret").value("SELECT 1") == "1"
    each(crowd).close()


def test_few_descriptors_are_not_used_up_by_a_silent_crowd(weir):
    weir.start(method="scram-sha-256", fd_limit=120)
    crowd = [socket.create_connection(weir.address) for _ in range(200)]
    each(crowd).send(b"\0")
    wait_until(lambda: rejected(weir, "logging_in") >= 150)
    wait_until(lambda: rejected(weir, "descriptors") == 0)
    assert weir.raw("web", "app", "web-secret").value("SELECT 1") == "1"
    each(crowd).close()


# --- what is kept of those who never prove who they are ---

def test_startup_settings_of_strangers_are_not_kept(weir, sanitized):
    """600 connections with 9 kB of settings that differ, none of which logs in."""
    first = weir.start(pool_size=1).raw()
    first.query("SELECT 1")

    def storm(begin):
        for number in range(begin, begin + 600):
            with weir.wire() as wire:
                value = f"{number} " + "x" * 800
                names = ("DateStyle", "IntervalStyle", "TimeZone", "lc_monetary", "lc_numeric", "lc_time",
                         "xmloption", "xmlbinary", "client_encoding", "backslash_quote", "array_nulls")
                wire.send(startup(parameters=dict.fromkeys(names, value)))
                wire.read()

    storm(0)
    before = weir.memory_bytes()
    storm(600)
    storm(1200)
    assert sanitized or weir.memory_bytes() - before < 4 << 20
    for wire in (first, weir.raw()):                            # and what clients can share is shared
        replies = wire.ask(rawwire.parse("date", "SELECT '2020-01-01'::date"), rawwire.bind("", "date"),
                           rawwire.execute(), rawwire.sync())
        assert [reply.type for reply in replies if reply.type != "S"] == list("12DCZ")
    assert first.value("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%2020-01-01''::date'") == "1"
