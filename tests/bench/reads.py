#!/usr/bin/python3
"""Marked reads beside writes, 9 : 1, over a primary and two standbys: how many leave the primary, and how long they take;
a read that is told by pgweir.min_lsn to see a write of just now, against the standbys' own lag; and reads of clients that have written
just before, over a hop that makes the standbys late.

    tests/bench/reads.py [--clients 8] [--seconds 10] [--rounds 3] [--rate 0] [--protocol prepared] [--only mixed|lsn|own] [--modes marked]

mixed: pgbench's latencies of whole transactions, by the same clients, with reads = primary and with each of the modes, in turn.
lsn: from the answer to a write on: until each standby has replayed it, asked there all the time; until a client of pgweir that
is told of its position is shown it: SET, and BEGIN READ ONLY with the SELECT.
own: each client writes a row of its own and reads it at once, again and again (--think seconds between): which share standbys have
answered, and how long that took, with --lag microseconds of a hop (bench_hop) from the primary to its standbys. --other PATH: another
pgweir, in turns with this one.
"""

import argparse
import itertools
import os
import random
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))

from hosts import Trio, alter  # noqa: E402
from rawwire import Wire, one_statement, query, sync  # noqa: E402
from waiting import free_port  # noqa: E402
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


class Client:
    """Writes the next number to its row, and reads it: three requests, each behind the answer to the one before."""

    def __init__(self, weir, key, think):
        self.wire, self.key, self.think = Wire(weir.address).login("web", "app"), key, think
        self.number, self.step, self.sent, self.buffer = 0, 0, 0.0, b""
        self.due = time.perf_counter() + random.uniform(0, think)
        self.writes, self.reads, self.stale = [], [], 0      # reads: (seconds, by a standby)

    def send(self, now):
        self.number += self.step == 0
        text = (f"UPDATE own SET n = {self.number} WHERE key = {self.key}", "BEGIN READ ONLY",
                f"SELECT n, pg_is_in_recovery() FROM own WHERE key = {self.key}", "COMMIT")[self.step]
        if self.step in (0, 1):
            self.sent = now
        self.due = None
        self.wire.send(query(text))

    def take(self):
        self.buffer += self.wire.sock.recv(65536)
        if self.buffer[-6:-1] != b"Z\0\0\0\5":
            return
        assert b"SERROR" not in self.buffer, self.buffer
        now = time.perf_counter()
        if self.step == 0:
            self.writes.append(now - self.sent)
        if self.step == 2:
            at = self.buffer.index(b"D")
            row = self.buffer[at + 11:at + 1 + int.from_bytes(self.buffer[at + 1:at + 5], "big")]
            self.stale += int(row[:-5]) < self.number
            self.reads.append((now - self.sent, row[-1:] == b"t"))
        self.buffer = b""
        self.step = (self.step + 1) % 4
        if self.step == 0:
            self.due = now + random.expovariate(1 / self.think)
        else:
            self.send(now)


def own_round(weir, options):
    clients = [Client(weir, key, options.think) for key in range(options.clients)]
    end, selector = time.perf_counter() + options.seconds, selectors.DefaultSelector()
    for client in clients:
        selector.register(client.wire.sock, selectors.EVENT_READ, client)
    while (now := time.perf_counter()) < end or any(client.due is None for client in clients):
        for client in clients:
            if client.due is not None and client.due <= now < end:
                client.send(now)
        due = min((client.due for client in clients if client.due is not None), default=now + 1)
        for key, _ in selector.select(max(0, min(due, end if now < end else now + 1) - now)):
            key.data.take()
    for client in clients:
        client.wire.close()
    return clients


def delay(trio, hop):
    """The standbys follow over the hop. Returns the milliseconds from a commit to where a standby has replayed it."""
    for standby in trio.standbys:
        alter(standby, "primary_conninfo", f"user=postgres host=127.0.0.1 port={hop}")
    time.sleep(1)
    for standby in trio.standbys:
        trio.wait_follows(standby)
    lags = []
    with Wire((trio.standbys[0].host, trio.standbys[0].port)).login("web", "app") as asked:
        for number in range(100):
            trio.primary.query(f"UPDATE own SET n = 0 WHERE key = {number % 16}")
            begin = time.perf_counter()
            position = trio.primary.value("SELECT pg_current_wal_insert_lsn()")
            while asked.value(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") != "t":
                pass
            lags.append((time.perf_counter() - begin) * 1e3)
    return lags


def own_rows(weirs, trio, options):
    port = free_port()
    bench_hop = os.environ.get("BENCH_HOP", str(REPOSITORY / "build-lto" / "tests" / "bench" / "bench_hop"))
    with subprocess.Popen([bench_hop, str(options.lag), f"{port}={trio.primary.port}"]) as hop:
        try:
            trio.primary.query("DROP TABLE IF EXISTS own", dbname="app")
            trio.primary.query(f"CREATE TABLE own (key int PRIMARY KEY, n int) WITH (fillfactor = 20); GRANT ALL ON own TO web;"
                               f"INSERT INTO own SELECT key, 0 FROM generate_series(0, {max(15, options.clients)}) key", dbname="app")
            lags = delay(trio, port)
            print(f"a commit is replayed after p50 {quantile(lags, 0.5):.2f} ms, p95 {quantile(lags, 0.95):.2f} ms, by a client that asks")
            for number in range(-1, options.rounds):
                for name, weir in weirs.items():
                    asked = weir.metric_now("pgweir_readings_total")
                    clients = own_round(weir, options if number >= 0 else argparse.Namespace(**{**vars(options), "seconds": 2}))
                    if number >= 0:
                        own_words(name, clients, (weir.metric_now("pgweir_readings_total") - asked) / options.seconds)
        finally:
            for standby in trio.standbys:
                alter(standby, "primary_conninfo", f"user=postgres host={trio.primary.socket_dir} port={trio.primary.port}")
            hop.terminate()


def own_words(name, clients, readings):
    reads = [one for client in clients for one in client.reads]
    writes = [seconds * 1e3 for client in clients for seconds in client.writes]
    times = [seconds * 1e3 for seconds, _ in reads]
    print(f"{name:12} own reads p50 {quantile(times, 0.5):7.3f} ms   p95 {quantile(times, 0.95):7.3f}   p99 {quantile(times, 0.99):7.3f}   "
          f"by standbys {sum(there for _, there in reads) / len(reads):.2%} of {len(reads)}   stale {sum(client.stale for client in clients)}   "
          f"writes p50 {quantile(writes, 0.5):7.3f} ms   readings {readings:.0f} /s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=0, help="transactions per second; 0: as many as go")
    parser.add_argument("--protocol", default="prepared")
    parser.add_argument("--reads-wait", default="10ms")
    parser.add_argument("--count", type=int, default=500, help="writes that are looked for")
    parser.add_argument("--only", choices=("mixed", "lsn", "own"))
    parser.add_argument("--lag", type=int, default=5000, help="microseconds, for each direction of the hop to the standbys")
    parser.add_argument("--think", type=float, default=0.03, help="seconds between a client's reads and its next write")
    parser.add_argument("--other", help="another pgweir, for --only own")
    parser.add_argument("--modes", nargs="*", default=["marked"])
    options = parser.parse_args()
    trio = Trio()
    weir = Weir(trio.primary, Path(tempfile.mkdtemp(prefix="pgweir-bench-")))
    weir.start(SECTIONS, trio.upstream(), pool_size=options.clients)
    weirs = {"pgweir": weir}
    try:
        if options.only in (None, "mixed"):
            mixed(weir, trio, options)
        if options.only in (None, "lsn"):
            behind_a_write(weir, trio, options)
        if options.only == "own":
            if options.other:
                weirs["other"] = Weir(trio.primary, Path(tempfile.mkdtemp(prefix="pgweir-bench-")))
                weirs["other"].binary = Path(options.other)
                weirs["other"].start(SECTIONS, trio.upstream(), pool_size=options.clients)
            for one in weirs.values():
                one.reload(SECTIONS, trio.upstream(), reads="marked", pool_size=options.clients, reads_wait=options.reads_wait)
            own_rows(weirs, trio, options)
    finally:
        for one in weirs.values():
            print(*one.teardown())
        trio.destroy()


if __name__ == "__main__":
    main()
