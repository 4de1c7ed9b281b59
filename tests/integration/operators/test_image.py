"""The image itself: what is in it, how large it is, and that any user may run it."""

import filecmp
import json
import os
import re
import signal
import stat
import subprocess
import tarfile
from contextlib import closing

import psycopg2
import pytest

from imagetree import MAKE_TREE, as_user, command_line, comm, connect, is_measured, rows
from waiting import SLOWNESS, free_port, wait_until
from weir import find_binary

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

SMALL = """\
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = /scratch
auth_type = trust
auth_file = /scratch/users
pool_mode = transaction
[databases]
app = host=/pg port={cluster.port} user=postgres
"""


def test_it_is_small_and_has_no_compiler(image):
    done = subprocess.run(["du", "-sk", image.tree], capture_output=True, text=True, check=True)
    assert not is_measured(image) or int(done.stdout.split()[0]) <= 60 * 1024
    names = {path.name for path in image.tree.rglob("*") if path.is_file()}
    assert not names & {"gcc", "cc", "clang", "as", "ld", "cpp", "c99", "make", "apt", "apt-get", "dpkg", "python3", "perl"}


def test_each_name_is_a_file_of_its_own(image):
    for name in ("/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer", "/usr/bin/pgweir"):
        found = os.lstat(f"{image.tree}{name}")
        assert stat.S_ISREG(found.st_mode) and found.st_mode & 0o6777 == 0o755 and found.st_uid == 0


def test_the_same_program_makes_the_same_bytes_and_a_list_of_its_packages(tmp_path):
    for name, zone, mask in ("one", "UTC", 0o022), ("two", "Asia/Tokyo", 0o077):
        subprocess.run([MAKE_TREE, find_binary(), tmp_path / name], check=True, capture_output=True, timeout=120 * SLOWNESS, umask=mask,
                       env=dict(os.environ, SOURCE_DATE_EPOCH="1700000000", TZ=zone))
    for kind in "tar", "spdx.json":
        assert filecmp.cmp(tmp_path / f"one.{kind}", tmp_path / f"two.{kind}", shallow=False), kind
    with tarfile.open(tmp_path / "one.tar") as tar:
        members = tar.getmembers()
    assert {(member.mtime, member.uid, member.gid) for member in members} == {(1700000000, 0, 0)}
    assert "./usr/share/doc/pgweir/sbom.spdx.json" in [member.name for member in members]

    listed = json.loads((tmp_path / "one.spdx.json").read_text(encoding="ascii"))
    assert (listed["spdxVersion"], listed["creationInfo"]["created"]) == ("SPDX-2.3", "2023-11-14T22:13:20Z")
    packages = listed["packages"]
    ids = [package["SPDXID"] for package in packages]
    assert len(set(ids)) == len(ids) and all(re.fullmatch("SPDXRef-[a-zA-Z0-9.-]+", name) for name in ids)
    status = (tmp_path / "one" / "var/lib/dpkg/status").read_text(encoding="utf-8")
    installed = set(re.findall(r"^Package: (\S+)\n(?:(?!Version:).*\n)*?Version: (\S+)$", status, re.M))
    assert {(package["name"], package["versionInfo"]) for package in packages[1:]} == installed
    assert {"bash", "libc6"} <= {name for name, _ in installed}
    assert packages[0]["name"] == "pgweir" and all(package["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/debian/")
                                                   for package in packages[1:])


def test_the_tools_of_the_operators_run_in_it(image):
    container = image.container(998, 996)
    container.start("sleep", "600")
    for command in (["bash", "-ceu", 'exec {fd}<> <(:||:); stat --format=%y /etc/hosts; exec {fd}>&-'],
                    ["sh", "-ex", "-c", "mkdir -p /tmp && grep -q root /etc/passwd && cut -d: -f1 /etc/passwd"],
                    ["pkill", "-0", "--exact", "sleep"], ["awk", "BEGIN { exit 0 }"], ["pgbouncer", "-V"]):
        done = container.run(*command)
        assert done.returncode == 0, done
    assert container.run("sh", "-c", "echo x >/etc/x").returncode != 0
    assert container.run("whoami").stdout == "pgbouncer\n"
    for uid, gid in ((100, 101), (1000650000, 0)):
        other = image.container(uid, gid)
        other.start("sleep", "600")
        assert other.run("id", "-u").stdout == f"{uid}\n" and other.run("pgbouncer", "-V").returncode == 0


def lone_program(image, cluster, *command):
    """The program with a file of PgBouncer's as a container's second process. Returns the container, it, and its port."""
    container, port = image.container(998, 996), free_port()
    container.volume("/scratch")
    container.share("/pg", cluster.socket_dir)
    container.write("/scratch/pgbouncer.ini", SMALL.format(port=port, cluster=cluster))
    container.write("/scratch/users", '"app" "x"\n')
    container.start("sleep", "600")
    process = container.begin(*command, "/scratch/pgbouncer.ini")
    wait_until(lambda: process.is_alive() and (container.outside("/scratch") / f".s.PGSQL.{port}").exists())
    return container, process, port


def test_its_version_is_pgbouncers(image):
    container = image.container(998, 996)
    container.start("sleep", "600")
    for name in ("pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"):
        assert re.match(r"PgBouncer 1\.\d+\.\d+\n", container.run(name, "-V").stdout)
    if image.is_pgweir:
        assert container.run("pgweir", "-V").stdout.startswith("pgweir ")


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("command, path", [
    (["/usr/bin/pgbouncer"], "/usr/bin/pgbouncer"), (["pgbouncer"], "/usr/local/bin/pgbouncer"),
    # a name that leads to another program, or to none: the one that runs is run again
    (["bash", "-c", 'exec -a sleep /usr/bin/pgbouncer "$0"'], "/usr/bin/pgbouncer"),
    (["bash", "-c", 'exec -a no-such-thing /usr/local/bin/pgbouncer "$0"'], "/usr/local/bin/pgbouncer")])
def test_a_restart_keeps_file_and_name(image, cluster, command, path):
    if not image.is_pgweir:
        pytest.skip("PgBouncer has no RESTART")
    container, process, port = lone_program(image, cluster, *command)
    old, called = process.pid, command_line(process.pid)
    client = connect(port=port, user="app", dbname="app")
    assert rows(client, "SELECT 1")[0] == [(1,)]
    with as_user(998, 996):
        console = connect(host=str(container.outside("/scratch")), port=port, user="pgbouncer", dbname="pgbouncer")
    rows(console, "RESTART")
    console.close()
    successor = int(re.search(r"the successor is process (\d+)", process.wait_log("the successor is process"))[1])
    assert process.wait_exit() == 0, process.log()
    there = next(pid for pid in container.pids() if container.inner(pid) == successor)
    assert there != old and command_line(there) == called and comm(there) == os.path.basename(path)
    assert os.readlink(f"/proc/{there}/exe").endswith(path)
    assert rows(client, "SELECT 2")[0] == [(2,)]
    client.close()
    os.kill(there, signal.SIGINT)
    wait_until(lambda: f"[{successor}] LOG stopped" in process.log(), what="the successor to end")


def test_process_1_says_that_it_can_not_restart(image, cluster):
    if not image.is_pgweir:
        pytest.skip("PgBouncer has no RESTART")
    container, port = image.container(998, 996), free_port()
    container.volume("/scratch")
    container.write("/scratch/pgbouncer.ini", SMALL.format(port=port, cluster=cluster))
    container.write("/scratch/users", '"app" "x"\n')
    container.start("/usr/bin/pgbouncer", "/scratch/pgbouncer.ini")
    container.process.wait_log("is ready (pid 1)")
    with as_user(998, 996):
        console = connect(host=str(container.outside("/scratch")), port=port, user="pgbouncer", dbname="pgbouncer")
    with closing(console), pytest.raises(psycopg2.Error, match="as process 1 of a container"):
        rows(console, "RESTART")
