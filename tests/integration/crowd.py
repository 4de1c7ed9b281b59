"""Company for a client under test: others of the same user and database, so that its servers change hands.

A lone client nearly always gets its old server back, and so proves nothing about transaction pooling. Bystanders run
short transactions all the time; each looks whether its session is as a new one should be, so that what leaks from the
client under test is found out too.
"""

import asyncio
import functools
import inspect
import threading

import psycopg2

from waiting import SLOWNESS

# What a row of the driver tests may lean on; made once per cluster, by its superuser.
WORLD = """
CREATE ROLE clerk NOLOGIN;
GRANT clerk TO web;
ALTER ROLE web CREATEDB;
CREATE SCHEMA tenant_1 AUTHORIZATION web;
CREATE SCHEMA tenant_2 AUTHORIZATION web;
CREATE TABLE tenant_1.place (name text);
CREATE TABLE tenant_2.place (name text);
INSERT INTO tenant_1.place VALUES ('tenant_1');
INSERT INTO tenant_2.place VALUES ('tenant_2');
CREATE TABLE public.place (name text);
INSERT INTO public.place VALUES ('public');
GRANT SELECT ON tenant_1.place, tenant_2.place, public.place TO web;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE document (owner int, title text);
INSERT INTO document VALUES (1, 'of 1'), (2, 'of 2'), (2, 'of 2 too');
ALTER TABLE document ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON document USING (owner = nullif(current_setting('app.user_id', true), '')::int);
GRANT SELECT ON document TO web, clerk;
"""

# Session state in one row, and what it is in a session that has touched nothing.
STATE = """
SELECT current_setting('search_path'), current_setting('TimeZone'), current_setting('statement_timeout'),
       coalesce(current_setting('app.user_id', true), ''), current_user::text,
       (SELECT count(*) FROM pg_prepared_statements WHERE from_sql), (SELECT count(*) FROM pg_cursors),
       (SELECT count(*) FROM pg_listening_channels()), pg_my_temp_schema() <> 0 AND EXISTS (
           SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r')
"""
FRESH = ('"$user", public', "UTC", "0", "", "web", 0, 0, 0, False)


def make_world(postgres):
    if postgres.value("SELECT count(*) FROM pg_roles WHERE rolname = 'clerk'") == 0:
        postgres.query(WORLD)


class Crowd:
    """Bystanders, from entering to leaving; their first trouble is told on leaving."""

    def __init__(self, dsn, count=4):
        self.troubles = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._live, args=(dsn, number), daemon=True)
                         for number in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60 * SLOWNESS)
            if thread.is_alive():
                self.troubles.append("a bystander hangs")

    def _live(self, dsn, number):
        """Every other one has a name, so that servers change hands between equal and unequal sessions."""
        try:
            connection = psycopg2.connect(dsn, application_name="bystander" if number % 2 else "")
            turn = number
            while not self._stop.is_set():
                self._round(connection, is_looking=turn % 8 == 0)
                turn += 1
            connection.close()
        except Exception as error:  # pylint: disable=broad-except
            self.troubles.append(f"a bystander got {type(error).__name__}: {error}")

    def _round(self, connection, is_looking):
        """A transaction that holds its server for a moment without using a CPU."""
        with connection, connection.cursor() as cursor:
            if is_looking:
                cursor.execute(STATE)
                found = cursor.fetchone()
                if found != FRESH:
                    self.troubles.append(f"a bystander's session is {found}")
                    self._stop.set()
            cursor.execute("SELECT pg_sleep(0.003)")
        self._stop.wait(0.001)


def in_clients(function, count=2):
    """function(1), function(2), ... at once; fails with the first failure."""
    failures = []

    def work(number):
        try:
            function(number)
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, count + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120 * SLOWNESS)
        assert not thread.is_alive(), "a client hangs"
    if failures:
        raise failures[0]


def two_clients(test):
    """A test, maybe a coroutine, that two clients run at once, each with its number."""
    @functools.wraps(test)
    def runner(**fixtures):
        async def both():
            await asyncio.wait_for(asyncio.gather(*(test(**fixtures, number=number) for number in (1, 2))), 40 * SLOWNESS)
        if inspect.iscoroutinefunction(test):
            asyncio.run(both())
        else:
            in_clients(lambda number: test(**fixtures, number=number))
    words = inspect.signature(test)
    runner.__signature__ = words.replace(parameters=[word for name, word in words.parameters.items() if name != "number"])
    return runner
