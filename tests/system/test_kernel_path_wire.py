# SPDX-License-Identifier: Apache-2.0
"""The same frames through user space and through the kernel path: what comes out at the far ends is the same, byte for
byte, but for TTL and identification.  What the kernel path cannot do, user space does as though it were not there."""
import os
import socket
import struct

import pytest

import kernel_path
import wire
from conftest import Network, Sterna, inside
from flows import frame as channel_data
from kernel_path import CABLES, CHANNEL, CLIENT, ENDS, LIMIT_S, MODES, PEER, SERVER, TO_CLIENT, TO_PEER

pytestmark = pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing()))

EVERY_WAY = [(4, 4), (6, 6), (4, 6), (6, 4)]  # family of the client, of the peer
CLIENT_PORT, SERVER_PORT, PEER_PORT, RELAY_PORT = 5000, 3478, 7000, 40000
SIZES = [0, 1, 2, 3, 4, 5, 17, 18, 19, 100, 171, 172, 1200, 1399]
OUTGOING = 4
OTHER_MAC = "02:00:00:00:00:99"
EVERYBODY = "ff:ff:ff:ff:ff:ff"


def data(size):
    return bytes((7 * i + size) & 0xFF for i in range(size))


class End:
    """One end of a cable: it sends and sees whole frames."""

    def __init__(self, lab, name, device):
        with inside(lab.ns[name]):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sock.bind((device, 0))
            self.sock.settimeout(LIMIT_S)
        self.mac = lab.run(name, "cat", f"/sys/class/net/{device}/address").strip()

    def send(self, raw):
        self.sock.send(raw)

    def receive(self):
        """The next IP packet of the server, without its Ethernet header; and that header."""
        while True:
            raw, at = self.sock.recvfrom(65536)
            if at[2] != OUTGOING and at[1] in (wire.IPV4, wire.IPV6):
                return raw[14:], raw[:14]

    def close(self):
        self.sock.close()


class Stage:
    """A lab with a server, with or without the kernel path, and raw ends."""

    def __init__(self, net, directory, mode):
        self.mode, self.started = mode, []
        self.lab = kernel_path.Lab(net, lambda **options: self.start(directory, **options))
        self.lab.sysctl(SERVER, "net.ipv6.auto_flowlabels=0")
        for device in "s0", "s1":  # what user space sends has its checksum, too
            self.lab.run(SERVER, "ethtool", "-K", device, "tx", "off")
        options = {"listening_port": SERVER_PORT, "min_port": RELAY_PORT, "max_port": RELAY_PORT}
        if mode == "off":
            self.lab.start_server(offload="off", **options)
        else:
            self.lab.serve(mode, **options)
        self.near = {name: self.lab.run(SERVER, "cat", f"/sys/class/net/{device}/address").strip()
                     for name, device in ((CLIENT, "s0"), (PEER, "s1"))}
        self.ends = {name: End(self.lab, name, device) for name, device, _ in CABLES if name != SERVER}
        self.fences = 0

    def start(self, directory, **options):
        self.started.append(Sterna(directory, **options))
        return self.started[-1].ready()

    def close(self):
        for server in self.started:
            server.stop()

    def line(self, family, peer_family):
        return Line(self, family, peer_family)


class Line:
    """A client with a channel to a peer, the ports of both always the same."""

    def __init__(self, stage, family, peer_family):
        self.stage = stage
        ends, peer_ends = ENDS[family], ENDS[peer_family]
        client = kernel_path.signed.Client((ends["server"], SERVER_PORT),
                                           sock=self.socket(CLIENT, ends["client"], CLIENT_PORT))
        wishes = [kernel_path.signed.WANT_IPV6] if peer_family == 6 else []
        assert client.allocate(*wishes).code == 0
        peer = self.socket(PEER, peer_ends["peer"], PEER_PORT)
        assert client.bind(CHANNEL, peer.getsockname()[:2]).code == 0
        self.pair = kernel_path.Pair(client, peer)
        self.way = {  # from where the frames come: between which addresses, the far end, and who sends there
            CLIENT: ((ends["client"], CLIENT_PORT), (ends["server"], SERVER_PORT), PEER, peer_ends["relay"]),
            PEER: ((peer_ends["peer"], PEER_PORT), (peer_ends["relay"], RELAY_PORT), CLIENT, ends["server"]),
        }

    def socket(self, name, ip, port):
        sock = self.stage.lab.net.socket(self.stage.lab.ns[name], (ip, port))
        sock.settimeout(LIMIT_S)
        return sock

    def warm(self):
        if self.stage.mode == "off":
            self.pair.ping()
        else:
            self.stage.lab.warm(self.pair)

    def message(self, begin, content):
        """What carries `content`."""
        return channel_data(CHANNEL, content) if begin == CLIENT else content

    def framed(self, begin, raw, to=None, tag=None):
        return wire.frame(to or self.stage.near[begin], self.stage.ends[begin].mac, raw, tag)

    def ask(self, begin, frames):
        """Send the frames; the packets that come out at the far end, as they are.  A last one that user space must
        handle tells that this is all."""
        src, dst, end, sender = self.way[begin]
        self.stage.fences += 1
        fence = b"fence %d." % self.stage.fences
        for raw in frames:
            self.stage.ends[begin].send(raw)
        last = wire.with_options(src, dst, wire.udp(src, dst, self.message(begin, fence)))
        self.stage.ends[begin].send(self.framed(begin, last))
        found = []
        while True:
            raw, ether = self.stage.ends[end].receive()
            if wire.source(raw) != wire.address(sender) or not wire.is_udp(raw):
                continue
            if fence in raw:
                return found
            assert ether[:6].hex(":") == self.stage.ends[end].mac and ether[6:12].hex(":") == self.stage.near[end]
            found.append(wire.without_chance(raw))

    def close(self):
        assert self.pair.client.refresh(0).code == 0
        self.pair.close()


def plain_cases(line, begin):
    """name -> packet, of what the kernel path is for."""
    src, dst = line.way[begin][:2]

    def of(content, **fields):
        return wire.packet(src, dst, wire.udp(src, dst, content), **fields)

    found = {f"{size} bytes": of(line.message(begin, data(size))) for size in SIZES}
    found["DSCP and ECN"] = of(line.message(begin, data(50)), tos=0xB8 | 1)
    found["TTL 2"] = of(line.message(begin, data(50)), ttl=2)
    if ":" not in src[0]:
        found["DF"] = of(line.message(begin, data(50)), flags=0x4000)
    if begin == CLIENT:
        found.update({f"padding {n}": of(line.message(begin, data(20 - n)) + bytes(n)) for n in (1, 2, 3)})
    else:
        found["like ChannelData"] = of(channel_data(CHANNEL, data(30)))
        found["like STUN"] = of(b"\0\1\0\0\x21\x12\xa4\x42" + data(12))
    return {name: [line.framed(begin, raw)] for name, raw in found.items()}


def odd_payloads(line, begin):
    """name -> what a datagram may carry that the kernel path leaves to user space."""
    if begin == PEER:
        (ip, _), _, _, sender = line.way[begin]
        longer = ":" in sender or ":" not in ip  # the packet that leaves, or it has no room at all
        return {"too big": data(1452 if ":" in ip else 1472)} if longer else {}
    return {"unknown channel": channel_data(CHANNEL + 1, data(20)), "no data": b"", "STUN": data(20)[:1] + bytes(19),
            "more than there is": struct.pack("!HH", CHANNEL, 21) + data(20),
            "half a head": struct.pack("!HB", CHANNEL, 0), "four more": line.message(begin, data(20)) + bytes(4),
            "padding that speaks": line.message(begin, data(18)) + b"\0\1"}


def odd_cases(line, begin):
    """name -> frames that are user space's, or nobody's."""
    src, dst = line.way[begin][:2]
    datagram = wire.udp(src, dst, line.message(begin, data(150)))
    usual = wire.packet(src, dst, datagram)
    found = {name: [line.framed(begin, wire.packet(src, dst, wire.udp(src, dst, content)))]
             for name, content in odd_payloads(line, begin).items()}
    found |= {
        "VLAN": [line.framed(begin, usual, tag=7)],
        "priority tag": [line.framed(begin, usual, tag=0)],
        "another's": [line.framed(begin, usual, to=OTHER_MAC)],
        "everybody's": [line.framed(begin, usual, to=EVERYBODY)],
        "options": [line.framed(begin, wire.with_options(src, dst, datagram))],
        "fragments": [line.framed(begin, piece) for piece in wire.in_two(src, dst, datagram, 80)],
        "last fragment alone": [line.framed(begin, wire.in_two(src, dst, datagram, 80)[1])],
        "TTL 1": [line.framed(begin, wire.packet(src, dst, datagram, ttl=1))],
        "a shorter datagram": [line.framed(begin, wire.packet(src, dst, wire.udp(src, dst, line.message(
            begin, data(20)) + b"behind", 8 + len(line.message(begin, data(20))))))],
        "a longer datagram": [line.framed(begin, wire.packet(src, dst, wire.udp(src, dst, line.message(
            begin, data(20)), 8 + len(line.message(begin, data(20))) + 5)))],
        "cut off": [line.framed(begin, usual[:-30])],
    }
    if ":" not in src[0]:
        found["header checksum"] = [line.framed(begin, wire.packet(src, dst, datagram, wrong=0x0100))]
    return found


def answers(stage):
    """What comes out for every case of every line; of what is for the kernel path, all counted by it."""
    found = {}
    for families in EVERY_WAY:
        line = stage.line(*families)
        line.warm()
        for begin, counter in (CLIENT, TO_PEER), (PEER, TO_CLIENT):
            plain, odd = plain_cases(line, begin), odd_cases(line, begin)
            line.ask(begin, [])  # what was there before
            before = stage.lab.counts.read() if stage.lab.counts else None
            for name, frames in (plain | odd).items():
                found[families, begin, name] = line.ask(begin, frames)
            if before is not None:
                after = stage.lab.counts.read()
                assert after[counter] - before[counter] == len(plain)
            for name in plain:
                raw, = found[families, begin, name]
                wire.check_udp(raw)
        line.close()
    return found


def answers_of(mode, directory):
    net = Network()
    net.prefix = f"sterna-wire-{os.getpid()}-{mode}"
    stage = None
    try:
        stage = Stage(net, directory, mode)
        return answers(stage)
    finally:
        if stage is not None:
            stage.close()
        net.close()


@pytest.fixture(name="expected", scope="module")
def expected_fixture(tmp_path_factory):
    """What user space does."""
    return answers_of("off", tmp_path_factory.mktemp("off"))


def test_user_space_relays_what_is_worth_it(expected):
    """The comparison is about something."""
    relayed = {name for (_, _, name), packets in expected.items() if packets}
    assert {"options", "fragments", "TTL 1", "a shorter datagram", "everybody's", "four more"} <= relayed
    assert not relayed & {"VLAN", "another's", "unknown channel", "header checksum", "cut off", "last fragment alone"}


@pytest.mark.parametrize("mode", MODES)
def test_kernel_path_sends_what_user_space_sends(expected, mode, tmp_path):
    found = answers_of(mode, tmp_path)
    different = [case for case in expected if found[case] != expected[case]]
    assert not different, "\n".join(f"{case}:\n  {[raw.hex() for raw in expected[case]]}\n  "
                                    f"{[raw.hex() for raw in found[case]]}" for case in different[:5])
