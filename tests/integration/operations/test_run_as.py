"""From root to a user with fewer rights; and what the rest of the machine may see of us."""

import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from signal import SIGHUP, SIGUSR2

import pytest

from waiting import SLOWNESS, wait_until
from weir import Successor, become_reaper, wait_process

pytestmark = [pytest.mark.weir_only, pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody")]

USER = "nobody"
UID, GID = pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_gid


def status(weir, field):
    with open(f"/proc/{weir.process.pid}/status", encoding="ascii") as file:
        return re.search(rf"^{field}:\s+(.*)$", file.read(), re.M).group(1).split()


@pytest.fixture
def tmp_path():
    """In the place of pytest's own, which are root's alone; the new user must get there. (Opened, they are shut again by
    any other run of pytest that begins.)"""
    with tempfile.TemporaryDirectory(prefix="pgweir-run-as-") as path:
        yield Path(path)


def start_as(weir, **pgweir):
    """In a directory of the user's, but for what root wrote."""
    os.chown(weir.directory, UID, -1)
    directory = weir.directory
    weir.configure(sections={"pgweir": {"run_as": USER, "pid_file": directory / "pgweir.pid",
                                        "listen": [f"127.0.0.1:{weir.port}", f"unix:{directory}/.s.PGSQL.1"],
                                        **pgweir},
                             "log": {"destination": directory / "own.log"}}, method="scram-sha-256")
    weir.write_config()
    os.chown(weir.ini, UID, -1)
    os.chown(weir.users_file, UID, -1)
    weir.launch([str(weir.ini)])
    wait_until(lambda: "is ready" in own_log(weir))               # it listens before that
    return weir


def own_log(weir):
    return (weir.directory / "own.log").read_text(encoding="utf-8")


def test_it_becomes_the_user_and_cannot_go_back(weir):
    start_as(weir)
    assert set(status(weir, "Uid")) == {str(UID)}
    assert "0" not in status(weir, "Gid") and "0" not in status(weir, "Groups")
    assert int(status(weir, "CapEff")[0], 16) == 0 and int(status(weir, "CapPrm")[0], 16) == 0
    assert status(weir, "NoNewPrivs") == ["1"]
    for task in os.listdir(f"/proc/{weir.process.pid}/task"):        # threads too
        with open(f"/proc/{weir.process.pid}/task/{task}/status", encoding="ascii") as file:
            assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}\n" in file.read()
    assert weir.raw("web", "app", "web-secret").value("SELECT 1") == "1"
    assert weir.metric("process_open_fds") > 0


def test_it_reloads_reopens_and_cleans_up_as_the_user(weir):
    start_as(weir)
    log = weir.directory / "own.log"
    log.rename(weir.directory / "old.log")
    before = weir.metric("pgweir_config_reloads_total", result="ok")
    weir.signal(1)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total", result="ok") == before + 1)
    wait_until(log.exists)
    assert log.stat().st_uid == UID
    assert weir.stop() == 0
    assert not (weir.directory / "pgweir.pid").exists() and not (weir.directory / ".s.PGSQL.1").exists()


def test_logs_of_an_earlier_start_as_root_can_be_written_on(weir):
    log = weir.directory / "own.log"
    log.write_text("before\n", encoding="utf-8")
    start_as(weir)
    assert log.stat().st_uid == UID and own_log(weir).startswith("before\n")
    assert "run_as" not in own_log(weir)


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("name", ["own.log", "slow.log"])
def test_a_log_that_is_a_link_to_what_is_roots_is_not_written(weir, link, name):
    precious = weir.directory / "precious"
    precious.write_text("root's\n", encoding="utf-8")
    precious.chmod(0o600)
    link(precious, weir.directory / name)
    os.chown(weir.directory, UID, -1)
    weir.configure(sections={"pgweir": {"run_as": USER}, "log": {"destination": weir.directory / "own.log"},
                             "slow_query": {"file": weir.slow_file}})
    ended = run(weir)
    assert ended.returncode == 1 and f'could not open "{weir.directory / name}": Permission denied' in ended.stderr
    assert precious.stat().st_uid == 0 and precious.read_text(encoding="utf-8") == "root's\n"


def test_a_pid_file_is_not_written_through_a_link(weir):
    precious = weir.directory / "precious"
    precious.write_text("root's\n", encoding="utf-8")
    for name in ("pgweir.pid", "pgweir.pid~", ".s.PGSQL.1~"):
        (weir.directory / name).symlink_to(precious)
    start_as(weir)
    assert precious.read_text(encoding="utf-8") == "root's\n" and stat.S_IMODE(precious.stat().st_mode) == 0o644
    pid_file = weir.directory / "pgweir.pid"
    assert not pid_file.is_symlink() and pid_file.stat().st_uid == UID
    assert pid_file.read_text(encoding="ascii") == f"{weir.process.pid}\n"
    assert stat.S_IMODE((weir.directory / ".s.PGSQL.1").stat().st_mode) == 0o777


def test_what_will_fail_later_is_told_at_the_start(weir):
    weir.configure(sections={"pgweir": {"run_as": USER, "pid_file": weir.directory / "pgweir.pid"}},
                   method="scram-sha-256")
    weir.write_config()                                              # users_file: root's, 0600
    weir.launch([str(weir.ini)])
    wait_until(lambda: "a reload will fail" in weir.log() and "cannot be removed" in weir.log())
    assert weir.raw("web", "app", "web-secret").value("SELECT 1") == "1"
    assert weir.stop() == 0
    assert (weir.directory / "pgweir.pid").read_text(encoding="ascii") == ""


def test_root_is_warned_of_itself_and_root_by_name_is_not(weir):
    weir.start()
    wait_until(lambda: "running as root" in weir.log())
    weir.stop()
    weir.expected_exit = None
    before = len(weir.log())
    weir.start(sections={"pgweir": {"run_as": "root"}})
    wait_until(lambda: "is ready" in weir.log()[before:])
    assert "running as root" not in weir.log()[before:]


def run(weir, *, uid=None):
    weir.write_config()
    return subprocess.run([str(weir.binary), str(weir.ini)], capture_output=True, text=True, timeout=10 * SLOWNESS, check=False,
                          cwd="/", user=uid, group=None if uid is None else GID, extra_groups=None if uid is None else [])


def test_a_user_that_does_not_exist_is_an_error(weir):
    weir.configure(sections={"pgweir": {"run_as": "no_such_one"}})
    ended = run(weir)
    assert ended.returncode == 1 and "run_as = no_such_one: there is no such system user" in ended.stderr


@pytest.mark.own_transport
@pytest.mark.parametrize("what", ["of ours to clients", "of ours to PostgreSQL", "hba_file"])
def test_files_that_only_root_reads_are_told_at_the_start(weir, authority, what):
    made = authority.issue("run_as")
    certificate, key = (shutil.copy(path, weir.directory) for path in (made.certificate, made.key))    # root's; the key 0600
    hba = weir.directory / "hba.conf"
    hba.write_text("host all all all trust\n", encoding="utf-8")
    hba.chmod(0o600 if what == "hba_file" else 0o644)
    side = {"of ours to clients": "tls_client", "of ours to PostgreSQL": "tls_server"}.get(what)
    sections = {side: {"certificate_file": certificate, "key_file": key}} if side else {}
    weir.configure(sections={"pgweir": {"run_as": USER}, **sections}, method="hba", hba_file=hba)
    weir.write_config()
    os.chown(weir.ini, UID, -1)
    weir.launch([str(weir.ini)])
    path = key if side else hba
    wait_until(lambda: re.search(rf"run_as = nobody: .*{re.escape(str(path))}.*a reload will fail", weir.log()))
    assert weir.raw().value("SELECT 1") == "1"


def test_only_root_becomes_another(weir):
    os.chown(weir.directory, UID, -1)
    weir.configure(sections={"pgweir": {"run_as": "daemon"}})
    weir.write_config()
    os.chown(weir.users_file, UID, -1)
    os.chown(weir.ini, UID, -1)
    ended = run(weir, uid=UID)
    assert ended.returncode == 1 and "only root can become another user" in ended.stderr


# --- memory ---

def test_nobody_else_reads_its_memory_and_it_leaves_no_core(weir):
    weir.start()
    pid = weir.process.pid
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        assert re.search(r"^Max core file size +0 +0 ", file.read(), re.M)


def test_the_same_user_can_not_read_its_memory(weir):
    start_as(weir)
    script = f"open('/proc/{weir.process.pid}/mem', 'rb')"
    ended = subprocess.run(["/usr/bin/python3", "-c", script], user=UID, group=GID, extra_groups=[],
                           capture_output=True, text=True, check=False)
    assert "PermissionError" in ended.stderr


def test_core_files_can_be_asked_for(weir):
    weir.start(environment={"PGWEIR_CORE": "1"})
    with open(f"/proc/{weir.process.pid}/limits", encoding="ascii") as now, \
            open("/proc/self/limits", encoding="ascii") as ours:
        core = re.compile(r"^Max core file size .*$", re.M)
        assert core.search(now.read()).group() == core.search(ours.read()).group()


@pytest.mark.own_transport
@pytest.mark.parametrize("side", ["tls_client", "tls_server"])
@pytest.mark.parametrize("mode, owner, words", [(0o604, 0, "anyone may read"), (0o602, 0, "anyone may change"),
                                                (0o640, UID, "its group may read"), (0o640, 0, None), (0o600, 0, None)])
def test_keys_that_others_may_read_are_warned_of(weir, authority, tmp_path, side, mode, owner, words):
    made = authority.issue("open_key")
    key = tmp_path / "open.key"
    key.write_bytes(made.key.read_bytes())
    key.chmod(mode)
    os.chown(key, owner, -1)
    weir.start(sections={side: {"mode": "prefer", "certificate_file": made.certificate, "key_file": key}},
               method="scram-sha-256")
    os.chmod(weir.users_file, mode)
    os.chown(weir.users_file, owner, -1)
    checked = subprocess.run([str(weir.binary), "--check-config", str(weir.ini)], capture_output=True, text=True,
                             timeout=10 * SLOWNESS, check=False)
    assert checked.returncode == 0
    wait_until(lambda: "is ready" in weir.log())
    for path, text in ((key, weir.log()), (key, checked.stderr), (weir.users_file, checked.stderr)):
        found = [line for line in text.splitlines() if f"{path}: " in line and "this file of secrets" in line]
        assert len(found) == (words is not None) and (not found or f"{path}: {words}" in found[0]), text


@pytest.mark.parametrize("mode, owner, words", [(0o604, 0, "anyone may read"), (0o620, 0, "its group may change"),
                                                (0o640, UID, "its group may read"), (0o640, 0, None), (0o600, 0, None)])
def test_passwords_that_others_may_read_are_warned_of(weir, tmp_path, mode, owner, words):
    """In pgweir.ini, and in a file it names. One warning each, at the start, at a reload and by --check-config."""
    secret = tmp_path / "secret"
    secret.write_text("plain-secret\n")
    written, named = ({"upstream": weir.upstream(user="plainuser", password=password)}
                      for password in ("plain-secret", f"${{file:{secret}}}"))
    weir.configure(sections={"database app": written, "database app2": named})
    weir.write_config()
    for path in (weir.ini, secret):
        path.chmod(mode)
        os.chown(path, owner, -1)
    weir.launch([str(weir.ini)])
    wait_until(lambda: "is ready" in weir.log())
    at_start = weir.log()
    weir.signal(SIGHUP)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total") == 1)
    checked = subprocess.run([str(weir.binary), "--check-config", str(weir.ini)], capture_output=True, text=True,
                             timeout=10 * SLOWNESS, check=False)
    assert checked.returncode == 0
    wait_until(lambda: "reloaded" in weir.log()[len(at_start):])
    for text in (at_start, weir.log()[len(at_start):], checked.stderr):
        for path in (weir.ini, secret):
            found = re.findall(rf"{re.escape(str(path))}: (\w[\w ]* may \w+) this file of secrets", text)
            assert found == ([words] if words else []), text


def test_a_configuration_without_passwords_may_be_read(weir):
    weir.start(environment={"SECRET": "plain-secret"}, method="trust",
               sections={"database app": {"upstream": weir.upstream(user="plainuser", password="${SECRET}")}})
    weir.ini.chmod(0o644)
    weir.signal(SIGHUP)
    wait_until(lambda: weir.metric("pgweir_config_reloads_total") == 1)
    assert "this file of secrets" not in weir.log()


def test_a_restart_keeps_the_rights_the_sockets_and_the_pid_file(weir):
    """The directory of the pid file is root's alone: the successor writes the file that root has given away."""
    closed = weir.directory / "closed"
    closed.mkdir()
    start_as(weir, pid_file=closed / "pgweir.pid")
    old, path = weir.process, weir.directory / ".s.PGSQL.1"
    with weir.raw("web", "app", "web-secret") as wire:
        become_reaper()
        weir.signal(SIGUSR2)
        assert wait_process(old, 20) == 0
        # The old one may end before the successor's line is written.
        ready = weir.wait_until(lambda: re.findall(r"is ready \(pid (\d+)\)", own_log(weir))[1:], what="the successor's line")
        weir.process = Successor(int(ready[-1]))
        assert weir.process.pid != old.pid and set(status(weir, "Uid")) == {str(UID)}
        assert wire.value("SELECT 1") == "1"
        assert (closed / "pgweir.pid").read_text(encoding="ascii") == f"{weir.process.pid}\n"
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert weir.stop() == 0
    assert not path.exists() and (closed / "pgweir.pid").read_text(encoding="ascii") == ""
