"""method = hba: rules of pg_hba.conf, maps of pg_ident.conf, and certificates as logins."""

import os
import pwd
import subprocess

import psycopg
import pytest

import rawwire
from rawwire import Wire, md5_secret, message, scram_verifier, startup
from test_login import auth_codes
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

ME = pwd.getpwuid(os.getuid()).pw_name


def write_rules(weir, rules):
    (weir.directory / "hba.conf").write_text("host pgweir admin 127.0.0.1/32 trust\n" + rules, encoding="utf-8")


def start(weir, rules, maps=None, sections=None, **settings):
    """rules begin on line 2: the first is for the tests' own way to the console."""
    hba, ident = weir.directory / "hba.conf", weir.directory / "ident.conf"
    if maps is not None:
        ident.write_text(maps, encoding="utf-8")
        settings["ident_file"] = ident
    write_rules(weir, rules)
    weir.socket = str(weir.directory / "s")
    sections = {"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{weir.socket}"]}, "log": {"connections": True},
                **(sections or {})}
    weir.start(sections, method="hba", hba_file=hba, **settings)


def refused(weir, user="web", database="app", password=None, parameters=None, address=None):
    wire = weir.keep(Wire(address or weir.address))
    with pytest.raises(rawwire.LoginRefused) as caught:
        wire.login(user, database, password, parameters)
    assert caught.value.reply.severity == "FATAL"
    return caught.value.sqlstate, caught.value.reply.error["M"]


def decides(line, user, database="app"):
    return f'hba.conf:{line} decides on user "{user}", database "{database}"'


# --- which rule ---

def test_the_first_rule_that_fits_decides(weir):
    start(weir, "host app2 web 127.0.0.1/32 reject\nhost all web,reporting 127.0.0.0/8 trust\n"
                "host all /^md5 127.0.0.1/32 md5\nlocal all web trust\nlocal all all reject\n")
    with weir.raw() as wire:
        assert wire.value("SELECT current_user") == "web"
    weir.wait_log(decides(3, "web"))
    assert refused(weir, database="app2") == (
        "28000", 'pg_hba.conf rejects connection for host "127.0.0.1", user "web", database "app2", no encryption')
    weir.wait_log(decides(2, "web", "app2"))
    assert refused(weir, "plainuser") == (
        "28000", 'no pg_hba.conf entry for host "127.0.0.1", user "plainuser", database "app", no encryption')
    with Wire(weir.socket).login() as wire:
        assert wire.value("SELECT current_user") == "web"
    assert refused(weir, "reporting", address=weir.socket) == (
        "28000", 'pg_hba.conf rejects connection for host "[local]", user "reporting", database "app", no encryption')
    with weir.raw("md5user") as wire:
        assert auth_codes(wire) == [5, 0]
    assert weir.metric("pgweir_client_connections_rejected_total", reason="hba") == 3


def test_console_databases_are_names_like_others(weir):
    start(weir, "host pgbouncer all 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n")
    assert refused(weir, "stats", "pgbouncer")[1].startswith("pg_hba.conf rejects connection")
    with weir.raw("stats", "pgweir") as wire:
        assert auth_codes(wire) == [10, 11, 12, 0]


def test_names_longer_than_postgresql_s_do_not_evade_their_rule(weir):
    start(weir, f"host {'d' * 63},app {'u' * 63} 127.0.0.1/32 reject\nhost {'d' * 63} all 127.0.0.1/32 reject\n"
                "host all all 127.0.0.1/32 trust\n")
    assert "rejects" in refused(weir, "u" * 64)[1]
    assert "rejects" in refused(weir, "web", "d" * 70)[1]


def test_replication_is_a_word_of_its_own(weir):
    start(weir, "host all reporting 127.0.0.1/32 trust\nhost replication web 127.0.0.1/32 trust\n"
                "host replication scramuser 127.0.0.1/32 reject\nhost app scramuser 127.0.0.1/32 reject\n")
    physical, logical = {"replication": "true"}, {"replication": "database"}
    assert refused(weir, "reporting", parameters=physical) == (
        "28000", 'no pg_hba.conf entry for replication connection from host "127.0.0.1", user "reporting", '
                 'no encryption')
    assert refused(weir, "scramuser", parameters=physical) == (
        "28000", 'pg_hba.conf rejects replication connection for host "127.0.0.1", user "scramuser", no encryption')
    weir.wait_log(decides(4, "scramuser"))
    assert refused(weir, "scramuser", parameters=logical) == (
        "28000", 'pg_hba.conf rejects connection for host "127.0.0.1", user "scramuser", database "app", '
                 'no encryption')
    assert refused(weir, "web", parameters=logical)[1].startswith('no pg_hba.conf entry for host "127.0.0.1"')
    refused(weir, "web", parameters=physical)        # by PostgreSQL, which was asked
    weir.wait_log(decides(3, "web"))


def test_this_machine_and_its_networks(weir):
    start(weir, "host app all samehost trust\nhost app2 all samenet trust\n")
    for database in ("app", "app2"):
        with weir.raw(database=database) as wire:
            assert wire.value("SELECT 1") == "1"


# --- methods ---

@pytest.mark.parametrize("method, stored, codes", [
    ("trust", "plain", [0]),
    ("md5", "plain", [5, 0]),
    ("md5", "scram", [10, 11, 12, 0]),
    ("scram-sha-256", "scram", [10, 11, 12, 0]),
    ("password", "plain", [3, 0]),
    ("password", "md5", [3, 0]),
    ("password", "scram", [3, 0]),
])
def test_methods(weir, method, stored, codes):
    weir.users["web"] = {"plain": "web-secret", "md5": md5_secret("web", "web-secret"),
                         "scram": scram_verifier("web-secret")}[stored]
    start(weir, f"host all all 127.0.0.1/32 {method}\n")
    with weir.wire().login(password="web-secret") as wire:
        assert auth_codes(wire) == codes
        assert wire.value("SELECT current_user") == "web"
    if method != "trust":
        assert refused(weir, password="wrong") == ("28P01", 'password authentication failed for user "web"')
        assert refused(weir, "nobody", password="web-secret") == (
            "28P01", 'password authentication failed for user "nobody"')
    if method == "password":
        assert refused(weir, password="") == ("28P01", "empty password returned by client")
        assert weir.metric("pgweir_client_logins_total", method="password", result="ok") == 1


def test_a_password_in_the_clear_is_as_good_as_scram_for_the_server(weir):
    """PostgreSQL asks scramuser for SCRAM, and pgweir knows no more than the verifier and what the client sent."""
    verifier = weir.postgres.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'")[0][0]
    weir.users["scramuser"] = verifier
    start(weir, "host all all 127.0.0.1/32 password\n")
    with weir.wire().login("scramuser", password="scram-secret") as wire:
        assert wire.value("SELECT current_user") == "scramuser"


@pytest.mark.parametrize("body", [b"", b"web-secret", b"web\0secret\0", b"web-secret\0\0"])
def test_a_malformed_password(weir, body):
    start(weir, "host all all 127.0.0.1/32 password\n")
    wire = weir.wire()
    wire.send(startup())
    assert wire.read().body == b"\0\0\0\3"
    wire.send(message("p", body))
    reply = wire.read()
    assert (reply.type, reply.sqlstate) == ("E", "08P01")
    wire.wait_closed()


def test_what_is_sent_ahead_waits_for_the_verdict(weir):
    start(weir, "host all all 127.0.0.1/32 password\n")
    wire = weir.wire()
    wire.send(startup(), message("p", b"web-secret\0"), rawwire.query("SELECT 42"))
    assert rawwire.texts(wire.read_until("Z", 2)) == [["42"]]
    wire.close()
    wire = weir.wire()
    wire.send(startup(), message("p", b"wrong\0"), rawwire.query("SELECT 42"))
    assert [reply.type for reply in wire.read_to_end()] == ["R", "E"]


def test_clients_that_leave_while_their_password_is_looked_at(weir):
    start(weir, "host all all 127.0.0.1/32 password\nlocal all all peer\n")
    for _ in range(20):
        with weir.wire() as wire:
            wire.send(startup(), message("p", b"web-secret\0"))
        with Wire(weir.socket) as wire:
            wire.send(startup())
    with weir.wire().login(password="web-secret") as wire:
        assert wire.value("SELECT 1") == "1"


def test_peer(weir):
    start(weir, "local app all peer map=m\nlocal all all peer\n",
          f"m {ME} web\nm nobody_here reporting\nm /^(.).*$ user_\\1\n", admin_users=f"admin,{ME}")
    with Wire(weir.socket).login() as wire:
        assert wire.value("SELECT current_user") == "web"
    assert refused(weir, "reporting", address=weir.socket) == ("28000",
                                                               'Peer authentication failed for user "reporting"')
    weir.wait_log(f'"{ME}", may not log in as "reporting" by map m')
    assert refused(weir, "web", "app2", address=weir.socket)[1] == 'Peer authentication failed for user "web"'
    with Wire(weir.socket).login(ME, "pgweir") as wire:
        assert auth_codes(wire) == [0]
    wire = weir.keep(Wire(weir.socket))
    wire.send(startup(), rawwire.query("SELECT 42"))      # ahead of the answer
    assert rawwire.texts(wire.read_until("Z", 2)) == [["42"]]


# --- files ---

def test_a_bad_rule_leaves_the_old_ones_in_force(weir):
    start(weir, "host all web 127.0.0.1/32 trust\n")
    write_rules(weir, "host all web 127.0.0.1/32 reject\nhost all all 10.0.0.0/8 sspi\nhost all + all md5\n")
    with weir.raw("admin", "pgweir") as console, pytest.raises(rawwire.QueryFailed):
        console.query("RELOAD")
    told = [" ".join(map(str, row.values())) for row in weir.console("SHOW CONFIG_ERRORS")]
    assert len(told) == 2 and "hba.conf:3: error: method \"sspi\" is not available" in told[0], told
    assert "hba.conf:4: error: \"+\" names no role" in told[1]
    weir.wait_log("hba.conf:3: method")
    with weir.raw() as wire:
        assert wire.value("SELECT 1") == "1"
    write_rules(weir, "host all web 127.0.0.1/32 reject\n")
    before = weir.metric("pgweir_config_reloads_total")
    weir.signal(1)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total") > before)
    assert refused(weir)[1].startswith("pg_hba.conf rejects connection")
    assert weir.console("SHOW CONFIG_ERRORS") == []


def check(weir):
    done = subprocess.run([str(weir.binary), "--check-config", str(weir.ini)], capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stderr


def test_the_check_of_a_configuration_reads_the_files(weir):
    hba, ident = weir.directory / "hba.conf", weir.directory / "ident.conf"
    weir.configure(method="hba", hba_file=hba, ident_file=ident)
    weir.write_config()
    code, told = check(weir)
    assert code == 1 and f'{hba}: error: could not open {hba}: No such file' in told
    hba.write_text("host all all 10.0.0.0/8 trust\nlocal all all peer map=m\n")
    ident.write_text("m a\n")
    code, told = check(weir)
    assert code == 1 and f"{hba}:1: warning: trust lets in" in told and f"{ident}:1: error: a line must have" in told
    ident.write_text("other a b\n")
    code, told = check(weir)
    assert code == 0 and f"{hba}:2: warning: map=m is not in ident_file" in told
    hba.write_text("hostssl all all all scram-sha-256\n")
    code, told = check(weir)
    assert code == 0 and f"{hba}: warning: its hostssl rules match nobody" in told
    weir.users_file.unlink()
    code, told = check(weir)
    assert code == 1 and f"{hba}: error: it has rules that ask for a password" in told


def test_it_does_not_start_with_a_bad_rule(weir):
    weir.configure(method="hba", hba_file="hba.conf")
    weir.write_config()
    (weir.directory / "hba.conf").write_text("host all all all\n")
    weir.launch([str(weir.ini)], wait=False)
    assert weir.wait_exit() == 1
    weir.wait_log("hba.conf:1: error: the line ends before its authentication method")


# --- certificates ---

class Authority:
    """A CA of its own with a certificate for the server and any for clients."""

    def __init__(self, directory, name="ca"):
        self.directory = directory
        self.certificate, self.key = directory / f"{name}.crt", directory / f"{name}.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                      "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate)

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def issue(self, name, subject, alternative=None):
        """Paths of a certificate and its key."""
        key, request, certificate = (self.directory / f"{name}.{end}" for end in ("key", "csr", "crt"))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n" if alternative else "basicConstraints=CA:FALSE\n")
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                      "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                      "-days", "9", "-extfile", extensions, "-out", certificate)
        os.chmod(key, 0o600)
        return certificate, key


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def tls_section(authority, **more):
    certificate, key = authority.issue("server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
    return {"tls_client": {"certificate_file": certificate, "key_file": key, "ca_file": authority.certificate, **more}}


def with_certificate(authority, name, subject, alternative=None):
    certificate, key = authority.issue(name, subject, alternative)
    return {"sslmode": "require", "sslcert": certificate, "sslkey": key}


def who(weir, user="web", **words):
    with psycopg.connect(weir.dsn(user, **words)) as connection:
        return connection.execute("SELECT current_user").fetchone()[0]


def why_not(weir, user="web", **words):
    with pytest.raises(psycopg.OperationalError) as caught:
        who(weir, user, **words)
    return str(caught.value)


NO_CERTIFICATE = {"sslmode": "require", "sslcert": "/nonexistent", "sslkey": "/nonexistent"}


def test_types_by_encryption(weir, authority):
    start(weir, "hostssl app web 127.0.0.1/32 trust\nhostnossl app web 127.0.0.1/32 reject\n"
                "hostnossl app2 web 127.0.0.1/32 trust\n", sections=tls_section(authority))
    assert who(weir, **NO_CERTIFICATE) == "web"
    assert 'rejects connection for host "127.0.0.1", user "web", database "app", no encryption' in why_not(weir)
    assert who(weir, database="app2") == "web"
    assert 'no pg_hba.conf entry for host "127.0.0.1", user "web", database "app2", SSL encryption' in why_not(
        weir, database="app2", **NO_CERTIFICATE)


def test_certificates_name_their_users(weir, authority):
    start(weir, "hostssl app all all cert\n", sections=tls_section(authority))
    web = with_certificate(authority, "web", "/CN=web")
    assert who(weir, **web) == "web"
    assert 'certificate authentication failed for user "reporting"' in why_not(weir, "reporting", **web)
    weir.wait_log('its certificate is for "web", which may not log in as "reporting"')
    assert who(weir, **with_certificate(authority, "mail", "/CN=Somebody", "email:reporting,DNS:web")) == "web"
    assert who(weir, "reporting", **with_certificate(authority, "mail", "/CN=x", "email:reporting")) == "reporting"
    assert "connection requires a valid client certificate" in why_not(weir, **NO_CERTIFICATE)
    assert weir.metric("pgweir_client_logins_total", method="cert", result="ok") == 3


def test_certificates_and_maps(weir, authority):
    start(weir, "hostssl app all all cert map=people\nhostssl app2 all all cert clientname=DN map=subjects\n",
          "people /^(.*)@acme\\.com$ \\1\nsubjects \"CN=Alice,O=Acme\" web\n", tls_section(authority))
    web = with_certificate(authority, "web", "/CN=web@acme.com")
    alice = with_certificate(authority, "alice", "/O=Acme/CN=Alice", "email:reporting@acme.com")
    assert who(weir, **web) == "web"
    assert "certificate authentication failed" in why_not(weir, "reporting", **web)
    assert who(weir, "reporting", **alice) == "reporting"
    assert who(weir, database="app2", **alice) == "web"
    assert "certificate authentication failed" in why_not(weir, database="app2", **web)


def test_the_common_name_alone(weir, authority):
    start(weir, "hostssl app all all cert clientname=CN\n", sections=tls_section(authority))
    assert who(weir, **with_certificate(authority, "web", "/CN=web")) == "web"
    assert "certificate authentication failed" in why_not(
        weir, **with_certificate(authority, "other", "/CN=other", "DNS:web"))


def test_a_certificate_besides_a_password(weir, authority):
    start(weir, "hostssl app all all scram-sha-256 clientcert=verify-full\n"
                "hostssl app2 all all scram-sha-256 clientcert=verify-ca\n", sections=tls_section(authority))
    web = with_certificate(authority, "web", "/CN=web")
    assert who(weir, password="web-secret", **web) == "web"
    assert "password authentication failed" in why_not(weir, password="wrong", **web)
    assert "certificate authentication failed" in why_not(weir, "reporting", password="reporting-secret", **web)
    assert "requires a valid client certificate" in why_not(weir, password="web-secret", **NO_CERTIFICATE)
    assert who(weir, "reporting", database="app2", password="reporting-secret", **web) == "reporting"
    assert "requires a valid client certificate" in why_not(weir, database="app2", password="web-secret",
                                                            **NO_CERTIFICATE)


def test_a_certificate_of_somebody_else_s(weir, authority, tmp_path):
    (tmp_path / "other").mkdir()
    start(weir, "hostssl app all all cert\n", sections=tls_section(authority))
    stranger = with_certificate(Authority(tmp_path / "other", "other"), "web", "/CN=web")
    why_not(weir, **stranger)
    assert who(weir, **with_certificate(authority, "web", "/CN=web")) == "web"


def test_certificates_for_everybody(weir, authority):
    weir.start(tls_section(authority), method="cert")
    web = with_certificate(authority, "web", "/CN=web")
    assert who(weir, **web) == "web"
    assert "certificate authentication failed" in why_not(weir, "reporting", **web)
    assert "requires a valid client certificate" in why_not(weir, **NO_CERTIFICATE)
    assert "requires a valid client certificate" in why_not(weir)


def test_verify_full_for_everybody(weir, authority):
    weir.start(tls_section(authority, mode="verify-full"), method="scram-sha-256")
    web = with_certificate(authority, "web", "/CN=web")
    assert who(weir, password="web-secret", **web) == "web"
    assert "certificate authentication failed" in why_not(weir, "reporting", password="reporting-secret", **web)
    assert "password authentication failed" in why_not(weir, password="wrong", **web)


def test_a_password_in_the_clear_goes_through_tls(weir, authority):
    start(weir, "hostssl app all all password\n", sections=tls_section(authority))
    assert who(weir, password="web-secret", **NO_CERTIFICATE) == "web"
    assert "password authentication failed" in why_not(weir, password="wrong", **NO_CERTIFICATE)
