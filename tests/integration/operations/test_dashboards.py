"""The dashboards and alerts that are shipped, against Debian's Prometheus and a live pgweir: every expression has data."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import suppress

import psycopg
import pytest

from waiting import SLOWNESS, free_port, wait_until
from weir import REPOSITORY

GRAFANA = REPOSITORY / "contrib" / "grafana"
RULES = REPOSITORY / "contrib" / "prometheus" / "pgweir-alerts.yml"
DASHBOARDS = sorted(GRAFANA.glob("*.json"))
pytestmark = pytest.mark.weir_only


def expressions(dashboard):
    return [(panel["title"], target["expr"]) for panel in json.loads(dashboard.read_text())["panels"]
            for target in panel.get("targets", [])]


def test_the_dashboards_are_what_the_tables_say(tmp_path):
    script = tmp_path / "make-dashboards"
    shutil.copy(GRAFANA / "make-dashboards", script)
    subprocess.run([script], check=True, timeout=20 * SLOWNESS)
    assert len(DASHBOARDS) == 3
    for dashboard in DASHBOARDS:
        assert (tmp_path / dashboard.name).read_text() == dashboard.read_text(), "run contrib/grafana/make-dashboards"


def test_every_alert_has_an_entry_in_the_runbook():
    runbook = (REPOSITORY / "docs" / "runbook.md").read_text()
    alerts = re.split(r"(?m)^  - alert: ", RULES.read_text())[1:]
    assert len(alerts) > 10
    for alert in alerts:
        name = alert.split("\n", 1)[0]
        url = re.search(r"runbook_url: (\S+)", alert)
        assert url and url[1].endswith(f"docs/runbook.md#{name.lower()}"), name
        assert re.search(rf"(?m)^## {name}$", runbook), name


@pytest.fixture
def prometheus(weir, tmp_path):
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{RULES}']\n"
                      f"scrape_configs: [{{job_name: pgweir, static_configs: [{{targets: ['127.0.0.1:{weir.http_port}']}}]}}]\n")
    process = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
                                f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])

    def ask(expression):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    wait_until(lambda: ask("vector(1)"), 60, "Prometheus to answer")
    yield ask
    process.terminate()
    process.wait(30)


def traffic(weir):
    """A bit of everything that the panels show."""
    with weir.connect() as one, weir.connect() as two:
        one.autocommit = two.autocommit = True
        cursor = one.cursor()
        cursor.execute("SELECT pg_sleep(0.03)")
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS pinned (i int)")
        cursor.execute("DROP TABLE pinned")
        for statement in ("SELECT 1/0", "BEGIN", "SELECT 1", "COMMIT"):
            with suppress(psycopg.Error):
                two.cursor().execute(statement)
    with weir.raw() as wire:
        wire.extended("SELECT $1::int", [1])


@pytest.mark.long
def test_every_panel_has_data(weir, prometheus):
    weir.start(pool_size=1, max_overflow=1, pool_timeout="5s", overflow_linger="0s", pool_pre_ping_idle="0s",
               threshold="20ms", max_lines_per_second=1, budget="on", budget_connections=20, cluster_user="scramuser")
    wanted = {(dashboard.stem, title, expression) for dashboard in DASHBOARDS
              for title, expression in expressions(dashboard)}
    assert len(wanted) > 40
    deadline = time.monotonic() + 180
    while wanted and time.monotonic() < deadline:
        traffic(weir)
        for row in sorted(wanted):
            concrete = re.sub(r"\$(job|instance|database)", ".*", row[2]).replace("$__rate_interval", "15s")
            if prometheus(concrete):
                wanted.discard(row)
    assert not wanted
    wait_until(lambda: prometheus("instance:pgweir_availability_errors:ratio_rate5m"), timeout=90)
