"""PostgREST's traffic, and that of Supabase and others like it: a transaction for each request, whose role and request.* settings end
with it, in one pipeline; row security by request.jwt.claims; LISTEN pgrst. Its protocol is libpq's, as psycopg's is here."""

import json

import psycopg
import pytest

import rawwire

USERS, ROUNDS, SERVERS = 50, 4, 3

API = """
CREATE ROLE api_user NOLOGIN; CREATE ROLE api_anon NOLOGIN; GRANT api_user, api_anon TO web;
CREATE SCHEMA api; GRANT USAGE ON SCHEMA api TO api_user, api_anon;
CREATE TABLE api.note (owner text NOT NULL DEFAULT current_setting('request.jwt.claims', true)::json->>'sub', n int);
ALTER TABLE api.note ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON api.note USING (owner = current_setting('request.jwt.claims', true)::json->>'sub');
GRANT SELECT, INSERT ON api.note TO api_user;
CREATE FUNCTION api.whoami() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    PERFORM set_config('response.status', '201', true);
    RETURN current_user || ' ' || (current_setting('request.jwt.claims', true)::json->>'sub'); END $$;
"""
GONE = "DROP SCHEMA api CASCADE; DROP ROLE api_user; DROP ROLE api_anon"

SETTINGS = ("SELECT set_config('search_path', %s, true), set_config('request.jwt.claims', %s, true), set_config('request.method', %s, true), "
            "set_config('request.path', %s, true), set_config('request.headers', %s, true), set_config('request.cookies', %s, true)")
ANSWER = (" SELECT null::bigint AS total_result_set, pg_catalog.count(_t) AS page_total, coalesce(json_agg(_t), '[]')::text AS body, "
          "current_user::text, current_setting('request.method', true), nullif(current_setting('response.headers', true), ''), "
          "nullif(current_setting('response.status', true), '') FROM (SELECT * FROM pgrst_source) _t")
READ = "WITH pgrst_source AS (SELECT note.n FROM note WHERE n >= %s ORDER BY n)" + ANSWER
WRITE = "WITH pgrst_source AS (INSERT INTO note (n) VALUES (%s) RETURNING n)" + ANSWER
STEAL = "WITH pgrst_source AS (INSERT INTO note (owner, n) VALUES ('somebody else', %s) RETURNING n)" + ANSWER
CALL = "WITH pgrst_source AS (SELECT length(whoami()) > %s AS is_long)" + ANSWER
LEFT = ("SELECT current_user::text, coalesce(current_setting('request.jwt.claims', true), ''), current_setting('search_path'), "
        "coalesce(current_setting('response.status', true), '')")


@pytest.fixture(name="api")
def api_fixture(postgres):
    postgres.query(API)
    yield
    postgres.query(GONE)


def request(connection, name, method, sql, number, role="api_user"):
    """The rows, or the SQLSTATE; in one packet, but for the ROLLBACK behind an error."""
    claims = json.dumps({"role": role, "sub": name, "email": f"{name}@example.com"})
    try:
        with connection.pipeline():
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED" + (" READ ONLY" if method == "GET" else ""))
            connection.execute(f"SET LOCAL ROLE {role}")
            connection.execute(SETTINGS, ('"api", "public"', claims, method, "/note", json.dumps({"host": name}), "{}"))
            cursor = connection.execute(sql, (number,))
            connection.execute("COMMIT")
            return cursor.fetchall()
    except psycopg.Error as error:
        connection.execute("ROLLBACK")
        return error.sqlstate


def session(connection, name):
    """All that one user is answered; its name is in none of it."""
    answers = []
    for number in range(ROUNDS):
        answers += [request(connection, name, "POST", WRITE, number), request(connection, name, "GET", READ, 0),
                    request(connection, name, "POST", STEAL, number), request(connection, name, "POST", CALL, 3),
                    request(connection, name, "GET", READ, 0, role="api_anon"), request(connection, name, "GET", WRITE, number),
                    connection.execute(LEFT).fetchall()]
    return answers


@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "not prepared"])
@pytest.mark.usefixtures("api")
def test_fifty_users_on_three_connections(weir, prepared):
    """Each is answered as on a connection of its own, beside it; nobody is pinned, nothing stays behind."""
    if not psycopg.Pipeline.is_supported():
        pytest.skip("this libpq has no pipelines")
    weir.start(pool_size=SERVERS, max_overflow=0)
    listener = weir.raw()
    listener.query("LISTEN pgrst")

    def one(number):
        with psycopg.connect(weir.dsn(), autocommit=True, prepare_threshold=0 if prepared else None) as connection:
            return session(connection, f"user {number}")

    running = [weir.in_background(one, number) for number in range(USERS)]
    with psycopg.connect(host=weir.postgres.host, port=weir.postgres.port, user="web", dbname="app", autocommit=True,
                         prepare_threshold=0 if prepared else None) as direct:
        expected = session(direct, "user of its own")
    assert expected[2] == expected[4] == "42501" and expected[5] == "25006" and expected[1][0][2] == '[{"n":0}]', expected[:7]
    for answers in running:
        assert answers.result() == expected
    if not weir.direct:
        assert weir.postgres.count(usename="web", datname="app") <= SERVERS + 1      # one listens
        assert weir.metric_now("pgweir_pool_pins_total") == 0 and weir.console("SHOW PINS") == []
    weir.postgres.query("NOTIFY pgrst, 'reload schema'")
    assert b"pgrst\0reload schema\0" in listener.read_until("A")[-1].body
    assert weir.postgres.value("SELECT string_agg(owner, ',' ORDER BY owner) FROM (SELECT owner FROM api.note GROUP BY owner "
                               "HAVING count(*) <> %s) wrong", (ROUNDS,)) is None
    assert weir.postgres.value("SELECT count(DISTINCT owner) FROM api.note") == USERS + 1


@pytest.mark.usefixtures("api")
def test_a_request_ends_where_its_client_leaves(weir):
    """In the middle of its transaction, with role and claims set: the next user's request finds nothing of it."""
    weir.start(pool_size=1, max_overflow=0)
    leaver = weir.raw()
    leaver.query("BEGIN", "SET LOCAL ROLE api_user", "SELECT set_config('request.jwt.claims', '{\"sub\": \"leaver\"}', true)",
                 "INSERT INTO api.note (n) VALUES (7)")
    leaver.send(rawwire.one_statement("SELECT 1"))          # without its Sync
    leaver.reset()
    with weir.connect(autocommit=True) as connection:
        assert request(connection, "stayer", "GET", READ, 0)[0][1:4] == (0, "[]", "api_user")
        assert connection.execute(LEFT).fetchone()[:2] == ("web", "")
    assert weir.postgres.value("SELECT count(*) FROM api.note") == 0
