"""COPY: large, small, broken, given up, and left alone; bytes of it never reach another client's server."""

import io
import threading

import pytest

from rawwire import (BEGIN_NOW, WireClosed, bind, close, copy_data, copy_done, copy_fail, errors, execute, flush, parse, query,
                     shape, sync, texts)
from waiting import each, wait_until


def begin_copy(wire, table, extended=False):
    text = f"COPY {table} FROM STDIN"
    if extended:
        wire.send(parse("", text) + bind() + execute() + flush())
    else:
        wire.send(query(text))
    assert wire.read_until("G")[-1].type == "G"


def rows_of(table, wire):
    return int(wire.value(f"SELECT count(*) FROM {table}"))


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_in_and_out(weir, table, extended):
    weir.start(pool_size=1)
    end = sync() if extended else b""
    with weir.raw() as wire, weir.raw() as other:
        begin_copy(wire, table, extended)
        wire.send(b"".join(copy_data(b"%d\tvalue %d\n" % (i, i)) for i in range(1000)) + copy_done() + end)
        assert shape(wire.read_until("Z")) == "C:COPY 1000 Z:I"
        out = parse("", f"COPY {table} TO STDOUT") + bind() + execute() + end if extended else \
            query(f"COPY {table} TO STDOUT")
        replies = wire.ask(out)
        data = b"".join(reply.body for reply in replies if reply.type == "d")
        assert data.count(b"\n") == 1000 and b"999\tvalue 999\n" in data
        assert shape(replies).endswith("c C:COPY 1000 Z:I")
        assert rows_of(table, other) == 1000


def test_megabytes_in_and_out_by_psycopg2(weir, table):
    weir.start(pool_size=1)
    connection = weir.connect2(autocommit=True)
    line = "x" * 1000
    text = "".join(f"{i}\t{line}\n" for i in range(20_000))
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(text))
        out = io.StringIO()
        cursor.copy_expert(f"COPY {table} TO STDOUT", out)
        assert out.getvalue() == text


def test_by_psycopg_in_rows(weir, table):
    weir.start(pool_size=1)
    connection = weir.connect(autocommit=True)
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for number in range(2000):
                copy.write_row((number, f"value {number}"))
        with cursor.copy(f"COPY {table} TO STDOUT") as copy:
            assert len(list(copy.rows())) == 2000
        with cursor.copy("COPY (SELECT 1::int4, 'x'::text) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            assert list(copy.rows()) == [(1, "x")]


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_a_copy_holds_its_server(weir, table, extended):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        begin_copy(one, table, extended)
        if not weir.direct:
            two.send(query("SELECT 'two'"))
            weir.wait_waiting(1)
        one.send(copy_data(b"1\ta\n") + copy_done() + (sync() if extended else b""))
        assert shape(one.read_until("Z")) == "C:COPY 1 Z:I"
        if not weir.direct:
            assert texts(two.read_until("Z")) == [["two"]]


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("late", ["nothing late", "data late", "data and done late"])
def test_an_error_before_the_end_frees_the_server_and_late_data_is_dropped(weir, table, extended, late):
    """In the simple protocol PostgreSQL is ready at once, and what the client still sends must go nowhere."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        begin_copy(one, table, extended)
        one.send(copy_data(b"not a number\ta\n" + b"1\tx\n" * 20_000))
        if extended:
            assert shape(one.read_until("E")) == "E:22P02"
        else:
            assert shape(one.read_until("Z")) == "E:22P02 Z:I"
            assert two.query("SELECT 'two'") == [["two"]]            # the server is free before the client is done
            two.query(BEGIN_NOW)                                       # and now it is another's
        if late != "nothing late":
            one.send(copy_data(b"2\tb\n") * 1000)
        if late == "data and done late":
            one.send(copy_done())
        if extended:
            assert shape(one.ask(sync())) == "Z:I"
        else:
            assert two.query("SELECT 'still mine'") == [["still mine"]]
            assert shape(two.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        assert rows_of(table, one) == 0
        assert rows_of(table, two) == 0


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_an_error_at_the_end(weir, table, extended):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        begin_copy(one, table, extended)
        one.send(copy_data(b"1\ta\n") + copy_data(b"1\tb\n") + copy_done() + (sync() if extended else b""))
        assert shape(one.read_until("Z")) == "E:23505 Z:I"
        assert rows_of(table, two) == 0 and one.query("SELECT 1") == [["1"]]


def test_a_client_gives_up(weir, table):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        begin_copy(one, table)
        one.send(copy_data(b"1\ta\n") + copy_fail("changed my mind"))
        reply = one.read_until("Z")[0]
        assert reply.sqlstate == "57014" and "changed my mind" in reply.error["M"]
        assert rows_of(table, two) == 0


@pytest.mark.parametrize("sql", ["SELECT 1", "DISCARD ALL"])        # the second is one that otherwise waits for its turn
def test_a_query_in_the_middle_is_the_end_of_the_connection_as_in_postgresql(weir, table, sql):
    one = weir.start(pool_size=1).raw()
    begin_copy(one, table)
    one.send(copy_data(b"1\ta\n") + query(sql))
    replies = one.read_to_end()
    assert errors(replies)[0].sqlstate == "08P01"
    with weir.raw() as two:
        assert rows_of(table, two) == 0


@pytest.mark.parametrize("how", ["close", "reset", "leave"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_a_client_that_goes_in_the_middle_of_copy_in(weir, table, how, extended):
    one = weir.start(pool_size=1).raw()
    begin_copy(one, table, extended)
    one.send(copy_data(b"1\ta\n"))
    getattr(one, how)()
    with weir.raw() as two:
        assert rows_of(table, two) == 0
    wait_until(lambda: not weir.postgres.query("SELECT 1 FROM pg_stat_progress_copy"))


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_in_the_middle_of_copy_out(weir, how):
    one = weir.start(pool_size=1).raw()
    one.send(query("COPY (SELECT repeat('x', 10000) FROM generate_series(1, 100000)) TO STDOUT"))
    one.read_until("d")
    getattr(one, how)()
    with weir.raw() as two:
        assert two.query("SELECT 1") == [["1"]]
    wait_until(lambda: not weir.postgres.query("SELECT 1 FROM pg_stat_progress_copy"))


def test_copies_in_both_directions_at_the_same_time(weir, table):
    weir.start(pool_size=3)
    errors_seen = []

    def out():
        try:
            with weir.raw() as wire:
                text = "COPY (SELECT i, repeat('o', 500) FROM generate_series(1, 20000) i) TO STDOUT"
                replies = wire.ask(query(text))
                assert sum(1 for reply in replies if reply.type == "d") == 20_000
        except Exception as error:  # pylint: disable=broad-except
            errors_seen.append(error)
    threads = [threading.Thread(target=out) for _ in range(2)]
    each(threads).start()
    with weir.raw() as wire:
        begin_copy(wire, table)
        for start in range(0, 20_000, 100):
            wire.send(b"".join(copy_data(b"%d\t%s\n" % (i, b"i" * 500)) for i in range(start, start + 100)))
        wire.send(copy_done())
        assert shape(wire.read_until("Z")) == "C:COPY 20000 Z:I"
    each(threads).join()
    assert not errors_seen


def test_a_copy_message_of_many_megabytes(weir, table):
    with weir.start(pool_size=1).raw() as wire:
        begin_copy(wire, table)
        wire.send(copy_data(b"".join(b"%d\t%s\n" % (i, b"y" * 1000) for i in range(10_000))) + copy_done())
        assert shape(wire.read_until("Z")) == "C:COPY 10000 Z:I"


def test_a_server_error_while_the_client_writes_on(weir, table):
    """The client sends megabytes before it looks: nobody may block, and the error must reach it."""
    with weir.start(pool_size=1).raw() as wire:
        begin_copy(wire, table)
        data = copy_data(b"bad\tx\n") + copy_data(b"1\t" + b"z" * 100_000 + b"\n") * 300 + copy_done()
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        assert shape(wire.read_until("Z")) == "E:22P02 Z:I"
        sender.join()
        assert wire.query("SELECT 'alive'") == [["alive"]]


def test_statement_timeout_ends_a_silent_copy(weir, table):
    with weir.start(pool_size=1).raw() as wire:
        wire.query("BEGIN", "SET LOCAL idle_in_transaction_session_timeout = 0")
        begin_copy(wire, table)
        weir.postgres.query("SELECT pg_cancel_backend(pid) FROM pg_stat_progress_copy")
        wire.send(copy_data(b"1\ta\n"))
        assert shape(wire.read_until("Z")) == "E:57014 Z:E"
        wire.send(copy_done())
        assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"


def test_copy_from_a_relation_that_is_not_there_is_an_error_for_psycopg2(weir):
    import psycopg2
    weir.start(pool_size=1)
    connection = weir.connect2(autocommit=True)
    with connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.UndefinedTable):
            cursor.copy_expert("COPY nowhere FROM STDIN", io.StringIO("1\n"))
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_copy_done_without_a_copy_is_ignored(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        for _ in range(20):
            one.send(copy_data(b"stray") + copy_fail() + copy_done())
            assert two.query("SELECT 'two'") == [["two"]]
        assert one.query("SELECT 'one'") == [["one"]]
        assert one.has_nothing_more()


def test_a_sync_that_copy_ignored_does_not_end_the_request(weir, table):
    """Nothing is committed before the next Sync: until then the server is not another's."""
    weir.start_opened("300ms", pool_size=1)
    with weir.raw() as one, weir.raw() as two:
        one.send(parse("", f"COPY {table} FROM STDIN") + bind() + execute() + sync())
        assert shape(one.read_until("G")) == "1 2 G"
        one.send(copy_data(b"1\ta\n") + copy_done() + flush())
        assert shape(one.read_until("C")) == "C:COPY 1"
        if not weir.direct:
            assert shape(two.ask(query("SELECT 1/0"))) == "E:53300 Z:I"
        assert shape(one.ask(sync())) == "Z:I"
        assert two.query(f"SELECT count(*) FROM {table}") == [["1"]]


@pytest.mark.parametrize("form", ["bad S c", "S bad c", "bad S S c", "S f", "dup S c"])
@pytest.mark.parametrize("begin", ["simple", "flush", "sync"])
@pytest.mark.parametrize("target", ["table", "view"])
def test_a_sync_within_a_copy_that_fails_is_answered_if_postgresql_reads_it_later(weir, table, form, begin, target):
    """A COPY to a view fails before it reads anything. libpq and tokio-postgres send a Sync behind their Execute."""
    weir.start(pool_size=1)
    messages = {"bad": copy_data(b"no number\ta\n"), "dup": copy_data(b"1\ta\n1\tb\n"), "S": sync(), "c": copy_done(),
                "f": copy_fail()}
    read = {"bad S c": 1, "S bad c": 0, "bad S S c": 2, "S f": 0, "dup S c": 0}[form]
    answers = 1 + (read if target == "table" else form.count("S") + (begin == "sync"))
    with weir.raw() as one, weir.raw() as two:
        one.query(f"CREATE VIEW {table}_view AS SELECT * FROM {table}")
        sql = f"COPY {table if target == 'table' else table + '_view'} FROM STDIN"
        one.send(query(sql) if begin == "simple" else
                 parse("", sql) + bind() + execute() + (sync() if begin == "sync" else flush()))
        one.read_until("G")
        one.send(b"".join(messages[word] for word in form.split()) + (sync() if begin != "simple" else b""))
        replies = one.read_until("Z", answers)
        assert [reply.type for reply in replies] == ["E"] + ["Z"] * answers
        assert two.query("SELECT 'two'") == [["two"]]
        assert one.query(f"DROP VIEW {table}_view", "SELECT 'one'") == [["one"]] and one.has_nothing_more(0.01)


def test_a_message_that_pgweir_answers_breaks_a_copy_too(weir, table):
    """PostgreSQL ends the connection when it sees anything but data; what is answered for it must do the same."""
    with weir.start(pool_size=1).raw() as one:
        one.ask(parse("a", "SELECT 1") + sync())
        one.send(query(f"COPY {table} FROM STDIN") + close("S", "a") + sync())
        with pytest.raises(WireClosed):
            one.read_until("Z")
    with weir.raw() as two:
        assert two.query("SELECT 2") == [["2"]]


@pytest.mark.parametrize("behind", [query("SELECT 'smuggled' FROM pg_sleep(0.5)"), parse("", "SELECT 'smuggled'") + bind() + execute() + sync()],
                         ids=["simple", "extended"])
def test_what_comes_behind_a_bad_row_answers_nobody_else(weir, table, behind):
    """In one packet: PostgreSQL has failed the COPY when it reads that, and would run it."""
    with weir.start(pool_size=1).raw() as wire, weir.raw() as one, weir.raw() as two, weir.raw() as three:
        begin_copy(wire, table)
        wire.send(copy_data(b"bad\n") + behind)
        for name, other in (("one", one), ("two", two), ("three", three)):
            other.send(query(f"SELECT 'of {name}' FROM pg_sleep(0.2)"))
        assert errors(wire.read_until("E"))[-1].sqlstate in ("08P01", "22P02", "22P04")
        for name, other in (("one", one), ("two", two), ("three", three)):
            assert texts(other.read_until("Z")) == [[f"of {name}"]]
