"""[http] tls_cert_file, tls_key_file, tls_client_ca_file: metrics and health over TLS."""

import contextlib
import socket
import ssl
import subprocess
import time

import pytest

from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.weir_only
PATIENCE = 10 * SLOWNESS
HTTP = "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(name="served", scope="module")
def served_fixture(authority):
    return authority.issue("metrics", alternatives="DNS:localhost,IP:127.0.0.1")


@pytest.fixture(name="scraper", scope="module")
def scraper_fixture(authority):
    return authority.issue("scraper")


def tls_section(made, ca=None):
    words = {"tls_cert_file": str(made.certificate), "tls_key_file": str(made.key)}
    return {"http": {**words, **({"tls_client_ca_file": str(ca)} if ca else {})}}


def start(weir, made, ca=None):
    return weir.start(tls_section(made, ca))


def reload(weir, sections):
    """Where /metrics can't be asked in the clear how often that was done."""
    said = weir.log().count("configuration reloaded")
    weir.reload(sections, wait=False)
    wait_until(lambda: weir.log().count("configuration reloaded") > said, what="the reload")


def context_for(authority, made=None, protocols=(), newest=None):
    context = ssl.create_default_context(cafile=str(authority.ca))
    if made:
        context.load_cert_chain(str(made.certificate), str(made.key))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if newest:
        context.maximum_version = newest
    return context


def plain(weir):
    return socket.create_connection((weir.host, weir.http_port), timeout=PATIENCE)


def read_all(sock):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts).decode(errors="replace")


def get(weir, context, path="/metrics"):
    with plain(weir) as sock, context.wrap_socket(sock, server_hostname="localhost") as tls:
        tls.sendall(HTTP.format(path).encode())
        return read_all(tls)


def is_served(weir, context):
    answer = get(weir, context)
    return answer.startswith("HTTP/1.1 200") and answer.count("pgweir_state{") == 4 and answer.endswith("\n")


@pytest.mark.parametrize("newest", [None, ssl.TLSVersion.TLSv1_2])
@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "http/1.1")])
def test_all_pages_are_served_over_tls(weir, authority, served, protocols, newest):
    start(weir, served)
    context = context_for(authority, protocols=protocols, newest=newest)
    assert is_served(weir, context)
    for path in "/healthz", "/readyz", "/":
        assert get(weir, context, path).startswith("HTTP/1.1 200"), path
    assert get(weir, context, "/nowhere").startswith("HTTP/1.1 404")


def test_a_connection_serves_several_requests(weir, authority, served):
    start(weir, served)
    with plain(weir) as sock, context_for(authority).wrap_socket(sock, server_hostname="localhost") as tls:
        for _ in range(3):
            tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b"ok" not in answer.lower().split(b"\r\n\r\n")[-1]:
                part = tls.recv(65536)
                assert part, answer
                answer += part
            assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.needs("curl", "promtool")
def test_curl_and_promtool(weir, authority, served, scraper):
    start(weir, served, ca=authority.ca)
    url = f"https://localhost:{weir.http_port}"
    curl = ["curl", "-sS", "--fail", "--cacert", authority.ca, "--connect-to", f"localhost:{weir.http_port}:{weir.host}:{weir.http_port}"]
    mutual = [*curl, "--cert", scraper.certificate, "--key", scraper.key]
    done = subprocess.run([*mutual, f"{url}/metrics"], capture_output=True, text=True, timeout=60, check=True)
    checked = subprocess.run(["promtool", "check", "metrics"], input=done.stdout, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
    assert subprocess.run([*mutual, f"{url}/healthz"], capture_output=True, timeout=60, check=True).stdout
    assert subprocess.run([*curl, f"{url}/healthz"], capture_output=True, timeout=60, check=False).returncode != 0


def test_a_client_without_a_certificate_of_these_authorities_is_refused(weir, authority, served, scraper, tmp_path):
    start(weir, served, ca=authority.ca)
    assert is_served(weir, context_for(authority, scraper))
    stranger = type(authority)(tmp_path / "others", "Others").issue("scraper")
    for context in context_for(authority), context_for(authority, stranger):
        for newest in ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2:
            context.maximum_version = newest
            with pytest.raises((ssl.SSLError, ConnectionError)):
                assert get(weir, context) == ""
                raise ConnectionResetError
    assert is_served(weir, context_for(authority, scraper))


def test_another_protocol_is_refused(weir, authority, served):
    start(weir, served)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        get(weir, context_for(authority, protocols=("postgresql",)))
    assert is_served(weir, context_for(authority))


NO_TLS = {"HTTP": HTTP.format("/metrics").encode(), "a long record": b"\x16\x03\x01\xff\xff" + b"\0" * 70000, "zeros": b"\0" * 100,
          "an end": b"\x80\x2e\x01"}


@pytest.mark.parametrize("kind", NO_TLS)
def test_who_speaks_no_tls_is_closed_at_once(weir, authority, served, kind):
    """Nothing of the metrics is sent in the clear."""
    bytes_sent = NO_TLS[kind]
    start(weir, served)
    began = time.monotonic()
    with plain(weir) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(bytes_sent)
        if kind == "an end":
            sock.shutdown(socket.SHUT_WR)
        answer = read_all(sock)
        assert "pgweir" not in answer
        assert answer.endswith("\r\n\r\nthis port speaks HTTPS\n") if kind == "HTTP" else "HTTP" not in answer
    assert time.monotonic() - began < 4 * SLOWNESS      # before the request's time is over
    assert is_served(weir, context_for(authority))


def test_what_fails_leaves_nothing(weir, authority, served):
    start(weir, served, ca=authority.ca)
    before = weir.fd_count()
    for i in range(120):
        with plain(weir) as sock, contextlib.suppress(ConnectionError, ssl.SSLError):
            if i % 2:
                sock.sendall(NO_TLS["zeros"])
                read_all(sock)
            else:                                       # it has no certificate
                with context_for(authority).wrap_socket(sock, server_hostname="localhost") as tls:
                    tls.sendall(HTTP.format("/metrics").encode())
                    read_all(tls)
    wait_until(lambda: weir.fd_count() <= before, what="the connections to be closed")


def test_half_a_handshake_keeps_nobody_waiting(weir, authority, served):
    """More of them than there are connections; each is closed when its time is over."""
    start(weir, served)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = context_for(authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    first = outgoing.read()
    with contextlib.ExitStack() as stack:
        halves = [stack.enter_context(plain(weir)) for _ in range(40)]
        for i, sock in enumerate(halves):
            with contextlib.suppress(ConnectionError):
                sock.sendall(first if i % 3 == 0 else first[:len(first) // 2] if i % 3 == 1 else b"")
        for _ in range(3):
            began = time.monotonic()
            assert is_served(weir, context_for(authority))
            assert time.monotonic() - began < 2 * SLOWNESS
        for sock in halves:
            read_all(sock)                              # to its end


@pytest.mark.reloads("http.tls_cert_file", "http.tls_key_file", "http.tls_client_ca_file")
def test_a_reload_brings_another_certificate_and_turns_tls_on_and_off(weir, authority, served, scraper, tmp_path):
    weir.start()
    assert weir.http("/metrics").status == 200
    reload(weir, tls_section(served))
    assert is_served(weir, context_for(authority))
    with plain(weir) as sock, context_for(authority).wrap_socket(sock, server_hostname="localhost") as kept:
        others = type(authority)(tmp_path / "others", "Others")
        fresh = others.issue("metrics", alternatives="DNS:localhost")
        reload(weir, tls_section(fresh))
        assert is_served(weir, context_for(others))
        with pytest.raises(ssl.SSLError):
            get(weir, context_for(authority))
        kept.sendall(HTTP.format("/healthz").encode())  # of before
        assert read_all(kept).startswith("HTTP/1.1 200")
    reload(weir, {"http": {"tls_cert_file": fresh.certificate, "tls_key_file": fresh.key, "tls_client_ca_file": authority.ca}})
    with pytest.raises((ssl.SSLError, ConnectionError)):
        assert get(weir, context_for(others)) == ""
        raise ConnectionResetError
    wait_until(lambda: is_served(weir, context_for(others, scraper)), what="the authority to count")
    weir.reload({"http": {"tls_cert_file": str(tmp_path / "gone.pem"), "tls_key_file": str(fresh.key)}}, wait=False)
    weir.wait_log("gone.pem")
    assert is_served(weir, context_for(others, scraper))      # the old configuration stays
    reload(weir, {"http": {}})
    assert weir.http("/metrics").status == 200


def test_a_restart_keeps_tls(weir, authority, served):
    start(weir, served)
    weir.restart()
    wait_until(lambda: is_served(weir, context_for(authority)), what="the successor to answer")


def test_pages_with_sql_ask_for_a_password_as_without_tls(weir, authority, served):
    weir.start({"http": {**tls_section(served)["http"], "auth_file": str(weir.users_file)}})
    assert get(weir, context_for(authority), "/api/v1/pools").startswith("HTTP/1.1 401")


@pytest.mark.parametrize("section, text", [
    ({"tls_cert_file": "a.pem"}, "tls_cert_file and tls_key_file must be set together"),
    ({"tls_key_file": "a.key"}, "tls_cert_file and tls_key_file must be set together"),
    ({"tls_client_ca_file": "ca.pem"}, "tls_client_ca_file needs tls_cert_file and tls_key_file"),
    ({"tls_cert_file": "/no/such.pem", "tls_key_file": "/no/such.key"}, "/no/such.pem")])
def test_mistakes_are_told(weir, section, text):
    weir.configure({"http": section})
    weir.write_config()
    done = subprocess.run([weir.binary, "--check-config", str(weir.ini)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and text in done.stdout + done.stderr
