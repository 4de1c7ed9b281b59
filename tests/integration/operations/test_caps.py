"""Caps on server connections of a database and of a user, overflow that is only for those that waited, and the NOTICE to a
client that waits."""

import itertools
import threading
import time
from pathlib import Path

import psycopg
import pytest

from rawwire import BEGIN_NOW, errors, query, texts
from waiting import SLOWNESS, each, wait_until

pytestmark = pytest.mark.weir_only


def row(weir, what, name):
    return {row["name"]: row for row in weir.console(f"SHOW {what}")}[name]


def open_servers(postgres):
    """Connections to PostgreSQL that pgweir has not closed. A backend may take a while to end behind one that it has. The
    kernel tells them page by page, so that some have come when others have gone: those told twice were there in between."""
    def told():
        sockets = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        return {fields[1] for fields in sockets if fields[2].endswith(f":{postgres.port:04X}") and fields[3] == "01"}
    return len(told() & told())


def run_everywhere(weir, clients, sql="SELECT pg_sleep(0.05)", rounds=4):
    """Each of them, again and again, at the same time; the most server connections that were seen meanwhile."""
    def work(wire):
        for _ in range(rounds):
            wire.query(sql)
    running = [weir.in_background(work, wire) for wire in clients]
    most = 0
    while not all(one.done() for one in running):
        most = max(most, open_servers(weir.postgres))
        time.sleep(0.01)
    each(running).result()
    return most


def hold_one_each(weir, clients):
    """So many servers there may be."""
    each(clients).query(BEGIN_NOW)
    wait_until(lambda: weir.postgres.count() == len(clients))
    each(clients).query("COMMIT")


def test_a_database_has_no_more_servers_than_it_may(weir):
    weir.start(sections={"database app": {"max_db_connections": 2}}, session_state="allow")
    clients = [weir.raw(user) for user in ("web", "reporting", "admin") for _ in range(3)]
    assert run_everywhere(weir, clients) <= 2
    hold_one_each(weir, clients[2:4])
    assert row(weir, "DATABASES", "app")["max_connections"] == 2
    assert row(weir, "DATABASES", "app")["current_connections"] <= 2
    assert row(weir, "DATABASES", "app2")["max_connections"] == 0


def test_a_user_has_no_more_servers_than_it_may(weir):
    weir.start(sections={"user web": {"max_user_connections": 2}}, max_user_connections=9, session_state="allow")
    clients = [weir.raw("web", database) for database in ("app", "app2") for _ in range(4)]
    assert run_everywhere(weir, clients) <= 2
    hold_one_each(weir, clients[3:5])
    assert row(weir, "USERS", "web")["max_user_connections"] == 2
    assert row(weir, "USERS", "reporting")["max_user_connections"] == 9


SLOW_TO_END = """DO $$ BEGIN FOR i IN 1..100 LOOP
    EXECUTE format('CREATE TEMP TABLE IF NOT EXISTS pg_temp.t%s (i int)', i); END LOOP; END $$"""


@pytest.mark.parametrize("workers", [1, 4])
def test_postgresql_refuses_no_connection_that_is_within_its_own_limit(weir, own_postgres, workers):
    """Pools take turns on as many places as PostgreSQL allows, whose sessions have something to clear away at their end."""
    own_postgres.query("ALTER ROLE web CONNECTION LIMIT 2; ALTER ROLE web SET client_min_messages = warning")
    weir.start(sections={"database *": {"upstream": f"host={own_postgres.socket_dir} port={own_postgres.port} dbname=app"},
                         "user web": {"max_user_connections": 2}}, session_state="allow", workers=workers)
    run_everywhere(weir, [weir.raw(database=f"shop{i}") for i in range(8)], SLOW_TO_END, 2)
    assert weir.metric_now("pgweir_backend_connect_duration_seconds_count") > 8
    assert weir.metric_now("pgweir_backend_connect_failures_total", reason="too_many_connections") == 0


def ending_slowly(told, may_end, events):
    """A script of the fake server: it closes a session only some time after it was told to."""
    def script(conn):
        events.append("begun")
        conn.login()
        conn.serve()
        told.set()
        may_end.wait(20)
        events.append("ended")
    return script


@pytest.mark.parametrize("workers", [1, 4])
def test_a_place_is_free_once_postgresql_has_closed_its_side(weir, fake, workers):
    told, may_end, events = threading.Event(), threading.Event(), []
    fake.script = ending_slowly(told, may_end, events)
    weir.start(sections={"database *": {"upstream": fake.upstream}}, max_server_connections=1, session_state="allow",
               workers=workers)
    weir.raw(database="first")                          # its login has opened a connection
    for number in itertools.count():
        told.clear(), may_end.clear(), events.clear()
        began = time.monotonic()
        coming = weir.in_background(lambda: weir.raw(database=f"next{number}"))  # pylint: disable=cell-var-from-loop
        told.wait(20)
        states, before = [row["state"] for row in weir.console("SHOW SERVERS")], list(events)
        took = time.monotonic() - began
        may_end.set()
        coming.result().leave()
        wait_until(lambda: "ended" in events)
        if took < 0.5:                                  # later, who waits gets the place all the same
            break
    assert states == ["closing"] and before == []
    assert events == ["ended", "begun"]


def test_a_session_that_does_not_end_keeps_its_place_for_a_while_only(weir, fake):
    told, may_end, events = threading.Event(), threading.Event(), []
    fake.script = ending_slowly(told, may_end, events)
    weir.start(sections={"database *": {"upstream": fake.upstream}}, max_server_connections=1, session_state="allow")
    with weir.raw(database="one"), weir.raw(database="two"):
        assert told.is_set() and events == ["begun", "begun"]
    may_end.set()


def test_both_caps_at_once_let_everybody_through(weir):
    weir.start(max_db_connections=2, max_user_connections=1, max_server_connections=3, session_state="allow")
    clients = [weir.raw(user, database) for user in ("web", "reporting", "admin") for database in ("app", "app2")
               for _ in range(2)]
    assert run_everywhere(weir, clients, rounds=6) <= 3


def test_a_reload_sets_changes_and_lifts_a_cap(weir):
    weir.start(pool_size=6, session_state="allow")
    clients = [weir.raw() for _ in range(6)]
    hold_one_each(weir, clients)
    weir.reload(pool_size=6, session_state="allow", max_db_connections=2)
    wait_until(lambda: weir.postgres.count() <= 2, what="the surplus to be closed")
    assert run_everywhere(weir, clients) <= 2
    hold_one_each(weir, clients[:2])
    weir.reload(pool_size=6, session_state="allow")
    hold_one_each(weir, clients)


def test_who_waits_too_long_learns_which_cap_it_was(weir):
    weir.start_opened("300ms", max_db_connections=1)
    holder = weir.raw("web")
    holder.query(BEGIN_NOW)
    other = weir.raw("web")
    reply = errors(other.ask(query("SELECT 1")))[0]
    assert reply.sqlstate == "53300" and "max_db_connections is used up" in reply.error["D"]


def test_overflow_is_for_those_that_have_waited(weir):
    holder, waiter = weir.start(pool_size=1, max_overflow=2, overflow_delay="700ms", overflow_linger="100ms").raw(), weir.raw()
    holder.query("SELECT 1")
    weir.settle()               # reading the database's code takes a connection, too
    wait_until(lambda: weir.postgres.count() == 1, what="one connection")
    holder.query(BEGIN_NOW)
    begin = time.monotonic()
    assert waiter.query("SELECT 'served'") == [["served"]]
    assert 0.6 < time.monotonic() - begin < 5 * SLOWNESS
    assert weir.postgres.count() == 2


def test_a_client_that_waits_is_told_once_each_time(weir):
    holder = weir.start(pool_size=1, wait_notify="300ms").raw()
    heard = []
    with psycopg.connect(weir.dsn(), autocommit=True) as waiter:
        waiter.add_notice_handler(lambda notice: heard.append((notice.message_primary, notice.message_detail)))
        for times in (1, 2):
            holder.query(BEGIN_NOW)
            answer = weir.in_background(lambda: waiter.execute("SELECT 'served'").fetchone())
            wait_until(lambda: weir.pool()["maxwait"] >= 1, what="a wait of a second")
            holder.query("COMMIT")
            assert answer.result() == ("served",)
            assert len(heard) == times
    assert "waiting for a server connection" in heard[0][0] and heard[0][1] == "The pool has 1 of 1 connections busy (1 + 0 overflow), and 1 client is waiting."


def test_nobody_is_told_unless_it_is_asked_for(weir):
    holder, waiter = weir.start(pool_size=1).raw(), weir.raw()
    holder.query(BEGIN_NOW)
    waiter.send(query("SELECT 'served'"))
    wait_until(lambda: weir.pool()["maxwait"] >= 1, what="a wait of a second")
    holder.query("COMMIT")
    replies = waiter.read_until("Z")
    assert "N" not in [reply.type for reply in replies] and texts(replies) == [["served"]]


def waits(weir, wire, rounds):
    """How long each of some queries took, in seconds, from a client that asks one after the other."""
    found = []
    for _ in range(rounds):
        begin = time.monotonic()
        assert wire.value("SELECT 1 FROM pg_sleep(0.005)") == "1"
        found.append(time.monotonic() - begin)
    return sorted(found)


@pytest.fixture
def crowd(weir):
    """begin(user, count): so many clients that ask without a pause, until the test ends. It returns a list to which the seconds
    that each query takes are added."""
    is_over, running = [], []

    def work(wire, seconds):
        while not is_over:
            begin = time.monotonic()
            wire.query("SELECT pg_sleep(0.005)")
            seconds.append(time.monotonic() - begin)

    def begin(user, count):
        seconds = []
        running.extend(weir.in_background(work, wire, seconds) for wire in [weir.raw(user) for _ in range(count)])
        return seconds
    yield begin
    is_over.append(True)
    each(running).result()


def lent(weir, user):
    return sum(row["sv_active"] for row in weir.console("SHOW POOLS") if row["user"] == user)


def test_a_crowd_of_one_user_does_not_keep_another_waiting(weir, crowd):
    """Four connections: the crowd of 40 may have two, so who has 2 clients never waits for more than one of theirs, where each
    of the crowd waits for a dozen."""
    weir.start(max_server_connections=4, pool_size=4, max_overflow=0, session_state="allow")
    theirs = crowd("web", 40)
    wait_until(lambda: lent(weir, "web") == 4)
    with weir.raw("reporting") as wire:
        theirs.clear()
        found = waits(weir, wire, 60)
    assert found[30] < sorted(theirs)[len(theirs) // 2] / 3, (found[::6], sorted(theirs)[::100])


@pytest.mark.reloads("limits.share_weight", "limits.share_min")
@pytest.mark.parametrize("claim, most", [({"share_weight": 3}, 6), ({"share_min": 6}, 7)])
def test_shares_go_by_weight_and_minimum(weir, crowd, claim, most):
    limits = {"max_server_connections": 8, "pool_size": 8, "max_overflow": 0, "session_state": "allow"}

    def has(count):
        return (weir.postgres.count(usename="reporting"), weir.postgres.count(usename="web")) == (count, 8 - count)
    weir.start(sections={"user reporting": claim}, **limits)
    crowd("web", 12)
    wait_until(lambda: has(0))
    crowd("reporting", 12)
    wait_until(lambda: has(most))
    weir.reload(**limits)
    wait_until(lambda: has(4))
