"""What a reload changes acts at once, also on clients, transactions and servers that were there before."""

import json
import re

import pytest

from rawwire import BEGIN_NOW, LoginRefused, errors, query
from waiting import each, wait_until

pytestmark = pytest.mark.weir_only

SOON = 10


def reload(weir, **settings):
    """The configuration stays as it was started with, but for these."""
    weir.reload(**{**weir.started, **settings})


@pytest.fixture
def started(weir):
    def begin(**settings):
        weir.started = settings
        weir.start(**settings)
        return weir
    return begin


def ended(wire):
    """The SQLSTATE with which a client is disconnected, or its request fails."""
    return errors(wire.read_until("E"))[0].sqlstate


@pytest.mark.reloads("timeouts.transaction_timeout", "timeouts.idle_transaction_timeout", "timeouts.client_idle_timeout")
@pytest.mark.parametrize("setting, sql, sqlstate", [
    ("idle_transaction_timeout", "BEGIN", "25P03"),
    ("transaction_timeout", "BEGIN", "25P04"),
    ("client_idle_timeout", "SELECT 1", "57P05")])
def test_a_limit_on_time_for_who_is_there(started, setting, sql, sqlstate):
    weir = started()
    with weir.raw() as wire:
        wire.query(sql)
        reload(weir, **{setting: "300ms"})
        assert ended(wire) == sqlstate


@pytest.mark.reloads("timeouts.query_timeout")
def test_query_timeout_for_a_query_that_runs(started):
    weir = started()
    with weir.raw() as wire:
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.pool()["sv_active"] == 1, SOON)
        reload(weir, query_timeout="300ms")
        assert ended(wire) == "57014"


@pytest.mark.reloads("pool.pool_timeout", "pool.wait_notify")
@pytest.mark.parametrize("setting, told", [("pool_timeout", ("E", "53300")), ("wait_notify", ("N", "01000"))])
def test_a_limit_on_time_for_who_waits(started, setting, told):
    weir = started(pool_size=1, pool_timeout="1h")
    with weir.raw() as holds, weir.raw() as waits:
        holds.query(BEGIN_NOW)
        waits.send(query("SELECT 1"))
        weir.wait_waiting(1)
        reload(weir, **{setting: "300ms"})
        reply = waits.read()
        assert (reply.type, reply.sqlstate) == told


@pytest.mark.reloads("pool.pool_recycle", "pool.idle_timeout")
@pytest.mark.parametrize("setting, value", [("idle_timeout", "300ms"), ("pool_recycle", "1s")])
def test_an_idle_server_is_closed(started, setting, value):
    weir = started(pool_size=2)
    with weir.raw() as wire:
        pid = wire.value("SELECT pg_backend_pid()")
    reload(weir, **{setting: value})
    wait_until(lambda: not weir.postgres.query(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"), SOON, "its end")


@pytest.mark.reloads("pool.pool_idle_timeout")
def test_a_pool_that_nobody_uses_is_freed(started):
    weir = started(idle_timeout="1s")
    weir.raw().leave()
    wait_until(lambda: weir.postgres.count(usename="web") == 0, SOON, "the servers' end")
    assert "web" in [row["user"] for row in weir.console("SHOW POOLS")]
    reload(weir, pool_idle_timeout="300ms")
    wait_until(lambda: "web" not in [row["user"] for row in weir.console("SHOW POOLS")], SOON, "the pool's end")


@pytest.mark.reloads("pool.overflow_linger")
def test_overflow_linger_of_what_lingers(started):
    weir = started(pool_size=1, max_overflow=3, overflow_linger="1h")
    wires = [weir.raw() for _ in range(3)]
    each(wires).query("BEGIN")
    each(wires).query("COMMIT")
    reload(weir, overflow_linger="0s")
    wait_until(lambda: weir.postgres.count(usename="web") == 1, SOON, "the overflow to be closed")


@pytest.mark.reloads("pgweir.max_server_connections")
def test_max_server_connections(started):
    weir = started(pool_size=5)
    wires = [weir.raw() for _ in range(5)]
    each(wires).query("BEGIN")
    each(wires).query("COMMIT")
    reload(weir, max_server_connections=2)
    wait_until(lambda: weir.postgres.count(usename="web") <= 2, SOON, "surplus servers to be closed")


@pytest.mark.reloads("log.long_transaction", "log.idle_transaction")
@pytest.mark.parametrize("setting, sql", [("long_transaction", "BEGIN"), ("idle_transaction", "BEGIN")])
def test_the_log_tells_of_a_transaction_that_was_there(started, setting, sql):
    weir = started()
    with weir.raw() as wire:
        wire.query(sql)
        reload(weir, **{setting: "300ms"})
        wait_until(lambda: re.search(r"WARNING.*transaction", weir.log()), SOON, "the line")


@pytest.mark.reloads("log.format")
def test_the_format_of_the_log(started):
    weir = started()
    weir.reload(sections={"log": {"format": "json", "connections": "on"}})
    weir.raw().leave()
    wait_until(lambda: isinstance(json.loads(weir.log().splitlines()[-1]), dict), SOON)


@pytest.mark.reloads("slow_query.threshold", "slow_query.file", "slow_query.format", "slow_query.text",
                     "slow_query.sample_threshold")
def test_the_slow_query_log(started):
    weir = started(threshold="1ms")
    with weir.raw() as wire:
        wire.query("SELECT 'one', pg_sleep(0.01)")
        wait_until(lambda: "pg_sleep" in weir.slow_file.read_text(), SOON)
        assert "'one'" not in weir.slow_file.read_text()
        weir.reload(sections={"slow_query": {"threshold": "1ms", "text": "full"}})
        wire.query("SELECT 'two', pg_sleep(0.01)")
        wait_until(lambda: "'two'" in weir.slow_file.read_text(), SOON)
        weir.reload(sections={"slow_query": {"threshold": "1ms", "text": "full", "format": "postgres"}})
        wire.query("SELECT 'three', pg_sleep(0.01)")
        wait_until(lambda: re.search("^[^{].* LOG:  .*'three'", weir.slow_file.read_text(), re.M), SOON)
        other = weir.directory / "other.log"
        weir.reload(sections={"slow_query": {"threshold": "1ms", "text": "full", "file": other}})
        wire.query("SELECT 'four', pg_sleep(0.01)")
        wait_until(lambda: other.exists() and "'four'" in other.read_text(), SOON)
        weir.reload(sections={"slow_query": {"threshold": "0s", "sample_threshold": "1ms", "sample_rate": "1", "text": "full", "file": other}})
        wire.query("SELECT 'five', pg_sleep(0.01)")
        wait_until(lambda: "'five'" in other.read_text(), SOON)


@pytest.mark.reloads("auth.admin_users", "auth.stats_users")
def test_who_may_use_the_console(started):
    weir = started()
    weir.reload(sections={"auth": {"admin_users": "admin, web"}})
    with weir.raw("web", "pgweir") as console:
        console.query("PAUSE app2")
        weir.reload(sections={"auth": {"stats_users": "stats, web"}})
        assert errors(console.ask(query("RESUME app2")))[0].sqlstate == "42501"
        assert console.query("SHOW VERSION")
        weir.reload()
        assert errors(console.ask(query("SHOW VERSION")))[0].sqlstate == "42501"
        weir.reload(sections={"auth": {"admin_users": "admin, web"}})
        console.query("RESUME app2")


@pytest.mark.reloads("limits.db_login_rate", "limits.user_login_rate", "limits.address_login_rate")
def test_login_rates(started):
    weir = started()
    for setting in ("db_login_rate", "user_login_rate", "address_login_rate"):
        reload(weir, **{setting: 1})
        with pytest.raises(LoginRefused):
            for _ in range(30):                                      # some second has two of them
                weir.raw().leave()
        weir.reload()
        weir.raw().leave()


@pytest.mark.reloads("pgweir.compat")
def test_compat(started):
    weir = started(pool_size=1)
    with weir.raw() as holds, weir.raw() as waits:
        holds.query(BEGIN_NOW)
        reload(weir, pool_timeout="100ms")
        waits.send(query("SELECT 1"))
        assert "query_wait_timeout" not in waits.read_until("Z")[0].error["M"]
        for compat in ("pgbouncer", "pgbouncer_1_25", "pgbouncer_next"):
            reload(weir, compat=compat, pool_timeout="100ms")
            waits.send(query("SELECT 1"))
            assert "query_wait_timeout" in waits.read_until("Z")[0].error["M"], compat


@pytest.mark.reloads("pgweir.application_name_add_host")
def test_application_name_add_host(started):
    weir = started()
    reload(weir, application_name_add_host="on")
    with weir.raw(parameters={"application_name": "me"}) as wire:
        assert wire.value("SHOW application_name").startswith("me - 127.0.0.1:")
    weir.reload()
    with weir.raw(parameters={"application_name": "me"}) as wire:
        assert wire.value("SHOW application_name") == "me"


@pytest.mark.reloads("slow_query.query_stats")
def test_query_stats(started):
    weir = started(query_stats="on")

    def is_counted(columns):
        return any(row["query"].count("$") == columns or row["query"].count("?") == columns for row in weir.console("SHOW QUERIES"))
    with weir.raw() as wire:
        wire.query("SELECT 1, 2, 3")
        wait_until(lambda: is_counted(3), SOON)
        reload(weir, query_stats="off")
        wire.query("SELECT 1, 2, 3, 4")
        reload(weir, query_stats="on")
        wire.query("SELECT 1, 2, 3, 4, 5")
        wait_until(lambda: is_counted(5), SOON)
        assert not is_counted(4)
