"""Nothing that pgweir runs is in a client's Sync group ahead of what the client runs there.

Since PostgreSQL 18 all that is executed behind another Execute of its Sync group is in an implicit transaction block: CALL and DO
can't COMMIT there, DECLARE and LOCK need no block. Before 18 VACUUM and its like are refused there. So what has to be forgotten
before a client's SQL runs (values of sequences, plans, settings, the seed) goes ahead of the group, with a Sync of its own.
Messages that execute nothing (Parse, Bind, Describe, Close) change nothing, wherever they are."""

import struct

import pytest

from rawwire import Wire, bind, describe, errors, execute, flush, parse, query, shape, sync
from waiting import wait_until

OURS = b"/* pgweir */"

SCHEMA = """
CREATE SEQUENCE public.numbers;
CREATE TABLE public.kept (id serial, at text);
CREATE FUNCTION public.day() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN to_char('01/02/2020'::date, 'MM'); END$$;
CREATE PROCEDURE public.commits() LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('public.numbers'), public.day(); COMMIT; END$$;
GRANT ALL ON SEQUENCE public.numbers, public.kept_id_seq TO PUBLIC;
GRANT ALL ON public.kept TO PUBLIC;
"""
# What another client leaves on the only server: each has to be forgotten before somebody else may meet it.
LEFT = {
    "nothing": "SELECT 1",
    "a sequence's value": "SELECT nextval('public.numbers')",
    "plans": "SELECT public.day()",
    "both": "SELECT nextval('public.numbers'), public.day()",
    "a seed": "SELECT random()",
    "a setting": "SET work_mem = '3MB'",
}
FIRST = {
    "CALL that commits": "CALL public.commits()",
    "DO that commits": "DO 'BEGIN PERFORM nextval(''public.numbers''), public.day(); COMMIT; END'",
    "DECLARE": "DECLARE c CURSOR FOR SELECT nextval('public.numbers'), public.day()",
    "LOCK": "LOCK TABLE public.kept",
    "SET LOCAL": "SET LOCAL work_mem = '2MB'",
    "SET TRANSACTION": "SET TRANSACTION READ ONLY",
    "INSERT": "INSERT INTO public.kept (at) VALUES (public.day())",
    "SELECT": "SELECT nextval('public.numbers') > 0, public.day(), random() < 2",
    "VACUUM": "VACUUM public.kept",
    "DISCARD": "DISCARD TEMP",
}
RUN = execute() + sync()
FORMS = {
    "unnamed": lambda sql: [(parse("", sql) + bind() + RUN, 1)],
    "described": lambda sql: [(parse("", sql) + describe("S") + bind() + describe("P") + RUN, 1)],
    "named": lambda sql: [(parse("s", sql) + bind("", "s") + RUN, 1)],
    "prepared before": lambda sql: [(parse("s", sql) + sync(), 1), (bind("", "s") + RUN, 1)],
    "prepared, then a Flush": lambda sql: [(parse("s", sql) + describe("S", "s") + flush(), "Tn"), (bind("", "s") + RUN, 1)],
    "two requests at once": lambda sql: [(parse("", "SELECT 1") + bind() + RUN + parse("", sql) + bind() + RUN, 2)],
    "behind an empty one": lambda sql: [(parse("a", "SELECT 1") + sync() + parse("", sql) + bind() + RUN, 2)],
}


@pytest.fixture(scope="module")
def sequences(postgres):
    postgres.query("CREATE DATABASE groups OWNER web", dbname="postgres")
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            postgres.query(statement, dbname="groups")
    postgres.query("GRANT ALL ON SCHEMA public TO PUBLIC", dbname="groups")
    return "groups"


def messages(data):
    """[(type, body)] of what one connection has sent behind its SSLRequest and startup packet, whole ones only."""
    at, found = 0, []
    while data[at:at + 1] == b"\0":
        at += struct.unpack_from("!i", data, at)[0]
    while at + 5 <= len(data):
        length = struct.unpack_from("!i", data, at + 1)[0]
        if at + 1 + length > len(data):
            break
        found.append((chr(data[at]), bytes(data[at + 5:at + 1 + length])))
        at += 1 + length
    return found


def groups(sent):
    """What each Sync group executes, in order: "ours" and "theirs"; a Query is a group of its own."""
    statements, portals, group, found = {}, {}, [], []
    for kind, body in sent:
        if kind == "P":
            name, sql = body.split(b"\0", 2)[:2]
            statements[name] = "ours" if OURS in sql else "theirs"
        elif kind == "B":
            portal, name = body.split(b"\0", 2)[:2]
            portals[portal] = statements.get(name, "theirs")
        elif kind == "E":
            group.append(portals[body.split(b"\0", 1)[0]])
        elif kind in "SQF":
            assert kind == "S" or not group, "a Query within a Sync group"
            found.append(group)
            group = []
    return found


def ask(wire, turns):
    replies = []
    for data, until in turns:
        wire.send(data)
        replies += wire.read_until(until) if isinstance(until, str) else wire.read_until("Z", until)
    return replies


def answer(address, database, turns, parameters):
    with Wire(address) as wire:
        wire.login(database=database, parameters=parameters)
        return [shape(ask(wire, turns)), [error.error for error in errors(ask(wire, [(query("SELECT 1"), 1)]))]]


@pytest.mark.sweep(keep=20)
@pytest.mark.weir_only
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("left", LEFT)
def test_the_first_statement_of_a_group_is_the_first(weir, sequences, tap, left, first, form):
    turns, parameters = FORMS[form](FIRST[first]), {"DateStyle": "German"}
    direct = answer((weir.postgres.host, weir.postgres.port), sequences, turns, parameters)
    weir.start({f"database {sequences}": {"upstream": f"host=127.0.0.1 port={tap.port}"}}, pool_size=1)
    other = weir.raw(database=sequences)
    for _ in range(2):                      # the second time its code is known
        other.query(LEFT[left])
    wait_until(lambda: weir.pool(sequences)["sv_idle"] == 1)
    begun = len(messages(tap.to_server))
    assert answer(weir.address, sequences, turns, parameters) == direct
    assert tap.accepted_count == 1
    sent = messages(tap.to_server)
    assert len(sent) > begun
    for group in groups(sent):
        assert "theirs" not in group or group[0] == "theirs", (group, sent[begun:])
