"""Memory runs out: whoever asks for much gets 53200, everybody else is served, and the process lives.

MEMORY_RUNS=30 makes that many runs under limits on address space (default: 6), each with another seed.
"""

import fcntl
import os
import random
import resource
import struct
import subprocess
import termios
import time
from contextlib import suppress

import psycopg
import pytest

import rawwire
from fakeserver import auth, error
from rawwire import LoginRefused, Wire, parse, query, shape, sync
from waiting import SLOWNESS, each, wait_until

pytestmark = pytest.mark.weir_only

MIB = 1 << 20
RUNS = int(os.environ.get("MEMORY_RUNS", "6"))


@pytest.fixture(autouse=True)
def without_sanitizers(sanitized):
    if sanitized:
        pytest.skip("sanitizers need address space of their own")


def start_under(weir, limit_bytes, **settings):
    """As from a shell in which ulimit -v was given."""
    script = weir.directory / "limited.sh"
    script.write_text(f'#!/bin/bash\nulimit -v {limit_bytes >> 10}\nexec {weir.binary} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    weir.binary = script
    return weir.start(**settings)


def large_request(rng, number):
    size = 1 << rng.randrange(6, 23)
    return rng.choice([
        lambda: parse(f"s{rng.randrange(1000)}", "SELECT '" + "x" * size + "'") + sync(),
        lambda: query("SELECT '" + "x" * size + "'"),
        lambda: query(f"SELECT repeat('x', {size})"),
        lambda: b"".join(parse(f"p{number}_{i}", f"SELECT {rng.random()} -- {'y' * 500}") for i in range(200)) + sync(),
        lambda: query("; ".join(f"LISTEN c{number}_{i}" for i in range(8))),
        lambda: query(f"SET work_mem = {rng.randrange(64, 10 ** 6)}"),
    ])()


def ask_for_much(weir, seed, until):
    """Clients that come and go, and ask for much. Some leave without reading. Returns the SQLSTATEs that they got."""
    rng = random.Random(seed)
    states = []
    while time.monotonic() < until and weir.process.poll() is None:
        try:
            with Wire(weir.address) as wire:
                wire.login("web", "app", "web-secret")
                for number in range(rng.randrange(1, 30)):
                    wire.send(large_request(rng, number))
                    if rng.random() < 0.1:
                        break
                    states += [reply.sqlstate for reply in wire.read_until("Z") if reply.type == "E"]
        except LoginRefused as refusal:
            states.append(refusal.reply.sqlstate)
        except Exception:  # pylint: disable=broad-except
            pass                            # it was disconnected
    return states


def is_served(weir):
    with Wire(weir.address) as wire:
        return wire.login("web", "app", "web-secret").value("SELECT 42") == "42"


@pytest.fixture(scope="module")
def needed_bytes(postgres, tmp_path_factory):
    """Address space of a pgweir that has nothing to do."""
    from weir import Weir
    idle = Weir(postgres, tmp_path_factory.mktemp("needed"))
    idle.start()
    size = idle.memory_bytes("VmSize")
    assert not idle.teardown()
    return size


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("seed", range(RUNS))
def test_it_outlives_a_limit_on_address_space(weir, needed_bytes, seed):
    room = random.Random(seed).choice([8, 12, 16, 24, 32]) * MIB
    start_under(weir, needed_bytes + room, pool_size=4, max_statement_size="64MiB")
    until = time.monotonic() + 2
    crowd = [weir.in_background(ask_for_much, weir, seed * 100 + number, until) for number in range(24)]
    states = {state for one in crowd for state in one.result()}
    assert weir.is_alive() and states <= {"53200", "53300", "25P02", "26000", "42601"}, states
    wait_until(lambda: is_served(weir))


def started(wire, size):
    """The beginning of a Parse of that size: all but its last byte. It is kept until it is whole."""
    message = parse("", "SELECT '" + "x" * size + "'")
    wire.send(message[:-1])


def limited(weir, mib):
    return weir.start(pool_size=2, max_statement_size="64MiB", max_memory=f"{mib}MiB")


def refusal(weir):
    try:
        with Wire(weir.address) as wire:
            wire.login("web", "app", "web-secret")
    except LoginRefused as refused:
        return refused.reply.error
    return None


def test_when_memory_is_short_large_messages_wait_first(weir):
    limited(weir, 64)
    for _ in range(100):                                             # what malloc has freed and kept is filled, too
        if "memory is short" in weir.log():
            break
        with suppress(OSError, rawwire.WireError):
            started(weir.raw(timeout=3), 2 * MIB)
    weir.wait_log("memory is short")
    for _ in range(5):
        try:
            assert weir.raw().value("SELECT 1") == "1"
        except LoginRefused as refused:                              # what those have sent before fills what was left
            assert "max_memory" in refused.reply.error["M"]
    assert weir.is_alive() and weir.memory_bytes("RssAnon") < 76 * MIB


def is_short(weir):
    return "memory is short" in weir.log()


def buffered(weir):
    return weir.metric("pgweir_buffer_memory_bytes", kind="client")


def unsent_bytes(wire):
    return struct.unpack("i", fcntl.ioctl(wire.sock, termios.TIOCOUTQ, bytes(4)))[0]


def is_held_up(wire):
    """What it has sent waits in its socket, and does not get less."""
    before = unsent_bytes(wire)
    time.sleep(0.3)
    return unsent_bytes(wire) == before > 0


def test_who_waits_while_memory_is_short_goes_on_when_others_have_left(weir):
    """A message that is larger than what is left is not read on: nobody is disconnected for it, and it is answered."""
    late = limited(weir, 64).raw()
    message = parse("", f"SELECT '{'x' * (10 * MIB)}'") + sync()
    late.send(message[:200_000])
    wait_until(lambda: buffered(weir) >= 200_000)
    others = [weir.raw() for _ in range(24)]
    for wire in others:
        started(wire, MIB)
    wait_until(lambda: buffered(weir) >= 24 * MIB)
    while not is_short(weir):                                        # in small steps now: it must not be out of memory
        before = buffered(weir)
        others.append(weir.raw())
        started(others[-1], 400_000)
        wait_until(lambda: buffered(weir) >= before + 400_000 or is_short(weir))  # pylint: disable=cell-var-from-loop
    sender = weir.in_background(late.send, message[200_000:])
    wait_until(lambda: sender.done() or is_held_up(late))
    assert not sender.done()
    each(others).close()
    sender.result()
    assert shape(late.read_until("Z")) == "1 Z:I"
    assert "out of memory: no new clients" not in weir.log()


@pytest.mark.reloads("limits.max_memory")
def test_new_clients_are_refused_and_those_of_the_console_are_not(weir):
    settings = {"pool_size": 2, "max_statement_size": "64MiB"}
    old = weir.start(**settings).raw()
    weir.reload(max_memory="1MiB", **settings)                       # it uses more than that already
    with pytest.raises((rawwire.LoginRefused, rawwire.WireClosed), match="53200"):  # at once, or when malloc has none left
        greedy = weir.raw()
        for number in range(1000):                                   # what malloc has freed and not given back
            greedy.send(parse(f"s{number}", f"SELECT {number}, '{'x' * 10000}'") + sync())
            greedy.read_until("Z")
    error = wait_until(lambda: refusal(weir))
    assert error["C"] == "53200" and "max_memory" in error["M"] and "max_memory" in error["H"]
    wait_until(lambda: weir.metric("pgweir_client_connections_rejected_total", reason="max_memory") > 0)
    assert weir.console("SHOW VERSION") and old.value("SELECT 1") == "1"
    weir.wait_log("out of memory: no new clients")
    weir.reload(**settings)
    wait_until(lambda: is_served(weir))
    weir.wait_log("memory is available again; new clients are accepted")
    before = weir.memory_bytes("RssAnon")
    started(weir.raw(), 40 * MIB)                                    # nothing holds it up
    wait_until(lambda: weir.memory_bytes("RssAnon") > before + 30 * MIB)


def test_what_is_pgweirs_own_keeps_nobody_out_once_all_clients_have_left(weir, needed_bytes):
    """Half a MiB is too little while somebody is there, and it does not become more."""
    wire = start_under(weir, needed_bytes + 64 * MIB, pool_size=2).raw()
    hard = resource.prlimit(weir.process.pid, resource.RLIMIT_AS)[1]
    resource.prlimit(weir.process.pid, resource.RLIMIT_AS, (weir.memory_bytes("VmSize") + MIB // 2, hard))
    weir.wait_log("out of memory: no new clients")
    assert refusal(weir)["C"] == "53200" and wire.value("SELECT 1") == "1"
    wire.close()
    wait_until(lambda: is_served(weir))
    weir.wait_log("memory is available again; new clients are accepted")


def test_one_that_is_too_large_costs_itself(weir):
    other, greedy = limited(weir, 40).raw(), weir.raw()
    with pytest.raises((OSError, rawwire.WireClosed)):
        for _ in range(10):
            started(greedy, 8 * MIB)                                 # the second begins within the first
            time.sleep(0.3)
        greedy.read()
        greedy.read()
    assert other.value("SELECT 1") == "1"
    wait_until(lambda: is_served(weir))


def test_invented_databases_are_forgotten_soon(weir):
    """Each is a pool until PostgreSQL has said that there is no such database; those that are there stay."""
    weir.start(sections={"database *": {"upstream": weir.upstream()}, "database app2": None})
    with weir.raw(database="app2") as wire:
        assert wire.query("SELECT current_database()") == [["app2"]]
    for number in range(20):
        with pytest.raises(rawwire.WireError, match="3D000"):
            weir.raw(database=f"invented{number}")
    assert any(row["database"].startswith("invented") for row in weir.console("SHOW POOLS"))
    wait_until(lambda: not any(row["database"].startswith("invented") for row in weir.console("SHOW POOLS")))
    assert not any(row["name"].startswith("invented") for row in weir.console("SHOW DATABASES"))
    assert any(row["database"] == "app2" for row in weir.console("SHOW POOLS"))


def test_a_reload_that_there_is_no_memory_for_is_refused(weir):
    wire = weir.start(pool_size=2).raw()
    size = weir.memory_bytes("VmSize") + MIB
    resource.prlimit(weir.process.pid, resource.RLIMIT_AS, (size, size))
    weir.configure(pool_size=3)
    weir.write_config()
    for command in ("RELOAD", "SET pool_size = 4"):
        with pytest.raises(psycopg.errors.OutOfMemory, match="the configuration stays as it is"):
            weir.console(command)
    assert wire.value("SELECT 1") == "1" and weir.pool()["pool_mode"] == "transaction"


FAILS_ONCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

/* The first block for a large buffer after the file has come is not there, once. */
void *
realloc(void *p, size_t size)
{
	static void *(*real)(void *, size_t);

	if (real == NULL)
		real = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	if (size > 16384 && unlink(FLAG) == 0)
		return NULL;
	return real(p, size);
}
"""


def test_a_server_login_without_memory_is_tried_again_at_once(weir, fake):
    """A message that could not be built was not sent, and then its answer waited for until connect_timeout."""
    flag, source, library = (weir.directory / name for name in ("no-memory", "once.c", "once.so"))
    source.write_text(f'#define FLAG "{flag}"' + FAILS_ONCE, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    script = weir.directory / "short.sh"
    script.write_text(f'#!/bin/bash\nexport LD_PRELOAD={library}\nexec {weir.binary} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    weir.binary = script

    def login(conn):
        conn.read_startup()
        if conn.number > 0:
            conn.send(error("28000", "the second attempt", "FATAL"))
            return
        flag.touch()
        conn.send(auth(0), conn.welcome())
        conn.wait_gone()
    fake.script = login
    weir.start(upstream=f"host=127.0.0.1 port={fake.port} connect_query='SELECT {'1' * 20000}'", connect_timeout="30s")
    with pytest.raises(LoginRefused) as refused:
        weir.wire(timeout=10 * SLOWNESS).login("web", "app", "web-secret")
    assert "the second attempt" in refused.value.reply.error["M"] and not flag.exists(), refused.value.reply.error
