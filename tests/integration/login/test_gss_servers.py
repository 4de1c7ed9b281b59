"""pgweir logs in to PostgreSQL with a ticket of its own."""

import os
import shutil
import signal

import pytest

from fakeserver import auth, ready
import kerberos
from rawwire import Wire, message, query, startup
from waiting import each, wait_until
from weir import is_built_with

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.needs("krb5kdc", "kinit"),
              pytest.mark.skipif(not is_built_with("libgssapi_krb5"), reason="built without libgssapi_krb5")]

# pgweir is one principal, which logs in as each of these users.
HBA = "local all all trust\nhost all all 127.0.0.1/32 gss map=pooler\nhost all all ::1/128 gss map=pooler\n"
IDENT = "pooler pgweir@EXAMPLE.NET web\npooler pgweir@EXAMPLE.NET reporting\n"
NO_TICKET = "GSSAPI: could not get a ticket for "
PRINCIPALS = ("pgweir", "web")
COMMANDS = ["addprinc -randkey db/localhost", "ktadd -k {keytab} db/localhost", "ktadd -k {directory}/client.keytab pgweir"]
realm, own_realm, cluster, own_cluster = kerberos.fixtures(PRINCIPALS, COMMANDS, HBA, IDENT)


def start(weir, realm, where, upstream="", environment=None, cache=None, timeout="1h", **settings):
    """Of where, a cluster or a fake server, is the database tickets, with a connect_timeout of its own; the others are somebody's
    who asks for none."""
    tickets = {"upstream": f"host=localhost port={where.port} dbname=app {upstream}", "connect_timeout": timeout}
    weir.start(sections={"database tickets": tickets}, environment={**realm.environment(cache), **(environment or {})},
               connect_timeout="1h", pool_timeout="1h", **settings)


def own_tickets(realm):
    """A file with pgweir's first ticket."""
    return realm.tickets_by_key("pgweir", realm.directory / "client.keytab")


def user_of(weir, user="web"):
    with weir.raw(database="tickets", user=user) as wire:
        return wire.value("SELECT current_user")


def refusal(weir, user="web"):
    """The error that a client gets; or a ReadyForQuery."""
    with Wire(weir.address) as wire:
        wire.send(startup(user, "tickets"))
        return wire.read_until("EZ")[-1]


def test_own_tickets(weir, realm, cluster):
    start(weir, realm, cluster, cache=own_tickets(realm))
    assert (user_of(weir), user_of(weir, "reporting")) == ("web", "reporting")
    assert cluster.query("SELECT DISTINCT gss_authenticated, principal, encrypted FROM pg_stat_gssapi JOIN pg_stat_activity USING (pid) "
                         "WHERE usename IN ('web', 'reporting')") == [(True, "pgweir@EXAMPLE.NET", False)]


# --- whose ticket, for whom ---

@pytest.mark.parametrize("cache", ["MEMORY:pgweir", "FILE:new-tickets"])
def test_a_key_of_its_own(weir, realm, cluster, cache):
    """The library gets tickets by it, and others before they are too old."""
    start(weir, realm, cluster, environment={"KRB5_CLIENT_KTNAME": f"{realm.directory}/client.keytab",
                                             "KRB5CCNAME": cache.replace("new", f"{weir.directory}/new")})
    assert user_of(weir) == "web"


def test_many_at_once(weir, realm, cluster):
    """Each of both workers has logins under way at once, whose first token threads of the main worker's make."""
    start(weir, realm, cluster, cache=own_tickets(realm), workers=2, pool_size=24)
    wires = [weir.raw(database="tickets") for _ in range(24)]
    each(wires).send(query("BEGIN"), query("SELECT current_user"))
    for wire in wires:
        assert [reply.row for reply in wire.read_until("Z", 2) if reply.type == "D"] == [[b"web"]]
    wait_until(lambda: cluster.count(usename="web") == len(wires))      # those of another test may still be ending
    assert weir.metric_now("pgweir_external_logins", state="lost") == 0


def test_another_service(weir, realm, cluster):
    start(weir, realm, cluster, "krbsrvname=db", cache=own_tickets(realm))
    assert user_of(weir) == "web"


def test_a_service_that_is_not_known(weir, realm, cluster):
    start(weir, realm, cluster, "krbsrvname=nobody", cache=own_tickets(realm))
    check_refusal(weir, refusal(weir), "28000", f"{NO_TICKET}nobody@localhost: ", "not found in Kerberos database")


def test_who_may_not_log_in(weir, realm, cluster):
    """PostgreSQL knows the principal, which may not be this user."""
    start(weir, realm, cluster, cache=own_tickets(realm))
    check_refusal(weir, refusal(weir, "plainuser"), "28000", 'refused user "plainuser": GSSAPI authentication failed')
    assert user_of(weir) == "web"


# --- no ticket ---

def check_refusal(weir, reply, sqlstate, *said):
    """What the client, the log and the console are told."""
    assert reply.type == "E" and reply.sqlstate == sqlstate, reply
    for text in said:
        assert text in reply.error["M"], reply.error
    weir.wait_log(*said)
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", reason="auth") >= 1)
    assert sum(row["failed_auth"] for row in weir.console("SHOW BACKENDS")) >= 1


@pytest.mark.parametrize("environment", [{}, {"KRB5_CLIENT_KTNAME": "/nowhere/client.keytab"}], ids=["nothing", "no keytab"])
def test_no_ticket(weir, realm, cluster, environment):
    start(weir, realm, cluster, environment=environment, cache="/nowhere/tickets")
    reply = refusal(weir)
    check_refusal(weir, reply, "28000", f"login to PostgreSQL at localhost:{cluster.port}: {NO_TICKET}postgres@localhost: ", "/nowhere/")
    assert "KRB5_CLIENT_KTNAME" in reply.error["H"]


def test_a_ticket_that_is_too_old(weir, own_realm, own_cluster):
    """A new one in its place is found without a reload."""
    own_realm.stop()
    own_realm.start(shift="-1d")
    old = own_realm.tickets(shift="-1d", options=("-l", "1h"))
    own_realm.stop()
    own_realm.start()
    start(weir, own_realm, own_cluster, cache=old)
    check_refusal(weir, refusal(weir), "28000", f"{NO_TICKET}postgres@localhost: Ticket expired")
    shutil.copy(own_tickets(own_realm), f"{old}.new")
    os.replace(f"{old}.new", old)
    wait_until(lambda: refusal(weir).type == "Z", what="another attempt")


def test_a_ticket_for_a_key_that_postgresql_has_no_longer(weir, own_realm, own_cluster):
    tickets = own_tickets(own_realm)
    own_realm.kadmin("cpw -randkey postgres/localhost")
    start(weir, own_realm, own_cluster, cache=tickets)
    check_refusal(weir, refusal(weir), "28000", "GSSAPI: could not accept the server's token: ")


def user_of_other(weir):
    with weir.raw(database="app") as wire:
        return wire.value("SELECT current_user")


# --- a KDC that is not there ---

def test_a_dead_kdc(weir, own_realm, own_cluster):
    """Others don't notice, and when it is there again, neither does who needs it."""
    tickets = own_tickets(own_realm)
    own_realm.stop()
    start(weir, own_realm, own_cluster, cache=tickets)
    reply = refusal(weir)
    check_refusal(weir, reply, "57P03", f"{NO_TICKET}postgres@localhost: ", "Cannot contact any KDC")
    assert "H" not in reply.error and user_of_other(weir) == "web"
    own_realm.start()
    wait_until(lambda: refusal(weir).type == "Z", what="another attempt")


@pytest.mark.long
def test_a_kdc_that_hangs(weir, own_realm, own_cluster):
    """connect_timeout ends the wait, and the thread is lost until the library gives up. All others go on, on the same host, too."""
    tickets = own_tickets(own_realm)
    os.kill(own_realm.process.pid, signal.SIGSTOP)
    start(weir, own_realm, own_cluster, cache=tickets, timeout="2s")
    reply = refusal(weir)
    check_refusal(weir, reply, "57P03", "GSSAPI did not answer within connect_timeout")
    wait_until(lambda: refusal(weir).type == "E" and weir.metric("pgweir_external_logins", state="lost") > 0)
    assert user_of_other(weir) == "web"
    os.kill(own_realm.process.pid, signal.SIGCONT)
    wait_until(lambda: refusal(weir).type == "Z", what="another attempt")
    wait_until(lambda: weir.metric_now("pgweir_external_logins", state="lost") == 0, what="the library to give up")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_while_a_kdc_hangs(weir, own_realm, own_cluster, workers):
    """The threads that hang don't hold it up; nor do clients that leave."""
    tickets = own_tickets(own_realm)
    os.kill(own_realm.process.pid, signal.SIGSTOP)
    start(weir, own_realm, own_cluster, cache=tickets, pool_size=20, workers=workers)
    wires = [weir.keep(Wire(weir.address)) for _ in range(20)]
    for wire in wires:
        wire.send(startup("web", "tickets"))
    wait_until(lambda: weir.metric_now("pgweir_external_logins", state="running") > 0)
    each(wires).close()
    weir.stop()


# --- a server that means harm ---

def after_token(*replies):
    """It asks for a token, and says this when it has one."""
    def script(conn):
        conn.read_startup()
        conn.send(auth(7))
        _, token = conn.read()
        for reply in replies:
            conn.send(reply(token) if callable(reply) else reply)
        conn.serve()
    return script


AT_WRONG_MOMENT = " at the wrong moment of a login"
BAD_TOKEN = "GSSAPI: could not accept the server's token: "
HOSTILE = {
    "an empty token": (after_token(auth(8)), "28000", BAD_TOKEN),
    "garbage": (after_token(auth(8, b"\x60" + bytes(range(200)))), "28000", BAD_TOKEN),
    "zeros": (after_token(auth(8, bytes(20_000))), "28000", BAD_TOKEN),
    "no length": (after_token(auth(8, b"\x60\x84\xff\xff\xff\xff" * 10)), "28000", BAD_TOKEN),
    "nearly 64 KiB": (after_token(auth(8, b"\x6f" * 65_500)), "28000", BAD_TOKEN),
    "64 KiB": (after_token(auth(8, b"x" * 65_536)), "08P01", "sent a malformed message during login"),
    "pgweir's own token": (after_token(lambda token: auth(8, token)), "28000", BAD_TOKEN),
    "nothing but that all is well": (after_token(auth(0), ready()), "08P01", f"sent AuthenticationOk{AT_WRONG_MOMENT}"),
    "another request for a token": (after_token(auth(7)), "28000", "asks for an authentication method that pgweir does not support (7)"),
    "a request for the password": (after_token(auth(3)), "08P01", f"sent a password request{AT_WRONG_MOMENT}"),
    "SCRAM": (after_token(auth(10, b"SCRAM-SHA-256\0\0")), "08P01", f"sent SASL{AT_WRONG_MOMENT}"),
    "SSPI": (lambda conn: (conn.read_startup(), conn.send(auth(9)), conn.wait_gone()), "28000", "does not support (9)"),
    "a reply to no token": (lambda conn: (conn.read_startup(), conn.send(auth(8, b"x")), conn.wait_gone()),
                            "08P01", f"sent GSSContinue{AT_WRONG_MOMENT}"),
    "a reply too early": (lambda conn: (conn.read_startup(), conn.send(auth(7), auth(8, b"x")), conn.wait_gone()),
                          "08P01", f"sent GSSContinue{AT_WRONG_MOMENT}"),
    "all is well too early": (lambda conn: (conn.read_startup(), conn.send(auth(7), auth(0), ready()), conn.wait_gone()),
                              "08P01", f"sent AuthenticationOk{AT_WRONG_MOMENT}"),
    "a row": (after_token(message("D", b"\0\0")), "08P01", f"sent an unknown message{AT_WRONG_MOMENT}"),
}


@pytest.mark.parametrize("script, sqlstate, said", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_server_that_proves_nothing(weir, realm, fake, script, sqlstate, said):
    """Nobody uses it; and when it has come to reason, everybody does."""
    fake.script = script
    start(weir, realm, fake, cache=own_tickets(realm))
    reply = refusal(weir)
    assert reply.type == "E" and (reply.sqlstate, said in reply.error["M"]) == (sqlstate, True), reply.error
    assert user_of_other(weir) == "web"
    fake.script = None
    wait_until(lambda: refusal(weir).type == "Z", what="another attempt")


def test_a_proof_and_something_behind_it(weir, realm, fake):
    """A second token, when the first was right; byte by byte, and then all at once, a login is a login."""
    start(weir, realm, fake, cache=own_tickets(realm))
    fake.script = after_token(lambda token: auth(8, realm.reply(token)) * 2)
    assert refusal(weir).error["M"].endswith(f"sent GSSContinue{AT_WRONG_MOMENT}")

    def slowly(conn):
        conn.read_startup()
        conn.send_slowly(auth(7))
        conn.send_slowly(auth(8, realm.reply(conn.read()[1])) + auth(0) + conn.welcome())
        conn.serve()

    def at_once(conn):
        conn.read_startup()
        conn.send(auth(7))
        conn.send(auth(8, realm.reply(conn.read()[1])) + auth(0) + conn.welcome())
        conn.serve()

    for script in (slowly, at_once):
        fake.script = script
        wait_until(lambda: refusal(weir).type == "Z", what="another attempt")
        weir.console("KILL tickets")
        weir.console("RESUME tickets")


def test_a_proof_that_was_changed(weir, realm, fake):
    """Of a token of another login, or with another byte in what is under the key."""
    start(weir, realm, fake, cache=own_tickets(realm))
    proofs = []

    def spoilt(token):
        proofs.append(bytearray(realm.reply(token)))
        proofs[0][-1] ^= 1
        return auth(8, bytes(proofs[0]))

    fake.script = after_token(spoilt, auth(0), ready())
    assert BAD_TOKEN in refusal(weir).error["M"]
    proofs[0][-1] ^= 1
    fake.script = after_token(auth(8, bytes(proofs[0])), auth(0), ready())
    seen = len(fake.logins())
    wait_until(lambda: BAD_TOKEN in refusal(weir).error["M"] and len(fake.logins()) > seen, what="another attempt")


def test_a_server_that_leaves(weir, realm, fake):
    """While the token is made, or when it is there."""
    start(weir, realm, fake, cache=own_tickets(realm))
    for script in (lambda conn: (conn.read_startup(), conn.send(auth(7))), after_token_leaves):
        fake.script = script
        seen = len(fake.logins())
        wait_until(lambda: refusal(weir).sqlstate == "08006" and len(fake.logins()) > seen, what="another attempt")


def after_token_leaves(conn):
    conn.read_startup()
    conn.send(auth(7))
    conn.read()


def test_channel_binding_is_required(weir, realm, cluster):
    start(weir, realm, cluster, "channel_binding=require", cache=own_tickets(realm))
    assert "channel binding is required, but PostgreSQL at" in refusal(weir).error["M"]


def test_the_next_host(weir, realm, cluster, fake):
    """Where a ticket is not to be had for the first one."""
    fake.script = after_token()
    upstream = f"host=127.0.0.1,localhost port={fake.port},{cluster.port} dbname=app"
    weir.start(sections={"database tickets": {"upstream": upstream}}, environment=realm.environment(own_tickets(realm)),
               connect_timeout="1h")
    assert user_of(weir) == "web"
    weir.wait_log(f"{NO_TICKET}postgres@127.0.0.1: ", "trying the next host")
