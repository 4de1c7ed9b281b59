"""A tap between pgweir and PostgreSQL: it forwards bytes, and can refuse, delay, stall or cut connections."""

import select
import socket
import struct
import threading
import time
from contextlib import suppress

from waiting import free_port


class Tap:
    """Listens on its own port and forwards to target. Everything may be changed while it runs."""

    host = "127.0.0.1"

    def __init__(self, target, listening=True):
        self.target = target
        self.port = free_port()
        self.connect_delay = 0.0            # seconds before the first bytes of a new connection pass
        self.accepted_count = 0
        self.to_server = bytearray()        # all that went that way, of all connections
        self.keeps_ends = False             # when PostgreSQL ends a connection, pgweir hears its last words, and no end
        self.unanswered = None              # once a connection has sent these bytes, it gets no reply as long as this is set
        self.altered = None                 # (bytes, as many others): what pgweir says arrives as something else
        self.untold = None                  # as of a backend that is not told: notifications pass only with the reply to these bytes
        self._stalled_new = False           # new connections are taken, and nothing is ever said
        self._pairs = set()
        self._lock = threading.Lock()
        self._listener = self._acceptor = None
        self._closing = False
        if listening:
            self.open()

    def open(self):
        """Takes connections (again)."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(128)
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._acceptor.start()

    def shut(self):
        """New connections are refused by the kernel; those that exist live on. None comes behind a cut() that follows."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            listener.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            listener.close()

    def cut(self, port=None):
        """Closes every connection that exists, or the one that PostgreSQL sees with this port (inet_client_port())."""
        with self._lock:
            pairs = [pair for pair in self._pairs if port is None or pair.far.getsockname()[1] == port]
        for pair in pairs:
            pair.cut()

    def reset(self, chosen=None):
        """Ends connections by a reset on both sides: those that chosen(index) is true for, or all. Returns how many."""
        with self._lock:
            pairs = [pair for index, pair in enumerate(self._pairs) if chosen is None or chosen(index)]
        for pair in pairs:
            pair.is_reset = pair.is_cut = True      # its thread sees it at once, or within 50 ms
        return len(pairs)

    def stall(self, new=False):
        """Connections that exist now go silent; with new, those to come as well."""
        with self._lock:
            for pair in self._pairs:
                pair.stalled = True
        self._stalled_new = new

    def unstall(self):
        self._stalled_new = False
        with self._lock:
            for pair in self._pairs:
                pair.stalled = False

    def connection_count(self):
        with self._lock:
            return len(self._pairs)

    def close(self):
        self._closing = True
        self.shut()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _accept(self, listener):
        while not self._closing:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            pair = _Pair(self, near, self._stalled_new)
            with self._lock:
                self.accepted_count += 1
                self._pairs.add(pair)
            threading.Thread(target=pair.run, daemon=True).start()

    def forget(self, pair):
        with self._lock:
            self._pairs.discard(pair)


class _Pair:
    def __init__(self, tap, near, stalled):
        self.tap = tap
        self.near = near
        self.far = None
        self.stalled = stalled
        self.is_unanswered = False
        self.is_told = False                # a reply to tap.untold is on its way
        self.kept = b""                     # whole notifications, in order
        self.is_cut = self.is_reset = False

    def cut(self):
        self.is_cut = True
        for sock in (self.near, self.far):
            with suppress(OSError):
                if sock is not None:
                    sock.shutdown(socket.SHUT_RDWR)

    def run(self):
        try:
            if self.tap.connect_delay:
                time.sleep(self.tap.connect_delay)
            self.far = socket.create_connection(self.tap.target)
            for sock in (self.near, self.far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self.is_cut:
                self.is_unanswered = self.is_unanswered and self.tap.unanswered is not None
                heard = [self.near] if self.is_unanswered else [self.near, self.far]
                readable, _, _ = select.select(heard, [], [], 0.05)
                if self.stalled:
                    time.sleep(0.02)
                    continue
                if self.kept and (self.tap.untold is None or self.is_told):
                    self.near.sendall(self.kept)
                    self.kept = b""
                for sock in readable:
                    if self.stalled:                # since it was looked at above
                        break
                    data = sock.recv(65536)
                    if not data:
                        while sock is self.far and self.tap.keeps_ends and self.near.recv(65536):
                            pass
                        return
                    if sock is self.near:
                        self.tap.to_server += data
                        if self.tap.unanswered is not None and self.tap.unanswered in data:
                            self.is_unanswered = True
                        data = data.replace(*self.tap.altered) if self.tap.altered else data
                        self.is_told = self.is_told or (self.tap.untold is not None and self.tap.untold in data)
                    elif self.tap.untold is not None and not self.is_told and data[:1] == b"A":
                        self.kept, data = self.kept + data, b""     # an idle backend sends them alone
                    else:
                        self.is_told = self.is_told and data[-6:-1] != b"Z\0\0\0\5"
                    (self.far if sock is self.near else self.near).sendall(data)
        except OSError:
            pass
        finally:
            for sock in (self.near, self.far):
                if sock is not None:
                    if self.is_reset:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.close()
            self.tap.forget(self)
