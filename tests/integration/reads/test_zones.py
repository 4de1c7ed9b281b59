"""zone, and zones= in upstream: reads go to the standbys of pgweir's own zone while these are used, and leave them as they leave any."""

import pytest

from test_hosts import PATIENT, shown, wait_used
from test_marked import begin_elsewhere, where
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long]


@pytest.fixture(name="zoned")
def zoned_settings(trio):
    """The settings with the first standby in eu and the second in us; the primary's zone is not known."""
    hosts = [trio.primary, *trio.standbys]

    def make(**settings):
        return {"upstream": trio.upstream(hosts=hosts) + " zones=,eu,us", "cluster_user": "web", "reads": "prefer_standby",
                "pool_size": 8, **PATIENT, **settings}

    return make


def wait_all_at(wires, host, what):
    """Twenty reads in a row are answered there: those that find no idle connection go elsewhere until there is one."""
    def are_there():
        return all(int(wire.value("SELECT current_setting('port')")) == host.port for wire in wires for _ in range(5))

    wait_until(are_there, what=what)


def test_reads_stay_in_the_own_zone_until_its_standby_lags_or_is_gone(weir, trio, zoned):
    eu, us = trio.standbys
    weir.start(**zoned(zone="eu"))
    wait_used(weir, eu, us)
    assert [shown(weir, host)["zone"] for host in (trio.primary, eu, us)] == [None, "eu", "us"]
    wires = [weir.raw() for _ in range(4)]
    wait_until(lambda: trio.held(wires, "BEGIN") == [4, 0], what="all four transactions in eu")

    weir.reload(**zoned(zone="eu", reads_max_lag="1s"))
    trio.primary.query("CREATE TABLE IF NOT EXISTS zoned (i int)")
    trio.pause(eu)
    trio.primary.query("INSERT INTO zoned VALUES (1)")
    wait_until(lambda: shown(weir, eu)["state"] == "lag", what="eu to lag")
    wait_all_at(wires, us, "us, while eu lags")
    trio.resume(eu)
    wait_all_at(wires, eu, "eu again")

    trio.crash(eu)
    wait_all_at(wires, us, "us, while eu is gone")
    trio.crash(us)
    wait_all_at(wires, trio.primary, "the primary")
    trio.start(us)
    trio.start(eu)
    wait_all_at(wires, eu, "eu, which is back")


@pytest.mark.reloads("pgweir.zone")
def test_a_reload_changes_the_zone(weir, trio, zoned):
    eu, us = trio.standbys
    weir.start(**zoned(zone="eu"))
    wait_used(weir, eu, us)
    wires = [weir.raw() for _ in range(4)]
    wait_until(lambda: trio.held(wires, "BEGIN") == [4, 0], what="all in eu")
    weir.reload(**zoned(zone="us"))
    wait_until(lambda: trio.held(wires, "BEGIN") == [0, 4], what="all in us")
    for setting in ({}, {"zone": "asia"}):
        weir.reload(**zoned(**setting))
        wait_until(lambda: trio.held(wires, "BEGIN") == [2, 2], what="the least loaded, where no zone is the own one")
    weir.wait_log("zone = asia has no effect")
    weir.is_loud = True
    weir.reload(**{**zoned(zone="us"), "upstream": trio.upstream(hosts=[trio.primary, eu, us]) + " zones=,us,eu"})
    wait_until(lambda: trio.held(wires, "BEGIN") == [4, 0], what="all in what is us now")
    assert [shown(weir, host)["zone"] for host in (eu, us)] == ["us", "eu"]


def test_a_marked_read_leaves_the_zone_for_what_its_client_has_written(weir, trio, zoned):
    """In the own zone it would wait for the standby, or get the primary."""
    eu, us = trio.standbys
    trio.primary.query("DROP TABLE IF EXISTS told; CREATE TABLE told (n int); GRANT ALL ON told TO web")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    weir.start(**zoned(zone="eu", reads="marked", reads_max_lag="1h"))
    wait_used(weir, eu, us)
    wire = weir.raw()

    def begin_at(host):
        def began():
            if begin_elsewhere(wire, trio) is host:
                return True
            wire.query("COMMIT")
            return False

        wait_until(began, what=f"a block at {host.name}")

    begin_at(eu)
    wire.query("COMMIT")
    trio.pause(eu)
    wire.query("INSERT INTO told VALUES (1)")
    begin_at(us)
    assert wire.query("SELECT n FROM told") == [["1"]]
    wire.query("COMMIT")
    trio.resume(eu)
    begin_at(eu)
    assert where(wire) == eu.port and wire.query("SELECT n FROM told") == [["1"]]


def test_connections_stay_when_their_host_is_in_another_zone(weir, trio, zoned):
    """Those to the primary, too: else all would be opened again at once."""
    eu, us = trio.standbys
    settings = zoned(zone="eu", reads="marked")
    weir.start(**settings)
    wait_used(weir, eu, us)
    wire = weir.raw()
    pid = wire.value("SELECT pg_backend_pid()")
    weir.reload(**{**settings, "upstream": settings["upstream"].replace("zones=,eu,us", "zones=eu,us,eu")})
    wait_until(lambda: [shown(weir, host)["zone"] for host in (trio.primary, eu, us)] == ["eu", "us", "eu"])
    assert trio.primary.value(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == 1
