"""LISTEN, UNLISTEN and NOTIFY on a connection that has no server of its own: what PostgreSQL promises holds, and what
is read here is the same straight against PostgreSQL (PGWEIR_DIRECT)."""

import os
import re
import signal
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from compare import assert_same
from rawwire import (BEGIN_NOW, QueryFailed, bind, close, copy_data, copy_done, describe, errors, execute, function_call,
                     message, one_statement, parse, query, sync, texts)
from waiting import each, wait_until


def shape(replies):
    """The types of messages, in order."""
    return "".join(reply.type for reply in replies if reply.type != "S")


def notified(reply):
    """(channel, payload) of a NotificationResponse."""
    channel, payload, _ = reply.body[4:].split(b"\0", 2)
    return channel.decode(), payload.decode()


def pid_of(reply):
    return struct.unpack_from("!i", reply.body)[0]


def news(wire, count=1):
    """The next so many notifications, which come while nothing was asked."""
    replies = [wire.read() for _ in range(count)]
    assert shape(replies) == "A" * count, [(reply.type, reply.body) for reply in replies]
    return [notified(reply) for reply in replies]


def all_news(replies):
    return [notified(reply) for reply in replies if reply.type == "A"]


def tags(replies):
    return [reply.tag for reply in replies if reply.type == "C"]


@pytest.mark.parametrize("how", [query, lambda sql: one_statement(sql) + sync(), lambda sql: query(f"SELECT 1; {sql}")],
                         ids=["simple", "extended", "several"])
@pytest.mark.parametrize("sql", ["UNLISTEN a", "UNLISTEN *"])
def test_an_unlisten_in_a_long_text(weir, how, sql):
    with weir.start(pool_size=2).raw() as wire, weir.raw() as other:
        wire.query("LISTEN a", "LISTEN b")
        assert tags(wire.ask(how(f"{sql} /*{'x' * 5000}*/")))[-1] == "UNLISTEN"
        wire.query("LISTEN c")
        other.query("NOTIFY a", "NOTIFY c")
        assert news(wire) == [("c", "")]


@pytest.fixture(params=[1, 2], ids=["one_server", "two_servers"])
def pool(request, weir):
    weir.start(pool_size=request.param, pool_lifo=False)
    return weir


@pytest.fixture
def one(weir):
    weir.start(pool_size=1)
    return weir


@pytest.fixture
def two(weir):
    weir.start(pool_size=2, pool_lifo=False)
    return weir


def listening(weir, *channels, **options):
    wire = weir.raw(**options)
    for channel in channels:
        replies = wire.ask(query(f"LISTEN {channel}"))
        assert tags(replies) == ["LISTEN"] and shape(replies) == "CZ"
    return wire


# --- the plain case ---

def test_a_listener_hears_what_others_notify(pool):
    listener, other = listening(pool, "news"), pool.raw()
    other.query("NOTIFY news, 'first'", "NOTIFY news", "SELECT pg_notify('news', 'Grüße ''\"')")
    assert news(listener, 3) == [("news", "first"), ("news", ""), ("news", "Grüße '\"")]


def test_a_listener_goes_on_working(pool):
    listener, other = listening(pool, "news"), pool.raw()
    for number in range(20):
        assert listener.value(f"SELECT {number}") == str(number)
        other.query(f"NOTIFY news, '{number}'")
        assert news(listener) == [("news", str(number))]


def test_what_was_committed_before_comes_before_the_end_of_a_query(pool):
    listener, other = listening(pool, "news"), pool.raw()
    for number in range(50):
        other.query(f"NOTIFY news, '{number}'")
        replies = listener.ask(query("SELECT 1"))
        # Either it was there before the query was sent, or PostgreSQL's order holds: before its ReadyForQuery.
        assert all_news(replies) == [("news", str(number))], shape(replies)
        assert replies[-1].status == "I"


def test_notifications_of_ones_own_come_before_ready(pool):
    wire = listening(pool, "own")
    for number in range(20):
        replies = wire.ask(query(f"NOTIFY own, '{number}'"))
        assert shape(replies) == "CAZ" and all_news(replies) == [("own", str(number))]


def test_equal_notifications_of_one_transaction_come_once(pool):
    listener, other = listening(pool, "news"), pool.raw()
    other.query(BEGIN_NOW)
    for _ in range(3):
        other.query("NOTIFY news, 'same'")
    other.query("NOTIFY news, 'other'", "COMMIT")
    assert news(listener, 2) == [("news", "same"), ("news", "other")]


# --- who sent it ---

def own_pid(wire):
    """As drivers know it: BackendKeyData."""
    return struct.unpack_from("!i", wire.key)[0]


def notify_extended(wire):
    wire.ask(one_statement("SELECT pg_notify($1, $2)", ["news", "x"]), sync())


def notify_prepared(wire):
    wire.ask(parse("n", "NOTIFY news, 'x'"), sync())
    wire.ask(bind("", "n"), execute(), sync())


def notify_in_transaction(wire):
    wire.query("BEGIN")
    wire.query("SELECT 1")
    wire.query("NOTIFY news, 'x'")
    wire.query("SELECT 2")
    wire.query("COMMIT")


def notify_pipelined(wire):
    wire.send(query("SELECT 1"), query("NOTIFY news, 'x'"), query("SELECT 2"))
    wire.read_until("Z", 3)


@pytest.mark.parametrize("send", [lambda wire: wire.query("NOTIFY news, 'x'"), notify_extended, notify_prepared,
                                  notify_in_transaction, notify_pipelined],
                         ids=["simple", "extended", "prepared", "transaction", "pipelined"])
def test_the_pid_is_the_one_its_sender_knows(pool, send):
    listener, senders = listening(pool, "news"), [pool.raw() for _ in range(3)]
    for sender in [*senders, *senders]:
        send(sender)
        reply = listener.read()
        assert notified(reply) == ("news", "x") and pid_of(reply) == own_pid(sender)
    listener.send(query("NOTIFY news, 'own'"))
    own = [reply for reply in listener.read_until("Z") if reply.type == "A"]
    assert [pid_of(reply) for reply in own] == [own_pid(listener)]


def test_a_sender_that_leaves_at_once_is_known(pool):
    listener = listening(pool, "news")
    for _ in range(20):
        sender = pool.raw()
        sender.query("NOTIFY news")
        sender.close()
        assert pid_of(listener.read()) == own_pid(sender)


def test_senders_are_not_mistaken_for_each_other(pool):
    """Three threads send as fast as they can, by as many servers as there are."""
    listener, senders = listening(pool, "news"), [pool.raw() for _ in range(3)]

    def send(wire):
        for number in range(60):
            wire.query(f"NOTIFY news, '{own_pid(wire)} {number}'" if number % 3 else "SELECT 1")
    jobs = [pool.in_background(send, wire) for wire in senders]
    for _ in range(3 * 40):
        reply = listener.read()
        assert notified(reply)[1].split()[0] == str(pid_of(reply))
    each(jobs).result()


@pytest.mark.weir_only
def test_a_trigger_that_notifies_is_nobodys(weir, table):
    """What no text shows keeps the PID of the server connection; it is never taken for another client's."""
    weir.postgres.query(f"CREATE FUNCTION tell_{table}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                        f"NOTIFY news, 'row'; RETURN NULL; END$$")
    weir.postgres.query(f"CREATE TRIGGER tell AFTER INSERT ON {table} EXECUTE FUNCTION tell_{table}()")
    weir.start(pool_size=1)
    listener, by_trigger, by_text = listening(weir, "news"), weir.raw(), weir.raw()
    for number in range(50):
        by_trigger.send(query(f"INSERT INTO {table} VALUES ({number}, 'x')"))
        by_text.send(query("NOTIFY news, 'text'"))
        by_trigger.read_until("Z")
        by_text.read_until("Z")
        for reply in [listener.read(), listener.read()]:
            known = notified(reply)[1] == "text"
            assert (pid_of(reply) == own_pid(by_text)) == known
    weir.postgres.query(f"DROP FUNCTION tell_{table}() CASCADE")


def test_the_order_is_that_of_the_commits(pool):
    listener, senders = listening(pool, "a", "b"), [pool.raw() for _ in range(3)]
    expected = []
    for number in range(60):
        channel = "ab"[number % 2]
        senders[number % 3].query(f"NOTIFY {channel}, '{number}'")
        expected.append((channel, str(number)))
    assert news(listener, 60) == expected


# --- names ---

@pytest.mark.parametrize("spelled, name", [
    ("News", "news"), ('"News"', "News"), ('"a ""quoted"" one"', 'a "quoted" one'), ("grün", "grün"),
    ('"; DROP TABLE x; --"', "; DROP TABLE x; --"), ('U&"d\\0061t"', "dat"), ("select_1$x", "select_1$x"),
    ("/* a comment */ spaced -- and more", "spaced"), ("listen_", "listen_"),
], ids=["folded", "quoted", "quotes", "non_ascii", "hostile", "unicode_escape", "dollar", "comments", "keyword_like"])
def test_channels_are_named_as_in_postgresql(two, spelled, name):
    listener, other = listening(two, spelled), two.raw()        # U&"..." is not foreseen
    other.query("SELECT pg_notify('%s', 'x')" % name.replace("'", "''"))
    assert news(listener) == [(name, "x")]
    assert tags(listener.ask(query('UNLISTEN "%s"' % name.replace('"', '""')))) == ["UNLISTEN"]
    other.query("SELECT pg_notify('%s', 'y')" % name.replace("'", "''"))
    assert all_news(listener.ask(query("SELECT 1"))) == []


def test_long_names_are_cut_with_a_notice(one):
    listener, other = one.raw(), one.raw()
    replies = listener.ask(query("LISTEN " + "x" * 70))
    assert shape(replies) == "NCZ" and replies[0].sqlstate == "42622" and tags(replies) == ["LISTEN"]
    other.query("NOTIFY " + "x" * 63)
    assert news(listener) == [("x" * 63, "")]


@pytest.mark.parametrize("sql, sqlstate", [("LISTEN", "42601"), ("LISTEN a b", "42601"), ("LISTEN 'a'", "42601"),
                                           ('LISTEN ""', "42601"), ("LISTEN a, b", "42601"),
                                           ("LISTEN *", "42601")])
def test_what_is_no_listen_is_refused_by_postgresql(one, sql, sqlstate):
    wire = one.raw()
    with pytest.raises(QueryFailed) as failed:
        wire.query(sql)
    assert failed.value.reply.sqlstate == sqlstate
    assert wire.value("SELECT 1") == "1"


# --- transactions ---

def test_a_notify_is_sent_with_its_transaction(pool):
    listener, other = listening(pool, "news"), pool.raw()
    other.query("BEGIN", "NOTIFY news, 'lost'", "ROLLBACK", "BEGIN", "NOTIFY news, 'kept'")
    if pool.direct or pool.config["pool"]["pool_size"] > 1:
        assert all_news(listener.ask(query("SELECT 1"))) == []
    other.query("COMMIT")
    assert news(listener) == [("news", "kept")]


def test_a_listen_counts_when_it_is_committed(weir):
    listener, other = weir.start(pool_size=2).raw(), weir.raw()
    listener.query("BEGIN")
    assert tags(listener.ask(query("LISTEN news"))) == ["LISTEN"]
    other.query("NOTIFY news, 'too early'")
    assert all_news(listener.ask(query("SELECT 1"))) == []
    assert all_news(listener.ask(query("COMMIT"))) == []
    other.query("NOTIFY news, 'in time'")
    assert news(listener) == [("news", "in time")]


@pytest.mark.parametrize("texts_sent", [["BEGIN", "LISTEN news", "ROLLBACK"], ["BEGIN", "LISTEN a; LISTEN news", "ROLLBACK"],
                                        ["BEGIN; LISTEN news; ROLLBACK"]], ids=["one", "several", "unforeseen"])
def test_a_listen_that_is_rolled_back_never_was(weir, texts_sent):
    listener, other = weir.start(pool_size=2).raw(), weir.raw()
    listener.query(*texts_sent)
    other.query("NOTIFY news, 'nobody'")
    assert all_news(listener.ask(query("SELECT 1"))) == []


def test_an_unlisten_that_is_rolled_back_never_was(pool):
    listener, other = listening(pool, "news"), pool.raw()
    listener.query("BEGIN")
    listener.query("UNLISTEN news")
    listener.query("ROLLBACK")
    other.query("NOTIFY news, 'still'")
    assert news(listener) == [("news", "still")]


def test_ones_own_notify_in_the_transaction_of_the_listen(pool):
    wire = pool.raw()
    wire.query("BEGIN", "LISTEN own", "NOTIFY own, 'me'")
    replies = wire.ask(query("COMMIT"))
    assert shape(replies) == "CAZ" and all_news(replies) == [("own", "me")]


@pytest.mark.parametrize("length", [4090, 9980])
def test_listen_in_a_portal_with_a_long_name(two, length):
    wire, other, name = two.raw(), two.raw(), "p" * length
    wire.query("BEGIN")
    wire.ask(parse("", "LISTEN news") + bind(name, "") + sync())
    whole = execute(name) + sync()
    wire.send(whole[:2000])
    other.query("NOTIFY news, 'before'")
    wire.send(whole[2000:])
    assert tags(wire.read_until("Z")) == ["LISTEN"]
    wire.query("COMMIT")
    other.query("NOTIFY news, 'after'")
    assert notified(wire.read_until("A")[-1]) == ("news", "after")


def test_nothing_is_delivered_within_a_transaction(weir):
    weir.start(pool_size=2)
    listener, other = listening(weir, "news"), weir.raw()
    listener.query("BEGIN")
    for number in range(5):
        other.query(f"NOTIFY news, '{number}'")
        replies = listener.ask(query("SELECT 1"))
        assert shape(replies) == "TDCZ"
    replies = listener.ask(query("COMMIT"))
    assert all_news(replies) == [("news", str(number)) for number in range(5)]
    assert shape(replies) == "CAAAAAZ"


@pytest.mark.parametrize("sql", ["LISTEN news", "UNLISTEN news", "UNLISTEN *"])
def test_a_failed_transaction_takes_none(one, sql):
    wire, other = one.raw(), one.raw()
    wire.query("BEGIN")
    with pytest.raises(QueryFailed):
        wire.query("SELECT 1/0")
    replies = wire.ask(query(sql))
    assert shape(replies) == "EZ" and replies[0].sqlstate == "25P02"
    wire.query("ROLLBACK")
    other.query("NOTIFY news")
    assert all_news(wire.ask(query("SELECT 1"))) == []


def test_a_transaction_that_fails_at_its_commit_listens_to_nothing(one, table):
    one.postgres.query(f"ALTER TABLE {table} ADD UNIQUE (v) DEFERRABLE INITIALLY DEFERRED")
    wire, other = one.raw(), one.raw()
    wire.query("BEGIN", "LISTEN news", f"INSERT INTO {table} VALUES (1, 'a'), (2, 'a')")
    with pytest.raises(QueryFailed):
        wire.query("COMMIT")
    other.query("NOTIFY news")
    assert all_news(wire.ask(query("SELECT 1"))) == []


# What becomes of a client that listens to "was": (the statements, what it listens to then).
SAVEPOINTS = {
    "rolled back to": ("BEGIN; SAVEPOINT s; LISTEN a; ROLLBACK TO s; COMMIT", "was"),
    "UNLISTEN rolled back": ("BEGIN; SAVEPOINT s1; UNLISTEN was; ROLLBACK TO s1; END", "was"),
    "all UNLISTEN rolled back": ("BEGIN; LISTEN a; SAVEPOINT s; UNLISTEN *; ROLLBACK TO s; END", "a was"),
    "rolled back and chained": ("BEGIN; LISTEN a; SAVEPOINT s; ROLLBACK AND CHAIN; COMMIT AND CHAIN; ROLLBACK", "was"),
    "committed and chained": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; COMMIT AND CHAIN; ROLLBACK", "a b was"),
    "an earlier one stays": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; ROLLBACK TO s; COMMIT", "a was"),
    "the savepoint stays": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; ROLLBACK TO SAVEPOINT s; LISTEN c; "
                            "ROLLBACK WORK TO s; COMMIT", "a was"),
    "a later one counts": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; ROLLBACK TRANSACTION TO s; LISTEN c; END", "a c was"),
    "released": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; RELEASE s; COMMIT", "a b was"),
    "released into another": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; SAVEPOINT t; UNLISTEN b; LISTEN c; "
                              "RELEASE SAVEPOINT t; ROLLBACK TO s; COMMIT", "a was"),
    "released with those within": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; SAVEPOINT t; LISTEN c; SAVEPOINT u; "
                                   "UNLISTEN a; RELEASE t; LISTEN d; ROLLBACK TO s; LISTEN e; COMMIT", "a e was"),
    "the innermost of a name": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; SAVEPOINT s; LISTEN c; ROLLBACK TO s; COMMIT",
                                "a b was"),
    "the outer one after it": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; SAVEPOINT s; LISTEN c; RELEASE s; "
                               "ROLLBACK TO s; COMMIT", "a was"),
    "a name from before": ("BEGIN; SAVEPOINT s; LISTEN a; SAVEPOINT s; LISTEN b; RELEASE s; ROLLBACK TO s; COMMIT",
                           "was"),
    "released from before": ("BEGIN; SAVEPOINT s; LISTEN a; SAVEPOINT t; LISTEN b; RELEASE s; COMMIT", "a b was"),
    "names are folded": ('BEGIN; LISTEN a; SAVEPOINT "S"; LISTEN b; SAVEPOINT S; LISTEN c; ROLLBACK TO "S"; END', "a was"),
    "called savepoint": ("BEGIN; LISTEN a; SAVEPOINT savepoint; LISTEN b; ROLLBACK TO savepoint; LISTEN c; "
                         "RELEASE savepoint; END", "a c was"),
    "with comments": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; /* ; */ ROLLBACK -- COMMIT\n TO s; END", "a was"),
    "all of it": ("BEGIN; LISTEN a; SAVEPOINT s; UNLISTEN was; ABORT", "was"),
    "of the next transaction": ("BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; COMMIT; BEGIN; SAVEPOINT s; LISTEN c; "
                                "ROLLBACK TO s; COMMIT", "a b was"),
}
FAILED = {
    "after an error": (["BEGIN", "LISTEN a", "SAVEPOINT s", "LISTEN b", "SELECT 1/0", "ROLLBACK TO s", "COMMIT"], "a was"),
    "a savepoint that is not": (["BEGIN", "LISTEN a", "SAVEPOINT s", "LISTEN b", "ROLLBACK TO t", "ROLLBACK TO s", "END"],
                                "a was"),
    "COMMIT of a failed one": (["BEGIN", "LISTEN a", "SAVEPOINT s", "UNLISTEN was", "SELECT 1/0", "COMMIT"], "was"),
    "PREPARE TRANSACTION": (["BEGIN", "SAVEPOINT s", "LISTEN a", "PREPARE TRANSACTION 'p'", "COMMIT"], "was"),
}


def listens_to(wire, other, names=("a", "b", "c", "d", "e", "was")):
    for name in names:
        other.query(f"NOTIFY {name}")
    return " ".join(sorted(channel for channel, _ in all_news(wire.ask(query("SELECT 1")))))


def statements(text):
    return [sql.strip() for sql in text.replace("/* ; */", "/* */").split(";")]


@pytest.mark.parametrize("name", SAVEPOINTS)
def test_savepoints(two, name):
    text, expected = SAVEPOINTS[name]
    wire, other = listening(two, "was"), two.raw()
    for sql in statements(text):
        wire.query(sql)
    assert listens_to(wire, other) == expected


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", SAVEPOINTS)
def test_savepoints_of_a_client_that_did_not_listen(two, name):
    text, expected = SAVEPOINTS[name]
    wire, other = two.raw(), two.raw()
    for sql in statements(text):
        wire.query(sql)
    assert listens_to(wire, other) == expected.replace("was", "").strip()


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", SAVEPOINTS)
@pytest.mark.parametrize("how", ["simple_pipelined", "unnamed", "named", "pipelined", "one_sync"])
def test_savepoints_sent_in_other_ways(two, name, how):
    text, expected = SAVEPOINTS[name]
    wire, other = listening(two, "was"), two.raw()
    sent = [one_statement(sql, name=f"s{number}" if how == "named" else "")
            for number, sql in enumerate(statements(text))]
    if how == "simple_pipelined":
        wire.send(*(query(sql) for sql in statements(text)))
        wire.read_until("Z", len(sent))
    elif how == "one_sync":
        replies = wire.ask(*sent, sync())
        assert shape(replies) == "12nC" * len(sent) + "Z", shape(replies)
    elif how == "pipelined":
        wire.send(*(sql + sync() for sql in sent))
        wire.read_until("Z", len(sent))
    else:
        for sql in sent:
            assert shape(wire.ask(sql, sync())) == "12nCZ"
    assert listens_to(wire, other) == expected


@pytest.mark.parametrize("name", FAILED)
def test_savepoints_and_errors(two, name):
    texts, expected = FAILED[name]
    wire, other = listening(two, "was"), two.raw()
    for sql in texts:
        wire.ask(query(sql))
    assert listens_to(wire, other) == expected


@pytest.mark.weir_only
def test_a_listen_within_a_savepoint_keeps_its_server_until_unlisten(two):
    wire, other = listening(two, "was"), two.raw()
    for sql in ("BEGIN", "LISTEN a", "SAVEPOINT s", "SELECT 1", "RELEASE s", "COMMIT"):
        wire.ask(query(sql))
    assert not pins(two)
    for sql in ("BEGIN", "SAVEPOINT s", "LISTEN b", "ROLLBACK TO s", "COMMIT"):
        wire.query(sql)
    wait_until(lambda: not pins(two))
    for sql in ("BEGIN", "SAVEPOINT s", "LISTEN b", "RELEASE s", "COMMIT"):
        wire.query(sql)
    wait_until(lambda: pins(two) == ["listen"])
    wire.query("UNLISTEN b")
    wait_until(lambda: not pins(two))
    assert listens_to(wire, other) == "a was"


@pytest.mark.weir_only
def test_an_unlisten_within_savepoints_is_undone_by_any_rollback_to(two):
    wire, other = listening(two, "was", "a"), two.raw()
    for sql in ("BEGIN", "SAVEPOINT s", "UNLISTEN was", "SAVEPOINT t", "ROLLBACK TO t", "UNLISTEN a", "COMMIT"):
        wire.query(sql)
    assert listens_to(wire, other) == "was"


def test_savepoints_among_other_statements(two):
    wire, other = listening(two, "was"), two.raw()
    for sql in ("BEGIN", "LISTEN a", "SELECT 1; SAVEPOINT s; SELECT 2", "LISTEN b", "SELECT ';'; ROLLBACK TO s; SELECT 3", "END"):
        wire.ask(query(sql))
    assert listens_to(wire, other) == "a was"


def test_a_listeners_query_without_a_text(one):
    wire = listening(one, "news")
    wire.send(message("Q"))
    replies = wire.read_until("Z")
    assert replies[0].type == "E" and replies[0].sqlstate == "08P01"
    assert wire.value("SELECT 1") == "1"


# --- leaving ---

def test_unlisten_one_and_all(pool):
    listener, other = listening(pool, "a", "b", "c"), pool.raw()

    def notify_all(payload):
        for channel in "abc":
            other.query(f"NOTIFY {channel}, '{payload}'")
        return [channel for channel, _ in all_news(listener.ask(query("SELECT 1")))]

    assert notify_all("1") == ["a", "b", "c"]
    assert tags(listener.ask(query("UNLISTEN b"))) == ["UNLISTEN"]
    assert notify_all("2") == ["a", "c"]
    assert tags(listener.ask(query("UNLISTEN nothing"))) == ["UNLISTEN"]
    assert notify_all("3") == ["a", "c"]
    assert tags(listener.ask(query("UNLISTEN *"))) == ["UNLISTEN"]
    assert notify_all("4") == []
    assert tags(listener.ask(query("LISTEN b"))) == ["LISTEN"]
    assert notify_all("5") == ["b"]
    assert tags(listener.ask(query("DISCARD ALL"))) == ["DISCARD ALL"]
    assert notify_all("6") == []


@pytest.mark.parametrize("name", ["select", "left", '"select"', "x" * 62, "x" * 63, "x" * 70, '""', "a.b"])
def test_a_name_that_postgresql_refuses_is_refused_in_an_unlisten(weir, name):
    weir.start(pool_size=1, max_overflow=0)
    assert_same(weir, [query("BEGIN"), query("SELECT 1"), query(f"UNLISTEN {name}"), query("ROLLBACK")])


@pytest.mark.parametrize("sql", ["UNLISTEN *", "UNLISTEN other"])
def test_a_transaction_with_an_unlisten_of_nothing_can_be_prepared(weir, sql):
    """The one server has listened for another client. PostgreSQL refuses it to whoever has, and to whoever does so within it."""
    with weir.start(pool_size=1, max_overflow=0).raw() as other:
        other.query("BEGIN", "SAVEPOINT s", "LISTEN was", "COMMIT", "UNLISTEN was")
    assert_same(weir, [query("BEGIN"), parse("", "SELECT 1") + bind() + sync(), query(sql), execute() + sync(), query("ROLLBACK"),
                       query("BEGIN"), query(sql), query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), query("PREPARE TRANSACTION 'unlistened'"),
                       query("ROLLBACK PREPARED 'unlistened'"), query(sql), query("BEGIN"), query("SAVEPOINT s"), query("LISTEN a"), query(sql),
                       query("PREPARE TRANSACTION 'unlistened'")])


@pytest.mark.parametrize("sql", ["SELECT 1; UNLISTEN *; RESET ALL", "UNLISTEN a; SELECT 1; unlisten \"b\"",
                                 "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN\n*;\nRESET ALL;"])
def test_unlisten_among_other_statements(pool, sql):
    """asyncpg cleans its connections so when they go back to its pool."""
    listener, other = listening(pool, "a", "b"), pool.raw()
    assert "UNLISTEN" in tags(listener.ask(query(sql)))
    other.query("NOTIFY a", "NOTIFY b")
    assert all_news(listener.ask(query("SELECT 1"))) == []


def test_one_of_two_leaves(pool):
    stays, goes, other = listening(pool, "news"), listening(pool, "news"), pool.raw()
    other.query("NOTIFY news, 'both'")
    assert news(stays) == news(goes) == [("news", "both")]
    goes.query("UNLISTEN news")
    other.query("NOTIFY news, 'one'")
    assert news(stays) == [("news", "one")]
    assert all_news(goes.ask(query("SELECT 1"))) == []
    listening(pool, "news").close()
    other.query("NOTIFY news, 'again'")
    assert news(stays) == [("news", "again")]


def test_listening_twice_hears_once(pool):
    listener, other = listening(pool, "news", "news"), pool.raw()
    other.query("NOTIFY news", "NOTIFY news, 'end'")
    assert news(listener, 2) == [("news", ""), ("news", "end")]


def test_databases_are_apart(weir):
    weir.postgres.query("SELECT 1")
    weir.start(pool_size=1)
    here, there = listening(weir, "news"), listening(weir, "news", database="app2")
    weir.raw(database="app2").query("NOTIFY news, 'there'")
    weir.raw().query("NOTIFY news, 'here'")
    assert news(here) == [("news", "here")]
    assert news(there) == [("news", "there")]


# --- the extended protocol ---

def test_one_statement_of_the_extended_protocol(pool):
    listener, other = pool.raw(), pool.raw()
    replies = listener.ask(one_statement("LISTEN news"), sync())
    assert shape(replies) == "12nCZ" and tags(replies) == ["LISTEN"]
    other.query("NOTIFY news, 'x'")
    assert news(listener) == [("news", "x")]
    replies = listener.ask(one_statement("UNLISTEN news"), sync())
    assert tags(replies) == ["UNLISTEN"]
    other.query("NOTIFY news, 'y'")
    assert all_news(listener.ask(query("SELECT 1"))) == []


def test_a_named_statement_executed_again_and_again(pool):
    listener, other = pool.raw(), pool.raw()
    assert shape(listener.ask(parse("on", "LISTEN news"), describe("S", "on"), sync())) == "1tnZ"
    assert shape(listener.ask(parse("off", "UNLISTEN *"), sync())) == "1Z"
    other.query("NOTIFY news, 'prepared is not executed'")
    assert all_news(listener.ask(query("SELECT 1"))) == []
    for number in range(5):
        replies = listener.ask(bind("p", "on"), describe("P", "p"), execute("p"), sync())
        assert shape(replies) == "2nCZ" and tags(replies) == ["LISTEN"]
        other.query(f"NOTIFY news, '{number}'")
        assert news(listener) == [("news", str(number))]
        assert tags(listener.ask(bind("", "off"), execute(), sync())) == ["UNLISTEN"]
        other.query("NOTIFY news, 'not heard'")
    assert all_news(listener.ask(query("SELECT 1"))) == []


def test_a_pipeline_that_listens(pool):
    listener, other = pool.raw(), pool.raw()
    listener.send(one_statement("SELECT 1"), one_statement("LISTEN a"), one_statement("LISTEN b"),
                  one_statement("UNLISTEN a"), one_statement("SELECT 2"), sync(),
                  one_statement("LISTEN c"), sync(), query("LISTEN d"), query("SELECT 3"))
    replies = listener.read_until("Z", 4)
    assert tags(replies) == ["SELECT 1", "LISTEN", "LISTEN", "UNLISTEN", "SELECT 1", "LISTEN", "LISTEN", "SELECT 1"]
    for channel in "abcd":
        other.query(f"NOTIFY {channel}")
    assert news(listener, 3) == [("b", ""), ("c", ""), ("d", "")]


def test_an_error_in_a_pipeline_undoes_its_listen(pool):
    listener, other = pool.raw(), pool.raw()
    replies = listener.ask(one_statement("LISTEN a"), one_statement("SELECT 1/0"), one_statement("LISTEN b"), sync())
    assert tags(replies) == ["LISTEN"] and shape(replies)[-2:] == "EZ"
    replies = listener.ask(one_statement("LISTEN c"), sync())
    assert tags(replies) == ["LISTEN"]
    for channel in "abc":
        other.query(f"NOTIFY {channel}")
    assert news(listener) == [("c", "")]


@pytest.mark.parametrize("ahead", [
    (execute("nowhere"), query("SELECT 1"), sync()), (execute("nowhere"), query("SELECT 1"), query("LISTEN b"), sync()),
    (execute("nowhere"), function_call(177, [b"\0\0\0\1", b"\0\0\0\2"]), sync()),
    (parse("", "COPY copied FROM STDIN"), bind(), execute(), sync(), copy_data(b"1\n"), copy_done(), sync())],
    ids=["a Query is skipped", "two are", "a function call is", "COPY ignores a Sync"])
@pytest.mark.parametrize("listen", [query("LISTEN a"), one_statement("LISTEN a") + sync()], ids=["simple", "extended"])
def test_a_listen_behind_requests_that_are_not_answered(one, postgres, ahead, listen):
    """Requests that an error skips, and Syncs that a COPY ignores, have no ReadyForQuery."""
    postgres.query("CREATE TABLE IF NOT EXISTS copied (v int); GRANT ALL ON copied TO PUBLIC")
    listener = one.raw()
    listener.query("LISTEN another")            # nothing is waited for any more
    listener.query("LISTEN a; UNLISTEN a")
    listener.send(*ahead, listen)
    assert tags(listener.read_until("Z", 2))[-1] == "LISTEN"
    one.raw().query("NOTIFY a")
    assert news(listener) == [("a", "")]


def test_a_portal_that_is_bound_anew(one):
    listener, other = one.raw(), one.raw()
    replies = listener.ask(parse("s", "LISTEN news"), bind("", "s"), parse("t", "SELECT 7"), bind("", "t"), execute(),
                           close("S", "s"), sync())
    assert tags(replies) == ["SELECT 1"]
    other.query("NOTIFY news")
    assert all_news(listener.ask(query("SELECT 1"))) == []


def test_a_name_that_is_taken(one):
    wire = one.raw()
    wire.ask(parse("s", "LISTEN a"), sync())
    replies = wire.ask(parse("s", "LISTEN b"), sync())
    assert replies[0].type == "E" and replies[0].sqlstate == "42P05"
    assert '"s"' in replies[0].error["M"]


def test_transactions_by_the_extended_protocol(pool):
    listener, other = pool.raw(), pool.raw()
    replies = listener.ask(one_statement("BEGIN"), one_statement("LISTEN a"), one_statement("COMMIT"),
                           one_statement("BEGIN"), one_statement("LISTEN b"), one_statement("ROLLBACK"), sync())
    assert tags(replies) == ["BEGIN", "LISTEN", "COMMIT", "BEGIN", "LISTEN", "ROLLBACK"]
    other.query("NOTIFY b", "NOTIFY a")
    assert news(listener) == [("a", "")]


# --- what only pgweir does ---

def listeners(weir):
    """Server processes whose last statement was a LISTEN or what keeps it going."""
    return [row for row in weir.postgres.backends(usename="web") if row["query"].startswith("LISTEN")]


@pytest.mark.weir_only
def test_many_listeners_cost_one_connection(weir):
    weir.start(pool_size=2, max_client_connections=1200, fd_limit=4096)
    count = 1000
    wires = [weir.raw() for _ in range(count)]
    for number, wire in enumerate(wires):
        wire.send(query(f"LISTEN c{number % 100}"))
    for wire in wires:
        assert tags(wire.read_until("Z")) == ["LISTEN"]
    assert weir.postgres.count(usename="web") <= 3
    other = weir.raw()
    for number in range(100):
        other.query(f"NOTIFY c{number}, 'for ten'")
    for number, wire in enumerate(wires):
        assert news(wire) == [(f"c{number % 100}", "for ten")]
    assert weir.postgres.count(usename="web") <= 3


@pytest.mark.weir_only
def test_a_lost_connection_comes_back_with_a_warning(one):
    listener, idle, other = listening(one, "a", "b"), one.raw(), one.raw()
    for _ in range(2):
        pids = [row["pid"] for row in listeners(one)]
        assert len(pids) == 1
        one.postgres.query(f"SELECT pg_terminate_backend({pids[0]})")
        warning = listener.read()
        assert warning.type == "N" and warning.severity == "WARNING" and warning.sqlstate == "01000"
        other.query("NOTIFY b, 'back'")
        assert news(listener) == [("b", "back")]
    assert idle.has_nothing_more()
    log = one.wait_log("57P01: PostgreSQL at 127.0.0.1:", "ended the session: terminating connection due to administrator command",
                       "listens for 2 channels\n")
    assert "closed the connection" not in log
    # One that listens only now had nothing to lose.
    later = listening(one, "a")
    other.query("NOTIFY a, 'x'")
    assert news(later) == [("a", "x")]


@pytest.mark.weir_only
def test_who_listens_is_told_that_its_database_is_removed(one):
    """It would wait for ever for what nobody listens to any more."""
    idle, busy = listening(one, "a"), listening(one, "a")
    busy.query("BEGIN", "SELECT 1")
    one.reload(sections={"database app": None})
    assert [reply.sqlstate for reply in idle.read_until("E")] == ["57P01"]
    idle.wait_closed()
    assert busy.query("SELECT 1") == [["1"]]
    busy.send(query("COMMIT"))
    assert [reply.sqlstate for reply in errors(busy.read_until("E"))] == ["57P01"]


@pytest.mark.weir_only
def test_an_outage_without_news_is_no_news(weir, own_postgres):
    weir.postgres = own_postgres
    weir.start(level="debug")
    listener = listening(weir, "a")
    own_postgres.stop()
    wait_until(lambda: weir.log().count("DEBUG: pool app/web: could not get a connection to listen") > 1, what="attempts")
    own_postgres.start()
    assert listener.read().severity == "WARNING"
    told = re.findall("WARNING: pool app/web: could not get a connection to listen: (.*)", weir.log())
    assert 1 <= len(told) == len(set(told)), told


@pytest.mark.parametrize("how", ["session", "unforeseen"])
def test_a_listener_whose_own_server_is_ended_is_told_so(weir, how):
    """The connection that listens for all comes back; this one is the session itself."""
    listener = weir.start(pool_mode="session" if how == "session" else "transaction").raw()
    listener.query("LISTEN a" if how == "session" else "DO $$BEGIN EXECUTE 'LISTEN a'; END$$")
    pid = listener.value("SELECT pg_backend_pid()")
    weir.postgres.query(f"SELECT pg_terminate_backend({pid})")
    [told] = listener.read_to_end()
    assert told.sqlstate == "57P01" and told.severity == "FATAL"
    assert told.error["M"].endswith("terminating connection due to administrator command")


@pytest.mark.weir_only
def test_a_listen_waits_while_nothing_can_be_connected(weir, own_postgres):
    weir.postgres = own_postgres
    weir.start(pool_size=1)
    listener = listening(weir, "a")
    own_postgres.stop()
    own_postgres.start()
    assert listener.read().severity == "WARNING"
    weir.raw().query("NOTIFY a, 'back'")
    assert news(listener) == [("a", "back")]


@pytest.mark.weir_only
def test_a_client_that_does_not_read_is_told_and_closed(weir):
    weir.start(pool_size=1)
    slow = listening(weir, "flood", receive_buffer=4096)
    good, other = listening(weir, "flood"), weir.raw()
    before = weir.memory_bytes()
    payload, sent = "x" * 7000, 0
    while "does not read its notifications" not in weir.log():
        for _ in range(20):
            other.query(f"NOTIFY flood, '{payload}{sent}'")
            news(good)
            sent += 1
        assert sent < 10000
    assert weir.memory_bytes() - before < 32 << 20
    replies = slow.read_to_end()
    assert replies[-1].type == "E" and replies[-1].severity == "FATAL" and replies[-1].sqlstate == "53400"
    got = all_news(replies)
    assert got == [("flood", f"{payload}{number}") for number in range(len(got))]
    other.query("NOTIFY flood, 'end'")
    assert news(good) == [("flood", "end")]


@pytest.mark.weir_only
def test_a_client_that_stays_in_a_transaction_is_bounded_too(weir):
    weir.start(pool_size=2)
    slow, other = listening(weir, "flood"), weir.raw()
    slow.query("BEGIN")
    for number in range(200):
        other.query(f"NOTIFY flood, '{'x' * 7000}{number}'")
    replies = slow.read_to_end()
    assert [reply.sqlstate for reply in replies if reply.type == "E"] == ["53400"]
    assert weir.raw().value("SELECT 1") == "1"


@pytest.mark.weir_only
def test_a_listen_that_cannot_be_is_refused(weir, own_postgres):
    """PostgreSQL lets no more in; the pool's own connection is there, and the client lives on."""
    weir.postgres = own_postgres
    weir.start_opened("1s", pool_size=1)
    wire = weir.raw()
    wire.query("SELECT 1")
    own_postgres.query("ALTER ROLE web CONNECTION LIMIT 1")
    for sql in ("LISTEN a", "LISTEN a; LISTEN b"):
        replies = wire.ask(query(sql))
        assert shape(replies) == "EZ" and replies[0].sqlstate == "53300", replies[0].error
    assert all_news(wire.ask(query("NOTIFY a"))) == []
    replies = wire.ask(one_statement("LISTEN a"), sync())
    assert shape(replies) == "12nEZ" and replies[3].sqlstate == "53300", shape(replies)
    replies = wire.ask(one_statement("LISTEN a") + query("SELECT 1"), sync())      # which the error skips, too
    assert shape(replies) == "12nEZ" and replies[3].sqlstate == "53300", replies[3].error
    own_postgres.query("ALTER ROLE web CONNECTION LIMIT -1")
    assert tags(wire.ask(query("LISTEN a"))) == ["LISTEN"]
    own_postgres.query("NOTIFY a, 'now'")
    assert news(wire) == [("a", "now")]


@pytest.mark.weir_only
def test_pause_resume_and_reconnect(one):
    listener = listening(one, "a")
    one.console("PAUSE")
    wait_until(lambda: one.postgres.count(usename="web") == 0, what="no connections")
    one.console("RESUME")
    assert listener.read().severity == "WARNING"
    one.raw().query("NOTIFY a, '1'")
    assert news(listener) == [("a", "1")]
    before = [row["pid"] for row in listeners(one)]
    one.console("RECONNECT")
    assert listener.read().severity == "WARNING"
    assert [row["pid"] for row in listeners(one)] != before
    one.raw().query("NOTIFY a, '2'")
    assert news(listener) == [("a", "2")]


@pytest.mark.weir_only
@pytest.mark.parametrize("is_new", [True, False], ids=["first", "further"])
def test_a_listen_within_a_transaction_does_not_keep_a_pause_from_its_end(weir, is_new):
    """It waits for the connection that the PAUSE has closed, and has a server, for which the PAUSE waits."""
    weir.start()
    other = weir.raw() if is_new else listening(weir, "a")
    wire = weir.raw()
    wire.query(BEGIN_NOW)
    weir.reload(pool_timeout="1s")
    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(weir.console, "PAUSE")
        wait_until(lambda: [row for row in weir.console("SHOW DATABASES") if row["paused"]])
        replies = wire.ask(query("LISTEN b"))
        if not errors(replies):
            replies = wire.ask(query("COMMIT"))
        assert [error.sqlstate for error in errors(replies)] == ["53300"]
        wire.ask(query("ROLLBACK"))
        paused.result()
    weir.console("RESUME")
    weir.reload()
    assert tags(wire.ask(query("LISTEN b"))) == ["LISTEN"]
    other.leave()


@pytest.mark.weir_only
def test_a_listen_that_a_pause_has_refused_is_tried_again(weir):
    """Nobody has told PostgreSQL of it."""
    weir.start_opened("500ms")
    with weir.raw() as wire:
        weir.console("PAUSE")
        assert [error.sqlstate for error in errors(wire.ask(query("LISTEN b")))] == ["53300"]
        weir.console("RESUME")
        assert tags(wire.ask(query("LISTEN b"))) == ["LISTEN"]


@pytest.mark.weir_only
@pytest.mark.alone
@pytest.mark.parametrize("how", ["RESUME", "terminated"])
def test_a_listen_opens_the_connection_at_once(weir, how):
    """The connection was lost while nobody listened, so nothing was tried; then the LISTEN waited for the next tick."""
    weir.start_opened("500ms")
    wire = weir.raw()
    for _ in range(6):
        assert tags(wire.ask(query("LISTEN a"))) == ["LISTEN"]
        assert tags(wire.ask(query("UNLISTEN a"))) == ["UNLISTEN"]
        if how == "RESUME":
            weir.console("PAUSE")
            weir.console("RESUME")
        else:
            weir.postgres.kill_until_none_is_left(usename="web")
            wait_until(lambda: weir.pool()["sv_idle"] == 0)
            wire.query("SELECT pg_sleep(0.15)")     # the back-off of a listener is over


@pytest.mark.weir_only
def test_another_client_encoding_has_a_connection_of_its_own(one):
    utf8, latin1 = listening(one, "grün"), one.raw(parameters={"client_encoding": "LATIN1"})
    assert tags(latin1.ask(query("LISTEN grün".encode("latin-1")))) == ["LISTEN"]
    one.raw().query("NOTIFY grün, 'süß'")
    assert news(utf8) == [("grün", "süß")]
    reply = latin1.read()
    assert reply.body[4:] == "grün\0süß\0".encode("latin-1")


@pytest.mark.weir_only
def test_a_cancel_reaches_a_listen_that_waits(weir, own_postgres):
    weir.postgres = own_postgres
    wire = weir.start(pool_size=1).raw()
    wire.query("SELECT 1")
    own_postgres.query("ALTER ROLE web CONNECTION LIMIT 1")
    wire.send(query("LISTEN a"))
    wait_until(lambda: "could not get a connection to listen" in weir.log(), what="the attempt")
    canceller = weir.wire()
    canceller.send(b"\0\0\0\x10\x04\xd2\x16\x2e" + wire.key)
    replies = wire.read_until("Z")
    assert shape(replies) == "EZ" and replies[0].sqlstate == "57014"


def test_session_mode_listens_on_its_own_server(weir):
    weir.start(pool_mode="session", pool_size=2)
    listener, other = listening(weir, "news"), weir.raw()
    other.query("NOTIFY news, 'x'")
    assert news(listener) == [("news", "x")]
    assert weir.postgres.count(usename="web") == 2


# --- a LISTEN that nobody could foresee ---

UNFORESEEN = [
    "LISTEN news; SELECT 1",
    "SELECT 1; LISTEN news; SELECT 2",
    "DO $$BEGIN EXECUTE 'LISTEN news'; END$$",
    "BEGIN; LISTEN news; COMMIT",
]


def pins(weir):
    return [row["reasons"] for row in weir.console("SHOW PINS")]


@pytest.mark.parametrize("sql", UNFORESEEN)
@pytest.mark.parametrize("is_twice", [False, True], ids=["once", "twice"])
def test_an_unforeseen_listen_is_heard(two, sql, is_twice):
    """And once only, if a foreseen one follows: from its own server and from the connection that listens for all."""
    listener, other = two.raw(), two.raw()
    listener.query(sql, *["LISTEN news"] * is_twice)
    for number in range(5):
        other.query(f"NOTIFY news, '{number}'")
        assert news(listener) == [("news", str(number))]
    listener.query("UNLISTEN news")
    other.query("NOTIFY news, 'not heard'")
    assert all_news(listener.ask(query("SELECT 1"))) == []


@pytest.mark.weir_only
@pytest.mark.parametrize("sql", UNFORESEEN)
def test_an_unforeseen_listen_keeps_its_server_until_unlisten(two, sql):
    listener, other = two.raw(), two.raw()
    listener.query(sql)
    wait_until(lambda: pins(two) == ["listen"], what="the pin")
    for _ in range(4):
        assert other.value("SELECT count(*) FROM pg_listening_channels()") == "0"
    assert listener.value("SELECT count(*) FROM pg_listening_channels()") == "1"
    listener.query("UNLISTEN *")
    wait_until(lambda: not pins(two), what="the pin to end")
    for wire in (listener, other) * 4:
        assert wire.value("SELECT count(*) FROM pg_listening_channels()") == "0"


@pytest.mark.parametrize("sql", UNFORESEEN)
def test_a_client_with_an_unforeseen_listen_leaves_nothing_behind(one, sql):
    listener = one.raw()
    listener.query(sql)
    listener.close()
    later = one.raw()
    assert later.value("SELECT count(*) FROM pg_listening_channels()") == "0"
    later.query("NOTIFY news")
    assert all_news(later.ask(query("SELECT 1"))) == []


@pytest.mark.parametrize("sql", UNFORESEEN)
def test_ones_own_carry_the_pid_one_was_told(one, sql):
    wire = one.raw()
    wire.query(sql)
    told = struct.unpack_from("!i", wire.key)[0]
    wire.ask(query("SELECT 1"))
    heard = [reply for reply in wire.ask(query("NOTIFY news, 'mine'")) if reply.type == "A"]
    assert [(pid_of(reply), notified(reply)) for reply in heard] == [(told, ("news", "mine"))]


def test_an_unforeseen_channel_with_a_name_that_is_long_in_the_clients_encoding(weir):
    """62 bytes in the database, 124 in the client's encoding: it listens on a server that it keeps."""
    weir.start(pool_size=2, pool_lifo=False)
    name = "ë" * 31
    wire, other = weir.raw(parameters={"client_encoding": "GB18030"}), weir.raw()
    for channel in (name, "short"):
        listen = f"DO $$ BEGIN EXECUTE 'LISTEN \"{channel}\"'; END $$".encode("gb18030")
        assert tags(wire.ask(query(listen))) == ["DO"]
    assert len({wire.value("SELECT pg_backend_pid()") for _ in range(3)}) == 1
    for channel in (name, "short"):
        other.query(f"NOTIFY \"{channel}\"")
        reply = wire.read()
        assert reply.type == "A" and reply.body[4:].split(b"\0")[0] == channel.encode("gb18030")
    wire.ask(query(f'UNLISTEN "{name}"'.encode("gb18030")))
    other.query(f"NOTIFY \"{name}\"")
    assert all_news(wire.ask(query("SELECT 1"))) == []


# --- several in one text ---

@pytest.mark.parametrize("sql, heard", [
    ("LISTEN a; LISTEN b", ["a", "b"]), ("listen a;\n-- two\nLISTEN \"B\";", ["a", "B"]),
    ("LISTEN a; LISTEN a", ["a"]), ("LISTEN a; LISTEN b; UNLISTEN a", ["b"]), ("UNLISTEN *; LISTEN b; LISTEN c", ["b", "c"]),
    ("LISTEN a; UNLISTEN *; LISTEN c", ["c"]),
    (";".join(f"LISTEN x{number}" for number in range(12)) + "; UNLISTEN *; LISTEN a; LISTEN x7; LISTEN b", ["a", "b"]),
    ("LISTEN a;LISTEN b;LISTEN c;LISTEN d;LISTEN e;LISTEN f;LISTEN g;LISTEN h",
                                               ["a", "b", "c", "d", "e", "f", "g", "h"]),
])
def test_several_listens_in_one_text(pool, sql, heard):
    listener, other = pool.raw(), pool.raw()
    assert tags(listener.ask(query(sql))) == [word.split()[0].upper() for word in sql.replace("-- two", "").split(";")
                                              if word.strip()]
    for channel in ("a", "b", "B", "c", "d", "e", "f", "g", "h"):
        other.query(f'NOTIFY "{channel}"')
    assert [channel for channel, _ in news(listener, len(heard))] == heard
    assert all_news(listener.ask(query("SELECT 1"))) == []


@pytest.mark.weir_only
@pytest.mark.parametrize("count", [2, 9, 200])
def test_several_listens_pin_nothing(one, count):
    listener, other = one.raw(), one.raw()
    listener.query("; ".join(f"LISTEN c{number}" for number in range(count)))
    assert other.value("SELECT 1") == "1" and not pins(one)


# --- PostgreSQL's own answers ---

SHOW = "SELECT string_agg(c, ',' ORDER BY c) FROM pg_listening_channels() c"


@pytest.mark.parametrize("ask", [lambda wire, sql: wire.ask(query(sql)), lambda wire, sql: wire.ask(one_statement(sql) + sync()),
                                 lambda wire, sql: wire.ask(parse("p", sql) + sync()) and wire.ask(bind("", "p") + execute() + sync())],
                         ids=["simple", "unnamed", "prepared"])
def test_a_client_sees_its_own_channels(one, ask):
    listener, other = listening(one, "a", '"B "" c"', "d"), listening(one, "x")
    listener.query("UNLISTEN d")
    for _ in range(2):
        assert texts(ask(listener, SHOW)) == [['B " c,a']]
        assert texts(ask(other, SHOW)) == [["x"]]
        assert one.raw().query(SHOW) == [[None]]
        other.query("NOTIFY a, '1'")
        assert news(listener) == [("a", "1")]
        listener.ask(close("S", "p") + sync())
        other.ask(close("S", "p") + sync())
    listener.query("UNLISTEN *")
    assert texts(ask(listener, SHOW)) == [[None]]


def test_who_looks_at_its_channels_hears_all_once(one):
    listener, other = listening(one, "a"), one.raw()
    listener.send(query(SHOW), query("NOTIFY a, '1'"), query(SHOW), query("BEGIN"), query(SHOW), query("COMMIT"))
    replies = listener.read_until("Z", 6)
    assert texts(replies)[:2] == [["a"], ["a"]]
    assert all_news(replies + listener.ask(query("SELECT 1"))) == [("a", "1")]
    other.query("NOTIFY a, '2'")
    assert news(listener) == [("a", "2")]


@pytest.mark.weir_only
def test_looking_at_ones_channels_pins_nothing_and_leaves_nothing(weir):
    weir.start(pool_size=1)
    for leave in (lambda wire: wire.query("UNLISTEN *"), lambda wire: wire.reset(), lambda wire: wire.send(query("SELECT pg_sleep(0.1)")) or wire.reset()):
        listener = listening(weir, "a")
        assert listener.query(SHOW) == [["a"]]
        assert not pins(weir)
        listener.send(query(SHOW))
        listener.read_until("Z")
        leave(listener)
        assert weir.raw().query(SHOW) == [[None]]


# --- what can be seen ---

@pytest.mark.weir_only
def test_the_listening_connection_is_shown_and_measured(one):
    listener, other = listening(one, "a", "b"), listening(one, "a")
    assert [row["state"] for row in one.console("SHOW SERVERS")].count("listen") == 1
    assert one.metric("pgweir_pool_listen_connections") == 1
    assert one.metric("pgweir_pool_listening_clients", database="app", user="web") == 2
    assert one.metric("pgweir_pool_listen_channels") == 2
    before = one.metric("pgweir_pool_notifications_total")
    one.raw().query("NOTIFY a")
    assert news(listener) == news(other) == [("a", "")]
    wait_until(lambda: one.metric("pgweir_pool_notifications_total") == before + 2, what="the counter")
    listener.close()
    other.query("UNLISTEN *")
    wait_until(lambda: one.metric("pgweir_pool_listening_clients") == 0, what="the gauge to follow")
    wait_until(lambda: one.metric("pgweir_pool_listen_channels") == 0, what="channels nobody listens to")


@pytest.mark.weir_only
def test_too_many_channels_are_refused(one):
    wire = one.raw()
    for begin in range(0, 5000, 1000):
        wire.send(*(query(f"LISTEN c{number}") for number in range(begin, begin + 1000)))
        assert tags(wire.read_until("Z", 1000)) == ["LISTEN"] * 1000
    for begin in range(5000, 10000, 250):
        assert tags(wire.ask(query(";".join(f"LISTEN c{number}" for number in range(begin, begin + 250))))) == ["LISTEN"] * 250
    assert one.metric("pgweir_pool_listen_channels") == 10000
    replies = wire.ask(query("LISTEN one_more"))
    assert shape(replies) == "EZ" and replies[0].sqlstate == "54000"
    wire.query("BEGIN; SELECT 1")
    for begin in range(10000, 22000, 250):                      # they count until the transaction ends
        replies = wire.ask(query(";".join(f"LISTEN c{number}" for number in range(begin, begin + 250))))
        assert shape(replies) == "EZ" and replies[0].sqlstate == ("54000" if begin == 10000 else "25P02")
    wire.query("ROLLBACK")
    assert tags(wire.ask(query("LISTEN c77"))) == ["LISTEN"]
    one.raw().query("NOTIFY c77, 'x'")
    assert news(wire) == [("c77", "x")]
    assert tags(wire.ask(query("UNLISTEN *"))) == ["UNLISTEN"]
    assert tags(wire.ask(query("LISTEN one_more"))) == ["LISTEN"]


@pytest.mark.weir_only
def test_allow_looks_at_nothing(weir):
    weir.start(pool_size=1, session_state="allow")
    wire = listening(weir, "a")
    assert wire.value("SELECT count(*) FROM pg_listening_channels()") == "1"
    wire.query("UNLISTEN *")


@pytest.mark.weir_only
@pytest.mark.parametrize("is_pinned", [False, True])
def test_server_ends_while_ready_waits_for_the_listener(weir, is_pinned):
    """All that the client still waits for is its ReadyForQuery, which pgweir has. Only who is pinned there is told more."""
    with weir.start(pool_size=1).raw() as wire:
        wire.query("LISTEN ends")
        pids = {backend["pid"]: backend["query"].startswith("LISTEN") for backend in weir.postgres.backends()}
        listener, = [pid for pid, is_it in pids.items() if is_it]
        server, = [pid for pid, is_it in pids.items() if not is_it]
        if is_pinned:
            wire.query("CREATE TEMP TABLE ends (a int)")
        wire.send(query("NOTIFY other; SELECT pg_sleep(1)"))
        weir.wait_until(lambda: any("NOTIFY other" in backend["query"] and backend["state"] == "active"
                                    for backend in weir.postgres.backends()), what="the query")
        os.kill(listener, signal.SIGSTOP)
        try:
            assert [reply.tag for reply in wire.read_until("C", 2) if reply.type == "C"] == ["NOTIFY", "SELECT 1"]
            weir.postgres.query(f"SELECT pg_terminate_backend({server})")
            weir.wait_until(lambda: server not in {backend["pid"] for backend in weir.postgres.backends()}, what="its end")
            if is_pinned:
                assert [reply.type for reply in wire.read_to_end()] == ["Z", "E"]
                return
            assert wire.has_nothing_more()
        finally:
            os.kill(listener, signal.SIGCONT)
        assert [reply.type for reply in wire.read_until("Z")] == ["Z"]
        assert wire.value("SELECT 2") == "2"
