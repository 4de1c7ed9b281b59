"""Passwords: they are in no log and no answer, and in memory nowhere but where they are kept."""

import re
import ssl
import subprocess

import pytest

import rawwire
from rawwire import LoginRefused, md5_secret, message, query, scram_verifier, startup
from waiting import wait_until

pytestmark = pytest.mark.weir_only

SECRET = "kryptonite-7c0ffee7-and-more-of-it"       # nothing else in the process looks like this


def memory(weir):
    """All that the process can write to, or skips where that may not be read."""
    parts = []
    try:
        with open(f"/proc/{weir.process.pid}/maps", encoding="ascii") as maps, \
                open(f"/proc/{weir.process.pid}/mem", "rb", buffering=0) as mem:
            for line in maps:
                begin, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
                if "w" not in mode or "[v" in line:
                    continue
                mem.seek(int(begin, 16))
                parts.append(mem.read(int(end, 16) - int(begin, 16)))
    except PermissionError:
        pytest.skip("the memory of another process may not be read here")
    return b"\n".join(parts)


def copies(weir, secret=SECRET):
    return memory(weir).count(secret.encode())


def start(weir, environment=None, **words):
    """With memory that may be looked at."""
    if b"__asan_init" in weir.binary.read_bytes():
        pytest.skip("the sanitizer keeps freed memory")
    weir.start(environment={"PGWEIR_CORE": "1", **(environment or {})}, **words)
    assert memory(weir).count(b"reporting-secret") > 0, "this way of looking finds what is there"


def refused(weir, wire, *arguments):
    with pytest.raises(LoginRefused) as refusal:
        wire.login(*arguments)
    assert SECRET not in str(refusal.value.reply.error)
    return refusal.value.sqlstate


@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_a_login_leaves_no_password_behind(weir, method):
    """users.txt has what a password is proved with, not the password."""
    weir.users["web"] = md5_secret("web", SECRET) if method == "md5" else scram_verifier(SECRET)
    start(weir, method=method, sections={"limits": {"login_failure_delay": "10ms"}})
    for _ in range(3):
        with weir.wire().login("web", "app", SECRET) as wire:
            assert wire.value("SELECT 1") == "1"
        assert refused(weir, weir.wire(), "web", "app", SECRET + "!") == "28P01"
    assert copies(weir) == 0


def in_the_clear(weir, cut):
    """A password where none was asked for in the clear: it arrives, and is wrong."""
    wire = weir.wire()
    wire.send(startup("web", "app"))
    wire.read()
    answer = message("p", SECRET.encode() + b"\0")
    if cut is None:
        wire.send(answer)
    else:
        wire.send(answer[:cut])
        wait_until(lambda: weir.metric("pgweir_client_connections", state="login") >= 1)
        wire.send(answer[cut:])
    assert wire.read().sqlstate == "28P01"
    wire.wait_closed()


@pytest.mark.parametrize("cut", [None, 3, 7, len(SECRET)])
def test_a_password_that_came_in_the_clear_is_wiped(weir, cut):
    start(weir, method="md5", sections={"limits": {"login_failure_delay": "10ms"}})
    for _ in range(3):
        in_the_clear(weir, cut)
    text = memory(weir)
    assert text.count(SECRET[:12].encode()) == 0 and text.count(SECRET[-12:].encode()) == 0


def test_a_password_of_one_who_left_in_the_middle_is_wiped(weir):
    start(weir, method="md5")
    wire = weir.wire()
    wire.send(startup("web", "app"))
    wire.read()
    # malloc writes over the first bytes of what is freed: the password is behind them
    wire.send(message("p", b"x" * 200 + SECRET.encode() + b"y" * 1000)[:500])
    wait_until(lambda: copies(weir) == 1)                          # it waits for the rest
    wire.close()
    wait_until(lambda: weir.metric("pgweir_client_connections", state="login") == 0)
    wait_until(lambda: copies(weir) == 0)


def test_openssl_keeps_no_password(weir, authority):
    """It decrypts into buffers of its own, and gives them back when they are empty."""
    made = authority.issue("secrets", "/CN=localhost", "DNS:localhost")
    start(weir, method="md5", sections={"tls_client": {"certificate_file": made.certificate, "key_file": made.key},
                                        "limits": {"login_failure_delay": "10ms"}})
    context = ssl.create_default_context(cafile=str(authority.ca))
    wire = rawwire.Wire((weir.host, weir.port)).start_tls(context, "localhost")
    wire.send(startup("web", "app"))
    wire.read()
    wire.send(message("p", b"x" * 200 + SECRET.encode() + b"y" * 1000)[:500])
    wait_until(lambda: copies(weir) == 1)                          # it waits for the rest
    wire.close()
    wait_until(lambda: copies(weir) == 0)


def reconnect(weir):
    """Servers that logged in with what was valid then are closed."""
    with weir.raw("admin", "pgweir", "admin-secret") as console:
        console.query("RECONNECT")


@pytest.mark.parametrize("method", ["md5", "scram-sha-256"])
def test_a_plain_secret_is_kept_once(weir, method):
    """In the store of users: it must answer for the user. Not in what was read, parsed or sent."""
    weir.users["web"] = SECRET
    start(weir, method=method)
    for _ in range(2):
        with weir.wire().login("web", "app", SECRET) as wire:
            assert wire.value("SELECT 1") == "1"
    assert copies(weir) == 1
    weir.users["web"] = "another"
    weir.reload(method=method)
    reconnect(weir)
    wait_until(lambda: copies(weir) == 0)


def test_a_servers_password_is_kept_where_it_is_configured(weir):
    """Sent in the clear to PostgreSQL, which asks for it so."""
    start(weir, sections={"database app": {"upstream": weir.upstream(user="plainuser", password="plain-secret")}})
    weir.users["plainuser"] = "other"                                # only the upstream has it now
    weir.reload(sections={"database app": {"upstream": weir.upstream(user="plainuser", password="plain-secret")}})
    with weir.raw() as wire:
        assert wire.value("SELECT current_user") == "plainuser"
        assert copies(weir, "plain-secret") <= 2                      # the configuration's, and the pool's
    weir.reload()
    weir.console("RECONNECT")
    wait_until(lambda: copies(weir, "plain-secret") == 0)


def test_a_secret_setting_ends_with_its_configuration(weir):
    """A program that prints a password may have one among its arguments."""
    command = f"/usr/local/bin/print-the-password --key {SECRET}"
    start(weir, sections={"auth": {"password_command": command}, "database app": {"password_command": f"exec {command}"}})
    assert copies(weir) > 0
    weir.reload()
    wait_until(lambda: copies(weir) == 0)


def test_no_log_and_no_answer_tells_a_password(weir):
    weir.users["web"] = SECRET
    sections = {"database app": {"upstream": weir.upstream(user="web", password=SECRET)},
                "log": {"level": "debug", "connections": "on"}, "slow_query": {"threshold": "0ms", "text": "full"}}
    weir.start(method="scram-sha-256", sections=sections)
    weir.raw("web", "app", SECRET).query("SELECT 1")
    refused(weir, weir.wire(), "web", "app", SECRET + "!")
    refused(weir, weir.wire(), "web", "nowhere", SECRET)
    weir.reload(method="scram-sha-256", sections=sections)
    seen = []
    with weir.raw("admin", "pgweir", "admin-secret") as console:
        for what in ("CONFIG", "CLIENTS", "SERVERS", "POOLS", "DATABASES", "USERS", "SOCKETS", "LISTS", "STATE",
                     "CONFIG_ERRORS", "BACKENDS", "QUERIES", "PINS", "DATABASE_CODE", "MEM"):
            seen += [reply.body for reply in console.ask(query(f"SHOW {what}"))]
    dump = subprocess.run([str(weir.binary), "--dump-config", str(weir.ini)], capture_output=True, check=True)
    check = subprocess.run([str(weir.binary), "--check-config", str(weir.ini)], capture_output=True, check=False)
    seen += [dump.stdout, dump.stderr, check.stdout, check.stderr, weir.http("/metrics").text.encode()]
    weir.stop()
    seen += [weir.log().encode(), weir.slow_file.read_bytes()]
    assert b"SELECT 1" in seen[-1] and b"refused" in seen[-2] and b"upstream" in dump.stdout
    for text in seen:
        assert SECRET.encode() not in text


def test_a_mistake_in_the_configuration_does_not_repeat_a_password(weir):
    weir.configure(sections={"database app": {"upstream": f"host=h password={SECRET} pasword={SECRET}"},
                             "auth": {"users_file": weir.users_file}}, method="scram-sha-256")
    weir.users["web"] = SECRET
    weir.write_config()
    weir.users_file.write_text(f'"web" "{SECRET}" \n"broken" "{SECRET}\n', encoding="utf-8")
    check = subprocess.run([str(weir.binary), str(weir.ini)], capture_output=True, text=True, check=False)
    assert check.returncode == 1 and SECRET not in check.stderr + check.stdout
    weir.configure(method="scram-sha-256")
    weir.ini.write_text(weir.ini_text(weir.config), encoding="utf-8")
    check = subprocess.run([str(weir.binary), str(weir.ini)], capture_output=True, text=True, check=False)
    assert check.returncode == 1 and SECRET not in check.stderr + check.stdout and "quote" in check.stderr


@pytest.mark.own_transport
def test_a_password_that_came_through_tls_is_wiped(weir, authority):
    """OpenSSL keeps what it decrypted until more comes, unless told otherwise."""
    made = authority.issue("secrets", "/CN=localhost", "DNS:localhost,IP:127.0.0.1")
    hba = weir.directory / "hba.conf"
    hba.write_text("hostssl all all 127.0.0.1/32 password\nhost all all 127.0.0.1/32 trust\n", encoding="utf-8")
    weir.users["web"] = scram_verifier(SECRET)
    start(weir, method="hba", hba_file=hba, certificate_file=made.certificate, key_file=made.key,
          sections={"limits": {"login_failure_delay": "10ms"}})
    context = ssl.create_default_context(cafile=str(authority.ca))
    wires = [weir.wire().start_tls(context, "localhost").login("web", "app", SECRET) for _ in range(3)]
    refused(weir, weir.wire().start_tls(context, "localhost"), "web", "app", SECRET + "!")
    left = weir.wire().start_tls(context, "localhost")
    left.send(startup("web", "app"))
    left.read()
    left.send(message("p", b"x" * 200 + SECRET.encode() + b"\0")[:-3])
    left.close()
    wait_until(lambda: weir.metric("pgweir_client_connections", state="login") == 0)
    text = memory(weir)
    assert text.count(SECRET[3:15].encode()) == 0 and text.count(SECRET[-15:-3].encode()) == 0
    assert wires[0].value("SELECT 1") == "1"
