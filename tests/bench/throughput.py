#!/usr/bin/python3
"""pgbench against a real PostgreSQL: directly, through pgweir, and through PgBouncer (PGBOUNCER_BIN, built with -O2).

Interleaved rounds; medians of transactions per second (their range), of the pooler's and of PostgreSQL's CPU time per
transaction. A database is the plain one, the name of an extension that is created in it, or audit, where pgbench's
accounts have an audit trigger of dynamic SQL. --updates says how many of a hundred transactions write (pgbench's
simple-update); the others select. docs/performance.md has figures of one run.

    PGWEIR_BIN=build-lto/pgweir PGBOUNCER_BIN=... tests/bench/throughput.py [--clients 1,10,32,64,200] [--servers 5,20]
        [--databases plain,postgis,pg_partman,pgtap,orafce] [--rounds 5] [--seconds 3]
"""

import argparse
import collections
import contextlib
import os
import statistics
import subprocess
import time

import seal_cost
from postgres import Postgres, find_bin


AUDIT = """
    CREATE TABLE audit_pgbench_accounts (at timestamptz, was jsonb); GRANT ALL ON audit_pgbench_accounts TO PUBLIC;
    CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('INSERT INTO audit_%I VALUES (now(), $1)', TG_TABLE_NAME) USING to_jsonb(OLD);
        RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER UPDATE ON pgbench_accounts FOR EACH ROW EXECUTE FUNCTION audit_row();
"""


@contextlib.contextmanager
def started():
    """Finds the programs, and starts a PostgreSQL to compare with."""
    seal_cost.PG_BIN = find_bin()
    seal_cost.BOUNCER = os.environ.get("PGBOUNCER_BIN")
    postgres = Postgres("max_connections = 300\nshared_buffers = 256MB\n")
    try:
        yield postgres
    finally:
        postgres.destroy()


class Direct:
    """No pooler."""

    def __init__(self, port, database):
        self.port, self.database = port, database

    def cpu(self):
        return 0.0

    def stop(self):
        pass


def ticks_of_backends(postgres):
    """User and system time of PostgreSQL's processes that live, and of those that have ended, in seconds."""
    found = subprocess.run(["ps", "--no-headers", "-o", "pid", "--ppid", str(postgres.process.pid)], check=False,
                           stdout=subprocess.PIPE, text=True).stdout.split()
    total = 0
    for pid, fields in [(postgres.process.pid, slice(13, 15)), *((pid, slice(11, 13)) for pid in found)]:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                words = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(word) for word in words[fields])
    return total / os.sysconf("SC_CLK_TCK")


def pgbench(port, database, *words):
    """Runs it; returns how many transactions it has made, and how many in a second."""
    done = seal_cost.pgbench_words(port, *words, database)
    if done.returncode:
        raise RuntimeError(done.stdout)
    found = dict(line.split(maxsplit=2)[::2] for line in done.stdout.splitlines() if line.startswith("tps "))
    count = int(next(line for line in done.stdout.splitlines() if "actually processed" in line).split()[5].split("/")[0])
    return count, float(found["tps"].split()[0])


def cost(postgres, pooler, run):
    """What run() costs, which returns as pgbench(): transactions per second, and µs of CPU for each, the pooler's and PostgreSQL's."""
    time.sleep(0.2)
    own, theirs = pooler.cpu(), ticks_of_backends(postgres)
    count, tps = run()
    own, theirs = pooler.cpu() - own, ticks_of_backends(postgres) - theirs
    return tps, own / count * 1e6, theirs / count * 1e6


def compare_rounds(starts, rounds, measure):
    """Interleaved rounds of measure(pooler). Returns, by the names in starts, its medians, and these as text with the range."""
    results = collections.defaultdict(list)
    for _ in range(rounds):
        for name, start in starts.items():
            pooler = start()
            try:
                results[name].append(measure(pooler))
            finally:
                pooler.stop()
    medians = {name: [statistics.median(values) for values in zip(*results[name])] for name in starts}
    cells = []
    for name, (tps, own, theirs) in medians.items():
        low, high = min(results[name])[0], max(results[name])[0]
        cells.append(f"{tps:,.0f} ({low:,.0f}-{high:,.0f}); {own:.1f}, {theirs:.1f}")
    return medians, cells


def measure(postgres, pooler, clients, options):
    words = ["-b", f"select-only@{100 - options.updates}", "-b", f"simple-update@{options.updates}", "-M", options.mode, "-c", str(clients), "-j", str(min(clients, 2))]
    seal_cost.pgbench_words(pooler.port, *words, "-t", "20", pooler.database)      # servers are open, plans are made
    return cost(postgres, pooler, lambda: pgbench(pooler.port, pooler.database, *words, "-T", str(options.seconds)))


def make_database(postgres, name, tables=""):
    """tables: SQL for what the plain one has beside pgbench's tables."""
    postgres.query(f"CREATE DATABASE {name} OWNER web", dbname="postgres")
    done = seal_cost.pgbench_words(postgres.port, "-i", "-s", "10", "-q", name)
    if done.returncode:
        raise RuntimeError(done.stdout)
    if name == "audit":
        tables = AUDIT
    elif name != "plain":
        tables = f"CREATE EXTENSION {name} CASCADE"
    if tables:
        postgres.query(tables, dbname=name)
    postgres.query("VACUUM ANALYZE", dbname=name)


def compare(postgres, database, servers, options):
    starts = {"direct": lambda: Direct(postgres.port, database),
              "pgweir": lambda: seal_cost.start_weir(postgres, servers, database, "track")}
    if seal_cost.BOUNCER:
        starts["PgBouncer"] = lambda: seal_cost.start_bouncer(postgres, servers, database, "")
    if options.no_direct:
        del starts["direct"]
    for clients in options.clients:
        _, cells = compare_rounds(starts, options.rounds, lambda pooler: measure(postgres, pooler, clients, options))  # pylint: disable=cell-var-from-loop
        print(f"| {database}, {clients} on {servers} | " + " | ".join(cells) + " |", flush=True)


def main():
    def numbers(text):
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=numbers, default=[1, 10, 32, 64, 200])
    parser.add_argument("--servers", type=numbers, default=[5, 20])
    parser.add_argument("--databases", default="plain")
    parser.add_argument("--mode", default="simple", choices=["simple", "extended", "prepared"])
    parser.add_argument("--updates", type=int, default=0, help="of a hundred transactions")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--no-direct", action="store_true")
    options = parser.parse_args()
    with started() as postgres:
        print("transactions per second (range); µs of CPU per transaction: the pooler's, PostgreSQL's", flush=True)
        for database in options.databases.split(","):
            make_database(postgres, database)
            for servers in options.servers:
                compare(postgres, database, servers, options)


if __name__ == "__main__":
    main()
