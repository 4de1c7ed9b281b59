#!/usr/bin/python3
"""What keep_plans saves PostgreSQL: pgbench with unnamed statements (-M extended), directly, through pgweir with keep_plans
off and on, and through PgBouncer (PGBOUNCER_BIN, built with -O2).

Interleaved rounds; medians of transactions per second (their range), and of CPU time per transaction: the pooler's, and all of
PostgreSQL's. docs/performance.md has figures of one run.

    key     one row by its key
    join    five tables joined by keys, 1.5 kB, as an ORM sends it
    once    a text that is never sent again: a constant in each
    skewed  a column most of whose rows have one value, so that the plan for any value is the wrong one for most

    PGWEIR_BIN=build-lto/pgweir PGBOUNCER_BIN=... tests/bench/plans.py [--workloads key,join,once,skewed] [--rounds 5]
        [--seconds 3] [--clients 16] [--servers 4]
"""

import argparse
import functools
import os
import tempfile
import time
from pathlib import Path

import seal_cost
import rawwire
import throughput

TABLES = """
    CREATE TABLE shop_owner (id int PRIMARY KEY, email text, display_name text, is_active boolean);
    CREATE TABLE shop_store (id int PRIMARY KEY, owner_id int, title text, city text, opened date);
    CREATE TABLE shop_product (id int PRIMARY KEY, store_id int, sku text, title text, price numeric(10, 2), stock int);
    CREATE TABLE shop_order (id int PRIMARY KEY, product_id int, buyer_id int, status text, placed timestamptz, quantity int);
    CREATE INDEX ON shop_order (product_id); CREATE INDEX ON shop_order (buyer_id); CREATE INDEX ON shop_product (store_id);
    INSERT INTO shop_owner SELECT g, 'o' || g || '@example.com', 'owner ' || g, g % 2 = 0 FROM generate_series(1, 1000) g;
    INSERT INTO shop_store SELECT g, g % 1000 + 1, 'store ' || g, 'city', '2020-01-01' FROM generate_series(1, 2000) g;
    INSERT INTO shop_product SELECT g, g % 2000 + 1, 'sku' || g, 'product ' || g, g % 100, g % 7 FROM generate_series(1, 20000) g;
    INSERT INTO shop_order SELECT g, g % 20000 + 1, g % 1000 + 1, 'paid', now(), 1 FROM generate_series(1, 100000) g;
    CREATE TABLE skewed (id int PRIMARY KEY, kind int, at timestamptz, note text);
    INSERT INTO skewed SELECT g, CASE WHEN g % 100 < 95 THEN 0 ELSE g % 1000 END, now() - g * interval '1 second', 'x'
        FROM generate_series(1, 200000) g;
    CREATE INDEX ON skewed (kind); CREATE INDEX ON skewed (at);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
"""


def columns(table, names):
    return [f'"{table}"."{name}"' for name in names.split()]


JOIN = "SELECT " + ", ".join(
    columns("shop_order", "id product_id buyer_id status placed quantity") +
    columns("shop_product", "id store_id sku title price stock") + columns("shop_store", "id owner_id title city opened") +
    columns("shop_owner", "id email display_name is_active") +
    [f'T5."{name}"' for name in "id email display_name is_active".split()]) + """ FROM "shop_order"
    INNER JOIN "shop_product" ON ("shop_order"."product_id" = "shop_product"."id")
    INNER JOIN "shop_store" ON ("shop_product"."store_id" = "shop_store"."id")
    INNER JOIN "shop_owner" ON ("shop_store"."owner_id" = "shop_owner"."id")
    INNER JOIN "shop_owner" T5 ON ("shop_order"."buyer_id" = T5."id") WHERE "shop_order"."id" = :n"""

WORKLOADS = {
    "key": "\\set n random(1, 1000000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :n;\n",
    "join": "\\set n random(1, 100000)\n" + JOIN.replace("\n", " ") + ";\n",
    "skewed": "\\set n random(1, 999)\nSELECT count(*) FROM (SELECT note FROM skewed WHERE kind = :n ORDER BY at LIMIT 10) s;\n",
}


def run_pgbench(port, words, name):
    with tempfile.TemporaryDirectory(prefix="pgweir-bench-") as directory:
        os.chmod(directory, 0o755)
        path = Path(directory) / "script.sql"
        path.write_text(WORKLOADS[name])
        return throughput.pgbench(port, "plain", "-M", "extended", "-j", "2", "-f", str(path), *words)


def run_once(port, seconds, clients):
    """As throughput.pgbench(), for texts that never come again, which pgbench can't send: all clients in one thread, one request each."""
    wires = [rawwire.Wire(("127.0.0.1", port)).login("web", "plain") for _ in range(clients)]
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        for wire in wires:
            count += 1
            sql = f"SELECT abalance, 'once {time.monotonic_ns()}.{count}' AS c FROM pgbench_accounts WHERE aid = $1"
            wire.send(rawwire.parse("", sql) + rawwire.bind("", "", [count % 1_000_000]) + rawwire.describe("P") + rawwire.execute() +
                      rawwire.sync())
        for wire in wires:
            wire.read_until("Z")
    took = time.monotonic() - begun
    for wire in wires:
        wire.leave()
    return count, count / took


def measure(postgres, pooler, name, options):
    run = functools.partial(run_once if name == "once" else run_pgbench, pooler.port)
    if name == "once":
        run(0.5, options.clients)
        wanted = options.seconds, options.clients
    else:
        run(["-c", str(options.clients), "-t", str(options.warm)], name)
        wanted = ["-c", str(options.clients), "-T", str(options.seconds)], name
    return throughput.cost(postgres, pooler, lambda: run(*wanted))


def compare(postgres, name, options):
    servers = options.servers
    starts = {
        "direct": lambda: throughput.Direct(postgres.port, "plain"),
        "off": lambda: seal_cost.start_weir(postgres, servers, "plain", "track", of_pools="keep_plans = off\n"),
        "on": lambda: seal_cost.start_weir(postgres, servers, "plain", "track", of_pools="keep_plans = on\n"),
    }
    if seal_cost.BOUNCER:
        starts["PgBouncer"] = lambda: seal_cost.start_bouncer(postgres, servers, "plain", "")
    medians, cells = throughput.compare_rounds(starts, options.rounds, lambda pooler: measure(postgres, pooler, name, options))
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    for column in starts:
        if column != "on":
            tps, own, theirs = (on / other if other else 0 for on, other in zip(medians["on"], medians[column]))
            print(f"    on / {column}: {tps:.2f} of the throughput, {theirs:.2f} of PostgreSQL's CPU, {own:.2f} of the pooler's")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="key,join,once,skewed")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=100, help="transactions of each client before it is measured")
    options = parser.parse_args()
    with throughput.started() as postgres:
        throughput.make_database(postgres, "plain", TABLES)
        print("transactions per second (range); µs of CPU per transaction: the pooler's, PostgreSQL's", flush=True)
        for name in options.workloads.split(","):
            compare(postgres, name, options)


if __name__ == "__main__":
    main()
