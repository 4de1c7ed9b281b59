#!/usr/bin/python3
"""What a hop to the pooler, and one to PostgreSQL, leave of its throughput: begin = sent and deferred, max_pipeline, and other poolers.

Many clients over few connections. Each hop is bench_hop, which delays each direction by --delay microseconds; begin is
BEGIN, one SELECT and COMMIT as three simple requests, the others are pgbench -S. Interleaved rounds; medians of
transactions per second (their range), of their latency (p50, p99), and of PostgreSQL's CPU time per transaction. PgBouncer
is PGBOUNCER_BIN, built with -O2; any other pooler a command line, in which {port} is where it listens, and {upstream} the port
of PostgreSQL, both of 127.0.0.1, with trust for the user web.

    make -C build-lto tests/bench/bench_hop
    PGWEIR_BIN=build-lto/pgweir PGBOUNCER_BIN=... tests/bench/hops.py [--hops none,server,both] [--delay 250]
        [--workloads begin,simple,extended,prepared] [--begin sent,deferred] [--pipeline 2,4] [--clients 32] [--servers 4]
        [--rounds 3] [--seconds 5]
        [--other 'NAME=command --listen {port} --server {upstream}']
"""

import argparse
import collections
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import seal_cost
from postgres import Postgres, find_bin
from throughput import ticks_of_backends
from waiting import free_port, wait_until

BEGIN = """\
\\set aid random(1, 100000 * :scale)
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
COMMIT;
"""


class Hops:
    """No hop, one between pooler and PostgreSQL, or one on both sides. Each is a process of its own."""

    def __init__(self, which, delay, postgres):
        self.processes, self.delay, self.which = [], delay, which
        self.upstream = postgres.port if which == "none" else self.start(postgres.port)

    def start(self, target):
        port = free_port()
        self.processes.append(subprocess.Popen([BENCH_HOP, str(self.delay), f"{port}={target}"]))
        wait_until(lambda: not subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode, 20,
                   "a hop to be there")
        return port

    def to(self, port):
        """Where clients of the pooler at this port connect to."""
        return self.start(port) if self.which == "both" else port

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait(20)


def start_weir(begin, pipeline=1):
    return lambda upstream, servers: seal_cost.start_weir(upstream, servers, "app", "track", f"begin = {begin}\n",
                                                          f"max_pipeline = {pipeline}\n")


def start_other(command):
    def start(upstream, _servers):
        port = free_port()
        words = command.format(port=port, upstream=upstream.port)
        return seal_cost.Pooler(Path(tempfile.mkdtemp(prefix="pgweir-bench-")), ["sh", "-c", f"exec {words}"], port, "app")

    return start


def measure(postgres, pooler, port, workload, options):
    with tempfile.TemporaryDirectory(prefix="pgweir-bench-") as directory:
        script = Path(directory) / "begin.sql"
        script.write_text(BEGIN)
        words = ["-c", str(options.clients), "-j", "2", "-D", "scale=10",
                 *(["-f", str(script)] if workload == "begin" else ["-S", "-M", workload])]
        seal_cost.pgbench_words(port, *words, "-t", "20", "app")      # servers are open, plans are made
        before = ticks_of_backends(postgres)
        done = seal_cost.pgbench_words(port, *words, "-T", str(options.seconds), "-l", "--log-prefix", f"{directory}/one", "app")
        theirs = ticks_of_backends(postgres) - before
        if done.returncode:
            raise RuntimeError(done.stdout)
        times = sorted(int(line.split()[2]) for log in Path(directory).glob("one.*") for line in log.read_text().splitlines())
    rate = next(float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("tps "))
    return rate, times[len(times) // 2] / 1e3, times[len(times) * 99 // 100] / 1e3, theirs / len(times) * 1e6


def run_row(postgres, hops, workload, starts, options):
    results = collections.defaultdict(list)
    for _ in range(options.rounds):
        for name, start in starts.items():
            hop = Hops(hops, options.delay, postgres)
            try:
                pooler = start(SimpleNamespace(port=hop.upstream), options.servers)
                try:
                    results[name].append(measure(postgres, pooler, hop.to(pooler.port), workload, options))
                finally:
                    pooler.stop()
            finally:
                hop.stop()
    cells = []
    for name in starts:
        rate, middle, late, theirs = (statistics.median(values) for values in zip(*results[name]))
        low, high = min(results[name])[0], max(results[name])[0]
        cells.append(f"{rate:,.0f} ({low:,.0f}-{high:,.0f}); {middle:.1f}, {late:.1f}; {theirs:.0f}")
    print(f"| {hops} | {workload} | " + " | ".join(cells) + f" | {os.getloadavg()[0]:.1f} |", flush=True)


def what_a_hop_adds(postgres, delay):
    """The time that it adds to a round trip of one client, in microseconds."""
    hop = Hops("server", delay, postgres)
    try:
        times = []
        for port in (postgres.port, hop.upstream):
            done = seal_cost.pgbench_words(port, "-S", "-c", "1", "-t", "2000", "app")
            times.append(next(float(line.split()[3]) for line in done.stdout.splitlines() if line.startswith("latency average")))
        return (times[1] - times[0]) * 1e3
    finally:
        hop.stop()


def main():
    def words(text):
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hops", type=words, default=["none", "server", "both"])
    parser.add_argument("--delay", type=int, default=250, help="microseconds, for each direction of a hop")
    parser.add_argument("--workloads", type=words, default=["begin", "simple", "extended", "prepared"])
    parser.add_argument("--begin", type=words, default=["sent", "deferred"])
    parser.add_argument("--pipeline", type=words, default=[], help="values of max_pipeline")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=COMMAND")
    options = parser.parse_args()
    seal_cost.PG_BIN = find_bin()
    seal_cost.BOUNCER = os.environ.get("PGBOUNCER_BIN")
    starts = {f"pgweir, {begin}": start_weir(begin) for begin in options.begin}
    starts.update({f"pgweir, max_pipeline = {n}": start_weir("deferred", n) for n in options.pipeline})
    if seal_cost.BOUNCER:
        starts["PgBouncer"] = lambda upstream, servers: seal_cost.start_bouncer(upstream, servers, "app", "")
    for name, command in (word.split("=", 1) for word in options.other):
        starts[name] = start_other(command)
    postgres = Postgres("max_connections = 300\nshared_buffers = 256MB\n")
    try:
        done = seal_cost.pgbench_words(postgres.port, "-i", "-s", "10", "-q", "app")
        if done.returncode:
            raise RuntimeError(done.stdout)
        postgres.query("VACUUM ANALYZE", dbname="app")
        for delay in (0, options.delay):
            print(f"a hop of {delay} µs each way adds {what_a_hop_adds(postgres, delay):.0f} µs to a round trip of one client")
        print(f"{options.clients} clients over {options.servers} connections: transactions per second (range); p50, p99 in ms; "
              "PostgreSQL's CPU µs per transaction")
        print("| hops | workload | " + " | ".join(starts) + " | load |\n|---|---|" + "---|" * (len(starts) + 1), flush=True)
        for hops in options.hops:
            for workload in options.workloads:
                run_row(postgres, hops, workload, starts, options)
    finally:
        postgres.destroy()


if __name__ == "__main__":
    BENCH_HOP = os.environ.get("BENCH_HOP", str(seal_cost.REPOSITORY / "build-lto" / "tests" / "bench" / "bench_hop"))
    main()
