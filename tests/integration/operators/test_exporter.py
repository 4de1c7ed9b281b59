"""prometheus-community's pgbouncer_exporter scrapes the console. What it makes of each column is what its source says: labels
are text or integers, values are numbers, a value of another kind is an error of the scrape."""

import contextlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from imagetree import connect, rows
from programs import compiled
from waiting import SLOWNESS, free_port, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

INI = """\
[databases]
app = host=127.0.0.1 port={postgres} pool_size=7
other = host=127.0.0.1 port={postgres} dbname=app user=reporting password=reporting-secret
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = /etc/pgbouncer/userlist.txt
stats_users = stats
pool_mode = transaction
max_user_connections = 9
ignore_startup_parameters = extra_float_digits
"""
LABELS, NUMBERS = {
    "SHOW databases;": {"name", "host", "port", "database", "force_user", "pool_mode"},
    "SHOW stats_totals;": {"database"},
    "SHOW pools;": {"database", "user"},
}, {
    "SHOW databases;": {"pool_size", "reserve_pool_size", "max_connections", "current_connections", "paused", "disabled"},
    "SHOW stats_totals;": {"query_count", "query_time", "bytes_received", "bytes_sent", "wait_time", "xact_count", "xact_time",
                           "client_parse_count", "server_parse_count", "bind_count", "server_assignment_count"},
    "SHOW pools;": {"cl_active", "cl_active_cancel_req", "cl_waiting", "cl_waiting_cancel_req", "sv_active", "sv_active_cancel",
                    "sv_being_canceled", "sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait"},
}
LISTS = {"databases", "users", "pools", "free_clients", "used_clients", "login_clients", "free_servers", "used_servers",
         "dns_names", "dns_zones", "dns_queries"}


@pytest.fixture(scope="module")
def exporter(tmp_path_factory):
    program = compiled(tmp_path_factory, "exporter", lambda out: ["go", "build", "-o", out, Path(__file__).parent / "exporter.go"]) / "exporter"

    def scrape(port):
        """{statement: [{column: (type, text)}]}"""
        done = subprocess.run([program, f"postgres://stats:stats-secret@localhost:{port}/pgbouncer?sslmode=disable"],
                              capture_output=True, text=True, timeout=30 * SLOWNESS, check=False)
        assert done.returncode == 0, done.stderr
        return {statement: [dict(zip(answer["Columns"], (value.split(":", 1) for value in row))) for row in answer["Rows"]]
                for statement, answer in json.loads(done.stdout).items()}
    return scrape


@pytest.fixture
def pooler(image, postgres):
    container = image.container(100, 101)
    port = free_port()
    container.mount_text("/etc/pgbouncer/pgbouncer.ini", INI.format(port=port, postgres=postgres.port))
    container.mount_text("/etc/pgbouncer/userlist.txt", '"web" "web-secret"\n"stats" "stats-secret"\n')
    container.start("/usr/bin/pgbouncer", "/etc/pgbouncer/pgbouncer.ini")
    container.port = port
    return container


def number(value):
    """As the exporter converts it: NULL is NaN and fine, text is parsed, a boolean is an error."""
    kind, text = value
    assert kind in ("int64", "float64", "bytes", "string", "nil"), value
    return float(text or "nan")


def test_a_scrape_finds_every_label_and_value(pooler, exporter):
    with contextlib.closing(connect(port=pooler.port, user="web", password="web-secret", dbname="app",
                                    application_name="shop")) as client, \
            contextlib.closing(connect(port=pooler.port, user="web", password="web-secret", dbname="other")) as other:
        for _ in range(3):
            rows(client, "SELECT 1")
        rows(other, "SELECT current_user")
        found = exporter(pooler.port)
    (version,) = found["SHOW VERSION;"]
    assert set(version) == {"version"} and re.match(r"PgBouncer 1\.\d+", version["version"][1])
    lists = found["SHOW LISTS;"]
    assert all(list(row) == ["list", "items"] for row in lists) and LISTS <= {row["list"][1] for row in lists}
    assert all(number(row["items"]) >= 0 for row in lists)
    config = found["SHOW CONFIG;"]
    assert all(list(row) == ["key", "value", "default", "changeable"] and row["changeable"][0] != "nil" for row in config)
    values = {row["key"][1]: row["value"] for row in config}
    assert (number(values["max_client_conn"]), number(values["max_user_connections"])) == (100, 9)
    for statement, names in LABELS.items():
        for row in found[statement]:
            assert names | NUMBERS[statement] <= set(row), statement
            assert all(row[name][0] in ("int64", "float64", "string", "nil") for name in names), row
            for name in NUMBERS[statement]:
                number(row[name])
    clients = [tuple(row[name][1] for name in ("database", "user", "application_name", "state")) for row in found["SHOW CLIENTS;"]]
    assert {found[:3] for found in clients} >= {("app", "web", "shop"), ("pgbouncer", "stats", "")}
    assert {state for *_, state in clients} <= {"active", "idle", "waiting"}


def at_rest(found):
    """Whether no server is opened or asked: what the code of a database could do is asked for behind the first transaction."""
    return all(number(row[name]) == 0 for row in found["SHOW pools;"] for name in ("sv_login", "sv_tested"))


def test_the_numbers_are_those_of_what_has_been(pooler, exporter):
    with contextlib.closing(connect(port=pooler.port, user="web", password="web-secret", dbname="app")) as client, \
            contextlib.closing(connect(port=pooler.port, user="web", password="web-secret", dbname="other")) as other:
        for _ in range(3):
            rows(client, "SELECT 1")
            wait_until(lambda: at_rest(exporter(pooler.port)), what="the servers to be left alone")
        rows(other, "BEGIN NOT DEFERRABLE")         # takes a server at once
        found = wait_until(lambda: answers if at_rest(answers := exporter(pooler.port)) else None)

        def row_of(statement, **words):
            return next(row for row in found[statement] if all(row[name][1] == text for name, text in words.items()))
        app, forced = row_of("SHOW databases;", name="app"), row_of("SHOW databases;", name="other")
        assert (number(app["pool_size"]), app["database"], app["host"], number(app["paused"])) == (7, ["string", "app"],
                                                                                                 ["string", "127.0.0.1"], 0)
        assert (forced["force_user"][1], forced["database"][1]) == ("reporting", "app") and app["force_user"][0] == "nil"
        assert app["pool_mode"][0] in ("nil", "string") and app["port"][0] == "int64"
        # Two, if a query came while the first was being asked about the code of the database.
        assert number(app["current_connections"]) in (1, 2)
        totals = row_of("SHOW stats_totals;", database="app")
        assert number(totals["query_count"]) == number(totals["xact_count"]) == 3
        assert number(totals["server_assignment_count"]) in (3, 4)      # pgweir counts the first client's login, too
        assert min(number(totals[name]) for name in ("query_time", "bytes_received", "bytes_sent")) > 0
        pool = row_of("SHOW pools;", database="other")
        assert (number(pool["sv_active"]), number(pool["cl_active"]), number(pool["maxwait"])) == (1, 1, 0)
        lists = {row["list"][1]: number(row["items"]) for row in found["SHOW LISTS;"]}
        assert lists["used_clients"] == 3 and lists["used_servers"] >= 1
