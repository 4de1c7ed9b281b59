"""Reloads say what they changed, change all or nothing, and find all that is wrong."""

import os
import socket
from signal import SIGHUP

import psycopg
import pytest

from waiting import PATIENCE, free_port, wait_until
from weir import needs_slow_log

pytestmark = pytest.mark.weir_only


def reload(weir):
    """RELOAD; its notices."""
    told = []
    with psycopg.connect(weir.dsn("admin", "pgweir"), autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: told.append(notice.message_primary))
        connection.execute("RELOAD")
    return told


def change(weir, section, **settings):
    for key, value in settings.items():
        weir.config[section][key] = value
    weir.write_config()


def shown(weir, key):
    row, = [row for row in weir.console("SHOW CONFIG") if row["key"] == key]
    return row


def errors(weir):
    return [row["problem"] for row in weir.console("SHOW CONFIG_ERRORS")]


def test_the_answer_and_the_log_say_what_changed(weir):
    weir.start(pool_size=3)
    change(weir, "pool", pool_size=7)
    weir.config["database fresh"] = {"upstream": weir.upstream()}
    del weir.config["database app2"]
    weir.write_config()
    told = reload(weir)
    assert "pool.pool_size: 3 -> 7" in told
    assert "database fresh: added" in told and "database app2: removed" in told
    assert len(told) == 5                              # and the upstream of both
    for line in told:
        wait_until(lambda line=line: f"configuration: {line}" in weir.log())
    assert reload(weir) == ["no setting has changed; the files that settings name were read again"]


def test_a_password_is_said_to_have_changed_and_not_shown(weir):
    weir.start(upstream=weir.upstream(password="first-secret"))
    change(weir, "database app", upstream=weir.upstream(password="second-secret"))
    assert reload(weir) == ["database app: another password"]
    assert "first-secret" not in weir.log() and "second-secret" not in weir.log()


def test_a_command_that_may_hold_a_password_is_not_shown_either(weir):
    weir.start(sections={"database third": {"upstream": weir.upstream() + " connect_query='SELECT 1'"}})
    change(weir, "auth", password_command="echo first-secret")
    assert reload(weir) == ["auth.password_command: (empty) -> ***"]
    change(weir, "auth", password_command="echo second-secret")
    change(weir, "database third", upstream=weir.upstream() + " connect_query='SELECT 2'")
    assert reload(weir) == ["auth.password_command: changed", "database third.upstream: changed"]
    weir.console("SET password_command = 'echo third-secret'")
    assert shown(weir, "auth.password_command")["value"] == "***"
    weir.wait_log("set until the next reload: auth.password_command = ***")
    assert "-secret" not in weir.log() and "-secret" not in str(weir.console("SHOW EVENTS"))


def test_what_needs_a_restart_is_pending(weir):
    weir.start(listen_backlog=100)
    change(weir, "pgweir", listen_backlog=200)
    assert reload(weir) == ["pgweir.listen_backlog: 100 -> 200 (pending restart)"]
    row = shown(weir, "pgweir.listen_backlog")
    assert (row["value"], row["changeable"]) == ("100", "no; pending restart: 200")
    assert reload(weir) == ["no setting has changed; the files that settings name were read again"]     # it is still pending
    assert shown(weir, "pgweir.listen_backlog")["value"] == "100"
    change(weir, "pgweir", listen_backlog=100)
    assert reload(weir) == ["pgweir.listen_backlog: back to 100; no restart needed"]
    assert shown(weir, "pgweir.listen_backlog")["changeable"] == "no"


@pytest.mark.reloads("pgweir.listen")
def test_listeners_that_move_say_so(weir):
    weir.start()
    old, new = weir.config["pgweir"]["listen"], f"127.0.0.1:{free_port()}"
    change(weir, "pgweir", listen=[old, new])
    assert reload(weir) == [f"pgweir.listen: {old} -> {old}, {new}"]
    wait_until(lambda: f"INFO: listening on {new}" in weir.log())
    old_port, weir.port = weir.port, int(new.rsplit(":", 1)[1])
    stays, weir.port = weir.raw(), old_port
    change(weir, "pgweir", listen=[old])
    assert reload(weir) == [f"pgweir.listen: {old}, {new} -> {old}"]
    wait_until(lambda: f"no longer listening on {new}" in weir.log())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(new.rsplit(":", 1)[1])), 5)
    assert stays.query("SELECT 1") == [["1"]]


def test_an_address_in_use_moves_nothing(weir, tmp_path):
    weir.start(pool_size=3)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        old = weir.config["pgweir"]["listen"]
        elsewhere = tmp_path / "elsewhere.log"
        change(weir, "pgweir", listen=[old, f"127.0.0.1:{taken.getsockname()[1]}"])
        change(weir, "log", destination=elsewhere)
        change(weir, "pool", pool_size=7)
        with pytest.raises(psycopg.Error, match="in use"):
            reload(weir)
        wait_until(lambda: "in use" in weir.log())
        assert not elsewhere.exists()
        assert shown(weir, "pool.pool_size")["value"] == "3"
        assert any("in use" in problem for problem in errors(weir))
        with weir.raw() as wire:
            wire.query("SELECT 1")


@needs_slow_log
def test_a_log_that_cannot_be_opened_moves_nothing(weir, tmp_path):
    weir.start(pool_size=3)
    first, pipe = tmp_path / "first.log", tmp_path / "pipe"
    os.mkfifo(pipe)                                    # nobody reads it: it can't be opened
    change(weir, "log", destination=first)
    change(weir, "slow_query", file=pipe)
    change(weir, "pool", pool_size=7)
    with pytest.raises(psycopg.Error, match="pipe"):
        reload(weir)
    assert shown(weir, "pool.pool_size")["value"] == "3" and shown(weir, "log.destination")["value"] == "stderr"
    wait_until(lambda: "the old configuration stays in force" in weir.log())
    assert first.read_text() == ""


def test_sighup_opens_logs_anew_even_if_the_file_is_broken(weir, tmp_path):
    path = tmp_path / "weir-file.log"
    weir.start(sections={"log": {"destination": path}})
    wait_until(lambda: "is ready" in path.read_text())
    os.rename(path, tmp_path / "rotated.log")
    weir.ini.write_text("[nonsense\n")
    os.kill(weir.process.pid, SIGHUP)
    wait_until(lambda: path.exists(), what="the new file")


def test_all_that_is_wrong_in_the_files_is_listed(weir, tmp_path):
    weir.start()
    bad_users = tmp_path / "bad-users.txt"
    bad_users.write_text('"a" "x"\nb\n"c"\n')
    os.chmod(bad_users, 0o600)
    change(weir, "auth", users_file=bad_users)
    weir.config["tls_client"] = {"mode": "require", "certificate_file": tmp_path / "none.pem",
                                 "key_file": tmp_path / "none.key"}
    weir.write_config()
    with pytest.raises(psycopg.Error):
        reload(weir)
    listed = "\n".join(errors(weir))
    assert "bad-users.txt:2: a line must begin" in listed and "bad-users.txt:3: a secret in quotes" in listed
    assert "none.pem" in listed


def test_who_waits_for_a_host_that_hangs_is_served_by_the_one_of_the_new_file(weir):
    """The login under way is given up, and the next one does not go there again."""
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        weir.start(upstream=weir.upstream(host="127.0.0.1", port=hangs.getsockname()[1]), connect_timeout="1h", pool_timeout="1h")
        hangs.settimeout(PATIENCE)
        client = weir.in_background(weir.raw)
        attempt, _ = hangs.accept()
        with attempt:
            weir.reload(upstream=weir.upstream(), connect_timeout="1h", pool_timeout="1h")
            assert client.result(PATIENCE).query("SELECT 1") == [["1"]]
