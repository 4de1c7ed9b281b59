"""method = ldap, and rules with ldap: passwords that a real slapd judges."""

import contextlib
import socket
import subprocess
import threading
import time

import pytest

import rawwire
from directory import BASE, PEOPLE, READER, Directory
from rawwire import Wire, password_message, startup
from test_login import auth_codes, own_address
from test_secrets import SECRET, memory
from test_secrets import start as start_readable
from waiting import SLOWNESS, each, free_port, wait_until
from weir import is_built_with, reads_pgbouncer_ini, timed

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport,
              pytest.mark.skipif(not is_built_with("libldap"), reason="built without libldap")]

# In PostgreSQL web needs no password, and scramuser this one.
KNOWN = {"web": "in-the-directory", "scramuser": "scram-secret", "reporting": "rep, (or) *", "a*b(c)\\,d=e": "strange",
         **{f"web{i}": "w" for i in range(3)}}


@pytest.fixture(scope="module")
def directory(tmp_path_factory, authority):
    made = Directory(tmp_path_factory.mktemp("slapd"), KNOWN, authority.issue("slapd", "/CN=localhost", "IP:127.0.0.1,DNS:localhost"))
    yield made
    made.stop()


@pytest.fixture
def own_directory(tmp_path):
    """For tests that stop it. It shows its entries to nobody but the reader."""
    made = Directory(tmp_path / "slapd", KNOWN, anonymous=False)
    yield made
    made.stop()


def simple(directory, more="", server="127.0.0.1"):
    return f'ldapserver="{server}" ldapport={directory.port} ldapprefix="uid=" ldapsuffix=",{PEOPLE}" {more}'


def searched(directory, more="", server="127.0.0.1"):
    return f'ldapserver={server} ldapport={directory.port} ldapbasedn="{BASE}" {more}'


def by_reader(directory, password=READER[1]):
    return searched(directory, f'ldapbinddn="{READER[0]}" ldapbindpasswd={password}')


def start(weir, options, rules="", run=None, **settings):
    """rules come before that of options."""
    weir.users = {name: weir.users[name] for name in ("admin", "plainuser", "reporting")}
    hba = weir.directory / "hba.conf"
    hba.write_text(f"host pgweir admin 127.0.0.1/32 trust\n{rules}host all all 127.0.0.1/32 ldap {options}\n", encoding="utf-8")
    (run or weir.start)(method="hba", hba_file=hba, **settings)


def refused(weir, user, password, database="app"):
    wire = weir.keep(Wire(weir.address))
    with pytest.raises(rawwire.LoginRefused) as caught:
        wire.login(user, database, password)
    assert caught.value.reply.severity == "FATAL"
    return caught.value.sqlstate, caught.value.reply.error["M"]


def wrong(user):
    return "28000", f'LDAP authentication failed for user "{user}"'


def not_now(user):
    return "57P03", f'LDAP authentication is not possible at the moment for user "{user}"'


def who(weir, user, password):
    with weir.wire().login(user, "app", password) as wire:
        assert auth_codes(wire) == [3, 0]
        return wire.value("SELECT current_user")


# --- what is asked ---

def test_the_user_is_bound_between_prefix_and_suffix(weir, directory):
    start(weir, simple(directory))
    assert who(weir, "web", "in-the-directory") == "web"
    assert who(weir, "reporting", KNOWN["reporting"]) == "reporting"
    assert refused(weir, "web", "web-secret") == wrong("web")
    assert refused(weir, "nobody", "in-the-directory") == wrong("nobody")
    assert weir.metric_now("pgweir_client_logins_total", method="ldap", result="ok") == 2
    assert weir.metric("pgweir_client_logins_total", method="ldap", result="bad_password") == 2


def test_no_password_is_never_asked_about(weir, directory):
    """A bind without one succeeds anonymously."""
    start(weir, simple(directory))
    before = directory.count(" BIND ")
    assert refused(weir, "web", "") == ("28P01", "empty password returned by client")
    assert directory.count(" BIND ") == before


def test_the_user_is_searched_and_bound(weir, directory):
    start(weir, searched(directory))
    assert who(weir, "web", "in-the-directory") == "web"
    assert refused(weir, "web", "web-secret") == wrong("web")
    assert refused(weir, "nobody", "in-the-directory") == wrong("nobody")


def test_the_search_is_somebody_s(weir, own_directory):
    start(weir, by_reader(own_directory))
    assert who(weir, "web", "in-the-directory") == "web"
    assert refused(weir, "web", "web-secret") == wrong("web")
    weir.hba = weir.directory / "hba.conf"
    for options, reason in ((by_reader(own_directory, "wrong"), "could not bind for a search"), (searched(own_directory), None)):
        weir.hba.write_text(f"host all admin 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 ldap {options}\n", encoding="utf-8")
        before = weir.metric_now("pgweir_config_reloads_total")
        weir.signal(1)
        wait_until(lambda: weir.metric("pgweir_config_reloads_total") > before)  # pylint: disable=cell-var-from-loop
        # the second: without a reader it is searched anonymously, and nothing is found
        assert refused(weir, "web", "in-the-directory") == (not_now("web") if reason else wrong("web"))
        if reason:
            weir.wait_log(f"LDAP: {reason} at ldap://127.0.0.1:{own_directory.port}: Invalid credentials")


@pytest.mark.parametrize("options, user, password", [
    (f'ldapbasedn="{BASE}" ldapsearchattribute=cn', "web", "in-the-directory"),
    (f'ldapbasedn="{BASE}" ldapsearchfilter="(|(uid=x$username)(mail=$username@example.net))"', "web", "in-the-directory"),
    (f'ldapbasedn="{PEOPLE}" ldapsearchfilter="(&(uid=$username)(sn=same))"', "reporting", KNOWN["reporting"]),
])
def test_what_is_searched_for(weir, directory, options, user, password):
    start(weir, f"ldapserver=127.0.0.1 ldapport={directory.port} {options}")
    assert who(weir, user, password) == user


@pytest.mark.parametrize("url, is_found", [
    (f"{PEOPLE}?uid?one", True), (f"{BASE}?uid?sub", True), (f"{BASE}??sub?(uid=$username)", True), (f"{BASE}?uid?one", False),
    (f"{BASE}", False)])
def test_a_url(weir, directory, url, is_found):
    start(weir, f'ldapurl="ldap://127.0.0.1:{directory.port}/{url}"')
    if is_found:
        assert who(weir, "web", "in-the-directory") == "web"
    else:
        assert refused(weir, "web", "in-the-directory") == wrong("web")


def test_one_entry_and_no_more(weir, directory):
    start(weir, searched(directory, 'ldapsearchfilter="(|(uid=$username)(uid=reporting))"'), sections={"log": {"level": "debug"}})
    assert refused(weir, "web", "in-the-directory") == wrong("web")
    weir.wait_log("found more than one entry")
    assert who(weir, "reporting", KNOWN["reporting"]) == "reporting"


def test_references_to_other_servers_are_not_followed(weir, tmp_path):
    """As Active Directory gives them below its root. The other server would be asked anonymously, and could not be bound at."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        made = Directory(tmp_path / "slapd", KNOWN, refers_to=elsewhere.getsockname()[1])
        try:
            start(weir, searched(made), external_timeout="5s")
            assert who(weir, "web", "in-the-directory") == "web"
            with pytest.raises(BlockingIOError):
                elsewhere.accept()
        finally:
            made.stop()


# --- names that mean something ---

NAMES = ["*", "web*", "we*", "web)(uid=*", "*)(objectClass=*", "web)(|(uid=*", "w\\65b", "web\\", "(web)", "web,ou=people", "web)(uid=web",
         "\u00e4\u00f6", "web\r\n", "#web", "web+uid=reporting", f"web,{PEOPLE}"]


@pytest.mark.parametrize("options", [simple, searched])
def test_names_mean_nothing_but_themselves(weir, directory, options):
    start(weir, options(directory), sections={"limits": {"login_failure_delay": "0s"}})
    for name in NAMES:
        assert refused(weir, name, "in-the-directory") == wrong(name)
    assert who(weir, "web", "in-the-directory") == "web"


@pytest.mark.parametrize("options", [simple, searched])
def test_strange_names_are_found(weir, directory, options):
    strange = "a*b(c)\\,d=e"
    start(weir, options(directory), stats_users=f'"{strange}"')
    with weir.wire().login(strange, "pgweir", KNOWN[strange]) as wire:
        assert wire.query("SHOW VERSION")
    assert refused(weir, strange, "wrong") == wrong(strange)


# --- PostgreSQL ---

def test_the_password_logs_in_to_postgresql_too(weir, directory):
    """PostgreSQL asks scramuser for its password, which no file here has."""
    start(weir, simple(directory))
    assert who(weir, "scramuser", "scram-secret") == "scramuser"
    weir.postgres.kill_backends(usename="scramuser")
    assert who(weir, "scramuser", "scram-secret") == "scramuser"


def test_a_secret_of_users_file_comes_first(weir, directory):
    start(weir, simple(directory))
    weir.users["scramuser"] = "not-this-one"
    weir.write_users()
    before = weir.metric_now("pgweir_config_reloads_total")
    weir.signal(1)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total") > before)
    assert refused(weir, "scramuser", "scram-secret")[0] == "28P01"         # PostgreSQL's


def test_a_user_of_another_password_for_postgresql(weir, directory):
    """The database's password."""
    start(weir, simple(directory), upstream=weir.upstream(user="scramuser", password="scram-secret"))
    assert who(weir, "web", "in-the-directory") == "scramuser"


def test_workers_cancels_and_a_restart(weir, directory):
    start(weir, simple(directory), workers=2)
    wires = [weir.keep(Wire(weir.address)).login("scramuser", "app", "scram-secret") for _ in range(4)]
    assert [wire.value("SELECT current_user") for wire in wires] == ["scramuser"] * 4
    wires[0].send(rawwire.query("SELECT pg_sleep(20)"))
    wait_until(lambda: weir.postgres.count(query="SELECT pg_sleep(20)", state="active"))
    rawwire.send_cancel(weir.address, wires[0].key)
    assert "57014" in [reply.sqlstate for reply in wires[0].read_until("Z") if reply.type == "E"]
    weir.restart()
    weir.postgres.kill_until_none_is_left(usename="scramuser")
    assert wires[1].value("SELECT current_user") == "scramuser"
    assert who(weir, "web", "in-the-directory") == "web"


def test_a_login_that_waits_while_pgweir_is_restarted(weir, own_directory):
    """The old process still has its answer."""
    start(weir, simple(own_directory), external_timeout="20s")
    own_directory.stand_still()
    wire, = ask_for_password(weir, 1)
    wire.send(password_message("in-the-directory"))
    wait_until(lambda: calls(weir, "running") == 1)
    weir.restart(wait=False)
    own_directory.go_on()
    assert wire.read_until("Z")[-1].type == "Z"
    assert wire.value("SELECT current_user") == "web"
    assert who(weir, "web", "in-the-directory") == "web"


# --- TLS ---

def test_tls_with_the_server(weir, directory, authority):
    trusting = {"LDAPTLS_CACERT": str(authority.ca)}
    start(weir, simple(directory, "ldaptls=1"), environment=trusting)
    assert who(weir, "web", "in-the-directory") == "web"
    assert refused(weir, "web", "web-secret") == wrong("web")
    assert directory.count("TLS established") > 0


@pytest.mark.parametrize("options", ["ldapscheme=ldaps ldapport={port} ldapserver=127.0.0.1 ldapbasedn={base}",
                                     "ldapurl=ldaps://127.0.0.1:{port}/{base}?uid?sub"])
def test_ldaps(weir, directory, authority, options):
    start(weir, options.format(port=directory.tls_port, base=f'"{BASE}"'), environment={"LDAPTLS_CACERT": str(authority.ca)})
    assert who(weir, "web", "in-the-directory") == "web"
    assert refused(weir, "web", "web-secret") == wrong("web")


@pytest.mark.parametrize("scheme", ["ldaptls=1", "ldapscheme=ldaps"])
def test_a_server_that_nobody_vouches_for_gets_no_password(weir, directory, scheme):
    port = directory.port if scheme == "ldaptls=1" else directory.tls_port
    start(weir, f'ldapserver=127.0.0.1 ldapport={port} {scheme} ldapprefix="uid=" ldapsuffix=",{PEOPLE}"')
    before = directory.count(" BIND ")
    assert refused(weir, "web", "in-the-directory") == not_now("web")
    assert directory.count(" BIND ") == before


def test_a_password_in_the_clear_needs_tls(weir, directory, authority):
    """From another machine. The directory is asked in the clear as well, which --check-config tells of."""
    made = authority.issue("front", "/CN=localhost", "DNS:localhost")
    hba = weir.directory / "hba.conf"
    hba.write_text(f"host pgweir all 127.0.0.1/32 trust\nhost all all all ldap {simple(directory)}\n", encoding="utf-8")
    weir.start({"pgweir": {"listen": f"0.0.0.0:{weir.port}"}}, method="hba", hba_file=hba, certificate_file=made.certificate, key_file=made.key)
    wire = weir.keep(Wire((own_address(), weir.port)))
    with pytest.raises(rawwire.LoginRefused) as caught:
        wire.login("web", "app", "in-the-directory")
    assert caught.value.reply.error["M"] == "clear-text passwords are only accepted over TLS, Unix sockets and loopback"
    weir.wait_log("take their passwords in clear text): use hostssl")
    hba.write_text(f"local all all ldap {simple(directory, server='192.0.2.1')}\n", encoding="utf-8")
    told = subprocess.run([weir.binary, "--check-config", weir.ini], capture_output=True, text=True, check=False)
    assert "passwords travel to the LDAP server in clear text: use ldaptls=1 or ldapscheme=ldaps" in told.stderr + told.stdout


@pytest.mark.parametrize("tls", ["ldaptls=0", "ldaptls=1"])
def test_no_password_is_left_in_memory(weir, directory, authority, tls):
    """libldap frees its buffers as they are: what they have is wiped when it was sent, but for some bytes that are not."""
    settings = {"sections": {"limits": {"login_failure_delay": "10ms"}}, "environment": {"LDAPTLS_CACERT": str(authority.ca)}}
    start(weir, simple(directory, tls), run=lambda **more: start_readable(weir, **more), **settings)
    for _ in range(3):
        assert refused(weir, "web", SECRET) == wrong("web")
    text = memory(weir)
    assert text.count(SECRET[:12].encode()) == 0 and text.count(SECRET[-12:].encode()) == 0


# --- servers that are slow, or dead ---

def test_nobody_listens_there(weir, directory):
    start(weir, f'ldapserver=127.0.0.1 ldapport={free_port()} ldapprefix="uid="')
    answer, seconds = timed(refused, weir, "web", "in-the-directory")
    assert answer == not_now("web") and seconds < 5 * SLOWNESS
    weir.wait_log("LDAP: could not bind at ldap://127.0.0.1:", "Can't contact LDAP server")
    assert directory.process.poll() is None


def test_the_second_of_two_servers_answers(weir, directory):
    start(weir, simple(directory, server="127.0.0.99 127.0.0.1"))
    assert who(weir, "web", "in-the-directory") == "web"


def test_the_first_of_two_servers_can_not_be_reached(weir, directory):
    """A machine that is off answers nothing, as a full queue of connections does. The second has time left to be asked."""
    with socket.create_server(("127.0.0.98", directory.port), backlog=0), contextlib.ExitStack() as queue:
        for _ in range(3):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.98", directory.port))
        start(weir, searched(directory, server='"127.0.0.98 127.0.0.1"'), external_timeout="4s")
        assert who(weir, "web", "in-the-directory") == "web"


@contextlib.contextmanager
def server_that_says(text):
    """It says so to whatever it is asked, and then nothing. Yields its port."""
    def serve():
        with contextlib.suppress(OSError), contextlib.ExitStack() as kept:
            while True:
                client = kept.enter_context(listening.accept()[0])
                client.recv(1000)
                client.sendall(text)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("options, said", [
    ("ldapscheme=ldaps", b""),
    ("ldaptls=1", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"),
    ("", b"\x30\x0c\x02\x01\x01\x61"),
], ids=["no handshake", "none behind StartTLS", "half an answer"])
def test_a_server_that_stops_in_the_middle_keeps_no_thread(weir, options, said):
    """Else 8 logins and the end of its machine would be the end of all logins, until TCP notices."""
    with server_that_says(said) as port:
        start(weir, f"ldapserver=127.0.0.1 ldapport={port} ldapprefix=uid= {options}", external_timeout="1s")
        wires = ask_for_password(weir, 9)
        for wire in wires:
            wire.send(password_message("in-the-directory"))
        for wire in wires:                  # each has been asked about, and had no answer
            reply = wire.read_until("E")[-1]
            assert (reply.sqlstate, reply.error["M"]) == not_now("web")
        wait_until(lambda: calls(weir, "lost") + calls(weir, "running") + calls(weir, "waiting") == 0)
        assert refused(weir, "web", "in-the-directory") == not_now("web")


def test_an_answer_that_is_too_long(weir):
    """Two gigabytes are announced."""
    with server_that_says(b"\x30\x84\x7f\xff\xff\xf0") as port:
        start(weir, f"ldapserver=127.0.0.1 ldapport={port} ldapprefix=uid=", external_timeout="20s")
        answer, seconds = timed(refused, weir, "web", "in-the-directory")
        assert answer == not_now("web") and seconds < 10 * SLOWNESS


def login_seconds(weir, count):
    """Of SCRAM logins, one after the other."""
    seconds = []
    for _ in range(count):
        wire, lasted = timed(lambda: Wire(weir.address).login("plainuser", "app", "plain-secret"))
        assert auth_codes(wire) == [10, 11, 12, 0]
        wire.leave()
        seconds.append(lasted)
    return seconds


def ask_for_password(weir, count, user="web"):
    wires = [weir.keep(Wire(weir.address)) for _ in range(count)]
    for wire in wires:
        wire.send(startup(user, "app"))
    for wire in wires:
        assert wire.read().body == b"\0\0\0\3"
    return wires


def calls(weir, state):
    return weir.metric_now("pgweir_external_logins", state=state)


SCRAM = "host all plainuser 127.0.0.1/32 scram-sha-256\n"


@pytest.mark.alone
def test_a_dead_server_costs_its_clients_an_error_and_nobody_else_anything(weir, own_directory):
    lasts = round(3 * SLOWNESS)
    start(weir, by_reader(own_directory), SCRAM, external_timeout=f"{lasts}s", max_client_connections=1000)
    own_directory.stand_still()
    begun = time.monotonic()
    wires = ask_for_password(weir, 200)
    for wire in wires:
        wire.send(password_message("in-the-directory"))
    wait_until(lambda: weir.metric("pgweir_external_logins", state="waiting") == 200 - 8)
    assert min(login_seconds(weir, 30)) < lasts / 10
    assert weir.metric_now("pgweir_external_logins", state="waiting") == 200 - 8, "it was as slow as the dead server"
    for wire in wires:
        reply = wire.read_until("E")[-1]
        assert (reply.sqlstate, reply.error["M"]) == not_now("web")
    assert 0.9 * lasts < time.monotonic() - begun < 10 * SLOWNESS
    weir.wait_log("LDAP: could not bind for a search at ldap://127.0.0.1:", ": Timed out")
    # libldap gives up by itself: no thread is lost for good, though the server is still dead.
    wait_until(lambda: calls(weir, "lost") + calls(weir, "running") + calls(weir, "waiting") == 0)
    own_directory.go_on()
    assert who(weir, "web", "in-the-directory") == "web"


def test_who_leaves_takes_up_no_place(weir, own_directory):
    start(weir, simple(own_directory), external_timeout="20s")
    own_directory.stand_still()
    wires = ask_for_password(weir, 20)
    for wire in wires:
        wire.send(password_message("in-the-directory"))
    wait_until(lambda: (calls(weir, "waiting"), calls(weir, "running")) == (12, 8))
    each(wires).close()
    wait_until(lambda: (calls(weir, "waiting"), calls(weir, "running"), calls(weir, "lost")) == (0, 0, 8))
    # All threads are lost: the next one hears of it at once.
    answer, seconds = timed(refused, weir, "web", "in-the-directory")
    assert answer[0] == "53300" and seconds < 5 * SLOWNESS
    weir.wait_log("all 8 calls to it are hanging")
    own_directory.go_on()
    wait_until(lambda: calls(weir, "lost") == 0)
    assert who(weir, "web", "in-the-directory") == "web"


def test_the_end_waits_for_no_server(weir, own_directory):
    start(weir, simple(own_directory), external_timeout="60s")
    own_directory.stand_still()
    for wire in ask_for_password(weir, 10):
        wire.send(password_message("in-the-directory"))
    wait_until(lambda: calls(weir, "running") == 8)
    code, seconds = timed(weir.stop)
    assert code == 0 and seconds < 5 * SLOWNESS


def test_a_slow_server(weir, own_directory):
    """It stands still for a while, and the logins that waited succeed."""
    start(weir, by_reader(own_directory), external_timeout="20s")
    own_directory.stand_still()
    wires = ask_for_password(weir, 20)
    for wire in wires:
        wire.send(password_message("in-the-directory"), rawwire.query("SELECT 42"))
    wait_until(lambda: calls(weir, "waiting") == 12)
    own_directory.go_on()
    for wire in wires:
        assert rawwire.texts(wire.read_until("Z", 2)) == [["42"]]


def test_500_logins_at_once(weir, directory):
    start(weir, searched(directory), max_client_connections=1000, external_timeout="60s")
    wires = ask_for_password(weir, 500)
    for i, wire in enumerate(wires):
        wire.send(password_message("in-the-directory" if i % 10 else "wrong"))
    ends = [wire.read_until("ZE", timeout=60 * SLOWNESS)[-1].type for wire in wires]
    assert ends == ["Z" if i % 10 else "E" for i in range(500)]
    assert weir.metric_now("pgweir_client_logins_total", method="ldap", result="ok") == 450


# --- the configuration ---

@pytest.mark.parametrize("search, is_warned", [("(uid=web)", True), ("(&(uid=$username)(sn=same))", False), ("(uid=$user)", True)])
def test_a_filter_without_the_user_is_warned_of(weir, directory, search, is_warned):
    start(weir, searched(directory, f'ldapsearchfilter="{search}"'))
    warning = "hba.conf:2: warning: ldapsearchfilter has no $username: the password of the entry that it finds lets clients log in as anybody"
    told = subprocess.run([weir.binary, "--check-config", weir.ini], capture_output=True, text=True, check=False)
    assert (warning in told.stdout + told.stderr) == is_warned


def with_method(weir, run, options, **more):
    run({"auth": {"method": "ldap", "ldap_options": options}, "log": {"connections": True}}, **more)


def test_method_ldap(weir, directory):
    with_method(weir, weir.start, simple(directory))
    assert who(weir, "web", "in-the-directory") == "web"
    assert refused(weir, "web", "web-secret") == wrong("web")
    assert "decides on" not in weir.log(), "there is no file of rules"
    physical = weir.keep(Wire(weir.address))
    physical.send(startup("web", "app", parameters={"replication": "true"}))
    assert physical.read().body == b"\0\0\0\3", "replication, too, is for those with a password"


def test_a_setting_has_no_comments_and_no_second_line(weir, directory):
    with_method(weir, weir.start, searched(directory, "ldapsearchfilter=(|(uid=$username)(cn=a#b))"))
    assert who(weir, "web", "in-the-directory") == "web"
    with_method(weir, weir.reload, searched(directory, f'ldapbinddn="{READER[0]}" ldapbindpasswd={READER[1]}\\'))
    assert refused(weir, "web", "in-the-directory") == not_now("web")
    weir.wait_log("LDAP: could not bind for a search at ldap://127.0.0.1", "Invalid credentials")


@pytest.mark.reloads("auth.ldap_options")
def test_a_reload_changes_the_server(weir, directory):
    """That is in ldap_options."""
    with_method(weir, weir.start, f"ldapserver=127.0.0.1 ldapport={free_port()} ldapprefix=uid=")
    assert refused(weir, "web", "in-the-directory") == not_now("web")
    with_method(weir, weir.reload, simple(directory))
    assert who(weir, "web", "in-the-directory") == "web"
    with_method(weir, weir.reload, "", wait=False)
    weir.wait_log("ldap_options: ldap needs ldapbasedn, ldapprefix or ldapsuffix")
    assert who(weir, "web", "in-the-directory") == "web"


@pytest.mark.reloads("auth.external_timeout")
def test_a_reload_changes_the_deadline(weir):
    """Nobody answers at this socket."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        options = f"ldapserver=127.0.0.1 ldapport={silent.getsockname()[1]} ldapprefix=uid="

        def quick():
            """One that is too short for the longer deadline: on a busy machine some are not."""
            wait_until(lambda: timed(refused, weir, "web", "x")[1] < 1.4, what="an answer within the shorter deadline")

        with_method(weir, weir.start, options, external_timeout="100ms")
        quick()
        with_method(weir, weir.reload, options, external_timeout="1500ms")
        assert timed(refused, weir, "web", "x")[1] > 1.4
        with_method(weir, weir.reload, options, external_timeout="100ms")
        quick()


def test_the_reader_s_password_is_shown_to_nobody(weir, own_directory):
    options = by_reader(own_directory)
    weir.users = {"admin": "admin-secret"}
    with_method(weir, weir.start, options, admin_users="web")
    wire = weir.keep(Wire(weir.address)).login("web", "pgweir", "in-the-directory")
    rows = wire.query("SHOW CONFIG")
    assert ["auth_ldap_options", "***"] in [row[:2] for row in rows] and READER[1] not in str(rows)
    for option in ("--dump-config", "--check-config"):
        done = subprocess.run([weir.binary, option, weir.ini], capture_output=True, text=True, check=False)
        assert READER[1] not in done.stdout + done.stderr
    assert READER[1] not in weir.log()


def bouncer(weir, lines):
    path = weir.directory / "pgbouncer.ini"
    path.write_text(f"[databases]\napp = host={weir.postgres.host} port={weir.postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                    f"listen_port = {weir.port}\nunix_socket_dir =\n{lines}\n", encoding="utf-8")
    weir.launch([str(path)])


@reads_pgbouncer_ini
def test_a_file_of_pgbouncer_s(weir, own_directory):
    bouncer(weir, f"auth_type = ldap\nauth_ldap_options = {by_reader(own_directory)}\nadmin_users = web")
    assert who(weir, "web", "in-the-directory") == "web"
    assert refused(weir, "web", "wrong")[1] == "LDAP authentication failed"
    assert refused(weir, "nobody", "wrong")[1] == "LDAP authentication failed"
    wire = weir.keep(Wire(weir.address)).login("web", "pgbouncer", "in-the-directory")
    rows = wire.query("SHOW CONFIG")
    assert ["auth_ldap_options", "***"] in [row[:2] for row in rows] and READER[1] not in str(rows)


@reads_pgbouncer_ini
def test_rules_of_pgbouncer_s(weir, directory):
    hba = weir.directory / "hba.conf"
    hba.write_text(f'host all all 127.0.0.1/32 ldap ldapurl="ldap://127.0.0.1:{directory.port}/{BASE}?uid?sub"\n', encoding="utf-8")
    bouncer(weir, f"auth_type = hba\nauth_hba_file = {hba}")
    assert who(weir, "web", "in-the-directory") == "web"
    assert refused(weir, "web", "wrong")[1] == "LDAP authentication failed"
