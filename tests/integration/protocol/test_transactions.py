"""Transaction mode: a client holds its server from the first statement to ReadyForQuery with status I."""

import pytest

from fakeserver import complete, error, one_row, ready
from rawwire import bind, errors, execute, function_call, one_statement, parse, query, shape, sync, texts
from waiting import each


def status(replies):
    return replies[-1].status


def pid(wire):
    return wire.value("SELECT pg_backend_pid()")


def assert_held(weir, holder, other):
    """holder's server is lent to it alone."""
    if weir.direct:
        return
    other.send(query("SELECT 1"))
    weir.wait_waiting(1)


def assert_free(weir, other):
    """What waited is answered, now that the server was returned."""
    if weir.direct:
        return
    assert shape(other.read_until("Z")) == "T D C:SELECT 1 Z:I"


@pytest.mark.parametrize("opening, closing", [
    (["BEGIN"], ["COMMIT"]), (["BEGIN"], ["ROLLBACK"]), (["START TRANSACTION ISOLATION LEVEL SERIALIZABLE"], ["END"]),
    (["SELECT 1; BEGIN"], ["SELECT 1; COMMIT"]), (["BEGIN", "SELECT 1/0"], ["ROLLBACK"]),
    (["BEGIN", "SELECT 1/0"], ["COMMIT"]), (["BEGIN", "COMMIT AND CHAIN"], ["COMMIT"]),
    (["BEGIN", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a"], ["COMMIT"]), (["BEGIN", ""], ["ABORT"]),
    (["BEGIN READ ONLY", "ROLLBACK AND CHAIN"], ["ROLLBACK"]), (["BEGIN", "DECLARE c CURSOR FOR SELECT 1"], ["COMMIT"]),
    (["begin /* x */"], ["commit -- y"]),
], ids=lambda value: " | ".join(value))
def test_a_server_is_held_to_the_end_of_the_transaction(weir, opening, closing):
    with weir.start(pool_size=1).raw() as holder, weir.raw() as other:
        for sql in opening:
            replies = holder.ask(query(sql))
        assert status(replies) in "TE"
        assert_held(weir, holder, other)
        for sql in closing:
            replies = holder.ask(query(sql))
        assert status(replies) == "I"
        assert_free(weir, other)


def test_the_same_by_the_extended_protocol(weir):
    with weir.start(pool_size=1).raw() as holder, weir.raw() as other:
        assert status(holder.ask(one_statement("BEGIN") + sync())) == "T"
        assert_held(weir, holder, other)
        assert status(holder.ask(one_statement("SELECT 1/0") + sync())) == "E"
        assert status(holder.ask(sync())) == "E"
        assert status(holder.ask(one_statement("ROLLBACK") + sync())) == "I"
        assert_free(weir, other)


def test_all_statements_of_a_transaction_run_on_one_server(weir):
    weir.start(pool_size=4, pool_lifo=False)
    wires = [weir.raw() for _ in range(4)]
    each(wires).query("BEGIN")
    pids = [[pid(wire) for wire in wires] for _ in range(5)]
    assert len(set(pids[0])) == 4 and all(row == pids[0] for row in pids)
    each(wires).query("COMMIT")


@pytest.mark.weir_only
def test_more_clients_than_servers_all_work(weir):
    weir.start(pool_size=2)
    wires = [weir.raw() for _ in range(100)]
    for turn in range(5):
        for number, wire in enumerate(wires):
            wire.send(query(f"SELECT {number * 1000 + turn}"))
        for number, wire in enumerate(wires):
            assert texts(wire.read_until("Z")) == [[str(number * 1000 + turn)]]
    assert weir.postgres.count() <= 2


def test_a_lock_taken_in_a_transaction_holds_and_goes(weir):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        one.query("BEGIN", "SELECT pg_advisory_xact_lock(77)")
        assert two.value("SELECT pg_try_advisory_xact_lock(77)") == "f"
        one.query("COMMIT")
        assert two.value("SELECT pg_try_advisory_xact_lock(77)") == "t"


def test_what_is_rolled_back_was_never_there(weir, table):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        assert one.value(f"BEGIN; INSERT INTO {table} VALUES (1, 'x')", f"SELECT count(*) FROM {table}") == "1"
        assert two.value(f"SELECT count(*) FROM {table}") == "0"
        assert one.value("ROLLBACK", f"SELECT count(*) FROM {table}") == "0"


def test_a_deadlock_is_told_to_one_and_the_other_goes_on(weir, table):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        one.query(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
        each((one, two)).query("BEGIN")
        one.query(f"UPDATE {table} SET v = 'one' WHERE id = 1")
        two.query(f"UPDATE {table} SET v = 'two' WHERE id = 2")
        one.send(query(f"UPDATE {table} SET v = 'one' WHERE id = 2"))
        weir.wait_until(lambda: weir.postgres.count(wait_event_type="Lock") == 1)
        two.send(query(f"UPDATE {table} SET v = 'two' WHERE id = 1"))
        answers = [wire.read_until("Z") for wire in (one, two)]
        assert sorted(status(answer) for answer in answers) == ["E", "T"]
        assert [errors(answer)[0].sqlstate for answer in answers if errors(answer)] == ["40P01"]
        each((one, two)).query("ROLLBACK")


def test_notices_in_a_transaction_do_not_disturb_it(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.query("BEGIN")
        replies = wire.ask(query("DO $$ BEGIN FOR i IN 1..100 LOOP RAISE NOTICE '%', repeat('n', 1000); END LOOP; "
                                 "END $$"))
        assert len([reply for reply in replies if reply.type == "N"]) == 100 and status(replies) == "T"
        assert status(wire.ask(query("COMMIT"))) == "I"


def test_a_notification_from_outside_does_not_disturb_a_server_in_the_pool(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.query("BEGIN", "LISTEN weir_channel", "COMMIT")
        for _ in range(3):
            weir.postgres.query("NOTIFY weir_channel, 'x'")
            assert wire.query("SELECT 1") == [["1"]]


def test_a_function_call_in_a_transaction(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.query("BEGIN")
        assert shape(wire.ask(function_call(177, [b"\0\0\0\2", b"\0\0\0\3"]))) == "V Z:T"
        assert shape(wire.ask(function_call(154, [b"\0\0\0\2", b"\0\0\0\0"]))) == "E:22012 Z:E"
        wire.query("ROLLBACK")


def test_vacuum_and_others_that_refuse_a_transaction_block(weir, table):
    with weir.start(pool_size=1).raw() as wire:
        assert shape(wire.ask(query(f"VACUUM {table}"))) == "C:VACUUM Z:I"
        wire.query("BEGIN")
        assert shape(wire.ask(query(f"VACUUM {table}"))) == "E:25001 Z:E"
        wire.query("ROLLBACK")


def test_tables_made_by_one_are_seen_by_the_next(weir, postgres):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        one.query("CREATE TABLE seen_by_next (a int)")
        try:
            assert two.value("SELECT count(*) FROM seen_by_next") == "0"
        finally:
            postgres.query("DROP TABLE seen_by_next")


# --- a server whose transaction nobody can know ---

GROUP_WITH_QUERY = parse("", "SELECT 1") + bind() + execute() + query("SELECT 2")      # a Sync follows, sooner or later


@pytest.mark.weir_only
@pytest.mark.parametrize("end", ["Sync", "leaves"])
def test_a_block_that_nothing_has_ended_costs_its_connection(weir, fake, end):
    """PostgreSQL 18.6 answers a Query within a Sync group by status T, and its Sync by I; and the next request by XX000."""
    def answer(conn, kind, _):
        if kind == "Q" and not conn.is_synced:
            conn.send(one_row("fake"), ready("T"))
            return True
        conn.is_synced = kind in "SQ"
        return False

    fake.script = lambda conn: (setattr(conn, "is_synced", True), conn.login(), conn.serve())
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=1)
    client, other = weir.raw(), weir.raw()
    client.send(GROUP_WITH_QUERY)
    assert client.read_until("Z")[-1].status == "T"
    if end == "Sync":
        assert shape(client.ask(sync())) == "Z:I"
    else:
        client.leave()
    assert other.query("SELECT 1") == [["fake"]]
    assert len(fake.logins()) == 2


@pytest.mark.weir_only
def test_an_error_of_a_transactions_state_costs_its_connection(weir, fake):
    """Not each XX000: many are of extensions, as PostGIS."""
    def answer(conn, kind, body):
        if kind == "Q" and b"broken" in body:
            conn.send(error(text="StartTransactionCommand: unexpected state STARTED", R="StartTransactionCommand"), ready())
        elif kind == "Q" and b"bad" in body:
            conn.send(error(text="invalid geometry: unexpected state", R="lwerror"), ready())
        else:
            return False
        return True

    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=1)
    client, other = weir.raw(), weir.raw()
    for sql, logins in (("SELECT bad", 1), ("SELECT broken", 2)):
        assert errors(client.ask(query(sql)))[0].sqlstate == "XX000"
        assert other.query("SELECT 1") == [["fake"]]
        assert len(fake.logins()) == logins


def test_a_query_within_a_sync_group_harms_nobody_else(weir):
    """Its own client gets what PostgreSQL makes of it, which differs by version."""
    weir.start(pool_size=1)
    client, other = weir.raw(parameters={"work_mem": "3MB"}), weir.raw(parameters={"work_mem": "5MB"})
    for _ in range(2):
        client.send(GROUP_WITH_QUERY)
        assert shape(client.read_until("Z")) == f"1 2 D C:SELECT 1 T D C:SELECT 1 Z:{client_status(weir)}"
        assert shape(client.ask(sync())) == "Z:I"
        if weir.direct:
            return
        assert other.query("SHOW work_mem") == [["5MB"]]


def client_status(weir):
    return "I" if weir.postgres.value("SHOW server_version_num") < "180000" else "T"
