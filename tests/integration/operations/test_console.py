"""The console: databases pgweir and pgbouncer, PgBouncer's columns, commands, and who may do what."""

import re
import threading
import time
from contextlib import suppress

import psycopg2
import psycopg2.extras
import pytest

import rawwire
from fakeserver import auth
from rawwire import BEGIN_NOW, errors, query, shape, sync, texts
from waiting import SLOWNESS, each, wait_until
from weir import WORKERS, timed

pytestmark = pytest.mark.weir_only

INT4, INT8, TEXT, NUMERIC = 23, 20, 25, 1700


def columns(text):
    """"name type ..." as a list of pairs; a bare name is text."""
    kinds = {"i": INT4, "q": INT8, "N": NUMERIC}
    found = []
    for word in text.split(","):
        name, _, kind = word.strip().partition(" ")
        found.append((name, kinds.get(kind, TEXT)))
    return found


SOCKET = ("type,user,database,replication,state,addr,port i,local_addr,local_port i,connect_time,request_time,wait i,"
          "wait_us i,close_needed i,ptr,link,remote_pid i,tls,application_name,prepared_statements i,id i")
QUEUES = ",recv_pos i,pkt_pos i,pkt_remain i,send_pos i,send_remain i,pkt_avail i,send_avail i"
WORKER = ",worker i" if WORKERS > 1 else ""     # PgBouncer's rows are as wide as with one worker
COLUMNS = {
    "POOLS": "database,user,cl_active i,cl_waiting i,cl_active_cancel_req i,cl_waiting_cancel_req i,sv_active i,"
             "sv_active_cancel i,sv_being_canceled i,sv_idle i,sv_used i,sv_tested i,sv_login i,maxwait i,maxwait_us i,"
             "pool_mode,load_balance_hosts",
    "STATS": "database,total_server_assignment_count N,total_xact_count N,total_query_count N,total_received N,"
             "total_sent N,total_xact_time N,total_query_time N,total_wait_time N,total_client_parse_count N,"
             "total_server_parse_count N,total_bind_count N,total_client_login_count N,avg_server_assignment_count N,"
             "avg_xact_count N,avg_query_count N,avg_recv N,avg_sent N,avg_xact_time N,avg_query_time N,"
             "avg_wait_time N,avg_client_parse_count N,avg_server_parse_count N,avg_bind_count N,avg_client_login_count N",
    "STATS_TOTALS": "database,server_assignment_count N,xact_count N,query_count N,bytes_received N,bytes_sent N,"
                    "xact_time N,query_time N,wait_time N,client_parse_count N,server_parse_count N,bind_count N,client_login_count N",
    "STATS_AVERAGES": "database,server_assignment_count N,xact_count N,query_count N,bytes_received N,bytes_sent N,"
                      "xact_time N,query_time N,wait_time N,avg_client_parse_count N,avg_server_parse_count N,"
                      "avg_bind_count N,avg_client_login_count N",
    "TOTALS": "name,value N",
    "DATABASES": "name,host,port i,database,force_user,pool_size i,min_pool_size i,reserve_pool_size i,"
                 "server_lifetime i,pool_mode,load_balance_hosts,max_connections i,current_connections i,"
                 "max_client_connections i,current_client_connections i,paused i,disabled i",
    "CLIENTS": SOCKET + WORKER,
    "SERVERS": SOCKET + WORKER,
    "SOCKETS": SOCKET + QUEUES + WORKER,
    "ACTIVE_SOCKETS": SOCKET + QUEUES + WORKER,
    "LISTS": "list,items i",
    "STATE": "key,value",
    "VERSION": "version",
    "MEM": "name,size i,used i,free i,memtotal i",
    "DNS_HOSTS": "hostname,ttl q,addrs",
    "DNS_ZONES": "zonename,serial q,count i",
    "PEERS": "peer_id i,host,port i,pool_size i",
    "PEER_POOLS": "peer_id i,cl_active_cancel_req i,cl_waiting_cancel_req i,sv_active_cancel i,sv_login i",
    "CONFIG": "key,value,default,changeable",
    "USERS": "name,pool_size,reserve_pool_size,pool_mode,max_user_connections i,current_connections i,"
             "max_user_client_connections i,current_client_connections i",
}
# Where PgBouncer has an int4 that would run over on a busy proxy after some days.
LENIENT = {"id"}


def described(replies):
    """(name, type) of a RowDescription."""
    body = [reply for reply in replies if reply.type == "T"][0].body
    at, found = 2, []
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(b"\0", at)
        found.append((body[at:end].decode(), int.from_bytes(body[end + 7:end + 11], "big")))
        at = end + 19
    return found


def busy(weir):
    """Some traffic, so that there is something to show."""
    with weir.raw() as wire:
        wire.query("SELECT 1")
        wire.extended("SELECT $1::int", [1], name="s")
    return weir.raw(parameters={"application_name": "an app"})


# --- what it shows ---

@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("what", COLUMNS)
@pytest.mark.parametrize("database", ["pgweir", "pgbouncer"])
def test_columns_are_pgbouncers_own_in_name_order_and_type(weir, what, database):
    weir.start()
    keep = busy(weir)
    with weir.raw("admin", database) as wire:
        replies = wire.ask(query(f"SHOW {what}"))
        assert shape(replies).endswith("C:SHOW Z:I") and "E" not in [reply.type for reply in replies]
        found, wanted = described(replies), columns(COLUMNS[what])
        assert [name for name, _ in found] == [name for name, _ in wanted]
        for (name, kind), (_, right) in zip(found, wanted):
            if name not in LENIENT:
                assert kind == right, f"{name}: type {kind}, not {right}"
        for row in texts(replies):
            for (name, kind), value in zip(found, row):
                assert kind not in (INT4, INT8) or value is None or value.lstrip("-").isdigit(), (name, value)
    keep.close()


@pytest.mark.parametrize("what", ["STATS", "STATS_TOTALS", "STATS_AVERAGES"])
def test_columns_of_the_older_pgbouncer_are_for_who_asks_for_them(weir, what):
    with weir.start(compat="pgbouncer").raw() as one, weir.raw() as two, weir.raw("admin", "pgbouncer") as wire:
        one.query("SELECT 1")
        two.query("SELECT 1")
        for compat, version in (("pgbouncer", "1.26.1"), ("pgbouncer_next", "1.26.1"), ("pgbouncer_1_25", "1.25.2")):
            weir.reload(compat=compat)
            replies = wire.ask(query(f"SHOW {what}"))
            wanted = COLUMNS[what] if version == "1.26.1" else re.sub(r",\w*client_login_count N", "", COLUMNS[what])
            assert described(replies) == columns(wanted), compat
            row = next(dict(zip([name for name, _ in described(replies)], row)) for row in texts(replies) if row[0] == "app")
            assert row.get("total_client_login_count", row.get("client_login_count", "2")) == "2"
            assert texts(wire.ask(query("SHOW VERSION"))) == [[f"PgBouncer {version}"]]


def test_show_pools_counts(weir):
    holder, waiter = weir.start(pool_size=1).raw(), weir.raw()
    holder.query(BEGIN_NOW)
    waiter.send(query("SELECT 1"))
    weir.wait_waiting(1)
    wait_until(lambda: weir.pool()["maxwait_us"] > 0)
    row = weir.pool()
    assert (row["cl_active"], row["cl_waiting"], row["sv_active"], row["sv_idle"]) == (1, 1, 1, 0)
    assert row["pool_mode"] == "transaction"
    holder.query("COMMIT")
    waiter.read_until("Z")
    row = wait_until(lambda: weir.pool() if weir.pool()["cl_waiting"] == 0 else None)
    assert (row["sv_active"], row["sv_idle"], row["maxwait"]) == (0, 1, 0)


def test_show_stats_counts(weir):
    with weir.start(pool_size=2).raw() as wire:
        for _ in range(10):
            wire.query("SELECT pg_sleep(0.01)")
        wire.query(BEGIN_NOW)
        wire.extended("SELECT $1::int", [1], name="s")
        wire.query("COMMIT")

    def row():
        return {row["database"]: row for row in weir.console("SHOW STATS")}["app"]
    wait_until(lambda: row()["total_query_count"] >= 13)
    now = row()
    assert now["total_xact_count"] == 11 and now["total_query_count"] == 13
    assert now["total_query_time"] >= 100_000 and now["total_xact_time"] >= 100_000
    assert now["total_received"] > 0 and now["total_sent"] > 0
    assert now["total_server_assignment_count"] in (11, 12)          # the login may have one, too
    assert now["total_client_parse_count"] == 1 and now["total_bind_count"] == 1
    with weir.raw() as wire:
        wire.query("SELECT 1")
    later = row()
    assert all(later[key] >= now[key] for key in now if key.startswith("total_"))


def test_show_databases(weir):
    weir.start(sections={"database other": {"upstream": weir.upstream(dbname="app2", user="web"), "pool_size": 7}})
    rows = {row["name"]: row for row in weir.console("SHOW DATABASES")}
    assert set(rows) >= {"app", "app2", "other"}
    assert rows["other"]["database"] == "app2" and rows["other"]["force_user"] == "web"
    assert rows["other"]["pool_size"] == 7 and rows["app"]["pool_size"] == 10
    assert rows["app"]["host"] == "127.0.0.1" and rows["app"]["port"] == weir.postgres.port
    assert rows["app"]["database"] == "app" and rows["app"]["paused"] == 0 and rows["app"]["disabled"] == 0


def test_show_clients_and_servers(weir):
    holder = weir.start(pool_size=1).raw(parameters={"application_name": "the holder"})
    holder.query("BEGIN")
    pid = int(holder.value("SELECT pg_backend_pid()"))
    waiter = weir.raw("web", "app")
    waiter.send(query("SELECT 1"))
    weir.wait_waiting(1)
    clients = [row for row in weir.console("SHOW CLIENTS") if row["database"] == "app"]
    assert sorted(row["state"] for row in clients) == ["active", "waiting"]
    mine = [row for row in clients if row["application_name"] == "the holder"][0]
    assert mine["user"] == "web" and mine["addr"] == "127.0.0.1" and mine["type"] == "C"
    assert mine["port"] == holder.sock.getsockname()[1] and mine["local_port"] == weir.port
    server, = [row for row in weir.console("SHOW SERVERS") if row["database"] == "app"]
    assert server["remote_pid"] == pid and server["state"] == "active" and server["type"] == "S"
    assert server["port"] == weir.postgres.port
    assert mine["link"] == server["ptr"] and server["link"] == mine["ptr"]
    time.strptime(mine["connect_time"][:19], "%Y-%m-%d %H:%M:%S")
    holder.query("COMMIT")


def test_show_lists_and_users(weir):
    weir.start(sections={"user reporting": {"pool_size": 3, "pool_mode": "session"}})
    busy(weir)
    lists = {row["list"]: row["items"] for row in weir.console("SHOW LISTS")}
    assert list(lists)[:4] == ["databases", "users", "peers", "pools"]
    assert set(lists) >= {"free_clients", "used_clients", "login_clients", "free_servers", "used_servers", "dns_names",
                          "dns_zones", "dns_queries", "dns_pending", "peer_pools"}
    assert lists["used_clients"] >= 2 and lists["pools"] >= 1
    users = {row["name"]: row for row in weir.console("SHOW USERS")}
    assert "web" in users and str(users["reporting"]["pool_size"]) == "3"
    assert users["reporting"]["pool_mode"] == "session"


def test_show_config_is_complete_and_keeps_secrets(weir):
    weir.start(sections={"database other": {"upstream": weir.upstream(password="top-secret-42", user="web"),
                                            "password_command": "echo top-secret-42"},
                         "database third": {"upstream": weir.upstream() + " connect_query='SELECT $$top-secret-42$$'"}},
               password_command="echo top-secret-42", pool_size=7)
    rows = weir.console("SHOW CONFIG")
    found = {row["key"]: row for row in rows}
    assert any(key.endswith("max_user_connections") for key in found)
    sizes = [row for row in rows if row["key"].endswith("pool_size") and row["value"] == "7"]
    assert sizes and sizes[0]["default"] == "20" and sizes[0]["changeable"] in ("yes", "no")
    assert "top-secret-42" not in str(rows)
    assert found["auth.password_command"]["value"] == "***"


def test_show_version_is_what_tools_expect(weir):
    with weir.start().raw("stats", "pgbouncer") as wire:
        assert re.fullmatch(r"PgBouncer 1\.\d+\.\d+", wire.value("SHOW VERSION"))
        assert "pgweir" in wire.value("SELECT version()")


@pytest.mark.parametrize("command", ["SHOW HELP", "SHOW", "HELP"])
def test_help_helps(weir, command):
    with weir.start().raw("stats", "pgweir") as wire:
        replies = wire.ask(query(command))
        text = b"".join(reply.body for reply in replies).decode("utf-8", "replace")
        assert not errors(replies) and all(word in text for word in ("POOLS", "RELOAD", "PAUSE", "SHUTDOWN"))


@pytest.mark.parametrize("command", ["show pools", "SHOW POOLS;", "  Show\n Pools ; ", "SHOW POOLS -- comment"])
def test_commands_are_read_as_people_write_them(weir, command):
    with weir.start().raw("admin", "pgweir") as wire:
        assert shape(wire.ask(query(command))).endswith("C:SHOW Z:I")


# --- how it is asked ---

@pytest.mark.parametrize("ping", ["", ";", "-- ping", "SELECT 1", "select 1;", "SELECT version()",
                                  "SET extra_float_digits = 3", "SET application_name = 'x'", "SHOW client_encoding",
                                  "SHOW extra_float_digits", "SHOW standard_conforming_strings", "SHOW datestyle",
                                  "SHOW timezone", "SHOW default_transaction_isolation"])
def test_what_drivers_ask_on_their_own_is_answered(weir, ping):
    with weir.start().raw("stats", "pgweir", parameters={"extra_float_digits": "2"}) as wire:
        replies = wire.ask(query(ping))
        assert not errors(replies), errors(replies)[0].error


def test_unknown_commands_are_errors_with_a_suggestion(weir):
    with weir.start().raw("admin", "pgweir") as wire:
        for command, suggestion in (("SHOW POOL", "POOLS"), ("SHOW POOLSS", "POOLS"), ("RELAOD", "RELOAD"),
                                    ("PAUS", "PAUSE")):
            reply = errors(wire.ask(query(command)))[0]
            assert reply.sqlstate == "42601" and reply.severity == "ERROR"
            assert suggestion in reply.error["M"] + reply.error.get("H", ""), reply.error
        for command in ("DROP TABLE x", "SHOW", "SELECT * FROM pg_class", "x" * 5000, "'", '"', "\x01\x02", "SHOW \xff",
                        "PAUSE a b c d", "KILL", "RESUME nowhere"):
            wire.ask(query(command))
        assert wire.query("SHOW VERSION")


def test_the_console_survives_what_it_does_not_know(weir):
    with weir.start().raw("admin", "pgweir") as wire:
        for data in (rawwire.function_call(1, []), query("COPY x FROM STDIN"),
                     rawwire.copy_done() + query("SHOW VERSION"), rawwire.bind("", "nowhere") + sync(),
                     rawwire.execute("nowhere") + sync(), rawwire.describe("S", "nowhere") + sync(),
                     rawwire.close("S", "nowhere") + sync(), rawwire.flush() + sync()):
            assert wire.ask(data)[-1].type == "Z"
        assert wire.query("SHOW VERSION")
    for data in (b"\xff" * 100, query("x" * 3_000_000), rawwire.message("S", b"x" * 100_000)):
        wire = weir.raw("admin", "pgweir")
        with suppress(rawwire.WireClosed, OSError):
            wire.send(data)
            assert errors(wire.read_until("ZE"))
        wire.close()
    assert weir.console("SHOW VERSION")


# --- who may ---

CHANGES = ["RELOAD", "PAUSE", "PAUSE app", "RESUME", "RESUME app", "SHUTDOWN", "DISABLE app", "ENABLE app", "KILL app",
           "RECONNECT", "RECONNECT app", "SUSPEND", "KILL_CLIENT 1", "WAIT_CLOSE", "SET pool_size = 1",
           "SHUTDOWN WAIT_FOR_CLIENTS", "SHUTDOWN WAIT_FOR_SERVERS"]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("command", CHANGES)
def test_stats_users_may_change_nothing(weir, command):
    with weir.start().raw("stats", "pgweir") as wire, weir.raw() as client:
        replies = wire.ask(query(command))
        assert errors(replies)[0].sqlstate in ("42501", "42601"), errors(replies)[0].error
        if command.split()[0] in ("RELOAD", "PAUSE", "RESUME", "SHUTDOWN"):
            assert errors(replies)[0].sqlstate == "42501"
        assert client.query("SELECT 1") == [["1"]]
    assert weir.is_alive()


@pytest.mark.parametrize("what", COLUMNS)
def test_stats_users_may_look(weir, what):
    with weir.start().raw("stats", "pgweir") as wire:
        assert not errors(wire.ask(query(f"SHOW {what}")))


@pytest.mark.parametrize("database", ["pgweir", "pgbouncer"])
def test_others_do_not_even_get_in(weir, database):
    weir.start()
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.wire().login("web", database)
    assert refused.value.sqlstate in ("28000", "42501") and refused.value.reply.severity == "FATAL"


def test_an_admin_is_an_ordinary_user_elsewhere(weir):
    with weir.start().raw("admin", "app") as wire:
        assert wire.value("SELECT current_user") == "admin"
        assert errors(wire.ask(query("SHOW POOLS")))[0].sqlstate == "42704"


def test_a_database_named_like_the_console_cannot_hide_it(weir):
    weir.start(sections={"database *": {"upstream": weir.upstream()}})
    assert weir.console("SHOW VERSION")


# --- what it does ---

def test_pause_waits_for_transactions_holds_new_ones_and_resume_lets_them_go(weir):
    holder, newcomer = weir.start(pool_size=3).raw(), weir.raw()
    newcomer.query("SELECT 1")
    holder.query(BEGIN_NOW)
    pausing = weir.in_background(weir.console, "PAUSE")
    wait_until(lambda: weir.metric("pgweir_state", state="paused") == 1 or
               any(row["paused"] for row in weir.console("SHOW DATABASES")), what="the pause to begin")
    assert not pausing.done(), "PAUSE came back while a transaction was open"
    newcomer.send(query("SELECT 'held'"))
    weir.wait_waiting(1)
    assert holder.query("SELECT 'still working'") == [["still working"]]
    holder.query("COMMIT")
    pausing.result()
    wait_until(lambda: weir.postgres.count() == 0, what="servers to be closed")
    assert newcomer.has_nothing_more(0.2)
    weir.console("RESUME")
    assert texts(newcomer.read_until("Z")) == [["held"]]


def test_a_login_under_way_is_finished_and_used_behind_reconnect_and_pause(weir, fake):
    goes_on = threading.Event()

    def script(conn):
        conn.read_startup()
        goes_on.wait()
        conn.send(auth(0), conn.welcome())
        conn.serve()

    weir.start(pool_size=1, sections={"database app": {"upstream": fake.upstream}})
    with weir.raw() as first, weir.raw() as second:
        first.query("SELECT 1")
        fake.script = script
        weir.console("RECONNECT")
        before = len(fake.logins())
        first.send(query("SELECT 1"))
        wait_until(lambda: len(fake.logins()) == before + 1)
        for command in ("RECONNECT", "RECONNECT app"):
            weir.console(command)
        pausing = weir.in_background(weir.console, "PAUSE")
        wait_until(lambda: any(row["paused"] for row in weir.console("SHOW DATABASES")))
        second.send(query("SELECT 2"))
        weir.wait_waiting(2)
        assert not pausing.done(), "PAUSE came back while a login was under way for somebody"
        goes_on.set()
        assert texts(first.read_until("Z")) == [["fake"]]
        pausing.result()
        assert len(fake.logins()) == before + 1 and second.has_nothing_more(0.2)
        weir.console("RESUME")
        assert texts(second.read_until("Z")) == [["fake"]]
        assert len(fake.logins()) == before + 2


def test_pause_of_one_database_leaves_the_other(weir):
    """And a client may log in meanwhile."""
    with weir.start().raw() as first, weir.raw(database="app2") as free:
        first.query("SELECT 1")
        weir.console("PAUSE app")
        held = weir.raw()
        held.send(query("SELECT 1"))
        weir.wait_waiting(1)
        assert free.query("SELECT 1") == [["1"]]
        rows = {row["name"]: row["paused"] for row in weir.console("SHOW DATABASES")}
        assert rows["app"] == 1 and rows["app2"] == 0
        weir.console("RESUME app")
        assert texts(held.read_until("Z")) == [["1"]]


def test_resume_without_pause_is_an_error_or_nothing_and_pause_twice_too(weir):
    with weir.start().raw("admin", "pgweir") as wire:
        for command in ("RESUME", "PAUSE", "PAUSE", "RESUME", "RESUME"):
            assert wire.ask(query(command))[-1].type == "Z"
    assert weir.raw().query("SELECT 1") == [["1"]]


def test_pause_of_an_unknown_database_is_an_error(weir):
    with weir.start().raw("admin", "pgweir") as wire:
        assert errors(wire.ask(query("PAUSE nowhere")))[0].sqlstate in ("3D000", "42601", "22023")
        assert errors(wire.ask(query("RESUME nowhere")))[0].sqlstate in ("3D000", "42601", "22023")


def test_reload_swaps_the_configuration(weir):
    weir.start(pool_size=1)
    weir.configure(pool_size=4, sections={"database fresh": {"upstream": weir.upstream(dbname="app2")}})
    weir.write_config()
    weir.console("RELOAD")
    assert {row["name"]: row["pool_size"] for row in weir.console("SHOW DATABASES")}["app"] == 4
    assert weir.raw(database="fresh").value("SELECT current_database()") == "app2"


def test_a_bad_reload_says_why_and_changes_nothing(weir):
    weir.start(pool_size=3)
    weir.ini.write_text(weir.ini.read_text() + "[pool]\npool_sise = 4\n")
    with weir.raw("admin", "pgweir") as wire:
        reply = errors(wire.ask(query("RELOAD")))[0]
        assert "pool_sise" in str(reply.error) or "pgweir.ini" in str(reply.error)
    assert {row["name"]: row["pool_size"] for row in weir.console("SHOW DATABASES")}["app"] == 3
    assert weir.metric("pgweir_config_last_reload_successful") == 0
    assert weir.raw().query("SELECT 1") == [["1"]]


def test_shutdown_ends_it_at_once(weir):
    client = weir.start().raw()
    client.query("SELECT 1")
    console = weir.raw("admin", "pgweir")
    console.send(query("SHUTDOWN"))
    _, seconds = timed(weir.wait_exit)
    assert weir.expected_exit == 0 and seconds < 5 * SLOWNESS
    client.wait_closed()


def test_the_console_answers_when_every_pool_is_full(weir):
    weir.start(pool_size=1, max_client_connections=5)
    wires = [weir.raw() for _ in range(5)]
    wires[0].query(BEGIN_NOW)
    each(wires[1:]).send(query("SELECT 1"))
    weir.wait_waiting(4)
    answer, seconds = timed(weir.console, "SHOW POOLS")
    assert answer and seconds < 10 * SLOWNESS
    wires[0].query("COMMIT")


def test_many_console_clients_at_once(weir):
    weir.start()

    def look():
        for what in COLUMNS:
            weir.console(f"SHOW {what}")
    jobs = [weir.in_background(look) for _ in range(10)]
    busy(weir)
    each(jobs).result()


def test_names_with_odd_characters_are_shown(weir):
    weir.users['o"dd\\'] = "x"
    weir.start(sections={"database *": {"upstream": weir.upstream()}})
    with suppress(rawwire.WireError):
        wire = weir.raw('o"dd\\', "app", parameters={"application_name": "tab\there, 'quote', \"double\""})
        wire.ask(query("SELECT 1"))
    assert weir.console("SHOW CLIENTS") is not None
    assert weir.console("SHOW POOLS") is not None


def test_psycopg2_dict_rows_as_datadog_reads_them(weir):
    weir.start()
    busy(weir)
    connection = psycopg2.connect(weir.dsn("stats", "pgbouncer"))
    connection.autocommit = True
    with connection.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
        for what, key in (("STATS", "total_xact_count"), ("POOLS", "cl_active"), ("DATABASES", "pool_size"),
                          ("CONFIG", "key")):
            cursor.execute(f"SHOW {what}")
            assert cursor.fetchall()[0][key] is not None
    connection.close()


def test_who_was_asked_for_nothing_yet_has_a_request_time(weir):
    """That of its connection: what reads these tables (pgbouncer_fdw) wants a time."""
    weir.start(min_idle=2)
    weir.raw()                              # its login has had one of them
    rows = wait_until(lambda: len(rows := [row for row in weir.console("SHOW SERVERS") if row["link"] == ""]) > 1 and rows,
                      what="a server that nobody had")
    assert any(row["request_time"] == row["connect_time"] != "" for row in rows)
