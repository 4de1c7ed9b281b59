"""Session parameters: what PostgreSQL reports follows its client to every server; what a client asks for at startup is
applied; nothing of it is seen by another client."""

import itertools

import pytest

import rawwire
from compare import normalized
from rawwire import (BEGIN_NOW, LoginRefused, Wire, bind, describe, errors, execute, flush, one_statement, parse, query, shape,
                     startup, sync, texts)
from waiting import wait_until

REPORTED = {
    "application_name": ("first app", "the second's"),
    "client_encoding": ("LATIN1", "UTF8"),
    "DateStyle": ("German, DMY", "SQL, MDY"),
    "IntervalStyle": ("sql_standard", "iso_8601"),
    "TimeZone": ("Europe/Berlin", "America/New_York"),
    "standard_conforming_strings": ("off", "on"),
    "default_transaction_read_only": ("on", "off"),
}


@pytest.mark.parametrize("name, values", REPORTED.items(), ids=REPORTED.keys())
def test_a_reported_parameter_of_the_startup_packet_follows_its_client(weir, name, values):
    weir.start(pool_size=1)
    wires = [(weir.raw(parameters={name: value}), value) for value in values]
    for _ in range(3):
        for wire, value in wires:
            assert wire.value(f"SHOW {name}") == value
            assert wire.extended(f"SHOW {name}") == [[value]]
    for wire, value in wires:
        assert wire.parameters[name] == value


@pytest.mark.parametrize("name, values", REPORTED.items(), ids=REPORTED.keys())
def test_a_reported_parameter_that_was_set_follows_its_client(weir, name, values):
    plain = weir.start(pool_size=1).raw()
    default = plain.value(f"SHOW {name}")
    wires = [(weir.raw(), value) for value in values]
    for wire, value in wires:
        wire.query("SET %s = %s" % (name, value if name == "DateStyle" else "'%s'" % value.replace("'", "''")))
        assert wire.parameters[name] == value
    for _ in range(3):
        for wire, value in wires:
            assert wire.value(f"SHOW {name}") == value
        assert plain.value(f"SHOW {name}") == default
    assert plain.parameters[name] == default


@pytest.mark.parametrize("given, canonical", [
    ({"client_encoding": "utf8"}, {"client_encoding": "UTF8"}),
    ({"client_encoding": "'UTF-8'"}, {"client_encoding": "UTF8"}),
    ({"client_encoding": "latin1"}, {"client_encoding": "LATIN1"}),
    ({"datestyle": "german"}, {"DateStyle": "German, DMY"}),
    ({"DATESTYLE": "iso,dmy"}, {"DateStyle": "ISO, DMY"}),
    ({"timezone": "utc"}, {"TimeZone": "UTC"}),
    ({"TimeZone": "europe/berlin"}, {"TimeZone": "Europe/Berlin"}),
    ({"standard_conforming_strings": "yes"}, {"standard_conforming_strings": "on"}),
    ({"IntervalStyle": "ISO_8601"}, {"IntervalStyle": "iso_8601"}),
    ({"application_name": "x" * 100}, {"application_name": "x" * 63}),
    ({"application_name": ""}, {"application_name": ""}),
    ({"application_name": "quote ' back \\ slash"}, {"application_name": "quote ' back \\ slash"}),
    ({"options": "-c datestyle=sql -c timezone=UTC"}, {"DateStyle": "SQL, MDY", "TimeZone": "UTC"}),
], ids=str)
def test_the_client_is_told_postgresqls_own_spelling(weir, given, canonical):
    with weir.start(pool_size=1).raw(parameters=given) as wire, \
            Wire((weir.postgres.host, weir.postgres.port)).login(parameters=given) as direct:
        assert wire.parameters == direct.parameters
        for name, value in canonical.items():
            assert wire.parameters[name] == value
            assert wire.value(f"SHOW {name}") == value


def test_reports_at_login_are_complete(weir):
    with weir.start().raw() as wire:
        assert set(wire.parameters) >= {
            "server_version", "server_encoding", "client_encoding", "application_name", "is_superuser",
            "session_authorization", "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes",
            "standard_conforming_strings", "default_transaction_read_only", "in_hot_standby"}
        assert wire.parameters["session_authorization"] == "web" and wire.parameters["is_superuser"] == "off"


def test_reports_are_the_users_own(weir):
    weir.users["postgres"] = "x"
    with weir.start().raw("postgres") as boss, weir.raw("web") as wire:
        assert (boss.parameters["is_superuser"], wire.parameters["is_superuser"]) == ("on", "off")


STARTUP = {
    "extra_float_digits": ("0", "3"),
    "statement_timeout": ("1234ms", "5s"),
    "search_path": ("pg_catalog, public", '"$user", pg_temp'),
    "work_mem": ("7MB", "9MB"),
    "default_transaction_isolation": ("serializable", "repeatable read"),
    "lock_timeout": ("777ms", "0"),
    "my.custom": ("a b", "c'd"),
    "geqo": ("off", "on"),
    "bytea_output": ("escape", "hex"),
    "row_security": ("off", "on"),
    "idle_in_transaction_session_timeout": ("1min", "2min"),
}


@pytest.mark.parametrize("name, values", STARTUP.items(), ids=STARTUP.keys())
def test_a_setting_of_the_startup_packet_is_applied_wherever_the_client_comes(weir, name, values):
    weir.start(pool_size=2, pool_lifo=False)
    wires = [(weir.raw(parameters={name: value}), value) for value in values]
    for _ in range(4):
        for wire, value in wires:
            assert wire.value(f"SHOW {name}") == value


@pytest.mark.parametrize("name, values", STARTUP.items(), ids=STARTUP.keys())
def test_a_setting_of_the_startup_packet_is_not_seen_by_others(weir, name, values):
    weir.start(pool_size=1)
    direct = Wire((weir.postgres.host, weir.postgres.port)).login()
    default = direct.query(f"SELECT current_setting('{name}', true)")
    direct.leave()
    with weir.raw() as plain:
        with weir.raw(parameters={name: values[0]}) as wire:
            assert wire.value(f"SHOW {name}") == values[0]
            assert plain.query(f"SELECT current_setting('{name}', true)") in (default, [[""]])
        with weir.raw() as after:
            assert after.query(f"SELECT current_setting('{name}', true)") in (default, [[""]])


@pytest.mark.parametrize("options, expected", [
    ("-c statement_timeout=1234", {"statement_timeout": "1234ms"}),
    ("-cwork_mem=7MB -c geqo=off", {"work_mem": "7MB", "geqo": "off"}),
    ("--statement-timeout=99s --work_mem=8MB", {"statement_timeout": "99s", "work_mem": "8MB"}),
    ('-c search_path="a\\ b",public', {"search_path": '"a b",public'}),
    ("-c application_name=back\\\\slash", {"application_name": "back\\slash"}),
    ("  -c   geqo=off  ", {"geqo": "off"}),
    ("-c geqo=off -c geqo=on", {"geqo": "on"}),
    ("", {"geqo": "on"}),
], ids=lambda value: value if isinstance(value, str) else "")
def test_options_are_read_as_postgresql_reads_them(weir, options, expected):
    with weir.start(pool_size=1).raw() as plain, weir.raw(parameters={"options": options}) as wire:
        for _ in range(2):
            for name, value in expected.items():
                assert wire.value(f"SHOW {name}") == value
            plain.query("SELECT 1")


def test_the_packets_own_parameters_win_over_options(weir):
    with weir.start().raw(parameters={"work_mem": "7MB", "options": "-c work_mem=9MB"}) as wire:
        assert wire.value("SHOW work_mem") == "7MB"


def test_drivers_options_reach_postgresql(weir):
    weir.start(pool_size=1)
    for connect in (weir.connect2, weir.connect):
        connection = connect(options="-c statement_timeout=4321 -c search_path=pg_catalog", application_name="driver")
        cursor = connection.cursor()
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('search_path'), "
                       "current_setting('application_name')")
        assert cursor.fetchone() == ("4321ms", "pg_catalog", "driver")
        connection.rollback()


def test_statement_timeout_of_the_startup_packet_works(weir):
    with weir.start(pool_size=1).raw() as plain, weir.raw(parameters={"options": "-c statement_timeout=200"}) as wire:
        for _ in range(2):
            assert errors(wire.ask(query("SELECT pg_sleep(5)")))[0].sqlstate == "57014"
            assert plain.query("SELECT pg_sleep(0.3), 'slept'") == [["", "slept"]]


SWITCHES = ["-e", "-fh -fn", "-f s -fi -fo -fb -ft -fm", "-S 12MB", "-eS2048", "-b -E -j -n -T -C x -D y -r z -v 2",
            "-c geqo=off -e --work-mem=3MB", "-s", "-tpa", "-tpl", "-te", "-O", "-z", "-fx", "-ty", "-S", "-e x"]
SHOWN = ["DateStyle", "enable_seqscan", "enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan", "enable_tidscan",
         "enable_nestloop", "enable_mergejoin", "enable_hashjoin", "work_mem", "geqo", "log_statement_stats",
         "log_parser_stats", "log_planner_stats", "log_executor_stats", "allow_system_table_mods"]


def outcome_of(address, user, options):
    """What a client sees of its options: settings, or SQLSTATE and text of the refusal."""
    try:
        with Wire(address) as wire:
            wire.login(user, "app", f"{user}-secret", {"options": options})
            return wire.parameters["DateStyle"], [wire.value(f"SHOW {name}") for name in SHOWN]
    except LoginRefused as refused:
        return refused.sqlstate, refused.reply.error["M"]


@pytest.mark.weir_only
@pytest.mark.parametrize("user", ["web", "switcher"])
def test_switches_in_options_do_what_they_do_in_postgresql(weir, request, user):
    """What only a superuser may set, too."""
    if user != "web":
        weir.postgres.query(f"CREATE ROLE {user} LOGIN SUPERUSER")
        request.addfinalizer(lambda: weir.postgres.query(f"DROP ROLE {user}"))
        weir.users[user] = f"{user}-secret"
    weir.start(pool_size=1, max_overflow=0)
    for options in SWITCHES:
        direct = outcome_of((weir.postgres.host, weir.postgres.port), user, options)
        for _ in range(2):
            assert outcome_of(weir.address, user, options) == direct, options
    assert "ISO, DMY" in str(outcome_of(weir.address, user, "-e"))


# --- what goes wrong, and for whom ---

@pytest.mark.parametrize("parameters", [{"client_encoding": "no-such"}, {"DateStyle": "no-such"},
                                        {"TimeZone": "No/Where"}, {"statement_timeout": "soon"},
                                        {"work_mem": "1 pound"}, {"options": "-c geqo=perhaps"}], ids=str)
def test_an_invalid_value_is_an_error_for_that_client_only(weir, parameters):
    with weir.start(pool_size=1).raw() as other:
        other.query("SELECT 1")
        try:
            wire = weir.raw(parameters=parameters)
            replies = wire.ask(query("SELECT 1"))
            assert errors(replies)[0].sqlstate == "22023", shape(replies)
        except rawwire.LoginRefused as refused:
            assert refused.sqlstate == "22023"
        except rawwire.WireClosed as closed:
            assert "E:22023" in str(closed)
        for _ in range(3):
            assert other.query("SELECT 1") == [["1"]]
        assert weir.raw().query("SELECT 1") == [["1"]]


@pytest.mark.weir_only
def test_temp_buffers_where_another_client_has_used_a_temporary_table(weir):
    other = weir.start(pool_size=1, max_overflow=0).raw()
    other.query("CREATE TEMP TABLE t AS SELECT 1 AS v", "DROP TABLE t")
    assert weir.raw(parameters={"options": "-c temp_buffers=16MB"}).query("SHOW temp_buffers") == [["16MB"]]
    other.query("CREATE TEMP TABLE t AS SELECT 1 AS v", "DROP TABLE t")
    with weir.raw() as late:
        late.query(BEGIN_NOW)
        assert errors(late.ask(query("SET temp_buffers = '32MB'")))[0].sqlstate == "22023"
        late.query("ROLLBACK")
        wait_until(lambda: weir.pool()["sv_idle"] == 1, what="its server to be free")
        assert late.query("SET temp_buffers = '32MB'", "SHOW temp_buffers") == [["32MB"]]


@pytest.mark.weir_only
@pytest.mark.parametrize("ending", ["DROP TABLE t", "DROP TABLE t; RESET ALL"])
def test_temp_buffers_of_a_client_that_used_them_are_nobody_elses(weir, ending):
    sized = weir.start(pool_size=1, max_overflow=0).raw()
    sized.query("SET temp_buffers = '1MB'", "CREATE TEMP TABLE t AS SELECT 1 AS v", *ending.split("; "))
    wait_until(lambda: weir.pool()["sv_active"] == 0, what="its server to be given back")
    with weir.raw() as other:
        other.query(BEGIN_NOW)
        assert other.query("SET temp_buffers = '8MB'", "SHOW temp_buffers") == [["8MB"]]  # PostgreSQL's default
        other.query("ROLLBACK")


@pytest.mark.weir_only
@pytest.mark.parametrize("pool_mode", ["transaction", "session"])
def test_each_client_is_told_of_its_unknown_setting(weir, pool_mode):
    """Not only the first, after which pgweir knows the answer."""
    weir.start(pool_mode=pool_mode)
    for _ in range(3):
        with weir.raw(parameters={"no_such_setting_at_all": "1", "geqo": "off", "a.b": "c", "TimeZone": "CET"}) as wire:
            told = [reply for reply in wire.login_replies if reply.type == "N"]
            assert [(reply.sqlstate, reply.severity) for reply in told] == [("42704", "WARNING")]
            assert told[0].error["M"] == 'unrecognized configuration parameter "no_such_setting_at_all"'
            assert wire.value("SHOW a.b") == "c" and wire.value("SHOW geqo") == "off"


@pytest.mark.parametrize("options", ["-c", "-c =", "-x", "--", "-c geqo", "nonsense", "\\"], ids=str)
def test_malformed_options_are_refused_or_ignored_but_never_hurt(weir, options):
    with weir.start(pool_size=1).raw() as other:
        wire = weir.wire()
        wire.send(startup(parameters={"options": options}))
        replies = wire.read_until("ZE")
        assert replies[-1].type in "ZE"
        assert other.query("SELECT 1") == [["1"]]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("value", ["a'; DROP TABLE x; --", "\\'; SELECT 1; --", '"; SELECT 1; --', "$$; SELECT 1; $$",
                                   "é", "x\ny", "%s %d", "'" * 40, "\\" * 40], ids=repr)
@pytest.mark.parametrize("name", ["application_name", "my.custom", "search_path"])
def test_values_are_values_and_never_sql(weir, name, value):
    weir.start(pool_size=1)
    parameters = {name: value}
    direct = Wire((weir.postgres.host, weir.postgres.port))
    try:
        expected = direct.login(parameters=parameters).value(f"SHOW {name}")
    except rawwire.LoginRefused:
        expected = None
    direct.close()
    with weir.raw() as other:
        other.query("SELECT 1")
        if expected is None:
            with pytest.raises(rawwire.WireError):
                weir.raw(parameters=parameters).query("SELECT 1")
        else:
            wire = weir.raw(parameters=parameters)
            assert wire.value(f"SHOW {name}") == expected
        assert other.query("SELECT 1") == [["1"]]


# --- set in the session ---

def test_a_set_that_is_rolled_back_never_was(weir):
    with weir.start(pool_size=1).raw(parameters={"application_name": "before"}) as wire, weir.raw() as other:
        wire.query("BEGIN", "SET application_name = 'inside'; SET TimeZone = 'Asia/Tokyo'")
        assert wire.value("SHOW application_name") == "inside"
        wire.query("ROLLBACK")
        assert wire.parameters["application_name"] == "before"
        other.query("SELECT 1")
        assert wire.value("SHOW application_name") == "before" and wire.value("SHOW TimeZone") == "UTC"


def test_set_local_of_a_reported_parameter(weir):
    with weir.start(pool_size=1).raw() as wire, weir.raw() as other:
        wire.query("BEGIN", "SET LOCAL TimeZone = 'Asia/Tokyo'")
        assert wire.parameters["TimeZone"] == "Asia/Tokyo"
        wire.query("COMMIT")
        assert wire.parameters["TimeZone"] == "UTC"
        assert other.value("SHOW TimeZone") == wire.value("SHOW TimeZone") == "UTC"


ASKED = "SELECT current_setting('TimeZone'), current_setting('app.user_id'), current_setting('work_mem')"
OWN = {"TimeZone": "Asia/Tokyo", "options": "-c app.user_id=7 -c work_mem=5MB"}
RESETS = {                          # in one Query: what the session has then
    "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();"
    "DISCARD SEQUENCES;DISCARD TEMP": ["Asia/Tokyo", "7", "5MB"],           # Npgsql
    "RESET ALL; SET app.user_id = '9'": ["Asia/Tokyo", "9", "5MB"],
    "SET app.user_id = '9'; RESET ALL": ["Asia/Tokyo", "7", "5MB"],
    "RESET TimeZone; SET TimeZone = 'Europe/Berlin'; RESET work_mem; SET work_mem = '7MB'": ["Europe/Berlin", "6", "7MB"],
    "SET TimeZone TO DEFAULT; SET LOCAL TimeZone = 'Europe/Rome'": ["Asia/Tokyo", "6", "5MB"],
}


@pytest.mark.parametrize("pool_mode", ["transaction", "session"])
@pytest.mark.parametrize("sql", RESETS)
def test_what_is_reset_among_others_has_its_startup_value_unless_it_is_set_again(weir, sql, pool_mode):
    wire = weir.start(pool_size=2, pool_mode=pool_mode).raw(parameters=OWN)
    wire.query("SET app.user_id = '6'")
    wire.send(query(sql) + query(ASKED))                    # at once, as Npgsql does
    assert texts(wire.read_until("Z", 2))[-1] == RESETS[sql]
    assert wire.query(ASKED) == [RESETS[sql]]
    with weir.raw() as other:
        other.query(BEGIN_NOW)
        wire.send(query(sql) + query(ASKED))                # behind its settings, on the server that has them not
        assert texts(wire.read_until("Z", 2))[-1] == RESETS[sql]


@pytest.mark.parametrize("ask", [query, lambda sql: one_statement(sql) + sync()], ids=["simple", "extended"])
@pytest.mark.parametrize("sql", ["RESET ALL", "SET TimeZone TO DEFAULT; RESET app.user_id; RESET work_mem"])
def test_behind_a_reset_an_isolation_level_may_be_chosen(weir, sql, ask):
    wire = weir.start(pool_size=2).raw(parameters={**OWN, "search_path": "app"})
    for each in ["SET TimeZone = 'Europe/Berlin'", "SET work_mem = '7MB'", "SET app.user_id = '6'", "BEGIN",
                 *(sql.split(";") if ask is not query else [sql]), "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]:
        assert errors(wire.ask(ask(each))) == []
    assert wire.value("SHOW transaction_isolation") == "serializable"
    assert wire.query(ASKED) == [["Asia/Tokyo", "7", "5MB"]] and wire.value("SHOW search_path") == "app"
    assert wire.query("COMMIT", ASKED) == [["Asia/Tokyo", "7", "5MB"]]


@pytest.mark.parametrize("path", ['"$user", public', "one, Two", "", '"Odd one", b'])
def test_a_search_path_of_the_startup_packet_is_reset_as_it_was_spelt(weir, path):
    with weir.start(pool_size=2).raw(parameters={"search_path": path}) as wire, weir.raw() as other:
        wire.query("SET search_path = other", "RESET search_path")
        other.query("SELECT 1")
        assert wire.value("SHOW search_path") == path


def test_a_set_and_a_reset_that_are_rolled_back_together_never_were(weir):
    """The rollback is what has changed the setting, and no RESET; on this server nobody has set it."""
    with weir.start(pool_size=2).raw() as other, weir.raw(parameters=OWN) as wire:
        wire.query("SET TimeZone = 'UTC'")
        other.query(BEGIN_NOW)                                    # has that server now
        wire.query("BEGIN")
        wire.ask(one_statement("SET TimeZone = 'Asia/Tokyo'") + sync())
        wire.ask(one_statement("RESET ALL") + sync())
        assert wire.value("ROLLBACK", "SHOW TimeZone") == "UTC" and wire.parameters["TimeZone"] == "UTC"
        wire.query("SET TimeZone = 'Asia/Tokyo'")               # what it was then is forgotten
        wire.query("SET TimeZone = 'UTC'", "BEGIN; RESET ALL; ROLLBACK")
        assert wire.value("SHOW TimeZone") == "UTC" and wire.parameters["TimeZone"] == "UTC"


def test_reset_all_leaves_the_role_that_was_set_last(weir):
    """Which is not that of the startup packet."""
    with weir.start(pool_size=2).raw(parameters={"options": "-c role=web -c work_mem=5MB"}) as wire:
        assert wire.value("SET ROLE NONE", "RESET ALL", "SHOW role") == "none" and wire.value("SHOW work_mem") == "5MB"


@pytest.mark.parametrize("sql", ["SET ROLE NONE", "SELECT set_config('role', 'none', false)"])
def test_a_login_that_begins_as_another_role_may_leave_that(weir, postgres, sql):
    """ALTER ROLE login SET role = owner, as with logins that Vault rotates: NONE is another role than its default."""
    postgres.query("CREATE ROLE own_login LOGIN; CREATE ROLE own_role; GRANT own_role TO own_login; "
                   "ALTER ROLE own_login SET role = 'own_role'", dbname="postgres")
    try:
        weir.users["own_login"] = "x"
        with weir.start(pool_size=1, max_overflow=0).raw("own_login") as wire, weir.raw("own_login") as other:
            wire.query(sql)
            for asked in ("SELECT 1", "DO $$ BEGIN PERFORM 1; END $$", "SELECT 1"):
                wire.query(asked)
                assert other.value("SELECT current_user") == "own_role"
                assert wire.value("SELECT current_user") == "own_login"
            assert wire.value("RESET ROLE", "SELECT current_user") == "own_role"
    finally:
        postgres.query("DROP ROLE own_login; DROP ROLE own_role", dbname="postgres")


@pytest.mark.parametrize("sql", ["DISCARD ALL", "RESET TimeZone"])
def test_what_a_named_portal_resets_has_its_startup_value(weir, sql):
    wire = weir.start(pool_size=2).raw(parameters=OWN)
    wire.query("SET TimeZone = 'Europe/Berlin'")
    assert wire.ask(parse("", sql) + bind("p") + execute("p") + sync())[-1].status == "I"
    assert wire.value("SHOW TimeZone") == wire.parameters["TimeZone"] == "Asia/Tokyo"


def test_what_discard_all_resets_ahead_of_an_error_has_its_startup_value(weir):
    wire, other = weir.start(pool_size=1, max_overflow=0).raw(parameters=OWN), weir.raw()
    wire.query("SET TimeZone = 'Europe/Berlin'")
    replies = wire.ask(b"".join(one_statement(sql) for sql in ("DISCARD ALL", "SELECT 1", "SELECT 1/0")) + sync())
    assert [error.sqlstate for error in errors(replies)] == ["22012"]
    assert wire.query(ASKED) == [["Asia/Tokyo", "7", "5MB"]]
    assert wire.parameters["TimeZone"] == "Asia/Tokyo" and other.value("SHOW TimeZone") == "UTC"
    assert wire.query(ASKED) == [["Asia/Tokyo", "7", "5MB"]]


DISCARDED = {"application_name": "shop", "DateStyle": "German, DMY",
             "options": "-c search_path=tenant_own -c role=own_role -c statement_timeout=7s -c app.user_id=7"}
OF_STARTUP = ["tenant_own", "own_role", "7s", "7", "shop", "German, DMY"]
SETTINGS = ("SELECT current_schema(), current_user, current_setting('statement_timeout'), current_setting('app.user_id'), "
            "current_setting('application_name'), current_setting('DateStyle')")
CHANGES = "SET search_path = public; SET ROLE NONE; SET statement_timeout = 0; SET DateStyle = 'ISO'; SET application_name = 'b'"
DISCARDS, ASKS = one_statement("DISCARD ALL"), one_statement(SETTINGS)
SEEN = one_statement("SELECT set_config('DateStyle', 'ISO', false)")
# Behind CHANGES: what comes in one packet, and how many ReadyForQuery it brings.
DISCARD_PIPELINES = {
    "a statement": (DISCARDS + sync() + ASKS + sync(), 2),
    "a query": (DISCARDS + sync() + query(SETTINGS), 2),
    "a prepared one": (parse("a", "DISCARD ALL") + sync() + bind("", "a") + execute() + sync() + ASKS + sync(), 3),
    "a statement for which DISCARD ALL is described": (
        parse("", "DISCARD ALL") + describe("S") + flush() + bind() + execute() + sync() + ASKS + sync(), 2),
    "one request": (DISCARDS + ASKS + sync() + ASKS + sync(), 2),
    "one request with a Flush in it": (DISCARDS + flush() + ASKS + sync() + query(SETTINGS), 2),
    "a portal with a name": (parse("", "DISCARD ALL") + bind("p") + execute("p") + sync() + ASKS + sync(), 2),
    "a portal with a name, one request": (parse("", "DISCARD ALL") + bind("p") + execute("p") + ASKS + sync(), 1),
    "two Syncs": (DISCARDS + sync() + sync() + ASKS + sync(), 3),
    "twice": (DISCARDS + sync() + query(CHANGES) + DISCARDS + sync() + DISCARDS + sync() + ASKS + sync(), 5),
    "a block": (DISCARDS + sync() + query("BEGIN") + ASKS + sync() + query("ROLLBACK") + ASKS + sync(), 5),
    "an error, then a statement": (DISCARDS + one_statement("SELECT 1/0") + sync() + ASKS + sync(), 2),
    "one that fails": (query("BEGIN") + DISCARDS + ASKS + sync() + query("ROLLBACK") + ASKS + sync(), 4),
    "a setting": (DISCARDS + SEEN + ASKS + sync() + ASKS + sync(), 2),
    "a query behind a query": (query("DISCARD ALL") + query(SETTINGS) + ASKS + sync(), 3),
    "much": (DISCARDS + sync() + (ASKS + sync() + query(SETTINGS)) * 20, 41),
}


@pytest.fixture
def discarding(postgres):
    postgres.query("CREATE SCHEMA tenant_own; GRANT USAGE ON SCHEMA tenant_own TO PUBLIC; CREATE ROLE own_role; "
                   "GRANT own_role TO web")
    yield
    postgres.query("DROP SCHEMA tenant_own; DROP ROLE own_role")


@pytest.mark.parametrize("is_split", [False, True], ids=["at once", "split"])
@pytest.mark.parametrize("pool_mode", ["transaction", "session"])
@pytest.mark.parametrize("shape_of", DISCARD_PIPELINES)
def test_what_follows_discard_all_in_its_packet_runs_under_the_startup_settings(weir, discarding, shape_of, pool_mode, is_split):
    packet, count = DISCARD_PIPELINES[shape_of]
    weir.start(pool_size=2, pool_mode=pool_mode)
    if pool_mode == "transaction":
        weir.raw().query(BEGIN_NOW)                             # the other server is the one with other settings
    told = []
    for wire in weir.raw(parameters=DISCARDED), Wire((weir.postgres.host, weir.postgres.port)):
        if not wire.parameters:
            wire.login(parameters=DISCARDED)
        for _ in range(2):
            wire.query(CHANGES)
            if is_split:
                wire.send_slowly(packet, 37, 0.0005)
            else:
                wire.send(packet)
            replies = wire.read_until("Z", count)
            settings = wire.query(SETTINGS)
            told.append((normalized(replies), settings, wire.parameters["application_name"], wire.parameters["DateStyle"]))
            assert texts(replies)[-1:] == [OF_STARTUP] or "fails" in shape_of or "setting" in shape_of
        wire.leave()
    assert told[:2] == told[2:]


@pytest.mark.parametrize("pool_mode", ["transaction", "session"])
@pytest.mark.parametrize("ask", [query, lambda sql: one_statement(sql) + sync()], ids=["simple", "extended"])
def test_what_discard_all_has_reset_is_reported_where_postgresql_does_so(weir, ask, pool_mode):
    weir.start(pool_size=2, pool_mode=pool_mode)
    told = []
    for wire in weir.raw(parameters={"application_name": "shop"}), Wire((weir.postgres.host, weir.postgres.port)):
        if not wire.parameters:
            wire.login(parameters={"application_name": "shop"})
        wire.query("SET application_name = 'b'")
        wire.send(ask("SELECT 1") + ask("DISCARD ALL") + ask("SHOW application_name"))
        told.append([(reply.type, reply.body) for reply in wire.read_until("Z", 3)])
        wire.leave()
    assert told[0] == told[1] and ("S", b"application_name\0shop\0") in told[0]


@pytest.mark.weir_only
def test_a_setting_behind_a_reset_is_not_mistaken_for_another_clients(weir):
    """The server has what its image says: a client that has the same there runs as it is."""
    weir.start(pool_size=1, max_overflow=0)
    one, two = weir.raw(parameters={"options": "-c app.user_id=7"}), weir.raw(parameters={"options": "-c app.user_id=9"})
    one.query("RESET ALL; SET app.user_id = '9'")
    assert two.value("SELECT current_setting('app.user_id')") == "9"


def test_a_pipeline_that_sets_and_shows(weir):
    with weir.start(pool_size=2, pool_lifo=False).raw() as wire:
        wire.send(b"".join(query(f"SET application_name = 'n{i}'") + query("SHOW application_name") for i in range(50)))
        assert texts(wire.read_until("Z", 100)) == [[f"n{i}"] for i in range(50)]


def test_many_clients_with_values_of_their_own(weir):
    weir.start(pool_size=3, pool_lifo=False)
    zones = ["UTC", "Europe/Berlin", "Asia/Tokyo", "America/New_York"]
    styles = ["ISO, MDY", "German, DMY", "SQL, DMY"]
    wires = [(weir.raw(parameters={"TimeZone": zone, "DateStyle": style, "application_name": f"{zone} {style}"}),
              [zone, style, f"{zone} {style}"]) for zone, style in itertools.product(zones, styles)]
    for _ in range(5):
        for wire, _ in wires:
            wire.send(query("SELECT current_setting('TimeZone'), current_setting('DateStyle'), "
                            "current_setting('application_name')"))
        for wire, expected in wires:
            assert texts(wire.read_until("Z")) == [expected]


def test_bytes_are_in_the_clients_encoding(weir, table):
    with weir.start(pool_size=1).raw(parameters={"client_encoding": "LATIN1"}) as latin, \
            weir.raw(parameters={"client_encoding": "UTF8"}) as utf8:
        utf8.query("SELECT 1")
        latin.ask(rawwire.message("Q", f"INSERT INTO {table} VALUES (1, 'é')".encode("latin1") + b"\0"))
        assert utf8.value(f"SELECT v FROM {table}") == "é"
        replies = latin.ask(query(f"SELECT v FROM {table}"))
        assert [reply.row for reply in replies if reply.type == "D"] == [["é".encode("latin1")]]


def test_a_multibyte_encoding_with_backslashes_and_quotes_in_its_bytes(weir):
    """SJIS: 0x5c is the second byte of some characters."""
    weir.start(pool_size=1)
    text = "表示能十ソ"
    with weir.raw(parameters={"client_encoding": "SJIS"}) as sjis, weir.raw() as utf8:
        for _ in range(2):
            assert utf8.query(f"SELECT '{text}'") == [[text]]
            replies = sjis.ask(rawwire.message("Q", b"SELECT '" + text.encode("sjis") + b"', length('" +
                                               text.encode("sjis") + b"')\0"))
            assert [reply.row for reply in replies if reply.type == "D"] == [[text.encode("sjis"), b"5"]]


# --- no more than needed ---

def sets_seen(fake):
    """Queries that the fake server got beside those of the test, and beside the question about the database's code, which comes
    again after a while."""
    return [text for conn in fake.connections for text in conn.queries()
            if "test" not in text and "FROM pg_proc" not in text and text.strip()]


@pytest.mark.weir_only
@pytest.mark.parametrize("parameters", [{}, {"client_encoding": "utf8"}, {"DateStyle": "iso"},
                                        {"timezone": "UTC"}, {"standard_conforming_strings": "on"}], ids=str)
def test_equal_values_cost_no_query(weir, fake, parameters):
    """Clients that ask for what the server has anyway, in another spelling: nothing is to be sent for each of their
    transactions (at most once, to learn PostgreSQL's own spelling)."""
    with weir.start(upstream=fake.upstream, pool_size=1, pool_pre_ping=False).raw(parameters=parameters) as wire:
        wire.query("SELECT 'test'")
        before = len(sets_seen(fake))
        for _ in range(10):
            wire.query("SELECT 'test'")
        assert len(sets_seen(fake)) == before
        assert before <= 3


@pytest.mark.weir_only
def test_one_client_alone_costs_one_set(weir, fake):
    weir.start(upstream=fake.upstream, pool_size=1, pool_pre_ping=False)
    with weir.raw(parameters={"application_name": "mine"}) as wire:
        for _ in range(10):
            wire.query("SELECT 'test'")
        assert len(sets_seen(fake)) <= 2, sets_seen(fake)


@pytest.mark.weir_only
@pytest.mark.parametrize("is_busy", [False, True], ids=["free", "busy"])
def test_a_startup_setting_is_refused_alike_whether_a_server_is_free_or_not(weir, is_busy):
    with weir.start(pool_size=1, max_overflow=0).raw() as other:
        pid = other.value("SELECT pg_backend_pid()")
        if is_busy:
            other.query(BEGIN_NOW)
        refused = weir.in_background(refusal, weir, {"options": "-c work_mem=bogus"})
        if is_busy:
            weir.wait_waiting(1)
            other.query("COMMIT")
        error = refused.result()
        assert (error["S"], error["C"]) == ("FATAL", "22023")
        assert error["M"] == 'invalid value for parameter "work_mem": "bogus"'
        assert other.value("SELECT pg_backend_pid()") == pid
        if is_busy:
            other.query(BEGIN_NOW)
        assert weir.raw(parameters={"options": "-c app.id=7"}) is not None     # nobody need be asked


def refusal(weir, parameters):
    with pytest.raises(LoginRefused) as refused:
        weir.wire().login(password="web-secret", parameters=parameters)
    return refused.value.reply.error
