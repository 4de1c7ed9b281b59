"""SCRAM-SHA-256-PLUS: logins bound to their TLS connection, as libpq and PostgreSQL do it."""

import hashlib
import os
import shutil
import ssl
import struct
import subprocess

import psycopg2
import pytest

import rawwire
from fakeserver import auth, interceptor
from postgres import Postgres
from rawwire import Scram, message, scram_verifier, startup

pytestmark = pytest.mark.own_transport

ALGORITHMS = {
    "RSA with SHA-256": ("rsa:2048", "sha256", hashlib.sha256),
    "RSA with SHA-512": ("rsa:2048", "sha512", hashlib.sha512),
    "RSA with SHA-1, for which it is SHA-256": ("rsa:2048", "sha1", hashlib.sha256),
    "ECDSA with SHA-384": ("ec", "sha384", hashlib.sha384),
    "Ed25519, which has none": ("ed25519", None, None),
}


def make_certificate(directory, name="server", algorithm="rsa:2048", digest="sha256"):
    """(certificate's path, key's path)"""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", algorithm, "-nodes", "-days", "2", "-subj", "/CN=localhost",
               "-keyout", key, "-out", certificate]
    command += ["-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "ec" else []
    command += [f"-{digest}"] if digest else []
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def tls_wire(weir):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return weir.wire().start_tls(context)


def end_point(wire, digest=hashlib.sha256):
    """tls-server-end-point, as seen from the client's end."""
    return digest(wire.sock.getpeercert(binary_form=True)).digest()


@pytest.fixture
def tls_weir(weir):
    """Starts pgweir with a certificate; everybody logs in by SCRAM."""
    def start(algorithm="rsa:2048", digest="sha256", **settings):
        certificate, key = make_certificate(weir.directory, "server", algorithm, digest)
        weir.start({"tls_client": {"mode": "prefer", "certificate_file": certificate, "key_file": key}},
                   method="scram-sha-256", **settings)
        return weir
    return start


def offered(wire, user="web"):
    wire.send(startup(user))
    reply = wire.read()
    assert reply.type == "R" and struct.unpack_from("!i", reply.body)[0] == 10
    return reply.body[4:].split(b"\0")[:-2]


# --- clients to pgweir ---

@pytest.mark.weir_only
@pytest.mark.parametrize("stored", ["web-secret", scram_verifier("web-secret")], ids=["plain", "verifier"])
@pytest.mark.parametrize("binding", ["require", "prefer", "disable"])
def test_libpq_binds_its_login(tls_weir, binding, stored):
    weir = tls_weir()
    weir.users["web"] = stored
    weir.write_users()
    weir.reload(weir.config, method="scram-sha-256")
    words = {"password": "web-secret", "sslmode": "require", "channel_binding": binding}
    with psycopg2.connect(weir.dsn(**words)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("web",)
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(weir.dsn(**{**words, "password": "wrong"}))


@pytest.mark.weir_only
@pytest.mark.parametrize("algorithm, digest, bound_by", ALGORITHMS.values(), ids=ALGORITHMS.keys())
def test_what_a_login_is_bound_to_is_the_certificates_hash(tls_weir, algorithm, digest, bound_by):
    weir = tls_weir(algorithm, digest)
    with tls_wire(weir) as wire:
        if bound_by is None:
            assert offered(wire) == [b"SCRAM-SHA-256"]
            return
        assert offered(wire) == [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"]
        scram = Scram("web-secret", gs2="p=tls-server-end-point,,", binding=end_point(wire, bound_by))
        wire.send(scram.initial_response("SCRAM-SHA-256-PLUS"))
        wire.send(scram.final_response(wire.read().body[4:]))
        assert wire.read().body[4:] == scram.expected_final
    psycopg2.connect(weir.dsn(password="web-secret", sslmode="require", channel_binding="require")).close()


@pytest.mark.weir_only
def test_without_tls_nothing_is_bound(tls_weir):
    weir = tls_weir()
    with weir.wire() as wire:
        assert offered(wire) == [b"SCRAM-SHA-256"]
    with pytest.raises(psycopg2.OperationalError, match="channel binding"):
        psycopg2.connect(weir.dsn(password="web-secret", channel_binding="require"))


REFUSALS = {
    "a downgrade: the client thinks there is no PLUS": ("SCRAM-SHA-256", "y,,", None, "28000", "negotiation error"),
    "a man in the middle": ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", b"x" * 32, "28000", "check failed"),
    "no binding": ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", b"", "28000", "check failed"),
    "PLUS without its flag": ("SCRAM-SHA-256-PLUS", "n,,", None, "08P01", "malformed"),
    "the flag without PLUS": ("SCRAM-SHA-256", "p=tls-server-end-point,,", None, "08P01", "malformed"),
    "another type": ("SCRAM-SHA-256-PLUS", "p=tls-unique,,", None, "08P01", "unsupported SCRAM channel-binding type"),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.weir_only
@pytest.mark.parametrize("user", ["web", "nobody_here"])
@pytest.mark.parametrize("mechanism, gs2, binding, sqlstate, said", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_binding_that_is_wrong_is_refused(tls_weir, user, mechanism, gs2, binding, sqlstate, said):
    weir = tls_weir()
    with tls_wire(weir) as wire:
        offered(wire, user)
        scram = Scram("web-secret", gs2=gs2, binding=end_point(wire) if binding is None else binding)
        wire.send(scram.initial_response(mechanism))
        reply = wire.read()
        if reply.type == "R":
            wire.send(scram.final_response(reply.body[4:]))
            reply = wire.read()
        assert reply.type == "E" and reply.sqlstate == sqlstate and said in reply.error["M"], reply.error


@pytest.mark.weir_only
def test_a_client_that_cannot_bind_may_come_in(tls_weir):
    weir = tls_weir()
    with tls_wire(weir) as wire:
        wire.login(password="web-secret")              # "n,,"
        assert wire.value("SELECT current_user") == "web"


@pytest.mark.weir_only
def test_a_bound_login_without_initial_data(tls_weir):
    weir = tls_weir()
    with tls_wire(weir) as wire:
        offered(wire)
        scram = Scram("web-secret", gs2="p=tls-server-end-point,,", binding=end_point(wire))
        wire.send(message("p", b"SCRAM-SHA-256-PLUS\0" + struct.pack("!i", -1)))
        assert wire.read().body == struct.pack("!i", 11)
        wire.send(message("p", (scram.gs2 + scram.client_first_bare).encode()))
        wire.send(scram.final_response(wire.read().body[4:]))
        assert wire.read().body[4:] == scram.expected_final


@pytest.mark.weir_only
def test_keys_learnt_from_a_bound_login_open_the_server(tls_weir, postgres):
    weir = tls_weir()
    weir.users["scramuser"] = postgres.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'")
    weir.reload(weir.config, method="scram-sha-256")
    with psycopg2.connect(weir.dsn("scramuser", password="scram-secret", sslmode="require",
                                   channel_binding="require")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("scramuser",)
    connection.close()


# --- pgweir to PostgreSQL ---

@pytest.fixture(scope="module")
def tls_postgres(tmp_path_factory):
    """A cluster with a certificate; scramuser logs in by SCRAM, md5user by md5, everybody else by trust."""
    cluster = Postgres()
    made = make_certificate(tmp_path_factory.mktemp("scram-plus"))
    owner = os.stat(cluster.data)
    for source, name in zip(made, ("server.crt", "server.key")):
        shutil.copy(source, cluster.data / name)
        os.chown(cluster.data / name, owner.st_uid, owner.st_gid)
        os.chmod(cluster.data / name, 0o600)
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write("ssl = on\n")
    cluster.stop()
    cluster.start()
    yield cluster
    cluster.destroy()


def refusal(weir, user):
    with pytest.raises(rawwire.WireError) as refused:
        weir.raw(user).query("SELECT 1")
    return refused.value.reply.error


@pytest.mark.weir_only
@pytest.mark.parametrize("binding", ["require", "prefer", "disable"])
def test_pgweir_binds_its_login(weir, tls_postgres, binding):
    weir.start(upstream=f"host=127.0.0.1 port={tls_postgres.port} sslmode=require channel_binding={binding}")
    with weir.raw("scramuser") as wire:
        assert wire.value("SELECT current_user") == "scramuser"
        assert wire.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t"


@pytest.mark.weir_only
def test_keys_learnt_from_a_client_are_bound_too(weir, tls_postgres):
    weir.users["scramuser"] = tls_postgres.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'")
    weir.start(upstream=f"host=127.0.0.1 port={tls_postgres.port} sslmode=require channel_binding=require",
               method="scram-sha-256")
    with weir.wire().login("scramuser", password="scram-secret") as wire:
        assert wire.value("SELECT current_user") == "scramuser"


@pytest.mark.weir_only
@pytest.mark.parametrize("user, said", [("web", "let pgweir in without it"), ("md5user", "asks for something else"),
                                        ("plainuser", "asks for something else")])
def test_nothing_but_a_bound_login_will_do_where_it_is_required(weir, tls_postgres, user, said):
    weir.start(upstream=f"host=127.0.0.1 port={tls_postgres.port} sslmode=require channel_binding=require")
    fields = refusal(weir, user)
    assert fields["C"] == "28000" and "channel binding is required" in fields["M"] and said in fields["M"], fields


@pytest.mark.weir_only
def test_binding_is_required_and_there_is_no_tls(weir, postgres):
    weir.start(upstream=f"host=127.0.0.1 port={postgres.port} channel_binding=require")
    fields = refusal(weir, "scramuser")
    assert fields["C"] == "28000" and "channel binding is required" in fields["M"], fields


def without_plus(data):
    offer = auth(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
    return data.replace(offer, auth(10, b"SCRAM-SHA-256\0\0"))


@pytest.mark.weir_only
@pytest.mark.parametrize("change, binding, said", [
    (lambda data: data, "prefer", "SCRAM channel binding check failed"),
    (without_plus, "prefer", "SCRAM channel binding negotiation error"),
    (without_plus, "require", "the server does not offer it"),
], ids=["with another certificate", "who takes PLUS off", "who takes PLUS off where it is required"])
def test_a_man_in_the_middle_is_found_out(weir, tls_postgres, tmp_path, change, binding, said):
    """sslmode=require does not look at the certificate: only the binding tells."""
    with interceptor(tls_postgres.port, *make_certificate(tmp_path, "his"), change) as man:
        weir.start(upstream=f"host=127.0.0.1 port={man.port} sslmode=require channel_binding={binding}")
        assert said in refusal(weir, "scramuser")["M"]


@pytest.mark.weir_only
def test_a_man_in_the_middle_gets_through_where_nothing_is_bound(weir, tls_postgres, tmp_path):
    """The tests above fail for the reason they name."""
    with interceptor(tls_postgres.port, *make_certificate(tmp_path, "his")) as man:
        weir.start(upstream=f"host=127.0.0.1 port={man.port} sslmode=require channel_binding=disable")
        assert weir.raw("scramuser").value("SELECT current_user") == "scramuser"


@pytest.mark.weir_only
def test_plus_is_offered_in_the_clear(weir, fake):
    """By whoever ends TLS in between, or lies: nothing is sent."""
    seen = []

    def script(conn):
        conn.read_startup()
        conn.send(auth(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
        seen.append(conn.sock.recv(1000))

    fake.script = script
    weir.start(upstream=fake.upstream + " sslmode=disable")
    assert "without TLS" in refusal(weir, "scramuser")["M"]
    weir.wait_until(lambda: seen)
    assert seen == [b""]
