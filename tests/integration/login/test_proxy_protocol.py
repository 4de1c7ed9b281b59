"""The PROXY protocol: behind a load balancer, the client's own address is what counts."""

import os
import socket
import struct

import pytest

from rawwire import Wire, WireClosed, WireError, cancel_request, query
from waiting import wait_until

pytestmark = [pytest.mark.weir_only]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source="192.0.2.7", port=51514):
    family = "TCP6" if ":" in source else "TCP4"
    other = "::1" if ":" in source else "127.0.0.1"
    return f"PROXY {family} {source} {other} {port} 6432\r\n".encode()


def v2(source="192.0.2.7", port=51514, command=1, tlvs=b""):
    if ":" in source:
        body = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "::1")
        family = 0x21
    else:
        body, family = socket.inet_aton(source) + socket.inet_aton("127.0.0.1"), 0x11
    body += struct.pack("!HH", port, 6432) + tlvs
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


def plain_wire(weir, header=b""):
    """Without the TLS of the suite, which would come before the header."""
    wire = weir.keep(Wire((weir.host, weir.port)))
    wire.sock.sendall(header)
    return wire


def client_row(weir, user="web"):
    row, = [row for row in weir.console("SHOW CLIENTS") if row["user"] == user]
    return row


@pytest.fixture
def behind(weir, tmp_path):
    """127.0.0.2 is a load balancer's; the console is asked from 127.0.0.1. method = trust is for loopback only."""
    hba = tmp_path / "hba.conf"
    hba.write_text("host all all 192.0.2.8/32 reject\nhost all all 192.0.2.0/24 trust\nhost all all 2001:db8::/32 trust\n"
                   "host all all 127.0.0.0/8 trust\n")

    def start(**settings):
        return weir.start(proxy_protocol="127.0.0.2/32, unix", method="hba", hba_file=hba, **settings)
    return start


def balanced(weir, header):
    """A connection of the balancer's, which has sent that header."""
    wire = weir.keep(Wire((weir.host, weir.port), source="127.0.0.2"))
    wire.sock.sendall(header)
    return wire


@pytest.mark.parametrize("header, addr, port", [
    (v1(), "192.0.2.7", 51514), (v2(), "192.0.2.7", 51514), (v1("2001:db8::7"), "2001:db8::7", 51514),
    (v2("2001:db8::7", 7), "2001:db8::7", 7), (v2("::ffff:192.0.2.9"), "192.0.2.9", 51514),
    (v2(tlvs=b"\x03\0\4abcd"), "192.0.2.7", 51514)])
def test_show_clients_and_the_log_have_the_real_address(weir, behind, header, addr, port):
    behind(sections={"log": {"connections": "on"}})
    wire = balanced(weir, header).login()
    row = client_row(weir)
    assert (row["addr"], row["port"]) == (addr, port)
    assert wire.value("SELECT 1") == "1"
    shown = f"[{addr}]:{port}" if ":" in addr else f"{addr}:{port}"
    wait_until(lambda: f"({shown}, user " in weir.log())


def test_who_comes_by_ipv6_leaves_alone(weir, behind):
    behind()
    for leaves_early in (False, True):
        wire = balanced(weir, v1("2001:db8::7"))
        if not leaves_early:
            assert wire.login().value("SELECT 1") == "1"
        wire.close()
        wait_until(lambda: not [row for row in weir.console("SHOW CLIENTS") if row["user"] == "web"])
    assert balanced(weir, v1()).login().value("SELECT 1") == "1"


def test_a_header_in_pieces(weir, behind):
    behind()
    header = v2()
    wire = balanced(weir, b"")
    for byte in header:
        wire.sock.sendall(bytes([byte]))
    assert wire.login().value("SELECT 1") == "1"
    assert client_row(weir)["addr"] == "192.0.2.7"


@pytest.mark.parametrize("header", [v2(command=0), b"PROXY UNKNOWN\r\n"])
def test_the_balancer_itself(weir, behind, header):
    behind()
    balanced(weir, header).login()
    assert client_row(weir)["addr"] == "127.0.0.2"


def test_rules_and_limits_go_by_the_real_address(weir, behind):
    behind(max_address_client_connections=1)
    first = balanced(weir, v1()).login()
    with pytest.raises(WireError, match="pg_hba|rejects|reject"):
        balanced(weir, v1("192.0.2.8")).login()
    with pytest.raises(WireError, match="max_address_client_connections"):
        balanced(weir, v1(port=2)).login()
    assert first.value("SELECT 1") == "1"


def test_no_header_where_one_is_due(weir, behind):
    behind()
    with pytest.raises((WireError, WireClosed)):
        balanced(weir, b"").login()
    wait_until(lambda: "client" in weir.log() and "(127.0.0.2:" in weir.log() and
               "invalid PROXY protocol header: it is missing; hint: This address is in proxy_protocol" in weir.log())


def test_a_header_where_none_is_due(weir, behind):
    behind()
    wire = plain_wire(weir, v1())
    with pytest.raises((WireError, WireClosed)):
        wire.login()
    wait_until(lambda: "received a PROXY protocol header from an address that is not in proxy_protocol" in weir.log())
    with weir.raw() as other:
        assert other.value("SELECT 1") == "1"


def test_a_header_again_behind_the_first(weir, behind):
    behind()
    with pytest.raises((WireError, WireClosed)):
        balanced(weir, v1() + v1("192.0.2.8")).login()


def test_trust_is_not_for_those_behind_a_balancer_on_loopback(weir):
    weir.start(proxy_protocol="127.0.0.2/32")
    with pytest.raises(WireError, match="trust is for loopback"):
        balanced(weir, v1()).login()


def test_cancel_through_the_balancer(weir, behind):
    behind()
    wire = balanced(weir, v1()).login()
    wire.send(query("SELECT pg_sleep(60)"))
    weir.wait_until(lambda: weir.postgres.backends(wait_event="PgSleep"))
    balanced(weir, v1(port=3)).sock.sendall(cancel_request(wire.key))
    assert "57014" in [reply.sqlstate for reply in wire.read_until("Z") if reply.type == "E"]


def test_application_name_add_host(weir):
    weir.start(application_name_add_host="on")
    with weir.connect(application_name="batch") as connection:
        with socket.socket(fileno=os.dup(connection.pgconn.socket)) as own:
            port = own.getsockname()[1]
        assert connection.execute("SHOW application_name").fetchone()[0] == f"batch - 127.0.0.1:{port}"
    with weir.connect(application_name="") as connection:
        assert connection.execute("SHOW application_name").fetchone()[0].startswith("app - 127.0.0.1:")
    with weir.connect(application_name="x" * 60) as connection:
        name = connection.execute("SHOW application_name").fetchone()[0]
        assert len(name) == 63 and name.startswith("xxxx") and " - 127.0.0.1:" in name
