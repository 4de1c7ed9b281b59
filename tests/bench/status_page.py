#!/usr/bin/python3
"""What the status page costs with many pools: the browser's time for a refresh (scripts, styles, layout), the bytes that it
fetches, and pgweir's own CPU time. Each BINARY in turn, so that an older one can be compared in one run.

    tests/bench/status_page.py NAME=BINARY ... [--pools 200] [--seconds 20] [--rounds 3]
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
INTEGRATION = REPOSITORY / "tests" / "integration"
sys.path.insert(0, str(INTEGRATION))

from many_pools import cpu  # noqa: E402
from postgres import Postgres  # noqa: E402
from weir import Weir  # noqa: E402

# Within tests/integration, whose node_modules has playwright-core.
PAGE = """
import { chromium } from "playwright-core";
const [url, seconds] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
let bytes = 0, statuses = 0;
page.on("response", async response => {
	statuses += response.url().endsWith("/status");
	try { bytes += (await response.body()).length; } catch { /* the page is gone */ }
});
await page.goto(url);
await page.click("[data-testid=table-pools] > button");         // all of them, not only the first
await page.waitForSelector("[data-testid=table-pools] tr:nth-child(100)", { state: "attached" });
const cdp = await page.context().newCDPSession(page);
await cdp.send("Performance.enable");
const look = async () => Object.fromEntries((await cdp.send("Performance.getMetrics")).metrics.map(m => [m.name, m.value]));
const before = await look(), bytesBefore = bytes, statusesBefore = statuses;
await page.waitForTimeout(1000 * Number(seconds));
const after = await look(), rounds = statuses - statusesBefore;
const per = name => (after[name] - before[name]) / rounds * 1000;
console.log(JSON.stringify({ rounds, task_ms: per("TaskDuration"), script_ms: per("ScriptDuration"), layout_ms: per("LayoutDuration"),
	style_ms: per("RecalcStyleDuration"), kB: (bytes - bytesBefore) / rounds / 1000 }));
await browser.close();
"""


def ask_in_turn(wires, end, while_there):
    """So that there is something new to show at each refresh."""
    for wire in itertools.cycle(wires):
        if time.monotonic() > end or not while_there.exists():
            return
        wire.query("SELECT 1")
        time.sleep(0.005)


def measure(binary, postgres, pools, seconds):
    os.environ["PGWEIR_BIN"] = binary
    with tempfile.TemporaryDirectory() as directory:
        weir = Weir(postgres, Path(directory))
        sections = {f"database db{number:03}": {"upstream": weir.upstream(dbname="app")} for number in range(pools)}
        weir.start(sections, pool_size=2, max_server_connections=20)
        try:
            wires = [weir.raw("web", f"db{number:03}") for number in range(pools)]
            for wire in wires:
                wire.query("SELECT 1")
            script = INTEGRATION / f"bench_{os.getpid()}.mjs"
            script.write_text(PAGE, encoding="utf-8")
            try:
                busy = weir.in_background(ask_in_turn, wires, time.monotonic() + seconds + 60, script)
                before = cpu(weir.process.pid)
                done = subprocess.run(["node", script, f"http://{weir.host}:{weir.http_port}/", str(seconds)], check=True, stdout=subprocess.PIPE,
                                      text=True, env={**os.environ, "CHROMIUM": shutil.which("chromium-headless-shell")})
            finally:
                script.unlink()
                busy.result()
            found = json.loads(done.stdout)
            return {**found, "pgweir_ms": (cpu(weir.process.pid) - before) / found["rounds"] * 1000}
        finally:
            weir.teardown()


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("binaries", nargs="+", metavar="NAME=BINARY")
    words.add_argument("--pools", type=int, default=200)
    words.add_argument("--seconds", type=int, default=20)
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    postgres = Postgres()
    try:
        for _ in range(given.rounds):
            for word in given.binaries:
                name, _, binary = word.partition("=")
                print(name, {key: round(value, 1) for key, value in measure(binary, postgres, given.pools, given.seconds).items()}, flush=True)
    finally:
        postgres.destroy()


if __name__ == "__main__":
    main()
