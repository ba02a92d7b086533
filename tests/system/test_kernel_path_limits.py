# SPDX-License-Identifier: Apache-2.0
"""Bandwidth, usage and quotas of sessions whose packets the kernel forwards."""
import contextlib
import select
import socket
import struct
import time

import pytest

import kernel_path
import signed
from conftest import wait_for
from kernel_path import CHANNEL, DOWN, MODES, TO_CLIENT, TO_PEER, UP

pytestmark = pytest.mark.skipif(kernel_path.missing() is not None, reason=str(kernel_path.missing()))

RATE = 100_000                 # bytes/s
SIZE = 1000                    # of a packet, with what is counted besides
DEPTH = RATE                   # what a full bucket lets pass at once: a second's
SECONDS = 2.5                  # of measuring
SO_TIMESTAMPNS = 35
STAMP = struct.Struct("@qq")


def stamped(sock):
    """The system tells when each packet came."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return sock


def arrivals(sock):
    """When the packets came that wait at the socket."""
    found = []
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            _, control, _, _ = sock.recvmsg(2048, 200)
            seconds, nanoseconds = STAMP.unpack(control[0][2])
            found.append(seconds + nanoseconds / 1e9)
    sock.settimeout(20)
    return found


class Flood:
    """More than may pass: a bucket's depth at once, then twice the rate.  `send` sends a packet that counts SIZE."""

    def __init__(self, send, receiver):
        self.send, self.receiver, self.sent, self.came = send, stamped(receiver), 0, []

    def push(self, count):
        for _ in range(count):
            self.send(self.sent)
            self.sent += 1
        self.came += arrivals(self.receiver)

    def rate(self):
        """Bytes a second that came, but for what a full bucket lets pass; there was always more than could."""
        return (len(self.came) * SIZE - DEPTH) / (self.came[-1] - self.came[0])


def flood(*floods):
    """Were they never so far behind that the bucket was full again?"""
    for one in floods:
        one.push(DEPTH // SIZE)
    due = last = time.monotonic()
    end, longest = due + SECONDS, 0.0
    while last < end:
        due += 0.01
        for one in floods:
            one.push(2 * RATE // SIZE // 100)
        select.select([], [], [], max(0, due - time.monotonic()))
        last, longest = time.monotonic(), max(longest, time.monotonic() - last)
    for one in floods:
        one.push(0)
    return longest < DEPTH / RATE - 0.1


def expect_rate(one, steady):
    """RATE, within 5 %; and never more, however unsteady this machine is."""
    assert one.rate() <= 1.05 * RATE
    assert one.rate() >= 0.95 * RATE or not steady


@pytest.mark.parametrize("mode", MODES)
def test_max_bps_holds_in_the_kernel(lab, mode):
    lab.serve(mode, max_bps=RATE)
    with lab.pair() as pair:
        lab.warm(pair)
        before = lab.counts.read()
        up = Flood(lambda _: pair.client.channel_send(CHANNEL, bytes(SIZE - 4)), pair.peer)
        down = Flood(lambda _: pair.peer.sendto(bytes(SIZE - 4), pair.to_relay), pair.client.sock)
        steady = flood(up, down)
        after = lab.counts.read()
        changed = {name: after[name] - before[name] for name in after}
        for one, name in (up, TO_PEER), (down, TO_CLIENT):
            expect_rate(one, steady)
            assert changed[name] == len(one.came)
        assert changed["limit"] == up.sent + down.sent - len(up.came) - len(down.came)


@pytest.mark.parametrize("mode", MODES)
def test_max_bps_holds_for_both_paths_together(lab, mode):
    """Every other packet is a Send indication, which user space relays: from the same bucket."""
    lab.serve(mode, max_bps=RATE)
    with lab.pair() as pair:
        lab.warm(pair)
        peer = pair.peer.getsockname()
        head = 20 + 12 + 4  # of a Send indication with an IPv4 peer

        def send(number):
            if number % 2 == 0:
                pair.client.channel_send(CHANNEL, bytes(SIZE - 4))
            else:
                pair.client.send(peer, bytes(SIZE - head))

        before = lab.counts.read()
        up = Flood(send, pair.peer)
        steady = flood(up)
        by_kernel = lab.counts.read()[TO_PEER] - before[TO_PEER]
        expect_rate(up, steady)
        assert 0 < by_kernel < len(up.came)


@pytest.mark.parametrize("mode", MODES)
def test_bps_capacity_holds_for_all_together(lab, mode):
    lab.serve(mode, bps_capacity=RATE)
    with lab.pair() as one, lab.pair() as other:
        lab.warm(one)
        lab.warm(other)
        floods = [Flood(lambda _, pair=pair: pair.client.channel_send(CHANNEL, bytes(SIZE - 4)), pair.peer)
                  for pair in (one, other)]
        steady = flood(*floods)
        both = Flood(None, one.peer)
        both.came = sorted(floods[0].came + floods[1].came)
        expect_rate(both, steady)


# --- usage -----------------------------------------------------------------------------------------


def ended(server, client, how="deleted"):
    """Usage in the log's last word on that client's session."""
    ip, port = client.address
    at = f"client=[{ip}]:{port} " if ":" in ip else f"client={ip}:{port} "
    server.wait_log(f"allocation.{how}")
    found = [kernel_path.fields(line) for line in kernel_path.lines(server, f"allocation.{how}") if at in line]
    assert len(found) == 1, server.text
    return found[0]


class Usage:
    """A pair, and what has come through it: counted where it comes out."""

    def __init__(self, pair):
        self.pair = pair
        self.count = {"to_peer_packets": 0, "to_peer_bytes": 0, "to_client_packets": 0, "to_client_bytes": 0}

    def add(self, way, size):
        self.count[f"{way}_packets"] += 1
        self.count[f"{way}_bytes"] += size

    def ping(self):
        size = 7 * self.count["to_peer_packets"] % 1000
        self.pair.up(b"u" * size)
        self.add("to_peer", size)
        self.pair.down(b"d" * (size + 1))
        self.add("to_client", size + 1)

    def indication(self):
        self.pair.client.send(self.pair.peer.getsockname(), b"indication")
        assert self.pair.peer.recv(100) == b"indication"
        self.add("to_peer", 10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family, peer_family", [(4, 4), (6, 4)])
@pytest.mark.parametrize("limited", [False, True])
def test_usage_is_exact(lab, mode, family, peer_family, limited):
    """Of packets through either path, whatever the order, in the session's last event."""
    server = lab.serve(mode, max_bps=100_000_000 if limited else 0)
    with lab.pair(family, peer_family) as pair:
        usage = Usage(pair)
        lab.until_forwarded(usage.ping, TO_PEER, TO_CLIENT)
        for _ in range(100):
            usage.ping()
            if peer_family == 4:
                usage.indication()
        assert pair.client.refresh(0).code == 0
        told = ended(server, pair.client)
        assert {name: told[name] for name in usage.count} == usage.count


@pytest.mark.parametrize("mode", MODES)
def test_usage_between_two_relays_counts_for_both(lab, mode):
    server = lab.serve(mode)
    one, other = lab.pair_here()
    with one, other:
        sent = [0, 0]

        def say():
            one.channel_send(CHANNEL, b"x" * 100)
            assert other.channel_receive() == (CHANNEL + 1, b"x" * 100)
            sent[0] += 1

        lab.until_forwarded(say, kernel_path.BOTH_HERE)
        for _ in range(50):
            say()
        for client in one, other:
            assert client.refresh(0).code == 0
        server.wait_log("allocation.deleted", 2)
        first, second = ended(server, one), ended(server, other)
        assert (first["to_peer_packets"], first["to_peer_bytes"]) == (sent[0], 100 * sent[0])
        assert (second["to_client_packets"], second["to_client_bytes"]) == (sent[0], 100 * sent[0])
        assert first["to_client_packets"] == second["to_peer_packets"] == 0


@pytest.mark.parametrize("mode", MODES)
def test_usage_of_a_session_that_expires(lab, mode):
    server = lab.serve(mode, max_allocate_lifetime=2)
    with lab.pair(at="other") as neighbour:
        lab.warm(neighbour)
    with lab.pair() as pair:
        stream = kernel_path.Stream(pair)
        kernel_path.stream_until([stream], time.monotonic() + 2.3)
        wait_for(lambda: len(kernel_path.lines(server, "allocation.expired")) >= 2, "the end of both")
        stream.take()
        told = ended(server, pair.client, "expired")
        assert told["to_peer_packets"] == len(stream.got[UP])
        assert told["to_client_packets"] == len(stream.got[DOWN])
        assert told["to_peer_bytes"] == sum(len(str(number)) for number in stream.got[UP])


@pytest.mark.parametrize("mode", MODES)
def test_quotas_count_sessions_as_before(lab, mode):
    lab.serve(mode, **signed.LONG_TERM, user_quota=2)
    with lab.pair() as one, lab.pair() as other, lab.client() as third:
        lab.warm(one)
        lab.warm(other)
        assert third.allocate().code == 486
        assert one.client.refresh(0).code == 0
        assert third.allocate().code == 0
