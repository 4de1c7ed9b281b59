"""A file of PgBouncer's runs as it is, and is written as pgweir's own by --import-pgbouncer."""

import grp
import os
import re
import shlex
import socket
import stat
import subprocess
import threading
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR2

import psycopg2
import pytest

import rawwire
import transport
from rawwire import BEGIN_NOW, QueryFailed, query, shape, texts
from tap import Tap
from waiting import PATIENCE, SLOWNESS, free_port, wait_until
from weir import REPOSITORY, become_reaper, needs_slow_log

pytestmark = pytest.mark.weir_only


class Bouncer:
    """pgweir, run with a pgbouncer.ini."""

    def __init__(self, weir):
        self.weir = weir
        self.ini = weir.directory / "pgbouncer.ini"
        self.users = weir.directory / "userlist.txt"
        self.log_file = weir.directory / "pgbouncer.log"

    def write(self, settings="", databases=None, users=""):
        here = f"host={self.weir.postgres.host} port={self.weir.postgres.port}"
        self.users.write_text('"web" "web-secret"\n"root" "root-secret"\n')
        self.ini.write_text(f"""\
[databases]
{databases if databases is not None else f"app = {here}"}
[users]
{users}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.weir.port}
unix_socket_dir = {self.weir.directory}
auth_type = trust
auth_file = {self.users}
admin_users = root
logfile = {self.log_file}
{settings}
""".replace("HERE", here))
        self.ini.chmod(0o600)

    def start(self, *arguments, **file):
        self.write(**file)
        self.weir.config = {"pgweir": {"listen": [f"unix:{self.weir.directory}/.s.PGSQL.{self.weir.port}"]}}
        self.weir.launch([*arguments, str(self.ini)])
        return self

    def reload(self, **file):
        self.write(**file)
        before = self.log().count("reloaded")
        self.weir.signal(SIGHUP)
        wait_until(lambda: self.log().count("reloaded") > before, what="the reload")

    def serve_first(self):
        """Until a client has been served, and nothing is opened or asked: the first may wait longer than a limit that is tested."""
        wait_until(lambda: self.weir.raw().query("SELECT 1"), what="a first answer")
        wait_until(lambda: all(row["sv_login"] == row["sv_tested"] == 0 for row in self.console("SHOW POOLS")), what="idle servers")

    def log(self):
        return self.log_file.read_text(encoding="utf-8") if self.log_file.exists() else ""

    def connect(self, dbname="app", user="web", **words):
        connection = psycopg2.connect(**{"host": self.weir.host, "port": self.weir.port, "dbname": dbname, "user": user, **words})
        connection.autocommit = True
        return self.weir.keep(connection)

    def value(self, sql, **words):
        with self.connect(**words).cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def console(self, command, user="root", **words):
        with self.connect(dbname="pgbouncer", user=user, **words).cursor() as cursor:
            cursor.execute(command)
            return [dict(zip([column[0] for column in cursor.description], row)) for row in cursor.fetchall()]

    def command(self, command, **words):
        with self.connect(dbname="pgbouncer", user="root", **words).cursor() as cursor:
            cursor.execute(command)

    def settings(self):
        return {row["key"]: row["value"] for row in self.console("SHOW CONFIG")}


def run(bouncer, *arguments):
    return subprocess.run([str(bouncer.weir.binary), *map(str, arguments)], capture_output=True, text=True, timeout=20 * SLOWNESS,
                          cwd=bouncer.weir.directory, check=False)


@pytest.fixture
def bouncer(weir):
    return Bouncer(weir)


def test_it_runs_and_pgbouncers_defaults_hold(bouncer):
    bouncer.start()
    assert bouncer.value("SELECT current_user || '/' || current_database()") == "web/app"
    settings = bouncer.settings()
    assert settings["pool_mode"] == "session" and settings["max_client_conn"] == "100"
    assert settings["query_wait_timeout"] == "120"


def test_show_config_has_all_of_pgbouncers_settings_in_its_order(bouncer):
    """As they are written, defaults included; a SET shows, too."""
    bouncer.start(settings="server_reset_query = DISCARD PLANS\nstats_period = 30")
    rows = bouncer.console("SHOW CONFIG")
    theirs = {row["key"]: row for row in rows if "." not in row["key"]}
    assert len(theirs) > 100 and list(theirs)[:3] == ["admin_users", "application_name_add_host", "auth_dbname"]
    assert theirs["server_reset_query"]["value"] == "DISCARD PLANS" and theirs["stats_period"]["value"] == "30"
    assert theirs["server_reset_query"]["default"] == "DISCARD ALL" and theirs["max_client_conn"]["default"] == "100"
    assert theirs["auth_type"]["value"] == "trust" and theirs["server_tls_sslmode"]["value"] == "prefer"
    assert theirs["listen_port"]["changeable"] == "no" and theirs["pkt_buf"]["value"] == "4096"
    with bouncer.connect(dbname="pgbouncer", user="root").cursor() as cursor:
        cursor.execute("SET query_timeout = 2.5")
        cursor.execute("SET slow_query.threshold = 3s")
        for wrong in ("max_client_conn = -5", "default_pool_size = 1000000", "query_timeout = -1", "stats_period = x",
                      "reserve_pool_timeout = 1000000", "scram_iterations = 1"):
            with pytest.raises(psycopg2.Error):
                cursor.execute("SET " + wrong)
    settings = bouncer.settings()
    assert settings["query_timeout"] == "2.5" and settings["slow_query.threshold"] == "3s"
    assert settings["max_client_conn"] == "100" and settings["default_pool_size"] == "20"


@needs_slow_log
def test_pgbouncers_names_are_known_where_pgweirs_file_is_read(weir):
    def run(*arguments):
        return subprocess.run([weir.binary, *arguments], capture_output=True, text=True, timeout=10 * SLOWNESS, check=False)
    assert run("--help-config", "default_pool_size").stdout == run("--help-config", "pool_size").stdout != ""
    named = weir.directory / "named.ini"
    named.write_text("[pool]\ndefault_pool_size = 5\n")
    done = run("--check-config", named)
    assert done.returncode == 1 and f"{named}:2: error: " in done.stderr and "PgBouncer" in done.stderr
    weir.start()
    assert [row["value"] for row in weir.console("SHOW CONFIG") if row["key"] == "max_client_conn"] == ["1000"]


def test_sections_of_pgweirs_give_metrics_and_a_slow_log(bouncer, weir):
    slow = weir.directory / "their-slow.log"
    bouncer.start(settings=f"[http]\nlisten = 127.0.0.1:{weir.http_port}\n[slow_query]\nthreshold = 0ms\nfile = {slow}\n")
    assert bouncer.value("SELECT 41 + 1") == 42
    wait_until(lambda: slow.exists() and "SELECT" in slow.read_text())
    assert weir.metric("pgweir_pool_checkouts_total", database="app", user="web") > 0


def test_a_section_of_pgweirs_asks_for_the_older_pgbouncers_columns(bouncer):
    bouncer.start()
    assert bouncer.value("SELECT 41 + 1") == 42
    row = next(row for row in bouncer.console("SHOW STATS") if row["database"] == "app")
    assert len(row) == 25 and row["total_client_login_count"] >= 1 and list(row)[-1] == "avg_client_login_count"
    bouncer.reload(settings="[pgweir]\ncompat = pgbouncer_1_25\n")
    assert len(bouncer.console("SHOW STATS")[0]) == 23


def test_a_file_without_databases_starts_and_has_a_console(bouncer):
    """As Debian's own."""
    bouncer.start(databases="")
    assert bouncer.console("SHOW VERSION")
    with pytest.raises(psycopg2.OperationalError, match=r"no such database: app(.|\n)*Add a line app = \.\.\. or \* = "):
        bouncer.connect()


def test_broken_lines_of_auth_file_and_no_host_are_warned_of(bouncer):
    bouncer.write(settings="unix_socket_dir =", databases="app = HERE\nlocal = port=1")
    bouncer.users.write_text('"x" "unclosed\n"web" "web-secret"\n"root" "r"\n')
    done = run(bouncer, "--check-config", bouncer.ini)
    told = done.stdout + done.stderr
    assert done.returncode == 0 and "userlist.txt:1: a quote is not closed" in told
    assert "pgbouncer.ini:3: warning: local: no host is given and unix_socket_dir is empty: /tmp is used" in told


def test_what_is_no_name_of_a_host_is_warned_of_and_costs_its_own_clients_alone(bouncer):
    postgres = bouncer.weir.postgres
    bouncer.start(settings="query_wait_timeout = 1", databases=f"app = HERE\ntypo = host= port={postgres.port}\n"
                  f"some = host=,a@b,{postgres.host} port={postgres.port} dbname=app")
    told = run(bouncer, "--check-config", bouncer.ini).stderr
    assert f'typo: "port={postgres.port}" is not the name of a host: clients that are sent there get an error' in told
    assert 'some: a host in the list is empty' in told and 'some: "a@b" is not the name of a host' in told
    assert bouncer.value("SELECT 1") == 1
    assert "query_wait_timeout" in refusal(bouncer, dbname="typo")
    wait_until(lambda: re.search(r"S-0x\S+ typo/web@\S+ closing because: server DNS lookup failed", bouncer.log()))
    assert bouncer.value("SELECT 1", dbname="some") == 1


def test_explain_pool_names_the_files_settings(bouncer):
    bouncer.start(settings="default_pool_size = 3\npool_mode = transaction")
    assert bouncer.value("SELECT 1") == 1
    said = [row["explanation"] for row in bouncer.console("EXPLAIN POOL app")]
    assert said[0].startswith("Pool app/web has default_pool_size = 3 and reserve_pool_size = 0; "), said
    assert "raise" not in said[-1], said    # nothing was looked at yet


def test_a_reload_without_auth_file_keeps_its_users(bouncer):
    bouncer.start(settings="auth_type = scram-sha-256")
    bouncer.users.unlink()
    for command in ("RELOAD", "SET auth_file = '/nowhere'"):
        bouncer.command(command, password="root-secret")
    bouncer.connect(dbname="pgbouncer", user="root", password="root-secret")
    assert "keeping the users that auth_file had before" in bouncer.log()


def test_advice_names_pgbouncers_settings(bouncer):
    bouncer.start()
    with pytest.raises(psycopg2.OperationalError) as refused:
        bouncer.connect(dbname="pgbouncer", user="web")
    assert "Add it to admin_users or stats_users." in str(refused.value) and "pgweir.ini" not in str(refused.value)
    bouncer.reload(settings="auth_type = md5\nmax_client_conn = 1", databases="app = HERE user=md5user")
    with pytest.raises(psycopg2.Error) as failed:
        bouncer.value("SELECT 1", password="web-secret")
    assert "auth_file" in str(failed.value) and "users_file" not in str(failed.value)
    assert "users_file" not in bouncer.log() and "section [" not in bouncer.log()


def test_a_forced_user_and_another_name(bouncer):
    bouncer.start(databases="theirs = HERE dbname=app2 user=plainuser password=plain-secret\n* = HERE")
    assert bouncer.value("SELECT current_user || '/' || current_database()", dbname="theirs") == "plainuser/app2"
    assert bouncer.value("SELECT current_database()", dbname="app") == "app"


def test_settings_of_a_connection(bouncer):
    bouncer.start(databases="app = HERE timezone='Asia/Tokyo' application_name=named")
    assert bouncer.value("SHOW timezone") == "Asia/Tokyo"


def test_a_reload_reads_the_same_file(bouncer):
    bouncer.start(settings="default_pool_size = 3")
    assert bouncer.settings()["default_pool_size"] == "3"
    bouncer.reload(settings="default_pool_size = 4", databases="app = HERE\nmore = HERE dbname=app2")
    assert bouncer.settings()["default_pool_size"] == "4"
    assert bouncer.value("SELECT current_database()", dbname="more") == "app2"
    for change in ("default_pool_size: 3 -> 4", "database more: added"):    # by the names that the file has
        assert f"configuration: {change}" in bouncer.log()


def test_a_reload_moves_no_listener(bouncer):
    bouncer.start()
    bouncer.reload(settings="listen_port = 1\nunix_socket_dir = /nonexistent")
    assert bouncer.value("SELECT 1") == 1


NOT_OURS = "192.0.2.1"         # TEST-NET-1: no machine has it


@pytest.mark.parametrize("addresses, refused", [
    (f"127.0.0.1, {NOT_OURS}", [NOT_OURS]), (f"{NOT_OURS},127.0.0.1", [NOT_OURS]), ("127.0.0.1, 127.0.0.1", []),
    ("127.0.0.1, localhost", []), ("*, 127.0.0.1", ["127.0.0.1"])])
def test_it_serves_on_the_addresses_that_it_can_have(bouncer, addresses, refused):
    """PgBouncer warns of the others, too. A container without IPv6 has no ::1 for localhost."""
    bouncer.start(settings=f"listen_addr = {addresses}")
    for address in refused:
        wait_until(lambda: f"could not listen on {address} port {bouncer.weir.port}" in bouncer.log())  # pylint: disable=cell-var-from-loop
    bouncer.reload(settings=f"listen_addr = {addresses}\ndefault_pool_size = 3")
    assert bouncer.settings()["default_pool_size"] == "3" and bouncer.value("SELECT 1") == 1


def test_it_does_not_start_without_an_address_or_its_unix_socket(bouncer):
    bouncer.write(settings=f"listen_addr = {NOT_OURS}, 198.51.100.1")
    done = run(bouncer, bouncer.ini)
    assert done.returncode == 1 and "could not listen on 198.51.100.1" in bouncer.log() + done.stderr
    bouncer.write(settings="unix_socket_dir = /nonexistent")
    done = run(bouncer, bouncer.ini)
    assert done.returncode == 1 and "could not listen on /nonexistent" in bouncer.log() + done.stderr


def test_a_bad_reload_changes_nothing_and_names_the_line(bouncer):
    bouncer.start()
    bouncer.write(settings="default_pool_size = lots")
    bouncer.weir.signal(SIGHUP)
    wait_until(lambda: "pgbouncer.ini:13: default_pool_size: must be a whole number" in bouncer.log())
    assert bouncer.settings()["default_pool_size"] == "20"


def test_certificates_that_are_not_there_are_told_in_pgbouncers_words(bouncer):
    bouncer.start()
    bouncer.write(settings="client_tls_sslmode = require\nclient_tls_cert_file = /nowhere.crt\n"
                           "client_tls_key_file = /nowhere.key")
    bouncer.weir.signal(SIGHUP)
    wait_until(lambda: re.search(r" ERROR TLS setup failed: [^\n]*No such file or directory", bouncer.log()))


def test_another_server_tls_sslmode_opens_new_servers(bouncer):
    bouncer.start(settings="pool_mode = transaction\nserver_tls_sslmode = prefer")
    client = bouncer.weir.raw()
    pid = client.query("SELECT pg_backend_pid()")
    bouncer.reload(settings="pool_mode = transaction\nserver_tls_sslmode = allow")
    assert client.query("SELECT pg_backend_pid()") != pid
    wait_until(lambda: re.search(r"S-0x\S+ app/web@\S+ closing because: database configuration changed", bouncer.log()))


def test_the_log_tells_of_a_close_before_the_session_has_ended(bouncer, fake):
    """PostgreSQL may take its time for that, and a new connection may be there first."""
    over = threading.Event()

    def ends_late(conn):
        conn.login()
        conn.serve()
        over.wait(20)

    fake.script = ends_late
    bouncer.start(databases=f"app = {fake.upstream}", settings="pool_mode = transaction")
    client = bouncer.weir.raw()
    client.query("SELECT 1")
    bouncer.reload(databases=f"app = {fake.upstream} dbname=app2", settings="pool_mode = transaction")
    client.query("SELECT 1")
    wait_until(lambda: bouncer.log().count("new connection to server") == 2)
    over.set()
    told = re.findall(r"app/web@\S+ (new connection|closing because: database configuration changed)", bouncer.log())
    assert [words[:7] for words in told] == ["new con", "closing", "new con"]


def test_included_files(bouncer):
    more = bouncer.weir.directory / "more.ini"
    more.write_text("[databases]\nfrom_there = HERE dbname=app2\n".replace(
        "HERE", f"host={bouncer.weir.postgres.host} port={bouncer.weir.postgres.port}"))
    bouncer.start(settings=f"%include {more}")
    assert bouncer.value("SELECT current_database()", dbname="from_there") == "app2"


def test_hosts_take_turns_unless_told_otherwise(bouncer):
    """Two names of one server: what is asked is which name the connection was made by."""
    port = bouncer.weir.postgres.port
    bouncer.start(databases=f"app = host=127.0.0.1,{bouncer.weir.postgres.socket_dir} port={port}\n"
                            f"first = dbname=app host=127.0.0.1,{bouncer.weir.postgres.socket_dir} port={port} "
                            "load_balance_hosts=disable")
    asked = "SELECT coalesce(host(inet_client_addr()), 'unix')"

    def ways(dbname):
        return {bouncer.value(asked, dbname=dbname) for _ in range(4)}
    assert ways("app") == {"127.0.0.1", "unix"}
    assert ways("first") == {"127.0.0.1"}


def test_whoever_runs_it_is_the_console_user_over_the_unix_socket(bouncer):
    bouncer.start(settings="auth_type = scram-sha-256")
    here = str(bouncer.weir.directory)
    assert bouncer.console("SHOW VERSION", host=here, user="pgbouncer")
    for words in ({"host": bouncer.weir.host, "user": "pgbouncer"}, {"host": here, "user": "root"}):
        with pytest.raises(psycopg2.OperationalError, match="no password supplied|password authentication failed"):
            psycopg2.connect(port=bouncer.weir.port, dbname="pgbouncer", **words)
    assert bouncer.console("SHOW VERSION", password="root-secret")


def test_a_password_in_the_clear(bouncer):
    bouncer.start(settings="auth_type = plain")
    assert bouncer.value("SELECT 1", password="web-secret") == 1
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        bouncer.connect(password="wrong")


def test_the_import_runs_too(bouncer):
    bouncer.write(settings="default_pool_size = 7\npkt_buf = 4096", users="web = pool_size=2")
    done = run(bouncer, "--import-pgbouncer", bouncer.ini)
    assert done.returncode == 0 and done.stderr == ""
    assert "pgbouncer.ini:13: default_pool_size = 7\npool_size = 7\n" in done.stdout
    assert ": pkt_buf = 4096: pgweir sizes its buffers itself\n" in done.stdout.partition("what has no setting here, and why")[2]
    bouncer.ini.write_text(done.stdout)
    assert run(bouncer, "--check-config", bouncer.ini).returncode == 0
    bouncer.weir.config = {"pgweir": {"listen": []}}
    bouncer.weir.launch([str(bouncer.ini)])
    assert bouncer.value("SELECT current_database()") == "app"
    assert bouncer.settings()["default_pool_size"] == "7"


def test_the_import_starts_with_the_same_mistakes(bouncer):
    """No databases, broken lines in auth_file; and then none, which a reload outlives."""
    bouncer.write(settings="auth_type = scram-sha-256", databases="")
    bouncer.users.write_text('"x" "unclosed\n"root" "root-secret"\n')
    done = run(bouncer, "--import-pgbouncer", bouncer.ini)
    bouncer.ini.write_text(done.stdout)
    bouncer.weir.config = {"pgweir": {"listen": []}}
    bouncer.weir.launch([str(bouncer.ini)])
    bouncer.users.unlink()
    for _ in range(2):
        assert bouncer.console("SHOW VERSION", password="root-secret")
        bouncer.command("RELOAD", password="root-secret")
    bouncer.ini.write_text(re.sub("users_file = .*", "users_file =", done.stdout))
    assert run(bouncer, "--check-config", bouncer.ini).returncode == 0


def test_an_import_of_a_bad_file_says_what_is_bad_and_writes_nothing(bouncer):
    bouncer.write(settings="pool_mode = sometimes")
    done = run(bouncer, "--import-pgbouncer", bouncer.ini)
    assert done.returncode == 1 and done.stdout == ""
    assert "pgbouncer.ini:13: error: pool_mode: \"sometimes\" is not one of" in done.stderr


def test_in_the_background(bouncer):
    pid_file = bouncer.weir.directory / "pgbouncer.pid"
    bouncer.write(settings=f"pidfile = {pid_file}")
    done = run(bouncer, "-d", "-q", "-v", bouncer.ini)
    assert done.returncode == 0, done.stderr
    try:
        assert bouncer.value("SELECT 1") == 1                    # it serves once the starter has returned
        wait_until(lambda: " DEBUG" in bouncer.log())
        pid = int(pid_file.read_text())
        assert os.getsid(pid) != os.getsid(0)
    finally:
        os.kill(int(pid_file.read_text()), 3)
    wait_until(lambda: not pid_file.exists(), what="its end")


def test_the_background_needs_a_log_and_a_reason_to_fail_is_told(bouncer):
    bouncer.write(settings="logfile =")
    done = run(bouncer, "-d", bouncer.ini)
    assert done.returncode == 1 and "-d needs a log file" in done.stderr
    bouncer.start()
    done = run(bouncer, "-d", bouncer.ini)
    assert done.returncode == 1 and "could not listen on" in done.stderr


def test_an_online_restart_is_refused(bouncer):
    bouncer.write()
    done = run(bouncer, "-R", bouncer.ini)
    assert done.returncode == 2 and "RESTART in the console" in done.stderr


def reload_commands():
    """What the drop-in for PgBouncer's unit runs at systemctl reload."""
    text = (REPOSITORY / "contrib" / "systemd" / "pgbouncer.service.d" / "pgweir.conf").read_text()
    return [shlex.split(line.lstrip("-")) for line in re.findall(r"(?m)^ExecReload=(.+)$", text)]


def test_the_unit_of_pgbouncer_restarts_without_a_gap(bouncer, weir):
    """By its two commands, as its user; the service manager is told which process is the main one."""
    path = str(weir.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(PATIENCE)
        weir.log_file = bouncer.log_file
        bouncer.write(settings="pool_mode = transaction")
        weir.launch([str(bouncer.ini)], environment={"NOTIFY_SOCKET": path})
        client = bouncer.connect()
        client.cursor().execute("SET application_name = 'moves'")
        bouncer.write(settings="pool_mode = transaction\ndefault_pool_size = 9")
        kill, psql = reload_commands()
        subprocess.run([word.replace("$MAINPID", str(weir.process.pid)) for word in kill], check=True, timeout=20 * SLOWNESS)
        wait_until(lambda: "reloaded" in bouncer.log())
        old = weir.process
        become_reaper()
        there = {"/var/run/postgresql": str(weir.directory), "6432": str(weir.port)}
        subprocess.run([there.get(word, word) for word in psql], check=True, timeout=20 * SLOWNESS)
        weir.restart_was_asked()
        with client.cursor() as cursor:
            cursor.execute("SHOW application_name")
            assert cursor.fetchone() == ("moves",)
        heard = b""
        while f"MAINPID={weir.process.pid}".encode() not in heard:
            heard = sock.recv(4096)
    assert Path(f"/proc/{weir.process.pid}/cmdline").read_bytes().split(b"\0")[1] == str(bouncer.ini).encode()
    assert weir.process.pid != old.pid and bouncer.console("SHOW CONFIG")
    assert next(row["value"] for row in bouncer.console("SHOW CONFIG") if row["key"] == "default_pool_size") == "9"


def test_sigusr2_only_resumes(bouncer, weir):
    bouncer.start()
    weir.signal(SIGUSR2)
    wait_until(lambda: "resumed" in bouncer.log())
    assert "restart" not in bouncer.log() and weir.is_alive()


@pytest.mark.parametrize("by", ["RESUME", SIGUSR2])
def test_a_shutdown_that_waits_for_clients_lets_them_resume(bouncer, weir, by):
    bouncer.start(settings="pool_mode = transaction")
    client, console = weir.raw(), weir.raw("root", "pgbouncer")
    console.query("PAUSE")
    client.send(query("SELECT 'served'"))
    wait_until(lambda: sum(int(row["cl_waiting"]) for row in bouncer.console("SHOW POOLS")) == 1)
    console.send(query("SHUTDOWN WAIT_FOR_CLIENTS"))
    wait_until(lambda: "no new clients" in bouncer.log())
    if by == SIGUSR2:
        weir.signal(SIGUSR2)
    else:
        weir.keep(rawwire.Wire(f"{weir.directory}/.s.PGSQL.{weir.port}")).login("root", "pgbouncer").send(query("RESUME"))
    assert texts(client.read_until("Z")) == [["served"]]
    weir.close_connections()
    assert weir.wait_exit(5) == 0


def test_nothing_is_paused_while_it_shuts_down(bouncer, weir):
    bouncer.start()
    weir.raw().query("SELECT 1")
    console, other = (weir.keep(rawwire.Wire(f"{weir.directory}/.s.PGSQL.{weir.port}")).login("root", "pgbouncer") for _ in range(2))
    console.send(query("SHUTDOWN WAIT_FOR_CLIENTS"))
    wait_until(lambda: "no new clients" in bouncer.log())
    with pytest.raises(QueryFailed, match="pooler is shutting down"):
        other.query("RESUME")
    weir.signal(SIGUSR2)
    wait_until(lambda: "got SIGUSR2 while shutting down, ignoring" in bouncer.log())
    weir.close_connections()
    assert weir.wait_exit(5) == 0


# --- the words ---

def test_the_log_is_pgbouncers(bouncer):
    bouncer.start()
    connection = bouncer.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.close()
    wait_until(lambda: re.search(r"app/web@\S+ closing because: client close request", bouncer.log()))
    log = bouncer.log()
    start = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC \[\d+\] LOG "
    client = start + r"C-0x[0-9a-f]+: app/web@127\.0\.0\.1:\d+ "
    server = start + rf"S-0x[0-9a-f]+: app/web@127\.0\.0\.1:{bouncer.weir.postgres.port} "
    assert re.search(client + "login attempt: db=app user=web tls=no replication=none$", log, re.M), log
    assert re.search(client + r"closing because: client close request \(age=\d+s\)$", log, re.M), log
    assert re.search(server + r"new connection to server \(from 127\.0\.0\.1:\d+\)$", log, re.M), log
    assert " INFO" not in log


def test_why_a_server_is_closed_is_in_the_log(bouncer):
    bouncer.start(settings="server_idle_timeout = 0.2")
    assert bouncer.value("SELECT 1") == 1
    bouncer.weir.close_connections()
    wait_until(lambda: re.search(r"S-0x\S+ app/web@\S+ closing because: server idle timeout \(age=\d+s\)$", bouncer.log(), re.M))


def test_a_pool_that_nobody_uses_is_freed(bouncer):
    """With min_pool_size it stays, though PostgreSQL refuses its connections."""
    bouncer.start(settings="server_idle_timeout = 0.2\npool_idle_timeout = 0.5",
                  databases="app = HERE\nkept = HERE dbname=nowhere user=web min_pool_size=1")
    assert bouncer.value("SELECT 1") == 1
    assert {"app", "kept"} <= {row["database"] for row in bouncer.console("SHOW POOLS")}
    bouncer.weir.close_connections()
    wait_until(lambda: re.search(r"cleaning up idle pool for user web on db app because: pool idle timeout \(age= \d+s\)$",
                                 bouncer.log(), re.M))
    assert {row["database"] for row in bouncer.console("SHOW POOLS")} == {"kept", "pgbouncer"}
    assert bouncer.value("SELECT 1") == 1


def test_a_refused_replication_is_in_pgbouncers_words(bouncer):
    bouncer.start(databases="app = HERE user=plainuser password=plain-secret")
    with pytest.raises(psycopg2.OperationalError, match="login failed") as caught:
        psycopg2.connect(host=bouncer.weir.host, port=bouncer.weir.port, dbname="app", user="web", replication="database")
    assert "must be superuser or replication role" in str(caught.value)         # as DETAIL
    for word in (r"server login failed: FATAL must be superuser or replication role",
                 r"S-0x\S+ \S+ closing because: login failed \(age=0s\)$", r"C-0x\S+ \S+ closing because: login failed \(age=0s\)$"):
        wait_until(lambda w=word: re.search(w, bouncer.log(), re.M))


def refusal(bouncer, **words):
    with pytest.raises(psycopg2.OperationalError) as caught:
        bouncer.connect(**words)
    return str(caught.value)


def test_refusals_are_in_pgbouncers_words(bouncer):
    bouncer.start(settings="max_client_conn = 1\nmax_user_client_connections = 0",
                  databases="app = HERE max_db_client_connections=1\nfew = HERE dbname=app max_db_client_connections=0\n"
                            "gone = HERE dbname=nowhere")
    assert "FATAL:  no such database: nothere" in refusal(bouncer, dbname="nothere")
    assert 'FATAL:  "trust" authentication failed' in refusal(bouncer, user="stranger")
    assert 'database "nowhere" does not exist' in refusal(bouncer, dbname="gone")
    bouncer.connect()
    assert "FATAL:  no more connections allowed (max_client_conn)" in refusal(bouncer)
    bouncer.reload(databases="app = HERE max_db_client_connections=1")
    assert "FATAL:  client connections exceeded (max_db_client_connections)" in refusal(bouncer)
    for word in ("no such database: nothere", '"trust" authentication failed', "no more connections allowed"):
        wait_until(lambda w=word: re.search(r"closing because: " + re.escape(w) + r".* \(age=0s\)$", bouncer.log(), re.M))
    assert 'server login failed: FATAL database "nowhere" does not exist' in bouncer.log()


def test_those_who_wait_are_disconnected_when_postgresql_refuses_the_password(bouncer):
    postgres = bouncer.weir.postgres
    bouncer.start(settings="default_pool_size = 1\npool_mode = transaction",
                  databases="app = HERE user=plainuser password=plain-secret")
    waiting = bouncer.weir.raw()
    assert waiting.query("SELECT 1") == [["1"]]
    postgres.query("ALTER ROLE plainuser PASSWORD 'another'")
    try:
        bouncer.command("RECONNECT")
        wait_until(lambda: not postgres.backends(usename="plainuser"))
        waiting.send(rawwire.query("SELECT 2"))
        error = rawwire.errors(waiting.read_until("E"))[0]
        assert (error.severity, error.sqlstate) == ("FATAL", "28P01")
        waiting.wait_closed()
        wait_until(lambda: len(re.findall(r" [CS]-0x\S+ \S+ closing because: password authentication failed for user "
                                          r'"plainuser" \(age=\d+s\)$', bouncer.log(), re.M)) == 2)
    finally:
        postgres.query("ALTER ROLE plainuser PASSWORD 'plain-secret'")


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_shutdown_timeout_beside_it_lets_transactions_finish_and_waits_for_nobody_else(bouncer, number):
    bouncer.start(settings="[timeouts]\nshutdown_timeout = 20s")
    idle, busy = bouncer.weir.raw(), bouncer.weir.raw()
    idle.query("SELECT 1")
    busy.query(BEGIN_NOW)
    bouncer.weir.signal(number)
    assert rawwire.shape(idle.read_to_end(timeout=8 * SLOWNESS)).startswith("E:57P01")
    busy.query("SELECT 1", "COMMIT")
    assert bouncer.weir.wait_exit() == 0


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_shutdown_timeout_beside_it_ends_what_does_not_finish(bouncer, number):
    bouncer.start(settings="[timeouts]\nshutdown_timeout = 300ms")
    bouncer.weir.raw().query("BEGIN")
    bouncer.weir.signal(number)
    assert bouncer.weir.wait_exit() == 0
    assert "shutdown_timeout is over" in bouncer.log()


@pytest.mark.parametrize("first", ["SELECT 1", None])
def test_a_shutdown_that_waits_for_servers_waits_for_a_transaction_that_has_none_yet(bouncer, first):
    bouncer.start(settings="pool_mode = transaction\n[pgweir]\nbegin = deferred")
    wire = bouncer.weir.raw()
    wire.query("BEGIN")
    bouncer.weir.signal(SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        bouncer.weir.process.wait(0.5)
    if first is not None:
        assert wire.query(first) == [["1"]]
    wire.query("COMMIT")
    assert bouncer.weir.wait_exit() == 0


def test_a_shutdown_that_waits_for_servers_does_not_wait_for_a_failed_transaction_that_has_none(bouncer):
    bouncer.start(settings="default_pool_size = 1\nquery_wait_timeout = 1\npool_mode = transaction\n[pgweir]\nbegin = deferred")
    bouncer.serve_first()
    holder, wire = bouncer.weir.raw(), bouncer.weir.raw()
    assert holder.query(BEGIN_NOW) == []
    wire.query("BEGIN")
    with pytest.raises(QueryFailed, match="query_wait_timeout"):
        wire.query("SELECT 1")
    bouncer.weir.signal(SIGINT)
    holder.query("COMMIT")
    assert bouncer.weir.wait_exit() == 0


def test_a_shutdown_lets_go_on_who_waits_for_pgweirs_own_question_alone(bouncer):
    """Nothing but that question about the database's code looks at pg_policy."""
    bouncer.start(settings="default_pool_size = 1\npool_mode = transaction")
    with bouncer.weir.postgres.connect().cursor() as locker:
        locker.execute("BEGIN; LOCK TABLE pg_catalog.pg_policy IN ACCESS EXCLUSIVE MODE")
        waiting = bouncer.weir.raw()
        wait_until(lambda: bouncer.weir.postgres.backends(wait_event_type="Lock"), what="the question")
        waiting.send(rawwire.query("SELECT 'served'"))
        wait_until(lambda: any(row["cl_waiting"] == 1 for row in bouncer.console("SHOW POOLS")))
        bouncer.command("SHUTDOWN WAIT_FOR_SERVERS")
        locker.execute("ROLLBACK")
    assert rawwire.texts(waiting.read_until("Z")) == [["served"]]
    assert bouncer.weir.wait_exit(5) == 0


def test_limits_on_time_are_in_pgbouncers_words(bouncer):
    bouncer.start(settings="pool_mode = transaction\ndefault_pool_size = 1\nquery_wait_timeout = 1\n"
                           "idle_transaction_timeout = 2")
    bouncer.serve_first()
    holder, waiter = bouncer.connect(), bouncer.connect()
    holder.autocommit = False
    with holder.cursor() as cursor, waiter.cursor() as late:
        cursor.execute("SELECT 1")
        with pytest.raises(psycopg2.OperationalError, match="^query_wait_timeout") as caught:
            late.execute("SELECT 2")
        assert caught.value.pgcode == "08P01"
        wait_until(lambda: re.search(r"app/web@\S+ closing because: idle transaction timeout", bouncer.log()))


def test_statement_mode_has_no_transactions_in_pgbouncers_words(bouncer):
    bouncer.start(settings="pool_mode = statement")
    with bouncer.connect().cursor() as cursor, pytest.raises(psycopg2.OperationalError):
        cursor.execute("BEGIN")
    wait_until(lambda: re.search(r"app/web@\S+ closing because: transaction blocks not allowed in statement pooling mode",
                                 bouncer.log()))


def test_a_wrong_scram_password_is_in_pgbouncers_words(bouncer):
    bouncer.start(settings="auth_type = scram-sha-256")
    assert "SASL authentication failed" in refusal(bouncer, password="wrong")
    wait_until(lambda: re.search(r"app/web@\S+ closing because: SASL authentication failed \(age=\d+s\)$", bouncer.log(), re.M))


@pytest.mark.parametrize("log_connections", [0, 1])
def test_an_error_that_a_client_is_told_is_in_the_log_whatever_log_connections_says(bouncer, log_connections):
    bouncer.start(settings=f"auth_type = plain\nlog_connections = {log_connections}\npool_mode = statement")
    assert "password authentication failed" in refusal(bouncer, password="wrong")
    assert "no such database" in refusal(bouncer, dbname="nothere", password="web-secret")
    with pytest.raises(psycopg2.OperationalError):
        bouncer.connect(password="web-secret").cursor().execute("BEGIN")
    for who, text in (("app/web", "password authentication failed"), ("nothere/web", "no such database: nothere"),
                      ("app/web", "transaction blocks not allowed in statement pooling mode")):
        for line in (rf" LOG C-0x\S+ {who}@\S+ closing because: {text}.* \(age=\d+s\)$",
                     rf" WARNING C-0x\S+ {who}@\S+ pooler error: {text}"):
            wait_until(lambda line=line: re.search(line, bouncer.log(), re.M), what=line)
    assert ("login attempt" in bouncer.log()) == bool(log_connections)
    assert ("client close request" in bouncer.log()) <= bool(log_connections)


def test_a_wrong_password_is_in_the_log_before_the_client_is_told(bouncer, weir):
    """Who reads the log then finds it there, as with PgBouncer; and once only."""
    bouncer.start(settings="auth_type = plain\n[limits]\nlogin_failure_delay = 1h\nlogin_failure_delay_max = 1h")
    closings = re.compile(r"app/web@\S+ closing because: (.*) \(age=\d+s\)$", re.M)
    with weir.wire() as wire:
        wire.send(rawwire.startup(), rawwire.password_message("wrong"))
        wait_until(lambda: closings.findall(bouncer.log()))
        assert shape(wire.read_until("R")) == "R" and wire.has_nothing_more()
    wait_until(lambda: "web" not in [row["user"] for row in bouncer.console("SHOW CLIENTS", password="root-secret")])
    assert closings.findall(bouncer.log()) == ['password authentication failed for user "web"']


SCRAM = ("SCRAM-SHA-256$4096:D76gvGUVj9Z4DNiGoabOBg==$RukL0Xo3Ql/2F9FsD7mcQ3GATG2fD3PA71qY1JagGDs=:"
         "BhKUwyyivFm7Tq2jDJVXSVRbRDgTWyBilZKgg6DDuYU=")


def test_which_proof_was_asked_for_is_not_in_the_words_under_md5(bouncer):
    """Strangers are asked for this one or that."""
    bouncer.start(settings="auth_type = md5\n[limits]\nlogin_failure_delay = 0s")
    bouncer.users.write_text("".join(f'"user{i}" "{SCRAM}"\n' for i in range(9)))
    bouncer.weir.signal(SIGHUP)
    wait_until(lambda: "reloaded" in bouncer.log(), what="the reload")
    for i in range(8):
        assert 'password authentication failed for user "stranger' in refusal(bouncer, user=f"stranger{i}", password="x")


def test_trust_is_for_users_that_auth_query_finds(bouncer):
    bouncer.start(settings="auth_type = trust\nauth_user = web\nauth_query = SELECT rolname, NULL FROM pg_roles "
                           "where rolname = $1\npool_mode = transaction", databases="app = HERE user=web")
    for _ in "asked", "again", "with a server that waits":
        assert bouncer.value("SELECT current_user", user="plainuser") == "web"
        assert bouncer.value("SELECT current_user", user="reporting") == "web"
        assert "FATAL:  no such user" in refusal(bouncer, user="stranger")
    wait_until(lambda: re.search(r"app/stranger@\S+ closing because: no such user \(age=\d+s\)$", bouncer.log(), re.M))


def test_anybody_may_come_in_with_auth_type_any(bouncer):
    bouncer.start(settings="auth_type = any", databases="app = HERE user=web")
    assert bouncer.value("SELECT current_user", user="stranger") == "web"


def test_with_auth_type_any_the_console_is_not_everybodys_and_the_start_says_so(bouncer):
    bouncer.start(settings="auth_type = any")
    said = "with auth_type = any PgBouncer shows its console to everybody, pgweir to those in admin_users and stats_users"
    assert bouncer.weir.log().count(said) == 1 and bouncer.console("SHOW POOLS", user="root")
    assert "FATAL" in refusal(bouncer, user="stranger", dbname="pgbouncer")
    bouncer.reload(settings="auth_type = any\nstats_users = stranger")
    assert said not in bouncer.log() and bouncer.console("SHOW POOLS", user="stranger")


def test_a_forks_prefix_of_stats_users_is_told_of_and_gives_nobody_the_console(bouncer):
    bouncer.start(settings="stats_users_prefix = we")
    assert re.search(r"pgbouncer.ini:\d+: warning: stats_users_prefix, which only a fork of PgBouncer has, is not followed: name in "
                     "stats_users each user who may look at the console", bouncer.weir.log())
    assert bouncer.value("SELECT current_user") == "web"
    assert "FATAL" in refusal(bouncer, dbname="pgbouncer")


# --- sockets ---

def test_the_unix_sockets_permissions(bouncer):
    bouncer.start(settings="unix_socket_mode = 0750\nunix_socket_group = nogroup")
    status = os.stat(bouncer.weir.directory / f".s.PGSQL.{bouncer.weir.port}")
    assert stat.S_IMODE(status.st_mode) == 0o750
    assert grp.getgrgid(status.st_gid).gr_name == "nogroup"


@pytest.mark.parametrize("line, problem", [
    ("unix_socket_mode = 0999", "unix_socket_mode = 0999: permissions are octal digits"),
    ("unix_socket_group = nobody-has-this", "there is no such group")])
def test_permissions_that_cannot_be(bouncer, line, problem):
    bouncer.write(settings=line)
    done = run(bouncer, "--check-config", bouncer.ini)
    assert done.returncode == 1 and problem in done.stderr


def test_two_processes_share_a_port(bouncer, tmp_path):
    bouncer.start(settings="so_reuseport = 1")
    (tmp_path / "second").mkdir()
    second = tmp_path / "second" / "pgbouncer.ini"
    second.write_text(bouncer.ini.read_text().replace(f"unix_socket_dir = {bouncer.weir.directory}",
                                                      f"unix_socket_dir = {second.parent}")
                      + f"logfile = {second.parent}/log\npidfile = {second.parent}/pid\n")
    done = run(bouncer, "-d", second)
    assert done.returncode == 0, done.stderr
    try:
        wait_until(lambda: bouncer.value("SELECT 1") and "login attempt" in (second.parent / "log").read_text())
        wait_until(lambda: bouncer.value("SELECT 1") and "app/web" in bouncer.log())
    finally:
        os.kill(int((second.parent / "pid").read_text()), 3)
    wait_until(lambda: not (second.parent / "pid").exists())


def test_how_the_kernel_watches_over_connections(bouncer):
    bouncer.start(settings="tcp_keepidle = 1234\ntcp_keepintvl = 7\ntcp_user_timeout = 4321000")
    bouncer.value("SELECT 1")
    where = f"( sport = {bouncer.weir.port} or dport = {bouncer.weir.postgres.port} )"

    def timers():
        done = subprocess.run(["ss", "-Htno", "state", "established", where], capture_output=True, text=True, check=True)
        return done.stdout.count("timer:(keepalive,20min")
    wait_until(lambda: timers() == 2)                         # the client's and the server's



def test_sockets_of_a_service_manager(bouncer):
    with socket.socket() as listening:
        listening.bind((bouncer.weir.host, 0))
        listening.listen()
        bouncer.write()
        port = listening.getsockname()[1]
        number = listening.fileno()
        with subprocess.Popen(["bash", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$1" 3<&{number}',
                               str(bouncer.weir.binary), str(bouncer.ini)], pass_fds=[number]) as process:
            try:
                wait_until(lambda: "is ready" in bouncer.log())
                connection = psycopg2.connect(host=bouncer.weir.host, port=port, dbname="app", user="web")
                connection.close()
                with pytest.raises(psycopg2.OperationalError):   # the configured port is not opened
                    bouncer.connect()
                assert "socket passed from service manager (fd 3)" in bouncer.log()
                process.send_signal(SIGHUP)
                wait_until(lambda: "configuration reloaded" in bouncer.log())
                psycopg2.connect(host=bouncer.weir.host, port=port, dbname="app", user="web").close()
            finally:
                process.send_signal(3)
                process.wait(10)


# --- what came with it ---

def test_a_query_on_each_new_connection(bouncer):
    bouncer.start(databases="app = HERE connect_query='set enable_seqscan = off; set enable_nestloop = off'\n"
                            "wrong = HERE dbname=app connect_query='select nothing from nowhere'")
    assert bouncer.value("SHOW enable_seqscan") == "off" and bouncer.value("SHOW enable_nestloop") == "off"
    assert bouncer.value("SELECT 1", dbname="wrong") == 1       # as with PgBouncer, the connection is used all the same
    wait_until(lambda: 'connect_query failed: relation "nowhere" does not exist' in bouncer.log())


def test_settings_that_are_not_passed_on(bouncer):
    bouncer.start()
    words = {"options": "-c not_known=1 -c Extra_Float_Digits=many -c statement_timeout=77"}
    with pytest.raises(psycopg2.OperationalError):
        bouncer.value("SHOW statement_timeout", **words)
    bouncer.reload(settings="ignore_startup_parameters = extra_float_digits, not_known")
    assert bouncer.value("SHOW statement_timeout", **words) == "77ms"


def test_options_are_not_passed_on_but_for_what_pgbouncer_tracks(bouncer):
    names = ("statement_timeout", "DateStyle", "TimeZone", "client_encoding", "standard_conforming_strings", "application_name",
             "IntervalStyle", "search_path")
    options = ("-c not_known=1 -c statement_timeout=77 --DateStyle=German -ctimezone=Asia/Tokyo -c client_encoding=LATIN1 "
               "-c standard_conforming_strings=off -c application_name=asked -c intervalstyle=iso_8601 -c search_path=mine")

    def shown(**more):
        with bouncer.weir.raw("web", parameters={"options": options, **more}) as client:
            return [client.value(f"SHOW {name}") for name in names]

    tracked = ["German, DMY", "Asia/Tokyo", "LATIN1", "off", "asked"]
    bouncer.start(settings="ignore_startup_parameters = extra_float_digits, options")
    assert shown() == ["0", *tracked, "iso_8601", '"$user", public']
    assert shown(statement_timeout="78")[0] == "78ms"       # that of the packet itself
    bouncer.reload(settings="ignore_startup_parameters = OPTIONS\ntrack_extra_parameters = Search_Path")
    assert shown() == ["0", *tracked, "postgres", "mine"]
    bouncer.reload(settings="auth_type = any\nignore_startup_parameters = options")
    words = {"options": "-c statement_timeout=77", "replication": "database"}
    with bouncer.weir.raw("postgres", parameters=words) as client:      # its connection is its own
        assert client.value("SHOW statement_timeout") == "77ms"


def test_reserve_connections_and_new_databases_are_in_the_log(bouncer):
    settings = "pool_mode = transaction\ndefault_pool_size = 1\nreserve_pool_size = 1\nreserve_pool_timeout = "
    bouncer.start(settings=settings + "20", databases="* = HERE")
    holder, waiter = bouncer.connect(), bouncer.connect()
    holder.autocommit = False
    with holder.cursor() as cursor, waiter.cursor() as late:
        cursor.execute("SELECT 1")
        assert "reserve_pool" not in bouncer.log()
        bouncer.reload(settings=settings + "0.1", databases="* = HERE")
        late.execute("SELECT 2")
    wait_until(lambda: bouncer.log().count(" taking connection from reserve_pool") == 1)
    assert bouncer.log().count("registered new auto-database: db=app") == 1


def test_a_query_on_each_new_connection_holds_for_those_who_come_later(bouncer):
    bouncer.start(settings="default_pool_size = 1", databases="app = HERE connect_query='set enable_seqscan = off'")
    for sql in ("SET enable_hashjoin = off", "DO $$BEGIN PERFORM set_config('enable_hashjoin', 'off', false); END$$",
                "SET enable_hashjoin = off; DISCARD TEMP"):
        with bouncer.connect().cursor() as cursor:
            cursor.execute("SHOW enable_seqscan")
            assert cursor.fetchone() == ("off",)
            cursor.execute(sql)
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        bouncer.weir.close_connections()
        assert bouncer.value("SELECT ARRAY[current_setting('enable_hashjoin'), current_setting('enable_seqscan'), "
                             "pg_backend_pid()::text]") == ["on", "off", str(pid)]
        bouncer.weir.close_connections()


def test_a_user_without_words_is_one_of_the_users(bouncer):
    bouncer.start(users="first = pool_size=1 reserve_pool_size=2\nsecond =")
    users = {row["name"]: (row["pool_size"], row["reserve_pool_size"]) for row in bouncer.console("SHOW USERS")}
    assert users["first"] == ("1", "2") and users["second"] == ("", "")
    done = run(bouncer, "--import-pgbouncer", bouncer.ini)
    assert "\n[user second]\n" in done.stdout


def test_a_query_timeout_disconnects_and_cancels(bouncer):
    bouncer.start(settings="query_timeout = 0.5")
    wire = bouncer.weir.raw()
    wire.send(rawwire.query("SELECT pg_sleep(60)"))
    error, = rawwire.errors(wire.read_to_end())
    assert (error.severity, error.sqlstate, error.error["M"]) == ("FATAL", "08P01", "query timeout")
    wait_until(lambda: not bouncer.weir.postgres.backends(wait_event="PgSleep"))
    wait_until(lambda: re.search(r"app/web@\S+ closing because: query timeout \(age=", bouncer.log()))


def test_query_timeout_ends_the_wait_for_a_server_connection_too(bouncer):
    """Of a request, and of a login whose settings PostgreSQL has to be asked for; who holds the connection runs nothing."""
    settings = "pool_mode = transaction\ndefault_pool_size = 1\nquery_wait_notify = 0\n"
    bouncer.start(settings=settings)
    holder = bouncer.connect()
    holder.autocommit = False
    waiter = bouncer.weir.raw()
    with holder.cursor() as cursor:
        cursor.execute("SELECT 1")
        bouncer.reload(settings=settings + "query_timeout = 1")
        waiter.send(rawwire.query("SELECT 2"))
        error, = rawwire.errors(waiter.read_to_end())
        assert (error.severity, error.sqlstate, error.error["M"]) == ("FATAL", "08P01", "query_timeout")
        row = next(row for row in bouncer.console("SHOW STATS") if row["database"] == "app")
        assert 1e6 <= row["total_wait_time"] < 60e6                 # its wait, once
        assert "FATAL:  query_timeout" in refusal(bouncer, options="-c work_mem=5MB")
        wait_until(lambda: len(re.findall(r"app/web@\S+ closing because: query_timeout \(age=", bouncer.log())) == 2)
        bouncer.reload(settings=settings)
        cursor.execute("SELECT 3")
        assert cursor.fetchone() == (3,)


def test_clients_wait_for_a_postgresql_that_is_not_there_yet(bouncer):
    tap = Tap((bouncer.weir.postgres.host, bouncer.weir.postgres.port), listening=False)
    bouncer.start(databases=f"app = host={tap.host} port={tap.port}")
    waiting = bouncer.weir.in_background(bouncer.value, "SELECT 'served'")
    wait_until(lambda: "closing because: connect failed" in bouncer.log())
    assert not waiting.done()
    tap.open()
    assert waiting.result() == "served"
    tap.close()


def test_a_host_that_is_passed_over_is_in_the_log(bouncer):
    bouncer.start(databases=f"app = host=no-such-host.invalid,{bouncer.weir.postgres.host} "
                            f"port={bouncer.weir.postgres.port} load_balance_hosts=disable")
    assert bouncer.value("SELECT 1") == 1
    wait_until(lambda: re.search(r"S-0x\S+ app/web@no-such-host.invalid:\d+ closing because: server DNS lookup failed "
                                 r"\(age=", bouncer.log()))


def test_the_cipher_is_in_the_log(bouncer):
    made = transport.material()
    bouncer.start(settings=f"client_tls_sslmode = require\nclient_tls_key_file = {made.key}\n"
                           f"client_tls_cert_file = {made.certificate}\n"
                           "client_tls13_ciphers = TLS_CHACHA20_POLY1305_SHA256")
    assert bouncer.value("SELECT 1", sslmode="require") == 1
    wait_until(lambda: "login attempt: db=app user=web tls=TLSv1.3/TLS_CHACHA20_POLY1305_SHA256 " in bouncer.log())
    bouncer.write(settings="client_tls13_ciphers = NO_SUCH_SUITE\nclient_tls_sslmode = require\n"
                           f"client_tls_key_file = {made.key}\nclient_tls_cert_file = {made.certificate}")
    done = run(bouncer, "--check-config", bouncer.ini)
    assert done.returncode == 1 and "NO_SUCH_SUITE: OpenSSL does not know all of these" in done.stderr


@pytest.mark.parametrize("options", ["-d", "-c timezone", "-c"])
def test_options_that_are_none_are_refused_in_pgbouncers_words(bouncer, options):
    bouncer.start()
    assert ("unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed"
            in refusal(bouncer, options=options))


# --- peers ---

class Peers:
    """Processes 1 and 2, which know each other, and a 3 that either believes the other to be."""

    def __init__(self, bouncer, folder):
        self.first = bouncer
        self.folder = folder
        self.ports = [bouncer.weir.port, free_port()]
        bouncer.start(**self.texts(0))
        folder.mkdir()
        self.ini = folder / "pgbouncer.ini"
        ours, theirs = self.texts(0), self.texts(1)
        text = bouncer.ini.read_text().replace(ours["settings"], theirs["settings"]).replace(ours["users"], theirs["users"])
        self.ini.write_text(text + f"pidfile = {folder}/pid\n")
        done = run(bouncer, "-d", self.ini)
        assert done.returncode == 0, done.stderr

    def texts(self, me):
        other = 1 - me
        folders = [self.first.weir.directory, self.folder]
        return {"settings": f"listen_port = {self.ports[me]}\nunix_socket_dir = {folders[me]}\n"
                            f"logfile = {folders[me]}/peer.log\npeer_id = {me + 1}\n",
                "users": f"[peers]\n{other + 1} = host={folders[other]} port={self.ports[other]}\n"
                         f"3 = host=127.0.0.1 port={self.ports[other]} pool_size=5\n"}

    def stop(self):
        os.kill(int((self.folder / "pid").read_text()), 3)
        wait_until(lambda: not (self.folder / "pid").exists())

    def console(self, me, command):
        return self.first.console(command, port=self.ports[me])

    def passed_on(self, me):
        return sum(float(row["value"]) for row in self.console(me, "SHOW METRICS")
                   if row["name"] == "pgweir_cancel_requests_total" and "passed_on" in row["labels"])


@pytest.fixture
def peers(bouncer, tmp_path):
    made = Peers(bouncer, tmp_path / "peer")
    yield made
    made.stop()


def sleeping_client(peers):
    wire = peers.first.weir.keep(rawwire.Wire(("127.0.0.1", peers.ports[0]))).login("web", "app")
    wire.send(rawwire.query("SELECT pg_sleep(60)"))
    wait_until(lambda: peers.first.weir.postgres.backends(wait_event="PgSleep"))
    return wire


@pytest.mark.parametrize("version", [3 << 16, 3 << 16 | 2, 3 << 16 | 9999], ids=["3.0", "3.2", "3.9999"])
def test_a_cancel_that_reaches_another_process_is_passed_on(peers, version):
    wire = peers.first.weir.keep(rawwire.Wire(("127.0.0.1", peers.ports[0]))).login("web", "app", version=version)
    assert wire.key[1:3] == b"\1\0" and wire.key[7] & 3 == 3   # where PgBouncer, too, looks for them
    for asked, passed in ((0, 0), (1, 1), (1, 2)):
        wire.send(rawwire.query("SELECT pg_sleep(60)"))
        wait_until(lambda: peers.first.weir.postgres.backends(wait_event="PgSleep"))
        assert rawwire.send_cancel(("127.0.0.1", peers.ports[asked]), wire.key) == b""
        assert rawwire.errors(wire.read_until("Z"))[0].sqlstate == "57014"
        wait_until(lambda want=passed: peers.passed_on(1) == want)
    assert wire.query("SELECT 1") == [["1"]]


def test_a_cancel_is_passed_on_three_times_at_most(peers):
    """Each takes the other for number 3."""
    wire = sleeping_client(peers)
    lost = wire.key[:1] + b"\3\0" + wire.key[3:]
    assert rawwire.send_cancel(("127.0.0.1", peers.ports[0]), lost) == b""
    wait_until(lambda: peers.passed_on(0) + peers.passed_on(1) == 3)
    nobodys = wire.key[:1] + b"\x09\0" + wire.key[3:]
    tired = wire.key[:7] + bytes([wire.key[7] & 0xfc])
    for key in (nobodys, tired):
        assert rawwire.send_cancel(("127.0.0.1", peers.ports[1]), key) == b""
    assert peers.passed_on(0) + peers.passed_on(1) == 3
    assert peers.first.weir.postgres.backends(wait_event="PgSleep")
    assert rawwire.send_cancel(("127.0.0.1", peers.ports[0]), tired) == b""      # it has come home
    assert rawwire.errors(wire.read_until("Z"))[0].sqlstate == "57014"


def test_a_peer_that_is_gone_is_told_to_the_log(peers):
    wire = sleeping_client(peers)
    assert peers.console(0, "SHOW PEERS") == [
        {"peer_id": 2, "host": str(peers.folder), "port": peers.ports[1], "pool_size": 0},
        {"peer_id": 3, "host": "127.0.0.1", "port": peers.ports[1], "pool_size": 0}]
    assert [row["peer_id"] for row in peers.console(0, "SHOW PEER_POOLS")] == [2, 3]
    assert {row["list"]: row["items"] for row in peers.console(0, "SHOW LISTS")}["peers"] == 2
    text = (peers.first.ini.read_text()).replace(f"2 = host={peers.folder}", "2 = host=/nowhere")
    peers.first.ini.write_text(text)
    peers.console(0, "SHOW STATE")
    peers.first.weir.signal(SIGHUP)
    wait_until(lambda: peers.console(0, "SHOW PEERS")[0]["host"] == "/nowhere")
    assert rawwire.send_cancel(("127.0.0.1", peers.ports[0]), wire.key[:1] + b"\2\0" + wire.key[3:]) == b""
    wait_until(lambda: "could not pass a cancel request on to peer 2" in (peers.first.weir.directory / "peer.log").read_text())


# --- auth_dbname ---

@pytest.fixture
def lookup(bouncer):
    """Users of whom app2 alone knows, asked there over a Unix socket, where the databases themselves have TCP."""
    postgres = bouncer.weir.postgres
    postgres.query("CREATE TABLE IF NOT EXISTS public.known (usename text, passwd text)", dbname="app2")
    postgres.query("TRUNCATE public.known", dbname="app2")
    postgres.query("GRANT SELECT ON public.known TO web", dbname="app2")
    postgres.query("INSERT INTO public.known VALUES ('plainuser', 'plain-secret'), ('watcher', 'watch-secret')", dbname="app2")
    bouncer.there = f"host={postgres.socket_dir} port={postgres.port} dbname=app2"
    yield ("auth_type = scram-sha-256\nauth_user = web\nauth_query = SELECT usename, passwd FROM public.known "
           "where usename = $1\nstats_users = watcher")
    postgres.query("DROP TABLE public.known", dbname="app2")


PLAIN = {"user": "plainuser", "password": "plain-secret"}


def test_auth_dbname_is_a_database_of_the_file(bouncer, lookup):
    bouncer.start(settings=lookup + "\nauth_dbname = there",
                  databases=f"app = HERE\nthere = {bouncer.there}\nhere = HERE dbname=app auth_dbname=app2")
    assert bouncer.value("SELECT current_user", **PLAIN) == "plainuser"
    assert "no such" not in refusal(bouncer, user="plainuser", password="wrong")
    assert [row["list"] for row in bouncer.console("SHOW LISTS", user="watcher", password="watch-secret")]
    assert "authentication failed" in refusal(bouncer, dbname="pgbouncer", user="watcher", password="wrong")
    assert "bouncer config error" in refusal(bouncer, dbname="here", **PLAIN)    # there is no [databases] app2
    wait_until(lambda: 'authentication database "app2" is not configured' in bouncer.log())
    bouncer.console("SHOW STATE", password="root-secret")
    bouncer.reload(settings=lookup + "\nauth_dbname = there",
                   databases=f"app = HERE\nthere = {bouncer.there}\nhere = HERE dbname=app auth_dbname=app2\n"
                             f"app2 = {bouncer.there}")
    assert bouncer.value("SELECT current_user", dbname="here", **PLAIN) == "plainuser"


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_database_can_be_a_console(bouncer, lookup, mode):
    """Its users are known by auth_query. A console has no settings to apply, and nothing to clean up."""
    bouncer.start(settings=f"{lookup}\nauth_dbname = there\npool_mode = {mode}",
                  databases=f"app = HERE\nthere = {bouncer.there}\n"
                            f"con = host=127.0.0.1 port={bouncer.weir.port} dbname=pgbouncer")
    for options in "-c datestyle=german", "-c statement_timeout=1000":
        with bouncer.connect(dbname="con", user="watcher", password="watch-secret", options=options).cursor() as cursor:
            for _ in range(2):
                cursor.execute("SHOW VERSION")
                assert cursor.fetchall() == [("PgBouncer 1.26.1",)]
        cursor.connection.close()
    assert bouncer.log().count("con/watcher@127.0.0.1:%d new connection to server" % bouncer.weir.port) == 1


def test_an_auth_query_that_fails_is_a_config_error(bouncer, lookup):
    bouncer.start(settings=lookup.replace("public.known", "public.nowhere"),
                  databases=f"app = HERE auth_dbname=there\nthere = {bouncer.there}")
    assert "FATAL:  bouncer config error" in refusal(bouncer, **PLAIN)
    assert "FATAL:  bouncer config error" in refusal(bouncer, user="stranger", password="x")
    wait_until(lambda: 'relation "public.nowhere" does not exist' in bouncer.log())


def test_auth_dbname_that_is_disabled_or_the_console(bouncer, lookup):
    bouncer.start(settings=lookup, databases=f"app = HERE auth_dbname=there\nthere = {bouncer.there}\n"
                                             "odd = HERE dbname=app auth_dbname=pgbouncer")
    assert bouncer.value("SELECT current_user", **PLAIN) == "plainuser"
    bouncer.command("DISABLE there", password="root-secret")
    assert 'authentication database "there" is disabled' in refusal(bouncer, **PLAIN)
    assert "bouncer config error" in refusal(bouncer, dbname="odd", **PLAIN)
    assert "bouncer config error" in refusal(bouncer, dbname="pgbouncer", user="watcher", password="watch-secret")
    wait_until(lambda: bouncer.log().count('cannot use the reserved "pgbouncer" database as an auth_dbname') == 2)
    bouncer.write(settings=lookup + "\nauth_dbname = pgbouncer")
    done = run(bouncer, "--check-config", bouncer.ini)
    assert done.returncode == 1 and 'cannot use the reserved "pgbouncer" database' in done.stderr
