"""commit_check with a synchronous standby: COMMIT is what PostgreSQL means by it, on both or not at all."""

import os
import signal
import threading

import pytest

import cutter
from waiting import each, wait_until
from weir import Weir

from test_commit import Ledger, kill, pair, run_clients  # noqa: F401  pylint: disable=unused-import

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

FAILOVERS = max(int(os.environ.get("COMMIT_KILLS", "60")) // 30, 2)


class Standing:
    """A primary that waits for its standby at each COMMIT, pgweir in front of it, and a client in a transaction."""

    def __init__(self, pair_, directory, commit_place=None):
        self.primary, make_standby = pair_
        self.standby = make_standby()
        self.conninfo = self.standby.value("SHOW primary_conninfo", dbname="postgres")
        self.primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.query("SELECT pg_reload_conf()")
        wait_until(lambda: self.primary.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
                   what="the standby to be a synchronous one")
        decisions = [commit_place]
        self.between = cutter.Cutter((self.primary.host, self.primary.port),
                                     lambda _connection: decisions.pop(0) if decisions else None)
        self.weir = Weir(self.primary, directory)
        self.weir.start(upstream=self.weir.upstream(port=self.between.port), commit_check=True,
                        commit_check_timeout="60s")
        self.client = self.weir.connect()
        self.client.execute("INSERT INTO t VALUES (1)")

    def begin_commit(self):
        return self.weir.in_background(self.client.commit)

    def waiting_for_standby(self):
        """The PIDs of pgweir's backends there."""
        return [row["pid"] for row in self.primary.backends(wait_event="SyncRep")]

    def stop_receiving(self):
        """The standby has the INSERT, and gets no more."""
        self.standby.stop_receiving(self.primary)

    def receive_again(self):
        self.standby.query("ALTER SYSTEM SET primary_conninfo = %s", (self.conninfo,), dbname="postgres")
        self.standby.query("SELECT pg_reload_conf()", dbname="postgres")

    def fail_over(self):
        self.between.target = ("127.0.0.1", 1)
        self.primary.stop(signal.SIGQUIT)
        self.standby.promote()
        # As its primary was: it would wait for a standby that it does not have.
        self.standby.query("ALTER SYSTEM SET synchronous_standby_names = ''", dbname="postgres")
        self.standby.query("SELECT pg_reload_conf()", dbname="postgres")
        self.between.target = (self.standby.host, self.standby.port)

    def found(self, where):
        return bool(where.query("SELECT 1 FROM t WHERE id = 1"))

    def end(self):
        with self.between:
            assert not self.weir.teardown()


@pytest.mark.parametrize("place", [cutter.MARKED, cutter.WITHIN])
def test_commit_that_the_standby_has_confirmed_survives_the_primary(pair, tmp_path, place):  # noqa: F811
    s = Standing(pair, tmp_path, place)
    told = s.begin_commit()
    wait_until(lambda: s.found(s.primary), what="the commit")
    s.fail_over()
    assert told.exception(60) is None
    assert s.found(s.standby)
    s.end()


def test_primary_that_dies_while_it_waits_for_the_standby(pair, tmp_path):  # noqa: F811
    s = Standing(pair, tmp_path)
    s.stop_receiving()
    told = s.begin_commit()
    wait_until(s.waiting_for_standby, what="the COMMIT to wait for the standby")
    assert not told.done()
    s.fail_over()
    assert told.exception(60).sqlstate == "40001"
    assert not s.found(s.standby)
    s.end()


def terminate(s):
    pid, = s.waiting_for_standby()
    s.primary.query("SELECT pg_terminate_backend(%s)", (pid,))


def restart(s, how):
    s.primary.stop(how)
    s.primary.start()


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("then", ["the standby is back", "the standby takes over"])
@pytest.mark.parametrize("fault", ["terminated", "restarted", "crashed"])
def test_committed_on_the_primary_alone_is_not_committed(pair, tmp_path, fault, then):  # noqa: F811
    """The COMMIT waits for the standby, and loses its connection. PostgreSQL has committed it, and says so when asked;
    but it has never told its client, and if the standby takes over, it is gone."""
    s = Standing(pair, tmp_path)
    s.stop_receiving()
    told = s.begin_commit()
    wait_until(s.waiting_for_standby, what="the COMMIT to wait for the standby")
    first = s.waiting_for_standby()
    if fault == "terminated":
        terminate(s)
    else:
        restart(s, signal.SIGQUIT if fault == "crashed" else signal.SIGINT)
    wait_until(lambda: told.done() or set(s.waiting_for_standby()) - set(first), what="the question to wait for the standby")
    assert not told.done()
    assert s.found(s.primary)
    if then == "the standby is back":
        s.receive_again()
        assert told.exception(60) is None
        wait_until(lambda: s.found(s.standby), what="the standby to have replayed it")
    else:
        s.fail_over()
        assert told.exception(60).sqlstate == "40001"
        assert not s.found(s.standby)
    s.end()


@pytest.mark.parametrize("run", range(FAILOVERS))
def test_failover_under_load(pair, tmp_path, run):  # noqa: F811
    """The primary is killed when COMMITs of eight clients are on their way."""
    s = Standing(pair, tmp_path)
    s.client.rollback()
    ledger, is_over = Ledger(), threading.Event()
    threads = run_clients(s.weir, "t", ledger, 8, is_over.is_set)
    wait_until(lambda: len(ledger.committed) > 50 + 10 * run, what="COMMITs")
    s.fail_over()
    before = len(ledger.committed)
    wait_until(lambda: len(ledger.committed) > before + 50, 60, "COMMITs on the new primary")
    is_over.set()
    each(threads).join()
    print(ledger)
    ledger.check({row[0] for row in s.standby.query("SELECT id FROM t")})
    assert not ledger.unknown
    s.end()
