"""auth_query: users that are not in users.txt are looked up in PostgreSQL, by a user of pgweir's own."""

import re
import socket
import struct
import time

import psycopg
import pytest

import rawwire
from fakeserver import auth, complete, data_row, error, message, ready
from rawwire import BEGIN_NOW, md5_secret, refused_exchange, scram_verifier, startup
from waiting import SLOWNESS, each, wait_until
from weir import REPOSITORY

pytestmark = pytest.mark.weir_only

GET_AUTH = "SELECT usename, passwd FROM pgbouncer.get_auth($1)"
LOOKUP = "SELECT uname, phash FROM pgbouncer.user_lookup($1)"
COUNTED = "SELECT * FROM aq.counted($1)"

WORLD = """
DROP SCHEMA IF EXISTS aq, pgbouncer CASCADE;
CREATE SCHEMA aq; CREATE SCHEMA pgbouncer;
GRANT USAGE ON SCHEMA aq, pgbouncer TO PUBLIC;
CREATE TABLE aq.people (name text PRIMARY KEY, secret text, until text);
GRANT SELECT ON aq.people TO PUBLIC;
CREATE SEQUENCE aq.calls;
CREATE TABLE aq.seen (what text);
CREATE FUNCTION aq.counted(who text) RETURNS TABLE (name text, secret text, until text)
  LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    PERFORM nextval('aq.calls');
    INSERT INTO aq.seen SELECT who;
    RETURN QUERY SELECT p.name, p.secret, p.until FROM aq.people p WHERE p.name = who;
  END $$;
CREATE FUNCTION aq.slow(who text) RETURNS TABLE (name text, secret text, until text)
  LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    PERFORM nextval('aq.calls');
    PERFORM pg_advisory_lock_shared(4711);
    PERFORM pg_advisory_unlock_shared(4711);
    RETURN QUERY SELECT p.name, p.secret, p.until FROM aq.people p WHERE p.name = who;
  END $$;
CREATE FUNCTION pgbouncer.get_auth(p_usename text) RETURNS TABLE (usename text, passwd text)
  LANGUAGE sql SECURITY DEFINER AS $$ SELECT rolname::text, rolpassword::text FROM pg_catalog.pg_authid
  WHERE rolname = p_usename $$;
CREATE FUNCTION pgbouncer.user_lookup(in i_username text, out uname text, out phash text) RETURNS record
  LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = i_username INTO uname, phash; RETURN; END $$;
"""
ROLES = {
    "aq_scram": scram_verifier("aq-secret"),
    "aq_md5": md5_secret("aq_md5", "aq-secret"),
    "aq_null": None,
}


@pytest.fixture(scope="module")
def roles(postgres):
    """Roles that are not in users.txt, and asker, who may read pg_authid."""
    names = [*ROLES, "aq_expired", "aq_nologin", "asker"]

    def drop():
        for name in names:
            for database in ("app", "app2"):
                if postgres.query("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)):
                    postgres.query(f"DROP OWNED BY {name}", dbname=database)
            postgres.query(f"DROP ROLE IF EXISTS {name}")

    drop()
    for name, secret in ROLES.items():
        postgres.query(f"CREATE ROLE {name} LOGIN PASSWORD " + ("NULL" if secret is None else f"'{secret}'"))
    postgres.query(f"CREATE ROLE aq_expired LOGIN PASSWORD '{ROLES['aq_scram']}' VALID UNTIL '2001-01-01'")
    postgres.query(f"CREATE ROLE aq_nologin NOLOGIN PASSWORD '{ROLES['aq_scram']}'")
    postgres.query("CREATE ROLE asker LOGIN")
    for database in ("app", "app2"):
        postgres.query("GRANT SELECT ON pg_catalog.pg_authid TO asker", dbname=database)
    yield
    for database in ("app", "app2"):
        postgres.query("DROP SCHEMA IF EXISTS aq, pgbouncer CASCADE", dbname=database)
    drop()


@pytest.fixture
def asked(weir, roles, postgres):  # pylint: disable=redefined-outer-name,unused-argument
    """pgweir whose users.txt has only asker and the console's users; start it by asked.begin(...)."""
    for database in ("app", "app2"):
        postgres.query(WORLD, dbname=database)
    weir.users = {"asker": "asker-secret", "admin": "admin-secret", "stats": "stats-secret"}

    original = weir.default_config
    weir.default_config = lambda: {**original(), "limits": {"login_failure_delay": "0s"}}

    def begin(query="builtin", method="scram-sha-256", sections=None, **settings):
        return weir.start(sections, method=method, auth_query=query, auth_user="asker", **settings)

    weir.begin = begin
    return weir


def person(postgres, name, password="aq-secret", until=None, secret=None, dbname="app"):
    if secret is None and password is not None:
        secret = scram_verifier(password)
    postgres.query("INSERT INTO aq.people VALUES (%s, %s, %s) ON CONFLICT (name) DO UPDATE "
                   "SET secret = EXCLUDED.secret, until = EXCLUDED.until", (name, secret, until), dbname=dbname)


def hold_lookups(postgres):
    """aq.slow() waits until this connection is closed."""
    holder = postgres.connect()
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(4711)")
    return holder


def calls(postgres, dbname="app"):
    return postgres.value("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM aq.calls", dbname=dbname)


def try_login(weir, user, password="aq-secret", database="app", parameters=None):
    """None, or the SQLSTATE of the refusal."""
    try:
        with weir.wire().login(user, database, password, parameters) as wire:
            wire.close()
        return None
    except rawwire.LoginRefused as refused:
        return refused.sqlstate


def links(postgres, user="asker", **like):
    return postgres.backends(usename=user, **like)


def results(weir):
    return {name: int(weir.metric("pgweir_auth_queries_total", result=name))
            for name in ("hit", "miss", "unknown", "stale", "failed")}


# --- who gets in ---

@pytest.mark.parametrize("query", ["builtin", GET_AUTH, LOOKUP,
                                   "SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename=$1",
                                   "SELECT rolpassword FROM pg_authid WHERE rolname = $1 AND rolcanlogin"])
def test_a_role_of_postgresql_logs_in_with_its_own_password(asked, query):
    if "pg_shadow" in query:
        asked.postgres.query("GRANT SELECT ON pg_catalog.pg_shadow TO asker")
    asked.begin(query)
    with asked.wire().login("aq_scram", password="aq-secret") as wire:
        assert wire.value("SELECT current_user") == "aq_scram"
    assert try_login(asked, "aq_scram", "wrong") == "28P01"
    assert try_login(asked, "aq_nobody") == "28P01"


@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_secrets_of_each_kind(asked, postgres, method):
    asked.begin("SELECT * FROM aq.counted($1)", method)
    for name, secret in (("aq_scram", ROLES["aq_scram"]), ("aq_md5", ROLES["aq_md5"]), ("web", "aq-secret")):
        person(postgres, name, secret=secret)
        assert try_login(asked, name) == (None if (name, method) != ("aq_md5", "scram-sha-256") else "28P01")
        assert try_login(asked, name, "wrong") == "28P01"


@pytest.mark.parametrize("user, method, secret", [
    ("md5user", "md5", "md5"),              # PostgreSQL asks for MD5, the md5 secret answers
    ("scramuser", "scram-sha-256", "scram"),  # keys of the client's own login
    ("scramuser", "md5", "plain"),
    ("scramuser", "scram-sha-256", "plain"),
    ("plainuser", "md5", "plain"),          # PostgreSQL asks for the password itself
])
def test_what_was_looked_up_logs_in_to_postgresql(asked, postgres, user, method, secret):
    password = {"md5user": "md5-secret", "scramuser": "scram-secret", "plainuser": "plain-secret"}[user]
    text = {"md5": md5_secret(user, password), "plain": password,
            "scram": postgres.value("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (user,))}[secret]
    person(postgres, user, secret=text)
    asked.begin(COUNTED, method)
    with asked.wire().login(user, password=password) as wire:
        assert wire.value("SELECT current_user") == user
    # A reload keeps both the servers and what they log in with. There are two if the server that greeted the client was
    # still being asked about the database's code when the query came.
    before = {row["pid"] for row in postgres.backends(usename=user)}
    asked.reload({"log": {"level": "info"}}, method=method, auth_query=COUNTED, auth_user="asker")
    assert before and before <= {row["pid"] for row in postgres.backends(usename=user)}
    postgres.kill_backends(usename=user)
    with asked.wire().login(user, password=password) as wire:
        assert wire.value("SELECT current_user") == user
    assert password not in asked.log()


def test_who_has_no_secret_looks_like_a_wrong_password(asked, postgres):
    person(postgres, "aq_empty", secret="")
    asked.begin()
    known = refused_exchange(asked, "aq_scram", "wrong")
    for user in ("aq_nobody", "aq_null", "aq_expired", "aq_nologin", "x" * 63, "x" * 64, "x" * 200, "aq_md5"):
        assert refused_exchange(asked, user, "aq-secret") == known, user
    assert try_login(asked, "aq_scram", "") == "28P01"
    asked.reload(method="scram-sha-256", auth_query=COUNTED, auth_user="asker")
    assert try_login(asked, "aq_empty", "") == "28P01"
    assert refused_exchange(asked, "aq_empty", "x") == known


def test_nobody_becomes_the_auth_user_by_a_failed_lookup(asked, postgres):
    """CVE-2015-6817 of another pooler."""
    asked.begin()
    for password in ("asker-secret", "", "aq-secret"):
        assert try_login(asked, "aq_nobody", password) == "28P01"
    with asked.wire().login("asker", password="asker-secret") as wire:      # from users.txt
        assert wire.value("SELECT current_user") == "asker"
        pid = int(wire.value("SELECT pg_backend_pid()"))
        # Its own pool: lookups have a connection of their own.
        assert [row["application_name"] for row in links(postgres) if row["pid"] != pid].count("pgweir auth_query") == 1


def test_valid_until_holds_within_the_ttl(asked, postgres):
    """CVE-2025-2291 of another pooler."""
    asked.begin(COUNTED, auth_query_ttl="1h")
    soon = time.time() + 3
    person(postgres, "aq_scram", until=f"{soon:.6f}")
    assert try_login(asked, "aq_scram") is None
    assert try_login(asked, "aq_scram") is None
    wait_until(lambda: time.time() > soon)
    assert try_login(asked, "aq_scram") == "28P01"
    for until, verdict in (("infinity", None), (None, None), ("-infinity", "28P01"), ("0", "28P01"),
                           (f"{time.time() + 1000:.0f}", None), ("tomorrow", "28P01"), ("", "28P01"), ("1e30", "28P01")):
        person(postgres, "aq_scram", until=until)
        asked.reload(method="scram-sha-256", auth_query=COUNTED, auth_user="asker", auth_query_ttl="1h")
        assert try_login(asked, "aq_scram") == verdict, until


def test_builtin_honours_valid_until(asked, postgres):
    asked.begin(auth_query_ttl="1h")
    postgres.query("ALTER ROLE aq_scram VALID UNTIL 'infinity'")
    assert try_login(asked, "aq_scram") is None
    postgres.query("ALTER ROLE aq_md5 PASSWORD '%s' VALID UNTIL '%s+00'" % (
        scram_verifier("aq-secret"), time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 4))))
    try:
        assert try_login(asked, "aq_md5") is None
        wait_until(lambda: try_login(asked, "aq_md5") == "28P01", what="its end", pause=0.2)
    finally:
        postgres.query(f"ALTER ROLE aq_md5 PASSWORD '{ROLES['aq_md5']}' VALID UNTIL 'infinity'")


def test_the_function_of_the_manual(asked, postgres):
    manual = (REPOSITORY / "docs" / "config.md").read_text(encoding="utf-8").split("## Users from PostgreSQL", 1)[1]
    sql = manual.split("```sql\n", 1)[1].split("```", 1)[0].replace("CREATE ROLE pgweir LOGIN PASSWORD '...';", "")
    query = re.search(r"auth_query = (SELECT .*)", manual).group(1)
    postgres.query(sql.replace("TO pgweir", "TO asker"))
    try:
        postgres.query("ALTER ROLE aq_scram VALID UNTIL 'infinity'")
        asked.begin(query, auth_query_ttl="0s")
        assert try_login(asked, "aq_scram") is None
        for user in ("aq_expired", "aq_nologin", "aq_nobody", "postgres"):
            assert try_login(asked, user) == "28P01"
        postgres.query("ALTER ROLE aq_scram SUPERUSER")
        assert try_login(asked, "aq_scram") == "28P01"
        assert results(asked)["failed"] == 0
    finally:
        postgres.query("ALTER ROLE aq_scram NOSUPERUSER")
        postgres.query("DROP FUNCTION public.user_lookup")


# --- where it is asked ---

def test_each_database_may_be_asked_in_its_own_way(asked, postgres):
    person(postgres, "aq_scram", "first")
    person(postgres, "aq_scram", "second", dbname="app2")
    asked.begin("off", sections={
        "database app": {"upstream": asked.upstream(), "auth_query": COUNTED},
        "database app2": {"upstream": asked.upstream(), "auth_query": COUNTED, "auth_user": "asker"},
        "database third": {"upstream": asked.upstream(dbname="app"), "auth_query": COUNTED, "auth_database": "app2"},
        "database none": {"upstream": asked.upstream(dbname="app")},
    })
    for database, password in (("app", "first"), ("app2", "second"), ("third", "second")):
        assert try_login(asked, "aq_scram", password, database) is None
        assert try_login(asked, "aq_scram", {"first": "second", "second": "first"}[password], database) == "28P01"
    assert try_login(asked, "aq_scram", "first", "none") == "28P01"
    assert (calls(postgres), calls(postgres, "app2")) == (1, 1)     # app2 and third are asked the same way


def test_plain_passwords_of_two_databases_are_not_mixed_up(asked, postgres):
    person(postgres, "aq_scram", secret="first")
    person(postgres, "aq_scram", secret="second", dbname="app2")
    asked.begin(COUNTED)
    for _ in range(2):
        assert try_login(asked, "aq_scram", "first", "app") is None
        assert try_login(asked, "aq_scram", "first", "app2") == "28P01"
        assert try_login(asked, "aq_scram", "second", "app2") is None
        assert try_login(asked, "aq_scram", "second", "app") == "28P01"


def test_any_database_with_one_to_ask(asked, postgres):
    asked.begin(sections={"database app": None, "database app2": None,
                          "database *": {"upstream": asked.upstream(), "auth_database": "app2"}})
    assert try_login(asked, "aq_scram") is None
    assert try_login(asked, "aq_scram", "wrong", "nowhere") == "28P01"
    assert {row["datname"] for row in links(postgres)} == {"app2"}


def test_a_database_that_does_not_exist_is_not_told_of(asked):
    asked.begin(sections={"database *": {"upstream": asked.upstream()}})
    known = refused_exchange(asked, "aq_scram", "wrong")
    for name in ("nowhere", "x" * 63, "x" * 64, "x" * 127, "x" * 128, "x" * 5000):
        assert refused_exchange(asked, "aq_scram", "aq-secret", name) == known


def test_the_console_is_for_users_of_the_file(asked, postgres):
    person(postgres, "aq_admin")
    asked.begin(COUNTED, admin_users="admin, aq_admin")
    assert try_login(asked, "aq_admin", database="pgweir") == "28P01"
    assert calls(postgres) == 0
    with asked.wire().login("admin", "pgweir", "admin-secret"):
        pass


def test_users_of_the_file_are_not_asked_for(asked, postgres):
    asked.users["aq_scram"] = "of-the-file"
    person(postgres, "aq_scram", "of-the-table")
    asked.begin(COUNTED)
    assert try_login(asked, "aq_scram", "of-the-table") == "28P01"
    assert try_login(asked, "aq_scram", "of-the-file") is None
    assert calls(postgres) == 0


def test_the_auth_user_logs_in_with_scram(asked, postgres):
    asked.users["scramuser"] = "scram-secret"
    person(postgres, "aq_scram")
    asked.start(method="scram-sha-256", auth_query=COUNTED, auth_user="scramuser")
    assert try_login(asked, "aq_scram") is None
    assert len(links(postgres, "scramuser")) == 1


def test_an_auth_user_that_can_not_log_in_is_told_of_in_the_log_only(asked, postgres):
    asked.users["scramuser"] = postgres.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'")
    asked.start(method="scram-sha-256", auth_query=COUNTED, auth_user="scramuser")
    wait_until(lambda: "has a SCRAM verifier in users_file" in asked.log())
    known = refused_exchange(asked, "asker", "wrong")
    assert refused_exchange(asked, "aq_scram", "aq-secret") == known
    wait_until(lambda: 'auth_query as "scramuser" in "app" failed' in asked.log())


def test_an_auth_user_needs_no_secret_in_the_file_if_a_command_prints_it(asked, postgres):
    asked.start(method="scram-sha-256", sections={"auth": {"password_command": "echo scram-secret"}}, auth_query=COUNTED,
                auth_user="scramuser")
    person(postgres, "aq_scram")
    assert refused_exchange(asked, "aq_scram", "wrong")
    assert len(links(postgres, "scramuser")) == 1 and "has no secret" not in asked.log()


# --- the cache ---

def test_answers_are_used_again_for_the_ttl(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin(COUNTED, auth_query_ttl="1h")
    for _ in range(5):
        assert try_login(asked, "aq_scram") is None
    assert calls(postgres) == 1
    assert results(asked) == {"hit": 4, "miss": 1, "unknown": 0, "stale": 0, "failed": 0}


def test_no_ttl_no_cache(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin(COUNTED, auth_query_ttl="0s")
    for number in range(1, 4):
        assert try_login(asked, "aq_scram") is None
        assert calls(postgres) == number


def test_the_ttl_ends(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin(COUNTED, auth_query_ttl="300ms")
    assert try_login(asked, "aq_scram") is None
    wait_until(lambda: try_login(asked, "aq_scram") is None and calls(postgres) == 2, what="a second question", pause=0.05)


def test_unknown_users_are_remembered_for_a_moment(asked, postgres):
    asked.begin(COUNTED, auth_query_ttl="1h")
    for _ in range(3):
        assert try_login(asked, "aq_scram") == "28P01"
    assert calls(postgres) == 1 and results(asked)["unknown"] == 1
    person(postgres, "aq_scram")
    wait_until(lambda: try_login(asked, "aq_scram") is None, what="the new user to be let in", pause=0.1)


def test_a_changed_password_works_at_the_second_try(asked, postgres):
    person(postgres, "aq_scram", "old")
    asked.begin(COUNTED, auth_query_ttl="1h")
    assert try_login(asked, "aq_scram", "old") is None
    person(postgres, "aq_scram", "new")
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() > begun + 1.1)
    assert try_login(asked, "aq_scram", "new") == "28P01"
    assert try_login(asked, "aq_scram", "new") is None
    assert try_login(asked, "aq_scram", "old") == "28P01"
    assert calls(postgres) == 2


@pytest.fixture
def altering(asked, postgres):
    """A client that may alter roles, and a role of its own to alter; its answers are kept for an hour."""
    drop = "DROP ROLE IF EXISTS aq_changed, aq_renamed"
    postgres.query(drop)
    postgres.query("CREATE ROLE aq_changed LOGIN PASSWORD 'old'")
    postgres.query("ALTER ROLE asker CREATEROLE")
    asked.begin(auth_query_ttl="1h")
    assert try_login(asked, "aq_changed", "old") is None
    with asked.connect("asker", password="asker-secret", autocommit=True) as client:
        yield client
    postgres.query("ALTER ROLE asker NOCREATEROLE")
    postgres.query(drop)


@pytest.mark.parametrize("sql", ["ALTER ROLE aq_changed PASSWORD 'new'", "ALTER USER aq_changed PASSWORD 'new'",
                                 "DROP ROLE aq_changed; CREATE ROLE aq_changed LOGIN PASSWORD 'new'"])
def test_a_password_changed_through_pgweir_holds_at_once(asked, altering, sql):
    altering.execute(sql)
    assert try_login(asked, "aq_changed", "new") is None
    assert try_login(asked, "aq_changed", "old") == "28P01"


def test_a_role_renamed_or_dropped_through_pgweir_is_another_at_once(asked, altering):
    altering.execute("ALTER ROLE aq_changed RENAME TO aq_renamed")
    assert try_login(asked, "aq_changed", "old") == "28P01"
    assert try_login(asked, "aq_renamed", "old") is None
    altering.execute("DROP ROLE aq_renamed")
    assert try_login(asked, "aq_renamed", "old") == "28P01"


def test_a_password_changed_in_a_transaction_holds_from_its_end_on(asked, altering):
    with altering.transaction():
        altering.execute("ALTER ROLE aq_changed PASSWORD 'new'")
        assert try_login(asked, "aq_changed", "old") is None  # and this answer is used no longer than that
    assert try_login(asked, "aq_changed", "new") is None


def test_an_answer_from_before_a_change_is_asked_for_again(asked, postgres):
    person(postgres, "aq_scram", "old")
    asked.begin("SELECT * FROM aq.slow($1)", auth_query_ttl="1h")
    holder = hold_lookups(postgres)
    first = asked.in_background(try_login, asked, "aq_scram", "new")
    wait_until(lambda: calls(postgres) == 1)
    person(postgres, "aq_scram", "new")
    with asked.connect("asker", password="asker-secret", autocommit=True) as client:
        client.execute("ALTER ROLE asker SET application_name = 'x'")
    postgres.query("ALTER ROLE asker RESET ALL")
    holder.close()
    assert first.result() is None and calls(postgres) == 2


def test_wrong_passwords_cause_one_question_a_second(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin(COUNTED, auth_query_ttl="1h", login_failure_delay="0s")
    begun = time.monotonic()
    for _ in range(60):
        assert try_login(asked, "aq_scram", "wrong") == "28P01"
    assert calls(postgres) <= 2 + time.monotonic() - begun


def test_a_reload_asks_anew(asked, postgres):
    person(postgres, "aq_scram", "old")
    asked.begin(COUNTED, auth_query_ttl="1h")
    assert try_login(asked, "aq_scram", "old") is None
    person(postgres, "aq_scram", "new")
    asked.reload(method="scram-sha-256", auth_query=COUNTED, auth_user="asker", auth_query_ttl="1h")
    assert try_login(asked, "aq_scram", "new") is None


def test_a_storm_of_one_user_is_one_question(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin("SELECT * FROM aq.slow($1)", max_client_connections=500)
    holder = hold_lookups(postgres)
    logins = [asked.in_background(try_login, asked, "aq_scram") for _ in range(60)]
    wait_until(lambda: asked.metric("pgweir_client_connections", state="login") >= 60)
    wait_until(lambda: calls(postgres) == 1)
    holder.close()
    assert {login.result() for login in logins} == {None}
    assert calls(postgres) == 1 and len(links(postgres)) == 1


def test_many_users_share_two_connections(asked, postgres):
    for number in range(40):
        person(postgres, f"aq_{number}", "p")
    asked.begin(COUNTED)
    logins = [asked.in_background(try_login, asked, f"aq_{number}", "wrong") for number in range(40)]
    assert {login.result() for login in logins} == {"28P01"}
    assert calls(postgres) == 40
    assert 1 <= len(links(postgres)) <= 2


# --- when it goes wrong ---

def test_an_error_of_the_query_is_not_shown(asked):
    asked.begin("SELECT name, secret FROM aq.no_such_table WHERE name = $1")
    assert refused_exchange(asked, "aq_scram", "aq-secret") == refused_exchange(asked, "asker", "wrong")
    wait_until(lambda: 'relation "aq.no_such_table" does not exist' in asked.log())
    assert results(asked)["failed"] == 1


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("query", [
    "SELECT 'somebody else', secret FROM aq.people WHERE name = $1",
    "SELECT name, secret, until, 1 FROM aq.people WHERE name = $1",
    "SELECT name, secret FROM aq.people, generate_series(1, 2) WHERE name = $1",
    "SELECT name, secret FROM aq.people, generate_series(1, 100000) WHERE name = $1",
    "SELECT name, repeat('x', 2000) FROM aq.people WHERE name = $1",
    "SELECT name, repeat('x', 20000000) FROM aq.people WHERE name = $1",
    "UPDATE aq.people SET secret = secret WHERE name = $1",
])
def test_an_answer_that_is_none(asked, postgres, query):
    person(postgres, "aq_scram")
    postgres.query("GRANT ALL ON aq.people TO asker")
    asked.begin(query)
    assert try_login(asked, "aq_scram") == "28P01"
    asked.reload(method="scram-sha-256", auth_query=COUNTED, auth_user="asker")
    assert try_login(asked, "aq_scram") is None


def test_a_name_is_a_value_and_nothing_else(asked, postgres):
    asked.begin(COUNTED)
    names = ["'; DROP TABLE aq.people; --", "x' OR '1'='1", "$1", "\\", '"', "a b", "%s", "naïve"]
    for name in names:
        assert try_login(asked, name) == "28P01"
    assert [row[0] for row in postgres.query("SELECT what FROM aq.seen")] == names
    assert try_login(asked, "\x01\x02") == "28P01"
    wire = asked.wire()
    wire.send(startup(b"\xff\xfe", "app"))                   # not UTF-8: PostgreSQL's error, the same exchange
    assert struct.unpack_from("!i", wire.read().body)[0] == 10
    wire.close()


def test_nothing_of_a_client_reaches_the_query(asked, postgres):
    """CVE-2025-12819 of another pooler: a search_path of an unauthenticated client."""
    postgres.query("DROP SCHEMA IF EXISTS evil CASCADE")
    postgres.query("CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO PUBLIC")
    postgres.query("""CREATE FUNCTION evil.eq(name, name) RETURNS bool LANGUAGE sql AS 'SELECT true';
                      CREATE OPERATOR evil.= (leftarg = name, rightarg = name, function = evil.eq);
                      CREATE VIEW evil.pg_authid AS SELECT 'aq_scram'::name AS rolname, 'aq-evil'::text AS rolpassword,
                      NULL::timestamptz AS rolvaliduntil, true AS rolcanlogin;
                      CREATE VIEW evil.shown AS SELECT 1""")
    try:
        postgres.query("ALTER ROLE asker SET search_path = evil")
        asked.begin()
        for options in ({"search_path": "evil, pg_catalog"}, {"options": "-c search_path=evil,pg_catalog"},
                        {"options": "-csearch_path=evil\\,pg_catalog"}, {"SEARCH_PATH": "evil, pg_catalog"}):
            assert try_login(asked, "aq_scram", "aq-evil", parameters=options) == "28P01"
            assert try_login(asked, "aq_scram", parameters=options) is None
        postgres.query("ALTER ROLE asker RESET search_path")
        show = "SELECT NULL::text, current_setting('search_path') || ',' || current_setting('application_name') || $1"
        asked.reload(method="md5", auth_query=show, auth_user="asker")
        # The query's answer is the password: what it saw of settings.
        expected = '"$user", public,pgweir auth_query'
        options = {"search_path": "evil", "application_name": "evil", "options": "-c application_name=evil"}
        assert try_login(asked, "aq_scram", expected + "aq_scram", parameters=options) is None
    finally:
        asked.stop()
        postgres.query("DROP SCHEMA evil CASCADE")
        postgres.query("ALTER ROLE asker RESET search_path")


def test_settings_of_the_upstream_go_along_with_a_query_of_ones_own(asked):
    show = "SELECT NULL::text, current_setting('search_path') || current_setting('application_name')::text WHERE $1 <> ''"
    asked.start({"database app": {"upstream": asked.upstream() + " search_path=aq application_name=mine"}},
                method="md5", auth_query=show, auth_user="asker")
    assert try_login(asked, "aq_scram", "aqmine") is None


def refused(weir, user, password="aq-secret", database="app"):
    wire = weir.wire()
    with pytest.raises(rawwire.LoginRefused) as info:
        wire.login(user, database, password)
    return info.value


def test_postgresql_down(asked, own_postgres):
    own_postgres.query("CREATE ROLE asker LOGIN SUPERUSER")
    own_postgres.query(f"CREATE ROLE aq_scram LOGIN PASSWORD '{ROLES['aq_scram']}'")
    up = f"host={own_postgres.host} port={own_postgres.port}"
    asked.begin(upstream=up, auth_query_ttl="200ms")
    with asked.wire().login("aq_scram", password="aq-secret") as wire:
        wire.close()
    own_postgres.stop()
    wait_until(lambda: refused(asked, "aq_nobody").sqlstate == "08006")
    why = refused(asked, "aq_other")
    assert why.sqlstate == "08006" and "aq_other" not in str(why.reply.error)
    # Who was known a moment ago may prove it; what comes next needs PostgreSQL.
    wait_until(lambda: asked.metric("pgweir_auth_queries_total", result="stale") > 0
               or not try_login(asked, "aq_scram", "wrong"))
    assert try_login(asked, "aq_scram", "wrong") == "28P01"
    own_postgres.start()
    wait_until(lambda: try_login(asked, "aq_scram") is None, what="logins to work again", pause=0.1)
    asked.stop()


@pytest.mark.parametrize("sql", ["ALTER ROLE aq_changed PASSWORD 'new'", "DROP ROLE aq_changed"])
def test_a_password_changed_through_pgweir_is_no_fallback(asked, own_postgres, sql):
    """PostgreSQL is gone before anybody logs in with the new one."""
    own_postgres.query("CREATE ROLE asker LOGIN SUPERUSER; CREATE ROLE aq_changed LOGIN PASSWORD 'old'")
    asked.begin(upstream=f"host={own_postgres.host} port={own_postgres.port}", auth_query_ttl="1h")
    assert try_login(asked, "aq_changed", "old") is None
    with asked.connect("asker", password="asker-secret", autocommit=True) as client:
        client.execute(sql)
    own_postgres.stop()
    wait_until(lambda: refused(asked, "aq_changed", "old").sqlstate == "08006")
    asked.stop()


def test_postgresql_hangs(asked, own_postgres):
    own_postgres.query("CREATE ROLE asker LOGIN SUPERUSER")
    own_postgres.query(f"CREATE ROLE aq_scram LOGIN PASSWORD '{ROLES['aq_scram']}'")
    own_postgres.query("CREATE FUNCTION hang(who text) RETURNS TABLE (n text, s text) LANGUAGE sql AS "
                       "$$ SELECT who, 'x' FROM pg_sleep(600) $$")
    up = f"host={own_postgres.host} port={own_postgres.port}"
    asked.begin("SELECT * FROM hang($1)", upstream=up, connect_timeout="100ms", login_timeout="1500ms")
    asked.reload({"timeouts": {"connect_timeout": "1s", "login_timeout": "20s"}}, upstream=up,
                 method="scram-sha-256", auth_query="SELECT * FROM hang($1)", auth_user="asker")
    begun = time.monotonic()
    assert refused(asked, "aq_scram").sqlstate == "08006"
    assert 2.5 < time.monotonic() - begun < 15 * SLOWNESS
    wait_until(lambda: not own_postgres.backends(usename="asker", state="active"), what="the query to be cancelled")
    asked.stop()


def test_a_connection_that_died_while_idle_is_not_noticed(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin(COUNTED, auth_query_ttl="0s")
    assert try_login(asked, "aq_scram") is None
    postgres.kill_backends(usename="asker")
    assert try_login(asked, "aq_scram") is None


def test_a_connection_that_dies_with_the_question(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin("SELECT * FROM aq.slow($1)", auth_query_ttl="0s")
    assert try_login(asked, "aq_scram") is None
    holder = hold_lookups(postgres)
    login = asked.in_background(try_login, asked, "aq_scram")
    wait_until(lambda: calls(postgres) == 2)
    postgres.kill_backends(usename="asker")
    wait_until(lambda: calls(postgres) == 3)                # asked once more, on another connection
    holder.close()
    assert login.result() is None


def test_a_connection_that_postgresql_ends_during_its_first_question(asked, postgres):
    """The log has PostgreSQL's own words, and not those of the socket."""
    person(postgres, "aq_scram")
    asked.begin("SELECT * FROM aq.slow($1)", auth_query_ttl="0s")
    holder = hold_lookups(postgres)
    login = asked.in_background(try_login, asked, "aq_scram")
    wait_until(lambda: calls(postgres) == 1)
    postgres.kill_backends(usename="asker")
    assert login.result() is not None
    holder.close()
    asked.wait_log("auth_query", "ended the session: terminating connection due to administrator command")
    lines = [line for line in asked.log().splitlines() if "auth_query" in line]
    assert all("failed: Broken pipe" not in line and "closed the connection" not in line for line in lines), lines


def test_a_client_that_leaves_during_the_lookup(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin("SELECT * FROM aq.slow($1)", login_timeout="2s")
    holder = hold_lookups(postgres)
    for index in range(20):
        wire = asked.wire()
        wire.send(startup("aq_scram" if index % 2 else f"aq_{index}", "app"))
        wire.send(message("p", b"early"))                    # before it was asked for
        if index % 3 == 0:
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    wait_until(lambda: calls(postgres) == 2)
    wait_until(lambda: asked.metric("pgweir_client_connections", state="login") == 0)
    holder.close()
    wait_until(lambda: try_login(asked, "aq_scram") is None)


def test_a_password_that_comes_too_early_is_handled_in_its_turn(asked, postgres):
    asked.begin("SELECT * FROM aq.slow($1)")
    holder = hold_lookups(postgres)
    wire = asked.wire()
    wire.send(startup("aq_scram", "app"), message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 32)
                                                  + b"n,,n=,r=0123456789abcdef01234567"))
    wait_until(lambda: calls(postgres) == 1)
    holder.close()
    codes = [struct.unpack_from("!i", wire.read().body)[0] for _ in range(2)]
    assert codes == [10, 11]
    wire.close()


def test_a_reload_during_the_lookup(asked, postgres):
    person(postgres, "aq_scram")
    asked.begin("SELECT * FROM aq.slow($1)")
    holder = hold_lookups(postgres)
    logins = [asked.in_background(try_login, asked, "aq_scram") for _ in range(3)]
    logins += [asked.in_background(try_login, asked, f"aq_{number}") for number in range(3)]
    wait_until(lambda: calls(postgres) == 2)
    asked.reload(method="scram-sha-256", auth_query=COUNTED, auth_user="asker")
    asked.reload(method="scram-sha-256", auth_query="off", auth_user="asker")
    holder.close()
    assert [login.result() for login in logins] == [None] * 3 + ["28P01"] * 3
    assert try_login(asked, "aq_scram") == "28P01"
    wait_until(lambda: not links(postgres), what="the connections of the old configuration to close")


def test_the_end_during_a_lookup(asked, postgres):
    asked.begin("SELECT * FROM aq.slow($1)")
    holder = hold_lookups(postgres)
    wires = [asked.wire() for _ in range(4)]
    for number, wire in enumerate(wires):
        wire.send(startup(f"aq_{number}", "app"))
    wait_until(lambda: calls(postgres) == 2)
    assert asked.stop() == 0
    holder.close()


def test_too_many_server_connections_are_not_opened_for_it(asked, postgres):
    """An idle server of some pool makes room."""
    person(postgres, "aq_scram")
    person(postgres, "aq_md5", secret=scram_verifier("aq-secret"))
    asked.begin(COUNTED, max_server_connections=2, pool_size=2)
    with asked.wire().login("aq_scram", password="aq-secret") as wire:
        assert wire.value("SELECT 1") == "1"
        assert try_login(asked, "aq_md5") is None
        wait_until(lambda: len(postgres.backends()) <= 2, what="the idle one's backend to end")


def test_no_connection_is_left_for_it(asked, postgres):
    person(postgres, "aq_scram")
    asked.users["web"] = "web-secret"
    asked.begin(COUNTED, max_server_connections=1, connect_timeout="2s")
    with asked.wire().login("web", password="web-secret") as wire:
        wire.query(BEGIN_NOW)
        assert refused(asked, "aq_scram").sqlstate == "08006"
        wait_until(lambda: "see max_server_connections" in asked.log())
        login = asked.in_background(try_login, asked, "aq_scram")
        wait_until(lambda: asked.metric("pgweir_client_connections", state="login") == 1)
        wire.query("COMMIT")
        assert login.result() is None


def test_too_many_users_at_a_time(asked, postgres):
    asked.begin("SELECT * FROM aq.slow($1)", login_timeout="30s", connect_timeout="30s")
    holder = hold_lookups(postgres)
    wires = [asked.wire() for _ in range(1000)]
    for number, wire in enumerate(wires):
        wire.send(startup(f"aq_{number}", "app"))
    wait_until(lambda: asked.metric("pgweir_client_connections", state="login") == 1000)
    assert refused(asked, "aq_scram").sqlstate == "53300"
    each(wires[:500]).close()
    holder.close()
    for wire in wires[500:]:
        assert struct.unpack_from("!i", wire.read().body)[0] == 10
        wire.close()
    assert calls(postgres) >= 500
    assert try_login(asked, "aq_scram") == "28P01"


def test_drop_database_is_not_in_the_way_of_an_idle_connection(asked, postgres):
    postgres.query("CREATE DATABASE aq_gone", dbname="postgres")
    asked.users["postgres"] = "postgres-secret"
    asked.begin("SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1", sections={
        "database aq_gone": {"upstream": asked.upstream()}})
    try:
        postgres.query("GRANT SELECT ON pg_authid TO asker", dbname="aq_gone")
        assert try_login(asked, "aq_scram", database="aq_gone") is None
        assert len(links(postgres, datname="aq_gone")) == 1
        with asked.wire().login("postgres", password="postgres-secret") as wire:
            wire.query("DROP DATABASE aq_gone")         # a superuser's closes the idle server of who logged in, too
    finally:
        postgres.query("DROP DATABASE IF EXISTS aq_gone WITH (FORCE)", dbname="postgres")


# --- a server that lies ---

def lying(answer):
    """auth_user's connections answer a question by these bytes, or what answer[0] is then; others are ordinary."""
    def script(conn):
        conn.login()
        if conn.startup["user"] != "asker":
            conn.serve()
            return
        while True:
            kind, _ = conn.read()
            if kind == "S":
                conn.send(answer[0] if isinstance(answer, list) else answer)
            if kind == "X":
                return
    return script


def row_of(*values):
    return message("1") + message("2") + data_row(*values) + complete() + ready()


GOOD = row_of("aq_scram", ROLES["aq_scram"], None)
BAD_ANSWERS = {
    "nothing before ready": ready(),
    "a row of nobody's": row_of("aq_other", ROLES["aq_scram"]),
    "no columns": row_of(),
    "four columns": row_of("aq_scram", ROLES["aq_scram"], None, None),
    "a cut row": message("1") + message("2") + message("D", b"\0\2\0\0\0\x08aq_scram\0\0\0\x20x") + complete() + ready(),
    "a length of 2 GB": message("1") + message("2") + message("D", b"\0\1\x7f\xff\xff\xffx") + complete() + ready(),
    "a negative length": message("1") + message("2") + message("D", b"\0\1\xff\xff\xff\xfex") + complete() + ready(),
    "two rows": message("1") + message("2") + 2 * data_row("aq_scram", ROLES["aq_scram"]) + complete() + ready(),
    "a zero byte": row_of("aq_scram", "aq\0secret"),
    "a row before Bind": message("1") + data_row("aq_scram", ROLES["aq_scram"]) + ready(),
    "a row after its end": GOOD[:-6] + data_row("aq_scram", ROLES["aq_scram"]) + ready(),
    "an unknown message": message("1") + message("2") + message("?", b"x"),
    "an impossible length": b"1\0\0\0\1",
    "an error after the row": message("1") + message("2") + data_row("aq_scram", ROLES["aq_scram"]) + error() + ready(),
    "a huge row": message("1") + message("2") + data_row("aq_scram", "x" * 300000) + complete() + ready(),
    "an open transaction": message("1") + message("2") + complete() + ready("T"),
    "authentication once more": auth(0) + GOOD,
    "copy": message("1") + message("2") + message("G", b"\0\0\0") + ready(),
    "an error without fields": message("E", b"\0") + ready(),
}


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_an_evil_server_lets_nobody_in(asked, fake, what):
    answer = [BAD_ANSWERS[what]]
    fake.script = lying(answer)
    asked.begin(upstream=fake.upstream, connect_timeout="500ms", login_timeout="4s")
    known = refused_exchange(asked, "asker", "wrong")
    assert refused_exchange(asked, "aq_scram", "aq-secret") == known
    answer[0] = GOOD
    wait_until(lambda: try_login(asked, "aq_scram") is None, what="an honest answer", pause=0.1)


def test_an_answer_in_pieces(asked, fake):
    def script(conn):
        conn.login()
        if conn.startup["user"] != "asker":
            conn.serve()
            return
        while conn.read()[0] != "S":
            pass
        conn.send_slowly(GOOD)
        conn.wait_gone()

    fake.script = script
    asked.begin(upstream=fake.upstream)
    assert try_login(asked, "aq_scram") is None


def test_databases_that_clients_make_up(asked, fake):
    """Each is asked in its own way; neither connections nor memory grow with them."""
    fake.script = lying(GOOD)
    asked.begin(sections={"database *": {"upstream": fake.upstream}}, pool_size=1)
    for number in range(300):
        assert try_login(asked, "aq_scram", "wrong", f"made_up_{number}") == "28P01"
    wait_until(lambda: len([conn for conn in fake.open_connections() if conn.startup]) <= 64)
    assert try_login(asked, "aq_scram", database="made_up_0") is None
    assert try_login(asked, "aq_scram", database="made_up_299") is None


def test_a_server_that_never_answers(asked, fake):
    def script(conn):
        conn.login()
        conn.wait_gone()

    fake.script = script
    asked.begin(upstream=fake.upstream, connect_timeout="100ms")
    assert refused(asked, "aq_scram").sqlstate == "08006"
    wait_until(lambda: fake.cancels and not [conn for conn in fake.open_connections() if conn.startup])


def test_what_is_sent_is_a_bound_parameter_and_no_more(asked, fake):
    fake.script = lying(GOOD)
    asked.begin(upstream=fake.upstream)
    assert try_login(asked, "aq_scram", parameters={"search_path": "evil", "application_name": "evil",
                                                    "options": "-c role=evil", "client_encoding": "LATIN1"}) is None
    conn = next(conn for conn in fake.logins() if conn.startup["user"] == "asker")
    assert conn.startup == {"user": "asker", "database": "app", "search_path": "pg_catalog",
                            "application_name": "pgweir auth_query"}
    assert [kind for kind, _ in conn.messages[:4]] == ["P", "B", "E", "S"]
    assert "aq_scram" not in conn.messages[0][1].decode()


# --- psycopg, and the log ---

def test_a_driver_over_tls(asked, authority):
    made = authority.issue("aq_server", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
    asked.begin(sections={"tls_client": {"mode": "require", "certificate_file": made.certificate,
                                         "key_file": made.key}})
    words = {"sslmode": "verify-full", "sslrootcert": authority.ca, "host": "localhost"}
    for _ in range(2):
        with psycopg.connect(asked.dsn("aq_scram", password="aq-secret", **words)) as connection:
            assert connection.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(asked.dsn("aq_nobody", password="aq-secret", **words))


@pytest.mark.parametrize("user", ["aq_scram", "aq_md5"])
def test_passwords_in_the_clear_are_compared_with_what_was_looked_up(asked, user):
    rules = asked.directory / "hba.conf"
    rules.write_text("host all all 127.0.0.1/32 password\n", encoding="utf-8")
    asked.begin(method="hba", hba_file=rules)
    assert try_login(asked, user) is None
    assert try_login(asked, user, "wrong") == "28P01"
    assert try_login(asked, "aq_nobody") == "28P01"


def test_secrets_stay_out_of_the_log(asked, postgres):
    person(postgres, "aq_scram", secret="a-plain-password")
    asked.begin(COUNTED, level="debug")
    assert try_login(asked, "aq_scram", "a-plain-password") is None
    assert len(links(postgres)) == 1
    assert "a-plain-password" not in asked.log() and "asker-secret" not in asked.log()
