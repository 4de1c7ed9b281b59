"""Others' wrong passwords lock out nobody: not the console, and no user behind an address that the file names."""

import pytest

from rawwire import LoginRefused, Scram, startup
from waiting import SLOWNESS, wait_until
from weir import timed

pytestmark = pytest.mark.weir_only

SLOW = {"login_failure_delay": "1h", "login_failure_delay_max": "1h"}


def fail_slowly(weir, user="web", database="app"):
    """A connection whose wrong password is not answered yet."""
    wire, scram = weir.wire(), Scram("wrong")
    wire.send(startup(user=user, database=database))
    wire.read()
    wire.send(scram.initial_response())
    wire.send(scram.final_response(wire.read().body[4:]))
    return wire


def fail_often(weir, count, *arguments):
    before = weir.metric("pgweir_client_logins_total", result="bad_password")
    wires = [fail_slowly(weir, *arguments) for _ in range(count)]
    wait_until(lambda: weir.metric("pgweir_client_logins_total", result="bad_password") == before + count)
    return wires


def enters(weir, user, database, password):
    with weir.wire() as wire:
        try:
            return wire.login(user, database, password).value("SHOW VERSION" if database == "pgweir" else "SELECT 1")
        except LoginRefused as refusal:
            return refusal.reply.error["C"]


def start(weir, **limits):
    weir.start(method="scram-sha-256", sections={"limits": limits})


def test_the_console_is_open_while_an_address_waits_for_its_answers(weir):
    start(weir, **SLOW)
    fail_often(weir, 50)
    assert enters(weir, "web", "app", "web-secret") == "53300"       # the address has so many
    assert "PgBouncer" in enters(weir, "admin", "pgweir", "admin-secret")
    assert "PgBouncer" in enters(weir, "stats", "pgweir", "stats-secret")
    assert enters(weir, "web", "pgweir", "web-secret") == "53300"    # it is no user of the console
    assert enters(weir, "admin", "app", "admin-secret") == "53300"   # nor is this the console


def test_guesses_at_the_console_are_bounded_by_user(weir):
    start(weir, **SLOW)
    fail_often(weir, 50, "admin", "pgweir")
    assert enters(weir, "admin", "pgweir", "admin-secret") == "53300"
    assert "PgBouncer" in enters(weir, "stats", "pgweir", "stats-secret")


def test_wrong_passwords_take_no_room_of_their_address(weir):
    start(weir, **SLOW, max_address_client_connections=3)
    wires = fail_often(weir, 40)
    assert enters(weir, "web", "app", "web-secret") == "1"
    kept = [weir.raw(password="web-secret") for _ in range(3)]
    assert enters(weir, "web", "app", "web-secret") == "53300"
    assert "PgBouncer" in enters(weir, "admin", "pgweir", "admin-secret")
    assert len(wires) == 40 and len(kept) == 3


def test_the_console_has_a_rate_of_its_own(weir):
    start(weir, login_failure_delay="0s", address_login_rate=2)
    wait_until(lambda: "53300" in [enters(weir, "web", "app", "wrong") for _ in range(5)])
    assert "PgBouncer" in enters(weir, "admin", "pgweir", "admin-secret")
    wait_until(lambda: "53300" in [enters(weir, "admin", "pgweir", "wrong") for _ in range(5)])


def test_an_exempt_address_has_no_limits(weir):
    start(weir, **SLOW, exempt_addresses="10.0.0.0/8, 127.0.0.0/8", max_address_client_connections=2, address_login_rate=1)
    fail_often(weir, 50)
    assert enters(weir, "web", "app", "web-secret") == "53300"       # its own 50 wrong passwords
    for _ in range(5):
        assert enters(weir, "reporting", "app", "reporting-secret") == "1"


def test_there_each_user_is_delayed_by_his_own_wrong_passwords(weir):
    start(weir, login_failure_delay="500ms", exempt_addresses="127.0.0.1")
    for _ in range(2):
        assert enters(weir, "web", "app", "wrong") == "28P01"
    code, seconds = timed(enters, weir, "reporting", "app", "wrong")
    assert code == "28P01" and 0.48 <= seconds < 1.9 * SLOWNESS                 # not the third of this address
    code, seconds = timed(enters, weir, "web", "app", "wrong")
    assert code == "28P01" and 1.98 <= seconds
