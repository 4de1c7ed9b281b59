"""Session and statement mode, per pool, database and user."""

import pytest

import rawwire
from rawwire import errors, one_statement, parse, query, shape, sync, texts
from waiting import each, wait_until


def pid(wire):
    return wire.value("SELECT pg_backend_pid()")


# --- session ---

def test_session_mode_keeps_one_server_to_the_end(weir):
    with weir.start(pool_mode="session", pool_size=3, pool_lifo=False).raw() as one, weir.raw() as two:
        pids = [(pid(one), pid(two)) for _ in range(5)]
        assert len(set(pids)) == 1 and pids[0][0] != pids[0][1]


def test_session_mode_keeps_everything_a_session_holds(weir):
    with weir.start(pool_mode="session", pool_size=2).raw() as wire, weir.raw() as other:
        wire.query("CREATE TEMP TABLE mine (a int)", "SET work_mem = '7MB'", "PREPARE p AS SELECT 'prepared'")
        wire.query("LISTEN ch", "SELECT pg_advisory_lock(5)")
        other.query("SELECT 1")
        assert wire.value("SHOW work_mem") == "7MB"
        assert wire.query("EXECUTE p") == [["prepared"]]
        assert wire.query("SELECT count(*) FROM mine") == [["0"]]
        weir.postgres.query("NOTIFY ch, 'payload'")
        assert wire.read_until("A")[-1].body.endswith(b"ch\0payload\0")
        assert other.value("SELECT pg_try_advisory_lock(5)") == "f"


@pytest.mark.weir_only
def test_the_next_client_of_a_session_server_finds_it_clean(weir):
    with weir.start(pool_mode="session", pool_size=1).raw() as wire:
        first = pid(wire)
        wire.query("CREATE TEMP TABLE mine (a int)", "SET work_mem = '7MB'", "PREPARE p AS SELECT 1")
        wire.ask(parse("named", "SELECT 1") + sync())
        wire.query("LISTEN ch", "SELECT pg_advisory_lock(5)")
        wire.leave()
    with weir.raw() as wire:
        assert pid(wire) == first                                    # reset and used again, not closed
        found = wire.query("SELECT to_regclass('pg_temp.mine'), (SELECT count(*) FROM pg_prepared_statements), "
                           "(SELECT count(*) FROM pg_listening_channels()), current_setting('work_mem'), "
                           "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')")
        assert found == [[None, "0", "0", "4MB", "0"]]


@pytest.mark.weir_only
def test_a_session_client_that_vanishes_in_a_transaction_is_rolled_back(weir, table):
    wire = weir.start(pool_mode="session", pool_size=1).raw()
    wire.query(f"BEGIN; INSERT INTO {table} VALUES (1, 'x')")
    wire.close()
    with weir.raw() as other:
        assert other.query(f"SELECT count(*) FROM {table}") == [["0"]]
        assert shape(other.ask(query("SELECT 1")))[-3:] == "Z:I"


# --- statement ---

@pytest.mark.weir_only
@pytest.mark.parametrize("begin", [query("BEGIN"), one_statement("BEGIN") + sync(), query("SELECT 1; BEGIN"),
                                   query("START TRANSACTION"), query("begin")])
def test_statement_mode_refuses_a_transaction_block(weir, begin):
    wire = weir.start(pool_mode="statement", pool_size=1).raw()
    wire.send(begin)
    try:
        replies = wire.read_until("Z")
        assert errors(replies) and replies[-1].status == "I"
    except rawwire.WireClosed as closed:
        assert "E:" in str(closed)                                   # closed, but not without a word
    with weir.raw() as other:
        assert other.query("SELECT 1") == [["1"]]
    wait_until(lambda: weir.postgres.count(state="idle in transaction") == 0)


@pytest.mark.weir_only
def test_statement_mode_gives_each_statement_any_server(weir):
    weir.start(pool_mode="statement", pool_size=3, pool_lifo=False)
    wires = [weir.raw() for _ in range(3)]
    each(wires).send(query("SELECT pg_sleep(0.2)"))
    each(wires).read_until("Z")
    weir.settle()
    assert len({pid(wires[0]) for _ in range(12)}) > 1
    assert wires[0].extended("SELECT $1::int + 1", [41]) == [["42"]]
    assert wires[0].query("SELECT 1; SELECT 2") == [["1"], ["2"]]


@pytest.mark.weir_only
def test_modes_per_database_and_user(weir):
    sections = {"database app2": {"pool_mode": "session"}, "user reporting": {"pool_mode": "statement"}}
    weir.start(sections, pool_size=1)
    rows = {}
    for user, database in (("web", "app"), ("web", "app2"), ("reporting", "app2")):
        weir.raw(user, database).query("SELECT 1")
        rows[user, database] = weir.pool(database, user)["pool_mode"]
    assert rows == {("web", "app"): "transaction", ("web", "app2"): "session", ("reporting", "app2"): "statement"}
    weir.reload(sections, pool_size=1, pool_timeout="300ms")
    with pytest.raises(rawwire.LoginRefused) as late:                # the session server is still the first one's
        weir.raw("web", "app2")
    assert late.value.sqlstate == "53300"


# --- statement mode: what is not a transaction block works as in transaction mode ---

@pytest.fixture
def busy(weir):
    """Statement mode with servers that change hands: each statement of a client most often meets another one."""
    def start(**settings):
        weir.start(pool_mode="statement", pool_size=3, pool_lifo=False, **settings)
        warm = [weir.raw() for _ in range(3)]
        each(warm).send(query("SELECT pg_sleep(0.1)"))
        for wire in warm:
            wire.read_until("Z")
            wire.leave()
        return weir.raw()
    return start


@pytest.mark.weir_only
def test_statement_mode_runs_several_statements_of_a_text_as_one_transaction(busy, weir, table):
    wire = busy()
    assert wire.query(f"INSERT INTO {table} VALUES (1, 'a'); INSERT INTO {table} VALUES (2, 'b') RETURNING id") == [["2"]]
    assert errors(wire.ask(query(f"INSERT INTO {table} VALUES (3, 'c'); SELECT 1/0")))[0].sqlstate == "22012"
    assert errors(wire.ask(one_statement(f"INSERT INTO {table} VALUES (4, 'd')") + one_statement("SELECT 1/0") + sync()))
    assert weir.postgres.value(f"SELECT array_agg(id ORDER BY id) FROM {table}") == [1, 2]
    assert wire.query(f"BEGIN; INSERT INTO {table} VALUES (5, 'e'); COMMIT") == []    # over when the text is
    pids = set()
    wait_until(lambda: pids.add(pid(wire)) or len(pids) > 1, what="another server, once nobody expects a currval() any more")


@pytest.mark.weir_only
def test_statement_mode_keeps_settings_and_prepared_statements(busy, weir):
    wire, holders = busy(), [weir.raw() for _ in range(3)]
    wire.query("SET work_mem = '7MB'", "SET TimeZone = 'Asia/Tokyo'")
    wire.ask(parse("p", "SELECT $1::int + 1") + sync())
    pids = set()
    for turn in range(9):
        for number, holder in enumerate(holders):                    # all are taken, and not the same is free first
            holder.send(query(f"SELECT pg_sleep({0.02 if number == turn % 3 else 0.1})"))
        pids.add(pid(wire))
        assert (wire.value("SHOW work_mem"), wire.value("SHOW TimeZone")) == ("7MB", "Asia/Tokyo")
        assert texts(wire.ask(rawwire.bind("", "p", [turn]) + rawwire.execute() + sync())) == [[str(turn + 1)]]
        each(holders).read_until("Z")
    assert len(pids) > 1


@pytest.mark.weir_only
def test_statement_mode_copies(busy, weir, table):
    wire = busy()
    wire.send(query(f"COPY {table} FROM STDIN"))
    wire.read_until("G")
    wire.send(rawwire.copy_data(b"1\ta\n2\tb\n") + rawwire.copy_done())
    assert shape(wire.read_until("Z")) == "C:COPY 2 Z:I"
    assert shape(wire.ask(query(f"COPY {table} TO STDOUT"))).endswith("C:COPY 2 Z:I")


@pytest.mark.weir_only
@pytest.mark.parametrize("rest", [[], ["SELECT 1/0"], ["SELECT pg_sleep(60)"]], ids=["insert", "failed", "long"])
def test_statement_mode_leaves_nothing_of_a_block_whose_statements_were_sent_at_once(weir, table, rest):
    wire = weir.start(pool_mode="statement", pool_size=1).raw()
    wire.send(b"".join(map(query, ["SELECT 'before'", "BEGIN", f"INSERT INTO {table} VALUES (1, 'x')", *rest])))
    assert b"before" in wire.wait_closed()
    with weir.raw() as other:
        assert other.query(f"SELECT count(*) FROM {table}") == [["0"]]
    wait_until(lambda: weir.postgres.count(state="idle in transaction") == 0, what="no open transaction")
    weir.postgres.kill_backends()           # PostgreSQL notices that nobody waits for its pg_sleep() when that is over


@pytest.mark.weir_only
def test_statement_mode_says_why_it_closes(weir):
    wire = weir.start(pool_mode="statement", pool_size=1).raw()
    wire.send(query("BEGIN"))
    told = errors(wire.read_until("E"))[-1]
    assert told.sqlstate == "0A000" and "pool_mode = statement" in told.error["M"]
    assert "pool_mode = transaction" in told.error["H"]
    assert wire.wait_closed() == b""
