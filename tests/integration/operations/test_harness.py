"""The suite's own tools, proved on PostgreSQL and on each other, so that a failure elsewhere is pgweir's."""

import socket

import pytest

import cutter
import rawwire
import transport
from fakeserver import FakeServer
from rawwire import Wire, shape
from tap import Tap
from weir import parse_metrics


@pytest.mark.parametrize("user", ["web", "md5user", "scramuser", "plainuser"])
def test_the_raw_client_logs_in_to_postgresql_by_every_method(postgres, user):
    from postgres import PASSWORDS
    with Wire((postgres.host, postgres.port)) as wire:
        wire.login(user, "app", PASSWORDS[user])
        assert wire.value("SELECT current_user") == user
        assert wire.parameters["server_encoding"] == "UTF8" and len(wire.key) == 8


def test_the_raw_client_tells_a_wrong_password(postgres):
    with Wire((postgres.host, postgres.port)) as wire, pytest.raises(rawwire.LoginRefused) as refused:
        wire.login("scramuser", "app", "wrong")
    assert refused.value.sqlstate == "28P01"


def test_the_tap_forwards_stalls_cuts_and_refuses(postgres):
    with Tap((postgres.host, postgres.port)) as tap:
        wire = Wire((tap.host, tap.port)).login()
        assert wire.value("SELECT 1") == "1"
        tap.stall()
        wire.send(rawwire.query("SELECT 2"))
        assert wire.has_nothing_more(0.2)
        tap.unstall()
        assert rawwire.texts(wire.read_until()) == [["2"]]
        tap.cut()
        assert wire.wait_closed() == b""
        tap.shut()
        with pytest.raises(ConnectionRefusedError):
            Wire((tap.host, tap.port))
        tap.open()
        Wire((tap.host, tap.port)).login().close()


def test_the_fake_server_passes_for_postgresql():
    with FakeServer() as fake, Wire((fake.host, fake.port)) as wire:
        wire.login()
        assert wire.query("SELECT anything") == [["fake"]]
        assert shape(wire.ask(rawwire.query(""))) == "I Z:I"
        assert shape(wire.ask(rawwire.one_statement("SELECT 1"), rawwire.sync())) == "1 2 T D C:SELECT 1 Z:I"
        assert shape(wire.ask(rawwire.query("BEGIN"))) == "C:BEGIN Z:T"
        assert fake.connections[0].queries()[0] == "SELECT anything"


@pytest.mark.parametrize("place", [cutter.MARKED, cutter.WITHIN, cutter.TAGGED])
def test_the_cutter_passes_on_that_the_server_died_ahead_of_the_cut(place):
    with socket.create_server((cutter.Cutter.host, 0)) as server, \
            cutter.Cutter(server.getsockname(), lambda connection: place) as between, \
            Wire((between.host, between.port)) as wire:
        wire.send(rawwire.startup(), rawwire.query("a question"), rawwire.query("COMMIT"))
        backend, _ = server.accept()
        with backend:
            cutter.receive(backend, len(rawwire.startup() + rawwire.query("a question") + rawwire.query("COMMIT")))
        assert wire.wait_closed() == b""


def test_the_metrics_parser_reads_escapes_and_refuses_doubles():
    text = '# HELP a b\na_total{database="x\\"y\\\\z\\n",user="u"} 2\na_total 3\n'
    assert parse_metrics(text) == {("a_total", (("database", 'x"y\\z\n'), ("user", "u"))): 2.0, ("a_total", ()): 3.0}
    with pytest.raises(AssertionError):
        parse_metrics("a 1\na 2\n")


@pytest.mark.skipif(not transport.IS_TLS, reason="PGWEIR_TEST_TLS is not set")
@pytest.mark.weir_only
def test_both_sides_are_encrypted(weir):
    weir.start()
    of_mine = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert weir.connect().execute(of_mine).fetchone() == (True,)
    assert weir.raw().value(of_mine) == "t"
    assert {row["tls"][:7] for row in weir.console("SHOW CLIENTS")} == {"TLSv1.3"}
    assert {row["tls"][:7] for row in weir.console("SHOW SERVERS")} == {"TLSv1.3"}
