#!/usr/bin/python3
"""What extensions cost those who use nothing of them, and what triggers in C cost: pgbench through pgweir, and directly.

Interleaved rounds; medians of transactions per second, and their ratio to those of a plain database. installed: ip4r, hll, hypopg
and pgq. pgq's trigger: one of pgq's on a table, which writes an event for each row. unknown trigger: one in C that pgweir does not
know, with harmless_code, and without.

    PGWEIR_BIN=build-lto/pgweir tests/bench/extensions.py [--rounds 3] [--seconds 3]
"""

import argparse
import collections
import statistics

import seal_cost
from postgres import Postgres, find_bin
from throughput import Direct, pgbench

INSTALLED = "".join(f"CREATE EXTENSION {name} CASCADE;" for name in ("ip4r", "hll", "hypopg", "pgq"))
PGQ = INSTALLED + """SELECT pgq.create_queue('q'); GRANT pgq_writer TO web;
    CREATE TRIGGER logs AFTER UPDATE ON pgbench_branches FOR EACH ROW EXECUTE FUNCTION pgq.logutriga('q');"""
UNKNOWN = INSTALLED + """ALTER TABLE pgbench_tellers ADD at timestamp;
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE c AS '$libdir/moddatetime', 'moddatetime';
    CREATE TRIGGER stamps BEFORE UPDATE ON pgbench_tellers FOR EACH ROW EXECUTE FUNCTION stamp('at');"""
# database: what is made in it, and settings of its section
DATABASES = {"plain": ("", ""), "installed": (INSTALLED, ""), "pgqs_trigger": (PGQ, ""),
             "unknown_trigger": (UNKNOWN, "harmless_code = function public.stamp\n"), "undeclared": (UNKNOWN, "")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    seal_cost.PG_BIN = find_bin()
    postgres, poolers, results = Postgres("max_connections = 100\nshared_buffers = 256MB\n"), {}, collections.defaultdict(list)
    try:
        for name, (code, settings) in DATABASES.items():
            postgres.query(f"CREATE DATABASE {name} OWNER web", dbname="postgres")
            seal_cost.pgbench_words(postgres.port, "-i", "-s", "10", "-q", name).check_returncode()
            if code:
                postgres.query(code, dbname=name)
            postgres.query("VACUUM ANALYZE", dbname=name)
            poolers[name, "pgweir"] = seal_cost.start_weir(postgres, 5, name, "track", of_database=settings)
            poolers[name, "direct"] = Direct(postgres.port, name)
        for _ in range(options.rounds):
            for (name, way), pooler in poolers.items():
                for script in ("select-only", "tpcb-like"):
                    results[script, way, name].append(pgbench(pooler.port, name, "-b", script, "-c", "10", "-j", "2", "-T", str(options.seconds))[1])
        print("| script | way | " + " | ".join(DATABASES) + " |\n|---|---|" + "--:|" * len(DATABASES))
        for script in ("select-only", "tpcb-like"):
            for way in ("direct", "pgweir"):
                medians = [statistics.median(results[script, way, name]) for name in DATABASES]
                print(f"| {script} | {way} | " + " | ".join(f"{tps:,.0f} ({tps / medians[0]:.3f})" for tps in medians) + " |", flush=True)
    finally:
        for pooler in poolers.values():
            pooler.stop()
        postgres.destroy()


if __name__ == "__main__":
    main()
