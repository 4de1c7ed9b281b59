"""Requests of pgweir's own (settings, probes, trials of startup settings) have a time of their own, and servers that end
while a client has nothing there are not its business."""

import threading
import time

import pytest

from fakeserver import complete, error, ready
from rawwire import errors, query, startup, texts
from waiting import wait_until

pytestmark = pytest.mark.weir_only

TEMP = "CREATE TEMP TABLE probed (a int)"                   # a probe asks for temporary tables then


class Mute:
    """A fake server that does not answer one thing, from when it is told on: Parses with that in their text."""

    def __init__(self, fake, text):
        self.text, self.is_on, self.seen, self.when_asked = text, False, 0, None
        fake.answer = self.answer

    def answer(self, conn, kind, body):
        if getattr(conn, "is_mute", False):
            return True
        if kind == "P" and self.is_on and self.text in body:
            self.is_on, conn.is_mute = False, True
            self.seen += 1
            if self.when_asked is not None:
                self.when_asked(conn)
            return True
        return False


def fatal(conn):
    conn.send(error("57P01", "terminating connection due to administrator command", "FATAL"))
    conn.close()


def last_words(wire, timeout=6):
    replies = wire.read_until("E", timeout=timeout)
    wire.wait_closed(5)
    return errors(replies)[0]


def probed(weir, fake, when_asked=None, **settings):
    """A client with nothing under way but a probe of its session, on the only server, which does not answer it."""
    mute = Mute(fake, b"pg_my_temp_schema")
    weir.start(upstream=fake.upstream, pool_size=1, **settings)
    wire = weir.raw()
    wire.query("SELECT 1")
    mute.is_on, mute.when_asked = True, when_asked
    wire.ask(query(TEMP))
    wait_until(lambda: mute.seen == 1)
    return wire


def tried(weir, fake, **settings):
    """A client whose startup settings are tried on the only server, which does not answer that."""
    mute = Mute(fake, b"set_config")
    weir.start(upstream=fake.upstream, pool_size=1, **settings)
    weir.raw().query("SELECT 1")
    mute.is_on = True
    wire = weir.wire()
    wire.send(startup(parameters={"work_mem": "5MB"}))
    wait_until(lambda: mute.seen == 1)
    return wire


@pytest.mark.long
def test_a_probe_that_hangs_does_not_hold_a_server_for_ever(weir, fake):
    """Who asked for nothing is not disturbed; what it may have set is lost, so that its next request is its last."""
    idle, other = probed(weir, fake), weir.raw()
    begin = time.monotonic()
    other.send(query("SELECT 1"))
    assert texts(other.read_until("Z", timeout=9)) == [["fake"]]
    assert 4 < time.monotonic() - begin < 7
    assert idle.has_nothing_more(0.3)
    idle.send(query("SELECT 1"))
    told = last_words(idle)
    assert told.severity == "FATAL" and told.sqlstate == "08006"


@pytest.mark.long
def test_who_waits_behind_a_probe_that_hangs_is_told(weir, fake):
    wire = probed(weir, fake)
    wire.send(query("SELECT 1"))
    assert last_words(wire, 8).sqlstate == "08006"


def test_query_timeout_holds_behind_a_probe_that_hangs(weir, fake):
    wire = probed(weir, fake, query_timeout="600ms")
    begin = time.monotonic()
    wire.send(query("SELECT 1"))
    assert last_words(wire, 4).sqlstate == "57014"
    assert time.monotonic() - begin < 2


def test_a_trial_of_startup_settings_that_hangs_is_under_login_timeout(weir, fake):
    wire, begin = tried(weir, fake, login_timeout="1s"), time.monotonic()
    assert last_words(wire, 8).severity == "FATAL"
    assert time.monotonic() - begin < 2.5


@pytest.mark.long
def test_a_trial_of_startup_settings_has_five_seconds(weir, fake):
    assert last_words(tried(weir, fake, login_timeout="1h"), 8).sqlstate == "08006"
    assert weir.raw().query("SELECT 1") == [["fake"]]


def test_fatal_on_a_probe_is_told_to_who_waits_behind_it(weir, fake):
    is_sent = threading.Event()
    wire = probed(weir, fake, when_asked=lambda conn: (is_sent.wait(5), fatal(conn)))
    wire.send(query("SELECT 1"))
    assert wire.has_nothing_more(0.2)
    is_sent.set()
    told = last_words(wire)
    assert told.severity == "FATAL" and told.sqlstate == "57P01"


def test_fatal_on_a_probe_disturbs_no_idle_client_before_it_asks(weir, fake):
    wire = probed(weir, fake, when_asked=fatal)
    assert wire.has_nothing_more(0.3)
    wire.send(query("SELECT 1"))
    told = last_words(wire)
    assert told.severity == "FATAL" and told.sqlstate == "57P01"


def bye(conn):
    conn.close()


def unowed(conn):
    conn.send(error("XX000", "out of the blue"))


def unowed_in_the_same_breath(conn):
    conn.send(complete("INSERT 0 1"), ready("I"), error("57P01", "bye", "FATAL"))
    conn.close()


@pytest.mark.parametrize("how", [fatal, bye, unowed, unowed_in_the_same_breath])
def test_a_client_that_lingers_goes_on_when_its_server_ends(weir, fake, how):
    ended = []

    def answer(conn, kind, body):
        if kind != "Q" or b"INSERT" not in body:
            return False
        if how is not unowed_in_the_same_breath:
            conn.send(complete("INSERT 0 1"), ready("I"))
            time.sleep(0.03)
        how(conn)
        ended.append(4000 + conn.number)
        return True
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=2)
    with weir.raw() as wire:
        for turn in range(5):
            logins = len(fake.logins())
            assert [reply.type for reply in wire.ask(query("INSERT INTO t VALUES (1)"))] == ["C", "Z"]
            wait_until(lambda: len(ended) > turn and             # pylint: disable=cell-var-from-loop
                       ended[-1] not in [row["remote_pid"] for row in weir.console("SHOW SERVERS")])
            assert wire.has_nothing_more(0.03)
            assert wire.query("SELECT 1") == [["fake"]]
            assert len(fake.logins()) > logins or how is unowed_in_the_same_breath
        if how is unowed:
            wait_until(lambda: not any(conn.is_open for conn in fake.logins()[:-1]), 5, "the others to be closed")


def test_an_error_out_of_the_blue_in_a_transaction_is_told(weir, fake):
    weir.start(upstream=fake.upstream, pool_size=1)
    with weir.raw() as wire:
        wire.query("BEGIN")
        unowed(fake.logins()[-1])
        assert last_words(wire).severity == "FATAL"
        assert weir.raw().query("SELECT 1") == [["fake"]]
