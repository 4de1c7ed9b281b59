"""Random conversations of the whole protocol, made from a seed: the same seed, the same bytes."""

import random

from rawwire import (bind, close, copy_data, copy_done, copy_fail, describe, execute, flush, function_call,
                     one_statement, parse, query, sync)

COPY_TABLE = "random_talk_copy"


def create_copy_table(postgres):
    postgres.query(f"CREATE UNLOGGED TABLE IF NOT EXISTS {COPY_TABLE} (id int, v text)")
    postgres.query(f"ALTER TABLE {COPY_TABLE} OWNER TO web")
    postgres.query(f"GRANT ALL ON {COPY_TABLE} TO PUBLIC")


class RandomTalk:
    """pipeline() gives the bytes of one pipeline that ends in Sync. Every answer with data carries the token.

    Transactions come whole, and what a failed one is asked needs no statement from before: PostgreSQL would find it
    there, while on a server that doesn't have it yet nothing can be prepared until the rollback.
    """

    NAMES = ("", "a", "b", "c")

    def __init__(self, seed, token="t"):
        self.random = random.Random(seed)
        self.token = token
        self.count = 0

    def text(self):
        """A statement; most succeed."""
        self.count += 1
        mark = f"'{self.token}/{self.count}'"
        return self.random.choice((
            f"SELECT {mark}",
            f"SELECT {mark}, i FROM generate_series(1, {self.random.randint(0, 30)}) i",
            f"SELECT {mark}, repeat('x', {self.random.choice((10, 5000, 70_000))})",
            f"SELECT {mark}, 1/0",
            f"SELECT {mark}, 10/(5-i) FROM generate_series(1, 8) i",
            f"SELEC {mark}",
            f"SELECT {mark} WHERE false",
            f"DO $$ BEGIN RAISE NOTICE '{self.token} says %', {self.count}; END $$",
            "",
            f"COPY (SELECT {mark}) TO STDOUT",
            "SHOW server_version_num",
        ))

    def transaction(self):
        """A whole one, begun in a Sync of its own."""
        r = self.random
        self.count += 1
        good = [query(f"SELECT '{self.token}/in {self.count}'"), one_statement("SELECT $1::text", [self.token]), sync(),
                query("SAVEPOINT s"), parse("", "SELECT 'unnamed'") + bind() + execute(), flush()]
        begin = r.choice((query("BEGIN"), one_statement("BEGIN"), query("BEGIN; SELECT 1"), query("SELECT 1; BEGIN")))
        middle = b"".join(r.choice(good) for _ in range(r.randint(0, 5)))
        if r.random() < 0.4:
            bad = r.choice((query("SELECT 1/0"), query("SELEC"), one_statement("SELECT 1/0") + sync()))
            middle += sync() + bad + b"".join(r.choice((query(f"SELECT '{self.token}/must not be seen'"), query(""),
                                                        one_statement(f"SELECT {self.count}") + sync()))
                                              for _ in range(r.randint(0, 3)))
        end = r.choice((query("COMMIT"), query("ROLLBACK"), query("SELECT 1; COMMIT"), one_statement("ROLLBACK")))
        return sync() + begin + sync() + middle + sync() + end + sync() + query("ROLLBACK") + sync()

    def copy_in(self):
        rows = [b"1\ta\n"] * self.random.randint(0, 200)
        if self.random.random() < 0.4:
            rows.insert(self.random.randint(0, len(rows)), b"bad\tb\n")
        data = b"".join(map(copy_data, rows))
        end = copy_done() if self.random.random() < 0.8 else copy_fail()
        text = f"COPY {COPY_TABLE} FROM STDIN"
        if self.random.random() < 0.5:
            return query(text) + data + end
        ahead = sync() if self.random.random() < 0.3 else b""
        return parse("", text) + bind() + execute() + ahead + data + end + sync()

    def message(self):
        r = self.random
        name = r.choice(self.NAMES)
        kind = r.randint(0, 13)
        if kind <= 2:
            return one_statement(self.text())
        if kind == 3:
            return parse(name, self.text())
        if kind == 4:
            return parse(name, f"SELECT $1::text || '{self.token}'")
        if kind == 5:
            return bind(r.choice(("", "p")), name, r.choice(([], [f"value of {self.token}"])))
        if kind == 6:
            return describe(r.choice("SP"), name)
        if kind == 7:
            return execute(r.choice(("", "p")), r.choice((0, 0, 1, 7)))
        if kind == 8:
            return close(r.choice("SSP"), name)
        if kind == 9:
            return flush() if r.random() < 0.5 else sync()
        if kind == 10:
            return query(self.text())
        if kind == 11:
            return self.transaction()
        if kind == 12:
            return r.choice((self.copy_in(), function_call(177, [b"\0\0\0\1", b"\0\0\0\2"]),
                             one_statement("DEALLOCATE ALL"), query(f"DEALLOCATE {r.choice('abc')}")))
        return one_statement(r.choice(("COMMIT", "ROLLBACK", "SET LOCAL geqo = on")))

    def pipeline(self, messages=25):
        return b"".join(self.message() for _ in range(self.random.randint(1, messages))) + sync()

    def turns(self, pipelines=8, messages=25):
        """Some pipelines at once, then an end to every transaction: what is expected of compare.converse."""
        talk = b"".join(self.pipeline(messages) for _ in range(pipelines))
        return [(talk + sync() + query("ROLLBACK"), 0)]
