"""A throwaway PostgreSQL: its own data directory, port and socket, gone with the test session."""

import atexit
import collections
import fcntl
import functools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg2
import psycopg2.extras

import transport
from rawwire import md5_secret, scram_verifier
from waiting import SLOWNESS, free_port, wait_until

PASSWORDS = {
    "web": "web-secret",
    "reporting": "reporting-secret",
    "md5user": "md5-secret",
    "scramuser": "scram-secret",
    "plainuser": "plain-secret",
    "admin": "admin-secret",
    "stats": "stats-secret",
}

HBA = """\
local all all                          trust
host  all md5user     127.0.0.1/32     md5
host  all scramuser   127.0.0.1/32     scram-sha-256
host  all longuser    127.0.0.1/32     scram-sha-256
host  all plainuser   127.0.0.1/32     password
host  all refused     127.0.0.1/32     reject
host  all all         127.0.0.1/32     trust
host  all all         ::1/128          trust
"""

SETTINGS = """\
listen_addresses = '127.0.0.1'
max_connections = 200
max_prepared_transactions = 5
superuser_reserved_connections = 5
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = 1GB
shared_buffers = 64MB
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
autovacuum = off
jit = off
log_min_messages = warning
log_line_prefix = '%e %p '
stats_fetch_consistency = none
"""


# A statement of pgweir's own that this PostgreSQL does not accept, or does not know something of.
REFUSED = re.compile(r"^(?:0A000|42601|42703|42883) \d+ STATEMENT:  .*/\* pgweir \*/.*$", re.M)


# What query() may run in a session that others have used, and will use: what begins like this and has no such word.
HARMLESS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|GRANT|TRUNCATE)\b(?!.*\b(SET|set_config|current_setting|"
                      r"nextval|setval|TEMP|INTO|LISTEN|DATABASE|\w*advisory\w*|pg_settings|pg_reload_conf)\b)", re.I | re.S)


def find_bin():
    """PostgreSQL's server programs."""
    candidates = [os.environ.get("PG_BIN", "")]
    candidates += sorted((str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    if shutil.which("initdb"):
        candidates.append(str(Path(shutil.which("initdb")).parent))
    for candidate in candidates:
        if candidate and (Path(candidate) / "initdb").exists():
            return Path(candidate)
    raise RuntimeError("no PostgreSQL server programs found; set PG_BIN or install postgresql-15")


@functools.cache
def major_version():
    """PostgreSQL's: 15, 16, ... See the marks since and before."""
    shown = subprocess.run([find_bin() / "postgres", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return int(re.search(r"\(PostgreSQL\) (\d+)", shown)[1])


def unprivileged_prefix():
    """PostgreSQL refuses to run as root: the words that run a program as somebody else."""
    if os.getuid() != 0:
        return [], None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"], user
    raise RuntimeError("running as root, and there is neither a user postgres nor a user nobody")


@functools.cache
def roomy_place():
    """The folder for data directories: in memory if there is room, where a copy takes a sixth of the time; None: TMPDIR."""
    shared = Path("/dev/shm")
    if os.environ.get("TMPDIR") or not os.access(shared, os.W_OK):
        return None
    found = os.statvfs(shared)
    return shared if found.f_bavail * found.f_frsize >= 2 << 30 else None


@functools.cache
def template_place():
    """Where the data directory is that others are copies of: PGWEIR_PG_TEMPLATE if several processes share it."""
    named = os.environ.get("PGWEIR_PG_TEMPLATE")
    if named:
        return Path(named)
    made = Path(tempfile.mkdtemp(prefix="pgweir-it-template-", dir=roomy_place()))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


class Postgres:
    """One cluster. Superuser postgres (trust); users and passwords as in PASSWORDS; databases app and app2."""

    host = "127.0.0.1"

    def __init__(self, settings=""):
        self.bin = find_bin()
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="pgweir-it-pg-", dir=roomy_place()))
        self.data = self.directory / "data"
        self.socket_dir = self.directory
        self.prefix, user = unprivileged_prefix()
        if user is not None:
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        os.chmod(self.directory, 0o755)
        self.process = None
        self._make_data()
        self._configure(settings)
        if transport.IS_TLS:
            self.use_tls(transport.material())
        self.start()

    def _make_data(self):
        """A copy of what the first one has made: initdb takes its time."""
        template = template_place() / "data"
        with open(template_place() / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not template.exists():
                self._init_data()
                new = template.with_suffix(".new")
                subprocess.run(["cp", "-a", self.data, new], check=True)
                new.rename(template)
                return
        subprocess.run(["cp", "-a", template, self.data], check=True)

    def _init_data(self):
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                  "--no-sync", "--no-instructions", "--wal-segsize=1")
        self._configure(SETTINGS)
        (self.data / "pg_hba.conf").write_text(HBA, encoding="utf-8")
        self.start()
        self._populate()
        self.stop()

    def _configure(self, settings):
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(f"port = {self.port}\nunix_socket_directories = '{self.socket_dir}'\n{settings}")

    def use_tls(self, made):
        """From the next start on. PostgreSQL wants to own its key."""
        owner = os.stat(self.data)
        for source, name in ((made.certificate, "server.crt"), (made.key, "server.key")):
            shutil.copy(source, self.data / name)
            os.chown(self.data / name, owner.st_uid, owner.st_gid)
            os.chmod(self.data / name, 0o600)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write("ssl = on\n")

    def _run(self, program, *arguments):
        done = subprocess.run([*self.prefix, str(self.bin / program), *map(str, arguments)], cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}")

    def program(self, name):
        """A client program of this PostgreSQL, or this Debian's: npm's builds have servers alone."""
        return self.bin / name if (self.bin / name).exists() else Path(shutil.which(name) or name)

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen([*self.prefix, str(self.bin / "postgres"), "-D", str(self.data)],
                                            cwd="/", stdout=log, stderr=log, start_new_session=True)
        wait_until(lambda: self.query("SELECT 1", dbname="postgres"), 60, "PostgreSQL to start")

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast. SIGQUIT: at once, as in a crash."""
        if self.process is None:
            return
        self._drop_kept()
        self.process.send_signal(how)
        try:
            self.process.wait(20 * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def destroy(self):
        """Whatever a test was about: no statement of pgweir's own may be one that this version refuses."""
        self.stop(signal.SIGQUIT)
        refused = REFUSED.findall((self.directory / "log").read_text("utf-8", "replace"))
        shutil.rmtree(self.directory, ignore_errors=True)
        assert not refused, f"PostgreSQL {major_version()} has refused: " + "\n".join(sorted(set(refused))[:5])

    def _populate(self):
        create = []
        for name, password in PASSWORDS.items():
            secret = md5_secret(name, password) if name == "md5user" else scram_verifier(password)
            create.append(f"CREATE ROLE {name} LOGIN PASSWORD '{secret}'")
        create.append("CREATE ROLE refused LOGIN")
        create.append("CREATE ROLE limited LOGIN CONNECTION LIMIT 1")
        for statement in create:
            self.query(statement, dbname="postgres")
        for name in ("app", "app2"):
            self.query(f"CREATE DATABASE {name} OWNER web", dbname="postgres")
            self.query("GRANT ALL ON SCHEMA public TO PUBLIC", dbname=name)
            self.query("CREATE SCHEMA hidden CREATE VIEW prepared AS SELECT * FROM pg_prepared_statements", dbname=name)
            self.query("GRANT USAGE ON SCHEMA hidden TO PUBLIC; GRANT SELECT ON hidden.prepared TO PUBLIC", dbname=name)

    def connect(self, dbname="app", user="postgres", **more):
        """psycopg2, autocommit, over the Unix socket: never counted among pgweir's TCP connections."""
        connection = psycopg2.connect(host=str(self.socket_dir), port=self.port, dbname=dbname, user=user, **more)
        connection.autocommit = True
        return connection

    @functools.cached_property
    def _kept(self):
        """Idle connections of query(), by database. A new one costs PostgreSQL ten times what a statement does."""
        return collections.defaultdict(list)

    def _drop_kept(self):
        for idle in self._kept.values():
            while idle:
                idle.pop().close()

    def query(self, sql, parameters=None, dbname="app", user="postgres", factory=None):
        """Rows of one statement, straight from PostgreSQL."""
        keeps = user == "postgres" and dbname in ("app", "postgres") and HARMLESS.match(sql)
        idle = self._kept[dbname] if keeps else []
        while idle:
            connection = idle.pop()
            try:
                return self._ask(connection, sql, parameters, factory, idle)
            except psycopg2.Error as error:
                if error.pgcode not in (None, "57P01", "57P02"):
                    raise                   # else PostgreSQL has restarted meanwhile
        return self._ask(self.connect(dbname, user), sql, parameters, factory, idle if keeps else None)

    @staticmethod
    def _ask(connection, sql, parameters, factory, idle):
        """idle: where the connection is kept afterwards; None: it is closed."""
        try:
            with connection.cursor(cursor_factory=factory) as cursor:
                cursor.execute(sql, parameters)
                rows = cursor.fetchall() if cursor.description else None
        except psycopg2.Error:
            connection.close()
            raise
        if idle is None:
            connection.close()
        else:
            idle.append(connection)
        return rows

    def value(self, sql, parameters=None, dbname="app"):
        return self.query(sql, parameters, dbname)[0][0]

    def backends(self, **like):
        """Client backends other than postgres' own, as dictionaries of pg_stat_activity; like: column = value."""
        rows = self.query("SELECT * FROM pg_stat_activity WHERE backend_type = 'client backend' "
                          "AND pid <> pg_backend_pid() AND usename IS DISTINCT FROM 'postgres'",
                          dbname="postgres", factory=psycopg2.extras.RealDictCursor)
        return [row for row in rows if all(row[key] == value for key, value in like.items())]

    def count(self, **like):
        return len(self.backends(**like))

    def kill_backends(self, **like):
        """Terminates them and waits until they are gone: who is lent one afterwards has no excuse."""
        pids = [row["pid"] for row in self.backends(**like)]
        for pid in pids:
            self.query("SELECT pg_terminate_backend(%s)", (pid,), dbname="postgres")
        wait_until(lambda: not {row["pid"] for row in self.backends()} & set(pids), what="killed backends to end")

    def kill_until_none_is_left(self, **like):
        """Those, too, that are being opened meanwhile."""
        wait_until(lambda: self.kill_backends(**like) or self.count(**like) == 0, what="no backend to be left")
