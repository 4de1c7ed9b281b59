"""method = gss, and rules with gss: tickets of a real Kerberos realm."""

import os
import subprocess

import pytest

import rawwire
from kerberos import Realm
from rawwire import Wire, message, startup
from weir import is_built_with

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.needs("krb5kdc", "kinit"),
              pytest.mark.skipif(not is_built_with("libgssapi_krb5"), reason="built without libgssapi_krb5")]


@pytest.fixture(scope="module")
def realm(tmp_path_factory):
    made = Realm(tmp_path_factory.mktemp("kdc") / "realm", ("web", "reporting"))
    try:
        yield made
    finally:
        made.stop()


def start(weir, realm, options="include_realm=0 krb_realm=EXAMPLE.NET", rules="", run=None, environment=None, **settings):
    """rules come before that of options."""
    hba = weir.directory / "hba.conf"
    hba.write_text(f"host pgweir admin 127.0.0.1/32 trust\n{rules}host all all 127.0.0.1/32 gss krb_server_keyfile={realm.keytab} "
                   f"{options}\n", encoding="utf-8")
    (run or weir.start)(method="hba", hba_file=hba, environment={**realm.environment(), **(environment or {})}, **settings)


def psql(weir, realm, cache, user="web", sql="SELECT current_user", **words):
    """As a person does it."""
    words = {"host": "localhost", "hostaddr": weir.address[0], "port": weir.address[1], "user": user, "dbname": "app",
             "sslmode": "disable", **words}
    return subprocess.run(["psql", "-XAtw", "-c", sql, " ".join(f"{key}={value}" for key, value in words.items())],
                          env={**os.environ, **realm.environment(cache), "PGPASSFILE": "/nowhere"}, text=True, capture_output=True,
                          check=False)


class Refused(Exception):
    """The error that ended a login."""


def log_in(weir, client, user="web", database="app"):
    """With the tokens of a client. Returns the connection and the codes of authentication that came."""
    wire = weir.keep(Wire(weir.address))
    wire.send(startup(user, database))
    codes = []
    while True:
        reply = wire.read()
        if reply.type == "E":
            raise Refused(reply.error["C"], reply.error["M"])
        if reply.type == "Z":
            return wire, codes
        if reply.type != "R":
            continue
        code = int.from_bytes(reply.body[:4], "big")
        codes.append(code)
        token = client.token(reply.body[4:] or None) if code in (7, 8) else None
        if token is not None:
            wire.send(message("p", token))


def test_a_ticket_logs_in(weir, realm):
    start(weir, realm)
    cache = realm.tickets()
    done = psql(weir, realm, cache)
    assert (done.returncode, done.stdout) == (0, "web\n"), done.stderr
    done = psql(weir, realm, cache, user="reporting")
    assert done.returncode != 0 and 'GSSAPI authentication failed for user "reporting"' in done.stderr
    assert weir.metric("pgweir_client_logins_total", method="gss", result="ok") == 1
    assert weir.metric("pgweir_client_logins_total", method="gss", result="bad_password") == 1
    weir.wait_log('GSSAPI: "web" may not log in as "reporting"')


@pytest.mark.parametrize("flags, codes", [("", [7, 8, 0]), ("one_way", [7, 0]), ("spnego", [7, 8, 0])])
def test_what_is_said(weir, realm, flags, codes):
    start(weir, realm)
    with realm.client(realm.tickets(), flags=flags) as client:
        wire, said = log_in(weir, client)
        assert said == codes
        assert wire.value("SELECT current_user") == "web"
