"""The console as PgBouncer's: DISABLE, SUSPEND, the ways to stop, what its tools read by position."""

import signal

import psycopg
import pytest

import rawwire
import transport
from rawwire import BEGIN_NOW, errors, query, shape, texts
from waiting import SLOWNESS, each, wait_until
from weir import timed

pytestmark = pytest.mark.weir_only


def state(weir):
    return {row["key"]: row["value"] for row in weir.console("SHOW STATE")}


def database(weir, name="app"):
    return {row["name"]: row for row in weir.console("SHOW DATABASES")}[name]


def told(wire):
    """The last error it gets before it is closed."""
    return errors(wire.read_to_end())[-1]


# --- DISABLE, ENABLE ---

def test_a_disabled_database_lets_nobody_new_in_and_keeps_those_it_has(weir):
    inside = weir.start().raw()
    weir.console("DISABLE app")
    assert database(weir)["disabled"] == 1 and database(weir, "app2")["disabled"] == 0
    with pytest.raises(rawwire.LoginRefused, match='database "app" is disabled') as refused:
        weir.raw()
    assert refused.value.sqlstate == "55000" and refused.value.reply.severity == "FATAL"
    assert inside.query("SELECT 'still here'") == [["still here"]]
    assert weir.raw(database="app2").value("SELECT 1") == "1"
    weir.console("ENABLE app")
    assert database(weir)["disabled"] == 0
    assert weir.raw().value("SELECT 1") == "1"


def test_a_database_nobody_has_used_can_be_disabled_and_paused(weir):
    weir.start(sections={"database *": {"upstream": weir.upstream()}})
    weir.console("DISABLE app2")
    weir.console("PAUSE app")
    with pytest.raises(rawwire.LoginRefused, match="is disabled"):
        weir.raw(database="app2")
    login = weir.in_background(weir.raw)    # the first one's waits for a server
    weir.wait_waiting(1)
    weir.console("RESUME app")
    assert login.result().value("SELECT 1") == "1"


def test_disable_survives_a_reload_and_names_one_database(weir):
    weir.start()
    weir.console("DISABLE app")
    weir.reload(pool_size=3)
    assert database(weir)["disabled"] == 1
    with weir.raw("admin", "pgweir") as wire:
        for command, sqlstate in (("DISABLE", "42601"), ("ENABLE", "42601"), ("DISABLE nowhere", "3D000")):
            assert errors(wire.ask(query(command)))[0].sqlstate == sqlstate


# --- SUSPEND ---

def test_suspend_reads_nothing_more_and_resume_goes_on(weir):
    idle, running = weir.start(query_timeout="1s").raw(), weir.raw()
    idle.query("SELECT 1")
    running.send(query("SELECT pg_sleep(0.5), 'done'"))
    wait_until(lambda: weir.pool()["sv_active"] == 1)
    console = weir.raw("admin", "pgweir")
    assert shape(console.ask(query("SUSPEND"))) == "C:SUSPEND Z:I"
    assert state(weir)["suspended"] == "yes" and state(weir)["active"] == "no"
    idle.send(query("SELECT 'held'"))
    wait_until(lambda: not weir.postgres.backends(wait_event="PgSleep"), what="PostgreSQL to be done")
    assert idle.has_nothing_more(1.2) and running.has_nothing_more(0)
    newcomer = weir.raw()
    newcomer.send(query("SELECT 'new'"))
    assert newcomer.has_nothing_more(0.2)
    assert shape(console.ask(query("RESUME"))) == "C:RESUME Z:I"
    assert texts(idle.read_until("Z")) == [["held"]]
    assert texts(running.read_until("Z"))[-1][-1] == "done"
    assert texts(newcomer.read_until("Z")) == [["new"]]
    assert state(weir)["suspended"] == "no"


def test_time_in_a_queue_begins_anew_with_the_resume(weir):
    """The server's end of its query was not read meanwhile, so nobody could have been served."""
    weir.start(pool_size=1, max_overflow=0, pool_timeout="1s")
    running, waiting, console = weir.raw(), weir.raw(), weir.raw("admin", "pgweir")
    running.send(query("SELECT pg_sleep(0.3)"))
    wait_until(lambda: weir.pool()["sv_active"] == 1)
    waiting.send(query("SELECT 'served'"))
    wait_until(lambda: weir.pool()["cl_waiting"] == 1)
    console.query("SUSPEND")
    assert waiting.has_nothing_more(1.2)
    console.query("RESUME")
    assert texts(waiting.read_until("Z")) == [["served"]]


def test_suspend_answers_when_what_was_read_is_sent(weir):
    slow = weir.start().raw()
    slow.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 40)"))
    wait_until(lambda: any(int(row["send_remain"]) > 0 for row in weir.console("SHOW SOCKETS")), what="bytes to pile up")
    console = weir.raw("admin", "pgweir")
    console.send(query("SUSPEND"))
    wait_until(lambda: state(weir)["suspended"] == "yes")
    assert console.has_nothing_more(0.3)
    reading = weir.in_background(slow.read_until, "Z")
    assert shape(console.read_until("Z")) == "C:SUSPEND Z:I"
    assert not reading.done()
    console.query("RESUME")
    assert shape(reading.result()).endswith("C:SELECT 40 Z:I")


@pytest.mark.parametrize("by", ["the last console client's end", "SIGUSR2"])
def test_a_suspend_ends(weir, by):
    client, console = weir.start().raw(), weir.raw("admin", "pgweir")
    client.query("SELECT 1")
    console.query("SUSPEND")
    client.send(query("SELECT 2"))
    assert client.has_nothing_more(0.2)
    if by == "SIGUSR2":
        weir.signal(signal.SIGUSR2)
    else:
        console.close()
        weir.wait_log("without ending its SUSPEND")
    assert texts(client.read_until("Z")) == [["2"]]


def test_a_suspend_outlives_the_one_who_asked_for_it_and_newcomers_can_end_it(weir):
    client, other, console = weir.start().raw(), weir.raw("admin", "pgweir"), weir.raw("admin", "pgweir")
    other.query("SHOW STATE")
    client.query("SELECT 1")
    console.query("SUSPEND")
    console.close()
    client.send(query("SELECT 2"))
    assert client.has_nothing_more(0.3) and dict(other.query("SHOW STATE"))["suspended"] == "yes"
    newcomer = weir.raw("admin", "pgweir")
    assert dict(newcomer.query("SHOW STATE"))["suspended"] == "yes"
    newcomer.query("RESUME")
    assert texts(client.read_until("Z")) == [["2"]]


# --- RECONNECT and server_fast_close ---

@pytest.mark.parametrize("fast", ["off", "on"])
def test_reconnect_and_a_session(weir, fast):
    idle, busy = weir.start(pool_mode="session", server_fast_close=fast).raw(), weir.raw()
    pid = idle.value("SELECT pg_backend_pid()")
    busy.query(BEGIN_NOW)
    weir.console("RECONNECT app")
    assert busy.value("SELECT 'still here'") == "still here"
    if fast == "off":
        assert idle.has_nothing_more(0.5) and idle.value("SELECT pg_backend_pid()") == pid
    else:
        assert told(idle).sqlstate == "57P01"
        assert busy.has_nothing_more(0.5)
    busy.send(query("COMMIT"))
    assert shape(busy.read_until("Z")) == "C:COMMIT Z:I"
    if fast == "on":
        assert told(busy).sqlstate == "57P01"
    assert weir.raw().value("SELECT 1") == "1"


# --- numbers ---

def test_clients_and_servers_are_numbered_together(weir):
    weir.start()
    wires = [weir.raw() for _ in range(3)]
    each(wires).query(BEGIN_NOW)
    rows = weir.console("SHOW SOCKETS")
    ids = [row["id"] for row in rows]
    assert {row["type"] for row in rows} == {"C", "S"} and len(set(ids)) == len(ids) == 7


# --- what goes to the log and to clients ---

def test_a_notice_at_login(weir):
    text = "maintenance tonight at ten; " * 20
    weir.start(login_notify_message=text.strip())
    (notice,) = [reply for reply in weir.raw().login_replies if reply.type == "N"]
    assert notice.error["M"] == text.strip() and notice.severity == "NOTICE" and notice.sqlstate == "00000"
    weir.reload(login_notify_message="")
    assert not [reply for reply in weir.raw().login_replies if reply.type == "N"]


@pytest.mark.reloads("log.stats_interval")
def test_a_line_with_what_goes_through(weir):
    wire = weir.start(stats_interval="200ms").raw()

    def told_of_queries():
        wire.query("SELECT 1")
        lines = [line for line in weir.log().splitlines() if "stats: " in line]
        return any(" 0 queries/s" not in line and " 0 B/s" not in line for line in lines)
    wait_until(told_of_queries)
    assert " binds/s, 0 client logins/s, in " in weir.log()
    weir.reload(stats_interval="200ms", compat="pgbouncer_1_25")
    wait_until(lambda: " binds/s, in " in weir.log())
    weir.reload(stats_interval="0s")
    count = weir.log().count("stats: ")
    wire.query("SELECT pg_sleep(0.5)")
    assert weir.log().count("stats: ") == count


@pytest.mark.parametrize("compat", ["none", "pgbouncer", "pgbouncer_1_25", "pgbouncer_next"])
def test_a_login_is_told_and_the_console_knows_what_that_pgbouncer_has(weir, compat):
    """1.26.1 reports itself, and has no SUSPEND, as it was found by trying."""
    is_new = compat in ("pgbouncer", "pgbouncer_next")
    weir.start(compat=compat, prepared_statements=77, sections={"user web": {"pool_mode": "session"}})
    with weir.raw() as wire, weir.raw("admin", "pgbouncer") as console:
        told = {name: value for name, value in wire.parameters.items() if name.startswith("pgbouncer.")}
        assert told == ({"pgbouncer.version": "1.26.1", "pgbouncer.pool_mode": "session",
                         "pgbouncer.max_prepared_statements": "77"} if is_new else {})
        assert console.parameters.get("pgbouncer.version") == ("1.26.1" if is_new else None)
        assert ("suspended" in dict(console.query("SHOW STATE"))) != is_new
        for command in ("SHOW FDS", "SUSPEND"):
            found = [e.error for e in errors(console.ask(query(command)))]
            if command == "SUSPEND" and not is_new:
                assert not found
                console.query("RESUME")
            elif compat == "none":
                assert found[0]["C"] == "0A000"
            else:
                assert found[0]["C"] == "08P01" and found[0]["M"] == f"invalid command '{command}', use SHOW HELP;"


# --- SHUTDOWN ---

def test_shutdown_wait_for_clients_waits_for_the_last_to_leave(weir):
    socket_path = weir.directory / ".s.PGSQL.6432"
    client = weir.start(sections={"pgweir": {"listen": [f"{weir.host}:{weir.port}", f"unix:{socket_path}"]}},
                        shutdown_timeout="1s").raw()
    client.query("SELECT 1")
    weir.console("SHUTDOWN WAIT_FOR_CLIENTS")
    with pytest.raises((OSError, rawwire.WireClosed)):          # refused, or reset if it was in the queue already
        weir.raw()
    with pytest.raises(rawwire.LoginRefused, match="shutting down"):
        weir.keep(rawwire.Wire(str(socket_path))).login("web", "app")
    console = weir.keep(rawwire.Wire(str(socket_path))).login("admin", "pgweir")
    assert dict(console.query("SHOW STATE"))["shutting_down"] == "yes"
    for _ in range(3):
        assert client.query("SELECT pg_sleep(0.5), 'still here'") == [["", "still here"]]
    assert weir.process.poll() is None
    client.close()
    assert weir.wait_exit(5) == 0
    assert not socket_path.exists()


def test_shutdown_wait_for_servers_waits_for_transactions_only(weir):
    idle, busy = weir.start(shutdown_timeout="20s").raw(), weir.raw()
    idle.query("SELECT 1")
    busy.query(BEGIN_NOW)
    weir.console("SHUTDOWN WAIT_FOR_SERVERS")
    assert told(idle).sqlstate == "57P01"
    assert busy.query("SELECT 'still here'") == [["still here"]]
    busy.query("COMMIT")
    assert told(busy).sqlstate == "57P01"
    assert weir.wait_exit(5) == 0


def test_a_more_determined_shutdown_takes_over(weir):
    idle, busy = weir.start(shutdown_timeout="20s").raw(), weir.raw()
    idle.query("SELECT 1")
    busy.query(BEGIN_NOW)
    weir.console("SHUTDOWN WAIT_FOR_CLIENTS")
    assert idle.query("SELECT 1") == [["1"]]
    weir.signal(signal.SIGTERM)
    assert told(idle).sqlstate == "57P01"
    assert busy.query("SELECT 'still here'") == [["still here"]]
    weir.signal(signal.SIGTERM)
    _, seconds = timed(lambda: weir.wait_exit(6))
    assert seconds < 5 * SLOWNESS


@pytest.mark.parametrize("compat", ["none", "pgbouncer"])
def test_a_shutdown_that_waits_for_clients_takes_over(weir, compat):
    """As with PgBouncer, the console never ends at once what another shutdown waits for."""
    socket_path = weir.directory / ".s.PGSQL.6432"
    weir.start(sections={"pgweir": {"listen": [f"{weir.host}:{weir.port}", f"unix:{socket_path}"], "compat": compat}},
               shutdown_timeout="1h")
    busy = weir.raw()
    busy.query(BEGIN_NOW)
    weir.signal(signal.SIGTERM)
    wait_until(lambda: "no new clients" in weir.log())
    for shutdown in ("SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN WAIT_FOR_SERVERS", "SHUTDOWN WAIT_FOR_CLIENTS",
                     "SHUTDOWN WAIT_FOR_CLIENTS"):
        console = weir.keep(rawwire.Wire(str(socket_path))).login("admin", "pgweir")
        console.query(shutdown)
        console.close()
        assert busy.query("SELECT 'still here'") == [["still here"]]
    busy.query("COMMIT")
    assert busy.query("SELECT 'still here'") == [["still here"]]
    busy.close()
    assert weir.wait_exit(5) == 0


def test_a_reload_while_it_stops_opens_no_listener_again(weir):
    client = weir.start().raw()
    weir.console("SHUTDOWN WAIT_FOR_CLIENTS")
    weir.reload(pool_size=3)
    with pytest.raises(OSError):
        weir.raw()
    assert client.query("SELECT 1") == [["1"]]
    client.close()
    assert weir.wait_exit(5) == 0


# --- SET ---

def setting(weir, key):
    return {row["key"]: row["value"] for row in weir.console("SHOW CONFIG")}[key]


SETTINGS = [
    # what is said, where it shows, its value there
    ("pool.pool_size = 7", "pool.pool_size", "7"),
    ("pool_size = 7", "pool.pool_size", "7"),
    ("default_pool_size = 7", "pool.pool_size", "7"),
    ("max_client_conn TO 55", "pgweir.max_client_connections", "55"),
    ("timeouts.query_timeout = 5s", "timeouts.query_timeout", "5s"),
    ("query_timeout = '5s'", "timeouts.query_timeout", "5s"),
    ("query_timeout = 5", "timeouts.query_timeout", "5s"),
    ("reserve_pool_timeout = 1.5", "pool.overflow_delay", "1500ms"),
    ("pool_mode = session", "pgweir.pool_mode", "session"),
    ("max_prepared_statements = 0", "pool.prepared_statements", "0"),
    ("log_connections = 1", "log.connections", "on"),
    ("admin_users = 'admin, web'", "auth.admin_users", "admin,web"),
    ("server_tls_sslmode = 'disable'", "tls_server.mode", "off"),
    ("log.level = debug", "log.level", "debug"),
]


@pytest.mark.parametrize("said, key, value", SETTINGS)
def test_set_does_what_it_says_until_the_next_reload(weir, said, key, value):
    weir.start()
    before = setting(weir, key)
    assert before != value
    with weir.raw("admin", "pgweir") as console:
        assert shape(console.ask(query(f"SET {said}"))) == "C:SET Z:I"
        assert setting(weir, key) == value
        console.query("RELOAD")
    assert setting(weir, key) == before


def test_what_is_set_is_used_and_adds_up(weir):
    holder, waiter = weir.start(pool_size=1, session_state="allow").raw(), weir.raw()
    holder.query(BEGIN_NOW)
    waiter.send(query("SELECT 'served'"))
    weir.wait_waiting(1)
    weir.console("SET pool.pool_size = 2")
    assert texts(waiter.read_until("Z")) == [["served"]]
    weir.console("SET query_timeout = 1")
    assert weir.pool()["sv_active"] + weir.pool()["sv_idle"] == 2
    waiter.send(query("SELECT pg_sleep(60)"))
    assert [reply.sqlstate for reply in waiter.read_until("Z") if reply.type == "E"] == ["57014"]
    weir.console("SET pool.pool_size = DEFAULT")
    assert setting(weir, "pool.pool_size") == "1" and setting(weir, "timeouts.query_timeout") == "1s"


REFUSED = [
    ("pool.pool_size = many", "22023", "a whole number"),
    ("default_pool_size = many", "22023", "pool_size"),
    ("pool.pool_size = 0", "22023", "from 1 to"),
    ("max_client_conn = -5", "22023", "from 1 to 1000000"),
    ("default_pool_size = -1", "22023", "from 0 to 100000"),
    ("max_prepared_statements = 200000", "22023", "from 0 to 100000"),
    ("query_wait_timeout = 100000", "22023", "from 0s to 1d"),
    ("tcp_keepcnt = 3", "55P02", "cannot be changed"),
    ("verbose = 1", "0A000", "no single setting"),
    ("pool.pool_sise = 7", "42704", "unrecognized"),
    ("pol.pool_size = 7", "42704", "unrecognized"),
    ("no_such_thing = 7", "42704", "unrecognized"),
    ("mode = off", "42704", "unrecognized"),            # of the TLS of clients, or of servers
    ("listen_port = 7", "55P02", "cannot be changed"),
    ("pgweir.listen = '127.0.0.1:1'", "55P02", "cannot be changed"),
    ("pidfile = '/nowhere'", "55P02", "cannot be changed"),
    ("job_name = other", "0A000", "no single setting"),
    ("auth.method = hba", "22023", "hba_file"),
    # values that were valid if cut at 255 bytes, or at 24 words and signs
    (f"exempt_addresses = '{','.join(['100.101.100.101'] * 17)}'", "42601", "too long"),
    (f"login_notify_message = '{'x' * 255}y'", "42601", "too long"),
    ("admin_users = admin, a, b, c, d, e, f, g, h, i, j, k", "42601", "too long"),
]


@pytest.mark.parametrize("said, sqlstate, words", REFUSED)
def test_set_is_refused_rather_than_without_effect(weir, said, sqlstate, words):
    weir.start()
    before = weir.console("SHOW CONFIG")
    with weir.raw("admin", "pgweir") as console:
        error = errors(console.ask(query(f"SET {said}")))[0]
        assert error.sqlstate == sqlstate and words in error.error["M"]
    assert weir.console("SHOW CONFIG") == before
    assert weir.raw().value("SELECT 1") == "1"


def test_a_refused_set_leaves_those_before_it(weir):
    weir.start()
    weir.console("SET pool.pool_size = 7")
    with weir.raw("admin", "pgweir") as console:
        assert errors(console.ask(query("SET pool.max_overflow = no")))
        assert shape(console.ask(query("SET pool.min_idle = 1"))) == "C:SET Z:I"
    assert setting(weir, "pool.pool_size") == "7" and setting(weir, "pool.min_idle") == "1"


def test_a_bad_reload_leaves_what_was_set(weir):
    weir.start()
    weir.console("SET pool.pool_size = 7")
    good = weir.ini.read_text()
    weir.ini.write_text(good + "[pool]\npool_sise = 4\n")
    with weir.raw("admin", "pgweir") as console:
        assert errors(console.ask(query("RELOAD")))
    assert setting(weir, "pool.pool_size") == "7"
    weir.ini.write_text(good)
    weir.console("RELOAD")
    assert setting(weir, "pool.pool_size") != "7"


@pytest.mark.skipif(transport.IS_TLS, reason="begins without TLS")
def test_tls_can_be_set_one_by_one(weir):
    made = transport.material()
    weir.start(sections={"tls_client": {"mode": "off", "certificate_file": "", "key_file": ""}})
    with weir.raw("admin", "pgweir") as console:
        replies = console.ask(query(f"SET client_tls_key_file = '{made.key}'"))
        assert [reply.type for reply in replies] == ["N", "C", "Z"] and "must be set together" in replies[0].error["M"]
        assert shape(console.ask(query(f"SET client_tls_cert_file = '{made.certificate}'"))) == "C:SET Z:I"
        assert shape(console.ask(query("SET client_tls_sslmode = require"))) == "C:SET Z:I"
        assert errors(console.ask(query("SET client_tls_sslmode = perhaps")))[0].sqlstate == "22023"
    with psycopg.connect(weir.dsn(sslmode="require"), autocommit=True) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_set_needs_an_admin_and_drivers_may_still_set_what_is_postgresqls(weir):
    with weir.start().raw("stats", "pgweir") as console:
        assert errors(console.ask(query("SET pool.pool_size = 7")))[0].sqlstate == "42501"
        for harmless in ("statement_timeout = '5s'", "lock_timeout = 0", "SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                         "application_name = 'x'", "TIME ZONE 'UTC'"):
            assert shape(console.ask(query(f"SET {harmless}"))) == "C:SET Z:I"


def test_logins_and_the_consoles_commands_are_counted(weir):
    weir.start()
    for _ in range(3):
        with weir.raw() as wire:
            wire.query("SELECT 1")
    before, after = [{row["name"]: int(row["value"]) for row in weir.console("SHOW TOTALS")} for _ in range(2)]
    assert before["total_client_login_count"] >= 3 + 1
    for name in "total_xact_count", "total_query_count":
        assert before[name] >= 3 + 1 and after[name] == before[name] + 1, name


def test_stats_count_named_statements_alone(weir):
    """As PgBouncer does: who watches them sees how often statements are used again."""
    weir.start(pool_size=1)

    def counts():
        row = {row["database"]: row for row in weir.console("SHOW STATS")}["app"]
        return [row[f"total_{what}_count"] for what in ("client_parse", "server_parse", "bind")]
    with weir.raw() as first, weir.raw() as second:
        for _ in range(3):
            first.extended("SELECT $1::int", [1])
        assert counts() == [0, 0, 0]
        first.extended("SELECT 36", name="s")
        for _ in range(2):
            first.ask(rawwire.bind(statement="s"), rawwire.execute(), rawwire.sync())
        assert counts() == [1, 1, 3]
        weir.reload(pool_size=2)
        second.query(BEGIN_NOW)           # has the only server so far, where the statement is
        first.ask(rawwire.bind(statement="s"), rawwire.execute(), rawwire.sync())
        assert counts() == [1, 2, 4]
        second.extended("SELECT 36", name="other")
        second.query("COMMIT")
        assert counts() == [2, 2, 5]
