"""Clients that share servers: each gets its share of them, and its own answers, whatever the others do."""

import collections
import random
import time

import pytest

from rawwire import bind, errors, execute, parse, query, shape, sync, texts
from test_main_job import program, with_tables
from transport import is_readable
from waiting import SLOWNESS


@pytest.fixture(scope="module")
def bank(postgres):
    """pgbench's tables, with ten branches: then locks on their rows decide less who is served."""
    yield from with_tables(postgres, 10)


def transactions(weir, clients, *arguments):
    """How many each client has done, in all runs of this test. One thread: of two that share CPUs with PostgreSQL one may
    get less of them."""
    program(weir, "pgbench", "-n", "-c", clients, "-j", 1, "-T", 5, "-l", "--log-prefix", weir.directory / "count",
            *arguments, "app")
    counts = collections.Counter()
    for log in weir.directory.glob("count.*"):
        counts.update(int(line.split()[0]) for line in log.read_text().splitlines())
    return [counts[client] for client in range(clients)]


@pytest.mark.long
@pytest.mark.weir_only
@pytest.mark.parametrize("script", ["simple-update", "tpcb-like"])
@pytest.mark.parametrize("clients, servers", [(10, 5), (40, 30)])
def test_clients_that_insert_are_served_alike(weir, bank, clients, servers, script):
    weir.start(pool_size=servers, max_overflow=0, pool_timeout="2s")
    for _ in range(3):              # chance, which is great where a busy machine lets each do little, evens out
        counts = transactions(weir, clients, "-b", script)
        print(f"{script}, {clients} on {servers}: {min(counts)} to {max(counts)}")
        assert min(counts) >= 0.3 * max(counts), counts
        if min(counts) >= 0.6 * max(counts):
            return
    pytest.fail(f"the same clients get less each time: {counts}")


@pytest.mark.weir_only
def test_who_expects_a_currval_keeps_nobody_waiting(weir, table):
    """One inserts all the time, and would have a server of its own: whoever comes gets it."""
    with weir.start(pool_size=1, max_overflow=0, pool_timeout="2s").raw() as inserter, weir.raw() as other:
        ends = time.monotonic() + 2
        inserter.send(query(f"INSERT INTO {table} SELECT coalesce(max(id), 0) + 1 FROM {table}"))
        took = []
        while time.monotonic() < ends:
            inserter.read_until("Z")
            inserter.send(query(f"INSERT INTO {table} SELECT coalesce(max(id), 0) + 1 FROM {table}"))
            began = time.monotonic()
            assert not errors(other.ask(query("SELECT 1")))
            took.append(time.monotonic() - began)
        assert sorted(took)[len(took) // 2] < 0.1 * SLOWNESS           # the others: a busy machine


@pytest.mark.weir_only
def test_who_asks_for_each_currval_waits_in_line_again(weir, numbered):
    """It asks at once, each time, and inserts again at once: whoever waits has a turn between."""
    weir.start(pool_size=1, max_overflow=0, pool_timeout="0s")
    ids = []
    with weir.raw() as inserter, weir.raw() as other:
        for _ in range(10):
            inserter.query("BEGIN", f"INSERT INTO {numbered} (v) VALUES (1)")
            other.send(query("SELECT 1"))
            weir.wait_waiting(1)
            inserter.query("COMMIT")
            rounds = 0
            while not is_readable(other.sock, 0):
                ids += texts(inserter.ask(query("SELECT lastval()")))     # none, where the machine takes longer than 20 ms
                inserter.query(f"INSERT INTO {numbered} (v) VALUES (1)")
                rounds += 1
                assert rounds <= 10
            assert texts(other.read_until("Z")) == [["1"]]
    assert len(set(map(str, ids))) == len(ids)


@pytest.fixture
def numbered(postgres):
    postgres.query("CREATE TABLE fair_numbered (id serial, v int); GRANT ALL ON fair_numbered TO web; "
                   "GRANT ALL ON SEQUENCE fair_numbered_id_seq TO web")
    yield "fair_numbered"
    postgres.query("DROP TABLE fair_numbered")


@pytest.mark.weir_only
def test_a_lingering_client_is_let_go_outside_of_anothers_packet(weir, table):
    """One lingers, a second one waits, and a third one's packet comes when the second is to be served: both hear all."""
    with weir.start(pool_size=1, max_overflow=0).raw() as lingerer, weir.raw() as waiting, weir.raw() as third:
        number = 0
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            number += 1
            known = parse(f"s{number}", "SELECT 1") + bind("", f"s{number}") + execute() + sync()
            lingerer.ask(query(f"INSERT INTO {table} VALUES ({number})"))
            waiting.send(known)
            until = time.monotonic() + random.uniform(0, 0.007)
            while time.monotonic() < until:
                pass
            third.send(sync() + known)
            assert shape(waiting.read_until("Z")) == "1 2 D C:SELECT 1 Z:I"
            assert shape(third.read_until("Z", 2)) == "Z:I 1 2 D C:SELECT 1 Z:I"
