"""commit_check: the connection to PostgreSQL is lost around a COMMIT, and the client is told what became of it."""

import collections
import contextlib
import os
import random
import signal
import threading
import time

import psycopg
import psycopg2
import pytest

import cutter
import hosts
import rawwire
from fakeserver import complete, data_row, error, ready, row_description
from postgres import Postgres
from rawwire import bind, describe, execute, flush, function_call, parse, query, sync
from waiting import SLOWNESS, each, wait_until
from weir import Weir

KILLS = int(os.environ.get("COMMIT_KILLS", "60"))
PLACES = [cutter.BEFORE, cutter.UNANSWERED, cutter.MARKED, cutter.WITHIN, cutter.TAGGED, cutter.HALF_OPEN]


@pytest.fixture
def cut(weir, table, request):
    """Starts pgweir behind a Cutter whose next decisions are in the list that is returned. A test may have its pool_mode as `mode`."""
    decisions = []
    mode = request.getfixturevalue("mode") if "mode" in request.fixturenames else "transaction"

    def decide(_connection):
        return decisions.pop(0) if decisions else None

    with cutter.Cutter((weir.postgres.host, weir.postgres.port), decide) as between:
        weir.start(upstream=weir.upstream(port=between.port), commit_check=True, commit_check_timeout="10s",
                   pool_size=4, pool_mode=mode)
        weir.cutter = between
        yield decisions


def rows(weir, table):
    return {row[0] for row in weir.postgres.query(f"SELECT id FROM {table}")}


SIMPLE = [query("COMMIT")]
EXTENDED = [parse("", "COMMIT"), bind(), describe("P"), execute(), sync()]
NAMED = [parse("c", "COMMIT"), sync(), bind(statement="c"), execute(), sync()]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("commit", [SIMPLE, EXTENDED, NAMED], ids=["simple", "extended", "named"])
@pytest.mark.parametrize("place", PLACES)
def test_client_is_told_and_goes_on(weir, cut, table, place, commit):
    with weir.raw() as client:
        client.query("BEGIN", f"INSERT INTO {table} VALUES (1)")
        cut.append(place)
        replies = client.ask(*commit) if commit is not NAMED else client.ask(*commit[:2]) + client.ask(*commit[2:])
        found = 1 in rows(weir, table)
        shape = rawwire.shape(replies)
        if found:
            assert shape == {id(SIMPLE): "C:COMMIT Z:I", id(EXTENDED): "1 2 n C:COMMIT Z:I",
                             id(NAMED): "1 Z:T 2 C:COMMIT Z:I"}[id(commit)]
        else:
            assert shape.endswith("E:40001 Z:I"), shape
        assert found == (place not in (cutter.BEFORE, cutter.HALF_OPEN))
        assert client.value("SELECT 17") == "17"
        client.query("BEGIN", f"INSERT INTO {table} VALUES (2)")
        assert rawwire.shape(client.ask(query("COMMIT"))) == "C:COMMIT Z:I"
    assert 2 in rows(weir, table)
    assert weir.cutter.cut_count == 1
    wait_until(lambda: weir.metric("pgweir_commits_checked_total", database="app",
                                   result="committed" if found else "rolled_back") == (place != cutter.TAGGED))


@pytest.mark.parametrize("place", PLACES)
def test_a_transaction_whose_begin_has_waited_is_checked(weir, cut, table, place):
    weir.reload(upstream=weir.upstream(port=weir.cutter.port), commit_check=True, commit_check_timeout="10s", pool_size=4,
                begin="deferred")
    with weir.raw() as client:
        client.query("BEGIN")
        assert rawwire.shape(client.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        assert weir.pool()["sv_active"] + weir.pool()["sv_idle"] == 0           # nobody was asked
        for row in (1, 2):
            client.query("BEGIN")
            assert weir.pool()["sv_active"] == 0
            client.query(f"INSERT INTO {table} VALUES ({row})")
            if row == 1:
                cut.append(place)
            answer = rawwire.shape(client.ask(query("COMMIT")))
            assert answer == ("C:COMMIT Z:I" if row in rows(weir, table) else "E:40001 Z:I")
    assert weir.cutter.cut_count == 1 and rows(weir, table) == ({2} if place in (cutter.BEFORE, cutter.HALF_OPEN) else {1, 2})


@pytest.mark.parametrize("limit", ["query_timeout", "transaction_timeout"])
def test_commit_that_is_late_is_asked_about(weir, cut, table, limit):
    """Its connection is silent, so query_timeout's cancel is of no use; the client must not be told that it was canceled."""
    weir.reload(upstream=weir.upstream(port=weir.cutter.port), commit_check=True, commit_check_timeout="10s", pool_size=4,
                **{limit: "1s"})
    with weir.raw() as client:
        client.query("BEGIN", f"INSERT INTO {table} VALUES (1)")
        cut.append(cutter.SILENT)
        assert rawwire.shape(client.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        assert client.value("SELECT 17") == "17"
    assert rows(weir, table) == {1}
    assert weir.metric("pgweir_commits_checked_total", database="app", result="committed") == 1


def test_open_transaction_whose_server_is_lost_is_known_to_be_rolled_back(weir, cut, table):
    """The loss comes before the COMMIT: nothing is asked, and the client need not guess."""
    def lose(client):
        client.ask(query("BEGIN"))
        client.ask(query(f"INSERT INTO {table} VALUES (1)"))
        weir.postgres.kill_backends()
        wait_until(lambda: weir.pool()["sv_active"] == 0, what="the loss")

    with weir.raw() as client:
        lose(client)
        assert rawwire.shape(client.ask(query("COMMIT"))) == "E:40001 Z:I"
        lose(client)
        assert rawwire.shape(client.ask(sync())) == "Z:E"
        assert rawwire.shape(client.ask(*EXTENDED)) == "1 2 n E:40001 Z:I"
        lose(client)
        assert rawwire.shape(client.ask(query("INSERT INTO nowhere VALUES (1)"))) == "E:40001 Z:E"   # as PostgreSQL's own
        assert rawwire.shape(client.ask(query("COMMIT"))) == "E:40001 Z:I"
        lose(client)
        assert rawwire.shape(client.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        assert client.value("SELECT 17") == "17"
        lose(client)
        assert rawwire.shape(client.ask(parse("", "ROLLBACK"), bind(), execute(), sync())) == "1 2 C:ROLLBACK Z:I"
        lose(client)
        assert rawwire.shape(client.ask(parse("r", "ROLLBACK"), describe("S", "r"), sync())) == "1 t n Z:E"    # it does not run
        assert rawwire.shape(client.ask(bind("", "r"), execute(), sync())) == "2 C:ROLLBACK Z:I"
        client.ask(parse("taken", "SELECT 1"), sync())
        lose(client)
        assert rawwire.shape(client.ask(parse("known", "SELECT 1"), sync())) == "E:40001 Z:E"  # though nothing new is in it
        assert rawwire.shape(client.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        lose(client)
        assert rawwire.shape(client.ask(parse("taken", "ROLLBACK"), bind("", "taken"), execute(), sync())) == "E:42P05 Z:E"
        assert rawwire.shape(client.ask(parse("", "SELECT 1 -- " + "x" * 1100000), bind(), execute(), sync())) == "E:40001 Z:E"  # over max_statement_size
        assert rawwire.shape(client.ask(query("ROLLBACK TO SAVEPOINT s"))) == "E:40001 Z:E"
        assert rawwire.shape(client.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        client.ask(parse("end", "ROLLBACK"), sync())
        lose(client)
        assert rawwire.shape(client.ask(bind("", "end"), execute(), sync())) == "2 C:ROLLBACK Z:I"  # no client is stuck in it
        for end in ("COMMIT", "COMMIT -- to"):
            lose(client)
            assert rawwire.shape(client.ask(parse("", end), bind(), execute(), sync())) == "1 2 E:40001 Z:I"
        lose(client)
        client.ask(query("BEGIN"))
        client.ask(query("ROLLBACK"))  # it must not run in a transaction that the client does not know of
        assert client.value("SELECT 18") == "18"
    assert not rows(weir, table)


@pytest.mark.parametrize("how", ["simple", "extended"])
def test_the_rollback_of_a_lost_transaction_needs_no_server(weir, cut, table, how):
    """PostgreSQL may be away: pgweir says what is so."""
    rollback, expected = ([query("ROLLBACK")], "C:ROLLBACK Z:I") if how == "simple" else (
        [parse("", "ROLLBACK"), bind(), rawwire.describe("P"), execute(), sync()], "1 2 n C:ROLLBACK Z:I")
    with weir.raw() as client:
        client.ask(query("BEGIN"))
        client.ask(query(f"INSERT INTO {table} VALUES (1)"))
        pid = client.value("SELECT pg_backend_pid()")
        weir.postgres.query("SELECT pg_terminate_backend(%s)", (int(pid),), dbname="postgres")
        wait_until(lambda: weir.pool()["sv_active"] == 0)
        assert rawwire.errors(client.ask(query("SELECT 1")))[0].sqlstate == "40001"
        assert rawwire.shape(client.ask(*rollback)) == expected
        again = rawwire.shape(client.ask(bind(), execute(), sync()))     # PostgreSQL forgets the statement at a simple Query only
        assert again.startswith("E:26000" if how == "simple" else "2 C:ROLLBACK"), again
        assert client.value("SELECT 1") == "1"
    assert not rows(weir, table)


def test_what_is_pipelined_in_a_lost_transaction_is_not_run_outside_of_it(weir, cut, table):
    """The client has sent it before it could know; run by itself it would be committed, and come twice with the next try."""
    def lose(client):
        client.ask(query("BEGIN"))
        client.ask(query("SELECT 1"))               # with begin = deferred it has a server from here on
        weir.postgres.kill_backends()
        wait_until(lambda: weir.pool()["sv_active"] == 0, what="the loss")

    with weir.raw() as client:
        lose(client)
        client.send(query(f"INSERT INTO {table} VALUES (1)"), query(f"INSERT INTO {table} VALUES (2)"), query("COMMIT"))
        assert rawwire.shape(client.read_until("Z", 3)) == "E:40001 Z:E E:40001 Z:E E:40001 Z:I"
        lose(client)
        client.send(parse("", "ROLLBACK") + bind("", "none") + execute() + sync(), query(f"INSERT INTO {table} VALUES (3)"))
        assert rawwire.shape(client.read_until("Z", 2)) == "1 E:26000 Z:E E:40001 Z:E"
        client.ask(query("ROLLBACK"))
        lose(client)
        assert rawwire.shape(client.ask(query(f"INSERT INTO {table} VALUES (4)"))) == "E:40001 Z:E"
        assert rawwire.shape(client.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        assert client.value("SELECT 17") == "17"
    assert not rows(weir, table)


def test_settings_of_a_lost_transaction_are_undone_and_reported(weir, cut, table):
    with weir.raw() as client:
        before = client.value("SHOW TimeZone")
        client.ask(query("BEGIN"))
        assert reports(client.ask(query("SET TimeZone TO 'Asia/Tokyo'")), "TimeZone") == ["Asia/Tokyo"]
        weir.postgres.kill_backends()
        wait_until(lambda: weir.pool()["sv_active"] == 0, what="the loss")
        replies = client.ask(query("COMMIT"))
        assert reports(replies, "TimeZone") == [before]
        assert [reply.sqlstate for reply in rawwire.errors(replies)] == ["40001"]
        assert client.value("SHOW TimeZone") == before
        client.ask(query("BEGIN"))
        client.ask(query(f"INSERT INTO {table} VALUES (1)"))
        client.ask(query("SET TimeZone TO 'Asia/Tokyo'"))
        cut.append(cutter.UNANSWERED)
        replies = client.ask(query("COMMIT"))
        assert replies[-2].tag == "COMMIT" and not reports(replies, "TimeZone")
        assert client.value("SHOW TimeZone") == "Asia/Tokyo"
        client.ask(query("BEGIN"))
        client.ask(query(f"INSERT INTO {table} VALUES (2)"))
        client.ask(query("SET LOCAL TimeZone TO 'Asia/Seoul'"))     # PostgreSQL alone could say that this is over
        cut.append(cutter.UNANSWERED)
        assert rawwire.shape(client.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        assert rawwire.errors(client.read_to_end())[0].severity == "FATAL"
    assert rows(weir, table) == {1, 2}


@pytest.mark.parametrize("earlier, later", [("SELECT 1/0", "SELECT 1"), ("BEGIN; ROLLBACK", "SELECT 1"),
                                            ("SELECT 1", "SAVEPOINT a; ROLLBACK TO a")])
def test_settings_of_a_lost_commit_are_kept_whatever_was_undone_before_it(weir, cut, table, earlier, later):
    """The client does not rest between an earlier transaction and this one."""
    with weir.raw() as client:
        client.send(query(earlier), query("BEGIN"))
        client.read_until("Z", 2)
        for sql in ("SET TimeZone TO 'Asia/Tokyo'", later, f"INSERT INTO {table} VALUES (1)"):
            client.ask(query(sql))
        cut.append(cutter.UNANSWERED)
        replies = client.ask(query("COMMIT"))
        assert replies[-2].tag == "COMMIT" and not reports(replies, "TimeZone")
        assert client.value("SHOW TimeZone") == "Asia/Tokyo"
    assert rows(weir, table) == {1}


def test_what_was_lost_with_the_session_ends_the_client_behind_the_answer(weir, cut, table):
    with weir.raw() as client:
        client.ask(query("BEGIN"))
        client.ask(query("CREATE TEMPORARY TABLE mine (i int)"))
        client.ask(query(f"INSERT INTO {table} VALUES (1)"))
        cut.append(cutter.UNANSWERED)
        assert rawwire.shape(client.ask(query("COMMIT"))) == "C:COMMIT Z:I"
        assert rawwire.errors(client.read_to_end())[0].severity == "FATAL"
    with weir.raw() as client:
        client.ask(query("BEGIN"))
        client.ask(query(f"INSERT INTO {table} VALUES (2)"))
        cut.append(cutter.UNANSWERED)
        closing = parse("", "COMMIT") + bind() + execute() + rawwire.close("S", "") + sync()
        assert rawwire.shape(client.ask(closing)) == "1 2 C:COMMIT 3 Z:I"   # a Bind must not find the statement now
        assert rawwire.errors(client.read_to_end())[0].severity == "FATAL"
    assert rows(weir, table) == {1, 2}


def test_chained_transaction_is_lost_but_its_commit_is_told(weir, cut, table):
    with weir.raw() as client:
        client.ask(query("BEGIN"))
        client.ask(query(f"INSERT INTO {table} VALUES (1)"))
        cut.append(cutter.MARKED)
        assert rawwire.shape(client.ask(query("COMMIT AND CHAIN"))) == "C:COMMIT Z:I"
        assert rawwire.errors(client.read_to_end())[0].severity == "FATAL"
    assert rows(weir, table) == {1}


def test_what_comes_behind_a_commit_waits_for_its_answer(weir, cut, table):
    with weir.raw() as client:
        client.ask(query("BEGIN"))
        client.ask(query(f"INSERT INTO {table} VALUES (1)"))
        cut.append(cutter.UNANSWERED)
        client.send(query("COMMIT"), query(f"SELECT count(*) FROM {table}"))
        assert rawwire.shape(client.read_until("Z", 2)) == "C:COMMIT Z:I T D C:SELECT 1 Z:I"


def assert_known_or_in_doubt(client, shape):
    """Of a pipeline, replies to what is ahead of the COMMIT may have come through before the cut: then it is known."""
    replies = client.read_until("ZE")
    if replies[-1].type == "E":
        assert (replies[-1].severity, replies[-1].sqlstate) == ("FATAL", "08007")
    else:
        assert rawwire.shape(replies) == shape


@pytest.mark.parametrize("place", [cutter.TAGGED, cutter.MARKED, cutter.UNANSWERED])
def test_pipeline_that_commits(weir, cut, table, place):
    """Its INSERT and its COMMIT are one request. If nothing is left of the answers, the number was not known in time."""
    with weir.raw() as client:
        client.ask(query(rawwire.BEGIN_NOW))
        cut.append(place)
        client.send(parse("", f"INSERT INTO {table} VALUES (1)"), bind(), execute(), parse("", "COMMIT"), bind(), execute(),
                    sync())
        if place != cutter.UNANSWERED:
            assert rawwire.shape(client.read_until()) == "1 2 C:INSERT 0 1 1 2 C:COMMIT Z:I"
            assert client.value("SELECT 17") == "17"
        else:
            assert_known_or_in_doubt(client, "1 2 C:INSERT 0 1 1 2 C:COMMIT Z:I")
    wait_until(lambda: rows(weir, table) == {1})


PIPELINE = [parse("", "INSERT INTO child VALUES (1)"), bind(), execute(), parse("", "COMMIT"), bind(), execute(), sync()]


@pytest.mark.parametrize("first", ["nothing", "a block that was committed", "a block that was rolled back"])
def test_deferred_constraint_fails_at_a_commit_without_a_transaction_block(weir, cut, table, first):
    """Asked in the middle of such a request, the question would commit the INSERT, and take the error."""
    weir.postgres.query(f"CREATE TABLE child (id int REFERENCES {table} DEFERRABLE INITIALLY DEFERRED)")
    weir.postgres.query("GRANT ALL ON child TO web")
    try:
        with weir.raw() as client:
            ahead = []
            if first != "nothing":
                client.query("BEGIN")
                ahead = [parse("", "COMMIT" if "committed" in first else "ROLLBACK"), bind(), execute()]
            expected = "" if first == "nothing" else "1 2 C:COMMIT " if "committed" in first else "1 2 C:ROLLBACK "
            assert rawwire.shape(client.ask(*ahead, *PIPELINE)) == expected + "1 2 C:INSERT 0 1 1 2 E:23503 Z:I"
        assert not weir.postgres.query("SELECT id FROM child")
    finally:
        weir.postgres.query("DROP TABLE child")


@pytest.mark.parametrize("place", [cutter.TAGGED, cutter.UNANSWERED])
def test_pipeline_that_begins_and_commits(weir, cut, table, place):
    """Its BEGIN is not answered when the COMMIT comes, and the number is known all the same, unless nothing comes back:
    then more replies are lost than pgweir remembers."""
    with weir.raw() as client:
        cut.append(place)
        client.send(parse("", "BEGIN"), bind(), execute(), parse("", f"INSERT INTO {table} VALUES (1)"), bind(), execute(),
                    parse("", "COMMIT"), bind(), execute(), sync())
        if place == cutter.TAGGED:
            assert rawwire.shape(client.read_until()) == "1 2 C:BEGIN 1 2 C:INSERT 0 1 1 2 C:COMMIT Z:I"
            assert client.value("SELECT 17") == "17"
            assert rows(weir, table) == {1}
        else:
            assert_known_or_in_doubt(client, "1 2 C:BEGIN 1 2 C:INSERT 0 1 1 2 C:COMMIT Z:I")


HIDDEN = ["view", "view, extended", "view, named", "operator", "function call", "WITH, elsewhere", "WITH, elsewhere, extended"]
VIEW = "SELECT * FROM tells"
ELSEWHERE = "WITH x AS (INSERT INTO elsewhere VALUES (1) RETURNING id) SELECT id FROM x"


@pytest.fixture
def hidden(postgres, table, what):
    """What these texts do not show; made before pgweir reads the database's code."""
    if what not in HIDDEN:
        yield
        return
    postgres.query("CREATE FUNCTION tell(int) RETURNS int LANGUAGE plpgsql AS "
                   "$$ BEGIN PERFORM pg_notify('channel', ''); RETURN $1; END $$")
    postgres.query(f"INSERT INTO {table} VALUES (7); CREATE VIEW tells AS SELECT tell(id) FROM {table}; "
                   "GRANT SELECT ON tells TO PUBLIC; CREATE OPERATOR ## (FUNCTION = tell, RIGHTARG = int); "
                   "CREATE EXTENSION postgres_fdw; CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw "
                   f"OPTIONS (host '{postgres.socket_dir}', port '{postgres.port}', dbname 'app'); "
                   "CREATE USER MAPPING FOR PUBLIC SERVER here OPTIONS (user 'web', password_required 'false'); "
                   f"CREATE FOREIGN TABLE elsewhere (id int) SERVER here OPTIONS (table_name '{table}'); "
                   "GRANT ALL ON elsewhere TO PUBLIC")
    yield
    postgres.query("DROP EXTENSION postgres_fdw CASCADE; DROP FUNCTION tell CASCADE")


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("what", ["NOTIFY", "pg_notify", "pg_notify, extended", "behind a savepoint", "cursor", "nothing", *HIDDEN])
def test_without_a_number_it_is_committed_only_if_it_has_done_nothing(weir, hidden, cut, table, what, mode):  # pylint: disable=unused-argument,redefined-outer-name
    """A NOTIFY gets its number at the COMMIT, which never arrives; so does what a cursor WITH HOLD writes. In session mode
    pgweir does not read the database's code, so nothing is known to have done nothing."""
    asks = {"NOTIFY": [query("NOTIFY channel")],
            "pg_notify": [query("SELECT pg_notify('channel', '')")],
            "pg_notify, extended": [parse("", "SELECT pg_notify('channel', '')"), bind(), execute(), sync()],
            "behind a savepoint": [query("NOTIFY channel; SAVEPOINT a; ROLLBACK TO a")],
            "cursor": [query("DECLARE c CURSOR WITH HOLD FOR SELECT 1")],
            "view": [query(VIEW)],
            "view, extended": [parse("", VIEW), bind(), execute(), sync()],
            "view, named": [parse("v", VIEW), bind(statement="v"), execute(), sync()],
            "operator": [query(f"SELECT ## id FROM {table}")],
            "function call": [function_call(int(weir.postgres.value("SELECT 'pg_notify'::regproc::oid")), [b"channel", b""], (0, 0), 0)],
            "WITH, elsewhere": [query(ELSEWHERE)],
            "WITH, elsewhere, extended": [parse("", ELSEWHERE), bind(), execute(), sync()],
            "nothing": [query(f"SELECT * FROM {table}")]}
    with weir.raw() as client:
        if (what, mode) == ("nothing", "transaction"):
            assert_has_written_nothing(client, cut, asks[what], [query("COMMIT")], cutter.ASKED)
            return
        client.query("BEGIN")
        client.ask(*asks[what])
        cut.append(cutter.ASKED)
        assert rawwire.shape(client.ask(query("COMMIT"))) == "E:08007 Z:I"


ASK_CLUSTER, ASK_MARK, ASK_STATUS = b"pg_control_system", b"pgweir */ pg_catalog.pg_current_xact_id", b"pg_control_checkpoint"


def assert_has_written_nothing(client, cut, asks, commit, place):
    """A lost COMMIT is one for a client that has only read. While it is not known what code the database has, which is for a moment
    every 2 s, whether it has only read is in doubt. PostgreSQL is asked about its code on a connection that is given back."""
    answers = []

    def commits():
        client.ask(query("SELECT 1"))
        client.ask(query("BEGIN"))
        client.ask(*asks)
        cut.append(place)
        answers.append(rawwire.shape(client.ask(*commit)))
        assert answers[-1].endswith("C:COMMIT Z:I"), answers[-3:]
        return True

    wait_until(commits, what="a transaction that is known to have only read")
    assert all(answer.endswith("E:08007 Z:I") for answer in answers[:-1]), answers


class Answers:
    """What a fake server answers to the questions; failing: the errors that it answers the mark's question with."""

    def __init__(self, fake):
        self.failing, self.asked_status = [], 0
        self.is_silent = self.is_standby = False
        fake.answer = self._answer

    def _answer(self, conn, kind, body):
        cluster = ["7", "1000", None, None, "00000001", "f"]
        status = ready("T" if conn.is_in_transaction else "I")
        if kind == "E" and ASK_MARK in conn.parsed.encode():
            if self.failing:
                conn.is_failed = True
                conn.send(error(self.failing.pop(0), "canceling statement due to statement timeout"))
            else:
                conn.send(data_row("77", "0/200"), complete())
            return True
        if kind != "Q":
            return False
        if ASK_STATUS in body:
            self.asked_status += 1
            if not self.is_silent:
                cluster[5] = "t" if self.is_standby else "f"
                conn.send(row_description(*"abcdefghij"), data_row(*cluster, "0/50", "0:50", "900", "committed"),
                          complete(), status)
            return True
        if ASK_CLUSTER in body:
            conn.send(row_description(*"abcdefgh"), data_row(*cluster, None, "0/100"), complete(), status)
        elif ASK_MARK in body and self.failing:
            conn.is_in_transaction = False
            conn.send(error(self.failing.pop(0), "canceling statement due to statement timeout"), ready("E"))
        elif ASK_MARK in body:
            conn.send(row_description("a", "b"), data_row("77", "0/200"), complete(), status)
        elif body.startswith(b"INSERT"):
            conn.send(complete("INSERT 0 1"), status)
        elif body.startswith(b"COMMIT"):
            if not conn.is_in_transaction:
                conn.send(complete("ROLLBACK"), ready("I"))
            else:
                conn.close()
        else:
            return False
        return True


@pytest.mark.parametrize("asked_behind", ["INSERT", "COMMIT"])
def test_question_that_fails_does_not_end_the_transaction_unseen(weir, fake, asked_behind):
    """statement_timeout or a cancel hits pgweir's question. To answer ROLLBACK would be what few drivers look at."""
    answers = Answers(fake)
    with weir.start(upstream=fake.upstream, commit_check=True).raw() as client:
        client.query("BEGIN")
        answers.failing = ["57014"]
        client.query("INSERT" if asked_behind == "INSERT" else "SELECT 1")
        assert rawwire.shape(client.ask(query("COMMIT"))) == "E:40001 Z:I"
        assert client.value("SELECT 1") == "fake"


def test_where_the_question_is_not_allowed_commits_are_as_without_it(weir, own_postgres):
    own_postgres.query("CREATE TABLE unasked (i int); GRANT ALL ON unasked TO web; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
                       dbname="app")
    with weir.start(upstream=f"host={own_postgres.host} port={own_postgres.port}", commit_check=True).raw() as client:
        for n in range(2):
            client.query("BEGIN", f"INSERT INTO unasked VALUES ({n})")
            assert rawwire.shape(client.ask(query("COMMIT"))) == "C:COMMIT Z:I"
    weir.wait_log("its COMMITs cannot be checked")
    assert own_postgres.value("SELECT count(*) FROM unasked", dbname="app") == 2


def test_server_that_does_not_answer_what_became_of_it_is_left(weir, fake):
    answers = Answers(fake)
    weir.start(upstream=fake.upstream, commit_check=True, commit_check_timeout="20s")
    with weir.raw() as client:
        client.query("BEGIN", "INSERT")
        answers.is_silent = True
        client.send(query("COMMIT"))
        wait_until(lambda: answers.asked_status > 0)
        answers.is_silent = False
        assert rawwire.shape(client.read_until()) == "C:COMMIT Z:I"


@pytest.fixture
def doubtful(weir, fake):
    """A client whose COMMIT is in doubt: the server has been asked, and has said that it is a standby, or nothing."""
    answers = Answers(fake)
    weir.start(upstream=fake.upstream, commit_check=True, commit_check_timeout="20s")
    client = weir.raw()

    def begin(is_standby):
        client.query("BEGIN", "INSERT")
        answers.is_standby, answers.is_silent = is_standby, not is_standby
        client.send(query("COMMIT"))
        wait_until(lambda: answers.asked_status > 0)
        return client, answers

    yield begin


def test_answer_comes_although_the_database_was_removed_meanwhile(weir, doubtful):
    client, answers = doubtful(is_standby=True)
    weir.reload({"database app": None})
    answers.is_standby = False
    assert rawwire.shape(client.read_until()) == "C:COMMIT Z:I"
    client.send(query("SELECT 1"))
    assert rawwire.errors(client.read_to_end())[0].severity == "FATAL"


@pytest.mark.parametrize("how", ["leave", "reset", "flood"])
def test_client_in_doubt_may_leave_or_send_more(weir, doubtful, how):
    client, answers = doubtful(is_standby=True)
    if how == "flood":
        client.send(query("SELECT 1") * 1000)
        answers.is_standby = False
        assert rawwire.shape(client.read_until("Z", 1001)[:2]) == "C:COMMIT Z:I"
        return
    getattr(client, how)()
    wait_until(lambda: weir.pool()["cl_active"] == 0)
    with weir.raw() as other:
        assert other.value("SELECT 1") == "fake"


RUN = {sql: parse("", sql) + bind() + execute() for sql in ("BEGIN", "FAIL", "COMMIT", "INSERT")}


@pytest.fixture
def losing(weir, fake):
    """A client whose server has an error for FAIL and COMMIT, and is lost at the Flush or Sync behind that; then that
    connection, and what is run on others."""
    answers, later = Answers(fake), []
    commit = fake.answer

    def answer(conn, kind, body):
        if later or conn.is_failed:
            if kind in "SH" and conn.is_failed:
                later.append(conn)
                conn.close()
                return True
            if later and (kind == "E" or (kind == "Q" and b"pgweir" not in body)):
                later.append(conn.parsed if kind == "E" else body[:-1].decode())
            return False
        if kind == "E" and conn.parsed == "BEGIN":
            conn.is_in_transaction = True
            conn.send(complete("BEGIN"))
            return True
        if kind == "E" and conn.parsed in ("FAIL", "COMMIT"):
            conn.is_failed = True
            conn.send(error("22012" if conn.parsed == "FAIL" else "23503"))
            return True
        return commit(conn, kind, body)

    fake.answer = answer
    with weir.start(upstream=fake.upstream, commit_check=True).raw() as client:
        yield client, later
    assert answers.asked_status == 0


@pytest.mark.parametrize("begin, ends", [("before", "Z:E"), ("within", "Z:E"), ("behind", "Z:I")])
@pytest.mark.parametrize("end", ["sync", "flush"])
def test_what_follows_a_commit_that_an_error_has_skipped_is_not_run_outside_of_the_transaction(losing, begin, ends, end):
    """PostgreSQL's ReadyForQuery would have said that the transaction has failed."""
    client, later = losing
    ahead = {"before": "FAIL", "within": "BEGIN FAIL", "behind": "FAIL BEGIN"}[begin]
    if begin == "before":
        client.query("BEGIN")
    pipeline = [RUN[sql] for sql in [*ahead.split(), "COMMIT"]]
    client.send(*pipeline, sync() if end == "sync" else flush())
    replies = rawwire.shape(client.read_until("E"))
    assert replies.endswith("E:22012"), replies
    if end == "flush":
        wait_until(lambda: later)
        client.send(RUN["INSERT"], sync())
    assert rawwire.shape(client.read_until("Z")) == ends
    if begin == "behind":
        assert client.value("SELECT 1") == "fake"
        return
    assert rawwire.shape(client.ask(query("INSERT"))) == "E:40001 Z:E"
    assert rawwire.shape(client.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
    assert "INSERT" not in later
    assert client.value("SELECT 1") == "fake"


@pytest.mark.parametrize("end", ["sync", "flush"])
def test_what_is_sent_behind_a_commit_that_fails_is_skipped(losing, end):
    client, later = losing
    client.query("BEGIN")
    client.send(RUN["COMMIT"], sync() if end == "sync" else flush())
    assert rawwire.shape(client.read_until("E")) == "1 2 E:23503"
    if end == "flush":
        wait_until(lambda: later)
        client.send(RUN["INSERT"], sync())
    assert rawwire.shape(client.read_until("Z")) == "Z:I"
    assert client.value("SELECT 1") == "fake"
    assert "INSERT" not in later


def test_a_portal_that_commits_may_have_done_so(weir, fake):
    """Nobody looks into it, if it was bound in an earlier request. What the client is told is true in either case."""
    weir.start(upstream=fake.upstream, commit_check=True)
    fake.answer = lambda conn, kind, body: kind == "E" and body.startswith(b"p\0") and (conn.close() or True)
    with weir.raw() as client:
        client.query("BEGIN")
        client.ask(parse("c", "COMMIT"), bind("p", "c"), sync())
        client.send(execute("p"), sync())
        told = rawwire.errors(client.read_until("E"))[0].error
    assert told["C"] == "08006"
    assert "lost, unless the request under way has committed it" in told["H"]


def test_a_commit_without_a_transaction_is_not_in_doubt(weir, fake):
    """No number tells what became of nothing. The first Query on a server has a question of pgweir's ahead of it."""
    answers = Answers(fake)
    weir.start(upstream=fake.upstream, commit_check=True)
    fake.answer = lambda conn, kind, body: kind == "Q" and (conn.close() or True)
    with weir.raw() as client:
        client.send(query("COMMIT"))
        wait_until(lambda: not fake.open_connections() and fake.connections)
        fake.answer = None
        assert rawwire.shape(client.read_until("Z")) == "C:COMMIT Z:I"
        assert client.value("SELECT 1") == "fake"
    assert answers.asked_status == 0


def test_commit_under_a_name_that_was_parsed_anew_was_most_probably_skipped(weir, cut, table):
    """42P05, which would have ended the transaction. If that came before the cut, the client has it, and its transaction has
    failed; otherwise it can't go on: it may have sent more for that transaction."""
    with weir.raw() as client:
        client.ask(parse("c", "COMMIT"), sync())
        client.query("BEGIN", f"INSERT INTO {table} VALUES (1)")
        cut.append(cutter.BEFORE)
        client.send(parse("c", f"INSERT INTO {table} VALUES (2)"), bind("", "c"), execute(), sync(),
                    query(f"INSERT INTO {table} VALUES (3)"))
        first = client.read()
        if first.severity == "ERROR":
            assert first.sqlstate == "42P05"
            # If it came before pgweir had sent the COMMIT, that is not sent, and nothing is cut.
            assert rawwire.shape(client.read_until("Z", 2)) in ("Z:E E:40001 Z:E", "Z:E E:25P02 Z:E")
            assert rawwire.shape(client.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
        else:
            assert (first.severity, first.sqlstate) in (("FATAL", "40001"), ("FATAL", "08007"))
            assert client.read_to_end() == []
    assert not rows(weir, table)


def reports(replies, name):
    return [reply.parameter[1] for reply in replies if reply.type == "S" and reply.parameter[0] == name]


@pytest.mark.parametrize("commit", [SIMPLE, EXTENDED], ids=["simple", "extended"])
def test_settings_of_a_pipeline_that_commits_are_reported(weir, table, commit):
    """PostgreSQL reports them ahead of the next ReadyForQuery: that of pgweir's question, which comes before COMMIT."""
    weir.start(commit_check=True)
    begin = [message for sql in ("BEGIN", f"INSERT INTO {table} VALUES (1)", "SET TimeZone TO 'Asia/Tokyo'")
             for message in (parse("", sql), bind(), execute())]
    with weir.raw() as client:
        client.send(*begin, *([sync()] if commit is SIMPLE else []), *commit)
        replies = client.read_until("Z", 2 if commit is SIMPLE else 1)
        assert reports(replies, "TimeZone") == ["Asia/Tokyo"]
        assert client.value("SHOW TimeZone") == "Asia/Tokyo"


@pytest.mark.parametrize("commit", [SIMPLE, EXTENDED], ids=["simple", "extended"])
def test_commit_of_a_failed_transaction_is_a_rollback(weir, cut, table, commit):
    with weir.raw() as client:
        client.ask(query("BEGIN"))
        client.ask(query(f"INSERT INTO {table} VALUES (1)"))
        client.ask(query("SELECT 1 / 0"))
        assert rawwire.shape(client.ask(*commit)).endswith("C:ROLLBACK Z:I")
        client.send(query("BEGIN"), query("SELECT 1 / 0"), *commit)     # its state is not known when the COMMIT is sent
        assert rawwire.shape(client.read_until("Z", 3)).endswith("C:ROLLBACK Z:I")
        assert_has_written_nothing(client, cut, [query("SELECT 1")], commit, cutter.MARKED)
    assert not rows(weir, table)


PORTALS = {                         # what a client asks behind a statement that writes, and PostgreSQL's answer
    "it is through": ("VALUES (1)", 0, execute() + sync(), "E:55000 Z:E"),
    "it has rows left": ("VALUES (1), (2) RETURNING 1", 1, execute() + sync(), "D C:INSERT 0 1 Z:T"),
    "its statement is bound anew": ("SELECT 1 WHERE false RETURNING 1", 0, bind() + execute() + sync(), "2 C:INSERT 0 0 Z:T"),
}


@pytest.mark.parametrize("name", PORTALS)
def test_the_question_behind_a_write_leaves_the_unnamed_portal_alone(weir, table, name):
    weir.start(commit_check=True)
    rows_of, rows_at_once, message, answer = PORTALS[name]
    with weir.raw() as client:
        client.ask(query("BEGIN"))
        client.ask(parse("", f"INSERT INTO {table} {rows_of}"), bind(), execute("", rows_at_once), sync())
        assert rawwire.shape(client.ask(message)) == answer
        client.ask(query("ROLLBACK"))


class Ledger:
    """What clients were told of their transactions, each of which has a number of its own."""

    def __init__(self):
        self.lock = threading.Lock()
        self.number = 0
        self.committed, self.rolled_back, self.unknown, self.unsent = set(), set(), set(), set()
        self.longest = 0.0
        self.of_thread = collections.Counter()      # how many transactions each has committed
        self.failures = []

    def next(self):
        with self.lock:
            self.number += 1
            return self.number

    def told(self, where, number, seconds):
        with self.lock:
            where.add(number)
            self.of_thread[threading.current_thread()] += where is self.committed
            self.longest = max(self.longest, seconds)

    def check(self, found):
        assert not self.failures, self.failures[:3]
        assert not self.committed - found, "they were acknowledged, and are not there"
        assert not self.rolled_back & found, "they were said to be rolled back, and are there"
        assert not self.unsent & found, "they were never to be committed, and are there"

    def __str__(self):
        return (f"{self.number} transactions: {len(self.committed)} committed, {len(self.rolled_back)} rolled back, "
                f"{len(self.unknown)} unknown, {len(self.unsent)} lost before COMMIT, longest COMMIT {self.longest:.2f} s")


def one_transaction(connection, table, number, ledger):
    """Returns False if the connection is of no use any more."""
    began = None
    try:
        connection.execute(f"INSERT INTO {table} VALUES (%s, 'x')", (number,))
        if number % 3 == 0:
            connection.execute("SELECT 1")
        began = time.monotonic()
        connection.commit()
        ledger.told(ledger.committed, number, time.monotonic() - began)
        return True
    except psycopg.Error as error:
        seconds = time.monotonic() - began if began else 0
        if began is None:
            ledger.told(ledger.unsent, number, 0)
        elif error.sqlstate == "40001":
            ledger.told(ledger.rolled_back, number, seconds)
        else:
            ledger.told(ledger.unknown, number, seconds)
        if connection.closed:
            return False
        try:
            connection.rollback()                   # what psycopg sends behind it (DEALLOCATE ALL) needs a server
        except psycopg.OperationalError:
            return False
        return began is not None


def keep_committing(weir, table, ledger, is_over):
    connection = None
    try:
        while not is_over():
            if connection is None:
                try:
                    connection = psycopg.connect(weir.dsn(), connect_timeout=round(20 * SLOWNESS))
                except psycopg.OperationalError:
                    time.sleep(0.02)        # PostgreSQL is away
                    continue
            if not one_transaction(connection, table, ledger.next(), ledger):
                connection.close()
                connection = None
                time.sleep(0.02)            # as above
    except Exception as error:  # pylint: disable=broad-except
        ledger.failures.append(repr(error))
    finally:
        if connection is not None:
            connection.close()


def run_clients(weir, table, ledger, count, is_over):
    threads = [threading.Thread(target=keep_committing, args=(weir, table, ledger, is_over)) for _ in range(count)]
    each(threads).start()
    return threads


def kill(pid):
    with contextlib.suppress(ProcessLookupError):   # PostgreSQL is restarting already
        os.kill(pid, 9)


TERMINATE = "terminate"     # the backend is told to end when the COMMIT is on its way


@pytest.mark.timeout(600 + KILLS)
def test_no_commit_is_in_doubt(weir, table):
    """Set COMMIT_KILLS for more of them."""
    chance, lock, done = random.Random(12), threading.Lock(), []

    def decide(connection):
        with lock:
            place = chance.choice([*PLACES, TERMINATE, None])
            done.append(place)
        if place == TERMINATE:
            weir.postgres.query("SELECT pg_terminate_backend(%s)", (connection.pid,), dbname="postgres")
            return None
        return place

    ledger = Ledger()
    with cutter.Cutter((weir.postgres.host, weir.postgres.port), decide) as between:
        weir.start(upstream=weir.upstream(port=between.port), commit_check=True, pool_size=8)
        each(run_clients(weir, table, ledger, 8, lambda: len(done) - done.count(None) >= KILLS)).join()
        weir.close_connections()
    print(f"{len(done) - done.count(None)} kills; {ledger}")
    ledger.check(rows(weir, table))
    assert not ledger.unknown and not ledger.unsent
    assert ledger.longest < 10 * SLOWNESS


def is_up(postgres):
    try:
        return postgres.value("SELECT 1") == 1
    except psycopg2.Error:
        return False


@pytest.fixture
def durable():
    """A cluster of the test's own that keeps what it has acknowledged."""
    cluster = Postgres("synchronous_commit = on\n")
    yield cluster
    cluster.destroy()


@pytest.mark.long
@pytest.mark.timeout(600 + 2 * KILLS)
def test_crashes_of_postgresql_leave_no_commit_in_doubt(durable, tmp_path):
    """A backend is killed when its COMMIT is on its way, so that PostgreSQL restarts; the log that was not written yet is
    lost, and the numbers of its transactions are given again."""
    crashes = max(KILLS // 20, 4)
    chance, lock, done = random.Random(12), threading.Lock(), []
    armed = threading.Event()

    def decide(connection):
        with lock:
            if not armed.is_set() or len(done) >= crashes:
                return None
            armed.clear()
            place = chance.choice([None, cutter.MARKED, cutter.UNANSWERED])
            done.append(place)
        if place is None:
            kill(connection.pid)
        else:
            threading.Timer(chance.random() / 1000, kill, (connection.pid,)).start()
        return place

    durable.query("CREATE TABLE t (id int PRIMARY KEY, v text)")
    durable.query("GRANT ALL ON t TO web")
    ledger = Ledger()
    weir = Weir(durable, tmp_path)
    with cutter.Cutter((durable.host, durable.port), decide) as between:
        weir.start(upstream=weir.upstream(port=between.port), commit_check=True, pool_size=8)
        threads = run_clients(weir, "t", ledger, 8, lambda: len(done) >= crashes)
        while any(thread.is_alive() for thread in threads):
            before = len(ledger.committed)
            wait_until(lambda: len(ledger.committed) > before + 20 or not any(t.is_alive() for t in threads), 60)
            armed.set()
        assert not weir.teardown()
    print(f"{len(done)} crashes; {ledger}")
    wait_until(lambda: is_up(durable), what="PostgreSQL to have recovered from the last one")
    ledger.check(rows(weir, "t"))
    # Where the log ends within a record that spans two pages, a transaction of which only the first mark is known may be
    # in doubt: see docs/reliability.md.
    assert len(ledger.unknown) <= done.count(cutter.UNANSWERED), ledger.errors


class Standby(hosts.Standby):
    """One that can stop to receive."""

    def __init__(self, primary):
        super().__init__(primary)
        wait_until(lambda: self.receiver() is not None, what="the standby to stream")

    def receiver(self):
        found = self.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'", dbname="postgres")
        return found[0][0] if found else None

    def stop_receiving(self, primary):
        """It has what the primary has now, and gets no more."""
        primary.query("INSERT INTO other VALUES (1)")       # what is not committed is written along with a commit
        wait_until(lambda: self.has_all_of(primary), what="the standby to have caught up")
        self.query("ALTER SYSTEM SET primary_conninfo = ''", dbname="postgres")
        self.query("SELECT pg_reload_conf()", dbname="postgres")
        wait_until(lambda: self.receiver() is None, what="the standby to stop receiving")

    def has_all_of(self, primary):
        return self.value("SELECT pg_last_wal_replay_lsn()") == primary.value("SELECT pg_current_wal_insert_lsn()")


@pytest.fixture
def pair():
    """A primary, and a function that makes its standby."""
    primary = hosts.make_primary("synchronous_commit = on\nautovacuum = off\n")
    standbys = []
    primary.query("CREATE TABLE t (id int PRIMARY KEY, v text)")
    primary.query("CREATE TABLE other (id int)")
    primary.query("GRANT ALL ON t TO web")

    def make():
        standbys.append(Standby(primary))
        return standbys[-1]

    yield primary, make
    each(standbys).destroy()
    primary.destroy()


KEPT, BEFORE_COMMIT, BEFORE_INSERT = "kept", "before its commit", "before its insert"


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("then", ["asked at once", "restarted", "crashed"])
@pytest.mark.parametrize("cut_off", [KEPT, BEFORE_COMMIT, BEFORE_INSERT])
def test_failover_to_a_standby(pair, tmp_path, cut_off, then):
    """The primary dies with the answer to a COMMIT. A standby takes over that has received the transaction, or a part of
    it, or nothing. Then others are given the numbers that were lost."""
    primary, make_standby = pair
    standby = make_standby()
    decisions = []

    def decide(_connection):
        place = decisions.pop(0) if decisions else None
        if place is not None:
            between.target = ("127.0.0.1", 1)           # nobody is there until the failover is over
            if cut_off == BEFORE_COMMIT:
                standby.stop_receiving(primary)
        return place

    weir = Weir(primary, tmp_path)
    with cutter.Cutter((primary.host, primary.port), decide) as between:
        weir.start(upstream=weir.upstream(port=between.port), commit_check=True, commit_check_timeout="60s")
        client = weir.connect()
        client.execute("SELECT 1")
        client.commit()
        if cut_off == BEFORE_INSERT:
            standby.stop_receiving(primary)
        client.execute("INSERT INTO t VALUES (1)")
        number = int(client.execute("SELECT pg_current_xact_id()").fetchone()[0])
        decisions.append(cutter.MARKED)
        told = weir.in_background(client.commit)
        wait_until(lambda: primary.query("SELECT 1 FROM t WHERE id = 1"), what="the commit")
        if cut_off == KEPT:
            wait_until(lambda: standby.has_all_of(primary), what="the standby to have it")
        primary.stop(signal.SIGQUIT)
        standby.promote()
        burnt = 0
        while int(standby.value("SELECT pg_current_xact_id()")) < number + 20:
            burnt += 1
        if then != "asked at once":
            standby.stop(signal.SIGINT if then == "restarted" else signal.SIGQUIT)
            standby.start()
        assert not told.done()
        between.target = (standby.host, standby.port)
        error = told.exception()
        found = bool(standby.query("SELECT 1 FROM t WHERE id = 1"))
        assert found == (cut_off == KEPT)
        if cut_off == BEFORE_INSERT:
            assert burnt > 10, "the number was not given again: this proves nothing"
        if found:
            assert error is None if then == "asked at once" else error.sqlstate == "08007"
        elif then == "asked at once" or cut_off == BEFORE_COMMIT:
            assert error.sqlstate == "40001"
        else:
            assert error.sqlstate in ("40001", "08007")
        client.rollback()
        client.execute("INSERT INTO t VALUES (2)")
        client.commit()
        assert not weir.teardown()


def test_a_session_keeps_its_unnamed_statement(weir):
    """In session mode pgweir does not know the unnamed statement's SQL, so its own questions must leave it alone."""
    weir.start(commit_check=True, pool_mode="session")
    run = [bind(), execute(), sync()]
    with weir.raw() as client:
        # The question for the cluster comes ahead of a Parse while nothing is owed: ahead of the second one here.
        client.send(bind(statement="nothing"), sync(), parse("", "SELECT 42"), sync())
        assert rawwire.shape(client.read_until(count=2)) == "E:26000 Z:I 1 Z:I"
        client.ask(parse("commit", "COMMIT"), sync())
        assert rawwire.shape(client.ask(*run)) == "2 D C:SELECT 1 Z:I"
        client.query("BEGIN")
        client.ask(parse("", "SELECT 43"), sync())
        assert rawwire.shape(client.ask(bind(statement="commit"), execute(), sync())) == "2 C:COMMIT Z:I"
        assert rawwire.shape(client.ask(*run)) == "2 D C:SELECT 1 Z:I"
        client.query("BEGIN")
        assert rawwire.shape(client.ask(query("SELECT nothing"))) == "E:42703 Z:E"
        assert rawwire.shape(client.ask(query("COMMIT"))) == "C:ROLLBACK Z:I"   # the question for the mark fails, too
        assert rawwire.shape(client.ask(query("SELECT 1"))) == "T D C:SELECT 1 Z:I"
