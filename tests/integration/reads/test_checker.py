"""Reads on standbys never lie: sessions that remember all they wrote and saw, while standbys lag, stop, crash and are promoted.

PGWEIR_READS_SECONDS  how long each run takes (20); an hour by hand
PGWEIR_READS_SEED     others than 1 draw other things by chance
"""

import os
import time

import pytest

import checker
from checker import Entry, Judge, Op, Run
from rawwire import Wire
from storm import CALM, FAILOVERS, ROUGH, Storm
from waiting import PATIENCE, wait_until

SECONDS = float(os.environ.get("PGWEIR_READS_SECONDS") or 20)
SEED = os.environ.get("PGWEIR_READS_SEED") or "1"

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long, pytest.mark.timeout(SECONDS + 400)]


# --- The judge itself: hand-made histories. ---

class Hand:
    """Two lists; sessions that are told what the test says. A snapshot: the ids of both lists."""

    def __init__(self):
        self.judge, self.memory, self.lists = Judge(), {}, {}

    def read(self, session, *lists):
        op = Op(session, "read", self.judge.now(), self.judge.now(), "1", True, "", tuple((len(ids), ids) for ids in lists))
        self.judge.read(op, self.memory.setdefault(session, {}))

    def write(self, session, key, ids):
        """The write ids[-1], which is appended to the others."""
        memory = self.memory.setdefault(session, {})
        self.judge.new_write(ids[-1], session, memory, [])
        memory[key] = Entry(len(ids), ids[-1], Op(session, "write", 0, 0), True)

    def found(self):
        return [violation.guarantee for violation in self.judge.violations()]


def test_the_judge_knows_a_history_without_fault():
    hand = Hand()
    hand.write("a", 0, (0, 1))
    hand.read("a", (0, 1), (0,))
    hand.read("b", (0,), (0,))              # behind: it has seen nothing yet
    hand.read("b", (0, 1), (0,))
    hand.write("b", 1, (0, 2))
    hand.read("a", (0, 1), (0, 2))
    hand.read("c", (0, 1), (0, 2))
    assert not hand.found()


def test_the_judge_finds_each_fault():
    hand = Hand()
    hand.write("a", 0, (0, 1))
    hand.read("a", (0,), (0,))
    assert hand.found() == [checker.READ_YOUR_WRITES]
    hand = Hand()
    hand.read("a", (0, 1), (0,))
    hand.read("a", (0,), (0,))
    assert hand.found() == [checker.MONOTONIC_READS]
    hand = Hand()
    hand.write("a", 0, (0, 1))
    hand.write("a", 1, (0, 2))
    hand.read("b", (0,), (0, 2))
    assert hand.found() == [checker.MONOTONIC_WRITES]
    hand = Hand()
    hand.write("a", 0, (0, 1))
    hand.read("b", (0, 1), (0,))
    hand.write("b", 1, (0, 2))
    hand.read("c", (0,), (0, 2))
    assert hand.found() == [checker.WRITES_FOLLOW_READS]


def test_the_judge_knows_another_history_of_the_same_length():
    hand = Hand()
    hand.read("a", (0, 1), (0,))
    hand.read("a", (0, 2), (0,))
    assert hand.found() == [checker.MONOTONIC_READS]


def test_the_judge_excuses_what_was_told_and_only_that():
    hand = Hand()
    hand.read("a", (0, 1), (0,))
    hand.read("b", (0, 1), (0,))
    hand.judge.failover_count = 1
    hand.judge.told(Op("a", "warning", 0, 0), hand.memory["a"], [])
    hand.read("a", (0,), (0,))
    assert not hand.found()
    hand.read("b", (0,), (0,))
    assert hand.found() == [checker.MONOTONIC_READS]
    hand = Hand()
    hand.judge.told(Op("a", "warning", 0, 0), {}, [])
    assert hand.found() == [checker.TOLD_FALSELY]


# --- The whole checker: a router that guesses is caught. ---

def naive(trio):
    return lambda session: checker.SplitWires(Wire((trio.primary.host, trio.primary.port)).login("web", "app"),
                                              [Wire((host.host, host.port)).login("web", "app") for host in trio.standbys], session.chance)


def test_the_checker_finds_what_a_naive_router_does(trio):
    """All of it: its own writes and what it has seen are missing; with a commit that waits for a synchronous standby while
    another standby shows it, a write is seen on the primary without what its writer has read."""
    Run.prepare(trio.primary)
    trio.wait_replayed(trio.standbys[0])
    run = Run(naive(trio), SEED, 8, reads=checker.PLAIN_READS, writes=checker.PLAIN_WRITES)
    trio.lag(trio.standbys[0], 20)
    trio.synchronous(f"FIRST 1 ({trio.standbys[0].name})")
    run.start()
    wanted = {checker.READ_YOUR_WRITES, checker.MONOTONIC_READS, checker.WRITES_FOLLOW_READS}

    def found():
        trio.freeze(trio.standbys[0])       # whoever waits for it is seen on the other
        time.sleep(0.3)
        trio.thaw(trio.standbys[0])
        time.sleep(0.1)
        return wanted <= {violation.guarantee for violation in run.violations()}

    try:
        wait_until(found, 60, "each kind of violation")
    finally:
        run.stop()
        print(run.report())
    assert run.share() > 0.9


def test_the_checker_is_content_with_the_primary_alone(trio):
    Run.prepare(trio.primary)
    run = Run(lambda _: Wire((trio.primary.host, trio.primary.port)).login("web", "app"), SEED, 6, roles=("all", "listener", "reader"))
    storm = Storm(trio, run, SEED, ROUGH)
    run.start()
    storm.start()
    wait_until(lambda: run.write_count > 500 and run.heard_count > 20 and storm.failed is None, 120)
    run.stop()
    storm.finish()
    print(run.report())
    assert not run.violations() and not run.errors


# --- pgweir. ---

SECTIONS = {"database app": {"cluster_user": "web"}, "database app2": {"reads": "primary"}}


def through(weir):
    return lambda _: Wire(weir.address).login("web", "app")


def storm_over(weir, trio, kinds, writes=0, **settings):
    """A run through pgweir in a storm, for SECONDS, and until so many writes have been done. Returns it, over and reported."""
    print(f"PGWEIR_READS_SEED={SEED}")
    Run.prepare(trio.primary)
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    weir.start(SECTIONS, trio.upstream(), **{"reads": "marked", "pool_size": 6, "on_outage": "hold", "outage_hold": "60s", **settings})
    run = Run(through(weir), SEED, roles=("all", "all", "listener", "reader"))
    storm = Storm(trio, run, SEED, kinds)
    run.start()
    storm.start()
    try:
        run.is_over.wait(SECONDS)
        wait_until(lambda: run.is_over.is_set() or run.write_count > writes, 4 * PATIENCE, "writes")
    finally:
        run.stop()
        print(run.report())
        print("  done to the hosts:", storm.counts)
        print("  unsettled:", weir.metric("pgweir_reads_unsettled_total"))
    storm.finish()
    return run


def no_violation(run):
    found = run.violations()
    assert not found, f"{len(found)} violations; the first: {found[0]}"


def none_fails_early(run):
    """A read fails with its standby only if it was shown rows, or part of one."""
    early = [failure for failure in run.failures if failure[0] == "read" and not failure[2]]
    assert not early, early


def test_four_guarantees_hold_while_standbys_lag(weir, trio):
    run = storm_over(weir, trio, CALM, 20 * SECONDS, reads_wait="30ms")
    no_violation(run)
    assert not run.errors
    assert run.share() > 0.2


def test_four_guarantees_hold_while_standbys_stop_and_crash(weir, trio):
    run = storm_over(weir, trio, ROUGH)
    no_violation(run)
    none_fails_early(run)
    assert run.share() > 0.05


def test_four_guarantees_hold_when_another_host_becomes_the_primary(weir, trio):
    run = storm_over(weir, trio, FAILOVERS)
    no_violation(run)
