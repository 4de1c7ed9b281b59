"""Pools: how many servers there are, who gets one next, when they are opened, kept, pinged and closed."""

import itertools
import threading
import time

import pytest

import rawwire
import transport
from rawwire import BEGIN_NOW, message, query, shape, texts
from waiting import PATIENCE, SLOWNESS, each, wait_until
from weir import WORKERS, timed

pytestmark = pytest.mark.weir_only


def hold(weir, count, user="web", database="app"):
    """That many clients, each in a transaction of its own."""
    wires = [weir.raw(user, database) for _ in range(count)]
    each(wires).query(BEGIN_NOW)
    return wires


def release(wires):
    each(wires).query("COMMIT")


def pid(wire):
    return int(wire.value("SELECT pg_backend_pid()"))


# --- how many ---

def test_servers_are_opened_only_when_a_query_comes(weir):
    weir.start(pool_size=5)
    wires = [weir.raw() for _ in range(5)]
    opened = weir.postgres.count()
    assert opened <= 1                                               # one may have been asked for its parameters
    wires[0].query("SELECT 1")
    assert weir.postgres.count() <= 2                                # the second one, if the first is still being asked


def test_pool_size_and_overflow_are_never_exceeded(weir):
    weir.start(pool_size=2, max_overflow=1)
    wires = [weir.raw() for _ in range(20)]
    each(wires).send(query("SELECT pg_sleep(0.1)"))
    seen = set()
    for wire in wires:
        seen.add(weir.postgres.count())
        wire.read_until("Z")
    assert max(seen) == 3
    assert weir.metric("pgweir_pool_limit_connections", kind="pool_size", database="app") == 2
    assert weir.metric("pgweir_pool_limit_connections", kind="max_overflow", database="app") == 1


def test_overflow_servers_are_closed_after_they_lingered(weir):
    weir.start(pool_size=1, max_overflow=3, overflow_linger="500ms")
    wires = hold(weir, 4)
    assert weir.postgres.count() == 4
    begin = time.monotonic()
    release(wires)
    assert weir.postgres.count() == 4 or time.monotonic() - begin > 0.4
    wait_until(lambda: weir.postgres.count() == 1)
    assert time.monotonic() - begin > 0.4
    assert wires[0].query("SELECT 1") and weir.postgres.count() == 1


def test_overflow_servers_are_closed_at_once_without_linger(weir):
    weir.start(pool_size=1, max_overflow=3, overflow_linger="0s")
    wires = hold(weir, 4)
    assert weir.postgres.count() == 4
    _, seconds = timed(lambda: (release(wires), wait_until(lambda: weir.postgres.count() == 1)))
    assert seconds < 2 * SLOWNESS


def test_a_databases_size_overrides_the_pools_and_a_users_the_databases(weir):
    weir.start(pool_size=5, sections={"database app": {"pool_size": 2}, "user reporting": {"pool_size": 1}})
    for user, database, size in (("web", "app", 2), ("reporting", "app", 1), ("reporting", "app2", 1),
                                 ("web", "app2", 5)):
        wires = hold(weir, size, user, database)
        late = weir.raw(user, database)
        late.send(query("SELECT 1"))
        weir.wait_waiting(1, database, user)
        assert weir.postgres.count(usename=user, datname=database) == size
        release(wires)
        assert texts(late.read_until("Z")) == [["1"]]


def test_users_and_databases_have_pools_of_their_own(weir):
    weir.start(pool_size=1)
    holder = hold(weir, 1)
    for user, database in (("web", "app2"), ("reporting", "app"), ("reporting", "app2")):
        assert weir.raw(user, database).query("SELECT current_user, current_database()") == [[user, database]]
    release(holder)


def test_max_client_connections_is_enforced_and_the_console_is_exempt(weir):
    weir.start(max_client_connections=3)
    wires = [weir.raw() for _ in range(3)]
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.raw()
    assert (refused.value.sqlstate, refused.value.reply.severity) == ("53300", "FATAL")
    assert "max_client_connections" in str(refused.value.reply.error)
    assert len(weir.console("SHOW CLIENTS")) >= 3
    assert weir.metric("pgweir_client_connections_rejected_total", reason="max_client_connections") == 1
    assert all(wire.query("SELECT 1") for wire in wires)
    wires[0].leave()
    wait_until(lambda: weir.raw().query("SELECT 1"))


def test_max_server_connections_holds_over_all_pools(weir):
    weir.start(pool_size=10, max_server_connections=3)
    pairs = [("web", "app"), ("web", "app2"), ("reporting", "app"), ("reporting", "app2")]
    wires = [weir.raw(*pair) for pair in pairs for _ in range(4)]
    most = 0
    for _ in range(3):
        each(wires).send(query("SELECT pg_sleep(0.05)"))
        for wire in wires:
            wait_until(lambda: weir.postgres.count() <= 3)            # a backend told to go needs a moment
            most = max(most, weir.postgres.count())
            assert shape(wire.read_until("Z")) == "T D C:SELECT 1 Z:I"
    assert most > 1


def test_an_idle_server_of_another_pool_makes_room_under_the_cap(weir):
    weir.start(pool_size=5, max_server_connections=2)
    release(hold(weir, 2))
    assert weir.postgres.count(datname="app") == 2
    _, seconds = timed(lambda: weir.raw(database="app2").query("SELECT 1"))
    assert seconds < 2 * SLOWNESS
    wait_until(lambda: weir.postgres.count() <= 2, what="the idle one's backend to end")


def test_no_pool_starves_under_a_shared_cap(weir):
    weir.start(pool_size=5, max_server_connections=2)
    stop = threading.Event()
    done = {}

    def hammer(user, database):
        with weir.raw(user, database) as wire:
            while not stop.is_set():
                wire.query("SELECT pg_sleep(0.005)")
                done[user, database] = done.get((user, database), 0) + 1
    pairs = [("web", "app")] * 6 + [("reporting", "app2")]
    threads = [weir.in_background(hammer, *pair) for pair in pairs]
    try:
        wait_until(lambda: done.get(("reporting", "app2"), 0) >= 10 and done.get(("web", "app"), 0) >= 10)
    finally:
        stop.set()
        each(threads).result()


def test_min_idle_servers_are_kept_ready(weir):
    with weir.start(pool_size=5, min_idle=3).raw() as wire:
        wire.query("SELECT 1")
        wait_until(lambda: weir.postgres.count() >= 3, what="three servers")
    weir.postgres.kill_backends()
    wait_until(lambda: weir.postgres.count() >= 3, what="three servers again")


# --- whose turn ---

def test_waiters_are_served_in_the_order_they_came(weir):
    weir.start(pool_size=1)
    holder, = hold(weir, 1)
    waiters = [weir.raw() for _ in range(10)]
    for number, wire in enumerate(waiters):
        wire.send(query("SELECT clock_timestamp()::text"))
        weir.wait_waiting(number + 1)
    holder.query("COMMIT")
    times = [texts(wire.read_until("Z"))[0][0] for wire in waiters]
    assert times == sorted(times)


def test_a_newcomer_does_not_overtake_a_waiter(weir):
    """One client queries as fast as it can; another one must get its turn."""
    weir.start(pool_size=1)
    stop = threading.Event()

    def hog():
        with weir.raw() as wire:
            while not stop.is_set():
                wire.query("SELECT 1")
    hogs = [weir.in_background(hog) for _ in range(4)]
    try:
        with weir.raw() as wire:
            for _ in range(20):
                _, seconds = timed(wire.query, "SELECT 1")
                assert seconds < 2 * SLOWNESS
    finally:
        stop.set()
        each(hogs).result()


def test_a_waiter_that_leaves_gives_its_place_to_the_next(weir):
    weir.start(pool_size=1)
    holder, = hold(weir, 1)
    first, second = weir.raw(), weir.raw()
    first.send(query("SELECT 1"))
    weir.wait_waiting(1)
    second.send(query("SELECT 2"))
    weir.wait_waiting(2)
    first.close()
    weir.wait_waiting(1)
    holder.query("COMMIT")
    assert texts(second.read_until("Z")) == [["2"]]


def test_the_warmest_server_is_lent_first_by_default(weir):
    weir.start(pool_size=3)
    release(hold(weir, 3))
    with weir.raw() as wire:
        wait_until(lambda: len({pid(wire) for _ in range(10)}) == 1)        # pgweir's own question comes in between once


def test_servers_take_turns_without_lifo(weir):
    weir.start(pool_size=3, pool_lifo=False)
    release(hold(weir, 3))
    weir.settle()
    with weir.raw() as wire:
        def take_turns():
            pids = [pid(wire) for _ in range(9)]
            return len(set(pids)) == 3 and pids[:3] == pids[3:6] == pids[6:]
        wait_until(take_turns)


# --- opening ---

def test_a_burst_on_a_cold_pool_is_not_served_one_login_at_a_time(weir, fake):
    begun, together = itertools.count(), threading.Event()

    def slow_login(conn):
        """All but the first wait for another one's."""
        conn.read_startup()
        number = next(begun)
        if number > 1:
            together.set()
        assert number == 0 or together.wait(PATIENCE)
        conn.send(rawwire.message("R", b"\0\0\0\0"), conn.welcome())
        conn.serve()
    fake.script = slow_login
    weir.start(upstream=fake.upstream, pool_size=8)
    wires = [weir.raw() for _ in range(8)]

    each(wires).send(query(BEGIN_NOW))
    assert [shape(wire.read_until("Z")) for wire in wires] == ["C:BEGIN Z:T"] * 8


def test_a_server_returned_while_another_is_being_opened_is_used(weir, fake):
    """Nobody waits for a slow login when a server comes back meanwhile."""
    def slow_login(conn):
        conn.read_startup()
        conn.wait_gone()
    holder, waiter = weir.start(upstream=fake.upstream, pool_size=2).raw(), weir.raw()
    holder.query(BEGIN_NOW)
    fake.script = slow_login
    wait_until(lambda: len(fake.open_connections()) == 1)
    waiter.send(query("SELECT 1"))
    weir.wait_waiting(1)
    wait_until(lambda: len(fake.open_connections()) == 2, what="a second login to begin")
    begin = time.monotonic()
    holder.query("COMMIT")
    assert shape(waiter.read_until("Z")) == "T D C:SELECT 1 Z:I"
    assert time.monotonic() - begin < 1.5 * SLOWNESS


# --- ageing ---

def test_an_idle_server_is_closed_after_idle_timeout(weir):
    weir.start(pool_size=3, idle_timeout="500ms", pool_pre_ping=False, ping_interval="0s")
    release(hold(weir, 3))
    wait_until(lambda: weir.postgres.count() == 0)
    with weir.raw() as wire:
        assert wire.query("SELECT 1")


def test_a_server_is_recycled_when_it_is_old_and_idle(weir):
    with weir.start(pool_size=1, pool_recycle="1s").raw() as wire:
        wire.query("BEGIN")
        first = pid(wire)
        begin = weir.postgres.query("SELECT backend_start FROM pg_stat_activity WHERE pid = %s", (first,))[0][0]
        wait_until(lambda: weir.postgres.value("SELECT clock_timestamp() - %s > '1.3 s'::interval",
                                               (begin,)), what="its age")
        assert pid(wire) == first                                    # never while it is lent
        wire.query("COMMIT")
        wait_until(lambda: pid(wire) != first)
    wait_until(lambda: weir.metric("pgweir_pool_recycles_total", reason="age") >= 1)


def test_lowering_pool_size_by_reload_closes_the_surplus(weir):
    weir.start(pool_size=5)
    release(hold(weir, 5))
    assert weir.postgres.count() == 5
    weir.reload(pool_size=2)
    wait_until(lambda: weir.postgres.count() == 2)


def test_raising_pool_size_by_reload_serves_those_who_wait(weir):
    weir.start(pool_size=1)
    holder, = hold(weir, 1)
    wire = weir.raw()
    wire.send(query("SELECT 1"))
    weir.wait_waiting(1)
    weir.reload(pool_size=2)
    assert texts(wire.read_until("Z")) == [["1"]]
    release([holder])


# --- pinging ---

def pings(fake):
    """Empty queries that a fake server got."""
    return sum(1 for conn in fake.connections for kind, body in conn.messages if kind == "Q" and body == b"\0")


def test_a_server_that_rested_is_pinged_before_it_is_lent(weir, fake):
    with weir.start(upstream=fake.upstream, pool_size=1, pool_pre_ping_idle="300ms", ping_interval="0s").raw() as wire:
        _, seconds = timed(wire.query, "SELECT 1", "SELECT 1")
        before = pings(fake)
        assert before == 0 or seconds > 0.3
        idle_since = time.monotonic()
        wait_until(lambda: time.monotonic() - idle_since > 0.4)
        wire.query("SELECT 1")
        assert pings(fake) == before + 1
        wait_until(lambda: weir.metric("pgweir_pool_pings_total", result="ok") == before + 1)


@pytest.mark.parametrize("is_on", [True, False])
def test_every_lending_is_preceded_by_a_ping_when_asked_for(weir, fake, is_on):
    weir.start(upstream=fake.upstream, pool_size=1, pool_pre_ping=is_on, pool_pre_ping_idle="0s", ping_interval="0s")
    with weir.raw() as wire:
        for _ in range(5):
            wire.query("SELECT 1")
        assert 4 <= pings(fake) <= 6 if is_on else pings(fake) == 0


def test_idle_servers_are_pinged_in_the_background(weir, fake):
    with weir.start(upstream=fake.upstream, pool_size=1, ping_interval="200ms").raw() as wire:
        wire.query("SELECT 1")
        wait_until(lambda: pings(fake) >= 3)
        assert wire.query("SELECT 1") == [["fake"]]


def asked(fake, sql):
    return sum(1 for conn in fake.connections for kind, body in conn.messages if kind == "Q" and body == sql.encode() + b"\0")


def test_a_ping_asks_what_ping_query_says_and_an_error_closes_the_connection(weir):
    """On a real server: the check refuses the first connection once a table says so, and its client is lent another one."""
    postgres = weir.postgres
    postgres.query("DROP TABLE IF EXISTS bad_pids; CREATE TABLE bad_pids (pid int); GRANT SELECT ON bad_pids TO PUBLIC")
    check = "SELECT 1 / (NOT EXISTS (SELECT FROM bad_pids WHERE pid = pg_backend_pid()))::int; SELECT 'another row'"
    with weir.start(pool_size=1, pool_pre_ping_idle="0s", ping_query=f'"{check}"').raw() as wire:
        pid = wire.value("SELECT pg_backend_pid()")
        for _ in range(3):
            assert wire.value("SELECT pg_backend_pid()") == pid
        wait_until(lambda: weir.metric("pgweir_pool_pings_total", result="ok") >= 3)
        postgres.query(f"INSERT INTO bad_pids VALUES ({pid})")
        assert wire.value("SELECT pg_backend_pid()") != pid
    weir.wait_log("division by zero")
    weir.is_loud = True


@pytest.mark.reloads("pool.ping_query")
def test_a_reload_changes_ping_query(weir, fake):
    fake_settings = {"upstream": fake.upstream, "pool_size": 1, "pool_pre_ping_idle": "0s", "ping_interval": "0s"}
    with weir.start(**fake_settings, ping_query="SELECT 'check'").raw() as wire:
        for _ in range(3):
            wire.query("SELECT 1")
        assert asked(fake, "SELECT 'check'") >= 2 and pings(fake) == 0
        weir.reload(**fake_settings)
        checks = asked(fake, "SELECT 'check'")
        for _ in range(3):
            wire.query("SELECT 1")
        assert pings(fake) >= 2 and asked(fake, "SELECT 'check'") == checks


BAD_PONGS = {
    "no answer": lambda conn: conn.wait_gone(),
    "an error": lambda conn: conn.send(message("E", b"SERROR\0VERROR\0CXX000\0Mno\0\0"), message("Z", b"I")),
    "a row": lambda conn: conn.send(message("D", b"\0\0"), message("I"), message("Z", b"I")),
    "in a transaction": lambda conn: conn.send(message("I"), message("Z", b"T")),
    "only ready": lambda conn: conn.send(message("Z", b"I")),
    "ready twice": lambda conn: conn.send(message("I"), message("Z", b"I"), message("Z", b"I")),
    "the end": lambda conn: conn.close(),
    "garbage": lambda conn: conn.send(b"\xff" * 40),
}


@pytest.mark.parametrize("pong", BAD_PONGS.values(), ids=BAD_PONGS.keys())
def test_a_server_that_fails_its_ping_is_replaced_and_the_client_sees_nothing(weir, fake, pong):
    def answer(conn, kind, body):
        if kind == "Q" and body == b"\0" and conn.number == 0:
            pong(conn)
            return True
        return False
    with weir.start(upstream=fake.upstream, pool_size=1, pool_pre_ping_idle="0s", ping_interval="0s",
                    connect_timeout="500ms").raw() as wire:
        wire.query("SELECT 1")
        first = len(fake.logins())
        fake.answer = answer
        assert wire.query("SELECT 1") == [["fake"]]
        assert wire.query("SELECT 1") == [["fake"]]
        assert len(fake.logins()) >= first
        wait_until(lambda: not fake.connections[0].is_open)
    wait_until(lambda: weir.metric("pgweir_pool_recycles_total", reason="failed_ping") +
               weir.metric("pgweir_pool_recycles_total", reason="error") >= 1, what="the recycle to be counted")


def test_after_a_failed_ping_the_other_old_servers_are_verified_too(weir, tap):
    """All connections went silent at once, as when a firewall forgets them. A ping waits for 2 s: each after the other would
    be 16; all after the first are 4, and 6 where another worker has some of them."""
    weir.start(upstream=f"host={tap.host} port={tap.port}", pool_size=8, pool_pre_ping_idle="200ms", ping_interval="0s",
               connect_timeout="5s")
    release(hold(weir, 8))
    tap.stall()
    resting = time.monotonic()
    wait_until(lambda: time.monotonic() - resting > 0.3)
    with weir.raw() as wire:
        answer, seconds = timed(wire.query, "SELECT 1")
        assert answer == [["1"]] and seconds < 12 * SLOWNESS


# --- counting ---

def test_counts_fall_back_when_clients_have_left(weir):
    weir.start(pool_size=2)
    wires = hold(weir, 2)
    late = weir.raw()
    late.send(query("SELECT 1"))
    weir.wait_waiting(1)
    row = weir.pool()
    assert (row["cl_active"], row["cl_waiting"], row["sv_active"], row["sv_idle"]) == (2, 1, 2, 0)
    each((*wires, late)).close()

    def all_gone():
        row = weir.pool()
        return (row["cl_active"], row["cl_waiting"], row["sv_active"]) == (0, 0, 0)
    wait_until(all_gone)
    assert weir.raw().query("SELECT 1")


def test_checkouts_are_counted_by_their_source(weir):
    weir.start(pool_size=1, max_overflow=1)
    wires = hold(weir, 2)
    release(wires)
    wires[0].query("SELECT 1")
    wait_until(lambda: weir.metric("pgweir_pool_checkouts_total", database="app") >= 3)
    assert weir.metric("pgweir_pool_checkouts_total", source="overflow") == 1
    assert weir.metric("pgweir_pool_checkouts_total", source="idle") >= 1


def test_postgresql_out_of_connections_is_not_hammered(weir):
    """The role may have one connection: the pool learns to live with it."""
    weir.users["limited"] = "x"
    weir.start(pool_size=5)
    wires = [weir.raw("limited") for _ in range(5)]
    for _ in range(3):
        each(wires).send(query("SELECT pg_sleep(0.02)"))
        for wire in wires:
            assert shape(wire.read_until("Z")) == "T D C:SELECT 1 Z:I"
    failures = weir.metric("pgweir_backend_connect_failures_total", reason="too_many_connections")
    assert 1 <= failures <= 10


@pytest.mark.alone
def test_many_names_of_one_database_ask_about_its_code_once(weir, postgres, tap):
    """It takes PostgreSQL longer than all else that a pool needs: with hundreds of names nobody else would be served."""
    if transport.IS_TLS:
        pytest.skip("what is encrypted can't be read")
    names = [f"name{number}" for number in range(60)]
    weir.start({f"database {name}": {"upstream": weir.upstream(dbname="app", port=tap.port)} for name in names},
               pool_size=1, max_server_connections=10)
    for name in names:
        with weir.raw("web", name) as wire:
            assert wire.query("SELECT 1") == [["1"]]
    asked = bytes(tap.to_server).count(b"RECURSIVE known")
    assert 1 <= asked <= 2 * WORKERS        # each asks for itself, and twice if it lasted until the second came back
    known = {row["database"]: row["state"] for row in weir.console("SHOW DATABASE_CODE")}
    assert {known[name] for name in names} == {known[names[0]]} != {"unknown"}
