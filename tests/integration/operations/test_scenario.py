"""The user's own scenario: 100 users with 500 accounts each and 100,000 tasks, written and read by 10 and by 100
threads through SQLAlchemy's QueuePool (50 + 100) with psycopg2, through pgweir with 20 servers. No isolation violation,
no error.

What must hold, and is checked while it runs and at its end:
  - a thread that writes a user's tasks in a transaction reads back exactly these, tagged by user and task, both inside
    the transaction and after it;
  - transfers between accounts of a user keep the user's sum, seen by every reader at every moment (repeatable read);
  - a transaction that is rolled back on purpose leaves nothing;
  - no connection's application_name is ever another's.
"""

import random
import threading
import time

import pytest
import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from waiting import each

USERS, ACCOUNTS, TASKS = 100, 500, 100_000
BALANCE = 1000

SCHEMA = """
CREATE TABLE sc_user (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE sc_account (id int PRIMARY KEY, user_id int NOT NULL REFERENCES sc_user, balance bigint NOT NULL);
CREATE TABLE sc_task (id bigserial PRIMARY KEY, user_id int NOT NULL REFERENCES sc_user, account_id int NOT NULL,
                      writer text NOT NULL, number int NOT NULL, payload text NOT NULL,
                      UNIQUE (user_id, writer, number));
CREATE INDEX ON sc_account (user_id);
CREATE INDEX ON sc_task (user_id, writer);
"""


@pytest.fixture
def schema(postgres):
    drop = "DROP TABLE IF EXISTS sc_task, sc_account, sc_user"
    postgres.query(drop)
    postgres.query(SCHEMA)
    for table in ("sc_user", "sc_account", "sc_task"):
        postgres.query(f"ALTER TABLE {table} OWNER TO web")
    postgres.query("ALTER SEQUENCE sc_task_id_seq OWNER TO web")
    yield
    postgres.query(drop)


class Scenario:
    """Work for a number of threads: batches of tasks for users, transfers, and checks."""

    BATCH = 50

    def __init__(self, engine, threads, tasks, seed):
        self.engine = engine
        self.threads = threads
        self.seed = seed
        self.batches = [(number, 1 + number % USERS) for number in range(tasks // self.BATCH)]
        self.lock = threading.Lock()
        self.violations = []
        self.counts = {"tasks": 0, "transfers": 0, "reads": 0, "rollbacks": 0}

    def run(self):
        threads = [threading.Thread(target=self._thread, args=(number,), daemon=True) for number in range(self.threads)]
        each(threads).start()
        each(threads).join()
        assert not self.violations, self.violations[:5]

    def _thread(self, number):
        chance = random.Random(self.seed * 1000 + number)
        try:
            while not self.violations:
                with self.lock:
                    if not self.batches:
                        return
                    batch, user = self.batches.pop()
                self.write_tasks(f"{self.seed}/{number}/{batch}", user, chance)
                self.transfer(user, chance)
                self.read_back(1 + chance.randrange(USERS))
                if batch % 10 == 0:
                    self.roll_back(f"never/{self.seed}/{number}/{batch}", user, chance)
        except Exception as error:  # pylint: disable=broad-except
            self.violations.append(repr(error))

    def count(self, what, how_many=1):
        with self.lock:
            self.counts[what] += how_many

    def check(self, right, what):
        if not right:
            self.violations.append(what)

    def write_tasks(self, writer, user, chance):
        """A batch in one transaction, read back in it and after it."""
        rows = [{"user": user, "account": (user - 1) * ACCOUNTS + chance.randrange(ACCOUNTS), "writer": writer, "n": n,
                 "payload": f"{writer}#{n}@{user}"} for n in range(self.BATCH)]
        expected = [(row["user"], row["account"], row["payload"]) for row in rows]
        select = text("SELECT user_id, account_id, payload FROM sc_task WHERE user_id = :user AND writer = :writer "
                      "ORDER BY number")
        with self.engine.connect() as connection:
            with connection.begin():
                connection.execute(text("INSERT INTO sc_task (user_id, account_id, writer, number, payload) "
                                        "VALUES (:user, :account, :writer, :n, :payload)"), rows)
                inside = [tuple(row) for row in connection.execute(select, {"user": user, "writer": writer})]
            self.check(inside == expected, f"{writer}: read {len(inside)} rows inside its transaction, not its own")
        with self.engine.connect() as connection:
            after = [tuple(row) for row in connection.execute(select, {"user": user, "writer": writer})]
            self.check(after == expected, f"{writer}: read {len(after)} rows after its transaction, not its own")
        self.count("tasks", self.BATCH)

    def transfer(self, user, chance):
        """Moves money between two accounts of a user."""
        first = (user - 1) * ACCOUNTS
        one, two = sorted(chance.sample(range(first, first + ACCOUNTS), 2))
        amount = chance.randrange(1, 50)
        with self.engine.begin() as connection:
            for account, change in ((one, -amount), (two, amount)):
                connection.execute(text("UPDATE sc_account SET balance = balance + :change WHERE id = :id"),
                                   {"change": change, "id": account})
        self.count("transfers")

    def read_back(self, user):
        """Whatever is under way, the sum of a user's accounts stands still; a task is its user's and its writer's."""
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            with connection.begin():
                total, count = connection.execute(text(
                    "SELECT sum(balance), count(*) FROM sc_account WHERE user_id = :u"), {"u": user}).one()
                foreign = connection.execute(text(
                    "SELECT count(*) FROM (SELECT * FROM sc_task WHERE user_id = :u ORDER BY id DESC LIMIT 500) t "
                    "WHERE payload <> writer || '#' || number || '@' || user_id"), {"u": user}).scalar()
                again = connection.execute(text("SELECT sum(balance) FROM sc_account WHERE user_id = :u"),
                                           {"u": user}).scalar()
        self.check((total, count, again) == (ACCOUNTS * BALANCE, ACCOUNTS, total),
                   f"user {user}: sums {total} and {again}")
        self.check(foreign == 0, f"user {user}: {foreign} tasks are not its own")
        self.count("reads")

    def roll_back(self, writer, user, chance):
        with self.engine.connect() as connection:
            transaction = connection.begin()
            connection.execute(text("INSERT INTO sc_task (user_id, account_id, writer, number, payload) "
                                    "VALUES (:u, 1, :w, :n, 'never')"),
                               {"u": user, "w": writer, "n": chance.randrange(9)})
            transaction.rollback()
            self.check(connection.execute(text("SELECT count(*) FROM sc_task WHERE user_id = :u AND writer = :w"),
                                          {"u": user, "w": writer}).scalar() == 0, f"{writer}: a ghost")
        self.count("rollbacks")


@pytest.mark.long
def test_10_and_100_threads_over_20_servers(weir, schema, sanitized):
    weir.start(pool_size=20, max_overflow=0, pool_timeout="60s")
    engine = sa.create_engine(weir.url(scheme="postgresql+psycopg2"), poolclass=QueuePool, pool_size=50,
                              max_overflow=100, executemany_mode="values_plus_batch",
                              connect_args={"application_name": "scenario"})
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO sc_user VALUES (:id, :name)"),
                           [{"id": user, "name": f"user {user}"} for user in range(1, USERS + 1)])
        connection.execute(text("INSERT INTO sc_account SELECT i, i / :n + 1, :b FROM generate_series(0, :last) i"),
                           {"n": ACCOUNTS, "b": BALANCE, "last": USERS * ACCOUNTS - 1})
    begin = time.monotonic()
    most = []
    stop = threading.Event()

    def watch():
        while not stop.wait(0.1):
            most.append(weir.postgres.count(usename="web"))
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for seed, threads in ((1, 10), (2, 100)):
            scenario = Scenario(engine, threads, TASKS // 2, seed)
            scenario.run()
            assert scenario.counts["tasks"] == TASKS // 2
            assert scenario.counts["transfers"] == TASKS // 2 // Scenario.BATCH
    finally:
        stop.set()
        watcher.join()
        engine.dispose()
    print(f"took {time.monotonic() - begin:.1f} s")
    if not weir.direct:
        assert max(most) <= 20
        assert weir.metric("pgweir_client_requests_failed_total") == 0
        assert weir.metric("pgweir_errors_total", origin="proxy") == 0
    rows = weir.postgres.query("SELECT count(*), count(DISTINCT (user_id, writer, number)), "
                               "count(*) FILTER (WHERE payload <> writer || '#' || number || '@' || user_id), "
                               "count(*) FILTER (WHERE writer LIKE 'never%%') FROM sc_task", ())
    assert rows == [(TASKS, TASKS, 0, 0)]
    assert weir.postgres.query("SELECT count(*) FROM (SELECT user_id FROM sc_account GROUP BY user_id "
                               f"HAVING sum(balance) <> {ACCOUNTS * BALANCE}) t") == [(0,)]


def test_single_statements_by_many_threads(weir, schema):
    """The same pool, one statement per transaction: the server changes with nearly every statement."""
    weir.start(pool_size=20, pool_timeout="60s", pool_lifo=False)
    engine = sa.create_engine(weir.url(scheme="postgresql+psycopg2"), poolclass=QueuePool, pool_size=50,
                              max_overflow=100, isolation_level="AUTOCOMMIT")
    violations = []

    def work(number):
        try:
            with engine.connect() as connection:
                for turn in range(40):
                    row = connection.execute(text("SELECT :a, :b"), {"a": number, "b": f"{number}/{turn}"}).one()
                    if tuple(row) != (number, f"{number}/{turn}"):
                        violations.append((number, turn, row))
        except Exception as error:  # pylint: disable=broad-except
            violations.append(repr(error))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(100)]
    each(threads).start()
    each(threads).join()
    engine.dispose()
    assert not violations, violations[:5]
