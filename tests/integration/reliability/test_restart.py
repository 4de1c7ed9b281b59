"""A restart in which nobody notices anything: SIGUSR2 starts a successor, to which the clients move with their sessions."""

import re
import signal

from rawwire import shape
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
