"""begin = deferred: a BEGIN needs no server until the first statement of its transaction, and all else is as it was."""

import signal
import threading
from contextlib import suppress

import pytest

import fakeserver
from rawwire import (Wire, WireClosed, bind, close, describe, errors, execute, flush, function_call, message, one_statement, parse, query,
                     shape, sync, texts)
from waiting import each, wait_until

pytestmark = pytest.mark.weir_only


def start(weir, **settings):
    return weir.start(begin="deferred", **{"pool_size": 1, "max_overflow": 0, **settings})


def lent(weir):
    """How many servers are in use."""
    return weir.pool()["sv_active"]


def test_a_transaction_has_no_server_before_its_first_statement(weir):
    with start(weir).raw() as holder, weir.raw() as one, weir.raw() as two:
        holder.query("BEGIN")
        holder.query("SELECT 1")                                        # has the only server
        for wire in (one, two):
            replies = wire.ask(query("BEGIN"))
            assert shape(replies) == "C:BEGIN Z:T"
            assert shape(wire.ask(flush(), sync())) == "Z:T" and lent(weir) == 1
        assert shape(one.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        two.send(query("SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid() AND xact_start < query_start"))
        wait_until(lambda: lent(weir) == 1 and weir.pool()["cl_waiting"] == 1, what="two to wait")
        assert shape(holder.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        replies = two.read_until()
        assert replies[-1].status == "T" and texts(replies) == [["1"]]     # BEGIN has come before
        assert shape(two.ask(query("COMMIT"))) == "C:COMMIT Z:I"


def test_a_begin_is_answered_during_a_pause_and_an_outage(weir, own_postgres):
    """PAUSE does not wait for it; its first statement waits for RESUME. Nothing here is a request, nor does it hold a server."""
    weir.postgres = own_postgres
    with start(weir, outage_hold="60s", on_outage="hold").raw() as paused, weir.raw() as away:
        paused.query("SELECT 1")
        before = weir.metric_now("pgweir_queries_total", database="app")
        assert shape(paused.ask(query("BEGIN"))) == "C:BEGIN Z:T"
        assert [row["state"] for row in weir.console("SHOW CLIENTS") if row["database"] == "app"].count("active") == 1
        assert weir.console("SHOW HOLDERS") == []
        client, = (row["id"] for row in weir.console("SHOW CLIENTS") if row["state"] == "active" and row["database"] == "app")
        assert "It is idle in a transaction, which needs none until its next request" in str(weir.console(f"EXPLAIN WAIT {client}"))
        weir.console("PAUSE")
        assert shape(away.ask(query("BEGIN"))) == "C:BEGIN Z:T"
        assert weir.metric_now("pgweir_queries_total", database="app") == before
        paused.send(query("SELECT 2"))
        weir.wait_waiting(1)
        weir.console("RESUME")
        assert texts(paused.read_until()) == [["2"]]
        paused.query("COMMIT")
        assert shape(away.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        own_postgres.stop()
        assert shape(away.ask(query("BEGIN"))) == "C:BEGIN Z:T"
        away.send(query("SELECT 3"))
        weir.wait_waiting(1)
        own_postgres.start()
        replies = away.read_until()
        assert texts(replies) == [["3"]] and replies[-1].status == "T"


def test_a_client_moves_when_it_is_over(weir):
    with start(weir).raw() as wire, weir.raw() as idle:
        wire.query("BEGIN")
        old = weir.restart(wait=False)
        weir.wait_log("1 staying for now: 1 with a request, a transaction")
        assert idle.query("SELECT 1") == [["1"]]
        assert wire.ask(query("SELECT 2"))[-1].status == "T" and shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        wait_until(lambda: old.poll() == 0, what="the old process to end")
        assert wire.query("SELECT 3") == [["3"]]


def test_a_stop_lets_it_finish(weir):
    with start(weir, shutdown_timeout="60s").raw() as wire, weir.raw() as idle:
        wire.query("BEGIN")
        weir.signal(signal.SIGTERM)
        assert errors(idle.read_to_end())[0].sqlstate == "57P01"
        assert wire.query("SELECT 1") == [["1"]]
        assert shape(wire.ask(query("COMMIT"))).startswith("C:COMMIT Z:I")
    assert weir.wait_exit(20) == 0


@pytest.mark.parametrize("begin, tag, level, read_only", [
    ("BEGIN", "BEGIN", "read committed", "off"),
    ("begin work;", "BEGIN", "read committed", "off"),
    ("START TRANSACTION", "START TRANSACTION", "read committed", "off"),
    ("BEGIN READ ONLY", "BEGIN", "read committed", "on"),
    ("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN", "repeatable read", "off"),
    ("START TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY", "START TRANSACTION", "read committed", "on"),
    ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;", "BEGIN", "repeatable read", "on"),
    ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN", "serializable", "off"),
    ("BEGIN READ ONLY, ISOLATION LEVEL SERIALIZABLE, DEFERRABLE", "BEGIN", "serializable", "on"),
])
def test_its_modes_are_its_own(weir, begin, tag, level, read_only):
    with start(weir).raw() as wire:
        assert shape(wire.ask(query(begin))) == f"C:{tag} Z:T"
        assert wire.value("SHOW transaction_isolation") == level
        assert wire.value("SHOW transaction_read_only") == read_only
        assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"


@pytest.mark.parametrize("begin, level, read_only", [
    ("BEGIN READ WRITE", "read committed", "off"),                                      # lib/pq
    ("begin isolation level serializable read write", "serializable", "off"),           # pgx
    ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE", "repeatable read", "off"),
    ("BEGIN READ ONLY, ISOLATION LEVEL SERIALIZABLE", "serializable", "on"),
    ("BEGIN ISOLATION LEVEL SERIALIZABLE", "serializable", "off"),
])
def test_a_begin_with_modes_waits_too_and_they_go_ahead_with_it(weir, begin, level, read_only):
    with start(weir).raw() as wire:
        wire.query("SET default_transaction_read_only = on")
        assert lent(weir) == 0
        wire.query(begin)
        assert lent(weir) == 0
        assert wire.value("SHOW transaction_isolation") == level
        assert wire.value("SHOW transaction_read_only") == ("on" if "WRITE" not in begin.upper() else read_only)
        assert lent(weir) == 1
        wire.query("ROLLBACK")


@pytest.mark.parametrize("state, ahead", [("allow", "SELECT 1"), ("track", "CREATE TEMP TABLE t (a int)")])
def test_these_clients_begin_on_a_server(weir, state, ahead):
    with start(weir, session_state=state).raw() as wire:
        wire.query(ahead, "BEGIN")
        assert lent(weir) == 1


@pytest.mark.parametrize("begin", ["BEGIN nonsense", "BEGIN,", "BEGIN READ WRITE,", "BEGIN READ WRITE WORK", "START TRANSACTION WORK", "BEGIN READ", "BEGIN ISOLATION LEVEL READ ONLY"])
def test_what_is_wrong_is_refused_by_postgresql(weir, begin):
    with start(weir).raw() as wire:
        replies = wire.ask(query(begin))
        assert [e.sqlstate for e in errors(replies)] == ["42601"] and replies[-1].status == "I"


def test_what_the_transaction_does_is_its_own(weir):
    """It commits as a whole, or not at all; what it sets goes with it."""
    with start(weir).raw() as wire, weir.raw() as other:
        wire.query("CREATE TABLE deferred (a int)")
        for end, count in (("ROLLBACK", "0"), ("COMMIT", "2")):
            wire.query("BEGIN", "INSERT INTO deferred VALUES (1)", "INSERT INTO deferred VALUES (2)", end)
            assert other.value("SELECT count(*) FROM deferred") == count
        wire.query("BEGIN", "SET work_mem = '7MB'", "ROLLBACK")
        other.query("SELECT 1")
        assert wire.value("SHOW work_mem") == "4MB"
        wire.query("BEGIN", "SET work_mem = '8MB'", "COMMIT")
        other.query("SELECT 1")
        assert wire.value("SHOW work_mem") == "8MB" and other.value("SHOW work_mem") == "4MB"
        wire.query("BEGIN")
        assert [e.sqlstate for e in errors(wire.ask(query("SELECT nothing")))] == ["42703"]
        assert [e.sqlstate for e in errors(wire.ask(query("SELECT 1")))] == ["25P02"]
        assert shape(wire.ask(query("COMMIT"))) == "C:ROLLBACK Z:I"


def test_the_first_statement_may_be_any_message(weir):
    with start(weir).raw() as wire:
        wire.query("BEGIN")
        assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"
        wire.query("ROLLBACK", "BEGIN")
        assert shape(wire.ask(parse("named", "SELECT 1"), sync())) == "1 Z:T"
        wire.query("COMMIT", "BEGIN")
        assert shape(wire.ask(sync())) == "Z:T"
        assert wire.extended("SELECT $1::int + 1", ["41"]) == [["42"]]
        assert shape(wire.ask(query("COMMIT AND CHAIN"))) == "C:COMMIT Z:T"
        wire.query("ROLLBACK", "BEGIN", "DECLARE c CURSOR FOR SELECT generate_series(1, 3)")
        assert wire.query("FETCH ALL FROM c") == [["1"], ["2"], ["3"]]
        wire.query("COMMIT")


def test_a_transaction_whose_first_statement_gets_no_server_has_failed(weir):
    weir.start_opened("100ms", begin="deferred", pool_size=1, max_overflow=0)
    weir.postgres.query("CREATE TABLE unserved (a int); GRANT ALL ON unserved TO PUBLIC")
    with weir.raw() as holder, weir.raw() as wire:
        holder.query("BEGIN", "SELECT 1")
        wire.query("BEGIN")
        replies = wire.ask(query("INSERT INTO unserved VALUES (1)"))
        assert [e.sqlstate for e in errors(replies)] == ["53300"] and replies[-1].status == "E"
        holder.query("COMMIT")
        replies = wire.ask(query("INSERT INTO unserved VALUES (2)"))       # alone it would be committed
        assert [e.sqlstate for e in errors(replies)] == ["25P02"] and replies[-1].status == "E"
        replies = wire.ask(one_statement("INSERT INTO unserved VALUES ($1)", ["3"]) + sync())
        assert [e.sqlstate for e in errors(replies)] == ["25P02"] and replies[-1].status == "E"
        assert shape(wire.ask(sync())) == "Z:E"
        assert shape(wire.ask(query("COMMIT"))) == "C:ROLLBACK Z:I"
    assert weir.postgres.value("SELECT count(*) FROM unserved") == 0


def test_thousands_of_requests_may_be_refused_in_a_row(weir):
    count = 20000
    weir.start_opened("100ms", begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as holder, weir.raw() as wire:
        holder.query("BEGIN", "SELECT 1")
        wire.query("BEGIN")
        assert shape(wire.ask(query("SELECT 1"))) == "E:53300 Z:E"
        sender = threading.Thread(target=wire.sock.sendall, args=(query("SELECT") * count + query("ROLLBACK"),))
        sender.start()
        for _ in range(count):
            assert shape(wire.ask()) == "E:25P02 Z:E"
        assert shape(wire.ask()) == "C:ROLLBACK Z:I"
        sender.join()
        holder.query("COMMIT")
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_who_listens_ends_an_empty_transaction_without_a_server(weir, end):
    weir.start_opened("100ms", begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as holder, weir.raw() as wire:
        wire.query("LISTEN events")
        holder.query("BEGIN", "SELECT 1")
        wire.query("BEGIN")
        assert shape(wire.ask(query(end))) == f"C:{end} Z:I"
        wire.query("BEGIN")
        assert shape(wire.ask(query("SELECT 1"))) == "E:53300 Z:E"
        assert shape(wire.ask(query("LISTEN others"))) == "E:25P02 Z:E"
        wire.query("ROLLBACK")
        holder.query("COMMIT")
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.parametrize("end, answer", [
    (query("ROLLBACK"), "C:ROLLBACK Z:I"),
    (query("COMMIT"), "C:ROLLBACK Z:I"),
    (one_statement("ROLLBACK") + sync(), "1 2 n C:ROLLBACK Z:I"),
    (one_statement("COMMIT") + sync(), "1 2 n C:ROLLBACK Z:I"),
    (bind(statement="rollback") + execute() + sync(), "2 C:ROLLBACK Z:I"),
    (bind(statement="commit") + execute() + sync(), "2 C:ROLLBACK Z:I"),
], ids=["rollback", "commit", "parse-rollback", "parse-commit", "bind-rollback", "bind-commit"])
def test_a_failed_transaction_is_ended_by_any_end(weir, end, answer):
    """pgjdbc keeps its ROLLBACK prepared."""
    weir.start_opened("100ms", begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as holder, weir.raw() as wire:
        wire.ask(parse("rollback", "ROLLBACK"), parse("commit", "COMMIT"), sync())
        holder.query("BEGIN", "SELECT 1")
        wire.query("BEGIN")
        assert shape(wire.ask(query("SELECT 1"))) == "E:53300 Z:E"
        assert shape(wire.ask(query("SELECT 1"))) == "E:25P02 Z:E"
        assert shape(wire.ask(end)) == answer
        holder.query("COMMIT")
        assert wire.query("SELECT 1") == [["1"]]


IN_FAILED = [                       # what a client may send within a transaction that has failed
    "SELECT 1", "INSERT INTO nowhere VALUES (1)", "BEGIN", "START TRANSACTION", "SAVEPOINT a", "RELEASE a", "SET geqo = on",
    "SHOW geqo", "DISCARD ALL", "DEALLOCATE ALL", "LISTEN a", "UNLISTEN *", "EXPLAIN SELECT 1", "DECLARE c CURSOR FOR SELECT 1",
    "", ";", " ;; ", "-- ping", "/* ping */", "/* ping */;",
    "ROLLBACK", "rollback;", "ROLLBACK WORK", "ROLLBACK TRANSACTION", "ABORT", "ABORT WORK", "COMMIT", "END", "COMMIT WORK",
    "END TRANSACTION", "ROLLBACK /*controller='customers',action='to'*/", "/* to */ ROLLBACK", "COMMIT -- to", "END /* to */;",
    "ROLLBACK AND NO CHAIN", "COMMIT AND NO CHAIN", "ROLLBACK AND CHAIN", "ABORT AND CHAIN", "COMMIT AND CHAIN", "END AND CHAIN",
    "ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a", "ROLLBACK WORK TO \"A b\"", "ROLLBACK TO a -- ROLLBACK",
    "ROLLBACK PREPARED 'x'", "COMMIT PREPARED 'x'", "PREPARE TRANSACTION 'x'", "SELECT 1; ROLLBACK", "SELECT 'ROLLBACK'",
    "ROLLBACK TO a; ROLLBACK", "PREPARE p AS SELECT 1", "EXECUTE p", "SELECT 'to'; COMMIT"]
KEPT = {"r": "ROLLBACK", "c": "COMMIT", "s": "SELECT 1", "e": "", "to": "ROLLBACK TO a", "chain": "ROLLBACK AND CHAIN",
        "rp": "ROLLBACK PREPARED 'x'"}
WAYS = {
    "query": [query(sql) for sql in IN_FAILED],
    "unnamed": [one_statement(sql) + sync() for sql in IN_FAILED],
    "prepared": [parse("n", sql) + describe("S", "n") + sync() + bind("", "n") + execute() + sync() for sql in IN_FAILED],
    "by name": [bind("", name) + execute() + sync() for name in KEPT] + [
        describe("S", name) + sync() for name in KEPT if name != "rp"] + [
        bind("", "nowhere") + sync(), bind("", "") + sync(), describe("S", "nowhere") + sync(), describe("P", "nowhere") + sync(),
        execute("nowhere") + sync(), execute() + sync(), close("S", "r") + bind("", "r") + sync(), close("P", "") + sync(),
        parse("r", "ROLLBACK") + sync(), bind("p", "r") + describe("P", "p") + sync() + execute("p") + sync(),
        bind("p", "r") + close("P", "p") + execute("p") + sync(), bind("", "r") + describe("P") + flush() + execute() + sync(),
        function_call(177, [b"\0\0\0\2", b"\0\0\0\3"]), sync() + sync(), one_statement("") + sync()]}


def insist(wire, *messages):
    """However slow the machine is: pool_timeout is short."""
    wait_until(lambda: not errors(wire.ask(*messages)), what="a server")


def answers(wire, packet, is_split):
    """What comes, without details and hints, and the state of the transaction behind each request."""
    if is_split:
        wire.send_slowly(packet, 5)
    else:
        wire.send(packet)
    replies = wire.read_until("Z", sum(kind in "QSF" for kind in kinds(packet)))
    return [(r.type, r.sqlstate, r.error["M"]) if r.type in "EN" else (r.type, r.body) for r in replies if r.type != "S"]


def kinds(packet):
    at = 0
    while at < len(packet):
        yield chr(packet[at])
        at += 1 + int.from_bytes(packet[at + 1:at + 5], "big")


@pytest.mark.parametrize("is_split", [False, True], ids=["at once", "split"])
@pytest.mark.parametrize("way", WAYS)
def test_a_failed_transaction_is_as_postgresqls(weir, way, is_split):
    weir.start_opened("50ms", begin="deferred", pool_size=1, max_overflow=0)
    unlike = []
    with weir.raw() as holder:
        for packet in WAYS[way]:
            told = []
            for wire in weir.raw(), Wire((weir.postgres.host, weir.postgres.port)):
                is_direct = not wire.parameters
                if is_direct:
                    wire.login()
                insist(wire, *(parse(name, sql) for name, sql in KEPT.items()), sync())
                if not is_direct:
                    insist(holder, query("BEGIN; SELECT 1"))
                wire.query("BEGIN")
                assert wire.ask(query("SELECT nothing"))[-1].status == "E"
                told.append(answers(wire, packet, is_split))
                if not is_direct:
                    holder.query("COMMIT")
                wire.leave()
            if told[0] != told[1]:
                unlike.append((packet, *told))
    assert not unlike, "\n".join(f"{packet}\n  pgweir     {one}\n  PostgreSQL {two}" for packet, one, two in unlike)


@pytest.mark.parametrize("packet, is_alike", [
    (parse("n", "ROLLBACK") + bind("", "n", ["1"]) + execute() + sync(), True),
    (bind("", "r", ["1", None]) + execute() + sync(), True),
    (bind("", "r", [], [0, 1]) + execute() + sync(), True),
    (bind("", "typed", ["1"]) + execute() + sync(), True),
    (bind("", "typed") + execute() + sync(), True),
    (message("B", b"\0r\0\0\0") + execute() + sync(), False),
    (parse("n", "ROLLBACK", [0]) + bind("", "n", ["1"]) + execute() + sync(), False),
    (parse("", "COMMIT", [23]) + bind() + execute() + sync(), False),
    (bind("p", "r") + bind("p", "r") + execute("p") + sync(), True),
    (query("ROLLBACK\v"), False),
    (message("Q", b"ROLLBACK /* \xff\xfe */\0"), False),
    (message("Q", b"COMMIT; SELECT '\xff'\0"), False),
    (message("P", b"\0ROLLBACK -- \xff\0\0\0") + bind() + execute() + sync(), False),
], ids=["value", "values", "formats", "typed-value", "typed", "cut", "unknown-type", "type", "portal", "vt", "query-encoding", "text-encoding",
        "parse-encoding"])
@pytest.mark.parametrize("is_split", [False, True], ids=["at once", "split"])
def test_a_failed_transaction_that_postgresql_would_keep_is_kept(weir, packet, is_alike, is_split):
    """Else what follows is committed outside of it. is_alike: the words are PostgreSQL's, too."""
    weir.start_opened("50ms", begin="deferred", pool_size=1, max_overflow=0)
    weir.postgres.query("DROP TABLE IF EXISTS kept; CREATE TABLE kept (a int); GRANT ALL ON kept TO PUBLIC")
    told = []
    with weir.raw() as holder:
        for wire in weir.raw(), Wire((weir.postgres.host, weir.postgres.port)):
            is_direct = not wire.parameters
            if is_direct:
                wire.login()
            insist(wire, parse("r", "ROLLBACK"), parse("typed", "ROLLBACK", [23]), sync())
            if not is_direct:
                insist(holder, query("BEGIN; SELECT 1"))
            wire.query("BEGIN")
            assert wire.ask(query("SELECT nothing"))[-1].status == "E"
            if not is_direct:
                assert holder.ask(query("COMMIT"))[-1].status == "I"
            told.append(answers(wire, packet, is_split))
            assert told[-1][-1] == ("Z", b"E"), wire
            assert shape(wire.ask(query("INSERT INTO kept VALUES (1)"))) == "E:25P02 Z:E"
            assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
            wire.leave()
    assert not is_alike or told[0] == told[1]
    assert weir.postgres.value("SELECT count(*) FROM kept") == 0


def test_a_bind_with_many_formats_is_read_as_far_as_needed(weir):
    weir.start_opened("50ms", begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as holder, weir.raw() as wire:
        insist(wire, parse("r", "ROLLBACK"), sync())
        insist(holder, query("BEGIN; SELECT 1"))
        wire.query("BEGIN")
        assert shape(wire.ask(query("SELECT 1"))) == "E:53300 Z:E"
        for count in (2, 500, 20000, 65535):
            packet = bind("", "r", [], [0] * count)
            wire.send(packet[:20])
            wire.send(packet[20:] + execute() + sync())
            assert [e.sqlstate for e in errors(wire.read_until())] in (["08P01"], ["25P02"])
        assert shape(wire.ask(bind("", "r", [], [], [0] * 65535) + execute() + sync())) == "2 C:ROLLBACK Z:I"


def test_a_failed_transaction_is_ended_without_room_for_statements(weir):
    weir.start_opened("50ms", begin="deferred", pool_size=1, max_overflow=0, prepared_statements_memory="64kB")
    with weir.raw() as holder, weir.raw() as wire:
        for size in (900, 60, 0):
            number = 0
            while not errors(wire.ask(parse(f"s{size}_{number}", f"SELECT /*{'x' * size}*/"), sync())):
                number += 1
        insist(holder, query("BEGIN; SELECT 1"))
        wire.query("BEGIN")
        assert shape(wire.ask(query("SELECT 1"))) == "E:53300 Z:E"
        assert shape(wire.ask(parse("named", "ROLLBACK"), sync())) == "E:25P02 Z:E"
        assert shape(wire.ask(one_statement("ROLLBACK") + sync())) == "1 2 n C:ROLLBACK Z:I"
        assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"


def test_a_chain_has_the_modes_of_what_went_on_behind_a_failed_transaction_without_a_server(weir):
    weir.start_opened("50ms", begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as holder, weir.raw() as wire:
        insist(holder, query("BEGIN; SELECT 1"))
        wire.query("BEGIN ISOLATION LEVEL SERIALIZABLE")
        assert shape(wire.ask(query("SELECT 1"))) == "E:53300 Z:E"
        assert shape(wire.ask(query("ROLLBACK; SELECT 1"))) == "E:53300 Z:E"
        holder.query("COMMIT")
        assert shape(wire.ask(query("ROLLBACK AND CHAIN"))) == "C:ROLLBACK Z:T"
        assert wire.query("SHOW transaction_isolation") == [["serializable"]]


@pytest.mark.parametrize("sql", ["ROLLBACK; SELECT 1", "COMMIT; SELECT 1", "ROLLBACK; BEGIN; SELECT 1", "ROLLBACK AND CHAIN; SELECT 1",
                                 "COMMIT AND CHAIN; SELECT 1; COMMIT", "END; SELECT 1/0"])
def test_what_goes_on_behind_a_failed_transaction_does_so_on_a_server(weir, sql):
    weir.start_opened("50ms", begin="deferred", pool_size=1, max_overflow=0)
    told = []
    with weir.raw() as holder:
        for wire in weir.raw(), Wire((weir.postgres.host, weir.postgres.port)):
            if not wire.parameters:
                wire.login()
            else:
                insist(holder, query("BEGIN; SELECT 1"))
            wire.query("BEGIN")
            assert wire.ask(query("SELECT nothing"))[-1].status == "E"
            if not told:
                assert shape(wire.ask(query(sql))) == "E:53300 Z:E"
                holder.query("COMMIT")
            told.append(answers(wire, query(sql), False))
            wire.leave()
    assert told[0] == told[1]


@pytest.mark.parametrize("padding", [0, 3000], ids=["short", "long"])
def test_what_is_relayed_again_is_a_transaction(weir, padding):
    """PostgreSQL ends the idle server. Either nobody notices, or the client is told; its INSERT is never committed alone. A long one
    is no copy in what is sent."""
    start(weir, on_outage="hold")
    weir.postgres.query("DROP TABLE IF EXISTS relayed; CREATE TABLE relayed (a int); GRANT ALL ON relayed TO PUBLIC")
    unnoticed = 0
    for _ in range(20):
        with weir.raw() as wire:
            wire.query("SELECT 1", "BEGIN")
            weir.postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'")
            wire.send(query(f"INSERT INTO relayed VALUES (1) /*{'x' * padding}*/"))
            with suppress(WireClosed):
                unnoticed += shape(wire.read_until()) == "C:INSERT 0 1 Z:T"
                assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
    assert unnoticed > 0 and weir.postgres.value("SELECT count(*) FROM relayed") == 0


def test_a_transaction_without_a_server_has_its_limits(weir):
    """It is timed from its BEGIN on, is counted once, and is no idle client."""
    with start(weir, idle_transaction_timeout="1s", client_idle_timeout="500ms").raw() as wire:
        wire.query("BEGIN")
        assert wire.read_to_end()[-1].sqlstate == "25P03"
    weir.reload(begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as counted:
        for end in ("COMMIT", "ROLLBACK"):
            counted.query("BEGIN", end)
        for end in ("commit", "rollback"):
            assert weir.metric_now("pgweir_transactions_total", database="app", end=end) == 1


def test_a_begin_that_fails_takes_its_client_along(weir, fake):
    """PostgreSQL has been told to cancel it, say. What was sent behind it has run alone: the client does not take that for its transaction."""
    asked = []

    def answer(conn, kind, body):
        if kind != "Q" or not body.startswith((b"BEGIN", b"SELECT 'mark'")):
            return False
        asked.append(body)
        if body.startswith(b"SELECT"):                      # both have come, whatever pgweir does behind the first answer
            conn.send(fakeserver.error("57014", "canceling statement"), fakeserver.ready("I"), fakeserver.one_row("alone"), fakeserver.ready("I"))
        return True

    fake.answer = answer
    with weir.start(begin="deferred", upstream=f"host=127.0.0.1 port={fake.port}").raw() as wire:
        assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"
        wire.send(query("SELECT 'mark'"))
        replies = wire.read_to_end()
        assert [e.sqlstate for e in errors(replies)] == ["57014"] and not texts(replies) and len(asked) == 2


def notified(replies):
    return [reply.body[4:].split(b"\0")[0].decode() for reply in replies if reply.type == "A"]


def test_who_listens_is_told_behind_its_transaction(weir):
    with start(weir).raw() as wire, weir.raw() as witness, weir.raw() as other:
        each((wire, witness)).query("LISTEN told")
        for first, end in ((None, "COMMIT"), ("SELECT 1", "COMMIT"), ("SELECT 1", "ROLLBACK"), ("SELECT nothing", "COMMIT")):
            assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"
            other.query("NOTIFY told")                  # takes the only server
            assert witness.read().type == "A"           # wire's listener has it, too
            assert wire.has_nothing_more()
            if first is not None:
                assert not notified(wire.ask(query(first)))
            assert notified(wire.ask(query(end))) == ["told"]


def test_who_listens_is_told_when_its_transaction_has_failed_without_a_server(weir):
    weir.start_opened("100ms", begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as wire, weir.raw() as witness, weir.raw() as holder:
        each((wire, witness)).query("LISTEN told")
        wire.query("BEGIN")
        holder.query("BEGIN", "NOTIFY told", "COMMIT")
        assert witness.read().type == "A" and wire.has_nothing_more()
        holder.query("BEGIN", "SELECT 1")
        replies = wire.ask(query("SELECT 1"))
        assert notified(replies) == ["told"] and [e.sqlstate for e in errors(replies)] == ["53300"]


def test_a_listen_in_a_transaction_without_a_server(weir):
    with start(weir).raw() as wire, weir.raw() as other:
        for end, told in (("ROLLBACK", []), ("COMMIT", ["told"])):
            wire.query("BEGIN", "LISTEN told", end)
            other.query("NOTIFY told")
            if told:
                assert notified([wire.read()]) == told
            else:
                assert wire.has_nothing_more()
        wire.query("BEGIN")
        assert shape(wire.ask(query("UNLISTEN *"))) == "C:UNLISTEN Z:T"
        wire.query("COMMIT")
        other.query("NOTIFY told")
        assert wire.has_nothing_more()


def begun(weir):
    """A client whose transaction has no server yet."""
    wire = weir.raw()
    assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"
    return wire


def ends_with(wire, sqlstate):
    replies = wire.read_to_end()
    assert [e.sqlstate for e in errors(replies)] == [sqlstate]


def test_pause_does_not_wait_for_it_and_its_first_statement_waits_for_resume(weir):
    start(weir)
    before = begun(weir)
    weir.console("PAUSE")
    during = begun(weir)
    for count, wire in enumerate((before, during), 1):                      # in this order: there is one server
        wire.send(query("SELECT 1"))
        weir.wait_waiting(count)
    weir.console("RESUME")
    for wire in (before, during):
        assert texts(wire.read_until()) == [["1"]]
        assert shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"


@pytest.mark.parametrize("first", ["SELECT 1", None])
def test_a_shutdown_lets_it_finish(weir, first):
    start(weir, shutdown_timeout="20s")
    wire, idle = begun(weir), weir.raw()
    weir.signal(signal.SIGTERM)
    ends_with(idle, "57P01")
    if first is not None:
        assert wire.query(first) == [["1"]]
    assert shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"
    ends_with(wire, "57P01")
    assert weir.wait_exit() == 0


def test_a_shutdown_waits_for_it_as_long_as_for_any_other(weir):
    start(weir, shutdown_timeout="300ms")
    wire = begun(weir)
    weir.signal(signal.SIGTERM)
    ends_with(wire, "57P01")
    weir.wait_exit()


def test_a_restart_lets_it_finish_where_it_is(weir):
    start(weir, pool_size=2)
    with begun(weir) as wire, weir.raw() as idle:
        weir.restart(wait=False)
        wait_until(lambda: "staying for now" in weir.log(), what="the old process to keep it")
        assert idle.query("SELECT 1") == [["1"]]
        assert wire.query("SELECT 1") == [["1"]]
        assert shape(wire.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        wait_until(lambda: weir.predecessors[0].poll() == 0, what="the old process to end")
        assert wire.query("SELECT 2") == [["2"]]


@pytest.mark.parametrize("first", ["SELECT 1", None])
def test_a_reload_that_removes_its_database_lets_it_finish(weir, first):
    """As it does one that has a server."""
    ready = start(weir).raw(database="app2")
    ready.query("BEGIN")
    weir.reload(sections={"database app2": None}, begin="deferred", pool_size=1, max_overflow=0)
    if first is not None:
        assert ready.query(first) == [["1"]]
    assert shape(ready.ask(query("COMMIT"))) == "C:COMMIT Z:I"
    ends_with(ready, "57P01")


def test_a_reload_to_sent_leaves_it_deferred(weir):
    start(weir)
    with begun(weir) as wire:
        weir.reload(begin="sent", pool_size=1, max_overflow=0)
        assert wire.query("SELECT 1") == [["1"]] and lent(weir) == 1
        assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"


@pytest.mark.parametrize("limit, sqlstate", [("query_timeout", "57014"), ("transaction_timeout", "25P04")])
def test_its_first_statement_has_its_limits(weir, limit, sqlstate):
    start(weir, **{limit: "300ms"})
    with begun(weir) as wire:
        wire.send(query("SELECT pg_sleep(60)"))
        assert [e.sqlstate for e in errors(wire.read_until("E"))] == [sqlstate]
    with weir.raw() as wire:
        assert wire.query("SELECT 1") == [["1"]]


def test_a_transaction_timeout_ends_it_without_a_server(weir):
    start(weir, transaction_timeout="300ms")
    ends_with(begun(weir), "25P04")


def test_where_it_is_shown(weir):
    """It is active, and holds nothing; what was answered here is no request."""
    start(weir, sections={"slow_query": {"threshold": "0ms"}})
    with begun(weir) as wire:
        client, = [row for row in weir.console("SHOW CLIENTS") if row["database"] == "app"]
        assert client["state"] == "active"
        assert not [row for row in weir.console("SHOW HOLDERS") if row["database"] == "app"]
        wire.query("SELECT 'shown'")
        holder, = [row for row in weir.console("SHOW HOLDERS") if row["database"] == "app"]
        wire.query("COMMIT")
        wait_until(lambda: len(weir.slow_lines()) >= 2, what="both lines")
        assert [line["tag"] for line in weir.slow_lines()] == ["SELECT", "COMMIT"] and holder["user"] == "web"
        assert [line["in_transaction"] for line in weir.slow_lines()] == [True, False]


def test_a_client_that_leaves_before_it_is_begun(weir, fake):
    """PostgreSQL has not answered the BEGIN: the connection is closed, and nobody else ever gets it."""
    fake.answer = lambda conn, kind, body: kind == "Q" and body.startswith((b"BEGIN", b"SELECT 'mark'"))
    start(weir, upstream=f"host=127.0.0.1 port={fake.port}")
    with begun(weir) as wire:
        wire.send(query("SELECT 'mark'"))
        wait_until(lambda: lent(weir) == 1, what="a server to be lent")
    wait_until(lambda: weir.pool()["sv_active"] + weir.pool()["sv_idle"] == 0, what="the server to be closed")


def test_a_client_that_leaves_without_a_server_leaves_nothing(weir):
    start(weir)
    for end in (lambda wire: wire.close(), lambda wire: wire.leave(), lambda wire: wire.reset()):
        end(begun(weir))
    wait_until(lambda: weir.metric("pgweir_transactions_total", database="app", end="lost") == 3, what="them to be counted")
    assert lent(weir) == 0
