"""Drivers through TLS, with verification on: that they get in, that they get through, and that they notice a lie.

drivers/tls/<driver>.<ext> connects as its environment says (libpq's names; sslmode=verify-full, SCRAM) and prints "ok
query", "ok prepared", "ok large" (8 MB in a row, 6 MB in rows) and, if the driver has one, "ok cancel"; or "refused: why"
and ends with 3. pgweir takes nobody in the clear here."""

import os
import re
import subprocess
import sys

import pg8000
import pytest

from authority import Authority
from fakeserver import interceptor
from rawwire import scram_verifier
from programs import check
from test_drivers import JDBC, cc, gobuild, javac, words_of
from waiting import SLOWNESS

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

PYTHON = [sys.executable, "-B", "{source}"]
BY_LIBPQ = {
    "libpq": ("libpq.c", cc, ["{out}/libpq"]),
    "psycopg3": ("psycopg_3.py", None, PYTHON),
    "psycopg2": ("psycopg_2.py", None, PYTHON),
    "pdo": ("pdo.php", None, ["php", "{source}"]),
    "ruby_pg": ("ruby_pg.rb", None, ["ruby", "{source}"]),
    "dbd_pg": ("dbd_pg.pl", None, ["perl", "{source}"]),
}
DRIVERS = {
    **BY_LIBPQ,
    "asyncpg_url": ("asyncpg_tls.py", None, PYTHON),
    "asyncpg_context": ("asyncpg_tls.py", None, [*PYTHON, "context"]),
    "node_pg": ("node_pg.js", None, ["node", "{source}"]),
    "postgres_js": ("postgres_js.js", None, ["node", "{source}"]),
    "prisma": ("prisma.js", None, ["node", "{source}"]),
    "jdbc": ("Tls.java", javac, ["java", "-cp", f"{{out}}:{JDBC}", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "Tls"]),
    "lib_pq": ("lib_pq.go", gobuild, ["{out}/lib_pq"]),
    "pgx": ("pgx.go", gobuild, ["{out}/pgx"]),
}
WITHOUT_CANCEL = {"pdo", "prisma"}
# Those whose cancels go through TLS too; the others' libraries send them in the clear.
WITH_TLS_CANCEL = {"asyncpg_url", "asyncpg_context", "postgres_js", "lib_pq"}
# How drivers say that they do not trust a certificate.
DISTRUST = re.compile(r"certificate|self.signed|unknown authority|PKIX|altnames|hostname|does not match|verif", re.I)


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    def words(driver):
        source, compiler, run = DRIVERS[driver]
        return words_of(tmp_path_factory, f"tls-{driver}", f"tls/{source}", compiler, run)
    return words


@pytest.fixture(scope="session")
def listener(authority):
    return authority.issue("drivers", "/CN=localhost", "DNS:localhost")


@pytest.fixture
def start(weir, listener):
    """pgweir, that takes passwords by SCRAM and nobody in the clear."""
    def starter(certificate=listener, method="scram-sha-256", **more):
        weir.start({"tls_client": {"mode": "require", "certificate_file": certificate.certificate,
                                   "key_file": certificate.key, **more}}, method=method)
        return weir
    return starter


def surroundings(weir, authority, **more):
    return {"PATH": os.environ["PATH"], "HOME": str(weir.directory), "LANG": "C.UTF-8", "TZ": "UTC",
            "PGHOST": "localhost", "PGPORT": str(weir.port), "PGUSER": "web", "PGPASSWORD": "web-secret",
            "PGDATABASE": "app", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(authority.ca),
            "PGCONNECT_TIMEOUT": str(round(10 * SLOWNESS)), **{key: str(value) for key, value in more.items()}}


def refusal(words, environment):
    """What a driver says that must not get in."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=50 * SLOWNESS, check=False, env=environment)
    assert done.returncode == 3 and "refused:" in done.stdout, done.stdout + done.stderr
    return done.stdout


def steps_of(driver):
    return [f"ok {step}" for step in ["query", "prepared", "large", "cancel"]
            if step != "cancel" or driver not in WITHOUT_CANCEL]


def logins(weir):
    return weir.metric("pgweir_client_logins_total", result="ok")


@pytest.mark.sweep(keep=5)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_session(start, program, authority, driver):
    weir = start()
    assert check(program(driver), env=surroundings(weir, authority)).splitlines() == steps_of(driver)
    shaken = sum(weir.metric("pgweir_tls_handshakes_total", side="client", result=result)
                 for result in ("ok", "resumed"))
    assert logins(weir) >= 1
    assert shaken == logins(weir) + (driver in WITH_TLS_CANCEL)
    assert weir.metric("pgweir_tls_handshakes_total", side="client", result="failed") == 0


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("driver", DRIVERS)
def test_another_authority(start, program, tmp_path, driver):
    weir = start()
    stranger = Authority(tmp_path / "stranger", "Stranger")
    assert DISTRUST.search(refusal(program(driver), surroundings(weir, stranger)))
    assert logins(weir) == 0


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("driver", DRIVERS)
def test_another_name(start, program, authority, driver):
    weir = start(authority.issue("elsewhere", "/CN=db.example.org", "DNS:db.example.org"))
    assert DISTRUST.search(refusal(program(driver), surroundings(weir, authority)))
    assert logins(weir) == 0


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_certificate_of_the_client(start, program, authority, tmp_path, driver):
    made = authority.issue("driver", "/CN=web")
    der = tmp_path / "driver.pk8"
    check(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", str(made.key), "-outform", "DER", "-out", str(der)])
    der.chmod(0o600)
    weir = start(mode="verify-ca", ca_file=authority.ca)
    refusal(program(driver), surroundings(weir, authority))
    assert logins(weir) == 0
    said = check(program(driver), env=surroundings(weir, authority, PGSSLCERT=made.certificate, PGSSLKEY=made.key,
                                                   PGSSLKEY_DER=der))
    assert said.startswith("ok query\nok prepared\nok large\n")


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("stored", ["web-secret", scram_verifier("web-secret")], ids=["plain", "verifier"])
@pytest.mark.parametrize("driver", [*BY_LIBPQ, "node_pg"])
def test_a_bound_login(weir, start, program, authority, driver, stored):
    """SCRAM-SHA-256-PLUS, which the others do not know: libpq refuses anything else, node-postgres says what it did."""
    weir.users["web"] = stored
    start()
    said = check(program(driver), env=surroundings(weir, authority, PGCHANNELBINDING="require")).splitlines()
    assert said == (["bound"] if driver == "node_pg" else []) + steps_of(driver)


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("driver", [*BY_LIBPQ, "node_pg"])
def test_a_bound_login_through_somebody_in_between(start, program, authority, driver):
    """He has a certificate that is trusted, and his own TLS to pgweir."""
    weir = start()
    his = authority.issue("between", "/CN=localhost", "DNS:localhost")
    with interceptor(weir.port, his.certificate, his.key) as between:
        env = surroundings(weir, authority, PGCHANNELBINDING="require", PGPORT=between.port)
        assert re.search("channel binding", refusal(program(driver), env))
    assert logins(weir) == 0


def test_psql(start, authority):
    weir = start()
    said = check(["psql", "-XAtc", "SELECT 42", "-c", r"\conninfo"],
                 env=surroundings(weir, authority, PGCHANNELBINDING="require"))
    assert said.startswith("42\n") and "TLSv1.3" in said


def test_pg8000_knows_only_md5_and_verifies_nothing(start):
    """Debian's."""
    weir = start(method="md5")
    db = pg8000.connect(user="web", password="web-secret", host="localhost", port=weir.port, database="app", ssl=True)
    cursor = db.cursor()
    for number in range(20):
        cursor.execute("SELECT %s * 2", (number,))
        assert cursor.fetchone()[0] == 2 * number
    cursor.execute("SELECT repeat('x', 8000000)")
    assert len(cursor.fetchone()[0]) == 8000000
    db.close()
    assert logins(weir) == 1


def test_programs_are_all_used():
    from test_drivers import DRIVERS as directory
    used = {source for source, _, _ in DRIVERS.values()}
    assert {path.name for path in (directory / "tls").iterdir() if path.is_file()} == used
