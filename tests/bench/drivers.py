#!/usr/bin/python3
"""What drivers send beside an audit trigger, as fast as 12 clients on 3 servers can: through pgweir and PgBouncer.

Each program of test_nothing_pins.py talks to PostgreSQL once in 12 clients, which is recorded in bursts: what a client
sends before it waits. Then 12 connections send the same bytes again and again, each burst when the last one was answered
with as many messages as it was then, and DISCARD ALL behind the last. Four databases: plain has the tables; audited a trigger on
them whose EXECUTE can be nothing but an INSERT; risky one whose EXECUTE may do anything; extended is risky, and has PostGIS and
pg_partman, a column of the one and partitions of the other. Interleaved rounds; medians of ReadyForQuery per second and of the
pooler's CPU µs for each.

    PGWEIR_BIN=build-lto/pgweir PGBOUNCER_BIN=... tests/bench/drivers.py [--only WORD] [--databases plain,audited,risky,extended]
        [--rounds 3] [--seconds 2]
"""

import argparse
import multiprocessing
import os
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import seal_cost
from postgres import Postgres, find_bin
from rawwire import query, terminate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration" / "drivers"))

from test_drivers import STACKS, check, compiled  # noqa: E402
from test_nothing_pins import AUDITED, CLIENTS, DATABASES as TESTED, PLACES, PROGRAMS, TABLES, TRIGGER  # noqa: E402

PROCESSES = 2
WARMUP = 2      # seconds: the code of a database is read at first, which takes a busy PostgreSQL more than one


class Burst(NamedTuple):
    data: bytes
    replies: int    # messages, but for those that may come at any time
    ready: int      # ReadyForQuery
    errors: int


class Messages:
    """Counts the messages in a stream of bytes."""

    def __init__(self):
        self.rest, self.replies, self.ready, self.errors = b"", 0, 0, 0

    def feed(self, data):
        data, at = self.rest + data, 0
        while len(data) - at >= 5:
            length = int.from_bytes(data[at + 1:at + 5], "big")
            if len(data) - at < 1 + length:
                break
            kind = data[at]
            if kind not in b"NSA":
                self.replies += 1
                self.ready += kind == ord("Z")
                self.errors += kind == ord("E")
            at += 1 + length
        self.rest = data[at:]


# --- recording -------------------------------------------------------------------------------------------------

class Recorder:
    """Listens on a port and relays to PostgreSQL. talks: (the startup packet, bursts) of each connection."""

    def __init__(self, postgres):
        self.target, self.talks, self.threads = (postgres.host, postgres.port), [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _relay(self, client):
        first = client.recv(65536)
        while len(first) == 8:                          # SSLRequest, GSSENCRequest
            client.sendall(b"N")
            first = client.recv(65536)
        server = socket.create_connection(self.target)
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.sendall(first)
        bursts, sent, said = [], b"", Messages()
        with selectors.DefaultSelector() as selector, client, server:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if server in ready:                     # first: it answers what was sent before
                    data = server.recv(262144)
                    said.feed(data)
                    client.sendall(data)
                elif client in ready:
                    data = client.recv(262144)
                    if said.replies > 0 or said.rest:
                        bursts.append(Burst(sent, said.replies, said.ready, said.errors))
                        rest, sent, said = said.rest, b"", Messages()
                        said.rest = rest
                    sent += data
                    server.sendall(data)
                if not data:
                    break
        sent = sent.removesuffix(terminate())
        if sent:
            bursts.append(Burst(sent, said.replies, said.ready, said.errors))
        self.talks.append((first, bursts[1:]))          # the first is the login

    def finish(self):
        self.listener.close()
        for thread in self.threads:
            thread.join(20)
        return sorted(self.talks, key=lambda talk: -len(talk[1]))[:CLIENTS]


class Folders:
    """As pytest's tmp_path_factory."""

    def __init__(self, root):
        self.root = Path(root)

    def getbasetemp(self):
        return self.root


def record(postgres, database, program, folders):
    stack, row = ALL_PROGRAMS[program]
    words = [*compiled(folders, stack, *{**STACKS, **AUDITED}[stack]), row]
    recorder = Recorder(postgres)
    check(words, cwd=folders.root, env={
        "PATH": os.environ["PATH"], "HOME": str(folders.root), "LANG": "C.UTF-8", "TZ": "UTC", "PGHOST": "127.0.0.1", "PGUSER": "web",
        "PGPORT": str(recorder.port), "PGDATABASE": database, "PGSSLMODE": "disable", "PGGSSENCMODE": "disable", "CLIENTS": str(CLIENTS)})
    return recorder.finish()


# --- replaying -------------------------------------------------------------------------------------------------

class Client:
    """Sends the bursts of a talk in turn."""

    def __init__(self, address, startup, bursts):
        self.sock = socket.create_connection(address, 20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bursts = [*bursts, Burst(query("DISCARD ALL"), 2, 1, 0)]
        self.ready = self.errors = self.at = 0
        self.said = Messages()
        self.sock.sendall(startup)
        while self.said.ready == 0:
            data = self.sock.recv(65536)
            if not data or self.said.errors:
                raise RuntimeError(f"login with {startup}: {data}")
            self.said.feed(data)

    def send(self):
        self.said = Messages()
        self.sock.sendall(self.bursts[self.at].data)

    def readable(self):
        """Raises RuntimeError when the pooler ends the connection."""
        data = self.sock.recv(262144)
        if not data:
            raise RuntimeError("closed")
        self.said.feed(data)
        burst = self.bursts[self.at]
        if self.said.replies < burst.replies and not (self.said.errors > burst.errors and self.said.ready >= burst.ready):
            return
        self.ready += self.said.ready
        self.errors += self.said.errors != burst.errors
        self.at = (self.at + 1) % len(self.bursts)
        self.send()


def run_clients(address, talks, begin, seconds, results):
    """In a process of its own. Puts (ReadyForQuery, unexpected errors, why it ended early) of these seconds, behind WARMUP."""
    clients, why = [Client(address, *talk) for talk in talks], ""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
        begin.wait()
        for client in clients:
            client.send()
        try:
            for duration in (WARMUP, seconds):
                for client in clients:
                    client.ready = client.errors = 0
                end = time.monotonic() + duration
                while (left := end - time.monotonic()) > 0:
                    for key, _ in selector.select(left):
                        key.data.readable()
        except (OSError, RuntimeError) as error:
            why = str(error)
    results.put((sum(client.ready for client in clients), sum(client.errors for client in clients), why))


def measure(pooler, database_talks, seconds):
    """ReadyForQuery per second, the pooler's CPU µs for each, unexpected errors."""
    begin, results = multiprocessing.Barrier(PROCESSES + 1), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=run_clients, args=(("127.0.0.1", pooler.port), database_talks[i::PROCESSES], begin,
                                                                   seconds, results)) for i in range(PROCESSES)]
    for process in processes:
        process.start()
    begin.wait(30)
    time.sleep(WARMUP)
    before = pooler.cpu()
    got = [results.get(timeout=WARMUP + seconds + 30) for _ in processes]
    spent = pooler.cpu() - before
    for process in processes:
        process.join()
    ready, errors, why = sum(part[0] for part in got), sum(part[1] for part in got), {part[2] for part in got if part[2]}
    if why:
        raise RuntimeError(f"a client ended: {why}")
    return ready / seconds, spent / max(ready, 1) * 1e6, errors


DATABASES = {"plain": TABLES, "audited": TABLES + TRIGGER, "risky": TABLES + TRIGGER.replace("%I", "%s"), "extended": TESTED["with extensions"]}
POOLERS = {"pgweir": seal_cost.start_weir, "PgBouncer": seal_cost.start_bouncer}
WITHOUT = {"psycopg2, large objects", "JDBC, large objects"}       # their bytes name objects that they have made before
OF_EXTENSIONS = "psycopg 3, places and partitions"
ALL_PROGRAMS = {**PROGRAMS, OF_EXTENSIONS: PLACES}


def run_program(postgres, program, folders, options):
    databases = [name for name in options.databases if program != OF_EXTENSIONS or name == "extended"]
    talks = {database: record(postgres, database, program, folders) for database in databases}
    results = {(database, pooler): [] for database in options.databases for pooler in POOLERS}
    for _ in range(options.rounds):
        for database in databases:
            for name, start in POOLERS.items():
                pooler = start(postgres, 3, database, "track")
                try:
                    results[database, name].append(measure(pooler, talks[database], options.seconds))
                finally:
                    pooler.stop()
    cells = []
    for found in results.values():
        if not found:
            cells.append("")
            continue
        rate, cpu, errors = statistics.median(r[0] for r in found), statistics.median(r[1] for r in found), sum(r[2] for r in found)
        cells.append(f"{rate:,.0f}, {cpu:.0f} µs" + (f" ({errors:,} errors)" if errors else ""))
    print(f"| {program} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="programs whose name has this word")
    parser.add_argument("--databases", type=lambda words: words.split(","), default=list(DATABASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    seal_cost.PG_BIN = find_bin()
    seal_cost.BOUNCER = os.environ["PGBOUNCER_BIN"]
    postgres = Postgres("max_connections = 100\n")
    try:
        for database in options.databases:
            postgres.query(f"CREATE DATABASE {database} OWNER web")
            seal_cost.pgbench_words(postgres.port, "-i", "-q", database)    # asked for until the pooler serves
            postgres.query(DATABASES[database], dbname=database)
        print("| program | " + " | ".join(f"{database}: {pooler}" for database in options.databases for pooler in POOLERS) + " |\n|---|" +
              "---|" * len(options.databases) * len(POOLERS), flush=True)
        with tempfile.TemporaryDirectory(prefix="pgweir-bench-") as root:
            for program in ALL_PROGRAMS:
                if options.only in program and program not in WITHOUT and (program != OF_EXTENSIONS or "extended" in options.databases):
                    run_program(postgres, program, Folders(root), options)
    finally:
        postgres.destroy()


if __name__ == "__main__":
    main()
