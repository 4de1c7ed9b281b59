"""Rules and maps that ask others: a name server for host names, PostgreSQL for +role and samerole."""

import signal
import time

import pytest

import rawwire
from nameserver import PTR, A, NameServer, reverse
from rawwire import Wire, startup
from test_auth_query import results
from test_hba import (ME, authority, refused, start, tls_section, who, why_not,  # pylint: disable=unused-import
                      with_certificate, write_rules)
from test_tenants import tenants  # pylint: disable=unused-import
from waiting import SLOWNESS, wait_until
from weir import is_built_with

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

HERE = "127.77.1.9"


def from_here(weir, address=HERE, user="web", database="app", **login):
    """From an address that no hosts file names."""
    with Wire(weir.address, source=address).login(user, database, weir.users.get(user), **login) as wire:
        return wire.value("SELECT current_user")


def refused_here(weir, address=HERE, user="web"):
    with pytest.raises(Exception) as caught:
        from_here(weir, address, user)
    return caught.value.sqlstate, caught.value.reply.error["M"]


# --- host names ---

@pytest.fixture
def names(weir, tmp_path):
    server = NameServer(tmp_path)
    weir.names = {"resolv_conf": server.resolv_conf}
    return server


def begin(weir, rules, names, maps=None, **settings):
    start(weir, rules, maps, {"log": {"level": "debug"}}, resolv_conf=names.resolv_conf, **settings)


@pytest.mark.parametrize("word, is_let_in", [
    ("web1.example.com", True),
    ("WEB1.Example.com", True),
    (".example.com", True),
    (".com", True),
    ("web2.example.com", False),
    (".ample.com", False),
    ("example.com", False),
])
def test_a_host_s_name(weir, names, word, is_let_in):
    names.know({reverse(HERE): "web1.example.com", "web1.example.com": [HERE, "127.77.1.10"]})
    begin(weir, f"host all all {word} trust\n", names)
    if is_let_in:
        assert from_here(weir) == "web"
        assert (reverse(HERE), PTR) in names.questions and ("web1.example.com", A) in names.questions
    else:
        assert refused_here(weir) == (
            "28000", f'no pg_hba.conf entry for host "{HERE}", user "web", database "app", no encryption')
        assert {kind for _, kind in names.questions} == {PTR}, "a name that fits no rule is not looked up"


@pytest.mark.parametrize("known, why", [
    ({reverse(HERE): "web1.example.com", "web1.example.com": ["127.77.1.10"]},
     "web1.example.com: its address is not among those of that name"),
    ({reverse(HERE): "web1.example.com"}, "web1.example.com: Domain name not found"),
    ({"web1.example.com": [HERE]}, "its address: Domain name not found"),
])
def test_a_name_counts_if_it_leads_back_to_the_address(weir, names, known, why):
    """Whoever has the reverse zone of his network can call himself anything."""
    names.know(known)
    begin(weir, "host all all web1.example.com trust\nhost all all .example.com trust\n"
                "host all reporting all trust\n", names)
    assert refused_here(weir)[0] == "28000"
    log = weir.wait_log("matches no rule with a host name: " + why)
    assert log.count("matches no rule with a host name") == 1
    assert from_here(weir, user="reporting") == "reporting"


def test_a_login_looks_up_two_names_at_most(weir, names):
    names.know({reverse(HERE): "web1.example.com", "web1.example.com": [HERE]})
    begin(weir, "host app2 all .example.com reject\nhost all reporting .example.com reject\n"
                + "".join(f"host all all host{i}.example.com reject\n" for i in range(200))
                + "host all all web1.example.com trust\n", names)
    assert from_here(weir) == "web"
    assert [name for name, kind in names.questions if kind in (A, PTR)] == [reverse(HERE), "web1.example.com"]


def test_who_needs_no_name_asks_for_none(weir, names):
    names.know({reverse(HERE): None})
    begin(weir, f"host all web {HERE}/32 trust\nhost all all web1.example.com trust\n"
                "host app2 reporting .com trust\nhost all all all reject\n", names)
    assert from_here(weir) == "web"
    assert not names.questions
    with pytest.raises(Exception):
        from_here(weir, user="reporting")
    assert names.questions


def test_a_name_of_the_hosts_file(weir, names):
    """127.0.0.1 has one everywhere."""
    begin(weir, "host all all localhost trust\n", names)
    with weir.raw() as wire:
        assert wire.value("SELECT current_user") == "web"
    assert names.asked == 0


@pytest.mark.parametrize("silent", ["reverse", "forward", "both"])
def test_a_silent_name_server_costs_those_whose_rule_needs_it(weir, names, silent):
    """A lookup that fails is a rule that does not fit, after 5 s; others log in and work meanwhile."""
    if silent != "both":
        names.know({reverse(HERE): None} if silent == "reverse" else
                   {reverse(HERE): "web1.example.com", "web1.example.com": None})
    begin(weir, "host all web,scramuser .example.com trust\nhost all reporting all trust\n"
                "host all scramuser all scram-sha-256\n", names)
    with Wire(weir.address, source=HERE).login("reporting") as other:
        begun = time.monotonic()
        waiting = [weir.in_background(refused_here, weir) for _ in range(10)]
        falls = weir.in_background(from_here, weir, HERE, "scramuser")
        wait_until(lambda: names.asked > 0)
        rounds = 0
        while not all(one.done() for one in waiting):
            assert other.value("SELECT 1") == "1"
            assert from_here(weir, user="reporting") == "reporting"
            rounds += 1
        assert rounds > 3, "others have waited for it, too"
        assert time.monotonic() - begun > 3, "the name server was waited for"
        assert time.monotonic() - begun < 15 * SLOWNESS
        assert {one.result()[1].split(" for ")[0] for one in waiting} == {"no pg_hba.conf entry"}
        assert falls.result() == "scramuser"
    weir.wait_log("matches no rule with a host name: ")


def test_the_login_s_own_time_comes_first(weir, names):
    begin(weir, "host all all .example.com trust\n", names, login_timeout="1s")
    begun = time.monotonic()
    assert refused_here(weir) == ("08P01", "the login took too long (login_timeout)")
    assert time.monotonic() - begun < 4 * SLOWNESS


def test_clients_that_leave_and_a_reload_while_names_are_looked_up(weir, names):
    """More of them than a channel of c-ares' may forget."""
    begin(weir, "host all all web1.example.com trust\n", names)
    stays_at = "127.77.1.10"
    names.know({reverse(HERE): None, reverse(stays_at): None})
    for _ in range(70):
        with Wire(weir.address, source=HERE) as wire:
            wire.send(startup("web", "app"))
            wait_until(lambda: names.asked > 0)
    stays = weir.in_background(from_here, weir, stays_at)
    wait_until(lambda: any(name == reverse(stays_at) for name, _ in names.questions))
    write_rules(weir, "host all all all reject\n")
    weir.signal(signal.SIGHUP)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total") > 0)
    names.know({reverse(stays_at): "web1.example.com", "web1.example.com": [stays_at]})
    assert stays.result() == "web", "the rules that its login began with decide"
    assert refused_here(weir)[1].startswith("pg_hba.conf rejects connection")
    weir.in_background(refused_here, weir)
    assert weir.stop() == 0


@pytest.mark.parametrize("method", ["ldap", "pam", "scram-sha-256", "trust"])
@pytest.mark.parametrize("rule, ends", [("scram-sha-256", None), ("reject", "28000")])
def test_a_reload_to_another_method_while_a_name_is_looked_up(weir, names, method, rule, ends):
    """Its login goes on as it has begun: by rules, and by the rule that fits."""
    if method in ("ldap", "pam") and not is_built_with(f"lib{method}"):
        pytest.skip(f"built without lib{method}")
    begin(weir, f"host all all web1.example.com {rule}\n", names)
    names.know({reverse(HERE): None})
    late = weir.in_background(from_here, weir)
    wait_until(lambda: names.asked > 0)
    options = {"ldap_options": "ldapserver=127.0.0.1 ldapport=1 ldapprefix=uid="} if method == "ldap" else {}
    weir.reload({"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{weir.socket}"]}}, method=method,
                resolv_conf=names.resolv_conf, **options)
    names.know({reverse(HERE): "web1.example.com", "web1.example.com": [HERE]})
    if ends is None:
        assert late.result() == "web"
    else:
        with pytest.raises(rawwire.LoginRefused) as caught:
            late.result()
        assert caught.value.sqlstate == ends


# --- roles ---

ROLES = """
CREATE ROLE hba_group; CREATE ROLE hba_inner; CREATE ROLE app2; CREATE ROLE "hba odd";
CREATE ROLE hba_member LOGIN; CREATE ROLE hba_far LOGIN NOINHERIT; CREATE ROLE hba_other LOGIN;
CREATE ROLE hba_super LOGIN SUPERUSER; CREATE ROLE asker LOGIN;
GRANT hba_group TO hba_member; GRANT hba_group TO hba_inner; GRANT hba_inner TO hba_far; GRANT app2 TO hba_far;
GRANT "hba odd" TO hba_other;
"""
NAMES = ("hba_group", "hba_inner", "app2", '"hba odd"', "hba_member", "hba_far", "hba_other", "hba_super", "asker")


@pytest.fixture
def roles(weir, postgres):
    def drop():
        for name in NAMES:
            postgres.query(f"DROP ROLE IF EXISTS {name}")
    drop()
    for statement in ROLES.replace("\n", " ").split(";")[:-1]:
        postgres.query(statement)
    weir.users["asker"] = "asker-secret"
    yield postgres
    weir.stop()
    drop()


def ask(weir, rules, maps=None, sections=None, query="builtin", **settings):
    start(weir, rules, maps, sections, auth_query=query, auth_user="asker", **settings)


def enters(weir, user, database="app", **words):
    """None, or the reason of the refusal."""
    try:
        with weir.wire(**words).login(user, database) as wire:
            assert wire.value("SELECT current_user") == user
        return None
    except rawwire.LoginRefused as caught:
        return caught.sqlstate


@pytest.mark.parametrize("user, is_member", [
    ("hba_member", True),                  # itself
    ("hba_far", True),                     # through another, and without INHERIT
    ("hba_other", False),
    ("hba_super", False),                  # of nothing that it was not granted
    ("web", False),
])
def test_members_of_a_role(weir, roles, user, is_member):
    ask(weir, "host all +hba_group all trust\n")
    assert enters(weir, user) == (None if is_member else "28000")
    assert sum(results(weir).values()) == 1


def test_a_role_is_a_member_of_itself_and_an_unknown_one_has_none(weir, roles):
    ask(weir, "host all +nobody_knows all trust\nhost all +hba_member all trust\n"
              "host all +\"hba odd\" all trust\nhost app +hba_group all trust\n")
    assert enters(weir, "hba_member") is None
    assert enters(weir, "hba_other") is None
    assert enters(weir, "hba_super") == "28000"


def test_rules_go_on_behind_a_role_that_does_not_fit(weir, roles):
    ask(weir, "host all +hba_group all reject\nhost all all all trust\n")
    assert enters(weir, "hba_other") is None
    assert enters(weir, "hba_far") == "28000"
    assert "rejects connection" in refused(weir, "hba_member")[1]


def test_samerole(weir, roles):
    ask(weir, "host samerole all all trust\n")
    assert enters(weir, "hba_far", "app2") is None
    assert enters(weir, "hba_member", "app2") == "28000"
    assert enters(weir, "hba_far", "app") == "28000"


def test_a_role_s_name_longer_than_postgresql_s_does_not_evade_it(weir, roles):
    name = "u" * 63
    roles.query(f"CREATE ROLE {name} LOGIN")
    try:
        roles.query(f"GRANT hba_group TO {name}")
        ask(weir, "host all +hba_group all reject\nhost all all all trust\n")
        assert "rejects" in refused(weir, name + "uu")[1]
    finally:
        roles.query(f"DROP ROLE {name}")


def test_an_answer_is_used_again_for_auth_query_ttl(weir, roles):
    ask(weir, "host app +hba_other,+hba_group all trust\n", auth_query_ttl="1h")
    begun = time.monotonic()
    for _ in range(3):
        assert enters(weir, "hba_member") is None
    found = results(weir)
    assert (found["miss"], found["unknown"] + found["hit"]) == (1, 5), found
    assert 1 <= found["unknown"] <= 1 + (time.monotonic() - begun) / 2, "that he is no member is known for 2 s"
    roles.query("REVOKE hba_group FROM hba_member")
    assert enters(weir, "hba_member") is None
    weir.signal(signal.SIGHUP)
    wait_until(lambda: enters(weir, "hba_member") == "28000", what="a reload asks anew")
    roles.query("GRANT hba_group TO hba_member")
    wait_until(lambda: enters(weir, "hba_member") is None, what="who is no member is asked about every 2 s")


def test_without_auth_query_ttl_each_login_asks(weir, roles):
    ask(weir, "host app +hba_other,+hba_group all trust\n", auth_query_ttl="0s")
    for _ in range(3):
        assert enters(weir, "hba_member") is None
    found = results(weir)
    assert (found["miss"], found["unknown"], found["hit"]) == (3, 3, 0), found


def test_a_query_of_one_s_own_needs_no_more_rights(weir, roles):
    """Which roles there are and who is in them, any role may read; what it has in its search_path does not matter."""
    roles.query("CREATE SCHEMA hba_evil")
    try:
        roles.query("CREATE TABLE hba_evil.pg_roles AS SELECT * FROM pg_catalog.pg_roles LIMIT 0")
        roles.query("GRANT USAGE ON SCHEMA hba_evil TO asker")
        roles.query("GRANT SELECT ON hba_evil.pg_roles TO asker")
        roles.query("ALTER ROLE asker SET search_path = hba_evil, pg_catalog")
        ask(weir, "host all +hba_group all trust\n", query="SELECT 'x' WHERE $1 = 'y'")
        assert enters(weir, "hba_far") is None
    finally:
        roles.query("DROP SCHEMA hba_evil CASCADE")


def test_a_login_is_refused_where_postgresql_can_t_be_asked(weir, roles, postgres):
    """The rule could be one that rejects: it must be neither passed over nor taken."""
    ask(weir, "host app reporting all trust\nhost app +hba_group all reject\nhost app all all trust\n",
        sections={"database app2": {"upstream": f"host={postgres.host} port={postgres.port}", "auth_query": "off"}},
        login_timeout="5s")
    write_rules(weir, "host app reporting all trust\nhost all +hba_group all reject\nhost all all all trust\n")
    weir.signal(signal.SIGHUP)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total") > 0)
    assert enters(weir, "hba_other") is None
    assert refused(weir, "hba_other", "app2") == ("28000", "could not look up the user's roles: there is no auth_query")
    assert refused(weir, "stats", "pgweir") == ("28000", "the console knows no roles")
    assert "rejects" in refused(weir, "hba_member", "no_such_database")[1], "nobody learns which databases there are"
    roles.query("ALTER ROLE asker NOLOGIN")
    roles.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'asker'")
    weir.signal(signal.SIGHUP)
    wait_until(lambda: enters(weir, "hba_member") == "08006")
    assert enters(weir, "reporting") is None


def test_a_silent_postgresql_costs_those_whose_rule_needs_it(weir, fake):
    """The lookup's own time limit: connect_timeout and 3 s."""
    weir.users["asker"] = "asker-secret"

    def script(conn):
        conn.login()
        conn.wait_gone()

    fake.script = script
    ask(weir, "host app reporting all trust\nhost app2 +hba_group all reject\nhost app2 all all trust\n",
        sections={"database app2": {"upstream": fake.upstream, "connect_timeout": "500ms"}})
    with weir.raw("reporting") as other:
        begun = time.monotonic()
        waiting = [weir.in_background(enters, weir, "web", "app2") for _ in range(5)]
        while not all(one.done() for one in waiting):
            assert other.value("SELECT 1") == "1"
        assert {one.result() for one in waiting} == {"08006"}
        assert time.monotonic() - begun < 15 * SLOWNESS


def test_roles_need_auth_query(weir):
    start(weir, "host all all 127.0.0.1/32 trust\n")
    write_rules(weir, "host all +staff 127.0.0.1/32 trust\n")
    weir.signal(signal.SIGHUP)
    weir.wait_log("+role and samerole are looked up in PostgreSQL by auth_query's connection: set auth_query and "
                  "auth_user")
    with weir.raw() as wire:
        assert wire.value("SELECT 1") == "1"


def test_roles_in_maps_of_certificates_and_system_users(weir, roles, authority):
    maps = f"m {ME} +hba_group\nc /^(.*)@acme\\.com$ +hba_group\nc \"x\" web\n"
    ask(weir, "local all all peer map=m\nhostssl all all all cert map=c\n", maps, tls_section(authority))
    for user, expected in (("hba_far", None), ("hba_other", "28000"), ("web", "28000")):
        for _ in range(2):
            try:
                with Wire(weir.socket).login(user) as wire:
                    assert expected is None and wire.value("SELECT current_user") == user
            except rawwire.LoginRefused as caught:
                assert caught.sqlstate == expected, user
    web = with_certificate(authority, "web", "/CN=somebody", "email:x@acme.com")
    assert who(weir, "hba_far", **web) == "hba_far"
    assert "certificate authentication failed" in why_not(weir, "hba_other", **web)
    assert "certificate authentication failed" in why_not(weir, "web", **web)


def test_a_name_and_a_role_in_one_rule(weir, roles, names):
    names.know({reverse(HERE): "web1.example.com", "web1.example.com": [HERE]})
    ask(weir, "host all +hba_group .example.com trust\n", **weir.names)
    assert enters(weir, "hba_far", source=HERE) is None
    assert enters(weir, "hba_other", source=HERE) == "28000"
    assert enters(weir, "hba_far", source="127.77.1.10") == "28000"


def test_a_tenant_s_roles_are_those_of_its_own_server(weir, roles, tenants, fake):
    """globex's server says that everybody is a member of everything: which opens globex, and not acme."""
    def script(conn):
        conn.login()
        if conn.startup["user"] == "asker":
            asked.append(conn)
        conn.serve()

    asked = []
    fake.script = script
    hba = weir.directory / "hba.conf"
    hba.write_text("host pgweir admin all trust\nhost all +hba_group all trust\n", encoding="utf-8")
    weir.users.update({"asker.acme": "asker-secret", "asker.globex": "asker-secret"})
    tenants(upstreams={"acme": weir.upstream(dbname="app"), "globex": fake.upstream}, method="hba", hba_file=hba,
            auth_query="builtin", auth_user="asker")
    for user, expected in (("hba_far", None), ("hba_other", "28000")):
        try:
            with weir.wire().login(f"{user}.acme", "postgres") as wire:
                assert expected is None and wire.value("SELECT current_user") == user
        except rawwire.LoginRefused as caught:
            assert caught.sqlstate == expected, user
    with weir.wire().login("hba_other.globex", "postgres") as wire:
        assert wire.value("SELECT 1") == "fake"
    assert asked and asked[0].bound == ["hba_other", "hba_group"], asked[0].bound
