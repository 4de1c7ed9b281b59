"""What a client leaves on its server is washed off before the next one has it, and that one pays nothing. Its SQL may have shown it
or not; nothing is washed where it is proved that nothing can be there; and whatever was, the next one's first statement is answered.
A is client, B is other; they take turns on one server. What code leaves is first proved with PostgreSQL itself.
"""

from typing import NamedTuple

import pytest

import transport
from compare import converse, normalized
from leftovers import (INSERT, LOCKS, PID, TEMPORARY, TRIGGER, USER_ID, VIEW_FOR_ALL, WORK_MEM, ask, begin, direct, extended, sees,
                       settle)
from rawwire import (Wire, WireError, bind, errors, execute, flush, function_call, one_statement, parse, query, shape,
                     sync, texts)
from unseen import seeded_numbers
from waiting import each, wait_until

pytestmark = pytest.mark.weir_only


# --- code that looks harmless -----------------------------------------------------------------------------------

class Sly(NamedTuple):
    """code: the database's; steps: A's; ask: what B asks."""

    code: str
    steps: tuple
    ask: str
    startup: dict = {}
    user: str = "web"


def body(text, ask, **more):
    return Sly(TRIGGER.format(body=text), (INSERT,), ask, **more)


def no_code(ask, *steps, **more):
    return Sly("", steps, ask, **more)


SLY = {
    "pg_settings, updated": no_code(WORK_MEM, "UPDATE pg_settings SET setting = '7MB' WHERE name = 'work_mem'"),
    "pg_settings, updated by a function":
        body("BEGIN UPDATE pg_settings SET setting = '7MB' WHERE name = 'work_mem'; RETURN new; END", WORK_MEM),
    "pg_settings, updated by a view":
        Sly("CREATE VIEW v AS SELECT * FROM pg_settings; GRANT ALL ON v TO PUBLIC",
            ("UPDATE v SET setting = '7MB' WHERE name = 'work_mem'",), WORK_MEM),
    "ts_stat() as an attribute": no_code(
        USER_ID, "SELECT x.ts_stat FROM concat('SELECT to_tsvector(set_con', 'fig(''app.user_id'', ''A'', false))') x"),
    "advisory lock as an attribute": no_code(LOCKS, "SELECT x.pg_advisory_lock FROM abs(4711::bigint) x"),
    "SELECT INTO with pg_temp first": no_code(TEMPORARY, "SELECT 1 AS v INTO kept", startup={"search_path": "pg_temp"}),
    "SELECT INTO after pg_temp came first":
        no_code(TEMPORARY, "SET search_path = pg_temp, public", "SELECT 1", "SELECT 1 AS v INTO kept"),
    "CREATE TABLE by a function, pg_temp at the start":
        body("BEGIN CREATE TABLE kept (v int); RETURN new; END", TEMPORARY, startup={"search_path": "pg_temp,public"}),
    "CREATE TABLE by a function, pg_temp before":
        Sly(TRIGGER.format(body="BEGIN CREATE TABLE kept (v int); RETURN new; END"),
            ("SET search_path = pg_temp, public", "SELECT 1", INSERT), TEMPORARY),
    "CREATE TABLE AS by a function, pg_temp at the start":
        body("BEGIN CREATE TABLE kept AS SELECT 1; RETURN new; END", TEMPORARY, startup={"search_path": "pg_temp,public"}),
    "pg_trgm's limit": Sly("CREATE EXTENSION pg_trgm", ("SELECT set_limit(0.9)",), "SELECT show_limit()"),
    "isn's weak mode": Sly("CREATE EXTENSION isn", ("SELECT isn_weak(true)",), "SELECT isn_weak()"),
    "SET behind a comment": body("BEGIN /* x */SET app.user_id = 'A'; RETURN new; END", USER_ID),
    "SET behind a comment's line": body("BEGIN -- x\nSET app.user_id = 'A'; RETURN new; END", USER_ID),
    "SET behind a nested comment": body("BEGIN /* /* x */ y */ SET app.user_id = 'A'; RETURN new; END", USER_ID),
    "SET behind nothing": body("BEGIN IF true THEN SET app.user_id TO 'A'; END IF; RETURN new; END", USER_ID),
    "SET in a loop": body("BEGIN FOR i IN 1..1 LOOP SET app.user_id TO 'A'; END LOOP; RETURN new; END", USER_ID),
    "SET in a handler": body("BEGIN RAISE EXCEPTION 'x'; EXCEPTION WHEN others THEN SET app.user_id TO 'A'; RETURN new; "
                             "END", USER_ID),
    "SET behind an old Mac's comment": body("BEGIN -- x\rSET app.user_id = 'A'; RETURN new; END", USER_ID),
    "a function's name in Unicode": body("BEGIN PERFORM U&\"set\\005fconfig\"('app.user_id', 'A', false); RETURN new; END",
                                         USER_ID),
    "a name in quotes": body('BEGIN PERFORM "pg_catalog"."set_config"(\'app.user_id\', \'A\', false); RETURN new; END',
                             USER_ID),
    "a builtin in a default": Sly("CREATE TABLE t (v int, w text DEFAULT set_config('app.user_id', 'A', false)); "
                                  "GRANT ALL ON t TO PUBLIC", ("INSERT INTO t (v) VALUES (1)",), USER_ID),
    "a builtin in a policy": Sly("CREATE TABLE t (v int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC; "
                                 "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING "
                                 "(set_config('app.user_id', 'A', false) = 'A')", ("SELECT * FROM t",), USER_ID),
    "a builtin in a check": Sly("CREATE TABLE t (v text CHECK (set_config('app.user_id', v, false) = v)); GRANT ALL ON t TO "
                                "PUBLIC", ("INSERT INTO t VALUES ('A')",), USER_ID),
    "a builtin in a domain": Sly("CREATE DOMAIN d AS text CHECK (set_config('app.user_id', VALUE, false) = VALUE); "
                                 "CREATE TABLE t (v d); GRANT ALL ON t TO PUBLIC", ("INSERT INTO t VALUES ('A')",), USER_ID),
    "a builtin in a rule": Sly("CREATE TABLE t (v text); GRANT ALL ON t TO PUBLIC; CREATE RULE r AS ON INSERT TO t DO ALSO "
                               "SELECT set_config('app.user_id', new.v, false)", ("INSERT INTO t VALUES ('A')",), USER_ID),
    "a builtin in a trigger's WHEN": Sly(
        "CREATE TABLE t (v text); GRANT ALL ON t TO PUBLIC; CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW WHEN "
        "(set_config('app.user_id', new.v, false) = 'B') EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ("INSERT INTO t VALUES ('A')",), USER_ID),
    "a builtin in a parameter's default": Sly(
        "CREATE FUNCTION f(v text DEFAULT set_config('app.user_id', 'A', false)) RETURNS text LANGUAGE sql AS 'SELECT v'",
        ("SELECT f()",), USER_ID),
    "a builtin behind an operator": Sly("CREATE OPERATOR ~~~ (RIGHTARG = bigint, FUNCTION = pg_try_advisory_lock)",
                                        ("SELECT ~~~ 4711::bigint",), LOCKS),
    "a builtin as an aggregate's end": Sly(
        "CREATE AGGREGATE a(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0', FINALFUNC = pg_try_advisory_lock)",
        ("SELECT a(v) FROM (VALUES (4711::bigint)) x (v)",), LOCKS),
    "a builtin as a moving aggregate's end": Sly(
        "CREATE AGGREGATE a(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0', FINALFUNC = pg_try_advisory_xact_lock, "
        "MSFUNC = int8pl, MINVFUNC = int8mi, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = pg_try_advisory_lock)",
        ("SELECT a(v) OVER (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM generate_series(1::bigint, 3) v",),
        LOCKS),
    "an index on an alias": Sly(
        "CREATE FUNCTION quiet(text, text, bool) RETURNS text IMMUTABLE LANGUAGE internal AS 'set_config_by_name'; "
        "CREATE TABLE t (v text); CREATE INDEX ON t (quiet('app.user_id', v, false)); GRANT ALL ON t TO PUBLIC",
        ("INSERT INTO t VALUES ('A')",), USER_ID),
}


@pytest.fixture(scope="module")
def databases(postgres):
    names = {}
    for number, (name, sly) in enumerate(SLY.items()):
        dbname = f"sly_{number}"
        postgres.query(f"CREATE DATABASE {dbname} OWNER web", dbname="postgres")
        postgres.query("GRANT ALL ON SCHEMA public TO PUBLIC" + ("; " + sly.code if sly.code else ""), dbname=dbname)
        names[name] = dbname
    yield names
    for dbname in names.values():
        postgres.query(f"DROP DATABASE {dbname} WITH (FORCE)", dbname="postgres")


@pytest.mark.long
@pytest.mark.sweep(keep=0)
@pytest.mark.parametrize("state", ["track", "isolate"])
def test_code_that_looks_harmless_is_found(weir, postgres, databases, state):
    weir.start({f"database {dbname}": {"upstream": weir.upstream()} for dbname in databases.values()}, pool_size=1,
               max_overflow=0, session_state=state)
    wrong = []
    for name, sly in SLY.items():
        dbname = databases[name]
        with Wire(direct(postgres)).login(sly.user, dbname, parameters=sly.startup) as wire:
            clean = wire.query(sly.ask)
            for step in sly.steps:
                wire.query(step)
            assert wire.query(sly.ask) != clean, f"{name}: leaves nothing"
            postgres.query("DROP TABLE IF EXISTS kept", dbname=dbname)
        other, client = weir.raw(sly.user, dbname), weir.raw(sly.user, dbname, parameters=sly.startup)
        settle(other)
        for step in sly.steps:
            client.query(step)
        seen = sees(other, client, sly.ask)
        if seen != clean:
            wrong.append(f"{name}: B sees {seen}, not {clean}")
        client.close()
        other.close()
    assert not wrong, "\n".join(wrong)


# --- what is washed, and what is not ----------------------------------------------------------------------------

BEHIND = """                        -- code that touches session state behind an innocent INSERT or SELECT
    CREATE SCHEMA behind;
    CREATE TABLE behind.t (id serial PRIMARY KEY, v text);
    CREATE VIEW behind.v AS SELECT set_config('app.view', 'A', false);
    CREATE FUNCTION behind.remember() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('app.trigger', new.v, false); PERFORM pg_advisory_lock(77); RETURN new; END$$;
    CREATE TRIGGER remember BEFORE INSERT ON behind.t FOR EACH ROW EXECUTE FUNCTION behind.remember();
    GRANT ALL ON SCHEMA behind TO PUBLIC;
    GRANT ALL ON ALL TABLES IN SCHEMA behind TO PUBLIC;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA behind TO PUBLIC"""
SEEN = f"SELECT coalesce(current_setting('app.trigger', true), ''), coalesce(current_setting('app.view', true), ''), ({LOCKS})"


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("mode", ["track", "isolate", "allow"])
def test_what_no_sql_shows_is_washed_off(weir, postgres, own, mode):
    """And crosses where the operator allows it; else this would prove nothing."""
    postgres.query(BEHIND, dbname=own)
    other, client = begin(weir, own, session_state=mode)
    for sql in ("INSERT INTO behind.t (v) VALUES ('A') RETURNING id", "SELECT * FROM behind.v") * 3:
        client.query(sql)
        assert mode == "allow" or other.query(SEEN) == [["", "", "0"]]
    assert mode != "allow" or other.query(SEEN) == [["A", "A", "1"]]
    assert mode == "allow" or weir.metric("pgweir_pool_seals_total") > 0


def state_of_code(weir):
    return {row["state"]: row for row in weir.console("SHOW DATABASE_CODE")}


def wait_for_code(weir, state):
    wait_until(lambda: any(state in words.split(", ") for words in state_of_code(weir)), what="the answer about the code")


def test_a_lock_that_sql_in_a_string_takes_is_given_up(weir, postgres, own):
    """By the statement that asks what was written to the catalogs, as such code may have changed the code, too."""
    postgres.query(TRIGGER.format(body="BEGIN EXECUTE 'SELECT pg_advisory_lock(78)'; RETURN new; END"), dbname=own)
    other, client = begin(weir, own)
    wait_for_code(weir, "new_code")
    backends = set()
    for _ in range(3):
        client.query(INSERT)
        assert other.query(LOCKS) == [["0"]]
        backends.add(other.value(PID))
    assert len(backends) == 1, "each was closed, and not washed"


@pytest.mark.parametrize("mode", ["track", "isolate"])
def test_a_database_whose_code_touches_nothing_is_not_washed_but_with_isolate(weir, own, mode):
    """Then each return is, whatever was proved."""
    other, client = begin(weir, own, session_state=mode)
    wait_for_code(weir, "none")
    before = weir.metric_now("pgweir_pool_seals_total")
    for _ in range(10):
        client.query("SELECT 1")
        other.query("SELECT 2")
    washed = weir.metric_now("pgweir_pool_seals_total") - before
    assert washed >= 19 if mode == "isolate" else washed == 0       # the last one may still be under way


@pytest.mark.parametrize("made", ["temporary tables", "their indexes"])
def test_what_is_temporary_does_not_make_the_code_unknown(weir, postgres, own, made):
    """In a database without sequences, too."""
    postgres.query("CREATE FUNCTION risky() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE ''; END$$", dbname=own)
    client, other = begin(weir, own, clients=1)[0], weir.raw("reporting", own)
    wait_for_code(weir, "settings")
    before = weir.metric_now("pgweir_pool_seals_total", user="reporting")
    for _ in range(5):
        client.query("BEGIN")
        client.query("CREATE TEMP TABLE t (id serial, v int) ON COMMIT DROP")
        if made == "their indexes":
            client.query("CREATE INDEX ON t (v)")
        client.query("COMMIT")
        other.query("SELECT 1")
    assert weir.metric_now("pgweir_pool_seals_total", user="reporting") == before


def test_a_temporary_sequence_is_read_where_there_is_no_other(weir, own):
    other, client = begin(weir, own)
    assert "E:55000" in shape(other.ask(LASTVAL))
    wait_for_code(weir, "none")
    client.query("CREATE TEMP TABLE t (id serial, v int)")
    client.query("INSERT INTO t (v) VALUES (1)")
    assert client.query("SELECT lastval(), currval('t_id_seq')") == [["1", "1"]]
    client.query("DROP TABLE t")
    assert "E:55000" in shape(other.ask(LASTVAL))


def test_a_function_of_the_database_that_touches_nothing_needs_no_probe(weir, postgres, own):
    postgres.query("CREATE FUNCTION plain(i int) RETURNS int LANGUAGE sql AS 'SELECT i + 1'", dbname=own)
    other, client = begin(weir, own)
    wait_for_code(weir, "context")
    before = weir.metric_now("pgweir_session_probes_total")
    for number in range(5):
        assert client.value(f"SELECT plain({number})") == str(number + 1)
    assert weir.metric_now("pgweir_session_probes_total") == before
    client.query("SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1)")
    other.query("SELECT 1")
    assert weir.metric_now("pgweir_session_probes_total") > before


def test_what_a_trigger_may_do_is_washed_off_and_only_what_is_called_is_asked_about(weir, postgres, own):
    """As an audited INSERT of ST_MakePoint() is."""
    postgres.query("CREATE FUNCTION plain(i int) RETURNS int LANGUAGE sql AS 'SELECT i + 1'; "
                   "CREATE FUNCTION tenant(i int) RETURNS int LANGUAGE sql AS $$SELECT set_config('app.tenant', i::text, false)::int$$; "
                   "CREATE TABLE t (v int); GRANT ALL ON t TO web; CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS "
                   "$$BEGIN EXECUTE format('SELECT %s', NEW.v); RETURN NULL; END$$; "
                   "CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION audit()", dbname=own)
    other, client = begin(weir, own)
    wait_for_code(weir, "settings")
    before, washed = weir.metric_now("pgweir_session_probes_total"), weir.metric("pgweir_pool_seals_total")
    for number in range(5):
        client.query(f"INSERT INTO t VALUES (plain({number}))")
        other.query("SELECT 1")
    assert weir.metric_now("pgweir_session_probes_total") == before
    assert weir.metric("pgweir_pool_seals_total") >= washed + 5
    client.query("INSERT INTO t VALUES (tenant(7))")
    other.query("SELECT 1")
    assert client.value("SELECT current_setting('app.tenant')") == "7"


def test_washing_does_not_load_plpgsql(weir, postgres, own):
    """Else SET plpgsql.x fails, which does not directly; nor does closing dblink's connections fail."""
    postgres.query("CREATE EXTENSION dblink; GRANT ALL ON FUNCTION dblink_connect_u(text, text) TO web; CREATE FUNCTION links() RETURNS "
                   "text LANGUAGE sql AS $$SELECT dblink_connect_u('a', 'dbname=app user=postgres host="
                   f"{postgres.socket_dir} port={postgres.port}')$$", dbname=own)
    other, client = begin(weir, own)
    pid = other.value(PID)
    wait_until(lambda: "remote_sessions" in str(state_of_code(weir)) or not other.query("SELECT 1"), what="the answer")
    for _ in range(2):
        client.query("SELECT links()")
        assert other.query(f"{DBLINKS}, pg_backend_pid()") == [[None, pid]]
    other.query("SET plpgsql.x = '1'")
    other.leave()
    other = weir.raw("web", own)
    client.query("DO $$BEGIN PERFORM links(); END$$")           # now it is loaded, and no such setting is possible
    assert other.query(DBLINKS) == [[None]]


def test_many_custom_settings_of_one_transaction_stay_with_their_client(weir, own):
    other, client = begin(weir, own)
    names = [f"app.s{number}" for number in range(20)]
    client.query("BEGIN")
    for name in names:
        client.query(f"SET {name} = 'A'")
    client.query("COMMIT")
    for name in names:
        ask_name = f"SELECT coalesce(current_setting('{name}', true), '')"
        assert (other.value(ask_name), client.value(ask_name)) == ("", "A"), name


def test_what_was_allowed_to_stay_is_gone_after_a_reload(weir, own):
    _, client = begin(weir, own, session_state="allow")
    client.query("SET app.user_id = 'A'")
    weir.reload({f"database {own}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0, session_state="track")
    assert weir.raw("web", own).query(USER_ID) == [[""]]


# --- what nothing washes off ------------------------------------------------------------------------------------

def test_what_nothing_resets_is_not_handed_on_even_right_after_its_code_was_made(weir, own):
    other, client = begin(weir, own, user="postgres")
    wait_until(lambda: client.query("SELECT 1") and "none" in state_of_code(weir), what="the answer about the code")
    before = other.value(PID)
    client.query("CREATE FUNCTION keeps() RETURNS void LANGUAGE plpgsql AS $$BEGIN LOAD 'auto_explain'; END$$")
    client.query("SELECT keeps()")
    assert other.query("SELECT count(*) FROM pg_settings WHERE name LIKE 'auto_explain.%'") == [["0"]]
    assert other.value(PID) != before


@pytest.mark.long
def test_a_database_is_asked_again_whose_code_left_what_nothing_resets(weir, postgres, own):
    postgres.query("CREATE FUNCTION keeps() RETURNS void LANGUAGE plpgsql AS $$BEGIN LOAD 'x'; END$$", dbname=own)
    client = begin(weir, own, clients=1)[0]
    before = client.value(PID)
    assert before == client.value(PID)
    assert errors(client.ask(query("SELECT keeps()")))
    assert client.value(PID) != before          # its use costs the connection
    weir.wait_log("closed after use")
    postgres.query("DROP FUNCTION keeps()", dbname=own)
    wait_until(lambda: client.value(PID) == client.value(PID), 100, "the connection to be kept", 0.2)


LEAVE = """CREATE FUNCTION leave() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM set_config(''app.user_id'', ''A'', false); RETURN 1; END';
    CREATE FUNCTION "ポ"() RETURNS int LANGUAGE sql AS 'SELECT leave()';
    CREATE DOMAIN positive AS int CHECK (VALUE < 10 + leave()); CREATE TYPE pair AS (v positive)"""


@pytest.mark.parametrize("messages", [
    [parse("", "SELECT '(1)'::pair") + sync()], [parse("one", "SELECT '(2)'::pair") + sync()],
    [query("SET client_encoding = 'SJIS'"), query(b"SELECT \x83\x7c()")]], ids=["unnamed", "named", "half a letter"])
def test_what_a_parse_and_an_odd_name_leave(weir, postgres, own, messages):
    """PostgreSQL checks a constant's domains when it reads the SQL."""
    postgres.query(LEAVE, dbname=own)
    other, client = begin(weir, own)
    wait_for_code(weir, "settings")
    for message in messages:
        client.ask(message)
    assert other.query(USER_ID) == [[""]]


KEEP = """CREATE FUNCTION keep() RETURNS int LANGUAGE plpgsql AS $$BEGIN IF false THEN LOAD 'x'; END IF; RETURN 1; END$$;
    CREATE DOMAIN kept AS int CHECK (VALUE < 10 + keep()); CREATE TYPE pair AS (v kept)"""


@pytest.mark.parametrize("sent, name", [("a short one", ""), ("a short one", "one"), ("a long one", ""), ("half of a long one", "")])
def test_a_server_is_closed_whose_client_leaves_behind_a_parse_that_nothing_washes_off(weir, postgres, own, sent, name):
    """No Sync, and no Bind: what the SQL could leave was counted when it was sent, with its first packet."""
    postgres.query(KEEP, dbname=own)
    other, client = begin(weir, own)
    before = client.value(PID)
    wait_for_code(weir, "backend")
    assert other.value(PID) == before
    message = parse(name, "SELECT '(1)'::pair" + " " * (0 if sent == "a short one" else 1_500_000))
    if sent == "half of a long one":
        client.send(message[:700_000])
        wait_until(lambda: weir.pool(own)["sv_active"] == 1)
    else:
        client.send(message + flush())
        assert shape(client.read_until("1")) == "1"
    client.leave()
    assert other.value(PID) != before


@pytest.mark.long
def test_a_question_about_code_may_take_longer_than_a_ping(weir, postgres, own):
    """It rides on a ping, which fails after 2 s: the connection was closed then."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pg_foreign_server'::regclass"
    wire = begin(weir, own, clients=1)[0]
    with postgres.connect(dbname=own) as holder, holder.cursor() as locker:
        pid = wire.query(PID)
        wait_until(lambda: weir.metric("pgweir_pool_server_connections", state="idle") == 1)    # all is known
        locker.execute("BEGIN; LOCK TABLE pg_foreign_server IN ACCESS EXCLUSIVE MODE")
        wire.query("SELECT 1")          # so that it is asked again
        wait_until(lambda: postgres.value(waits, dbname=own) == 1)
        locker.execute("SELECT pg_sleep(2.4)")
        locker.execute("COMMIT")
        assert wire.query(PID) == pid


# --- random numbers ---------------------------------------------------------------------------------------------

def test_a_client_alone_goes_on_with_its_own_random_numbers(weir, own):
    """And nobody with what another one has seen of them."""
    other, client = begin(weir, own)

    def drawn():
        client.query("SELECT setseed(0.5)")
        return [client.value("SELECT random()") for _ in range(2)]

    wanted = drawn()
    assert drawn() == wanted
    client.query("SELECT setseed(0.5)")
    assert client.value("SELECT random()") == wanted[0]
    assert other.value("SELECT random()") != wanted[1]
    other.query("SELECT setseed(0.5)")
    other.query("SELECT random()")
    assert client.value("SELECT random()") != wanted[1]
    assert other.query("SELECT setting FROM pg_settings WHERE name = 'seed' AND source = 'session'") == []


@pytest.mark.parametrize("how", ["reload", "another user"])
def test_who_keeps_its_server_has_random_numbers_of_its_own(weir, own, how):
    """pool_mode = session: nothing goes ahead of its requests."""
    settings = {"upstream": weir.upstream(user="web", dbname=own), "pool_size": 1, "max_overflow": 0}
    with weir.start(sections={"user reporting": {"pool_mode": "session"}}, **settings).raw() as first:
        pid, wanted = first.value("SELECT pg_backend_pid(), setseed(0.5)"), first.value("SELECT random()")
        first.query("SELECT setseed(0.5)")
    if how == "reload":
        weir.reload(pool_mode="session", **settings)
    with weir.raw("web" if how == "reload" else "reporting") as second:
        assert second.value("SELECT random()") != wanted
        assert second.value("SELECT pg_backend_pid()") == pid


SEEDS = {                           # code, A's packet
    "setseed()": ("", query("SELECT setseed(0.25)")),
    "SET": ("", query("SET seed = 0.25")),
    "setseed() as an attribute": ("", query("SELECT x.setseed FROM abs(0.25::float8) x")),
    "SET LOCAL": ("", query("BEGIN; SET LOCAL seed = 0.25; COMMIT")),
    "SET LOCAL, prepared": ("", extended('SET LOCAL "SEED" = 0.25')),
    "set_config()": ("", query("SELECT set_config('seed', '0.25', true)")),
    "set_config() with an escape": ("", query(r"SELECT set_config(E'se\x65d', '0.25', true)")),
    "set_config() of parameters": ("", extended("SELECT set_config($1, $2, true)", "seed", "0.25")),
    "a view": ("CREATE VIEW v AS SELECT set_config('seed', '0.25', true); GRANT ALL ON v TO PUBLIC", query("SELECT * FROM v")),
    "a trigger": (TRIGGER.format(body="BEGIN SET \"seed\" = 0.25; RETURN new; END"), query(INSERT)),
    "a trigger by set_config()": (TRIGGER.format(body="BEGIN PERFORM set_config('seed', '0.25', false); RETURN new; END"),
                                  query(INSERT)),
    "a function's own setting": ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SET seed = 0.25 AS 'SELECT 1'",
                                 query("SELECT f()")),
}


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_does_not_cross(weir, postgres, own, name):
    code, packet = SEEDS[name]
    postgres.query(code or "SELECT 1", dbname=own)
    other, client = begin(weir, own)
    ask(client, packet)
    assert sees(other, client, "SELECT random()")[0][0] not in seeded_numbers(postgres, "app")


DRAWS = {                           # A's packets
    "a query": (query("SELECT random()"),),
    "in a transaction": (query("BEGIN"), query("SELECT 1 ORDER BY random()"), query("COMMIT")),
    "extended": (extended("SELECT random() * $1::int", "9"),),
    "prepared": (parse("x", "SELECT random()") + sync(), bind("", "x") + execute() + sync(), query("SELECT 1")),
    "SQL PREPARE": (query("PREPARE x AS SELECT random()"), query("EXECUTE x"), query("DEALLOCATE x")),
    "a function": (query("SELECT f()"),),
    "a default": (query("INSERT INTO drawn VALUES (1) RETURNING r"),),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", DRAWS)
def test_who_has_seen_random_does_not_foretell_that_of_others(weir, postgres, own, name):
    """The server begins with a generator whose numbers are known, as whoever has seen some knows those that follow."""
    postgres.query("CREATE FUNCTION f() RETURNS float LANGUAGE plpgsql AS 'BEGIN RETURN random(); END'", dbname=own)
    postgres.query("CREATE TABLE drawn (v int, r float DEFAULT random()); GRANT ALL ON drawn TO PUBLIC", dbname=own)
    other, client = begin(weir, own, upstream={"connect_query": "'SELECT setseed(0.25)'"})
    for packet in DRAWS[name]:
        ask(client, packet)
    assert sees(other, client, "SELECT random()")[0][0] not in seeded_numbers(postgres, "app")


# --- settings that leave more than settings ---------------------------------------------------------------------

MAKES = TRIGGER.format(body="BEGIN CREATE TABLE kept (v int); RETURN new; END")
LEAVES_TABLE = {                    # code, and A's packets: the trigger's table is a temporary one
    "in a function's own search_path, behind a = sign":
        (MAKES + """ALTER FUNCTION tg() SET search_path = "a=b", pg_temp""", (query(INSERT),)),
    "for this transaction": (MAKES, (query("BEGIN"), query("SET LOCAL search_path = pg_temp, public"), query(INSERT),
                                     query("COMMIT"))),
    "as a string": (MAKES, (query("BEGIN"), query("SET LOCAL search_path = 'pg_temp', public"), query(INSERT),
                            query("COMMIT"))),
    "with an escape": (MAKES, (query("BEGIN"), query(r"SET LOCAL search_path = E'pg\x5ftemp', public"), query(INSERT),
                               query("COMMIT"))),
    "in Unicode": (MAKES, (query("BEGIN"), query(r'SET LOCAL search_path = U&"pg\005ftemp", public'), query(INSERT),
                           query("COMMIT"))),
    "there and back": (MAKES, (query("BEGIN"), query("SET search_path = pg_temp, public"), query(INSERT),
                               query("SET search_path = public"), query("COMMIT"))),
    "by set_config()": (MAKES, (query("BEGIN"), query("SELECT set_config('search_path', 'pg_temp, public', true)"),
                                query(INSERT), query("COMMIT"))),
    "by set_config() with an escape": (
        MAKES, (query("BEGIN"), query(r"SELECT set_config('search_path', E'pg\x5ftemp, public', true)"), query(INSERT),
                query("COMMIT"))),
    "by a parameter": (MAKES, (query("BEGIN"), extended("SELECT set_config('search_path', $1, true)", "pg_temp, public"),
                               extended(INSERT), query("COMMIT"))),
    "by one of several": (MAKES, (query("BEGIN"),
                                  extended("SELECT set_config('app.x', 'x', true), set_config($2, $1, true)",
                                           "pg_temp, public", "search_path"), extended(INSERT), query("COMMIT"))),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", LEAVES_TABLE)
def test_tables_that_are_temporary_unseen_do_not_cross(weir, postgres, own, name):
    code, packets = LEAVES_TABLE[name]
    postgres.query(code, dbname=own)
    other, client = begin(weir, own)
    for packet in packets:
        ask(client, packet)
    assert client.query(TEMPORARY) == [["1"]] or "function" in name
    assert sees(other, client, TEMPORARY) == [["0"]]


# --- sessions on other servers ----------------------------------------------------------------------------------

TABLE = """CREATE TABLE t (v int); GRANT ALL ON t TO PUBLIC;
    CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg();"""
DBLINKS = "SELECT dblink_get_connections()"
BACKEND = {
    "by dynamic SQL": (
        "CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN EXECUTE 'SELECT dblink_con' || "
        "'nect(''a'', ''DBLINK'')'; RETURN new; END $f$;" + TABLE, INSERT),
    "by a DO block": ("", "DO $$ BEGIN EXECUTE 'SELECT dblink_con' || 'nect(''a'', ''DBLINK'')'; END $$"),
    "where PostgreSQL does not tell about the code": (
        "CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM dblink_connect_u('a', 'DBLINK'); "
        "RETURN new; END $f$; REVOKE SELECT ON pg_policy FROM PUBLIC;" + TABLE, INSERT),
}


@pytest.mark.parametrize("name", BACKEND)
def test_connections_of_dblink_do_not_cross(weir, postgres, own, name):
    address = f"dbname={own} host={postgres.host} port={postgres.port} user=web"
    code, step = (sql.replace("DBLINK", address) for sql in BACKEND[name])
    postgres.query("CREATE EXTENSION dblink; GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO PUBLIC;" + code,
                   dbname=own)
    other, client = begin(weir, own, user="web" if "tell" in name else "postgres")
    client.query(step)
    assert sees(other, client, DBLINKS) == [[None]]


def test_sessions_elsewhere_end_and_the_connection_stays(weir, postgres, own):
    schema = "\"A b'x%\""
    address = f"dbname={own} host={postgres.host} port={postgres.port} user=web"
    postgres.query(f"CREATE SCHEMA {schema}; CREATE EXTENSION dblink SCHEMA {schema}; CREATE EXTENSION postgres_fdw SCHEMA "
                   f"{schema}; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw", dbname=own)
    other, client = begin(weir, own, user="postgres")
    pid = other.query(PID)
    for name in ("", "$q$a$q$, ", "$q$b\"'$q$, "):
        client.query(f"DO $do$ BEGIN EXECUTE $x$SELECT {schema}.dblink_con$x$ || $x$nect({name}$q${address}$q$)$x$; END $do$")
    assert other.query(f"SELECT {schema}.dblink_get_connections()") == [[None]]
    assert [e.sqlstate for e in errors(other.ask(query(f"SELECT {schema}.dblink_disconnect()")))] == ["08003"]
    assert client.query(PID) == pid


@pytest.mark.parametrize("version, is_kept", [("1.1", True), ("1.0", False)])
def test_sessions_of_postgres_fdw_do_not_cross(weir, postgres, own, version, is_kept):
    postgres.query(VIEW_FOR_ALL + f"""; CREATE EXTENSION postgres_fdw VERSION '{version}';
        CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{postgres.host}', port '{postgres.port}', dbname
        '{own}'); CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'web', password_required 'false');
        CREATE VIEW who AS SELECT coalesce(current_setting('app.user_id', true), '') AS v; GRANT ALL ON who TO PUBLIC;
        CREATE FOREIGN TABLE far_who (v text) SERVER s OPTIONS (table_name 'who'); GRANT ALL ON far_who TO PUBLIC;
        CREATE FOREIGN TABLE far_sly (set_config text) SERVER s OPTIONS (table_name 'sly');
        GRANT ALL ON far_sly TO PUBLIC""", dbname=own)
    other, client = begin(weir, own)
    pid = client.query(PID)
    client.query("SELECT * FROM far_sly")
    assert other.query("SELECT * FROM far_who") == [[""]]
    assert (other.query(PID) == pid) == is_kept


# --- what B reads without saying so -----------------------------------------------------------------------------

def lastval_oid(postgres):
    return int(postgres.value("SELECT 'lastval()'::regprocedure::oid::bigint"))


READS = {
    "said": lambda oid: query("SELECT lastval()"),
    "DO": lambda oid: query("DO $$ BEGIN RAISE EXCEPTION USING errcode = 'P' || lpad(lastval()::text, 4, '0'); END $$"),
    "query_to_xml": lambda oid: query("SELECT query_to_xml(reverse(')(lavtsal TCELES'), true, true, '')"),
    "fastpath": lambda oid: function_call(oid, (), (), 1),
    "prepared": lambda oid: parse("", "SELECT lastval()") + bind() + execute() + sync(),
    "EXECUTE": lambda oid: query("PREPARE l AS SELECT lastval(); EXECUTE l"),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("write", ["SELECT nextval('later_numbers')", "INSERT INTO later_serial DEFAULT VALUES",
                                   "DO $$ BEGIN PERFORM nextval('later_numbers'); END $$"])
def test_what_a_sequence_gave_another_is_not_read(weir, postgres, own, read, write):
    postgres.query("CREATE SEQUENCE later_numbers; GRANT ALL ON later_numbers TO PUBLIC; CREATE TABLE later_serial "
                   "(id serial); GRANT ALL ON later_serial, later_serial_id_seq TO PUBLIC", dbname=own)
    message = READS[read](lastval_oid(postgres))
    with Wire(direct(postgres)).login("web", own) as wire:
        assert "E:55000" in shape(wire.ask(message))
        wire.query(write)
        assert "E:55000" not in shape(wire.ask(message))
    other, client = begin(weir, own)
    client.query(write)
    assert "E:55000" in shape(other.ask(message))


def test_what_forgets_a_sequence_is_not_what_a_client_has_parsed(weir, postgres, own):
    """DISCARD SEQUENCES is prepared as the unnamed statement, behind the client's own Parse, which is answered after
    that: the client's next Bind must not run it."""
    postgres.query("CREATE SEQUENCE later_numbers; GRANT ALL ON later_numbers TO PUBLIC", dbname=own)
    other, client = begin(weir, own)
    client.query("SELECT nextval('later_numbers')")
    other.send(parse("", "SELECT 'mine'") + parse("s", "SELECT nextval('later_numbers')") + bind("", "s") + execute() +
               flush())
    assert shape(other.read_until("C")) == "1 1 2 D C:SELECT 1"
    assert shape(other.ask(bind() + execute() + sync())) == "2 D C:SELECT 1 Z:I"


# --- sequences that are not there -------------------------------------------------------------------------------

DISCARD, LASTVAL = b"DISCARD /* pgweir */ SEQUENCES", query("SELECT lastval()")


@pytest.fixture
def two_writers(weir, postgres, own, tap):
    """Two clients on one server of a database that has a table and no sequence; pgweir knows that."""
    if transport.IS_TLS:
        pytest.skip("what is encrypted can't be read")
    postgres.query("CREATE TABLE later_plain_table (v int); ALTER TABLE later_plain_table OWNER TO web", dbname=own)
    one, two = begin(weir, own, upstream={"port": tap.port})
    wait_until(lambda: one.query("SELECT 1") and
               any(row["state"] == "none" for row in weir.console("SHOW DATABASE_CODE")), what="an answer")
    yield one, two


WRITE = "INSERT INTO later_plain_table VALUES (1)"
SERIAL = "CREATE TABLE later_serial (id serial); GRANT ALL ON later_serial, later_serial_id_seq TO PUBLIC"
SERIAL_WRITE = "INSERT INTO later_serial DEFAULT VALUES"


def test_who_writes_where_no_sequence_is_pays_for_none(two_writers, tap):
    for _ in range(3):
        each(two_writers).query(WRITE)
    assert DISCARD not in tap.to_server
    two_writers[0].ask(LASTVAL)     # who could read one has its own only, whatever the catalogs showed
    assert DISCARD in tap.to_server


@pytest.mark.parametrize("steps", [(SERIAL, SERIAL_WRITE), ("BEGIN", SERIAL, SERIAL_WRITE, "COMMIT"),
                                   (f"{SERIAL}; {SERIAL_WRITE}",),
                                   ("BEGIN", "ALTER TABLE later_plain_table ADD COLUMN id serial", WRITE, "COMMIT")])
def test_the_first_sequence_is_its_makers_at_once(two_writers, steps):
    one, two = two_writers
    two.query(WRITE)
    for step in steps:
        one.query(step)
    assert "E:55000" not in shape(one.ask(LASTVAL))
    assert "E:55000" in shape(two.ask(LASTVAL))


def test_a_sequence_that_somebody_else_makes_crosses_to_nobody(two_writers, postgres, own):
    """Before pgweir has asked the catalogs again."""
    one, two = two_writers
    postgres.query(SERIAL, dbname=own)
    one.query(SERIAL_WRITE)
    two.query(WRITE)
    assert "E:55000" in shape(two.ask(LASTVAL))


SPOILT = {                                  # turns of compare.converse
    "skipped": [one_statement("SELEC") + one_statement(SERIAL_WRITE) + sync(), LASTVAL],
    "skipped, and at once": [(one_statement("SELEC") + one_statement(SERIAL_WRITE) + sync() + LASTVAL, 2)],
    "skipped, as is known": [(one_statement("SELEC") + flush(), "E"), query(SERIAL_WRITE) + sync(), LASTVAL],
    "within a failed transaction": [(query("BEGIN; SELECT 1/0") + query(SERIAL_WRITE) + query("ROLLBACK"), 3), LASTVAL],
    "prepared, within a failed transaction": [
        (query("BEGIN; SELECT 1/0") + one_statement(SERIAL_WRITE) + sync() + query("ROLLBACK"), 3), LASTVAL],
    "behind a failed transaction": [query("BEGIN; SELECT 1/0"), (query("ROLLBACK") + LASTVAL, 2)],
    "behind one, within a request": [query("BEGIN; SELECT 1/0"),
                                     one_statement("ROLLBACK") + one_statement("SELECT lastval()") + sync()],
    "a function call": [(query("BEGIN; SELECT 1/0") + function_call(177, [b"\0\0\0\1", b"\0\0\0\2"]) +
                         query("ROLLBACK"), 3), LASTVAL],
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("turns", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("is_parsed", [False, True])
def test_what_a_sequence_gave_another_is_forgotten_though_requests_fail(weir, postgres, own, turns, is_parsed):
    """All replies are PostgreSQL's to a new session; nobody is disconnected."""
    postgres.query(SERIAL, dbname=own)
    other, client = begin(weir, own)
    client.query(SERIAL_WRITE)
    if is_parsed:
        other.ask(parse("", "SELECT 1") + sync())
    with Wire(direct(postgres)).login("web", own) as wire:
        assert normalized(converse(other, turns)) == normalized(converse(wire, turns))


@pytest.mark.parametrize("text", ["ROLLBACK; SELECT lastval()", "ROLLBACK; /*" + "x" * 100_000 + "*/SELECT lastval()"],
                         ids=["short", "long"])
def test_what_a_sequence_gave_another_is_not_read_behind_a_rollback(weir, postgres, own, text):
    """Nothing can be forgotten in a failed transaction: what leaves it and reads at once is refused."""
    postgres.query(SERIAL, dbname=own)
    other, client = begin(weir, own)
    client.query(SERIAL_WRITE)
    other.ask(query("BEGIN; SELECT 1/0"))
    assert shape(other.ask(query(text))) == "E:25P02 Z:E"
    assert shape(other.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
    assert "E:55000" in shape(other.ask(LASTVAL))


# --- the next client pays nothing -------------------------------------------------------------------------------

HIDDEN = "DO $$ BEGIN PERFORM set_config('{}', '{}', false); END $$"
MESSES = {
    "a statement like ours": ('PREPARE "pgweir_?pgweir_" AS SELECT 1; DEALLOCATE pgweir_',),
    "a placeholder of plpgsql's": ("SET plpgsql.foo = '1'", "DO $$ BEGIN END $$"),
    "a placeholder of plpgsql's, and a function": ("SET plpgsql.foo = '1'", "SELECT later_plain()"),
    "a placeholder that nothing may set": (HIDDEN.format("plpgsql.foo", "1"), "SELECT later_plain()"),
    "all statements gone": ("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",),
    "all statements gone among others": ("SELECT 1; DEALLOCATE ALL; SELECT 2",),
    "everything discarded": ("DISCARD ALL",),
    "a statement that is gone before it is deallocated": ("PREPARE one AS SELECT 1", "EXECUTE one", "DO $$ BEGIN EXECUTE 'DEALLOCATE one'; END $$"),
    "a custom setting": ("SET app.x = 'A'",),
    "no time for a statement": (HIDDEN.format("statement_timeout", "1"),),
    "no time for a lock": (HIDDEN.format("lock_timeout", "1"),),
    "no time to be idle": (HIDDEN.format("idle_session_timeout", "1"),),
    "no time in a transaction": (HIDDEN.format("idle_in_transaction_session_timeout", "1"),),
    "read only": (HIDDEN.format("default_transaction_read_only", "on"),),
    "an error ends it": (HIDDEN.format("exit_on_error", "on"),),
    "no schema": (HIDDEN.format("search_path", ""),),
    "another encoding": (HIDDEN.format("client_encoding", "EUC_JP"),),
    "a role": (HIDDEN.format("role", "later_nobody"),),
    "a role that is gone": ("SET ROLE later_gone", "DROP_ROLE"),
    "a cursor with our name": ("DO $$ BEGIN EXECUTE 'DECLARE pgweir_ CURSOR WITH HOLD FOR SELECT 1'; END $$",),
    "many temporary tables": ("DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE 'CREATE TEMP TABLE many_' || i || ' (v serial)'; "
                              "END LOOP; END $$",),
    "temporary tables and no time": ("DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE 'CREATE TEMP TABLE many_' || i || "
                                     "' (v serial)'; END LOOP; PERFORM set_config('statement_timeout', '1', false); END $$",),
    "a temporary function called as ours": (
        "CREATE FUNCTION pg_temp.pg_advisory_unlock_all() RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''x''; END'",
        HIDDEN.format("search_path", "pg_temp, pg_catalog")),
    "a temporary view called as a catalog": ("CREATE TEMP VIEW pg_settings AS SELECT 1 / 0 AS name",
                                             HIDDEN.format("search_path", "pg_temp, pg_catalog")),
    "a statement with an odd name": ("DO $$ BEGIN EXECUTE 'PREPARE \"a \"\"b; SELECT 1/0 --\" AS SELECT 1'; END $$",),
    "a channel with an odd name": ("DO $$ BEGIN EXECUTE 'LISTEN \"a \"\"b; SELECT 1/0 --\"'; END $$",),
    "a hundred settings": ("DO $$ BEGIN FOR i IN 1..100 LOOP PERFORM set_config('app.p' || i, repeat('x', 1000), false); "
                           "END LOOP; END $$",),
    "a setting with an odd name": (HIDDEN.format("app.a_$b", "1"),),
}


@pytest.mark.long
@pytest.mark.parametrize("state", ["track", "isolate", "pin"])
def test_the_next_client_pays_nothing(weir, postgres, own, state):
    """Its first statements are answered as if nobody had been there, three in a row of each kind."""
    postgres.query("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'later_nobody') THEN "
                   "CREATE ROLE later_nobody; GRANT later_nobody TO web; END IF; END $$")
    postgres.query("CREATE FUNCTION later_plain() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", dbname=own)
    weir.start({f"database {own}": {"upstream": weir.upstream()}}, pool_size=1, max_overflow=0, session_state=state)
    wrong = []
    for name, steps in MESSES.items():
        other = weir.raw("web", own)
        other.ask(parse("known", "SELECT 4711") + sync())
        for is_gone in (False, True, False):
            client = weir.raw("web", own)
            try:
                for step in steps:
                    make_mess(postgres, client, step)
                if is_gone:
                    client.leave()
                seen = first_statement(other, client)
            except WireError as error:
                seen = f"trouble: {error}"
            client.leave()
            if seen != [["4711"], ["web", "f", "", "0"]]:
                wrong.append(f"{name}{', A has gone' if is_gone else ''}: {seen}")
                other = weir.raw("web", own)
                other.ask(parse("known", "SELECT 4711") + sync())
        other.leave()
    assert not wrong, "\n".join(wrong)


def make_mess(postgres, client, step):
    if step == "DROP_ROLE":
        postgres.query("DROP ROLE later_gone")
        return
    if "later_gone" in step:
        postgres.query("CREATE ROLE later_gone; GRANT later_gone TO web")
    for reply in errors(client.ask(query(step))):
        assert reply.sqlstate in ("57014", "26000", "42602"), f"{step}: {reply.error}"


def first_statement(other, client):
    """By name, then a text; whatever ended the client's own session is none of B's business."""
    other.send(bind("", "known") + execute() + sync() +
               query("SELECT current_user, pg_is_in_recovery()::text::bool::text::char, coalesce(current_setting('app.x', true), ''), "
                     "(SELECT count(*) FROM pg_prepared_statements WHERE from_sql)"))
    if other.has_nothing_more(0.25):
        client.leave()
    replies = other.read_until("Z", 2)
    failed = [reply.error for reply in errors(replies)]
    return failed or texts(replies)
