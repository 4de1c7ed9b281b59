"""The harness of reads on standbys: hosts lag, pause, freeze, crash, fork and come back as the tests say."""

import itertools
import threading
import time

import psycopg2
import pytest

from waiting import wait_until

pytestmark = [pytest.mark.own_transport, pytest.mark.long]


@pytest.fixture
def rows(trio):
    trio.primary.query("DROP TABLE IF EXISTS rows")
    trio.primary.query("CREATE TABLE rows (i int PRIMARY KEY)")
    for standby in trio.standbys:
        trio.wait_replayed(standby)

    def write(i, host=None):
        (host or trio.primary).query(f"INSERT INTO rows VALUES ({i})")

    return write


def has(host, i):
    return host.value("SELECT count(*) FROM rows WHERE i = %s", (i,)) == 1


def wait_has(host, i):
    wait_until(lambda: has(host, i), what=f"row {i} on {host.name}", pause=0.002)


def test_a_standby_lags_as_it_is_told(trio, rows):
    """From some time on: when its startup process has read the file, nothing shows but rows that are late."""
    slow, quick = trio.standbys
    trio.lag(slow, 1500)
    numbers = itertools.count(1)

    def is_late():
        number, begin = next(numbers), time.monotonic()
        rows(number)
        wait_has(quick, number)
        is_there = has(slow, number)
        wait_has(slow, number)
        return not is_there and time.monotonic() - begin > 1.4

    wait_until(is_late, what="a row that is late")
    trio.lag(slow, 0)


@pytest.mark.parametrize("end, begin", [("pause", "resume"), ("cut_off", "thaw")])
def test_a_standby_pauses_or_is_cut_off_from_its_primary(trio, rows, end, begin):
    still, other = trio.standbys
    getattr(trio, end)(still)
    rows(1)
    wait_has(other, 1)
    assert not has(still, 1)
    getattr(trio, begin)(still)
    wait_has(still, 1)


def test_a_standby_freezes_and_thaws(trio, rows):
    cold = trio.standbys[0]
    trio.freeze(cold)
    with pytest.raises(psycopg2.OperationalError):
        cold.connect(connect_timeout=2).close()
    rows(1)
    trio.thaw(cold)
    wait_has(cold, 1)


def test_a_standby_crashes_and_comes_back(trio, rows):
    fallen = trio.standbys[0]
    trio.crash(fallen)
    rows(1)
    with pytest.raises(psycopg2.OperationalError):
        fallen.connect()
    trio.start(fallen)
    wait_has(fallen, 1)


def test_a_commit_waits_for_a_synchronous_standby_that_is_away(trio, rows):
    shown, away = trio.standbys
    trio.synchronous(away.name)
    wait_until(lambda: trio.primary.value("SELECT sync_state FROM pg_stat_replication WHERE application_name = %s", (away.name,),
                                          dbname="postgres") == "sync")
    trio.freeze(away)
    writer = threading.Thread(target=rows, args=(1,))
    writer.start()
    wait_has(shown, 1)
    assert not has(trio.primary, 1)         # a standby is ahead of the primary
    trio.thaw(away)
    writer.join()
    assert has(trio.primary, 1)


def test_a_switchover_and_the_old_primary_comes_back(trio, rows):
    rows(1)
    old, new, other = trio.primary, *trio.standbys
    trio.stop(old)
    trio.promote(new)
    rows(2)
    wait_has(other, 2)
    assert has(new, 1)
    trio.copy(old)
    rows(3)
    for standby in trio.standbys:
        wait_has(standby, 3)


def test_history_forks(trio, rows):
    old, new, other = trio.primary, *trio.standbys
    trio.promote(new, followed=False)
    rows(1, old)
    rows(2, new)
    wait_has(other, 1)                      # with the old one still
    assert not has(new, 1) and not has(old, 2) and not has(other, 2)
    trio.heal()
    for standby in trio.standbys:
        wait_has(standby, 2)
        assert not has(standby, 1)
