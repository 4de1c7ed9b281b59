"""Budgets as operators see them: SHOW BUDGET, SHOW FLEET and /metrics of one process and of two."""

import contextlib
import json
import os
import subprocess

import pytest

from rawwire import BEGIN_NOW, LoginRefused, query
from waiting import SLOWNESS, each, wait_until
from weir import Weir, find_binary

pytestmark = pytest.mark.weir_only
LOCK = "SELECT pg_advisory_lock(1885828466, 0)"     # fleet_sql.c
MARK = 1885828467           # the same: the first number of marks


def budget_of(weir):
    [row] = weir.console("SHOW BUDGET")
    return row


def joined(weir):
    """The row once the steward has looked."""
    return wait_until(lambda: row if (row := budget_of(weir))["state"] == "joined" and row["connections"] else None)


def hosts(postgres):
    return f"{postgres.host}:{postgres.port}"


@contextlib.contextmanager
def another(weir, folder, **settings):
    """A second process before the same PostgreSQL."""
    folder.mkdir()
    other = Weir(weir.postgres, folder)
    try:
        yield other.start(**settings)
    finally:
        problems = other.teardown()
        assert not problems, problems


def test_without_a_budget_there_is_nothing_to_see(weir):
    weir.start()
    assert weir.console("SHOW BUDGET") == weir.console("SHOW FLEET") == []
    assert "pgweir_budget" not in weir.http("/metrics").text


def test_console_and_metrics_agree(weir, postgres):
    with weir.start(budget="on", budget_connections=20, cluster_user="scramuser").raw() as wire:
        wire.query("SELECT 1")
        weir.settle()
        row = wait_until(lambda: row if (row := joined(weir))["connections"] == postgres.count() and row["waiting"] == 0 else None)
        assert (row["hosts"], row["database"], row["mode"], row["budget"]) == (hosts(postgres), "app", "on", 20)
        assert row["own_budget"] is row["share"] is row["lock_pid"] is None and row["last_error"] == ""
        assert row["members"] == 1 and row["others"] == row["waiting"] == row["over_opens"] == row["over_ms"] == 0
        assert row["used"] == row["connections"] - 1, "all but the steward"
        assert row["checks_granted"] >= 1 and row["peak"] >= row["connections"] and row["peak_at"].endswith(" UTC")
        wait_until(lambda: weir.metric("pgweir_budget_used", backend=hosts(postgres)) == row["used"])
        metrics = {name: value for (name, labels), value in weir.metrics().items() if ("backend", hosts(postgres)) in labels}
        for name, value in {"connections": 20, "own_connections": 20, "listed": row["connections"], "others": 0,
                            "waiting": 0, "members": 1, "joined": 1, "over_seconds_total": 0}.items():
            assert metrics["pgweir_budget_" + name] == value, name
        assert "pgweir_budget_share" not in metrics and metrics["pgweir_budget_check_seconds_total"] > 0
        [member] = weir.console("SHOW FLEET")
        [steward] = [one for one in postgres.backends() if one["application_name"].startswith("pgweir budget ")]
        assert member["own"] and not member["silent"] and member["in_use"] and member["pid"] == steward["pid"]
        assert member["budget"] == 20 and member["heard_ms"] < 3000
        assert member["process"].endswith(f".{weir.process.pid}")
    assert weir.console("SHOW BUDGET LIKE 'nowhere%'") == []


def test_two_processes_see_each_other_and_the_smaller_budget(weir, tmp_path):
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
    with another(weir, tmp_path / "other", budget="on", budget_connections=12, cluster_user="scramuser") as other:
        row = wait_until(lambda: row if (row := joined(weir))["members"] == 2 and row["budget"] == 12 else None)
        assert row["own_budget"] == 20 and wait_until(lambda: joined(other)["members"] == 2)
        assert joined(other)["budget"] == 12 and joined(other)["own_budget"] is None
        wait_until(lambda: weir.metric("pgweir_budget_connections") == 12)
        assert weir.metric("pgweir_budget_own_connections") == 20
        assert [(one["own"], one["budget"]) for one in sorted(weir.console("SHOW FLEET"), key=lambda one: not one["own"])] == \
            [(True, 20), (False, 12)]
    row = wait_until(lambda: row if (row := joined(weir))["members"] == 1 and row["budget"] == 20 else None)
    assert row["own_budget"] is None


def test_who_waits_below_his_share_is_seen_by_the_other(weir, tmp_path):
    settings = {"budget": "on", "budget_connections": 12, "pool_size": 12, "cluster_user": "scramuser", "min_idle": 0}
    weir.start(**settings)
    with another(weir, tmp_path / "other", **settings) as other, contextlib.ExitStack() as held:
        joined(other)
        waiters = [held.enter_context(other.raw()) for _ in range(4)]    # their login needs a connection
        holders = [held.enter_context(weir.raw()) for _ in range(7)]
        each(holders).query(BEGIN_NOW)
        each(waiters).send(query(BEGIN_NOW))
        # It is less by each that is known to wait: at first not all are.
        wait_until(lambda: (share := budget_of(weir)["share"]) is not None and 3 <= share <= 5)
        wait_until(lambda: 3 <= weir.metric("pgweir_budget_share") == budget_of(weir)["share"] <= 5)
        assert wait_until(lambda: [one for one in weir.console("SHOW FLEET") if not one["own"] and one["waiting"] > 0])
        assert wait_until(lambda: other.metric("pgweir_budget_waiting") > 0)
        each(holders).query("COMMIT")
        each(waiters).read_until("Z")
        wait_until(lambda: budget_of(weir)["share"] is None)


def test_a_budget_that_is_used_up_is_told_in_one_voice(weir, postgres):
    """The client, SHOW WAITERS, EXPLAIN WAIT, EXPLAIN POOL and the log: by whom, and that two places are nobody's."""
    settings = {"sections": {"log": {"format": "json"}}, "budget": "on", "budget_connections": 6, "cluster_user": "scramuser", "pool_size": 5}
    weir.start(pool_timeout="10min", **settings)
    joined(weir)
    with weir.raw() as early, contextlib.ExitStack() as held:
        for _ in range(3):
            held.enter_context(contextlib.closing(postgres.connect("app", user="reporting")))
        wait_until(lambda: budget_of(weir)["others"] == 3)
        early.send(query("SELECT 1"))
        cause = ("The pool has 0 of 5 connections busy (5 + 0 overflow), and 1 client is waiting. The budget of 6 is used up: PostgreSQL "
                 "lists 4 (3 not pgweir's), 2 are kept for new processes.")
        # at first it may list the connection, too, that the login was for, and that is closed for those of the others
        waiter = wait_until(lambda: [row for row in weir.console("SHOW WAITERS") if row["reason"] == cause])[0]
        helps = ("See who has them: SHOW FLEET in pgweir's console, and pg_stat_activity for those that are not pgweir's. If all of "
                 "them are at work, raise budget_connections.")
        for command in (f"EXPLAIN WAIT {waiter['client_id']}", "EXPLAIN POOL app"):
            said = [row["explanation"] for row in weir.console(command)]
            assert f"The cause: {cause}" in said and f"What helps: {helps}" in said, said
        assert not any(line.startswith("Advice") for line in said), said
        weir.reload(pool_timeout="300ms", **settings)
        error = early.read_until("Z")[0].error
        assert error["D"].endswith(cause) and error["H"] == helps
        line = wait_until(lambda: [line for line in map(json.loads, weir.log().splitlines()) if line.get("event") == "pool_timeout"])[0]
        assert "The budget of 6 is used up: PostgreSQL lists 4 " in line["message"]


def test_a_lock_that_somebody_holds(weir, postgres):
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
    joined(weir)
    with weir.raw() as first, weir.raw() as wire, contextlib.closing(postgres.connect(dbname="postgres")) as somebody:
        first.query(BEGIN_NOW)
        weir.settle()
        idle = [weir.raw() for _ in range(weir.pool()["sv_idle"])]      # that pgweir has asked for the database's code
        each(idle).query(BEGIN_NOW)
        somebody.cursor().execute(LOCK)
        wire.send(query("SELECT 1"))
        row = wait_until(lambda: row if (row := budget_of(weir))["lock_pid"] else None)
        assert row["state"] == "lock_held" and row["lock_pid"] == somebody.info.backend_pid and row["checks_failed"] >= 1
        wait_until(lambda: weir.metric("pgweir_budget_joined") == 0 and
                   weir.metric("pgweir_budget_checks_total", result="failed") >= 1)
        somebody.close()
        wire.read_until("Z")
        first.query("COMMIT")
    assert joined(weir)["lock_pid"] is None


@contextlib.contextmanager
def stranger(postgres, *statements, name="mallory"):
    """Somebody who may connect to the database in which processes meet, and is not cluster_user. Gives the PID."""
    with contextlib.closing(postgres.connect("postgres", user="reporting", application_name=name)) as connection:
        with connection.cursor() as cursor:
            for sql in statements:
                cursor.execute(sql)
        yield connection.info.backend_pid


def named(postgres_pid, name="mallory"):
    return f"PID {postgres_pid} (reporting, {name})"


def wait_for_looks(postgres):
    """What the steward says of itself has changed twice: it does so each second, when it looks."""
    def said():
        return postgres.value("SELECT application_name FROM pg_stat_activity WHERE usename = 'scramuser'", dbname="postgres")
    for _ in range(2):
        before = said()
        wait_until(lambda: said() != before)        # pylint: disable=cell-var-from-loop


def test_locks_and_words_of_strangers_change_nothing_and_are_told_once(weir, postgres):
    """Marks of a thousand, of what is no number of connections, and the membership itself."""
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
    joined(weir)
    liar = "pgweir budget 3 0 0 0 1 liar"
    shared = [f"SELECT pg_advisory_lock_shared({MARK}, {number})" for number in (1000, -1, -2, 0)]
    with stranger(postgres, *shared, name=liar) as pid, weir.raw() as first:
        wait_until(lambda: budget_of(weir)["strangers"] == named(pid, liar))
        first.query(BEGIN_NOW)
        with weir.raw() as second:
            second.query("SELECT 1")                # which needs one more connection
        row = budget_of(weir)
        assert (row["state"], row["budget"], row["members"], row["lock_pid"]) == ("joined", 20, 1, None)
        [member] = weir.console("SHOW FLEET")
        assert member["own"]
        first.query("COMMIT")
        wait_for_looks(postgres)
    wait_until(lambda: budget_of(weir)["strangers"] == "")
    assert weir.log().count(f"PID {pid}, user reporting, application {liar}") == 1
    assert weir.log().count("budget: joined") == 1


def test_a_stranger_who_keeps_marks_from_being_taken_is_named(weir, postgres):
    """Nothing is opened until he is gone; what is open serves."""
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
    joined(weir)
    with contextlib.ExitStack() as held, weir.raw() as next_one:
        wait_until(lambda: weir.pool()["sv_idle"] + weir.pool()["sv_active"] == postgres.count(usename="web"))
        holders = []
        while not holders or weir.pool()["sv_idle"] > 0:        # a slow login may have brought a second one
            holders.append(held.enter_context(weir.raw()))
            holders[-1].query(BEGIN_NOW)
            weir.settle()
        with stranger(postgres, *(f"SELECT pg_advisory_lock({MARK}, {number})" for number in range(1, 30))) as pid:
            next_one.send(query("SELECT 1"))
            row = wait_until(lambda: row if (row := budget_of(weir))["lock_pid"] else None)
            assert (row["state"], row["lock_pid"], row["strangers"]) == ("lock_held", pid, named(pid))
            each(holders).query("SELECT 1")
            assert postgres.count(usename="web") == len(holders)
        next_one.read_until("Z")
        each(holders).query("COMMIT")
    wait_until(lambda: budget_of(weir)["state"] == "joined")
    assert weir.log().count("budget: joined") == 1


def test_who_keeps_the_membership_from_a_steward_is_named(weir, postgres):
    """Before it comes. It joins when he is gone."""
    with stranger(postgres, f"SELECT pg_advisory_lock({MARK}, 0)") as pid:
        weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
        row = wait_until(lambda: row if (row := budget_of(weir))["lock_pid"] else None)
        assert (row["state"], row["lock_pid"], row["members"]) == ("lock_held", pid, 0)
    wait_until(lambda: (row := budget_of(weir))["state"] == "joined" and row["members"] == 1)
    with weir.raw() as wire:
        wire.query("SELECT 1")


def test_a_prepared_transaction_that_has_the_lock(weir, postgres):
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
    joined(weir)
    with weir.raw() as first, weir.raw() as second, weir.raw() as third, weir.raw() as fourth:
        first.query(BEGIN_NOW)
        with contextlib.closing(postgres.connect("postgres", user="reporting")) as somebody, somebody.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(LOCK.replace("advisory_lock", "advisory_xact_lock"))
            cursor.execute("PREPARE TRANSACTION 'keeps_the_lock'")
        try:
            each((second, third, fourth)).send(query(BEGIN_NOW))    # pgweir may have opened one more for a question of its own
            row = wait_until(lambda: row if (row := budget_of(weir))["state"] == "lock_held" and row["strangers"] else None)
            assert row["strangers"] == "a prepared transaction" and row["lock_pid"] is None
        finally:
            postgres.query("ROLLBACK PREPARED 'keeps_the_lock'", dbname="postgres")
        each((second, third, fourth)).read_until("Z")
        each((first, second, third, fourth)).query("COMMIT")


def test_locks_of_one_number_and_of_other_databases_are_others(weir, postgres):
    """As are those beside the lock: nobody is named for them."""
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
    joined(weir)
    of_one = [f"SELECT pg_advisory_lock(({first}::bigint << 32) | {second})" for first in (MARK - 1, MARK) for second in (0, 1)]
    with stranger(postgres, *of_one), contextlib.closing(postgres.connect("app")) as elsewhere, weir.raw() as wire:
        elsewhere.cursor().execute(LOCK)
        elsewhere.cursor().execute(f"SELECT pg_advisory_lock({MARK}, 1)")
        wire.query("SELECT 1")
        wait_for_looks(postgres)
        row = budget_of(weir)
        assert (row["state"], row["strangers"], row["lock_pid"]) == ("joined", "", None)


def test_no_client_logs_in_as_the_role_of_stewards(weir):
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser")
    with pytest.raises(LoginRefused, match="28000.*cluster_user"):
        weir.raw("scramuser", password=weir.users["scramuser"])
    weir.reload(budget="advise", budget_connections=20, cluster_user="scramuser")
    with weir.raw("scramuser", password=weir.users["scramuser"]) as wire:
        wire.query("SELECT 1")


def test_a_larger_budget_holds_when_the_last_one_has_reloaded(weir, tmp_path):
    """Until then it is said whose is the smallest."""
    settings = {"budget": "on", "cluster_user": "scramuser"}
    weir.start(budget_connections=12, **settings)
    with another(weir, tmp_path / "other", budget_connections=12, **settings) as other:
        wait_until(lambda: joined(weir)["members"] == joined(other)["members"] == 2)
        assert budget_of(weir)["budget_of"] == ""
        weir.reload(budget_connections=30, **settings)
        row = wait_until(lambda: row if (row := budget_of(weir))["own_budget"] else None)
        assert (row["budget"], row["own_budget"], row["budget_of"].endswith(f".{other.process.pid}")) == (12, 30, True)
        weir.wait_log("the smallest of all counts, and here it is 30")
        wait_until(lambda: [one for one in other.console("SHOW FLEET") if one["budget"] == 30])
        other.reload(budget_connections=30, **settings)
        wait_until(lambda: ((row := budget_of(other))["budget"], row["own_budget"], row["budget_of"]) == (30, None, ""))
        row = wait_until(lambda: row if (row := budget_of(weir))["budget"] == 30 else None)
        assert row["own_budget"] is None and row["budget_of"] == ""
        wait_until(lambda: f"budget: 30 connections at {hosts(weir.postgres)}\n" in weir.log())


def test_a_steward_that_can_not_log_in(weir):
    weir.start(budget="on", budget_connections=20, cluster_user="scramuser", budget_database="nowhere")
    row = wait_until(lambda: row if (row := budget_of(weir))["last_error"] else None)
    assert row["state"] == "connecting" and 'database "nowhere" does not exist' in row["last_error"]
    assert row["connections"] is row["others"] is None and weir.console("SHOW FLEET") == []
    assert "pgweir_budget_listed{" not in weir.http("/metrics").text
    weir.reload(budget="on", budget_connections=20, cluster_user="scramuser")
    assert joined(weir)["last_error"] == ""


def test_a_pooler_in_between_is_told(weir, tmp_path):
    weir.start({"database postgres": {"upstream": weir.upstream()}})
    with another(weir, tmp_path / "other", upstream=f"host={weir.host} port={weir.port}", budget="on", budget_connections=20,
                 cluster_user="scramuser") as other:
        wait_until(lambda: budget_of(other)["state"] == "pooled")
        with other.raw() as wire:
            assert wire.query("SELECT 1") == [["1"]]
        assert other.metric("pgweir_budget_joined") == 0


@pytest.mark.parametrize("secret, command, told", [
    (None, "", "has no secret for"), ("", "", "has no secret for"), ("word", "", None), (None, "echo word", None),
    ("SCRAM-SHA-256$4096:c2FsdA==$" + 43 * "A" + "=:" + 43 * "A" + "=", "", "has a SCRAM verifier for")])
def test_a_secret_that_a_steward_can_not_use(tmp_path, secret, command, told):
    users, ini = tmp_path / "users.txt", tmp_path / "pgweir.ini"
    users.write_text('"web" "x"\n' + ("" if secret is None else f'"steward" "{secret}"\n'), encoding="utf-8")
    os.chmod(users, 0o600)
    ini.write_text(f"[auth]\nmethod = trust\nusers_file = {users}\npassword_command = {command}\n"
                   "[database *]\nupstream = host=h\n[database a]\nupstream = host=i user=steward password=y\n[database b]\nupstream = host=i\n"
                   "[limits]\nbudget = advise\ncluster_user = steward\n", encoding="utf-8")
    done = subprocess.run([find_binary(), "--check-config", ini], capture_output=True, text=True, check=False, timeout=20 * SLOWNESS)
    found = [line for line in (done.stdout + done.stderr).splitlines() if "budget:" in line]
    assert done.returncode == 0 and len(found) == (told is not None), done
    assert not told or f'pgweir.ini:6: warning: budget: users_file {told} "steward"' in found[0]
