"""Servers that are slow, wrong or dying at the moments when pgweir itself wants something of them."""

import threading
import time

import pytest

from fakeserver import complete, data_row, ready
from rawwire import query
from waiting import wait_until
from weir import timed

pytestmark = pytest.mark.weir_only


def is_question(kind, body):
    """About the database's code."""
    return kind == "Q" and b"risky" in body


def test_an_answer_about_code_as_it_was_before_ddl_is_not_believed(weir, fake):
    """Two servers are asked at once; between these questions a trigger is made, and the older answer comes first."""
    may_answer = [threading.Event(), threading.Event()]
    answers = [b"", data_row("c", "1", "1 trigger t")]      # none; settings

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
    wait_until(lambda: any(is_question(*message) for message in fake.connections[1].messages), 5, "the second question")
    may_answer[0].set()
    one.read_until("Z")
    may_answer[1].set()
    wait_until(lambda: weir.pool()["sv_idle"] == 2, 5, "both servers to be idle")
    before = weir.metric("pgweir_pool_seals_total")
    two.query("SELECT 1")
    wait_until(lambda: weir.metric("pgweir_pool_seals_total") > before, 2, "a seal")


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
    assert first_seconds < 1 and seconds < 1


def test_servers_that_ran_code_before_it_was_found_to_last_are_closed(weir, fake):
    """A function is made that keeps state in the backend, and runs before the catalogs are asked again."""
    asked = []

    def answer(conn, kind, body):
        if body.startswith(b"CREATE FUNCTION"):
            conn.send(complete("CREATE FUNCTION"), ready())
        elif is_question(kind, body):
            asked.append(conn)
            conn.send(complete("SET"), *[data_row("c", "256", "1 f")] * (len(asked) > 1), complete("SELECT"), ready())
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
    wait_until(lambda: len(asked) > 1, 5, "the second question")
    wait_until(lambda: "closed after use" in weir.log(), 5, "the answer")
    two.query("SELECT 'two'")
    assert not any(b"'two'" in body for conn in ran for _, body in conn.messages)
