#!/usr/bin/python3
"""What a newer PostgreSQL costs through pgweir, apart from what it costs itself: pgbench, 16 clients on 4 connections, before two
versions, and 4 clients directly, in turn. Each row has medians of transactions per second, what the newer has of the older one's
rate through pgweir and directly, and the first as a part of the second: 1 where pgweir is as good with both. Rates of one run
alone are compared, as other programs may use the machine.

    PGWEIR_BIN=build-lto/pgweir tests/bench/versions.py OLDER_BIN NEWER_BIN [--rounds 5] [--seconds 2] [--only WORD]
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from postgres import Postgres, template_place  # noqa: E402
from weir import Weir  # noqa: E402

CODE = """\
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.last', 'x', false); RETURN NEW; END $$;
CREATE TABLE watched (id int);
CREATE TRIGGER remembers BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION remember();
"""
WORKLOADS = {                       # pgbench's words; or SQL, as a script
    "INSERT, a set_config trigger": "INSERT INTO watched VALUES (1);",
    "SELECT random()": "SELECT random();",
    "select-only, simple": ("-b", "select-only"),
    "select-only, extended": ("-b", "select-only", "-M", "extended"),
    "select-only, prepared": ("-b", "select-only", "-M", "prepared"),
    "TPC-B": ("-b", "tpcb-like"),
}


class Version:
    """A cluster with pgbench's tables, and pgweir in front of it."""

    def __init__(self, bin_directory, directory):
        os.environ["PG_BIN"] = bin_directory
        template_place.cache_clear()
        self.postgres = Postgres("fsync = off\n")
        self.weir = Weir(self.postgres, directory)
        self.weir.users["postgres"] = "unused"
        self.weir.start({"database app": {"upstream": self.weir.upstream()}}, pool_size=4, max_overflow=0)
        self.postgres.query(CODE, dbname="app")
        self.pgbench(self.postgres.port, "-i", "-s", "4", "-q")

    def pgbench(self, port, *words):
        done = subprocess.run(["pgbench", "-n", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", *words, "app"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise SystemExit(done.stdout)
        return done.stdout

    def rate(self, is_direct, words, seconds):
        clients, port = ("4", self.postgres.port) if is_direct else ("16", self.weir.port)
        return float(re.search(r"tps = ([\d.]+)", self.pgbench(port, "-c", clients, "-T", str(seconds), *words))[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bins", nargs=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pgweir-versions-") as place:
        os.chmod(place, 0o755)
        versions = []
        for name in ("older", "newer"):
            (Path(place) / name).mkdir()
            versions.append(Version(options.bins[len(versions)], Path(place) / name))
        for name, words in WORKLOADS.items():
            if options.only not in name:
                continue
            if isinstance(words, str):
                script = Path(place) / "script"
                script.write_text(words, encoding="ascii")
                words = ("-f", str(script))
            rates = {(is_direct, which): [] for is_direct in (False, True) for which in (0, 1)}
            for _ in range(options.rounds):
                for (is_direct, which), seen in rates.items():
                    seen.append(versions[which].rate(is_direct, words, options.seconds))
            older, newer, direct_older, direct_newer = (statistics.median(seen) for seen in rates.values())
            print(f"{name:30} through pgweir {older:7.0f} {newer:7.0f} = {newer / older:.2f}, directly {direct_older:7.0f} {direct_newer:7.0f} = "
                  f"{direct_newer / direct_older:.2f}: {newer / older / (direct_newer / direct_older):.2f}", flush=True)
        for version in versions:
            version.weir.teardown()
            version.postgres.destroy()


if __name__ == "__main__":
    main()
