"""An operator of code that pgweir does not know counts by its symbol where SQL could choose it without a value of the new type, and
PostgreSQL says what it chooses: a view depends on it. Operators of T and u are made, T one of PostgreSQL's types and u a new one."""

import contextlib

import pytest

import riskydatabase as risky

pytestmark = pytest.mark.weir_only
SYMBOLS = "+ - * / % || && & | = < <> @> <@ ~ -> << ^ #".split()
TYPES = ("int2 int4 int8 float4 float8 numeric money text varchar bpchar name date time timestamp timestamptz interval inet cidr macaddr bit varbit "
         "bool bytea json jsonb uuid point box int4range int4[] text[] tsvector tsquery xml pg_lsn oid regclass \"char\" tid").split()
TAKEN = "int2 int4 int8 float8 numeric text varchar date timestamptz interval inet cidr varbit jsonb point int4range int4[] tsvector oid".split()
KINDS = {                           # u, and what else there is
    "plain": ("CATEGORY = 'U'", ""), "a number": ("CATEGORY = 'N'", ""), "preferred": ("CATEGORY = 'X', PREFERRED = true", ""),
    "a preferred number": ("CATEGORY = 'N', PREFERRED = true", ""), "a string": ("CATEGORY = 'S'", ""),
    "cast from text": ("CATEGORY = 'U'", "CREATE CAST (text AS u) WITH INOUT AS IMPLICIT"),
    "cast from int": ("CATEGORY = 'U'", "CREATE CAST (int4 AS u) WITH INOUT AS IMPLICIT"),
    "cast to text": ("CATEGORY = 'U'", "CREATE CAST (u AS text) WITH INOUT AS IMPLICIT"),
    **{name: (None, made) for name, made in (("a domain", "CREATE DOMAIN u AS int8"), ("a row", "CREATE TYPE u AS (v int)"), ("an enum", "CREATE TYPE u AS ENUM ('x', 'y')"),
                                             ("rows", "CREATE TYPE v AS (v int); CREATE DOMAIN u AS v[]"), ("a range", "CREATE TYPE u AS RANGE (SUBTYPE = int2)"))},
}
MADE = """CREATE TYPE u; CREATE FUNCTION u_in(cstring) RETURNS u LANGUAGE internal IMMUTABLE STRICT AS 'textin';
    CREATE FUNCTION u_out(u) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
    CREATE TYPE u (INPUT = u_in, OUTPUT = u_out, LIKE = text, {}); {}"""
OPERATORS = """CREATE FUNCTION c({0}, {1}) RETURNS bool LANGUAGE c AS '$libdir/isn', 'weak_input_status'; """
OPERATOR = "CREATE OPERATOR {2} (LEFTARG = {0}, RIGHTARG = {1}, FUNCTION = c);"
ASK = """DO $d$ DECLARE s text; e text; BEGIN
    FOREACH s IN ARRAY %s::text[] LOOP FOREACH e IN ARRAY %s::text[] LOOP
        BEGIN
            EXECUTE 'CREATE VIEW probe AS SELECT ' || replace(e, '?', s) || ' AS x';
            INSERT INTO chosen SELECT s, replace(e, '?', s) WHERE EXISTS (SELECT FROM pg_depend JOIN pg_rewrite r ON r.oid = objid
                WHERE classid = 'pg_rewrite'::regclass AND ev_class = 'probe'::regclass AND refclassid = 'pg_operator'::regclass AND refobjid >= 16384);
            DROP VIEW probe;
        EXCEPTION WHEN others THEN NULL;
        END;
    END LOOP; END LOOP; END $d$"""
EXPRESSIONS = ["'x' ? 'y'"] + [form for t in TYPES for form in (f"NULL::{t} ? 'x'", f"'x' ? NULL::{t}")]
MIXED = [f"NULL::{a} ? NULL::{b}" for a in ("int2", "int4", "int8", "float8", "text") for b in ("int4", "int8", "numeric", "text")] + [f"NULL::{t} ? {row}" for t in TAKEN for row in ("ROW(1)", "ARRAY[ROW(1)]")]


def new_type(kind):
    category, more = KINDS[kind]
    return f"{MADE.format(category, more) if category else more}; CREATE TABLE chosen (symbol text, sql text);"


def by_symbol(postgres, kind, t, expressions):
    """What PostgreSQL chooses an operator of T and u for, as {symbol: SQL}, and the symbols that count."""
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        cursor.execute("BEGIN; " + new_type(kind))
        for left, right in ((t, "u"), ("u", t)):
            cursor.execute(OPERATORS.format(left, right) + "".join(OPERATOR.format(left, right, s) for s in SYMBOLS))
        cursor.execute(ASK, [SYMBOLS, expressions])
        cursor.execute("SELECT * FROM chosen")
        chosen = dict(cursor.fetchall())
        counted = {name for (name, what), risk in risky.names_of(cursor).risks.items() if what == "o" and risk[0]}
        cursor.execute("ROLLBACK")
    return chosen, counted


@pytest.mark.parametrize("t", TAKEN)
def test_what_constants_can_choose_counts_by_its_symbol(postgres, t):
    chosen, counted = by_symbol(postgres, "plain", t, EXPRESSIONS)
    assert {symbol: sql for symbol, sql in chosen.items() if symbol not in counted} == {}


@pytest.mark.parametrize("t", ["int4", "int8", "inet"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "plain"])
def test_it_does_so_whatever_the_new_type_is_like(postgres, kind, t):
    chosen, counted = by_symbol(postgres, kind, t, EXPRESSIONS + MIXED)
    assert {symbol: sql for symbol, sql in chosen.items() if symbol not in counted} == {}


def test_usual_operators_do_not_count(postgres):
    """As ip4r's, pgmp's and unit's, which made i + 1 cost a connection in a database that has them."""
    counted = by_symbol(postgres, "plain", "int4", [])[1]
    assert counted & {"+", "-", "*", "/", "%", "=", "<"} == set()
    assert by_symbol(postgres, "plain", "text", [])[1] & {"||", "=", "<"} == set()


def test_an_operator_that_is_named_with_its_schema_counts(postgres):
    with contextlib.closing(postgres.connect("app2")) as db, db.cursor() as cursor:
        cursor.execute("BEGIN; " + new_type("plain") + OPERATORS.format("int4", "u") + OPERATOR.format("int4", "u", "+"))
        names = risky.names_of(cursor)
        cursor.execute("SELECT 1 OPERATOR(public.+) NULL")
        cursor.execute("ROLLBACK")
    assert names.risk_of("SELECT 1 + '1'") == 0 and names.risk_of("SELECT 1 OPERATOR(public.+) 'x'") & 256
