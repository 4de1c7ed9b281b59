"""A small raw client of PostgreSQL's protocol: it builds every frontend message, sends it whole, in pieces or byte by
byte, and gives replies back as they came. It hides nothing, so that tests see order, count and bytes."""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import NamedTuple

import transport
from transport import is_readable
from waiting import PATIENCE

BEGIN_NOW = "BEGIN NOT DEFERRABLE"      # takes a server at once: begin = deferred sends it as it is
PROTOCOL_3_0 = 3 << 16
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
# What a server has prepared, for whoever it is: a view of postgres.py's over pg_prepared_statements.
SEEN = "hidden.prepared"


class WireError(Exception):
    """The peer answered with something this helper did not expect."""


class WireClosed(WireError):
    """The peer closed the connection."""


class WireTimeout(WireError):
    """Nothing (more) came in time."""


class Reply(NamedTuple):
    """One backend message."""

    type: str
    body: bytes

    @property
    def error(self):
        """Fields of ErrorResponse or NoticeResponse by their letter."""
        fields = {}
        for part in self.body.split(b"\0"):
            if part:
                fields[chr(part[0])] = part[1:].decode("utf-8", "replace")
        return fields

    @property
    def sqlstate(self):
        return self.error.get("C")

    @property
    def severity(self):
        return self.error.get("V") or self.error.get("S")

    @property
    def row(self):
        """Columns of a DataRow: bytes or None."""
        count, = struct.unpack_from("!H", self.body)
        columns, at = [], 2
        for _ in range(count):
            length, = struct.unpack_from("!i", self.body, at)
            at += 4
            if length < 0:
                columns.append(None)
            else:
                columns.append(self.body[at:at + length])
                at += length
        return columns

    @property
    def tag(self):
        """CommandComplete's tag."""
        return self.body.rstrip(b"\0").decode()

    @property
    def status(self):
        """ReadyForQuery's transaction status."""
        return self.body.decode()

    @property
    def parameter(self):
        """ParameterStatus: (name, value)."""
        name, value, _ = self.body.split(b"\0", 2)
        return name.decode(), value.decode("utf-8", "replace")


# --- messages ---------------------------------------------------------------------------------------------------

def cstr(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def message(kind, body=b""):
    return kind.encode("latin-1") + struct.pack("!i", len(body) + 4) + body


def startup(user="web", database="app", version=PROTOCOL_3_0, parameters=None, raw_tail=b"\0"):
    body = b"" if user is None else cstr("user") + cstr(user)
    if database is not None:
        body += cstr("database") + cstr(database)
    for name, value in (parameters or {}).items():
        body += cstr(name) + cstr(value)
    body += raw_tail
    return struct.pack("!ii", len(body) + 8, version) + body


def ssl_request():
    return struct.pack("!ii", 8, SSL_REQUEST)


def gssenc_request():
    return struct.pack("!ii", 8, GSSENC_REQUEST)


def cancel_request(key):
    """key: the body of BackendKeyData, (pid, secret) as it came."""
    return struct.pack("!ii", 8 + len(key), CANCEL_REQUEST) + key


def query(sql):
    return message("Q", cstr(sql))


def parse(name, sql, types=()):
    return message("P", cstr(name) + cstr(sql) + struct.pack("!H", len(types)) +
                   b"".join(struct.pack("!I", oid) for oid in types))


def bind(portal="", statement="", parameters=(), formats=(), result_formats=()):
    body = cstr(portal) + cstr(statement) + struct.pack("!H", len(formats))
    body += b"".join(struct.pack("!h", fmt) for fmt in formats) + struct.pack("!H", len(parameters))
    parts = [body]
    for value in parameters:
        if value is None:
            parts.append(struct.pack("!i", -1))
        else:
            raw = value if isinstance(value, bytes) else str(value).encode()
            parts.append(struct.pack("!i", len(raw)) + raw)
    parts.append(struct.pack("!H", len(result_formats)) + b"".join(struct.pack("!h", fmt) for fmt in result_formats))
    return message("B", b"".join(parts))


def describe(kind, name=""):
    return message("D", kind.encode() + cstr(name))


def execute(portal="", max_rows=0):
    return message("E", cstr(portal) + struct.pack("!i", max_rows))


def close(kind, name=""):
    return message("C", kind.encode() + cstr(name))


def sync():
    return message("S")


def flush():
    return message("H")


def terminate():
    return message("X")


def copy_data(data):
    return message("d", data)


def copy_done():
    return message("c")


def copy_fail(reason="test says no"):
    return message("f", cstr(reason))


def function_call(oid, arguments, formats=(1,), result_format=1):
    body = struct.pack("!IH", oid, len(formats)) + b"".join(struct.pack("!h", fmt) for fmt in formats)
    body += struct.pack("!H", len(arguments))
    for value in arguments:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message("F", body + struct.pack("!h", result_format))


def password_message(password):
    return message("p", cstr(password))


def one_statement(sql, parameters=(), name="", types=()):
    """Parse, Bind, Describe, Execute: what a driver sends for one statement, without Sync."""
    return parse(name, sql, types) + bind("", name, parameters) + describe("P") + execute()


# --- SCRAM-SHA-256 ----------------------------------------------------------------------------------------------

class Scram:
    """The client's side, in steps, so that a test can bend each of them."""

    def __init__(self, password, nonce=None, gs2="n,,", binding=b""):
        self.password = password.encode() if isinstance(password, str) else password
        self.nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self.gs2 = gs2
        self.binding = binding if gs2.startswith("p=") else b""     # tls-server-end-point
        self.client_first_bare = "n=,r=" + self.nonce

    def initial_response(self, mechanism="SCRAM-SHA-256"):
        data = (self.gs2 + self.client_first_bare).encode()
        return message("p", cstr(mechanism) + struct.pack("!i", len(data)) + data)

    def final_response(self, server_first):
        """server_first: bytes of AuthenticationSASLContinue's data."""
        self.server_first = server_first.decode()
        fields = dict(item.split("=", 1) for item in self.server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        stored_key = hashlib.sha256(client_key).digest()
        bound = base64.b64encode(self.gs2.encode() + self.binding).decode()
        without_proof = f"c={bound},r={fields['r']}"
        signed = ",".join((self.client_first_bare, self.server_first, without_proof)).encode()
        proof = bytes(a ^ b for a, b in zip(client_key, hmac.digest(stored_key, signed, "sha256")))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.expected_final = b"v=" + base64.b64encode(hmac.digest(server_key, signed, "sha256"))
        return message("p", f"{without_proof},p={base64.b64encode(proof).decode()}".encode())


def scram_verifier(password, iterations=4096, salt=None):
    """A secret as it stands in pg_authid and users.txt."""
    salt = salt or os.urandom(16)
    return scram_secret(hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations), salt, iterations)


def scram_secret(salted, salt, iterations):
    """The same, of a salted password."""
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return "SCRAM-SHA-256$%d:%s$%s:%s" % (iterations, base64.b64encode(salt).decode(),
                                          base64.b64encode(stored).decode(), base64.b64encode(server).decode())


def md5_secret(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


# --- the connection ---------------------------------------------------------------------------------------------

class Wire:
    """One connection. Reads block for at most `timeout` seconds, then raise."""

    def __init__(self, address, timeout=PATIENCE, receive_buffer=None, source=None):
        self.timeout = timeout
        family = socket.AF_UNIX if isinstance(address, str) else \
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect(address)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.parameters = {}
        self.key = None
        self.login_replies = []
        if isinstance(address, transport.Address):
            self._start_tls_of_the_suite(address[0])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # TLS

    def _start_tls_of_the_suite(self, host):
        try:
            self.sock.sendall(ssl_request())
            letter = self.sock.recv(1)
        except ConnectionError:
            letter = b""
        if letter in (b"", b"E"):               # refused before TLS: who reads will see
            self.buffer += letter
            return
        if letter != b"S":
            raise WireError(f"the answer to SSLRequest was {letter!r}")
        try:
            self.sock = transport.TlsSocket(self.sock, transport.material().client, host)
        except (OSError, ssl.SSLError):
            self.sock.close()
            raise

    def start_tls(self, context, server_hostname=None, session=None, is_direct=False):
        """SSLRequest first, unless is_direct. The answer must be S."""
        if not is_direct:
            self.sock.sendall(ssl_request())
            letter = self.read_bytes(1)
            if letter != b"S":
                raise WireError(f"the answer to SSLRequest was {letter!r}")
        if self.buffer:
            raise WireError(f"bytes came ahead of TLS: {bytes(self.buffer)!r}")
        self.sock = context.wrap_socket(self.sock, server_hostname=server_hostname, session=session)
        return self

    # sending

    def send(self, *messages):
        self.sock.sendall(b"".join(messages))

    def send_slowly(self, data, piece=1, pause=0.0):
        """In pieces that arrive one by one (TCP_NODELAY is on)."""
        for at in range(0, len(data), piece):
            self.sock.sendall(data[at:at + piece])
            if pause:
                time.sleep(pause)

    # receiving

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise WireTimeout(f"nothing came in time; {len(self.buffer)} bytes are buffered")
        is_decrypted = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
        if not is_decrypted and not is_readable(self.sock, left):
            raise WireTimeout(f"nothing came in {self.timeout} s; {len(self.buffer)} bytes are buffered")
        try:
            data = self.sock.recv(262144)
        except ssl.SSLWantReadError:
            return
        except (ConnectionError, ssl.SSLError) as error:
            raise WireClosed(f"reset: {error}") from error
        if not data:
            raise WireClosed(f"closed by the peer; {len(self.buffer)} bytes of a message were left")
        self.buffer += data

    def read_bytes(self, count, timeout=None):
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while len(self.buffer) < count:
            self._fill(deadline)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read(self, timeout=None):
        """The next message."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while len(self.buffer) < 5:
            self._fill(deadline)
        length, = struct.unpack_from("!i", self.buffer, 1)
        if length < 4:
            raise WireError(f"impossible message {bytes(self.buffer[:16])!r}")
        while len(self.buffer) < 1 + length:
            self._fill(deadline)
        reply = Reply(chr(self.buffer[0]), bytes(self.buffer[5:1 + length]))
        del self.buffer[:1 + length]
        if reply.type == "S":
            name, value = reply.parameter
            self.parameters[name] = value
        return reply

    def read_until(self, types="Z", count=1, timeout=None):
        """Messages up to and with the count-th one of the types. timeout: for all of them; without one, each may take as long as
        the wire's, so that a long answer may come slowly."""
        replies = []
        deadline = None if timeout is None else time.monotonic() + timeout
        while count:
            try:
                reply = self.read(deadline and max(deadline - time.monotonic(), 0))
            except WireError as error:
                told = "".join(f"; {reply.error}" for reply in errors(replies[-3:]))
                raise type(error)(f"{error}; came so far: {shape(replies)}{told}") from error
            replies.append(reply)
            if reply.type in types:
                count -= 1
        return replies

    def read_to_end(self, timeout=None):
        """Messages until the peer closes."""
        replies = []
        try:
            while True:
                replies.append(self.read(timeout))
        except WireClosed:
            if self.buffer:
                raise
            return replies

    def has_nothing_more(self, seconds=0.15):
        """True if not a byte comes for a while: for replies that must not be there."""
        return not self.buffer and not is_readable(self.sock, seconds)

    def wait_closed(self, timeout=None):
        """Everything that came before the peer closed, unparsed."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            while True:
                self._fill(deadline)
        except WireClosed:
            return bytes(self.buffer)

    # conversations

    def login(self, user="web", database="app", password=None, parameters=None, version=PROTOCOL_3_0):
        """A whole login by whatever method the peer asks for. Raises WireError with the peer's ErrorResponse."""
        self.send(startup(user, database, version, parameters))
        scram = None
        while True:
            reply = self.read()
            self.login_replies.append(reply)
            if reply.type == "R":
                code, = struct.unpack_from("!i", reply.body)
                if code == 3:
                    self.send(password_message(password))
                elif code == 5:
                    inner = hashlib.md5((password + user).encode()).hexdigest().encode()
                    self.send(password_message("md5" + hashlib.md5(inner + reply.body[4:8]).hexdigest()))
                elif code == 10:
                    scram = Scram(password)
                    self.send(scram.initial_response())
                elif code == 11:
                    self.send(scram.final_response(reply.body[4:]))
                elif code == 12 and reply.body[4:] != scram.expected_final:
                    raise WireError("the server's SCRAM signature is wrong")
                elif code not in (0, 12):
                    raise WireError(f"authentication {code}")
            elif reply.type == "K":
                self.key = reply.body
            elif reply.type == "E":
                raise LoginRefused(reply)
            elif reply.type == "Z":
                return self

    def ask(self, *messages, timeout=None):
        """Sends and reads up to the next ReadyForQuery."""
        self.send(*messages)
        return self.read_until("Z", timeout=timeout)

    def query(self, *sqls, timeout=None):
        """A simple Query, or one after another; the last one's rows as lists of text. Raises WireError on an ErrorResponse."""
        for sql in sqls:
            replies = self.ask(query(sql), timeout=timeout)
            failed = [reply for reply in replies if reply.type == "E"]
            if failed:
                raise QueryFailed(failed[0])
        return texts(replies)

    def extended(self, sql, parameters=(), name="", timeout=None):
        """One statement by Parse, Bind, Describe, Execute, Sync; its rows as lists of text."""
        replies = self.ask(one_statement(sql, parameters, name), sync(), timeout=timeout)
        failed = [reply for reply in replies if reply.type == "E"]
        if failed:
            raise QueryFailed(failed[0])
        return texts(replies)

    def value(self, *sqls):
        """The first column of the first row of the last one."""
        return self.query(*sqls)[0][0]

    # leaving

    def close(self):
        with suppress(OSError):
            self.sock.close()

    def leave(self):
        """Politely."""
        with suppress(OSError):
            self.send(terminate())
        self.close()

    def reset(self):
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class LoginRefused(WireError):
    def __init__(self, reply):
        super().__init__(f"refused: {reply.error}")
        self.reply = reply
        self.sqlstate = reply.sqlstate


class QueryFailed(WireError):
    def __init__(self, reply):
        super().__init__(f"failed: {reply.error}")
        self.reply = reply
        self.sqlstate = reply.sqlstate


def texts(replies):
    """All rows of a conversation, as lists of text."""
    return [[None if column is None else column.decode("utf-8", "replace") for column in reply.row]
            for reply in replies if reply.type == "D"]


def errors(replies):
    return [reply for reply in replies if reply.type == "E"]


def shape(replies):
    """A conversation in short: "1 2 T D C:SELECT 1 Z:I"; errors with their SQLSTATE; notices and reports left out."""
    words = []
    for reply in replies:
        if reply.type in "NS":
            continue
        if reply.type == "C":
            words.append("C:" + reply.tag)
        elif reply.type == "Z":
            words.append("Z:" + reply.status)
        elif reply.type == "E":
            words.append("E:" + (reply.sqlstate or "none"))
        else:
            words.append(reply.type)
    return " ".join(words)


def negotiated(wire):
    """(version, options) of the NegotiateProtocolVersion that came first and alone; None: none came."""
    found = [reply for reply in wire.login_replies if reply.type == "v"]
    if not found:
        return None
    assert len(found) == 1 and wire.login_replies[0] is found[0]
    version, count = struct.unpack_from("!ii", found[0].body)
    names = found[0].body[8:].split(b"\0")
    assert names.pop() == b"" and len(names) == count
    return version, [name.decode() for name in names]


def prepared_statement(wire, sql, how):
    """Prepares it as "stmt", by SQL or the protocol; returns what runs it, which another server must prepare first."""
    if how == "sql":
        wire.query(f"PREPARE stmt AS {sql}")
        return query("EXECUTE stmt")
    wire.ask(parse("stmt", sql) + sync())
    return bind("", "stmt") + execute() + sync()


def send_cancel(address, key, tail=b""):
    """A CancelRequest on a connection of its own; returns what the peer answered before it closed (must be nothing)."""
    with Wire(address) as wire:
        wire.send(cancel_request(key) + tail)
        return wire.wait_closed()


def refused_exchange(weir, user, password, database="app"):
    """What a refused login looked like: message types, lengths, and the parts that may not tell users apart."""
    wire = weir.wire()
    try:
        wire.login(user, database, password)
    except LoginRefused:
        pass
    else:
        raise AssertionError(f"{user} was let in")
    replies = []
    for reply in wire.login_replies:
        code = struct.unpack_from("!i", reply.body)[0] if reply.type == "R" else None
        if code == 11:
            fields = dict(item.split("=", 1) for item in reply.body[4:].decode().split(","))
            salt = fields["s"]
            replies.append((code, len(fields["r"]), len(salt), len(base64.b64decode(salt)), fields["i"]))
        elif code is not None:
            replies.append((code, len(reply.body)))
        else:
            replies.append((reply.type, {key: value.replace(user[:63], "NAME") for key, value in reply.error.items()}))
    wire.wait_closed()
    return replies
