"""reads = prefer_standby: loans go to a standby that is near, the least loaded first, else to the primary; and a standby's
servers are washed, follow settings, and are paused, renewed, counted and cancelled as the primary's are."""

import asyncio
import threading
import time

import psycopg
import pytest

import rawwire
from rawwire import errors
from test_hosts import PATIENT
from waiting import PATIENCE, each, wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport, pytest.mark.long]

PORT = "SELECT current_setting('port')::int"


def ports(hosts):
    return {host.port for host in hosts}


def where(wire):
    return int(wire.value(PORT))


def wait_where(wire, hosts, what="reads to go there"):
    """Asks again and again: who gets no idle connection there is not made to wait for one."""
    wait_until(lambda: where(wire) in ports(hosts), what=what, pause=0.01)


def wait_pid_there(wire, hosts):
    """The same, and the PID of the server, once it answers twice in a row: another query may be answered elsewhere, as this server may
    be washed first, and until the primary has said what its code could leave in a session, it is closed after use."""
    def there():
        first, second = (wire.query(PORT + ", pg_backend_pid()")[0] for _ in range(2))
        return first == second and int(first[0]) in ports(hosts) and first[1]

    return wait_until(there, what="reads to go there")


def configured(trio, hosts=None, sections=None, **settings):
    return {"upstream": trio.upstream(hosts=hosts), "reads": "prefer_standby", **PATIENT, **settings,
            "sections": {"database app": {"cluster_user": "web"},      # app2: the same database, without reads on standbys
                         "database app2": {"reads": "primary", "upstream": trio.upstream(hosts=hosts) + " dbname=app"},
                         **(sections or {})}}


def start(weir, trio, **settings):
    return weir.start(**configured(trio, **settings))


def reload(weir, trio, **settings):
    weir.reload(**configured(trio, **settings))


def one_standby(weir, trio, **settings):
    """A primary and one standby, with one connection each: whoever comes gets the same server as the last one."""
    wire = start(weir, trio, hosts=[trio.primary, trio.standbys[0]], pool_size=1, **settings).raw()
    wait_where(wire, trio.standbys)
    return wire


def no_twins(weir):
    """No label set of a metric, and no row of SHOW POOLS, comes twice."""
    lines = [line.rsplit(" ", 1)[0] for line in weir.http("/metrics").text.splitlines() if line and line[0] != "#"]
    assert len(lines) == len(set(lines)), sorted(line for line in lines if lines.count(line) > 1)[:5]
    rows = [(row["database"], row["user"]) for row in weir.console("SHOW POOLS")]
    assert len(rows) == len(set(rows)), rows


# --- which host ---

def test_reads_go_to_standbys_and_the_least_loaded_is_first(weir, trio):
    start(weir, trio)
    wires = [weir.raw() for _ in range(6)]
    wait_until(lambda: trio.held(wires, "BEGIN") == [3, 3], what="three transactions on each standby")
    assert weir.metric_now("pgweir_clients_waiting") == 0


def test_a_standby_that_lags_is_left_for_the_other_and_then_for_the_primary(weir, trio):
    start(weir, trio, reads_max_lag="300ms")
    trio.primary.query("CREATE TABLE IF NOT EXISTS lagging (i int)")
    wire = weir.raw()
    wait_where(wire, trio.standbys)
    first, second = trio.standbys
    stop = threading.Event()

    def write():
        while not stop.is_set():
            trio.primary.query("INSERT INTO lagging VALUES (1)")
            time.sleep(0.02)

    writer = weir.in_background(write)
    try:
        trio.pause(first)
        wait_until(lambda: all(where(wire) == second.port for _ in range(20)), what="the other standby")
        trio.pause(second)
        wait_until(lambda: all(where(wire) == trio.primary.port for _ in range(20)), what="the primary")
        trio.resume(first)
        wait_until(lambda: all(where(wire) == first.port for _ in range(20)), what="the first standby")
    finally:
        stop.set()
        writer.result()


def test_killed_standbys_cost_clients_without_a_request_nothing(weir, trio):
    start(weir, trio)
    wires = [weir.raw() for _ in range(4)]
    for wire in wires:
        wait_where(wire, trio.standbys)
    first, second = trio.standbys
    trio.crash(first)
    for wire in wires:
        assert where(wire) in ports([second, trio.primary])
    trio.crash(second)
    for wire in wires:
        assert where(wire) == trio.primary.port
    trio.start(first)
    trio.start(second)
    for wire in wires:
        wait_where(wire, trio.standbys)


def test_show_reads_of_who_listens(weir, trio):
    wire = start(weir, trio, sections={"slow_query": {"query_stats": "on"}}).raw()
    wait_where(wire, trio.standbys)
    wire.query("LISTEN told", "SELECT 'listens', 1")
    row, = [row for row in weir.console("SHOW READS") if row["query"] == "SELECT ?, ?"]
    assert (row["calls"], row["tied"]) == (1, 1)


def test_without_a_primary_standbys_are_read(weir, trio):
    """Their connections are washed or closed after each use, as nobody tells what code has left in them: a read that finds none
    ready is told that no primary is there, and may ask again."""
    wire = start(weir, trio).raw()
    wait_pid_there(wire, trio.standbys)
    trio.stop(trio.primary, 2)
    answers, refusals = [], set()

    def have_read():
        try:
            answers.append(where(wire))
        except rawwire.QueryFailed as failed:
            refusals.add(failed.sqlstate)
        return len(answers) >= 20

    wait_until(have_read, what="twenty reads to be answered")
    assert set(answers) <= ports(trio.standbys) and refusals <= {"08001"}


def test_a_promoted_standby_is_no_standby(weir, trio):
    wire = start(weir, trio).raw()
    wait_where(wire, trio.standbys)
    new, other = trio.standbys
    trio.stop(trio.primary, 2)
    trio.promote(new)
    wait_until(lambda: all(where(wire) == other.port for _ in range(20)), what="the other standby")


def test_sessions_listeners_and_the_console_stay_where_they_are(weir, trio):
    start(weir, trio, sections={"user session": {"pool_mode": "session"}})
    trio.primary.query("DO $$ BEGIN CREATE ROLE session LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    wire, listener, session = weir.raw(), weir.raw(), weir.raw(user="session")
    wait_where(wire, trio.standbys)
    listener.query("LISTEN news")
    for _ in range(20):
        assert where(listener) == where(session) == trio.primary.port
    listener.query("UNLISTEN news")


def test_what_writes_is_refused_and_costs_no_server(weir, trio):
    wire = one_standby(weir, trio)
    pid = wait_pid_there(wire, trio.standbys)
    for _ in range(3):                      # it may be washed yet: then the primary answers, with another error
        wait_until(lambda: errors(wire.ask(rawwire.query("CREATE TABLE pg_catalog.nowhere (i int)")))[0].sqlstate == "25006")
    assert wait_pid_there(wire, trio.standbys) == pid


# --- sessions ---

def test_settings_follow_to_a_standby_and_back(weir, trio):
    start(weir, trio)
    trio.primary.query("DO $$ BEGIN CREATE ROLE reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$; "
                       "GRANT reader TO web; CREATE SCHEMA IF NOT EXISTS elsewhere; GRANT USAGE ON SCHEMA elsewhere TO reader")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    wire = weir.raw(parameters={"application_name": "wanderer"})
    shown = ("SELECT current_setting('TimeZone'), current_setting('search_path'), current_user, current_setting('DateStyle'), "
             "current_setting('application_name'), current_setting('my.own', true)")
    first = ["Asia/Tokyo", "elsewhere, public", "reader", "SQL, DMY", "wanderer", "7"]
    second = ["America/Lima", "public", "web", "ISO, MDY", "wanderer", "8"]
    wait_where(wire, trio.standbys)
    for sql in ("SET TimeZone = 'Asia/Tokyo'", "SET search_path = elsewhere, public", "SET ROLE reader",
                "SET DateStyle = 'SQL, DMY'", "SET my.own = 7"):
        wire.query(sql)
    assert wire.query(shown) == [first]
    wait_where(wire, trio.standbys)
    assert wire.query(shown) == [first]
    reload(weir, trio, reads="primary")
    assert wire.query(shown) == [first] and where(wire) == trio.primary.port
    for sql in ("SET TimeZone = 'America/Lima'", "SET search_path = public", "RESET ROLE", "RESET DateStyle", "SET my.own = 8"):
        wire.query(sql)
    reload(weir, trio, reads="prefer_standby")
    wait_where(wire, trio.standbys)
    assert wire.query(shown) == [second]
    wire.query("DISCARD ALL")
    reload(weir, trio, reads="primary")
    fresh = weir.raw(parameters={"application_name": "wanderer"})
    assert wire.query(shown) == fresh.query(shown)


LEAVES = [
    "SET search_path = nowhere", "SET TimeZone = 'Asia/Tokyo'", "SET ROLE reader", "SET my.own = 'secret'",
    "SELECT set_config('my.own', 'secret', false)", "DO $$ BEGIN PERFORM set_config('my.own', 'secret', false); END $$",
    "SELECT setseed(0.5)", "PREPARE mine AS SELECT 1; DEALLOCATE mine",
]


@pytest.mark.parametrize("sql", LEAVES)
def test_nothing_crosses_between_clients_of_a_standby_server(weir, trio, sql):
    trio.primary.query("DO $$ BEGIN CREATE ROLE reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT reader TO web")
    trio.wait_replayed(trio.standbys[0])
    first = one_standby(weir, trio)
    second = weir.raw()
    shown = ("SELECT current_setting('port')::int, current_setting('TimeZone'), current_setting('search_path'), current_user, "
             "coalesce(current_setting('my.own', true), ''), (SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine')")
    before = second.query(shown)[0][1:]

    def is_untouched(wire):
        """On whatever host; until it was the standby's, whose only server the other one has left."""
        while True:
            port, *found = wire.query(shown)[0]
            assert found == before, port
            if int(port) != trio.primary.port:
                return True
            time.sleep(0.01)                # it is washed yet

    wait_where(first, trio.standbys)
    first.query(sql)
    assert is_untouched(second)
    first.query("DISCARD ALL")
    assert is_untouched(first)


def test_a_session_lock_keeps_the_server_of_the_standby(weir, trio):
    wire = start(weir, trio).raw()
    wait_where(wire, trio.standbys)
    pid = wire.value("SELECT pg_advisory_lock(7)", "SELECT pg_backend_pid()")
    others = [weir.raw() for _ in range(3)]
    for _ in range(10):
        assert wire.value("SELECT pg_backend_pid()") == pid
        assert all(other.value("SELECT pg_backend_pid()") != pid for other in others)
    wire.query("SELECT pg_advisory_unlock(7)")


def test_who_asks_keeps_the_server_of_the_standby(weir, trio):
    """At its start, it asks for one of the primary's."""
    wire = start(weir, trio).raw()
    wait_where(wire, trio.standbys)
    port, pid = wire.query("SET pgweir.pin = on", PORT + ", pg_backend_pid()")[0]
    others = [weir.raw() for _ in range(3)]
    for _ in range(10):
        assert wire.query(PORT + ", pg_backend_pid()") == [[port, pid]]
        assert all(other.value("SELECT pg_backend_pid()") != pid for other in others)
    assert [where(weir.raw(parameters={"options": "-c pgweir.pin=on"})) for _ in range(2)] == [trio.primary.port] * 2


def test_prepared_statements_are_there_on_each_host(weir, trio):
    """psycopg: named ones, on the standbys and, when these lose their reads, on the primary. asyncpg: with Describe."""
    start(weir, trio)
    with psycopg.connect(weir.dsn(), autocommit=True, prepare_threshold=0) as connection:
        def found():
            return {connection.execute(PORT + " + %s", (i,)).fetchone()[0] - i for i in range(10)}

        wait_until(lambda: found() <= ports(trio.standbys), what="standbys")
        reload(weir, trio, reads="primary")
        assert found() == {trio.primary.port}
        reload(weir, trio, reads="prefer_standby")
        wait_until(lambda: found() <= ports(trio.standbys), what="standbys")

    async def several():
        import asyncpg
        pool = await asyncpg.create_pool(weir.dsn_of_asyncpg() if hasattr(weir, "dsn_of_asyncpg") else
                                         weir.url(scheme="postgresql", query="?sslmode=disable"), min_size=4, max_size=4)
        seen = set()
        for i in range(200):
            seen.add(await pool.fetchval(PORT + " + $1", i) - i)
            assert await pool.fetchval("SELECT $1::text || $2::int", "a", i) == f"a{i}"
        await pool.close()
        return seen

    assert asyncio.run(several()) & ports(trio.standbys)


def test_a_statement_of_a_changed_table_is_renewed_on_a_standby(weir, trio):
    trio.primary.query("DROP TABLE IF EXISTS wide; CREATE TABLE wide (a int); GRANT ALL ON wide TO web")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    wire = start(weir, trio).raw()
    wait_where(wire, trio.standbys)
    for _ in range(4):
        wire.extended("SELECT * FROM wide", name="s" if _ == 0 else "")
    wire.ask(rawwire.parse("mine", "SELECT * FROM wide"), rawwire.sync())
    use = (rawwire.bind("", "mine"), rawwire.describe("P"), rawwire.execute(), rawwire.sync())
    assert not errors(wire.ask(*use))
    trio.primary.query("ALTER TABLE wide ADD b int")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    for _ in range(4):
        found = errors(wire.ask(*use))
        assert not found or found[0].sqlstate == "0A000"    # as PostgreSQL's own answer to whoever knows its old rows


# --- operators ---

def test_a_reload_begins_and_ends_it(weir, trio):
    wire = start(weir, trio, reads="primary").raw()
    for _ in range(10):
        assert where(wire) == trio.primary.port
    for _ in range(2):
        reload(weir, trio, reads="prefer_standby")
        wait_where(wire, trio.standbys)
        reload(weir, trio, reads="primary")
        for _ in range(10):
            assert where(wire) == trio.primary.port
        wait_until(lambda: {row["port"] for row in weir.console("SHOW SERVERS")} <= {trio.primary.port},
                   what="the standbys' servers to be closed")
    reload(weir, trio, hosts=[trio.primary, trio.standbys[1]])
    wait_where(wire, [trio.standbys[1]])
    reload(weir, trio, hosts=[trio.primary, trio.standbys[0]])
    wait_where(wire, [trio.standbys[0]])
    wait_until(lambda: trio.standbys[1].port not in {row["port"] for row in weir.console("SHOW SERVERS")},
               what="the servers of a host that is gone to be closed")


def test_one_user_may_read_from_standbys_alone(weir, trio):
    start(weir, trio, reads="primary", sections={"user web": {"reads": "prefer_standby"}})
    trio.primary.query("DO $$ BEGIN CREATE ROLE other LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    wire, other = weir.raw(), weir.raw(user="other")
    wait_where(wire, trio.standbys)
    for _ in range(10):
        assert where(other) == trio.primary.port


def test_pause_resume_reconnect(weir, trio):
    wire = start(weir, trio).raw()
    wait_where(wire, trio.standbys)
    weir.console("PAUSE")
    wait_until(lambda: not [row for row in weir.console("SHOW SERVERS") if row["database"] == "app"], what="all servers to be closed")
    answer = weir.in_background(where, wire)
    wait_until(lambda: weir.pool()["cl_waiting"] == 1, what="a client that waits")
    weir.console("RESUME")
    assert answer.result() in ports(trio.hosts)
    wait_where(wire, trio.standbys)
    pids = {row["remote_pid"] for row in weir.console("SHOW SERVERS")}
    weir.console("RECONNECT")
    wait_until(lambda: not pids & {row["remote_pid"] for row in weir.console("SHOW SERVERS")}, what="new servers")
    wait_where(wire, trio.standbys)


@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers(weir, trio, workers):
    start(weir, trio, workers=workers, pool_size=12)
    wires = [weir.raw() for _ in range(8)]
    for wire in wires:
        wait_where(wire, trio.standbys)
    for wire in wires:
        assert wire.value("SET TimeZone = 'Asia/Tokyo'", "SHOW TimeZone") == "Asia/Tokyo"
    no_twins(weir)
    servers = [row for row in weir.console("SHOW SERVERS") if row["port"] in ports(trio.standbys)]
    for port in ports(trio.standbys):
        assert sum(row["port"] == port for row in servers) <= 12
    weir.console("RECONNECT")
    for wire in wires:
        wait_where(wire, trio.standbys)


def test_what_is_shown_has_the_standbys_servers_once(weir, trio):
    start(weir, trio)
    wires = [weir.raw() for _ in range(4)]
    for wire in wires:
        wait_where(wire, trio.standbys)

    def began():
        wires[0].query("BEGIN")
        return where(wires[0]) in ports(trio.standbys) or wires[0].query("COMMIT")

    wait_until(began, what="a block on a standby")
    weir.settle()
    no_twins(weir)
    servers = [row for row in weir.console("SHOW SERVERS") if row["database"] == "app"]
    assert ports(trio.standbys) & {row["port"] for row in servers}
    pool = weir.pool()
    assert sum(pool[key] for key in pool if key.startswith("sv_") and isinstance(pool[key], int)) == len(servers)
    assert pool["sv_active"] == 1
    assert weir.metric_now("pgweir_pool_server_connections", database="app", user="web") == len(servers)
    extended = [row for row in weir.console("SHOW POOLS_EXTENDED") if row["database"] == "app"]
    assert len(extended) == 1 and extended[0]["active"] == 1
    database = [row for row in weir.console("SHOW DATABASES") if row["name"] == "app"][0]
    assert database["current_connections"] == len(servers)
    wires[0].query("COMMIT")


def test_a_query_on_a_standby_is_cancelled(weir, trio):
    start(weir, trio)
    connection = weir.connect(autocommit=True)
    wait_until(lambda: connection.execute(PORT).fetchone()[0] in ports(trio.standbys), what="a standby")
    sleep = "SELECT pg_sleep(CASE WHEN pg_is_in_recovery() THEN 60 ELSE 0 END)"

    def runs():
        running = weir.in_background(connection.execute, sleep)
        wait_until(lambda: running.done() or any(standby.count(query=sleep, state="active") for standby in trio.standbys))
        return not running.done() and running

    running = wait_until(runs, what="it to run on a standby")
    connection.cancel()
    with pytest.raises(psycopg.errors.QueryCanceled):
        running.result(PATIENCE)
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_query_timeout_holds_on_a_standby(weir, trio):
    wire = start(weir, trio, query_timeout="500ms").raw()
    wait_where(wire, trio.standbys)
    found = errors(wire.ask(rawwire.query("SELECT pg_sleep(60)")))
    assert found and found[0].sqlstate == "57014"
    wait_where(wire, trio.standbys)


def test_commits_are_checked_on_the_primary_alone(weir, trio):
    """What would be asked ahead of a COMMIT fails on a standby."""
    start(weir, trio, commit_check="on")
    trio.primary.query("DROP TABLE IF EXISTS kept; CREATE TABLE kept (i int); GRANT ALL ON kept TO web")
    wire, writer = weir.raw(), weir.raw(database="app2")
    for i in range(5):
        wait_where(wire, trio.standbys)
        assert wire.value("BEGIN", "SELECT 7") == "7"
        assert wire.ask(rawwire.query("COMMIT"))[-2].tag == "COMMIT"
        writer.query("BEGIN", f"INSERT INTO kept VALUES ({i})", "COMMIT")
    assert trio.primary.value("SELECT count(*) FROM kept") == 5


def test_the_primary_is_asked_what_code_could_leave_behind(weir, trio):
    """A standby has not heard of it yet, though it is the only one in use: its answer would be wrong for the primary."""
    trio.primary.query("DROP FUNCTION IF EXISTS leave(); GRANT CREATE ON SCHEMA public TO web")
    wire = start(weir, trio, hosts=[trio.primary, trio.standbys[0]], idle_timeout="1s", reads_max_lag="1h").raw()
    wait_where(wire, trio.standbys)
    wait_until(lambda: where(wire) and trio.primary.port not in
               {row["port"] for row in weir.console("SHOW SERVERS") if row["database"] == "app"}, what="nobody on the primary")
    trio.pause(trio.standbys[0])
    maker = weir.raw(database="app2")
    maker.query("CREATE FUNCTION leave() RETURNS text LANGUAGE sql AS $$ SELECT set_config('my.own', 'secret', false) $$")
    first, second = weir.raw(database="app2"), weir.raw(database="app2")
    until = time.monotonic() + 3
    while time.monotonic() < until:
        where(wire)
        first.query("SELECT leave()")
        assert second.value("SELECT coalesce(current_setting('my.own', true), '')") == ""
    trio.resume(trio.standbys[0])
    trio.wait_replayed(trio.standbys[0])
    wait_where(wire, trio.standbys)
    other = weir.raw()
    for _ in range(20):
        wire.query("SELECT leave()")
        wait_where(other, trio.standbys)
        assert other.value("SELECT coalesce(current_setting('my.own', true), '')") == ""


def test_everybody_keeps_what_is_his_while_all_goes_up_and_down(weir, trio):
    """Standbys crash and come back, operators reload and reconnect; each client sees its own settings, or is told."""
    start(weir, trio, pool_size=4, workers=2)
    stop, lost, done, wrong = threading.Event(), [], [], []

    def client(number):
        wire = None
        while not stop.is_set():
            try:
                if wire is None:
                    wire = weir.raw()
                    wire.query(f"SET my.own = {number}")
                wire.query("BEGIN")
                if wire.value("SHOW my.own") != str(number):
                    wrong.append(number)
                wire.query("COMMIT")
                if wire.extended("SELECT current_setting('my.own') || $1::text", ("x",))[0][0] != f"{number}x":
                    wrong.append(number)
                done.append(number)
            except Exception as error:  # pylint: disable=broad-except
                lost.append(str(error))
                wire = None
                time.sleep(0.01)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(12)]
    each(threads).start()
    first, second = trio.standbys
    for standby in (first, second, first):
        trio.crash(standby)
        weir.console("RECONNECT")
        reload(weir, trio, pool_size=3, workers=2)
        trio.start(standby)
        reload(weir, trio, reads="primary", pool_size=4, workers=2)
        reload(weir, trio, pool_size=4, workers=2)
        count = len(done)
        wait_until(lambda: len(done) > count + 200, what="requests to be answered")     # pylint: disable=cell-var-from-loop
    stop.set()
    each(threads).join()
    assert not wrong and len(lost) < 100, (wrong[:5], lost[:5])
    wait_until(lambda: all(row["state"] != "active" for row in weir.console("SHOW SERVERS") if row["database"] == "app"),
               what="all servers to be given back")
    no_twins(weir)
    wire = weir.raw()
    wait_where(wire, trio.standbys)
