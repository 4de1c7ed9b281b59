"""Two hosts are primaries at once: the old one is alive, and does not know of its end. Everything is the new one's."""

import pytest

import rawwire
from hosts import alter
from test_hosts import shown, wait_state
from waiting import SLOWNESS, each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long]


def start(weir, trio, **settings):
    trio.primary.query("DROP TABLE IF EXISTS told; CREATE TABLE told (n int); GRANT ALL ON told TO web")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    weir.start(upstream=trio.upstream(hosts=[trio.primary, *trio.standbys]), **{"reads": "marked", "cluster_user": "web", "pool_size": 4, **settings})
    for standby in trio.standbys:
        wait_state(weir, standby, "used")
    return weir.raw()


def fork(weir, trio):
    """Returns the old and the new primary, which pgweir knows."""
    old = trio.promote(trio.standbys[0], followed=False)
    wait_state(weir, trio.primary, "primary")
    return old, trio.primary


def notify(host, what):
    host.query(f"NOTIFY told, '{what}'", dbname="app")


def heard(wire):
    """What has come since it was asked last."""
    return [reply.body[4:].split(b"\0")[1].decode() for reply in wire.ask(rawwire.query("SELECT 1")) if reply.type == "A"]


def forget(weir, host, watch):
    """Nobody knows any more that host is the primary, and none of the pool's connections is there."""
    host.query(f"ALTER ROLE {watch} NOLOGIN")
    host.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{watch}'")
    wait_until(lambda: shown(weir, host)["state"] != "primary", what="the watch to have lost the primary")

    def is_left():      # who listens is back at once if he is ended while host is still known
        host.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'")
        return all(int(row["port"]) != host.port for row in weir.console("SHOW SERVERS"))    # those that log in, too

    wait_until(is_left, what="the pool's connections to be gone")


@pytest.mark.parametrize("is_idle", [False, True])
def test_a_listener_hears_the_new_primary(weir, trio, is_idle):
    """Nothing of the old one: its client would be shown what no host has that it reads from. is_idle: it only listens."""
    wire = start(weir, trio)
    wire.query("LISTEN told", "BEGIN READ ONLY; SELECT 1; COMMIT")
    notify(trio.primary, "before")
    said = []
    wait_until(lambda: said.extend(heard(wire)) or said == ["before"], what="a notification")
    old, new = fork(weir, trio)
    if not is_idle:
        wire.ask(rawwire.query("SELECT 1"))
        for number in range(5):
            notify(old, f"old {number}")
        assert "old" not in " ".join(heard(wire))
    wait_until(lambda: notify(new, "new") or "new" in heard(wire), what="a notification of the new primary")
    notify(old, "old at last")
    notify(new, "last")
    said = []
    wait_until(lambda: said.extend(heard(wire)) or "last" in said, what="the last notification")
    assert "old at last" not in said


def test_who_waits_for_a_server_hears_before_he_is_told_of_a_loss(weir, trio):
    """Notifications of the old primary come ahead of the WARNING, and none behind it."""
    wire, holder = start(weir, trio, pool_size=1, max_overflow=0), weir.raw()
    wire.query("LISTEN told")
    holder.query(rawwire.BEGIN_NOW)
    wire.send(rawwire.query("SELECT 1"))
    wait_until(lambda: weir.console("SHOW WAITERS"), what="the client to wait")
    notify(trio.primary, "old")
    assert [reply.type for reply in wire.read_until("A")] == ["A"]
    old, _ = fork(weir, trio)
    notify(old, "later")
    holder.query("COMMIT")
    # that notifications may be lost is told when the listener has a connection again
    replies = [reply for reply in wire.read_until("Z") if reply.type != "S" and
               not (reply.type == "N" and "notifications" in reply.error["M"])]
    assert "".join(reply.type for reply in replies) == "NTDCZ"
    assert "a change that this session has made or seen" in replies[0].error["M"]


def test_a_host_that_is_promoted_is_asked_on(weir, trio):
    """On the same connection: what was prepared there for its life as a standby is in nobody's way."""
    start(weir, trio)
    fork(weir, trio)
    assert "already exists" not in weir.log()


def test_a_login_to_the_old_primary_that_ends_late(weir, trio):
    """Nobody listens there, however long the listener was without a connection: who the primary is, is known."""
    wire = start(weir, trio, connect_timeout="20s")
    wire.query("LISTEN told")
    first = trio.primary
    alter(first, "post_auth_delay", round(3 * SLOWNESS))
    first.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'", dbname="app")
    weir.wait_log("server ", "ended the session")
    wait_until(lambda: "login" in [row["state"] for row in weir.console("SHOW SERVERS")], what="a login")
    _, new = fork(weir, trio)
    wait_until(lambda: notify(new, "new") or "new" in heard(wire), what="a notification of the new primary")
    wait_until(lambda: weir.log().count("listens for 1 channel") == 2, what="the log to say so for the second time")


def test_a_wrong_host_is_left_when_the_primary_is_known_again(weir, trio):
    """While nobody knows who the primary is, whichever host says so is used in the end."""
    old = trio.promote(trio.standbys[0], followed=False)
    new = trio.primary
    each((old, new)).query("CREATE ROLE watch LOGIN")
    weir.users["watch"] = ""
    weir.start(upstream=trio.upstream(hosts=[old, *[host for host in trio.hosts if host is not old]]), reads="marked", cluster_user="watch")
    wait_state(weir, new, "primary")
    wire = weir.raw()

    def where():
        return int(wire.query("SELECT inet_server_port()")[0][0])

    wire.query("LISTEN told")
    assert where() == new.port
    forget(weir, new, "watch")
    assert where() == old.port
    new.query("ALTER ROLE watch LOGIN")
    wait_state(weir, new, "primary")
    assert where() == new.port
    wait_until(lambda: notify(new, "new") or "new" in heard(wire), what="a notification of the primary")


def test_while_nobody_knows_the_primary(weir, trio):
    """A client that has asked it before waits a few seconds for its name, and is answered by whichever host says so."""
    trio.primary.query("CREATE ROLE lookout LOGIN")
    weir.users["lookout"] = ""
    weir.start(upstream=trio.upstream(), reads="marked", cluster_user="lookout")
    wait_state(weir, trio.primary, "primary")
    wire = weir.raw()
    for _ in range(2):
        assert wire.query("SELECT inet_server_port()") == [[str(trio.primary.port)]]
    forget(weir, trio.primary, "lookout")
    for _ in range(2):
        assert wire.query("SELECT inet_server_port()") == [[str(trio.primary.port)]]


def test_a_fork_while_nobody_reads_on_standbys(weir, trio):
    """What is known of hosts begins anew when a reload switches reads on: a server of the old primary is not the new one's."""
    wire = start(weir, trio)
    upstream = trio.upstream(hosts=[trio.primary, *trio.standbys])      # as it was started: the old primary is the first to be asked
    old_port = int(wire.query("SELECT inet_server_port()")[0][0])
    wire.close()
    wait_until(lambda: not weir.console("SHOW CLIENTS LIKE 'app'"), what="the client to leave")
    weir.reload(upstream=upstream, reads="primary")
    trio.promote(trio.standbys[0], followed=False)
    assert int(weir.raw().query("SELECT inet_server_port()")[0][0]) == old_port
    weir.reload(upstream=upstream, reads="marked", cluster_user="web")
    wait_state(weir, trio.primary, "primary")
    assert int(weir.raw().query("SELECT inet_server_port()")[0][0]) == trio.primary.port
