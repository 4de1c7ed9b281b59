"""SQL EXECUTE of a statement of the protocol, behind messages without a Sync."""

import pytest

from rawwire import bind, execute, flush, parse, query, shape, sync


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_query_behind_a_flush_that_executes_what_the_protocol_has_prepared(weir, postgres, is_gone):
    """What is sent ahead of the Query is part of its request there: if it fails, the Query has failed, and is answered."""
    weir.start(pool_size=1)
    postgres.query("DROP TABLE IF EXISTS executed; CREATE TABLE executed AS SELECT 7 AS a; "
                   "GRANT ALL ON executed TO PUBLIC")
    with weir.raw() as wire:
        wire.ask(parse("p", "SELECT a FROM executed") + sync())
        if is_gone:
            postgres.query("DROP TABLE executed")
        wire.send(parse("", "SELECT 1") + bind("") + execute() + flush())
        assert shape(wire.read_until("C")) == "1 2 D C:SELECT 1"
        replies = wire.ask(query("EXECUTE p"))
        assert shape(replies) == ("E:42P01 Z:I" if is_gone else "T D C:SELECT 1 Z:I")
        assert wire.query("SELECT 2") == [["2"]]
