"""method = gss, and rules with gss: tickets of a real Kerberos realm."""

import contextlib
import itertools
import os
import random
import shutil
import subprocess

import pytest

import kerberos
import rawwire
from kerberos import Realm
from rawwire import Wire, message, query, startup
from waiting import each, wait_until
from weir import is_built_with

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.needs("krb5kdc", "kinit"),
              pytest.mark.skipif(not is_built_with("libgssapi_krb5"), reason="built without libgssapi_krb5")]

# SPNEGO's NegTokenInit with NTLM (1.3.6.1.4.1.311.2.2.10) and Kerberos, in this order, and a token of the first one's.
OTHER_MECHANISM_FIRST = bytes.fromhex(
    "60 37 06 06 2b 06 01 05 05 02 a0 2d 30 2b a0 19 30 17 06 0a 2b 06 01 04 01 82 37 02 02 0a 06 09 2a 86 48 86 f7 12 01 02 02"
    " a2 0e 04 0c 4e 54 4c 4d 53 53 50 00 01 00 00 00")
BARE = "include_realm=0 krb_realm=EXAMPLE.NET"
NO_DELAY = {"limits": {"login_failure_delay": "0s"}}
PRINCIPALS = ("web", "reporting", "web/admin", "odd\\@name")
realm, own_realm, *_ = kerberos.fixtures(PRINCIPALS)


@pytest.fixture(scope="module")
def tickets(realm):
    """web's, for tests that don't mind which."""
    return realm.tickets()


def start(weir, realm, options=BARE, rules="", run=None, environment=None, keytab=None, **settings):
    """rules come before that of options."""
    hba = weir.directory / "hba.conf"
    hba.write_text(f"host pgweir admin 127.0.0.1/32 trust\n{rules}host all all 127.0.0.1/32 gss "
                   f"krb_server_keyfile={keytab or realm.keytab} {options}\n", encoding="utf-8")
    (run or weir.start)(method="hba", hba_file=hba, environment={**realm.environment(), **(environment or {})}, **settings)


def psql(weir, realm, cache, user="web", sql="SELECT current_user", **words):
    """As a person does it."""
    words = {"host": "localhost", "hostaddr": weir.address[0], "port": weir.address[1], "user": user, "dbname": "app",
             "sslmode": "disable", **words}
    return subprocess.run(["psql", "-XAtw", "-c", sql, " ".join(f"{key}={value}" for key, value in words.items())],
                          env={**os.environ, **realm.environment(cache), "PGPASSFILE": "/nowhere"}, text=True, capture_output=True,
                          check=False)


def asked_for_token(weir, user="web", database="app"):
    wire = weir.keep(Wire(weir.address))
    wire.send(startup(user, database))
    assert wire.read().body == b"\0\0\0\7"
    return wire


def log_in(weir, client, user="web", database="app"):
    """With the tokens of a client. Returns the connection and the codes of authentication that came."""
    wire, codes, token = asked_for_token(weir, user, database), [7], client.token()
    while True:
        if token is not None:
            wire.send(message("p", token))
        reply = next_reply(wire)
        if not isinstance(reply, bytes):
            return wire, codes
        codes.append(int.from_bytes(reply[:4], "big"))
        token = client.token(reply[4:]) if codes[-1] == 8 else None


def next_reply(wire):
    """What comes of authentication; None: it is over, and the connection is ready."""
    while True:
        reply = wire.read()
        if reply.type == "E":
            raise rawwire.LoginRefused(reply)
        if reply.type in "RZ":
            return reply.body if reply.type == "R" else None


def end_of(wire):
    """The error that it gets, behind the library's own token about it; or "in"."""
    reply = wire.read_until("EZ")[-1]
    return (reply.sqlstate, reply.error["M"]) if reply.type == "E" else "in"


def tried(weir, token, user="web", database="app"):
    """What comes of a first token that needs no reply."""
    wire = asked_for_token(weir, user, database)
    wire.send(message("p", token))
    end = end_of(wire)
    wire.close()
    return end


def wrong(user="web"):
    return "28000", f'GSSAPI authentication failed for user "{user}"'


def not_now(user="web"):
    return "57P03", f'GSSAPI authentication is not possible at the moment for user "{user}"'


# --- who gets in ---

def test_a_ticket_logs_in(weir, realm):
    start(weir, realm)
    cache = realm.tickets()
    done = psql(weir, realm, cache)
    assert (done.returncode, done.stdout) == (0, "web\n"), done.stderr
    done = psql(weir, realm, cache, user="reporting")
    assert done.returncode != 0 and 'GSSAPI authentication failed for user "reporting"' in done.stderr
    assert weir.metric("pgweir_client_logins_total", method="gss", result="ok") == 1
    assert weir.metric("pgweir_client_logins_total", method="gss", result="bad_password") == 1
    weir.wait_log('GSSAPI: "web" may not log in as "reporting"',
                  'login refused: GSSAPI authentication failed for user "reporting" (ticket refused)')


@pytest.mark.parametrize("flags, codes", [("", [7, 8, 0]), ("one_way", [7, 0]), ("spnego", [7, 8, 0]), ("spnego,one_way", None)])
def test_what_is_said(weir, realm, tickets, flags, codes):
    start(weir, realm)
    with realm.client(tickets, flags=flags) as client:
        wire, said = log_in(weir, client)
        assert said == (codes or said) and said[-1] == 0
        assert wire.value("SELECT current_user") == "web"


def test_drivers(weir, realm, tickets):
    """psycopg and psycopg2, in a process that has the tickets."""
    start(weir, realm)
    script = ("import psycopg, psycopg2, sys\n"
              "for driver in (psycopg, psycopg2):\n"
              "    connection = driver.connect(sys.argv[1])\n"
              "    cursor = connection.cursor()\n"
              "    cursor.execute('SELECT current_user')\n"
              "    print(cursor.fetchone()[0])\n")
    dsn = f"host=localhost hostaddr={weir.address[0]} port={weir.address[1]} user=web dbname=app sslmode=disable"
    for more in ("", " gssencmode=disable"):
        assert realm.run(["/usr/bin/python3", "-c", script, dsn + more], env=realm.environment(tickets)) == "web\nweb\n"


def test_encryption_by_gssapi_is_declined(weir, realm, tickets):
    start(weir, realm)
    done = psql(weir, realm, tickets, gssencmode="require")
    assert done.returncode != 0 and "GSSAPI" in done.stderr
    assert psql(weir, realm, tickets, gssencmode="prefer").stdout == "web\n"


def test_behind_tls(weir, realm, tickets, authority):
    made = authority.issue("front", "/CN=localhost", "DNS:localhost")
    start(weir, realm, certificate_file=made.certificate, key_file=made.key, mode="require")
    done = psql(weir, realm, tickets, sslmode="verify-full", sslrootcert=authority.ca)
    assert done.stdout == "web\n", done.stderr


def test_no_tls_is_needed(weir, realm, tickets):
    """Nobody can do anything with an overheard token: so no warning, and no refusal, as there is for passwords."""
    start(weir, realm, rules="host all reporting 10.0.0.0/8 gss\n")
    assert "clear text" not in weir.log()
    assert psql(weir, realm, tickets).stdout == "web\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_many_at_once(weir, realm, tickets, workers):
    tokens = realm.tokens(tickets, 500)
    start(weir, realm, workers=workers, max_client_connections=1000, external_timeout="1h", login_timeout="1h")
    wires = [asked_for_token(weir) for _ in tokens]
    for wire, token in zip(wires, tokens):
        wire.send(message("p", token))
    assert [end_of(wire) for wire in wires] == ["in"] * len(wires)
    assert {wire.value("SELECT current_user") for wire in wires} == {"web"}
    assert weir.metric("pgweir_client_logins_total", method="gss", result="ok") == len(wires)
    for state in ("waiting", "running", "lost"):
        assert weir.metric_now("pgweir_external_logins", state=state) == 0


def test_method_gss(weir, realm, tickets):
    """Without an HBA file."""
    weir.start({"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{weir.directory}/socket"]}}, method="gss",
               gss_options=f"{BARE} krb_server_keyfile={realm.keytab}", admin_users="web", environment=realm.environment())
    assert psql(weir, realm, tickets).stdout == "web\n"
    with realm.client(tickets) as client:
        console, _ = log_in(weir, client, database="pgweir")
        assert console.query("SHOW VERSION")
    wire = weir.keep(Wire(f"{weir.directory}/socket"))
    wire.send(startup("web", "app"))
    assert wire.read().error["M"].startswith('no pg_hba.conf entry for host "[local]", user "web"')


# --- names ---

IDENT = """people /^([a-z]+)@EXAMPLE\\.NET$ \\1
people web/admin@EXAMPLE.NET reporting
bare /^([a-z]+)$ \\1
"""


@pytest.mark.parametrize("options, principal, user, is_in", [
    ("map=people", "web", "web", True),
    ("map=people", "web", "reporting", False),
    ("map=people", "web/admin", "reporting", True),
    ("map=people", "web/admin", "web", False),
    ("map=bare", "web", "web", False),
    ("map=bare include_realm=0", "web", "web", True),
    ("map=bare include_realm=0", "web/admin", "web", False),
    ("map=nowhere", "web", "web", False),
    ("", "web", "web", False),
    ("", "web", "web@EXAMPLE.NET", True),
    ("include_realm=0", "web", "web", True),
    ("include_realm=0", "odd\\@name", "odd", False),
    ("include_realm=0", "odd\\@name", "odd\\@name", True),
    ("krb_realm=EXAMPLE.NET", "web", "web@EXAMPLE.NET", True),
    ("krb_realm=example.net", "web", "web@EXAMPLE.NET", False),
    ("krb_realm=EXAMPLE.ORG include_realm=0", "web", "web", False),
])
def test_names(weir, realm, options, principal, user, is_in):
    """In the console, where each user may be who is named in the configuration."""
    ident = weir.directory / "ident.conf"
    ident.write_text(IDENT, encoding="utf-8")
    start(weir, realm, options, ident_file=ident, stats_users=f'"{user}"', sections=NO_DELAY)
    token, = realm.tokens(realm.tickets(principal))
    assert tried(weir, token, user, "pgweir") == ("in" if is_in else wrong(user))


def test_a_map_to_the_members_of_a_role(weir, realm, tickets, postgres):
    """PostgreSQL is asked when the ticket is known."""
    ident = weir.directory / "ident.conf"
    ident.write_text("people web@EXAMPLE.NET +pg_monitor\n", encoding="utf-8")
    start(weir, realm, "map=people", ident_file=ident, auth_query="builtin", auth_user="postgres", sections=NO_DELAY)
    tokens = realm.tokens(tickets, 2)
    assert tried(weir, tokens[0]) == wrong()
    postgres.query("GRANT pg_monitor TO reporting")
    try:
        assert tried(weir, tokens[1], "reporting") == "in"
    finally:
        postgres.query("REVOKE pg_monitor FROM reporting")


def test_another_realm(weir, own_realm, tmp_path):
    """One that this one trusts: its web is another person, whom krb_realm keeps out, or a map lets in."""
    foreign = Realm(tmp_path / "foreign", realm="EXAMPLE.ORG", others=(own_realm,))
    try:
        each((own_realm, foreign)).kadmin('addprinc -pw both krbtgt/EXAMPLE.NET@EXAMPLE.ORG')
        tokens = foreign.tokens(foreign.tickets(service="postgres/localhost@EXAMPLE.NET"), 3, service="postgres/localhost@EXAMPLE.NET")
    finally:
        foreign.stop()
    ident = weir.directory / "ident.conf"
    ident.write_text("people /^(.*)@EXAMPLE\\.ORG$ \\1\n", encoding="utf-8")
    start(weir, own_realm, "map=people", ident_file=ident, rules=f"host app2 web 127.0.0.1/32 gss {BARE} krb_server_keyfile={own_realm.keytab}\n"
          f"host app3 web 127.0.0.1/32 gss include_realm=0 krb_server_keyfile={own_realm.keytab}\n",
          sections={**NO_DELAY, "database app3": {"upstream": f"{weir.upstream()} dbname=app"}})
    assert [tried(weir, token, "web", database) for token, database in zip(tokens, ("app", "app2", "app3"))] == ["in", wrong(), "in"]
    weir.wait_log('GSSAPI: "web@EXAMPLE.ORG" is not of the realm "EXAMPLE.NET" (krb_realm)',
                  "include_realm=0 without krb_realm: users of any realm")


# --- tickets that are not good ---

def test_an_old_ticket(weir, own_realm):
    """As of yesterday, when it was good, to the client's clock."""
    own_realm.stop()
    own_realm.start(shift="-1d")
    token, = own_realm.tokens(own_realm.tickets(shift="-1d", options=("-l", "1h")), shift="-1d")
    start(weir, own_realm, sections=NO_DELAY)
    assert tried(weir, token) == wrong()
    weir.wait_log("GSSAPI: could not accept the client's token: ", "Ticket expired")
    assert weir.metric("pgweir_client_logins_total", method="gss", result="bad_password") == 1


def test_clocks_that_differ(weir, own_realm):
    tickets = own_realm.tickets()
    with own_realm.client(tickets, flags="one_way", shift="+1h") as client:
        late = client.token()
    own_realm.stop()
    own_realm.start(shift="+2h")
    future, = own_realm.tokens(own_realm.tickets(shift="+2h"), shift="+2h")
    start(weir, own_realm, sections=NO_DELAY)
    assert (tried(weir, late), tried(weir, future)) == (wrong(), wrong())
    weir.wait_log("Clock skew too great", "Ticket not yet valid")


@pytest.mark.parametrize("flags", ["one_way,delegate", "delegate", "delegate,spnego"])
def test_a_delegated_ticket_is_not_kept(weir, realm, flags):
    """It logs in as any other."""
    start(weir, realm)
    with realm.client(realm.tickets(options=("-f",)), flags=flags) as client:
        assert log_in(weir, client)[0].value("SELECT current_user") == "web"


def test_a_token_that_was_shown_already(weir, realm, tickets):
    start(weir, realm, sections=NO_DELAY)
    token, = realm.tokens(tickets)
    assert [tried(weir, token) for _ in range(3)] == ["in", wrong(), wrong()]
    weir.wait_log("Request is a replay")


@pytest.mark.parametrize("more", [{}, {"KRB5RCACHENAME": "none:"}])
def test_where_nobody_remembers_tokens(weir, realm, tickets, more):
    """No directory that can be written: an error that is the operator's; or he does without."""
    nowhere = {"KRB5RCACHEDIR": str(weir.directory / "nowhere")}
    start(weir, realm, environment={**nowhere, **more}, sections=NO_DELAY)
    token, = realm.tokens(tickets)
    assert [tried(weir, token) for _ in range(2)] == ([not_now()] * 2 if not more else ["in"] * 2)
    if not more:
        weir.wait_log("GSSAPI: could not accept the client's token: No such file or directory (filename: ")
        assert weir.metric("pgweir_client_logins_total", method="gss", result="error") == 2


@pytest.mark.parametrize("flags", ["one_way", "spnego"])
def test_changed_tokens(weir, realm, tickets, flags):
    """Most of it is under the service's key. What is not may be changed: it never makes another user of it."""
    start(weir, realm, sections=NO_DELAY)
    token, = realm.tokens(tickets, flags=flags)
    draw = random.Random(len(flags))
    for at in [*range(0, 40), *(draw.randrange(len(token)) for _ in range(120))]:
        spoilt = bytearray(token)
        spoilt[at] ^= draw.randrange(1, 256)
        wire = asked_for_token(weir)
        wire.send(message("p", bytes(spoilt)))
        with contextlib.suppress(rawwire.LoginRefused):
            while (reply := next_reply(wire)) is not None and reply[:4] != b"\0\0\0\x08":
                pass
        wire.close()
    assert tried(weir, realm.tokens(tickets)[0], "reporting") == wrong("reporting")
    assert tried(weir, realm.tokens(tickets)[0]) == "in"
    assert weir.metric("pgweir_client_logins_total", method="gss", result="error") == 0


@pytest.mark.parametrize("spoil", [lambda token: b"\0", lambda token: token[:-1], lambda token: token + b"\0",
                                   lambda token: token[:20], lambda token: b"\0" * 65535, lambda token: token.ljust(65535, b"x"),
                                   lambda token: b"\x60" * 65535, lambda token: os.urandom(100), lambda token: b"NTLMSSP\0" + bytes(32),
                                   lambda token: b"web-secret\0"],
                         ids=["a byte", "cut", "longer", "a head", "zeros", "padded", "no length", "random", "NTLM", "a password"])
def test_what_is_no_token(weir, realm, tickets, spoil):
    start(weir, realm, sections=NO_DELAY)
    token, = realm.tokens(tickets)
    assert tried(weir, spoil(token)) == wrong()
    assert tried(weir, token) == "in"
    assert weir.metric("pgweir_client_logins_total", method="gss", result="bad_password") == 1


def test_tickets_for_somebody_else(weir, own_realm):
    """Another service's, and one with a key that the service has no longer."""
    own_realm.kadmin("addprinc -randkey http/localhost")
    tokens = [*own_realm.tokens(own_realm.tickets(service="http/localhost"), service="http/localhost"),
              *own_realm.tokens(own_realm.tickets())]
    start(weir, own_realm, keytab=own_realm.directory / "new.keytab", sections=NO_DELAY)
    assert tried(weir, tokens[0]) == not_now(), "there is no keytab yet"
    own_realm.kadmin(f"ktadd -k {own_realm.directory}/new.keytab postgres/localhost")
    assert [tried(weir, token) for token in tokens] == [wrong(), wrong()]
    token, = own_realm.tokens(own_realm.tickets())
    assert tried(weir, token) == "in"


def test_no_keytab(weir, realm, tickets):
    start(weir, realm, keytab="/nowhere/krb5.keytab")
    assert tried(weir, realm.tokens(tickets)[0]) == not_now()
    weir.wait_log("krb_server_keyfile=/nowhere/krb5.keytab: No such file or directory", "GSSAPI: could not use the keytab: ")
    assert weir.metric("pgweir_client_logins_total", method="gss", result="error") == 1


def test_the_library_s_own_keytab(weir, realm, tickets):
    hba = weir.directory / "hba.conf"
    hba.write_text(f"host pgweir admin 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 gss {BARE}\n", encoding="utf-8")
    weir.start(method="hba", hba_file=hba, environment={**realm.environment(), "KRB5_KTNAME": str(realm.keytab)})
    assert tried(weir, realm.tokens(tickets)[0]) == "in"


def test_a_dead_kdc(weir, own_realm):
    """Who has a ticket gets in: none is asked."""
    tickets = own_realm.tickets()
    start(weir, own_realm)
    own_realm.stop()
    assert psql(weir, own_realm, tickets).stdout == "web\n"


# --- a client that does something else ---

def test_a_token_in_pieces(weir, realm, tickets):
    """A byte in each, behind the startup packet and before the first request, which both don't wait."""
    start(weir, realm)
    tokens = realm.tokens(tickets, 3)
    for token, piece in zip(tokens, (1, 7, 1 << 20)):
        wire = weir.keep(Wire(weir.address))
        wire.send_slowly(startup("web", "app") + message("p", token) + query("SELECT current_user"), piece)
        replies = wire.read_until("Z", 2)
        assert [reply.row for reply in replies if reply.type == "D"] == [[b"web"]]


@pytest.mark.parametrize("bad, said", [
    (query("SELECT 1"), "expected a GSSAPI response, got message type 0x51"),
    (message("p", bytes(65536)), "expected a GSSAPI response, got message type 0x70"),
    (b"p\xff\xff\xff\xff", "expected a GSSAPI response, got message type 0x70"),
    (b"\0\0\0\0\0\0\0\0", "expected a GSSAPI response, got message type 0x00")],
                         ids=["a query", "too long", "a bad length", "zeros"])
def test_something_else_than_a_token(weir, realm, tickets, bad, said):
    """At once, or in reply to the server's token."""
    start(weir, realm)
    for first in (b"", message("p", OTHER_MECHANISM_FIRST)):
        wire = asked_for_token(weir)
        wire.send(first)
        assert not first or wire.read().body[:4] == b"\0\0\0\x08"
        wire.send(bad)
        assert end_of(wire) == ("08P01", said)
    assert tried(weir, realm.tokens(tickets)[0]) == "in"


def calls(weir):
    return tuple(weir.metric_now("pgweir_external_logins", state=state) for state in ("running", "waiting", "lost"))


class HangingKeytab:
    """A pipe that nobody writes into: who opens it to read hangs until let_go()."""

    def __init__(self, weir):
        self.weir = weir
        self.path = weir.directory / "pipe.keytab"
        os.mkfifo(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.let_go()

    def let_go(self):
        """All that hang there, also those that had waited in line."""
        def is_free():
            with contextlib.suppress(OSError):      # nobody reads at the moment
                os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
            return calls(self.weir) == (0, 0, 0)
        wait_until(is_free)

    def become(self, keytab):
        """A file that is as it should be."""
        shutil.copy(keytab, f"{self.path}.new")
        os.replace(f"{self.path}.new", self.path)


def hanging(weir, realm, count=1, **settings):
    """With so many logins whose tokens are being read."""
    keytab = HangingKeytab(weir)
    start(weir, realm, keytab=keytab.path, max_client_connections=1000, **settings)
    wires = [asked_for_token(weir) for _ in range(count)]
    each(wires).send(message("p", b"a token"))
    return keytab, wires


def wait_calls(weir, count):
    wait_until(lambda: sum(calls(weir)) == count)


@pytest.mark.parametrize("more", [b"", query("SELECT 1"), message("p", b"another"), message("p", b"x" * 60000) * 3, b"\0\0\0\0", b"p"],
                         ids=["nothing", "a query", "another", "too much", "zeros", "a part"])
@pytest.mark.parametrize("is_leaving", [True, False])
def test_more_bytes_while_a_token_is_read(weir, realm, tickets, more, is_leaving):
    """Before the thread that reads it has come back."""
    keytab, (wire,) = hanging(weir, realm, external_timeout="1h")
    with keytab:
        wait_calls(weir, 1)
        wire.send(more)
        if is_leaving:
            wire.close()
            wait_until(lambda: calls(weir) == (0, 0, 1))
    if not is_leaving:
        with contextlib.suppress(ConnectionError, rawwire.WireError):       # too much, sent too early
            assert end_of(wire) == not_now()
    keytab.become(realm.keytab)
    assert tried(weir, realm.tokens(tickets)[0]) == "in"


def test_500_while_the_keytab_hangs(weir, realm, tickets):
    """Eight threads hang with it, all others wait in line; who needs no ticket passes by. Then the line moves on."""
    tokens = realm.tokens(tickets, 500)
    keytab, _ = hanging(weir, realm, 0, rules="host all reporting 127.0.0.1/32 trust\n", external_timeout="1h", login_timeout="1h")
    with keytab:
        wires = [asked_for_token(weir) for _ in tokens]
        for wire, token in zip(wires, tokens):
            wire.send(message("p", token))
        wait_until(lambda: calls(weir) == (8, 492, 0))
        assert weir.raw(user="reporting").value("SELECT current_user") == "reporting"
        assert calls(weir) == (8, 492, 0)
        pipe = os.open(keytab.path, os.O_WRONLY)
        keytab.become(realm.keytab)
        os.close(pipe)
    ends = [end_of(wire) for wire in wires]
    assert set(ends) <= {"in", wrong(), not_now()} and ends.count("in") >= 492     # who hung has read half a keytab


def test_something_else_behind_the_first_token(weir, realm, tickets):
    """Negotiation has several: what is sent early is read when it is due."""
    start(weir, realm, sections=NO_DELAY)
    # SPNEGO that prefers a mechanism which is not here: the server asks for another. Nothing: it says what it has.
    for first, more in itertools.product((OTHER_MECHANISM_FIRST, b""), (query("SELECT 1"), message("p", b"no token"), message("p", b"x" * 65535))):
        wire = asked_for_token(weir)
        wire.send(message("p", first) + more)
        assert wire.read().body[:4] == b"\0\0\0\x08"
        assert end_of(wire) in (wrong(), ("08P01", "expected a GSSAPI response, got message type 0x51"))
    assert tried(weir, realm.tokens(tickets)[0]) == "in"


def test_a_hanging_keytab_costs_its_clients_an_error(weir, realm, tickets):
    """external_timeout, and then refusals at once, while nobody else waits."""
    keytab, wires = hanging(weir, realm, 20, rules="host all plainuser 127.0.0.1/32 scram-sha-256\n", external_timeout="1s",
                            login_timeout="60s")
    with keytab:
        assert [end_of(wire) for wire in wires] == [not_now()] * 20
        weir.wait_log("GSSAPI did not answer within 1 s (external_timeout)")
        wait_until(lambda: calls(weir) == (0, 0, 8))
        assert tried(weir, b"a token")[0] == "53300"
        assert weir.raw("plainuser", password="plain-secret").value("SELECT current_user") == "plainuser"
    keytab.become(realm.keytab)
    assert tried(weir, realm.tokens(tickets)[0]) == "in"
    assert weir.metric_now("pgweir_client_logins_total", method="gss", result="error") == 21


def test_a_client_that_sends_no_token(weir, realm, tickets):
    """login_timeout ends it."""
    token, = realm.tokens(tickets)
    start(weir, realm, login_timeout="5s")
    wires = [asked_for_token(weir) for _ in range(2)]
    wires[0].send(message("p", token)[:-1])
    assert [end_of(wire)[1] for wire in wires] == ["the login took too long (login_timeout)"] * 2


def test_pgweir_stops_while_logins_wait(weir, realm):
    """For clients, and for threads."""
    keytab, _ = hanging(weir, realm, 10, external_timeout="1h")
    wait_calls(weir, 10)
    asked_for_token(weir)
    weir.signal(2)
    keytab_fd = os.open(keytab.path, os.O_RDWR)     # those that hang go on as soon as there is a writer, and at its end
    os.close(keytab_fd)
    assert weir.wait_exit(30) == 0


# --- the configuration ---

@pytest.mark.parametrize("options, said", [
    ("include_realm=2", "gss_options: include_realm=2: use 0 or 1"),
    ("map=people", "gss_options: map= is for rules of hba_file: set method = hba, and write the rule there"),
    ("ldapserver=x", 'gss_options: option "ldapserver" is not known: with gss, use include_realm, krb_realm, map or krb_server_keyfile'),
    ("include_realm=0", "gss_options: include_realm=0 without krb_realm: users of any realm that this one trusts"),
    (BARE, None)])
def test_check_config(weir, options, said):
    weir.configure(method="gss", gss_options=options)
    weir.write_config()
    told = subprocess.run([weir.binary, "--check-config", weir.ini], capture_output=True, text=True, check=False)
    told = told.stdout + told.stderr
    assert said in told if said else "gss_options" not in told, told
