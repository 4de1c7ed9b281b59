"""A relay in front of PostgreSQL that reads the messages and cuts connections at an exact place around a COMMIT."""

import contextlib
import socket
import struct
import threading

import rawwire
from waiting import free_port

# Where the connection is cut.
BEFORE = "before"           # the COMMIT never reaches PostgreSQL
UNANSWERED = "unanswered"   # it does; nothing that PostgreSQL sends from then on reaches pgweir
ASKED = "asked"             # the answer to the question ahead of it comes through; the COMMIT itself never reaches PostgreSQL
MARKED = "marked"           # the answer to the question ahead of it comes through, and nothing else
WITHIN = "within"           # part of its CommandComplete comes through
TAGGED = "tagged"           # its CommandComplete comes through, ReadyForQuery does not
SILENT = "silent"           # the same as UNANSWERED, but the connection stays open
HALF_OPEN = "half open"     # neither reaches the other, and PostgreSQL is not told that its client has gone


class Cutter:
    """decide(connection) is called for each COMMIT, before it is forwarded: it returns one of the above, or None."""

    host = "127.0.0.1"

    def __init__(self, target, decide):
        self.target = target
        self.decide = decide
        self.port = free_port()
        self.cut_count = 0
        self.lock = threading.Lock()
        self._kept = []             # sockets of HALF_OPEN and SILENT
        self._connections = set()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((self.host, self.port))
        self._listener.listen(128)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        with self.lock:
            connections = list(self._connections)
        for connection in connections:
            connection.end()
        for sock in self._kept:
            sock.close()

    def keep(self, sock):
        self._kept.append(sock)

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()        # PostgreSQL is away
                continue
            connection = Connection(self, near, far)
            with self.lock:
                self._connections.add(connection)
            threading.Thread(target=connection.to_server, daemon=True).start()
            threading.Thread(target=connection.to_client, daemon=True).start()

    def forget(self, connection):
        with self.lock:
            self._connections.discard(connection)


class Connection:
    def __init__(self, cutter, near, far):
        self.cutter = cutter
        self.near, self.far = near, far
        self.pid = 0                # of the backend
        self.place = None           # where it will be cut
        self.readies_left = 0       # ReadyForQuery messages that still come through
        self.asked = 0              # requests whose ReadyForQuery has not come
        self.lock = threading.Lock()
        for sock in (near, far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def end(self, reset=False):
        for sock in (self.near, self.far):
            with contextlib.suppress(OSError):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
        self.cutter.forget(self)

    def cut(self):
        """A side that has bytes of ours left to read still reads them: PostgreSQL sees the COMMIT."""
        with self.cutter.lock:
            self.cutter.cut_count += 1
        if self.place == SILENT:
            self.cutter.keep(self.near)
            self.cutter.keep(self.far)
            return
        if self.place == HALF_OPEN:
            self.cutter.keep(self.far)
            with contextlib.suppress(OSError):
                self.near.shutdown(socket.SHUT_RDWR)
            return
        self.end()

    def over(self):
        """One side has ended by itself, perhaps ahead of the place of the cut."""
        if self.place not in (SILENT, HALF_OPEN):
            self.end()

    def to_server(self):
        is_cut = False
        try:
            is_cut = self._pass_on()
        except OSError:
            pass
        finally:                    # decide() is the test's, and may fail: nobody waits for that connection then
            if not is_cut:
                self.over()

    def _pass_on(self):
        """Up to the end of the connection, or to a cut (True)."""
        self.far.sendall(self._startup())
        reader = Reader(self.near)
        while (message := reader.read()) is not None:
            kind, body = message[:1], message[5:]
            if kind in (b"Q", b"S"):
                with self.lock:
                    self.asked += 1
            if kind == b"Q" and is_commit(body) or kind == b"E" and reader.bound_commit:
                if not self._commit(message, reader):
                    return True
                continue
            reader.note(kind, body)
            self.far.sendall(message)
        return False

    def _startup(self):
        while True:
            head = receive(self.near, 4)
            packet = head + receive(self.near, struct.unpack("!i", head)[0] - 4)
            if packet != rawwire.ssl_request():
                return packet
            self.near.sendall(b"N")

    def _commit(self, message, reader):
        place = self.cutter.decide(self)
        if place is None:
            self.far.sendall(message)
            return True
        if place in (BEFORE, HALF_OPEN):
            with self.lock:
                self.place = place
            self.cut()
            return False
        is_simple = message[:1] == b"Q"
        if place == ASKED:
            with self.lock:
                self.place = place
                self.readies_left = self.asked - is_simple
                is_over = self.readies_left == 0
            if is_over:
                self.cut()
            return False
        if not is_simple:
            message += reader.read() or b""     # the Sync
        with self.lock:                         # to_client() cuts, if it is to, after the COMMIT has been sent
            self.place = place
            self.readies_left = self.asked - is_simple if place not in (UNANSWERED, SILENT) else 0
            self.asked += not is_simple
            self.far.sendall(message)
            is_over = place in (UNANSWERED, SILENT) or (place == MARKED and self.readies_left == 0)
        if is_over:
            self.cut()
        return not is_over

    def to_client(self):
        with contextlib.suppress(OSError):
            reader = Reader(self.far)
            while (message := reader.read()) is not None:
                if message[:1] == b"K":
                    self.pid = struct.unpack("!I", message[5:9])[0]
                if not self._reply(message):
                    return
        self.over()

    def _reply(self, message):
        kind = message[:1]
        with self.lock:
            place, left = self.place, self.readies_left
            if kind == b"Z" and self.asked > 0:
                self.asked -= 1
                self.readies_left = max(left - 1, 0)
        if place in (None, BEFORE):
            self.near.sendall(message)
            return True
        if place in (UNANSWERED, SILENT, HALF_OPEN):
            return False
        if left > 0:                        # replies to earlier requests: the question's is the last of them
            self.near.sendall(message)
            if place in (ASKED, MARKED) and left == 1 and kind == b"Z":
                self.cut()
                return False
            return True
        if kind == b"C":
            self.near.sendall(message if place == TAGGED else message[:len(message) // 2])
        elif kind == b"Z":
            self.cut()
            return False
        elif place != TAGGED or kind != b"Z":
            self.near.sendall(message)
        if kind == b"C":
            self.cut()
            return False
        return True


def is_commit(body):
    return body.rstrip(b"\0; ").upper() in (b"COMMIT", b"END", b"COMMIT AND CHAIN")


def receive(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise OSError("closed")
        data += piece
    return data


class Reader:
    """Whole messages of one direction; of the frontend's, which statements are COMMITs."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b""
        self.commits = set()        # names of statements
        self.bound_commit = False

    def read(self):
        while len(self.data) < 5 or len(self.data) < 1 + struct.unpack("!I", self.data[1:5])[0]:
            piece = self.sock.recv(65536)
            if not piece:
                return None
            self.data += piece
        size = 1 + struct.unpack("!I", self.data[1:5])[0]
        message, self.data = self.data[:size], self.data[size:]
        return message

    def note(self, kind, body):
        if kind == b"P":
            name, sql = body.split(b"\0")[:2]
            (self.commits.add if is_commit(sql) else self.commits.discard)(name)
        elif kind == b"B":
            self.bound_commit = body.split(b"\0")[1] in self.commits
