"""Every family of /metrics moves: for each there is a row here that says how it is provoked.

A family that is new has no row yet, and fails test_every_family_has_a_row.
"""

import contextlib
import socket
import time
from signal import SIGUSR2

import psycopg
import pytest

from hosts import Standby, make_primary
from rawwire import BEGIN_NOW, bind, errors, execute, password_message, query, send_cancel, startup, sync
from tap import Tap
from skewed import read_kinds, skewed_table
from waiting import wait_until
from weir import WORKERS, Weir

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


# --- what provokes them: each looks at /metrics whenever there is something to see ---

def requests(weir, look):
    """Requests of every kind, an error, and a slow reader whose answer waits."""
    weir.start(pool_size=2, threshold="20ms", refuse="multi_statement")
    look()
    with weir.raw() as wire:
        for _ in range(20):
            wire.query("SELECT pg_sleep(0.001)")
        wire.extended("SELECT $1::int", [1], name="s")
        wire.ask(bind("", "s", ["2"]) + execute() + sync())
        wire.query("SELECT pg_sleep(0.05)")
        assert errors(wire.ask(query("SELECT 1/0")))
        assert errors(wire.ask(query("SELECT 1; SELECT 2")))
        wire.query(BEGIN_NOW)
        look()                                      # idle in a transaction, for 260 ms
        wire.query("COMMIT")
    with weir.raw(receive_buffer=65_536) as wire:
        wire.send(query("SELECT repeat('x', 10000) FROM generate_series(1, 5000)"))
        wait_until(lambda: weir.postgres.backends(wait_event="ClientWrite"))
        look()
        wire.read_until("Z")


def statements(weir, look):
    """A statement that a changed table outdates, and more statements than a server keeps."""
    weir.start(pool_size=1, prepared_statements=3)
    weir.postgres.query("DROP TABLE IF EXISTS moving")
    weir.postgres.query("CREATE TABLE moving (i int); ALTER TABLE moving OWNER TO web")
    look()
    with weir.raw() as wire:
        wire.extended("SELECT * FROM moving", name="s")
        weir.postgres.query("ALTER TABLE moving ADD j int")
        wire.ask(bind("", "s") + execute() + sync())
        for i in range(5):
            wire.extended(f"SELECT {i}", name=f"s{i}")
        look()
    weir.postgres.query("DROP TABLE moving")


def commits(weir, look):
    """A server that is lost in an open transaction, before its COMMIT."""
    weir.start(commit_check=True)
    look()
    with weir.raw() as wire:
        wire.ask(query("BEGIN"))
        wire.ask(query("SELECT 1"))
        weir.postgres.kill_backends()
        assert errors(wire.ask(query("COMMIT")))[0].sqlstate == "40001"
        look()


def line(weir, look):
    """Two connections are held; one client waits, and in vain."""
    weir.start(pool_size=1, max_overflow=1)
    look()
    with weir.raw() as one, weir.raw() as two, weir.raw() as three:
        one.query(BEGIN_NOW)
        two.query(BEGIN_NOW)
        three.send(query("SELECT 1"))
        weir.wait_waiting(1)
        look()
        weir.reload(pool_size=1, max_overflow=1, pool_timeout="300ms")
        three.read_until("Z")
        one.query("COMMIT")
        two.query("COMMIT")
    look()


def outage(weir, look):
    """A request is held while PostgreSQL refuses, and another is relayed again when its server ends."""
    with Tap((weir.postgres.host, weir.postgres.port)) as tap:
        with weir.start(upstream=f"host={tap.host} port={tap.port}", on_outage="hold").raw() as wire:
            wire.query("SELECT 1")
            look()
            tap.shut()
            tap.cut()
            wait_until(lambda: weir.pool()["sv_idle"] == 0)
            wire.send(query("SELECT pg_sleep(0.3)"))
            wait_until(lambda: weir.metric("pgweir_pool_outage_seconds_total") > 0)
            tap.open()
            wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
            weir.postgres.kill_backends(wait_event="PgSleep")
            wire.read_until("Z")
            look()


def pipelined(weir, look):
    """A read is sent behind what another client runs."""
    weir.start(workers=1, pool_size=1, max_pipeline=2, max_pipeline_wait="60s")
    look()
    with weir.raw() as holder, weir.raw() as reader:
        def attempt():
            holder.send(query("SELECT pg_sleep(0.1)"))
            reader.send(query("SELECT 1"))
            holder.read_until("Z")
            reader.read_until("Z")
            return weir.metric("pgweir_pipelined_total") > 0

        wait_until(attempt, what="a read to be sent ahead: not while it is not known what code the database has")
    look()


def upkeep(weir, look):
    """Pings, connections replaced, one that is pinned, one that is reset, one that is washed."""
    weir.start(pool_size=2, ping_interval="100ms")
    look()
    with weir.raw() as wire:
        wire.query("CREATE TEMP TABLE kept (i int)")
        look()
        wire.query("DROP TABLE kept")
    with weir.raw() as wire:
        wire.query("BEGIN")
    with weir.raw() as wire:
        wire.query("SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1); DO $$ BEGIN "
                   "PERFORM set_config('work_mem', '1MB', false); END $$")
    weir.console("RECONNECT")
    with weir.raw() as wire:
        wire.query("SELECT 1")
        wait_until(lambda: weir.metric("pgweir_pool_pings_total") > 0)
    look()


def listening(weir, look):
    weir.start(pool_size=2)
    look()
    with weir.raw() as wire:
        wire.query("LISTEN moved")
        weir.postgres.query("NOTIFY moved")
        wire.read_until("A")
        look()


def administration(weir, look):
    """Paused; reloaded with other limits, and in vain; too many clients; a cancel; a pool beyond the shown ones."""
    weir.is_loud = True
    weir.start(pool_size=2, max_client_connections=4, max_lines_per_second=1, threshold="0ms", metrics_max_pools=1)
    look()
    with weir.raw() as wire, weir.raw(database="app2") as other:
        other.query("SELECT 1")
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
        send_cancel(weir.address, wire.key)
        wire.read_until("Z")
        for _ in range(10):
            wire.query("SELECT 1")
        extra = [weir.raw() for _ in range(2)]
        with pytest.raises(Exception, match="53300"):
            weir.raw()
        for each in extra:
            each.close()
        look()
    weir.console("PAUSE")
    look()
    weir.console("RESUME")
    weir.reload(pool_size=3, max_client_connections=9, sections={"log": {"destination": "/dev/full"}})
    look()
    weir.reload(pool_size=0, wait=False)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total", result="failed") == 1)
    look()


def encrypted(weir, look, authority):
    weir.start()
    look()
    made = authority.issue("moving", "/CN=localhost", "DNS:localhost,IP:127.0.0.1", key="rsa")
    weir.reload(certificate_file=made.certificate, key_file=made.key)
    with psycopg.connect(weir.dsn(sslmode="require")) as connection:
        connection.execute("SELECT 1")
    look()


def looked_up(weir, look):
    """A user of PostgreSQL's alone; a host that is a name; then one that nobody knows."""
    weir.is_loud = True
    weir.start(upstream=weir.upstream(host="localhost"), method="scram-sha-256", auth_user="asker",
               auth_query="SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1")
    look()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(weir.dsn(user="nobody_knows", password="x"))
    with weir.raw() as wire:
        wire.query("SELECT 1")
    look()
    weir.reload(upstream=weir.upstream(host="nowhere.invalid"))
    with pytest.raises(Exception, match="08"), weir.raw() as wire:
        wire.query("SELECT 1")
    look()


def restarts(weir, look):
    """A restart with a client, and one that fails."""
    weir.start()
    look()
    with weir.raw():
        weir.restart()
        look()
        weir.configure(pool_size=0)
        weir.write_config()
        weir.signal(SIGUSR2)
        weir.wait_log("gave up on process")
        look()


def at_rest(weir, look):
    """What never changes is there, and right."""
    weir.start()
    begun = time.time()
    samples = look()
    at = {name: value for (name, labels), value in samples.items() if not labels}
    for name in ("pgweir_start_time_seconds", "process_start_time_seconds"):
        assert abs(at[name] - begun) < 10
    assert at["process_max_fds"] >= 256
    for one in ("pgweir_build_info", "pgweir_worker_up"):
        assert any(name == one and value == 1 for (name, _), value in samples.items())


def several(weir, look, own_postgres):
    """Clients go to their workers, an idle server to the one that asks for it, and a command concerns those of all."""
    weir.postgres = own_postgres                    # without code: a server crosses once that is known
    weir.start(workers=2, pool_size=8, max_overflow=0)
    look()
    weir.raw().query("SELECT 1")
    weir.wait_log("database app: none of its ")
    weir.raw().query("SELECT 1")
    weir.console("SHOW CLIENTS")
    look()


def external(weir, look):
    """A login that asks an LDAP server which does not answer, and then gives up."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        weir.start({"auth": {"method": "ldap", "ldap_options": f"ldapserver=127.0.0.1 ldapport={silent.getsockname()[1]} ldapprefix=uid="}})
        look()
        wire = weir.wire()
        wire.send(startup())
        wire.read()
        wire.send(password_message("x"))
        wait_until(lambda: sum(of_family(look(), "pgweir_external_logins").values()) == 1)


def budgeted(weir, look, tmp_path):
    """A budget that strangers exceed, and whose lock somebody holds; then another process waits, and has a smaller one."""
    settings = {"budget": "on", "budget_connections": 12, "pool_size": 12, "cluster_user": "scramuser"}
    weir.start(**settings)
    wait_until(lambda: weir.metric("pgweir_budget_joined") == 1)
    look()
    with contextlib.ExitStack() as held:
        (tmp_path / "other").mkdir()
        other = Weir(weir.postgres, tmp_path / "other")
        held.callback(other.teardown)
        other.start(**settings | {"budget_connections": 11})
        waiters = [held.enter_context(other.raw()) for _ in range(4)]
        holders = [held.enter_context(weir.raw()) for _ in range(7)]
        strangers = [held.enter_context(contextlib.closing(weir.postgres.connect(user="web"))) for _ in range(13)]
        wait_until(lambda: weir.metric("pgweir_budget_over_seconds_total") > 0)
        locker = held.enter_context(contextlib.closing(weir.postgres.connect("postgres")))
        locker.cursor().execute("SELECT pg_advisory_lock(1885828466, 0)")      # as in fleet_sql.c
        for wire in holders:
            wire.send(query(BEGIN_NOW))
        wait_until(lambda: weir.metric("pgweir_budget_joined") == 0)
        look()
        for stranger in [locker, *strangers]:
            stranger.close()
        for wire in holders:
            wire.read_until("Z")
        for wire in waiters:
            wire.send(query(BEGIN_NOW))
        wait_until(lambda: any(name == "pgweir_budget_share" for name, _ in look()))
    weir.reload(**settings | {"budget_connections": 13})
    wait_until(lambda: weir.metric("pgweir_budget_own_connections") == 13)
    look()


def read_from(weir, look):
    """A standby is proved, read from, falls behind, and ends."""
    primary = make_primary()
    standby = Standby(primary)
    try:
        weir.start(upstream=f"host={primary.host},{standby.host} port={primary.port},{standby.port} target_session_attrs=primary",
                   reads="prefer_standby", cluster_user="web")
        look()
        backend = f"{standby.host}:{standby.port}"
        wait_until(lambda: weir.metric("pgweir_host_usable", backend=backend) == 1)
        weir.raw().query("SELECT 1")
        standby.query("SELECT pg_wal_replay_pause()", dbname="postgres")
        primary.query("SELECT pg_logical_emit_message(true, 'test', 'x')", dbname="postgres")
        wait_until(lambda: weir.metric("pgweir_host_lag_seconds", backend=backend) > 0)
        look()
        standby.stop()
        wait_until(lambda: weir.metric("pgweir_host_usable", backend=backend) == 0)
        look()
    finally:
        standby.destroy()
        primary.destroy()


def kept(weir, look):
    """An unnamed statement that comes again, and whose plan for any value is slow."""
    with skewed_table(weir.postgres), weir.start(keep_plans="on").raw() as wire:
        look()

        def is_given_up():
            read_kinds(wire)
            return weir.metric("pgweir_plans_given_up_total", database="app") > 0

        wait_until(is_given_up)
        look()


CONSTANT = {"pgweir_build_info", "pgweir_worker_up", "pgweir_start_time_seconds", "process_start_time_seconds",
            "process_max_fds"}
if WORKERS > 1:
    CONSTANT.add("process_virtual_memory_bytes")      # heaps of threads are reserved whole

MOVED_BY = {
    requests: """client_connections client_connections_total client_logins_total client_login_duration_seconds
        pool_server_connections pool_checkouts_total pool_wait_seconds client_requests_total query_duration_seconds
        transaction_duration_seconds server_response_seconds query_phase_seconds_total transaction_idle_seconds_total
        queries_total statements_refused_total transactions_total slow_queries_total errors_total network_bytes_total prepared_statements
        prepared_statement_lookups_total prepared_statement_cache_bytes backend_up backend_connect_duration_seconds
        proxy_overhead_seconds event_loop_lag_seconds event_loop_iterations_total event_loop_busy_seconds_total
        buffer_memory_bytes metrics_scrape_duration_seconds process_cpu_seconds_total process_resident_memory_bytes
        process_virtual_memory_bytes process_open_fds""",
    statements: "prepared_statement_reruns_total prepared_statement_evictions_total",
    kept: "plans_kept_total plans_given_up_total",
    commits: "commits_checked_total",
    line: """pool_overflow_connections pool_waiting_clients pool_oldest_waiter_seconds pool_waits_total
        pool_timeouts_total client_requests_failed_total""",
    outage: """pool_outages_total pool_outage_seconds_total pool_held_requests_total pool_replays_total""",
    pipelined: "pipelined_total",
    upkeep: """pool_recycles_total pool_pings_total pool_ping_duration_seconds pool_pins_total pool_pinned_connections pool_resets_total
        pool_seals_total session_probes_total""",
    listening: """pool_listen_connections pool_listening_clients pool_listen_channels pool_notifications_total""",
    administration: """state config_last_reload_successful config_last_reload_success_timestamp_seconds
        config_reloads_total client_connections_limit client_connections_rejected_total cancel_requests_total canceled_requests_total
        pool_limit_connections slow_log_lines_dropped_total log_lines_dropped_total metrics_pools_aggregated""",
    encrypted: "tls_handshakes_total tls_handshake_duration_seconds tls_certificate_not_after_timestamp_seconds",
    several: "crossings_total crossing_seconds halt_seconds",
    restarts: "restarts_total restart_failures_total restart_clients_total",
    looked_up: """auth_queries_total dns_lookups_total backend_connect_failures_total
        backend_last_failure_timestamp_seconds""",
    external: "external_logins",
    budgeted: """budget_connections budget_own_connections budget_listed budget_others budget_used budget_waiting budget_share
        budget_members budget_joined budget_checks_total budget_check_seconds_total budget_over_seconds_total""",
    read_from: "host_usable host_lag_seconds readings_total reads_total",
    at_rest: "build_info worker_up start_time_seconds process_start_time_seconds process_max_fds",
}


def families_of(provocation):
    return [name if name.startswith("process_") else f"pgweir_{name}" for name in MOVED_BY[provocation].split()]


def of_family(samples, family):
    return {key: value for key, value in samples.items()
            if key[0] in (family, family + "_count", family + "_sum")}


@pytest.mark.parametrize("provocation", MOVED_BY, ids=lambda provocation: provocation.__name__)
def test_it_moves(weir, provocation, request):
    seen = []

    def look():
        time.sleep(0.26)                            # what /metrics shows may be as old as that
        seen.append(weir.metrics())
        return seen[-1]

    wanted = provocation.__code__.co_varnames[2:provocation.__code__.co_argcount]
    provocation(weir, look, *(request.getfixturevalue(name) for name in wanted))
    still = [family for family in families_of(provocation) if family not in CONSTANT and
             all(of_family(samples, family) == of_family(seen[0], family) for samples in seen)]
    assert not still


def test_every_family_has_a_row(weir):
    weir.start(budget="advise", cluster_user="scramuser")
    there = {line.split()[2] for line in weir.http("/metrics").text.splitlines() if line.startswith("# TYPE ")}
    rows = [family for provocation in MOVED_BY for family in families_of(provocation)]
    assert len(rows) == len(set(rows)) and set(rows) == there
