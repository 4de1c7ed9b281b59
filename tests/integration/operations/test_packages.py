"""What is shipped beside the program: the container's entry point, Kubernetes manifests, units and completion."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from waiting import SLOWNESS
from weir import DIRECT, REPOSITORY, find_binary

CONTAINER = REPOSITORY / "contrib" / "container"


@pytest.fixture
def entrypoint(tmp_path):
    """Runs the entry point with a pgweir that prints the settings in force instead of serving."""
    binary = find_binary()
    if binary is None or DIRECT:
        pytest.skip("no pgweir: set PGWEIR_BIN, or build it")
    fake = tmp_path / "bin" / "pgweir"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase $1 in --make-*) exec {binary} "$@" ;; esac\nexec {binary} --dump-config "$@"\n')
    fake.chmod(0o755)

    def run(*arguments, **environment):
        return subprocess.run([CONTAINER / "entrypoint", *arguments], capture_output=True, text=True, check=False,
                              timeout=20 * SLOWNESS, env={"PATH": f"{fake.parent}:/usr/bin:/bin",
                                               "PGWEIR_RUNTIME_DIR": str(tmp_path / "run"), **environment})

    def in_busybox(**environment):
        """With its shell and its awk."""
        busybox, tools = shutil.which("busybox"), tmp_path / "tools"
        tools.mkdir()
        for name in ("sh", "awk", "id", "mkdir", "rm", "stat"):
            (tools / name).symlink_to(busybox)
        return subprocess.run([tools / "sh", CONTAINER / "entrypoint"], capture_output=True, text=True, check=False, timeout=20 * SLOWNESS,
                              env={"PATH": f"{fake.parent}:{tools}", "PGWEIR_RUNTIME_DIR": str(tmp_path / "run"), **environment})
    run.in_busybox = in_busybox
    run.users = tmp_path / "run" / "users.txt"
    return run


@pytest.mark.parametrize("environment, expected, users", [
    ({"DB_HOST": "db", "DB_USER": "web", "DB_PASSWORD": "it's\"$1", "DB_NAME": "shop", "POOL_MODE": "transaction",
      "DEFAULT_POOL_SIZE": "7", "MAX_CLIENT_CONN": "321", "QUERY_WAIT_TIMEOUT": "12", "ADMIN_USERS": "root",
      "MAX_DB_CONNECTIONS": "9"},
     {"pgweir.pool_mode": "transaction", "pool.pool_size": "7", "pgweir.max_client_connections": "321",
      "pool.pool_timeout": "12s", "auth.admin_users": "root", "pgweir.listen": "0.0.0.0:5432",
      "limits.max_db_connections": "9", "pgweir.max_server_connections": "0", "http.listen": "0.0.0.0:9930",
      "database shop.upstream": "host=db port=5432 dbname=shop"},
     '"web" "it\'s""$1"\n'),
    ({"POSTGRESQL_HOST": "pg", "POSTGRESQL_PORT": "5433", "POSTGRESQL_PASSWORD": "s", "PGBOUNCER_PORT": "6543",
      "PGBOUNCER_POOL_MODE": "statement", "PGBOUNCER_DEFAULT_POOL_SIZE": "3", "PGBOUNCER_AUTH_TYPE": "md5",
      "PGBOUNCER_DSN_0": "app=host=h1 port=5 dbname=x", "PGBOUNCER_DSN_1": "other=host=h2", "PGWEIR_HTTP_LISTEN": "off",
      "PGWEIR_SLOW_QUERY_THRESHOLD": "2s", "PGBOUNCER_USERLIST": '"u" "v"\n"w" "x"'},
     {"pool.pool_size": "3", "pgweir.listen": "0.0.0.0:6543", "auth.method": "md5", "http.listen": "off",
      "database *.upstream": "host=pg port=5433", "database app.upstream": "host=h1 port=5 dbname=x",
      "database other.upstream": "host=h2 port=5432", "slow_query.threshold": "2s"},
     '"postgres" "s"\n"u" "v"\n"w" "x"\n'),
    ({"POSTGRESQL_HOST": "pg", "POSTGRESQL_PASSWORD": "s", "PGBOUNCER_SET_DATABASE_USER": "true",
      "PGBOUNCER_SET_DATABASE_PASSWORD": "1"}, {"database *.upstream": "host=pg port=5432 user=postgres password=***"},
     '"postgres" "s"\n'),
    ({"DATABASE_URL": "postgres://app:secret@db.internal:6000/shop"},
     {"database shop.upstream": "host=db.internal port=6000 dbname=shop"}, '"app" "secret"\n'),
    ({"DATABASE_URL": "postgres://a%40b:100%25%2F%27@db.internal/shop?sslmode=require&pgbouncer=true&"
                      "target_session_attrs=read%2dwrite"},
     {"database shop.upstream": "host=db.internal port=5432 dbname=shop target_session_attrs=read-write sslmode=require"},
     '"a@b" "100%/\'"\n'),
    ({"DATABASE_URLS": "postgres://a:b@h1/db1,postgresql://c:d,@h2,h3:5433/db2"},
     {"database db1.upstream": "host=h1 port=5432 dbname=db1",
      "database db2.upstream": "host=h2,h3 port=5433 dbname=db2 load_balance_hosts=round-robin"},
     '"a" "b"\n"c" "d,"\n'),
    ({"DB_HOST": "::1", "IGNORE_STARTUP_PARAMETERS": "search_path,a.b", "RESERVE_POOL_TIMEOUT": "3",
      "MAX_USER_CONNECTIONS": "4", "CLIENT_IDLE_TIMEOUT": "5", "SERVER_CHECK_DELAY": "6", "LOG_CONNECTIONS": "0",
      "AUTH_DBNAME": "postgres", "PGBOUNCER_STATS_USERS": "s", "PGBOUNCER_CONNECT_QUERY": "SET a.b = 'c'"},
     {"pgweir.ignore_startup_parameters": "search_path,a.b", "pool.overflow_delay": "3s",
      "limits.max_user_connections": "4", "timeouts.client_idle_timeout": "5s", "pool.pool_pre_ping_idle": "6s",
      "log.connections": "off", "auth.auth_database": "postgres", "auth.stats_users": "s",
      "database *.upstream": "host=::1 port=5432 connect_query='SET a.b = \\'c\\''"}, ""),
    ({"POSTGRESQL_PASSWORD": "s", "PGBOUNCER_INIT_SLEEP_TIME": "3", "PGBOUNCER_LOG_FILE": "/dev/null"},
     {"pgweir.listen": "0.0.0.0:6432", "auth.method": "scram-sha-256", "database *.upstream": "host=postgresql port=5432",
      "log.destination": "/dev/null"}, '"postgres" "s"\n'),
    ({"PGHOST": "db", "PGPORT": "5433", "PGUSER": "pooler", "PGPASSWORD": "s", "PGSCHEMA": "other", "CONNECTION_POOLER_PORT": "5435",
      "CONNECTION_POOLER_MODE": "session", "CONNECTION_POOLER_DEFAULT_SIZE": "15", "CONNECTION_POOLER_MIN_SIZE": "7",
      "CONNECTION_POOLER_RESERVE_SIZE": "8", "CONNECTION_POOLER_MAX_CLIENT_CONN": "10000", "CONNECTION_POOLER_MAX_DB_CONN": "30"},
     {"pgweir.pool_mode": "session", "pool.pool_size": "15", "pool.max_overflow": "8", "pool.min_idle": "0",
      "pgweir.max_client_connections": "10000", "limits.max_db_connections": "30", "auth.auth_database": "postgres",
      "auth.method": "md5", "tls_client.mode": "require", "tls_server.mode": "require", "timeouts.shutdown_timeout": "280s",
      "database *.upstream": "host=db port=5433", "database *.auth_user": "pooler", "database postgres.auth_user": "pooler",
      "database *.auth_query": "SELECT * FROM other.user_lookup($$1)"}, '"pooler" "s"\n'),
])
@pytest.mark.parametrize("shell", ["sh", pytest.param("busybox", marks=pytest.mark.needs("busybox"))])
def test_the_container_understands_the_environment_of_pgbouncers_images(entrypoint, environment, expected, users, shell):
    done = entrypoint.in_busybox(**environment) if shell == "busybox" else entrypoint(**environment)
    assert done.returncode == 0, done.stderr
    in_force, section = {}, ""
    for head, name, value in re.findall(r"(?m)^(?:\[(.*)\]|(\w+) = ?(.*?)\s*(?: ;.*)?)$", done.stdout):
        section = head or section
        in_force[f"{section}.{name}"] = value
    for name, value in expected.items():
        assert in_force[name] == value, (name, done.stdout)
    assert entrypoint.users.read_text() == users
    assert entrypoint.users.stat().st_mode & 0o077 == 0
    assert "pgweir: " not in done.stderr.replace("pgweir: pgbouncer in the URL is for clients", "")


@pytest.mark.parametrize("name", ["SERVER_TLS_CA_FILE", "PGBOUNCER_SERVER_TLS_CA_FILE"])
def test_the_container_takes_the_authority_that_verify_full_needs(entrypoint, tmp_path, name):
    done = entrypoint(DB_HOST="db", SERVER_TLS_SSLMODE="verify-full", **{name: str(tmp_path / "ca.pem")})
    assert done.returncode == 1 and str(tmp_path / "ca.pem") in done.stderr


@pytest.mark.parametrize("environment, told, code", [
    ({"PGBOUNCER_POOLMODE": "x"}, "PGBOUNCER_POOLMODE is not known here, and has no effect; did you mean PGBOUNCER_POOL_MODE?", 0),
    ({"POOLMODE": "x"}, "POOLMODE is not known here, and has no effect; did you mean POOL_MODE?", 0),
    ({"MAX_CLIENT_CONNS": "5"}, "; did you mean MAX_CLIENT_CONN?", 0),
    ({"DEFAULT_POOL_SZIE": "5"}, "; did you mean DEFAULT_POOL_SIZE?", 0),
    ({"DATABASE_URI": "postgres://h/x"}, "; did you mean DATABASE_URL?", 0),
    ({"POOL_SIZE": "5"}, "POOL_SIZE is not known here, and has no effect; did you mean PGWEIR_POOL_POOL_SIZE?", 0),
    ({"SERVER_TLS_CA": "x"}, "SERVER_TLS_CA is not known here, and has no effect", 0),
    ({"PGSSLMODE": "require"}, "PGSSLMODE is not known here, and has no effect", 0),
    ({"HOSTNAME": "h", "HOME": "/", "TZ": "UTC", "LANG": "C", "TERM": "xterm", "KUBERNETES_PORT": "tcp://10.0.0.1:443",
      "USER": "pgweir", "SSL_CERT_FILE": "x", "MEMORY_LIMIT": "1", "POD_NAMESPACE": "x"}, "", 0),
    ({"PGWEIR_POOL_SIZE": "3"}, "PGWEIR_POOL_SIZE is not known here, and has no effect", 0),
    ({"SERVER_RESET_QUERY": "x"}, "SERVER_RESET_QUERY is not needed: pgweir itself clears", 0),
    ({"PGBOUNCER_PORT": "tcp://10.0.0.1:6432", "PGBOUNCER_SERVICE_HOST": "10.0.0.1"}, "", 0),      # Kubernetes
    ({"DATABASE_URLS": "postgres://a@h1/x,postgres://a@h2/x"}, 'there are two databases "x"', 2),
    ({"DATABASE_URLS": "postgres://a:1@h1/x,postgres://a:2@h2/y"}, 'user "a" has two passwords', 2),
    ({"DATABASE_URL": "postgres://h1:5,h2:6/x"}, "hosts with different ports", 2),
    ({"DATABASE_URL": "mysql://a:top-secret@h"}, "a URL begins with postgres://", 2),
    ({"DATABASE_URL": "postgres://a%0Aauth_type=any:x@h/x"}, "a URL has a control character, %0A", 2),
    ({"DB_PASSWORD_FILE": "/proc/self/status"}, "/proc/self/status: it has more than one line", 2),
    ({"POOL_MODE": "sometimes"}, "pool_mode: \"sometimes\" is not one of session, transaction, statement", 1),
])
def test_the_container_drops_no_name_without_a_word(entrypoint, environment, told, code):
    done = entrypoint(**{"DB_HOST": "db", **environment})
    assert done.returncode == code and told in done.stderr and "top-secret" not in done.stderr
    assert told or "pgweir: " not in done.stderr


def test_the_container_says_what_it_needs(entrypoint):
    done = entrypoint()
    assert done.returncode == 2 and "DATABASE_URL" in done.stderr


def test_the_containers_arguments_are_pgweirs(entrypoint):
    assert entrypoint("--help").stdout.startswith("Usage: pgweir")


@pytest.mark.weir_only
def test_the_health_check_follows_healthz(weir):
    weir.start()
    check = [CONTAINER / "healthcheck"]
    environment = {**os.environ, "PGWEIR_HTTP_LISTEN": f"127.0.0.1:{weir.http_port}"}
    assert subprocess.run(check, env=environment, check=False, timeout=10 * SLOWNESS).returncode == 0
    weir.stop()
    assert subprocess.run(check, env=environment, check=False, timeout=10 * SLOWNESS, stderr=subprocess.DEVNULL).returncode == 1


@pytest.mark.weir_only
@pytest.mark.parametrize("by_environment", [True, False])
def test_the_health_check_where_metrics_need_tls(weir, authority, tmp_path, by_environment):
    made = authority.issue("health", alternatives="DNS:localhost")
    section = {"tls_cert_file": made.certificate, "tls_key_file": made.key, "tls_client_ca_file": authority.ca}
    weir.start({"http": section})
    program = tmp_path / "pgweir"
    program.write_text(f'#!/bin/sh\nexec "{weir.binary}" --dump-config "{weir.ini}"\n')    # whatever process 1 is here
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}",
                   **({"PGWEIR_HTTP_TLS_CERT_FILE": str(made.certificate)} if by_environment else {})}
    check = [CONTAINER / "healthcheck"]
    assert subprocess.run(check, env=environment, check=False, timeout=10 * SLOWNESS).returncode == 0
    weir.stop()
    assert subprocess.run(check, env=environment, check=False, timeout=10 * SLOWNESS, stderr=subprocess.DEVNULL).returncode == 1


def check_objects(objects, tmp_path):
    """A configuration that --check-config finds nothing in, time enough to stop, and ports that exist."""
    binary = find_binary()
    if binary is None or DIRECT:
        pytest.skip("no pgweir: set PGWEIR_BIN, or build it")
    ini, pod = objects["ConfigMap"]["data"]["pgweir.ini"], objects["Deployment"]["spec"]["template"]
    users = tmp_path / "users.txt"
    users.write_text('"app" "x"\n"ops" "y"\n')
    users.chmod(0o600)
    path = tmp_path / "pgweir.ini"
    path.write_text(ini.replace("/etc/pgweir-users/users.txt", str(users)))
    done = subprocess.run([binary, "--check-config", path], capture_output=True, text=True, check=False, timeout=20 * SLOWNESS)
    assert done.returncode == 0 and "0 errors" in done.stdout + done.stderr, done
    stop = sum(int(seconds) for seconds in re.findall(r"shutdown_\w+ = (\d+)s", ini))
    assert pod["spec"]["terminationGracePeriodSeconds"] > stop
    container = pod["spec"]["containers"][0]
    assert {port["name"] for port in container["ports"]} == {"postgres", "http"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}
    labels = objects["Deployment"]["spec"]["selector"]["matchLabels"]
    assert labels.items() <= pod["metadata"]["labels"].items()
    assert labels == objects["Service"]["spec"]["selector"] == objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]


def test_the_manifest_holds_a_configuration_that_is_good(tmp_path):
    text = (REPOSITORY / "contrib" / "kubernetes" / "pgweir.yaml").read_text()
    check_objects({found["kind"]: found for found in yaml.safe_load_all(text)}, tmp_path)


@pytest.mark.needs("systemd-analyze")
def test_the_units_are_good(tmp_path):
    source = REPOSITORY / "contrib" / "systemd"
    for unit in source.rglob("pgweir*.*"):
        text = unit.read_text().replace("/usr/local/bin/pgweir", "/bin/true").replace("User=pgweir", "User=daemon")
        there = tmp_path / unit.relative_to(source)
        there.parent.mkdir(exist_ok=True)
        there.write_text(text.replace("Group=pgweir", "Group=daemon"))
    (tmp_path / "pgbouncer.service").write_text("[Service]\nType=notify\nUser=daemon\nExecStart=/bin/false x\n")
    units = sorted(str(path) for path in tmp_path.iterdir() if path.is_file())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False,
                          timeout=60 * SLOWNESS)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if str(tmp_path) in line]
    assert not complaints, complaints


def test_the_package_opens_the_console_to_ops(tmp_path):
    """A new users.txt has a random password for it; one that is there stays."""
    postinst = (REPOSITORY / "debian" / "pgweir.postinst").read_text().replace("/etc/pgweir", str(tmp_path))
    users = tmp_path / "users.txt"
    subprocess.run(["sh", "-c", postinst, "postinst", "configure"], check=True, timeout=10 * SLOWNESS)
    assert re.search(r'(?m)^"ops" "[0-9a-f]{32}"$', users.read_text()) and users.stat().st_mode & 0o077 == 0
    before = users.read_text()
    subprocess.run(["sh", "-c", postinst, "postinst", "configure"], check=True, timeout=10 * SLOWNESS)
    assert users.read_text() == before
    script = re.search(r"sed -i '(.*)' debian", (REPOSITORY / "debian" / "rules").read_text())[1]
    changed = subprocess.run(["sed", script, REPOSITORY / "conf" / "pgweir.ini"], capture_output=True, text=True, check=True)
    assert re.search(r"(?m)^admin_users = ops +;", changed.stdout)


def test_an_upgrade_of_the_package_leaves_the_service_and_says_how_to_restart_it(tmp_path):
    """With a systemctl that notes what it is asked for; what debhelper adds is looked at where it is installed."""
    systemctl, asked = tmp_path / "bin" / "systemctl", tmp_path / "asked"
    systemctl.parent.mkdir()
    (tmp_path / "users.txt").touch()
    postinst = (REPOSITORY / "debian" / "pgweir.postinst").read_text().replace("/etc/pgweir", str(tmp_path))

    def configure(*before, state=0):
        systemctl.write_text(f'#!/bin/sh\necho "$*" >>{asked}\nexit {state}\n')
        systemctl.chmod(0o755)
        script = postinst.replace("/run/systemd/system", str(tmp_path))
        return subprocess.run(["sh", "-c", script, "postinst", "configure", *before], capture_output=True, text=True,
                              check=True, timeout=10 * SLOWNESS, env={"PATH": f"{systemctl.parent}:/usr/bin:/bin"}).stdout
    assert "systemctl kill --kill-whom=main --signal=USR2 pgweir.service" in configure("0.0.9-1")
    assert configure("0.0.9-1", state=3) == "" and configure() == ""
    assert set(asked.read_text().splitlines()) == {"--quiet is-active pgweir.service"}
    if shutil.which("dh_installsystemd") is None:
        return
    shutil.copytree(REPOSITORY / "debian", tmp_path / "debian")
    units = tmp_path / "debian" / "pgweir" / "lib" / "systemd" / "system"
    units.mkdir(parents=True)
    shutil.copy(REPOSITORY / "contrib" / "systemd" / "pgweir.service", units)
    rule = re.search(r"^\tdh_installsystemd (.* pgweir\.service)$", (REPOSITORY / "debian" / "rules").read_text(), re.M)[1]
    subprocess.run(["dh_installsystemd", *rule.split()], cwd=tmp_path, check=True, timeout=30 * SLOWNESS)
    added = {path.name: path.read_text() for path in (tmp_path / "debian" / ".debhelper" / "generated" / "pgweir").iterdir()}
    assert "restart" not in added["postinst.service"] and "start 'pgweir.service'" in added["postinst.service"]
    assert '"$1" = remove' in added["prerm.service"] and "upgrade" not in added["prerm.service"]


def test_bash_completes_the_options():
    binary = find_binary()
    if binary is None or DIRECT:
        pytest.skip("no pgweir: set PGWEIR_BIN, or build it")
    script = f'. contrib/completion/pgweir.bash; COMP_WORDS=({binary} --c); COMP_CWORD=1; _pgweir; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=20 * SLOWNESS)
    assert done.stdout.split() == ["--check-config", "--config-schema"]
