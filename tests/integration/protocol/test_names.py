"""The names of prepared statements, the unnamed portal and the unnamed statement are the client's own, though pgweir sends
messages of its own between the client's."""

import pytest

from compare import converse, normalized
from rawwire import Wire, bind, describe, execute, flush, one_statement, parse, query, sync
from weir import hold

pytestmark = pytest.mark.weir_only

LIST = query("SELECT name, statement, from_sql FROM pg_prepared_statements ORDER BY 1")
RUN = bind() + execute()
MAKE = query("PREPARE p AS SELECT 1")
TURNS = {
    "behind what is skipped": [MAKE, (parse("", "SELEC") + parse("", "EXECUTE p") + RUN + sync() + query("EXECUTE p"), 2)],
    "behind what is skipped, not there": [
        MAKE, query("BEGIN"), (parse("", "SELEC") + parse("", "EXECUTE p") + RUN + sync() + query("ROLLBACK"), 2)],
    "PREPARE behind what is skipped": [(parse("", "SELEC") + parse("", "PREPARE q AS SELEC") + RUN + sync() +
                                        query("PREPARE q AS SELEC"), 2)],
    "EXECUTE behind what is skipped": [(parse("", "SELEC") + parse("", "SELECT 1") + RUN + sync() + query("EXECUTE nope"), 2)],
    "EXECUTE between Bind and Execute": [
        MAKE, parse("s", "SELECT 2") + bind("", "s") + parse("t", "EXECUTE p") + execute() + sync()],
    "EXECUTE bound between Bind and Execute": [
        MAKE, parse("t", "EXECUTE p") + sync(),
        parse("s", "SELECT 2") + bind("", "s") + bind("x", "t") + execute() + execute("x") + sync()],
    "Describe between Bind and Execute": [
        MAKE, parse("t", "EXECUTE p") + sync(), parse("s", "SELECT 2") + bind("", "s") + describe("S", "t") + execute() + sync()],
    "RESET between Bind and Execute": [
        parse("r", "RESET work_mem") + parse("s", "SELECT 2") + bind("", "s") + bind("x", "r") + execute("x") + execute() + sync()],
    "Bind of a name of SQL's": [MAKE, bind("", "p") + execute() + sync()],
    "Describe of a name of SQL's": [MAKE, describe("S", "p") + sync()],
    "DEALLOCATE of a name of the protocol's": [parse("p", "SELECT 2") + sync(), query("DEALLOCATE p"),
                                               bind("", "p") + execute() + sync()],
    "DEALLOCATE ALL": [parse("p", "SELECT 2") + sync(), query("PREPARE q AS SELECT 1"), query("DEALLOCATE ALL"),
                       bind("", "p") + execute() + sync(), query("EXECUTE q")],
    "a Query that is empty": [parse("", "SELECT 1") + sync(), query(""), RUN + sync()],
    "a Query that is malformed": [parse("", "SELECT 1") + sync(), query("SELEC"), RUN + sync()],
    "a Query with a bad literal": [parse("", "SELECT 1") + sync(), query("SELECT 'x"), RUN + sync()],
    "a Query with a bad byte": [parse("", "SELECT 1") + sync(), query(b"SELECT '\xff'"), RUN + sync()],
    "a Query in a failed transaction": [query("BEGIN"), parse("", "SELECT 1") + sync(), query("SELECT 1/0"),
                                        query("SELECT 1"), RUN + sync(), query("ROLLBACK"), RUN + sync()],
    "a malformed EXECUTE": [MAKE, parse("", "SELECT 1") + sync(), query("EXECUTE"), RUN + sync()],
    "its own NOTIFY": [query("LISTEN names_test"), one_statement("NOTIFY names_test, 'x'") + sync(), query("UNLISTEN *")],
    "its own NOTIFY among others": [query("LISTEN names_test"),
                                    one_statement("SELECT 1") + one_statement("NOTIFY names_test, 'x'") +
                                    one_statement("SELECT 2") + sync(), query("UNLISTEN *")],
    "its own NOTIFY and Flush": [query("LISTEN names_test"), (one_statement("NOTIFY names_test, 'x'") + flush(), "C"), sync(),
                                 query("UNLISTEN *")],
}


def own_pids(wire, replies):
    """Notifications with the PID that the client was told have none."""
    return [(kind, body[4:] if kind == "A" and body[:4] == wire.key[:4] else body) for kind, body in replies]


@pytest.mark.sweep(keep=3)
@pytest.mark.parametrize("name", TURNS)
def test_names_and_order_are_postgresqls(weir, name):
    weir.start(pool_size=2)
    answers = []
    for address in ((weir.postgres.host, weir.postgres.port), weir.address):
        with Wire(address).login() as wire:
            answers.append(own_pids(wire, normalized(converse(wire, TURNS[name]))))
    assert answers[1] == answers[0]


def test_the_unnamed_portal_is_the_clients_own(weir, postgres):
    """Between its Bind and its Execute pgweir has to send something ahead of another statement."""
    between = parse("t", "INSERT INTO names_serial DEFAULT VALUES") + bind("x", "t") + execute() + execute("x")
    answers = []
    postgres.query("CREATE TABLE IF NOT EXISTS names_serial (id serial); GRANT ALL ON names_serial, names_serial_id_seq "
                   "TO PUBLIC")
    weir.start(pool_size=2)
    for address in ((weir.postgres.host, weir.postgres.port), weir.address):
        with Wire(address).login() as client:
            client.ask(parse("s", "SELECT 2") + sync())
            if address == weir.address:
                there = client.query("SELECT pg_backend_pid()")
                hold(weir, there, "app")
                weir.raw().query("INSERT INTO names_serial DEFAULT VALUES")     # the other server remembers its sequence
            answers.append(normalized(client.ask(bind("", "s") + between + sync())))
    assert answers[1] == answers[0]
