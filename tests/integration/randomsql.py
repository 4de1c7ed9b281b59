"""Random SQL texts, made from a seed: what leaves something in its session, in every dress, and what looks like it."""

import random
import re

# Functions of the test's own; some have names that are keywords elsewhere, so that calls look like syntax.
FUNCTIONS = ("own", "conflict", "filter", "over", "key", "set", "value", "zone", "rollup", "sets", "range", "by",
             "materialized", "day", "work", "temp", "execute", "load", "string", "first", "rows")

# <text> is a literal, [name] an identifier, the rest is tokens. What each leaves is found out by asking PostgreSQL.
LEAVING = (
    "SET [work_mem] = <1MB>", "SET SESSION [oracle] . [a] TO <x>", "SET [oracle] . [b] = 5", "RESET [work_mem]",
    "SET TIME ZONE <Europe/Rome>", "SET ROLE [web]", "SET SESSION AUTHORIZATION [web]",
    "SET [search_path] TO [pg_temp] , public", "SET NAMES <LATIN1>",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET local . x = 1",
    "SELECT [set_config] ( <oracle.c> , <v> , false )",
    "SELECT [pg_catalog] . [set_config] ( <work_mem> , <2MB> , false )",
    "SELECT 1 WHERE [set_config] ( <oracle.d> , <v> , false ) IS NOT NULL",
    "SELECT DISTINCT ON ( 1 ) [set_config] ( <oracle.e> , <> , false )", "CREATE TEMP TABLE [t] ( a int )",
    "CREATE TEMPORARY VIEW [v] AS SELECT 1", "CREATE OR REPLACE TEMP VIEW [w] AS SELECT 1",
    "SELECT 1 AS a INTO TEMP [u]", "SELECT 1 AS a INTO LOCAL TEMPORARY TABLE [u]",
    "CREATE TABLE [pg_temp] . [x] ( a int )", "CREATE LOCAL TEMP SEQUENCE [s]",
    "EXPLAIN ( ANALYZE ) CREATE TEMP TABLE [y] AS SELECT 1",
    "SELECT [set_config] ( <search_path> , <pg_temp> , true ) ; CREATE TABLE [z] ( a int )",
    "SELECT [pg_advisory_lock] ( 1 )", "SELECT ( 1 :: bigint ) . [pg_advisory_lock]",
    "SELECT [pg_try_advisory_lock_shared] ( 1 , 2 )",
    "SELECT * FROM [pg_catalog] . [pg_try_advisory_lock] ( 3 ) AS x",
    "BEGIN ; DECLARE [c] CURSOR WITH HOLD FOR SELECT 1 ; COMMIT",
    "BEGIN ; DECLARE [c] BINARY NO SCROLL CURSOR WITH HOLD FOR SELECT <x> ; END", "PREPARE [p] AS SELECT <x>",
    "PREPARE [p] ( int ) AS SELECT $1", "PREPARE transaction AS SELECT 1",
    "PREPARE [p] AS SELECT [set_config] ( <oracle.f> , <v> , false ) ; EXECUTE [p]", "LISTEN [l]",
    "DO <begin perform set_config('oracle.g', 'v', false); end>",
    "DO LANGUAGE [plpgsql] <begin set oracle.h = 1; end>",
    "DO <begin execute 'set oracle.i to 2'; end> LANGUAGE plpgsql", "CALL [own_procedure] ( )",
)
# {call} leaves something: in all these places a function may be called.
CALLING = (
    "SELECT {call}", "SELECT 1 , {call} AS x", "SELECT * FROM {call} AS x",
    "SELECT 1 FROM [one] JOIN [two] ON {call}", "SELECT DISTINCT ON ( 1 ) {call}", "SELECT 1 WHERE NOT {call}",
    "SELECT 1 WHERE true AND {call}", "WITH x AS ( SELECT 1 , {call} ) SELECT * FROM x",
    "WITH x AS ( SELECT 1 ) SELECT 1 , {call} FROM x", "SELECT CASE WHEN {call} THEN 1 END", "VALUES ( 1 , {call} )",
    "SELECT 1 ORDER BY {call}", "SELECT 1 LIMIT {call} :: int", "SELECT 1 OPERATOR ( pg_catalog . + ) {call} :: int",
    "SELECT array [ {call} ]", "SELECT ( {call} )", "SELECT 1 FROM [one] LEFT JOIN LATERAL {call} AS x ON true",
    "SELECT [count] ( * ) FILTER ( WHERE {call} )", "SELECT 1 FROM [one] GROUP BY {call}",
    "INSERT INTO [one] ( a ) SELECT 1 WHERE {call}",
    "INSERT INTO [one] ( a ) SELECT 1 FROM [two] JOIN [one] AS b ON {call}", "UPDATE [one] SET a = 1 WHERE {call}",
    "DELETE FROM [one] USING [two] WHERE {call}", "INSERT INTO [one] VALUES ( 1 ) RETURNING {call}",
    "SELECT 1 BETWEEN 0 AND {call} :: int", "SELECT [row_number] ( ) OVER ( PARTITION BY {call} )",
    "SELECT <x> LIKE {call} :: text", "SELECT ROW ( 1 , {call} )", "EXPLAIN ANALYZE SELECT {call}",
    "SELECT ALL {call}", "SELECT - {call} :: int", "SELECT * FROM ROWS FROM ( {call} ) AS x",
    "TABLE [one] UNION SELECT {call} :: int", "SELECT coalesce ( NULL , {call} )", "SELECT XMLFOREST ( {call} AS x )",
    "SELECT <2000-01-01> :: timestamp AT TIME ZONE {call} :: text",
)
# None of these may be suspected of anything.
HARMLESS = (
    "SELECT <x'; LISTEN x; --'y>", "SELECT <x> , <it's; SET a = 1; it's> AS [it]",
    "SELECT 1", "SELECT <set_config('a.b', 'c', false)> AS [x]",
    "SELECT <'; SET a.b = 1; --> , <it's> , 5 AS [; LISTEN x;]", "SELECT <$$; SET a.b = 1; $$ $a$> || <\\>",
    "SELECT <*/ ; LISTEN x ; /*> AS [a], <\\'; DISCARD ALL; --> AS [b]",
    "INSERT INTO [one] ( [a] ) VALUES ( 1 ) , ( [length] ( <E'\\\\'> ) )", "SET LOCAL [oracle] . [z] = <x>",
    "UPDATE [one] SET [a] = [lower] ( <1> ) :: int WHERE [a] IN ( 1 , 2 )",
    "SELECT [a] , [one] . [a] FROM [public] . [one] AS [q] ( [a] ) , [one]",
    "WITH RECURSIVE [r] ( n ) AS ( VALUES ( 1 ) UNION ALL SELECT n + 1 FROM [r] WHERE n < 3 ) , [k] ( m ) AS "
    "( SELECT 1 ) SELECT * FROM [r]",
    "SELECT [count] ( * ) FILTER ( WHERE true ) OVER ( ) FROM ( VALUES ( 1 ) ) AS [v] ( [w] ) JOIN [one] [o] "
    "( p ) ON ( true )",
    "SELECT 1 :: numeric ( 5 , 2 )", "INSERT INTO [one] ( a ) VALUES ( 1 ) ON CONFLICT DO NOTHING",
    "BEGIN ; SELECT <$> ; COMMIT", "SELECT - 1 - - 2 * + 3 / 4 AS [/*]", "SELECT [pg_advisory_xact_lock] ( 1 )",
    "SELECT <x> COLLATE [C] , [upper] ( <--> ) AS [--]", "SELECT 2",
)


class RandomSQL:
    def __init__(self, seed, escapes=False, letters=""):
        self.random = random.Random(seed)
        self.escapes = escapes      # standard_conforming_strings = off
        self.letters = letters      # beyond ASCII

    def _gap(self, is_needed):
        choice = self.random.random()
        if choice < 0.6:
            return " " * (is_needed or choice < 0.3)
        inner = self.random.choice(("", "x", "*", "/", "; SET a = 1", "'", '"', "$$", "\\", "/*/**/*/", "-- ",
                                    *self.letters))
        if choice < 0.7:
            return f"/*{inner}*/" if not inner.endswith("/") or inner.endswith("*/") else f"/*{inner} */"
        if choice < 0.8:
            return f"--{inner}{self.random.choice(('', '*/'))}" + self.random.choice("\n\r")
        return self.random.choice(("\n", "\t", "\r", "\f", "  ")) * self.random.randint(1, 3)

    def _standard(self, text):
        text = text.replace("'", "''")
        return "'" + (text.replace("\\", "\\\\") if self.escapes else text) + "'"

    def _escaped(self, text):
        """What stands between the quotes of E''. A backslash before a letter that needs none is left out again."""
        quote = self.random.choice(("\\'", "''"))
        escaped = text.replace("\\", "\\\\").replace("'", quote)
        return "".join(self.random.choice(("", "\\")) + c if c in self.letters else c for c in escaped)

    def _literal(self, text):
        if self.letters and self.random.random() < 0.5 and text.startswith(("it", "x", "\\")):
            letter = self.random.choice(self.letters)
            text = self.random.choice((letter + text, text + letter))
        style = self.random.randrange(7)
        if style == 0:
            return self.random.choice("eE") + "'" + self._escaped(text) + "'"
        if style == 1 and not self.letters:
            return self.random.choice("eE") + "'" + "".join(f"\\x{ord(c):02x}" if self.random.random() < 0.2 else
                                                         c.replace("\\", "\\\\").replace("'", "''") for c in text) + "'"
        if style == 2:
            tag = self.random.choice(("", "a", "A_1", "longer"))
            if f"${tag}$" not in text + f"${tag}":
                return f"${tag}${text}${tag}$"
        if style == 3 and not self.escapes:
            return "U&'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
        if style == 4 and len(text) > 1:
            cut = self.random.randrange(1, len(text))
            gap = self.random.choice((" \n", "\r\t", " -- ' \n ", "\n--\\'\n--\n"))
            if self.random.random() < 0.5:
                return f"E'{self._escaped(text[:cut])}'{gap}'{self._escaped(text[cut:])}'"
            return self._standard(text[:cut]) + gap + self._standard(text[cut:])
        return self._standard(text)

    def _identifier(self, name):
        style = self.random.randrange(8)
        if not re.fullmatch("[a-z_][a-z0-9_]*", name) or style == 0:
            return '"' + name.replace('"', '""') + '"'
        if style == 1 and not self.escapes:
            at = self.random.randrange(len(name))
            return f'U&"{name[:at]}\\00{ord(name[at]):02x}{name[at + 1:]}"'
        return self._keyword(name)

    def _keyword(self, word):
        return "".join(self.random.choice((c.lower(), c.upper())) for c in word)

    def _render(self, template):
        out = ""
        for token in re.findall(r"<[^>]*>|\[[^\]]*\]|\S+", template):
            if token[0] == "<" and token[-1] == ">" and len(token) > 1:
                token = self._literal(token[1:-1])
            elif token[0] == "[" and token[-1] == "]" and token != "[]" and len(token) > 2:
                token = self._identifier(token[1:-1])
            elif token.isalpha():
                token = self._keyword(token)
            is_needed = bool(out) and (out[-1].isalnum() or out[-1] in "_$'\"" or ord(out[-1]) > 127) \
                and (token[0].isalnum() or token[0] in "_$'\"")
            is_needed = is_needed or (bool(out) and not token[0].isalnum() and not out[-1].isalnum()
                                      and token not in "(),;." and out[-1] not in "(),;.")
            out += self._gap(is_needed) if out else ""
            # A literal must not become the next line of the one before it, nor a comment's end one's beginning.
            if out and out[-1:] not in " \n\r\t\f" and is_needed:
                out += " "
            out += token
        return out

    def _call(self):
        name = f"[{self.random.choice(FUNCTIONS)}]"
        return self.random.choice((name, name, f"[public] . {name}")) + " ( " + self.random.choice(("1", "<x>")) + " )"

    def harmless(self):
        return self._text([self.random.choice(HARMLESS) for _ in range(self.random.randint(1, 3))])

    def leaving(self):
        templates = [self.random.choice(HARMLESS) for _ in range(self.random.randint(0, 2))]
        one = self.random.choice(LEAVING) if self.random.random() < 0.5 else \
            self.random.choice(CALLING).replace("{call}", self._call())
        templates.insert(self.random.randint(0, len(templates)), one)
        return self._text(templates)

    def _text(self, templates):
        return self._gap(False) + ";".join(self._render(t) + self._gap(False) for t in templates)

    def _value(self, words):
        text = self.random.choice(("", "x", "a, b", 'q"r', "it's", "B c", "\\", "iso", "ymd", "5", "1", "web",
                                   "none", "utc"))
        style = self.random.randrange(5)
        if style == 0:
            return self.random.choice(("5", "-5", "+5", "007", "1.5", ".5", "0", "-0", "2", "100", "9999999999", "0x10",
                                       "1e2"))
        if style == 1:
            return self.random.choice(("on", "OFF", "True", "false", "DEFAULT", "iso", "ymd", "utc", "latin1", "web",
                                       "none"))
        if style == 2:
            return self._keyword(self.random.choice(words))
        if style == 3:
            return self._literal(text)
        return '"' + (text or self.random.choice(words)).replace('"', '""') + '"'

    def setting(self, words):
        """SET in all its forms."""
        name = self.random.choice(("search_path", "search_path", "application_name", "DateStyle", "timezone",
                                   "work_mem", "role", "oracle.k", "statement_timeout", "client_encoding",
                                   "extra_float_digits"))
        values = ", ".join(self._value(words) for _ in range(self.random.choice((1, 1, 2, 3))))
        one = self._value(words)
        name = " . ".join(self._identifier(part) for part in name.split("."))
        return self._gap(False) + self.random.choice((
            f"SET {name} = {values}", f"SET {name}{self._gap(True)}TO {values}", f"SET SESSION {name}={values}",
            f"RESET {name}", f"SET TIME ZONE {one}", f"SET NAMES {one}", f"SET ROLE {one}", f"SET SCHEMA {one}",
            f"SET {name} TO DEFAULT",
            f"SELECT set_config({self._literal('Search_Path')}, {self._literal('a, B')}, false)")) + self._gap(False)

    def soup(self):
        """Nearly never right, and then surprising."""
        pieces = ("'", "''", "\\'", "\\", "E'", "e'", "U&'", "b'", "$$", "$a$", "$a", "$1", '"', '""', "/*", "*/", "--",
                  "\n", ";", " ", ";SET oracle.k=1;", ";LISTEN x;", "select ", "x", ",", "1", "(", ")", *self.letters)
        return "SELECT " + "".join(self.random.choice(pieces) for _ in range(self.random.randint(2, 12)))
