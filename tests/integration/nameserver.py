"""A name server of the test's own."""

import errno
import random
import socket
import struct
import threading
from contextlib import suppress

import pytest

A, PTR = 1, 12


def reverse(address):
    """The name under which the name of an address is found."""
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def labels(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class NameServer:
    """Is silent until it is told answers. More than one address of a name are told over TCP only."""

    def __init__(self, folder, options=""):
        try:
            at = self._listen()
        except PermissionError:
            pytest.skip("only root can be a name server")
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {at[0]}\n{options}\n")
        self.addresses, self.names = [], {}
        self.asked = self.asked_by_tcp = 0
        self.questions = []
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _listen(self):
        """On an address of its own, as resolv.conf knows no port; other workers have theirs."""
        while True:
            at = f"127.{random.randint(64, 127)}.{random.randint(1, 254)}.{random.randint(1, 254)}", 53
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.udp.bind(at)
                self.tcp = socket.create_server(at)
                return at
            except OSError as error:
                self.udp.close()
                if error.errno != errno.EADDRINUSE:
                    raise

    def answer(self, *addresses):
        """From now on each name has these addresses."""
        self.addresses = [socket.inet_aton(address) for address in addresses]

    def know(self, names):
        """{name: [addresses]}, {reverse(address): name}; these alone. None: the question is not answered."""
        self.names = {name: found if found is None else labels(found) if isinstance(found, str)
                      else [socket.inet_aton(address) for address in found] for name, found in names.items()}

    def _found(self, name, kind):
        if name in self.names:
            found = self.names[name]
            return found if kind == A and isinstance(found, list) else \
                [found] if kind == PTR and isinstance(found, bytes) else []
        return self.addresses if kind == A else []

    def _answer_to(self, packet, is_whole):
        end = packet.index(b"\0", 12) + 5
        question, at, name = packet[12:end], 12, []
        while packet[at]:
            name.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        name, kind = ".".join(name).lower(), question[-3]
        self.questions.append((name, kind))
        if self.names.get(name, ()) is None:
            return None
        found = self._found(name, kind)
        records = [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(data)) + data
                   for data in found if is_whole or len(found) == 1]
        flags = b"\x83\x80" if len(records) < len(found) else \
            b"\x81\x83" if self.names and name not in self.names else b"\x81\x80"
        return packet[:2] + flags + struct.pack(">HHHH", 1, len(records), 0, 0) + question + b"".join(records)

    def _serve_udp(self):
        while True:
            packet, peer = self.udp.recvfrom(2048)
            self.asked += 1
            if self.addresses or self.names:
                answer = self._answer_to(packet, False)
                if answer:
                    self.udp.sendto(answer, peer)

    def _serve_tcp(self):
        while True:
            conn, _ = self.tcp.accept()
            with suppress(OSError), conn, conn.makefile("rb") as asked:     # who has gone is not the last to ask
                while length := asked.read(2):
                    packet = asked.read(*struct.unpack(">H", length))
                    self.asked_by_tcp += 1
                    answer = self._answer_to(packet, True)
                    if answer:
                        conn.sendall(struct.pack(">H", len(answer)) + answer)
