"""Clients that leave at any moment: their work is undone, their server is clean or closed, the next client is safe."""

import pytest

import rawwire
from rawwire import (BEGIN_NOW, bind, copy_data, copy_done, execute, flush, message, one_statement, parse, query, shape, ssl_request,
                     startup, sync, terminate, texts)
from waiting import wait_until

LEAVE = ["close", "reset", "leave"]
VANISH = ["close", "reset"]


def assert_next_is_well(weir, table=None):
    """A pool of one: the next client gets the same server, or a new one; either must be as new."""
    for number in range(3):
        with weir.raw() as wire:
            replies = wire.ask(query(f"SELECT 'next {number}'"))
            assert shape(replies) == "T D C:SELECT 1 Z:I" and texts(replies) == [[f"next {number}"]]
            if table:
                assert wire.value(f"SELECT count(*) FROM {table}") == "0"
            replies = wire.ask(one_statement("SELECT $1::text", [f"extended {number}"]) + sync())
            assert texts(replies) == [[f"extended {number}"]]
    wait_until(lambda: not weir.postgres.backends(state="idle in transaction"))
    wait_until(lambda: not weir.postgres.backends(state="active"))


@pytest.mark.parametrize("how", LEAVE)
def test_when_idle(weir, how):
    wire = weir.start(pool_size=1).raw()
    wire.query("SELECT 1")
    getattr(wire, how)()
    assert_next_is_well(weir)


@pytest.mark.parametrize("how", LEAVE)
@pytest.mark.parametrize("failed", [False, True], ids=["good", "failed"])
def test_in_a_transaction(weir, table, how, failed):
    wire = weir.start(pool_size=1).raw()
    wire.query(f"BEGIN; INSERT INTO {table} VALUES (1, 'x')")
    if failed:
        wire.ask(query("SELECT 1/0"))
    getattr(wire, how)()
    assert_next_is_well(weir, table)


@pytest.mark.weir_only
@pytest.mark.parametrize("how", LEAVE)
def test_in_a_running_query_which_is_then_cancelled(weir, table, how):
    wire = weir.start(pool_size=1).raw()
    wire.query("BEGIN", f"INSERT INTO {table} VALUES (1, 'x')")
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
    getattr(wire, how)()
    wait_until(lambda: not weir.postgres.backends(wait_event="PgSleep"), what="the end of the orphaned query")
    assert_next_is_well(weir, table)


@pytest.mark.weir_only
def test_in_a_running_query_while_others_wait(weir):
    gone, waiter = weir.start(pool_size=1).raw(), weir.raw()
    gone.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
    waiter.send(query("SELECT 'at last'"))
    weir.wait_waiting(1)
    gone.close()
    assert texts(waiter.read_until("Z")) == [["at last"]]


PIECES = {
    "half a header": query("SELECT 'stray'")[:3],
    "half a query": query("SELECT 'stray'" + " " * 100_000)[:50_000],
    "half a parse": parse("s", "SELECT 'stray'" + " " * 100_000)[:50_000],
    "half a bind": parse("", "SELECT $1") + bind("", "", ["x" * 100_000])[:50_000],
    "parse without sync": parse("", "SELECT 'stray'"),
    "parse, bind, execute without sync": parse("", "SELECT 'stray'") + bind() + execute(),
    "the same with flush": parse("", "SELECT 'stray'") + bind() + execute() + flush(),
    "an insert without sync": one_statement("INSERT INTO {table} VALUES ($1, 'stray')", ["9"]),
    "the same, answered": one_statement("INSERT INTO {table} VALUES ($1, 'stray')", ["9"]) + flush(),
    "an insert and an error without sync": one_statement("INSERT INTO {table} VALUES (9, 'x')") + one_statement("SELECT 1/0"),
    "an error without sync": one_statement("SELECT 1/0"),
    "half of the second message": query("SELECT 1") + query("SELECT 'stray'" + " " * 1000)[:500],
    "half a copy": query("COPY {table} FROM STDIN") + copy_data(b"1\tx\n") + copy_data(b"2\ty\n" * 1000)[:1000],
    "a pipeline unread": query("SELECT 'stray'") * 200,
    "a large result unread": query("SELECT repeat('stray', 100000) FROM generate_series(1, 100)"),
    "a transaction unread": query("BEGIN") + query("INSERT INTO {table} VALUES (9, 'stray')") + query("SELECT 1"),
    "half a terminate": message("X")[:3],
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("how", LEAVE)
@pytest.mark.parametrize("sent", PIECES.values(), ids=PIECES.keys())
def test_in_the_middle_of_a_message_or_of_replies(weir, table, sent, how):
    wire = weir.start(pool_size=1).raw()
    wire.query("SELECT 1")
    wire.send(b"".join(rebuild(sent, table)) if b"{table}" in sent else sent)
    getattr(wire, how)()
    assert_next_is_well(weir, table)


def rebuild(sent, table):
    """The same messages with the table's name, lengths put right; a last half message stays half."""
    at = 0
    while at < len(sent):
        length = int.from_bytes(sent[at + 1:at + 5], "big")
        body = sent[at + 5:at + 1 + length]
        if len(body) < length - 4:
            yield sent[at:]
            return
        yield message(chr(sent[at]), body.replace(b"{table}", table.encode()))
        at += 1 + length


@pytest.mark.parametrize("how", VANISH)
def test_while_it_waits_for_a_server(weir, how):
    holder, gone = weir.start(pool_size=1).raw(), weir.raw()
    holder.query(BEGIN_NOW)
    gone.send(query("SELECT 'stray'"))
    if not weir.direct:
        weir.wait_waiting(1)
    getattr(gone, how)()
    if not weir.direct:
        weir.wait_waiting(0)
    assert holder.query("SELECT 'mine'") == [["mine"]]
    holder.query("COMMIT")
    assert_next_is_well(weir)


@pytest.mark.parametrize("sent", [b"", b"\0", ssl_request(), startup()[:10], startup()], ids=[
    "nothing", "a byte", "ssl request", "half a startup packet", "a startup packet"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_during_its_login(weir, sent, how):
    weir.start(pool_size=1)
    for _ in range(5):
        wire = weir.wire()
        wire.send(sent)
        getattr(wire, how)()
    assert_next_is_well(weir)


@pytest.mark.weir_only
def test_locks_of_the_gone_are_free_at_once(weir, table):
    with weir.start(pool_size=2).raw() as other:
        gone = weir.raw()
        gone.query(f"BEGIN; LOCK TABLE {table}")
        other.send(query(f"INSERT INTO {table} VALUES (1, 'x')"))
        wait_until(lambda: weir.postgres.backends(wait_event_type="Lock"))
        gone.reset()
        assert shape(other.read_until("Z")) == "C:INSERT 0 1 Z:I"


@pytest.mark.weir_only
def test_a_server_is_used_again_when_its_client_left_in_a_transaction(weir):
    """Not worth a new connection: ROLLBACK is enough, also behind a query that had to be cancelled."""
    weir.start(pool_size=1, max_overflow=0)
    pids = set()
    for turn in range(10):
        wire = weir.raw()
        wire.query("BEGIN")
        pids.add(wire.value("SELECT pg_backend_pid()"))
        if turn % 2:
            wire.send(query("SELECT pg_sleep(60)"))
            wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        wire.leave()
    assert len(pids) == 1


@pytest.mark.weir_only
def test_nothing_is_left_of_a_thousand_that_came_and_went(weir):
    with weir.start(pool_size=3).raw() as wire:
        wire.query("SELECT 1")
        descriptors = weir.fd_count()
    for turn in range(1000):
        wire = weir.wire()
        if turn % 3 == 0:
            wire.send(startup())
        elif turn % 3 == 1:
            wire.login()
            wire.send(query("SELECT 'stray'"))
        getattr(wire, LEAVE[turn % 2])()
    wait_until(lambda: weir.metric("pgweir_client_connections") == 0)
    wait_until(lambda: weir.fd_count() <= descriptors + 5)
    assert_next_is_well(weir)


def test_after_it_shut_down_its_sending_side_it_is_not_misunderstood(weir):
    """PostgreSQL answers what it has read, then sees the end. pgweir may take the end for the client's leaving."""
    wire = weir.start(pool_size=1).raw()
    wire.send(query("SELECT 'last words'"))
    wire.sock.shutdown(1)
    try:
        assert texts(wire.read_until("Z")) == [["last words"]]
    except rawwire.WireClosed:
        assert not weir.direct
    wire.wait_closed()
    assert_next_is_well(weir)


def insert(number):
    return query(f"INSERT INTO {{table}} VALUES ({number}, 'x')")


def rows_of(number):
    return one_statement("INSERT INTO {table} VALUES ($1, 'x')", [str(number)])


# What is sent ahead of a Terminate; what PostgreSQL answers, and how many rows are there then.
AHEAD = {
    "a query": (insert(1), "C:INSERT 0 1 Z:I", 1),
    "twenty queries": (b"".join(insert(i) for i in range(20)), " ".join(["C:INSERT 0 1 Z:I"] * 20), 20),
    "twenty with their syncs": (b"".join(rows_of(i) + sync() for i in range(20)),
                                " ".join(["1 2 n C:INSERT 0 1 Z:I"] * 20), 20),
    "twenty with one sync": (b"".join(rows_of(i) for i in range(20)) + sync(),
                             " ".join(["1 2 n C:INSERT 0 1"] * 20) + " Z:I", 20),
    "no sync": (rows_of(1), "", 0),
    "a flush": (rows_of(1) + flush(), "1 2 n C:INSERT 0 1", 0),
    "a failed one": (insert(1) + query("SELECT 1/0") + insert(2), "C:INSERT 0 1 Z:I E:22012 Z:I C:INSERT 0 1 Z:I", 2),
    "a transaction": (query("BEGIN") + insert(1) + query("COMMIT"), "C:BEGIN Z:T C:INSERT 0 1 Z:T C:COMMIT Z:I", 1),
    "an open transaction": (query("BEGIN") + insert(1), "C:BEGIN Z:T C:INSERT 0 1 Z:T", 0),
    "a copy": (query("COPY {table} FROM STDIN") + copy_data(b"1\tx\n") + copy_done() + insert(2),
               "G C:COPY 1 Z:I C:INSERT 0 1 Z:I", 2),
    "what is held": (query("SET search_path = 'public'") + insert(1) + query("DISCARD ALL") + insert(2) +
                     parse("s", "SELECT 1") + sync() + parse("s", "SELECT 1") + sync(),
                     "C:SET Z:I C:INSERT 0 1 Z:I C:DISCARD ALL Z:I C:INSERT 0 1 Z:I 1 Z:I E:42P05 Z:I", 2),
}
STAYS = {"sending": lambda wire: None, "half closed": lambda wire: wire.sock.shutdown(1)}


def answered(wire):
    return " ".join(shape([reply]) for reply in wire.read_to_end())


@pytest.mark.sweep(keep=10)
@pytest.mark.parametrize("in_line", [False, True], ids=["at once", "in line"])
@pytest.mark.parametrize("stays", STAYS)
@pytest.mark.parametrize("ahead", AHEAD)
def test_what_came_before_a_terminate_is_run_and_answered(weir, table, ahead, stays, in_line):
    """In one packet with it, or while it waits for a server: also where only the sending side is closed behind it."""
    sent, wanted, count = AHEAD[ahead]
    with weir.start(pool_size=1).raw() as holder, weir.raw() as wire:
        if in_line:
            holder.query(BEGIN_NOW)
        wire.send(b"".join(rebuild(sent, table)) + terminate())
        STAYS[stays](wire)
        if in_line and not weir.direct:
            weir.wait_waiting(1)
        if in_line:
            holder.query("COMMIT")
        assert answered(wire) == wanted
        wait_until(lambda: not weir.postgres.backends(state="idle in transaction"))
        assert holder.value(f"SELECT count(*) FROM {table}") == str(count)


@pytest.mark.parametrize("ahead", ["a query", "twenty with one sync"])
def test_who_sends_a_terminate_and_closes_at_once_has_its_requests_run(weir, table, ahead):
    sent, _, count = AHEAD[ahead]
    with weir.start(pool_size=1).raw() as holder:
        leaving = weir.raw()
        leaving.send(b"".join(rebuild(sent, table)))
        leaving.leave()
        wait_until(lambda: holder.value(f"SELECT count(*) FROM {table}") == str(count))
    if not weir.direct:
        wait_until(lambda: weir.metric("pgweir_client_connections") == 0)


@pytest.mark.weir_only
def test_who_has_closed_its_sending_side_alone_is_answered_however_long_it_takes(weir):
    """It looks as if it had gone, until it does not refuse what it is told."""
    with weir.start(pool_size=2).raw() as holder, weir.raw() as wire:
        holder.query("BEGIN; SELECT pg_advisory_xact_lock(48)")
        wire.send(query("SELECT 'mine' FROM pg_advisory_xact_lock(48)") + terminate())
        wire.sock.shutdown(1)
        assert [reply.type for reply in wire.read_until("N", 3)] == ["N"] * 3
        holder.query("COMMIT")
        assert answered(wire) == "T D C:SELECT 1 Z:I"


def test_those_in_line_who_have_left_are_served_in_its_order(weir, table):
    with weir.start(pool_size=1).raw() as holder:
        holder.query(f"BEGIN; CREATE TABLE {table}_order (at serial, who int)", "COMMIT; BEGIN")
        for number in range(10):
            leaving = weir.raw()
            leaving.send(query(f"INSERT INTO {table}_order (who) VALUES ({2 * number})") +
                         query(f"INSERT INTO {table}_order (who) VALUES ({2 * number + 1})"))
            leaving.leave()
            if not weir.direct:
                weir.wait_waiting(number + 1)
        holder.query("COMMIT")
        wait_until(lambda: holder.value(f"SELECT count(*) FROM {table}_order") == "20")
        each = [int(who) for who, in holder.query(f"SELECT who FROM {table}_order ORDER BY at")]
        holder.query(f"DROP TABLE {table}_order")
    for number in range(10):                           # of each client; of a pool's clients, too
        assert each.index(2 * number) < each.index(2 * number + 1)
    assert weir.direct or [who for who in each if who % 2 == 0] == list(range(0, 20, 2))


@pytest.mark.weir_only
def test_who_has_sent_a_terminate_waits_no_longer_than_pool_timeout(weir, table):
    with weir.start(pool_size=1, pool_timeout="300ms").raw() as holder, weir.raw() as wire:
        holder.query(BEGIN_NOW)
        wire.send(b"".join(rebuild(insert(1) + insert(2), table)) + terminate())
        wire.sock.shutdown(1)
        assert answered(wire).startswith("E:53300 Z:I")
        assert holder.value("COMMIT", f"SELECT count(*) FROM {table}") in ("0", "1")


@pytest.mark.parametrize("stays", STAYS)
def test_a_copy_that_a_terminate_cuts_off_has_copied_nothing(weir, table, stays):
    with weir.start(pool_size=1).raw() as wire:
        wire.send(query(f"COPY {table} FROM STDIN") + copy_data(b"1\tx\n") + terminate())
        STAYS[stays](wire)
        assert answered(wire).startswith("G")
    assert_next_is_well(weir, table)


def test_a_result_is_read_to_its_end_behind_a_terminate(weir):
    """More than the kernel has room for, so the end of it is still pgweir's when PostgreSQL has done."""
    with weir.start(pool_size=1).raw() as slow, weir.raw() as other:
        slow.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)") + terminate())
        replies = slow.read_until("D", 10000)
        other.send(query("SELECT 'served'"))
        replies += slow.read_to_end()
        assert [reply.type for reply in replies] == ["T"] + ["D"] * 20000 + ["C", "Z"]
        assert texts(other.read_until("Z")) == [["served"]]
