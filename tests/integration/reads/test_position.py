"""A position that travels: SHOW pgweir.lsn in one session, SET pgweir.min_lsn in another."""

import pytest

from rawwire import one_statement, query, sync
from test_marked import begin_elsewhere, where
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]


def start(weir, trio, **settings):
    trio.primary.query("DROP TABLE IF EXISTS told; CREATE TABLE told (n int); GRANT ALL ON told TO web")
    for standby in trio.standbys:
        trio.wait_replayed(standby)
    weir.start(upstream=trio.upstream(), **{"reads": "marked", "cluster_user": "web", "reads_wait": "2s", "pool_size": 4, **settings})
    reader = weir.raw()
    reader.query("SET default_transaction_read_only = on")
    wait_until(lambda: where(reader) != trio.primary.port, what="a read on a standby")
    return weir.raw(), reader


def newest_on_a_standby(reader):
    """What it shows, and the primary has shown before: that answers where no connection to a standby is idle."""
    shown = []
    wait_until(lambda: shown.append(reader.query("SELECT max(n), pg_is_in_recovery() FROM told")[0]) or shown[-1][1] == "t",
               what="a read on a standby")
    newest, = {newest for newest, _ in shown}
    return newest


def test_another_session_sees_what_was_written(weir, trio):
    """On a standby, once that has it: the primary would answer after reads_wait."""
    writer, reader = start(weir, trio, reads_wait="60s")
    for standby in trio.standbys:
        trio.lag(standby, 300)
    try:
        for n in range(5):
            writer.query(f"INSERT INTO told VALUES ({n})")
            (lsn,), = writer.query("SHOW pgweir.lsn")
            reader.query(f"SET pgweir.min_lsn = '{lsn}'")
            assert reader.query("SHOW pgweir.min_lsn") == [[lsn]]
            assert newest_on_a_standby(reader) == str(n)
    finally:
        for standby in trio.standbys:
            trio.lag(standby, 0)


def test_it_travels_by_a_driver_with_prepared_statements(weir, trio):
    start(weir, trio)
    with weir.connect(autocommit=True) as writer, weir.connect(autocommit=True) as reader:
        reader.read_only = True
        for n in range(8):
            writer.execute("INSERT INTO told VALUES (%s)", (n,))
            lsn = writer.execute("SHOW pgweir.lsn", prepare=True).fetchone()[0]
            reader.execute("SELECT set_config('pgweir.min_lsn', %s, false)", (lsn,))
            with reader.transaction():
                assert reader.execute("SELECT max(n) FROM told").fetchone()[0] == n


def test_for_one_transaction(weir, trio):
    """The block is on a standby by then: where that is behind, the primary goes on with it."""
    writer, reader = start(weir, trio, reads_wait="10ms")
    for standby in trio.standbys:
        trio.pause(standby)
    try:
        writer.query("INSERT INTO told VALUES (1)")
        (lsn,), = writer.query("SHOW pgweir.lsn")
        reader.query("BEGIN")
        reader.query(f"SET LOCAL pgweir.min_lsn = '{lsn}'")
        assert reader.query("SELECT count(*) FROM told") == [["1"]]
        assert where(reader) == trio.primary.port
        reader.query("COMMIT")
    finally:
        for standby in trio.standbys:
            trio.resume(standby)


def test_setting_it_is_nothing_to_wait_for(weir, trio):
    """The SET runs on the primary. No reading is begun behind it here before the read comes, which waits for none."""
    writer, reader = start(weir, trio, reads_wait="0s")
    writer.query("INSERT INTO told VALUES (1)")
    (lsn,), = writer.query("SHOW pgweir.lsn")
    reader.query(f"SET pgweir.min_lsn = '{lsn}'")
    wait_until(lambda: where(reader) != trio.primary.port, what="a standby that shows it")

    def is_elsewhere():                         # unless no connection to a standby is idle
        with weir.raw() as client:
            client.query(f"SET pgweir.min_lsn = '{lsn}'", "BEGIN READ ONLY")
            return where(client) != trio.primary.port

    wait_until(is_elsewhere, what="a block on a standby")


@pytest.mark.parametrize("behind", ["SELECT 1", "INSERT INTO told VALUES ({})"])
def test_what_comes_behind_the_set_counts(weir, trio, behind):
    """In the same write, on the same server."""
    writer, reader = start(weir, trio, reads_wait="60s")
    (lsn,), = writer.query("SHOW pgweir.lsn")
    reader.close()
    for n in range(8):
        client = weir.raw()
        client.send(query(f"SET pgweir.min_lsn = '{lsn}'") + query(behind.format(n)) + query("SELECT max(n) FROM told"))
        shown = [reply.row[0] for reply in client.read_until("Z", 3) if reply.type == "D"][-1]
        client.query("SET default_transaction_read_only = on")
        assert newest_on_a_standby(client) == (shown and shown.decode())
        client.leave()


@pytest.mark.parametrize("ahead", ["request", "part of it"])
def test_what_comes_ahead_of_the_set_counts(weir, trio, ahead):
    """In the same write; without a Sync one ReadyForQuery ends both."""
    _, client = start(weir, trio, reads_wait="50ms", reads_max_lag="1h")
    client.query("SET default_transaction_read_only = off")
    try:
        for n in range(8):
            begin_elsewhere(client, trio)
            client.query("COMMIT")
            for standby in trio.standbys:
                trio.pause(standby)
            client.send(one_statement(f"INSERT INTO told VALUES ({n})") + (sync() if ahead == "request" else b"") +
                        query("SET pgweir.min_lsn = '0/1'"))
            client.read_until("Z", 2 if ahead == "request" else 1)
            assert client.query("BEGIN READ ONLY", "SELECT max(n) FROM told") == [[str(n)]]
            client.query("COMMIT")
            for standby in trio.standbys:
                trio.resume(standby)
    finally:
        for standby in trio.standbys:
            trio.resume(standby)


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_for_one_transaction_that_stays_on_standbys(weir, trio, protocol):
    """Nothing was run but its BEGIN: it goes on on a standby that has come to the position. The primary answers where no
    connection to a standby is idle."""
    writer, reader = start(weir, trio, reads_wait="60s", reads_max_lag="1h")
    for standby in trio.standbys:
        trio.lag(standby, 200)
    stayed, n = 0, 0
    try:
        while stayed < 3:
            n += 1
            writer.query(f"INSERT INTO told VALUES ({n})")
            (lsn,), = writer.query("SHOW pgweir.lsn")
            reader.query("BEGIN")
            sets = f"SET LOCAL pgweir.min_lsn = '{lsn}'"
            replies = reader.ask(query(sets) if protocol == "simple" else one_statement(sets) + sync())
            assert [reply.type for reply in replies][-2:] == ["C", "Z"] and replies[-1].status == "T"
            (newest, is_standby), = reader.query("SELECT max(n), pg_is_in_recovery() FROM told")
            assert newest == str(n)
            stayed += is_standby == "t"
            assert reader.query("SHOW pgweir.min_lsn") == [[lsn]]
            assert reader.query("COMMIT", "SHOW pgweir.min_lsn") in ([[""]], [[None]])
            assert n < 30, "the primary answers"
    finally:
        for standby in trio.standbys:
            trio.lag(standby, 0)


def test_a_position_that_is_set_on_a_standby_holds_for_the_next_block(weir, trio):
    """Where blocks are marked one by one, and nothing is READ ONLY by default."""
    writer, _ = start(weir, trio, reads_wait="10ms", reads_max_lag="1h")
    reader = weir.raw()
    for standby in trio.standbys:
        trio.pause(standby)
    try:
        writer.query("INSERT INTO told VALUES (1)")
        (lsn,), = writer.query("SHOW pgweir.lsn")
        begin_elsewhere(reader, trio)
        reader.query(f"SET pgweir.min_lsn = '{lsn}'", "COMMIT", "BEGIN READ ONLY")
        assert reader.query("SELECT count(*) FROM told") == [["1"]]
        reader.query("COMMIT")
    finally:
        for standby in trio.standbys:
            trio.resume(standby)


@pytest.mark.parametrize("value", ["", "x", "0", "0/", "/1", "1/2/3", "0/123456789", "0/5F21A90 ", "it's \\ odd"])
def test_what_is_no_position(weir, trio, value):
    _, reader = start(weir, trio)
    quoted = value.replace("'", "''")
    reader.send(query(f"SET pgweir.min_lsn = '{quoted}'"))
    last = reader.read_until("Z")
    refused = [reply.sqlstate for reply in last if reply.type == "E"]
    assert refused == ([] if value == "" else ["22P02"])
    assert last[-1].status == "I"
    assert reader.query("SELECT 1") == [["1"]]


def test_a_position_that_the_primary_has_not_come_to(weir, trio):
    _, reader = start(weir, trio)
    reader.query("SET pgweir.min_lsn = 'FFFFFFFF/0'")
    reader.send(query("SELECT inet_server_port()"))
    replies = reader.read_until("Z")
    told = [reply for reply in replies if reply.type == "N"]
    assert [reply.sqlstate for reply in told] == ["01000"] and "FFFFFFFF/0" in told[0].error["M"]
    assert [reply.row for reply in replies if reply.type == "D"]
    reader.send(query("SELECT 1"))
    assert not [reply for reply in reader.read_until("Z") if reply.type == "N"]    # once


@pytest.mark.parametrize("begin", ["", "BEGIN", "BEGIN READ ONLY"])
def test_it_is_nobody_elses(weir, trio, begin):
    weir.start(upstream=trio.upstream(), reads="marked", cluster_user="web", pool_size=1)
    first, second = weir.raw(), weir.raw()
    for _ in range(3):
        if begin:
            first.query(begin)
        assert "/" in first.value("SHOW pgweir.lsn")
        if begin:
            first.query("COMMIT")
        assert second.value("SELECT coalesce(current_setting('pgweir.lsn', true), '')") == ""
        assert "/" in first.value("SHOW pgweir.lsn")
