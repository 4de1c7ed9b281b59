"""password_command: a program prints the password for PostgreSQL, as for IAM, Entra and Vault."""

from pathlib import Path

import psycopg
import pytest

from postgres import PASSWORDS
from waiting import wait_until

pytestmark = pytest.mark.weir_only

USER = "scramuser"                                     # PostgreSQL asks it for a password; trust does not do


class Command:
    """A script that notes each of its runs."""

    def __init__(self, directory):
        self.path = directory / "token.sh"
        self.runs_file = directory / "runs"
        self.runs_file.write_text("")

    def write(self, body):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f'echo "$PGUSER@$PGHOST:$PGPORT/$PGDATABASE" >>{self.runs_file}\n{body}\n')
        fresh.rename(self.path)

    @property
    def runs(self):
        return self.runs_file.read_text().splitlines()


@pytest.fixture
def command(tmp_path):
    made = Command(tmp_path)
    made.write(f"echo '{PASSWORDS[USER]}'")
    return made


@pytest.fixture
def start(weir, command):
    """users_file has another password for it, which nobody may use."""
    def begin(**settings):
        weir.users[USER] = "not-this-one"
        sections = settings.pop("sections", {})
        return weir.start(sections={f"user {USER}": {"password_command": f"sh {command.path}"}, **sections}, **settings)
    return begin


def test_it_logs_in_with_what_the_command_prints(weir, command, start):
    start()
    with weir.connect(USER) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (USER,)
    assert command.runs == [f"{USER}@127.0.0.1:{weir.postgres.port}/app"]
    assert PASSWORDS[USER] not in weir.log()


def test_one_run_for_all_who_wait_and_for_those_who_come_later(weir, command, start):
    command.write(f"sleep 0.3; echo '{PASSWORDS[USER]}'")
    start(pool_size=5)
    waiting = [weir.in_background(lambda: weir.connect(USER, autocommit=True)) for _ in range(5)]
    open_ones = [one.result() for one in waiting]
    for connection in open_ones:
        connection.execute("BEGIN")                    # each has a server of its own
        connection.execute("SELECT 1")
    assert weir.postgres.count(usename=USER) == 5
    assert len(command.runs) == 1


def test_the_loop_goes_on_meanwhile(weir, command, start):
    command.write("sleep 20")
    start()
    waiting = weir.in_background(lambda: weir.connect(USER))
    wait_until(lambda: command.runs)
    with weir.raw() as wire:
        assert wire.value("SELECT 1") == "1"
    assert not waiting.done()


def test_it_is_renewed_before_it_ends(weir, command, start):
    start(sections={f"user {USER}": {"password_command": f"sh {command.path}", "password_lifetime": "2s"}},
          idle_timeout="100ms")
    weir.connect(USER).close()
    wait_until(lambda: weir.postgres.count(usename=USER) == 0)
    with weir.connect(USER) as connection:             # asked again: it is worth renewing
        connection.execute("SELECT 1")
    wait_until(lambda: len(command.runs) >= 2, what="another run")


def test_a_failure_is_told_and_not_repeated_at_once(weir, command, start):
    command.write("echo 'no credentials found' >&2; exit 3")
    start(sections={"log": {"format": "json"}})
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError, match="password_command for user \"scramuser\" at 127.0.0.1 failed: "
                                                           "exit status 3") as refused:
            weir.connect(USER)
        assert "no credentials" not in str(refused.value), "what the command wrote is for the log"
    assert len(command.runs) <= 2
    weir.wait_log("password_command_failed", "Run it by hand", "no credentials found")
    command.write(f"echo '{PASSWORDS[USER]}'")

    def is_in():
        with weir.connect(USER) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    wait_until(is_in)


@pytest.mark.parametrize("body, words", [
    ("true", "it printed no password"), ("head -c 100000 /dev/zero | tr '\\0' x", "more than 16384 bytes"),
    ("printf 'a\\0b\\n'", "a zero byte"), ("exit 137", "exit status 137")])
def test_what_is_no_password(weir, command, start, body, words):
    command.write(body)
    start()
    with pytest.raises(psycopg.OperationalError, match=words):
        weir.connect(USER)


def test_a_failure_is_seen_though_who_started_pgweir_ignores_children(weir, command, start):
    script = weir.directory / "ignoring"
    script.write_text(f'#!/bin/bash\ntrap "" CHLD\nexec {weir.binary} "$@"\n', encoding="ascii")
    script.chmod(0o755)
    weir.binary = script
    command.write("echo half of it; exit 3")
    start()
    with pytest.raises(psycopg.OperationalError, match="exit status 3"):
        weir.connect(USER)


def test_a_refused_password_is_asked_for_anew(weir, command, start):
    command.write("echo an-old-token")
    start()
    with pytest.raises(psycopg.OperationalError):
        weir.connect(USER)
    command.write(f"echo '{PASSWORDS[USER]}'")

    def is_in():
        with weir.connect(USER) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    wait_until(is_in)
    assert "an-old-token" not in weir.log()


def test_a_failure_is_no_answer_of_the_host(weir, command, start):
    """One that was not found stays the one that is tried last, as its turn was not taken."""
    def failures(reason, metric=weir.metric):
        return metric("pgweir_backend_connect_failures_total", reason=reason)

    command.write(f"test $PGHOST = {weir.postgres.host} && echo '{PASSWORDS[USER]}'")
    port = weir.postgres.port
    start(upstream=f"host=no..name,{weir.postgres.host} port={port},{port} dbname=app", workers=1, connect_timeout="1h", pool_size=2)
    with weir.connect() as connection:
        connection.execute("SELECT 1")

    def is_asked():
        weir.console("RECONNECT")
        with weir.connect(USER) as connection:
            connection.execute("SELECT 1")
        return failures("other") > 0
    assert failures("dns", weir.metric_now) == 1
    wait_until(is_asked, what="the first host to be due")
    with weir.connect() as connection:
        connection.execute("SELECT 1")
    assert failures("dns", weir.metric_now) == 1


def test_a_reload_brings_another_command(weir, command, start):
    start()
    weir.connect(USER).close()
    weir.config[f"user {USER}"]["password_command"] = f"sh {command.path} #2"
    weir.write_config()
    weir.console("RELOAD")
    wait_until(lambda: weir.postgres.count(usename=USER) == 0, what="the old connections to go")
    with weir.connect(USER) as connection:
        connection.execute("SELECT 1")
    assert len(command.runs) == 2


def test_a_stop_ends_a_command_that_runs(weir, command, start):
    command.write(f"echo $$ >>{command.runs_file}; sleep 25")
    start()
    weir.in_background(lambda: weir.connect(USER))
    pid = wait_until(lambda: len(command.runs) == 2 and int(command.runs[1]))
    weir.process.terminate()
    weir.expected_exit = weir.process.wait(15)

    wait_until(lambda: not is_running(pid))


def is_running(pid):
    """A zombie that nobody has waited for has ended, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
