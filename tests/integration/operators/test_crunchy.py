"""Crunchy's operator (PGO): a pgbouncer from PATH with nothing to write to, and a reloader of the same image beside it.

What is done here is what its sources say (internal/pgbouncer): a file that includes another and goes on with a second section
[pgbouncer], no auth_type, verify-full, a projected volume, and a loop of bash that sends SIGHUP by the process's name.
"""

import os
import re
import signal
from contextlib import closing

import psycopg2
import pytest

from imagetree import comm, connect, rows
from waiting import free_port, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

INI = """\
# made by an operator
# changes are lost

[pgbouncer]
%include /etc/pgbouncer/pgbouncer.ini

[pgbouncer]
auth_file = /etc/pgbouncer/~postgres-operator/users.txt
auth_query = SELECT username, password from pgbouncer.get_auth($1)
auth_user = _crunchypgbouncer
client_tls_ca_file = /etc/pgbouncer/~postgres-operator/frontend-ca.crt
client_tls_cert_file = /etc/pgbouncer/~postgres-operator/frontend-tls.crt
client_tls_key_file = /etc/pgbouncer/~postgres-operator/frontend-tls.key
client_tls_sslmode = require
conffile = /etc/pgbouncer/~postgres-operator.ini
ignore_startup_parameters = extra_float_digits
listen_addr = *
listen_port = {port}
{more}server_tls_ca_file = /etc/pgbouncer/~postgres-operator/backend-ca.crt
server_tls_sslmode = verify-full
stats_users = _crunchypgbouncer
unix_socket_dir =

[databases]
* = host={host} port={postgres_port}
"""

# What the reloader does, in other words: every so often it compares the directory's time with that of a descriptor of its
# own, which it opens anew once the signal is sent; its own name hides the script from ps.
RELOADER = """\
watch() {
    exec {clock}<> <(:||:)
    while read -r -t 0.2 -u "${clock}" ||:; do
        if [[ "${place}" -nt "/proc/self/fd/${clock}" ]] && pkill -HUP --exact pgbouncer; then
            exec {clock}>&- && exec {clock}<> <(:||:)
            stat --format='loaded what is dated %y' "${place}"
        fi
    done
}; export place="$1"; export -f watch; exec -a "$0" bash -ceu watch"""


class Pod:
    def __init__(self, image, cluster, authority, tls):
        self.cluster, self.authority, self.tls = cluster, authority, tls
        self.port = free_port()
        self.container = image.container(26, 26)
        self.container.mount_text("/etc/hosts", "127.0.0.1 localhost hippo-primary wrong-name\n")

    def project(self, included="", more="", host="hippo-primary", password='crunchy "quoted" secret'):
        quoted = password.replace('"', '""')
        own = "~postgres-operator"
        self.container.project("/etc/pgbouncer", {
            "pgbouncer.ini": included,
            "~postgres-operator.ini": INI.format(port=self.port, postgres_port=self.cluster.port, host=host, more=more),
            f"{own}/users.txt": f'"_crunchypgbouncer" "{quoted}"\n',
            f"{own}/frontend-ca.crt": self.authority.ca.read_bytes(),
            f"{own}/frontend-tls.crt": self.tls.certificate.read_bytes(),
            f"{own}/frontend-tls.key": self.tls.key.read_bytes(),
            f"{own}/backend-ca.crt": self.authority.ca.read_bytes()})

    def start(self, make_directory="", **how):
        self.project(**how)
        self.container.start("sleep", "600")        # the pod's first process; its containers share the processes
        self.pooler = self.container.begin("sh", "-c", "--", make_directory + 'exec "$@"', "--", "pgbouncer",
                                           "/etc/pgbouncer/~postgres-operator.ini")
        wait_until(lambda: self.pooler.is_alive() and comm(self.pooler.pid) == "pgbouncer")
        return self

    def login(self, user="app", password="app-secret", dbname="app", **words):
        return connect(port=self.port, user=user, password=password, dbname=dbname, sslmode="require", **words)

    def config(self, name):
        with closing(self.login("_crunchypgbouncer", 'crunchy "quoted" secret', "pgbouncer")) as console:
            return dict(row[:2] for row in rows(console, "SHOW CONFIG")[0])[name]


@pytest.fixture
def pod(image, cluster, authority):
    made = Pod(image, cluster, authority, authority.issue("pgbouncer-svc", "/CN=hippo-pgbouncer"))
    made.log_volume = made.container.volume("/var/log/pgbouncer")
    return made


def test_a_client_logs_in_by_auth_query_over_tls(pod):
    """With auth_type's default, md5, SCRAM secrets, and a server whose name is verified."""
    pod.start(included=f"[databases]\nmine = host=hippo-primary port={pod.cluster.port} dbname=app\n")
    for name in ("app", "mine"):
        with closing(pod.login(dbname=name)) as client:
            assert rows(client, "SELECT current_user, current_database()")[0] == [("app", "app")]
    assert pod.config("auth_type") == "md5"
    with pytest.raises(psycopg2.OperationalError):
        pod.login(password="wrong")
    with pytest.raises(psycopg2.OperationalError):
        connect(port=pod.port, user="app", password="app-secret", dbname="app", sslmode="disable")


def test_a_server_of_another_name_gets_no_password(pod):
    pod.start(host="wrong-name", more="query_wait_timeout = 1\nserver_login_retry = 1\n")
    with pytest.raises(psycopg2.OperationalError):
        pod.login()


def test_the_reloader_finds_it_by_name_and_new_files_are_read(pod):
    pod.start()
    pod.login().close()
    reloader = pod.container.begin("bash", "-ceu", "--", RELOADER, "pgbouncer-config", "/etc/pgbouncer")
    wait_until(lambda: comm(reloader.pid) == "bash")

    def is_loaded():                        # the loop may have begun after the first change
        os.utime(pod.container.outside("/etc/pgbouncer"))
        return "loaded what is dated" in reloader.log()
    wait_until(is_loaded, what="the reloader's first signal", pause=0.3)
    pod.project(included="[users]\napp = pool_mode=statement\n", more="default_pool_size = 9\n")
    wait_until(lambda: pod.config("default_pool_size") == "9", what="the reload", pause=0.1)
    assert pod.pooler.is_alive()


def test_sighup_opens_the_log_anew(pod):
    pod.start(make_directory="mkdir -p '/var/log/pgbouncer' && chmod 0775 '/var/log/pgbouncer'; ",
              more="logfile = /var/log/pgbouncer/pgbouncer.log\n")
    log = pod.log_volume / "pgbouncer.log"
    pod.login().close()
    wait_until(lambda: "login attempt" in log.read_text())
    log.rename(pod.log_volume / "pgbouncer.log.1")
    assert pod.container.run("pkill", "-HUP", "--exact", "pgbouncer").returncode == 0

    def writes_anew():
        pod.login().close()
        return "login attempt" in log.read_text()
    wait_until(writes_anew, what="the log to be opened anew")
    assert all(re.match(r"(?s)(^.*) \[([0-9]+)\] ([A-Z]+) (.+)$", line) for line in log.read_text().splitlines())


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_its_end_has_status_0(pod, number):
    pod.start()
    pod.login().close()
    pod.pooler.signal(number)
    assert pod.pooler.wait_exit() == 0, pod.pooler.log()
