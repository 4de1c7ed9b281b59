"""The suite's own TLS: with PGWEIR_TEST_TLS=1 every connection that no test sets up otherwise is encrypted and verified
on both sides of pgweir. One authority has signed for all who listen, at localhost, 127.0.0.1 and ::1."""

import atexit
import functools
import os
import select
import shutil
import socket
import ssl
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from authority import Authority

IS_TLS = os.environ.get("PGWEIR_TEST_TLS", "") not in ("", "0")
# What one who wants SCRAM says he knows.
SCRAM_OFFER = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0" if IS_TLS else b"SCRAM-SHA-256\0\0"


@functools.cache
def material():
    """What this run of the suite has made: ca, certificate and key as paths, and contexts for both ends."""
    directory = Path(tempfile.mkdtemp(prefix="pgweir-it-tls-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.chmod(directory, 0o755)
    authority = Authority(directory)
    made = authority.issue("listener", "/CN=localhost", "DNS:localhost,IP:127.0.0.1,IP:::1")
    os.chmod(made.key, 0o644)                   # pgweir may not run as root
    client = ssl.create_default_context(cafile=str(authority.ca))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    return SimpleNamespace(authority=authority, ca=authority.ca, certificate=made.certificate, key=made.key,
                           client=client, server=server)


def libpq_words():
    return {"sslmode": "verify-full", "sslrootcert": material().ca} if IS_TLS else {"sslmode": "disable"}


def environment():
    """The same for programs."""
    if not IS_TLS:
        return {"PGSSLMODE": "disable"}
    ca = str(material().ca)
    return {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": ca, "NODE_EXTRA_CA_CERTS": ca}


def context():
    """For drivers that want one, or False: no TLS."""
    return material().client if IS_TLS else False


class Address(tuple):
    """(host, port) of one who is to be spoken with through TLS."""


class TlsSocket:
    """A socket through TLS that tests handle like a plain one: one thread may send while another receives (which
    ssl.SSLSocket does not allow), and recv takes all that is there, so that select tells the truth."""

    def __init__(self, sock, tls_context, server_hostname=None, is_server=False):
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls_context.wrap_bio(self._in, self._out, is_server, server_hostname)
        self._plain = b""
        self._lock, self._sending = threading.Lock(), threading.Lock()
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                self._flush()                   # the alert
                raise
            self._fill()

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def _flush(self):
        with self._sending:
            with self._lock:
                data = self._out.read()
            self._sock.sendall(data)

    def _fill(self):
        data = self._sock.recv(262144)
        with self._lock:
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()

    def _decrypt(self):
        """All there is into _plain; False: no more will come."""
        with self._lock:
            try:
                while data := self._tls.read(262144):
                    self._plain += data
                return False
            except ssl.SSLWantReadError:
                return True
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return False

    def sendall(self, data):
        with self._sending:
            with self._lock:
                if data:
                    self._tls.write(data)
                data = self._out.read()
            self._sock.sendall(data)

    def recv(self, count, flags=0):
        while self._decrypt() and not self._plain:
            self._fill()
        data = self._plain[:count]
        if not flags & socket.MSG_PEEK:
            self._plain = self._plain[count:]
        return data

    def is_readable(self, seconds):
        """Something to recv, or the end; records without data of ours do not count."""
        deadline = time.monotonic() + seconds
        while self._decrypt() and not self._plain:
            if not is_readable(self._sock, max(deadline - time.monotonic(), 0)):
                return False
            self._fill()
        return True

    def shutdown(self, how):
        if how != socket.SHUT_RD:
            with suppress(ssl.SSLError), self._lock:
                self._tls.unwrap()
            with suppress(OSError):
                self._flush()
        self._sock.shutdown(how)


def is_readable(sock, seconds):
    """Within the time. (poll: select knows no descriptor above 1023.)"""
    if isinstance(sock, TlsSocket):
        try:
            return sock.is_readable(seconds)
        except (OSError, ValueError):
            return True                         # recv will tell
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
