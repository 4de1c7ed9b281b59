"""The log: what an operator reads in it when clients call, one line for each thing, with fields."""

import contextlib
import json
import re

import psycopg
import pytest

from fakeserver import error
from rawwire import BEGIN_NOW, QueryFailed, WireError, query
from waiting import each, wait_until
from weir import WORKERS

pytestmark = pytest.mark.weir_only

JSON_LOG = {"log": {"format": "json"}}


def events(weir, event):
    found = []
    for line in weir.log().splitlines():
        if line.startswith("{"):
            record = json.loads(line)
            if record.get("event") == event:
                found.append(record)
    return found


def wait_event(weir, event):
    return wait_until(lambda: events(weir, event), what=f"a line with {event}")[0]


def test_a_disconnect_of_ours_says_whom_and_which_limit(weir):
    weir.start(sections=JSON_LOG, idle_transaction_timeout="300ms")
    with weir.raw(parameters={"application_name": "batch"}) as wire:
        wire.query(BEGIN_NOW)
        line = wait_event(weir, "client_disconnect")
        assert (line["user"], line["database"], line["application"]) == ("web", "app", "batch")
        assert line["client"] == "127.0.0.1:%d" % wire.sock.getsockname()[1]
        assert (line["sqlstate"], line["level"]) == ("25P03", "warning") and line["duration_ms"] >= 300
        assert "idle_transaction_timeout = 300 ms" in line["message"]
        assert "disconnected after" in line["message"] and 'user "web"' in line["message"]
    assert len(events(weir, "client_disconnect")) == 1


def test_a_client_that_leaves_has_no_line(weir):
    weir.start()
    weir.raw().close()
    wait_until(lambda: not any(row["user"] == "web" for row in weir.console("SHOW CLIENTS")))
    assert "client 1 " not in weir.log()


@pytest.mark.parametrize("how", ["query", "transaction", "pinned"])
def test_why_postgresql_ended_a_session(weir, how):
    """One line, with its words; and it is found by the client's number."""
    with weir.start().raw(parameters={"application_name": "victim"}) as wire:
        if how == "query":
            wire.send(query("SELECT pg_sleep(60)"))
            wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        else:
            wire.query(BEGIN_NOW if how == "transaction" else "CREATE TEMP TABLE kept (i int)")
            wait_until(lambda: how == "transaction" or weir.console("SHOW PINS"))     # PostgreSQL is asked first
        row, = weir.console("SHOW HOLDERS")
        weir.postgres.query("SELECT pg_terminate_backend(%s)", (row["server_pid"],))
        wire.read_to_end()
    event, = wait_until(lambda: weir.console(f"SHOW EVENTS LIKE '%client {row['client_id']} %disconnected%'"))
    assert re.search(r'application "victim"\) disconnected after \S+ m?s: 57P01: PostgreSQL at 127\.0\.0\.1:\d+ ended the '
                     r"session: terminating connection due to administrator command", event["event"]), event
    assert "closed the connection" not in weir.log()        # the server's end has no line beside it


def test_a_client_that_vanishes_in_a_transaction(weir):
    wire = weir.start().raw(parameters={"application_name": "vanished"})
    wire.query(BEGIN_NOW)
    row, = weir.console("SHOW HOLDERS")
    wire.reset()
    event, = wait_until(lambda: weir.console(f"SHOW EVENTS LIKE '%client {row['client_id']} %'"))
    assert re.search(r'application "vanished"\) closed the connection after .* while a transaction was open', event["event"])


@pytest.mark.parametrize("command", ["KILL_CLIENT {}", "KILL app"])
def test_who_killed_a_client(weir, command):
    with weir.start().raw() as wire:
        client_id = next(row["id"] for row in weir.console("SHOW CLIENTS") if row["user"] == "web")
        weir.console(command.format(client_id))
        error, = (reply for reply in wire.read_to_end() if reply.type == "E")
    assert "admin" not in error.error.get("D", "")            # the client need not know
    event, = wait_until(lambda: weir.console(f"SHOW EVENTS LIKE '%client {client_id} %'"))
    assert re.search(r"disconnected after .*: 57P01: .*; " + command.format(client_id) + r' by client \d+ \(127\.0\.0\.1:\d+, user "admin"',
                     event["event"]), event


def test_the_log_says_which_client_was_to_be_killed_and_what_was_refused(weir):
    with weir.start().raw():
        client_id = next(row["id"] for row in weir.console("SHOW CLIENTS") if row["user"] == "web")
        weir.console(f"KILL_CLIENT {client_id}")
        with pytest.raises(psycopg.Error, match="there is no client 99999"):
            weir.console("KILL_CLIENT 99999")
        with pytest.raises(psycopg.Error, match='database "nowhere" is not known'):
            weir.console("PAUSE nowhere")
    said = [row["event"] for row in weir.console("SHOW EVENTS LIKE 'console: %'")][::-1]
    assert said == [f'console: KILL_CLIENT {client_id} by user "admin"',
                    'console: KILL_CLIENT 99999 by user "admin" was refused: there is no client 99999',
                    'console: PAUSE nowhere by user "admin" was refused: database "nowhere" is not known']


def test_text_has_detail_and_hint(weir):
    with weir.start(max_client_connections=1).raw(), pytest.raises(psycopg.OperationalError):
        weir.connect()
    line, = wait_until(lambda: [line for line in weir.log().splitlines() if "too many clients" in line])
    assert "(max_client_connections); hint: Raise max_client_connections" in line


def test_the_log_knows_a_wrong_password_from_an_unknown_user(weir):
    """The client does not: that would tell who exists."""
    weir.start(sections=JSON_LOG, method="scram-sha-256", login_failure_delay="0s")
    told = []
    for user in ("web", "nobody-here"):
        with pytest.raises(psycopg.OperationalError) as refused:
            weir.connect(user, password="wrong")
        told.append(str(refused.value).rsplit("FATAL:", 1)[1].replace(user, "USER"))
    assert told[0] == told[1]
    known, unknown = wait_until(lambda: len(found := events(weir, "login_refused")) == 2 and found)
    assert (known["user"], known["reason"]) == ("web", "wrong password")
    assert (unknown["user"], unknown["reason"]) == ("nobody-here", "there is no such user")
    assert known["sqlstate"] == unknown["sqlstate"] == "28P01" and "client_disconnect" not in weir.log()


def test_an_exhausted_pool_is_told_once(weir):
    weir.start_opened("300ms", JSON_LOG, pool_size=1)
    with weir.raw(parameters={"application_name": "hog"}) as holder:
        holder.query(BEGIN_NOW)
        waiting = [weir.raw() for _ in range(3)]
        each(waiting).send(b"Q\0\0\0\rSELECT 1\0")
        for wire in waiting:
            assert wire.read_until("Z")[0].type == "E"
        line = wait_event(weir, "pool_exhausted")
        assert (line["database"], line["user"], line["reason"]) == ("app", "web", "pool_timeout")
        message = line["message"]
        assert re.search(r"pool app/web is exhausted: \d requests? timed out after 300 ms \(pool_timeout\), \d still waiting; 1 of 1 "
                         r"connections in use: 0 running, 0 waiting for the client, 1 idle in transaction, 0 pinned; longest, for \S+ m?s, by client", message)
        assert 'application "hog"), idle in transaction: BEGIN NOT DEFERRABLE; hint: End client ' in message
        assert [line[field] for field in ("in_use", "limit", "running", "idle_in_transaction", "pinned")] == [1, 1, 0, 1, 0]
        assert line["timed_out"] + line["waiting"] == 3 and line["holders"] in message
        with weir.raw() as late, pytest.raises(QueryFailed):
            late.query("SELECT 1")
        assert len(events(weir, "pool_exhausted")) == 1        # the next one is due in ten seconds


def test_an_exhausted_pool_is_told_as_it_was(weir):
    """The holder has gone when the line is written; it is not about a pool with nothing in use."""
    weir.start_opened("300ms", JSON_LOG, pool_size=1)
    with weir.raw() as holder, weir.raw() as late:
        holder.query(BEGIN_NOW)
        late.send(query("SELECT 1"))
        late.read_until("E")
        holder.query("COMMIT")
        line = wait_event(weir, "pool_exhausted")
    assert (line["in_use"], line["idle_in_transaction"], line["timed_out"]) == (1, 1, 1)


@pytest.mark.parametrize("text", ["normalized", "none"])
def test_an_exhausted_pool_names_its_holders_and_what_they_do(weir, text):
    """Those that hold longest come first; their SQL is shown where the slow-query log may show it."""
    weir.start_opened("300ms", {**JSON_LOG, "slow_query": {"text": text}}, pool_size=4)
    with contextlib.ExitStack() as held:
        holders = [held.enter_context(weir.raw(parameters={"application_name": f"hog {i}"})) for i in range(4)]
        for i, holder in enumerate(holders):
            holder.query(f"BEGIN; SELECT 'secret', {i}")
        with weir.raw() as late, pytest.raises(QueryFailed):
            late.query("SELECT 1")
        message = wait_event(weir, "pool_exhausted")["message"]
    assert re.findall(r'application "(hog \d)"', message) == ["hog 0", "hog 1", "hog 2"]
    assert message.count(": BEGIN; SELECT ?, ?") == (3 if text == "normalized" else 0) and "secret" not in message


@pytest.mark.parametrize("setting, event", [("long_transaction", "long_transaction"),
                                            ("idle_transaction", "idle_transaction")])
def test_long_and_idle_transactions(weir, setting, event):
    with weir.start(sections=JSON_LOG, **{setting: "300ms"}).raw(parameters={"application_name": "slow"}) as wire:
        wire.query(BEGIN_NOW)
        line = wait_event(weir, event)
        assert (line["application"], line["user"]) == ("slow", "web") and line["duration_ms"] >= 300
        assert "on server" in line["message"] and line["server"].startswith("127.0.0.1:")
        wire.query("SELECT 1", "COMMIT")
    assert len(events(weir, "long_transaction")) <= 1


def test_a_lost_server_is_one_line(weir):
    with weir.start(sections=JSON_LOG).raw() as wire:
        wire.query("BEGIN")
        pid = int(wire.value("SELECT pg_backend_pid()"))
        weir.postgres.query("SELECT pg_terminate_backend(%s)", (pid,))
        wait_until(lambda: "ended the session" in weir.log())
    assert sum("08006" in line or "disconnected" in line or "ended the session" in line for line in weir.log().splitlines()) == 1


def test_an_unreachable_server_is_one_line_for_the_pool(weir):
    weir.start(sections=JSON_LOG, upstream="host=127.0.0.1 port=1")
    with pytest.raises(psycopg.OperationalError):
        weir.connect()
    line = wait_event(weir, "server_login_failed")
    assert (line["database"], line["user"], line["server"]) == ("app", "web", "127.0.0.1:1")
    about_it = [one for one in weir.log().splitlines() if "127.0.0.1:1\"" in one and "login refused" not in one]
    assert all("server_login_failed" in one for one in about_it) and "closed" not in weir.log()


def test_a_hint_on_a_refused_server_login_is_told_once(weir, fake):
    def refuse(conn):
        conn.read_startup()
        conn.send(error("28P01", 'password authentication failed for user "web"', "FATAL"))
    fake.script = refuse
    weir.start(upstream=f"host=127.0.0.1 port={fake.port}")
    with pytest.raises(WireError) as refused:
        weir.raw()
    assert "pg_hba.conf" in refused.value.reply.error["H"]
    weir.wait_log("login refused")
    assert weir.log().count("pg_hba.conf") == 1 and weir.log().count("password authentication failed") == 2


def test_lost_connections_are_told_together(weir, own_postgres):
    """PostgreSQL goes under 20 transactions: of those that a worker loses within a second three have a line each, and one line
    says how many there were and how many transactions that has cost. The clients are named, all of them, with what they did."""
    weir.start(upstream=f"host={own_postgres.host} port={own_postgres.port}", pool_size=20)
    wires = [weir.raw(parameters={"application_name": f"app {number}"}) for number in range(20)]
    each(wires).query("BEGIN; SELECT 'secret'")
    clients = {row["application_name"]: row for row in weir.console("SHOW CLIENTS")}
    own_postgres.stop()
    each(wires).wait_closed()

    def all_told():
        lines = [line for line in weir.log().splitlines() if "57P01" in line and "were disconnected" not in line and "was disconnected" not in line]
        found = [re.search(r"; (\d+) server connections were lost within a second, and (\d+) requests or transactions failed", line)
                 for line in lines]
        together = [int(one[1]) for one in found if one]
        assert together == [int(one[2]) for one in found if one], lines
        alone = len(lines) - len(together)
        return together and alone + sum(count - 3 for count in together) == 20

    def named(text):
        return all(re.search(rf'client {row["id"]} \(127\.0\.0\.1:{row["port"]}, user "web", database "app", application "{name}"\)'
                             r'[^()]*idle in transaction: BEGIN; SELECT \?', text)
                   for name, row in clients.items() if name.startswith("app "))

    wait_until(all_told, what="each connection to be told once")
    wait_until(lambda: named(weir.log()), what="all clients in the log")
    assert named("\n".join(str(row) for row in weir.console("SHOW EVENTS"))) and "secret" not in weir.log()
    together = [int(count) for count in re.findall(r"; (\d+) clients? (?:was|were) disconnected with such a server: ", weir.log())]
    assert sum(together) >= 20 - 3 * WORKERS and len(together) <= 3 * WORKERS, together
