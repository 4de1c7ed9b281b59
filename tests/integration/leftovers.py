"""What a client leaves on its server, and what the next one sees there: A is client, B is other. Both are of one pool, of one
server unless a test says otherwise, in a database of the test's own (fixture own)."""

import time

import transport
from rawwire import bind, errors, execute, parse, query, sync, texts
from waiting import SLOWNESS

# What B asks
USER_ID = "SELECT coalesce(current_setting('app.user_id', true), '')"
WORK_MEM = "SELECT current_setting('work_mem')"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
TEMPORARY = "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()"
PID = "SELECT pg_backend_pid()"

# Code that leaves something
TRIGGER = """CREATE TABLE t (v int);
    CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS $f$ {body} $f$;
    CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tg(); GRANT ALL ON t TO PUBLIC;"""
INSERT = "INSERT INTO t VALUES (1)"
SETS = "set_config('app.user_id', 'A', false)"
VIEW = f"CREATE OR REPLACE VIEW sly AS SELECT {SETS}"
VIEW_FOR_ALL = f"{VIEW}; GRANT ALL ON sly TO PUBLIC"

RUN_IT = bind("", "s") + execute() + sync()


def direct(postgres):
    address = (postgres.host, postgres.port)
    return transport.Address(address) if transport.IS_TLS else address


def settle(wire):
    """Until the answer about the code is fresh: it is asked for when the server comes back."""
    for _ in range(3):
        wire.query("SELECT 1")
        time.sleep(0.03)


def begin(weir, dbname, user="web", servers=1, clients=2, upstream=None, **settings):
    """Starts pgweir with one pool, whose code is known then. Returns its clients: B first, then A, then others."""
    weir.start({f"database {dbname}": {"upstream": weir.upstream(**upstream or {})}}, pool_size=servers, max_overflow=0, **settings)
    wires = [weir.raw(user, dbname) for _ in range(clients)]
    settle(wires[0])
    return wires


def ask(wire, *messages, count=1):
    """No error in any reply."""
    wire.send(*messages)
    replies = wire.read_until("Z", count)
    assert not errors(replies), errors(replies)[0].error
    return texts(replies)


def sees(wire, client, question):
    """What B sees; a client that keeps the server is asked to leave."""
    wire.send(query(question))
    if wire.has_nothing_more(0.25 * SLOWNESS):
        client.leave()
    replies = wire.read_until("Z")
    assert not errors(replies), errors(replies)[0].error
    return texts(replies)


def extended(sql, *parameters):
    return parse("", sql) + bind("", "", parameters) + execute() + sync()
