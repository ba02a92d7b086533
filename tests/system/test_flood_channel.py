# SPDX-License-Identifier: Apache-2.0
"""One client floods the server with ChannelData: others are answered rightly, and every packet is accounted for.

How fast is not asked here; requests are sent again as clients do (RFC 8489 section 6.2.1).
"""
import multiprocessing
import os
import re
import socket
import struct

import pytest

import turn

FLOOD = 200_000
PAYLOAD = bytes(172)
TRIES = 30
MISMATCH = 437


def fields(line):
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)(?= |$)", line)}


def line_of(server, event, what=""):
    return [line for line in server.text.splitlines() if f" {event} " in line and what in line][-1]


class Patient(turn.Client):
    """A client that sends its requests again, and counts what it has sent."""

    def __init__(self, server):
        super().__init__(server.address, timeout=1)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.connect(server.address)
        self.sent = 0

    def request(self, method, *attributes):
        tid = os.urandom(12)
        raw = turn.encode(method, [a(tid) if callable(a) else a for a in attributes], tid)
        for _ in range(TRIES):
            self.sock.send(raw)
            self.sent += 1
            try:
                while True:
                    data = self.sock.recv(2048)
                    if data[8:20] == tid:
                        return turn.Message(data), None
            except TimeoutError:
                pass
        pytest.fail("no answer")


    def bind(self, number, peer):
        return self.request(turn.CHANNEL_BIND, (turn.CHANNEL_NUMBER, struct.pack("!HH", number, 0)), at(peer))[0]

    def delete(self):
        """Refresh with LIFETIME 0; an answer may be lost, and then there is nothing left to be deleted."""
        before = self.sent
        code = self.request(turn.REFRESH, (turn.LIFETIME, bytes(4)))[0].code
        again = self.sent - before - 1
        assert code == 0 or (code == MISMATCH and again > 0)
        return again


def at(peer):
    return lambda tid: (turn.XOR_PEER, turn.xor_address(peer, tid))


def life(server, peer):
    """All that a client asks for, once; how many datagrams that took."""
    with Patient(server) as client:
        own = client.sock.getsockname()
        assert client.request(turn.BINDING)[0].address(turn.XOR_MAPPED) == own
        answer = client.request(turn.ALLOCATE, (turn.REQUESTED_TRANSPORT, turn.UDP))[0]
        assert answer.code == 0 and answer.address(turn.XOR_MAPPED) == own
        assert client.request(turn.CREATE_PERMISSION, at(peer))[0].code == 0
        assert client.bind(0x4001, peer).code == 0
        assert client.bind(0x4002, peer).code == 400  # another channel has that peer
        answer = client.request(turn.REFRESH, (turn.LIFETIME, struct.pack("!I", 700)))[0]
        assert struct.unpack("!I", answer.get(turn.LIFETIME)) == (700,)
        client.delete()
        return client.sent


def flood(sock, frame):
    for _ in range(FLOOD):
        sock.send(frame)


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, 2])
def test_a_flood_of_channel_data_confuses_nobody(sterna, threads):
    server = sterna(listening_ip="127.0.0.1", relay_threads=threads)
    with Patient(server) as heavy, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))  # it is never read, and full soon
        peer = sink.getsockname()
        assert heavy.request(turn.ALLOCATE, (turn.REQUESTED_TRANSPORT, turn.UDP))[0].code == 0
        assert heavy.bind(0x4000, peer).code == 0
        frame = struct.pack("!HH", 0x4000, len(PAYLOAD)) + PAYLOAD
        flooder = multiprocessing.get_context("fork").Process(target=flood, args=(heavy.sock, frame))
        flooder.start()
        sent, lives = 0, 0
        while lives == 0 or flooder.is_alive():
            sent += life(server, peer)
            lives += 1
        flooder.join()
        assert flooder.exitcode == 0
        sent += life(server, peer)
        again = heavy.delete()
        sent += heavy.sent + FLOOD
        client = "%s:%d" % heavy.sock.getsockname()
    assert server.stop() == 0
    assert server.text.count(" allocation.created ") == server.text.count(" allocation.deleted ") == lives + 2
    traffic = fields(line_of(server, "allocation.deleted", f"client={client} "))
    count = fields(line_of(server, "packets.count"))
    relayed = traffic["to_peer_packets"]
    assert traffic["to_peer_bytes"] == relayed * len(PAYLOAD)
    assert traffic["to_client_packets"] == 0
    assert 0 < relayed <= FLOOD
    # What did not come through was lost before it was read, and that was counted.
    lost = count["rx_overflow"] + count["dispatch_dropped"]
    assert FLOOD - relayed <= lost <= FLOOD - relayed + sent - FLOOD, (traffic, count, sent)
    if threads == 1:
        assert sent - again <= count["received"] + count["rx_overflow"] <= sent
