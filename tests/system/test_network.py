# SPDX-License-Identifier: Apache-2.0
"""What stands in IP headers on both sides of the relay, and what routers say of it (RFC 8656 sections 11.5 and
13 to 14): client -- server -- near peer and router -- far peer, in namespaces, seen by packet sockets."""
import os
import shutil
import socket
import struct
import subprocess
import tempfile

import pytest

import turn
from conftest import STERNA, Network, Sterna, free_port, inside, wait_for
from signed import TRANSPORT_UDP, WANT_IPV6

V4 = {"client": "10.1.0.2", "server": "10.1.0.1", "relay": "10.2.0.1", "near": "10.2.0.2", "far": "10.3.0.2"}
V6 = {"client": "fd00:1::2", "server": "fd00:1::1", "relay": "fd00:2::1", "near": "fd00:2::2", "far": "fd00:3::2"}
ENDS = {4: V4, 6: V6}
EVERY_WAY = [(4, 4), (4, 6), (6, 4), (6, 6)]  # family of the client, family of the peer
PORT = 7000
NARROW = 1400        # bytes of the last cable
SYSTEM_TTL, SYSTEM_HOPS = 77, 78  # the defaults that the server's system is given
SENT_TTL, SENT_TOS, SENT_LABEL = 33, 0xB8 | 1, 0x12345
IPV6_FLOWLABEL_MGR, IPV6_FLOWINFO_SEND, FLOW_CREATE = 32, 33, 1
PEER_NS, FAR_NS, CLIENT_NS, SERVER_NS = "near", "far", "client", "server"
DONT_FRAGMENT = (turn.DONT_FRAGMENT, b"")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


class Lab:
    """The four namespaces and a server, for all tests of this file."""

    def __init__(self, directory):
        self.net = Network()
        self.net.prefix = f"sterna-sec-{os.getpid()}"
        self.directory, self.server = directory, None

    def build(self):
        net = self.net
        self.ns = ns = {name: net.space(name) for name in (CLIENT_NS, SERVER_NS, PEER_NS, FAR_NS)}
        self.sysctl(SERVER_NS, f"net.ipv4.ip_default_ttl={SYSTEM_TTL}",
                    f"net.ipv6.conf.default.hop_limit={SYSTEM_HOPS}", f"net.ipv6.conf.all.hop_limit={SYSTEM_HOPS}")
        for each in ns:  # no wait for addresses that nobody else can have
            self.sysctl(each, "net.ipv6.auto_flowlabels=0", "net.ipv6.conf.default.accept_dad=0",
                        "net.ipv6.conf.all.accept_dad=0")
        self.sysctl(PEER_NS, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                    "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        net.cable(ns[CLIENT_NS], "c0", ns[SERVER_NS], "s0")
        net.cable(ns[SERVER_NS], "s1", ns[PEER_NS], "p0")
        net.cable(ns[PEER_NS], "p1", ns[FAR_NS], "f0", mtu=NARROW)
        for name, device, at in ((CLIENT_NS, "c0", "client"), (SERVER_NS, "s0", "server"), (SERVER_NS, "s1", "relay"),
                                 (PEER_NS, "p0", "near"), (FAR_NS, "f0", "far")):
            net.address(ns[name], device, V4[at] + "/24", V6[at] + "/64")
        net.address(ns[PEER_NS], "p1", "10.3.0.1/24", "fd00:3::1/64")
        net.route(ns[SERVER_NS], "10.3.0.0/24", "via", V4["near"])
        net.run("ip", "-n", ns[SERVER_NS], "-6", "route", "add", "fd00:3::/64", "via", V6["near"])
        net.route(ns[FAR_NS], "default", "via", "10.3.0.1")
        net.run("ip", "-n", ns[FAR_NS], "-6", "route", "add", "default", "via", "fd00:3::1")
        self.server = Sterna(self.directory, netns=ns[SERVER_NS], listening_ip=[V4["server"], V6["server"]],
                             listening_port=None, relay_ip=[V4["relay"], V6["relay"]], allow_private_peers=True,
                             allow_loopback_peers=None, relay_threads=1).ready()
        return self

    def sysctl(self, name, *settings):
        self.net.run("ip", "netns", "exec", self.ns[name], "sysctl", "-qw", *settings)

    def close(self):
        code = self.server.stop() if self.server else 0
        self.net.close()
        assert code == 0, self.server.text

    def capture(self, name, device):
        """A packet socket that sees what comes in on a device, from the IP header on."""
        with inside(self.ns[name]):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
            sock.bind((device, 0))
            sock.settimeout(20)
            return sock

    def socket(self, name, ip, port=0):
        sock = self.net.socket(self.ns[name], (ip, port))
        sock.settimeout(20)
        return sock

    def client(self, family, peer_family, at="near"):
        """A client with an allocation and a permission for the peer; the port is the default one."""
        ends, peer_ends = ENDS[family], ENDS[peer_family]
        one = turn.Client((ends["server"], 3478), self.socket(CLIENT_NS, ends["client"]), timeout=20)
        assert one.allocate(*([WANT_IPV6] if peer_family == 6 else [])).code == 0
        assert one.relayed[0] == peer_ends["relay"]
        assert one.permit((peer_ends[at], 0)).code == 0
        return one


@pytest.fixture(name="lab", scope="module")
def lab_fixture(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield made.build()
    finally:
        made.close()


class Header:
    """The IP header of one packet."""

    def __init__(self, raw):
        self.size = len(raw)
        self.version = raw[0] >> 4
        if self.version == 4:
            self.tos, self.ttl, self.protocol = raw[1], raw[8], raw[9]
            flags = struct.unpack("!H", raw[6:8])[0]
            self.df, self.fragment = bool(flags & 0x4000), bool(flags & 0x3FFF)
            self.source, self.label = socket.inet_ntoa(raw[12:16]), 0
        else:
            first = struct.unpack("!I", raw[:4])[0]
            self.tos, self.label, self.ttl = first >> 20 & 0xFF, first & 0xFFFFF, raw[7]
            self.protocol, self.fragment, self.df = raw[6], raw[6] == 44, False
            self.source = socket.inet_ntop(socket.AF_INET6, raw[8:24])

    @property
    def is_udp(self):
        return self.protocol == 17 or self.fragment


def headers(capture, source, count=1):
    """The next UDP packets, or fragments of such, from that address."""
    found = []
    while len(found) < count:
        raw, at = capture.recvfrom(65536)
        if at[1] in (0x0800, 0x86DD) and at[2] != socket.PACKET_OUTGOING:
            header = Header(raw)
            if header.is_udp and header.source == source:
                found.append(header)
    return found


def mark(sock, family, to):
    """Give what `sock` sends unusual header fields; the address to send to."""
    if family == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, SENT_TTL)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, SENT_TOS)
        return to
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, SENT_TTL)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, SENT_TOS)
    wish = struct.pack("!16sIBBHHHI", socket.inet_pton(socket.AF_INET6, to[0]), SENT_LABEL, 0, 255, 0, 0, 0, 0)
    wish = wish[:22] + struct.pack("=H", FLOW_CREATE) + wish[24:]
    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, wish)
    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1)
    return (*to, SENT_LABEL, 0)


def judge(header, family):
    """DSCP and ECN are copied; everything else is the system's default, as though nothing had come in."""
    assert header.version == family
    assert header.tos == SENT_TOS
    assert header.ttl == (SYSTEM_TTL if family == 4 else SYSTEM_HOPS)
    assert header.label == 0
    assert not header.df and not header.fragment


# Proves T-8656-13-01, T-8656-13.1-01, T-8656-13.1-02, T-8656-13.1-03, T-8656-13.2-01, T-8656-13.2-02
# T-8656-13.2-03, T-8656-13.3-01, T-8656-14-01, T-8656-14-02, T-8656-3.1-01, T-8656-5-12, T-8656-5-13
@pytest.mark.parametrize("family, peer_family", EVERY_WAY)
def test_header_fields_are_copied_or_the_systems_own(lab, family, peer_family):
    near = ENDS[peer_family]["near"]
    with lab.capture(PEER_NS, "p0") as at_peer, lab.capture(CLIENT_NS, "c0") as at_client, \
            lab.capture(SERVER_NS, "s0") as from_client, lab.capture(SERVER_NS, "s1") as from_peer, \
            lab.socket(PEER_NS, near, PORT) as there, lab.client(family, peer_family) as one:
        headers(at_client, ENDS[family]["server"], 2)  # the answers to Allocate and CreatePermission
        headers(from_client, ENDS[family]["client"], 2)
        one.server = mark(one.sock, family, one.server)
        one.send((near, PORT), b"up")
        assert there.recv(100) == b"up"
        judge(headers(at_peer, ENDS[peer_family]["relay"])[0], peer_family)
        there.sendto(b"down", mark(there, peer_family, one.relayed))
        assert one.indication().get(turn.DATA_ATTR) == b"down"
        judge(headers(at_client, ENDS[family]["server"])[0], family)
        # What went in had the marks indeed.
        for header in (headers(from_client, ENDS[family]["client"])[0], headers(from_peer, near)[0]):
            assert (header.tos, header.ttl) == (SENT_TOS, SENT_TTL)
            assert header.label == (SENT_LABEL if header.version == 6 else 0)


# Proves T-8656-13.1-04, T-8656-13.1-05, T-8656-13.2-05, T-8656-13.3-02, T-8656-14-05
@pytest.mark.parametrize("family, peer_family", EVERY_WAY)
def test_what_came_in_pieces_goes_on_whole_or_in_pieces_of_its_own(lab, family, peer_family):
    """Reassembled, then sent as any datagram of the system: in fragments of the cable's size."""
    near, relay = ENDS[peer_family]["near"], ENDS[peer_family]["relay"]
    ignored = [DONT_FRAGMENT] if 6 in (family, peer_family) else []  # wherever IPv6 has a part
    data = os.urandom(4000)
    with lab.capture(PEER_NS, "p0") as at_peer, lab.capture(CLIENT_NS, "c0") as at_client, \
            lab.socket(PEER_NS, near, PORT) as there, lab.client(family, peer_family) as one:
        headers(at_client, ENDS[family]["server"], 2)
        one.send((near, PORT), data, *ignored)
        assert there.recv(65536) == data
        for header in headers(at_peer, relay, 3):
            assert header.fragment and not header.df and header.size <= 1500
        one.send((near, PORT), data[:1300], *ignored)
        assert there.recv(65536) == data[:1300]
        (header,) = headers(at_peer, relay)
        assert not header.fragment and not header.df
        there.sendto(data, one.relayed)
        assert one.indication().get(turn.DATA_ATTR) == data
        for header in headers(at_client, ENDS[family]["server"], 3):
            assert header.fragment and not header.df and header.size <= 1500


# Proves T-8656-11.5-05, T-8656-18.13-02
def test_packet_too_big_is_told_with_the_mtu(lab):
    """ICMPv6 type 2 of the router before the narrow cable; the system then learns, and fragments."""
    far = V6["far"]
    with lab.socket(FAR_NS, far, PORT) as there, lab.client(6, 6, "far") as one:
        one.send((far, PORT), bytes(1440))
        told = one.indication()
        assert told.get(turn.ICMP) == bytes([0, 0, 2, 0]) + struct.pack("!I", NARROW)
        assert told.get(turn.DATA_ATTR) is None
        assert told.address(turn.XOR_PEER) == (far, PORT)
        one.send((far, PORT), bytes(1440))
        assert there.recv(65536) == bytes(1440)


@pytest.mark.parametrize("family, kind", [(4, (3, 3)), (6, (1, 4))])
# Proves T-8656-11.5-05, T-8656-11.5-06
def test_a_closed_port_of_another_host_is_told(lab, family, kind):
    far = ENDS[family]["far"]
    with lab.client(4, family, "far") as one:
        one.send((far, PORT + 1), b"anybody?")
        told = one.indication()
        assert told.get(turn.ICMP) == bytes([0, 0, *kind]) + bytes(4)
        assert told.address(turn.XOR_PEER) == (far, PORT + 1)


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def icmp_about(code, source, to, protocol=17, rest=8):
    """"Destination unreachable" about a datagram from `source` to `to`, of whose UDP header `rest` bytes are
    there."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, protocol, 0, socket.inet_aton(source[0]),
                     socket.inet_aton(to[0]))
    inner = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    inner += struct.pack("!HHHH", source[1], to[1], 20, 0)[:rest]
    packet = struct.pack("!BBHI", 3, code, 0, 0) + inner
    return packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]


# Proves T-8656-11.5-02, T-8656-11.5-03
def test_icmp_without_a_udp_header_is_dropped(lab):
    """Torn off, of another protocol, about a port without an allocation: only the last, whole one is told."""
    peer = (V4["near"], PORT)
    with lab.client(4, 4) as one, lab.net.socket(lab.ns[PEER_NS], (peer[0], 0), socket.SOCK_RAW,
                                                 socket.IPPROTO_ICMP) as router:
        one.send(peer, b"x")
        for rest in range(8):
            router.sendto(icmp_about(1, one.relayed, peer, rest=rest), (V4["relay"], 0))
        router.sendto(icmp_about(2, one.relayed, peer, protocol=6), (V4["relay"], 0))
        router.sendto(icmp_about(2, (V4["relay"], 19999), peer), (V4["relay"], 0))
        router.sendto(icmp_about(13, one.relayed, peer), (V4["relay"], 0))
        kinds = []
        while (kind := one.indication().get(turn.ICMP)[2:4]) != bytes([3, 13]):
            kinds.append(kind)
        assert kinds in ([], [bytes([3, 3])])  # the near peer's own complaint about its closed port


# Proves T-8656-3.6-01
def test_an_ordinary_user_can_run_it():
    """From the start without any privilege, on a high port: marks are copied all the same."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        program = shutil.copy(STERNA, directory)
        log_path = os.path.join(directory, "log")
        with open(log_path, "wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
                 "--no-new-privs", program, "serve", "-c", "/dev/null", "-L", "127.0.0.1", "-p", str(port),
                 "--no-auth", "--realm=example.org", "--allow-loopback-peers"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
        try:
            def ready():
                assert process.poll() is None, open(log_path, encoding="utf-8").read()
                with open(log_path, "rb") as text:
                    return b"server.ready" in text.read()
            wait_for(ready, "the server")
            with turn.Client(("127.0.0.1", port), timeout=20) as one, \
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
                there.bind(("127.0.0.1", 0))
                there.settimeout(20)
                there.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
                assert one.request(turn.ALLOCATE, TRANSPORT_UDP)[0].code == 0
                assert one.permit(there.getsockname()).code == 0
                one.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, SENT_TOS)
                one.send(there.getsockname(), b"x", DONT_FRAGMENT)
                data, control, _, _ = there.recvmsg(100, 100)
                assert data == b"x"
                assert control[0][2][0] == SENT_TOS
        finally:
            process.terminate()
            code = process.wait(20)
        assert code == 0
