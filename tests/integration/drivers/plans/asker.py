"""Clients of Python's drivers that do what the lines of the standard input say: see test_keep_plans_drivers.py."""

import asyncio
import contextlib
import datetime
import json
import os
import re
import sys
from decimal import Decimal

import asyncpg
import psycopg
from psycopg.types.json import Jsonb

LOOP = asyncio.new_event_loop()


def typed(value, to_json):
    if not isinstance(value, dict):
        return value
    (kind, content), = value.items()
    return {"date": datetime.date.fromisoformat, "numeric": Decimal, "json": to_json}[kind](content)


class Psycopg:
    def __init__(self, **options):
        self.notices = []
        self.connection = psycopg.connect("", autocommit=True, **options)
        self.connection.add_notice_handler(lambda said: self.notices.append(said.message_primary))

    @staticmethod
    def words(sql, values):
        if not values:
            return sql, None
        return re.sub(r"\$(\d+)", r"%(p\1)s", sql.replace("%", "%%")), {f"p{i}": typed(v, Jsonb) for i, v in enumerate(values, 1)}

    @staticmethod
    def told(cursor):
        if cursor.description is None:
            return {"tag": cursor.statusmessage}
        return {"columns": [[c.name, c.type_code] for c in cursor.description], "rows": cursor.fetchall(), "tag": cursor.statusmessage}

    def ask(self, sql, values):
        with self.connection.cursor() as cursor:
            cursor.execute(*self.words(sql, values))
            return self.told(cursor)

    def many(self, asks):
        with contextlib.ExitStack() as stack:
            cursors = [stack.enter_context(self.connection.cursor()) for _ in asks]
            with self.connection.pipeline():
                for cursor, (sql, values) in zip(cursors, asks):
                    cursor.execute(*self.words(sql, values))
            return {"all": [self.told(cursor) for cursor in cursors]}

    def fetch(self, sql, values, size):
        with self.connection.transaction(), self.connection.cursor("fetched") as cursor:
            cursor.execute(*self.words(sql, values))
            return {"rows": [cursor.fetchmany(size), cursor.fetchmany(size)]}


class Asyncpg:
    def __init__(self, **options):
        self.notices = []
        self.connection = LOOP.run_until_complete(asyncpg.connect(
            host=os.environ["PGHOST"], port=os.environ["PGPORT"], user="web", database="app", **options))
        self.connection.add_log_listener(lambda _, said: self.notices.append(said.message))

    def ask(self, sql, values):
        if not values:
            return {"tag": LOOP.run_until_complete(self.connection.execute(sql))}
        rows = LOOP.run_until_complete(self.connection.fetch(sql, *[typed(v, json.dumps) for v in values]))
        return {"columns": rows and [[name, None] for name in rows[0].keys()], "rows": [list(row.values()) for row in rows]}

    def many(self, asks):
        return {"all": [answer(self, lambda: self.ask(*each)) for each in asks]}  # pylint: disable=cell-var-from-loop # called at once

    def fetch(self, sql, values, size):
        async def some():
            async with self.connection.transaction():
                cursor = await self.connection.cursor(sql, *[typed(v, json.dumps) for v in values])
                return [[list(row.values()) for row in await cursor.fetch(size)] for _ in range(2)]
        return {"rows": LOOP.run_until_complete(some())}


def answer(client, work):
    try:
        said = work()
    except (psycopg.Error, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.exceptions.InternalClientError) as error:
        said = {"error": [getattr(error, "sqlstate", None), str(error)]}
    said["notices"], client.notices[:] = list(client.notices), []
    return said


OPEN = {
    "psycopg": Psycopg,
    "psycopg_unnamed": lambda: Psycopg(prepare_threshold=None),
    "asyncpg": Asyncpg,
    "asyncpg_no_cache": lambda: Asyncpg(statement_cache_size=0),
}[sys.argv[1]]


def main():
    clients = {}
    for line in sys.stdin:
        todo = json.loads(line)
        client = clients.get(todo["to"]) or clients.setdefault(todo["to"], OPEN())
        if "many" in todo:
            said = answer(client, lambda: client.many(todo["many"]))  # pylint: disable=cell-var-from-loop # called at once
        elif "size" in todo:
            said = answer(client, lambda: client.fetch(todo["sql"], todo["values"], todo["size"]))  # pylint: disable=cell-var-from-loop
        else:
            said = answer(client, lambda: client.ask(todo["sql"], todo["values"]))  # pylint: disable=cell-var-from-loop
        print(json.dumps(said, default=str), flush=True)


main()
