# SPDX-License-Identifier: Apache-2.0
"""Behind a balancer: the PROXY protocol, versions 1 and 2, on connections and in datagrams (streams.md K42)."""
import contextlib
import os
import signal
import socket
import struct

import pytest

import signed
import streams
import turn
from conftest import free_port

CLIENT, OTHER, SERVICE = ("192.0.2.1", 1000), ("192.0.2.2", 2000), ("198.51.100.1", 3478)
CLIENT6, SERVICE6 = ("2001:db8::1", 1000), ("2001:db8::2", 3478)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
STREAM, DATAGRAM, LOCAL, PROXY = 1, 2, 0x20, 0x21
BALANCER, STRANGER = "127.0.0.2", "127.0.0.3"
HOST = "turn.example"


def version1(source, destination):
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def version2(source, destination, kind=STREAM, command=PROXY, extra=b""):
    v6 = ":" in source[0]
    family = socket.AF_INET6 if v6 else socket.AF_INET
    body = b"".join(socket.inet_pton(family, address[0]) for address in (source, destination))
    body += struct.pack("!HH", source[1], destination[1]) + extra
    return SIGNATURE + struct.pack("!BBH", command, (0x20 if v6 else 0x10) | kind, len(body)) + body


def options(**more):
    return {"tcp_proxy_port": free_port(), "proxy_protocol_from": BALANCER, **more}


@pytest.fixture
def server(sterna):
    return sterna(**options())


def proxied(server, header, source=BALANCER):
    """A connection to the port for balancers that begins with `header`."""
    connection = streams.dial(("127.0.0.1", server.options["tcp_proxy_port"]), source=(source, 0))
    connection.send(header)
    return connection


def mapped(connection):
    """Who the server thinks is there."""
    connection.send(streams.binding())
    return turn.Message(connection.recv()).address(turn.XOR_MAPPED)


def refused(connection):
    """Ended without a word, though a request was sent."""
    with contextlib.suppress(OSError):
        connection.send(streams.binding())
    return connection.end()[0] == b""


# --- connections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("header, source", [
    (version1(CLIENT, SERVICE), CLIENT),
    (version1(CLIENT6, SERVICE6), CLIENT6),
    (version2(CLIENT, SERVICE), CLIENT),
    (version2(CLIENT6, SERVICE6), CLIENT6),
    (version2(CLIENT, SERVICE, extra=b"\x05\x00\x03abc"), CLIENT),
])
def test_the_client_is_who_the_header_says(server, header, source):
    for cut in range(len(header)):
        connection = proxied(server, header[:cut])
        connection.send(header[cut:])
        assert mapped(connection) == source
        connection.close()


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", version2(CLIENT, SERVICE, command=LOCAL),
                                    SIGNATURE + b"\x20\x00\x00\x00"])
def test_a_health_check_has_its_own_address(server, header):
    connection = proxied(server, header)
    assert mapped(connection) == connection.getsockname()
    connection.close()


def test_clients_of_one_balancer_are_kept_apart(sterna):
    server = sterna(**options(max_connections_per_ip=1))
    connections = []
    for source in CLIENT, OTHER, ("192.0.2.3", 1000):
        connections.append(proxied(server, version2(source, SERVICE)))
        assert mapped(connections[-1]) == source
    assert refused(proxied(server, version2((CLIENT[0], 1001), SERVICE)))  # the client's second one
    for connection in connections:
        connection.close()


def test_an_allocation_works(sterna):
    server = sterna(**options(relay_ip="127.0.0.1"))
    connection = proxied(server, version1(CLIENT, SERVICE))
    client = signed.Client(SERVICE, sock=connection)
    client.allocated()
    with signed.bound() as peer:
        assert client.permit("127.0.0.1").code == 0
        peer.sendto(b"hello", client.relayed)
        assert turn.Message(client.next()).get(turn.DATA_ATTR) == b"hello"
    server.wait_log("192.0.2.1")
    connection.close()


def test_tls_may_follow(sterna, tmp_path):
    certificates = streams.Certificates(tmp_path)
    cert, key = certificates.make(HOST)
    server = sterna(**options(cert=cert, pkey=key, tls_listening_port=0))
    for header in version1(CLIENT, SERVICE), version2(CLIENT, SERVICE):
        sock = socket.create_connection(("127.0.0.1", server.options["tcp_proxy_port"]), 20, (BALANCER, 0))
        sock.sendall(header)
        connection = streams.dial(None, sock=sock, tls=certificates.context(), name=HOST)
        assert mapped(connection) == CLIENT
        connection.close()


@pytest.mark.parametrize("header", [version1(CLIENT, SERVICE), version2(CLIENT, SERVICE), b""])
def test_nobody_else_is_believed(server, header):
    connection = proxied(server, header, source=STRANGER)
    assert refused(connection)
    connection.close()


@pytest.mark.parametrize("header", [
    b"",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 99999\r\n",
    b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
    SIGNATURE + b"\x31" + version2(CLIENT, SERVICE)[13:],
    SIGNATURE + struct.pack("!BBH", PROXY, 0x11, 5000) + bytes(5000),
    SIGNATURE + struct.pack("!BBH", PROXY, 0x11, 11) + bytes(11),
    version2(CLIENT, SERVICE, kind=DATAGRAM),
])
def test_what_is_no_header_closes(server, header):
    connection = proxied(server, header)
    assert refused(connection)
    connection.close()
    assert streams.is_served(server)


def test_other_ports_take_no_header(server):
    connection = streams.dial(server.address, source=(BALANCER, 0))
    connection.send(version2(CLIENT, SERVICE))
    assert refused(connection)
    connection.close()


def test_the_list_is_reloaded(server):
    server.write_conf(proxy_protocol_from=STRANGER)
    server.signal(signal.SIGHUP)
    server.wait_log("reload.done")
    assert refused(proxied(server, version1(CLIENT, SERVICE)))
    connection = proxied(server, version1(CLIENT, SERVICE), source=STRANGER)
    assert mapped(connection) == CLIENT
    connection.close()


# --- datagrams -------------------------------------------------------------------------------------


@pytest.fixture
def datagrams(sterna):
    """A server with one more UDP port, for balancers; and that port."""
    port = free_port()
    section = f"[listener \"balanced\"]\naddress=127.0.0.1:{port}\ntransport=udp\nproxy-protocol=on\n"
    server = streams.start_with_sections(sterna, section, proxy_protocol_from=BALANCER, relay_ip="127.0.0.1")
    return server, ("127.0.0.1", port)


def udp_mapped(sock, address, header):
    tid = os.urandom(12)
    sock.sendto(header + streams.binding(tid), address)
    answer = turn.Message(sock.recv(2000))
    assert answer.tid == tid
    return answer.address(turn.XOR_MAPPED)


def test_each_datagram_has_a_header(datagrams):
    _, address = datagrams
    with signed.bound(BALANCER) as balancer:
        for source in CLIENT, OTHER, CLIENT6:
            destination = SERVICE6 if ":" in source[0] else SERVICE
            assert udp_mapped(balancer, address, version2(source, destination, DATAGRAM)) == source


def test_datagrams_of_others_are_dropped(datagrams):
    server, address = datagrams
    with signed.bound(STRANGER) as stranger, signed.bound(BALANCER) as balancer:
        stranger.sendto(version2(CLIENT, SERVICE, DATAGRAM) + streams.binding(), address)
        balancer.sendto(streams.binding(), address)
        balancer.sendto(version2(CLIENT, SERVICE, STREAM) + streams.binding(), address)
        balancer.sendto(version1(CLIENT, SERVICE) + streams.binding(), address)
        assert udp_mapped(balancer, address, version2(CLIENT, SERVICE, DATAGRAM)) == CLIENT
        assert signed.is_empty(stranger) and signed.is_empty(balancer)
    assert streams.is_served(server)


class Proxied:
    """A socket whose datagrams have a header: what signed.Client takes for its own."""

    def __init__(self, sock, header):
        self.sock, self.header = sock, header

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def send(self, data):
        self.sock.send(self.header + data)


def test_an_allocation_works_by_datagrams(datagrams):
    _, address = datagrams
    with signed.bound(BALANCER) as balancer, signed.bound() as peer:
        client = signed.Client(address, sock=Proxied(balancer, version2(CLIENT, SERVICE, DATAGRAM)))
        client.allocated()
        assert client.bind(0x4000, peer.getsockname()).code == 0
        client.sock.send(streams.channel_data(0x4000, b"hi!!"))
        assert peer.recvfrom(100) == (b"hi!!", client.relayed)
        peer.sendto(b"hello", client.relayed)
        assert client.next()[4:9] == b"hello"
