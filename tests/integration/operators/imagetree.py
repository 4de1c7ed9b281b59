"""The container image without a container builder: its file tree, and containers of it as an operator runs them.

A container has a root of its own that can't be written to, a user and a group by number and no capabilities, volumes, files
that are mounted, its own processes (the command is process 1) and just the environment that it is given. It shares the
network with the tests: ports are free_port()'s. It needs root, and unshare(1) to be allowed.

PGBOUNCER_BIN   PgBouncer's program: the same tests then run with it too, in the same tree. A test that it fails is wrong.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg2
import pytest

from waiting import SLOWNESS, wait_until
from weir import BAD_LOG, DIRECT, REPOSITORY, find_binary, is_sanitized

MAKE_TREE = REPOSITORY / "contrib" / "container" / "make-tree"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# $1: the root; $2: uid, $3: gid, $4: groups; then a mount per word "from:to:ro" up to --, and the command. Its descriptors
# and its environment are the container's own.
INSIDE = r"""
set -eu
root=$1 uid=$2 gid=$3 groups=$4
shift 4
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
for name in null zero full random urandom; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
for name in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${name%%:*}" "$root/dev/${name#*:}"
done
while [ "$1" != -- ]; do
    IFS=: read -r from to how <<END
$1
END
    mount --bind "$from" "$root$to"
    [ "$how" != ro ] || mount -o remount,bind,ro "$root$to"
    shift
done
shift
[ "$WRITABLE" = yes ] || mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs env -u WRITABLE chroot --userspec="$uid:$gid" --groups="$groups" "$root" "$@"
"""


def may_contain():
    """Why containers can't be made here; "": they can."""
    if os.getuid() != 0:
        return "containers are made by root"
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"unshare is not allowed here: {done.stderr.strip()}"


@functools.cache
def trees_place():
    """Where trees are, on the file system of the containers' roots, from which programs may be run."""
    named = os.environ.get("PGWEIR_PG_TEMPLATE")
    if named:
        return Path(named)                  # several processes share it
    made = Path(tempfile.mkdtemp(prefix="pgweir-it-images-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def image_tree(program):
    """The image's files with that program in the place of pgweir; made once for all workers of a run."""
    place = trees_place() / f"image-{Path(program).name}"
    with open(trees_place() / "image-lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            new = Path(tempfile.mkdtemp(dir=trees_place())) / "tree"
            subprocess.run([MAKE_TREE, program, new], check=True, capture_output=True, timeout=120 * SLOWNESS)
            new.rename(place)
    return place


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def comm(pid):
    """What pkill --exact and ps call the process; "": it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").rstrip("\n")
    except OSError:
        return ""


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")


class Process:
    """What runs in a container: its PID out here, its output, its end."""

    def __init__(self, starter, log):
        self.starter = starter              # unshare(1) or nsenter(1), which waits for it
        self.log_file = log
        self._pid = None

    def wait_begun(self):
        """Until it runs in the container: the starter's child has its root and is another program."""
        def found():
            if self.starter.poll() is not None:
                return True
            kids = children(self.starter.pid)
            if kids and os.readlink(f"/proc/{kids[0]}/root") != "/" and comm(kids[0]) not in ("chroot", "nsenter"):
                self._pid = kids[0]
            return self._pid
        wait_until(found, what="the command to run in the container", pause=0.005)
        return self

    @property
    def pid(self):
        return self._pid

    def log(self):
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def wait_log(self, *texts):
        for text in texts:
            wait_until(lambda: text in self.log() or not self.is_alive(), what=f"its output to say: {text}")  # pylint: disable=cell-var-from-loop
        return self.log()

    def is_alive(self):
        if self.starter.poll() is not None:     # nobody need wait any longer
            pytest.fail(f"it ended with {self.starter.returncode}:\n{self.log()}")
        return True

    def signal(self, number):
        os.kill(self._pid, number)

    def wait_exit(self, timeout=30):
        """Its exit status; negative: of a signal."""
        return self.starter.wait(timeout)


class Container:
    """One container of the image. First its volumes and files, then start()."""

    def __init__(self, tree, uid, gid, groups=None, writable_root=False):
        self.uid, self.gid = uid, gid
        self.groups = groups if groups is not None else gid
        self.writable_root = writable_root
        self.directory = Path(tempfile.mkdtemp(prefix="pgweir-ct-"))
        self.directory.chmod(0o755)
        self.root = self.directory / "root"
        self.volumes = {}                   # path inside -> (path out here, "ro" or "rw")
        self.process = None
        self.environment = {}
        self._others = []
        self._projected = 0                 # sets of files so far
        # links to the tree's files: mount points are made here as a container runtime makes them in a layer of its own
        subprocess.run(["cp", "-al", tree, self.root], check=True)
        self.mount_text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        self.mount_text("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.mount_text("/etc/hostname", "pool-1\n")

    # --- what it finds ---

    def _place(self, path, is_file):
        inside = self.root / path.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        if is_file:
            inside.unlink(missing_ok=True)  # never write through a link to the tree
            inside.touch()
        else:
            inside.mkdir(exist_ok=True)
        outside = self.directory / "volumes" / path.strip("/").replace("/", "~")
        outside.parent.mkdir(exist_ok=True)
        return outside

    def volume(self, path, mode=0o2777, owner=0):
        """An emptyDir: its group is the pod's (fsGroup), and it may be written to."""
        outside = self._place(path, False)
        outside.mkdir()
        os.chown(outside, owner, self.gid)
        outside.chmod(mode)
        self.volumes[path] = (outside, "rw")
        return outside

    def share(self, path, directory):
        """A directory of somebody else's, which both may write to."""
        self._place(path, False)
        self.volumes[path] = (Path(directory), "rw")

    def mount_directory(self, path):
        """A ConfigMap or Secret: what write() puts there can only be read inside."""
        outside = self.volume(path, 0o755)
        self.volumes[path] = (outside, "ro")
        return outside

    def project(self, path, files):
        """A projected volume, as a kubelet writes it: names are links through ..data, and a newer set takes its place by
        renaming that. files: all of them, by their names below path."""
        outside = self.volumes[path][0] if path in self.volumes else self.mount_directory(path)
        self._projected += 1
        there = outside / f"..2026_{self._projected}"
        for name, content in files.items():
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            (there / name).write_bytes(content if isinstance(content, bytes) else content.encode())
            (there / name).chmod(0o644)
        (outside / "..data_tmp").symlink_to(there.name)
        old = (outside / "..data").resolve()
        (outside / "..data_tmp").rename(outside / "..data")
        for name in {name.split("/")[0] for name in files}:
            if not (outside / name).is_symlink():
                (outside / name).symlink_to(f"..data/{name}")
        if old.name != "..data":
            shutil.rmtree(old)

    def mount_text(self, path, text, mode=0o644, owner=0):
        """A single file that is mounted."""
        outside = self._place(path, True)
        outside.write_text(text, encoding="utf-8")
        outside.chmod(mode)
        os.chown(outside, owner, self.gid)
        self.volumes[path] = (outside, "ro")
        return outside

    def outside(self, path):
        """Where a path of the container is out here: in the volume that holds it."""
        holders = [name for name in self.volumes if path == name or path.startswith(name.rstrip("/") + "/")]
        if not holders:
            return self.root / path.lstrip("/")
        name = max(holders, key=len)
        return self.volumes[name][0] / path[len(name):].lstrip("/") if path != name else self.volumes[name][0]

    def write(self, path, content, mode=0o640, owner=None):
        """A file in a volume, replaced as operators do it: another file takes its name."""
        outside = self.outside(path)
        outside.parent.mkdir(parents=True, exist_ok=True)
        for parent in [outside.parent, *outside.parent.parents]:
            if parent == self.directory / "volumes" or parent in [found for found, _ in self.volumes.values()]:
                break
            os.chown(parent, self.uid, self.gid)
        new = outside.with_name(outside.name + ".new")
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        new.chmod(mode)
        os.chown(new, self.uid if owner is None else owner, self.gid)
        new.rename(outside)

    # --- its life ---

    def start(self, *command, environment=None):
        """Runs the command as process 1."""
        self.environment = {"PATH": PATH, "HOSTNAME": "pool-1", "HOME": "/", **(environment or {})}
        mounts = [f"{outside}:{path}:{how}" for path, (outside, how) in sorted(self.volumes.items())]
        log = self.directory / "log"
        with open(log, "ab") as output:
            starter = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
                                        "sh", "-c", INSIDE, "sh", self.root, str(self.uid), str(self.gid), str(self.groups),
                                        *mounts, "--", *command],
                                       env={**self.environment, "WRITABLE": "yes" if self.writable_root else "no"},
                                       cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.process = Process(starter, log).wait_begun()
        if self.process.pid is None and starter.returncode == 32:      # mount(8)'s
            pytest.fail(f"the container can't be made:\n{self.process.log()}")
        return self.process

    def wait_answering(self, port):
        """Until a probe by tcpSocket succeeds."""
        def answers():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            if self.process.starter.poll() is not None:
                pytest.fail(self.process.log())
            return False
        wait_until(answers, what="the probe")

    def run(self, *command, timeout=30, environment=None):
        """kubectl exec: a command beside process 1, with the same user, files and processes. Returns it when it has ended."""
        return subprocess.run([*self._enter(), *command], capture_output=True, text=True, timeout=timeout, check=False,
                              env={**self.environment, **(environment or {})}, cwd="/")

    def begin(self, *command, environment=None):
        """The same, and it goes on: an operator's manager, or a sidecar that shares the processes."""
        log = self.directory / f"log-{len(self._others)}"
        with open(log, "ab") as output:
            starter = subprocess.Popen([*self._enter(), *command], env={**self.environment, **(environment or {})}, cwd="/",
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self._others.append(starter)
        return Process(starter, log).wait_begun()

    def pids(self):
        """All of its processes, as they are called out here."""
        own = os.readlink(f"/proc/{self.process.pid}/ns/pid")
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(path / "ns" / "pid") == own:
                    found.append(int(path.name))
        return found

    @staticmethod
    def inner(pid):
        """What a process is called in the container."""
        with contextlib.suppress(OSError):
            return int(re.search(r"(?m)^NSpid:.*\t(\d+)$", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))[1])
        return None

    def _enter(self):
        return ["nsenter", "--target", str(self.process.pid), "--mount", "--pid", "--root", "--wd",
                "--setuid", str(self.uid), "--setgid", str(self.gid), "--"]

    def close(self):
        """Ends all that runs in it. Returns what was wrong with its logs."""
        logs = ""
        if self.process is not None:
            if self.process.starter.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.process.pid, signal.SIGKILL)   # process 1: the kernel ends all others
                self.process.starter.wait(20)
            logs = self.process.log()
        for index, other in enumerate(self._others):
            other.wait(20)
            logs += (self.directory / f"log-{index}").read_text(encoding="utf-8", errors="replace")
        shutil.rmtree(self.directory)
        return [line for line in logs.splitlines() if BAD_LOG.search(line)]


@contextlib.contextmanager
def as_user(uid, gid):
    """This process with that user's rights, in what peer logins see, too."""
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def connect(timeout=30, **words):
    """psycopg2 with autocommit, once the port answers."""
    host, port = words.get("host", "127.0.0.1"), words["port"]

    def answers():
        if str(host).startswith("/"):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(f"{host}/.s.PGSQL.{port}")
            return True
        socket.create_connection((words.get("hostaddr", host), port), 1).close()
        return True
    wait_until(answers, timeout, f"{host}:{port} to answer")
    connection = psycopg2.connect(**{"host": host, **words})
    connection.autocommit = True
    return connection


def rows(connection, statement):
    """The rows of a simple query, and the names of their columns."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return (cursor.fetchall(), [column.name for column in cursor.description]) if cursor.description else ([], [])


class Image:
    """The fixture `image`: makes containers, and looks after them."""

    def __init__(self, program):
        self.program = program
        self.is_pgweir = program == find_binary()
        self.tree = image_tree(program)
        self.containers = []

    def container(self, uid, gid, **how):
        self.containers.append(Container(self.tree, uid, gid, **how))
        return self.containers[-1]

    def close(self):
        return [problem for container in self.containers for problem in container.close()]


def programs():
    """pgweir, and PgBouncer if there is one: parameters of a fixture. What is always skipped is none of them: a run with one
    variant of each test would choose it."""
    return ["pgweir", "pgbouncer"] if os.environ.get("PGBOUNCER_BIN") else ["pgweir"]


def make_image(name):
    """The image with that program, or a skipped test."""
    why = may_contain()
    if why:
        pytest.skip(why)
    if DIRECT or find_binary() is None:
        pytest.skip("no pgweir: set PGWEIR_BIN, or build it")
    return Image(find_binary() if name == "pgweir" else Path(os.environ["PGBOUNCER_BIN"]).resolve())


def is_measured(image):
    """Sizes mean nothing with a sanitizer's libraries."""
    return not is_sanitized(image.program)
