"""StackGres: a script of sh -ex that copies a users file and executes /usr/local/bin/pgbouncer, in PostgreSQL's own pod.

What is done here is what its sources say (start-pgbouncer.sh, PgBouncerPooling, PgBouncerCommandUtil): its settings, databases
without a host, a pool for a thousand, and a SIGHUP to whichever process's command line begins as it expects.
"""

import re
import signal
from contextlib import closing

import psycopg2
import pytest

from imagetree import command_line, connect, rows
from waiting import each, free_port, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

UID, GID = 999, 999
COMMAND = re.compile(r"^/usr/local/bin/pgbouncer .*$")

INI = """\
[databases]

{databases}* = port={postgres_port}

[pgbouncer]
max_db_connections = 0
admin_users = pgbouncer_admin
listen_addr = 127.0.0.1,::1
application_name_add_host = 1
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename=$1
unix_socket_dir = /var/run/postgresql
server_check_query = ;
auth_type = md5
max_user_connections = 0
auth_file = /etc/pgbouncer/auth/users
auth_user = authenticator
ignore_startup_parameters = extra_float_digits
listen_port = {port}
pool_mode = session
stats_users = pgbouncer_stats
default_pool_size = 1000
max_client_conn = 1000
{more}"""

SCRIPT = """\
set -eu

if ! [ -f "$USERS" ]
then
  mkdir -p "$USERS_DIRECTORY"
  cp "$USERS_TEMPLATE" "$USERS".tmp
  mv "$USERS".tmp "$USERS"
fi

until {
  ! grep -q '^client_tls_cert_file = ' "$CONFIG" || test -f "$(grep '^client_tls_cert_file = ' "$CONFIG" | cut -d ' ' -f 3-)"
}
do
  sleep 1
done

exec /usr/local/bin/pgbouncer "$CONFIG"
"""


class Pod:
    def __init__(self, image, postgres):
        self.postgres, self.port = postgres, free_port()
        self.container = image.container(UID, GID)
        self.container.volume("/etc/pgbouncer/auth")
        self.container.mount_directory("/etc/pgbouncer/config")
        self.container.mount_directory("/templates")
        self.container.share("/var/run/postgresql", postgres.socket_dir)
        self.container.mount_text("/etc/pgbouncer/users.template", '"authenticator" "auth-secret"\n"pgbouncer_admin" "admin-secret"\n'
                                  '"pgbouncer_stats" "stats-secret"\n')

    def configure(self, databases="", more=""):
        self.container.write("/etc/pgbouncer/config/pgbouncer.ini",
                             INI.format(databases=databases, postgres_port=self.postgres.port, port=self.port, more=more))

    def start(self, **how):
        self.configure(**how)
        self.container.write("/templates/start-pgbouncer.sh", SCRIPT, mode=0o555)
        self.process = self.container.start("/bin/sh", "-ex", "/templates/start-pgbouncer.sh", environment={
            "CONFIG": "/etc/pgbouncer/config/pgbouncer.ini", "USERS_DIRECTORY": "/etc/pgbouncer/auth",
            "USERS": "/etc/pgbouncer/auth/users", "USERS_TEMPLATE": "/etc/pgbouncer/users.template"})
        wait_until(lambda: self.process.is_alive() and COMMAND.match(" ".join(command_line(self.process.pid))))
        return self

    def login(self, user="app", password="app-secret", dbname="app"):
        return connect(port=self.port, user=user, password=password, dbname=dbname)

    def config(self, name):
        with closing(self.login("pgbouncer_admin", "admin-secret", "pgbouncer")) as console:
            return dict(row[:2] for row in rows(console, "SHOW CONFIG")[0])[name]


@pytest.fixture
def pod(image, cluster):
    return Pod(image, cluster)


def test_databases_without_a_host_are_on_the_socket(pod):
    pod.start(databases=f"alias = dbname=app port={pod.postgres.port}\n")
    for name in ("app", "alias"):
        with closing(pod.login(dbname=name)) as client:
            assert rows(client, "SELECT current_user, inet_server_addr() IS NULL")[0] == [("app", True)]
    assert (pod.container.outside("/var/run/postgresql") / f".s.PGSQL.{pod.port}").is_socket()
    assert pod.config("default_pool_size") == "1000" and pod.config("server_check_query") == ";"


def test_a_thousand_may_have_a_server_each(pod):
    """Each of sessions, and none waits for another: their number is PostgreSQL's limit alone."""
    pod.start()
    clients = [pod.login() for _ in range(60)]
    backends = {rows(client, "SELECT pg_backend_pid()")[0][0][0] for client in clients}
    assert len(backends) == len(clients)
    each(clients).close()


def test_its_console_knows_the_users_of_the_copied_file(pod):
    pod.start()
    with closing(pod.login("pgbouncer_stats", "stats-secret", "pgbouncer")) as console:
        assert rows(console, "SHOW POOLS")[1][0] == "database"
        with pytest.raises(psycopg2.Error):
            rows(console, "PAUSE")


def test_a_signal_by_its_command_line_reads_files_anew(pod):
    pod.start()
    pod.login().close()
    pod.configure(more="reserve_pool_size = 4\n")
    pod.container.write("/etc/pgbouncer/auth/users", '"authenticator" "auth-secret"\n"pgbouncer_admin" "next-secret"\n')
    pod.process.signal(signal.SIGHUP)

    def has_changed():
        with closing(pod.login("pgbouncer_admin", "next-secret", "pgbouncer")) as console:
            return dict(row[:2] for row in rows(console, "SHOW CONFIG")[0])["reserve_pool_size"] == "4"
    wait_until(has_changed, what="the reload")


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_its_end_has_status_0(pod, number):
    pod.start()
    pod.login().close()
    pod.process.signal(number)              # as process 1 of its container
    assert pod.process.wait_exit() == 0, pod.process.log()
