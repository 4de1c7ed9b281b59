#!/usr/bin/python3
"""CPU time per query of poolers that one client talks to, in microseconds: medians of interleaved rounds, their range.

A pooler that serves one client sleeps between its packets, so this is mostly what the scheduler makes of the two. They run
already, with trust for the user; a process that is given has threads, which are counted, but no further processes.

    tests/bench/lone_client.py pgweir=6432,PID PgBouncer=6433,PID [--rounds 9] [--queries 20000]
"""

import argparse
import statistics
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))

import rawwire  # noqa: E402

QUERY = rawwire.query("SELECT 1")


def cpu_us(pid):
    """The time that all threads have run."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e3


def ask(sock, count):
    for _ in range(count):
        sock.sendall(QUERY)
        reply = b""
        while not reply.endswith(b"Z\0\0\0\5I"):
            reply += sock.recv(4096)


def measure(port, pid, options):
    with rawwire.Wire(("127.0.0.1", port)) as wire:
        wire.login(user=options.user, database=options.database)
        ask(wire.sock, options.queries // 10)       # a server is open, and the logins are over
        begin = cpu_us(pid)
        ask(wire.sock, options.queries)
        return (cpu_us(pid) - begin) / options.queries


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poolers", nargs="+", metavar="NAME=PORT,PID")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--queries", type=int, default=20000)
    parser.add_argument("--user", default="web")
    parser.add_argument("--database", default="app")
    options = parser.parse_args()
    poolers = {name: [int(word) for word in place.split(",")] for name, place in (p.split("=") for p in options.poolers)}
    results = {name: [] for name in poolers}
    for _ in range(options.rounds):
        for name, (port, pid) in poolers.items():
            results[name].append(measure(port, pid, options))
    for name, values in results.items():
        print(f"{name}: {statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})")


if __name__ == "__main__":
    main()
