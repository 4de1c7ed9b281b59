#!/usr/bin/python3
"""By hand: counts what the checker finds with another router, or with pgweir in another mode, for PGWEIR_READS_SECONDS.

    elsewhere.py pgpool [transaction|always] [statement]    Debian's pgpool2, which balances over the two standbys; statement:
                                                            for each statement, not for each session
    elsewhere.py pgweir [prefer_standby|marked]             PGWEIR_BIN; prefer_standby: by a second entry for the same hosts
    elsewhere.py primary                                    none: all sessions are connected to the primary

Both standbys lag by 0 to 50 ms, and nothing else happens. PGWEIR_READS_KINDS=rough: they stop and crash, too; failovers.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import checker  # noqa: E402
from checker import Run  # noqa: E402
from hosts import Trio  # noqa: E402
from rawwire import Wire  # noqa: E402
from storm import FAILOVERS, ROUGH, Storm  # noqa: E402
from waiting import free_port, wait_until  # noqa: E402
from weir import Weir, find_binary  # noqa: E402

SECONDS = float(os.environ.get("PGWEIR_READS_SECONDS") or 60)
SEED = os.environ.get("PGWEIR_READS_SEED") or "1"
LAGS_ONLY = ("lag", "lag", "lag", "quiet")
KINDS = {"lags": LAGS_ONLY, "rough": ROUGH, "failovers": FAILOVERS}[os.environ.get("PGWEIR_READS_KINDS") or "lags"]

PGPOOL = """\
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
pcp_port = {pcp_port}
pcp_socket_dir = '{directory}'
wd_ipc_socket_dir = '{directory}'
pid_file_name = '{directory}/pgpool.pid'
logdir = '{directory}'
enable_pool_hba = off
pool_passwd = ''
num_init_children = 20
max_pool = 2
load_balance_mode = on
disable_load_balance_on_write = '{on_write}'
statement_level_load_balance = {by_statement}
# else pgpool takes the checker's question where it is answered for a write
read_only_function_list = 'inet_server_port,pg_is_in_recovery,pg_last_wal_replay_lsn,pg_current_snapshot,string_agg,array_to_string'
sr_check_period = 1
sr_check_user = 'postgres'
sr_check_database = 'postgres'
health_check_period = 0
"""


class Pgpool:
    def __init__(self, trio, on_write="transaction", by="session"):
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="pgweir-it-pgpool-"))
        os.chmod(self.directory, 0o777)
        text = PGPOOL.format(port=self.port, pcp_port=free_port(), directory=self.directory, on_write=on_write,
                             by_statement="on" if by == "statement" else "off")
        for i, host in enumerate(trio.hosts):
            text += (f"backend_hostname{i} = '{host.host}'\nbackend_port{i} = {host.port}\nbackend_weight{i} = {int(i > 0)}\n"
                     f"backend_flag{i} = 'ALLOW_TO_FAILOVER'\n")
        (self.directory / "pgpool.conf").write_text(text, encoding="ascii")
        (self.directory / "pcp.conf").write_text("", encoding="ascii")
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen([*trio.primary.prefix, "pgpool", "-n", "-f", str(self.directory / "pgpool.conf"),
                                             "-F", str(self.directory / "pcp.conf")], stdout=log, stderr=log)
        wait_until(lambda: Wire(("127.0.0.1", self.port)).login("web", "app"), what="pgpool-II")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def main(words):
    trio = Trio()
    try:
        Run.prepare(trio.primary)
        for standby in trio.standbys:
            trio.wait_replayed(standby)
        options, stop = {}, lambda: None
        if words[0] == "pgpool":
            router = Pgpool(trio, *words[1:])
            address, stop = ("127.0.0.1", router.port), router.stop
            options = {"is_strict": False, "reads": checker.PLAIN_READS, "writes": checker.PLAIN_WRITES}
        elif words[0] == "pgweir":
            mode = words[1] if len(words) > 1 else "marked"
            weir = Weir(trio.primary, Path(tempfile.mkdtemp(prefix="pgweir-it-")))
            assert find_binary(), "PGWEIR_BIN"
            upstream = {"upstream": trio.upstream() + " dbname=app", "cluster_user": "web"}
            weir.start({"database app": {"reads": "primary" if mode == "prefer_standby" else mode, **upstream},
                        "database reading": {"reads": mode, **upstream}, "database app2": None}, pool_size=6, on_outage="hold")
            address, stop = weir.address, lambda: print(*weir.teardown())
            if mode == "prefer_standby":
                options = {"is_strict": False, "reads": checker.PLAIN_READS, "writes": checker.PLAIN_WRITES}
        else:
            address = trio.primary.host, trio.primary.port

        def connect(session):
            wire = Wire(address).login("web", "app")
            return checker.SplitWires(wire, [Wire(address).login("web", "reading")], session.chance) if words[1:] == ["prefer_standby"] else wire

        run = Run(connect, SEED, **options)
        storm = Storm(trio, run, SEED, KINDS)
        run.start()
        storm.start()
        run.is_over.wait(SECONDS)
        try:
            run.stop()
        finally:
            print(" ".join(words) + "\n" + run.report())
            stop()
        storm.finish()
    finally:
        trio.destroy()


if __name__ == "__main__":
    main(sys.argv[1:])
