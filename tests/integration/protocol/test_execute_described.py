"""EXECUTE of what SQL PREPARE made, by the extended protocol: PostgreSQL settles at Parse which columns Describe tells,
so the statement must be there before Parse, not only before Describe or Bind."""

import pytest

from rawwire import bind, describe, execute, flush, parse, query, shape, sync, texts


@pytest.fixture
def clients(weir):
    """Two clients with a statement of the same name and of another kind each, and one that can keep a server busy."""
    weir.start(pool_size=2, pool_lifo=False)
    one, two, other = weir.raw(), weir.raw(), weir.raw()
    one.query("PREPARE triple (int) AS SELECT $1 * 3")
    two.query("PREPARE triple (int) AS SELECT $1 * 4, 'four'")
    return (one, lambda n: [[str(n * 3)]]), (two, lambda n: [[str(n * 4), "four"]]), other


def columns(replies):
    return {reply.type: reply.body[1] for reply in replies if reply.type in "Tn" and reply.body} or shape(replies)


def test_described_on_a_server_that_has_not_got_it(clients):
    (one, wanted), _, other = clients
    other.query("BEGIN")
    assert columns(one.ask(parse("s", "EXECUTE triple (5)") + describe("S", "s") + sync())) == {"T": 1}
    other.query("COMMIT")
    assert texts(one.ask(bind("", "s") + execute() + sync())) == wanted(5)


@pytest.mark.parametrize("name", ["s", ""], ids=["named", "unnamed"])
@pytest.mark.parametrize("end", [sync, flush], ids=["sync", "flush"])
def test_one_text_that_means_something_else_to_each(clients, name, end):
    *both, other = clients
    for turn in range(4):
        for wire, wanted in both:
            statement = name and f"{name}{turn}"
            wire.send(parse(statement, f"EXECUTE triple ({turn})") + describe("S", statement) + end())
            replies = wire.read_until("Z" if end is sync else "Tn")
            assert columns(replies) == {"T": len(wanted(0)[0])}
            wire.send(bind("", statement) + execute() + sync())
            assert texts(wire.read_until("Z")) == wanted(turn)
            other.query("SELECT 1")


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_query_behind_a_flush_that_executes_what_the_protocol_has_prepared(weir, postgres, is_gone):
    """What is sent ahead of the Query is part of its request there: if it fails, the Query has failed, and is answered."""
    weir.start(pool_size=1)
    postgres.query("DROP TABLE IF EXISTS executed; CREATE TABLE executed AS SELECT 7 AS a; "
                   "GRANT ALL ON executed TO PUBLIC")
    with weir.raw() as wire:
        wire.ask(parse("p", "SELECT a FROM executed") + sync())
        if is_gone:
            postgres.query("DROP TABLE executed")
        wire.send(parse("", "SELECT 1") + bind("") + execute() + flush())
        assert shape(wire.read_until("C")) == "1 2 D C:SELECT 1"
        replies = wire.ask(query("EXECUTE p"))
        assert shape(replies) == ("E:42P01 Z:I" if is_gone else "T D C:SELECT 1 Z:I")
        assert wire.query("SELECT 2") == [["2"]]
