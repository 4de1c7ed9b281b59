"""Pipelines: long, wild and full of errors; replies come whole, in order, and the server is not returned too early."""

import threading

import pytest

import rawwire
from compare import assert_same, both_ways, converse, normalized
from randomtalk import RandomTalk, create_copy_table
from rawwire import BEGIN_NOW, bind, close, describe, execute, flush, one_statement, parse, query, shape, sync, texts


@pytest.fixture(scope="module", autouse=True)
def copy_table(postgres):
    create_copy_table(postgres)


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("seed", range(40))
def test_a_random_pipeline_is_answered_as_by_postgresql(weir, seed):
    weir.start(pool_size=3, pool_lifo=False, prepared_statements=4)
    assert_same(weir, RandomTalk(seed).turns())


@pytest.mark.parametrize("seed", range(100, 110))
def test_a_random_pipeline_through_two_prepared_statements_per_server(weir, seed):
    weir.start(pool_size=2, pool_lifo=False, prepared_statements=2)
    assert_same(weir, RandomTalk(seed).turns(pipelines=15, messages=10))


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_random_pipeline_in_pieces(weir, piece):
    weir.start(pool_size=2)
    turns = RandomTalk(4711).turns(pipelines=3 if piece == 1 else 8)
    expected, _ = both_ways(weir, turns)
    with weir.raw() as wire:
        wire.send_slowly(turns[0][0], piece)
        assert normalized(converse(wire, [])) == expected


def test_thousands_of_statements_before_one_sync(weir):
    weir.start(pool_size=1)
    count = 5000
    with weir.raw() as wire:
        data = b"".join(one_statement(f"SELECT {i}") for i in range(count)) + sync()
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        replies = wire.read_until("Z")
        sender.join()
        assert [row[0] for row in texts(replies)] == [str(i) for i in range(count)]


def test_thousands_of_syncs_at_once(weir):
    weir.start(pool_size=2)
    count = 5000
    with weir.raw() as wire:
        wire.ask(parse("s", "SELECT $1::int") + sync())
        data = b"".join(bind("", "s", [i]) + execute() + sync() for i in range(count))
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        replies = wire.read_until("Z", count)
        sender.join()
        assert [row[0] for row in texts(replies)] == [str(i) for i in range(count)]


def test_a_client_that_writes_megabytes_before_it_reads(weir):
    """Requests and answers are both larger than every buffer on the way: nobody may wait for the other for ever."""
    with weir.start(pool_size=1).raw() as wire:
        data = b"".join(one_statement("SELECT $1::text", ["x" * 100_000]) + sync() for _ in range(100))
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        replies = wire.read_until("Z", 100)
        sender.join()
        assert {len(row[0]) for row in texts(replies)} == {100_000} and len(texts(replies)) == 100


def test_statements_made_by_pgweir_keep_their_place_among_replies(weir):
    """A statement that the server has already: its ParseComplete is not PostgreSQL's, yet comes where it belongs."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        for wire in (one, two):
            replies = wire.ask(one_statement("SELECT 1") + parse("x", "SELECT 2") + bind("", "x") + execute() +
                               rawwire.close("S", "x") + parse("x", "SELECT 1/0") + bind("", "x") + execute() +
                               rawwire.close("S", "x") + sync())
            assert shape(replies) == "1 2 T D C:SELECT 1 1 2 D C:SELECT 1 3 1 E:22012 Z:I"


@pytest.mark.parametrize("name", ["", "wide"])
def test_nothing_of_pgweirs_goes_into_the_middle_of_a_message(weir, name):
    """A description of 260 kB comes in pieces; pgweir itself answers the Parse and Close behind it."""
    wide = "SELECT " + ", ".join(f"1 AS {'c' * 50}{number:013}" for number in range(1600))
    wire = weir.start(pool_size=1, max_overflow=0).raw()
    wire.ask(parse("known", "SELECT 1") + sync())
    for _ in range(5):
        replies = wire.ask(parse(name, wide) + describe("S", name) + parse("again", "SELECT 1") + close("S", "again") + close("S", name) + sync())
        assert shape(replies) == "1 t T 1 3 3 Z:I"


def test_every_sync_of_a_pipeline_may_fail_by_itself(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.send(b"".join(one_statement(f"SELECT 1/{i % 2}") + sync() for i in range(200)))
        replies = wire.read_until("Z", 200)
        found = shape(replies)
        assert found == " ".join(["1 E:22012 Z:I", "1 2 T D C:SELECT 1 Z:I"] * 100)


def test_a_pipelined_transaction_keeps_one_server(weir):
    with weir.start(pool_size=3, pool_lifo=False).raw() as wire:
        wire.send(b"".join((query("BEGIN"), query("SELECT pg_backend_pid()"), query("SELECT pg_backend_pid()"),
                            query("COMMIT"))))
        pids = texts(wire.read_until("Z", 4))
        assert pids[0] == pids[1]


def test_a_server_is_not_lent_on_while_replies_of_a_pipeline_are_owed(weir):
    """The first ReadyForQuery says I, but two more are owed: another client's query must wait for all."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        one.send(query("SELECT 'one'") + query("SELECT pg_sleep(0.3)") + query("SELECT 'three'"))
        one.read_until("Z")
        two.send(query("SELECT 'two'"))
        assert texts(two.read_until("Z")) == [["two"]]
        assert texts(one.read_until("Z", 2)) == [[""], ["three"]]


def test_flush_without_sync_keeps_the_server(weir):
    weir.start_opened("300ms", pool_size=1)
    with weir.raw() as one, weir.raw() as two:
        one.send(parse("", "SELECT pg_backend_pid()") + bind() + execute() + flush())
        assert shape(one.read_until("C")) == "1 2 D C:SELECT 1"
        if not weir.direct:
            two.send(query("SELECT 1"))
            assert shape(two.read_until("Z")) == "E:53300 Z:I"
        assert shape(one.ask(sync())) == "Z:I"
        assert two.query("SELECT 1") == [["1"]]


def test_requests_sent_while_waiting_for_a_server_are_all_answered(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        one.query(BEGIN_NOW)
        two.send(b"".join(query(f"SELECT {i}") for i in range(500)))
        two.send(b"".join(one_statement(f"SELECT {i}") + sync() for i in range(500, 1000)))
        if not weir.direct:
            weir.wait_waiting(1)
        one.query("COMMIT")
        assert [row[0] for row in texts(two.read_until("Z", 1000))] == [str(i) for i in range(1000)]
