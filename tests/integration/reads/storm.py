"""What happens to a primary and its standbys while sessions work: by chance, which a seed decides."""

import random
import signal
import threading

LAGS = (0, 0, 0, 1, 2, 5, 10, 20, 50)       # milliseconds
SYNCHRONOUS = ("", "", "*", "ANY 1 ({0}, {1})", "FIRST 1 ({0}, {1})", "FIRST 1 ({1}, {0})")
CALM = ("lag", "lag", "lag", "lag", "synchronous", "quiet")
ROUGH = CALM + ("pause", "freeze", "cut_off", "crash", "restart")
FAILOVERS = ROUGH + ("switchover", "failover", "fork")


class Storm(threading.Thread):
    """Does one thing after the other to a Trio, until the run is over. run: a checker.Run, which is told what is done when.

    A synchronous standby stands still for half a second at most while it is waited for: longer, and commits that others have
    read on the other standby are waited for by nobody (docs/reads.md).
    """

    def __init__(self, trio, run, seed, kinds=ROUGH):
        super().__init__(daemon=True)
        self.trio, self.run_of, self.kinds = trio, run, kinds
        self.chance = random.Random(f"{seed} storm")
        self.names, self.failed = "", None
        self.counts = {}

    def run(self):
        try:
            while not self.run_of.is_over.is_set():
                kind = self.chance.choice(self.kinds)
                self.counts[kind] = self.counts.get(kind, 0) + 1
                getattr(self, kind)()
                self._wait(0.05, 0.4)
        except Exception as error:  # pylint: disable=broad-except
            self.failed = error

    def finish(self):
        """When the run has been stopped."""
        self.join(120)
        if self.failed:
            raise self.failed
        self.trio.heal()

    def _wait(self, least, most):
        self.run_of.is_over.wait(self.chance.uniform(least, most))

    def _any(self):
        return self.chance.choice(self.trio.standbys)

    def quiet(self):
        self._wait(0.1, 0.5)

    def lag(self):
        standby, lag = self._any(), self.chance.choice(LAGS)
        with self.run_of.phase(f"{standby.name} is set to lag by {lag} ms"):
            self.trio.lag(standby, lag)

    def synchronous(self):
        names = [standby.name for standby in self.trio.standbys]
        self._synchronous(self.chance.choice(SYNCHRONOUS).format(*names))

    def _synchronous(self, names):
        with self.run_of.phase(f"synchronous_standby_names = '{names}'"):
            self.trio.synchronous(names)
        self.names = names

    def _let_go(self, standby):
        """Nobody waits for a standby that goes."""
        if self.names:
            others = [other.name for other in self.trio.standbys if other is not standby]
            self._synchronous(f"FIRST 1 ({others[0]})" if self.chance.random() < 0.5 else "")

    def pause(self):
        standby = self._any()
        with self.run_of.phase(f"{standby.name} replays nothing"):
            self.trio.pause(standby)
            self._wait(0.1, 1.5)
            self.trio.resume(standby)

    def freeze(self):
        standby = self._any()
        with self.run_of.phase(f"{standby.name} is frozen"):
            self.trio.freeze(standby)
            self._wait(0.05, 0.4 if self.names else 1.5)
            self.trio.thaw(standby)

    def cut_off(self):
        standby = self._any()
        self._let_go(standby)
        with self.run_of.phase(f"{standby.name} is cut off"):
            self.trio.cut_off(standby)
            self._wait(0.1, 1.5)
            self.trio.thaw(standby)

    def crash(self):
        standby = self._any()
        self._let_go(standby)
        with self.run_of.phase(f"{standby.name} crashes"):
            self.trio.crash(standby)
            self._wait(0, 0.7)
            self.trio.start(standby)
        self.trio.wait_follows(standby)

    def restart(self):
        standby = self._any()
        self._let_go(standby)
        with self.run_of.phase(f"{standby.name} restarts"):
            self.trio.restart(standby, self.chance.choice((signal.SIGINT, signal.SIGQUIT)))
        self.trio.wait_follows(standby)

    def switchover(self):
        self._change(signal.SIGINT, "switchover")

    def failover(self):
        self._change(signal.SIGQUIT, "failover")

    def _change(self, how, word):
        """The old primary ends, one of the others is promoted, and the old one comes back as a standby."""
        old, new = self.trio.primary, self._any()
        self._synchronous("")               # a fast shutdown waits for those that are waited for
        self.run_of.judge.failover_count += 1
        with self.run_of.phase(f"{word} from {old.name} to {new.name}"):
            self.trio.stop(old, how)
            self._wait(0, 0.5)
            self.trio.promote(new)
        with self.run_of.phase(f"{old.name} comes back as a standby"):
            self.trio.copy(old)
        self._wait(0.5, 1.5)

    def fork(self):
        """For a moment there are two primaries, each with a standby."""
        old, new = self.trio.primary, self._any()
        self._synchronous("")
        self.run_of.judge.failover_count += 1
        with self.run_of.phase(f"{new.name} is promoted beside {old.name}"):
            self.trio.promote(new, followed=False)
            self._wait(0.1, 1)
            self.trio.stop(old, signal.SIGQUIT)
        with self.run_of.phase(f"the standbys of {old.name} become those of {new.name}"):
            self.trio.heal()
        self._wait(0.5, 1.5)
