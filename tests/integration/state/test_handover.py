"""A server comes from one client (A) to another (B) at nobody's expense, whatever fails then. Timers of A's are over; what pgweir sends
ahead of B's first message may fail; and a server may be slow, wrong or dying when it is asked about the database's code, or washed."""

import os
import random
import threading
import time

import pytest

from fakeserver import FakeServer, complete, data_row, error, ready, row_description
from leftovers import settle
from rawwire import BEGIN_NOW, Wire, WireClosed, bind, describe, errors, execute, message, parse, query, shape, sync, texts
from waiting import PATIENCE, SLOWNESS, each, wait_until
from weir import timed

pytestmark = pytest.mark.weir_only

SECONDS = float(os.environ.get("PGWEIR_HANDOVER_SECONDS") or 2)      # of each test with many clients

FATALS = {
    "idle_session_timeout": ("57P05", "terminating connection due to idle-session timeout"),
    "an administrator": ("57P01", "terminating connection due to administrator command"),
}


class Between:
    """PostgreSQL, but for messages in which strike(connection, type, body) is true: these are not forwarded, and nothing
    is behind one that has closed the connection. Type Z: the replies to a request were sent, and the session is idle."""

    def __init__(self, fake, postgres):
        self.fake, self.postgres, self.sent, self.threads = fake, postgres, [], []
        self.strike = lambda conn, kind, body: False
        fake.script = self.serve

    def end(self):
        """Nothing is forwarded any more when this returns."""
        self.fake.close()
        each(self.threads).join()

    def serve(self, conn):
        self.threads.append(threading.current_thread())
        conn.read_startup()
        with Wire((self.postgres.host, self.postgres.port)) as real:
            real.login(conn.startup["user"], conn.startup["database"])
            conn.send(message("R", b"\0\0\0\0"), conn.welcome(parameters=real.parameters))
            while conn.is_open:
                kind, body = conn.read()
                if kind == "X":
                    return
                self.sent.append(body)
                if self.strike(conn, kind, body):
                    continue
                real.send(message(kind, body))
                if kind in "QS":
                    conn.send(*(message(reply.type, reply.body) for reply in real.read_until("Z")))
                    self.strike(conn, "Z", b"")

    def count(self, text):
        return sum(text in body for body in self.sent)


@pytest.fixture
def between(fake, postgres):
    made = Between(fake, postgres)
    yield made
    made.end()


def once(*texts_of, then):
    """A strike at the first message with one of these texts."""
    left = [True]

    def strike(conn, kind, body):
        if not left or not any(text in body for text in texts_of):
            return False
        left.clear()
        return then(conn) is not False
    return strike


def fatal(sqlstate, text):
    def end(conn):
        conn.send(error(sqlstate, text, "FATAL", R="ProcessInterrupts"))
        conn.close()
    return end


def pair(weir, between, **settings):
    """A and B, of one pool with one server, whose code is known: nothing is washed."""
    weir.start(upstream=between.fake.upstream, pool_size=1, max_overflow=0, **settings)
    other, client = weir.raw(), weir.raw()
    weir.wait_log("database app: ")
    settle(other)
    return client, other


# --- timers ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["SET", "startup"])
def test_idle_session_timeout_of_a_client_is_over_with_its_loan(weir, between, how):
    parameters = {"options": "-c idle_session_timeout=1h"} if how == "startup" else None
    client, other = pair(weir, between)
    if how == "startup":
        client = weir.raw(parameters=parameters)
    else:
        client.query("SET idle_session_timeout = '1h'")
    wait_until(lambda: between.count(b'RESET /* pgweir */ "idle_session_timeout"') == 1)
    assert other.query("SHOW idle_session_timeout") == [["0"]]
    assert client.query("SHOW idle_session_timeout") == [["1h"]]
    assert between.count(b"set_config") >= 1
    assert len(between.fake.logins()) == 1


def test_a_client_that_sets_idle_session_timeout_disconnects_nobody(weir, postgres):
    """It may end that client's own session, as PostgreSQL does, if it fires before the server is back."""
    client, others = weir.start(pool_size=1, max_overflow=0).raw(), [weir.raw() for _ in range(3)]
    for _ in range(20):
        try:
            client.query("SET idle_session_timeout = '1ms'")
        except WireClosed as closed:
            assert "57P05" in str(closed)
            client = weir.raw()
        for other in others:
            assert other.query("SELECT 1") == [["1"]]


def test_a_long_statement_timeout_stays_while_clients_agree(weir, between):
    client, other = pair(weir, between)
    each((client, other)).query("SET statement_timeout = '1h'")
    client.query("SELECT 1")
    before = between.count(b"statement_timeout")
    each((client, other, client)).query("SELECT 1")
    assert between.count(b"statement_timeout") == before


# --- a server that ends in the line ------------------------------------------------------------------------------

REQUESTS = {
    "Query": (query("INSERT INTO handed VALUES ('x') RETURNING v"), "T D C:INSERT 0 1 Z:I"),
    "extended": (parse("", "INSERT INTO handed VALUES ($1) RETURNING v") + bind("", "", ["x"]) + execute() + sync(),
                 "1 2 D C:INSERT 0 1 Z:I"),
    "named": (parse("n", "INSERT INTO handed VALUES ($1) RETURNING v") + sync() + bind("", "n", ["x"]) + execute() + sync(),
              "1 Z:I 2 D C:INSERT 0 1 Z:I"),
    "DO": (query("DO $$BEGIN INSERT INTO handed VALUES ('x'); END$$"), "C:DO Z:I"),
    "CALL": (query("CALL hand_over()"), "C:CALL Z:I"),
    "SET": (query("SET application_name = 'x'; INSERT INTO handed VALUES ('x')"), "C:SET C:INSERT 0 1 S Z:I"),
}


@pytest.fixture
def handed(postgres):
    """A table, for how often something has run."""
    postgres.query("""CREATE TABLE handed (v text); GRANT ALL ON handed TO PUBLIC;
        CREATE PROCEDURE hand_over() LANGUAGE plpgsql AS $$BEGIN INSERT INTO handed VALUES ('x'); COMMIT; END$$""", dbname="app")
    yield lambda: postgres.value("SELECT count(*) FROM handed")
    postgres.query("DROP PROCEDURE hand_over(); DROP TABLE handed", dbname="app")


def without_reports(replies):
    return shape([reply for reply in replies if reply.type != "S"])


@pytest.mark.parametrize("name", REQUESTS)
def test_a_session_that_was_idle_too_long_costs_nobody_a_request(weir, between, handed, name):
    """The server's own timer (ALTER ROLE ... SET) fires as the request is on its way."""
    request, wanted = REQUESTS[name]
    _, other = pair(weir, between)
    between.strike = once(b"handed", b"hand_over", then=fatal(*FATALS["idle_session_timeout"]))
    other.send(request)
    assert without_reports(other.read_until("Z", request.count(b"S\0\0\0\4") or 1)) == wanted.replace(" S ", " ")
    assert len(between.fake.logins()) == 2 and handed() == 1


def inserts(key, rng):
    """The requests of one INSERT, each with the replies that it gets."""
    sql, done = "INSERT INTO handed VALUES ($1) RETURNING v", "D C:INSERT 0 1 Z:I"
    run = bind("", "", [key]) + execute() + sync()
    return rng.choice([
        [(query(sql.replace("$1", f"'{key}'")), f"T {done}")],
        [(parse("", sql) + run, f"1 2 {done}")],
        [(parse("", sql.replace("$1", f"'{key}'")) + bind() + describe("P") + execute() + sync(), f"1 2 T {done}")],
        [(parse(key, f"{sql} /* {key} */") + sync(), "1 Z:I"), (bind("", key, [key]) + execute() + sync(), f"2 {done}")],
    ])


def send_in_pieces(wire, request, rng):
    at = 0
    while at < len(request):
        size = rng.choice([len(request), rng.randint(1, len(request))])
        wire.send(request[at:at + size])
        at += size
        time.sleep(rng.choice([0, 0, rng.random() * 0.003]))


def insert_until(is_over, wire, name, rng, keys):
    """Notes in keys what was answered. A reply too many shows with the next request, or at the end."""
    while not is_over():
        key = f"{name}_{len(keys)}"
        for request, wanted in inserts(key, rng):
            send_in_pieces(wire, request, rng)
            assert without_reports(wire.read_until("Z")) == wanted, key
        keys.append(key)
    assert wire.has_nothing_more()


@pytest.mark.parametrize("pool_size", [1, 4])
def test_nothing_is_run_twice_while_sessions_end_at_any_message(weir, between, handed, postgres, pool_size):
    """Ten clients, each INSERT with a key of its own; every fiftieth message, or none for a while, ends its session."""
    seed = pool_size                    # the same in each run, as .ci/run promises; what meets what still differs
    rng = random.Random(seed)
    end_session = fatal(*FATALS["idle_session_timeout"])

    def strike(conn, _kind, _body):
        if rng.random() > 0.02:
            return False
        time.sleep(rng.choice([0, rng.random() * 0.005]))
        end_session(conn)
        return True
    weir.start(upstream=between.fake.upstream, pool_size=pool_size, max_overflow=0, workers=2)
    wires = [weir.raw(user="web" if n % 2 else "reporting", parameters={"application_name": f"a{n // 3}"})
             for n in range(10)]
    weir.wait_log("database app: ")
    between.strike = strike
    keys, end = [[] for _ in wires], time.monotonic() + SECONDS

    def is_over():
        return time.monotonic() > end and len(between.fake.logins()) > 2 * pool_size
    each([weir.in_background(insert_until, is_over, wire, f"k{n}", random.Random(seed + n), keys[n])
          for n, wire in enumerate(wires)]).result()
    between.end()
    found = [row[0] for row in postgres.query("SELECT v FROM handed", dbname="app")]
    assert sorted(found) == sorted(sum(keys, [])), seed


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("how", FATALS)
@pytest.mark.parametrize("name", REQUESTS)
def test_a_server_that_ends_ahead_of_a_request_costs_nobody(weir, between, handed, name, how):
    """While the settings of its client are made there: nothing of the request was read."""
    request, wanted = REQUESTS[name]
    client, other = pair(weir, between)
    other.query("SET application_name = 'B'")
    client.query("SET application_name = 'A'")
    between.strike = once(b"set_config", then=fatal(*FATALS[how]))
    other.send(request)
    assert without_reports(other.read_until("Z", request.count(b"S\0\0\0\4") or 1)) == wanted.replace(" S ", " ")
    assert len(between.fake.logins()) == 2 and handed() == 1


def test_a_link_that_ends_without_a_word_leaves_a_request_in_doubt(weir, between, handed):
    """Whatever stands between may have lost the answers to what has run."""
    client, other = pair(weir, between)
    other.query("SET application_name = 'B'")
    client.query("SET application_name = 'A'")
    between.strike = once(b"set_config", then=lambda conn: conn.close())
    other.send(query("INSERT INTO handed VALUES ('x')"))
    assert errors(other.read_to_end())[0].sqlstate == "08006"
    assert handed() == 0


def test_a_query_that_an_administrator_ends_is_told(weir, between, handed):
    """It may have run for long: with on_outage = fail it is not run again."""
    _, other = pair(weir, between)
    between.strike = once(b"handed", then=fatal(*FATALS["an administrator"]))
    other.send(query("INSERT INTO handed VALUES ('x')"))
    assert errors(other.read_to_end())[0].sqlstate == "57P01"
    assert handed() == 0


@pytest.mark.parametrize("how", FATALS)
def test_a_server_that_ends_ahead_of_a_login_costs_nobody(weir, between, how):
    pair(weir, between)
    between.strike = once(b"set_config", then=fatal(*FATALS[how]))
    assert weir.raw(parameters={"options": "-c work_mem=5MB"}).query("SHOW work_mem") == [["5MB"]]
    assert len(between.fake.logins()) == 2


# --- what pgweir sends ahead, and limits of the client before -----------------------------------------------------

def test_a_limit_of_the_client_before_ends_no_settings_of_the_next(weir, between, handed):
    """PostgreSQL stood still: the limit of A's is over while it is undone. B's request waits for that."""
    client, other = pair(weir, between)
    other.query("SET application_name = 'B'")
    client.query("SET statement_timeout = '1min'")
    seen = []

    def late(conn):
        while conn.has_bytes(0.3):
            seen.append(conn.read()[0])
        conn.send(error("57014", "canceling statement due to statement timeout"), ready())

    between.strike = once(b'RESET /* pgweir */ "statement_timeout"', then=late)
    assert other.query("INSERT INTO handed VALUES ('x') RETURNING v") == [["x"]]
    assert "S" in seen and "Q" not in seen, "the request was sent before its settings were made"
    assert len(between.fake.logins()) == 2 and handed() == 1


def test_a_short_limit_of_the_client_before_is_over_with_its_loan(weir, between):
    client, other = pair(weir, between)
    client.query("SET statement_timeout = '1ms'")
    wait_until(lambda: between.count(b'RESET /* pgweir */ "statement_timeout"') == 1)
    assert other.query("SHOW statement_timeout") == [["0"]]


def test_a_request_does_not_run_if_its_settings_are_refused(weir, postgres, handed):
    postgres.query("CREATE ROLE gone; GRANT gone TO web; GRANT ALL ON SCHEMA public TO gone", dbname="app")
    client, other = weir.start(pool_size=1, max_overflow=0).raw(), weir.raw()
    client.query("SET ROLE gone")
    other.query("SELECT 1")
    postgres.query("DROP OWNED BY gone; DROP ROLE gone", dbname="app")
    client.send(query("INSERT INTO handed VALUES ('x')"))
    assert errors(client.read_to_end())[0].sqlstate == "22023"
    assert other.query("SELECT 1") == [["1"]] and handed() == 0


AS_SENT = {
    "a Query": query,
    "extended": lambda sql: parse("", sql) + bind() + execute() + sync(),
    "a block": lambda sql: query("BEGIN") + query(sql),
}
REFUSED = ("SET DateStyle = 'German'", "SET statement_timeout = '77s'", "SET app.tenant = 'A'", "SET ROLE gone")
OWN = "SELECT current_setting('DateStyle'), current_setting('work_mem'), current_setting('statement_timeout'), " \
      "coalesce(current_setting('app.tenant', true), ''), current_user"


@pytest.mark.parametrize("settings", [{}, {"commit_check": "on"}, {"keep_plans": "on"}, {"workers": 2}, {"session_state": "isolate"}],
                         ids=lambda settings: " ".join(settings) or "defaults")
@pytest.mark.parametrize("how", AS_SENT)
def test_settings_that_are_refused_cost_one_connection(weir, postgres, handed, how, settings):
    """Not one for each client that has them, nor for each server that refuses them: once they were refused, they go alone."""
    postgres.query("CREATE ROLE gone; GRANT gone TO web; GRANT ALL ON SCHEMA public TO gone", dbname="app")
    weir.start(pool_size=1, max_overflow=0, **settings)
    clients, other = [weir.raw() for _ in range(3)], weir.raw()
    for client in clients:
        client.query(*REFUSED)
    other.query("SET work_mem = '5MB'", "SET DateStyle = 'SQL, DMY'")
    weir.settle()
    postgres.query("DROP OWNED BY gone; DROP ROLE gone", dbname="app")
    before = weir.metric_now("pgweir_backend_connect_duration_seconds_count")
    for client in clients:
        client.send(AS_SENT[how]("INSERT INTO handed VALUES ('x')"))
        assert errors(client.read_to_end())[0].sqlstate == "22023"
        assert other.query(OWN) == [["SQL, DMY", "5MB", "0", "", "web"]]
        with weir.raw() as third:
            assert third.query(OWN) == [["ISO, MDY", "4MB", "0", "", "web"]]
    assert handed() == 0 and weir.metric_now("pgweir_backend_connect_duration_seconds_count") == before + 1


@pytest.mark.parametrize("how", AS_SENT)
def test_settings_that_were_refused_and_are_not_any_more_are_in_force(weir, postgres, handed, how):
    made = "CREATE ROLE gone; GRANT gone TO web; GRANT ALL ON SCHEMA public TO gone; GRANT ALL ON handed TO gone"
    postgres.query(made, dbname="app")
    weir.start(pool_size=1, max_overflow=0)
    refused, client, other = weir.raw(), weir.raw(), weir.raw()
    refused.query(*REFUSED)
    client.query(*REFUSED)
    other.query("SET DateStyle = 'SQL, DMY'")
    postgres.query("DROP OWNED BY gone; DROP ROLE gone", dbname="app")
    refused.send(query("SELECT 1"))
    assert errors(refused.read_to_end())[0].sqlstate == "22023"
    postgres.query(made, dbname="app")
    for _ in range(2):
        client.send(AS_SENT[how]("INSERT INTO handed VALUES ('x')") + query("COMMIT") + query("SELECT 'over'"))
        while texts(client.read_until("Z")) != [["over"]]:
            pass
        assert client.query(OWN) == [["German, DMY", "4MB", "77s", "A", "gone"]]
        assert other.query(OWN) == [["SQL, DMY", "4MB", "0", "", "web"]]
    assert handed() == 2
    client.leave()
    postgres.query("DROP OWNED BY gone; DROP ROLE gone", dbname="app")


# --- questions about the code, and washing ----------------------------------------------------------------------

def is_question(kind, body):
    """About the database's code."""
    return kind == "Q" and b"RECURSIVE known" in body


def times_asked(fake, number):
    return sum(is_question(*message) for message in fake.connections[number].messages)


def test_an_answer_about_code_as_it_was_before_ddl_is_not_believed(weir, fake):
    """A trigger is made while one server is asked. The answer knows of none, so it does not hold for what comes behind it."""
    is_made, may_answer = threading.Event(), threading.Event()

    def answer(conn, kind, body):
        if body.startswith(b"CREATE TRIGGER"):
            is_made.set()
            conn.send(complete("CREATE TRIGGER"), ready())
        elif is_question(kind, body):
            row = data_row("r", "t", "r 1 0 trigger t") if is_made.is_set() else b""
            may_answer.wait(4)
            conn.send(complete("SET"), row, complete("SELECT"), ready())
        else:
            return False
        return True
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=2)
    two = weir.raw()                                        # the login borrows a server, which is asked then
    wait_until(lambda: times_asked(fake, 0) == 1, what="the question")
    two.query("CREATE TRIGGER t")                           # on another one
    wait_until(lambda: weir.pool()["sv_tested"] == 2, what="the other server to wait for the answer")
    assert times_asked(fake, 1) == 0
    may_answer.set()
    wait_until(lambda: weir.pool()["sv_idle"] == 2, what="both servers to be idle")
    before = weir.metric("pgweir_pool_seals_total")
    two.query("SELECT 1")
    wait_until(lambda: weir.metric("pgweir_pool_seals_total") > before, what="a seal")


def test_code_of_a_client_that_has_left_counts_once_it_is_committed(weir, fake):
    """It has sent CREATE TRIGGER and COMMIT, and left. Another server is asked in between, and can't know of the trigger."""
    may_make, is_committing, may_commit, is_made = (threading.Event() for _ in range(4))

    def answer(conn, kind, body):
        if body.startswith(b"CREATE TRIGGER"):
            may_make.wait(PATIENCE)
            conn.send(complete("CREATE TRIGGER"), ready("T"))
        elif body.startswith(b"COMMIT"):
            is_committing.set()
            may_commit.wait(PATIENCE)
            is_made.set()
            conn.is_in_transaction = False
            conn.send(complete("COMMIT"), ready())
        elif is_question(kind, body):
            conn.send(complete("SET"), data_row("r", "t", "r 1 0 trigger t") if is_made.is_set() else b"", complete("SELECT"), ready())
        else:
            return False
        return True
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=2)
    maker, other = weir.raw(), weir.raw()
    maker.query(BEGIN_NOW)
    other.query("SELECT 1")                                 # on the other server
    maker.send(query("CREATE TRIGGER t"), query("COMMIT"))
    maker.close()
    wait_until(lambda: fake.cancels, what="the client to have left")
    may_make.set()
    is_committing.wait(PATIENCE)
    asked = sum(times_asked(fake, number) for number in range(2))
    wait_until(lambda: other.query("SELECT 1") and sum(times_asked(fake, number) for number in range(2)) > asked, what="another question")
    may_commit.set()
    wait_until(lambda: {row["state"] for row in weir.console("SHOW SERVERS")} <= {"idle"}, what="its server to be clean")
    before = weir.metric("pgweir_pool_seals_total")
    other.query("SELECT 1 FROM t")
    wait_until(lambda: weir.metric("pgweir_pool_seals_total") > before, what="a seal")


def test_no_server_is_lent_again_before_the_code_that_there_is_was_read(weir, fake):
    """One is asked whether there is any. The yes begins the question about all of it; the other server may have run what it tells of."""
    may_say, may_tell = threading.Event(), threading.Event()

    def answer(conn, kind, body):
        if not is_question(kind, body):
            return False
        is_all = b"FROM reach" in body
        (may_tell if is_all else may_say).wait(4)
        conn.send(complete("SET"), data_row("r", "t", "r 256 0 trigger t") if is_all else data_row("c", "", ""), complete("SELECT"), ready())
        return True

    def asked(number):
        return ["all" if b"FROM reach" in body else "any" for kind, body in fake.connections[number].messages if is_question(kind, body)]
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=2, max_overflow=0)
    two, three = weir.raw(), weir.raw()                     # the first login borrows a server, which is asked then
    wait_until(lambda: asked(0) == ["any"], what="the question whether there is any")
    two.query("SELECT 1")                                   # so another one is opened
    three.send(query("SELECT 'three'"))
    weir.wait_waiting(1)
    may_say.set()
    wait_until(lambda: asked(0) == ["any", "all"], what="the question about all of it")
    weir.wait_waiting(1)
    may_tell.set()
    three.read_until("Z")
    ran = [conn.number for conn in fake.connections for _, body in conn.messages if b"'three'" in body]
    assert ran and not set(ran) & {0, 1}
    assert asked(1) == []


@pytest.mark.parametrize("what", ["question", "seal"])
def test_who_waits_does_not_wait_long_for_a_server_that_is_being_washed(weir, fake, what):
    """There is room for another server."""
    def answer(conn, kind, body):
        if is_question(kind, body) if what == "question" else kind == "Q" and b"RESET /* pgweir */ ALL" in body:
            time.sleep(3)
        return False
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=5, session_state="isolate" if what == "seal" else "track")
    one, two = weir.raw(), weir.raw()
    _, first_seconds = timed(one.query, "SELECT 1")
    _, seconds = timed(two.query, "SELECT 1")
    assert first_seconds < 2.5 * SLOWNESS and seconds < 2.5 * SLOWNESS


def test_servers_that_ran_code_before_it_was_found_to_last_are_closed(weir, fake):
    """A function is made that keeps state in the backend, and runs before the catalogs are asked again."""
    asked = []

    def answer(conn, kind, body):
        if body.startswith(b"CREATE FUNCTION"):
            conn.send(complete("CREATE FUNCTION"), ready())
        elif is_question(kind, body):
            asked.append(conn)
            conn.send(complete("SET"), *[data_row("r", "t", "r 256 0 trigger t")] * (len(asked) > 1), complete("SELECT"), ready())
        else:
            return False
        return True
    fake.answer = answer
    one, two = weir.start(upstream=fake.upstream, pool_size=1).raw(), weir.raw()
    one.query("SELECT 1", "CREATE FUNCTION f")
    one.query("UPDATE t SET v = 1")                         # of a trigger, say
    ran = [conn for conn in fake.connections if any(b"UPDATE" in body for _, body in conn.messages)]
    wait_until(lambda: len(asked) > 1, what="the second question")
    wait_until(lambda: "closed after use" in weir.log(), what="the answer")
    two.query("SELECT 'two'")
    assert not any(b"'two'" in body for conn in ran for _, body in conn.messages)


def test_while_one_server_is_asked_about_new_functions_the_others_wait_for_its_answer(weir, fake):
    """With 20 servers there would be 20 questions at once, each of which may be a second of CPU, or 20 new connections."""
    asked, may_answer, may_end = [], threading.Event(), threading.Event()

    def answer(conn, kind, body):
        if body.startswith(b"CREATE FUNCTION"):
            conn.send(complete("CREATE FUNCTION"), ready())
        elif is_question(kind, body):
            asked.append(conn)
            if len(asked) > 1:
                may_answer.wait(PATIENCE)
            conn.send(complete("SET"), data_row("r", "t", "r 1 0 trigger t"), complete("SELECT"), ready())
        elif b"'long'" in body:
            may_end.wait(PATIENCE)
            return False
        else:
            return False
        return True
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=3)
    maker, *others = weir.raw(), weir.raw(), weir.raw()
    maker.query("SELECT 1")
    each(others).send(query("SELECT 'long'"))
    wait_until(lambda: weir.pool()["sv_active"] == 2, what="two loans")
    maker.query("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'f', 'f'")
    maker.close()
    wait_until(lambda: weir.metric_now("pgweir_pool_recycles_total", reason="dirty") == 1, what="the end of the maker's own")
    may_end.set()
    each(others).read_until("Z")
    wait_until(lambda: weir.pool()["sv_tested"] == 2, what="both to be held")
    may_answer.set()
    wait_until(lambda: weir.pool()["sv_idle"] == 2, what="the answer")
    assert len(asked) == 2 and weir.metric_now("pgweir_pool_recycles_total", reason="dirty") == 1


@pytest.mark.long
def test_a_server_whose_answer_about_the_code_took_its_time_is_lent_to_nobody(weir, fake):
    """PostgreSQL may notice the question's statement_timeout behind the answer, and then sends the error to whoever is next."""
    def answer(conn, kind, body):
        if is_question(kind, body) and conn.number == 0:
            time.sleep(3.1)
        return False
    fake.answer = answer
    wire = weir.start(upstream=fake.upstream, pool_size=1, max_overflow=0).raw()
    wire.query("SELECT 1", "SELECT 'two'")
    assert [any(b"'two'" in body for _, body in conn.messages) for conn in fake.connections] == [False, True]


# --- the answer about the code stops within a row ----------------------------------------------------------------

ROW = data_row("r", "t", "r 1 0 trigger t")
REST_OF_ANSWER = ROW[len(ROW) // 2:] + complete("SELECT") + ready()


class HalfAnswer:
    """The first question is answered up to the middle of a row, the rest when that is allowed; later ones at once."""

    def __init__(self, fake):
        self.is_half, self.may_end, self.conn = threading.Event(), threading.Event(), None
        self.rest = REST_OF_ANSWER
        fake.answer = self.answer

    def answer(self, conn, kind, body):
        if not is_question(kind, body):
            return False
        conn.send(*[complete("SET")] * 3, row_description("?column?", "?column?", "?column?"))
        if self.conn is None:
            self.conn = conn
            conn.send(ROW[:len(ROW) // 2])
            self.is_half.set()
            assert self.may_end.wait(PATIENCE)
            conn.send(self.rest)
        else:
            conn.send(ROW, complete("SELECT"), ready())
        return True


@pytest.fixture
def half(weir, fake):
    made = HalfAnswer(fake)
    weir.start(upstream=fake.upstream, pool_size=1, max_overflow=0)
    yield made
    made.may_end.set()


def knows_settings(weir):
    return any("settings" in row["state"] for row in weir.console("SHOW DATABASE_CODE"))


def is_washed(weir, wire):
    before = weir.metric_now("pgweir_pool_seals_total")
    wire.query("SELECT v FROM t")
    wait_until(lambda: weir.metric_now("pgweir_pool_seals_total") > before, what="a seal")


ENDS = {                            # what is done while the answer stops
    "the client goes": lambda half, one: one.leave(),
    "the client breaks off": lambda half, one: one.close(),
    "the server goes": lambda half, one: half.conn.close(),
}


@pytest.mark.parametrize("how", ENDS)
def test_who_goes_while_the_code_is_told_costs_nobody_anything(weir, fake, half, how):
    one = weir.raw()                                        # its login borrows the server
    assert half.is_half.wait(PATIENCE)
    two = weir.raw()
    two.send(query("SELECT 'two'"))
    ENDS[how](half, one)
    half.may_end.set()
    assert not errors(two.read_until("Z"))
    is_washed(weir, two)
    wait_until(lambda: two.query("SELECT 1") and knows_settings(weir), what="the answer")
    assert how == "the server goes" or len(fake.logins()) <= 2


def test_an_answer_about_code_that_ends_in_an_error_is_none(weir, fake, half):
    half.rest = ROW[len(ROW) // 2:] + error("57014", "canceling statement due to statement timeout") + ready()
    weir.raw()
    assert half.is_half.wait(PATIENCE)
    two = weir.raw()
    two.send(query("SELECT 'two'"))
    half.may_end.set()
    assert not errors(two.read_until("Z"))
    is_washed(weir, two)
    weir.wait_log("did not report what its code could touch")
    assert not knows_settings(weir)


def test_a_pool_is_paused_while_the_code_is_told(weir, fake, half):
    weir.raw()
    assert half.is_half.wait(PATIENCE)
    two = weir.raw()
    paused = weir.in_background(weir.console, "PAUSE")
    two.send(query("SELECT 'two'"))
    wait_until(lambda: weir.console("SHOW DATABASES")[0]["paused"] == 1, what="the pause")
    half.may_end.set()
    paused.result()
    weir.console("RESUME")
    assert not errors(two.read_until("Z"))
    wait_until(lambda: two.query("SELECT 1") and knows_settings(weir), what="the answer")
    is_washed(weir, two)


@pytest.mark.parametrize("change", ["another server", "no such database", "nothing"])
def test_a_reload_while_the_code_is_told(weir, fake, half, change):
    """What comes then is not for the database that has the name now."""
    weir.raw()
    assert half.is_half.wait(PATIENCE)
    with FakeServer() as other:
        upstream = other.upstream if change == "another server" else fake.upstream
        if change == "no such database":
            weir.reload({"database elsewhere": {"upstream": fake.upstream}}, pool_size=1, max_overflow=0)
        else:
            weir.reload(upstream=upstream, pool_size=1, max_overflow=0)
        half.may_end.set()
        if change == "no such database":
            wait_until(lambda: not half.conn.is_open, what="that server to be closed")
            weir.reload(upstream=fake.upstream, pool_size=1, max_overflow=0)
        two = weir.raw()
        assert two.query("SELECT 'two'") == [["fake"]]
        if change == "another server":
            wait_until(lambda: [row["state"] for row in weir.console("SHOW DATABASE_CODE")] == ["none"], what="its answer")
        else:
            is_washed(weir, two)
            wait_until(lambda: two.query("SELECT 1") and knows_settings(weir), what="the answer")
