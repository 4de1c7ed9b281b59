"""keep_plans = on: what clients prepare unnamed again and again is prepared once on each server, and nobody notices.

Each promise is one about an unnamed statement: it is the client's own, analysed anew at each Parse, and its errors name
no statement. What is compared is PostgreSQL's own answer to the same bytes.
"""

import os
import signal

import pytest

import rawwire
from compare import converse, normalized
from rawwire import BEGIN_NOW, Wire, bind, close, describe, errors, execute, flush, parse, query, shape, sync, texts
from skewed import read_kinds, skewed_table
from waiting import each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

SQL = "SELECT greatest($1::int4, 0) AS most"
RUN = bind("", "", [1]) + describe("P") + execute()


def start(weir, sections=None, **settings):
    return weir.start(sections, **{"keep_plans": "on", "pool_size": 1, **settings})


def request(sql, parameters=(), types=()):
    return parse("", sql, types) + bind("", "", parameters) + describe("P") + execute() + sync()


def ask(wire, sql, parameters=(), types=()):
    return wire.ask(request(sql, parameters, types))


def rows(wire, sql, parameters=(), types=()):
    return texts(ask(wire, sql, parameters, types))


def prepared(wire, sql):
    found = wire.query(f"SELECT count(*) FROM {rawwire.SEEN} WHERE statement = $kept${sql}$kept$")
    return int(found[0][0])


def uses(wire):
    """How often all that has a name ran on the server that it gets."""
    return int(wire.query(f"SELECT coalesce(sum(generic_plans + custom_plans), 0) FROM {rawwire.SEEN}")[0][0])


def keep(wire, sql, parameters=(), types=()):
    """Runs it until it has a name on the server: at first pgweir does not know the database's code."""
    def has_name():
        rows(wire, sql, parameters, types)
        return prepared(wire, sql)

    return wait_until(has_name, what="a name for it")


def test_the_third_time_it_is_prepared_no_more(weir):
    with start(weir).raw() as one, weir.raw() as two:
        keep(one, "SELECT 'the code was read'")
        before = uses(two)
        assert rows(one, SQL, [1]) == [["1"]]
        assert prepared(two, SQL) == 0
        for wire in (two, one, two, one):
            replies = ask(wire, SQL, [2])
            assert shape(replies) == "1 2 T D C:SELECT 1 Z:I" and texts(replies) == [["2"]]
        assert prepared(two, SQL) == 1
        assert uses(two) - before == 4


def test_it_shows_in_the_slow_query_log_and_in_show_queries(weir):
    with start(weir, threshold="0ms").raw() as wire:
        keep(wire, "SELECT 'the code was read'")
        weir.console("RESET QUERIES")
        for _ in range(5):
            assert rows(wire, SQL, [1]) == [["1"]]
        logged = wait_until(lambda: found if len(found := [line for line in weir.slow_lines() if "AS most" in line["query"]]) == 5
                            else None, what="five lines")
        found = next(row for row in weir.console("SHOW QUERIES") if "AS most" in row["query"])
        assert (found["calls"], found["plans_kept"]) == (5, 4)
        assert [line["plan"] for line in logged] == [None] + ["kept"] * 4


def plans_of(weir):
    """What EXPLAIN POOL says of plans."""
    return [row["explanation"] for row in weir.console("EXPLAIN POOL app") if row["explanation"].startswith("Plans: ")]


def test_explain_pool_says_what_is_planned_anew(weir):
    with weir.start(pool_size=1, keep_plans="off").raw() as wire:
        for _ in range(999):
            rows(wire, SQL, [1])
        assert plans_of(weir) == []
        rows(wire, SQL, [1])
        said = wait_until(lambda: plans_of(weir))[0]
        assert said.startswith("Plans: 100 % of all requests since the start had an unnamed statement") and "keep_plans = on" in said
        weir.reload(keep_plans="on")
        keep(wire, SQL, [1])
        rows(wire, SQL, [1])
        assert "thanks to keep_plans" in wait_until(lambda: plans_of(weir))[0]


def test_what_comes_once_is_left_alone(weir):
    with start(weir).raw() as wire:
        for number in range(50):
            assert rows(wire, f"SELECT {number}") == [[str(number)]]
        assert wire.query(f"SELECT count(*) FROM {rawwire.SEEN}") == [["0"]]


def test_off_is_as_before(weir):
    with weir.start(pool_size=1, keep_plans="off").raw() as wire:
        for _ in range(5):
            assert rows(wire, SQL, [1]) == [["1"]]
        assert prepared(wire, SQL) == 0


@pytest.mark.parametrize("state", ["isolate", "allow"])
def test_where_sessions_are_not_followed(weir, state):
    with start(weir, session_state=state).raw() as wire:
        for _ in range(12):
            assert rows(wire, SQL, [1]) == [["1"]]
        assert prepared(wire, SQL) == 0


WARM = request(SQL, [1]) * 4
FAILS = parse("", "SELECT 1/$1::int4", ()) + bind("", "", [0]) + execute()
# what it shows: turns behind WARM (see compare.converse)
CONVERSATIONS = {
    "bound at once": [request(SQL, [7])],
    "bound a Sync later": [parse("", SQL) + sync(), RUN + sync(), RUN + sync()],
    "described": [parse("", SQL) + describe("S") + sync(), RUN + sync(), describe("S") + sync()],
    "declared types": [(request(SQL, [1], [23]) * 3, 3), parse("", SQL, [23]) + describe("S") + RUN + sync()],
    "a Parse with a Flush": [(parse("", SQL) + flush(), "1"), RUN + sync()],
    "a Parse and nothing": [(parse("", SQL), 0), RUN + sync()],
    "too many parameters": [parse("", SQL) + bind("", "", [1, 2]) + execute() + sync(), RUN + sync()],
    "a parameter that is no number": [parse("", SQL) + bind("", "", ["x"]) + execute() + sync(), RUN + sync()],
    "the next one of a pipeline fails": [parse("", SQL) + RUN + FAILS + parse("", SQL) + RUN + sync(), RUN + sync()],
    "the one before fails": [FAILS + parse("", SQL) + RUN + sync(), RUN + sync()],
    "a Parse that fails": [parse("", SQL) + RUN + parse("", "SELEC") + RUN + sync(), RUN + sync()],
    "many in a pipeline": [(request(SQL, [3]) * 20, 20)],
    "many in one Sync": [(parse("", SQL) + RUN) * 20 + sync()],
    "others in between": [(request(SQL, [3]) + request("SELECT 'x'") + query("SELECT 2") + request(SQL, [4]), 4)],
    "closed": [parse("", SQL) + close("S", "") + sync(), RUN + sync()],
    "closed in one Sync": [parse("", SQL) + close("S", "") + RUN + sync()],
    "dropped by a Query": [parse("", SQL) + sync(), query("SELECT 3"), RUN + sync()],
    "replaced": [parse("", SQL) + sync(), parse("", "SELECT 'other'") + sync(), bind() + execute() + sync()],
    "two portals": [parse("", SQL) + bind("a", "", [1]) + bind("b", "", [2]) + execute("b") + execute("a") + sync()],
    "row by row": [parse("", "SELECT g FROM generate_series(1, $1::int4) g") + bind("", "", [3]) + execute("", 2) + execute("", 2) + sync()],
    "in a block": [query("BEGIN"), request(SQL, [1]), request(SQL, [2]), query("COMMIT")],
    "in a block that failed": [query("BEGIN"), query("SELECT 1/0"), request(SQL, [1]), RUN + sync(), query("ROLLBACK"), RUN + sync()],
    "a block fails on its way": [(query("BEGIN") + FAILS + sync() + request(SQL, [1]) + query("ROLLBACK"), 4), request(SQL, [5])],
    "behind a savepoint": [query("BEGIN"), query("SAVEPOINT a"), FAILS + sync(), query("ROLLBACK TO a"), request(SQL, [1]), query("COMMIT")],
    "a result in binary": [parse("", SQL) + bind("", "", [1], (), [1]) + describe("P") + execute() + sync()],
    "no rows": [(request("SELECT 1 WHERE $1::int4 = 2", [1]) * 3, 3)],
    "a write": [query("TRUNCATE told"), *[request("INSERT INTO told VALUES ($1) RETURNING n", [n]) for n in range(4)]],
}
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_answers_are_postgresqls(weir, tables, name):  # pylint: disable=unused-argument
    start(weir)
    with weir.raw() as wire:
        keep(wire, SQL, [1])
    turns = [(WARM, 4), *CONVERSATIONS[name]]
    with Wire((weir.postgres.host, weir.postgres.port)).login("web", "app") as wire:
        direct = normalized(converse(wire, turns))
    with weir.raw() as wire, weir.raw() as other:
        before = uses(other)
        assert normalized(converse(wire, turns)) == direct
        assert uses(other) > before


def test_errors_name_no_statement(weir):
    with start(weir).raw() as wire:
        keep(wire, SQL, [1])
        error, = errors(wire.ask(parse("", SQL) + bind("", "", [1, 2]) + execute() + sync()))
        assert error.error["M"] == 'bind message supplies 2 parameters, but prepared statement "" requires 1'


# --- whose, and under which settings ---


def test_another_server_and_another_client_come_in_between(weir):
    with start(weir, pool_size=2, pool_lifo=False).raw() as one, weir.raw() as two:
        keep(one, SQL, [1])
        one.ask(parse("", SQL) + sync())
        for number in range(6):
            two.query(BEGIN_NOW)
            two.ask(request("SELECT 'two'"))
            assert texts(one.ask(bind("", "", [number]) + execute() + sync())) == [[str(number)]]
            two.query("COMMIT")
            two.ask(request("SELECT 'two'"))


DAY = "SELECT to_char('01/02/2020'::date, 'YYYYMMDD') || to_char('2020-01-01 00:00'::timestamptz AT TIME ZONE 'UTC', 'HH24') || $1"
SETTINGS = {
    "DateStyle": ("SET DateStyle = 'ISO, DMY'", DAY),
    "TimeZone": ("SET TimeZone = 'Asia/Tokyo'", DAY),
    "search_path": ("SET search_path = other, public", "SELECT n || $1 FROM told"),
    "role": ("SET ROLE reader", "SELECT current_user || $1"),
    "a setting of row security": ("SET app.tenant = '2'", "SELECT string_agg(n, ',' ORDER BY n) || $1 FROM guarded"),
    "a setting of an application": ("SET app.tenant = '2'", "SELECT coalesce(current_setting('app.tenant', true), '') || $1"),
    "a setting of views": ("SET restrict_nonsystem_relation_kind = 'view'", "SELECT n FROM other.seen_through WHERE n <> $1"),
}


@pytest.fixture(name="tables")
def tables_fixture(postgres):
    postgres.query("""
        DROP SCHEMA IF EXISTS other, in_front CASCADE; DROP TABLE IF EXISTS told, guarded; DROP ROLE IF EXISTS reader;
        CREATE SEQUENCE IF NOT EXISTS any_sequence;
        CREATE SCHEMA other; CREATE TABLE other.told (n text); CREATE TABLE public.told (n text); CREATE TABLE guarded (n text, tenant int);
        INSERT INTO other.told VALUES ('other'); INSERT INTO public.told VALUES ('public');
        INSERT INTO guarded VALUES ('of one', 1), ('of two', 2);
        CREATE VIEW other.seen_through AS SELECT 'x'::text AS n; GRANT SELECT ON other.seen_through TO PUBLIC;
        ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON guarded USING (tenant = coalesce(nullif(current_setting('app.tenant', true), ''), '1')::int);
        CREATE ROLE reader; GRANT reader TO web; GRANT CREATE, USAGE ON SCHEMA other, public TO PUBLIC;
        GRANT ALL ON other.told, public.told, guarded TO PUBLIC; ALTER TABLE public.told OWNER TO web; ALTER TABLE other.told OWNER TO web;""")
    yield
    postgres.query("""DROP SCHEMA other CASCADE; DROP TABLE told, guarded; DROP FUNCTION IF EXISTS dropper(); REVOKE reader FROM web;
        DROP ROLE reader""")


@pytest.mark.parametrize("name", SETTINGS)
def test_two_clients_that_differ_on_one_server(weir, tables, name):  # pylint: disable=unused-argument
    setting, sql = SETTINGS[name]
    expected = []
    for first in ("SELECT 1", setting):
        with Wire((weir.postgres.host, weir.postgres.port)).login("web", "app") as wire:
            wire.query(first)
            expected.append(rows(wire, sql, ["!"]))
    assert expected[0] != expected[1]
    with start(weir).raw() as one, weir.raw() as two:
        two.query(setting)
        keep(one, SQL, [1])
        before = uses(weir.raw())
        for _ in range(8):
            assert rows(one, sql, ["!"]) == expected[0]
            assert rows(two, sql, ["!"]) == expected[1]
        assert uses(weir.raw()) > before


def test_a_setting_of_a_transaction(weir, tables):  # pylint: disable=unused-argument
    with start(weir).raw() as one, weir.raw() as two:
        keep(one, DAY, ["!"])
        expected = rows(one, DAY, ["!"])
        for _ in range(4):
            two.query("BEGIN")
            two.query("SET LOCAL TimeZone = 'Asia/Tokyo'")
            assert rows(two, DAY, ["!"]) != expected
            two.query("COMMIT")
            assert rows(two, DAY, ["!"]) == expected == rows(one, DAY, ["!"])


NOTICED = f"SELECT $1::text AS {'n' * 70}"       # PostgreSQL tells each Parse that the name is truncated


@pytest.mark.parametrize("first", ["notice", "error"])
def test_each_parse_has_its_notice(weir, first):
    """Also if the clients that came first wanted no notices."""
    with start(weir).raw() as one, weir.raw() as two:
        keep(one, SQL, [1])
        two.query(f"SET client_min_messages = {first}")
        for _ in range(4):
            ask(two, NOTICED, ["!"])
        for _ in range(20):     # of a name that is there already, one use in eight shows the notice
            ask(one, NOTICED, ["!"])
        assert ["".join(reply.type for reply in ask(one, NOTICED, ["!"])) for _ in range(4)] == ["N12TDCZ"] * 4


@pytest.mark.parametrize("now", [r"E'\x6eow'", r"E'n\157w'", r"E'n\ow'", r"U&'\006eow'", "U&'!006eow' UESCAPE '!'", "'no'\n'w'"])
def test_now_in_other_words(weir, now):
    """It means the time of each Parse."""
    with start(weir).raw() as one:
        keep(one, SQL, [1])
        found = [rows(one, f"SELECT timestamptz {now}, $1::text", ["!"])[0][0] for _ in range(8)]
        assert len(set(found)) == 8


def test_strings_with_other_escapes_have_a_name(weir):
    with start(weir).raw() as one:
        keep(one, r"SELECT E'\'it\'s\n', '\d', 'of one line', $1::text", ["!"])


# --- analysed now ---

TOLD = "SELECT n || $1 FROM told"
CHANGES = {
    "an empty table in front": ("CREATE TABLE in_front.told (n text)", []),
    "a table in front": ("CREATE TABLE in_front.told AS SELECT 'in front' AS n", [["in front!"]]),
    "a view in front": ("CREATE VIEW in_front.told AS SELECT 'in front'::text AS n", [["in front!"]]),
    "a column of another type": ("ALTER TABLE public.told ALTER n TYPE varchar(20)", [["public!"]]),
    "another table of that name": ("DROP TABLE public.told; CREATE TABLE public.told AS SELECT 'new' AS n", [["new!"]]),
}


@pytest.mark.parametrize("in_block", [False, True], ids=["alone", "in a block"])
@pytest.mark.parametrize("name", CHANGES)
def test_ddl_through_pgweir_is_seen_at_once(weir, tables, postgres, name, in_block):  # pylint: disable=unused-argument
    sql, expected = CHANGES[name]
    postgres.query("DROP SCHEMA IF EXISTS in_front CASCADE; CREATE SCHEMA in_front; GRANT ALL ON SCHEMA in_front TO PUBLIC")
    path = "SET search_path = in_front, public"
    with start(weir, pool_size=2, pool_lifo=False).raw() as one, weir.raw() as two:
        each((one, two)).query(path)
        keep(one, TOLD, ["!"])
        if in_block:
            two.query("BEGIN")
            two.query(sql)
            assert rows(two, TOLD, ["!"]) == expected
            two.query("COMMIT")
        else:
            two.query(sql)
        for _ in range(6):
            assert rows(one, TOLD, ["!"]) == expected
            assert rows(two, TOLD, ["!"]) == expected
    postgres.query("DROP SCHEMA in_front CASCADE")


@pytest.mark.parametrize("name", CHANGES)
def test_ddl_of_another_program_is_seen_soon(weir, tables, postgres, name):  # pylint: disable=unused-argument
    sql, expected = CHANGES[name]
    postgres.query("DROP SCHEMA IF EXISTS in_front CASCADE; CREATE SCHEMA in_front; GRANT ALL ON SCHEMA in_front TO PUBLIC")
    with start(weir).raw() as one:
        one.query("SET search_path = in_front, public")
        keep(one, TOLD, ["!"])
        postgres.query(f"{sql}; GRANT ALL ON ALL TABLES IN SCHEMA in_front, public TO PUBLIC")
        wait_until(lambda: rows(one, TOLD, ["!"]) == expected, what="the new answer")
        before, found = uses(weir.raw()), []

        def runs_by_name():
            found.append(rows(one, TOLD, ["!"]))
            return uses(weir.raw()) > before

        wait_until(runs_by_name, what="a use of it under its name")
        assert found == [expected] * len(found)
    postgres.query("DROP SCHEMA in_front CASCADE")


@pytest.mark.parametrize("to, value", [("text", "x"), ("int8", "5000000000"), ("numeric", "1.5")])
def test_a_column_has_another_type_behind_pgweirs_back(weir, tables, postgres, to, value):  # pylint: disable=unused-argument
    """Of a parameter whose type was left open PostgreSQL keeps the type in a statement with a name: its error is not shown."""
    postgres.query("CREATE TABLE other.typed (n int); INSERT INTO other.typed VALUES (1); GRANT ALL ON other.typed TO PUBLIC")
    sql = "SELECT n FROM other.typed WHERE n = $1"
    with start(weir).raw() as one:
        keep(one, sql, [1])
        postgres.query(f"ALTER TABLE other.typed ALTER n TYPE {to}; INSERT INTO other.typed VALUES ('{value}')")
        for _ in range(4):
            assert rows(one, sql, [value]) == [[value]]


def test_a_value_is_stored_as_it_is_behind_pgweirs_back(weir, tables, postgres):  # pylint: disable=unused-argument
    """What a parameter is for is seen anew, although the old type takes the value, too."""
    postgres.query("CREATE TABLE other.typed (n int); INSERT INTO other.typed VALUES (1); GRANT ALL ON other.typed TO PUBLIC")
    sql = "UPDATE other.typed SET n = $1 RETURNING 1"
    with start(weir).raw() as one:
        keep(one, sql, [1])
        postgres.query("ALTER TABLE other.typed ALTER n TYPE text")

        def is_stored():
            rows(one, sql, ["007"])
            return postgres.query("SELECT n FROM other.typed") == [("007",)]

        def is_stored_by_name():
            before = uses(one)
            return all([is_stored() for _ in range(10)]) and uses(one) > before

        wait_until(is_stored_by_name, 10, what="the value to be stored as it is")


def one_of(sql, parameters=()):
    return parse("", sql) + bind("", "", parameters) + execute()


@pytest.mark.parametrize("make", ["CREATE TABLE in_front.told AS SELECT 'in front' AS n",
                                  "CREATE VIEW in_front.told AS SELECT 'in front'::text AS n",
                                  "ALTER TABLE in_front.hidden_told RENAME TO told"])
def test_ddl_in_the_same_sync_is_seen(weir, tables, postgres, make):  # pylint: disable=unused-argument
    postgres.query("""CREATE SCHEMA in_front; GRANT ALL ON SCHEMA in_front TO PUBLIC;
        CREATE TABLE in_front.hidden_told AS SELECT 'in front' AS n; ALTER TABLE in_front.hidden_told OWNER TO web""")
    with start(weir).raw() as one:
        one.query("SET search_path = in_front, public")
        keep(one, TOLD, ["!"])
        assert rows(one, TOLD, ["!"]) == [["public!"]]
        assert texts(one.ask(one_of(make) + one_of(TOLD, ["!"]) + sync())) == [["in front!"]]
        assert rows(one, TOLD, ["!"]) == [["in front!"]]
    postgres.query("DROP SCHEMA in_front CASCADE")


@pytest.mark.parametrize("sql", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_what_drops_all_names_leaves_the_unnamed_one(weir, sql):
    with start(weir).raw() as one:
        keep(one, SQL, [1])
        one.ask(parse("d", sql) + sync())
        one.ask(parse("", SQL) + sync())
        if sql == "DEALLOCATE ALL":     # the other one can't run in a pipeline
            replies = one.ask(bind("", "d") + execute() + bind("", "", [1]) + describe("P") + execute() + sync())
            assert shape(replies) == "2 C:DEALLOCATE ALL 2 T D C:SELECT 1 Z:I"
        else:
            one.send(bind("", "d") + execute() + sync() + bind("", "", [1]) + describe("P") + execute() + sync())
            replies = one.read_until("Z", 2)
            assert shape(replies) == "2 C:DISCARD ALL Z:I 2 T D C:SELECT 1 Z:I"
        assert rows(one, SQL, [2]) == [["2"]]


def test_each_describe_finds_the_name_that_it_has(weir):
    with start(weir).raw() as one, weir.raw() as two:
        keep(one, SQL, [1])
        for _ in range(12):
            assert shape(one.ask(parse("", SQL) + describe("S") + sync())) == "1 t T Z:I"
            assert texts(one.ask(bind("", "", [1]) + execute() + sync())) == [["1"]]
        assert prepared(two, SQL) == 1


@pytest.mark.parametrize("sql, value", [("SELECT CASE WHEN $1::bool THEN 1/0 ELSE 1 END", "f"), ("SELECT COALESCE($1::int, 1/0)", "1")])
def test_a_constant_that_only_a_plan_for_any_value_computes(weir, sql, value):
    """PostgreSQL makes such a plan at the sixth use of a name, and fails then."""
    with start(weir).raw() as one:
        keep(one, SQL, [1])
        for _ in range(60):
            assert rows(one, sql, [value]) == [["1"]]


FAILS_LATE = "SELECT code FROM other.codes WHERE code::int = $1::int OR $1 IS NULL ORDER BY code"
OF_VIEW = "SELECT code FROM other.numbers WHERE n = $1 OR $1 IS NULL ORDER BY code"
RUN_NULL = bind("", "", [None]) + describe("P") + execute()
# turns, each of them many times: PostgreSQL makes a plan for any value at the sixth use of a name
USES = {
    "alone": [request(FAILS_LATE, [None])],
    "of a view": [request(OF_VIEW, [None])],
    "a division": [request("SELECT code FROM other.codes WHERE $1 OR 1 / (length(code) - 1) > 5 ORDER BY code", ["t"])],
    "a subquery of several rows": [request("SELECT 1 AS n WHERE $1 OR 1 = (SELECT length(code) FROM other.codes)", ["t"])],
    "described first": [parse("", FAILS_LATE) + describe("S") + sync(), RUN_NULL + sync()],
    "described in the same Sync": [parse("", FAILS_LATE) + describe("S") + RUN_NULL + sync()],
    "described with a Flush": [(parse("", FAILS_LATE) + describe("S") + flush(), "T"), RUN_NULL + sync()],
    "bound with a Flush": [(parse("", FAILS_LATE) + bind("", "", [None]) + flush(), "2"), execute() + sync()],
    "row by row": [parse("", FAILS_LATE) + bind("", "", [None]) + execute("", 1) + execute("", 5) + sync()],
    "a pipeline": [(request(FAILS_LATE, [None]) * 7, 7)],
    "a pipeline of others": [(request(FAILS_LATE, [None]) + query("SELECT 1"), 2)],
    "one Sync": [(parse("", FAILS_LATE) + RUN_NULL) * 3 + sync()],
    "behind others in one Sync": [parse("", SQL) + RUN + parse("", FAILS_LATE) + RUN_NULL + sync()],
    "in a block": [query("BEGIN"), request(FAILS_LATE, [None]), request(FAILS_LATE, [None]), query("COMMIT")],
    "a block behind its Parse": [parse("", FAILS_LATE) + sync(), query("SAVEPOINT a"), query("BEGIN")] +
                                [parse("", FAILS_LATE) + sync(), RUN_NULL + sync(), query("COMMIT")],
    "a long value": [request("SELECT length($2::text) AS n FROM other.codes WHERE code::int = $1 OR $1 IS NULL", [None, "x" * 20_000])],
    "a write": [request("UPDATE other.codes SET code = code WHERE code::int = $1 OR $1 IS NULL", [None])],
}


@pytest.fixture(name="codes")
def codes_fixture(tables, postgres):  # pylint: disable=unused-argument
    postgres.query("""CREATE TABLE other.codes (code text); INSERT INTO other.codes VALUES ('77');
        CREATE VIEW other.numbers AS SELECT code, code::int AS n FROM other.codes; GRANT ALL ON other.codes, other.numbers TO PUBLIC""")


def ask_alike(weir, turns, times):
    """The answers are those of PostgreSQL."""
    with Wire((weir.postgres.host, weir.postgres.port)).login("web", "app") as wire:
        direct = normalized(converse(wire, turns * times))
    with weir.raw() as wire:
        assert normalized(converse(wire, turns * times)) == direct


@pytest.mark.parametrize("name", USES)
def test_a_plan_for_any_value_that_fails(weir, codes, postgres, name):  # pylint: disable=unused-argument
    """A plan for one value leaves out what is never asked; a plan for any value evaluates it, and may fail."""
    with start(weir).raw() as one:
        keep(one, SQL, [1])
        before = uses(weir.raw())
        ask_alike(weir, [request(FAILS_LATE, [None])], 8)   # PostgreSQL has made the plan
        assert uses(weir.raw()) > before
        ask_alike(weir, USES[name], 8)
        postgres.query("INSERT INTO other.codes VALUES ('x')")
        ask_alike(weir, USES[name], 8)


def test_what_fails_in_each_plan_keeps_its_name(weir, tables):  # pylint: disable=unused-argument
    sql = "SELECT n FROM told LIMIT $1"
    with start(weir).raw() as one:
        keep(one, SQL, [1])
        for limit in [1] * 9 + [-1, 1] * 5:
            assert bool(errors(ask(one, sql, [limit]))) == (limit < 0)
        before = uses(one)
        one.query("BEGIN")
        for _ in range(3):
            ask(one, sql, [1])
        one.query("COMMIT")
        assert uses(one) > before


def test_what_fails_in_a_plan_for_any_value_is_left_unnamed(weir, codes, postgres):  # pylint: disable=unused-argument
    """It is run again once, and not each time; in a block it is left alone from then on, where its text does not show it."""
    with start(weir).raw() as one:
        keep(one, SQL, [1])
        reruns = weir.metric("pgweir_prepared_statement_reruns_total", database="app")
        ask_alike(weir, [request(OF_VIEW, [None])], 8)
        postgres.query("INSERT INTO other.codes VALUES ('x')")
        for _ in range(8):
            assert rows(one, OF_VIEW, [None]) == [["77"], ["x"]]
        wait_until(lambda: weir.metric("pgweir_prepared_statement_reruns_total", database="app") - reruns == 1, what="one rerun")
        ask_alike(weir, [query("BEGIN"), request(OF_VIEW, [None]), query("COMMIT")], 8)


@pytest.mark.parametrize("sql, parameters", [
    ("SELECT n FROM told WHERE n = $1", ["x"]),
    ("SELECT t.n, u.n FROM told t JOIN other.told AS u ON u.n <> t.n WHERE t.n IN ($1, 'x') ORDER BY t.n LIMIT $2::int", ["x", 1]),
    ("SELECT count(*), lower(max(n)) FROM told WHERE n = ANY($1::text[])", ["{x}"]),
    ("INSERT INTO public.told (n) VALUES ($1)", ["x"]),
    ("UPDATE told SET n = $1 WHERE n = $2 RETURNING *", ["x", "y"]),
    ("SELECT n FROM told WHERE EXISTS (SELECT 1 FROM other.told u WHERE u.n = $1)", ["other"])])
def test_blocks_have_their_gain(weir, tables, sql, parameters):  # pylint: disable=unused-argument
    with start(weir).raw() as one:
        keep(one, SQL, [1])
        one.query("BEGIN")
        for _ in range(5):
            ask(one, sql, parameters)
        assert prepared(one, sql) == 1
        one.query("ROLLBACK")


# what is so before; what changes; the SQL whose answer depends on that
MORE = """jsonb_populate_record(NULL::other.rowed, '{"n": "y", "more": 5}')"""
BEHIND = {
    "a membership": ("", "GRANT team TO web", "SELECT string_agg(n, ',' ORDER BY n) AS all FROM guarded WHERE n <> $1"),
    "no membership": ("GRANT team TO web", "REVOKE team FROM web", "SELECT string_agg(n, ',' ORDER BY n) AS all FROM guarded WHERE n <> $1"),
    "row security that is bypassed": ("", "ALTER ROLE web BYPASSRLS", "SELECT n FROM guarded WHERE n <> $1"),
    "a label": ("", "ALTER TYPE other.mood RENAME VALUE 'sad' TO 'blue'", "SELECT 1 AS n FROM other.moods WHERE m = 'sad' AND n <> $1"),
    "a new label": ("", "ALTER TYPE other.mood ADD VALUE 'calm' BEFORE 'sad'",
                    "SELECT enum_first(NULL::other.mood) AS m FROM other.moods WHERE n <> $1"),
    "a type of rows": ("", "ALTER TABLE other.rowed ADD more int", f"SELECT {MORE}::text AS r FROM other.moods WHERE n <> $1"),
    "columns of a type of rows": ("", "ALTER TABLE other.rowed ADD more int", f"SELECT r.* FROM {MORE} AS r WHERE n <> $1"),
}


@pytest.fixture(name="moods")
def moods_fixture(tables, postgres):  # pylint: disable=unused-argument
    postgres.query("""CREATE TYPE other.mood AS ENUM ('sad', 'glad'); CREATE TABLE other.moods (n text, m other.mood);
        CREATE TABLE other.rowed (n text); ALTER TABLE other.rowed OWNER TO boss; GRANT ALL ON other.rowed TO PUBLIC;
        INSERT INTO other.moods VALUES ('x', 'sad'); ALTER TABLE other.moods OWNER TO boss; ALTER TYPE other.mood OWNER TO boss;
        GRANT ALL ON other.moods TO PUBLIC; CREATE POLICY of_team ON guarded TO team USING (true)""")
    yield


@pytest.fixture(name="boss")
def boss_fixture(postgres):
    """May change roles, and so does the application's own user in many places."""
    postgres.query("DROP ROLE IF EXISTS boss, team; CREATE ROLE boss SUPERUSER LOGIN; CREATE ROLE team; GRANT boss TO web")
    yield
    postgres.query("DROP OWNED BY boss, team; REVOKE boss FROM web; DROP ROLE boss, team; ALTER ROLE web NOBYPASSRLS")


@pytest.mark.parametrize("is_through", [True, False], ids=["through pgweir", "by another program"])
@pytest.mark.parametrize("name", BEHIND)
def test_what_postgresqls_plans_do_not_follow(weir, boss, moods, postgres, name, is_through):  # pylint: disable=unused-argument
    before, change, sql = BEHIND[name]
    if before:
        postgres.query(before)
    with start(weir).raw() as one, weir.raw() as two, Wire((weir.postgres.host, weir.postgres.port)).login("web", "app") as direct:
        def is_right():
            return normalized(ask(one, sql, ["!"])) == normalized(ask(direct, sql, ["!"]))

        def is_right_by_name():
            before = uses(two)
            return all([is_right() for _ in range(10)]) and (uses(two) > before or errors(ask(one, sql, ["!"])))

        wait_until(is_right_by_name, 10, what="a name for it")
        if is_through:
            two.query("SET ROLE boss", change, "RESET ROLE")
            assert all([is_right() for _ in range(10)])
        else:
            postgres.query(change)
            wait_until(is_right_by_name, 10, what="the new answer, by name")


def test_a_table_of_its_own_in_front(weir, tables):  # pylint: disable=unused-argument
    with start(weir).raw() as one:
        keep(one, TOLD, ["!"])
        one.query("CREATE TEMP TABLE told (n text)")
        one.query("INSERT INTO told VALUES ('mine')")
        assert rows(one, TOLD, ["!"]) == [["mine!"]]
        one.query("DROP TABLE pg_temp.told")
        assert rows(one, TOLD, ["!"]) == [["public!"]]
        one.query("BEGIN")
        one.query("CREATE TEMP TABLE told ON COMMIT DROP AS SELECT 'for now' AS n")
        assert rows(one, TOLD, ["!"]) == [["for now!"]]
        one.query("COMMIT")
        assert rows(one, TOLD, ["!"]) == [["public!"]]


def test_types_that_are_left_open_are_found_anew(weir, tables, postgres):  # pylint: disable=unused-argument
    postgres.query("CREATE TABLE other.typed (n int); INSERT INTO other.typed VALUES (1); ALTER TABLE other.typed OWNER TO web")
    sql = "SELECT n FROM other.typed WHERE n = $1"
    with start(weir).raw() as one, weir.raw() as two:
        keep(one, sql, [1])
        two.query("ALTER TABLE other.typed ALTER n TYPE text")
        two.query("INSERT INTO other.typed VALUES ('x')")
        for _ in range(4):
            assert rows(one, sql, ["x"]) == [["x"]]
        two.query("ALTER TABLE other.typed ALTER n TYPE int8 USING 5000000000")
        for _ in range(4):
            assert rows(one, sql, [5_000_000_000]) == [["5000000000"]] * 2


@pytest.mark.parametrize("more", ["", " AND 'a' <> 'b'"], ids=["", "with literals"])
def test_types_that_another_client_was_told(weir, tables, postgres, more):  # pylint: disable=unused-argument
    """That one's statement of the same text declares them from then on."""
    postgres.query("CREATE TABLE other.typed (n int); INSERT INTO other.typed VALUES (1); ALTER TABLE other.typed OWNER TO web")
    sql = f"SELECT n FROM other.typed WHERE n = $1{more}"
    with start(weir).raw() as one, weir.raw() as named:
        keep(one, sql, [1])
        named.ask(parse("n", sql) + describe("S", "n") + bind("", "n", [1]) + execute() + sync())
        assert rows(one, sql, [1]) == [["1"]]
        for to, value in (("text", "x"), ("int8 USING 5000000000", "5000000000")):
            named.query(f"ALTER TABLE other.typed ALTER n TYPE {to}", f"UPDATE other.typed SET n = '{value}'")
            for _ in range(4):
                assert rows(one, sql, [value]) == [[value]]


def test_rows_that_have_changed_behind_pgweirs_back(weir, tables, postgres):  # pylint: disable=unused-argument
    """PostgreSQL refuses a plan with a name whose rows are others; an unnamed statement is analysed anew."""
    sql = "SELECT * FROM told WHERE n <> $1"
    with start(weir).raw() as one:
        keep(one, sql, ["!"])
        postgres.query("ALTER TABLE public.told ADD more int")
        for _ in range(4):
            replies = ask(one, sql, ["!"])
            assert shape(replies) == "1 2 T D C:SELECT 1 Z:I" and texts(replies) == [["public", None]]
        keep(one, sql, ["!"])


def test_a_server_that_has_lost_it(weir, tables, postgres):  # pylint: disable=unused-argument
    postgres.query("""CREATE FUNCTION dropper() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DEALLOCATE ' || 'ALL'; RETURN 1; END $$;
                      GRANT EXECUTE ON FUNCTION dropper() TO PUBLIC""")
    with start(weir).raw() as one, weir.raw() as two:
        for _ in range(3):
            keep(one, SQL, [1])
            two.query("SELECT dropper()")
            assert rows(one, SQL, [1]) == [["1"]]


def test_a_server_that_is_lost(weir, postgres):
    with start(weir).raw() as one:
        keep(one, SQL, [1])
        for _ in range(3):
            postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'")
            wait_until(lambda: not postgres.query("SELECT 1 FROM pg_stat_activity WHERE usename = 'web'"), what="it to go")
            assert rows(one, SQL, [1]) == [["1"]]
        one.ask(parse("", SQL) + sync())
        postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'")
        wait_until(lambda: not postgres.query("SELECT 1 FROM pg_stat_activity WHERE usename = 'web'"), what="it to go")
        assert texts(one.ask(RUN + sync())) == [["1"]]


def test_a_server_that_is_ended_ahead_of_its_request(weir, postgres):
    """Its FATAL comes in place of all answers: pgweir's own to the Parse was not given, and the request runs elsewhere."""
    with start(weir, on_outage="hold").raw() as one:
        keep(one, SQL, [1])
        pid, = [row[0] for row in postgres.query("SELECT pid FROM pg_stat_activity WHERE usename = 'web'")]
        # pgweir asks for the code once a second, at most: a question of its own must not have the server when that is stopped
        wait_until(lambda: all(row["age_ms"] < 300 for row in weir.console("SHOW DATABASE_CODE")), what="the code to have been read just now")
        weir.settle()
        os.kill(pid, signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGTERM)
            one.send(request(SQL, [1]))
            wait_until(lambda: weir.pool()["sv_active"] == 1, what="it to be sent")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert texts(one.read_until("Z")) == [["1"]]


# --- how many, and how fast ---


def test_texts_that_come_twice_do_not_push_out_those_that_come_often(weir):
    with start(weir, prepared_statements=3).raw() as wire:
        wire.ask(parse("named", "SELECT 'named'") + sync())
        keep(wire, "SELECT 'often'")
        for _ in range(3):
            rows(wire, "SELECT 'often'")
            assert texts(wire.ask(bind("", "named") + execute() + sync())) == [["named"]]
        before = weir.metric("pgweir_prepared_statement_evictions_total", database="app")
        for number in range(40):
            for _ in range(3):
                rows(wire, f"SELECT {number}")
        assert weir.metric("pgweir_prepared_statement_evictions_total", database="app") - before <= 1
        assert prepared(wire, "SELECT 'often'") == prepared(wire, "SELECT 'named'") == 1
        for _ in range(40):     # but what comes often does
            rows(wire, "SELECT 'as often'")
        assert prepared(wire, "SELECT 'as often'") == 1


def test_a_plan_for_any_value_that_is_slow_is_given_up(weir, postgres):
    with skewed_table(postgres), start(weir).raw() as wire:
        def is_given_up():
            read_kinds(wire)
            return weir.metric("pgweir_plans_given_up_total", database="app") > 0

        wait_until(is_given_up, what="the plan to be given up")
        before = uses(weir.raw())
        read_kinds(wire)
        assert uses(weir.raw()) == before


def test_a_machine_that_gets_slower_gives_nothing_up(weir):
    """With a name or without one, it is slow; but few uses have been measured without one since."""
    sql = "SELECT pg_sleep($1)"
    with start(weir).raw() as wire:
        for _ in range(64):
            rows(wire, sql, [0])
        for _ in range(200):
            rows(wire, sql, [0.005])
        before = weir.metric("pgweir_plans_kept_total", database="app")

        def is_kept():
            rows(wire, sql, [0])
            return weir.metric("pgweir_plans_kept_total", database="app") > before

        wait_until(is_kept, what="it to be kept still")
        assert weir.metric("pgweir_plans_given_up_total", database="app") == 0
