"""openssl s_client -starttls postgres, the tool people look with: what it verifies, agrees on and resumes."""

import os
import re
import subprocess

import pytest

from authority import Authority
from waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


@pytest.fixture(scope="session")
def listener(authority):
    return authority.issue("s_client", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture
def tls(weir, listener):
    def start(**more):
        weir.start({"tls_client": {"certificate_file": listener.certificate, "key_file": listener.key, **more}})
        return weir
    return start


@pytest.fixture
def s_client(weir):
    """Runs it until its input ends: (exit code, all it said)."""
    def run(*words, starttls=True, text=""):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{weir.port}",
                   *(["-starttls", "postgres"] if starttls else []), *map(str, words)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30 * SLOWNESS, check=False,
                              env={**os.environ, "LC_ALL": "C"})
        return done.returncode, done.stdout + done.stderr
    return run


def cipher(said):
    """("TLSv1.3", "TLS_AES_256_GCM_SHA384")"""
    return re.search(r"New, (\S+), Cipher is (\S+)", said).groups()


@pytest.mark.parametrize("words", [
    ["-servername", "localhost", "-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-noservername"],
], ids=["name", "address", "no SNI"])
def test_it_verifies(tls, s_client, authority, words):
    tls()
    code, said = s_client("-CAfile", authority.ca, "-verify_return_error", *words)
    assert code == 0, said
    assert "Verification: OK" in said and "Verify return code: 0 (ok)" in said
    assert cipher(said) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert re.search(r"subject=CN ?= ?localhost\b", said)


@pytest.mark.parametrize("words, why", [
    (["-CAfile", "OTHER"], "unable to get (local )?issuer certificate|unable to verify"),
    (["-CAfile", "CA", "-verify_hostname", "db.example.org"], "hostname mismatch"),
    (["-CAfile", "CA", "-verify_ip", "127.0.0.2"], "IP address mismatch"),
], ids=["authority", "name", "address"])
def test_it_refuses(tls, s_client, authority, tmp_path, words, why):
    tls()
    files = {"CA": authority.ca, "OTHER": Authority(tmp_path / "other", "Other").ca}
    code, said = s_client("-verify_return_error", *(files.get(word, word) for word in words))
    assert code == 1 and re.search(why, said, re.I), said
    assert "Verification: OK" not in said


@pytest.mark.parametrize("version, wanted", [("1_2", "TLSv1.2"), ("1_3", "TLSv1.3")])
def test_versions(tls, s_client, authority, version, wanted):
    tls()
    code, said = s_client(f"-tls{version}", "-CAfile", authority.ca, "-verify_return_error")
    assert code == 0 and cipher(said)[0] == wanted, said
    assert "Secure Renegotiation IS supported" in said or wanted == "TLSv1.3"


@pytest.mark.parametrize("version", ["1", "1_1"])
def test_old_versions(tls, s_client, version):
    tls()
    code, said = s_client(f"-tls{version}", "-cipher", "ALL:@SECLEVEL=0")
    assert code == 1 and re.search("protocol version|alert|no protocols", said), said


def test_only_the_newest(tls, s_client):
    tls(min_version="1.3")
    assert s_client("-tls1_2")[0] == 1
    assert s_client("-tls1_3")[0] == 0


@pytest.mark.parametrize("starttls", [True, False], ids=["asked for", "direct"])
def test_alpn(tls, s_client, authority, starttls):
    tls()
    words = ["-CAfile", authority.ca, "-verify_return_error"]
    code, said = s_client(*words, "-alpn", "postgresql", starttls=starttls)
    assert code == 0 and "ALPN protocol: postgresql" in said, said
    code, said = s_client(*words, "-alpn", "h2,http/1.1", starttls=starttls)
    assert code == 1 and "no application protocol" in said and "ALPN protocol" not in said, said


def test_no_alpn_no_answer_about_it(tls, s_client):
    tls()
    assert "No ALPN negotiated" in s_client()[1]


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_a_session_is_resumed(tls, authority, tmp_path, version):
    weir = tls()
    session = tmp_path / "session.pem"
    words = [f"-tls{version}", "-CAfile", str(authority.ca), "-verify_return_error"]

    def visit(*more):
        """A TLS 1.3 ticket comes behind the handshake: s_client stays until it has it."""
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{weir.port}", "-starttls", "postgres", *words, *more]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True) as process:
            if "-sess_out" in more:
                wait_until(lambda: session.exists() and session.stat().st_size > 0, what="a ticket")
            said, _ = process.communicate("", timeout=20 * SLOWNESS)
            assert process.returncode == 0, said
            return said
    assert "New, TLSv" in visit("-sess_out", str(session))
    assert "Reused, TLSv" in visit("-sess_in", str(session))
    assert weir.metric("pgweir_tls_handshakes_total", side="client", result="resumed") == 1


def test_a_session_of_another_certificate_is_not_resumed(tls, weir, s_client, authority, tmp_path):
    """Else who resumes would never see the new one."""
    tls()
    session = tmp_path / "session.pem"
    s_client("-tls1_2", "-CAfile", authority.ca, "-sess_out", session)
    assert "Reused, TLSv1.2" in s_client("-tls1_2", "-CAfile", authority.ca, "-sess_in", session)[1]
    made = authority.issue("successor", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
    weir.reload({"tls_client": {"certificate_file": made.certificate, "key_file": made.key}})
    code, said = s_client("-tls1_2", "-CAfile", authority.ca, "-verify_return_error", "-sess_in", session)
    assert code == 0 and "New, TLSv1.2" in said and "Verify return code: 0 (ok)" in said, said


def test_the_name_chooses(weir, s_client, authority, listener):
    other = authority.issue("s_client_other", "/CN=db.example.org", "DNS:db.example.org,DNS:*.pool.example.org")
    weir.start({"tls_client": {"certificate_file": f"{listener.certificate}, {other.certificate}",
                               "key_file": f"{listener.key}, {other.key}"}})
    for name, wanted in (("db.example.org", "db.example.org"), ("x.pool.example.org", "db.example.org"),
                         ("x.y.pool.example.org", "localhost"), ("DB.EXAMPLE.ORG", "db.example.org"),
                         ("localhost", "localhost"), ("nobody.example.com", "localhost")):
        code, said = s_client("-servername", name, "-CAfile", authority.ca, "-verify_return_error")
        assert code == 0 and re.search(rf"subject=CN ?= ?{re.escape(wanted)}$", said, re.M), (name, said)


def test_a_client_certificate_is_asked_for(tls, s_client, authority):
    made = authority.issue("s_client_web", "/CN=web")
    tls(mode="verify-ca", ca_file=authority.ca)
    words = ["-tls1_2", "-CAfile", authority.ca, "-verify_return_error"]
    code, said = s_client(*words, "-cert", made.certificate, "-key", made.key)
    assert code == 0 and "Acceptable client certificate CA names\nCN = Test CA" in said, said
    code, said = s_client(*words)
    assert code == 1 and re.search("handshake failure|certificate required", said), said


@pytest.mark.parametrize("chain", [True, False], ids=["with the intermediate", "without"])
def test_a_chain(weir, s_client, authority, tmp_path, chain):
    """The intermediate's certificate stands behind ours in certificate_file."""
    made = chained(authority, tmp_path)
    file = tmp_path / "chain.pem"
    file.write_bytes(made["leaf"].read_bytes() + (made["middle"].read_bytes() if chain else b""))
    weir.start({"tls_client": {"certificate_file": file, "key_file": made["key"]}})
    code, said = s_client("-CAfile", authority.ca, "-verify_return_error")
    assert (code == 0) is chain, said


def chained(authority, directory):
    """A certificate signed by one whom the authority has signed."""
    from authority import run
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    paths = {name: directory / f"{name}.pem" for name in ("middle", "leaf")}
    extensions = {"middle": "basicConstraints=critical,CA:TRUE\n",
                  "leaf": "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"}
    signer = (authority.ca, authority.directory / "ca.key")
    for serial, name in enumerate(("middle", "leaf"), 5000):
        key, request, ext = (directory / f"{name}.{kind}" for kind in ("key", "csr", "ext"))
        run("req", "-new", "-nodes", "-subj", f"/CN={name}", *curve, "-keyout", key, "-out", request)
        ext.write_text(extensions[name], encoding="utf-8")
        run("x509", "-req", "-in", request, "-CA", signer[0], "-CAkey", signer[1], "-set_serial", serial, "-days", 30,
            "-sha256", "-extfile", ext, "-out", paths[name])
        key.chmod(0o600)
        signer = (paths[name], key)
    return {**paths, "key": directory / "leaf.key"}
