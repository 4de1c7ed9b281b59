"""Tenants: the ways to name one, what keeps them apart, templates, and what the console and the metrics call them."""

import asyncio

import asyncpg
import psycopg
import pytest

from fakeserver import auth
from rawwire import BEGIN_NOW, LoginRefused, errors, query, scram_verifier, send_cancel
from waiting import each, wait_until
from weir import parse_metrics

pytestmark = pytest.mark.weir_only


@pytest.fixture(autouse=True)
def console_password(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "admin-secret")


@pytest.fixture
def tenants(weir):
    """acme and globex, whose databases are app and app2; both have a user web."""
    def start(ways="user, options", sections=None, upstreams=None, **settings):
        upstreams = upstreams or {"acme": weir.upstream(dbname="app"), "globex": weir.upstream(dbname="app2")}
        weir.users.update({"web.acme": "acme-secret", "web.globex": "globex-secret"})
        merged = {"pgweir": {"tenants": ways}, "limits": {"login_failure_delay": "0s"},
                  **{f"tenant {name}": {"upstream": upstream} for name, upstream in upstreams.items()}}
        for name, keys in (sections or {}).items():
            merged.setdefault(name, {}).update(keys)
        weir.start(merged, method=settings.pop("method", "scram-sha-256"), **settings)
        return weir
    return start


def refused(weir, sqlstate, user="web", database="app", password="x", **options):
    """The error that a login gets."""
    with pytest.raises(LoginRefused) as refusal:
        weir.wire().login(user, database, password, **options)
    assert refusal.value.reply.sqlstate == sqlstate, refusal.value.reply.error
    return refusal.value.reply.error


def login(weir, tenant, user="web", database="postgres", **options):
    return weir.keep(weir.wire().login(f"{user}.{tenant}", database, f"{tenant}-secret", **options))


# --- the ways to name one ---

def test_by_the_user_name(tenants):
    weir = tenants()
    assert login(weir, "acme").query("SELECT current_database(), current_user") == [["app", "web"]]
    assert login(weir, "globex").query("SELECT current_database(), current_user") == [["app2", "web"]]


@pytest.mark.parametrize("options", ["reference=acme", "-c reference=acme", "--reference=acme", "-creference=acme",
                                     "-c statement_timeout=7s reference=acme", "reference=acme reference=acme"])
def test_by_options(tenants, options):
    weir = tenants()
    with weir.wire().login("web", "postgres", "acme-secret", {"options": options}) as wire:
        assert wire.query("SELECT current_database(), current_user") == [["app", "web"]]
        if "statement_timeout" in options:
            assert wire.value("SHOW statement_timeout") == "7s"


def test_options_and_the_user_may_agree(tenants):
    weir = tenants()
    assert login(weir, "acme", parameters={"options": "reference=acme"}).value("SELECT current_user") == "web"


@pytest.mark.parametrize("user, options", [("web.globex", "reference=acme"), ("web", "reference=acme reference=globex"),
                                           ("web", "reference="), ("web", "reference=a.b"),
                                           ("web", "reference=a/b"), ("web.acme", "reference=ACME")])
def test_names_that_contradict_or_cannot_be_are_refused(tenants, user, options):
    weir = tenants()
    refused(weir, "28000", user, parameters={"options": options}, password="acme-secret")


def test_ways_that_are_not_switched_on_mean_nothing(tenants):
    weir = tenants("options")
    with weir.wire().login("web", "postgres", "globex-secret", {"options": "reference=globex"}) as wire:
        assert wire.value("SELECT current_database()") == "app2"
    error = refused(weir, "28P01", "web.acme", "postgres", "acme-secret", parameters={"options": "reference=globex"})
    assert '"web.acme.globex"' in error["M"]


def test_reference_in_options_is_postgresqls_without_tenants(weir):
    weir.start()
    refused(weir, "42601", parameters={"options": "reference=acme"})


def test_a_login_without_a_tenant_gets_the_plain_databases(tenants):
    weir = tenants()
    with weir.raw(password="web-secret") as wire:
        assert wire.query("SELECT current_database(), current_user") == [["app", "web"]]
    assert weir.pool("app", "web") is not None


@pytest.mark.parametrize("database", ["acme/app", "acme/postgres", "nobody/x"])
def test_a_plain_user_can_not_reach_a_tenant_by_the_databases_name(tenants, database):
    weir = tenants(sections={"database *": {"upstream": "host=127.0.0.1 port=1"}})
    refused(weir, "3D000", "web", database, "web-secret")
    assert weir.pool(database, "web") is None


@pytest.mark.parametrize("ways", ["options", "options, sni"])
def test_a_tenants_user_gets_into_no_plain_database(tenants, weir, ways):
    """Its secret is the tenant's, and servers would log in as somebody who may there."""
    tenants(ways, upstreams=None, sections={"database shared": {"upstream": weir.upstream(dbname="app", user="web",
                                                                                           password="web-secret")}})
    refused(weir, "28000", "web.acme", "shared", "acme-secret")
    assert weir.raw("web", "shared", "web-secret").value("SELECT current_user") == "web"


def test_the_console_belongs_to_no_tenant(tenants):
    weir = tenants(sections={"auth": {"admin_users": "admin, web.acme"}})
    with weir.wire().login("web.acme", "pgweir", "acme-secret") as wire:
        assert wire.query("SHOW VERSION")
    refused(weir, "28P01", "admin.acme", "pgweir")
    with weir.wire().login("admin", "pgweir", "admin-secret", {"options": "reference=acme"}) as wire:
        assert wire.query("SHOW VERSION")


def test_the_database_is_the_users_name_when_not_given(tenants, weir):
    tenants(upstreams={"acme": weir.upstream()})
    refused_as = refused(weir, "3D000", "web.acme", None, "acme-secret")
    assert '"web"' in refused_as["M"]


# --- apart ---

def test_one_tenants_password_opens_no_other(tenants):
    weir = tenants()
    refused(weir, "28P01", "web.acme", password="globex-secret")
    refused(weir, "28P01", "web.acme", password="web-secret")
    refused(weir, "28P01", "web", parameters={"options": "reference=acme"}, password="web-secret")
    refused(weir, "28P01", "web", password="acme-secret")


def test_an_unknown_tenant_looks_like_an_unknown_user(tenants):
    """Up to the end of the exchange; whoever has a secret hears what is missing."""
    weir = tenants()
    weir.users["web.ghost"] = "ghost-secret"
    weir.reload(weir.config, method="scram-sha-256")
    unknown = refused(weir, "28P01", "web.nobody")
    assert "tenant" not in unknown["M"]
    assert 'tenant "ghost" is not configured' in refused(weir, "3D000", "web.ghost", password="ghost-secret")["M"]
    assert weir.console("SHOW POOLS") is not None
    assert not [row for row in weir.console("SHOW DATABASES") if "/" in row["name"]]


def test_pools_are_apart(tenants):
    weir = tenants(pool_size=1)
    acme, globex = login(weir, "acme"), login(weir, "globex")
    acme.query(BEGIN_NOW)
    globex.query("BEGIN")                       # a server of its own
    pids = {wire.value("SELECT pg_backend_pid()") for wire in (acme, globex)}
    assert len(pids) == 2
    assert weir.pool("acme/postgres", "web")["sv_active"] == 1
    assert weir.pool("globex/postgres", "web")["sv_active"] == 1


def test_notifications_stay_within_a_tenant(tenants, weir):
    """Two tenants of one database, even."""
    tenants(upstreams={"acme": weir.upstream(dbname="app"), "globex": weir.upstream(dbname="app")}, pool_size=2)
    acme, globex = login(weir, "acme"), login(weir, "globex")
    acme.query("LISTEN news")
    globex.query("LISTEN other")
    assert weir.metric("pgweir_pool_listening_clients", database="acme/postgres") == 1
    assert weir.metric("pgweir_pool_listening_clients", database="globex/postgres") == 1
    acme.send(query("NOTIFY news, 'for acme'"))
    heard, = [reply for reply in acme.read_until("ZA", 2) if reply.type == "A"]
    assert b"for acme" in heard.body
    assert globex.has_nothing_more()


def test_settings_and_statements_stay_within_a_tenant(tenants, weir):
    tenants(upstreams={name: weir.upstream(dbname="app") for name in ("acme", "globex")}, pool_size=1)
    acme, globex = login(weir, "acme"), login(weir, "globex")
    acme.query("SET search_path TO secret")
    assert acme.extended("SELECT 'of acme'", name="s") == [["of acme"]]
    assert globex.value("SHOW search_path") == '"$user", public'
    assert globex.extended("SELECT 'of globex'", name="s") == [["of globex"]]
    assert globex.value("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%acme%'") == "0"


def test_a_cancel_hits_its_own_tenant_only(tenants):
    weir = tenants()
    acme, globex = login(weir, "acme"), login(weir, "globex")
    each((acme, globex)).send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: len(weir.postgres.backends(wait_event="PgSleep")) == 2, what="both queries")
    send_cancel(weir.address, acme.key)
    assert errors(acme.read_until("Z"))[0].sqlstate == "57014"
    assert globex.has_nothing_more()
    send_cancel(weir.address, globex.key)
    globex.read_until("Z")


def test_a_server_is_never_shown_another_secret_than_its_tenants(weir, fake):
    """users.txt has a secret of plain web: a hostile tenant's server may ask for it and gets none."""
    asked = []

    def script(conn):
        conn.read_startup()
        conn.send(auth(3))
        asked.append(conn.read())
    fake.script = script
    weir.users["other.evil"] = "evil-secret"
    weir.start({"pgweir": {"tenants": "user"}, "tenant evil": {"upstream": fake.upstream + " user=web"}},
               method="scram-sha-256")
    with pytest.raises(LoginRefused):
        weir.wire().login("other.evil", "app", "evil-secret")
    assert not asked


def test_scram_passes_through_per_pool(tenants, weir):
    """No plain password anywhere: the verifier in users.txt is that of the tenant's role."""
    secret = weir.postgres.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'")
    verifier = secret[0][0] if isinstance(secret, list) else secret
    weir.users["scramuser.acme"] = verifier
    weir.users["scramuser.globex"] = scram_verifier("another")
    tenants()
    with weir.wire().login("scramuser.acme", "postgres", "scram-secret") as wire:
        assert wire.value("SELECT current_user") == "scramuser"
    with weir.wire().login("scramuser", "postgres", "scram-secret", {"options": "reference=acme"}) as wire:
        assert wire.value("SELECT current_user") == "scramuser"
    refused(weir, "28P01", "scramuser.globex", "postgres", "scram-secret")


@pytest.mark.parametrize("user, options", [("web.acme", {}), ("web", {"options": "reference=acme"})])
def test_md5_with_a_plain_secret(tenants, user, options):
    """The client's answer is made with the name it sent."""
    weir = tenants(method="md5")
    with weir.wire().login(user, "postgres", "acme-secret", options) as wire:
        assert wire.value("SELECT current_user") == "web"


# --- templates ---

def test_a_template_serves_tenants_that_are_not_listed(weir, fake):
    weir.users.update({"web.one": "one-secret", "web.two": "two-secret"})
    weir.start({"pgweir": {"tenants": "user"},
                "tenant *": {"upstream": f"host={fake.host} port={fake.port} user=%{{user}}_%{{tenant}} "
                                         "dbname=%{tenant}_%{database} application_name=%{tenant}"}},
               method="scram-sha-256")
    for tenant in ("one", "two"):
        assert login(weir, tenant, database="shop").query("SELECT 1") == [["fake"]]
    seen = {(conn.startup["user"], conn.startup["database"], conn.startup["application_name"])
            for conn in fake.logins()}
    assert seen == {("web_one", "one_shop", "one"), ("web_two", "two_shop", "two")}


def test_a_templates_host(weir):
    """Never an address that a tenant's name would make."""
    weir.users.update({"web.2130706433": "2130706433-secret", "web.nowhere": "nowhere-secret"})
    weir.start({"pgweir": {"tenants": "user"}, "tenant *": {"upstream": "host=%{tenant}"}}, method="scram-sha-256",
               connect_timeout="1s")
    error = refused(weir, "08001", "web.2130706433", password="2130706433-secret")
    assert "address" in error["M"]
    error = refused(weir, "08001", "web.nowhere", password="nowhere-secret")
    assert "nowhere" in error["M"]


def test_invented_tenants_leave_nothing(weir, fake, sanitized):
    weir.users["web.one"] = "one-secret"
    weir.start({"pgweir": {"tenants": "user, options"}, "tenant *": {"upstream": fake.upstream},
                "limits": {"login_failure_delay": "0s"}}, method="scram-sha-256")
    login(weir, "one")
    before = weir.memory_bytes()
    for number in range(200):
        refused(weir, "28P01", f"web.invented{number}")
    assert [row["database"] for row in weir.console("SHOW POOLS") if "/" in row["database"]] == ["one/postgres"]
    assert sanitized or weir.memory_bytes() - before < 4_000_000
    assert len(fake.logins()) == 1


def test_a_reload_takes_a_tenant_away_and_changes_another(tenants, weir, fake):
    fake_upstream = fake.upstream
    tenants()
    acme, globex = login(weir, "acme"), login(weir, "globex")
    assert acme.value("SELECT current_database()") == "app"
    config = {name: keys for name, keys in weir.config.items() if name.startswith("tenant ") or name == "pgweir"}
    config["tenant acme"] = {"upstream": fake_upstream}
    config["tenant globex"] = None
    weir.reload(config, method="scram-sha-256")
    assert acme.value("SELECT 1") == "fake"
    refused(weir, "3D000", "web.globex", "postgres", "globex-secret")
    globex.close()
    wait_until(lambda: not [row for row in weir.console("SHOW DATABASES") if row["name"] == "globex/postgres"],
               what="the database to be forgotten")
    assert weir.metric("pgweir_queries_total", database="globex/postgres") == 0


def test_switching_tenants_on_moves_no_client_to_one(weir):
    """A plain database was called as a tenant's is now."""
    weir.users["web.acme"] = "acme-secret"
    sections = {"database acme/app": {"upstream": weir.upstream(dbname="app")}}
    weir.start(sections, method="scram-sha-256")
    plain = weir.keep(weir.wire().login("web", "acme/app", "web-secret"))
    assert plain.value("SELECT current_database()") == "app"
    weir.reload({"pgweir": {"tenants": "user"}, "tenant acme": {"upstream": weir.upstream(dbname="app2")}},
                method="scram-sha-256")
    tenant = login(weir, "acme", database="app")
    assert tenant.value("SELECT current_database()") == "app2"
    assert plain.value("SELECT current_database()") == "app"
    refused(weir, "3D000", "web", "acme/app", "web-secret")
    wait_until(lambda: weir.metric("pgweir_queries_total", database="acme/app") == 3, what="one row for both")


# --- limits, console, metrics ---

def test_settings_of_one_tenant(tenants, weir):
    tenants(sections={"tenant acme": {"upstream": weir.upstream(dbname="app"), "pool_size": 1, "pool_timeout": "1s"}})
    first, second = login(weir, "acme"), login(weir, "acme")
    first.query(BEGIN_NOW)
    assert errors(second.ask(query("SELECT 1")))[0].sqlstate == "53300"
    others = [login(weir, "globex") for _ in range(3)]
    each(others).query(BEGIN_NOW)


def test_clients_of_all_databases_of_a_tenant_count_together(tenants, weir):
    tenants(upstreams={"acme": weir.upstream(), "globex": weir.upstream()},
            sections={"tenant acme": {"max_db_client_connections": 2}})
    login(weir, "acme", database="app")
    second = login(weir, "acme", database="app2")
    error = refused(weir, "53300", "web.acme", "postgres", "acme-secret")
    assert 'tenant "acme"' in error["M"]
    for database in ("app", "app2", "postgres"):
        login(weir, "globex", database=database)
    second.close()
    wait_until(lambda: login(weir, "acme", database="postgres"), what="room for another")


def test_logins_to_all_databases_of_a_tenant_count_together(tenants, weir):
    tenants(upstreams={"acme": weir.upstream(), "globex": weir.upstream()},
            sections={"tenant acme": {"db_login_rate": 1}})
    refusals = 0
    for database in ("app", "app2", "postgres", "template1") * 2:
        try:
            login(weir, "acme", database=database)
        except LoginRefused as refusal:
            assert refusal.reply.sqlstate == "53300"
            refusals += 1
        login(weir, "globex", database="app")
    assert refusals >= 4


def test_users_of_tenants_that_are_called_alike_count_apart(tenants):
    weir = tenants(sections={"user web.acme": {"max_user_client_connections": 1},
                             "user web": {"max_user_client_connections": 1}})
    login(weir, "acme")
    refused(weir, "53300", "web.acme", "postgres", "acme-secret")
    for _ in range(2):
        login(weir, "globex")
    with weir.raw(password="web-secret"):
        refused(weir, "53300", "web", "app", "web-secret")


def test_hba_rules_see_the_whole_names(tenants, weir, tmp_path):
    rules = tmp_path / "hba.conf"
    rules.write_text('host "acme/postgres" web.acme all scram-sha-256\n'
                     "host all web.acme all reject\nhost all all all scram-sha-256\n", encoding="utf-8")
    tenants(method="hba", hba_file=rules)
    assert login(weir, "acme").value("SELECT 1") == "1"
    refused(weir, "28000", "web.acme", "app", "acme-secret")
    assert login(weir, "globex", database="app").value("SELECT 1") == "1"


def test_settings_of_a_tenants_user(tenants):
    """[user web] is another user's."""
    weir = tenants(sections={"user web": {"pool_size": 1}, "user web.globex": {"pool_size": 2}}, pool_size=7)
    for tenant, size in (("acme", 7), ("globex", 2)):
        login(weir, tenant).query("SELECT 1")
        wait_until(lambda: weir.metric("pgweir_pool_limit_connections", database=f"{tenant}/postgres",
                                       kind="pool_size") == size, what=f"the limit of {tenant}")


def test_commands_by_a_tenants_database(tenants):
    weir = tenants()
    acme, globex = login(weir, "acme"), login(weir, "globex")
    acme.query("SELECT 1")
    globex.query("SELECT 1")
    weir.console('PAUSE "acme/postgres"')
    rows = {row["name"]: row for row in weir.console("SHOW DATABASES")}
    assert rows["acme/postgres"]["paused"] == 1 and rows["globex/postgres"]["paused"] == 0
    assert rows["acme/postgres"]["database"] == "app" and rows["globex/postgres"]["database"] == "app2"
    assert globex.query("SELECT 1") == [["1"]]
    weir.console('RESUME "acme/postgres"')
    assert acme.query("SELECT 1") == [["1"]]
    weir.console('KILL "acme/postgres"')
    assert acme.read_to_end()[-1].sqlstate == "57P01"
    assert globex.query("SELECT 1") == [["1"]]
    weir.console('RESUME "acme/postgres"')


def test_what_the_console_shows(tenants):
    weir = tenants()
    login(weir, "acme").query("SELECT 1")
    row, = [row for row in weir.console("SHOW CLIENTS") if row["database"] == "acme/postgres"]
    assert row["user"] == "web.acme"
    assert weir.pool("acme/postgres", "web")["cl_active"] == 1
    config = {row["key"]: row["value"] for row in weir.console("SHOW CONFIG")}
    assert config["tenant acme.upstream"].endswith("dbname=app")


def test_metrics_have_a_bound(weir, fake):
    count = 12
    weir.users.update({f"web.t{number}": f"t{number}-secret" for number in range(count)})
    weir.start({"pgweir": {"tenants": "user"}, "tenant *": {"upstream": fake.upstream}}, method="scram-sha-256",
               metrics_max_pools=5)
    for number in range(count):
        login(weir, f"t{number}").query("SELECT 1")
    samples = parse_metrics(weir.http("/metrics").text)
    for name in ("pgweir_queries_total", "pgweir_pool_limit_connections"):
        labels = {dict(labels)["database"] for sample, labels in samples if sample == name}
        assert len(labels) <= 6 and "_other" in labels, labels
    assert weir.metric("pgweir_queries_total") == count


def test_physical_replication_of_a_tenant(tenants):
    weir = tenants(upstreams=None)
    wire = weir.wire()
    with pytest.raises(LoginRefused) as refusal:
        wire.login("web.acme", "postgres", "acme-secret", {"replication": "true"})
    assert refusal.value.reply.sqlstate in ("42501", "28000")            # web may not replicate: PostgreSQL says so


# --- drivers ---

def test_psycopg_by_user_and_by_options(tenants):
    weir = tenants()
    host, port = weir.address
    by_user = f"postgresql://web.acme:acme-secret@{host}:{port}/postgres?sslmode=disable"
    by_options = f"postgresql://web:globex-secret@{host}:{port}/postgres?sslmode=disable&options=reference%3Dglobex"
    for url, database in ((by_user, "app"), (by_options, "app2")):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_database(), current_user").fetchone() == (database, "web")


def test_asyncpg(tenants):
    weir = tenants()
    host, port = weir.address

    async def ask():
        connection = await asyncpg.connect(host=host, port=port, user="web.acme", password="acme-secret",
                                           database="postgres", ssl=False)
        try:
            return await connection.fetchval("SELECT current_database()")
        finally:
            await connection.close()
    assert asyncio.run(ask()) == "app"


# --- SNI ---

@pytest.fixture
def secure(tenants, authority):
    made = authority.issue("pooler", "/CN=pooler", "DNS:*.pooler.test,DNS:pooler.test", key="rsa")

    def start(domain="pooler.test", ways="sni, user"):
        return tenants(ways, sections={"pgweir": {"tenant_domain": domain},
                                       "tls_client": {"certificate_file": made.certificate, "key_file": made.key}})
    return start


def by_name(weir, host, user="web", password="acme-secret"):
    """hostaddr is where, host is whom: libpq sends host as the server name."""
    return weir.keep(psycopg.connect(weir.dsn(user, "postgres", host=host, hostaddr=weir.host, sslmode="require",
                                              password=password)))


@pytest.mark.own_transport
@pytest.mark.parametrize("host", ["acme.pooler.test", "ACME.Pooler.Test"])
def test_by_the_server_name(secure, host):
    weir = secure()
    assert by_name(weir, host).execute("SELECT current_database()").fetchone() == ("app",)


@pytest.mark.own_transport
def test_a_server_name_outside_of_the_domain_names_no_tenant(secure):
    weir = secure()
    connection = by_name(weir, "pooler.test", user="web.globex", password="globex-secret")
    assert connection.execute("SELECT current_database()").fetchone() == ("app2",)


@pytest.mark.own_transport
def test_a_server_name_and_a_user_that_contradict(secure):
    weir = secure()
    with pytest.raises(psycopg.OperationalError, match="tenant"):
        by_name(weir, "acme.pooler.test", user="web.globex", password="globex-secret")


@pytest.mark.own_transport
def test_without_a_domain_the_first_part_counts(secure):
    weir = secure(domain="", ways="sni")
    assert by_name(weir, "globex.db", password="globex-secret").execute(
        "SELECT current_database()").fetchone() == ("app2",)


# --- users that PostgreSQL is asked for ---

def test_auth_query_asks_each_tenants_server_for_the_role(tenants, postgres):
    """$1 is the role; the answer of one tenant's server opens no other tenant."""
    postgres.query("CREATE TABLE IF NOT EXISTS people (name text, secret text)", dbname="app")
    postgres.query("CREATE TABLE IF NOT EXISTS people (name text, secret text)", dbname="app2")
    for database, secret in (("app", "of-acme"), ("app2", "of-globex")):
        postgres.query("TRUNCATE people", dbname=database)
        postgres.query(f"INSERT INTO people VALUES ('web', '{scram_verifier(secret)}'), ('web.acme', 'no')",
                       dbname=database)
        postgres.query("GRANT SELECT ON people TO PUBLIC", dbname=database)
    weir = tenants(sections={
        "auth": {"auth_query": "SELECT name, secret FROM public.people WHERE name = $1", "auth_user": "reporting"}})
    weir.users.pop("web.acme")
    weir.users.pop("web.globex")
    weir.users.update({"reporting.acme": "reporting-secret", "reporting.globex": "reporting-secret"})
    weir.write_users()
    weir.signal(1)
    for tenant, database in (("acme", "app"), ("globex", "app2")):
        def tries(tenant=tenant, database=database):
            with weir.wire().login(f"web.{tenant}", "postgres", f"of-{tenant}") as wire:
                return wire.query("SELECT current_database(), current_user") == [[database, "web"]]
        wait_until(lambda: not raises(tries), what="the users to be read again")
    refused(weir, "28P01", "web.acme", "postgres", "of-globex")
    refused(weir, "28P01", "web.globex", "postgres", "of-acme")
    refused(weir, "28P01", "nobody.acme", "postgres", "of-acme")


def raises(function):
    try:
        assert function()
        return False
    except (LoginRefused, AssertionError):
        return True
