"""The rules that reads = marked rests on (docs/architecture.md, "Reads"), in a router of thirty lines: with all of them nothing
is older than it may be; each of them that is left out is found out by the checker.

So it is known of each rule that it is needed, and of the checker that it finds a router without it.
"""

import time

import pytest

import checker
from checker import Run, SplitWires
from rawwire import Wire
from storm import CALM, Storm
from test_checker import SEED
from waiting import each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long]

BUGS = {
    "nothing is compared": checker.READ_YOUR_WRITES,
    "readings from before the reply": checker.READ_YOUR_WRITES,
    "reads on the primary don't count": checker.MONOTONIC_READS,
    "reads on the other standby don't count": checker.MONOTONIC_READS,
    "nothing is settled": checker.MONOTONIC_READS,
    "the flushed position": checker.READ_YOUR_WRITES,
}


def position(text):
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


class CarefulWires(SplitWires):
    """A session that asks the hosts how far they are, on connections beside those that it reads and writes on."""

    def __init__(self, trio, session, bug):
        primary, *standbys = [[Wire((host.host, host.port)).login("web", "app") for _ in range(2)] for host in [trio.primary, *trio.standbys]]
        super().__init__(primary[0], [wires[0] for wires in standbys], session.chance)
        self.asked = {wires[0]: wires[1] for wires in (primary, *standbys)}
        self.bug, self.token, self.read_last = bug, 0, None
        self.is_due = self.is_unsettled = False         # of what the primary, or the standby read last, has shown

    def send(self, message):
        if b"READ ONLY" in message.upper():
            self.there = self._choose(self.chance.choice(self.readers))
        if self.there is self.primary and self.is_unsettled and self.bug != "nothing is settled":
            self._settle()
        if self.bug == "readings from before the reply":
            self._resolve()
        self.is_write = b"UPDATE" in message or b"COMMIT" in message
        self.there.send(message)
        self.is_last = message[5:].startswith((b"COMMIT", b"ROLLBACK"))

    def read_until(self, *arguments):
        there, replies = self.there, super().read_until(*arguments)
        if there is not self.primary:
            self.read_last = there
            self.is_unsettled = True
        elif self.bug != "reads on the primary don't count" or self.is_write:
            self.is_due = self.bug != "readings from before the reply"
        return replies

    def close(self):
        super().close()
        each(self.asked.values()).close()

    def _choose(self, standby):
        if self.bug == "nothing is compared":
            return standby
        if self.is_due:
            self._resolve()
        if self.read_last not in (None, standby) and self.bug != "reads on the other standby don't count":
            self.token = max(self.token, self._replayed(self.read_last))
        end = time.monotonic() + 0.03
        while self._replayed(standby) < self.token:
            if time.monotonic() > end:
                return self.primary
            time.sleep(0.001)
        return standby

    def _resolve(self):
        which = "flush" if self.bug == "the flushed position" else "insert"
        found = position(self.asked[self.primary].value(f"SELECT pg_current_wal_{which}_lsn()"))
        self.token, self.is_due = max(self.token, found - (24 if found % 8192 == 24 else 0)), False

    def _replayed(self, standby):
        return position(self.asked[standby].value("SELECT pg_last_wal_replay_lsn()"))

    def _settle(self):
        """Until all that the standby may have shown is visible on the primary."""
        bound = int(self.asked[self.read_last].value("SELECT pg_snapshot_xmax(pg_current_snapshot())"))
        while int(self.asked[self.primary].value("SELECT pg_snapshot_xmin(pg_current_snapshot())")) < bound:
            time.sleep(0.001)
        self.is_unsettled = False


def run_with(trio, bug, count):
    Run.prepare(trio.primary)
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    return Run(lambda session: CarefulWires(trio, session, bug), SEED, count, reads=checker.PLAIN_READS, writes=checker.PLAIN_WRITES)


def stir(trio, run):
    """A moment in which commits that one standby shows wait for the other one."""
    shown, away = trio.standbys
    with run.phase(f"commits wait for {away.name}"):
        trio.synchronous(f"FIRST 1 ({away.name})")
        trio.freeze(away)
        time.sleep(0.1)
        trio.thaw(away)
        trio.synchronous("")
    trio.lag(shown, run.sessions[0].chance.choice((0, 0, 5, 20)))
    trio.lag(away, run.sessions[0].chance.choice((0, 0, 5, 20)))
    time.sleep(0.3)


def test_nothing_is_found_where_all_rules_are_kept(trio):
    run = run_with(trio, None, 8).start()
    storm = Storm(trio, run, SEED, CALM)
    storm.start()
    end = time.monotonic() + 6
    while time.monotonic() < end or run.write_count < 300:
        stir(trio, run)
    run.stop()
    storm.finish()
    print(run.report())
    assert not run.violations() and not run.errors
    assert run.share() > 0.1


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("bug", BUGS)
def test_each_rule_that_is_left_out_is_found_out(trio, bug):
    """It may be another guarantee that is violated first."""
    run = run_with(trio, bug, 8).start()

    def is_found():
        stir(trio, run)
        return BUGS[bug] in {violation.guarantee for violation in run.violations()}

    try:
        wait_until(is_found, 60, f"what follows from it that {bug}")
    finally:
        run.stop()
        print(run.report())
