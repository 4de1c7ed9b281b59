"""Waiting for something visible, finding free ports, and the same of several.

PGWEIR_SLOWNESS: how many times as long as the authors' idle machine this one takes for the same work, with all that it does
besides (default: it is measured, in less than a second; once for a run, by scripts/integration). Limits are multiplied by it.
"""

import errno
import functools
import itertools
import os
import random
import socket
import subprocess
import sys
import time

WORK = [sys.executable, "-S", "-E", "-c", "sum(i * i for i in range(4_000_000))"]
WORK_S = 0.18       # on that machine


def measure_slowness():
    """1 at least. Each processor has the same to do, so that what else runs on them is felt."""
    begin = time.monotonic()
    for process in [subprocess.Popen(WORK) for _ in range(os.cpu_count())]:
        process.wait()
    return min(max((time.monotonic() - begin) / WORK_S, 1), 10)


# Pytest's workers inherit it.
SLOWNESS = float(os.environ.setdefault("PGWEIR_SLOWNESS", f"{measure_slowness():.1f}"))
# Seconds: what only guards against a hang takes several times less, with every core busy beside it. PGWEIR_PATIENCE: on a machine that
# is not slow. scripts/integration gives a person at a terminal less: a wrong wait of one's own is seen sooner.
PATIENCE_S = float(os.environ.get("PGWEIR_PATIENCE", "30"))
PATIENCE = PATIENCE_S * SLOWNESS


def wait_until(predicate, timeout=None, what="", pause=0.01):
    """Calls predicate until it is true (exceptions count as false); gives its value, or fails with the last one. timeout: in
    seconds of a machine that is not slow (default: PATIENCE)."""
    timeout = PATIENCE if timeout is None else timeout * SLOWNESS
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
            raise AssertionError(f"waited {timeout:.1f} s in vain{' for ' + what if what else ''}; last seen: {last!r}")
        time.sleep(pause)


PORTS = range(12000, 32000)             # below those the kernel gives to outgoing connections
STRETCH = 500
_leases = []


@functools.cache
def own_ports():
    """This process's stretch of them, in turn. Other workers and other runs of the suite have others as long as they live:
    each keeps the first port of its own bound. A port that is free now may else be another's when pgweir listens, and a
    test would talk to that one's pgweir."""
    for first in random.sample(PORTS[::STRETCH], len(PORTS) // STRETCH):
        lease = socket.socket()
        try:
            lease.bind(("127.0.0.1", first))
        except OSError:
            lease.close()
            continue
        _leases.append(lease)
        return itertools.cycle(range(first + 1, first + STRETCH))
    return itertools.cycle(random.sample(PORTS, len(PORTS)))


def free_port(host="127.0.0.1"):
    """A port nobody listens on, and not soon the same again."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in itertools.islice(own_ports(), 1000):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
        return port
    raise RuntimeError("no free port")


def has_ipv6():
    try:
        free_port("::1")
        return True
    except OSError:
        return False


class each:  # pylint: disable=invalid-name
    """each(wires).query("BEGIN"): of one after the other; what they return."""

    def __init__(self, ones):
        self._ones = ones

    def __getattr__(self, name):
        return lambda *words, **more: [getattr(one, name)(*words, **more) for one in self._ones]
