"""malloc fails, at any place: pgweir lives, whoever needed the memory gets an error or is disconnected, and all others
go on with right answers.

no_memory.c is preloaded into pgweir and makes the Nth allocation fail, counted from the moment at which a conversation
begins; here N goes through all of them. At the end the fixture looks for leaks (in a sanitized build) and BUG lines.

NO_MEMORY_SECONDS  for each conversation (default: 1 in scripts/test, 5 in .ci/run)
NO_MEMORY_TRACE    1: pgweir's log tells of each failure, with a backtrace
"""

import contextlib
import mmap
import os
import random
import re
import socket
import ssl
import struct
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

import kerberos
import rawwire
import transport
from fakeserver import auth
from postgres import PASSWORDS
from programs import library
from rawwire import (BEGIN_NOW, LoginRefused, QueryFailed, Wire, WireClosed, bind, close, copy_data, copy_done, describe, execute, parse,
                     query, send_cancel, sync)
from waiting import SLOWNESS, each, wait_until
from weir import become_reaper, is_built_with, wait_process

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

SHIM = Path(__file__).with_name("no_memory.c")
ALL = 1 << 62
# No memory, or what comes of it: a server, a listener or a lookup that is gone, a transaction that is.
EXPECTED = {"53200", "53300", "08006", "08001", "08P01", "57P01", "58000", "53000", "57014", "25P02", "26000", "28P01",
            "XX000", "40001", "08007", "54000", "34000", "28000"}
realm, *_ = kerberos.fixtures(["pgweir"])


class Memory:
    """The control of no_memory.c."""

    def __init__(self, path):
        path.write_bytes(bytes(48))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 48)

    def arm(self, first, span_ms):
        struct.pack_into("6Q", self.map, 0, 0, 0, first, span_ms * 1000, 0, 0)
        struct.pack_into("Q", self.map, 0, 1)

    def disarm(self):
        """Returns how many allocations there were."""
        struct.pack_into("Q", self.map, 0, 0)
        return struct.unpack_from("6Q", self.map)[1]


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    return library(tmp_path_factory, SHIM, "-O1", "-fno-omit-frame-pointer")


@pytest.fixture
def memory(weir, shim):
    """pgweir is started with it."""
    control = weir.directory / "control"
    made = Memory(control)
    sanitizer = os.environ.get("ASAN_OPTIONS", "")
    weir.environment = {"LD_PRELOAD": str(shim), "NO_MEMORY": str(control),
                        "ASAN_OPTIONS": f"{sanitizer}:verify_asan_link_order=0".lstrip(":")}
    return made


# --- conversations: each does what its name says, and checks each answer that it gets ---

def login(weir, user="web", database="app", tls=None, **parameters):
    wire = Wire((weir.host, weir.port), timeout=10 * SLOWNESS)
    try:
        if tls is not None:
            wire.start_tls(tls, "localhost")
        return wire.login(user, database, PASSWORDS[user], parameters)
    except BaseException:
        wire.close()
        raise


@contextlib.contextmanager
def logged_in(weir, *arguments, **parameters):
    with closing(login(weir, *arguments, **parameters)) as wire:
        yield wire


def expect(wire, messages, wanted):
    """The rows that came, unless there was an error."""
    replies = wire.ask(messages)
    for error in rawwire.errors(replies):
        raise QueryFailed(error)
    rows = rawwire.texts(replies)
    assert rows == wanted, (rows, wanted)


def logins(weir, number):
    with logged_in(weir, application_name=f"round{number}") as wire:
        expect(wire, query("SHOW application_name"), [[f"round{number}"]])


def tls_logins(weir, number):
    with logged_in(weir, tls=transport.material().client) as wire:
        expect(wire, query(f"SELECT {number}"), [[str(number)]])


def other_user(weir, number):
    """Servers log in as somebody else."""
    with logged_in(weir, "reporting", "shared") as wire:
        expect(wire, query("SELECT current_user"), [["web"]])


def pools(weir, number):
    with logged_in(weir, database=f"made{number}") as wire:
        expect(wire, query("SELECT current_database()"), [["app"]])


def queries(weir, number):
    with logged_in(weir) as wire:
        expect(wire, query("SELECT 1; SELECT 2"), [["1"], ["2"]])
        expect(wire, query("BEGIN"), [])
        expect(wire, query("SELECT repeat('x', 200000)"), [["x" * 200_000]])
        expect(wire, query("COMMIT"), [])
        for name in ("", "one", "two"):
            expect(wire, parse(name, f"SELECT $1::int + {number}") + bind("", name, [b"1"]) + describe("P") + execute() + sync(),
                   [[str(number + 1)]])
        expect(wire, bind("", "one", [b"2"]) + execute() + close("S", "one") + sync(), [[str(number + 2)]])
        expect(wire, query(f"SELECT '{'y' * 100_000}'"), [["y" * 100_000]])
        expect(wire, query("DEALLOCATE ALL"), [])
        wire.send(query("COPY (SELECT 1) TO STDOUT"))
        assert rawwire.shape(wire.read_until("ZE"))[:1] in ("H", "E")


def sessions(weir, number):
    with logged_in(weir) as wire:
        expect(wire, query(f"SET work_mem = {64 + number}"), [])
        expect(wire, query(f"PREPARE p{number} AS SELECT {number}"), [])
        expect(wire, query(f"EXECUTE p{number}"), [[str(number)]])
        expect(wire, query("BEGIN; SET LOCAL statement_timeout = '5s'; COMMIT"), [])
        expect(wire, query("SHOW work_mem"), [[f"{64 + number}kB"]])
        expect(wire, query("CREATE TEMP TABLE here (i int); SELECT count(*) FROM here"), [["0"]])
        expect(wire, query("SELECT pg_advisory_lock(4711)"), [[""]])
        expect(wire, query("DISCARD ALL"), [])
        expect(wire, query("SHOW work_mem"), [["4MB"]])
        expect(wire, query("SELECT count(*) FROM pg_prepared_statements WHERE from_sql"), [["0"]])


def listeners(weir, number):
    with logged_in(weir) as wire, logged_in(weir) as other:
        expect(wire, query(f"LISTEN c{number}; LISTEN d"), [])
        expect(other, query(f"NOTIFY c{number}, 'it'"), [])
        heard = wire.read_until("AN")[-1]                              # or: notifications may have been lost
        assert heard.type == "N" or heard.body[4:] == f"c{number}".encode() + b"\0it\0"
        expect(wire, query("UNLISTEN *"), [])


def cancels(weir, _):
    """One that comes before it runs finds nothing: then it ends by itself."""
    with logged_in(weir) as wire:
        wire.send(query("SELECT 1 FROM pg_sleep(0.02)"))
        assert (answer := send_cancel((weir.host, weir.port), wire.key)) == b"" or b"C53200" in answer
        states = {error.sqlstate for error in rawwire.errors(wire.read_until("Z"))}
        assert states <= {"57014"} | EXPECTED
        expect(wire, query("SELECT 7"), [["7"]])


def crowds(weir, _):
    """More clients than servers: the pool grows, and some wait."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(logged_in(weir)) for _ in range(5)]
        each(wires[:2]).send(query("BEGIN"))
        for at, wire in enumerate(wires[2:]):
            wire.send(query(f"SELECT {at}"))
        each(wires[:2]).read_until("Z")
        for wire in wires[:2]:
            expect(wire, query("COMMIT"), [])
        for at, wire in enumerate(wires[2:]):
            replies = wire.read_until("Z")
            assert rawwire.errors(replies) or rawwire.texts(replies) == [[str(at)]]


def losses(weir, _):
    """Servers are lost: an idle one, one with a prepared statement (it is prepared anew), one in a transaction."""
    with logged_in(weir) as wire:
        expect(wire, parse("kept", "SELECT 5") + bind("", "kept") + execute() + sync(), [["5"]])
        weir.postgres.kill_backends(backend_type="client backend")
        expect(wire, bind("", "kept") + execute() + sync(), [["5"]])
        expect(wire, query(BEGIN_NOW), [])
        weir.postgres.kill_backends(backend_type="client backend")
        with pytest.raises((QueryFailed, WireClosed)):
            wire.query("SELECT 1")


def commits(weir, _):
    """A COMMIT that is not answered is asked about."""
    with logged_in(weir) as wire:
        expect(wire, query("CREATE TABLE IF NOT EXISTS committed (i int)"), [])
        expect(wire, query("BEGIN"), [])
        expect(wire, query("INSERT INTO committed VALUES (1)"), [])
        wire.send(query("COMMIT"))
        weir.postgres.kill_backends(backend_type="client backend")
        wire.read_until("Z")


def consoles(weir, _):
    with logged_in(weir, "admin", "pgweir") as wire:
        for what in ("POOLS", "POOLS EXTENDED", "DATABASES", "USERS", "STATS", "CLIENTS", "SERVERS", "HOLDERS", "BLOCKERS", "QUERIES",
                     "SLOW", "LISTS", "METRICS", "LOG"):
            wire.ask(query(f"SHOW {what}"))
        expect(wire, query("SET application_name = 'x'"), [])
        expect(wire, query("SHOW application_name"), [[""]])
        wire.ask(parse("s", "SHOW VERSION") + bind("", "s") + describe("P") + execute() + sync())
        wire.ask(query("PAUSE app2"))
        wire.ask(query("RESUME app2"))
        wire.ask(query("DISABLE app2"))
        wire.ask(query("ENABLE app2"))


def pages(weir, _):
    for path in ("/metrics", "/status", "/"):
        with contextlib.suppress(ConnectionError), socket.create_connection((weir.host, weir.http_port), 10) as sock:
            sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            while sock.recv(65536):
                pass


def lookups(weir, number):
    """auth_query."""
    with logged_in(weir, "web", f"made{number % 3}") as wire:
        expect(wire, query("SELECT 1"), [["1"]])


def commands(weir, number):
    """password_command, which runs once for each database. That there is none proves that the password was right."""
    try:
        login(weir, database=f"made{number}")
    except LoginRefused as failure:
        if failure.sqlstate != "3D000":
            raise


def refusals(weir, number):
    """What is refused never seems to have run."""
    with logged_in(weir) as wire:
        for sent in (query("DROP TABLE t"), parse("", "DROP TABLE t") + sync(), parse("one", "DROP TABLE t") + sync()):
            error, = rawwire.errors(wire.ask(sent))
            if error.sqlstate != "42501":
                raise QueryFailed(error)
        expect(wire, query(f"SELECT {number}"), [[str(number)]])


CONVERSATIONS = {
    "plain": (logins, {}, {}),
    "md5": (logins, {}, {"method": "md5"}),
    "scram": (logins, {}, {"method": "scram-sha-256"}),
    "tls": (tls_logins, {"tls_client": {}}, {}),
    "other_user": (other_user, {"database shared": {"dbname": "app", "user": "web"}, "user reporting": {"pool_timeout": "9s"}}, {}),
    "pools": (pools, {"database *": {"dbname": "app"}}, {"max_db_connections": 50, "max_user_connections": 50}),
    "queries": (queries, {}, {}),
    "deferred": (queries, {}, {"begin": "deferred"}),
    "sessions": (sessions, {}, {}),
    "listeners": (listeners, {}, {}),
    "cancels": (cancels, {}, {}),
    "crowds": (crowds, {}, {"pool_size": 2}),
    "losses": (losses, {}, {}),
    "names": (losses, {"database app": {"host": "localhost"}}, {}),
    "commits": (commits, {}, {"commit_check": "on", "commit_check_timeout": "4s"}),
    "consoles": (consoles, {}, {}),
    "pages": (pages, {}, {}),
    "lookups": (lookups, {"database *": {"dbname": "app"}},
                {"method": "scram-sha-256", "auth_query": "SELECT usename, passwd FROM pg_shadow WHERE usename = $1",
                 "auth_user": "postgres", "auth_query_ttl": "0s", "users_file": ""}),
    "commands": (commands, {"database *": {}}, {"password_command": "echo web-secret"}),
    "refusals": (refusals, {}, {"refuse": "ddl"}),
}


def start(weir, sections, settings):
    made = {}
    for name, words in sections.items():
        made[name] = {"upstream": weir.upstream(**words)} if name.startswith("database") else dict(words)
    if "tls_client" in made:
        material = transport.material()
        made["tls_client"] = {"certificate_file": material.certificate, "key_file": material.key}
    weir.start(made, environment=weir.environment, **{"pool_size": 4, "pool_idle_timeout": "1s", "idle_timeout": "500ms",
                                                      "max_server_connections": 30, **settings})


def talk(conversation, weir, number):
    """Returns the SQLSTATE it failed with, "closed", or None."""
    try:
        conversation(weir, number)
    except (LoginRefused, QueryFailed) as failure:
        assert failure.sqlstate in EXPECTED, failure
        return failure.sqlstate
    except (WireClosed, ConnectionError, ssl.SSLError):
        return "closed"
    except rawwire.WireError as failure:
        if isinstance(failure, rawwire.WireTimeout):
            raise
        return "refused"                                             # an 'E' in answer to an SSLRequest
    return None


class Bystander:
    """A client that was there before, and must notice nothing."""

    def __init__(self, weir):
        self.wire = login(weir)
        self.count = 0
        expect(self.wire, query("SET work_mem = 4321"), [])
        expect(self.wire, parse("mine", "SELECT $1::int * 2") + sync(), [])

    def check(self):
        self.count += 1
        expect(self.wire, bind("", "mine", [str(self.count).encode()]) + execute() + sync(), [[str(2 * self.count)]])
        expect(self.wire, query("SHOW work_mem"), [["4321kB"]])


def is_served(bystander):
    """c-ares asks name servers if it has no memory to read the hosts file, and says that there is none: an outage of 50 ms."""
    try:
        return expect(bystander.wire, query("SELECT 1"), [["1"]]) is None
    except QueryFailed as failed:
        assert failed.sqlstate == "08001"
        return False


def sweep(weir, memory, name, seconds, span_ms):
    conversation, sections, settings = CONVERSATIONS[name]
    start(weir, sections, settings)
    bystander = Bystander(weir)
    number, seen, ends = 0, set(), time.monotonic() + seconds
    memory.arm(ALL, 0)
    assert talk(conversation, weir, number) is None
    count = memory.disarm()
    assert count > 0
    places = list(range(1, count + count // 4 + 2))                 # it may take more when something has failed before
    random.Random(span_ms).shuffle(places)                          # time may be up before all were tried
    for place in places:
        if time.monotonic() > ends:
            break
        number += 1
        memory.arm(place, span_ms)
        try:
            seen.add(talk(conversation, weir, number))
        finally:
            memory.disarm()
        assert weir.is_alive(), f"{place} of {count}"
        if name == "names":
            wait_until(lambda: is_served(bystander), what="an end of the outage")
        bystander.check()
    print(f"{name}: {number} of {len(places)} places, {seen}")
    number += 1
    wait_until(lambda: talk(conversation, weir, number) is None, what="all to be well again")
    assert "web-secret" not in weir.log()                           # nor on standard output
    bystander.wire.leave()


SHORT = float(os.environ.get("NO_MEMORY_SECONDS", "1"))
LONG = float(os.environ.get("NO_MEMORY_SECONDS", "5"))


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_one_allocation_fails(weir, memory, name):
    sweep(weir, memory, name, SHORT, 0)


@pytest.mark.sweep(keep=0)
@pytest.mark.parametrize("span_ms", [0, 1, 30])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_all_fail_for_a_while(weir, memory, name, span_ms):
    sweep(weir, memory, name, LONG / 3, span_ms)


def test_who_waits_is_served_once_there_is_memory_for_tls_with_the_server(weir, memory, fake):
    """It fails right behind the server's answer to SSLRequest."""
    tries = []

    def script(conn):
        assert conn.read_bytes(8) == rawwire.ssl_request()
        tries.append(conn)
        if len(tries) == 1:
            memory.arm(1, 60_000)
        conn.send(b"S")
        if len(tries) == 1:
            try:
                conn.wait_gone()
            finally:
                memory.disarm()
        conn.start_tls()
        conn.login()
        conn.serve()

    fake.script = script
    weir.start(None, f"{fake.upstream} sslmode=require", environment=weir.environment)
    with logged_in(weir) as wire:
        expect(wire, query("SELECT 1"), [["fake"]])
    assert len(tries) > 1


@pytest.mark.needs("krb5kdc", "kinit")
@pytest.mark.skipif(not is_built_with("libgssapi_krb5"), reason="built without libgssapi_krb5")
def test_no_memory_to_send_a_token_is_no_refusal_by_postgresql(weir, memory, realm, fake):
    """The last allocation before the token is sent fails, as do those that follow."""
    counts = []

    def script(conn):
        conn.read_startup()
        memory.arm(counts[-1] if len(counts) == 2 else ALL, 60_000)     # the first login needs more
        conn.send(auth(7))
        try:
            _, token = conn.read()
        finally:
            counts.append(memory.disarm())
        conn.send(auth(8, realm.reply(token)) + auth(0) + conn.welcome())
        conn.serve()

    fake.script = script
    weir.environment["ASAN_OPTIONS"] += ":detect_leaks=0"             # of what the library has half made
    weir.start(None, f"host=localhost port={fake.port} dbname=app", workers=1, connect_timeout="1h",
               environment={**weir.environment, **realm.environment(realm.tickets("pgweir"))})
    with logged_in(weir) as wire:
        for attempts in (1, 2, 4):
            expect(wire, query("SELECT 1"), [["fake"]])
            assert len(counts) == attempts
            weir.console("RECONNECT")
            wait_until(lambda: not weir.console("SHOW SERVERS"))
    assert [weir.metric_now("pgweir_backend_connect_failures_total", reason=reason) for reason in ("other", "auth")] == [1, 0]


@pytest.mark.sweep(keep=0)
@pytest.mark.parametrize("span_ms", [0, 1])
def test_restarts(weir, memory, span_ms):
    """Either process may lack it: the new one comes and has the bystander, or is given up, and the old one goes on."""
    # OpenSSL leaks a name of an algorithm if there is no memory when random bytes are asked for the first time.
    (weir.directory / "leaks").write_text("leak:RAND_get0_primary\n", encoding="ascii")
    weir.environment.update(
        NO_MEMORY_FOR_CHILDREN="1", ASAN_OPTIONS=f"{weir.environment['ASAN_OPTIONS']}:fast_unwind_on_malloc=0",
        LSAN_OPTIONS=f"suppressions={weir.directory / 'leaks'}:print_suppressions=0")
    become_reaper()
    start(weir, {}, {})
    bystander, ends, rng, count = Bystander(weir), time.monotonic() + LONG, random.Random(span_ms), 0
    while time.monotonic() < ends:
        log = len(weir.log())
        # The first time nothing fails. Most is the new process's start; clients move at the end.
        memory.arm(rng.randrange(rng.choice([1, count - 200]), count) if count > 0 else ALL, span_ms)
        with contextlib.suppress(rawwire.WireError, ConnectionError), logged_in(weir, "admin", "pgweir") as wire:
            wire.query("RESTART")
            wait_until(lambda: re.search(r"is ready|gave up on process", weir.log()[log:]))  # pylint: disable=cell-var-from-loop
        count = max(count, memory.disarm())
        if "is ready" in weir.log()[log:]:
            weir.restart_was_asked(wait=False)
        assert weir.is_alive()
        bystander.check()
    bystander.wire.leave()


FIRST = 700                                                          # most of what start allocates only once is among these


def start_at(weir, memory, place, span_ms, arguments=None):
    """Starts it with this allocation failing; returns its exit code, or None if it was ready, and its words."""
    memory.arm(place, span_ms)
    weir.log_file.unlink(missing_ok=True)
    weir.launch(arguments or [str(weir.ini)], weir.environment, wait=False)
    wait_until(lambda: weir.process.poll() is not None or " is ready (pid " in weir.log(), 60)
    code = weir.process.poll()
    memory.disarm()
    if code is None:
        assert weir.stop(timeout=30 * SLOWNESS) == 0, weir.log()
    return code, weir.log()


@pytest.mark.parametrize("span_ms", [0, 60_000])
@pytest.mark.parametrize("part", range(4))
def test_it_starts_or_says_why_not(weir, memory, part, span_ms):
    """Each fourth of the first allocations, and some of the later ones."""
    material = transport.material()
    weir.configure({"tls_client": {"certificate_file": material.certificate, "key_file": material.key}}, method="scram-sha-256")
    weir.write_config()
    weir.environment["ASAN_OPTIONS"] += ":detect_leaks=0"             # of what OpenSSL has half made
    seen = Counter()
    for place in [*range(4 * part + 1, FIRST, 16), *range(FIRST + 250 * part, 20_000, 1000)]:
        code, said = start_at(weir, memory, place, span_ms)
        seen[code] += 1
        assert code is None or (code == 1 and re.search("memory|error: ", said)), (place, code, said)
    weir.expected_exit = 0
    print(f"{part}, {span_ms} ms: {seen}")
    assert seen[1] > 0


def test_a_check_or_a_uri_says_why_not(weir, memory):
    """What is not a start with a file: each of the first allocations, with all that follow."""
    weir.configure()
    weir.write_config()
    weir.environment["ASAN_OPTIONS"] += ":detect_leaks=0"
    for arguments, places in ((["--upstream", f"postgres://web@{weir.postgres.host}:{weir.postgres.port}/app"], range(1, 80)),
                              (["--check-config", str(weir.ini)], range(1, 200, 9)),
                              (["--dump-config", str(weir.ini)], range(1, 200, 9))):
        for place in places:
            code, said = start_at(weir, memory, place, 60_000, arguments)
            assert code == 1 and re.search("memory|error: ", said), (arguments, place, code, said)
    weir.expected_exit = 0


class Mover:
    """A client with prepared statements that stays where it is, in a transaction, until it commits."""

    def __init__(self, weir):
        self.wire = login(weir)
        expect(self.wire, query("BEGIN"), [])
        expect(self.wire, parse("end", "COMMIT") + sync(), [])
        for name, factor in (("", 5), ("mine", 2), ("other", 3)):
            expect(self.wire, parse(name, f"SELECT $1::int * {factor}") + sync(), [])

    def move(self, place):
        """Returns the SQLSTATE it failed with, "closed", or None."""
        try:
            expect(self.wire, bind("", "end") + execute() + sync(), [])
            for name, factor in (("mine", 2), ("other", 3), ("", 5)):
                expect(self.wire, bind("", name, [b"7"]) + execute() + sync(), [[str(7 * factor)]])
        except QueryFailed as failure:
            assert failure.sqlstate in EXPECTED - {"26000"}, (place, failure)
            return failure.sqlstate
        except (WireClosed, ConnectionError):
            return "closed"
        return None


@pytest.mark.parametrize("part", range(8))
@pytest.mark.sweep(keep=0)
def test_who_moves_without_memory_has_its_statements(part, weir, memory):
    """Each allocation of one client's move fails in its turn, in either process: an eighth of some 3,700 here."""
    weir.environment.update(NO_MEMORY_FOR_CHILDREN="1")
    start(weir, {}, {"pool_size": 20})
    place, count, seen = part, 0, set()
    while place <= count:
        movers = [Mover(weir) for _ in range(12)]
        old, log = weir.restart(wait=False), len(weir.log())
        for mover in movers:
            memory.arm(place if count > 0 else ALL, 0)
            seen.add(mover.move(place))
            calls = memory.disarm()
            count, place = count or calls, place + 8
            if re.search("has closed its link|that can.t be used", weir.log()[log:]):      # nobody moves any more
                break
        for mover in movers:
            mover.wire.close()
        wait_process(old, 20)
    print(f"{count} places, {seen}")
