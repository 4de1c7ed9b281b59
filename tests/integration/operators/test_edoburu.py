"""edoburu/pgbouncer and bitnami/pgbouncer: manifests and compose files that were written for their images.

What is done here is what their entry points and examples say: each variable, mounted file, command and hook. PgBouncer gets the
settings that edoburu's entry point makes of them. Ports are others here, and PostgreSQL's is, too.
"""

import contextlib
import signal
import urllib.request

import psycopg2
import pytest

from imagetree import comm, command_line, connect, rows
from waiting import free_port, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

UID = GID = 70                              # postgres, in Alpine
COMMAND = ["/usr/bin/pgbouncer", "/etc/pgbouncer/pgbouncer.ini"]

# The file of edoburu's example for several users.
MOUNTED = """\
[databases]
* = host=postgres.default port={postgres}

[pgbouncer]
listen_addr = 0.0.0.0
listen_port = {port}
unix_socket_dir =
user = postgres
auth_file = /etc/pgbouncer/userlist.txt
auth_type = {auth_type}
pool_mode = transaction
max_client_conn = {max_client_conn}
ignore_startup_parameters = extra_float_digits

# Log settings
admin_users = postgres
"""
USERS = '"postgres" "console-secret"\n"scramuser" "scram-secret"\n"plainuser" "plain-secret"\n'


class Pod:
    def __init__(self, image, postgres, uid=UID, gid=GID, writable_root=True):
        self.postgres, self.is_pgweir = postgres, image.is_pgweir
        self.container = image.container(uid, gid, writable_root=writable_root)
        self.container.mount_text("/etc/hosts", "127.0.0.1 localhost db postgres.default\n::1 localhost\n")
        self.port, self.http_port = free_port(), free_port()
        self.http = {"PGWEIR_HTTP_LISTEN": f"127.0.0.1:{self.http_port}"}

    def start(self, *command, **environment):
        """As the runtime does: the image's entry point gets the command that is its default, or args."""
        self.container.start("pgweir-entrypoint", *(command or COMMAND), environment={**self.http, **environment})
        self.wait_alive()
        return self

    def start_program(self, *command, **environment):
        """The same with `command` in a manifest, which takes the entry point's place."""
        self.container.start(*(command or COMMAND), environment={**self.http, **environment})
        self.wait_alive()
        return self

    def wait_alive(self):
        """livenessProbe: tcpSocket."""
        self.container.wait_answering(self.port)

    def mount(self, auth_type="plain", max_client_conn=100, users=USERS):
        ini = MOUNTED.format(port=self.port, postgres=self.postgres.port, auth_type=auth_type, max_client_conn=max_client_conn)
        self.container.project("/etc/pgbouncer", {"pgbouncer.ini": ini, "userlist.txt": users})
        return self

    def connect(self, user, password, dbname="app", **words):
        return connect(port=self.port, user=user, password=password, dbname=dbname, sslmode="disable", **words)

    def who(self, *words, **more):
        with contextlib.closing(self.connect(*words, **more)) as client:
            return rows(client, "SELECT current_user::text, current_database()::text")[0][0]

    def config(self, *words):
        with contextlib.closing(self.connect(*words, dbname="pgbouncer")) as console:
            return dict(row[:2] for row in rows(console, "SHOW CONFIG")[0])


@pytest.fixture
def pod(own_image, postgres):
    return Pod(own_image, postgres)


def single(pod):
    """The secret and the variables of edoburu's example for one user."""
    return {"DB_HOST": "postgres.default", "DB_PORT": str(pod.postgres.port), "DB_USER": "scramuser", "DB_PASSWORD": "scram-secret",
            "LISTEN_PORT": str(pod.port), "POOL_MODE": "session", "SERVER_RESET_QUERY": "DISCARD ALL"}


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("command", [COMMAND, ["pgbouncer"], ["-v", COMMAND[1]], COMMAND[1:]], ids=" ".join)
def test_one_user_by_the_environment(pod, command):
    pod.start(*command, **single(pod))
    assert pod.who("scramuser", "scram-secret") == ("scramuser", "app")
    assert pod.who("scramuser", "scram-secret", dbname="app2") == ("scramuser", "app2")
    with pytest.raises(psycopg2.OperationalError):
        pod.connect("scramuser", "wrong")
    config = pod.config("scramuser", "scram-secret")
    wanted = {"pool_mode": "session", "auth_type": "md5", "listen_addr": "0.0.0.0", "ignore_startup_parameters": "extra_float_digits",
              "admin_users": "postgres,scramuser", "unix_socket_dir": ""}
    assert {name: config[name] for name in wanted} == wanted
    assert comm(pod.container.process.pid) == "pgbouncer"
    assert "scram-secret" not in pod.container.process.log()


def test_a_manifest_that_calls_the_entry_point_itself(pod):
    pod.start_program("/bin/sh", "-c", 'exec /entrypoint.sh "$@"', "sh", *COMMAND, **single(pod))
    assert pod.who("scramuser", "scram-secret") == ("scramuser", "app")


def test_other_users_are_looked_up_as_db_user(pod):
    pod.start(**single(pod) | {"DB_USER": "postgres", "DB_PASSWORD": "anything"})       # PostgreSQL trusts it
    assert pod.who("scramuser", "scram-secret") == ("scramuser", "app")
    assert pod.who("md5user", "md5-secret") == ("md5user", "app")
    for user in ("scramuser", "nobody"):
        with pytest.raises(psycopg2.OperationalError):
            pod.connect(user, "wrong")


def test_the_example_of_a_compose_file(pod):
    """Its health check, and a look at the console from inside."""
    pod.start(DB_USER="postgres", DB_PASSWORD="hbZkzny5xrvVH", DB_HOST="db", DB_PORT=str(pod.postgres.port), AUTH_TYPE="scram-sha-256",
              POOL_MODE="transaction", ADMIN_USERS="postgres,dbuser", LISTEN_PORT=str(pod.port))
    assert pod.container.run("pg_isready", "-h", "localhost", "-p", str(pod.port)).returncode == 0
    done = pod.container.run("psql", "-Atc", "SHOW VERSION", f"postgres://postgres@localhost:{pod.port}/pgbouncer",
                             environment={"PGPASSWORD": "hbZkzny5xrvVH"})
    assert done.stdout.startswith("PgBouncer 1."), done


@pytest.mark.parametrize("end, more", [("", {}), (",\n", {"DATABASE_URL": "postgres://elsewhere/app"})], ids=["", "end"])
def test_urls(pod, end, more):
    """They end as a list and a Secret may, and count more than one alone."""
    here = f"@db:{pod.postgres.port}"
    pod.start(DATABASE_URLS=f"postgres://scramuser:scram-secret{here}/app,postgres://plainuser:plain-secret{here}/app2{end}",
              LISTEN_PORT=str(pod.port), **more)
    assert pod.who("scramuser", "scram-secret") == ("scramuser", "app")
    assert pod.who("plainuser", "plain-secret", dbname="app2") == ("plainuser", "app2")
    with pytest.raises(psycopg2.OperationalError):
        pod.connect("scramuser", "scram-secret", dbname="elsewhere")


@pytest.mark.parametrize("words", [
    {"DB_HOST": "db", "DB_PORT": "{}", "DB_NAME": "*", "DB_USER": "scramuser", "DB_PASSWORD": "scram-secret\n"},
    {"DATABASE_URL": "postgres://scramuser:scram-secret@db:{}/*"},
    {"POSTGRESQL_HOST": "db", "POSTGRESQL_PORT": "{}", "POSTGRESQL_DATABASE": "app", "PGBOUNCER_DATABASE": "*",
     "POSTGRESQL_USERNAME": "scramuser", "POSTGRESQL_PASSWORD": "scram-secret"}], ids=["edoburu", "url", "bitnami"])
def test_a_star_is_each_database_by_its_own_name(pod, words):
    pod.start(**{name: value.format(pod.postgres.port) for name, value in words.items()}, LISTEN_PORT=str(pod.port))
    for dbname in ("app", "app2"):
        assert pod.who("scramuser", "scram-secret", dbname=dbname) == ("scramuser", dbname)
    assert "has no effect" not in pod.container.process.log()


@pytest.mark.parametrize("password, written", [("a/b+c==", "a/b+c=="), ("a?b@/c@d", "a?b%40/c%40d"), ("1/b", "1/b"), ("p@%41 '\"#;", "p@%2541%20'%22#%3B")])
def test_a_url_s_password(pod, password, written):
    """Where it is not encoded, as edoburu's entry point takes it. PostgreSQL trusts this user."""
    pod.start(DATABASE_URL=f"postgres://postgres:{written}@db:{pod.postgres.port}/app?sslmode=prefer", LISTEN_PORT=str(pod.port))
    assert pod.who("postgres", password) == ("postgres", "app")
    with pytest.raises(psycopg2.OperationalError):
        pod.connect("postgres", "wrong")


def test_what_kubernetes_sets_for_services_of_such_names(pod):
    services = {"DB_PORT": "tcp://10.0.0.1:5432", "DB_SERVICE_HOST": "10.0.0.1", "CONNECTION_POOLER_PORT": "tcp://10.0.0.2:5432"}
    pod.start(**single(pod) | services | {"DB_NAME": "app"})
    with contextlib.closing(pod.connect("scramuser", "scram-secret", dbname="pgbouncer")) as console:
        found, names = rows(console, "SHOW DATABASES")
    assert {row[0]: row[names.index("port")] for row in found}["app"] == 5432
    assert pod.config("scramuser", "scram-secret")["auth_type"] == "md5", "it is not Zalando's"


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("mounted, named", [("/etc/pgbouncer/userlist.txt", {}), ("/etc/pgbouncer/userlist.txt", {"AUTH_FILE": "/etc/pgbouncer/userlist.txt"}),
                                            ("/secrets/users.txt", {"AUTH_FILE": "/secrets/users.txt"})])
@pytest.mark.parametrize("has_all", [False, True])
def test_a_mounted_userlist_beside_the_environment(pod, mounted, named, has_all):
    pod.container.mount_text(mounted, '"plainuser" "plain-secret"\n' + has_all * '"scramuser" "scram-secret"\n')
    pod.start(**single(pod), **named)
    assert pod.who("scramuser", "scram-secret") == ("scramuser", "app")
    assert pod.who("plainuser", "plain-secret") == ("plainuser", "app")
    assert (pod.config("scramuser", "scram-secret")["auth_file"] == mounted) == has_all     # it can be replaced, then


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("how", ["command", "args", "default"])
def test_mounted_files_replaced_as_a_secret_is(image, postgres, how):
    pod = Pod(image, postgres).mount()
    if how == "command" or not pod.is_pgweir:
        pod.start_program()
    else:
        pod.start(*(COMMAND if how == "args" else ["/usr/local/bin/pgbouncer"]))
    assert comm(pod.container.process.pid) == "pgbouncer" and command_line(pod.container.process.pid)[-1] == COMMAND[1]
    assert pod.who("plainuser", "plain-secret") == ("plainuser", "app")
    with contextlib.closing(pod.connect("postgres", "console-secret", dbname="pgbouncer")) as console:
        pod.mount(max_client_conn=77, users=USERS.replace('"plainuser" "plain-secret"\n', "").replace("console-", "other-"))
        rows(console, "RELOAD")
        wait_until(lambda: dict(row[:2] for row in rows(console, "SHOW CONFIG")[0])["max_client_conn"] == "77", what="the new file")
    with pytest.raises(psycopg2.OperationalError):
        pod.connect("plainuser", "plain-secret")
    pod.config("postgres", "other-secret")


@pytest.mark.parametrize("is_made", [False, True])
def test_the_hook_before_its_end(image, postgres, is_made):
    """lifecycle.preStop: killall -INT pgbouncer, then a sleep, within which what runs may end; then SIGTERM or nothing left."""
    pod = Pod(image, postgres)
    if is_made and not pod.is_pgweir:
        pytest.skip("PgBouncer makes no file")
    if is_made:
        pod.start(**single(pod) | {"POOL_MODE": "transaction"})
    else:
        pod.mount().start_program()
    client = pod.connect("scramuser", "scram-secret")
    rows(client, "BEGIN")
    assert pod.container.run("/bin/sh", "-c", "killall -INT pgbouncer && sleep 0.1").returncode == 0
    assert rows(client, "SELECT 42")[0] == [(42,)]
    rows(client, "COMMIT")
    assert pod.container.process.wait_exit(20) == 0


def scrape(pod):
    with urllib.request.urlopen(f"http://127.0.0.1:{pod.http_port}/metrics", timeout=10) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("how", ["command", "args"])
def test_metrics_beside_a_mounted_file(own_image, postgres, how):
    pod = Pod(own_image, postgres, uid=1000650000, gid=0, writable_root=False).mount()
    (pod.start_program if how == "command" else pod.start)()
    pod.who("plainuser", "plain-secret")
    assert "pgweir_client_connections" in scrape(pod)
    pod.mount(max_client_conn=77)
    pod.container.process.signal(signal.SIGHUP)
    wait_until(lambda: pod.config("postgres", "console-secret")["max_client_conn"] == "77", what="the new file")
    assert "pgweir_client_connections" in scrape(pod)
    assert pod.container.run("pgweir-healthcheck").returncode == 0


def test_the_health_check_without_metrics(own_image, postgres):
    pod = Pod(own_image, postgres).mount()
    pod.http = {}
    pod.start()
    assert pod.container.run("pgweir-healthcheck").returncode == 0
    assert pod.container.run("pgweir-healthcheck", environment={"PGWEIR_HTTP_LISTEN": f"127.0.0.1:{pod.http_port}"}).returncode == 1


def test_another_command_runs_as_it_is(own_image, postgres):
    pod = Pod(own_image, postgres)
    process = pod.container.start("pgweir-entrypoint", "sh", "-c", "id -u; exit 7", environment={})
    assert process.wait_exit() == 7 and process.log() == f"{UID}\n"


# --- bitnami/pgbouncer: user 1001, group 0 ---

@pytest.fixture
def bitnami(own_image, postgres):
    return Pod(own_image, postgres, uid=1001, gid=0)


def bitnami_environment(pod):
    return {"POSTGRESQL_HOST": "db", "POSTGRESQL_PORT": str(pod.postgres.port), "POSTGRESQL_USERNAME": "scramuser",
            "POSTGRESQL_DATABASE": "app", "PGBOUNCER_DATABASE": "app", "PGBOUNCER_PORT": str(pod.port)}


def test_bitnamis_environment(bitnami):
    bitnami.container.mount_text("/secrets/password", "scram-secret\n")
    bitnami.start("/usr/bin/pgbouncer", **bitnami_environment(bitnami), POSTGRESQL_PASSWORD_FILE="/secrets/password",
                  PGBOUNCER_POOL_MODE="transaction", PGBOUNCER_EXTRA_FLAGS="-v", PGBOUNCER_SOCKET_DIR="/tmp", PGBOUNCER_SOCKET_MODE="0700",
                  PGBOUNCER_USERLIST='"plainuser" "plain-secret"', PGBOUNCER_DSN_0=f"second=host=db port={bitnami.postgres.port} dbname=app2",
                  PGBOUNCER_INIT_SLEEP_TIME="1", PGBOUNCER_INIT_MAX_RETRIES="1")
    assert bitnami.who("scramuser", "scram-secret") == ("scramuser", "app")
    assert bitnami.who("plainuser", "plain-secret", dbname="second") == ("plainuser", "app2")
    config = bitnami.config("scramuser", "scram-secret")
    wanted = {"pool_mode": "transaction", "auth_type": "scram-sha-256", "unix_socket_dir": "/tmp", "unix_socket_mode": "0700",
              "admin_users": "scramuser"}
    assert {name: config[name] for name in wanted} == wanted
    assert "is not known here" not in bitnami.container.process.log()
    assert bitnami.container.run("sh", "-c", f"[ -S /tmp/.s.PGSQL.{bitnami.port} ]").returncode == 0


@pytest.mark.parametrize("mounted", [["userlist.txt"], ["pgbouncer.ini", "userlist.txt"]])
def test_bitnamis_mounted_files(bitnami, mounted):
    folder = "/bitnami/pgbouncer/conf"
    ini = MOUNTED.format(port=bitnami.port, postgres=bitnami.postgres.port, auth_type="plain", max_client_conn=50)
    files = {"userlist.txt": USERS, "pgbouncer.ini": ini.replace("/etc/pgbouncer", folder)}
    bitnami.container.project(folder, {name: files[name] for name in mounted})
    bitnami.start("/usr/bin/pgbouncer", **bitnami_environment(bitnami), POSTGRESQL_PASSWORD="scram-secret")
    assert bitnami.who("plainuser", "plain-secret") == ("plainuser", "app")
    assert bitnami.who("scramuser", "scram-secret") == ("scramuser", "app")
