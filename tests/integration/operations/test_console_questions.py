"""The questions of somebody with a latency problem, each answered by one command of the console."""

import concurrent.futures
import contextlib
import json
import re
import threading
import time

import psycopg2.extras
import pytest

from fakeserver import complete, data_row, ready, row_description
from rawwire import BEGIN_NOW, query
from test_phases import pause
from waiting import PATIENCE, SLOWNESS, each, wait_until
from weir import WORKERS, needs_slow_log, read_slowly, wait_blockers

pytestmark = pytest.mark.weir_only


def holders(weir, command="SHOW HOLDERS"):
    return {row["application_name"]: row for row in weir.console(command)}


def blocked(console, command="SHOW HOLDERS"):
    return {row["application_name"]: row for row in wait_blockers(lambda: console(command))}


def said_of(text, say, *arguments):
    """What say(), of EXPLAIN, says once it has this text, as it does once PostgreSQL has said who blocks whom."""
    return wait_until(lambda: text in "\n".join(said := say(*arguments)) and said, what=text)


def app(weir, name, **options):
    return weir.raw(parameters={"application_name": name}, **options)


# --- who holds my pool, and what does it run? ---

def test_holders_in_every_state(weir, table):
    weir.start(pool_size=6)
    with app(weir, "busy") as busy, app(weir, "idler") as idler, app(weir, "failed") as failed, \
            app(weir, "pinned") as pinned, app(weir, "reader", receive_buffer=65_536) as reader, \
            app(weir, "gone") as gone:
        pinned.query("CREATE TEMP TABLE kept (i int)")
        idler.query(f"BEGIN; INSERT INTO {table} VALUES (1, 'secret')")
        failed.query("BEGIN")
        failed.ask(query("SELECT 1/0"))
        gone.query("SELECT 1")
        begin = time.monotonic()
        busy.send(query("SELECT pg_sleep(60), 'secret'"))
        reader.send(query("SELECT repeat('x', 10000) FROM generate_series(1, 5000)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        wait_until(lambda: weir.postgres.backends(wait_event="ClientWrite"))
        pause(0.3)
        found = holders(weir)
        most = (time.monotonic() - begin) * 1000
        assert set(found) == {"busy", "idler", "failed", "pinned", "reader"}
        assert {name: row["state"] for name, row in found.items()} == {
            "busy": "running", "idler": "idle in transaction", "failed": "idle in transaction (aborted)",
            "pinned": "pinned: temp_table", "reader": "waiting for the client"}
        row = found["busy"]
        assert (row["database"], row["user"], row["waiting"]) == ("app", "web", 0)
        assert row["query"] == "SELECT pg_sleep(?), ?" and re.fullmatch("[0-9a-f]{16}", row["fingerprint"])
        assert 250 < row["state_ms"] <= row["held_ms"] <= most and 250 < row["xact_ms"] <= most     # as xact_start
        assert row["server_pid"] in [pid for pid, in weir.postgres.query(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'")]
        row = found["idler"]
        assert row["xact_ms"] >= 250 and row["query"].startswith("BEGIN; INSERT INTO") and "secret" not in str(found)
        reader.read_until("Z")
        weir.console("KILL_CLIENT " + str(found["busy"]["client_id"]))


def test_pgweir_s_own_questions_are_known_in_pg_stat_activity(weir):
    """What a pinned client's server ran last is the question whether the pin is still needed."""
    with weir.start().raw() as wire:
        wire.query("SELECT pg_advisory_lock(1)")
        last, = wait_until(lambda: [text for text, in weir.postgres.query(
            "SELECT query FROM pg_stat_activity WHERE state = 'idle' AND usename = 'web'") if "pg_locks" in text])
        assert last.split(" ", 1)[1].startswith("/* pgweir */ ")


def test_blockers_are_those_that_others_wait_for(weir):
    weir.start(pool_size=2)
    with app(weir, "old") as old, app(weir, "young") as young, app(weir, "waiter") as waiter, \
            weir.raw(database="app2") as elsewhere:
        elsewhere.query(BEGIN_NOW)
        old.query(BEGIN_NOW)
        pause(0.1)
        young.query(BEGIN_NOW)
        assert weir.console("SHOW BLOCKERS") == []
        waiter.send(query("SELECT 1"))
        weir.wait_waiting(1)
        rows = weir.console("SHOW BLOCKERS")
        assert [(row["application_name"], row["waiting"]) for row in rows] == [("old", 1), ("young", 1)]
        row, = weir.console("SHOW WAITERS")
        assert (row["application_name"], row["query"]) == ("waiter", "SELECT ?")
        assert row["reason"] == "The pool has 2 of 2 connections busy (2 + 0 overflow), and 1 client is waiting."
        old.query("COMMIT")
        waiter.read_until("Z")
        assert weir.console("SHOW BLOCKERS") == []


# --- how large should my pool be? ---

def advice(weir, name="app"):
    return [row["explanation"] for row in weir.console(f"EXPLAIN POOL {name}")]


def test_explain_pool_tells_a_small_pool_from_idle_transactions(weir):
    session = {"database app2": {"pool_mode": "session"}}
    weir.start(session, pool_size=2)
    assert advice(weir)[0].startswith("Database app has no pool")
    with app(weir, "idler") as idler, app(weir, "other") as other, app(weir, "late") as late:
        each((idler, other)).query(BEGIN_NOW)
        weir.reload(session, pool_size=2, pool_timeout="300ms")
        late.ask(query("SELECT 1"))             # in vain
        each((idler, other)).query("COMMIT")
        said = wait_until(lambda: said if "Advice" in (said := advice(weir))[-1] else None)
        assert re.match(r"Pool app/web has pool_size = 2 and max_overflow = 0; these figures are for the last \S+ m?s\.", said[0]), said
        assert re.match(r"In use: [12]\.\d connections on average, 2 or fewer for 95 % of the time, 2 of 2 at most\.", said[1]), said
        assert re.match(r"Lent \d+ times?, for \S+ \S+ on average; of the time that connections were in use \d+ % went by idle in "
                        r"transaction, 0 % waiting for the client, \d+ % between transactions\.", said[2]), said
        assert re.search(r", of \S+ m?s on average; timed out: 1\.", said[3]), said
        assert said[4].startswith("Without a limit ") and said[5].startswith("Advice: shorten what clients do with a connection"), said
    with weir.raw(database="app2") as wire:
        wire.query("SELECT 1")
        assert "session mode" in advice(weir, "app2")[-1]


def test_explain_pool_says_how_much_larger(weir):
    weir.start_opened("300ms", pool_size=1)
    with app(weir, "busy") as busy, app(weir, "late") as late:
        busy.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        late.ask(query("SELECT 1"))
        said = advice(weir)
        assert said[4].startswith("Without a limit "), said
        assert said[5] == "Of 1 connection in use 1 is running."
        assert said[6].startswith("Advice: raise pool_size to about 2, if PostgreSQL has processors to spare"), said
        weir.console("KILL_CLIENT " + str(holders(weir)["busy"]["client_id"]))


@contextlib.contextmanager
def closed_load(weir, clients, sql):
    """Clients in threads that send the next request when they have an answer."""
    is_over = threading.Event()

    def run(wire):
        while not is_over.is_set():
            wire.ask(query(sql))

    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(weir.raw()) for _ in range(clients)]
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(clients))
        running = [pool.submit(run, wire) for wire in wires]
        try:
            yield
        finally:
            is_over.set()
        for future in running:
            future.result(PATIENCE)


def test_explain_pool_knows_the_bounds_where_clients_wait_for_each_answer(weir):
    """Eight clients that always have something to do, on two connections: all eight could be of use."""
    weir.start_opened("10min", pool_size=2)

    def bounds():
        said = advice(weir)
        found = [re.match(r"Without a limit (\S+) would have been in use on average \(\S+ requests a second, \S+ ms each\), or up "
                          r"to (\S+) if clients send nothing while they wait\.", line) for line in said]
        least, most = next(((float(m[1]), float(m[2])) for m in found if m), (0, 0))
        return said if 1 < least < 3 and 6 < most <= 8 else None

    with closed_load(weir, 8, "SELECT pg_sleep(0.1)"):
        said = wait_until(bounds)
        assert re.match(r"Advice: raise pool_size to about [345], in steps up to [78] where clients wait for each answer, if PostgreSQL",
                        said[-1]), said
        assert not any("times as long" in line for line in said), said    # nothing is known of that: always as many were in use


def test_what_a_full_pool_waits_for_is_said_in_one_voice(weir, table):
    """EXPLAIN POOL, EXPLAIN WAIT, the client's HINT and the log: nobody wants a larger pool for those who don't use it."""
    weir.postgres.query(f"INSERT INTO {table} VALUES (1, 'a')")
    settings = {"sections": {"log": {"format": "json"}}, "pool_size": 6, "max_overflow": 0, "max_server_connections": 20}
    weir.start_opened("10min", **settings)
    with app(weir, "root") as root, app(weir, "one") as one, app(weir, "two") as two, app(weir, "pinned") as pinned, \
            app(weir, "reader", receive_buffer=65_536) as reader, app(weir, "busy") as busy, app(weir, "late") as late:
        root.query(f"BEGIN; UPDATE {table} SET id = id")
        pinned.query("CREATE TEMP TABLE kept (i int)")
        reader.send(query("SELECT repeat('x', 10000) FROM generate_series(1, 5000)"))
        busy.send(query("SELECT pg_sleep(60)"))
        two.query("BEGIN")
        for number, wire in enumerate((one, two), 1):
            wire.send(query(f"UPDATE {table} SET id = id"))
            wait_until(lambda n=number: len(weir.postgres.backends(wait_event_type="Lock")) == n)
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep") and weir.postgres.backends(wait_event="ClientWrite"))
        late.send(query("SELECT 1"))
        weir.wait_waiting(1)
        uses = ("Of 6 connections in use 2 are blocked by locks, 1 is running, 1 is waiting for the client, 1 is idle in transaction, "
                "1 is pinned.")
        waited, pool = said_of(uses, waiting, weir, "late"), said_of(uses, advice, weir)
        number = holders(weir)["root"]["client_id"]
        helps = (rf"What helps: end client {number}'s transaction, idle for \S+ m?s \(KILL_CLIENT {number} in the pgweir console\), or "
                 r"set idle_transaction_timeout; it keeps 3 of them\.")
        for said in (waited, pool):
            assert any(re.fullmatch(helps, s) for s in said), said
            assert not any("raise" in s for s in said), said
        assert re.search(r"has waited \S+ m?s for a server of pool app/web", pool[5]), pool
        weir.reload(pool_timeout="300ms", **settings)
        error = late.read_until("Z")[0].error
        assert re.match(r"End client \d+, which has kept its server between transactions \(SHOW PINS\)|End client \d+'s transaction",
                        error["H"]), error
        line = wait_until(lambda: [line for line in map(json.loads, weir.log().splitlines())
                                   if line.get("event") == "pool_exhausted"])[0]
        assert [line[field] for field in ("running", "waiting_for_client", "idle_in_transaction", "pinned")] == [3, 1, 1, 1]
        assert "3 running, 1 waiting for the client, 1 idle in transaction, 1 pinned" in line["message"]
        root.query("COMMIT")
        two.read_until("Z")
        two.query("COMMIT")
        one.read_until("Z")
        weir.console("KILL_CLIENT " + str(holders(weir)["busy"]["client_id"]))
        reader.read_until("Z")


# By what keeps web's clients in app from getting a connection: settings, and in which pool the two are that have them all.
KEPT_FROM = {
    "pool": ({"pool_size": 2, "max_overflow": 0}, ("web", "app")),
    "overflow": ({"pool_size": 1, "max_overflow": 1}, ("web", "app")),
    "user": ({"max_user_connections": 2}, ("web", "app2")),
    "database": ({"max_db_connections": 2}, ("reporting", "app")),
    "server": ({"max_server_connections": 2}, ("reporting", "app2")),
    "share_min": ({"max_server_connections": 3, "sections": {"user reporting": {"share_min": 2}}}, ("reporting", "app2")),
    "budget": ({"budget": "on", "budget_connections": 5, "cluster_user": "scramuser"}, ("reporting", "app2")),
}


@contextlib.contextmanager
def all_taken(weir, kind, first):
    """By "first", to which that is sent, and by those that run something until they are killed. Two others wait: they are yielded."""
    settings, (user, database) = KEPT_FROM[kind]
    weir.start(pool_timeout="10min", **settings)
    with app(weir, "first", user=user, database=database) as wire, app(weir, "busy", user=user, database=database) as busy, \
            app(weir, "late 0") as late, app(weir, "late 1") as later, app(weir, "runner") as runner:
        wire.send(query(first))
        runs = [busy, runner] if kind == "share_min" else [busy]            # the one place that is nobody's
        each(runs).send(query("SELECT pg_sleep(600)"))
        wait_until(lambda: len(weir.postgres.backends(wait_event="PgSleep")) == len(runs) + ("pg_sleep" in first))
        wait_until(lambda: "pg_sleep" in first or holders(weir)["first"]["state"] != "running")    # else nobody blames it
        each([late, later]).send(query("SELECT 1"))
        weir.wait_waiting(2)
        yield late, later
        for row in holders(weir).values():
            if row["state"] == "running":
                weir.console(f"KILL_CLIENT {row['client_id']}")


@pytest.mark.parametrize("kind", [kind for kind in KEPT_FROM if kind != "share_min"])
def test_who_keeps_a_place_is_named_whatever_the_limit_and_in_whichever_pool(weir, kind):
    """By EXPLAIN POOL of both pools, EXPLAIN WAIT, SHOW BLOCKERS, the HINT and the log; nobody says that a limit should be
    raised."""
    settings, there = KEPT_FROM[kind]
    with all_taken(weir, kind, "BEGIN; SELECT 'mine'") as (late, _):
        found = holders(weir, "SHOW BLOCKERS")
        assert {found[name]["waiting"] for name in ("first", "busy")} == {2}, found
        number = found["first"]["client_id"]
        helps = (rf"end client {number}'s transaction, idle for \S+ m?s \(KILL_CLIENT {number} in the pgweir console\), "
                 r"or set idle_transaction_timeout")
        for say, of in ((waiting, "late 0"), (advice, "app"), (advice, there[1])):
            said = said_of("it keeps 1 of them.", say, weir, of)
            assert any(re.fullmatch(rf"What helps: {helps}; it keeps 1 of them\.", s) for s in said), said
            assert not any("aise" in s or "size is right" in s for s in said), said
        assert any('application "first"' in s for s in waiting(weir, "late 0"))
        weir.reload(pool_timeout="300ms", **settings)
        hint = late.read_until("Z")[0].error["H"]
        line = wait_until(lambda: [line for line in weir.log().splitlines() if "timed out after" in line])[0]
        if WORKERS == 1:                        # of another worker's pools only the console knows who keeps what
            assert re.fullmatch(f"E{helps[1:]}\\.", hint), hint
            assert 'application "first"' in line and ", idle in transaction: BEGIN; SELECT ?" in line, line
            assert f"End client {number}'s transaction" in line, line


def test_nobody_is_blamed_for_a_place_that_another_pool_keeps_anyhow(weir):
    """Both places of reporting are its share_min: web would not get one if reporting's idle transaction ended. The last one it would."""
    settings, _ = KEPT_FROM["share_min"]
    with all_taken(weir, "share_min", "BEGIN; SELECT 'mine'") as (late, later):
        found = holders(weir)
        assert [found[name]["waiting"] for name in ("first", "busy", "runner")] == [0, 0, 2], found
        number = found["first"]["client_id"]
        for say, of in ((waiting, "late 0"), (advice, "app")):
            said = "\n".join(say(weir, of))
            assert f"nd client {number}'s" not in said and "other pools have 2 of 3 as their share (share_weight, share_min)" in said, said
        weir.reload(pool_timeout="300ms", **settings)
        error = late.read_until("Z")[0].error
        assert error["H"].startswith("Raise max_server_connections") or WORKERS > 1, error
        assert "as their share (share_weight, share_min)" in error["D"], error
        weir.reload(pool_timeout="10min", **settings)
        late.send(query("SELECT 1"))
        weir.wait_waiting(1 if later.read_until("Z") else 2)
        weir.console(f"KILL_CLIENT {number}")
        wait_until(lambda: weir.pool("app2", "reporting")["sv_idle"] == 1)
        assert weir.pool()["cl_waiting"] == 1
        busy = holders(weir)["busy"]["client_id"]
        assert any(f"Client {busy} " in s for s in waiting(weir, "late 0"))        # its pool is out of use then, and has no share
        weir.console(f"KILL_CLIENT {busy}")
        late.read_until("Z")


@pytest.mark.parametrize("kind", KEPT_FROM)
def test_a_limit_is_to_be_raised_where_all_are_at_work(weir, kind):
    with all_taken(weir, kind, "SELECT pg_sleep(600)") as (late, _):
        weir.reload(pool_timeout="300ms", **KEPT_FROM[kind][0])
        hint = late.read_until("Z")[0].error["H"]
        limit = {"pool": "pool_size", "overflow": "pool_size", "budget": "budget_connections", "share_min": "max_server_connections",
                 "user": "max_user_connections", "database": "max_db_connections", "server": "max_server_connections"}[kind]
        assert re.search(f"[Rr]aise {limit}", hint), hint
        assert (hint.startswith("Raise") or WORKERS > 1) == (kind != "budget"), hint


def test_a_client_that_does_not_read_is_named(weir):
    """By the HINT of who waited for its connection, EXPLAIN WAIT of both, EXPLAIN POOL, SHOW HOLDERS and the log."""
    settings = {"sections": {"log": {"format": "json"}}, "pool_size": 1}
    weir.start_opened("10min", **settings)
    with app(weir, "reader", receive_buffer=65_536) as reader, app(weir, "late") as late:
        reader.send(query("SELECT repeat('x', 10000) FROM generate_series(1, 5000)"))
        # One that has read until just now is not blamed by who comes at that moment.
        wait_until(lambda: (row := holders(weir)["reader"])["state"] == "waiting for the client" and int(row["state_ms"]) > 200)
        late.send(query("SELECT 1"))
        weir.wait_waiting(1)
        number = holders(weir)["reader"]["client_id"]
        helps = rf"end client {number}, which has not read its result for \S+ m?s \(KILL_CLIENT {number} in the pgweir console\), or set query_timeout"
        for say in (lambda: waiting(weir, "late"), lambda: advice(weir)):       # a client that has read until just now is not blamed
            wait_until(lambda: any(re.fullmatch(f"What helps: {helps}; it keeps 1 of them\\.", s) for s in say()))  # pylint: disable=cell-var-from-loop
        assert holders(weir)["reader"]["state"] == "waiting for the client"
        assert waiting(weir, "reader")[1].startswith("It is the client's turn: to read its result")
        weir.reload(pool_timeout="300ms", **settings)
        assert re.fullmatch(f"E{helps[1:]}\\.", late.read_until("Z")[0].error["H"])
        line = wait_until(lambda: [line for line in map(json.loads, weir.log().splitlines())
                                   if line.get("event") == "pool_exhausted"])[0]
        assert (line["running"], line["waiting_for_client"]) == (0, 1)
        assert 'application "reader"), waiting for the client: SELECT repeat' in line["message"]
        said_of(f"Advice: end client {number}, which has not read its result", advice, weir)
        reader.read_until("Z")
    assert advice(weir)[-1].startswith("Advice: shorten what clients do with a connection instead of enlarging the pool"), advice(weir)


# --- what are the top statements of application X? ---

def waiting(weir, of):
    """What EXPLAIN WAIT says of the client with this application_name."""
    found = [row["id"] for row in weir.console("SHOW CLIENTS") if row["application_name"] == of]
    return [row["explanation"] for row in weir.console(f"EXPLAIN WAIT {found[0]}")]


def test_explain_wait_names_the_cause_and_those_in_the_way(weir, table):
    weir.start(pool_size=2, max_overflow=0, pool_timeout="30s")
    with app(weir, "batch") as batch, app(weir, "report") as report, app(weir, "web 1") as one, app(weir, "web 2") as two:
        batch.query(f"BEGIN; INSERT INTO {table} VALUES (1, 'secret')")
        report.send(query("SELECT pg_sleep(60), 'secret'"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        for number, wire in enumerate((one, two), 1):
            wire.send(query("SELECT 1"))
            wait_until(lambda n=number: len(weir.console("SHOW WAITERS")) == n)
        said = waiting(weir, "web 2")
        assert re.fullmatch(r'Client \d+ \(127\.0\.0\.1:\d+, user "web", database "app", application "web 2"\) has waited \S+ m?s for a server '
                            r'of pool app/web; it gets an error after 30 s\.', said[0]), said
        assert said[1] == "It is number 2 of 2 in the queue."
        assert said[2] == "The cause: The pool has 2 of 2 connections busy (2 + 0 overflow), and 2 clients are waiting."
        assert said[3] == "Of 2 connections in use 1 is running, 1 is idle in transaction."
        assert re.fullmatch(r"What helps: end client \d+'s transaction, idle for \S+ m?s \(KILL_CLIENT \d+ in the pgweir console\), "
                            r"or set idle_transaction_timeout; it keeps 1 of them\.", said[4]), said
        assert re.search(r'application "batch".* has had a server for \S+ m?s \(PID \d+ in PostgreSQL\); idle in transaction for '
                         r'\S+ m?s: BEGIN; INSERT INTO', said[5]), said
        assert re.search(r'application "report".*; running for \S+ m?s: SELECT pg_sleep\(\?\), \?\.$', said[6]), said
        assert len(said) == 7 and "secret" not in str(said)
        assert "number 1 of 2" in waiting(weir, "web 1")[1]
        running = said_of("It is waiting for PostgreSQL, and no lock is in its way.", waiting, weir, "report")
        assert "running" in running[0], running
        assert "It is the client's turn" in waiting(weir, "batch")[1]
        batch.query("ROLLBACK")
        one.read_until("Z")
        two.read_until("Z")
        assert "waits for no server. It is idle" in waiting(weir, "web 1")[0]
        weir.console("KILL_CLIENT " + str(next(r["id"] for r in weir.console("SHOW CLIENTS") if r["application_name"] == "report")))
    gone = weir.console("EXPLAIN WAIT 999999")[0]["explanation"]
    assert "There is no client 999999" in gone and "SHOW EVENTS LIKE '%client 999999 %'" in gone


def test_in_a_paused_pool_only_resume_helps(weir):
    """And not the end of the client that holds what the pool has, as the client's own HINT says."""
    weir.start(pool_size=1, max_overflow=0, pool_timeout="30s")
    with app(weir, "holder") as holder, app(weir, "web") as web, weir.raw("admin", "pgweir") as console:
        holder.query("BEGIN; SELECT 1")
        console.send(query("PAUSE"))
        wait_until(lambda: weir.console("SHOW DATABASES")[0]["paused"])
        web.send(query("SELECT 1"))
        wait_until(lambda: weir.console("SHOW WAITERS"))
        said = waiting(weir, "web")
        assert said[2] == "The cause: The pool is paused, and 1 client is waiting." and \
            "What helps: RESUME it in the pgweir console." in said, "\n".join(said)
        assert not any("KILL_CLIENT" in line for line in said if line.startswith("What helps")), said
        weir.console("RESUME")
        holder.query("ROLLBACK")
        web.read_until("Z")


@pytest.mark.parametrize("how", ["simple", "extended"])
def test_who_holds_the_lock_in_postgresql(weir, table, how):
    """One blocker is a client of pgweir's, another is not; who waits for no lock has nobody."""
    weir.start(pool_size=4, max_server_connections=20)
    with app(weir, "holder") as holder, app(weir, "waiter") as waiter, app(weir, "sleeper") as sleeper, \
            contextlib.closing(weir.postgres.connect("app")) as elsewhere:
        holder.query(f"BEGIN; LOCK TABLE {table} IN ACCESS SHARE MODE")
        elsewhere.autocommit = False
        elsewhere.cursor().execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
        foreign = elsewhere.get_backend_pid()
        waiter.send(query(f"BEGIN; LOCK TABLE {table}; COMMIT"))
        sleeper.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep") and weir.postgres.backends(wait_event_type="Lock"))
        if how == "simple":
            with psycopg2.connect(weir.dsn("admin", "pgweir"), cursor_factory=psycopg2.extras.RealDictCursor) as console:
                console.autocommit = True
                with console.cursor() as cursor:
                    found = blocked(lambda command: (cursor.execute(command), list(cursor))[1])
        else:
            found = blocked(weir.console)
        pid = int(found["holder"]["server_pid"])
        client = found["holder"]["client_id"]
        assert sorted(found["waiter"]["blocked_by"].split(", ")) == sorted([f"client {client} (PID {pid})", f"PID {foreign}"])
        assert found["sleeper"]["blocked_by"] == "" == found["holder"]["blocked_by"]
        said = said_of("will get first", waiting, weir, "waiter")
        assert "blocked by " in said[0] and "will get first" in said[1] and all(f"client {client} (PID {pid})" in s for s in said[:2])
        said_of("It is waiting for PostgreSQL, and no lock is in its way.", waiting, weir, "sleeper")
        weir.console("KILL_CLIENT " + str(found["sleeper"]["client_id"]))
        holder.query("COMMIT")
        elsewhere.rollback()
        waiter.read_until("Z")


def test_a_lock_that_many_hold_is_said_to_be_held_by_some_of_them(weir):
    """The PIDs of all of them are hundreds of bytes. Another one, who waits for one client, is told of that client all the same."""
    weir.start(pool_size=3, max_server_connections=20)
    with app(weir, "holder") as holder, app(weir, "migration") as migration, app(weir, "waiter") as waiter, \
            contextlib.ExitStack() as readers:
        pids = set()
        for _ in range(80):
            reader = readers.enter_context(contextlib.closing(weir.postgres.connect("app")))
            reader.cursor().execute("BEGIN; SELECT pg_advisory_xact_lock_shared(1)")
            pids.add(f"PID {reader.info.backend_pid}")
        holder.query("BEGIN; SELECT pg_advisory_xact_lock(2)")
        migration.send(query("SELECT pg_advisory_xact_lock(1)"))
        waiter.send(query("SELECT pg_advisory_xact_lock(2)"))
        wait_until(lambda: len(weir.postgres.backends(wait_event_type="Lock")) == 2)
        found = blocked(weir.console)
        named = found["migration"]["blocked_by"].split(", ")
        assert len(named) == 8 and pids.issuperset(named) and found["migration"]["root"] == named[0]
        assert found["waiter"]["blocked_by"] == f"client {found['holder']['client_id']} (PID {found['holder']['server_pid']})"
        holder.query("COMMIT")
        waiter.read_until("Z")
        readers.close()
        migration.read_until("Z")


def test_explain_wait_goes_on_to_the_root(weir, table):
    """Three wait behind each other, the first of them for a transaction that somebody has forgotten; a fourth has no server."""
    weir.postgres.query(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    weir.start(pool_size=4, max_overflow=0, pool_timeout="60s", max_server_connections=20)
    lock = f"UPDATE {table} SET id = id WHERE id = "
    with app(weir, "first") as first, app(weir, "second") as second, app(weir, "third") as third, app(weir, "root") as root, \
            app(weir, "late") as late:
        for number, wire in enumerate((root, first, second), 1):
            wire.query(f"BEGIN; {lock}{number}")
        for number, wire in enumerate((first, second, third), 1):
            wire.send(query(f"{lock}{number}"))
            wait_until(lambda n=number: len(weir.postgres.backends(wait_event_type="Lock")) == n)
        late.send(query("SELECT 1"))
        weir.wait_waiting(1)
        found = blocked(weir.console)
        who = f"client {found['root']['client_id']} (PID {found['root']['server_pid']})"
        assert {name: (row["root"], row["blocks"]) for name, row in found.items()} == {
            "root": ("", 3), "first": (who, 2), "second": (who, 1), "third": (who, 0)}
        assert list(found) == ["root", "first", "second", "third"]                 # who holds longest comes first
        assert list(blocked(weir.console, "SHOW BLOCKERS")) == ["root", "first", "second", "third"]
        helps = (rf"What helps: end client {found['root']['client_id']}'s transaction, idle for \S+ m?s \(KILL_CLIENT "
                 rf"{found['root']['client_id']} in the pgweir console\), or set idle_transaction_timeout")
        said = said_of("At the root is", waiting, weir, "third")
        assert f"client {found['second']['client_id']} " in said[1] and said[2].startswith(f"At the root is {who}, which blocks 3")
        assert "idle in transaction for" in said[3] and re.fullmatch(helps + r"\.", said[4]), said
        said = said_of("blocked by locks", waiting, weir, "late")
        assert said[3] == "Of 4 connections in use 3 are blocked by locks, 1 is idle in transaction."
        assert re.fullmatch(helps + r"; it keeps 4 of them\.", said[4]), said
        said = said_of("It blocks", waiting, weir, "root")
        assert said[2] == "It blocks 3 clients, some behind each other:" and re.fullmatch(helps + r"\.", said[6]), said
        assert [re.search('application "([^"]*)"', line)[1] for line in said[3:6]] == ["first", "second", "third"]
        root.query("ROLLBACK")
        first.read_until("Z")
        late.read_until("Z")
        first.query("ROLLBACK")
        second.read_until("Z")
        second.query("ROLLBACK")
        third.read_until("Z")


def test_a_chain_goes_on_behind_a_process_that_is_not_pgweir_s(weir, table):
    """A migration by psql waits for a forgotten transaction, and all others wait for the migration."""
    weir.postgres.query(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
    weir.start(pool_size=4, max_overflow=0)
    lock = f"UPDATE {table} SET id = id WHERE id = "
    outside = weir.postgres.connect("app", user="web")
    with concurrent.futures.ThreadPoolExecutor() as threads, contextlib.closing(outside), outside.cursor() as cursor, \
            app(weir, "first") as first, app(weir, "root") as root:
        root.query(f"BEGIN; {lock}1")
        cursor.execute(f"BEGIN; {lock}2")
        migration = threads.submit(cursor.execute, f"{lock}1")
        wait_until(lambda: len(weir.postgres.backends(wait_event_type="Lock")) == 1)
        first.send(query(f"{lock}2"))
        wait_until(lambda: len(weir.postgres.backends(wait_event_type="Lock")) == 2)
        found = blocked(weir.console)
        who = f"client {found['root']['client_id']} (PID {found['root']['server_pid']})"
        assert (found["first"]["blocked_by"], found["first"]["root"]) == (f"PID {outside.info.backend_pid}", who)
        assert (found["root"]["root"], found["root"]["blocks"]) == ("", 1)
        said = said_of("At the root is", waiting, weir, "first")
        assert said[1].endswith(f"that PID {outside.info.backend_pid} holds or will get first."), said
        assert said[2].startswith(f"At the root is {who}, which blocks 1 client") and f"end client {found['root']['client_id']}'s" in said[4]
        root.query("ROLLBACK")
        migration.result(PATIENCE)
        cursor.execute("ROLLBACK")
        first.read_until("Z")


def test_who_waits_for_a_deadlock_of_others_counts_once(weir, fake):
    """Until PostgreSQL ends the deadlock, the chain of whoever waits behind it goes round for ever."""
    pids, waits_for = {}, {"one": "other", "other": "one", "behind": "one"}

    def answer(conn, kind, body):
        if kind == "Q" and b"pg_blocking_pids" in body:
            conn.send(row_description("pid", "blockers"), *(data_row(pids[who], pids[whom]) for who, whom in waits_for.items()),
                      complete("SELECT 3"), ready())
        return b"pg_blocking_pids" in body or b"'long'" in body

    fake.answer = answer
    weir.start(None, fake.upstream, pool_size=3)
    with app(weir, "one") as one, app(weir, "other") as other, app(weir, "behind") as behind:
        each((one, other, behind)).query("BEGIN; SELECT 1")
        pids.update((name, str(row["server_pid"])) for name, row in holders(weir).items())
        each((one, other, behind)).send(query("SELECT 'long'"))
        wait_until(lambda: {row["state"] for row in holders(weir).values()} == {"running"})
        found = blocked(weir.console)
        assert {name: row["blocks"] for name, row in found.items()} == {"one": 2, "other": 2, "behind": 0}


def test_an_idle_connection_makes_room_for_the_question_about_locks(weir):
    weir.start(max_server_connections=3)
    with app(weir, "holder") as holder, app(weir, "waiter") as waiter, app(weir, "idle") as idle:
        holder.query("BEGIN; SELECT pg_advisory_xact_lock(1)")
        waiter.send(query("SELECT pg_advisory_xact_lock(1)"))
        wait_until(lambda: weir.postgres.backends(wait_event_type="Lock"))

        def is_told():                      # within 200 ms, which PostgreSQL may need for the end of a session if it is busy
            idle.query("SELECT 1")
            return holders(weir)["waiter"]["blocked_by"].startswith("client ")
        wait_until(is_told)
        holder.query("COMMIT")
        waiter.read_until("Z")


def test_it_is_said_when_no_connection_was_free_for_the_question_about_locks(weir):
    weir.start(max_server_connections=2, pool_timeout="10min")
    with app(weir, "holder") as holder, app(weir, "waiter") as waiter, app(weir, "late") as late:
        holder.query("BEGIN; SELECT pg_advisory_xact_lock(1)")
        waiter.send(query("SELECT pg_advisory_xact_lock(1)"))
        wait_until(lambda: weir.postgres.backends(wait_event_type="Lock"))
        late.send(query("SELECT 1"))
        weir.wait_waiting(1)
        for say, of in ((waiting, "late"), (advice, "app")):
            said_of("Whether locks are in their way is not known, as PostgreSQL could not be asked, or has not answered", say, weir, of)
        holder.query("COMMIT")
        waiter.read_until("Z")
        late.read_until("Z")


def test_no_answer_about_locks_is_waited_for_a_second(weir, tap):
    """PostgreSQL takes no more connections: the console answers all the same, and says what to ask there."""
    weir.start(upstream=f"host={tap.host} port={tap.port}")
    with app(weir, "runner") as runner:
        runner.query("SELECT 1")
        runner.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        tap.stall(new=True)
        begin = time.monotonic()
        row = holders(weir)["runner"]
        assert row["blocked_by"] is None and 0.8 < time.monotonic() - begin < 5 * SLOWNESS
        assert "SELECT pg_blocking_pids(" in waiting(weir, "runner")[1]
        tap.unstall()
        weir.console("KILL_CLIENT " + str(row["client_id"]))
        wait_until(lambda: not weir.postgres.backends(wait_event="PgSleep"))        # its cancel is through


def test_explain_wait_of_a_paused_pool(weir):
    weir.start()
    with app(weir, "web 1") as one:
        one.query("SELECT 1")
        weir.console("PAUSE app")
        one.send(query("SELECT 1"))
        wait_until(lambda: weir.console("SHOW WAITERS"))
        said = waiting(weir, "web 1")
        assert "The cause: The pool is paused, and 1 client is waiting." in said
        assert "What helps: RESUME it in the pgweir console." in said
        weir.console("RESUME app")
        one.read_until("Z")


def test_queries_by_application(weir):
    weir.start(query_stats="on")
    with app(weir, "api") as api, app(weir, "batch") as batch:
        api.query("SELECT 1")                   # what opening the connection takes shall be nobody's
        wait_until(lambda: weir.console("SHOW QUERIES"), what="it to be counted, by another worker than the console's")
        weir.console("RESET QUERIES")
        begin = time.monotonic()
        for i in range(10):
            assert api.query(f"SELECT {i} AS n, 'literal {i}'")
        api.query("select  1 AS n , 'x' /* the same */")
        batch.query("SELECT 1 AS n, 'x'")
        for _ in range(3):
            batch.extended("SELECT pg_sleep($1)", [0.1], name="")
        batch.ask(query("SELECT 1/0"))
        took_ms = (time.monotonic() - begin) * 1000
    wait_until(lambda: any(row["errors"] for row in weir.console("SHOW QUERIES")), what="the last one to be counted")
    rows = {(row["application_name"], row["query"]): row for row in weir.console("SHOW QUERIES")}
    assert set(rows) == {("api", "SELECT ? AS n, ?"), ("batch", "SELECT ? AS n, ?"), ("batch", "SELECT pg_sleep($1)"),
                         ("batch", "SELECT ?/?")}, rows.keys()
    many, slept = rows["api", "SELECT ? AS n, ?"], rows["batch", "SELECT pg_sleep($1)"]
    assert (many["calls"], many["rows"], many["errors"]) == (11, 11, 0)
    assert many["fingerprint"] == rows["batch", "SELECT ? AS n, ?"]["fingerprint"]
    assert rows["batch", "SELECT ?/?"]["errors"] == 1
    assert slept["calls"] == 3 and 300 < slept["total_ms"] < took_ms and 100 < slept["mean_ms"] < took_ms / 3
    assert 75 < slept["p95_ms"] <= slept["max_ms"] and slept["max_ms"] >= slept["mean_ms"]
    again = weir.console("SHOW QUERIES")         # of equal sums either may come first
    assert [row["total_ms"] for row in again] == sorted((row["total_ms"] for row in rows.values()), reverse=True)
    assert {(row["application_name"], row["query"]): row for row in again} == rows
    assert len(weir.console("SHOW QUERIES 2 BY calls")) == 2
    assert weir.console("SHOW QUERIES 1 BY calls") == [many]
    assert weir.console("SHOW QUERIES BY errors LIKE 'ba%'")[0]["errors"] == 1
    assert {row["application_name"] for row in weir.console("SHOW QUERIES LIKE 'api'")} == {"api"}
    weir.console("RESET QUERIES")
    assert weir.console("SHOW QUERIES") == []


PHASES = ("wait_ms", "connect_ms", "server_ms", "stream_ms", "client_write_ms", "proxy_ms")


def test_queries_say_where_their_time_went(weir):
    """To a lock, to a client that does not read, and to PostgreSQL: each in its own column, as in the slow-query log."""
    weir.start(query_stats="on", pool_size=1, threshold="200ms")
    with app(weir, "holder") as holder, app(weir, "waiter") as waiter:
        holder.query("SELECT 1")
        weir.console("RESET QUERIES")
        holder.query(BEGIN_NOW)
        waiter.send(query("SELECT 'waits'"))
        weir.wait_waiting(1)
        holder.query("SELECT pg_sleep(0.4)", "COMMIT")
        waiter.read_until("Z")
    read_slowly(weir)
    found = wait_until(lambda: (rows := weir.console("SHOW QUERIES")) and any("generate_series" in row["query"] for row in rows) and rows)
    rows = {row["query"]: row for row in found}
    waits, sleeps = rows["SELECT ?"], rows["SELECT pg_sleep(?)"]
    slowly = next(row for row in rows.values() if "generate_series" in row["query"])
    assert waits["wait_ms"] > 350 > waits["server_ms"] and sleeps["server_ms"] > 390 > sleeps["wait_ms"]
    assert slowly["client_write_ms"] > 500 and slowly["wait_ms"] < 100
    for row in rows.values():
        assert abs(sum(row[phase] for phase in PHASES) - row["total_ms"]) < 0.1, row
    assert 99 < sum(row["server_percent"] for row in rows.values()) <= 100 and sleeps["server_percent"] > 20
    slow = next(row for row in weir.console("SHOW SLOW") if "generate_series" in row["query"])
    assert all(slow[phase] == slowly[phase] for phase in PHASES)
    for word in [*PHASES, "wait", "client_write", "server_percent", "rows", "mean"]:
        found = [row[word if word in slowly else word + "_ms"] for row in weir.console(f"SHOW QUERIES BY {word}")]
        assert found == sorted(found, reverse=True), word
    with pytest.raises(Exception, match='SHOW QUERIES has no column of numbers "query"'):
        weir.console("SHOW QUERIES BY query")


def test_queries_per_statement_application_or_user(weir):
    weir.start(query_stats="on", sections={"database app2": {"upstream": weir.upstream(dbname="app2")}})
    apps = [app(weir, f"web-{i}") for i in range(8)]
    with app(weir, "report") as report, weir.raw(user="reporting", database="app2", parameters={"application_name": "web-0"}) as other:
        each(apps).query("SELECT 1")
        each([report, other]).query("SELECT 1")
        wait_until(lambda: len(weir.console("SHOW QUERIES")) == 10)
        weir.console("RESET QUERIES")
        for i, wire in enumerate(apps):
            wire.query(f"SELECT {i}, pg_sleep(0.0{i})", "SELECT 'x'")
        other.query("SELECT 4, pg_sleep(0.01)")
        report.query("SELECT 'x'")
        rows = wait_until(lambda: len(found := weir.console("SHOW QUERIES")) == 18 and found)
    sums = {column: sum(row[column] for row in rows) for column in ("calls", "rows", "total_ms", "server_ms", "client_write_ms")}

    def per(what, *more):
        found = weir.console(" ".join([f"SHOW QUERIES PER {what}", *more]))
        if not more:
            for column, value in sums.items():
                assert abs(sum(row[column] for row in found) - value) < 0.01, column
        return found

    sleeps, quick = per("statement")
    assert (sleeps["calls"], sleeps["query"], quick["calls"], quick["query"]) == (9, "SELECT ?, pg_sleep(?)", 9, "SELECT ?")
    assert {sleeps["database"], sleeps["user"], sleeps["application_name"], quick["application_name"]} == {"(several)"}
    assert (quick["database"], quick["user"]) == ("app", "web") and sleeps["fingerprint"] and sleeps["server_percent"] > 50
    of_sleeps = [row for row in rows if row["fingerprint"] == sleeps["fingerprint"]]
    assert sleeps["max_ms"] == max(row["max_ms"] for row in of_sleeps) and sleeps["p95_ms"] <= sleeps["max_ms"]
    assert sleeps["first_seen"] == min(row["first_seen"] for row in of_sleeps)
    assert sleeps["last_seen"] == max(row["last_seen"] for row in of_sleeps)
    applications = {row["application_name"]: row for row in per("application")}
    assert set(applications) == {"report", *(f"web-{i}" for i in range(8))}
    zero = applications["web-0"]
    assert (zero["calls"], zero["query"], zero["fingerprint"], zero["user"]) == (3, "(several)", None, "(several)")
    assert (applications["report"]["query"], applications["web-1"]["user"]) == ("SELECT ?", "web")
    assert [(row["user"], row["calls"]) for row in per("user")] == [("web", 17), ("reporting", 1)]
    liked = per("user", "LIKE 'report%'")                    # of the application report, and of the user reporting
    assert {(row["user"], row["calls"]) for row in liked} == {("web", 1), ("reporting", 1)}
    row, = weir.console("SHOW QUERIES 1 PER application BY calls LIKE 'web-_'")
    assert (row["application_name"], row["calls"]) == ("web-0", 3)
    with pytest.raises(Exception, match="SHOW QUERIES is PER statement, application or user"):
        weir.console("SHOW QUERIES PER database")


def test_the_page_has_one_row_per_statement(weir):
    weir.start(query_stats="on")
    with app(weir, "web-0") as one, app(weir, "web-1") as other:
        one.query("SELECT 'x'")
        other.query("SELECT 'y'")
        row, = wait_until(lambda: (found := json.loads(weir.http("/api/v1/queries").text)) and sum(row["calls"] for row in found) == 2 and found)
    assert (row["user"], row["application_name"], row["server_percent"]) == ("web", "(several)", 100)


def test_the_table_of_queries_is_bounded(weir):
    """What costs the most stays."""
    with weir.start(query_stats="on", table_size=20).raw() as wire:
        wire.query("SELECT pg_sleep(0.1)")
        for i in range(100):
            wire.query(f"SELECT 1 AS a{i}")
    rows = weir.console("SHOW QUERIES")
    assert len(rows) == 20 and rows[0]["query"] == "SELECT pg_sleep(?)"


@pytest.mark.parametrize("how, seen", [("off", 0), ("sampled", 1), ("on", 1)])
def test_query_stats_can_be_off(weir, how, seen):
    with weir.start(query_stats=how).raw() as wire:
        wire.query("SELECT 'known'")
    wait_until(lambda: len(weir.console("SHOW QUERIES")) == seen)   # another worker counts it behind its reply


def test_samples_count_for_all(weir):
    """Many more than are counted one by one: the sums are right all the same, about."""
    with weir.start(query_stats="sampled").raw() as wire:
        for _ in range(10000):
            wire.query("SELECT 'one of many'")
    row, = weir.console("SHOW QUERIES")
    assert 7000 < row["calls"] < 13000, row


# --- what was slow, and when did a timeout strike? ---

@needs_slow_log
def test_slow_shows_the_last_ones(weir):
    weir.start_opened("300ms", pool_size=1, threshold="50ms")
    with app(weir, "sleeper") as sleeper, app(weir, "waiter") as waiter:
        sleeper.query("SELECT 1")                           # opens the server connection
        sleeper.query("SELECT pg_sleep(0.1), 'secret'")
        sleeper.query(BEGIN_NOW)
        waiter.ask(query("SELECT 'in vain'"))
        sleeper.query("COMMIT")
    rows = wait_until(lambda: len(rows := weir.console("SHOW SLOW")) >= 2 and rows)     # another worker enters it behind its reply
    timeout, = (row for row in rows if row["event"] == "pool_timeout")
    slow, = (row for row in rows if "pg_sleep" in row["query"])
    assert rows.index(timeout) < rows.index(slow)           # the last one comes first
    assert (slow["event"], slow["cause"], slow["application_name"]) == ("slow_query", "server", "sleeper")
    assert slow["query"] == "SELECT pg_sleep(?), ?" and 95 < slow["duration_ms"] < 10_000
    assert (timeout["event"], timeout["cause"], timeout["sqlstate"]) == ("pool_timeout", "wait", "53300")
    assert abs(timeout["wait_ms"] - timeout["duration_ms"]) < 1


def test_events_are_the_last_lines_of_the_log(weir):
    weir.is_loud = True
    weir.start({"log": {"connections": "on"}})
    weir.console("PAUSE")
    weir.console("RESUME")
    weir.reload(pool_size=0, wait=False)
    wait_until(lambda: [row for row in weir.console("SHOW EVENTS") if row["level"] in ("error", "warning")
                        and "pool_size" in row["event"]])
    for _ in range(150):
        weir.raw().close()
    rows = weir.console("SHOW EVENTS")
    assert any("pool_size" in row["event"] for row in rows)             # not pushed out by connections
    times = [row["time"] for row in rows]
    assert 100 < len(rows) <= 200 and times == sorted(times, reverse=True)


def test_metrics_have_values(weir):
    with weir.start(pool_size=7).raw() as wire:
        wire.query("SELECT 1")
    rows = weir.console("SHOW METRICS LIKE 'pgweir_pool_limit%'")
    assert {(row["type"], row["labels"], row["value"]) for row in rows} == {
        ("gauge", 'database="app",user="web",kind="pool_size"', "7"),
        ("gauge", 'database="app",user="web",kind="max_overflow"', "0")}
    assert all(row["help"].startswith("Limits of the pool") for row in rows)
    def counted():
        count, total = weir.console("SHOW METRICS LIKE 'pgweir_query_duration_seconds\\_%'")[::-1][:2]
        assert count["name"] == "pgweir_query_duration_seconds_count"
        return int(count["value"]) == 1 and total

    total = wait_until(counted)                 # another worker counts it behind its reply
    assert total["name"] == "pgweir_query_duration_seconds_sum" and float(total["value"]) > 0


# --- psql ---

@pytest.mark.parametrize("typed, wanted", [("SHOW po", {"pools", "pools_extended"}), ("SHOW hol", {"holders"}),
                                           ("SHOW zzz", set())])
def test_psql_completes_show(weir, typed, wanted):
    """psql asks for the names of settings, in these words."""
    weir.start()
    prefix = typed.split()[1]
    rows = weir.console("SELECT pg_catalog.lower(name) FROM pg_catalog.pg_settings  WHERE pg_catalog.lower(name) "
                        f"LIKE pg_catalog.lower('{prefix}%')\nLIMIT 1000")
    assert {row["lower"] for row in rows} == wanted


def test_psql_completes_in_a_terminal(weir):
    import pexpect
    weir.start()
    psql = pexpect.spawn("psql", ["-X", weir.dsn("admin", "pgweir")], timeout=PATIENCE, encoding="utf-8",
                         env={"TERM": "dumb", "PAGER": "cat", "PATH": "/usr/bin:/bin", "PGPASSWORD": "admin-secret"})
    psql.expect("=> |=# ")
    psql.send("SHOW blo\t")
    psql.expect("SHOW blockers")
    psql.send(";\n")
    psql.expect("blocked_by")
    psql.close()
