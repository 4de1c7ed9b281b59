#!/usr/bin/python3
"""Statements as ORMs send them, with the values in the text (simple protocol): through pgweir and through PgBouncer
(PGBOUNCER_BIN, built with -O2), in front of a real PostgreSQL.

Interleaved rounds; medians of statements per second (their range), and of CPU time per statement: the pooler's, and
PostgreSQL's.

    columns    60 columns of a table by its key, 2.2 kB, 8 clients on 4 connections
    mix        1,000 different statements of 0.3 to 5 kB by Zipf's law, 200 clients on 20 connections
    constants  a subselect of 60 constants, 4.5 kB, one client
    in         IN of 100,000 numbers, one client
    once       4,000 statements of 0.3 kB, each of them once, one client

    PGWEIR_BIN=build-lto/pgweir PGBOUNCER_BIN=... tests/bench/orm.py [--only columns,mix,constants,in,once] [--rounds 5] [--seconds 3]
"""

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

import seal_cost
import rawwire
import texts
import throughput

WIDE = ("CREATE TABLE wide (id int PRIMARY KEY, " + ", ".join(f"column_{i:02} int DEFAULT {i}" for i in range(60)) + "); "
        "INSERT INTO wide (id) SELECT generate_series(1, 10000); GRANT ALL ON wide TO PUBLIC")


def chosen(count, mark=""):
    """A SELECT of so many columns; with a mark, pgbench's \\set variable, the names of the statement depend on it."""
    return ("SELECT " + ", ".join(f"wide.column_{i % 60:02} AS wide_column_{i:02}{mark}" for i in range(count)) +
            " FROM wide WHERE wide.id = :n;\n")


SCRIPTS = {                                             # size in columns, weight
    "columns": [("", 60, 1)],
    "mix": [("_:k", 6, 40), ("_:k", 20, 30), ("_:k", 55, 20), ("_:k", 120, 10)],
}
CLIENTS = {"columns": (8, 4), "mix": (200, 20)}
ONE = {                                                 # the statement of each turn, and how many there are
    "constants": (lambda n: texts.constants(1000 + n % 60), 3000),
    "in": (lambda n: f"SELECT count(*) FROM wide WHERE id IN ({n}, " + ", ".join(map(str, range(20000, 119999))) + ")", 8),
    "once": (lambda n: chosen(6, f"_{n}").replace(":n", str(n)), 4000),
}


def run_pgbench(pooler, name, clients, *words):
    with tempfile.TemporaryDirectory(prefix="pgweir-bench-") as directory:
        os.chmod(directory, 0o755)
        files = []
        for number, (mark, size, weight) in enumerate(SCRIPTS[name]):
            path = Path(directory) / f"{number}.sql"
            path.write_text("\\set n random(1, 10000)\n\\set k random_zipfian(1, 250, 1.07)\n" + chosen(size, mark))
            files += ["-f", f"{path}@{weight}"]
        return throughput.pgbench(pooler.port, "plain", "-M", "simple", "-c", str(clients), "-j", "2", *files, *words)


def run_one(pooler, statements):
    with rawwire.Wire(("127.0.0.1", pooler.port)) as wire:
        wire.login("web", "plain")
        begun = time.monotonic()
        for statement in statements:
            wire.send(rawwire.query(statement))
            wire.read_until("Z")
        took = time.monotonic() - begun
    return len(statements), len(statements) / took


def measure(postgres, pooler, name, seconds, turn):
    if name in SCRIPTS:
        clients = CLIENTS[name][0]
        run_pgbench(pooler, name, clients, "-t", "100")
        return throughput.cost(postgres, pooler, lambda: run_pgbench(pooler, name, clients, "-T", str(seconds)))
    make, count = ONE[name]
    first = turn * 2 * count if name == "once" else 1000
    if name != "once":
        run_one(pooler, [make(first + n) for n in range(count // 4)])
    statements = [make(first + n) for n in range(count)]
    return throughput.cost(postgres, pooler, lambda: run_one(pooler, statements))


def compare(postgres, name, options):
    servers = CLIENTS.get(name, (1, 1))[1]
    turns = itertools.count(1)
    starts = {"pgweir": lambda: seal_cost.start_weir(postgres, servers, "plain", "track")}
    if seal_cost.BOUNCER:
        starts["PgBouncer"] = lambda: seal_cost.start_bouncer(postgres, servers, "plain", "")
    medians, cells = throughput.compare_rounds(
        starts, options.rounds, lambda pooler: measure(postgres, pooler, name, options.seconds, next(turns)))
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    if seal_cost.BOUNCER:
        tps, own, _ = (ours / theirs for ours, theirs in zip(medians["pgweir"], medians["PgBouncer"]))
        print(f"    pgweir / PgBouncer: {tps:.2f} of the throughput, {own:.2f} of the CPU", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="columns,mix,constants,in,once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    with throughput.started() as postgres:
        throughput.make_database(postgres, "plain", WIDE)
        print("statements per second (range); µs of CPU per statement: the pooler's, PostgreSQL's", flush=True)
        for name in options.only.split(","):
            compare(postgres, name, options)


if __name__ == "__main__":
    main()
