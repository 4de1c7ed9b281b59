"""TLS with PostgreSQL: libpq's modes, real and lying servers, cancels, certificates of ours, resumption."""

import os
import ssl
import threading
from types import SimpleNamespace

import psycopg
import pytest

import fakeserver
import rawwire
from fakeserver import FakeServer, Gone
from postgres import Postgres
from rawwire import query, send_cancel
from waiting import each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


def own_file(cluster, made, name):
    """PostgreSQL must own its key."""
    import shutil
    target = cluster.data / name
    shutil.copy(made, target)
    owner = os.stat(cluster.data)
    os.chown(target, owner.st_uid, owner.st_gid)
    os.chmod(target, 0o600)
    return target


@pytest.fixture(scope="module")
def tls_postgres(authority):
    """A cluster with a certificate for localhost, that also wants to see ours from the user certified."""
    cluster = Postgres()
    made = authority.issue("postgres", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
    own_file(cluster, made.certificate, "server.crt")
    own_file(cluster, made.key, "server.key")
    own_file(cluster, authority.ca, "root.crt")
    hba = cluster.data / "pg_hba.conf"
    hba.write_text("local all all trust\n"
                   "hostssl all certified 127.0.0.1/32 cert\n"
                   "hostssl all encrypted 127.0.0.1/32 trust\n"
                   "host all encrypted 127.0.0.1/32 reject\n" + hba.read_text(encoding="utf-8"), encoding="utf-8")
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write("ssl = on\nssl_ca_file = 'root.crt'\n")
    cluster.stop()
    cluster.start()
    cluster.query("CREATE ROLE certified LOGIN")
    cluster.query("CREATE ROLE encrypted LOGIN")
    yield cluster
    cluster.destroy()


@pytest.fixture
def secured(weir, tls_postgres):
    """Starts pgweir in front of that cluster; words go into the upstream."""
    def start(sections=None, host="localhost", **words):
        upstream = " ".join(f"{key}={value}" for key, value in
                            {"host": host, "port": tls_postgres.port, **words}.items())
        weir.start(sections, upstream)
        return weir
    return start


def is_encrypted(connection):
    return connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()[0]


@pytest.mark.parametrize("words, wanted", [
    ({}, True),                                       # prefer is the default
    ({"sslmode": "disable"}, False),
    ({"sslmode": "prefer"}, True),
    ({"sslmode": "require"}, True),
    ({"sslmode": "verify-ca", "sslrootcert": "CA"}, True),
    ({"sslmode": "verify-full", "sslrootcert": "CA"}, True),
])
def test_modes(secured, authority, words, wanted):
    weir = secured(**{key: str(authority.ca) if value == "CA" else value for key, value in words.items()})
    assert is_encrypted(weir.connect()) is wanted
    weir.settle()                               # one that is being opened has no TLS yet
    shown = {row["tls"].split("/")[0] for row in weir.console("SHOW SERVERS")}
    assert shown == ({"TLSv1.3"} if wanted else {""})


@pytest.mark.parametrize("oldest, wanted", [("1.2", True), ("1.3", False)])
def test_the_oldest_version(secured, tls_postgres, oldest, wanted):
    """PostgreSQL is old; a database may be stricter than the rest."""
    tls_postgres.query("ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'")
    tls_postgres.query("SELECT pg_reload_conf()")
    try:
        weir = secured({"tls_server": {"min_version": oldest}}, sslmode="require")
        if wanted:
            assert is_encrypted(weir.connect())
        else:
            with pytest.raises(psycopg.OperationalError, match="TLS"):
                weir.connect()
    finally:
        tls_postgres.query("ALTER SYSTEM RESET ssl_max_protocol_version")
        tls_postgres.query("SELECT pg_reload_conf()")


def test_an_address_is_verified_too(secured, authority):
    weir = secured(host="127.0.0.1", sslmode="verify-full", sslrootcert=authority.ca)
    assert is_encrypted(weir.connect())


def test_settings_of_a_database(weir, tls_postgres, authority):
    upstream = f"host=localhost port={tls_postgres.port}"
    weir.start({"tls_server": {"mode": "off"},
                "database app": {"upstream": upstream},
                "database app2": {"upstream": upstream, "server_tls_mode": "verify-full",
                                  "server_tls_ca_file": authority.ca}})
    assert not is_encrypted(weir.connect())
    assert is_encrypted(weir.connect(database="app2"))


def test_the_wrong_authority(secured, tmp_path):
    from authority import Authority
    weir = secured(sslmode="verify-ca", sslrootcert=Authority(tmp_path / "other", "Other").ca)
    with pytest.raises(psycopg.OperationalError, match="certificate of the server was refused"):
        weir.connect()
    assert weir.metric("pgweir_backend_connect_failures_total", reason="tls") >= 1
    assert weir.metric("pgweir_tls_handshakes_total", side="server", result="failed") >= 1


def test_the_wrong_name(weir, authority, tls_postgres):
    weir.start(None, f"host=localhost.localdomain,127.0.0.2 port={tls_postgres.port} sslmode=verify-full "
                     f"sslrootcert={authority.ca}")
    with pytest.raises(psycopg.OperationalError):
        weir.connect()


def test_the_systems_authorities(secured):
    weir = secured(sslrootcert="system")
    with pytest.raises(psycopg.OperationalError, match="certificate of the server was refused"):
        weir.connect()


def test_a_certificate_of_ours(secured, authority):
    made = authority.issue("certified")
    weir = secured({"tls_server": {"mode": "verify-full", "ca_file": authority.ca, "certificate_file": made.certificate,
                                   "key_file": made.key}})
    assert weir.connect("certified").execute("SELECT current_user").fetchone() == ("certified",)


def test_a_server_that_only_takes_tls(secured):
    weir = secured(sslmode="require")
    assert weir.connect("encrypted").execute("SELECT 1").fetchone() == (1,)


def test_require_where_there_is_none(weir):
    weir.start(None, weir.upstream(sslmode="require"))
    with pytest.raises(psycopg.OperationalError, match="does not speak TLS"):
        weir.connect()


def test_prefer_where_there_is_none(weir):
    weir.start(None, weir.upstream(sslmode="prefer"))
    assert weir.connect().execute("SELECT 1").fetchone() == (1,)


def test_a_cancel_where_servers_have_tls(secured, tls_postgres):
    weir = secured(sslmode="require")
    wire = weir.raw()
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: tls_postgres.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND "
                                          "pid <> pg_backend_pid()") == [(1,)])
    canceller = weir.wire()
    canceller.send(rawwire.cancel_request(wire.key))
    assert rawwire.errors(wire.read_until("Z"))[0].sqlstate == "57014"


def test_a_reload_takes_a_new_authority(secured, weir, authority, tls_postgres, tmp_path):
    from authority import Authority
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.ca.read_bytes())
    upstream = f"host=localhost port={tls_postgres.port} sslmode=verify-full sslrootcert={ca}"
    weir.start(None, upstream)
    first = weir.connect(autocommit=True)
    first.execute("SELECT 1")
    ca.write_bytes(Authority(tmp_path / "other", "Other").ca.read_bytes())
    weir.reload(None, upstream)
    weir.console("RECONNECT")
    with pytest.raises(psycopg.Error, match="certificate of the server was refused"):
        first.execute("SELECT 1")
    ca.write_bytes(authority.ca.read_bytes())
    weir.reload(None, upstream)
    wait_until(lambda: works(first), what="the pool to connect again")


def test_certificates_are_replaced_while_servers_cross(weir, authority, tls_postgres, tmp_path):
    """Those of both sides, and the authority that PostgreSQL's is trusted by. Clients notice nothing; what is opened from
    then on shows, and is shown, the new ones."""
    from authority import Authority
    names = "DNS:localhost,IP:127.0.0.1"
    sides = [SimpleNamespace(authority=one, front=one.issue("front", "/CN=localhost", names),
                             back=one.issue("back", "/CN=localhost", names))
             for one in (authority, Authority(tmp_path / "other", "Other"))]
    ca, certificate, key = (tmp_path / name for name in ("trusted.pem", "front.pem", "front.key"))
    settings = {"upstream": f"host=localhost port={tls_postgres.port} sslmode=verify-full sslrootcert={ca}", "workers": 3,
                "pool_size": 8, "max_overflow": 0, "certificate_file": certificate, "key_file": key}

    def write(side, *trusted):
        certificate.write_bytes(side.front.certificate.read_bytes())
        key.write_bytes(side.front.key.read_bytes())
        ca.write_bytes(b"".join(one.authority.ca.read_bytes() for one in trusted))

    def crossings():
        return sum(weir.metric("pgweir_crossings_total", what=what) for what in ("returned_server", "idle_server"))

    def replace(before, after):
        write(after, before, after)
        weir.reload(**settings)
        present(tls_postgres, after)
        write(after, after)
        weir.reload(**settings)
        crossed = crossings()
        wait_until(lambda: crossings() > crossed, what="a server to cross")
        weir.console("RECONNECT")
        with weir.connect(host="localhost", sslmode="verify-full", sslrootcert=after.authority.ca) as connection:
            assert is_encrypted(connection)

    present(tls_postgres, sides[0])
    write(sides[0], sides[0])
    weir.start(**settings)
    is_over, troubles = threading.Event(), []

    def ask():
        try:
            with psycopg.connect(weir.dsn(host="localhost", sslmode="require"), autocommit=True) as connection:
                while not is_over.is_set():
                    assert connection.execute("SELECT pg_sleep(0.001), 'here'").fetchone()[1] == "here"
        except (psycopg.Error, AssertionError) as error:
            troubles.append(error)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    each(threads).start()
    try:
        wait_until(crossings, what="a server to cross")
        replace(*sides)
        replace(*reversed(sides))
    finally:
        is_over.set()
        each(threads).join()
        present(tls_postgres, sides[0])
    assert not troubles


def present(cluster, side):
    """It shows that certificate from now on."""
    def is_shown():
        try:
            psycopg.connect(f"host=localhost port={cluster.port} user=encrypted dbname=postgres sslmode=verify-full "
                            f"sslrootcert={side.authority.ca}").close()
            return True
        except psycopg.OperationalError:
            return False

    own_file(cluster, side.back.certificate, "server.crt")
    own_file(cluster, side.back.key, "server.key")
    cluster.query("SELECT pg_reload_conf()")
    wait_until(is_shown, what="PostgreSQL to show its new certificate")


def works(connection):
    try:
        return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


# --- servers that speak TLS in ways PostgreSQL 15 does not ---

class TlsServer(FakeServer):
    """Behind TLS, ahead of which it talks as before(conn) does."""

    def __init__(self, context, is_direct=False, before=lambda conn: conn.send(b"S")):
        self.context, self.is_direct, self.before = context, is_direct, before
        self.reused, self.names = [], []
        context.sni_callback = lambda sock, name, ctx: self.names.append(name)
        super().__init__(self._behind_tls)
        self.answer = lambda conn, kind, body: b"'long'" in body

    def _behind_tls(self, conn):
        if not self.is_direct:
            if conn.read_bytes(8) != rawwire.ssl_request():
                return
            self.before(conn)
        try:
            conn.sock = self.context.wrap_socket(conn.sock, server_side=True)
        except OSError as failed:           # an SSLError is one
            raise Gone(str(failed)) from failed
        self.reused.append(conn.sock.session_reused)
        conn.login()
        conn.serve()


def last_words(answer):
    def before(conn):
        conn.send(answer)
        raise Gone("said")
    return before


@pytest.fixture
def tls_server(authority):
    made = authority.issue("fake", "/CN=localhost", "DNS:localhost")
    servers = []

    def start(alpn=None, **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.certificate, made.key)
        if alpn:
            context.set_alpn_protocols(alpn)
        servers.append(TlsServer(context, **options))
        return servers[-1]
    yield start
    each(servers).close()


def fetch(weir):
    wire = weir.raw()
    wire.send(query("SELECT 1"))
    return [reply.row for reply in wire.read_until("Z") if reply.type == "D"]


def test_direct_tls(weir, tls_server, authority):
    server = tls_server(["postgresql"], is_direct=True)
    weir.start(None, f"host=localhost port={server.port} sslmode=verify-full sslrootcert={authority.ca} "
                     "sslnegotiation=direct")
    assert fetch(weir) == [[b"fake"]]
    assert server.names[0] == "localhost"


def test_direct_tls_with_something_else(weir, tls_server):
    server = tls_server(None, is_direct=True)
    weir.start(None, f"host=localhost port={server.port} sslmode=require sslnegotiation=direct")
    with pytest.raises(psycopg.OperationalError, match="ALPN"):
        weir.connect()


def test_a_cancel_goes_through_tls(weir, tls_server, authority):
    """PostgreSQL would take it in the clear, too."""
    server = tls_server()
    weir.start(None, f"host=localhost port={server.port} sslmode=verify-full sslrootcert={authority.ca}")
    with weir.raw() as wire:
        wire.send(query("SELECT 'long'"))
        wait_until(lambda: weir.pool()["sv_active"] == 1)
        assert send_cancel(weir.address, wire.key) == b""
        wait_until(lambda: server.cancels, what="a cancel within TLS")


def test_sni_can_be_left_out(weir, tls_server):
    server = tls_server()
    weir.start(None, f"host=localhost port={server.port} sslmode=require sslsni=0")
    assert fetch(weir) == [[b"fake"]]
    assert set(server.names) == {None}


def test_sessions_are_resumed(weir, tls_server, authority):
    server = tls_server()
    weir.start(None, f"host=localhost port={server.port} sslmode=verify-full sslrootcert={authority.ca}")
    assert fetch(weir) == [[b"fake"]]
    weir.console("RECONNECT")
    wait_until(lambda: not weir.console("SHOW SERVERS"))
    assert fetch(weir) == [[b"fake"]]
    assert server.reused == [False, True]
    assert weir.metric("pgweir_tls_handshakes_total", side="server", result="resumed") == 1


TOO_MANY = fakeserver.error("53300", "sorry, too many clients already", "FATAL")


@pytest.mark.parametrize("sslmode, answer, words", [
    ("require", b"N" + fakeserver.auth(0), "before pgweir's startup packet"),
    ("require", b"X", "unknown answer"),
    ("require", TOO_MANY, "answered the request for TLS with an error"),
    ("require", b"", "closed the connection"),
    ("prefer", TOO_MANY, "too many clients"),
])
def test_other_answers(weir, tls_server, sslmode, answer, words):
    server = tls_server(before=last_words(answer))
    weir.start(None, f"host=localhost port={server.port} sslmode={sslmode}", pool_timeout="2s")
    with pytest.raises(psycopg.OperationalError, match=words):
        weir.connect()


def test_a_server_that_stops_during_the_handshake_is_waited_for(weir, tls_server):
    """As one that stops during the login is."""
    handshakes = []

    def before(conn):
        handshakes.append(conn)
        conn.send(b"S")
        if len(handshakes) == 1:
            conn.read_bytes(5)              # the beginning of pgweir's
            raise Gone("stopped")

    server = tls_server(before=before)
    weir.start(None, f"host=localhost port={server.port} sslmode=require", on_outage="hold")
    with weir.raw() as wire:
        assert wire.query("SELECT 1") == [["fake"]]
    assert len(handshakes) > 1


def test_prefer_goes_on_in_the_clear_after_a_failed_handshake(weir, fake):
    """Like libpq: a server whose TLS is broken, but that would do without."""
    tries = []

    def script(conn):
        first = conn.read_bytes(8)
        tries.append(first == rawwire.ssl_request())
        if tries[-1]:
            conn.send(b"S")
            conn.read_bytes(10)
            conn.send(b"this is not TLS")
            return
        conn.buffer = first + conn.buffer
        conn.login()
        conn.serve()

    fake.script = script
    weir.start(None, fake.upstream + " sslmode=prefer")
    assert fetch(weir) == [[b"fake"]]
    assert tries[:2] == [True, False]


def test_users_are_looked_up_over_tls(weir, secured, tls_postgres, authority):
    weir.users = {"admin": "admin-secret"}
    tls_postgres.query("GRANT SELECT ON pg_catalog.pg_authid TO encrypted")
    secured({"auth": {"method": "scram-sha-256", "auth_query": "builtin", "auth_user": "encrypted"}},
            sslmode="verify-full", sslrootcert=authority.ca)
    with weir.raw("scramuser", password="scram-secret") as wire:
        assert wire.value("SELECT current_user") == "scramuser"
    assert tls_postgres.value("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                              "WHERE usename = 'encrypted'") is True
