"""The end of a process that has clients of many pools, in all that a client may be doing; with PGWEIR_WORKERS on all workers.

PGWEIR_STOPS  how many ends (default: 3, one of each kind)
"""

import os
import signal

import pytest

import rawwire
from waiting import each, wait_until

pytestmark = pytest.mark.weir_only

POOLS = 6
SLEEP = "SELECT pg_sleep(60)"
STOPS = int(os.environ.get("PGWEIR_STOPS") or 3)
# How it is told to stop, and whether clients have something that it would wait for.
KINDS = [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGQUIT, True)]


def crowd(weir, is_busy):
    """Clients of each pool: idle, in a transaction, in a query, waiting for a server, logging in. Returns them, as they must
    not be closed from here."""
    clients = []
    for i in range(POOLS):
        idle, *others = [weir.raw(database=f"d{i}") for _ in range(4)]
        idle.query("SELECT 1")
        clients += [idle, *others]
        if is_busy:
            others[0].query("BEGIN")
            others[1].send(rawwire.query(SLEEP))
            others[2].send(rawwire.query("SELECT 1"))      # there is no third server
    for i in range(POOLS):
        late = weir.wire()
        late.send(rawwire.startup(database=f"d{i}"))
        clients.append(late)
    if is_busy:                                            # a cancel that comes before its query is read is lost
        wait_until(lambda: weir.postgres.count(query=SLEEP, state="active") == POOLS, what="the queries to run")
    return clients


@pytest.mark.long
def test_it_ends_whatever_its_clients_do(weir):
    for i in range(STOPS):
        how, is_busy = KINDS[i % len(KINDS)]
        weir.start(pool_size=2, shutdown_timeout="20s",
                   sections={f"database d{k}": {"upstream": weir.upstream(dbname="app")} for k in range(POOLS)})
        clients = crowd(weir, is_busy)
        assert weir.stop(how) == 0, f"end {i}"
        each(clients).close()
