# SPDX-License-Identifier: Apache-2.0
"""What a client may use up, and what it might guess: docs/threat-model.md, rows 8, 31, 32 and 33, against a
running server."""
import base64
import os

import turn
from conftest import wait_for
from signed import LONG_TERM, NONCE, bound, client, message

COOKIE, SEALED = slice(0, 9), slice(13, None)  # "obMatJos2"; base64 of time, salt, offer and MAC
UNLIMITED = {"unauthorized_ratelimit": "off"}
# An address of this run alone, and ports that the system gives to nobody by itself.
EIGHT_PORTS = {"relay_ip": f"127.{1 + os.getpid() % 250}.{os.getpid() // 250 % 250}.1", "min_port": 20000,
               "max_port": 20007}
RESERVATIONS = 256  # of one user at a time
SIGMAS = 7  # further off than that by chance once in 10^11 times


def skewed_bits(words, width):
    """Bits of random words that are 1 too often or too rarely."""
    n = len(words)
    return [bit for bit in range(width)
            if abs(sum(word >> bit & 1 for word in words) - n / 2) > SIGMAS * (n / 4) ** 0.5]


# Proves T-8656-5-04
def test_nonces_cannot_be_guessed(sterna):
    """Row 8: 2,000 nonces; each bit of the random part is fair and independent of the nonce before."""
    server = sterna(**LONG_TERM, **UNLIMITED)
    with client(server) as one:
        nonces = [turn.Message(one.exchange(message(turn.ALLOCATE))).get(NONCE) for _ in range(2000)]
    assert {nonce[COOKIE] for nonce in nonces} == {b"obMatJos2"}
    salts = [int.from_bytes(base64.b64decode(nonce[SEALED])[4:8], "big") for nonce in nonces]
    assert len(set(nonces)) == 2000
    assert skewed_bits(salts, 32) == []
    assert skewed_bits([a ^ b for a, b in zip(salts, salts[1:])], 32) == []


# Proves T-8656-7.2-23
def test_relay_ports_cannot_be_guessed(sterna):
    """Row 8: neither from the port before nor from their distribution; tokens of reservations neither."""
    server = sterna(port_quarantine=0, min_port=32768, max_port=65535)
    ports, tokens = [], []
    with client(server) as one:
        for _ in range(600):
            ports.append(one.allocated()[1])
            assert one.refresh(0).code == 0
        for _ in range(200):
            answer = one.allocate((turn.EVEN_PORT, b"\x80"))
            assert answer.code == 0
            tokens.append(int.from_bytes(answer.get(turn.RESERVATION), "big"))
            assert one.refresh(0).code == 0
    assert skewed_bits([port - 32768 for port in ports], 15) == []
    assert skewed_bits([a ^ b for a, b in zip(ports, ports[1:])], 15) == []
    assert sum(abs(a - b) < 64 for a, b in zip(ports, ports[1:])) < 20  # by chance 2.3
    assert len(set(tokens)) == 200
    assert skewed_bits([token >> 1 for token in tokens], 63) == []  # the lowest bit tells the family


def test_even_ports_come_back(sterna):
    """Row 31: 2,000 allocations of an even port, one after the other, out of four that there are."""
    server = sterna(**LONG_TERM, **UNLIMITED, **EIGHT_PORTS)
    with client(server) as one:
        for _ in range(2000):
            assert one.allocated((turn.EVEN_PORT, b"\x00"))[1] % 2 == 0
            assert one.refresh(0).code == 0
    clients = [client(server) for _ in range(9)]
    codes = [each.allocate().code for each in clients]  # and in the end all eight are free
    for each in clients:
        each.sock.close()
    assert codes == [0] * 8 + [508]


def test_reservations_of_one_user_are_bounded(sterna):
    """Row 31: they live for a minute, without an allocation that a quota would count; nobody gets them all."""
    server = sterna(**{**LONG_TERM, "user": ["user:pass", "other:pass"]})
    reserve = (turn.EVEN_PORT, b"\x80")
    with client(server) as one, client(server, user="other") as two:
        codes = []
        for _ in range(RESERVATIONS + 4):
            codes.append(one.allocate(reserve).code)
            one.refresh(0)
        assert codes == [0] * RESERVATIONS + [508] * 4
        assert one.allocate().code == 0
        assert two.allocate(reserve).code == 0


def test_failed_allocations_cost_no_port(sterna):
    """Row 31: the ways in which an Allocate fails after, or before, a port was looked for."""
    server = sterna(**EIGHT_PORTS)
    with client(server) as one:
        for _ in range(50):
            assert one.allocate((turn.RESERVATION, b"unknown!")).code == 508
            assert one.allocate((turn.EVEN_PORT, b"\x80"), (turn.RESERVATION, b"unknown!")).code == 400
            assert one.allocate((turn.FAMILY, b"\x03\0\0\0")).code == 440
    clients = [client(server) for _ in range(8)]
    assert [each.allocate().code for each in clients] == [0] * 8
    assert clients[0].allocate().code == 437
    for each in clients:
        assert each.refresh(0).code == 0
        wait_for(lambda one=each: one.allocate().code == 0, "the port")  # another worker may ask before it is back
        each.sock.close()


# Proves T-8656-10.2-07, T-8656-12.2-08
def test_permissions_and_channels_are_capped(sterna):
    """Row 33: beyond the cap 508, and what there was still works."""
    server = sterna(max_permissions=8, max_channels=4)
    with client(server) as one, bound() as there:
        one.allocated()
        assert one.bind(0x4000, there.getsockname()).code == 0
        assert [one.permit(f"8.8.8.{i}").code for i in range(12)] == [0] * 7 + [508] * 5
        assert one.permit(*(f"8.8.8.{i}" for i in range(7))).code == 0  # refreshed, not counted again
        ports = [one.bind(0x4001 + i, ("127.0.0.1", 9000 + i)).code for i in range(6)]
        assert ports == [0] * 3 + [508] * 3
        one.channel_send(0x4000, b"still here")
        assert there.recv(100) == b"still here"


def test_thousands_of_permissions_in_one_request(sterna):
    """Row 33: a request as long as a datagram can be asks for more than the default cap."""
    server = sterna()
    with client(server) as one:
        one.allocated()
        assert one.permit(*(f"9.{i >> 8}.{i & 255}.1" for i in range(5000))).code == 508
        assert one.permit(*(f"9.{i >> 8}.{i & 255}.1" for i in range(1024))).code == 0
        assert one.permit("8.8.8.8").code == 508


# Proves T-8656-7.2-16
def test_allocations_are_capped_per_user_and_together(sterna):
    server = sterna(**{**LONG_TERM, "user": ["user:pass", "other:pass"]}, user_quota=2, total_quota=3,
                    relay_threads=2)
    mine = [client(server) for _ in range(3)]
    assert [each.allocate().code for each in mine] == [0, 0, 486]
    others = [client(server, user="other") for _ in range(2)]
    assert [each.allocate().code for each in others] == [0, 508]
    assert mine[0].refresh(0).code == 0
    assert others[1].allocate().code == 0
    for each in mine + others:
        each.sock.close()
