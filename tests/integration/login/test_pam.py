"""method = pam, and rules with pam: passwords that Debian's PAM judges. Services are files of /etc/pam.d, which root writes."""

import os
import subprocess
from pathlib import Path

import pytest

from rawwire import Wire, password_message, startup
from test_ldap import ask_for_password, calls, login_seconds, refused, who
from test_secrets import SECRET, memory
from test_secrets import start as start_readable
from waiting import SLOWNESS, each, wait_until
from weir import is_built_with, reads_pgbouncer_ini, timed

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport,
              pytest.mark.skipif(os.getuid() != 0 or not Path("/etc/pam.d").is_dir(), reason="needs root, and PAM"),
              pytest.mark.skipif(not is_built_with("libpam"), reason="built without libpam")]

# Each runner of tests has a user of its own.
USER, PASSWORD = "pgweirpam" + os.environ.get("PYTEST_XDIST_WORKER", ""), "of this machine"
# It reads the password that PAM has got, without a newline, and a byte 0 behind it.
SCRIPT = """#!/bin/sh
said=$(tr -d '\\000')
echo "$PAM_USER from $PAM_RHOST for $PAM_SERVICE" >>{directory}/calls
{before}
[ "$said" = exec-secret ]
"""


@pytest.fixture(scope="module")
def system_user(postgres, sanitized):
    """A user of the machine, and a role of PostgreSQL's."""
    if sanitized:
        pytest.skip("AddressSanitizer has no crypt() for libraries that are loaded later, as pam_unix's")
    hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True).stdout.strip()
    # One at a time: useradd gives up where another one runs.
    subprocess.run(["flock", "/etc/pam.d", "useradd", "--no-create-home", "--shell", "/bin/sh", "--password", hashed, USER],
                   check=True)
    postgres.query(f"CREATE ROLE {USER} LOGIN")
    yield USER
    postgres.query(f"DROP ROLE {USER}")
    subprocess.run(["flock", "/etc/pam.d", "userdel", USER], check=True, capture_output=True)


@pytest.fixture
def service(tmp_path):
    """Writes services; their names begin alike, and end with the test."""
    made = []

    def write(rules, name=f"pgweir-test-{os.getpid()}"):
        path = Path("/etc/pam.d") / name
        assert not path.exists() or path in made, f"{path} is somebody else's"
        made.append(path)
        path.write_text(rules, encoding="ascii")
        return name
    yield write
    each(made).unlink(missing_ok=True)


@pytest.fixture
def script(service, tmp_path):
    """A service whose module runs a script: before is what that does first."""
    def write(before="", **more):
        path = tmp_path / "judge"
        path.write_text(SCRIPT.format(directory=tmp_path, before=before), encoding="ascii")
        path.chmod(0o755)
        return service(f"auth required pam_exec.so expose_authtok quiet {path}\naccount required pam_permit.so\n", **more)
    return write


UNIX = "auth required pam_unix.so\naccount required pam_unix.so\n"


def start(weir, service_name, run=None, **settings):
    weir.users = {name: weir.users[name] for name in ("admin", "plainuser", "reporting")}
    hba = weir.directory / "hba.conf"
    hba.write_text("host pgweir admin 127.0.0.1/32 trust\nhost all plainuser 127.0.0.1/32 scram-sha-256\n"
                   f"host all all 127.0.0.1/32 pam pamservice={service_name}\n", encoding="utf-8")
    (run or weir.start)(method="hba", hba_file=hba, **settings)


def wrong(user):
    return "28000", f'PAM authentication failed for user "{user}"'


def test_a_user_of_this_machine(weir, service, system_user):
    start(weir, service(UNIX), sections={"limits": {"login_failure_delay": "0s"}})
    assert who(weir, system_user, PASSWORD) == system_user
    for user, password in ((system_user, "wrong"), (system_user, PASSWORD + " "), ("web", PASSWORD), ("root", "root"), ("nobody", "x"),
                           (f"{system_user}\n", PASSWORD), (f"{system_user} ", PASSWORD), ("../" + system_user, PASSWORD), ("*", PASSWORD)):
        assert refused(weir, user, password) == wrong(user)
    assert refused(weir, system_user, "") == ("28P01", "empty password returned by client")
    assert weir.metric_now("pgweir_client_logins_total", method="pam", result="ok") == 1
    assert weir.metric("pgweir_client_logins_total", method="pam", result="bad_password") == 10


def test_a_wrong_password_keeps_no_thread(weir, service, system_user):
    """pam_unix would sleep for 2 s after each."""
    start(weir, service(UNIX), sections={"limits": {"login_failure_delay": "0s"}})
    _, seconds = timed(lambda: [refused(weir, system_user, "wrong") for _ in range(3)])
    assert seconds < 4 * SLOWNESS


def test_an_account_that_has_expired(weir, service, system_user):
    start(weir, service(UNIX))
    subprocess.run(["chage", "--expiredate", "1", system_user], check=True)
    try:
        assert refused(weir, system_user, PASSWORD) == wrong(system_user)
    finally:
        subprocess.run(["chage", "--expiredate", "-1", system_user], check=True)
    assert who(weir, system_user, PASSWORD) == system_user


def test_what_modules_are_told(weir, script):
    start(weir, script())
    assert who(weir, "web", "exec-secret") == "web"
    assert refused(weir, "web", "exec-secret ") == wrong("web")
    assert set((weir.directory / "calls").read_text().splitlines()) == {f"web from 127.0.0.1 for pgweir-test-{os.getpid()}"}


# It says something, asks for the password twice, as some do, and for more than that if it has an argument.
TALKER = r"""
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <string.h>
int pam_sm_authenticate(pam_handle_t *pam, int flags, int count, const char **words)
{
	char *first = NULL, *second = NULL, *more = NULL;

	pam_prompt(pam, PAM_TEXT_INFO, NULL, "%s", "hello");
	pam_prompt(pam, PAM_ERROR_MSG, NULL, "%s", "careful");
	if (pam_prompt(pam, PAM_PROMPT_ECHO_OFF, &first, "%s", "Password: ") != PAM_SUCCESS ||
	    pam_prompt(pam, PAM_PROMPT_ECHO_OFF, &second, "%s", "Again: ") != PAM_SUCCESS ||
	    (count > 0 && pam_prompt(pam, PAM_PROMPT_ECHO_ON, &more, "%s", "Token: ") != PAM_SUCCESS))
		return PAM_CONV_ERR;
	return strcmp(first, "twice") == 0 && strcmp(second, "twice") == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
}
int pam_sm_setcred(pam_handle_t *pam, int flags, int count, const char **words) { return PAM_SUCCESS; }
"""


def test_a_module_that_asks_more_than_once(weir, service, tmp_path):
    module = tmp_path / "talker.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", module, "-lpam"], input=TALKER, text=True, check=True)
    name = service(f"auth required {module}\naccount required pam_permit.so\n")
    start(weir, name)
    assert who(weir, "web", "twice") == "web"
    assert refused(weir, "web", "once") == wrong("web")
    Path("/etc/pam.d", name).write_text(f"auth required {module} token\naccount required pam_permit.so\n", encoding="ascii")
    assert refused(weir, "web", "twice")[0] == "57P03", "nobody has a token"
    weir.wait_log("Conversation error")


def test_the_password_logs_in_to_postgresql_too(weir, script, postgres):
    start(weir, script())
    before = postgres.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'scramuser'")
    postgres.query("ALTER ROLE scramuser PASSWORD 'exec-secret'")
    try:
        assert who(weir, "scramuser", "exec-secret") == "scramuser"
    finally:
        postgres.query(f"ALTER ROLE scramuser PASSWORD '{before}'")


def test_a_service_that_is_not_there(weir, service):
    """PAM takes the service "other" then, which Debian's refuses or asks pam_unix; here it fails in any case."""
    start(weir, "pgweir-there-is-none")
    assert refused(weir, "web", "exec-secret") == wrong("web")


def test_a_module_that_is_not_there(weir, service):
    start(weir, service("auth required pam_nowhere.so\n"))
    assert refused(weir, "web", "exec-secret")[0] in ("28000", "57P03")


@pytest.mark.alone
def test_a_slow_module_costs_its_clients_an_error_and_nobody_else_anything(weir, script):
    lasts = round(3 * SLOWNESS)
    start(weir, script(f"while [ ! -e {weir.directory}/go ]; do sleep 0.1; done"), external_timeout=f"{lasts}s")
    wires = ask_for_password(weir, 20)
    for wire in wires:
        wire.send(password_message("exec-secret"))
    wait_until(lambda: (calls(weir, "running"), calls(weir, "waiting")) == (8, 12))
    assert min(login_seconds(weir, 30)) < lasts / 10
    assert all(wire.has_nothing_more(0) for wire in wires), "it was as slow as the module"
    for wire in wires:
        reply = wire.read_until("E")[-1]
        assert reply.error["M"] == 'PAM authentication is not possible at the moment for user "web"' and reply.sqlstate == "57P03"
    weir.wait_log(f"PAM did not answer within {lasts} s (external_timeout)")
    # Nobody can end its calls: they are lost, and further logins are refused at once.
    wait_until(lambda: (calls(weir, "lost"), calls(weir, "running"), calls(weir, "waiting")) == (8, 0, 0))
    answer, seconds = timed(refused, weir, "web", "exec-secret")
    assert answer[0] == "53300" and seconds < 4 * SLOWNESS
    (weir.directory / "go").touch()
    wait_until(lambda: calls(weir, "lost") == 0)
    assert who(weir, "web", "exec-secret") == "web"


def test_the_end_waits_for_no_module(weir, script):
    start(weir, script("exec sleep 30"), external_timeout="60s")
    for wire in ask_for_password(weir, 3):
        wire.send(password_message("exec-secret"))
    wait_until(lambda: calls(weir, "running") == 3)
    code, seconds = timed(weir.stop)
    assert code == 0 and seconds < 5 * SLOWNESS


def test_no_password_is_left_in_memory(weir, script):
    start(weir, script(), run=lambda **settings: start_readable(weir, **settings), sections={"limits": {"login_failure_delay": "10ms"}})
    for _ in range(3):
        assert refused(weir, "web", SECRET) == wrong("web")
    text = memory(weir)
    assert text.count(SECRET[:12].encode()) == 0 and text.count(SECRET[-12:].encode()) == 0


def test_100_logins_at_once(weir, script):
    start(weir, script(), max_client_connections=1000, external_timeout="60s")      # 100 shells: a busy machine takes its time
    wires = ask_for_password(weir, 100)
    for i, wire in enumerate(wires):
        wire.send(password_message("exec-secret" if i % 10 else "wrong"))
    assert [wire.read_until("ZE", timeout=60 * SLOWNESS)[-1].type for wire in wires] == ["Z" if i % 10 else "E" for i in range(100)]


@pytest.mark.reloads("auth.pam_service")
def test_method_pam_and_its_reload(weir, script):
    first, second = script(), script(name=f"pgweir-test-{os.getpid()}-b")
    weir.start(method="pam", pam_service=first)
    assert who(weir, "web", "exec-secret") == "web"
    assert refused(weir, "web", "wrong") == wrong("web")
    weir.reload(method="pam", pam_service=second)
    assert who(weir, "web", "exec-secret") == "web"
    weir.reload(method="pam", pam_service=first)
    assert who(weir, "web", "exec-secret") == "web"
    told = [line.split()[-1] for line in (weir.directory / "calls").read_text().splitlines()]
    assert told == [first, first, second, first]


@reads_pgbouncer_ini
def test_a_file_of_pgbouncer_s(weir, script):
    """Its service is named pgbouncer."""
    if Path("/etc/pam.d/pgbouncer").exists():
        pytest.skip("there is such a service here")
    script(name="pgbouncer")
    path = weir.directory / "pgbouncer.ini"
    path.write_text(f"[databases]\napp = host={weir.postgres.host} port={weir.postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                    f"listen_port = {weir.port}\nunix_socket_dir =\nauth_type = pam\n", encoding="utf-8")
    weir.launch([str(path)])
    assert who(weir, "web", "exec-secret") == "web"
    assert refused(weir, "web", "wrong")[1] == "PAM authentication failed"
    wire = weir.keep(Wire(weir.address))
    wire.send(startup("nobody", "app"))
    assert wire.read().body == b"\0\0\0\3"
