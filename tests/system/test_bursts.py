# SPDX-License-Identifier: Apache-2.0
"""Bursts: many packets of one flow that travel as one message (UDP_GRO, UDP_SEGMENT). Whatever the server makes of
them, each packet arrives once, whole and in order."""
import contextlib
import os
import socket
import struct

import pytest

import streams
import turn

SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
CHANNEL = 0x4000
COUNT, ROUNDS = 30, 40  # so often that the server has long asked for whole bursts


class Burst:
    """A socket that sends and receives bursts; `merged`: how many messages came that held several packets."""

    def __init__(self, ip="127.0.0.1"):
        self.sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((ip, 0))
        self.sock.settimeout(10)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self.sock.setsockopt(SOL_UDP, UDP_GRO, 1)
        self.waiting = []
        self.merged = 0

    def send(self, packets, to):
        """All of one length but the last, as one message."""
        size = len(packets[0])
        assert all(len(p) == size for p in packets[:-1]) and len(packets[-1]) <= size
        self.sock.sendmsg([b"".join(packets)], [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", size))], 0, to)

    def receive(self):
        """The next packet, and where it came from."""
        if not self.waiting:
            data, control, _, source = self.sock.recvmsg(65536, 64)
            segments = [v for level, kind, v in control if (level, kind) == (SOL_UDP, UDP_GRO)]
            size = struct.unpack("=i", segments[0])[0] if segments else len(data)
            self.merged += len(data) > size
            self.waiting = [(data[i:i + size], source[:2]) for i in range(0, len(data), max(size, 1))]
        return self.waiting.pop(0)


@pytest.fixture
def ends():
    """Sockets of a client and of a peer."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(b.sock)) and b for b in (Burst(), Burst())]


def payloads(tag, size):
    """COUNT payloads of `size` bytes, the last one shorter, and all different."""
    return [(struct.pack("!HH", tag, i) + os.urandom(size))[:size - 3 * (i == COUNT - 1)] for i in range(COUNT)]


def channel(data):
    return struct.pack("!HH", CHANNEL, len(data)) + data


@pytest.mark.parametrize("options", [{}, {"listening_ip": "0.0.0.0"}, {"udp_gso": "off"}],
                         ids=["gso", "wildcard", "without"])
@pytest.mark.parametrize("size", [172, 1200])
def test_channel_data_both_ways(sterna, ends, options, size):
    client, peer = ends
    server = sterna(**options)
    one = server.client(client.sock)
    one.allocate()
    assert one.bind(CHANNEL, peer.sock.getsockname()).code == 0
    for tag in range(ROUNDS):
        data = payloads(tag, size)
        client.send([channel(d) for d in data], server.address)
        assert [peer.receive() for _ in data] == [(d, one.relayed) for d in data]
        data = payloads(tag, size)
        peer.send(data, one.relayed)
        assert [client.receive() for _ in data] == [(channel(d), server.address) for d in data]
    together = "udp_gso" not in options
    assert (client.merged > 0, peer.merged > 0) == (together, together)


def test_channel_data_over_ipv6(sterna):
    client, peer = Burst("::1"), Burst("::1")
    server = sterna()
    with contextlib.closing(client.sock), contextlib.closing(peer.sock):
        address = ("::1", server.port)
        one = turn.Client(address, client.sock)
        one.allocate((turn.FAMILY, bytes([2, 0, 0, 0])))
        assert one.bind(CHANNEL, peer.sock.getsockname()[:2]).code == 0
        for tag in range(ROUNDS):
            data = payloads(tag, 172)
            client.send([channel(d) for d in data], address)
            assert [peer.receive() for _ in data] == [(d, one.relayed) for d in data]
            peer.send(data, one.relayed)
            assert [client.receive() for _ in data] == [(channel(d), address) for d in data]
        assert client.merged > 0 and peer.merged > 0


# Send and Data indications are padded: their lengths end at multiples of 4.
def test_indications_both_ways(sterna, ends):
    client, peer = ends
    server = sterna()
    one = server.client(client.sock)
    one.allocate()
    address = peer.sock.getsockname()
    assert one.permit(address).code == 0
    for tag in range(ROUNDS):
        data, sent = payloads(tag, 171), []
        for d in data:
            tid = os.urandom(12)
            attributes = [(turn.XOR_PEER, turn.xor_address(address, tid)), (turn.DATA_ATTR, d)]
            sent.append(turn.encode(turn.SEND | turn.INDICATION, attributes, tid))
        client.send(sent, server.address)
        assert [peer.receive()[0] for _ in data] == data
        peer.send(data, one.relayed)
        came = [turn.Message(client.receive()[0]) for _ in data]
        assert [m.get(turn.DATA_ATTR) for m in came] == data
        assert all(m.type == turn.DATA | turn.INDICATION and m.address(turn.XOR_PEER) == address for m in came)
        assert len({m.tid for m in came}) == COUNT
    assert client.merged > 0 and peer.merged > 0


# More requests than there are buffers for answers, mixed with data of equal length.
def test_requests_in_a_burst_are_answered(sterna, ends):
    client, peer = ends
    server = sterna()
    one = server.client(client.sock)
    one.allocate()
    assert one.bind(CHANNEL, peer.sock.getsockname()).code == 0
    for tag in range(ROUNDS):
        tids = [os.urandom(12) for _ in range(COUNT)]
        client.send([turn.encode(turn.BINDING, [], t) for t in tids], server.address)
        answers = [turn.Message(client.receive()[0]) for _ in tids]
        assert [m.tid for m in answers] == tids
        assert {m.address(turn.XOR_MAPPED) for m in answers} == {client.sock.getsockname()}
        data = payloads(tag, 16)[:-1]
        burst = [p for pair in zip((turn.encode(turn.BINDING, [], t) for t in tids), map(channel, data)) for p in pair]
        client.send(burst, server.address)
        assert [turn.Message(client.receive()[0]).tid for _ in data] == tids[:len(data)]
        assert [peer.receive()[0] for _ in data] == data


# What a client on a connection gets has one way: it never comes in bursts from the relay socket, or is taken apart.
def test_clients_on_connections(sterna, ends):
    _, peer = ends
    server = sterna()
    one = streams.client(server)
    one.allocated()
    assert one.bind(CHANNEL, peer.sock.getsockname()).code == 0
    for tag in range(ROUNDS):
        data = payloads(tag, 301)
        peer.send(data, one.relayed)
        assert [one.sock.recv() for _ in data] == [channel(d) for d in data]
    one.sock.sock.close()


# A burst is as long as a message can be.
def test_longest_bursts(sterna, ends):
    client, peer = ends
    server = sterna()
    one = server.client(client.sock)
    one.allocate()
    assert one.bind(CHANNEL, peer.sock.getsockname()).code == 0
    for size, count in ((1000, 64), (16, 64), (4, 64)):
        for tag in range(ROUNDS):
            data = [struct.pack("!HH", tag, i) + bytes(size - 4) for i in range(count)]
            client.send([channel(d) for d in data], server.address)
            assert [peer.receive()[0] for _ in data] == data
            peer.send(data, one.relayed)
            assert [client.receive()[0] for _ in data] == [channel(d) for d in data]
