"""A thread of a process that hangs: ptrace(2)."""

import ctypes
import os
from pathlib import Path

import pytest

from waiting import wait_until

EPOLL_WAIT = {"232", "281", "441", "22"}    # epoll_wait, epoll_pwait, epoll_pwait2; on arm64 epoll_pwait


class Stall:
    """Stops one thread of a process, as a hang would: ptrace(2). In a with statement; it goes on at the end."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, pid, name):
        tasks = [int(task) for task in os.listdir(f"/proc/{pid}/task")]
        self.tid, = [task for task in tasks if Path(f"/proc/{pid}/task/{task}/comm").read_text().strip() == name]

    def _trace(self, request):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        return libc.ptrace(request, self.tid, None, None)

    def _stops_asleep(self):
        """Elsewhere it may keep others from going on, as where it wakes up behind a halt: a loop that hangs does not."""
        if self._trace(self.SEIZE) < 0:
            pytest.skip("ptrace(2) is not allowed here")
        assert self._trace(self.INTERRUPT) == 0
        os.waitpid(self.tid, self.WALL)     # it has stopped
        if Path(f"/proc/{self.tid}/syscall").read_text().split()[0] in EPOLL_WAIT:
            return True
        self._trace(self.DETACH)
        return False

    def __enter__(self):
        wait_until(self._stops_asleep)
        return self

    def wait_end(self):
        """Whoever traces a thread must take note of its end, or the process seems to go on."""
        os.waitpid(self.tid, self.WALL)

    def __exit__(self, *_):
        self._trace(self.DETACH)
