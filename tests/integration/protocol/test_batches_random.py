"""Random batches of several clients, each as on a connection of its own: what SQL is read under is set, undone and set
again in one pipeline with named statements, SQL PREPARE, transactions and errors, and without waiting for answers. Literals
that depend on settings are in SQL that runs at once; statements that are kept take parameters.

PGWEIR_BATCH_SEEDS    which seeds: "7" or "1-50"        (default: a few)

What is left out, as it differs: a statement that PostgreSQL reads anew since search_path has changed; EXECUTE of
statements of the protocol; whether a Bind that doesn't fit, in a failed transaction, is told so or 25P02.
"""

import os
import random

import pytest

from compare import normalized
from rawwire import Wire, bind, close, describe, execute, flush, one_statement, parse, query, sync
from waiting import each

CLIENTS = 3
TURNS = 60
NAMES = ("a", "b")
SETTINGS = {
    "DateStyle": ("'ISO, DMY'", "'ISO, MDY'", "'German'", "'SQL, YMD'"),
    "TimeZone": ("'Asia/Tokyo'", "'UTC'", "'America/New_York'"),
    "IntervalStyle": ("sql_standard", "postgres", "iso_8601"),
    "standard_conforming_strings": ("off", "on"),
    "bytea_output": ("escape", "hex"),
    "extra_float_digits": ("0", "3"),
    "array_nulls": ("off", "on"),
    "transform_null_equals": ("on", "off"),
    "timezone_abbreviations": ("'Default'", "'Australia'", "'India'"),
    "backslash_quote": ("on", "safe_encoding", "off"),
    "default_text_search_config": ("'simple'", "'english'"),
    "client_encoding": ("'LATIN1'", "'UTF8'", "'SQL_ASCII'"),
}
TEXTS = (
    "SELECT to_char('02/03/2020'::date, 'YYYY-MM-DD')",
    "SELECT '02/03/2020'::date",
    "SELECT extract(epoch from '2020-01-01 12:00'::timestamptz)",
    "SELECT extract(epoch from '2020-01-01 12:00 IST'::timestamptz)",
    "SELECT extract(epoch from '-1 2:03:04'::interval), '-1 2:03:04'::interval",
    r"SELECT length('a\nb')",
    r"SELECT length('a\'b')",
    r"SELECT '\x6162'::bytea",
    "SELECT ('{NULL}'::text[])[1] IS NULL",
    "SELECT (1 = NULL) IS NULL, ($1::int = NULL) IS NULL",
    "SELECT to_tsvector('the cats')::text, 'the cats' @@ 'cat'::tsquery",
    "SELECT 1.1::float8 / 3",
    "SELECT reads('01/02/2020')",
    "SELECT '\u00fc', length('\u00fc')",
    "SELECT $1::text, '03/04/2020'::date::text",
)
KEPT = (
    "SELECT to_char($1::date, 'YYYY-MM-DD')",
    "SELECT $1::date",
    "SELECT $1::date, $1::text",
    "SELECT extract(epoch from $1::timestamptz)",
    "SELECT length($1::bytea), $1::bytea",
    "SELECT array[$1::interval]",
    "SELECT to_tsvector($1)::text",
    "SELECT 1.1::float8 / 3",
    "SELECT reads($1)",
    "SELECT 'abc', length($1::text)",
)


class Batches:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def one_of(self, *choices):
        return self.random.choice(choices)

    def setting(self):
        name = self.one_of(*SETTINGS)
        value = self.one_of(*SETTINGS[name])
        text = value if value.startswith("'") else f"'{value}'"
        return self.one_of(f"SET {name} = {value}", f"SET {name} = {value}", f"SET LOCAL {name} = {value}",
                           f"SELECT set_config('{name}', {text}, {self.one_of('true', 'false')})", f"RESET {name}",
                           f"DO $$ BEGIN SET {self.one_of('', 'LOCAL ')}{name} = {value}; END $$",
                           self.one_of("RESET ALL", "DISCARD ALL", f"SET {name} TO DEFAULT"))

    def transaction(self):
        return self.one_of("BEGIN", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s",
                           "COMMIT AND CHAIN", "ROLLBACK AND CHAIN")

    def prepared_by_sql(self):
        return self.one_of(f"PREPARE p(text) AS {self.one_of(*KEPT)}", "EXECUTE p('01/02/2020')", "DEALLOCATE p",
                           "DEALLOCATE ALL", f"DEALLOCATE {self.one_of(*NAMES)}")

    def message(self):
        name = self.one_of(*NAMES)
        chance = self.random.random()
        if chance < 0.2:
            return parse(name, self.one_of(*KEPT)) + self.one_of(b"", b"", describe("S", name))
        if chance < 0.4:
            return bind("", name, self.one_of([], [], ["01/02/2020"])) + self.one_of(b"", describe("P")) + execute()
        if chance < 0.5:
            return self.one_of(close("S", name), flush(), sync(), parse("", self.one_of(*TEXTS)),
                               bind("c", name) + execute("c", 1) + execute("c"))
        sql = self.one_of(self.setting(), self.setting(), self.transaction(), self.prepared_by_sql(),
                          self.one_of("SELECT 1/0", *TEXTS))
        return self.one_of(one_statement, query)(sql)

    def batch(self):
        """Ends in an empty Query, which is answered in a failed transaction, too."""
        return b"".join(self.message() for _ in range(self.random.randint(1, 6))) + sync() + query("")


def answers(wire, batch):
    wire.send(batch)
    return normalized(wire.read_until("I") + wire.read_until("Z"))


def differs(direct, through):
    both = zip(direct, through)
    unlike = [(a, b) for a, b in both if a != b]
    codes = [(dict(a[1])["C"], dict(b[1])["C"]) if a[0] == b[0] == "E" else None for a, b in unlike]
    return len(direct) != len(through) or any(pair != ("08P01", "25P02") for pair in codes)


def seeds():
    if "PGWEIR_BATCH_SEEDS" not in os.environ:
        return (144, 161, 282, 284, *range(1, 13))       # the first have found something
    first, _, last = os.environ["PGWEIR_BATCH_SEEDS"].partition("-")
    return range(int(first), int(last or first) + 1)


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("seed", seeds())
def test_random_batches_are_answered_as_on_a_connection_of_their_own(weir, seed):
    weir.postgres.query("CREATE OR REPLACE FUNCTION reads(t text) RETURNS text LANGUAGE plpgsql AS "
                        "$$ BEGIN RETURN to_char('02/03/2020'::date + t::date - t::date, 'YYYY-MM-DD'); END $$")
    weir.start(pool_size=CLIENTS)      # all may be in a transaction; whoever is not may have any server
    turns = random.Random(seed)
    clients = [Batches(f"{seed}/{number}") for number in range(CLIENTS)]
    through = [weir.raw() for _ in clients]
    direct = [Wire((weir.postgres.host, weir.postgres.port)) for _ in clients]
    said = []
    try:
        each(direct).login("web", "app")
        for _ in range(TURNS):
            number = turns.randrange(CLIENTS)
            batch = clients[number].batch()
            said.append((number, batch))
            expected, got = answers(direct[number], batch), answers(through[number], batch)
            assert not differs(expected, got), (f"client {number}:\n{expected}\nthrough pgweir:\n{got}\n"
                                                + "\n".join(map(str, said)))
    finally:
        each(through + direct).close()
        weir.postgres.query("DROP FUNCTION reads(text)")
