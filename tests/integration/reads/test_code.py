"""Code of the database on a standby that has not replayed its last change: what it leaves in a session is washed off, though the
primary knows that code no longer."""

import pytest

from test_marked import where
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

LEAVES = "CREATE OR REPLACE FUNCTION leave() RETURNS text LANGUAGE sql AS $$ SELECT set_config('my.own', 'secret', false) $$"
SHOWN = "SELECT coalesce(current_setting('my.own', true), '')"
CHANGES = {"drop": "DROP FUNCTION leave()",
           "replace": "CREATE OR REPLACE FUNCTION leave() RETURNS text LANGUAGE sql AS $$ SELECT 'nothing' $$"}




def on_standby(weir, trio, *asked):
    """What these are answered in one block on the only standby, of a new client: it has seen nothing that is not there yet."""
    def block():
        wire = weir.raw()
        wire.query("BEGIN READ ONLY")
        found = where(wire) != trio.primary.port and [wire.extended(sql, name=name)[0][0] for name, sql in asked]
        wire.query("COMMIT")
        wire.leave()
        return found

    return wait_until(block, what="a block on the standby")


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("reads", ["marked", "prefer_standby"])
@pytest.mark.parametrize("by", ["client", "another program"])
@pytest.mark.parametrize("change", CHANGES)
def test_code_is_feared_until_the_standby_has_replayed_its_change(weir, trio, change, by, reads, workers):
    standby = trio.standbys[0]
    upstream = trio.upstream(hosts=[trio.primary, standby])
    trio.primary.query("DROP FUNCTION IF EXISTS leave(); GRANT CREATE ON SCHEMA public TO web")
    weir.start({"database primary": {"upstream": upstream + " dbname=app", "reads": "primary"}}, workers=workers,
               upstream=upstream, reads=reads, pool_size=workers, reads_max_lag="1h", cluster_user="web")
    wires = [weir.raw(database=database) for database in ("primary", "app") for _ in range(2 * workers)]

    def names():
        for wire in wires:
            wire.query("SELECT 1")              # what is used is asked about, by each worker
        return [row["name"] for row in weir.console("SHOW DATABASE_CODE") if "settings" in row["state"]]

    wires[0].query(LEAVES)
    trio.wait_replayed(standby)
    wait_until(lambda: "leave" in names(), what="the code to be read")
    assert on_standby(weir, trio, ("", "SELECT leave()"), ("named", "SELECT leave()")) == ["secret"] * 2
    trio.pause(standby)
    try:
        if by == "client":
            wires[0].query(CHANGES[change])
        else:
            trio.primary.query("SET ROLE web; " + CHANGES[change])
        wait_until(lambda: "leave" not in names(), what="the code to be read again")
        for _ in range(5 * workers):
            assert on_standby(weir, trio, ("", "SELECT leave()"), ("named", "SELECT leave()")) == ["secret"] * 2
            assert on_standby(weir, trio, ("", SHOWN)) == [""]
    finally:
        trio.resume(standby)
