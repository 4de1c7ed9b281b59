"""What pgweir runs by itself is accepted by each PostgreSQL that it supports, and what differs between those is as there.

PG_BIN chooses the PostgreSQL: scripts/postgresql 16 prints such a folder."""

import time

import pytest

from leftovers import PID, begin, direct, extended
from rawwire import LoginRefused, Wire, errors, query, shape, texts
from waiting import wait_until

pytestmark = pytest.mark.weir_only

SET_BY_CODE = """CREATE FUNCTION public.leaves() RETURNS text LANGUAGE sql AS $$SELECT set_config('app.user_id', 'A', false)$$;
    CREATE TABLE public.audited (a int); CREATE FUNCTION public.tg() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN PERFORM set_config('app.user_id', 'A', false); RETURN NEW; END$$;
    CREATE TRIGGER x BEFORE INSERT ON public.audited FOR EACH ROW EXECUTE FUNCTION public.tg(); GRANT ALL ON public.audited TO PUBLIC"""
WASHED = {                          # what A runs; each is washed off, or makes a random() of its own for the next client
    "random()": "SELECT random()",
    "setseed()": "SELECT setseed(0.25)",
    "SET seed": "SET seed = 0.25",
    "a trigger that sets": "INSERT INTO public.audited VALUES (1)",
    "a function that sets": "SELECT public.leaves()",
    "DO": "DO $$BEGIN PERFORM pg_advisory_lock(7), setseed(0.5); END$$",
    "a temporary table": "CREATE TEMP TABLE mine (a int)",
    "a cursor": "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "SQL PREPARE": "PREPARE mine AS SELECT 1",
    "LISTEN in code": "DO 'BEGIN LISTEN news; END'",
    "a lock": "SELECT pg_advisory_lock(8)",
}


@pytest.mark.sweep(keep=22)
@pytest.mark.parametrize("way", ["simple", "extended"])
@pytest.mark.parametrize("left", WASHED)
def test_who_follows_has_the_same_connection(weir, own, left, way):
    """Each statement that washes is accepted: else the connection would be closed, or the next client's request fail."""
    weir.postgres.query(SET_BY_CODE, dbname=own)
    other, client = begin(weir, own)
    pid = other.query(PID)
    for _ in range(2):
        client.ask(query(WASHED[left]) if way == "simple" else extended(WASHED[left]))
        client.leave() if left not in ("random()", "a trigger that sets") else None
        for question in ("SELECT random() < 2", PID):
            other.send(query(question))
            replies = other.read_until("Z")
            assert not errors(replies), errors(replies)[0].error
        assert texts(replies) == pid
        client = weir.raw(database=own)


def test_a_seed_of_the_startup_packet_is_not_reset(weir, own):
    """With a connect_query not all is reset, but what the last client has set."""
    other, _ = begin(weir, own, upstream={"connect_query": "'SET lock_timeout = 1000'"})
    client = weir.raw(database=own, parameters={"options": "-c seed=0.5 -c work_mem=3MB"})
    pid = other.query(PID)
    for _ in range(2):
        client.query("SELECT random()")
        assert [other.query(asked) for asked in (PID, "SHOW work_mem", "SHOW lock_timeout")] == [pid, [["4MB"]], [["1s"]]]


def test_a_connect_query_may_set_what_postgresql_reports(weir, own):
    """Since 18 that is search_path, too."""
    other, client = begin(weir, own, upstream={"connect_query": "'SET search_path = there; SET application_name = here'"})
    for wire in (other, client, other):
        assert [wire.query("SHOW search_path"), wire.query("SHOW application_name")] == [[["there"]], [["here"]]]
        wire.query("DO $$BEGIN PERFORM set_config('app.user_id', 'A', false); END$$")


@pytest.mark.long
def test_functions_that_are_made_again_and_again_cost_no_connections(weir, own):
    """Behind DDL all is washed for a moment, and no more than that. The first may meet a connection that began before it, which
    is replaced once."""
    other, client = begin(weir, own)
    seen, begun = [], time.monotonic()
    for number in range(8):
        client.query(f"CREATE FUNCTION public.made_{number}() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        seen += client.query(PID)
    while time.monotonic() - begun < 2.5:
        seen += other.query(PID)
        assert client.query("SELECT random() < 2") == [["t"]]
    assert len({pid for pid, in seen}) <= 2


STARTS = [{"transaction_isolation": "serializable"}, {"transaction_read_only": "on"}, {"options": "-c transaction_deferrable=on"},
          {"options": "-c transaction_isolation=serializable -c work_mem=3MB"}]


@pytest.mark.parametrize("parameters", STARTS, ids=str)
def test_settings_of_a_transaction_in_a_startup_packet(weir, own, parameters):
    """PostgreSQL 18 ignores them, others refuse them: as does pgweir, each time."""
    def outcome(address):
        with Wire(address) as wire:
            try:
                wire.login(database=own, parameters=parameters)
            except LoginRefused as refused:
                return refused.reply.sqlstate
            return [shape(wire.login_replies)[-3:], [reply.sqlstate for reply in wire.login_replies if reply.type == "N"],
                    [wire.query(f"SHOW {name}") for name in ("transaction_isolation", "transaction_read_only", "work_mem")]]

    begin(weir, own)
    assert [outcome(weir.address), outcome(weir.address)] == 2 * [outcome(direct(weir.postgres))]


def test_a_search_path_is_followed_alike_whether_it_is_reported_or_not(weir, own):
    """It is since 18. What a client has set stays; ALTER ROLE reaches the others, and RESET gives what it says."""
    def path(wire):
        return wire.query("SHOW search_path")[0][0]

    other, client = begin(weir, own)
    started = weir.raw(database=own, parameters={"search_path": "started"})
    reported = dict(reply.parameter for reply in started.login_replies if reply.type == "S").get("search_path")
    assert reported == ("started" if "search_path" in reports(weir.postgres) else None)
    client.query("SET search_path = mine")
    assert [path(wire) for wire in (other, client, started, other)] == ['"$user", public', "mine", "started", '"$user", public']
    weir.postgres.query(f"ALTER ROLE web IN DATABASE {own} SET search_path = altered", dbname="postgres")
    try:
        wait_until(lambda: path(other) == "altered", what="ALTER ROLE to be noticed")
        assert [path(wire) for wire in (client, started)] == ["mine", "started"]
        client.query("RESET search_path")
        assert [path(wire) for wire in (client, started, weir.raw(database=own))] == ["altered", "started", "altered"]
    finally:
        weir.postgres.query(f"ALTER ROLE web IN DATABASE {own} RESET search_path", dbname="postgres")


def reports(postgres):
    with Wire(direct(postgres)) as wire:
        wire.login()
        return dict(reply.parameter for reply in wire.login_replies if reply.type == "S")


@pytest.mark.parametrize("name, value", [("temp_tablespaces", "pg_default"), ("search_path", "mine"), ("work_mem", "3MB")])
def test_set_to_null(weir, own, name, value):
    """PostgreSQL 19 empties a list by it; for others it is an error. Never is it the word null."""
    def shown(wire):
        answers = [shape(wire.ask(query(sql))) for sql in (f"SET {name} = '{value}'", f"SET {name} = NULL", f"SET {name} TO null")]
        return answers, wire.query(f"SHOW {name}")

    other, client = begin(weir, own)
    with Wire(direct(weir.postgres)) as wire:
        wire.login(database=own)
        expected = shown(wire)
    assert shown(client) == expected
    assert other.query("SELECT 1") == [["1"]]
    assert client.query(f"SHOW {name}") == expected[1]
