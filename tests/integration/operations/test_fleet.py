"""A budget over several pgweir processes: PostgreSQL never lists more connections than it has, all of them are used, and shares
are fair, whatever ends, hangs, restarts or changes meanwhile.

PGWEIR_FLEET_SECONDS: how long the test of everything at once goes on (20), PGWEIR_FLEET_SEED: what happens in it (1).
"""

import collections
import os
import random
import signal
import time

import pytest

import rawwire
from fleet import Fleet, refused_by_postgres
from island import Island
from postgres import Postgres
from tap import Tap
from waiting import PATIENCE, SLOWNESS, each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

SECONDS = int(os.environ.get("PGWEIR_FLEET_SECONDS") or 20)
SEED = int(os.environ.get("PGWEIR_FLEET_SEED") or 1)

# Places that are kept for stewards of processes that join.
KEPT = 2
LOCK = 1885828466       # fleet_sql.c: the first number of the lock under which they look at the list

BY_USER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = %s ORDER BY pid"


@pytest.fixture(name="postgres", scope="module")
def _postgres():
    cluster = Postgres("max_connections = 250\nwal_level = logical\n")
    with open(cluster.data / "pg_hba.conf", "a", encoding="utf-8") as file:
        file.write("host replication all 127.0.0.1/32 trust\n")
    cluster.query("SELECT pg_reload_conf()", dbname="postgres")
    cluster.query("ALTER ROLE reporting REPLICATION", dbname="postgres")
    yield cluster
    cluster.destroy()


@pytest.fixture(name="fleet")
def _fleet(postgres, tmp_path):
    fleet = Fleet(postgres, tmp_path)
    yield fleet
    problems = fleet.teardown()
    try:
        wait_until(lambda: postgres.count() == 0, what="PostgreSQL's backends to end")
    except AssertionError as error:
        problems.append(f"connections to PostgreSQL are left: {error}")
        postgres.kill_backends()
    assert not problems, problems


def budget(weir):
    row, = weir.console("SHOW BUDGET")
    return row


def wait_used(fleet, limit, timeout=None):
    """Until all of them are, but for those that are kept. How soon that is, the simulation says (tests/sim/fleet_oracle.c), as it
    does of shares."""
    wait_until(lambda: fleet.watcher.listed() >= limit - KEPT, timeout, f"{limit - KEPT} connections")


def no_more_than(fleet, limit, since=0):
    """Nobody has seen more; and somebody has looked."""
    peak, at = fleet.watcher.peak(since)
    assert peak <= limit, f"{peak} connections of {limit}, {time.time() - at:.3f} s ago"
    return peak


def within_one(shares):
    """Or within a tenth of their mean."""
    mean = sum(shares) / len(shares)
    return all(abs(share - mean) <= max(1, mean / 10) for share in shares)


def wait_fair(fleet):
    """What is fair stays so: twice in a row."""
    wait_until(lambda: within_one(fleet.shares(0.3)) and within_one(fleet.shares(0.3)), what="fair shares")


# --- What the tests themselves can see ---

def test_without_a_budget_there_are_more(fleet):
    """Or nothing of what follows would prove anything."""
    fleet.start(3, budget="off", budget_connections=20, pool_size=12)
    fleet.want(20)
    wait_until(lambda: fleet.watcher.listed() > 20)
    with pytest.raises(AssertionError, match="connections of 20"):
        no_more_than(fleet, 20)
    wait_until(lambda: sum(fleet.connections().values()) == fleet.watcher.listed())
    wait_fair(fleet)                        # each has its pool_size: not at once
    fleet.kill(fleet.weirs[0])
    wait_until(lambda: fleet.watcher.listed() < 30)
    begin = time.time()
    fleet.wait_answers(50)
    wait_until(lambda: fleet.watcher.longest_below(30, begin, time.time()) > 0.1)
    assert fleet.watcher.longest_below(10, begin, time.time()) == 0
    few = fleet.join(20, pool_size=4)
    fleet.wait_answers(20, weirs=[few])
    assert not within_one(fleet.shares())


# --- Never above ---

@pytest.mark.parametrize("limit, clients, workers", [(20, 20, 1), (90, 40, 1), (20, 20, 3), (90, 40, 3)])
def test_six_that_want_more_never_have_more(fleet, limit, clients, workers):
    """All of them begin at once, with nothing. Each client gets its answers."""
    fleet.start(6, budget_connections=limit, workers=workers)
    fleet.want(clients)
    wait_used(fleet, limit)
    fleet.wait_answers(20)
    wait_fair(fleet)
    no_more_than(fleet, limit)
    assert not fleet.errors()
    assert not refused_by_postgres(fleet)


def test_postgresql_refuses_nothing_if_it_has_the_same_limit(fleet):
    """A role's CONNECTION LIMIT, which is checked when a connection logs in."""
    fleet.postgres.query("ALTER ROLE web CONNECTION LIMIT 20", dbname="postgres")
    try:
        fleet.start(4, budget_connections=20, budget_users="web")
        fleet.want(20)
        for _ in range(3):                  # connections come and go
            fleet.wait_answers(20)
            fleet.want(0, *fleet.weirs[:2])
            fleet.wait_answers(20, weirs=fleet.weirs[2:])
            fleet.want(20)
        no_more_than(fleet, 20 + 4)              # whom budget_users does not name, the four stewards, come on top
        assert not fleet.errors()
        assert not refused_by_postgres(fleet)
    finally:
        fleet.postgres.query("ALTER ROLE web CONNECTION LIMIT -1", dbname="postgres")


def test_who_waits_in_vain_is_told_of_the_budget(fleet):
    fleet.start(1, budget_connections=6, pool_timeout="500ms")
    weir = fleet.join(sql="SELECT pg_sleep(3)")
    wait_until(lambda: budget(weir)["state"] == "joined")       # else it is the steward that is waited for
    fleet.want(10, weir)
    wait_until(fleet.errors)
    error = fleet.errors()[0]
    assert error["C"] == "53300"
    assert "budget_connections" in error["H"]
    no_more_than(fleet, 6)


# --- All used ---

@pytest.mark.parametrize("workers", [1, 2])
def test_one_alone_gets_all(fleet, workers):
    """A place that is free is nobody's who waits."""
    one, two, _ = fleet.start(3, budget_connections=20, workers=workers)
    for hungry, other in ((one, two), (two, one)):
        fleet.want(0, other)
        fleet.want(40, hungry)
        wait_until(lambda: fleet.connections()[hungry] >= 20 - KEPT - 2, what="all places")    # pylint: disable=cell-var-from-loop
        fleet.wait_answers(100, weirs=[hungry])
        wait_used(fleet, 20)                # PostgreSQL lists the last of them when it has logged in
    no_more_than(fleet, 20)
    assert not fleet.errors()


# --- Fair ---

@pytest.mark.parametrize("workers", [1, 3])
def test_shares_are_fair_after_each_change(fleet, workers):
    fleet.start(2, budget_connections=40, workers=workers)
    fleet.want(40)
    wait_used(fleet, 40)
    wait_fair(fleet)
    fleet.join(40)
    wait_fair(fleet)
    fleet.join(40)
    wait_fair(fleet)
    fleet.leave(fleet.weirs[0])
    wait_used(fleet, 40)
    wait_fair(fleet)
    fleet.kill(fleet.weirs[0])
    wait_used(fleet, 40)
    wait_fair(fleet)
    no_more_than(fleet, 40)


@pytest.mark.parametrize("places", [1, 3])
def test_fewer_places_than_processes(fleet, places):
    """They take turns: each client of each process is served again and again. How soon, the simulation says."""
    fleet.sql = "SELECT pg_sleep(0.03)"
    fleet.start(6, budget_connections=6 + KEPT + places)
    fleet.want(3)
    for _ in range(3):
        fleet.wait_answers(4, 90)
    no_more_than(fleet, 6 + KEPT + places)
    assert not fleet.errors()


def test_one_that_hangs_keeps_what_it_has_and_wants_no_more(fleet):
    hung, one, two = fleet.start(3, budget_connections=30)
    fleet.want(40)
    wait_used(fleet, 30)
    wait_fair(fleet)
    hung.stand_still()
    had = fleet.connections()[hung]
    fleet.want(0, one)
    # its demand does not count after a while: what it has no use for, the other one gets, but for what the one that hangs has
    # been granted and has not opened
    wait_until(lambda: fleet.connections()[two] >= 30 - KEPT - 1 - had - 3, what="all that the one that hangs does not have")
    assert fleet.connections()[hung] == had
    wait_until(lambda: [row for row in two.console("SHOW FLEET") if row["silent"]], what="a silent process")
    fleet.want(40, one)
    fleet.wait_answers(10, weirs=[one, two])
    hung.signal(signal.SIGCONT)
    wait_fair(fleet)
    no_more_than(fleet, 30)


# --- Faults ---

def backends(fleet, user):
    return [pid for pid, in fleet.postgres.query(BY_USER, (user,), dbname="postgres")]


def terminate(fleet, user, chance, count):
    """So many backends of that user's. Returns which."""
    pids = backends(fleet, user)
    ended = chance.sample(pids, min(count, len(pids)))
    for pid in ended:
        fleet.postgres.query("SELECT pg_terminate_backend(%s)", (pid,), dbname="postgres")
    return ended


def stewards(fleet):
    return fleet.postgres.count(usename="scramuser")


def wait_stewards(fleet, count, ended=()):
    """So many, and none of those."""
    wait_until(lambda: len(pids := backends(fleet, "scramuser")) == count and not set(pids) & set(ended), what=f"{count} stewards")


def test_places_for_newcomers_are_free_again(fleet):
    """Whoever comes takes one, unasked, and the pools give it back, though he has no clients that wait."""
    fleet.start(2, budget_connections=20)
    fleet.want(20)
    for count in (3, 4, 5):
        wait_used(fleet, 20)
        fleet.join()
        wait_stewards(fleet, count)
        wait_until(lambda: fleet.watcher.listed() <= 20 - KEPT, what="the place to be free again")
    no_more_than(fleet, 20)
    assert not fleet.errors()


@pytest.mark.parametrize("count", [KEPT, 4])
def test_stewards_and_pooled_connections_are_ended(fleet, count):
    """Stewards log in unasked. Those that ended are expected back, and the places of all are kept meanwhile."""
    fleet.start(4, budget_connections=20)
    fleet.want(20)
    wait_used(fleet, 20)
    wait_stewards(fleet, 4)
    chance = random.Random(SEED)
    for _ in range(8):
        ended = terminate(fleet, "scramuser", chance, count)
        terminate(fleet, "web", chance, 5)
        time.sleep(0.2)                     # whatever they do meanwhile
        wait_stewards(fleet, 4, ended)
    wait_used(fleet, 20)
    wait_fair(fleet)
    no_more_than(fleet, 20)


def test_a_steward_whose_end_is_announced_ends_at_once(fleet):
    """Its mark is gone then, and logins under way must not end as if it were there; PostgreSQL's process may live on for long."""
    with Tap((fleet.postgres.host, fleet.postgres.port)) as tap:
        weir, = fleet.start(1, budget_connections=20, upstream=f"host={tap.host} port={tap.port}")
        wait_stewards(fleet, 1)
        wait_until(lambda: budget(weir)["state"] == "joined")
        tap.keeps_ends = True
        delay_logins(fleet.postgres, 2)
        try:
            fleet.want(4)
            wait_until(lambda: tap.connection_count() > 1)
            terminate(fleet, "scramuser", random.Random(SEED), 1)
            wait_until(lambda: tap.connection_count() <= 1, what="logins to be given up")
        finally:
            delay_logins(fleet.postgres, 0)
        fleet.wait_answers(20)
        wait_until(lambda: weir.log().count("budget: joined") == 2, what="it to join again")


def test_nothing_is_opened_without_a_steward(fleet):
    """Those that are open stay, and serve."""
    weir, = fleet.start(1, budget_connections=20)
    fleet.want(4)
    wait_until(lambda: fleet.postgres.count(usename="web") == 4)
    fleet.postgres.query("ALTER ROLE scramuser NOLOGIN", dbname="postgres")
    try:
        terminate(fleet, "scramuser", random.Random(SEED), 1)
        wait_until(lambda: stewards(fleet) == 0)
        wait_until(lambda: budget(weir)["state"] == "connecting")
        had = backends(fleet, "web")
        fleet.want(20)
        fleet.wait_answers(50)
        now = backends(fleet, "web")        # one that asked for the database's code may be gone
        assert len(now) >= 4 and set(now) <= set(had)
        wait_until(lambda: "scramuser" in budget(weir)["last_error"], what="the first refusal")
    finally:
        fleet.postgres.query("ALTER ROLE scramuser LOGIN", dbname="postgres")
    wait_used(fleet, 20)
    no_more_than(fleet, 20)


def test_processes_are_killed_and_others_start(fleet):
    fleet.start(3, budget_connections=20)
    fleet.want(20)
    for _ in range(5):
        wait_used(fleet, 20)
        fleet.kill(fleet.weirs[0])
        fleet.join(20)
    fleet.wait_answers(5)
    no_more_than(fleet, 20)
    assert not refused_by_postgres(fleet)


def test_a_restart_without_a_gap_stays_within_it(fleet):
    """Old and new process are two of the fleet."""
    one, two = fleet.start(2, budget_connections=20)
    fleet.want(20)
    for weir in (one, two, one):
        wait_used(fleet, 20)
        weir.restart(wait=False)
        fleet.wait_answers(20)
    wait_used(fleet, 20)
    wait_fair(fleet)
    no_more_than(fleet, 20)
    assert not fleet.errors()
    assert sum(clients.lost for clients in fleet.clients.values()) == 0


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["immediate", "fast"])
def test_postgresql_restarts(fleet, how):
    fleet.start(3, budget_connections=20)
    fleet.want(20)
    wait_used(fleet, 20)
    fleet.postgres.stop(how)
    fleet.postgres.start()
    wait_used(fleet, 20)
    fleet.wait_answers(10)
    wait_fair(fleet)
    no_more_than(fleet, 20)


def test_strangers_count(fleet):
    """They ask nobody: with those that come when all are in use it is more, and processes give connections back for them."""
    def fits(count):
        _, listed, strangers = fleet.watcher.seen(time.time() - 0.5)[-1]
        return strangers == count and listed <= 20

    fleet.start(2, budget_connections=20)
    fleet.want(20)
    for count in (2, 6, 0, 8):
        fleet.bring_strangers(count)
        wait_until(lambda: fits(count), what="connections to be given back")   # pylint: disable=cell-var-from-loop
        fleet.wait_answers(20)
        wait_used(fleet, 20)
        begin = time.time()
        fleet.wait_answers(20)
        no_more_than(fleet, 20, begin)
    assert all(listed - strangers <= 20 for _, listed, strangers in fleet.watcher.seen(0))
    wait_until(lambda: budget(fleet.weirs[0])["others"] == 8)
    assert not fleet.errors()


def hold_lock(postgres):
    """The one under which processes look at PostgreSQL's list. Returns the connection, and its PID."""
    connection = postgres.connect("postgres")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, 0)", (LOCK,))
    return connection, connection.info.backend_pid


def test_somebody_holds_the_lock(fleet):
    """Nothing is opened; whatever is lent serves, and whatever was being opened."""
    one, two = fleet.start(2, budget_connections=20, pool_size=5)        # on a slow machine three clients may need all of these
    fleet.want(3)
    wait_until(lambda: fleet.watcher.listed() >= 8)
    fleet.wait_answers(20)                                              # what is listed may be logging in yet
    holders = [weir.raw() for weir in (one, two)]
    each(holders).query(rawwire.BEGIN_NOW)      # what is idle for a moment is given up for the other, which doesn't get it
    holder, pid = hold_lock(fleet.postgres)
    try:
        fleet.reload(pool_size=20)
        fleet.want(20)
        # each may have waited for the other's lock first
        wait_until(lambda: all((budget(weir)["state"], budget(weir)["lock_pid"]) == ("lock_held", pid) for weir in (one, two)))
        begin, open_then = time.time(), fleet.watcher.listed()
        assert open_then < 20 - KEPT
        for _ in range(50):
            each(holders).query("SELECT pg_sleep(0.02)")
        no_more_than(fleet, open_then, begin)
        each((one, two)).wait_log("another session holds the lock")
    finally:
        each(holders).close()
        holder.close()
    wait_used(fleet, 20)
    wait_until(lambda: all(budget(weir)["state"] == "joined" for weir in (one, two)))
    wait_fair(fleet)
    no_more_than(fleet, 20)
    assert not fleet.errors()


def test_who_is_always_refused_an_answer_asks_less_and_less_often(fleet):
    """Here as somebody has taken the function away that tells of locks."""
    weir, = fleet.start(1, budget_connections=20)
    wait_until(lambda: budget(weir)["state"] == "joined")
    fleet.postgres.query("REVOKE EXECUTE ON FUNCTION pg_lock_status() FROM PUBLIC", dbname="postgres")
    try:
        wait_until(lambda: "pg_lock_status" in budget(weir)["last_error"])
        before = weir.log().count("budget: joined")
        begin = time.monotonic()
        wait_until(lambda: weir.log().count("budget: joined") >= before + 8)
        assert time.monotonic() - begin > 1
        assert weir.log().count("could not ask PostgreSQL") == 1
    finally:
        fleet.postgres.query("GRANT EXECUTE ON FUNCTION pg_lock_status() TO PUBLIC", dbname="postgres")
    fleet.want(20)
    wait_used(fleet, 20)
    assert budget(weir)["last_error"] == ""


def test_strangers_do_not_set_the_budget(fleet):
    """Who calls himself a process with a budget of three, and who has its locks, too."""
    one, two = fleet.start(2, budget_connections=20)
    fleet.bring_strangers(2, "web")
    for connection in fleet.strangers:
        with connection.cursor() as cursor:
            cursor.execute("SET application_name = 'pgweir budget 3 0 0 0 1 liar'")
            connection.commit()
    for number in (0, 1000, -1):
        with fleet.strangers[0].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", (LOCK + 1, number))
    name = f"PID {fleet.strangers[0].info.backend_pid} (web, pgweir budget 3 0 0 0 1 liar)"
    wait_until(lambda: all(budget(weir)["strangers"] == name for weir in (one, two)))
    fleet.want(20)
    wait_used(fleet, 20)
    wait_fair(fleet)
    assert all((row["budget"], row["members"]) == (20, 2) for row in (budget(one), budget(two)))
    no_more_than(fleet, 20)
    assert not fleet.errors()


@pytest.fixture(name="island")
def _island(postgres):
    """PostgreSQL listens there, too, and takes a connection for gone when nothing was heard of it for four seconds."""
    def restart(addresses, milliseconds):
        for name, value in (("listen_addresses", addresses), ("tcp_user_timeout", milliseconds), ("tcp_keepalives_idle", milliseconds // 2000),
                            ("tcp_keepalives_interval", milliseconds // 4000), ("client_connection_check_interval", milliseconds // 4)):
            postgres.query(f"ALTER SYSTEM SET {name} = '{value}'", dbname="postgres")
        postgres.stop()
        postgres.start()

    island = Island()
    island.begin()
    with open(postgres.data / "pg_hba.conf", "a", encoding="utf-8") as file:
        file.write(f"host all all {island.database.there}/32 trust\n")
    restart(f"127.0.0.1,{island.database.here}", 4000)
    yield island
    restart("127.0.0.1", 0)
    island.end()


@pytest.mark.long
@pytest.mark.parametrize("notices", [False, True], ids=["late", "soon"])
def test_one_cannot_be_reached(fleet, island, tmp_path, notices):
    """No packet comes through. Its connections count until PostgreSQL gives them up: those that are idle, those with an answer
    that nobody acknowledges, and one whose statement runs. Then others have its places, until it is there again. notices: it
    does, before; else when it is there again and sends something."""
    def count():
        return fleet.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE client_addr = %s", (island.database.there,))

    (tmp_path / "hba.conf").write_text(f"host all all {island.clients.here}/32 trust\n", encoding="utf-8")
    tcp = {"user_timeout": "2s", "keepalive_idle": "1s", "keepalive_interval": "1s"} if notices else {"keepalive_idle": "20s"}
    one, two = fleet.start(2, budget_connections=20)
    lonely = fleet.join(island=island, method="hba", hba_file=tmp_path / "hba.conf", connect_timeout="5s", **tcp)
    wire = lonely.raw()
    wire.send(rawwire.query("SELECT pg_sleep(600)"))
    fleet.want(20)
    wait_used(fleet, 20)
    wait_fair(fleet)
    island.database.cut()
    begin, had = time.time(), count()
    assert had >= 4
    fleet.wait_answers(20, weirs=[one, two])
    assert count() >= had or time.time() - begin > 3
    wait_until(lambda: count() == 0, what="PostgreSQL to give them up")
    assert time.time() - begin > 3
    wait_used(fleet, 20)                    # others have its places
    fleet.wait_answers(100, weirs=[one, two])
    wait_until(lambda: budget(lonely)["state"] == "connecting")
    if notices:
        assert wire.read_until("E", timeout=PATIENCE)[-1].error["C"] == "08006"
    island.database.mend()
    fleet.wait_answers(20, weirs=[lonely])
    wait_until(lambda: stewards(fleet) == 3)
    wait_used(fleet, 20)
    wait_fair(fleet)
    no_more_than(fleet, 20)
    assert not refused_by_postgres(fleet)
    assert not any(clients.hung for clients in fleet.clients.values())
    assert not [error for weir in (one, two) for error in fleet.clients[weir].errors]


# --- Connections of other kinds ---

LOOKUP = """
CREATE ROLE asked LOGIN PASSWORD 'asked-secret';
CREATE FUNCTION lookup(who text) RETURNS TABLE (usename text, passwd text) LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT rolname::text, rolpassword::text FROM pg_authid WHERE rolname = who $$"""

HBA = """\
host pgweir all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
host all asked 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


def test_connections_that_are_no_pools_count_too(fleet, tmp_path):
    """Those of listeners, of replication, and of auth_query."""
    fleet.postgres.query(LOOKUP)
    (tmp_path / "hba.conf").write_text(HBA, encoding="utf-8")
    try:
        one, two = fleet.start(2, budget_connections=20, method="hba", hba_file=tmp_path / "hba.conf", auth_user="reporting",
                               auth_query="SELECT usename, passwd FROM lookup($1)")
        of_all_kinds(one)
        of_all_kinds(two)
        fleet.want(20)
        wait_used(fleet, 20)
        fleet.wait_answers(20)
        wait_used(fleet, 20)
        no_more_than(fleet, 20)
        assert fleet.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == 2
        assert not fleet.errors()
    finally:
        each(fleet.weirs).close_connections()
        fleet.postgres.kill_backends(usename="asked")
        fleet.postgres.query("DROP FUNCTION lookup; DROP ROLE asked")


def of_all_kinds(weir):
    weir.raw("reporting", parameters={"replication": "database"})
    weir.raw().query("LISTEN news")
    assert weir.raw("asked", password="asked-secret").value("SELECT 1") == "1"


@pytest.mark.parametrize("workers", [1, 3])
def test_replication_clients_come_when_all_are_used(fleet, workers):
    """Each takes a place, which a pool gives up. Who gets none is told."""
    one, two = fleet.start(2, budget_connections=20, workers=workers)
    fleet.want(20)
    wait_used(fleet, 20)
    for weir in (one, two):
        for _ in range(3):
            weir.raw("reporting", parameters={"replication": "database"})
    assert fleet.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == 6
    fleet.wait_answers(20)
    wait_used(fleet, 20)
    wait_until(lambda: budget(one)["others"] == 0)
    no_more_than(fleet, 20)
    assert not fleet.errors()


def test_a_replication_client_that_gets_no_place_is_told_of_the_budget(fleet):
    weir, = fleet.start(1, budget_connections=6)
    holders = [weir.raw() for _ in range(3)]
    each(holders).query(rawwire.BEGIN_NOW)
    fleet.reload(pool_timeout="500ms")      # not before: these have waited for a steward and for logins
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.raw("reporting", parameters={"replication": "database"})
    assert "53300" in str(refused.value) and "budget_connections" in str(refused.value)
    no_more_than(fleet, 6)


@pytest.mark.parametrize("workers, share", [(1, 2), (3, 4)])
def test_listeners_at_a_small_share(fleet, workers, share):
    """Each worker has one, which takes a place that a pool gives up: both go on with one place more than listeners."""
    fleet.start(3, budget_connections=3 + KEPT + 3 * share, workers=workers)
    fleet.want(10)
    wait_used(fleet, 3 + KEPT + 3 * share)
    wires = [weir.raw() for weir in fleet.weirs for _ in range(6)]
    waiting = [fleet.weirs[0].in_background(wire.query, "LISTEN news") for wire in wires]
    each(waiting).result(PATIENCE)
    fleet.wait_answers(20)
    fleet.weirs[0].raw().query("NOTIFY news")
    each(wires).read_until("A", timeout=PATIENCE)
    fleet.wait_answers(20)
    no_more_than(fleet, 3 + KEPT + 3 * share)
    assert not fleet.errors()


def delay_logins(postgres, seconds):
    """From now on. It is listed when it has waited."""
    postgres.query(f"ALTER SYSTEM SET post_auth_delay = {seconds}", dbname="postgres")
    postgres.query("SELECT pg_reload_conf()", dbname="postgres")

    def delay():
        with postgres.connect("postgres") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'post_auth_delay'")
            return cursor.fetchone()[0]

    wait_until(lambda: delay() == seconds)


def test_a_login_for_no_pool_ends_with_its_steward(fleet):
    """Nobody counts it any more. A listener tries again."""
    weir, = fleet.start(1, budget_connections=20)
    wait_until(lambda: budget(weir)["state"] == "joined")
    listener = weir.raw()
    delay_logins(fleet.postgres, 2)
    try:
        replica = weir.in_background(weir.raw, "reporting", "app", None, {"replication": "database"})
        listens = weir.in_background(listener.query, "LISTEN news")
        wait_until(lambda: budget(weir)["used"] == 3)
        terminate(fleet, "scramuser", random.Random(SEED), 1)
    finally:
        delay_logins(fleet.postgres, 0)
    with pytest.raises(rawwire.LoginRefused, match="budget"):
        replica.result()
    listens.result()
    assert fleet.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == 0
    weir.raw().query("NOTIFY news")
    listener.read_until("A", timeout=20 * SLOWNESS)
    no_more_than(fleet, 20)


def test_parallel_workers_are_no_connections(fleet):
    """Where the steward may see who has a client: of roles whose privileges it has."""
    is_new = fleet.postgres.value("SELECT count(*) FROM pg_settings WHERE name = 'debug_parallel_query'") > 0
    fleet.postgres.query("GRANT pg_read_all_stats TO scramuser", dbname="postgres")
    fleet.postgres.query(f"ALTER ROLE web SET {'debug_parallel_query' if is_new else 'force_parallel_mode'} = on", dbname="postgres")
    try:
        one, _ = fleet.start(2, budget_connections=20)
        fleet.want(20)
        wait_used(fleet, 20)
        wait_until(lambda: fleet.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'") > 0)
        fleet.wait_answers(50)
        wait_used(fleet, 20)
        assert budget(one)["connections"] <= 20 and budget(one)["over_ms"] == 0
        no_more_than(fleet, 20)
    finally:
        fleet.postgres.query("ALTER ROLE web RESET ALL; REVOKE pg_read_all_stats FROM scramuser", dbname="postgres")


def test_connections_of_other_users_do_not_count(fleet):
    fleet.start(2, budget_connections=20, budget_users="web, scramuser")
    fleet.want(20)
    fleet.bring_strangers(5)
    wait_used(fleet, 25)
    fleet.wait_answers(20)
    wait_used(fleet, 25)
    no_more_than(fleet, 25)


# --- Settings ---

@pytest.mark.reloads("limits.budget_users", "limits.cluster_user", "limits.budget_database")
def test_a_reload_changes_who_meets_where_and_who_counts(fleet):
    one, _ = fleet.start(2, budget_connections=20)
    fleet.want(20)
    wait_used(fleet, 20)
    fleet.bring_strangers(5)
    wait_until(lambda: budget(one)["others"] == 5)
    for changed in ({"budget_users": "web, scramuser, plainuser"}, {"cluster_user": "plainuser"}, {"budget_database": "app"}):
        fleet.reload(**changed)
        wait_until(lambda: (budget(one)["state"], budget(one)["others"], budget(one)["members"]) == ("joined", 0, 2))
        wait_used(fleet, 25)
        begin = time.time()
        fleet.wait_answers(20)
        no_more_than(fleet, 25, begin)
    where = fleet.postgres.query("SELECT DISTINCT usename, datname FROM pg_stat_activity WHERE application_name LIKE 'pgweir budget %%'",
                                 dbname="postgres")
    assert where == [("plainuser", "app")]
    assert not fleet.errors()


@pytest.mark.reloads("limits.budget_connections")
def test_a_reload_lowers_and_raises_it(fleet):
    fleet.start(2, budget_connections=40)
    fleet.want(40)
    for limit in (40, 12, 30, 16):
        fleet.reload(budget_connections=limit)
        wait_until(lambda: limit - KEPT <= fleet.watcher.listed() <= limit, what=f"{limit}")    # pylint: disable=cell-var-from-loop
        wait_fair(fleet)            # what was granted before the reload has logged in by now
        begin = time.time()
        fleet.wait_answers(20)
        no_more_than(fleet, limit, begin)
    assert not fleet.errors()


@pytest.mark.reloads("limits.budget")
def test_a_reload_switches_it_off_and_on(fleet):
    one, two = fleet.start(2, budget_connections=20, pool_size=20)
    fleet.want(40)
    wait_used(fleet, 20)
    no_more_than(fleet, 20)
    fleet.reload(budget="off")
    wait_until(lambda: fleet.watcher.listed() >= 40)
    wait_until(lambda: stewards(fleet) == 0)
    assert not one.console("SHOW BUDGET")
    fleet.reload(budget="on")
    wait_until(lambda: 20 - KEPT <= fleet.watcher.listed() <= 20)
    wait_until(lambda: stewards(fleet) == 2)
    begin = time.time()
    fleet.wait_answers(20)
    wait_fair(fleet)
    no_more_than(fleet, 20, begin)
    fleet.reload(budget="advise")
    wait_until(lambda: fleet.watcher.listed() >= 42)
    wait_until(lambda: budget(two)["peak"] >= 42)
    fleet.reload(budget="on")
    wait_until(lambda: fleet.watcher.listed() <= 20)
    assert not fleet.errors()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_reload_moves_pools_to_other_hosts(fleet, workers):
    """Which are the same ones by another name, so that PostgreSQL's list has all of them. Workers read it one after the other."""
    fleet.start(2, budget_connections=20, workers=workers)
    fleet.want(20)
    wait_used(fleet, 20)
    for host in 3 * ("localhost", "127.0.0.1"):
        for weir in fleet.weirs:
            weir.reload(upstream=weir.upstream(host=host), **fleet.settings)
        fleet.wait_answers(20)
    wait_used(fleet, 20)
    wait_fair(fleet)
    no_more_than(fleet, 20)
    assert not fleet.errors()


def test_a_reload_mends_the_password_of_a_steward(fleet):
    weir, = fleet.start(1, budget_connections=20)
    for secret in ("wrong", weir.users["scramuser"]):
        weir.users["scramuser"] = secret
        weir.reload(**fleet.settings)
        wait_until(lambda: ("password" in budget(weir)["last_error"]) == (secret == "wrong"))    # pylint: disable=cell-var-from-loop
    fleet.want(20)
    wait_used(fleet, 20)


def test_advice_refuses_nothing(fleet):
    one, two = fleet.start(2, budget="advise", budget_connections=20, pool_size=20)
    fleet.want(40)
    wait_until(lambda: fleet.watcher.listed() == 42)
    wait_until(lambda: budget(one)["peak"] == 42)
    wait_until(lambda: sum(budget(weir)["over_opens"] for weir in (one, two)) >= 10)
    assert not fleet.errors()


def test_the_smallest_budget_holds(fleet):
    one, two = fleet.start(2, budget_connections=30)
    small = fleet.join(budget_connections=12)
    wait_until(lambda: all(budget(weir)["budget"] == 12 for weir in fleet.weirs))
    begin = time.time()
    fleet.want(20)
    wait_used(fleet, 12)
    fleet.wait_answers(10)
    wait_fair(fleet)
    no_more_than(fleet, 12, begin)
    assert "budget" in one.log()
    fleet.leave(small)
    wait_used(fleet, 30)
    no_more_than(fleet, 30)
    wait_until(lambda: budget(two)["budget"] == 30)


def test_off_has_no_steward(fleet):
    weir, = fleet.start(1, budget="off")
    fleet.want(5)
    fleet.wait_answers(50)
    assert stewards(fleet) == 0
    assert fleet.postgres.count(datname="postgres") == 0
    assert not weir.console("SHOW BUDGET")
    assert not weir.console("SHOW FLEET")


# --- All of it ---

def ends_and_starts(fleet, chance):
    how = chance.choice([fleet.kill, fleet.leave])
    how(chance.choice(fleet.weirs))
    fleet.join(CLIENTS)


def restarts(fleet, chance):
    """One that has replaced another one only when that has ended."""
    weir = chance.choice(fleet.weirs)
    if all(process.poll() is not None for process in weir.predecessors):
        weir.restart(wait=False)


def hangs(fleet, chance):
    weir = chance.choice(fleet.weirs)
    weir.stand_still()
    time.sleep(chance.choice([0.1, 1, 4]))
    weir.signal(signal.SIGCONT)


def loses_stewards(fleet, chance):
    terminate(fleet, "scramuser", chance, KEPT)


def loses_connections(fleet, chance):
    terminate(fleet, "web", chance, chance.randrange(1, 20))


def wants(fleet, chance):
    fleet.want(chance.choice([0, 1, 3, CLIENTS, CLIENTS]), chance.choice(fleet.weirs))


def has_strangers(fleet, chance):
    fleet.bring_strangers(chance.randrange(6))


def loses_postgresql(fleet, chance):
    fleet.postgres.stop(chance.choice([signal.SIGQUIT, signal.SIGINT]))
    fleet.postgres.start()
    fleet.strangers.clear()


CLIENTS = 16
PROCESSES = 6
GIVEN_BACK_S = 3            # stewards come unasked; so long pools may take to give connections back for them
EVENTS = 6 * [ends_and_starts, restarts, loses_stewards, loses_connections, wants, wants, has_strangers] + [hangs, loses_postgresql]


@pytest.mark.long
@pytest.mark.parametrize("limit, workers", [(20, 1), (90, 3)])
def test_whatever_happens_there_are_no_more(fleet, limit, workers):
    """Strangers come unasked. When all is over, all is used, and fair."""
    print(f"PGWEIR_FLEET_SEED={SEED}")
    # 96 clients are to use 88 connections at once: so long that this loop of Python's, which is slow on a busy machine, keeps up
    fleet.sql = "SELECT pg_sleep(0.3)"
    fleet.start(PROCESSES, budget_connections=limit, workers=workers)
    fleet.want(CLIENTS)
    chance, end, happened = random.Random(SEED), time.monotonic() + SECONDS, []
    while time.monotonic() < end:
        event = chance.choice(EVENTS)
        happened.append((time.time(), event.__name__))
        event(fleet, chance)
        time.sleep(chance.uniform(0, 0.4))
    fleet.bring_strangers(0)
    fleet.want(CLIENTS)
    wait_until(lambda: stewards(fleet) == PROCESSES, what="all stewards")
    wait_used(fleet, limit)
    fleet.wait_answers(10)
    wait_fair(fleet)
    seen = fleet.watcher.seen(0)
    above = [(at, listed, strangers) for at, listed, strangers in seen if listed - strangers > limit]
    print(f"{len(seen)} looks, {len(above)} above; {collections.Counter(name for _, name in happened)}")
    for at, listed, strangers in above:
        newcomers = fleet.watcher.newcomers(at, GIVEN_BACK_S)
        before = [name for begin, name in happened if begin <= at][-5:]
        print(f"{at:.3f}: {listed} with {strangers} strangers and {newcomers} newcomers, after {before}")
        assert listed - strangers <= limit + max(0, newcomers - KEPT), f"{listed} with {strangers} strangers, after {before}"
