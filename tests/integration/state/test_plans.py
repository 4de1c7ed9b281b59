"""PostgreSQL computes a constant when it plans, and believes a function that is declared IMMUTABLE. Plans outlive the one
they were made for: those of prepared statements, and those that PL/pgSQL keeps for the statements of functions. B must
never get what was computed for A. A is client, B is other; both are of one pool with one server connection."""

import pytest

from rawwire import Wire, bind, errors, execute, one_statement, parse, query, sync, texts
from test_attack import RUN_IT, ask, begin, victim  # noqa: F401 (a fixture)
from test_sealed_proof import direct

pytestmark = [pytest.mark.weir_only, pytest.mark.timeout(60)]

SETTING = "coalesce(current_setting('app.user_id', true), '')"
SQL = "LANGUAGE sql AS $$ SELECT {} $$"
PLPGSQL = "LANGUAGE plpgsql AS $$ BEGIN RETURN {}; END $$"
AROUND = "CREATE FUNCTION tenant() RETURNS text IMMUTABLE "
READER = f"CREATE FUNCTION reads() RETURNS text STABLE {SQL.format(SETTING)};"
NOT_CONSTANT = {                    # code with a function tenant(), which is declared IMMUTABLE
    "SQL": AROUND + SQL.format(SETTING),
    "BEGIN ATOMIC": AROUND + f"LANGUAGE sql BEGIN ATOMIC SELECT {SETTING}; END",
    "PL/pgSQL": AROUND + PLPGSQL.format(SETTING),
    "dynamic SQL": AROUND + "LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN EXECUTE reverse(') eurt ,''di_resu.ppa''("
                            "gnittes_tnerruc TCELES') INTO r; RETURN coalesce(r, ''); END $$",
    "another function": READER + AROUND + PLPGSQL.format('public . "reads"()'),
    "another function, BEGIN ATOMIC": READER + AROUND + "LANGUAGE sql BEGIN ATOMIC SELECT reads(); END",
    "a function with an odd name": READER.replace("reads", '"Reads It"') + AROUND + PLPGSQL.format('"Reads It"()'),
    "an operator": READER.replace("()", "(text, text)") +
                   "CREATE OPERATOR ||| (LEFTARG = text, RIGHTARG = text, FUNCTION = reads);" + AROUND +
                   SQL.format("''::text ||| ''::text"),
    "a cast": READER.replace("()", "(k)").replace("CREATE", "CREATE TYPE k AS (v int); CREATE", 1) +
              "CREATE CAST (k AS text) WITH FUNCTION reads(k);" + AROUND + SQL.format("ROW(1)::k::text"),
    "a view": f"CREATE VIEW whose AS SELECT {SETTING} AS v; GRANT ALL ON whose TO PUBLIC;" + AROUND +
              PLPGSQL.format("(SELECT v FROM whose)"),
    "an internal alias": "CREATE FUNCTION shows(text, bool) RETURNS text IMMUTABLE LANGUAGE internal AS "
                         "'show_config_by_name_missing_ok';" + AROUND + SQL.format("coalesce(shows('app.user_id', true), '')"),
    "immutable ones within": f"CREATE FUNCTION inner_one() RETURNS text IMMUTABLE {SQL.format(SETTING)};" + AROUND +
                             SQL.format("inner_one() || ''"),
}
ALSO = """; CREATE FUNCTION asks() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN tenant(); END $$;
    CREATE VIEW tenants AS SELECT tenant() AS v; GRANT ALL ON tenants TO PUBLIC"""
WAYS = {                            # what a client sends to learn its tenant
    "a named statement": parse("s", "SELECT tenant()") + RUN_IT,
    "a statement of a function": parse("", "SELECT asks()") + bind() + execute() + sync(),
    "a view": parse("s", "SELECT v FROM tenants") + RUN_IT,
}

AGAIN = {**WAYS, "a named statement": RUN_IT, "a view": RUN_IT}


@pytest.fixture
def clerk(postgres, victim):
    postgres.query("CREATE ROLE plans_clerk BYPASSRLS; GRANT plans_clerk TO web")
    yield
    postgres.query("DROP OWNED BY plans_clerk", dbname=victim)
    postgres.query("DROP ROLE plans_clerk")


@pytest.mark.sweep(keep=9)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", NOT_CONSTANT)
def test_what_is_computed_for_one_is_not_told_another(weir, postgres, victim, form, way):
    postgres.query(NOT_CONSTANT[form] + ALSO, dbname=victim)
    with Wire(direct(postgres)).login("web", victim) as wire:
        wire.query("SET app.user_id = 'A'")
        assert ask(wire, WAYS[way]) == [["A"]]
        wire.query("SET app.user_id = ''")
        wire.query("DEALLOCATE ALL") if form == "x" else None
        assert ask(wire, RUN_IT if b"s\0" in WAYS[way][:8] else WAYS[way]) == [["A"]], "is computed anew: proves nothing"
    other, client = begin(weir, victim)
    client.query("SET app.user_id = 'A'")
    assert ask(client, WAYS[way]) == [["A"]]
    assert ask(other, WAYS[way]) == [[""]]


@pytest.mark.usefixtures("clerk")
def test_a_role_is_no_constant(weir, postgres, victim):
    postgres.query("CREATE FUNCTION me() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT user'" +
                   ALSO.replace("tenant()", "me()"), dbname=victim)
    other, client = begin(weir, victim)
    client.query("SET ROLE plans_clerk")
    asks = WAYS["a statement of a function"]
    assert ask(client, asks) == [["plans_clerk"]]
    assert ask(other, asks) == [["web"]]


@pytest.mark.parametrize("make", ["INSERT INTO looked_up VALUES ('A')",
                                  "CREATE TEMP TABLE looked_up ON COMMIT DROP AS SELECT 'A' AS v"])
def test_rows_that_were_never_committed_are_told_nobody(weir, postgres, victim, make):
    postgres.query("CREATE TABLE looked_up (v text); GRANT ALL ON looked_up TO PUBLIC;" + AROUND +
                   PLPGSQL.format("(SELECT max(v) FROM looked_up)"), dbname=victim)
    other, client = begin(weir, victim)
    client.query("BEGIN")
    client.query(make)
    assert ask(client, WAYS["a named statement"]) == [["A"]]
    client.query("ROLLBACK")
    assert ask(other, WAYS["a named statement"]) == [[None]]


LASTING = {                         # code that uses tenant() where nothing but another backend forgets it, and B's question
    "a domain's check": ("CREATE DOMAIN mine AS text CHECK (VALUE = tenant())", "SELECT ''::mine::text"),
    "an index": ("CREATE TABLE mine (v text); CREATE INDEX ON mine (v) WHERE v = tenant(); GRANT ALL ON mine TO PUBLIC",
                 "INSERT INTO mine VALUES ('') RETURNING (SELECT pg_backend_pid())::text"),
}


@pytest.mark.parametrize("name", LASTING)
def test_a_constant_that_no_statement_discards_costs_the_server(weir, postgres, victim, name):
    code, question = LASTING[name]
    postgres.query(f"{NOT_CONSTANT['SQL']}; {code}", dbname=victim)
    other, client = begin(weir, victim)
    pid = client.query("SELECT pg_backend_pid()")
    client.query("SET app.user_id = 'A'")
    client.query(question.replace("''", "'A'"))
    assert ask(other, extended_of(question)) not in ([], pid)


def extended_of(sql):
    return parse("", sql) + bind() + execute() + sync()


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


DATE = "SELECT to_char('01/02/2020'::date, 'YYYY-MM-DD')"


@pytest.mark.parametrize("state", ["track", "isolate"])
@pytest.mark.parametrize("steps", [("SET DateStyle = 'German'",), ("BEGIN", "SET LOCAL DateStyle = 'German'")])
def test_a_statement_whose_plan_is_gone_is_read_by_each_as_its_own(weir, postgres, victim, state, steps):
    """PostgreSQL reads its literals anew, under the settings that it finds then: those of one client are not another's."""
    postgres.query(NOT_CONSTANT["SQL"] if state == "track" else "SELECT", dbname=victim)
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


CONSTANT = """CREATE FUNCTION constant() RETURNS text LANGUAGE plpgsql AS
    $f$ BEGIN RETURN to_char('01/02/2020'::date, 'YYYY-MM-DD'); END $f$"""
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
