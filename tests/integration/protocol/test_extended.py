"""The extended protocol in the small: what each message does, and what drivers make of it."""

import pytest

from rawwire import (bind, close, describe, errors, execute, flush, function_call, one_statement, parse, query, shape,
                     sync, texts)


def test_execute_in_portions_over_flushes(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.send(parse("", "SELECT i FROM generate_series(1, 10) i") + bind() + flush())
        wire.read_until("2")
        rows = []
        for _ in range(3):
            wire.send(execute("", 3) + flush())
            replies = wire.read_until("s")
            rows += texts(replies)
            assert shape(replies) == "D D D s"
        wire.send(execute("", 3) + sync())
        replies = wire.read_until("Z")
        assert shape(replies) == "D C:SELECT 1 Z:I"
        assert [row[0] for row in rows + texts(replies)] == [str(i) for i in range(1, 11)]


def test_portals_of_one_transaction_interleave(weir):
    with weir.start(pool_size=2).raw() as wire:
        wire.query("BEGIN")
        wire.ask(parse("", "SELECT i FROM generate_series(1, 4) i") + bind("a") + bind("b") + sync())
        found = [texts(wire.ask(execute(name, 1) + sync()))[0][0] for name in "ababab"]
        assert found == ["1", "1", "2", "2", "3", "3"]
        assert shape(wire.ask(close("P", "a") + execute("a") + sync())) == "3 E:34000 Z:E"
        wire.query("ROLLBACK")


@pytest.mark.parametrize("kept", [1, 2, 500])
def test_named_portals_in_portions_outlive_requests_and_evictions(weir, kept):
    """Two portals of named statements are read in turn, a Sync after each; other statements push theirs out between."""
    with weir.start(pool_size=2, prepared_statements=kept).raw() as wire, weir.raw() as other:
        wire.ask(parse("up", "SELECT i FROM generate_series(1, $1::int) i") + sync())
        wire.ask(parse("down", "SELECT -i FROM generate_series(1, $1::int) i") + sync())
        for number in range(4):
            wire.ask(parse(f"x{number}", f"SELECT {number}") + sync())
        wire.query("BEGIN")
        assert shape(wire.ask(bind("u", "up", [7]) + bind("d", "down", [5]) + sync())) == "2 2 Z:T"
        found = {"u": [], "d": []}
        ends = {}
        for turn in range(4):
            for portal in "ud":
                replies = wire.ask(execute(portal, 2) + sync())
                found[portal] += [int(row[0]) for row in texts(replies)]
                ends.setdefault(portal, []).append(replies[-2].type)
                assert texts(wire.ask(bind("", f"x{turn}") + execute() + sync())) == [[str(turn)]]
            assert other.query("SELECT 1") == [["1"]]
        assert found == {"u": list(range(1, 8)), "d": list(range(-1, -6, -1))}
        assert ends == {"u": ["s", "s", "s", "C"], "d": ["s", "s", "C", "C"]}
        wire.query("COMMIT")
        assert shape(wire.ask(execute("u") + sync())) == "E:34000 Z:I"
        assert texts(wire.ask(bind("", "up", [2]) + execute() + sync())) == [["1"], ["2"]]


@pytest.mark.parametrize("kept", [1, 500])
def test_a_suspended_portal_goes_on_in_a_pipeline(weir, kept):
    with weir.start(pool_size=1, prepared_statements=kept).raw() as wire:
        wire.ask(parse("s", "SELECT i FROM generate_series(1, 5) i") + sync())
        wire.ask(parse("t", "SELECT 't'") + sync())
        wire.query("BEGIN")
        wire.send(bind("p", "s") + execute("p", 2) + sync() +
                  bind("", "t") + execute() + execute("p", 2) + describe("P", "p") + sync() +
                  close("S", "s") + execute("p", 9) + sync() + query("COMMIT"))
        assert shape(wire.read_until("Z", 4)) == ("2 D D s Z:T 2 D C:SELECT 1 D D s T Z:T "
                                                  "3 D C:SELECT 1 Z:T C:COMMIT Z:I")


def test_all_65535_parameters(weir):
    weir.start(pool_size=1)
    count = 65_535
    with weir.raw() as wire:
        text = "SELECT count(*) FROM (VALUES " + ",".join(f"(${i}::int)" for i in range(1, count + 1)) + ") v(a)"
        assert wire.extended(text, list(range(count))) == [[str(count)]]


@pytest.mark.parametrize("value", [b"", b"\0", bytes(range(256)) * 10, b"\xff" * 100_000], ids=len)
def test_binary_values_come_back_as_they_went(weir, value):
    with weir.start(pool_size=1).raw() as wire:
        replies = wire.ask(parse("", "SELECT $1::bytea") + bind("", "", [value], [1], [1]) + execute() + sync())
        assert [reply.row for reply in replies if reply.type == "D"] == [[value]]


def test_errors_keep_every_field(weir, table):
    with weir.start(pool_size=1).raw() as wire:
        wire.query(f"INSERT INTO {table} VALUES (1, 'x')")
        reply = errors(wire.ask(one_statement(f"INSERT INTO {table} VALUES (1, 'y')") + sync()))[0]
        fields = reply.error
        assert fields["C"] == "23505" and fields["t"] == table and fields["n"] == f"{table}_pkey"
        assert fields["s"] == "public" and "already exists" in fields["D"] and fields["R"]


@pytest.mark.parametrize("where", ["parse", "bind", "execute"])
def test_after_an_error_a_transaction_is_failed_until_rollback(weir, where):
    bad = {"parse": parse("", "SELEC"), "bind": parse("", "SELECT $1::int") + bind("", "", ["x"]) + execute(),
           "execute": one_statement("SELECT 1/(i-1) FROM generate_series(1, 2) i")}[where]
    with weir.start(pool_size=1).raw() as wire:
        wire.query("BEGIN")
        assert shape(wire.ask(bad + sync())).endswith("Z:E")
        assert shape(wire.ask(one_statement("SELECT 1") + sync())) == "E:25P02 Z:E"
        assert shape(wire.ask(one_statement("ROLLBACK") + sync())).endswith("C:ROLLBACK Z:I")


def test_only_parse_and_sync_free_the_server(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        for wire in (one, two, one, two):
            wire.ask(parse("", "SELECT 1") + sync())
            assert shape(wire.ask(sync())) == "Z:I"


def test_a_request_that_stops_before_its_sync_keeps_the_server_and_ends_well(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        one.send(parse("", "SELECT 'one'") + bind())
        if not weir.direct:
            weir.wait_until(lambda: weir.pool()["sv_active"] == 1)
            two.send(query("SELECT 'two'"))
            weir.wait_waiting(1)
        assert shape(one.ask(execute() + sync())) == "1 2 D C:SELECT 1 Z:I"
        if not weir.direct:
            assert texts(two.read_until("Z")) == [["two"]]


def test_describe_of_statement_and_portal_in_one_pipeline(weir):
    with weir.start(pool_size=1).raw() as wire:
        replies = wire.ask(parse("s", "SELECT $1::int AS a") + describe("S", "s") + bind("p", "s", [1]) +
                           describe("P", "p") + execute("p") + close("P", "p") + close("S", "s") + sync())
        assert shape(replies) == "1 t T 2 T D C:SELECT 1 3 3 Z:I"


def test_function_calls_between_queries(weir):
    with weir.start(pool_size=2, pool_lifo=False).raw() as wire:
        for number in range(10):
            replies = wire.ask(function_call(177, [number.to_bytes(4, "big"), b"\0\0\0\1"]))
            assert replies[0].body[4:] == (number + 1).to_bytes(4, "big")
            assert wire.query("SELECT 1") == [["1"]]


def test_a_function_call_in_a_pipeline_is_skipped_after_an_error(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.send(one_statement("SELECT 1/0") + function_call(177, [b"\0\0\0\1", b"\0\0\0\1"]) + sync())
        assert shape(wire.read_until("Z")) == "1 E:22012 Z:I"
        assert wire.query("SELECT 1") == [["1"]]


def test_a_terminate_behind_a_pipeline_lets_it_finish(weir, table):
    wire = weir.start(pool_size=1).raw()
    wire.send(one_statement(f"INSERT INTO {table} VALUES (1, 'x')") + sync())
    wire.read_until("Z")
    wire.leave()
    assert weir.postgres.value(f"SELECT count(*) FROM {table}") == 1
