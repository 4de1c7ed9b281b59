"""With on_outage = hold: what PostgreSQL says it has not executed is relayed again; whatever may have been, is not."""

import signal

import pytest

from fakeserver import complete, data_row, error, one_row, parameter_status, ready, row_description
from rawwire import BEGIN_NOW, bind, close, describe, errors, execute, flush, parse, query, shape, sync, texts
from waiting import wait_until

from test_outage import Load, upstream_of

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

FATAL = error("57P01", "terminating connection due to administrator command", "FATAL", R="ProcessInterrupts")


class Dying:
    """A fake server that answers the first request of this kind with these bytes and closes; later ones ordinarily."""

    def __init__(self, fake, reply, kind="Q", times=1):
        self.reply, self.kind, self.left, self.asked_count = reply, kind, times, 0
        fake.answer = self._answer

    def _answer(self, conn, kind, body):
        if kind != self.kind or b"mark" not in body:
            return False
        self.asked_count += 1
        if self.left == 0:
            return False
        self.left -= 1
        conn.send(self.reply)
        conn.sock.close()
        conn.is_open = False
        return True


def start(weir, fake, **settings):
    weir.start(upstream=f"host=127.0.0.1 port={fake.port}", **{"on_outage": "hold", **settings})
    return weir.raw()


def test_a_request_that_meets_a_backend_that_was_told_to_end_is_relayed_again(weir, fake):
    wire = start(weir, fake)
    dying = Dying(fake, FATAL)
    reply = wire.ask(query("SELECT 'mark'"))
    assert not errors(reply) and dying.asked_count == 2
    wait_until(lambda: weir.metric("pgweir_pool_replays_total") == 1)


def test_a_request_is_relayed_again_once(weir, fake):
    """What it does may be what ends each of its servers."""
    wire = start(weir, fake)
    dying = Dying(fake, FATAL, times=3)
    wire.send(query("SELECT 'mark'"))
    assert errors(wire.read_until("E"))[0].sqlstate == "57P01" and dying.asked_count == 2
    wire = weir.raw()
    assert not errors(wire.ask(query("SELECT 'mark'"))) and dying.asked_count == 4


@pytest.mark.parametrize("name", ["", "s"], ids=["unnamed", "named"])
@pytest.mark.parametrize("is_described", [False, True])
def test_a_request_that_ends_before_its_parse_complete_is_relayed_again(weir, fake, name, is_described):
    """The statement was taken back with its Parse; nobody but the request itself knows then what its Bind means."""
    wire = start(weir, fake)
    dying = Dying(fake, FATAL, kind="P")
    wire.send(parse(name, "SELECT 'mark'") + (describe("S", name) if is_described else b"") + bind("", name)
              + execute() + sync())
    replies = wire.read_until("Z")
    assert not errors(replies) and dying.asked_count == 2, shape(replies)
    assert not errors(wire.ask(bind("", name) + execute() + sync()))


def test_a_statement_that_another_server_has_is_relayed_again(weir, fake):
    """pgweir's own Parse goes ahead of the Bind, and is what the FATAL answers."""
    wire = start(weir, fake, pool_size=2)
    assert not errors(wire.ask(parse("s", "SELECT 'mark'") + sync()))
    holder = weir.raw()
    holder.query(BEGIN_NOW)
    dying = Dying(fake, FATAL, kind="P")
    assert not errors(wire.ask(bind("", "s") + execute() + sync())) and dying.asked_count == 2


def test_a_name_that_was_taken_before_is_still_taken(weir, fake):
    wire = start(weir, fake)
    assert shape(wire.ask(parse("s", "SELECT 1") + sync())) == "1 Z:I"
    asked = []

    def answer(conn, kind, body):
        if kind != "P" or b"SELECT 2" not in body:
            return False
        asked.append(body.split(b"\0")[0])
        conn.send(FATAL if len(asked) == 1 else error("42P05", "it exists"))
        if len(asked) == 1:
            conn.sock.close()
            conn.is_open = False
        return True

    fake.answer = answer
    assert shape(wire.ask(parse("s", "SELECT 2") + sync())) == "E:42P05 Z:I"
    assert len(asked) == 2 and asked[0] == asked[1]  # pgweir's own name for a Parse that can only fail


def test_not_with_fail(weir, fake):
    wire = start(weir, fake, on_outage="fail")
    dying = Dying(fake, FATAL)
    wire.send(query("SELECT 'mark'"))
    assert errors(wire.read_until("E"))[0].sqlstate == "57P01" and dying.asked_count == 1


NOT_AGAIN = {
    "it was completed": ("SELECT 'mark'", one_row("1") + FATAL),
    "it has failed": ("SELECT 'mark'", error("22012", "division by zero") + FATAL),
    "the link breaks without a word": ("SELECT 'mark'", b""),
    "a crash": ("SELECT 'mark'", error("57P02", "crash of another server process", "FATAL")),
    "a procedure, which may commit": ("CALL mark()", FATAL),
    "VACUUM": ("VACUUM mark", FATAL),
    "an index, perhaps concurrently": ("CREATE INDEX CONCURRENTLY ON mark (id)", FATAL),
    "DO": ("DO $$ BEGIN COMMIT; END mark $$", FATAL),
    "COPY": ("COPY mark FROM STDIN", FATAL),
}


@pytest.mark.parametrize("what", NOT_AGAIN)
def test_what_may_have_been_executed_is_not(weir, fake, what):
    sql, answer = NOT_AGAIN[what]
    wire = start(weir, fake)
    dying = Dying(fake, answer)
    wire.send(query(sql))
    wire.wait_closed()
    assert dying.asked_count == 1
    assert weir.metric_now("pgweir_pool_replays_total") == 0


def test_what_was_shown_is_not_shown_twice(weir, fake):
    """A row has been sent to the client when the server ends."""
    wire = start(weir, fake)
    asked = []

    def answer(conn, kind, body):
        if kind != "Q" or b"mark" not in body:
            return False
        asked.append(conn.number)
        conn.send(row_description("v"), data_row("1"))
        wait_until(lambda: "D" in seen)
        conn.send(FATAL)
        conn.sock.close()
        conn.is_open = False
        return True
    fake.answer = answer
    seen = []
    wire.send(query("SELECT 'mark'"))
    seen.extend(shape(wire.read_until("D")))
    assert errors(wire.read_until("E"))[0].sqlstate == "57P01" and len(asked) == 1


def test_the_beginning_of_an_answer_that_was_not_sent_yet_is_taken_back(weir, fake):
    wire = start(weir, fake)
    dying = Dying(fake, row_description("v") + data_row("old") + FATAL)
    assert "old" not in str(texts(wire.ask(query("SELECT 'mark'")))) and dying.asked_count == 2


class Batches:
    """A fake server that answers the first requests that mark something all at once, with the last of their messages, and
    closes. messages: how many those are."""

    def __init__(self, fake, messages, reply):
        self.messages, self.reply, self.asked = messages, reply, []
        fake.answer = self._answer

    def _answer(self, conn, kind, body):
        if len(self.asked) >= self.messages or (not self.asked and b"mark" not in body):
            if b"mark" in body:
                self.asked.append(kind)
            return False
        self.asked.append(kind)
        if len(self.asked) == self.messages:
            conn.send(self.reply)
            conn.sock.close()
            conn.is_open = False
        return True


EXTENDED = [parse("", "INSERT mark"), bind(), execute(), sync()]
DONE = b"1\0\0\0\4" + b"2\0\0\0\4" + complete("INSERT 0 1")


def test_a_request_whose_sync_was_not_answered_is_relayed_again(weir, fake):
    """Its statement was completed, but is committed at the Sync only."""
    wire = start(weir, fake)
    dying = Batches(fake, 4, DONE + FATAL)
    replies = wire.ask(*EXTENDED)
    assert not errors(replies) and shape(replies).startswith("1 2 ") and shape(replies).count("C:") == 1
    assert dying.asked == [*"PBES", "P"]


@pytest.mark.parametrize("messages, reply", [
    ([query("INSERT mark")] * 2, complete("INSERT 0 1") + ready("I") + FATAL),
    (EXTENDED * 2, DONE + ready("I") + FATAL),
    # pgweir closes the unnamed statement ahead of the Query
    ([*EXTENDED[:3], query("INSERT mark")], DONE + b"3\0\0\0\4" + complete("INSERT 0 1") + FATAL),
], ids=["a Query before it", "a Sync before it", "a Query in it"])
def test_what_was_committed_before_the_word_came_is_not_relayed_again(weir, fake, messages, reply):
    wire = start(weir, fake)
    asked = len(messages) + (b"3\0\0\0\4" in reply)
    dying = Batches(fake, asked, reply)
    wire.send(*messages)
    assert errors(wire.read_to_end())[-1].sqlstate == "57P01"
    assert len(dying.asked) == asked


def test_not_within_a_transaction(weir, fake):
    wire = start(weir, fake)
    wire.query(BEGIN_NOW)
    dying = Dying(fake, FATAL)
    wire.send(query("SELECT 'mark'"))
    assert errors(wire.read_until("E"))[0].sqlstate == "57P01" and dying.asked_count == 1


def test_an_extended_request_with_a_statement_of_its_own(weir, own_postgres):
    """Parse, Bind, Execute and Sync are one request; the statement is there afterwards."""
    wire = weir.start(upstream=upstream_of(own_postgres), on_outage="hold", pool_size=1).raw()
    wire.send(parse("s", "SELECT $1::int, pg_sleep(0.5)") + bind("", "s", ["7"]) + execute() + sync())
    wait_until(lambda: own_postgres.backends(wait_event="PgSleep"))
    own_postgres.kill_backends(wait_event="PgSleep")
    assert texts(wire.read_until("Z")) == [["7", ""]]
    assert texts(wire.ask(bind("", "s", ["8"]) + execute() + sync())) == [["8", ""]]
    wait_until(lambda: weir.metric("pgweir_pool_replays_total") == 1)


def test_a_statement_that_was_prepared_before(weir, own_postgres):
    wire = weir.start(upstream=upstream_of(own_postgres), on_outage="hold", pool_size=1).raw()
    wire.ask(parse("s", "SELECT $1::int, pg_sleep(0.5)") + sync())
    wire.send(bind("", "s", ["7"]) + execute() + sync())
    wait_until(lambda: own_postgres.backends(wait_event="PgSleep"))
    own_postgres.kill_backends(wait_event="PgSleep")
    assert texts(wire.read_until("Z")) == [["7", ""]]


def test_not_if_a_later_statement_has_taken_its_name(weir, own_postgres):
    """Relayed again, its Bind would find the later one, or none (26000)."""
    wire = weir.start(upstream=upstream_of(own_postgres), on_outage="hold", pool_size=1).raw()
    wire.ask(parse("s", "SELECT $1::int, pg_sleep(0.5)") + sync())
    wire.send(bind("", "s", ["7"]) + execute() + close("S", "s") + parse("s", "SELECT 8") + bind("", "s") + execute() +
              sync())
    wait_until(lambda: own_postgres.backends(wait_event="PgSleep"))
    own_postgres.kill_backends(wait_event="PgSleep")
    assert errors(wire.read_to_end())[0].sqlstate == "57P01"


def test_what_a_failed_parse_skips_is_skipped_without_its_server_too(weir, own_postgres):
    """PostgreSQL skips all up to the Sync; another server would run it."""
    weir.start(upstream=upstream_of(own_postgres), on_outage="hold", pool_size=1)
    own_postgres.query("CREATE TABLE skipped (i int); GRANT ALL ON skipped TO web")
    wire = weir.raw()
    wire.ask(parse("writes", "INSERT INTO skipped VALUES (1)") + sync())
    wire.send(parse("bad", "SELCT 1") + flush())
    assert wire.read_until("E")[-1].sqlstate == "42601"
    own_postgres.kill_backends()
    wire.send(bind("", "writes") + execute() + sync())
    assert errors(wire.read_to_end())[0].sqlstate == "57P01"
    assert own_postgres.value("SELECT count(*) FROM skipped") == 0


def test_settings_are_there_again(weir, own_postgres):
    weir.start(upstream=upstream_of(own_postgres), on_outage="hold", pool_size=1)
    wire = weir.raw(parameters={"search_path": "hidden"})
    wire.query("SET work_mem = '7MB'")
    wire.send(query("SELECT current_setting('search_path'), current_setting('work_mem'), pg_sleep(0.5)"))
    wait_until(lambda: own_postgres.backends(wait_event="PgSleep"))
    own_postgres.kill_backends(wait_event="PgSleep")
    assert texts(wire.read_until("Z")) == [["hidden", "7MB", ""]]


def test_a_setting_that_was_rolled_back_with_its_request_is_made_again(weir, own_postgres):
    wire = weir.start(upstream=upstream_of(own_postgres), on_outage="hold", pool_size=1).raw()
    wire.send(query("SELECT set_config('work_mem', '7MB', false), pg_sleep(0.5)"))
    wait_until(lambda: own_postgres.backends(wait_event="PgSleep"))
    own_postgres.kill_backends(wait_event="PgSleep")
    assert texts(wire.read_until("Z")) == [["7MB", ""]]
    assert wire.query("SHOW work_mem") == [["7MB"]]


def test_busy_clients_see_nothing_of_a_fast_restart(weir, own_postgres):
    """20 clients insert one row at a time, outside transactions, while PostgreSQL restarts three times; half of them by
    the extended protocol."""
    own_postgres.query("CREATE TABLE done (client int, i int, PRIMARY KEY (client, i)); GRANT ALL ON done TO web")
    weir.start(upstream=upstream_of(own_postgres), on_outage="hold", pool_size=8)

    def insert(wire, number, i):
        if number % 2:
            wire.query(f"INSERT INTO done VALUES ({number}, {i})")
        else:
            wire.extended("INSERT INTO done VALUES ($1::int, $2::int)", [str(number), str(i)])
    load = Load(weir, 20, insert)
    load.wait_done(200)
    for _ in range(3):
        own_postgres.stop()
        own_postgres.start()
        load.wait_done(200)
    load.stop()
    rows = own_postgres.value("SELECT count(*) FROM done")
    print(f"3 fast restarts: {load.done_count} inserts acknowledged, {rows} rows, {len(load.errors)} errors, "
          f"{weir.metric_now('pgweir_pool_held_requests_total'):.0f} held, "
          f"{weir.metric('pgweir_pool_replays_total'):.0f} relayed again, longest stall {load.longest:.2f} s")
    assert not load.errors and rows == load.done_count


def test_of_a_crash_only_requests_under_way_are_in_doubt(weir, own_postgres):
    """An immediate stop says nothing of what was executed: at most one error for each server connection."""
    own_postgres.query("SET synchronous_commit = on;"                    # else the crash may undo the table
                       "CREATE TABLE done (client int, i int, PRIMARY KEY (client, i)); GRANT ALL ON done TO web")
    weir.start(upstream=upstream_of(own_postgres), on_outage="hold", pool_size=4)
    acknowledged = [0] * 12

    def insert(wire, number, i):
        wire.query(f"INSERT INTO done VALUES ({number}, {i})")
        acknowledged[number] += 1
    load = Load(weir, 12, insert)
    load.wait_done(100)
    own_postgres.stop(signal.SIGQUIT)
    own_postgres.start()
    load.wait_done(100)
    load.stop()
    print(f"1 immediate restart: {load.done_count} acknowledged, {len(load.errors)} errors, "
          f"longest stall {load.longest:.2f} s")
    assert len(load.errors) <= 4, load.errors


def test_a_login_whose_server_is_lost_asks_another(weir, fake):
    """Its startup settings are tried on a server, which ends meanwhile."""
    wire = start(weir, fake)
    wire.query("SELECT 1")
    left = [1]

    def answer(conn, kind, body):
        if kind != "P" or b"set_config" not in body or not left[0]:
            return False
        left[0] -= 1
        conn.sock.close()
        conn.is_open = False
        return True
    fake.answer = answer
    assert not errors(weir.raw(parameters={"search_path": "hidden"}).ask(query("SELECT 1")))
    assert left == [0]


# --- a primary that is none any more ---

REFUSED = (error("25006", "cannot execute INSERT in a read-only transaction") +
           parameter_status("default_transaction_read_only", "on") + ready())

def test_a_server_that_became_read_only_is_left_and_its_request_relayed_again(weir, fake):
    weir.start(upstream=f"host=127.0.0.1 port={fake.port} target_session_attrs=read-write", on_outage="hold")
    wire = weir.raw()
    answered = []

    def answer(conn, kind, body):
        if kind != "Q" or b"mark" not in body or answered:
            return False
        answered.append(conn.number)
        conn.send(REFUSED)
        return True
    fake.answer = answer
    assert not errors(wire.ask(query("INSERT INTO mark VALUES (1)")))
    assert answered
    wait_until(lambda: weir.metric("pgweir_pool_replays_total") == 1)


def test_a_server_that_became_read_only_is_left_with_fail_too(weir, fake):
    weir.start(upstream=f"host=127.0.0.1 port={fake.port} target_session_attrs=read-write", pool_size=1, max_overflow=0)
    fake.answer = lambda conn, kind, body: kind == "Q" and b"mark" in body and (
        conn.send(REFUSED) or True)
    with weir.raw() as wire:
        wire.query("SELECT 1")
        used, = fake.open_connections()
        assert errors(wire.ask(query("INSERT INTO mark VALUES (1)")))[0].sqlstate == "25006"
        wait_until(lambda: not used.is_open, what="the server to be given up")
        assert not errors(wire.ask(query("SELECT 1")))


def test_a_server_that_became_read_only_does_not_make_its_clients_so(weir, own_postgres):
    """Within a transaction the client gets the error; its next one is on another server, and may write again."""
    own_postgres.query("CREATE TABLE t (i int); GRANT ALL ON t TO web")
    wire = weir.start(upstream=upstream_of(own_postgres, target_session_attrs="read-write"), on_outage="hold").raw()
    wire.query(BEGIN_NOW, "COMMIT")
    own_postgres.query("ALTER SYSTEM SET default_transaction_read_only = on")
    own_postgres.query("SELECT pg_reload_conf()")
    wait_until(lambda: own_postgres.value("SHOW default_transaction_read_only") == "on")
    wire.query(BEGIN_NOW)
    assert errors(wire.ask(query("INSERT INTO t VALUES (1)")))[0].sqlstate == "25006"
    wire.send(query("ROLLBACK"))
    wire.read_until("Z")
    wire.send(query("INSERT INTO t VALUES (2)"))
    weir.wait_waiting(1)
    own_postgres.query("ALTER SYSTEM RESET default_transaction_read_only")
    own_postgres.query("SELECT pg_reload_conf()")
    assert not errors(wire.read_until("Z"))
    assert own_postgres.query("SELECT i FROM t") == [(2,)]


@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"])
@pytest.mark.parametrize("ahead", [None, "SELECT 1"], ids=["first", "later"])
def test_a_write_in_a_read_only_transaction_is_its_clients_mistake(weir, own_postgres, begin, ahead):
    """It gets the error once, and its server, which is a primary, stays."""
    own_postgres.query("CREATE TABLE t (i int); GRANT ALL ON t TO web")
    weir.start(upstream=upstream_of(own_postgres, target_session_attrs="read-write"), on_outage="hold", begin="deferred",
               pool_size=1, max_overflow=0)
    with weir.raw() as wire:
        pid = wire.value("SELECT pg_backend_pid()")
        for _ in range(2):
            wire.query(begin)
            if ahead is not None:
                wire.query(ahead)
            assert shape(wire.ask(query("INSERT INTO t VALUES (1)"))) == "E:25006 Z:E"
            assert shape(wire.ask(query("ROLLBACK"))) == "C:ROLLBACK Z:I"
            assert wire.value("SELECT pg_backend_pid()") == pid
    assert weir.metric_now("pgweir_pool_replays_total") == 0


def test_a_client_that_wants_read_only_gets_its_error(weir, own_postgres):
    own_postgres.query("CREATE TABLE t (i int); GRANT ALL ON t TO web")
    wire = weir.start(upstream=upstream_of(own_postgres, target_session_attrs="read-write"), on_outage="hold").raw()
    wire.query("SET default_transaction_read_only = on")
    assert errors(wire.ask(query("INSERT INTO t VALUES (1)")))[0].sqlstate == "25006"
    assert weir.metric_now("pgweir_pool_replays_total") == 0

