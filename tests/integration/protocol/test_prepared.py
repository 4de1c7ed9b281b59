"""Protocol-level prepared statements in transaction mode: prepared once by a client, there on every server."""

import pytest

from compare import assert_same
from rawwire import (BEGIN_NOW, SEEN, bind, close, describe, errors, execute, flush, message, one_statement, parse, query, shape,
                     sync, texts)
from waiting import SLOWNESS, each, wait_until
from weir import WORKERS


def prepare(wire, name, sql, types=()):
    return wire.ask(parse(name, sql, types) + sync())


def run(wire, name, parameters=()):
    return texts(wire.ask(bind("", name, parameters) + execute() + sync()))


def on_servers(weir):
    """Statements that the pool's servers hold now: a list of names for each server."""
    holders = []
    rows = []
    size = weir.postgres.count()
    for _ in range(size):
        holder = weir.raw()
        holder.query("BEGIN")
        rows.append(sorted(row[0] for row in holder.query(f"SELECT name FROM {SEEN}")))
        holders.append(holder)
    each(holders).query("COMMIT")
    return rows


@pytest.mark.weir_only
def test_a_statement_prepared_on_one_server_works_on_every_other(weir):
    with weir.start(pool_size=4, pool_lifo=False).raw() as wire:
        prepare(wire, "s", "SELECT $1::int + 1, pg_backend_pid()")
        holders = [weir.raw() for _ in range(3)]
        pids = set()

        def have_all_run_it():
            """The server that has been idle for longest is taken first, so each of the four has its turn."""
            each(holders).query(BEGIN_NOW)
            (value, pid), = run(wire, "s", [41])
            assert value == "42"
            pids.add(pid)
            each(holders).query("COMMIT")
            return len(pids) == 4
        wait_until(have_all_run_it)


def test_same_name_different_text(weir):
    weir.start(pool_size=1)
    wires = [weir.raw() for _ in range(5)]
    for number, wire in enumerate(wires):
        prepare(wire, "s", f"SELECT 'client {number}', $1::text")
    for _ in range(3):
        for number, wire in enumerate(wires):
            assert run(wire, "s", ["x"]) == [[f"client {number}", "x"]]


def test_same_text_different_types(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "s", "SELECT pg_typeof($1)", (23,))
        prepare(two, "s", "SELECT pg_typeof($1)", (25,))
        assert run(one, "s", ["1"]) == [["integer"]] and run(two, "s", ["1"]) == [["text"]]


@pytest.mark.weir_only
def test_same_text_is_prepared_once_per_server(weir):
    weir.start(pool_size=1)
    for number in range(10):
        with weir.raw() as wire:
            prepare(wire, f"name {number}", "SELECT $1::int * 2")
            assert run(wire, f"name {number}", [4]) == [["8"]]
    held, = on_servers(weir)
    assert len(held) == 1
    with weir.raw() as wire:
        assert wire.value(f"SELECT count(*) FROM {SEEN} WHERE statement = 'SELECT $1::int * 2'") == "1"


@pytest.mark.weir_only
def test_a_server_holds_no_more_statements_than_allowed_and_forgotten_ones_come_back(weir):
    with weir.start(pool_size=1, prepared_statements=3).raw() as wire:
        for number in range(10):
            prepare(wire, f"s{number}", f"SELECT {number}, $1::int")
        for turn in range(3):
            for number in range(10):
                assert run(wire, f"s{number}", [turn]) == [[str(number), str(turn)]]
        assert int(wire.value(f"SELECT count(*) FROM {SEEN}")) <= 3
    assert weir.metric("pgweir_prepared_statement_evictions_total", database="app") > 0


@pytest.mark.weir_only
def test_more_statements_in_one_pipeline_than_a_server_may_hold(weir):
    with weir.start(pool_size=1, prepared_statements=2).raw() as wire:
        wire.send(b"".join(parse(f"s{i}", f"SELECT {i}") for i in range(20)) + sync())
        assert shape(wire.read_until("Z")) == " ".join(["1"] * 20 + ["Z:I"])
        wire.send(b"".join(bind("", f"s{i}") + execute() for i in range(20)) + sync())
        assert texts(wire.read_until("Z")) == [[str(i)] for i in range(20)]


def test_a_name_in_use_is_42p05_and_the_session_lives(weir):
    with weir.start(pool_size=2).raw() as wire:
        prepare(wire, "s", "SELECT 'first'")
        assert shape(prepare(wire, "s", "SELECT 'second'")) == "E:42P05 Z:I"
        assert shape(prepare(wire, "s", "SELECT 'first'")) == "E:42P05 Z:I"
        assert run(wire, "s") == [["first"]]


def test_a_name_in_use_whose_old_text_is_of_no_use_any_more(weir, postgres):
    """PostgreSQL looks at the new text first, then at the name; the old text does not matter."""
    weir.start(pool_size=1)
    postgres.query("CREATE TABLE gone_soon (a int)")
    with weir.raw() as wire:
        assert shape(prepare(wire, "s", "SELECT * FROM gone_soon")) == "1 Z:I"
        postgres.query("DROP TABLE gone_soon")
        with weir.raw() as other:       # the server forgets what it had
            other.query("DEALLOCATE ALL")
        for new, sqlstate in (("SELECT 1", "42P05"), ("SELEKT 1", "42601"), ("SELECT * FROM nowhere", "42P01"),
                              ("", "42P05"), ("SELECT 2", "42P05")):
            error = errors(prepare(wire, "s", new))[0]
            assert error.sqlstate == sqlstate and "pgweir" not in error.error["M"]
            if sqlstate == "42P05":
                assert '"s"' in error.error["M"]
        wire.query("BEGIN")
        assert shape(prepare(wire, "s", "SELECT 1")) == "E:42P05 Z:E"
        assert shape(prepare(wire, "s", "SELECT 1")) == "E:25P02 Z:E"
        wire.query("ROLLBACK")


def test_errors_speak_of_the_name_though_ddl_came_between(weir):
    with weir.start(pool_size=2).raw() as wire, weir.raw() as other:
        prepare(wire, "mine", "SELECT $1::int")
        assert run(wire, "mine", [1]) == [["1"]]
        for ask, name in ((bind("", "mine", [1, 2]), "mine"), (parse("mine", "SELECT 1"), "mine")):
            wire.send(parse("", "SELECT pg_sleep(0.3)") + bind("") + execute() + ask + execute() + sync())
            other.query("CREATE OR REPLACE VIEW renews AS SELECT 1", "DROP VIEW renews")
            error = errors(wire.read_until("Z"))[0]
            assert f'"{name}"' in error.error["M"] and "pgweir" not in error.error["M"]
        error = errors(wire.ask(query('EXECUTE "pgweir_4711"')))[0]      # the client's own words
        assert error.sqlstate == "26000" and '"pgweir_4711"' in error.error["M"]


@pytest.mark.weir_only
@pytest.mark.parametrize("begin", ["SELECT 1", "BEGIN"])
def test_a_name_of_pgweirs_that_the_server_has_unseen_is_replaced(weir, begin):
    """By the Parse ahead of a Bind, and by the client's own."""
    with weir.start(pool_size=2, max_overflow=0).raw() as wire, weir.raw() as one, weir.raw() as two:
        wire.query(BEGIN_NOW)                       # all on one server: pgweir may ask another one's questions meanwhile
        prepare(wire, "known", "SELECT 'known'")
        name = wire.value(f"SELECT name FROM {SEEN}")
        knows = wire.value("SELECT pg_backend_pid()")
        wire.query("COMMIT")
        stem, number = name.rsplit("_", 1)
        each((one, two)).query(BEGIN_NOW)                                           # one of them has the server that knows it
        for holder in (one, two):
            if holder.value("SELECT pg_backend_pid()") != knows:
                holder.query("COMMIT")
        for later in range(8):
            wire.query(f"""PREPARE "{stem}_{int(number) + later}" AS SELECT 'foreign'""")
        wire.query(begin)
        assert run(wire, "known") == [["known"]]
        assert shape(prepare(wire, "new", "SELECT 'new'"))[:1] == "1" and run(wire, "new") == [["new"]]


@pytest.mark.weir_only
@pytest.mark.parametrize("text", ("FETCH c1", "/* a comment */ fetch c1"))
def test_a_fetch_prepared_by_one_is_not_described_for_another_that_has_no_such_cursor(weir, text):
    """PostgreSQL 15 crashes at such a Describe: FETCH was parsed while the cursor was there, and it is gone."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        one.query("BEGIN; DECLARE c1 CURSOR FOR SELECT 7")
        prepare(one, "s", text)
        assert run(one, "s") == [["7"]]
        pid = one.value("COMMIT", "SELECT pg_backend_pid()")
        assert shape(two.ask(parse("s", text) + describe("S", "s") + sync())) == "1 t n Z:I"
        assert shape(two.ask(bind("", "s") + execute() + sync())) == "2 E:34000 Z:I"
        assert two.value("SELECT pg_backend_pid()") == pid


def test_an_unknown_name_is_26000_and_the_session_lives(weir):
    with weir.start(pool_size=2).raw() as wire:
        reply = errors(wire.ask(bind("", "nowhere") + execute() + sync()))[0]
        assert reply.sqlstate == "26000" and '"nowhere"' in reply.error["M"]
        assert wire.query("SELECT 1") == [["1"]]


def test_names_of_one_client_are_unknown_to_another(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, "s", "SELECT 'secret'")
        assert run(one, "s") == [["secret"]]
        assert shape(two.ask(bind("", "s") + execute() + sync())) == "E:26000 Z:I"
        for guess in ("pgweir_0", "pgweir_1", "pgweir_2", "PGWEIR_1"):
            assert shape(two.ask(bind("", guess) + execute() + sync())) == "E:26000 Z:I"


@pytest.mark.weir_only
def test_a_client_may_use_names_like_pgweirs_own(weir):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        for number in range(5):
            prepare(one, f"pgweir_{number}", f"SELECT 'one {number}'")
            prepare(two, f"pgweir_{number}", f"SELECT 'two {number}'")
        for number in range(5):
            assert run(one, f"pgweir_{number}") == [[f"one {number}"]]
            assert run(two, f"pgweir_{number}") == [[f"two {number}"]]


def test_a_closed_name_may_be_used_again(weir):
    with weir.start(pool_size=2).raw() as wire:
        for turn in range(5):
            prepare(wire, "s", f"SELECT {turn}")
            assert run(wire, "s") == [[str(turn)]]
            assert shape(wire.ask(close("S", "s") + sync())) == "3 Z:I"
        assert shape(wire.ask(bind("", "s") + sync())) == "E:26000 Z:I"


def test_one_clients_close_does_not_take_anothers_statement(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        for wire in (one, two):
            prepare(wire, "s", "SELECT 'shared'")
        one.ask(close("S", "s") + sync())
        assert run(two, "s") == [["shared"]]
        prepare(one, "s", "SELECT 'again'")
        assert run(one, "s") == [["again"]] and run(two, "s") == [["shared"]]


@pytest.mark.parametrize("sql", ["DEALLOCATE s", 'deallocate "s"', "DEALLOCATE PREPARE s", "DEALLOCATE ALL",
                                 "DISCARD ALL", "deallocate /* all? */ s"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_sql_that_deallocates_frees_the_name_for_this_client_only(weir, sql, extended):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        for wire in (one, two):
            prepare(wire, "s", "SELECT 'old'")
            assert run(wire, "s") == [["old"]]
        replies = one.ask(one_statement(sql) + sync()) if extended else one.ask(query(sql))
        assert not errors(replies), errors(replies)[0].error
        assert shape(one.ask(bind("", "s") + execute() + sync())) == "E:26000 Z:I"
        prepare(one, "s", "SELECT 'new'")
        assert run(one, "s") == [["new"]]
        assert run(two, "s") == [["old"]]


@pytest.mark.parametrize("name", ["", "d"])
@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_deallocate_that_was_prepared_in_an_earlier_request(weir, postgres, name, is_elsewhere):
    """As pgx sends it; it runs on a server that has the statement, or has not: the name is free in any case."""
    wire = weir.start(pool_size=1).raw()
    wire.ask(parse("s", "SELECT 1") + sync())
    assert shape(wire.ask(parse(name, "DEALLOCATE s") + describe("S", name) + sync())) == "1 t n Z:I"
    if is_elsewhere:
        postgres.kill_backends()
    assert shape(wire.ask(bind("", name) + describe("P") + execute() + sync())) == "2 n C:DEALLOCATE Z:I"
    assert errors(wire.ask(bind("", "s") + execute() + sync()))[0].sqlstate == "26000"
    assert shape(wire.ask(parse("s", "SELECT 2") + bind("", "s") + execute() + sync())) == "1 2 D C:SELECT 1 Z:I"


@pytest.mark.parametrize("name", ["", "d"])
def test_a_deallocate_all_that_was_prepared_in_an_earlier_request(weir, name):
    """Behind it, in the same request, all names are free."""
    wire = weir.start(pool_size=1).raw()
    wire.ask(parse("s", "SELECT 1") + sync())
    wire.ask(parse(name, "DEALLOCATE ALL") + sync())
    replies = wire.ask(bind("", name) + execute() + parse("s", "SELECT 2") + bind("", "s") + execute() + sync())
    assert shape(replies) == "2 C:DEALLOCATE ALL 1 2 D C:SELECT 1 Z:I"
    assert texts(replies) == [["2"]]
    wire.ask(parse(name, "DEALLOCATE ALL") + sync())
    replies = wire.ask(bind("", name) + execute() + bind("", "s") + close("S", "s") + sync())
    assert shape(replies) == "2 C:DEALLOCATE ALL E:26000 Z:I"
    assert shape(wire.ask(parse("s", "SELECT 3") + sync())) == "1 Z:I"


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("is_there", [False, True], ids=["elsewhere", "there"])
def test_a_deallocate_that_fails_is_answered_and_leaves_nothing(weir, postgres, extended, is_there):
    """PDO frees its statement objects in a transaction that has failed, one after the other: they are still there then,
    and the server has nothing that another client could stumble over."""
    with weir.start(pool_size=1).raw() as wire, weir.raw() as other:
        for name in "ab":
            prepare(wire, name, f"SELECT '{name}'")
            if is_there:
                run(wire, name)
        if not is_there:
            postgres.kill_backends()
        wire.ask(query("BEGIN"))
        assert errors(wire.ask(query("SELECT 1 / 0")))
        for name in "abab":
            sql = f"DEALLOCATE {name}"
            replies = wire.ask(one_statement(sql) + sync() if extended else query(sql))
            assert shape(replies) == "E:25P02 Z:E"
        assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        assert run(wire, "a") == [["a"]] and run(wire, "b") == [["b"]]
        for name in "ab":
            sql = f"DEALLOCATE {name}"
            replies = wire.ask(one_statement(sql) + sync() if extended else query(sql))
            assert not errors(replies)
            assert shape(wire.ask(bind("", name) + sync())) == "E:26000 Z:I"
        for name in "ab":
            assert shape(other.ask(query(f"PREPARE {name} AS SELECT 1"))) == "C:PREPARE Z:I"


def test_deallocates_that_are_bound_and_not_run_free_nothing(weir, postgres):
    with weir.start(pool_size=1).raw() as wire, weir.raw() as other:
        for name in "ab":
            prepare(wire, name, f"SELECT '{name}'")
        wire.ask(parse("da", "DEALLOCATE a") + parse("db", "DEALLOCATE b") + sync())
        assert shape(wire.ask(bind("", "da") + bind("", "db") + execute() + sync())) == "2 2 C:DEALLOCATE Z:I"
        assert run(wire, "a") == [["a"]] and shape(wire.ask(bind("", "b") + sync())) == "E:26000 Z:I"
        assert shape(wire.ask(bind("", "da") + sync())) == "2 Z:I" and run(wire, "a") == [["a"]]
        assert shape(wire.ask(bind("", "da") + flush() + query("DEALLOCATE a"))) == "2 C:DEALLOCATE Z:I"
        for name in "ab":
            assert shape(other.ask(query(f"PREPARE {name} AS SELECT 1"))) == "C:PREPARE Z:I"


def test_a_deallocate_of_an_unknown_name_is_postgresqls_error(weir):
    with weir.start(pool_size=1).raw() as wire:
        reply = errors(wire.ask(query("DEALLOCATE nowhere")))[0]
        assert reply.sqlstate == "26000" and '"nowhere"' in reply.error["M"]


def test_a_failed_parse_frees_its_name_and_the_text_may_work_later(weir, postgres):
    weir.start(pool_size=2)
    postgres.query("DROP TABLE IF EXISTS comes_later")
    with weir.raw() as wire:
        text = "SELECT count(*) FROM comes_later"
        for _ in range(3):
            assert shape(prepare(wire, "s", text)) == "E:42P01 Z:I"
            assert shape(wire.ask(bind("", "s") + execute() + sync())) == "E:26000 Z:I"
        postgres.query("CREATE TABLE comes_later (a int)")
        postgres.query("GRANT ALL ON comes_later TO PUBLIC")
        assert shape(prepare(wire, "s", text)) == "1 Z:I"
        assert run(wire, "s") == [["0"]]
    postgres.query("DROP TABLE comes_later")


def test_a_parse_that_failed_for_one_client_is_tried_for_the_next(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        for wire in (one, two, one):
            assert shape(prepare(wire, "s", "SELECT * FROM nowhere_at_all")) == "E:42P01 Z:I"


def test_describe_in_a_sync_of_its_own(weir):
    """asyncpg's way: Parse, Describe, Flush; then Bind, Execute, Sync."""
    with weir.start(pool_size=2, pool_lifo=False).raw() as wire:
        wire.send(parse("s", "SELECT $1::int4 AS a, $2::text AS b") + describe("S", "s") + flush())
        assert shape(wire.read_until("T")) == "1 t T"
        assert shape(wire.ask(sync())) == "Z:I"
        for _ in range(4):
            replies = wire.ask(describe("S", "s") + sync())
            assert shape(replies) == "t T Z:I" and replies[0].body == b"\0\2\0\0\0\x17\0\0\0\x19"
        assert run(wire, "s", [1, "x"]) == [["1", "x"]]


@pytest.mark.parametrize("size", [2000, 8180, 8192, 8200, 65_520, 65_536, 65_560, 300_000])
def test_texts_of_all_sizes(weir, size):
    with weir.start(pool_size=2, pool_lifo=False).raw() as wire:
        prepare(wire, "s", "SELECT length('" + "x" * size + "'), $1::int")
        for turn in range(4):
            assert run(wire, "s", [turn]) == [[str(size), str(turn)]]


@pytest.mark.parametrize("size", [63, 64, 500, 8192])
def test_names_of_all_sizes(weir, size):
    with weir.start(pool_size=2, pool_lifo=False).raw() as wire:
        prepare(wire, "n" * size, "SELECT 'n'")
        prepare(wire, "m" * size, "SELECT 'm'")
        for _ in range(3):
            assert run(wire, "n" * size) == [["n"]] and run(wire, "m" * size) == [["m"]]
        assert shape(wire.ask(close("S", "n" * size) + sync())) == "3 Z:I"


def test_a_text_longer_than_max_statement_size_works_at_once(weir):
    with weir.start(pool_size=1, max_statement_size="64KiB").raw() as wire:
        assert wire.extended("SELECT length('" + "x" * 200_000 + "')") == [["200000"]]
        assert wire.extended("SELECT length($1)", ["y" * 2_000_000]) == [["2000000"]]


def test_a_transaction_that_failed_does_not_lose_statements(weir):
    with weir.start(pool_size=2).raw() as wire:
        prepare(wire, "before", "SELECT 'before'")
        wire.query("BEGIN")
        prepare(wire, "inside", "SELECT 'inside'")
        assert errors(wire.ask(query("SELECT 1/0")))
        assert shape(prepare(wire, "never", "SELECT 'never'")) == "E:25P02 Z:E"
        wire.query("ROLLBACK")
        assert run(wire, "before") == [["before"]] and run(wire, "inside") == [["inside"]]
        assert shape(wire.ask(bind("", "never") + sync())) == "E:26000 Z:I"


@pytest.mark.weir_only
def test_statements_outlive_their_servers(weir):
    with weir.start(pool_size=2).raw() as wire:
        prepare(wire, "s", "SELECT 'still here'")
        for _ in range(3):
            assert run(wire, "s") == [["still here"]]
            weir.postgres.kill_until_none_is_left()


@pytest.mark.weir_only
def test_a_statement_may_not_be_prepared_on_a_server_in_a_failed_transaction(weir):
    """The statement is missing on this server, and its transaction has failed: PostgreSQL's own error and no worse."""
    with weir.start(pool_size=2, pool_lifo=False).raw() as wire, weir.raw() as other:
        prepare(wire, "s", "SELECT 's'")
        run(wire, "s")
        other.query(BEGIN_NOW)
        wire.query("BEGIN")
        wire.ask(query("SELECT 1/0"))
        assert shape(wire.ask(bind("", "s") + execute() + sync())) in ("E:25P02 Z:E", "E:26000 Z:E")
        wire.query("ROLLBACK")
        assert run(wire, "s") == [["s"]]
        other.query("COMMIT")


@pytest.mark.weir_only
def test_a_changed_table_does_not_break_a_prepared_select(weir, table):
    """PostgreSQL: cached plan must not change result type. Outside a transaction pgweir prepares anew."""
    with weir.start(pool_size=2).raw() as wire:
        prepare(wire, "s", f"SELECT * FROM {table}")
        wire.query(f"INSERT INTO {table} VALUES (1, 'x')")
        assert run(wire, "s") == [["1", "x"]]
        wire.query(f"ALTER TABLE {table} ADD COLUMN w int DEFAULT 7")
        assert run(wire, "s") == [["1", "x", "7"]]


@pytest.mark.weir_only
def test_a_changed_table_inside_a_transaction_is_postgresqls_error(weir, table):
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, "s", f"SELECT * FROM {table}")
        run(wire, "s")
        wire.query(BEGIN_NOW)
        weir.postgres.query(f"ALTER TABLE {table} ADD COLUMN w int")
        assert shape(wire.ask(bind("", "s") + execute() + sync())) in ("E:0A000 Z:E", "2 C:SELECT 0 Z:T")
        wire.query("ROLLBACK")


@pytest.mark.weir_only
def test_without_prepared_statements_session_mode_passes_them_through(weir):
    with weir.start(pool_mode="session", prepared_statements=0, pool_size=1).raw() as wire:
        prepare(wire, "s", "SELECT 's'")
        assert run(wire, "s") == [["s"]]
        assert wire.query("SELECT name FROM pg_prepared_statements") == [["s"]]


@pytest.mark.weir_only
def test_hits_and_misses_are_counted(weir):
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, "s", "SELECT 1")
        for _ in range(10):
            run(wire, "s")
        hits = weir.wait_until(lambda: weir.metric("pgweir_prepared_statement_lookups_total", result="hit"))
        assert hits >= 9
        assert weir.metric("pgweir_prepared_statement_lookups_total", result="miss") >= 1
        assert weir.metric("pgweir_prepared_statements", where="server") == 1


def test_many_statements_of_one_client(weir):
    with weir.start(pool_size=2, prepared_statements=50).raw() as wire:
        for number in range(400):
            prepare(wire, f"s{number}", f"SELECT {number}")
        for number in range(0, 400, 7):
            assert run(wire, f"s{number}") == [[str(number)]]


def test_an_eviction_that_was_skipped(weir):
    """The Close of a's statement is skipped with b's Parse; then a is still there."""
    with weir.start(pool_size=1, prepared_statements=1).raw() as wire:
        wire.ask(parse("a", "SELECT 'a'") + sync())
        wire.send(bind("", "nowhere") + parse("b", "SELECT 'b'") + sync() +
                  bind("", "a") + execute() + sync())
        assert shape(wire.read_until("Z", 2)) == "E:26000 Z:I 2 D C:SELECT 1 Z:I"


def test_a_deallocate_that_comes_in_pieces(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.ask(parse("a", "SELECT 'a'") + sync())
        wire.send_slowly(query("DEALLOCATE a"), 5, 0.01)
        assert shape(wire.read_until("Z")) == "C:DEALLOCATE Z:I"


# --- how much is kept ---

@pytest.mark.weir_only
def test_no_room_for_another_statement_is_an_error_in_its_place(weir):
    with weir.start(pool_size=1, prepared_statements_memory="64KiB").raw() as wire:
        count = 0
        while shape(replies := prepare(wire, f"s{count}", f"SELECT {count}")) == "1 Z:I":
            count += 1
            assert count < 1000
        refused, = errors(replies)
        assert refused.sqlstate == "53200" and "prepared_statements_memory is 64 KiB" in refused.error["M"]
        assert "Deallocate" in refused.error["H"] and count > 20
        assert run(wire, "s0") == [["0"]]
        # What stands behind it is skipped to Sync, as behind any error; then its name is nobody's.
        wire.send(parse("more", "SELECT 1") + bind("", "s0") + execute() + sync() + bind("", "more") + sync() +
                  bind("", "s1") + execute() + sync())
        assert shape(wire.read_until("Z", 3)) == "E:53200 Z:I E:26000 Z:I 2 D C:SELECT 1 Z:I"
        wire.query("BEGIN")
        assert shape(prepare(wire, "more", "SELECT 1")) == "E:53200 Z:E"
        wire.query("ROLLBACK")
        with weir.raw() as other:       # a quarter of it is for one client
            prepare(other, "s", "SELECT 'other'")
            assert run(other, "s") == [["other"]]
        for number in range(10):
            wire.ask(close("S", f"s{number}") + sync())
        prepare(wire, "more", "SELECT 'more'")
        assert run(wire, "more") == [["more"]]
        wire.query("DEALLOCATE ALL")
        for number in range(20):
            assert shape(prepare(wire, f"s{number}", f"SELECT {number}")) == "1 Z:I"


@pytest.mark.weir_only
def test_room_comes_back_when_clients_go(weir):
    weir.start(pool_size=1, prepared_statements_memory="64KiB")
    for turn in range(5):
        wires = [weir.raw() for _ in range(6)]
        refused = 0
        for wire in wires:
            for number in range(120):
                refused += shape(prepare(wire, f"s{number}", f"SELECT {number}")) != "1 Z:I"
        assert refused > 0, "this many do not fit"
        assert shape(prepare(wires[-1], "x" * 300, "SELECT 1")) == "E:53200 Z:I"
        each(wires).close()
        with weir.raw() as wire:
            weir.wait_until(lambda: shape(prepare(wire, "a", f"SELECT {turn}")) == "1 Z:I")  # pylint: disable=W0640


@pytest.mark.weir_only
def test_a_statement_that_thousands_of_clients_have_costs_each_little(weir, sanitized):
    """10,000 statements for each of 20 clients: 93 bytes for each, a block of 80 and its part of the table, and no holes
    between those blocks. Without malloc's cache calloc uses blocks that were freed, as since glibc 2.41 also with it.
    A worker that had no client yet gets memory of its own."""
    weir.start(pool_size=2, prepared_statements=20000, environment={"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"})
    batch = b"".join(parse(f"__asyncpg_stmt_{i:x}__", f"SELECT {i}, $1::int") + (sync() if i % 100 == 99 else b"")
                     for i in range(10000))

    def client():
        wire = weir.raw()
        wire.send(batch)
        assert not errors(wire.read_until("Z", 100, timeout=60 * SLOWNESS))

    client()
    before = weir.memory_bytes("RssAnon")       # not the program's own pages, which come and go
    for _ in range(20):
        client()
    weir.wait_until(lambda: weir.metric("pgweir_prepared_statements", where="client") == 210000)
    assert sanitized or weir.memory_bytes("RssAnon") - before < 20 * 10000 * 110 + (WORKERS - 1) * 1_000_000
    assert weir.metric("pgweir_prepared_statement_cache_bytes") < 210000 * 150


@pytest.mark.weir_only
def test_trailing_comments_do_not_make_a_statement_another(weir):
    with weir.start(pool_size=1, statement_ignore_comments=True).raw() as wire:
        for number in range(5):
            prepare(wire, f"s{number}", f"SELECT $1::int /*route='%2Fa',traceparent='00-{number}-1-01'*/")
        for number in range(5):
            assert run(wire, f"s{number}", [number]) == [[str(number)]]
        prepare(wire, "t", "SELECT $1::int /* no such comment */")
        assert run(wire, "t", [7]) == [["7"]]
        assert sorted(wire.query(f"SELECT statement FROM {SEEN}")) == [
            ["SELECT $1::int"], ["SELECT $1::int /* no such comment */"]]


@pytest.mark.weir_only
def test_trailing_comments_count_unless_asked_otherwise(weir):
    with weir.start(pool_size=1).raw() as wire:
        for number in range(3):
            prepare(wire, f"s{number}", f"SELECT $1::int /*traceparent='00-{number}-1-01'*/")
            assert run(wire, f"s{number}", [number]) == [[str(number)]]
        assert wire.value("SELECT count(*) FROM pg_prepared_statements") == "3"


# --- texts over max_statement_size: they live on one server, which stays with the client ---

LONG = "SELECT 'long' -- " + "x" * 3000


@pytest.mark.parametrize("sql", ["DEALLOCATE s", "DEALLOCATE ALL"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_a_long_one_is_deallocated_and_its_server_is_free_again(weir, sql, extended):
    with weir.start(pool_size=1, max_statement_size="1KiB").raw() as one, weir.raw() as two:
        prepare(one, "s", LONG)
        assert run(one, "s") == [["long"]]
        assert not errors(one.ask(one_statement(sql) + sync()) if extended else one.ask(query(sql)))
        assert shape(one.ask(bind("", "s") + execute() + sync())) == "E:26000 Z:I"
        assert two.query("SELECT 1") == [["1"]]


def test_a_long_one_that_failed_or_was_skipped_does_not_keep_its_server(weir):
    with weir.start(pool_size=1, max_statement_size="1KiB").raw() as one, weir.raw() as two:
        assert shape(prepare(one, "s", "SELEC " + LONG)) == "E:42601 Z:I"
        assert two.query("SELECT 1") == [["1"]]
        assert shape(one.ask(bind("", "nowhere") + parse("s", LONG) + sync())) == "E:26000 Z:I"
        assert two.query("SELECT 1") == [["1"]]
        assert shape(one.ask(bind("", "s") + execute() + sync())) == "E:26000 Z:I"
        prepare(one, "s", LONG)
        assert run(one, "s") == [["long"]]


@pytest.mark.parametrize("taken", ["SELECT 'short'", LONG], ids=["by_a_short_one", "by_a_long_one"])
def test_a_long_one_does_not_take_a_name_in_use(weir, taken):
    with weir.start(pool_size=1, max_statement_size="1KiB").raw() as one, weir.raw() as two:
        prepare(one, "s", taken)
        before = run(one, "s")
        assert shape(prepare(one, "s", LONG + "y" * 200000)) == "E:42P05 Z:I"
        assert errors(prepare(one, "s", LONG))[0].error["M"] == 'prepared statement "s" already exists'
        assert run(one, "s") == before
        assert shape(one.ask(close("S", "s") + parse("s", LONG) + bind("", "s") + execute() + sync())) == (
            "3 1 2 D C:SELECT 1 Z:I")
        one.ask(close("S", "s") + sync())
        assert shape(two.ask(bind("", "s") + execute() + sync())) == "E:26000 Z:I"


@pytest.mark.parametrize("name", ["", "s"], ids=["unnamed", "named"])
def test_a_long_one_on_a_server_that_another_client_used(weir, name):
    """DISCARD SEQUENCES goes ahead of it, in pieces or not."""
    with weir.start(pool_size=1, max_statement_size="1KiB").raw() as other, weir.raw() as wire:
        for size in 3000, 1500000:
            other.query("SELECT pg_sleep(0)")
            sql = "SELECT 'long' -- " + "x" * size
            wire.send(parse(name, sql) + bind("", name) + execute() + (close("S", name) if name else b"") + sync())
            assert shape(wire.read_until("Z")) == f"1 2 D C:SELECT 1{' 3' * bool(name)} Z:I"


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("size", [3000, 300000], ids=["whole", "in_pieces"])
@pytest.mark.parametrize("sql", ["SELECT 1", "SET a.b = 'c'", "DO $$ BEGIN EXECUTE 'SELECT 1'; END $$", "CREATE TEMP TABLE t (i int)"])
@pytest.mark.parametrize("begin", ["SELECT 1", "BEGIN"])
@pytest.mark.parametrize("has_code", [False, True], ids=["plain", "code"])
def test_a_long_unnamed_one_is_bound_behind_its_sync(weir, has_code, begin, sql, size):
    """Nothing that pgweir asks or runs in between may overwrite it: nobody could make it again."""
    code = "CREATE FUNCTION sets() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET x.y = 1'; RETURN 1; END $$"
    weir.start(pool_size=1, max_statement_size="1KiB")
    if has_code:
        weir.postgres.query(code)
    try:
        with weir.raw() as other:
            other.query("SELECT 1")
        for look in b"", describe("S", ""):
            assert_same(weir, [query(begin), parse("", sql + " -- " + "x" * size) + look + sync(), bind() + execute() + sync(),
                               query("SELECT 1")])
        with weir.raw() as other:
            assert other.query("SELECT 1") == [["1"]]       # its server is free
    finally:
        weir.postgres.query("DROP FUNCTION IF EXISTS sets()")


def test_a_long_one_whose_name_does_not_end_is_malformed(weir):
    with weir.start(pool_size=1, max_statement_size="1KiB").raw() as wire:
        assert shape(wire.ask(message("P", b"x" * 2000) + sync())) == "E:08P01 Z:I"
        assert wire.query("SELECT 1") == [["1"]]


def test_a_close_of_a_long_one_that_was_skipped_leaves_it(weir):
    with weir.start(pool_size=1, max_statement_size="1KiB").raw() as one, weir.raw() as two:
        prepare(one, "s", LONG)
        assert shape(one.ask(bind("", "nowhere") + close("S", "s") + sync())) == "E:26000 Z:I"
        assert run(one, "s") == [["long"]]
        assert shape(one.ask(close("S", "s") + parse("s", "SELECT 'short'") + sync())) == "3 1 Z:I"
        assert two.query("SELECT 1") == [["1"]]
        assert run(one, "s") == [["short"]]


# --- pg_prepared_statements, and SQL EXECUTE: a client's own statements, under its own names ---

@pytest.mark.parametrize("begin", ["SELECT", "BEGIN"])
@pytest.mark.parametrize("sql", ["EXECUTE s(1)", "EXPLAIN (COSTS OFF) EXECUTE s(1)", "SELECT 1; EXECUTE s(1)"])
def test_sql_execute_of_a_statement_of_the_protocol_has_a_hint(weir, begin, sql):
    """The server has it under another name."""
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, "s", "SELECT $1::int * 2")
        wire.query(begin)
        error, = errors(wire.ask(query(sql)))
        assert error.sqlstate == "26000" and "Bind and Execute" in error.error["H"]
        assert error.error["M"] == 'prepared statement "s" does not exist'
        wire.query("ROLLBACK")
        assert "H" not in errors(wire.ask(query("EXECUTE t")))[0].error
        assert run(wire, "s", [21]) == [["42"]]


@pytest.mark.weir_only
@pytest.mark.parametrize("begin", ["SELECT", "BEGIN"])
@pytest.mark.parametrize("sql", ["DEALLOCATE s", "DEALLOCATE ALL"])
def test_a_deallocate_leaves_the_statement_for_others(weir, begin, sql):
    """The server has one for all who have the same SQL, and is not asked."""
    with weir.start(pool_size=1, max_overflow=0).raw() as one, weir.raw() as two:
        for wire in one, two:
            prepare(wire, "s", "SELECT 'shared'")
            assert run(wire, "s") == [["shared"]]
        parses = weir.metric("pgweir_pool_server_parses_total")
        for _ in range(3):
            status = shape(one.ask(query(begin)))[-1]
            assert shape(one.ask(query(sql))) == f"C:{sql.removesuffix(' s')} Z:{status}"
            assert shape(one.ask(bind("", "s") + sync())).startswith("E:26000")
            one.query("ROLLBACK")
            prepare(one, "s", "SELECT 'shared'")
            assert run(one, "s") == run(two, "s") == [["shared"]]
        assert weir.metric("pgweir_pool_server_parses_total") == parses


@pytest.mark.weir_only
def test_a_deallocate_needs_no_server(weir):
    with weir.start(pool_size=1, max_overflow=0, pool_timeout="30s").raw() as wire, weir.raw() as other:
        for name in "abc":
            prepare(wire, name, "SELECT 1")
        other.query(BEGIN_NOW)                                        # has the only one
        wire.send(query("DEALLOCATE a") + query("DEALLOCATE b") + query("DEALLOCATE ALL"))
        assert shape(wire.read_until("Z", 3)) == "C:DEALLOCATE Z:I C:DEALLOCATE Z:I C:DEALLOCATE ALL Z:I"
        wire.send(query("DEALLOCATE c"))                            # PostgreSQL's error
        other.query("COMMIT")
        assert shape(wire.read_until("Z")) == "E:26000 Z:I"


def test_deallocates_between_requests_that_are_not_answered(weir):
    """Each in its turn, behind what is under way."""
    with weir.start(pool_size=1).raw() as wire:
        for name in "ab":
            prepare(wire, name, f"SELECT '{name}'")
        wire.send(bind("", "a") + execute() + sync() + query("DEALLOCATE a") + query("SELECT 1") + query("DEALLOCATE a") +
                  query("BEGIN") + query("DEALLOCATE b") + query("SELECT 1/0") + query("DEALLOCATE b") + query("ROLLBACK"))
        assert shape(wire.read_until("Z", 9)) == (
            "2 D C:SELECT 1 Z:I C:DEALLOCATE Z:I T D C:SELECT 1 Z:I E:26000 Z:I C:BEGIN Z:T C:DEALLOCATE Z:T E:22012 Z:E "
            "E:25P02 Z:E C:ROLLBACK Z:I")


def test_deallocate_all_takes_what_sql_has_prepared_too(weir):
    with weir.start(pool_size=2).raw() as wire, weir.raw() as other:
        for client in wire, other:
            prepare(client, "s", "SELECT 's'")
            client.query("PREPARE p AS SELECT 'p'")
        for ahead in ("", "BEGIN", "DO $$ BEGIN EXECUTE 'PREPARE q AS SELECT 1'; END $$"):
            if ahead:
                wire.query(ahead)
            assert wire.ask(query("DEALLOCATE ALL"))[0].type == "C"
            for name in "spq":
                assert shape(wire.ask(query("SAVEPOINT a" if ahead == "BEGIN" else "")))
                assert errors(wire.ask(query(f"EXECUTE {name}")))[0].sqlstate == "26000"
                if ahead == "BEGIN":
                    wire.query("ROLLBACK TO a")
            wire.query("ROLLBACK")
            prepare(wire, "s", "SELECT 's'")
            wire.query("PREPARE p AS SELECT 'p'")
            assert run(other, "s") == [["s"]] and other.query("EXECUTE p") == [["p"]]


def test_a_query_that_deallocates_drops_the_unnamed_statement(weir):
    """As any Query does."""
    with weir.start(pool_size=1).raw() as wire:
        assert_same(weir, [parse("s", "SELECT 1") + sync(), parse("", "SELECT 2") + sync(), query("DEALLOCATE s"),
                           bind() + execute() + sync(), query("BEGIN"), parse("s", "SELECT 1") + sync(),
                           parse("", "SELECT 2") + sync(), query("DEALLOCATE ALL"), bind() + execute() + sync(),
                           query("ROLLBACK")])
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.parametrize("begin, setting, end", [
    ("BEGIN", "SET", "ROLLBACK"), ("BEGIN", "SET LOCAL", "COMMIT"), ("SELECT", "SET", "SET DateStyle = 'ISO, MDY'"),
    ("SELECT", "SET", "RESET DateStyle")])
def test_a_literal_ahead_of_the_sync_of_what_it_is_read_under(weir, begin, setting, end):
    """It pins nothing, and is read elsewhere under the settings of then; nobody else gets it."""
    literal = parse("s", "SELECT '02/03/2020'::date")
    with weir.start(pool_size=2).raw() as wire, weir.raw() as other:
        wire.query(begin)
        replies = wire.ask(one_statement(f"{setting} DateStyle = 'ISO, DMY'") + literal + bind("", "s") + execute() + sync())
        assert texts(replies) == [["2020-03-02"]]
        wire.query(end)
        assert weir.console("SHOW PINS") == []
        assert texts(other.ask(literal + bind("", "s") + execute() + sync())) == [["2020-02-03"]]
        weir.console("RECONNECT")
        assert run(wire, "s") == [["2020-02-03"]]
        assert run(other, "s") == [["2020-02-03"]]


def test_a_literal_behind_discard_all_ahead_of_its_sync(weir):
    """It counted as read under the settings that DISCARD ALL had just reset."""
    with weir.start(pool_size=2).raw() as wire, weir.raw() as other:
        wire.query("SET DateStyle = 'ISO, DMY'")
        wire.ask(one_statement("DISCARD ALL") + parse("s", "SELECT to_char('02/03/2020'::date, 'MM-DD')") + sync())
        other.query("SELECT 1")
        assert run(wire, "s") == [["02-03"]]


def test_a_deallocate_is_answered_behind_more_settings_than_are_followed(weir):
    """Whether SQL PREPARE's are still there was asked of the server, and what that took was sent again and again."""
    with weir.start(pool_size=1).raw() as wire:
        wire.query("PREPARE p AS SELECT 1")
        wire.ask(parse("s", "SELECT 2") + sync())
        wire.query("BEGIN")
        for number in range(9):
            wire.query(f"SET app.n{number} = 'a'")
        wire.send(one_statement("SET app.x = 'a'") + one_statement("DEALLOCATE s") + sync())
        assert shape(wire.read_until("Z")) == "1 2 n C:SET 1 2 n C:DEALLOCATE Z:T"
        assert shape(wire.ask(bind("", "s") + sync())) == "E:26000 Z:E"


@pytest.mark.parametrize("rollback, answer", [
    (query("ROLLBACK"), "C:ROLLBACK Z:I"), (one_statement("ROLLBACK") + sync(), "1 2 n C:ROLLBACK Z:I"),
    (one_statement("ROLLBACK"), "1 2 n C:ROLLBACK"), (one_statement("COMMIT"), "1 2 n C:ROLLBACK"),
    (one_statement("ROLLBACK TO s"), "1 2 n C:ROLLBACK"),
], ids=["query", "synced", "ahead_of_its_sync", "commit", "to_a_savepoint"])
@pytest.mark.parametrize("how", [query, one_statement])
def test_what_is_pipelined_behind_a_rollback_finds_its_statement(weir, rollback, answer, how):
    """It was 26000: the transaction counted as failed until the next ReadyForQuery was there."""
    with weir.start(pool_size=1).raw() as wire:
        wire.query("PREPARE p AS SELECT 1")
        wire.ask(query("BEGIN"))
        wire.ask(query("SAVEPOINT s"))
        assert shape(wire.ask(query("SELECT 1/0"))) == "E:22012 Z:E"
        wire.send(rollback + how("EXECUTE p") + sync())
        got = shape(wire.read_until("Z", 1 + answer.count("Z:") + (how is query)))
        assert got.replace("Z:T", "Z:I") == " ".join(
            [answer, "T D C:SELECT 1 Z:I Z:I" if how is query else "1 2 T D C:SELECT 1 Z:I"])


def test_a_query_behind_a_failed_bind_has_no_answer_of_its_own(weir):
    """PostgreSQL ignores it, and a Sync that pgweir sends in its place would bring a ReadyForQuery too many."""
    weir.postgres.query("CREATE FUNCTION unread() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; RETURN 1; END $$")
    try:
        with weir.start(pool_size=1).raw() as wire, weir.raw() as other:
            for ahead in (b"", one_statement("SELECT 1")):
                other.query("SELECT unread()")      # may have used a sequence, which must be forgotten ahead of the next
                wire.send(ahead + bind("", "missing") + execute() + query("SELECT unread()") + sync() + query("SELECT 2"))
                assert shape(wire.read_until("Z", 2)).endswith("E:26000 Z:I T D C:SELECT 1 Z:I")
                assert wire.query("SELECT 'the next'") == [["the next"]]
    finally:
        weir.postgres.query("DROP FUNCTION unread()")
