"""A primary and its streaming standbys: they lag, pause, stop, crash, are promoted, fork, and come back."""

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from postgres import Postgres, roomy_place
from waiting import free_port, wait_until

TRIO_SETTINGS = """\
wal_keep_size = 256MB
synchronous_commit = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
max_standby_streaming_delay = 10s
"""


class Standby(Postgres):
    """Made by pg_basebackup from a primary that runs, and started: it follows. name: as its primary knows it."""

    def __init__(self, primary, name="standby"):  # pylint: disable=super-init-not-called
        self.bin, self.prefix = primary.bin, primary.prefix
        self.port, self.name = free_port(), name
        self.directory = Path(tempfile.mkdtemp(prefix="pgweir-it-pg-", dir=roomy_place()))
        self.data = self.directory / "data"
        self.socket_dir = self.directory
        owner = os.stat(primary.data)
        os.chown(self.directory, owner.st_uid, owner.st_gid)
        os.chmod(self.directory, 0o755)
        self.process = None
        copy(primary, self)

    def promote(self):
        promote(self)


def promote(host):
    assert host.value("SELECT pg_promote(true, 30)", dbname="postgres")


def copy(primary, host):
    """Makes host, which does not run, a standby of this primary, and starts it."""
    shutil.rmtree(host.data, ignore_errors=True)
    host._run("pg_basebackup", "-h", primary.socket_dir, "-p", primary.port, "-U", "postgres", "-D", host.data,  # pylint: disable=protected-access
              "-R", "-X", "stream", "-c", "fast", "--no-sync")
    with open(host.data / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write(f"port = {host.port}\nunix_socket_directories = '{host.socket_dir}'\ncluster_name = '{host.name}'\n")
    (host.data / "standby.signal").touch()
    host.start()


def make_primary(settings=TRIO_SETTINGS):
    """A cluster that others may be standbys of."""
    primary = Postgres(settings)
    primary.name = "host0"
    with open(primary.data / "pg_hba.conf", "a", encoding="utf-8") as file:
        file.write("local replication all trust\nhost replication all 127.0.0.1/32 trust\n")
    primary.query("SELECT pg_reload_conf()", dbname="postgres")
    return primary


def processes(host):
    """The postmaster's pid, and those of its children."""
    postmaster, found = host.process.pid, []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            if int(path.read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()[1]) == postmaster:
                found.append(int(path.parent.name))
    return [postmaster, *found]


def is_alive(pid):
    """False for one that only waits for its parent to hear of its end, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def alter(host, name, value):
    """Reloads a setting; value None: back to its default. The server's processes follow within milliseconds, unseen."""
    host.query(f"ALTER SYSTEM SET {name} = '{value}'" if value is not None else f"ALTER SYSTEM RESET {name}", dbname="postgres")
    host.query("SELECT pg_reload_conf()", dbname="postgres")


def wait_replayed(primary, standby, timeout=30.0):
    """Waits until the standby has all that the primary has now, what asynchronous commits have not written yet included. The next
    record's place may stand behind the header of a page, or of a segment, as it does behind a base backup: nobody replays that
    before a record follows, of which an idle primary writes one in 15 s."""
    end = primary.value("SELECT at - CASE (at - '0/0') % 8192 WHEN 24 THEN 24 WHEN 40 THEN 40 ELSE 0 END "
                        "FROM pg_current_wal_insert_lsn() AS at", dbname="postgres")
    wait_until(lambda: standby.value("SELECT pg_last_wal_replay_lsn() >= %s", (end,), dbname="postgres"),
               timeout, f"{standby.name} to replay {end}")


class Trio:
    """A primary and two streaming standbys. hosts: all three, in an order that stays; primary: that of now."""

    def __init__(self, settings=TRIO_SETTINGS):
        self.primary = make_primary(settings)
        self.hosts = [self.primary]
        self.frozen = set()
        for number in (1, 2):
            self.hosts.append(Standby(self.primary, f"host{number}"))
        for standby in self.standbys:
            self.wait_follows(standby)

    @property
    def standbys(self):
        return [host for host in self.hosts if host is not self.primary]

    def upstream(self, attributes="primary", hosts=None):
        hosts = hosts or self.hosts
        return (f"host={','.join(host.host for host in hosts)} port={','.join(str(host.port) for host in hosts)} "
                f"target_session_attrs={attributes}")

    def held(self, wires, begin):
        """How many of these clients' transactions each standby has, when all of them are open at once."""
        for wire in wires:
            wire.query(begin)
        ports = [int(wire.value("SELECT current_setting('port')")) for wire in wires]
        for wire in wires:
            wire.query("COMMIT")
        return [ports.count(standby.port) for standby in self.standbys]

    def destroy(self):
        for host in reversed(self.hosts):
            self.thaw(host)
            host.destroy()

    # --- how far a standby is ---

    def lag(self, standby, milliseconds):
        """Each commit is replayed so much later than it was made; from about now on."""
        alter(standby, "recovery_min_apply_delay", f"{milliseconds}ms" if milliseconds else None)

    def pause(self, standby):
        """Returns when nothing is replayed any more."""
        standby.query("SELECT pg_wal_replay_pause()", dbname="postgres")
        wait_until(lambda: standby.value("SELECT pg_get_wal_replay_pause_state()", dbname="postgres") == "paused", what="a pause")

    def resume(self, standby):
        standby.query("SELECT pg_wal_replay_resume()", dbname="postgres")

    def wait_replayed(self, standby, timeout=30.0):
        wait_replayed(self.primary, standby, timeout)

    def wait_answers(self, host):
        """Waits until it accepts connections: where a backend was killed, it recovers first."""
        wait_until(lambda: host.query("SELECT 1", dbname="postgres"), 60, f"{host.name} to answer")

    def wait_follows(self, standby, timeout=30.0):
        """Waits until it streams from the primary."""
        wait_until(lambda: self.follows(standby), timeout, f"{standby.name} to follow {self.primary.name}")

    def follows(self, standby):
        return standby.name in [row[0] for row in self.primary.query(
            "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'", dbname="postgres")] and \
            standby.value("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming' AND received_tli = %s",
                          (self.timeline(),), dbname="postgres") == 1

    def synchronous(self, names):
        """synchronous_standby_names of the primary: '*', 'host1', 'ANY 1 (host1, host2)'; '': off."""
        alter(self.primary, "synchronous_standby_names", names or None)

    # --- a host goes, and comes back ---

    def crash(self, host):
        """kill -9. Returns when all of its processes have ended."""
        self.thaw(host)
        host._drop_kept()  # pylint: disable=protected-access
        left = processes(host)[1:]
        host.process.kill()
        host.process.wait()
        host.process = None
        wait_until(lambda: not any(map(is_alive, left)), what=f"the processes of {host.name} to end")

    def freeze(self, host):
        """SIGSTOP to all of its processes: connections stay open, and nothing answers; as if it were cut off."""
        host._drop_kept()  # pylint: disable=protected-access
        self.frozen.add(host)
        os.kill(host.process.pid, signal.SIGSTOP)       # first: it starts no other then
        for pid in processes(host)[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def cut_off(self, standby):
        """From its primary, until it is thawed: it answers, and gets nothing new. Its walreceiver stands still."""
        receiver = wait_until(lambda: standby.value("SELECT pid FROM pg_stat_wal_receiver", dbname="postgres"))
        self.frozen.add(standby)
        os.kill(receiver, signal.SIGSTOP)

    def thaw(self, host):
        if host in self.frozen:
            self.frozen.discard(host)
            for pid in reversed(processes(host)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def stop(self, host, how=signal.SIGINT):
        """SIGINT: fast; a primary then waits for its standbys to have all of its log. SIGQUIT: at once."""
        self.thaw(host)
        host.stop(how)

    def start(self, host):
        """What was stopped or has crashed, as what it was."""
        host.start()

    def restart(self, host, how=signal.SIGINT):
        self.stop(host, how)
        self.start(host)

    # --- another primary ---

    def promote(self, standby, followed=True):
        """It is the primary from now on. The old one is left as it is: stopped before, or running, and then history forks.
        followed: the other standby follows, if it has nothing that the new primary lacks; else it stays with the old one."""
        old = self.primary
        promote(standby)
        self.primary = standby
        if followed:
            for other in self.standbys:
                if other is not old and other.process is not None:
                    self.follow(other)
        return old

    def follow(self, standby):
        """A standby of another host becomes one of the primary: by its log where that is possible, else by a new copy."""
        alter(standby, "primary_conninfo", f"user=postgres host={self.primary.socket_dir} port={self.primary.port}")
        try:
            self.wait_follows(standby, 2.0)
        except AssertionError:              # it has log that the present primary lacks: it connects, and gets no further
            self.copy(standby)

    def timeline(self):
        """The number of the primary's."""
        return int(self.primary.value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)", dbname="postgres"), 16)

    def copy(self, host, how=signal.SIGQUIT):
        """Any host but the primary becomes a standby of it, by a new copy. It keeps its place and its port."""
        self.thaw(host)
        host.stop(how)
        copy(self.primary, host)
        self.wait_follows(host)

    def heal(self):
        """Everything is as at the beginning, but for who the primary is: all run, follow, and lag by nothing."""
        self.thaw(self.primary)
        if self.primary.process is None:
            self.start(self.primary)
        self.wait_answers(self.primary)
        self.synchronous("")
        for standby in self.standbys:
            self.thaw(standby)
            if standby.process is not None:
                self.wait_answers(standby)
            if standby.process is None or not standby.value("SELECT pg_is_in_recovery()", dbname="postgres"):
                self.copy(standby)
                continue
            self.lag(standby, 0)
            self.resume(standby)
            if not self.follows(standby):
                self.follow(standby)
