"""Databases with functions of known effect, reached in every way that PostgreSQL stores; statements that reach them or don't;
what each of these statements touches, by PostgreSQL itself; and a reference of how a statement's risk is looked up.

A chain begins with a leaf, a function that touches one part of the session state (or none), and goes on with hops: each makes
an object that uses the one before. A thing is what can stand in SQL, with some statements that use it."""

import random
import re
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import psycopg2

SETTINGS, TEMP, LOCKS, CURSORS, PREPARED, LISTEN, SEQUENCES, SEED = (1 << i for i in range(8))
STATE = 1023  # enum state_part
ASKED = 4095  # with enum code_risk, but for RISK_EFFECTS: see test_repeatable.py
KEEPS = 32768  # RISK_KEEPS: of this name alone
SEAL = Path(__file__).resolve().parents[2] / "src" / "seal"


def question(*which):
    """A question about the database's code as pgweir sends it, of the files with these names."""
    lines = []
    for name in which or ("_signs", ""):
        if name == "_signs":
            lines += subprocess.check_output(["awk", "-f", SEAL / "extensions.awk", SEAL / "extensions.tsv"], text=True).splitlines()
        lines += (SEAL / f"database_code{name}.sql").read_text(encoding="utf-8").splitlines()
    return " ".join(line.strip() for line in lines if not line.startswith("--"))


SETTINGS_OF_IT = question("_settings").replace("'3s'", "'60s'") + " "      # a slow machine has its answer, too


# --- The reference: a statement's risk is that of the words in it.

TOKEN = re.compile(r"""(?P<space>\s+|--[^\n\r]*) | (?P<comment>/\*) | (?P<opaque>[uU]&") | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<string>(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*') | (?P<dollar>\$(?P<tag>[A-Za-z_\x80-\U0010ffff]?[\w\x80-\U0010ffff]*)\$.*?\$(?P=tag)\$)
    | "(?P<quoted>(?:[^"]|"")*)" | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*) | (?P<number>\.?\d[\w.]*|\$\d+)
    | (?P<operator>(?:(?!--|/\*)[-+*/<>=~!@\#%^&|`?])+) | (?P<other>.)""", re.X | re.S)
FIRST = set("""select insert update delete merge with values table copy fetch move close declare set show lock notify deallocate begin
    start end commit rollback abort savepoint release explain""".split())
WRITES = {"insert", "update", "delete", "merge", "copy"}
DDL = re.compile("(create|drop)( (or|replace|temp|temporary|local|global|unlogged|unique|materialized|recursive))* (table|view|index|sequence)\\b")


def folded(name):
    """As PostgreSQL's lower() under the collation C, cut at 63 bytes; names with bytes above 127 are all one."""
    return "\x7f" if not name.isascii() or "\x7f" in name else name.lower()[:63]


def tokens_of(sql):
    at, tokens = 0, []
    while at < len(sql):
        token = TOKEN.match(sql, at)
        at = token.end()
        if token.lastgroup == "comment":
            depth = 1
            while depth and at < len(sql):
                inner = re.compile(r"/\*|\*/|.", re.S).match(sql, at)
                depth += {"/*": 1, "*/": -1}.get(inner[0], 0)
                at = inner.end()
        elif token.lastgroup != "space":
            tokens.append((token.lastgroup, token["quoted"].replace('""', '"') if token.lastgroup == "quoted" else token[0]))
    return tokens


class Names:
    """An answer: what its rows say."""

    def __init__(self, rows):
        self.rows = list(rows)
        self.risks, self.types, self.all, self.star, self.ddl = {}, {}, 0, 0, 0
        for kind, name, value in self.rows:
            if kind == "r":
                self.risks[name, value.split()[0]] = [int(v) & ASKED | (int(v) & KEEPS) >> 7 for v in value.split()[1:3]]
            elif kind == "t":
                self.types[int(name)] = [int(v) & ASKED for v in value.split()]
            elif kind == "a":
                self.all, self.star, self.ddl, _ = (int(v) & ASKED for v in value.split())     # the last: of STATE_BACKEND alone

    def risk_of(self, sql, parameters=()):
        tokens = tokens_of(sql)
        words = {text.lower() for kind, text in tokens if kind == "word"}
        is_ddl = bool(DDL.match(" ".join(text.lower() for _, text in tokens[:6])))
        is_into = "into" in words and not words & WRITES
        is_write = is_ddl or bool(words & WRITES)
        if not tokens or not (is_ddl or tokens[0][1].lower() in FIRST | {"("}) or any(kind == "opaque" for kind, _ in tokens) or \
                (is_ddl and "execute" in words):
            return self.all
        found = [self.types.get(oid) for oid in parameters]
        for i, (kind, text) in enumerate(tokens):
            if kind in ("word", "quoted"):
                cut = re.match("[ -~]*", text)[0]           # all that is left of it, perhaps
                spelt = [folded(text)] + ([folded(cut)] if text != cut and len(cut) > 59 else [])
                found += [self.risks.get((name, k)) for name in spelt for k in "rn"]
                if tokens[i + 1:i + 2] == [("other", "(")] or (i > 0 and tokens[i - 1][1] == ".") or not text.isascii():
                    found += [self.risks.get((name, "f")) for name in spelt]
            elif kind == "operator":
                found += [risk for (name, k), risk in self.risks.items() if k == "o" and name in text]
        risk = self.star | (self.ddl if is_ddl or is_into else 0)
        for always, writing in filter(None, found):
            risk |= always | (writing if is_write else 0)
        return risk | self.all if risk & 255 == 255 else risk      # what makes its own SQL reaches everything


# --- What a statement touches, by PostgreSQL.

ASK = """SELECT (coalesce(current_setting('app.x', true), '') <> '' OR current_setting('work_mem') <> '4MB')::int * 1
    + EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema())::int * 2
    + EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())::int * 4
    + EXISTS (SELECT FROM pg_cursors WHERE is_holdable)::int * 8 + EXISTS (SELECT FROM pg_prepared_statements WHERE from_sql)::int * 16
    + EXISTS (SELECT FROM pg_listening_channels())::int * 32 + (random() <> {random})::int * 128"""


class Truth:
    """Asks PostgreSQL; dsn is that of a user who is no superuser (policies don't hold for one)."""

    def __init__(self, dsn):
        self.dsn = dsn
        with psycopg2.connect(dsn) as db, db.cursor() as cursor:
            cursor.execute("SELECT setseed(0.5)")
            cursor.execute("SELECT random()::text")
            self.ask = ASK.format(random=cursor.fetchone()[0])
        db.close()

    def touched(self, sql):
        """Returns (parts, error or None)."""
        db = psycopg2.connect(self.dsn)
        db.autocommit = True
        error, parts = None, 0
        with db.cursor() as cursor:
            cursor.execute("SELECT setseed(0.5)")
            try:
                cursor.execute(sql)
            except psycopg2.Error as e:
                error = str(e).strip().splitlines()[0]
                parts = SEQUENCES if re.search("(curr|last)val", error) else 0
                cursor.execute("ROLLBACK")
            cursor.execute(self.ask)
            parts |= cursor.fetchone()[0]
        db.close()
        return parts, error

    def all_touched(self, statements, threads=2):
        answers = {}

        def work(mine):
            for sql in mine:
                answers[sql] = self.touched(sql)

        crew = [threading.Thread(target=work, args=(statements[i::threads],)) for i in range(threads)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        return answers


# --- The generator.

def plpgsql(text):
    return "plpgsql", f"BEGIN {text} END"


LEAVES = {
    0: [plpgsql("PERFORM 1;"), ("sql", "SELECT length('abc')"), plpgsql("NULL; -- all settings\n")],
    SETTINGS: [plpgsql("PERFORM set_config('app.x', '1', false);"), plpgsql("/* x */SET app.x = '1';"),
               ("sql", "SELECT SET_CONFIG('app.x', '1', false)"), plpgsql("EXECUTE 'SE'\n 'T app.x = 1';"),
               plpgsql("UPDATE pg_settings SET setting = '7MB' WHERE name = 'work_mem';"),
               plpgsql('PERFORM "pg_catalog" . "set_config"(\'app.x\', \'1\', false);'), ("sql", "SET app.x = '1'"),
               plpgsql("IF true THEN SET app.x TO 1; END IF;"), plpgsql("-- x\n SET app.x = '1';"),
               plpgsql("PERFORM U&\"set\\005fconfig\"('app.x', '1', false);"),
               plpgsql("PERFORM query_to_xml($q$SELECT set_con$q$ || $q$fig('app.x', '1', false)$q$, true, true, '');"),
               plpgsql("DO $x$BEGIN PERFORM set_conf" "ig('app.x', '1', false); END$x$;")],
    TEMP: [plpgsql("CREATE TEMP TABLE made (v int);"), ("sql", "CREATE TEMPORARY VIEW made AS SELECT 1"),
           plpgsql("EXECUTE 'crea' || 'te temp table made (v int)';"), plpgsql("CREATE TABLE pg_temp.made (v int);")],
    LOCKS: [plpgsql("PERFORM pg_advisory_lock(pg_backend_pid());"), ("sql", "SELECT pg_try_advisory_lock_shared(1)::int"),
            plpgsql("PERFORM x.pg_advisory_lock_shared FROM abs(1::bigint) x;")],
    CURSORS: [plpgsql("EXECUTE 'DECLARE kept CURSOR WITH HOLD FOR SELECT 1';"), ("sql", "DECLARE kept CURSOR WITH HOLD FOR SELECT 1")],
    PREPARED: [plpgsql("EXECUTE 'PREPARE made AS SELECT 1';"), ("sql", "PREPARE made AS SELECT 1")],
    LISTEN: [plpgsql("LISTEN heard;"), ("sql", "LISTEN heard"), plpgsql("EXECUTE 'listen heard';")],
    SEQUENCES: [plpgsql("PERFORM currval('counted');"), ("sql", "SELECT lastval()::int"), plpgsql("PERFORM lastval();")],
    SEED: [plpgsql("PERFORM setseed(0.1);"), plpgsql("SET SEED TO 0.1;"), ("sql", "SELECT setseed(0.1)")],
}


class Thing(NamedTuple):
    """kind: f, a function of one integer, which is IMMUTABLE; v, one that is not; a, an aggregate; r, a relation with a column a; p, a plain table; t, a type that an integer can be
    cast to; c, a composite type of one column; x, only statements."""

    kind: str
    name: str
    statements: tuple = ()


class Maker:
    """Makes one database's objects, all by ddl; the seed decides which."""

    def __init__(self, seed, is_plain=False):
        self.random, self.is_plain = random.Random(seed), is_plain
        self.ddl = ["CREATE SEQUENCE counted", "CREATE FUNCTION touch_none() RETURNS int LANGUAGE sql AS 'SELECT 1'"]
        self.number, self.symbols = 0, set()
        self.pairs = [(a, b) for a in ("int", "bool") for b in ("inet", "bytea", "uuid", "box", "point", "json", "bit", "macaddr")]
        self.things = []

    def name(self, is_plain=False):
        self.number += 1
        n = self.number
        style = 0 if is_plain or self.is_plain else self.random.randrange(9)
        return {5: f'"Na{n}me"', 6: f'"na me{n}"', 7: f'"{n}name"', 8: f'"né{n}"', 4: f"name{n}_".ljust(62, "x") + self.random.choice(["xx", "é"]), 3: f"n${n}"}.get(style, f"name{n}")

    def symbol(self):
        while True:
            made = "".join(self.random.choice("@#%^&|?") for _ in range(self.random.randrange(3, 6)))
            if made not in self.symbols:
                self.symbols.add(made)
                return made

    def run(self, sql):
        self.ddl.append(sql)

    def function(self, body, arguments="x int", returns="int", language="plpgsql", more="IMMUTABLE", name=None):
        name = name or self.name()
        self.run(f"CREATE FUNCTION {name}({arguments}) RETURNS {returns} {more} LANGUAGE {language} AS $body${body}$body$")
        return name

    def helper(self, used, arguments, returns, result):
        """A function of these arguments that calls the one used."""
        return self.function(f"BEGIN PERFORM {used}(1); RETURN {result}; END", arguments, returns)

    def table(self, columns="a int", is_plain=False, more=""):
        name = self.name(is_plain)
        self.run(f"CREATE TABLE {name} ({columns}) {more}")
        return name

    def leaf(self, effect, which=None):
        language, body = LEAVES[effect][self.random.randrange(len(LEAVES[effect])) if which is None else which]
        returns = "void" if language == "plpgsql" or not body.upper().startswith("SELECT") else "int"
        if language == "sql" and "setseed" in body or "SET_CONFIG" in body:
            returns = "void"
        inner = self.function(body, "", returns, language, "VOLATILE")
        return Thing("f", self.function(f"BEGIN IF session_user = 'web' THEN PERFORM {inner}(); END IF; RETURN x; END"))

    def chain(self, effect, hops, which=None, kept=9):
        """kept: so many of the last things count."""
        things = [self.leaf(effect, which)]
        for hop in hops:
            things.append(HOPS[hop][1](self, things[-1]))
        self.things += [(thing, effect) for thing in things[-kept:]]

    def random_chain(self, effect, length=3):
        hops, things = [], [self.leaf(effect)]
        while len(hops) < length:
            fitting = [hop for hop, (kinds, _) in HOPS.items() if things[-1].kind in kinds and hop not in WIDE | {"foreign key's operator", "exclusion constraint"}]
            if not fitting:
                break
            hops.append(self.random.choice(fitting))
            things.append(HOPS[hops[-1]][1](self, things[-1]))
        self.things += [(thing, effect) for thing in things]


# Wide ones make nearly every statement of their database risky; each has a database of its own.
HOPS, WIDE = {}, {"cast of PostgreSQL's types", "event trigger", "default operator class of PostgreSQL's type", "operator like =", "operator like LIKE"}


def hop(name, kinds):
    def add(function):
        HOPS[name] = (kinds, function)
        return function
    return add


def row(name, kinds, kind, sql, *statements, table=None):
    """A hop that needs no more than SQL, with {t} for what is used, and {n} for what uses it: a table with these columns, or what the SQL makes."""
    def made(m, t):
        n = m.name() if table is None else m.table(table.format(t=t.name))
        if sql:
            m.run(sql.format(n=n, t=t.name))
        return Thing(kind, n, tuple(statement.format(n=n, t=t.name) for statement in statements))
    hop(name, kinds)(made)


@hop("body", "fva")
def _(m, t):
    if m.random.random() < 0.5:
        more = m.random.choice(["IMMUTABLE", "STABLE", ""])
        return Thing("f" if more == "IMMUTABLE" else "v", m.function(f"SELECT /* x */{t.name}(x)", language="sql", more=more))
    spelt = t.name if t.name.startswith('"') else m.random.choice([t.name, t.name.upper(), "public." + t.name, t.name + "--\n"])
    return Thing("f", m.function(f"DECLARE r int; BEGIN r := 1+{spelt}(x); RETURN r; END"))


row("SQL-standard body", "fv", "v", "CREATE FUNCTION {n}(x int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT {t}(x); END")
hop("argument's default", "fv")(lambda m, t: Thing("v", m.function("SELECT x", f"x int, y int DEFAULT {t.name}(1)", language="sql")))


@hop("prefix operator", "f")
def _(m, t):
    symbol = m.symbol()
    m.run(f"CREATE OPERATOR {symbol} (RIGHTARG = int, FUNCTION = {t.name})")
    return Thing("f", m.function(f"SELECT {symbol} x", language="sql"),
                 (f"SELECT {symbol} 1", f"SELECT ({symbol} 1)",
                  f"SELECT OPERATOR(public.{symbol}) 1", f"SELECT 1 WHERE {symbol}/* x */2 = 2"))


def operator(m, t, symbol, more="", pair=None):
    left, right = pair or m.pairs.pop(m.random.randrange(len(m.pairs)))
    used = m.helper(t.name, f"x {left}, y {right}", "bool", "true")
    m.run(f"CREATE OPERATOR {symbol} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {used}{more})")
    return f"NULL::{left}", f"NULL::{right}", left, right


@hop("operator like =", "fv")
def _(m, t):
    if len(m.pairs) < 2:
        return Thing("x", "")
    left, right, *_ = operator(m, t, "=")
    return Thing("x", "", tuple(f"SELECT {e}" for e in (
        f"{left} = {right}", f"{left} IN ({right})", f"{left} NOT IN ({right})", f"NULLIF({left}, {right})", f"CASE {left} WHEN {right} THEN 1 END",
        f"{left} = ANY (ARRAY[{right}])", f"{left} IS DISTINCT FROM {right}", f"1 FROM (SELECT {left} AS v) a JOIN (SELECT {right} AS v) b USING (v)",
        f"1 FROM (SELECT {left} AS v) a NATURAL JOIN (SELECT {right} AS v) b")))


@hop("operator like LIKE", "fv")
def _(m, t):
    if len(m.pairs) < 5:
        return Thing("x", "")
    statements = []
    for symbol, form in (("~~", "{} LIKE {}"), ("!~~", "{} NOT LIKE {}"), ("~~*", "{} ILIKE {}"), (">=", "{} BETWEEN {} AND NULL"), ("<>", "{} != {}")):
        left, right, *_ = operator(m, t, symbol)
        statements.append("SELECT " + form.format(left, right))
    return Thing("x", "", tuple(statements))


@hop("negator", "fv")
def _(m, t):
    if not m.pairs:
        return Thing("x", "")
    one, other = m.symbol(), m.symbol()
    left, right, *pair = operator(m, t, one, f", NEGATOR = {other}")
    harmless = m.function("BEGIN RETURN false; END", f"x {pair[0]}, y {pair[1]}", "bool", more="VOLATILE")
    m.run(f"CREATE OPERATOR {other} (LEFTARG = {pair[0]}, RIGHTARG = {pair[1]}, FUNCTION = {harmless}, NEGATOR = {one})")
    return Thing("x", "", (f"SELECT NOT ({left} {other} {right})", f"SELECT {left} {one} {right}"))


@hop("aggregate", "fv")
def _(m, t):
    name, step = m.name(), m.helper(t.name, "x int, y int", "int", "x")
    m.run(f"CREATE AGGREGATE {name}(int) (SFUNC = {step}, STYPE = int, INITCOND = '0')")
    return Thing("a", name, (f"SELECT {name}(v) FILTER (WHERE v > 0) OVER () FROM generate_series(1, 2) v",))


row("view", "fv", "r", "CREATE VIEW {n} AS SELECT {t}(v) AS a FROM generate_series(1, 2) v")
row("rule for INSERT", "fv", "p", "CREATE RULE r AS ON INSERT TO {n} DO ALSO SELECT {t}(new.a)", table="a int")
row("policy", "fv", "r", "INSERT INTO {n} VALUES (1); ALTER TABLE {n} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {n} USING ({t}(a) > 0)", table="a int")
hop("default", "fv")(lambda m, t: Thing("p", m.table(f"a int, b int DEFAULT {t.name}(2)")))
hop("generated column", "f")(lambda m, t: Thing("p", m.table(f"a int, b int GENERATED ALWAYS AS ({t.name}(a)) STORED")))
hop("check", "fv")(lambda m, t: Thing("p", m.table(f"a int CHECK ({t.name}(a) < 1000)")))
row("index", "f", "p", "CREATE INDEX ON {n} (({t}(a)))", table="a int")
row("index's condition", "f", "p", "CREATE INDEX ON {n} (a) WHERE {t}(a) > 0", table="a int")


@hop("index of a referenced table", "f")
def _(m, t):
    keys = m.table("a int PRIMARY KEY")
    m.run(f"INSERT INTO {keys} VALUES (1); CREATE INDEX ON {keys} ((a + {t.name}(1)))")
    name = m.table(f"a int REFERENCES {keys}")
    return Thing("x", name, (f"INSERT INTO {name} VALUES (1)",))


@hop("check of a child, read", "f")
def _(m, t):
    name = m.table()
    m.run(f"CREATE TABLE {m.name()} (CHECK (a > {t.name}(1))) INHERITS ({name})")
    return Thing("x", name, (f"SELECT * FROM {name} WHERE a = 5",))


@hop("operator for a type of PostgreSQL's and its own", "fv")
def _(m, t):
    if not m.pairs:
        return Thing("x", "")
    left, name = m.pairs.pop()[1], m.name()
    m.run(f"CREATE TYPE {name} AS (v int)")
    used = m.helper(t.name, f"x {left}, y {name}", "bool", "true")
    m.run(f"CREATE OPERATOR ~<~ (LEFTARG = {left}, RIGHTARG = {name}, FUNCTION = {used})")
    return Thing("x", "", (f"SELECT NULL::{left} ~<~ '(1)'",))


@hop("statistics", "f")
def _(m, t):
    name = m.table("a int, b int")
    m.run(f"CREATE STATISTICS {m.name(True)} ON a, (b + {t.name}(1)) FROM {name}")
    m.run(f"INSERT INTO {name} VALUES (1, 1)")
    used = m.function(f"BEGIN ANALYZE {name}; END", "", "void", more="SECURITY DEFINER")
    return Thing("p", name, (f"ANALYZE {name}", f"SELECT {used}()"))


@hop("trigger", "fv")
def _(m, t):
    name = m.table()
    used = m.function(f"BEGIN PERFORM {t.name}(1); RETURN new; END", "", "trigger", more="")
    when = m.random.choice(["BEFORE INSERT OR UPDATE", "AFTER INSERT OR UPDATE OR DELETE"])
    m.run(f"CREATE TRIGGER x {when} ON {name} FOR EACH {'ROW' if when < 'B' else m.random.choice(['ROW', 'STATEMENT'])} EXECUTE FUNCTION {used}()")
    return Thing("p", name)


@hop("trigger for all", "fv")
def _(m, t):
    name = m.table(is_plain=True)
    used = m.function(f"BEGIN PERFORM {t.name}(1); RETURN new; END", "", "trigger", more="")
    m.run(f"CREATE TRIGGER x AFTER INSERT OR UPDATE OR DELETE ON {name} FOR EACH ROW EXECUTE FUNCTION {used}()")
    return Thing("p", name)


row("trigger's condition", "fv", "p",
    "CREATE TRIGGER x BEFORE INSERT ON {n} FOR EACH ROW WHEN ({t}(new.a) < 0) EXECUTE FUNCTION suppress_redundant_updates_trigger()", table="a int")


@hop("deferred trigger", "fv")
def _(m, t):
    name = m.table()
    used = m.function(f"BEGIN PERFORM {t.name}(1); RETURN new; END", "", "trigger", more="")
    m.run(f"CREATE CONSTRAINT TRIGGER x AFTER INSERT ON {name} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {used}()")
    return Thing("p", name)


@hop("partition key", "f")
def _(m, t):
    name, part = m.table("a int", more=f"PARTITION BY RANGE ({t.name}(a))"), m.name()
    m.run(f"CREATE TABLE {part} PARTITION OF {name} FOR VALUES FROM (0) TO (999)")
    return Thing("r", name, (f"INSERT INTO {part} (a) VALUES (1)",))


row("domain's check", "fv", "t", "CREATE DOMAIN {n} AS int CHECK ({t}(VALUE) < 1000)")


@hop("domain's default", "fv")
def _(m, t):
    name = m.name()
    m.run(f"CREATE DOMAIN {name} AS int DEFAULT {t.name}(1)")
    table = m.table(f"a int, b {name}")
    return Thing("p", table)


@hop("cast", "fv")
def _(m, t):
    name = m.name()
    m.run(f"CREATE TYPE {name} AS (v int)")
    used = m.helper(t.name, f"x {name}", "int", "1")
    m.run(f"CREATE CAST ({name} AS int) WITH FUNCTION {used}({name}) AS IMPLICIT")
    maker = m.function(f"SELECT ROW(1)::{name}", "", name, "sql")
    return Thing("x", name, (f"SELECT CAST(ROW(1)::{name} AS int)", f"SELECT abs({maker}())", f"SELECT ({maker}())::int"))


@hop("cast of PostgreSQL's types", "fv")
def _(m, t):
    used = m.helper(t.name, "x int", "point", "NULL")
    m.run(f"CREATE CAST (int AS point) WITH FUNCTION {used}(int) AS IMPLICIT")
    return Thing("x", "", ("SELECT 1::point", "SELECT CAST(1 AS point)", "SELECT point_above(2, 3)"))


def ordering(m, t, type_name, is_default):
    """Operators that are harmless, in an operator class whose comparison is the function."""
    compared = m.helper(t.name, f"x {type_name}, y {type_name}", "int", "0")
    members = []
    for strategy in range(1, 6):
        symbol = m.symbol()
        used = m.function("SELECT true", f"x {type_name}, y {type_name}", "bool", "sql")
        m.run(f"CREATE OPERATOR {symbol} (LEFTARG = {type_name}, RIGHTARG = {type_name}, FUNCTION = {used})")
        members.append(f"OPERATOR {strategy} {symbol}")
    name = m.name()
    m.run(f"CREATE OPERATOR CLASS {name} {'DEFAULT ' if is_default else ''}FOR TYPE {type_name} USING btree AS "
          f"{', '.join(members)}, FUNCTION 1 {compared}({type_name}, {type_name})")
    return name


@hop("operator class", "fv")
def _(m, t):
    name = m.name()
    m.run(f"CREATE TYPE {name} AS (v int)")
    ordering(m, t, name, True)
    table = m.table(f"a {name}")
    m.run(f"INSERT INTO {table} VALUES (ROW(1)), (ROW(2))")
    return Thing("x", name, (f"SELECT v FROM (VALUES (ROW(1)::{name}), (ROW(2)::{name})) x(v) ORDER BY v", f"SELECT a FROM {table} ORDER BY a",
                             f"SELECT DISTINCT a FROM {table}", f"SELECT greatest(a, a) FROM {table}"))


@hop("operator of its own type", "fv")
def _(m, t):
    name = m.name()
    m.run(f"CREATE TYPE {name} AS (v int)")
    used = m.helper(t.name, f"x {name}, y {name}", "bool", "true")
    m.run(f"CREATE OPERATOR < (LEFTARG = {name}, RIGHTARG = {name}, FUNCTION = {used})")
    table = m.table(f"a {name}")
    m.run(f"INSERT INTO {table} VALUES (ROW(1))")
    return Thing("x", name, (f"SELECT ROW(1)::{name} < ROW(2)::{name}", f"SELECT a < a FROM {table}"))


@hop("hash function of an operator", "fv")
def _(m, t):
    symbol, name, used = m.symbol(), m.name(), m.helper(t.name, "x int", "int", "x")
    m.run(f"CREATE OPERATOR {symbol} (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, COMMUTATOR = {symbol}, HASHES)")
    m.run(f"CREATE OPERATOR CLASS {name} FOR TYPE int USING hash AS OPERATOR 1 {symbol}, FUNCTION 1 {used}(int)")
    return Thing("x", "", (f"SELECT v {symbol} ANY ('{{1,2,3,4,5,6,7,8,9,10}}') FROM generate_series(1, 2) v", f"SELECT 1 {symbol} 2"))


@hop("foreign key's operator", "fv")
def _(m, t):
    made, name = m.name(), m.name()
    m.run(f"CREATE TYPE {made} AS (v int)")
    m.run(f"CREATE OPERATOR FAMILY {name} USING btree; CREATE OPERATOR CLASS {name} FOR TYPE int USING btree FAMILY {name} AS OPERATOR 1 <, OPERATOR 2 <=, "
          "OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int)")
    same = m.function("BEGIN RETURN x = y.v; END", f"x int, y {made}", "bool")
    m.run(f"CREATE OPERATOR = (LEFTARG = int, RIGHTARG = {made}, FUNCTION = {same})")
    equal = m.function("BEGIN RETURN x.v = y.v; END", f"x {made}, y {made}", "bool")
    m.run(f"CREATE OPERATOR = (LEFTARG = {made}, RIGHTARG = {made}, FUNCTION = {equal})")
    compared = m.function("BEGIN RETURN x - y.v; END", f"x int, y {made}")
    m.run(f"ALTER OPERATOR FAMILY {name} USING btree ADD OPERATOR 3 = (int, {made}), OPERATOR 3 = ({made}, {made}), "
          f"FUNCTION 1 (int, {made}) {compared}(int, {made})")
    m.run(f"CREATE OR REPLACE FUNCTION {same}(x int, y {made}) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$BEGIN PERFORM {t.name}(1); RETURN x = y.v; END$$")
    keys, table = m.table(), m.table(f"a {made}")
    m.run(f"CREATE UNIQUE INDEX ON {keys} (a {name}); INSERT INTO {keys} VALUES (1), (2); ALTER TABLE {table} ADD FOREIGN KEY (a) REFERENCES {keys} (a)")
    m.run(f"INSERT INTO {table} VALUES (ROW(1))")
    return Thing("r", keys, (f"DELETE FROM {keys}",))


@hop("operator class of an index", "fv")
def _(m, t):
    used = ordering(m, t, "int", False)
    name = m.table()
    m.run(f"INSERT INTO {name} VALUES (1), (2); CREATE INDEX ON {name} (a {used})")
    return Thing("p", name)


@hop("exclusion constraint", "fv")
def _(m, t):
    symbol, name, used = m.symbol(), m.name(), m.helper(t.name, "x int, y int", "bool", "x = y")
    m.run(f"CREATE OPERATOR {symbol} (LEFTARG = int, RIGHTARG = int, FUNCTION = {used}, COMMUTATOR = {symbol})")
    m.run(f"CREATE OPERATOR CLASS {name} FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 {symbol}, OPERATOR 4 >=, OPERATOR 5 >, "
          "FUNCTION 1 btint4cmp(int, int)")
    table = m.table()
    m.run(f"INSERT INTO {table} VALUES (1); ALTER TABLE {table} ADD EXCLUDE USING btree (a {name} WITH {symbol})")
    return Thing("p", table)


@hop("default operator class of PostgreSQL's type", "fv")
def _(m, t):
    ordering(m, t, "point", True)
    return Thing("x", "", ("SELECT v FROM (VALUES (point(1, 1)), (point(2, 2))) x(v) ORDER BY v", "SELECT DISTINCT v FROM (VALUES (point(1, 1)), (point(2, 2))) x(v)"))


@hop("event trigger", "fv")
def _(m, t):
    used = m.function(f"BEGIN PERFORM {t.name}(1); END", "", "event_trigger", more="")
    m.run(f"CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION {used}()")
    return Thing("v", m.function("BEGIN DROP TABLE IF EXISTS nothing; RETURN 1; END", more=""),
                 ("SELECT 1 AS v INTO made_here", "CREATE TABLE made_here (v int)", "DROP VIEW IF EXISTS nothing"))


# From relations.

row("view of it", "rp", "r", "CREATE VIEW {n} AS SELECT a FROM {t}")
hop("body that reads it", "rp")(lambda m, t: Thing("v", m.function(f"SELECT count(*)::int FROM {t.name}", language="sql", more="STABLE")))
hop("body that writes it", "rp")(lambda m, t: Thing("v", m.function(f"BEGIN INSERT INTO {t.name} (a) VALUES (x); RETURN 1; EXCEPTION WHEN others THEN RETURN 1; END", more="")))
row("SQL-standard body that writes it", "p", "v",
    "CREATE FUNCTION {n}(x int) RETURNS int LANGUAGE sql BEGIN ATOMIC INSERT INTO {t} (a) VALUES (x); SELECT 1; END")
row("policy that reads it", "rp", "r",
    "INSERT INTO {n} VALUES (1); ALTER TABLE {n} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {n} USING (EXISTS (SELECT FROM {t}))", table="a int")
row("rule that writes it", "p", "p", "CREATE RULE r AS ON INSERT TO {n} DO ALSO INSERT INTO {t} (a) VALUES (new.a)", table="a int")
row("parent", "p", "r", "ALTER TABLE {t} INHERIT {n}; INSERT INTO {t} (a) VALUES (7)", table="a int")


@hop("partitioned parent", "p")
def _(m, t):
    name = m.table("a int, b int", more="PARTITION BY LIST (b)")
    part = m.name()
    used = m.function(f"BEGIN INSERT INTO {t.name} (a) VALUES (1); RETURN new; END", "", "trigger", more="")
    m.run(f"CREATE TABLE {part} PARTITION OF {name} DEFAULT; CREATE TRIGGER x BEFORE INSERT ON {part} FOR EACH ROW EXECUTE FUNCTION {used}()")
    return Thing("r", name)


@hop("cascade", "p")
def _(m, t):
    name = m.table("a int PRIMARY KEY")
    m.run(f"TRUNCATE {t.name}; INSERT INTO {name} VALUES (5); ALTER TABLE {t.name} ADD FOREIGN KEY (a) REFERENCES {name} (a) ON DELETE CASCADE ON UPDATE CASCADE; "
          f"INSERT INTO {t.name} (a) VALUES (5)")
    return Thing("r", name, (f"DELETE FROM {name}",))


@hop("trigger's argument", "p")
def _(m, t):
    if not re.fullmatch(r"name\d+", t.name):
        return Thing("x", "")
    name = m.table("a int")
    m.run(f"CREATE EXTENSION IF NOT EXISTS refint; INSERT INTO {name} VALUES (8); INSERT INTO {t.name} (a) VALUES (8); "
          f"CREATE TRIGGER x AFTER DELETE OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION check_foreign_key(1, 'cascade', 'a', '{t.name}', 'a')")
    return Thing("r", name, (f"DELETE FROM {name}",))


# From types.

hop("column of the type", "t")(lambda m, t: Thing("r", m.table(f"a {t.name}")))
row("column of an array of the type", "t", "x",
    "", "INSERT INTO {n} VALUES ('{{1,2}}')", "INSERT INTO {n} VALUES (ARRAY[1,2])", "SELECT * FROM {n}", table="a {t}[]")


@hop("composite of the type", "t")
def _(m, t):
    name = m.name()
    m.run(f"CREATE TYPE {name} AS (v {t.name})")
    table = m.table(f"a {name}")
    used = m.function("SELECT 1", f"x {name}", "int", "sql")
    return Thing("x", name, (f"SELECT '(1)'::{name}", f"SELECT ROW(1)::{name}", f"INSERT INTO {table} VALUES ('(1)')", f"SELECT {used}('(1)')",
                             f"INSERT INTO {table} VALUES (ROW(1))", f"SELECT jsonb_populate_record(NULL::{name}, '{{\"v\": 1}}')"))


hop("parameter of the type", "t")(lambda m, t: Thing("v", m.function("SELECT 1", f"x {t.name}", "int", "sql")))
hop("result of the type", "t")(lambda m, t: Thing("f", m.function("BEGIN RETURN x; END", "x int", t.name)))
row("domain over the type", "t", "t", "CREATE DOMAIN {n} AS {t}")


@hop("range over the type", "t")
def _(m, t):
    name = m.name()
    m.run(f"CREATE TYPE {name} AS RANGE (SUBTYPE = {t.name})")
    used = m.function("SELECT 1", f"x {name}", "int", "sql")
    return Thing("x", name, (f"SELECT '[1,2]'::{name}", f"SELECT {used}('[1,2]')", f"SELECT {name}(1, 2)"))


def spellings(m, name):
    plain = [] if name.startswith('"') else [name.upper(), f'"{name[:63]}"']
    return [name, f"public.{name}", f"public . /* x */ {name}"] + plain


def statements_of(m, t, count):
    """Up to so many statements that use the thing, and one that names it and does not."""
    n, s = t.name, lambda: m.random.choice(spellings(m, t.name))
    bare = n.strip('"')
    made = {
        "f": lambda: [f"SELECT {s()}(1)", f"SELECT {s()} /* x */ (1)", f"SELECT {s()}--\n(1)", f"SELECT * FROM {s()}(1) AS v", f"SELECT 1 WHERE {s()}(1) IS NULL",
                      f"WITH x AS (SELECT {s()}(1)) SELECT * FROM x", f"SELECT x.{n} FROM abs(1) x", f"VALUES ({s()}(2))", f"SELECT 1 ORDER BY {s()}(1)",
                      f"SELECT 1 LIMIT {s()}(1)", f"BEGIN; SELECT {s()}(1); COMMIT", f"SELECT (SELECT {s()}(v) FROM generate_series(1, 1) v)", f"SELECT 'x{bare}(1)'"],
        "r": lambda: [f"SELECT * FROM {s()}", f"SELECT count(*) FROM {s()} x WHERE x.a > 0", f"INSERT INTO {s()} (a) VALUES (3)", f"INSERT INTO {s()} (a) SELECT 4",
                      f"UPDATE {s()} SET a = 5", f"DELETE FROM {s()}", f"TABLE {s()}", f"WITH x AS (INSERT INTO {s()} (a) VALUES (6) RETURNING 1) SELECT * FROM x",
                      f"MERGE INTO {s()} x USING (SELECT 1 AS v) y ON x.a = v WHEN NOT MATCHED THEN INSERT (a) VALUES (9)", f"SELECT a FROM ONLY {s()}",
                      f"SELECT table_to_xml('{n}', true, true, '')", f"EXPLAIN ANALYZE SELECT a FROM {s()}", f"BEGIN; INSERT INTO {s()} (a) VALUES (2); COMMIT",
                      f"SELECT '{bare}'", f"BEGIN; LOCK {s()}; COMMIT", f"SELECT a FROM {s()} FOR UPDATE"],
        "t": lambda: [f"SELECT 1::{s()}", f"SELECT CAST(1 AS {s()})", f"SELECT {s()} '1'", f"SELECT NULL::{s()}[]", f"SELECT '{{1}}'::{s()}[]", f"SELECT '{bare}'",
                      f"SELECT array_in('{{1}}', '{n}'::regtype, -1)", f"SELECT * FROM jsonb_to_record('{{\"v\": 1}}') AS x(v {s()})"],
        "a": lambda: [f"SELECT {s()}(1)", f"SELECT {s()} (DISTINCT v) FROM generate_series(1, 2) v"],
        "x": lambda: [],
    }[{"p": "r", "v": "f"}.get(t.kind, t.kind)]()
    made = list(t.statements) + made
    return made if len(made) <= count else list(t.statements) + m.random.sample(made[len(t.statements):], max(0, count - len(t.statements)))


GRANTS = """ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC;
    GRANT ALL ON SCHEMA public TO PUBLIC"""


class Judged(NamedTuple):
    """statements: {SQL: (what it touched, its error)}; harmless: those of chains whose leaf touches nothing."""

    statements: dict
    harmless: set

    def missed(self, names):
        return [sql for sql, (parts, _) in self.statements.items() if parts & ~names.risk_of(sql)]

    def false_alarms(self, names):
        return [sql for sql in self.harmless if names.risk_of(sql) & STATE]


def make(maker, cursor, each):
    """Makes the database (cursor: a superuser's). Returns up to so many statements of each thing, each with its chain's effect."""
    cursor.execute(GRANTS)
    for sql in maker.ddl:
        try:
            cursor.execute(sql)
        except psycopg2.errors.InsufficientPrivilege:
            pass        # an index whose code fires a deferred trigger: PostgreSQL refuses to make it
        except psycopg2.Error as error:
            raise AssertionError(f"{error}: {sql}") from error
    made = {}
    for thing, effect in maker.things:
        for sql in statements_of(maker, thing, each):
            made.setdefault(sql, effect)
    return made


def judge(maker, cursor, dsn, each=99):
    """Makes the database, and lets PostgreSQL tell what these statements touch."""
    made = make(maker, cursor, each)
    truth = Truth(dsn)
    # A thing's own statements need what the others change.
    first = list(dict.fromkeys(sql for thing, _ in maker.things for sql in thing.statements))
    told = truth.all_touched(first, 1)
    told.update(truth.all_touched([sql for sql in made if sql not in told]))
    return Judged(told, {sql for sql, effect in made.items() if effect == 0 and told[sql][0] == 0})


def has_code(cursor):
    """pgweir reads no code where this is false."""
    cursor.execute(SETTINGS_OF_IT + question("_signs", "_any"))
    return "c" in {kind for kind, _, _ in cursor.fetchall()}


def names_of(cursor, asked=None):
    cursor.execute(SETTINGS_OF_IT + (asked or question()))
    rows = cursor.fetchall()
    names = Names(rows)
    assert asked or has_code(cursor) or not any([names.all, names.star, names.ddl, *(sum(risk) for risk in names.risks.values())])
    return names


def every_hop():
    """A database with each leaf, and each hop behind one."""
    maker = Maker(1, is_plain=True)
    before = {"f": [], "p": ["trigger for all"], "t": ["domain's check"], "r": ["view"]}
    for hop in (hop for hop in HOPS if hop not in WIDE):
        maker.chain(LOCKS, before[HOPS[hop][0][0]] + [hop], 0, 1)
    for effect, forms in LEAVES.items():
        for which in range(len(forms)):
            maker.chain(effect, ["body"], which, 1)
    return maker
