"""Requests of pgweir's own (settings, probes, trials of startup settings) have a time of their own, and servers that end
while a client has nothing there are not its business."""

import socket
import threading
import time

import pytest

from fakeserver import complete, error, ready
from postgres import Postgres
from rawwire import BEGIN_NOW, errors, one_statement, query, send_cancel, shape, startup, sync, texts
from waiting import PATIENCE, SLOWNESS, wait_until

pytestmark = pytest.mark.weir_only

TEMP = "CREATE TEMP TABLE probed (a int)"                   # a probe asks for temporary tables then


class Mute:
    """A fake server that does not answer one thing, from when it is told on: Parses and Queries with that in their text."""

    def __init__(self, fake, text):
        self.text, self.is_on, self.seen, self.when_asked = text, False, 0, None
        fake.answer = self.answer

    def answer(self, conn, kind, body):
        if getattr(conn, "is_mute", False):
            return True
        if kind in "PQ" and self.is_on and self.text in body:
            self.is_on, conn.is_mute = False, True
            self.seen += 1
            if self.when_asked is not None:
                self.when_asked(conn)
            return True
        return False


def fatal(conn):
    conn.send(error("57P01", "terminating connection due to administrator command", "FATAL", R="ProcessInterrupts"))
    conn.close()


def last_words(wire):
    replies = wire.read_until("E")
    wire.wait_closed()
    return errors(replies)[0]


def probed(weir, fake, when_asked=None, **settings):
    """A client with nothing under way but a probe of its session, on the only server, which does not answer it."""
    mute = Mute(fake, b"pg_my_temp_schema")
    wire = weir.start(upstream=fake.upstream, pool_size=1, **settings).raw()
    wire.query("SELECT 1")
    mute.is_on, mute.when_asked = True, when_asked
    wire.ask(query(TEMP))
    wait_until(lambda: mute.seen == 1)
    return wire


def tried(weir, fake, **settings):
    """A client whose startup settings are tried on the only server, which does not answer that."""
    mute = Mute(fake, b"set_config")
    weir.start(upstream=fake.upstream, pool_size=1, **settings)
    weir.raw().query("SELECT 1")
    mute.is_on = True
    wire = weir.wire()
    wire.send(startup(parameters={"work_mem": "5MB"}))
    wait_until(lambda: mute.seen == 1)
    return wire


@pytest.mark.long
def test_a_probe_that_hangs_does_not_hold_a_server_for_ever(weir, fake):
    """Who asked for nothing is not disturbed; what it may have set is lost, so that its next request is its last."""
    idle, other = probed(weir, fake), weir.raw()
    begin = time.monotonic()
    other.send(query("SELECT 1"))
    assert texts(other.read_until("Z", timeout=9 * SLOWNESS)) == [["fake"]]
    assert 4 < time.monotonic() - begin < 8.5 * SLOWNESS
    assert idle.has_nothing_more(0.3)
    idle.send(query("SELECT 1"))
    told = last_words(idle)
    assert told.severity == "FATAL" and told.sqlstate == "08006"


@pytest.mark.long
def test_who_waits_behind_a_probe_that_hangs_is_told(weir, fake):
    wire = probed(weir, fake)
    wire.send(query("SELECT 1"))
    assert last_words(wire).sqlstate == "08006"


def test_a_trial_of_startup_settings_that_hangs_is_under_login_timeout(weir, fake):
    wire, begin = tried(weir, fake, login_timeout="1s"), time.monotonic()
    assert last_words(wire).severity == "FATAL"
    assert time.monotonic() - begin < 7 * SLOWNESS


@pytest.mark.long
def test_a_trial_of_startup_settings_has_five_seconds(weir, fake):
    assert last_words(tried(weir, fake, login_timeout="1h")).sqlstate == "08006"
    assert weir.raw().query("SELECT 1") == [["fake"]]


def test_fatal_on_a_probe_is_told_to_who_waits_behind_it(weir, fake):
    is_sent = threading.Event()
    wire = probed(weir, fake, when_asked=lambda conn: (is_sent.wait(PATIENCE), fatal(conn)))
    wire.send(query("SELECT 1"))
    assert wire.has_nothing_more(0.2)
    is_sent.set()
    told = last_words(wire)
    assert told.severity == "FATAL" and told.sqlstate == "57P01"


def test_fatal_on_a_probe_disturbs_no_idle_client_before_it_asks(weir, fake):
    wire = probed(weir, fake, when_asked=fatal)
    assert wire.has_nothing_more(0.3)
    wire.send(query("SELECT 1"))
    told = last_words(wire)
    assert told.severity == "FATAL" and told.sqlstate == "57P01"


class Stuck:
    """A fake server on which DISCARD SEQUENCES stands still for a while, then ends; or the client's own request does, until
    it is cancelled. What is cancelled within the extended protocol fails, and all up to the Sync is skipped."""

    def __init__(self, fake, seconds, ended=None):
        self.fake, self.seconds, self.ended, self.is_on, self.seen = fake, seconds, ended, False, 0
        self.is_own_next = False
        fake.answer = self.answer

    def is_cancelled(self, seconds):
        try:
            wait_until(lambda: self.fake.cancels, seconds)
        except AssertionError:
            return False
        return True

    def answer(self, conn, kind, body):
        if not self.is_on or conn.is_failed:
            return False
        if kind == "P" and b"DISCARD /* pgweir */ SEQUENCES" in body:
            self.seen += 1
            if self.ended is not None:
                self.is_on = False
                self.ended(conn)
                return True
            if self.is_cancelled(self.seconds):
                conn.is_failed, self.is_on = True, False
                conn.send(error("57014", "canceling statement due to user request"))
                return True
        elif kind == "P" and b"nextval" in body:
            self.is_own_next = self.seen == 1
        elif kind == "B" and self.is_own_next and self.is_cancelled(5):
            conn.is_failed, self.is_on = True, False
            conn.send(error("57014", "canceling statement due to user request"))
            return True
        elif kind == "Q" and b"nextval" in body and self.seen == 1 and self.is_cancelled(5):
            self.is_on = False
            conn.send(error("57014", "canceling statement due to user request"), ready("I"))
            return True
        return False


def meeting(weir, stuck, message, **settings):
    """A client whose message makes the only server forget another client's sequences first, which takes its time."""
    wire = weir.start(upstream=stuck.fake.upstream, pool_size=1, max_overflow=0, **settings).raw()
    wire.query("SELECT 1")
    weir.raw().query("SELECT nextval('s')")
    stuck.is_on = True
    wire.send(message)
    wait_until(lambda: stuck.seen == 1)
    return wire


NEXT = {"Q": query("SELECT nextval('s')"), "P": one_statement("SELECT nextval('s')") + sync()}


@pytest.mark.parametrize("kind, replies", [("Q", "E:57014 Z:I"), ("P", "1 E:57014 Z:I")])
def test_a_cancel_ends_the_clients_request_and_not_what_is_ahead_of_it(weir, fake, kind, replies):
    wire = meeting(weir, Stuck(fake, 0.2), NEXT[kind])
    send_cancel(weir.address, wire.key)
    assert shape(wire.read_until("Z")) == replies
    assert len(fake.cancels) == 1 and wire.query("SELECT 1") == [["fake"]]


@pytest.mark.parametrize("kind", NEXT)
def test_query_timeout_does_not_end_what_is_ahead_of_a_request(weir, fake, kind):
    """The request must not run without it: what pgweir sends has a limit of its own, 5 s."""
    wire = meeting(weir, Stuck(fake, 9), NEXT[kind], query_timeout="200ms")
    told = last_words(wire)
    assert told.severity == "FATAL" and told.sqlstate == "08006"


def test_a_request_is_relayed_again_if_the_server_ends_ahead_of_it(weir, fake):
    wire = meeting(weir, Stuck(fake, 0, fatal), NEXT["Q"], on_outage="hold")
    assert texts(wire.read_until("Z")) == [["fake"]] and wire.query("SELECT 1") == [["fake"]]


def bye(conn):
    conn.close()


def unowed(conn):
    conn.send(error("XX000", "out of the blue"))


def unowed_in_the_same_breath(conn):
    conn.send(complete("INSERT 0 1"), ready("I"), error("57P01", "bye", "FATAL"))
    conn.close()


@pytest.mark.parametrize("how", [fatal, bye, unowed, unowed_in_the_same_breath])
def test_a_client_that_lingers_goes_on_when_its_server_ends(weir, fake, how):
    ended = []

    def answer(conn, kind, body):
        if kind != "Q" or b"INSERT" not in body:
            return False
        if how is not unowed_in_the_same_breath:
            conn.send(complete("INSERT 0 1"), ready("I"))
            time.sleep(0.03)
        how(conn)
        ended.append(4000 + conn.number)
        return True
    fake.answer = answer
    with weir.start(upstream=fake.upstream, pool_size=2).raw() as wire:
        for turn in range(5):
            logins = len(fake.logins())
            assert [reply.type for reply in wire.ask(query("INSERT INTO t VALUES (1)"))] == ["C", "Z"]
            wait_until(lambda: len(ended) > turn and             # pylint: disable=cell-var-from-loop
                       ended[-1] not in [row["remote_pid"] for row in weir.console("SHOW SERVERS")])
            assert wire.has_nothing_more(0.03)
            assert wire.query("SELECT 1") == [["fake"]]
            assert len(fake.logins()) > logins or how is unowed_in_the_same_breath
        if how is unowed:
            wait_until(lambda: not any(conn.is_open for conn in fake.logins()[:-1]), what="the others to be closed")


def test_a_client_that_waits_for_the_listener_goes_on_when_its_server_ends(weir, fake):
    """Its LISTEN came while its server was busy. It must not be told the end of a server, and then stay."""
    listened, ended = threading.Event(), threading.Event()

    def answer(conn, kind, body):
        if kind == "Q" and b"'busy'" in body:
            assert listened.wait(PATIENCE)
            conn.send(complete(), ready("I"), error("57P01", "bye", "FATAL"))
            conn.sock.shutdown(socket.SHUT_WR)
            while conn.sock.recv(100):      # else pgweir may hear the listener first, and send the LISTEN to this one
                pass
            conn.close()
            ended.set()
            return True
        if kind == "Q" and b"UNLISTEN" in body:
            conn.send(complete("UNLISTEN"), ready())
            return True
        if kind == "Q" and b"LISTEN" in body and not ended.is_set():    # to what listens for all clients
            listened.set()
            assert ended.wait(PATIENCE)
        return False
    fake.answer = answer
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as wire:
        wire.send(query("SELECT 'busy'") + query("LISTEN a"))
        assert shape(wire.read_until("Z", 2)) == "C:SELECT 1 Z:I C:LISTEN Z:I"
        assert wire.query("SELECT 1") == [["fake"]]


LATE = {                            # what A sets, what it runs, how long that takes, session_state
    "any": ("SELECT 1", "SELECT 'slow'", 0.09, "track"),
    "any, not followed": ("SELECT 1", "SELECT 'slow'", 0.09, "allow"),
    "a short one": ("SET statement_timeout = '9ms'", "SELECT 'slow'", 0.01, "track"),
    "a short one, unitless": ("SET statement_timeout TO 9", "SELECT 'slow'", 0.01, "track"),
    "for one transaction": ("SELECT 1", "BEGIN; SET LOCAL statement_timeout = '9000 us'; SELECT 'slow'; COMMIT", 0.01, "track"),
}


@pytest.mark.parametrize("limit", LATE)
def test_a_statement_timeout_that_is_noticed_late_is_nobody_elses(weir, fake, limit):
    """If it is over behind a statement's last check for interrupts, PostgreSQL (15) answers that statement, and the next message
    on the connection with the error instead: DECLARE c CURSOR FOR SELECT slow(); FETCH c, say, in one Query."""
    setting, slow, seconds, session_state = LATE[limit]
    begun, late = threading.Event(), []

    def answer(conn, kind, body):
        if conn in late and kind in "QPBS":
            late.remove(conn)
            conn.send(error("57014", "canceling statement due to statement timeout"), ready())
            return True
        if kind == "Q" and b"'slow'" in body:
            begun.set()
            time.sleep(seconds)
            conn.send(complete(), ready())
            late.append(conn)
            return True
        return False
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=1, max_overflow=0, session_state=session_state)
    with weir.raw() as one, weir.raw() as other:
        other.query("SELECT 1")
        one.ask(query(setting))
        one.send(query(slow))
        assert begun.wait(PATIENCE)
        other.send(query("SELECT 2"))
        assert shape(one.read_until("Z")) == "C:SELECT 1 Z:I"
        assert texts(other.read_until("Z")) == [["fake"]]


def test_an_error_out_of_the_blue_in_a_transaction_is_told(weir, fake):
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as wire:
        wire.query(BEGIN_NOW)
        unowed(fake.logins()[-1])
        assert last_words(wire).severity == "FATAL"
        assert weir.raw().query("SELECT 1") == [["fake"]]


# --- under settings of its own ------------------------------------------------------------------------------------

SLOW = """SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = 0; SET jit_optimize_above_cost = 0;
    SET enable_seqscan = off; SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
    SET cpu_tuple_cost = 1e9; SET plan_cache_mode = force_custom_plan; SET cursor_tuple_fraction = 0;
    SET quote_all_identifiers = on; SET row_security = off; SET search_path = odd, pg_catalog"""
ANYTHING = "DO $$BEGIN PERFORM 1; END$$"                    # all is asked for and washed


@pytest.fixture(scope="module")
def counting():
    """A cluster that counts statements, and compiles what costs much; with operators that are not what they seem to be."""
    cluster = Postgres("shared_preload_libraries = 'pg_stat_statements'\njit = on\n")
    cluster.query("CREATE EXTENSION pg_stat_statements")
    cluster.query("""CREATE SCHEMA odd CREATE TABLE made (id serial, v text);
        CREATE FUNCTION odd.wrong(name, name) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE ''odd''; END';
        CREATE OPERATOR odd.= (LEFTARG = name, RIGHTARG = name, FUNCTION = odd.wrong);
        CREATE OPERATOR odd.<> (LEFTARG = name, RIGHTARG = name, FUNCTION = odd.wrong);
        CREATE FUNCTION odd.any() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'SELECT 1'; END$$;
        GRANT ALL ON SCHEMA odd TO PUBLIC; GRANT ALL ON odd.made, odd.made_id_seq TO PUBLIC""")
    yield cluster
    cluster.destroy()


def start(weir, cluster, **settings):
    return weir.start(upstream=f"host={cluster.host} port={cluster.port} dbname=app", pool_size=1, max_overflow=0, **settings)


@pytest.mark.long
def test_own_questions_are_never_compiled_and_name_pgweir(weir, counting):
    """Under the first client's settings each would be compiled, for up to 5 seconds: then that client was cut off."""
    start(weir, counting)
    counting.query("SELECT pg_stat_statements_reset()")
    theirs = [ANYTHING, "SELECT odd.any()", "INSERT INTO odd.made (v) VALUES ('a')", "SELECT lastval()", "SELECT setseed(0.5)",
              "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)", "SET app.a = '1'", "CREATE TEMP TABLE t (a int)",
              "DISCARD TEMP", "PREPARE p AS SELECT 1", "SELECT pg_backend_pid()"]
    with weir.raw() as slow, weir.raw() as other:
        for sql in SLOW.split(";"):
            slow.query(sql)
        for sql in theirs:
            for wire in (slow, other):
                if sql != "SELECT pg_advisory_unlock(1)" or wire is slow:
                    assert "E" not in [reply.type for reply in wire.ask(query(sql)) if sql != "SELECT lastval()"], sql
                if sql == "SELECT pg_advisory_lock(1)":
                    wire.query("SELECT pg_advisory_unlock(1)")
                if "TEMP" in sql:
                    wire.query("DISCARD TEMP")
                if "PREPARE" in sql:
                    wire.query("EXECUTE p", "DEALLOCATE p")
        assert slow.query("SHOW jit_above_cost") == [["0"]] and other.query("SHOW jit_above_cost") == [["100000"]]
    seen = counting.query("SELECT query, jit_functions FROM pg_stat_statements WHERE userid = 'web'::regrole")
    ours = [text for text, _ in seen if "pgweir" in text]
    assert any("pg_settings" in text for text in ours) and any("pg_advisory_unlock_all" in text for text in ours)
    assert [text for text, functions in seen if "pgweir" in text and functions > 0] == []
    words = {sql.split()[0] for sql in [*theirs, *SLOW.split(";")]} | {"SHOW", "EXECUTE", "DEALLOCATE"}
    assert [text for text, _ in seen if "pgweir" not in text and text.split()[0] not in words] == []
    assert [text for text, _ in seen if "pgweir" not in text and "pg_catalog." in text] == []


def test_a_setting_that_the_probe_changes_for_itself_follows_its_client(weir, counting):
    with start(weir, counting).raw() as one, weir.raw() as other:
        shown = "SELECT current_setting('jit'), current_setting('statement_timeout')"
        before = other.query(shown)
        one.query("DO $$BEGIN PERFORM set_config('jit', 'off', false), set_config('statement_timeout', '61s', false); END$$")
        for _ in range(2):
            assert one.query(shown) == [["off", "61s"]] and other.query(shown) == before
        assert one.query("DO $$BEGIN RESET jit; RESET statement_timeout; END$$", shown) == other.query(shown) == before


def test_a_startup_setting_that_the_probe_changes_for_itself_is_not_reset(weir, counting):
    """The client has set the server's own default, which RESET is not: that means the startup packet's value."""
    start(weir, counting)
    shown = "SELECT current_setting('jit'), current_setting('statement_timeout')"
    with weir.raw(parameters={"jit": "off", "statement_timeout": "61s"}) as one, weir.raw() as other:
        assert one.query(shown) == [["off", "61s"]] and other.query(shown) == [["on", "0"]]
        for sql, wanted in (("SET statement_timeout = 0", ["off", "0"]), (ANYTHING, ["off", "0"]),
                            ("DO $$BEGIN SET jit = on; SET statement_timeout = '62s'; END$$", ["on", "62s"]),
                            ("DO $$BEGIN SET statement_timeout = 0; END$$", ["on", "0"]),
                            ("DO $$BEGIN RESET jit; RESET statement_timeout; END$$", ["off", "61s"])):
            one.query(sql)
            for _ in range(2):
                assert one.query(shown) == [wanted] and other.query(shown) == [["on", "0"]]


def test_no_statement_timeout_is_too_short_for_a_probe(weir, counting):
    with start(weir, counting).raw() as hasty, weir.raw() as other:
        for sql in SLOW.split(";"):
            hasty.query(sql)
        hasty.query("DO $$BEGIN PERFORM set_config('statement_timeout', '20ms', false); END$$")
        other.send(query("SELECT 1"))
        assert texts(other.read_until("Z")) == [["1"]]
        assert weir.console("SHOW PINS") == []


@pytest.mark.parametrize("limit", [pytest.param(None, marks=pytest.mark.long), "300ms"])
def test_a_probe_that_is_late_is_cancelled_and_costs_no_client(weir, counting, limit):
    """Nobody knows then whether the lock is held: the client keeps its server until a probe tells. Idle, or with a request
    that waits: this is what is late, not the request."""
    start(weir, counting, **({"query_timeout": limit} if limit else {}))
    blocker = counting.connect()
    with weir.raw() as wire, blocker.cursor() as cursor:
        wire.query("SELECT 1")
        cursor.execute("BEGIN; LOCK TABLE pg_catalog.pg_locks IN ACCESS EXCLUSIVE MODE")
        assert wire.query("SELECT pg_advisory_lock(1)") == [[""]]
        if limit is None:
            wait_until(lambda: "advisory" in str(weir.console("SHOW PINS")))
        else:
            assert wire.query("SELECT 1") == [["1"]] and "advisory" in str(weir.console("SHOW PINS"))
        cursor.execute("ROLLBACK")
        assert wire.query("SELECT pg_advisory_unlock(1)") == [["t"]]
        wait_until(lambda: weir.console("SHOW PINS") == [])
    blocker.close()


class Unconfirmed:
    """A fake server whose answer to a probe is that it was cancelled, and which doesn't end the CancelRequest's connection:
    it may carry out that cancel once more."""

    def __init__(self, fake):
        self.fake, self.served, fake.answer, fake.confirms = fake, [], self.answer, threading.Event()
        self.hits_victims = False

    def answer(self, conn, kind, body):
        if kind == "Q" and b"pg_my_temp_schema" in body and not self.fake.cancels:
            wait_until(lambda: self.fake.cancels)
            conn.send(error("57014", "canceling statement due to user request"), ready("I"))
            return True
        if kind == "Q" and b"'victim'" in body:
            self.served.append(conn.number)
            if self.hits_victims:
                conn.send(error("57014", "canceling statement due to user request", R="ProcessInterrupts"), ready("I"))
            return self.hits_victims
        return False


@pytest.mark.long
@pytest.mark.parametrize("is_confirmed", [True, False])
def test_nothing_of_a_client_is_sent_while_the_cancel_of_a_probe_may_still_hit_it(weir, fake, is_confirmed):
    unconfirmed = Unconfirmed(fake)
    with weir.start(upstream=fake.upstream, pool_size=1).raw() as wire:
        wire.query("SELECT 1")
        wire.ask(query(TEMP))
        wire.send(query("SELECT 'victim'"))
        wait_until(lambda: fake.cancels)
        assert wire.has_nothing_more(4) and unconfirmed.served == []
        if is_confirmed:
            fake.confirms.set()
            assert texts(wire.read_until("Z")) == [["fake"]] and len(fake.cancels) == len(unconfirmed.served) == 1
        else:
            assert last_words(wire).sqlstate == "08006" and unconfirmed.served == []
            fake.confirms.set()


def test_a_cancel_of_a_probe_that_hits_a_client_is_logged_as_a_bug(weir, fake):
    """PostgreSQL does not do that: this one carries the cancel out once more, after it has confirmed it."""
    unconfirmed = Unconfirmed(fake)
    unconfirmed.hits_victims = weir.is_loud = True
    fake.confirms.set()
    with weir.start(upstream=fake.upstream, pool_size=1, query_timeout="300ms").raw() as wire:
        wire.query("SELECT 1")
        wire.ask(query(TEMP))
        wire.send(query("SELECT 'victim'"))
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"
        wait_until(lambda: "BUG: a cancel of pgweir's own request has hit client" in weir.log())


def test_a_request_that_comes_while_a_probe_runs_goes_behind_those_who_wait(weir, fake):
    """Else a client whose next request always comes in time would keep the server."""
    is_asked, may_answer, served = threading.Event(), threading.Event(), []

    def answer(_conn, kind, body):
        if kind == "Q" and b"pg_my_temp_schema" in body and not is_asked.is_set():
            is_asked.set()
            may_answer.wait(PATIENCE)
        elif kind == "Q" and b"'who" in body:
            served.append(body)
        return False

    with weir.start(upstream=fake.upstream, pool_size=1).raw() as hasty, weir.raw() as patient:
        hasty.query("SELECT 1")
        fake.answer = answer
        hasty.ask(query(TEMP))
        assert is_asked.wait(PATIENCE)
        patient.send(query("SELECT 'who waits'"))
        wait_until(lambda: weir.console("SHOW WAITERS"))
        hasty.send(query("SELECT 'who is hasty'"))
        weir.console("SHOW VERSION")                    # what came before it has been read now
        may_answer.set()
        assert texts(patient.read_until("Z")) == texts(hasty.read_until("Z")) == [["fake"]]
        assert [b"waits" in sql for sql in served] == [True, False]


@pytest.mark.parametrize("own", ["SELECT 1", "SET app.tenant = 'b'"])
def test_own_questions_and_settings_wait_for_no_other_transaction(weir, counting, own):
    """PostgreSQL lets a deferrable transaction wait until no other one could disturb it."""
    start(weir, counting)
    blocker = counting.connect()
    with weir.raw() as patient, weir.raw() as other, blocker.cursor() as cursor:
        other.query(own)
        for name in ("isolation = serializable", "read_only = on", "deferrable = on"):
            patient.query(f"SET default_transaction_{name}")
        cursor.execute("BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO odd.made (v) VALUES ('b')")
        patient.query("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_lock(1), pg_advisory_unlock(1); COMMIT")
        other.send(query("SELECT 1"))
        assert texts(other.read_until("Z", timeout=4 * SLOWNESS)) == [["1"]]
        cursor.execute("ROLLBACK")
        assert patient.query("SELECT 1") == [["1"]]
    blocker.close()
