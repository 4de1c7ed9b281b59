"""TLS with clients: who gets it, what is refused, what it must not let through, and what a reload does to it."""

import ctypes
import platform
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import suppress

import psycopg
import pytest

import rawwire
from rawwire import WireClosed, WireError, errors, query
from waiting import SLOWNESS, each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


@pytest.fixture(scope="session")
def server_certificate(authority):
    return authority.issue("server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1", key="rsa")


@pytest.fixture
def tls(weir, authority, server_certificate):
    """Starts pgweir with a certificate."""
    def start(**settings):
        sections = settings.pop("sections", None)
        return weir.start(sections, certificate_file=server_certificate.certificate, key_file=server_certificate.key,
                          **settings)
    return start


def context_for(authority, certificate=None, alpn=None, **versions):
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    if alpn:
        context.set_alpn_protocols(alpn)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


def connect(weir, authority, **words):
    words = {"sslmode": "verify-full", "sslrootcert": authority.ca, "host": "localhost", **words}
    return weir.connect(**words)


def rows(wire, sql):
    wire.send(query(sql))
    return [reply.row for reply in wire.read_until("Z") if reply.type == "D"]


# --- who gets it ---

def test_a_verifying_client_gets_tls(weir, tls, authority):
    tls()
    connection = connect(weir, authority)
    assert connection.pgconn.ssl_in_use
    assert connection.execute("SELECT 42").fetchone() == (42,)
    wait_until(lambda: weir.metric("pgweir_tls_handshakes_total", side="client", result="ok") == 1)
    assert weir.metric("pgweir_tls_certificate_not_after_timestamp_seconds") > time.time()


def test_without_a_certificate_the_answer_is_no(weir):
    weir.start()
    wire = weir.wire()
    wire.send(rawwire.ssl_request())
    assert wire.read_bytes(1) == b"N"
    wire.login()


def test_off_is_off(weir, tls):
    tls(sections={"tls_client": {"mode": "off"}})
    wire = weir.wire()
    wire.send(rawwire.ssl_request())
    assert wire.read_bytes(1) == b"N"


def test_prefer_takes_both(weir, tls, authority):
    tls()
    assert not weir.connect().pgconn.ssl_in_use
    assert connect(weir, authority).pgconn.ssl_in_use


def test_require_refuses_the_clear_and_says_what_to_do(weir, tls, authority, tmp_path):
    path = tmp_path / ".s.PGSQL.6432"
    tls(sections={"tls_client": {"mode": "require"}, "pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{path}"]}})
    wire = weir.wire()
    wire.send(rawwire.startup())
    refusal = wire.read()
    assert (refusal.type, refusal.sqlstate) == ("E", "28000")
    assert "sslmode=require" in refusal.error["H"]
    assert connect(weir, authority).execute("SELECT 1").fetchone() == (1,)
    rawwire.Wire(str(path)).login().close()          # nobody listens in on a Unix socket
    assert weir.metric("pgweir_client_logins_total", result="tls_required") == 1


def test_a_unix_socket_has_none(weir, tls, tmp_path):
    path = tmp_path / ".s.PGSQL.6432"
    tls(sections={"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{path}"]}})
    wire = rawwire.Wire(str(path))
    wire.send(rawwire.ssl_request())
    assert wire.read_bytes(1) == b"N"


# --- versions, names, resumption ---

@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_versions_that_are_taken(weir, tls, authority, version):
    tls()
    version = getattr(ssl.TLSVersion, version)
    wire = weir.wire().start_tls(context_for(authority, minimum_version=version, maximum_version=version))
    wire.login()
    assert rows(wire, "SELECT 1") == [[b"1"]]


def test_old_versions_are_refused(weir, tls, authority):
    tls(min_version="1.3")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        weir.wire().start_tls(context_for(authority, maximum_version=ssl.TLSVersion.TLSv1_2))
    weir.wire().start_tls(context_for(authority)).login()


def test_the_name_asked_for_chooses_the_certificate(weir, authority, server_certificate):
    other = authority.issue("other", "/CN=db.example.org", "DNS:db.example.org,DNS:*.pool.example.org")
    weir.start(certificate_file=f"{server_certificate.certificate}, {other.certificate}",
               key_file=f"{server_certificate.key}, {other.key}")
    for name, wanted in (("localhost", "localhost"), ("db.example.org", "db.example.org"),
                         ("acme.pool.example.org", "db.example.org"), ("unknown.example.com", "localhost")):
        wire = weir.wire().start_tls(context_for(authority), server_hostname=name)
        subject = dict(part[0] for part in wire.sock.getpeercert()["subject"])
        assert subject["commonName"] == wanted, name
        wire.login().close()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_session_is_resumed(weir, tls, authority, version):
    tls()
    version = getattr(ssl.TLSVersion, version)
    context = context_for(authority, minimum_version=version, maximum_version=version)
    first = weir.wire().start_tls(context, "localhost")
    first.login()
    assert not first.sock.session_reused
    second = weir.wire().start_tls(context, "localhost", session=first.sock.session)
    second.login()
    assert second.sock.session_reused
    assert rows(second, "SELECT 1") == [[b"1"]]
    assert weir.metric("pgweir_tls_handshakes_total", side="client", result="resumed") == 1


# --- direct TLS ---

def test_direct_tls(weir, tls, authority):
    tls()
    wire = weir.wire().start_tls(context_for(authority, alpn=["postgresql"]), is_direct=True)
    assert wire.sock.selected_alpn_protocol() == "postgresql"
    wire.login()
    assert rows(wire, "SELECT 1") == [[b"1"]]


def test_direct_tls_needs_alpn(weir, tls, authority):
    tls()
    wire = weir.wire().start_tls(context_for(authority), is_direct=True)
    wire.send(rawwire.startup())
    assert "ALPN" in wire.read().error["M"]
    with pytest.raises(WireClosed):
        wire.read()


@pytest.mark.parametrize("is_direct", [True, False])
def test_another_protocol_is_refused(weir, tls, authority, is_direct):
    tls()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        weir.wire().start_tls(context_for(authority, alpn=["http/1.1"]), is_direct=is_direct)


def test_direct_tls_without_a_certificate_of_ours(weir, authority):
    weir.start()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        weir.wire().start_tls(context_for(authority, alpn=["postgresql"]), is_direct=True)


# --- what must not get through ---

@pytest.mark.parametrize("injected", [rawwire.startup() + query("CREATE TABLE injected ()"), b"x", b"\x16\x03\1"],
                         ids=["a login", "a byte", "TLS"])
def test_bytes_in_the_clear_behind_an_ssl_request_end_it(weir, tls, injected):
    """CVE-2021-3935, CVE-2021-23214: somebody in between puts a login and a query ahead of the client's TLS."""
    tls()
    wire = weir.wire()
    wire.send(rawwire.ssl_request() + injected)
    refusal = wire.read()
    assert (refusal.type, refusal.sqlstate) == ("E", "08P01")
    assert "unencrypted data" in refusal.error["M"]
    with pytest.raises(WireError):
        wire.read()
    assert weir.postgres.query("SELECT to_regclass('injected') IS NULL") == [(True,)]


def test_bytes_in_the_clear_between_the_answer_and_tls_end_it(weir, tls, authority):
    tls()
    wire = weir.wire()
    wire.send(rawwire.ssl_request())
    assert wire.read_bytes(1) == b"S"
    wire.send(rawwire.startup() + query("SELECT 1"))
    with pytest.raises(WireClosed):
        wire.read()
    wait_until(lambda: weir.metric("pgweir_tls_handshakes_total", side="client", result="failed") == 1)


def test_no_second_encryption_within_tls(weir, tls, authority):
    tls()
    for request in (rawwire.ssl_request(), rawwire.gssenc_request()):
        wire = weir.wire().start_tls(context_for(authority))
        wire.send(request)
        assert wire.read().sqlstate == "08P01"


def test_gss_then_tls(weir, tls, authority):
    """libpq with a Kerberos ticket asks for GSSAPI first."""
    tls()
    wire = weir.wire()
    wire.send(rawwire.gssenc_request())
    assert wire.read_bytes(1) == b"N"
    wire.start_tls(context_for(authority)).login()
    assert rows(wire, "SELECT 1") == [[b"1"]]


def test_garbage_and_those_who_leave(weir, tls, authority):
    tls()
    before = weir.fd_count()
    hello = client_hello()
    for sent in (b"\x16", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"x" * 20000, b"\x16" + b"\0" * 200000, hello[:50],
                 hello, hello + b"\x14\x03\x03\x00\x01\x01" + b"garbage" * 30):
        for is_asked in (True, False):
            wire = weir.wire()
            if is_asked:
                wire.send(rawwire.ssl_request())
                assert wire.read_bytes(1) == b"S"
            with suppress(ConnectionError):
                wire.send(sent)
            wire.close()
    wait_until(lambda: weir.fd_count() <= before + 1, what="the descriptors to be given back")
    weir.wire().start_tls(context_for(authority)).login()


def client_hello(alpn=("postgresql",)):
    """The first flight of a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def test_a_handshake_byte_by_byte(weir, tls, authority):
    tls()
    context = context_for(authority)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaken = context.wrap_bio(incoming, outgoing)
    wire = weir.wire()
    wire.send(rawwire.ssl_request())
    assert wire.read_bytes(1) == b"S"
    while True:
        try:
            shaken.do_handshake()
            break
        except ssl.SSLWantReadError:
            wire.send_slowly(outgoing.read())
            incoming.write(wire.sock.recv(65536))
    shaken.write(rawwire.startup())
    wire.send_slowly(outgoing.read())
    got = b""
    while b"Z\0\0\0\x05I" not in got:
        incoming.write(wire.sock.recv(65536))
        with suppress(ssl.SSLWantReadError):
            while True:
                got += shaken.read(65536)


def test_a_slow_handshake_does_not_outlast_login_timeout(weir, tls):
    tls(login_timeout="500ms")
    begin = time.monotonic()
    wire = weir.wire()
    wire.send(rawwire.ssl_request())
    assert wire.read_bytes(1) == b"S"
    wire.send(client_hello()[:100])
    with pytest.raises(WireClosed):
        wire.read()
    assert 0.3 < time.monotonic() - begin < 3 * SLOWNESS


SHORT_SLICE_NS = 500_000            # base/priority.c


def slice_of(pid):
    """For how long the kernel lets a thread run at a time: sched_runtime of sched_getattr(2)."""
    attributes = ctypes.create_string_buffer(48)
    number = {"x86_64": 315, "aarch64": 275}[platform.machine()]
    assert ctypes.CDLL(None, use_errno=True).syscall(number, pid, attributes, 48, 0) == 0
    return struct.unpack_from("Q", attributes.raw, 24)[0]


def test_the_loop_preempts_others_only_while_helpers_work(weir, tls, authority):
    if platform.machine() not in ("x86_64", "aarch64") or slice_of(0) == 0:
        pytest.skip("this kernel has no slices of a thread's own")
    tls()
    pid = weir.process.pid
    wait_until(lambda: slice_of(pid) != SHORT_SLICE_NS, what="a loop in nobody's way")

    def is_short_after_a_handshake():
        connect(weir, authority).close()
        return slice_of(pid) == SHORT_SLICE_NS

    wait_until(is_short_after_a_handshake, what="a loop that goes before its helpers")
    wait_until(lambda: slice_of(pid) == slice_of(0), what="helpers to be idle")


# --- clients' certificates ---

@pytest.fixture(scope="session")
def client_certificate(authority):
    return authority.issue("web", "/O=Acme/CN=web", "DNS:web.example.org,email:web@example.org")


def test_verify_ca(weir, tls, authority, client_certificate, tmp_path):
    from authority import Authority
    stranger = Authority(tmp_path / "stranger", "Stranger").issue("web")
    tls(sections={"tls_client": {"mode": "verify-ca", "ca_file": authority.ca}})
    with pytest.raises(psycopg.OperationalError, match="certificate required|handshake failure|closed|reset"):
        connect(weir, authority)
    with pytest.raises(psycopg.OperationalError, match="unknown ca|closed|reset"):
        connect(weir, authority, sslcert=stranger.certificate, sslkey=stranger.key)
    connection = connect(weir, authority, sslcert=client_certificate.certificate, sslkey=client_certificate.key)
    assert connection.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: "certificate of the client was refused" in weir.log())


def test_a_revoked_certificate(weir, tls, authority, client_certificate):
    revoked = authority.issue("revoked", "/CN=web")
    authority.revoke(revoked)
    tls(sections={"tls_client": {"mode": "verify-ca", "ca_file": authority.ca, "crl_file": authority.crl}})
    connect(weir, authority, sslcert=client_certificate.certificate, sslkey=client_certificate.key)
    with pytest.raises(psycopg.OperationalError, match="revoked|closed|reset"):
        connect(weir, authority, sslcert=revoked.certificate, sslkey=revoked.key)
    wait_until(lambda: "certificate revoked" in weir.log())


# --- reload ---

def serial(weir, authority):
    wire = weir.wire().start_tls(context_for(authority))
    wire.login()
    return wire.sock.getpeercert()["serialNumber"]


def test_a_certificate_is_swapped_under_load(weir, authority, server_certificate, tmp_path):
    certificate, key = tmp_path / "now.pem", tmp_path / "now.key"
    following = authority.issue("following", "/CN=localhost", "DNS:localhost")
    shutil.copy(server_certificate.certificate, certificate)
    shutil.copy(server_certificate.key, key)
    weir.start(certificate_file=certificate, key_file=key)
    settled = weir.wire().start_tls(context_for(authority))
    settled.login()
    old = serial(weir, authority)
    stop, troubles, logins = threading.Event(), [], [0]

    def storm():
        while not stop.is_set():
            try:
                with psycopg.connect(weir.dsn(host="localhost", sslmode="verify-full", sslrootcert=authority.ca)) as c:
                    c.execute("SELECT 1")
                    logins[0] += 1
            except psycopg.Error as error:
                troubles.append(error)
                return

    threads = [threading.Thread(target=storm) for _ in range(4)]
    each(threads).start()
    wait_until(lambda: logins[0] > 20)
    for made in (following, server_certificate, following):
        shutil.copy(made.certificate, certificate)
        shutil.copy(made.key, key)
        weir.reload(certificate_file=certificate, key_file=key)
        seen = logins[0]
        wait_until(lambda: logins[0] > seen + 10)
    stop.set()
    each(threads).join()
    assert not troubles
    assert serial(weir, authority) != old
    assert rows(settled, "SELECT 1") == [[b"1"]]


def test_a_reload_with_a_bad_certificate_keeps_the_old_one(weir, tls, authority, tmp_path):
    tls()
    old = serial(weir, authority)
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate", encoding="utf-8")
    before = weir.metric("pgweir_config_reloads_total", result="failed")
    weir.configure(certificate_file=broken, key_file=broken)
    weir.write_config()
    weir.signal(1)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total", result="failed") > before)
    weir.wait_log("broken.pem")
    assert serial(weir, authority) == old


def test_a_key_that_does_not_fit_ends_the_start(weir, authority, server_certificate, client_certificate):
    weir.configure(certificate_file=server_certificate.certificate, key_file=client_certificate.key)
    weir.write_config()
    weir.launch([str(weir.ini)], wait=False)
    assert weir.wait_exit() == 1
    assert "web.key" in weir.log()


def test_a_key_with_a_passphrase_ends_the_start(weir, server_certificate, tmp_path):
    """Nobody is there to type it."""
    key = tmp_path / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", server_certificate.key, "-aes256", "-passout", "pass:secret", "-out", key], check=True)
    weir.configure(certificate_file=server_certificate.certificate, key_file=key)
    weir.write_config()
    weir.launch([str(weir.ini)], wait=False)
    assert weir.wait_exit() == 1
    assert "locked.key" in weir.log()


# --- the relay through it ---

def test_large_results_and_copies(weir, tls, authority):
    tls()
    connection = connect(weir, authority, autocommit=True)
    for size in (1, 16000, 16384, 16385, 70000, 1 << 20, 20 << 20):
        assert len(connection.execute("SELECT repeat('x', %s)", (size,)).fetchone()[0]) == size
    assert len(connection.execute("SELECT length(%s::text)", ("y" * (5 << 20),)).fetchone()) == 1
    connection.execute("CREATE TEMP TABLE lines (line text)")
    with connection.cursor().copy("COPY lines FROM STDIN") as copy:
        for _ in range(2000):
            copy.write("z" * 4000 + "\n")
    with connection.cursor().copy("COPY lines TO STDOUT") as copy:
        assert sum(len(data) for data in copy) == 2000 * 4001


def test_a_client_that_does_not_read(weir, tls, authority):
    tls()
    wire = weir.wire(receive_buffer=4096).start_tls(context_for(authority))
    wire.login()
    before = weir.memory_bytes()
    wire.send(query("SELECT repeat('x', 100000) FROM generate_series(1, 400)"))
    other = connect(weir, authority, autocommit=True)
    for _ in range(50):
        other.execute("SELECT 1")
    assert weir.memory_bytes() - before < 20 << 20
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)     # it reads now, and not byte by byte
    assert sum(len(reply.row[0]) for reply in wire.read_until("Z") if reply.type == "D") == 100000 * 400


def test_many_messages_in_one_record_and_one_message_in_many(weir, tls, authority):
    tls()
    wire = weir.wire().start_tls(context_for(authority))
    wire.login()
    wire.send(b"".join(query(f"SELECT {i}") for i in range(500)))
    replies = wire.read_until("Z", 500)
    assert [reply.row for reply in replies if reply.type == "D"] == [[str(i).encode()] for i in range(500)]
    for byte in query("SELECT 'slow'"):
        wire.send(bytes([byte]))
    assert [reply.row for reply in wire.read_until("Z") if reply.type == "D"] == [[b"slow"]]


@pytest.mark.parametrize("in_tls", [True, False], ids=["through TLS", "in the clear"])
def test_a_cancel_where_tls_is_required(weir, tls, authority, in_tls):
    """Older libpqs cancel in the clear only."""
    tls(sections={"tls_client": {"mode": "require"}})
    wire = weir.wire().start_tls(context_for(authority))
    wire.login()
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
    canceller = weir.wire()
    if in_tls:
        canceller.start_tls(context_for(authority))
    canceller.send(rawwire.cancel_request(wire.key))
    with pytest.raises(WireClosed):
        canceller.read()
    assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


def test_the_end_of_tls_is_the_end(weir, tls, authority):
    tls()
    wire = weir.wire().start_tls(context_for(authority))
    wire.login()
    wire.sock.setblocking(False)
    with suppress(ssl.SSLWantReadError, OSError):
        wire.sock.unwrap()          # close_notify, and the socket stays open
    wait_until(lambda: weir.metric("pgweir_client_connections", state="idle") == 0)


def test_we_say_good_bye(weir, tls, authority):
    tls()
    wire = weir.wire().start_tls(context_for(authority))
    wire.sock.suppress_ragged_eofs = False
    wire.login()
    wire.send(rawwire.terminate())
    assert wire.sock.recv(100) == b""               # close_notify: without one this raises SSLEOFError


def test_how_it_is_shown(weir, tls, authority):
    tls()
    connect(weir, authority)
    shown = [row["tls"] for row in weir.console("SHOW CLIENTS") if row["database"] == "app"]
    assert len(shown) == 1 and shown[0].startswith("TLSv1.3/TLS_AES_256_GCM_SHA384")


def test_check_config_looks_into_the_files(weir, authority, server_certificate, client_certificate):
    weir.configure({"tls_server": {"mode": "verify-ca", "ca_file": server_certificate.key}},
                   certificate_file=server_certificate.certificate, key_file=client_certificate.key)
    weir.write_config()
    done = subprocess.run([str(weir.binary), "--check-config", str(weir.ini)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1
    assert "web.key" in done.stderr and "server.key" in done.stderr and "2 errors" in done.stderr
