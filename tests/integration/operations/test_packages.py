"""What is shipped beside the program: the container's entry point, Kubernetes manifests, units and completion."""

import os
import re
import shutil
import subprocess

import pytest

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
    fake.write_text(f'#!/bin/sh\nexec {binary} --dump-config "$@"\n')
    fake.chmod(0o755)

    def run(*arguments, **environment):
        return subprocess.run([CONTAINER / "entrypoint", *arguments], capture_output=True, text=True, check=False,
                              timeout=20, env={"PATH": f"{fake.parent}:/usr/bin:/bin",
                                               "PGWEIR_RUNTIME_DIR": str(tmp_path / "run"), **environment})
    run.users = tmp_path / "run" / "users.txt"
    return run


@pytest.mark.parametrize("environment, expected, users", [
    ({"DB_HOST": "db", "DB_USER": "web", "DB_PASSWORD": "it's\"$1", "DB_NAME": "shop", "POOL_MODE": "session",
      "DEFAULT_POOL_SIZE": "7", "MAX_CLIENT_CONN": "321", "QUERY_WAIT_TIMEOUT": "12", "ADMIN_USERS": "root"},
     {"pool_mode": "session", "pool_size": "7", "max_client_connections": "321", "pool_timeout": "12s",
      "admin_users": "root", "listen": "0.0.0.0:5432", "upstream": "host=db port=5432 dbname=shop"},
     '"web" "it\'s""$1"\n'),
    ({"POSTGRESQL_HOST": "pg", "POSTGRESQL_PORT": "5433", "POSTGRESQL_PASSWORD": "s", "PGBOUNCER_PORT": "6543",
      "PGBOUNCER_POOL_MODE": "transaction", "PGBOUNCER_DEFAULT_POOL_SIZE": "3", "PGBOUNCER_AUTH_TYPE": "md5"},
     {"pool_size": "3", "listen": "0.0.0.0:6543", "method": "md5", "upstream": "host=pg port=5433"},
     '"postgres" "s"\n'),
    ({"DATABASE_URL": "postgres://app:secret@db.internal:6000/shop"},
     {"upstream": "host=db.internal port=6000 dbname=shop"}, '"app" "secret"\n'),
    ({"DATABASE_URL": "postgres://a%40b:100%25%2F%27@db.internal/shop?sslmode=require&pgbouncer=true&target_session_attrs=read%2dwrite"},
     {"upstream": "host=db.internal port=5432 dbname=shop target_session_attrs=read-write sslmode=require"},
     '"a@b" "100%/\'"\n'),
])
def test_the_container_understands_the_environment_of_pgbouncers_images(entrypoint, environment, expected, users):
    done = entrypoint(**environment)
    assert done.returncode == 0, done.stderr
    in_force = {}
    for name, value in re.findall(r"(?m)^(\w+) = (.*?)\s*(?:;.*)?$", done.stdout):
        in_force.setdefault(name, value)                    # [pgweir] is before [http], which listens, too
    for name, value in expected.items():
        assert in_force[name] == value, (name, done.stdout)
    assert entrypoint.users.read_text() == users
    assert entrypoint.users.stat().st_mode & 0o077 == 0


def test_the_container_says_what_it_needs(entrypoint):
    done = entrypoint()
    assert done.returncode == 2 and "DATABASE_URL" in done.stderr


def test_the_containers_arguments_are_pgweirs(entrypoint):
    assert entrypoint("--help").stdout.startswith("Usage: pgweir")


@pytest.mark.weir_only
def test_the_health_check_follows_readyz(weir):
    weir.start()
    check = [CONTAINER / "healthcheck"]
    environment = {**os.environ, "PGWEIR_HTTP_LISTEN": f"127.0.0.1:{weir.http_port}"}
    assert subprocess.run(check, env=environment, check=False, timeout=10).returncode == 0
    weir.stop()
    assert subprocess.run(check, env=environment, check=False, timeout=10, stderr=subprocess.DEVNULL).returncode == 1


def test_the_manifest_holds_a_configuration_that_is_good(tmp_path):
    binary = find_binary()
    if binary is None or DIRECT:
        pytest.skip("no pgweir: set PGWEIR_BIN, or build it")
    text = (REPOSITORY / "contrib" / "kubernetes" / "pgweir.yaml").read_text()
    ini = re.search(r"pgweir\.ini: \|\n((?:    .*\n)+)", text)[1]
    users = tmp_path / "users.txt"
    users.write_text('"app" "x"\n')
    users.chmod(0o600)
    path = tmp_path / "pgweir.ini"
    path.write_text(ini.replace("/etc/pgweir-users/users.txt", str(users)))
    done = subprocess.run([binary, "--check-config", path], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0 and "0 errors" in done.stdout + done.stderr, done
    grace = int(re.search(r"terminationGracePeriodSeconds: (\d+)", text)[1])
    stop = sum(int(seconds) for seconds in re.findall(r"shutdown_\w+ = (\d+)s", ini))
    assert grace > stop


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_units_are_good(tmp_path):
    for unit in (REPOSITORY / "contrib" / "systemd").iterdir():
        text = unit.read_text().replace("/usr/local/bin/pgweir", "/bin/true").replace("User=pgweir", "User=daemon")
        (tmp_path / unit.name).write_text(text.replace("Group=pgweir", "Group=daemon"))
    units = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False,
                          timeout=60)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if str(tmp_path) in line]
    assert not complaints, complaints


def test_bash_completes_the_options():
    binary = find_binary()
    if binary is None or DIRECT:
        pytest.skip("no pgweir: set PGWEIR_BIN, or build it")
    script = f'. contrib/completion/pgweir.bash; COMP_WORDS=({binary} --c); COMP_CWORD=1; _pgweir; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=20)
    assert done.stdout.split() == ["--check-config", "--config-schema"]
