"""What pgweir finds out about the hosts that are read from: SHOW HOSTS, metrics, the log; with a primary and two standbys.

They lag, pause, freeze, crash, are promoted, and replay another log than the primary's.
"""

import random
import re
import time
from signal import SIGCONT

import pytest

from hosts import alter, make_primary, promote, wait_replayed
from tap import Tap
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long]


# A host that has not answered for reads_wait, but not less than 250 ms and not more than 4 s, is away: on a busy machine one
# that nothing was done to may take longer than 250 ms.
PATIENT = {"reads_wait": "4s"}


def start(weir, trio, hosts=None, **settings):
    weir.start(upstream=trio.upstream(hosts=hosts), **{"reads": "prefer_standby", "cluster_user": "web", **PATIENT, **settings})


def shown(weir, host):
    """The row of this host."""
    [row] = [row for row in weir.console("SHOW HOSTS") if int(row["port"]) == host.port]
    return row


def wait_state(weir, host, *states, timeout=30.0):
    """Returns its row."""
    def reached():
        row = shown(weir, host)
        assert row["state"] in states, str(weir.console("SHOW HOSTS"))
        return row

    return wait_until(reached, timeout, f"{host.name} to be {states}")


def wait_used(weir, *hosts):
    for host in hosts:
        wait_state(weir, host, "used")


def write(trio, host=None):
    """Something that is flushed."""
    (host or trio.primary).query("SELECT pg_logical_emit_message(true, 'test', repeat('x', 9000))", dbname="postgres")


def metric(weir, name, host):
    return weir.metric(name, backend=f"{host.host}:{host.port}")


def test_all_are_known_at_once(weir, trio):
    first, second = trio.standbys
    start(weir, trio)
    wait_used(weir, first, second)
    rows = {int(row["port"]): row for row in weir.console("SHOW HOSTS")}
    assert [int(row["port"]) for row in weir.console("SHOW HOSTS")] == [host.port for host in trio.hosts]
    assert rows[trio.primary.port]["state"] == rows[trio.primary.port]["role"] == "primary"
    assert int(rows[trio.primary.port]["timeline"]) == trio.timeline()
    assert rows[trio.primary.port]["lag_ms"] is None
    for standby in (first, second):
        row = rows[standby.port]
        assert row["role"] == "standby" and row["database"] == "app" and not row["last_error"]
        assert row["host"] == standby.host and re.fullmatch("[0-9A-F]+/[0-9A-F]+", row["position"])
        wait_until(lambda: metric(weir, "pgweir_host_usable", standby) == 1)  # pylint: disable=cell-var-from-loop
        before = metric(weir, "pgweir_readings_total", standby)
        wait_until(lambda: metric(weir, "pgweir_readings_total", standby) > before)  # pylint: disable=cell-var-from-loop
    write(trio)
    position = trio.primary.value("SELECT pg_current_wal_insert_lsn()", dbname="postgres")
    wait_until(lambda: trio.primary.value("SELECT %s::pg_lsn - 40 <= %s", (position, shown(weir, first)["position"]),
                                          dbname="postgres"), what="a later position")


@pytest.mark.reloads("pool.reads")
def test_a_reload_switches_them_on_and_off(weir, trio):
    """Off, nothing is asked; for one user alone, it is."""
    settings = {"cluster_user": "web", "upstream": trio.upstream()}
    weir.start(**settings)
    assert weir.console("SHOW HOSTS") == []
    weir.reload(**settings, reads="marked")
    wait_used(weir, *trio.standbys)
    weir.reload(**settings, reads="primary")
    assert weir.console("SHOW HOSTS") == []
    weir.reload(sections={"user web": {"reads": "marked"}}, **settings)
    wait_used(weir, *trio.standbys)


@pytest.mark.reloads("pool.reads_max_lag")
def test_lag_and_reads_max_lag(weir, trio):
    late, other = trio.standbys
    start(weir, trio, reads_max_lag="150ms")
    wait_used(weir, late, other)
    trio.lag(late, 1000)

    def is_late():
        write(trio)
        return shown(weir, late)["state"] == "lag" and int(shown(weir, late)["lag_ms"]) >= 500

    wait_until(is_late, what="a lag")
    assert shown(weir, late)["role"] == "standby"
    wait_until(lambda: metric(weir, "pgweir_host_lag_seconds", late) > 0.1)
    weir.wait_log("it is further behind than reads_max_lag")
    start_settings = {"upstream": trio.upstream(), "reads": "prefer_standby", "cluster_user": "web", **PATIENT}
    weir.reload(**start_settings, reads_max_lag="1min")
    wait_used(weir, late, other)
    trio.lag(late, 0)
    trio.wait_replayed(late)
    wait_until(lambda: int(shown(weir, late)["lag_ms"]) == 0)


def test_a_pause_is_a_lag_that_grows(weir, trio):
    paused, other = trio.standbys
    start(weir, trio)
    wait_used(weir, paused, other)
    trio.pause(paused)
    begin = time.monotonic()
    write(trio)
    wait_until(lambda: int(shown(weir, paused)["lag_ms"]) > 2000)
    assert (time.monotonic() - begin) * 1000 > int(shown(weir, paused)["lag_ms"])
    wait_until(lambda: int(shown(weir, other)["lag_ms"]) == 0)
    trio.resume(paused)
    wait_until(lambda: int(shown(weir, paused)["lag_ms"]) == 0)
    assert "standby_left" not in weir.log() and "is not used" not in weir.log()


def test_nothing_is_written_while_nobody_reads(weir, trio):
    """The proof takes numbers; afterwards the log stands still."""
    start(weir, trio)
    wait_used(weir, *trio.standbys)
    xmax = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int"
    before = trio.primary.value(xmax, dbname="postgres")
    readings = int(shown(weir, trio.primary)["readings"])
    wait_until(lambda: int(shown(weir, trio.primary)["readings"]) > readings + 2)
    assert trio.primary.value(xmax, dbname="postgres") == before


def test_a_killed_standby_is_away_until_it_is_back(weir, trio):
    killed, other = trio.standbys
    start(weir, trio)
    wait_used(weir, killed, other)
    life = shown(weir, killed)["life"]
    trio.crash(killed)
    row = wait_state(weir, killed, "away")
    assert row["role"] is row["life"] is row["position"] is None
    wait_used(weir, other)
    wait_until(lambda: metric(weir, "pgweir_host_usable", killed) == 0)
    wait_until(lambda: shown(weir, killed)["last_error"])
    weir.wait_log(f"standby {killed.host}:{killed.port} is not used: its connection is gone")
    wait_until(lambda: time.strftime("%F %T UTC", time.gmtime()) > life, what="the next second, as a life is shown in seconds")
    trio.start(killed)
    assert wait_state(weir, killed, "used")["life"] != life


@pytest.mark.reloads("pool.reads_wait")
def test_a_silent_standby_is_away_soon_or_after_reads_wait(weir, trio):
    """Its connections stay open. Thawed, it is used again: proved anew."""
    frozen, other = trio.standbys
    start(weir, trio)
    wait_used(weir, frozen, other)
    for settings, least in ((dict(), 0.0), ({"reads_wait": "3s"}, 2.5)):
        weir.reload(upstream=trio.upstream(), reads="prefer_standby", cluster_user="web", **settings)
        begin = time.monotonic()
        trio.freeze(frozen)
        wait_state(weir, frozen, "away")
        assert time.monotonic() - begin >= least
        wait_used(weir, other)
        trio.thaw(frozen)
        wait_used(weir, frozen)
    weir.wait_log("it does not answer")


def test_a_primary_that_goes_and_comes(weir, trio):
    """Restarted, it has another life: what it replays is proved anew. Meanwhile nobody says what a standby replays."""
    start(weir, trio)
    wait_used(weir, *trio.standbys)
    life = shown(weir, trio.primary)["life"]
    trio.restart(trio.primary)
    wait_until(lambda: shown(weir, trio.primary)["life"] not in (None, life))
    wait_used(weir, *trio.standbys)
    # A restart that takes long may be noticed by their lag first.
    wait_until(lambda: re.search("is not used: (the primary is a new one, or was restarted|it is (further behind|ahead of))", weir.log()))


def test_lives_that_begin_at_about_the_same_time_are_proved(weir, trio):
    """What one standby is asked about is never compared with what another one's life has begun since, and a life that has
    told no position yet is not taken to be where the one before it was."""
    first, second = trio.standbys
    start(weir, trio, hosts=[first, trio.primary, second])
    chance = random.Random(1)
    for _ in range(40):
        wait_used(weir, *trio.standbys)
        for standby in trio.standbys:
            standby.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'", dbname="postgres")
            standby.query(f"SELECT pg_sleep({chance.random() * 0.02})", dbname="postgres")
        for _ in range(4):              # answers of several hosts come at once
            weir.stand_still()
            first.query(f"SELECT pg_sleep({chance.random() * 0.01})", dbname="postgres")
            weir.signal(SIGCONT)
            first.query(f"SELECT pg_sleep({chance.random() * 0.005})", dbname="postgres")
    assert "what it replays is not the primary's log" not in weir.log()


def test_a_trial_that_is_cut_off_is_none(weir, trio):
    """The primary's connection goes before it has told what became of the transactions: others are tried."""
    with Tap((trio.primary.host, trio.primary.port)) as tap:
        tap.unanswered = b"pg_current_xact_id();"
        weir.start(upstream=trio.upstream(hosts=[trio.primary, *trio.standbys]).replace(str(trio.primary.port), str(tap.port), 1),
                   reads="marked", cluster_user="web", pool_size=4)
        client = weir.raw()
        client.query("SELECT 1")
        for standby in trio.standbys:
            wait_state(weir, standby, "unproved")
        wait_until(lambda: bytes(tap.to_server).count(b"pg_current_xact_id();") > 0, what="a trial")
        trio.primary.query("SELECT pg_sleep(0.2)", dbname="postgres")
        tap.unanswered = None
        tap.cut()
        client.query("SELECT 1")
        wait_used(weir, *trio.standbys)


def test_a_promotion(weir, trio):
    """The old primary runs on, and is none any more; the other standby follows, without a restart."""
    promoted, follower = trio.standbys
    start(weir, trio)
    wait_used(weir, promoted, follower)
    timeline = int(shown(weir, trio.primary)["timeline"])
    old = trio.promote(promoted)
    row = wait_state(weir, promoted, "primary")
    assert row["role"] == "primary" and int(row["timeline"]) == timeline + 1 and row["lag_ms"] is None
    assert wait_state(weir, old, "no_primary")["role"] == "primary"
    wait_used(weir, follower)
    weir.wait_log(f"standby {promoted.host}:{promoted.port} is not used: it was promoted")
    trio.crash(old)
    wait_state(weir, old, "away")
    trio.crash(promoted)
    trio.start(old)
    assert wait_state(weir, old, "no_primary", "away", timeout=60)
    wait_state(weir, old, "no_primary")     # alone, it is not the primary again
    trio.start(promoted)
    wait_state(weir, promoted, "primary")
    wait_used(weir, follower)


@pytest.mark.parametrize("user", ["web", "postgres"])
def test_a_fork_is_never_proved(weir, trio, user):
    """A standby of a host that pgweir does not know, which was promoted and written to. Of its two users one may not see
    what a standby receives."""
    stranger, follower = trio.standbys
    hosts = [trio.primary, follower]
    start(weir, trio, hosts=hosts, cluster_user=user)
    wait_used(weir, follower)
    alter(follower, "primary_conninfo", f"user=postgres host={stranger.socket_dir} port={stranger.port}")
    wait_until(lambda: follower.value("SELECT sender_port FROM pg_stat_wal_receiver", dbname="postgres") == stranger.port)
    wait_replayed(trio.primary, follower)       # it would not follow a fork that is behind it
    used = weir.log().count(f"standby {follower.host}:{follower.port} is used")
    promote(stranger)
    position = stranger.value("SELECT pg_current_wal_insert_lsn()", dbname="postgres")
    write(trio, stranger)
    wait_until(lambda: follower.value("SELECT pg_last_wal_replay_lsn() > %s::pg_lsn", (position,), dbname="postgres"),
               what="the fork to be replayed")
    expected = ("fork",) if user == "web" else ("unproved", "fork")
    wait_state(weir, follower, *expected)
    for _ in range(5):
        write(trio, stranger)
        write(trio)
        readings = int(shown(weir, follower)["readings"])
        wait_until(lambda: int(shown(weir, follower)["readings"]) > readings + 1)  # pylint: disable=cell-var-from-loop
        assert shown(weir, follower)["state"] in expected
    weir.wait_log("it is ahead of the primary" if user == "web" else "it receives a timeline other than the primary's")
    # met anew, it is not taken for a standby of this primary either
    weir.reload(upstream=trio.upstream(), reads="primary", cluster_user=user)
    weir.reload(upstream=trio.upstream(hosts=hosts), reads="prefer_standby", cluster_user=user, **PATIENT)
    wait_state(weir, follower, *expected)
    assert weir.log().count(f"standby {follower.host}:{follower.port} is used") == used


def test_settings_that_change_answers(weir, trio):
    other, same = trio.standbys
    alter(other, "timezone", "Asia/Tokyo")
    try:
        wait_until(lambda: other.value("SHOW timezone", dbname="postgres") == "Asia/Tokyo")
        start(weir, trio)
        wait_used(weir, same)
        wait_state(weir, other, "settings")
        weir.wait_log("TimeZone differs from the primary's")
    finally:
        alter(other, "timezone", None)
    trio.restart(other)
    wait_used(weir, other)


def test_who_may_not_log_in_is_said(weir, trio):
    start(weir, trio, cluster_user="nobody_like_that")
    row = wait_until(lambda: (row := shown(weir, trio.primary))["last_error"] and row)
    assert row["state"] == "away" and "nobody_like_that" in row["last_error"]
    weir.wait_log("could not ask PostgreSQL", "how far it is")
    weir.is_loud = True


def test_two_primaries_are_none(weir, trio):
    """Two clusters that know nothing of each other, in one list; only a later timeline of the same cluster decides (all that
    tests make are copies of one)."""
    stranger = make_primary()
    try:
        start(weir, trio, hosts=[trio.primary, trio.standbys[0], stranger])
        wait_state(weir, stranger, "no_primary")
        is_later = trio.timeline() > 1
        wait_state(weir, trio.primary, "primary" if is_later else "no_primary")
        # whoever was met first was the primary for a moment
        wait_state(weir, trio.standbys[0], *(("used",) if is_later else ("unproved", "no_primary", "fork")))
    finally:
        stranger.destroy()
    wait_state(weir, trio.primary, "primary")
    wait_used(weir, trio.standbys[0])
