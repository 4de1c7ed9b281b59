"""Prepared statements are shared between servers and clients: but never what one of them must not have of another."""

import pytest

from rawwire import (BEGIN_NOW, SEEN, bind, close, describe, errors, execute, parse, query, shape, sync, texts)

RUN = execute() + sync()


def prepare(wire, sql, name="s", types=()):
    assert shape(wire.ask(parse(name, sql, types) + sync())) == "1 Z:I"


def told_types(replies):
    """OIDs of the (only) ParameterDescription."""
    body, = [reply.body for reply in replies if reply.type == "t"]
    return [int.from_bytes(body[at:at + 4], "big") for at in range(2, len(body), 4)]


def ask_types(wire, sql, name="s"):
    return told_types(wire.ask(parse(name, sql) + describe("S", name) + sync()))


def type_name(postgres, oid, dbname="app"):
    return postgres.query(f"SELECT {oid}::regtype::text", dbname=dbname)[0][0]


def run(wire, values=(), name="s"):
    return texts(wire.ask(bind("", name, values) + RUN))


def name_of(weir, words):
    """What the one statement with these words is called on servers."""
    name, = [row["name"] for row in weir.console("SHOW PREPARED") if words in row["query"]]
    return name


def drop_tempers(postgres):
    for dbname in ("app", "app2"):
        postgres.query("DROP TABLE IF EXISTS tempers; DROP TYPE IF EXISTS temper, filler CASCADE", dbname=dbname)


@pytest.fixture
def temper(postgres):
    """An enum of the same name in both databases, under other OIDs."""
    drop_tempers(postgres)                # another test may have left a type of this name
    postgres.query("CREATE TYPE filler AS ENUM ('x')", dbname="app2")
    for dbname in ("app", "app2"):
        postgres.query("CREATE TYPE temper AS ENUM ('sad', 'glad')", dbname=dbname)
        postgres.query("CREATE TABLE tempers (m temper)", dbname=dbname)
        postgres.query("GRANT ALL ON tempers TO PUBLIC; ALTER TYPE temper OWNER TO web; ALTER TABLE tempers OWNER TO web",
                       dbname=dbname)
    yield
    drop_tempers(postgres)


# --- another database ---


@pytest.mark.weir_only
def test_types_learnt_in_one_database_are_not_those_of_another(weir, postgres, temper):
    weir.start(pool_size=1)
    sql = "INSERT INTO tempers VALUES ($1) RETURNING m"
    with weir.raw() as here, weir.raw(database="app2") as there:
        assert type_name(postgres, *ask_types(here, sql)) == "temper"
        prepare(there, sql)
        here.query("CREATE VIEW renews AS SELECT 1", "DROP VIEW renews")
        assert run(here, ["sad"]) == [["sad"]]
        assert run(there, ["glad"]) == [["glad"]]
        assert type_name(postgres, *ask_types(there, sql, "t"), dbname="app2") == "temper"
        assert run(there, ["glad"], "t") == [["glad"]]


@pytest.mark.weir_only
def test_two_pools_of_one_database_share_statements_and_those_of_two_do_not(weir):
    with weir.start(pool_size=1).raw() as one, weir.raw(user="reporting") as other, weir.raw(database="app2") as far:
        for wire in (one, other, far):
            prepare(wire, "SELECT 'shared', $1::int")
            assert run(wire, [1]) == [["shared", "1"]]
        shown = [row for row in weir.console("SHOW PREPARED") if "'shared'" in row["query"]]
        assert sorted(int(row["held"]) for row in shown) == [1, 2]


@pytest.mark.weir_only
def test_ddl_of_one_database_renews_nothing_in_another(weir, table):
    with weir.start(pool_size=1).raw() as here, weir.raw(database="app2") as there:
        prepare(there, "SELECT $1::int + 1")
        assert run(there, [1]) == [["2"]]
        before = name_of(weir, "$1::int + 1")
        for _ in range(10):
            here.query("DROP TABLE IF EXISTS nope")
            assert run(there, [1]) == [["2"]]
        assert name_of(weir, "$1::int + 1") == before


# --- DDL ---


def test_a_type_dropped_and_made_again_under_its_name(weir, postgres, temper):
    """What SQLAlchemy's tests do with asyncpg."""
    weir.start(pool_size=2)
    sql = "INSERT INTO tempers VALUES ($1) RETURNING m"
    with weir.raw() as one, weir.raw() as two:
        assert type_name(postgres, *ask_types(one, sql)) == "temper"
        assert run(one, ["sad"]) == [["sad"]]
        two.query("DROP TABLE tempers; DROP TYPE temper; CREATE TYPE temper AS ENUM ('calm'); CREATE TABLE tempers (m temper)")
        two.query("GRANT ALL ON tempers TO PUBLIC")
        assert errors(one.ask(bind("", "s", ["sad"]) + RUN))[0].sqlstate in ("0A000", "XX000")
        for turn, wire in enumerate((one, two)):
            assert type_name(postgres, *ask_types(wire, sql, f"t{turn}")) == "temper"
            assert run(wire, ["calm"], f"t{turn}") == [["calm"]]


@pytest.mark.weir_only
def test_parameters_of_a_type_made_anew_are_refused_as_rows_are(weir, temper):
    """asyncpg and JDBC know this error, and prepare anew."""
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        ask_types(one, "INSERT INTO tempers VALUES ($1)")
        two.query("DROP TABLE tempers; DROP TYPE temper; CREATE TYPE temper AS ENUM ('calm'); CREATE TABLE tempers (m temper)")
        for tail in (RUN, describe("P") + RUN):
            error, = errors(one.ask(bind("", "s", ["calm"]) + tail))
            assert error.sqlstate == "0A000" and error.error["R"] == "RevalidateCachedQuery"


@pytest.mark.weir_only
def test_ddl_that_is_rolled_back_renews_nothing(weir, table):
    with weir.start(pool_size=2).raw() as one, weir.raw() as two:
        one.query(BEGIN_NOW)
        prepare(two, f"SELECT v FROM {table} WHERE id = $1")
        assert run(two, [1]) == []
        before = name_of(weir, f"FROM {table}")
        for _ in range(5):
            one.query("ROLLBACK", "BEGIN", "CREATE VIEW nothing AS SELECT 1", "DROP VIEW nothing", "ROLLBACK")
            one.query(BEGIN_NOW)
            assert run(two, [1]) == []
        one.query("ROLLBACK")
        assert name_of(weir, f"FROM {table}") == before


@pytest.mark.weir_only
@pytest.mark.parametrize("names, is_nothing", [("nope", True), ("nope, nope2 CASCADE", True), ("nope; SELECT 1", False),
                                               ("nope, dropped", False), ("dropped", False)])
def test_a_drop_of_what_is_not_there_renews_nothing(weir, names, is_nothing):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        one.query("CREATE TABLE IF NOT EXISTS dropped (a int)")
        weir.settle()                                                # the answer about the code renews statements, too
        prepare(two, "SELECT $1::int + 1")
        assert run(two, [1]) == [["2"]]
        before = name_of(weir, "$1::int + 1")
        one.query(f"DROP TABLE IF EXISTS {names}")
        assert run(two, [1]) == [["2"]]
        assert (name_of(weir, "$1::int + 1") == before) == is_nothing
        one.query("DROP TABLE IF EXISTS dropped")


def test_what_was_prepared_in_ddl_that_is_rolled_back(weir, table):
    """The column is int again; what the server prepared within would take text."""
    weir.start(pool_size=1)
    sql = f"INSERT INTO {table} VALUES ($1, 'x') RETURNING id"
    with weir.raw() as wire:
        wire.query("BEGIN", f"ALTER TABLE {table} ALTER id TYPE text")
        assert told_types(wire.ask(parse("a", sql) + describe("S", "a") + sync())) == [25]
        wire.query("ROLLBACK")
        assert ask_types(wire, sql, "b") == [23]
        assert run(wire, ["7"], "b") == [["7"]]


def test_a_table_altered_and_altered_back_in_a_transaction(weir, table):
    with weir.start(pool_size=1).raw() as wire:
        wire.query(f"INSERT INTO {table} VALUES (1, 'x')")
        assert shape(wire.ask(parse("s", f"SELECT * FROM {table}") + describe("S", "s") + sync())) == "1 t T Z:I"
        wire.query("BEGIN", f"ALTER TABLE {table} ADD w int")
        assert shape(wire.ask(bind("", "s") + RUN)) == "E:0A000 Z:E"
        wire.query("ROLLBACK")
        assert run(wire) == [["1", "x"]]


# --- who asks ---


def test_a_function_that_the_role_may_not_run(weir, postgres):
    weir.start(pool_size=1)
    postgres.query("DROP ROLE IF EXISTS lim; CREATE ROLE lim; GRANT lim TO web")
    postgres.query("CREATE FUNCTION priv() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'secret' $$")
    postgres.query("REVOKE ALL ON FUNCTION priv() FROM PUBLIC; GRANT EXECUTE ON FUNCTION priv() TO web")
    try:
        for begin in (("SET ROLE lim",), ("BEGIN", "SET LOCAL ROLE lim"),
                      ("BEGIN", "SELECT set_config('role', 'lim', true), set_config('work_mem', '5MB', true)")):
            with weir.raw() as owner, weir.raw() as lim:
                prepare(owner, "SELECT priv()")
                for _ in range(3):
                    assert run(owner) == [["secret"]]
                for sql in begin:
                    lim.query(sql)
                assert "42501" in shape(lim.ask(parse("s", "SELECT priv()") + bind("", "s") + RUN)), begin
                lim.query("ROLLBACK", "RESET ROLE")
        with weir.raw() as lim:       # prepared by the owner, run by another: on a server that never saw it
            prepare(lim, "SELECT priv(), 2")
            lim.query("SET ROLE lim")
            assert errors(lim.ask(bind("", "s") + RUN))[0].sqlstate == "42501"
            lim.query("RESET ROLE")
            assert run(lim) == [["secret", "2"]]
    finally:
        postgres.query("DROP FUNCTION priv(); REVOKE lim FROM web; DROP ROLE lim")


@pytest.mark.weir_only
def test_what_one_runs_with_more_rights_is_not_planned_for_all(weir, postgres):
    """Two who are the same user: one acts as a role with more rights when the server meets the text first."""
    weir.start(pool_size=1)
    postgres.query("DROP ROLE IF EXISTS strong; CREATE ROLE strong; GRANT strong TO web; ALTER ROLE web NOINHERIT")
    postgres.query("CREATE FUNCTION priv2() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'secret' $$")
    postgres.query("REVOKE ALL ON FUNCTION priv2() FROM PUBLIC; GRANT EXECUTE ON FUNCTION priv2() TO strong")
    try:
        with weir.raw() as one, weir.raw() as two:
            one.query("SET ROLE strong")
            prepare(one, "SELECT priv2()")
            assert run(one) == [["secret"]]
            one.query("BEGIN", "SET LOCAL ROLE none", "ROLLBACK")
            assert "42501" in shape(two.ask(parse("s", "SELECT priv2()") + bind("", "s") + RUN))
            two.query("BEGIN", "SET LOCAL ROLE strong")
            assert shape(two.ask(parse("t", "SELECT priv2(), 1") + bind("", "t") + RUN)).startswith("1 2 D")
            two.query("COMMIT")
        with weir.raw() as two:
            assert "42501" in shape(two.ask(parse("t", "SELECT priv2(), 1") + bind("", "t") + RUN))
    finally:
        postgres.query("DROP FUNCTION priv2(); REVOKE strong FROM web; DROP ROLE strong; ALTER ROLE web INHERIT")


# --- names ---


@pytest.mark.parametrize("sql", ["SET LOCAL transform_null_equals = on; SELECT '{}'",
                                 "SELECT '{}'; SET LOCAL transform_null_equals TO on"])
def test_what_is_parsed_behind_a_set_local_that_came_in_pieces_is_not_for_others(weir, own_postgres, sql):
    """SQL that is longer than what pgweir keeps of a message is read as it passes. In a database without code for which
    plans are discarded: PostgreSQL would read the statement again."""
    weir.postgres = own_postgres
    count = "SELECT count(*) FROM (SELECT NULL::int AS a) t WHERE a = NULL"
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        one.query("BEGIN", sql.format("x" * 300_000))
        one.ask(parse("s", count) + sync())
        assert run(one) == [["1"]]
        one.query("COMMIT")
        prepare(two, count)
        assert run(two) == [["0"]]
        assert run(one) == [["1"]]


@pytest.mark.weir_only
def test_names_on_servers_are_not_to_be_guessed(weir):
    names = set()
    for _ in range(2):
        with weir.start(pool_size=1).raw() as wire:
            prepare(wire, "SELECT 1")
            assert run(wire) == [["1"]]
            names.add(wire.value(f"SELECT name FROM {SEEN}"))
        weir.stop()
    assert len(names) == 2 and all(name.startswith("pgweir_") and len(name) > 24 for name in names)


GONE = {
    "DO": "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
    "several": "SELECT 1; DEALLOCATE ALL",
    "one": "DO $$ DECLARE n text; BEGIN FOR n IN SELECT name FROM hidden.prepared LOOP "
           "EXECUTE 'DEALLOCATE ' || quote_ident(n); END LOOP; END $$",
}


@pytest.mark.weir_only
@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("tail", ["blind", "described", "statement"])
def test_what_is_gone_from_a_server_is_prepared_and_run_again(weir, how, tail):
    with weir.start(pool_size=1).raw() as one, weir.raw() as two:
        replies = one.ask(parse("s", "SELECT $1::int + 1") + describe("S", "s") + sync())
        assert shape(replies) == "1 t T Z:I"
        assert run(one, [1]) == [["2"]]
        two.query(GONE[how])
        if tail == "statement":
            assert shape(one.ask(describe("S", "s") + sync())) == "t T Z:I"
        elif tail == "described":
            assert shape(one.ask(bind("", "s", [1]) + describe("P") + RUN)) == "2 T D C:SELECT 1 Z:I"
        assert run(one, [1]) == [["2"]]


@pytest.mark.weir_only
@pytest.mark.parametrize("is_kept", [True, False])
def test_nobody_runs_what_another_prepared_under_a_name_of_pgweirs(weir, is_kept):
    """Names can't be guessed, but who looks by dynamic SQL sees them."""
    weir.start(pool_size=1 + is_kept)       # who is still there is pinned
    with weir.raw() as victim:
        prepare(victim, "SELECT 'own'")
        assert run(victim) == [["own"]]
        evil = weir.raw()
        evil.query("DO $$ DECLARE n text; BEGIN FOR n IN SELECT name FROM hidden.prepared LOOP "
                   "EXECUTE 'DEALLOCATE ' || quote_ident(n); "
                   "EXECUTE 'PREPARE ' || quote_ident(n) || ' AS SELECT 666'; END LOOP; END $$")
        if not is_kept:
            evil.close()
        assert run(victim) == [["own"]]


@pytest.mark.weir_only
def test_what_is_gone_is_an_error_within_a_transaction_only_once(weir):
    with weir.start(pool_size=1).raw() as wire:
        prepare(wire, "SELECT 1")
        assert run(wire) == [["1"]]
        wire.query("BEGIN", GONE["DO"])
        error, = errors(wire.ask(bind("", "s") + RUN))
        assert error.sqlstate == "26000" and '"s"' in error.error["M"]
        wire.query("ROLLBACK")
        assert run(wire) == [["1"]]


# --- what a Parse of now says ---


@pytest.mark.weir_only
def test_a_first_describe_comes_from_a_parse_of_now(weir, postgres, table):
    """The column's type changes where pgweir does not see it."""
    weir.start(pool_size=1)
    sql = f"INSERT INTO {table} VALUES ($1, 'x') RETURNING id"
    with weir.raw() as one, weir.raw() as two, weir.raw() as three:
        assert ask_types(one, sql) == [23]
        assert run(one, ["1"]) == [["1"]]
        postgres.query(f"ALTER TABLE {table} ALTER id TYPE text")
        assert ask_types(two, sql) == [25]
        assert run(two, ["two"]) == [["two"]]
        replies = three.ask(parse("s", sql) + describe("S", "s") + bind("", "s", ["three"]) + RUN)
        assert told_types(replies) == [25] and texts(replies) == [["three"]]
        assert run(two, ["four"]) == [["four"]]


@pytest.mark.weir_only
def test_a_first_describe_does_not_cost_the_servers_statements(weir):
    """What stands in for it there is no sign that one of them is gone."""
    with weir.start(pool_size=1, session_state="isolate").raw() as one, weir.raw() as two:
        prepare(one, "SELECT 'kept'", "kept")
        ask_types(one, "SELECT $1 + 1")
        before = sorted(one.query(f"SELECT name FROM {SEEN}"))
        assert ask_types(two, "SELECT $1 + 1") == [23]
        assert sorted(row for row in two.query(f"SELECT name FROM {SEEN}") if "taken" not in row[0]) == before


def test_a_table_made_in_what_is_rolled_back_and_made_otherwise(weir, postgres):
    weir.start(pool_size=1)
    postgres.query("DROP TABLE IF EXISTS undone")
    sql = "INSERT INTO undone VALUES ($1) RETURNING a"
    with weir.raw() as one, weir.raw() as two:
        one.query("BEGIN", "CREATE TABLE undone (a int)")
        assert told_types(one.ask(parse("s", sql) + describe("S", "s") + sync())) == [23]
        assert shape(one.ask(bind("", "s", ["1"]) + RUN)) == "2 D C:INSERT 0 1 Z:T"
        one.query("ROLLBACK")
        two.query("DO $$ BEGIN EXECUTE 'CREATE TABLE undone (a text)'; END $$")
        try:
            assert ask_types(two, sql) == [25]
            assert run(two, ["x"]) == [["x"]]
            assert ask_types(one, sql, "t") == [25]
            assert run(one, ["x"], "t") == [["x"]]
        finally:
            postgres.query("DROP TABLE undone")


# --- result formats ---


def test_a_bind_with_formats_of_several_columns_knows_its_rows(weir, postgres, table):
    """pgx: directly and through pgweir it gets 0A000, forgets the statement, and prepares anew."""
    with weir.start(pool_size=1).raw() as wire:
        wire.query(f"INSERT INTO {table} VALUES (1, 'x')")
        request = bind("", "s", result_formats=[0, 0]) + describe("P") + RUN
        assert shape(wire.ask(parse("s", f"SELECT * FROM {table}") + describe("S", "s") + sync())) == "1 t T Z:I"
        assert shape(wire.ask(request)) == "2 T D C:SELECT 1 Z:I"
        for change, how in (("ADD w int", postgres), ("ADD u int", wire)):
            how.query(f"ALTER TABLE {table} {change}")
            for _ in range(2):
                assert shape(wire.ask(request)) == "E:0A000 Z:I"


# --- memory ---


@pytest.mark.weir_only
def test_unnamed_statements_leave_room_for_named_ones(weir):
    weir.start(pool_size=4, prepared_statements_memory="1MiB")
    pad = "x" * 100_000
    with weir.raw() as named:
        crowd = [weir.raw() for _ in range(40)]
        for number, wire in enumerate(crowd):
            replies = wire.ask(parse("", f"SELECT length('{pad}{number:03}')") + bind() + RUN)
            assert texts(replies) == [["100003"]]
        for number in range(20):
            prepare(named, f"SELECT {number}", f"s{number}")
            assert run(named, (), f"s{number}") == [[str(number)]]


@pytest.mark.weir_only
@pytest.mark.parametrize("user, is_seen", [("web", True), ("reporting", False)])
def test_who_may_see_and_execute_the_statements_of_another(weir, user, is_seen):
    """docs/sessions.md, Known limits: clients of the same user and database; the values of parameters nobody sees."""
    with weir.start(pool_size=1, max_overflow=0).raw() as one, weir.raw(user) as other:
        prepare(one, "SELECT 'of one', $1::text")
        assert run(one, ["a value"]) == [["of one", "a value"]]
        name = name_of(weir, "of one")
        seen = [[name, "SELECT 'of one', $1::text"]] if is_seen else []
        assert other.query("SELECT name, statement FROM pg_prepared_statements WHERE statement LIKE '%of one%' AND name LIKE 'pgweir%'") == seen
        replies = other.ask(query(f"EXECUTE \"{name}\" ('mine')"))
        assert texts(replies) == [["of one", "mine"]] if is_seen else errors(replies)[0].sqlstate == "26000"
        assert errors(other.ask(query("EXECUTE s ('mine')")))[0].sqlstate == "26000"
        assert run(one, ["a value"]) == [["of one", "a value"]]


def test_deallocate_of_names_with_quotes(weir):
    with weir.start(pool_size=1).raw() as wire:
        for name in ('a"b', 'pgweir_"; SELECT 1 --', "pgweir_?", "pgweir_taken"):
            quoted = '"' + name.replace('"', '""') + '"'
            prepare(wire, "SELECT 1", name)
            assert shape(wire.ask(query(f"DEALLOCATE {quoted}"))) == "C:DEALLOCATE Z:I"
            error, = errors(wire.ask(query(f"DEALLOCATE {quoted}")))
            assert error.sqlstate == "26000" and f'"{name}"' in error.error["M"]


@pytest.mark.parametrize("temporary", ["CREATE TEMP TABLE {t} (v text)", "SELECT 'hidden' AS v INTO TEMP {t}",
                                       "CREATE TEMP VIEW {t} AS SELECT 'hidden' AS v"])
def test_a_statement_prepared_before_a_temporary_table_of_that_name(weir, table, temporary):
    weir.start(pool_size=1)
    with weir.raw() as first:     # PostgreSQL itself notices only the session's first temporary table
        first.query("CREATE TEMP TABLE other_one (a int)", "DROP TABLE other_one")
    with weir.raw() as wire:
        wire.query(f"INSERT INTO {table} VALUES (1, 'seen')")
        prepare(wire, f"SELECT v FROM {table}")
        assert run(wire) == [["seen"]]
        wire.query(temporary.format(t=table), "SELECT 1")
        if "(v text)" in temporary:
            wire.query(f"INSERT INTO {table} VALUES ('hidden')")
        assert run(wire) == [["hidden"]]
        wire.query(f"DROP VIEW {table}" if "VIEW" in temporary else f"DROP TABLE {table}")
        assert run(wire) == [["seen"]]


SCHEMAS = """DROP SCHEMA IF EXISTS shared_a, shared_b CASCADE; CREATE SCHEMA shared_a; CREATE SCHEMA shared_b;
    CREATE TABLE shared_a.t (k int, v text); CREATE TABLE shared_b.t (k text, v int, w text);
    INSERT INTO shared_a.t VALUES (1, 'A'); INSERT INTO shared_b.t VALUES ('1', 2, 'B');
    GRANT ALL ON SCHEMA shared_a, shared_b TO PUBLIC; GRANT ALL ON shared_a.t, shared_b.t TO PUBLIC"""


@pytest.mark.parametrize("sql", ["SELECT * FROM t", "SELECT v FROM t WHERE k = $1", "INSERT INTO t VALUES (1) RETURNING *"])
@pytest.mark.parametrize("is_block", [False, True])
@pytest.mark.parametrize("is_startup", [False, True])
def test_tables_of_one_name_in_two_schemas(weir, postgres, sql, is_block, is_startup):
    """Neither client is refused because of the other's: "cached plan must not change result type"."""
    postgres.query(SCHEMAS)
    weir.start(pool_size=1, max_overflow=0)
    wires = [weir.raw(parameters={"search_path": path} if is_startup else {}) for path in ("shared_a", "shared_b")]
    values = (1,) if "$1" in sql else ()
    for wire, path in zip(wires, ("shared_a", "shared_b")):
        if not is_startup:
            wire.query(f"SET search_path = {path}")
        wire.ask(parse("s", sql) + describe("S", "s") + sync())
    for _ in range(2):
        for wire in wires:
            if is_block:
                wire.query("BEGIN")
            assert not errors(wire.ask(bind("", "s", values) + RUN))
            if is_block:
                wire.query("ROLLBACK")


def test_clients_of_one_schema_share(weir, postgres):
    postgres.query(SCHEMAS)
    weir.start(pool_size=1)
    wires = [weir.raw(parameters={"search_path": "shared_a"}) for _ in range(2)]
    for wire in wires:
        prepare(wire, "SELECT v FROM t")
        assert run(wire) == [["A"]]
    assert [row["held"] for row in weir.console("SHOW PREPARED") if row["query"] == "SELECT v FROM t"] == [2]


@pytest.mark.weir_only
def test_tenants_by_set_local_share_with_their_own(weir, postgres):
    """Tenants are migrated one after the other: tables differ by a column. What ROLLBACK TO has undone is nobody's tenant."""
    postgres.query(SCHEMAS)
    weir.start(pool_size=1, max_overflow=0)
    with weir.raw() as first, weir.raw() as one, weir.raw() as two, weir.raw() as three:
        undone = ("SAVEPOINT s", "SET LOCAL search_path = shared_b", "ROLLBACK TO s")
        for wire, path, more in ((first, "shared_a", undone), (one, "shared_a", ()), (two, "shared_b", ()), (three, "shared_a", ())):
            for is_new in (True, False):
                for sql in ("BEGIN", f"SET LOCAL search_path = {path}", *more):
                    wire.query(sql)
                if is_new:
                    assert not errors(wire.ask(parse("s", "SELECT * FROM t") + describe("S", "s") + sync()))
                assert run(wire) == [["1", "A"] if path == "shared_a" else ["1", "2", "B"]]
                wire.query("COMMIT")
        assert sorted(row["held"] for row in weir.console("SHOW PREPARED") if row["query"] == "SELECT * FROM t") == [1, 2]


def column_names(replies):
    """Of the (only) RowDescription with one column."""
    body, = [reply.body for reply in replies if reply.type == "T"]
    return body[2:].split(b"\0")[0]


def test_a_name_is_what_its_clients_encoding_makes_of_it(weir):
    """The same bytes, without a literal: one character in UTF8, two in LATIN1."""
    weir.start(pool_size=1)
    sql, name = 'SELECT 1 AS "é"'.encode(), "é".encode()
    with weir.raw() as utf8, weir.raw(parameters={"client_encoding": "LATIN1"}) as latin:
        for wire in (utf8, latin, utf8):
            replies = wire.ask(close("S", "s") + parse("s", sql) + describe("S", "s") + sync())
            assert errors(replies) == [] and column_names(replies) == name
