"""A restart in which nobody notices anything: SIGUSR2 starts a successor, to which the clients move with their sessions."""

import os
import re
import signal

import pytest

from rawwire import shape
from restartload import Load, server_sockets
from waiting import wait_until


def test_clients_move_with_their_sessions(weir):
    weir.start()
    first = weir.connect(autocommit=True, application_name="mover")
    first.execute("SET work_mem = '77MB'")
    first.execute("PREPARE answer AS SELECT 42")
    with weir.raw() as wire:
        wire.query("SET search_path = pg_catalog")
        old = weir.restart()
        assert weir.process.pid != old.pid
        assert first.execute("SHOW work_mem").fetchone() == ("77MB",)
        assert first.execute("EXECUTE answer").fetchone() == (42,)
        assert first.execute("SHOW application_name").fetchone() == ("mover",)
        assert wire.query("SHOW search_path")
    assert weir.connect().execute("SELECT 1").fetchone() == (1,)


# On a busy machine each restart takes a while; PGWEIR_RESTARTS=100 is the proof, and the default keeps CI short.
RESTARTS = int(os.environ.get("PGWEIR_RESTARTS", "12"))


@pytest.mark.timeout(60 + 2 * RESTARTS)
def test_many_restarts_under_load(weir):
    weir.start()
    load = Load(weir)
    load.start(*load.all())
    try:
        wait_until(lambda: load.failures or (load.requests > 200 and len(load.ports) == 9 and load.heard), 20, "load")
        before = server_sockets(weir.port)
        for _ in range(RESTARTS):
            weir.restart()
            done = load.requests
            wait_until(lambda: load.failures or load.requests > done + 20, 20, "requests after the restart")  # pylint: disable=W0640
        after = server_sockets(weir.port)
    finally:
        load.stop()
    print(f"{RESTARTS} restarts, {load.requests} requests, {len(load.failures)} failures, "
          f"longest {load.longest * 1000:.0f} ms, {load.sent} notifications")
    assert load.failures == []
    assert load.heard == list(range(load.heard[0], load.sent + 1))
    assert {port: before[port] for port in load.ports} == {port: after.get(port) for port in load.ports}
