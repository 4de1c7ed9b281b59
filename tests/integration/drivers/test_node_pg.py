"""node-postgres with its defaults: the cases of pg_suite.js. `npm ci` one directory up brings what it needs."""

import os
import subprocess
import time
from pathlib import Path

import pytest

import transport
from waiting import PATIENCE, SLOWNESS

HERE = Path(__file__).parents[1]


def node(weir, case, **environment):
    host, port = weir.address
    done = subprocess.run(["node", str(HERE / "pg_suite.js"), case], capture_output=True, text=True, timeout=50 * SLOWNESS,
                          check=False, env={**os.environ, "PGHOST": host, "PGPORT": str(port), "PGUSER": "web",
                                            "PGDATABASE": "app", **transport.environment(), **environment})
    assert done.returncode == 0 and done.stdout.strip() == "ok", done.stderr


@pytest.mark.sweep(keep=10)
@pytest.mark.parametrize("case", ["simpleAndParameters", "poolOfTwenty", "namedStatements",
                                  "sameNameInDifferentClients", "transactions", "errors", "queuedQueries", "endBehindQueries",
                                  "connectionsThatComeAndGo", "startupSettings", "largeValues"])
def test_node_postgres(weir, case):
    weir.start(pool_size=3, pool_lifo=False)
    node(weir, case)


@pytest.mark.weir_only
def test_tables_that_change_while_named_statements_run(weir):
    weir.start(pool_size=3, pool_lifo=False)

    def reruns():
        return weir.metric("pgweir_prepared_statement_reruns_total", database="app")

    end = time.monotonic() + PATIENCE
    while reruns() == 0 and time.monotonic() < end:    # where pgweir learns of the change first, nothing has to be run again
        node(weir, "changedTable", DIRECT_HOST=weir.postgres.host, DIRECT_PORT=str(weir.postgres.port))
    assert reruns() > 0


@pytest.mark.weir_only
@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
def test_node_postgres_with_a_password(weir, method):
    weir.start(method=method)
    node(weir, "password")
