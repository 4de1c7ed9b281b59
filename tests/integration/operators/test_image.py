"""The image itself: what is in it, how large it is, and that any user may run it."""

import os
import stat
import subprocess

from imagetree import is_measured


def test_it_is_small_and_has_no_compiler(image):
    done = subprocess.run(["du", "-sk", image.tree], capture_output=True, text=True, check=True)
    assert not is_measured(image) or int(done.stdout.split()[0]) <= 60 * 1024
    names = {path.name for path in image.tree.rglob("*") if path.is_file()}
    assert not names & {"gcc", "cc", "clang", "as", "ld", "cpp", "c99", "make", "apt", "apt-get", "dpkg", "python3", "perl"}


def test_each_name_is_a_file_of_its_own(image):
    for name in ("/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer", "/usr/bin/pgweir"):
        found = os.lstat(f"{image.tree}{name}")
        assert stat.S_ISREG(found.st_mode) and found.st_mode & 0o6777 == 0o755 and found.st_uid == 0


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
