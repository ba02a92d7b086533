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
from signed import (ACCESS_TOKEN, LONG_TERM, MESSAGE_INTEGRITY, NONCE, ORIGIN, REALM, SOFTWARE, TRANSPORT_UDP,
                    UNKNOWN_ATTRIBUTES, USERNAME, attribute, bound, client, is_empty, message, padding_of, peer)

BINDING_ANSWER = {"127.0.0.1": 20 + 12, "::1": 20 + 24}  # header and XOR-MAPPED-ADDRESS, nothing else
CHALLENGE_MAX = 160
UNLIMITED = {"unauthorized_ratelimit": "off"}
BARE_ALLOCATE = message(turn.ALLOCATE, [TRANSPORT_UDP])


@pytest.fixture(name="server", scope="module")
def server_fixture(tmp_path_factory):
    running = Sterna(tmp_path_factory.mktemp("wire"), **LONG_TERM, **UNLIMITED, software_attribute=True,
                     relay_threads=1).ready()
    yield running
    assert running.stop() == 0, running.text


# Proves T-8489-14-02
def test_padding_never_shows_old_bytes(server):
    """Row 6: values of every length, after requests that filled the server's buffers with 0xff."""
    with client(server) as one, bound() as there:
        one.allocated()
        assert one.permit("127.0.0.1").code == 0
        for n in range(1, 9):
            one.sock.send(b"\xff" * 1400)
            one.send(there.getsockname(), b"\xff" * 1400)
            relayed = there.recvfrom(2000)[1]
            for size in 1401, n:
                there.sendto(b"\xff" * size, relayed)
                raw = one.next()
                assert turn.Message(raw).get(turn.DATA_ATTR) == b"\xff" * size
                assert padding_of(raw) == bytes(-size % 4)
        # 438 with REALM, NONCE and a phrase, some of them padded; then a success with SOFTWARE
        stale = [(USERNAME, one.user), (REALM, one.realm), (NONCE, b"\xff" * 61)]
        raw = one.exchange(message(turn.REFRESH, stale, key=one.key))
        assert turn.Message(raw).code == 438
        assert padding_of(raw) and not any(padding_of(raw))
        raw = one.exchange(message(turn.REFRESH, one.credentials(), key=one.key))
        assert turn.Message(raw).get(SOFTWARE) is not None
        assert not any(padding_of(raw))


# Proves T-8489-12-07
def test_a_binding_answer_is_as_small_as_it_can_be(server):
    """Row 38: 20 bytes in, 32 out (44 over IPv6); nothing that a stranger adds makes it grow."""
    ballast = [(0x8055, b"x" * 400), (SOFTWARE, b"y" * 100), (ORIGIN, b"https://example.org")]
    for ip, size in BINDING_ANSWER.items():
        with client(server, ip) as one:
            for attributes in [], ballast:
                assert len(one.exchange(message(turn.BINDING, attributes))) == size


def test_a_challenge_is_the_only_answer_that_grows(server):
    """Row 37: the bytes that one datagram of a stranger brings out."""
    with client(server) as one:
        def out(raw):
            answers = one.answers_to([raw])
            assert len(answers) <= 1
            return sum(map(len, answers))

        connecting = 0x00A, 0x00B  # Connect, ConnectionBind (RFC 6062)
        for method in turn.ALLOCATE, turn.REFRESH, turn.CREATE_PERMISSION, turn.CHANNEL_BIND, *connecting:
            assert 0 < out(message(method)) <= CHALLENGE_MAX
        assert out(message(turn.BINDING, [(0x7000 + i, b"") for i in range(64)])) < 20 + 64 * 4
        silent = [message(method | turn.INDICATION) for method in (turn.BINDING, turn.SEND, turn.DATA)]
        silent += [message(turn.BINDING | klass) for klass in (turn.SUCCESS, turn.ERROR)]
        silent += [message(method) for method in (0x002, turn.SEND, turn.DATA, 0x00C, 0x01C)]
        silent += [os.urandom(64), b"", struct.pack("!HH", 0x4000, 4) + b"data", BARE_ALLOCATE[:-1]]
        for raw in silent:
            assert out(raw) == 0, raw.hex()


def test_challenges_to_one_source_are_limited(sterna):
    """Row 37: what a reflector is worth.  On without being asked for; Binding, which is small, is not limited."""
    count, rate, burst = 4000, 100, 1000
    server = sterna(**LONG_TERM, relay_threads=1)
    with client(server) as one:
        started = time.monotonic()
        answers = []
        for _ in range(count // 100):
            answers += one.answers_to([BARE_ALLOCATE] * 100)
        allowed = burst + rate * (time.monotonic() - started)
        assert 100 <= len(answers) <= allowed + 1
        assert sum(map(len, answers)) <= CHALLENGE_MAX * (allowed + 1)
        assert len(one.exchange(message(turn.BINDING))) == BINDING_ANSWER["127.0.0.1"]


def hostile():
    """Datagrams whose lengths lie: rows 16 to 19."""
    signed = [TRANSPORT_UDP, (USERNAME, b"user"), (REALM, b"example.org"), (NONCE, b"n" * 61)]
    whole = message(turn.ALLOCATE, signed, key=b"k" * 16, fingerprint=True)
    for n in range(len(whole)):
        yield whole[:n]
        yield whole[:2] + struct.pack("!H", n) + whole[4:]
    for length in [*range(0xFFF0, 0x10000), 0x7FFF, 0x8000, 0xFFEC]:
        yield whole[:2] + struct.pack("!H", length) + whole[4:]      # 20 + length wraps 16 bits
        for number in 0x4000, 0x4FFF, 0x5000, 0x7FFF:
            yield struct.pack("!HH", number, length) + b"data"       # so does length + padding
        for kind in USERNAME, MESSAGE_INTEGRITY, ACCESS_TOKEN, turn.XOR_PEER, turn.DATA_ATTR:
            for method in turn.BINDING, turn.ALLOCATE, turn.SEND | turn.INDICATION:
                yield message(method, [attribute(kind, b"value" * 4, length)])
    dice = random.Random(42)
    for _ in range(400):
        torn = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            torn[dice.randrange(len(torn))] = dice.randrange(256)
        yield bytes(torn)


def test_lengths_that_lie_do_no_harm(server):
    """From a stranger and from within an allocation; the run with ASan and UBSan sees loads past an end, or
    out of line."""
    with client(server) as stranger, client(server) as one, bound() as there:
        one.allocated()
        assert one.bind(0x4000, there.getsockname()).code == 0
        for raw in hostile():
            for each in stranger, one:
                each.sock.send(raw)
                each.settle(1)
        assert one.refresh().code == 0
        one.channel_send(0x4000, b"still here")
        while there.recv(100) != b"still here":
            pass


# Proves T-8656-12.6-02, T-8656-12.6-05, T-8656-12.6-06
def test_of_channel_data_goes_out_what_its_length_says_or_nothing(server):
    """Row 18."""
    with client(server) as one, bound() as there:
        one.allocated()
        assert one.bind(0x4000, there.getsockname()).code == 0
        for length in 0, 1, 2, 3, 4, 5, 7, 8, 9, 1200, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF:
            one.sock.send(struct.pack("!HH", 0x4000, length) + b"12345678")
            one.channel_send(0x4000, b"mark")
            got = []
            while (data := there.recv(100)) != b"mark":
                got.append(data)
            assert got == ([b"12345678"[:length]] if length <= 8 else []), length


# Proves T-8489-9-01
def test_what_follows_the_integrity_does_nothing(server):
    """Row 25: neither a LIFETIME that would delete nor a peer that would be permitted."""
    with client(server) as one:
        one.allocated()
        answer = one.ask(turn.REFRESH, after=[(turn.LIFETIME, bytes(4))])
        assert (answer.code, answer.get(turn.LIFETIME)) == (0, struct.pack("!I", 600))
        assert one.refresh().code == 0
        assert one.ask(turn.CREATE_PERMISSION, after=[peer("127.0.0.1")]).code == 400


def test_of_two_peers_in_a_send_the_first_counts(server):
    """Row 34: a second XOR-PEER-ADDRESS cannot slip past the permission of the first, in either order."""
    with client(server) as one, bound() as allowed, bound("127.0.0.2") as other:
        one.allocated()
        assert one.permit("127.0.0.1").code == 0
        here, there = allowed.getsockname(), other.getsockname()
        for ends, data in ((here, there), b"one"), ((there, here), b"two"):
            tid = os.urandom(12)
            peers = [(turn.XOR_PEER, turn.xor_address(end, tid)) for end in ends]
            one.sock.send(message(turn.SEND | turn.INDICATION, [*peers, (turn.DATA_ATTR, data)], tid))
        one.settle()
        assert allowed.recv(100) == b"one"
        assert is_empty(allowed) and is_empty(other)


def test_an_origin_binds_nothing(server):
    """Row 23: what a stranger claims to come from neither chooses the realm nor sticks to the session."""
    with client(server) as one:
        challenge = turn.Message(one.exchange(message(turn.ALLOCATE, [(ORIGIN, b"https://evil.example")])))
        assert (challenge.code, challenge.get(REALM)) == (401, b"example.org")
        one.allocated((ORIGIN, b"https://one.example"))
        assert one.ask(turn.REFRESH, (ORIGIN, b"https://two.example")).code == 0
        assert one.refresh().code == 0


def test_an_access_token_is_not_understood(server):
    """Row 17: without third-party authorization a token is an unknown attribute, whatever it holds."""
    with client(server) as one:
        one.allocated()
        answer = one.ask(turn.REFRESH, (ACCESS_TOKEN, struct.pack("!H", 0xFFFF) + b"x" * 30))
        assert (answer.code, answer.get(UNKNOWN_ATTRIBUTES)) == (420, struct.pack("!H", ACCESS_TOKEN))
