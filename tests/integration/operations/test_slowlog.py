"""The slow-query log: which requests are in it, what a line says, and what it must never say."""

import json
import os
import re
import time

import pytest

from rawwire import BEGIN_NOW, bind, errors, execute, message, one_statement, parse, query, send_cancel, sync
from waiting import wait_until
from weir import read_slowly

pytestmark = pytest.mark.weir_only

FIELDS = {"ts", "event", "level", "duration_ms", "wait_ms", "connect_ms", "server_ms", "stream_ms", "client_write_ms",
          "proxy_ms", "cause", "database", "user", "application", "client", "client_id", "backend", "server_pid",
          "protocol", "tag", "rows", "bytes_out", "bytes_in", "statements", "plan", "in_transaction", "fingerprint", "query",
          "sqlstate", "suppressed", "threshold_ms"}


def lines(weir, count=1, event="slow_query"):
    """Waits for that many lines of an event."""
    return wait_until(lambda: found if len(found := [line for line in weir.slow_lines() if line["event"] == event])
                      >= count else None, what=f"{count} lines")


def test_a_line_says_everything(weir):
    with weir.start(pool_size=1).raw(parameters={"application_name": "api"}) as wire:
        pid = int(wire.value("SELECT pg_backend_pid()"))
        wire.query("BEGIN", "SELECT i, pg_sleep(0.05) FROM generate_series(1, 4) i")
        line = wait_until(lambda: next((line for line in weir.slow_lines() if "pg_sleep" in line["query"]), None))
        assert set(line) >= FIELDS, FIELDS - set(line)
        assert 100 < line["duration_ms"] < 1500 and line["server_ms"] + line["stream_ms"] > 90
        assert line["cause"] in ("server", "stream")
        assert (line["database"], line["user"], line["application"]) == ("app", "web", "api")
        assert line["client"] == "127.0.0.1:%d" % wire.sock.getsockname()[1]
        assert line["backend"] == f"127.0.0.1:{weir.postgres.port}" and line["server_pid"] == pid
        assert (line["protocol"], line["tag"], line["rows"], line["statements"]) == ("simple", "SELECT", 4, 1)
        assert line["in_transaction"] is True and line["sqlstate"] is None
        assert line["query"] == "SELECT i, pg_sleep(?) FROM generate_series(?, ?) i"
        assert re.fullmatch("[0-9a-f]{16}", line["fingerprint"]) and line["threshold_ms"] == 100
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["ts"])
        assert line["bytes_in"] >= 50 and line["bytes_out"] > 50
        parts = sum(line[key] for key in ("wait_ms", "server_ms", "stream_ms", "client_write_ms", "proxy_ms"))
        assert abs(parts - line["duration_ms"]) < 5


def test_the_quick_are_not_in_it(weir):
    with weir.start(threshold="500ms").raw() as wire:
        for _ in range(50):
            wire.query("SELECT 'quick'")
        wire.query("SELECT pg_sleep(0.6), 'slow'")
    assert len(lines(weir)) == 1


@pytest.mark.parametrize("threshold, logged", [("0ms", True), ("10s", False), ("off", False)])
def test_thresholds(weir, threshold, logged):
    with weir.start(threshold=threshold).raw() as wire:
        wire.query("SELECT 'marker', pg_sleep(0.12)")
    with weir.raw(database="app2") as wire:
        wire.query("SELECT 1")
    if logged:
        assert any("marker" not in line["query"] for line in lines(weir))
    else:
        wait_until(lambda: weir.metric("pgweir_client_requests_total", database="app") >= 1)
        assert not weir.slow_lines()


def test_thresholds_per_database_and_user(weir):
    weir.start(threshold="10s", sections={"database app2": {"slow_query_threshold": "50ms"},
                                          "user reporting": {"slow_query_threshold": "5s"}})
    for user, database in (("web", "app"), ("web", "app2"), ("reporting", "app2")):
        weir.raw(user, database).query("SELECT pg_sleep(0.1)")
    line, = lines(weir)
    assert (line["user"], line["database"]) == ("web", "app2") and line["threshold_ms"] == 50


SECRETS = [
    ("SELECT pg_sleep(0.12), 'secret-1234'", "SELECT pg_sleep(?), ?"),
    ("SELECT pg_sleep(0.12), $$secret-1234$$, $t$secret-1234$t$", "SELECT pg_sleep(?), ?, ?"),
    ("SELECT pg_sleep(0.12), E'\\'secret-1234', 42, 1e5, B'1', X'ff'", "SELECT pg_sleep(?), ?, ?, ?, ?, ?"),
    ("SELECT pg_sleep(0.12) /* secret-1234 */ -- secret-1234", "SELECT pg_sleep(?)"),
    ("SELECT pg_sleep(0.12)   WHERE 1 IN (1,\n 2, 3)", "SELECT pg_sleep(?) WHERE ? IN (?)"),
]


@pytest.mark.parametrize("sql, normalized", SECRETS, ids=["text", "dollar quotes", "escapes", "comments", "lists"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_the_text_is_without_literals_and_comments(weir, sql, normalized, extended):
    with weir.start().raw() as wire:
        wire.extended(sql) if extended else wire.query(sql)
    line, = lines(weir)
    squeezed = line["query"].replace("(?, ...)", "(?)").replace("(?, ?, ?)", "(?)").replace("(...)", "(?)")
    assert squeezed.startswith(normalized[:20]) and "secret-1234" not in json.dumps(line)
    if "IN" not in sql:
        assert line["query"] == normalized
    assert line["protocol"] == ("extended" if extended else "simple")
    assert "secret-1234" not in weir.log()


@pytest.mark.parametrize("setting, literals", [
    pytest.param("standard_conforming_strings = off", r"'it\'s secret-1234'", marks=pytest.mark.before(19, "it refuses this setting")),
    ("client_encoding = 'sjis'", b"E'\x95\\', 'secret-1234'")], ids=["off", "sjis"])
def test_no_literal_is_shown_whatever_a_backslash_means(weir, setting, literals):
    """In the slow-query log, in SHOW QUERIES, SLOW and HOLDERS."""
    weir.start(pool_size=1, query_stats="on")
    sql = b"SELECT pg_sleep(0.3), " + (literals if isinstance(literals, bytes) else literals.encode()) + b", 'secret-1234'\0"
    with weir.raw() as wire:
        wire.query(f"SET {setting}")
        wire.send(message("Q", sql))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        shown = weir.console("SHOW HOLDERS")
        assert not errors(wire.read_until("Z"))
    line = wait_until(lambda: next(line for line in weir.slow_lines() if "pg_sleep" in line["query"]))
    shown += [line] + weir.console("SHOW QUERIES") + weir.console("SHOW SLOW")
    assert line["query"] == "SELECT pg_sleep(?), ?" and line["query_truncated"] and "secret" not in str(shown)


def test_a_line_is_not_about_the_servers_last_client(weir):
    """It has sent a Query. The text of this one is too long for pgweir to keep."""
    with weir.start(pool_size=1, max_statement_size="1KiB").raw() as wire:
        wire.query("SELECT 1")
    with weir.raw() as wire:
        wire.extended(f"SELECT pg_sleep(0.12), '{'x' * 2000}'")
    wait_until(lambda: any(line["protocol"] == "extended" for line in weir.slow_lines()))   # others: a busy machine


def test_parameters_are_never_logged(weir):
    with weir.start().raw() as wire:
        wire.extended("SELECT pg_sleep(0.12), $1::text", ["secret-1234"])
    line, = lines(weir)
    assert line["query"] == "SELECT pg_sleep(?), $1::text" and "secret-1234" not in json.dumps(line)


def test_a_prepared_statement_is_named_by_its_text(weir):
    with weir.start(pool_size=2).raw() as wire:
        wire.ask(parse("s", "SELECT pg_sleep($1::float8), 'prepared'") + sync())
        for _ in range(2):
            wire.ask(bind("", "s", ["0.12"]) + execute() + sync())
    for line in lines(weir, 2):
        assert line["query"] == "SELECT pg_sleep($1::float8), ?"


@pytest.mark.parametrize("text, expected", [("full", "SELECT pg_sleep(0.12), 'as it was'"), ("none", None)])
def test_text_full_and_none(weir, text, expected):
    with weir.start(text=text).raw() as wire:
        wire.query("SELECT pg_sleep(0.12), 'as it was'")
    line, = lines(weir)
    assert line["query"] == expected if expected else "was" not in json.dumps(line)
    assert re.fullmatch("[0-9a-f]{16}", line["fingerprint"])


def test_an_unterminated_quote_is_never_shown(weir):
    with weir.start(threshold="0ms").raw() as wire:
        wire.ask(query("SELECT 'secret-1234"))
        wire.ask(query("SELECT $$secret-1234"))
        wire.ask(query("SELECT /* secret-1234"))
    found = lines(weir, 3)
    assert "secret-1234" not in json.dumps(found)
    assert all(line["sqlstate"] == "42601" for line in found)


@pytest.mark.parametrize("sql", ["SELECT '" + "x" * 1_000_000 + "', pg_sleep(0.12)",
                                 "SELECT pg_sleep(0.12), '\xe9\u20ac\U0001f600'",
                                 "SELECT pg_sleep(0.12) AS \"\x01\x02\"",
                                 "SELECT pg_sleep(0.12) AS \"quo\"\"te\\\"",
                                 "SELECT pg_sleep(0.12), 1 IN (" + ",".join(map(str, range(20_000))) + ")"],
                         ids=["long", "unicode", "control", "quotes", "many literals"])
def test_lines_are_always_json_of_bounded_length(weir, sql):
    with weir.start().raw() as wire:
        wire.query(sql)
    lines(weir)
    raw = weir.slow_file.read_bytes()
    assert len(raw) < 8000 and raw.endswith(b"\n")
    for line in raw.decode("utf-8").splitlines():
        json.loads(line)


def test_bytes_that_are_no_utf8_do_not_break_it(weir):
    weir.start(threshold="0ms")
    with weir.raw(parameters={"client_encoding": "LATIN1", "application_name": "caf\\xe9"}) as wire:
        from rawwire import message
        wire.ask(message("Q", b"SELECT 1 AS \"\xe9\xff\"\0"))
        wire.query("SELECT 2")
    assert len(lines(weir, 2)) >= 2


def test_the_line_blames_the_pool(weir):
    with weir.start(pool_size=1).raw() as holder, weir.raw() as waiter:
        holder.query(BEGIN_NOW)
        waiter.send(query("SELECT 'waited'"))
        weir.wait_waiting(1)
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 0.3)
        holder.query("COMMIT")
        waiter.read_until("Z")
    line = wait_until(lambda: next(line for line in weir.slow_lines() if line["wait_ms"] > 250))
    assert line["cause"] == "wait" and line["query"] == "SELECT ?" and line["server_ms"] < line["wait_ms"]


def test_the_line_blames_a_slow_client(weir):
    weir.start(pool_size=1)
    read_slowly(weir)
    line, = lines(weir)
    assert line["cause"] == "client_write" and line["client_write_ms"] > 500 and line["rows"] == 5000


def test_pipelines_are_one_line_per_sync(weir):
    """A busy machine may read several answers at once: the first request has all of the time then, and it is tried again."""
    with weir.start().raw() as wire:
        for _ in range(20):
            before = len(weir.slow_lines())
            wire.send(one_statement("SELECT pg_sleep(0.06)") + one_statement("SELECT pg_sleep(0.07)") + sync() +
                      one_statement("SELECT 1") + sync() + one_statement("SELECT pg_sleep(0.12)") + sync())
            wire.read_until("Z", 3)
            wire.query("SELECT pg_sleep(0.12) AS last")
            wait_until(lambda: "AS last" in weir.slow_lines()[before:][-1]["query"])
            statements = [line["statements"] for line in weir.slow_lines()[before:-1]]
            assert statements[0] == 2
            if statements == [2, 1]:
                break
    assert statements == [2, 1]


def test_errors_carry_their_sqlstate(weir):
    with weir.start().raw() as wire:
        wire.ask(query("SELECT pg_sleep(0.12); SELECT 1/0"))
    line, = lines(weir)
    assert line["sqlstate"] == "22012"


def test_a_query_cut_by_timeout_is_logged_whatever_the_threshold(weir):
    wire = weir.start(threshold="1min", query_timeout="300ms").raw()
    wire.send(query("SELECT pg_sleep(60)"))
    wire.read_until("E")
    line, = lines(weir, event="query_timeout")
    assert line["query"] == "SELECT pg_sleep(?)"


def test_a_lost_server_is_logged_whatever_the_threshold(weir):
    wire = weir.start(threshold="1min").raw()
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
    weir.postgres.kill_backends()
    wire.read_until("E")
    line, = lines(weir, event="backend_lost")
    assert line["query"] == "SELECT pg_sleep(?)"


def test_the_same_query_again_and_again_is_held_back_and_counted(weir):
    with weir.start(threshold="0ms").raw() as wire:
        begin = time.monotonic()
        for number in range(200):
            wire.query(f"SELECT {number}")
        written = len(lines(weir))
        assert 5 <= written <= 8 + time.monotonic() - begin         # five at once, and one a second
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 1.2)
        wire.query("SELECT 0")
    total = wait_until(lambda: sum(1 + line["suppressed"] for line in weir.slow_lines()) == 201)
    assert total
    assert weir.metric("pgweir_slow_queries_total", database="app") == 201
    assert weir.metric("pgweir_slow_log_lines_dropped_total", reason="rate") > 150


def test_postgresqls_own_style(weir):
    with weir.start(sections={"slow_query": {"format": "postgres"}}).raw() as wire:
        wire.query("SELECT pg_sleep(0.12)")
    wait_until(lambda: weir.slow_file.exists() and weir.slow_file.read_text().endswith("\n"))
    text = weir.slow_file.read_text()
    assert re.search(r"LOG:  duration: [1-9]\d\d+\.\d+ ms  statement: SELECT pg_sleep", text), text


def test_sighup_opens_the_file_anew_after_rotation(weir):
    with weir.start(threshold="0ms").raw() as wire:
        wire.query("SELECT 'before'")
        lines(weir)
        rotated = weir.slow_file.with_suffix(".1")
        os.rename(weir.slow_file, rotated)
        weir.reload(threshold="0ms")
        wait_until(weir.slow_file.exists)
        wire.query("SELECT 'after', 1, 2")
        wait_until(lambda: weir.slow_lines())
        assert "after" not in rotated.read_text()
        assert oct(os.stat(weir.slow_file).st_mode & 0o777) in ("0o640", "0o600")


def test_a_traceparent_is_kept_and_nothing_else_of_the_comment(weir):
    weir.start()
    trace = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
    with weir.raw() as wire:
        wire.query(f"SELECT pg_sleep(0.12) /*traceparent='{trace}',email='secret-1234'*/")
    line, = lines(weir)
    assert line["trace_id"] == "5bd66ef5095369c7b0d1f8f4bd33716a" and line["span_id"] == "c532cb4098ac3dd2"
    assert "secret-1234" not in json.dumps(line)


def test_a_full_disk_stops_nobody(weir):
    with weir.start(threshold="0ms", file="/dev/full").raw() as wire:
        for number in range(100):
            assert wire.query(f"SELECT {number}, '{'x' * number}'") == [[str(number), "x" * number]]


def test_parameters_are_logged_if_wanted(weir):
    weir.start(threshold="0ms", parameters="on")
    with weir.connect(autocommit=True) as connection:
        connection.execute("SELECT %s::text, %s::int, %s::text", ("it's", None, "x" * 100))
        connection.execute("SELECT 'without any'")
        for _ in range(3):                             # prepared by now: Bind comes alone
            connection.execute("SELECT %b::int + 1", (42,), prepare=True)
    all_lines = lines(weir, 5)
    assert all_lines[0]["parameters"] == f"$1 = 'it''s', $2 = NULL, $3 = '{'x' * 64}...'"
    assert not all_lines[1].get("parameters")

    def bound():
        return [line["parameters"] for line in weir.slow_lines() if line["query"] == "SELECT $1::int + ?" and
                line.get("parameters")]
    found = wait_until(lambda: len(bound()) == 3 and bound(), what="the three")
    assert all(value.startswith("$1 = '\\x") and value.endswith("2a'") for value in found), found


def test_a_long_bind_is_cut(weir):
    weir.start(threshold="0ms", parameters="on")
    with weir.connect(autocommit=True) as connection:
        connection.execute("SELECT length(%s::text), %s::int", ("y" * 500_000, 7))
    line, = lines(weir)
    assert line["parameters"] == "..."


def test_parameters_in_postgres_format(weir):
    weir.start(sections={"slow_query": {"format": "postgres", "threshold": "0ms", "parameters": "on"}})
    with weir.connect(autocommit=True) as connection:
        connection.execute("SELECT %s::text", ("value",))
    detail = wait_until(lambda: [line for line in weir.slow_file.read_text().splitlines() if " DETAIL:  " in line])
    assert detail[0].endswith(" DETAIL:  parameters: $1 = 'value'") and "user=web,db=app" in detail[0]


def test_no_parameters_by_default(weir):
    weir.start(threshold="0ms")
    with weir.connect(autocommit=True) as connection:
        connection.execute("SELECT %s::text", ("a-private-value",))
    line, = lines(weir)
    assert "parameters" not in line and "a-private-value" not in weir.slow_file.read_text()


# --- requests that end without an answer ---

def sleeper(weir, how):
    """A client in the middle of a request: with a server, in line for one, or in line with a statement it knows."""
    wire = weir.raw(parameters={"application_name": "gone"})
    sql = "SELECT pg_sleep(60), 'secret'"
    if how == "runs":
        wire.send(query(sql))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        return wire
    if how == "waits with a statement":
        wire.ask(parse("named", sql), sync())
    holder = weir.raw()
    holder.query(BEGIN_NOW)
    if how == "waits":
        wire.send(query(sql))
    else:
        wire.send(bind(statement="named"), execute(), sync())
    weir.wait_waiting(1)
    return wire


@pytest.mark.parametrize("how, phase", [("runs", "server"), ("waits", "wait"), ("waits with a statement", "wait")])
def test_a_client_that_gives_up_is_in_every_list(weir, how, phase):
    weir.start(pool_size=1, query_stats="on")
    weir.raw().query("SELECT 1")
    before = weir.metric_now("pgweir_client_requests_total", database="app")
    wire = sleeper(weir, how)
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 0.2)      # so that there is something to blame
    wire.reset()
    line, = lines(weir, event="client_gone")
    assert (line["application"], line["cause"], line["level"]) == ("gone", phase, "warning") and line["duration_ms"] > 190
    assert line["query"] == "SELECT pg_sleep(?), ?" and line["sqlstate"] is None
    assert weir.metric_now("pgweir_client_requests_failed_total", reason="client_gone") == 1
    assert weir.metric_now("pgweir_client_requests_total", database="app") - before in (1, 2, 3)    # Parse, BEGIN
    row, = (row for row in weir.console("SHOW QUERIES") if row["application_name"] == "gone" and row["errors"])
    assert row["calls"] == (2 if "statement" in how else 1)            # its Parse
    assert (row["errors"], row["query"]) == (1, "SELECT pg_sleep(?), ?") and row["total_ms"] > 190
    assert "client_gone" in [row["event"] for row in weir.console("SHOW SLOW")]     # others: a busy machine
    event, = weir.console(f"SHOW EVENTS LIKE '%client {line['client_id']} %'")
    assert "closed the connection after" in event["event"] and "a request was under way" in event["event"]


def test_a_request_whose_client_is_killed_has_an_event_of_its_own(weir):
    weir.start_opened("300ms", pool_size=1)
    with weir.raw() as wire:
        wire.send(query("SELECT pg_sleep(60)"))
        holder, = wait_until(lambda: weir.console("SHOW HOLDERS"))
        weir.console(f"KILL_CLIENT {holder['client_id']}")
        wire.read_to_end()
    line, = wait_until(weir.slow_lines)
    assert (line["event"], line["client_id"], line["sqlstate"]) == ("killed", holder["client_id"], "57P01"), line
    assert weir.console("SHOW SLOW LIKE 'killed'")
    assert weir.metric_now("pgweir_client_requests_failed_total", reason="killed") == 1


def test_what_pgweir_does_not_do_is_no_failure_of_its_own(weir):
    with weir.start(pool_mode="statement").raw() as wire:
        wire.query("SELECT 1")
        wire.send(query("BEGIN"))
        assert "0A000" in [reply.sqlstate for reply in wire.read_to_end() if reply.type == "E"]
    assert weir.metric_now("pgweir_client_requests_failed_total", reason="unsupported") == 1
    assert weir.metric_now("pgweir_client_requests_failed_total", reason="internal") == 0


def test_refusals_and_cancels_are_in_the_table_of_queries(weir):
    weir.start_opened("300ms", pool_size=1, query_stats="on", threshold="off")
    with weir.raw() as holder, weir.raw(parameters={"application_name": "in vain"}) as wire:
        holder.query(BEGIN_NOW)
        for _ in range(2):
            assert errors(wire.ask(query("SELECT 'in vain'")))[0].sqlstate == "53300"
        row, = weir.console("SHOW QUERIES LIKE 'in vain'")
        assert (row["calls"], row["errors"], row["query"]) == (2, 2, "SELECT ?") and row["wait_ms"] > 590
        weir.reload(pool_size=1, query_stats="on", threshold="off")
        wire.send(query("SELECT 'in vain'"))
        weir.wait_waiting(1)
        send_cancel(weir.address, wire.key)
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"
        row, = weir.console("SHOW QUERIES LIKE 'in vain'")
        assert (row["calls"], row["errors"]) == (3, 3)
    assert weir.metric_now("pgweir_client_requests_failed_total", reason="canceled") == 1
    assert weir.metric_now("pgweir_client_requests_failed_total", reason="pool_timeout") == 2
    assert not weir.slow_lines()


# --- who canceled it ---

SLEEP = "SELECT pg_sleep(60), 'canceled'"


def by_its_client(weir, wire):
    send_cancel(weir.address, wire.key)


def by_its_client_in_line(weir, wire):
    weir.wait_waiting(1)
    send_cancel(weir.address, wire.key)


def by_somebody(weir, wire):
    weir.postgres.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")


def by_nobody_else(weir, wire):
    """A limit ends it."""


@pytest.mark.parametrize("canceled_by, setting, cancel, event, sqlstate", [
    ("client", "", by_its_client, "canceled", "57014"),
    ("client", "waits", by_its_client_in_line, "canceled", "57014"),
    ("query_timeout", "pgweir", by_nobody_else, "query_timeout", "57014"),
    ("statement_timeout", "SET statement_timeout = '400ms'", by_nobody_else, "slow_query", "57014"),
    ("lock_timeout", "SET lock_timeout = '400ms'", by_nobody_else, "slow_query", "55P03"),
    ("server", "", by_somebody, "slow_query", "57014"),
], ids=["client", "client in line", "query_timeout", "statement_timeout", "lock_timeout", "server"])
def test_who_canceled_it(weir, canceled_by, setting, cancel, event, sqlstate):
    """In the slow-query log, SHOW SLOW and the metrics; SHOW EVENTS has a line of the client's own cancel."""
    weir.start(pool_size=1 if setting == "waits" else 2, threshold="200ms", **{"query_timeout": "400ms"} if setting == "pgweir" else {})
    with weir.raw() as other, weir.raw() as wire:
        if setting in ("waits",) or "lock_timeout" in setting:
            other.query(BEGIN_NOW, "SELECT pg_advisory_xact_lock(4)")
        if setting.startswith("SET"):
            wire.query(setting)
        wire.send(query("SELECT pg_advisory_xact_lock(4)" if "lock_timeout" in setting else SLEEP))
        if setting != "waits":
            wait_until(lambda: weir.postgres.backends(wait_event="advisory" if "lock_timeout" in setting else "PgSleep"))
            begun = time.monotonic()
            wait_until(lambda: time.monotonic() - begun > 0.25)         # so that it is slow, whoever ends it
        cancel(weir, wire)
        assert errors(wire.read_until("Z"))[0].sqlstate == sqlstate
        line, = wait_until(lambda: [line for line in weir.slow_lines() if line["canceled_by"]])
        assert (line["canceled_by"], line["event"], line["sqlstate"]) == (canceled_by, event, sqlstate), line
        row, = (row for row in weir.console("SHOW SLOW") if row["canceled_by"])
        assert (row["canceled_by"], row["event"]) == (canceled_by, event)
        assert weir.metric_now("pgweir_canceled_requests_total", canceled_by=canceled_by) == 1
        assert weir.metric("pgweir_canceled_requests_total") == 1
        events = [row["event"] for row in weir.console("SHOW EVENTS LIKE '%canceled its statement after%'")]
        assert len(events) == (canceled_by == "client")
        assert all(event.startswith(f"client {line['client_id']} (127.0.0.1:") and event.endswith(": SELECT pg_sleep(?), ?") for event in events)
        assert not errors(other.ask(query("ROLLBACK")))
        wire.query("SET statement_timeout = 0", "SET lock_timeout = 0")
        assert not errors(wire.ask(query("SELECT pg_sleep(0.3)")))      # the next one was canceled by nobody
    assert wait_until(lambda: [line for line in weir.slow_lines() if line["query"] == "SELECT pg_sleep(?)"])[0]["canceled_by"] is None


def test_a_cancel_that_hit_nothing_is_not_taken_for_the_next(weir):
    """The client cancels while it is idle; then somebody at PostgreSQL ends its next request."""
    with weir.start(pool_size=1, threshold="0ms").raw() as wire:
        wire.query("SELECT 1")
        send_cancel(weir.address, wire.key)
        assert weir.metric_now("pgweir_cancel_requests_total", result="no_query") == 1
        wire.send(query(SLEEP))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        by_somebody(weir, wire)
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"
    assert wait_until(lambda: [line for line in weir.slow_lines() if line["sqlstate"]])[0]["canceled_by"] == "server"


@pytest.mark.parametrize("raised", ["canceling statement due to statement timeout", "canceling statement due to user request"])
def test_a_function_that_raises_57014_is_no_timeout(weir, raised):
    """It chooses the text, but not the routine of PostgreSQL's that the error comes from."""
    with weir.start(threshold="0ms").raw() as wire:
        wire.ask(query(f"DO $$ BEGIN RAISE EXCEPTION '{raised}' USING ERRCODE = '57014'; END $$"))
    assert wait_until(lambda: [line for line in weir.slow_lines() if line["sqlstate"]])[0]["canceled_by"] == "server"


@pytest.mark.parametrize("threshold, event", [("10s", "canceled"), ("off", None)])
def test_a_clients_own_cancel_is_logged_once_whatever_the_threshold(weir, threshold, event):
    """Several requests to cancel the same, which is quick: one line in each log."""
    with weir.start(pool_size=1, threshold=threshold).raw() as wire:
        wire.send(query(SLEEP))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        for _ in range(3):
            send_cancel(weir.address, wire.key)
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"
        wire.query("SELECT 1")
    assert weir.metric_now("pgweir_client_requests_failed_total", reason="canceled") == 1
    assert weir.wait_log("canceled its statement after").count("canceled its statement") == 1
    if event:
        lines(weir, event=event)
    assert [(line["event"], line["canceled_by"]) for line in weir.slow_lines()] == ([(event, "client")] if event else [])
