"""currval() and lastval() in a transaction of their own: the statement before them keeps its connection, if it is known
to be followed, and nobody pays for those that are not."""

import contextlib
import threading
import time

import pytest

from rawwire import Wire, bind, errors, execute, one_statement, parse, query, shape, sync
from waiting import PATIENCE

pytestmark = pytest.mark.weir_only
CATALOGS = "SELECT attname FROM pg_catalog.pg_attribute WHERE attnum = 1 LIMIT 1"  # what DBD::Pg asks in between


@pytest.fixture
def numbered(weir, table):
    """The test's table gets a sequence."""
    weir.postgres.query(f"CREATE SEQUENCE {table}_seq; ALTER SEQUENCE {table}_seq OWNER TO web;"
                        f"ALTER TABLE {table} ALTER id SET DEFAULT nextval('{table}_seq');"
                        f"ALTER SEQUENCE {table}_seq OWNED BY {table}.id")
    return table


class Neighbours:
    """Clients that never rest: each writes and reads all the time. counts: what each has written."""

    def __init__(self, weir, count, table):
        self.is_over = threading.Event()
        self.counts = [0] * count
        self.threads = [weir.in_background(self.run, weir, number, table) for number in range(count)]

    def run(self, weir, number, table):
        with weir.raw() as wire:
            while not self.is_over.is_set():
                wire.ask(query(f"INSERT INTO {table} (v) VALUES ('{number}')"))
                wire.ask(query("SELECT 1"))
                self.counts[number] += 1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.is_over.set()
        for thread in self.threads:
            thread.result()


def insert(wire, table, how, value):
    sql = f"INSERT INTO {table} (v) VALUES ('mine {value}')"
    return wire.ask(query(sql) if how == "simple" else one_statement(sql) + sync())


def ask_once(weir, table):
    """From now on this pool is one in which somebody has asked."""
    with weir.raw() as wire:
        wire.ask(query(f"SELECT currval('{table}_seq')"))
    weir.settle()


def own_id(wire, table, how):
    sql = f"SELECT currval('{table}_seq') = (SELECT max(id) FROM {table} WHERE v LIKE 'mine %')"
    replies = wire.ask(query(sql) if how == "simple" else one_statement(sql) + sync())
    return not errors(replies) and [r.row for r in replies if r.type == "D"] == [[b"t"]]


@pytest.mark.alone
@pytest.mark.parametrize("how", ["simple", "extended"])
def test_every_id_is_found_on_a_full_pool_from_the_first_on(weir, numbered, how):
    weir.start(pool_size=2, max_overflow=0, pool_timeout="5s")
    with Neighbours(weir, 4, numbered) as neighbours, weir.raw() as wire:
        weir.wait_until(lambda: min(neighbours.counts) > 30, what="the neighbours' own statements are known not to be followed")
        found, lost, value = 0, [], 0
        deadline = time.monotonic() + PATIENCE
        while value < 60 or found <= 30:
            began = time.monotonic()
            assert began < deadline, (value, found)
            value += 1
            insert(wire, numbered, how, value)
            if value % 3 == 0:
                wire.ask(query(CATALOGS))
            is_found = own_id(wire, numbered, how)
            found += is_found
            if not is_found and time.monotonic() - began < 0.02:     # for so long each is kept
                lost.append(value)
        assert not lost, (lost, found, value)


def test_a_long_transaction_does_not_count_as_many_requests(weir, numbered):
    """The id is that of one of its first statements."""
    with weir.start(pool_size=1, max_overflow=0).raw() as wire, weir.raw() as other:
        wire.ask(query(f"SELECT currval('{numbered}_seq')"))
        wire.ask(query("BEGIN"))
        insert(wire, numbered, "simple", 1)
        for _ in range(6):
            wire.ask(query("SELECT 1"))
        other.send(query("SELECT 1"))                    # takes the server as soon as it is given up
        weir.wait_until(lambda: weir.pool()["cl_waiting"] == 1)
        began = time.monotonic()
        wire.ask(query("COMMIT"))
        # No server is kept for longer than 20 ms.
        assert own_id(wire, numbered, "simple") or time.monotonic() - began > 0.02
        assert shape(other.read_until("Z")) == "T D C:SELECT 1 Z:I"


@pytest.mark.parametrize("message", [query, lambda sql: one_statement(sql) + sync()], ids=["simple", "extended"])
@pytest.mark.parametrize("question", ["currval('{}_seq')", "lastval()"])
def test_who_is_far_away_from_a_full_pool_gets_a_hint(weir, numbered, question, message):
    """But not where its own DISCARD is why there is none."""
    weir.start(pool_size=1, max_overflow=0, pool_timeout="5s")
    ask_once(weir, numbered)
    question = message("SELECT " + question.format(numbered))
    with weir.raw() as wire, weir.raw() as other:
        insert(wire, numbered, "extended", 1)
        other.ask(query("SELECT 1"))                     # waits for up to 20 ms
        error = errors(wire.ask(question))[0].error
        assert error["C"] == "55000" and "RETURNING" in error["H"]
        insert(wire, numbered, "simple", 2)
        wire.ask(query("DISCARD SEQUENCES"))
        error = errors(wire.ask(question))[0].error
        assert error["C"] == "55000" and "H" not in error


@pytest.mark.alone
def test_those_that_insert_all_the_time_are_served_alike(weir, numbered):
    """One of them asks for each id, and is not served more for that."""
    weir.start(pool_size=2, max_overflow=0, pool_timeout="5s")
    with Neighbours(weir, 4, numbered) as neighbours, weir.raw() as wire:
        weir.wait_until(lambda: min(neighbours.counts) > 30, what="the neighbours are known")
        before = list(neighbours.counts)
        for value in range(600):
            insert(wire, numbered, "simple", value)
            own_id(wire, numbered, "simple")
        done = [now - then for now, then in zip(neighbours.counts, before)]
    done.append(600)
    assert min(done) >= 0.25 * max(done), done           # it makes two requests where they make one


def test_a_person_may_take_a_while(weir, numbered):
    """While nobody waits, the server is kept: others come and go on the second one."""
    weir.start_opened("20s", pool_size=2, max_overflow=0)
    ask_once(weir, numbered)
    with weir.raw() as person, weir.raw() as other:
        insert(person, numbered, "simple", 1)
        for _ in range(3):                               # ticks of pgweir's: more than it once kept servers for
            other.ask(query("SELECT pg_sleep(0.15)"))
        assert own_id(person, numbered, "simple")


def test_a_full_pool_waits_for_nobody_long(weir, numbered):
    """The only server is kept for somebody: who waits gets it, though nothing else happens."""
    with weir.start(pool_size=1, max_overflow=0, pool_timeout="2s").raw() as person, weir.raw() as other:
        insert(person, numbered, "simple", 1)
        assert shape(other.ask(query("SELECT 1"))) == "T D C:SELECT 1 Z:I"


@pytest.mark.parametrize("room", [{"max_statement_size": "1KiB"}, {"prepared_statements_memory": "64KiB"}], ids=["oversize", "no_room"])
def test_a_long_insert_behind_another_clients(weir, numbered, room):
    """Its server forgets the other's values ahead of its Parse: behind that, it would forget the unnamed statement."""
    weir.start(pool_size=1, max_overflow=0, **room)
    long = parse("", f"INSERT INTO {numbered} (v) VALUES ('{'x' * 40000}')")
    with weir.raw() as other, weir.raw() as wire:
        for parts in [[long + bind() + execute() + sync()], [long + sync(), bind() + execute() + sync()]]:
            other.query(f"INSERT INTO {numbered} (v) VALUES ('other')")
            assert [shape(wire.ask(part)) for part in parts][-1].endswith("C:INSERT 0 1 Z:I")


def kept(weir):
    return weir.pool()["sv_active"]


def test_where_nobody_asks_no_server_is_kept(weir, numbered):
    with weir.start(pool_size=2, max_overflow=0).raw() as wire:
        insert(wire, numbered, "simple", 1)
        weir.wait_until(lambda: kept(weir) == 0)         # it was kept for 10 ms
        ask_once(weir, numbered)
        insert(wire, numbered, "simple", 2)
        assert kept(weir) == 1
        assert own_id(wire, numbered, "simple")


@pytest.mark.parametrize("how", ["autocommit", "transaction"])
def test_a_kept_server_is_not_idle_in_a_transaction(weir, numbered, how):
    """Others are disconnected for that meanwhile."""
    weir.start(pool_size=2, max_overflow=0, idle_transaction_timeout="300ms")
    ask_once(weir, numbered)
    with weir.raw() as wire, weir.raw() as other:
        if how == "transaction":
            wire.query("BEGIN")
        insert(wire, numbered, "simple", 1)
        if how == "transaction":
            wire.query("COMMIT")
        other.query("BEGIN")
        assert errors(other.read_until("E"))[0].sqlstate == "25P03"
        assert own_id(wire, numbered, "simple")
        insert(wire, numbered, "simple", 2)
        assert kept(weir) == 1
        wire.query("BEGIN")                              # on the server that it still has
        assert errors(wire.read_until("E"))[0].sqlstate == "25P03"
    weir.wait_until(lambda: kept(weir) == 0)


def test_in_statement_mode(weir, numbered):
    """The same; and a transaction block on a kept server is refused as on any other."""
    weir.start(pool_mode="statement", pool_size=2, max_overflow=0)
    ask_once(weir, numbered)
    with weir.raw() as wire, weir.raw() as other:
        insert(wire, numbered, "simple", 1)
        assert kept(weir) == 1
        for _ in range(3):
            other.ask(query("SELECT 1"))
        assert own_id(wire, numbered, "simple")
        insert(wire, numbered, "extended", 2)
        weir.wait_until(lambda: kept(weir) == 1)         # the other client may keep one for 10 ms, lest it be washed
        wire.send(query("BEGIN"))
        assert errors(wire.read_until("E"))[-1].sqlstate == "0A000"
        wire.wait_closed()
        weir.wait_until(lambda: kept(weir) == 0)
        with weir.raw() as third:                        # both servers are free
            third.send(query("SELECT pg_sleep(0.05)"))
            assert shape(other.ask(query("SELECT 1"))) == "T D C:SELECT 1 Z:I"
            assert shape(third.read_until("Z")) == "T D C:SELECT 1 Z:I"


@pytest.mark.parametrize("command", ["PAUSE", "RECONNECT", "RESTART"])
def test_a_kept_server_stops_nothing(weir, numbered, command):
    weir.start(pool_size=2, max_overflow=0)
    ask_once(weir, numbered)
    with weir.raw() as wire:
        insert(wire, numbered, "simple", 1)
        assert kept(weir) == 1
        if command == "RESTART":
            weir.restart()
            assert shape(wire.ask(query("SELECT 1"))) == "T D C:SELECT 1 Z:I"
            return
        weir.console(command)
        if command == "RECONNECT":
            weir.console("WAIT_CLOSE app")
        weir.console("RESUME")
        assert shape(wire.ask(query("SELECT 1"))) == "T D C:SELECT 1 Z:I"


@pytest.mark.parametrize("how", ["fewer", "reconnect"])
def test_a_server_that_is_to_be_closed_waits_for_the_question(weir, numbered, how):
    weir.start(pool_size=2, max_overflow=0)
    ask_once(weir, numbered)
    with weir.raw() as other, weir.raw() as wire:
        for each in other, wire:
            each.ask(query("BEGIN"))
        insert(wire, numbered, "simple", 1)
        if how == "fewer":
            weir.reload(pool_size=1)
        else:
            weir.console("RECONNECT")
        began = time.monotonic()
        wire.ask(query("COMMIT"))
        # No server is kept for longer than 20 ms.
        assert own_id(wire, numbered, "simple") or time.monotonic() - began > 0.02
        other.ask(query("COMMIT"))
        if how == "fewer":
            weir.wait_until(lambda: weir.pool()["sv_active"] + weir.pool()["sv_idle"] == 1)
        else:
            weir.console("WAIT_CLOSE app")


# --- what is sent ahead of a client that meets another one's values -------------------------------------------------

@pytest.fixture
def met(weir, numbered):
    """A client whose only server remembers another client's sequence; call it again before each try."""
    wire, other = weir.start(pool_size=1, max_overflow=0).raw(), weir.raw()

    def meet():
        other.query(f"SELECT nextval('{numbered}_seq')")
        return wire
    yield meet
    wire.close()
    other.close()


@pytest.mark.parametrize("before", ["BEGIN ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                                    "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                                    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"])
def test_nothing_ahead_of_a_query_takes_its_snapshot(met, numbered, before):
    sql = f"{before}; SELECT nextval('{numbered}_seq') IS NOT NULL, current_setting('transaction_isolation') <> 'read committed'"
    replies = met().ask(query(sql + ("" if before.startswith("SET") else "; COMMIT")))
    assert errors(replies) == [] and [reply.row for reply in replies if reply.type == "D"] == [[b"t", b"t"]]


@pytest.mark.long
def test_a_client_that_reads_late_keeps_its_server(weir, numbered):
    """What pgweir asks for it waits behind answers that it does not read: nobody is late but the client."""
    sizes = range(344 << 10, 424 << 10, 4 << 10)         # some just fill what its socket and pgweir keep for a client
    path = f"{weir.socket_dir}/.s.PGSQL.1"
    weir.start({"pgweir": {"listen": [f"127.0.0.1:{weir.port}", f"unix:{path}"]}}, pool_size=len(sizes), max_overflow=0)
    with contextlib.ExitStack() as stack:
        others, slow = ([stack.enter_context(Wire(path)).login("web", "app") for _ in sizes] for _ in range(2))
        for other in others:
            other.ask(query(f"BEGIN; INSERT INTO {numbered} (v) VALUES ('other')"))
        for other in others:
            other.ask(query("COMMIT"))
        for wire, size in zip(slow, sizes):
            wire.send(query(f"SELECT repeat('x', {size})") + query(f"INSERT INTO {numbered} (v) VALUES ('mine')"))
        time.sleep(5.5)                                  # longer than a request of pgweir's own may take
        for wire in slow:
            wire.read_until("Z")
            assert shape(wire.read_until("Z")) == "C:INSERT 0 1 Z:I"
