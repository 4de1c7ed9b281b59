"""What PostgreSQL keeps in a backend of functions that ran there. Plans have constants that settings and role gave them:
B must get its own. What a function was compiled with it keeps, as with every pooler (docs/sessions.md, Known limits), and
nothing is closed for that. A is client, B is other; both are of one pool with one server connection."""

import pytest

from rawwire import bind, errors, execute, one_statement, parse, query, sync, texts
from test_attack import ask, begin, victim  # noqa: F401 (a fixture)
from test_sealed_proof import settle

pytestmark = pytest.mark.weir_only

PID = "SELECT pg_backend_pid()"
CALL = "SELECT public.f()"
SCHEMAS = """CREATE SCHEMA evil; CREATE SCHEMA good; SET check_function_bodies = off; GRANT ALL ON SCHEMA evil, good TO PUBLIC;
    CREATE TABLE evil.users (id int, name text, extra text); CREATE TABLE good.users (id text, name text);
    CREATE TYPE evil.status AS ENUM ('bad'); CREATE TYPE good.status AS ENUM ('fine');
    CREATE DOMAIN evil.amount AS int; CREATE DOMAIN good.amount AS text; CREATE TYPE good."My Type" AS ENUM ('x');
    CREATE TYPE evil."My Type" AS ENUM ('y'); GRANT ALL ON good.users, evil.users TO PUBLIC;"""
FUNCTION = "CREATE FUNCTION public.f() RETURNS text LANGUAGE plpgsql AS $f$ {} $f$;"
TYPE_OF = "(SELECT nspname FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE t.oid = pg_typeof({}))"
ONE = FUNCTION.format(f"DECLARE v {{}}; BEGIN RETURN {TYPE_OF.format('v')}; END")
DATE = FUNCTION.format("BEGIN RETURN to_char('01/02/2020'::date, 'YYYY-MM-DD'); END")
PROCEDURE = "CREATE PROCEDURE {}() LANGUAGE plpgsql AS $p$ {} $p$;"
ISO, GERMAN = "2020-01-02", "2020-02-01"


def set_style(wire, style):
    wire.query(f"SET DateStyle = {style}")


def set_path(wire, path):
    wire.query(f"SET search_path = {path}")


DAILY = {                           # what costs a wash, and no connection
    "a temporary table": ["BEGIN", "CREATE TEMP TABLE work (id int) ON COMMIT DROP", "INSERT INTO work SELECT id FROM users", "SELECT plain()", "COMMIT"],
    "a temporary table, kept": ["CREATE TEMP TABLE work (id int)", "SELECT plain() FROM work", "DROP TABLE work"],
    "one of a query": ["BEGIN; CREATE TEMP TABLE work ON COMMIT DROP AS SELECT * FROM users", "CREATE INDEX ON work (id)", "SELECT plain()", "COMMIT"],
    "DO": ["DO $$ BEGIN PERFORM plain(); END $$"],
    "DO with a temporary table": ["DO $$ BEGIN CREATE TEMP TABLE work (id int) ON COMMIT DROP; PERFORM plain(); END $$"],
    "dynamic SQL": ["SELECT counted('users')"],
    "dynamic SQL beside a procedure with ROLLBACK": ["SELECT counted('users')", "TRUNCATE users", "SELECT counted('users')"],
    "a procedure with dynamic SQL": ["CALL busy()"],
}


@pytest.mark.parametrize("what", DAILY)
def test_what_applications_do_daily_closes_nothing(weir, postgres, victim, what):
    dynamic = """CREATE FUNCTION counted(t text) RETURNS bigint LANGUAGE plpgsql AS $f$ DECLARE n bigint; BEGIN
        EXECUTE 'SELECT count(*) FROM ' || quote_ident(t) INTO n; RETURN n; END $f$;""" + (
        PROCEDURE.format("calm", "BEGIN ROLLBACK; END") if "ROLLBACK" in what else
        PROCEDURE.format("busy", "BEGIN PERFORM counted('users'); EXECUTE 'SELECT plain()'; COMMIT; END"))
    postgres.query("CREATE TABLE users (id int); CREATE SEQUENCE s; GRANT ALL ON users TO PUBLIC;" + FUNCTION.format(
        "DECLARE u users%ROWTYPE; v users.id%TYPE; BEGIN SELECT * INTO u FROM users; RETURN v; END").replace("f()", "plain()") + dynamic, dbname=victim)
    other, client = begin(weir, victim)
    settle(client)
    pid = other.query(PID)
    for _ in range(3):
        for sql in DAILY[what]:
            client.query(sql)
        assert other.query(PID) == pid
        assert other.query("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == [["0"]]


PATHS = {                           # a function whose variable may be of another type under another search_path
    "a type that differs": ONE.format("status"),
    "its own search_path": ONE.format("status").replace("LANGUAGE", "SET search_path = good LANGUAGE"),
}


@pytest.mark.parametrize("form", PATHS)
def test_another_search_path_closes_nothing(weir, postgres, victim, form):
    postgres.query(SCHEMAS + PATHS[form], dbname=victim)
    other, client = begin(weir, victim)
    pid = other.query(PID)
    set_path(client, "evil, public")
    set_path(other, "good, public")
    for _ in range(3):
        for wire in (other, client):
            told = wire.query(CALL)
            assert told == [["good"]], "as it was compiled first"
    assert (client.query(PID), other.query(PID)) == (pid, pid)


def test_statements_of_a_function_follow_each_clients_search_path(weir, postgres, victim):
    """PostgreSQL itself looks up the tables again."""
    postgres.query(SCHEMAS + FUNCTION.format("BEGIN RETURN (SELECT relnamespace::regnamespace FROM users u JOIN pg_class c ON c.oid = u.tableoid); END") +
                   "INSERT INTO evil.users VALUES (1); INSERT INTO good.users VALUES ('1')", dbname=victim)
    other, client = begin(weir, victim)
    for _ in range(2):
        for wire, schema in ((client, "evil"), (other, "good")):
            set_path(wire, schema)
            assert wire.query(CALL) == [[schema]]


SUPABASE = """CREATE SCHEMA auth; CREATE SCHEMA storage; SET check_function_bodies = off; GRANT ALL ON SCHEMA auth, storage TO PUBLIC;
    CREATE TABLE auth.users (id int PRIMARY KEY, email text, raw jsonb); CREATE TABLE users (id int, name text);
    CREATE TABLE storage.objects (id int, name text); CREATE TABLE objects (id text, label text);
    CREATE FUNCTION new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $f$ BEGIN
        INSERT INTO public.users VALUES (new.id, new.email); RETURN new; END $f$;
    CREATE TRIGGER t AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION new_user();
    CREATE FUNCTION storage.search(prefix text) RETURNS SETOF text LANGUAGE plpgsql AS $f$ BEGIN
        RETURN QUERY EXECUTE 'SELECT name FROM storage.objects WHERE name LIKE $1 || %%' USING prefix; END $f$;
    CREATE FUNCTION count_all(t text) RETURNS bigint LANGUAGE plpgsql AS $f$ DECLARE n bigint; BEGIN
        EXECUTE 'SELECT count(*) FROM ' || quote_ident(t) || ' WHERE true' INTO n; RETURN n; END $f$;
    CREATE FUNCTION count_it(t text) RETURNS bigint LANGUAGE plpgsql AS $f$ DECLARE n bigint; BEGIN
        EXECUTE format('SELECT count(*) FROM %I', t) INTO n; RETURN n; END $f$;
    CREATE FUNCTION act_as() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN PERFORM set_config('role', 'web', true); RETURN current_user;
        END $f$;
    GRANT ALL ON ALL TABLES IN SCHEMA auth, storage, public TO PUBLIC;""".replace("%%", "''%''")
PROFILE = """CREATE FUNCTION profile(i int) RETURNS text LANGUAGE plpgsql AS $f$ DECLARE u users%ROWTYPE; BEGIN
    SELECT * INTO u FROM users WHERE id = i; RETURN u.name; END $f$;"""
PROFILES = {
    "without a path": PROFILE,
    "with its own path": PROFILE.replace("LANGUAGE", "SET search_path = public, pg_temp LANGUAGE") +
                         """CREATE FUNCTION email(i int) RETURNS text LANGUAGE plpgsql SET search_path = auth, pg_temp AS $f$
                         DECLARE u users; BEGIN SELECT * INTO u FROM users WHERE id = i; RETURN u.email; END $f$;""",
}


@pytest.mark.parametrize("form", PROFILES)
def test_several_schemas_with_tables_of_the_same_names_cost_nothing(weir, postgres, victim, form):
    """As in Supabase's databases. The clients have one search_path, and no code changes it."""
    postgres.query(SUPABASE + PROFILES[form], dbname=victim)
    other, client = begin(weir, victim)
    pid = other.query(PID)
    for number, wire in enumerate((client, other, client, other), 1):
        wire.query(f"INSERT INTO auth.users VALUES ({number}, 'n{number}')")
        assert wire.query(f"SELECT profile({number})") == [[f"n{number}"]]
        assert wire.query(PID) == pid


def test_who_has_the_same_settings_pays_nothing(weir, postgres, victim):
    postgres.query(DATE, dbname=victim)
    other, client = begin(weir, victim)
    pid = other.query(PID)
    for wire in (client, other, client, other):
        set_style(wire, "German")
        assert wire.query(CALL) == [[GERMAN]]
        wire.query("DISCARD ALL")
        set_style(wire, "German")
        wire.query("BEGIN; SET LOCAL app.user_id = 'x'; SELECT public.f(); COMMIT")
        assert wire.query(PID) == pid


@pytest.mark.parametrize("ahead", ["SET DateStyle = German", "DISCARD ALL", "SELECT version()", "SHOW DateStyle"])
def test_a_newcomer_has_its_own_whatever_it_begins_with(weir, postgres, victim, ahead):
    postgres.query(DATE, dbname=victim)
    other, client = begin(weir, victim)
    set_style(client, "German")
    assert client.query(CALL) == [[GERMAN]]
    pid = client.query(PID)
    for send in (lambda: ask(other, query(ahead)), lambda: ask(other, parse("", ahead) + bind() + execute() + sync())):
        send()
        set_style(other, "German")
        assert (other.query(CALL), other.query(PID)) == ([[GERMAN]], pid)
        other.query("RESET ALL")
    assert (other.query(CALL), other.query(PID)) == ([[ISO]], pid)


def test_the_transactions_path_tells_what_is_postgresqls_own(weir, postgres, victim):
    postgres.query(SCHEMAS + DATE + "; CREATE FUNCTION evil.version() RETURNS text LANGUAGE sql AS 'SELECT public.f()::text'", dbname=victim)
    other, client = begin(weir, victim)
    other.query("BEGIN")
    other.query("SET LOCAL search_path = evil, pg_catalog; SET LOCAL DateStyle = German")
    assert other.query("SELECT version()") == [[GERMAN]]
    other.query("COMMIT")
    assert client.query(CALL) == [[ISO]]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("behind", ["a Query", "a Bind", "a transaction", "a function call"])
@pytest.mark.parametrize("ahead", ["SELECT version()", "SHOW TimeZone"])
def test_what_follows_at_once_has_its_own(weir, postgres, victim, ahead, behind):
    """SQL that calls no function may run beside A's plans; what B sends behind it may not."""
    postgres.query(DATE, dbname=victim)
    other, client = begin(weir, victim)
    ask(other, parse("s", CALL) + sync())
    oid = int(client.query("SELECT 'public.f()'::regprocedure::oid")[0][0])
    set_style(client, "German")
    for at_once in (True, False):
        assert client.query(CALL) == [[GERMAN]]
        parts = {"a Query": query(CALL), "a Bind": bind("", "s") + execute() + sync(),
                 "a transaction": query("BEGIN") + query(CALL) + query("COMMIT"),
                 "a function call": function_call(oid)}
        count = 4 if behind == "a transaction" else 2
        if at_once:
            other.send(query(ahead) + parts[behind])
        else:
            other.send(query(ahead))
            other.send(parts[behind])
        replies = other.read_until("Z", count)
        assert not errors(replies)
        assert any(ISO.encode() in reply.body for reply in replies[2:])
        assert not any(GERMAN.encode() in reply.body for reply in replies)


def function_call(oid):
    body = oid.to_bytes(4, "big") + bytes(6)
    return b"F" + (len(body) + 4).to_bytes(4, "big") + body


def test_a_client_may_change_its_settings_on_a_server_of_its_own(weir, postgres, victim):
    postgres.query(DATE, dbname=victim)
    other, client = begin(weir, victim)
    pid = client.query(PID)
    for style, told in (("German", GERMAN), ("'ISO, MDY'", ISO), ("German", GERMAN)):
        set_style(client, style)
        assert client.query(CALL) == [[told]]
    assert client.query(PID) == pid
    assert other.query(CALL) == [[ISO]]


def test_what_is_made_later_counts(weir, postgres, victim):
    """The pool learns of DDL that passes through it."""
    other, client = begin(weir, victim)
    set_style(client, "German")
    client.query(DATE)
    assert client.query(CALL) == [[GERMAN]]
    assert other.query(CALL) == [[ISO]]


def test_those_in_line_are_served_in_their_turn(weir, postgres, victim):
    """A waits with another setting than B; each is served when the server comes free."""
    postgres.query(DATE, dbname=victim)
    other, client = begin(weir, victim)
    third = weir.raw("web", victim)
    set_style(client, "German")
    client.query("BEGIN")
    assert client.query(CALL) == [[GERMAN]]
    other.send(query(CALL))
    weir.wait_waiting(1, victim)
    third.send(query(CALL))
    weir.wait_waiting(2, victim)
    client.query("COMMIT")
    for wire in (other, third):
        replies = wire.read_until("Z")
        assert not errors(replies) and texts(replies) == [[ISO]]


# --- constants --------------------------------------------------------------------------------------------------

READ = {                            # SQL with a function, A's setting, what A and B are told
    "a date": (DATE, "SET DateStyle = 'German'", "2020-02-01", "2020-01-02"),
    "a date of an assignment": (FUNCTION.format("DECLARE d date; BEGIN d := '01/02/2020'; RETURN to_char(d, 'MM'); END"),
                                "SET DateStyle = 'German'", "02", "01"),
    "a time": (FUNCTION.format("BEGIN RETURN extract(epoch FROM '2020-01-01 12:00'::timestamptz); END"),
               "SET TimeZone = 'Asia/Tokyo'", "1577847600.000000", None),
    "a text": (FUNCTION.format("BEGIN RETURN public.im(); END") + """CREATE FUNCTION public.im() RETURNS text IMMUTABLE LANGUAGE sql
               AS 'SELECT (date $$2020-01-02$$)::text'""", "SET DateStyle = 'German'", "02.01.2020", "2020-01-02"),
}


@pytest.mark.parametrize("form", READ)
def test_constants_are_ones_own(weir, postgres, victim, form):
    code, setting, mine, others = READ[form]
    postgres.query(code, dbname=victim)
    other, client = begin(weir, victim)
    pid = other.query(PID)
    client.query(setting)
    assert client.query(CALL) == [[mine]]
    told = other.query(CALL)
    assert told == [[others]] if others is not None else told != [[mine]]
    assert other.query(PID) == pid, "nothing is closed for that"


def test_a_right_is_ones_own(weir, postgres, victim):
    postgres.query("""CREATE ROLE compiled_a; CREATE ROLE compiled_b; GRANT compiled_a, compiled_b TO web""")
    postgres.query("""CREATE FUNCTION secret() RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 'S'; END $$;
        REVOKE EXECUTE ON FUNCTION secret() FROM PUBLIC; GRANT EXECUTE ON FUNCTION secret() TO compiled_a;""" +
                   FUNCTION.format("BEGIN RETURN secret(); END"), dbname=victim)
    other, client = begin(weir, victim)
    try:
        client.query("SET ROLE compiled_a")
        other.query("SET ROLE compiled_b")
        assert client.query(CALL) == [["S"]]
        other.send(query(CALL))
        assert [e.sqlstate for e in errors(other.read_until("Z"))] == ["42501"]
        assert client.query(CALL) == [["S"]]
    finally:
        weir.stop()
        postgres.query("DROP OWNED BY compiled_a, compiled_b", dbname=victim)
        postgres.query("DROP ROLE compiled_a; DROP ROLE compiled_b")


def test_a_prepared_statement_is_read_under_its_clients_own_settings(weir, postgres, victim):
    """Its plan is discarded for A's functions, and PostgreSQL reads its literals anew."""
    postgres.query(DATE, dbname=victim)
    other, client = begin(weir, victim)
    run = bind("", "s") + execute() + sync()
    for wire in (other, client):
        assert ask(wire, parse("s", "SELECT to_char('01/02/2020'::date, 'MM')") + run) == [["01"]]
    client.query("SET DateStyle = 'German'")
    for wire, mine in ((client, "2020-02-01"), (other, "2020-01-02"), (client, "2020-02-01")):
        assert wire.query(CALL) == [[mine]]
        assert ask(wire, run) == [[mine[5:7]]]


@pytest.mark.parametrize("code", ["", DATE])
def test_a_statement_is_not_shared_behind_do(weir, postgres, victim, code):
    """Its literals were read under what DO has set."""
    postgres.query(code or "SELECT 1", dbname=victim)
    other, client = begin(weir, victim)
    settle(client)
    client.query("BEGIN")
    client.query("DO $$ BEGIN SET LOCAL DateStyle = 'German'; END $$")
    run = parse("s", "SELECT to_char('01/02/2020'::date, 'MM')") + bind("", "s") + execute() + sync()
    assert ask(client, run) == [["02"]]
    client.query("COMMIT")
    assert ask(other, run) == [["01"]]


@pytest.mark.parametrize("setting", ["DateStyle = 'ISO, DMY'", "DateStyle TO 'German'"])
def test_constants_are_ones_own_behind_a_setting_that_is_under_way(weir, postgres, victim, setting):
    """The new value is reported when the function has been sent already."""
    postgres.query(FUNCTION.format("BEGIN RETURN to_char('01/02/2020'::date, 'MM'); END"), dbname=victim)
    other, client = begin(weir, victim)
    settle(client)
    client.send(query(f"SET {setting}") + query(CALL))
    client.read_until("Z")
    assert texts(client.read_until("Z")) == [["02"]]
    assert other.query(CALL) == [["01"]]


SET_GERMAN, GERMAN_LOCALLY = "SET DateStyle = 'German'", "SET LOCAL DateStyle = 'German'"
UNDER_WAY = {                       # how A's setting and its call are sent
    "in a pipeline": lambda a: [a.send(query(SET_GERMAN) + query(CALL)), a.read_until("Z"), texts(a.read_until("Z"))][-1],
    "in one request": lambda a: ask(a, one_statement(SET_GERMAN) + one_statement(CALL) + sync()),
    "in one Query": lambda a: a.query(f"{SET_GERMAN}; {CALL}"),
    "in one Query that comes in pieces": lambda a: a.query(f"{SET_GERMAN}; {CALL} -- {'x' * 300_000}"),
    "in a transaction": lambda a: [a.query("BEGIN"), a.query(GERMAN_LOCALLY), a.query(CALL), a.query("COMMIT")][2],
    "in a transaction, in pieces": lambda a: [a.query("BEGIN"), a.query(f"{GERMAN_LOCALLY} -- {'x' * 300_000}"), a.query(CALL),
                                              a.query("COMMIT")][2],
    "in a transaction, parsed": lambda a: [a.query("BEGIN"), a.query(GERMAN_LOCALLY), ask(a, one_statement(CALL) + sync()),
                                           a.query("COMMIT")][2],
    "in a transaction, all at once": lambda a: [a.send(b"".join(map(query, ("BEGIN", GERMAN_LOCALLY, CALL, "COMMIT")))),
                                                a.read_until("Z"), a.read_until("Z"), texts(a.read_until("Z")), a.read_until("Z")][3],
    "behind an error": lambda a: [a.send(query("SELECT 1/0") + query(SET_GERMAN) + query(CALL)), a.read_until("Z"), a.read_until("Z"),
                                  texts(a.read_until("Z"))][-1],
}


@pytest.mark.parametrize("way", UNDER_WAY)
def test_a_plan_of_anothers_is_not_used_under_a_setting_that_is_under_way(weir, postgres, victim, way):
    """It was made under the settings that A's session had before."""
    postgres.query(FUNCTION.format("BEGIN RETURN to_char('01/02/2020'::date, 'MM'); END"), dbname=victim)
    other, client = begin(weir, victim)
    settle(client)
    pid = other.query(PID)
    assert other.query(CALL) == [["01"]]
    assert UNDER_WAY[way](client) == [["02"]]
    assert other.query(CALL) == [["01"]]
    assert other.query(PID) == pid, "nothing is closed for that"
