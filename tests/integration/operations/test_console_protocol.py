"""The console as drivers see it: portals and statements, formats, transactions, what it answers while a command waits."""

import asyncio
import json
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy

import transport
from rawwire import (BEGIN_NOW, WireClosed, bind, close, cstr, describe, errors, execute, flush, message, parse, query, shape,
                     sync, texts)
from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.weir_only
HERE = Path(__file__).parents[1]


@pytest.fixture
def wire(weir):
    with weir.start().raw("admin", "pgweir") as wire:
        yield wire


def sqlstates(replies):
    return [reply.sqlstate for reply in errors(replies)]


def status(replies):
    return replies[-1].status


# --- the extended protocol ---

@pytest.mark.parametrize("first", [parse("s", "SHOW STATE"), bind(), describe("S", "s"), execute(), close("S", "s"),
                                   message("P", b"s"), message("B", b""), message("E", b"abc")])
def test_the_extended_protocol_is_refused_up_to_the_sync(wire, first):
    wire.send(first)                                    # whoever sends a Flush behind it waits for the answer to it
    error = wire.read()
    assert (error.sqlstate, error.error["M"]) == ("0A000", "the console accepts simple queries only")
    assert "default_query_exec_mode=simple_protocol" in error.error["H"]
    assert "preferQueryMode=simple" in error.error["H"]
    assert shape(wire.ask(flush(), bind(), query("RELOAD"), execute(), sync())) == "Z:I"
    assert shape(wire.ask(query("SHOW VERSION"))) == "T D C:SHOW Z:I"
    assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"
    assert shape(wire.ask(first, sync())) == "E:0A000 Z:E"
    assert shape(wire.ask(query("SHOW VERSION"))) == "E:25P02 Z:E"
    assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"


def test_flush_and_copy_mean_nothing(wire):
    assert shape(wire.ask(flush(), message("d", b"x"), message("c"), message("f", cstr("x")), sync())) == "Z:I"
    assert shape(wire.ask(query("DEALLOCATE ALL; DISCARD ALL"))) == "C:DEALLOCATE ALL C:DISCARD ALL Z:I"


@pytest.mark.parametrize("bad", [message("Q", b""), message("Q", b"SHOW STATE"), message("Q", b"SHOW\0STATE\0"),
                                 message("F", b"")])
def test_malformed_messages_are_errors(wire, bad):
    replies = wire.ask(bad)
    assert sqlstates(replies) and replies[-1].type == "Z"
    assert wire.query("SHOW VERSION")


# --- transactions ---

def test_transactions_are_told_and_failed_ones_take_only_their_end(wire):
    assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"
    assert status(wire.ask(query("SHOW VERSION"))) == "T"
    replies = wire.ask(query("BEGIN"))
    assert replies[0].type == "N" and replies[0].sqlstate == "25001" and shape(replies) == "C:BEGIN Z:T"
    assert shape(wire.ask(query("SHOW NONSENSE"))) == "E:42601 Z:E"
    assert shape(wire.ask(query("SHOW VERSION"))) == "E:25P02 Z:E"
    assert shape(wire.ask(query("COMMIT"))) == "C:ROLLBACK Z:I"
    replies = wire.ask(query("ROLLBACK"))
    assert replies[0].type == "N" and replies[0].sqlstate == "25P01" and shape(replies) == "C:ROLLBACK Z:I"
    assert shape(wire.ask(query("START TRANSACTION; SHOW NONSENSE"))) == "C:START TRANSACTION E:42601 Z:E"
    assert shape(wire.ask(query("ABORT; SELECT 1"))) == "C:ROLLBACK T D C:SELECT 1 Z:I"


# --- settings ---

def test_settings_of_postgresql_are_accepted_and_change_nothing(wire):
    assert shape(wire.ask(query("SET client_encoding TO 'LATIN1'"))) == "C:SET Z:I"
    assert shape(wire.ask(query("SET TIME ZONE 'Asia/Tokyo'; RESET ALL; RESET search_path"))) == "C:SET C:RESET C:RESET Z:I"
    assert wire.parameters["client_encoding"] == "UTF8"
    assert wire.query("SHOW client_encoding; SHOW TIME ZONE") == [["UTF8"], ["UTC"]]


def test_what_is_told_at_login_is_what_show_says(weir):
    with weir.start().raw("stats", "pgbouncer") as wire:
        known = [name for name in wire.parameters if name != "session_authorization"
                 and not errors(wire.ask(query(f"SHOW {name}")))]
        assert len(known) >= 5
        for name in known:
            assert wire.query(f"SHOW {name}") == [[wire.parameters[name]]]


@pytest.mark.parametrize("command", ["SHOW FDS", "SAVEPOINT x"])
def test_what_is_not_to_be_had_says_so(wire, command):
    error = errors(wire.ask(query(command)))[0].error
    assert error["C"] == "0A000" and error["H"]


# --- rows ---

def test_like(wire, weir):
    weir.raw(database="app2").query("SELECT 1")
    keep = weir.raw()
    keep.query("SELECT 1")
    assert [row[0] for row in wire.query("SHOW DATABASES LIKE 'app_'")] == ["app2"]
    assert [row[0] for row in wire.query("SHOW LISTS LIKE 'dns%'")] == ["dns_names", "dns_zones", "dns_queries",
                                                                      "dns_pending"]
    assert {row[2] for row in wire.query("SHOW CLIENTS LIKE 'app'")} == {"app"}
    assert wire.query("SHOW CLIENTS LIKE 'nowhere'") == []
    assert wire.query("SHOW USERS LIKE 'o''x'") == []


@pytest.mark.parametrize("command", ["CLIENTS", "SERVERS", "SOCKETS", "ACTIVE_SOCKETS", "HOLDERS", "POOLS", "POOLS_EXTENDED", "WAITERS",
                                     "QUERIES", "SLOW"])
def test_like_is_about_database_user_and_application_everywhere(weir, command):
    weir.start(pool_size=1, max_overflow=0, sections={"slow_query": {"threshold": "1us"}})
    words = {"parameters": {"application_name": "billing"}}
    with weir.raw(**words) as holder, weir.raw(**words) as waiter:
        holder.query(BEGIN_NOW)
        waiter.send(query("SELECT 1"))
        weir.wait_waiting(1)
        known, = wait_until(lambda: weir.console(f"SHOW {command} LIKE 'app'")[-1:])
        for column, pattern in ("database", "ap_"), ("user", "we%"), ("application_name", "bill%"):
            if column in known:
                rows = wait_until(lambda p=pattern: weir.console(f"SHOW {command} LIKE '{p}'"), what=pattern)
                assert all(row[column].startswith(pattern[:2]) for row in rows), rows
        assert weir.console(f"SHOW {command} LIKE 'nowhere'") == []


def test_like_of_rows_without_a_text_in_front(weir):
    with weir.start(workers=3).raw("admin", "pgweir") as wire:
        assert wire.query("SHOW WORKERS LIKE '1'") == [] and wire.query("SHOW PEERS LIKE '1'") == []
        assert wire.query("SHOW EVENTS LIKE '%is ready%'")


def test_every_command_of_help_is_known(wire):
    shows = [row[0] for row in wire.query("SHOW HELP LIKE 'SHOW%'")]
    assert len(shows) > 25
    for command in shows:
        replies = wire.ask(query(command))
        assert shape(replies).startswith("T ") and shape(replies).endswith("C:SHOW Z:I"), command


def test_averages_of_a_minute_that_is_not_over_are_zero(wire):
    assert all(int(row[1]) == 0 for row in wire.query("SHOW TOTALS LIKE 'avg%'"))


def test_statements_that_are_known(weir):
    with weir.start().raw() as app, weir.raw("admin", "pgweir") as wire:
        app.extended("SELECT $1::int AS known", [1], name="s")
        row, = wire.query("SHOW PREPARED")
        assert row[0].startswith("pgweir_") and row[2] == "1" and row[4] == "SELECT $1::int AS known"
    with weir.raw("stats", "pgweir") as wire:
        assert sqlstates(wire.ask(query("SHOW PREPARED"))) == ["42501"]


def test_errors_are_counted_by_class(weir):
    with weir.start().raw() as app:
        app.ask(query("SELECT 1/0"))
        app.ask(query("SELECT nonsense"))
    with weir.raw("stats", "pgweir") as wire:
        found = {(row[0], row[1], row[2]): int(row[3]) for row in wire.query("SHOW ERRORS")}
        assert found[("app", "server", "22")] == 1 and found[("app", "server", "42")] == 1


def test_waiters_and_backends_and_latency(weir):
    holder, waiter = weir.start(pool_size=1).raw(), weir.raw(parameters={"application_name": "it waits"})
    holder.query(BEGIN_NOW)
    waiter.send(query("SELECT 1"))
    weir.wait_waiting(1)
    with weir.raw("stats", "pgweir") as wire:
        row, = wire.query("SHOW WAITERS")
        assert row[:2] == ["app", "web"] and int(row[2]) >= 0 and row[3] == "it waits"
        assert int(row[6]) in {int(client[20]) for client in wire.query("SHOW CLIENTS LIKE 'app'")}
        backend, = wire.query("SHOW BACKENDS")
        assert backend[0].endswith(f":{weir.postgres.port}") and backend[1:3] == ["primary", "up"]
        holder.query("COMMIT")
        waiter.read_until("Z")
        latency, = wire.query("SHOW LATENCY")
        assert latency[0] == "app" and all(float(value) >= 0 for value in latency[1:])
        extended, = wire.query("SHOW POOLS_EXTENDED")
        assert extended[2] == "1" and sum(int(value) for value in extended[9:12]) >= 2


# --- commands that wait ---

def paused(weir):
    return any(row["paused"] for row in weir.console("SHOW DATABASES"))


def holder_of(weir):
    holder = weir.raw()
    holder.query(BEGIN_NOW)
    return holder


def test_what_is_sent_behind_a_pause_waits_its_turn(weir):
    weir.start()
    holder = holder_of(weir)
    with weir.raw("admin", "pgweir") as wire:
        wire.send(query("SELECT 1; PAUSE; SHOW STATE LIKE 'paused'"), query("RESUME"), query("SHOW VERSION"))
        assert shape(wire.read_until("C")) == "T D C:SELECT 1"
        assert wire.has_nothing_more(0.3)
        holder.query("COMMIT")
        replies = wire.read_until("Z", 3)
        assert shape(replies) == "C:PAUSE T D C:SHOW Z:I C:RESUME Z:I T D C:SHOW Z:I"
        assert texts(replies)[0] == ["paused", "yes"]


# each is more than the console may do in a turn of the loop, and all are more than is read at once
MUCH = query("SHOW METRICS LIKE 'none' -- " + 8000 * "x") * 20


@pytest.mark.parametrize("ahead", [b"", MUCH], ids=["alone", "behind much else"])
def test_a_pause_nobody_waits_for_any_more_is_taken_back(weir, ahead):
    """pgweir may not have read on for a while, as it could not keep up; for the pause it does."""
    weir.start()
    holder = holder_of(weir)
    wire = weir.raw("admin", "pgweir")
    wire.send(ahead + query("PAUSE"))
    wait_until(lambda: paused(weir), 60)
    wire.close()
    wait_until(lambda: not paused(weir))
    assert weir.raw().query("SELECT 1") == [["1"]]
    holder.query("COMMIT")


def test_a_pause_that_is_resumed_meanwhile_fails(weir):
    weir.start()
    holder = holder_of(weir)
    with weir.raw("admin", "pgweir") as wire:
        wire.send(query("PAUSE; SHOW VERSION"))
        wait_until(lambda: paused(weir))
        weir.console("RESUME")
        assert shape(wire.read_until("Z")) == "E:57014 Z:I"
    holder.query("COMMIT")


def test_too_much_behind_a_pause_ends_only_that_client(weir):
    weir.start()
    holder = holder_of(weir)
    wire = weir.raw("admin", "pgweir")
    wire.send(query("PAUSE"))
    wait_until(lambda: paused(weir))
    with suppress(OSError):
        for _ in range(100):
            wire.send(query("-- " + "x" * 10000))
    assert wire.wait_closed().startswith(b"E")
    wait_until(lambda: not paused(weir))
    holder.query("COMMIT")


def test_wait_close_waits_for_servers_that_are_to_go(weir):
    weir.start()
    holder = holder_of(weir)
    with weir.raw("admin", "pgweir") as wire:
        assert shape(wire.ask(query("WAIT_CLOSE"))) == "C:WAIT_CLOSE Z:I"
        assert wire.query("RECONNECT app", "SHOW SERVERS LIKE 'app'")[0][13] == "1"
        wire.send(query("WAIT_CLOSE app"))
        assert wire.has_nothing_more(0.3)
        before = holder.value("SELECT pg_backend_pid()")
        holder.query("COMMIT")
        assert shape(wire.read_until("Z")) == "C:WAIT_CLOSE Z:I"
    assert holder.value("SELECT pg_backend_pid()") != before


# --- clients that are closed ---

def test_kill_closes_clients_and_servers_of_one_database(weir):
    weir.start(pool_size=2)
    holder, waiter, idle = holder_of(weir), weir.raw(), weir.raw()
    second = holder_of(weir)
    waiter.send(query("SELECT 1"))
    weir.wait_waiting(1)
    other = weir.raw(database="app2")
    other.query(BEGIN_NOW)
    with weir.raw("admin", "pgweir") as wire:
        assert shape(wire.ask(query("KILL app"))) == "C:KILL Z:I"
        for client in (holder, second, waiter, idle):
            assert b"57P01" in client.wait_closed()
        wait_until(lambda: wire.query("SHOW SERVERS LIKE 'app'") == [])
        assert {row[0]: row[15] for row in wire.query("SHOW DATABASES")} == {"app": "1", "app2": "0"}
        assert other.query("SELECT 1") == [["1"]]
        late = weir.raw()
        late.send(query("SELECT 1"))
        weir.wait_waiting(1)
        wire.query("RESUME app")
        assert shape(late.read_until("Z")) == "T D C:SELECT 1 Z:I"


def test_kill_client(weir):
    weir.start()
    holder, other = holder_of(weir), weir.raw()
    other.query("SELECT 1")
    with weir.raw("admin", "pgweir") as wire:
        ids = {row[6]: row[20] for row in wire.query("SHOW CLIENTS LIKE 'app'")}
        port = str(holder.sock.getsockname()[1])
        assert shape(wire.ask(query(f"KILL_CLIENT {ids[port]}"))) == "C:KILL_CLIENT Z:I"
        assert b"57P01" in holder.wait_closed()
        assert sqlstates(wire.ask(query(f"KILL_CLIENT {ids[port]}"))) == ["42704"]
        wait_until(lambda: all(row[4] == "idle" for row in wire.query("SHOW SERVERS")))
        assert other.query("SELECT 1") == [["1"]]


def test_kill_client_of_consoles(weir):
    weir.start()
    holder = holder_of(weir)
    waiting, wire = weir.raw("admin", "pgweir"), weir.raw("admin", "pgweir")
    waiting.send(query("PAUSE"))
    wait_until(lambda: paused(weir))
    ids = {row[6]: row[20] for row in wire.query("SHOW CLIENTS LIKE 'pgweir'")}
    wire.query(f"KILL_CLIENT {ids[str(waiting.sock.getsockname()[1])]}")
    assert b"57P01" in waiting.wait_closed()
    wait_until(lambda: not paused(weir))
    wire.send(query(f"KILL_CLIENT {ids[str(wire.sock.getsockname()[1])]}"), query("SHOW VERSION"))
    replies = wire.read_to_end()
    assert shape(replies) in ("C:KILL_CLIENT Z:I E:57P01", "C:KILL_CLIENT E:57P01")    # its own end comes at once
    assert holder.query("COMMIT") == []


# --- answers nobody reads ---

@pytest.mark.parametrize("one_query", [False, True], ids=["many", "one"])
def test_a_client_that_does_not_read_gets_no_more_answers_made(weir, one_query):
    weir.start()
    wires = [weir.raw() for _ in range(100)]
    count = 3000
    slow = weir.raw("admin", "pgweir", receive_buffer=4096)
    before = weir.memory_bytes()
    sender = weir.in_background(slow.send, query("SHOW SOCKETS;" * count) if one_query else
                                query("SHOW SOCKETS") * count)
    time.sleep(0.5)
    assert wires[0].query("SELECT 1") == [["1"]]
    assert weir.memory_bytes() - before < 30_000_000
    for _ in range(2 if one_query else 20):      # it goes on where it stopped
        slow.read_until("C" if one_query else "Z")
    slow.close()
    with suppress(OSError):
        sender.result()
    assert weir.console("SHOW VERSION")


@pytest.mark.parametrize("one_query", [False, True], ids=["many", "one"])
def test_answers_for_who_has_left_hold_up_nobody(weir, one_query):
    with weir.start().raw() as other, weir.raw("admin", "pgweir") as reader:
        began = weir.cpu_seconds()
        for _ in range(400):
            reader.query("SHOW METRICS")
        what_400_cost = weir.cpu_seconds() - began
        began = weir.cpu_seconds()
        for _ in range(4):                               # not each time does pgweir have it all before the reset comes
            slow = weir.raw("admin", "pgweir", receive_buffer=4096)
            slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            slow.send(query("SHOW METRICS;" * 2000) if one_query else query("SHOW METRICS") * 2000)
            slow.close()
            assert other.query("SELECT 1") == [["1"]]
        assert weir.cpu_seconds() - began < 4 * what_400_cost


@pytest.mark.parametrize("one_query", [False, True], ids=["many", "one"])
def test_many_commands_at_once_hold_up_nobody(weir, one_query):
    """The loop turns every half millisecond, and serves others. Without that all that it has read at once is one turn."""
    with weir.start().raw("admin", "pgweir") as wire:
        count, words = 2000, "SHOW METRICS LIKE 'none'"              # 64 KiB at most, that cost much and answer little
        size = sum(5 + len(reply.body) for reply in wire.ask(query(words)))
        size = count * (size - 6) + 6 if one_query else count * size     # 6: a ReadyForQuery
        wire.sock.settimeout(None)
        before = weir.metric_now("pgweir_event_loop_iterations_total", worker="0")
        drain = weir.in_background(wire.sock.recv, size, socket.MSG_WAITALL)
        wire.sock.sendall(query(f"{words};" * count) if one_query else query(words) * count)
        answers = drain.result()
        assert len(answers) == size and answers.count(b"SHOW\0") == count
        assert weir.metric_now("pgweir_event_loop_iterations_total", worker="0") - before > 50


# --- drivers ---

def test_psycopg2_in_transactions(weir):
    weir.start()
    connection = psycopg2.connect(weir.dsn("admin", "pgweir"))
    cursor = connection.cursor()
    cursor.execute("SHOW LISTS")
    assert dict(cursor.fetchall())["databases"] == 2
    with pytest.raises(psycopg2.Error) as refused:
        cursor.execute("SHOW POOL")
    assert "Did you mean SHOW POOLS?" in str(refused.value)
    connection.rollback()
    cursor.execute("SHOW STATS")
    connection.commit()
    cursor.execute("SELECT version()")
    assert "pgweir" in cursor.fetchone()[0]
    connection.close()


def test_psycopg_3_needs_autocommit(weir):
    weir.start()
    with psycopg.connect(weir.dsn("admin", "pgweir")) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:     # of its BEGIN
            connection.execute("SHOW LISTS")
        assert "autocommit" in refused.value.diag.message_hint
        connection.autocommit = True
        assert connection.execute("SHOW LISTS").fetchall()


def test_psycopg_prepares_what_it_has_sent_five_times(weir):
    weir.start()
    with psycopg.connect(weir.dsn("admin", "pgweir"), autocommit=True) as connection:
        for _ in range(5):
            assert len(connection.execute("SHOW LISTS").fetchall()) == 14
        with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
            connection.execute("SHOW LISTS")
        assert "prepare_threshold=None" in refused.value.diag.message_hint
        assert connection.execute("SHOW STATE").fetchall()
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            connection.execute("SHOW STATE", binary=True)
    for words in ({"prepare_threshold": None}, {"cursor_factory": psycopg.ClientCursor}):
        with psycopg.connect(weir.dsn("admin", "pgweir"), autocommit=True, **words) as connection:
            for _ in range(12):
                assert len(connection.execute("SHOW LISTS").fetchall()) == 14
                with pytest.raises(psycopg.errors.SyntaxError):
                    connection.execute("SHOW POOL")


def test_asyncpg_is_refused_but_for_what_it_sends_as_simple_query(weir):
    async def run():
        host, port = weir.address
        pool = await asyncpg.create_pool(host=host, port=port, user="admin", database="pgweir", min_size=1, max_size=2,
                                         ssl=transport.context())
        async with pool:
            for _ in range(3):
                async with pool.acquire() as connection:
                    assert await connection.execute("RELOAD") == "RELOAD"
                    with pytest.raises(asyncpg.FeatureNotSupportedError) as refused:
                        await connection.fetch("SHOW POOLS")
                    assert "simple queries only" in str(refused.value)
                    assert await connection.execute("SHOW POOLS") == "SHOW"
    weir.start()
    asyncio.run(run())


def test_sqlalchemy(weir):
    weir.start()
    weir.raw().query("SELECT 1")
    engine = sqlalchemy.create_engine(weir.url("admin", "pgweir", "postgresql+psycopg2"), pool_pre_ping=True)
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SHOW POOLS")).mappings().first()["database"] == "app"
            assert connection.execute(sqlalchemy.text("SHOW LISTS")).fetchall()[0] == ("databases", 2)
    engine.dispose()


NODE = """
const { Client } = require('pg');
(async () => {
  const client = new Client({ host: process.argv[1], port: +process.argv[2], user: 'admin', database: 'pgweir' });
  await client.connect();
  const out = [];
  out.push((await client.query('SHOW LISTS')).rows[0]);
  try { await client.query({ name: 's', text: 'SHOW STATS' }); } catch (error) { out.push(error.code); }
  out.push((await client.query('SHOW STATS')).rows[0].database);
  out.push((await client.query('SHOW VERSION; SHOW STATE')).map(result => result.command));
  try { await client.query({ text: 'SHOW POOL', values: [] }); } catch (error) { out.push(error.hint); }
  await client.end();
  console.log(JSON.stringify(out));
})();
"""


@pytest.mark.needs("node")
def test_node_postgres(weir):
    weir.start()
    weir.raw().query("SELECT 1")
    host, port = weir.address
    done = subprocess.run(["node", "-e", NODE, host, str(port)], cwd=HERE, capture_output=True, text=True, timeout=30 * SLOWNESS,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"list": "databases", "items": 2}, "0A000", "app", ["SHOW", "SHOW"],
                                       "Did you mean SHOW POOLS?"]


def test_psql_asks_for_what_there_is(weir):
    psql = weir.postgres.program("psql")
    weir.start()
    done = subprocess.run([psql, "-X", weir.dsn("admin", "pgweir"), "-c", "SHOW HELP", "-c", "SHOW POOL"],
                          capture_output=True, text=True, timeout=20 * SLOWNESS, check=False)
    assert "SHUTDOWN WAIT_FOR_CLIENTS" in done.stdout
    assert 'unknown command "SHOW POOL"' in done.stderr and "HINT:  Did you mean SHOW POOLS?" in done.stderr


def test_random_messages_end_at_worst_the_client(weir):
    import random
    weir.start()
    rng = random.Random(20261120)
    pieces = [parse("", "SHOW LISTS"), parse("s", "SHOW STATE"), bind(), bind("p", "s"), describe("S", "s"),
              describe("P"), execute(), execute("p", 1), execute("", 3), close("S", "s"), close("P", "p"), flush(), sync(),
              query("BEGIN"), query("COMMIT"), query("SHOW NONSENSE"), query("PAUSE app; RESUME app"), query(""),
              query("DISCARD ALL"), query("SET application_name = 'x'; RESET ALL"), message("d", b"x"), message("c"),
              message("E", b"\0"), message("B", cstr("") * 2), message("F", b"\0" * 8)]
    for _ in range(60):
        wire = weir.raw("admin", "pgweir")
        count, sent = 0, []
        for _ in range(rng.randrange(1, 60)):
            piece = rng.choice(pieces)
            sent.append(piece)
        wire.send(*sent, sync(), query("ROLLBACK; SHOW VERSION"))
        try:
            while True:
                reply = wire.read()
                if reply.type == "D" and b"PgBouncer" in reply.body:
                    break
                count += 1
        except WireClosed:
            pytest.fail(f"closed after {count} replies to {sent!r}")
        wire.close()
    assert weir.console("SHOW VERSION")
