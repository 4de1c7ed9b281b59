"""The status page: its data, who may see it, and the page itself in a browser."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import re
import subprocess
import time

import pytest

from rawwire import BEGIN_NOW, query
from stall import Stall
from waiting import SLOWNESS, each, wait_until
from weir import REPOSITORY, wait_blockers

pytestmark = pytest.mark.weir_only
EVIL = '<script>alert(1)</script>'
POLICY = "default-src 'none'; script-src 'self'"


def api(weir, name, **headers):
    return weir.http(f"/api/v1/{name}", headers=headers) if headers else weir.http(f"/api/v1/{name}")


def test_status_says_how_it_is(weir):
    with weir.start(pool_size=3, max_overflow=2).raw() as wire:
        wire.query("SELECT 1")
        weir.settle()
        status = wait_until(lambda: found if (found := json.loads(api(weir, "status").text))["clients"] else None)
    assert status["state"] == "running" and status["alive"] is True and status["not_ready"] == []
    assert status["servers_limit"] == 5 and status["servers"] == weir.postgres.count() and status["requests_total"] >= 1
    assert status["start_time"] <= status["now"] and status["last_reload_ok"] is True


def test_the_tables_are_those_of_the_console(weir):
    with weir.start(pool_size=3, max_overflow=2).raw() as wire:
        wire.query("SELECT 1")
    pools = json.loads(api(weir, "pools").text)
    assert [(row["database"], row["user"], row["pool_size"], row["max_overflow"]) for row in pools] == [("app", "web", 3, 2)]
    backends = json.loads(api(weir, "backends").text)
    assert backends[0]["connects"] >= 1
    for name in ("holders", "queries", "slow", "events", "workers", "budget"):
        assert isinstance(json.loads(api(weir, name).text), list)


def test_a_budget_is_shown_as_the_console_shows_it(weir):
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
    # PostgreSQL may list the process of a test before for a moment.
    row, = wait_until(lambda: [row for row in json.loads(api(weir, "budget").text)
                               if (row["state"], row["budget"], row["members"], row["share"]) == ("joined", 20, 1, None)])
    assert [list(row)] == [list(row) for row in weir.console("SHOW BUDGET")]


def test_the_page_has_each_worker_and_keeps_what_it_has_shown_of_one_that_hangs(weir):
    weir.start(workers=3, sections={"database two": {"upstream": weir.upstream(dbname="app2")}})
    wires = [weir.raw(database=database) for database in ("app", "app2", "two", "app")]
    each(wires).query("SELECT 1")
    rows = wait_until(lambda: (found := json.loads(api(weir, "workers").text)) and sum(row["clients"] for row in found) == 4 and found)
    assert [(row["worker"], row["state"]) for row in rows] == [(0, "up"), (1, "up"), (2, "up")]
    homes = {row["worker"] for row in json.loads(api(weir, "pools").text)}
    assert len(homes) > 1 and homes == {row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")}
    with Stall(weir.process.pid, f"pgweir-{max(homes)}"):
        weir.wait_log(f"worker {max(homes)} does not answer")
        assert wait_until(lambda: found if (found := api(weir, "pools")).status == 200 else None).text == "null"
        assert [row["state"] for row in json.loads(api(weir, "workers").text)].count("silent") == 1
    weir.wait_log("answers again")


def test_the_page_knows_who_blocks_whom(weir):
    """As SHOW HOLDERS does: PostgreSQL is asked first."""
    weir.start(max_server_connections=20)
    with weir.raw(parameters={"application_name": "root"}) as root, weir.raw(parameters={"application_name": "one"}) as one, \
            weir.raw(parameters={"application_name": "two"}) as two:
        root.query("BEGIN; SELECT pg_advisory_xact_lock(1)")
        for number, wire in enumerate((one, two), 1):
            wire.send(query("SELECT pg_advisory_xact_lock(1)"))
            wait_until(lambda n=number: len(weir.postgres.backends(wait_event_type="Lock")) == n)
        rows = {row["application_name"]: row for row in wait_blockers(lambda: json.loads(api(weir, "holders").text))}
        who = f"client {rows['root']['client_id']} (PID {rows['root']['server_pid']})"
        assert rows["root"]["blocks"] == 2 and rows["root"]["blocked_by"] == ""
        assert all(who in rows[name]["blocked_by"] and rows[name]["root"] == who for name in ("one", "two")), rows
        root.query("COMMIT")
        each((one, two)).read_until("Z")


def test_the_page_does_not_wait_long_for_who_blocks_whom(weir, tap):
    """PostgreSQL takes no more connections: the rows come all the same."""
    with weir.start(upstream=f"host={tap.host} port={tap.port}").raw() as wire:
        wire.query("SELECT 1")
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        tap.stall(new=True)
        row, = json.loads(api(weir, "holders").text)
        assert row["state"] == "running" and row["blocked_by"] is None
        tap.unstall()
        weir.console(f"KILL_CLIENT {row['client_id']}")
        wait_until(lambda: not weir.postgres.backends(wait_event="PgSleep"))


def test_all_pools_are_sent_so_that_the_filter_finds_them(weir):
    weir.start({"database *": {"upstream": weir.upstream(dbname="app")}}, max_server_connections=8)
    for i in range(101):
        weir.raw(database=f"shop{i}").close()
    assert len(json.loads(api(weir, "pools").text)) == 101


def test_history_grows_without_anybody_who_asks(weir):
    with weir.start().raw() as wire:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            wire.query("SELECT 1")
            samples = json.loads(api(weir, "history").text)
            if any(sample["qps"] > 0 for sample in samples) and len(samples) >= 2:
                break
        else:
            pytest.fail("no sample has a query")
    times = [sample["t"] for sample in samples]
    assert times == sorted(times) and len(set(times)) == len(times)
    assert len(json.loads(weir.http("/api/v1/history?seconds=1").text)) == 1
    busy = max(samples, key=lambda sample: sample["qps"])
    assert 0 < busy["p50"] <= busy["p95"] <= busy["p99"] and sum(busy["phases"].values()) > 0


def test_nothing_can_be_changed_and_nothing_comes_from_elsewhere(weir):
    weir.start()
    for path in ("/", "/status.js", "/status.css", "/api/v1/status"):
        answer = weir.http(path)
        assert answer.status == 200 and POLICY in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Cache-Control"] == "no-store"
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "") and "https://" not in answer.text
    assert sum(len(weir.http(path).text) for path in ("/", "/status.js", "/status.css")) < 40_000


def test_a_name_from_elsewhere_is_refused(weir):
    """DNS rebinding: a page of evil.example, whose name resolves to 127.0.0.1."""
    weir.start()
    assert api(weir, "status", Host="evil.example").status == 403
    assert api(weir, "status", Host="localhost:1").status == 200
    assert weir.http("/metrics", headers={"Host": "pgweir.svc"}).status == 200


def test_a_password_opens_it(weir, tmp_path):
    users = tmp_path / "pages.txt"
    users.write_text('"ops" "sesame"\n')
    users.chmod(0o600)
    weir.start(auth_file=users)
    answer = weir.http("/")
    assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Basic ")
    good = "Basic " + base64.b64encode(b"ops:sesame").decode()
    assert weir.http("/", headers={"Authorization": good}).status == 200
    assert api(weir, "queries", Authorization=good).status == 200
    assert api(weir, "queries", Authorization="Basic " + base64.b64encode(b"ops:sesam").decode()).status == 401
    assert weir.http("/metrics").status == 200


def test_guessing_a_password_is_slow_and_disturbs_nobody(weir, tmp_path):
    """The secret takes a tenth of a second to compare; a flood of wrong passwords is answered without that."""
    salt = b"0123456789abcdef"
    keys = hashlib.pbkdf2_hmac("sha256", b"sesame", salt, 200_000)
    stored = hashlib.sha256(hmac.digest(keys, b"Client Key", "sha256")).digest()
    server = hmac.digest(keys, b"Server Key", "sha256")
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    users = tmp_path / "pages.txt"
    users.write_text(f'"ops" "SCRAM-SHA-256$200000:{text[0]}${text[1]}:{text[2]}"\n')
    users.chmod(0o600)
    weir.start(auth_file=users)
    basic = ["Basic " + base64.b64encode(b"ops:" + word).decode() for word in (b"sesame", b"sesamf", b"open")]
    assert api(weir, "status", Authorization=basic[0]).status == 200
    assert api(weir, "status", Authorization=basic[1]).status == 401
    for tries in range(10_000):
        refused = api(weir, "status", Authorization=basic[2])
        if refused.status == 401:
            break
        assert refused.status == 429 and int(refused.headers["Retry-After"]) >= 1
        assert api(weir, "status", Authorization=basic[0]).status == 200
        assert weir.http("/healthz").status == 200
    assert tries >= 1, "a second wrong password is not looked at"


def test_the_functions_that_draw():
    script = """
const assert = require("assert"), page = require("./src/modules/status_page/status.js");
assert.equal(page.duration(0.5), "500 µs"); assert.equal(page.duration(152.3), "152 ms"); assert.equal(page.duration(61000), "1 min 1 s");
assert.equal(page.short(12345), "12.3 k");
const chart = id => page.CHARTS.find(chart => chart.id === id);
assert.deepEqual([50000, 0].map(ms => page.tick(ms, chart("phases"))), ["50.0 s", "0"]); assert.equal(page.tick(20000, chart("qps")), "20.0 k");
assert.deepEqual([0, 0.3, 7, 100, 101].map(page.ceiling), [1, 0.5, 10, 100, 200]);
const series = [{ of: s => s.a }, { of: s => s.b }], samples = [{ a: 1, b: 2 }, { a: 4, b: 4 }];
assert.deepEqual(page.layout(samples, series), { top: 5, lines: [[[0, 0.2], [1, 0.8]], [[0, 0.4], [1, 0.8]]] });
assert.deepEqual(page.layout(samples, series, { stacked: true }).lines[1], [[0, 0.3], [1, 0.8]]);
assert.equal(page.layout(samples, series, { goal: 100 }).top, 100);
const status = { waiting: 2, oldest_wait_ms: 6000, clients: 1, clients_limit: 10, servers: 3, servers_lent: 1, servers_limit: 7 };
const tiles = Object.fromEntries(page.tiles(status, [{ p95: 120, p99: 130, qps: 10, errors: 0, failed: 0, lag_p99: 1, refused: 3 }]).map(t => [t.id, t]));
const slowTiles = Object.fromEntries(page.tiles(status, [{ p95: 30000, p99: 130, qps: 10, errors: 0, failed: 0, lag_p99: 1 }]).map(t => [t.id, t]));
assert.equal(tiles.p95.level, "bad"); assert.equal(tiles.p95.value, "120 ms"); assert.equal(slowTiles.p95.value, "> 30.0 s"); assert.equal(tiles.waiting.level, "warn"); assert.equal(tiles.oldest.level, "bad");
assert.equal(page.tiles(status, []).length, 11);
assert.equal(tiles.servers.name, "servers in use of 7"); assert.equal(tiles.refused.value, "3"); assert.equal(tiles.refused.level, "warn");
assert.equal(page.tiles(status, [{ p95: 0, p99: 0, lag_p99: 0 }]).find(t => t.id === "p95").value, "–");
assert.equal(page.duration(0), "–"); assert.equal(page.duration(null), "–");
const rows = [{ a: 2, b: "y10" }, { a: null, b: "y9" }, { a: 10, b: null }];
assert.deepEqual([["a", false], ["a", true], ["b", false]].map(([name, down]) => page.sorted(rows, { name, down }).map(row => row.a)),
	[[2, 10, null], [10, 2, null], [null, 2, 10]]);
assert.equal(page.sorted(rows), rows);
assert.deepEqual(["oldest_wait_ms", "state_ms", "max_overflow"].map(page.heading), ["oldest wait", "for", "max overflow"]);
assert.deepEqual([["a_ms", 3271.75], ["a_ms", 28717], ["a_ms", 0], ["server_pid", 10110], ["calls", 10110], ["query", null]]
	.map(([name, value]) => page.shown(name, value)), ["3.3 s", "28.7 s", "–", "10110", "10,110", ""]);
assert(page.matches({ database: "orders_042", user: "web" }, "WEB 042") && !page.matches({ database: "orders_042" }, "043"));
const well = { alive: true, state: "running", not_ready: [] }, down = [{ backend: "db1:5432", state: "down" }, { backend: "db2:5432", state: "up" }];
assert.deepEqual(page.verdict(well, [], 0), { word: "running", level: "", trouble: [] });
assert.deepEqual(page.verdict(well, [], 0.6), { word: "running, requests fail", level: "warn", trouble: [] });
assert.deepEqual(page.verdict(well, down, 0), { word: "running", level: "warn", trouble: ["PostgreSQL at db1:5432 is down"] });
assert.deepEqual(page.verdict({ ...well, not_ready: ["no"] }, [], 0), { word: "not ready", level: "bad", trouble: ["no"] });
assert.equal(page.verdict({ ...well, alive: false }, [], 0).word, "stuck");
const full = { database: "app", user: "web", waiting: 3, oldest_wait_ms: 3000, active: 7, pool_size: 5, max_overflow: 2 };
assert.deepEqual(page.verdict({ ...well, oldest_wait_ms: 3000 }, [], 0, [full, { ...full, waiting: 0, oldest_wait_ms: 0 }]),
	{ word: "running, clients wait", level: "warn", trouble: ["pool app/web: 3 waiting, 7 of 7 servers in use"] });
const waits = ["Client 7 has waited", "It is number 1 of 3 in the queue.", "The cause: x", "What helps: end client 5"].map(explanation => ({ explanation }));
assert.deepEqual(page.verdict({ ...well, oldest_wait_ms: 3000 }, [], 0, [full], waits).trouble,
	["pool app/web: 3 waiting, 7 of 7 servers in use", "Client 7 has waited", "The cause: x", "What helps: end client 5"]);
assert.equal(page.verdict({ ...well, oldest_wait_ms: 20 }, [], 0, [{ ...full, oldest_wait_ms: 20 }]).level, "");
"""
    subprocess.run(["node", "-e", script], check=True, cwd=REPOSITORY, timeout=30 * SLOWNESS)


def luminance(color):
    if len(color) == 3:
        color = "".join(c * 2 for c in color)
    parts = [int(color[i:i + 2], 16) / 255 for i in (0, 2, 4)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_all_text_and_all_lines_can_be_seen():
    """4.5 : 1 for text, 3 : 1 for the lines of charts (WCAG 2, AA), in the light and in the dark; lines differ in their dashes, too."""
    css = (REPOSITORY / "src/modules/status_page/status.css").read_text()
    roots = re.findall(r":root \{(.*?)\}", css, re.S)
    assert len(roots) == 2
    lines = [(f"c{number}", back, 3) for number in range(6) for back in ("card", "back")]
    text = [(*pair.split(" on "), 4.5) for pair in ("ink on back, ink on card, dim on back, dim on card, warn on card, bad on card, bad on back, "
                                                    "on on good, on on warn, c0 on back").split(", ")]
    for root in roots:
        colors = {name: luminance(color) for name, color in re.findall(r"--(\w+): #(\w+);", root)}
        for front, back, least in [*lines, *text, ("on", "bad", 4.5)]:
            light, dark = max(colors[front], colors[back]), min(colors[front], colors[back])
            assert (light + 0.05) / (dark + 0.05) >= least, f"{front} on {back}"
    dashes = re.findall(r"\.s\d \{ stroke-dasharray: ([\d ]+); \}", css)
    assert len(dashes) == len(set(dashes)) == 3


def test_pools_with_a_line_come_first_and_names_in_order(weir):
    weir.start({"database *": {"upstream": weir.upstream(dbname="app")}}, pool_size=1, max_overflow=0)
    names = ["n_3", "n_1", "n_2", "n_0"]
    for name in names:
        with weir.raw(database=name) as wire:
            wire.query("SELECT 1")
    with weir.raw(database="n_2") as holder, weir.raw(database="n_2") as waiter:
        holder.ask(query(BEGIN_NOW))
        waiter.send(query("SELECT 1"))
        weir.wait_waiting(1, database="n_2")
        assert [row["database"] for row in json.loads(api(weir, "pools").text)] == ["n_2", "n_0", "n_1", "n_3"]
        holder.ask(query("COMMIT"))
        waiter.read_until("Z")
    for command in ("SHOW POOLS", "SHOW POOLS_EXTENDED", "SHOW DATABASES", "SHOW STATS", "SHOW STATS_TOTALS"):
        rows = [row.get("database") if "name" not in row else row["name"] for row in weir.console(command)]
        assert [name for name in rows if name.startswith("n_")] == sorted(names), command


def in_a_browser(weir, *arguments):
    """What status_page.mjs found."""
    done = subprocess.run(["node", REPOSITORY / "tests/integration/operations/status_page.mjs", f"http://127.0.0.1:{weir.http_port}/",
                           *map(str, arguments)], capture_output=True, text=True, check=False, timeout=80 * SLOWNESS,
                          env={**os.environ, "CHROMIUM": shutil.which("chromium-headless-shell")})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.needs("chromium-headless-shell")
def test_the_page_in_a_browser(weir, tmp_path):
    """It draws, asks for nothing elsewhere, and shows a database named <script> as that name."""
    with weir.start(sections={"database *": {"upstream": weir.upstream(dbname="app")}}).raw(database=EVIL) as wire:
        wire.query("SELECT 1")
    found = in_a_browser(weir, "look", tmp_path / "page.png")
    assert found["problems"] == [] and not found["trouble"]
    assert found["state"] == "running" and found["tiles"] == 11 and found["charts"] == 6
    assert EVIL in found["pools"] and found["scripts"] == 1
    assert (tmp_path / "page.png").stat().st_size > 10_000


@pytest.mark.needs("chromium-headless-shell")
def test_nothing_of_the_page_is_off_screen_and_its_tables_can_be_sorted(weir):
    """At 1400, 800 and 390 px, with a long name and a long query; on a phone what waits, states and queries come first."""
    weir.start({"database *": {"upstream": weir.upstream(dbname="app")}}, threshold="0ms")
    for number in range(12):
        with weir.raw(database=f"d{number}_" + 55 * "x") as wire:
            for _ in range(number):
                wire.query(f"SELECT 1 AS number_{number}_" + 30 * "long_name_")
    for width, found in in_a_browser(weir, "widths", 1400, 800, 390).items():
        assert found["overflow"] <= 0 and found["problems"] == [], (width, found)
        calls = found["calls"]
        assert calls["descending"] == sorted(calls["descending"], key=int, reverse=True) and calls["descending"][0] == "11", (width, calls)
        assert calls["ascending"] == calls["descending"][::-1] and calls["focus"] == "calls", (width, calls)
        assert width != "390" or (found["outside"] == [] and found["first"] == "query"), found


@pytest.mark.needs("chromium-headless-shell")
def test_a_process_that_hangs_is_said_and_asked_again(weir):
    """Its numbers turn grey, with their age; when it answers again all is as before. No answer at all ends the request, too."""
    weir.start()
    for how in ("hangs", "refuses"):
        found = in_a_browser(weir, how)
        assert found["before"] == ["running", "", False], found
        state, age, is_old = found["during"]
        assert state == "no answer" and re.fullmatch(r"numbers of \d+(\.\d)? m?s ago", age) and is_old, found
        assert "pgweir does not answer" in found["trouble"] and found["badge"] == "badge bad", found
        assert found["after"] == ["running", "", False], found


@pytest.mark.needs("chromium-headless-shell")
def test_a_refused_reload_and_a_forgotten_transaction_catch_the_eye(weir):
    """The banner names the client that keeps the servers, as EXPLAIN POOL does."""
    weir.start(pool_size=1, max_overflow=0, pool_timeout="10min")     # a browser takes its time
    with weir.raw() as forgotten, weir.raw() as waiter:
        forgotten.ask(query(BEGIN_NOW))
        waiter.send(query("SELECT 1"))
        weir.wait_waiting(1)
        weir.reload(pool_size=-1, wait=False)
        holder, = weir.console("SHOW HOLDERS")
        said = wait_until(lambda: found if "What helps" in str(found := weir.console("EXPLAIN POOL")) and
                          weir.pool()["maxwait"] >= 1 else None)
        assert json.loads(api(weir, "waits").text)[2:4] == said[2:4]
        found = in_a_browser(weir, "alarm")
        assert "REFUSED" in found["reload"] and found["alarm"] == found["bad"], found
        assert f"What helps: end client {holder['client_id']}'s transaction" in found["trouble"], found
        forgotten.ask(query("COMMIT"))
        waiter.read_until("Z")
    assert weir.console("EXPLAIN POOL") == []
