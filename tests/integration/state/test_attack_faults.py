"""Servers that are slow, wrong or dying at the moments when pgweir itself wants something of them."""

import threading
import time

import pytest

from fakeserver import FakeServer, complete, data_row, error, ready, row_description
from rawwire import errors, query
from waiting import wait_until
from weir import timed

pytestmark = pytest.mark.weir_only


def is_question(kind, body):
    """About the database's code."""
    return kind == "Q" and b"RECURSIVE remote" in body


def test_an_answer_about_code_as_it_was_before_ddl_is_not_believed(weir, fake):
    """Two servers are asked at once; between these questions a trigger is made, and the older answer comes first."""
    may_answer = [threading.Event(), threading.Event()]
    answers = [b"", data_row("r", "t", "r 1 0 trigger t")]      # none; settings

    def answer(conn, kind, body):
        if body.startswith(b"CREATE TRIGGER"):
            conn.send(complete("CREATE TRIGGER"), ready())
        elif is_question(kind, body):
            may_answer[conn.number].wait(4)
            conn.send(complete("SET"), answers[conn.number], complete("SELECT"), ready())
        else:
            return False
        return True
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=2)
    one, two = weir.raw(), weir.raw()                       # the first login borrows a server, which is asked then
    two.send(query("CREATE TRIGGER t"))
    one.send(query("SELECT 1"))                             # two in line: another server is opened
    two.read_until("Z")
    wait_until(lambda: any(is_question(*message) for message in fake.connections[1].messages), what="the second question")
    may_answer[0].set()
    one.read_until("Z")
    may_answer[1].set()
    wait_until(lambda: weir.pool()["sv_idle"] == 2, what="both servers to be idle")
    before = weir.metric("pgweir_pool_seals_total")
    two.query("SELECT 1")
    wait_until(lambda: weir.metric("pgweir_pool_seals_total") > before, what="a seal")


def test_no_server_is_lent_again_before_the_code_that_there_is_was_read(weir, fake):
    """Both are asked whether there is any. The first yes begins the question about all of it; the other server may have run what it tells of."""
    may_say, may_tell = [threading.Event(), threading.Event()], threading.Event()

    def answer(conn, kind, body):
        if not is_question(kind, body):
            return False
        is_all = b"FROM reach" in body
        (may_tell if is_all else may_say[conn.number]).wait(10)
        conn.send(complete("SET"), data_row("r", "t", "r 256 0 trigger t") if is_all else data_row("c", "", ""), complete("SELECT"), ready())
        return True

    def asked(number):
        return ["all" if b"FROM reach" in body else "any" for kind, body in fake.connections[number].messages if is_question(kind, body)]
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=2, max_overflow=0)
    two, three = weir.raw(), weir.raw()                     # the first login borrows a server, which is asked then
    two.query("SELECT 1")                                   # so another one is opened
    wait_until(lambda: asked(0) == asked(1) == ["any"], what="both questions")
    may_say[0].set()
    wait_until(lambda: asked(0) == ["any", "all"], what="the question about all of it")
    three.send(query("SELECT 'three'"))
    weir.wait_waiting(1)
    may_say[1].set()
    wait_until(lambda: asked(1) == ["any", "all"], what="the other server to be asked as well")
    may_tell.set()
    three.read_until("Z")
    ran = [conn.number for conn in fake.connections for _, body in conn.messages if b"'three'" in body]
    assert ran and not set(ran) & {0, 1}


@pytest.mark.parametrize("what", ["question", "seal"])
def test_who_waits_does_not_wait_long_for_a_server_that_is_being_washed(weir, fake, what):
    """There is room for another server."""
    def answer(conn, kind, body):
        if is_question(kind, body) if what == "question" else kind == "Q" and b"RESET ALL" in body:
            time.sleep(3)
        return False
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=5, session_state="isolate" if what == "seal" else "track")
    one, two = weir.raw(), weir.raw()
    _, first_seconds = timed(one.query, "SELECT 1")
    _, seconds = timed(two.query, "SELECT 1")
    assert first_seconds < 2.5 and seconds < 2.5


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
    weir.start(upstream=fake.upstream, pool_size=1)
    one, two = weir.raw(), weir.raw()
    one.query("SELECT 1")
    one.query("CREATE FUNCTION f")
    one.query("UPDATE t SET v = 1")                         # of a trigger, say
    ran = [conn for conn in fake.connections if any(b"UPDATE" in body for _, body in conn.messages)]
    wait_until(lambda: len(asked) > 1, what="the second question")
    wait_until(lambda: "closed after use" in weir.log(), what="the answer")
    two.query("SELECT 'two'")
    assert not any(b"'two'" in body for conn in ran for _, body in conn.messages)


@pytest.mark.parametrize("is_dear", [True, False])
def test_while_one_server_is_asked_about_new_functions_the_others_are_closed_unasked(weir, fake, is_dear):
    """With 20 servers there would be 20 questions at once, each of which may be a second of CPU. Where the answer takes a few
    milliseconds, to ask all of them is cheaper than to open all of them again, and again."""
    asked, may_answer, may_end = [], threading.Event(), threading.Event()

    def answer(conn, kind, body):
        if body.startswith(b"CREATE FUNCTION"):
            conn.send(complete("CREATE FUNCTION"), ready())
        elif is_question(kind, body):
            asked.append(conn)
            if len(asked) > 1:
                may_answer.wait(10)
            elif is_dear:
                time.sleep(0.12)
            conn.send(complete("SET"), data_row("r", "t", "r 1 0 trigger t"), complete("SELECT"), ready())
        elif b"'long'" in body:
            may_end.wait(10)
            return False
        else:
            return False
        return True
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=3)
    maker, *others = weir.raw(), weir.raw(), weir.raw()
    maker.query("SELECT 1")
    for other in others:
        other.send(query("SELECT 'long'"))
    wait_until(lambda: weir.pool()["sv_active"] == 2, what="two loans")
    maker.query("CREATE FUNCTION f")
    wait_until(lambda: len(asked) > 1, what="the question")
    closed = weir.metric_now("pgweir_pool_recycles_total", reason="dirty")
    may_end.set()
    for other in others:
        other.read_until("Z")
    if is_dear:
        wait_until(lambda: weir.metric("pgweir_pool_recycles_total", reason="dirty") == closed + 2, what="both to be closed")
        assert len(asked) == 2
    else:
        wait_until(lambda: len(asked) == 4, what="both to be asked")
        assert weir.metric_now("pgweir_pool_recycles_total", reason="dirty") == closed
    may_answer.set()
    others[0].query("SELECT 2")


@pytest.mark.long
def test_a_server_whose_answer_about_the_code_took_its_time_is_lent_to_nobody(weir, fake):
    """PostgreSQL may notice the question's statement_timeout behind the answer, and then sends the error to whoever is next."""
    def answer(conn, kind, body):
        if is_question(kind, body) and conn.number == 0:
            time.sleep(3.1)
        return False
    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=1, max_overflow=0)
    wire = weir.raw()
    wire.query("SELECT 1")
    wire.query("SELECT 'two'")
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
            assert self.may_end.wait(10)
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
    assert half.is_half.wait(5)
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
    assert half.is_half.wait(5)
    two = weir.raw()
    two.send(query("SELECT 'two'"))
    half.may_end.set()
    assert not errors(two.read_until("Z"))
    is_washed(weir, two)
    weir.wait_log("did not report what its code could touch")
    assert not knows_settings(weir)


def test_a_pool_is_paused_while_the_code_is_told(weir, fake, half):
    weir.raw()
    assert half.is_half.wait(5)
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
    assert half.is_half.wait(5)
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
