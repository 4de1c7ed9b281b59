"""A network namespace from which one address here can be made unreachable: what is sent there, and back, is lost without a
word, as behind a broken switch. Root alone can have one."""

import os
import shutil
import subprocess

import pytest


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Link:
    """Two ends: one here, one there."""

    NOBODY = "02:00:00:00:00:01"            # a hardware address that no end has

    def __init__(self, namespace, number):
        self.namespace = namespace
        net = (os.getpid() * 2 + number) % 0x3fff * 4       # of 198.18.0.0/16, which is for tests (RFC 2544)
        self.here, self.there = (f"198.18.{(net + end) >> 8}.{(net + end) & 255}" for end in (1, 2))
        self.near, self.far = f"pw{os.getpid()}{number}h", f"pw{os.getpid()}{number}t"

    def begin(self):
        ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.namespace)
        ip("address", "add", f"{self.here}/30", "dev", self.near)
        ip("link", "set", self.near, "up")
        ip("-n", self.namespace, "address", "add", f"{self.there}/30", "dev", self.far)
        ip("-n", self.namespace, "link", "set", self.far, "up")

    def cut(self):
        """Each end sends to nobody from now on."""
        ip("neighbour", "replace", self.there, "lladdr", self.NOBODY, "dev", self.near, "nud", "permanent")
        ip("-n", self.namespace, "neighbour", "replace", self.here, "lladdr", self.NOBODY, "dev", self.far, "nud", "permanent")

    def mend(self):
        ip("neighbour", "del", self.there, "dev", self.near)
        ip("-n", self.namespace, "neighbour", "del", self.here, "dev", self.far)


class Island:
    """clients: the link for those of its processes; database: the one that can be cut, to what they use."""

    def __init__(self):
        if os.getuid() != 0 or shutil.which("ip") is None:
            pytest.skip("only root can have a network namespace, by ip(8)")
        self.namespace = f"pgweir-{os.getpid()}"
        self.clients, self.database = Link(self.namespace, 0), Link(self.namespace, 1)

    def begin(self):
        try:
            ip("netns", "add", self.namespace)
            ip("-n", self.namespace, "link", "set", "lo", "up")
            self.clients.begin()
            self.database.begin()
        except subprocess.CalledProcessError as error:
            self.end()
            pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")

    def end(self):
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)

    def settle(self, weir):
        """Where it is to start."""
        weir.prefix = ["ip", "netns", "exec", self.namespace]
        weir.host = self.clients.there
