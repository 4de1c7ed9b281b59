"""A client that has proved who it is goes to the worker of its pool: nothing it has sent is lost on the way, whoever
leaves on the way is forgotten, and the limits on clients hold over all workers. With one worker nothing crosses, and
the same must be true."""

import signal
import ssl
import threading
from contextlib import suppress

import pytest

import rawwire
from rawwire import Scram, WireError, query, startup
from waiting import each, wait_until
from weir import section_of

pytestmark = pytest.mark.weir_only

DATABASES = [f"way{i}" for i in range(6)]                            # more pools than workers: some cross, some stay


@pytest.fixture
def several(weir):
    """Starts pgweir with three workers, where that can be chosen, and a pool for each of DATABASES."""
    def start(**settings):
        if "workers" in section_of():
            settings.setdefault("workers", 3)
        sections = {f"database {name}": {"upstream": weir.upstream(dbname="app")} for name in DATABASES}
        sections.update(settings.pop("sections", {}))
        return weir.start(sections, **settings)
    return start


def read_login(wire):
    return wire.read_until("Z")


def answer_of(wire):
    replies = wire.read_until("Z")
    assert not rawwire.errors(replies), replies
    return [column.decode() for reply in replies if reply.type == "D" for column in reply.row]


def clients(weir):
    return sum(int(row["cl_active"]) + int(row["cl_waiting"]) for row in weir.console("SHOW POOLS")
               if row["database"] in DATABASES)


@pytest.mark.parametrize("database", DATABASES)
def test_a_query_that_comes_with_the_startup_packet_is_answered(weir, several, database):
    several()
    for pieces in (1, 3):
        with weir.wire() as wire:
            sent = startup(database=database) + query("SELECT 1") + query("SELECT 2")
            wire.send_slowly(sent, piece=-(-len(sent) // pieces))
            read_login(wire)
            assert [answer_of(wire), answer_of(wire)] == [["1"], ["2"]]
            assert wire.value("SELECT 3") == "3"


@pytest.mark.parametrize("database", DATABASES)
def test_a_query_that_comes_with_the_proof_is_answered(weir, several, database):
    weir.users = {"web": rawwire.scram_verifier("secret")}
    several(method="scram-sha-256", upstream=weir.upstream(user="web", password="secret"),
            sections={f"database {name}": {"upstream": weir.upstream(dbname="app", user="web")} for name in DATABASES})
    with weir.wire() as wire:
        scram = Scram("secret")
        wire.send(startup(database=database))
        wire.read()
        wire.send(scram.initial_response())
        first = wire.read()
        wire.send(scram.final_response(first.body[4:]) + query("SELECT 'along'"))
        read_login(wire)
        assert answer_of(wire) == ["along"]


def test_what_is_left_of_a_message_comes_later(weir, several):
    several()
    for database in DATABASES:
        with weir.wire() as wire:
            whole = query("SELECT 'whole'")
            wire.send(startup(database=database) + whole[:9])
            read_login(wire)
            wire.send(whole[9:])
            assert answer_of(wire) == ["whole"]


def test_whoever_leaves_on_the_way_is_forgotten(weir, several):
    several(max_client_connections=20)
    for round_ in range(10):
        for database in DATABASES:
            for tail in (b"", query("SELECT pg_sleep(0.01)"), rawwire.terminate(), query("SELECT 1")[:7]):
                wire = weir.wire()
                wire.send(startup(database=database) + tail)
                (wire.reset if round_ % 2 else wire.close)()
    wait_until(lambda: clients(weir) == 0)
    held = []
    for i in range(20):                                              # each place is free again, and none is there twice
        held.append(weir.raw(database=DATABASES[i % len(DATABASES)]))
    with pytest.raises(WireError, match="max_client_connections"):
        weir.raw(database=DATABASES[0])
    for wire in held:
        assert wire.value("SELECT 1") == "1"


def storm(weir, count, database_of):
    """So many logins at once; gives those that were let in, and the errors of the others."""
    inside, refused, lock = [], [], threading.Lock()

    def log_in(start, step):
        for i in range(start, count, step):
            wire = weir.wire()
            try:
                wire.login(database=database_of(i))
            except WireError as error:
                with lock:
                    refused.append(str(error))
                wire.close()
            else:
                with lock:
                    inside.append(wire)
    threads = [threading.Thread(target=log_in, args=(i, 10)) for i in range(10)]
    each(threads).start()
    each(threads).join()
    return inside, refused


def test_the_limit_on_clients_is_exact_in_a_storm_of_logins(weir, several):
    several(max_client_connections=40)
    for _ in range(2):
        inside, refused = storm(weir, 250, lambda i: DATABASES[i % len(DATABASES)])
        assert len(inside) == 40 and len(refused) == 210
        assert all("max_client_connections" in text for text in refused), refused[:3]
        assert all(wire.value("SELECT 1") == "1" for wire in inside)
        each(inside).close()
        wait_until(lambda: clients(weir) == 0)


def test_the_limit_of_a_database_is_exact_in_a_storm_of_logins(weir, several):
    several(max_db_client_connections=7)
    inside, refused = storm(weir, 120, lambda i: DATABASES[i % 3])
    assert len(inside) == 21 and all("max_db_client_connections" in text for text in refused)
    each(inside).close()
    wait_until(lambda: clients(weir) == 0)
    assert len(storm(weir, 120, lambda i: DATABASES[i % 3])[0]) == 21


@pytest.mark.parametrize("limit", ["max_client_connections", "max_user_client_connections", "max_db_client_connections",
                                   "max_address_client_connections"])
def test_whoever_leaves_makes_room_for_who_comes_next(weir, several, limit):
    """The door hears of the end of a client elsewhere by a note, which a newcomer is often quicker than."""
    several(**{limit: 2})
    stays = weir.raw(database=DATABASES[0])
    for i in range(60):
        database = DATABASES[0] if limit == "max_db_client_connections" else DATABASES[i % len(DATABASES)]
        with weir.raw(database=database) as wire:
            assert wire.value("SELECT 1") == "1"
            with pytest.raises(WireError, match=limit):
                weir.wire().login(database=database)
    assert stays.value("SELECT 1") == "1"


def test_a_reload_between_the_proof_and_the_way_may_change_the_pool(weir, several):
    """Both come to the door in one turn: the client's proof, and then the reload, after which its pool is another one, which
    has its home elsewhere."""
    def pools():
        return [(row["user"], row["worker"]) for row in weir.console("SHOW POOLS_EXTENDED") if row["database"] == "way"]

    def configuration(user):
        return {"sections": {"database way": {"upstream": weir.upstream(dbname="app", user=user)}}, "pool_size": 1,
                "workers": 3}

    several(**configuration("web"))
    wires = [weir.raw(database="way")]
    weir.reload(**configuration("reporting"))
    wires.append(weir.raw(database="way"))
    before = pools()
    assert len({worker for _, worker in before}) == 2
    console, late = weir.raw(user="admin", database="pgweir"), weir.wire()
    assert console.query("SHOW VERSION")
    weir.configure(**configuration("web"))
    weir.write_config()
    weir.stand_still()
    late.send(startup(database="way") + query("SELECT current_user"))
    console.send(query("RELOAD"))
    weir.signal(signal.SIGCONT)
    read_login(late)
    assert answer_of(late) == ["web"]
    assert weir.raw(database="way").value("SELECT current_user") == "web"
    assert sorted(pools()) == sorted(before)


def test_a_stop_while_clients_cross_ends_in_time(weir, several):
    several(shutdown_timeout="5s")
    is_over, let_in = threading.Event(), []

    def log_in(i):
        while not is_over.is_set():
            with suppress(WireError, OSError), weir.wire() as wire:
                wire.login(database=DATABASES[i % len(DATABASES)])
                let_in.append(wire.value("SELECT 1"))
    threads = [threading.Thread(target=log_in, args=(i,)) for i in range(8)]
    each(threads).start()
    wait_until(lambda: len(let_in) > 50)
    assert weir.stop() == 0
    is_over.set()
    each(threads).join()
    assert set(let_in) == {"1"}


@pytest.mark.own_transport
def test_tls_with_queries_behind_the_startup_packet(weir, several, authority):
    made = authority.issue("crossing", "/CN=localhost", "DNS:localhost,IP:127.0.0.1", key="rsa")
    several(certificate_file=made.certificate, key_file=made.key)
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.check_hostname = False
    large = "x" * 40_000                                             # several records, some of them not read yet
    for database in DATABASES:
        with weir.wire() as wire:
            wire.start_tls(context)
            wire.send(startup(database=database) + query("SELECT 1") + query(f"SELECT length('{large}')"))
            read_login(wire)
            assert [answer_of(wire), answer_of(wire)] == [["1"], ["40000"]]
            assert wire.value(f"SELECT '{large}'") == large


def test_ddl_is_known_on_all_workers_when_it_is_answered(weir, several):
    """Users of one database have pools of their own, and these workers of their own."""
    several(pool_size=1)
    users = [f"crosser{i}" for i in range(4)]
    with weir.postgres.connect() as direct, direct.cursor() as cursor:
        for user in users:
            cursor.execute(f"DROP ROLE IF EXISTS {user}")
            cursor.execute(f"CREATE ROLE {user} LOGIN")
    maker, others = weir.raw(), [weir.raw(user=user) for user in users]
    pairs = [weir.raw(user=user) for user in users]
    for wire in others + pairs:
        assert wire.value("SELECT 1") == "1"
    for i in range(5):
        maker.query(f"CREATE OR REPLACE FUNCTION crossing_{i}() RETURNS text LANGUAGE sql AS "
                    f"$$ SELECT set_config('my.crossing', '{i}', false) $$")
        for wire, pair in zip(others, pairs):
            assert wire.value(f"SELECT crossing_{i}()") == str(i)
            assert pair.value("SELECT current_setting('my.crossing', true)") in ("", None)
        maker.query(f"DROP FUNCTION crossing_{i}()")
