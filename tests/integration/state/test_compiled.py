"""PL/pgSQL compiles a function once in a backend: the types of its variables are those that the first one's search_path
or temporary table gave them, and constants are those that its settings and role gave them. B must get its own. A is
client, B is other; both are of one pool with one server connection."""

import pytest

from rawwire import bind, errors, execute, one_statement, parse, query, sync, texts
from test_attack import ask, begin, victim  # noqa: F401 (a fixture)
from test_sealed_proof import settle

pytestmark = [pytest.mark.weir_only, pytest.mark.timeout(60)]

PID = "SELECT pg_backend_pid()"
SCHEMAS = """CREATE SCHEMA evil; CREATE SCHEMA good; SET check_function_bodies = off; GRANT ALL ON SCHEMA evil, good TO PUBLIC;
    CREATE TABLE evil.users (id int, name text, extra text); CREATE TABLE good.users (id text, name text);
    CREATE TYPE evil.status AS ENUM ('bad'); CREATE TYPE good.status AS ENUM ('fine');
    CREATE DOMAIN evil.amount AS int; CREATE DOMAIN good.amount AS text; CREATE TYPE good."My Type" AS ENUM ('x');
    CREATE TYPE evil."My Type" AS ENUM ('y'); GRANT ALL ON good.users, evil.users TO PUBLIC;"""
FUNCTION = "CREATE FUNCTION public.f() RETURNS text LANGUAGE plpgsql AS $f$ {} $f$;"
TYPE_OF = "(SELECT nspname FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE t.oid = pg_typeof({}))"
ONE = FUNCTION.format(f"DECLARE v {{}}; BEGIN RETURN {TYPE_OF.format('v')}; END")
DECLARED = {                        # SQL with a function f() that returns the schema of its variable's type
    "a row": ONE.format("users%ROWTYPE"),
    "a row, by the table's name": ONE.format("Users"),
    "an enum": ONE.format("CONSTANT status := NULL").replace("v CONSTANT", "v CONSTANT"),
    "a domain": ONE.format("amount DEFAULT NULL"),
    "behind another one": ONE.format("amount; w text := 'a;b'; x status").replace("DECLARE v", "DECLARE y int; v"),
    "a quoted name": ONE.format('"My Type"'),
    "behind a comment": ONE.format("-- it begins\n /* here; */ status"),
    "behind a variable with begin in a string": FUNCTION.format(
        f"DECLARE t text := ' begin '; v status; BEGIN RETURN {TYPE_OF.format('v')}; END"),
    "behind a comment with begin in it": FUNCTION.format(
        f"DECLARE -- they begin here\n v status; BEGIN RETURN {TYPE_OF.format('v')}; END"),
    "behind a quote with a backslash": ONE.format("text := E'it\\'s'; w status; x text := 'a'").replace("pg_typeof(v)", "pg_typeof(w)"),
    "behind a comment in a comment": ONE.format("int; /* /* a */ ' */ w status; x text := 'a'").replace("pg_typeof(v)",
                                                                                                       "pg_typeof(w)"),
    "in an inner block": FUNCTION.format(f"BEGIN\nDECLARE\n\tv status;\nBEGIN\nRETURN {TYPE_OF.format('v')};\nEND; END"),
    "called by another": ONE.format("status").replace("f()", "g()") + FUNCTION.format("BEGIN RETURN public.g(); END"),
    "of a trigger": """CREATE TABLE public.log (v text); GRANT ALL ON public.log TO PUBLIC; CREATE FUNCTION public.tg() RETURNS
        trigger LANGUAGE plpgsql AS $f$ DECLARE v status; BEGIN NEW.v := %s; RETURN NEW; END $f$; CREATE TRIGGER t BEFORE
        INSERT ON public.log FOR EACH ROW EXECUTE FUNCTION public.tg(); CREATE FUNCTION public.f() RETURNS SETOF text
        LANGUAGE sql AS $f$ INSERT INTO public.log VALUES ('') RETURNING v $f$;""" % TYPE_OF.format("v"),
    "of a function within another's search_path": ONE.format("status").replace("f()", "g()") +
        FUNCTION.format("BEGIN RETURN public.g(); END").replace("LANGUAGE", "SET search_path = evil LANGUAGE"),
}
COLUMN = ONE.format("users.id%TYPE").replace(TYPE_OF.format("v"), "pg_typeof(v)")


def set_path(wire, path):
    wire.query(f"SET search_path = {path}")


@pytest.mark.sweep(keep=8)
@pytest.mark.parametrize("state", ["track", "isolate"])
@pytest.mark.parametrize("form", DECLARED)
def test_the_types_of_variables_are_ones_own(weir, postgres, victim, form, state):
    postgres.query(SCHEMAS + DECLARED[form], dbname=victim)
    other, client = begin(weir, victim, session_state=state)
    set_path(client, "evil")
    set_path(other, "good")
    assert client.query("SELECT public.f()") == [["evil"]]
    if "within" in form:
        assert other.query("SELECT public.g()") == [["good"]]
    else:
        assert other.query("SELECT public.f()") == [["good"]]


def test_the_type_of_a_column_is_ones_own(weir, postgres, victim):
    postgres.query(SCHEMAS + COLUMN, dbname=victim)
    other, client = begin(weir, victim)
    set_path(client, "evil")
    set_path(other, "good")
    assert client.query("SELECT public.f()") == [["integer"]]
    assert other.query("SELECT public.f()") == [["text"]]


CALL = "SELECT public.f()"
WAYS = {                            # how A's path becomes another one for the call
    "for the transaction": ("BEGIN", "SET LOCAL search_path = evil", CALL, "COMMIT"),
    "in one Query": ("SET LOCAL search_path = evil; " + CALL,),
    "as a schema": ("BEGIN", "SET LOCAL SCHEMA 'evil'", CALL, "COMMIT"),
    "by set_config()": ("BEGIN", "SELECT set_config('search_path', 'evil', true)", CALL, "COMMIT"),
    "there and back": ("BEGIN", "SET search_path = evil", CALL, "SET search_path = good", "COMMIT"),
    "undone": ("BEGIN", "SET search_path = evil", CALL, "ROLLBACK"),
    "by a DO block": ("DO $$ BEGIN PERFORM set_config('search' || '_path', 'evil', true); PERFORM public.f(); END $$",),
    "by a function": ("SELECT public.evil_one()",),
    "by dynamic SQL": ("SELECT public.runs('SET LOCAL search_path = evil; SELECT public.f()')",),
    "as another role": ("BEGIN", "SET LOCAL ROLE compiled_evil", CALL, "COMMIT"),
    "as another role, by a function": ("SELECT public.as_role()",),
    "by a name in two parts": ("SELECT public.in_parts()",),
    "by a setting's name": ("SELECT public.sets('search_path', 'evil')",),
    "by dynamic SQL in parts": ("SELECT public.runs_parts('evil')",),
}
OWN_CODE = {                        # ways whose function is alone in its database: others would be suspicious themselves
    "as another role, by a function": """CREATE FUNCTION public.as_role() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
        PERFORM set_config('role', 'compiled_evil', true); RETURN public.f(); END $f$;""",
    "by a name in two parts": """CREATE FUNCTION public.in_parts() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
        PERFORM set_config('search' || '_path', 'evil', true); RETURN public.f(); END $f$;""",
    "by a setting's name": """CREATE FUNCTION public.sets(name text, value text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
        EXECUTE format('SET LOCAL %I = %L', name, value); RETURN public.f(); END $f$;""",
    "by dynamic SQL in parts": """CREATE FUNCTION public.runs_parts(value text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
        EXECUTE 'SET LOCAL search' || '_path = ' || quote_ident(value); RETURN public.f(); END $f$;""",
}
CODE = ONE.format("status") + """CREATE FUNCTION public.evil_one() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
    PERFORM set_config('search_path', 'evil', true); RETURN public.f(); END $f$;
    CREATE FUNCTION public.runs(sql text) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN EXECUTE sql; END $f$;"""


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("way", WAYS)
def test_whichever_way_the_path_was_another_one(weir, postgres, victim, way):
    postgres.query(SCHEMAS + (ONE.format("status") + OWN_CODE[way] if way in OWN_CODE else CODE), dbname=victim)
    if "role" in way:
        postgres.query("CREATE ROLE compiled_evil; GRANT compiled_evil TO web; ALTER SCHEMA evil RENAME TO compiled_evil;",
                       dbname=victim)
    other, client = begin(weir, victim)
    for wire in (other, client):
        set_path(wire, '"$user", good' if "role" in way else "good")
    try:
        for sql in WAYS[way]:
            ask(client, query(sql))
        assert other.query(CALL) == [["good"]]
    finally:
        if "role" in way:
            weir.stop()
            postgres.query("DROP ROLE compiled_evil")


def test_the_types_of_postgresqls_own_schemas_count(weir, postgres, victim):
    """A table may have the name of one of information_schema's views, which another search_path finds."""
    postgres.query("CREATE TABLE domains (id int); GRANT ALL ON domains TO PUBLIC;" + ONE.format("domains%ROWTYPE"), dbname=victim)
    other, client = begin(weir, victim)
    set_path(client, "information_schema")
    assert client.query(CALL) == [["information_schema"]]
    assert other.query(CALL) == [["public"]]


HIDDEN = {                          # a function f() that tells a type which a temporary table may have, too; what A and B are told
    "a column": (COLUMN, "text", "integer"),
    "a row": (FUNCTION.format("DECLARE r users; BEGIN SELECT * INTO r FROM users; RETURN to_json(r); END"), '{"id":null}',
              '{"id":null}'),
    "the type of a row": (FUNCTION.format("DECLARE r users; BEGIN RETURN pg_typeof(r); END"), "pg_temp.users", "users"),
}


@pytest.mark.sweep(keep=5)
@pytest.mark.parametrize("drop", ["DISCARD TEMP", "DROP TABLE", "COMMIT", "ROLLBACK", "leave"])
@pytest.mark.parametrize("form", HIDDEN)
def test_a_temporary_table_hides_nobody_elses(weir, postgres, victim, form, drop):
    code, mine, others = HIDDEN[form]
    postgres.query("CREATE TABLE users (id int); GRANT ALL ON users TO PUBLIC;" + code, dbname=victim)
    other, client = begin(weir, victim)
    if drop in ("COMMIT", "ROLLBACK"):
        client.query("BEGIN")
    client.query("CREATE TEMP TABLE users (id text)" + (" ON COMMIT DROP" if drop == "COMMIT" else ""))
    assert client.query("SELECT regexp_replace(public.f(), 'pg_temp_[0-9]+', 'pg_temp')") in ([[mine]], [["users"]])
    if drop == "leave":
        client.close()
    else:
        client.query("DROP TABLE pg_temp.users" if drop == "DROP TABLE" else drop)
    assert other.query("SELECT public.f()") == [[others]]


def test_a_temporary_table_of_the_codes_own_hides_nobody_elses(weir, postgres, victim):
    postgres.query("CREATE TABLE users (id int); GRANT ALL ON users TO PUBLIC;" + COLUMN + """CREATE FUNCTION hides() RETURNS
        text LANGUAGE plpgsql AS $f$ BEGIN CREATE TEMP TABLE users (id text) ON COMMIT DROP; RETURN public.f(); END $f$""",
        dbname=victim)
    other, client = begin(weir, victim)
    assert client.query("SELECT hides()") == [["text"]]
    assert other.query("SELECT public.f()") == [["integer"]]


UNDONE = {
    "a DO block's": ["DO $$ BEGIN CREATE TEMP TABLE users (id text); PERFORM public.f(); RAISE 'x'; EXCEPTION WHEN others THEN END $$"],
    "one in its schema alone": ["BEGIN", "CREATE TABLE pg_temp.users (id text)", CALL, "ROLLBACK"],
    "a function's": ["BEGIN", "SELECT hides(0)", "ROLLBACK"],
    "a function's, to a savepoint": ["BEGIN", "SAVEPOINT a", "SELECT hides(0)", "ROLLBACK TO a", "COMMIT"],
    "a function's that fails": ["SELECT hides(1)"],
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("whose", UNDONE)
def test_a_temporary_table_that_was_undone_hides_nobody_elses(weir, postgres, victim, whose):
    """PostgreSQL then knows no more that there was one."""
    postgres.query("CREATE TABLE users (id int); GRANT ALL ON users TO PUBLIC;" + COLUMN + """CREATE FUNCTION hides(failure int)
        RETURNS int LANGUAGE plpgsql AS $f$ BEGIN CREATE TEMP TABLE users (id text); PERFORM public.f(); RETURN 1 / (1 - failure);
        END $f$""", dbname=victim)
    other, client = begin(weir, victim)
    for sql in UNDONE[whose]:
        client.send(query(sql))
        client.read_until("Z")          # one is to fail
    assert other.query(CALL) == [["integer"]]


PROCEDURE = "CREATE PROCEDURE {}() LANGUAGE plpgsql AS $p$ {} $p$;"
TAKEN_BACK = "BEGIN EXECUTE 'CREATE TE' || 'MP TABLE users (id text)'; PERFORM public.f(); {}; END"
BY_ITSELF = {                       # procedures, and what A runs; B is served behind it
    "a procedure": (PROCEDURE.format("hides", TAKEN_BACK.format("ROLLBACK")), "CALL hides()"),
    "a procedure that goes on": (PROCEDURE.format("hides", TAKEN_BACK.format("ROLLBACK AND CHAIN; COMMIT")), "CALL hides()"),
    "one that another calls": (PROCEDURE.format("hides", TAKEN_BACK.format("Rollback")) + PROCEDURE.format("p", "BEGIN CALL hides(); END"), "CALL p()"),
    "one that undoes what another makes": (
        PROCEDURE.format("hides", TAKEN_BACK.format("NULL")) + PROCEDURE.format("p", "BEGIN CALL hides(); ROLLBACK; END"), "CALL p()"),
    "one in several statements of the protocol": (PROCEDURE.format("hides", TAKEN_BACK.format("ROLLBACK")), parse("s", "CALL hides()") + bind("", "s") + execute() + sync()),
    "DO": ("", f"DO $$ {TAKEN_BACK.format('ROLLBACK')} $$"),
    "DO that calls one": (PROCEDURE.format("hides", TAKEN_BACK.format("ROLLBACK")), "DO $$ BEGIN CALL hides(); END $$"),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("whose", BY_ITSELF)
def test_a_temporary_table_that_code_takes_back_by_itself_hides_nobody_elses(weir, postgres, victim, whose):
    code, step = BY_ITSELF[whose]
    postgres.query("CREATE TABLE users (id int); GRANT ALL ON users TO PUBLIC;" + COLUMN + code, dbname=victim)
    other, client = begin(weir, victim)
    ask(client, query(step) if isinstance(step, str) else step)
    assert other.query(CALL) == [["integer"]]


ONLY = "DECLARE v {}; BEGIN RETURN pg_typeof(v); END"
HIDING = {                          # the type of f()'s variable, what A runs, what B runs ahead of f(), what B is told
    "in two words": ("users.id%TYPE", ["CREATE LOCAL TEMPORARY TABLE IF NOT EXISTS users (id text)"], "", "integer"),
    "with its schema": ("users.id%TYPE", ['CREATE TEMP TABLE pg_temp . "users" (id text)'], "", "integer"),
    "in its schema alone": ("users.id%TYPE", ["CREATE TABLE pg_temp.users (id text)"], "", "integer"),
    "by search_path": ("users.id%TYPE", ["SET search_path = pg_temp, public", "CREATE TABLE users (id text)"], "", "integer"),
    "by SELECT INTO": ("users.id%TYPE", ["SELECT 'a'::text AS id INTO TEMP users"], "", "integer"),
    "as a view": ("users.id%TYPE", ["CREATE OR REPLACE TEMP VIEW users AS SELECT 'a'::text AS id"], "", "integer"),
    "as a domain": ("users", ["CREATE DOMAIN pg_temp.users AS text"], "", "users"),
    "an array": ("users[]", ["CREATE TEMP TABLE users (id text)"], "", "users[]"),
    "an array by its own name": ("_users", ["CREATE TEMP TABLE users (id text)"], "", "users[]"),
    "an array's by the same name": ("_users", ["CREATE TEMP TABLE _users (id text)"], "", "users[]"),
    "PostgreSQL's own type": ("date", ["CREATE TEMP TABLE date (id text)"], "", "date"),
    "a table that is only temporary": ("passing.id%TYPE", ["CREATE TEMP TABLE passing (id text)"], "CREATE TEMP TABLE passing (id int); ", "integer"),
    "an odd name": ('"one passing".id%TYPE', ['CREATE TEMP TABLE "one passing" (id text)'], 'CREATE TEMP TABLE "one passing" (id int); ', "integer"),
    "behind a comment": ("passing.id % /* a */ TYPE", ["CREATE TEMP TABLE passing (id text)"], "CREATE TEMP TABLE passing (id int); ", "integer"),
    "by DO": ("users.id%TYPE", ["DO $$ BEGIN CREATE TEMP TABLE users (id text); END $$"], "", "integer"),
    "by DO, all of it": ("users.id%TYPE", ["DO $$ BEGIN CREATE TEMP TABLE users (id text) ON COMMIT DROP; PERFORM f(); END $$"], "", "integer"),
    "by DO in strings": ("users.id%TYPE", ["DO 'BEGIN CREATE TEMP TABLE users (id text); PERFORM f(); DROP TABLE users; END'"], "", "integer"),
    "by DO and EXECUTE": ("users.id%TYPE", ["DO $$ BEGIN EXECUTE 'CREATE TE' || 'MP TABLE users (id text)'; PERFORM f(); DROP TABLE users; END $$"], "", "integer"),
    "by DO in DO": ("users.id%TYPE", ["DO $$ BEGIN DO $b$ BEGIN CREATE TEMP TABLE users (id text); PERFORM f(); DROP TABLE users; END $b$; END $$"], "", "integer"),
    "by DO, a domain": ("users", ["DO $$ BEGIN CREATE DOMAIN pg_temp.users AS text; PERFORM f(); DROP DOMAIN pg_temp.users; END $$"], "", "users"),
    "by a body": ("users.id%TYPE", ["SELECT hides()"], "", "integer"),
    "after another temporary table": ("users.id%TYPE", ["CREATE TEMP TABLE harmless (id int)", "DISCARD TEMP", "SELECT hides()"], "", "integer"),
}


@pytest.mark.sweep(keep=6)
@pytest.mark.parametrize("way", HIDING)
def test_whatever_hides_a_type_hides_nobody_elses(weir, postgres, victim, way):
    variable, statements, ahead, told = HIDING[way]
    postgres.query("CREATE TABLE users (id int); CREATE SEQUENCE s; GRANT ALL ON users TO PUBLIC; SET check_function_bodies = off;" +
                   FUNCTION.format(ONLY.format(variable)) + """CREATE FUNCTION hides() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
                   CREATE TEMP TABLE users (id text) ON COMMIT DROP; RETURN public.f(); END $f$""", dbname=victim)
    other, client = begin(weir, victim)
    settle(client)
    client.query("BEGIN")
    for sql in statements:
        client.query(sql)
    client.send(query(CALL))
    client.read_until("Z")              # a domain that is gone is an error
    client.query("COMMIT")
    client.query("DISCARD ALL")
    assert other.query(ahead + CALL) == [[told]]


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


def test_with_three_servers_each_path_keeps_its_own(weir, postgres, victim):
    postgres.query(SCHEMAS + ONE.format("status"), dbname=victim)
    weir.start({f"database {victim}": {"upstream": weir.upstream()}}, pool_size=3, max_overflow=0)
    evil, good = ([weir.raw("web", victim) for _ in range(2)] for _ in range(2))
    for wire in evil:
        set_path(wire, "evil")
    for wire in good:
        set_path(wire, "good")
    settle(good[0])
    pids = set()
    for turn in range(20):
        for wires, schema in ((evil, "evil"), (good, "good")):
            assert wires[turn % 2].query("SELECT public.f()") == [[schema]]
            pids.add(wires[turn % 2].query(PID)[0][0])
    assert len(pids) <= 3
    assert closed_dirty(weir) <= 1


def closed_dirty(weir):
    return int(weir.metric("pgweir_pool_recycles_total", reason="dirty"))


ALIKE = """CREATE SCHEMA evil; CREATE SCHEMA good; GRANT ALL ON SCHEMA evil, good TO PUBLIC;
    CREATE TABLE evil.users (id int, name varchar(10)); CREATE TABLE good.users (id int, name varchar(10));
    SET check_function_bodies = off; CREATE TYPE public.sole AS ENUM ('x'); CREATE TABLE status (status text);"""
INNOCENT = {                        # SQL of which no variable may be of another type
    "tables of the same columns": ALIKE + ONE.format("users; b users%ROWTYPE; c users.id%TYPE"),
    "a type of one schema": ALIKE + ONE.format("public.sole; b sole; c sole[]"),
    "its own search_path": SCHEMAS + ONE.format("status").replace("LANGUAGE", "SET search_path = evil LANGUAGE"),
    "not PL/pgSQL": SCHEMAS + "CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $$ SELECT ' declare s status; begin ' $$",
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", INNOCENT)
def test_where_the_types_are_the_same_nothing_is_closed(weir, postgres, victim, name):
    postgres.query(INNOCENT[name], dbname=victim)
    other, client = begin(weir, victim)
    pid = other.query(PID)
    set_path(client, "evil, public")
    set_path(other, "good, public")
    for _ in range(3):
        client.query(CALL)
        other.query(CALL)
    assert (client.query(PID), other.query(PID)) == (pid, pid)


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
PROFILES = {                        # the functions; is there one whose variables depend on search_path?
    "without a path": (PROFILE, True),
    "with its own path": (PROFILE.replace("LANGUAGE", "SET search_path = public, pg_temp LANGUAGE") +
                          """CREATE FUNCTION email(i int) RETURNS text LANGUAGE plpgsql SET search_path = auth, pg_temp AS $f$
                          DECLARE u users; BEGIN SELECT * INTO u FROM users WHERE id = i; RETURN u.email; END $f$;""", False),
}


@pytest.mark.parametrize("form", PROFILES)
def test_several_schemas_with_tables_of_the_same_names_cost_nothing(weir, postgres, victim, form):
    """As in Supabase's databases. The clients have one search_path, and no code changes it."""
    functions, has_types = PROFILES[form]
    postgres.query(SUPABASE + functions, dbname=victim)
    other, client = begin(weir, victim)
    pid = other.query(PID)
    for number, wire in enumerate((client, other, client, other), 1):
        wire.query(f"INSERT INTO auth.users VALUES ({number}, 'n{number}')")
        assert wire.query(f"SELECT profile({number})") == [[f"n{number}"]]
        assert wire.query(PID) == pid
    states = " ".join(row["state"] for row in weir.console("SHOW DATABASE_CODE"))
    assert not has_types or "compiled_types" in states


def test_who_has_the_same_search_path_pays_nothing(weir, postgres, victim):
    postgres.query(SCHEMAS + ONE.format("status"), dbname=victim)
    other, client = begin(weir, victim)
    pid = other.query(PID)
    for wire in (client, other, client, other):
        set_path(wire, "good")
        assert wire.query(CALL) == [["good"]]
        wire.query("DISCARD ALL")
        set_path(wire, "good")
        wire.query("BEGIN; SET LOCAL app.user_id = 'x'; SELECT public.f(); COMMIT")
        assert wire.query(PID)[0] == pid[0] or wire is client


@pytest.mark.parametrize("ahead", ["SET search_path = good", "DISCARD ALL", "SELECT version()", "SHOW search_path"])
def test_a_newcomer_pays_nothing_before_it_has_set_its_path(weir, postgres, victim, ahead):
    postgres.query(SCHEMAS + ONE.format("status"), dbname=victim)
    other, client = begin(weir, victim)
    set_path(client, "good")
    assert client.query(CALL) == [["good"]]
    pid = client.query(PID)
    for send in (lambda: ask(other, query(ahead)), lambda: ask(other, parse("", ahead) + bind() + execute() + sync())):
        send()
        set_path(other, "good")
        assert (other.query(CALL), other.query(PID)) == ([["good"]], pid)
        other.query("RESET ALL")
    set_path(other, "evil")
    assert other.query(CALL) == [["evil"]]


def test_the_transactions_path_tells_what_is_postgresqls_own(weir, postgres, victim):
    postgres.query(SCHEMAS + ONE.format("status") + "; CREATE FUNCTION evil.version() RETURNS text LANGUAGE sql "
                   "AS 'SELECT public.f()::text'", dbname=victim)
    other, client = begin(weir, victim)
    other.query("BEGIN")
    other.query("SET LOCAL search_path = evil, pg_catalog")
    assert other.query("SELECT version()") == [["evil"]]
    other.query("COMMIT")
    set_path(client, "good")
    assert client.query(CALL) == [["good"]]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("behind", ["a Query", "a Bind", "a transaction", "a function call"])
@pytest.mark.parametrize("ahead", ["SELECT version()", "SHOW TimeZone"])
def test_what_follows_at_once_runs_on_a_server_of_its_own(weir, postgres, victim, ahead, behind):
    """SQL that calls no function may have A's server; what B sends behind it may not."""
    postgres.query(SCHEMAS + ONE.format("status"), dbname=victim)
    other, client = begin(weir, victim)
    set_path(other, "good")
    ask(other, parse("s", CALL) + sync())
    oid = int(client.query("SELECT 'public.f()'::regprocedure::oid")[0][0])
    set_path(client, "evil")
    for at_once in (True, False):
        assert client.query(CALL) == [["evil"]]
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
        assert any(b"good" in reply.body for reply in replies[2:])
        assert not any(b"evil" in reply.body for reply in replies)


def function_call(oid):
    body = oid.to_bytes(4, "big") + bytes(6)
    return b"F" + (len(body) + 4).to_bytes(4, "big") + body


def test_who_allows_it_pays_nothing(weir, postgres, victim):
    postgres.query(SCHEMAS + ONE.format("status"), dbname=victim)
    other, client = begin(weir, victim, session_state="allow")
    pid = other.query(PID)
    client.query("SET search_path = evil; SELECT public.f()")
    assert other.query("SELECT public.f()") == [["evil"]]
    assert other.query(PID) == pid


def test_a_client_may_change_its_path_on_a_server_of_its_own(weir, postgres, victim):
    postgres.query(SCHEMAS + ONE.format("status"), dbname=victim)
    other, client = begin(weir, victim)
    pid = client.query(PID)
    for path in ("good", "evil", "good"):
        set_path(client, path)
        client.query(CALL)
    assert client.query(PID) == pid
    set_path(other, "evil")
    assert other.query(CALL) == [["evil"]]


@pytest.mark.parametrize("made", ["the function", "the other type"])
def test_what_is_made_later_counts(weir, postgres, victim, made):
    """The pool learns of DDL that passes through it."""
    function, kind = ONE.format("status"), "CREATE TYPE good.status AS ENUM ('fine')"
    postgres.query(SCHEMAS + ("DROP TYPE good.status;" + function if made == "the other type" else ""), dbname=victim)
    other, client = begin(weir, victim)
    set_path(client, "evil, public")
    set_path(other, "good, public")
    if made == "the other type":
        assert client.query(CALL) == [["evil"]]
    client.query(kind if made == "the other type" else "SET check_function_bodies = off; " + function)
    assert client.query(CALL) == [["evil"]]
    assert other.query(CALL) == [["good"]]


def test_those_in_line_are_served_in_their_turn(weir, postgres, victim):
    """A waits with another path than B; each is served when the server comes free, on one of its own."""
    postgres.query(SCHEMAS + ONE.format("status"), dbname=victim)
    other, client = begin(weir, victim)
    third = weir.raw("web", victim)
    set_path(client, "evil")
    for wire in (other, third):
        set_path(wire, "good")
    client.query("BEGIN")
    assert client.query(CALL) == [["evil"]]
    other.send(query(CALL))
    weir.wait_waiting(1, victim)
    third.send(query(CALL))
    weir.wait_waiting(2, victim)
    client.query("COMMIT")
    for wire in (other, third):
        replies = wire.read_until("Z")
        assert not errors(replies) and texts(replies) == [["good"]]


# --- constants --------------------------------------------------------------------------------------------------

DATE = FUNCTION.format("BEGIN RETURN to_char('01/02/2020'::date, 'YYYY-MM-DD'); END")
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


GERMAN, GERMAN_LOCALLY = "SET DateStyle = 'German'", "SET LOCAL DateStyle = 'German'"
UNDER_WAY = {                       # how A's setting and its call are sent
    "in a pipeline": lambda a: [a.send(query(GERMAN) + query(CALL)), a.read_until("Z"), texts(a.read_until("Z"))][-1],
    "in one request": lambda a: ask(a, one_statement(GERMAN) + one_statement(CALL) + sync()),
    "in one Query": lambda a: a.query(f"{GERMAN}; {CALL}"),
    "in one Query that comes in pieces": lambda a: a.query(f"{GERMAN}; {CALL} -- {'x' * 300_000}"),
    "in a transaction": lambda a: [a.query("BEGIN"), a.query(GERMAN_LOCALLY), a.query(CALL), a.query("COMMIT")][2],
    "in a transaction, in pieces": lambda a: [a.query("BEGIN"), a.query(f"{GERMAN_LOCALLY} -- {'x' * 300_000}"), a.query(CALL),
                                              a.query("COMMIT")][2],
    "in a transaction, parsed": lambda a: [a.query("BEGIN"), a.query(GERMAN_LOCALLY), ask(a, one_statement(CALL) + sync()),
                                           a.query("COMMIT")][2],
    "in a transaction, all at once": lambda a: [a.send(b"".join(map(query, ("BEGIN", GERMAN_LOCALLY, CALL, "COMMIT")))),
                                                a.read_until("Z"), a.read_until("Z"), texts(a.read_until("Z")), a.read_until("Z")][3],
    "behind an error": lambda a: [a.send(query("SELECT 1/0") + query(GERMAN) + query(CALL)), a.read_until("Z"), a.read_until("Z"),
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


def test_the_moment_is_ones_own(weir, postgres, victim):
    postgres.query(FUNCTION.format("BEGIN RETURN 'now'::timestamptz::text; END"), dbname=victim)
    other, client = begin(weir, victim)
    assert client.query(CALL) != other.query(CALL)


@pytest.mark.xfail(strict=True, reason="docs/modes.md: DISCARD ALL leaves what functions were compiled with")
def test_the_next_session_has_types_of_its_own(weir, postgres, victim):
    postgres.query(SCHEMAS + DECLARED["an enum"], dbname=victim)
    weir.start({f"database {victim}": {"upstream": weir.upstream()}}, pool_size=1, pool_mode="session")
    for path in ("evil", "good"):
        wire = weir.raw("web", victim)
        set_path(wire, path)
        assert wire.query("SELECT public.f()") == [[path]]
        wire.leave()
