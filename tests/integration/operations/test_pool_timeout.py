"""A full pool is not a failure: after pool_timeout the client gets an ERROR, and its connection lives on."""

import contextlib
import re
import time

import psycopg2
import pytest

from rawwire import (BEGIN_NOW, bind, copy_data, copy_done, describe, errors, execute, one_statement, parse, query, shape, sync,
                     texts)
from waiting import SLOWNESS, each, wait_until
from weir import WORKERS, timed

pytestmark = pytest.mark.weir_only


@pytest.fixture
def full(weir):
    """A pool of one, which is lent."""
    weir.start_opened("400ms", pool_size=1)
    holder = weir.raw()
    holder.query(BEGIN_NOW)
    return holder


def test_the_error_says_what_is_the_matter_and_who_has_forgotten_a_transaction(weir, full):
    with weir.raw() as wire:
        (reply, end), seconds = timed(wire.ask, query("SELECT 1"))
        assert (reply.sqlstate, reply.severity, end.status) == ("53300", "ERROR", "I")
        assert 0.35 < seconds < 10 * SLOWNESS
        assert "server connection" in reply.error["M"] and "app" in reply.error["D"] and "1 of 1" in reply.error["D"]
        holder, = weir.console("SHOW HOLDERS")
        number = holder["client_id"]
        assert re.fullmatch(rf"End client {number}'s transaction, idle for \S+ m?s \(KILL_CLIENT {number} in the pgweir console\), or "
                            r"set idle_transaction_timeout\.", reply.error["H"])
        full.query("COMMIT")
        assert wire.query("SELECT 1") == [["1"]]


def test_nobody_is_blamed_who_does_something(weir, full):
    full.send(query("SELECT pg_sleep(60)"))
    weir.wait_until(lambda: weir.postgres.count(wait_event="PgSleep"))
    with weir.raw() as wire:
        reply, _ = wire.ask(query("SELECT 1"))
        assert "pool_size" in reply.error["H"] and "max_overflow" in reply.error["H"]


def test_a_larger_pool_is_not_the_advice_where_postgresql_takes_longer_the_more_it_has_to_do(weir):
    """The client's HINT, EXPLAIN WAIT and EXPLAIN POOL say the same."""
    weir.start_opened("10min", pool_size=4, max_overflow=0)

    def work(rounds, seconds):
        with weir.raw() as wire:
            for _ in range(rounds):
                wire.query(f"SELECT pg_sleep({seconds})")
    work(250, 0.002)                    # one at a time
    each([weir.in_background(work, 80, 0.05) for _ in range(6)]).result()       # four at a time, and each takes 25 times as long
    busy = [weir.raw() for _ in range(4)]
    each(busy).send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: weir.postgres.count(wait_event="PgSleep") == 4)
    with weir.raw() as wire:
        wire.send(query("SELECT 1"))
        weir.wait_waiting(1)
        number, = [row["id"] for row in weir.console("SHOW CLIENTS") if row["state"] == "waiting"]
        said = [" ".join(map(str, row.values())) for row in weir.console(f"EXPLAIN WAIT {number}") + weir.console("EXPLAIN POOL app")]
        weir.reload(pool_timeout="200ms", pool_size=4, max_overflow=0)
        hint = wire.read_until("Z")[0].error["H"]
    assert hint.startswith("A larger pool would not help, as PostgreSQL takes longer the more connections are in use: "), hint
    assert any("Advice: not a larger pool" in line for line in said), said
    assert any("A larger pool would not help" in line for line in said), said
    assert not any("aise pool_size" in line for line in said), said


@pytest.mark.parametrize("messages, found", [
    (query(BEGIN_NOW), "E:53300 Z:I"),
    (query("SELECT 1; SELECT 2"), "E:53300 Z:I"),
    (one_statement("SELECT 1") + sync(), "E:53300 Z:I"),
    (parse("s", "SELECT 1") + describe("S", "s") + sync(), "E:53300 Z:I"),
    (b"".join(one_statement("SELECT $1", ["x" * 100_000]) for _ in range(30)) + sync(), "E:53300 Z:I"),
    (query("SELECT '" + "x" * 2_000_000 + "'"), "E:53300 Z:I"),
], ids=["begin", "simple", "extended", "prepare", "a large pipeline", "a large query"])
def test_the_request_is_refused_whole(weir, full, messages, found):
    with weir.raw() as wire:
        assert shape(wire.ask(messages)) == found
        full.query("COMMIT")
        assert shape(wire.ask(query("SELECT 'next'"))) == "T D C:SELECT 1 Z:I"
        assert wire.has_nothing_more()


def test_each_request_of_a_pipeline_is_refused_by_itself(weir, full):
    with weir.raw() as wire:
        wire.send(query("SELECT 1") + one_statement("SELECT 2") + sync() + query("SELECT 3"))
        assert shape(wire.read_until("Z", 3)) == "E:53300 Z:I E:53300 Z:I E:53300 Z:I"


def test_a_refused_parse_does_not_take_the_name(weir, full):
    with weir.raw() as wire:
        assert shape(wire.ask(parse("s", "SELECT 'old'") + sync())) == "E:53300 Z:I"
        full.query("COMMIT")
        assert shape(wire.ask(bind("", "s") + execute() + sync())) == "E:26000 Z:I"
        assert texts(wire.ask(parse("s", "SELECT 'new'") + bind("", "s") + execute() + sync())) == [["new"]]


def test_a_statement_prepared_before_is_there_after_a_refusal(weir, full):
    with weir.raw() as wire:
        full.query("COMMIT")
        wire.ask(parse("s", "SELECT 's'") + sync())
        full.query(BEGIN_NOW)
        assert shape(wire.ask(bind("", "s") + execute() + sync())) == "E:53300 Z:I"
        full.query("COMMIT")
        assert texts(wire.ask(bind("", "s") + execute() + sync())) == [["s"]]


def test_copy_data_sent_ahead_of_a_refused_copy_is_dropped(weir, full, table):
    with weir.raw() as wire:
        wire.send(query(f"COPY {table} FROM STDIN") + copy_data(b"1\ta\n") * 50 + copy_done())
        assert shape(wire.read_until("Z")) == "E:53300 Z:I"
        full.query("COMMIT")
        assert wire.query(f"SELECT count(*) FROM {table}") == [["0"]]


@pytest.mark.long
def test_only_those_whose_time_is_up_are_refused(weir):
    weir.start_opened("2s", pool_size=1)
    holder, early, late = weir.raw(), weir.raw(), weir.raw()
    holder.query(BEGIN_NOW)
    early.send(query("SELECT 'early'"))
    weir.wait_waiting(1)
    begin = time.monotonic()
    weir.wait_until(lambda: time.monotonic() - begin > 1.3)
    late.send(query("SELECT 'late'"))
    assert shape(early.read_until("Z")) == "E:53300 Z:I"
    holder.query("COMMIT")
    assert texts(late.read_until("Z")) == [["late"]]


def test_it_counts_in_metrics_and_in_the_slow_log(weir, full):
    with weir.raw(parameters={"application_name": "waiter"}) as wire:
        wire.ask(query("SELECT 'waited in vain'"))
    weir.wait_until(lambda: weir.metric("pgweir_pool_timeouts_total", database="app", user="web") == 1)
    assert weir.metric("pgweir_client_requests_failed_total", database="app", reason="pool_timeout") == 1
    assert weir.metric("pgweir_errors_total", database="app", origin="proxy", sqlstate_class="53") == 1
    line = weir.wait_until(lambda: [line for line in weir.slow_lines() if line["event"] == "pool_timeout"])[0]
    assert line["sqlstate"] == "53300" and line["cause"] == "wait" and line["application"] == "waiter"


def test_a_wait_counts_once_everywhere_however_it_ended(weir):
    """Of three clients one gets the connection, one is refused, and one leaves: a histogram with an outcome each, the phase
    `wait`, SHOW STATS, SHOW LATENCY and what docs/metrics.md asks all tell of as many seconds."""
    weir.start_opened("10min", pool_size=1)
    outcomes = {"served": 0, "timeout": 0, "given_up": 0}
    before = {outcome: weir.metric("pgweir_pool_wait_seconds_count", outcome=outcome) for outcome in outcomes}
    seconds_before = weir.metric("pgweir_pool_wait_seconds_sum")
    phases_before = sum(weir.metric("pgweir_query_phase_seconds_total", phase=phase) for phase in ("wait", "connect"))
    stats_before = sum(row["total_wait_time"] for row in weir.console("SHOW STATS") if row["database"] == "app")
    with weir.raw() as holder, weir.raw() as served, weir.raw() as late:
        holder.query(BEGIN_NOW)
        leaver = weir.raw()
        late.send(query("SELECT 'in vain'"))
        weir.wait_waiting(1)
        weir.wait_until(lambda: weir.pool()["maxwait"] >= 1, what="a wait of a second")
        weir.reload(pool_timeout="1s", pool_size=1)
        assert shape(late.read_until("Z")) == "E:53300 Z:I"
        weir.reload(pool_timeout="10min", pool_size=1)
        for number, wire in enumerate((served, leaver), 1):
            wire.send(query("SELECT 1"))
            weir.wait_waiting(number)
        leaver.close()
        weir.wait_waiting(1)
        holder.query("COMMIT")
        assert texts(served.read_until("Z")) == [["1"]]
        found = weir.wait_until(lambda: all((found := {
            outcome: weir.metric("pgweir_pool_wait_seconds_count", outcome=outcome) - before[outcome] for outcome in outcomes
        }).values()) and found)
        assert found["timeout"] == found["given_up"] == 1, found
        seconds = weir.metric("pgweir_pool_wait_seconds_sum") - seconds_before
        phases = sum(weir.metric("pgweir_query_phase_seconds_total", phase=phase) for phase in ("wait", "connect")) - phases_before
        stats = sum(row["total_wait_time"] for row in weir.console("SHOW STATS") if row["database"] == "app") - stats_before
        assert seconds > 1 and abs(phases - seconds) < 0.01 and abs(float(stats) / 1e6 - seconds) < 0.01, (seconds, phases, stats)
        row, = [row for row in weir.console("SHOW LATENCY") if row["database"] == "app"]
        assert float(row["wait_p99_ms"]) > 500, row


def test_a_timeout_per_user_wins(weir):
    weir.start(pool_size=1, pool_timeout="30s", sections={"user reporting": {"pool_timeout": "200ms"}})
    holder = weir.wait_until(lambda: weir.raw("reporting"))  # on a busy machine the first connection takes longer than that
    weir.wait_until(lambda: not holder.query(BEGIN_NOW))
    with weir.raw("reporting") as wire:
        answer, seconds = timed(wire.ask, query("SELECT 1"))
        assert errors(answer)[0].sqlstate == "53300" and seconds < 10 * SLOWNESS


def test_drivers_go_on_after_it(weir, full):
    import psycopg
    import psycopg2
    for connect, error in ((weir.connect, psycopg.errors.TooManyConnections),
                           (weir.connect2, psycopg2.errors.TooManyConnections)):
        connection = connect(autocommit=True)
        cursor = connection.cursor()
        with pytest.raises(error):
            cursor.execute("SELECT 1")
        full.query("COMMIT")
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)
        full.query(BEGIN_NOW)


def asked_about_locks(weir, root):
    """EXPLAIN POOL, once PostgreSQL has said who blocks whom: what helps is to end that client or process."""
    return weir.wait_until(lambda: any(re.search(root, row["explanation"]) for row in weir.console("EXPLAIN POOL app")), what=root)


@pytest.mark.parametrize("who", ["a client of another pool", "a process that is not pgweir's"])
def test_the_hint_names_who_holds_the_lock_if_postgresql_was_asked_since(weir, who):
    """The one that all wait for, not one whose transaction has been idle for longer; the log likewise. Nobody once the lock is free."""
    weir.start_opened("300ms", pool_size=3, max_overflow=0, max_server_connections=20)
    lock = "SELECT pg_advisory_xact_lock(77)"
    with weir.raw() as idler, weir.raw() as one, weir.raw() as two, weir.raw(user="reporting") as client, weir.raw() as late, \
            contextlib.closing(weir.postgres.connect("app")) as outside, outside.cursor() as cursor:
        idler.query("BEGIN; SELECT 1")
        if "client" in who:
            client.query(f"BEGIN; {lock}")
            number = next(row["client_id"] for row in weir.console("SHOW HOLDERS") if row["user"] == "reporting")
            root = rf"nd client {number}'s transaction, idle for \S+ m?s \(KILL_CLIENT {number} in the pgweir console\), or set " \
                r"idle_transaction_timeout"
        else:
            cursor.execute(f"BEGIN; {lock}")
            root = rf"ee in pg_stat_activity whose process {outside.info.backend_pid} is, which has a lock that others wait for; " \
                rf"pg_terminate_backend\({outside.info.backend_pid}\) ends it"
        each([one, two]).send(query(f"{lock}; SELECT pg_sleep(600)"))
        wait_until(lambda: len(weir.postgres.backends(wait_event_type="Lock")) == 2)
        reply, _ = late.ask(query("SELECT 1"))
        assert not re.search(root, reply.error["H"]), reply.error["H"]            # nobody has asked PostgreSQL
        weir.wait_until(lambda: re.search(root, str(weir.console("EXPLAIN POOL app"))), what="EXPLAIN POOL to know")
        reply, _ = late.ask(query("SELECT 1"))
        if WORKERS == 1:                        # of another worker's clients only the console knows what they do
            assert re.fullmatch(rf"[ES]{root}\.", reply.error["H"]), reply.error
            weir.wait_until(lambda: re.search(rf"pool app/web (is|was) exhausted.*; hint: [ES]{root}", weir.log()), what="the log")
        client.query("ROLLBACK")
        cursor.execute("ROLLBACK")
        wait_until(lambda: len(weir.postgres.backends(wait_event="PgSleep")) == 1)      # the other one waits for the first
        reply, _ = late.ask(query("SELECT 1"))
        assert "client" not in who or not re.search(root, reply.error["H"]), reply.error
        for row in weir.console("SHOW HOLDERS"):
            if row["state"] == "running":
                weir.console(f"KILL_CLIENT {row['client_id']}")


def test_who_waits_in_a_login_has_an_application_name(weir, full):
    """A login whose settings nobody has had before waits for a server: SHOW CLIENTS and WAITERS, and the log's line of its end."""
    weir.reload(pool_size=1, pool_timeout="10min")
    with pytest.raises(psycopg2.OperationalError, match="terminating connection"):
        waiting = weir.in_background(psycopg2.connect, weir.dsn(application_name="newcomer", options="-c work_mem=4567kB"))
        weir.wait_waiting(1)
        for command in ("SHOW CLIENTS", "SHOW WAITERS"):
            assert "newcomer" in {row["application_name"] for row in weir.console(command)}, command
        row, = (row for row in weir.console("SHOW CLIENTS") if row["application_name"] == "newcomer")
        weir.console(f"KILL_CLIENT {row['id']}")
        waiting.result()
    weir.wait_until(lambda: re.search(rf'client {row["id"]} \(.*application "newcomer"', weir.log()), what="the log")


LOCK = (r"[Ii]ts own application at the same address holds 4 connections, waits for others meanwhile, and nobody moves\. If each of 6 "
        r"processes needs 2 at a time, 7 connections \(pool_size \+ max_overflow\) cannot lock, and fewer can\.")


def test_processes_that_hold_one_connection_and_wait_for_another_are_told_which_size_cannot_lock(weir):
    """Six on a pool of four: the error, the log, EXPLAIN WAIT and EXPLAIN POOL, with one voice. With seven nobody waits for long."""
    weir.start_opened("3s", pool_size=4, max_overflow=0)
    wiki = {"parameters": {"application_name": "wiki"}}
    with contextlib.ExitStack() as kept:
        outer = [kept.enter_context(weir.raw(**wiki)) for _ in range(6)]
        inner = [kept.enter_context(weir.raw(**wiki)) for _ in range(4)]
        for wire in outer[:4]:
            wire.ask(query(BEGIN_NOW))
        waiting = [*outer[4:], *inner]
        for wire in waiting:
            wire.send(query("SELECT 1"))
        weir.wait_waiting(6)
        said = weir.wait_until(lambda: rows if re.search(LOCK, str(rows := weir.console("EXPLAIN POOL app"))) else None)
        weir.wait_until(lambda: any(re.search(LOCK, row["explanation"]) for row in weir.console("EXPLAIN POOL")), what=said)
        for wire in waiting:            # those that have timed out are processes, too: each is told of the same size
            first, _ = wire.read_until("Z")
            assert first.sqlstate == "53300" and re.fullmatch(LOCK + r" Else see SHOW HOLDERS\.", first.error["H"]), first.error
        weir.wait_until(lambda: re.search(r"pool app/web (is|was) exhausted.*; hint: Its own application at the same address holds 4 conn",
                                          weir.log()), what="the line of the log")
        weir.reload(pool_size=7, max_overflow=0)
        for wire in inner:
            assert texts(wire.ask(query("SELECT 2"))) == [["2"]]


@pytest.mark.parametrize("why", ["somebody is at work", "it is another's application", "it is one connection", "fewer wait than hold"])
def test_clients_that_do_not_wait_for_themselves_are_not_told_so(weir, why):
    weir.start_opened("600ms", pool_size=1 if "one" in why else 2, max_overflow=0)
    with weir.raw(parameters={"application_name": "first"}) as first, weir.raw(parameters={"application_name": "first"}) as second, \
            weir.raw(parameters={"application_name": "other" if "another" in why else "first"}) as wire:
        first.ask(query(BEGIN_NOW))
        if "one" not in why:
            second.ask(query(BEGIN_NOW))
        if "work" in why:
            second.send(query("SELECT pg_sleep(60)"))
            weir.wait_until(lambda: weir.postgres.count(wait_event="PgSleep"))
        reply, _ = wire.ask(query("SELECT 1"))
        assert reply.sqlstate == "53300" and "End client" in reply.error["H"] and "cannot lock" not in reply.error["H"], reply.error
