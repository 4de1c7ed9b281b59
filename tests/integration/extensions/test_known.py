"""Each extension of src/seal/extensions.tsv that is installed here: ordinary use costs no server connection and no wash, whoever
takes turns on it; what the table says to leave something costs what it says, and nobody else sees it. A new row that says "run" is
a case here. Those that are no part of PostgreSQL are packages of Debian 12 for PostgreSQL 15."""

import csv
import http.server
import struct
import threading
from pathlib import Path

import pytest

from leftovers import PID, begin, sees
from postgres import Postgres, find_bin
from rawwire import BEGIN_NOW, bind, execute, message, one_statement, parse, query, sync, texts
from waiting import wait_until

pytestmark = pytest.mark.weir_only
TABLE = Path(__file__).resolve().parents[3] / "src" / "seal" / "extensions.tsv"
with TABLE.open(encoding="utf-8") as lines:
    ROWS = list(csv.reader((line for line in lines if not line.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE))
RUN = {row[0] for row in ROWS if row[2] == "run"}
PRELOADED = ("pgaudit", "set_user")

T = "CREATE TABLE t (v {}); INSERT INTO t VALUES ({})"
TRIGGER = "CREATE TABLE t (v int, w text); CREATE TRIGGER x BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION {}"
PERL = "CREATE FUNCTION f({0}) RETURNS int LANGUAGE {1} TRANSFORM FOR TYPE {0} AS $f$ {2} $f$"
SETS = "CREATE FUNCTION sets() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('a.b', 'A', false); RETURN NULL; END$$"
LOGGED = ("CREATE TABLE t (v int PRIMARY KEY); CREATE TABLE t_log (v int, trigger_mode text, trigger_tuple text, trigger_changed timestamptz); "
          "CREATE TRIGGER x AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION table_log()")
VERSIONED = "CREATE TABLE t (v int PRIMARY KEY); SELECT periods.add_system_time_period('t'); SELECT periods.add_system_versioning('t'); INSERT INTO t VALUES (1)"
ORDINARY = {                        # what is made, and two statements
    "adminpack": ("", "SELECT pg_file_sync('PG_VERSION')", "SELECT 1"),
    "amcheck": ("CREATE TABLE t (v int PRIMARY KEY)", "SELECT count(*) FROM verify_heapam('t')", "SELECT v FROM t WHERE v = 1"),
    "asn1oid": (T.format("asn1oid", "'1.3.6'"), "SELECT '1.3.6'::asn1oid < '1.3.7'", "SELECT v FROM t WHERE v = '1.3.6'"),
    "autoinc": ("CREATE SEQUENCE s; " + TRIGGER.format("autoinc('v', 's')"), "INSERT INTO t VALUES (0, 'a')", "SELECT v FROM t"),
    "bloom": (T.format("int", "1") + "; CREATE INDEX ON t USING bloom (v)", "SELECT v FROM t WHERE v = 1", "INSERT INTO t VALUES (2)"),
    "btree_gin": (T.format("int", "1") + "; CREATE INDEX ON t USING gin (v)", "SELECT v FROM t WHERE v < 1", "INSERT INTO t VALUES (2)"),
    "btree_gist": (T.format("int", "1") + "; CREATE INDEX ON t USING gist (v)", "SELECT v FROM t ORDER BY v <-> 1", "INSERT INTO t VALUES (2)"),
    "citext": (T.format("citext", "'A'"), "SELECT v FROM t WHERE v = 'a'", "SELECT regexp_replace(v, 'A', 'b') FROM t"),
    "cube": (T.format("cube", "'(1,2)'"), "SELECT v <-> '(0,0)' FROM t", "SELECT cube_dim(v) FROM t"),
    "dblink": ("CREATE TABLE t (v int)", "SELECT v + 1 FROM t", "INSERT INTO t VALUES (1)"),
    "dict_int": ("", "SELECT ts_lexize('intdict', '123456789')", "SELECT 1"),
    "dict_xsyn": ("", "SELECT ts_lexize('simple', 'a')", "SELECT 1"),
    "earthdistance": ("", "SELECT earth_distance(ll_to_earth(1, 2), ll_to_earth(1, 3))", "SELECT point(1, 2) <@> point(3, 4)"),
    "extra_window_functions": (T.format("int", "1"), "SELECT last_value_ignore_nulls(v) OVER (ORDER BY v) FROM t", "SELECT v FROM t"),
    "file_fdw": ("CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE f (v text) SERVER s OPTIONS (program 'echo x')",
                 "SELECT v FROM f", "SELECT count(*) FROM f"),
    "first_last_agg": (T.format("int", "1"), "SELECT first(v ORDER BY v) FROM t", "SELECT last(v) FROM t"),
    "fuzzystrmatch": ("", "SELECT levenshtein('a', 'b')", "SELECT soundex('a')"),
    "hll": (T.format("hll", "hll_empty()"), "UPDATE t SET v = v || hll_hash_integer(1)", "SELECT hll_cardinality(v), #v FROM t"),
    "hstore": (T.format("hstore", "'a=>1'"), "SELECT v -> 'a' FROM t", "UPDATE t SET v = v || 'b=>2'"),
    "hypopg": (T.format("int", "1"), "SELECT * FROM hypopg_list_indexes", "SELECT v FROM t WHERE v = 1"),
    "icu_ext": ("", "SELECT icu_compare('a', 'b', 'en')", "SELECT icu_version()"),
    "insert_username": (TRIGGER.format("insert_username('w')"), "INSERT INTO t VALUES (1)", "SELECT w FROM t"),
    "intagg": (T.format("int", "1"), "SELECT int_array_aggregate(v) FROM t", "SELECT int_array_enum('{1,2}')"),
    "intarray": (T.format("int[]", "'{1,2}'"), "SELECT v FROM t WHERE v @@ '1&2'", "SELECT sort(v), v + 3 FROM t"),
    "ip4r": (T.format("ip4r", "'10.0.0.0/8'"), "SELECT v FROM t WHERE v >>= '10.1.1.1'", "SELECT family('10.1.1.1'::ipaddress)"),
    "isn": (T.format("isbn", "'0-393-04002-X'"), "SELECT v FROM t", "SELECT is_valid(v) FROM t"),
    "jsquery": (T.format("jsonb", "'{\"a\": 1}'"), "SELECT v @@ 'a = 1'::jsquery FROM t", "SELECT 'a = 1'::jsquery & 'b = 2'"),
    "lo": (T.format("lo", "NULL"), "SELECT v FROM t", "SELECT lo_oid(v) FROM t"),
    "ltree": (T.format("ltree", "'a.b'"), "SELECT v FROM t WHERE v <@ 'a'", "SELECT subpath(v, 0, 1) || 'c' FROM t"),
    "moddatetime": ("CREATE TABLE t (v int, w timestamp); INSERT INTO t VALUES (1); CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION moddatetime(w)",
                    "UPDATE t SET v = 2", "SELECT w FROM t"),
    "old_snapshot": ("", "SELECT count(*) FROM pg_old_snapshot_time_mapping()", "SELECT 1"),
    "orafce": ("", "SELECT oracle.nvl(1, 2), oracle.substr('abc', 2)", "SELECT dbms_output.put_line('x'), oracle.add_months(current_date, 1)"),
    "pageinspect": (T.format("int", "1"), "SELECT count(*) FROM heap_page_items(get_raw_page('t', 0))", "SELECT 1"),
    "periods": ("CREATE TABLE t (v int, b int NOT NULL, e int NOT NULL)", "INSERT INTO t VALUES (1, 2, 3)", "SELECT * FROM t"),
    "pg_buffercache": ("", "SELECT count(*) FROM pg_buffercache", "SELECT 1"),
    "pg_freespacemap": (T.format("int", "1"), "SELECT count(*) FROM pg_freespace('t')", "SELECT 1"),
    "pg_prewarm": (T.format("int", "1"), "SELECT pg_prewarm('t')", "SELECT v FROM t"),
    "pg_rational": (T.format("rational", "'1/2'"), "SELECT v + '1/3' FROM t", "SELECT v FROM t WHERE v < '2/3'"),
    "pg_similarity": ("", "SELECT lev('a', 'b')", "SELECT 'a' ~== 'b'"),
    "pg_stat_statements": ("", "SELECT 1", "SELECT 2"),
    "pg_surgery": (T.format("int", "1"), "SELECT heap_force_freeze('t', ARRAY['(0,1)']::tid[])", "SELECT v FROM t"),
    "pg_trgm": (T.format("text", "'abc'"), "SELECT similarity(v, 'abd'), show_limit() FROM t", "SELECT v FROM t WHERE v % 'abd'"),
    "pg_visibility": (T.format("int", "1"), "SELECT * FROM pg_visibility_map_summary('t')", "SELECT 1"),
    "pg_walinspect": ("", "SELECT resource_manager FROM pg_get_wal_record_info(pg_current_wal_lsn() - 1) LIMIT 0", "SELECT 1"),
    "pgaudit": (T.format("int", "1"), "SELECT v FROM t", "UPDATE t SET v = 2"),
    "pgcrypto": ("", "SELECT digest('a', 'sha256'), gen_random_uuid()", "SELECT crypt('a', gen_salt('bf', 4))"),
    "pgmp": (T.format("mpz", "1"), "SELECT v + 1, v * 2::mpz FROM t", "SELECT sum(v) FROM t"),
    "pgpcre": ("", "SELECT 'abc' =~ 'b'", "SELECT pcre_match('b', 'abc')"),
    "pgq": ("SELECT pgq.create_queue('q'); CREATE TABLE t (v int PRIMARY KEY); CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION pgq.logutriga('q')",
            "SELECT pgq.insert_event('q', 't', 'd')", "INSERT INTO t SELECT count(*) FROM t"),
    "pgrouting": (T.format("int", "1"), "SELECT pgr_version()", "SELECT v FROM t"),
    "pgrowlocks": (T.format("int", "1"), "SELECT * FROM pgrowlocks('t')", "SELECT v FROM t"),
    "pgstattuple": (T.format("int", "1"), "SELECT * FROM pgstattuple('t')", "SELECT v FROM t"),
    "plpgsql": ("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", "SELECT 1", "SELECT 2"),
    "pointcloud": ("", "SELECT pc_version()", "SELECT pc_lib_version()"),
    "postgis": (T.format("geometry", "'POINT(1 2)'"), "SELECT v FROM t WHERE v && st_makeenvelope(0, 0, 3, 3)", "SELECT st_distance(v, 'POINT(0 0)') FROM t"),
    "postgis_raster": ("", "SELECT st_width(st_makeemptyraster(2, 3, 0, 0, 1))", "SELECT postgis_raster_lib_version()"),
    "postgis_topology": (T.format("geometry", "'POINT(1 2)'"), "SELECT v FROM t WHERE v && st_makeenvelope(0, 0, 3, 3)", "SELECT st_x(v) FROM t"),
    "postgres_fdw": ("", "SELECT count(*) FROM postgres_fdw_get_connections()", "SELECT 1"),
    "prefix": (T.format("prefix_range", "'123'"), "SELECT v FROM t WHERE v @> '1234'", "SELECT length(v) FROM t"),
    "prioritize": ("", "SELECT get_backend_priority(pg_backend_pid())", "SELECT 1"),
    "q3c": ("CREATE TABLE t (ra float8, dec float8)", "SELECT q3c_dist(1, 2, 3, 4)", "SELECT * FROM t WHERE q3c_radial_query(ra, dec, 1, 2, 3)"),
    "refint": ("CREATE TABLE p (v int PRIMARY KEY); INSERT INTO p VALUES (1); " + TRIGGER.format("check_primary_key('v', 'p', 'v')").replace("BEFORE", "AFTER"),
               "INSERT INTO t VALUES (1)", "SELECT v FROM t"),
    "rum": (T.format("tsvector", "'a b'") + "; CREATE INDEX ON t USING rum (v rum_tsvector_ops)", "SELECT v FROM t WHERE v @@ 'a' ORDER BY v <=> 'a'::tsquery",
            "INSERT INTO t VALUES ('c')"),
    "seg": (T.format("seg", "'1 .. 2'"), "SELECT v FROM t WHERE v @> '1.5'", "SELECT seg_center(v) FROM t"),
    "semver": (T.format("semver", "'1.2.3'"), "SELECT v FROM t WHERE v < '1.3.0'", "SELECT get_semver_major(v) FROM t"),
    "set_user": ("", "SELECT 1", "SELECT current_user"),
    "sslinfo": ("", "SELECT ssl_is_used()", "SELECT ssl_version()"),
    "table_log": (f"{LOGGED}; INSERT INTO t VALUES (1)", "UPDATE t SET v = v", "SELECT * FROM t_log"),
    "tablefunc": ("", "SELECT count(*) FROM normal_rand(3, 1, 2)", "SELECT 1"),
    "tcn": (TRIGGER.format("triggered_change_notification()").replace("BEFORE", "AFTER").replace("v int", "v int PRIMARY KEY"), "SELECT v FROM t", "SELECT 1"),
    "tdigest": (T.format("float8", "1"), "SELECT tdigest_percentile(v, 100, 0.5) FROM t", "SELECT tdigest(v, 100) FROM t"),
    "toastinfo": (T.format("text", "'a'"), "SELECT pg_toastinfo(v) FROM t", "SELECT v FROM t"),
    "tsm_system_rows": (T.format("int", "1"), "SELECT v FROM t TABLESAMPLE system_rows(1)", "SELECT v FROM t"),
    "tsm_system_time": (T.format("int", "1"), "SELECT v FROM t TABLESAMPLE system_time(1)", "SELECT v FROM t"),
    "unaccent": ("", "SELECT unaccent('é')", "SELECT ts_lexize('unaccent', 'é')"),
    "unit": (T.format("unit", "'1 km'"), "SELECT v + '1 mile', v * 2 FROM t", "SELECT v @@ 'furlong' FROM t WHERE v > '1 fathom'"),
    "uuid-ossp": ("", "SELECT uuid_generate_v4()", "SELECT uuid_generate_v1()"),
    "xml2": ("", "SELECT xml_valid('<a/>')", "SELECT xpath_string('<a>1</a>', '/a')"),
    # Languages and their transforms, installed and not used
    **{name: ("CREATE TABLE t (v int)", "SELECT v + 1, v || 'a' FROM t", "INSERT INTO t VALUES (1)") for name in (
        "plperl", "plperlu", "plpython3u", "pltcl", "pltclu", "bool_plperl", "bool_plperlu", "hstore_plperl", "hstore_plperlu", "hstore_plpython3u",
        "jsonb_plperl", "jsonb_plperlu", "jsonb_plpython3u", "ltree_plpython3u")},
}

# What leaves something: code, how A does it, what B asks, what B must not see, and whether the connection is closed for it
DIALS = "SELECT dblink_connect('a', 'dbname=own host=' || split_part(current_setting('unix_socket_directories'), ',', 1) || ' port=' || current_setting('port'))"
SETTERS = {
    "hll_set_max_sparse": ("hll", "SELECT hll_set_max_sparse(7)", "SELECT hll_set_max_sparse(-1)", [["7"]]),
    "hll_set_output_version": ("hll", "SELECT hll_set_output_version(1)", "SELECT 'kept'", None),
    "hll_set_defaults": ("hll", "SELECT hll_set_defaults(12, 4, 0, 0)", "SELECT hll_set_defaults(11, 5, -1, 1)", [["(12,4,0,0)"]]),
    "hypopg_create_index": ("hypopg", "SELECT hypopg_create_index('CREATE INDEX ON pg_class (relpages)')", "SELECT count(*) FROM hypopg()", [["1"]]),
    "icu_set_default_locale": ("icu_ext", "SELECT icu_set_default_locale('de@collation=phonebook')", "SELECT icu_default_locale()", [["de@collation=phonebook"]]),
    "dbms_output.enable": ("orafce", "SELECT dbms_output.enable(); SELECT dbms_output.put_line('secret')", "SELECT line FROM dbms_output.get_line()", [["secret"]]),
    "dbms_pipe.pack_message": ("orafce", "SELECT dbms_pipe.pack_message('secret')", "SELECT dbms_pipe.send_message('p'), dbms_pipe.receive_message('p', 0), dbms_pipe.unpack_message_text()",
                               [["0", "0", "secret"]]),
    "dbms_sql.open_cursor": ("orafce", "SELECT dbms_sql.open_cursor()", "SELECT dbms_sql.is_open(0)", [["t"]]),
    "dbms_random.seed": ("orafce", "SELECT dbms_random.seed(42)", "SELECT 'kept'", None),
    "dbms_alert.register": ("orafce", "SELECT dbms_alert.register('a')", "SELECT 'kept'", None),
    "plvdate.set_nonbizday": ("orafce", "SELECT plvdate.set_nonbizday('2026-11-30'::date)", "SELECT plvdate.isbizday('2026-11-30')", [["f"]]),
    "plvdate.use_easter": ("orafce", "SELECT plvdate.unuse_easter()", "SELECT plvdate.using_easter()", [["f"]]),
    "plvsubst.setsubst": ("orafce", "SELECT plvsubst.setsubst('##')", "SELECT plvsubst.subst()", [["##"]]),
    "oracle.set_nls_sort": ("orafce", "SELECT oracle.set_nls_sort('C')", "SELECT 'kept'", None),
    "randinit": ("pgmp", "SELECT randinit(); SELECT randseed(1)", "SELECT urandomb(8) IS NULL", [["f"]]),
    "set_backend_priority": ("prioritize", "SELECT set_backend_priority(pg_backend_pid(), 19)", "SELECT get_backend_priority(pg_backend_pid())", [["19"]]),
    "set_user": ("set_user", "SELECT set_user('web')", "SELECT current_user", [["web"]]),
    "dblink_connect": ("dblink", DIALS, "SELECT dblink_get_connections()", [["{a}"]]),
    "unit_units": ("unit", "CREATE TEMP TABLE unit_units AS SELECT 'zork' AS name, '5 m'::unit AS unit, 0::float8 AS shift; SELECT '1 zork'::unit", "SELECT unit_is_hashed('zork')", [["t"]]),
    "unit_prefixes": ("unit", "INSERT INTO unit_prefixes VALUES ('zork', 7); SELECT '1 zorkm'::unit; DELETE FROM unit_prefixes WHERE prefix = 'zork'", "SELECT unit_is_hashed('zorkm')", [["t"]]),
    "unit_units in a body": ("unit", "CREATE FUNCTION g() RETURNS unit LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO unit_units VALUES ('zork', '5 m', 0, '5 m', false); "
                             "RETURN '1 zork'::unit;END $f$; SELECT g()", "SELECT unit_is_hashed('zork')", [["t"]]),
    "qgram": ("pg_similarity", "SELECT qgram(repeat('a', 1025), 'b')", "SELECT block('ab cd', 'ab ef')", [["0.42857142857142855"]]),
    "qgram_op": ("pg_similarity", "SELECT repeat('a', 1025) ~~~ 'b'", "SELECT block('ab cd', 'ab ef')", [["0.42857142857142855"]]),
    "isn_weak": ("isn", "SELECT isn_weak(true)", "SELECT isn_weak(false)", None),
    # Text may run any of these
    "dbms_sql.execute": ("orafce", "SELECT dbms_sql.parse(0, 'x')", "SELECT 'kept'", None),
    "dbms_alert.signal": ("orafce", "SELECT dbms_alert.signal('e', 'secret')", "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()", [["2"]]),
    # Other words for the same
    "set_user_u": ("set_user", "SELECT set_user_u('web')", "SELECT current_user", [["web"]]),
    "another name": ("hll", "ALTER FUNCTION hll_set_max_sparse(int) RENAME TO foo; SELECT foo(7)", "SELECT foo(-1)", [["7"]]),
    "an escape": ("hypopg", 'SELECT U&"hypopg_create_inde\\0078"(\'CREATE INDEX ON pg_class (relpages)\')', "SELECT count(*) FROM hypopg()", [["1"]]),
    "an escape in text": ("hypopg", "DO $d$ BEGIN EXECUTE E'SELECT hypopg_create_inde\\x78(''CREATE INDEX ON pg_class (relpages)'')';END $d$",
                          "SELECT count(*) FROM hypopg()", [["1"]]),
    "an operator": ("isn", "CREATE OPERATOR !!! (RIGHTARG = bool, FUNCTION = isn_weak); SELECT !!! true", "SELECT isn_weak(false)", [["t"]]),
    "a function just made": ("hypopg", "CREATE FUNCTION g() RETURNS SETOF record LANGUAGE sql AS "
                             "$f$ SELECT hypopg_create_index('CREATE INDEX ON pg_class (relpages)') $f$; SELECT g()", "SELECT count(*) FROM hypopg()", [["1"]]),
    "a language": ("plperl", "DO LANGUAGE plperl '$_SHARED{x} = 1'", "SELECT 'kept'", None),
    "a language, escaped": ("plperl", "DO LANGUAGE U&\"plper\\006C\" '$_SHARED{x} = 1'", "SELECT 'kept'", None),
    "a language, as a string": ("plperl", "DO LANGUAGE E'\\x70lperl' '$_SHARED{x} = 1'", "SELECT 'kept'", None),
}
WASHED = {
    "set_limit": ("pg_trgm", "SELECT set_limit(0.9)", "SELECT show_limit()", [["0.9"]]),
    "st_generatepoints": ("postgis", "SELECT st_generatepoints('POLYGON((0 0,1 0,1 1,0 0))'::geometry, 3, 42)",
                          "SELECT st_astext(st_generatepoints('POLYGON((0 0,1 0,1 1,0 0))'::geometry, 3))", None),
    "crosstab": ("tablefunc", "SELECT * FROM crosstab('SELECT set_config(''a.b'', ''A'', false), ''1'', ''2''') AS x(a text, b text)",
                 "SELECT current_setting('a.b', true)", [["A"]]),
    "pgr_dijkstra": ("pgrouting", "SELECT count(*) FROM pgr_dijkstra((SELECT v FROM t), 1, 2)", "SELECT current_setting('a.b', true)", [["A"]],
                     "CREATE TABLE t AS SELECT $$SELECT 1 AS id, 1 AS source, 2 AS target, length(set_config('a.b', 'A', false))::float AS cost$$ AS v"),
    "table_log_restore_table": ("table_log", "SELECT table_log_restore_table('t', 'v', 't_log', 'trigger_id', 'copied', now() - interval '0 s', NULL, 0, 0)",
                                "SELECT w FROM copied", [["secret"]],
                                "CREATE TABLE t (v int PRIMARY KEY, w text); SELECT table_log_init(5, 't'); INSERT INTO t VALUES (1, 'secret')"),
    "pgq's trigger": ("pgq", "INSERT INTO t VALUES (1)", "SELECT current_setting('a.b', true)", [["A"]],
                      "SELECT pgq.create_queue('q'); CREATE TABLE t (v int PRIMARY KEY); CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW "
                      "EXECUTE FUNCTION pgq.jsontriga('q', $x$ev_extra1=set_config('a.b', 'A', false)$x$)"),
    # Triggers of tables that no name leads to
    **{name: (extension, sql, "SELECT current_setting('a.b', true)", [["A"]], f"{SETS}; {code}; CREATE TRIGGER z AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION sets()")
       for name, (extension, sql, code, table) in {
           "table_log": ("table_log", "UPDATE t SET v = 2", f"{LOGGED}; INSERT INTO t VALUES (1)", "t_log"),
           "periods": ("periods", "UPDATE t SET v = 2", VERSIONED, "t_history"),
           "insert_event": ("pgq", "SELECT pgq.insert_event('q', 't', 'd')", "SELECT pgq.create_queue('q')", "pgq.event_1_0"),
           "st_addisonode": ("postgis_topology", "SELECT topology.st_addisonode('city', 0, 'POINT(1 1)')", "SELECT topology.createtopology('city')", "city.node"),
       }.items()},
    "EXECUTE": ("postgis_topology", "DO $$BEGIN EXECUTE 'SET a.b = 1'; END$$", "SELECT current_setting('a.b', true)", [["1"]]),
    "st_valuecount": ("postgis_raster", "SELECT st_valuecount('v', 'rast')", "SELECT current_setting('a.b', true)", [["A"]],
                      "CREATE VIEW v AS SELECT st_makeemptyraster(1, 1, 0, 0, 1) AS rast, set_config('a.b', 'A', false) WHERE set_config('a.b', 'A', false) = 'A'"),
}


class Bucket(http.server.BaseHTTPRequestHandler):
    """An S3 server that has nothing, and notes who signs the requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def bucket():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def postgres(bucket):
    """With the libraries that some want to be there from the start, and an S3 server for GDAL."""
    found = [name for name in PRELOADED if name in installed()]
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (("AWS_S3_ENDPOINT", f"127.0.0.1:{bucket.server_port}"), ("AWS_HTTPS", "NO"), ("AWS_VIRTUAL_HOSTING", "FALSE"), ("AWS_REGION", "x"), ("no_proxy", "*")):
            environment.setenv(name, value)
        cluster = Postgres("\n".join((f"shared_preload_libraries = '{','.join(found)}'", "postgis.enable_outdb_rasters = on", "postgis.gdal_enabled_drivers = 'ENABLE_ALL'")))
    yield cluster
    cluster.destroy()


def installed():
    """Without a server: the folder of PostgreSQL's own extensions."""
    folder = Path(find_bin()).parent / "share" / "extension"
    folders = [folder, Path("/usr/share/postgresql") / Path(find_bin()).parent.name / "extension"]
    return {path.name.removesuffix(".control") for place in folders for path in place.glob("*.control")}


def made(postgres, own, extension, code=""):
    if extension not in installed():
        pytest.skip(f"{extension} is not installed")
    if extension != "plpgsql":
        postgres.query(f'CREATE EXTENSION "{extension}" CASCADE', dbname=own)
    if code:
        postgres.query(code, dbname=own)


def test_each_row_that_says_run_is_a_case():
    assert sorted(ORDINARY) == sorted(RUN)
    assert {extension for extension, *_ in (*SETTERS.values(), *WASHED.values())} <= {row[0] for row in ROWS}


def cost(weir, wires, statements, rounds=2):
    """How many connections and washes these statements take, by clients in turn; and who is wrong."""
    pids, before = {wires[0].query(PID)[0][0]}, weir.metric_now("pgweir_pool_seals_total")
    for _ in range(rounds):
        for sql in statements:
            for wire in wires:
                wire.query(sql)
                pids.add(wires[0].query(PID)[0][0])
    return len(pids) - 1, weir.metric_now("pgweir_pool_seals_total") - before


@pytest.mark.parametrize("extension", sorted(ORDINARY))
def test_ordinary_use_costs_nothing(weir, postgres, own, extension):
    code, *statements = ORDINARY[extension]
    made(postgres, own, extension, code)
    wires = begin(weir, own, user="postgres")
    assert cost(weir, wires, statements) == (0, 0)


USUAL = ("SELECT i + 1, i - 2, i * 2 / 3, i % 2 FROM plain", "SELECT w || 'b' FROM plain WHERE w LIKE 'a%' AND w < 'c'", "SELECT j @> '{}' FROM plain",
         "DO 'BEGIN NULL; END'", "DO $$BEGIN ALTER TABLE plain ALTER i SET DEFAULT 1; END$$", "TRUNCATE plain", "ANALYZE plain",
         "REFRESH MATERIALIZED VIEW seen", "GRANT SELECT ON plain TO web", "INSERT INTO plain VALUES (1, 'a', '{}')")


NO_DDL = [sql for sql in USUAL if sql.startswith(("SELECT", "INSERT", "DO 'BEGIN NULL"))]
BY_AN_OPERATOR = ("pg_similarity",)  # an operator of built-in types leads to what nothing resets: DDL might, so it costs the connection


@pytest.mark.parametrize("extension", sorted(RUN - {"plpgsql"}))
def test_what_is_installed_and_not_used_costs_no_connection(weir, postgres, own, extension):
    made(postgres, own, extension, "CREATE TABLE plain (i int, w text, j jsonb); CREATE MATERIALIZED VIEW seen AS SELECT * FROM plain")
    wires = begin(weir, own, user="postgres")
    assert cost(weir, wires, NO_DDL if extension in BY_AN_OPERATOR else USUAL, rounds=1)[0] == 0


WAYS = {
    "simple": lambda steps: [query(sql) for sql in steps],
    "extended": lambda steps: [one_statement(sql) + sync() for sql in steps],
    "ROLLBACK": lambda steps: [query(sql) for sql in ("BEGIN", *steps, "ROLLBACK")],
}


def left(other, client, messages, question):
    """What B is told after A has sent these, whatever PostgreSQL says to them: the process, and the answer."""
    for message in messages:
        client.ask(message)
    pid = sees(other, client, PID)
    replies = other.ask(query(question))
    return pid, texts(replies)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("setter", SETTERS)
def test_what_nothing_resets_costs_the_connection(weir, postgres, own, setter, way):
    extension, sql, question, kept = SETTERS[setter]
    made(postgres, own, extension)
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    seen_by, seen = left(other, client, WAYS[way](sql.split("; ")), question)
    assert seen_by != pid and seen != kept


@pytest.mark.parametrize("setter", WASHED)
def test_what_can_be_undone_costs_a_wash(weir, postgres, own, setter):
    extension, sql, question, kept, *code = WASHED[setter]
    made(postgres, own, extension, *code)
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    seen_by, seen = left(other, client, WAYS["simple"]([sql]), question)
    assert seen_by == pid and seen != kept


def test_a_function_call_message_costs_the_connection(weir, postgres, own):
    made(postgres, own, "hll")
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    oid = postgres.value("SELECT 'hll_set_max_sparse'::regproc::oid::int", dbname=own)
    client.ask(message("F", struct.pack("!Ihhhiih", oid, 1, 1, 1, 4, 7, 1)))
    assert sees(other, client, PID) != pid


DDL = ("CREATE TABLE t (id int PRIMARY KEY, v text)", "ALTER TABLE t ADD c int DEFAULT 1", "CREATE INDEX ON t (c)", "CREATE TYPE e AS ENUM ('a')",
       "CREATE FUNCTION plus() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.c := NEW.c + 1; RETURN NEW; END$$",
       "CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "INSERT INTO t VALUES (1)", "CREATE VIEW w AS SELECT id FROM t",
       "COMMENT ON TABLE t IS 'one'", "ALTER TABLE t RENAME c TO d", "DROP TABLE t CASCADE", "DROP FUNCTION plus")


def test_ddl_that_names_nothing_that_keeps_costs_no_connection(weir, postgres, own):
    """Neither who sends it nor others, until the code has been read again or later."""
    made(postgres, own, "hll")
    assert cost(weir, begin(weir, own, user="postgres")[:1], DDL, rounds=1)[0] == 0


SET = "hll_set_max_sparse(7)"
BODY = "CREATE FUNCTION later() RETURNS int LANGUAGE {} AS {}"
PLAIN = BODY.format("sql", "'SELECT 1'")
AGAIN = BODY.format("sql", "{}").replace("CREATE", "CREATE OR REPLACE")
IN_DO = "DO $$BEGIN " + AGAIN + "; PERFORM later(); END$$"
TWO_STRINGS = "'SELECT hll_set_'\n'max_sparse(7)'"
EVENT = ("CREATE FUNCTION later() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE 'SELECT hll_set_max' || '_sparse(7)'; END$$ ;; "
         "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION later()")
OPERATORS = (
    "CREATE FUNCTION later(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT hll_set_max_sparse(7) * 0 + btint4cmp($1, $2)' ;; "
    "CREATE OPERATOR CLASS later_ops FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 later(int, int) ;; "
    "CREATE TABLE t AS SELECT i FROM generate_series(1, 9) AS i")
GIVEN = {                           # another name, and who uses it; what was there and known before
    "a function": (BODY.format("sql", f"'SELECT {SET}'"), "SELECT later()"),
    "a procedure": (f"CREATE PROCEDURE later() LANGUAGE plpgsql AS $$BEGIN PERFORM {SET}; END$$", "CALL later()"),
    "a body of SQL's standard": (f"CREATE FUNCTION later() RETURNS int RETURN {SET}", "SELECT later()"),
    "text that is made": (BODY.format("plpgsql", "$$DECLARE i int; BEGIN EXECUTE 'SELECT hll_set_max' || '_sparse(7)' INTO i; RETURN i; END$$"), "SELECT later()"),
    "text of a function of PostgreSQL's": (BODY.format("sql", "$$SELECT length(query_to_xml('SELECT hll_set_max' || '_sparse(7)', true, true, '')::text)$$"),
                                           "SELECT later()"),
    "escapes": (BODY.format("sql", "E'SELECT \\150ll_set_max_sparse(7)'"), "SELECT later()"),
    "a name in escapes": (BODY.format("sql", "$$SELECT U&\"hll_set_max\\005fsparse\"(7)$$"), "SELECT later()"),
    "a name of several words": ("ALTER FUNCTION hll_set_max_sparse RENAME TO \"of a kind\" ;; " + BODY.format("sql", "'SELECT \"of a kind\"(7)'"), "SELECT later()"),
    "another name": ("ALTER FUNCTION hll_set_max_sparse RENAME TO later", "SELECT later(7)"),
    "a view": (f"CREATE VIEW later AS SELECT {SET}", "SELECT * FROM later"),
    "a default": (f"CREATE TABLE t (v int, w int DEFAULT {SET})", "INSERT INTO t VALUES (1)"),
    "a check": (f"CREATE DOMAIN later AS int CHECK ({SET} > 0 AND VALUE > 0)", "SELECT 1::later"),
    "an index": (BODY.format("sql", f"'SELECT public.{SET}'").replace("later() RETURNS int", "later(i int) RETURNS int IMMUTABLE") +
                 " ;; CREATE TABLE t (v int) ;; CREATE INDEX ON t (later(v))", "INSERT INTO t VALUES (1)"),
    "a name with DEL": ('ALTER FUNCTION hll_set_max_sparse RENAME TO "a\x7fb"', 'SELECT "a\x7fb"(7)'),
    "a table with DEL": (BODY.format("sql", f"'SELECT {SET}'") + ' ;; CREATE VIEW "a\x7fb" AS SELECT later() AS v', 'SELECT * FROM "a\x7fb"'),
    "an operator": ("CREATE OPERATOR ## (FUNCTION = hll_set_max_sparse, RIGHTARG = int)", "SELECT ## 7"),
    "an aggregate": (f"CREATE FUNCTION later(i int, j int) RETURNS int LANGUAGE sql AS 'SELECT {SET}' ;; "
                     "CREATE AGGREGATE kept (int) (SFUNC = later, STYPE = int, INITCOND = '1')", "SELECT kept(1)"),
    "an aggregate's own": ("CREATE AGGREGATE kept (*) (SFUNC = hll_set_max_sparse, STYPE = int, INITCOND = '7')", "SELECT kept(*) FROM generate_series(1, 1)"),
    "a trigger, TRUNCATE": (f"CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM {SET}; RETURN NULL; END$$ ;; CREATE TABLE t () ;; "
                            "CREATE TRIGGER x BEFORE TRUNCATE ON t EXECUTE FUNCTION later()", "TRUNCATE t"),
    "a trigger of another table, TRUNCATE": (
        f"CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM {SET}; RETURN NULL; END$$ ;; CREATE TABLE t (v int PRIMARY KEY) ;; "
        "CREATE TABLE u (v int REFERENCES t) ;; CREATE TRIGGER x BEFORE TRUNCATE ON u EXECUTE FUNCTION later()", "TRUNCATE t CASCADE"),
    "an event trigger": (f"CREATE FUNCTION later() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN PERFORM {SET}; END$$; "
                         "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION later()", "COMMENT ON SCHEMA public IS 'x'"),
    "a materialized view": (f"CREATE MATERIALIZED VIEW later AS SELECT {SET} WITH NO DATA", "REFRESH MATERIALIZED VIEW later"),
    "DO": ("", f"DO $$BEGIN PERFORM {SET}; END$$"),
    "DO with text that is made": ("", "DO $$BEGIN EXECUTE 'SELECT hll_set_max' || '_sparse(7)'; END$$"),
    "DO in two strings": ("", "DO 'BEGIN PERFORM hll_set_'\n'max_sparse(7); END'"),
    "DO that makes it": ("", f"DO $$BEGIN CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT {SET}'; PERFORM later(); DROP FUNCTION later; END$$"),
    "two strings": (AGAIN.format(TWO_STRINGS), "SELECT later()", PLAIN),
    "two strings, DO": ("", IN_DO.format(TWO_STRINGS), PLAIN),
    "two strings that hide EXECUTE": (AGAIN.replace("sql", "plpgsql").format("'BEGIN EXE'\n'CUTE ''SELECT hll_set_max'' || ''_sparse(7)''; RETURN 1; END'"), "SELECT later()", PLAIN),
    "a dollar": (AGAIN.format("'SELECT set$it(7)'"), "SELECT later()", PLAIN + "; ALTER FUNCTION hll_set_max_sparse RENAME TO set$it"),
    "a dollar, DO": ("", IN_DO.format("'SELECT set$it(7)'"), PLAIN + "; ALTER FUNCTION hll_set_max_sparse RENAME TO set$it"),
    "a quote in a name": (AGAIN.format("'SELECT \"a\"\"b\"(7)'"), "SELECT later()", PLAIN + '; ALTER FUNCTION hll_set_max_sparse RENAME TO "a""b"'),
    "an event trigger, text that is made": (EVENT, "CREATE TABLE fresh ()"),
    "an event trigger, text that is made, SELECT INTO": (EVENT, "SELECT 1 AS a INTO fresh"),
    "a validator": (f"CREATE FUNCTION later(text[], oid) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM {SET}; END' ;; CREATE FOREIGN DATA WRAPPER x VALIDATOR later",
                    "CREATE SERVER s FOREIGN DATA WRAPPER x OPTIONS (a 'b')"),
    "an operator class, CREATE INDEX": (OPERATORS, "CREATE INDEX ON t (i later_ops)"),
    "an operator class, a bound": (OPERATORS, "CREATE TABLE u (i int) PARTITION BY RANGE (i later_ops); CREATE TABLE v PARTITION OF u FOR VALUES FROM (1) TO (2)"),
}
RENAMED = {"another name": "later", "a name with DEL": '"a\x7fb"', "a name of several words": '"of a kind"', "a dollar": "set$it", "a dollar, DO": "set$it", "a quote in a name": '"a""b"'}


@pytest.mark.parametrize("when", ("at once", "when it is known"))
@pytest.mark.parametrize("name", GIVEN)
def test_what_keeps_is_found_under_each_name_that_ddl_gives_it(weir, postgres, own, name, when):
    """At once: pgweir has not read the code since."""
    ddl, use, *before = GIVEN[name]
    made(postgres, own, "hll", *before)
    if ddl and when == "when it is known":
        postgres.query(ddl.replace(";;", ";"), dbname=own)
    other, client = begin(weir, own, user="postgres")
    for sql in ddl.split(" ;; ") if when == "at once" and ddl else ():
        client.query(sql)
    pid = client.query(PID)
    function = RENAMED.get(name, "hll_set_max_sparse")
    seen_by, seen = left(other, client, [query(use)], f"SELECT {function}(9)")
    assert seen_by != pid and seen != [["7"]]


def test_what_another_program_gives_another_name_is_found_behind_ddl_that_was_seen(weir, postgres, own):
    """The answer is asked for because of that DDL, but tells of what A has run meanwhile."""
    made(postgres, own, "hll", PLAIN)
    other, client, third = begin(weir, own, user="postgres", servers=2, clients=3)
    client.query(BEGIN_NOW)
    pid = client.query(PID)[0][0]
    postgres.query(AGAIN.format(f"'SELECT {SET}'"), dbname=own)
    client.query("SELECT later()")
    third.query("CREATE TYPE zz AS ENUM ('a')")
    wait_until(lambda: third.query("SELECT 1") and any(row["name"] == "later" and "backend" in row["state"]
                                                            for row in weir.console("SHOW DATABASE_CODE")))
    client.query("COMMIT")
    for wire in (other, third):
        wire.query(BEGIN_NOW)
    assert pid not in {wire.query(PID)[0][0] for wire in (other, third)}


@pytest.mark.parametrize("text", (f"SELECT {SET}", "SELECT hll_set_max' || '_sparse(7)"), ids=("as it is", "that is made"))
def test_a_parameter_of_a_domain_costs_the_connection(weir, postgres, own, text):
    made(postgres, own, "hll", f"CREATE FUNCTION later(int) RETURNS bool LANGUAGE plpgsql AS $$BEGIN EXECUTE '{text}'; RETURN true; END$$; CREATE DOMAIN d AS int CHECK (later(VALUE))")
    oid = postgres.value("SELECT 'd'::regtype::oid::int", dbname=own)
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    seen_by, seen = left(other, client, [parse("", "SELECT $1", (oid,)) + bind("", "", ("5",)) + execute() + sync()], "SELECT hll_set_max_sparse(9)")
    assert seen_by != pid and seen != [["7"]]


def test_ddl_that_differs_in_a_string_alone_is_read_each_time(weir, postgres, own):
    """SQL with other values in it is remembered as the same; a body is no value."""
    made(postgres, own, "hll", BODY.format("sql", "'SELECT 1'"))
    other, client = begin(weir, own, user="postgres")
    bodies = ("'SELECT 2'", "'SELECT 3'", "'SELECT 4'", f"'SELECT {SET}'")
    client.send(b"".join(query(BODY.format("sql", body).replace("CREATE", "CREATE OR REPLACE", 1)) for body in bodies) + query("SELECT later()") + query(PID))
    answers = [client.read_until("Z") for _ in (*bodies, "SELECT", "PID")]
    seen_by, seen = left(other, client, [], "SELECT hll_set_max_sparse(9)")
    assert seen_by != texts(answers[-1]) and seen != [["7"]]


# What is its own client's: extension, what makes it, what shows it and how, what undoes it. So it is directly, too.
WANTED = {
    "hypopg_create_index": ("hypopg", "SELECT hypopg_create_index('CREATE INDEX ON t (v)')",
                            "SELECT count(*) FROM hypopg_list_indexes", [["1"]], "SELECT hypopg_reset()"),
    "set_user": ("set_user", "SELECT set_user('web')", "SELECT current_user", [["web"]], "SELECT reset_user()"),
    "dbms_output.enable": ("orafce", "SELECT dbms_output.enable(); SELECT dbms_output.put_line('kept')", "SELECT line FROM dbms_output.get_line()", [["kept"]], None),
    "dbms_pipe.pack_message": ("orafce", "SELECT dbms_pipe.pack_message('kept')", "SELECT dbms_pipe.send_message('p'), dbms_pipe.receive_message('p', 0), dbms_pipe.unpack_message_text()",
                               [["0", "0", "kept"]], None),
    "dbms_sql.open_cursor": ("orafce", "SELECT dbms_sql.open_cursor()", "SELECT dbms_sql.is_open(0)", [["t"]], None),
    "set_backend_priority": ("prioritize", "SELECT set_backend_priority(pg_backend_pid(), 19)", "SELECT get_backend_priority(pg_backend_pid())", [["19"]], None),
    "icu_set_default_locale": ("icu_ext", "SELECT icu_set_default_locale('de@collation=phonebook')", "SELECT icu_default_locale()", [["de@collation=phonebook"]], None),
    "randinit": ("pgmp", "SELECT randinit()", "SELECT urandomb(8) IS NULL", [["f"]], None),
}


def pinned(weir):
    return [row["reasons"] for row in weir.console("SHOW PINS")]


@pytest.mark.parametrize("way", ("simple", "extended"))
@pytest.mark.parametrize("name", WANTED)
def test_what_its_client_wants_is_there_however_long_the_pause(weir, postgres, own, name, way):
    """B waits for the connection all the while, and gets another one."""
    extension, sql, question, answer, undo = WANTED[name]
    made(postgres, own, extension, "CREATE TABLE t (v int)")
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    for each in WAYS[way](sql.split("; ")):
        client.ask(each)
    other.send(query(PID))
    wait_until(lambda: pinned(weir) or not other.has_nothing_more(), what="the pin, or B's answer")
    assert texts(client.ask(query(question))) == answer
    assert pinned(weir)[0].startswith("extension: ") and pinned(weir)[0].endswith(f" <- extension {extension}")
    client.ask(query(undo or "DISCARD ALL"))
    assert texts(other.read_until("Z")) != pid


@pytest.mark.sweep(keep=4)
@pytest.mark.parametrize("pause_ms", (0, 5, 50, 1000))
@pytest.mark.parametrize("name", ("set_user", "hypopg_create_index", "dbms_output.enable"))
def test_what_its_client_wants_is_the_same_behind_any_pause(weir, postgres, own, name, pause_ms):
    """B's statements fill the pause, on as many connections as there are; it is 0 if A sends all at once."""
    extension, sql, question, answer, _ = WANTED[name]
    made(postgres, own, extension, "CREATE TABLE t (v int)")
    other, client = begin(weir, own, user="postgres", servers=2)
    ends = [query(each) for each in sql.split("; ")]
    if pause_ms == 0:
        client.send(*ends, query(question))
        client.read_until("Z", count=len(ends))
        assert texts(client.read_until("Z")) == answer
    else:
        for end in ends:
            client.ask(end)
            other.query(f"SELECT pg_sleep({pause_ms / 1000})")
        assert other.query(question) != answer
        assert client.query(question) == answer
    assert other.query(question) != answer
    wait_until(lambda: [reasons for reasons in pinned(weir) if reasons.endswith(f" <- extension {extension}")], what="the pin")


def test_the_index_of_hypopg_is_in_the_plans_of_its_client(weir, postgres, own):
    made(postgres, own, "hypopg", "CREATE TABLE t AS SELECT v FROM generate_series(1, 10000) AS v; ANALYZE t")
    other, client = begin(weir, own, user="postgres")
    client.query("SELECT hypopg_create_index('CREATE INDEX ON t (v)')")
    other.send(query("EXPLAIN SELECT v FROM t WHERE v = 1"))
    wait_until(lambda: pinned(weir) or not other.has_nothing_more(), what="the pin, or B's answer")
    assert "btree_t_v" in str(client.query("EXPLAIN SELECT v FROM t WHERE v = 1"))
    client.query("DISCARD ALL")
    assert "btree_t_v" not in str(texts(other.read_until("Z")))


def test_what_undoes_it_counts_if_it_was_done_behind_all_of_it(weir, postgres, own):
    made(postgres, own, "hypopg", "CREATE TABLE t (v int)")
    client = begin(weir, own, user="postgres")[1]
    makes, undoes = "SELECT hypopg_create_index('CREATE INDEX ON t (v)')", "SELECT hypopg_reset()"
    for messages, is_pinned in (
            ([query(makes)], True), ([query("SELECT 1")], True), ([query(f"BEGIN; {undoes}; SELECT 1 / 0")], True), ([query("ROLLBACK")], True),
            ([query(undoes)], False), ([query(undoes)], False), ([query(f"{makes}; {undoes}; {makes}")], True), ([query("BEGIN")], True), ([query(undoes)], True),
            ([query(makes)], True), ([query("COMMIT")], True), ([one_statement(makes) + sync(), one_statement(undoes) + sync()], False),
            ([one_statement(undoes) + sync(), one_statement(makes) + sync()], True), ([query("DISCARD ALL")], False)):
        client.send(*messages)
        client.read_until("Z", count=len(messages))
        assert bool(pinned(weir)) == is_pinned, messages


def test_of_two_extensions_neither_undoes_the_other_s(weir, postgres, own):
    made(postgres, own, "hypopg", "CREATE TABLE t (v int)")
    made(postgres, own, "set_user")
    client = begin(weir, own, user="postgres")[1]
    client.query("SELECT set_user('web')")
    client.query("SELECT hypopg_reset()")
    assert pinned(weir)[0].endswith(" <- extension set_user")
    client.query("SELECT hypopg_create_index('CREATE INDEX ON t (v)')")
    client.query("SELECT hypopg_reset()")
    assert pinned(weir) == ["extension: several extensions"]


INDIRECT = {
    "a function": "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$SELECT count(*) FROM hypopg_create_index('CREATE INDEX ON t (v)')$$",
    "one of that name": "CREATE SCHEMA s; CREATE FUNCTION s.hypopg_create_index(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
}


@pytest.mark.parametrize("name, sql", (("a function", "SELECT f()"), ("one of that name", "SELECT s.hypopg_create_index(1)")))
def test_what_the_sql_does_not_call_itself_keeps_nobody(weir, postgres, own, name, sql):
    made(postgres, own, "hypopg", "CREATE TABLE t (v int); " + INDIRECT[name])
    other, client = begin(weir, own, user="postgres")
    pid = client.query(PID)
    client.query(sql)
    assert other.query(PID) != pid and not pinned(weir)


KEYS = "AWS_ACCESS_KEY_ID=alice AWS_SECRET_ACCESS_KEY=secret"
READS = "SELECT st_addband(st_makeemptyraster(1, 1, 0, 0, 1), 1, '/vsis3/bucket/{}.tif', ARRAY[1])"
GIVEN_KEYS = {
    "SET": [f"SET postgis.gdal_vsi_options = '{KEYS}'"],
    "SET, on other connections": [f"SET postgis.gdal_vsi_options = '{KEYS}'", "SELECT 1"],
    "SET LOCAL": ["BEGIN", f"SET LOCAL postgis.gdal_vsi_options = '{KEYS}'"],
    "set_config()": [f"SELECT set_config('postgis.gdal_vsi_options', '{KEYS}', false)"],
    "set_config(), local": ["BEGIN", f"SELECT set_config('postgis.gdal_vsi_options', '{KEYS}', true)"],
    "a function": ["CREATE FUNCTION g() RETURNS text LANGUAGE sql AS $f$ SELECT set_config('postgis.gdal_vsi_options', '" + KEYS + "', false) $f$", "BEGIN", "SELECT g()"],
}


@pytest.mark.parametrize("way", GIVEN_KEYS)
def test_nobody_reads_with_keys_that_another_client_gave_to_gdal(weir, postgres, own, bucket, way):
    """GDAL keeps options for its process, whatever becomes of the setting."""
    made(postgres, own, "postgis_raster", "SELECT 1")
    bucket.asked.clear()
    other, client = begin(weir, own, user="postgres")
    for sql in GIVEN_KEYS[way]:
        client.query(sql)
        if "other" in way:
            other.query("SELECT 1")
    client.ask(query(READS.format("one")))
    client.ask(query("ROLLBACK"))
    other.ask(query(READS.format("two")))
    signed = {path: "alice" in by for path, by in bucket.asked if path.endswith(".tif")}
    assert signed["/bucket/one.tif"] and not signed.get("/bucket/two.tif")


def closed(weir):
    return sum(weir.metric_now("pgweir_pool_recycles_total", reason=why) for why in ("dirty", "unknown_code"))


def costs_nothing(weir, client, sql, rounds):
    before = closed(weir)
    for _ in range(rounds):
        client.query(sql)
    return closed(weir) == before


def test_ddl_that_goes_on_behind_such_a_name_costs_connections_until_the_code_was_read(weir, postgres, own):
    """Until the code was read, every name may reach the setter; the answer about the code says that this one does not."""
    made(postgres, own, "hll", "CREATE TABLE t (v int)")
    client = begin(weir, own, user="postgres", servers=2)[0]
    assert not costs_nothing(weir, client, BODY.format("sql", f"'SELECT {SET}'"), 1)
    wait_until(lambda: costs_nothing(weir, client, "ALTER TABLE t ALTER v SET DEFAULT 1", 30))


def test_a_function_made_behind_one_that_may_keep_something_is_no_such_function(weir, postgres, own):
    """Both are of one loan, as the temporary table pins its client."""
    made(postgres, own, "hll")
    other, client = begin(weir, own, user="postgres", servers=2)
    for sql in ("CREATE TEMP TABLE pins ()", r"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''\d'''"):
        client.query(sql)
    wait_until(lambda: costs_nothing(weir, other, "SELECT 1", 5))
    client.query("CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert costs_nothing(weir, other, "SELECT 1", 5)
