"""Zalando's postgres-operator: a pooler's pod has an environment, a mounted userlist.txt, and no configuration at all.

What is done here is what its sources say (pkg/cluster/connection_pooler.go, pkg/cluster/database.go, pooler/): each variable,
file, role and function. PgBouncer gets the settings that the operator's own image makes of that environment. Ports are
others here.
"""

import contextlib
import os
import signal
import socket
import ssl

import psycopg2
import pytest

from authority import Authority
from imagetree import comm, connect, rows
from postgres import Postgres
from rawwire import md5_secret, ssl_request
from waiting import free_port, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

UID, GID, FS_GROUP = 100, 101, 103
HOST = "acid-minimal-cluster.default.svc.cluster.local"
ROLES = ["robot_zmon", "robot_backup"]

# Spilo's rules: nobody comes in from another host without TLS.
HBA = """\
local all all trust
hostssl all all all md5
hostnossl all all all reject
"""

# As superuser in each database: the schema of the pooler, and in it a function that only the pooler's role may call.
LOOKUP = """\
CREATE SCHEMA IF NOT EXISTS pooler;
CREATE OR REPLACE FUNCTION pooler.user_lookup(in i_username text, out uname text, out phash text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER AS
    $$BEGIN SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = i_username INTO uname, phash; RETURN; END$$;
REVOKE ALL ON FUNCTION pooler.user_lookup(text) FROM public, pooler;
GRANT EXECUTE ON FUNCTION pooler.user_lookup(text) TO pooler;
GRANT USAGE ON SCHEMA pooler TO pooler;
"""
ROLES_SQL = f"""\
CREATE ROLE pooler LOGIN PASSWORD 'pooler "secret"';
CREATE ROLE foo_user LOGIN PASSWORD 'foo-secret';
CREATE ROLE old_user LOGIN PASSWORD '{md5_secret("old_user", "old-secret")}';
CREATE ROLE robot_zmon LOGIN PASSWORD 'zmon-secret';
"""
USERS = '"pooler" "pooler ""secret"""\n"robot_zmon" "zmon-secret"\n"robot_backup" "backup-secret"\n'

# What the operator's image makes of the environment, for PgBouncer.
THEIRS = """\
[databases]
* = host={PGHOST} port={PGPORT} auth_user={PGUSER}
postgres = host={PGHOST} port={PGPORT} auth_user={PGUSER}
[pgbouncer]
listen_addr = *
listen_port = {CONNECTION_POOLER_PORT}
pool_mode = {CONNECTION_POOLER_MODE}
default_pool_size = {CONNECTION_POOLER_DEFAULT_SIZE}
reserve_pool_size = {CONNECTION_POOLER_RESERVE_SIZE}
max_client_conn = {CONNECTION_POOLER_MAX_CLIENT_CONN}
max_db_connections = {CONNECTION_POOLER_MAX_DB_CONN}
admin_users = {PGUSER}
stats_users = {INFRASTRUCTURE_ROLES}
auth_type = md5
auth_file = /etc/pgbouncer/userlist.txt
auth_dbname = postgres
auth_query = SELECT * FROM {PGSCHEMA}.user_lookup($1)
server_tls_sslmode = require
server_tls_ca_file = {certificate}
client_tls_sslmode = require
client_tls_cert_file = {certificate}
client_tls_key_file = {key}
idle_transaction_timeout = 600
ignore_startup_parameters = extra_float_digits,options
log_connections = 0
log_disconnections = 0
unix_socket_dir =
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Spilo, whose certificate is of an authority that the pooler does not know."""
    made = Postgres()
    made.use_tls(Authority(tmp_path_factory.mktemp("spilo"), "Spilo's own").issue("server", f"/CN={HOST}"))
    (made.data / "pg_hba.conf").write_text(HBA, encoding="utf-8")
    made.stop()
    made.start()
    made.query(ROLES_SQL, dbname="postgres")
    for name in ("postgres", "app", "app2"):
        made.query(LOOKUP, dbname=name)
    yield made
    made.destroy()


class Pooler:
    """A pod of the Deployment that the operator makes."""

    def __init__(self, image, cluster, tls=None, uid=UID, gid=GID, userlist=USERS, writable_root=True, more=None):
        self.is_pgweir = image.is_pgweir
        self.container = image.container(uid, gid, groups=f"{gid},{FS_GROUP}", writable_root=writable_root)
        self.port, self.http_port = free_port(), free_port()
        self.container.mount_text("/etc/hosts", f"127.0.0.1 localhost {HOST}\n::1 localhost\n")
        if userlist:
            self.container.mount_text("/etc/pgbouncer/userlist.txt", userlist)
        self.environment = {
            "PGHOST": HOST, "PGPORT": str(cluster.port), "PGUSER": "pooler", "PGSCHEMA": "pooler",
            "PGPASSWORD": 'pooler "secret"',
            "CONNECTION_POOLER_PORT": str(self.port), "CONNECTION_POOLER_MODE": "transaction",
            "CONNECTION_POOLER_DEFAULT_SIZE": "15", "CONNECTION_POOLER_MIN_SIZE": "7",
            "CONNECTION_POOLER_RESERVE_SIZE": "7", "CONNECTION_POOLER_MAX_CLIENT_CONN": "10000",
            "CONNECTION_POOLER_MAX_DB_CONN": "30", "INFRASTRUCTURE_ROLES": ",".join(ROLES),
            "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_PORT": "tcp://10.96.0.1:443",
            "ACID_MINIMAL_CLUSTER_POOLER_SERVICE_PORT": "5432"}
        if tls:
            self.mount_tls(tls)
        self.more = {"PGWEIR_HTTP_LISTEN": f"127.0.0.1:{self.http_port}", **(more or {})}

    def mount_tls(self, tls):
        """spec.tls.secretName: files of mode 0640 that fsGroup may read."""
        folder = self.container.mount_directory("/tls")
        for name, source in (("tls.crt", tls.certificate), ("tls.key", tls.key)):
            (folder / name).write_bytes(source.read_bytes())
            os.chown(folder / name, 0, FS_GROUP)
            (folder / name).chmod(0o640)
        self.environment |= {"CONNECTION_POOLER_CLIENT_TLS_CRT": "/tls/tls.crt", "CONNECTION_POOLER_CLIENT_TLS_KEY": "/tls/tls.key"}

    def start(self):
        if self.is_pgweir:
            self.container.start("pgweir-entrypoint", environment={**self.environment, **self.more})
        else:
            self._start_theirs()
        self.wait_ready()
        return self

    def _start_theirs(self):
        paths = {name: self.environment.get(f"CONNECTION_POOLER_CLIENT_TLS_{word}", f"/etc/pgbouncer/made/server.{word.lower()}")
                 for name, word in (("certificate", "CRT"), ("key", "KEY"))}
        if "CONNECTION_POOLER_CLIENT_TLS_CRT" not in self.environment:
            made = Authority(self.container.directory / "made", "pool-1")
            folder = self.container.mount_directory("/etc/pgbouncer/made")
            for name, source in (("server.crt", made.ca), ("server.key", made.directory / "ca.key")):
                (folder / name).write_bytes(source.read_bytes())
                os.chown(folder / name, self.container.uid, self.container.gid)
        ini = THEIRS.format(**self.environment, **paths)
        self.container.mount_text("/etc/pgbouncer/pgbouncer.ini", ini)
        self.container.start("/usr/bin/pgbouncer", "/etc/pgbouncer/pgbouncer.ini", environment=self.environment)

    def wait_ready(self):
        """The readiness probe: tcpSocket."""
        self.container.wait_answering(self.port)

    def connect(self, user="foo_user", password="foo-secret", dbname="app", **words):
        return connect(port=self.port, user=user, password=password, dbname=dbname, **{"sslmode": "require", **words})

    def console(self, user="pooler", password='pooler "secret"'):
        return self.connect(user, password, "pgbouncer")

    def certificate(self):
        """What it shows to a client, as DER."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
            plain.sendall(ssl_request())
            assert plain.recv(1) == b"S"
            with context.wrap_socket(plain) as wrapped:
                return wrapped.getpeercert(binary_form=True)


@pytest.fixture
def pooler(image, cluster):
    return Pooler(image, cluster).start()


def test_users_log_in_by_the_lookup_function_and_with_tls_alone(pooler, cluster):
    for user, password, dbname in (("foo_user", "foo-secret", "app"), ("old_user", "old-secret", "app2"),
                                   ("foo_user", "foo-secret", "postgres"), ("pooler", 'pooler "secret"', "app")):
        with contextlib.closing(pooler.connect(user, password, dbname)) as client:
            assert rows(client, "SELECT current_user::text, current_database()::text")[0] == [(user, dbname)]
            assert rows(client, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[0] == [(True,)]
    for words in ({"password": "wrong"}, {"user": "nobody_such"}, {"sslmode": "disable"}):
        with pytest.raises(psycopg2.OperationalError):
            pooler.connect(**words)
    assert comm(pooler.container.process.pid) == "pgbouncer"


def test_a_jdbc_client_with_options_gets_in(pooler):
    with contextlib.closing(pooler.connect(options="-c extra_float_digits=2 -c statement_timeout=77s")) as client:
        assert rows(client, "SELECT 1")[0] == [(1,)]


def test_the_console_has_the_sizes_of_the_environment(pooler):
    with contextlib.closing(pooler.connect()) as client, contextlib.closing(pooler.console()) as console:
        rows(client, "SELECT 1")
        found, names = rows(console, "SHOW CONFIG")
        config = {row[0]: row[1] for row in found}
        assert names == ["key", "value", "default", "changeable"]
        wanted = {"pool_mode": "transaction", "default_pool_size": "15", "reserve_pool_size": "7", "max_client_conn": "10000",
                  "max_db_connections": "30", "idle_transaction_timeout": "600", "server_tls_sslmode": "require",
                  "client_tls_sslmode": "require", "auth_type": "md5", "auth_dbname": "postgres", "min_pool_size": "0",
                  "auth_query": "SELECT * FROM pooler.user_lookup($1)", "stats_users": "robot_zmon,robot_backup",
                  "admin_users": "pooler", "ignore_startup_parameters": "extra_float_digits,options"}
        assert {name: config[name] for name in wanted} == wanted

        def pool():
            found, names = rows(console, "SHOW POOLS")
            return next(dict(zip(names, row)) for row in found if row[:2] == ("app", "foo_user"))
        # pgweir tests a new server before another client may have it, and opens one more for whoever is in a hurry
        wait_until(lambda: pool()["sv_tested"] == 0, what="servers to be idle")
        assert (pool()["cl_active"], pool()["pool_mode"]) == (1, "transaction") and 1 <= pool()["sv_idle"] + pool()["sv_used"] <= 2
        for command in ("PAUSE app", "RESUME app", "RELOAD"):
            rows(console, command)
        assert rows(client, "SELECT 2")[0] == [(2,)]


def test_infrastructure_roles_may_look_and_no_more(pooler):
    with contextlib.closing(pooler.console("robot_zmon", "zmon-secret")) as console:
        assert rows(console, "SHOW POOLS")[0]
        with pytest.raises(psycopg2.Error):
            rows(console, "PAUSE")
    with pytest.raises(psycopg2.OperationalError):
        pooler.console("foo_user", "foo-secret")


def test_sigterm_ends_it_within_the_grace_and_lets_a_transaction_finish(pooler):
    idle, busy = pooler.connect(), pooler.connect()
    rows(idle, "SELECT 1")
    rows(busy, "BEGIN")
    pooler.container.process.signal(signal.SIGTERM)

    def is_refused():
        try:
            socket.create_connection(("127.0.0.1", pooler.port), 1).close()
        except ConnectionRefusedError:
            return True
        return False
    wait_until(is_refused, what="the listeners to close")
    assert rows(busy, "SELECT 42")[0] == [(42,)]
    rows(busy, "COMMIT")
    if not pooler.is_pgweir:                # it waits for clients that need nothing
        idle.close()
        busy.close()
    assert pooler.container.process.wait_exit(20) == 0


def test_the_certificate_that_is_mounted_is_shown(image, cluster, authority):
    tls = authority.issue("pooler", "/CN=acid-minimal-cluster-pooler", "DNS:acid-minimal-cluster-pooler")
    pooler = Pooler(image, cluster, tls=tls).start()
    with contextlib.closing(pooler.connect(sslmode="verify-full", sslrootcert=str(authority.ca), hostaddr="127.0.0.1",
                                           host="acid-minimal-cluster-pooler")) as client:
        assert rows(client, "SELECT 1")[0] == [(1,)]
    assert pooler.certificate() == ssl.PEM_cert_to_DER_cert(tls.certificate.read_text(encoding="ascii"))


def test_an_authority_that_did_not_sign_is_not_asked(own_image, cluster, authority):
    """The operator's image names its own certificate as server_tls_ca_file, and asks for no more than TLS."""
    tls = authority.issue("pooler", "/CN=acid-minimal-cluster-pooler")
    pooler = Pooler(own_image, cluster, tls=tls, more={"SERVER_TLS_CA_FILE": "/tls/tls.crt"}).start()
    with contextlib.closing(pooler.connect()) as client, contextlib.closing(pooler.console()) as console:
        assert rows(client, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[0] == [(True,)]
        config = dict(row[:2] for row in rows(console, "SHOW CONFIG")[0])
        assert (config["server_tls_sslmode"], config["server_tls_ca_file"]) == ("require", "/tls/tls.crt")
    other = Pooler(own_image, cluster, tls=tls, more={"SERVER_TLS_CA_FILE": "/tls/tls.crt", "SERVER_TLS_SSLMODE": "verify-ca"}).start()
    with pytest.raises(psycopg2.OperationalError):         # so the test would notice
        other.connect(connect_timeout=3)


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("uid, gid, writable_root, volumes", [
    (UID, GID, True, []), (UID, GID, False, ["/tmp"]), (UID, GID, False, ["/run/pgweir"]), (UID, GID, False, []),
    (1000650000, 0, False, ["/tmp"]), (1000650000, 1000650000, True, []), (0, 0, False, ["/var/run/pgbouncer"])])
def test_any_user_may_run_it_and_it_makes_a_certificate(own_image, cluster, uid, gid, writable_root, volumes):
    pooler = Pooler(own_image, cluster, uid=uid, gid=gid, writable_root=writable_root, userlist="")
    for path in volumes:
        pooler.container.volume(path)
    pooler.start()
    shown = pooler.certificate()
    with contextlib.closing(pooler.connect()) as client, contextlib.closing(pooler.console()) as console:
        assert rows(client, "SELECT 1")[0] == [(1,)]
        config = dict(row[:2] for row in rows(console, "SHOW CONFIG")[0])
    where = config["client_tls_cert_file"].rsplit("/", 1)[0]
    assert where.startswith(volumes[0] if volumes else "/run/pgweir" if writable_root else "/dev/shm")
    done = pooler.container.run("sh", "-c", f"cat {where}/server.crt; stat -c '%a %u' {where} {where}/*")
    assert ssl.PEM_cert_to_DER_cert(done.stdout[:done.stdout.index("-----END") + 26]) == shown
    modes = done.stdout.split("-----\n")[2].splitlines()
    assert all(mode.endswith(f"00 {uid}") for mode in modes), modes
    assert pooler.container.run("pgweir-healthcheck", environment=pooler.more).returncode == 0


def test_without_a_place_to_write_to_it_says_so(own_image, cluster):
    pooler = Pooler(own_image, cluster, writable_root=False)
    pooler.container.mount_directory("/dev/shm")
    process = pooler.container.start("pgweir-entrypoint", environment=pooler.environment)
    assert process.wait_exit() == 2 and "no place to write to" in process.log()
