"""A PostgreSQL that does as it is told: each connection runs a script, so that servers can lie, stumble and die.

    def script(conn):
        conn.login()                     # an ordinary login
        conn.serve()                     # ordinary answers, until the client goes

A script may also speak byte by byte: conn.read_startup(), conn.read(), conn.send(...). By default every connection
is ordinary; fake.script = script changes those to come, fake.answer = function(conn, type, body) those to a message
(return True: it was answered).
"""

import socket
import ssl
import struct
import threading
from contextlib import suppress

import transport
from rawwire import CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, cstr, message, ssl_request
from waiting import PATIENCE, free_port

PARAMETERS = {
    "server_version": "15.0 (fake)",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "application_name": "",
    "default_transaction_read_only": "off",
    "in_hot_standby": "off",
    "is_superuser": "off",
    "session_authorization": "web",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "integer_datetimes": "on",
    "standard_conforming_strings": "on",
}


# --- backend messages ---

def auth(code, data=b""):
    return message("R", struct.pack("!i", code) + data)


def parameter_status(name, value):
    return message("S", cstr(name) + cstr(value))


def backend_key(pid=4242, secret=b"\x01\x02\x03\x04"):
    return message("K", struct.pack("!i", pid) + secret)


def ready(status="I"):
    return message("Z", status.encode())


def error(sqlstate="XX000", text="the fake server says no", severity="ERROR", **more):
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": text, **more}
    return message("E", b"".join(key.encode() + cstr(value) for key, value in fields.items()) + b"\0")


def notice(text="note", severity="NOTICE"):
    fields = {"S": severity, "V": severity, "C": "00000", "M": text}
    return message("N", b"".join(key.encode() + cstr(value) for key, value in fields.items()) + b"\0")


def row_description(*names):
    return message("T", struct.pack("!H", len(names)) + b"".join(
        cstr(name) + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0) for name in names))


def data_row(*values):
    return message("D", struct.pack("!H", len(values)) + b"".join(
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value.encode())) + value.encode()
        for value in values))


def complete(tag="SELECT 1"):
    return message("C", cstr(tag))


def one_row(value, name="v"):
    """The answer to a simple Query, without ReadyForQuery."""
    return row_description(name) + data_row(value) + complete()


def bound_parameters(body):
    """Texts of a Bind's parameters."""
    at = body.index(b"\0", body.index(b"\0") + 1) + 1
    formats, = struct.unpack_from("!H", body, at)
    at += 2 + 2 * formats
    count, = struct.unpack_from("!H", body, at)
    at += 2
    found = []
    for _ in range(count):
        length, = struct.unpack_from("!i", body, at)
        at += 4
        found.append("" if length < 0 else body[at:at + length].decode("utf-8", "replace"))
        at += max(length, 0)
    return found


class Gone(Exception):
    """The client went."""


class FakeConnection:
    """One connection to the fake server, in a thread of its own."""

    def __init__(self, server, sock, number):
        self.server = server
        self.sock = sock
        self.number = number                # from 0, in order of arrival
        self.buffer = b""
        self.startup = {}
        self.version = None                 # of the startup packet
        self.messages = []                  # (type, body) of all that came
        self.is_open = True
        self.is_in_transaction = False
        self.is_failed = False              # an error was told: all is skipped to Sync
        self.parsed = ""                    # text of the last Parse
        self.bound = []                     # parameters of the last Bind
        self.secret = struct.pack("!I", 0x01020304 + number)

    # bytes

    def send(self, *parts):
        try:
            self.sock.sendall(b"".join(parts))
        except OSError as err:
            raise Gone(str(err)) from err

    def send_slowly(self, data, piece=1):
        for at in range(0, len(data), piece):
            self.send(data[at:at + piece])

    def read_bytes(self, count):
        while len(self.buffer) < count:
            try:
                data = self.sock.recv(65536)
            except OSError as err:
                raise Gone(str(err)) from err
            if not data:
                raise Gone("closed")
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read(self):
        kind = self.read_bytes(1).decode("latin-1")
        length, = struct.unpack("!i", self.read_bytes(4))
        body = self.read_bytes(length - 4)
        self.messages.append((kind, body))
        return kind, body

    def has_bytes(self, seconds=0.0):
        return bool(self.buffer) or transport.is_readable(self.sock, seconds)

    def close(self):
        self.is_open = False
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def start_tls(self, context=None):
        try:
            self.sock = transport.TlsSocket(self.sock, context or transport.material().server, is_server=True)
        except OSError as err:              # an SSLError is one
            raise Gone(str(err)) from err

    def wait_gone(self):
        """Reads and forgets until the other side closes."""
        while True:
            self.read_bytes(1)

    # login

    def read_startup(self):
        """Answers SSLRequest and GSSENCRequest with N (or, in a suite with TLS, SSLRequest with S and what follows); a
        CancelRequest is noted and ends the script."""
        while True:
            length, = struct.unpack("!i", self.read_bytes(4))
            body = self.read_bytes(length - 4)
            code, = struct.unpack_from("!i", body)
            if code == SSL_REQUEST and transport.IS_TLS:
                self.send(b"S")
                self.start_tls()
            elif code in (SSL_REQUEST, GSSENC_REQUEST):
                self.send(b"N")
            elif code == CANCEL_REQUEST:
                self.server.cancels.append(body[4:])
                if self.server.confirms is not None:
                    self.server.confirms.wait(PATIENCE)
                raise Gone("cancel request")
            else:
                self.version = code
                words = body[4:].split(b"\0")
                self.startup = {words[i].decode(): words[i + 1].decode() for i in range(0, len(words) - 2, 2)}
                return self.startup

    def welcome(self, key=True, parameters=None, status="I"):
        """What follows AuthenticationOk."""
        words = {**PARAMETERS, "session_authorization": self.startup.get("user", "web")}
        for name in ("application_name", "client_encoding", "DateStyle", "TimeZone"):
            for given, value in self.startup.items():
                if given.lower() == name.lower():
                    words[name] = value
        words.update(parameters or {})
        return b"".join(parameter_status(name, value) for name, value in words.items()) + \
            (backend_key(4000 + self.number, self.secret) if key else b"") + ready(status)

    def login(self, **options):
        self.read_startup()
        self.send(auth(0), self.welcome(**options))

    # ordinary answers

    def serve(self):
        """Answers like a simple-minded PostgreSQL: every query gives one row with the text "fake"."""
        while True:
            kind, body = self.read()
            if kind == "X":
                return
            if kind == "P":
                self.parsed = body.split(b"\0")[1].decode("utf-8", "replace")
            elif kind == "B":
                self.bound = bound_parameters(body)
            if self.server.answer is not None and self.server.answer(self, kind, body):
                continue
            if self.is_failed and kind != "S":
                continue
            if kind == "Q":
                self.answer_query(body[:-1].decode("utf-8", "replace"))
            elif kind == "P":
                self.send(message("1"))
            elif kind == "B":
                self.send(message("2"))
            elif kind == "C":
                self.send(message("3"))
            elif kind == "D":
                self.send((message("t", b"\0\0") if body[:1] == b"S" else b"") + row_description("v"))
            elif kind == "E" and "set_config" in self.parsed:
                self.send(*self.set_parameters())
            elif kind == "E":
                self.send(data_row("fake"), complete())
            elif kind == "S":
                self.is_failed = False
                self.send(ready("T" if self.is_in_transaction else "I"))

    def set_parameters(self):
        """set_config(name, value, false), one or several in a row: PostgreSQL reports what it reports."""
        known = {name.lower(): name for name in PARAMETERS}
        pairs = list(zip(self.bound[::2], self.bound[1::2]))
        reports = [parameter_status(known[name.lower()], value) for name, value in pairs if name.lower() in known]
        return [*reports, data_row(*(value for _, value in pairs)), complete()]

    def answer_query(self, sql):
        word = sql.strip().split(" ")[0].rstrip(";").upper() if sql.strip() else ""
        if word == "BEGIN":
            self.is_in_transaction = True
        elif word in ("COMMIT", "ROLLBACK"):
            self.is_in_transaction = False
        if not word:
            answer = message("I")
        elif word == "SELECT":
            answer = one_row("fake") if "pg_my_temp_schema" not in sql else complete("SELECT 0")    # nothing temporary
        elif word == "SET":
            answer = self.reports_of(sql) + complete("SET")
        else:
            answer = complete("DISCARD ALL" if word == "DISCARD" else word)
        self.send(answer, ready("T" if self.is_in_transaction else "I"))

    @staticmethod
    def reports_of(sql):
        """ParameterStatus for each SET of a reported parameter, as PostgreSQL would send it."""
        reports = b""
        for statement in sql.split(";"):
            words = statement.replace("=", " TO ").split()
            if len(words) >= 4 and words[0].upper() == "SET" and "TO" in (w.upper() for w in words):
                name = words[1].strip('"') if words[1].upper() not in ("SESSION", "LOCAL") else words[2].strip('"')
                known = {known.lower(): known for known in PARAMETERS}
                if name.lower() in known:
                    value = statement.replace("=", " TO ").split(" TO ", 1)[-1].strip().strip("'")
                    reports += parameter_status(known[name.lower()], value)
        return reports

    def queries(self):
        """Texts of the simple queries and Parses that came."""
        found = []
        for kind, body in self.messages:
            if kind == "Q":
                found.append(body[:-1].decode("utf-8", "replace"))
            elif kind == "P":
                found.append(body.split(b"\0")[1].decode("utf-8", "replace"))
        return found


class FakeServer:
    """Listens on its own port; connections holds all that ever came."""

    host = "127.0.0.1"

    def __init__(self, script=None, port=None):
        self.script = script
        self.answer = None
        self.connections = []
        self.cancels = []
        self.confirms = None                # an event: until then PostgreSQL does not end the connections of CancelRequests
        self.failures = []                  # exceptions of scripts: a test's own mistake
        self.port = port or free_port()
        self._closing = False
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((self.host, self.port))
        self._listener.listen(128)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def upstream(self):
        return f"host={self.host} port={self.port}"

    def open_connections(self):
        return [conn for conn in self.connections if conn.is_open]

    def logins(self):
        """Connections that sent a startup packet."""
        return [conn for conn in self.connections if conn.startup]

    def close(self):
        self._closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()               # else one that it has just accepted would stay open
        self._listener.close()
        for conn in self.connections:
            if conn.is_open:
                conn.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.close()
        if kind is None and self.failures:
            raise self.failures[0]

    def _accept(self):
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn = FakeConnection(self, sock, len(self.connections))
            self.connections.append(conn)
            threading.Thread(target=self._run, args=(conn,), daemon=True).start()

    def _run(self, conn):
        try:
            if self.script is not None:
                self.script(conn)
            else:
                conn.login()
                conn.serve()
        except Gone:
            pass
        except Exception as problem:  # pylint: disable=broad-except
            if not self._closing:
                self.failures.append(problem)
        finally:
            conn.close()


def scram_with(first=None, final=None):
    """A server that goes through SCRAM, bent by first(client_nonce) and final(right_signature)."""
    def script(conn):
        conn.read_startup()
        conn.send(auth(10, b"SCRAM-SHA-256\0\0"))
        _, body = conn.read()
        client_first = body[body.index(b"\0") + 5:].decode()
        nonce = client_first.split("r=")[1]
        salt, iterations = "c2FsdHNhbHRzYWx0c2E=", 4096
        server_first = first(nonce) if first else f"r={nonce}SERVER,s={salt},i={iterations}"
        conn.send(auth(11, server_first.encode()))
        conn.read()
        if final is None:
            conn.send(auth(12, b"v=" + b"A" * 43 + b"="), auth(0), conn.welcome())
        else:
            conn.send(final, conn.welcome())
        conn.serve()
    return script


def interceptor(port, certificate, key, change=lambda data: data):
    """Somebody in between: he ends TLS with a certificate of his own, and speaks TLS with the port. change: what he makes of bytes
    on their way back."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, key)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    def pump(source, target, made_of):
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(made_of(data))
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def script(conn):
        assert conn.read_bytes(8) == ssl_request()
        conn.send(b"S")
        conn.start_tls(own)
        far = socket.create_connection((FakeServer.host, port))
        far.sendall(ssl_request())
        assert far.recv(1) == b"S"
        far = transport.TlsSocket(far, trusting)
        threading.Thread(target=pump, args=(far, conn.sock, change), daemon=True).start()
        pump(conn.sock, far, bytes)
    return FakeServer(script)
