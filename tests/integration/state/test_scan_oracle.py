"""The suspicion scanner (src/sql/scan.c) and known statements (known.c) against PostgreSQL: what a text left in its
session was suspected, and a setting that is said to be known has the value that it is said to have.

Both are compiled to a library of the test's own; no pgweir runs here.
"""

import ctypes

import psycopg2
import pytest

from programs import compiled
from randomsql import FUNCTIONS, RandomSQL
from weir import REPOSITORY

SOURCE = REPOSITORY / "src"
FILES = [SOURCE / "sql" / f"{name}.c" for name in
         ("scan", "scan_literal", "scan_rules", "sql_words",
          "known", "known_setting", "known_statement", "sql_token")]
FLAGS = ("setting", "temp", "lock", "cursor", "prepare", "listen", "code", "execute", "load", "sequence", "create",
         "undo", "database", "savepoint", "names_lost", "nextval", "insert", "function", "seed",
         "writes")
BACKSLASH, TRAIL, SJIS = 1, 2, 4

LEFT_BEHIND = """
SELECT 'setting', name FROM pg_settings WHERE source = 'session' AND name <> 'client_encoding'
UNION ALL SELECT 'setting', 'client_encoding' WHERE current_setting('client_encoding') <> %(encoding)s
UNION ALL SELECT 'setting', name FROM unnest(%(custom)s) name WHERE current_setting(name, true) <> ''
UNION ALL SELECT 'setting', 'role' WHERE current_user <> 'postgres'
UNION ALL SELECT 'lock', objid::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT 'prepare', name FROM pg_prepared_statements
UNION ALL SELECT 'listen', c FROM pg_listening_channels() c
UNION ALL SELECT 'cursor', name FROM pg_cursors WHERE is_holdable
UNION ALL SELECT 'temp', relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
"""
CUSTOM = ["oracle." + letter for letter in "abcdefghik"] + ["oracle.own", "local.x"]
# What else may have done it, as SCAN_CODE says that nothing is known.
ALSO = {"setting": ("execute",), "temp": ("create",), "lock": ("execute",)}


MAKE = (f'awk -f {SOURCE}/sql/sql_names.awk {SOURCE}/sql/sql_names.tsv >"$0/sql_names_table.h" && '
        f'cc -std=gnu11 -D_GNU_SOURCE -O1 -shared -fPIC -I{SOURCE} "-I$0" -o "$0/scan.so" "$@"')


@pytest.fixture(scope="module")
def scanner(tmp_path_factory):
    loaded = ctypes.CDLL(str(compiled(tmp_path_factory, "scan", lambda out: ["sh", "-c", MAKE, out, *FILES]) / "scan.so"))
    loaded.known_parse.restype = ctypes.c_bool
    loaded.known_parse.argtypes = [ctypes.POINTER(KnownText), ctypes.c_uint, ctypes.c_char_p, ctypes.c_size_t]
    loaded.scan_text.restype = ctypes.c_uint32
    loaded.scan_text.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_char_p, ctypes.c_size_t]
    return loaded


class Scan(ctypes.Structure):
    """struct scan: what is not private, and room for what is."""
    _fields_ = [("flags", ctypes.c_uint32), ("hints", ctypes.c_uint32), ("first", ctypes.c_uint32),
                ("name_count", ctypes.c_uint32), ("names", ctypes.c_char * 64 * 8), ("private", ctypes.c_char * 4096)]


def suspicions(scanner, options, text):
    state = Scan()
    flags = scanner.scan_text(ctypes.byref(state), options, text, len(text))
    names = [state.names[i].value.decode() for i in range(state.name_count)]
    return {flag for i, flag in enumerate(FLAGS) if flags >> i & 1}, names


class Known(ctypes.Structure):
    """struct known"""
    _fields_ = [("kind", ctypes.c_uint8), ("params", ctypes.c_uint8 * 3), ("is_local", ctypes.c_bool), ("modes", ctypes.c_uint8 * 3),
                ("name", ctypes.c_char * 64), ("value", ctypes.c_char * 512)]


class KnownText(ctypes.Structure):
    """struct known_text"""
    _fields_ = [("count", ctypes.c_uint), ("is_all", ctypes.c_bool), ("statements", Known * 8)]


KNOWN_SET, KNOWN_RESET = 1, 3


class Session:
    """Runs texts on a connection of its own and says what they left; begins anew after each."""

    def __init__(self, postgres, encoding, options=""):
        self.encoding = encoding
        self.python_encoding = {"UTF8": "utf-8", "GBK": "gbk", "SJIS": "shift_jis"}[encoding]
        self.connection = postgres.connect(client_encoding=encoding, options=options)
        self.connection.autocommit = True

    def run(self, text):
        """(did it succeed, what it left); None: it never ran."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(text)
            succeeded = True
        except (psycopg2.errors.SyntaxError, psycopg2.errors.FeatureNotSupported, UnicodeDecodeError):
            return None
        except psycopg2.Error:
            succeeded = False
        if self.connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            cursor.execute("COMMIT")
        cursor.execute(LEFT_BEHIND, {"encoding": self.encoding, "custom": CUSTOM})
        left = cursor.fetchall()
        if left:
            cursor.execute("SELECT pg_advisory_unlock_all(); RESET SESSION AUTHORIZATION")
            cursor.execute("DISCARD ALL")
            for name in CUSTOM:
                if ("setting", name) in left:
                    cursor.execute(f"SET {name} = ''")  # a placeholder stays
        return succeeded, left


@pytest.fixture(scope="module")
def functions(postgres):
    """Functions that set oracle.own, two tables."""
    body = "BEGIN PERFORM set_config('oracle.own', 'x', false); RETURN true; END"
    postgres.query(";".join(f'CREATE OR REPLACE FUNCTION public."{name}"({argument}) RETURNS boolean LANGUAGE plpgsql AS $${body}$$'
                            for name in FUNCTIONS for argument in ("int", "text")))
    postgres.query("CREATE OR REPLACE PROCEDURE own_procedure() LANGUAGE plpgsql AS "
                   "$$BEGIN PERFORM set_config('oracle.own', 'x', false); END$$")
    for table in ("one", "two"):
        postgres.query(f"DROP TABLE IF EXISTS {table}")
        postgres.query(f"CREATE TABLE {table} AS SELECT 1 AS a")


DIALECTS = {
    "standard": ("UTF8", "", 0, "äß"),
    "backslashes": ("UTF8", "-c standard_conforming_strings=off -c escape_string_warning=off", BACKSLASH, ""),
    "gbk": ("GBK", "", TRAIL, "乗乲亅"),
    "sjis": ("SJIS", "", TRAIL | SJIS, "表ソ能ｱ"),
}


def check_left(text, left, flags, names):
    for kind, what in left:
        allowed = {kind, "code", "function", *ALSO.get(kind, ())}
        assert flags & allowed, f"{what} was left behind, suspected is {flags}: {text!r}"
        if kind == "setting" and "." in what and not flags & {"code", "function", "execute", "names_lost"}:
            assert what in names, f"{what} is not among {names}: {text!r}"


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_whatever_a_text_leaves_behind_was_suspected(postgres, functions, scanner, dialect):
    encoding, settings, options, letters = DIALECTS[dialect]
    session, sql = Session(postgres, encoding, settings), RandomSQL(20 + len(dialect), options & BACKSLASH, letters)
    ran = found = 0
    for number in range(900):
        make = (sql.leaving, sql.leaving, sql.soup)[number % 3]
        text = make().encode(session.python_encoding)
        flags, names = suspicions(scanner, options, text)
        answer = session.run(text)
        if answer is not None:
            ran += 1
            found += bool(answer[1])
            check_left(text, answer[1], flags, names)
    assert ran > 400 and found > 300, f"too few say anything: {ran} ran, {found} left something"


@pytest.mark.sweep(keep=2)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_texts_that_leave_nothing_are_not_suspected(postgres, functions, scanner, dialect):
    encoding, settings, options, letters = DIALECTS[dialect]
    session, sql = Session(postgres, encoding, settings), RandomSQL(40 + len(dialect), options & BACKSLASH, letters)
    quiet = ran = 0
    for _ in range(300):
        text = sql.harmless().encode(session.python_encoding)
        flags, _ = suspicions(scanner, options, text)
        answer = session.run(text)
        if answer is None:
            continue
        ran += 1
        assert answer[1] == [], text
        # An identifier with escapes could be anything.
        if b'u&"' not in text.lower():
            quiet += 1
            flags = set(flags) - {"insert", "writes"}  # expects a currval(), no state
            assert not flags, f"suspected of {flags}: {text!r}"
    assert ran > 200 and quiet > 70, f"too few say anything: {ran} ran, {quiet} without U&"


def patiently(cursor, sql, *arguments):
    """A statement_timeout of a millisecond may be what was set last."""
    for _ in range(1000):
        try:
            return cursor.execute(sql, *arguments)
        except psycopg2.errors.QueryCanceled:
            continue
    raise AssertionError(f"cancelled again and again: {sql}")


def settings(cursor, names):
    patiently(cursor, "SELECT array_agg(coalesce(current_setting(n, true), '') ORDER BY n) FROM unnest(%s) n", (names,))
    return dict(zip(sorted(names), cursor.fetchone()[0]))


def test_known_settings_have_the_values_that_postgresql_gives_them(postgres, functions, scanner):
    names = sorted({"application_name", "client_encoding", "datestyle", "extra_float_digits", "oracle.k", "role",
                    "search_path", "statement_timeout", "timezone", "work_mem"})
    client, other = postgres.connect(), postgres.connect()
    client.autocommit = other.autocommit = True
    client, other = client.cursor(), other.cursor()
    client.execute("SELECT word FROM pg_get_keywords() ORDER BY 1")
    sql = RandomSQL(60)
    words = [word for (word,) in client.fetchall()]
    known = 0
    for _ in range(900):
        text = sql.setting(words)
        parsed = KnownText()
        try:
            patiently(client, text)
        except psycopg2.Error:
            continue
        if scanner.known_parse(parsed, 0, text.encode(), len(text.encode())):
            statement = parsed.statements[0]
            name, value = statement.name.decode(), statement.value.decode()
            assert parsed.count == 1 and statement.kind in (KNOWN_SET, KNOWN_RESET), text
            if statement.kind == KNOWN_SET:
                patiently(other, "SELECT set_config(%s, %s, false)", (name, value))
            else:
                patiently(other, f"RESET {name}")
            known += 1
            assert settings(other, names) == settings(client, names), text
        client.execute("RESET ROLE; RESET ALL")
        other.execute("RESET ROLE; RESET ALL")
    assert known > 200, f"only {known} of 900 were known"
