"""Keys from passwords: the same bytes as PostgreSQL makes of them, and never made on the loop."""

import hashlib
import threading
import time

import psycopg2
import pytest

import rawwire
import transport
from fakeserver import auth, error, ready
from rawwire import Scram, scram_verifier, startup

ODD_PASSWORDS = {
    "a feminine ordinal": "p\u00aass",
    "a Roman numeral": "\u2168",
    "a soft hyphen": "I\u00adX",
    "an accent of its own": "e\u0301te",
    "other spaces": "a\u00a0b\u3000c",
    "full width": "\uff21\uff11",
    "what is prohibited": "\u0340\u2168",
    "an emoji, which Unicode 3.2 did not know": "\U0001f600\u2168",
    "right to left, with a digit at the end": "\u06271",
    "a soft hyphen alone": "\u00ad",
    "a corrected ideograph": "\U0002f868",
    "Arabic": "\ufdfa",
}


@pytest.fixture
def odd_role(postgres):
    """Sets longuser's password to a text that PostgreSQL prepares itself; pg_hba.conf asks that user for SCRAM."""
    postgres.query("DROP ROLE IF EXISTS longuser")
    postgres.query("CREATE ROLE longuser LOGIN")
    yield lambda password: postgres.query("ALTER ROLE longuser PASSWORD %s", (password,))
    postgres.kill_backends(usename="longuser")
    postgres.query("DROP ROLE longuser")


@pytest.mark.sweep(keep=3)
@pytest.mark.weir_only
@pytest.mark.parametrize("password", ODD_PASSWORDS.values(), ids=ODD_PASSWORDS.keys())
def test_a_password_is_prepared_as_postgresql_and_its_clients_do(weir, odd_role, password):
    odd_role(password)
    weir.users["longuser"] = password
    weir.start(method="scram-sha-256")
    with psycopg2.connect(weir.dsn("longuser", password=password)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("longuser",)
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(weir.dsn("longuser", password=password + "x"))


@pytest.mark.weir_only
def test_a_password_that_is_no_utf8_is_used_as_it_is(weir, postgres, odd_role):
    password = b"p\xe4ss"
    salt = b"0123456789abcdef"
    raw = hashlib.pbkdf2_hmac("sha256", password, salt, 4096)
    postgres.query("ALTER ROLE longuser PASSWORD %s", (rawwire.scram_secret(raw, salt, 4096),))
    weir.start(method="scram-sha-256")
    with open(weir.users_file, "ab") as users:
        users.write(b'"longuser" "' + password + b'"\n')
    before = weir.metric("pgweir_config_reloads_total")
    weir.signal(1)
    weir.wait_until(lambda: weir.metric("pgweir_config_reloads_total") > before)
    with weir.wire().login("longuser", password=password) as wire:
        assert wire.value("SELECT current_user") == "longuser"


# --- off the loop ---

SLOW = {"auth": {"scram_iterations": 1_000_000}}        # a second, or many on a busy machine: threads are nice
PATIENT = {"login_timeout": "120s", "pool_timeout": "120s", "connect_timeout": "120s"}


class Ticker:
    """A client whose queries go on and on; the slowest of them, in seconds."""

    def __init__(self, wire):
        self.wire = wire
        self.slowest = 0.0
        self.count = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._ends.is_set():
            begin = time.monotonic()
            self.wire.query("SELECT 1")
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.count += 1

    def __enter__(self):
        self.wire.query("SELECT 1")
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._ends.set()
        self._thread.join()
        self.wire.close()


def start_slow(weir, **more):
    """Everybody logs in by SCRAM; web by a verifier, so that it costs nothing, others by plain passwords."""
    weir.users["web"] = scram_verifier("web-secret")
    weir.start(SLOW, method="scram-sha-256", **{**PATIENT, **more})


@pytest.mark.weir_only
def test_keys_for_a_client_do_not_stall_the_loop(weir):
    start_slow(weir)
    with Ticker(weir.wire().login(password="web-secret")) as ticker:
        wire = weir.wire(timeout=120)
        wire.send(startup("scramuser"))
        begin = time.monotonic()
        assert wire.read().body[4:] == transport.SCRAM_OFFER
        took = time.monotonic() - begin
        counted = ticker.count
    assert took > 0.1 and counted > 20, "the derivation was not slow: nothing was measured"
    assert ticker.slowest < took / 2, f"a query took {ticker.slowest:.3f} s while keys were made for {took:.3f} s"


def scram_of(conn):
    """A fake server's side up to its server-first-message: what makes that, with so many iterations. Whoever is not
    scramuser is let in and served, and gets None."""
    conn.read_startup()
    if conn.startup["user"] != "scramuser":
        conn.send(auth(0), conn.welcome())
        conn.serve()
        return None
    conn.send(auth(10, b"SCRAM-SHA-256\0\0"))
    _, first = conn.read()
    nonce = first.split(b"r=")[1].decode()
    return lambda iterations: auth(11, f"r={nonce}fake,s=c2FsdHNhbHRzYWx0c2FsdA==,i={iterations}".encode())


@pytest.mark.weir_only
def test_keys_for_a_server_do_not_stall_the_loop(weir, fake):
    began, told = threading.Event(), {}

    def script(conn):
        begin_scram = scram_of(conn)
        if begin_scram is None:
            return
        began.set()
        begin = time.monotonic()
        conn.send(begin_scram(1_000_000))
        conn.read()
        told["took"] = time.monotonic() - begin
        conn.send(error("28P01", "password authentication failed", "FATAL"))

    fake.script = script
    weir.start(upstream=fake.upstream, connect_timeout="120s", pool_timeout="120s")
    with Ticker(weir.raw()) as ticker, pytest.raises(rawwire.WireError):
        weir.wire(timeout=120).login("scramuser").query("SELECT 1")
    assert began.is_set() and told["took"] > 0.1 and ticker.count > 20
    assert ticker.slowest < told["took"] / 2, (ticker.slowest, told)


@pytest.mark.weir_only
def test_many_logins_of_one_user_share_one_derivation(weir):
    start_slow(weir)
    clients = []
    before = weir.cpu_seconds()
    for _ in range(30):
        wire = weir.wire(timeout=120)
        wire.send(startup("scramuser"))
        clients.append(wire)
    challenges = set()
    for wire in clients:
        assert wire.read().body[4:] == transport.SCRAM_OFFER
        wire.send(Scram("x").initial_response())
        challenges.add(wire.read().body[4:].decode().split(",", 1)[1])
        wire.close()
    assert len(challenges) == 1 and challenges.pop().endswith(",i=1000000")
    spent = weir.cpu_seconds() - before
    wire = weir.wire(timeout=120)
    wire.send(startup("reporting"))                   # what one derivation takes
    wire.read()
    one = weir.cpu_seconds() - before - spent
    assert spent < 6 * one + 0.5, f"30 clients cost {spent:.2f} s, one {one:.2f} s"


@pytest.mark.weir_only
def test_a_client_may_leave_while_its_keys_are_made(weir):
    start_slow(weir)
    for _ in range(5):
        wire = weir.wire()
        wire.send(startup("scramuser"))
        wire.close()
    with weir.wire(timeout=120).login("scramuser", password="scram-secret") as wire:
        assert wire.sock


@pytest.mark.weir_only
@pytest.mark.timeout(180)
def test_a_login_that_takes_too_long_ends_while_its_keys_are_made(weir):
    start_slow(weir, login_timeout="100ms")
    wire = weir.wire()
    wire.send(startup("scramuser"))
    replies = wire.read_to_end()
    assert all(reply.type in "RE" for reply in replies)
    with weir.wire().login(password="web-secret") as other:
        assert other.value("SELECT 1") == "1"
    weir.stop(timeout=120)              # which waits for the thread that makes them: it is nice, and other tests are not


@pytest.mark.weir_only
def test_what_a_client_sends_ahead_waits_for_its_keys(weir):
    start_slow(weir)
    wire = weir.wire(timeout=120)
    wire.send(startup("scramuser"), Scram("scram-secret").initial_response())
    assert [wire.read().type, wire.read().type] == ["R", "R"]


@pytest.mark.weir_only
def test_a_reload_while_keys_are_made_does_not_keep_the_old_ones(weir):
    start_slow(weir)
    old = weir.wire(timeout=120)
    old.send(startup("scramuser"))
    weir.users["scramuser"] = "another"
    weir.reload(SLOW, method="scram-sha-256", **PATIENT)
    with pytest.raises(rawwire.LoginRefused):
        weir.wire(timeout=120).login("scramuser", password="scram-secret")
    console = weir.wire(timeout=120)
    with pytest.raises(rawwire.WireError) as refused:   # of PostgreSQL, whose password it is not
        console.login("scramuser", password="another").query("SELECT 1")
    assert "PostgreSQL" in str(refused.value)
    assert old.read().type == "R"


@pytest.mark.weir_only
def test_an_end_while_keys_are_made_is_an_end(weir):
    start_slow(weir)
    for user in ("scramuser", "reporting", "plainuser", "md5user"):
        weir.wire().send(startup(user))
    assert weir.stop(timeout=60) == 0                 # once what the threads do now is done


MEANWHILE = {
    "nothing, and goes": b"",
    "that we are in": auth(0),
    "its signature": auth(12, b"v=AAAA"),
    "the challenge again": auth(11, b"r=x,s=c2FsdA==,i=1"),
    "that it is ready": ready(),
    "an error": error("57P01", "terminating", "FATAL"),
}


@pytest.mark.weir_only
@pytest.mark.parametrize("said", MEANWHILE.values(), ids=MEANWHILE.keys())
def test_what_a_server_says_while_keys_are_made_for_it(weir, fake, said):
    """Nothing but an error has a place before our proof."""
    seen = []

    def script(conn):
        begin_scram = scram_of(conn)
        if begin_scram is None:
            return
        conn.send(begin_scram(100_000), said)
        if said:
            try:
                seen.append(conn.sock.recv(1000))
            except ConnectionError:
                seen.append(b"")
        conn.close()

    fake.script = script
    with weir.start(upstream=fake.upstream).raw() as other:
        with pytest.raises(rawwire.WireError):
            weir.raw("scramuser").query("SELECT 1")
        weir.wait_until(lambda: seen or not said)
        assert not any(seen), "a proof was sent"
        assert other.query("SELECT 1") == [["fake"]]


@pytest.mark.weir_only
def test_unknown_users_are_shown_as_many_iterations_as_known_ones(weir):
    weir.start({"auth": {"scram_iterations": 5000}}, method="scram-sha-256")

    def iterations(user):
        wire = weir.wire()
        wire.send(startup(user))
        wire.read()
        wire.send(Scram("x").initial_response())
        return wire.read().body[4:].decode().rsplit(",", 1)[1]
    assert iterations("web") == iterations("nobody_here") == "i=5000"
