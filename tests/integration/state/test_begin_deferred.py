"""begin = deferred: a BEGIN needs no server until the first statement of its transaction, and all else is as it was."""

import pytest

import fakeserver
from rawwire import WireClosed, bind, errors, execute, one_statement, parse, query, shape, sync, texts
from waiting import wait_until

pytestmark = pytest.mark.weir_only


def start(weir, **settings):
    weir.start(begin="deferred", **{"pool_size": 1, "max_overflow": 0, **settings})


def lent(weir):
    """How many servers are in use."""
    return weir.pool()["sv_active"]


def test_a_transaction_has_no_server_before_its_first_statement(weir):
    start(weir)
    with weir.raw() as holder, weir.raw() as one, weir.raw() as two:
        holder.query("BEGIN")
        holder.query("SELECT 1")                                        # has the only server
        for wire in (one, two):
            replies = wire.ask(query("BEGIN"))
            assert shape(replies) == "C:BEGIN Z:T"
        assert shape(one.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        two.send(query("SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid() AND xact_start < query_start"))
        wait_until(lambda: lent(weir) == 1 and weir.pool()["cl_waiting"] == 1, what="two to wait")
        assert shape(holder.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        replies = two.read_until()
        assert replies[-1].status == "T" and texts(replies) == [["1"]]     # BEGIN has come before
        assert shape(two.ask(query("COMMIT"))) == "C:COMMIT Z:I"


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
    start(weir)
    with weir.raw() as wire:
        assert shape(wire.ask(query(begin))) == f"C:{tag} Z:T"
        assert wire.value("SHOW transaction_isolation") == level
        assert wire.value("SHOW transaction_read_only") == read_only
        assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"


@pytest.mark.parametrize("begin", ["BEGIN nonsense", "BEGIN,", "START TRANSACTION WORK", "BEGIN READ", "BEGIN ISOLATION LEVEL READ ONLY"])
def test_what_is_wrong_is_refused_by_postgresql(weir, begin):
    start(weir)
    with weir.raw() as wire:
        replies = wire.ask(query(begin))
        assert [e.sqlstate for e in errors(replies)] == ["42601"] and replies[-1].status == "I"


def test_what_the_transaction_does_is_its_own(weir):
    """It commits as a whole, or not at all; what it sets goes with it."""
    start(weir)
    with weir.raw() as wire, weir.raw() as other:
        wire.query("CREATE TABLE deferred (a int)")
        for end, count in (("ROLLBACK", "0"), ("COMMIT", "2")):
            wire.query("BEGIN")
            wire.query("INSERT INTO deferred VALUES (1)")
            wire.query("INSERT INTO deferred VALUES (2)")
            wire.query(end)
            assert other.value("SELECT count(*) FROM deferred") == count
        wire.query("BEGIN")
        wire.query("SET work_mem = '7MB'")
        wire.query("ROLLBACK")
        other.query("SELECT 1")
        assert wire.value("SHOW work_mem") == "4MB"
        wire.query("BEGIN")
        wire.query("SET work_mem = '8MB'")
        wire.query("COMMIT")
        other.query("SELECT 1")
        assert wire.value("SHOW work_mem") == "8MB" and other.value("SHOW work_mem") == "4MB"
        wire.query("BEGIN")
        assert [e.sqlstate for e in errors(wire.ask(query("SELECT nothing")))] == ["42703"]
        assert [e.sqlstate for e in errors(wire.ask(query("SELECT 1")))] == ["25P02"]
        assert shape(wire.ask(query("COMMIT"))) == "C:ROLLBACK Z:I"


def test_the_first_statement_may_be_any_message(weir):
    start(weir)
    with weir.raw() as wire:
        wire.query("BEGIN")
        assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"
        wire.query("ROLLBACK")
        wire.query("BEGIN")
        assert shape(wire.ask(parse("named", "SELECT 1"), sync())) == "1 Z:T"
        wire.query("COMMIT")
        wire.query("BEGIN")
        assert shape(wire.ask(sync())) == "Z:T"
        assert wire.extended("SELECT $1::int + 1", ["41"]) == [["42"]]
        assert shape(wire.ask(query("COMMIT AND CHAIN"))) == "C:COMMIT Z:T"
        wire.query("ROLLBACK")
        wire.query("BEGIN")
        wire.query("DECLARE c CURSOR FOR SELECT generate_series(1, 3)")
        assert wire.query("FETCH ALL FROM c") == [["1"], ["2"], ["3"]]
        wire.query("COMMIT")


def test_a_transaction_whose_first_statement_gets_no_server_has_failed(weir):
    weir.start_opened("100ms", begin="deferred", pool_size=1, max_overflow=0)
    weir.postgres.query("CREATE TABLE unserved (a int); GRANT ALL ON unserved TO PUBLIC")
    with weir.raw() as holder, weir.raw() as wire:
        holder.query("BEGIN")
        holder.query("SELECT 1")
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


@pytest.mark.parametrize("end, answer", [
    (query("ROLLBACK"), "C:ROLLBACK Z:I"),
    (query("COMMIT"), "C:ROLLBACK Z:I"),
    (one_statement("ROLLBACK") + sync(), "1 2 n C:ROLLBACK Z:I"),
    (one_statement("COMMIT") + sync(), "E:25P02 Z:I"),
    (bind(statement="rollback") + execute() + sync(), "E:25P02 Z:I"),
    (bind(statement="commit") + execute() + sync(), "E:25P02 Z:I"),
], ids=["rollback", "commit", "parse-rollback", "parse-commit", "bind-rollback", "bind-commit"])
def test_a_failed_transaction_is_ended_by_any_end(weir, end, answer):
    """pgjdbc keeps its ROLLBACK prepared."""
    weir.start_opened("100ms", begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as holder, weir.raw() as wire:
        wire.ask(parse("rollback", "ROLLBACK"), parse("commit", "COMMIT"), sync())
        holder.query("BEGIN")
        holder.query("SELECT 1")
        wire.query("BEGIN")
        assert shape(wire.ask(query("SELECT 1"))) == "E:53300 Z:E"
        assert shape(wire.ask(query("SELECT 1"))) == "E:25P02 Z:E"
        assert shape(wire.ask(end)) == answer
        holder.query("COMMIT")
        assert wire.query("SELECT 1") == [["1"]]


def test_what_is_relayed_again_is_a_transaction(weir):
    """PostgreSQL ends the idle server. Either nobody notices, or the client is told; its INSERT is never committed alone."""
    start(weir, on_outage="hold")
    weir.postgres.query("CREATE TABLE relayed (a int); GRANT ALL ON relayed TO PUBLIC")
    unnoticed = 0
    for _ in range(20):
        with weir.raw() as wire:
            wire.query("SELECT 1")
            wire.query("BEGIN")
            weir.postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'")
            wire.send(query("INSERT INTO relayed VALUES (1)"))
            try:
                unnoticed += shape(wire.read_until()) == "C:INSERT 0 1 Z:T"
                assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
            except WireClosed:
                pass
    assert unnoticed > 0 and weir.postgres.value("SELECT count(*) FROM relayed") == 0


def test_a_transaction_without_a_server_has_its_limits(weir):
    """It is timed from its BEGIN on, is counted once, and is no idle client."""
    start(weir, idle_transaction_timeout="1s", client_idle_timeout="500ms")
    with weir.raw() as wire:
        wire.query("BEGIN")
        assert wire.read_to_end()[-1].sqlstate == "25P03"
    weir.reload(begin="deferred", pool_size=1, max_overflow=0)
    with weir.raw() as counted:
        for end in ("COMMIT", "ROLLBACK"):
            counted.query("BEGIN")
            counted.query(end)
        for end in ("commit", "rollback"):
            assert weir.metric_now("pgweir_transactions_total", database="app", end=end) == 1


def test_a_begin_that_fails_takes_its_client_along(weir, fake):
    """PostgreSQL has been told to cancel it, say. What was sent behind it has run alone: the client does not take that for its transaction."""
    asked = []

    def answer(conn, kind, body):
        if kind != "Q" or not body.startswith((b"BEGIN", b"SELECT 'mark'")):
            return False
        asked.append(body)
        conn.send(fakeserver.error("57014", "canceling statement") if body.startswith(b"BEGIN") else fakeserver.one_row("alone"),
                  fakeserver.ready("I"))
        return True

    fake.answer = answer
    weir.start(begin="deferred", upstream=f"host=127.0.0.1 port={fake.port}")
    with weir.raw() as wire:
        assert shape(wire.ask(query("BEGIN"))) == "C:BEGIN Z:T"
        wire.send(query("SELECT 'mark'"))
        replies = wire.read_to_end()
        assert [e.sqlstate for e in errors(replies)] == ["57014"] and not texts(replies) and len(asked) == 2


def notified(replies):
    return [reply.body[4:].split(b"\0")[0].decode() for reply in replies if reply.type == "A"]


def test_who_listens_is_told_behind_its_transaction(weir):
    start(weir)
    with weir.raw() as wire, weir.raw() as witness, weir.raw() as other:
        for listener in (wire, witness):
            listener.query("LISTEN told")
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
        for listener in (wire, witness):
            listener.query("LISTEN told")
        wire.query("BEGIN")
        holder.query("BEGIN")
        holder.query("NOTIFY told")
        holder.query("COMMIT")
        assert witness.read().type == "A" and wire.has_nothing_more()
        holder.query("BEGIN")
        holder.query("SELECT 1")
        replies = wire.ask(query("SELECT 1"))
        assert notified(replies) == ["told"] and [e.sqlstate for e in errors(replies)] == ["53300"]


def test_a_listen_in_a_transaction_without_a_server(weir):
    start(weir)
    with weir.raw() as wire, weir.raw() as other:
        for end, told in (("ROLLBACK", []), ("COMMIT", ["told"])):
            wire.query("BEGIN")
            wire.query("LISTEN told")
            wire.query(end)
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
