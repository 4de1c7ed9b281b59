"""/metrics, /healthz and /readyz: right in form, right in number, and no door for anybody."""

import re
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress

import psycopg
import pytest

import rawwire
from fakeserver import error
from rawwire import BEGIN_NOW, one_statement, query, sync
from tap import Tap
from waiting import SLOWNESS, each, wait_until
from weir import WORKERS, parse_metrics, read_slowly, timed

pytestmark = pytest.mark.weir_only


def load(weir):
    """Known traffic of database app: 10 simple queries, 5 extended ones, 2 transactions of 2 statements, 3 errors."""
    with weir.raw() as wire:
        for _ in range(10):
            wire.query("SELECT 1")
        for _ in range(5):
            wire.extended("SELECT $1::int", [1])
        for end in ("COMMIT", "ROLLBACK"):
            wire.query(BEGIN_NOW, end)
        for _ in range(3):
            wire.ask(query("SELECT 1/0"))


def test_the_form_is_right(weir):
    """HELP and TYPE before the samples, families in one piece, buckets that grow to +Inf, which is the count."""
    weir.start()
    load(weir)
    answer = weir.http("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = parse_metrics(answer.text)
    seen, family, helped = set(), None, set()
    for line in answer.text.splitlines():
        assert line == line.rstrip() and "\t" not in line
        if line.startswith("# HELP "):
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            family, kind = line.split()[2:4]
            assert family in helped and family not in seen, line
            seen.add(family)
            assert (kind == "counter") == family.endswith("_total"), line
        elif line:
            name = re.match(r"[a-zA-Z0-9_:]+", line)[0]
            assert name == family or kind == "histogram" and \
                name in (family + "_bucket", family + "_sum", family + "_count"), line
    histograms = {}
    for (name, labels), value in samples.items():
        if name.endswith("_bucket"):
            rest = tuple(pair for pair in labels if pair[0] != "le")
            histograms.setdefault((name[:-7], rest), []).append((float(dict(labels)["le"]), value))
    assert histograms
    for (name, labels), buckets in histograms.items():
        buckets.sort()
        assert [value for _, value in buckets] == sorted(value for _, value in buckets), name
        assert buckets[-1][0] == float("inf") and buckets[-1][1] == samples[name + "_count", labels], name


PROMETHEUS_2_42 = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


@pytest.mark.parametrize("accept, is_open", [
    (PROMETHEUS_2_42, True),
    ("application/vnd.google.protobuf;q=1,application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5", True),
    ("application/openmetrics-text", True),
    ("application/openmetrics-text;version=0.0.1", False),
    ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9", False),
    ("application/openmetrics-text;q=0", False),
    ("text/plain", False), ("*/*", False), ("", False), (";;q=,,", False),
])
def test_openmetrics_where_it_is_preferred(weir, accept, is_open):
    weir.start()
    answer = weir.http("/metrics", headers={"Accept": accept})
    assert answer.status == 200 and answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0" if is_open
                                                     else "text/plain; version=0.0.4")
    assert answer.text.endswith("# EOF\n") == is_open


def test_openmetrics_is_well_formed_and_has_exemplars(weir):
    trace = "5bd66ef5095369c7b0d1f8f4bd33716a"
    weir.start(threshold="50ms")
    load(weir)
    with weir.raw() as wire:
        wire.query(f"SELECT pg_sleep(0.12) /*traceparent='00-{trace}-c532cb4098ac3dd2-01'*/", "SELECT pg_sleep(0.3)")
    wait_until(lambda: " # {" in weir.http("/metrics", headers={"Accept": PROMETHEUS_2_42}).text)
    plain = weir.http("/metrics").text
    text = weir.http("/metrics", headers={"Accept": PROMETHEUS_2_42}).text
    kind = {}
    for line in text.splitlines()[:-1]:
        assert line
        if line.startswith("# TYPE "):
            name, of = line.split()[2:]
            assert not name.endswith("_total") and name not in kind
            kind[name] = of
        elif line.startswith("# UNIT "):
            name, unit = line.split()[2:]
            assert name in kind and name.endswith("_" + unit)
        elif not line.startswith("# HELP "):
            sample = re.match(r"[a-z_]+", line)[0]
            family = max((name for name in kind if sample.startswith(name)), key=len)
            assert sample in {"counter": {family + "_total"}, "gauge": {family},
                              "histogram": {family + end for end in ("_bucket", "_sum", "_count")}}[kind[family]]
    exemplars = [line for line in text.splitlines() if " # {" in line]
    assert len(exemplars) == 1 and " # {" not in plain
    found = re.fullmatch(r'pgweir_query_duration_seconds_bucket\{database="app",le="([\d.]+|\+Inf)"\} \d+ '
                         r'# \{trace_id="' + trace + r'"\} ([\d.]+) (\d+\.\d+)', exemplars[0])
    assert found and 0.1 <= float(found[2]) <= float(found[1])      # a machine that does much else may make it long
    assert abs(float(found[3]) - time.time()) < 30 * SLOWNESS


def test_the_numbers_are_right(weir):
    weir.start(pool_size=1)
    load(weir)
    wait_until(lambda: weir.metric("pgweir_client_requests_total", database="app") >= 22)
    m = weir.metric
    assert m("pgweir_client_requests_total", database="app") == 22
    assert m("pgweir_queries_total", database="app", kind="simple") == 17
    assert m("pgweir_queries_total", database="app", kind="extended") == 5
    assert m("pgweir_transactions_total", database="app") == 20
    assert m("pgweir_transactions_total", database="app", end="rollback") in (1, 4)     # errors may count as one
    assert m("pgweir_errors_total", database="app", origin="server", sqlstate_class="22") == 3
    assert m("pgweir_query_duration_seconds_count", database="app") == 22
    assert m("pgweir_client_requests_failed_total", database="app") == 0
    assert m("pgweir_pool_checkouts_total", database="app", user="web") in (20, 21)     # the login may have one, too
    assert m("pgweir_client_logins_total", result="ok") >= 1
    assert m("pgweir_network_bytes_total", database="app", side="client", direction="in") > 500
    assert m("pgweir_network_bytes_total", database="app", side="server", direction="in") > 500
    assert m("pgweir_backend_up") == 1
    assert m("pgweir_pool_server_connections", database="app", state="idle") == 1


def test_phases_add_up_and_name_the_culprit(weir):
    with weir.start(pool_size=1).raw() as wire, weir.raw() as waiter:
        wire.send(query("SELECT pg_sleep(1.5)"))
        wait_until(lambda: weir.pool()["sv_active"] == 1)
        waiter.send(query("SELECT pg_sleep(0.2)"))
        wire.read_until("Z")
        waiter.read_until("Z")
    wait_until(lambda: weir.metric("pgweir_query_duration_seconds_count", database="app") >= 2)
    phases = {phase: weir.metric("pgweir_query_phase_seconds_total", database="app", phase=phase)
              for phase in ("wait", "connect", "server", "stream", "client_write", "proxy")}
    assert 1.65 < phases["server"] < 3 * SLOWNESS, phases
    assert 0.2 < phases["wait"] < 2 * SLOWNESS, phases
    assert phases["proxy"] < 0.15 * SLOWNESS and phases["client_write"] < 0.15 * SLOWNESS, phases
    assert abs(sum(phases.values()) - weir.metric("pgweir_query_duration_seconds_sum", database="app")) < 0.05


def test_a_slow_reader_is_client_write_not_server(weir):
    weir.start(pool_size=1)
    read_slowly(weir)
    wait_until(lambda: weir.metric("pgweir_query_duration_seconds_count", database="app") >= 1)
    written = weir.metric("pgweir_query_phase_seconds_total", database="app", phase="client_write")
    server = weir.metric("pgweir_query_phase_seconds_total", database="app", phase="server")
    assert written > 0.5 and server < written / 2, (written, server)


def test_think_time_in_a_transaction_is_nobodys(weir):
    with weir.start(pool_size=1).raw() as wire:
        wire.query("SELECT 1")              # opens the server
        weir.settle()
        before = weir.metric_now("pgweir_query_phase_seconds_total", database="app")
        wire.query(BEGIN_NOW)
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 1)
        wire.query("COMMIT")
    wait_until(lambda: weir.metric("pgweir_transaction_duration_seconds_count", database="app") >= 1)
    assert weir.metric("pgweir_query_phase_seconds_total", database="app") - before < 0.7
    assert weir.metric("pgweir_transaction_duration_seconds_sum", database="app") > 0.95


@pytest.mark.parametrize("how", ["the client leaves", "idle_transaction_timeout", "PostgreSQL ends it"])
def test_a_transaction_that_is_lost_has_taken_its_time_too(weir, how):
    """In the histogram, in the time that clients were idle, and in SHOW STATS, as it is in pgweir_transactions_total."""
    weir.start(pool_size=1, idle_transaction_timeout="800ms" if "idle" in how else "0s")
    with weir.raw() as wire:
        wire.query(BEGIN_NOW)
        begin = time.monotonic()
        if "idle" in how:
            wire.read_until("E")
        else:
            wait_until(lambda: time.monotonic() - begin > 0.8)
        if "PostgreSQL" in how:
            weir.postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
    wait_until(lambda: weir.metric("pgweir_transactions_total", database="app", end="lost") == 1)
    weir.settle()
    count = weir.metric_now("pgweir_transaction_duration_seconds_count", database="app")
    assert count == weir.metric_now("pgweir_transactions_total", database="app")
    for name in ("pgweir_transaction_duration_seconds_sum", "pgweir_transaction_idle_seconds_total"):
        assert 0.75 < weir.metric_now(name, database="app") < 30 * SLOWNESS, name
    assert next(int(row["total_xact_time"]) for row in weir.console("SHOW STATS") if row["database"] == "app") > 750_000


def test_gauges_show_the_present(weir):
    weir.start(pool_size=1, max_overflow=1)
    one, two, three = (weir.raw() for _ in range(3))
    one.query(BEGIN_NOW)
    two.query(BEGIN_NOW)
    three.send(query("SELECT 1"))
    weir.wait_waiting(1)
    wait_until(lambda: weir.metric("pgweir_pool_waiting_clients", database="app", user="web") == 1)
    wait_until(lambda: weir.metric("pgweir_pool_oldest_waiter_seconds", database="app") > 0.2)
    assert weir.metric("pgweir_pool_overflow_connections", database="app") == 1
    assert weir.metric("pgweir_pool_server_connections", database="app", state="active") == 2
    assert weir.metric("pgweir_client_connections", state="waiting", database="app") == 1
    assert weir.metric("pgweir_client_connections_limit") == 1000
    assert weir.metric("pgweir_state", state="running") == 1
    one.query("COMMIT")
    two.query("COMMIT")
    three.read_until("Z")
    wait_until(lambda: weir.metric("pgweir_pool_waiting_clients", database="app") == 0)


def test_logins_are_counted_by_result(weir):
    weir.start(method="scram-sha-256")
    weir.wire().login(password="web-secret")
    for user, password, database in (("web", "wrong", "app"), ("ghost", "x", "app"), ("web", "web-secret", "nowhere")):
        with pytest.raises(rawwire.LoginRefused):
            weir.wire().login(user, database, password)
    wait_until(lambda: weir.metric("pgweir_client_logins_total") >= 4)
    for result in ("ok", "bad_password", "no_such_user", "no_such_database"):
        assert weir.metric("pgweir_client_logins_total", result=result) == 1, result
    assert weir.metric("pgweir_client_logins_total", result="ok", method="scram") == 1


def test_slow_queries_are_counted(weir):
    """SELECT 1 is none, but where the machine was too slow for it."""
    def counted():
        return weir.metric_now("pgweir_slow_queries_total", database="app")
    with weir.start(threshold="100ms").raw() as wire:
        wire.query("SELECT pg_sleep(0.15)")
        wait_until(lambda: counted() >= 1)

        def is_fast():
            before = counted()
            wire.query("SELECT 1")
            return counted() == before
        wait_until(is_fast)


def test_the_edge_at_100_ms_is_exact(weir):
    """What took its client less than that is below; what PostgreSQL slept for longer is not."""
    weir.start()
    took = []
    with weir.raw() as wire:
        while len(took) < 5 or min(took) >= 0.1:
            took.append(timed(wire.query, "SELECT 1")[1])
        wire.query("SELECT pg_sleep(0.12)")
    wait_until(lambda: weir.metric("pgweir_query_duration_seconds_count", database="app") == len(took) + 1)
    below = weir.metric("pgweir_query_duration_seconds_bucket", database="app", le="0.1")
    assert sum(seconds < 0.1 for seconds in took) <= below <= len(took), took
    assert weir.metric("pgweir_query_duration_seconds_bucket", database="app", le="+Inf") == len(took) + 1


def test_counters_never_fall(weir):
    weir.start()
    before = weir.metrics()
    for _ in range(3):
        load(weir)
        time.sleep(0.3)                     # a snapshot may be 250 ms old
        after = weir.metrics()
        for key, value in before.items():
            if key[0].endswith(("_total", "_bucket", "_count")):
                assert after[key] >= value, key
        before = after


@pytest.mark.needs("promtool")
def test_promtool_likes_it_whatever_names_are_in_it(weir):
    weir.start(sections={"database *": {"upstream": weir.upstream(dbname="app")}})
    load(weir)
    for name in ('a"b\\c', "new\nline", "ünïcode", b"\xff\xfe"):
        with suppress(rawwire.WireError), weir.wire() as wire:
            wire.login("web", name)
            wire.query("SELECT 1")
    samples = weir.metrics()                                # parses strictly
    databases = {dict(labels).get("database") for _, labels in samples}
    assert 'a"b\\c' in databases and "new\nline" in databases and "ünïcode" in databases
    done = subprocess.run(["promtool", "check", "metrics"], input=weir.http("/metrics").text, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pools_beyond_the_limit_are_added_up(weir):
    weir.start(sections={"database *": {"upstream": weir.upstream(dbname="app")}}, metrics_max_pools=3)
    for number in range(8):
        with weir.raw(database=f"db{number}") as wire:
            wire.query("SELECT 1")
    pools = wait_until(lambda: found if len(found := {labels for (name, labels) in weir.metrics()
                                                      if name == "pgweir_pool_waiting_clients"}) >= 4 else None)
    names = {dict(labels)["database"] for labels in pools}
    assert "_other" in names and len(names) == 4
    assert weir.metric("pgweir_metrics_pools_aggregated") == 5
    assert weir.metric("pgweir_pool_checkouts_total") >= 8


# --- HTTP ---

def test_health_and_readiness(weir):
    weir.start()
    load(weir)
    assert weir.http("/healthz").status == 200 and weir.http("/readyz").status == 200
    weir.console("PAUSE")
    paused = wait_until(lambda: weir.http("/readyz") if weir.http("/readyz").status == 503 else None)
    assert "paused" in paused.text
    assert weir.http("/healthz").status == 200
    weir.console("RESUME")
    wait_until(lambda: weir.http("/readyz").status == 200)


def lose_all(weir, tap, **login):
    """A client notices that nobody is there, and leaves; so nobody asks any more."""
    tap.shut()
    tap.cut()
    with pytest.raises(rawwire.WireError):
        weir.raw(**login).query("SELECT 1")
    wait_until(lambda: weir.http("/readyz").status == 503)
    assert weir.http("/healthz").status == 200


def test_ready_again_though_nobody_asks(weir, tap):
    """A load balancer sends nobody to where /readyz is 503."""
    weir.start(upstream=f"host={tap.host} port={tap.port}")
    load(weir)
    lose_all(weir, tap)
    backend = f"{tap.host}:{tap.port}"
    before = weir.metric("pgweir_backend_connect_failures_total", backend=backend)
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", backend=backend) >= before + 2)
    tap.open()
    wait_until(lambda: weir.http("/readyz").status == 200)
    assert weir.metric("pgweir_backend_up", backend=backend) == 1
    weir.wait_log("the outage is over")
    weir.settle()                               # it may be asked about the database's code at this moment
    assert weir.pool()["sv_idle"] == 1          # for the first that comes


def test_a_hundred_pools_on_a_dead_host_are_one_attempt(weir, tap):
    weir.start(upstream=f"host={tap.host} port={tap.port}",
               sections={f"database app{i}": {"upstream": f"host={tap.host} port={tap.port} dbname=app"}
                         for i in range(20)})
    for i in range(20):
        weir.raw(database=f"app{i}").query("SELECT 1")
    lose_all(weir, tap, database="app0")
    with pytest.raises(rawwire.WireError):
        weir.raw(database="app1").query("SELECT 1")
    backend, told = f"{tap.host}:{tap.port}", lambda what: weir.log().count(what)
    wait_until(lambda: told("an outage begins") == 2)
    counted, begun = weir.metric("pgweir_backend_connect_failures_total", backend=backend), time.monotonic()
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total", backend=backend) >= counted + 6 * WORKERS)
    assert time.monotonic() - begun > 0.9       # one in 0.8 s of each worker, not one of each pool, which would be 0.2 s
    tap.open()
    wait_until(lambda: weir.http("/readyz").status == 200)
    wait_until(lambda: told("the outage is over") == 2)
    assert told("an outage begins") == 2


def test_a_host_that_starts_up_is_not_there_and_a_pause_is_respected(weir, fake):
    weir.start(upstream=f"host=127.0.0.1 port={fake.port}")
    weir.raw().query("SELECT 1")
    begun = []

    def starting(conn):
        conn.read_startup()
        begun.append(conn)
        conn.send(error("57P03", "the database system is starting up", "FATAL"))
    fake.script = starting
    weir.console("RECONNECT")
    with pytest.raises(rawwire.WireError):
        weir.raw().query("SELECT 1")
    wait_until(lambda: weir.http("/readyz").status == 503)
    asked = len(begun)
    wait_until(lambda: len(begun) >= asked + 2)
    assert weir.http("/readyz").status == 503
    weir.console("PAUSE")
    asked = len(begun)
    with weir.raw(database="pgweir", user="admin") as console:
        time.sleep(1.2)                         # nothing happens that could be waited for
        console.query("SHOW VERSION")
    assert len(begun) <= asked + 1              # one may have been under way
    fake.script = None
    weir.console("RESUME")
    wait_until(lambda: weir.http("/readyz").status == 200)


def test_an_unknown_database_is_no_outage(weir):
    """PostgreSQL was there, and said so."""
    weir.start(sections={"database nowhere": {"upstream": f"host={weir.postgres.host} port={weir.postgres.port}"}})
    with pytest.raises(rawwire.WireError):
        weir.raw(database="nowhere").query("SELECT 1")
    wait_until(lambda: weir.metric("pgweir_backend_connect_failures_total") >= 1)
    assert weir.metric("pgweir_backend_up") == 1 and weir.http("/readyz").status == 200


def test_each_host_of_several_is_found_again(weir, tap):
    """The second one was asked in the outage, and is not needed any more; a connection to it is not kept."""
    other = Tap((weir.postgres.host, weir.postgres.port))
    weir.start(upstream=f"host={tap.host},{other.host} port={tap.port},{other.port}")
    weir.raw().query("SELECT 1")
    other.shut()
    lose_all(weir, tap)
    tap.open()
    names = [f"{one.host}:{one.port}" for one in (tap, other)]
    wait_until(lambda: weir.metric("pgweir_backend_up", backend=names[0]) == 1)
    assert weir.metric("pgweir_backend_up", backend=names[1]) == 0
    weir.raw().query("SELECT 1")
    other.open()
    wait_until(lambda: weir.metric("pgweir_backend_up", backend=names[1]) == 1)
    wait_until(lambda: {row["port"] for row in weir.console("SHOW SERVERS")} == {tap.port})
    other.close()


def test_a_host_that_no_pool_leads_to_is_unknown(weir, tap):
    weir.start(upstream=f"host={tap.host} port={tap.port}")
    weir.raw().query("SELECT 1")
    lose_all(weir, tap)
    weir.reload(upstream=f"host={weir.postgres.host} port={weir.postgres.port}")
    wait_until(lambda: weir.http("/readyz").status == 200)


@pytest.mark.parametrize("path, method, status", [
    ("/nowhere", "GET", 404), ("/metrics", "POST", 405), ("/metrics", "DELETE", 405), ("/metrics", "PUT", 405),
    ("/metrics/../etc/passwd", "GET", 404), ("/%00", "GET", 404)])
def test_what_is_not_there_is_refused(weir, path, method, status):
    weir.start()
    assert weir.http(path, method).status in (status, 400, 501, 404 if status == 405 else status)
    assert weir.http("/metrics").status == 200


def test_head_gives_headers_only(weir):
    weir.start()
    answer = weir.http("/metrics", "HEAD")
    assert answer.status == 200 and answer.text == ""
    assert weir.http("/metrics?x=y").status == 200      # a query string does not matter


@pytest.mark.sweep(keep=2)
@pytest.mark.long
@pytest.mark.parametrize("data", [b"\xff" * 1000, b"GET " + b"x" * 100_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
                                  b"\r\n" * 1000, b"GET /metrics HTTP/9.9\r\n\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f"],
                         ids=["garbage", "long path", "long header", "blank lines", "version", "ssl request"])
def test_bad_requests_hurt_nobody(weir, data):
    weir.start()
    with socket.create_connection((weir.host, weir.http_port)) as sock:
        sock.settimeout(10)
        with suppress(OSError):
            sock.sendall(data)
            while sock.recv(65536):
                pass
    assert weir.http("/metrics").status == 200 and weir.raw().query("SELECT 1") == [["1"]]


@pytest.mark.parametrize("sslmode", ["disable", "prefer"])
def test_a_client_of_postgresql_hears_which_port_it_has_found(weir, sslmode):
    weir.start()
    with pytest.raises(psycopg.OperationalError, match="this port speaks HTTP"):
        psycopg.connect(host=weir.host, port=weir.http_port, user="web", dbname="app", sslmode=sslmode, connect_timeout=60)
    assert weir.http("/healthz").status == 200


def test_a_client_that_speaks_tls_where_there_is_none_hears_so_at_once(weir):
    """By an alert; the log says, once a minute, what to do."""
    weir.start()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(2):
        with socket.create_connection((weir.host, weir.http_port)) as sock, pytest.raises(ssl.SSLError, match="(?i)handshake.failure"):
            context.wrap_socket(sock)
    line, = wait_until(lambda: [line for line in weir.log().splitlines() if "speaks TLS" in line])
    assert "must use http://, unless tls_cert_file and tls_key_file are set in section [http]" in line
    assert weir.http("/healthz").status == 200


@pytest.mark.parametrize("parts", [[b"\0"], [b"\0\0", b"\0\x08\x04\xd2\x16/", b"\0\0\0\x08\0\x03\0\0"], [b"\0" * 40000]],
                         ids=["a zero", "a request for TLS in parts", "zeros"])
def test_what_begins_like_postgresql_hurts_nobody(weir, parts):
    weir.start()
    with socket.create_connection((weir.host, weir.http_port)) as sock:
        for part in parts:
            sock.sendall(part)
            assert weir.http("/healthz").status == 200
        sock.settimeout(10 * SLOWNESS)
        got = b""
        with suppress(ConnectionError):
            while len(parts) > 1 and b"speaks HTTP" not in got and (more := sock.recv(4096)):
                got += more
        assert len(parts) == 1 or (got.startswith(b"NE") and b"speaks HTTP" in got)


def test_slow_and_silent_scrapers_do_not_keep_others_out_for_long(weir):
    weir.start()
    silent = []
    for _ in range(40):
        try:
            silent.append(socket.create_connection((weir.host, weir.http_port), 2))
        except OSError:
            break
    wait_until(lambda: weir.http("/metrics").status == 200)
    assert weir.raw().query("SELECT 1") == [["1"]]
    each(silent).close()


def test_scraping_under_load_disturbs_nobody(weir):
    weir.start(pool_size=2)
    stop = threading.Event()

    def scrape():
        while not stop.is_set():
            weir.http("/metrics")
    jobs = [weir.in_background(scrape) for _ in range(4)]
    try:
        with weir.raw() as wire:
            took = sorted(timed(lambda: wire.ask(one_statement("SELECT 1") + sync()))[1] for _ in range(300))
        assert took[150] < 0.1 * SLOWNESS
    finally:
        stop.set()
        each(jobs).result()


def test_http_can_be_off(weir):
    weir.start(sections={"http": {"listen": "off"}})
    assert weir.raw().query("SELECT 1") == [["1"]]
    with pytest.raises(OSError):
        socket.create_connection((weir.host, weir.http_port), 1)
