"""Every setting, changed by a reload: what is seen of it before, after, and when it is gone from the file again.

A row of ROWS is what stands in the file first and what is written then, a look, and what the look must see of either; the
third reload takes it back. FIXED are those that a reload must leave alone and a restart changes. A test that tries others,
of whichever file, names them in its marker reloads. The last test finds a setting that is nowhere.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import ssl
import stat
import struct
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

import rawwire
from fakeserver import FakeConnection, FakeServer, complete, data_row, ready, row_description
from postgres import Postgres
from rawwire import BEGIN_NOW, SEEN, WireError, bind, cancel_request, errors, execute, parse, query, startup, sync
from waiting import each, free_port, wait_until
from weir import REPOSITORY, find_binary, timed

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

SOON = 10


class Scene:
    """What rows need: pgweir and its PostgreSQL, and what is made when it is asked for."""

    def __init__(self, weir, postgres, authority, directory, request):
        self.weir, self.postgres, self.authority, self.directory = weir, postgres, authority, directory
        self.request = request
        self.kept = contextlib.ExitStack()
        self.memory = {}

    @property
    def tls_postgres(self):
        return self.request.getfixturevalue("tls_postgres")

    def once(self, name, make):
        if name not in self.memory:
            self.memory[name] = make()
        return self.memory[name]

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    @property
    def fake(self):
        return self.once("fake", lambda: self.kept.enter_context(FakeServer()))

    def certificate(self, name, **words):
        return self.once(name, lambda: self.authority.issue(f"reload-{name}", f"/CN={name}", "DNS:localhost", **words))

    def number(self):
        self.memory["number"] = self.memory.get("number", 0) + 1
        return self.memory["number"]


@pytest.fixture(scope="module")
def tls_postgres(authority):
    cluster = Postgres()
    cluster.stop()
    cluster.use_tls(authority.issue("reload-postgres", "/CN=localhost", "DNS:localhost"))
    (cluster.data / "root.crt").write_bytes(authority.ca.read_bytes())
    (cluster.data / "root.crt").chmod(0o644)
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write("ssl_ca_file = 'root.crt'\nssl_max_protocol_version = 'TLSv1.2'\n")
    cluster.start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def scene(weir, postgres, authority, tmp_path, request):
    made = Scene(weir, postgres, authority, tmp_path, request)
    with made.kept:
        yield made


def written(scene, *parts):
    """Sections of settings, from {"section.name": value} (None: not in the file), each of which may be a function."""
    sections = {}
    for part in parts:
        for name, value in (part(scene) if callable(part) else part).items():
            section, name = name.rsplit(".", 1)
            sections.setdefault(section, {})[name] = value(scene) if callable(value) else value
    return sections


def put(scene, how, *parts):
    sections = written(scene, *parts)
    gone = [(section, name) for section, keys in sections.items() for name, value in keys.items() if value is None]
    original = scene.weir.default_config

    def without():
        config = original()
        for section, keys in sections.items():
            config.setdefault(section, {}).update(keys)
        for section, name in gone:
            config[section].pop(name, None)
        return config
    scene.weir.default_config = without
    try:
        how()
    finally:
        scene.weir.default_config = original


# --- looks: each opens connections of its own ---

def outcome(wire, *login, **options):
    """True: let in. Else the SQLSTATE, or "closed"."""
    try:
        wire.login(*login, **options)
        return True
    except rawwire.LoginRefused as refused:
        return refused.sqlstate
    except (WireError, OSError):
        return "closed"
    finally:
        wire.close()


def login(scene, user="web", database="app", password=None, **options):
    return outcome(scene.weir.wire(), user, database, password or scene.weir.users.get(user), **options)


def logins(count, users=("web",), databases=("app",)):
    """How many of so many clients get in."""
    def look(scene):
        with contextlib.ExitStack() as kept:
            let_in = 0
            for i in range(count):
                with suppress(rawwire.LoginRefused):
                    wire = scene.weir.raw(users[i % len(users)], databases[i % len(databases)])
                    kept.callback(wire.close)
                    let_in += 1
        wait_until(lambda: not [row for row in scene.weir.console("SHOW CLIENTS") if row["user"] in users], SOON)
        return let_in
    return look


def transactions(count, users=("web",), databases=("app",)):
    """How many of so many clients get a server each."""
    def look(scene):
        with contextlib.ExitStack() as kept:
            wires = [kept.enter_context(scene.weir.raw(users[i % len(users)], databases[i % len(databases)]))
                     for i in range(count)]
            each(wires).send(query(BEGIN_NOW))
            return sum(not errors(wire.read_until("ZE")) for wire in wires)
    look.is_eventual = True     # pgweir itself may have one of them, to read the database's code
    return look


def asks(sql, user="web", database="app", **options):
    """The first value, or the SQLSTATE."""
    def look(scene):
        try:
            with scene.weir.raw(user, database, **options) as wire:
                return (wire.query(sql) or [["done"]])[0][0]
        except (rawwire.LoginRefused, rawwire.QueryFailed) as failed:
            return failed.sqlstate
    return look


def connects_anew(scene):
    """Who comes to a host that is known to be silent is told so at once; RECONNECT has it tried again."""
    scene.weir.console("RECONNECT")
    return asks("SELECT 1")(scene)


def lasts(look, least):
    """Whether it takes that many seconds."""
    return lambda scene: timed(look, scene)[1] >= least


def shares_its_server(scene):
    """Whether a second client is served while the first is between transactions (pool_size = 1)."""
    with scene.weir.raw() as first:
        first.query("SELECT 1")
        return asks("SELECT 1")(scene)


def served_beside_a_begin(scene):
    """Whether a second client is served while the first has a BEGIN answered (pool_size = 1)."""
    with scene.weir.raw() as first:
        first.query("BEGIN")
        return asks("SELECT 1")(scene)


def makes_a_table(scene):
    """Whether a client that is to be pinned by it may have a temporary table."""
    with scene.weir.raw() as wire:
        wire.query("CREATE TEMP TABLE t ()")
        wire.send(query("SELECT 1"))
        return not errors(wire.read_until("ZE"))


def proxied(scene):
    wire = scene.weir.keep(rawwire.Wire((scene.weir.host, scene.weir.port), source="127.0.0.2"))
    wire.sock.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 51514 6432\r\n")
    try:
        wire.login()
        return next(row["addr"] for row in scene.weir.console("SHOW CLIENTS") if row["user"] == "web")
    except WireError:
        return "refused"
    finally:
        wire.close()


def first_notice(scene):
    with scene.weir.raw() as wire:
        return [reply.error["M"] for reply in wire.login_replies if reply.type == "N"]


def cancels_of_the_peer(scene):
    """Whether a CancelRequest for a client of process 2 is passed on."""
    with scene.weir.raw() as wire:
        key = wire.key[:1] + b"\2\0" + wire.key[3:]
    before = len(scene.fake.cancels)
    with scene.weir.wire() as wire:
        wire.send(cancel_request(key))
        wire.wait_closed()
    return len(scene.fake.cancels) > before


def session_outlives_reconnect(scene):
    with scene.weir.raw() as wire:
        wire.query("SELECT 1")
        scene.weir.console("RECONNECT app")
        return wire.has_nothing_more(2)


def pings(scene):
    return sum(body == b"\0" for conn in scene.fake.connections for kind, body in conn.messages if kind == "Q")


def pinged_between(scene):
    """Whether a server is pinged before it is lent anew."""
    with scene.weir.raw() as wire:
        wire.query("SELECT 1")
        before = pings(scene)
        wire.query("SELECT 1")
        return pings(scene) > before


def pinged_idle(scene):
    with scene.weir.raw() as wire:
        wire.query("SELECT 1")
    before = pings(scene)
    end = time.monotonic() + 3
    while pings(scene) == before and time.monotonic() < end:
        time.sleep(0.02)
    return pings(scene) > before


def which_is_lent(scene):
    """Of two servers, the first or the second that was given back."""
    with scene.weir.raw() as one, scene.weir.raw() as two, scene.weir.raw() as third:
        pids = []
        for wire in (one, two):
            wire.query("BEGIN")
            pids.append(wire.value("SELECT pg_backend_pid()"))
        for wire in (one, two):
            idle = scene.weir.pool()["sv_idle"]
            wire.query("COMMIT")
            wait_until(lambda: scene.weir.pool()["sv_idle"] > idle, SOON)   # pylint: disable=cell-var-from-loop
        return pids.index(third.value("SELECT pg_backend_pid()"))


def kept_idle(scene):
    """The servers that stay when all have been idle for longer than idle_timeout."""
    assert transactions(4)(scene) == 4
    wait_until(lambda: scene.weir.pool()["sv_idle"] < 4, SOON)
    counts = []
    while len(counts) < 8 or len(set(counts[-8:])) > 1:
        counts.append(scene.postgres.count(usename="web"))
        time.sleep(0.1)
    return counts[-1]


def prepared(scene, *statements):
    """What the server is asked to prepare and to close for a client that uses them: names and SQL, names."""
    seen = [len(conn.messages) for conn in scene.fake.connections]
    with scene.weir.raw() as wire:
        for i, sql in enumerate(statements):
            wire.ask(parse(f"s{i}", sql), bind("", f"s{i}"), execute(), sync())
    new = [message for i, conn in enumerate(scene.fake.connections)
           for message in conn.messages[seen[i] if i < len(seen) else 0:]]
    parsed = [body.split(b"\0")[:2] for kind, body in new if kind == "P"]
    return ([(name.decode(), sql.decode()) for name, sql in parsed if b"AS kept" in sql],
            [body[1:-1].decode() for kind, body in new if kind == "C"])


def some(scene, count=1):
    return [f"SELECT {scene.number()} AS kept" for _ in range(count)]


def forgets_statements(scene):
    """Whether a server gives up prepared statements for others. Ahead of each Parse its own name is closed."""
    parsed, closed = prepared(scene, *some(scene, 5))
    return bool(set(closed) - {name for name, _ in parsed})


def keeps_plans(scene):
    """Whether a text that is sent unnamed again has a name on its server."""
    statement, = some(scene)
    with scene.weir.raw() as wire:
        for _ in range(4):
            wire.ask(parse("", statement) + bind() + execute() + sync())
        return wire.query(f"SELECT count(*) FROM {SEEN} WHERE statement = '{statement}'") == [["1"]]


def passes_statements_through(scene):
    (name, _), = prepared(scene, *some(scene))[0]
    return not name.startswith("pgweir_")


def remembers_statements(scene):
    """Whether a statement that no client has any more is known to its server still."""
    statements = some(scene)
    prepared(scene, *statements)
    return not prepared(scene, *statements)[0]


def prepares_comments(scene):
    statement, = some(scene)
    return len(prepared(scene, *(f"{statement} /*trace='{trace}'*/" for trace in "ab"))[0])


def large_statement(scene):
    with scene.weir.raw() as wire:
        replies = wire.ask(parse("large", f"SELECT {scene.number()}, '{'x' * 4000}'"), sync())
        return errors(replies)[0].sqlstate if errors(replies) else "kept"


def answers_of_a_primary(scene):
    """The fake server answers what commit_check asks it, and is lost with the answer to COMMIT."""
    def answer(conn, kind, body):
        status = ready("T" if conn.is_in_transaction else "I")
        if kind == "E" and "pg_current_xact_id" in conn.parsed:
            conn.send(data_row("77", "0/200"), complete())
        elif kind == "Q" and b"pg_control_system" in body:
            conn.send(row_description(*"abcdefgh"), data_row("7", "1000", None, None, "00000001", "f", None, "0/100"), complete(),
                      status)
        elif kind == "Q" and b"pg_current_xact_id" in body:
            conn.send(row_description("a", "b"), data_row("77", "0/200"), complete(), status)
        elif kind == "Q" and body.startswith(b"INSERT"):
            conn.send(complete("INSERT 0 1"), status)
        elif kind == "Q" and body.startswith(b"COMMIT"):
            scene.fake.script = lambda conn: conn.close()
            conn.close()
        else:
            return False
        return True
    scene.fake.script, scene.fake.answer = None, answer


def commit_in_doubt(scene):
    """How a COMMIT ends whose answer is lost, when no other connection to its server can be opened."""
    answers_of_a_primary(scene)
    with scene.weir.raw() as wire:
        for sql in ("BEGIN", "INSERT"):
            wire.query(sql)
        wire.send(query("COMMIT"))
        return errors(wire.read_until("E"))[0].sqlstate


def hangs(scene):
    scene.fake.script = FakeConnection.wait_gone
    return {"database app.upstream": scene.fake.upstream}


def silent_login(scene):
    wire = scene.weir.wire()
    wire.send(startup())
    wire.wait_closed()


def first_code(scene):
    """What the server asks for: AuthenticationOk is 0, SASL 10."""
    with scene.weir.wire() as wire:
        wire.send(startup())
        return struct.unpack_from("!i", wire.read().body)[0]


def over_unix(user):
    return lambda scene: outcome(rawwire.Wire(str(scene.directory / ".s.PGSQL.6432")), user, "app")


def lookups(scene):
    """How many queries the second login of one user causes."""
    def asked():
        return scene.weir.metric_now("pgweir_auth_queries_total", result="miss")
    assert login(scene, "scramuser", password="scram-secret") is True
    before = asked()
    assert login(scene, "scramuser", password="scram-secret") is True
    return asked() - before


def runs_of_the_command(scene):
    """Whether the command runs again for a connection that is opened a moment after another."""
    path = scene.directory / "runs"
    scene.weir.console("RECONNECT app")
    assert asks("SELECT 1", "scramuser")(scene) == "1"
    before = len(path.read_text())
    time.sleep(1.2)                                             # password_lifetime is 1s at least
    scene.weir.console("RECONNECT app")
    assert asks("SELECT 1", "scramuser")(scene) == "1"
    return len(path.read_text()) > before


def iterations(scene):
    with scene.weir.wire() as wire:
        wire.send(startup())
        wire.read()
        wire.send(rawwire.Scram("x").initial_response())
        return wire.read().body[4:].decode().rsplit("i=", 1)[1]


def tls_context(scene, certificate=None, version=None, ciphers=None):
    context = ssl.create_default_context(cafile=str(scene.authority.ca))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def over_tls(see=lambda wire: True, name="localhost", certificate=None, **words):
    """What is seen of a client's TLS; "refused"."""
    def look(scene):
        wire = scene.weir.keep(rawwire.Wire((scene.weir.host, scene.weir.port)))
        try:
            wire.start_tls(tls_context(scene, certificate(scene) if certificate else None, **words), name).login()
            return see(wire)
        except (OSError, WireError):
            return "refused"
        finally:
            wire.close()
    return look


def with_tls(name="localhost"):
    return lambda scene: {"tls_client.certificate_file": scene.certificate(name, key="rsa").certificate,
                          "tls_client.key_file": scene.certificate(name).key}


def common_name(wire):
    return re.search(rb"(first|second)", wire.sock.getpeercert(binary_form=True)).group().decode()


def database_shown(scene):
    def see(_):
        return next(row["database"] for row in scene.weir.console("SHOW CLIENTS") if row["user"].startswith("web"))
    return over_tls(see, "acme.db.example.org")(scene)


def other_ca(scene):
    def make():
        from authority import Authority
        return Authority(scene.directory / "other-ca", "Other CA").ca
    return scene.once("other_ca", make)


def revocations(scene):
    scene.authority.revoke(scene.certificate("web"))
    return scene.authority.crl


def to_tls_postgres(scene):
    """A cluster that has TLS up to 1.2, and sees certificates of pgweir's."""
    return {"database app.upstream": f"host=localhost port={scene.tls_postgres.port}"}


def server_tls(see):
    """Of the connection to PostgreSQL, from pg_stat_ssl."""
    return asks(f"SELECT {see} FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


def first_byte(scene):
    """What a server hears first: 0x16 begins a handshake, 0 an SSLRequest."""
    heard = []

    def script(conn):
        heard.append(conn.read_bytes(1))
        conn.close()
    scene.fake.script = script
    login(scene)
    asks("SELECT 1")(scene)
    return heard[-1] == b"\x16"


def wrong_password(scene):
    wire = scene.weir.keep(rawwire.Wire((scene.weir.host, scene.weir.port), source=f"127.0.3.{scene.number()}"))
    assert outcome(wire, "web", "app", "wrong") == "28P01"


def connections_logged(scene):
    """Whether stderr, as the log, has a line for a client's login: all that there is was written half a second later."""
    begin = len(scene.weir.log())
    with scene.weir.raw("reporting") as wire:
        wire.query("SELECT 1")
    time.sleep(0.5)
    return 'user "reporting"' in scene.weir.log()[begin:]


def slow_line(see):
    """What is seen of a slow query's line."""
    def look(scene):
        number = scene.number()
        with scene.weir.raw() as wire:
            wire.extended(f"SELECT $1::int, 1 AS n{number}", ("4711",))
        wait_until(lambda: f"n{number}" in scene.weir.slow_file.read_text(), SOON)
        return see(next(line for line in scene.weir.slow_lines() if f"n{number}" in str(line)))
    return look


def slow_lines(count):
    """How many of so many queries are in the slow-query log within the second."""
    def look(scene):
        number = scene.number()
        with scene.weir.raw() as wire:
            for _ in range(count):
                wire.query(f"SELECT 1 AS m{number}")
        time.sleep(0.5)                                         # lines of another second would be too late, too
        text = scene.weir.slow_file.read_text() if scene.weir.slow_file.exists() else ""
        return text.count(f"m{number}") == count
    return look


def statements_shown(scene):
    with scene.weir.raw() as wire:
        for columns in range(1, 5):
            wire.query("SELECT " + ", ".join(["1"] * columns))
    return len(scene.weir.console("SHOW QUERIES")) >= 4


def pools_in_metrics(scene):
    with scene.weir.raw("web", "app") as one, scene.weir.raw("web", "app2") as two:
        one.query("SELECT 1"), two.query("SELECT 1")
        time.sleep(0.3)                                         # /metrics may be 250 ms old
        return "_other" in {dict(labels).get("database") for name, labels in scene.weir.metrics()
                            if name == "pgweir_pool_waiting_clients"}


LISTEN = {"pgweir.listen": lambda scene: [f"127.0.0.1:{scene.weir.port}", f"unix:{scene.directory}/.s.PGSQL.6432"]}
SMALL = {"pool.pool_size": 1, "pool.max_overflow": 0, "pool.pool_timeout": "1s"}
FAKE = {"database app.upstream": lambda scene: scene.fake.upstream, "pool.pool_size": 1}
SCRAM = {"auth.method": "scram-sha-256", "limits.login_failure_delay": "0s"}
ASKING = {**SCRAM, "auth.users_file": lambda scene: scene.file("few.txt", '"admin" "admin-secret"\n"asker" "x"\n'),
          "auth.auth_user": "postgres", "auth.auth_query": "builtin"}
UNREACHABLE = {"database app.upstream": f"host=127.0.0.1 port={free_port()}", "pool.pool_timeout": "900ms",
               "pool.outage_hold": "900ms"}
TLS_1_2 = ssl.TLSVersion.TLSv1_2


def row(old, new, look, before, after, needs=None, is_eventual=False):
    """old, new: {"section.name": value}; needs: settings that stay. is_eventual: what is seen may come a moment later."""
    return SimpleNamespace(old=old, new=new, look=look, before=before, after=after, needs=needs or {},
                           is_eventual=is_eventual or getattr(look, "is_eventual", False))


def one(setting, old, new, *rest, **more):
    return row({setting: old}, {setting: new}, *rest, **more)


ROWS = [
    # --- [pgweir] ---
    one("pgweir.pool_mode", None, "session", shares_its_server, "1", "53300", SMALL),
    one("pgweir.session_state", None, "error", makes_a_table, True, False),
    one("pgweir.begin", None, "sent", served_beside_a_begin, "1", "53300", SMALL),
    one("pgweir.refuse", None, "ddl", asks("CREATE TABLE nowhere.t ()"), "3F000", "42501"),
    one("pgweir.max_client_connections", None, 2, logins(4), 4, 2),
    one("pgweir.ignore_startup_parameters", None, "extra_float_digits",
        asks("SHOW extra_float_digits", parameters={"extra_float_digits": "2"}), "2", "1"),
    one("pgweir.track_extra_parameters", None, "extra_float_digits",
        asks("SHOW extra_float_digits", parameters={"options": "-c extra_float_digits=2"}), "1", "2",
        {"pgweir.ignore_startup_parameters": "options"}),
    one("pgweir.tenants", None, "user", asks("SELECT current_user", "web.acme", "app"), "28000", "web",
        {"tenant acme.upstream": lambda scene: scene.weir.upstream()}),
    one("pgweir.tenant_domain", None, "pooler.example.com", database_shown, "acme/app", "app",
        lambda scene: {"pgweir.tenants": "sni", "tenant acme.upstream": scene.weir.upstream(), **with_tls()(scene)}),
    one("pgweir.proxy_protocol", None, "127.0.0.2/32", proxied, "refused", "192.0.2.7",
        {"auth.method": "hba", "auth.hba_file": lambda scene: scene.file("hba", "host all all 0.0.0.0/0 trust\n")}),
    one("pgweir.login_notify_message", None, "hello", first_notice, [], ["hello"]),
    one("pgweir.peers", None, lambda scene: f"2=127.0.0.1:{scene.fake.port}", cancels_of_the_peer, False, True,
        {"pgweir.peer_id": 1}, is_eventual=True),

    # --- [pool] ---
    one("pool.pool_size", 2, 4, transactions(6), 2, 4, {**SMALL, "pool.pool_size": 2}),
    one("pool.max_overflow", 0, 2, transactions(4), 1, 3, SMALL),
    one("pool.overflow_delay", None, "1h", transactions(2), 2, 1,
        {**SMALL, "pool.max_overflow": 1, "pool.overflow_linger": "0s"}),
    one("pool.on_outage", None, "wait", lasts(asks("SELECT 1"), 0.8), False, True, UNREACHABLE),
    one("pool.outage_hold", "100ms", "900ms", lasts(asks("SELECT 1"), 0.8), False, True,
        {**UNREACHABLE, "pool.on_outage": "hold"}),
    one("pool.server_fast_close", None, "on", session_outlives_reconnect, True, False, {"pgweir.pool_mode": "session"}),
    one("pool.pool_pre_ping", None, "off", pinged_between, True, False,
        {**FAKE, "pool.pool_pre_ping_idle": "0s", "pool.ping_interval": "0s"}),
    one("pool.pool_pre_ping_idle", None, "0s", pinged_between, False, True, {**FAKE, "pool.ping_interval": "0s"}),
    one("pool.ping_interval", None, "100ms", pinged_idle, False, True, FAKE),
    one("pool.pool_lifo", None, "off", which_is_lent, 1, 0, {"pool.pool_size": 2}),
    one("pool.min_idle", None, 2, kept_idle, 0, 2, {"pool.idle_timeout": "300ms"}),
    one("pool.prepared_statements", None, 2, forgets_statements, False, True, FAKE),
    one("pool.max_statement_size", None, "10B", passes_statements_through, False, True, FAKE),
    one("pool.prepared_statements_memory", None, "2KiB", large_statement, "kept", "53200"),
    one("pool.prepared_statements_cache", None, "0B", remembers_statements, True, False, FAKE),
    one("pool.statement_ignore_comments", None, "on", prepares_comments, 2, 1, FAKE),
    one("pool.keep_plans", None, "on", keeps_plans, False, True, SMALL, is_eventual=True),
    one("pool.commit_check", None, "on", commit_in_doubt, "08006", "08007",
        {**FAKE, "timeouts.commit_check_timeout": "100ms"}),

    # --- [timeouts] ---
    one("timeouts.connect_timeout", "1500ms", "100ms", lasts(connects_anew, 1), True, False,
        lambda scene: {**hangs(scene), "pool.pool_timeout": "10s"}),
    one("timeouts.commit_check_timeout", "100ms", "1500ms", lasts(commit_in_doubt, 1), False, True,
        {**FAKE, "pool.commit_check": "on"}),
    one("timeouts.login_timeout", "1500ms", "100ms", lasts(silent_login, 1), True, False, SCRAM),

    # --- [auth] ---
    one("auth.method", None, "trust", first_code, 10, 0),
    one("auth.users_file", lambda scene: scene.weir.users_file,
        lambda scene: scene.file("other.txt", '"web" "other"\n"admin" "admin-secret"\n'),
        lambda scene: login(scene, password="other"), "28P01", True,
        SCRAM),
    one("auth.hba_file", lambda scene: scene.file("a", "host all all 127.0.0.1/32 trust\n"),
        lambda scene: scene.file("b", "host all web 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\n"),
        login, True, "28000", {"auth.method": "hba"}),
    one("auth.ident_file", lambda scene: scene.file("a", f"m {os.environ.get('USER', 'root')} nobody_here\n"),
        lambda scene: scene.file("b", "m /^(.*)$ web\n"), over_unix("web"), "28000", True,
        {**LISTEN, "auth.method": "hba", "auth.hba_file": lambda scene: scene.file(
            "hba", "local all all peer map=m\nhost all all 127.0.0.1/32 trust\n")}),
    one("auth.auth_query", "off", "builtin", lambda scene: login(scene, "scramuser"), "28P01", True, ASKING),
    one("auth.auth_user", "postgres", "asker", lambda scene: login(scene, "scramuser"), True, "28P01", ASKING),
    one("auth.auth_database", "app", "nowhere", lambda scene: login(scene, "scramuser"), True, "28P01", ASKING),
    one("auth.auth_query_ttl", "1h", "0s", lookups, 0, 1, ASKING),
    one("auth.password_command", None, "echo wrong", asks("SELECT 1", "scramuser"), "1", "28P01"),
    one("auth.password_lifetime", None, "1s", runs_of_the_command, False, True,
        lambda scene: {"auth.password_command": f"echo >>{scene.directory}/runs; echo scram-secret"}),
    one("auth.gss_accept_delegation", None, "on", login, True, "28000"),
    one("auth.scram_iterations", None, 8192, iterations, "4096", "8192", SCRAM),

    # --- [tls_client] ---
    one("tls_client.mode", None, "require", login, True, "28000", with_tls()),
    row({"tls_client.certificate_file": lambda scene: scene.certificate("first").certificate,
         "tls_client.key_file": lambda scene: scene.certificate("first").key},
        {"tls_client.certificate_file": lambda scene: scene.certificate("second").certificate,
         "tls_client.key_file": lambda scene: scene.certificate("second").key},
        over_tls(common_name), "first", "second"),
    one("tls_client.ca_file", lambda scene: scene.authority.ca, other_ca,
        over_tls(certificate=lambda scene: scene.certificate("web")), True, "refused",
        lambda scene: {"tls_client.mode": "verify-ca", **with_tls()(scene)}),
    one("tls_client.crl_file", None, revocations, over_tls(certificate=lambda scene: scene.certificate("web")), True,
        "refused", lambda scene: {"tls_client.mode": "verify-ca", "tls_client.ca_file": scene.authority.ca,
                                  **with_tls()(scene)}),
    one("tls_client.min_version", None, "1.3", over_tls(version=TLS_1_2), True, "refused", with_tls()),
    one("tls_client.ciphers", None, "ECDHE-RSA-AES256-GCM-SHA384",
        over_tls(version=TLS_1_2, ciphers="ECDHE-RSA-AES128-GCM-SHA256"), True, "refused", with_tls()),
    one("tls_client.tls13_ciphers", None, "TLS_AES_128_GCM_SHA256", over_tls(lambda wire: wire.sock.cipher()[0]),
        "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", with_tls()),

    # --- [tls_server] ---
    one("tls_server.mode", None, "off", server_tls("ssl"), "t", "f", to_tls_postgres),
    one("tls_server.ca_file", lambda scene: scene.authority.ca, other_ca, server_tls("ssl"), "t", "08006",
        lambda scene: {"tls_server.mode": "verify-ca", **to_tls_postgres(scene)}),
    row({"tls_server.certificate_file": None, "tls_server.key_file": None},
        {"tls_server.certificate_file": lambda scene: scene.certificate("ours").certificate,
         "tls_server.key_file": lambda scene: scene.certificate("ours").key},
        server_tls("client_dn"), None, "/CN=ours", to_tls_postgres),
    one("tls_server.min_version", None, "1.3", server_tls("version"), "TLSv1.2", "08006",
        lambda scene: {"tls_server.mode": "require", **to_tls_postgres(scene)}),
    one("tls_server.negotiation", None, "direct", first_byte, False, True, {**FAKE, "tls_server.mode": "require"}),

    # --- [limits] ---
    one("limits.max_db_client_connections", None, 2, logins(4), 4, 2),
    one("limits.max_user_client_connections", None, 2, logins(4), 4, 2),
    one("limits.max_address_client_connections", None, 3, logins(4), 4, 3),
    one("limits.max_db_connections", None, 2, transactions(4), 4, 2, {**SMALL, "pool.pool_size": 4}),
    one("limits.max_user_connections", None, 2, transactions(4, databases=("app", "app2")), 4, 2,
        {**SMALL, "pool.pool_size": 4}),
    one("limits.exempt_addresses", None, "127.0.0.0/8", logins(4), 2, 4, {"limits.max_address_client_connections": 2}),
    one("limits.login_failure_delay", "0s", "900ms", lasts(wrong_password, 0.8), False, True, SCRAM),
    one("limits.login_failure_delay_max", "100ms", "900ms", lasts(wrong_password, 0.8), False, True,
        {**SCRAM, "limits.login_failure_delay": "30s"}),

    # --- [log] ---
    one("log.destination", None, lambda scene: scene.directory / "other.log", connections_logged, True, False,
        {"log.connections": "on"}),
    one("log.level", None, "warning", connections_logged, True, False, {"log.connections": "on"}),
    one("log.connections", None, "on", connections_logged, False, True),

    # --- [slow_query] ---
    one("slow_query.parameters", None, "on", slow_line(lambda line: "4711" in str(line)), False, True,
        {"slow_query.threshold": "0ms"}),
    one("slow_query.sample_rate", "0", "1", slow_lines(5), False, True, {"slow_query.sample_threshold": "0ms"}),
    one("slow_query.max_lines_per_second", None, 1, slow_lines(5), True, False, {"slow_query.threshold": "0ms"}),
    one("slow_query.table_size", None, 2, statements_shown, True, False, {"slow_query.query_stats": "on"}),

    # --- [http] ---
    one("http.metrics_max_pools", None, 1, pools_in_metrics, False, True),
]


# A database's or a user's own value, and none again.
OWN = [
    one("database app.upstream", lambda scene: scene.weir.upstream(), lambda scene: scene.weir.upstream(dbname="app2"),
        asks("SELECT current_database()"), "app", "app2"),
    one("database app.pool_size", None, 4, transactions(6), 2, 4, {**SMALL, "pool.pool_size": 2}),
    one("user web.pool_size", None, 3, transactions(6), 4, 3, {**SMALL, "database app.pool_size": 4}),
    one("user web.refuse", None, "", asks("CREATE TABLE nowhere.t ()"), "42501", "3F000", {"database app.refuse": "ddl"}),
    one("user web.pool_mode", None, "session", shares_its_server, "1", "53300", SMALL),
    one("database app.session_state", None, "error", makes_a_table, True, False),
    one("database app.max_db_connections", None, 2, transactions(4), 4, 2, {**SMALL, "pool.pool_size": 4}),
    one("user web.max_user_client_connections", None, 2, logins(4), 4, 2),
    one("database app.server_tls_mode", None, "off", server_tls("ssl"), "t", "f", to_tls_postgres),
    one("database app.slow_query_threshold", None, "0ms", slow_lines(5), False, True, {"slow_query.threshold": "off"}),
    one("user web.slow_query_threshold", None, "off", slow_lines(5), True, False, {"database app.slow_query_threshold": "0ms"}),
]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("tried", ROWS + OWN, ids=lambda tried: "+".join(tried.old))
def test_a_reload_changes_what_is_seen(scene, tried):
    def look_for(wanted):
        if tried.is_eventual:
            wait_until(lambda: tried.look(scene) == wanted, SOON, f"{wanted!r}")
        else:
            assert tried.look(scene) == wanted

    put(scene, scene.weir.start, tried.needs, tried.old)
    look_for(tried.before)
    put(scene, scene.weir.reload, tried.needs, tried.new)
    look_for(tried.after)
    put(scene, scene.weir.reload, tried.needs, tried.old)
    look_for(tried.before)


# --- what a reload leaves alone ---

def socket_of(scene, wanted):
    """The first of the process's sockets that is wanted, as one of this process. (Python's dup() would make both block.)"""
    pidfd = os.pidfd_open(scene.weir.process.pid)
    try:
        for link in Path(f"/proc/{scene.weir.process.pid}/fd").iterdir():
            copy = ctypes.CDLL(None).syscall(438, pidfd, int(link.name), 0)     # pidfd_getfd
            if copy < 0:                                        # closed meanwhile
                continue
            if not os.readlink(f"/proc/self/fd/{copy}").startswith("socket:"):
                os.close(copy)
                continue
            sock = socket.socket(fileno=copy)
            if sock.family == socket.AF_INET and sock.getsockname()[1] == scene.weir.port and wanted(sock):
                return sock
            sock.close()
    finally:
        os.close(pidfd)
    raise AssertionError("no such socket")


def is_listening(sock):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def listener_has(option, level=socket.IPPROTO_TCP):
    def look(scene):
        with socket_of(scene, is_listening) as sock:
            return sock.getsockopt(level, option)
    return look


def client_has(option, level=socket.IPPROTO_TCP):
    """pgweir's end of a client's connection."""
    def look(scene):
        with scene.weir.raw() as wire:
            with socket_of(scene, lambda sock: not is_listening(sock) and sock.getpeername() == wire.sock.getsockname()) as sock:
                return sock.getsockopt(level, option)
    return look


def backlog(scene):
    line = subprocess.run(["ss", "-Hltn", f"sport = :{scene.weir.port}"], check=True, capture_output=True, text=True).stdout
    return int(line.split()[2])


def thread_count(scene):
    """Those of handshakes and of all else, of which there are four at most."""
    return len(list(Path(f"/proc/{scene.weir.process.pid}/task").iterdir()))


def peer_in_keys(scene):
    with scene.weir.raw() as wire:
        return int.from_bytes(wire.key[1:3], "little")


def socket_file(scene):
    return os.stat(scene.directory / ".s.PGSQL.6432")


def fixed(setting, old, new, look, before, after, needs=None, restart=True):
    return SimpleNamespace(setting=setting, old=old, new=new, look=look, before=before, after=after, needs=needs or {},
                           restart=restart)


def page_without_password(scene):
    status = scene.weir.http("/").status
    return pytest.skip("built without a page that needs one") if status == 404 else status


def where_metrics_are(scene):
    """The old port, or the new one."""
    try:
        scene.weir.http("/healthz")
        return "old"
    except OSError:
        scene.weir.http_port = scene.memory["http port"]
        return "new" if scene.weir.http("/healthz").status == 200 else "none"


FIXED = [
    fixed("pgweir.listen_backlog", 100, 200, backlog, 100, 200),
    fixed("pgweir.pid_file", None, lambda scene: scene.directory / "pid", lambda scene: (scene.directory / "pid").exists(), False,
          True),
    fixed("pgweir.unix_socket_mode", None, "0700", lambda scene: stat.S_IMODE(socket_file(scene).st_mode), 0o777, 0o700, LISTEN),
    fixed("pgweir.unix_socket_group", None, "daemon",
          lambda scene: socket_file(scene).st_gid == os.getegid(), True, False, LISTEN),
    fixed("pgweir.run_as", None, "daemon", lambda scene: os.stat(f"/proc/{scene.weir.process.pid}").st_uid == os.geteuid(), True,
          True, restart=False),
    fixed("pgweir.handshake_threads", None, 5, lambda scene: thread_count(scene) > 6, False, True,
          {"pgweir.workers": 1}),
    fixed("pgweir.workers", None, 3, lambda scene: len(scene.weir.console("SHOW WORKERS")), 1, 3),
    fixed("pgweir.peer_id", 3, 7, peer_in_keys, 3, 7, {"pgweir.peers": "9=127.0.0.1:1"}),
    fixed("tcp.reuse_port", None, "on", listener_has(socket.SO_REUSEPORT, socket.SOL_SOCKET), 0, 1),
    fixed("tcp.defer_accept", None, "0s", lambda scene: listener_has(socket.TCP_DEFER_ACCEPT)(scene) > 0, True, False),
    fixed("tcp.keepalive", None, "off", client_has(socket.SO_KEEPALIVE, socket.SOL_SOCKET), 1, 0),
    fixed("tcp.keepalive_idle", None, "77s", client_has(socket.TCP_KEEPIDLE), 7200, 77),
    fixed("tcp.keepalive_interval", None, "33s", client_has(socket.TCP_KEEPINTVL), 75, 33),
    fixed("tcp.keepalive_count", None, 4, client_has(socket.TCP_KEEPCNT), 9, 4),
    fixed("tcp.user_timeout", None, "44s", client_has(socket.TCP_USER_TIMEOUT), 0, 44000),
    fixed("http.listen", lambda scene: f"127.0.0.1:{scene.weir.http_port}",
          lambda scene: f"127.0.0.1:{scene.once('http port', free_port)}", where_metrics_are, "old", "new"),
    fixed("http.auth_file", None, lambda scene: scene.file("page.txt", '"ops" "secret"\n'), page_without_password, 200, 401),
]


@pytest.mark.parametrize("tried", FIXED, ids=lambda tried: tried.setting)
def test_a_reload_leaves_alone_what_a_restart_changes(scene, tried):
    weir = scene.weir
    if os.geteuid() != 0 and tried.setting in ("pgweir.unix_socket_group", "pgweir.run_as"):
        pytest.skip("only root may")
    put(scene, weir.start, tried.needs, {tried.setting: tried.old})
    wait_until(lambda: weir.http("/healthz").status == 200, SOON, "its loop")
    assert tried.look(scene) == tried.before
    put(scene, weir.reload, tried.needs, {tried.setting: tried.new})
    new = str(tried.new(scene) if callable(tried.new) else tried.new)
    weir.wait_log(f"-> {new} (pending restart)")
    shown, = [row for row in weir.console("SHOW CONFIG") if row["key"] == tried.setting]
    assert shown["changeable"] == f"no; pending restart: {new}"
    assert tried.look(scene) == tried.before
    if tried.restart:
        weir.restart()
        assert tried.look(scene) == tried.after


# --- what is seen only at the end ---

@pytest.mark.reloads("timeouts.shutdown_timeout", "timeouts.shutdown_delay")
@pytest.mark.parametrize("setting, begin, end", [
    ("timeouts.shutdown_timeout", "1h", "300ms"), ("timeouts.shutdown_delay", "1h", "0s")])
def test_how_it_ends_is_as_the_last_reload_said(scene, setting, begin, end):
    put(scene, scene.weir.start, {"timeouts.shutdown_timeout": "300ms", setting: begin})
    put(scene, scene.weir.reload, {"timeouts.shutdown_timeout": "300ms", setting: end})
    with scene.weir.raw() as wire:
        wire.query(BEGIN_NOW)
        assert scene.weir.stop(signal.SIGTERM) == 0


def test_a_delay_that_a_reload_has_brought(scene):
    put(scene, scene.weir.start, {})
    put(scene, scene.weir.reload, {"timeouts.shutdown_delay": "1h"})
    scene.weir.signal(signal.SIGTERM)
    wait_until(lambda: scene.weir.http("/readyz").status == 503, SOON)
    assert login(scene) is True
    scene.weir.signal(signal.SIGINT)
    assert scene.weir.wait_exit(SOON) == 0


@pytest.mark.reloads("timeouts.restart_timeout")
def test_a_restart_lasts_as_long_as_the_last_reload_said(scene):
    put(scene, scene.weir.start, {"timeouts.shutdown_timeout": "300ms", "timeouts.restart_timeout": "1h"})
    put(scene, scene.weir.reload, {"timeouts.shutdown_timeout": "300ms", "timeouts.restart_timeout": "300ms"})
    with scene.weir.raw() as wire:
        wire.query(BEGIN_NOW)
        scene.weir.restart()                                    # which waits for the old process's end
        assert errors(wire.read_until("E"))[0].sqlstate == "57P01"


# --- files that are wrong ---

BROKEN = {
    "an unknown setting": ("[pool]\npol_size = 5\n", 2, 'did you mean "pool_size"'),
    "a bad value": ("[pool]\npool_size = many\n", 2, "pool_size = many"),
    "a value out of bounds": ("[pool]\npool_size = 0\n", 2, "pool_size = 0"),
    "a time without a unit": ("[timeouts]\nlogin_timeout = 30\n", 2, "login_timeout"),
    "the same setting twice": ("[tcp]\nkeepalive = on\nkeepalive = off\n", 3, "line"),
    "the same section twice": ("[tcp]\nkeepalive = on\n\n[tcp]\nuser_timeout = 1s\n", 4, "line"),
    "an unknown section": ("[pools]\n", 1, '[pool]'),
    "no setting": ("[tcp]\nkeepalive\n", 2, "name = value"),
    "a variable that is not set": ("[tcp]\nuser_timeout = ${NOT_THERE}\n", 2, "NOT_THERE"),
    "a file that is not there": (
        "[tls_client]\nmode = require\ncertificate_file = /none.pem\nkey_file = /none.key\n", 3, "/none.pem"),
    "a file that belongs elsewhere": ("[limits]\ndestination = x\n", 2, "[log]"),
    "no upstream": ("[database third]\npool_size = 3\n", 1, "upstream"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_changes_nothing_and_names_the_line(scene, broken):
    weir = scene.weir
    weir.start(sections={"tcp": None, "tls_client": None, "tls_server": None}, listen_backlog=100)
    was = weir.console("SHOW CONFIG"), weir.console("SHOW DATABASES")
    text, line, words = BROKEN[broken]
    good = weir.ini_text({**weir.config, "pgweir": {**weir.config["pgweir"], "max_client_connections": 7, "listen_backlog": 200,
                                                    "listen": [weir.config["pgweir"]["listen"], f"127.0.0.1:{free_port()}"]},
                          "database app2": {"upstream": "host=127.0.0.1 port=1"}})
    good = good.replace("pool_size = 10\n", "pool_size = 9\n")
    if text.startswith("[pool]"):                               # a section may come once
        good = good.replace("[pool]\n", f"{text}", 1)
        line += good[:good.index("[pool]")].count("\n")
    elif text.startswith("[timeouts]"):
        good = good.replace("[timeouts]\n", f"{text}", 1)
        line += good[:good.index("[timeouts]")].count("\n")
    else:
        line += good.count("\n")
        good += text
    weir.ini.write_text(good)
    with psycopg.connect(weir.dsn("admin", "pgweir"), autocommit=True) as console:
        with pytest.raises(psycopg.Error) as refused:
            console.execute("RELOAD")
    problems = [row["problem"] for row in weir.console("SHOW CONFIG_ERRORS")]
    assert f"pgweir.ini:{line}" in str(refused.value) + str(refused.value.diag.message_detail), problems
    assert any(f"pgweir.ini:{line}: " in problem and words in problem for problem in problems), problems
    assert (weir.console("SHOW CONFIG"), weir.console("SHOW DATABASES")) == was
    assert weir.metric_now("pgweir_config_last_reload_successful") == 0
    assert asks("SELECT 1")(scene) == "1"
    assert asks("SELECT 1", database="app2")(scene) == "1"
    weir.write_config()
    weir.console("RELOAD")
    assert weir.console("SHOW CONFIG_ERRORS") == []


# --- under load ---

def test_nothing_is_lost_by_reloads_under_load(weir, table):
    """Three workers, twelve clients that count, fifty reloads of what pools, limits and logs are."""
    weir.start(workers=3, pool_size=9)
    weir.postgres.query(f"INSERT INTO {table} SELECT i, '0' FROM generate_series(1, 12) AS i")
    is_over = threading.Event()

    def count(row):
        done = 0
        with weir.raw() as wire:
            while not is_over.is_set():
                wire.extended(f"UPDATE {table} SET v = v::int + 1 WHERE id = {row}", name="" if done % 2 else f"s{done}")
                done += 1
        return done

    counting = [weir.in_background(count, row) for row in range(1, 13)]
    kinds = [{"pool_size": 8, "max_overflow": 3}, {"pool_lifo": False, "prepared_statements": 5}, {"max_db_connections": 4},
             {"pool_recycle": "1s"}, {"query_timeout": "1min"}, {"sections": {"database third": {"upstream": weir.upstream()}}},
             {"session_state": "isolate"}, {"upstream": weir.upstream(application_name="another")}, {"pool_size": 2}]
    for number in range(50):
        weir.reload(**{"workers": 3, "pool_size": 9, **kinds[number % len(kinds)]})
        assert not any(future.done() for future in counting)
    is_over.set()
    counts = [future.result() for future in counting]
    assert [int(v) for _, v in weir.postgres.query(f"SELECT id, v FROM {table} ORDER BY id")] == counts


# --- all of them ---

# The marker's settings, and the test behind it with its other markers.
RELOADS = re.compile(r"^@pytest\.mark\.reloads\(([^)]*)\)\n((?:@.*\n|    .*\n)*def test_.*\n(?:(?:    .*)?\n)*)", re.M)
REFUSED = {"http.user_histograms"}                              # on: tests/unit/test_load.c


def test_every_setting_is_tried():
    tried = [name for one_of in ROWS for name in one_of.old] + [one_of.setting for one_of in FIXED] + list(REFUSED)
    for path in sorted(Path(__file__).parent.parent.glob("*/test_*.py")):
        for names, test in RELOADS.findall(path.read_text(encoding="utf-8")):
            for name in re.findall(r'"(.*?)"', names):
                tried.append(name)
                assert name.rsplit(".", 1)[1] in test, f"{path} does not try {name}"
    assert sorted(tried) == sorted(set(tried)), "one is tried twice"
    schema = json.loads(subprocess.run([find_binary(), "--config-schema"], check=True, capture_output=True).stdout)
    there = {f"{section}.{name}" for section, keys in schema["properties"].items() for name in keys["properties"]}
    assert set(tried) == there
    assert "histograms per user" in (REPOSITORY / "tests/unit/test_load.c").read_text(encoding="utf-8")
