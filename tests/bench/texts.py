#!/usr/bin/python3
"""Instructions that pgweir needs for a statement as ORMs send them: 0.3 to 5 kB, with the values in the text.

  tests/bench/texts.py [NAME=]BINARY ... [--only "TEXT;..."] [--count 600]

One client in lockstep under callgrind, before a server of this script's that answers everything at once; the slope between
--count / 4 and --count statements. Each text is sent once before either counts. It needs valgrind.
"""

import argparse
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

USER = ("id password last_login is_superuser username first_name last_name email is_staff is_active date_joined").split()


def message(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


def row(*columns):
    return message(b"D", struct.pack(">H", len(columns)) + b"".join(struct.pack(">I", len(column)) + column for column in columns))


VERSION = row(b"v", b"1 1", b"")


def query(sql):
    return message(b"Q", sql.encode() + b"\0")


def unnamed(sql, value):
    value = str(value).encode()
    bind = b"\0\0" + struct.pack(">HHI", 0, 1, len(value)) + value + struct.pack(">H", 0)
    return (message(b"P", b"\0" + sql.encode() + b"\0" + struct.pack(">H", 0)) + message(b"B", bind) + message(b"D", b"P\0") +
            message(b"E", b"\0" + struct.pack(">I", 0)) + message(b"S"))


def django(table, value):
    columns = ", ".join(f'"{table}"."{column}"' for column in USER)
    return f'SELECT {columns} FROM "{table}" WHERE "{table}"."id" = {value} LIMIT 21'


def columns(table, value):
    return "SELECT " + ", ".join(f"{table}.column_{i:02} AS {table}_column_{i:02}" for i in range(60)) + f" FROM {table} WHERE {table}.id = {value}"


def constants(value):
    many = ", ".join(f"{1000 + i} AS constant_number_{i:02}" for i in range(60))
    names = ", ".join(f"constants.constant_number_{i:02} AS the_value_of_{i:02}" for i in range(60))
    return f"SELECT {names} FROM (SELECT {many}) AS constants WHERE constants.constant_number_00 = {value}"


TEXTS = {                           # the message of each turn
    "select 1": lambda i: query("SELECT 1"),
    "django": lambda i: query(django("auth_user", i)),
    "django, 300 in turn": lambda i: query(django(f"app_{i % 300:03}", i)),
    "django, 3,000 in turn": lambda i: query(django(f"app_{i % 3000:04}", i)),
    "unnamed, 300 in turn": lambda i: unnamed(django(f"app_{i % 300:03}", "$1"), i),
    "unnamed, 300 of 2.2 kB": lambda i: unnamed(columns(f"app_{i % 300:03}", "$1"), i),
    "60 columns": lambda i: query(columns("accounts", i)),
    "60 columns, the same": lambda i: query(columns("accounts", 1)),
    "IN of 1,000": lambda i: query("SELECT name FROM accounts WHERE id IN (" + ", ".join(str(i + k) for k in range(1000)) + ")"),
    "INSERT of 100 rows": lambda i: query("INSERT INTO t (a, b, c) VALUES " + ", ".join(f"({i + k}, 'name {k}', {k})" for k in range(100))),
    "60 constants": lambda i: query(constants(i)),
    "60 constants, the same": lambda i: query(constants(1)),
    "60 constants, unnamed": lambda i: unnamed(constants("$1"), i),
}


class Server:
    """Says yes to everything, without rows."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    @staticmethod
    def _serve(sock):
        ready = message(b"Z", b"I")
        reply = {b"Q": message(b"C", b"SELECT 0\0") + ready, b"P": message(b"1"), b"B": message(b"2"), b"D": message(b"n"), b"C": message(b"3"),
                 b"E": message(b"C", b"SELECT 0\0"), b"S": ready}
        settings = {"server_version": "15.0", "server_encoding": "UTF8", "client_encoding": "UTF8", "standard_conforming_strings": "on"}
        with sock, sock.makefile("rb") as stream:
            while struct.unpack(">I", stream.read(struct.unpack(">I", stream.read(4))[0] - 4)[:4])[0] != 196608:
                sock.sendall(b"N")                  # no TLS
            sock.sendall(message(b"R", struct.pack(">I", 0)) +
                         b"".join(message(b"S", f"{name}\0{value}\0".encode()) for name, value in settings.items()) +
                         message(b"K", struct.pack(">II", 1, 1)) + ready)
            answer = b""
            while len(head := stream.read(5)) == 5:
                body = stream.read(struct.unpack(">I", head[1:])[0] - 4)
                # Of the questions about the database's code: its version stays as it is, else all is read again each second.
                answer += (VERSION if b"SELECT 'v'" in body else b"") + reply.get(head[:1], b"")
                if head[:1] in b"QS":               # as PostgreSQL does: all of a request's replies leave at once
                    sock.sendall(answer)
                    answer = b""


class Client:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.sock.connect(path)
                break
            except OSError:
                threading.Event().wait(0.1)
        body = struct.pack(">I", 196608) + b"user\0bench\0database\0bench\0\0"
        self.ask(struct.pack(">I", len(body) + 4) + body)

    def ask(self, request):
        self.sock.sendall(request)
        answer = b""
        while answer[-6:-1] != b"Z\0\0\0\5":
            answer += self.sock.recv(65536)


CONFIG = """[pgweir]
listen = unix:{0}/.s.PGSQL.6432
[pool]
pool_size = 1
max_overflow = 0
[auth]
method = trust
users_file = {0}/users.txt
[log]
connections = off
[slow_query]
file = {0}/slow.log
threshold = 1h
[http]
listen = off
[database *]
upstream = host=127.0.0.1 port={1}
"""


def instructions(binary, make, count):
    """Of the whole process, until it has served so many."""
    server = Server()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "users.txt").write_text('"bench" "x"\n', encoding="utf-8")
        os.chmod(f"{folder}/users.txt", 0o600)
        Path(folder, "pgweir.ini").write_text(CONFIG.format(folder, server.port), encoding="utf-8")
        with open(f"{folder}/log", "wb") as log, subprocess.Popen(
                ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={folder}/out", binary, f"{folder}/pgweir.ini"],
                stdout=log, stderr=log) as process:
            client = Client(f"{folder}/.s.PGSQL.6432")
            for turn in range(count):
                client.ask(make(turn))
            process.send_signal(signal.SIGTERM)
        return int(re.search(r"^totals: (\d+)", Path(folder, "out").read_text(encoding="utf-8"), re.M)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", nargs="+", metavar="[NAME=]BINARY")
    parser.add_argument("--only", default="")
    parser.add_argument("--count", type=int, default=600)
    options = parser.parse_args()
    texts = [name for name in TEXTS if not options.only or name in options.only.split(";")]
    for name in texts:
        make, rounds = TEXTS[name], 1200 if "300" in name else 12000 if "3,000" in name else options.count
        print(f"{name:24} {len(make(1)):6} bytes", end="", flush=True)
        for binary in options.binaries:
            label, _, path = binary.rpartition("=")
            spent = [instructions(path, make, turns) for turns in (rounds // 2, rounds)]
            print(f"  {label} {(spent[1] - spent[0]) / (rounds - rounds // 2):9.0f}", end="", flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
