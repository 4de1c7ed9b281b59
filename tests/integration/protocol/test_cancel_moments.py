"""Cancel requests at odd moments. Each may hit its own client's query, or nothing; never another's.

All have one server connection, so that whatever is cancelled late, or twice, meets the next client's query there.
"""

import random
import struct
import threading

import pytest

from fakeserver import error, message, ready
from rawwire import BEGIN_NOW, copy_data, copy_done, errors, one_statement, query, send_cancel, shape, sync, texts
from waiting import each, wait_until

ROUNDS = 25
MODES = ["transaction", "session"]


class Others:
    """A client on the same server whose queries must never be hit."""

    def __init__(self, weir):
        self.wire, self.count = weir.raw(), 0

    def check(self):
        self.count += 1
        replies = self.wire.ask(query(f"SELECT {self.count}, pg_sleep(0.003)"))
        assert texts(replies) == [[str(self.count), ""]], shape(replies)


def may_be_hit(replies, wanted):
    """The client's own query, whole or cancelled. Returns True if it was."""
    hit = [error.sqlstate for error in errors(replies)]
    assert hit in ([], ["57014"]), shape(replies)
    assert hit or texts(replies) == wanted, shape(replies)
    return bool(hit)


def cancel_at_once(weir, key, count):
    threads = [threading.Thread(target=send_cancel, args=(weir.address, key)) for _ in range(count)]
    each(threads).start()
    return threads


@pytest.mark.weir_only
@pytest.mark.parametrize("message", [query("SELECT 'waited'"), one_statement("SELECT 'waited'") + sync()],
                         ids=["simple", "extended"])
@pytest.mark.parametrize("count", [1, 3])
def test_while_it_waits_for_a_server(weir, message, count):
    with weir.start(pool_size=1).raw() as running, weir.raw() as waiting, weir.raw() as third:
        running.query(BEGIN_NOW)
        for turn in range(5):
            waiting.send(message)
            weir.wait_waiting(1)
            third.send(query(f"SELECT {turn}"))
            weir.wait_waiting(2)
            each(cancel_at_once(weir, waiting.key, count)).join()
            assert running.query(f"SELECT {turn}, pg_sleep(0.01)") == [[str(turn), ""]]
            running.query("COMMIT")
            may_be_hit(waiting.read_until("Z"), [["waited"]])
            assert texts(third.read_until("Z")) == [[str(turn)]]
            running.query(BEGIN_NOW)


@pytest.mark.parametrize("count", [1, 2])
def test_between_the_queries_of_a_transaction(weir, count):
    """It has its server, which does nothing: there is nothing to cancel, and what was sent before is not hit later."""
    with weir.start(pool_size=2).raw() as wire:
        other = Others(weir)
        for turn in range(ROUNDS):
            wire.query("BEGIN")
            each(cancel_at_once(weir, wire.key, count)).join()
            may_be_hit(wire.ask(query(f"SELECT {turn}, pg_sleep(0.002)")), [[str(turn), ""]])
            wire.ask(query("ROLLBACK"))
            other.check()


@pytest.mark.weir_only
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("sql", ["SELECT 1", "SET work_mem = 4321", "CREATE TEMP TABLE IF NOT EXISTS t (i int); DROP TABLE t",
                                 "DO $$BEGIN PERFORM set_config('work_mem', '4321', false); END$$"])
def test_behind_the_answer(weir, sql, count):
    """pgweir itself may still ask and wash on the server; the next client has it then."""
    with weir.start(pool_size=1).raw() as wire:
        other = Others(weir)
        for _ in range(ROUNDS):
            wire.query(sql)
            threads = cancel_at_once(weir, wire.key, count)
            other.check()
            each(threads).join()
            other.check()


@pytest.mark.weir_only
@pytest.mark.parametrize("count", [1, 2])
def test_at_the_end_of_its_query(weir, count):
    """Now before the answer, now behind it."""
    weir.start(pool_size=1)
    rng, hits = random.Random(count), 0
    with weir.raw() as wire:
        other = Others(weir)
        for turn in range(2 * ROUNDS):
            wire.send(query(f"SELECT {turn}, pg_sleep({rng.choice([0, 0.001, 0.002, 0.004])})"))
            threads = cancel_at_once(weir, wire.key, count)
            hits += may_be_hit(wire.read_until("Z"), [[str(turn), ""]])
            other.check()
            each(threads).join()
            other.check()
    print(f"{hits} of {2 * ROUNDS} were hit")


@pytest.mark.weir_only
@pytest.mark.parametrize("mode", MODES)
def test_of_a_client_that_leaves(weir, mode):
    """Its query goes on for a moment; its server is another's then."""
    weir.start(pool_size=1, pool_mode=mode)
    for turn in range(ROUNDS):
        wire = weir.raw()
        wire.send(query("SELECT pg_sleep(0.01)"))
        threads = cancel_at_once(weir, wire.key, 1)
        if turn % 2 == 0:
            wire.close()
        else:
            wire.read_until("Z")
            wire.leave()
        other = Others(weir)
        other.check()
        each(threads).join()
        send_cancel(weir.address, wire.key)                          # nobody's any more
        other.check()
        other.wire.leave()


@pytest.mark.weir_only
def test_with_a_key_that_is_nearly_anothers(weir):
    weir.start(pool_size=1)
    rng = random.Random(1)
    with weir.raw() as wire, weir.raw() as running:
        for _ in range(5):
            running.send(query("SELECT pg_sleep(0.1), 'slept'"))
            wait_until(lambda: weir.pool()["sv_active"] == 1)
            secret, = struct.unpack("!I", running.key[4:8])
            for key in (running.key[:4] + wire.key[4:], wire.key[:4] + running.key[4:],
                        running.key[:4] + struct.pack("!I", secret ^ 1 << rng.randrange(32)), running.key[:8] + b"\0", wire.key):
                assert send_cancel(weir.address, key)[:1] in (b"", b"E")
            assert texts(running.read_until("Z")) == [["", "slept"]]


@pytest.mark.weir_only
@pytest.mark.parametrize("mode", MODES)
def test_in_the_middle_of_a_pipeline(weir, mode):
    """At most two of its requests are hit by each cancel, as PostgreSQL interrupts the process and its group; the rest up
    to its Sync is skipped; the order stays."""
    with weir.start(pool_size=1 if mode == "transaction" else 2, pool_mode=mode).raw() as wire:
        other = Others(weir)
        for turn in range(ROUNDS):
            wire.send(b"".join(one_statement(f"SELECT {number}, pg_sleep(0.001)") + sync() for number in range(10)))
            threads = cancel_at_once(weir, wire.key, 1 + turn % 2)
            other.check()
            replies = wire.read_until("Z", 10)
            each(threads).join()
            rows = [int(row[0]) for row in texts(replies)]
            states = [error.sqlstate for error in errors(replies)]
            assert set(states) <= {"57014"} and len(states) <= 2 * (1 + turn % 2), shape(replies)
            done = sum(reply.type == "C" for reply in replies)
            assert rows == sorted(set(rows)) and done <= len(rows) and done + len(states) == 10, shape(replies)


@pytest.mark.weir_only
def test_while_it_copies(weir, table):
    with weir.start(pool_size=2).raw() as wire:
        other = Others(weir)
        for turn in range(ROUNDS):
            wire.send(query(f"COPY {table} FROM STDIN"))
            wire.read_until("G")
            threads = cancel_at_once(weir, wire.key, 1 + turn % 2)
            wire.send(copy_data(f"{turn}\tone\n".encode()), copy_done())
            may_be_hit(wire.read_until("Z"), [])
            other.check()
            each(threads).join()
            assert wire.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
def test_while_the_pool_is_paused(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.query("SELECT 1")
        weir.console("PAUSE app")
        wire.send(query("SELECT 'paused'"))
        weir.wait_waiting(1)
        each(cancel_at_once(weir, wire.key, 2)).join()
        weir.console("RESUME app")
        may_be_hit(wire.read_until("Z"), [["paused"]])
        assert wire.query("SELECT 2") == [["2"]]


SLOW, NEXT = "SELECT 'slow'", "SELECT 'next'"


@pytest.mark.weir_only
@pytest.mark.parametrize("what", ["query", "extended", "block", "session", "copy"])
def test_nothing_is_sent_that_its_second_signal_could_hit(weir, fake, what):
    """PostgreSQL before 18 signals twice for a CancelRequest, and then ends its connection."""
    is_copy = what == "copy"
    hit, state = error("57014", "canceling statement due to user request"), "E" if what == "block" else "I"
    fake.confirms = threading.Event()

    def answer(conn, kind, body):
        is_slow = kind == "Q" and SLOW.encode() in body or kind == "E" and conn.parsed == SLOW
        if is_slow:
            if is_copy:
                conn.send(message("G", b"\0\0\0"))
            else:
                wait_until(lambda: fake.cancels)
                conn.is_failed = kind == "E"
                conn.send(hit, *([] if kind == "E" else [ready(state)]))
        elif kind == "d":
            wait_until(lambda: fake.cancels)
            conn.send(hit, ready("I"))
        return is_slow or kind == "d"

    def served():
        return sum(NEXT in sql or sql == "ROLLBACK" for conn in fake.connections for sql in conn.queries())

    fake.answer = answer
    weir.start(upstream=fake.upstream, pool_size=1, pool_mode="session" if what == "session" else "transaction")
    with weir.raw() as wire:
        if what == "block":
            wire.query(BEGIN_NOW)
        wire.send(one_statement(SLOW) + sync() if what == "extended" else query(SLOW))
        wait_until(lambda: any(SLOW in sql for conn in fake.connections for sql in conn.queries()))
        if is_copy:
            wire.read_until("G")
        canceller = threading.Thread(target=send_cancel, args=(weir.address, wire.key))
        canceller.start()
        wait_until(lambda: fake.cancels)
        if is_copy:
            wire.send(copy_data(b"1\n"))
        assert [reply.sqlstate for reply in errors(wire.read_until("Z"))] == ["57014"]
        wire.send(query("ROLLBACK") if what == "block" else one_statement(NEXT) + sync() if what == "extended" else query(NEXT))
        assert wire.has_nothing_more(0.3) and served() == 0
        fake.confirms.set()
        assert not errors(wire.read_until("Z")) and served() == 1
        canceller.join()


@pytest.mark.weir_only
@pytest.mark.parametrize("seed", range(4))
def test_at_any_moment(weir, seed):
    """Some clients are cancelled all the time, the others never are."""
    weir.start(pool_size=3)
    rng, is_over = random.Random(seed), threading.Event()
    victims = [weir.raw() for _ in range(3)]
    keys = [wire.key for wire in victims]

    def cancel_on():
        own = random.Random(rng.random())
        while not is_over.wait(own.random() / 100):
            send_cancel(weir.address, own.choice(keys))

    def suffer(wire):
        turn = 0
        while not is_over.is_set():
            turn += 1
            wire.ask(query("ROLLBACK"))
            may_be_hit(wire.ask(query(f"BEGIN; SELECT {turn}, pg_sleep(0.002); COMMIT")), [[str(turn), ""]])

    def live():
        other = Others(weir)
        for _ in range(60):
            other.check()

    busy = [weir.in_background(cancel_on) for _ in range(3)] + [weir.in_background(suffer, wire) for wire in victims]
    try:
        each([weir.in_background(live) for _ in range(4)]).result()
    finally:
        is_over.set()
    each(busy).result()
