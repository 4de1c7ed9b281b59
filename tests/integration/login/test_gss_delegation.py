"""gss_accept_delegation: pgweir logs in to PostgreSQL by the tickets that its clients delegate."""

import contextlib
import os
import signal
import subprocess

import pytest

import kerberos
from rawwire import LoginRefused, message, query
from test_gss import asked_for_token, end_of, log_in
from waiting import each, wait_until
from weir import is_built_with, wait_process

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.needs("krb5kdc", "kinit"),
              pytest.mark.skipif(not is_built_with("libgssapi_krb5"), reason="built without libgssapi_krb5")]

# Here and in PostgreSQL. web is a user of two principals, and pgweir, whose key pgweir has, may be anybody.
IDENT = """people /^([a-z]+)@EXAMPLE\\.NET$ \\1
people reporting@EXAMPLE.NET web
people pgweir@EXAMPLE.NET web
people pgweir@EXAMPLE.NET reporting
"""
HBA = "local all all trust\nhost all all 127.0.0.1/32 gss map=people\nhost all all ::1/128 gss map=people\n"
FORWARDABLE = ("-f",)
NO_TICKET = ("28000", "the client has not delegated its ticket")
EXPIRED = ("28000", "the delegated ticket has expired")
OTHERS = ("28000", "the server connections of this user belong to another principal")
OLD_CLIENTS = ("28000", "the pool still has clients from before gss_accept_delegation was switched on")
PRINCIPALS = ("web", "reporting", "pgweir")
COMMANDS = ["ktadd -norandkey -k {directory}/client.keytab pgweir"]
realm, own_realm, cluster, own_cluster = kerberos.fixtures(PRINCIPALS, COMMANDS, HBA, IDENT)


def sections(where, upstream="", **words):
    """The database tickets, of a cluster; the others are somebody's who asks for no ticket. Wrong ones cost no time."""
    return {"database tickets": {"upstream": f"host=localhost port={where.port} dbname=app {upstream}", **words},
            "limits": {"login_failure_delay": "0s"}}


def start(weir, realm, where, upstream="", delegation="on", run=None, environment=None, ident=IDENT, **settings):
    """pgweir has a key of its own, which nobody is served by where delegation is on."""
    ident_file, hba = weir.directory / "ident.conf", weir.directory / "hba.conf"
    ident_file.write_text(ident, encoding="utf-8")
    hba.write_text("host pgweir admin 127.0.0.1/32 trust\nhost tickets plainuser 127.0.0.1/32 trust\n"
                   f"host all all 127.0.0.1/32 gss map=people krb_server_keyfile={realm.keytab}\n", encoding="utf-8")
    own = {"KRB5_CLIENT_KTNAME": f"{realm.directory}/client.keytab", "KRB5CCNAME": "MEMORY:pgweir"}
    words = {"gss_accept_delegation": delegation} if delegation else {}
    (run or weir.start)(method="hba", hba_file=hba, ident_file=ident_file, sections=sections(where, upstream, **words),
                        environment={**realm.environment(), **own, **(environment or {})}, **settings)


def reload(weir, where, delegation, connect_timeout="1h", **settings):
    weir.reload(sections=sections(where, gss_accept_delegation=delegation, connect_timeout=connect_timeout), method="hba",
                hba_file=weir.directory / "hba.conf", ident_file=weir.directory / "ident.conf", **settings)


def enter(weir, realm, cache, user="web", flags="delegate", shift=None):
    with realm.client(cache, flags=flags, shift=shift) as client:
        return log_in(weir, client, user, "tickets")[0]


def refusal(weir, realm, cache, user="web", flags="delegate", shift=None):
    """The error, its detail and its hint; or None: it is in."""
    try:
        enter(weir, realm, cache, user, flags, shift).close()
    except LoginRefused as refused:
        return (refused.reply.sqlstate, refused.reply.error["M"]), refused.reply.error.get("D"), refused.reply.error.get("H")
    return None


def principal(wire):
    return wire.value("SELECT principal FROM pg_stat_gssapi WHERE pid = pg_backend_pid()")


def shown(weir, user="web"):
    row, = (row for row in weir.console("SHOW POOLS_EXTENDED") if (row["database"], row["user"]) == ("tickets", user))
    return row["principal"], row["ticket_left_ms"]


@pytest.fixture(scope="module")
def webs(realm):
    return realm.tickets("web", options=FORWARDABLE)


@pytest.fixture(scope="module")
def reportings(realm):
    return realm.tickets("reporting", options=FORWARDABLE)


# --- whose ticket ---

@pytest.mark.parametrize("flags, more", [("delegate", {}), ("one_way,delegate", {}), ("delegate,spnego", {}),
                                         ("delegate", {"KRB5_CLIENT_KTNAME": "/nowhere/client.keytab"})],
                         ids=["both prove it", "one way", "SPNEGO", "no key of pgweir's"])
def test_postgresql_sees_the_client_s_principal(weir, realm, cluster, webs, reportings, flags, more):
    """Two users, each with its own."""
    start(weir, realm, cluster, environment=more)
    web, reporting = enter(weir, realm, webs, flags=flags), enter(weir, realm, reportings, "reporting", flags)
    assert (principal(web), web.value("SELECT current_user")) == ("web@EXAMPLE.NET", "web")
    assert (principal(reporting), reporting.value("SELECT current_user")) == ("reporting@EXAMPLE.NET", "reporting")
    weir.console("RECONNECT")
    assert (principal(web), principal(reporting)) == ("web@EXAMPLE.NET", "reporting@EXAMPLE.NET")
    owner, left_ms = shown(weir)
    assert owner == "web@EXAMPLE.NET" and 0 < left_ms <= 10 * 3600 * 1000
    assert shown(weir, "reporting")[0] == "reporting@EXAMPLE.NET"


def test_off_by_default(weir, realm, cluster, webs):
    start(weir, realm, cluster, delegation=None)
    assert principal(enter(weir, realm, webs)) == "pgweir@EXAMPLE.NET"
    assert shown(weir) == (None, None)


def test_nothing_is_delegated(weir, realm, cluster, webs):
    """By a ticket that is not forwardable, or a client that does not offer it. pgweir's own ticket takes no one's place."""
    start(weir, realm, cluster)
    tickets = realm.tickets("web", options=("-F",))
    for cache, flags in ((tickets, "delegate"), (tickets, ""), (webs, ""), (webs, "one_way")):
        error, detail, hint = refusal(weir, realm, cache, flags=flags)
        assert error == NO_TICKET and "gss_accept_delegation = on" in detail and "gssdelegation=1" in hint
    assert principal(enter(weir, realm, webs)) == "web@EXAMPLE.NET"


def test_what_was_delegated_serves_others_of_the_same_principal(weir, realm, cluster, webs, reportings):
    """While it is good, they need not delegate; another principal must not come in so."""
    start(weir, realm, cluster)
    first = enter(weir, realm, webs)
    assert principal(enter(weir, realm, webs, flags="")) == "web@EXAMPLE.NET"
    assert refusal(weir, realm, reportings, flags="")[0] == OTHERS
    assert principal(first) == "web@EXAMPLE.NET"


def test_a_login_without_a_ticket(weir, realm, cluster):
    start(weir, realm, cluster)
    with pytest.raises(LoginRefused) as refused:
        weir.raw("plainuser", database="tickets")
    assert refused.value.reply.sqlstate == "28000" and refused.value.reply.error["M"] == "the client has logged in without a ticket"
    assert "hba_file" in refused.value.reply.error["H"]


def test_pgweir_s_own_questions(weir, realm, cluster, webs):
    """auth_query's connection, which finds out who is a member of a role, is opened by pgweir's own ticket: it is asked before
    anybody has delegated one."""
    cluster.query("GRANT pg_monitor TO web")
    try:
        start(weir, realm, cluster, ident=IDENT.replace("people /", "people web@EXAMPLE.NET +pg_monitor\nnobody /"), auth_query="builtin",
              auth_user="reporting")
        assert principal(enter(weir, realm, webs)) == "web@EXAMPLE.NET"
    finally:
        cluster.query("REVOKE pg_monitor FROM web")


# --- two principals, one user ---

def test_another_principal_is_refused(weir, realm, cluster, webs, reportings):
    """As long as the pool lives, also when nobody else uses it, and when its connections were closed."""
    start(weir, realm, cluster)
    first = enter(weir, realm, webs)
    error, detail, hint = refusal(weir, realm, reportings)
    assert error == OTHERS and '"web@EXAMPLE.NET"' in detail and '"reporting@EXAMPLE.NET"' in detail and "a user of its own" in hint
    weir.wait_log(OTHERS[1])
    first.close()
    assert refusal(weir, realm, reportings)[0] == OTHERS
    weir.console("RECONNECT")
    assert refusal(weir, realm, reportings)[0] == OTHERS
    weir.console("KILL tickets")
    weir.console("RESUME tickets")
    assert refusal(weir, realm, reportings)[0] == OTHERS
    assert principal(enter(weir, realm, webs)) == "web@EXAMPLE.NET"


def test_a_pool_that_is_made_anew_may_be_another_s(weir, realm, cluster, webs, reportings):
    """When it was unused for so long that it was given up, and all its connections with it."""
    start(weir, realm, cluster, pool_idle_timeout="1ms", idle_timeout="1ms")
    enter(weir, realm, webs).close()
    wait_until(lambda: refusal(weir, realm, reportings) is None, what="the pool to be given up")
    wait_until(lambda: cluster.count(usename="web") == 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_logins_at_once(weir, realm, cluster, webs, reportings, workers):
    """One principal is in, with all that it sent, and nobody else."""
    start(weir, realm, cluster, workers=workers, pool_size=8)
    tokens = [token for pair in zip(realm.tokens(webs, 8, "one_way,delegate"), realm.tokens(reportings, 8, "one_way,delegate"))
              for token in pair]
    wires = [asked_for_token(weir, database="tickets") for _ in tokens]
    for wire, token in zip(wires, tokens):
        wire.send(message("p", token))
    ends = [end_of(wire) for wire in wires]
    assert sorted(set(ends[::2] + ends[1::2]), key=str) == sorted(["in", OTHERS], key=str)
    assert len(set(ends[::2])) == len(set(ends[1::2])) == 1
    inside = [wire for wire, end in zip(wires, ends) if end == "in"]
    each(inside).send(query("BEGIN"), query("SELECT principal FROM pg_stat_gssapi WHERE pid = pg_backend_pid()"))
    found = {reply.row[0] for wire in inside for reply in wire.read_until("Z", 2) if reply.type == "D"}
    assert found == {b"web@EXAMPLE.NET" if ends[0] == "in" else b"reporting@EXAMPLE.NET"}
    assert len(weir.console("SHOW POOLS_EXTENDED")) == 1, "a pool with an owner is one worker's"


def test_a_forced_user(weir, realm, cluster, webs, reportings):
    """All clients share its pool, so it is one principal's."""
    start(weir, realm, cluster, "user=web")
    assert principal(enter(weir, realm, webs)) == "web@EXAMPLE.NET"
    assert refusal(weir, realm, reportings, "reporting")[0] == OTHERS


# --- tickets that are too old ---

@pytest.fixture
def lenient(own_realm):
    """A realm whose clocks may differ by an hour: a token counts though the ticket behind it has expired."""
    own_realm.conf = own_realm.write_conf(more="clockskew = 3600\n")
    return own_realm


def old_tickets(realm, options=("-f", "-l", "10m")):
    """Of half an hour ago."""
    realm.stop()
    realm.start(shift="-30m")
    return realm.tickets("web", shift="-30m", options=options)


def test_an_expired_ticket_is_refused_at_login(weir, lenient, own_cluster):
    start(weir, lenient, own_cluster)
    old = old_tickets(lenient)
    error, _, hint = refusal(weir, lenient, old, flags="one_way,delegate", shift="-30m")
    assert error == EXPIRED and "kinit" in hint
    lenient.stop()
    lenient.start()
    assert principal(enter(weir, lenient, lenient.tickets("web", options=FORWARDABLE))) == "web@EXAMPLE.NET"


def enter_for_a_moment(weir, realm):
    """With a ticket that is good for a moment: for as long as this machine needs to log in by it."""
    for seconds in (4, 8, 16, 32, 64):
        with contextlib.suppress(LoginRefused, AssertionError):
            return enter(weir, realm, realm.tickets("web", options=("-f", "-l", f"{seconds}s")))
    raise AssertionError("this machine is too slow")


def test_a_ticket_expires(weir, own_realm, own_cluster):
    """Sessions stay, connections are opened no more; a new ticket serves at once."""
    start(weir, own_realm, own_cluster)
    plain = own_realm.tickets("web", options=("-F",))
    wire = enter_for_a_moment(weir, own_realm)
    assert principal(wire) == "web@EXAMPLE.NET"
    wait_until(lambda: (refusal(weir, own_realm, plain, flags="") or [None])[0] == EXPIRED, 120, "the ticket to expire")
    assert principal(wire) == "web@EXAMPLE.NET" and shown(weir) == ("web@EXAMPLE.NET", 0)
    weir.console("RECONNECT")
    wire.send(query("SELECT 1"))
    reply = wire.read_until("EZ")[-1]
    assert reply.sqlstate == "28000" and reply.error["M"].endswith(EXPIRED[1]) and "kinit" in reply.error["H"]
    assert principal(enter(weir, own_realm, own_realm.tickets("web", options=FORWARDABLE))) == "web@EXAMPLE.NET"


# --- a KDC that is not there, when pgweir needs the ticket for PostgreSQL ---

def test_a_dead_kdc(weir, own_realm, own_cluster):
    start(weir, own_realm, own_cluster, connect_timeout="1h", pool_timeout="1h", login_timeout="1h")
    token, = own_realm.tokens(own_realm.tickets("web", options=FORWARDABLE), flags="one_way,delegate")
    own_realm.stop()
    wire = asked_for_token(weir, database="tickets")
    wire.send(message("p", token))
    reply = wire.read_until("EZ")[-1]
    assert reply.sqlstate == "57P03" and "Cannot contact any KDC" in reply.error["M"] and '"web@EXAMPLE.NET"' in reply.error["D"]
    own_realm.start()
    wait_until(lambda: refusal(weir, own_realm, own_realm.tickets("web", options=FORWARDABLE)) is None, what="another attempt")


def waiting(weir):
    return sum(row["waiting"] for row in weir.console("SHOW POOLS_EXTENDED") if row["database"] == "tickets")


def test_a_kdc_that_hangs(weir, own_realm, own_cluster):
    """A thread has the credentials meanwhile, and the loop goes on: it looks into none, also when others take their place."""
    start(weir, own_realm, own_cluster, connect_timeout="1h", pool_timeout="1h", login_timeout="1h")
    tokens = own_realm.tokens(own_realm.tickets("web", options=FORWARDABLE), 3, "one_way,delegate")
    wires = [asked_for_token(weir, database="tickets") for _ in tokens]
    os.kill(own_realm.process.pid, signal.SIGSTOP)
    for wire, token in zip(wires, tokens):
        wire.send(message("p", token))
    wait_until(lambda: waiting(weir) == len(wires))
    wires.pop().close()
    wait_until(lambda: waiting(weir) == len(wires))
    os.kill(own_realm.process.pid, signal.SIGCONT)      # the library would give up after half a minute
    assert [end_of(wire) for wire in wires] == ["in"] * len(wires)
    assert {principal(wire) for wire in wires} == {"web@EXAMPLE.NET"}


# --- a restart ---

def test_a_restart(weir, realm, cluster, webs, reportings):
    """Tickets stay where they are, and so do those who have brought them; the new process has an owner of its own."""
    start(weir, realm, cluster)
    wire = enter(weir, realm, webs)
    old = weir.restart(wait=False)
    weir.wait_log("with a delegated ticket")
    assert principal(enter(weir, realm, reportings)) == "reporting@EXAMPLE.NET"
    assert refusal(weir, realm, webs)[0] == OTHERS
    assert principal(wire) == "web@EXAMPLE.NET"
    wire.close()
    assert wait_process(old, 30) == 0


def test_a_restart_switches_it_on(weir, realm, cluster, webs):
    """Who has shown no principal stays with the old process, too."""
    start(weir, realm, cluster, delegation="off")
    wire = enter(weir, realm, webs)
    weir.configure(sections=sections(cluster, gss_accept_delegation="on"), method="hba", hba_file=weir.directory / "hba.conf",
                   ident_file=weir.directory / "ident.conf")
    weir.write_config()
    old = weir.restart(wait=False)
    weir.wait_log("the successor cannot take it: its pool has gss_accept_delegation = on now")
    assert principal(enter(weir, realm, webs)) == "web@EXAMPLE.NET"
    assert principal(wire) == "pgweir@EXAMPLE.NET"
    wire.close()
    assert wait_process(old, 30) == 0


# --- reload ---

def test_a_reload_switches_it_off_and_on(weir, realm, cluster, webs, reportings):
    """Nobody uses a connection of before: clients that were there are not the new owner's."""
    start(weir, realm, cluster)
    wire = enter(weir, realm, webs)
    assert principal(wire) == "web@EXAMPLE.NET"
    reload(weir, cluster, "off")
    assert principal(wire) == "pgweir@EXAMPLE.NET" and shown(weir) == (None, None)
    other = enter(weir, realm, reportings)
    assert principal(other) == "pgweir@EXAMPLE.NET"
    reload(weir, cluster, "on")
    error, _, hint = refusal(weir, realm, reportings)
    assert error == OLD_CLIENTS and "once they have left" in hint
    other.send(query("SELECT 1"))
    assert other.read_until("EZ")[-1].error["M"].endswith("no client has delegated a ticket")
    wire.close()
    other.close()
    wait_until(lambda: refusal(weir, realm, reportings) is None, what="the others to leave")
    assert refusal(weir, realm, webs)[0] == OTHERS


def test_a_pool_that_was_on_two_workers(weir, realm, cluster, webs):
    """Its shards would exchange connections: it has no owner as long as it is there."""
    start(weir, realm, cluster, delegation="off", workers=3, pool_size=8, max_overflow=0)
    wires = [enter(weir, realm, webs) for _ in range(2)]
    assert {principal(wire) for wire in wires} == {"pgweir@EXAMPLE.NET"}
    assert {row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")} == {1, 2}
    reload(weir, cluster, "on", workers=3, pool_size=8, max_overflow=0)
    each(wires).close()
    wait_until(lambda: weir.metric("pgweir_client_connections", state="idle") == 0)
    assert refusal(weir, realm, webs)[0] == OLD_CLIENTS


def test_a_reload_of_something_else_keeps_the_owner(weir, realm, cluster, webs, reportings):
    start(weir, realm, cluster)
    wire = enter(weir, realm, webs)
    reload(weir, cluster, "on", connect_timeout="17s")
    weir.console("RECONNECT")
    assert principal(wire) == "web@EXAMPLE.NET"
    assert refusal(weir, realm, reportings)[0] == OTHERS


# --- the configuration ---

@pytest.mark.parametrize("words, said", [
    ({"gss_accept_delegation": "on"}, "pgweir can act as clients of [database tickets] wherever their tickets are good"),
    ({"gss_accept_delegation": "on", "upstream": "host=127.0.0.1 dbname=app user=web"}, "with user= in upstream one alone can come in"),
])
def test_check_config(weir, words, said):
    weir.configure(sections={"database tickets": {"upstream": "host=127.0.0.1 dbname=app", **words}})
    weir.write_config()
    told = subprocess.run([weir.binary, "--check-config", weir.ini], capture_output=True, text=True, check=False)
    assert said in told.stdout + told.stderr
