"""The console as tools ask it that were written for PgBouncer: their columns, by position, with their types."""

import datetime
import re

import psycopg
import pytest

from weir import WORKERS

pytestmark = pytest.mark.weir_only

SOCKET = ('type text, "user" text, database text, replication text, state text, addr text, port int, local_addr text, '
          "local_port int, connect_time timestamptz, request_time timestamptz, wait int, wait_us int, close_needed int, "
          "ptr text, link text, remote_pid int, tls text, application_name text, prepared_statements int, id int")
COUNTS = ("{0}server_assignment_count int, {0}xact_count bigint, {0}query_count bigint, {0}rec bigint, {0}sent bigint, "
          "{0}xact_time bigint, {0}query_time bigint, {0}wait_time bigint, {0}client_parse_count int, "
          "{0}server_parse_count int, {0}bind_count int")

WORKER = ", worker int" if WORKERS > 1 else ""

# What pgbouncer_fdw 1.4 tells dblink to expect of a PgBouncer from 1.24 on. One column more or less is an error there,
# so it can't read what ends with the worker.
FDW = {
    "clients": SOCKET + WORKER,
    "servers": SOCKET + WORKER,
    "sockets": SOCKET + ", recv_pos int, pkt_pos int, pkt_remain int, send_pos int, send_remain int, pkt_avail int, "
                        "send_avail int" + WORKER,
    "config": 'key text, value text, "default" text, changeable boolean',
    "databases": "name text, host text, port int, database text, force_user text, pool_size int, min_pool_size int, "
                 "reserve_pool_size int, server_lifetime int, pool_mode text, load_balance_hosts int, "
                 "max_connections int, current_connections int, max_client_connections int, "
                 "current_client_connections int, paused int, disabled int",
    "dns_hosts": "hostname text, ttl bigint, addrs text",
    "dns_zones": "zonename text, serial text, count int",
    "lists": "list text, items int",
    "pools": 'database text, "user" text, cl_active int, cl_waiting int, cl_active_cancel_req int, '
             "cl_waiting_cancel_req int, sv_active int, sv_active_cancel int, sv_being_canceled int, sv_idle int, "
             "sv_used int, sv_tested int, sv_login int, maxwait int, maxwait_us int, pool_mode text, "
             "load_balance_hosts int",
    "stats": "database text, " + COUNTS.format("total_") + ", " + COUNTS.format("avg_"),
    "users": "name text, pool_size text, reserve_pool_size text, pool_mode text, max_user_connections int, "
             "current_connections int, max_user_client_connections int, current_client_connections int",
}


@pytest.fixture
def dblink(weir):
    """Asks the console through PostgreSQL's dblink; somebody is at work meanwhile, and somebody idle. pgbouncer_fdw
    counts the columns of 1.25."""
    weir.start(compat="pgbouncer_1_25")
    weir.postgres.query("CREATE EXTENSION IF NOT EXISTS dblink")
    weir.raw()
    weir.raw(parameters={"application_name": "at work"}).query("BEGIN")
    return lambda what, expected, wanted="*": weir.postgres.query(
        f"SELECT {wanted} FROM dblink(%s, 'show {what}') AS x({expected})", [weir.dsn("stats", "pgbouncer")])


@pytest.mark.parametrize("what", FDW)
def test_pgbouncer_fdw_reads_every_row(dblink, what):
    assert dblink(what, FDW[what]) or what.startswith("dns")


def test_pgbouncer_fdw_understands_the_version(dblink):
    parts = ", ".join(rf"split_part(substring(version from '\d.+'), '.', {part})::int" for part in (1, 2, 3))
    (row,) = dblink("version", "version text", parts)
    assert row[:2] == (1, 25)


# prometheus-community's pgbouncer_exporter: by name; labels are text or integers, values are numbers, and SHOW LISTS and
# SHOW CONFIG are keys and values.
EXPORTER = {
    "DATABASES": (["name", "host", "port", "database", "force_user", "pool_mode"],
                  ["pool_size", "min_pool_size", "reserve_pool_size", "max_connections", "current_connections", "paused",
                   "disabled"]),
    "STATS_TOTALS": (["database"],
                     ["bytes_received", "bytes_sent", "query_count", "query_time", "xact_count", "xact_time", "wait_time",
                      "server_assignment_count", "client_parse_count", "server_parse_count", "bind_count"]),
    "POOLS": (["database", "user"],
              ["cl_active", "cl_active_cancel_req", "cl_waiting", "cl_waiting_cancel_req", "maxwait", "maxwait_us",
               "sv_active", "sv_active_cancel", "sv_being_canceled", "sv_idle", "sv_login", "sv_tested", "sv_used"]),
}


@pytest.mark.parametrize("what", EXPORTER)
def test_pgbouncer_exporter_finds_its_columns(weir, what):
    with weir.start().raw() as keep, psycopg.connect(weir.dsn("stats", "pgbouncer"), autocommit=True) as console:
        keep.query("SELECT 1")
        cursor = console.execute(f"SHOW {what}", prepare=False)
        rows = [dict(zip([column.name for column in cursor.description], row)) for row in cursor]
    labels, numbers = EXPORTER[what]
    row = next(row for row in rows if row.get("name", row.get("database")) == "app")
    assert all(row[label] is None or isinstance(row[label], (str, int)) for label in labels)
    assert all(float(row[number]) >= 0 for number in numbers)


def test_pgbouncer_exporter_finds_its_lists_and_settings(weir):
    weir.start()
    lists = {row["list"]: row["items"] for row in weir.console("SHOW LISTS", "stats", "pgbouncer")}
    assert {"databases", "users", "pools", "free_clients", "used_clients", "login_clients", "free_servers",
            "used_servers", "dns_names", "dns_zones", "dns_queries"} <= set(lists)
    config = {row["key"]: row["value"] for row in weir.console("SHOW CONFIG", "stats", "pgbouncer")}
    assert float(config["max_client_conn"]) == 1000 and float(config["max_user_connections"]) == 0


# Datadog's check: by name, in a dictionary; what it takes for its metrics, and the names of the rows.
DATADOG = {
    "STATS": ("database", ["total_xact_count", "total_query_count", "total_received", "total_sent",
                           "total_xact_time", "total_query_time", "total_wait_time", "avg_xact_count", "avg_query_count",
                           "avg_recv", "avg_sent", "avg_xact_time", "avg_query_time", "avg_wait_time"]),
    "POOLS": ("database", ["cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait",
                           "maxwait_us", "cl_active_cancel_req", "cl_waiting_cancel_req", "sv_active_cancel",
                           "sv_being_canceled"]),
    "DATABASES": ("name", ["pool_size", "max_connections", "current_connections"]),
}


@pytest.mark.parametrize("what", DATADOG)
def test_datadog_finds_its_columns(weir, what):
    weir.start()
    weir.raw().query("SELECT 1")
    name, numbers = DATADOG[what]
    row = next(row for row in weir.console(f"SHOW {what}", "stats", "pgbouncer") if row[name] == "app")
    assert all(float(row[number]) >= 0 for number in numbers)


def test_datadog_reads_times_settings_and_the_version(weir):
    weir.start()
    weir.raw().query("SELECT 1")
    for what in ("CLIENTS", "SERVERS"):
        for row in weir.console(f"SHOW {what}", "stats", "pgbouncer"):
            datetime.datetime.strptime(row["connect_time"], "%Y-%m-%d %H:%M:%S %Z")
            assert row["database"] and row["user"] and row["state"]
    assert int({row["key"]: row["value"] for row in weir.console("SHOW CONFIG", "stats", "pgbouncer")}["max_client_conn"])
    (row,) = weir.console("SHOW VERSION", "stats", "pgbouncer")
    assert re.fullmatch(r"PgBouncer \d+\.\d+\.\d+", row["version"])


def test_telegraf_finds_a_number_in_every_column_but_the_names(weir):
    weir.start()
    weir.raw().query("SELECT 1")
    for what, names in (("STATS", {"database"}), ("POOLS", {"database", "user", "pool_mode", "load_balance_hosts"})):
        for row in weir.console(f"SHOW {what}", "stats", "pgbouncer"):
            assert all(float(value) >= 0 for name, value in row.items() if name not in names)
