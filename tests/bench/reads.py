#!/usr/bin/python3
"""Marked reads beside writes, 9 : 1, over a primary and two standbys: how many leave the primary, and how long they take;
and a read that is told by pgweir.min_lsn to see a write of just now, against the standbys' own lag.

    tests/bench/reads.py [--clients 8] [--seconds 10] [--rounds 3] [--rate 0] [--protocol prepared] [--only mixed|lsn] [--modes marked]

mixed: pgbench's latencies of whole transactions, by the same clients, with reads = primary and with each of the modes, in turn.
lsn: from the answer to a write on: until each standby has replayed it, asked there all the time; until a client of pgweir that
is told of its position is shown it: SET, and BEGIN READ ONLY with the SELECT.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))

from hosts import Trio  # noqa: E402
from rawwire import Wire, one_statement, sync  # noqa: E402
from weir import Weir  # noqa: E402

ROWS = 100_000
READ = f"\\set aid random(1, {ROWS})\nBEGIN READ ONLY;\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\nCOMMIT;\n"
WRITE = f"\\set aid random(1, {ROWS})\nUPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"
SECTIONS = {"database app": {"cluster_user": "web"}, "database app2": {"reads": "primary"}}


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def pgbench(weir, trio, directory, options):
    """Milliseconds of each read and of each write, and the share of the reads that standbys have answered."""
    before = [weir.metric_now("pgweir_reads_total", to=where) for where in ("standby", "primary")]
    for old in directory.glob("log.*"):
        old.unlink()
    (directory / "read.sql").write_text(READ, encoding="ascii")
    (directory / "write.sql").write_text(WRITE, encoding="ascii")
    done = subprocess.run([trio.primary.bin / "pgbench", "-n", "-h", weir.host, "-p", str(weir.port), "-U", "web", "-M", options.protocol,
                           "-c", str(options.clients), "-j", "2", "-T", str(options.seconds), "-l", f"--log-prefix={directory}/log",
                           *(["-R", str(options.rate)] if options.rate else []),
                           "-f", f"{directory}/read.sql@9", "-f", f"{directory}/write.sql@1", "app"],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reads, writes = [], []
    for line in itertools.chain(*(path.open() for path in directory.glob("log.*"))):
        fields = line.split()
        (writes if fields[3] == "1" else reads).append(int(fields[2]) / 1000)
    after = [weir.metric_now("pgweir_reads_total", to=where) for where in ("standby", "primary")]
    moved = after[0] - before[0]
    return reads, writes, moved / max(1, sum(after) - sum(before))


def mixed(weir, trio, options):
    directory = Path(tempfile.mkdtemp(prefix="pgweir-bench-"))
    trio.primary.query("DROP TABLE IF EXISTS pgbench_accounts", dbname="app")
    trio.primary.query(f"CREATE TABLE pgbench_accounts WITH (fillfactor = 90) AS SELECT aid, 0 abalance FROM generate_series(1, {ROWS}) aid")
    trio.primary.query("ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid); GRANT ALL ON pgbench_accounts TO web")
    trio.primary.query("VACUUM ANALYZE pgbench_accounts")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    found = {mode: [] for mode in ["primary", *options.modes]}
    for number in range(options.rounds):
        for mode in found:
            weir.reload(SECTIONS, trio.upstream(), reads=mode, pool_size=options.clients, reads_wait=options.reads_wait)
            if not number:
                pgbench(weir, trio, directory, argparse.Namespace(**{**vars(options), "seconds": 2}))
            found[mode].append(pgbench(weir, trio, directory, options))
    for mode, rounds in found.items():
        for word, which in (("reads", 0), ("writes", 1)):
            print(f"{mode:16} {word:7} p50 {statistics.median(quantile(one[which], 0.5) for one in rounds):7.3f} ms   "
                  f"p95 {statistics.median(quantile(one[which], 0.95) for one in rounds):7.3f} ms   "
                  f"p99 {statistics.median(quantile(one[which], 0.99) for one in rounds):7.3f} ms   "
                  f"{statistics.median(len(one[which]) for one in rounds) / options.seconds:8.0f} /s"
                  + (f"   off the primary {statistics.median(one[2] for one in rounds):.2%}" if word == "reads" else ""))


def begin_and_read(reader):
    """The row. Behind one Sync, as JDBC begins a block."""
    reader.send(one_statement("BEGIN READ ONLY") + one_statement("SELECT i, pg_is_in_recovery() FROM note") + sync())
    return [reply.row for reply in reader.read_until("Z") if reply.type == "D"][0]


def behind_a_write(weir, trio, options):
    """Milliseconds from a write's answer on."""
    trio.primary.query("DROP TABLE IF EXISTS note")
    trio.primary.query("CREATE TABLE note (i int); INSERT INTO note VALUES (0); GRANT ALL ON note TO web")
    weir.reload(SECTIONS, trio.upstream(), reads="marked", pool_size=options.clients, reads_wait="1s")
    writer, reader = (Wire(weir.address).login("web", "app") for _ in range(2))
    asked = [Wire((standby.host, standby.port)).login("web", "app") for standby in trio.standbys]
    lags, reads, plain, where = [], [], [], []
    for number in range(options.count):
        for turn in ("lag", "read"):
            writer.query(f"UPDATE note SET i = {number}")
            begin = time.perf_counter()
            position = writer.value("SHOW pgweir.lsn")
            if turn == "lag":
                at = asked[number % 2]
                while at.value(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") != "t":
                    pass
                lags.append((time.perf_counter() - begin) * 1e3)
            else:
                reader.query(f"SET pgweir.min_lsn = '{position}'")
                row = begin_and_read(reader)
                reads.append((time.perf_counter() - begin) * 1e3)
                reader.query("COMMIT")
                assert int(row[0]) == number, "older than it was told"
                where.append(row[1] == b"t")
        time.sleep(0.005)
        begin = time.perf_counter()
        begin_and_read(reader)
        plain.append((time.perf_counter() - begin) * 1e3)
        reader.query("COMMIT")
    for word, values in (("the standby has replayed it", lags), ("pgweir.min_lsn has shown it", reads), ("a read that waits for nothing", plain)):
        print(f"{word:32} p50 {quantile(values, 0.5):7.3f} ms   p95 {quantile(values, 0.95):7.3f} ms   p99 {quantile(values, 0.99):7.3f} ms")
    print(f"answered by a standby: {sum(where) / len(where):.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=0, help="transactions per second; 0: as many as go")
    parser.add_argument("--protocol", default="prepared")
    parser.add_argument("--reads-wait", default="10ms")
    parser.add_argument("--count", type=int, default=500, help="writes that are looked for")
    parser.add_argument("--only", choices=("mixed", "lsn"))
    parser.add_argument("--modes", nargs="*", default=["marked"])
    options = parser.parse_args()
    trio = Trio()
    weir = Weir(trio.primary, Path(tempfile.mkdtemp(prefix="pgweir-bench-")))
    weir.start(SECTIONS, trio.upstream(), pool_size=options.clients)
    try:
        if options.only != "lsn":
            mixed(weir, trio, options)
        if options.only != "mixed":
            behind_a_write(weir, trio, options)
    finally:
        print(*weir.teardown())
        trio.destroy()


if __name__ == "__main__":
    main()
