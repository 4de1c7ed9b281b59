"""The command line: check and dump a configuration, help, version, and a start without any file."""

import json
import os
import re
import signal
import socket
import subprocess
from signal import SIGHUP

import pytest

import rawwire
from rawwire import Wire
from waiting import SLOWNESS, wait_until
from weir import DIRECT, REPOSITORY, find_binary, reads_pgbouncer_ini

pytestmark = pytest.mark.weir_only


@pytest.fixture
def pgweir(tmp_path):
    binary = find_binary()
    if binary is None or DIRECT:
        pytest.skip("no pgweir: set PGWEIR_BIN, or build it")

    def run(*arguments, environment=None):
        return subprocess.run([str(binary), *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True,
                              timeout=20 * SLOWNESS, env={**os.environ, **(environment or {})}, check=False)
    return run


def check(pgweir, tmp_path, text, **options):
    """(exit code, lines of complaint) of --check-config."""
    path = tmp_path / "pgweir.ini"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = pgweir("--check-config", path, **options)
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


GOOD = """\
[auth]
method = trust
[database app]
upstream = host=127.0.0.1 port=5432
"""


def checked(weir, text, users='"ops" "x"\n"report" "y"\n', name="checked.ini"):
    """The problems that --check-config finds, without their places, and its exit code."""
    path = weir.directory / name
    (weir.directory / "checked.txt").write_text(users)
    (weir.directory / "checked.txt").chmod(0o600)
    path.write_text(text.replace("USERS", str(weir.directory / "checked.txt")))
    path.chmod(0o600)
    done = subprocess.run([weir.binary, "--check-config", path], capture_output=True, text=True, timeout=10 * SLOWNESS, check=False)
    return done.returncode, done.stderr.replace(str(weir.directory) + "/", "")


STRANGERS = """\
[pgweir]
listen = 127.0.0.1:25010
[auth]
users_file = USERS
admin_users = opps
[database app]
upstream = host=localhost port=25010
[database other]
upstream = host=127.0.0.1 port=5432 user=forced
[user reportt]
pool_size = 3
[user forced]
pool_size = 3
"""


def test_names_that_are_nowhere_and_an_upstream_that_is_pgweir_are_warned_of(weir):
    code, told = checked(weir, STRANGERS)
    assert code == 0 and told.splitlines()[:-1] == [
        "checked.ini:7: warning: upstream: host=localhost port=25010 is pgweir itself (listen = 127.0.0.1:25010), "
        "not PostgreSQL",
        'checked.ini:5: warning: admin_users: users_file has no "opps"; did you mean "ops"?',
        'checked.ini:10: warning: [user reportt]: users_file has no "reportt"; did you mean "report"?']
    assert "it is empty, so no client can log in" in checked(weir, STRANGERS, users="")[1]
    assert "users_file has no" not in checked(weir, STRANGERS.replace("[auth]", "[auth]\nmethod = trust"))[1]


MALFORMED = '"s" "SCRAM-SHA-256$xx"\n"m" "md5zz"\n"" "x"\n"app" ""\n'


def test_malformed_secrets_are_errors(weir):
    code, told = checked(weir, STRANGERS, users=MALFORMED)
    assert code == 1 and told.count("error: checked.txt:") == 4 and "4 errors" in told
    assert "shell may have" in told and "32 digits" in told and "the name is empty" in told


@reads_pgbouncer_ini
def test_malformed_secrets_are_warnings_in_pgbouncers_file(weir):
    code, told = checked(weir, "[databases]\n* = host=127.0.0.1\n[pgbouncer]\nauth_file = USERS\n", users=MALFORMED)
    assert code == 0 and told.count("warning: checked.txt:") == 4


def test_a_wrong_key_file_has_its_line(weir):
    for key in ("certificate_file", "key_file"):
        files = {"certificate_file": weir.directory / "checked.txt", "key_file": weir.directory / "checked.txt"}
        files[key] = weir.directory / "not-there.pem"
        text = STRANGERS + "[tls_client]\n" + "".join(f"{name} = {path}\n" for name, path in files.items())
        line = text.splitlines().index(f"{key} = {files[key]}") + 1
        code, told = checked(weir, text)
        if key == "certificate_file":
            assert code == 1 and f"checked.ini:{line}: error: [tls_client]: " in told, told
        else:
            assert code == 1 and "checked.ini:15: error: [tls_client]: " in told, told     # no certificate in it


def test_the_log_says_once_that_a_problem_is_one(weir):
    weir.start()
    weir.config["pool"]["pool_size"] = "many"
    weir.write_config()
    weir.signal(SIGHUP)
    weir.wait_log(f"ERROR: {weir.ini}:", "pool_size = many")
    assert "error: pool_size" not in weir.log()


def test_the_command_line_says_what_is_wrong_with_it(weir):
    """And --help-config prints the settings that are named, with their section or without."""
    def run(*arguments):
        done = subprocess.run([weir.binary, *arguments], capture_output=True, text=True, timeout=10 * SLOWNESS, check=False)
        return done.returncode, done.stdout + done.stderr
    for arguments, words in (((), "name a configuration file, or use --upstream"),
                             (("a.ini", "b.ini"), 'more than one configuration file: "b.ini"'),
                             (("--upstream", "postgres://h/d", "a.ini"), 'leave "a.ini" out'),
                             (("--help-config", "pool_sice"), 'there is no setting "pool_sice"')):
        code, said = run(*arguments)
        assert code == 2 and said.startswith("pgweir: ") and words in said.splitlines()[0]
    code, said = run("--help-config", "pool_size")
    assert code == 0 and said.startswith("[pool]\npool_size = 20\n") and len(said.splitlines()) == 4
    assert run("--help-config", "pool.pool_size") == (0, said)


def test_help_and_version(pgweir):
    done = pgweir("--help")
    assert done.returncode == 0 and not done.stderr
    for word in ("--check-config", "--dump-config", "--version", "--upstream", "FILE"):
        assert word in done.stdout, word
    assert all(len(line) <= 120 for line in done.stdout.splitlines())
    done = pgweir("--version")
    assert done.returncode == 0 and re.match(r"pgweir \d+\.\d+", done.stdout)
    assert re.search(r"^with(out)? libsystemd ", done.stdout, re.M) and re.search(r"^with(out)? libidn ", done.stdout, re.M)


@pytest.mark.parametrize("compat, version", [(None, "1.26.1"), ("pgbouncer", "1.26.1"), ("pgbouncer_1_25", "1.25.2"), ("pgbouncer_next", "1.26.1")])
def test_the_version_of_whom_it_takes_the_place_of(tmp_path, compat, version):
    """As SHOW VERSION says where the environment says so, too; no file is read for it."""
    os.symlink(find_binary(), tmp_path / "pgbouncer")
    env = {**os.environ, **({"PGWEIR_PGWEIR_COMPAT": compat} if compat else {})}
    done = subprocess.run([tmp_path / "pgbouncer", "--version"], env=env, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.startswith(f"PgBouncer {version}\npgweir ")


def test_the_schema_has_every_setting(pgweir):
    schema = json.loads(pgweir("--config-schema").stdout)
    rows, section = 0, None
    for line in pgweir("--help-config").stdout.splitlines():
        if header := re.match(r"### \[(\w+)\]", line):
            section = schema["properties"][header[1]]["properties"]
        elif line.startswith("### [database"):
            section = schema["patternProperties"]["^(database|tenant) .+$"]["properties"]
        elif row := re.match(r"\| `(\w+)` \| (?:`(.*?)`)?", line):
            assert row[1] == "upstream" or section[row[1]]["default"] == (row[2] or ""), line
            rows += 1
    assert rows > 80
    mode = schema["properties"]["pgweir"]["properties"]["pool_mode"]
    assert mode["enum"] == ["session", "transaction", "statement"] and mode["x-reloadable"] is True
    user, database = (schema["patternProperties"][name] for name in ("^user .+$", "^(database|tenant) .+$"))
    assert "pool_size" in user["properties"] and "pool_size" in database["properties"]
    assert "auth_query" not in user["properties"] and "auth_query" in database["properties"]
    assert database["required"] == ["upstream"]


@pytest.mark.parametrize("arguments", [(), ("--no-such-option",), ("--check-config",), ("one.ini", "two.ini"),
                                       ("--upstream",)], ids=str)
def test_a_wrong_command_line_is_told_on_stderr(pgweir, arguments):
    done = pgweir(*arguments)
    assert done.returncode not in (0, -6, -11) and done.stderr and "--help" in done.stderr


def test_a_file_that_is_not_there(pgweir, tmp_path):
    for arguments in (["nowhere.ini"], ["--check-config", "nowhere.ini"], ["--dump-config", "nowhere.ini"]):
        done = pgweir(*arguments)
        assert done.returncode == 1 and "nowhere.ini" in done.stderr and "No such file" in done.stderr


def test_a_good_file_is_good(pgweir, tmp_path):
    code, lines = check(pgweir, tmp_path, GOOD)
    assert code == 0, lines
    assert not any("error" in line for line in lines if "0 errors" not in line)


def test_the_shipped_file_is_good(pgweir, tmp_path):
    text = (REPOSITORY / "conf" / "pgweir.ini").read_text()
    users = tmp_path / "users.txt"
    users.write_text("")
    users.chmod(0o600)
    code, lines = check(pgweir, tmp_path, text.replace("/etc/pgweir/users.txt", str(users)))
    assert code == 0, lines


def test_all_errors_come_in_one_run_with_their_lines(pgweir, tmp_path):
    code, lines = check(pgweir, tmp_path, """\
[pool]
pool_sise = 4
default_pool_size = 5
pool_timeout = 30
pool_size = 0
max_overflow = 3
max_overflow = 4
pool_lifo = perhaps
[pools]
pool_size = 1
[database app]
upstream = host=127.0.0.1 prt=5432
[auth]
method = trusted
users_file = ${NO_SUCH_VARIABLE_HERE}
""")
    text = "\n".join(lines)
    assert code == 1
    for number in (2, 3, 4, 5, 7, 8, 9, 12, 14, 15):
        assert f"pgweir.ini:{number}: error: " in text, f"line {number} is not in:\n{text}"
    assert "pool_size" in lines[0] and "did you mean" in lines[0]
    assert "unit" in text and "line 6" in text
    assert re.search(r"\b10 errors\b", text), text


@pytest.mark.parametrize("text, words", [
    ("[pool]\npool_size = -1\n", ["pool_size"]),
    ("[pool]\npool_size = 99999999999999999999\n", ["pool_size"]),
    ("[pool]\npool_size = 4x\n", ["pool_size"]),
    ("[pool]\npool_size =\n", ["pool_size"]),
    ("[pool]\npool_timeout = 30 lightyears\n", ["pool_timeout"]),
    ("[pool]\npool_timeout = -5s\n", ["pool_timeout"]),
    ("[pool]\npool_timeout = 99999999999999h\n", ["pool_timeout"]),
    ("[pool]\nmax_statement_size = 5\n", ["max_statement_size", "unit"]),
    ("[pgweir]\nlisten = nowhere\n", ["listen"]),
    ("[pgweir]\nlisten = 127.0.0.1:99999\n", ["listen"]),
    ("[pgweir]\npool_mode = transactional\n", ["pool_mode", "transaction"]),
    ("[database x\nupstream = host=a\n", ["["]),
    ("[]\na = b\n", [":1:"]),
    ("pool_size = 4\n", [":1:", "section"]),
    ("[pool]\n= 4\n", [":2:"]),
    ("[pool]\nnonsense\n", [":2:"]),
    ("[database a]\nupstream = host=a\n[database a]\nupstream = host=b\n", [":3:", "a"]),
    ("[user x]\nupstream = host=a\n", ["upstream"]),
    ("[database x]\npool_size = 4\n", ["upstream"]),
    ("[pool]\npool_size = " + "4" * 300 + "\n", [":2:"]),
    ("[slow_query]\nthreshold = 100\n", ["threshold", "unit"]),
    ("[log]\nlevel = loud\n", ["level"]),
    ("[pgweir]\nlisten = 0.0.0.0:6432\n[auth]\nmethod = trust\n", ["trust", "loopback"]),
], ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_an_error_names_its_line_and_what_is_wrong(pgweir, tmp_path, text, words):
    code, lines = check(pgweir, tmp_path, text)
    assert code == 1 and any("error" in line for line in lines), lines
    for word in words:
        assert word in "\n".join(lines), lines


@pytest.mark.parametrize("text", [b"", b"\0" * 100, b"\xff\xfe" * 1000, b"[" * 10_000, b"=" * 10_000, b"\n" * 100_000,
                                  b"[pool]\r\npool_size = 4\r\n", b"\xef\xbb\xbf[pool]\npool_size = 4\n",
                                  b"[pool]\npool_size = 4", b"[database " + b"x" * 5000 + b"]\nupstream = host=a\n",
                                  b"[pool]\npool_size = ${" + b"x" * 3000, b"[pool]\n" + b"x = y\n" * 20_000],
                         ids=["empty", "zeros", "no text", "brackets", "equals", "blank lines", "CRLF", "BOM", "no end",
                              "long name", "long variable", "many errors"])
def test_whatever_is_in_the_file_there_is_an_answer(pgweir, tmp_path, text):
    code, lines = check(pgweir, tmp_path, text)
    assert code in (0, 1), (code, lines[:5])
    assert (code == 0) or lines


def test_a_readable_users_file_is_warned_of(pgweir, tmp_path):
    users = tmp_path / "users.txt"
    users.write_text('"a" "b"\n')
    users.chmod(0o644)
    code, lines = check(pgweir, tmp_path, GOOD.replace("[auth]\n", f"[auth]\nusers_file = {users}\n"))
    assert code == 0 and any("warning" in line and "users.txt" in line for line in lines), lines


def test_who_may_see_the_status_page_is_checked(pgweir, tmp_path):
    pages = tmp_path / "pages.txt"
    text = GOOD + f"[http]\nauth_file = {pages}\n"
    code, lines = check(pgweir, tmp_path, text)
    assert code == 1 and any("pages.txt" in line and "No such file" in line for line in lines), lines
    pages.write_text('"ops" "sesame\n')
    pages.chmod(0o600)
    code, lines = check(pgweir, tmp_path, text)
    assert code == 1 and any("pages.txt:1" in line for line in lines), lines
    pages.write_text('"ops" "sesame"\n')
    assert check(pgweir, tmp_path, text)[0] == 0


def test_variables_and_files_in_values(pgweir, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    text = GOOD + f"""\
[pool]
pool_size = ${{SIZE}}
max_overflow = ${{NOT_SET:-7}}
[log]
destination = /tmp/a$$b.log
[database two]
upstream = host=127.0.0.1 password=${{file:{secret}}}
"""
    path = tmp_path / "pgweir.ini"
    path.write_text(text)
    done = pgweir("--dump-config", path, environment={"SIZE": "13"})
    assert done.returncode == 0, done.stderr
    assert re.search(r"^pool_size = 13\b", done.stdout, re.M) and re.search(r"^max_overflow = 7\b", done.stdout, re.M)
    assert "from-a-file" not in done.stdout + done.stderr
    done = pgweir("--check-config", path)
    assert done.returncode == 1 and "SIZE" in done.stdout + done.stderr


def test_dump_config_shows_what_holds_and_whence_and_can_be_read_again(pgweir, tmp_path):
    path = tmp_path / "pgweir.ini"
    path.write_text(GOOD + "[pool]\npool_size = 13\n[user reporting]\nquery_timeout = 10min\n")
    first = pgweir("--dump-config", path)
    assert first.returncode == 0
    for wanted in (r"pool_size = 13\b.*pgweir\.ini:6", r"max_overflow = 10\b.*default", r"pool_timeout = 30s\b"):
        assert re.search("^" + wanted, first.stdout, re.M), wanted
    again = tmp_path / "again.ini"
    again.write_text(first.stdout)
    second = pgweir("--dump-config", again)
    assert second.returncode == 0, second.stderr

    def values(text):
        return [re.sub(r"\s+;.*", "", line) for line in text.splitlines() if line and not line.startswith(";")]
    assert values(second.stdout) == values(first.stdout)


@pytest.mark.parametrize("text", [GOOD + "[http]\nlisten = off\n", pytest.param(
    "[databases]\na = host=127.0.0.1\n[pgbouncer]\nauth_type = trust\nlisten_addr = 127.0.0.1\ndefault_pool_size = 5\n",
    marks=reads_pgbouncer_ini)], ids=["pgweir.ini", "pgbouncer.ini"])
def test_the_environment_wins_over_either_file(pgweir, tmp_path, text):
    path = tmp_path / "some.ini"
    path.write_text(text)
    done = pgweir("--dump-config", path, environment={"PGWEIR_HTTP_LISTEN": "127.0.0.1:9999", "PGWEIR_POOL_POOL_SIZE": "13",
                                                      "PGWEIR_PGWEIR_LISTEN": "127.0.0.1:9998", "PGWEIR_POOL_MAX_OVERFLOW": ""})
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(.*) ; environment$", done.stdout, re.M) == ["listen = 127.0.0.1:9998", "pool_size = 13",
                                                                       "listen = 127.0.0.1:9999"]
    done = pgweir("--check-config", path, environment={"PGWEIR_POOL_POOL_SIZE": "many"})
    assert done.returncode == 1 and re.search(r"^environment: error: (default_)?pool_size = many: ", done.stderr, re.M), done


def test_the_environment_holds_at_a_reload_and_a_set_wins_over_it(weir):
    weir.start(environment={"PGWEIR_POOL_POOL_SIZE": "13"}, pool_size=5)

    def size():
        return next(row["value"] for row in weir.console("SHOW CONFIG", database="pgweir") if row["key"] == "pool.pool_size")
    assert size() == "13"
    weir.reload(pool_size=6)
    assert size() == "13"
    weir.console("SET pool_size = 7")
    assert size() == "7"
    weir.console("RELOAD")
    assert size() == "13"


def test_a_certificate_of_its_own(pgweir, tmp_path):
    assert pgweir("--make-certificate", tmp_path).returncode == 0
    key, certificate = tmp_path / "server.key", tmp_path / "server.crt"
    assert key.stat().st_mode & 0o777 == 0o600
    said = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-subject", "-ext", "subjectAltName", "-text"],
                          capture_output=True, text=True, check=True).stdout
    host = socket.gethostname()
    assert re.search(rf"subject=CN ?= ?{re.escape(host)}\n", said) and f"DNS:{host}" in said and "NIST CURVE: P-256" in said
    year = 365 * 24 * 60 * 60
    for seconds, code in ((9 * year, 0), (11 * year, 1)):
        assert subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-checkend", str(seconds)], check=False,
                              stdout=subprocess.DEVNULL).returncode == code
    subprocess.run(["openssl", "verify", "-CAfile", certificate, certificate], check=True, stdout=subprocess.DEVNULL)
    before = certificate.read_text(), key.read_text()
    done = pgweir("--make-certificate", tmp_path)
    assert done.returncode == 1 and "server.crt: File exists" in done.stderr
    assert (certificate.read_text(), key.read_text()) == before
    assert pgweir("--make-certificate", tmp_path / "none").returncode == 1


def test_dump_config_masks_secrets(pgweir, tmp_path):
    path = tmp_path / "pgweir.ini"
    path.write_text("[auth]\nmethod = trust\n[database a]\nupstream = postgres://u:top-secret-42@127.0.0.1:5432/a\n"
                    "[database b]\nupstream = host=127.0.0.1 user=u password=top-secret-42\n")
    done = pgweir("--dump-config", path)
    assert done.returncode == 0, done.stderr
    assert "top-secret-42" not in done.stdout + done.stderr and "***" in done.stdout


def test_a_bad_config_does_not_start(pgweir, tmp_path):
    path = tmp_path / "pgweir.ini"
    path.write_text("[pool]\npool_sise = 4\n")
    done = pgweir(path)
    assert done.returncode == 1 and "pgweir.ini:2: error:" in done.stderr and "pool_size" in done.stderr


# --- quick start: no file at all ---

def quick_start(weir, uri, environment=None):
    """pgweir --upstream URI; it listens on 6432, so other tests must not run at the same time on this machine."""
    weir.port, weir.http_port = 6432, 9930
    clean = {"PGPASSWORD": "", "PGPASSFILE": "/nonexistent", "HOME": str(weir.directory), **(environment or {})}
    weir.launch(["--upstream", uri], clean)


@pytest.fixture
def quick(weir):
    for port in (6432, 9930):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port} of this machine is taken")
    return weir


@pytest.mark.alone                                       # the ports are those that everybody has
def test_upstream_quick_start_without_a_password(quick):
    quick_start(quick, f"postgres://web@127.0.0.1:{quick.postgres.port}/app")
    with Wire(("127.0.0.1", 6432)).login() as wire:
        assert wire.query("SELECT current_user, current_database()") == [["web", "app"]]
    assert quick.http("/healthz").status == 200
    assert "psql -h 127.0.0.1 -p 6432 -U web app" in quick.log() and "9930" in quick.log()
    quick.signal(signal.SIGUSR2)
    quick.wait_log("no restart: ")


@pytest.mark.alone
@pytest.mark.parametrize("how", ["postgres://scramuser:scram-secret@127.0.0.1:{}/app", "postgres://scramuser@127.0.0.1:{}/app?password=scram-secret",
                                 "host=127.0.0.1 port={} user=scramuser password=scram-secret dbname=app", "PGPASSWORD", "passfile"])
def test_upstream_quick_start_with_a_password_which_is_the_clients_too(quick, how):
    environment, upstream = {}, "postgres://scramuser@127.0.0.1:{}/app"
    if "=" in how or ":" in how:
        upstream = how
    elif how == "PGPASSWORD":
        environment["PGPASSWORD"] = "scram-secret"
    else:
        passfile = quick.directory / "pgpass"
        passfile.write_text(f"127.0.0.1:{quick.postgres.port}:*:scramuser:scram-secret\n")
        passfile.chmod(0o600)
        environment["PGPASSFILE"] = str(passfile)
    quick_start(quick, upstream.format(quick.postgres.port), environment)
    with Wire(("127.0.0.1", 6432)).login("scramuser", "app", "scram-secret") as wire:
        assert wire.query("SELECT current_user") == [["scramuser"]]
    with pytest.raises(rawwire.LoginRefused) as refused:
        Wire(("127.0.0.1", 6432)).login("scramuser", "app", "wrong")
    assert refused.value.sqlstate == "28P01"
    cmdline = open(f"/proc/{quick.process.pid}/cmdline", "rb").read()
    assert b"scram-secret" not in cmdline and "scram-secret" not in quick.log()


def test_upstream_must_make_sense(pgweir):
    for uri in ("", "nonsense", "http://a/b", "postgres://", "postgres://a:b@[::1:5432/x", "postgres://h:99999/d",
                "postgres://h/d?nonsense=1"):
        done = pgweir("--upstream", uri)
        assert done.returncode not in (0, -6, -11), uri
        assert done.stderr, uri


def test_upstream_that_is_pgweir_itself_is_warned_of(pgweir):
    done = pgweir("--dump-config", "--upstream", "postgres://web:x@localhost:6432/app")
    assert done.returncode == 0
    assert "warning: upstream: host=localhost port=6432 is pgweir itself (listen = 127.0.0.1:6432), not PostgreSQL" in done.stderr


def test_it_goes_on_when_nobody_reads_its_stderr(weir):
    weir.configure(connections=True)
    weir.write_config()
    read, write = os.pipe()
    process = subprocess.Popen([str(weir.binary), str(weir.ini)], stderr=write, stdout=write) if weir.binary else None
    if process is None:
        pytest.skip("no pgweir")
    os.close(write)
    os.close(read)
    weir.process = process
    wait_until(weir._is_listening)
    for _ in range(20):
        assert weir.raw().query("SELECT 1") == [["1"]]
    weir.stop(signal.SIGINT)


def test_where_scripts_run_looks_for_the_addresses_of_a_file(tmp_path):
    """The reader of what pgweir prints takes all of it: else pgweir ends by SIGPIPE, and the script with it."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build/pgweir").symlink_to(find_binary())
    ini = tmp_path / "x.ini"
    ini.write_text("[pgweir]\nlisten = 127.0.0.1:7001\nlisten = 127.0.0.1:7002\n[http]\nlisten = 127.0.0.1:7003\n"
                   "[database *]\nupstream = host=h\n[auth]\nmethod = trust\n")
    function = re.search(r"^address_of\(\)\n{\n.*?^}\n", (REPOSITORY / "scripts/run").read_text(), re.M | re.S).group()
    for section, address in (("pgweir", "127.0.0.1:7001"), ("http", "127.0.0.1:7003")):
        done = subprocess.run(["bash", "-c", f"set -euo pipefail\nhere={tmp_path} ini={ini}\n{function}\naddress_of {section}"],
                              capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, address + "\n"), done.stderr
