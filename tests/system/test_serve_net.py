# SPDX-License-Identifier: Apache-2.0
"""What leaves on which address, with which header: loopback and network namespaces."""
import socket
import struct
import subprocess

import pytest

import turn
from conftest import wait_for

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2


def udp(ip="127.0.0.1"):
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, 0))
    sock.settimeout(5)
    return sock


# --- addresses -------------------------------------------------------------------------------------


# Proves T-8489-6.3.1.2-02
def test_answers_leave_from_the_address_that_was_asked(sterna, network):
    server_ns, client_ns = network.space("server"), network.space("client")
    network.cable(server_ns, "s0", client_ns, "c0")
    addresses = ["192.0.2.1", "192.0.2.77", "2001:db8::1", "2001:db8::77"]
    for ip in addresses:
        network.address(server_ns, "s0", ip + ("/64" if ":" in ip else "/24"))
    network.address(client_ns, "c0", "192.0.2.100/24", "2001:db8::100/64")
    sterna(netns=server_ns, listening_ip=None, listening_port=3478, relay_threads=2)
    for ip in addresses:
        own = "2001:db8::100" if ":" in ip else "192.0.2.100"
        for _ in range(8):  # other ports reach other workers
            with turn.Client((ip, 3478), network.socket(client_ns, (own, 0))) as client:
                message, source = client.request(turn.BINDING)
                assert source == (ip, 3478)
                assert message.address(turn.XOR_MAPPED) == client.sock.getsockname()[:2]
                client.allocate(*([(turn.FAMILY, b"\2\0\0\0")] if ":" in ip else []))
                assert client.relayed[0] == ip  # the relay address follows


def test_addresses_added_later_are_served_and_protected(sterna, network):
    server_ns, client_ns = network.space("server"), network.space("client")
    network.cable(server_ns, "s0", client_ns, "c0")
    network.address(server_ns, "s0", "192.0.2.1/24")
    network.address(client_ns, "c0", "192.0.2.100/24")
    server = sterna(netns=server_ns, listening_ip=None, listening_port=3478, allowed_peer_ip="192.0.2.0/24")
    network.address(server_ns, "s0", "192.0.2.2/24")
    server.wait_log("addresses.changed")
    with turn.Client(("192.0.2.2", 3478), network.socket(client_ns, ("192.0.2.100", 0))) as client:
        assert client.request(turn.BINDING)[1] == ("192.0.2.2", 3478)
        client.allocate()
        assert client.relayed[0] == "192.0.2.2"
        assert client.bind(0x4000, ("192.0.2.2", 3478)).code == 403


def test_link_local_clients_are_served(sterna, network):
    server_ns, client_ns = network.space("server"), network.space("client")
    network.cable(server_ns, "s0", client_ns, "c0")
    network.address(server_ns, "s0", "fe80::53/64")
    network.address(client_ns, "c0", "fe80::99/64")
    sterna(netns=server_ns, listening_ip=None, listening_port=3478)
    shown = subprocess.run(["ip", "-n", client_ns, "-o", "link", "show", "c0"], capture_output=True, text=True,
                           check=True)
    index = int(shown.stdout.split(":")[0])
    sock = network.socket(client_ns, ("fe80::99", 0, 0, index))
    with turn.Client(("fe80::53", 3478, 0, index), sock) as client:
        message, source = client.request(turn.BINDING)
        assert message.code == 0 and source[0].startswith("fe80::53")


def test_broadcasts_are_not_answered(sterna, network):
    server_ns, client_ns = network.space("server"), network.space("client")
    network.cable(server_ns, "s0", client_ns, "c0")
    network.address(server_ns, "s0", "192.0.2.1/24")
    network.address(client_ns, "c0", "192.0.2.100/24")
    sterna(netns=server_ns, listening_ip=None, listening_port=3478)
    sock = network.socket(client_ns, ("192.0.2.100", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for broadcast in "192.0.2.255", "255.255.255.255":
        sock.sendto(turn.encode(turn.BINDING, [], b"broadcast..."), (broadcast, 3478))
    with turn.Client(("192.0.2.1", 3478), sock) as client:
        message, _ = client.request(turn.BINDING)  # the first answer is this one
        assert message.code == 0
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(100)


def test_peers_behind_our_own_public_address(sterna):
    """Two clients of one server behind NAT: each knows the other by the public address only."""
    server = sterna(external_ip="203.0.114.7/127.0.0.1", relay_threads=2)
    with server.client() as a, server.client() as b:
        a.allocate()
        b.allocate()
        assert a.relayed[0] == b.relayed[0] == "203.0.114.7"
        assert a.permit(b.relayed).code == 0
        assert b.bind(0x4001, a.relayed).code == 0
        a.send(b.relayed, b"over")
        assert b.channel_receive() == (0x4001, b"over")
        b.channel_send(0x4001, b"back")
        message = a.indication()
        assert message.get(turn.DATA_ATTR) == b"back"
        assert message.address(turn.XOR_PEER) == b.relayed


# --- reservations ----------------------------------------------------------------------------------


# Proves T-8656-7.2-27
def test_a_reservation_is_redeemed_by_any_worker(sterna):
    server = sterna(relay_threads=4)
    for _ in range(10):
        with server.client() as first, server.client() as second:
            granted = first.allocate((turn.EVEN_PORT, b"\x80"))
            token = granted.get(turn.RESERVATION)
            assert first.relayed[1] % 2 == 0 and token is not None
            assert second.allocate((turn.RESERVATION, token)).code == 0
            assert second.relayed == (first.relayed[0], first.relayed[1] + 1)
            assert second.permit(("127.0.0.1", 9)).code == 0
            with udp() as peer:  # its socket is alive in the other worker
                second.permit(peer.getsockname())
                peer.sendto(b"x", second.relayed)
                assert second.indication().get(turn.DATA_ATTR) == b"x"


# --- header fields ---------------------------------------------------------------------------------


def received_tos(sock, level, kind):
    _, control, _, _ = sock.recvmsg(2000, 200)
    values = [data for lev, typ, data in control if (lev, typ) == (level, kind)]
    return values[0][0]


@pytest.mark.parametrize("ip, level, option, ask", [
    ("127.0.0.1", socket.IPPROTO_IP, socket.IP_TOS, socket.IP_RECVTOS),
    ("::1", socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS),
])
# Proves T-8656-14-01, T-8656-14-02
def test_dscp_and_ecn_travel_with_each_packet(sterna, ip, level, option, ask):
    server = sterna()
    family = [(turn.FAMILY, b"\2\0\0\0")] if ":" in ip else []
    with turn.Client((ip, server.port)) as client, turn.Client((ip, server.port)) as other, udp(ip) as peer:
        for one in client, other:
            one.allocate(*family)
            assert one.bind(0x4000, peer.getsockname()[:2]).code == 0
        for sock in client.sock, peer:
            sock.setsockopt(level, ask, 1)
        for tos in 0x00, 0xB8 | 2, 0x00, 0x28 | 1, 0x03:  # what one packet had, the next does not inherit
            client.sock.setsockopt(level, option, tos)
            client.channel_send(0x4000, b"up")
            assert received_tos(peer, level, option) == tos
            other.channel_send(0x4000, b"unmarked")
            assert received_tos(peer, level, option) == 0
            peer.setsockopt(level, option, tos)
            peer.sendto(b"down", client.relayed)
            assert received_tos(client.sock, level, option) == tos


def test_dscp_can_be_kept_out(sterna):
    server = sterna(copy_dscp="off", copy_ecn="off")
    with server.client() as client, udp() as peer:
        client.allocate()
        client.bind(0x4000, peer.getsockname())
        peer.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        client.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8 | 1)
        client.channel_send(0x4000, b"up")
        assert received_tos(peer, socket.IPPROTO_IP, socket.IP_TOS) == 0


class Path:
    """client -- server -- router -- peer; the last cable is narrow."""

    def __init__(self, network, sterna):
        self.net = network
        server_ns, router = network.space("server"), network.space("router")
        self.client_ns, self.peer_ns = network.space("client"), network.space("peer")
        network.cable(self.client_ns, "c0", server_ns, "s0")
        network.cable(server_ns, "s1", router, "r0")
        network.cable(router, "r1", self.peer_ns, "p0", mtu=1400)
        network.address(self.client_ns, "c0", "10.1.0.2/24")
        network.address(server_ns, "s0", "10.1.0.1/24")
        network.address(server_ns, "s1", "10.2.0.1/24")
        network.address(router, "r0", "10.2.0.2/24")
        network.address(router, "r1", "10.3.0.1/24")
        network.address(self.peer_ns, "p0", "10.3.0.2/24")
        network.route(server_ns, "10.3.0.0/24", "via", "10.2.0.2")
        network.route(self.peer_ns, "default", "via", "10.3.0.1")
        network.run("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.server = sterna(netns=server_ns, listening_ip="10.1.0.1", listening_port=3478, relay_ip="10.2.0.1",
                             allow_private_peers=True)
        self.client = turn.Client(("10.1.0.1", 3478), network.socket(self.client_ns, ("10.1.0.2", 0)))
        self.peer = network.socket(self.peer_ns, ("10.3.0.2", 7000))
        self.raw = network.socket(self.peer_ns, ("10.3.0.2", 0), socket.SOCK_RAW, socket.IPPROTO_UDP)
        assert self.client.allocate().code == 0
        assert self.client.permit(("10.3.0.2", 7000)).code == 0

    def df_of_next(self):
        """DF of the next datagram, from its IP header."""
        return bool(struct.unpack("!H", self.raw.recv(65536)[6:8])[0] & 0x4000)

    def close(self):
        for one in self.client.sock, self.peer, self.raw:
            one.close()


@pytest.fixture
def path(network, sterna):
    made = Path(network, sterna)
    yield made
    made.close()


DF = (turn.DONT_FRAGMENT, b"")
PEER = ("10.3.0.2", 7000)


# Proves T-8656-14-03, T-8656-13-01
def test_df_is_set_when_asked_for_and_only_then(path):
    for df in True, False, False, True, True, False:
        path.client.send(PEER, b"x", *([DF] if df else []))
        assert path.df_of_next() == df
        assert path.peer.recv(100) == b"x"


# Proves T-8656-14-05
def test_big_datagrams_are_fragmented(path):
    for size in 1372, 1373, 4000, 60000:
        path.client.send(PEER, bytes(size))
        assert len(path.peer.recv(65536)) == size
        path.peer.sendto(bytes(size), path.client.relayed)
        assert len(path.client.indication().get(turn.DATA_ATTR)) == size


# Proves T-8656-18.13-02
def test_a_narrow_cable_further_on_is_told(path):
    for _ in range(3):  # and learning of it does not change what others send
        path.client.send(PEER, bytes(1450), DF)
        message = path.client.indication()
        assert message.get(turn.ICMP) == bytes([0, 0, 3, 4]) + struct.pack("!I", 1400)
        assert message.address(turn.XOR_PEER) == PEER
        path.client.send(PEER, bytes(1450))
        assert len(path.peer.recv(65536)) == 1450


def test_a_datagram_too_big_for_our_own_cable_is_told(path):
    path.client.send(PEER, bytes(3000), DF)
    message = path.client.indication()
    assert message.get(turn.ICMP) == bytes([0, 0, 3, 4]) + struct.pack("!I", 1500)
    assert message.address(turn.XOR_PEER) == PEER
    assert path.client.permit(PEER).type == turn.CREATE_PERMISSION | turn.SUCCESS  # next: it is told once
    path.client.send(PEER, b"goes on")
    assert path.peer.recv(100) == b"goes on"


# --- ICMP ------------------------------------------------------------------------------------------


def closed_port(ip):
    with udp(ip) as sock:
        return sock.getsockname()[:2]


@pytest.mark.parametrize("ip, kind", [("127.0.0.1", bytes([3, 3])), ("::1", bytes([1, 4]))])
# Proves T-8656-11.5-05, T-8656-11.5-06, T-8656-11.5-07, T-8656-18.13-01
def test_a_closed_port_is_told(sterna, ip, kind):
    server = sterna()
    gone = closed_port(ip)
    with turn.Client((ip, server.port)) as client, udp(ip) as peer:
        client.allocate(*([(turn.FAMILY, b"\2\0\0\0")] if ":" in ip else []))
        assert client.bind(0x4000, gone).code == 0
        assert client.bind(0x4001, peer.getsockname()[:2]).code == 0
        for _ in range(20):
            client.channel_send(0x4000, b"into the void")
            client.channel_send(0x4001, b"arrives")  # the error before costs this one nothing
            message = client.indication()
            assert message.get(turn.ICMP) == bytes(2) + kind + bytes(4)
            assert message.get(turn.DATA_ATTR) is None
            assert message.address(turn.XOR_PEER) == gone
            assert peer.recv(100) == b"arrives"


# Proves T-8656-11.5-04
def test_a_router_that_complains_needs_no_permission(path):
    """Host unreachable, from an address that the client has given no permission to."""
    nobody = ("10.3.0.99", 5)
    path.net.run("ip", "-n", path.net.spaces[1], "route", "add", "unreachable", "10.3.0.99/32")
    assert path.client.permit(nobody).code == 0
    path.client.send(nobody, b"x")
    message = path.client.indication()
    assert message.get(turn.ICMP)[2:4] == bytes([3, 1])
    assert message.address(turn.XOR_PEER) == nobody


# --- load ------------------------------------------------------------------------------------------


def test_many_clients_lose_nothing(sterna):
    server = sterna(relay_threads=2)
    clients = [server.client() for _ in range(100)]
    with udp() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for client in clients:
            assert client.allocate().code == 0
            assert client.bind(0x4000, peer.getsockname()).code == 0
        for size in 0, 1, 100, 1200:
            for client in clients:
                client.channel_send(0x4000, bytes(size))
            sources = set()
            for _ in clients:
                data, source = peer.recvfrom(2000)
                assert len(data) == size
                sources.add(source)
                peer.sendto(data, source)
            assert sources == {client.relayed for client in clients}
            for client in clients:
                assert client.channel_receive() == (0x4000, bytes(size))
    for client in clients:
        client.refresh(0)
        client.sock.close()
    wait_for(lambda: server.text.count("allocation.deleted") == 100, "all deleted")


# Proves T-8656-6-01
def test_relayed_addresses_are_unique(sterna):
    server = sterna(relay_threads=2, min_port=20000, max_port=20499)
    clients = [server.client() for _ in range(500)]
    assert all(client.allocate().code == 0 for client in clients)
    assert len({client.relayed for client in clients}) == 500
    with server.client() as late:
        assert late.allocate().code == 508
    for client in clients:
        client.sock.close()
