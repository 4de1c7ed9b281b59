"""Two, three or four ways of leaving hidden state meet in one session, in one batch or one transaction, among COPY, cursors,
LISTEN, PREPARE, roles, errors, cancel requests and messages that nobody ends. Whatever becomes of them: the next clients
see what a session has that nobody touched. test_sealed.py has each way alone.

PGWEIR_MEETINGS       which seeds: "7" or "1-50"        (default: a few)
PGWEIR_MEETINGS_EACH  meetings per seed                 (default: 40)
"""

import os
import random

import pytest

import transport
import unseen
from rawwire import (WireError, Wire, bind, close, copy_data, copy_fail, describe, execute, flush, one_statement, parse,
                     query, send_cancel, sync, terminate)
from test_sealed import ALL, BARE, WASHABLE, Stage, start
from unseen import BOSS, CLERK, MARK, make_database, make_rows, seeded_numbers

pytestmark = pytest.mark.weir_only

COUNT = int(os.environ.get("PGWEIR_MEETINGS_EACH", "40"))
LITTLE = "sealed_little"            # a few kinds, whose code says what it does
FEW = ["custom", "role", "lock", "temp_table", "listen", "prepared", "sequence", "cursor"]


def seeds():
    first, _, last = os.environ.get("PGWEIR_MEETINGS", "1-4").partition("-")
    return range(int(first), int(last or first) + 1)


class Meetings:
    """Databases, and all that may meet there."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.address = transport.Address((postgres.host, postgres.port)) if transport.IS_TLS \
            else (postgres.host, postgres.port)
        self.seeded, self.told, self.rows = seeded_numbers(postgres, "app"), {}, {}
        unseen.make_roles(postgres)
        for dbname, code, rows, more in ((ALL, WASHABLE, "all", {}), (BARE, [], "none", {}),
                                         (LITTLE, FEW, "own", {"has_dynamic": False})):
            make_database(postgres, dbname, code, **more)
            self.rows[dbname] = [row for row in make_rows(postgres, dbname, code or WASHABLE, rows)
                                 if not row.talk.leaves]

    def drop(self):
        for dbname in self.rows:
            self.postgres.query(f"DROP DATABASE {dbname} WITH (FORCE)", dbname="postgres")


@pytest.fixture(scope="module")
def meetings(postgres):
    made = Meetings(postgres)
    yield made
    made.drop()


def visible(rng):
    """(data, how many ReadyForQuery): what SQL shows, and what only the protocol has."""
    return rng.choice([
        (query("BEGIN"), 1), (query("COMMIT"), 1), (query("ROLLBACK"), 1), (query("SAVEPOINT s"), 1),
        (query("ROLLBACK TO s"), 1), (query("BEGIN; SAVEPOINT s; SELECT 1"), 1), (query("COMMIT AND CHAIN"), 1),
        (query("SELECT 1/0"), 1), (query("SELEC"), 1), (one_statement("SELECT 1/0") + sync(), 1),
        (one_statement("SELEC") + one_statement(f"SET app.user_id = '{MARK}'") + sync(), 1),
        (query(f"SET app.user_id = '{MARK}'"), 1), (query(f"SET LOCAL app.user_id = '{MARK}'"), 1),
        (one_statement(f"SET app.user_id = '{MARK}'") + sync(), 1), (query("RESET app.user_id"), 1), (query("RESET ALL"), 1),
        (query(f"SET ROLE {CLERK}"), 1), (query(f"SET LOCAL ROLE {CLERK}"), 1), (query("RESET ROLE"), 1),
        (query("SET search_path = pg_temp, public"), 1), (query("SET LOCAL search_path = pg_temp, sealed"), 1),
        (query("SET SESSION AUTHORIZATION web"), 1), (query("SET client_encoding = 'LATIN1'"), 1),
        (query(f"CREATE TEMP TABLE IF NOT EXISTS {MARK} (v text)"), 1), (query(f"CREATE TABLE {MARK}_x AS SELECT 1"), 1),
        (query(f"CREATE TEMP TABLE m_{MARK} ON COMMIT DROP AS SELECT 1"), 1), (query("DISCARD TEMP"), 1),
        (query(f"PREPARE {MARK} AS SELECT * FROM {MARK}"), 1), (query(f"EXECUTE {MARK}"), 1),
        (query(f"PREPARE {MARK} AS SELECT set_config('app.user_id', '{MARK}', false)"), 1),
        (parse("p1", f"SELECT * FROM {MARK}") + sync(), 1), (bind("", "p1") + execute() + sync(), 1),
        (parse("p2", f"EXECUTE {MARK}") + sync(), 1), (bind("x", "p2") + execute("x", 1) + sync(), 1),
        (describe("S", "p2") + close("S", "p2") + sync(), 1), (query("DEALLOCATE ALL"), 1), (query("DISCARD ALL"), 1),
        (query(f"LISTEN {MARK}"), 1), (query(f"UNLISTEN {MARK}"), 1), (query("UNLISTEN *"), 1),
        (query(f"NOTIFY {MARK}"), 1), (query(f"LISTEN {MARK}; SELECT 1; NOTIFY {MARK}"), 1),
        (query(f"DECLARE {MARK} CURSOR WITH HOLD FOR SELECT 1"), 1), (query(f"FETCH ALL FROM {MARK}"), 1),
        (query("SELECT pg_advisory_lock(4711)"), 1), (query("SELECT pg_advisory_unlock_all()"), 1),
        (query("SELECT nextval('sealed.numbers')"), 1), (query("SELECT lastval()"), 1), (query("SELECT setseed(0.25)"), 1),
        (query(""), 1), (sync(), 1), (flush() + sync(), 1), (copy_data(b"1\n") + sync(), 1),
        (query("COPY (SELECT 1) TO STDOUT"), 1), (query("COPY pg_class FROM STDIN"), 1),
        (query("SELECT * FROM pg_prepared_statements"), 1), (query("SELECT * FROM pg_listening_channels()"), 1),
    ])


ENDS = {                            # how A ends; what is open is closed by who stays
    "stays": None, "leaves": terminate(), "goes": b"", "goes within a message": query("SELECT 1")[:-3],
    "goes within a transaction": query("BEGIN; SELECT 1"), "goes without Sync": one_statement("SELECT 1"),
    "goes while it sleeps": query("SELECT pg_sleep(0.2)"), "goes within COPY": query("COPY sealed.document FROM STDIN"),
    "goes within a pipeline": one_statement("SELECT pg_sleep(0.1)") + sync() + query("BEGIN"),
}


def play(client, address, steps, is_batch, rng):
    """Sends the steps, and reads what comes, if that comes."""
    if is_batch:
        client.send(b"".join(data for data, _ in steps))
        if rng.random() < 0.2:
            send_cancel(address, client.key)
        client.read_until("Z", sum(count for _, count in steps), timeout=1)
        return
    for data, count in steps:
        client.send(data)
        if rng.random() < 0.1:
            send_cancel(address, client.key)
        client.read_until("Z", count, timeout=1)


def script(rng, rows):
    """(steps, what they are)."""
    steps, told = [], []
    for row in rng.sample(rows, rng.randint(2, 4)):
        for _ in range(rng.choice((0, 0, 1, 2))):
            steps.append(visible(rng))
            told.append(repr(steps[-1][0]))
        steps += row.talk.parts
        told.append(f"[{row}]")
    for _ in range(rng.choice((0, 1, 2))):
        steps.append(visible(rng))
        told.append(repr(steps[-1][0]))
    return steps, told


def meet(stage, rows, rng):
    """What went wrong, if anything did."""
    steps, told = script(rng, rows)
    is_batch, end = rng.random() < 0.4, rng.choice(list(ENDS))
    client = Wire(stage.weir.address).login(stage.user, stage.database)
    is_gone = end != "stays"
    try:
        play(client, stage.weir.address, steps, is_batch, rng)
        if is_gone:
            client.send(ENDS[end])
        else:                       # twice: the first may be what ends a COPY
            client.send(copy_fail() + sync() + query("ROLLBACK") + query("ROLLBACK"))
            client.read_until("Z", 3, timeout=1)
    except WireError:
        is_gone = True
    if rng.random() < 0.2:              # perhaps while its server is washed
        send_cancel(stage.weir.address, client.key)
    if is_gone:
        client.close()
    stage.turn += 1
    found = stage.look(client)
    client.close()
    if found:
        for watcher in stage.watchers:
            watcher.wire.close()
        stage.settle()
    return [f"{' '.join(told)} {'in one batch, ' if is_batch else ''}{end}: {text}" for text in found]


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("servers, session_state", [(1, "track"), (3, "track"), (1, "isolate"), (2, "pin")])
@pytest.mark.parametrize("seed", seeds())
def test_what_meets_in_one_session_does_not_cross(weir, meetings, seed, servers, session_state):
    rng = random.Random(f"{seed} {servers} {session_state}")
    dbname = (ALL, BARE, LITTLE)[seed % 3]
    start(weir, meetings, servers, session_state)
    stage = Stage(weir, meetings, dbname, rng.choice(("web", "web", BOSS)), servers)
    rows = [row for row in meetings.rows[dbname] if stage.user == BOSS or row.kind.user == "web"]
    wrong = [text for _ in range(COUNT) for text in meet(stage, rows, rng)]
    assert not wrong, f"{len(wrong)} went wrong:\n" + "\n".join(wrong)
