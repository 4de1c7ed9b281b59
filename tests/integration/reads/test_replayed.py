"""A standby of PostgreSQL 19 is asked itself when it has replayed what a client has written: WAIT FOR LSN, ahead of the client's read."""

import time

import pytest

import rawwire
from rawwire import bind, cancel_request, describe, execute, flush, one_statement, parse, query, sync
from rawwire import Wire
from waiting import wait_until

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

is_asked = pytest.mark.since(19, "WAIT FOR LSN")
READ = "SELECT max(n), inet_server_port() FROM told"
ON = "default_transaction_read_only"


class Behind:
    """A client that has just written, and whose standbys replay nothing."""

    def __init__(self, weir, trio, **settings):
        self.weir, self.trio, self.number = weir, trio, 0
        trio.primary.query("DROP TABLE IF EXISTS told; CREATE TABLE told (n int); GRANT ALL ON told TO web")
        for standby in trio.standbys:
            trio.wait_replayed(standby)
        weir.start({"slow_query": {"query_stats": "on"}}, trio.upstream(),
                   **{"reads": "marked", "cluster_user": "web", "pool_size": 4, "reads_max_lag": "1h", "reads_wait": "2s", **settings})
        self.wire = weir.raw()
        self.ready()

    def ready(self):
        """Each standby has an idle connection, and is proved."""
        def are_read():
            wires = [self.wire, self.weir.raw()]
            found = self.trio.held(wires, "BEGIN READ ONLY")
            wires[1].leave()
            return all(found)

        wait_until(are_read, what="a block on each standby")

    def write(self):
        for standby in self.trio.standbys:
            self.trio.pause(standby)
        self.number += 1
        self.wire.query(f"INSERT INTO told VALUES ({self.number})")

    def resume(self):
        for standby in self.trio.standbys:
            self.trio.resume(standby)

    def asked(self):
        """The standby where WAIT FOR LSN runs, and for how many seconds it has; None."""
        for standby in self.trio.standbys:
            for row in standby.query("SELECT extract(epoch FROM clock_timestamp() - query_start)::float FROM pg_stat_activity "
                                     "WHERE state = 'active' AND query LIKE '%WAIT FOR LSN%' AND pid <> pg_backend_pid()", dbname="postgres"):
                return standby, row[0]
        return None

    def send_until_asked(self, *messages):
        """Sends a marked read behind a write. Returns the standby that is asked, which may be none where no connection was idle."""
        def begun():
            self.write()
            self.wire.send(*messages)
            begin = time.monotonic()
            while time.monotonic() < begin + 1.5 and self.wire.has_nothing_more(0.02):
                found = self.asked()
                if found:
                    return found[0]
            self.resume()
            self.wire.read_until("Z", sum(message[:1] in b"QS" for message in messages))
            self.wire.query("ROLLBACK")
            return None

        return wait_until(begun, what="a standby that is asked")

    def row(self, count=1):
        replies = self.wire.read_until("Z", count)
        assert not rawwire.errors(replies)
        return [tuple(map(int, row)) for row in rawwire.texts(replies)]

    def counts(self):
        return [self.weir.metric_now("pgweir_reads_total", to=where) for where in ("standby", "primary")]


@pytest.fixture(name="behind")
def client_behind(weir, trio):
    made = []

    def make(**settings):
        made.append(Behind(weir, trio, **settings))
        return made[-1]

    yield make
    for one in made:
        one.resume()


SHAPES = {
    "sync": (one_statement("BEGIN READ ONLY") + one_statement(READ) + one_statement("COMMIT") + sync(),),
    "query": (query(READ),),
    "extended": (parse("", READ) + describe("S", "") + bind() + describe("P", "") + execute() + sync(),),
    "named": (parse("own", READ) + bind("", "own") + execute() + sync(),),
}


@is_asked
@pytest.mark.parametrize("shape", ("sync", "query", "extended", "named"))
def test_the_standby_answers_as_soon_as_it_has_replayed_the_write(behind, shape):
    one = behind()
    if shape != "sync":
        one.wire.query(f"SET {ON} = on")
        one.write = lambda write=one.write: (one.wire.query(f"SET {ON} = off"), write(), one.wire.query(f"SET {ON} = on"))
    there = one.send_until_asked(*SHAPES[shape])
    before = one.counts()
    one.resume()
    assert one.row() == [(one.number, there.port)]
    assert [after - then for after, then in zip(one.counts(), before)] == [1, 0]


@is_asked
@pytest.mark.parametrize("shape", ("sync", "query", "extended", "named"))
def test_the_primary_answers_if_the_standby_has_not_replayed_it_in_time(behind, shape):
    """Nothing of what the standby has run is seen, and its connection stays."""
    one = behind(reads_wait="300ms")
    if shape != "sync":
        one.wire.query(f"SET {ON} = on")
        one.write = lambda write=one.write: (one.wire.query(f"SET {ON} = off"), write(), one.wire.query(f"SET {ON} = on"))
    pids = {row[0] for standby in one.trio.standbys for row in standby.query(
        "SELECT pid FROM pg_stat_activity WHERE usename = 'web'", dbname="postgres")}
    before = one.counts()
    there = one.send_until_asked(*SHAPES[shape])
    replies = one.wire.read_until("Z")
    assert [tuple(map(int, row)) for row in rawwire.texts(replies)] == [(one.number, one.trio.primary.port)]
    assert rawwire.shape(replies).count("Z") == 1
    assert one.counts()[1] > before[1]
    assert sum(int(row["behind"]) for row in one.weir.console("SHOW READS")) > 0
    assert pids >= {row[0] for row in there.query("SELECT pid FROM pg_stat_activity WHERE usename = 'web'", dbname="postgres")}
    one.resume()
    one.wire.query(f"SET {ON} = off")
    one.ready()


@is_asked
def test_a_block_of_messages_one_by_one_is_begun_there_or_on_the_primary(behind):
    one = behind()
    there = one.send_until_asked(query("BEGIN READ ONLY"))
    one.resume()
    one.wire.read_until("Z")
    assert one.wire.query(READ) == [[str(one.number), str(there.port)]]
    one.wire.query("COMMIT")
    one.send_until_asked(query("BEGIN READ ONLY"))
    one.wire.read_until("Z")                        # the primary's: two seconds later
    assert one.wire.query(READ) == [[str(one.number), str(one.trio.primary.port)]]
    one.wire.query("COMMIT")


@is_asked
@pytest.mark.parametrize("limit", ["statement_timeout", "transaction_timeout", "lock_timeout"])
def test_a_clients_timeout_does_not_end_the_wait(behind, limit):
    one = behind()
    one.wire.query(f"SET {limit} = '150ms'")
    there = one.send_until_asked(*SHAPES["sync"])
    wait_until(lambda: (one.asked() or (None, 1))[1] > 0.2, what="a longer wait")
    assert one.asked()
    one.resume()
    assert one.row() == [(one.number, there.port)]


@is_asked
def test_few_timeouts_are_sent(behind):
    """pg_stat_statements has an entry for each."""
    one = behind()
    there = one.send_until_asked(*SHAPES["sync"])
    sent = there.value("SELECT substring(query FROM $$TIMEOUT '(\\d+)ms'$$) FROM pg_stat_activity WHERE query LIKE '%%WAIT FOR LSN%%' "
                       "AND pid <> pg_backend_pid()", dbname="postgres")
    assert int(sent) in range(1024, 2001, 128)
    one.resume()
    one.row()


@is_asked
def test_a_cancel_ends_a_read_whose_standby_is_asked(behind):
    one = behind()
    one.send_until_asked(one_statement("BEGIN READ ONLY") + one_statement("SELECT pg_sleep(60)") + sync())
    with Wire(one.weir.address) as other:
        other.send(cancel_request(one.wire.key))
        other.wait_closed()
    assert [reply.sqlstate for reply in rawwire.errors(one.wire.read_until("Z"))] == ["57014"]


@is_asked
def test_a_client_that_leaves_leaves_a_clean_server(behind):
    one = behind()
    there = one.send_until_asked(*SHAPES["sync"])
    one.wire.reset()
    wait_until(lambda: not one.asked(), what="the end of the question")
    one.resume()
    one.wire = one.weir.raw()
    one.ready()
    assert there.query("SELECT 1 FROM pg_stat_activity WHERE usename = 'web' AND state <> 'idle'", dbname="postgres") == []


def waits_for(weir):
    return " ".join(row["explanation"] for client in weir.console("SHOW CLIENTS") if client["database"] == "app"
                    for row in weir.console(f"EXPLAIN WAIT {client['id']}"))


def waits_by_readings(one, message):
    """Sends a marked read behind a write until it waits for a host, and no standby is asked."""
    def begun():
        one.wire.query(f"SET {ON} = off")
        one.write()
        one.wire.query(f"SET {ON} = on")
        one.wire.send(message)
        while one.wire.has_nothing_more(0.02):
            if "has replayed" in waits_for(one.weir):
                assert one.asked() is None
                return True
        one.resume()
        one.wire.send(sync())
        one.wire.read_until("Z", 1 + (message[:1] == b"Q"))
        return False

    wait_until(begun, what="a client that waits")
    one.resume()


@is_asked
def test_a_request_of_which_not_all_has_come_is_not_sent_behind_a_question(behind):
    """What is still to come might be too long to be run again."""
    one = behind()
    waits_by_readings(one, parse("", READ) + describe("S", "") + flush())
    one.wire.read_until("T")
    one.wire.send(bind() + execute() + sync())
    assert one.row()[0][0] == one.number


@is_asked
def test_a_long_wait_is_by_readings(behind):
    one = behind(reads_wait="30s")
    waits_by_readings(one, query(READ))
    assert one.row()[0][0] == one.number


@pytest.mark.before(19, "there it is asked")
def test_before_19_clients_wait_for_readings(behind):
    one = behind()
    waits_by_readings(one, query(READ))
    assert one.row()[0][0] == one.number
