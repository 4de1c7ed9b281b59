#!/usr/bin/python3
"""What following and washing sessions cost: pgbench through pgweir, and through PgBouncer if it is installed.

docs/performance.md has the figures of one run, under "What isolation costs". Interleaved rounds; medians of transactions per second, of the
pooler's CPU time per transaction, and of the slowest client's part of the fastest one's transactions.

    PGWEIR_BIN=build-lto/pgweir tests/bench/seal_cost.py [--rounds 3] [--seconds 3] [--only WORD]
"""

import argparse
import collections
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))

from postgres import Postgres, unprivileged_prefix  # noqa: E402
from waiting import free_port, wait_until  # noqa: E402

# name: pgbench's script, clients, servers
WORKLOADS = {
    "select-only, 10 on 5": ("select-only", 10, 5),
    "simple-update, 10 on 5": ("simple-update", 10, 5),
    "TPC-B, 10 on 5": ("tpcb-like", 10, 5),
    "simple-update, 40 on 30": ("simple-update", 40, 30),
}

WASHED = """\
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM set_config('app.last', 'x', false); RETURN NEW; END $$;
CREATE TABLE watched (id int);
CREATE TRIGGER remembers BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION remember();
"""


class Pooler:
    """One process in front of one database, from its configuration."""

    def __init__(self, directory, command, port, database):
        self.directory, self.port, self.database = directory, port, database
        with open(directory / "log", "ab") as log:
            self.process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: not pgbench_words(port, "-c1", "-t1", "-bselect-only", database).returncode, 20,
                       "the pooler to serve", 0.1)
        except AssertionError:
            print((directory / "log").read_text(), file=sys.stderr)
            self.stop()
            raise

    def cpu(self):
        """Its user and system time so far, in seconds."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.directory)


def pgbench_words(port, *words, host="127.0.0.1"):
    return subprocess.run(["pgbench", "-n", "-h", host, "-p", str(port), "-U", "web", *words], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
                          env={**os.environ, "PATH": f"{PG_BIN}:{os.environ['PATH']}"})


def start_weir(postgres, servers, database, state, settings="", of_pools="", of_database=""):
    directory = Path(tempfile.mkdtemp(prefix="pgweir-bench-"))
    port = free_port()
    (directory / "users.txt").write_text('"web" ""\n')
    (directory / "pgweir.ini").write_text(
        f"[pgweir]\nlisten = 127.0.0.1:{port}\nsession_state = {state}\n{settings}[http]\nlisten = 127.0.0.1:{free_port()}\n"
        f"[auth]\nmethod = trust\nusers_file = {directory}/users.txt\n"
        f"[pool]\npool_size = {servers}\nmax_overflow = 0\n{of_pools}"
        f"[database {database}]\nupstream = host=127.0.0.1 port={postgres.port}\n{of_database}")
    os.chmod(directory / "users.txt", 0o600)
    binary = Path(os.environ.get("PGWEIR_BIN", REPOSITORY / "build-lto" / "pgweir")).resolve()
    return Pooler(directory, [str(binary), "pgweir.ini"], port, database)


def start_bouncer(postgres, servers, database, _state):
    directory = Path(tempfile.mkdtemp(prefix="pgweir-bench-"))
    port = free_port()
    (directory / "users.txt").write_text('"web" ""\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n{database} = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {directory}/users.txt\n"
        f"pool_mode = transaction\nmax_prepared_statements = 200\ndefault_pool_size = {servers}\n"
        "max_client_conn = 1000\nignore_startup_parameters = extra_float_digits\n")
    prefix, user = unprivileged_prefix()
    for path in (directory, *directory.iterdir()):
        if user is not None:
            os.chown(path, user.pw_uid, user.pw_gid)
    return Pooler(directory, [*prefix, BOUNCER, "pgbouncer.ini"], port, database)


# column: how it is started, database, session_state
COLUMNS = {
    "allow": (start_weir, "app", "allow"),
    "track, clean": (start_weir, "app", "track"),
    "track, washes": (start_weir, "app2", "track"),
    "isolate": (start_weir, "app", "isolate"),
}


def measure(pooler, script, clients, seconds):
    """Transactions per second, the pooler's CPU in microseconds per transaction, slowest over fastest client."""
    with tempfile.TemporaryDirectory(prefix="pgweir-bench-") as directory:
        before = pooler.cpu()
        done = pgbench_words(pooler.port, "-c", str(clients), "-j", "4", "-T", str(seconds), "-b", script, "-l",
                             "--log-prefix", f"{directory}/count", pooler.database)
        spent = pooler.cpu() - before
        if done.returncode:
            raise RuntimeError(done.stdout)
        counts = collections.Counter()
        for log in Path(directory).glob("count.*"):
            counts.update(int(line.split()[0]) for line in log.read_text().splitlines())
    total = sum(counts.values())
    return total / seconds, spent / total * 1e6, min(counts[client] for client in range(clients)) / max(counts.values())


def run_workload(postgres, name, options):
    script, clients, servers = WORKLOADS[name]
    poolers = {column: start(postgres, servers, database, state)
               for column, (start, database, state) in COLUMNS.items()}
    results = collections.defaultdict(list)
    try:
        for _ in range(options.rounds):
            for column, pooler in poolers.items():
                results[column].append(measure(pooler, script, clients, options.seconds))
    finally:
        for pooler in poolers.values():
            pooler.stop()
    cells = []
    for column in COLUMNS:
        tps, cpu, share = (statistics.median(values) for values in zip(*results[column]))
        cells.append(f"{tps:,.0f}, {cpu:.1f} µs ({share:.2f})")
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default="", help="workloads whose name has this word")
    options = parser.parse_args()
    if BOUNCER:
        COLUMNS["PgBouncer"] = (start_bouncer, "app", "")
    postgres = Postgres("max_connections = 300\n")
    try:
        for database in ("app", "app2"):
            done = pgbench_words(postgres.port, "-i", "-s", "10", "-q", database)
            if done.returncode:
                raise RuntimeError(done.stdout)
        postgres.query(WASHED, dbname="app2")
        print("| workload | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * len(COLUMNS), flush=True)
        for name in WORKLOADS:
            if options.only in name:
                run_workload(postgres, name, options)
    finally:
        postgres.destroy()


if __name__ == "__main__":
    from postgres import find_bin
    PG_BIN = find_bin()
    BOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    main()
