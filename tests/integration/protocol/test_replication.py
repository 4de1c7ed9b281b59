"""Replication connections: passed through, each on a server of its own."""

import re
import select
import shutil
import signal
import subprocess
import time

import psycopg2
import psycopg2.extras
import pytest

import rawwire
from postgres import Postgres
from rawwire import BEGIN_NOW, copy_data, copy_done, errors, query, send_cancel, shape
from waiting import PATIENCE, SLOWNESS, each, wait_until

HBA = "host replication all 127.0.0.1/32 trust\n"


@pytest.fixture(scope="module")
def postgres():
    cluster = Postgres("wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\n"
                       "wal_sender_timeout = 10s\nhot_standby = on\n")
    with open(cluster.data / "pg_hba.conf", "a", encoding="utf-8") as file:
        file.write(HBA)
    cluster.query("SELECT pg_reload_conf()", dbname="postgres")
    cluster.query("ALTER ROLE web REPLICATION", dbname="postgres")
    cluster.query("ALTER ROLE scramuser REPLICATION", dbname="postgres")
    yield cluster
    cluster.destroy()


@pytest.fixture(autouse=True)
def clean(postgres):
    yield
    wait_until(lambda: not walsenders(postgres), what="walsenders to end")
    for (slot,) in postgres.query("SELECT slot_name FROM pg_replication_slots"):
        postgres.query("SELECT pg_drop_replication_slot(%s)", (slot,))


def walsenders(postgres):
    return [row[0] for row in
            postgres.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'", dbname="postgres")]


def replicate(weir, kind="database", **parameters):
    return weir.raw(parameters={"replication": kind, **parameters})


def key_pid(wire):
    return int.from_bytes(wire.key[:4], "big")


def stream(wire, slot="s"):
    """START_REPLICATION of a new slot; the position it began at."""
    row = wire.query(f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL test_decoding")[0]
    wire.send(query(f"START_REPLICATION SLOT {slot} LOGICAL {row[1]}"))
    assert wire.read_until("W")[-1].type == "W"
    return row[1]


def changes(wire, wanted, timeout=PATIENCE):
    """Texts of XLogData messages until one begins with wanted; keepalives that ask are answered."""
    found, deadline = [], time.monotonic() + timeout
    while time.monotonic() < deadline:
        body = wire.read().body
        if body[:1] == b"w":
            found.append(body[25:].decode())
            if found[-1].startswith(wanted):
                return found
        elif body[:1] == b"k" and body[-1:] == b"\x01":
            wire.send(status(body[1:9]))
    raise AssertionError(f"no {wanted} in {found}")


def status(position):
    return copy_data(b"r" + position * 3 + bytes(8) + b"\0")


# --- the protocol ---

@pytest.mark.parametrize("kind", ["database", "true"])
def test_commands_and_the_real_pid(weir, kind):
    weir.start()
    with replicate(weir, kind, application_name="repl") as wire:
        row = wire.query("IDENTIFY_SYSTEM")[0]
        assert row[1] == "1" and row[3] == ("app" if kind == "database" else None)
        assert walsenders(weir.postgres) == [key_pid(wire)]
        assert weir.postgres.value("SELECT application_name FROM pg_stat_activity WHERE pid = %s", (key_pid(wire),)) \
            == "repl"
        assert wire.query("SHOW work_mem") == [["4MB"]]
        if kind == "database":
            assert wire.value("SELECT pg_backend_pid()") == str(key_pid(wire))
            assert wire.query("SELECT 1; SELECT 2") == [["1"], ["2"]]
        assert errors(wire.ask(query("NONSENSE")))[0].sqlstate in ("42601", "0A000")
        assert wire.query("IDENTIFY_SYSTEM")[0][1] == "1"


def test_a_version_and_options_that_nobody_has(weir):
    """As libpq of PostgreSQL 19 asks for them."""
    weir.start()
    with weir.wire() as wire:
        wire.login(version=3 << 16 | 9999, parameters={"replication": "database", "_pq_.test_protocol_negotiation": "",
                                                       "_pq_.a": "1"})
        assert rawwire.negotiated(wire) == (3 << 16 | 2, ["_pq_.test_protocol_negotiation", "_pq_.a"])
        assert len(wire.key) == 36 and walsenders(weir.postgres) == [key_pid(wire)]
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        rawwire.send_cancel(weir.address, wire.key)
        assert errors(wire.read_until("Z"))[0].sqlstate == "57014"


def test_settings_of_the_startup_packet_are_there(weir):
    weir.start()
    with replicate(weir, options="-c work_mem=7MB", DateStyle="German") as wire:
        assert wire.value("SHOW work_mem") == "7MB"
        assert wire.value("SELECT DATE '2024-02-01'") == "01.02.2024"
    with pytest.raises(rawwire.LoginRefused) as refused:
        replicate(weir, work_mem="nonsense")
    assert refused.value.sqlstate == "22023"


def test_logical_streaming(weir, table):
    weir.start()
    with replicate(weir) as wire:
        stream(wire)
        weir.postgres.query(f"INSERT INTO {table} VALUES (1, 'one')")
        assert any("one" in text for text in changes(wire, "COMMIT"))
        weir.postgres.query(f"UPDATE {table} SET v = repeat('x', 300000)")
        assert any(len(text) > 300000 for text in changes(wire, "COMMIT"))
        wire.send(copy_done())                                       # and back to commands
        while wire.read().type != "c":
            pass
        assert shape(wire.read_until("Z")).endswith("Z:I")
        assert wire.query("IDENTIFY_SYSTEM")[0][1] == "1"


def test_a_cancel_ends_the_stream(weir):
    weir.start()
    with replicate(weir) as wire:
        stream(wire)
        send_cancel(weir.address, wire.key)
        replies = wire.read_until("Z")
        assert errors(replies)[0].sqlstate == "57014"
        assert wire.query("IDENTIFY_SYSTEM")[0][1] == "1"


def test_each_has_a_server_of_its_own(weir):
    weir.start(pool_size=1)
    wires = [replicate(weir) for _ in range(5)]
    with weir.raw() as other:
        other.query(BEGIN_NOW)                                         # the pool's only one is lent
        assert len({wire.value("SELECT pg_backend_pid()") for wire in wires}) == 5
        other.query("COMMIT")
    assert len(walsenders(weir.postgres)) == 5
    each(wires).leave()
    wait_until(lambda: not walsenders(weir.postgres), what="their servers to end")


@pytest.mark.parametrize("how", ["leave", "close"])
@pytest.mark.parametrize("doing", ["idle", "streaming", "in a transaction", "a query"])
def test_its_server_goes_with_it(weir, how, doing):
    weir.start()
    wire = replicate(weir)
    if doing == "streaming":
        stream(wire)
    elif doing == "in a transaction":
        wire.query(BEGIN_NOW)
    elif doing == "a query":
        wire.send(query("SELECT pg_sleep(600)"))
        wait_until(lambda: weir.postgres.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
    getattr(wire, how)()
    if doing != "a query" or not weir.direct:
        wait_until(lambda: not walsenders(weir.postgres), what="its server to end")
    else:
        weir.postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    with weir.raw() as other:
        assert other.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
def test_no_other_client_ever_gets_it(weir):
    weir.start(pool_size=2)
    for _ in range(5):
        with replicate(weir) as wire:
            pid = wire.value("SELECT pg_backend_pid()")
            wire.query("SET work_mem = '9MB'")
        with weir.raw() as other:
            assert other.value("SELECT pg_backend_pid()") != pid
            assert other.value("SHOW work_mem") == "4MB"


def test_who_may_not_replicate_is_told_so(weir):
    weir.start()
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.raw("reporting", parameters={"replication": "database"})
    assert refused.value.sqlstate == "42501"
    with weir.raw("reporting") as wire:
        assert wire.query("SELECT 1") == [["1"]]


def test_a_password(weir):
    """SCRAM on both sides: the client's own keys log in."""
    with weir.start(method="scram-sha-256").raw("scramuser", parameters={"replication": "database"}) as wire:
        assert wire.query("IDENTIFY_SYSTEM")[0][1] == "1"


# --- among pgweir's own ways ---

@pytest.mark.weir_only
def test_limits_on_time_do_not_end_a_stream(weir, table):
    weir.start(query_timeout="300ms", transaction_timeout="300ms", idle_transaction_timeout="300ms",
               client_idle_timeout="300ms", idle_timeout="300ms", pool_recycle="1s")
    with replicate(weir) as streaming, replicate(weir) as idle:
        stream(streaming)
        idle.query(BEGIN_NOW)
        with weir.raw() as other:                                    # the limits are awake
            other.send(query("SELECT pg_sleep(2)"))
            assert errors(other.read_until("E"))[0].sqlstate in ("57014", "25P04")     # whichever is looked at first
        with weir.raw() as other:
            assert errors(other.read_until("E"))[0].sqlstate == "57P05"
        weir.postgres.query(f"INSERT INTO {table} VALUES (1, 'late')")
        assert any("late" in text for text in changes(streaming, "COMMIT"))
        assert idle.query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
def test_a_stream_is_no_slow_query(weir):
    weir.start(threshold="200ms")
    with replicate(weir) as wire, weir.raw() as other:
        stream(wire)
        other.query("SELECT pg_sleep(0.4)")
        send_cancel(weir.address, wire.key)
        wire.read_until("Z")
        other.query("SELECT pg_sleep(0.4), 'last'")
        wait_until(lambda: len(weir.slow_lines()) >= 2, what="lines of the two slow queries")
    assert all("pg_sleep" in line["query"] for line in weir.slow_lines())
    assert weir.metric("pgweir_client_requests_total") >= 4


@pytest.mark.weir_only
def test_they_count_as_server_connections(weir):
    with weir.start(max_server_connections=3, pool_size=3).raw() as one, weir.raw() as two:
        one.query(BEGIN_NOW)
        two.query(BEGIN_NOW)
        two.query("COMMIT")                                          # idle in the pool: makes room
        wires = [replicate(weir), replicate(weir)]
        weir.reload(max_server_connections=3, pool_size=3, pool_timeout="500ms")
        with pytest.raises(rawwire.LoginRefused) as refused:
            replicate(weir)
        assert refused.value.sqlstate == "53300" and "max_server_connections" in str(refused.value)
        assert errors(two.ask(query("SELECT 1")))[0].sqlstate == "53300"
        wires[0].leave()
        wait_until(lambda: not errors(two.ask(query("SELECT 1"))), what="the place of the one that left")
        one.query("COMMIT")


@pytest.mark.weir_only
def test_they_use_no_place_of_the_pool(weir):
    """By EXPLAIN POOL, which advised a larger one."""
    weir.start(pool_size=1, max_overflow=0)
    stream(replicate(weir))
    client = weir.raw()
    client.query(BEGIN_NOW)
    used = wait_until(lambda: re.search(r"In use: (0\.[5-9]|[1-9]\.\d)", str(weir.console("EXPLAIN POOL app"))), what="the use to be measured")
    assert float(used[1]) <= 1


@pytest.mark.weir_only
def test_an_idle_connection_of_another_worker_makes_room(weir):
    with weir.start(workers=2, max_server_connections=1).raw() as plain:
        plain.query("SELECT 1")                                      # its pool is on one worker, and the next one on the other
        with weir.raw(user="scramuser", parameters={"replication": "database"}) as streaming:
            assert len({row["worker"] for row in weir.console("SHOW POOLS_EXTENDED")}) == 2
            assert walsenders(weir.postgres) == [key_pid(streaming)]


@pytest.mark.weir_only
def test_a_place_is_waited_for(weir):
    with weir.start(max_server_connections=1, pool_timeout="30s").raw() as plain:
        plain.query(BEGIN_NOW)
        streaming = weir.in_background(replicate, weir)
        wait_until(lambda: [row for row in weir.console("SHOW CLIENTS") if row["replication"] == "logical"])
        plain.query("COMMIT")
        with streaming.result() as wire:
            assert walsenders(weir.postgres) == [key_pid(wire)]


@pytest.mark.weir_only
@pytest.mark.one_worker("each worker's part of a pool counts its own")
def test_with_compat_they_count_in_the_size_of_their_pool(weir):
    """As in PgBouncer: an idle connection is closed for one, and beyond the size they wait. Without, none of it."""
    limits = {"pool_size": 2, "max_overflow": 0, "pool_timeout": "30s"}
    with weir.start(compat="pgbouncer", **limits).raw() as plain:
        idle = int(plain.value("SELECT pg_backend_pid()"))
        first, second = replicate(weir), replicate(weir)
        wait_until(lambda: (idle,) not in weir.postgres.query("SELECT pid FROM pg_stat_activity"), what="the idle one to be closed")
        third = weir.in_background(replicate, weir)
        wait_until(lambda: len([row for row in weir.console("SHOW CLIENTS") if row["replication"] == "logical"]) == 3)
        assert not third.done() and sorted(walsenders(weir.postgres)) == sorted(map(key_pid, (first, second)))
        first.leave()
        with third.result() as wire:
            assert key_pid(wire) in walsenders(weir.postgres)
            weir.reload(compat="pgbouncer", **{**limits, "pool_timeout": "500ms"})
            with pytest.raises(rawwire.LoginRefused, match="query_wait_timeout"):
                replicate(weir)
            weir.reload(**limits)
            replicate(weir).leave()
        second.leave()


@pytest.mark.weir_only
def test_the_console_shows_kills_and_pauses(weir):
    weir.start(pool_size=1)
    streaming, plain = replicate(weir), weir.raw()
    stream(streaming)
    physical = replicate(weir, "true")
    plain.query("SELECT 1")
    for command in ("SHOW CLIENTS", "SHOW SERVERS"):
        kinds = sorted(row["replication"] for row in weir.console(command) if row["database"] == "app")
        assert kinds == ["logical", "none", "physical"]
    weir.console("PAUSE")                                            # does not wait for those who never end
    weir.console("RESUME")
    weir.console("RECONNECT")
    weir.console("WAIT_CLOSE")
    number = [row["id"] for row in weir.console("SHOW CLIENTS") if row["replication"] == "logical"][0]
    weir.console(f"KILL_CLIENT {number}")
    wait_until(lambda: len(walsenders(weir.postgres)) == 1, what="the killed one's server to end")
    assert physical.query("IDENTIFY_SYSTEM")[0][1] == "1"
    weir.console("KILL app")
    wait_until(lambda: not walsenders(weir.postgres), what="all to end")
    weir.console("RESUME app")


@pytest.mark.weir_only
def test_a_stop_ends_streams_at_once(weir):
    weir.start(shutdown_timeout="20s")
    wires = [replicate(weir), replicate(weir, "true"), replicate(weir)]
    stream(wires[0])
    wires[2].query("BEGIN")
    weir.signal(signal.SIGTERM)
    for wire in wires[:2]:
        while (reply := wire.read()).type == "d":
            pass
        assert reply.sqlstate == "57P01"
    wires[2].send(query("COMMIT"))
    assert errors(wires[2].read_until("E"))[0].sqlstate == "57P01"
    assert weir.wait_exit(5) == 0


@pytest.mark.weir_only
def test_a_database_that_is_configured_no_more(weir, table):
    """Told at the stream's next message."""
    weir.start()
    wire = replicate(weir)
    stream(wire)
    weir.reload(sections={"database app": None})
    weir.postgres.query(f"INSERT INTO {table} VALUES (1, 'x')")
    while (reply := wire.read()).type == "d":
        pass
    assert reply.sqlstate == "57P01" and "removed" in reply.error["M"]


@pytest.mark.weir_only
def test_one_whose_login_is_under_way_may_leave(weir, tap):
    weir.start(upstream=f"host={tap.host} port={tap.port}")
    tap.stall(new=True)
    wire = weir.wire()
    wire.send(rawwire.startup(parameters={"replication": "database"}))
    wait_until(lambda: tap.accepted_count == 1, what="the dial")
    wire.close()
    wait_until(lambda: not weir.console("SHOW SERVERS"), what="its server to be closed")


@pytest.mark.weir_only
def test_a_stream_is_cut_between_messages_or_without_a_word(weir, table):
    """An error behind part of a message would be taken for its rest."""
    weir.start()
    wire = replicate(weir)
    stream(wire)
    for turn in range(4):
        weir.postgres.query(f"INSERT INTO {table} VALUES ({turn}, repeat('y', 30000000))")
    head = wire.read_bytes(200000)                                   # and then it does not read for a while
    wait_until(lambda: weir.console("SHOW CLIENTS"), what="the console")
    number = [row["id"] for row in weir.console("SHOW CLIENTS") if row["replication"] == "logical"][0]
    weir.console(f"KILL_CLIENT {number}")
    rest = wire.wait_closed()
    at, data = 0, head + rest
    while len(data) - at >= 5 and len(data) - at > int.from_bytes(data[at + 1:at + 5], "big"):
        assert data[at:at + 1] == b"d"
        assert b"57P01" not in data[at:at + 1 + int.from_bytes(data[at + 1:at + 5], "big")]
        at += 1 + int.from_bytes(data[at + 1:at + 5], "big")
    assert b"57P01" not in data[at:]


@pytest.mark.weir_only
def test_postgresql_gone(weir):
    weir.start()
    wire = replicate(weir)
    stream(wire)
    weir.postgres.query("SELECT pg_terminate_backend(%s)", (key_pid(wire),))
    while (reply := wire.read()).type in "dN":
        pass
    assert reply.type == "E" and reply.sqlstate in ("57P01", "08006")
    wire.wait_closed()
    with pytest.raises(rawwire.LoginRefused):
        weir.reload(upstream="host=127.0.0.1 port=1")
        replicate(weir)


@pytest.mark.weir_only
def test_a_physical_client_means_the_only_cluster_there_is(weir):
    with weir.start().raw(database="replication", parameters={"replication": "true"}) as wire:
        assert wire.query("IDENTIFY_SYSTEM")[0][1] == "1"
    weir.reload(sections={"database elsewhere": {"upstream": "host=127.0.0.1 port=1"}})
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.raw(database="replication", parameters={"replication": "true"})
    assert refused.value.sqlstate == "3D000"
    weir.reload(sections={"database elsewhere": {"upstream": "host=127.0.0.1 port=1"},
                          "database replication": {"upstream": weir.upstream()}})
    with weir.raw(database="replication", parameters={"replication": "true"}) as wire:
        assert wire.query("IDENTIFY_SYSTEM")[0][1] == "1"


@pytest.mark.weir_only
def test_the_console_replicates_nothing(weir):
    weir.start()
    with pytest.raises(rawwire.LoginRefused) as refused:
        weir.raw("admin", "pgweir", parameters={"replication": "database"})
    assert refused.value.sqlstate == "0A000"


# --- PostgreSQL's own programs ---

def connection_words(weir, user="web"):
    return ["-h", weir.address[0], "-p", str(weir.address[1]), "-U", user]


def program(postgres, *words, **more):
    name = shutil.which(words[0]) or str(postgres.bin / words[0])
    return subprocess.run([name, *map(str, words[1:])], capture_output=True, text=True, check=False, timeout=50 * SLOWNESS, **more)


def test_psql(weir):
    weir.start()
    host, port = weir.address
    done = program(weir.postgres, "psql", "-XAt", f"host={host} port={port} user=web dbname=app replication=database",
                   "-c", "IDENTIFY_SYSTEM", "-c", "SELECT 42")
    assert done.returncode == 0 and done.stdout.endswith("|app\n42\n"), done.stderr


@pytest.mark.parametrize("wal", ["stream", "fetch", "none"])
def test_pg_basebackup(weir, tmp_path, wal):
    weir.start()
    done = program(weir.postgres, "pg_basebackup", *connection_words(weir), "-D", tmp_path / "copy", "-X", wal, "-v",
                   "--checkpoint=fast", "--no-sync")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy" / "PG_VERSION").read_text() == "15\n"
    if wal != "none":
        done = program(weir.postgres, weir.postgres.program("pg_verifybackup"), tmp_path / "copy")
        assert done.returncode == 0, done.stderr


def test_pg_receivewal(weir, tmp_path, table):
    """By a slot, until a position: what it wrote is a whole segment of WAL."""
    weir.start()
    words = [*connection_words(weir), "--slot", "receiver"]
    assert program(weir.postgres, "pg_receivewal", *words, "--create-slot").returncode == 0
    receiver = subprocess.Popen(["pg_receivewal", *words, "-D", str(tmp_path), "--no-loop", "--synchronous", "-s", "1"],
                                stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: weir.postgres.value("SELECT active FROM pg_replication_slots"), what="the receiver")
        name = weir.postgres.value("SELECT pg_walfile_name(pg_current_wal_lsn())")
        weir.postgres.query(f"INSERT INTO {table} SELECT n, repeat('z', 1000) FROM generate_series(1, 5000) n")
        weir.postgres.query("SELECT pg_switch_wal()")
        wait_until((tmp_path / name).exists, what="a whole segment")
        wait_until(lambda: weir.postgres.value("SELECT flush_lsn > '0/0' FROM pg_stat_replication"), what="its status")
    finally:
        receiver.send_signal(signal.SIGINT)
        _, said = receiver.communicate(timeout=PATIENCE)
    assert receiver.returncode == 0, said
    assert (tmp_path / name).read_bytes() == (weir.postgres.data / "pg_wal" / name).read_bytes()


def test_pg_recvlogical(weir, tmp_path, table):
    weir.start()
    words = ["pg_recvlogical", *connection_words(weir), "-d", "app", "--slot", "logical"]
    done = program(weir.postgres, *words, "--create-slot", "-P", "test_decoding")
    assert done.returncode == 0, done.stderr
    weir.postgres.query(f"INSERT INTO {table} SELECT n, 'v' || n FROM generate_series(1, 1000) n")
    end = weir.postgres.value("SELECT pg_current_wal_insert_lsn()")
    done = program(weir.postgres, *words, "--start", "-f", tmp_path / "out", "--endpos", end, "--no-loop")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text().count("INSERT") == 1000
    assert program(weir.postgres, *words, "--drop-slot").returncode == 0


def test_a_standby_follows_through_it(weir, tmp_path_factory):
    """primary_conninfo points to pgweir; at its promotion nothing is left."""
    weir.start()
    directory = weir.postgres.directory / "standby"
    host, port = weir.address
    own = [*weir.postgres.prefix]
    done = subprocess.run([*own, "pg_basebackup", *connection_words(weir), "-D", str(directory), "-R", "-X", "stream",
                           "--checkpoint=fast", "--no-sync"], cwd="/", capture_output=True, text=True, check=False,
                          timeout=50 * SLOWNESS)
    assert done.returncode == 0, done.stderr
    assert f"port={port}" in (directory / "postgresql.auto.conf").read_text()
    log = open(weir.postgres.directory / "standby.log", "ab")
    standby = subprocess.Popen([*own, str(weir.postgres.bin / "postgres"), "-D", str(directory), "-c", "listen_addresses=",
                                "-c", f"unix_socket_directories={directory}"], cwd="/", stdout=log, stderr=log,
                               start_new_session=True)

    def ask(sql):
        with psycopg2.connect(host=str(directory), port=weir.postgres.port, dbname="app", user="postgres") as connection:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchone()[0]

    def is_there():
        try:
            return ask("SELECT to_regclass('followed') IS NOT NULL")
        except psycopg2.OperationalError:
            return False
    try:
        weir.postgres.query("CREATE TABLE followed (a int)")
        wait_until(is_there, what="the standby to follow")
        assert weir.postgres.value("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1
        weir.postgres.query("DROP TABLE followed")
        wait_until(lambda: not is_there(), what="the standby to follow on")
    finally:
        standby.send_signal(signal.SIGINT)
        standby.wait(20)
        log.close()
        shutil.rmtree(directory, ignore_errors=True)


# --- psycopg2 ---

@pytest.mark.parametrize("kind", ["logical", "physical"])
def test_psycopg2(weir, table, kind):
    weir.start()
    factory = (psycopg2.extras.LogicalReplicationConnection if kind == "logical"
               else psycopg2.extras.PhysicalReplicationConnection)
    connection = psycopg2.connect(weir.dsn(), connection_factory=factory)
    cursor = connection.cursor()
    cursor.execute("IDENTIFY_SYSTEM")
    position = cursor.fetchone()[2]
    if kind == "logical":
        cursor.create_replication_slot("psy", output_plugin="test_decoding")
        cursor.start_replication("psy", decode=True, status_interval=1)
    else:
        cursor.create_replication_slot("psy")
        cursor.start_replication("psy", start_lsn=position)
    weir.postgres.query(f"INSERT INTO {table} VALUES (7, 'psycopg2')")
    got, deadline = [], time.monotonic() + 10
    needle = "psycopg2" if kind == "logical" else b"psycopg2"
    while not any(needle in payload for payload in got):
        assert time.monotonic() < deadline, "nothing came"
        message = cursor.read_message()
        if message is None:
            select.select([connection], [], [], 1)
            continue
        got.append(message.payload)
        cursor.send_feedback(flush_lsn=message.data_start + len(message.payload), force=True)
    wait_until(lambda: weir.postgres.value("SELECT count(*) FROM pg_stat_replication WHERE flush_lsn > '0/0'") == 1,
               what="the feedback")
    connection.close()


def test_many_streams_at_once(weir, table):
    """Each gets every change, in order, while pooled clients write."""
    weir.start(pool_size=2)
    wires = [replicate(weir) for _ in range(8)]
    for number, wire in enumerate(wires):
        stream(wire, f"s{number}")
    writers = [weir.raw() for _ in range(4)]
    for turn in range(25):
        for number, writer in enumerate(writers):
            writer.send(query(f"INSERT INTO {table} VALUES ({turn * 4 + number}, 'v')"))
        for writer in writers:
            assert not errors(writer.read_until("Z"))
    seen = []
    for wire in wires:
        found = []
        while len(found) < 100:
            found += [text for text in changes(wire, "COMMIT") if text.startswith("table")]
        seen.append(found)
    assert all(found == seen[0] for found in seen) and len(set(seen[0])) == 100
