"""Any function chooses the severity, the code and the text of an error: only PostgreSQL's own routine (field R) counts."""

import time

import pytest

from fakeserver import complete, error, parameter_status, ready
from rawwire import bind, errors, execute, flush, one_statement, parse, query, shape, sync
from waiting import wait_until

from test_outage import upstream_of

pytestmark = [pytest.mark.weir_only, pytest.mark.own_transport]

# Each notes in a sequence, which nothing rolls back, how often it has run.
FUNCTIONS = """
CREATE SEQUENCE runs; GRANT ALL ON runs TO web; CREATE TABLE t (i int); GRANT ALL ON t TO web;
CREATE FUNCTION ran() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('runs'); END $$;
CREATE FUNCTION fails(code text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    PERFORM ran();
    RAISE EXCEPTION 'terminating connection due to administrator command' USING ERRCODE = code;
END $$;
CREATE FUNCTION in_a_sandbox() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    PERFORM ran();
    PERFORM set_config('transaction_read_only', 'on', true);
    INSERT INTO t VALUES (1);
    RETURN 1;
END $$;
CREATE FUNCTION ends_itself() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    PERFORM ran();
    PERFORM pg_terminate_backend(pg_backend_pid());
    PERFORM pg_sleep(10);
    RETURN 1;
END $$;
"""
FORGED = {
    "57P01": ("SELECT fails('57P01')", "57P01"),
    "57P05": ("SELECT fails('57P05')", "57P05"),
    "25006": ("SELECT fails('25006')", "25006"),
    "a sandbox": ("SELECT in_a_sandbox()", "25006"),
    "a transaction's own choice": ("SELECT ran(); SET LOCAL transaction_read_only = on; INSERT INTO t VALUES (1)", "25006"),
}


def start(weir, postgres, **settings):
    weir.start(upstream=upstream_of(postgres, target_session_attrs="read-write"), **{"on_outage": "hold", "pool_size": 3, **settings})
    postgres.query(FUNCTIONS)


def runs(postgres):
    return postgres.query("SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM runs")[0][0]


def pids(postgres):
    return {row["pid"] for row in postgres.backends(usename="web")}


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("what", FORGED)
def test_a_request_that_fails_by_a_forged_error_runs_once_and_costs_nobody_a_connection(weir, own_postgres, what, protocol):
    sql, sqlstate = FORGED[what]
    if protocol == "extended" and ";" in sql:
        pytest.skip("several statements are for a simple Query")
    start(weir, own_postgres)
    wires = [weir.raw() for _ in range(3)]
    for wire in wires:          # each of the three connections is there
        wire.query("BEGIN", "SELECT 1")
    for wire in wires:
        wire.query("COMMIT")
    before = pids(own_postgres)
    assert len(before) == 3
    for i in range(1, 6):
        reply = wires[0].ask(query(sql) if protocol == "simple" else one_statement(sql) + sync())
        assert errors(reply)[0].sqlstate == sqlstate and reply[-1].status == "I", shape(reply)
        assert runs(own_postgres) == i
        assert wires[1].query("SELECT 1") == [["1"]]
    assert pids(own_postgres) == before
    assert weir.metric_now("pgweir_pool_replays_total") == 0


def test_a_statement_that_ends_its_own_backend_runs_twice_at_most(weir, own_postgres):
    """The FATAL is PostgreSQL's own, and nothing tells it from an administrator's."""
    start(weir, own_postgres)
    wire, neighbour = weir.raw(), weir.raw()
    wire.send(query("SELECT ends_itself()"))
    assert errors(wire.read_until("E"))[0].sqlstate == "57P01"
    assert runs(own_postgres) == 2
    assert neighbour.query("SELECT 1") == [["1"]]


@pytest.mark.parametrize("severity, more", [
    ("FATAL", {}), ("FATAL", {"R": "pltcl_elog"}), ("ERROR", {"R": "ProcessInterrupts"})],
    ids=["no routine", "a function's", "no end"])
@pytest.mark.parametrize("sqlstate", ["57P01", "57P05"])
def test_only_the_end_that_postgresqls_routine_tells_counts(weir, fake, sqlstate, severity, more):
    weir.start(upstream=f"host=127.0.0.1 port={fake.port}", on_outage="hold")
    asked = []

    def answer(conn, kind, body):
        if kind != "Q" or b"mark" not in body:
            return False
        asked.append(conn.number)
        conn.send(error(sqlstate, "terminating connection", severity, **more))
        if severity == "ERROR":
            conn.send(ready())
            return True
        conn.sock.close()
        conn.is_open = False
        return True

    fake.answer = answer
    wire = weir.raw()
    wire.send(query("SELECT 'mark'"))
    assert errors(wire.read_until("E"))[0].sqlstate == sqlstate and len(asked) == 1


REFUSED = error("25006", "cannot execute INSERT in a read-only transaction", R="PreventCommandIfReadOnly")
READ_ONLY = parameter_status("default_transaction_read_only", "on")
PIECES = {
    "all at once": [REFUSED + READ_ONLY + ready()],
    "each alone": [REFUSED, READ_ONLY, ready()],
    "the error alone": [REFUSED, READ_ONLY + ready()],
    "cut within the report": [REFUSED + READ_ONLY[:9], READ_ONLY[9:] + ready()],
    "cut within the error": [REFUSED[:9], REFUSED[9:] + READ_ONLY, ready()],
    "a standby": [REFUSED, parameter_status("in_hot_standby", "on") + ready()],
}


class Refusing:
    """A fake server that answers the first request that marks something with these pieces; later ones ordinarily."""

    def __init__(self, fake, pieces):
        self.pieces, self.asked = pieces, []
        fake.answer = self._answer

    def _answer(self, conn, kind, body):
        if kind == "Q" and b"mark" not in body or kind not in "QPBES" or "set_config" in conn.parsed or conn.number in self.asked[1:]:
            return False
        if kind in "QS":
            self.asked.append(conn.number)
            if len(self.asked) > 1:
                conn.send((b"1\0\0\0\4" b"2\0\0\0\4" if kind == "S" else b"") + complete("INSERT 0 1") + ready())
                return True
            for i, piece in enumerate(self.pieces):
                conn.send(b"1\0\0\0\4" b"2\0\0\0\4" if kind == "S" and i == 0 else b"", piece)
                time.sleep(0.02)        # whether or not they are read together then, the client sees the same
        return True


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("how", PIECES)
def test_a_report_behind_the_error_counts_in_whatever_pieces_it_comes(weir, fake, how, protocol):
    """PostgreSQL sends 25006, flushes it, and reports what has been changed with the ReadyForQuery."""
    if (protocol, how) == ("extended", "cut within the error"):
        pytest.skip("the client is shown what comes before an error that is not whole")
    weir.start(upstream=f"host=127.0.0.1 port={fake.port} target_session_attrs=read-write", on_outage="hold")
    wire = weir.raw()
    refusing = Refusing(fake, PIECES[how])
    replies = wire.ask(query("INSERT mark") if protocol == "simple" else parse("", "INSERT mark") + bind() + execute() + sync())
    assert shape(replies) == ("C:INSERT 0 1 Z:I" if protocol == "simple" else "1 2 C:INSERT 0 1 Z:I")
    assert len(set(refusing.asked)) == 2
    wait_until(lambda: weir.metric("pgweir_pool_replays_total") == 1)


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("pieces", [[REFUSED + ready()], [REFUSED, ready()]], ids=["at once", "each alone"])
def test_without_a_report_the_client_gets_the_error_and_the_server_stays(weir, fake, pieces, protocol):
    weir.start(upstream=f"host=127.0.0.1 port={fake.port} target_session_attrs=read-write", on_outage="hold", pool_size=1,
               max_overflow=0)
    wire = weir.raw()
    refusing = Refusing(fake, pieces)
    replies = wire.ask(query("INSERT mark") if protocol == "simple" else parse("", "INSERT mark") + bind() + execute() + sync())
    assert shape(replies) == ("E:25006 Z:I" if protocol == "simple" else "1 2 E:25006 Z:I")
    assert not errors(wire.ask(query("INSERT mark")))
    assert len(set(refusing.asked)) == 1
    assert weir.metric_now("pgweir_pool_replays_total") == 0


def test_an_error_whose_request_has_no_sync_yet_is_not_waited_with(weir, fake):
    """The client sends its Sync only when it has seen the error."""
    wire = weir.start(upstream=f"host=127.0.0.1 port={fake.port} target_session_attrs=read-write", on_outage="hold").raw()
    fake.answer = lambda conn, kind, body: kind in "PBEH" and not conn.send(
        b"1\0\0\0\4" b"2\0\0\0\4" + REFUSED if kind == "H" else b"")
    wire.send(parse("", "INSERT mark") + bind() + execute() + flush())
    assert wire.read_until("E")[-1].sqlstate == "25006"
    assert shape(wire.ask(sync())) == "Z:I"


# --- an error about a prepared statement ---

FORGERY = """
CREATE FUNCTION says_that_it_is_gone(name text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'prepared statement "%" does not exist', name USING ERRCODE = '26000';
END $$;
CREATE FUNCTION runs_it(name text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
    EXECUTE format('EXECUTE %I', name || ' or another');
    RETURN true;
END $$;
CREATE DOMAIN raises AS text CHECK (VALUE = 'fine' OR says_that_it_is_gone(VALUE));
CREATE DOMAIN executes AS text CHECK (VALUE = 'fine' OR runs_it(VALUE));
"""


@pytest.mark.parametrize("whose", ["another", "same"])
@pytest.mark.parametrize("domain", ["raises", "executes"])
def test_an_error_does_not_take_anothers_statement_away(weir, own_postgres, domain, whose):
    """Code of a domain that runs for a Bind chooses which statement the error names. The second one has PostgreSQL's own routine say
    so. same: both have statements of the same SQL, which is one on the server."""
    weir.start(upstream=upstream_of(own_postgres), pool_size=1, max_overflow=0)
    own_postgres.query(FORGERY)
    one, two = weir.raw(), weir.raw()
    sql = f"SELECT $1::{domain}"
    assert not errors(two.ask(parse("s", sql if whose == "same" else "SELECT $1::text") + bind("", "s", ["fine"]) + execute() + sync()))
    name = two.value("SELECT name FROM pg_prepared_statements WHERE name LIKE 'pgweir%'")
    assert not errors(one.ask(parse("s", sql) + bind("", "s", ["fine"]) + execute() + sync()))
    for _ in range(3):
        assert errors(one.ask(bind("", "s", [name]) + execute() + sync()))[0].sqlstate == "26000"
        for wire in (two, one):
            replies = wire.ask(bind("", "s", ["fine"]) + execute() + sync())
            assert not errors(replies), shape(replies)
