"""Programs and libraries that tests need, each compiled once for all of pytest's workers."""

import fcntl
import os
import subprocess
from pathlib import Path

from waiting import SLOWNESS

# What Go has compiled once it keeps.
GO = {"HOME": str(Path.home()), **os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}


def check(words, **more):
    done = subprocess.run(words, capture_output=True, text=True, timeout=100 * SLOWNESS, check=False, **more)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def compiled(tmp_path_factory, name, words):
    """The folder with what is called so. words(folder): what makes it there."""
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    out = root / f"compiled-{name}"
    with open(root / f"compiled-{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            made = root / f"compiled-{name}.part"
            made.mkdir(exist_ok=True)
            check(words(made), env=GO)
            made.rename(out)
    return out


def library(tmp_path_factory, source, *flags):
    """A shared one, of one file."""
    name = f"{source.stem}.so"
    return compiled(tmp_path_factory, name, lambda out: ["cc", "-shared", "-fPIC", *flags, "-o", out / name, source, "-ldl"]) / name
