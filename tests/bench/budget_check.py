#!/usr/bin/python3
"""What one look at PostgreSQL's list costs it, under the lock and as a whole (budget = on), with so many connections listed:
processor time of the backend, which other load does not change, and the time that a process waits for the answer.

    tests/bench/budget_check.py [--connections 50 500 2000] [--checks 2000] [--max-connections N]
"""

import argparse
import re
import resource
import statistics
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))

import rawwire  # noqa: E402
from postgres import Postgres  # noqa: E402

SOURCE = REPOSITORY / "src" / "dedicated" / "fleet_sql.c"
USERS = "NOT coalesce((SELECT rolsuper FROM pg_roles WHERE oid = usesysid), false)) AS l OFFSET 0) AS c OFFSET 0) AS t"
CHECK = "SET application_name = 'pgweir budget 90 10 2 1 7 bench.1';EXECUTE pgweir_lock;EXECUTE pgweir_marks; " \
        "EXECUTE pgweir_grant({want}, {flying}, {marked}, 100000, 6)"
CHECKS = {
    "nothing (SELECT 1)": ["SELECT 1"],
    "a look, without the lock": [CHECK.format(want=0, flying=0, marked=0).replace("EXECUTE pgweir_lock;", "")],
    "the same, and who the others are": [CHECK.format(want=0, flying=0, marked=0).replace("EXECUTE pgweir_lock;", "") +
                                         ";EXECUTE pgweir_members"],
    "a check, nothing to take": [CHECK.format(want=0, flying=0, marked=0)],
    "a check, 16 granted, and the next": [CHECK.format(want=16, flying=0, marked=0), CHECK.format(want=0, flying=0, marked=16)],
}


def prepared():
    """What the steward sends first, out of its source."""
    text = SOURCE.read_text(encoding="utf-8")
    macros = {"MESSAGE_OURS": ""}

    def text_of(words):
        return "".join(macros[word] if word else literal for literal, word in re.findall(r'"((?:[^"])*)"|(\w+)', words))

    for name, words in re.findall(r'^#define (\w+)((?:.*\\\n)*.*".*)', re.sub(r"/\*.*?\*/", "", text), re.M):
        macros[name] = text_of(words)
    return text_of(re.search(r"first_sql\[\] = (.*?);\n\n", text, re.S)[1]) + USERS


def ran_s(pid):
    """What the process has run, in seconds of a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def ask(wire, sql):
    wire.send(rawwire.query(sql))
    found = rawwire.errors(wire.read_until("Z"))
    assert not found, found[0].error


def measure(wire, pid, texts, count):
    """(microseconds of a processor, median of microseconds until the answer) of each."""
    for number in range(20):
        ask(wire, texts[number % len(texts)])
    before, taken = ran_s(pid), []
    for number in range(count):
        begin = time.perf_counter()
        ask(wire, texts[number % len(texts)])
        taken.append(time.perf_counter() - begin)
    return (ran_s(pid) - before) / count * 1e6, statistics.median(taken) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, nargs="+", default=[50, 500, 2000])
    parser.add_argument("--checks", type=int, default=2000)
    parser.add_argument("--max-connections", type=int, default=0, help="PostgreSQL's; 0: a tenth more than are opened")
    options = parser.parse_args()
    most = max(options.connections)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    postgres = Postgres(f"max_connections = {options.max_connections or most * 11 // 10 + 20}\n")
    wires = []
    try:
        with rawwire.Wire((postgres.host, postgres.port)) as steward:
            steward.login("scramuser", "postgres", "scram-secret")
            pid = int(steward.value("SELECT pg_backend_pid()"))
            ask(steward, prepared())
            print(f"{'listed':>7}  {'what':36} {'processor':>10} {'answered after':>15}")
            for count in options.connections:
                while len(wires) < count - 1:
                    wires.append(rawwire.Wire((postgres.host, postgres.port)).login("web", "app"))
                for name, texts in CHECKS.items():
                    processor, answered = measure(steward, pid, texts, options.checks)
                    print(f"{count:7}  {name:36} {processor:7.0f} us {answered:12.0f} us", flush=True)
    finally:
        for wire in wires:
            wire.close()
        postgres.destroy()


if __name__ == "__main__":
    main()
