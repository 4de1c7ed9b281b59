"""State that a session keeps though no SQL text shows it: kinds of state, ways in which a database's own code leaves them,
and how a client runs such a statement.

A Row is one combination: what client A sends. probe() is what client B asks afterwards: all that a session has.
prove() runs a row straight with PostgreSQL and tells what it left in that session; a row that leaves nothing proves
nothing about a pooler, and is left out with PostgreSQL's reason.
"""

import json
import os
import struct
from contextlib import closing
from typing import NamedTuple

from rawwire import (bind, copy_data, copy_done, errors, execute, flush, function_call, one_statement, parse,
                     query, shape, sync, terminate, texts)

BOSS = "sealed_boss"                # a superuser; web is everybody else
CLERK = "sealed_clerk"              # a role web may become
MARK = "left_by_a"


IS_ALL = os.environ.get("PGWEIR_SEALED") == "all"       # half an hour instead of two minutes


class Kind(NamedTuple):
    """statement leaves it; unless: an SQL condition under which it is there already, for what can't be made twice."""

    name: str
    statement: str
    unless: str = ""
    user: str = "web"


def setting(kind, name, value, user="web"):
    return Kind(kind, f"SELECT set_config('{name}', '{value}', false)", user=user)


SETTINGS = {                        # kind: name and value, for ways that need just these
    "custom": ("app.user_id", MARK),
    "TimeZone": ("TimeZone", "Asia/Tokyo"),
    "DateStyle": ("DateStyle", "German"),
    "application_name": ("application_name", MARK),
    "search_path": ("search_path", "pg_catalog, sealed_elsewhere"),
    "work_mem": ("work_mem", "7MB"),
    "statement_timeout": ("statement_timeout", "77s"),
    "strings": ("standard_conforming_strings", "off"),
    "read_only": ("default_transaction_read_only", "on"),
    "client_encoding": ("client_encoding", "LATIN1"),
    "role": ("role", CLERK),
    "authorization": ("session_authorization", "web"),
    "replica": ("session_replication_role", "replica"),
}
NEEDS_BOSS = ("authorization", "replica")

KINDS = {kind.name: kind for kind in (
    *(setting(kind, name, value, BOSS if kind in NEEDS_BOSS else "web") for kind, (name, value) in SETTINGS.items()),
    Kind("nine", f"SELECT set_config('app.s' || i, '{MARK}', false) FROM generate_series(1, 9) i"),
    Kind("temp_table", f"CREATE TEMP TABLE IF NOT EXISTS {MARK} (v text)"),
    Kind("temp_view", f"CREATE OR REPLACE TEMP VIEW {MARK} AS SELECT 1 AS v"),
    Kind("temp_function", f"CREATE OR REPLACE FUNCTION pg_temp.{MARK}() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    Kind("temp_type", f"CREATE TYPE pg_temp.{MARK} AS ENUM ('x')",
         f"EXISTS (SELECT FROM pg_type WHERE typname = '{MARK}' AND typnamespace = pg_my_temp_schema())"),
    Kind("lock", "SELECT pg_advisory_lock(4711)"),
    Kind("lock_shared", "SELECT pg_try_advisory_lock_shared(47, 11)"),
    Kind("listen", f"LISTEN {MARK}"),
    Kind("cursor", f"DECLARE {MARK} CURSOR WITH HOLD FOR SELECT 1", f"EXISTS (SELECT FROM pg_cursors WHERE name = '{MARK}')"),
    Kind("prepared", f"PREPARE {MARK} AS SELECT 1",
         f"EXISTS (SELECT FROM pg_prepared_statements WHERE name = '{MARK}')"),
    Kind("sequence", "SELECT nextval('sealed.numbers')"),
    Kind("seed", "SELECT setseed(0.25)"),
    Kind("origin", f"SELECT pg_replication_origin_session_setup('{MARK}')",
         "pg_replication_origin_session_is_setup()", BOSS),
    Kind("slot", f"SELECT pg_create_physical_replication_slot('{MARK}', true, true)",
         "EXISTS (SELECT FROM pg_replication_slots WHERE active_pid = pg_backend_pid())", BOSS),
    Kind("dblink", f"SELECT sealed.dblink_connect('{MARK}', 'DBLINK')", "sealed.dblink_get_connections() IS NOT NULL",
         BOSS),
    Kind("load", "LOAD 'auto_explain'", user=BOSS),
)}


# --- what B asks ------------------------------------------------------------------------------------------------

# Everything a session has, as one value of JSON. Settings that are not there and empty ones are the same: no statement
# tells PostgreSQL to forget a name.
STATE = """
SELECT json_build_object(
    'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name NOT LIKE '%.%'),
    'library', EXISTS (SELECT FROM pg_settings WHERE name LIKE 'auto_explain.%'),
    'custom', (SELECT json_object_agg(n, coalesce(current_setting(n, true), '')) FROM unnest(
        '{app.user_id,app.s1,app.s2,app.s3,app.s4,app.s5,app.s6,app.s7,app.s8,app.s9}'::text[]) n),
    'user', current_user, 'session_user', session_user, 'role', current_setting('role'),
    'authorization', current_setting('session_authorization'),
    'temporary', (SELECT json_agg(n) FROM (
        SELECT relname AS n FROM pg_class WHERE relnamespace = pg_my_temp_schema()
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = pg_my_temp_schema()
        UNION ALL SELECT typname FROM pg_type WHERE typnamespace = pg_my_temp_schema()) t),
    'locks', (SELECT json_agg(concat_ws('/', classid, objid, objsubid, mode)) FROM pg_locks
              WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    'channels', (SELECT json_agg(c) FROM pg_listening_channels() c),
    'cursors', (SELECT json_agg(name) FROM pg_cursors WHERE is_holdable),
    'prepared', (SELECT json_agg(name) FROM pg_prepared_statements WHERE from_sql),
    'slots', (SELECT json_agg(slot_name) FROM pg_replication_slots WHERE active_pid = pg_backend_pid()),
    'random', random()::text)
"""
# In a database with code of its own the question is a view, so that B's text is innocent too.
VIEW = "SELECT state, octet_length('\u00fc') FROM sealed.state"
BOSS_VIEW = "SELECT state, octet_length('\u00fc') FROM sealed.boss_state"
# In one without, the text says it all.
TEXT = STATE + ", octet_length('\u00fc')"


def probe(user, is_bare):
    if is_bare:
        return TEXT
    return BOSS_VIEW if user == BOSS else VIEW


class Answer:
    """What B was told, and how it differs from what a clean session tells."""

    def __init__(self, replies):
        self.failed = [reply.error for reply in errors(replies)]
        rows = [row for row in texts(replies) if len(row) == 2]
        self.state = json.loads(rows[0][0]) if rows else {}
        self.state["bytes"] = rows[0][1] if rows else None
        self.random = self.state.pop("random", None)

    def differs(self, clean, seeded):
        found = [f"failed: {fields.get('C')} {fields.get('M')}" for fields in self.failed]
        for name in sorted({*self.state, *clean.state}):
            mine, theirs = self.state.get(name), clean.state.get(name)
            if mine == theirs:
                continue
            if isinstance(mine, dict) and isinstance(theirs, dict):
                found += [f"{key} = {mine.get(key)!r}" for key in sorted({*mine, *theirs})
                          if mine.get(key) != theirs.get(key)]
            else:
                found.append(f"{name}: {mine!r}, not {theirs!r}")
        if self.random in seeded:
            found.append("random() goes on where setseed() began")
        return found


def seeded_numbers(postgres, dbname):
    """What random() gives after the seed."""
    with closing(postgres.connect(dbname)) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT setseed(0.25)")
            cursor.execute("SELECT random()::text FROM generate_series(1, 60)")
            return {row[0] for row in cursor.fetchall()}


# --- the database's own code ------------------------------------------------------------------------------------

ROLES = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{BOSS}') THEN CREATE ROLE {BOSS} LOGIN SUPERUSER; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{CLERK}') THEN
        CREATE ROLE {CLERK}; GRANT {CLERK} TO web; END IF;
    IF NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = '{MARK}') THEN
        PERFORM pg_replication_origin_create('{MARK}'); END IF;
END $$
"""

COMMON = """
CREATE SCHEMA sealed;
CREATE SEQUENCE sealed.numbers;
{extension}
CREATE TABLE sealed.document (owner text, title text);
INSERT INTO sealed.document VALUES ('left_by_a', 'a secret of A');
ALTER TABLE sealed.document ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON sealed.document USING (owner = current_setting('app.user_id', true));
CREATE VIEW sealed.state WITH (security_invoker) AS SELECT json_build_object(
    'rows', (SELECT json_agg(title) FROM sealed.document))::jsonb || s.state::jsonb AS state FROM (STATE) s (state);
CREATE VIEW sealed.boss_state WITH (security_invoker) AS SELECT state || json_build_object(
    'origin', pg_replication_origin_session_is_setup(){dblink})::jsonb AS state FROM sealed.state;
CREATE FUNCTION sealed.on_comment() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {on_comment} END $$;
CREATE EVENT TRIGGER sealed_comment ON ddl_command_end WHEN TAG IN ('COMMENT') EXECUTE FUNCTION sealed.on_comment();
GRANT USAGE ON SCHEMA sealed TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA sealed TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA sealed TO PUBLIC;
"""

# {s} is a schema of its own for each kind. fn() lies about itself, as functions in indexes and the like often do.
CODE = """
CREATE SCHEMA {s};
CREATE FUNCTION {s}.leave() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {static} RETURN 1; END $f$;
CREATE FUNCTION {s}.fn(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN PERFORM {s}.leave(); RETURN $1; END $f$;
CREATE FUNCTION {s}.row_tg() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {static}
    IF tg_op = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $f$;
CREATE FUNCTION {s}.built() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {built} RETURN 1; END $f$;
CREATE FUNCTION {s}.text_sql() RETURNS int LANGUAGE sql AS $f$ {statement}; SELECT 1 $f$;
CREATE FUNCTION {s}.sql_call() RETURNS int LANGUAGE sql AS $f$ SELECT {s}.leave() $f$;
CREATE FUNCTION {s}.atomic() RETURNS int BEGIN ATOMIC SELECT {s}.leave(); END;
CREATE FUNCTION {s}.definer() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN {static} RETURN 1; END $f$;
CREATE FUNCTION {s}.local_set() RETURNS int LANGUAGE plpgsql SET geqo = off AS $f$ BEGIN {static} RETURN 1; END $f$;
CREATE FUNCTION {s}.srf() RETURNS SETOF int LANGUAGE plpgsql AS $f$ BEGIN {static} RETURN NEXT 1; RETURN NEXT 2; END $f$;
CREATE FUNCTION {s}.caught() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN
    BEGIN {static} RAISE EXCEPTION 'undone'; EXCEPTION WHEN raise_exception THEN RETURN 1; END; END $f$;
CREATE FUNCTION {s}.caught_before() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN
    {static} BEGIN RAISE EXCEPTION 'x'; EXCEPTION WHEN raise_exception THEN RETURN 1; END; END $f$;
CREATE FUNCTION {s}.in_handler() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN
    RAISE EXCEPTION 'x'; EXCEPTION WHEN raise_exception THEN {static} RETURN 1; END $f$;
CREATE PROCEDURE {s}.pr() LANGUAGE plpgsql AS $f$ BEGIN {static} END $f$;
CREATE PROCEDURE {s}.pr_commit() LANGUAGE plpgsql AS $f$ BEGIN {static} COMMIT; PERFORM 1; END $f$;
CREATE PROCEDURE {s}.pr_rollback() LANGUAGE plpgsql AS $f$ BEGIN {static} ROLLBACK; PERFORM 1; END $f$;
CREATE TABLE {s}.t_before (v int); CREATE TRIGGER x BEFORE INSERT ON {s}.t_before FOR EACH ROW EXECUTE FUNCTION {s}.row_tg();
CREATE TABLE {s}.t_after (v int); CREATE TRIGGER x AFTER INSERT ON {s}.t_after FOR EACH ROW EXECUTE FUNCTION {s}.row_tg();
CREATE TABLE {s}.t_before_s (v int); CREATE TRIGGER x BEFORE INSERT ON {s}.t_before_s EXECUTE FUNCTION {s}.row_tg();
CREATE TABLE {s}.t_after_s (v int); CREATE TRIGGER x AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {s}.t_after_s
    EXECUTE FUNCTION {s}.row_tg();
CREATE TABLE {s}.t_deferred (v int); CREATE CONSTRAINT TRIGGER x AFTER INSERT ON {s}.t_deferred
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {s}.row_tg();
CREATE TABLE {s}.t_when (v int); CREATE TRIGGER x BEFORE INSERT ON {s}.t_when FOR EACH ROW
    WHEN ({s}.leave() < 0) EXECUTE FUNCTION {s}.row_tg();
CREATE TABLE {s}.parent (id int PRIMARY KEY); INSERT INTO {s}.parent VALUES (1);
CREATE TABLE {s}.child (id int REFERENCES {s}.parent ON UPDATE CASCADE); INSERT INTO {s}.child VALUES (1);
CREATE TRIGGER x BEFORE UPDATE ON {s}.child FOR EACH ROW EXECUTE FUNCTION {s}.row_tg();
CREATE VIEW {s}.v AS SELECT {s}.leave() AS v;
CREATE VIEW {s}.v2 AS SELECT v FROM {s}.v WHERE v > 0;
CREATE VIEW {s}.v_immutable AS SELECT {s}.fn(1) AS v;
CREATE VIEW {s}.v_instead AS SELECT 1 AS v;
CREATE TRIGGER x INSTEAD OF INSERT ON {s}.v_instead FOR EACH ROW EXECUTE FUNCTION {s}.row_tg();
CREATE TABLE {s}.t_also (v int); CREATE RULE x AS ON INSERT TO {s}.t_also DO ALSO SELECT {s}.leave();
CREATE TABLE {s}.t_insteadof (v int); CREATE RULE x AS ON INSERT TO {s}.t_insteadof DO INSTEAD SELECT {s}.leave();
CREATE TABLE {s}.t_using (v int); INSERT INTO {s}.t_using VALUES (1); ALTER TABLE {s}.t_using ENABLE ROW LEVEL SECURITY;
CREATE POLICY x ON {s}.t_using USING ({s}.leave() > 0);
CREATE TABLE {s}.t_with (v int); ALTER TABLE {s}.t_with ENABLE ROW LEVEL SECURITY;
CREATE POLICY x ON {s}.t_with FOR INSERT WITH CHECK ({s}.leave() > 0);
CREATE TABLE {s}.t_default (v int, w int DEFAULT {s}.leave());
CREATE TABLE {s}.t_check (v int CHECK (v < {s}.leave() + 1000));
CREATE DOMAIN {s}.d AS int CHECK (VALUE < {s}.leave() + 1000);
CREATE TABLE {s}.t_domain (v {s}.d);
CREATE TABLE {s}.t_generated (v int, w int GENERATED ALWAYS AS ({s}.fn(v)) STORED);
CREATE TABLE {s}.t_index (v int); CREATE INDEX ON {s}.t_index ({s}.fn(v));
CREATE TABLE {s}.t_partial (v int); CREATE INDEX ON {s}.t_partial (v) WHERE {s}.fn(v) > 0;
CREATE TABLE {s}.t_part (v int) PARTITION BY LIST ({s}.fn(v)); CREATE TABLE {s}.t_part1 PARTITION OF {s}.t_part DEFAULT;
CREATE TYPE {s}.ty AS ENUM ('x'); CREATE TABLE {s}.t_ty (v {s}.ty); INSERT INTO {s}.t_ty VALUES ('x');
CREATE TYPE {s}.ty2 AS ENUM ('x'); CREATE TABLE {s}.t_ty2 (v {s}.ty2); INSERT INTO {s}.t_ty2 VALUES ('x');
CREATE FUNCTION {s}.ty_int({s}.ty) RETURNS int LANGUAGE sql AS $f$ SELECT {s}.leave() $f$;
CREATE FUNCTION {s}.ty2_int({s}.ty2) RETURNS int LANGUAGE sql AS $f$ SELECT {s}.leave() $f$;
CREATE FUNCTION {s}.ty_eq({s}.ty, {s}.ty) RETURNS bool LANGUAGE sql AS $f$ SELECT {s}.leave() > 0 $f$;
CREATE CAST ({s}.ty AS int) WITH FUNCTION {s}.ty_int({s}.ty) AS ASSIGNMENT;
CREATE CAST ({s}.ty2 AS int) WITH FUNCTION {s}.ty2_int({s}.ty2) AS IMPLICIT;
CREATE TABLE {s}.t_plain (v int);
CREATE OPERATOR public.=== (LEFTARG = {s}.ty, RIGHTARG = {s}.ty, FUNCTION = {s}.ty_eq);
CREATE FUNCTION {s}.ty_sum(int, {s}.ty) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {static} RETURN $1 + 1; END $f$;
CREATE FUNCTION {s}.int_sum(int, int) RETURNS int LANGUAGE sql AS $f$ SELECT $1 + $2 $f$;
CREATE FUNCTION {s}.int_final(int) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {static} RETURN $1; END $f$;
CREATE AGGREGATE public.sum({s}.ty) (SFUNC = {s}.ty_sum, STYPE = int, INITCOND = '0');
CREATE AGGREGATE {s}.total(int) (SFUNC = {s}.int_sum, STYPE = int, INITCOND = '0', FINALFUNC = {s}.int_final);
CREATE FUNCTION public.length({s}.ty) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {static} RETURN 1; END $f$;
CREATE FUNCTION public.att({s}.t_ty) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {static} RETURN 1; END $f$;
CREATE FUNCTION {s}.now() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {static} RETURN 1; END $f$;
CREATE TYPE {s}.pair AS (a int, b int); CREATE TABLE {s}.t_pair (v {s}.pair);
INSERT INTO {s}.t_pair VALUES ((1, 2)), ((2, 1));
CREATE FUNCTION {s}.cmp({s}.pair, {s}.pair) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $f$ BEGIN PERFORM {s}.leave(); RETURN 0; END $f$;
CREATE FUNCTION {s}.lt({s}.pair, {s}.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS $f$ SELECT {s}.cmp($1, $2) < 0 $f$;
CREATE FUNCTION {s}.eq({s}.pair, {s}.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS $f$ SELECT {s}.cmp($1, $2) = 0 $f$;
CREATE OPERATOR {s}.< (LEFTARG = {s}.pair, RIGHTARG = {s}.pair, FUNCTION = {s}.lt);
CREATE OPERATOR {s}.= (LEFTARG = {s}.pair, RIGHTARG = {s}.pair, FUNCTION = {s}.eq);
CREATE OPERATOR CLASS {s}.pair_ops DEFAULT FOR TYPE {s}.pair USING btree AS
    OPERATOR 1 {s}.<, OPERATOR 3 {s}.=, FUNCTION 1 {s}.cmp({s}.pair, {s}.pair);
CREATE MATERIALIZED VIEW {s}.m AS SELECT 1 AS v WITH NO DATA;
CREATE TABLE {s}.t_own (v int); INSERT INTO {s}.t_own VALUES (1);
CREATE FUNCTION {s}.alias_config(text, text, bool) RETURNS text LANGUAGE internal AS 'set_config_by_name';
CREATE FUNCTION {s}.alias_lock(bigint) RETURNS void LANGUAGE internal AS 'pg_advisory_lock_int8';
CREATE FUNCTION {s}.alias_next(regclass) RETURNS bigint LANGUAGE internal AS 'nextval_oid';
CREATE FUNCTION {s}.alias_seed(float8) RETURNS void LANGUAGE internal AS 'setseed';
GRANT USAGE ON SCHEMA {s} TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA {s} TO PUBLIC;
"""

# Relations that belong to the client, so that it may run utility statements on them; their code runs in its name then.
OWNED = """
DROP MATERIALIZED VIEW {s}.m; CREATE MATERIALIZED VIEW {s}.m AS SELECT {s}.leave() AS v WITH NO DATA;
CREATE FUNCTION {s}.fn_own(int) RETURNS int LANGUAGE sql IMMUTABLE AS $f$ SELECT 1 $f$;
CREATE INDEX ON {s}.t_own ({s}.fn_own(v));
CREATE OR REPLACE FUNCTION {s}.fn_own(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN RETURN {s}.fn($1); END $f$;
ALTER TABLE {s}.t_own OWNER TO {user}; ALTER MATERIALIZED VIEW {s}.m OWNER TO {user};
"""


def static(kind):
    """The kind's statement as plpgsql says it."""
    said = "PERFORM" + kind.statement[6:] if kind.statement.startswith("SELECT") else kind.statement
    if said.startswith("DECLARE"):          # means something else there
        said = f"EXECUTE '{said}'"
    return f"IF NOT {kind.unless} THEN {said}; END IF;" if kind.unless else f"{said};"


def built(kind):
    """The same, by a text that nobody reads."""
    said = f"EXECUTE reverse('{kind.statement[::-1].replace(chr(39), chr(39) * 2)}')"
    return f"IF NOT {kind.unless} THEN {said}; END IF;" if kind.unless else f"{said};"


# What can't be undone makes pgweir close each connection of that database, so that it would hide the rest.
BACKEND = ("origin", "slot", "dblink", "load")
ON_COMMENT = """EXECUTE format('SELECT %I.leave()',
    split_part((SELECT object_identity FROM pg_event_trigger_ddl_commands()), '.', 1));"""


def make_database(postgres, dbname, names, has_dynamic=True):
    """A database with the code of these kinds; without has_dynamic, no part of it runs SQL that it builds, which could do
    anything. No kinds: one without a line of code."""
    postgres.query(f"CREATE DATABASE {dbname}", dbname="postgres")
    with closing(postgres.connect(dbname)) as connection:
        with connection.cursor() as cursor:
            cursor.execute("GRANT ALL ON SCHEMA public TO PUBLIC")
            if not names:
                cursor.execute("CREATE SCHEMA sealed; CREATE SEQUENCE sealed.numbers; GRANT USAGE ON SCHEMA sealed "
                               "TO PUBLIC; GRANT ALL ON SEQUENCE sealed.numbers TO PUBLIC")
                return
            is_linked = "dblink" in names
            words = {"extension": "CREATE EXTENSION dblink SCHEMA sealed;" if is_linked else "",
                     "dblink": ", 'dblink', sealed.dblink_get_connections()" if is_linked else "",
                     "on_comment": ON_COMMENT if has_dynamic else f"PERFORM u_{names[0].lower()}.leave();"}
            common = COMMON.replace("'{app", "'{{app").replace("s9}'", "s9}}'")
            cursor.execute(common.format(**words).replace("STATE", STATE))
            for kind in (real(KINDS[name], postgres, dbname) for name in names):
                words = {"s": schema(kind), "statement": kind.statement, "static": static(kind),
                         "built": built(kind) if has_dynamic else static(kind), "user": kind.user}
                cursor.execute(CODE.format(**words))
                cursor.execute(OWNED.format(**words))


def make_roles(postgres):
    postgres.query(ROLES, dbname="postgres")


def real(kind, postgres, dbname):
    """Where dblink connects to."""
    there = f"host={postgres.host} port={postgres.port} dbname={dbname} user=postgres"
    return kind._replace(statement=kind.statement.replace("DBLINK", there))


def schema(kind):
    return "u_" + kind.name.lower()


# --- ways -------------------------------------------------------------------------------------------------------

class Way(NamedTuple):
    """One statement that leaves the state. is_rows: it may stand where a SELECT may; is_planned: it can be prepared by
    SQL; copy: the table that COPY FROM STDIN into does the same."""

    name: str
    sql: str
    copy: str = ""
    is_rows: bool = False
    is_planned: bool = True
    values: tuple = ()              # of parameters: $1 ...
    raw: bytes = b""                # instead of SQL
    is_alone: bool = False          # can't run in a transaction block
    ahead: str = ""                 # runs before it, in the same transaction


def insert(name, table, columns="", values="(1)"):
    return Way(name, f"INSERT INTO {table}{columns} VALUES {values}", copy=table + columns)


def rows(name, sql):
    return Way(name, sql, is_rows=True)


def utility(name, sql, **more):
    return Way(name, sql, is_planned=False, **more)


def ways_by_code(kind):
    """By the code in the kind's schema."""
    s = schema(kind)
    return [
        insert("trigger before row", f"{s}.t_before"), insert("trigger after row", f"{s}.t_after"),
        insert("trigger before statement", f"{s}.t_before_s"), insert("trigger after statement", f"{s}.t_after_s"),
        insert("deferred trigger", f"{s}.t_deferred"), insert("trigger's WHEN", f"{s}.t_when"),
        Way("trigger of an update of nothing", f"UPDATE {s}.t_after_s SET v = 2 WHERE false"),
        Way("trigger of a deletion of nothing", f"DELETE FROM {s}.t_after_s WHERE false"),
        utility("trigger of TRUNCATE", f"TRUNCATE {s}.t_after_s"),
        Way("trigger by MERGE", f"MERGE INTO {s}.t_before t USING (VALUES (1)) n (v) ON false "
                                "WHEN NOT MATCHED THEN INSERT VALUES (n.v)"),
        Way("trigger within WITH", f"WITH x AS (INSERT INTO {s}.t_after VALUES (1) RETURNING v) SELECT v FROM x"),
        Way("foreign key's cascade", f"UPDATE {s}.parent SET id = id + 1"),
        insert("INSTEAD OF trigger", f"{s}.v_instead"),
        rows("view", f"SELECT * FROM {s}.v"), rows("view of a view", f"SELECT * FROM {s}.v2"),
        rows("TABLE of a view", f"TABLE {s}.v"), rows("view with an immutable function", f"SELECT * FROM {s}.v_immutable"),
        Way("rule ALSO", f"INSERT INTO {s}.t_also VALUES (1)"),
        Way("rule INSTEAD", f"INSERT INTO {s}.t_insteadof VALUES (1)"),
        rows("policy USING", f"SELECT * FROM {s}.t_using"), insert("policy WITH CHECK", f"{s}.t_with"),
        insert("default", f"{s}.t_default", " (v)"), insert("check", f"{s}.t_check"),
        insert("domain's check", f"{s}.t_domain"), rows("cast to a domain", f"SELECT 1::{s}.d"),
        insert("generated column", f"{s}.t_generated", " (v)"), insert("index on an expression", f"{s}.t_index"),
        insert("partial index", f"{s}.t_partial"), insert("partition key", f"{s}.t_part"),
        Way("assignment cast", f"INSERT INTO {s}.t_plain SELECT v FROM {s}.t_ty"),
        rows("implicit cast", f"SELECT v + 1 FROM {s}.t_ty2"),
        rows("operator", f"SELECT v === v FROM {s}.t_ty"),
        rows("aggregate", f"SELECT sum(v) FROM {s}.t_ty"), rows("final function", f"SELECT {s}.total(1)"),
        rows("window aggregate", f"SELECT sum(v) OVER () FROM {s}.t_ty"),
        rows("overloaded builtin", f"SELECT length(v) FROM {s}.t_ty"),
        rows("attribute notation", f"SELECT t.att FROM {s}.t_ty t"),
        rows("operator class", f"SELECT v FROM {s}.t_pair ORDER BY v"),
        rows("DISTINCT by operator class", f"SELECT DISTINCT v FROM {s}.t_pair"),
        utility("event trigger", f"COMMENT ON TABLE {s}.t_own IS 'x'"),
        utility("REFRESH", f"REFRESH MATERIALIZED VIEW {s}.m"), utility("ANALYZE", f"ANALYZE {s}.t_own"),
        utility("REINDEX", f"REINDEX TABLE {s}.t_own"),
        Way("builtin hidden by search_path", "SELECT now()", is_rows=True,
            ahead=f"SET LOCAL search_path = {s}, pg_catalog, public"),
        *(rows(f"function {name}", f"SELECT {s}.{name}()") for name in (
            "leave", "built", "text_sql", "sql_call", "atomic", "definer", "local_set", "caught", "caught_before",
            "in_handler")),
        rows("function of rows", f"SELECT * FROM {s}.srf()"), rows("function in LATERAL",
            f"SELECT * FROM (VALUES (1)) x, LATERAL {s}.srf()"),
        utility("procedure", f"CALL {s}.pr()"), utility("procedure with COMMIT", f"CALL {s}.pr_commit()", is_alone=True),
        utility("procedure with ROLLBACK", f"CALL {s}.pr_rollback()", is_alone=True),
        rows("query_to_xml of a view", f"SELECT query_to_xml('TABLE {s}.v', true, true, '')"),
        rows("table_to_xml", f"SELECT table_to_xml('{s}.v', true, true, '')"),
        rows("function's name in a variable", f"SELECT query_to_xml('SELECT ' || n || '()', true, true, '') "
                                               f"FROM (VALUES ('{s}.built')) x (n)"),
    ]


def ways_by_alias(kind, s):
    """By functions in LANGUAGE internal with names of their own."""
    if kind.name in SETTINGS:
        name, value = SETTINGS[kind.name]
        return [rows("internal alias", f"SELECT {s}.alias_config('{name}', '{value}', false)")]
    calls = {"lock": "alias_lock(4711)", "sequence": "alias_next('sealed.numbers')", "seed": "alias_seed(0.25)"}
    return [rows("internal alias", f"SELECT {s}.{calls[kind.name]}")] if kind.name in calls else []


def ways_without_code(kind, oids):
    """By what PostgreSQL brings along, so in a database without a line of code too."""
    built_text = kind.statement[::-1].replace("'", "''")
    found = [Way("the statement itself", kind.statement, is_rows=kind.statement.startswith("SELECT"),
                 is_planned=kind.statement.startswith("SELECT")),
             utility("DO", f"DO $$ BEGIN {static(kind)} END $$"),
             utility("DO of a built text", f"DO $$ BEGIN {built(kind)} END $$"),
             utility("DO within DO", f"DO $$ BEGIN EXECUTE 'DO ' || quote_literal('BEGIN ' || reverse("
                                     f"'{static(kind)[::-1].replace(chr(39), chr(39) * 2)}') || ' END'); END $$")]
    if kind.statement.startswith("SELECT"):
        found += [rows("query_to_xml", f"SELECT query_to_xml(reverse('{built_text}'), true, true, '')"),
                  Way("query_to_xml of a bound text", "SELECT query_to_xml($1, true, true, '')", is_rows=True,
                      values=(kind.statement,))]
    if kind.name in SETTINGS:
        found += ways_to_set(*SETTINGS[kind.name], oids)
    found += {
        "lock": [Way("fastpath", "", raw=function_call(oids["pg_advisory_lock(bigint)"], (struct.pack("!q", 4711),)))],
        "sequence": [Way("fastpath", "", raw=function_call(
            oids["nextval(regclass)"], (struct.pack("!I", oids["sealed.numbers"]),)))],
        "seed": [Way("fastpath", "", raw=function_call(oids["setseed(float8)"], (struct.pack("!d", 0.25),)))],
    }.get(kind.name, [])
    if kind.name == "nine":
        found += [utility("DO with a loop", "DO $$ BEGIN FOR i IN 1..9 LOOP PERFORM set_config('app.s' || i, "
                                            f"'{MARK}', false); END LOOP; END $$"),
                  utility("nine SETs at once", "; ".join(f"SET app.s{i} = '{MARK}'" for i in range(1, 10))),
                  rows("nine set_config()s", "SELECT " + ", ".join(
                      f"set_config('app.s{i}', '{MARK}', false)" for i in range(1, 10)))]
    return found


def ways_to_set(name, value, oids):
    head, tail = name[:len(name) // 2], name[len(name) // 2:]
    call = oids["set_config(text,text,bool)"]
    return [
        rows("set_config() of a built name", f"SELECT set_config('{head}' || '{tail}', '{value}', false)"),
        rows("set_config() of a column", f"SELECT set_config(n, '{value}', f) FROM (VALUES ('{name}', false)) x (n, f)"),
        Way("set_config() of a bound name", f"SELECT set_config($1, '{value}', false)", is_rows=True, values=(name,)),
        Way("set_config(), all bound", "SELECT set_config($1, $2, $3)", is_rows=True, values=(name, value, "f")),
        rows("set_config() by its quoted name", f'SELECT U&"set\\005fconfig"(\'{name}\', \'{value}\', false)'),
        rows("set_config() of escapes", f"SELECT pg_catalog . set_config(E'{escaped(name)}', '{value}', 1 > 2)"),
        Way("update of pg_settings", f"UPDATE pg_settings SET setting = '{value}' WHERE name = '{name}'"),
        Way("fastpath", "", raw=function_call(call, (name.encode(), value.encode(), b"f"), (0,), 0)),
        Way("fastpath, binary", "", raw=function_call(call, (name.encode(), value.encode(), b"\0"), (1,), 1)),
    ]


def escaped(name):
    return "".join(f"\\x{ord(letter):02x}" for letter in name)


def find_oids(postgres, dbname):
    names = {"set_config(text,text,bool)": "regprocedure", "pg_advisory_lock(bigint)": "regprocedure",
             "nextval(regclass)": "regprocedure", "setseed(float8)": "regprocedure", "sealed.numbers": "regclass"}
    return {name: int(postgres.value(f"SELECT '{name}'::{kind}::oid::bigint", dbname=dbname))
            for name, kind in names.items()}


# --- how A runs it ----------------------------------------------------------------------------------------------

class Talk(NamedTuple):
    """Messages and how many ReadyForQuery they are answered with, one after another. leaves: A is gone with the last."""

    parts: tuple
    leaves: bool = False


def simply(*sqls):
    return Talk(tuple((query(sql), 1) for sql in sqls))


def extended(way):
    return one_statement(way.sql, way.values)


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


def in_text(way):
    """The statement with its values in place."""
    sql = way.sql
    for number, value in enumerate(way.values, 1):
        sql = sql.replace(f"${number}", quoted(value))
    return sql


def hows(way):
    """All talks by which this way may be gone: name to Talk."""
    if way.raw:
        return by_message(way)
    if way.ahead:
        return {"transaction": simply("BEGIN", way.ahead, way.sql, "COMMIT"),
                "in one text": simply(f"BEGIN; {way.ahead}; {way.sql}; COMMIT"),
                "implicit transaction": simply(f"{way.ahead}; {way.sql}"),
                "pipeline": Talk(((one_statement(way.ahead) + extended(way) + sync(), 1),))}
    if way.values:
        return {**by_batches(way), **({"execute": executed(way)} if way.is_planned else {})}
    found = {"simple": simply(way.sql), "then leaves": Talk(((query(way.sql) + terminate(), 0),), True),
             "vanishes": Talk(((query(way.sql), 0),), True), "behind a long comment": simply(f"/*{'x' * 70000}*/ {way.sql}")}
    is_several = ";" in way.sql and "$$" not in way.sql
    if not is_several:
        found.update(by_batches(way))
    if not way.is_alone:
        found.update(in_transactions(way))
    if way.is_planned and not is_several:
        found.update(planned(way))
    if way.copy:
        found["copy in"] = Talk(((query(f"COPY {way.copy} FROM STDIN") + copy_data(b"1\n2\n") + copy_done(), 1),))
        found["copy in, extended"] = Talk(((one_statement(f"COPY {way.copy} FROM STDIN") + copy_data(b"1\n") + copy_done()
                                            + sync(), 1),))
    return found


def by_message(way):
    return {"simple": Talk(((way.raw, 1),)),
            "transaction": Talk(((query("BEGIN"), 1), (way.raw, 1), (query("COMMIT"), 1))),
            "rollback": Talk(((query("BEGIN"), 1), (way.raw, 1), (query("ROLLBACK"), 1))),
            "pipeline": Talk(((one_statement("SELECT 1") + sync() + way.raw + query("SELECT 1"), 3),)),
            "then leaves": Talk(((way.raw + terminate(), 0),), True)}


def by_batches(way):
    """By the extended protocol."""
    found = {"extended": Talk(((extended(way) + sync(), 1),)),
             "named": Talk(((parse("n", way.sql) + sync(), 1), (bind("", "n", way.values) + execute() + sync(), 1))),
             "named in one": Talk(((parse("n", way.sql) + bind("p", "n", way.values) + execute("p") + sync(), 1),)),
             "flushed": Talk(((extended(way) + flush() + sync(), 1),)),
             "syncs": Talk(((one_statement("SELECT 1") + sync() + extended(way) + sync() + one_statement("SELECT 2")
                             + sync(), 3),))}
    if not way.is_alone:
        found["pipeline"] = Talk(((one_statement("SELECT 1") + extended(way) + one_statement("SELECT 2") + sync(), 1),))
        found["fails in pipeline"] = Talk(((extended(way) + one_statement("SELECT 1 / 0") + sync(), 1),))
        found["bound in transaction"] = Talk(((query("BEGIN"), 1), (extended(way) + sync(), 1), (query("COMMIT"), 1)))
    if way.is_planned and way.is_rows:
        found["in pieces"] = Talk(((parse("", way.sql) + bind("", "", way.values) + execute("", 1) + execute() + sync(),
                                    1),))
        found["bound only"] = Talk(((parse("", way.sql) + bind("", "", way.values) + sync(), 1),))
    return found


def in_transactions(way):
    return {"several": simply(f"SELECT 1; {way.sql}; SELECT 2"),
            "transaction": simply("BEGIN", way.sql, "COMMIT"),
            "in one text": simply(f"BEGIN; {way.sql}; COMMIT"),
            "rollback": simply("BEGIN", way.sql, "ROLLBACK"),
            "then fails": simply(f"{way.sql}; SELECT 1 / 0"),
            "back to savepoint": simply("BEGIN", "SAVEPOINT s", way.sql, "ROLLBACK TO s", "COMMIT"),
            "savepoint": simply("BEGIN; SAVEPOINT s", way.sql, "RELEASE s; COMMIT"),
            "leaves in transaction": Talk(((query("BEGIN"), 1), (query(way.sql), 1), (terminate(), 0)), True)}


def executed(way):
    """By EXECUTE; values go along."""
    call = f"EXECUTE sealed_x ({', '.join(map(quoted, way.values))})" if way.values else "EXECUTE sealed_x"
    return simply(f"PREPARE sealed_x AS {way.sql}", call, "DEALLOCATE sealed_x")


def planned(way):
    found = {"execute": executed(way), "explain": simply(f"EXPLAIN ANALYZE {way.sql}")}
    if way.is_rows:
        found.update({
            "copy out": simply(f"COPY ({way.sql}) TO STDOUT"),
            "cursor": simply("BEGIN", f"DECLARE c CURSOR FOR {way.sql}", "FETCH ALL FROM c", "COMMIT"),
            "explained only": simply(f"EXPLAIN {way.sql}"),
            "create table as": simply("BEGIN", f"CREATE TEMP TABLE gone ON COMMIT DROP AS {way.sql}", "COMMIT")})
    return found


# --- rows -------------------------------------------------------------------------------------------------------

class Row(NamedTuple):
    kind: Kind
    way: Way
    how: str

    def __str__(self):
        return f"{self.kind.name} by {self.way.name}, {self.how}"

    @property
    def is_suspicious(self):
        """After these the database may have other code than before."""
        return self.how == "create table as" or self.way.sql.startswith(("DO", "CALL", "CREATE"))

    @property
    def talk(self):
        return hows(self.way)[self.how]


# Each of these meets every kind in every way that A can run it.
THOROUGH = ("trigger after row", "view", "DO of a built text", "nine SETs at once", "nine set_config()s")


def make_rows(postgres, dbname, names, code="all"):
    """Every way meets the kind "custom", and each other kind meets half of the ways (with code = "own", a third), each
    way another half of the kinds. "custom" and the thorough ways are run in one way of five, the others in one; how goes
    round, so that nothing is run in one way only. PGWEIR_SEALED=all: all."""
    oids = find_oids(postgres, dbname)
    found, turn = [], 0
    for of_kind, kind in enumerate(real(KINDS[name], postgres, dbname) for name in names):
        ways = ways_without_code(kind, oids) if code != "own" else []
        if code != "none":
            ways = ways_by_code(kind) + ways_by_alias(kind, schema(kind)) + ways
        for of_way, way in enumerate(ways):
            turn += 1
            all_hows = list(hows(way))
            if IS_ALL:
                chosen = all_hows
            elif code == "own":
                chosen = [all_hows[turn % len(all_hows)]] if (of_way + of_kind) % 3 == 0 else []
            elif kind.name == "custom" or way.name in THOROUGH or code == "none" and kind.name in ("role", "lock"):
                chosen = all_hows[turn % 5::5]
            else:
                chosen = [all_hows[turn % len(all_hows)]] if (of_way + of_kind) % 2 else []
            found += [Row(kind, way, how) for how in chosen]
    return found


def run(wire, talk):
    """A's part; what it was told, in short."""
    told = []
    for data, syncs in talk.parts:
        wire.send(data)
        if syncs:
            told += wire.read_until("Z", syncs)
    return shape(told)
