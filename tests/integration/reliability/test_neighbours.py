"""Whoever causes work pays for it: a client of each sort that makes pgweir close connections, read the code of the database, or wash,
three times a second, beside a victim of another user's. The victim's rate is compared with its rate alone, in turns, in one run."""

import contextlib
import statistics
import threading
import time

import pytest

from rawwire import message, query
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.long, pytest.mark.alone]
WINDOW = 0.7        # s
ROUNDS = 5
TIMES = 3           # a second
VICTIM = "SELECT v FROM plain"
BODY = "RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN {}; END $f$"


def new(send):
    """What a new connection does, which is closed at once."""
    def act(weir, _number):
        wire = weir.raw("web", "own")
        send(wire)
        wire.close()
    return act


def ended(wire):
    wire.send(query("SELECT pg_terminate_backend(pg_backend_pid())"))
    wire.read_until("E")


def killed_load(wire):
    wire.send(query("COPY loaded FROM STDIN"))
    wire.read_until("G")
    wire.send(message("d", b"x\n" * 10000))


def kept(*steps):
    """What one connection does, again and again."""
    wires = {}

    def act(weir, number):
        wire = wires.get(weir) or wires.setdefault(weir, weir.raw("web", "own"))
        for step in steps:
            wire.query(step.format(number=number))
    return act


ATTACKERS = {
    "half a Query": new(lambda wire: wire.send(query(f"SELECT '{'x' * 300000}'")[:200000])),
    "a bulk load that is killed": new(killed_load),
    "a Query that nobody waits for": new(lambda wire: wire.send(query("SELECT pg_sleep(0.01)"))),
    "pg_terminate_backend()": new(ended),
    "ALTER ROLE SET": kept("ALTER ROLE web SET work_mem = '{number}MB'"),
    "ALTER DATABASE SET": kept("ALTER DATABASE own SET work_mem = '{number}MB'"),
    "ALTER DATABASE of another one": kept("ALTER DATABASE others SET work_mem = '{number}MB'"),
    "code that is rolled back": kept("BEGIN", f"CREATE FUNCTION pg_temp.f() {BODY.format(1)}", "ROLLBACK"),
    "code that fails": new(lambda wire: wire.send(query(f"CREATE FUNCTION pg_temp.f() {BODY.format(1)}; SELECT 1/0"))),
    "code in pg_temp": kept("CREATE OR REPLACE FUNCTION pg_temp.f() " + BODY.replace("{}", "{number}")),
    "code": kept("CREATE OR REPLACE FUNCTION f() " + BODY.replace("{}", "{number}")),
}


# New code has to be read, and all that others run is washed until then: on a busy machine that is most of the time.
WASHED = ("code that fails", "code in pg_temp", "code")


@contextlib.contextmanager
def attacked(weir, attack, count):
    """Meanwhile it attacks; count: how often so far, which goes on."""
    stop, failed = threading.Event(), []

    def work():
        while not stop.wait(1 / TIMES):
            try:
                count[0] += 1
                attack(weir, count[0])
            except Exception as error:  # pylint: disable=broad-except
                failed.append(error)
                return
    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()
    assert not failed, failed[0]


def rate(wires):
    """Answers a second, of clients that ask at once."""
    answers, begin = 0, time.monotonic()
    while time.monotonic() - begin < WINDOW:
        for wire in wires:
            wire.send(query(VICTIM))
        for wire in wires:
            wire.read_until("Z")
        answers += len(wires)
    return answers / (time.monotonic() - begin)


def calm(weir, wires):
    """Until nothing is washed, and the code is known."""
    def is_calm():
        before = weir.metric_now("pgweir_pool_seals_total")
        for wire in wires * 8:
            wire.query(VICTIM)
        return weir.metric_now("pgweir_pool_seals_total") == before
    wait_until(is_calm, what="nothing to be washed")


def share(weir, attack, least, told):
    """Of the victim's rate alone, what is left while it is attacked: the median of some rounds, and of more if that is not enough."""
    wires, count, found = [weir.raw("reporting", "own") for _ in range(2)], [0], []
    while not found or statistics.median(found) < least and len(found) < 3 * ROUNDS:
        for _ in range(ROUNDS):
            calm(weir, wires)
            alone = rate(wires)
            with attacked(weir, attack, count):
                rate(wires)             # until it has begun
                found.append(rate(wires) / alone)
    with told.disabled():
        print(f"\n{statistics.median(found):.2f} of {[round(part, 2) for part in found]}")
    return statistics.median(found)


@pytest.fixture
def world(weir, postgres, own):
    postgres.query("CREATE TABLE plain (v text); INSERT INTO plain VALUES ('x'); CREATE TABLE loaded (v text); GRANT ALL ON plain, loaded TO PUBLIC; "
                   "CREATE FUNCTION its_own(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", dbname=own)
    postgres.query("CREATE DATABASE others OWNER web", dbname="postgres")
    yield weir.start({f"database {own}": {"upstream": weir.upstream()}}, pool_size=4, max_overflow=0)
    postgres.query("DROP DATABASE others WITH (FORCE)", dbname="postgres")
    postgres.query("ALTER ROLE web RESET ALL", dbname="postgres")


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_who_causes_work_pays_for_it(world, attacker, capsys):
    least = 0.3 if attacker in WASHED else 0.8
    assert share(world, ATTACKERS[attacker], least, capsys) >= least


def test_a_great_deal_of_code_that_is_read_is_a_part_of_the_work(world, postgres, own, capsys):
    """10,000 functions are read each time: all that is run is washed meanwhile."""
    postgres.query("DO $d$ BEGIN FOR i IN 1..10000 LOOP EXECUTE format('CREATE FUNCTION many_%s(v int) RETURNS int LANGUAGE plpgsql AS "
                   "$f$ BEGIN IF v > %s THEN RETURN many_%s(v - 1); END IF; RETURN length(''many''); END $f$', i, i, i / 2); END LOOP; END $d$", dbname=own)
    assert share(world, ATTACKERS["code"], 0.3, capsys) >= 0.3
