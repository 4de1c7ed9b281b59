"""Tables change while statements are prepared: what PostgreSQL answers with "cached plan must not change result type".

Outside a transaction a request that meets an outdated plan is sent once more, and its client sees nothing; but never does
a client take rows of a new shape for those it was told about.
"""

import asyncio
import itertools
import threading

import asyncpg
import pytest

import transport
from rawwire import (BEGIN_NOW, bind, close, describe, errors, execute, flush, parse, query, shape, sync, texts)
from waiting import each, wait_until

SELECT = bind("", "s") + describe("P") + execute() + sync()
BLIND = bind("", "s") + execute() + sync()          # relies on what it was told before


def prepare(wire, sql, name="s", types=()):
    assert shape(wire.ask(parse(name, sql, types) + sync())) == "1 Z:I"


def told(wire, sql, name="s", types=()):
    """Prepares, and asks what the rows look like: what asyncpg and JDBC do, once."""
    assert shape(wire.ask(parse(name, sql, types) + describe("S", name) + sync())) == "1 t T Z:I"


def column_names(replies):
    body = next(reply for reply in replies if reply.type == "T").body
    names, at = [], 2
    while at < len(body):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names


def reruns(weir):
    return weir.metric("pgweir_prepared_statement_reruns_total", database="app")


@pytest.fixture
def rows(postgres, table):
    """A table with one row; altered directly on PostgreSQL, where pgweir does not see it."""
    postgres.query(f"INSERT INTO {table} VALUES (1, 'x')")
    return table


def add_column(postgres, table, name="w"):
    postgres.query(f"ALTER TABLE {table} ADD COLUMN {name} int DEFAULT 7")


@pytest.mark.alone      # on a slow machine pgweir, which looks every second, sees that the table has changed, and prepares anew
@pytest.mark.weir_only
def test_a_client_that_describes_its_portal_sees_the_new_rows_and_no_error(weir, postgres, rows):
    with weir.start(pool_size=1, max_overflow=0).raw() as wire:      # a new connection would have no outdated plan
        prepare(wire, f"SELECT * FROM {rows}")
        for turn in range(4):
            replies = wire.ask(SELECT)
            assert shape(replies) == "2 T D C:SELECT 1 Z:I"
            assert texts(replies) == [["1", "x"] + ["7"] * turn]
            assert column_names(replies) == ["id", "v"] + [f"w{i}" for i in range(turn)]
            add_column(postgres, rows, f"w{turn}")
        assert reruns(weir) == 3
        assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
def test_a_client_that_knows_no_rows_yet_needs_no_describe(weir, postgres, rows):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        prepare(one, f"SELECT * FROM {rows}")
        one.ask(SELECT)
        add_column(postgres, rows)
        prepare(two, f"SELECT * FROM {rows}")
        assert texts(two.ask(BLIND)) == [["1", "x", "7"]]


@pytest.mark.weir_only
def test_parse_and_bind_in_one_request(weir, postgres, rows):
    """The ParseComplete is pgweir's own and was sent before the error came."""
    weir.start(pool_size=1)
    text = f"SELECT * FROM {rows} WHERE id = $1"
    with weir.raw() as one, weir.raw() as two:
        one.ask(parse("s", text) + sync())
        one.ask(bind("", "s", [1]) + execute() + sync())
        add_column(postgres, rows)
        replies = two.ask(parse("t", text) + bind("", "t", [1]) + describe("P") + execute() + sync())
        assert shape(replies) == "1 2 T D C:SELECT 1 Z:I" and texts(replies) == [["1", "x", "7"]]
        assert two.has_nothing_more()
    assert reruns(weir) == 1


@pytest.mark.weir_only
def test_describe_of_a_statement_is_answered_once_and_anew(weir, postgres, rows):
    weir.start(pool_size=1)
    text = f"SELECT * FROM {rows} WHERE id = $1"
    with weir.raw() as one, weir.raw() as two:
        told(one, text, types=(23,))
        add_column(postgres, rows)
        replies = two.ask(parse("s", text, (23,)) + describe("S", "s") + sync())
        assert shape(replies) == "1 t T Z:I" and column_names(replies) == ["id", "v", "w"]
        assert texts(two.ask(bind("", "s", [1]) + execute() + sync())) == [["1", "x", "7"]]
    assert reruns(weir) == 1


def test_a_client_that_was_told_the_rows_and_does_not_ask_again_gets_the_error(weir, postgres, rows):
    with weir.start(pool_size=1).raw() as wire:
        told(wire, f"SELECT * FROM {rows}")
        assert texts(wire.ask(BLIND)) == [["1", "x"]]
        add_column(postgres, rows)
        for _ in range(2):
            assert shape(wire.ask(BLIND)) == "E:0A000 Z:I"
        told(wire, f"SELECT * FROM {rows}", "fresh")
        assert texts(wire.ask(bind("", "fresh") + execute() + sync())) == [["1", "x", "7"]]


def test_the_same_if_the_table_was_altered_by_another_client(weir, rows):
    """pgweir sees that, and prepares all statements anew."""
    with weir.start(pool_size=1).raw() as wire, weir.raw() as other:
        told(wire, f"SELECT * FROM {rows}")
        assert texts(wire.ask(BLIND)) == [["1", "x"]]
        other.query(f"ALTER TABLE {rows} ADD COLUMN w int DEFAULT 7")
        replies = wire.ask(BLIND)
        assert shape(replies) == "E:0A000 Z:I"
        assert errors(replies)[0].error["M"] == "cached plan must not change result type"
        told(wire, f"SELECT * FROM {rows}", "fresh")
        assert texts(wire.ask(bind("", "fresh") + execute() + sync())) == [["1", "x", "7"]]


@pytest.mark.parametrize("who", ["itself", "another client", "another program"])
@pytest.mark.parametrize("size", [1, 2])
def test_the_old_rows_are_back(weir, postgres, rows, size, who):
    """What was refused works again, in a pipeline at once, though the server prepared the statement with the other rows."""
    with weir.start(pool_size=size, pool_lifo=False).raw() as wire, weir.raw() as other:
        told(wire, f"SELECT * FROM {rows}")
        assert texts(wire.ask(BLIND)) == [["1", "x"]]
        for _ in range(2):
            (postgres if who == "another program" else other).query(f"ALTER TABLE {rows} ADD COLUMN w int DEFAULT 7")
            for _ in range(2):          # pgweir sees that the rows have changed, where at first PostgreSQL did
                assert shape(wire.ask(BLIND)) == "E:0A000 Z:I"
            told(other, f"SELECT * FROM {rows}")
            drop = f"ALTER TABLE {rows} DROP COLUMN w"
            if who == "itself":
                wire.send(BLIND + query(drop) + BLIND)
                assert shape(wire.read_until("Z", 3)) == "E:0A000 Z:I C:ALTER TABLE Z:I 2 D C:SELECT 1 Z:I"
            else:
                (postgres if who == "another program" else other).query(drop)
            wire.send(BLIND + BLIND)
            assert texts(wire.read_until("Z", 2)) == [["1", "x"]] * 2
            other.ask(close("S", "s") + sync())


@pytest.mark.weir_only
def test_the_same_on_a_server_that_never_had_the_statement(weir, postgres, rows):
    """Prepared there for the first time it has no past that PostgreSQL could compare with."""
    with weir.start(pool_size=2).raw() as wire, weir.raw() as first, weir.raw() as second:
        told(wire, f"SELECT * FROM {rows}")
        add_column(postgres, rows)
        first.query(BEGIN_NOW)
        assert shape(wire.ask(BLIND)) == "E:0A000 Z:I"
        pid = wire.value("SELECT pg_backend_pid()")
        second.query(BEGIN_NOW)
        first.query("COMMIT")
        assert shape(wire.ask(BLIND)) == "E:0A000 Z:I"
        assert wire.value("SELECT pg_backend_pid()") != pid
        second.query("COMMIT")


@pytest.mark.weir_only
@pytest.mark.parametrize("how", ["told_by_the_statement", "told_by_a_portal", "told_before"])
def test_the_same_on_a_server_where_somebody_else_prepared_it_meanwhile(weir, postgres, rows, how):
    weir.start(pool_size=2)
    text = f"SELECT * FROM {rows}"
    with weir.raw() as wire, weir.raw() as holder, weir.raw() as other:
        told(wire, text)
        if how == "told_before":
            prepare(other, text)
            other.ask(SELECT)
        pid = wire.value("SELECT pg_backend_pid()")
        wait_until(lambda: holder.value("ROLLBACK", "BEGIN", "SELECT pg_backend_pid()") == pid, what="the server that knows it")
        add_column(postgres, rows)
        if how == "told_by_the_statement":
            told(other, text)
        else:
            if how == "told_by_a_portal":
                prepare(other, text)
            assert texts(other.ask(SELECT)) == [["1", "x", "7"]]
        assert shape(wire.ask(BLIND)) == "E:0A000 Z:I"
        holder.query("COMMIT")
        assert texts(other.ask(BLIND)) == [["1", "x", "7"]]


def test_ddl_that_does_not_concern_the_rows_is_no_error(weir, postgres, rows):
    with weir.start(pool_size=2, pool_lifo=False).raw() as wire, weir.raw() as other:
        told(wire, f"SELECT id, v FROM {rows}")
        for turn in range(4):
            assert texts(wire.ask(BLIND)) == [["1", "x"]]
            other.query(f"ALTER TABLE {rows} ADD COLUMN a{turn} int")
            assert texts(wire.ask(BLIND)) == [["1", "x"]]
            add_column(postgres, rows, f"b{turn}")


def test_a_described_portal_tells_for_later_requests_too(weir, postgres, rows):
    """JDBC asks once, by a portal."""
    with weir.start(pool_size=1).raw() as wire, weir.raw() as other:
        prepare(wire, f"SELECT * FROM {rows}")
        assert texts(wire.ask(SELECT)) == [["1", "x"]]
        other.query(f"ALTER TABLE {rows} ADD COLUMN w int DEFAULT 7")
        assert shape(wire.ask(BLIND)) == "E:0A000 Z:I"
        add_column(postgres, rows, "z")
        assert shape(wire.ask(BLIND)) == "E:0A000 Z:I"


@pytest.mark.parametrize("seen", [True, False], ids=["by_a_client", "behind_its_back"])
def test_parameter_types_stay_what_the_client_knows(weir, postgres, table, seen):
    """A column becomes bigint; a client that was told int4 goes on sending four bytes."""
    weir.start(pool_size=2, pool_lifo=False)
    one = (1).to_bytes(4, "big")
    postgres.query(f"INSERT INTO {table} VALUES (1, 'x')")
    with weir.raw() as wire, weir.raw() as other, weir.raw() as late:
        replies = wire.ask(parse("s", f"SELECT v FROM {table} WHERE id = $1") + describe("S", "s") + sync())
        assert replies[1].body == b"\0\1\0\0\0\27"
        for _ in range(2):              # on each server once: prepared behind the change, it would have the new type
            late.query(BEGIN_NOW)
            wire.ask(bind("", "s", [one], [1]) + execute() + sync())
            late.query("COMMIT")
        if not weir.direct:
            weir.settle()
        for turn in range(3):
            if turn == 1:
                (other if seen else postgres).query(f"ALTER TABLE {table} ALTER id TYPE bigint")
            for _ in range(4):
                replies = wire.ask(bind("", "s", [one], [1]) + execute() + sync())
                assert shape(replies) == "2 D C:SELECT 1 Z:I", errors(replies)[0].error
        if seen or weir.direct:
            replies = late.ask(parse("s", f"SELECT v FROM {table} WHERE id = $1") + describe("S", "s") + sync())
            assert replies[1].body == b"\0\1\0\0\0\24"


def test_a_client_that_comes_later_meets_no_old_parameter_types(weir, postgres, table):
    """Unseen by pgweir, v becomes a number: the old statement would be refused by the parser."""
    weir.start(pool_size=1)
    text = f"INSERT INTO {table} (id, v) VALUES (1, $1)"
    with weir.raw() as one, weir.raw() as two:
        one.ask(parse("s", text) + describe("S", "s") + sync())
        postgres.query(f"ALTER TABLE {table} ALTER v TYPE int USING 1")
        replies = two.ask(parse("s", text) + sync())
        replies = two.ask(bind("", "s", [5]) + execute() + sync())
        assert shape(replies) == "2 C:INSERT 0 1 Z:I", errors(replies)[0].error
        assert shape(one.ask(bind("", "s", [6]) + execute() + sync())) == "E:42804 Z:I"
    assert postgres.value(f"SELECT sum(v) FROM {table}") == 5


@pytest.mark.weir_only
def test_a_type_that_was_dropped_and_made_again(weir, postgres):
    weir.start(pool_size=1)

    def make():
        postgres.query("DROP TYPE IF EXISTS mood_of_test CASCADE")
        postgres.query("CREATE TYPE mood_of_test AS ENUM ('sad', 'glad')")
    make()
    with weir.raw() as wire:
        prepare(wire, "SELECT 'glad'::mood_of_test")
        for _ in range(3):
            assert texts(wire.ask(SELECT)) == [["glad"]]
            make()
            with weir.raw() as late:
                prepare(late, "SELECT 'glad'::mood_of_test")
                assert texts(late.ask(SELECT)) == [["glad"]]
    postgres.query("DROP TYPE mood_of_test")


@pytest.mark.weir_only
@pytest.mark.parametrize("end", [sync(), bind("", "s", [1]) + execute() + sync()], ids=["sync", "use"])
def test_a_client_that_flushes_and_waits_before_its_sync(weir, postgres, rows, end):
    """asyncpg prepares so."""
    weir.start(pool_size=1)
    text = f"SELECT * FROM {rows} WHERE id = $1"
    with weir.raw() as one:
        told(one, text, types=(23,))
        for turn in range(20):
            if turn >= 3 and reruns(weir) > 0:
                break       # in the others pgweir may have known of the column before the statement came
            add_column(postgres, rows, f"w{turn}")
            with weir.raw() as two:
                two.send(parse("s", text, (23,)) + describe("S", "s") + flush())
                replies = two.read_until("T")
                assert shape(replies) == "1 t T" and column_names(replies) == ["id", "v"] + [f"w{i}" for i in
                                                                                            range(turn + 1)]
                assert shape(two.ask(end)) in ("Z:I", "2 D C:SELECT 1 Z:I")
                assert texts(two.ask(bind("", "s", [1]) + execute() + sync())) == [["1", "x"] + ["7"] * (turn + 1)]
    assert reruns(weir) > 0


@pytest.mark.weir_only
def test_nothing_is_run_twice(weir, postgres, rows):
    """The second statement of a request is outdated; the first was answered: the error stands, and all is undone."""
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, f"INSERT INTO {rows} VALUES ($1, 'y') RETURNING id", "i")
        prepare(wire, f"SELECT * FROM {rows}")
        wire.ask(bind("", "i", [2]) + execute() + sync())
        wire.ask(SELECT)
        add_column(postgres, rows)
        replies = wire.ask(bind("", "i", [3]) + describe("P") + execute() + SELECT)
        assert shape(replies) == "2 T D C:INSERT 0 1 E:0A000 Z:I"
        assert postgres.value(f"SELECT count(*) FROM {rows}") == 2
        replies = wire.ask(bind("", "i", [3]) + describe("P") + execute() + SELECT)
        assert shape(replies) == "2 T D C:INSERT 0 1 2 T D D D C:SELECT 3 Z:I"


@pytest.mark.weir_only
def test_all_of_a_request_behind_the_outdated_statement_is_run(weir, postgres, rows):
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, f"INSERT INTO {rows} VALUES ($1, 'y') RETURNING id", "i")
        prepare(wire, f"SELECT * FROM {rows}")
        wire.ask(SELECT)
        add_column(postgres, rows)
        replies = wire.ask(bind("", "s") + describe("P") + execute() + bind("", "i", [3]) + execute() +
                           parse("n", "SELECT 5") + bind("", "n") + execute() + sync())
        assert shape(replies) == "2 T D C:SELECT 1 2 D C:INSERT 0 1 1 2 D C:SELECT 1 Z:I"
        assert postgres.value(f"SELECT count(*) FROM {rows}") == 2
        assert texts(wire.ask(bind("", "n") + execute() + sync())) == [["5"]]
    assert reruns(weir) == 1


@pytest.mark.weir_only
def test_what_is_sent_behind_it_keeps_its_place(weir, postgres, rows):
    """The next request arrives while the first one is under way, behind a lock, or is sent once more."""
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, f"SELECT * FROM {rows}")
        wire.ask(SELECT)
        add_column(postgres, rows)
        wire.send(SELECT)
        wire.send(query("SELECT 'behind'"))
        got = shape(wire.read_until("Z", 2))
        assert got in ("2 T D C:SELECT 1 Z:I T D C:SELECT 1 Z:I", "E:0A000 Z:I T D C:SELECT 1 Z:I")
        assert wire.has_nothing_more()


@pytest.mark.weir_only
def test_inside_a_transaction_the_error_stands(weir, postgres, rows):
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, f"SELECT * FROM {rows}")
        wire.ask(SELECT)
        add_column(postgres, rows)
        wire.query("BEGIN")
        assert shape(wire.ask(SELECT)) == "E:0A000 Z:E"
        wire.query("ROLLBACK")
        assert texts(wire.ask(SELECT)) == [["1", "x", "7"]]
    assert reruns(weir) == 0


@pytest.mark.weir_only
def test_a_request_too_large_to_be_kept_gets_the_error_once(weir, postgres, rows):
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, f"SELECT *, length($1) FROM {rows}")
        large = bind("", "s", ["x" * 30000]) + describe("P") + execute() + sync()
        assert texts(wire.ask(large)) == [["1", "x", "30000"]]
        add_column(postgres, rows)
        assert shape(wire.ask(large)) == "E:0A000 Z:I"
        assert texts(wire.ask(large)) == [["1", "x", "7", "30000"]]


@pytest.mark.weir_only
def test_a_client_that_goes_while_its_request_is_sent_once_more(weir, postgres, rows):
    weir.start(pool_size=1)
    for _ in range(10):
        with weir.raw() as wire:
            prepare(wire, f"SELECT * FROM {rows}")
            wire.ask(SELECT)
            postgres.query(f"ALTER TABLE {rows} ADD COLUMN a int, ADD COLUMN b int")
            wire.send(SELECT)
        postgres.query(f"ALTER TABLE {rows} DROP COLUMN a, DROP COLUMN b")
    with weir.raw() as wire:
        assert wire.query(f"SELECT * FROM {rows}") == [["1", "x"]]


@pytest.mark.weir_only
def test_session_mode_leaves_it_to_postgresql(weir, postgres, rows):
    with weir.start(pool_mode="session", pool_size=1).raw() as wire:
        prepare(wire, f"SELECT * FROM {rows}")
        wire.ask(SELECT)
        add_column(postgres, rows)
        assert shape(wire.ask(SELECT)) == "E:0A000 Z:I"


# --- drivers, while they run ---

class Workers:
    """Threads that do the same over and over; what one of them raises ends the test."""

    def __init__(self, count, work):
        self.done, self.failures, self.is_over = 0, [], threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(work,)) for _ in range(count)]

    def _run(self, work):
        try:
            for _ in work(self.is_over):
                with self.lock:
                    self.done += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(error)

    def __enter__(self):
        each(self.threads).start()
        return self

    def __exit__(self, *exc):
        self.is_over.set()
        each(self.threads).join()


@pytest.mark.weir_only
def test_psycopg_sees_no_error_while_tables_change(weir, postgres, rows):
    """Half of the changes are seen by pgweir, half are not."""
    weir.start(pool_size=3, pool_lifo=False)

    def work(is_over):
        with weir.connect(autocommit=True) as connection:
            connection.prepare_threshold = 0
            while not is_over.is_set():
                row = connection.execute(f"SELECT * FROM {rows} WHERE id = %s", (1,)).fetchone()
                assert row[:2] == (1, "x") and set(row[2:]) <= {7}
                connection.execute(f"UPDATE {rows} SET v = v WHERE id = %s RETURNING *", (1,)).fetchone()
                yield

    with Workers(6, work) as workers, weir.raw() as migration:
        columns = itertools.count()

        def change(who):
            who.query(f"ALTER TABLE {rows} ADD COLUMN w{next(columns)} int DEFAULT 7")
            before = workers.done
            weir.wait_until(lambda: workers.failures or workers.done > before + 30)

        # A server that is washed loses its statements; each is, until it is known what the database's code may do.
        weir.wait_until(lambda: change(postgres) or workers.failures or reruns(weir) > 0)
        for _ in range(5):
            change(migration)
            change(postgres)
        assert not workers.failures, workers.failures


@pytest.mark.parametrize("behind", [True, False], ids=["behind_its_back", "by_a_client"])
def test_asyncpg_prepares_anew_by_itself(weir, postgres, rows, behind):
    """It asks about rows once, and decodes them blindly ever after."""
    weir.start(pool_size=3, pool_lifo=False)
    host, port = weir.address
    text = f"SELECT * FROM {rows} WHERE id = $1"

    async def main():
        words = {"host": host, "port": port, "user": "web", "database": "app", "ssl": False}
        async with asyncpg.create_pool(**words, min_size=6, max_size=6) as pool, asyncpg.create_pool(
                **words, min_size=1, max_size=1) as migration:
            for turn in range(6):
                got = await asyncio.gather(*(pool.fetchrow(text, 1) for _ in range(24)))
                want = {"id": 1, "v": "x", **{f"w{i}": 7 for i in range(turn)}}
                assert all(dict(row) == want for row in got)
                alter = f"ALTER TABLE {rows} ADD COLUMN w{turn} int DEFAULT 7"
                if behind:
                    postgres.query(alter)
                else:
                    await migration.execute(alter)
    asyncio.run(main())


def test_asyncpg_goes_on_when_a_column_becomes_wider(weir, rows):
    weir.start(pool_size=3, pool_lifo=False)
    host, port = weir.address

    async def main():
        connection = await asyncpg.connect(host=host, port=port, user="web", database="app", ssl=transport.context())
        for turn in range(6):
            assert await connection.fetchval(f"SELECT v FROM {rows} WHERE id = $1", 1) == "x"
            if turn == 2:
                await connection.execute(f"ALTER TABLE {rows} ALTER id TYPE bigint")
        await connection.close()
    asyncio.run(main())
