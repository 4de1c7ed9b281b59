"""Waiting for something visible, and finding free ports."""

import socket
import time


def wait_until(predicate, timeout=10.0, what="", pause=0.01):
    """Calls predicate until it is true (exceptions count as false); gives its value, or fails with the last one."""
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


def free_port(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        return sock.getsockname()[1]


def has_ipv6():
    try:
        free_port("::1")
        return True
    except OSError:
        return False
