"""CloudNativePG's Pooler: its manager runs /usr/bin/pgbouncer as 998:996 below /controller, and talks to its console.

What is done here is what its sources say (internal/cmd/manager/pgbouncer, pkg/management/pgbouncer, pkg/specs/pgbouncer):
each setting, statement, column's place, signal and file. Its port, 5432, is another one here.
"""

import concurrent.futures
import re
import signal
import socket
import ssl
from contextlib import closing

import psycopg2
import pytest

from imagetree import as_user, children, comm, command_line, connect, rows
from waiting import free_port, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

UID, GID = 998, 996
LOG_LINE = re.compile(r"(?s)(^.*) \[([0-9]+)\] ([A-Z]+) (.+)$")

INI = """
[databases]
* = host=pooler-rw port={postgres_port}

[pgbouncer]
pool_mode = transaction
auth_user = {auth_user}
auth_query = SELECT usename, passwd FROM public.user_search($1)
auth_dbname = postgres

admin_users = pgbouncer
auth_hba_file = /controller/configs/pg_hba.conf
auth_type = hba
client_tls_ca_file = /controller/configs/client-ca/ca.crt
client_tls_cert_file = /controller/configs/client-tls/tls.crt
client_tls_key_file = /controller/configs/client-tls/tls.key
client_tls_sslmode = prefer
{more}ignore_startup_parameters = extra_float_digits,options
listen_addr = *
listen_port = {port}
log_stats = 0
server_tls_ca_file = /controller/configs/server-tls/ca.crt
server_tls_sslmode = verify-ca
{auth}unix_socket_dir = /controller/run
"""

CERTIFICATE = """\
server_tls_cert_file = /controller/configs/authUser/tls.crt
server_tls_key_file = /controller/configs/authUser/tls.key
"""

HBA = """
local pgbouncer pgbouncer peer

{rules}

host all all 0.0.0.0/0 md5
host all all ::/0 md5
"""

# The manager, as far as the image is concerned: it makes the directory of the socket, runs the program, and sends it SIGINT
# when it is asked to stop; its own status is the program's.
MANAGER = """\
#!/bin/bash
set -m
mkdir -p -m 700 /controller/run
/usr/bin/pgbouncer /controller/configs/pgbouncer.ini &
trap 'kill -INT $!' TERM INT
wait $!
while kill -0 $! 2>/dev/null; do wait $!; done
wait $!
"""

POOLS = """database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel
sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts""".split()
TOTALS = """server_assignment_count xact_count query_count received sent xact_time query_time wait_time client_parse_count
server_parse_count bind_count""".split()
STATS = ["database", *(f"total_{name}" for name in TOTALS),
         *(f"avg_{name.replace('received', 'recv')}" for name in TOTALS[:8]),
         *(f"avg_{name}" for name in TOTALS[8:])]
LISTS = {"databases", "users", "pools", "free_clients", "used_clients", "login_clients", "free_servers", "used_servers",
         "dns_names", "dns_zones", "dns_queries", "dns_pending"}


@pytest.fixture(scope="session")
def secrets(authority):
    """Certificates: pgweir's for clients, and the auth_user's for PostgreSQL."""
    return {"client": authority.issue("pooler", "/CN=pooler"), "next": authority.issue("pooler-next", "/CN=pooler-next"),
            "user": authority.issue("cnpg_pooler_pgbouncer", "/CN=cnpg_pooler_pgbouncer")}


class Pooler:
    """A pod of a Pooler, and what its operator does with it. password: the auth_user's, who has a certificate without one."""

    def __init__(self, image, cluster, authority, secrets, uid=UID, gid=GID, password=None):
        self.uid, self.gid, self.password = uid, gid, password
        self.cluster, self.authority, self.secrets = cluster, authority, secrets
        self.port = free_port()
        self.is_pgweir = image.is_pgweir
        self.container = image.container(uid, gid)
        self.container.volume("/controller")
        self.container.mount_text("/etc/hosts", "127.0.0.1 localhost pooler-rw\n")
        self.container.write("/controller/manager", MANAGER, mode=0o755)

    def write(self, certificate="client", rules="", more=""):
        configs = "/controller/configs"
        client, user = self.secrets[certificate], self.secrets["user"]
        auth = CERTIFICATE if self.password is None else "auth_file = /controller/configs/userlist.txt\n"
        if self.password is not None:
            quoted = self.password.replace('"', '""')
            self.container.write(f"{configs}/userlist.txt", f'\n"pooler_auth" "{quoted}"\n', mode=0o600)
        for name, content in {
                "pgbouncer.ini": INI.format(postgres_port=self.cluster.port, port=self.port, more=more, auth=auth,
                                            auth_user="pooler_auth" if self.password else "cnpg_pooler_pgbouncer"),
                "pg_hba.conf": HBA.format(rules=rules),
                "server-tls/ca.crt": self.authority.ca.read_bytes(), "client-ca/ca.crt": self.authority.ca.read_bytes(),
                "client-tls/tls.crt": client.certificate.read_bytes(), "client-tls/tls.key": client.key.read_bytes(),
                "authUser/tls.crt": user.certificate.read_bytes(), "authUser/tls.key": user.key.read_bytes()}.items():
            self.container.write(f"{configs}/{name}", content, mode=0o600)

    def start(self):
        self.write()
        self.process = self.container.start("/controller/manager", "pgbouncer", "run", environment={
            "NAMESPACE": "ns", "POOLER_NAME": "pooler", "PGUSER": "pgbouncer", "PGDATABASE": "pgbouncer",
            "PGHOST": "/controller/run", "PSQL_HISTORY": "/controller/tmp/.psql_history", "METRICS_PORT_TLS": "false",
            "PGWEIR_PGWEIR_COMPAT": "pgbouncer_1_25"})        # of the Pooler's template: docs/operators.md
        return self

    def program(self):
        """The PID of the program."""
        return wait_until(lambda: [pid for pid in children(self.process.pid) if comm(pid) == "pgbouncer"])[0]

    def console(self):
        run = str(self.container.outside("/controller/run"))
        wait_until(lambda: self.process.is_alive() and (self.container.outside("/controller/run") / f".s.PGSQL.{self.port}").exists())
        with as_user(self.uid, self.gid):
            return connect(host=run, port=self.port, user="pgbouncer", dbname="pgbouncer", sslmode="disable",
                           client_encoding="UTF8")

    def login(self, **words):
        return connect(**{"port": self.port, "user": "app", "password": "app-secret", "dbname": "app", "sslmode": "require", **words})


@pytest.fixture
def pooler(image, cluster, authority, secrets):
    return Pooler(image, cluster, authority, secrets).start()


def test_an_auth_user_may_have_a_password(image, cluster, authority, secrets):
    """Of an authQuerySecret: it is in userlist.txt, with its quotes doubled."""
    pooler = Pooler(image, cluster, authority, secrets, password='auth"secret').start()
    with closing(pooler.login()) as client:
        assert rows(client, "SELECT current_user")[0] == [("app",)]


def test_any_user_may_run_it(image, cluster, authority, secrets):
    """OpenShift gives a number that no file knows, and group 0: whoever runs it is the console's user."""
    pooler = Pooler(image, cluster, authority, secrets, 1000650000, 0).start()
    with closing(pooler.login()) as client, closing(pooler.console()) as console:
        assert rows(client, "SELECT 1")[0] == [(1,)] and rows(console, "SHOW VERSION")[0]


def test_no_other_user_is_the_consoles(pooler):
    pooler.console().close()
    run = pooler.container.outside("/controller/run")
    run.chmod(0o755)
    for uid, name in ((1000, "pgbouncer"), (UID, "app")):
        with as_user(uid, GID), pytest.raises(psycopg2.OperationalError):
            connect(host=str(run), port=pooler.port, user=name, dbname="pgbouncer")


def subject_of(port):
    """The common name of the certificate that a client is shown."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert sock.recv(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(sock) as secured:
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(True))


def test_clients_log_in_with_scram_through_a_rule_of_md5(pooler):
    """And the auth_user logs in to PostgreSQL with a certificate."""
    with closing(pooler.login()) as client:
        assert rows(client, "SELECT current_user, 1")[0] == [("app", 1)]
    with pytest.raises(psycopg2.OperationalError):
        pooler.login(password="wrong")
    found = pooler.cluster.query("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                                 "WHERE usename = 'cnpg_pooler_pgbouncer' AND client_dn = '/CN=cnpg_pooler_pgbouncer'",
                                 dbname="postgres")
    assert found[0][0] >= 1
    assert command_line(pooler.program()) == ["/usr/bin/pgbouncer", "/controller/configs/pgbouncer.ini"]


def test_the_metrics_are_read_by_position(pooler):
    with closing(pooler.login()) as client, closing(pooler.console()) as console:
        rows(client, "SELECT 1")
        lists, names = rows(console, "SHOW LISTS;")
        assert len(names) == 2 and {name for name, _ in lists} - {"peers", "peer_pools"} == LISTS
        assert all(isinstance(int(value), int) for _, value in lists)
        pools, names = rows(console, "SHOW POOLS;")
        assert names == POOLS
        app = next(row for row in pools if row[:2] == ("app", "app"))
        assert [int(value) for value in app[2:15]][:2] == [1, 0] and app[15:] == ("transaction", None)    # or no number is read
        stats, names = rows(console, "SHOW STATS;")
        if not pooler.is_pgweir:            # 1.26 has two more, which the operator can't read
            stats = [[value for value, name in zip(row, names) if "client_login" not in name] for row in stats]
            names = [name for name in names if "client_login" not in name]
        assert names == STATS
        app = next(row for row in stats if row[0] == "app")
        assert all(int(value) >= 0 for value in app[1:]) and int(app[STATS.index("total_query_count")]) >= 1


def test_pause_holds_and_resume_lets_go(pooler):
    console, client = pooler.console(), pooler.login()
    rows(client, "SELECT 1")
    rows(console, "PAUSE")
    socket.create_connection(("127.0.0.1", pooler.port), 5).close()     # the readiness probe
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        answer = executor.submit(rows, client, "SELECT 2")
        wait_until(lambda: any(row[:2] == ("app", "app") and int(row[3]) == 1 for row in rows(console, "SHOW POOLS")[0]),
                   what="a waiting client")
        assert not answer.done()
        rows(console, "RESUME")
        assert answer.result()[0] == [(2,)]


def test_files_are_replaced_by_rename_and_read_at_reload(pooler):
    console = pooler.console()
    before = subject_of(pooler.port) if pooler.login() else None
    pooler.write(certificate="next", more="default_pool_size = 7\n", rules="host all app 127.0.0.0/8 reject")
    rows(console, "RELOAD")
    wait_until(lambda: dict(row[:2] for row in rows(console, "SHOW CONFIG")[0])["default_pool_size"] == "7")
    assert subject_of(pooler.port) != before
    with pytest.raises(psycopg2.OperationalError):
        pooler.login()
    pooler.write(certificate="next")
    rows(console, "RELOAD")
    wait_until(pooler.login, what="app to be let in again")


def test_stderr_is_understood_line_by_line(pooler):
    pooler.login().close()
    pooler.process.wait_log("closing because: client close request")
    lines = pooler.process.log().splitlines()
    assert lines and not [line for line in lines if not LOG_LINE.match(line) and not line.startswith("\t")]


def test_sigint_ends_it_with_status_0(pooler):
    client = pooler.login()                 # one that is idle keeps nobody waiting
    rows(client, "SELECT 1")
    pooler.program()
    pooler.process.signal(signal.SIGTERM)   # the manager's
    assert pooler.process.wait_exit() == 0, pooler.process.log()
