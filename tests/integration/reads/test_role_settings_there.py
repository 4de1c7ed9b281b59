"""ALTER ROLE ... SET reaches connections to a standby once that has replayed it, however long it takes: those that log in there
meanwhile begin with the old settings. So it is with reads = marked, and where a pool's connections go to several hosts."""

import pytest

from leftovers import PID, WORK_MEM
from rawwire import BEGIN_NOW
from test_code import LEAVES, on_standby
from waiting import each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]
OLD, NEW = "4MB", "7MB"
ALTER = "ALTER ROLE web SET work_mem = '7MB'"


@pytest.fixture(autouse=True)
def _reset(trio):
    yield
    trio.heal()
    trio.primary.query("ALTER ROLE web RESET ALL; ALTER ROLE reporting RESET ALL", dbname="postgres")
    trio.primary.query("DROP FUNCTION IF EXISTS leave(), leave_more()", dbname="app")
    for standby in trio.standbys:
        trio.wait_replayed(standby)


def test_what_is_altered_on_the_primary_reaches_a_standbys_connections(weir, trio):
    standby = trio.standbys[0]
    upstream = trio.upstream(hosts=[trio.primary, standby])
    weir.start({"database primary": {"upstream": upstream + " dbname=app", "reads": "primary"}}, upstream=upstream, reads="marked",
               pool_size=1, reads_max_lag="1h", cluster_user="web")
    primary = weir.raw(database="primary")

    def there():
        return on_standby(weir, trio, ("", WORK_MEM))[0]

    def here():
        return primary.query(WORK_MEM)[0][0]

    assert here() == there() == OLD
    weir.settle()
    trio.pause(standby)
    trio.primary.query(ALTER, dbname="postgres")
    wait_until(lambda: here() == NEW)
    assert there() == OLD
    trio.resume(standby)
    wait_until(lambda: (primary.query("SELECT 1"), there() == NEW)[1])


def held(wires):
    """What each connection of the pool has, when all are in use at once: {pid: (port, work_mem)}."""
    each(wires).query(BEGIN_NOW)
    found = {wire.value(PID): (int(wire.value("SELECT current_setting('port')")), wire.value(WORK_MEM)) for wire in wires}
    each(wires).query("COMMIT")
    return found


def test_each_host_of_a_pool_counts_for_its_own_connections(weir, trio):
    primary, standby = trio.primary, trio.standbys[0]
    weir.start(upstream=trio.upstream("any", [primary, standby]) + " load_balance_hosts=round-robin", pool_size=4, max_overflow=0)
    wires = [weir.raw() for _ in range(4)]

    def values(host):
        return {value for port, value in held(wires).values() if port == host.port}

    def pids(host):
        return {pid for pid, (port, _) in held(wires).items() if port == host.port}

    assert values(primary) == values(standby) == {OLD}
    weir.settle()
    before = pids(standby)
    trio.pause(standby)
    primary.query(ALTER, dbname="postgres")
    wait_until(lambda: values(primary) == {NEW})
    assert values(standby) == {OLD} and before <= pids(standby)         # and others, as each new one goes to the next host
    before = pids(standby)
    weir.console("RECONNECT")
    wait_until(lambda: pids(standby) and not pids(standby) & before)
    assert values(standby) == {OLD}
    kept = pids(primary)
    trio.resume(standby)
    wait_until(lambda: values(standby) == {NEW})
    assert kept <= pids(primary)


def test_names_of_the_same_hosts_follow_each_their_own(weir, trio):
    """One leads to the primary, the other one to standbys: what one is told is no answer for the other."""
    standby = trio.standbys[0]
    upstream = trio.upstream("{}", [trio.primary, standby]).format
    weir.start({"database there": {"upstream": upstream("standby") + " dbname=app"}}, upstream=upstream("primary"), pool_size=1)
    here, there = weir.raw(), weir.raw(database="there")
    assert (here.value(WORK_MEM), there.value(WORK_MEM)) == (OLD, OLD)
    weir.settle()
    trio.pause(standby)
    trio.primary.query(ALTER, dbname="postgres")
    wait_until(lambda: (there.value(WORK_MEM), here.value(WORK_MEM)) == (OLD, NEW))
    trio.resume(standby)
    wait_until(lambda: (there.value(WORK_MEM), here.value(WORK_MEM)) == (NEW, NEW))


def test_a_failover_replaces_nothing_on_the_new_primary(weir, trio):
    old, standby = trio.primary, trio.standbys[0]
    old.query(ALTER, dbname="postgres")
    old.query(LEAVES, dbname="app")
    trio.wait_replayed(standby)
    weir.start(upstream=trio.upstream(hosts=[old, standby]), pool_size=1, on_outage="hold")
    wire, witness = weir.raw(), weir.raw("reporting")
    assert wire.value(WORK_MEM) == NEW
    weir.settle()
    trio.stop(old)
    trio.promote(standby)
    pid = wire.value(PID)
    standby.query(LEAVES.replace("leave()", "leave_more()"), dbname="app")
    wait_until(lambda: wire.query("SELECT 1") and "leave_more" in [row["name"] for row in weir.console("SHOW DATABASE_CODE")])
    assert wire.value(PID) == pid           # it has been asked
    for wanted in ("5MB", "6MB"):
        standby.query(f"ALTER ROLE reporting SET work_mem = '{wanted}'", dbname="postgres")
        wait_until(lambda wanted=wanted: witness.value(WORK_MEM) == wanted)
        assert (wire.value(PID), wire.value(WORK_MEM)) == (pid, NEW)


def on_two_hosts(weir, trio):
    """A client of a pool on the primary; one of another pool on the standby, whose connection is in use; and what alters its role."""
    weir.start(upstream=trio.upstream("any", [trio.standbys[0], trio.primary]) + " load_balance_hosts=round-robin", pool_size=1,
               max_overflow=0)
    wires = {}
    for user in ("web", "reporting"):
        wire = weir.raw(user)
        wire.query(BEGIN_NOW)
        wires[int(wire.value("SELECT current_setting('port')"))] = wire, ALTER.replace("web", user)
    (here, _), (there, alter) = wires[trio.primary.port], wires[trio.standbys[0].port]
    here.query("COMMIT")
    assert (here.value(WORK_MEM), there.value(WORK_MEM)) == (OLD, OLD)
    weir.settle()
    return here, there, alter


def test_a_host_is_asked_where_only_an_idle_pool_is(weir, trio):
    here, there, alter = on_two_hosts(weir, trio)
    pid = int(there.value(PID))
    there.query("COMMIT")
    trio.primary.query(alter, dbname="postgres")
    wait_until(lambda: (here.value("SELECT 1"), trio.standbys[0].count(pid=pid) == 0)[1])
    assert there.value(WORK_MEM) == NEW


def test_what_changed_elsewhere_was_old_on_a_host_that_had_not_answered(weir, trio):
    """Its connection is in use from the start, so it says for the first time what the other one has said meanwhile."""
    here, there, _ = on_two_hosts(weir, trio)
    before = here.value(PID)
    trio.primary.query("; ".join(ALTER.replace("web", user) for user in ("web", "reporting")), dbname="postgres")
    trio.wait_replayed(trio.standbys[0])
    wait_until(lambda: here.value(PID) != before)
    there.query("COMMIT")
    wait_until(lambda: (here.value("SELECT 1"), there.value(WORK_MEM))[1] == NEW)
