"""A server connection that comes back is washed of what its last client may have left in the session, whether its SQL
showed that or not - unless it is proved that nothing can be there."""

import psycopg
import pytest

import rawwire
from waiting import wait_until

pytestmark = pytest.mark.weir_only
OWN = "seal_own"                    # what the code of "app" can do depends on which tests ran before


@pytest.fixture(autouse=True)
def database(postgres):
    postgres.query(f"CREATE DATABASE {OWN}")
    postgres.query("GRANT ALL ON SCHEMA public TO PUBLIC", dbname=OWN)
    yield
    postgres.query(f"DROP DATABASE {OWN} WITH (FORCE)")


def begin(weir, user=None, **settings):
    words = {"dbname": OWN} if user is None else {"dbname": OWN, "user": user}
    weir.start(upstream=weir.upstream(**words), **settings)


@pytest.fixture
def code(postgres):
    """Code of the database's own that touches session state behind an innocent INSERT, SELECT or operator."""
    postgres.query("""
        DROP SCHEMA IF EXISTS behind CASCADE;
        CREATE SCHEMA behind;
        CREATE TABLE behind.t (id serial PRIMARY KEY, v text);
        CREATE VIEW behind.v AS SELECT set_config('app.view', 'A', false);
        CREATE FUNCTION behind.remember() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN PERFORM set_config('app.trigger', new.v, false); PERFORM pg_advisory_lock(77); RETURN new; END$$;
        CREATE TRIGGER remember BEFORE INSERT ON behind.t FOR EACH ROW EXECUTE FUNCTION behind.remember();
        GRANT ALL ON SCHEMA behind TO PUBLIC;
        GRANT ALL ON ALL TABLES IN SCHEMA behind TO PUBLIC;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA behind TO PUBLIC""", dbname=OWN)
    yield
    postgres.query("DROP SCHEMA behind CASCADE", dbname=OWN)


SEEN = """SELECT current_setting('app.trigger', true), current_setting('app.view', true),
          (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"""


def seen(connection):
    trigger, view, locks = connection.execute(SEEN).fetchone()
    return trigger or None, view or None, locks


def session(weir, **words):
    return weir.connect(autocommit=True, **words)


@pytest.mark.parametrize("mode", ["track", "isolate"])
def test_what_no_sql_shows_is_washed_off(weir, code, mode):
    begin(weir, pool_size=1, max_overflow=0, session_state=mode)
    first, second = session(weir), session(weir)
    for number in range(3):
        first.execute("INSERT INTO behind.t (v) VALUES ('A') RETURNING id")
        assert seen(second) == (None, None, 0)
        first.execute("SELECT * FROM behind.v")
        assert seen(second) == (None, None, 0)
    assert weir.metric("pgweir_pool_seals_total") > 0


def test_a_lock_that_sql_in_a_string_takes_is_given_up(weir, code, postgres):
    """By the statement that asks what was written to the catalogs, as such code may have changed the code, too."""
    postgres.query("""CREATE TABLE behind.audited (v int); GRANT ALL ON behind.audited TO PUBLIC;
                      CREATE FUNCTION behind.audit() RETURNS trigger LANGUAGE plpgsql AS
                          $$BEGIN EXECUTE 'SELECT pg_advisory_lock(78)'; RETURN new; END$$;
                      CREATE TRIGGER a AFTER INSERT ON behind.audited FOR EACH ROW EXECUTE FUNCTION behind.audit()""",
                   dbname=OWN)
    begin(weir, pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    first.execute("SELECT 1")
    wait_for_code(weir, "new_code")
    backends = set()
    for number in range(3):
        first.execute("INSERT INTO behind.audited VALUES (1)")
        assert seen(second) == (None, None, 0)
        backends.add(second.execute("SELECT pg_backend_pid()").fetchone())
    assert len(backends) == 1, "each was closed, and not washed"


def test_it_crosses_where_the_operator_allows_it(weir, code):
    """Else the tests here would prove nothing."""
    begin(weir, pool_size=1, max_overflow=0, session_state="allow")
    first, second = session(weir), session(weir)
    first.execute("INSERT INTO behind.t (v) VALUES ('A') RETURNING id")
    first.execute("SELECT * FROM behind.v")
    assert seen(second) == ("A", "A", 1)


def state_of_code(weir):
    return {row["state"]: row for row in weir.console("SHOW DATABASE_CODE")}


def wait_for_code(weir, state):
    wait_until(lambda: any(state in words.split(", ") for words in state_of_code(weir)), what="the answer about the code")


def test_a_database_whose_code_touches_nothing_is_not_washed(weir, postgres):
    begin(weir, pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    first.execute("SELECT 1")
    wait_for_code(weir, "none")
    before = weir.metric_now("pgweir_pool_seals_total")
    for _ in range(20):
        first.execute("SELECT 1")
        second.execute("SELECT 2")
    assert weir.metric_now("pgweir_pool_seals_total") == before


@pytest.mark.parametrize("made", ["temporary tables", "their indexes"])
def test_what_is_temporary_does_not_make_the_code_unknown(weir, postgres, made):
    """In a database without sequences, too."""
    postgres.query("CREATE FUNCTION risky() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE ''; END$$", dbname=OWN)
    begin(weir)
    first, second = session(weir), session(weir, user="reporting")
    first.execute("SELECT 1")
    wait_for_code(weir, "settings")
    before = weir.metric_now("pgweir_pool_seals_total", user="reporting")
    for _ in range(5):
        with first.transaction():
            first.execute("CREATE TEMP TABLE t (id serial, v int) ON COMMIT DROP")
            if made == "their indexes":
                first.execute("CREATE INDEX ON t (v)")
        second.execute("SELECT 1")
    assert weir.metric_now("pgweir_pool_seals_total", user="reporting") == before


def test_a_temporary_sequence_is_read_where_there_is_no_other(weir):
    begin(weir, pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        second.execute("SELECT lastval()")
    wait_for_code(weir, "none")
    first.execute("CREATE TEMP TABLE t (id serial, v int)")
    first.execute("INSERT INTO t (v) VALUES (1)")
    assert first.execute("SELECT lastval(), currval('t_id_seq')").fetchone() == (1, 1)
    first.execute("DROP TABLE t")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        second.execute("SELECT lastval()")


def test_ddl_through_pgweir_is_known_at_once(weir, postgres):
    begin(weir, pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    first.execute("SELECT 1")
    wait_for_code(weir, "none")
    first.execute("CREATE VIEW sly AS SELECT set_config('app.view', 'A', false)")
    try:
        first.execute("SELECT * FROM sly")
        assert seen(second) == (None, None, 0)
        wait_until(lambda: second.execute("SELECT 1") and "settings" in "".join(state_of_code(weir)), what="the new answer")
    finally:
        first.execute("DROP VIEW sly")


def test_a_function_of_the_database_that_touches_nothing_needs_no_probe(weir, postgres):
    postgres.query("CREATE OR REPLACE FUNCTION plain(i int) RETURNS int LANGUAGE sql AS 'SELECT i + 1'", dbname=OWN)
    begin(weir, pool_size=1, max_overflow=0)
    client = session(weir)
    client.execute("SELECT 1")
    wait_for_code(weir, "context")
    before = weir.metric_now("pgweir_session_probes_total")
    for number in range(5):
        assert client.execute(f"SELECT plain({number})").fetchone()[0] == number + 1
    assert weir.metric_now("pgweir_session_probes_total") == before
    client.execute("SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1)")
    session(weir).execute("SELECT 1")
    assert weir.metric_now("pgweir_session_probes_total") > before


def test_a_random_seed_is_not_the_next_clients(weir):
    begin(weir, pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    drawn = set()
    for sql in ("SELECT setseed(0.5)", "SET seed = 0.5", "SELECT (0.5).setseed"):
        try:
            first.execute(sql)
        except psycopg.errors.SyntaxError:
            first.execute("SELECT setseed(0.5)")
        drawn.add(second.execute("SELECT random()").fetchone()[0])
    assert len(drawn) == 3


def test_a_client_alone_goes_on_with_its_own_random_numbers(weir):
    """And nobody with what another one has seen of them."""
    begin(weir, pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)

    def drawn():
        first.execute("SELECT setseed(0.5)")
        return [first.execute("SELECT random()").fetchone() for _ in range(2)]

    wanted = drawn()
    assert drawn() == wanted
    first.execute("SELECT setseed(0.5)")
    assert first.execute("SELECT random()").fetchone() == wanted[0]
    assert second.execute("SELECT random()").fetchone() != wanted[1]
    second.execute("SELECT setseed(0.5)")
    second.execute("SELECT random()")
    assert first.execute("SELECT random()").fetchone() != wanted[1]
    assert second.execute("SELECT setting FROM pg_settings WHERE name = 'seed' AND source = 'session'").fetchall() == []


@pytest.mark.parametrize("how", ["reload", "another user"])
def test_who_keeps_its_server_has_random_numbers_of_its_own(weir, how):
    """pool_mode = session: nothing goes ahead of its requests."""
    settings = {"upstream": weir.upstream(user="web", dbname=OWN), "pool_size": 1, "max_overflow": 0}
    weir.start(sections={"user reporting": {"pool_mode": "session"}}, **settings)
    with weir.raw() as first:
        pid, wanted = first.value("SELECT pg_backend_pid(), setseed(0.5)"), first.value("SELECT random()")
        first.query("SELECT setseed(0.5)")
    if how == "reload":
        weir.reload(pool_mode="session", **settings)
    with weir.raw("web" if how == "reload" else "reporting") as second:
        assert second.value("SELECT random()") != wanted
        assert second.value("SELECT pg_backend_pid()") == pid


def test_washing_does_not_load_plpgsql(weir, postgres):
    """Else SET plpgsql.x fails, which does not directly; nor does closing dblink's connections fail."""
    postgres.query("CREATE EXTENSION dblink", dbname=OWN)
    postgres.query("CREATE FUNCTION links() RETURNS text LANGUAGE sql AS $$SELECT dblink_connect_u('a', 'dbname=app user=postgres host="
                   f"{postgres.socket_dir} port={postgres.port}')$$; GRANT ALL ON FUNCTION dblink_connect_u(text, text) TO web",
                   dbname=OWN)
    begin(weir, pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    pid = second.execute("SELECT pg_backend_pid()").fetchone()
    wait_until(lambda: "remote_sessions" in str(state_of_code(weir)) or not second.execute("SELECT 1"), what="the answer")
    for _ in range(2):
        first.execute("SELECT links()")
        assert second.execute("SELECT dblink_get_connections(), pg_backend_pid()").fetchone() == (None, *pid)
    second.execute("SET plpgsql.x = '1'")
    second.close()
    second = session(weir)
    first.execute("DO $$BEGIN PERFORM links(); END$$")          # now it is loaded, and no such setting is possible
    assert second.execute("SELECT dblink_get_connections()").fetchone() == (None,)


def test_many_custom_settings_of_one_transaction_stay_with_their_client(weir):
    begin(weir, pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    with first.transaction():
        for number in range(20):
            first.execute(f"SET app.s{number} = 'A'")
    for number in range(20):
        value = second.execute(f"SELECT current_setting('app.s{number}', true)").fetchone()[0]
        assert not value, f"app.s{number} is {value}"
        assert first.execute(f"SELECT current_setting('app.s{number}', true)").fetchone() == ("A",)


def test_a_statement_that_a_do_block_prepared_is_washed_off(weir):
    begin(weir, pool_size=1, max_overflow=0, session_state="isolate")
    first, second = session(weir), session(weir)
    first.execute("DO $$BEGIN EXECUTE 'PREPARE \"sly \"\"one\" AS SELECT 1'; END$$")
    first.close()
    assert second.execute("SELECT count(*) FROM pg_prepared_statements WHERE from_sql").fetchone()[0] == 0


UNDOINGS = {
    "a name of the client's that looks like ours": ['PREPARE "pgweir_?pgweir_" AS SELECT 1; DEALLOCATE pgweir_'],
    "a setting whose prefix is claimed meanwhile": ["SET plpgsql.foo = '1'", "INSERT INTO behind.t DEFAULT VALUES"],
    "a statement that is gone before it is deallocated": ["PREPARE one AS SELECT 1", "EXECUTE one",
                                                          "DO $$BEGIN EXECUTE 'DEALLOCATE one'; END$$"],
    "a custom setting": ["SET app.x = 'A'"],
}


@pytest.fixture
def plpgsql(postgres):
    postgres.query("""
        DROP SCHEMA IF EXISTS behind CASCADE;
        CREATE SCHEMA behind;
        CREATE TABLE behind.t (a int);
        CREATE FUNCTION behind.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        CREATE TRIGGER t BEFORE INSERT ON behind.t FOR EACH ROW EXECUTE FUNCTION behind.f();
        GRANT ALL ON SCHEMA behind TO PUBLIC;
        GRANT ALL ON behind.t TO PUBLIC""", dbname=OWN)
    yield
    postgres.query("DROP SCHEMA behind CASCADE", dbname=OWN)


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("leaves", [True, False], ids=["who leaves", "who stays"])
@pytest.mark.parametrize("what", UNDOINGS)
def test_the_next_client_does_not_pay_for_what_can_not_be_undone(weir, plpgsql, what, leaves):
    for number in range(5):
        begin(weir, pool_size=1, max_overflow=0)
        first, second = session(weir, connect_timeout=5), session(weir)
        for sql in UNDOINGS[what]:
            try:
                first.execute(sql)
            except psycopg.errors.InvalidSqlStatementName:
                pass
        wait_until(lambda: weir.console("SHOW PINS") or all(row["state"] == "idle" for row in weir.console("SHOW SERVERS")), what="the end")
        if leaves or weir.console("SHOW PINS"):
            first.close()
        assert second.execute("SELECT 1").fetchone() == (1,)
        assert not second.execute("SELECT current_setting('app.x', true)").fetchone()[0]
        assert second.execute("SELECT count(*) FROM pg_prepared_statements WHERE from_sql").fetchone() == (0,)
        first.close()
        second.close()
        weir.stop()


def test_what_nothing_resets_is_not_handed_on_even_right_after_its_code_was_made(weir, postgres):
    postgres.query("DROP FUNCTION IF EXISTS keeps()", dbname=OWN)
    begin(weir, user="postgres", pool_size=1, max_overflow=0)
    first, second = session(weir), session(weir)
    for _ in range(3):
        first.execute("SELECT 1")
    wait_until(lambda: first.execute("SELECT 1") and "none" in state_of_code(weir), what="the answer about the code")
    before = second.execute("SELECT pg_backend_pid()").fetchone()
    first.execute("CREATE FUNCTION keeps() RETURNS void LANGUAGE plpgsql AS $$BEGIN LOAD 'auto_explain'; END$$")
    first.execute("SELECT keeps()")
    try:
        assert second.execute("SELECT count(*) FROM pg_settings WHERE name LIKE 'auto_explain.%'").fetchone() == (0,)
        assert second.execute("SELECT pg_backend_pid()").fetchone() != before
    finally:
        second.execute("DROP FUNCTION keeps()")


@pytest.mark.long
def test_a_database_is_asked_again_whose_code_left_what_nothing_resets(weir, postgres):
    postgres.query("CREATE OR REPLACE FUNCTION keeps() RETURNS void LANGUAGE plpgsql AS $$BEGIN LOAD 'x'; END$$", dbname=OWN)
    begin(weir, pool_size=1, max_overflow=0)
    client = session(weir)

    def pid():
        return client.execute("SELECT pg_backend_pid()").fetchone()

    try:
        before = pid()
        assert before == pid()
        with pytest.raises(psycopg.Error):
            client.execute("SELECT keeps()")
        assert pid() != before              # its use costs the connection
        weir.wait_log("closed after use")
    finally:
        postgres.query("DROP FUNCTION keeps()", dbname=OWN)
    wait_until(lambda: pid() == pid(), 100, "the connection to be kept", 0.2)


LEAVE = """CREATE FUNCTION leave() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM set_config(''app.left'', ''A'', false); RETURN 1; END';
    CREATE FUNCTION "ポ"() RETURNS int LANGUAGE sql AS 'SELECT leave()';
    CREATE DOMAIN positive AS int CHECK (VALUE < 10 + leave()); CREATE TYPE pair AS (v positive)"""
SJIS = b"Q\0\0\0\x10SELECT \x83\x7c()\0"


@pytest.mark.parametrize("messages", [
    [rawwire.parse("", "SELECT '(1)'::pair") + rawwire.sync()], [rawwire.parse("one", "SELECT '(2)'::pair") + rawwire.sync()],
    [rawwire.query("SET client_encoding = 'SJIS'"), SJIS]], ids=["unnamed", "named", "half a letter"])
def test_what_a_parse_and_an_odd_name_leave(weir, postgres, messages):
    """PostgreSQL checks a constant's domains when it reads the SQL."""
    postgres.query(LEAVE, dbname=OWN)
    begin(weir, pool_size=1, max_overflow=0)
    first, second = weir.raw(), weir.raw()
    first.query("SELECT 1")
    wait_for_code(weir, "settings")
    for message in messages:
        first.ask(message)
    assert second.query("SELECT current_setting('app.left', true)") in ([[None]], [[""]])


KEEP = """CREATE FUNCTION keep() RETURNS int LANGUAGE plpgsql AS $$BEGIN IF false THEN LOAD 'x'; END IF; RETURN 1; END$$;
    CREATE DOMAIN kept AS int CHECK (VALUE < 10 + keep()); CREATE TYPE pair AS (v kept)"""


@pytest.mark.parametrize("sent, name", [("a short one", ""), ("a short one", "one"), ("a long one", ""), ("half of a long one", "")])
def test_a_server_is_closed_whose_client_leaves_behind_a_parse_that_nothing_washes_off(weir, postgres, sent, name):
    """No Sync, and no Bind: what the SQL could leave was counted when it was sent, with its first packet."""
    postgres.query(KEEP, dbname=OWN)
    begin(weir, pool_size=1, max_overflow=0)
    gone, next_one = weir.raw(), weir.raw()
    before = gone.value("SELECT pg_backend_pid()")
    wait_for_code(weir, "backend")
    assert next_one.value("SELECT pg_backend_pid()") == before
    message = rawwire.parse(name, "SELECT '(1)'::pair" + " " * (0 if sent == "a short one" else 1_500_000))
    if sent == "half of a long one":
        gone.send(message[:700_000])
        wait_until(lambda: weir.pool()["sv_active"] == 1)
    else:
        gone.send(message + rawwire.flush())
        assert rawwire.shape(gone.read_until("1")) == "1"
    gone.leave()
    assert next_one.value("SELECT pg_backend_pid()") != before


@pytest.mark.long
def test_a_question_about_code_may_take_longer_than_a_ping(weir, postgres):
    """It rides on a ping, which fails after 2 s: the connection was closed then."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pg_foreign_server'::regclass"
    begin(weir, pool_size=1, max_overflow=0)
    with weir.raw() as wire, postgres.connect(dbname=OWN) as other, other.cursor() as locker:
        pid = wire.query("SELECT pg_backend_pid()")
        wait_until(lambda: weir.metric("pgweir_pool_server_connections", state="idle") == 1)    # all is known
        locker.execute("BEGIN; LOCK TABLE pg_foreign_server IN ACCESS EXCLUSIVE MODE")
        wire.query("SELECT 1")          # so that it is asked again
        wait_until(lambda: postgres.value(waits, dbname=OWN) == 1)
        locker.execute("SELECT pg_sleep(2.4)")
        locker.execute("COMMIT")
        assert wire.query("SELECT pg_backend_pid()") == pid
