"""PostgreSQL computes constants when it plans, under the settings and for the role of that moment. Plans outlive the one they
were made for: those of prepared statements, and those that PL/pgSQL keeps for the statements of functions. B must never
get what settings or role made of a constant for A. A is client, B is other; both are of one pool with one server connection."""

import pytest

from rawwire import Wire, bind, errors, execute, one_statement, parse, query, sync, texts
from test_attack import RUN_IT, ask, begin, victim  # noqa: F401 (a fixture)
from test_sealed_proof import direct

pytestmark = pytest.mark.weir_only


@pytest.fixture
def clerk(postgres, victim):
    postgres.query("CREATE ROLE plans_clerk BYPASSRLS; GRANT plans_clerk TO web")
    yield
    postgres.query("DROP OWNED BY plans_clerk", dbname=victim)
    postgres.query("DROP ROLE plans_clerk")


@pytest.mark.usefixtures("clerk")
def test_a_role_is_no_constant(weir, postgres, victim):
    """Not even in a function that is declared IMMUTABLE and is not."""
    postgres.query("CREATE FUNCTION me() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT user';"
                   "CREATE FUNCTION asks() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN me(); END $$", dbname=victim)
    other, client = begin(weir, victim)
    client.query("SET ROLE plans_clerk")
    asks = parse("", "SELECT asks()") + bind() + execute() + sync()
    assert ask(client, asks) == [["plans_clerk"]]
    assert ask(other, asks) == [["web"]]


# --- without any function of the database's ---------------------------------------------------------------------

TEXTS = {                           # SQL of which PostgreSQL makes a constant, A's setting, what A and B are told
    "bytea_output": ("SELECT int4send(1)::text", "SET bytea_output = 'escape'", r"\000\000\000\001", r"\x00000001"),
    "quote_all_identifiers": ("SELECT quote_ident(chr(97))", "SET quote_all_identifiers = on", '"a"', "a"),
    "extra_float_digits": ("SELECT (1.0/3)::float8::text", "SET extra_float_digits = -10", "0.33333", "0.3333333333333333"),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("when", ["before", "after", "in a transaction"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_constant_is_as_its_own_client_wants_it(weir, victim, name, when):
    """A parses before or after it sets that, and is the first to run it."""
    sql, setting, mine, others = TEXTS[name]
    other, client = begin(weir, victim)
    if when != "after":
        ask(client, parse("s", sql) + sync())
    if when == "in a transaction":
        client.query("BEGIN")
    client.query(setting.replace("SET", "SET LOCAL") if when == "in a transaction" else setting)
    if when == "after":
        ask(client, parse("s", sql) + sync())
    assert ask(client, RUN_IT) == [[mine]]
    if when == "in a transaction":
        client.query("COMMIT")
    assert ask(other, parse("s", sql) + RUN_IT) == [[others]]


# --- what PostgreSQL itself plans anew --------------------------------------------------------------------------

POLICIES = """CREATE TABLE secrets (owner text, v text); INSERT INTO secrets VALUES ('web', ''), ('clerk', 'A');
    ALTER TABLE secrets ENABLE ROW LEVEL SECURITY; GRANT ALL ON secrets TO PUBLIC;
    CREATE POLICY p ON secrets USING (owner = 'web')"""


@pytest.mark.usefixtures("clerk")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_policy_is_that_of_the_role(weir, postgres, victim, when):
    postgres.query(POLICIES, dbname=victim)
    other, client = begin(weir, victim)
    sql = parse("s", "SELECT max(v) FROM secrets")
    if when == "before":
        assert ask(client, sql + RUN_IT) == [[""]]
    client.query("SET ROLE plans_clerk")
    assert ask(client, (b"" if when == "before" else sql) + RUN_IT) == [["A"]]
    assert ask(other, sql + RUN_IT) == [[""]]


CONSTANT = """CREATE FUNCTION constant() RETURNS text LANGUAGE plpgsql AS
    $f$ BEGIN RETURN to_char('01/02/2020'::date, 'YYYY-MM-DD'); END $f$"""
DATE = "SELECT to_char('01/02/2020'::date, 'YYYY-MM-DD')"


@pytest.mark.parametrize("state", ["track", "isolate"])
@pytest.mark.parametrize("steps", [("SET DateStyle = 'German'",), ("BEGIN", "SET LOCAL DateStyle = 'German'")])
def test_a_statement_whose_plan_is_gone_is_read_by_each_as_its_own(weir, postgres, victim, state, steps):
    """PostgreSQL reads its literals anew, under the settings that it finds then: those of one client are not another's."""
    postgres.query(CONSTANT if state == "track" else "SELECT", dbname=victim)
    other, client = begin(weir, victim, session_state=state)
    for wire in (other, client):
        assert ask(wire, parse("s", DATE) + RUN_IT) == [["2020-01-02"]]
    for step in steps:
        client.query(step)
    assert ask(client, RUN_IT) == [["2020-02-01"]]
    if "BEGIN" in steps:
        client.query("COMMIT")
    assert ask(other, RUN_IT) == [["2020-01-02"]]
    ask(client, RUN_IT)
    assert ask(other, RUN_IT) == [["2020-01-02"]]


MOMENTS = ("'now'::timestamptz::text", "' NOW '::timestamptz::text", "$$now$$::timestamptz::text", "'{now}'::timestamptz[]::text",
           "lower('[now,)'::tstzrange)::text", "E'now'::timestamptz::text")


@pytest.mark.parametrize("moment", MOMENTS)
def test_now_is_not_the_moment_of_another(weir, victim, moment):
    other, client = begin(weir, victim)
    told = {ask(wire, parse("s", f"SELECT {moment}") + RUN_IT)[0][0] for wire in (client, other)}
    assert len(told) == 2


@pytest.mark.parametrize("moment", ["'12:00 today'::timestamp", "'00:00 tomorrow'::timestamp", "'today'::date"])
def test_today_is_shared_with_nobody(weir, victim, moment):
    """By tomorrow it is another day."""
    other, client = begin(weir, victim)
    for wire in (client, other):
        ask(wire, parse("s", f"SELECT {moment}") + RUN_IT)
    assert not [row for row in weir.console("SHOW PREPARED") if moment in row["query"]]


SINCE = """CREATE FUNCTION since() RETURNS text LANGUAGE plpgsql AS
    $f$ BEGIN RETURN extract(epoch FROM '2020-01-01 00:00'::timestamptz)::int; END $f$"""


def test_plans_are_not_met_behind_the_end_of_a_failed_transaction(weir, postgres, victim):
    """B sends on while the reply to its ROLLBACK is under way."""
    postgres.query(SINCE, dbname=victim)
    weir.start({f"database {victim}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0)
    client, other = weir.raw("web", victim), weir.raw("web", victim)
    assert client.value("SELECT since()") == "1577836800"
    assert errors(other.ask(query("BEGIN; SELECT 1 / 0")))
    other.send(query("ROLLBACK"), query("SET TimeZone = 'Asia/Tokyo'"), query("SELECT since()"))
    assert texts(other.read_until("Z", 3)) == [["1577804400"]]


MEET = "SELECT length(constant())"
KEPT = {                            # B's messages, which meet a plan of A's; each is answered as without A
    "without literals, in one batch": (
        one_statement("PREPARE p AS SELECT constant()") + one_statement("SET DateStyle = 'DMY'") +
        one_statement("EXECUTE p") + sync(), query("EXECUTE p")),
    "in one batch, with a cursor": (
        one_statement("BEGIN") + one_statement("SET DateStyle = 'DMY'") +
        one_statement("DECLARE c CURSOR FOR SELECT constant()") + one_statement("FETCH c") + sync(), query("COMMIT")),
}


def replies_to(messages):
    """How many ReadyForQuery answer them."""
    return messages.count(b"Q\0\0") + messages.endswith(sync())


@pytest.mark.parametrize("name", KEPT)
def test_what_sql_has_prepared_outlives_the_plans_of_others(weir, postgres, victim, name):
    postgres.query(CONSTANT, dbname=victim)
    with Wire(direct(postgres)).login("web", victim) as wire:
        told = [ask(wire, message, count=replies_to(message)) for message in KEPT[name]]
    other, client = begin(weir, victim)
    assert ask(client, query(MEET)) == [["10"]]
    assert [ask(other, message, count=replies_to(message)) for message in KEPT[name]] == told
