"""What a run of the integration tests prints while it goes on, in place of pytest's dots: how far it is, every ten seconds; the
name of a test that has failed, when it fails.

For scripts/integration, two files to which is added:
PGWEIR_DURATIONS         each test's seconds and name, for the list of the slowest
PGWEIR_FAILED_OTHERWISE  the names of tests that failed at their begin or end
"""

import collections
import os
import threading
import time

import pytest

EVERY_S = 10


def name(report):
    """As scripts/integration takes it: without the folder."""
    path, colons, test = report.nodeid.partition("::")
    return os.path.basename(path) + colons + test


class Progress:
    def __init__(self, config):
        self.config = config
        self.begun = time.monotonic()
        self.total = self.done = self.failed = 0
        self.seconds = collections.Counter()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.print_now_and_then, daemon=True)

    def print(self, line):
        self.config.pluginmanager.get_plugin("terminalreporter").write_line(line)

    def print_now_and_then(self):
        while not self.ended.wait(EVERY_S):
            if self.total:
                self.print(f"{self.done} of {self.total} tests, {self.failed} failed, "
                                         f"{time.monotonic() - self.begun:.0f} s")

    def pytest_sessionstart(self):
        self.thread.start()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        self.total = len(session.items)

    @pytest.hookimpl(optionalhook=True)     # of xdist, whose workers have the tests
    def pytest_xdist_node_collection_finished(self, ids):
        self.total = len(ids)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report):
        """pytest's own categories, without its letters."""
        if hasattr(report, "wasxfail"):
            return ("xfailed", "", "XFAIL") if report.skipped else ("xpassed", "", "XPASS")
        if report.when == "call" or report.skipped:
            return report.outcome, "", report.outcome.upper()
        return ("error", "", "ERROR") if report.failed else ("", "", "")

    def pytest_runtest_logreport(self, report):
        self.seconds[name(report)] += report.duration
        if report.failed:
            self.failed += 1
            self.print(f"FAILED: {name(report)}, after {self.seconds[name(report)]:.1f} s")
            if report.when != "call" and (path := os.environ.get("PGWEIR_FAILED_OTHERWISE")):
                with open(path, "a", encoding="utf-8") as file:
                    file.write(f"{name(report)}\n")
        if report.when == "teardown":
            self.done += 1

    def pytest_sessionfinish(self):
        self.ended.set()
        path = os.environ.get("PGWEIR_DURATIONS")
        if path:
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(f"{seconds:.1f} {test}\n" for test, seconds in self.seconds.items())


def pytest_configure(config):
    if not hasattr(config, "workerinput") and config.option.verbose <= 0:
        config.pluginmanager.register(Progress(config))
