"""pgweir under test: its configuration, its life, its console, its metrics, and connections through it."""

import concurrent.futures
import contextlib
import ctypes
import functools
import http.client
import json
import os
import re
import resource
import select
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGUSR2
from types import SimpleNamespace

import psycopg
import psycopg2
import pytest

import rawwire
import transport
from postgres import PASSWORDS
from waiting import SLOWNESS, free_port, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
DIRECT = os.environ.get("PGWEIR_DIRECT", "") not in ("", "0")
WORKERS = int(os.environ.get("PGWEIR_WORKERS") or 1)
BEGIN = os.environ.get("PGWEIR_BEGIN", "")
PIPELINE = os.environ.get("PGWEIR_PIPELINE", "")
KEEP_PLANS = os.environ.get("PGWEIR_KEEP_PLANS", "")

# Names of settings that more than one section has, and the section that weir.start(name=...) means.
AMBIGUOUS = {"mode": "tls_client", "min_version": "tls_client", "certificate_file": "tls_client",
             "key_file": "tls_client", "ca_file": "tls_client", "listen": "pgweir", "format": "log"}

BAD_LOG = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion .* failed|\bBUG\b|"
                     r"UndefinedBehaviorSanitizer|double free|corrupted|free\(\): invalid|SUMMARY: ")


def find_binary():
    named = os.environ.get("PGWEIR_BIN")
    candidates = [Path(named)] if named else [REPOSITORY / "build" / "pgweir", REPOSITORY / "pgweir"]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.resolve()
    return None


def is_built_with(library):
    """For skipif: whether the program under test is linked with it ("libldap")."""
    return DIRECT or find_binary() is None or library.encode() in find_binary().read_bytes()


HAS_SLOW_LOG = is_built_with("pgweir_slow_log_lines_dropped_total")
NO_SLOW_LOG = "the program is built without the slow-query log"
needs_slow_log = pytest.mark.skipif(not HAS_SLOW_LOG, reason=NO_SLOW_LOG)
reads_pgbouncer_ini = pytest.mark.skipif(not is_built_with("[pgbouncer]"), reason="the program is built without PgBouncer's file")


def is_sanitized(binary):
    return binary is not None and b"__asan_init" in binary.read_bytes()


@functools.cache
def section_of():
    """The section of each setting, as the binary prints them: so that a test can say weir.start(pool_size=1)."""
    schema = json.loads(subprocess.run([find_binary(), "--config-schema"], check=True, capture_output=True).stdout)
    return {key: section for section, keys in schema["properties"].items() for key in keys["properties"]} | AMBIGUOUS


class Weir:
    """Tests start it with what they need; the fixture stops it and looks whether it went well."""

    host = "127.0.0.1"

    def __init__(self, postgres, directory):
        self.postgres = postgres
        self.directory = directory
        self.direct = DIRECT
        self.binary = None if DIRECT else find_binary()
        self.process = None
        self.prefix = []                    # words that run the program elsewhere (island.py)
        self.expected_exit = None           # set by a test that ends it itself
        self.is_loud = False                # set by a test in which the log may hold what BAD_LOG looks for
        self.port = free_port()
        self.http_port = free_port()
        self.socket_dir = directory
        self.ini = directory / "pgweir.ini"
        self.users_file = directory / "users.txt"
        self.log_file = directory / "pgweir.log"
        self.config = {}
        self.users = dict(PASSWORDS)
        self._executor = concurrent.futures.ThreadPoolExecutor(max_workers=64)
        self._connections = []
        self.predecessors = []              # processes that still have clients after a restart
        os.chmod(directory, 0o755)

    # --- configuration ---

    @property
    def address(self):
        address = (self.postgres.host, self.postgres.port) if self.direct else (self.host, self.port)
        return transport.Address(address) if transport.IS_TLS else address

    def upstream(self, **words):
        """libpq's words for an upstream: PostgreSQL itself unless said otherwise."""
        words = {"host": self.postgres.host, "port": self.postgres.port, **words}
        return " ".join(f"{key}={value}" for key, value in words.items())

    def default_config(self):
        config = self._plain_config()
        if WORKERS > 1:
            config[section_of()["workers"]]["workers"] = WORKERS
        if transport.IS_TLS:
            made = transport.material()
            config["tls_client"] = {"certificate_file": made.certificate, "key_file": made.key}
            config["tls_server"] = {"mode": "verify-full", "ca_file": made.ca}
        return config

    def _plain_config(self):
        return {
            "pgweir": {"listen": f"{self.host}:{self.port}"},
            "pool": {"pool_size": 10, "max_overflow": 0, "pool_timeout": "20s"},
            "timeouts": {"shutdown_timeout": "10s"},
            "auth": {"method": "trust", "users_file": self.users_file, "admin_users": "admin",
                     "stats_users": "stats"},
            "log": {"level": os.environ.get("PGWEIR_LOG_LEVEL", "info")},
            "slow_query": {"file": self.slow_file} if HAS_SLOW_LOG else {},
            "http": {"listen": f"{self.host}:{self.http_port}"},
            "database app": {"upstream": self.upstream()},
            "database app2": {"upstream": self.upstream()},
        }

    def configure(self, sections=None, upstream=None, **settings):
        """Builds the configuration anew: settings go where section_of() says; sections are merged in as given (a section
        that is None is left out). upstream: words for the databases app and app2."""
        config = self.default_config()
        if BEGIN:
            config["pgweir"]["begin"] = BEGIN
        if PIPELINE:
            config.setdefault("pool", {})["max_pipeline"] = PIPELINE
        if KEEP_PLANS:
            config.setdefault("pool", {})["keep_plans"] = KEEP_PLANS
        if upstream is not None:
            config["database app"]["upstream"] = upstream
            config["database app2"]["upstream"] = upstream
        for key, value in settings.items():
            config.setdefault(section_of()[key], {})[key] = value
        for name, keys in (sections or {}).items():
            if keys is None:
                config.pop(name, None)
            else:
                config.setdefault(name, {}).update(keys)
        self.config = config
        return config

    @staticmethod
    def ini_text(config):
        lines = []
        for name, keys in config.items():
            lines.append(f"[{name}]")
            for key, value in keys.items():
                values = value if isinstance(value, (list, tuple)) else [value]
                for item in values:
                    if isinstance(item, bool):
                        item = "on" if item else "off"
                    lines.append(f"{key} = {item}")
        return "\n".join(lines) + "\n"

    def write_config(self):
        self.ini.write_text(self.ini_text(self.config), encoding="utf-8")
        self.write_users()

    def write_users(self):
        text = "".join('"%s" "%s"\n' % (name.replace('"', '""'), secret.replace('"', '""'))
                       for name, secret in self.users.items())
        self.users_file.write_text(text, encoding="utf-8")
        os.chmod(self.users_file, 0o600)

    # --- life ---

    def start(self, sections=None, upstream=None, environment=None, fd_limit=None, arguments=None, **settings):
        for _ in range(5):
            self.configure(sections, upstream, **settings)
            if self.direct:
                return self
            self.write_config()
            before = len(self.log())
            self.launch(arguments or [str(self.ini)], environment, fd_limit, wait=False)
            wait_until(lambda: self.process.poll() is not None or self._answers(), what="pgweir to listen")
            if self.process.poll() is None or "Address already in use" not in self.log()[before:]:
                break
            self.http_port = free_port()    # another program on this machine was quicker
            if "listen" not in (sections or {}).get("pgweir", {}):
                self.port = free_port()
        self._is_listening()
        return self

    def start_opened(self, pool_timeout, sections=None, **settings):
        """With a pool that has all of its connections, and whose code is known: on a busy machine that takes longer than a
        pool_timeout that is short, which is set behind it."""
        self.start(sections, **settings)
        wires = [self.raw() for _ in range(settings.get("pool_size", 1))]
        if not self.direct:
            self.wait_log("database app: ")
        for wire in wires:
            wire.query(rawwire.BEGIN_NOW)
        for wire in wires:
            wire.query("COMMIT")
            wire.leave()
        self.reload(sections, pool_timeout=pool_timeout, **settings)

    def launch(self, arguments, environment=None, fd_limit=None, wait=True, pass_fds=()):
        if self.binary is None:
            pytest.skip("no pgweir: set PGWEIR_BIN, or build it")
        env = {**os.environ, **(environment or {})}
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        env.pop("NOTIFY_SOCKET", None) if "NOTIFY_SOCKET" not in (environment or {}) else None

        def prepare():
            resource.setrlimit(resource.RLIMIT_NOFILE, (fd_limit, fd_limit))

        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.prefix, str(self.binary), *arguments], cwd=self.directory, env=env,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=pass_fds,
                                            # with one, all of this process is copied before the other begins
                                            preexec_fn=None if fd_limit is None else prepare)
        if wait:
            wait_until(self._is_listening, what="pgweir to listen")
        return self.process

    def _is_listening(self):
        if self.process.poll() is not None:
            pytest.fail(f"pgweir ended with {self.process.returncode} at start:\n{self.log()}")
        return self._answers()

    def _answers(self):
        """Whether each listener of the configuration answers: they open one after the other."""
        listen = self.config.get("pgweir", {}).get("listen", "")
        listeners = [listen] if isinstance(listen, str) else listen
        addresses = {(self.host, str(self.port))} | {tuple(item.replace("[", "").replace("]", "").rsplit(":", 1))
                                                for item in listeners if ":" in item.removeprefix("unix:")}
        if not all(os.path.exists(item.removeprefix("unix:")) for item in listeners if item.startswith("unix:")):
            return False
        try:
            for address in addresses:
                socket.create_connection(address, 1).close()
            return True
        except OSError:
            return False

    def is_alive(self):
        return self.direct or (self.process is not None and self.process.poll() is None)

    def signal(self, number):
        self.process.send_signal(number)

    def stand_still(self):
        """Stops it until SIGCONT; returns when all of its threads have stopped, not just been told to."""
        self.signal(SIGSTOP)
        states = [path / "stat" for path in Path(f"/proc/{self.process.pid}/task").iterdir()]
        wait_until(lambda: all(path.read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "T" for path in states))

    def wait_exit(self, timeout=10):
        """Waits for its end and tells the exit code; the fixture then takes that end for wanted."""
        self.expected_exit = wait_process(self.process, timeout * SLOWNESS)
        return self.expected_exit

    def stop(self, how=SIGINT, timeout=15):
        self.signal(how)
        return self.wait_exit(timeout)

    def restart(self, wait=True):
        """A restart in which the clients move to a new process, which self.process is then. Returns the old one. wait:
        until that has ended."""
        become_reaper()
        self.signal(SIGUSR2)
        return self.restart_was_asked(wait)

    def restart_was_asked(self, wait=True):
        """The same, when somebody else has asked for it."""
        old = self.process
        become_reaper()
        wait_until(lambda: self._last_ready() != old.pid, 60, "the successor to be ready")
        self.process = Successor(self._last_ready())
        if wait:
            assert wait_process(old, 30 * SLOWNESS) == 0
        else:
            self.predecessors.append(old)
        return old

    def _last_ready(self):
        return int(re.findall(r"is ready \(pid (\d+)\)", self.log())[-1])

    def reload(self, sections=None, upstream=None, wait=True, **settings):
        """New configuration by SIGHUP; returns when pgweir says it has been read."""
        self.configure(sections, upstream, **settings)
        if self.direct:
            return
        before = self.metric("pgweir_config_reloads_total") if wait else 0
        self.write_config()
        self.signal(SIGHUP)
        if wait:
            wait_until(lambda: self.metric("pgweir_config_reloads_total") > before, what="the reload")

    def log(self):
        """What is in the log by now. Its writer may be some milliseconds behind: see wait_log()."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def wait_log(self, *texts):
        """Waits until the log has all of them, and returns it."""
        for text in texts:
            wait_until(lambda: text in self.log(), what=f"the log to say: {text}")  # pylint: disable=cell-var-from-loop
        return self.log()

    def close_connections(self):
        """Those that were kept."""
        while self._connections:
            try:
                self._connections.pop().close()
            except Exception:  # pylint: disable=broad-except
                pass

    def teardown(self):
        """Ends it and looks whether all was well."""
        problems = []
        self.close_connections()
        for process in self.predecessors:   # a process that lives takes note of its successor's end, which is not seen here then
            with contextlib.suppress(subprocess.TimeoutExpired):
                wait_process(process, 5)
        if self.process is not None:
            code = self.process.poll()
            if self.expected_exit is None:
                if code is not None:
                    problems.append(f"pgweir ended by itself with {code}")
                else:
                    self.process.send_signal(SIGINT)
                    try:
                        code = wait_process(self.process, 30 * SLOWNESS)
                        if code != 0:
                            problems.append(f"pgweir ended with {code} after SIGINT")
                    except subprocess.TimeoutExpired:
                        self.process.kill()
                        self.process.wait()
                        problems.append(f"pgweir did not end within {30 * SLOWNESS:.0f} s of SIGINT")
            elif code is None:
                self.process.kill()
                self.process.wait()
                problems.append("pgweir runs on, though its end was waited for")
            if not self.is_loud:
                for line in self.log().splitlines():
                    if BAD_LOG.search(line):
                        problems.append(f"in the log: {line}")
        for process in self.predecessors:   # they are stopped with their successor, or end with their last client
            try:
                wait_process(process, 15 * SLOWNESS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                problems.append(f"process {process.pid}, that a restart has replaced, did not end")
        self._executor.shutdown(wait=False, cancel_futures=True)
        return problems

    # --- looking at it ---

    def memory_bytes(self, field="VmRSS"):
        """Of pgweir's process; 0 when tests run against PostgreSQL itself."""
        if self.direct:
            return 0
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"{field}:\s+(\d+) kB", status).group(1)) * 1024

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def http(self, path, method="GET", headers=None, body=None):
        with closing(http.client.HTTPConnection(self.host, self.http_port, timeout=10 * SLOWNESS)) as connection:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return SimpleNamespace(status=response.status, headers=response.headers,
                                   text=response.read().decode("utf-8"))

    def metrics(self):
        """All samples: {(name, ((label, value), ...)): number}, labels sorted."""
        answer = self.http("/metrics")
        assert answer.status == 200, answer.text
        return parse_metrics(answer.text)

    def metric(self, name, **labels):
        """The sum of the samples of that name that have these labels; 0 when there is none."""
        wanted = set(labels.items())
        return sum(value for (sample, found), value in self.metrics().items()
                   if sample == name and wanted <= set(found))

    def metric_now(self, name, **labels):
        """The same when nothing may be missed: what /metrics shows may be as old as 250 ms (http_pages.c)."""
        time.sleep(0.26)
        return self.metric(name, **labels)

    def console(self, command, user="admin", database="pgweir"):
        """A console command's rows as dictionaries."""
        with psycopg.connect(self.dsn(user, database), autocommit=True,
                             row_factory=psycopg.rows.dict_row) as connection:
            cursor = connection.execute(command)
            return cursor.fetchall() if cursor.description else []

    def pool(self, database="app", user="web"):
        """The row of SHOW POOLS, or None."""
        for row in self.console("SHOW POOLS"):
            if row["database"] == database and row["user"] == user:
                return row
        return None

    def settle(self):
        """Waits until no server is opened or asked: PostgreSQL may take its time to say what the code of a database could do."""
        wait_until(lambda: all(row["state"] != "unknown" for row in self.console("SHOW DATABASE_CODE")) and
                   all(row["sv_login"] == row["sv_tested"] == 0 for row in self.console("SHOW POOLS")), what="servers to be left alone")

    def wait_waiting(self, count, database="app", user="web"):
        wait_until(lambda: self.pool(database, user)["cl_waiting"] == count, what=f"{count} waiting clients")

    @property
    def slow_file(self):
        if not HAS_SLOW_LOG:
            pytest.skip(NO_SLOW_LOG)
        return self.directory / "slow.log"

    def slow_lines(self):
        if not self.slow_file.exists():
            return []
        return [json.loads(line) for line in self.slow_file.read_text(encoding="utf-8").splitlines()]

    # --- connections through it ---

    def dsn(self, user="web", database="app", **words):
        host, port = self.address
        words = {"host": host, "port": port, "user": user, "dbname": database, "gssencmode": "disable",
                 "connect_timeout": round(10 * SLOWNESS), **transport.libpq_words(), **words}
        return " ".join("%s='%s'" % (key, str(value).replace("\\", "\\\\").replace("'", "\\'"))
                        for key, value in words.items())

    def url(self, user="web", database="app", scheme="postgresql", password=None, query=None):
        """query: "?..."; None: how libpq is told to use TLS or not to."""
        host, port = self.address
        if query is None:
            query = "?" + "&".join(f"{key}={value}" for key, value in transport.libpq_words().items())
        secret = f":{password}" if password else ""
        return f"{scheme}://{user}{secret}@{host}:{port}/{database}{query}"

    def keep(self, connection):
        """Closed at the end of the test at the latest."""
        self._connections.append(connection)
        return connection

    def connect(self, user="web", database="app", autocommit=False, **words):
        """psycopg (3)."""
        return self.keep(psycopg.connect(self.dsn(user, database, **words), autocommit=autocommit))

    def connect2(self, user="web", database="app", autocommit=False, **words):
        """psycopg2."""
        connection = psycopg2.connect(self.dsn(user, database, **words))
        connection.autocommit = autocommit
        return self.keep(connection)

    def wire(self, **options):
        """A raw connection, nothing sent yet."""
        return self.keep(rawwire.Wire(self.address, **options))

    def raw(self, user="web", database="app", password=None, parameters=None, **options):
        """A raw connection, logged in."""
        return self.wire(**options).login(user, database, password or self.users.get(user), parameters)

    def in_background(self, function, *arguments):
        return self._executor.submit(function, *arguments)

    @staticmethod
    def wait_until(predicate, timeout=20, what=""):
        return wait_until(predicate, timeout, what)


def wait_blockers(ask):
    """The rows that ask() has once PostgreSQL has said who blocks whom, for which pgweir waits no longer than a second."""
    return wait_until(lambda: (rows := ask()) and all(row["blocked_by"] is not None for row in rows) and rows, what="who blocks whom")


def become_reaper():
    """Processes whose parents have ended become children of this one, so that their ends are seen."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)     # PR_SET_CHILD_SUBREAPER


class Successor:
    """What Popen is for a process that was started by another: pgweir's after a restart."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid == self.pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            except ChildProcessError:       # not yet: its parent lives
                if not Path(f"/proc/{self.pid}").exists():
                    self.returncode = -1
        return self.returncode

    def wait(self, timeout=None):
        end = time.monotonic() + (timeout if timeout is not None else 1e9)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(SIGKILL)


def wait_process(process, timeout):
    """Popen.wait polls with sleeps of up to 50 ms, which a thousand tests would feel."""
    descriptor = os.pidfd_open(process.pid) if process.poll() is None else -1
    if descriptor >= 0:
        select.select([descriptor], [], [], timeout)
        os.close(descriptor)
    return process.wait(5)              # a successor may still be its parent's to reap


SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)",?')


def parse_metrics(text):
    """Samples of the text exposition; fails on a line that is no sample and on one that comes twice."""
    samples = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, f"no sample: {line!r}"
        name, labels, value = match.groups()
        found, at = [], 0
        while labels and at < len(labels):
            label = LABEL.match(labels, at)
            assert label, f"bad labels: {line!r}"
            raw = label.group(2)
            found.append((label.group(1), re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], raw)))
            at = label.end()
        key = (name, tuple(sorted(found)))
        assert key not in samples, f"twice: {line!r}"
        samples[key] = float(value)
    return samples


def read_slowly(weir):
    """A client asks for 50 MB of 5000 rows and begins to read when PostgreSQL has waited for it for 0.7 s, and on a busy machine for
    several times as long as PostgreSQL has worked."""
    with weir.raw(receive_buffer=65_536) as wire:
        begin = time.monotonic()
        wire.send(rawwire.query("SELECT repeat('x', 10000) FROM generate_series(1, 5000)"))
        wait_until(lambda: weir.postgres.backends(wait_event="ClientWrite"))
        time.sleep(max(0.7, 4 * (time.monotonic() - begin)))
        wire.read_until("Z")


def hold(weir, there, dbname):
    """A client that keeps this one of the pool's two servers."""
    wires = [weir.raw("web", dbname), weir.raw("web", dbname)]
    for wire in wires:
        wire.query(rawwire.BEGIN_NOW)
    for wire in wires:
        if wire.query("SELECT pg_backend_pid()") != there:
            wire.query("ROLLBACK")


def timed(function, *arguments):
    """(result, seconds)"""
    begin = time.monotonic()
    result = function(*arguments)
    return result, time.monotonic() - begin
