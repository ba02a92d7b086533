# SPDX-License-Identifier: Apache-2.0
"""What strangers and hostile clients put on the wire: docs/threat-model.md, rows 6, 16 to 19, 23, 25, 34, 37
and 38, against a running server."""
import os
import random
import struct
import time

import pytest

import turn
from conftest import Sterna
from signed import (ACCESS_TOKEN, FINGERPRINT, LONG_TERM, MESSAGE_INTEGRITY, NONCE, ORIGIN, REALM, SOFTWARE,
                    TRANSPORT_UDP, UNKNOWN_ATTRIBUTES, USERNAME, attribute, bound, client, is_empty, message,
                    padding_of, peer)

IPV4_BINDING_ANSWER = 20 + 12  # header and XOR-MAPPED-ADDRESS, nothing else
IPV6_BINDING_ANSWER = 20 + 24


@pytest.fixture(name="server", scope="module")
def server_fixture(tmp_path_factory):
    with loopback(tmp_path_factory.mktemp("wire"), allow_loopback_peers=True, software_attribute=True,
                  unauthorized_ratelimit_rps=1000000) as server:
        yield server


def answers_to(client, raws):
    """Send all; every answer that came by the time the server had dealt with them."""
    for raw in raws:
        client.sock.send(raw)
    client.settle()
    taken, client.inbox = client.inbox, []
    return taken


# Proves T-8489-14-04
def test_padding_never_shows_old_bytes(server):
    """Row 6: odd-length values, after requests that filled the server's buffers with 0xff."""
    with server.client() as client, bound() as peer:
        port = peer.getsockname()[1]
        client.allocated()
        assert client.permit("127.0.0.1").code == 0
        for n in range(1, 9):
            client.sock.send(b"\xff" * 1400)
            client.send_to("127.0.0.1", port, b"\xff" * 1400)
            relayed = peer.recvfrom(2000)[1]
            peer.sendto(b"\xff" * 1401, relayed)
            assert client.next().padding == bytes(3)
            peer.sendto(b"\xff" * n, relayed)
            data = client.next()
            assert data.get(t.DATA_ATTR) == b"\xff" * n
            assert data.padding == bytes(-n % 4)
        client.nonce = b"\xff" * 61  # 438, with REALM, NONCE, SOFTWARE and a phrase, some of them padded
        challenge = client.exchange(t.message(t.REFRESH, t.REQUEST, client.credentials(), key=client.key))
        assert challenge.code == 438
        assert challenge.padding and not any(challenge.padding)


def test_a_binding_answer_is_as_small_as_it_can_be(server):
    """Row 38: 20 bytes in, 32 out (44 over IPv6); nothing that a stranger adds makes it grow."""
    ballast = [(0x8055, b"x" * 400), (t.SOFTWARE, b"y" * 100), (t.ORIGIN, b"https://example.org")]
    for ip, size in (("127.0.0.1", IPV4_BINDING_ANSWER), ("::1", IPV6_BINDING_ANSWER)):
        with server.client(ip) as client:
            for attributes in ([], ballast):
                assert len(client.exchange(t.message(t.BINDING, t.REQUEST, attributes)).raw) == size


def test_a_challenge_is_the_only_answer_that_grows(server):
    """Row 37: what one datagram of a stranger brings out, in bytes; the figures of the threat model."""
    with server.client() as client:
        def ratio(raw):
            answers = answers_to(client, [raw])
            assert len(answers) <= 1
            return sum(map(len, answers)) / len(raw)

        bare = t.message(t.ALLOCATE, t.REQUEST, [t.UDP_TRANSPORT])
        challenge = answers_to(client, [bare])[0]
        assert t.Message(challenge).code == 401
        assert len(challenge) <= 160
        assert ratio(bare) < 6
        assert ratio(t.message(t.CREATE_PERMISSION)) < 8
        for method in (t.BINDING, t.SEND, t.DATA):
            assert ratio(t.message(method, t.INDICATION)) == 0
        for method in (0x002, 0x005, 0x00A, 0x00B, 0x0AA, 0xFFF):
            assert ratio(t.message(method)) == 0
        for klass in (t.SUCCESS, t.ERROR):
            assert ratio(t.message(t.BINDING, klass)) == 0
        assert ratio(os.urandom(64)) == 0
        assert ratio(struct.pack("!HH", 0x4000, 4) + b"data") == 0
        unknown = t.message(t.BINDING, t.REQUEST, [(0x7000 + i, b"") for i in range(64)])
        assert ratio(unknown) < 1


# Proves T-8656-21.1.1-01
def test_challenges_to_one_source_are_limited(tmp_path):
    """Row 37: a reflector gets out less than was put in, whatever the challenge's size."""
    count, rate, burst = 4000, 100, 1000
    with loopback(tmp_path) as server, server.client() as client:
        started = time.monotonic()
        bare = t.message(t.ALLOCATE, t.REQUEST, [t.UDP_TRANSPORT])
        out = 0
        for _ in range(count // 100):
            out += len(answers_to(client, [bare] * 100))
        elapsed = time.monotonic() - started
        assert burst // 2 < out <= burst + rate * (elapsed + 1)
        assert client.exchange(t.message(t.BINDING)).klass == t.SUCCESS  # which is not limited
    with loopback(tmp_path) as server:  # and by default the limit is on, as told
        assert "unauthorized-ratelimit" not in server.log()


def hostile():
    """Datagrams whose lengths lie: rows 16, 18 and 19."""
    whole = t.message(t.ALLOCATE, t.REQUEST, [t.UDP_TRANSPORT, (t.USERNAME, b"user"), (t.REALM, b"example.org"),
                                              (t.NONCE, b"n" * 61)], key=b"k" * 16, fingerprint=True)
    for n in range(len(whole)):
        yield whole[:n]
        yield whole[:2] + struct.pack("!H", n) + whole[4:]
    for length in [*range(0xFFF0, 0x10000), 0x7FFF, 0x8000, 0xFFEC]:
        yield whole[:2] + struct.pack("!H", length) + whole[4:]          # 20 + length wraps 16 bits
        for number in (0x4000, 0x4FFF, 0x5000, 0x7FFF):
            yield struct.pack("!HH", number, length) + b"data"           # length + padding wraps, too
        yield t.message(t.BINDING, t.REQUEST, [t.attribute(t.USERNAME, b"name", length)])
        yield t.message(t.ALLOCATE, t.REQUEST, [t.attribute(t.MESSAGE_INTEGRITY, b"x" * 20, length)])
        yield t.message(t.ALLOCATE, t.REQUEST, [t.attribute(0x001B, b"token" * 4, length)])  # ACCESS-TOKEN (row 17)
    dice = random.Random(42)
    for _ in range(400):
        torn = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            torn[dice.randrange(len(torn))] = dice.randrange(256)
        yield bytes(torn)


def test_lengths_that_lie_do_no_harm(server):
    """Before and within an allocation; the run with ASan and UBSan sees loads past an end or out of line."""
    with server.client() as stranger, server.client() as client, bound() as peer:
        client.allocated()
        assert client.bind(0x4000, "127.0.0.1", peer.getsockname()[1]).code == 0
        for raw in hostile():
            stranger.sock.send(raw)
            client.sock.send(raw)
            stranger.settle(1)
        client.settle()
        assert client.refresh().code == 0
        peer.settimeout(20)
        client.channel(0x4000, b"still here")
        while peer.recv(100) != b"still here":
            pass


def test_every_length_of_channel_data(server):
    """Row 18: of a ChannelData message only what its length says goes out, or nothing."""
    with server.client() as client, bound() as peer:
        client.allocated()
        assert client.bind(0x4000, "127.0.0.1", peer.getsockname()[1]).code == 0
        peer.settimeout(20)
        for length in [0, 1, 2, 3, 4, 5, 7, 8, 9, 1200, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF]:
            client.sock.send(struct.pack("!HH", 0x4000, length) + b"12345678")
            client.channel(0x4000, b"mark")
            got = []
            while (data := peer.recv(100)) != b"mark":
                got.append(data)
            assert got == ([b"12345678"[:length]] if length <= 8 else []), length


# Proves T-8489-14.5-03
def test_what_follows_the_integrity_does_nothing(server):
    """Row 25: neither a LIFETIME that would delete nor a peer that would be permitted."""
    with server.client() as client:
        client.allocated()
        answer = client.request(t.REFRESH, after=[(t.LIFETIME, bytes(4))])
        assert (answer.code, answer.get(t.LIFETIME)) == (0, struct.pack("!I", 600))
        assert client.refresh().code == 0
        assert client.request(t.CREATE_PERMISSION, after=[t.peer_attribute("127.0.0.1", 0)]).code == 400


def test_the_first_of_two_peers_counts(server):
    """Row 34: a second XOR-PEER-ADDRESS cannot slip past the permission of the first, in either order."""
    with server.client() as client, bound() as allowed, bound("127.0.0.2") as other:
        client.allocated()
        assert client.permit("127.0.0.1").code == 0
        here, there = allowed.getsockname(), other.getsockname()
        for first, second, data in ((here, there, b"one"), (there, here, b"two")):
            tid = os.urandom(12)
            peers = [(t.XOR_PEER_ADDRESS, t.xor_address(*ends, tid)) for ends in (first, second)]
            client.sock.send(t.message(t.SEND, t.INDICATION, [*peers, (t.DATA_ATTR, data)], tid))
        client.settle()
        allowed.setblocking(False)
        other.setblocking(False)
        assert allowed.recv(100) == b"one"
        for sock in (allowed, other):
            with pytest.raises(BlockingIOError):
                sock.recv(100)


def test_an_origin_binds_nothing(server):
    """Row 23: what a stranger claims to come from neither chooses the realm nor sticks to the session."""
    with server.client() as client:
        first = client.exchange(t.message(t.ALLOCATE, t.REQUEST, [(t.ORIGIN, b"https://evil.example")]))
        assert (first.code, first.get(t.REALM)) == (401, b"example.org")
        client.allocated((t.ORIGIN, b"https://one.example"))
        assert client.request(t.REFRESH, [(t.ORIGIN, b"https://two.example")]).code == 0
        assert client.refresh().code == 0


def test_an_access_token_is_not_understood(server):
    """Row 17: without third-party authorization a token is an unknown attribute, of whatever length."""
    with server.client() as client:
        client.allocated()
        answer = client.request(t.REFRESH, [(0x001B, struct.pack("!H", 0xFFFF) + b"x" * 30)])
        assert (answer.code, answer.get(t.UNKNOWN_ATTRIBUTES)) == (420, b"\x00\x1b")
