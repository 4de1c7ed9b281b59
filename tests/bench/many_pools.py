#!/usr/bin/python3
"""How long as many pools as there are clients take to serve one query each, from a cold start, and what they cost then.

A throwaway PostgreSQL; N databases in the configuration that are all one database of it, or N roles that log in to one. All
clients come at once (but for LOGINS) and stay. max_server_connections is 100, so the pools take turns. docs/performance.md has the figures.

    PGWEIR_BIN=build-lto/pgweir tests/bench/many_pools.py 5000 databases|users [--servers 100] [--perf FILE]
"""

import argparse
import os
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))

import rawwire  # noqa: E402
from postgres import Postgres  # noqa: E402
from waiting import wait_until  # noqa: E402
from weir import Weir  # noqa: E402

LIMIT = 600
LOGINS = 3000    # at a time: beyond some thousands pgweir ends the oldest ones


def cpu(pid):
    """User and system time, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """Logs in, asks once, and stays."""

    def __init__(self, address, user, database):
        self.address, self.hello = address, rawwire.startup(user, database)
        self.buffer, self.is_ready, self.error, self.sock = b"", False, None, socket.socket()

    def connect(self):
        self.sock.setblocking(False)
        self.sock.connect_ex(self.address)

    def writable(self):
        self.sock.sendall(self.hello)

    def readable(self):
        """Returns true when it has been served, or refused."""
        try:
            got = self.sock.recv(65536)
        except OSError as error:
            self.error = str(error)
            return True
        self.buffer += got
        if not got or self.buffer[:1] == b"E":
            self.error = self.buffer[-200:].decode("latin-1")
            return True
        if not self.buffer.endswith(b"Z\0\0\0\5I"):
            return False
        self.buffer = b""
        if self.is_ready:
            return True
        self.is_ready = True
        self.sock.sendall(rawwire.query("SELECT 1"))
        return False


def serve_all(clients):
    """Returns how many were served, and the errors of the others."""
    selector = selectors.DefaultSelector()
    waiting, logins = list(reversed(clients)), 0
    left, served, errors, until = len(clients), 0, [], time.monotonic() + LIMIT
    while left > 0 and time.monotonic() < until:
        while waiting and logins < LOGINS:
            client = waiting.pop()
            client.connect()
            selector.register(client.sock, selectors.EVENT_WRITE, client)
            logins += 1
        for key, what in selector.select(1):
            client = key.data
            if what & selectors.EVENT_WRITE:
                client.writable()
                selector.modify(client.sock, selectors.EVENT_READ, client)
            elif client.readable():
                selector.unregister(client.sock)
                left -= 1
                logins -= 1
                served += client.error is None
                if client.error is not None:
                    errors.append(client.error)
    selector.close()
    return served, errors + ["nothing came"] * left


def took(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began


def run(weir, postgres, options):
    if options.of == "users":
        names = [("user%05d" % number, "app") for number in range(options.number)]
        with postgres.connect("postgres") as connection, connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN FOR i IN 0..%s LOOP EXECUTE format('CREATE ROLE user%%s LOGIN', "
                           "lpad(i::text, 5, '0')); END LOOP; END $$" % (options.number - 1))
        weir.users.update((user, "secret") for user, _ in names)
        sections = {}
    else:
        names = [("web", "db%05d" % number) for number in range(options.number)]
        sections = {f"database {name}": {"upstream": weir.upstream(dbname="app")} for _, name in names}
    weir.start(sections, max_client_connections=options.number + 100, max_server_connections=options.servers,
               login_timeout="10min", pool_timeout="10min", fd_limit=options.number + options.servers + 1000, listen_backlog=65535)
    console = rawwire.Wire((weir.host, weir.port))      # before there are so many descriptors that it could not wait for it
    console.login("admin", "pgweir", "admin-secret")
    pid, began = weir.process.pid, time.monotonic()
    profile = None
    if options.perf:
        profile = subprocess.Popen(["perf", "record", "-q", "-g", "-F", "199", "-o", options.perf, "-p", str(pid)])
    clients = [Client((weir.host, weir.port), user, database) for user, database in names]
    served, errors = serve_all(clients)
    print(f"{options.number} {options.of}: {served} served in {time.monotonic() - began:.1f} s, {len(errors)} errors, "
          f"{cpu(pid):.1f} s of CPU", *errors[:1], flush=True)
    if profile:
        profile.terminate()
        profile.wait()
    time.sleep(3)           # what follows the last queries is over
    before = cpu(pid)
    time.sleep(options.idle)
    print(f"idle: {(cpu(pid) - before) / options.idle:.3f} of a core", flush=True)
    for what, call in (("SHOW POOLS", lambda: console.query("SHOW POOLS")), ("/metrics", lambda: weir.http("/metrics")),
                       ("status page", lambda: [weir.http("/api/v1/" + part) for part in ("status", "pools", "history")])):
        print(f"{what}: {min(took(call) for _ in range(3)):.3f} s", flush=True)
    print(f"RELOAD: {min(took(lambda: console.query('RELOAD')) for _ in range(3)):.3f} s", flush=True)
    for client in clients:
        client.sock.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", type=int)
    parser.add_argument("of", choices=["databases", "users"])
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--idle", type=float, default=10)
    parser.add_argument("--perf", metavar="FILE", help="perf record of the time until all are served")
    options = parser.parse_args()
    descriptors = options.number + options.servers + 1000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, max(descriptors, hard)))
    postgres = Postgres(f"max_connections = {options.servers + 100}\n")
    with tempfile.TemporaryDirectory() as directory:
        weir = Weir(postgres, Path(directory))
        try:
            run(weir, postgres, options)
            if weir.log().count("ERROR"):
                print(weir.log()[-500:])
        finally:
            if weir.process is not None and weir.process.poll() is None:
                weir.process.terminate()
                wait_until(lambda: weir.process.poll() is not None, 60)
            postgres.destroy()


if __name__ == "__main__":
    main()
