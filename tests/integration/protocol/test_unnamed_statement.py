"""The unnamed statement is the client's own: parsed in one Sync, bound in a later one, while others use the server.

Go's lib/pq does it that way: Parse and Describe, Sync; then Bind and Execute, Sync. A pooler that forgets it hands out
the answer of another client's statement.
"""

import random

import pytest

import rawwire
from rawwire import BEGIN_NOW, bind, close, describe, execute, parse, query, shape, sync, texts
from waiting import each, wait_until


def prepare(wire, sql, types=()):
    return wire.ask(parse("", sql, types) + describe("S", "") + sync())


def run(wire, parameters=()):
    return texts(wire.ask(bind("", "", parameters) + execute() + sync()))


def test_another_client_parses_between_parse_and_bind(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'one'")
        prepare(two, "SELECT 'two'")
        assert run(one) == [["one"]]
        assert run(two) == [["two"]]
        assert run(one) == [["one"]]


def test_another_client_queries_between_parse_and_bind(weir):
    """A simple Query destroys the unnamed statement: on the server, but not for this client."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'one'")
        two.query("SELECT 'two'")
        assert run(one) == [["one"]]


@pytest.mark.weir_only
def test_a_ping_comes_between_parse_and_bind(weir):
    """It is a simple Query, too."""
    with weir.start(pool_size=1, ping_interval="100ms").raw() as one:
        prepare(one, "SELECT 'one'")
        pings = weir.metric("pgweir_pool_pings_total", result="ok")
        weir.wait_until(lambda: weir.metric("pgweir_pool_pings_total", result="ok") > pings, what="a ping")
        assert run(one) == [["one"]]


def test_another_server_comes_between_parse_and_bind(weir):
    with weir.start(pool_size=3, pool_lifo=False).raw() as one, weir.raw() as two, weir.raw() as three:
        prepare(one, "SELECT $1::text || 'one'")
        each((two, three)).query(BEGIN_NOW)
        assert run(one, ["a "]) == [["a one"]]
        two.query("COMMIT")
        assert run(one, ["b "]) == [["b one"]]
        three.query("COMMIT")
        for _ in range(6):
            assert run(one, ["c "]) == [["c one"]]


def test_describe_in_a_later_sync(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        one.ask(parse("", "SELECT $1::int4 AS number, 'x' AS word") + sync())
        prepare(two, "SELECT 'something else entirely', 2, 3")
        replies = one.ask(describe("S", "") + sync())
        assert shape(replies) == "t T Z:I"
        assert b"number\0" in replies[1].body and b"word\0" in replies[1].body
        assert run(one, [7]) == [["7", "x"]]


def test_its_parameter_types_are_kept(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "SELECT pg_typeof($1)", (23,))
        prepare(two, "SELECT pg_typeof($1)", (25,))
        assert run(one, [1]) == [["integer"]]
        assert run(two, [1]) == [["text"]]


def test_a_parse_that_failed_leaves_nothing_and_nobody_elses(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'old'")
        prepare(two, "SELECT 'two'")
        assert shape(one.ask(parse("", "SELEC") + sync())) == "E:42601 Z:I"
        assert shape(one.ask(bind("", "") + execute() + sync())) == "E:26000 Z:I"
        assert run(two) == [["two"]]


@pytest.mark.parametrize("sent", [query("SELECT 1"), close("S", "") + sync()], ids=["Query", "Close"])
def test_its_own_simple_query_and_a_close_destroy_it(weir, sent):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'one'")
        one.ask(sent)
        prepare(two, "SELECT 'two'")
        assert shape(one.ask(bind("", "") + execute() + sync())) == "E:26000 Z:I"


UNREADABLE = b"SELECT '\xff'"


@pytest.mark.parametrize("message, sqlstate", [
    (query(UNREADABLE), "22021"), (parse("", UNREADABLE) + sync(), "22021"), (rawwire.message("Q", b"SELECT 1\0SELECT 2\0"), "08P01"),
], ids=["Query", "Parse", "a zero byte within"])
def test_what_postgresql_cannot_read_leaves_it(weir, message, sqlstate):
    """It is refused before PostgreSQL knows what to drop; and another server comes before the statement is used."""
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'one'")
        assert shape(one.ask(message)) == f"E:{sqlstate} Z:I"
        two.query(BEGIN_NOW)
        assert run(one) == [["one"]]


ENCODINGS = {                       # from, to, what can't be parsed, whether PostgreSQL could read it
    "text of the encoding set": ("UTF8", "LATIN1", b"SELEC '\xe9'", True),
    "text of the encoding before": ("LATIN1", "UTF8", b"SELECT '\xe9'", False),
    "letters of the encoding set": ("LATIN1", "UTF8", b"SELEC '\xc3\xa9'", True),
    "a constant with another byte": ("UTF8", "LATIN1", b"SELECT E'\\x00'", True),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_what_can_not_be_read_under_an_encoding_set_just_before_leaves_it(weir, name):
    """PostgreSQL drops the unnamed statement once it has read the new one's text, whatever is wrong with that."""
    before, now, text, is_read = ENCODINGS[name]
    with weir.start(pool_size=1).raw() as wire:
        wire.query(f"SET client_encoding = '{before}'")
        prepare(wire, "SELECT 'mine'")
        setting = parse("set", f"SET client_encoding = '{now}'") + bind("", "set") + execute()
        wire.ask(setting + parse("", text) + sync())
        assert shape(wire.ask(bind() + execute() + sync())) == ("E:26000 Z:I" if is_read else "2 D C:SELECT 1 Z:I")


def test_a_constant_that_can_not_be_converted_does_not_keep_it(weir):
    """PostgreSQL has read the text, all of which is right in the client's encoding."""
    with weir.start(pool_size=1).raw() as wire:
        wire.query("SET client_encoding = 'LATIN1'")
        prepare(wire, "SELECT 'mine'")
        assert shape(wire.ask(parse("", b"SELECT '\xe9', E'\\x00'") + sync())) == "E:22021 Z:I"
        assert shape(wire.ask(bind() + execute() + sync())) == "E:26000 Z:I"


def test_a_new_client_has_none_though_its_server_has(weir):
    with weir.start(pool_size=1).raw() as one:
        prepare(one, "SELECT 'secret of one'")
        with weir.raw() as two:
            assert shape(two.ask(bind("", "") + execute() + sync())) == "E:26000 Z:I"
            assert shape(two.ask(describe("S", "") + sync())) == "E:26000 Z:I"


@pytest.mark.weir_only
def test_it_outlives_its_server(weir):
    with weir.start(pool_size=1).raw() as one:
        prepare(one, "SELECT 'still here'")
        weir.postgres.kill_until_none_is_left()
        assert run(one) == [["still here"]]


def test_in_a_transaction_too(weir):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'one'")
        one.ask(parse("b", "BEGIN") + bind("", "b") + execute() + sync())
        prepare(two, "SELECT 'two'")
        assert run(one) == [["one"]]
        one.ask(parse("c", "COMMIT") + bind("", "c") + execute() + sync())
        assert run(one) == [["one"]]


def test_a_large_one_is_kept_as_well(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        one.ask(parse("", "SELECT length('" + "x" * 500_000 + "')") + sync())
        prepare(two, "SELECT 'two'")
        assert run(one) == [["500000"]]


@pytest.mark.parametrize("seed", range(3))
def test_many_clients_over_two_servers(weir, seed):
    """Random turns of parse, bind, describe, simple query: each answer must be the client's own."""
    chance = random.Random(seed)
    weir.start(pool_size=2, pool_lifo=False)
    wires = [weir.raw() for _ in range(12)]
    mine = [None] * len(wires)
    for turn in range(600):
        number = chance.randrange(len(wires))
        wire = wires[number]
        what = chance.random()
        if mine[number] is None or what < 0.25:
            mine[number] = f"{number}/{turn}"
            wire.ask(parse("", f"SELECT $1::text, '{mine[number]}'") + sync())
        elif what < 0.75:
            assert run(wire, ["p"]) == [["p", mine[number]]]
        elif what < 0.85:
            assert shape(wire.ask(describe("S") + sync())) == "t T Z:I"
        elif what < 0.95:
            assert wire.extended("SELECT $1::int + 1", [turn], name=f"n{turn}") == [[str(turn + 1)]]
        else:
            with pytest.raises(rawwire.QueryFailed):
                wire.query("SELECT 1/0")
            mine[number] = None
            assert shape(wire.ask(bind() + sync())) == "E:26000 Z:I"


def test_pipelined_parse_of_one_and_bind_of_the_other(weir):
    """Both clients' requests are under way at the same time."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        for turn in range(50):
            for wire, name in ((one, "one"), (two, "two")):
                wire.send(parse("", f"SELECT '{name} {turn}'") + sync() + bind() + execute() + sync())
            for wire, name in ((one, "one"), (two, "two")):
                assert texts(wire.read_until("Z", 2)) == [[f"{name} {turn}"]]


@pytest.mark.parametrize("sent, answer", [
    (parse("", "SELECT 1") + sync() + query("SELECT 2") + bind(), "1 Z:I T D C:SELECT 1 Z:I E:26000 Z:I"),
    (parse("", "SELECT 1") + query("SELECT 2") + bind(), "1 T D C:SELECT 1 Z:I E:26000 Z:I"),
    (query("SELECT 2") + parse("", "SELECT 'new'") + sync() + bind() + execute(), "T D C:SELECT 1 Z:I 1 Z:I 2 D C:SELECT 1 Z:I"),
], ids=["behind its Sync", "ahead of its Sync", "ahead of the Parse"])
def test_a_query_of_the_same_pipeline_destroys_what_was_parsed_before_it(weir, sent, answer):
    with weir.start(pool_size=1).raw() as wire:
        wire.send(sent + sync())
        assert shape(wire.read_until("Z", answer.count("Z"))) == answer


def test_a_bind_that_was_skipped_does_not_make_the_next_one_see_anothers(weir):
    """It would have been prepared anew for the first Bind, had that not been skipped."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'one'")
        prepare(two, "SELECT 'two'")
        one.send(bind("", "nowhere") + bind() + sync() + bind() + execute() + sync())
        replies = one.read_until("Z", 2)
        assert shape(replies) == "E:26000 Z:I 2 D C:SELECT 1 Z:I"
        assert texts(replies) == [["one"]]


@pytest.mark.parametrize("skipped", [parse("", "SELECT 'new'"), close("S", ""), query("SELECT 1")], ids=["Parse", "Close", "Query"])
def test_what_was_skipped_leaves_it(weir, skipped):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'one'")
        assert shape(one.ask(bind("", "nowhere") + skipped + sync())) == "E:26000 Z:I"
        prepare(two, "SELECT 'two'")
        assert run(one) == [["one"]]


@pytest.mark.weir_only
def test_a_query_that_gets_no_server_destroys_it_as_well(weir):
    weir.start_opened("200ms", pool_size=1, max_overflow=0)
    with weir.raw() as wire, weir.raw() as other:
        prepare(wire, "SELECT 1")
        other.query(BEGIN_NOW)
        assert shape(wire.ask(query("SELECT 2"))) == "E:53300 Z:I"
        other.query("COMMIT")
        # On a busy machine pgweir may look after the server for longer than one waits for it.
        said = wait_until(lambda: [answer for answer in [shape(wire.ask(bind() + sync()))] if answer != "E:53300 Z:I"])
        assert said == ["E:26000 Z:I"]
