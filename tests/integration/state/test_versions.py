"""What pgweir runs by itself is accepted by each PostgreSQL that it supports, and what differs between those is as there.

PG_BIN chooses the PostgreSQL: scripts/postgresql 16 prints such a folder."""

import pytest

from leftovers import PID, begin, extended
from rawwire import errors, query, texts
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
