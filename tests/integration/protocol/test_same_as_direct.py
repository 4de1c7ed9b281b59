"""Conversations whose replies through pgweir must equal PostgreSQL's own, message for message."""

import pytest

from compare import assert_same, converse, normalized
from rawwire import (Wire, bind, close, copy_data, copy_done, copy_fail, describe, execute, flush, function_call,
                     one_statement, parse, query, sync)
from waiting import each

INT4 = 23
TEXT = 25
S = sync()
ONE = one_statement("SELECT 1")
FAILS = one_statement("SELECT 1/0")
BAD_PARSE = parse("", "SELEC 1")

# what it shows: the turns of a conversation (see compare.converse)
CONVERSATIONS = {
    # simple protocol
    "one row": [query("SELECT 1 AS one, NULL AS nothing, 'x' AS text")],
    "no rows": [query("SELECT 1 WHERE false")],
    "a row without columns": [query("SELECT FROM generate_series(1, 3)")],
    "an empty query": [query("")],
    "only blanks and semicolons": [query("  ; ;  ")],
    "only a comment": [query("-- ping")],
    "several statements in one query": [query("SELECT 1; SELECT 2, 3; SELECT 'four'")],
    "an error in the middle of several statements": [query("SELECT 1; SELECT 1/0; SELECT 3")],
    "a syntax error spoils all the statements": [query("SELECT 1; SELEC 2")],
    "a notice before the result": [query("DO $$ BEGIN RAISE NOTICE 'hello %', 42; END $$")],
    "many notices": [query("DO $$ BEGIN FOR i IN 1..500 LOOP RAISE NOTICE 'n %', i; END LOOP; END $$")],
    "a warning from the transaction machine": [query("COMMIT"), query("ROLLBACK"), query("BEGIN; BEGIN; COMMIT")],
    "an error with detail, hint and position": [query("SELECT lenght('x')")],
    "an error in a function has context": [query("DO $$ BEGIN PERFORM 1/0; END $$")],
    "a transaction": [query("BEGIN"), query("SELECT 1"), query("COMMIT")],
    "a failed transaction refuses all but its end": [
        query("BEGIN"), query("SELECT 1/0"), query("SELECT 1"), query("COMMIT"), query("SELECT 2")],
    "savepoints": [query("BEGIN"), query("SAVEPOINT a"), query("SELECT 1/0"), query("ROLLBACK TO a"),
                   query("SELECT 2"), query("RELEASE a"), query("COMMIT")],
    "commit and chain": [query("BEGIN"), query("COMMIT AND CHAIN"), query("SELECT 1"), query("ROLLBACK AND CHAIN"),
                         query("ROLLBACK")],
    "a transaction begun in the middle of a query": [query("SELECT 1; BEGIN; SELECT 2"), query("COMMIT; SELECT 3")],
    "explain and show have rows too": [query("SHOW server_version"), query("EXPLAIN (COSTS OFF) SELECT 1")],
    "a statement of many bytes": [query("SELECT length('" + "x" * 300_000 + "')")],
    "a row of many bytes": [query("SELECT repeat('x', 1000000)")],
    "many small rows": [query("SELECT i FROM generate_series(1, 20000) i")],
    "a row of many columns": [query("SELECT " + ", ".join(str(i) for i in range(1600)))],
    "a function call": [function_call(177, [b"\0\0\0\2", b"\0\0\0\3"])],  # int4pl
    "a function call that fails": [function_call(154, [b"\0\0\0\2", b"\0\0\0\0"]), query("SELECT 1")],  # int4div
    "a function call of an unknown function": [function_call(4_000_000_000, []), query("SELECT 1")],

    # extended protocol
    "a sync alone": [S],
    "syncs in a row": [(S + S + S, 3)],
    "parse, bind, describe, execute": [ONE + S],
    "the same in turns": [parse("", "SELECT 1") + S, bind() + describe("P") + execute() + S],
    "describe of a statement": [parse("a", "SELECT $1::int + 1, $2::text") + describe("S", "a") + S],
    "describe of a statement without rows": [parse("a", "SET LOCAL geqo = on") + describe("S", "a") + S],
    "describe of a portal without rows": [parse("", "BEGIN") + bind() + describe("P") + execute() + S, query("COMMIT")],
    "parameters and their types": [parse("", "SELECT $1 + $2, $3", (INT4, 0, TEXT)) + describe("S") +
                                   bind("", "", [1, 2, "drei"]) + execute() + S],
    "a null parameter": [one_statement("SELECT $1::text IS NULL, $1::text", [None]) + S],
    "an empty parameter": [one_statement("SELECT $1::text = '', length($1::text)", [""]) + S],
    "binary parameters and results": [parse("", "SELECT $1::int4, $1::int4::text") +
                                      bind("", "", [b"\0\0\1\0"], [1], [1, 0]) + describe("P") + execute() + S],
    "an empty statement": [one_statement("") + S],
    "several executes in one sync": [ONE + one_statement("SELECT 2, 3") + one_statement("") + S],
    "execute in portions": [parse("", "SELECT i FROM generate_series(1, 5) i") + bind() + execute("", 2) +
                            execute("", 2) + execute("", 2) + execute("", 2) + S],
    "a named portal in a transaction": [
        query("BEGIN"), parse("", "SELECT i FROM generate_series(1, 5) i") + bind("p") + execute("p", 2) + S,
        execute("p", 2) + S, execute("p") + S, close("P", "p") + S, execute("p") + S, query("ROLLBACK")],
    "a portal is gone after its transaction": [parse("", "SELECT 1") + bind("p") + S, execute("p") + S],
    "an unknown portal": [execute("nowhere") + S, describe("P", "nowhere") + S, query("SELECT 1")],
    "a portal that is there already": [parse("", "SELECT 1") + bind("p") + bind("p") + execute("p") + S],
    "an unknown statement": [bind("", "nowhere") + execute() + S, describe("S", "nowhere") + S],
    "a statement that is there already": [parse("a", "SELECT 1") + S, parse("a", "SELECT 2") + S,
                                          bind("", "a") + execute() + S],
    "a statement closed and named anew": [parse("a", "SELECT 1") + close("S", "a") + parse("a", "SELECT 2") +
                                          bind("", "a") + execute() + S],
    "close of unknown names is no error": [close("S", "nowhere") + close("P", "nowhere") + close("S", "") + S],
    "a closed statement is unknown": [parse("a", "SELECT 1") + S, close("S", "a") + S, bind("", "a") + execute() + S],
    "an error in parse": [BAD_PARSE + bind() + execute() + S, ONE + S],
    "an error in bind": [parse("", "SELECT $1::int") + bind("", "", ["x"]) + execute() + S, ONE + S],
    "too few parameters in bind": [parse("a", "SELECT $1::int, $2::int") + bind("", "a", [1]) + execute() + S],
    "an error in execute": [FAILS + S, ONE + S],
    "a row, then an error": [one_statement("SELECT 1/(3-i) FROM generate_series(1, 5) i") + S],
    "after an error all is skipped to sync": [FAILS + ONE + ONE + describe("S", "nowhere") + close("S", "x") + S],
    "a simple query after an error is skipped too": [FAILS + query("SELECT 2") + S],
    "a failed parse does not take the name": [parse("a", "SELEC") + S, parse("a", "SELECT 7") + S,
                                              bind("", "a") + execute() + S],
    "a parse that was skipped does not take the name": [FAILS + parse("a", "SELECT 1") + S,
                                                        bind("", "a") + execute() + S, parse("a", "SELECT 5") + S,
                                                        bind("", "a") + execute() + S],
    "a close that was skipped does not free the name": [parse("a", "SELECT 1") + S, FAILS + close("S", "a") + S,
                                                        bind("", "a") + execute() + S, parse("a", "SELECT 2") + S],
    "statements outlive a rollback": [query("BEGIN"), parse("a", "SELECT 1") + S, query("ROLLBACK"),
                                      bind("", "a") + execute() + S],
    "parse in a failed transaction": [query("BEGIN"), query("SELECT 1/0"), parse("a", "SELECT 1") + S,
                                      parse("b", "ROLLBACK") + bind("", "b") + execute() + S,
                                      bind("", "a") + execute() + S],
    "parse of a known text in a failed transaction": [
        parse("a", "SELECT 1") + S, query("BEGIN"), query("SELECT 1/0"), parse("b", "SELECT 1") + S, query("ROLLBACK"),
        bind("", "b") + execute() + S, bind("", "a") + execute() + S],
    "parse of a known text behind a failure that is not answered yet": [
        parse("a", "SELECT 1") + S, query("BEGIN"), (FAILS + S + parse("b", "SELECT 1") + S, 2), query("ROLLBACK"),
        bind("", "b") + execute() + S],
    "the same behind a query that fails, with others in its batch": [
        parse("a", "SELECT 1") + S, query("BEGIN"),
        (query("SELECT 1/0") + close("S", "a") + parse("b", "SELECT 1") + parse("c", "SELECT 1") + bind("", "b") + S, 2),
        query("ROLLBACK"), bind("", "b") + S, bind("", "a") + S],
    "the same behind a begin that is not answered yet": [
        parse("a", "SELECT 1") + S,
        (one_statement("BEGIN") + S + FAILS + S + parse("b", "SELECT 1") + bind("", "b") + execute() + S, 3),
        query("ROLLBACK"), bind("", "b") + execute() + S],
    "the same in a transaction that begins and fails in one query": [
        parse("a", "SELECT 1") + S, (query("BEGIN; SELECT 1/0") + parse("b", "SELECT 1") + S, 2), query("ROLLBACK"),
        bind("", "b") + S],
    "the same of what ends the transaction": [
        parse("a", "ROLLBACK") + S, query("BEGIN"), (FAILS + S + parse("b", "ROLLBACK") + bind("", "b") + execute() + S, 2)],
    "the same, with the rollback ahead of it": [
        parse("a", "SELECT 1") + S, query("BEGIN"),
        (FAILS + S + query("ROLLBACK") + parse("b", "SELECT 1") + bind("", "b") + execute() + S, 3)],
    "the same, with the rollback of a known failure ahead of it": [
        parse("a", "SELECT 1") + S, query("BEGIN"), FAILS + S,
        (query("ROLLBACK") + parse("b", "SELECT 1") + bind("", "b") + execute() + S, 2)],
    **{f"parse of a known text in a failed transaction, behind {what} that PostgreSQL takes": [
        parse("a", "SELECT 1") + parse("r", "ROLLBACK") + S, query("BEGIN"), query("SELECT 1/0"),
        message + parse("b", "SELECT 1") + S, query("ROLLBACK"), bind("", "b") + execute() + S]
       for what, message in {"the parse of a rollback": parse("q", "ROLLBACK"), "the bind of a rollback": bind("", "r"),
                             "the parse of nothing": parse("q", "")}.items()},
    "a prepared rollback ends a failed transaction": [
        parse("r", "ROLLBACK") + S, query("BEGIN"), query("SELECT 1/0"), bind("", "r") + execute() + S,
        query("SELECT 1")],
    "a close that was skipped behind an error, of a name that was just parsed": [
        execute("nowhere") + parse("b", "SELECT 1") + close("S", "b") + S, parse("b", "SELECT 2") + S,
        bind("", "b") + execute() + S],
    "a parse that was skipped leaves no unnamed statement": [
        parse("", "SELECT 1") + execute("nowhere") + parse("", "SELECT 2") + S, query("COMMIT"), describe("S") + S],
    "a name in use behind another statement's parse": [
        parse("a", "SELECT 1") + S, parse("", "SELECT 2") + parse("a", "SELECT 3") + S, bind("", "a") + execute() + S],
    "the right name is named when two have one text": [
        parse("c", "SELECT $1::text") + parse("a", "SELECT $1::text") + parse("a", "SELECT $1::text") + S],
    "an unknown name is named as the client named it": [
        parse("b", "SELEC") + S, describe("S", "b") + S, execute("nowhere") + parse("d", "SELECT 1") + S,
        bind("", "d") + S],
    "a failed simple query destroys the unnamed statement": [parse("", "SELECT 1") + S, query("SELEC"),
                                                             bind() + execute() + S],
    "deallocate all that is only parsed frees nothing": [
        parse("b", "SELECT $1::text") + parse("", "DEALLOCATE ALL") + parse("a", "SELECT $1::text") + S,
        bind("", "a", ["x"]) + execute() + S, bind("", "b", ["y"]) + execute() + S],
    "a simple query in the middle of a pipeline": [(parse("", "SELECT 1") + bind() + execute() + query("SELECT 2"), 1),
                                                   S],
    "a simple query destroys the unnamed statement": [parse("", "SELECT 1") + S, query("SELECT 2"),
                                                      bind() + execute() + S],
    "a failed parse destroys the unnamed statement": [parse("", "SELECT 1") + S, BAD_PARSE + S, bind() + execute() + S],
    "close destroys the unnamed statement": [parse("", "SELECT 1") + S, close("S", "") + S, bind() + execute() + S],
    "the unnamed statement lives over syncs": [parse("", "SELECT $1::text") + S, bind("", "", ["a"]) + execute() + S,
                                               bind("", "", ["b"]) + describe("P") + execute() + S,
                                               describe("S") + S],
    "the unnamed statement after an error elsewhere": [parse("", "SELECT 1") + S,
                                                       parse("x", "SELECT 1/0") + bind("", "x") + execute() + S,
                                                       bind() + execute() + S],
    "flush gives replies before sync": [(parse("", "SELECT 1") + flush(), "1"), (bind() + flush(), "2"),
                                        (describe("P") + flush(), "T"), (execute() + flush(), "C"), S],
    "flush after an error": [(FAILS + flush(), "E"), ONE + S, ONE + S],
    "a transaction in one pipeline": [one_statement("BEGIN") + ONE + one_statement("COMMIT") + S],
    "a transaction over syncs of a pipeline": [(one_statement("BEGIN") + S + ONE + S + one_statement("COMMIT") + S, 3)],
    "an error in each of several syncs": [(FAILS + ONE + S + ONE + S + BAD_PARSE + S + ONE + S, 4)],
    "simple queries in a row, unanswered": [(query("SELECT 1") + query("SELECT 1/0") + query("SELECT 2; SELECT 3"), 3)],
    "a failing commit": [query("BEGIN; CREATE TEMP TABLE c (a int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP;"
                               "INSERT INTO c VALUES (1), (1)"), query("COMMIT"), query("SELECT 1")],
    "an implicit transaction of a pipeline is rolled back": [
        one_statement("CREATE TABLE must_not_stay (a int)") + FAILS + S, query("SELECT to_regclass('must_not_stay')")],
    "a parse of many bytes": [one_statement("SELECT length('" + "y" * 300_000 + "')") + S],
    "a bind of many bytes": [one_statement("SELECT length($1)", ["z" * 3_000_000]) + S],
    "a statement name of many bytes": [parse("n" * 9_000, "SELECT 1") + bind("", "n" * 9_000) + execute() +
                                       close("S", "n" * 9_000) + S],
    "a portal name of many bytes": [parse("", "SELECT 1") + bind("p" * 9_000) + execute("p" * 9_000) + S],
    "parameters by the thousand": [one_statement("SELECT " + "+".join(f"${i}::int" for i in range(1, 1001)),
                                                 list(range(1000))) + S],
    "deallocate frees the name": [parse("a", "SELECT 1") + S, query("DEALLOCATE a"), bind("", "a") + execute() + S,
                                  parse("a", "SELECT 2") + S, bind("", "a") + execute() + S],
    "deallocate all frees all names": [parse("a", "SELECT 1") + parse("b", "SELECT 2") + S, query("DEALLOCATE ALL"),
                                       bind("", "a") + S, bind("", "b") + S, parse("a", "SELECT 3") + S,
                                       bind("", "a") + execute() + S],
    "discard all frees all names": [parse("a", "SELECT 1") + S, query("DISCARD ALL"), bind("", "a") + S,
                                    parse("a", "SELECT 3") + bind("", "a") + execute() + S],
    "deallocate all in front of a parse, in one pipeline": [
        parse("a", "SELECT 1") + S,
        (one_statement("DEALLOCATE ALL") + S + parse("a", "SELECT 2") + S + bind("", "a") + execute() + S, 3)],
    "deallocate all by name of the extended protocol": [
        parse("a", "SELECT 1") + S, parse("d", "DEALLOCATE ALL") + bind("", "d") + execute() + S, bind("", "a") + S,
        bind("", "d") + S],
    "a deallocate that fails": [parse("a", "SELECT 1") + S, query("DEALLOCATE nowhere"), bind("", "a") + execute() + S],
    "a plan that psqlODBC frees": [
        query("BEGIN"), parse("_PLAN0x5", "SELECT $1::int") + S, bind("", "_PLAN0x5", [1]) + execute() + S,
        query('SAVEPOINT _EXEC_SVP_0x5;DEALLOCATE "_PLAN0x5";RELEASE _EXEC_SVP_0x5'), bind("", "_PLAN0x5", [1]) + S, query("ROLLBACK"), query("BEGIN"),
        parse("_PLAN0x5", "SELECT 2, $1::int") + S, bind("", "_PLAN0x5", [2]) + execute() + S, query("COMMIT")],
    "deallocate all takes a snapshot": [query("BEGIN"), query("DEALLOCATE ALL"), query("BEGIN ISOLATION LEVEL SERIALIZABLE"), query("ROLLBACK")],
    "deallocate takes a snapshot": [parse("a", "SELECT 1") + S, query("BEGIN"), query("SET LOCAL geqo = on"), query("DEALLOCATE a"),
                                    query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), query("ROLLBACK")],
    "deallocate all drops the unnamed portal": [query("BEGIN"), parse("", "SELECT 1") + bind() + bind("p") + S, query("DEALLOCATE ALL"),
                                                execute("p") + S, execute() + S, query("ROLLBACK")],
    "deallocate drops the unnamed portal": [query("BEGIN"), parse("a", "SELECT 1") + bind("", "a") + S, (query("DEALLOCATE a") + execute() + S, 2),
                                            query("ROLLBACK")],
    "deallocate among others": [parse("a", "SELECT 1") + parse("b", "SELECT 2") + parse("c", "SELECT 3") + S,
                                query("PREPARE q AS SELECT 1; DEALLOCATE a; SELECT 2; DEALLOCATE q; DEALLOCATE c;"), bind("", "a") + S,
                                bind("", "b") + execute() + S, bind("", "c") + S, parse("a", "SELECT 4") + bind("", "a") + execute() + S],
    "deallocate of the same among others": [parse("a", "SELECT 1") + S, query("DEALLOCATE a; DEALLOCATE a"), bind("", "a") + S,
                                            parse("a", "SELECT 2") + bind("", "a") + execute() + S],
    "deallocate of nothing among others": [parse("a", "SELECT 1") + S, query("SELECT 1; DEALLOCATE nowhere; DEALLOCATE a"), bind("", "a") + execute() + S],
    "deallocate ahead of a failure": [parse("a", "SELECT 1") + parse("b", "SELECT 2") + S, query("DEALLOCATE a; SELECT 1/0; DEALLOCATE b"),
                                      bind("", "a") + S, bind("", "b") + execute() + S],
    "deallocate behind a failure": [parse("a", "SELECT 1") + S, query("SELECT 1/0; DEALLOCATE a"), bind("", "a") + execute() + S],
    "deallocate in a failed transaction": [parse("a", "SELECT 1") + S, query("BEGIN"), FAILS + S, query("SAVEPOINT x; DEALLOCATE a; RELEASE x"),
                                           query("ROLLBACK"), bind("", "a") + execute() + S],
    "deallocate without a transaction for its savepoint": [parse("a", "SELECT 1") + S, query("DEALLOCATE a; ROLLBACK TO x; SELECT 1"), bind("", "a") + S],
    "deallocate and deallocate all": [parse("a", "SELECT 1") + parse("b", "SELECT 1") + S, query("DEALLOCATE a; DEALLOCATE ALL; DEALLOCATE b"),
                                      bind("", "b") + S, parse("a", "SELECT 2") + bind("", "a") + execute() + S],
    "deallocate among others and what follows at once": [
        parse("a", "SELECT 1") + S, (query("SELECT 1; DEALLOCATE a") + bind("", "a") + S + parse("a", "SELECT 2") + bind("", "a") + execute() + S, 3)],
    "deallocate among others behind messages without a sync": [
        (parse("a", "SELECT 1") + query("SELECT 1; DEALLOCATE a"), 1), bind("", "a") + S, parse("a", "SELECT 2") + S,
        (bind("", "a") + execute() + query("DEALLOCATE a; DEALLOCATE ALL"), 1), bind("", "a") + S],
    "deallocate of words of SQL": [parse("select", "SELECT 1") + parse("row", "SELECT 2") + parse("left", "SELECT 3") + parse("all", "SELECT 4") + S,
                                   query("DEALLOCATE select"), query("DEALLOCATE left"), query("DEALLOCATE row"), bind("", "select") + execute() + S,
                                   bind("", "row") + S, query('DEALLOCATE "select"; DEALLOCATE "all"'), query('DEALLOCATE "left"'), bind("", "select") + S,
                                   bind("", "all") + S, bind("", "left") + S],
    "close in a transaction that is rolled back": [parse("a", "SELECT 1") + S, query("BEGIN"), close("S", "a") + S,
                                                   query("ROLLBACK"), bind("", "a") + execute() + S],

    # copy
    "copy out": [query("COPY (SELECT i, 'x' FROM generate_series(1, 100) i) TO STDOUT")],
    "copy out by the extended protocol": [one_statement("COPY (SELECT 1) TO STDOUT") + S],
    "copy out that fails on its way": [query("COPY (SELECT 1/(50-i) FROM generate_series(1, 100) i) TO STDOUT")],
    "copy out between other statements": [query("SELECT 1; COPY (SELECT 2) TO STDOUT; SELECT 3")],
    "copy in": [(query("COPY same_copy FROM STDIN"), "G"), copy_data(b"1\ta\n") + copy_data(b"2\tb\n") + copy_done(),
                query("SELECT * FROM same_copy ORDER BY id")],
    "copy in, rows cut anywhere": [(query("COPY same_copy FROM STDIN"), "G"), b"".join(
        copy_data(bytes([byte])) for byte in b"1\tabc\n2\tdef\n") + copy_done(), query("SELECT * FROM same_copy")],
    "copy in that the client gives up": [(query("COPY same_copy FROM STDIN"), "G"), copy_data(b"1\ta\n") + copy_fail(),
                                         query("SELECT count(*) FROM same_copy")],
    "copy in with a bad row": [(query("COPY same_copy FROM STDIN"), "G"),
                               copy_data(b"x\ta\n") + copy_data(b"2\tb\n") + copy_done(), query("SELECT 1")],
    "copy in with a bad row and data that comes late": [
        (query("COPY same_copy FROM STDIN"), "G"), copy_data(b"x\ta\n" + b"1\ta\n" * 40_000),
        (copy_data(b"3\tb\n") * 100 + copy_done() + query("SELECT 'after'"), 1)],
    "copy in whose rows are refused at the end": [
        (query("COPY same_copy FROM STDIN"), "G"), copy_data(b"1\ta\n1\tb\n") + copy_done(), query("SELECT 1")],
    "copy in by the extended protocol": [
        (parse("", "COPY same_copy FROM STDIN") + bind() + describe("P") + execute() + flush(), "G"),
        copy_data(b"1\ta\n") + copy_done() + S, query("SELECT * FROM same_copy")],
    "copy in with the sync sent ahead": [
        (parse("", "COPY same_copy FROM STDIN") + bind() + execute() + S, "G"),
        copy_data(b"1\ta\n") + copy_done() + S, query("SELECT * FROM same_copy")],
    "copy in by the extended protocol, with a bad row": [
        (parse("", "COPY same_copy FROM STDIN") + bind() + execute() + flush(), "G"),
        copy_data(b"x\n") + copy_data(b"1\ta\n") * 100 + copy_done() + S, query("SELECT 1")],
    "copy in by the extended protocol, given up": [
        (parse("", "COPY same_copy FROM STDIN") + bind() + execute() + flush(), "G"),
        copy_data(b"1\ta\n") + copy_fail() + S, query("SELECT count(*) FROM same_copy")],
    "flush and sync in the middle of copy in": [
        (query("COPY same_copy FROM STDIN"), "G"),
        copy_data(b"1\ta\n") + flush() + S + copy_data(b"2\tb\n") + copy_done(), query("SELECT * FROM same_copy")],
    "two copies in one query": [
        (query("COPY same_copy FROM STDIN; COPY same_copy FROM STDIN"), "G"),
        (copy_data(b"1\ta\n") + copy_done(), "G"), copy_data(b"2\tb\n") + copy_done(),
        query("SELECT * FROM same_copy ORDER BY id")],
    "copy in inside a transaction": [query("BEGIN"), (query("COPY same_copy FROM STDIN"), "G"),
                                     copy_data(b"1\ta\n") + copy_done(), query("ROLLBACK"),
                                     query("SELECT count(*) FROM same_copy")],
    "copy in that fails inside a transaction": [
        query("BEGIN"), (query("COPY same_copy FROM STDIN"), "G"), copy_data(b"x\n") + copy_done(), query("SELECT 1"),
        query("ROLLBACK")],
    "binary copy out and in": [query("COPY (SELECT 1::int4, 'a'::text) TO STDOUT (FORMAT binary)"),
                               (query("COPY same_copy FROM STDIN (FORMAT binary)"), "G"),
                               copy_data(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\2\0\0\0\4\0\0\0\7\0\0\0\1z\xff\xff") +
                               copy_done(), query("SELECT * FROM same_copy")],
    "copy data with no copy open is dropped": [(copy_data(b"x") + copy_done() + query("SELECT 1"), 1)],
    "copy of a relation that is not there": [query("COPY nowhere FROM STDIN"), query("SELECT 1")],
}


@pytest.fixture(scope="module", autouse=True)
def copy_table(postgres):
    postgres.query("CREATE TABLE same_copy (id int PRIMARY KEY, v text)")
    postgres.query("ALTER TABLE same_copy OWNER TO web")
    yield
    postgres.query("DROP TABLE same_copy")


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("turns", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_the_replies_are_postgresqls_own(weir, postgres, turns):
    weir.start(pool_size=2)
    assert_same(weir, turns, prepare=lambda: postgres.query("TRUNCATE same_copy"))


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("turns", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_the_replies_are_postgresqls_own_when_servers_change_all_the_time(weir, postgres, turns):
    """pool_lifo off and four servers: nearly every request meets another server than the one before."""
    weir.start(pool_size=4, pool_lifo=False)
    holders = [weir.raw() for _ in range(4)]
    each(holders).query("BEGIN")
    each(holders).query("COMMIT")
    assert_same(weir, turns, prepare=lambda: postgres.query("TRUNCATE same_copy"))


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("turns", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_the_replies_are_postgresqls_own_in_session_mode(weir, postgres, turns):
    weir.start(pool_mode="session")
    assert_same(weir, turns, prepare=lambda: postgres.query("TRUNCATE same_copy"))


OTHER = parse("other", "SELECT 'other'") + S
IN_FAILED = [query("BEGIN"), query("SELECT 1/0")]
ADDS = function_call(177, [b"\0\0\0\2", b"\0\0\0\3"])

# Of a client with settings of its own, on a server that another one has used, and that keeps one statement only.
CROWDED = {
    "describe of a statement with rows, in a failed transaction": [
        parse("s", "SELECT id FROM same_copy WHERE id = $1") + describe("S", "s") + S, OTHER, *IN_FAILED,
        describe("S", "s") + S, query("ROLLBACK")],
    "describe of a rollback in a failed transaction": [
        parse("s", "ROLLBACK") + S, OTHER, *IN_FAILED, describe("S", "s") + S, bind("", "s", [1]) + S,
        bind("", "s") + execute() + S],
    "a portal that was never bound": [query("BEGIN"), ADDS, describe("P") + S, query("ROLLBACK"), describe("P") + S],
    "the same, executed": [query("BEGIN"), ADDS, execute() + S, query("ROLLBACK"), ADDS, execute() + S],
    "the unnamed portal lives while others run": [
        query("BEGIN"), parse("", "SELECT generate_series(1, 5)") + bind() + execute("", 2) + S, ADDS,
        parse("n", "SELECT pg_sleep(0) IS NULL") + bind("p", "n") + execute("p") + S, execute("", 2) + S,
        query("COMMIT")],
    "a reset that is executed twice": [
        parse("", "RESET work_mem") + bind() + execute() + execute() + S,
        parse("", "RESET ALL") + bind() + execute() + describe("P") + execute() + S, query("SHOW work_mem")],
    "a reset behind something else, and requests behind it": [
        (query("SELECT 1; RESET ALL") + query("SHOW work_mem") + one_statement("SHOW work_mem") + S, 3),
        (query("DO $$ BEGIN RESET work_mem; END $$") + one_statement("SHOW work_mem") + S + query("SHOW work_mem"), 3)],
}


@pytest.mark.parametrize("turns", CROWDED.values(), ids=CROWDED.keys())
def test_the_replies_are_postgresqls_own_on_a_server_that_others_use(weir, postgres, turns):
    with weir.start(pool_size=1, prepared_statements=1).raw() as other:
        other.query("SELECT pg_sleep(0)")
    answers = []
    for address in ((postgres.host, postgres.port), weir.address):
        postgres.query("TRUNCATE same_copy")
        with Wire(address) as wire:
            wire.login("web", "app", parameters={"work_mem": "7MB", "search_path": "public"})
            answers.append(normalized(converse(wire, turns)))
            wire.leave()
    assert answers[1] == answers[0]
