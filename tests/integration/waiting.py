"""Waiting for something visible, and finding free ports."""

import errno
import random
import socket
import time


def wait_until(predicate, timeout=20.0, what="", pause=0.01):
    """Calls predicate until it is true (exceptions count as false); gives its value, or fails with the last one. timeout:
    what takes a moment takes many of them on a busy machine."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = predicate()
            if last:
                return last
        except Exception as error:  # pylint: disable=broad-except
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain{' for ' + what if what else ''}; last seen: {last!r}")
        time.sleep(pause)


_given = set()


def free_port(host="127.0.0.1"):
    """A port nobody listens on, below those the kernel gives to outgoing connections, and never the same twice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(1000):
        port = random.randrange(12000, 32000)
        if port in _given:
            continue
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
        _given.add(port)
        return port
    raise RuntimeError("no free port")


def has_ipv6():
    try:
        free_port("::1")
        return True
    except OSError:
        return False
