"""refuse: statements that a database's or a user's policy forbids. PostgreSQL gets a word that it can't read in their place,
so all that is behind them fails as it does behind a typing error."""

import asyncio

import asyncpg
import psycopg
import pytest

from compare import converse, normalized
from rawwire import BEGIN_NOW, Wire, bind, close, describe, errors, execute, one_statement, parse, query, shape, sync, texts
from waiting import wait_until

pytestmark = pytest.mark.weir_only

S = sync()
ALL = "update_without_where, delete_without_where, ddl, multi_statement"
UPDATE = "UPDATE refused SET a = a + 1"


@pytest.fixture(scope="module", autouse=True)
def table(postgres):
    postgres.query("DROP TABLE IF EXISTS refused; CREATE TABLE refused (a int); INSERT INTO refused VALUES (1), (2);"
                   "GRANT ALL ON refused TO public", dbname="app")


def content(postgres):
    return postgres.query("SELECT sum(a), count(*) FROM refused", dbname="app")


def conversations(bad):
    """What a client sends, in turns, with a statement that fails."""
    return {
        "a query": [query(bad), query("SELECT 1")],
        "a query in a transaction": [query(BEGIN_NOW), query(bad), query("SELECT 1"), query("COMMIT")],
        "a savepoint": [query(BEGIN_NOW), query("SAVEPOINT s"), query(bad), query("ROLLBACK TO s"), query("SELECT 1"),
                        query("COMMIT")],
        "a deferred BEGIN": [query("BEGIN"), query(bad), query("ROLLBACK")],
        "a query behind one, at once": [(query(bad) + query("SELECT 1"), 2)],
        "queries at once": [(query("SELECT 1") + query(bad) + query("SELECT 2"), 3)],
        "an unnamed statement": [one_statement(bad) + S, one_statement("SELECT 1") + S],
        "a named statement": [one_statement(bad, name="s") + S, one_statement("SELECT 1", name="s") + S],
        "a named one alone": [parse("s", bad) + S, bind("", "s") + execute() + S],
        "a described one": [parse("s", bad) + describe("S", "s") + S],
        "a bind behind an unnamed one": [parse("", "SELECT 'old'") + S, parse("", bad) + S, bind() + execute() + S],
        "a bind behind an unnamed one, at once": [parse("", "SELECT 'old'") + S, (parse("", bad) + S + bind() + execute() + S, 2)],
        "a bind behind a query": [parse("", "SELECT 'old'") + S, query(bad), bind() + execute() + S],
        "one that is skipped": [parse("", "SELECT 'old'") + S, parse("t", "SELEC") + parse("", bad) + S, bind() + execute() + S],
        "a query that is skipped": [parse("", "SELECT 'old'") + S, (parse("t", "SELEC") + query(bad) + S, 1),
                                    bind() + execute() + S],
        "a pipeline": [(one_statement("SELECT 1") + one_statement(bad) + one_statement("SELECT 2") + S + one_statement("SELECT 3") + S, 2)],
        "a pipeline with a transaction": [(one_statement(BEGIN_NOW) + one_statement(bad) + one_statement("COMMIT") + S, 1),
                                          query("ROLLBACK")],
        "a name that is taken": [parse("s", "SELECT 1") + S, parse("s", bad) + S, bind("", "s") + execute() + S],
        "a name that is closed": [parse("s", "SELECT 1") + S, close("S", "s") + parse("s", bad) + S, bind("", "s") + execute() + S],
        "a failed transaction": [query(BEGIN_NOW), query("SELECT 1/0"), query(bad), parse("s", bad) + S, query("ROLLBACK")],
    }


def comparable(replies):
    """The error of a refused statement, and the one of a word that PostgreSQL can't read, are the same."""
    return [(kind, "refused" if kind == "E" and dict(what)["C"] in ("42601", "42501") else what) for kind, what in replies]


MODES = {"transaction": {}, "session": {"pool_mode": "session"}, "deferred": {"begin": "deferred"},
         "passed through": {"pool_mode": "session", "prepared_statements": 0}}


@pytest.mark.sweep(keep=20)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", conversations(""))
def test_it_fails_as_a_typing_error_does(weir, postgres, name, mode):
    weir.start(pool_size=1, refuse=ALL, **MODES[mode])
    before = content(postgres)
    if "pool_mode" not in MODES[mode]:
        with weir.raw() as other:           # whose unnamed statement nobody else may run
            other.ask(parse("", "SELECT 'of another client'") + S)
    answers = []
    for address, bad in (((postgres.host, postgres.port), "SELEC"), (weir.address, UPDATE)):
        with Wire(address) as wire:
            wire.login("web", "app")
            answers.append(comparable(normalized(converse(wire, conversations(bad)[name]))))
            wire.leave()
    assert answers[1] == answers[0]
    assert content(postgres) == before


@pytest.mark.parametrize("sql, text, hint", [
    (UPDATE, "UPDATE without a WHERE clause is not allowed", "Add a WHERE clause; to change all rows, write WHERE true."),
    ("WITH x AS (DELETE FROM refused RETURNING a) SELECT * FROM x", "DELETE without a WHERE clause is not allowed",
     "Add a WHERE clause; to delete all rows, write WHERE true."),
    ("DROP TABLE refused", "statements that change the schema are not allowed",
     "Run it as a user, or on a database, for which pgweir's setting refuse has no ddl."),
])
@pytest.mark.parametrize("how", [query, lambda sql: one_statement(sql) + S, lambda sql: parse("s", sql) + S],
                         ids=["query", "unnamed", "named"])
def test_it_is_refused_with_a_hint(weir, postgres, how, sql, text, hint):
    weir.start(refuse=ALL)
    before = content(postgres)
    with weir.raw() as wire:
        error, = errors(wire.ask(how(sql)))
        assert (error.sqlstate, error.error["M"], error.error["H"]) == ("42501", text, hint)
        assert error.error["D"].startswith('pgweir\'s setting refuse for database "app" and user "web" has ')
        assert wire.query("SELECT 1") == [["1"]]
    assert content(postgres) == before


def test_of_several_statements_none_is_run(weir, postgres):
    weir.start(refuse="multi_statement")
    before = content(postgres)
    with weir.raw() as wire:
        assert shape(wire.ask(query("INSERT INTO refused VALUES (3); SELECT 1"))) == "E:42501 Z:I"
        assert shape(wire.ask(query("INSERT INTO refused VALUES (3);; "))) == "C:INSERT 0 1 Z:I"
        assert shape(wire.ask(query("DELETE FROM refused WHERE a = 3;"))) == "C:DELETE 1 Z:I"
        assert shape(wire.ask(query("DELETE FROM refused WHERE false"))) == "C:DELETE 0 Z:I"
    assert content(postgres) == before


def test_a_users_value_replaces_the_databases(weir):
    weir.start(refuse="ddl", sections={"database app": {"refuse": "delete_without_where"}, "user reporting": {"refuse": ""}})
    missing = "DELETE FROM nowhere"
    with weir.raw() as web, weir.raw(database="app2") as elsewhere, weir.raw(user="reporting") as other:
        assert shape(web.ask(query(missing))) == "E:42501 Z:I"
        assert shape(web.ask(query("DROP TABLE nowhere"))) == "E:42P01 Z:I"
        assert shape(elsewhere.ask(query(missing))) == "E:42P01 Z:I"
        assert shape(elsewhere.ask(query("DROP TABLE nowhere"))) == "E:42501 Z:I"
        assert shape(other.ask(query(missing))) == shape(other.ask(query("DROP TABLE nowhere"))) == "E:42P01 Z:I"


def test_a_reload_refuses_what_is_parsed_from_then_on(weir):
    weir.start(pool_size=1)
    delete = "DELETE FROM refused WHERE false"      # so that it may run, until a WHERE is not enough
    with weir.raw() as wire:
        wire.ask(parse("s", delete.replace("WHERE false", "USING (SELECT 1) x WHERE false")) + parse("", UPDATE) + S)
        weir.reload(refuse=ALL)
        assert shape(wire.ask(bind("", "s") + execute() + S)) == "2 C:DELETE 0 Z:I"
        assert shape(wire.ask(parse("", UPDATE) + S)) == "E:42501 Z:I"
        assert shape(wire.ask(bind() + execute() + S)) == "E:26000 Z:I"
        weir.reload()
        assert shape(wire.ask(parse("t", UPDATE) + S)) == "1 Z:I"


def test_it_is_counted_and_logged(weir):
    with weir.start(refuse=ALL, threshold="0ms", format="json").raw() as wire:
        for _ in range(3):
            wire.ask(query(UPDATE))
        wire.ask(one_statement("DELETE FROM refused") + S)
    wait_until(lambda: weir.metric("pgweir_statements_refused_total", database="app", reason="delete_without_where") == 1)
    assert weir.metric_now("pgweir_statements_refused_total", database="app", reason="update_without_where") == 3
    assert weir.metric_now("pgweir_errors_total", database="app", origin="proxy", sqlstate_class="42") == 4
    assert weir.metric_now("pgweir_errors_total", database="app", origin="server", sqlstate_class="42") == 0
    shown = [row for row in weir.console("SHOW ERRORS") if "app" in row.values()]
    assert [(row["origin"], row["count"]) for row in shown] == [("proxy", 4)], shown
    wait_until(lambda: len(weir.slow_lines()) >= 4)
    lines = weir.slow_lines()
    assert {line["sqlstate"] for line in lines} == {"42501"}, lines
    assert {line["query"] for line in lines} == {"UPDATE refused SET a = a + ?", "DELETE FROM refused"}, lines


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_what_is_too_long_to_be_read_is_refused(weir, mode):
    weir.start(pool_size=1, refuse="ddl", max_statement_size="64KiB", pool_mode=mode)
    long = "SELECT 1 /* " + "x" * 100_000 + " */"
    fits = "SELECT 1 /* " + "x" * 60_000 + " */"
    with weir.raw() as wire:
        for message in (query(long), parse("s", long) + S, parse("", long) + S, bind() + execute() + S,
                        bind("", "s") + execute() + S, query(fits), one_statement(fits) + S, query("DROP TABLE refused -- " + fits)):
            wire.send_slowly(message, 30_000)
            if message == query(fits) or message == one_statement(fits) + S:
                assert texts(wire.read_until("Z")) == [["1"]]
            else:
                assert shape(wire.read_until("Z")) == ("E:26000 Z:I" if message[:1] == b"B" else "E:42501 Z:I")
    wait_until(lambda: weir.metric("pgweir_statements_refused_total", database="app", reason="too_long") == 3)


def test_the_client_reads_strings_in_its_own_way(weir):
    """A backslash within a letter is none, nor is one in a string of the standard."""
    weir.start(refuse="delete_without_where")
    sql = b"SELECT E'\x95\x5c'; DELETE FROM refused; --'"
    with weir.raw(parameters={"client_encoding": "SJIS"}) as wire:
        assert shape(wire.ask(query(sql))) == "E:42501 Z:I"
    with weir.raw() as wire:
        assert shape(wire.ask(query("SELECT '\\'; DELETE FROM refused; --'"))) == "E:42501 Z:I"
        wire.query("SET standard_conforming_strings = off")
        assert shape(wire.ask(query("SELECT '\\'; DELETE FROM refused; --'"))).startswith("T D C:SELECT 1")
        wire.ask(query(BEGIN_NOW))
        wire.ask(query("SET LOCAL standard_conforming_strings = on"))
        assert shape(wire.ask(query("SELECT '\\'; DELETE FROM refused; --'"))) == "E:42501 Z:E"


def psycopg_2(weir, dsn):
    with weir.connect2() as connection, connection.cursor() as cursor:
        with pytest.raises(Exception) as caught:
            cursor.execute(UPDATE)
        assert caught.value.pgcode == "42501"
        connection.rollback()
        cursor.execute("SELECT 1")
        return cursor.fetchone()[0]


def psycopg_3(weir, dsn):
    with weir.connect() as connection:
        for prepare in (False, True):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(UPDATE, prepare=prepare)
            connection.rollback()
        return connection.execute("SELECT 1", prepare=True).fetchone()[0]


def psycopg_3_pipeline(weir, dsn):
    with weir.connect(autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.pipeline():
            connection.execute("SELECT 1")
            connection.execute(UPDATE, prepare=True)
            connection.execute("SELECT 2")
        with connection.pipeline():
            return connection.execute("SELECT 1", prepare=True).fetchone()[0]


def asyncpg_savepoint(weir, dsn):
    async def talk():
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with connection.transaction():
                        await connection.execute("UPDATE refused SET a = $1", 7)
                return await connection.fetchval("SELECT $1::int", 1)
        finally:
            await connection.close()
    return asyncio.run(talk())


@pytest.mark.parametrize("driver", [psycopg_2, psycopg_3, psycopg_3_pipeline, asyncpg_savepoint], ids=lambda driver: driver.__name__)
def test_drivers_go_on_behind_it(weir, postgres, driver):
    weir.start(pool_size=1, refuse="update_without_where, delete_without_where, ddl")
    before = content(postgres)
    for _ in range(3):
        assert driver(weir, weir.url()) == 1
    assert content(postgres) == before
